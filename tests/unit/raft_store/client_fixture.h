/* Short ways to say what clients of etcd's API do, and what comes of it as a line of text. */
#ifndef TESTS_CLIENT_FIXTURE_H
#define TESTS_CLIENT_FIXTURE_H

#include "store_fixture.h"

#include "raft/store_client.h"

/* Applied with an output, on a second store without one, and both stay alike. */
struct pair {
    struct store *store;
    struct store *other; /* collects nothing, and is restored from its own snapshot in between */
};

static inline struct store_result apply_pair(struct pair *pair, const struct store_command *command,
                                             struct store_output *output)
{
    struct buf bytes = BUF_INIT;
    struct error err = {0};
    struct store_result result;
    struct store_result quiet;
    int rc = store_command_encode(command, &bytes, &err);
    if (rc != 0) {
        print_error("%s\n", err.text);
    }
    assert_int_equal(rc, 0);
    store_apply(pair->store, store_applied(pair->store) + 1, buf_span(&bytes), &result, output);
    store_apply(pair->other, store_applied(pair->other) + 1, buf_span(&bytes), &quiet, NULL);
    assert_int_equal(result.code, quiet.code);
    assert_int_equal(result.reason, quiet.reason);
    assert_int_equal(result.revision, quiet.revision);
    assert_int_equal(result.succeeded, quiet.succeeded);
    store_check(pair->store);
    store_check(pair->other);
    buf_free(&bytes);
    return result;
}

/* The second store goes on from its snapshot; the first from what it has. */
static inline void restart_other(struct pair *pair)
{
    struct buf bytes = BUF_INIT;
    struct error err = {0};
    store_snapshot(pair->other, &bytes);
    if (store_restore(pair->other, buf_span(&bytes), &err) != 0) {
        print_error("%s\n", err.text);
        fail();
    }
    store_check(pair->other);
    buf_free(&bytes);
    assert_same_state(pair->store, pair->other);
}

static inline int pair_setup(void **state)
{
    struct pair *pair = mem_new(struct pair);
    pair->store = store_new();
    pair->other = store_new();
    *state = pair;
    return 0;
}

static inline int pair_teardown(void **state)
{
    struct pair *pair = *state;
    assert_same_state(pair->store, pair->other);
    store_free(pair->store);
    store_free(pair->other);
    mem_free(pair);
    return 0;
}

#define PAIR_TEST(function) cmocka_unit_test_setup_teardown(function, pair_setup, pair_teardown)

/* --- operations ------------------------------------------------------------------------------- */

static inline struct store_client_op c_put(const char *key, const char *value)
{
    return (struct store_client_op){
        .type = STORE_CLIENT_PUT, .range = {.key = span_str(key)}, .value = span_str(value)};
}

static inline struct store_client_op c_put_lease(const char *key, const char *value, uint64_t lease)
{
    struct store_client_op op = c_put(key, value);
    op.lease = lease;
    return op;
}

static inline struct store_client_op c_range(const char *key, const char *end)
{
    return (struct store_client_op){.type = STORE_CLIENT_RANGE,
                                    .range = {.key = span_str(key), .range_end = span_str(end)}};
}

static inline struct store_client_op c_delete(const char *key, const char *end)
{
    struct store_client_op op = c_range(key, end);
    op.type = STORE_CLIENT_DELETE;
    return op;
}

static inline struct store_client_op c_txn(const struct store_client_txn *txn)
{
    return (struct store_client_op){.type = STORE_CLIENT_NESTED, .txn = txn};
}

static inline struct store_compare c_absent(const char *key)
{
    return (struct store_compare){
        .target = STORE_CMP_CREATE, .relation = STORE_EQUAL, .key = span_str(key)};
}

/* --- what came of it -------------------------------------------------------------------------- */

static inline void put_kv(struct buf *out, const struct store_kv *kv)
{
    buf_put_span(out, kv->key);
    if (kv->value.len > 0) {
        buf_put_str(out, "=");
        buf_put_span(out, kv->value);
    }
    if (kv->create_revision != 0) {
        buf_printf(out, "(%lld,%lld,%lld", (long long)kv->create_revision,
                   (long long)kv->mod_revision, (long long)kv->version);
        if (kv->lease != 0) {
            buf_printf(out, ",%llu", (unsigned long long)kv->lease);
        }
        buf_put_str(out, ")");
    }
    buf_put_str(out, " ");
}

static inline void put_node(struct buf *out, const struct store_v2_node *node)
{
    buf_put_span(out, node->path);
    buf_put_str(out, node->directory ? "/" : "=");
    buf_put_span(out, node->value);
    buf_printf(out, "(%lld,%lld", (long long)node->created, (long long)node->modified);
    if (node->lease != 0) {
        buf_printf(out, ",ttl %lld", (long long)node->ttl_ms);
    }
    buf_put_str(out, ")");
}

static inline void put_kvs(struct buf *out, const struct store_kvs *kvs)
{
    for (size_t i = 0; i < kvs->count; i++) {
        struct store_kv kv;
        store_kvs_get(kvs, i, &kv);
        put_kv(out, &kv);
    }
}

