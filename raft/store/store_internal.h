/* What the chapters of the store share. All pointers inside are to heap objects, so that a whole
 * state can be exchanged by assignment (store_restore). */
#ifndef RAFT_STORE_INTERNAL_H
#define RAFT_STORE_INTERNAL_H

#include "raft/store/kv.h"
#include "raft/store/lease.h"
#include "raft/store/member.h"
#include "raft/store/session.h"
#include "raft/store/watch.h"

struct store {
    uint64_t applied;
    int64_t revision;
    struct kv_map kvs;
    struct lease_map leases;
    struct session_map sessions;
    struct member_map members;
    struct watch_history history;
    struct buf arena; /* of the command that is being applied; kept to save allocations */
};

void store_state_init(struct store *store);
void store_state_close(struct store *store);

/* Every field within its limits: checked before encoding and after decoding. */
int store_command_validate(const struct store_command *command, struct error *err) MUST_CHECK;

/* Applies the branch that the compares choose. */
void store_txn_apply(struct store *store, const struct store_command *command,
                     struct store_result *ret_result);
/* Deletes the keys of the lease in key order, at one new revision if there are any, then the lease.
 */
void store_lease_end(struct store *store, struct lease *lease);

#endif
