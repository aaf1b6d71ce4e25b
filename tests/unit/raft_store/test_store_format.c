/* Format 2 as bytes, and the way from format 1 to it: golden files, round trips, every kind of
 * damage, and members that come from a snapshot of the release before. */
#include "client_fixture.h"
#include "golden_fixture.h"

static const struct store_compare compares[] = {
    {.target = STORE_CMP_VALUE,
     .relation = STORE_LESS,
     .key = BYTES("a"),
     .range_end = BYTES("b"),
     .bytes = BYTES("xy")},
    {.target = STORE_CMP_LEASE, .relation = STORE_EQUAL, .key = BYTES("c"), .number = 7},
};
static const struct store_client_op nested_ops[] = {
    {.type = STORE_CLIENT_DELETE, .range = {.key = BYTES("d"), .range_end = BYTES("e")}},
};
static const struct store_client_txn nested = {
    .compares = compares, .compare_count = 1, .failure = nested_ops, .failure_count = 1};
static const struct store_client_op ops[] = {
    {.type = STORE_CLIENT_RANGE,
     .range = {.key = BYTES("a"),
               .range_end = BYTES("z"),
               .revision = 5,
               .limit = 6,
               .order = STORE_SORT_DESCEND,
               .target = STORE_SORT_VALUE,
               .keys_only = true,
               .count_only = true,
               .min_mod = 1,
               .max_mod = 2,
               .min_create = 3,
               .max_create = 4}},
    {.type = STORE_CLIENT_PUT,
     .range = {.key = BYTES("a")},
     .value = BYTES("v"),
     .lease = 7,
     .prev_kv = true},
    {.type = STORE_CLIENT_PUT,
     .range = {.key = BYTES("b")},
     .ignore_value = true,
     .ignore_lease = true},
    {.type = STORE_CLIENT_DELETE, .range = {.key = BYTES("c")}, .prev_kv = true},
    {.type = STORE_CLIENT_NESTED, .txn = &nested},
};
static const struct store_client_txn txn = {.compares = compares,
                                            .compare_count = 2,
                                            .success = ops,
                                            .success_count = 5,
                                            .failure = nested_ops,
                                            .failure_count = 1};
static const struct store_client_txn nothing = {.success = NULL};
static const struct store_v2 v2 = {.type = STORE_V2_SWAP,
                                   .path = BYTES("/a/b"),
                                   .value = BYTES("new"),
                                   .prev_value = BYTES("old"),
                                   .prev_index = 9,
                                   .ttl_ms = 5000,
                                   .lease = 11,
                                   .directory = true,
                                   .recursive = true,
                                   .refresh = true};

static const struct golden_command golden[] = {
    {"client_txn",
     {.client = 0x0102030405060708,
      .sequence = 3,
      .floor = 2,
      .actor = BYTES("n1"),
      .type = STORE_CLIENT_TXN,
      .client_txn = &txn}},
    {"client_txn_empty", {.type = STORE_CLIENT_TXN, .client_txn = &nothing}},
    {"compact", {.type = STORE_COMPACT, .number = 77}},
    {"lease_keepalive", {.type = STORE_LEASE_KEEPALIVE, .lease = 5}},
    {"v2", {.type = STORE_V2, .v2 = &v2}},
    {"format", {.type = STORE_FORMAT}},
    {"member_clients",
     {.type = STORE_MEMBER_CLIENTS,
      .member = {.id = 0xabcdef, .client_urls = BYTES("http://10.0.0.1:2379")}}},
};

static void commands_have_their_golden_bytes(void **state)
{
    (void)state;
    assert_golden_commands(GOLDEN_DIR "command_2.hex", golden, COUNT(golden));
}

static void commands_survive_the_round_trip_and_no_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(golden); i++) {
        assert_round_trip(&golden[i].command);
        struct buf bytes = encoded(&golden[i].command);
        assert_true(store_command_has_output(buf_span(&bytes)));
        struct span actor = golden[i].command.actor;
        assert_true(span_equal(store_command_actor(buf_span(&bytes)), actor));
        for (size_t len = 0; len < 30 + actor.len; len++) { /* cut before its end */
            assert_int_equal(store_command_actor(span_of(bytes.data, len)).len, 0);
        }
        bytes.data[0] = 1; /* the other version */
        assert_refused(buf_span(&bytes));
        buf_free(&bytes);
    }
}

static void damaged_commands_are_no_ops_on_every_member_alike(void **state)
{
    struct pair *pair = *state;
    for (size_t i = 0; i < COUNT(golden); i++) {
        assert_damage_is_alike(&golden[i].command, pair->store, pair->other);
    }
    store_check(pair->store);
    restart_other(pair);
}

