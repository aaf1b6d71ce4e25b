/* Watch.Watch on a store without a group and a carrier without a network; what stands here in JSON
 * is what etcd 3.4.23 answers, but for the rest of its header. */
#include "fake_call.h"
#include "fake_service.h"
#include "raft/etcd/etcd_watcher.h"

#include <stdio.h>

#define KEY_A "L2E=" /* "/a" */
#define KEY_B "L2I="

static uv_loop_t loop;
static struct etcd_service service;
static struct fake_call call;
static int64_t skipped_ms; /* of the clock */

static int64_t skipping_mono_ms(void *arg)
{
    (void)arg;
    return clock_mono_ms(clock_real()) + skipped_ms;
}

static const struct clock skipping_clock = {.mono_ms = skipping_mono_ms};

static int setup(void **state)
{
    (void)state;
    skipped_ms = 0;
    assert_int_equal(uv_loop_init(&loop), 0);
    fake_service_open(&service, &loop);
    service.config.clock = &skipping_clock;
    fake_call_open(&call, &service);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fake_call_close(&call);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    fake_service_close(&service);
    assert_int_equal(uv_loop_close(&loop), 0);
    return 0;
}

static void on_time(uv_timer_t *timer)
{
    *(bool *)timer->data = true;
}

/* As long as there is something to do, or for so many ms. */
static void run_ms(uint64_t ms)
{
    bool is_over = false;
    uv_timer_t timer;
    assert_int_equal(uv_timer_init(&loop, &timer), 0);
    timer.data = &is_over;
    assert_int_equal(uv_timer_start(&timer, on_time, ms, 0), 0);
    while (!is_over) {
        (void)uv_run(&loop, UV_RUN_ONCE);
    }
    uv_close((uv_handle_t *)&timer, NULL);
    (void)uv_run(&loop, UV_RUN_NOWAIT);
}

/* Until so many replies came; fails after 10 s. */
static void run_until(const struct fake_call *fake, size_t replies)
{
    for (int i = 0; i < 1000 && fake->replies < replies; i++) {
        run_ms(10);
    }
    assert_int_equal(fake->replies, replies);
}

static void run(void)
{
    for (int i = 0; i < 20; i++) {
        (void)uv_run(&loop, UV_RUN_NOWAIT);
    }
}

/* --- watches of a stream ---------------------------------------------------------------------- */

static void ids_are_chosen_by_the_client_or_counted_from_0(void **state)
{
    (void)state;
    fake_call_say(&call, "{\"create_request\":{\"key\":\"" KEY_A "\"}}");
    fake_call_say(&call, "{\"create_request\":{\"key\":\"" KEY_A "\",\"watch_id\":1}}");
    fake_call_say(&call, "{\"create_request\":{\"key\":\"" KEY_A "\",\"watch_id\":-5}}");
    fake_call_say(&call, "{\"create_request\":{\"key\":\"" KEY_B "\"}}");
    assert_told(&call, "{\"header\":{\"revision\":\"2\"},\"created\":true}\n"
                       "{\"header\":{\"revision\":\"2\"},\"watch_id\":\"1\",\"created\":true}\n"
                       "{\"header\":{\"revision\":\"2\"},\"watch_id\":\"-5\",\"created\":true}\n"
                       "{\"header\":{\"revision\":\"2\"},\"watch_id\":\"2\",\"created\":true}\n");
    (void)fake_put(&service, "/b", "x");
    run();
    assert_told(&call,
                "{\"header\":{\"revision\":\"3\"},\"watch_id\":\"2\",\"events\":[{\"kv\":{\"key\":"
                "\"L2I=\",\"create_revision\":\"3\",\"mod_revision\":\"3\",\"version\":\"1\","
                "\"value\":\"eA==\"}}]}\n");
}

