/* What the others are told: the member key when the picture changed, `status` and `history`. */
#include "loop_fixture.h"

/* Started, looked at, published once. */
static void settle(void)
{
    struct pg_inspection empty = {.kind = PG_DIR_EMPTY};
    rig_init();
    run_for(0);
    answer_inspect(&empty);
    run_for(0);
    while (is_asked("member")) {
        answer("member", 0);
        run_for(0);
    }
}

static void an_unchanged_picture_is_told_once_a_loop_wait(void **state)
{
    (void)state;
    settle();
    publish_request(&rig.agent);
    publish_request(&rig.agent);
    run_for(LOOP_WAIT_MS - 1);
    assert_false(is_asked("member"));
    run_for(1);
    assert_true(is_asked("member")); /* its lease has to be renewed */
    rig_free();
}

static void a_change_is_told_at_once(void **state)
{
    (void)state;
    settle();
    run_for(50);
    standby_runs(1000);
    publish_request(&rig.agent);
    run_for(0);
    assert_true(is_asked("member"));
    rig_free();
}

/* The primary reads it, and takes somebody else to wait for. */
static void a_standby_that_is_to_stop_says_nosync(void **state)
{
    (void)state;
    settle();
    run_for(50);
    standby_runs(1000);
    run_for(0);
    answer("member", 0);
    assert_null(strstr(rig.member, "nosync"));
    rig.agent.facts.request = HA_REQUEST_SHUTDOWN;
    publish_request(&rig.agent);
    run_for(0);
    assert_true(is_asked("member"));
    assert_non_null(strstr(rig.member, "\"tags\":{\"nosync\":true,\"sync_priority\":0}"));
    rig_free();
}

static void another_ttl_is_told_at_once(void **state)
{
    (void)state;
    settle();
    run_for(50);
    rig.agent.dynamic.ttl_ms *= 10;
    rig.agent.dynamic.loop_wait_ms *= 10;
    publish_request(&rig.agent);
    run_for(0);
    assert_true(is_asked("member"));
    answer("member", 0);
    publish_request(&rig.agent);
    run_for(LOOP_WAIT_MS);
    assert_false(is_asked("member"));
    rig_free();
}

/* By that members of ours know each other from Patroni's. */
static void a_record_says_that_its_member_reports(void **state)
{
    (void)state;
    settle();
    assert_non_null(strstr(rig.member, "\"reports\":true"));
    rig_free();
}

static void told_again(const struct pg_inspection *inspection)
{
    observe_inspect(&rig.agent);
    run_for(LOOP_PROBE_MS_MAX);
    answer_inspect(inspection);
    while (is_asked("member")) {
        answer("member", 0);
        run_for(0);
    }
    publish_request(&rig.agent);
    run_for(LOOP_WAIT_MS);
    answer("member", 0);
}

/* By that an empty member knows whether somebody has the data of a store that knows of none, and
 * others whose are the newest. */
static void a_record_says_what_there_is_until_somebody_has_led(void **state)
{
    const struct pg_inspection valid = {.kind = PG_DIR_VALID,
                                        .wal_timeline = 3,
                                        .control = {.system_identifier = 42,
                                                    .state = PG_CONTROL_IN_PRODUCTION,
                                                    .timeline = 2,
                                                    .checkpoint_lsn = 0x100}};
    const struct pg_inspection empty = {.kind = PG_DIR_EMPTY};
    const struct pg_inspection unread = {.kind = PG_DIR_VALID};
    const struct pg_inspection broken = {.kind = PG_DIR_BROKEN};
    const struct pg_inspection foreign = {.kind = PG_DIR_FOREIGN};
    const struct pg_inspection cut_off = {.kind = PG_DIR_UNFINISHED,
                                          .unfinished = PG_UNFINISHED_CLONE};
    const struct pg_inspection half = {.kind = PG_DIR_UNFINISHED,
                                       .unfinished = PG_UNFINISHED_REWIND};
    (void)state;
    settle();
    told_again(&empty);
    assert_non_null(strstr(rig.member, "\"data\":\"none\""));
    told_again(&valid);
    assert_non_null(strstr(rig.member, "\"data\":\"valid\",\"data_system_id\":\"42\","
                                       "\"data_of_primary\":true,\"data_timeline\":3,"
                                       "\"data_lsn\":256"));
    told_again(&unread); /* it may pass */
    assert_non_null(strstr(rig.member, "\"data\":\"not_told\""));
    told_again(&cut_off);
    assert_non_null(strstr(rig.member, "\"data\":\"none\""));
    told_again(&half);
    assert_non_null(strstr(rig.member, "\"data\":\"unusable\""));
    key_set("initialize", "7000000000000000042");
    observe_store_changed(&rig.agent);
    told_again(&valid);
    assert_non_null(strstr(rig.member, "\"data\":\"valid\""));
    key_set("epoch", "{\"holder\":\"n2\",\"timeline\":3}");
    observe_store_changed(&rig.agent);
    told_again(&valid);
    assert_null(strstr(rig.member, "\"data"));
    key_remove("epoch");
    key_remove("initialize");
    observe_store_changed(&rig.agent);
    told_again(&broken);
    assert_non_null(strstr(rig.member, "\"data\":\"not_told\""));
    rig_free();
    settle();
    told_again(&foreign);
    assert_non_null(strstr(rig.member, "\"data\":\"unusable\""));
    rig_free();
}