/* Types and counts that no encoder writes. */
static void fields_that_nobody_has_are_refused(void **state)
{
    (void)state;
    static uint8_t big[STORE_VALUE_BYTES_MAX + 1];
    struct store_client_op op = c_put("a", "v");
    struct store_client_txn one = {.success = &op, .success_count = 1};
    struct store_compare compare = c_absent("a");
    struct store_command command = {.type = STORE_CLIENT_TXN, .client_txn = &one};
    struct buf out = BUF_INIT;
#define REFUSED(expected, change)                                               \
    do {                                                                        \
        change;                                                                 \
        assert_int_equal(store_command_encode(&command, &out, NULL), expected); \
        op = c_put("a", "v");                                                   \
        compare = c_absent("a");                                                \
    } while (0)
    REFUSED(ERR_LIMIT, op.range.key = span_of(big, STORE_KEY_BYTES_MAX + 1));
    REFUSED(ERR_LIMIT, op.range.range_end = span_of(big, STORE_KEY_BYTES_MAX + 1));
    REFUSED(ERR_LIMIT, op.value = span_of(big, sizeof(big)));
    REFUSED(ERR_INVALID, op.type = 9);
    REFUSED(ERR_INVALID, (op.type = STORE_CLIENT_RANGE, op.range.order = 3));
    REFUSED(ERR_INVALID, (op.type = STORE_CLIENT_RANGE, op.range.target = 5));
    one.compares = &compare;
    one.compare_count = 1;
    REFUSED(ERR_LIMIT, compare.range_end = span_of(big, STORE_KEY_BYTES_MAX + 1));
    REFUSED(ERR_INVALID, compare.relation = 9);
    struct store_command legacy = {.type = STORE_TXN, .compares = &compare, .compare_count = 1};
    compare.range_end = span_str("b");
    assert_int_equal(store_command_encode(&legacy, &out, NULL), ERR_INVALID);
    static const enum store_command_type bodiless[] = {STORE_LEASE_KEEPALIVE, STORE_CLIENT_TXN,
                                                       STORE_V2};
    for (size_t i = 0; i < COUNT(bodiless); i++) {
        command = (struct store_command){.type = bodiless[i]};
        REFUSED(ERR_INVALID, (void)0);
    }
    command = (struct store_command){.type = STORE_MEMBER_CLIENTS};
    REFUSED(ERR_INVALID, (void)0);
    command.member.id = 1;
    REFUSED(ERR_LIMIT,
            command.member.client_urls = span_of(big, STORE_MEMBER_CLIENTS_BYTES_MAX + 1));
#undef REFUSED
    assert_int_equal(out.len, 0);
    buf_free(&out);
}

/* --- snapshots -------------------------------------------------------------------------------- */

static void apply_both(struct pair *pair, struct store_command command)
{
    assert_int_equal(apply_pair(pair, &command, NULL).code, 0);
}

/* Something of everything that the window can hold: present, old, deleted, below it, directories.
 */
static void fill(struct pair *pair)
{
    struct store_v2 writes[] = {
        {.type = STORE_V2_SET, .path = span_str("/d"), .directory = true},
        {.type = STORE_V2_SET,
         .path = span_str("/d/f"),
         .value = span_str("1"),
         .ttl_ms = 9000,
         .lease = 71},
        {.type = STORE_V2_SET,
         .path = span_str("/d/f"),
         .value = span_str("2"),
         .ttl_ms = 9000,
         .lease = 72},
        {.type = STORE_V2_UPDATE, .path = span_str("/d")},
        {.type = STORE_V2_SET, .path = span_str("/e"), .directory = true},
        {.type = STORE_V2_DELETE, .path = span_str("/e"), .recursive = true},
        {.type = STORE_V2_SET, .path = span_str("/e"), .directory = true},
    };
    struct store_client_op first[] = {c_put("a", "1"), c_put("b", "1"), c_put("c", "1")};
    struct store_client_op second[] = {c_put("b", "2"), c_delete("c", ""),
                                       c_put_lease("x", "1", 99)};
    struct store_client_txn txns[] = {{.success = first, .success_count = 3},
                                      {.success = second, .success_count = 2},
                                      {.success = second + 2, .success_count = 1}};
    struct store_member member = {.id = 3,
                                  .name = span_str("n3"),
                                  .address = span_str("h:1"),
                                  .client_urls = span_str("http://h:2,http://h:3")};
    apply_both(pair, (struct store_command){.type = STORE_FORMAT});
    apply_both(pair, (struct store_command){.type = STORE_MEMBER_SET, .member = member});
    apply_both(pair, (struct store_command){.type = STORE_MEMBER_CLIENTS, .member = member});
    apply_both(pair, (struct store_command){.type = STORE_CLIENT_TXN, .client_txn = &txns[0]});
    for (size_t i = 0; i < COUNT(writes); i++) {
        apply_both(pair, (struct store_command){.type = STORE_V2, .v2 = &writes[i]});
    }
    apply_both(pair, (struct store_command){.type = STORE_COMPACT, .number = 5});
    apply_both(pair, (struct store_command){.type = STORE_CLIENT_TXN, .client_txn = &txns[1]});
    struct store_command refused = {
        .client = 40, .sequence = 1, .floor = 1, .type = STORE_CLIENT_TXN, .client_txn = &txns[2]};
    assert_int_equal(apply_pair(pair, &refused, NULL).reason, STORE_LEASE_NOT_FOUND);
}

