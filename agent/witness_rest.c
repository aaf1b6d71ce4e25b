/* Health checks of a load balancer must never find a database here: whatever they ask for is 503.
 * /liveness is 200 as long as somebody answers at all: a witness that has lost the others is not
 * helped by a restart. /readiness is 200 when it takes part: it votes, and knows who leads. */
#include "agent/witness_rest.h"

#include "agent/api/api_metrics.h"
#include "agent/app_group.h"
#include "agent/rest_tls.h"
#include "base/mem.h"
#include "base/net/http1.h"
#include "base/net/tls_watch.h"
#include "raft/group.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

struct witness_rest {
    struct http1_server *http;
    const struct config *config;
    struct raft_group **group;
    struct tls_watch *watch; /* NULL: plain HTTP */
    void (*stopped)(void *arg);
    void *stopped_arg;
};

static bool takes_part(const struct witness_rest *rest)
{
    struct raft_node *node = *rest->group == NULL ? NULL : raft_group_node(*rest->group);
    struct raft_status status;
    if (node == NULL) {
        return false;
    }
    raft_node_status(node, &status);
    bool votes = false;
    for (size_t i = 0; i < status.member_count; i++) {
        votes = votes || (status.members[i].id == status.id && status.members[i].voter);
    }
    return votes && status.leader != 0;
}

static void reply_code(struct http1_exchange *exchange, int status)
{
    struct http1_response response = {.status = status};
    http1_respond(exchange, &response);
}

static void reply_metrics(const struct witness_rest *rest, struct http1_exchange *exchange)
{
    struct api_metrics metrics;
    api_metrics_init(&metrics, rest->config->scope, rest->config->name);
    app_group_metrics(*rest->group, &metrics);
    char *text = api_metrics_take(&metrics);
    struct http1_response response = {
        .status = 200, .content_type = "text/plain", .body = span_str(text)};
    http1_respond(exchange, &response);
    mem_free(text);
}

static void reply_document(const struct witness_rest *rest, struct http1_exchange *exchange)
{
    json_t *document =
        json_pack("{s:s, s:s, s:{s:s, s:s, s:s}}", "state", "running", "role", "witness", "patroni",
                  "version", "4.1.4", "scope", rest->config->scope, "name", rest->config->name);
    char *text = json_dumps(document, JSON_ENSURE_ASCII);
    struct http1_response response = {
        .status = 503, .content_type = "application/json", .body = span_str(text)};
    http1_respond(exchange, &response);
    mem_free(text);
    json_decref(document);
}

static void on_request(void *arg, struct http1_exchange *exchange,
                       const struct http1_request *request)
{
    const struct witness_rest *rest = arg;
    if (request->method != HTTP1_GET && request->method != HTTP1_HEAD &&
        request->method != HTTP1_OPTIONS) {
        struct http1_response response = {
            .status = 501,
            .content_type = "text/html",
            .body = span_str("a witness has nothing that could be changed: ask a node that has "
                             "PostgreSQL\n")};
        http1_respond(exchange, &response);
    } else if (strcmp(request->path, "/liveness") == 0) {
        reply_code(exchange, 200);
    } else if (strcmp(request->path, "/readiness") == 0) {
        reply_code(exchange, takes_part(rest) ? 200 : 503);
    } else if (strcmp(request->path, "/metrics") == 0) {
        reply_metrics(rest, exchange);
    } else if (request->method != HTTP1_GET) {
        reply_code(exchange, 503);
    } else {
        reply_document(rest, exchange);
    }
}

int witness_rest_start(struct uv_loop_s *loop, const struct config *config,
                       struct raft_group **group, struct witness_rest **ret_rest, struct error *err)
{
    *ret_rest = NULL;
    if (config->restapi_listen.text == NULL) {
        return 0;
    }
    struct net_addr listen = {.port = config->restapi_listen.port};
    const char *host = config->restapi_listen.host;
    (void)snprintf(listen.host, sizeof listen.host, "%s", host[0] == '\0' ? "*" : host);
    struct tls_context *tls = NULL;
    int rc = rest_tls_read(&config->restapi, &tls, err);
    if (rc != 0) {
        return rc;
    }
    struct witness_rest *rest = mem_new(struct witness_rest);
    *rest = (struct witness_rest){.config = config, .group = group};
    rc = http1_server_start(loop, &listen, on_request, rest, &rest->http, err);
    if (rc != 0) {
        error_wrap(err, "restapi.listen");
        tls_context_free(tls);
        mem_free(rest);
        return rc;
    }
    http1_server_set_tls(rest->http, tls);
    http1_server_set_head(rest->http, rest_server_name(&config->restapi), config->restapi.headers);
    rest->watch = rest_tls_watch(loop, tls);
    tls_context_free(tls);
    *ret_rest = rest;
    return 0;
}

void witness_rest_reload(struct witness_rest *rest)
{
    if (rest != NULL && rest->watch != NULL) {
        tls_watch_look(rest->watch);
    }
}

static void on_http_stopped(void *arg)
{
    struct witness_rest *rest = arg;
    void (*stopped)(void *arg) = rest->stopped;
    void *stopped_arg = rest->stopped_arg;
    mem_free(rest);
    stopped(stopped_arg);
}

void witness_rest_stop(struct witness_rest *rest, void (*stopped)(void *arg), void *arg)
{
    if (rest == NULL) {
        stopped(arg);
        return;
    }
    if (rest->watch != NULL) {
        tls_watch_stop(rest->watch, NULL, NULL);
    }
    rest->stopped = stopped;
    rest->stopped_arg = arg;
    http1_server_stop(rest->http, on_http_stopped, rest);
}
