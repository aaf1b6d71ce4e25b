/* POST /switchover, POST /failover, DELETE /switchover: checked against what is known, written into
 * the key `failover`, and watched in the pictures that follow until the leader has changed, the
 * request was dropped, or the time is up. */
#include "agent/api/api_private.h"

#include "agent/ha/ha_cluster.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WAIT_MS_MIN = 10000 };

struct order {
    bool failover;
    bool scheduled;
    const char *leader; /* borrowed from the body; "" = not given */
    const char *candidate;
    const char *at;
};

static const char *text_of(const json_t *body, const char *key)
{
    const char *text = json_string_value(json_object_get(body, key));
    return text == NULL ? "" : text;
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

/* 0, or the code that refuses, with its words. The order of the checks is Patroni's. */
static int check(const struct api_status *status, int64_t wall_ms, struct order *order,
                 char *ret_why, size_t size)
{
    const struct ha_cluster *cluster = &status->cluster;
    int64_t at_ms = 0;

    if (order->failover && order->candidate[0] == '\0') {
        (void)snprintf(ret_why, size, "Failover could be performed only to a specific candidate");
        return 400;
    }
    if (!order->failover && order->leader[0] == '\0') {
        (void)snprintf(ret_why, size, "Switchover could be performed only from a specific leader");
        return 400;
    }
    if (order->at[0] != '\0') {
        if (order->failover) {
            (void)snprintf(ret_why, size, "Failover can't be scheduled");
            return 400;
        }
        if (!ha_time_parse(order->at, &at_ms)) {
            (void)snprintf(ret_why, size,
                           "Unable to parse scheduled timestamp. It should be in an unambiguous "
                           "format, e.g. ISO 8601");
            return 422;
        }
        if (at_ms <= wall_ms) {
            (void)snprintf(ret_why, size, "Cannot schedule an event in the past");
            return 422;
        }
        order->scheduled = true;
    }
    if (order->failover && order->leader[0] != '\0') {
        order->failover = false;
    }
    if (order->leader[0] != '\0' && strcmp(order->leader, order->candidate) == 0) {
        (void)snprintf(ret_why, size, "Switchover target and source are the same");
        return 400;
    }
    if (order->scheduled) {
        return 0;
    }
    if (order->leader[0] != '\0' && strcmp(order->leader, cluster->leader) != 0) {
        (void)snprintf(ret_why, size, "leader name does not match");
        return 412;
    }
    const struct ha_member *candidate = ha_cluster_member(cluster, order->candidate);
    if (order->candidate[0] != '\0' && candidate == NULL) {
        (void)snprintf(ret_why, size, "candidate does not exists");
        return 412;
    }
    if (order->candidate[0] != '\0' ? !can_take_over(candidate) : !somebody_can(cluster)) {
        (void)snprintf(ret_why, size, "no good candidates have been found");
        return 412;
    }
    return 0;
}

/* --- waiting for the outcome ------------------------------------------------------------------ */

static void end_wait(struct api_server *server, struct api_wait *wait)
{
    list_remove(&wait->link);
    server->wait_count--;
    mem_free(wait);
}

/* True if it was answered. */
static bool look(struct api_server *server, struct api_wait *wait)
{
    const struct ha_cluster *cluster = &server->status->cluster;
    const char *word = wait->failover ? "Failed" : "Switched";
    bool changed = cluster->leader[0] != '\0' && strcmp(cluster->leader, wait->old_leader) != 0;

    if (cluster->failover.present && wait->revision == 0) {
        wait->revision = cluster->failover.revision;
    }
    if (changed) {
        bool as_wished =
            wait->candidate[0] == '\0' || strcmp(wait->candidate, cluster->leader) == 0;
        api_reply_text(wait->exchange, 200,
                       as_wished ? "Successfully %s over to \"%s\"" : "%s over to \"%s\" instead",
                       as_wished ? (wait->failover ? "failed" : "switched") : word,
                       cluster->leader);
    } else if (wait->revision != 0 && !cluster->failover.present &&
               cluster->failover.revision > wait->revision && cluster->leader[0] != '\0') {
        api_reply_text(wait->exchange, 503, "%s failed",
                       wait->failover ? "Failover" : "Switchover");
    } else if (clock_mono_ms(server->ports.clock) >= wait->deadline_mono_ms) {
        api_reply_text(wait->exchange, 503, "%s status unknown",
                       wait->failover ? "Failover" : "Switchover");
    } else {
        return false;
    }
    return true;
}

void api_waits_look(struct api_server *server)
{
    LIST_EACH(item, &server->waits)
    {
        struct api_wait *wait = LIST_OWNER(item, struct api_wait, link);
        if (wait->revision >= 0 && server->status != NULL && look(server, wait)) {
            end_wait(server, wait);
        }
    }
}

void api_waits_drop(struct api_server *server)
{
    LIST_EACH(item, &server->waits)
    {
        struct api_wait *wait = LIST_OWNER(item, struct api_wait, link);
        if (wait->revision >= 0) { /* else on_ordered still comes, with ERR_CANCELED */
            api_reply_text(wait->exchange, 503, "the agent is stopping: status unknown");
            end_wait(server, wait);
        }
    }
}

struct ordered {
    struct api_server *server;
    struct api_wait *wait;
    bool scheduled;
};

static void on_ordered(void *ctx, int rc, const struct error *err)
{
    struct ordered *ordered = ctx;
    struct api_wait *wait = ordered->wait;

    if (rc != 0) {
        api_reply_text(wait->exchange, 503, "failed to write failover key into DCS: %s",
                       err == NULL || err->text[0] == '\0' ? err_name(rc) : err->text);
        end_wait(ordered->server, wait);
    } else if (ordered->scheduled) {
        api_reply_text(wait->exchange, 202, "Switchover scheduled");
        end_wait(ordered->server, wait);
    } else {
        wait->revision = 0;
        api_waits_look(ordered->server);
    }
    mem_free(ordered);
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
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENSURE_ASCII);
    json_decref(value);
    wait->exchange = exchange;
    wait->failover = order->failover;
    wait->revision = -1; /* not written yet */
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
        on_ordered(ordered, rc, &err);
    }
}

static void handle(struct api_server *server, struct http1_exchange *exchange,
                   const struct http1_request *request, bool failover)
{
    char why[256] = "";
    json_t *body = api_body(exchange, request, false);

    if (body == NULL) {
        return;
    }
    const char *candidate = text_of(body, "candidate");
    struct order order = {.failover = failover,
                          .leader = text_of(body, "leader"),
                          .candidate = candidate[0] != '\0' ? candidate : text_of(body, "member"),
                          .at = text_of(body, "scheduled_at")};
    int code = check(server->status, clock_wall_ms(server->ports.clock), &order, why, sizeof why);
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

static void on_dropped(void *ctx, int rc, const struct error *err)
{
    struct http1_exchange *exchange = ctx;
    (void)err;
    if (rc == 0) {
        api_reply_text(exchange, 200, "scheduled switchover deleted");
    } else {
        api_reply_text(exchange, rc == ERR_CONFLICT ? 409 : 503,
                       "failed to write failover key into DCS");
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
    int rc = server->ports.write_failover(server->ports.arg, "{}", failover->revision, on_dropped,
                                          exchange, &err);
    if (rc != 0) {
        on_dropped(exchange, rc, &err);
    }
}
