/* PURE. What the store has, as nodes of the v2 API. */
#ifndef RAFT_ETCD_ETCD_V2_NODE_H
#define RAFT_ETCD_ETCD_V2_NODE_H

#include "raft/etcd/etcd_v2_request.h"
#include "raft/store_client.h"

/* Clocks of one moment: what a lease still has is counted by the one, shown by the other. */
struct etcd_v2_now {
    int64_t lease_ms;
    int64_t wall_ms;
};

/* Sets expiration and ttl of a node that has `remaining_ms` left; below 0: it has no ttl. */
void etcd_v2_node_set_ttl(struct etcd_v2_node *node, const struct etcd_v2_now *now,
                          int64_t remaining_ms);

/* All but the ttl; borrowed. */
void etcd_v2_node_of_kv(const struct store_kv *kv, struct etcd_v2_node *ret_node);
void etcd_v2_node_of_store(const struct store_v2_node *from, struct etcd_v2_node *ret_node);

/* The node of the event at `at`, and the one before it, if there was one (true). Of events that
 * came with what was before, and with directories. Borrowed from `events`. A ttl is shown as far as
 * its lease is still there. */
bool etcd_v2_node_of_event(const struct store *store, const struct store_events *events, size_t at,
                           const struct etcd_v2_now *now, struct etcd_v2_node *ret_node,
                           struct etcd_v2_node *ret_prev);

#endif
