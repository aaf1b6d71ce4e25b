/* Callbacks: called when facts say so, in the configuration's words, and what they leave in the
 * log. */
#include "agent/loop/commands.h"
#include "loop_fixture.h"

static const char *const program[] = {"/bin/tell"};

static void configure_callbacks(void)
{
    struct config_hooks *hooks = &rig.config.postgresql.hooks;
    for (int i = 0; i < CONFIG_CALLBACKS; i++) {
        hooks->callbacks[i] = (struct pg_lines){program, 1};
    }
    hooks->timeout_ms = 60000;
}

static void a_role_that_is_seen_is_told(void **state)
{
    (void)state;
    rig_settle();
    configure_callbacks();
    standby_runs(100);
    run_for(0);
    assert_string_equal(calls(), "call on_start replica demo\n");
    answer("call", 0);
    run_for(100);
    assert_string_equal(calls(), "");
    rig.agent.facts.probe.role = PG_PRIMARY;
    publish_request(&rig.agent);
    run_for(0);
    assert_string_equal(calls(), "call on_role_change primary demo\n");
    rig_free();
}

static void what_is_not_configured_is_not_called(void **state)
{
    (void)state;
    rig_settle();
    standby_runs(100);
    run_for(0);
    assert_string_equal(calls(), "");
    rig_free();
}

static void a_callback_that_cannot_be_started_holds_up_nothing(void **state)
{
    (void)state;
    rig_settle();
    configure_callbacks();
    (void)snprintf(rig.refused, sizeof rig.refused, "call");
    rig.refused_rc = ERR_LIMIT;
    standby_runs(100);
    run_for(0);
    assert_int_equal(rig.warnings, 1);
    assert_int_equal(rig.agent.callbacks_running, 0);
    rig_free();
}

static void a_reload_is_told_of_a_running_server(void **state)
{
    static const char config[] = "{\"ttl\":30,\"loop_wait\":10,\"retry_timeout\":10,"
                                 "\"postgresql\":{\"parameters\":{\"work_mem\":\"%dMB\"}}}";
    char value[200];
    (void)state;
    rig_settle();
    configure_callbacks();
    for (int i = 1; i <= 2; i++) { /* the first time nothing runs */
        (void)snprintf(value, sizeof value, config, i);
        key_set("config", value);
        observe_store_changed(&rig.agent);
        (void)calls();
        answer("reload", 0);
        assert_string_equal(calls(), i == 1 ? "" : "call reload on_reload replica demo\n");
        standby_runs(100);
        run_for(0);
    }
    rig_free();
}

static void exit_wanted(void)
{
    plan_begin("shutdown", "told to stop");
    plan_add(HA_EXIT);
    cycle_request(&rig.agent);
    run_for(0);
}

static void the_exit_waits_for_a_callback(void **state)
{
    (void)state;
    rig_settle();
    configure_callbacks();
    standby_runs(100);
    run_for(0);
    exit_wanted();
    run_for(1000);
    assert_int_equal(rig.exits, 0);
    answer("call", ERR_IO);
    run_for(0);
    assert_int_equal(rig.exits, 1);
    rig_free();
}

static void the_exit_does_not_wait_without_end(void **state)
{
    (void)state;
    rig_settle();
    configure_callbacks();
    standby_runs(100);
    run_for(0);
    exit_wanted();
    run_for(9000);
    assert_int_equal(rig.exits, 0);
    run_for(2000);
    assert_true(rig.exits > 0);
    rig_free();
}

/* --- commands that are waited for --------------------------------------------------------------
 */

#define EPOCH ((struct ha_epoch){7, 9})

static void write_page(int64_t soft_ms)
{
    struct fence_lease page = {.epoch = {7, 9},
                               .soft_ms = soft_ms,
                               .deadline_ms = soft_ms,
                               .watchdog_ms = FENCE_NO_DEADLINE};
    fence_page_write(fence_client_page(NULL), &page);
}

static void leads(void)
{
    assert_true(ha_lease_acquired(&rig.agent.lease, EPOCH, rig.now_ms, TTL_MS, rig.now_ms));
    write_page(rig.agent.lease.soft_ms);
}

/* It may be asked for more than once: the test decides the same again. */
static const char *stop_asked(enum ha_action_type type)
{
    static char first[128];
    plan_begin("stop", "the test wants it");
    plan_add(type);
    carry_out();
    const char *all = calls();
    (void)snprintf(first, sizeof first, "%.*s", (int)strcspn(all, "\n"), all);
    return first;
}

static void waited_for(int timeout_ms)
{
    struct config_hooks *hooks = &rig.config.postgresql.hooks;
    hooks->pre_promote = hooks->before_stop = (struct pg_lines){program, 1};
    hooks->timeout_ms = timeout_ms;
}

static void a_promotion_asks_the_operator_first(void **state)
{
    (void)state;
    rig_settle();
    leads();
    waited_for(60000);
    plan_begin("promote", "the lease is ours");
    plan_add(HA_PROMOTE)->timeline = 4;
    carry_out();
    assert_non_null(strstr(calls(), "promote 4 after pre_promote\n"));
    answer("promote", ERR_REFUSED);
    assert_int_equal(rig.agent.facts.promote_failed_mono_ms, rig.now_ms);
    rig_free();
}

