/* What monitoring and load balancers ask for: version, health, metrics. A member is healthy when a
 * read of a majority comes back within HEALTH_MS, or, if only that is asked for
 * (serializable=true), when it can answer reads of its own. */
#include "base/mem.h"
#include "base/net/http_query.h"
#include "raft/etcd/etcd_http.h"
#include "raft/etcd/etcd_v2_state.h"

#include <inttypes.h>
#include <string.h>

enum { HEALTH_MS = 1000 };

static const char text_type[] = "text/plain; charset=utf-8";

static void respond_text(struct http_exchange *exchange, int status, const char *headers,
                         const char *text)
{
    struct http1_response response = {
        .status = status, .content_type = text_type, .headers = headers, .body = span_str(text)};
    http_respond(exchange, &response);
}

/* --- health ----------------------------------------------------------------------------------- */

struct probe {
    struct http_exchange *exchange; /* NULL: it was answered */
    void (*answer)(struct http_exchange *exchange, bool is_good);
    bool reading;
    uv_timer_t timer;
    bool timer_open;
};

static void answer_health(struct http_exchange *exchange, bool is_good)
{
    if (is_good) {
        respond_text(exchange, 200, NULL, "{\"health\":\"true\"}");
    } else {
        respond_text(exchange, 503, "X-Content-Type-Options: nosniff\r\n",
                     "{\"health\":\"false\"}\n");
    }
}

static void answer_ready(struct http_exchange *exchange, bool is_good)
{
    if (is_good) {
        respond_text(exchange, 200, NULL, "ok\n");
    } else {
        respond_text(exchange, 503, "X-Content-Type-Options: nosniff\r\n",
                     "[-]linearizable_read failed: etcdserver: request timed out\n");
    }
}

static void free_if_over(struct probe *probe)
{
    if (!probe->reading && !probe->timer_open) {
        mem_free(probe);
    }
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct probe *probe = handle->data;
    probe->timer_open = false;
    free_if_over(probe);
}

static void decide(struct probe *probe, bool is_good)
{
    struct http_exchange *exchange = probe->exchange;
    if (exchange != NULL) {
        probe->exchange = NULL;
        uv_close((uv_handle_t *)&probe->timer, on_timer_closed);
        probe->answer(exchange, is_good);
    }
}

static void on_late(uv_timer_t *timer)
{
    decide(timer->data, false);
}

static void on_read(void *arg, int rc, enum etcd_error error, const struct store_result *result)
{
    struct probe *probe = arg;
    (void)error;
    (void)result;
    probe->reading = false;
    decide(probe, rc == 0);
    free_if_over(probe);
}

static void probe_group(struct etcd_service *service, struct http_exchange *exchange,
                        void (*answer)(struct http_exchange *exchange, bool is_good))
{
    struct probe *probe = mem_new(struct probe);
    probe->exchange = exchange;
    probe->answer = answer;
    probe->reading = probe->timer_open = true;
    probe->timer.data = probe;
    (void)uv_timer_init(etcd_service_config(service)->loop, &probe->timer);
    (void)uv_timer_start(&probe->timer, on_late, HEALTH_MS, 0);
    etcd_service_read(service, on_read, probe);
}

static void serve_health(struct etcd_service *service, struct http_exchange *exchange,
                         const struct http1_request *request)
{
    char value[8];
    bool is_local = http_query_get(request->query, "serializable", value, sizeof value) &&
                    strcmp(value, "true") == 0;
    if (!etcd_service_is_ready(service) || !etcd_service_has_leader(service)) {
        answer_health(exchange, false);
    } else if (is_local) {
        answer_health(exchange, true);
    } else {
        probe_group(service, exchange, answer_health);
    }
}

static void serve_live(struct etcd_service *service, struct http_exchange *exchange,
                       const struct http1_request *request)
{
    (void)service;
    (void)request;
    respond_text(exchange, 200, NULL, "ok\n"); /* the loop turns */
}

static void serve_ready(struct etcd_service *service, struct http_exchange *exchange,
                        const struct http1_request *request)
{
    (void)request;
    if (!etcd_service_is_ready(service) || !etcd_service_has_leader(service)) {
        answer_ready(exchange, false);
    } else {
        probe_group(service, exchange, answer_ready);
    }
}

/* --- version and metrics ---------------------------------------------------------------------- */

static void serve_version(struct etcd_service *service, struct http_exchange *exchange,
                          const struct http1_request *request)
{
    struct http1_response response = {.status = 200,
                                      .content_type = "application/json",
                                      .body = span_str("{\"etcdserver\":\"" ETCD_VERSION
                                                       "\",\"etcdcluster\":\"" ETCD_CLUSTER_VERSION
                                                       "\"}")};
    (void)service;
    (void)request;
    http_respond(exchange, &response);
}

/* `labels` with their braces, or "". */
static void put_metric(struct buf *out, const char *name, const char *type, const char *help,
                       const char *labels, uint64_t value)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n%s%s %" PRIu64 "\n", name, help, name, type, name,
               labels, value);
}

static void put_gauge(struct buf *out, const char *name, const char *help, uint64_t value)
{
    put_metric(out, name, "gauge", help, "", value);
}

