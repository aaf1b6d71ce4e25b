/* Restarts on request: when they are taken, what becomes of them, and what others see. */
#include "loop_fixture.h"

#include "agent/loop/restart.h"

enum { START_MS = 300000 }; /* primary_start_timeout */

static unsigned number;
static int64_t wait_ms;
static struct error why;

static int order(const char *role, int64_t timeout_ms)
{
    struct restart_wish wish = {.timeout_ms = timeout_ms};
    (void)snprintf(wish.filter.role, sizeof wish.filter.role, "%s", role);
    return restart_order(&rig.agent, &wish, &number, &wait_ms, &why);
}

static void settle(void)
{
    rig_settle();
    standby_runs(1000);
    said.postmaster_start_ms = 1764000000000;
    (void)snprintf(said.postmaster_start, sizeof said.postmaster_start,
                   "2025-11-24 16:00:00.000000+00");
    rig.agent.facts.probe = said;
    run_for(0);
    (void)calls();
}

static const struct loop_restart *restart_now(void)
{
    return &rig.agent.restart;
}

/* As the rule says. */
static void stop_for_it(void)
{
    plan_begin("restart", "restarting on request");
    plan_add(HA_CHECKPOINT);
    plan_add(HA_STOP_RESTART);
    carry_out();
    assert_false(is_asked("stop fast"));
    answer("checkpoint", 0);
    assert_int_equal(restart_now()->now.phase, HA_RESTART_UNDER_WAY);
    assert_true(is_asked("stop fast"));
}

static void goes_down(void)
{
    postmaster_gone();
    answer("stop fast", 0);
    assert_int_not_equal(restart_now()->now.down_mono_ms, HA_NEVER);
}

static void a_restart_ends_when_the_server_answers_again(void **state)
{
    (void)state;
    settle();
    assert_int_equal(order("", 0), 0);
    assert_int_equal(number, 1);
    assert_true(wait_ms > START_MS);
    assert_int_equal(restart_now()->now.phase, HA_RESTART_ORDERED);
    assert_int_equal(restart_now()->now.role, PG_STANDBY);
    stop_for_it();
    run_for(100);
    assert_int_equal(restart_now()->now.down_mono_ms, HA_NEVER);
    goes_down();
    plan_begin("rejoin", "joining");
    plan_add(HA_START_STANDBY);
    carry_out();
    answer("start detached", 0);
    assert_int_equal(restart_now()->ended, 0);
    standby_runs(1000);
    assert_int_equal(restart_now()->ended, 1);
    assert_true(restart_now()->done);
    assert_string_equal(restart_now()->outcome, "restarted successfully");
    assert_int_equal(restart_now()->now.phase, HA_RESTART_NONE);
    assert_int_equal(restart_now()->now.role, PG_ROLE_UNKNOWN);
    rig_free();
}

static void a_start_that_fails_ends_it(void **state)
{
    (void)state;
    settle();
    assert_int_equal(order("", 0), 0);
    stop_for_it();
    goes_down();
    plan_begin("rejoin", "joining");
    plan_add(HA_START_STANDBY);
    carry_out();
    answer("start detached", ERR_IO);
    assert_int_equal(restart_now()->ended, 1);
    assert_false(restart_now()->done);
    assert_string_equal(restart_now()->outcome, "restart failed: as the test says");
    assert_int_equal(restart_now()->now.phase, HA_RESTART_NONE);
    rig_free();
}

/* Whoever asked is answered; the rules go on counting. */
static void a_start_that_takes_too_long_is_told_and_goes_on(void **state)
{
    (void)state;
    settle();
    assert_int_equal(order("", 4000), 0);
    stop_for_it();
    goes_down();
    plan_begin("rejoin", "joining");
    plan_add(HA_START_STANDBY);
    carry_out();
    run_for(3500);
    assert_int_equal(restart_now()->ended, 0);
    run_for(1500);
    assert_int_equal(restart_now()->ended, 1);
    assert_false(restart_now()->done);
    assert_string_equal(restart_now()->outcome, "postgres is still starting");
    assert_int_equal(restart_now()->now.phase, HA_RESTART_UNDER_WAY);
    assert_int_equal(order("", 0), ERR_BUSY);
    assert_string_equal(why.text, "restart already in progress");
    standby_runs(1000);
    assert_int_equal(restart_now()->now.phase, HA_RESTART_NONE);
    assert_string_equal(restart_now()->outcome, "postgres is still starting"); /* told once */
    assert_int_equal(order("", 0), 0);
    assert_int_equal(number, 2);
    rig_free();
}

