/* The page to look at (agent/api/ui): files that never change, and what it shows, asked for again
 * and again. Reading alone, as open as /cluster and /explain are, of which it is made.
 *
 * Names and reasons come from other hosts. The page puts them in as text, and the policy that goes
 * with every answer leaves a browser nothing else to do with them: no code but the page's own file,
 * no element made of a string, nothing from or to anywhere else. */
#include "agent/api/api_private.h"
#include "agent/api/api_ui_files.h"

#include <string.h>

#define POLICY                                                                             \
    "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; "   \
    "img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "            \
    "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'\r\n" \
    "X-Content-Type-Options: nosniff\r\n"                                                  \
    "Referrer-Policy: no-referrer\r\n"                                                     \
    "Cross-Origin-Resource-Policy: same-origin\r\n"

static void reply(struct http1_exchange *exchange, int status, const char *type,
                  const char *headers, struct span body)
{
    struct http1_response response = {
        .status = status, .content_type = type, .headers = headers, .body = body};
    http1_respond(exchange, &response);
}

static void reply_state(struct api_server *server, struct http1_exchange *exchange)
{
    if (server->shown == NULL) {
        server->shown = server->ports.ui(server->ports.arg);
    }
    reply(exchange, 200, "application/json", POLICY "Cache-Control: no-store\r\n",
          span_str(server->shown));
}

void api_ui_get(struct api_server *server, struct http1_exchange *exchange,
                const struct http1_request *request)
{
    const char *rest = strchr(request->path + 1, '/'); /* the route has found "/ui" before it */
    struct api_ui_file file;

    if (server->without_ui) {
        reply(exchange, 404, "text/plain", POLICY, span_str("turned off by restapi.ui\n"));
    } else if (rest != NULL && strcmp(rest, "/state") == 0) {
        reply_state(server, exchange);
    } else if (rest != NULL && strcmp(rest, "/") == 0) {
        reply(exchange, 301, "text/plain", "Location: ../ui\r\n", span_str("../ui\n"));
    } else if (api_ui_file_find(rest == NULL ? "" : rest + 1, &file)) {
        reply(exchange, 200, file.type, POLICY "Cache-Control: no-cache\r\n", file.bytes);
    } else {
        reply(exchange, 404, "text/plain", POLICY, span_str("no such page\n"));
    }
}
