/* Routing: Patroni's rule. The first segment of the path and the verb choose a handler; HEAD and
 * OPTIONS ask for health (but for the page at /ui); an unknown GET is a health check that fails
 * (503), never 404; other verbs without a handler are 501. */
#include "agent/api/api_server.h"

#include "agent/api/api_private.h"
#include "base/assert.h"
#include "base/buf.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { WAIT_LOOK_MS = 200, ROUTES = 23, API_REFUSED_AGAIN_MS = 5000 };

struct api_status *api_status_new(void)
{
    struct api_status *status = mem_new(struct api_status);
    status->refs = 1;
    return status;
}

struct api_status *api_status_ref(struct api_status *status)
{
    status->refs++;
    return status;
}

void api_status_unref(struct api_status *status)
{
    if (status == NULL || --status->refs > 0) {
        return;
    }
    json_decref(status->tags);
    mem_free(status->document);
    mem_free(status->cluster_document);
    mem_free(status->history);
    mem_free(status->config);
    mem_free(status->failsafe);
    mem_free(status);
}

/* --- replies ---------------------------------------------------------------------------------- */

void api_reply_text(struct http1_exchange *exchange, int status, const char *fmt, ...)
{
    char text[1024];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    struct http1_response response = {
        .status = status, .content_type = "text/html", .body = span_str(text)};
    http1_respond(exchange, &response);
}

void api_reply_json_text(struct http1_exchange *exchange, int status, const char *text)
{
    struct http1_response response = {
        .status = status, .content_type = "application/json", .body = span_str(text)};
    http1_respond(exchange, &response);
}

static void put_escaped(struct buf *out, const char *text)
{
    for (; *text != '\0'; text++) {
        switch (*text) {
        case '&': buf_put_str(out, "&amp;"); break;
        case '<': buf_put_str(out, "&lt;"); break;
        case '>': buf_put_str(out, "&gt;"); break;
        default: buf_put_u8(out, (uint8_t)*text); break;
        }
    }
}

void api_reply_error(struct http1_exchange *exchange, int status, const char *text)
{
    struct buf page = BUF_INIT;
    buf_printf(&page,
               "<!DOCTYPE HTML>\n<html><head><title>Error response</title></head>\n"
               "<body><h1>Error response</h1><p>Error code: %d</p><p>Message: ",
               status);
    put_escaped(&page, text);
    buf_put_str(&page, ".</p></body></html>\n");
    struct http1_response response = {.status = status,
                                      .content_type = "text/html;charset=utf-8",
                                      .plain_head = true,
                                      .body = buf_span(&page)};
    http1_respond(exchange, &response);
    buf_free(&page);
}

static void reply_code(struct http1_exchange *exchange, int status)
{
    struct http1_response response = {.status = status, .content_type = NULL};
    http1_respond(exchange, &response);
}

static json_t *parse_body(struct http1_exchange *exchange, const struct http1_request *request,
                          size_t keys_min)
{
    if (!request->has_length) {
        api_reply_error(exchange, 411, "Length Required");
        return NULL;
    }
    json_error_t where;
    json_t *body = json_loadb((const char *)request->body.data, request->body.len,
                              JSON_REJECT_DUPLICATES, &where);
    if (!json_is_object(body) || json_object_size(body) < keys_min) {
        char text[sizeof where.text + 100];
        if (body == NULL) {
            (void)snprintf(text, sizeof text, "the body is no JSON: line %d, column %d: %s",
                           where.line, where.column, where.text);
        } else {
            (void)snprintf(text, sizeof text, "the body is no JSON object%s",
                           keys_min > 0 ? " with at least one key" : "");
        }
        json_decref(body);
        api_reply_error(exchange, 400, text);
        return NULL;
    }
    return body;
}

json_t *api_body(struct http1_exchange *exchange, const struct http1_request *request)
{
    return parse_body(exchange, request, 1);
}

json_t *api_body_or_empty(struct http1_exchange *exchange, const struct http1_request *request)
{
    return parse_body(exchange, request, 0);
}

bool api_write_begin(struct api_server *server, struct http1_exchange *exchange)
{
    if (server->write_count >= API_WRITES_MAX) {
        api_reply_error(exchange, 503, "too many writes are under way already");
        return false;
    }
    server->write_count++;
    return true;
}

void api_write_end(struct api_server *server)
{
    ASSERT(server->write_count > 0);
    server->write_count--;
}

/* --- reading ---------------------------------------------------------------------------------- */

static void get_patroni(struct api_server *server, struct http1_exchange *exchange,
                        const struct http1_request *request)
{
    (void)request;
    api_reply_json_text(exchange, 200, server->status->document);
}

