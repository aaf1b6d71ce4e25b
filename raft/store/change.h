/* What the kinds of commands that change keys have in common: who may touch what, whether there is
 * room, and deleting what belongs together. */
#ifndef RAFT_STORE_CHANGE_H
#define RAFT_STORE_CHANGE_H

#include "raft/store.h"

struct kv_map;
struct kv_record;
struct lease;

/* What hangs on a holder lease is touched by its owner only. NULL and what is on no lease:
 * anybody's.
 */
bool change_allows(const struct store *store, struct span actor, const struct kv_record *record);

/* Room is counted as if nothing were replaced or deleted: simple, and the same on every member. A
 * command that only deletes needs none: so one gets below the limits again. */
struct change_need {
    size_t keys;
    size_t bytes;
    size_t leases;
    bool of_client; /* then STORE_CLIENT_KEYS_MAX and so on are the limits */
};
/* Whether it is one of etcd's API: an operator's, over the Raft port, has no actor either, and is
 * of format 1. */
bool change_is_of_client(const struct store *store, struct span actor);
bool change_fits(const struct store *store, const struct change_need *need);

/* Deletes the keys of the lease in key order, then the lease. A directory goes with all below it,
 * but for what is on a holder lease. Returns how many keys and directories it deleted. */
size_t change_lease_end(struct store *store, struct lease *lease, int64_t revision,
                        enum store_action action);

/* Deletes a v2 directory: its own event has `action`, those of what is below it
 * STORE_ACTION_BELOW. What v2 does not show stays; with `spare_holders` also what hangs on a holder
 * lease. */
void change_delete_directory(struct store *store, struct span path, bool spare_holders,
                             int64_t revision, enum store_action action);
/* Versions on the lease, of directories or of keys, in key order: mem_free. */
struct kv_record **change_lease_records(const struct store *store, const struct lease *lease,
                                        bool directories, size_t *ret_count);
/* The part of `map` that is below the directory "path", by position; the caller looks whether v2
 * shows it. */
void change_below(const struct kv_map *map, struct span path, size_t *ret_first, size_t *ret_end);

#endif
