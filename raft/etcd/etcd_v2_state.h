/* What one member knows for its v2 clients: the counters of /v2/stats, and what is open. Part of
 * the service, which tells the times; the rest is zero at its start. */
#ifndef RAFT_ETCD_ETCD_V2_STATE_H
#define RAFT_ETCD_ETCD_V2_STATE_H

#include <stddef.h>
#include <stdint.h>

/* In the order of etcd's statistics. */
enum etcd_v2_counter {
    ETCD_V2_COUNT_GET,
    ETCD_V2_COUNT_SET,
    ETCD_V2_COUNT_DELETE,
    ETCD_V2_COUNT_UPDATE,
    ETCD_V2_COUNT_CREATE,
    ETCD_V2_COUNT_SWAP,
    ETCD_V2_COUNT_COMPARE_DELETE,
    ETCD_V2_COUNTERS
};

struct etcd_v2_state {
    int64_t start_wall_ms;
    uint64_t leader; /* as this member knows it, 0 = nobody, and since when */
    int64_t leader_wall_ms;
    uint64_t successes[ETCD_V2_COUNTERS];
    uint64_t failures[ETCD_V2_COUNTERS];
    size_t watchers;
};

#endif
