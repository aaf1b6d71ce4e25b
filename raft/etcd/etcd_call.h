/* One call of etcd's v3 API, whoever carries it: gRPC (etcd_grpc_calls.c) or the JSON gateway
 * (etcd_gateway.c). What a method does stands in its handler (etcd_kv.c, etcd_lease.c, ...) and
 * knows nothing of either.
 *
 * A call is counted by reference: who waits for the Raft group on its behalf holds one. It ends by
 * etcd_call_finish, or because its client has gone or its time is up; what is replied to a call
 * that has ended goes nowhere. on_close comes exactly once, last, if on_message came. */
#ifndef RAFT_ETCD_ETCD_CALL_H
#define RAFT_ETCD_ETCD_CALL_H

#include "base/err.h"
#include "base/span.h"
#include "raft/etcd/etcd_encoder.h"
#include "raft/etcd/etcd_error.h"
#include "raft/etcd/etcd_fields.h"

#include <stdbool.h>

struct etcd_call;
struct etcd_service;

struct etcd_method {
    const char *service;  /* "etcdserverpb.KV" */
    const char *name;     /* "Range" */
    const char *paths[2]; /* of the gateway, below /v3: "/kv/range"; NULL = none */
    const struct etcd_type *request;
    const struct etcd_type *response;
    bool request_streams;
    bool answer_streams;
    bool is_open; /* needs no user where users are asked for */
    /* A struct of `request`, borrowed until it returns. */
    void (*on_message)(struct etcd_call *call, const void *message);
    /* request_streams: the client has said all. NULL: then that is status 0. */
    void (*on_end)(struct etcd_call *call);
    void (*on_close)(struct etcd_call *call); /* may be NULL */
};

extern const struct etcd_method etcd_methods[];
extern const size_t etcd_methods_count;

/* What the carrier does. */
struct etcd_call_ops {
    /* ERR_LIMIT: too much waits, nothing was taken. */
    int (*reply)(struct etcd_call *call, const void *message, struct error *err);
    void (*finish)(struct etcd_call *call, enum grpc_code code, struct span text);
    size_t (*pending)(const struct etcd_call *call); /* bytes of replies that wait */
    /* Of an answer in portions: sets up how it is encoded and sends what comes before it; then its
     * bytes, which are sent as they are. ERR_LIMIT: nothing was taken. */
    int (*begin)(struct etcd_call *call, const void *message, struct etcd_encoder *ret_encoder);
    int (*put)(struct etcd_call *call, struct span bytes);
};

/* The carrier puts it first into its own struct and frees that by `free_call`, when the last
 * reference has gone. */
struct etcd_call {
    const struct etcd_call_ops *ops; /* NULL: it has ended */
    const struct etcd_method *method;
    struct etcd_service *service;
    void (*free_call)(struct etcd_call *call);
    unsigned refs;
    bool wants_leader; /* hasleader: true */
    void *arg;         /* the handler's */
};

/* Who calls, as the carrier knows it. */
struct etcd_caller {
    struct span token;    /* of `token` or `authorization`; empty: none came */
    bool has_certificate; /* a good one, of TLS */
    bool wants_leader;    /* hasleader: true */
};

/* Before the first message: may it be looked at? False: `ret_error` says why not. A call with a
 * stream of requests looks for a leader by itself. */
bool etcd_call_is_allowed(const struct etcd_service *service, const struct etcd_method *method,
                          const struct etcd_caller *caller, enum etcd_error *ret_error);

struct etcd_call *etcd_call_ref(struct etcd_call *call);
void etcd_call_unref(struct etcd_call *call);
bool etcd_call_has_ended(const struct etcd_call *call);

/* A message, a struct of the method's `response`. 0 for a call that has ended. */
int etcd_call_reply(struct etcd_call *call, const void *message, struct error *err) MUST_CHECK;
size_t etcd_call_pending(const struct etcd_call *call);
/* The end. */
void etcd_call_finish(struct etcd_call *call, enum grpc_code code, struct span text);
void etcd_call_fail(struct etcd_call *call, enum etcd_error error);
/* An answer in portions (etcd_portions.c); 0 for a call that has ended. */
int etcd_call_begin(struct etcd_call *call, const void *message,
                    struct etcd_encoder *ret_encoder) MUST_CHECK;
int etcd_call_put(struct etcd_call *call, struct span bytes) MUST_CHECK;
/* One message and the end of it, status 0. */
void etcd_call_answer(struct etcd_call *call, const void *message);

#endif
