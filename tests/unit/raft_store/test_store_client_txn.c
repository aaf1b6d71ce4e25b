/* Transactions with etcd's rules. A result is written as
 *   @revision yes|no{operation@revision#count: kvs; ...}        or   code/reason@revision */
#include "client_fixture.h"

static struct store_client_txn txn_of(const struct store_client_op *ops, size_t count)
{
    return (struct store_client_txn){.success = ops, .success_count = count};
}

/* --- what single operations give -------------------------------------------------------------- */

static void a_put_gives_what_was_there_if_asked(void **state)
{
    struct pair *pair = *state;
    struct store_client_op put_prev = c_put("a", "2");
    put_prev.prev_kv = true;
    TXN_IS(pair, "@3 yes{put@3: }", c_put("a", "1")); /* opens format 2, which is revision 2 */
    TXN_IS(pair, "@4 yes{put@4: a=1(3,3,1) }", put_prev);
    put_prev.range.key = span_str("b");
    TXN_IS(pair, "@5 yes{put@5: }", put_prev);
    TXN_IS(pair, "@6 yes{put@6: }", c_put("a", "2")); /* the same value is a revision, too */
    TXN_IS(pair, "@6 yes{range@6#1: a=2(3,6,3) }", c_range("a", ""));
}

static void ignoring_keeps_value_or_lease_and_needs_the_key(void **state)
{
    struct pair *pair = *state;
    struct store_command grant_command = {.type = STORE_LEASE_GRANT, .lease = 7, .ttl_ms = 5000};
    struct store_client_op keep_value = {.type = STORE_CLIENT_PUT,
                                         .range = {.key = span_str("a")},
                                         .lease = 7,
                                         .ignore_value = true};
    struct store_client_op keep_lease = c_put("a", "new");
    keep_lease.ignore_lease = true;
    (void)open_format_2(pair);
    assert_int_equal(apply_pair(pair, &grant_command, NULL).code, 0);
    TXN_IS(pair, "not found/3@2", keep_value);
    TXN_IS(pair, "not found/3@2", c_put("other", "1"), keep_lease);
    TXN_IS(pair, "@3 yes{put@3: }", c_put("a", "1"));
    TXN_IS(pair, "@4 yes{put@4: }", keep_value);
    TXN_IS(pair, "@5 yes{put@5: ; range@5#1: a=new(3,5,3,7) }", keep_lease, c_range("a", ""));
    struct store_client_op keep_both = keep_value;
    keep_both.lease = 0;
    keep_both.ignore_lease = true;
    TXN_IS(pair, "@6 yes{put@6: ; range@6#1: a=new(3,6,4,7) }", keep_both, c_range("a", ""));
    TXN_IS(pair, "@7 yes{put@7: ; range@7#1: a=x(3,7,5) }", c_put("a", "x"), c_range("a", ""));
    struct store_kvs keys;
    store_lease_keys(pair->store, 7, &keys); /* a put without lease leaves it */
    assert_int_equal(keys.count, 0);
}

static void a_delete_gives_count_and_what_was_there_if_asked(void **state)
{
    struct pair *pair = *state;
    struct store_client_op with_prev = c_delete("a", "c");
    with_prev.prev_kv = true;
    TXN_IS(pair, "@3 yes{put@3: ; put@3: ; put@3: }", c_put("b", "1"), c_put("a", "1"),
           c_put("c", "1"));
    TXN_IS(pair, "@4 yes{delete@4#2: a=1(3,3,1) b=1(3,3,1) }", with_prev);
    TXN_IS(pair, "@4 yes{delete@4#0: }", with_prev);
    TXN_IS(pair, "@5 yes{delete@5#1: }", c_delete("b", "d"));
    restart_other(pair);
    events_are(pair->other, (struct store_watch){EVERYTHING}, 4,
               "delete@4 a delete@4 b delete@5 c ");
}

/* --- revisions -------------------------------------------------------------------------------- */

