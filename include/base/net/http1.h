/* A small HTTP/1 server: strict, bounded, and fair to the quick.
 *
 * A request may have a body whatever its method is: it is read before the request is handed over.
 * A client that asks whether to send it (Expect: 100-continue) is told so, or refused at once.
 *
 * One request at a time per connection, pipelined ones in order. A HTTP/1.0 client gets HTTP/1.0
 * and a closed connection; HTTP/1.1 gets keep-alive. Every connection has a deadline for whatever
 * it waits for; when all connections are taken, the one that has waited longest gives way to a new
 * one, so that slow and silent clients never keep a health check out. A peer that goes away or
 * resets is no error. */
#ifndef BASE_NET_HTTP1_H
#define BASE_NET_HTTP1_H

#include "base/net/addr.h"
#include "base/net/stream.h"
#include "base/net/tls.h"
#include "base/span.h"

#include <stdbool.h>

#define HTTP1_CONNECTIONS_MAX 512
#define HTTP1_HEAD_BYTES_MAX  16384
#define HTTP1_BODY_BYTES_MAX  (1024 * 1024) /* unless a server takes more (http1_limits) */
#define HTTP1_PATH_BYTES_MAX  1024          /* with the query; likewise */
#define HTTP1_HEAD_MS         10000         /* for a whole head */
#define HTTP1_BODY_MS         30000         /* for a whole body */
#define HTTP1_IDLE_MS         60000         /* between two requests */
#define HTTP1_WRITE_MS        30000         /* for some of a response to be taken */
/* Answers that go on for long (http1_lasts): the rest of the places is for who asks and goes. */
#define HTTP1_LASTING_MAX         (HTTP1_CONNECTIONS_MAX * 3 / 4)
#define HTTP1_LASTING_ADDRESS_MAX (HTTP1_LASTING_MAX / 2) /* of them, of one address */
/* Of all connections together: read and not handled yet, or sent and not taken yet. */
#define HTTP1_HELD_BYTES_MAX (16 * 1024 * 1024)

enum http1_method {
    HTTP1_GET,
    HTTP1_HEAD,
    HTTP1_OPTIONS,
    HTTP1_POST,
    HTTP1_PUT,
    HTTP1_PATCH,
    HTTP1_DELETE,
    HTTP1_OTHER
};

struct http1_request {
    enum http1_method method;
    const char *path;  /* before '?', without scheme and host, not decoded; terminated */
    const char *query; /* after '?'; "" = none */
    struct span body;
    bool has_length; /* a Content-Length was there, or chunks */
};

struct http1_response {
    int status;
    const char *content_type; /* NULL: status line only, no body */
    const char *headers;      /* more of them, each line ended by CR LF; NULL = none */
    bool plain_head;          /* without those that the server adds (http1_server_set_head) */
    struct span body;
};

struct http1_server;
struct http1_exchange; /* one request that waits for its response */

/* The request is valid until http1_respond, which comes exactly once, now or later. */
typedef void (*http1_handler)(void *arg, struct http1_exchange *exchange,
                              const struct http1_request *request);

/* `listen` NULL: it has no listener, http1_server_serve is given the connections. */
int http1_server_start(uv_loop_t *loop, const struct net_addr *listen, http1_handler handler,
                       void *arg, struct http1_server **ret_server, struct error *err) MUST_CHECK;
/* Closes everything; exchanges may still be responded to (it goes nowhere). `stopped` when the loop
 * holds nothing. */
void http1_server_stop(struct http1_server *server, void (*stopped)(void *arg), void *arg);
uint16_t http1_server_port(const struct http1_server *server);

/* Tells which requests cost more than a moment. They wait for a turn of their own, so that the
 * others (health checks) never wait for many of them. PURE; the body is not there yet. */
void http1_server_set_bulk(struct http1_server *server,
                           bool (*is_bulk)(const struct http1_request *request));

