/* Watchers on a store without a group: each rule of etcd_watcher.h by itself. What comes of all of
 * them together: test_etcd_watcher_model.c. */
#include "watcher_ear.h"

#include <stdio.h>

static uv_loop_t loop;
static struct etcd_service service;
static struct ear ear;
static struct ear other;

static int setup(void **state)
{
    (void)state;
    assert_int_equal(uv_loop_init(&loop), 0);
    fake_service_open(&service, &loop); /* its revision is 2 */
    assert_int_equal(store_revision(service.store), 2);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    fake_service_close(&service);
    assert_int_equal(uv_loop_close(&loop), 0);
    return 0;
}

/* Until nothing is left to do. */
static void run(void)
{
    (void)uv_run(&loop, UV_RUN_DEFAULT);
}

static void a_watcher_from_now_hears_only_what_comes_after(void **state)
{
    (void)state;
    (void)fake_put(&service, "/a", "1");
    ear_open(&ear, &service, range_of("/a", ""), 0);
    run();
    assert_heard(&ear, "");
    assert_int_equal(etcd_watcher_next_revision(ear.watcher), 4);
    (void)fake_put(&service, "/a", "2");
    run();
    assert_heard(&ear, "4 put /a=2\n");
    (void)fake_delete(&service, "/a", "");
    run();
    assert_heard(&ear, "5 delete /a\n");
    ear_close(&ear);
}

static void from_now_is_the_moment_of_the_call_even_if_nobody_looked_yet(void **state)
{
    (void)state;
    ear_open(&ear, &service, range_of("/a", ""), 0);
    (void)fake_put(&service, "/a", "1");
    ear_open(&other, &service, range_of("/a", ""), 0);
    (void)fake_put(&service, "/a", "2");
    run();
    assert_heard(&ear, "3 put /a=1, 4 put /a=2\n");
    assert_heard(&other, "4 put /a=2\n");
    ear_close(&ear);
    ear_close(&other);
}

static void history_and_what_comes_join_without_a_gap(void **state)
{
    (void)state;
    (void)fake_put(&service, "/a", "1");
    (void)fake_put(&service, "/b", "1");
    (void)fake_put(&service, "/a", "2");
    ear_open(&ear, &service, range_of("/a", ""), 3);
    (void)fake_put(&service, "/a", "3");
    run();
    assert_heard(&ear, "3 put /a=1, 5 put /a=2, 6 put /a=3\n");
    (void)fake_put(&service, "/a", "4");
    run();
    assert_heard(&ear, "7 put /a=4\n");
    ear_close(&ear);
}

static void a_start_in_the_future_waits_for_it(void **state)
{
    (void)state;
    ear_open(&ear, &service, range_of("/a", ""), 5);
    run();
    (void)fake_put(&service, "/a", "1");
    run();
    (void)fake_put(&service, "/a", "2");
    run();
    assert_heard(&ear, "");
    assert_int_equal(etcd_watcher_next_revision(ear.watcher), 5);
    (void)fake_put(&service, "/a", "3");
    run();
    assert_heard(&ear, "5 put /a=3\n");
    ear_close(&ear);
}

static void one_transaction_is_one_call_in_the_order_of_its_operations(void **state)
{
    (void)state;
    const struct store_client_op ops[] = {
        {.type = STORE_CLIENT_PUT, .range = {.key = span_str("/b")}, .value = span_str("1")},
        {.type = STORE_CLIENT_PUT, .range = {.key = span_str("/a")}, .value = span_str("2")}};
    ear_open(&ear, &service, range_of("/", "0"), 0);
    (void)fake_txn(&service, ops, 2);
    run();
    assert_heard(&ear, "3 put /b=1, 3 put /a=2\n");
    ear_close(&ear);
}

static void filters_and_values_before_are_the_watchs_own(void **state)
{
    (void)state;
    struct store_watch watch = range_of("/a", "");
    watch.prev_kv = true;
    watch.no_put = true;
    ear_open(&ear, &service, watch, 0);
    watch.no_put = false;
    watch.no_delete = true;
    ear_open(&other, &service, watch, 0);
    (void)fake_put(&service, "/a", "1");
    (void)fake_put(&service, "/a", "2");
    (void)fake_delete(&service, "/a", "");
    run();
    assert_heard(&ear, "5 delete /a (was 2)\n");
    assert_heard(&other, "3 put /a=1, 4 put /a=2 (was 1)\n");
    ear_close(&ear);
    ear_close(&other);
}

