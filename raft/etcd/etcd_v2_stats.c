/* Statistics of the v2 API. etcd's store counts what all members applied; here each member counts
 * what it was asked for. What is not measured is 0. */
#include "raft/etcd/etcd_v2.h"

#include "raft/etcd/etcd_text.h"

#include <inttypes.h>
#include <string.h>

static void send_store(struct etcd_service *service, struct http_exchange *exchange)
{
    static const struct {
        const char *success;
        const char *failure;
    } names[] = {
        [ETCD_V2_COUNT_GET] = {"getsSuccess", "getsFail"},
        [ETCD_V2_COUNT_SET] = {"setsSuccess", "setsFail"},
        [ETCD_V2_COUNT_DELETE] = {"deleteSuccess", "deleteFail"},
        [ETCD_V2_COUNT_UPDATE] = {"updateSuccess", "updateFail"},
        [ETCD_V2_COUNT_CREATE] = {"createSuccess", "createFail"},
        [ETCD_V2_COUNT_SWAP] = {"compareAndSwapSuccess", "compareAndSwapFail"},
        [ETCD_V2_COUNT_COMPARE_DELETE] = {"compareAndDeleteSuccess", "compareAndDeleteFail"},
    };
    const struct etcd_v2_state *state = etcd_service_v2(service);
    struct buf body = BUF_INIT;
    buf_put_str(&body, "{");
    for (size_t i = 0; i < ETCD_V2_COUNTERS; i++) {
        buf_printf(&body, "\"%s\":%" PRIu64 ",\"%s\":%" PRIu64 ",", names[i].success,
                   state->successes[i], names[i].failure, state->failures[i]);
    }
    buf_printf(&body, "\"expireCount\":0,\"watchers\":%zu}", state->watchers);
    etcd_v2_send_json(service, exchange, 200, buf_span(&body), false);
    buf_free(&body);
}

/* As Go writes a duration: 1h2m3.04s. */
static void put_duration(int64_t ms, struct buf *out)
{
    const int64_t minute_ms = 60 * 1000;
    const int64_t hour_ms = 60 * minute_ms;
    int64_t fraction = ms % 1000;
    if (ms >= hour_ms) {
        buf_printf(out, "%" PRId64 "h", ms / hour_ms);
    }
    if (ms >= minute_ms) {
        buf_printf(out, "%" PRId64 "m", ms % hour_ms / minute_ms);
    }
    buf_printf(out, "%" PRId64, ms % minute_ms / 1000);
    if (fraction != 0) {
        buf_printf(out, ".%03" PRId64, fraction);
        while (out->data[out->len - 1] == '0') {
            out->len--;
        }
    }
    buf_put_str(out, "s");
}

static void send_self(struct etcd_service *service, struct http_exchange *exchange)
{
    const int64_t ms_ns = 1000 * 1000;
    const struct etcd_service_config *config = etcd_service_config(service);
    const struct etcd_v2_state *state = etcd_service_v2(service);
    const struct raft_node *node = config->node(config->arg);
    struct raft_status status = {0};
    struct span name = span_of(NULL, 0);
    struct buf body = BUF_INIT;
    if (node != NULL) {
        raft_node_status(node, &status);
    }
    for (size_t i = 0; i < status.member_count; i++) {
        if (status.members[i].id == status.id) {
            name = span_str(status.members[i].name);
        }
    }
    int64_t uptime_ms = clock_wall_ms(config->clock) - state->leader_wall_ms;
    buf_put_str(&body, "{\"name\":");
    json_put_string(&body, name);
    buf_printf(&body, ",\"id\":\"%" PRIx64 "\",\"state\":\"%s\",\"startTime\":", status.id,
               status.role == RAFT_ROLE_LEADER      ? "StateLeader"
               : status.role == RAFT_ROLE_CANDIDATE ? "StateCandidate"
                                                    : "StateFollower");
    etcd_v2_put_time(state->start_wall_ms * ms_ns, &body);
    buf_printf(&body, ",\"leaderInfo\":{\"leader\":\"%" PRIx64 "\",\"uptime\":\"", state->leader);
    put_duration(uptime_ms < 0 ? 0 : uptime_ms, &body);
    buf_put_str(&body, "\",\"startTime\":");
    etcd_v2_put_time(state->leader_wall_ms * ms_ns, &body);
    buf_put_str(&body, "},\"recvAppendRequestCnt\":0,\"sendAppendRequestCnt\":0}");
    etcd_v2_send_json(service, exchange, 200, buf_span(&body), false);
    buf_free(&body);
}

static void put_follower(const struct raft_member_status *member, bool is_first, struct buf *out)
{
    buf_printf(out,
               "%s\"%" PRIx64 "\":{\"latency\":{\"current\":0,\"average\":0,"
               "\"standardDeviation\":0,\"minimum\":0,\"maximum\":0},"
               "\"counts\":{\"fail\":0,\"success\":0}}",
               is_first ? "" : ",", member->id);
}

static void send_leader(struct etcd_service *service, struct http_exchange *exchange)
{
    const struct etcd_service_config *config = etcd_service_config(service);
    const struct raft_node *node = config->node(config->arg);
    struct raft_status status = {0};
    struct buf body = BUF_INIT;
    bool is_first = true;
    if (node != NULL) {
        raft_node_status(node, &status);
    }
    if (status.role != RAFT_ROLE_LEADER) {
        etcd_v2_send_message(service, exchange, 403, "not current leader", false);
        return;
    }
    buf_printf(&body, "{\"leader\":\"%" PRIx64 "\",\"followers\":{", status.id);
    for (size_t i = 0; i < status.member_count; i++) {
        if (status.members[i].id != status.id) {
            put_follower(&status.members[i], is_first, &body);
            is_first = false;
        }
    }
    buf_put_str(&body, "}}");
    etcd_v2_send_json(service, exchange, 200, buf_span(&body), false);
    buf_free(&body);
}

void etcd_v2_serve_stats(struct etcd_service *service, struct http_exchange *exchange,
                         const struct http1_request *request)
{
    static const struct {
        const char *path;
        void (*send)(struct etcd_service *service, struct http_exchange *exchange);
    } places[] = {{"/v2/stats/store", send_store},
                  {"/v2/stats/self", send_self},
                  {"/v2/stats/leader", send_leader}};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        if (strcmp(request->path, places[i].path) != 0) {
            continue;
        }
        if (request->method == HTTP1_GET) {
            places[i].send(service, exchange);
        } else {
            etcd_v2_send_not_allowed(exchange, "GET");
        }
        return;
    }
    etcd_v2_send_text(exchange, 404, "404 page not found\n");
}
