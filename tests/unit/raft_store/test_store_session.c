/* Exactly once, and the watch history. */
#include "store_fixture.h"

static struct store_result send_put(struct store *store, uint64_t client, uint64_t sequence,
                                    uint64_t floor, const char *key)
{
    struct store_op op = op_put(key, "v", 0);
    return apply(store, &(struct store_command){.client = client,
                                                .sequence = sequence,
                                                .floor = floor,
                                                .type = STORE_TXN,
                                                .success = &op,
                                                .success_count = 1});
}

static void repeat_gets_the_first_answer_and_changes_nothing(void **state)
{
    struct store *store = *state;
    struct store_result first = send_put(store, 5, 1, 1, "a");
    put(store, "", "b", "", 0);
    struct store_result again = send_put(store, 5, 1, 1, "a");
    assert_int_equal(first.revision, 2);
    assert_false(first.repeated);
    assert_true(again.repeated && again.succeeded);
    assert_int_equal(again.code, 0);
    assert_int_equal(again.revision, 2);
    assert_int_equal(store_revision(store), 3);
    assert_int_equal(get(store, "a").version, 1);
}

static void refusal_is_remembered_as_well(void **state)
{
    struct store *store = *state;
    struct store_command command = {
        .client = 5, .sequence = 1, .floor = 1, .type = STORE_LEASE_REVOKE, .lease = 9};
    assert_int_equal(apply(store, &command).code, ERR_NOT_FOUND);
    grant(store, "", 9, 1000, 0, 0);
    struct store_result again = apply(store, &command);
    assert_int_equal(again.code, ERR_NOT_FOUND);
    assert_true(again.repeated);
}

static void commands_without_client_are_applied_each_time(void **state)
{
    struct store *store = *state;
    send_put(store, 0, 0, 0, "a");
    send_put(store, 0, 0, 0, "a");
    assert_int_equal(get(store, "a").version, 2);
}

/* All orders in which the first four commands of a client can arrive, each sent twice. */
static void first_commands_may_come_in_any_order(void **state)
{
    (void)state;
    for (unsigned order = 0; order < 256; order++) {
        unsigned seen = 0;
        for (unsigned i = 0; i < 4; i++) {
            seen |= 1u << (order >> (2 * i) & 3);
        }
        if (seen != 15) {
            continue;
        }
        struct store *store = store_new();
        for (unsigned round = 0; round < 2; round++) {
            for (unsigned i = 0; i < 4; i++) {
                char key[2] = {(char)('a' + (order >> (2 * i) & 3)), 0};
                struct store_result result = send_put(store, 5, 1 + (order >> (2 * i) & 3), 1, key);
                assert_int_equal(result.code, 0);
                assert_int_equal(result.repeated, round == 1);
            }
        }
        assert_int_equal(store_revision(store), 5);
        store_free(store);
    }
}

static void sequence_below_the_floor_is_refused(void **state)
{
    struct store *store = *state;
    send_put(store, 5, 1, 1, "a");
    send_put(store, 5, 2, 1, "b");
    send_put(store, 5, 4, 3, "c");
    for (uint64_t sequence = 1; sequence <= 2; sequence++) {
        struct store_result late = send_put(store, 5, sequence, 1, "late");
        assert_int_equal(late.code, ERR_REFUSED);
    }
    assert_false(has(store, "late"));
    assert_int_equal(send_put(store, 5, 3, 1, "d").code,
                     0); /* its floor does not lower the other */
    assert_true(send_put(store, 5, 4, 3, "c").repeated);
    assert_int_equal(send_put(store, 5, 2, 2, "late").code, ERR_REFUSED);
}

/* Found by the simulator: the first command was given up, the second (floor 2) came before and
 * after it. */
static void copy_of_a_command_has_one_effect_whatever_comes_between(void **state)
{
    struct store *store = *state;
    struct store_result first = send_put(store, 5, 2, 2, "a");
    assert_int_equal(first.code, 0);
    assert_int_equal(send_put(store, 5, 1, 1, "late").code, ERR_REFUSED);
    struct store_result again = send_put(store, 5, 2, 2, "a");
    assert_true(again.repeated);
    assert_int_equal(again.code, first.code);
    assert_int_equal(get(store, "a").version, 1);
    assert_false(has(store, "late"));
}

static void too_many_open_commands_of_one_client_are_refused(void **state)
{
    struct store *store = *state;
    for (uint64_t sequence = STORE_CLIENT_RESULTS_MAX; sequence > 0; sequence--) {
        assert_int_equal(send_put(store, 5, sequence, 1, "a").code, 0);
    }
    assert_int_equal(send_put(store, 5, STORE_CLIENT_RESULTS_MAX + 1, 1, "b").code, ERR_LIMIT);
    assert_int_equal(send_put(store, 5, STORE_CLIENT_RESULTS_MAX + 1, 2, "b").code, 0);
}

