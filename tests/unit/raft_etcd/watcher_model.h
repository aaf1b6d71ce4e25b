/* Random commands, the list of all events that they make, and listeners that hold watchers to it.
 * The test has the members: it includes this after MEMBERS and EVENTS_MAX, and defines
 * model_service and model_submit. */
#ifndef TEST_WATCHER_MODEL_H
#define TEST_WATCHER_MODEL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "raft/etcd/etcd_service.h"
#include "raft/etcd/etcd_watcher.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEYS = 8, WATCHERS = 12 };

struct model_event {
    int64_t revision;
    int key;
    int value; /* 0 = deleted */
    int prev;  /* before the revision; 0 = none */
};

struct model {
    struct model_event events[EVENTS_MAX];
    size_t event_count;
    int values[KEYS]; /* 0 = absent */
    int64_t revision;
    int64_t compacted;
    int last_value;
};

struct listener {
    struct etcd_watcher *watcher;
    struct etcd_service *service;
    int first; /* keys first..end-1; KEYS: open */
    int end;
    bool no_put;
    bool no_delete;
    bool prev_kv;
    bool is_over;
    bool pause_inside;
    int64_t from;
    size_t cursor; /* all of the list before it is dealt with */
};

static uint64_t seed;
static struct model model;
static struct listener listeners[WATCHERS];
static const char *const names[KEYS + 1] = {"/k0", "/k1", "/k2", "/k3", "/k4",
                                            "/k5", "/k6", "/k7", "/k8"};
static size_t events_given;
static size_t compactions_told;

static struct etcd_service *model_service(int member);
/* The members apply it sooner or later, in this order. */
static void model_submit(const struct store_command *command);

static int dice(int sides)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (int)((seed >> 16) % (uint64_t)sides);
}

/* --- commands --------------------------------------------------------------------------------- */

static void model_put(int key, int value, int prev)
{
    assert_true(model.event_count < EVENTS_MAX);
    model.events[model.event_count++] =
        (struct model_event){.revision = model.revision, .key = key, .value = value, .prev = prev};
    model.values[key] = value;
}

/* One to three puts and deletes of different keys. */
static void command_txn(void)
{
    static char texts[3][12];
    struct store_client_op ops[3];
    size_t count = (size_t)dice(3) + 1;
    int key = dice(KEYS);
    bool changes = false;
    memset(ops, 0, sizeof ops);
    model.revision++;
    for (size_t i = 0; i < count; i++, key = (key + 3) % KEYS) {
        int before = model.values[key];
        ops[i].range.key = span_str(names[key]);
        ops[i].type = dice(3) == 0 ? STORE_CLIENT_DELETE : STORE_CLIENT_PUT;
        if (ops[i].type == STORE_CLIENT_PUT) {
            (void)snprintf(texts[i], sizeof texts[i], "%d", ++model.last_value);
            ops[i].value = span_str(texts[i]);
            model_put(key, model.last_value, before);
            changes = true;
        } else if (before != 0) {
            model_put(key, 0, before);
            changes = true;
        }
    }
    model.revision -= changes ? 0 : 1;
    struct store_client_txn txn = {.success = ops, .success_count = count};
    model_submit(&(struct store_command){.type = STORE_CLIENT_TXN, .client_txn = &txn});
}

static void command_delete_range(void)
{
    int first = dice(KEYS);
    int end = first + 1 + dice(KEYS - first);
    bool changes = false;
    model.revision++;
    for (int key = first; key < end; key++) {
        if (model.values[key] != 0) {
            model_put(key, 0, model.values[key]);
            changes = true;
        }
    }
    model.revision -= changes ? 0 : 1;
    struct store_client_op op = {
        .type = STORE_CLIENT_DELETE,
        .range = {.key = span_str(names[first]), .range_end = span_str(names[end])}};
    struct store_client_txn txn = {.success = &op, .success_count = 1};
    model_submit(&(struct store_command){.type = STORE_CLIENT_TXN, .client_txn = &txn});
}

static void command_compact(void)
{
    int64_t span = model.revision - model.compacted;
    if (span > 40) {
        model.compacted += 1 + dice((int)span - 1);
        model_submit(
            &(struct store_command){.type = STORE_COMPACT, .number = (uint64_t)model.compacted});
    }
}

static void command_random(void)
{
    int which = dice(20);
    if (model.event_count + KEYS > EVENTS_MAX) {
        return;
    }
    if (which == 0) {
        command_compact();
    } else if (which < 4) {
        command_delete_range();
    } else {
        command_txn();
    }
}

/* --- listeners -------------------------------------------------------------------------------- */

static bool is_heard(const struct listener *listener, const struct model_event *event)
{
    return event->revision >= listener->from && event->key >= listener->first &&
           event->key < listener->end &&
           !(event->value == 0 ? listener->no_delete : listener->no_put);
}

/* The next of the list that it has to hear; NULL = none yet. */
static const struct model_event *due(struct listener *listener)
{
    while (listener->cursor < model.event_count &&
           !is_heard(listener, &model.events[listener->cursor])) {
        listener->cursor++;
    }
    return listener->cursor < model.event_count ? &model.events[listener->cursor] : NULL;
}

static void check_position(struct listener *listener)
{
    const struct model_event *event = due(listener);
    int64_t next_revision = etcd_watcher_next_revision(listener->watcher);
    if (event != NULL) {
        assert_true(event->revision >= next_revision); /* nothing was left out */
    }
}

static int number_of(struct span value)
{
    char text[16] = {0};
    memcpy(text, value.data, value.len);
    return (int)strtol(text, NULL, 10);
}