static void a_leader_that_loses_the_key_meanwhile_is_told(void **state)
{
    (void)state;
    settle();
    assert_int_equal(order("", 0), 0);
    rig.agent.lease.held = true;
    stop_for_it();
    goes_down();
    assert_int_equal(restart_now()->ended, 0);
    rig.agent.lease.held = false;
    observe_run(&rig.agent);
    assert_string_equal(restart_now()->outcome,
                        "restart failed: the leader key was given away meanwhile");
    assert_int_equal(restart_now()->now.phase, HA_RESTART_NONE);
    rig_free();
}

/* While CHECKPOINT runs: what comes up later is another's standby. */
static void a_leader_that_loses_the_key_before_the_stop_is_told(void **state)
{
    (void)state;
    settle();
    rig.agent.lease.held = true;
    assert_int_equal(order("", 0), 0);
    plan_begin("restart", "restarting on request");
    plan_add(HA_CHECKPOINT);
    plan_add(HA_STOP_RESTART);
    carry_out();
    rig.agent.lease.held = false;
    answer("checkpoint", 0);
    postmaster_gone();
    answer("stop fast", 0);
    assert_int_equal(restart_now()->ended, 1);
    assert_false(restart_now()->done);
    assert_string_equal(restart_now()->outcome,
                        "restart failed: the leader key was given away meanwhile");
    rig_free();
}

/* By an order to make the data anew, while the checkpoint of the restart is waited for. */
static void a_restart_that_was_given_up_meanwhile_stops_nothing(void **state)
{
    (void)state;
    settle();
    assert_int_equal(order("", 0), 0);
    plan_begin("restart", "restarting on request");
    plan_add(HA_CHECKPOINT);
    plan_add(HA_STOP_RESTART);
    carry_out();
    restart_cancel(&rig.agent, "the data directory is made anew");
    answer("checkpoint", 0);
    assert_false(is_asked("stop fast"));
    assert_int_equal(restart_now()->now.phase, HA_RESTART_NONE);
    assert_non_null(strstr(last_outcome(), "was given up"));
    rig_free();
}

static void what_cannot_be_begun_is_refused_with_the_reason(void **state)
{
    (void)state;
    settle();
    assert_int_equal(order("primary", 0), ERR_REFUSED);
    assert_string_equal(why.text,
                        "restart conditions are not satisfied: this member has another role");
    assert_int_equal(order("replica", 0), 0);
    assert_int_equal(order("replica", 0), ERR_BUSY);
    assert_string_equal(why.text, "restart already in progress");
    rig_free();
    settle();
    rig.agent.facts.job = (struct ha_job){.kind = HA_JOB_PROMOTE, .running = true};
    assert_int_equal(order("", 0), ERR_BUSY);
    assert_string_equal(why.text, "promote already in progress");
    rig_free();
    settle();
    rig.agent.facts.request = HA_REQUEST_SHUTDOWN;
    assert_int_equal(order("", 0), ERR_UNAVAILABLE);
    assert_string_equal(why.text, "restart failed: PostgreSQL is about to stop");
    rig_free();
    rig_settle();
    assert_int_equal(order("", 0), ERR_UNAVAILABLE);
    assert_string_equal(why.text, "restart failed: PostgreSQL is stopped");
    assert_int_equal(restart_now()->now.phase, HA_RESTART_NONE);
    rig_free();
}

static void an_order_that_is_dropped_says_why(void **state)
{
    (void)state;
    settle();
    assert_int_equal(order("", 0), 0);
    plan_begin("restart_late", "it could not be begun for 30000 ms");
    plan_add(HA_DROP_RESTART);
    carry_out();
    assert_int_equal(restart_now()->ended, 1);
    assert_false(restart_now()->done);
    assert_string_equal(restart_now()->outcome,
                        "restart failed: it could not be begun for 30000 ms");
    rig_free();
}

static void a_standby_sheds_its_duty_from_the_order_on(void **state)
{
    (void)state;
    settle();
    while (is_asked("member")) {
        answer("member", 0);
        run_for(0);
    }
    assert_null(strstr(rig.member, "nosync"));
    assert_int_equal(order("", 0), 0);
    run_for(0);
    assert_non_null(strstr(rig.member, "\"tags\":{\"nosync\":true,\"sync_priority\":0}"));
    rig_free();
}