static void put_raft(struct buf *out, struct etcd_service *service)
{
    const struct etcd_service_config *config = etcd_service_config(service);
    struct raft_node *node = config->node(config->arg);
    struct raft_status status = {.id = 0};
    bool is_learner = false;
    if (node != NULL) {
        raft_node_status(node, &status);
    }
    for (size_t i = 0; i < status.member_count; i++) {
        is_learner |= status.members[i].id == status.id && !status.members[i].voter;
    }
    struct buf id = BUF_INIT;
    buf_printf(&id, "{server_id=\"%" PRIx64 "\"}", status.id);
    put_metric(out, "etcd_server_id", "gauge", "Server or member ID in hexadecimal format.",
               buf_str(&id), 1);
    buf_free(&id);
    put_gauge(out, "etcd_server_has_leader", "Whether or not a leader exists.", status.leader != 0);
    put_gauge(out, "etcd_server_is_leader", "Whether or not this member is a leader.",
              status.leader != 0 && status.leader == status.id);
    put_gauge(out, "etcd_server_is_learner", "Whether or not this member is a learner.",
              is_learner);
    put_metric(out, "etcd_server_leader_changes_seen_total", "counter",
               "The number of leader changes seen.", "", etcd_service_leader_changes(service));
    put_gauge(out, "etcd_server_proposals_committed_total",
              "The total number of consensus proposals committed.", status.commit_index);
    put_gauge(out, "etcd_server_proposals_applied_total",
              "The total number of consensus proposals applied.", status.applied_index);
}

static void put_store(struct buf *out, const struct store *store)
{
    struct store_usage usage = {.keys = 0};
    int64_t revision = 0;
    int64_t compacted = 0;
    if (store != NULL) {
        store_usage(store, &usage);
        revision = store_revision(store);
        compacted = store_compacted(store);
    }
    put_gauge(out, "etcd_mvcc_db_total_size_in_bytes",
              "Bytes of all keys and values, with the versions that are kept of old ones.",
              usage.bytes + usage.old_bytes);
    put_gauge(out, "etcd_mvcc_db_total_size_in_use_in_bytes",
              "Bytes of the present keys and values.", usage.bytes);
    put_gauge(out, "etcd_server_quota_backend_bytes", "Bytes that keys and values may have.",
              STORE_CLIENT_BYTES_MAX);
    put_gauge(out, "etcd_debugging_mvcc_keys_total", "Total number of keys.", usage.keys);
    put_gauge(out, "etcd_debugging_mvcc_current_revision", "The current revision of store.",
              (uint64_t)revision);
    put_gauge(out, "etcd_debugging_mvcc_compact_revision",
              "The revision of the last compaction in store.", (uint64_t)compacted);
    put_gauge(out, "pgquorum_etcd_leases", "Leases that are granted, our own among them.",
              usage.leases);
}

static void serve_metrics(struct etcd_service *service, struct http_exchange *exchange,
                          const struct http1_request *request)
{
    struct etcd_v2_state *v2 = etcd_service_v2(service);
    struct buf out = BUF_INIT;
    (void)request;
    put_metric(&out, "etcd_cluster_version", "gauge",
               "Which version is running. 1 for 'cluster_version' label with current cluster "
               "version",
               "{cluster_version=\"3.4\"}", 1);
    put_metric(&out, "etcd_server_version", "gauge",
               "Which version is running. 1 for 'server_version' label with current version.",
               "{server_version=\"" ETCD_VERSION "\"}", 1);
    put_raft(&out, service);
    put_store(&out, etcd_service_store(service));
    put_gauge(&out, "etcd_debugging_store_watchers", "Count of currently active watchers of v2.",
              v2->watchers);
    put_gauge(&out, "pgquorum_etcd_ready",
              "Whether clients are served: every member knows format 2 of the store.",
              etcd_service_is_ready(service));
    struct http1_response response = {.status = 200,
                                      .content_type = "text/plain; version=0.0.4; charset=utf-8",
                                      .body = buf_span(&out)};
    http_respond(exchange, &response);
    buf_free(&out);
}

/* --- by the path ------------------------------------------------------------------------------ */

static const struct {
    const char *path;
    bool any_method;
    void (*serve)(struct etcd_service *service, struct http_exchange *exchange,
                  const struct http1_request *request);
} pages[] = {{"/version", false, serve_version},
             {"/health", false, serve_health},
             {"/livez", false, serve_live},
             {"/readyz", false, serve_ready},
             {"/metrics", true, serve_metrics}};

bool etcd_info_serve(struct etcd_service *service, struct http_exchange *exchange,
                     const struct http1_request *request)
{
    for (size_t i = 0; i < sizeof pages / sizeof pages[0]; i++) {
        if (strcmp(request->path, pages[i].path) != 0) {
            continue;
        }
        if (request->method == HTTP1_GET || pages[i].any_method) {
            pages[i].serve(service, exchange, request);
        } else {
            respond_text(exchange, 405, "Allow: GET\r\nX-Content-Type-Options: nosniff\r\n",
                         "Method Not Allowed\n");
        }
        return true;
    }
    return false;
}