static void an_id_that_is_in_use_is_refused(void **state)
{
    (void)state;
    fake_call_say(&call, "{\"create_request\":{\"key\":\"" KEY_A "\",\"watch_id\":7}}");
    fake_call_say(&call, "{\"create_request\":{\"key\":\"" KEY_B "\",\"watch_id\":7}}");
    assert_told(&call, "{\"header\":{\"revision\":\"2\"},\"watch_id\":\"7\",\"created\":true}\n"
                       "{\"header\":{\"revision\":\"2\"},\"watch_id\":\"-1\",\"created\":true,"
                       "\"canceled\":true,\"cancel_reason\":\"mvcc: duplicate watch ID provided on "
                       "the WatchStream\"}\n");
    (void)fake_put(&service, "/b", "x");
    run();
    assert_told(&call, "");
}

static void a_range_without_keys_is_refused(void **state)
{
    (void)state;
    fake_call_say(&call,
                  "{\"create_request\":{\"key\":\"" KEY_B "\",\"range_end\":\"" KEY_A "\"}}");
    assert_told(&call, "{\"header\":{\"revision\":\"2\"},\"watch_id\":\"-1\",\"created\":true,"
                       "\"canceled\":true,\"cancel_reason\":\"mvcc: watcher range is empty\"}\n");
}

static void an_empty_key_is_the_lowest_and_an_end_of_zero_is_open(void **state)
{
    (void)state;
    fake_call_say(&call, "{\"create_request\":{\"range_end\":\"AA==\"}}");
    fake_call_say(&call, "{\"create_request\":{}}");
    buf_clear(&call.heard);
    (void)fake_put(&service, "a", "");
    run();
    assert_told(&call, "{\"header\":{\"revision\":\"3\"},\"events\":[{\"kv\":{\"key\":\"YQ==\","
                       "\"create_revision\":\"3\",\"mod_revision\":\"3\",\"version\":\"1\"}}]}\n");
}

static void bounds_longer_than_any_key_mean_what_they_say(void **state)
{
    (void)state;
    /* "aaaa..." of 3,000 bytes: below "b", above every key of the store that begins so */
    static char json[8192];
    static char longest[1025];
    int at = snprintf(json, sizeof json, "{\"create_request\":{\"key\":\"");
    for (int i = 0; i < 1000; i++) {
        at += snprintf(json + at, sizeof json - (size_t)at, "YWFh");
    }
    (void)snprintf(json + at, sizeof json - (size_t)at, "\",\"range_end\":\"Yw==\"}}");
    fake_call_say(&call, json);
    buf_clear(&call.heard);
    memset(longest, 'a', sizeof longest - 1);
    (void)fake_put(&service, longest, "x");
    run();
    assert_told(&call, "");
    (void)fake_put(&service, "b", "");
    run();
    assert_told(&call, "{\"header\":{\"revision\":\"4\"},\"events\":[{\"kv\":{\"key\":\"Yg==\","
                       "\"create_revision\":\"4\",\"mod_revision\":\"4\",\"version\":\"1\"}}]}\n");
}

static void filters_and_values_before(void **state)
{
    (void)state;
    (void)fake_put(&service, "/a", "x");
    fake_call_say(&call, "{\"create_request\":{\"key\":\"" KEY_A
                         "\",\"filters\":[\"NOPUT\"],\"prev_kv\":true}}");
    fake_call_say(&call, "{\"create_request\":{\"key\":\"" KEY_A "\",\"filters\":[\"NODELETE\"]}}");
    buf_clear(&call.heard);
    (void)fake_put(&service, "/a", "y");
    (void)fake_delete(&service, "/a", "");
    run();
    assert_told(
        &call,
        "{\"header\":{\"revision\":\"5\"},\"events\":[{\"type\":\"DELETE\",\"kv\":{\"key\":"
        "\"L2E=\",\"mod_revision\":\"5\"},\"prev_kv\":{\"key\":\"L2E=\",\"create_revision\":\"3\","
        "\"mod_revision\":\"4\",\"version\":\"2\",\"value\":\"eQ==\"}}]}\n"
        "{\"header\":{\"revision\":\"5\"},\"watch_id\":\"1\",\"events\":[{\"kv\":{\"key\":\"L2E=\","
        "\"create_revision\":\"3\",\"mod_revision\":\"4\",\"version\":\"2\",\"value\":\"eQ==\"}}]}"
        "\n");
}

