/* Ranges: etcd's meaning of the ends, limits, counts, order and bounds, at the present revision and
 * at older ones; compaction. */
#include "client_fixture.h"

#define ALL EVERYTHING

/* a b c ca d at revisions 3..7, then b again at 8 and 9, ca deleted at 10. */
static void fill(struct pair *pair)
{
    static const char *const keys[] = {"a", "b", "c", "ca", "d"};
    (void)open_format_2(pair);
    for (size_t i = 0; i < COUNT(keys); i++) {
        struct store_client_op op = c_put(keys[i], i % 2 == 0 ? "y" : "x");
        struct store_client_txn txn = {.success = &op, .success_count = 1};
        struct store_command command = {.type = STORE_CLIENT_TXN, .client_txn = &txn};
        assert_int_equal(apply_pair(pair, &command, NULL).revision, 3 + (int64_t)i);
    }
    TXN_IS(pair, "@8 yes{put@8: }", c_put("b", "2"));
    TXN_IS(pair, "@9 yes{put@9: }", c_put("b", "3"));
    TXN_IS(pair, "@10 yes{delete@10#1: }", c_delete("ca", ""));
}

static struct store_range span_range(const char *key, const char *end)
{
    return (struct store_range){.key = span_str(key), .range_end = span_str(end)};
}

static void the_ends_mean_what_they_mean_in_etcd(void **state)
{
    struct pair *pair = *state;
    fill(pair);
    range_is(pair->store, span_range("b", ""), "#1: b=3(4,9,3) ");
    range_is(pair->store, span_range("bb", ""), "#0: ");
    range_is(pair->store, span_range("b", "d"), "#2: b=3(4,9,3) c=y(5,5,1) ");
    range_is(pair->store, span_range("bb", "d\x01"), "#2: c=y(5,5,1) d=y(7,7,1) ");
    range_is(pair->store, span_range("d", "a"), "#0: ");
    range_is(pair->store, span_range("b", "b"), "#0: ");
    range_is(pair->store, (struct store_range){.key = span_str("c"), .range_end = span_of("\0", 1)},
             "#2: c=y(5,5,1) d=y(7,7,1) ");
    range_is(pair->store, (struct store_range){ALL},
             "#4: a=y(3,3,1) b=3(4,9,3) c=y(5,5,1) d=y(7,7,1) ");
}

static void the_past_is_what_it_was(void **state)
{
    struct pair *pair = *state;
    fill(pair);
    static const char *const at[] = {
        [2] = "#0: ",
        [3] = "#1: a=y(3,3,1) ",
        [4] = "#2: a=y(3,3,1) b=x(4,4,1) ",
        [5] = "#3: a=y(3,3,1) b=x(4,4,1) c=y(5,5,1) ",
        [6] = "#4: a=y(3,3,1) b=x(4,4,1) c=y(5,5,1) ca=x(6,6,1) ",
        [7] = "#5: a=y(3,3,1) b=x(4,4,1) c=y(5,5,1) ca=x(6,6,1) d=y(7,7,1) ",
        [8] = "#5: a=y(3,3,1) b=2(4,8,2) c=y(5,5,1) ca=x(6,6,1) d=y(7,7,1) ",
        [9] = "#5: a=y(3,3,1) b=3(4,9,3) c=y(5,5,1) ca=x(6,6,1) d=y(7,7,1) ",
        [10] = "#4: a=y(3,3,1) b=3(4,9,3) c=y(5,5,1) d=y(7,7,1) ",
    };
    for (int round = 0; round < 2; round++) {
        const struct store *store = round == 0 ? pair->store : pair->other;
        for (int64_t revision = 2; revision < (int64_t)COUNT(at); revision++) {
            range_is(store, (struct store_range){ALL, .revision = revision}, at[revision]);
        }
        range_is(store, (struct store_range){ALL, .revision = 1}, "not found");
        range_is(store, (struct store_range){ALL, .revision = 11}, "invalid");
        range_is(store, (struct store_range){ALL, .revision = -1}, at[10]);
        restart_other(pair);
    }
    range_is(pair->store, (struct store_range){.key = span_str("ca"), .revision = 9},
             "#1: ca=x(6,6,1) ");
    range_is(pair->store, (struct store_range){.key = span_str("ca"), .revision = 10}, "#0: ");
}

