/* Range of KV. One that looks at few keys is answered at once; the others wait in a line of the
 * service and are looked up and converted over many turns of the loop, one after the other, so that
 * all of them together take ETCD_RANGE_TURN_KEYS a turn and hold what one holds. */
#ifndef RAFT_ETCD_ETCD_RANGE_H
#define RAFT_ETCD_ETCD_RANGE_H

#include <stddef.h>

#define ETCD_RANGE_AT_ONCE_KEYS ((size_t)1024)
#define ETCD_RANGE_TURN_KEYS    ((size_t)8192)
#define ETCD_RANGES_MAX         ((size_t)256) /* in the line; others are told: too many requests */

struct etcd_service;

/* How many wait, and how many keys the last turn has looked at and converted. */
struct etcd_ranges_stats {
    size_t waiting;
    size_t turn_keys;
};
struct etcd_ranges_stats etcd_ranges_stats(struct etcd_service *service);
/* Ends those that wait: `etcdserver: server stopped`. */
void etcd_ranges_stop(struct etcd_service *service);

#endif