static void get_cluster(struct api_server *server, struct http1_exchange *exchange,
                        const struct http1_request *request)
{
    (void)request;
    if (server->status->cluster_document == NULL) {
        api_reply_text(exchange, 503, "the store has not been read yet");
    } else {
        api_reply_json_text(exchange, 200, server->status->cluster_document);
    }
}

static void get_history(struct api_server *server, struct http1_exchange *exchange,
                        const struct http1_request *request)
{
    (void)request;
    api_reply_json_text(exchange, 200,
                        server->status->history == NULL ? "[]" : server->status->history);
}

static void get_config(struct api_server *server, struct http1_exchange *exchange,
                       const struct http1_request *request)
{
    (void)request;
    if (server->status->config == NULL) {
        api_reply_error(exchange, 502, "Bad Gateway");
    } else {
        api_reply_json_text(exchange, 200, server->status->config);
    }
}

static void get_failsafe(struct api_server *server, struct http1_exchange *exchange,
                         const struct http1_request *request)
{
    (void)request;
    if (server->status->failsafe == NULL) {
        api_reply_error(exchange, 502, "Bad Gateway");
    } else {
        api_reply_json_text(exchange, 200, server->status->failsafe);
    }
}

/* Patroni takes status 200 with exactly this word for a yes, and the header for our position. */
static void post_failsafe(struct api_server *server, struct http1_exchange *exchange,
                          const struct http1_request *request)
{
    char headers[48];
    uint64_t lsn = 0;
    struct error err = {0};
    json_t *question = api_body(exchange, request);
    if (question == NULL) {
        return;
    }
    int rc = server->ports.failsafe(server->ports.arg, question, &lsn, &err);
    json_decref(question);
    if (rc != 0) {
        int status = rc == ERR_UNSUPPORTED ? 502 : rc == ERR_REFUSED ? 500 : 400;
        api_reply_text(exchange, status, "%s", err.text);
        return;
    }
    (void)snprintf(headers, sizeof headers, "lsn: %" PRIu64 "\r\n", lsn);
    struct http1_response response = {.status = 200,
                                      .content_type = "text/html",
                                      .headers = lsn == 0 ? NULL : headers,
                                      .body = span_str("Accepted")};
    http1_respond(exchange, &response);
}

static void get_metrics(struct api_server *server, struct http1_exchange *exchange,
                        const struct http1_request *request)
{
    (void)request;
    if (server->metrics == NULL) {
        server->metrics = server->ports.metrics(server->ports.arg);
    }
    struct http1_response response = {
        .status = 200, .content_type = "text/plain", .body = span_str(server->metrics)};
    http1_respond(exchange, &response);
}

static void get_explain(struct api_server *server, struct http1_exchange *exchange,
                        const struct http1_request *request)
{
    (void)request;
    if (server->explained == NULL) {
        server->explained = server->ports.explain(server->ports.arg);
    }
    api_reply_json_text(exchange, 200, server->explained);
}

static void post_reload(struct api_server *server, struct http1_exchange *exchange,
                        const struct http1_request *request)
{
    (void)request;
    server->ports.reload(server->ports.arg);
    api_reply_text(exchange, 202, "reload scheduled");
}

static void get_liveness(struct api_server *server, struct http1_exchange *exchange,
                         const struct http1_request *request)
{
    (void)request;
    reply_code(exchange, api_liveness_code(server->status, clock_mono_ms(server->ports.clock)));
}

static void get_readiness(struct api_server *server, struct http1_exchange *exchange,
                          const struct http1_request *request)
{
    reply_code(exchange, api_readiness_code(server->status, request->query,
                                            clock_lease_ms(server->ports.clock)));
}

static const struct {
    enum http1_method method;
    const char *segment;
    api_handler handler;
    bool is_bulk; /* long documents, and what makes the node work: health checks go first */
    bool judges;  /* on what the store says: it waits for the first view (api_view.c) */
} routes[ROUTES] = {
    {HTTP1_GET, "patroni", get_patroni, false, false},
    {HTTP1_GET, "cluster", get_cluster, true, false},
    {HTTP1_GET, "history", get_history, true, false},
    {HTTP1_GET, "config", get_config, true, false},
    {HTTP1_GET, "failsafe", get_failsafe, false, false},
    {HTTP1_GET, "metrics", get_metrics, true, false},
    {HTTP1_GET, "explain", get_explain, true, false},
    {HTTP1_GET, "ui", api_ui_get, true, false},
    {HTTP1_HEAD, "ui", api_ui_get, true, false},
    {HTTP1_GET, "liveness", get_liveness, false, false},
    {HTTP1_GET, "readiness", get_readiness, false, false},
    {HTTP1_PATCH, "config", api_config_patch, true, true},
    {HTTP1_PUT, "config", api_config_put, true, true},
    {HTTP1_POST, "switchover", api_switchover, true, true},
    {HTTP1_POST, "failover", api_failover, true, true},
    {HTTP1_POST, "reload", post_reload, true, false},
    {HTTP1_POST, "failsafe", post_failsafe, false, false}, /* a primary's deadline waits for it */
    {HTTP1_DELETE, "switchover", api_switchover_delete, true, true},
    {HTTP1_POST, "restart", api_restart_post, true, true},
    {HTTP1_DELETE, "restart", api_restart_delete, true, false},
    {HTTP1_POST, "reinitialize", api_reinit_post, true, true},
    {HTTP1_POST, "reexec", api_reexec_post, true, false},
    {HTTP1_POST, "dry-run", api_dry_run, true, false}, /* by what is asked */
};

