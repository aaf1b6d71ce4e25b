/* Puts the parts together, and takes them down again.
 *
 *   http_port --> http1_server -----> http_exchange --> etcd_http_serve --\
 *        \------> http2_server --+--> http_exchange --/                    etcd_service --> node
 *                                \--> grpc_server ----> etcd_grpc_calls --/
 *
 * A stop has three steps. DRAINING: nothing is accepted any more, HTTP/2 connections are told to go
 * elsewhere (GOAWAY), and what was asked for is still answered. CLOSING, after DRAIN_MS, or at once
 * where no leader is there who could answer: every call ends (`server stopped`), also what goes on
 * for ever (watches, keepalives), and connections are closed. LAST: the service. A start that fails
 * begins at CLOSING. */
#include "raft/etcd_server.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/net/http_exchange.h"
#include "base/net/http_port.h"
#include "base/net/tls_watch.h"
#include "raft/etcd/etcd_auth.h"
#include "raft/etcd/etcd_grpc_calls.h"
#include "raft/etcd/etcd_grpc_text.h"
#include "raft/etcd/etcd_http.h"
#include "raft/etcd/etcd_service.h"

#include <string.h>

#define CLOSED_LATER 4U /* parts that close_all stops */
#define DRAIN_MS     200

enum server_state { SERVER_RUNNING, SERVER_DRAINING, SERVER_CLOSING, SERVER_LAST };

struct etcd_server {
    enum server_state state;
    uv_loop_t *loop;
    struct etcd_server_config config; /* listen, advertise, username and password are ours */
    struct etcd_auth auth;
    struct http_face face;
    struct etcd_service *service;
    struct etcd_grpc_calls *calls;
    struct grpc_server *grpc;
    struct http_exchange_http2 *exchanges; /* requests of HTTP/2 that are no gRPC */
    struct http1_server *http1;
    struct http2_server *http2;
    struct http_port *port;  /* NULL: it could not be listened on */
    struct tls_context *tls; /* NULL: plain text */
    struct tls_watch *tls_watch;
    uv_timer_t timer;
    unsigned parts; /* that are still to stop before LAST */
    void (*stopped)(void *arg);
    void *stopped_arg;
};

/* --- requests --------------------------------------------------------------------------------- */

static void on_http(void *arg, struct http_exchange *exchange, const struct http1_request *request)
{
    struct etcd_server *server = arg;
    etcd_http_serve(server->service, exchange, request);
}

static void on_http2(void *arg, struct http2_stream *stream, const struct http2_request *request)
{
    struct etcd_server *server = arg;
    for (size_t i = 0; i < request->headers_count; i++) {
        if (span_equal_str(request->headers[i].name, "content-type") &&
            grpc_is_content_type(request->headers[i].value)) {
            grpc_serve(server->grpc, stream, request);
            return;
        }
    }
    http_exchange_http2_serve(server->exchanges, stream, request);
}

/* The rest of a stream's events goes to whom it was handed over. */
static const struct http2_events http2_events = {.on_request = on_http2};

/* --- stop ------------------------------------------------------------------------------------- */

static void server_free(struct etcd_server *server)
{
    mem_free((char *)(uintptr_t)server->config.listen);
    mem_free((char *)(uintptr_t)server->config.advertise);
    mem_free((char *)(uintptr_t)server->config.username);
    mem_free((char *)(uintptr_t)server->config.password);
    tls_context_free(server->tls);
    mem_free(server);
}

static void on_service_stopped(void *arg)
{
    struct etcd_server *server = arg;
    void (*stopped)(void *arg) = server->stopped;
    void *stopped_arg = server->stopped_arg;
    server_free(server);
    if (stopped != NULL) {
        stopped(stopped_arg);
    }
}

static void on_part_stopped(void *arg)
{
    struct etcd_server *server = arg;
    ASSERT(server->parts > 0);
    server->parts--;
    if (server->parts > 0) {
        return;
    }
    server->state = SERVER_LAST;
    etcd_grpc_calls_free(server->calls);
    etcd_service_stop(server->service, on_service_stopped, server);
}

static void on_timer_closed(uv_handle_t *handle)
{
    on_part_stopped(handle->data);
}

static void close_all(struct etcd_server *server)
{
    server->state = SERVER_CLOSING;
    etcd_gateway_stop(server->service);
    etcd_service_close(server->service);
    http1_server_stop(server->http1, on_part_stopped, server);
    http_exchange_http2_stop(server->exchanges, on_part_stopped, server);
    grpc_server_stop(server->grpc, etcd_error_code(ETCD_ERROR_STOPPED),
                     span_str(etcd_error_text(ETCD_ERROR_STOPPED)), on_part_stopped, server);
    uv_close((uv_handle_t *)&server->timer, on_timer_closed);
}

static void on_drained(uv_timer_t *timer)
{
    close_all(timer->data);
}

void etcd_server_stop(struct etcd_server *server, void (*stopped)(void *arg), void *arg)
{
    ASSERT(server->state == SERVER_RUNNING);
    server->state = SERVER_DRAINING;
    server->stopped = stopped;
    server->stopped_arg = arg;
    server->parts = 2 + CLOSED_LATER;
    if (server->tls_watch != NULL) {
        server->parts++;
        tls_watch_stop(server->tls_watch, on_part_stopped, server);
    }
    http_port_stop(server->port, on_part_stopped, server);
    http2_server_stop(server->http2, on_part_stopped, server);
    bool answers = etcd_service_has_leader(server->service);
    (void)uv_timer_start(&server->timer, on_drained, answers ? DRAIN_MS : 0, 0);
}

/* --- start ------------------------------------------------------------------------------------ */