/* Who is to be copied from it waits; a directory that is not there has nothing to miss. */
static void a_record_says_that_a_copy_would_have_no_rules(void **state)
{
    struct pg_inspection there = {
        .kind = PG_DIR_VALID, .control = {.system_identifier = 42}, .hba_missing = true};
    const struct pg_inspection empty = {.kind = PG_DIR_EMPTY, .hba_missing = true};
    (void)state;
    settle();
    told_again(&empty);
    assert_null(strstr(rig.member, "hba_missing"));
    told_again(&there);
    assert_non_null(strstr(rig.member, "\"hba_missing\":true"));
    there.hba_missing = false;
    told_again(&there);
    assert_null(strstr(rig.member, "hba_missing"));
    rig_free();
}

static void a_position_alone_is_no_change(void **state)
{
    (void)state;
    settle();
    standby_runs(1000);
    run_for(0);
    answer("member", 0);
    rig.agent.facts.probe.replay_lsn = 2000;
    publish_request(&rig.agent);
    run_for(50);
    assert_false(is_asked("member"));
    rig_free();
}

static void a_change_while_one_is_being_told_follows_it_at_once(void **state)
{
    (void)state;
    settle();
    standby_runs(1000);
    run_for(0);
    assert_true(is_asked("member"));
    rig.agent.facts.probe.timeline = 4;
    publish_request(&rig.agent);
    run_for(0);
    answer("member", 0);
    assert_false(is_asked("member"));
    run_for(0);
    assert_true(is_asked("member"));
    answer("member", 0);
    run_for(100);
    assert_false(is_asked("member"));
    rig_free();
}

static void what_could_not_be_told_is_told_again(void **state)
{
    (void)state;
    settle();
    standby_runs(1000);
    run_for(0);
    answer("member", ERR_UNKNOWN);
    run_for(LOOP_RETRY_MS - 1);
    assert_false(is_asked("member"));
    run_for(1);
    assert_true(is_asked("member"));
    answer("member", 0);
    run_for(LOOP_WAIT_MS - 1);
    assert_false(is_asked("member"));
    rig_free();
}

static void without_a_way_to_the_store_it_waits(void **state)
{
    (void)state;
    settle();
    (void)snprintf(rig.refused, sizeof rig.refused, "member");
    rig.refused_rc = ERR_UNAVAILABLE;
    standby_runs(1000);
    run_for(0);
    rig.refused[0] = '\0';
    run_for(LOOP_WAIT_MS);
    assert_true(is_asked("member"));
    rig_free();
}

static void after_the_end_nothing_is_told(void **state)
{
    (void)state;
    settle();
    publish_stop(&rig.agent);
    rig.agent.facts.run = HA_RUN_CRASHED;
    publish_request(&rig.agent);
    run_for(2 * LOOP_WAIT_MS);
    assert_false(is_asked("member"));
    rig_free();
}

/* --- status ----------------------------------------------------------------------------------- */

static void is_status(char *value, const char *text)
{
    if (text == NULL) {
        assert_null(value);
    } else {
        assert_non_null(value);
        assert_non_null(strstr(value, text));
    }
    mem_free(value);
}

static void status_is_written_once_a_loop_wait_and_only_if_it_changed(void **state)
{
    (void)state;
    struct agent *agent = &rig.agent;
    settle();
    is_status(publish_status_value(agent, 1000, false), "\"optime\":1000");
    is_status(publish_status_value(agent, 1001, false), NULL); /* too early */
    rig.now_ms += LOOP_WAIT_MS;
    is_status(publish_status_value(agent, 1000, false), NULL); /* the same */
    is_status(publish_status_value(agent, 1001, false), "\"optime\":1001");
    is_status(publish_status_value(agent, 1001, true), "\"n1\":1001"); /* with a release: always */
    rig_free();
}

static void a_status_that_was_not_taken_is_written_again(void **state)
{
    (void)state;
    settle();
    plan_begin("leader", "upkeep");
    plan_add(HA_WRITE_STATUS)->lsn = 1000;
    cycle_request(&rig.agent);
    run_for(0);
    assert_false(rig.agent.executing); /* not waited for */
    answer("put status", ERR_UNKNOWN);
    cycle_request(&rig.agent);
    run_for(0);
    answer("put status", 0);
    cycle_request(&rig.agent);
    run_for(0);
    assert_false(is_asked("put status"));
    rig_free();
}

/* --- history ---------------------------------------------------------------------------------- */

static struct pg_history_entry switches[] = {{1, 100}, {2, 200}, {3, 300}};

static char *history_of(size_t count)
{
    struct pg_history history = {
        .timeline = (uint32_t)count + 1, .count = count, .entries = switches};
    return publish_history_value(&rig.agent, &history);
}

