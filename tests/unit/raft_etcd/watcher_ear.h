/* Who listens to a watcher, and writes down what it hears: "3 put /a=1", "4 delete /a", "compacted
 * up to 7"; with prev_kv: "(was 1)". One line for each call, events of one call apart by ", ". */
#ifndef TEST_WATCHER_EAR_H
#define TEST_WATCHER_EAR_H

#include "fake_service.h"
#include "raft/etcd/etcd_watcher.h"

struct ear {
    struct etcd_watcher *watcher;
    struct buf heard;
    size_t calls;
    size_t events;
    bool pause_inside;
    bool free_inside;
    bool is_over;
    int64_t last_revision;
};

static void ear_write(struct ear *ear, const struct store_event *event, const struct store_kv *prev)
{
    const char *what = event->type == STORE_EVENT_PUT ? "put" : "delete";
    buf_printf(&ear->heard, "%lld %s %.*s", (long long)event->kv.mod_revision, what,
               (int)event->kv.key.len, (const char *)event->kv.key.data);
    if (event->type == STORE_EVENT_PUT) {
        buf_printf(&ear->heard, "=%.*s", (int)event->kv.value.len,
                   (const char *)event->kv.value.data);
    }
    if (prev != NULL) {
        buf_printf(&ear->heard, " (was %.*s)", (int)prev->value.len,
                   (const char *)prev->value.data);
    }
}

static void ear_on_events(void *arg, const struct store_events *events)
{
    struct ear *ear = arg;
    assert_false(ear->is_over);
    assert_true(events->kvs.count > 0);
    ear->calls++;
    for (size_t i = 0; i < events->kvs.count; i++) {
        struct store_event event;
        struct store_kv prev;
        bool has_prev = store_events_get(events, i, &event, &prev);
        assert_true(event.kv.mod_revision >= ear->last_revision);
        assert_true(i > 0 || event.kv.mod_revision > ear->last_revision);
        ear->last_revision = event.kv.mod_revision;
        ear->events++;
        buf_put_str(&ear->heard, i == 0 ? "" : ", ");
        ear_write(ear, &event, has_prev ? &prev : NULL);
    }
    buf_put_str(&ear->heard, "\n");
    if (ear->pause_inside) {
        etcd_watcher_pause(ear->watcher);
    }
    if (ear->free_inside) {
        etcd_watcher_free(ear->watcher);
        ear->watcher = NULL;
    }
}

static void ear_on_compacted(void *arg, int64_t compact_revision)
{
    struct ear *ear = arg;
    assert_false(ear->is_over);
    ear->is_over = true;
    buf_printf(&ear->heard, "compacted up to %lld\n", (long long)compact_revision);
    if (ear->free_inside) {
        etcd_watcher_free(ear->watcher);
        ear->watcher = NULL;
    }
}

static const struct etcd_watcher_events ear_events = {.on_events = ear_on_events,
                                                      .on_compacted = ear_on_compacted};

static struct store_watch range_of(const char *key, const char *range_end)
{
    return (struct store_watch){.key = span_str(key), .range_end = span_str(range_end)};
}

static void ear_open(struct ear *ear, struct etcd_service *service, struct store_watch watch,
                     int64_t from_revision)
{
    *ear = (struct ear){.watcher = NULL};
    ear->watcher = etcd_watcher_new(service, &watch, from_revision, &ear_events, ear);
}

static void ear_close(struct ear *ear)
{
    etcd_watcher_free(ear->watcher);
    buf_free(&ear->heard);
}

/* What was heard since the last look. */
static inline void assert_heard(struct ear *ear, const char *text)
{
    assert_string_equal(buf_str(&ear->heard), text);
    buf_clear(&ear->heard);
}

#endif
