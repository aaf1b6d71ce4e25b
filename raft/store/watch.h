/* The window of history: every version made since the compact revision, in order. Replicated state
 * from format 2 on; before that local, and empty after a snapshot was restored. */
#ifndef RAFT_STORE_WATCH_H
#define RAFT_STORE_WATCH_H

#include "raft/store/kv.h"

struct watch_history {
    struct kv_record **events; /* oldest first, from `head`; a reference each */
    size_t head;
    size_t count;
    size_t capacity;
    int64_t compacted; /* all events from this revision on are here */
    size_t old_bytes;  /* of the versions that are not the present ones, tombstones included */
    size_t old_count;
};

void watch_history_init(struct watch_history *history, int64_t compacted);
void watch_history_close(struct watch_history *history);
struct kv_record *watch_history_at(const struct watch_history *history, size_t position);
/* Revisions never fall. Takes a reference of its own. */
void watch_history_add(struct watch_history *history, struct kv_record *record);
/* Hands the reference over. */
struct kv_record *watch_history_pop(struct watch_history *history);
/* Position of the first event with a revision >= `revision`. */
size_t watch_history_seek(const struct watch_history *history, int64_t revision);
void watch_history_check(const struct watch_history *history);

#endif
