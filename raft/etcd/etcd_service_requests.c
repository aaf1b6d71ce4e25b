/* Commands, reads and moves of leadership, from the ask to the answer (etcd_service_impl.h).
 *
 * What cannot be given to the member at once waits here as bytes, in its order: without a leader,
 * so that it is known for certain that nothing was sent; and when the member has no room, which
 * passes within a round trip. The member itself ends what it has at its deadline; only the rule
 * about the leader is looked at here. */
#include "raft/etcd/etcd_service_impl.h"

#include "base/assert.h"
#include "base/mem.h"

/* --- one request ------------------------------------------------------------------------------ */

struct service_request *service_request_new(struct etcd_service *service, etcd_service_done done,
                                            void *arg)
{
    struct service_request *request = mem_new(struct service_request);
    request->service = service;
    request->asked_ms = service_now_ms(service);
    request->deadline_ms = request->asked_ms + ETCD_SERVICE_TIMEOUT_MS;
    request->done = done;
    request->arg = arg;
    service->pending++;
    return request;
}

static void drop_command(struct service_request *request)
{
    etcd_service_release(request->service, request->command.len);
    buf_free(&request->command);
}

void service_request_free(struct service_request *request)
{
    if (request->service != NULL) {
        drop_command(request);
        request->service->pending--;
    }
    list_remove(&request->link);
    mem_free(request);
}

static void tell(struct service_request *request, int rc, enum etcd_error error,
                 const struct store_result *result)
{
    etcd_service_done done = request->done;
    request->done = NULL;
    done(request->arg, rc, error, result);
}

/* Told in the next turn. */
static void decide(struct service_request *request, int rc, enum etcd_error error)
{
    struct etcd_service *service = request->service;
    request->rc = rc;
    request->error = error;
    list_remove(&request->link);
    list_append(&service->decided, &request->link);
    service_arm(service);
}

void service_request_given(struct service_request *request)
{
    drop_command(request);
    list_remove(&request->link);
    list_append(&request->service->given, &request->link);
    service_arm(request->service);
}

static enum etcd_error too_late(const struct etcd_service *service)
{
    return service->serves ? ETCD_ERROR_TIMEOUT : ETCD_ERROR_NO_LEADER;
}

static void tell_failed(struct service_request *request, int rc)
{
    if (rc == ERR_CANCELED) {
        tell(request, request->writes ? ERR_UNKNOWN : ERR_UNAVAILABLE, ETCD_ERROR_STOPPED, NULL);
    } else if (rc == ERR_UNAVAILABLE) {
        tell(request, ERR_UNAVAILABLE, too_late(request->service), NULL);
    } else {
        tell(request, ERR_UNKNOWN, ETCD_ERROR_TIMEOUT, NULL);
    }
}

void service_request_done(void *arg, int rc, const struct store_result *result)
{
    struct service_request *request = arg;
    struct etcd_service *service = request->service;
    list_remove(&request->link);
    if (request->reads && service != NULL) {
        service->given_reads--;
    }
    if (request->done != NULL && rc == 0) {
        tell(request, 0, ETCD_ERROR_COUNT, result);
    } else if (request->done != NULL) {
        tell_failed(request, rc);
    }
    service_request_free(request);
    if (service != NULL && !service->closed) {
        service_requests_give(service);
    }
}

/* --- to the member ---------------------------------------------------------------------------- */

/* False: the member takes none now. */
static bool give_command(struct service_request *request, const struct store_command *command)
{
    struct raft_node *node = service_node(request->service);
    int64_t left_ms = request->deadline_ms - service_now_ms(request->service);
    if (raft_node_propose_plain(node, command, left_ms, service_request_done, request, NULL) != 0) {
        return false;
    }
    service_request_given(request);
    return true;
}

static bool give_read(struct service_request *request)
{
    struct raft_node *node = service_node(request->service);
    int64_t left_ms = request->deadline_ms - service_now_ms(request->service);
    if (request->service->given_reads >= SERVICE_READS_MAX ||
        raft_node_read(node, left_ms, service_request_done, request, NULL) != 0) {
        return false;
    }
    request->reads = true;
    request->service->given_reads++;
    service_request_given(request);
    return true;
}

