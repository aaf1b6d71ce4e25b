/* Private to the HTTP/1 server: http1.c has the connections, the reading and plain answers,
 * http1_head.c and http1_chunks.c what is read, http1_response.c the heads of answers,
 * http1_stream.c answers that come in pieces, http1_room.c who has to go for whom, http1_secure.c
 * TLS and what the server says of itself. */
#ifndef BASE_NET_HTTP1_IMPL_H
#define BASE_NET_HTTP1_IMPL_H

#include "base/buf.h"
#include "base/list.h"
#include "base/net/http1.h"
#include "base/net/http1_chunks.h"
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
    size_t waiting; /* bytes of an answer for the peer to take, when they were last looked at */
    struct buf in;
    size_t head_len;
    size_t body_len;
    bool stepping;
    bool called; /* has the turn that a bulk request waits for */
    /* of the request that is being read or answered; places in `in` */
    size_t url_at;
    size_t url_len;
    size_t path_at;
    size_t query_at;
    struct http1_request request;
    unsigned minor;
    bool keep_alive;
    bool url_too_long;
    bool chunked;
    bool expects_continue; /* and was not told yet */
    struct http1_chunks chunks;
    unsigned host_count;
    unsigned length_count;
    unsigned encoding_count;
    unsigned expect_count;
    char field[32];
    size_t field_len;
    bool field_done;
    /* of an answer that takes its time (http1_stream.c): it is read on, to notice the peer's end */
    bool noticing;
    bool streaming;
    bool lasting; /* counted in its place and in the server */
    void (*on_gone)(void *arg);
    void *gone_arg;
};

struct http1_server {
    uv_loop_t *loop;
    struct tcp_listener *listener;
    uv_timer_t sweep;
    struct http1_limits limits;
    http1_handler handler;
    void *arg;
    bool (*is_bulk)(const struct http1_request *request); /* NULL: none is */
    struct list connections;
    struct http1_places places;
    struct list waiting;
    struct list turns;
    uv_idle_t turn; /* runs while somebody is in `turns` */
    size_t count;
    size_t lasting;                                         /* answers that go on for long */
    struct tls_context *tls;                                /* NULL: plain text */
    void (*on_refused)(void *arg, const struct error *err); /* NULL: nobody wants to know */
    void *refused_arg;
    char *name;    /* NULL: our own */
    char *headers; /* NULL: none */
    bool stopping;
    unsigned closing; /* listener, timer and turn */
    void (*stopped)(void *arg);
    void *stopped_arg;
    struct buf out; /* scratch of responses */
};

/* Where the head ends that the input begins with; 0: it is not there yet. */
size_t http1_head_end(const struct http1_exchange *x);
/* 0, or the status that it is refused with: `ret_why`. */
int http1_head_parse(struct http1_exchange *x, const char **ret_why);
/* Lets the request point into the input, which stays where it is from here on. */
void http1_head_point(struct http1_exchange *x);

enum { HTTP1_DATE_BYTES = 64 };

void http1_date(char ret_text[static HTTP1_DATE_BYTES]);
/* The status line and the headers, into server->out. `chunked`: without a length; else of a body of
 * response->body. */
void http1_put_head(struct http1_exchange *x, const struct http1_response *response, bool chunked);
void http1_close_connection(struct http1_exchange *x);
/* Room for a connection from `ip`, if need be at the cost of another one. */
bool http1_make_room(struct http1_server *server, struct net_ip ip);
/* The place of an answer that went on for long, if it had one. */
void http1_lasts_no_more(struct http1_exchange *x);
void http1_wait_for_peer(struct http1_exchange *x, uint64_t ms);
/* Of an answer in pieces: how long its peer is waited for, by what waits for him. */
void http1_note_pending(struct http1_exchange *x);
/* The response is all written: the next request, or the end. */
void http1_response_done(struct http1_exchange *x);
/* What was accepted, behind TLS if that is spoken (http1_secure.c). */
struct stream *http1_secure(struct http1_server *server, struct stream *stream);
/* Tells of a connection that ended, if it is to be told of. */
void http1_note_refused(const struct http1_exchange *x, int rc, const struct error *err);
void http1_secure_free(struct http1_server *server);
/* BUSY no more on a connection that is gone: frees it, now or when it is closed. */
void http1_release(struct http1_exchange *x);

#endif
