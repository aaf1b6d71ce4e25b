/* Commands and snapshots of format 1 as bytes: golden files, round trips, and every kind of damage.
 * Format 2: test_store_format.c. */
#include "golden_fixture.h"

static const struct store_compare compares[] = {
    {.target = STORE_CMP_CREATE, .relation = STORE_EQUAL, .key = BYTES("a"), .number = 0},
    {.target = STORE_CMP_VALUE,
     .relation = STORE_NOT_EQUAL,
     .key = BYTES("b"),
     .bytes = BYTES("xy")},
};
static const struct store_op success[] = {
    {.type = STORE_OP_LEASE_GRANT,
     .lease = 0x1122,
     .ttl_ms = 3000,
     .stamp = 77,
     .flags = STORE_LEASE_HOLDER},
    {.type = STORE_OP_PUT, .key = BYTES("a"), .value = BYTES("n1"), .lease = 0x1122},
    {.type = STORE_OP_LEASE_END, .lease = 3},
};
static const struct store_op failure[] = {
    {.type = STORE_OP_DELETE, .key = BYTES("c")},
    {.type = STORE_OP_DELETE_PREFIX, .key = {NULL, 0}},
};

static const struct golden_command golden[] = {
    {"txn",
     {.client = 0x0102030405060708,
      .sequence = 3,
      .floor = 2,
      .actor = BYTES("n1"),
      .type = STORE_TXN,
      .compares = compares,
      .compare_count = COUNT(compares),
      .success = success,
      .success_count = COUNT(success),
      .failure = failure,
      .failure_count = COUNT(failure)}},
    {"txn_empty", {.type = STORE_TXN}},
    {"lease_grant",
     {.actor = BYTES("n1"),
      .type = STORE_LEASE_GRANT,
      .lease = 5,
      .ttl_ms = 30000,
      .stamp = -1,
      .flags = STORE_LEASE_HOLDER}},
    {"lease_renew", {.type = STORE_LEASE_RENEW, .lease = 5, .ttl_ms = 30000, .stamp = 123456}},
    {"lease_expire", {.type = STORE_LEASE_EXPIRE, .lease = 5, .number = 9}},
    {"lease_revoke", {.type = STORE_LEASE_REVOKE, .lease = 5}},
    {"member_set",
     {.type = STORE_MEMBER_SET,
      .member = {.id = 0xabcdef, .name = BYTES("n1"), .address = BYTES("10.0.0.1:2380")}}},
    {"member_remove", {.type = STORE_MEMBER_REMOVE, .member = {.id = 0xabcdef}}},
};

static void commands_have_their_golden_bytes(void **state)
{
    (void)state;
    assert_golden_commands(GOLDEN_DIR "command.hex", golden, COUNT(golden));
}

static void commands_survive_the_round_trip_and_no_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(golden); i++) {
        assert_round_trip(&golden[i].command);
    }
}

static void damaged_commands_are_no_ops_on_every_member_alike(void **state)
{
    struct store *store = *state;
    struct store *other = store_new();
    for (size_t i = 0; i < COUNT(golden); i++) {
        assert_damage_is_alike(&golden[i].command, store, other);
    }
    store_check(store);
    assert_same_state(store, other);
    store_free(other);
}

static void malformed_bytes_change_nothing_but_the_index(void **state)
{
    struct store *store = *state;
    struct store_result result;
    store_apply(store, 4, span_str("nonsense"), &result, NULL);
    assert_int_equal(result.code, ERR_INVALID);
    assert_int_equal(result.revision, 1);
    store_apply(store, 5, span_of(NULL, 0), &result, NULL);
    assert_int_equal(result.code, ERR_INVALID);
    store_skip(store, 9);
    assert_int_equal(store_applied(store), 9);
    uint8_t *huge = mem_try(STORE_COMMAND_BYTES_MAX + 1);
    store_apply(store, 10, span_of(huge, STORE_COMMAND_BYTES_MAX + 1), &result, NULL);
    assert_int_equal(result.code, ERR_INVALID);
    mem_free(huge);
}

