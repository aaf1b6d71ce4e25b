/* Range over many keys: a bounded number of them is looked at in each turn of the loop, and all are
 * of one revision, whatever is written, or compacted, in between. */
#include "call_fixture.h"

#include "raft/etcd/etcd_range.h"

enum { KEYS = 24000, A_COMMAND = 120 };

#define EVERYTHING "\"key\":\"AA==\",\"range_end\":\"AA==\""

static struct recorded large;

static bool has_left(struct rig *of, void *arg)
{
    (void)of;
    (void)arg;
    return etcd_ranges_stats(served[0].service).waiting == 0;
}

static void put_many(unsigned from)
{
    static char keys[A_COMMAND][16];
    static struct store_client_op ops[A_COMMAND];
    struct store_client_txn txn = {.success = ops, .success_count = A_COMMAND};
    struct store_command command = {.type = STORE_CLIENT_TXN, .client_txn = &txn};
    struct outcome outcome = {0};
    for (unsigned i = 0; i < A_COMMAND; i++) {
        (void)snprintf(keys[i], sizeof keys[i], "k%06u", from + i);
        ops[i] = (struct store_client_op){.type = STORE_CLIENT_PUT,
                                          .range = {.key = span_str(keys[i])},
                                          .value = span_str("old")};
    }
    etcd_service_propose(served[0].service, &command, on_outcome, &outcome);
    await_outcome(&outcome);
    assert_int_equal(outcome.code, 0);
}

static int open_full(void **state)
{
    (void)state;
    serve_all(1);
    for (unsigned i = 0; i < KEYS; i += A_COMMAND) {
        put_many(i);
    }
    return 0;
}

static int close_members(void **state)
{
    (void)state;
    stop_all();
    buf_free(&large.replies);
    return 0;
}

/* Asks, and turns the loop until it is in the line. */
static void ask_large(struct recorded *recorded, const char *json)
{
    call_open(0, "/kv/range", recorded);
    call_send(recorded, json);
    while (etcd_ranges_stats(served[0].service).waiting == 0) {
        assert_false(recorded->finished);
        (void)uv_run(&rig.loop, UV_RUN_ONCE);
    }
}

/* KEYS were found as they were at `revision`. */
static void check_large(struct recorded *recorded, int64_t revision)
{
    static const char mod[] = "\"mod_revision\":\"";
    char count_text[64];
    wait_for(&rig, is_finished, recorded, 10000, "the large answer");
    assert_int_equal(recorded->code, GRPC_OK);
    (void)snprintf(count_text, sizeof count_text, "\"count\":\"%u\"}", (unsigned)KEYS);
    const char *text = buf_str(&recorded->replies);
    assert_non_null(strstr(text, count_text));
    size_t found = 0;
    for (const char *at = text; *at != '\0'; at++) {
        if (strncmp(at, mod, sizeof mod - 1) == 0) {
            assert_in_range(strtoll(at + sizeof mod - 1, NULL, 10), 1, revision);
            found++;
        }
    }
    assert_int_equal(found, KEYS);
    call_close(recorded);
}

static void a_turn_is_bounded_and_all_is_of_one_revision(void **state)
{
    (void)state;
    struct outcome outcome = {0};
    unsigned turns = 0;
    ask_large(&large, "{" EVERYTHING ",\"sort_target\":\"MOD\",\"sort_order\":\"DESCEND\"}");
    (void)uv_run(&rig.loop, UV_RUN_ONCE);
    int64_t revision = store_revision(etcd_service_store(served[0].service));
    ask_put(0, "k000000", "new", &outcome);
    await_outcome(&outcome); /* while the large one goes on */
    ask_put(0, "k023999", "new", &outcome);
    while (etcd_ranges_stats(served[0].service).waiting > 0) {
        assert_in_range(etcd_ranges_stats(served[0].service).turn_keys, 0, ETCD_RANGE_TURN_KEYS);
        (void)uv_run(&rig.loop, UV_RUN_ONCE);
        turns++;
    }
    await_outcome(&outcome);
    assert_true(turns > 2 * KEYS / ETCD_RANGE_TURN_KEYS);
    check_large(&large, revision);
}

static void a_small_one_does_not_wait_for_a_large_one(void **state)
{
    (void)state;
    static struct recorded small;
    ask_large(&large, "{" EVERYTHING "}");
    call_open(0, "/kv/range", &small);
    call_send(&small, "{\"key\":\"azAwMDAwMQ==\",\"serializable\":true}");
    assert_true(small.finished);
    assert_false(large.finished);
    call_close(&small);
    buf_free(&small.replies);
    check_large(&large, INT64_MAX);
}

/* It is compacted after each turn: the old revision is gone, and the read comes to its end all the
 * same. */
static void compaction_does_not_keep_it_from_its_end(void **state)
{
    (void)state;
    struct outcome outcome = {0};
    unsigned compactions = 0;
    ask_large(&large, "{" EVERYTHING "}");
    while (!large.finished) {
        ask_put(0, "k000001", "again", &outcome);
        await_outcome(&outcome);
        struct store_command compact = {.type = STORE_COMPACT,
                                        .number = (uint64_t)outcome.revision};
        outcome = (struct outcome){0};
        etcd_service_propose(served[0].service, &compact, on_outcome, &outcome);
        await_outcome(&outcome);
        compactions++;
    }
    assert_true(compactions > 1);
    check_large(&large, INT64_MAX);
}

static void a_full_line_takes_no_more(void **state)
{
    (void)state;
    static struct recorded calls[ETCD_RANGES_MAX + 1];
    size_t refused = 0;
    for (size_t i = 0; i < ETCD_RANGES_MAX + 1; i++) {
        call_open(0, "/kv/range", &calls[i]);
        call_send(&calls[i], "{" EVERYTHING ",\"serializable\":true}");
    }
    assert_int_equal(etcd_ranges_stats(served[0].service).waiting, ETCD_RANGES_MAX);
    assert_string_equal(calls[ETCD_RANGES_MAX].text, etcd_error_text(ETCD_ERROR_TOO_MANY_REQUESTS));
    for (size_t i = 0; i < ETCD_RANGES_MAX + 1; i++) {
        refused += calls[i].finished;
        call_close(&calls[i]); /* the client goes */
    }
    assert_int_equal(refused, 1);
    wait_for(&rig, has_left, NULL, 5000, "those who have gone leave the line");
}

static void a_stop_ends_who_waits(void **state)
{
    (void)state;
    ask_large(&large, "{" EVERYTHING "}");
    serve_stop(0);
    assert_true(large.finished);
    assert_string_equal(large.text, etcd_error_text(ETCD_ERROR_STOPPED));
    call_close(&large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_turn_is_bounded_and_all_is_of_one_revision),
        cmocka_unit_test(a_small_one_does_not_wait_for_a_large_one),
        cmocka_unit_test(compaction_does_not_keep_it_from_its_end),
        cmocka_unit_test(a_full_line_takes_no_more),
        cmocka_unit_test(a_stop_ends_who_waits),
    };
    return cmocka_run_group_tests(tests, open_full, close_members);
}
