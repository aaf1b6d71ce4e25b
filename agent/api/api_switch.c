/* POST /switchover, POST /failover, DELETE /switchover: checked against what is known, written into
 * the key `failover`, and watched in the pictures that follow until the leader has changed, the
 * request was dropped, or the time is up. */
#include "agent/api/api_private.h"

#include "agent/ha/ha_cluster.h"
#include "base/log.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WAIT_MS_MIN = 10000, AT_BYTES = 64 };

struct order {
    bool failover;
    bool scheduled;
    const char *leader; /* borrowed from the body; "" = not given */
    const char *candidate;
    const char *at;
    const char *over; /* `unfenced`, as its author has seen it and passes over it */
};

/* Absent, null and "" are the same. Anything but text is refused: a time that is passed over would
 * make a switchover of some day one of now. */
static bool take_text(const json_t *body, const char *key, const char **ret_text, struct error *err)
{
    const json_t *value = json_object_get(body, key);
    if (value != NULL && !json_is_null(value) && !json_is_string(value)) {
        (void)error_set(err, ERR_INVALID, "%s: expected text", key);
        return false;
    }
    *ret_text = json_is_string(value) ? json_string_value(value) : "";
    return true;
}

static bool read_order(const json_t *body, struct order *order, struct error *err)
{
    const char *member = "";
    if (!take_text(body, "leader", &order->leader, err) ||
        !take_text(body, "candidate", &order->candidate, err) ||
        !take_text(body, "member", &member, err) ||
        !take_text(body, "unfenced", &order->over, err) ||
        !take_text(body, "scheduled_at", &order->at, err)) {
        return false;
    }
    if (order->candidate[0] == '\0') {
        order->candidate = member;
    }
    return true;
}

static bool can_take_over(const struct ha_member *member)
{
    return !member->tags.nofailover && member->api_url[0] != '\0';
}

static bool somebody_can(const struct ha_cluster *cluster)
{
    for (size_t i = 0; i < cluster->member_count; i++) {
        if (strcmp(cluster->members[i].name, cluster->leader) != 0 &&
            can_take_over(&cluster->members[i])) {
            return true;
        }
    }
    return false;
}

static int refuse(const char **ret_why, int code, const char *why)
{
    *ret_why = why;
    return code;
}

bool api_lacks_zone(const char *at)
{
    char text[AT_BYTES];
    int64_t at_ms = 0;
    return (size_t)snprintf(text, sizeof text, "%sZ", at) < sizeof text &&
           (ha_time_parse(text, &at_ms) ||
            ((size_t)snprintf(text, sizeof text, "%sT00:00Z", at) < sizeof text &&
             ha_time_parse(text, &at_ms)));
}

static int check_time(const struct api_status *status, int64_t wall_ms, const struct order *order,
                      const char **ret_why)
{
    int64_t at_ms = 0;
    if (order->failover) {
        return refuse(ret_why, 400, "Failover can't be scheduled");
    }
    if (status->paused) {
        return refuse(ret_why, 400, "Can't schedule switchover in the paused state");
    }
    if (!ha_time_parse(order->at, &at_ms)) {
        return api_lacks_zone(order->at)
                   ? refuse(ret_why, 400,
                            "Timezone information is mandatory for the scheduled switchover")
                   : refuse(ret_why, 422,
                            "Unable to parse scheduled timestamp. It should be in an unambiguous "
                            "format, e.g. ISO 8601");
    }
    return at_ms > wall_ms ? 0 : refuse(ret_why, 422, "Cannot schedule switchover in the past");
}

/* An order that names no leader is not bound by it: what may be lost is its author's decision. */
static int check_synchronous(const struct ha_cluster *cluster, const struct order *order,
                             const char **ret_why)
{
    if (order->leader[0] == '\0' || !cluster->sync.present) {
        return 0;
    }
    if (order->candidate[0] != '\0') {
        return ha_sync_key_has(&cluster->sync, order->candidate)
                   ? 0
                   : refuse(ret_why, 412, "candidate name does not match with sync_standby");
    }
    return cluster->sync.standby_count > 0
               ? 0
               : refuse(ret_why, 412, "switchover is not possible: can not find sync_standby");
}

