/* One watch on a range of keys, for v3 streams and v2 long polls alike: events by whole revisions,
 * in order, without loss or repetition, from any revision that is kept.
 *
 * It gives as much as its owner takes: after etcd_watcher_pause nothing comes until
 * etcd_watcher_resume; meanwhile it costs nothing but may fall behind the compact revision, and
 * then says so. No callback comes from inside a call. All watchers are freed before their service
 * is stopped. */
#ifndef RAFT_ETCD_ETCD_WATCHER_H
#define RAFT_ETCD_ETCD_WATCHER_H

#include "raft/etcd/etcd_service.h"
#include "raft/store_read.h"

struct etcd_watcher;

struct etcd_watcher_events {
    /* At least one event; borrowed. The watcher may be freed, or paused, from inside. */
    void (*on_events)(void *arg, const struct store_events *events);
    /* What comes next is not kept any more: nothing follows. */
    void (*on_compacted)(void *arg, int64_t compact_revision);
};

/* What was made of a set of events, for the others that get the same: zeroed for who is the first.
 * It ends with the events, by `free_made`. Only streams of v3 leave something here. */
struct etcd_watcher_share {
    void *made;
    void (*free_made)(void *made);
};

/* `watch` is copied with its keys. `from_revision` 0: after the present one. */
struct etcd_watcher *etcd_watcher_new(struct etcd_service *service, const struct store_watch *watch,
                                      int64_t from_revision,
                                      const struct etcd_watcher_events *events, void *arg);
void etcd_watcher_free(struct etcd_watcher *watcher); /* NULL is accepted */
void etcd_watcher_pause(struct etcd_watcher *watcher);
void etcd_watcher_resume(struct etcd_watcher *watcher);
/* Events from `revision` on, which were delivered, come once more: for who could not take them. */
void etcd_watcher_rewind(struct etcd_watcher *watcher, int64_t revision);
/* In on_events: of the events that it gets. The watcher may be freed before it is used. */
struct etcd_watcher_share *etcd_watcher_share(struct etcd_watcher *watcher);
/* Everything below it was delivered, or concerned others. */
int64_t etcd_watcher_next_revision(const struct etcd_watcher *watcher);
/* All that there are, paused ones too. */
size_t etcd_watcher_count(struct etcd_service *service);

#endif
