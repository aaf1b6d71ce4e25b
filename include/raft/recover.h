/* The way back after the majority of a group is lost for good: one member that is left goes on
 * alone, as a new group with the keys that it has. Nothing does this by itself. What the lost
 * members had and this one has not is lost; members of the old group stop when they meet one of the
 * new (raft/engine/cluster_id.h); the others join with empty directories.
 *
 * For the command line: every call blocks, and no agent may run on the directory meanwhile. */
#ifndef RAFT_RECOVER_H
#define RAFT_RECOVER_H

#include "base/err.h"
#include "base/random.h"
#include "raft/node.h"

struct raft_recovery;

/* What the directory holds. */
struct raft_recovery_facts {
    uint64_t id;
    uint64_t cluster;
    uint64_t term;
    uint64_t last_term;  /* of the last entry: of two members the one with the higher has more */
    uint64_t last_index; /* then the one with the higher index */
    int64_t revision; /* of the store with all entries applied, also those that nobody committed */
    size_t voter_count;
    size_t member_count; /* of the newest configuration: id, voter, name and address are set */
    struct raft_member_status members[STORE_MEMBERS_MAX];
};

/* Opens and locks the directory of member `name`. ERR_NOT_FOUND: there is none; ERR_BUSY: an agent
 * runs on it; ERR_PERMISSION: it belongs to another user; ERR_REFUSED: nothing to recover (no
 * group, no voter of it, or its only one); and as raft_storage_open. */
int raft_recovery_open(const char *data_dir, const char *name, struct raft_recovery **ret_recovery,
                       struct error *err) MUST_CHECK;
const struct raft_recovery_facts *raft_recovery_facts(const struct raft_recovery *recovery);
/* What the key says with all entries applied; it lives as long as the recovery. False: no such key.
 */
bool raft_recovery_key(const struct raft_recovery *recovery, struct span key,
                       struct span *ret_value);
/* Makes it a group of its own, in which `key` = `value` was written. One transaction. */
int raft_recovery_write(struct raft_recovery *recovery, struct span key, struct span value,
                        const struct random *random, uint64_t *ret_cluster,
                        struct error *err) MUST_CHECK;
/* The cluster `later` was recovered from `earlier`. */
bool raft_recovery_replaces(uint64_t later, uint64_t earlier);
void raft_recovery_close(struct raft_recovery *recovery);

#endif
