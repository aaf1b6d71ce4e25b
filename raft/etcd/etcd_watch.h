/* Watch.Watch of etcd's v3 API: any number of watches on one stream, on either carrier.
 *
 * What a client does not read waits in the store, not here: a stream with ETCD_WATCH_PENDING_BYTES
 * of replies under way gets no more until they are taken. One that stays behind until its revision
 * is compacted is told so. The client's end of its requests ends nothing: the watches go on until
 * the client is gone, as etcd's do. */
#ifndef RAFT_ETCD_ETCD_WATCH_H
#define RAFT_ETCD_ETCD_WATCH_H

#include <stddef.h>

#define ETCD_WATCHES_MAX          16384 /* of all streams */
#define ETCD_WATCHES_STREAM_MAX   4096  /* of one */
#define ETCD_WATCH_PENDING_BYTES  ((size_t)256 * 1024)
#define ETCD_WATCH_FRAGMENT_BYTES ((size_t)2 * 1024 * 1024) /* as etcd: its largest request */
/* Of who has not asked for fragments: a revision that is larger comes in such, too. */
#define ETCD_WATCH_MESSAGE_BYTES   ((size_t)4 * 1024 * 1024)
#define ETCD_WATCH_PROGRESS_MS     (10 * 60 * 1000) /* of progress_notify, at the latest */
#define ETCD_WATCH_LEADER_TIMEOUTS 3 /* election timeouts that hasleader waits for one */

struct etcd_call;

/* For the table of methods: requests are etcd_watch_request, answers etcd_watch_response. */
void etcd_watch_on_message(struct etcd_call *call, const void *message);
void etcd_watch_on_end(struct etcd_call *call);
void etcd_watch_on_close(struct etcd_call *call);

#endif
