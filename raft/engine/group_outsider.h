/* A member that was removed is not told by Raft: it stays a follower that nobody talks to, and
 * campaigns for ever. The leader tells it, once it can prove that the removal is committed. */
#ifndef RAFT_ENGINE_GROUP_OUTSIDER_H
#define RAFT_ENGINE_GROUP_OUTSIDER_H

#include "raft/engine/peer.h"
#include "raft/node.h"

struct group_outsider {
    struct raft_node *node; /* NULL: not started, or about to stop */
    struct peers *peers;
    uint64_t members[STORE_MEMBERS_MAX]; /* of the configuration, as of the last step */
    size_t member_count;
    uint64_t suspect; /* sent a message of the engine and is none of them; 0 = nobody */
    bool reading;
};

/* A message of the engine came from `from`. Cheap: called for each. */
void group_outsider_heard(struct group_outsider *outsider, uint64_t from);
/* Call it a few times a second. */
void group_outsider_step(struct group_outsider *outsider);

#endif
