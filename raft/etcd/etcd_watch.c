/* A stream has a table of watches by their ids, each with a watcher of its own. Whatever a watcher
 * gives is encoded and handed to the carrier at once; nothing is queued here.
 *
 *     flowing --(ETCD_WATCH_PENDING_BYTES wait)--> held --(half of that is taken)--> flowing
 *
 * The carrier may refuse a reply, because too much waits for all clients together, and one revision
 * may be more than may wait for one. Then the watcher goes back to the first revision that was not
 * sent whole, and the stream is held; of that revision the events that were sent are skipped when
 * it comes again.
 *
 * One timer a stream, while it has something to wait for: that a held one flows again, a leader
 * (hasleader), the next notice of progress. */
#include "raft/etcd/etcd_watch.h"

#include "base/assert.h"
#include "base/mem.h"
#include "raft/etcd/etcd_call.h"
#include "raft/etcd/etcd_watch_message.h"
#include "raft/etcd/etcd_watcher.h"

#include <string.h>

enum {
    POLL_MS = 10,              /* of a stream that waits for its client */
    REFUSED_MS = 100,          /* until the next try when the carrier takes nothing */
    REFUSED_MS_MAX = 40000,    /* carriers wait less for a client that takes nothing */
    CONTROL_REPLIES_MAX = 8192 /* answers to requests that a client does not read */
};

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

static void stream_schedule(struct watch_stream *stream);

/* --- the table -------------------------------------------------------------------------------- */

