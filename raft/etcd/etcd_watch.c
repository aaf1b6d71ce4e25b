/* Streams and what clients ask of them. Events of the watchers: etcd_watch_events.c. Nothing is
 * queued here.
 *
 *     flowing --(ETCD_WATCH_PENDING_BYTES wait)--> held --(half of that is taken)--> flowing
 *
 * One timer a stream, while it has something to wait for: that a held one flows again, a leader
 * (hasleader), the next notice of progress. */
#include "raft/etcd/etcd_watch.h"

#include "base/assert.h"
#include "base/mem.h"
#include "raft/etcd/etcd_watch_impl.h"

#include <string.h>

enum {
    POLL_MS = 10,              /* of a stream that waits for its client */
    CONTROL_REPLIES_MAX = 8192 /* answers to requests that a client does not read */
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

struct etcd_service *watch_stream_service(const struct watch_stream *stream)
{
    return stream->call->service;
}

int64_t watch_stream_now_ms(const struct watch_stream *stream)
{
    return clock_mono_ms(etcd_service_config(watch_stream_service(stream))->clock);
}

static bool is_over(const struct watch_stream *stream)
{
    return stream->call == NULL || etcd_call_has_ended(stream->call);
}

void watch_stream_finish(struct watch_stream *stream, enum grpc_code code, const char *text)
{
    remove_all(stream);
    stream->is_held = false;
    stream->wants_progress = false;
    etcd_call_finish(stream->call, code, span_str(text));
    stream_schedule(stream);
}

static void stream_fail(struct watch_stream *stream, enum etcd_error error)
{
    watch_stream_finish(stream, etcd_error_code(error), etcd_error_text(error));
}

void watch_stream_hold(struct watch_stream *stream)
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

void watch_stream_hold_if_full(struct watch_stream *stream)
{
    if (etcd_call_pending(stream->call) >= ETCD_WATCH_PENDING_BYTES) {
        watch_stream_hold(stream);
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

bool watch_stream_reply(struct watch_stream *stream, const struct etcd_watch_response *response,
                        int64_t revision)
{
    struct etcd_header header;
    struct etcd_watch_response headed = *response;
    etcd_service_header(watch_stream_service(stream), &header);
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
    watch_stream_hold_if_full(stream);
    return true;
}

static int64_t present_revision(const struct watch_stream *stream)
{
    const struct store *store = etcd_service_store(watch_stream_service(stream));
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
        (void)watch_stream_reply(stream, &response, revision);
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
    watch->last_ms = watch_stream_now_ms(stream);
    return watch_stream_reply(stream, &response, watch_revision(watch, present_revision(stream)));
}

static void notify_due(struct watch_stream *stream)
{
    int64_t early_ms =
        2 * (int64_t)etcd_service_config(watch_stream_service(stream))->election_timeout_ms;
    int64_t due_ms = watch_stream_now_ms(stream) - ETCD_WATCH_PROGRESS_MS + early_ms;
    for (size_t i = 0; i < stream->count && !stream->is_held; i++) {
        struct watch *watch = stream->watches[i];
        bool is_due = watch->progress_notify && watch->last_ms <= due_ms;
        if (is_due && watch->watcher != NULL && !notify(watch)) {
            return;
        }
    }
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
    watch->last_ms = watch_stream_now_ms(stream);
    watch->watcher = etcd_watcher_new(watch_stream_service(stream), &range, request->start_revision,
                                      &watch_events, watch);
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
        etcd_watcher_count(watch_stream_service(stream)) >= ETCD_WATCHES_MAX) {
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
        (void)watch_stream_reply(stream, &response, revision);
        return;
    }
    response.watch_id = choose_id(stream, request->watch_id);
    add(stream, watch_new(stream, request, response.watch_id));
    if (watch_stream_reply(stream, &response, revision)) {
        stream_schedule(stream);
    }
}

static void on_cancel(struct watch_stream *stream, int64_t id)
{
    struct watch *watch = find(stream, id);
    struct etcd_watch_response response = {.watch_id = id, .canceled = true};
    if (watch != NULL) {
        remove_watch(watch);
        (void)watch_stream_reply(stream, &response, present_revision(stream));
    }
}

/* --- time ------------------------------------------------------------------------------------- */

/* False: the stream has ended. */
static bool check_leader(struct watch_stream *stream)
{
    if (!stream->call->wants_leader || etcd_service_has_leader(watch_stream_service(stream))) {
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
    int64_t now = watch_stream_now_ms(stream);
    if (now + POLL_MS >= stream->slow_at_ms) {
        stream->slow_at_ms =
            now + etcd_service_config(watch_stream_service(stream))->election_timeout_ms;
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
    if (stream->is_held && watch_stream_now_ms(stream) >= stream->held_until_ms &&
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
    return is_slow
               ? (uint64_t)etcd_service_config(watch_stream_service(stream))->election_timeout_ms
               : 0;
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