static void a_cancelled_watch_hears_no_more_and_its_id_is_free(void **state)
{
    (void)state;
    fake_call_say(&call, "{\"create_request\":{\"key\":\"" KEY_A "\",\"watch_id\":3}}");
    buf_clear(&call.heard);
    (void)fake_put(&service, "/a", "x");
    fake_call_say(&call, "{\"cancel_request\":{\"watch_id\":3}}");
    fake_call_say(&call, "{\"cancel_request\":{\"watch_id\":3}}");
    fake_call_say(&call, "{\"cancel_request\":{\"watch_id\":99}}");
    run();
    assert_told(&call, "{\"header\":{\"revision\":\"3\"},\"watch_id\":\"3\",\"canceled\":true}\n");
    fake_call_say(&call, "{\"create_request\":{\"key\":\"" KEY_A "\",\"watch_id\":3}}");
    assert_told(&call, "{\"header\":{\"revision\":\"3\"},\"watch_id\":\"3\",\"created\":true}\n");
}

static void history_begins_at_the_revision_asked_for(void **state)
{
    (void)state;
    (void)fake_put(&service, "/a", "x");
    (void)fake_put(&service, "/a", "y");
    fake_call_say(&call, "{\"create_request\":{\"key\":\"" KEY_A "\",\"start_revision\":\"4\"}}");
    run();
    assert_told(&call,
                "{\"header\":{\"revision\":\"4\"},\"created\":true}\n"
                "{\"header\":{\"revision\":\"4\"},\"events\":[{\"kv\":{\"key\":\"L2E=\","
                "\"create_revision\":\"3\",\"mod_revision\":\"4\",\"version\":\"2\",\"value\":"
                "\"eQ==\"}}]}\n");
}

static void a_compacted_start_is_created_and_cancelled(void **state)
{
    (void)state;
    (void)fake_put(&service, "/a", "x");
    (void)fake_put(&service, "/a", "y");
    fake_compact(&service, 4);
    fake_call_say(&call, "{\"create_request\":{\"key\":\"" KEY_A
                         "\",\"start_revision\":\"3\",\"watch_id\":5}}");
    run();
    assert_told(&call, "{\"header\":{\"revision\":\"4\"},\"watch_id\":\"5\",\"created\":true}\n"
                       "{\"header\":{},\"watch_id\":\"5\",\"canceled\":true,"
                       "\"compact_revision\":\"4\"}\n");
    assert_int_equal(etcd_watcher_count(&service), 0);
    fake_call_say(&call, "{\"create_request\":{\"key\":\"" KEY_A "\",\"watch_id\":5}}");
    fake_call_say(&call, "{\"progress_request\":{}}");
    fake_call_say(&call, "{\"cancel_request\":{\"watch_id\":5}}");
    assert_told(&call, "{\"header\":{\"revision\":\"4\"},\"watch_id\":\"-1\",\"created\":true,"
                       "\"canceled\":true,\"cancel_reason\":\"mvcc: duplicate watch ID provided on "
                       "the WatchStream\"}\n"
                       "{\"header\":{\"revision\":\"4\"},\"watch_id\":\"-1\"}\n"
                       "{\"header\":{\"revision\":\"4\"},\"watch_id\":\"5\",\"canceled\":true}\n");
}

static void what_is_no_request_gets_nothing_and_its_end_ends_nothing(void **state)
{
    (void)state;
    fake_call_say(&call, "{}");
    fake_call_say(&call, "{\"create_request\":{\"key\":\"" KEY_A "\"}}");
    etcd_watch_on_end(&call.call);
    run();
    assert_told(&call, "{\"header\":{\"revision\":\"2\"},\"created\":true}\n");
    (void)fake_put(&service, "/a", "");
    run();
    assert_int_equal(call.replies, 2);
    assert_false(call.has_ended);
}

static void nothing_but_an_end_is_no_stream(void **state)
{
    (void)state;
    etcd_watch_on_end(&call.call);
    run();
    assert_null(call.call.arg);
    assert_false(call.has_ended);
}

/* --- progress --------------------------------------------------------------------------------- */

