/* Health checks: Patroni's table of paths, and the lease in front of it. */
#include "agent/api/api_health.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { NOW = 1000, MONO_NOW = 70000, TTL = 300 };

static struct api_status status; /* large: not on the stack */

static void set_leader(void)
{
    memset(&status, 0, sizeof status);
    status.lease_valid_until_ms = NOW + 1;
    status.writable = true;
    status.running = true;
    status.was_primary = true;
}

static void set_replica(void)
{
    memset(&status, 0, sizeof status);
    status.running = true;
    status.replica = true;
    status.streaming = true;
    status.initialized = true;
    status.ttl_ms = TTL;
    status.cluster.read_mono_ms = MONO_NOW;
    status.leader_lsn = 1000;
    status.replayed_lsn = 900;
    status.received_lsn = 1000;
    status.maximum_lag_bytes = 50;
}

static int code(const char *path, const char *query)
{
    struct api_now now = {.lease_ms = NOW, .mono_ms = MONO_NOW};
    return api_health_code(&status, path, query, now);
}

static void primary_answers_200_only_within_the_lease_and_writable(void **state)
{
    static const char *const paths[] = {"/",       "/primary",    "/master",
                                        "/leader", "/read-write", "/read-only"};
    (void)state;
    set_leader();
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        assert_int_equal(code(paths[i], ""), 200);
    }
    status.lease_valid_until_ms = NOW;
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        assert_int_equal(code(paths[i], ""), 503);
    }
    set_leader();
    status.writable = false;
    assert_int_equal(code("/primary", ""), 503);
}

static void replica_paths_need_a_running_replica_without_noloadbalance(void **state)
{
    (void)state;
    set_replica();
    assert_int_equal(code("/replica", ""), 200);
    assert_int_equal(code("/read-only", ""), 200);
    assert_int_equal(code("/async", ""), 200);
    assert_int_equal(code("/primary", ""), 503);
    assert_int_equal(code("/sync", ""), 503);
    status.noloadbalance = true;
    assert_int_equal(code("/replica", ""), 503);
    set_replica();
    status.running = false;
    assert_int_equal(code("/replica", ""), 503);
    assert_int_equal(code("/health", ""), 503);
}

static void lag_is_compared_in_bytes_with_units(void **state)
{
    (void)state;
    set_replica();
    assert_int_equal(code("/replica", "lag=99"), 503);
    assert_int_equal(code("/replica", "lag=100"), 200);
    assert_int_equal(code("/replica", "lag=1kB"), 200);
    assert_int_equal(code("/replica", "lag=nonsense"), 200);
    status.leader_lsn = 0; /* unknown: nobody lags */
    assert_int_equal(code("/replica", "lag=0"), 200);
}

/* What is too long to be looked at is not equal to anything. */
static void a_tag_of_any_length_is_compared(void **state)
{
    char query[1024];
    (void)state;
    set_replica();
    status.tags = json_pack("{s:s}", "zone", "a");
    memset(query, 'a', sizeof query);
    query[sizeof query - 1] = '\0';
    memcpy(query, "tag_zone=", 9);
    assert_int_equal(code("/replica", query), 503);
    memset(query, 'a', sizeof query - 1);
    memcpy(query, "tag_", 4);
    query[500] = '=';
    assert_int_equal(code("/replica", query), 503);
    json_decref(status.tags);
}

static void tags_are_compared_as_text_and_absent_ones_fail(void **state)
{
    (void)state;
    set_replica();
    status.tags = json_pack("{s:s, s:b, s:f}", "zone", "a b", "clonefrom", 1, "weight", 1.4);
    assert_int_equal(code("/replica", "tag_zone=a+b"), 200);
    assert_int_equal(code("/replica", "tag_zone=A%20b"), 503);
    assert_int_equal(code("/replica", "tag_clonefrom=true"), 200);
    assert_int_equal(code("/replica", "tag_weight=1.4"), 200);
    assert_int_equal(code("/replica", "tag_nofailover=false"), 503);
    assert_int_equal(code("/replica", "tag_clonefrom=true&tag_clonefrom=no"), 200);
    assert_int_equal(code("/replica", "tag_clonefrom=&tag_zone="), 200);
    json_decref(status.tags);
}

static void unknown_paths_are_503(void **state)
{
    (void)state;
    set_leader();
    assert_int_equal(code("/nothing", ""), 503);
    assert_int_equal(code("/standby-leader", ""), 503);
    assert_int_equal(code("/standby_leader", ""), 503);
}

static void readiness_counts_lag_by_replay_or_by_write(void **state)
{
    (void)state;
    set_replica();
    assert_int_equal(api_readiness_code(&status, "", NOW), 503);
    assert_int_equal(api_readiness_code(&status, "mode=write", NOW), 200);
    assert_int_equal(api_readiness_code(&status, "lag=100", NOW), 200);
    status.streaming = false;
    assert_int_equal(api_readiness_code(&status, "mode=write", NOW), 503);
    set_leader();
    assert_int_equal(api_readiness_code(&status, "", NOW), 200);
}

static void liveness_gives_a_primary_one_ttl_and_others_two(void **state)
{
    (void)state;
    memset(&status, 0, sizeof status);
    status.loop_wait_ms = 10;
    status.ttl_ms = 100;
    assert_int_equal(api_liveness_code(&status, 209), 200);
    assert_int_equal(api_liveness_code(&status, 210), 503);
    status.was_primary = true;
    assert_int_equal(api_liveness_code(&status, 109), 200);
    assert_int_equal(api_liveness_code(&status, 110), 503);
    status.paused = true;
    assert_int_equal(api_liveness_code(&status, 100000), 200);
}

static void lags_that_are_none_are_refused(void **state)
{
    uint64_t bytes = 0;
    (void)state;
    assert_true(api_parse_lag("2MB", &bytes));
    assert_int_equal(bytes, 2 << 20);
    assert_false(api_parse_lag("", &bytes));
    assert_false(api_parse_lag("-1", &bytes));
    assert_false(api_parse_lag("1 parsec", &bytes));
    assert_false(api_parse_lag("99999999999TB", &bytes));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(primary_answers_200_only_within_the_lease_and_writable),
        cmocka_unit_test(replica_paths_need_a_running_replica_without_noloadbalance),
        cmocka_unit_test(lag_is_compared_in_bytes_with_units),
        cmocka_unit_test(a_tag_of_any_length_is_compared),
        cmocka_unit_test(tags_are_compared_as_text_and_absent_ones_fail),
        cmocka_unit_test(unknown_paths_are_503),
        cmocka_unit_test(readiness_counts_lag_by_replay_or_by_write),
        cmocka_unit_test(liveness_gives_a_primary_one_ttl_and_others_two),
        cmocka_unit_test(lags_that_are_none_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