/* What a server may be given instead of the defaults; zero = the default. */
struct http1_limits {
    size_t body_bytes_max; /* HTTP1_BODY_BYTES_MAX */
    size_t url_bytes_max;  /* HTTP1_PATH_BYTES_MAX; at most what a head may have */
    size_t held_bytes_max; /* HTTP1_HELD_BYTES_MAX */
    bool chunked;          /* bodies in chunks are taken; else 411 */
};

/* From here on new connections speak TLS with this context (held), of HTTP1_PROTOCOLS if of any;
 * NULL: plain text. Those that are there stay what they are. Whether a client's certificate was
 * found good stands in the stream_peer of its requests. */
#define HTTP1_PROTOCOLS \
    {                   \
        "http/1.1"      \
    }
#define HTTP1_PROTOCOL_COUNT 1
void http1_server_set_tls(struct http1_server *server, struct tls_context *context);
/* Tells of connections that ended before their first request because no TLS was agreed on: another
 * certificate, none, plain text. `err` names the peer. */
void http1_server_set_refused(struct http1_server *server,
                              void (*on_refused)(void *arg, const struct error *err), void *arg);
/* What answers with a content type have: the text of `Server`, and more headers, each line ended by
 * CR LF. Copied; NULL: "pgquorum", and none. */
void http1_server_set_head(struct http1_server *server, const char *name, const char *headers);

/* Before it has a connection. */
void http1_server_set_limits(struct http1_server *server, const struct http1_limits *limits);

/* Serves a stream that was not accepted here, as if it had been: the stream is the server's.
 * `bytes`: what was read of it already; a request that is whole in them is handed over at once. */
void http1_server_serve(struct http1_server *server, struct stream *stream, struct span bytes);

void http1_respond(struct http1_exchange *exchange, const struct http1_response *response);

/* Value of a header of the request, the first if there are several, without the space round it;
 * data NULL: it has none. Borrowed, as the request is. */
struct span http1_request_header(const struct http1_exchange *exchange, const char *name);
/* NULL once the connection is gone. */
const struct stream_peer *http1_request_peer(const struct http1_exchange *exchange);

/* For a request that may take long: has the peer's end noticed before the answer begins; the
 * request is valid no longer. Then `on_gone` comes, once, never from inside a call; the answer is
 * still to come and goes nowhere. One that only ends its own direction counts as gone, as with
 * http1_stream_start, whose on_gone takes this one's place. ERR_CLOSED: it is gone already, and no
 * on_gone comes. */
int http1_notice(struct http1_exchange *exchange, void (*on_gone)(void *arg), void *arg) MUST_CHECK;

/* Before an answer that may go on for long (a watch): takes one of the places that such may have,
 * until the answer is over. False: they are all taken, this one is to be refused. */
bool http1_lasts(struct http1_exchange *exchange) MUST_CHECK;

/* --- answers in pieces (http1_stream.c): instead of http1_respond ----------------------------- */

/* Sends the head at once: status, content_type (not NULL) and headers of `head`; the request is
 * valid no longer. HTTP/1.1 gets chunks, HTTP/1.0 an answer that its connection's end ends. When
 * the peer goes, or takes nothing for HTTP1_WRITE_MS, `on_gone` comes, once, never from inside a
 * call; what is sent then goes nowhere, and http1_stream_end is still to come. ERR_CLOSED: it is
 * gone already, the exchange is over. */
int http1_stream_start(struct http1_exchange *exchange, const struct http1_response *head,
                       void (*on_gone)(void *arg), void *arg) MUST_CHECK;
/* A chunk of its own; not empty. More than the peer's queue takes (some MiB): the connection is
 * closed, and on_gone says so. */
void http1_stream_send(struct http1_exchange *exchange, struct span piece);
size_t http1_stream_pending(const struct http1_exchange *exchange); /* bytes that wait */
size_t http1_held(const struct http1_exchange *exchange); /* of all of its server's connections */
/* Once, from inside on_gone too. */
void http1_stream_end(struct http1_exchange *exchange);
/* Instead of it: in the middle of the answer, which the peer cannot take for whole. */
void http1_stream_cut(struct http1_exchange *exchange);

#endif