static void progress_is_told_for_all_watches_at_once(void **state)
{
    (void)state;
    fake_call_say(&call, "{\"progress_request\":{}}");
    fake_call_say(&call, "{\"create_request\":{\"key\":\"" KEY_A "\"}}");
    fake_call_say(&call, "{\"create_request\":{\"key\":\"" KEY_B "\",\"start_revision\":100}}");
    buf_clear(&call.heard);
    (void)fake_put(&service, "/c", "x");
    run();
    fake_call_say(&call, "{\"progress_request\":{}}");
    assert_told(&call, "{\"header\":{\"revision\":\"3\"},\"watch_id\":\"-1\"}\n");
}

static void progress_waits_for_events_that_are_not_delivered(void **state)
{
    (void)state;
    (void)fake_put(&service, "/a", "x");
    fake_call_say(&call, "{\"create_request\":{\"key\":\"" KEY_A "\",\"start_revision\":3}}");
    fake_call_say(&call, "{\"progress_request\":{}}");
    fake_call_say(&call, "{\"progress_request\":{}}");
    assert_told(&call, "{\"header\":{\"revision\":\"3\"},\"created\":true}\n");
    run_ms(30);
    assert_told(&call, "{\"header\":{\"revision\":\"3\"},\"events\":[{\"kv\":{\"key\":\"L2E=\","
                       "\"create_revision\":\"3\",\"mod_revision\":\"3\",\"version\":\"1\","
                       "\"value\":\"eA==\"}}]}\n"
                       "{\"header\":{\"revision\":\"3\"},\"watch_id\":\"-1\"}\n");
}

static void progress_is_told_by_itself_within_10_minutes(void **state)
{
    (void)state;
    fake_call_say(&call, "{\"create_request\":{\"key\":\"" KEY_A "\",\"progress_notify\":true}}");
    fake_call_say(&call, "{\"create_request\":{\"key\":\"" KEY_A "\"}}");
    buf_clear(&call.heard);
    (void)fake_put(&service, "/c", "x");
    skipped_ms = 9 * 60 * 1000;
    run_ms(120);
    assert_told(&call, "");
    skipped_ms = 10 * 60 * 1000 - 120;
    run_ms(120);
    assert_told(&call, "{\"header\":{\"revision\":\"3\"}}\n");
    run_ms(120);
    assert_told(&call, "");
    skipped_ms += 5 * 60 * 1000;
    (void)fake_put(&service, "/a", "x");
    run_ms(120);
    buf_clear(&call.heard);
    skipped_ms += 6 * 60 * 1000; /* 11 after the notice, 6 after the event */
    run_ms(120);
    assert_told(&call, "");
    skipped_ms += 4 * 60 * 1000;
    run_ms(120);
    assert_told(&call, "{\"header\":{\"revision\":\"4\"}}\n");
}

/* --- leaders ---------------------------------------------------------------------------------- */

static void who_wants_a_leader_is_refused_without_one(void **state)
{
    (void)state;
    call.call.wants_leader = true;
    service.has_leader = false;
    fake_call_say(&call, "{\"create_request\":{\"key\":\"" KEY_A "\"}}");
    assert_true(call.has_ended);
    assert_int_equal(call.code, GRPC_UNAVAILABLE);
    assert_string_equal(call.text, "etcdserver: no leader");
}

static void who_wants_a_leader_ends_after_three_timeouts_without(void **state)
{
    (void)state;
    call.call.wants_leader = true;
    fake_call_say(&call, "{\"create_request\":{\"key\":\"" KEY_A "\"}}");
    service.has_leader = false;
    run_ms(80); /* of 50 a timeout */
    service.has_leader = true;
    run_ms(100);
    service.has_leader = false;
    run_ms(80);
    assert_false(call.has_ended);
    run_ms(150);
    assert_true(call.has_ended);
    assert_int_equal(call.code, GRPC_UNAVAILABLE);
    assert_string_equal(call.text, "etcdserver: no leader");
    assert_int_equal(call.replies, 1);
    (void)fake_put(&service, "/a", "x");
    run_ms(80);
    assert_int_equal(call.replies, 1);
}

static void who_does_not_just_sits_there(void **state)
{
    (void)state;
    service.has_leader = false;
    fake_call_say(&call, "{\"create_request\":{\"key\":\"" KEY_A "\"}}");
    run_ms(300);
    assert_false(call.has_ended);
    (void)fake_put(&service, "/a", "x");
    run();
    assert_int_equal(call.replies, 2);
}