static void a_key_that_came_back_has_both_its_lives(void **state)
{
    struct pair *pair = *state;
    fill(pair);
    TXN_IS(pair, "@11 yes{put@11: }", c_put("ca", "again"));
    TXN_IS(pair, "@12 yes{delete@12#1: }", c_delete("ca", ""));
    TXN_IS(pair, "@13 yes{put@13: }", c_put("ca", "last"));
    restart_other(pair);
    static const struct {
        int64_t revision;
        const char *found;
    } cases[] = {{9, "#1: ca=x(6,6,1) "},
                 {10, "#0: "},
                 {11, "#1: ca=again(11,11,1) "},
                 {12, "#0: "},
                 {13, "#1: ca=last(13,13,1) "}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct store_range range = {.key = span_str("ca"), .revision = cases[i].revision};
        range_is(pair->store, range, cases[i].found);
        range_is(pair->other, range, cases[i].found);
    }
}

static void limit_cuts_and_count_does_not(void **state)
{
    struct pair *pair = *state;
    fill(pair);
    range_is(pair->store, (struct store_range){ALL, .limit = 2}, "#4+: a=y(3,3,1) b=3(4,9,3) ");
    range_is(pair->store, (struct store_range){ALL, .limit = 4, .keys_only = true},
             "#4: a(3,3,1) b(4,9,3) c(5,5,1) d(7,7,1) ");
    range_is(pair->store, (struct store_range){ALL, .limit = 2, .revision = 9},
             "#5+: a=y(3,3,1) b=3(4,9,3) ");
    range_is(pair->store, (struct store_range){ALL, .limit = INT64_MAX, .revision = 3},
             "#1: a=y(3,3,1) ");
    range_is(pair->store, (struct store_range){ALL, .count_only = true}, "#4: ");
    range_is(pair->store, (struct store_range){ALL, .count_only = true, .limit = 1, .revision = 7},
             "#5: ");
}

static void order_and_bounds_come_before_the_limit(void **state)
{
    struct pair *pair = *state;
    fill(pair);
    struct store_range range = {ALL, .keys_only = true};
#define ORDERED(expected, ...) \
    range_is(pair->store, (struct store_range){ALL, .keys_only = true, __VA_ARGS__}, expected)
    range_is(pair->store, range, "#4: a(3,3,1) b(4,9,3) c(5,5,1) d(7,7,1) ");
    ORDERED("#4+: d(7,7,1) ", .order = STORE_SORT_DESCEND, .limit = 1);
    ORDERED("#4: a(3,3,1) b(4,9,3) c(5,5,1) d(7,7,1) ", .order = STORE_SORT_ASCEND);
    ORDERED("#4: a(3,3,1) c(5,5,1) d(7,7,1) b(4,9,3) ", .target = STORE_SORT_MOD);
    ORDERED("#4+: b(4,9,3) d(7,7,1) ", .target = STORE_SORT_MOD, .order = STORE_SORT_DESCEND,
            .limit = 2);
    ORDERED("#4: a(3,3,1) b(4,9,3) c(5,5,1) d(7,7,1) ", .target = STORE_SORT_CREATE);
    ORDERED("#4: b(4,9,3) a(3,3,1) c(5,5,1) d(7,7,1) ", .target = STORE_SORT_VERSION,
            .order = STORE_SORT_DESCEND);
    ORDERED("#4: b(4,9,3) a(3,3,1) c(5,5,1) d(7,7,1) ", .target = STORE_SORT_VALUE);
    ORDERED("#4: c(5,5,1) d(7,7,1) b(4,9,3) ", .target = STORE_SORT_MOD, .min_mod = 5);
    ORDERED("#4+: a(3,3,1) ", .max_mod = 8, .limit = 1);
    ORDERED("#4: b(4,9,3) c(5,5,1) ", .min_create = 4, .max_create = 5);
    ORDERED("#4: b(4,9,3) ", .min_create = 4, .max_create = 5, .min_mod = 6, .limit = 1);
    ORDERED("#5: ca(6,6,1) d(7,7,1) ", .revision = 9, .min_create = 6);
#undef ORDERED
}

