/* Short ways to say commands: each test reads as a list of what is applied and what comes of it.
 * Every apply is followed by store_check. */
#ifndef TESTS_STORE_FIXTURE_H
#define TESTS_STORE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "raft/store.h"

#include <stdio.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static inline struct store_result apply(struct store *store, const struct store_command *command)
{
    struct buf bytes = BUF_INIT;
    struct error err = {0};
    struct store_result result;
    assert_int_equal(store_command_encode(command, &bytes, &err), 0);
    store_apply(store, store_applied(store) + 1, buf_span(&bytes), &result, NULL);
    store_check(store);
    buf_free(&bytes);
    return result;
}

static inline struct store_result apply_ops(struct store *store, const char *actor,
                                            const struct store_op *ops, size_t count)
{
    return apply(store, &(struct store_command){.type = STORE_TXN,
                                                .actor = span_str(actor),
                                                .success = ops,
                                                .success_count = count});
}

static inline struct store_op op_put(const char *key, const char *value, uint64_t lease)
{
    return (struct store_op){
        .type = STORE_OP_PUT, .key = span_str(key), .value = span_str(value), .lease = lease};
}

static inline struct store_op op_delete(const char *key)
{
    return (struct store_op){.type = STORE_OP_DELETE, .key = span_str(key)};
}

static inline struct store_op op_delete_prefix(const char *key)
{
    return (struct store_op){.type = STORE_OP_DELETE_PREFIX, .key = span_str(key)};
}

static inline struct store_op op_grant(uint64_t lease, int64_t ttl_ms, uint32_t flags,
                                       int64_t stamp)
{
    return (struct store_op){.type = STORE_OP_LEASE_GRANT,
                             .lease = lease,
                             .ttl_ms = ttl_ms,
                             .flags = flags,
                             .stamp = stamp};
}

static inline struct store_op op_end(uint64_t lease)
{
    return (struct store_op){.type = STORE_OP_LEASE_END, .lease = lease};
}

static inline struct store_result put(struct store *store, const char *actor, const char *key,
                                      const char *value, uint64_t lease)
{
    struct store_op op = op_put(key, value, lease);
    return apply_ops(store, actor, &op, 1);
}

static inline struct store_result grant(struct store *store, const char *actor, uint64_t lease,
                                        int64_t ttl_ms, uint32_t flags, int64_t stamp)
{
    return apply(store, &(struct store_command){.type = STORE_LEASE_GRANT,
                                                .actor = span_str(actor),
                                                .lease = lease,
                                                .ttl_ms = ttl_ms,
                                                .flags = flags,
                                                .stamp = stamp});
}

static inline struct store_result renew(struct store *store, const char *actor, uint64_t lease,
                                        int64_t ttl_ms, int64_t stamp)
{
    return apply(store, &(struct store_command){.type = STORE_LEASE_RENEW,
                                                .actor = span_str(actor),
                                                .lease = lease,
                                                .ttl_ms = ttl_ms,
                                                .stamp = stamp});
}

static inline struct store_result expire(struct store *store, uint64_t lease, uint64_t number)
{
    return apply(store, &(struct store_command){
                            .type = STORE_LEASE_EXPIRE, .lease = lease, .number = number});
}

static inline struct store_result revoke(struct store *store, const char *actor, uint64_t lease)
{
    return apply(store, &(struct store_command){
                            .type = STORE_LEASE_REVOKE, .actor = span_str(actor), .lease = lease});
}

static inline bool has(const struct store *store, const char *key)
{
    struct store_kv kv;
    return store_get(store, span_str(key), &kv);
}

static inline struct store_kv get(const struct store *store, const char *key)
{
    struct store_kv kv = {0};
    assert_true(store_get(store, span_str(key), &kv));
    return kv;
}

static inline struct store_lease lease_of(const struct store *store, uint64_t id)
{
    struct store_lease lease = {0};
    assert_true(store_lease_get(store, id, &lease));
    return lease;
}

static inline bool fixture_list_key(void *arg, const struct store_kv *kv)
{
    struct buf *out = arg;
    buf_put_span(out, kv->key);
    buf_put_str(out, " ");
    return true;
}

/* The keys below `prefix`, each followed by a space. */
static inline void assert_keys(const struct store *store, const char *prefix, const char *expected)
{
    struct buf out = BUF_INIT;
    store_each(store, span_str(prefix), fixture_list_key, &out);
    assert_string_equal(buf_str(&out), expected);
    buf_free(&out);
}

static inline bool fixture_list_event(void *arg, const struct store_event *event)
{
    struct buf *out = arg;
    buf_printf(out, "%s %.*s=%.*s@%lld ", event->type == STORE_EVENT_PUT ? "put" : "delete",
               (int)event->kv.key.len, (const char *)event->kv.key.data, (int)event->kv.value.len,
               (const char *)event->kv.value.data, (long long)event->kv.mod_revision);
    return true;
}

static inline void assert_events(const struct store *store, int64_t from, const char *prefix,
                                 const char *expected)
{
    struct buf out = BUF_INIT;
    assert_int_equal(store_history_each(store, from, span_str(prefix), fixture_list_event, &out),
                     0);
    assert_string_equal(buf_str(&out), expected);
    buf_free(&out);
}

static inline void assert_same_state(const struct store *a, const struct store *b)
{
    struct buf bytes_a = BUF_INIT;
    struct buf bytes_b = BUF_INIT;
    store_snapshot(a, &bytes_a);
    store_snapshot(b, &bytes_b);
    assert_true(span_equal(buf_span(&bytes_a), buf_span(&bytes_b)));
    buf_free(&bytes_a);
    buf_free(&bytes_b);
}

static inline int fixture_setup(void **state)
{
    *state = store_new();
    return 0;
}

static inline int fixture_teardown(void **state)
{
    store_free(*state);
    return 0;
}

#define STORE_TEST(function) \
    cmocka_unit_test_setup_teardown(function, fixture_setup, fixture_teardown)

#endif
