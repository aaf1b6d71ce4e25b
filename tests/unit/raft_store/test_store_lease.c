/* Leases: renewed and ended by commands, counted by the local clock, and the rule of holder leases.
 */
#include "store_fixture.h"

#include "raft/store_client.h"

static void granted_lease_has_number_one_and_an_owner(void **state)
{
    struct store *store = *state;
    struct store_result result = grant(store, "n1", 7, 3000, STORE_LEASE_HOLDER, 100);
    assert_int_equal(result.code, 0);
    assert_int_equal(result.revision, 1);
    struct store_lease lease = lease_of(store, 7);
    assert_int_equal(lease.renewal_number, 1);
    assert_int_equal(lease.ttl_ms, 3000);
    assert_int_equal(lease.stamp, 100);
    assert_int_equal(lease.flags, STORE_LEASE_HOLDER);
    assert_true(span_equal_str(lease.owner, "n1"));
    assert_int_equal(lease.applied_at_ms, -1);
    assert_int_equal(grant(store, "n1", 7, 3000, 0, 0).code, ERR_EXISTS);
    struct store_lease none;
    assert_false(store_lease_get(store, 8, &none));
}

static void renewal_raises_the_number_sets_the_ttl_and_wakes_nobody(void **state)
{
    struct store *store = *state;
    grant(store, "n1", 7, 3000, STORE_LEASE_HOLDER, 100);
    put(store, "n1", "leader", "n1", 7);
    struct store_result result = renew(store, "n1", 7, 2000, 101);
    assert_int_equal(result.code, 0);
    assert_int_equal(result.revision, 2);
    assert_int_equal(lease_of(store, 7).renewal_number, 2);
    assert_int_equal(lease_of(store, 7).ttl_ms, 2000);
    assert_int_equal(lease_of(store, 7).stamp, 101);
    assert_events(store, 3, "", "");
}

static void renewal_of_a_holder_lease_needs_a_rising_stamp(void **state)
{
    struct store *store = *state;
    grant(store, "n1", 7, 3000, STORE_LEASE_HOLDER, 100);
    assert_int_equal(renew(store, "n1", 7, 3000, 99).code, ERR_NOT_FOUND);
    assert_int_equal(renew(store, "n1", 7, 3000, 100).code, ERR_NOT_FOUND);
    assert_int_equal(renew(store, "n1", 7, 3000, 105).code, 0);
    assert_int_equal(renew(store, "n1", 7, 9000, 104).code, ERR_NOT_FOUND);
    assert_int_equal(lease_of(store, 7).renewal_number, 2);
    assert_int_equal(lease_of(store, 7).ttl_ms, 3000);
    assert_int_equal(renew(store, "n1", 8, 3000, 200).code, ERR_NOT_FOUND);
}

static void plain_lease_is_renewed_by_anybody_without_stamp(void **state)
{
    struct store *store = *state;
    grant(store, "n1", 7, 3000, 0, 0);
    assert_int_equal(renew(store, "n2", 7, 3000, 0).code, 0);
    assert_int_equal(renew(store, "", 7, 3000, 0).code, 0);
    assert_int_equal(lease_of(store, 7).renewal_number, 3);
    assert_int_equal(revoke(store, "", 7).code, 0);
}

/* Every way to touch a leader key or its lease, by its owner, by another member and by a plain
 * client. */