static bool give_held(struct service_request *request)
{
    struct store_command command;
    struct buf arena = BUF_INIT;
    if (!request->writes) {
        return give_read(request);
    }
    int rc = store_command_decode(buf_span(&request->command), &command, &arena, NULL);
    ASSERT(rc == 0); /* we encoded it */
    bool given = give_command(request, &command);
    buf_free(&arena);
    return given;
}

void service_requests_give(struct etcd_service *service)
{
    if (list_empty(&service->held) || !service_look(service)) {
        return;
    }
    LIST_EACH(item, &service->held)
    {
        if (!give_held(LIST_OWNER(item, struct service_request, link))) {
            return;
        }
    }
}

/* As bytes, until it can be given. */
static void hold_command(struct service_request *request, const struct store_command *command)
{
    struct etcd_service *service = request->service;
    if (store_command_encode(command, &request->command, NULL) != 0) {
        buf_free(&request->command);
        decide(request, ERR_UNAVAILABLE, ETCD_ERROR_REQUEST_TOO_LARGE);
        return;
    }
    if (!etcd_service_reserve(service, request->command.len)) {
        buf_free(&request->command);
        decide(request, ERR_UNAVAILABLE, ETCD_ERROR_TOO_MANY_REQUESTS);
        return;
    }
    list_append(&service->held, &request->link);
    service_arm(service);
}

/* NULL: it was refused at once. */
static struct service_request *ask(struct etcd_service *service, etcd_service_done done, void *arg)
{
    struct service_request *request = service_request_new(service, done, arg);
    if (service->closed) {
        decide(request, ERR_CANCELED, ETCD_ERROR_STOPPED);
        return NULL;
    }
    if (service->pending > ETCD_SERVICE_PENDING_MAX) {
        decide(request, ERR_UNAVAILABLE, ETCD_ERROR_TOO_MANY_REQUESTS);
        return NULL;
    }
    return request;
}

void etcd_service_propose(struct etcd_service *service, const struct store_command *command,
                          etcd_service_done done, void *arg)
{
    struct service_request *request = ask(service, done, arg);
    if (request == NULL) {
        return;
    }
    request->writes = true;
    bool may = list_empty(&service->held) && service_look(service);
    if (!may || !give_command(request, command)) {
        hold_command(request, command);
    }
}

void etcd_service_read(struct etcd_service *service, etcd_service_done done, void *arg)
{
    struct service_request *request = ask(service, done, arg);
    if (request == NULL) {
        return;
    }
    bool may = list_empty(&service->held) && service_look(service);
    if (!may || !give_read(request)) {
        list_append(&service->held, &request->link);
        service_arm(service);
    }
}

bool etcd_service_reserve(struct etcd_service *service, size_t bytes)
{
    if (bytes > ETCD_SERVICE_HELD_BYTES_MAX - service->held_bytes) {
        return false;
    }
    service->held_bytes += bytes;
    return true;
}

void etcd_service_release(struct etcd_service *service, size_t bytes)
{
    ASSERT(bytes <= service->held_bytes);
    service->held_bytes -= bytes;
}

/* --- moves of leadership ---------------------------------------------------------------------- */

static const struct raft_member_status *member_of(const struct raft_status *status, uint64_t id)
{
    for (size_t i = 0; i < status->member_count; i++) {
        if (status->members[i].id == id) {
            return &status->members[i];
        }
    }
    return NULL;
}

void etcd_service_move_leader(struct etcd_service *service, uint64_t member, etcd_service_done done,
                              void *arg)
{
    struct raft_status status = {.id = 0};
    struct service_request *request = ask(service, done, arg);
    if (request == NULL) {
        return;
    }
    if (service_look(service)) {
        raft_node_status(service_node(service), &status);
    }
    const struct raft_member_status *target = member_of(&status, member);
    if (status.role != RAFT_ROLE_LEADER) {
        decide(request, ERR_UNAVAILABLE, ETCD_ERROR_NOT_LEADER);
    } else if (target == NULL || !target->voter) {
        decide(request, ERR_UNAVAILABLE, ETCD_ERROR_BAD_LEADER_TRANSFEREE);
    } else {
        request->moves_to = member;
        list_append(&service->moves, &request->link);
        service_arm(service);
    }
}

