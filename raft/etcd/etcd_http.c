/* The router. */
#include "raft/etcd/etcd_http.h"

#include <string.h>

/* A key is part of a url, with three letters a byte; a value may be, too. An answer may be the
 * whole store, in base64. */
const struct http1_limits etcd_http1_limits = {
    .body_bytes_max = ETCD_HTTP_BODY_BYTES_MAX,
    .url_bytes_max = HTTP1_HEAD_BYTES_MAX,
    .held_bytes_max = (size_t)96 * 1024 * 1024,
    .chunked = true,
};

/* What follows `prefix` in `path`; NULL: it does not begin with it. */
static const char *after(const char *path, const char *prefix)
{
    size_t len = strlen(prefix);
    return strncmp(path, prefix, len) == 0 ? path + len : NULL;
}

static void refuse(struct http_exchange *exchange)
{
    struct http1_response response = {.status = 404,
                                      .content_type = "text/plain; charset=utf-8",
                                      .headers = "X-Content-Type-Options: nosniff\r\n",
                                      .body = span_str("404 page not found\n")};
    http_respond(exchange, &response);
}

void etcd_http_serve(struct etcd_service *service, struct http_exchange *exchange,
                     const struct http1_request *request)
{
    const char *v3 = after(request->path, "/v3/");
    v3 = v3 != NULL ? v3 : after(request->path, "/v3beta/");
    if (v3 != NULL) {
        etcd_gateway_serve(service, exchange, request, v3 - 1);
    } else if (after(request->path, "/v2/") != NULL) {
        etcd_v2_serve(service, exchange, request);
    } else if (!etcd_info_serve(service, exchange, request)) {
        refuse(exchange);
    }
}