/* Index of the route; the number of routes = it has none. */
static size_t route_of(const struct http1_request *request)
{
    const char *segment = request->path[0] == '/' ? request->path + 1 : request->path;
    size_t len = strcspn(segment, "/");
    size_t i = 0;
    while (i < ROUTES && (routes[i].method != request->method || strlen(routes[i].segment) != len ||
                          strncmp(routes[i].segment, segment, len) != 0)) {
        i++;
    }
    return i;
}

static bool is_bulk(const struct http1_request *request)
{
    size_t route = route_of(request);
    return route < ROUTES && routes[route].is_bulk;
}

static void health(struct api_server *server, struct http1_exchange *exchange,
                   const struct http1_request *request)
{
    struct api_now now = {.lease_ms = clock_lease_ms(server->ports.clock),
                          .mono_ms = clock_mono_ms(server->ports.clock)};
    int code = api_health_code(server->status, request->path, request->query, now);
    if (request->method != HTTP1_GET) {
        reply_code(exchange, code);
    } else {
        api_reply_json_text(exchange, code, server->status->document);
    }
}

/* --- refusing --------------------------------------------------------------------------------- */

static void tell_refused(struct api_server *server, const char *text)
{
    int64_t now = clock_mono_ms(server->ports.clock);
    if (server->ports.refused == NULL) {
        return;
    }
    if (server->refused_mono_ms != 0 && now - server->refused_mono_ms < API_REFUSED_AGAIN_MS) {
        server->refused_count++;
        return;
    }
    char more[64] = "";
    if (server->refused_count > 0) {
        (void)snprintf(more, sizeof more, " (%u more before, not told of)", server->refused_count);
    }
    char *whole = mem_printf("%s%s", text, more);
    server->refused_mono_ms = now;
    server->refused_count = 0;
    server->ports.refused(server->ports.arg, whole);
    mem_free(whole);
}

static void on_no_tls(void *arg, const struct error *err)
{
    tell_refused(arg, err->text);
}

/* Of names that are wrong there is no other sign than a refusal, much later. */
static void on_lost(void *arg, const char *host, const struct error *err)
{
    struct api_server *server = arg;
    if (server->ports.refused != NULL) {
        char *text = mem_printf("allowlist: '%s' is not found, and nobody is let in by it: %s",
                                host, err->text);
        server->ports.refused(server->ports.arg, text);
        mem_free(text);
    }
}

static const char *method_name(enum http1_method method)
{
    static const char *const names[] = {
        [HTTP1_GET] = "GET",       [HTTP1_HEAD] = "HEAD", [HTTP1_OPTIONS] = "OPTIONS",
        [HTTP1_POST] = "POST",     [HTTP1_PUT] = "PUT",   [HTTP1_PATCH] = "PATCH",
        [HTTP1_DELETE] = "DELETE", [HTTP1_OTHER] = "?"};
    return names[method];
}

/* Whether a request that changes something may go on; else it has been answered. */
static bool is_let_in(struct api_server *server, struct http1_exchange *exchange, size_t route)
{
    bool by_member = routes[route].handler == post_failsafe;
    const char *why = NULL;
    int status = api_access_check(server->access, exchange, by_member, &why);
    if (status == 0) {
        return true;
    }
    const struct stream_peer *peer = http1_request_peer(exchange);
    char *text =
        mem_printf("%s /%s of %s was refused (%d): %s", method_name(routes[route].method),
                   routes[route].segment, peer == NULL ? "a client" : peer->text, status, why);
    tell_refused(server, text);
    mem_free(text);
    struct http1_response response = {
        .status = status,
        .content_type = "text/html",
        .headers = status == 401 ? "WWW-Authenticate: Basic realm=\"Patroni\"\r\n" : NULL,
        .body = span_str(why)};
    http1_respond(exchange, &response);
    return false;
}

