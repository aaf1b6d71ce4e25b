/* Keys, revisions, compares, and branches that are applied whole or not at all. */
#include "store_fixture.h"

static void empty_store_has_revision_one(void **state)
{
    struct store *store = *state;
    assert_int_equal(store_revision(store), 1);
    assert_int_equal(store_applied(store), 0);
    assert_false(has(store, "a"));
    assert_keys(store, "", "");
    store_free(NULL);
}

static void put_counts_revisions_and_versions(void **state)
{
    struct store *store = *state;
    assert_int_equal(put(store, "", "a", "1", 0).revision, 2);
    assert_int_equal(put(store, "", "b", "1", 0).revision, 3);
    assert_int_equal(put(store, "", "a", "2", 0).revision, 4);
    struct store_kv kv = get(store, "a");
    assert_int_equal(kv.create_revision, 2);
    assert_int_equal(kv.mod_revision, 4);
    assert_int_equal(kv.version, 2);
    assert_true(span_equal_str(kv.value, "2"));
    struct store_op gone = op_delete("a");
    assert_int_equal(apply_ops(store, "", &gone, 1).revision, 5);
    assert_int_equal(put(store, "", "a", "3", 0).revision, 6);
    assert_int_equal(get(store, "a").version, 1);
    assert_int_equal(get(store, "a").create_revision, 6);
}

static void deleting_what_is_absent_makes_no_revision(void **state)
{
    struct store *store = *state;
    struct store_op ops[] = {op_delete("a"), op_delete_prefix("b"), op_delete_prefix("")};
    struct store_result result = apply_ops(store, "", ops, COUNT(ops));
    assert_int_equal(result.code, 0);
    assert_true(result.succeeded);
    assert_int_equal(result.revision, 1);
}

static void keys_are_in_byte_order_and_prefixes_are_exact(void **state)
{
    struct store *store = *state;
    const char *keys[] = {"b", "ab", "a", "abc", "\xff", "ac", "B"};
    for (size_t i = 0; i < COUNT(keys); i++) {
        put(store, "", keys[i], "", 0);
    }
    assert_keys(store, "", "B a ab abc ac b \xff ");
    assert_keys(store, "ab", "ab abc ");
    assert_keys(store, "\xff", "\xff ");
    assert_keys(store, "x", "");
    struct store_op gone = op_delete_prefix("ab");
    apply_ops(store, "", &gone, 1);
    assert_keys(store, "", "B a ac b \xff ");
}

static bool stop_at_first(void *arg, const struct store_kv *kv)
{
    (void)kv;
    ++*(int *)arg;
    return false;
}

static void visiting_ends_when_the_visitor_says_so(void **state)
{
    struct store *store = *state;
    int visited = 0;
    put(store, "", "a", "", 0);
    put(store, "", "b", "", 0);
    store_each(store, span_str(""), stop_at_first, &visited);
    assert_int_equal(visited, 1);
}

static void one_branch_is_one_revision(void **state)
{
    struct store *store = *state;
    struct store_op ops[] = {op_put("a", "1", 0), op_put("b", "1", 0), op_put("a", "2", 0),
                             op_delete("b")};
    assert_int_equal(apply_ops(store, "", ops, COUNT(ops)).revision, 2);
    assert_int_equal(get(store, "a").mod_revision, 2);
    assert_int_equal(get(store, "a").version, 2);
    assert_false(has(store, "b"));
    assert_events(store, 2, "", "put a=1@2 put b=1@2 put a=2@2 delete b=@2 ");
}

/* Every target with every relation against a smaller, an equal and a larger number, on a key that
 * is there (create revision 2, mod revision 4, version 3, lease 5) and on one that is not (all are
 * 0). */
