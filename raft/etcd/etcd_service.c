/* Who this member is, the opening of format 2, and who listens. Requests: etcd_service_requests.c.
 *
 * The group tells by etcd_service_on_change that something is new; the timer runs only while
 * something waits. */
#include "raft/etcd/etcd_service.h"

#include "base/assert.h"
#include "base/mem.h"
#include "raft/etcd/etcd_portions.h"
#include "raft/etcd/etcd_range.h"
#include "raft/etcd/etcd_service_impl.h"

#include <stdio.h>
#include <string.h>

int64_t service_now_ms(const struct etcd_service *service)
{
    return clock_mono_ms(service->config.clock);
}

struct raft_node *service_node(const struct etcd_service *service)
{
    return service->config.node(service->config.arg);
}

/* --- who we are ------------------------------------------------------------------------------- */

/* A term counts when it has a leader: one that a member campaigns in may be forgotten in a crash,
 * and clients leave a member whose term falls. */
static void take_status(struct etcd_service *service, const struct raft_status *status)
{
    if (service->cluster != status->cluster) { /* another group: another count of terms */
        service->cluster = status->cluster;
        service->term = 0;
    }
    service->member = status->id;
    if (status->leader != service->v2.leader) {
        service->v2.leader = status->leader;
        service->v2.leader_wall_ms = clock_wall_ms(service->config.clock);
        service->leader_changes += status->leader != 0;
    }
    bool counts = service->term == 0 || status->leader != 0;
    if (counts && status->term > service->term) {
        service->term = status->term;
    }
}

bool service_look(struct etcd_service *service)
{
    struct raft_node *node = service_node(service);
    bool has_leader = false;
    if (node != NULL) {
        struct raft_status status;
        raft_node_status(node, &status);
        take_status(service, &status);
        has_leader = status.leader != 0;
    }
    bool serves = has_leader && store_format(raft_node_store(node)) > 1;
    if (service->has_leader && !has_leader) {
        service->leaderless_since_ms = service_now_ms(service);
    }
    if (service->serves && !serves) {
        service->unserved_since_ms = service_now_ms(service);
    }
    service->has_leader = has_leader;
    service->serves = serves;
    return serves;
}

const struct etcd_service_config *etcd_service_config(const struct etcd_service *service)
{
    return &service->config;
}

const struct store *etcd_service_store(const struct etcd_service *service)
{
    struct raft_node *node = service_node(service);
    const struct store *store = node == NULL ? NULL : raft_node_store(node);
    return store != NULL && store_format(store) > 1 ? store : NULL;
}

bool etcd_service_is_ready(const struct etcd_service *service)
{
    return etcd_service_store(service) != NULL;
}

bool etcd_service_has_leader(const struct etcd_service *service)
{
    return service->has_leader;
}

uint64_t etcd_service_leader_changes(const struct etcd_service *service)
{
    return service->leader_changes;
}

void etcd_service_header(const struct etcd_service *service, struct etcd_header *ret_header)
{
    const struct store *store = etcd_service_store(service);
    *ret_header = (struct etcd_header){.cluster_id = service->cluster,
                                       .member_id = service->member,
                                       .revision = store == NULL ? 0 : store_revision(store),
                                       .raft_term = service->term};
}

