/* History for watches: an array used as a sliding window. A revision is dropped whole or not at
 * all, since a watch that saw half of a transaction would see a state that never was. */
#include "raft/store/watch.h"

#include "base/assert.h"
#include "base/mem.h"
#include "raft/store/store_internal.h"

#include <string.h>

enum { WATCH_FIRST_CAPACITY = 64 };

void watch_history_init(struct watch_history *history, int64_t revision)
{
    *history = (struct watch_history){.compacted = revision};
}

static struct watch_event *event_at(const struct watch_history *history, size_t position)
{
    ASSERT(position < history->count);
    return &history->events[history->head + position];
}

void watch_history_close(struct watch_history *history)
{
    for (size_t i = 0; i < history->count; i++) {
        kv_record_unref(event_at(history, i)->record);
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
                history->count * sizeof(*history->events));
        history->head = 0;
        return;
    }
    history->capacity = history->capacity == 0 ? WATCH_FIRST_CAPACITY : history->capacity * 2;
    history->events = mem_resize(history->events, history->capacity * sizeof(*history->events));
}

void watch_history_add(struct watch_history *history, enum store_event_type type,
                       struct kv_record *record)
{
    ASSERT(record->mod_revision > history->compacted);
    watch_history_make_room(history);
    history->count++;
    *event_at(history, history->count - 1) =
        (struct watch_event){.type = type, .record = kv_record_ref(record)};
    history->bytes += kv_record_bytes(record);
}

void watch_history_trim(struct watch_history *history)
{
    while (history->count > STORE_HISTORY_EVENTS_MAX || history->bytes > STORE_HISTORY_BYTES_MAX) {
        int64_t revision = event_at(history, 0)->record->mod_revision;
        while (history->count > 0 && event_at(history, 0)->record->mod_revision == revision) {
            struct kv_record *record = event_at(history, 0)->record;
            history->bytes -= kv_record_bytes(record);
            kv_record_unref(record);
            history->head++;
            history->count--;
        }
        history->compacted = revision;
    }
}

void watch_history_check(const struct watch_history *history)
{
    size_t bytes = 0;
    int64_t last = history->compacted + 1;
    for (size_t i = 0; i < history->count; i++) {
        const struct kv_record *record = event_at(history, i)->record;
        ASSERT(record->mod_revision >= last);
        last = record->mod_revision;
        bytes += kv_record_bytes(record);
    }
    ASSERT(bytes == history->bytes);
    ASSERT(history->count <= STORE_HISTORY_EVENTS_MAX && bytes <= STORE_HISTORY_BYTES_MAX);
}

static size_t watch_history_seek(const struct watch_history *history, int64_t revision)
{
    size_t low = 0;
    size_t high = history->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (event_at(history, middle)->record->mod_revision < revision) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

int64_t store_compacted(const struct store *store)
{
    return store->history.compacted;
}

int store_history_each(const struct store *store, int64_t from_revision, struct span prefix,
                       bool (*visit)(void *arg, const struct store_event *event), void *arg)
{
    const struct watch_history *history = &store->history;
    if (from_revision <= history->compacted) {
        return ERR_NOT_FOUND;
    }
    for (size_t i = watch_history_seek(history, from_revision); i < history->count; i++) {
        const struct watch_event *found = event_at(history, i);
        if (!span_starts_with(kv_record_key(found->record), prefix)) {
            continue;
        }
        struct store_event event = {.type = found->type};
        kv_record_view(found->record, &event.kv);
        if (!visit(arg, &event)) {
            break;
        }
    }
    return 0;
}
