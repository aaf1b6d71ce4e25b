/* Private to HTTP/2: http2.c has the server, its connections and their deadlines, http2_session.c
 * what nghttp2 calls and the streams. */
#ifndef BASE_NET_HTTP2_IMPL_H
#define BASE_NET_HTTP2_IMPL_H

#include "base/buf.h"
#include "base/list.h"
#include "base/net/http2.h"

#include <nghttp2/nghttp2.h>

struct http2_server {
    uv_loop_t *loop;
    const struct http2_events *events;
    void *arg;
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *option;
    struct list
        connections; /* the one that has been idle longest first, of those without streams */
    size_t count;
    size_t lasting;    /* of them, with streams that last */
    struct list dirty; /* connections that have something to send, or to end */
    uv_idle_t flush;   /* runs while there are such */
    uv_timer_t sweep;
    size_t held; /* bytes that streams want to send */
    bool stopping;
    uint64_t drain_until_ms;
    bool handles_closing;
    unsigned handles_left;
    void (*stopped)(void *arg);
    void *stopped_arg;
    struct buf out; /* scratch */
};

struct http2_connection {
    struct list link;
    struct list dirty;
    struct http2_server *server;
    struct stream *stream;    /* NULL once closing */
    nghttp2_session *session; /* NULL once closing */
    struct list streams;
    size_t streams_count;
    size_t lasting; /* of them */
    bool busy;    /* nghttp2 is in a call, or an event is being handled: no end before it returns */
    bool doomed;  /* ends at the next chance */
    bool paused;  /* not read: the peer takes nothing either */
    bool greeted; /* its first SETTINGS have come */
    uint64_t idle_since_ms;
    uint64_t head_since_ms; /* a head is under way, of stream `head_id`; 0 = none */
    int32_t head_id;
    uint64_t write_since_ms;  /* bytes wait for the kernel, and none was taken; 0 = none waits */
    size_t waiting;           /* of them, when they were last looked at */
    uint64_t linger_since_ms; /* all is said, the peer is to close; 0 = not yet */
    uint64_t tokens_ms;
    unsigned tokens; /* control frames that it may still send */
};

/* Headers, copied: offsets, because the bytes move while it grows. */
struct http2_block {
    struct buf bytes;
    size_t count;
    struct {
        size_t at; /* the name, and the value behind it */
        size_t name_len;
        size_t value_len;
    } slots[HTTP2_HEADERS_MAX];
};

struct http2_stream {
    struct list link;
    struct http2_connection *connection;
    int32_t id;
    const struct http2_events *events; /* the server's, or whom it was handed to */
    void *events_arg;
    void *arg;
    struct http2_block *head; /* until on_request */
    bool too_large;
    bool known; /* on_request has come */
    bool ended; /* the client has said all */
    bool lasting;
    size_t unconsumed;
    /* its answer */
    bool responded;
    bool finished;
    bool deferred; /* nghttp2 waits for more of the body */
    struct buf out;
    size_t out_at;
    uint64_t out_since_ms;        /* bytes wait; counted anew with each that goes */
    struct http2_block *trailers; /* NULL = none */
};

/* --- http2_session.c -------------------------------------------------------------------------- */

int http2_session_setup(struct http2_server *server, struct error *err) MUST_CHECK;
/* Makes the session and says our settings. */
int http2_session_open(struct http2_connection *connection) MUST_CHECK;
/* One stream ends: on_close, then it is freed. */
void http2_stream_end(struct http2_stream *stream, int rc);
void http2_stream_abort(struct http2_stream *stream, uint32_t code);

/* --- http2.c ---------------------------------------------------------------------------------- */

/* Something is to be sent, or the connection to be ended, soon. */
void http2_connection_touch(struct http2_connection *connection);
/* The peer cost us something that asks for nothing: too much of it ends the connection. */
void http2_connection_charge(struct http2_connection *connection);
uint64_t http2_now(const struct http2_connection *connection);
/* Connections of that address; `lasting`: those with streams that last. */
size_t http2_connections_of(const struct http2_server *server, struct net_ip ip, bool lasting);

#endif