/* Nobody leads, and the last leader may run unfenced since a pause. */
static bool passes_unfenced(const struct ha_cluster *cluster, const struct order *order)
{
    struct ha_epoch over;
    return cluster->leader[0] != '\0' || cluster->unfenced_revision == 0 ||
           (cluster->unfenced.revision > 0 && ha_epoch_parse(order->over, &over) &&
            ha_epoch_equal(over, cluster->unfenced));
}

static int check_feasible(const struct api_status *status, const struct order *order,
                          const char **ret_why)
{
    const struct ha_cluster *cluster = &status->cluster;
    const struct ha_member *candidate = ha_cluster_member(cluster, order->candidate);
    if (order->leader[0] != '\0' && strcmp(order->leader, cluster->leader) != 0) {
        return refuse(ret_why, 412, "leader name does not match");
    }
    int code = status->synchronous ? check_synchronous(cluster, order, ret_why) : 0;
    if (code != 0) {
        return code;
    }
    if (order->candidate[0] != '\0' && candidate == NULL) {
        return refuse(ret_why, 412, "candidate does not exists");
    }
    if (order->candidate[0] != '\0' ? !can_take_over(candidate) : !somebody_can(cluster)) {
        return refuse(ret_why, 412, "no good candidates have been found");
    }
    if (!passes_unfenced(cluster, order)) {
        return refuse(ret_why, 412,
                      "the last leader may still run, unfenced since a pause: pgquorum failover "
                      "--candidate NAME --force passes over it");
    }
    return 0;
}

/* 0, or the code that refuses, with its words. The order of the checks is Patroni's. */
static int check(const struct api_status *status, int64_t wall_ms, struct order *order,
                 const char **ret_why)
{
    if (order->failover && order->candidate[0] == '\0') {
        return refuse(ret_why, 400, "Failover could be performed only to a specific candidate");
    }
    if (!order->failover && order->leader[0] == '\0') {
        return refuse(ret_why, 400, "Switchover could be performed only from a specific leader");
    }
    order->scheduled = order->at[0] != '\0';
    int code = order->scheduled ? check_time(status, wall_ms, order, ret_why) : 0;
    if (code != 0) {
        return code;
    }
    if (status->paused && order->candidate[0] == '\0') {
        return refuse(ret_why, 400,
                      "Switchover is possible only to a specific candidate in a paused state");
    }
    if (order->failover && order->leader[0] != '\0') {
        log_warning("a failover that names the leader '%s' is taken for a switchover",
                    order->leader);
        order->failover = false;
    }
    if (order->leader[0] != '\0' && strcmp(order->leader, order->candidate) == 0) {
        return refuse(ret_why, 400, "Switchover target and source are the same");
    }
    return order->scheduled ? 0 : check_feasible(status, order, ret_why);
}

int api_switch_read(struct api_server *server, const json_t *body, bool failover,
                    struct ha_failover *ret_failover, char *ret_why, size_t size)
{
    const char *why = "";
    struct order order = {.failover = failover};
    struct error err = {0};
    if (!read_order(body, &order, &err)) {
        (void)snprintf(ret_why, size, "%s", err.text);
        return 400;
    }
    int code = check(server->status, clock_wall_ms(server->ports.clock), &order, &why);
    (void)snprintf(ret_why, size, "%s", why);
    *ret_failover = (struct ha_failover){.present = true};
    (void)snprintf(ret_failover->leader, sizeof ret_failover->leader, "%s", order.leader);
    (void)snprintf(ret_failover->candidate, sizeof ret_failover->candidate, "%s", order.candidate);
    (void)ha_epoch_parse(order.over, &ret_failover->over_unfenced);
    return code;
}

/* --- waiting for the outcome ------------------------------------------------------------------ */

/* Taken out before the reply: after the last one the server may be gone. */
static void end_wait(struct api_server *server, struct api_wait *wait)
{
    list_remove(&wait->link);
    server->wait_count--;
}