static void only_the_range_is_heard_of_and_the_rest_counts_as_seen(void **state)
{
    (void)state;
    ear_open(&ear, &service, range_of("/b", "/d"), 0);
    (void)fake_put(&service, "/a", "1");
    (void)fake_put(&service, "/d", "1");
    run();
    assert_heard(&ear, "");
    assert_int_equal(etcd_watcher_next_revision(ear.watcher), 5);
    (void)fake_put(&service, "/cc", "1");
    (void)fake_delete(&service, "/", "0");
    run();
    assert_heard(&ear, "5 put /cc=1, 6 delete /cc\n");
    ear_close(&ear);
}

static void a_paused_one_hears_nothing_and_then_everything(void **state)
{
    (void)state;
    ear_open(&ear, &service, range_of("/a", ""), 0);
    etcd_watcher_pause(ear.watcher);
    (void)fake_put(&service, "/a", "1");
    run();
    (void)fake_put(&service, "/a", "2");
    run();
    assert_heard(&ear, "");
    assert_int_equal(etcd_watcher_next_revision(ear.watcher), 3);
    etcd_watcher_resume(ear.watcher);
    assert_heard(&ear, "");
    run();
    assert_heard(&ear, "3 put /a=1, 4 put /a=2\n");
    etcd_watcher_resume(ear.watcher);
    (void)fake_put(&service, "/a", "3");
    run();
    assert_heard(&ear, "5 put /a=3\n");
    ear_close(&ear);
}

static void it_may_be_paused_or_freed_from_inside(void **state)
{
    (void)state;
    ear_open(&ear, &service, range_of("/a", ""), 0);
    ear_open(&other, &service, range_of("/a", ""), 0);
    ear.pause_inside = true;
    other.free_inside = true;
    (void)fake_put(&service, "/a", "1");
    run();
    (void)fake_put(&service, "/a", "2");
    run();
    assert_heard(&ear, "3 put /a=1\n");
    assert_heard(&other, "3 put /a=1\n");
    assert_int_equal(etcd_watcher_count(&service), 1);
    etcd_watcher_resume(ear.watcher);
    ear.free_inside = true;
    run();
    assert_heard(&ear, "4 put /a=2\n");
    assert_int_equal(etcd_watcher_count(&service), 0);
    ear_close(&ear);
    ear_close(&other);
}

static void what_was_refused_comes_again_from_its_revision(void **state)
{
    (void)state;
    ear_open(&ear, &service, range_of("/a", ""), 0);
    (void)fake_put(&service, "/a", "1");
    (void)fake_put(&service, "/a", "2");
    run();
    assert_heard(&ear, "3 put /a=1, 4 put /a=2\n");
    etcd_watcher_rewind(ear.watcher, 4);
    assert_int_equal(etcd_watcher_next_revision(ear.watcher), 4);
    ear.last_revision = 0;
    run();
    assert_heard(&ear, "4 put /a=2\n");
    etcd_watcher_pause(ear.watcher);
    etcd_watcher_rewind(ear.watcher, 3);
    ear.last_revision = 0;
    run();
    assert_heard(&ear, "");
    etcd_watcher_resume(ear.watcher);
    run();
    assert_heard(&ear, "3 put /a=1, 4 put /a=2\n");
    ear_close(&ear);
}

static void compaction_below_the_next_revision_is_told_once(void **state)
{
    (void)state;
    ear_open(&ear, &service, range_of("/a", ""), 0);
    ear_open(&other, &service, range_of("/a", ""), 0);
    etcd_watcher_pause(ear.watcher);
    (void)fake_put(&service, "/a", "1");
    (void)fake_put(&service, "/b", "2");
    (void)fake_put(&service, "/a", "3");
    run();
    fake_compact(&service, 5);
    run();
    assert_heard(&ear, "");
    assert_heard(&other, "3 put /a=1, 5 put /a=3\n");
    etcd_watcher_resume(ear.watcher);
    run();
    assert_heard(&ear, "compacted up to 5\n");
    etcd_watcher_resume(ear.watcher);
    (void)fake_put(&service, "/a", "4");
    run();
    assert_heard(&ear, "");
    assert_heard(&other, "6 put /a=4\n");
    ear_close(&ear);
    ear_close(&other);
}

static void the_compact_revision_itself_is_still_given(void **state)
{
    (void)state;
    (void)fake_put(&service, "/a", "1");
    (void)fake_put(&service, "/a", "2");
    fake_compact(&service, 4);
    ear_open(&ear, &service, range_of("/a", ""), 4);
    ear_open(&other, &service, range_of("/a", ""), 3);
    run();
    assert_heard(&ear, "4 put /a=2\n");
    assert_heard(&other, "compacted up to 4\n");
    ear_close(&other);
    ear_open(&other, &service, range_of("/a", ""), -7);
    run();
    assert_heard(&other, "compacted up to 4\n");
    ear_close(&ear);
    ear_close(&other);
}