static void holder_lease_and_its_keys_belong_to_the_owner(void **state)
{
    (void)state;
    enum { PUT_PLAIN, PUT_SAME, PUT_OTHER_LEASE, ATTACH, DELETE, PREFIX, END, RENEW, REVOKE, WAYS };
    static const char *const actors[] = {"n1", "n2", ""};
    for (size_t a = 0; a < COUNT(actors); a++) {
        for (int way = 0; way < WAYS; way++) {
            struct store *store = store_new();
            const char *actor = actors[a];
            grant(store, "n1", 7, 3000, STORE_LEASE_HOLDER, 100);
            grant(store, "", 8, 3000, 0, 0);
            put(store, "n1", "s/leader", "n1", 7);
            struct store_op op = op_put("s/leader", "x", 0);
            op.lease = way == PUT_SAME ? 7 : way == PUT_OTHER_LEASE ? 8 : 0;
            op = way == ATTACH ? op_put("s/other", "x", 7) : op;
            op = way == DELETE   ? op_delete("s/leader")
                 : way == PREFIX ? op_delete_prefix("s/")
                                 : op;
            op = way == END ? op_end(7) : op;
            struct store_result result = way == RENEW    ? renew(store, actor, 7, 3000, 200)
                                         : way == REVOKE ? revoke(store, actor, 7)
                                                         : apply_ops(store, actor, &op, 1);
            assert_int_equal(result.code, a == 0 ? 0 : ERR_REFUSED);
            if (a != 0) {
                assert_true(span_equal_str(get(store, "s/leader").value, "n1"));
                assert_int_equal(lease_of(store, 7).renewal_number, 1);
                assert_keys(store, "", "s/leader ");
            }
            store_free(store);
        }
    }
}

static void detached_key_is_free_for_everybody_again(void **state)
{
    struct store *store = *state;
    grant(store, "n1", 7, 3000, STORE_LEASE_HOLDER, 100);
    put(store, "n1", "leader", "n1", 7);
    assert_int_equal(put(store, "n1", "leader", "n1", 0).code, 0);
    assert_int_equal(get(store, "leader").lease, 0);
    assert_int_equal(put(store, "n2", "leader", "n2", 0).code, 0);
    assert_int_equal(expire(store, 7, 1).code, 0);
    assert_true(has(store, "leader"));
}

static void expire_needs_the_current_number(void **state)
{
    struct store *store = *state;
    grant(store, "n1", 7, 3000, STORE_LEASE_HOLDER, 100);
    put(store, "n1", "leader", "n1", 7);
    renew(store, "n1", 7, 3000, 101);
    assert_int_equal(expire(store, 7, 1).code, ERR_NOT_FOUND);
    assert_int_equal(expire(store, 7, 3).code, ERR_NOT_FOUND);
    assert_true(has(store, "leader"));
    assert_int_equal(expire(store, 7, 2).code, 0);
    assert_false(has(store, "leader"));
    assert_int_equal(expire(store, 7, 2).code, ERR_NOT_FOUND);
    assert_int_equal(renew(store, "n1", 7, 3000, 102).code, ERR_NOT_FOUND);
}

static void open_format_2(struct store *store)
{
    assert_int_equal(apply(store, &(struct store_command){.type = STORE_FORMAT}).code, 0);
}

/* Ids are the clients' to choose, and may come again while what ends an earlier one is still under
 * way. */
static void late_expire_does_not_hit_the_next_lease_of_its_id(void **state)
{
    struct store *store = *state;
    open_format_2(store);
    grant(store, "", 7, 3000, 0, 0);
    uint64_t seen = lease_of(store, 7).renewal_number; /* Expire(7, seen) is proposed */
    assert_int_equal(revoke(store, "", 7).code, 0);
    assert_int_equal(grant(store, "", 7, 3000, 0, 0).code, 0);
    put(store, "", "k", "v", 7);
    assert_int_equal(expire(store, 7, seen).code, ERR_NOT_FOUND); /* and applied */
    assert_true(has(store, "k"));
    assert_int_equal(expire(store, 7, lease_of(store, 7).renewal_number).code, 0);
    assert_false(has(store, "k"));
}

