/* Whether the running server lets somebody new in: asked by a connection of its own, and only a
 * server that runs is asked. */
#include "agent/ha/ha_facts.h"
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

static unsigned crashes(void)
{
    return snapshot_now()->self.crashes;
}

static void crashes_count_for_as_long_as_the_window_is(void **state)
{
    (void)state;
    rig_init();
    rig.agent.dynamic.crash_loop_window_ms = 60000;
    for (unsigned i = 1; i <= 3; i++) { /* up for longer than it takes to settle, each time */
        standby_runs(1000);
        run_for(LOOP_SETTLED_MS + 1000);
        observe_run(&rig.agent);
        assert_int_equal(rig.agent.facts.crash_since_mono_ms, HA_NEVER);
        postmaster_gone();
        observe_run(&rig.agent);
        assert_int_equal(crashes(), i);
    }
    standby_runs(1000);
    run_for(60000 - LOOP_SETTLED_MS);
    assert_int_equal(crashes(), 1);
    run_for(LOOP_SETTLED_MS);
    assert_int_equal(crashes(), 0);
    rig.agent.dynamic.crash_loop_window_ms = 0;
    postmaster_gone();
    observe_run(&rig.agent);
    assert_int_equal(crashes(), 0); /* nobody wants to know */
    rig_free();
}

/* One that restarts itself keeps its postmaster, and starts its other processes anew. */
static void a_restart_of_its_own_is_a_crash(void **state)
{
    (void)state;
    rig_init();
    standby_runs(1000);
    while (is_asked("probe")) {
        answer("probe", ERR_TIMEOUT);
    }
    static const int64_t checkpointers[] = {0, 7000, 7000, 9000, 0, 9000};
    static const unsigned wanted[] = {0, 0, 0, 1, 1, 1};
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        run_for(LOOP_PROBE_MS_MAX);
        said.asked_ms = rig.now_ms;
        said.postmaster_start_ms = 5000;
        said.checkpointer_start_ms = checkpointers[i];
        answer_said();
        assert_int_equal(crashes(), wanted[i]);
    }
    assert_non_null(strstr(buf_str(&rig.logged), "has restarted itself"));
    rig_free();
}

static bool is_stuck(uint64_t received, uint64_t replayed)
{
    run_for(LOOP_PROBE_MS_MAX);
    said.asked_ms = rig.now_ms;
    said.receive_lsn = received;
    said.replay_lsn = replayed;
    answer_said();
    return rig.agent.facts.replay_stuck;
}

/* PostgreSQL fetches the same WAL again and again, and takes what is in it for none. */
static void replay_that_does_not_take_what_is_here_is_told(void **state)
{
    (void)state;
    rig_init();
    key_set("leader", "n2");
    observe_store_changed(&rig.agent);
    standby_runs(1000);
    while (is_asked("probe")) {
        answer("probe", ERR_TIMEOUT);
    }
    said.replay_waits = true;
    assert_false(is_stuck(1100, 1000));
    int64_t since_ms = rig.now_ms;
    while (rig.now_ms - since_ms < LOOP_REPLAY_STUCK_MS - LOOP_PROBE_MS_MAX) {
        assert_false(is_stuck(1100, 1000));
    }
    said.receiver_alive = true; /* the rest of a record may come any time */
    assert_false(is_stuck(1100, 1000));
    said.receiver_alive = said.replay_waits = false; /* somebody's query is in its way */
    assert_false(is_stuck(1100, 1000));
    said.replay_waits = true;
    assert_true(is_stuck(1100, 1000));
    assert_non_null(strstr(buf_str(&rig.logged), "replays none of it behind 0/3E8"));
    assert_true(is_stuck(1100, 1000));
    assert_false(is_stuck(1200, 1100)); /* it goes on */
    since_ms = rig.now_ms;
    while (rig.now_ms - since_ms < 2 * LOOP_REPLAY_STUCK_MS) {
        assert_false(is_stuck(1100, 1100)); /* all is replayed, and nothing comes */
    }
    rig_free();
}