/* A result is whole whatever becomes of the store. */
static void a_result_outlives_what_it_was_read_from(void **state)
{
    struct pair *pair = *state;
    fill(pair);
    struct store *store = store_new();
    struct buf bytes = BUF_INIT;
    struct buf text = BUF_INIT;
    struct store_range_result result;
    store_snapshot(pair->store, &bytes);
    assert_int_equal(store_restore(store, buf_span(&bytes), NULL), 0);
    assert_int_equal(store_range(store, &(struct store_range){ALL, .revision = 9}, &result, NULL),
                     0);
    assert_int_equal(result.revision, 10);
    struct store_op gone = op_delete_prefix("");
    assert_int_equal(apply_ops(store, "", &gone, 1).code, 0);
    struct store_command compact = {.type = STORE_COMPACT, .number = 11};
    assert_int_equal(apply(store, &compact).code, 0);
    store_free(store);
    put_kvs(&text, &result.kvs);
    assert_string_equal(buf_str(&text), "a=y(3,3,1) b=3(4,9,3) c=y(5,5,1) ca=x(6,6,1) d=y(7,7,1) ");
    store_kvs_close(&result.kvs);
    store_kvs_close(&result.kvs);
    buf_free(&text);
    buf_free(&bytes);
}

static void compaction_keeps_what_its_revision_sees(void **state)
{
    struct pair *pair = *state;
    fill(pair);
    struct store_command compact = {.type = STORE_COMPACT, .number = 8};
    struct store_result result = apply_pair(pair, &compact, NULL);
    assert_int_equal(result.code, 0);
    assert_int_equal(result.revision, 10); /* makes none */
    restart_other(pair);
    for (int round = 0; round < 2; round++) {
        const struct store *store = round == 0 ? pair->store : pair->other;
        assert_int_equal(store_compacted(store), 8);
        range_is(store, (struct store_range){ALL, .revision = 7}, "not found");
        range_is(store, (struct store_range){ALL, .revision = 8},
                 "#5: a=y(3,3,1) b=2(4,8,2) c=y(5,5,1) ca=x(6,6,1) d=y(7,7,1) ");
        range_is(store, (struct store_range){ALL, .revision = 9},
                 "#5: a=y(3,3,1) b=3(4,9,3) c=y(5,5,1) ca=x(6,6,1) d=y(7,7,1) ");
        events_are(store, (struct store_watch){ALL}, 7, "not found");
        events_are(
            store, (struct store_watch){ALL, .prev_kv = true}, 8,
            "put@8 b=2(4,8,2) put@9 b=3(4,9,3) was b=2(4,8,2) delete@10 ca was ca=x(6,6,1) ");
    }
    result = apply_pair(pair, &compact, NULL);
    assert_int_equal(result.code, ERR_NOT_FOUND);
    assert_int_equal(result.reason, STORE_COMPACTED);
    compact.number = 11;
    result = apply_pair(pair, &compact, NULL);
    assert_int_equal(result.code, ERR_INVALID);
    assert_int_equal(result.reason, STORE_FUTURE);
    compact.number = 10;
    assert_int_equal(apply_pair(pair, &compact, NULL).code, 0);
    range_is(pair->store, (struct store_range){ALL, .revision = 10},
             "#4: a=y(3,3,1) b=3(4,9,3) c=y(5,5,1) d=y(7,7,1) ");
    events_are(pair->store, (struct store_watch){ALL, .prev_kv = true}, 10, "delete@10 ca ");
    restart_other(pair);
}

