/* Whom a running member calls, beside partner_addrs: every address that the replicated state names,
 * and the one that a member which has called us says it has. The second is how a member that has
 * moved is found: it learns who leads, and can have its new address stored, only when the leader
 * calls it. */
#ifndef RAFT_ENGINE_GROUP_ADDRESS_H
#define RAFT_ENGINE_GROUP_ADDRESS_H

#include "raft/engine/peer.h"
#include "raft/store.h"

#define GROUP_ADDRESSES_MAX 24

struct group_addresses {
    char list[GROUP_ADDRESSES_MAX][RAFT_NODE_ADDRESS_BYTES]; /* given to the peers last */
    size_t count;
};

/* Call it a few times a second. */
void group_addresses_follow(struct group_addresses *addresses, const struct store *store,
                            struct peers *peers);

#endif