static void snapshot_has_its_golden_bytes(void **state)
{
    struct pair *pair = *state;
    struct buf text = BUF_INIT;
    struct buf bytes = BUF_INIT;
    apply_both(pair, (struct store_command){.type = STORE_FORMAT});
    store_snapshot(pair->store, &bytes);
    put_hex(&text, "empty", buf_span(&bytes));
    fill(pair);
    buf_clear(&bytes);
    store_snapshot(pair->store, &bytes);
    put_hex(&text, "filled", buf_span(&bytes));
    golden_check(GOLDEN_DIR "snapshot_2.hex", buf_str(&text));
    restart_other(pair);
    buf_free(&bytes);
    buf_free(&text);
}

static void damaged_snapshot_is_refused_or_sound(void **state)
{
    struct pair *pair = *state;
    struct store *target = store_new();
    struct store *before = store_new();
    struct buf bytes = BUF_INIT;
    struct buf again = BUF_INIT;
    struct error err;
    size_t taken = 0;
    fill(pair);
    store_snapshot(pair->store, &bytes);
    for (size_t cut = 0; cut < bytes.len; cut++) {
        assert_int_equal(store_restore(target, span_of(bytes.data, cut), &err), ERR_CORRUPT);
    }
    assert_same_state(target, before);
    for (size_t at = 0; at < bytes.len; at++) {
        for (unsigned value = 0; value < 256; value++) {
            uint8_t good = bytes.data[at];
            bytes.data[at] = (uint8_t)value;
            struct store *scratch = store_new();
            if (store_restore(scratch, buf_span(&bytes), &err) == 0) {
                taken++;
                store_check(scratch); /* not every change can be seen; what is taken is sound ... */
                buf_clear(&again);
                store_snapshot(scratch, &again); /* ... and has one form */
                assert_true(span_equal(buf_span(&bytes), buf_span(&again)));
            }
            store_free(scratch);
            bytes.data[at] = good;
        }
    }
    assert_true(taken > bytes.len); /* more than the bytes themselves, which are among the values */
    store_free(target);
    store_free(before);
    buf_free(&bytes);
    buf_free(&again);
}

static void client_urls_belong_to_a_member_and_outlive_its_address(void **state)
{
    struct pair *pair = *state;
    struct store_member members[2];
    struct store_member member = {
        .id = 7, .name = span_str("n"), .address = span_str("h:1"), .client_urls = span_str("u")};
    struct store_command clients = {.type = STORE_MEMBER_CLIENTS, .member = member};
    int64_t revision = open_format_2(pair).revision;
    assert_int_equal(apply_pair(pair, &clients, NULL).code, ERR_NOT_FOUND);
    apply_both(pair, (struct store_command){.type = STORE_MEMBER_SET, .member = member});
    assert_int_equal(store_members(pair->store, members, 2), 1);
    assert_int_equal(members[0].client_urls.len, 0);                       /* another command's */
    assert_int_equal(apply_pair(pair, &clients, NULL).revision, revision); /* wakes no watch */
    member.address = span_str("h:2");
    apply_both(pair, (struct store_command){.type = STORE_MEMBER_SET, .member = member});
    restart_other(pair);
    assert_int_equal(store_members(pair->other, members, 2), 1);
    assert_true(span_equal_str(members[0].client_urls, "u"));
    assert_true(span_equal_str(members[0].address, "h:2"));
    apply_both(pair, (struct store_command){.type = STORE_MEMBER_REMOVE, .member = member});
    apply_both(pair, (struct store_command){.type = STORE_MEMBER_SET, .member = member});
    assert_int_equal(store_members(pair->store, members, 2), 1);
    assert_int_equal(members[0].client_urls.len, 0);
}