static void another_store_in_its_place_loses_nothing(void **state)
{
    (void)state;
    static struct etcd_service leader;
    fake_service_open(&leader, &loop);
    ear_open(&ear, &service, range_of("/a", ""), 0);
    (void)fake_put(&service, "/a", "1");
    (void)fake_put(&leader, "/a", "1");
    run();
    (void)fake_put(&leader, "/b", "1");
    (void)fake_put(&leader, "/a", "2");
    (void)fake_put(&leader, "/a", "3");
    fake_restore(&service, &leader);
    run();
    assert_heard(&ear, "3 put /a=1\n5 put /a=2, 6 put /a=3\n");
    ear_close(&ear);
    fake_service_close(&leader);
}

static void one_whose_window_begins_later_is_a_compaction(void **state)
{
    (void)state;
    static struct etcd_service leader;
    fake_service_open(&leader, &loop);
    ear_open(&ear, &service, range_of("/a", ""), 0);
    ear_open(&other, &service, range_of("/a", ""), 6);
    (void)fake_put(&leader, "/b", "1");
    (void)fake_put(&leader, "/b", "2");
    (void)fake_put(&leader, "/b", "3");
    fake_compact(&leader, 5);
    fake_restore(&service, &leader);
    run();
    assert_heard(&ear, "compacted up to 5\n");
    (void)fake_put(&service, "/a", "1");
    run();
    assert_heard(&other, "6 put /a=1\n");
    ear_close(&ear);
    ear_close(&other);
    fake_service_close(&leader);
}

static void revisions_that_went_back_are_a_compaction(void **state)
{
    (void)state;
    static struct etcd_service fresh;
    static struct ear future;
    fake_service_open(&fresh, &loop);
    ear_open(&ear, &service, range_of("/a", ""), 0);
    ear_open(&other, &service, range_of("/a", ""), 0);
    ear_open(&future, &service, range_of("/a", ""), 9);
    (void)fake_put(&service, "/a", "1");
    (void)fake_put(&service, "/b", "1");
    run();
    etcd_watcher_pause(other.watcher);
    (void)fake_put(&fresh, "/b", "1");
    fake_restore(&service, &fresh);
    run();
    assert_heard(&ear, "3 put /a=1\ncompacted up to 2\n");
    assert_heard(&other, "3 put /a=1\n");
    for (int i = 0; i < 6; i++) {
        (void)fake_put(&service, "/a", "2");
        run();
    }
    assert_heard(&ear, "");
    assert_heard(&future, "9 put /a=2\n");
    etcd_watcher_resume(other.watcher);
    run();
    assert_heard(&other, "compacted up to 2\n");
    ear_close(&ear);
    ear_close(&other);
    ear_close(&future);
    fake_service_close(&fresh);
}

static void before_there_is_a_store_everybody_waits(void **state)
{
    (void)state;
    static struct ear old;
    (void)fake_put(&service, "/a", "1");
    service.is_ready = false;
    ear_open(&ear, &service, range_of("/a", ""), 0);
    ear_open(&old, &service, range_of("/a", ""), 3);
    ear_open(&other, &service, range_of("/a", ""), 0);
    etcd_watcher_pause(other.watcher);
    run();
    service.is_ready = true;
    etcd_service_on_change(&service);
    run();
    assert_heard(&ear, "");
    assert_heard(&old, "3 put /a=1\n");
    (void)fake_put(&service, "/a", "2");
    run();
    etcd_watcher_resume(other.watcher);
    run();
    assert_heard(&ear, "4 put /a=2\n");
    assert_heard(&old, "4 put /a=2\n");
    assert_heard(&other, "4 put /a=2\n");
    ear_close(&ear);
    ear_close(&old);
    ear_close(&other);
}

static void a_long_history_comes_in_portions_while_others_are_served(void **state)
{
    (void)state;
    enum { PUTS = 3500 };
    for (int i = 0; i < PUTS; i++) {
        (void)fake_put(&service, "/a", "1");
    }
    ear_open(&ear, &service, range_of("/a", ""), 3);
    ear_open(&other, &service, range_of("/b", ""), 3 + PUTS - 1);
    (void)fake_put(&service, "/b", "1");
    size_t calls_before_other = 0;
    while (other.calls == 0) {
        (void)uv_run(&loop, UV_RUN_NOWAIT);
        calls_before_other = ear.calls;
    }
    assert_in_range(calls_before_other, 0, 4);
    run();
    assert_int_equal(ear.events, PUTS);
    assert_int_equal(ear.calls, 4);
    assert_heard(&other, "3503 put /b=1\n");
    ear_close(&ear);
    ear_close(&other);
}