static void one_transaction_is_one_revision_and_nothing_is_none(void **state)
{
    struct pair *pair = *state;
    (void)open_format_2(pair);
    TXN_IS(pair, "@2 yes{delete@2#0: ; range@2#0: }", c_delete("a", "z"), c_range("a", "z"));
    TXN_IS(pair, "@3 yes{range@2#0: ; put@3: ; delete@3#0: ; range@3#1: a=1(3,3,1) ; put@3: }",
           c_range("a", "z"), c_put("a", "1"), c_delete("x", ""), c_range("a", "z"),
           c_put("b", "1"));
    TXN_IS(pair, "@4 yes{delete@4#1: ; put@4: ; range@4#2: a=1(3,3,1) c=1(4,4,1) }",
           c_delete("b", ""), c_put("c", "1"), c_range("a", "z"));
    events_are(pair->store, (struct store_watch){EVERYTHING}, 4, "delete@4 b put@4 c=1(4,4,1) ");
    txn_is(pair, "", &(struct store_client_txn){.success = NULL}, "@4 yes{}");
}

static void ranges_see_writes_before_them_and_the_past_as_it_was(void **state)
{
    struct pair *pair = *state;
    struct store_client_op past = c_range("a", "z");
    TXN_IS(pair, "@3 yes{put@3: }", c_put("a", "1"));
    past.range.revision = 3;
    TXN_IS(pair,
           "@4 yes{put@4: ; range@4#1: a=1(3,3,1) ; put@4: ; range@4#2: a=2(3,4,2) b=1(4,4,1) }",
           c_put("a", "2"), past, c_put("b", "1"), c_range("a", "z"));
}

static void revisions_of_ranges_are_checked_before_anything_changes(void **state)
{
    struct pair *pair = *state;
    struct store_client_op past = c_range("a", "z");
    TXN_IS(pair, "@3 yes{put@3: }", c_put("a", "1"));
    past.range.revision = 4; /* what it will be, but is not */
    TXN_IS(pair, "invalid/2@3", c_put("b", "1"), past);
    struct store_command compact = {.type = STORE_COMPACT, .number = 3};
    assert_int_equal(apply_pair(pair, &compact, NULL).code, 0);
    past.range.revision = 2;
    TXN_IS(pair, "not found/1@3", c_put("b", "1"), past);
    past.range.revision = 3;
    TXN_IS(pair, "@4 yes{put@4: ; range@4#1: a=1(3,3,1) }", c_put("b", "1"), past);
}

/* --- compares --------------------------------------------------------------------------------- */

static void compares_of_a_range_hold_for_every_key(void **state)
{
    struct pair *pair = *state;
    TXN_IS(pair, "@3 yes{put@3: ; put@3: }", c_put("a", "1"), c_put("b", "1"));
    TXN_IS(pair, "@4 yes{put@4: }", c_put("b", "2"));
    static const struct {
        enum store_compare_target target;
        enum store_compare_relation relation;
        const char *key;
        const char *end;
        int64_t number;
        const char *bytes;
        bool holds;
    } cases[] = {
        {STORE_CMP_CREATE, STORE_EQUAL, "a", "c", 3, "", true},
        {STORE_CMP_MOD, STORE_EQUAL, "a", "c", 3, "", false},
        {STORE_CMP_MOD, STORE_GREATER, "a", "c", 2, "", true},
        {STORE_CMP_VERSION, STORE_LESS, "a", "c", 3, "", true},
        {STORE_CMP_VERSION, STORE_LESS, "a", "c", 2, "", false},
        {STORE_CMP_VALUE, STORE_GREATER, "a", "c", 0, "0", true},
        {STORE_CMP_VALUE, STORE_EQUAL, "a", "c", 0, "1", false},
        {STORE_CMP_VALUE, STORE_NOT_EQUAL, "x", "z", 0, "1", false}, /* no key: never */
        {STORE_CMP_LEASE, STORE_EQUAL, "a", "c", 0, "", true},
        {STORE_CMP_CREATE, STORE_EQUAL, "x", "z", 0, "", true}, /* no key: as 0 */
        {STORE_CMP_VERSION, STORE_GREATER, "x", "z", 0, "", false},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct store_compare compare = {.target = cases[i].target,
                                        .relation = cases[i].relation,
                                        .key = span_str(cases[i].key),
                                        .range_end = span_str(cases[i].end),
                                        .number = cases[i].number,
                                        .bytes = span_str(cases[i].bytes)};
        struct store_client_txn txn = {.compares = &compare, .compare_count = 1};
        txn_is(pair, "", &txn, cases[i].holds ? "@4 yes{}" : "@4 no{}");
        compare.range_end = span_of("\0", 1);
        compare.key = span_str("zz");
        bool absent_holds = cases[i].target != STORE_CMP_VALUE &&
                            (cases[i].relation == STORE_LESS      ? cases[i].number > 0
                             : cases[i].relation == STORE_GREATER ? false
                                                                  : cases[i].number == 0);
        txn_is(pair, "", &txn, absent_holds ? "@4 yes{}" : "@4 no{}");
    }
}