static void leader_is_at(unsigned lsn)
{
    char value[128];
    (void)snprintf(value, sizeof value, "{\"timeline\":3,\"xlog_location\":%u}", lsn);
    key_set("members/n2", value);
    observe_store_changed(&rig.agent);
}

/* For as long as it takes, and a bit: did it become so? */
static bool becomes_ahead(void)
{
    int64_t since_ms = rig.now_ms;
    bool early = false;
    while (rig.now_ms - since_ms <
           2 * rig.agent.dynamic.loop_wait_ms + HA_NOT_STREAMING_MS + 2 * LOOP_PROBE_MS_MAX) {
        run_for(LOOP_PROBE_MS_MAX);
        said.asked_ms = rig.now_ms;
        answer_said();
        early = early || (rig.agent.facts.ahead && rig.now_ms - since_ms < HA_NOT_STREAMING_MS);
    }
    assert_false(early);
    return rig.agent.facts.ahead;
}

/* PostgreSQL streams from the beginning of a segment, so it may stream to who is ahead of it. */
static void leader_that_stays_behind_its_standby_is_a_reason_to_ask(void **state)
{
    (void)state;
    rig_init();
    key_set("leader", "n2");
    leader_is_at(1999);
    standby_runs(2000);
    while (is_asked("probe")) {
        answer("probe", ERR_TIMEOUT);
    }
    said.receiver_alive = said.timeline_exact = true;
    assert_true(becomes_ahead());
    leader_is_at(2000);
    assert_false(becomes_ahead());
    leader_is_at(1000);
    said.flush_lsn = 500; /* it has been started anew: what is replayed counts */
    assert_true(becomes_ahead());
    said.replay_lsn = 2100; /* it receives, and the leader has told of before */
    run_for(LOOP_PROBE_MS_MAX);
    said.asked_ms = rig.now_ms;
    answer_said();
    assert_false(rig.agent.facts.ahead);
    said.timeline_exact = false;
    assert_false(becomes_ahead());
    said.timeline_exact = true;
    said.timeline = 4; /* to be compared by histories */
    assert_false(becomes_ahead());
    rig_free();
}

/* The agent was frozen: the deadline of its question passed meanwhile, and nobody listened. */
static void what_the_agent_slept_through_is_nobodys_silence(void **state)
{
    (void)state;
    begin();
    rig.now_ms += 60000;
    answer("ping", ERR_TIMEOUT);
    assert_int_equal(silent_since(), HA_NEVER);
    run_for(500);
    answer("ping", ERR_TIMEOUT);
    assert_int_equal(silent_since(), rig.agent.ping_sent_mono_ms);
    int64_t before_ms = rig.now_ms - silent_since();
    rig.agent.facts.disk_since_mono_ms = rig.now_ms - 700;
    rig.agent.fence_silent = rig.fence.silent = true;
    rig.agent.fence_silent_since_mono_ms = rig.now_ms - 700;
    rig.now_ms += 60000;
    run_for(0);
    liveness_awake(&rig.agent);
    assert_in_range(rig.now_ms - silent_since(), before_ms, before_ms + LOOP_PROBE_MS_MAX);
    assert_in_range(rig.now_ms - rig.agent.facts.disk_since_mono_ms, 700, 700 + LOOP_PROBE_MS_MAX);
    assert_int_equal(rig.agent.fence_silent_since_mono_ms, rig.agent.facts.disk_since_mono_ms);
    rig.agent.fence_silent_since_mono_ms = rig.now_ms; /* seen after the pause */
    rig.agent.awake_mono_ms = rig.now_ms - 60000;
    liveness_awake(&rig.agent);
    assert_int_equal(rig.agent.fence_silent_since_mono_ms, rig.now_ms);
    rig_free();
}