static void fields_beyond_their_limits_are_not_encoded(void **state)
{
    (void)state;
    static uint8_t big[STORE_VALUE_BYTES_MAX + 1];
    struct span long_key = span_of(big, STORE_KEY_BYTES_MAX + 1);
    struct store_op ops[2] = {op_put("a", "", 0), op_put("b", "", 0)};
    struct store_compare compare = {
        .target = STORE_CMP_MOD, .relation = STORE_EQUAL, .key = span_str("a")};
    struct store_command txn = {.type = STORE_TXN,
                                .compares = &compare,
                                .compare_count = 1,
                                .success = ops,
                                .success_count = 2};
    struct buf out = BUF_INIT;
    struct error err;
#define REFUSED(expected, change, restore)                                  \
    do {                                                                    \
        change;                                                             \
        assert_int_equal(store_command_encode(&txn, &out, &err), expected); \
        assert_int_equal(err.code, expected);                               \
        assert_int_equal(out.len, 0);                                       \
        restore;                                                            \
    } while (0)
    struct store_command good = txn;
    struct store_op good_op = ops[0];
    struct store_compare good_compare = compare;
    REFUSED(ERR_LIMIT, ops[0].key = long_key, ops[0] = good_op);
    REFUSED(ERR_INVALID, ops[0].key.len = 0, ops[0] = good_op);
    REFUSED(ERR_LIMIT, ops[0].value = span_of(big, sizeof(big)), ops[0] = good_op);
    REFUSED(ERR_INVALID, ops[0] = op_delete(""), ops[0] = good_op);
    REFUSED(ERR_INVALID, ops[0] = op_end(0), ops[0] = good_op);
    REFUSED(ERR_INVALID, ops[0] = op_grant(0, 5, 0, 0), ops[0] = good_op);
    REFUSED(ERR_INVALID, ops[0] = op_grant(1, 0, 0, 0), ops[0] = good_op);
    REFUSED(ERR_INVALID, ops[0] = op_grant(1, STORE_LEASE_TTL_MS_MAX + 1, 0, 0), ops[0] = good_op);
    REFUSED(ERR_INVALID, ops[0] = op_grant(1, 5, 2, 0), ops[0] = good_op);
    REFUSED(ERR_INVALID, ops[0] = op_grant(1, 5, STORE_LEASE_HOLDER, 0),
            ops[0] = good_op); /* no actor */
    REFUSED(ERR_INVALID, ops[0].type = 99, ops[0] = good_op);
    REFUSED(ERR_INVALID, compare.target = 0, compare = good_compare);
    REFUSED(ERR_INVALID, compare.relation = 9, compare = good_compare);
    REFUSED(ERR_INVALID, compare.key.len = 0, compare = good_compare);
    REFUSED(ERR_LIMIT, txn.success_count = STORE_TXN_ITEMS_MAX + 1, txn = good);
    REFUSED(ERR_LIMIT, txn.actor = span_of(big, STORE_ACTOR_BYTES_MAX + 1), txn = good);
    REFUSED(ERR_INVALID, (txn.client = 1, txn.floor = 0), txn = good);
    REFUSED(ERR_INVALID, (txn.client = 1, txn.floor = 2, txn.sequence = 1), txn = good);
    REFUSED(ERR_INVALID, (txn.client = 1, txn.floor = 1, txn.sequence = UINT64_MAX), txn = good);
    REFUSED(ERR_INVALID, txn.type = 0, txn = good);
    REFUSED(ERR_INVALID, txn.type = STORE_MEMBER_SET, txn = good);
    REFUSED(ERR_INVALID, txn.type = STORE_MEMBER_REMOVE, txn = good);
    REFUSED(ERR_INVALID, txn.type = STORE_LEASE_RENEW, txn = good);
    REFUSED(ERR_INVALID, txn.type = STORE_LEASE_EXPIRE, txn = good);
    REFUSED(ERR_LIMIT,
            (ops[0].value = span_of(big, STORE_VALUE_BYTES_MAX),
             ops[1].value = span_of(big, STORE_VALUE_BYTES_MAX)),
            (ops[0] = good_op, ops[1] = op_put("b", "", 0)));
#undef REFUSED
    assert_int_equal(store_command_encode(&txn, &out, &err), 0);
    buf_free(&out);
}

/* --- members ---------------------------------------------------------------------------------- */

static struct store_result member_set(struct store *store, uint64_t id, const char *name)
{
    return apply(store, &(struct store_command){
                            .type = STORE_MEMBER_SET,
                            .member = {.id = id, .name = span_str(name), .address = span_str("")}});
}

static void members_are_kept_by_id_and_limited(void **state)
{
    struct store *store = *state;
    struct store_member members[STORE_MEMBERS_MAX + 1];
    for (uint64_t id = STORE_MEMBERS_MAX; id > 0; id--) {
        assert_int_equal(member_set(store, id, "n").code, 0);
    }
    assert_int_equal(member_set(store, 99, "n").code, ERR_LIMIT);
    assert_int_equal(member_set(store, 3, "three").code, 0);
    assert_int_equal(store_members(store, members, COUNT(members)), STORE_MEMBERS_MAX);
    assert_int_equal(members[2].id, 3);
    assert_true(span_equal_str(members[2].name, "three"));
    assert_int_equal(store_members(store, members, 2), 2);
    struct store_command remove = {.type = STORE_MEMBER_REMOVE, .member = {.id = 3}};
    assert_int_equal(apply(store, &remove).code, 0);
    assert_int_equal(apply(store, &remove).code, ERR_NOT_FOUND);
    assert_int_equal(store_members(store, members, COUNT(members)), STORE_MEMBERS_MAX - 1);
    assert_int_equal(members[2].id, 4);
}

/* --- snapshots -------------------------------------------------------------------------------- */