static void nested_compares_see_the_state_before_the_command(void **state)
{
    struct pair *pair = *state;
    struct store_compare absent = c_absent("a");
    struct store_client_op yes[] = {c_put("nested", "yes")};
    struct store_client_op no[] = {c_range("a", ""), c_put("nested", "no")};
    struct store_client_txn nested = {.compares = &absent,
                                      .compare_count = 1,
                                      .success = yes,
                                      .success_count = 1,
                                      .failure = no,
                                      .failure_count = 2};
    struct store_client_op ops[] = {c_put("a", "1"), c_txn(&nested), c_range("nested", "")};
    struct store_client_txn txn = txn_of(ops, 3);
    txn_is(pair, "", &txn, "@3 yes{put@3: ; yes{put@3: }; range@3#1: nested=yes(3,3,1) }");
    txn_is(pair, "", &txn,
           "@4 yes{put@4: ; no{range@4#1: a=1(3,4,2) ; put@4: }; range@4#1: "
           "nested=no(3,4,2) }");
    nested.failure_count = 0;
    txn_is(pair, "", &txn, "@5 yes{put@5: ; no{}; range@5#1: nested=no(3,4,2) }");
    struct store_client_txn outer = {
        .compares = &absent, .compare_count = 1, .failure = ops + 1, .failure_count = 1};
    txn_is(pair, "", &outer, "@5 no{no{}}");
}

/* --- refusals --------------------------------------------------------------------------------- */

static void assert_reason(const struct store_client_txn *txn, enum store_reason reason)
{
    struct buf out = BUF_INIT;
    struct store_command command = {.type = STORE_CLIENT_TXN, .client_txn = txn};
    int rc = store_command_encode(&command, &out, NULL);
    assert_int_equal(store_client_txn_reason(txn), reason);
    assert_int_equal(rc, reason == STORE_NO_REASON      ? 0
                         : reason == STORE_TOO_MANY_OPS ? ERR_LIMIT
                                                        : ERR_INVALID);
    buf_free(&out);
}

static void what_etcd_refuses_unseen_is_not_encoded(void **state)
{
    (void)state;
    struct store_compare compare = c_absent("");
    struct store_client_op op = c_put("", "v");
    struct store_client_txn txn = txn_of(&op, 1);
    assert_reason(&txn, STORE_KEY_MISSING);
    op = c_range("", "z");
    assert_reason(&txn, STORE_KEY_MISSING);
    op = c_delete("", "z");
    assert_reason(&txn, STORE_KEY_MISSING);
    op = c_put("a", "v");
    assert_reason(&txn, STORE_NO_REASON);
    op.ignore_value = true;
    assert_reason(&txn, STORE_VALUE_PROVIDED);
    op = c_put_lease("a", "v", 1);
    op.ignore_lease = true;
    assert_reason(&txn, STORE_LEASE_PROVIDED);
    op = c_put("a", "v");
    txn.compares = &compare;
    txn.compare_count = 1;
    assert_reason(&txn, STORE_KEY_MISSING);
    compare.key = span_str("a");
    assert_reason(&txn, STORE_NO_REASON);
    struct store_client_txn failing = {.failure = &op, .failure_count = 1};
    op.range.key.len = 0;
    assert_reason(&failing, STORE_KEY_MISSING);
}

