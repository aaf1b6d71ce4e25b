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

static void the_leader_of_a_standby_cluster_is_no_primary_and_no_replica(void **state)
{
    static const struct {
        const char *path;
        int leads;
        int lost; /* its lease has run out */
        int down; /* PostgreSQL does not run */
    } rows[] = {
        {"/standby-leader", 200, 503, 503},
        {"/standby_leader", 200, 503, 503},
        {"/leader", 200, 503, 200},
        {"/primary", 503, 503, 503},
        {"/", 503, 503, 503},
        {"/read-write", 503, 503, 503},
        {"/replica", 503, 200, 503},
        {"/read-only", 200, 200, 503},
        {"/async", 503, 200, 503},
        {"/read-only-sync", 200, 503, 503},
        {"/health", 200, 200, 503},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        set_replica();
        status.leads_standby_until_ms = NOW + 1;
        assert_int_equal(code(rows[i].path, ""), rows[i].leads);
        assert_int_equal(api_readiness_code(&status, "", NOW), 200);
        status.running = status.replica = false;
        assert_int_equal(code(rows[i].path, ""), rows[i].down);
        set_replica();
        status.leads_standby_until_ms = NOW;
        assert_int_equal(code(rows[i].path, ""), rows[i].lost);
    }
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
    assert_true(api_parse_lag("1.5 MB", &bytes));
    assert_int_equal(bytes, 3 << 19);
    assert_true(api_parse_lag(".25kB", &bytes));
    assert_int_equal(bytes, 256);
    assert_true(api_parse_lag("2.6", &bytes));
    assert_int_equal(bytes, 3);
    assert_true(api_parse_lag("16777215.9999999999999TB", &bytes));
    assert_true(bytes >= 16777215ULL << 40);
    assert_false(api_parse_lag("16777216TB", &bytes));
    assert_false(api_parse_lag("1.2.3", &bytes));
    assert_false(api_parse_lag(".", &bytes));
    assert_false(api_parse_lag(".kB", &bytes));
    assert_false(api_parse_lag("", &bytes));
    assert_false(api_parse_lag("-1", &bytes));
    assert_false(api_parse_lag("1 parsec", &bytes));
    assert_false(api_parse_lag("99999999999TB", &bytes));
}

/* All of what a picture can say about the role, against the rules in one line each. */
static void every_combination_follows_the_table(void **state)
{
    enum {
        LEASE = 1,
        WRITABLE = 2,
        RUNNING = 4,
        REPLICA = 8,
        STREAMING = 16,
        NO_BALANCE = 32,
        SYNC = 64,
        QUORUM = 128,
        ALL = 256
    };
    (void)state;
    for (unsigned bits = 0; bits < ALL; bits++) {
        set_replica();
        status.lease_valid_until_ms = (bits & LEASE) != 0 ? NOW + 1 : NOW;
        status.writable = (bits & WRITABLE) != 0;
        status.running = (bits & RUNNING) != 0;
        status.replica = (bits & REPLICA) != 0;
        status.streaming = (bits & STREAMING) != 0;
        status.noloadbalance = (bits & NO_BALANCE) != 0;
        status.sync_standby = (bits & SYNC) != 0;
        status.quorum_standby = (bits & QUORUM) != 0;
        int primary = (bits & LEASE) != 0 && (bits & WRITABLE) != 0 ? 200 : 503;
        int replica =
            (bits & RUNNING) != 0 && (bits & REPLICA) != 0 && (bits & NO_BALANCE) == 0 ? 200 : 503;
        int any = primary == 200 ? 200 : replica;
        assert_int_equal(code("/", ""), primary);
        assert_int_equal(code("/xleaderx", ""), primary);
        assert_int_equal(code("/replica", ""), replica);
        assert_int_equal(code("/replica", "replication_state=streaming"),
                         (bits & STREAMING) != 0 ? replica : 503);
        assert_int_equal(code("/read-only", ""), any);
        assert_int_equal(code("/health", ""), (bits & RUNNING) != 0 ? 200 : 503);
        int sync = (bits & SYNC) != 0 ? replica : 503;
        int quorum = (bits & QUORUM) != 0 ? replica : 503;
        int neither = (bits & (SYNC | QUORUM)) == 0 ? replica : 503;
        assert_int_equal(code("/async", ""), neither);
        assert_int_equal(code("/asynchronous", ""), neither);
        assert_int_equal(code("/sync", ""), sync);
        assert_int_equal(code("/synchronous", ""), sync);
        assert_int_equal(code("/quorum", ""), quorum);
        assert_int_equal(code("/read-only-sync", ""), primary == 200 ? 200 : sync);
        assert_int_equal(code("/read-only-synchronous", ""), primary == 200 ? 200 : sync);
        assert_int_equal(code("/read-only-quorum", ""), primary == 200 ? 200 : quorum);
        assert_int_equal(code("/standby_leader", ""), 503);
    }
}