/* However often the earlier one was renewed, and whoever granted it. */
static void numbers_of_a_lease_are_above_those_of_every_earlier_one(void **state)
{
    struct store *store = *state;
    struct store_v2 ttl = {.type = STORE_V2_SET,
                           .path = span_str("/k"),
                           .value = span_str("v"),
                           .ttl_ms = 3000,
                           .lease = 7};
    grant(store, "", 7, 3000, 0, 0);
    for (int i = 0; i < 5; i++) {
        renew(store, "", 7, 3000, 0);
    }
    open_format_2(store);
    uint64_t last = lease_of(store, 7).renewal_number;
    assert_int_equal(last, 6); /* granted in format 1, it counts on */
    for (int round = 0; round < 9; round++) {
        struct store_op op = op_grant(7, 3000, 0, 0);
        if (round % 3 == 2) { /* the v2 write has taken it along */
            struct store_v2 set = {.type = STORE_V2_SET, .path = span_str("/k")};
            assert_int_equal(
                apply(store, &(struct store_command){.type = STORE_V2, .v2 = &set}).code, 0);
        }
        (void)revoke(store, "", 7);
        struct store_result result =
            round % 3 == 0   ? grant(store, "", 7, 3000, 0, 0)
            : round % 3 == 1 ? apply_ops(store, "n1", &op, 1)
                             : apply(store, &(struct store_command){.type = STORE_V2, .v2 = &ttl});
        assert_int_equal(result.code, 0);
        assert_int_equal(lease_of(store, 7).renewal_number, store_applied(store));
        assert_true(lease_of(store, 7).renewal_number > last);
        renew(store, "", 7, 3000, 0);
        assert_int_equal(
            apply(store, &(struct store_command){.type = STORE_LEASE_KEEPALIVE, .lease = 7}).code,
            0);
        last = lease_of(store, 7).renewal_number;
        assert_int_equal(last, store_applied(store));
    }
}

static void ended_lease_takes_its_keys_in_one_revision_in_key_order(void **state)
{
    struct store *store = *state;
    grant(store, "", 7, 3000, 0, 0);
    put(store, "", "c", "", 7);
    put(store, "", "a", "", 7);
    put(store, "", "b", "", 7);
    put(store, "", "d", "", 0);
    assert_int_equal(expire(store, 7, 1).revision, 6);
    assert_events(store, 6, "", "delete a=@6 delete b=@6 delete c=@6 ");
    assert_keys(store, "", "d ");
    grant(store, "", 8, 3000, 0, 0);
    assert_int_equal(revoke(store, "", 8).revision, 6);
    assert_int_equal(revoke(store, "", 8).code, ERR_NOT_FOUND);
}

static void leases_are_limited(void **state)
{
    struct store *store = *state;
    struct buf bytes = BUF_INIT;
    struct store_result result;
    for (uint64_t id = 1; id <= STORE_LEASES_MAX; id++) {
        buf_clear(&bytes);
        struct store_command command = {.type = STORE_LEASE_GRANT, .lease = id, .ttl_ms = 1};
        assert_int_equal(store_command_encode(&command, &bytes, NULL), 0);
        store_apply(store, id, buf_span(&bytes), &result, NULL);
        assert_int_equal(result.code, 0);
    }
    assert_int_equal(grant(store, "", STORE_LEASES_MAX + 1, 1, 0, 0).code, ERR_LIMIT);
    struct store_op op = op_grant(STORE_LEASES_MAX + 1, 1, 0, 0);
    assert_int_equal(apply_ops(store, "", &op, 1).code, ERR_LIMIT);
    assert_int_equal(revoke(store, "", 9).code, 0);
    assert_int_equal(grant(store, "", STORE_LEASES_MAX + 1, 1, 0, 0).code, 0);
    buf_free(&bytes);
}

/* --- local time ------------------------------------------------------------------------------- */

static void note_due(void *arg, uint64_t lease, uint64_t number)
{
    buf_printf(arg, "%llu/%llu ", (unsigned long long)lease, (unsigned long long)number);
}

static void assert_due(const struct store *store, int64_t now, int64_t next, const char *due)
{
    struct buf out = BUF_INIT;
    assert_int_equal(store_leases_due(store, now, note_due, &out), next);
    assert_string_equal(buf_str(&out), due);
    buf_free(&out);
}

static void lease_is_due_when_its_whole_ttl_was_counted_here(void **state)
{
    struct store *store = *state;
    assert_due(store, 0, -1, "");
    grant(store, "", 7, 1000, 0, 0);
    assert_due(store, 5000, 1000, ""); /* not noted: the whole ttl */
    store_leases_note(store, 5000);
    assert_int_equal(lease_of(store, 7).applied_at_ms, 5000);
    assert_due(store, 5999, 1, "");
    assert_due(store, 6000, -1, "7/1 ");
    assert_due(store, 9000, -1, "7/1 ");
}