static const char *noun_of(const struct api_wait *wait)
{
    return wait->failover ? "Failover" : "Switchover";
}

static void reply_changed(const struct api_wait *wait, const char *leader)
{
    if (wait->candidate[0] == '\0' || strcmp(wait->candidate, leader) == 0) {
        api_reply_text(wait->exchange, 200, "Successfully %s over to \"%s\"",
                       wait->failover ? "failed" : "switched", leader);
    } else {
        api_reply_text(wait->exchange, 200, "%s over to \"%s\" instead of \"%s\"",
                       wait->failover ? "Failed" : "Switched", leader, wait->candidate);
    }
}

/* True if the newest picture, or the time, decides it: then it was answered and is gone. */
static bool look(struct api_server *server, struct api_wait *wait)
{
    const struct ha_cluster *cluster = &server->status->cluster;
    bool led = cluster->leader[0] != '\0';
    bool changed = led && strcmp(cluster->leader, wait->old_leader) != 0;
    /* A view that has our write, or a later one, and no request: it was dropped. */
    bool dropped = led && !cluster->failover.present && cluster->revision >= wait->revision;
    bool late = clock_mono_ms(server->ports.clock) >= wait->deadline_mono_ms;

    if (!changed && !dropped && !late) {
        return false;
    }
    end_wait(server, wait);
    if (changed) {
        reply_changed(wait, cluster->leader);
    } else if (dropped) {
        api_reply_text(wait->exchange, 503, "%s failed", noun_of(wait));
    } else {
        api_reply_text(wait->exchange, 503, "%s status unknown", noun_of(wait));
    }
    mem_free(wait);
    return true;
}

void api_waits_look(struct api_server *server)
{
    LIST_EACH(item, &server->waits)
    {
        struct api_wait *wait = LIST_OWNER(item, struct api_wait, link);
        if (wait->written) {
            (void)look(server, wait);
        }
    }
}

static void reply_stopping(struct api_server *server, struct api_wait *wait)
{
    end_wait(server, wait);
    api_reply_text(wait->exchange, 503, "the agent is stopping: %s status unknown", noun_of(wait));
    mem_free(wait);
}

void api_waits_drop(struct api_server *server)
{
    LIST_EACH(item, &server->waits)
    {
        struct api_wait *wait = LIST_OWNER(item, struct api_wait, link);
        if (wait->written) { /* else on_ordered still comes */
            reply_stopping(server, wait);
        }
    }
}

static void reply_not_written(struct http1_exchange *exchange, int rc, const struct error *err)
{
    bool unknown = rc == ERR_UNKNOWN || rc == ERR_CANCELED;
    api_reply_text(exchange, 503, "%s: %s",
                   unknown ? "status unknown, writing the failover key into DCS was not answered"
                           : "failed to write failover key into DCS",
                   err == NULL || err->text[0] == '\0' ? err_name(rc) : err->text);
}

struct ordered {
    struct api_server *server;
    struct api_wait *wait;
    bool scheduled;
};

static void on_ordered(void *ctx, int rc, int64_t revision, const struct error *err)
{
    struct ordered ordered = *(struct ordered *)ctx;
    struct api_wait *wait = ordered.wait;
    mem_free(ctx);

    if (rc == 0 && !ordered.scheduled) {
        wait->written = true;
        wait->revision = revision;
        if (ordered.server->closing > 0) {
            reply_stopping(ordered.server, wait); /* no picture comes any more */
        } else {
            (void)look(ordered.server, wait);
        }
        return;
    }
    end_wait(ordered.server, wait);
    if (rc == 0) {
        api_reply_text(wait->exchange, 202, "Switchover scheduled");
    } else {
        reply_not_written(wait->exchange, rc, err);
    }
    mem_free(wait);
}

