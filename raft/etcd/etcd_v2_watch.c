/* Watches of the v2 API: a long poll gives one event, a stream one a line until either side ends.
 * The head goes out at once, so that the client knows from which index on it listens; from then on
 * there is no way to say an error: what cannot go on ends, and the client reads again.
 *
 *   start -> refused (400)
 *   start -> open -> event ... -> ended
 *            open -> gone (the client), behind (events it would need are not kept, or it takes them
 *                    too slowly, or all together do) -> ended */
#include "raft/etcd/etcd_room.h"
#include "raft/etcd/etcd_v2.h"
#include "raft/etcd/etcd_watcher.h"

#include "base/mem.h"

#include <inttypes.h>
#include <string.h>

enum {
    PENDING_BYTES_MAX = 1024 * 1024
}; /* of a stream that does not read: it is cut, as etcd does */

struct watch {
    struct etcd_service *service;
    struct http_exchange *exchange;
    struct etcd_watcher *watcher;
    struct span path; /* in `bytes` */
    bool recursive;
    bool stream;
    struct buf bytes;
};

static void end(struct watch *watch)
{
    etcd_service_v2(watch->service)->watchers--;
    http_stream_end(watch->exchange);
    etcd_watcher_free(watch->watcher);
    buf_free(&watch->bytes);
    mem_free(watch);
}

static void on_gone(void *arg)
{
    end(arg);
}

/* Appends the event if it is one for this watch. */
static bool put_event(const struct watch *watch, const struct store *store,
                      const struct store_events *events, size_t at, struct buf *out)
{
    struct etcd_v2_now now = etcd_v2_now_of(watch->service);
    struct store_event event;
    struct etcd_v2_node node;
    struct etcd_v2_node prev;
    (void)store_events_get(events, at, &event, NULL);
    const char *action = store_v2_event_action(&event, watch->path, watch->recursive);
    if (action == NULL) {
        return false;
    }
    bool has_prev = etcd_v2_node_of_event(store, events, at, &now, &node, &prev);
    etcd_v2_answer(action, &node, has_prev ? &prev : NULL, out);
    return true;
}

static void on_events(void *arg, const struct store_events *events)
{
    struct watch *watch = arg;
    const struct store *store = etcd_service_store(watch->service);
    size_t pending = http_stream_pending(watch->exchange);
    struct buf out = BUF_INIT;
    bool is_over = store == NULL;
    for (size_t i = 0; i < events->kvs.count && !is_over; i++) {
        bool is_there = put_event(watch, store, events, i, &out);
        is_over = (is_there && !watch->stream) || pending + out.len > PENDING_BYTES_MAX;
    }
    if (out.len > 0 && !etcd_room_has(watch->exchange, pending, out.len)) {
        is_over = true; /* too much waits for clients that do not read */
    } else if (out.len > 0) {
        http_stream_send(watch->exchange, buf_span(&out));
    }
    buf_free(&out);
    if (is_over) {
        end(watch);
    }
}

static void on_compacted(void *arg, int64_t compact_revision)
{
    (void)compact_revision;
    end(arg);
}

/* --- the start -------------------------------------------------------------------------------- */

/* Directories above the path, whose deletes are heard, too, begin with its first component. */
static void put_range(struct span path, struct buf *key, struct buf *range_end)
{
    const uint8_t *second = path.len < 2 ? NULL : memchr(path.data + 1, '/', path.len - 1);
    size_t len = second == NULL ? path.len : (size_t)(second - path.data);
    buf_put(key, path.data, len);
    buf_put(range_end, path.data, len == 1 ? 0 : len);
    buf_put_u8(range_end, '/' + 1);
}

static struct etcd_watcher *new_watcher(struct watch *watch, int64_t from_revision)
{
    static const struct etcd_watcher_events events = {.on_events = on_events,
                                                      .on_compacted = on_compacted};
    struct buf key = BUF_INIT;
    struct buf range_end = BUF_INIT;
    put_range(watch->path, &key, &range_end);
    struct store_watch range = {.key = buf_span(&key),
                                .range_end = buf_span(&range_end),
                                .prev_kv = true,
                                .directories = true};
    struct etcd_watcher *watcher =
        etcd_watcher_new(watch->service, &range, from_revision, &events, watch);
    buf_free(&key);
    buf_free(&range_end);
    return watcher;
}

static void open_watch(struct etcd_v2_call *call, const struct store *store, int64_t from_revision)
{
    struct watch *watch = mem_new(struct watch);
    struct buf headers = BUF_INIT;
    watch->service = call->service;
    watch->exchange = call->exchange;
    watch->recursive = call->request.recursive;
    watch->stream = call->request.stream;
    buf_put_span(&watch->bytes, call->request.key);
    watch->path = buf_span(&watch->bytes);
    etcd_v2_put_headers(call->service, (uint64_t)store_revision(store), &headers);
    struct http1_response head = {
        .status = 200, .content_type = "application/json", .headers = buf_str(&headers)};
    if (http_stream_start(call->exchange, &head, on_gone, watch) == 0) {
        etcd_service_v2(call->service)->watchers++;
        watch->watcher = new_watcher(watch, from_revision);
    } else { /* nobody is there any more */
        buf_free(&watch->bytes);
        mem_free(watch);
    }
    buf_free(&headers);
    etcd_v2_call_free(call);
}

void etcd_v2_watch(struct etcd_v2_call *call)
{
    const struct store *store = etcd_service_store(call->service);
    uint64_t since = call->request.wait_index;
    if (store == NULL) {
        etcd_v2_reply_failure(call, ETCD_ERROR_NO_LEADER);
        return;
    }
    uint64_t oldest = (uint64_t)store_compacted(store);
    if (since == 0) {
        since = (uint64_t)store_revision(store) + 1;
    }
    if (since < oldest) {
        struct buf cause = BUF_INIT;
        buf_printf(&cause, "the requested history has been cleared [%" PRIu64 "/%" PRIu64 "]",
                   oldest, since);
        etcd_v2_reply_error(call, ETCD_V2_EVENT_INDEX_CLEARED, buf_span(&cause),
                            (uint64_t)store_revision(store));
        buf_free(&cause);
    } else if (etcd_service_v2(call->service)->watchers >= ETCD_V2_WATCHERS_MAX ||
               !http_lasts(call->exchange)) {
        etcd_v2_reply_failure(call, ETCD_ERROR_TOO_MANY_REQUESTS);
    } else {
        open_watch(call, store, since > INT64_MAX ? INT64_MAX : (int64_t)since);
    }
}