/* Patroni looks for words in the path, in this order. */
static void the_first_word_of_the_table_wins(void **state)
{
    (void)state;
    set_leader();
    assert_int_equal(code("/replica-of-the-leader", ""), 200);
    assert_int_equal(code("/replica/primary", ""), 200);
    assert_int_equal(code("/read-write-replica", ""), 200);
    assert_int_equal(code("/standby-leader-or-primary", ""), 503);
    set_replica();
    assert_int_equal(code("/replica/health", ""), 200);
    assert_int_equal(code("/read-only-health", ""), 200);
    assert_int_equal(code("/read-only/sync", ""), 503);
    status.replica = false;
    assert_int_equal(code("/read-only/health", ""), 503);
    assert_int_equal(code("/quorum/health", ""), 200);
}

static void who_is_synchronous_needs_a_view_younger_than_ttl(void **state)
{
    static const char *const paths[] = {"/async", "/asynchronous"};
    (void)state;
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        set_replica();
        status.cluster.read_mono_ms = MONO_NOW - TTL + 1;
        assert_int_equal(code(paths[i], ""), 200);
        status.cluster.read_mono_ms = MONO_NOW - TTL;
        assert_int_equal(code(paths[i], ""), 503);
        assert_int_equal(code("/replica", ""), 200); /* as it was known last */
        set_replica();
        status.initialized = false;
        assert_int_equal(code(paths[i], ""), 503);
    }
    set_leader();
    status.initialized = true;
    status.ttl_ms = TTL;
    status.cluster.read_mono_ms = MONO_NOW - TTL;
    assert_int_equal(code("/read-only-sync", ""), 503);
    assert_int_equal(code("/read-only", ""), 200);
}

static void a_standby_ahead_of_the_published_position_does_not_lag(void **state)
{
    (void)state;
    set_replica();
    status.replayed_lsn = status.leader_lsn;
    assert_int_equal(code("/replica", "lag=0"), 200);
    status.replayed_lsn = status.leader_lsn + 1;
    assert_int_equal(code("/replica", "lag=0"), 200);
    status.replayed_lsn = status.leader_lsn - 1;
    assert_int_equal(code("/replica", "lag=0"), 503);
}

static void tags_of_every_type_are_compared_as_text(void **state)
{
    static const struct {
        const char *query;
        int code;
    } asked[] = {{"tag_i=5", 200},
                 {"tag_i=5.0", 503},
                 {"tag_no=false", 200},
                 {"tag_no=False", 503},
                 {"tag_yes=true", 200},
                 {"tag_yes=1", 503},
                 {"tag_list=[1,2]", 200},
                 {"tag_nil=null", 200},
                 {"tag_i=5&tag_yes=true", 200},
                 {"tag_i=5&tag_yes=no", 503},
                 {"lag=1TB&tag_i=5", 200},
                 {"tag_i", 200},
                 {"tag_=x", 503},
                 {"xtag_i=6", 200},
                 {"&&", 200},
                 {"tag_s=a%2Bb%zz", 200},
                 {"tag_s=a+b%zz", 503}};
    (void)state;
    set_replica();
    status.tags = json_pack("{s:i, s:b, s:b, s:[i,i], s:n, s:s}", "i", 5, "no", 0, "yes", 1, "list",
                            1, 2, "nil", "s", "a+b%zz");
    for (size_t i = 0; i < sizeof asked / sizeof asked[0]; i++) {
        assert_int_equal(code("/replica", asked[i].query), asked[i].code);
        assert_int_equal(code("/health", asked[i].query), asked[i].code);
    }
    json_decref(status.tags);
    status.tags = NULL;
    assert_int_equal(code("/replica", "tag_i=5"), 503);
}

