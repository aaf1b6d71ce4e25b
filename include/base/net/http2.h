/* The server side of HTTP/2 (RFC 9113) over our streams, on libnghttp2: bounded, and deaf to
 * floods. Cleartext with prior knowledge; with TLS, ALPN decides before a stream comes here.
 *
 * Of one request: on_request with its head, on_data with pieces of its body, on_request_end when
 * the client has said all, and on_close exactly once at the end, whatever ended it. The answer is
 * http2_respond, any number of http2_send, http2_finish; they may begin before the request ends. An
 * answer that ends before the request tells the client to stop sending.
 *
 * Flow control: what on_data gave counts against the client's windows until http2_consume; so no
 * more than HTTP2_WINDOW_BYTES of a stream, and HTTP2_CONNECTION_WINDOW_BYTES of a connection, are
 * under way. What http2_send is given waits in memory, bounded for all connections together.
 *
 * A connection ends when: nothing was asked for HTTP2_IDLE_MS; its preface or a head takes longer
 * than HTTP2_HEAD_MS; of what was sent nothing is taken for HTTP2_WRITE_MS (of one stream: that
 * stream ends); or it sends more resets, pings, settings and the like than HTTP2_CONTROL_BURST and
 * HTTP2_CONTROL_PER_S allow (CVE-2023-44487 and its relatives): then GOAWAY says
 * ENHANCE_YOUR_CALM. Below that every ping is answered.
 *
 * All on the loop's thread. No callback comes from inside a call. */
#ifndef BASE_NET_HTTP2_H
#define BASE_NET_HTTP2_H

#include "base/err.h"
#include "base/net/stream.h"
#include "base/span.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#define HTTP2_CONNECTIONS_MAX 256 /* then the longest idle one gives way, or the new one */
#define HTTP2_ADDRESS_MAX     (HTTP2_CONNECTIONS_MAX / 2) /* of one address: then one of its own */
#define HTTP2_LASTING_MAX \
    (HTTP2_CONNECTIONS_MAX * 3 / 4) /* with streams that last: they cannot be sent away */
#define HTTP2_LASTING_ADDRESS_MAX     (HTTP2_LASTING_MAX / 2) /* of them, of one address */
#define HTTP2_STREAMS_MAX             128                     /* of a connection at a time */
#define HTTP2_HEADERS_MAX             64 /* of a request; more, or more bytes: 431 */
#define HTTP2_HEAD_BYTES_MAX          16384
#define HTTP2_WINDOW_BYTES            (256 * 1024)
#define HTTP2_CONNECTION_WINDOW_BYTES (1024 * 1024)
#define HTTP2_HELD_BYTES_MAX          ((size_t)96 * 1024 * 1024) /* answers that wait, of all together */
#define HTTP2_HEAD_MS                 10000
#define HTTP2_WRITE_MS                30000
#define HTTP2_IDLE_MS                 300000
#define HTTP2_DRAIN_MS                1000 /* at the stop, for answers that are under way */
#define HTTP2_CONTROL_BURST           1000
#define HTTP2_CONTROL_PER_S           100

#define HTTP2_PREFACE                 "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

struct http2_server;
struct http2_stream; /* a request and its answer; valid until its on_close has returned */

struct http2_header {
    struct span name; /* lower case */
    struct span value;
};

/* Borrowed until on_request returns. */
struct http2_request {
    struct span method;
    struct span path; /* with its query */
    struct span authority;
    const struct http2_header *headers; /* without the pseudo headers */
    size_t headers_count;
};

struct http2_events {
    void (*on_request)(void *arg, struct http2_stream *stream, const struct http2_request *request);
    /* Not empty; borrowed. */
    void (*on_data)(void *arg, struct http2_stream *stream, struct span bytes);
    void (*on_request_end)(void *arg, struct http2_stream *stream);
    /* rc 0: the answer was sent whole. ERR_CANCELED: one side reset it. ERR_CLOSED: the connection
     * is gone. */
    void (*on_close)(void *arg, struct http2_stream *stream, int rc);
};

/* Has no listener: http2_server_serve is given the connections. */
int http2_server_start(uv_loop_t *loop, const struct http2_events *events, void *arg,
                       struct http2_server **ret_server, struct error *err) MUST_CHECK;
/* The stream is the server's from here on. `bytes`: what was read of it already; events that follow
 * from them come at once. */
void http2_server_serve(struct http2_server *server, struct stream *stream, struct span bytes);
size_t http2_server_connections(const struct http2_server *server);
/* GOAWAY to all; what is under way may still be answered for HTTP2_DRAIN_MS. `stopped` when the
 * loop holds nothing. Once. */
void http2_server_stop(struct http2_server *server, void (*stopped)(void *arg), void *arg);

/* In on_request: another one gets the rest of this stream's events. `events` is borrowed. */
void http2_stream_hand_over(struct http2_stream *stream, const struct http2_events *events,
                            void *arg);
void http2_stream_set_arg(struct http2_stream *stream, void *arg);
void *http2_stream_arg(const struct http2_stream *stream);
const struct stream_peer *http2_stream_peer(const struct http2_stream *stream);

/* Before an answer that may go on for long (a watch). False: HTTP2_LASTING_MAX other connections
 * have such a one, or HTTP2_LASTING_ADDRESS_MAX of its address, and this is to be refused: the rest
 * is for who asks and goes. */
bool http2_lasts(struct http2_stream *stream) MUST_CHECK;

/* `bytes` that came by on_data are dealt with: the client may send as many again. */
void http2_consume(struct http2_stream *stream, size_t bytes);

/* The head of the answer, once; `end`: it is the whole answer, no send and no finish follow.
 * Headers are copied; names in lower case. */
void http2_respond(struct http2_stream *stream, int status, const struct http2_header *headers,
                   size_t count, bool end);
/* A piece of the body, copied. ERR_LIMIT: HTTP2_HELD_BYTES_MAX, nothing was taken. */
int http2_send(struct http2_stream *stream, struct span bytes, struct error *err) MUST_CHECK;
/* Bytes of the body that wait to be sent. */
size_t http2_pending(const struct http2_stream *stream);
size_t http2_held(const struct http2_stream *stream); /* of all of its server's streams */
/* The end of the answer, with trailers if there are any. */
void http2_finish(struct http2_stream *stream, const struct http2_header *trailers, size_t count);
/* Ends it without an answer, or in the middle of one. on_close comes with ERR_CANCELED. */
void http2_reset(struct http2_stream *stream);

#endif
