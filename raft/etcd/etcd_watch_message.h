/* PURE. Events of the store as those of a WatchResponse. */
#ifndef RAFT_ETCD_ETCD_WATCH_MESSAGE_H
#define RAFT_ETCD_ETCD_WATCH_MESSAGE_H

#include "base/buf.h"
#include "raft/etcd/etcd_message.h"
#include "raft/store_read.h"

/* Of one set of events, all that is needed to encode it; keys and values are borrowed from it. */
struct watch_message {
    struct etcd_header header;
    struct etcd_event *events;
    struct etcd_key_value *kvs; /* two of each event */
    size_t count;
    size_t asked; /* for its protobuf */
    struct buf proto;
};

struct watch_message *watch_message_new(const struct store_events *events);
void watch_message_free(void *message);
/* All events as protobuf has them; empty for who asks first, because nobody else may. */
struct span watch_message_proto(struct watch_message *message);
/* How many of the events from `first` on make one message: as many as fit into `bytes_max`, and one
 * at least. */
size_t watch_message_fragment(const struct watch_message *message, size_t first, size_t bytes_max);

#endif
