/* What etcd_grpc.c (calls and answers) and etcd_grpc_receive.c (messages that come) share. */
#ifndef RAFT_ETCD_ETCD_GRPC_IMPL_H
#define RAFT_ETCD_ETCD_GRPC_IMPL_H

#include "base/buf.h"
#include "base/list.h"
#include "raft/etcd/etcd_grpc.h"

enum { GRPC_PREFIX_BYTES = 5 };

struct grpc_call {
    struct list link;
    struct grpc_server *server;
    struct http2_stream *stream;
    const struct grpc_method *method; /* NULL: it was refused before there was one */
    void *arg;
    struct buf in;
    size_t counted;            /* of `in`, in server->held */
    uint64_t deadline_ms;      /* of the client; 0 = none */
    uint64_t message_until_ms; /* a message is to be whole by then; 0 = none is waited for */
    bool timed;                /* it has one of them */
    struct buf token;
    bool wants_leader;
    bool headed;   /* the head of the answer is under way */
    bool finished; /* and so is its end */
    bool known;    /* an event came, so on_close must */
};

struct grpc_server {
    uv_loop_t *loop;
    struct grpc_config config;
    struct list calls;
    size_t held;
    uv_timer_t timer;
    size_t timed;   /* calls that have a deadline */
    struct buf out; /* scratch */
    bool stopping;
    bool timer_closed;
    void (*stopped)(void *arg);
    void *stopped_arg;
};

/* --- etcd_grpc.c ------------------------------------------------------------------------------ */

/* The end; `encodings`: and which ones there are. */
void grpc_call_end(struct grpc_call *call, enum grpc_code code, struct span text, bool encodings);
void grpc_call_refuse(struct grpc_call *call, enum grpc_code code, const char *text);
void grpc_call_set_deadlines(struct grpc_call *call, uint64_t deadline_ms,
                             uint64_t message_until_ms);

/* --- etcd_grpc_receive.c ---------------------------------------------------------------------- */

/* What has come and is not whole will not be looked at. */
void grpc_call_drop_input(struct grpc_call *call);
/* Whether a message is waited for; the time counts from when that began. */
void grpc_call_wait_for_message(struct grpc_call *call, bool waits);
/* Events of the HTTP/2 stream. */
void grpc_call_on_data(void *arg, struct http2_stream *stream, struct span bytes);
void grpc_call_on_request_end(void *arg, struct http2_stream *stream);

#endif
