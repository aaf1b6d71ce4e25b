/* An array used as a sliding window, and the reads that watches make of it. A revision is handed
 * out whole or not at all, since a watch that saw half of a transaction would see a state that
 * never was. */
#include "raft/store/watch.h"

#include "base/assert.h"
#include "base/mem.h"
#include "raft/store/mvcc.h"
#include "raft/store/output.h"
#include "raft/store/store_internal.h"

#include <string.h>

enum { WATCH_FIRST_CAPACITY = 64 };

void watch_history_init(struct watch_history *history, int64_t compacted)
{
    *history = (struct watch_history){.compacted = compacted};
}

struct kv_record *watch_history_at(const struct watch_history *history, size_t position)
{
    ASSERT(position < history->count);
    return history->events[history->head + position];
}

/* The chains are taken apart here, too: closing the maps only drops what is on top of them. */
void watch_history_close(struct watch_history *history)
{
    for (size_t i = 0; i < history->count; i++) {
        struct kv_record *record = watch_history_at(history, i);
        struct kv_record *older = record->older;
        record->older = NULL;
        record->newer = NULL;
        kv_record_unref(older);
    }
    while (history->count > 0) {
        kv_record_unref(watch_history_pop(history));
    }
    mem_free(history->events);
    *history = (struct watch_history){0};
}

static void watch_history_make_room(struct watch_history *history)
{
    if (history->head + history->count < history->capacity) {
        return;
    }
    if (history->head > history->count) { /* over half is used up: each event moves O(1) times */
        memmove(history->events, history->events + history->head,
                history->count * sizeof(struct kv_record *));
        history->head = 0;
        return;
    }
    history->capacity = history->capacity == 0 ? WATCH_FIRST_CAPACITY : history->capacity * 2;
    history->events = mem_resize(history->events, history->capacity * sizeof(struct kv_record *));
}

void watch_history_add(struct watch_history *history, struct kv_record *record)
{
    ASSERT(record->mod_revision >= history->compacted);
    watch_history_make_room(history);
    history->events[history->head + history->count] = kv_record_ref(record);
    history->count++;
}

struct kv_record *watch_history_pop(struct watch_history *history)
{
    struct kv_record *record = watch_history_at(history, 0);
    history->head++;
    history->count--;
    return record;
}

size_t watch_history_seek(const struct watch_history *history, int64_t revision)
{
    size_t low = 0;
    size_t high = history->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (watch_history_at(history, middle)->mod_revision < revision) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

void watch_history_check(const struct watch_history *history)
{
    int64_t last = history->compacted;
    for (size_t i = 0; i < history->count; i++) {
        const struct kv_record *record = watch_history_at(history, i);
        ASSERT(record->mod_revision >= last);
        last = record->mod_revision;
    }
}

/* --- reads ------------------------------------------------------------------------------------ */

static void event_view(const struct kv_record *record, struct store_event *ret_event)
{
    bool deleted = (record->flags & KV_TOMBSTONE) != 0;
    ret_event->type = deleted ? STORE_EVENT_DELETE : STORE_EVENT_PUT;
    ret_event->action = (enum store_action)record->action;
    kv_record_view(record, &ret_event->kv);
}

int store_history_each(const struct store *store, int64_t from_revision, struct span prefix,
                       bool (*visit)(void *arg, const struct store_event *event), void *arg)
{
    const struct watch_history *history = &store->history;
    if (from_revision < history->compacted) {
        return ERR_NOT_FOUND;
    }
    for (size_t i = watch_history_seek(history, from_revision); i < history->count; i++) {
        const struct kv_record *record = watch_history_at(history, i);
        struct store_event event;
        if ((record->flags & KV_DIRECTORY) != 0 ||
            !span_starts_with(kv_record_key(record), prefix)) {
            continue;
        }
        event_view(record, &event);
        if (!visit(arg, &event)) {
            break;
        }
    }
    return 0;
}

static bool watch_wants(const struct store_watch *watch, const struct kv_record *record)
{
    bool deleted = (record->flags & KV_TOMBSTONE) != 0;
    if (deleted ? watch->no_delete : watch->no_put) {
        return false;
    }
    if ((record->flags & KV_DIRECTORY) != 0 && !watch->directories) {
        return false;
    }
    return store_range_has(watch->key, watch->range_end, kv_record_key(record));
}

/* Adds the event, and returns how many bytes it is worth. */
static size_t take_event(const struct store_watch *watch, struct kv_record *record,
                         struct store_events *ret_events)
{
    size_t bytes = kv_record_bytes(record);
    kvs_add(&ret_events->kvs, record);
    if (watch->prev_kv) {
        const struct kv_record *before = mvcc_before(record);
        kvs_add(&ret_events->prev_kvs, (struct kv_record *)before);
        bytes += before == NULL ? 0 : kv_record_bytes(before);
    }
    return bytes;
}

int store_events(const struct store *store, const struct store_watch *watch, int64_t from_revision,
                 size_t events_max, size_t bytes_max, struct store_events *ret_events,
                 struct error *err)
{
    const struct watch_history *history = &store->history;
    if (from_revision < history->compacted) {
        return error_set(err, ERR_NOT_FOUND, "revision %lld is compacted up to %lld",
                         (long long)from_revision, (long long)history->compacted);
    }
    *ret_events = (struct store_events){.next_revision = from_revision};
    size_t looked = 0;
    size_t bytes = 0;
    for (size_t i = watch_history_seek(history, from_revision); i < history->count; i++) {
        struct kv_record *record = watch_history_at(history, i);
        bool begins = looked > 0 && record->mod_revision >= ret_events->next_revision;
        if (begins && (looked >= events_max || bytes >= bytes_max)) {
            return 0;
        }
        ret_events->next_revision = record->mod_revision + 1;
        looked++;
        bytes += watch_wants(watch, record) ? take_event(watch, record, ret_events) : 0;
    }
    if (from_revision <= store->revision) {
        ret_events->next_revision = store->revision + 1;
    }
    return 0;
}

bool store_events_get(const struct store_events *events, size_t at, struct store_event *ret_event,
                      struct store_kv *ret_prev)
{
    ASSERT(at < events->kvs.count);
    event_view(events->kvs.records[at], ret_event);
    if (at >= events->prev_kvs.count || events->prev_kvs.records[at] == NULL) {
        return false;
    }
    if (ret_prev != NULL) {
        kv_record_view(events->prev_kvs.records[at], ret_prev);
    }
    return true;
}

void store_events_close(struct store_events *events)
{
    store_kvs_close(&events->kvs);
    store_kvs_close(&events->prev_kvs);
}
