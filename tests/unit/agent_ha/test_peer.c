/* What another member answers about itself, as Patroni 4.1 and ours say it. */
#include "agent/ha/ha_peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include <cmocka.h>

#define SYSTEM_ID "7713338799174225949"
/* Patroni 4.1.5, recorded. */
#define STANDBY                                                                               \
    "{\"state\": \"running\", \"postmaster_start_time\": \"2026-11-28 21:34:08.477+00:00\", " \
    "\"role\": \"replica\", \"server_version\": 150018, \"xlog\": {\"received_location\": "   \
    "67547448, \"replayed_location\": 67547440, \"replayed_timestamp\": null, \"paused\": "   \
    "false}, "                                                                                \
    "\"timeline\": 3, \"cluster_unlocked\": true, \"dcs_last_seen\": 1795901671, "            \
    "\"database_system_identifier\": \"" SYSTEM_ID "\", "                                     \
    "\"patroni\": {\"version\": \"4.1.5\", \"scope\": \"postgres\", \"name\": \"n2\"}}"
#define PRIMARY                                                                    \
    "{\"state\": \"running\", \"role\": \"primary\", \"server_version\": 150018, " \
    "\"xlog\": {\"location\": 67547448}, \"timeline\": 3, "                        \
    "\"patroni\": {\"version\": \"4.1.5\", \"scope\": \"postgres\", \"name\": \"n2\"}}"

static struct ha_peer peer;

static bool take(const char *text, const char *system_id)
{
    json_t *document = json_loads(text, 0, NULL);
    memset(&peer, 0, sizeof peer);
    (void)strcpy(peer.name, "n2");
    bool taken = ha_peer_read(document, "postgres", system_id, &peer);
    json_decref(document);
    return taken;
}

static void standby_of_patroni_says_how_far_it_is(void **state)
{
    (void)state;
    assert_true(take(STANDBY, SYSTEM_ID));
    assert_true(peer.patroni && !peer.primary && !peer.nofailover);
    assert_int_equal(peer.timeline, 3);
    assert_int_equal(peer.lsn, 67547448);
    assert_true(take("{\"role\":\"replica\",\"wal\":{\"received_location\":0,"
                     "\"replayed_location\":7},\"timeline\":null}",
                     ""));
    assert_int_equal(peer.lsn, 7);
    assert_int_equal(peer.timeline, 0);
}

static void primary_is_one_only_if_postgresql_has_answered(void **state)
{
    (void)state;
    assert_true(take(PRIMARY, SYSTEM_ID));
    assert_true(peer.primary);
    assert_int_equal(peer.lsn, 0);
    assert_true(take("{\"role\":\"master\",\"xlog\":{}}", ""));
    assert_true(peer.primary);
    assert_true(take("{\"state\":\"stopped\",\"role\":\"primary\"}", ""));
    assert_false(peer.primary);
    assert_int_equal(peer.lsn, 0);
}

static void ours_says_that_it_reports(void **state)
{
    (void)state;
    assert_true(take("{\"role\":\"replica\",\"reports\":true}", ""));
    assert_false(peer.patroni);
}

static void who_will_not_run_says_so(void **state)
{
    (void)state;
    assert_true(take("{\"role\":\"replica\",\"tags\":{\"nofailover\":true}}", ""));
    assert_true(peer.nofailover);
    assert_true(take("{\"role\":\"replica\",\"tags\":{\"failover_priority\":0}}", ""));
    assert_true(peer.nofailover);
    assert_true(take("{\"role\":\"replica\",\"watchdog_failed\":true}", ""));
    assert_true(peer.nofailover);
}

static void somebody_else_is_not_taken_for_it(void **state)
{
    (void)state;
    assert_false(take(STANDBY, "7000000000000000001"));
    assert_false(take("{\"patroni\":{\"name\":\"n3\"}}", ""));
    assert_false(take("{\"patroni\":{\"scope\":\"other\"}}", ""));
    assert_false(take("[]", ""));
    assert_false(take("not JSON", ""));
}

static void junk_is_nothing(void **state)
{
    (void)state;
    assert_true(take("{\"role\":7,\"timeline\":-1,\"tags\":[],\"patroni\":3,"
                     "\"xlog\":{\"received_location\":\"x\",\"replayed_location\":-5}}",
                     ""));
    assert_false(peer.primary);
    assert_int_equal(peer.lsn, 0);
    assert_int_equal(peer.timeline, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(standby_of_patroni_says_how_far_it_is),
        cmocka_unit_test(primary_is_one_only_if_postgresql_has_answered),
        cmocka_unit_test(ours_says_that_it_reports),
        cmocka_unit_test(who_will_not_run_says_so),
        cmocka_unit_test(somebody_else_is_not_taken_for_it),
        cmocka_unit_test(junk_is_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
