/* How settings get from the store to the instance: beside nothing else that writes its files, again
 * if they could not, and before a start. */
#include "loop_fixture.h"

static void configure(const char *postgresql)
{
    char value[200];
    (void)snprintf(value, sizeof value,
                   "{\"ttl\":30,\"loop_wait\":10,\"retry_timeout\":10,\"postgresql\":{%s}}",
                   postgresql);
    key_set("config", value);
    observe_store_changed(&rig.agent);
}

#define MORE "\"parameters\":{\"max_connections\":200}"
#define MOST "\"parameters\":{\"max_connections\":300}"

static void start_wanted(void)
{
    plan_begin("start", "a standby");
    (void)snprintf(plan_add(HA_START_STANDBY)->member, HA_NAME_BYTES, "n2");
    cycle_request(&rig.agent);
    run_for(0);
}

/* Perhaps more than once: the test decides the same again. */
static bool start_is_asked(void)
{
    return strncmp(calls(), "start standby\n", strlen("start standby\n")) == 0;
}

static void a_start_waits_for_a_reload_that_runs(void **state)
{
    (void)state;
    rig_settle();
    configure(MORE);
    assert_string_equal(calls(), "reload\n");
    start_wanted();
    assert_string_equal(calls(), "");
    assert_non_null(strstr(last_outcome(), "is being written"));
    assert_false(rig.agent.facts.start_ordered);
    answer("reload", 0);
    run_for(0); /* and not only after the time that a failed plan waits */
    assert_true(start_is_asked());
    rig_free();
}

/* The values came while a job ran; when it has ended, the start may be decided on first. */
static void a_start_is_preceded_by_what_a_job_has_held_up(void **state)
{
    (void)state;
    rig_settle();
    (void)snprintf(rig.refused, sizeof rig.refused, "reload");
    rig.refused_rc = ERR_BUSY;
    configure(MORE);
    (void)calls();
    rig.refused[0] = '\0';
    start_wanted();
    assert_string_equal(calls(), "reload\n");
    answer("reload", 0);
    run_for(0);
    assert_true(start_is_asked());
    assert_int_equal(rig.warnings, 0);
    rig_free();
}

static void a_start_does_not_wait_for_one_that_has_failed(void **state)
{
    (void)state;
    rig_settle();
    configure(MORE);
    answer("reload", ERR_NO_SPACE);
    run_for(0);
    (void)calls();
    start_wanted();
    assert_true(start_is_asked());
    rig_free();
}

static bool asked_within(int64_t from_ms, int64_t to_ms)
{
    int64_t begin_ms = rig.now_ms;
    run_for(from_ms);
    bool early = is_asked("reload");
    while (!is_asked("reload") && rig.now_ms < begin_ms + to_ms) {
        run_for(100);
    }
    return !early && is_asked("reload");
}

static void one_that_failed_is_repeated_less_and_less_often(void **state)
{
    (void)state;
    static const int64_t wait_ms[] = {1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000};
    rig_settle();
    configure(MORE);
    for (size_t i = 0; i < sizeof wait_ms / sizeof wait_ms[0]; i++) {
        answer("reload", ERR_IO);
        assert_int_equal(rig.warnings, i + 1);
        assert_string_equal(rig.agent.reload.error, "as the test says");
        if (!asked_within(wait_ms[i] - 100, wait_ms[i] + 2 * LOOP_PROBE_MS_MAX)) {
            fail_msg("repetition %zu", i);
        }
    }
    answer("reload", 0);
    assert_string_equal(rig.agent.reload.error, "");
    run_for(200000);
    assert_false(is_asked("reload"));
    configure(MOST);
    answer("reload", ERR_IO);
    assert_true(asked_within(900, 3000)); /* counted anew */
    rig_free();
}

static void values_that_cannot_be_are_tried_once(void **state)
{
    (void)state;
    rig_settle();
    configure(MORE);
    answer("reload", ERR_INVALID);
    run_for(300000);
    assert_false(is_asked("reload"));
    assert_string_equal(rig.agent.reload.error, "as the test says");
    configure(MOST);
    assert_true(is_asked("reload"));
    answer("reload", 0);
    assert_string_equal(rig.agent.reload.error, "");
    rig_free();
}

/* All but a file that could not be opened is in force; the file may come back. */
static void a_file_that_is_away_is_tried_again(void **state)
{
    (void)state;
    struct ha_upstream *upstream = &rig.agent.facts.upstream;
    rig_settle();
    *upstream = (struct ha_upstream){.known = true, .conn_url = "x"};
    rig.agent.reload.receiver_changed = true;
    configure(MORE);
    answer("reload", ERR_NOT_FOUND);
    assert_string_equal(upstream->conn_url, "");
    assert_string_equal(rig.agent.reload.error, "as the test says");
    assert_true(asked_within(900, 3000));
    answer("reload", ERR_UNAVAILABLE);
    assert_true(asked_within(1900, 6000));
    answer("reload", 0);
    assert_string_equal(rig.agent.reload.error, "");
    rig_free();
}