static void least_recently_used_session_goes_first(void **state)
{
    struct store *store = *state;
    for (uint64_t client = 1; client <= STORE_CLIENTS_MAX; client++) {
        send_put(store, client, 1, 1, "a");
    }
    send_put(store, 1, 2, 2, "a"); /* used again: 2 is the oldest now */
    send_put(store, STORE_CLIENTS_MAX + 1, 1, 1, "a");
    assert_true(send_put(store, 1, 2, 2, "a").repeated);
    assert_true(send_put(store, 3, 1, 1, "a").repeated);
    assert_false(send_put(store, 2, 1, 1, "a").repeated);
}

/* --- watches ---------------------------------------------------------------------------------- */

static void history_gives_events_from_a_revision_and_below_a_prefix(void **state)
{
    struct store *store = *state;
    put(store, "", "a/1", "x", 0);
    put(store, "", "b/1", "y", 0);
    struct store_op gone = op_delete("a/1");
    apply_ops(store, "", &gone, 1);
    assert_int_equal(store_compacted(store), 1);
    assert_events(store, 2, "", "put a/1=x@2 put b/1=y@3 delete a/1=@4 ");
    assert_events(store, 3, "", "put b/1=y@3 delete a/1=@4 ");
    assert_events(store, 2, "a/", "put a/1=x@2 delete a/1=@4 ");
    assert_events(store, 5, "", "");
    assert_events(store, 1, "b", "put b/1=y@3 ");
    assert_int_equal(store_history_each(store, 0, span_str(""), fixture_list_event, NULL),
                     ERR_NOT_FOUND);
}

static bool stop_at_event(void *arg, const struct store_event *event)
{
    (void)event;
    ++*(int *)arg;
    return false;
}

static void history_ends_when_the_visitor_says_so(void **state)
{
    struct store *store = *state;
    int visited = 0;
    put(store, "", "a", "", 0);
    put(store, "", "a", "", 0);
    assert_int_equal(store_history_each(store, 2, span_str(""), stop_at_event, &visited), 0);
    assert_int_equal(visited, 1);
}

static void history_is_bounded_and_drops_whole_revisions(void **state)
{
    struct store *store = *state;
    struct store_op ops[3] = {op_put("a", "", 0), op_put("b", "", 0), op_put("c", "", 0)};
    for (int i = 0; i < 3 * STORE_HISTORY_EVENTS_MAX; i++) {
        apply_ops(store, "", ops, 3);
    }
    int64_t kept = STORE_HISTORY_EVENTS_MAX / 3;
    assert_int_equal(store_compacted(store), store_revision(store) - kept + 1);
    int visited = 0;
    assert_int_equal(
        store_history_each(store, store_compacted(store), span_str("a"), stop_at_event, &visited),
        0);
    assert_int_equal(visited, 1);
}

/* Of the versions that are not the present one. */
static void history_is_bounded_in_bytes(void **state)
{
    struct store *store = *state;
    struct store_op op = op_put("a", "", 0);
    uint8_t *value = mem_try(STORE_VALUE_BYTES_MAX);
    op.value = span_of(value, STORE_VALUE_BYTES_MAX);
    for (unsigned i = 0; i < 2 * STORE_HISTORY_BYTES_MAX / STORE_VALUE_BYTES_MAX; i++) {
        apply_ops(store, "", &op, 1);
    }
    assert_int_equal(store_revision(store) - store_compacted(store),
                     STORE_HISTORY_BYTES_MAX / (STORE_VALUE_BYTES_MAX + 1));
    mem_free(value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(repeat_gets_the_first_answer_and_changes_nothing),
        STORE_TEST(refusal_is_remembered_as_well),
        STORE_TEST(commands_without_client_are_applied_each_time),
        STORE_TEST(first_commands_may_come_in_any_order),
        STORE_TEST(sequence_below_the_floor_is_refused),
        STORE_TEST(copy_of_a_command_has_one_effect_whatever_comes_between),
        STORE_TEST(too_many_open_commands_of_one_client_are_refused),
        STORE_TEST(least_recently_used_session_goes_first),
        STORE_TEST(history_gives_events_from_a_revision_and_below_a_prefix),
        STORE_TEST(history_ends_when_the_visitor_says_so),
        STORE_TEST(history_is_bounded_and_drops_whole_revisions),
        STORE_TEST(history_is_bounded_in_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
