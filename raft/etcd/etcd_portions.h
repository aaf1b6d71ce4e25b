/* Large answers go out in portions over many turns of the loop, so that nobody is held up by them,
 * and wait as references to the store, not as bytes. All of a service together are bounded, whoever
 * asks: calls of v3 (etcd_kv_reply.c) and reads of v2 (etcd_v2_read.c) are told apart by their ops
 * alone. */
#ifndef RAFT_ETCD_ETCD_PORTIONS_H
#define RAFT_ETCD_ETCD_PORTIONS_H

#include "base/err.h"
#include "raft/etcd/etcd_error.h"

#include <stdbool.h>
#include <stddef.h>

/* What is smaller is answered at once. */
#define ETCD_PORTION_BYTES ((size_t)128 * 1024)
/* What large answers may hold together: of the store, for themselves, and in portions that their
 * clients have not taken. Who is over it is told so. */
#define ETCD_PORTIONS_BYTES_MAX ((size_t)128 * 1024 * 1024)
/* One that has not been taken for so long gives way to another. */
#define ETCD_PORTIONS_STALLED_MS 2000
#define ETCD_PORTIONS_MS         (60 * 1000) /* a client that takes longer is cut off */

struct buf;
struct etcd_service;

struct etcd_large_ops {
    /* Sends the next portion, of ETCD_PORTION_BYTES or little more, and before the first one what
     * an answer begins with. `scratch` is empty. False: it is over, because that was the last one,
     * or because it has failed. */
    bool (*give)(void *arg, struct buf *scratch);
    size_t (*pending)(const void *arg); /* bytes that the client has not taken */
    bool (*has_ended)(const void *arg); /* the client has gone */
    /* Ends it, so that nobody takes it for whole. */
    void (*cut_off)(void *arg, enum etcd_error error);
    void (*release)(void *arg); /* the last thing, once */
};

struct etcd_large {
    const struct etcd_large_ops *ops;
    void *arg;
    size_t bytes; /* that it holds, about, beside what is pending */
};

/* Gives the answer, from the first portion on. ERR_LIMIT: ETCD_PORTIONS_BYTES_MAX; nothing was
 * done, and `release` does not come. Otherwise it comes, also from inside. */
int etcd_portions_answer(struct etcd_service *service, const struct etcd_large *large,
                         struct error *err) MUST_CHECK;
size_t etcd_portions_bytes(struct etcd_service *service); /* that are held now */
/* Ends those that go on: `etcdserver: server stopped`. */
void etcd_portions_stop(struct etcd_service *service);

#endif