static void a_member_without_a_store_refuses(void **state)
{
    (void)state;
    service.is_ready = false;
    fake_call_say(&call, "{\"create_request\":{\"key\":\"" KEY_A "\"}}");
    assert_int_equal(call.code, GRPC_UNAVAILABLE);
    assert_string_equal(call.text, "etcdserver: no leader");
    fake_call_say(&call, "{\"create_request\":{\"key\":\"" KEY_A "\"}}");
    assert_int_equal(call.replies, 0);
}

/* --- much, and slow clients ------------------------------------------------------------------- */

static char mebibyte[1024 * 1024 + 1];

static void put_large_txn(size_t count)
{
    static const char *const keys[] = {"/a1", "/a2", "/a3"};
    struct store_client_op ops[3];
    memset(ops, 0, sizeof ops);
    memset(mebibyte, 'm', sizeof mebibyte - 1);
    for (size_t i = 0; i < count; i++) {
        ops[i].type = STORE_CLIENT_PUT;
        ops[i].range.key = span_str(keys[i]);
        ops[i].value = span_of(mebibyte, 600 * 1024);
    }
    (void)fake_txn(&service, ops, count);
}

static size_t count_of(const char *text, const char *words)
{
    size_t count = 0;
    for (const char *at = strstr(text, words); at != NULL; at = strstr(at + 1, words)) {
        count++;
    }
    return count;
}

/* One message of it would be more than any carrier queues: it would never arrive. */
static void a_revision_too_large_for_one_message_comes_in_parts(void **state)
{
    (void)state;
    enum { KEYS = 2000, KEY_BYTES = 1000 };
    char key[KEY_BYTES + 1];
    const struct store_client_op all = {
        .type = STORE_CLIENT_DELETE, .range = {.key = span_str("/a"), .range_end = span_str("/b")}};
    for (int i = 0; i < KEYS; i++) {
        (void)snprintf(key, sizeof key, "/a%0*d", KEY_BYTES - 2, i);
        (void)fake_put(&service, key, key);
    }
    fake_call_say(&call, "{\"create_request\":{\"key\":\"" KEY_A "\",\"range_end\":\"L2I=\","
                         "\"prev_kv\":true}}");
    run();
    (void)fake_txn(&service, &all, 1);
    (void)fake_put(&service, "/a", "");
    call.reads = false;
    size_t parts = 0;
    for (size_t before = 0; before < call.replies;) {
        before = call.replies;
        call.pending = 0; /* the client takes what is there */
        run_ms(50);
        parts += call.replies > before;
        assert_true(call.pending < ETCD_WATCH_MESSAGE_BYTES + ETCD_WATCH_PENDING_BYTES);
    }
    assert_true(parts >= 2);
    assert_in_range(call.largest, 1, ETCD_WATCH_MESSAGE_BYTES);
    const char *text = buf_str(&call.heard);
    assert_int_equal(count_of(text, "\"prev_kv\":{"), KEYS); /* each once */
    assert_int_equal(count_of(text, "\"fragment\":true"), call.replies - 3);
    assert_false(call.has_ended);
}

static void one_revision_is_one_message_unless_fragments_are_asked_for(void **state)
{
    (void)state;
    static struct fake_call fragmented;
    const char *ends = "\"range_end\":\"L2I=\"";
    char json[256];
    fake_call_open(&fragmented, &service);
    (void)snprintf(json, sizeof json, "{\"create_request\":{\"key\":\"" KEY_A "\",%s}}", ends);
    fake_call_say(&call, json);
    (void)snprintf(json, sizeof json,
                   "{\"create_request\":{\"key\":\"" KEY_A "\",%s,\"prev_kv\":true,"
                   "\"fragment\":true}}",
                   ends);
    fake_call_say(&fragmented, json);
    call.is_quiet = true;
    put_large_txn(3);
    run();
    assert_int_equal(call.replies, 2);
    assert_in_range(call.largest, 3 * 600 * 1024, 3 * 600 * 1024 + 300);
    assert_int_equal(fragmented.replies, 2); /* not above 2 MiB */
    buf_clear(&fragmented.heard);
    fragmented.largest = 0;
    put_large_txn(3);
    run();
    assert_int_equal(fragmented.replies, 5); /* 1,200 KiB with the value before */
    assert_in_range(fragmented.largest, 1200 * 1024, ETCD_WATCH_FRAGMENT_BYTES);
    const char *text = buf_str(&fragmented.heard);
    const char *first = strstr(text, "\"fragment\":true");
    assert_non_null(first);
    const char *second = strstr(first + 1, "\"fragment\":true");
    assert_non_null(second);
    assert_null(strstr(second + 1, "\"fragment\":true"));
    assert_null(strstr(strchr(second, '\n'), "fragment"));
    fake_call_close(&fragmented);
}