static int64_t stop_failed_mono_ms(void)
{
    return snapshot_now()->self.stop_failed_mono_ms;
}

static void a_stop_that_has_failed_is_known_until_the_next_one(void **state)
{
    (void)state;
    rig_settle();
    standby_runs(1000);
    plan_begin("stop", "some reason");
    plan_add(HA_STOP_FAST);
    carry_out();
    assert_int_equal(stop_failed_mono_ms(), HA_NEVER);
    answer("stop fast", ERR_TIMEOUT);
    assert_int_equal(rig.agent.facts.run, HA_RUN_STOPPING);
    assert_int_equal(stop_failed_mono_ms(), rig.now_ms);
    plan_begin("stop_failed", "it is killed again");
    plan_add(HA_KILL);
    carry_out();
    assert_int_equal(stop_failed_mono_ms(), HA_NEVER);
    assert_int_equal(crashes(), 0);
    postmaster_gone();
    answer("stop immediate", 0);
    assert_int_equal(rig.agent.facts.run, HA_RUN_STOPPED);
    assert_int_equal(stop_failed_mono_ms(), HA_NEVER);
    rig_free();
}

static void what_a_stop_has_left_may_end_by_itself(void **state)
{
    (void)state;
    rig_settle();
    standby_runs(1000);
    plan_begin("stop", "some reason");
    plan_add(HA_STOP_FAST);
    carry_out();
    answer("stop fast", ERR_TIMEOUT);
    assert_int_equal(stop_failed_mono_ms(), rig.now_ms);
    postmaster_gone();
    observe_run(&rig.agent);
    assert_int_equal(rig.agent.facts.run, HA_RUN_STOPPED);
    assert_int_equal(stop_failed_mono_ms(), HA_NEVER);
    rig_free();
}

static void a_kill_counts_as_down_since_it_was_silent(void **state)
{
    (void)state;
    rig_settle();
    rig.agent.dynamic.hang_timeout_ms = 10000;
    standby_runs(1000);
    rig.agent.facts.silent_since_mono_ms = 999000;
    plan_begin("hung", "no new connection was answered");
    plan_add(HA_KILL)->until_mono_ms = 999000;
    carry_out();
    assert_non_null(strstr(calls(), "stop immediate"));
    assert_int_equal(rig.agent.facts.run, HA_RUN_STOPPING);
    assert_int_equal(rig.agent.facts.crash_since_mono_ms, 999000);
    assert_int_equal(crashes(), 1);
    assert_int_equal(rig.agent.facts.hangs, 1);
    postmaster_gone();
    answer("stop immediate", 0);
    assert_int_equal(rig.agent.facts.run, HA_RUN_STOPPED);
    assert_int_equal(rig.agent.facts.crash_since_mono_ms, 999000);
    rig.agent.facts.stop_ordered = false;
    standby_runs(1000);
    run_for(2 * dynamic_hang_timeout_ms(&rig.agent.dynamic) - 1);
    observe_run(&rig.agent);
    assert_int_equal(rig.agent.facts.hangs, 1); /* the next one comes as late as this one did */
    run_for(1);
    observe_run(&rig.agent);
    assert_int_equal(rig.agent.facts.hangs, 0);
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
        cmocka_unit_test(crashes_count_for_as_long_as_the_window_is),
        cmocka_unit_test(a_restart_of_its_own_is_a_crash),
        cmocka_unit_test(replay_that_does_not_take_what_is_here_is_told),
        cmocka_unit_test(leader_that_stays_behind_its_standby_is_a_reason_to_ask),
        cmocka_unit_test(what_the_agent_slept_through_is_nobodys_silence),
        cmocka_unit_test(a_stop_that_has_failed_is_known_until_the_next_one),
        cmocka_unit_test(what_a_stop_has_left_may_end_by_itself),
        cmocka_unit_test(a_kill_counts_as_down_since_it_was_silent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
