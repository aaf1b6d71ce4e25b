/* Large answers of calls go out in portions over many turns of the loop, so that nobody is held up
 * by them, and wait as references to the store, not as bytes. All of a service together are
 * bounded. */
#ifndef RAFT_ETCD_ETCD_PORTIONS_H
#define RAFT_ETCD_ETCD_PORTIONS_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

/* What is smaller is answered at once. */
#define ETCD_PORTION_BYTES ((size_t)128 * 1024)
/* What large answers may hold together, of the store and for themselves. Who is over it is told so.
 */
#define ETCD_PORTIONS_BYTES_MAX ((size_t)128 * 1024 * 1024)
/* One that has not been taken for so long gives way to another. */
#define ETCD_PORTIONS_STALLED_MS 2000
#define ETCD_PORTIONS_MS         (60 * 1000) /* a client that takes longer is cut off */

struct etcd_call;
struct etcd_service;

/* The one message of a unary call, a struct of its method's `response`. */
struct etcd_large {
    const void *message; /* it stays as it is until `release` */
    size_t bytes;        /* that it holds, about */
    void (*release)(void *arg);
    void *arg;
};

/* Answers the call, which ends with it. ERR_LIMIT: ETCD_PORTIONS_BYTES_MAX; nothing was done, and
 * `release` does not come. Otherwise it comes once, also from inside. */
int etcd_portions_answer(struct etcd_call *call, const struct etcd_large *large,
                         struct error *err) MUST_CHECK;
size_t etcd_portions_bytes(struct etcd_service *service); /* that are held now */
/* Ends those that go on: `etcdserver: server stopped`. */
void etcd_portions_stop(struct etcd_service *service);

#endif