static void compares_hold_exactly_as_numbers_do(void **state)
{
    struct store *store = *state;
    static const int64_t values[] = {[STORE_CMP_CREATE] = 2,
                                     [STORE_CMP_MOD] = 4,
                                     [STORE_CMP_VERSION] = 3,
                                     [STORE_CMP_LEASE] = 5};
    grant(store, "", 5, 1000, 0, 0);
    put(store, "", "a", "1", 0);
    put(store, "", "a", "2", 0);
    put(store, "", "a", "3", 5);
    for (int target = STORE_CMP_CREATE; target <= STORE_CMP_LEASE; target++) {
        for (int relation = STORE_EQUAL; relation <= STORE_GREATER; relation++) {
            for (int64_t delta = -1; delta <= 1; delta++) {
                for (int present = 0; present <= 1; present++) {
                    int64_t value = present ? values[target] : 0;
                    struct store_compare compare = {.target = (enum store_compare_target)target,
                                                    .relation =
                                                        (enum store_compare_relation)relation,
                                                    .key = span_str(present ? "a" : "absent"),
                                                    .number = value + delta};
                    bool expected = relation == STORE_EQUAL       ? delta == 0
                                    : relation == STORE_NOT_EQUAL ? delta != 0
                                    : relation == STORE_LESS      ? delta > 0
                                                                  : delta < 0;
                    struct store_result result = apply(
                        store, &(struct store_command){
                                   .type = STORE_TXN, .compares = &compare, .compare_count = 1});
                    assert_int_equal(result.succeeded, expected);
                    assert_int_equal(result.code, expected ? 0 : ERR_CONFLICT);
                }
            }
        }
    }
}

static void value_compare_never_holds_for_an_absent_key(void **state)
{
    struct store *store = *state;
    put(store, "", "a", "m", 0);
    static const struct {
        const char *key;
        const char *bytes;
        enum store_compare_relation relation;
        bool holds;
    } cases[] = {
        {"a", "m", STORE_EQUAL, true},   {"a", "n", STORE_EQUAL, false},
        {"a", "n", STORE_LESS, true},    {"a", "mm", STORE_LESS, true},
        {"a", "l", STORE_GREATER, true}, {"a", "m", STORE_NOT_EQUAL, false},
        {"b", "", STORE_EQUAL, false},   {"b", "", STORE_NOT_EQUAL, false},
        {"b", "", STORE_LESS, false},    {"b", "", STORE_GREATER, false},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct store_compare compare = {.target = STORE_CMP_VALUE,
                                        .relation = cases[i].relation,
                                        .key = span_str(cases[i].key),
                                        .bytes = span_str(cases[i].bytes)};
        struct store_result result = apply(
            store,
            &(struct store_command){.type = STORE_TXN, .compares = &compare, .compare_count = 1});
        assert_int_equal(result.succeeded, cases[i].holds);
    }
}

static void compares_choose_the_branch_and_all_must_hold(void **state)
{
    struct store *store = *state;
    struct store_compare compares[] = {
        {.target = STORE_CMP_CREATE, .relation = STORE_EQUAL, .key = span_str("a"), .number = 0},
        {.target = STORE_CMP_MOD, .relation = STORE_EQUAL, .key = span_str("b"), .number = 0},
    };
    struct store_op yes = op_put("a", "yes", 0);
    struct store_op no = op_put("no", "no", 0);
    struct store_command command = {.type = STORE_TXN,
                                    .compares = compares,
                                    .compare_count = 2,
                                    .success = &yes,
                                    .success_count = 1,
                                    .failure = &no,
                                    .failure_count = 1};
    struct store_result result = apply(store, &command);
    assert_true(result.succeeded && result.code == 0);
    assert_keys(store, "", "a ");
    result = apply(store, &command);
    assert_false(result.succeeded);
    assert_int_equal(result.code, 0);
    assert_keys(store, "", "a no ");
    command.failure_count = 0;
    result = apply(store, &command);
    assert_int_equal(result.code, ERR_CONFLICT);
    assert_int_equal(result.revision, 3);
}

/* Each kind of operation that cannot run, behind a put that could: nothing of the branch may stay.
 */
