/* etcd's v2 API: by path and method to who answers it. Keys are a dialect of the one keyspace
 * (docs/store.md); members, statistics and users are this program's own. */
#include "raft/etcd/etcd_v2.h"

#include "base/assert.h"
#include "base/mem.h"
#include "raft/etcd/etcd_auth.h"
#include "raft/etcd/etcd_http.h"

#include <string.h>

bool etcd_v2_is_allowed(const struct etcd_service *service, const struct http_exchange *exchange)
{
    const struct etcd_auth *auth = etcd_service_config(service)->auth;
    const struct stream_peer *peer = http_peer(exchange);
    bool has_certificate = peer != NULL && peer->is_verified;
    return auth == NULL || has_certificate ||
           etcd_auth_basic(auth, http_header(exchange, "Authorization"));
}

/* --- keys ------------------------------------------------------------------------------------- */

void etcd_v2_call_free(struct etcd_v2_call *call)
{
    arena_free(&call->arena);
    mem_free(call);
}

static bool method_of(enum http1_method method, enum etcd_v2_method *ret_method)
{
    switch (method) {
    case HTTP1_GET: *ret_method = ETCD_V2_GET; return true;
    case HTTP1_HEAD: *ret_method = ETCD_V2_HEAD; return true;
    case HTTP1_PUT: *ret_method = ETCD_V2_PUT; return true;
    case HTTP1_POST: *ret_method = ETCD_V2_POST; return true;
    case HTTP1_DELETE: *ret_method = ETCD_V2_DELETE; return true;
    case HTTP1_OPTIONS:
    case HTTP1_PATCH:
    case HTTP1_OTHER: break;
    }
    return false;
}

static void run(struct etcd_v2_call *call)
{
    if (!etcd_v2_is_allowed(call->service, call->exchange)) {
        etcd_v2_reply_error(call, ETCD_V2_UNAUTHORIZED, span_str("Insufficient credentials"), 0);
        return;
    }
    switch (call->request.op) {
    case ETCD_V2_OP_GET: etcd_v2_read(call); return;
    case ETCD_V2_OP_WATCH: etcd_v2_watch(call); return;
    case ETCD_V2_OP_SET:
    case ETCD_V2_OP_CREATE:
    case ETCD_V2_OP_UPDATE:
    case ETCD_V2_OP_COMPARE_AND_SWAP:
    case ETCD_V2_OP_CREATE_IN_ORDER:
    case ETCD_V2_OP_DELETE:
    case ETCD_V2_OP_COMPARE_AND_DELETE: etcd_v2_write(call); return;
    }
    ASSERT(false);
}

static void serve_keys(struct etcd_service *service, struct http_exchange *exchange,
                       const struct http1_request *request)
{
    struct etcd_v2_raw raw = {.path = span_str(request->path),
                              .query = span_str(request->query),
                              .content_type = http_header(exchange, "Content-Type"),
                              .body = request->body};
    struct etcd_v2_fault fault;
    if (!method_of(request->method, &raw.method)) {
        etcd_v2_send_not_allowed(exchange, "HEAD,GET,PUT,POST,DELETE");
        return;
    }
    struct etcd_v2_call *call = mem_new(struct etcd_v2_call);
    call->service = service;
    call->exchange = exchange;
    arena_init(&call->arena, ETCD_V2_ARENA_BUDGET(raw.path.len + raw.query.len + raw.body.len));
    int rc = etcd_v2_request_parse(&raw, &call->arena, &call->request, &fault);
    if (rc == 0) {
        run(call);
    } else if (rc == ERR_NOT_FOUND) {
        etcd_v2_send_text(exchange, 404, "404 page not found\n");
        etcd_v2_call_free(call);
    } else if (rc == ERR_INVALID) {
        etcd_v2_reply_error(call, fault.error, fault.cause, 0);
    } else {
        etcd_v2_reply_failure(call, ETCD_ERROR_REQUEST_TOO_LARGE);
    }
}

/* --- by path ---------------------------------------------------------------------------------- */

static bool is_at(const char *path, const char *prefix)
{
    size_t len = strlen(prefix);
    return strncmp(path, prefix, len) == 0 && (path[len] == '\0' || path[len] == '/');
}

void etcd_v2_serve(struct etcd_service *service, struct http_exchange *exchange,
                   const struct http1_request *request)
{
    const char *path = request->path;
    if (request->method == HTTP1_OPTIONS) { /* what browsers ask first */
        struct http1_response response = {.status = 200};
        http_respond(exchange, &response);
    } else if (is_at(path, "/v2/keys")) {
        serve_keys(service, exchange, request);
    } else if (strcmp(path, "/v2/machines") == 0) {
        etcd_v2_serve_machines(service, exchange, request);
    } else if (is_at(path, "/v2/members")) {
        etcd_v2_serve_members(service, exchange, request);
    } else if (is_at(path, "/v2/auth")) {
        etcd_v2_serve_auth(service, exchange, request);
    } else if (is_at(path, "/v2/stats")) {
        etcd_v2_serve_stats(service, exchange, request);
    } else {
        etcd_v2_send_text(exchange, 404, "404 page not found\n");
    }
}