/* The primary's own paths do not look at tags. */
static void tags_do_not_matter_to_who_writes(void **state)
{
    (void)state;
    set_leader();
    assert_int_equal(code("/primary", "tag_i=5"), 200);
    assert_int_equal(code("/leader", "tag_i=5"), 200);
    assert_int_equal(code("/read-only", "tag_i=5"), 503);
}

static void readiness_wants_a_running_streaming_standby_and_a_view(void **state)
{
    (void)state;
    set_replica();
    assert_int_equal(api_readiness_code(&status, "lag=1MB", NOW), 200);
    status.initialized = false;
    assert_int_equal(api_readiness_code(&status, "lag=1MB", NOW), 503);
    set_replica();
    status.running = false;
    assert_int_equal(api_readiness_code(&status, "lag=1MB", NOW), 503);
    set_replica(); /* what is no lag leaves maximum_lag_on_failover */
    assert_int_equal(api_readiness_code(&status, "lag=much", NOW), 503);
    status.maximum_lag_bytes = 100;
    assert_int_equal(api_readiness_code(&status, "lag=much", NOW), 200);
    assert_int_equal(api_readiness_code(&status, "mode=apply&lag=99", NOW), 503);
    status.leader_lsn = 0;
    assert_int_equal(api_readiness_code(&status, "lag=0", NOW), 200);
}

static void lags_have_the_units_of_postgresql(void **state)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } lags[] = {{"0", 0},
                {"7B", 7},
                {"3kB", 3 << 10},
                {"3 kB", 3 << 10},
                {"2GB", UINT64_C(2) << 30},
                {"1TB", UINT64_C(1) << 40},
                {"16777215TB", UINT64_C(16777215) << 40},
                {"18446744073709551615", UINT64_MAX}};
    uint64_t bytes = 0;
    (void)state;
    for (size_t i = 0; i < sizeof lags / sizeof lags[0]; i++) {
        assert_true(api_parse_lag(lags[i].text, &bytes));
        assert_true(bytes == lags[i].bytes);
    }
    assert_false(api_parse_lag("16777216TB", &bytes));
    assert_false(api_parse_lag("18446744073709551616", &bytes));
    assert_false(api_parse_lag(" 1", &bytes));
    assert_false(api_parse_lag("1 k", &bytes));
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
        cmocka_unit_test(the_leader_of_a_standby_cluster_is_no_primary_and_no_replica),
        cmocka_unit_test(readiness_counts_lag_by_replay_or_by_write),
        cmocka_unit_test(liveness_gives_a_primary_one_ttl_and_others_two),
        cmocka_unit_test(lags_that_are_none_are_refused),
        cmocka_unit_test(every_combination_follows_the_table),
        cmocka_unit_test(the_first_word_of_the_table_wins),
        cmocka_unit_test(who_is_synchronous_needs_a_view_younger_than_ttl),
        cmocka_unit_test(a_standby_ahead_of_the_published_position_does_not_lag),
        cmocka_unit_test(tags_of_every_type_are_compared_as_text),
        cmocka_unit_test(tags_do_not_matter_to_who_writes),
        cmocka_unit_test(readiness_wants_a_running_streaming_standby_and_a_view),
        cmocka_unit_test(lags_have_the_units_of_postgresql),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