static void large_values_come_in_portions_of_bytes(void **state)
{
    (void)state;
    enum { PUTS = 20, BYTES = 100 * 1024 };
    static char value[BYTES + 1];
    memset(value, 'v', BYTES);
    for (int i = 0; i < PUTS; i++) {
        (void)fake_put(&service, "/a", value);
    }
    ear_open(&ear, &service, range_of("/a", ""), 3);
    run();
    assert_int_equal(ear.events, PUTS);
    assert_int_equal(ear.calls, (PUTS + 2) / 3); /* of 256 KiB and what passes them */
    ear_close(&ear);
}

static void a_revision_of_very_many_keys_is_given_whole(void **state)
{
    (void)state;
    enum { KEYS = 20000, AT_ONCE = 100 };
    static char names[AT_ONCE][16];
    struct store_client_op ops[AT_ONCE];
    memset(ops, 0, sizeof ops);
    ear_open(&ear, &service, range_of("/", "0"), 0);
    ear_open(&other, &service, range_of("/19999", ""), 0);
    for (int i = 0; i < KEYS; i++) {
        (void)snprintf(names[i % AT_ONCE], sizeof names[0], "/%05d", i);
        ops[i % AT_ONCE].type = STORE_CLIENT_PUT;
        ops[i % AT_ONCE].range.key = span_str(names[i % AT_ONCE]);
        if (i % AT_ONCE == AT_ONCE - 1) {
            (void)fake_txn(&service, ops, AT_ONCE);
            (void)uv_run(&loop, UV_RUN_NOWAIT);
        }
    }
    run();
    assert_int_equal(ear.events, KEYS);
    ear.calls = 0;
    buf_clear(&other.heard);
    (void)fake_delete(&service, "/", "0");
    run();
    assert_int_equal(ear.events, 2 * KEYS);
    assert_int_equal(ear.calls, 1);
    assert_heard(&other, "203 delete /19999\n");
    ear_close(&ear);
    ear_close(&other);
}

static void a_thousand_that_were_woken_by_one_put_all_hear_it(void **state)
{
    (void)state;
    enum { WATCHERS = 1000 };
    static struct ear ears[WATCHERS];
    for (size_t i = 0; i < WATCHERS; i++) {
        struct store_watch watch = range_of("/a", i % 2 == 0 ? "" : "/b");
        watch.prev_kv = i % 3 == 0;
        ear_open(&ears[i], &service, watch, 0);
    }
    (void)fake_put(&service, "/a", "1");
    (void)fake_put(&service, "/a", "2");
    run();
    for (size_t i = 0; i < WATCHERS; i++) {
        assert_heard(&ears[i],
                     i % 3 == 0 ? "3 put /a=1, 4 put /a=2 (was 1)\n" : "3 put /a=1, 4 put /a=2\n");
        ear_close(&ears[i]);
    }
}

int main(void)
{
#define WATCHER_TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
    const struct CMUnitTest tests[] = {
        WATCHER_TEST(a_watcher_from_now_hears_only_what_comes_after),
        WATCHER_TEST(from_now_is_the_moment_of_the_call_even_if_nobody_looked_yet),
        WATCHER_TEST(history_and_what_comes_join_without_a_gap),
        WATCHER_TEST(a_start_in_the_future_waits_for_it),
        WATCHER_TEST(one_transaction_is_one_call_in_the_order_of_its_operations),
        WATCHER_TEST(filters_and_values_before_are_the_watchs_own),
        WATCHER_TEST(only_the_range_is_heard_of_and_the_rest_counts_as_seen),
        WATCHER_TEST(a_paused_one_hears_nothing_and_then_everything),
        WATCHER_TEST(it_may_be_paused_or_freed_from_inside),
        WATCHER_TEST(what_was_refused_comes_again_from_its_revision),
        WATCHER_TEST(compaction_below_the_next_revision_is_told_once),
        WATCHER_TEST(the_compact_revision_itself_is_still_given),
        WATCHER_TEST(another_store_in_its_place_loses_nothing),
        WATCHER_TEST(one_whose_window_begins_later_is_a_compaction),
        WATCHER_TEST(revisions_that_went_back_are_a_compaction),
        WATCHER_TEST(before_there_is_a_store_everybody_waits),
        WATCHER_TEST(a_long_history_comes_in_portions_while_others_are_served),
        WATCHER_TEST(large_values_come_in_portions_of_bytes),
        WATCHER_TEST(a_revision_of_very_many_keys_is_given_whole),
        WATCHER_TEST(a_thousand_that_were_woken_by_one_put_all_hear_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