static void the_last_line_of_history_says_who_and_when(void **state)
{
    (void)state;
    settle();
    char *value = history_of(2);
    assert_non_null(strstr(value, "[1,100,\"no recovery target specified\"]"));
    assert_non_null(strstr(value, "[2,200,\"no recovery target specified\",\"1970-"));
    assert_non_null(strstr(value, ",\"n1\"]"));
    mem_free(value);
    rig_free();
}

static void lines_of_history_that_are_there_stay_as_they_are(void **state)
{
    (void)state;
    settle();
    key_set("history", "[[1,100,\"why\",\"2020-01-01T00:00:00+00:00\",\"n3\"],"
                       "[2,200,\"why\",\"2021-01-01T00:00:00+00:00\",\"n2\"]]");
    observe_store_changed(&rig.agent);
    char *value = history_of(3);
    assert_non_null(strstr(value, "[1,100,\"why\",\"2020-01-01T00:00:00+00:00\",\"n3\"]"));
    assert_non_null(strstr(value, "[2,200,\"why\",\"2021-01-01T00:00:00+00:00\",\"n2\"]"));
    assert_non_null(strstr(value, "[3,300,"));
    mem_free(value);
    key_set("history", "[[1,999,\"another history\",\"2020-01-01T00:00:00+00:00\",\"n3\"]]");
    observe_store_changed(&rig.agent);
    value = history_of(1);
    assert_null(strstr(value, "another history"));
    mem_free(value);
    rig_free();
}

static void history_is_cut_from_its_beginning(void **state)
{
    (void)state;
    settle();
    rig.agent.dynamic.max_timelines_history = 2;
    char *value = history_of(3);
    assert_null(strstr(value, "[1,100"));
    assert_non_null(strstr(value, "[2,200"));
    assert_non_null(strstr(value, "[3,300"));
    mem_free(value);
    rig_free();
}

static void a_history_in_the_store_that_is_no_json_is_replaced(void **state)
{
    (void)state;
    settle();
    key_set("history", "rubbish");
    observe_store_changed(&rig.agent);
    char *value = history_of(1);
    assert_non_null(strstr(value, "[1,100"));
    mem_free(value);
    rig_free();
}

static unsigned pictures;

static void on_picture(struct agent *agent, const struct ha_snapshot *s)
{
    (void)agent;
    (void)s;
    pictures++;
}

static void how_far_a_copy_is_is_a_fact_until_it_ends(void **state)
{
    (void)state;
    const struct loop_facts *facts = &rig.agent.facts;
    const struct pg_copy_progress progress = {.percent = 18, .bytes = 180, .total_bytes = 1000};
    rig_settle();
    for (int round = 0; round < 2; round++) {
        plan_begin("clone", "no data directory");
        (void)snprintf(plan_add(HA_CLONE)->member, HA_NAME_BYTES, "n2");
        carry_out();
        assert_false(facts->copying); /* not known yet */
        run_for(0);
        unsigned decided = rig.decided;
        rig.agent.on_picture = on_picture;
        pictures = 0;
        rig.clone.on_progress(rig.clone.on_progress_arg, &progress);
        assert_true(facts->copying);
        assert_int_equal(facts->copy.percent, 18);
        assert_int_equal(facts->copy.total_bytes, 1000);
        run_for(0);
        assert_int_equal(pictures, 1);          /* it is shown */
        assert_int_equal(rig.decided, decided); /* and no rule looks at it */
        rig.clone.on_progress(rig.clone.on_progress_arg, NULL);
        assert_false(facts->copying);
        rig.clone.on_progress(rig.clone.on_progress_arg, &progress);
        answer("clone", round == 0 ? ERR_IO : 0);
        assert_false(facts->copying);
        run_for(0);
    }
    rig_free();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_unchanged_picture_is_told_once_a_loop_wait),
        cmocka_unit_test(a_change_is_told_at_once),
        cmocka_unit_test(a_standby_that_is_to_stop_says_nosync),
        cmocka_unit_test(another_ttl_is_told_at_once),
        cmocka_unit_test(a_record_says_that_its_member_reports),
        cmocka_unit_test(a_record_says_what_there_is_until_somebody_has_led),
        cmocka_unit_test(a_record_says_that_a_copy_would_have_no_rules),
        cmocka_unit_test(a_position_alone_is_no_change),
        cmocka_unit_test(a_change_while_one_is_being_told_follows_it_at_once),
        cmocka_unit_test(what_could_not_be_told_is_told_again),
        cmocka_unit_test(without_a_way_to_the_store_it_waits),
        cmocka_unit_test(after_the_end_nothing_is_told),
        cmocka_unit_test(status_is_written_once_a_loop_wait_and_only_if_it_changed),
        cmocka_unit_test(a_status_that_was_not_taken_is_written_again),
        cmocka_unit_test(the_last_line_of_history_says_who_and_when),
        cmocka_unit_test(lines_of_history_that_are_there_stay_as_they_are),
        cmocka_unit_test(history_is_cut_from_its_beginning),
        cmocka_unit_test(a_history_in_the_store_that_is_no_json_is_replaced),
        cmocka_unit_test(how_far_a_copy_is_is_a_fact_until_it_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