enum etcd_error etcd_service_refusal(const struct store_result *result)
{
    switch (result->reason) {
    case STORE_COMPACTED: return ETCD_ERROR_COMPACTED;
    case STORE_FUTURE: return ETCD_ERROR_FUTURE_REVISION;
    case STORE_KEY_NOT_FOUND: return ETCD_ERROR_KEY_NOT_FOUND;
    case STORE_LEASE_NOT_FOUND: return ETCD_ERROR_LEASE_NOT_FOUND;
    case STORE_HOLDERS: return ETCD_ERROR_PERMISSION_DENIED;
    case STORE_FULL: return ETCD_ERROR_NO_SPACE;
    case STORE_KEY_MISSING: return ETCD_ERROR_EMPTY_KEY;
    case STORE_VALUE_PROVIDED: return ETCD_ERROR_VALUE_PROVIDED;
    case STORE_LEASE_PROVIDED: return ETCD_ERROR_LEASE_PROVIDED;
    case STORE_DUPLICATE_KEY: return ETCD_ERROR_DUPLICATE_KEY;
    case STORE_TOO_MANY_OPS: return ETCD_ERROR_TOO_MANY_OPS;
    default: break; /* those of v2 do not come here */
    }
    switch (result->code) {
    case ERR_NOT_FOUND: return ETCD_ERROR_LEASE_NOT_FOUND;
    case ERR_EXISTS: return ETCD_ERROR_LEASE_EXISTS;
    case ERR_REFUSED: return ETCD_ERROR_PERMISSION_DENIED;
    case ERR_LIMIT: return ETCD_ERROR_NO_SPACE;
    default: return ETCD_ERROR_UNHEALTHY; /* a command that we made is not refused otherwise */
    }
}

/* --- format 2 --------------------------------------------------------------------------------- */

static void warn(struct etcd_service *service, const char *text)
{
    int64_t now = service_now_ms(service);
    bool same = strcmp(service->warning, text) == 0;
    if (service->config.on_warning == NULL ||
        (same && now - service->warning_ms < SERVICE_WARNING_MS)) {
        return;
    }
    (void)snprintf(service->warning, sizeof service->warning, "%s", text);
    service->warning_ms = now;
    service->config.on_warning(service->config.arg, text);
}

static void on_asked(void *arg, int rc, enum etcd_error error, const struct store_result *result)
{
    struct etcd_service *service = arg;
    (void)rc; /* whatever came of it: the next look sees what is to be done */
    (void)error;
    (void)result;
    service->asking = false;
    service_arm(service);
}

static void open_format_2(struct etcd_service *service, struct raft_node *node)
{
    struct error err = {0};
    char text[SERVICE_WARNING_BYTES];
    struct service_request *request = service_request_new(service, on_asked, service);
    request->writes = true;
    if (raft_node_open_format_2(node, ETCD_SERVICE_TIMEOUT_MS, service_request_done, request,
                                &err) == 0) {
        service->asking = true;
        service_request_given(request);
        return;
    }
    service_request_free(request);
    int64_t now = service_now_ms(service);
    if (service->closed_since_ms == 0) {
        service->closed_since_ms = now;
    } else if (now - service->closed_since_ms >= SERVICE_OPEN_MS) {
        (void)snprintf(text, sizeof text, "clients of etcd's API are not served yet: %s", err.text);
        warn(service, text);
    }
}

static bool has_to_ask(const struct etcd_service *service)
{
    return !service->asking && !service->closed && service->has_leader &&
           service_node(service) != NULL && !etcd_service_is_ready(service);
}

static void look_after_store(struct etcd_service *service)
{
    if (!has_to_ask(service) || service_now_ms(service) < service->look_ms) {
        return;
    }
    service->look_ms = service_now_ms(service) + SERVICE_LOOK_MS;
    open_format_2(service, service_node(service));
}

/* --- the timer -------------------------------------------------------------------------------- */

static void on_timer(uv_timer_t *timer)
{
    struct etcd_service *service = timer->data;
    service_requests_look(service);
    if (!service->stopping) {
        service_requests_give(service);
        look_after_store(service);
        service_arm(service);
    }
}

void service_arm(struct etcd_service *service)
{
    int64_t delay = INT64_MAX;
    if (service->stopping) {
        return;
    }
    if (!list_empty(&service->decided)) {
        delay = 0;
    } else if (service_requests_wait(service)) {
        delay = SERVICE_TICK_MS;
    }
    if (delay > SERVICE_TICK_MS && has_to_ask(service)) {
        int64_t left = service->look_ms - service_now_ms(service);
        delay = left > 0 ? left : 0;
    }
    if (delay == INT64_MAX) {
        (void)uv_timer_stop(&service->timer);
    } else if (uv_is_active((const uv_handle_t *)&service->timer) == 0 ||
               uv_timer_get_due_in(&service->timer) > (uint64_t)delay) {
        (void)uv_timer_start(&service->timer, on_timer, (uint64_t)delay, 0);
    }
}