static void branch_with_one_bad_operation_changes_nothing(void **state)
{
    struct store *store = *state;
    grant(store, "n1", 1, 1000, STORE_LEASE_HOLDER, 10);
    grant(store, "", 2, 1000, 0, 0);
    put(store, "n1", "k/leader", "n1", 1);
    static const struct {
        struct store_op op;
        int code;
    } cases[] = {
        {{.type = STORE_OP_PUT, .key = {(const uint8_t *)"x", 1}, .lease = 9}, ERR_NOT_FOUND},
        {{.type = STORE_OP_PUT, .key = {(const uint8_t *)"x", 1}, .lease = 1}, ERR_REFUSED},
        {{.type = STORE_OP_PUT, .key = {(const uint8_t *)"k/leader", 8}}, ERR_REFUSED},
        {{.type = STORE_OP_DELETE, .key = {(const uint8_t *)"k/leader", 8}}, ERR_REFUSED},
        {{.type = STORE_OP_DELETE_PREFIX, .key = {(const uint8_t *)"k/", 2}}, ERR_REFUSED},
        {{.type = STORE_OP_DELETE_PREFIX}, ERR_REFUSED},
        {{.type = STORE_OP_LEASE_GRANT, .lease = 1, .ttl_ms = 5}, ERR_EXISTS},
        {{.type = STORE_OP_LEASE_END, .lease = 1}, ERR_REFUSED},
        {{.type = STORE_OP_LEASE_END, .lease = 9}, ERR_NOT_FOUND},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct store_op ops[] = {op_put("new", "1", 0), op_grant(7, 100, 0, 0), op_end(2),
                                 cases[i].op};
        struct store_result result = apply_ops(store, "n2", ops, COUNT(ops));
        assert_int_equal(result.code, cases[i].code);
        assert_int_equal(result.revision, 2);
        assert_keys(store, "", "k/leader ");
        struct store_lease lease;
        assert_false(store_lease_get(store, 7, &lease));
        assert_true(store_lease_get(store, 2, &lease));
    }
}

static void later_operations_see_leases_of_earlier_ones(void **state)
{
    struct store *store = *state;
    grant(store, "n1", 1, 1000, 0, 0);
    struct store_op good[] = {op_grant(2, 50, STORE_LEASE_HOLDER, 7), op_put("a", "1", 2),
                              op_end(1), op_grant(1, 70, 0, 0), op_put("b", "1", 1)};
    assert_int_equal(apply_ops(store, "n1", good, COUNT(good)).code, 0);
    assert_int_equal(lease_of(store, 1).ttl_ms, 70);
    assert_int_equal(lease_of(store, 2).stamp, 7);
    assert_int_equal(get(store, "a").lease, 2);
    struct store_op ended[] = {op_end(1), op_put("c", "1", 1)};
    assert_int_equal(apply_ops(store, "n1", ended, COUNT(ended)).code, ERR_NOT_FOUND);
    struct store_op twice[] = {op_grant(3, 50, 0, 0), op_grant(3, 50, 0, 0)};
    assert_int_equal(apply_ops(store, "n1", twice, COUNT(twice)).code, ERR_EXISTS);
    struct store_op brief[] = {op_grant(3, 50, 0, 0), op_put("d", "1", 3), op_end(3)};
    assert_int_equal(apply_ops(store, "n1", brief, COUNT(brief)).code, 0);
    assert_false(has(store, "d"));
    assert_true(has(store, "b"));
}

/* Against a plain list of what must be there: 3000 random puts and deletes over few keys. */
static void random_changes_match_a_plain_model(void **state)
{
    struct store *store = *state;
    int model[64] = {0}; /* 0 = absent, else the value */
    uint64_t random = 1;
    for (int i = 1; i <= 3000; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        unsigned at = (unsigned)(random >> 33) % COUNT(model);
        char key[16];
        char value[16];
        (void)snprintf(key, sizeof(key), "k%02u", at);
        (void)snprintf(value, sizeof(value), "%d", i);
        struct store_op op = (random >> 60) < 6 ? op_delete(key) : op_put(key, value, 0);
        model[at] = op.type == STORE_OP_DELETE ? 0 : i;
        apply_ops(store, "", &op, 1);
    }
    for (size_t i = 0; i < COUNT(model); i++) {
        char key[16];
        char value[16];
        (void)snprintf(key, sizeof(key), "k%02u", (unsigned)i);
        (void)snprintf(value, sizeof(value), "%d", model[i]);
        assert_int_equal(has(store, key), model[i] != 0);
        if (model[i] != 0) {
            assert_true(span_equal_str(get(store, key).value, value));
        }
    }
}