static struct etcd_server *server_new(uv_loop_t *loop, const struct etcd_server_config *config)
{
    struct etcd_server *server = mem_new(struct etcd_server);
    server->loop = loop;
    server->config = *config;
    server->config.listen = mem_strdup(config->listen);
    server->config.advertise = mem_strdup(config->advertise);
    server->config.username = config->username == NULL ? NULL : mem_strdup(config->username);
    server->config.password = config->password == NULL ? NULL : mem_strdup(config->password);
    server->auth = (struct etcd_auth){.username = span_str(server->config.username),
                                      .password = span_str(server->config.password)};
    server->face = (struct http_face){.on_request = on_http, .arg = server};
    server->timer.data = server;
    return server;
}

/* Everything but the listener; none of it can fail. */
static void make_parts(struct etcd_server *server)
{
    const struct etcd_server_config *config = &server->config;
    struct etcd_service_config service = {.loop = server->loop,
                                          .clock = config->clock,
                                          .random = config->random,
                                          .node = config->node,
                                          .on_warning = config->on_warning,
                                          .arg = config->arg,
                                          .election_timeout_ms = config->election_timeout_ms,
                                          .client_urls = config->advertise,
                                          .peers_use_tls = config->peers_use_tls,
                                          .auth = config->username == NULL ? NULL : &server->auth};
    (void)uv_timer_init(server->loop, &server->timer);
    server->service = etcd_service_new(&service);
    server->calls = etcd_grpc_calls_new(server->service);
    server->grpc = grpc_server_new(server->loop, etcd_grpc_calls_config(server->calls));
    server->exchanges =
        http_exchange_http2_new(server->loop, &server->face, ETCD_HTTP_BODY_BYTES_MAX);
    int rc = http1_server_start(server->loop, NULL, http_exchange_http1, &server->face,
                                &server->http1, NULL);
    ASSERT(rc == 0); /* what fails is a listener, and it has none */
    http1_server_set_limits(server->http1, &etcd_http1_limits);
    rc = http2_server_start(server->loop, &http2_events, server, &server->http2, NULL);
    ASSERT(rc == 0);
}

/* --- TLS -------------------------------------------------------------------------------------- */

static void on_certificates_loaded(void *arg, const char *text)
{
    struct etcd_server *server = arg;
    if (server->config.on_note != NULL) {
        server->config.on_note(server->config.arg, text);
    }
}

static void on_certificates_failed(void *arg, const struct error *err)
{
    struct etcd_server *server = arg;
    struct error told = *err;
    error_wrap(&told, "the certificates that were read before stay in use");
    server->config.on_warning(server->config.arg, told.text);
}

static void on_certificates_expire(void *arg, const char *text)
{
    struct etcd_server *server = arg;
    server->config.on_warning(server->config.arg, text);
}

static int open_tls(const struct etcd_server_config *config, struct tls_context **ret_context,
                    struct error *err)
{
    static const char *const protocols[HTTP_PORT_PROTOCOL_COUNT] = HTTP_PORT_PROTOCOLS;
    struct tls_config tls = {.certfile = config->certfile,
                             .keyfile = config->keyfile,
                             .cafile = config->cafile,
                             .verify = config->client_cert_auth ? TLS_VERIFY_REQUIRED
                                       : config->cafile != NULL ? TLS_VERIFY_OPTIONAL
                                                                : TLS_VERIFY_NONE,
                             .protocols = protocols,
                             .protocol_count = HTTP_PORT_PROTOCOL_COUNT};
    *ret_context = NULL;
    if (config->certfile == NULL) {
        return 0;
    }
    int rc = tls_context_new(&tls, ret_context, err);
    if (rc != 0) {
        error_wrap(err, "etcd_server");
    }
    return rc;
}

static void start_tls(struct etcd_server *server)
{
    const struct tls_watch_events events = {.on_loaded = on_certificates_loaded,
                                            .on_failed = on_certificates_failed,
                                            .on_expiry = on_certificates_expire,
                                            .arg = server};
    if (server->tls != NULL) {
        http_port_set_tls(server->port, server->tls);
        server->tls_watch = tls_watch_start(server->loop, server->tls, &events, 0);
    }
}

/* --- listening -------------------------------------------------------------------------------- */

int etcd_server_start(struct uv_loop_s *loop, const struct etcd_server_config *config,
                      struct etcd_server **ret_server, struct error *err)
{
    struct net_addr listen;
    struct tls_context *tls = NULL;
    int rc = net_addr_parse(config->listen, NET_PORT_REQUIRED, &listen, err);
    if (rc != 0) {
        error_wrap(err, "etcd_server.listen");
        return rc;
    }
    rc = open_tls(config, &tls, err);
    if (rc != 0) {
        return rc;
    }
    struct etcd_server *server = server_new(loop, config);
    server->tls = tls;
    make_parts(server);
    rc = http_port_start(loop, &listen, server->http1, server->http2, &server->port, err);
    if (rc != 0) {
        error_wrap(err, "etcd_server.listen");
        server->parts = 1 + CLOSED_LATER;
        http2_server_stop(server->http2, on_part_stopped, server);
        close_all(server);
        return rc;
    }
    start_tls(server);
    *ret_server = server;
    return 0;
}

/* --- use -------------------------------------------------------------------------------------- */

uint16_t etcd_server_port(const struct etcd_server *server)
{
    return http_port_number(server->port);
}

void etcd_server_on_change(struct etcd_server *server)
{
    if (server->state != SERVER_LAST) {
        etcd_service_on_change(server->service);
    }
}

void etcd_server_reload(struct etcd_server *server)
{
    if (server->tls_watch != NULL && server->state == SERVER_RUNNING) {
        tls_watch_look(server->tls_watch);
    }
}