static void fill(struct store *store)
{
    struct store_op op = op_put("session", "v", 0);
    member_set(store, 1, "n1");
    member_set(store, 2, "n2");
    grant(store, "n1", 7, 3000, STORE_LEASE_HOLDER, 100);
    grant(store, "", 9, 5000, 0, 0);
    put(store, "n1", "leader", "n1", 7);
    put(store, "", "z", "later", 9);
    put(store, "", "m", "", 9);
    renew(store, "n1", 7, 3000, 102);
    for (uint64_t sequence = 3; sequence >= 2; sequence--) {
        apply(store, &(struct store_command){.client = 50,
                                             .sequence = sequence,
                                             .floor = 1,
                                             .type = STORE_TXN,
                                             .success = &op,
                                             .success_count = 1});
    }
    apply(store,
          &(struct store_command){
              .client = 40, .sequence = 1, .floor = 1, .type = STORE_LEASE_REVOKE, .lease = 1000});
}

static void snapshot_has_its_golden_bytes(void **state)
{
    struct store *store = *state;
    struct buf text = BUF_INIT;
    struct buf bytes = BUF_INIT;
    store_snapshot(store, &bytes);
    put_hex(&text, "empty", buf_span(&bytes));
    fill(store);
    buf_clear(&bytes);
    store_snapshot(store, &bytes);
    put_hex(&text, "filled", buf_span(&bytes));
    golden_check(GOLDEN_DIR "snapshot.hex", buf_str(&text));
    buf_free(&bytes);
    buf_free(&text);
}

/* A member that restored and one that applied everything stay alike, command for command. */
static void restored_store_goes_on_like_the_original(void **state)
{
    struct store *store = *state;
    struct store *restored = store_new();
    struct buf bytes = BUF_INIT;
    fill(store);
    put(restored, "", "old", "goes", 0);
    store_snapshot(store, &bytes);
    assert_int_equal(store_restore(restored, buf_span(&bytes), NULL), 0);
    store_check(restored);
    assert_same_state(store, restored);
    assert_int_equal(store_compacted(restored), store_revision(restored) + 1);
    assert_int_equal(lease_of(restored, 7).applied_at_ms, -1);
    struct store *both[] = {store, restored};
    for (size_t i = 0; i < COUNT(both); i++) {
        assert_int_equal(renew(both[i], "n1", 7, 1000, 102).code, ERR_NOT_FOUND);
        assert_int_equal(put(both[i], "n2", "leader", "n2", 0).code, ERR_REFUSED);
        struct store_command repeat = {
            .client = 40, .sequence = 1, .floor = 1, .type = STORE_LEASE_REVOKE, .lease = 9};
        assert_true(apply(both[i], &repeat).repeated);
        int64_t revision = store_revision(both[i]) + 1;
        assert_int_equal(expire(both[i], 9, 1).revision, revision);
        assert_events(both[i], revision, "", "delete m=@7 delete z=@7 ");
        fill(both[i]);
    }
    assert_same_state(store, restored);
    store_free(restored);
    buf_free(&bytes);
}

static void damaged_snapshot_leaves_the_store_untouched(void **state)
{
    struct store *store = *state;
    struct store *target = store_new();
    struct store *before = store_new();
    struct buf bytes = BUF_INIT;
    struct error err;
    size_t taken = 0;
    fill(store);
    put(target, "", "kept", "v", 0);
    put(before, "", "kept", "v", 0);
    store_snapshot(store, &bytes);
    for (size_t cut = 0; cut < bytes.len; cut++) {
        assert_int_equal(store_restore(target, span_of(bytes.data, cut), &err), ERR_CORRUPT);
    }
    assert_same_state(target, before);
    for (size_t at = 0; at < bytes.len; at++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            bytes.data[at] ^= (uint8_t)(1u << bit);
            struct store *scratch = store_new();
            if (store_restore(scratch, buf_span(&bytes), &err) == 0) {
                taken++;
                store_check(scratch); /* not every flip can be seen; what is taken must be sound */
            }
            store_free(scratch);
            bytes.data[at] ^= (uint8_t)(1u << bit);
        }
    }
    assert_true(taken > 0);
    bytes.data[0] = 3;
    assert_int_equal(store_restore(target, buf_span(&bytes), &err), ERR_UNSUPPORTED);
    bytes.data[0] = 1;
    buf_put_u8(&bytes, 0);
    assert_int_equal(store_restore(target, buf_span(&bytes), &err), ERR_CORRUPT);
    assert_same_state(target, before);
    store_free(target);
    store_free(before);
    buf_free(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(commands_have_their_golden_bytes),
        STORE_TEST(commands_survive_the_round_trip_and_no_cut),
        STORE_TEST(damaged_commands_are_no_ops_on_every_member_alike),
        STORE_TEST(malformed_bytes_change_nothing_but_the_index),
        STORE_TEST(fields_beyond_their_limits_are_not_encoded),
        STORE_TEST(members_are_kept_by_id_and_limited),
        STORE_TEST(snapshot_has_its_golden_bytes),
        STORE_TEST(restored_store_goes_on_like_the_original),
        STORE_TEST(damaged_snapshot_leaves_the_store_untouched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