static void values_that_come_meanwhile_follow_at_once(void **state)
{
    (void)state;
    rig_settle();
    configure(MORE);
    (void)calls();
    configure(MOST);
    assert_string_equal(calls(), "");
    answer("reload", ERR_IO); /* of the older ones: nobody waits for them any more */
    run_for(0);
    assert_string_equal(calls(), "reload\n");
    assert_int_equal(rig.warnings, 0);
    rig_free();
}

static void what_the_store_says_of_slots_goes_along(void **state)
{
    (void)state;
    rig_settle();
    configure("\"use_slots\":false");
    assert_string_equal(calls(), "reload without slots\n");
    answer("reload", 0);
    configure("\"use_slots\":true");
    assert_string_equal(calls(), "reload\n");
    rig_free();
}

/* The service file is written with an upstream: the rules are made to attach once more. */
static void a_receiver_with_another_account_is_attached_anew(void **state)
{
    (void)state;
    struct ha_upstream *upstream = &rig.agent.facts.upstream;
    rig_settle();
    *upstream = (struct ha_upstream){.known = true, .detached = true, .conn_url = "x"};
    rig.agent.reload.receiver_changed = true;
    configure(MORE);
    answer("reload", 0);
    assert_string_equal(upstream->conn_url, "x"); /* detached it stays */
    assert_true(upstream->detached);
    assert_false(rig.agent.reload.receiver_changed);
    upstream->detached = false;
    configure(MOST);
    answer("reload", 0);
    assert_string_equal(upstream->conn_url, "x"); /* the same account */
    rig.agent.reload.receiver_changed = true;
    configure(MORE);
    answer("reload", ERR_IO); /* it has not got there yet */
    assert_string_equal(upstream->conn_url, "x");
    assert_true(asked_within(900, 3000));
    answer("reload", 0);
    assert_string_equal(upstream->conn_url, "");
    rig_free();
}

/* The answer to the values before it has not written the new account into any file. */
static void a_receiver_waits_for_its_own_values(void **state)
{
    (void)state;
    struct ha_upstream *upstream = &rig.agent.facts.upstream;
    rig_settle();
    *upstream = (struct ha_upstream){.known = true, .conn_url = "x"};
    configure(MORE);
    rig.agent.reload.receiver_changed = true;
    configure(MOST);
    answer("reload", 0); /* of the older ones */
    assert_string_equal(upstream->conn_url, "x");
    run_for(0);
    answer("reload", 0);
    assert_string_equal(upstream->conn_url, "");
    rig_free();
}

static void a_start_that_failed_has_its_settings_tried(void **state)
{
    (void)state;
    rig_settle();
    start_wanted();
    assert_true(start_is_asked());
    answer("start", ERR_IO);
    assert_true(is_asked("reload"));
    answer("reload", 0);
    rig_free();
}

static void look_at(uint64_t system_identifier, bool hba_missing)
{
    struct pg_inspection inspection = {.kind = PG_DIR_VALID,
                                       .running = true,
                                       .hba_missing = hba_missing,
                                       .control = {.system_identifier = system_identifier}};
    run_for(LOOP_PROBE_MS_MAX);
    answer_inspect(&inspection);
    (void)calls();
}

/* Its settings are somebody else's, until it is this cluster's. */
static void a_server_of_another_cluster_is_left_its_files(void **state)
{
    (void)state;
    rig_settle();
    observe_inspect(&rig.agent);
    look_at(43, false);
    configure(MORE);
    assert_true(is_asked("reload"));
    assert_true(rig.reloaded_foreign);
    answer("reload", 0);
    run_for(10000);
    assert_false(is_asked("reload"));
    observe_inspect(&rig.agent);
    look_at(7000000000000000042, false);
    run_for(LOOP_PROBE_MS_MAX);
    assert_true(is_asked("reload"));
    assert_false(rig.reloaded_foreign);
    answer("reload", 0);
    run_for(10000);
    assert_false(is_asked("reload"));
    configure(MOST);
    assert_true(is_asked("reload"));
    assert_false(rig.reloaded_foreign);
    rig_free();
}

/* Whose it is, the store has to say: an empty one says nothing, nor one that is not read yet. */
static void a_server_that_no_cluster_is_named_after_is_left_its_files(void **state)
{
    (void)state;
    rig_settle();
    observe_inspect(&rig.agent);
    look_at(7000000000000000042, false);
    key_set("initialize", NULL);
    configure(MORE);
    assert_true(rig.reloaded_foreign);
    answer("reload", 0);
    key_set("initialize", "");
    configure(MOST);
    assert_true(rig.reloaded_foreign);
    answer("reload", 0);
    key_set("initialize", "7000000000000000042"); /* it was announced */
    observe_store_changed(&rig.agent);
    run_for(LOOP_PROBE_MS_MAX);
    assert_true(is_asked("reload"));
    assert_false(rig.reloaded_foreign);
    rig_free();
}

