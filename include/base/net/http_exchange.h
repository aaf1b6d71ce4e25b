/* One HTTP request and its answer, whoever carries it: HTTP/1 or HTTP/2. Rules of the answer are
 * those of http1.h: one http_respond, or an http_stream_start that is ended; a peer that has gone
 * makes no difference to that. All on the loop's thread. */
#ifndef BASE_NET_HTTP_EXCHANGE_H
#define BASE_NET_HTTP_EXCHANGE_H

#include "base/err.h"
#include "base/net/http1.h"
#include "base/net/http2.h"
#include "base/net/stream.h"

struct http_exchange;

struct http_exchange_ops {
    struct span (*header)(const struct http_exchange *exchange, const char *name);
    const struct stream_peer *(*peer)(const struct http_exchange *exchange);
    bool (*lasts)(struct http_exchange *exchange);
    int (*notice)(struct http_exchange *exchange, void (*on_gone)(void *arg), void *arg);
    void (*respond)(struct http_exchange *exchange, const struct http1_response *response);
    int (*stream_start)(struct http_exchange *exchange, const struct http1_response *head,
                        void (*on_gone)(void *arg), void *arg);
    void (*stream_send)(struct http_exchange *exchange, struct span piece);
    size_t (*stream_pending)(const struct http_exchange *exchange);
    size_t (*held)(const struct http_exchange *exchange);
    void (*stream_end)(struct http_exchange *exchange);
    void (*stream_cut)(struct http_exchange *exchange);
};

/* The carrier puts it first into its own struct. */
struct http_exchange {
    const struct http_exchange_ops *ops;
};

/* The request (path, query, body) is valid until http_respond, http_stream_start or http_notice. */
typedef void (*http_handler)(void *arg, struct http_exchange *exchange,
                             const struct http1_request *request);

/* Value of a header, the first if there are several; data NULL: it has none. Valid as the request
 * is. Names are compared without regard to case. */
struct span http_header(const struct http_exchange *exchange, const char *name);
/* NULL once the peer has gone; never in the handler's call. */
const struct stream_peer *http_peer(const struct http_exchange *exchange);
/* Before an answer that may go on for long: see http1_lasts, http2_lasts. False: it is to be
 * refused.
 */
bool http_lasts(struct http_exchange *exchange) MUST_CHECK;
/* Has a peer that goes before the answer begins told: see http1_notice. */
int http_notice(struct http_exchange *exchange, void (*on_gone)(void *arg), void *arg) MUST_CHECK;
/* The answer, exactly once, now or later ... */
void http_respond(struct http_exchange *exchange, const struct http1_response *response);
/* ... or one in pieces: see http1_stream_start. */
int http_stream_start(struct http_exchange *exchange, const struct http1_response *head,
                      void (*on_gone)(void *arg), void *arg) MUST_CHECK;
void http_stream_send(struct http_exchange *exchange, struct span piece);
size_t http_stream_pending(const struct http_exchange *exchange);
/* Bytes that wait with all exchanges of its carrier: for who may wait himself. */
size_t http_held(const struct http_exchange *exchange);
void http_stream_end(struct http_exchange *exchange);
void http_stream_cut(struct http_exchange *exchange); /* instead: see http1_stream_cut */

/* --- carriers --------------------------------------------------------------------------------- */

/* Who answers. Borrowed by the carriers. */
struct http_face {
    http_handler on_request;
    void *arg;
};

/* Over HTTP/1: the handler of http1_server_start; `face` (its `arg`) is a struct http_face. */
void http_exchange_http1(void *face, struct http1_exchange *exchange,
                         const struct http1_request *request);

/* Over HTTP/2 (http_exchange_http2.c): requests of streams that are no gRPC. Their bodies are
 * gathered: each whole within HTTP1_BODY_MS, else 408; not larger than the server takes, else 413;
 * all together within HTTP_EXCHANGE_HELD_BYTES_MAX, as requests within HTTP_EXCHANGES_MAX, else
 * 503. Of an answer in pieces HTTP_EXCHANGE_PENDING_BYTES_MAX may wait; with more, its stream is
 * reset. */
#define HTTP_EXCHANGES_MAX              1024
#define HTTP_EXCHANGE_HELD_BYTES_MAX    ((size_t)32 * 1024 * 1024)
#define HTTP_EXCHANGE_PENDING_BYTES_MAX ((size_t)16 * 1024 * 1024)

struct http_exchange_http2;

struct http_exchange_http2 *http_exchange_http2_new(uv_loop_t *loop, const struct http_face *face,
                                                    size_t body_bytes_max);
/* To be called in on_request of the server's events: the stream is this one's from there on. */
void http_exchange_http2_serve(struct http_exchange_http2 *server, struct http2_stream *stream,
                               const struct http2_request *request);
/* Refuses what comes (503) and cuts answers in pieces off (their on_gone comes). `stopped` when
 * nothing is left of it: every exchange was answered, and its stream is closed, for which
 * http2_server_stop provides. Once. */
void http_exchange_http2_stop(struct http_exchange_http2 *server, void (*stopped)(void *arg),
                              void *arg);

#endif
