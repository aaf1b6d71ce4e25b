/* Private to base/net: one request as a handle of libcurl. Options in, outcome out; who watches
 * sockets and calls back is http_client.c. */
#ifndef BASE_NET_HTTP_EASY_H
#define BASE_NET_HTTP_EASY_H

#include "base/buf.h"
#include "base/net/addr.h"
#include "base/net/http_client.h"

#include <curl/curl.h>

struct http_easy {
    CURL *curl;
    struct curl_slist *headers;
    uint8_t *body;                   /* of the request */
    char where[NET_ADDR_TEXT_BYTES]; /* "host:port" */
    unsigned keepalive_idle_s;
    unsigned user_timeout_ms;
    void (*on_data)(void *arg, int status, struct span piece);
    void *arg;
    bool repeatable;
    bool sent;             /* libcurl was let begin to send */
    bool repeat_refused;   /* and wanted to begin again */
    bool stopped;          /* nobody wants more of it */
    bool head_ended;       /* of the last head that began */
    size_t head_bytes;     /* of the answer, all heads together */
    size_t response_bytes; /* of the answer's body so far */
    size_t response_bytes_max;
    struct buf response;
    struct error limit; /* code 0 = none was reached */
    char curl_text[CURL_ERROR_SIZE];
};

/* Of a zeroed struct that does not move until it is closed. Whatever it returns, close it. */
int http_easy_open(struct http_easy *easy, const struct http_client_config *config,
                   const struct http_client_request *request, struct error *err) MUST_CHECK;
void http_easy_close(struct http_easy *easy);
/* No on_data after this; if libcurl is in the middle of it, it ends itself. */
void http_easy_stop(struct http_easy *easy);
/* What is known so far; borrowed from the handle. */
struct http_client_response http_easy_response(const struct http_easy *easy);
/* Our code and words for libcurl's end of it. */
int http_easy_outcome(const struct http_easy *easy, CURLcode result, struct error *err);

#endif
