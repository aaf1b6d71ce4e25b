/* gRPC over our HTTP/2: calls by a table of methods, messages decoded and encoded by the field
 * tables. What goes wrong on the way is answered as grpc-go does.
 *
 * A call is unary (one message, handed over when the client has said all) or streaming (messages as
 * they come). It ends with grpc_finish, by whom it belongs to; or here: when its grpc-timeout has
 * passed (status 4), when it is malformed or does not come whole (GRPC_MESSAGE_MS), and when the
 * client is gone. In every case on_close
 * comes exactly once, last, if any other event came; replies to a call that has ended go nowhere.
 */
#ifndef RAFT_ETCD_ETCD_GRPC_H
#define RAFT_ETCD_ETCD_GRPC_H

#include "base/err.h"
#include "base/net/http2.h"
#include "raft/etcd/etcd_error.h"
#include "raft/etcd/etcd_fields.h"

#include <stdbool.h>

#define GRPC_MESSAGE_BYTES_MAX ((size_t)2 * 1024 * 1024)  /* of a request: more is status 8 */
#define GRPC_HELD_BYTES_MAX    ((size_t)32 * 1024 * 1024) /* requests that are not whole yet, all */
#define GRPC_TOKEN_BYTES_MAX   1024
#define GRPC_MESSAGE_MS        30000 /* for a message to come whole, once it or its call has begun */

struct grpc_server;
struct grpc_call;

struct grpc_method {
    const char *service; /* "etcdserverpb.KV" */
    const char *name;    /* "Range" */
    const struct etcd_type *request;
    const struct etcd_type *response;
    bool streaming;
    /* A struct of `request`, borrowed until it returns. */
    void (*on_message)(void *arg, struct grpc_call *call, const void *message);
    /* Streaming: the client has said all. May be NULL: then that is status 0. */
    void (*on_end)(void *arg, struct grpc_call *call);
    /* The call is over: nothing of it may be used after this. May be NULL. */
    void (*on_close)(void *arg, struct grpc_call *call);
};

struct grpc_config {
    const struct grpc_method *methods; /* borrowed */
    size_t methods_count;
    bool (*is_serving)(void *arg); /* what grpc.health.v1.Health/Check is told */
    void *arg;                     /* of this and of the methods' events */
};

/* Streams come by grpc_serve: the HTTP/2 server is somebody else's, and outlives this. */
struct grpc_server *grpc_server_new(uv_loop_t *loop, const struct grpc_config *config);
/* Calls end with `code` and `text` (clients go on elsewhere with UNAVAILABLE). `stopped` when
 * nothing of it is left, which the end of the HTTP/2 server makes sure of. Once. */
void grpc_server_stop(struct grpc_server *server, enum grpc_code code, struct span text,
                      void (*stopped)(void *arg), void *arg);

/* In on_request of the HTTP/2 server, if grpc_is_content_type(its content-type): from here on the
 * stream is this one's. */
void grpc_serve(struct grpc_server *server, struct http2_stream *stream,
                const struct http2_request *request);

void grpc_call_set_arg(struct grpc_call *call, void *arg);
void *grpc_call_arg(const struct grpc_call *call);
/* What came as `token`, or as `authorization`; empty = none. */
struct span grpc_call_token(const struct grpc_call *call);
bool grpc_call_wants_leader(const struct grpc_call *call); /* hasleader: true */
/* The entry of the table that it was found in, and who is at the other end. */
const struct grpc_method *grpc_call_method(const struct grpc_call *call);
const struct stream_peer *grpc_call_peer(const struct grpc_call *call);
bool grpc_call_has_ended(const struct grpc_call *call);
size_t grpc_call_pending(const struct grpc_call *call); /* bytes of replies that wait */

/* A message, a struct of the method's `response`. ERR_LIMIT: too much waits, nothing was taken. */
int grpc_reply(struct grpc_call *call, const void *message, struct error *err) MUST_CHECK;
/* Instead of it, in pieces: what comes before a message of `bytes` bytes, then all of these.
 * ERR_LIMIT as above. */
int grpc_begin(struct grpc_call *call, size_t bytes, struct error *err) MUST_CHECK;
int grpc_put(struct grpc_call *call, struct span bytes, struct error *err) MUST_CHECK;
/* The end. */
void grpc_finish(struct grpc_call *call, enum grpc_code code, struct span text);
void grpc_fail(struct grpc_call *call, enum etcd_error error);
/* One message and the end of it, status 0. */
void grpc_answer(struct grpc_call *call, const void *message);

#endif
