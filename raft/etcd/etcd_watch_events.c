/* Events as messages. What a watcher gives is encoded and handed to the carrier at once.
 *
 * The carrier may refuse a reply, because too much waits for all clients together, and one revision
 * may be more than may wait for one. Then the watcher goes back to the first revision that was not
 * sent whole, and the stream is held; of that revision the events that were sent are skipped when
 * it comes again. */
#include "raft/etcd/etcd_watch_impl.h"
#include "raft/etcd/etcd_watch_message.h"

enum {
    REFUSED_MS = 100,      /* until the next try when the carrier takes nothing */
    REFUSED_MS_MAX = 40000 /* carriers wait less for a client that takes nothing */
};

/* --- events ----------------------------------------------------------------------------------- */

static int64_t revision_at(const struct watch_message *message, size_t at)
{
    return message->events[at].kv->mod_revision;
}

/* One message with those from `sent` on. Who has not asked for fragments gets them all the same
 * where they are too many: otherwise he would never get them. Then a message ends with a revision
 * or says that it does not. */
static int send_some(const struct watch *watch, struct watch_message *message, size_t sent,
                     size_t *ret_count)
{
    size_t bytes = watch->fragment ? ETCD_WATCH_FRAGMENT_BYTES : ETCD_WATCH_MESSAGE_BYTES;
    size_t count = watch_message_fragment(message, sent, bytes);
    size_t end = sent + count;
    bool is_part = end < message->count &&
                   (watch->fragment || revision_at(message, end) == revision_at(message, end - 1));
    struct etcd_watch_response response = {.header = &message->header,
                                           .watch_id = watch->id,
                                           .fragment = is_part,
                                           .events = message->events + sent,
                                           .events_count = count};
    if (count == message->count && !watch->fragment) {
        response.events_proto = watch_message_proto(message);
    }
    *ret_count = count;
    return etcd_call_reply(watch->stream->call, &response, NULL);
}

/* Those that were not sent yet, as far as the client takes them. `ret_sent`: up to where it has. */
static int send_events(const struct watch *watch, struct watch_message *message, size_t *ret_sent)
{
    bool goes_on = watch->part_count > 0 && watch->part_count < message->count &&
                   revision_at(message, 0) == watch->part_revision;
    size_t sent = goes_on ? watch->part_count : 0;
    size_t count = 0;
    int rc = 0;
    do {
        rc = send_some(watch, message, sent, &count);
        sent += rc == 0 ? count : 0;
    } while (sent < message->count && rc == 0 &&
             etcd_call_pending(watch->stream->call) < ETCD_WATCH_PENDING_BYTES);
    *ret_sent = sent;
    return rc;
}

/* Those from `sent` on come again, later. */
static void put_back(struct watch *watch, const struct watch_message *message, size_t sent)
{
    watch->part_revision = revision_at(message, sent);
    watch->part_count = 0;
    while (watch->part_count < sent &&
           revision_at(message, sent - 1 - watch->part_count) == watch->part_revision) {
        watch->part_count++;
    }
    etcd_watcher_rewind(watch->watcher, watch->part_revision);
    watch_stream_hold(watch->stream);
}

/* The carrier takes nothing now. */
static void on_refused(struct watch *watch, const struct watch_message *message, size_t sent)
{
    struct watch_stream *stream = watch->stream;
    int64_t now = watch_stream_now_ms(stream);
    if (stream->refused_since_ms == 0) {
        stream->refused_since_ms = now;
    }
    if (now - stream->refused_since_ms > REFUSED_MS_MAX) {
        watch_stream_finish(stream, GRPC_UNAVAILABLE,
                            "etcdserver: too many answers wait to be sent");
        return;
    }
    stream->held_until_ms = now + REFUSED_MS;
    put_back(watch, message, sent);
}

/* One for all that get these events. */
static struct watch_message *message_of(const struct watch *watch,
                                        const struct store_events *events)
{
    struct etcd_watcher_share *share = etcd_watcher_share(watch->watcher);
    if (share->made == NULL) {
        struct watch_message *message = watch_message_new(events);
        etcd_service_header(watch_stream_service(watch->stream), &message->header);
        message->header.revision = events->next_revision - 1;
        share->made = message;
        share->free_made = watch_message_free;
    }
    return share->made;
}

static void on_events(void *arg, const struct store_events *events)
{
    struct watch *watch = arg;
    struct watch_stream *stream = watch->stream;
    struct watch_message *message = message_of(watch, events);
    size_t sent = 0;
    if (send_events(watch, message, &sent) != 0) {
        on_refused(watch, message, sent);
    } else {
        stream->refused_since_ms = 0;
        watch->last_ms = watch_stream_now_ms(stream);
        watch->part_count = 0;
        if (sent < message->count) {
            put_back(watch, message, sent);
        }
        watch_stream_hold_if_full(stream);
    }
}

static void on_compacted(void *arg, int64_t compact_revision)
{
    struct watch *watch = arg;
    struct watch_stream *stream = watch->stream;
    struct etcd_watch_response response = {
        .watch_id = watch->id, .canceled = true, .compact_revision = compact_revision};
    etcd_watcher_free(watch->watcher);
    watch->watcher = NULL;
    (void)watch_stream_reply(stream, &response, 0); /* as etcd: clients look at compact_revision */
}

const struct etcd_watcher_events watch_events = {.on_events = on_events,
                                                 .on_compacted = on_compacted};