/* The carrier (fake_call.h) looks whether it is what each would have got alone. */
static void who_watches_the_same_gets_what_was_made_once(void **state)
{
    (void)state;
    static struct fake_call others[3]; /* the same twice; with the values before */
    fake_call_say(&call, "{\"create_request\":{\"key\":\"" KEY_A "\"}}");
    for (size_t i = 0; i < 3; i++) {
        fake_call_open(&others[i], &service);
        fake_call_say(&others[i],
                      i < 2 ? "{\"create_request\":{\"key\":\"" KEY_A "\",\"watch_id\":9}}"
                            : "{\"create_request\":{\"key\":\"" KEY_A "\",\"prev_kv\":true}}");
        buf_clear(&others[i].heard);
    }
    buf_clear(&call.heard);
    for (int i = 0; i < 2; i++) {
        (void)fake_put(&service, "/a", i == 0 ? "x" : "y");
        run();
    }
    assert_int_equal(call.made_before, 0); /* for the first it is not known that others come */
    assert_int_equal(others[0].made_before, 2);
    assert_int_equal(others[1].made_before, 2);
    assert_int_equal(others[2].made_before, 0);
    assert_non_null(strstr(buf_str(&others[2].heard), "prev_kv"));
    assert_null(strstr(buf_str(&others[1].heard), "prev_kv"));
    assert_non_null(strstr(buf_str(&others[1].heard), "\"watch_id\":\"9\""));
    assert_non_null(strstr(buf_str(&others[1].heard), "eA=="));
    assert_string_equal(buf_str(&others[0].heard), buf_str(&others[1].heard));
    for (size_t i = 0; i < 3; i++) {
        fake_call_close(&others[i]);
    }
}

static void who_does_not_read_gets_no_more_and_costs_no_more(void **state)
{
    (void)state;
    static struct fake_call stuck;
    static char value[10 * 1024 + 1];
    fake_call_open(&stuck, &service);
    stuck.reads = false;
    stuck.is_quiet = true;
    call.is_quiet = true;
    fake_call_say(&stuck, "{\"create_request\":{\"key\":\"" KEY_A "\"}}");
    fake_call_say(&stuck, "{\"create_request\":{\"key\":\"" KEY_A "\",\"watch_id\":8}}");
    fake_call_say(&call, "{\"create_request\":{\"key\":\"" KEY_A "\"}}");
    memset(value, 'v', sizeof value - 1);
    for (int i = 0; i < 200; i++) {
        (void)fake_put(&service, "/a", value);
        run();
    }
    assert_int_equal(call.replies, 201);
    assert_in_range(stuck.pending, ETCD_WATCH_PENDING_BYTES,
                    ETCD_WATCH_PENDING_BYTES + 2 * sizeof value);
    size_t before = stuck.replies;
    run_ms(50);
    assert_int_equal(stuck.replies, before);
    fake_call_say(&stuck, "{\"create_request\":{\"key\":\"" KEY_A "\",\"start_revision\":3}}");
    run_ms(50);
    assert_int_equal(stuck.replies, before + 1); /* created, and nothing more */
    stuck.reads = true;
    stuck.pending = 0;
    run_ms(50);
    assert_in_range(stuck.bytes, 3 * 200 * (sizeof value - 1), 3 * 200 * (sizeof value + 200));
    fake_call_close(&stuck);
}