static void renewal_counts_from_its_own_apply(void **state)
{
    struct store *store = *state;
    grant(store, "", 7, 1000, 0, 0);
    grant(store, "", 8, 3000, 0, 0);
    store_leases_note(store, 0);
    renew(store, "", 7, 2000, 0);
    assert_int_equal(lease_of(store, 7).applied_at_ms, -1);
    assert_due(store, 1500, 1500, "");
    store_leases_note(store, 1600);
    assert_due(store, 3000, 600, "8/1 ");
    assert_due(store, 3600, -1, "7/2 8/1 ");
}

static void refused_renewal_does_not_restart_the_count(void **state)
{
    struct store *store = *state;
    grant(store, "n1", 7, 1000, STORE_LEASE_HOLDER, 100);
    store_leases_note(store, 0);
    renew(store, "n1", 7, 1000, 100);
    renew(store, "n2", 7, 1000, 200);
    store_leases_note(store, 900);
    assert_due(store, 1000, -1, "7/1 ");
}

static void restart_counts_every_lease_afresh(void **state)
{
    struct store *store = *state;
    grant(store, "", 7, 1000, 0, 0);
    store_leases_note(store, 0);
    grant(store, "", 8, 1000, 0, 0);
    store_leases_restart(store, 900);
    assert_due(store, 1000, 900, "");
    assert_due(store, 1900, -1, "7/1 8/1 ");
}

static void lease_that_ended_before_it_was_noted_is_forgotten(void **state)
{
    struct store *store = *state;
    grant(store, "", 7, 1000, 0, 0);
    grant(store, "", 8, 1000, 0, 0);
    grant(store, "", 9, 1000, 0, 0);
    revoke(store, "", 8);
    store_check(store);
    store_leases_note(store, 10);
    assert_due(store, 10, 1000, "");
    assert_int_equal(lease_of(store, 7).applied_at_ms, 10);
}

static bool count_lease(void *arg, const struct store_lease *lease)
{
    *(uint64_t *)arg = *(uint64_t *)arg * 10 + lease->id;
    return lease->id != 8;
}

static void leases_are_visited_by_id_until_told_to_stop(void **state)
{
    struct store *store = *state;
    uint64_t seen = 0;
    grant(store, "", 9, 1000, 0, 0);
    grant(store, "", 8, 1000, 0, 0);
    grant(store, "", 7, 1000, 0, 0);
    store_lease_each(store, count_lease, &seen);
    assert_int_equal(seen, 78);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(granted_lease_has_number_one_and_an_owner),
        STORE_TEST(renewal_raises_the_number_sets_the_ttl_and_wakes_nobody),
        STORE_TEST(renewal_of_a_holder_lease_needs_a_rising_stamp),
        STORE_TEST(plain_lease_is_renewed_by_anybody_without_stamp),
        STORE_TEST(holder_lease_and_its_keys_belong_to_the_owner),
        STORE_TEST(detached_key_is_free_for_everybody_again),
        STORE_TEST(expire_needs_the_current_number),
        STORE_TEST(late_expire_does_not_hit_the_next_lease_of_its_id),
        STORE_TEST(numbers_of_a_lease_are_above_those_of_every_earlier_one),
        STORE_TEST(ended_lease_takes_its_keys_in_one_revision_in_key_order),
        STORE_TEST(leases_are_limited),
        STORE_TEST(lease_is_due_when_its_whole_ttl_was_counted_here),
        STORE_TEST(renewal_counts_from_its_own_apply),
        STORE_TEST(refused_renewal_does_not_restart_the_count),
        STORE_TEST(restart_counts_every_lease_afresh),
        STORE_TEST(lease_that_ended_before_it_was_noted_is_forgotten),
        STORE_TEST(leases_are_visited_by_id_until_told_to_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