/* What a standby keeps that was adopted is taken over when it is promoted; whoever copies it waits
 * for that. */
static void an_adopted_standby_is_given_its_files_when_it_is_promoted(void **state)
{
    (void)state;
    rig_settle();
    standby_runs(1000);
    for (int i = 0; i < 2; i++) {
        bool missing = i == 1;
        observe_inspect(&rig.agent);
        look_at(7000000000000000042, missing);
        standby_says(1000);
        observe_probe_soon(&rig.agent);
        run_for(LOOP_PROBE_MS_MAX);
        answer_said();
        assert_false(is_asked("reload"));
        said.role = PG_PRIMARY;
        run_for(LOOP_PROBE_MS_MAX);
        answer_said();
        assert_int_equal(is_asked("reload"), missing);
        run_for(LOOP_PROBE_MS_MAX);
    }
    rig_free();
}

/* A reload that was accepted changes nothing: whoever asked for it has to know. */
static void what_is_withheld_from_a_running_server_is_told_once(void **state)
{
    (void)state;
    rig_settle();
    standby_runs(1000);
    key_set("initialize", "43");
    buf_clear(&rig.logged);
    configure(MORE);
    assert_true(rig.reloaded_foreign);
    assert_non_null(strstr(buf_str(&rig.logged), "withheld from the server that runs"));
    answer("reload", 0);
    buf_clear(&rig.logged);
    configure(MOST);
    assert_true(is_asked("reload"));
    assert_null(strstr(buf_str(&rig.logged), "withheld"));
    rig_free();
}

/* Of an empty directory nothing was withheld that the start after a copy does not write. */
static void what_a_start_has_written_is_not_given_again(void **state)
{
    (void)state;
    rig_settle();
    configure(MORE);
    assert_true(rig.reloaded_foreign);
    answer("reload", 0);
    run_for(0);
    (void)calls();
    start_wanted();
    assert_true(start_is_asked());
    plan_idle();
    observe_inspect(&rig.agent);
    look_at(7000000000000000042, false);
    run_for(10000);
    assert_false(is_asked("reload"));
    rig_free();
}

/* The rules that a copy needs come with the settings: it is looked whether they are there. */
static void rules_that_were_missing_are_looked_for_after_a_reload(void **state)
{
    (void)state;
    rig_settle();
    observe_inspect(&rig.agent);
    look_at(7000000000000000042, true);
    configure(MORE);
    answer("reload", 0);
    run_for(LOOP_PROBE_MS_MAX);
    assert_true(is_asked("inspect"));
    assert_true(rig.agent.facts.inspected); /* decisions go on */
    look_at(7000000000000000042, false);
    configure(MOST);
    answer("reload", 0);
    run_for(LOOP_PROBE_MS_MAX);
    assert_false(is_asked("inspect"));
    rig_free();
}

static void an_answer_after_the_end_begins_nothing(void **state)
{
    (void)state;
    rig_settle();
    configure(MORE);
    configure(MOST);
    (void)calls();
    rig.agent.executing = false; /* as agent/app.c does at the end */
    rig.agent.stopping = true;
    observe_stop(&rig.agent);
    rig.agent.pg = NULL;
    answer("reload", ERR_CANCELED);
    assert_string_equal(calls(), "");
    assert_int_equal(rig.warnings, 0);
    rig.agent.probe_timer.data = NULL; /* closed above */
    rig_free();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_start_waits_for_a_reload_that_runs),
        cmocka_unit_test(a_start_is_preceded_by_what_a_job_has_held_up),
        cmocka_unit_test(a_start_does_not_wait_for_one_that_has_failed),
        cmocka_unit_test(one_that_failed_is_repeated_less_and_less_often),
        cmocka_unit_test(values_that_cannot_be_are_tried_once),
        cmocka_unit_test(a_file_that_is_away_is_tried_again),
        cmocka_unit_test(values_that_come_meanwhile_follow_at_once),
        cmocka_unit_test(what_the_store_says_of_slots_goes_along),
        cmocka_unit_test(a_receiver_with_another_account_is_attached_anew),
        cmocka_unit_test(a_receiver_waits_for_its_own_values),
        cmocka_unit_test(a_start_that_failed_has_its_settings_tried),
        cmocka_unit_test(a_server_of_another_cluster_is_left_its_files),
        cmocka_unit_test(a_server_that_no_cluster_is_named_after_is_left_its_files),
        cmocka_unit_test(an_adopted_standby_is_given_its_files_when_it_is_promoted),
        cmocka_unit_test(what_is_withheld_from_a_running_server_is_told_once),
        cmocka_unit_test(what_a_start_has_written_is_not_given_again),
        cmocka_unit_test(rules_that_were_missing_are_looked_for_after_a_reload),
        cmocka_unit_test(an_answer_after_the_end_begins_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
