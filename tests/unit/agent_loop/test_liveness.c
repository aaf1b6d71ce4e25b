/* Whether the running server lets somebody new in: asked by a connection of its own, and only a
 * server that runs is asked. */
#include "loop_fixture.h"

enum { EVERY_MS = 10000 }; /* a third of the 300 s that go with ttl 30 would be more */

static int64_t silent_since(void)
{
    return rig.agent.facts.silent_since_mono_ms;
}

static void begin(void)
{
    rig_init();
    standby_runs(1000);
    run_for(EVERY_MS);
    while (is_asked("probe")) {
        answer_probe(1000);
    }
    assert_true(is_asked("ping"));
}

static void a_server_that_answers_is_asked_now_and_then(void **state)
{
    (void)state;
    begin();
    answer("ping", 0);
    assert_int_equal(silent_since(), HA_NEVER);
    run_for(EVERY_MS - 1);
    assert_false(is_asked("ping"));
    run_for(1);
    assert_true(is_asked("ping"));
    rig_free();
}

static void silence_counts_from_the_first_question_without_an_answer(void **state)
{
    (void)state;
    begin();
    int64_t asked_ms = rig.now_ms;
    run_for(3000);
    rig.decided = 0;
    answer("ping", ERR_TIMEOUT);
    run_for(0);
    assert_int_equal(silent_since(), asked_ms);
    assert_true(rig.decided > 0); /* a rule may be waiting for the time to pass */
    assert_non_null(strstr(buf_str(&rig.logged), "does not answer a new connection"));
    run_for(500);
    unsigned warnings = rig.warnings;
    answer("ping", ERR_CLOSED);
    assert_int_equal(silent_since(), asked_ms);
    assert_int_equal(rig.warnings, warnings); /* told once */
    run_for(500);
    answer("ping", 0);
    assert_int_equal(silent_since(), HA_NEVER);
    rig_free();
}

/* The ordinary probe is told so; what is asked of the postmaster is answered meanwhile. */
static void one_that_recovers_is_no_silent_one(void **state)
{
    (void)state;
    begin();
    answer("ping", 0);
    run_for(LOOP_PROBE_MS_MAX);
    int64_t asked_ms = rig.agent.probe_sent_mono_ms;
    answer("probe", ERR_UNAVAILABLE);
    assert_int_equal(silent_since(), HA_NEVER);
    assert_int_equal(rig.agent.facts.refusing_since_mono_ms, asked_ms);
    run_for(500);
    answer("probe", ERR_LIMIT); /* too many clients: it is up */
    assert_int_equal(rig.agent.facts.refusing_since_mono_ms, HA_NEVER);
    rig_free();
}

/* The answer of a server that has been killed since says nothing of the one that runs now. */
static void what_was_asked_of_another_start_does_not_count(void **state)
{
    (void)state;
    begin();
    postmaster_gone();
    observe_run(&rig.agent);
    run_for(100);
    standby_runs(1000);
    answer("ping", ERR_TIMEOUT);
    assert_int_equal(silent_since(), HA_NEVER);
    rig_free();
}

static void a_new_start_begins_without_blame(void **state)
{
    (void)state;
    begin();
    answer("ping", ERR_TIMEOUT);
    assert_int_not_equal(silent_since(), HA_NEVER);
    postmaster_gone();
    observe_run(&rig.agent);
    assert_int_equal(silent_since(), HA_NEVER);
    run_for(3 * EVERY_MS);
    assert_false(is_asked("ping")); /* nothing runs */
    rig_free();
}

static void a_crash_loop_is_counted_until_one_start_lasts(void **state)
{
    (void)state;
    rig_init();
    for (unsigned i = 1; i <= 3; i++) {
        standby_runs(1000);
        run_for(LOOP_SETTLED_MS - 2000);
        postmaster_gone();
        observe_run(&rig.agent);
        assert_int_equal(rig.agent.facts.crashes, i);
    }
    int64_t since_ms = rig.agent.facts.crash_since_mono_ms;
    assert_int_equal(since_ms, 1000000 + LOOP_SETTLED_MS - 2000); /* of the first one */
    standby_runs(1000);
    run_for(LOOP_SETTLED_MS + 1000);
    observe_run(&rig.agent);
    assert_int_equal(rig.agent.facts.crashes, 0);
    assert_int_equal(rig.agent.facts.crash_since_mono_ms, HA_NEVER);
    rig_free();
}

static void a_kill_counts_as_down_since_it_was_silent(void **state)
{
    (void)state;
    rig_settle();
    standby_runs(1000);
    plan_begin("hung", "no new connection was answered");
    plan_add(HA_KILL)->until_mono_ms = 999000;
    carry_out();
    assert_non_null(strstr(calls(), "stop immediate"));
    assert_int_equal(rig.agent.facts.run, HA_RUN_STOPPING);
    assert_int_equal(rig.agent.facts.crash_since_mono_ms, 999000);
    assert_int_equal(rig.agent.facts.crashes, 1);
    postmaster_gone();
    answer("stop immediate", 0);
    assert_int_equal(rig.agent.facts.run, HA_RUN_STOPPED);
    assert_int_equal(rig.agent.facts.crash_since_mono_ms, 999000);
    rig_free();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_server_that_answers_is_asked_now_and_then),
        cmocka_unit_test(silence_counts_from_the_first_question_without_an_answer),
        cmocka_unit_test(one_that_recovers_is_no_silent_one),
        cmocka_unit_test(what_was_asked_of_another_start_does_not_count),
        cmocka_unit_test(a_new_start_begins_without_blame),
        cmocka_unit_test(a_crash_loop_is_counted_until_one_start_lasts),
        cmocka_unit_test(a_kill_counts_as_down_since_it_was_silent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
