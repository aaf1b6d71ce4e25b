/* What etcd_watch.c (streams and requests) and etcd_watch_events.c (events as messages) share. */
#ifndef RAFT_ETCD_ETCD_WATCH_IMPL_H
#define RAFT_ETCD_ETCD_WATCH_IMPL_H

#include "raft/etcd/etcd_call.h"
#include "raft/etcd/etcd_message.h"
#include "raft/etcd/etcd_watch.h"
#include "raft/etcd/etcd_watcher.h"

#include <uv.h>

/* A stream has a table of watches by their ids, each with a watcher of its own. */
struct watch_stream {
    struct etcd_call *call; /* NULL: it is closed */
    uv_timer_t timer;
    uint64_t period_ms;     /* of the timer; 0 = it stands */
    int64_t slow_at_ms;     /* the next look at leader and progress */
    struct watch **watches; /* by id */
    size_t count;
    size_t capacity;
    int64_t next_id;
    bool is_held;
    int64_t held_until_ms;    /* at least */
    int64_t refused_since_ms; /* 0: the last reply was taken */
    unsigned control_replies; /* since nothing waited */
    unsigned leaderless_ticks;
    size_t notified; /* watches that want notices of progress */
    bool wants_progress;
    int64_t progress_revision; /* all watches are to have got there */
};

struct watch {
    struct watch_stream *stream;
    struct etcd_watcher *watcher; /* NULL: compacted; its id is in use until it is cancelled */
    int64_t id;
    bool fragment;
    bool progress_notify;
    int64_t part_revision; /* of this one, `part_count` events were sent; the rest is to come */
    size_t part_count;
    int64_t last_ms; /* of the last answer, for progress_notify */
};

/* --- etcd_watch.c ----------------------------------------------------------------------------- */

struct etcd_service *watch_stream_service(const struct watch_stream *stream);
int64_t watch_stream_now_ms(const struct watch_stream *stream);
/* No more is asked of its watchers until the client has taken what is under way. */
void watch_stream_hold(struct watch_stream *stream);
void watch_stream_hold_if_full(struct watch_stream *stream);
/* What is said of a watch besides its events; the header is added. False: the stream has ended. */
bool watch_stream_reply(struct watch_stream *stream, const struct etcd_watch_response *response,
                        int64_t revision);
/* The end of the stream: from here on the call is the carrier's alone. */
void watch_stream_finish(struct watch_stream *stream, enum grpc_code code, const char *text);

/* --- etcd_watch_events.c ---------------------------------------------------------------------- */

/* What a watcher tells; its `arg` is a struct watch. */
extern const struct etcd_watcher_events watch_events;

#endif
