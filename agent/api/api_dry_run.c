/* POST /dry-run/switchover, .../failover, .../restart, .../reinitialize, .../reexec: the body and
 * the checks of the request of that name, and then the decision that it would lead to, of which
 * nothing is done. It asks for the same credentials: what it tells is the same. */
#include "agent/api/api_private.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>

enum { WHY_BYTES = 256 };

/* The part of the path after the first; "" = none. */
static const char *kind_of(const char *path)
{
    const char *rest = strchr(path + 1, '/');
    return rest == NULL ? "" : rest + 1;
}

static void tell(struct api_server *server, struct http1_exchange *exchange,
                 const struct api_supposed *supposed)
{
    struct error err = {0};
    char *text = server->ports.dry_run(server->ports.arg, supposed, &err);
    if (text == NULL) {
        api_reply_text(exchange, 503, "%s", err.text);
    } else {
        api_reply_json_text(exchange, 200, text);
    }
    mem_free(text);
}

static void suppose_switch(struct api_server *server, struct http1_exchange *exchange, json_t *body,
                           bool failover)
{
    struct api_supposed supposed = {.restart = NULL};
    char why[WHY_BYTES] = "";
    int code = api_switch_read(server, body, failover, &supposed.failover, why, sizeof why);
    if (code != 0) {
        api_reply_text(exchange, code, "%s", why);
    } else {
        tell(server, exchange, &supposed);
    }
}

static void suppose_restart(struct api_server *server, struct http1_exchange *exchange,
                            json_t *body)
{
    struct api_restart restart = {0};
    struct api_supposed supposed = {.restart = &restart};
    char why[WHY_BYTES] = "";
    int code = api_restart_read(server, body, &restart, why, sizeof why);
    if (code != 0) {
        api_reply_text(exchange, code, "%s", why);
    } else {
        tell(server, exchange, &supposed);
    }
}

static void suppose_reinit(struct api_server *server, struct http1_exchange *exchange, json_t *body)
{
    struct api_supposed supposed = {.reinit = true};
    if (api_reinit_read(exchange, body, &supposed.force, &supposed.from_leader)) {
        tell(server, exchange, &supposed);
    }
}

void api_dry_run(struct api_server *server, struct http1_exchange *exchange,
                 const struct http1_request *request)
{
    const char *kind = kind_of(request->path);
    if (strcmp(kind, "reexec") != 0 && api_view_wait(server, exchange, request, api_dry_run)) {
        return;
    }
    json_t *body = api_body_or_empty(exchange, request);
    if (body == NULL) {
        return;
    }
    if (strcmp(kind, "switchover") == 0 || strcmp(kind, "failover") == 0) {
        suppose_switch(server, exchange, body, strcmp(kind, "failover") == 0);
    } else if (strcmp(kind, "restart") == 0) {
        suppose_restart(server, exchange, body);
    } else if (strcmp(kind, "reinitialize") == 0) {
        suppose_reinit(server, exchange, body);
    } else if (strcmp(kind, "reexec") == 0) {
        api_reexec_ask(server, exchange, true);
    } else {
        api_reply_text(exchange, 404,
                       "dry-run of what: switchover, failover, restart, reinitialize or reexec");
    }
    json_decref(body);
}