static void who_is_behind_until_it_is_compacted_is_told(void **state)
{
    (void)state;
    fake_call_say(&call, "{\"create_request\":{\"key\":\"" KEY_A "\"}}");
    buf_clear(&call.heard);
    call.pending = ETCD_WATCH_PENDING_BYTES;
    fake_call_say(&call, "{\"create_request\":{\"key\":\"" KEY_B "\"}}");
    buf_clear(&call.heard);
    (void)fake_put(&service, "/a", "x");
    (void)fake_put(&service, "/a", "y");
    fake_compact(&service, 4);
    run_ms(30);
    assert_told(&call, "");
    call.pending = 0;
    run_ms(30);
    assert_told(&call, "{\"header\":{},\"canceled\":true,\"compact_revision\":\"4\"}\n"
                       "{\"header\":{},\"watch_id\":\"1\",\"canceled\":true,"
                       "\"compact_revision\":\"4\"}\n");
}

static void what_the_carrier_refuses_comes_later_and_once(void **state)
{
    (void)state;
    fake_call_say(&call, "{\"create_request\":{\"key\":\"" KEY_A "\"}}");
    buf_clear(&call.heard);
    call.refused_then = 2;
    (void)fake_put(&service, "/a", "");
    run();
    assert_told(&call, "");
    (void)fake_put(&service, "/a", "");
    fake_call_say(&call, "{\"progress_request\":{}}");
    run_ms(350);
    assert_told(&call,
                "{\"header\":{\"revision\":\"4\"},\"events\":[{\"kv\":{\"key\":\"L2E=\","
                "\"create_revision\":\"3\",\"mod_revision\":\"3\",\"version\":\"1\"}},{\"kv\":{"
                "\"key\":\"L2E=\",\"create_revision\":\"3\",\"mod_revision\":\"4\",\"version\":"
                "\"2\"}}]}\n"
                "{\"header\":{\"revision\":\"4\"},\"watch_id\":\"-1\"}\n");
}

static void the_rest_of_a_revision_comes_later_and_once(void **state)
{
    (void)state;
    fake_call_say(&call, "{\"create_request\":{\"key\":\"" KEY_A "\",\"range_end\":\"" KEY_B
                         "\",\"fragment\":true,\"prev_kv\":true}}");
    call.reads = true;
    put_large_txn(3);
    run();
    buf_clear(&call.heard);
    call.taken_first = 1;
    call.refused_then = 1;
    put_large_txn(3);
    run();
    assert_int_equal(count_of(buf_str(&call.heard), "\"prev_kv\""), 1);
    run_ms(300);
    assert_false(call.has_ended);
    assert_int_equal(count_of(buf_str(&call.heard), "\"prev_kv\""), 3);
    assert_int_equal(count_of(buf_str(&call.heard), "\"fragment\":true"), 2);
}

static void a_carrier_that_takes_nothing_for_long_ends_the_stream(void **state)
{
    (void)state;
    fake_call_say(&call, "{\"create_request\":{\"key\":\"" KEY_A "\"}}");
    call.refused_then = SIZE_MAX;
    (void)fake_put(&service, "/a", "");
    run_ms(30);
    skipped_ms = 39 * 1000;
    run_ms(30);
    assert_false(call.has_ended);
    skipped_ms = 41 * 1000;
    run_ms(30);
    assert_true(call.has_ended);
    assert_int_equal(call.code, GRPC_UNAVAILABLE);
}

static void requests_whose_answers_nobody_reads_end_the_stream(void **state)
{
    (void)state;
    call.reads = false;
    call.is_quiet = true;
    for (int i = 0; i < 20000 && !call.has_ended; i++) {
        fake_call_say(&call, "{\"progress_request\":{}}");
    }
    assert_true(call.has_ended);
    assert_int_equal(call.code, GRPC_RESOURCE_EXHAUSTED);
    assert_in_range(call.replies, 8000, 9000);
}