/* What is taken can be counted on from: every number of eight bytes as large as can be. */
static void numbers_that_would_overflow_are_refused(void **state)
{
    struct pair *pair = *state;
    struct buf bytes = BUF_INIT;
    struct error err;
    size_t taken = 0;
    fill(pair);
    store_snapshot(pair->store, &bytes);
    for (size_t at = 1; at + 8 <= bytes.len; at++) {
        uint8_t good[8];
        memcpy(good, bytes.data + at, 8);
        memset(bytes.data + at, 0xff, 7);
        bytes.data[at + 7] = 0x7f;
        struct store *scratch = store_new();
        if (store_restore(scratch, buf_span(&bytes), &err) == 0) {
            struct store_kv kv;
            struct store_op again[] = {op_put("a", "3", 0), op_put("b", "3", 0)};
            assert_int_equal(store_get(scratch, span_str("b"), &kv), true);
            assert_true(kv.version < INT64_MAX / 2 && store_revision(scratch) < INT64_MAX / 2);
            if (store_applied(scratch) < UINT64_MAX / 4) {
                (void)apply_ops(scratch, "", again, 2);
            }
            taken++;
        }
        store_free(scratch);
        memcpy(bytes.data + at, good, 8);
    }
    print_message("%zu of %zu taken\n", taken, bytes.len);
    assert_true(taken > 0);
    buf_free(&bytes);
}

/* --- from format 1 ---------------------------------------------------------------------------- */

/* Three ways to the same place of the log: applied everything; restored from what the release
 * before stored, early or late. They are one state from the first command of format 2 on. */
static void format_2_begins_at_one_place_however_a_member_got_there(void **state)
{
    struct pair *pair = *state;
    struct store *late = store_new();
    struct buf bytes = BUF_INIT;
    for (int i = 0; i < 5; i++) {
        struct store_op batch[] = {op_put("a", "v", 0),
                                   i % 2 == 0 ? op_put("b", "v", 0) : op_delete("b")};
        struct store_command command = {.type = STORE_TXN, .success = batch, .success_count = 2};
        apply_both(pair, command);
        if (i == 2) {
            restart_other(pair);
            assert_int_equal(store_compacted(pair->other), store_revision(pair->other) + 1);
        }
    }
    store_snapshot(pair->store, &bytes);
    assert_int_equal(bytes.data[0], 1); /* still what the release before reads */
    assert_int_equal(store_restore(late, buf_span(&bytes), NULL), 0);
    assert_int_equal(store_format(late), 1);
    struct store_client_op op = c_put("c", "v");
    struct store_client_txn one = {.success = &op, .success_count = 1};
    struct store_command command = {.type = STORE_CLIENT_TXN, .client_txn = &one};
    assert_int_equal(apply_pair(pair, &command, NULL).revision, 8); /* one to begin with, its own */
    assert_int_equal(apply(late, &command).revision, 8);
    assert_int_equal(store_format(late), 2);
    assert_int_equal(store_compacted(late), 7);
    assert_same_state(pair->store, late);
    range_is(late, (struct store_range){EVERYTHING, .revision = 7, .keys_only = true},
             "#2: a(2,6,5) b(6,6,1) ");
    events_are(late, (struct store_watch){EVERYTHING}, 7, "put@8 c=v(8,8,1) ");
    events_are(pair->store, (struct store_watch){EVERYTHING}, 6, "not found");
    restart_other(pair);
    store_free(late);
    buf_free(&bytes);
}

static void golden_log_and_snapshot_of_format_1_are_replayed(void **state)
{
    struct pair *pair = *state;
    static const char *const names[] = {"txn",         "txn_empty",    "lease_grant",
                                        "lease_renew", "lease_expire", "lease_revoke",
                                        "member_set",  "member_remove"};
    static const int codes[] = {0, 0, 0, ERR_REFUSED, ERR_NOT_FOUND, ERR_REFUSED, 0, 0};
    struct buf bytes = BUF_INIT;
    struct buf again = BUF_INIT;
    read_golden(GOLDEN_DIR "snapshot.hex", "filled", &bytes);
    assert_int_equal(store_restore(pair->store, buf_span(&bytes), NULL), 0);
    store_snapshot(pair->store, &again);
    assert_true(span_equal(buf_span(&bytes), buf_span(&again)));
    assert_int_equal(store_restore(pair->other, buf_span(&bytes), NULL), 0);
    for (size_t i = 0; i < COUNT(names); i++) {
        struct store_result result;
        uint64_t index = store_applied(pair->store) + 1;
        buf_clear(&bytes);
        read_golden(GOLDEN_DIR "command.hex", names[i], &bytes);
        assert_false(store_command_has_output(buf_span(&bytes)));
        store_apply(pair->store, index, buf_span(&bytes), &result, NULL);
        assert_int_equal(result.code, codes[i]);
        store_apply(pair->other, index, buf_span(&bytes), &result, NULL);
        store_check(pair->store);
    }
    assert_int_equal(store_format(pair->store), 1);
    restart_other(pair);
    buf_free(&bytes);
    buf_free(&again);
}

