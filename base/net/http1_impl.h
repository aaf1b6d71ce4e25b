/* Private to the HTTP/1 server: http1.c has the connections, the reading and plain answers,
 * http1_stream.c answers that come in pieces. */
#ifndef BASE_NET_HTTP1_IMPL_H
#define BASE_NET_HTTP1_IMPL_H

#include "base/buf.h"
#include "base/list.h"
#include "base/net/http1.h"
#include "base/net/http1_places.h"

enum state { STATE_HEAD, STATE_BODY, STATE_BUSY, STATE_LINGER };

struct http1_exchange {
    struct list link; /* in server->connections */
    struct list wait; /* in server->waiting, while the peer is waited for */
    struct list turn; /* in server->turns: had its share and has more, or wants much */
    struct http1_server *server;
    struct stream *stream;     /* NULL once closing */
    struct http1_place *place; /* of its address; likewise */
    bool closed;               /* on_closed has been here */
    enum state state;
    uint64_t since_ms; /* when it began to wait for its peer */
    uint64_t deadline_ms;
    struct buf in;
    size_t head_len;
    size_t body_len;
    bool stepping;
    bool called; /* has the turn that a bulk request waits for */
    /* of the request that is being read or answered */
    char url[HTTP1_PATH_BYTES_MAX + 1];
    size_t url_len;
    struct http1_request request;
    unsigned minor;
    bool keep_alive;
    bool bad;
    bool field_done;
    unsigned host_count;
    unsigned length_count;
    bool chunked;
    char field[32];
    size_t field_len;
    /* of a streamed answer (http1_stream.c) */
    bool streaming;
    void (*on_gone)(void *arg);
    void *gone_arg;
};

struct http1_server {
    uv_loop_t *loop;
    struct tcp_listener *listener;
    uv_timer_t sweep;
    http1_handler handler;
    void *arg;
    bool (*is_bulk)(const struct http1_request *request); /* NULL: none is */
    struct list connections;
    struct http1_places places;
    struct list waiting;
    struct list turns;
    uv_idle_t turn; /* runs while somebody is in `turns` */
    size_t count;
    bool stopping;
    unsigned closing; /* listener, timer and turn */
    void (*stopped)(void *arg);
    void *stopped_arg;
    struct buf out; /* scratch of responses */
};

/* The status line and the headers, into server->out. `chunked`: without a length; else of a body of
 * response->body. */
void http1_put_head(struct http1_exchange *x, const struct http1_response *response, bool chunked);
void http1_close_connection(struct http1_exchange *x);
void http1_wait_for_peer(struct http1_exchange *x, uint64_t ms);
/* The response is all written: the next request, or the end. */
void http1_response_done(struct http1_exchange *x);
/* BUSY no more on a connection that is gone: frees it, now or when it is closed. */
void http1_release(struct http1_exchange *x);

#endif
