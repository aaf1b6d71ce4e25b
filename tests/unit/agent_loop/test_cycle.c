/* When the loop decides, and what it remembers of it. */
#include "loop_fixture.h"

static void decided(unsigned times)
{
    assert_int_equal(rig.decided, times);
}

static void the_first_decision_comes_from_the_loop_at_once(void **state)
{
    (void)state;
    rig_init();
    decided(0);
    run_for(0);
    decided(1);
    rig_free();
}

/* Brings the looks that a fresh start causes to an end. */
static void settle(void)
{
    struct pg_inspection empty = {.kind = PG_DIR_EMPTY};
    rig_init();
    run_for(0);
    answer_inspect(&empty);
    run_for(0);
    if (is_asked("member")) {
        answer("member", 0);
    }
    run_for(2000);
    rig.decided = 0;
}

static void without_events_it_decides_every_loop_wait(void **state)
{
    (void)state;
    settle();
    run_for(LOOP_WAIT_MS - 2000 - 1);
    decided(0);
    run_for(1);
    decided(1);
    run_for(LOOP_WAIT_MS - 1);
    decided(1);
    run_for(1);
    decided(2);
    rig_free();
}

static void an_event_is_decided_on_at_once_and_several_together(void **state)
{
    (void)state;
    settle();
    cycle_request(&rig.agent);
    cycle_request(&rig.agent);
    decided(0); /* never inside who told of it */
    run_for(0);
    decided(1);
    rig_free();
}

static void a_change_of_the_store_is_an_event(void **state)
{
    (void)state;
    settle();
    key_set("leader", "n2");
    observe_store_changed(&rig.agent);
    run_for(0);
    decided(1);
    observe_store_changed(&rig.agent); /* nothing new */
    run_for(0);
    decided(1);
    rig_free();
}

static void nothing_is_decided_while_a_plan_is_carried_out(void **state)
{
    (void)state;
    settle();
    plan_begin("write", "waits for the store");
    plan_add(HA_CLEAR_FAILOVER);
    cycle_request(&rig.agent);
    run_for(0);
    decided(1);
    cycle_request(&rig.agent);
    run_for(3 * LOOP_WAIT_MS);
    decided(1);
    plan_idle();
    answer("put failover", 0);
    decided(1);
    run_for(0);
    decided(2); /* what happened meanwhile was not forgotten */
    run_for(0);
    decided(2);
    rig_free();
}

static void a_failed_plan_is_not_repeated_at_once(void **state)
{
    (void)state;
    settle();
    plan_begin("write", "is refused");
    plan_add(HA_CLEAR_FAILOVER);
    rig.refused_rc = ERR_UNAVAILABLE;
    (void)snprintf(rig.refused, sizeof rig.refused, "put failover");
    cycle_request(&rig.agent);
    run_for(0);
    decided(1);
    run_for(LOOP_RETRY_MS - 1);
    decided(1);
    run_for(1);
    decided(2);
    rig_free();
}

static void what_happens_while_a_plan_fails_does_not_make_it_spin(void **state)
{
    (void)state;
    settle();
    plan_begin("write", "fails at the end");
    plan_add(HA_CLEAR_FAILOVER);
    cycle_request(&rig.agent);
    run_for(0);
    cycle_request(&rig.agent);
    answer("put failover", ERR_CONFLICT);
    run_for(LOOP_RETRY_MS - 1);
    decided(1);
    run_for(1);
    decided(2);
    rig_free();
}

static void a_plan_may_ask_to_be_looked_at_earlier(void **state)
{
    (void)state;
    settle();
    plan_begin("wait", "for a while");
    plan_add(HA_WAIT)->until_mono_ms = rig.now_ms + 700;
    cycle_request(&rig.agent);
    run_for(0);
    decided(1);
    run_for(699);
    decided(1);
    run_for(1);
    decided(2);
    rig_free();
}

static void a_wait_that_is_over_already_does_not_spin(void **state)
{
    (void)state;
    settle();
    plan_begin("wait", "for what has been");
    plan_add(HA_WAIT)->until_mono_ms = rig.now_ms;
    cycle_request(&rig.agent);
    run_for(100);
    assert_in_range(rig.decided, 2, 1 + 100 / 5);
    rig_free();
}

static void a_wait_beyond_loop_wait_is_cut_to_it(void **state)
{
    (void)state;
    settle();
    plan_begin("wait", "for long");
    plan_add(HA_WAIT)->until_mono_ms = rig.now_ms + 10 * LOOP_WAIT_MS;
    cycle_request(&rig.agent);
    run_for(0);
    run_for(LOOP_WAIT_MS - 1);
    decided(1);
    run_for(1);
    decided(2);
    rig_free();
}

static void after_the_end_nothing_is_decided(void **state)
{
    (void)state;
    settle();
    cycle_request(&rig.agent);
    cycle_stop(&rig.agent);
    cycle_request(&rig.agent);
    run_for(3 * LOOP_WAIT_MS);
    decided(0);
    rig_free();
}

