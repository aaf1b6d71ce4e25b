/* POST /dry-run: the checks of the request that is meant, what the decision is asked on, and that
 * nothing else is asked of the node. */
#include "tests/unit/agent_api/api_fixture.h"

static int start(void **state)
{
    int rc = rig_start(state);
    if (rc == 0) {
        rig_publish(rig_primary());
    }
    return rc;
}

static const char *post(const char *path, const char *body)
{
    char line[64];
    (void)snprintf(line, sizeof line, "POST %s", path);
    return rig_reply(rig_post(line, body));
}

static void says(const char *reply, int code, const char *text)
{
    assert_string_equal(rig_body(reply), text);
    assert_int_equal(rig_code(reply), code);
}

static void nothing_was_asked_for(void)
{
    assert_int_equal(rig.write_count, 0);
    assert_int_equal(rig.restarts, 0);
    assert_int_equal(rig.reinits, 0);
    assert_null(rig.scheduled);
}

static void a_switchover_is_checked_as_one(void **state)
{
    (void)state;
    says(post("/dry-run/switchover", "{\"candidate\": \"n2\"}"), 400,
         "Switchover could be performed only from a specific leader");
    says(post("/dry-run/switchover", "{\"leader\": \"n9\"}"), 412, "leader name does not match");
    says(post("/dry-run/switchover", "{\"leader\": 3}"), 400, "leader: expected text");
    says(post("/dry-run/failover", "{}"), 400,
         "Failover could be performed only to a specific candidate");
    assert_int_equal(rig.dry_runs, 0);
    says(post("/dry-run/switchover", "{\"leader\": \"n1\", \"candidate\": \"n2\"}"), 200,
         "{\"rule\": \"a/b\"}");
    assert_true(rig.supposed.failover.present);
    assert_string_equal(rig.supposed.failover.leader, "n1");
    assert_string_equal(rig.supposed.failover.candidate, "n2");
    assert_int_equal(rig.supposed.failover.scheduled_wall_ms, 0);
    says(post("/dry-run/failover", "{\"candidate\": \"n2\"}"), 200, "{\"rule\": \"a/b\"}");
    assert_string_equal(rig.supposed.failover.leader, "");
    nothing_was_asked_for();
}

static void a_restart_and_a_copy_are_checked_as_such(void **state)
{
    (void)state;
    says(post("/dry-run/restart", "{\"color\": 1}"), 400,
         "Unknown filter for the scheduled restart: color");
    says(post("/dry-run/restart", "{\"timeout\": \"7s\", \"restart_pending\": true}"), 200,
         "{\"rule\": \"a/b\"}");
    assert_non_null(rig.supposed.restart);
    assert_int_equal(rig.supposed_restart.timeout_ms, 7000);
    assert_true(rig.supposed_restart.filter.if_pending);
    says(post("/dry-run/reinitialize", "{\"color\": 1}"), 400,
         "unknown key: color; force and from_leader are known");
    says(post("/dry-run/reinitialize", "{\"from_leader\": true}"), 200, "{\"rule\": \"a/b\"}");
    assert_true(rig.supposed.reinit && rig.supposed.from_leader && !rig.supposed.force);
    rig.restart_rc = ERR_BUSY;
    rig.restart_why = "creating replica already in progress";
    says(post("/dry-run/reinitialize", "{}"), 503, "creating replica already in progress");
    nothing_was_asked_for();
}

static void what_is_none_of_them_is_named(void **state)
{
    static const char *const paths[] = {"/dry-run", "/dry-run/", "/dry-run/x",
                                        "/dry-run/switchover/x", "/dry-run/config"};
    (void)state;
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        says(post(paths[i], "{}"), 404,
             "dry-run of what: switchover, failover, restart, reinitialize or reexec");
    }
    assert_int_equal(rig_code(post("/dry-run/restart", "[]")), 400);
    assert_int_equal(rig_code(post("/dry-run/restart", "")), 400);
    assert_int_equal(rig.dry_runs, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_switchover_is_checked_as_one, start, rig_finish),
        cmocka_unit_test_setup_teardown(a_restart_and_a_copy_are_checked_as_such, start,
                                        rig_finish),
        cmocka_unit_test_setup_teardown(what_is_none_of_them_is_named, start, rig_finish),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