/* The same command everywhere moves the window to the same place, however a member got its state.
 */
static void the_window_is_bounded_and_the_same_everywhere(void **state)
{
    struct pair *pair = *state;
    struct store_client_op op = c_put("k", "v");
    struct store_client_txn txn = {.success = &op, .success_count = 1};
    struct store_command command = {.type = STORE_CLIENT_TXN, .client_txn = &txn};
    struct buf bytes = BUF_INIT;
    assert_int_equal(store_command_encode(&command, &bytes, NULL), 0);
    for (int i = 0; i < STORE_HISTORY_EVENTS_MAX + 100; i++) {
        struct store_result result;
        store_apply(pair->store, (uint64_t)i + 1, buf_span(&bytes), &result, NULL);
        store_apply(pair->other, (uint64_t)i + 1, buf_span(&bytes), &result, NULL);
        if (i % 1000 == 0) {
            restart_other(pair);
        }
    }
    store_check(pair->store);
    assert_int_equal(store_compacted(pair->store), store_compacted(pair->other));
    assert_int_equal(store_revision(pair->store) - store_compacted(pair->store) + 1,
                     STORE_HISTORY_EVENTS_MAX);
    buf_free(&bytes);
}

/* Beside 32 MiB of present values there is no room for old ones: the newest revision stays. */
static void a_full_store_has_a_small_window(void **state)
{
    struct pair *pair = *state;
    static uint8_t value[STORE_VALUE_BYTES_MAX];
    struct store_result result = {0};
    (void)open_format_2(pair);
    for (unsigned i = 0; result.code == 0; i++) {
        char key[16];
        (void)snprintf(key, sizeof(key), "v%u", i);
        struct store_op op = op_put(key, "", 0);
        op.value = span_of(value, sizeof(value) - 64);
        result = apply_ops(pair->store, "", &op, 1);
        (void)apply_ops(pair->other, "", &op, 1);
    }
    assert_int_equal(result.code, ERR_LIMIT);
    struct store_op again = op_put("v1", "small", 0);
    (void)apply_ops(pair->other, "", &again, 1);
    assert_int_equal(apply_ops(pair->store, "", &again, 1).code, 0);
    again.value = span_of(value, sizeof(value) - 64);
    (void)apply_ops(pair->other, "", &again, 1);
    assert_int_equal(apply_ops(pair->store, "", &again, 1).code, 0);
    assert_true(store_compacted(pair->store) > 2);
    struct store_op gone = op_delete_prefix("v");
    (void)apply_ops(pair->other, "", &gone, 1);
    assert_int_equal(apply_ops(pair->store, "", &gone, 1).code, 0);
    assert_int_equal(store_compacted(pair->store), store_revision(pair->store));
    restart_other(pair);
}

/* --- in parts --------------------------------------------------------------------------------- */

enum { MANY = 3000, LOOKS = 100 };

/* k0000.. with values in another order, in a store of its own. */
static struct store *many(void)
{
    struct store *store = store_new();
    char key[16];
    char value[16];
    assert_int_equal(apply(store, &(struct store_command){.type = STORE_FORMAT}).code, 0);
    for (unsigned i = 0; i < MANY; i++) {
        (void)snprintf(key, sizeof key, "k%04u", i);
        (void)snprintf(value, sizeof value, "%04u", i * 7919 % MANY);
        struct store_op op = op_put(key, value, 0);
        assert_int_equal(apply_ops(store, "", &op, 1).code, 0);
    }
    return store;
}

/* One key goes, one is new, one has another value: all before and behind where a walk is. */
static void write_between(struct store *store, unsigned step)
{
    char key[16];
    (void)snprintf(key, sizeof key, "k%04u", step * 97 % MANY);
    struct store_op gone = op_delete(key);
    (void)apply_ops(store, "", &gone, 1);
    (void)snprintf(key, sizeof key, "k%04u", step * 131 % MANY);
    struct store_op changed = op_put(key, "changed", 0);
    (void)apply_ops(store, "", &changed, 1);
    (void)snprintf(key, sizeof key, "k%04unew", step * 61 % MANY);
    struct store_op added = op_put(key, "new", 0);
    (void)apply_ops(store, "", &added, 1);
}