/* --- the ring --------------------------------------------------------------------------------- */

static void decide_now(const char *rule, const char *reason, enum ha_action_type type)
{
    plan_begin(rule, reason);
    plan_add(type);
    cycle_request(&rig.agent);
    run_for(0);
}

static void a_decision_is_kept_with_what_it_was_made_of_and_what_became_of_it(void **state)
{
    (void)state;
    settle();
    decide_now("clear", "the request is obsolete", HA_CLEAR_FAILOVER);
    const struct loop_decision *decision = last_decision();
    assert_string_equal(decision->rule, "clear");
    assert_string_equal(decision->reason, "the request is obsolete");
    assert_non_null(strstr(decision->plan, "clear_failover"));
    assert_non_null(strstr(decision->snapshot, "n1"));
    assert_null(decision->outcome); /* under way */
    answer("put failover", 0);
    assert_string_equal(decision->outcome, "done");
    assert_non_null(
        strstr(buf_str(&rig.logged), "clear: the request is obsolete (clear_failover)"));
    rig_free();
}

static void the_outcome_of_a_failure_names_the_action(void **state)
{
    (void)state;
    settle();
    decide_now("clear", "it is obsolete", HA_CLEAR_FAILOVER);
    answer("put failover", ERR_CONFLICT);
    assert_string_equal(last_decision()->outcome, "clear_failover: as the test says");
    rig_free();
}

static void the_same_decision_again_is_counted_and_not_logged(void **state)
{
    (void)state;
    settle();
    decide_now("wait", "for the leader", HA_WAIT);
    size_t count = rig.agent.decision_count;
    buf_clear(&rig.logged);
    decide_now("wait", "for the leader", HA_WAIT);
    decide_now("wait", "for the leader", HA_WAIT);
    assert_int_equal(rig.agent.decision_count, count);
    assert_int_equal(last_decision()->repeats, 2);
    assert_string_equal(buf_str(&rig.logged), "");
    rig_free();
}

static void routine_with_other_words_is_no_news_and_a_change_of_rule_is(void **state)
{
    (void)state;
    settle();
    decide_now("wait", "1 s to go", HA_WAIT);
    size_t count = rig.agent.decision_count;
    decide_now("wait", "0 s to go", HA_WAIT);
    assert_int_equal(rig.agent.decision_count, count);
    decide_now("other", "0 s to go", HA_WAIT);
    assert_int_equal(rig.agent.decision_count, count + 1);
    rig_free();
}

static void the_ring_holds_the_last_ones(void **state)
{
    (void)state;
    char reason[32];
    settle();
    size_t before = rig.agent.decision_count;
    for (int i = 0; i < 3 * LOOP_DECISIONS_MAX; i++) {
        (void)snprintf(reason, sizeof reason, "number %d", i);
        decide_now(i % 2 == 0 ? "even" : "odd", reason, HA_WAIT);
    }
    assert_int_equal(rig.agent.decision_count, before + 3 * LOOP_DECISIONS_MAX);
    for (int i = 0; i < LOOP_DECISIONS_MAX; i++) {
        (void)snprintf(reason, sizeof reason, "number %d", 2 * LOOP_DECISIONS_MAX + i);
        bool found = false;
        for (size_t j = 0; j < LOOP_DECISIONS_MAX; j++) {
            found = found || strcmp(rig.agent.decisions[j].reason, reason) == 0;
        }
        assert_true(found);
    }
    rig_free();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_decision_comes_from_the_loop_at_once),
        cmocka_unit_test(without_events_it_decides_every_loop_wait),
        cmocka_unit_test(an_event_is_decided_on_at_once_and_several_together),
        cmocka_unit_test(a_change_of_the_store_is_an_event),
        cmocka_unit_test(nothing_is_decided_while_a_plan_is_carried_out),
        cmocka_unit_test(a_failed_plan_is_not_repeated_at_once),
        cmocka_unit_test(what_happens_while_a_plan_fails_does_not_make_it_spin),
        cmocka_unit_test(a_plan_may_ask_to_be_looked_at_earlier),
        cmocka_unit_test(a_wait_that_is_over_already_does_not_spin),
        cmocka_unit_test(a_wait_beyond_loop_wait_is_cut_to_it),
        cmocka_unit_test(after_the_end_nothing_is_decided),
        cmocka_unit_test(a_decision_is_kept_with_what_it_was_made_of_and_what_became_of_it),
        cmocka_unit_test(the_outcome_of_a_failure_names_the_action),
        cmocka_unit_test(the_same_decision_again_is_counted_and_not_logged),
        cmocka_unit_test(routine_with_other_words_is_no_news_and_a_change_of_rule_is),
        cmocka_unit_test(the_ring_holds_the_last_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
