/* POST /reexec: answered when the new program was found good and is executed in a moment, or with
 * the reason why it is not. One at a time: the loop takes no more. */
#include "agent/api/api_private.h"

void api_reexec_ask(struct api_server *server, struct http1_exchange *exchange, bool dry_run)
{
    struct error err = {0};
    if (server->reexec != NULL) {
        api_reply_text(exchange, 503, "it is being executed anew already");
        return;
    }
    int rc = server->ports.reexec(server->ports.arg, dry_run, &err);
    if (rc != 0) {
        api_reply_text(exchange, 503, "not executed anew: %s", err.text);
        return;
    }
    server->reexec = exchange;
}

void api_reexec_post(struct api_server *server, struct http1_exchange *exchange,
                     const struct http1_request *request)
{
    (void)request;
    api_reexec_ask(server, exchange, false);
}

/* Taken out before the reply: after the last one the server may be gone. */
void api_server_reexec_told(struct api_server *server, int code, const char *text)
{
    struct http1_exchange *exchange = server->reexec;
    if (exchange != NULL) {
        server->reexec = NULL;
        api_reply_text(exchange, code, "%s", text);
    }
}

void api_reexec_drop(struct api_server *server)
{
    api_server_reexec_told(server, 503, "not executed anew: the agent is stopping");
}