static void the_same_key_is_written_once(void **state)
{
    (void)state;
    struct store_client_op put_a = c_put("a", "1");
    struct store_client_op put_b = c_put("b", "1");
    struct store_client_op delete_ab = c_delete("a", "b");
    struct store_client_txn puts_a = txn_of(&put_a, 1);
    struct store_client_txn puts_b = txn_of(&put_b, 1);
    struct store_client_txn deletes_a = txn_of(&delete_ab, 1);
    struct store_client_txn either = {
        .success = &put_a, .success_count = 1, .failure = &put_a, .failure_count = 1};
    struct store_client_txn deletes_else = {.failure = &delete_ab, .failure_count = 1};
    const struct {
        struct store_client_op ops[3];
        size_t count;
        bool fine;
    } cases[] = {
        {{put_a, put_b}, 2, true},
        {{put_a, put_a}, 2, false},
        {{put_b, delete_ab}, 2, true},
        {{put_a, delete_ab}, 2, false},
        {{delete_ab, put_a}, 2, false},
        {{delete_ab, delete_ab}, 2, true},
        {{c_txn(&puts_a), c_txn(&puts_b)}, 2, true},
        {{c_txn(&puts_a), c_txn(&puts_a)}, 2, false},
        {{c_txn(&either)}, 1, true}, /* only one of its branches runs */
        {{c_txn(&either), put_a}, 2, false},
        {{put_a, c_txn(&either)}, 2, false},
        {{c_txn(&either), c_txn(&puts_a)}, 2, false},
        {{c_txn(&either), c_txn(&either)}, 2, false},
        {{c_txn(&deletes_a), put_a}, 2, false},
        {{c_txn(&deletes_a), put_b}, 2, true},
        {{c_txn(&deletes_else), put_a}, 2, false},
        {{c_txn(&deletes_a), c_txn(&puts_a)}, 2, false},
        {{c_txn(&puts_a), c_txn(&deletes_a)}, 2, true}, /* etcd looks at them in turn */
        {{c_txn(&puts_a), delete_ab}, 2, false},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        enum store_reason reason = cases[i].fine ? STORE_NO_REASON : STORE_DUPLICATE_KEY;
        struct store_client_txn txn = txn_of(cases[i].ops, cases[i].count);
        struct store_client_txn otherwise = {.failure = cases[i].ops,
                                             .failure_count = cases[i].count};
        struct store_client_op inside = c_txn(&txn);
        struct store_client_txn outer = txn_of(&inside, 1);
        assert_reason(&txn, reason);
        assert_reason(&otherwise, reason);
        assert_reason(&outer, reason);
    }
}

static void a_put_and_a_later_nested_delete_leave_nothing(void **state)
{
    struct pair *pair = *state;
    struct store_client_op put_a = c_put("a", "1");
    struct store_client_op delete_a = c_delete("a", "");
    struct store_client_txn puts_a = txn_of(&put_a, 1);
    struct store_client_txn deletes_a = txn_of(&delete_a, 1);
    struct store_client_op ops[] = {c_txn(&puts_a), c_txn(&deletes_a)};
    struct store_client_txn txn = txn_of(ops, 2);
    txn_is(pair, "", &txn, "@3 yes{yes{put@3: }; yes{delete@3#1: }}");
    txn_is(pair, "", &txn, "@4 yes{yes{put@4: }; yes{delete@4#1: }}");
    restart_other(pair);
    events_are(pair->other, (struct store_watch){EVERYTHING}, 3,
               "put@3 a=1(3,3,1) delete@3 a put@4 a=1(4,4,1) delete@4 a ");
}

