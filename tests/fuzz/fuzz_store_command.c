/* A stream of commands as the log may hold them: each is a length byte pair and that many bytes.
 * Whatever they are, two members agree after each, though one collects outputs and the other starts
 * again from its snapshot now and then; the structure is sound, what is read of it can be read, and
 * what decodes encodes to the same bytes. */
#include "base/assert.h"
#include "base/buf.h"
#include "raft/store_client.h"

enum { RESTART_EVERY = 5 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_round_trip(struct span command)
{
    struct store_command decoded;
    struct buf arena = BUF_INIT;
    struct buf again = BUF_INIT;
    if (store_command_decode(command, &decoded, &arena, NULL) == 0) {
        ASSERT(store_command_encode(&decoded, &again, NULL) == 0);
        ASSERT(span_equal(command, buf_span(&again)));
        ASSERT(span_equal(decoded.actor, store_command_actor(command)));
    }
    buf_free(&arena);
    buf_free(&again);
}

static void restart(struct store *store)
{
    struct buf bytes = BUF_INIT;
    store_snapshot(store, &bytes);
    ASSERT(store_restore(store, buf_span(&bytes), NULL) == 0);
    buf_free(&bytes);
}

static void visit_nodes(const struct store *store, struct store_kvs *kvs)
{
    for (size_t i = 0; i < kvs->count; i++) {
        struct store_kv kv;
        struct store_v2_node node;
        struct span cause;
        store_kvs_get(kvs, i, &kv);
        ASSERT(store_v2_get(store, kv.key, &node, &cause) == STORE_NO_REASON);
        ASSERT(node.directory || (!kv.directory && node.modified == kv.mod_revision));
    }
    store_kvs_close(kvs);
}

static void read_all(struct store *store)
{
    struct store_range range = {.key = span_of("\0", 1), .range_end = span_of("\0", 1)};
    struct store_watch watch = {
        .key = range.key, .range_end = range.range_end, .prev_kv = true, .directories = true};
    struct store_range_result found;
    struct store_events events;
    int64_t first = store_compacted(store);
    for (range.revision = first;
         range.revision <= store_revision(store) && range.revision < first + 3; range.revision++) {
        ASSERT(store_range(store, &range, &found, NULL) == 0);
        ASSERT(found.count == (int64_t)found.kvs.count);
        store_kvs_close(&found.kvs);
    }
    ASSERT(store_events(store, &watch, first, 100, 1 << 20, &events, NULL) == 0);
    for (size_t i = 0; i < events.kvs.count; i++) {
        struct store_event event;
        struct store_kv prev;
        (void)store_events_get(&events, i, &event, &prev);
        (void)store_v2_event_action(&event, span_str("/"), true);
    }
    store_events_close(&events);
    struct store_kvs files;
    struct store_kvs directories;
    store_v2_below(store, span_str("/"), &files, &directories);
    visit_nodes(store, &files);
    visit_nodes(store, &directories);
}

static void check_alike(const struct store *one, const struct store *two)
{
    struct buf a = BUF_INIT;
    struct buf b = BUF_INIT;
    store_snapshot(one, &a);
    store_snapshot(two, &b);
    ASSERT(span_equal(buf_span(&a), buf_span(&b)));
    buf_free(&a);
    buf_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct store *one = store_new();
    struct store *two = store_new();
    struct span_reader reader = span_reader_of(span_of(data, size));
    for (uint64_t index = 1; reader.rest.len > 2; index++) {
        size_t len = span_take_u16(&reader);
        len = len < reader.rest.len ? len : reader.rest.len;
        struct span command = span_of(reader.rest.data, len);
        reader.rest = span_of(reader.rest.data + len, reader.rest.len - len);
        struct store_output *output = store_output_new();
        struct store_result a;
        struct store_result b;
        check_round_trip(command);
        store_apply(one, index, command, &a, output);
        store_apply(two, index, command, &b, NULL);
        ASSERT(a.code == b.code && a.revision == b.revision && a.succeeded == b.succeeded &&
               a.reason == b.reason);
        store_check(one);
        read_all(one);
        store_output_unref(output);
        if (index % RESTART_EVERY == 0) {
            check_alike(one, two);
            restart(two);
            store_check(two);
        }
    }
    check_alike(one, two);
    store_free(one);
    store_free(two);
    return 0;
}