/* --- news ------------------------------------------------------------------------------------- */

static struct etcd_listener *listener_after(struct etcd_service *service,
                                            struct etcd_listener *listener)
{
    return listener->next == &service->listeners ? NULL : listener->next;
}

/* Those that are added meanwhile come before the first, and are not called this time. */
static void call_listeners(struct etcd_service *service)
{
    struct etcd_listener *listener = listener_after(service, &service->listeners);
    while (listener != NULL && !service->stopping) {
        service->next_listener = listener_after(service, listener);
        listener->on_change(listener->arg);
        listener = service->next_listener;
    }
    service->next_listener = NULL;
}

void etcd_service_on_change(struct etcd_service *service)
{
    if (service->stopping) {
        return;
    }
    (void)service_look(service);
    service_requests_give(service);
    look_after_store(service);
    service_arm(service);
    call_listeners(service);
}

void etcd_service_listen(struct etcd_service *service, struct etcd_listener *listener)
{
    listener->prev = &service->listeners;
    listener->next = service->listeners.next;
    listener->next->prev = listener;
    service->listeners.next = listener;
}

void etcd_service_unlisten(struct etcd_service *service, struct etcd_listener *listener)
{
    if (listener->next == NULL) {
        return; /* it does not listen */
    }
    if (service->next_listener == listener) {
        service->next_listener = listener_after(service, listener);
    }
    listener->prev->next = listener->next;
    listener->next->prev = listener->prev;
    listener->next = NULL;
    listener->prev = NULL;
}

struct etcd_watch_hub **etcd_service_watch_hub(struct etcd_service *service)
{
    return &service->watch_hub;
}

struct list *etcd_service_calls(struct etcd_service *service)
{
    return &service->calls;
}

struct etcd_portions **etcd_service_portions(struct etcd_service *service)
{
    return &service->portions;
}

struct etcd_ranges **etcd_service_ranges(struct etcd_service *service)
{
    return &service->ranges;
}

struct etcd_v2_state *etcd_service_v2(struct etcd_service *service)
{
    return &service->v2;
}

/* --- life ------------------------------------------------------------------------------------- */

struct etcd_service *etcd_service_new(const struct etcd_service_config *config)
{
    struct etcd_service *service = mem_new(struct etcd_service);
    ASSERT(strlen(config->client_urls) <= ETCD_SERVICE_URLS_BYTES);
    service->config = *config;
    service->config.client_urls = mem_strdup(config->client_urls);
    service->timer.data = service;
    (void)uv_timer_init(config->loop, &service->timer);
    list_init(&service->held);
    list_init(&service->given);
    list_init(&service->moves);
    list_init(&service->decided);
    list_init(&service->orphans);
    list_init(&service->calls);
    service->listeners.next = &service->listeners;
    service->listeners.prev = &service->listeners;
    service->leaderless_since_ms = service_now_ms(service);
    service->unserved_since_ms = service->leaderless_since_ms;
    service->v2.start_wall_ms = clock_wall_ms(config->clock);
    (void)service_look(service);
    service_arm(service);
    return service;
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct etcd_service *service = handle->data;
    void (*stopped)(void *arg) = service->stopped;
    void *arg = service->stopped_arg;
    service_requests_tell(service); /* what was asked after the stop */
    ASSERT(service->pending == 0 && list_empty(&service->calls));
    mem_free((char *)(uintptr_t)service->config.client_urls);
    mem_free(service);
    stopped(arg);
}

void etcd_service_close(struct etcd_service *service)
{
    service->closed = true;
    etcd_ranges_stop(service);
    etcd_portions_stop(service);
    service_requests_stop(service);
}

void etcd_service_stop(struct etcd_service *service, void (*stopped)(void *arg), void *arg)
{
    ASSERT(!service->stopping);
    service->stopping = true;
    service->stopped = stopped;
    service->stopped_arg = arg;
    etcd_service_close(service);
    uv_close((uv_handle_t *)&service->timer, on_timer_closed);
}