static void lists_and_levels_are_bounded(void **state)
{
    (void)state;
    static struct store_client_op ops[STORE_TXN_ITEMS_MAX + 1];
    static struct store_client_op bottom[STORE_TXN_ITEMS_MAX];
    for (size_t i = 0; i < COUNT(ops); i++) {
        ops[i] = c_range("a", "");
    }
    struct store_client_txn txn = txn_of(ops, STORE_TXN_ITEMS_MAX + 1);
    assert_reason(&txn, STORE_TOO_MANY_OPS);
    txn.success_count = STORE_TXN_ITEMS_MAX;
    assert_reason(&txn, STORE_NO_REASON);
    txn = (struct store_client_txn){.failure = ops, .failure_count = STORE_TXN_ITEMS_MAX + 1};
    assert_reason(&txn, STORE_TOO_MANY_OPS);
    /* What the list above leaves: 128 - 28 = 100. */
    for (size_t i = 0; i < COUNT(bottom); i++) {
        bottom[i] = c_range("a", "");
    }
    struct store_client_txn inner = txn_of(bottom, 100);
    ops[0] = c_txn(&inner);
    txn = txn_of(ops, 28);
    assert_reason(&txn, STORE_NO_REASON);
    inner.success_count = 101;
    assert_reason(&txn, STORE_TOO_MANY_OPS);
    /* All levels together: 20 + 20 * 50 and one more. */
    inner.success_count = 50;
    for (size_t i = 0; i < 20; i++) {
        ops[i] = c_txn(&inner);
    }
    txn.success_count = 20;
    assert_reason(&txn, STORE_NO_REASON);
    inner.success_count = 51;
    assert_reason(&txn, STORE_TOO_MANY_OPS);
    struct store_client_txn levels[STORE_CLIENT_DEPTH_MAX + 1];
    struct store_client_op steps[STORE_CLIENT_DEPTH_MAX + 1];
    for (size_t i = 0; i < COUNT(levels); i++) {
        steps[i] = i == 0 ? c_range("a", "") : c_txn(&levels[i - 1]);
        levels[i] = txn_of(&steps[i], 1);
    }
    assert_reason(&levels[STORE_CLIENT_DEPTH_MAX - 1], STORE_NO_REASON);
    assert_reason(&levels[STORE_CLIENT_DEPTH_MAX], STORE_TOO_MANY_OPS);
}

