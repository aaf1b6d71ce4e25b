/* Users of the v2 API. There is one at most, of the configuration, who may do everything; nothing
 * here changes that. */
#include "raft/etcd/etcd_auth.h"
#include "raft/etcd/etcd_text.h"
#include "raft/etcd/etcd_v2.h"

#include <string.h>

/* The one role that etcd has without being told. */
#define ROLE "{\"role\":\"root\",\"permissions\":{\"kv\":{\"read\":[\"/*\"],\"write\":[\"/*\"]}}}"

/* Below /v2/auth. */
enum auth_place { AUTH_NOWHERE, AUTH_ENABLE, AUTH_USERS, AUTH_USER, AUTH_ROLES, AUTH_ROLE };

static enum auth_place place_of(const char *path, const char **ret_name)
{
    static const struct {
        const char *prefix;
        enum auth_place list;
        enum auth_place one;
    } places[] = {{"/v2/auth/users", AUTH_USERS, AUTH_USER},
                  {"/v2/auth/roles", AUTH_ROLES, AUTH_ROLE}};
    if (strcmp(path, "/v2/auth/enable") == 0) {
        return AUTH_ENABLE;
    }
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        size_t len = strlen(places[i].prefix);
        if (strncmp(path, places[i].prefix, len) == 0 && (path[len] == '\0' || path[len] == '/')) {
            *ret_name = path + len + (path[len] == '/' ? 1 : 0);
            return (*ret_name)[0] == '\0' ? places[i].list : places[i].one;
        }
    }
    return AUTH_NOWHERE;
}

static void send_refusal(struct etcd_service *service, struct http_exchange *exchange)
{
    etcd_v2_send_message(service, exchange, 403,
                         "users are not changed by this API: the one that pgquorum asks for stands "
                         "in its configuration, etcd_server.authentication",
                         true);
}

static void serve_enable(struct etcd_service *service, struct http_exchange *exchange,
                         enum http1_method method)
{
    bool enabled = etcd_service_config(service)->auth != NULL;
    if (method == HTTP1_GET) {
        const char *body = enabled ? "{\"enabled\":true}\n" : "{\"enabled\":false}\n";
        etcd_v2_send_json(service, exchange, 200, span_str(body), true);
    } else {
        send_refusal(service, exchange);
    }
}

static void send_missing(struct etcd_service *service, struct http_exchange *exchange,
                         const char *what, const char *name)
{
    struct buf text = BUF_INIT;
    buf_printf(&text, "auth: %s %s does not exist.", what, name);
    etcd_v2_send_message(service, exchange, 404, buf_str(&text), true);
    buf_free(&text);
}

/* NULL: none. */
static const struct etcd_auth *user_of(const struct etcd_service *service)
{
    return etcd_service_config(service)->auth;
}

static void put_user(const struct etcd_auth *user, struct buf *out)
{
    buf_put_str(out, "{\"user\":");
    json_put_string(out, user->username);
    buf_put_str(out, ",\"roles\":[" ROLE "]}");
}

static void put_users(const struct etcd_auth *user, struct buf *out)
{
    buf_put_str(out, "{\"users\":");
    if (user == NULL) {
        buf_put_str(out, "null");
    } else {
        buf_put_u8(out, '[');
        put_user(user, out);
        buf_put_u8(out, ']');
    }
    buf_put_u8(out, '}');
}

static void get(struct etcd_service *service, struct http_exchange *exchange, enum auth_place place,
                const char *name)
{
    const struct etcd_auth *user = user_of(service);
    struct buf body = BUF_INIT;
    if (place == AUTH_USERS) {
        put_users(user, &body);
    } else if (place == AUTH_ROLES) {
        buf_put_str(&body, "{\"roles\":[" ROLE "]}");
    } else if (place == AUTH_ROLE && strcmp(name, "root") == 0) {
        buf_put_str(&body, ROLE);
    } else if (place == AUTH_USER && user != NULL && span_equal_str(user->username, name)) {
        put_user(user, &body);
    }
    if (body.len == 0) {
        send_missing(service, exchange, place == AUTH_USER ? "User" : "Role", name);
    } else {
        buf_put_u8(&body, '\n');
        etcd_v2_send_json(service, exchange, 200, buf_span(&body), true);
    }
    buf_free(&body);
}

void etcd_v2_serve_auth(struct etcd_service *service, struct http_exchange *exchange,
                        const struct http1_request *request)
{
    const char *name = NULL;
    enum auth_place place = place_of(request->path, &name);
    bool is_list = place == AUTH_USERS || place == AUTH_ROLES;
    bool reads = request->method == HTTP1_GET;
    bool writes = request->method == HTTP1_PUT || request->method == HTTP1_DELETE;
    if (place == AUTH_NOWHERE) {
        etcd_v2_send_text(exchange, 404, "404 page not found\n");
    } else if (!reads && (is_list || !writes)) {
        etcd_v2_send_not_allowed(exchange, is_list ? "GET" : "GET,PUT,DELETE");
    } else if (!(reads && place == AUTH_ENABLE) && !etcd_v2_is_allowed(service, exchange)) {
        etcd_v2_send_message(service, exchange, 401, "Insufficient credentials", false);
    } else if (place == AUTH_ENABLE) {
        serve_enable(service, exchange, request->method);
    } else if (reads) {
        get(service, exchange, place, name);
    } else {
        send_refusal(service, exchange);
    }
}