static void check_event(struct listener *listener, const struct store_event *event,
                        const struct store_kv *prev)
{
    const struct model_event *expected = due(listener);
    assert_non_null(expected);
    assert_int_equal(event->kv.mod_revision, expected->revision);
    assert_true(span_equal_str(event->kv.key, names[expected->key]));
    assert_int_equal(event->type, expected->value == 0 ? STORE_EVENT_DELETE : STORE_EVENT_PUT);
    if (event->type == STORE_EVENT_PUT) {
        assert_int_equal(number_of(event->kv.value), expected->value);
    }
    int value_before = prev == NULL ? 0 : number_of(prev->value);
    bool is_forgotten =
        store_compacted(etcd_service_store(listener->service)) >= expected->revision;
    if (listener->prev_kv && !(prev == NULL && is_forgotten)) {
        assert_int_equal(value_before, expected->prev);
    }
    assert_true(listener->prev_kv || prev == NULL);
    listener->cursor++;
    events_given++;
}

static void on_events(void *arg, const struct store_events *events)
{
    struct listener *listener = arg;
    struct store_event event = {.kv = {.mod_revision = 0}};
    assert_false(listener->is_over);
    assert_true(events->kvs.count > 0);
    for (size_t i = 0; i < events->kvs.count; i++) {
        struct store_kv prev;
        bool has_prev = store_events_get(events, i, &event, &prev);
        check_event(listener, &event, has_prev ? &prev : NULL);
    }
    const struct model_event *after = due(listener);
    assert_true(after == NULL || after->revision > event.kv.mod_revision); /* whole revisions */
    check_position(listener);
    if (listener->pause_inside) {
        etcd_watcher_pause(listener->watcher);
    }
}

static void on_compacted(void *arg, int64_t compact_revision)
{
    struct listener *listener = arg;
    assert_false(listener->is_over);
    listener->is_over = true;
    assert_int_equal(compact_revision, store_compacted(etcd_service_store(listener->service)));
    assert_true(etcd_watcher_next_revision(listener->watcher) < compact_revision);
    compactions_told++;
}

static void listener_start(struct listener *listener, int64_t from_revision)
{
    static const struct etcd_watcher_events events = {.on_events = on_events,
                                                      .on_compacted = on_compacted};
    struct store_watch watch = {.key = span_str(names[listener->first]),
                                .no_put = listener->no_put,
                                .no_delete = listener->no_delete,
                                .prev_kv = listener->prev_kv};
    if (listener->end == KEYS) {
        watch.range_end = dice(2) == 0 ? span_of("", 1) : span_str("/z");
    } else if (listener->end > listener->first + 1 || dice(2) == 0) {
        watch.range_end = span_str(names[listener->end]);
    }
    listener->service = model_service(dice(MEMBERS));
    listener->is_over = false;
    listener->watcher =
        etcd_watcher_new(listener->service, &watch, from_revision, &events, listener);
    if (from_revision == 0) {
        from_revision = store_revision(etcd_service_store(listener->service)) + 1;
    }
    listener->from = from_revision;
    listener->cursor = 0;
}

static void listener_begin(struct listener *listener)
{
    int64_t from_revision = 0;
    listener->first = dice(KEYS);
    listener->end = listener->first + 1 + dice(KEYS - listener->first);
    listener->no_put = dice(6) == 0;
    listener->no_delete = dice(6) == 0;
    listener->prev_kv = dice(2) == 0;
    listener->pause_inside = dice(3) == 0;
    if (dice(3) > 0) {
        from_revision = model.compacted - 3 + dice((int)(model.revision - model.compacted) + 8);
    }
    listener_start(listener, from_revision);
}

static void listener_random(struct listener *listener)
{
    if (listener->watcher == NULL) {
        listener_begin(listener);
        return;
    }
    check_position(listener);
    switch (dice(8)) {
    case 0:
    case 1: etcd_watcher_pause(listener->watcher); return;
    case 2:
    case 3:
    case 4: etcd_watcher_resume(listener->watcher); return;
    case 5:
        etcd_watcher_free(listener->watcher);
        listener->watcher = NULL;
        return;
    default: break;
    }
    int64_t next_revision = etcd_watcher_next_revision(listener->watcher);
    if (!listener->is_over && next_revision > 0) { /* goes on elsewhere */
        etcd_watcher_free(listener->watcher);
        listener_start(listener, next_revision);
    }
}

/* All members are up to date: what is not delivered now never will be. */
static void listeners_resume(void)
{
    for (size_t i = 0; i < WATCHERS; i++) {
        listeners[i].pause_inside = false;
        if (listeners[i].watcher != NULL) {
            etcd_watcher_resume(listeners[i].watcher);
        }
    }
}

static bool listener_has_all(struct listener *listener)
{
    return listener->watcher == NULL || listener->is_over ||
           (due(listener) == NULL &&
            etcd_watcher_next_revision(listener->watcher) > model.revision);
}

static void listeners_close(void)
{
    for (size_t i = 0; i < WATCHERS; i++) {
        assert_true(listener_has_all(&listeners[i]));
        etcd_watcher_free(listeners[i].watcher);
        listeners[i].watcher = NULL;
    }
}

static void model_begin(uint64_t number, const struct store *store)
{
    seed = number * 0x9e3779b97f4a7c15u;
    memset(&model, 0, sizeof model);
    memset(listeners, 0, sizeof listeners);
    model.revision = store_revision(store);
    model.compacted = store_compacted(store);
}

#endif