static void submit(struct api_server *server, struct http1_exchange *exchange,
                   const struct order *order)
{
    struct ordered *ordered = mem_new(struct ordered);
    struct api_wait *wait = mem_new(struct api_wait);
    struct error err = {0};
    int64_t loop_wait_ms = server->status->loop_wait_ms;
    json_t *value = json_object();

    if (order->leader[0] != '\0') {
        (void)json_object_set_new(value, "leader", json_string(order->leader));
    }
    if (order->candidate[0] != '\0') {
        (void)json_object_set_new(value, "member", json_string(order->candidate));
    }
    if (order->scheduled) {
        (void)json_object_set_new(value, "scheduled_at", json_string(order->at));
    }
    if (order->over[0] != '\0') {
        (void)json_object_set_new(value, "unfenced", json_string(order->over));
    }
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENSURE_ASCII);
    json_decref(value);
    wait->exchange = exchange;
    wait->failover = order->failover;
    wait->deadline_mono_ms = clock_mono_ms(server->ports.clock) +
                             2 * (loop_wait_ms > WAIT_MS_MIN ? loop_wait_ms : WAIT_MS_MIN);
    (void)snprintf(wait->old_leader, sizeof wait->old_leader, "%s", server->status->cluster.leader);
    (void)snprintf(wait->candidate, sizeof wait->candidate, "%s", order->candidate);
    list_append(&server->waits, &wait->link);
    server->wait_count++;
    *ordered = (struct ordered){.server = server, .wait = wait, .scheduled = order->scheduled};
    int rc = server->ports.write_failover(server->ports.arg, text == NULL ? "{}" : text, -1,
                                          on_ordered, ordered, &err);
    mem_free(text);
    if (rc != 0) {
        on_ordered(ordered, rc, 0, &err);
    }
}

static void handle(struct api_server *server, struct http1_exchange *exchange,
                   const struct http1_request *request, bool failover)
{
    const char *why = "";
    struct order order = {.failover = failover};
    struct error err = {0};
    json_t *body = api_body(exchange, request);

    if (body == NULL) {
        return;
    }
    if (!read_order(body, &order, &err)) {
        json_decref(body);
        api_reply_text(exchange, 400, "%s", err.text);
        return;
    }
    int code = check(server->status, clock_wall_ms(server->ports.clock), &order, &why);
    if (code != 0) {
        api_reply_text(exchange, code, "%s", why);
    } else if (server->wait_count >= API_WAITING_MAX) {
        api_reply_text(exchange, 503, "%d requests are waited for already", API_WAITING_MAX);
    } else {
        submit(server, exchange, &order);
    }
    json_decref(body);
}

void api_switchover(struct api_server *server, struct http1_exchange *exchange,
                    const struct http1_request *request)
{
    handle(server, exchange, request, false);
}

void api_failover(struct api_server *server, struct http1_exchange *exchange,
                  const struct http1_request *request)
{
    handle(server, exchange, request, true);
}

/* --- dropping a scheduled one ----------------------------------------------------------------- */

struct dropping {
    struct api_server *server;
    struct http1_exchange *exchange;
};

static void on_dropped(void *ctx, int rc, int64_t revision, const struct error *err)
{
    struct dropping *dropping = ctx;
    struct http1_exchange *exchange = dropping->exchange;
    (void)revision;
    api_write_end(dropping->server);
    mem_free(dropping);
    if (rc == 0) {
        api_reply_text(exchange, 200, "scheduled switchover deleted");
    } else if (rc == ERR_CONFLICT) {
        api_reply_text(exchange, 409, "failed to write failover key into DCS");
    } else {
        reply_not_written(exchange, rc, err);
    }
}

void api_switchover_delete(struct api_server *server, struct http1_exchange *exchange,
                           const struct http1_request *request)
{
    const struct ha_failover *failover = &server->status->cluster.failover;
    struct error err = {0};
    (void)request;
    if (!failover->present || failover->scheduled_wall_ms == 0) {
        api_reply_text(exchange, 404, "no switchover is scheduled");
        return;
    }
    if (!api_write_begin(server, exchange)) {
        return;
    }
    struct dropping *dropping = mem_new(struct dropping);
    *dropping = (struct dropping){.server = server, .exchange = exchange};
    int rc = server->ports.write_failover(server->ports.arg, "{}", failover->revision, on_dropped,
                                          dropping, &err);
    if (rc != 0) {
        on_dropped(dropping, rc, 0, &err);
    }
}
