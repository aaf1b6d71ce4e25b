/* What the files of the v2 face share: one call about a key, its answers, what a member counts.
 *
 * Every call ends in exactly one answer. The store may be another one, or gone, after each turn of
 * the loop: nothing of it is kept but by reference. */
#ifndef RAFT_ETCD_ETCD_V2_H
#define RAFT_ETCD_ETCD_V2_H

#include "base/arena.h"
#include "base/net/http_exchange.h"
#include "raft/etcd/etcd_service.h"
#include "raft/etcd/etcd_v2_node.h"
#include "raft/etcd/etcd_v2_request.h"
#include "raft/etcd/etcd_v2_state.h"

#define ETCD_V2_WATCHERS_MAX 4096

/* --- a call about a key ----------------------------------------------------------------------- */

struct etcd_v2_call {
    struct etcd_service *service;
    struct http_exchange *exchange;
    struct arena arena;
    struct etcd_v2_request request; /* borrows from the exchange until the answer */
    unsigned attempts;
    uint64_t old_lease; /* what the node had before a write, and when that would have ended */
    int64_t old_expiration_ns;
};

void etcd_v2_call_free(struct etcd_v2_call *call);

/* Each answers and frees the call, now or later. */
void etcd_v2_write(struct etcd_v2_call *call); /* etcd_v2_write.c */
void etcd_v2_read(struct etcd_v2_call *call);  /* etcd_v2_read.c */
void etcd_v2_watch(struct etcd_v2_call *call); /* etcd_v2_watch.c */

/* What is asked for beside keys; `path` is the request's. */
void etcd_v2_serve_machines(struct etcd_service *service, struct http_exchange *exchange,
                            const struct http1_request *request);
void etcd_v2_serve_members(struct etcd_service *service, struct http_exchange *exchange,
                           const struct http1_request *request);
void etcd_v2_serve_auth(struct etcd_service *service, struct http_exchange *exchange,
                        const struct http1_request *request);
void etcd_v2_serve_stats(struct etcd_service *service, struct http_exchange *exchange,
                         const struct http1_request *request);

/* Is this the user that the configuration asks for, if it does? */
bool etcd_v2_is_allowed(const struct etcd_service *service, const struct http_exchange *exchange);

/* --- answers (etcd_v2_reply.c) ---------------------------------------------------------------- */

/* An answer about a key, with all headers. `index`: of the state in `body`. */
void etcd_v2_reply(struct etcd_v2_call *call, int status, uint64_t index, struct span body);
void etcd_v2_reply_error(struct etcd_v2_call *call, enum etcd_v2_error error, struct span cause,
                         uint64_t index);
/* The group gave no outcome. */
void etcd_v2_reply_failure(struct etcd_v2_call *call, enum etcd_error error);
/* The header lines of an answer about keys. */
void etcd_v2_put_headers(const struct etcd_service *service, uint64_t index, struct buf *out);

/* Beside keys. `with_cluster`: with the header that names it. */
void etcd_v2_send_json(const struct etcd_service *service, struct http_exchange *exchange,
                       int status, struct span body, bool with_cluster);
/* {"message": text} */
void etcd_v2_send_message(const struct etcd_service *service, struct http_exchange *exchange,
                          int status, const char *text, bool with_cluster);
void etcd_v2_send_text(struct http_exchange *exchange, int status, const char *text);
/* 405; `allowed`: methods with commas. */
void etcd_v2_send_not_allowed(struct http_exchange *exchange, const char *allowed);

struct etcd_v2_now etcd_v2_now_of(const struct etcd_service *service);

#endif
