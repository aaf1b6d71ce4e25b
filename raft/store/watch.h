/* The history window that watches read: the last events, whole revisions at a time. Local: it is no
 * part of the snapshot, so a member that restored one starts with an empty window. */
#ifndef RAFT_STORE_WATCH_H
#define RAFT_STORE_WATCH_H

#include "raft/store/kv.h"

struct watch_event {
    enum store_event_type type;
    struct kv_record *record; /* of a delete: a record without value */
};

struct watch_history {
    struct watch_event *events; /* oldest first, from `head` */
    size_t head;
    size_t count;
    size_t capacity;
    size_t bytes;
    int64_t compacted; /* revisions <= it are gone */
};

void watch_history_init(struct watch_history *history, int64_t revision);
void watch_history_close(struct watch_history *history);
/* Revisions never fall. Takes a reference of its own. */
void watch_history_add(struct watch_history *history, enum store_event_type type,
                       struct kv_record *record);
/* After a command: drops the oldest whole revisions until the window is within its limits. */
void watch_history_trim(struct watch_history *history);
void watch_history_check(const struct watch_history *history);

#endif