static bool told(bool waits)
{
    run_for(LOOP_PROBE_MS_MAX);
    standby_says(1000);
    said.pending_restart = waits;
    said.pending_count = waits ? 1 : 0;
    said.pending[0] = (struct pg_waiting){.name = "max_connections", .new_value = "200"};
    answer_said();
    assert_int_equal(rig.agent.facts.probe.pending_count, rig.agent.facts.probe.pending_restart);
    return rig.agent.facts.probe.pending_restart;
}

/* An agent that has just started, or has a change to write, compares with what is out of date. */
static void what_waits_is_told_when_the_configuration_is_in_force(void **state)
{
    (void)state;
    settle();
    while (is_asked("probe")) {
        answer_probe(1000);
    }
    assert_int_equal(rig.agent.facts.config_revision, -1);
    assert_false(told(true));
    rig.agent.facts.config_revision = 1;
    assert_true(told(true));
    rig.agent.reload.running = true;
    assert_true(told(false));
    rig.agent.reload.running = false;
    assert_false(told(false));
    rig_free();
}

/* --- scheduled -------------------------------------------------------------------------------- */

static int schedule(int64_t at_wall_ms)
{
    json_t *object = json_pack("{s:s,s:i}", "schedule", "2030-01-01T00:00:00+00:00", "timeout", 7);
    struct restart_wish wish = {.at_wall_ms = at_wall_ms, .timeout_ms = 7000, .object = object};
    int rc = restart_schedule(&rig.agent, &wish, &why);
    json_decref(object);
    return rc;
}

static void a_scheduled_one_is_shown_and_becomes_an_order(void **state)
{
    (void)state;
    settle();
    while (is_asked("member")) {
        answer("member", 0);
        run_for(0);
    }
    assert_int_equal(schedule(1893456000000), 0);
    assert_int_equal(schedule(1893456000000), ERR_EXISTS);
    assert_string_equal(why.text, "Another restart is already scheduled");
    run_for(0);
    assert_non_null(strstr(rig.member, "\"scheduled_restart\":{\"schedule\":"
                                       "\"2030-01-01T00:00:00+00:00\",\"timeout\":7,"
                                       "\"postmaster_start_time\":"
                                       "\"2025-11-24 16:00:00.000000+00:00\"}"));
    json_t *shown = restart_shown(&rig.agent, false);
    assert_null(json_object_get(shown, "postmaster_start_time"));
    assert_int_equal(json_integer_value(json_object_get(shown, "timeout")), 7);
    json_decref(shown);
    assert_int_equal(restart_now()->now.scheduled_start_ms, 1764000000000);
    restart_due(&rig.agent);
    assert_int_equal(restart_now()->now.phase, HA_RESTART_ORDERED);
    assert_int_equal(restart_now()->now.timeout_ms, 7000);
    assert_int_equal(restart_now()->now.scheduled_wall_ms, 0);
    assert_null(restart_shown(&rig.agent, true));
    rig_free();
}

static void a_scheduled_one_is_deleted_or_dropped(void **state)
{
    (void)state;
    settle();
    assert_false(restart_unschedule(&rig.agent));
    assert_int_equal(schedule(1893456000000), 0);
    assert_true(restart_unschedule(&rig.agent));
    assert_null(restart_shown(&rig.agent, false));
    assert_int_equal(schedule(1893456000000), 0);
    plan_begin("restart_scheduled", "its time is long past");
    plan_add(HA_DROP_SCHEDULED);
    carry_out();
    assert_null(restart_shown(&rig.agent, false));
    assert_int_equal(restart_now()->now.phase, HA_RESTART_NONE);
    assert_int_equal(schedule(1893456000000), 0); /* rig_free forgets it */
    rig_free();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_restart_ends_when_the_server_answers_again),
        cmocka_unit_test(a_start_that_fails_ends_it),
        cmocka_unit_test(a_start_that_takes_too_long_is_told_and_goes_on),
        cmocka_unit_test(a_leader_that_loses_the_key_meanwhile_is_told),
        cmocka_unit_test(a_leader_that_loses_the_key_before_the_stop_is_told),
        cmocka_unit_test(a_restart_that_was_given_up_meanwhile_stops_nothing),
        cmocka_unit_test(what_cannot_be_begun_is_refused_with_the_reason),
        cmocka_unit_test(an_order_that_is_dropped_says_why),
        cmocka_unit_test(a_standby_sheds_its_duty_from_the_order_on),
        cmocka_unit_test(what_waits_is_told_when_the_configuration_is_in_force),
        cmocka_unit_test(a_scheduled_one_is_shown_and_becomes_an_order),
        cmocka_unit_test(a_scheduled_one_is_deleted_or_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