static bool is_unsafe(enum http1_method method)
{
    return method != HTTP1_GET && method != HTTP1_HEAD && method != HTTP1_OPTIONS;
}

static void on_request(void *arg, struct http1_exchange *exchange,
                       const struct http1_request *request)
{
    struct api_server *server = arg;
    size_t route = route_of(request);

    if (server->closing > 0) {
        reply_code(exchange, 503);
        return;
    }
    if (route < ROUTES && is_unsafe(request->method) && !is_let_in(server, exchange, route)) {
        return;
    }
    if (route < ROUTES && routes[route].judges &&
        api_view_wait(server, exchange, request, routes[route].handler)) {
        return;
    }
    if (server->status == NULL) {
        reply_code(exchange, 503);
        return;
    }
    if (route < ROUTES) {
        routes[route].handler(server, exchange, request);
    } else if (request->method == HTTP1_GET || request->method == HTTP1_HEAD ||
               request->method == HTTP1_OPTIONS) {
        health(server, exchange, request);
    } else {
        api_reply_error(exchange, 501, "Server does not support this operation");
    }
}

/* --- life ------------------------------------------------------------------------------------- */

/* They take long to render, so that one who asks again and again would hold up the others. */
static void forget_rendered(struct api_server *server)
{
    mem_free(server->explained);
    server->explained = NULL;
    mem_free(server->metrics);
    server->metrics = NULL;
    mem_free(server->shown);
    server->shown = NULL;
}

void api_server_publish(struct api_server *server, struct api_status *status)
{
    api_status_unref(server->status);
    server->status = api_status_ref(status);
    api_access_members(server->access, &status->cluster);
    forget_rendered(server);
    api_view_look(server);
    api_waits_look(server);
    api_restart_look(server);
}

static void on_wait_timer(uv_timer_t *timer)
{
    struct api_server *server = timer->data;
    forget_rendered(server);
    api_view_look(server);
    api_waits_look(server);
    api_restart_look(server);
}

int api_server_start(uv_loop_t *loop, const struct net_addr *listen, const struct api_ports *ports,
                     struct api_server **ret_server, struct error *err)
{
    struct api_server *server = mem_new(struct api_server);
    server->loop = loop;
    server->ports = *ports;
    list_init(&server->waits);
    list_init(&server->unviewed);
    int rc = http1_server_start(loop, listen, on_request, server, &server->http, err);
    if (rc != 0) {
        error_wrap(err, "restapi.listen");
        mem_free(server);
        return rc;
    }
    http1_server_set_bulk(server->http, is_bulk);
    http1_server_set_refused(server->http, on_no_tls, server);
    server->access = api_access_new(loop, on_lost, server);
    server->wait_timer.data = server;
    (void)uv_timer_init(loop, &server->wait_timer);
    (void)uv_timer_start(&server->wait_timer, on_wait_timer, WAIT_LOOK_MS, WAIT_LOOK_MS);
    *ret_server = server;
    return 0;
}

void api_server_secure(struct api_server *server, const struct api_security *security)
{
    http1_server_set_tls(server->http, security->tls);
    http1_server_set_head(server->http, security->server, security->headers);
    api_access_set(server->access, security);
    server->without_ui = security->without_ui;
}

static void on_part_closed(struct api_server *server)
{
    if (--server->closing == 0) {
        void (*stopped)(void *arg) = server->stopped;
        void *arg = server->stopped_arg;
        ASSERT(server->wait_count == 0 && server->write_count == 0 && server->unviewed_count == 0);
        api_status_unref(server->status);
        forget_rendered(server);
        mem_free(server);
        if (stopped != NULL) {
            stopped(arg);
        }
    }
}

static void on_stopped(void *arg)
{
    on_part_closed(arg);
}

static void on_timer_closed(uv_handle_t *handle)
{
    on_part_closed(handle->data);
}

void api_server_stop(struct api_server *server, void (*stopped)(void *arg), void *arg)
{
    if (server == NULL) {
        if (stopped != NULL) {
            stopped(arg);
        }
        return;
    }
    ASSERT(server->closing == 0);
    server->stopped = stopped;
    server->stopped_arg = arg;
    server->closing = 3;
    api_view_drop(server);
    api_waits_drop(server);
    api_restart_drop(server);
    api_reexec_drop(server);
    uv_close((uv_handle_t *)&server->wait_timer, on_timer_closed);
    http1_server_set_refused(server->http, NULL, NULL);
    http1_server_stop(server->http, on_stopped, server);
    api_access_close(server->access, on_stopped, server);
}

uint16_t api_server_port(const struct api_server *server)
{
    return http1_server_port(server->http);
}