/* Each kind of operation that cannot run, behind a put that could: nothing of it may stay. */
static void a_transaction_with_one_bad_operation_changes_nothing(void **state)
{
    struct pair *pair = *state;
    struct store_command grant_command = {.type = STORE_LEASE_GRANT,
                                          .actor = span_str("n1"),
                                          .lease = 1,
                                          .ttl_ms = 5000,
                                          .flags = STORE_LEASE_HOLDER};
    struct store_client_op leader = c_put_lease("k/leader", "n1", 1);
    struct store_client_txn acquire = txn_of(&leader, 1);
    (void)open_format_2(pair);
    assert_int_equal(apply_pair(pair, &grant_command, NULL).code, 0);
    txn_is(pair, "n1", &acquire, "@3 yes{put@3: }");
    struct store_client_op keep_value = {
        .type = STORE_CLIENT_PUT, .range = {.key = span_str("absent")}, .ignore_value = true};
    struct store_client_op past = c_range("a", "");
    past.range.revision = 1;
    struct store_client_op nested_delete = c_delete("k/", "k0");
    struct store_client_txn nested = txn_of(&nested_delete, 1);
    const struct {
        struct store_client_op op;
        const char *expected;
    } cases[] = {
        {c_put_lease("x", "1", 9), "not found/4@3"},
        {keep_value, "not found/3@3"},
        {past, "not found/1@3"},
        {c_put_lease("x", "1", 1), "refused/5@3"},
        {c_put("k/leader", "n2"), "refused/5@3"},
        {c_delete("k/leader", ""), "refused/5@3"},
        {c_delete("k", "l"), "refused/5@3"},
        {c_txn(&nested), "refused/5@3"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        TXN_IS(pair, cases[i].expected, c_put("new", "1"), cases[i].op);
        range_is(pair->store, (struct store_range){EVERYTHING, .keys_only = true},
                 "#1: k/leader(3,3,1,1) ");
    }
    struct store_client_txn release = txn_of(&nested_delete, 1);
    txn_is(pair, "n2", &release, "refused/5@3");
    txn_is(pair, "n1", &release, "@4 yes{delete@4#1: }");
    struct store_command revoke_command = {.type = STORE_LEASE_REVOKE, .lease = 1};
    assert_int_equal(apply_pair(pair, &revoke_command, NULL).code, ERR_REFUSED);
}

static void a_full_store_refuses_and_keeps_what_it_has(void **state)
{
    struct pair *pair = *state;
    static uint8_t value[STORE_VALUE_BYTES_MAX];
    struct store_result result = {0};
    struct store_client_op op = c_put("", "");
    struct store_client_txn txn = txn_of(&op, 1);
    struct store_command command = {.type = STORE_CLIENT_TXN, .client_txn = &txn};
    unsigned puts = 0;
    for (char key[16]; result.code == 0; puts++) {
        (void)snprintf(key, sizeof(key), "v%05u", puts);
        op.range.key = span_str(key);
        op.value = span_of(value, sizeof(value));
        result = apply_pair(pair, &command, NULL);
    }
    assert_int_equal(result.code, ERR_LIMIT);
    assert_int_equal(result.reason, STORE_FULL);
    assert_int_equal(puts - 1, STORE_CLIENT_BYTES_MAX / (sizeof(value) + 6));
    op = (struct store_client_op){
        .type = STORE_CLIENT_PUT, .range = {.key = span_str("v00001")}, .ignore_value = true};
    assert_int_equal(apply_pair(pair, &command, NULL).reason, STORE_FULL);
    op = c_delete("v00001", "v00003");
    assert_int_equal(apply_pair(pair, &command, NULL).code, 0);
    op = c_put("v00001", "small");
    assert_int_equal(apply_pair(pair, &command, NULL).code, 0);
}

/* --- results ---------------------------------------------------------------------------------- */

static void a_repeat_gives_the_answer_without_its_output(void **state)
{
    struct pair *pair = *state;
    struct store_client_op ops[] = {c_put_lease("a", "1", 9), c_range("a", "")};
    struct store_client_txn txn = txn_of(ops, 2);
    struct store_command command = {
        .client = 5, .sequence = 1, .floor = 1, .type = STORE_CLIENT_TXN, .client_txn = &txn};
    struct store_output *output = store_output_new();
    struct store_result first = apply_pair(pair, &command, output);
    assert_int_equal(first.reason, STORE_LEASE_NOT_FOUND);
    assert_ptr_equal(first.output, output);
    restart_other(pair);
    struct store_result again = apply_pair(pair, &command, output);
    assert_true(again.repeated);
    assert_int_equal(again.code, ERR_NOT_FOUND);
    assert_int_equal(again.reason, STORE_LEASE_NOT_FOUND);
    assert_null(again.output);
    store_output_unref(output);
    output = store_output_new();
    ops[0].lease = 0;
    command.sequence = 2;
    first = apply_pair(pair, &command, output);
    assert_int_equal(first.output->txn.op_count, 2);
    struct store_output *kept = store_output_ref(output);
    store_output_unref(output);
    TXN_IS(pair, "@4 yes{delete@4#1: }", c_delete("a", ""));
    struct store_kv kv;
    store_kvs_get(&kept->txn.ops[1].kvs, 0, &kv);
    assert_true(span_equal_str(kv.value, "1"));
    store_output_unref(kept);
    store_output_unref(NULL);
    again = apply_pair(pair, &command, NULL);
    assert_true(again.repeated && again.succeeded && again.code == 0);
}

static void a_transaction_that_reads_needs_no_command(void **state)
{
    struct pair *pair = *state;
    struct store_compare absent = c_absent("a");
    struct store_client_op range = c_range("a", "z");
    struct store_client_txn nested = txn_of(&range, 1);
    struct store_client_op ops[] = {c_txn(&nested), c_range("b", "")};
    struct store_client_txn txn = {.compares = &absent,
                                   .compare_count = 1,
                                   .success = ops,
                                   .success_count = 1,
                                   .failure = ops,
                                   .failure_count = 2};
    assert_true(store_client_txn_reads(&txn));
    TXN_IS(pair, "@3 yes{put@3: ; put@3: }", c_put("a", "1"), c_put("b", "1"));
    struct store_output *output = store_output_new();
    struct store_result result;
    struct buf text = BUF_INIT;
    store_client_read(pair->store, &txn, &result, output);
    put_result(&text, &result);
    assert_string_equal(buf_str(&text), "@3 no{yes{range@3#2: a=1(3,3,1) b=1(3,3,1) }; "
                                        "range@3#1: b=1(3,3,1) }");
    store_output_unref(output);
    range.range.revision = 9;
    store_client_read(pair->store, &txn, &result, NULL);
    assert_int_equal(result.reason, STORE_FUTURE);
    assert_int_equal(result.code, ERR_INVALID);
    range.type = STORE_CLIENT_PUT;
    assert_false(store_client_txn_reads(&txn));
    nested = (struct store_client_txn){.failure = &range, .failure_count = 1};
    assert_false(store_client_txn_reads(&txn));
    buf_free(&text);
}

/* Counted are the keys of ranges, twice where the past is looked at, and many times where they are
 * sorted; of two branches, the larger. */
static void the_work_of_a_transaction_is_known_before_it_runs(void **state)
{
    struct pair *pair = *state;
    TXN_IS(pair, "@3 yes{put@3: ; put@3: ; put@3: }", c_put("a", "1"), c_put("b", "1"),
           c_put("c", "1"));
    TXN_IS(pair, "@4 yes{delete@4#1: }", c_delete("c", ""));
    struct store_compare compare = c_absent("a");
    compare.range_end = span_str("z");
    struct store_client_op ops[] = {c_range("a", "z"), c_delete("a", "b"), c_put("d", "1")};
    struct store_client_op past = c_range("a", "z");
    past.range.revision = 3;
    struct store_client_txn nested = {.success = &past, .success_count = 1};
    struct store_client_op outer[] = {{.type = STORE_CLIENT_NESTED, .txn = &nested}};
    struct store_client_txn txn = {.compares = &compare,
                                   .compare_count = 1,
                                   .success = ops,
                                   .success_count = 3,
                                   .failure = outer,
                                   .failure_count = 1};
    assert_int_equal(store_client_txn_work(pair->store, &nested), (2 + 1) + (1 + 1));
    assert_int_equal(store_client_txn_work(pair->store, &txn), (2 + 1) + (3 + 2 + 1));
    txn.success_count = 1;
    assert_int_equal(store_client_txn_work(pair->store, &txn), (2 + 1) + (3 + 2));
    past.range.order = STORE_SORT_ASCEND; /* as they come */
    assert_int_equal(store_client_txn_work(pair->store, &nested), 3 + 2);
    past.range.order = STORE_SORT_DESCEND;
    assert_int_equal(store_client_txn_work(pair->store, &nested), 16 * (3 + 2));
    past.range.order = STORE_SORT_NONE;
    past.range.target = STORE_SORT_MOD;
    assert_int_equal(store_client_txn_work(pair->store, &nested), 16 * (3 + 2));
    past.range.count_only = true;
    assert_int_equal(store_client_txn_work(pair->store, &nested), 3 + 2);
}

/* What a failover writes: the leader key on a lease of its own, and the epoch. */
static int take_the_lead(struct pair *pair, uint64_t lease)
{
    struct store_op ops[] = {op_grant(lease, 30000, STORE_LEASE_HOLDER, 1),
                             op_put("/service/c/leader", "n1", lease),
                             op_put("/service/c/epoch", "n1 2", 0)};
    struct store_command command = {
        .type = STORE_TXN, .actor = span_str("n1"), .success = ops, .success_count = COUNT(ops)};
    return apply_pair(pair, &command, NULL).code;
}

/* Keys with values of `len` bytes, until there is no room for one more. */
static void clients_fill_with(struct pair *pair, size_t len)
{
    static uint8_t value[STORE_VALUE_BYTES_MAX];
    static struct store_client_op ops[STORE_TXN_ITEMS_MAX];
    static char keys[STORE_TXN_ITEMS_MAX][32];
    struct store_client_txn txn = txn_of(ops, 1);
    struct store_command command = {.type = STORE_CLIENT_TXN, .client_txn = &txn};
    struct buf bytes = BUF_INIT;
    struct store_result result = {0};
    txn.success_count = len > 0 ? 1 : STORE_TXN_ITEMS_MAX;
    for (unsigned next = 0; result.code == 0;) {
        for (size_t i = 0; i < txn.success_count; i++, next++) {
            (void)snprintf(keys[i], sizeof keys[i], "k%zu-%07u", len, next);
            ops[i] = c_put(keys[i], "");
            ops[i].value = span_of(value, len);
        }
        buf_clear(&bytes);
        assert_int_equal(store_command_encode(&command, &bytes, NULL), 0);
        store_apply(pair->store, store_applied(pair->store) + 1, buf_span(&bytes), &result, NULL);
        store_apply(pair->other, store_applied(pair->other) + 1, buf_span(&bytes), &result, NULL);
    }
    assert_int_equal(result.reason, STORE_FULL);
    buf_free(&bytes);
}

static void clients_that_fill_the_store_leave_bytes_for_a_failover(void **state)
{
    clients_fill_with(*state, STORE_VALUE_BYTES_MAX);
    clients_fill_with(*state, 1000);
    clients_fill_with(*state, 1);
    assert_int_equal(take_the_lead(*state, 7), 0);
}

static void clients_that_fill_the_store_leave_keys_for_a_failover(void **state)
{
    clients_fill_with(*state, 0);
    assert_int_equal(take_the_lead(*state, 7), 0);
}

static void clients_that_grant_all_leases_leave_some_for_a_failover(void **state)
{
    struct pair *pair = *state;
    struct store_command command = {.type = STORE_LEASE_GRANT, .ttl_ms = 60000};
    struct buf bytes = BUF_INIT;
    struct store_result result = {0};
    TXN_IS(pair, "@3 yes{put@3: }", c_put("a", "1"));
    while (result.code == 0) {
        command.lease++;
        buf_clear(&bytes);
        assert_int_equal(store_command_encode(&command, &bytes, NULL), 0);
        store_apply(pair->store, store_applied(pair->store) + 1, buf_span(&bytes), &result, NULL);
        store_apply(pair->other, store_applied(pair->other) + 1, buf_span(&bytes), &result, NULL);
    }
    assert_int_equal(result.code, ERR_LIMIT);
    assert_int_equal(take_the_lead(pair, command.lease), 0);
    buf_free(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PAIR_TEST(a_put_gives_what_was_there_if_asked),
        PAIR_TEST(ignoring_keeps_value_or_lease_and_needs_the_key),
        PAIR_TEST(a_delete_gives_count_and_what_was_there_if_asked),
        PAIR_TEST(one_transaction_is_one_revision_and_nothing_is_none),
        PAIR_TEST(ranges_see_writes_before_them_and_the_past_as_it_was),
        PAIR_TEST(revisions_of_ranges_are_checked_before_anything_changes),
        PAIR_TEST(compares_of_a_range_hold_for_every_key),
        PAIR_TEST(nested_compares_see_the_state_before_the_command),
        cmocka_unit_test(what_etcd_refuses_unseen_is_not_encoded),
        cmocka_unit_test(the_same_key_is_written_once),
        PAIR_TEST(a_put_and_a_later_nested_delete_leave_nothing),
        cmocka_unit_test(lists_and_levels_are_bounded),
        PAIR_TEST(a_transaction_with_one_bad_operation_changes_nothing),
        PAIR_TEST(a_full_store_refuses_and_keeps_what_it_has),
        PAIR_TEST(clients_that_fill_the_store_leave_bytes_for_a_failover),
        PAIR_TEST(clients_that_fill_the_store_leave_keys_for_a_failover),
        PAIR_TEST(clients_that_grant_all_leases_leave_some_for_a_failover),
        PAIR_TEST(a_repeat_gives_the_answer_without_its_output),
        PAIR_TEST(a_transaction_that_reads_needs_no_command),
        PAIR_TEST(the_work_of_a_transaction_is_known_before_it_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