/* Where the id is, or would be. */
static size_t seek(const struct watch_stream *stream, int64_t id)
{
    size_t low = 0;
    size_t high = stream->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (stream->watches[middle]->id < id) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static struct watch *find(const struct watch_stream *stream, int64_t id)
{
    size_t at = seek(stream, id);
    return at < stream->count && stream->watches[at]->id == id ? stream->watches[at] : NULL;
}

static void add(struct watch_stream *stream, struct watch *watch)
{
    size_t at = seek(stream, watch->id);
    if (stream->count == stream->capacity) {
        stream->capacity = stream->capacity == 0 ? 4 : 2 * stream->capacity;
        stream->watches = mem_resize(stream->watches, stream->capacity * sizeof(struct watch *));
    }
    memmove(stream->watches + at + 1, stream->watches + at,
            (stream->count - at) * sizeof(struct watch *));
    stream->watches[at] = watch;
    stream->count++;
    stream->notified += watch->progress_notify;
}

static void remove_watch(struct watch *watch)
{
    struct watch_stream *stream = watch->stream;
    size_t at = seek(stream, watch->id);
    ASSERT(stream->watches[at] == watch);
    stream->count--;
    stream->notified -= watch->progress_notify;
    memmove(stream->watches + at, stream->watches + at + 1,
            (stream->count - at) * sizeof(struct watch *));
    etcd_watcher_free(watch->watcher);
    mem_free(watch);
}

static void remove_all(struct watch_stream *stream)
{
    while (stream->count > 0) {
        remove_watch(stream->watches[stream->count - 1]);
    }
}

/* --- replies ---------------------------------------------------------------------------------- */

static struct etcd_service *service_of(const struct watch_stream *stream)
{
    return stream->call->service;
}

static int64_t now_ms(const struct watch_stream *stream)
{
    return clock_mono_ms(etcd_service_config(service_of(stream))->clock);
}

static bool is_over(const struct watch_stream *stream)
{
    return stream->call == NULL || etcd_call_has_ended(stream->call);
}

/* The end of the stream: from here on the call is the carrier's alone. */
static void stream_finish(struct watch_stream *stream, enum grpc_code code, const char *text)
{
    remove_all(stream);
    stream->is_held = false;
    stream->wants_progress = false;
    etcd_call_finish(stream->call, code, span_str(text));
    stream_schedule(stream);
}

static void stream_fail(struct watch_stream *stream, enum etcd_error error)
{
    stream_finish(stream, etcd_error_code(error), etcd_error_text(error));
}

static void hold(struct watch_stream *stream)
{
    if (stream->is_held) {
        return;
    }
    stream->is_held = true;
    for (size_t i = 0; i < stream->count; i++) {
        if (stream->watches[i]->watcher != NULL) {
            etcd_watcher_pause(stream->watches[i]->watcher);
        }
    }
    stream_schedule(stream);
}

static void hold_if_full(struct watch_stream *stream)
{
    if (etcd_call_pending(stream->call) >= ETCD_WATCH_PENDING_BYTES) {
        hold(stream);
    }
}

static void flow(struct watch_stream *stream)
{
    stream->is_held = false;
    for (size_t i = 0; i < stream->count; i++) {
        if (stream->watches[i]->watcher != NULL) {
            etcd_watcher_resume(stream->watches[i]->watcher);
        }
    }
}

/* What is said of a watch besides its events; the header is added. False: the stream has ended. */
static bool reply_control(struct watch_stream *stream, const struct etcd_watch_response *response,
                          int64_t revision)
{
    struct etcd_header header;
    struct etcd_watch_response headed = *response;
    etcd_service_header(service_of(stream), &header);
    header.revision = revision;
    /* `headed` is a copy that ends here; cppcheck takes it for what `response` points to. */
    /* cppcheck-suppress autoVariables */
    headed.header = &header;
    if (etcd_call_pending(stream->call) == 0) {
        stream->control_replies = 0;
    }
    if (++stream->control_replies > CONTROL_REPLIES_MAX ||
        etcd_call_reply(stream->call, &headed, NULL) != 0) {
        stream_fail(stream, ETCD_ERROR_TOO_MANY_REQUESTS);
        return false;
    }
    hold_if_full(stream);
    return true;
}

static int64_t present_revision(const struct watch_stream *stream)
{
    const struct store *store = etcd_service_store(service_of(stream));
    return store == NULL ? 0 : store_revision(store);
}

/* --- progress --------------------------------------------------------------------------------- */

/* It has delivered everything up to it, which is not above `present`. */
static int64_t watch_revision(const struct watch *watch, int64_t present)
{
    if (watch->watcher == NULL) {
        return present;
    }
    int64_t revision = etcd_watcher_next_revision(watch->watcher) - 1;
    return revision < present ? revision : present;
}

/* All watches have delivered everything up to it. */
static int64_t delivered_revision(const struct watch_stream *stream)
{
    int64_t revision = present_revision(stream);
    for (size_t i = 0; i < stream->count; i++) {
        int64_t until = watch_revision(stream->watches[i], revision);
        revision = until < revision ? until : revision;
    }
    return revision;
}

static void answer_progress(struct watch_stream *stream)
{
    int64_t revision = delivered_revision(stream);
    if (stream->wants_progress && revision >= stream->progress_revision) {
        struct etcd_watch_response response = {.watch_id = -1};
        stream->wants_progress = false;
        (void)reply_control(stream, &response, revision);
    }
}

/* Several that come while one waits are answered together. */
static void on_progress_request(struct watch_stream *stream)
{
    stream->wants_progress = true;
    stream->progress_revision = present_revision(stream);
    answer_progress(stream);
    stream_schedule(stream);
}

/* False: the stream has ended. */
static bool notify(struct watch *watch)
{
    struct watch_stream *stream = watch->stream;
    struct etcd_watch_response response = {.watch_id = watch->id};
    watch->last_ms = now_ms(stream);
    return reply_control(stream, &response, watch_revision(watch, present_revision(stream)));
}

static void notify_due(struct watch_stream *stream)
{
    int64_t early_ms = 2 * (int64_t)etcd_service_config(service_of(stream))->election_timeout_ms;
    int64_t due_ms = now_ms(stream) - ETCD_WATCH_PROGRESS_MS + early_ms;
    for (size_t i = 0; i < stream->count && !stream->is_held; i++) {
        struct watch *watch = stream->watches[i];
        bool is_due = watch->progress_notify && watch->last_ms <= due_ms;
        if (is_due && watch->watcher != NULL && !notify(watch)) {
            return;
        }
    }
}

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
    hold(watch->stream);
}