static inline void put_ops(struct buf *out, const struct store_op_output *txn)
{
    buf_put_str(out, txn->succeeded ? "yes{" : "no{");
    for (size_t i = 0; i < txn->op_count; i++) {
        const struct store_op_output *op = &txn->ops[i];
        switch (op->type) {
        case STORE_CLIENT_RANGE:
            buf_printf(out, "range@%lld#%lld%s: ", (long long)op->revision, (long long)op->count,
                       op->more ? "+" : "");
            put_kvs(out, &op->kvs);
            break;
        case STORE_CLIENT_PUT:
            buf_printf(out, "put@%lld: ", (long long)op->revision);
            put_kvs(out, &op->kvs);
            break;
        case STORE_CLIENT_DELETE:
            buf_printf(out, "delete@%lld#%lld: ", (long long)op->revision, (long long)op->count);
            put_kvs(out, &op->kvs);
            break;
        case STORE_CLIENT_NESTED: put_ops(out, op); break;
        }
        buf_put_str(out, i + 1 < txn->op_count ? "; " : "");
    }
    buf_put_str(out, "}");
}

static inline void put_result(struct buf *out, const struct store_result *result)
{
    if (result->code != 0) {
        buf_printf(out, "%s/%d@%lld", err_name(result->code), (int)result->reason,
                   (long long)result->revision);
        return;
    }
    buf_printf(out, "@%lld ", (long long)result->revision);
    if (result->output != NULL) {
        put_ops(out, &result->output->txn);
    }
}

/* Applies the transaction and compares what came of it. */
static inline void txn_is(struct pair *pair, const char *actor, const struct store_client_txn *txn,
                          const char *expected)
{
    struct buf out = BUF_INIT;
    struct store_output *output = store_output_new();
    struct store_command command = {
        .type = STORE_CLIENT_TXN, .actor = span_str(actor), .client_txn = txn};
    struct store_result result = apply_pair(pair, &command, output);
    put_result(&out, &result);
    assert_string_equal(buf_str(&out), expected);
    store_output_unref(output);
    buf_free(&out);
}

#define TXN_IS(pair, expected, ...)                                                     \
    do {                                                                                \
        struct store_client_op ops_[] = {__VA_ARGS__};                                  \
        struct store_client_txn txn_ = {.success = ops_, .success_count = COUNT(ops_)}; \
        txn_is((pair), "", &txn_, (expected));                                          \
    } while (0)

static inline struct store_result open_format_2(struct pair *pair)
{
    return apply_pair(pair, &(struct store_command){.type = STORE_FORMAT}, NULL);
}

static inline void put_range(struct buf *out, struct store_range_result *result)
{
    buf_printf(out, "#%lld%s: ", (long long)result->count, result->more ? "+" : "");
    put_kvs(out, &result->kvs);
    store_kvs_close(&result->kvs);
}

/* In parts of `looks_max` looks, into `out`. */
static inline int range_in_parts(const struct store *store, const struct store_range *range,
                                 size_t looks_max, struct buf *out)
{
    struct store_range_walk *walk = NULL;
    struct store_range_result result;
    size_t looks = 0;
    int rc = store_range_walk_new(store, range, &walk, NULL);
    while (rc == 0 && !store_range_walk_is_done(walk)) {
        rc = store_range_walk_step(walk, store, looks_max, &looks, NULL);
    }
    if (rc != 0) {
        buf_put_str(out, err_name(rc));
    } else {
        store_range_walk_take(walk, &result);
        put_range(out, &result);
    }
    store_range_walk_free(walk);
    return rc;
}

/* "code count+ kvs" of a range, at once and in parts. */
static inline void range_is(const struct store *store, struct store_range range,
                            const char *expected)
{
    struct buf out = BUF_INIT;
    struct error err = {0};
    struct store_range_result result;
    int rc = store_range(store, &range, &result, &err);
    if (rc != 0) {
        buf_put_str(&out, err_name(rc));
    } else {
        put_range(&out, &result);
    }
    assert_string_equal(buf_str(&out), expected);
    for (size_t looks_max = 1; looks_max < 4; looks_max++) {
        buf_clear(&out);
        assert_int_equal(range_in_parts(store, &range, looks_max, &out), rc);
        assert_string_equal(buf_str(&out), expected);
    }
    buf_free(&out);
}

static inline void put_events(struct buf *out, const struct store_events *events)
{
    for (size_t i = 0; i < events->kvs.count; i++) {
        struct store_event event;
        struct store_kv prev;
        bool has_prev = store_events_get(events, i, &event, &prev);
        buf_printf(out, "%s%s%lld ", event.type == STORE_EVENT_PUT ? "put" : "delete",
                   event.kv.directory ? "-dir@" : "@", (long long)event.kv.mod_revision);
        put_kv(out, &event.kv);
        if (has_prev) {
            buf_put_str(out, "was ");
            put_kv(out, &prev);
        }
    }
}

static inline void events_are(const struct store *store, struct store_watch watch, int64_t from,
                              const char *expected)
{
    struct buf out = BUF_INIT;
    struct error err = {0};
    struct store_events events;
    int rc = store_events(store, &watch, from, 1000, 1 << 20, &events, &err);
    if (rc != 0) {
        buf_put_str(&out, err_name(rc));
    } else {
        put_events(&out, &events);
        store_events_close(&events);
    }
    assert_string_equal(buf_str(&out), expected);
    buf_free(&out);
}

#define EVERYTHING .key = span_of("\0", 1), .range_end = span_of("\0", 1)

#endif