static void every_part_is_small_and_all_are_of_one_revision(void **state)
{
    (void)state;
    const struct store_range ranges[] = {
        {ALL},
        {ALL, .order = STORE_SORT_DESCEND},
        {ALL, .target = STORE_SORT_VALUE},
        {ALL, .target = STORE_SORT_VALUE, .order = STORE_SORT_DESCEND, .limit = 5},
        {ALL, .limit = 1000},
        {ALL, .min_mod = 500, .max_mod = 2500},
        {ALL, .revision = 1500},
        {ALL, .revision = 1500, .limit = 50},
        {ALL, .revision = 1500, .count_only = true},
    };
    struct store *store = many();
    struct buf whole = BUF_INIT;
    struct buf parts = BUF_INIT;
    unsigned writes = 0;
    for (size_t i = 0; i < COUNT(ranges); i++) {
        struct store_range_result result;
        struct store_range_walk *walk = NULL;
        size_t looks = 0;
        unsigned steps = 0;
        assert_int_equal(store_range(store, &ranges[i], &result, NULL), 0);
        int64_t revision = result.revision;
        buf_clear(&whole);
        put_range(&whole, &result);
        assert_int_equal(store_range_walk_new(store, &ranges[i], &walk, NULL), 0);
        for (; !store_range_walk_is_done(walk); steps++) {
            assert_int_equal(store_range_walk_step(walk, store, LOOKS, &looks, NULL), 0);
            assert_in_range(looks, 0, LOOKS + writes); /* a key has not more versions than that */
            if (steps < 50) {
                write_between(store, writes++);
            }
        }
        store_range_walk_take(walk, &result);
        store_range_walk_free(walk);
        assert_int_equal(result.revision, revision);
        buf_clear(&parts);
        put_range(&parts, &result);
        assert_string_equal(buf_str(&parts), buf_str(&whole));
        assert_true(steps >= 10);
    }
    store_check(store);
    store_free(store);
    buf_free(&whole);
    buf_free(&parts);
}

static void a_walk_ends_with_its_revision(void **state)
{
    (void)state;
    struct store *store = many();
    struct store_range_walk *walk = NULL;
    size_t looks = 0;
    assert_int_equal(store_range_walk_new(store, &(struct store_range){ALL}, &walk, NULL), 0);
    assert_int_equal(store_range_walk_step(walk, store, LOOKS, &looks, NULL), 0);
    assert_int_equal(looks, LOOKS);
    write_between(store, 0);
    struct store_command compact = {.type = STORE_COMPACT,
                                    .number = (uint64_t)store_revision(store)};
    assert_int_equal(apply(store, &compact).code, 0);
    assert_int_equal(store_range_walk_step(walk, store, LOOKS, &looks, NULL), ERR_NOT_FOUND);
    store_range_walk_free(walk);
    store_free(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PAIR_TEST(the_ends_mean_what_they_mean_in_etcd),
        PAIR_TEST(the_past_is_what_it_was),
        PAIR_TEST(a_key_that_came_back_has_both_its_lives),
        PAIR_TEST(limit_cuts_and_count_does_not),
        PAIR_TEST(order_and_bounds_come_before_the_limit),
        PAIR_TEST(a_result_outlives_what_it_was_read_from),
        PAIR_TEST(compaction_keeps_what_its_revision_sees),
        PAIR_TEST(the_window_is_bounded_and_the_same_everywhere),
        PAIR_TEST(a_full_store_has_a_small_window),
        cmocka_unit_test(every_part_is_small_and_all_are_of_one_revision),
        cmocka_unit_test(a_walk_ends_with_its_revision),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
