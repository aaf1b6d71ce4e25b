/* One HTTP request and its answer, whoever carries it: HTTP/1 or HTTP/2. Rules of the answer are
 * those of http1.h. */
#ifndef BASE_NET_HTTP_EXCHANGE_H
#define BASE_NET_HTTP_EXCHANGE_H

#include "base/err.h"
#include "base/net/http1.h"
#include "base/net/stream.h"

struct http_exchange;

struct http_exchange_ops {
    struct span (*header)(const struct http_exchange *exchange, const char *name);
    const struct stream_peer *(*peer)(const struct http_exchange *exchange);
    void (*respond)(struct http_exchange *exchange, const struct http1_response *response);
    int (*stream_start)(struct http_exchange *exchange, const struct http1_response *head,
                        void (*on_gone)(void *arg), void *arg);
    void (*stream_send)(struct http_exchange *exchange, struct span piece);
    size_t (*stream_pending)(const struct http_exchange *exchange);
    void (*stream_end)(struct http_exchange *exchange);
};

/* The carrier puts it first into its own struct. */
struct http_exchange {
    const struct http_exchange_ops *ops;
};

/* The request (path, query, body) is valid until http_respond or http_stream_start. */
typedef void (*http_handler)(void *arg, struct http_exchange *exchange,
                             const struct http1_request *request);

/* Value of a header; data NULL: it has none. Valid as the request is. */
struct span http_header(const struct http_exchange *exchange, const char *name);
const struct stream_peer *http_peer(const struct http_exchange *exchange);
/* The answer, exactly once, now or later ... */
void http_respond(struct http_exchange *exchange, const struct http1_response *response);
/* ... or one in pieces: see http1_stream_start. */
int http_stream_start(struct http_exchange *exchange, const struct http1_response *head,
                      void (*on_gone)(void *arg), void *arg) MUST_CHECK;
void http_stream_send(struct http_exchange *exchange, struct span piece);
size_t http_stream_pending(const struct http_exchange *exchange);
void http_stream_end(struct http_exchange *exchange);

#endif