static void a_stream_has_so_many_watches(void **state)
{
    (void)state;
    call.is_quiet = true;
    for (int i = 0; i < ETCD_WATCHES_STREAM_MAX; i++) {
        fake_call_say(&call, "{\"create_request\":{\"key\":\"" KEY_A "\"}}");
    }
    call.is_quiet = false;
    fake_call_say(&call, "{\"create_request\":{\"key\":\"" KEY_A "\"}}");
    assert_told(&call, "{\"header\":{\"revision\":\"2\"},\"watch_id\":\"-1\",\"created\":true,"
                       "\"canceled\":true,\"cancel_reason\":\"etcdserver: too many requests\"}\n");
    call.is_quiet = true;
    call.replies = 0;
    (void)fake_put(&service, "/a", "");
    run_until(&call, ETCD_WATCHES_STREAM_MAX);
}

static void and_all_streams_together(void **state)
{
    (void)state;
    enum { STREAMS = ETCD_WATCHES_MAX / ETCD_WATCHES_STREAM_MAX };
    static struct fake_call calls[STREAMS];
    for (int i = 0; i < STREAMS; i++) {
        fake_call_open(&calls[i], &service);
        calls[i].is_quiet = true;
        for (int j = 0; j < ETCD_WATCHES_STREAM_MAX; j++) {
            fake_call_say(&calls[i], "{\"create_request\":{\"key\":\"" KEY_A "\"}}");
        }
    }
    fake_call_say(&call, "{\"create_request\":{\"key\":\"" KEY_A "\"}}");
    assert_told(&call, "{\"header\":{\"revision\":\"2\"},\"watch_id\":\"-1\",\"created\":true,"
                       "\"canceled\":true,\"cancel_reason\":\"etcdserver: too many requests\"}\n");
    fake_call_say(&calls[0], "{\"cancel_request\":{\"watch_id\":4}}");
    fake_call_say(&call, "{\"create_request\":{\"key\":\"" KEY_A "\"}}");
    assert_told(&call, "{\"header\":{\"revision\":\"2\"},\"created\":true}\n");
    for (int i = 0; i < STREAMS; i++) {
        fake_call_close(&calls[i]);
    }
}

int main(void)
{
#define WATCH_TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
    const struct CMUnitTest tests[] = {
        WATCH_TEST(ids_are_chosen_by_the_client_or_counted_from_0),
        WATCH_TEST(an_id_that_is_in_use_is_refused),
        WATCH_TEST(a_range_without_keys_is_refused),
        WATCH_TEST(an_empty_key_is_the_lowest_and_an_end_of_zero_is_open),
        WATCH_TEST(bounds_longer_than_any_key_mean_what_they_say),
        WATCH_TEST(filters_and_values_before),
        WATCH_TEST(a_cancelled_watch_hears_no_more_and_its_id_is_free),
        WATCH_TEST(history_begins_at_the_revision_asked_for),
        WATCH_TEST(a_compacted_start_is_created_and_cancelled),
        WATCH_TEST(what_is_no_request_gets_nothing_and_its_end_ends_nothing),
        WATCH_TEST(nothing_but_an_end_is_no_stream),
        WATCH_TEST(progress_is_told_for_all_watches_at_once),
        WATCH_TEST(progress_waits_for_events_that_are_not_delivered),
        WATCH_TEST(progress_is_told_by_itself_within_10_minutes),
        WATCH_TEST(who_wants_a_leader_is_refused_without_one),
        WATCH_TEST(who_wants_a_leader_ends_after_three_timeouts_without),
        WATCH_TEST(who_does_not_just_sits_there),
        WATCH_TEST(a_member_without_a_store_refuses),
        WATCH_TEST(a_revision_too_large_for_one_message_comes_in_parts),
        WATCH_TEST(one_revision_is_one_message_unless_fragments_are_asked_for),
        WATCH_TEST(who_watches_the_same_gets_what_was_made_once),
        WATCH_TEST(who_does_not_read_gets_no_more_and_costs_no_more),
        WATCH_TEST(who_is_behind_until_it_is_compacted_is_told),
        WATCH_TEST(what_the_carrier_refuses_comes_later_and_once),
        WATCH_TEST(the_rest_of_a_revision_comes_later_and_once),
        WATCH_TEST(a_carrier_that_takes_nothing_for_long_ends_the_stream),
        WATCH_TEST(requests_whose_answers_nobody_reads_end_the_stream),
        WATCH_TEST(a_stream_has_so_many_watches),
        WATCH_TEST(and_all_streams_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