/* The carrier takes nothing now. */
static void on_refused(struct watch *watch, const struct watch_message *message, size_t sent)
{
    struct watch_stream *stream = watch->stream;
    int64_t now = now_ms(stream);
    if (stream->refused_since_ms == 0) {
        stream->refused_since_ms = now;
    }
    if (now - stream->refused_since_ms > REFUSED_MS_MAX) {
        stream_finish(stream, GRPC_UNAVAILABLE, "etcdserver: too many answers wait to be sent");
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
        etcd_service_header(service_of(watch->stream), &message->header);
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
        watch->last_ms = now_ms(stream);
        watch->part_count = 0;
        if (sent < message->count) {
            put_back(watch, message, sent);
        }
        hold_if_full(stream);
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
    (void)reply_control(stream, &response, 0); /* as etcd: clients look at compact_revision */
}

/* --- requests --------------------------------------------------------------------------------- */

/* Keys are not longer than STORE_KEY_BYTES_MAX: what follows one byte more decides nothing. */
static struct span cut(struct span bound)
{
    return span_of(bound.data,
                   bound.len > STORE_KEY_BYTES_MAX + 1 ? STORE_KEY_BYTES_MAX + 1 : bound.len);
}

static struct watch *watch_new(struct watch_stream *stream,
                               const struct etcd_watch_create_request *request, int64_t id)
{
    static const struct etcd_watcher_events events = {.on_events = on_events,
                                                      .on_compacted = on_compacted};
    static const struct span lowest = {.data = (const uint8_t *)"", .len = 1};
    struct store_watch range = {.key = cut(request->key.len == 0 ? lowest : request->key),
                                .range_end = cut(request->range_end),
                                .prev_kv = request->prev_kv};
    for (size_t i = 0; i < request->filters_count; i++) {
        range.no_put = range.no_put || request->filters[i] == ETCD_WATCH_NOPUT;
        range.no_delete = range.no_delete || request->filters[i] == ETCD_WATCH_NODELETE;
    }
    struct watch *watch = mem_new(struct watch);
    watch->stream = stream;
    watch->id = id;
    watch->fragment = request->fragment;
    watch->progress_notify = request->progress_notify;
    watch->last_ms = now_ms(stream);
    watch->watcher =
        etcd_watcher_new(service_of(stream), &range, request->start_revision, &events, watch);
    if (stream->is_held) {
        etcd_watcher_pause(watch->watcher);
    }
    return watch;
}

/* What it is refused for; NULL = nothing. */
static const char *refusal(const struct watch_stream *stream,
                           const struct etcd_watch_create_request *request)
{
    struct span end = request->range_end;
    bool open = end.len == 1 && end.data[0] == 0;
    if (end.len > 0 && !open && span_compare(request->key, end) >= 0) {
        return "mvcc: watcher range is empty";
    }
    if (request->watch_id != 0 && find(stream, request->watch_id) != NULL) {
        return "mvcc: duplicate watch ID provided on the WatchStream";
    }
    if (stream->count >= ETCD_WATCHES_STREAM_MAX ||
        etcd_watcher_count(service_of(stream)) >= ETCD_WATCHES_MAX) {
        return etcd_error_text(ETCD_ERROR_TOO_MANY_REQUESTS);
    }
    return NULL;
}

static int64_t choose_id(struct watch_stream *stream, int64_t asked)
{
    if (asked != 0) {
        return asked;
    }
    while (find(stream, stream->next_id) != NULL) {
        stream->next_id++;
    }
    return stream->next_id++;
}

static void on_create(struct watch_stream *stream, const struct etcd_watch_create_request *request)
{
    const char *reason = refusal(stream, request);
    struct etcd_watch_response response = {
        .created = true, .canceled = reason != NULL, .cancel_reason = span_str(reason)};
    int64_t revision = present_revision(stream);
    if (reason != NULL) {
        response.watch_id = -1;
        (void)reply_control(stream, &response, revision);
        return;
    }
    response.watch_id = choose_id(stream, request->watch_id);
    add(stream, watch_new(stream, request, response.watch_id));
    if (reply_control(stream, &response, revision)) {
        stream_schedule(stream);
    }
}

static void on_cancel(struct watch_stream *stream, int64_t id)
{
    struct watch *watch = find(stream, id);
    struct etcd_watch_response response = {.watch_id = id, .canceled = true};
    if (watch != NULL) {
        remove_watch(watch);
        (void)reply_control(stream, &response, present_revision(stream));
    }
}

/* --- time ------------------------------------------------------------------------------------- */

/* False: the stream has ended. */
static bool check_leader(struct watch_stream *stream)
{
    if (!stream->call->wants_leader || etcd_service_has_leader(service_of(stream))) {
        stream->leaderless_ticks = 0;
        return true;
    }
    if (++stream->leaderless_ticks < ETCD_WATCH_LEADER_TIMEOUTS) {
        return true;
    }
    stream_fail(stream, ETCD_ERROR_NO_LEADER);
    return false;
}

static void look_slowly(struct watch_stream *stream)
{
    int64_t now = now_ms(stream);
    if (now + POLL_MS >= stream->slow_at_ms) {
        stream->slow_at_ms = now + etcd_service_config(service_of(stream))->election_timeout_ms;
        if (check_leader(stream)) {
            notify_due(stream);
        }
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct watch_stream *stream = timer->data;
    if (!is_over(stream)) {
        look_slowly(stream);
    }
    if (is_over(stream)) {
        remove_all(stream);
        stream_schedule(stream);
        return;
    }
    if (stream->is_held && now_ms(stream) >= stream->held_until_ms &&
        etcd_call_pending(stream->call) < ETCD_WATCH_PENDING_BYTES / 2) {
        flow(stream);
    }
    if (!stream->is_held) {
        answer_progress(stream);
    }
    stream_schedule(stream);
}

static uint64_t period_ms(const struct watch_stream *stream)
{
    if (is_over(stream)) {
        return 0;
    }
    if (stream->is_held || stream->wants_progress) {
        return POLL_MS;
    }
    bool is_slow = stream->call->wants_leader || stream->notified > 0;
    return is_slow ? (uint64_t)etcd_service_config(service_of(stream))->election_timeout_ms : 0;
}

static void stream_schedule(struct watch_stream *stream)
{
    uint64_t period = period_ms(stream);
    if (period == stream->period_ms) {
        return;
    }
    stream->period_ms = period;
    if (period == 0) {
        (void)uv_timer_stop(&stream->timer);
    } else {
        (void)uv_timer_start(&stream->timer, on_timer, period, period);
    }
}

/* --- the call --------------------------------------------------------------------------------- */

static struct watch_stream *stream_new(struct etcd_call *call)
{
    const struct etcd_service_config *config = etcd_service_config(call->service);
    struct watch_stream *stream = mem_new(struct watch_stream);
    stream->call = call;
    stream->slow_at_ms = clock_mono_ms(config->clock) + config->election_timeout_ms;
    stream->timer.data = stream;
    (void)uv_timer_init(config->loop, &stream->timer);
    return stream;
}

/* Is there nobody who could answer? For a stream that runs see check_leader. */
static bool is_deserted(const struct etcd_call *call, bool is_new)
{
    return !etcd_service_is_ready(call->service) ||
           (is_new && call->wants_leader && !etcd_service_has_leader(call->service));
}

void etcd_watch_on_message(struct etcd_call *call, const void *message)
{
    const struct etcd_watch_request *request = message;
    bool is_new = call->arg == NULL;
    if (is_new) {
        call->arg = stream_new(call);
    }
    struct watch_stream *stream = call->arg;
    if (is_over(stream)) {
        return;
    }
    if (is_deserted(call, is_new)) {
        stream_fail(stream, ETCD_ERROR_NO_LEADER);
        return;
    }
    if (is_new) {
        stream_schedule(stream);
    }
    switch ((enum etcd_watch_union)request->which) {
    case ETCD_WATCH_CREATE: on_create(stream, request->create_request); return;
    case ETCD_WATCH_CANCEL: on_cancel(stream, request->cancel_request->watch_id); return;
    case ETCD_WATCH_PROGRESS: on_progress_request(stream); return;
    }
}

/* As in etcd: who has said all may still listen. */
void etcd_watch_on_end(struct etcd_call *call)
{
    (void)call;
}

static void on_timer_closed(uv_handle_t *timer)
{
    mem_free(timer->data);
}

void etcd_watch_on_close(struct etcd_call *call)
{
    struct watch_stream *stream = call->arg;
    if (stream == NULL) {
        return;
    }
    call->arg = NULL;
    stream->call = NULL;
    remove_all(stream);
    mem_free(stream->watches);
    uv_close((uv_handle_t *)&stream->timer, on_timer_closed);
}