/* The member refuses while the group is busy: it is asked again until the new one leads. */
static void look_at_move(struct service_request *request)
{
    struct etcd_service *service = request->service;
    struct raft_node *node = service_node(service);
    static struct raft_status status;
    if (node != NULL) {
        raft_node_status(node, &status);
        if (status.leader == request->moves_to) {
            decide(request, 0, ETCD_ERROR_COUNT);
            return;
        }
        if (status.role == RAFT_ROLE_LEADER &&
            raft_node_transfer(node, request->moves_to, NULL) == 0) {
            return; /* under way: the next look sees who leads */
        }
    }
    if (service_now_ms(service) >= request->deadline_ms) {
        decide(request, ERR_UNKNOWN, ETCD_ERROR_TIMEOUT);
    }
}

/* --- the clock -------------------------------------------------------------------------------- */

/* Two election timeouts, from when it was asked for or from when that began. */
static bool is_long_enough(const struct service_request *request, int64_t since_ms)
{
    const struct etcd_service *service = request->service;
    int64_t from_ms = since_ms > request->asked_ms ? since_ms : request->asked_ms;
    return service_now_ms(service) - from_ms >= 2 * (int64_t)service->config.election_timeout_ms;
}

static bool has_waited_enough(const struct service_request *request)
{
    const struct etcd_service *service = request->service;
    return service_now_ms(service) >= request->deadline_ms ||
           (!service->serves && is_long_enough(request, service->unserved_since_ms));
}

static bool leader_is_gone_for(const struct service_request *request)
{
    const struct etcd_service *service = request->service;
    return !service->has_leader && is_long_enough(request, service->leaderless_since_ms);
}

static struct service_request *first_given_up(struct etcd_service *service)
{
    LIST_EACH(item, &service->given)
    {
        struct service_request *request = LIST_OWNER(item, struct service_request, link);
        if (leader_is_gone_for(request)) {
            return request;
        }
    }
    return NULL;
}

/* The member still has it, and may get it through yet: a write is then of unknown outcome. */
static void orphan(struct service_request *request, int rc, enum etcd_error error)
{
    struct etcd_service *service = request->service;
    list_remove(&request->link);
    list_append(&service->orphans, &request->link);
    tell(request, rc, error, NULL);
}

static void look_at_given(struct etcd_service *service)
{
    struct service_request *request = first_given_up(service);
    while (request != NULL) {
        if (request->writes) {
            orphan(request, ERR_UNKNOWN, ETCD_ERROR_TIMEOUT);
        } else {
            orphan(request, ERR_UNAVAILABLE, ETCD_ERROR_NO_LEADER);
        }
        request = service->stopping ? NULL : first_given_up(service);
    }
}

void service_requests_look(struct etcd_service *service)
{
    (void)service_look(service);
    LIST_EACH(item, &service->held)
    {
        struct service_request *request = LIST_OWNER(item, struct service_request, link);
        if (has_waited_enough(request)) {
            decide(request, ERR_UNAVAILABLE, too_late(service));
        }
    }
    LIST_EACH(item, &service->moves)
    {
        look_at_move(LIST_OWNER(item, struct service_request, link));
    }
    look_at_given(service);
    service_requests_tell(service);
}

void service_requests_tell(struct etcd_service *service)
{
    struct list *first = list_first(&service->decided);
    while (first != NULL) {
        struct service_request *request = LIST_OWNER(first, struct service_request, link);
        list_remove(first);
        tell(request, request->rc, request->error, NULL);
        service_request_free(request);
        first = list_first(&service->decided);
    }
}

bool service_requests_wait(const struct etcd_service *service)
{
    return !list_empty(&service->held) || !list_empty(&service->given) ||
           !list_empty(&service->moves);
}

/* --- the stop --------------------------------------------------------------------------------- */

static void cancel_all(struct list *list)
{
    LIST_EACH(item, list)
    {
        decide(LIST_OWNER(item, struct service_request, link), ERR_CANCELED, ETCD_ERROR_STOPPED);
    }
}

void service_requests_stop(struct etcd_service *service)
{
    cancel_all(&service->held);
    cancel_all(&service->moves);
    for (struct list *first = list_first(&service->given); first != NULL;
         first = list_first(&service->given)) {
        orphan(LIST_OWNER(first, struct service_request, link), ERR_CANCELED, ETCD_ERROR_STOPPED);
    }
    service_requests_tell(service);
    LIST_EACH(item, &service->orphans)
    {
        struct service_request *request = LIST_OWNER(item, struct service_request, link);
        list_remove(item);
        request->service = NULL; /* freed when the member calls back */
        service->pending--;
    }
}
