/* Versions of keys over time: the one place where keys change.
 *
 * `kvs` and `dirs` hold the present versions, each with a chain of older ones below it. A key that
 * is deleted goes to `graves` with a tombstone on top of its chain, as long as the window (watch.h)
 * knows of it. The window holds every version made at the compact revision or later, in the order
 * in which they were made: the events of watches. An older version is kept only below one of the
 * window that is younger than the compact revision: what a read between the two must see. */
#ifndef RAFT_STORE_MVCC_H
#define RAFT_STORE_MVCC_H

#include "raft/store.h"

struct kv_map;
struct kv_record;

struct mvcc_put {
    struct span key;
    struct span value;
    uint64_t lease; /* 0 = none; else it must be there */
    int64_t revision;
    enum store_action action;
    bool directory;
};

/* The present version, NULL = absent. */
struct kv_record *mvcc_find(const struct store *store, struct span key, bool directory);
/* Returns the new version, borrowed. */
struct kv_record *mvcc_put(struct store *store, const struct mvcc_put *put);
/* Present versions of one map, in key order: the array is the caller's, the versions stay in
 * chains.
 */
void mvcc_delete(struct store *store, struct kv_record *const *records, size_t count,
                 int64_t revision, enum store_action action);
/* The end of a directory that nobody made: an event, and nothing else. */
void mvcc_delete_unmade(struct store *store, struct span directory, int64_t revision,
                        enum store_action action);
/* All of kvs in [first, end) by position, into a new array: mem_free. */
struct kv_record **mvcc_collect(const struct kv_map *map, size_t first, size_t end);

/* The version of a chain that a read at `revision` sees; NULL = the key was not there. */
const struct kv_record *mvcc_at(const struct kv_record *newest, int64_t revision);
/* The value that the key had at the revision before this version's; NULL = none, or not known. */
const struct kv_record *mvcc_before(const struct kv_record *record);

/* Revisions below `first` go. Not above the present revision, not below the compact one. */
void mvcc_compact(struct store *store, int64_t first);
/* After each command: own leases that lost their key go, and the window is within its limits again.
 */
void mvcc_settle(struct store *store);
/* A version is not the present one (any more): counted, and an event of the window. For who builds
 * them otherwise than by the changes above: a snapshot. */
void mvcc_count_old(struct store *store, const struct kv_record *record);
bool mvcc_is_within_limits(const struct store *store);
/* One revision without events, at which the window begins on every member alike. */
void mvcc_open_format_2(struct store *store);
void mvcc_check(const struct store *store);

#endif