/* Every line of the file is a command or a snapshot that a member of today has to take. */
static void of_0_1(const char *file, bool snapshots, size_t expected)
{
    char *path = mem_printf("tests/golden/0.1/store/%s", file);
    char name[64];
    FILE *lines = fopen(path, "r");
    size_t count = 0;
    struct store *store = store_new();
    assert_non_null(lines);
    while (fscanf(lines, "%63s %*s", name) == 1) {
        struct buf bytes = BUF_INIT;
        read_golden(path, name, &bytes);
        if (snapshots) {
            assert_int_equal(store_restore(store, buf_span(&bytes), NULL), 0);
            store_check(store);
        } else {
            struct store_command command;
            struct buf arena = BUF_INIT;
            assert_int_equal(store_command_decode(buf_span(&bytes), &command, &arena, NULL), 0);
            buf_free(&arena);
        }
        buf_free(&bytes);
        count++;
    }
    assert_int_equal(fclose(lines), 0);
    assert_int_equal(count, expected);
    store_free(store);
    mem_free(path);
}

static void what_0_1_has_stored_is_read(void **state)
{
    (void)state;
    of_0_1("command.hex", false, 8);
    of_0_1("command_2.hex", false, 7);
    of_0_1("command_depose.hex", false, 1);
    of_0_1("snapshot.hex", true, 2);
    of_0_1("snapshot_2.hex", true, 2);
}

/* The limits of a snapshot, filled to the brim with small elements. */
static void the_fullest_store_fits_into_its_snapshot(void **state)
{
    struct pair *pair = *state;
    static struct store_op puts[STORE_TXN_ITEMS_MAX];
    static char keys[STORE_TXN_ITEMS_MAX][16];
    struct buf bytes = BUF_INIT;
    struct store_result result;
    (void)open_format_2(pair);
    uint64_t index = store_applied(pair->store);
    for (unsigned i = 0; i < STORE_KEYS_MAX; i += STORE_TXN_ITEMS_MAX) {
        for (unsigned j = 0; j < STORE_TXN_ITEMS_MAX; j++) {
            (void)snprintf(keys[j], sizeof(keys[j]), "k%07u", i + j);
            puts[j] = op_put(keys[j], "", 0);
        }
        struct store_command command = {
            .type = STORE_TXN, .success = puts, .success_count = STORE_TXN_ITEMS_MAX};
        buf_clear(&bytes);
        assert_int_equal(store_command_encode(&command, &bytes, NULL), 0);
        store_apply(pair->store, ++index, buf_span(&bytes), &result, NULL);
        store_apply(pair->other, index, buf_span(&bytes), &result, NULL);
        assert_int_equal(result.code, 0);
    }
    restart_other(pair);
    struct store_op gone = op_delete_prefix("k");
    assert_int_equal(apply_ops(pair->store, "", &gone, 1).code, 0);
    (void)apply_ops(pair->other, "", &gone, 1);
    restart_other(pair);
    buf_clear(&bytes);
    store_snapshot(pair->store, &bytes);
    assert_true(bytes.len > (size_t)STORE_KEYS_MAX * 20);
    buf_free(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands_have_their_golden_bytes),
        cmocka_unit_test(commands_survive_the_round_trip_and_no_cut),
        PAIR_TEST(damaged_commands_are_no_ops_on_every_member_alike),
        cmocka_unit_test(fields_that_nobody_has_are_refused),
        PAIR_TEST(snapshot_has_its_golden_bytes),
        PAIR_TEST(damaged_snapshot_is_refused_or_sound),
        PAIR_TEST(client_urls_belong_to_a_member_and_outlive_its_address),
        PAIR_TEST(numbers_that_would_overflow_are_refused),
        PAIR_TEST(format_2_begins_at_one_place_however_a_member_got_there),
        PAIR_TEST(golden_log_and_snapshot_of_format_1_are_replayed),
        cmocka_unit_test(what_0_1_has_stored_is_read),
        PAIR_TEST(the_fullest_store_fits_into_its_snapshot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