static void full_store_refuses_more_and_still_deletes(void **state)
{
    struct store *store = *state;
    struct store_op ops[STORE_TXN_ITEMS_MAX];
    uint8_t *value = mem_try(STORE_VALUE_BYTES_MAX);
    struct buf bytes = BUF_INIT;
    unsigned puts = 0;
    struct store_result result = {0};
    while (result.code == 0) { /* single large puts: the limit of bytes comes first */
        char key[16];
        (void)snprintf(key, sizeof(key), "v%05u", puts);
        struct store_op op = op_put(key, "", 0);
        op.value = span_of(value, STORE_VALUE_BYTES_MAX);
        struct store_command command = {.type = STORE_TXN, .success = &op, .success_count = 1};
        buf_clear(&bytes);
        assert_int_equal(store_command_encode(&command, &bytes, NULL), 0);
        store_apply(store, store_applied(store) + 1, buf_span(&bytes), &result, NULL);
        puts += result.code == 0 ? 1 : 0;
        assert_true(puts <= STORE_BYTES_MAX / STORE_VALUE_BYTES_MAX);
    }
    assert_int_equal(result.code, ERR_LIMIT);
    assert_int_equal(puts, STORE_BYTES_MAX / (STORE_VALUE_BYTES_MAX + 6));
    struct store_op gone = op_delete_prefix("v");
    assert_int_equal(apply_ops(store, "", &gone, 1).code, 0);
    static char keys[STORE_TXN_ITEMS_MAX][16];
    for (unsigned i = 0; i < STORE_KEYS_MAX; i += STORE_TXN_ITEMS_MAX) {
        for (unsigned j = 0; j < STORE_TXN_ITEMS_MAX; j++) {
            (void)snprintf(keys[j], sizeof(keys[j]), "k%07u", i + j);
            ops[j] = op_put(keys[j], "", 0);
        }
        struct store_command command = {
            .type = STORE_TXN, .success = ops, .success_count = COUNT(ops)};
        buf_clear(&bytes);
        assert_int_equal(store_command_encode(&command, &bytes, NULL), 0);
        store_apply(store, store_applied(store) + 1, buf_span(&bytes), &result, NULL);
        assert_int_equal(result.code, 0);
    }
    assert_int_equal(put(store, "", "one more", "", 0).code, ERR_LIMIT);
    assert_int_equal(store_compacted(store),
                     store_revision(store) - STORE_HISTORY_EVENTS_MAX / STORE_TXN_ITEMS_MAX + 1);
    gone = op_delete_prefix("k");
    assert_int_equal(apply_ops(store, "", &gone, 1).code, 0);
    assert_int_equal(store_compacted(store), store_revision(store)); /* but whole */
    assert_keys(store, "", "");
    buf_free(&bytes);
    mem_free(value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(empty_store_has_revision_one),
        STORE_TEST(put_counts_revisions_and_versions),
        STORE_TEST(deleting_what_is_absent_makes_no_revision),
        STORE_TEST(keys_are_in_byte_order_and_prefixes_are_exact),
        STORE_TEST(visiting_ends_when_the_visitor_says_so),
        STORE_TEST(one_branch_is_one_revision),
        STORE_TEST(compares_hold_exactly_as_numbers_do),
        STORE_TEST(value_compare_never_holds_for_an_absent_key),
        STORE_TEST(compares_choose_the_branch_and_all_must_hold),
        STORE_TEST(branch_with_one_bad_operation_changes_nothing),
        STORE_TEST(later_operations_see_leases_of_earlier_ones),
        STORE_TEST(random_changes_match_a_plain_model),
        STORE_TEST(full_store_refuses_more_and_still_deletes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