static void a_promotion_that_waits_is_cancelled(void **state)
{
    (void)state;
    rig_settle();
    leads();
    waited_for(60000);
    plan_begin("promote", "the lease is ours");
    plan_add(HA_PROMOTE)->timeline = 4;
    carry_out();
    (void)calls();
    plan_begin("cancel", "the lease is gone");
    plan_add(HA_CANCEL);
    carry_out();
    assert_string_equal(calls(), "cancel\n");
    answer("promote", ERR_CANCELED);
    assert_int_equal(rig.agent.facts.promote_failed_mono_ms, rig.now_ms);
    rig_free();
}

static void a_standby_has_time_before_its_stop(void **state)
{
    (void)state;
    rig_settle();
    waited_for(60000);
    standby_runs(100);
    run_for(0);
    assert_string_equal(stop_asked(HA_STOP_FAST), "stop fast after before_stop 60000");
    rig_free();
}

static void one_that_may_be_promoted_has_none(void **state)
{
    (void)state;
    rig_settle();
    waited_for(60000);
    standby_runs(100);
    run_for(0);
    rig.promote_sent = true;
    assert_string_equal(stop_asked(HA_STOP_FAST), "stop fast");
    rig.promote_sent = false;
    write_page(rig.now_ms - 1); /* armed by an earlier run */
    assert_string_equal(stop_asked(HA_STOP_FAST), "stop fast");
    rig_free();
}

static void primary_runs(void)
{
    standby_runs(100);
    rig.agent.facts.probe.role = PG_PRIMARY;
    run_for(0);
}

static void a_primary_has_what_the_fence_leaves_it(void **state)
{
    char expected[64];
    (void)state;
    rig_settle();
    waited_for(60000);
    primary_runs();
    leads();
    (void)snprintf(expected, sizeof expected, "stop fast after before_stop %d",
                   (int)(rig.agent.lease.soft_ms - rig.now_ms));
    assert_string_equal(stop_asked(HA_STOP_FAST), expected);
    rig_free();

    rig_settle();
    waited_for(1000);
    primary_runs();
    leads();
    assert_string_equal(stop_asked(HA_STOP_FAST), "stop fast after before_stop 1000");
    rig_free();
}

/* A standby's before_stop of 200 s is not to be cut off by an agent that gives up after 160 s. */
static void the_agents_own_stop_waits_as_long(void **state)
{
    struct config_hooks *hooks = &rig.config.postgresql.hooks;
    (void)state;
    rig_settle();
    hooks->timeout_ms = 300000;
    assert_int_equal(commands_stop_ms(&rig.agent), 0);
    waited_for(300000);
    assert_int_equal(commands_stop_ms(&rig.agent), 300000);
    hooks->pre_promote.count = 0;
    assert_int_equal(commands_stop_ms(&rig.agent), 300000);
    rig_free();
}

static void a_primary_without_a_lease_stops_at_once(void **state)
{
    (void)state;
    rig_settle();
    waited_for(60000);
    primary_runs();
    assert_string_equal(stop_asked(HA_STOP_FAST), "stop fast");
    rig_free();
}

static void nothing_is_asked_where_every_moment_counts(void **state)
{
    (void)state;
    rig_settle();
    waited_for(60000);
    standby_runs(100);
    run_for(0);
    assert_string_equal(stop_asked(HA_STOP_IMMEDIATE), "stop immediate");
    answer("stop", 0);
    run_for(0);
    (void)calls();
    assert_string_equal(stop_asked(HA_KILL), "stop immediate");
    rig_free();
}

static void output_is_told_within_bounds(void **state)
{
    struct buf out = BUF_INIT;
    struct error err = {0};
    struct pg_command_end end = {.what = "pre_promote", .rc = 0, .took_ms = 12};
    (void)state;
    rig_init();
    commands_tell(NULL, &end);
    assert_string_equal(buf_str(&rig.logged), "pre_promote has ended after 12 ms, exit status 0\n");
    buf_clear(&rig.logged);
    for (int i = 0; i < 25; i++) {
        buf_printf(&out, "line %d\n", i);
    }
    end.out = buf_span(&out);
    end.errors = span_str("no end\n\nof line");
    end.rc = error_set(&err, ERR_IO, "sh: exit status 1: of line");
    end.err = &err;
    commands_tell(NULL, &end);
    const char *logged = buf_str(&rig.logged);
    assert_non_null(strstr(logged, "pre_promote wrote 5 lines more before these\n"));
    assert_null(strstr(logged, "line 4\n"));
    assert_non_null(strstr(logged, "pre_promote: line 5\n"));
    assert_non_null(strstr(logged,
                           "pre_promote: line 24\npre_promote: no end\npre_promote: of line\n"
                           "pre_promote has ended after 12 ms: sh: exit status 1: of line\n"));
    buf_free(&out);
    rig_free();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_role_that_is_seen_is_told),
        cmocka_unit_test(what_is_not_configured_is_not_called),
        cmocka_unit_test(a_callback_that_cannot_be_started_holds_up_nothing),
        cmocka_unit_test(a_reload_is_told_of_a_running_server),
        cmocka_unit_test(the_exit_waits_for_a_callback),
        cmocka_unit_test(the_exit_does_not_wait_without_end),
        cmocka_unit_test(a_promotion_asks_the_operator_first),
        cmocka_unit_test(a_promotion_that_waits_is_cancelled),
        cmocka_unit_test(a_standby_has_time_before_its_stop),
        cmocka_unit_test(one_that_may_be_promoted_has_none),
        cmocka_unit_test(a_primary_has_what_the_fence_leaves_it),
        cmocka_unit_test(the_agents_own_stop_waits_as_long),
        cmocka_unit_test(a_primary_without_a_lease_stops_at_once),
        cmocka_unit_test(nothing_is_asked_where_every_moment_counts),
        cmocka_unit_test(output_is_told_within_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
