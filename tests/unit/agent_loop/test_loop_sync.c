/* Synchronous modes carried out: one thing at a time, in the order that ha_sync.h decides, and
 * nothing without the lease. */
#include "loop_fixture.h"

/* The key `sync` as n1 writes it. */
#define KEY(quorum, standbys) \
    "{\"leader\":\"n1\",\"quorum\":" quorum ",\"sync_standby\":" standbys "}"

static struct pg_sync_look seen; /* large: not on the stack */

/* A member that can confirm. */
static void member(const char *name, const char *tags)
{
    char key[64];
    char value[200];
    (void)snprintf(key, sizeof key, "members/%s", name);
    (void)snprintf(value, sizeof value, "{\"state\":\"running\",\"reports\":true,\"tags\":{%s}}",
                   tags);
    key_set(key, value);
}

static void store_changes(void)
{
    observe_store_changed(&rig.agent);
}

static void rig_start(enum dynamic_synchronous mode, bool strict)
{
    rig_init();
    key_set("leader", "n1");
    key_set("initialize", "7000000000000000042");
    member("n1", "");
    member("n2", "");
    member("n3", "");
    assert_int_equal(sync_start(&rig.agent), 0);
    rig.agent.facts.config_revision = 0;
    rig.agent.dynamic.synchronous_mode = mode;
    rig.agent.dynamic.synchronous_mode_strict = strict;
    store_changes();
}

static void rig_end(void)
{
    sync_stop(&rig.agent);
    rig_free();
}

/* Out of recovery, with the lease, and the page armed for it. */
static void primary_runs(void)
{
    struct agent *agent = &rig.agent;
    struct ha_lease_page lease;
    postmaster_runs();
    standby_says(1000);
    said.role = PG_PRIMARY;
    agent->facts.probe = said;
    agent->facts.probe_rc = 0;
    observe_run(agent);
    assert_true(ha_lease_acquired(&agent->lease, agent->facts.cluster.leader_epoch, rig.now_ms,
                                  TTL_MS, rig.now_ms));
    assert_true(ha_lease_page(&agent->lease, &lease));
    struct fence_lease page = {.epoch = {lease.epoch.cluster, lease.epoch.revision},
                               .soft_ms = lease.soft_ms,
                               .deadline_ms = lease.deadline_ms,
                               .watchdog_ms = FENCE_NO_DEADLINE};
    fence_page_write(fence_client_page(agent->fence), &page);
}

static void primary_starts(enum dynamic_synchronous mode, bool strict)
{
    rig_start(mode, strict);
    primary_runs();
}

/* What PostgreSQL will say: its setting, and who of n2 and n3 streams. */
static void says(const char *setting, uint64_t n2_flushed, uint64_t n3_flushed)
{
    const uint64_t flushed[] = {n2_flushed, n3_flushed};
    memset(&seen, 0, sizeof seen);
    (void)snprintf(seen.setting, sizeof seen.setting, "%s", setting);
    for (int i = 0; i < 2; i++) {
        struct pg_walsender *walsender = &seen.walsenders[seen.count];
        if (flushed[i] > 0) {
            (void)snprintf(walsender->name, sizeof walsender->name, "n%d", i + 2);
            (void)snprintf(walsender->slot, sizeof walsender->slot, "n%d", i + 2);
            walsender->pid = 100 + i;
            walsender->streaming = true;
            walsender->flush_lsn = flushed[i];
            walsender->counts = strstr(setting, walsender->name) != NULL;
            seen.count++;
        }
    }
    seen.position = 1000;
}

static bool look_is_answered(void)
{
    if (!is_asked("look sync")) {
        return false;
    }
    struct pending pending = answer_take("look sync");
    seen.asked_ms = pending.sent_ms;
    pending.looked(pending.arg, 0, &seen, NULL);
    return true;
}

/* Answers looks until something else is asked for, which is returned; "" if that is nothing. */
static const char *next(void)
{
    static char text[1024];
    text[0] = '\0';
    for (int i = 0; i < 40 && text[0] == '\0'; i++) {
        run_for(SYNC_LOOK_SOON_MS);
        const char *line = calls();
        while (strncmp(line, "look sync\n", strlen("look sync\n")) == 0) {
            line += strlen("look sync\n");
        }
        (void)snprintf(text, sizeof text, "%s", line);
        if (text[0] == '\0') {
            (void)look_is_answered();
        }
    }
    return text;
}

/* The store has done what was asked of it. */
static void written(const char *value)
{
    struct pending pending = answer_take("put sync");
    if (value == NULL) {
        key_remove("sync");
    } else {
        key_set("sync", value);
    }
    struct dcs_result result = {.revision = rig.revision};
    struct error none = {0};
    pending.written(pending.arg, &result, &none);
    store_changes();
}

/* The next request is to write this, and it is done. */
static void publishes(const char *value, int64_t revision)
{
    char text[256];
    (void)snprintf(text, sizeof text, "put sync %s at %lld\n", value, (long long)revision);
    assert_string_equal(next(), text);
    written(value);
}

/* The next request is this, and it is done. */
static void does(const char *request)
{
    char line[128];
    (void)snprintf(line, sizeof line, "%s\n", request);
    assert_string_equal(next(), line);
    answer(request, 0);
}

static void first_publication(void)
{
    publishes(KEY("0", "null"), 0);
}

/* And the setting made once more as it stands, so that it is ours. */
static void takes_over(void)
{
    first_publication();
    (void)next();
    answer("set sync", 0);
}

/* --- tests ------------------------------------------------------------------------------------ */

/* Published first, then set, confirmed, and published as it is to be. */
static void quorum_of_two_comes_about(void **state)
{
    (void)state;
    primary_starts(DYNAMIC_SYNCHRONOUS_QUORUM, false);
    says("", 900, 900);
    first_publication();
    does("set sync ''"); /* as it stands */
    assert_non_null(strstr(next(), "put sync " KEY("2", "\"n2,n3\"")));
    written(KEY("2", "\"n2,n3\""));
    assert_string_equal(next(), "set sync 'ANY 1 (\"n2\",\"n3\")'\n");
    assert_string_equal(calls(), "");
    run_for(SYNC_LOOK_MS); /* nothing else while it is being set */
    assert_string_equal(calls(), "");
    answer("set sync", 0);
    says("ANY 1 (\"n2\",\"n3\")", 900, 900); /* they may still go by the setting of before */
    does("end walsenders 100 101");
    seen.walsenders[0].pid = 200;
    seen.walsenders[1].pid = 201;
    assert_string_equal(next(), ""); /* 900 of 1000 flushed */
    seen.walsenders[0].flush_lsn = 1000;
    publishes(KEY("1", "\"n2,n3\""), 18);
    assert_string_equal(next(), "");
    rig_end();
}

/* In strict mode commits wait before the key says that there is such a mode. */
static void strict_mode_is_published_when_commits_wait(void **state)
{
    (void)state;
    primary_starts(DYNAMIC_SYNCHRONOUS_ON, true);
    says("", 1000, 0);
    assert_string_equal(next(), "set sync '\"n2\"'\n");
    run_for(2 * SYNC_LOOK_MS); /* until the checkpointer has taken it */
    assert_string_equal(calls(), "");
    answer("set sync", 0);
    says("\"n2\"", 1000, 0);
    does("end walsenders 100");
    seen.walsenders[0].pid = 200;
    publishes(KEY("0", "null"), 0);
    publishes(KEY("0", "\"n2\""), 18);
    assert_string_equal(next(), "");
    rig_end();
}

/* PostgreSQL goes by names. Members have slots, so who holds none, or another's, is somebody else:
 * seen twice, since who begins to stream takes its slot first. */
static void stranger_under_a_name_is_not_chosen_and_is_ended(void **state)
{
    (void)state;
    primary_starts(DYNAMIC_SYNCHRONOUS_ON, false);
    says("\"n2\"", 1000, 0);
    first_publication();
    does("set sync '\"n2\"'");
    does("end walsenders 100");
    seen.walsenders[0].pid = 200;
    publishes(KEY("0", "\"n2\""), 16);
    assert_string_equal(next(), "");
    struct pg_walsender *stranger = &seen.walsenders[seen.count++];
    *stranger = seen.walsenders[0];
    stranger->pid = 300;
    stranger->slot[0] = '\0';
    does("end walsenders 300");
    assert_int_equal(rig.warnings, 1);
    stranger->pid = 301; /* there again: ended again, and not told again at once */
    (void)snprintf(stranger->slot, sizeof stranger->slot, "n3");
    does("end walsenders 301");
    assert_int_equal(rig.warnings, 1);
    seen.walsenders[0] = *stranger; /* the member is gone */
    seen.walsenders[0].pid = 302;
    seen.count = 1;
    assert_non_null(strstr(next(), "put sync " KEY("1", "\"n2\"")));
    written(KEY("1", "\"n2\"")); /* the steps go on meanwhile */
    assert_non_null(strstr(next(), "set sync ''"));
    rig_end();
}

/* It was waited for before the mode was on, and is nobody's name here. */
static void who_bears_no_members_name_is_no_stranger(void **state)
{
    (void)state;
    primary_starts(DYNAMIC_SYNCHRONOUS_ON, true);
    says("\"n2\"", 1000, 0);
    (void)snprintf(seen.setting, sizeof seen.setting, "\"archive\"");
    (void)snprintf(seen.walsenders[0].name, sizeof seen.walsenders[0].name, "archive");
    seen.walsenders[0].slot[0] = '\0';
    does("set sync '\"archive\"'"); /* as it stands */
    does("end walsenders 100");     /* for it may go by the number of before */
    seen.walsenders[0].pid = 200;
    publishes(KEY("0", "null"), 0);
    run_for(5 * SYNC_LOOK_MS);
    assert_null(strstr(calls(), "end"));
    assert_int_equal(rig.warnings, 0);
    rig_end();
}

static void who_may_not_confirm_is_not_chosen(void **state)
{
    (void)state;
    rig_start(DYNAMIC_SYNCHRONOUS_ON, false);
    member("n2", "\"nosync\":true");
    store_changes();
    primary_runs();
    says("", 1000, 1000);
    takes_over();
    assert_non_null(strstr(next(), "\"sync_standby\":\"n3\"}"));
    rig_end();
}

static void whose_disk_takes_no_writes_is_not_chosen(void **state)
{
    (void)state;
    rig_start(DYNAMIC_SYNCHRONOUS_ON, false);
    key_set("members/n2", "{\"state\":\"running\",\"reports\":true,\"disk\":\"stalled\"}");
    store_changes();
    primary_runs();
    says("", 1000, 1000);
    takes_over();
    assert_non_null(strstr(next(), "\"sync_standby\":\"n3\"}"));
    rig_end();
}

static void write_without_an_answer_is_followed_by_one_over_what_is_there(void **state)
{
    (void)state;
    primary_starts(DYNAMIC_SYNCHRONOUS_ON, false);
    says("", 1000, 1000);
    takes_over();
    assert_non_null(strstr(next(), "put sync " KEY("1", "\"n2\"") " at 16"));
    run_for(500);
    assert_string_equal(calls(), ""); /* neither setting nor key changes while it is unanswered */
    answer("put sync", ERR_UNKNOWN);
    assert_string_equal(next(), "put sync " KEY("0", "null") " at 16\n");
    rig_end();
}

static void setting_that_failed_is_set_again_before_anything_else(void **state)
{
    (void)state;
    primary_starts(DYNAMIC_SYNCHRONOUS_ON, true);
    says("", 0, 0);
    assert_string_equal(next(), "set sync '\"" SYNC_NOBODY_NAME "\"'\n");
    for (int i = 0; i < 3; i++) {
        answer("set sync", ERR_TIMEOUT);
        assert_string_equal(calls(), "");
        run_for(1000);
        assert_string_equal(calls(), "set sync '\"" SYNC_NOBODY_NAME "\"'\n");
    }
    assert_int_equal(rig.warnings, 1); /* told once */
    answer("set sync", ERR_CONFLICT);  /* it stands somewhere else */
    run_for(SYNC_LATE_MS - 1000);
    assert_string_equal(calls(), "");
    run_for(1100);
    assert_string_equal(calls(), "set sync '\"" SYNC_NOBODY_NAME "\"'\n");
    rig_end();
}

static void nothing_is_done_without_the_lease(void **state)
{
    (void)state;
    primary_starts(DYNAMIC_SYNCHRONOUS_ON, false);
    ha_lease_drop(&rig.agent.lease);
    run_for(2000);
    assert_string_equal(calls(), "");
    primary_runs();
    key_set("leader", "n2");
    store_changes();
    run_for(2000);
    assert_string_equal(calls(), "");
    rig_end();
}

static void mode_that_is_off_takes_the_key_and_then_the_setting_away(void **state)
{
    (void)state;
    rig_start(DYNAMIC_SYNCHRONOUS_OFF, false);
    key_set("sync", KEY("0", "\"n2\""));
    store_changes();
    primary_runs();
    run_for(SYNC_LOOK_MS);
    assert_string_equal(calls(), "put sync none at 16\n");
    written(NULL);
    run_for(SYNC_LOOK_MS);
    assert_string_equal(calls(), "set sync none\n");
    answer("set sync", 0);
    run_for(3 * SYNC_LOOK_MS);
    assert_string_equal(calls(), "");
    rig_end();
}

/* What the parameters set is in force meanwhile, and may have been something else. */
static void mode_that_is_on_again_takes_nothing_for_confirmed(void **state)
{
    (void)state;
    primary_starts(DYNAMIC_SYNCHRONOUS_ON, false);
    says("\"n2\"", 1000, 0);
    (void)next();
    written(KEY("0", "null"));
    does("set sync '\"n2\"'");
    does("end walsenders 100");
    seen.walsenders[0].pid = 200;
    assert_non_null(strstr(next(), "\"sync_standby\":\"n2\"} at 16"));
    written(KEY("0", "\"n2\""));
    assert_string_equal(next(), "");
    rig.agent.dynamic.synchronous_mode = DYNAMIC_SYNCHRONOUS_OFF;
    assert_string_equal(next(), "put sync none at 19\n");
    key_remove("sync");
    answer("put sync", 0);
    store_changes();
    does("set sync none");
    rig.agent.dynamic.synchronous_mode = DYNAMIC_SYNCHRONOUS_ON;
    first_publication();
    assert_string_equal(next(), "set sync '\"n2\"'\n"); /* as it stands */
    rig_end();
}

/* So that nothing is answered between its promotion and the first word of the new primary. */
static void standby_waits_for_nobody_in_advance(void **state)
{
    (void)state;
    rig_start(DYNAMIC_SYNCHRONOUS_ON, false);
    key_set("leader", "n2");
    key_set("initialize", "7000000000000000042");
    standby_runs(1000);
    store_changes();
    assert_string_equal(calls(), "set sync '\"" SYNC_NOBODY_NAME "\"'\n");
    answer("set sync", 0);
    run_for(3 * SYNC_LOOK_MS);
    assert_string_equal(calls(), "");
    rig.agent.dynamic.synchronous_mode = DYNAMIC_SYNCHRONOUS_OFF;
    run_for(SYNC_LOOK_MS);
    assert_string_equal(calls(), "set sync none\n");
    rig_end();
}

/* Put beside the cluster, it has its settings of somebody else. */
static void standby_of_another_cluster_is_left_its_setting(void **state)
{
    (void)state;
    rig_start(DYNAMIC_SYNCHRONOUS_ON, false);
    key_set("leader", "n2");
    key_set("initialize", "43");
    standby_runs(1000);
    store_changes();
    run_for(3 * SYNC_LOOK_MS);
    assert_false(is_asked("set sync"));
    key_set("initialize", "7000000000000000042");
    store_changes();
    run_for(SYNC_LOOK_MS);
    assert_true(is_asked("set sync"));
    rig_end();
}

static void promotes(void)
{
    plan_begin("promote", "the lease is ours");
    plan_add(HA_PROMOTE)->timeline = 4;
    carry_out();
}

static void promotion_begins_with_the_members_of_before(void **state)
{
    (void)state;
    rig_start(DYNAMIC_SYNCHRONOUS_QUORUM, true);
    key_set("sync", "{\"leader\":\"n2\",\"quorum\":1,\"sync_standby\":\"n1,n3\"}");
    store_changes();
    primary_runs();
    rig.agent.facts.probe.role = PG_STANDBY;
    (void)calls();
    promotes();
    assert_string_equal(calls(), "set sync 'ANY 1 (\"n2\",\"n3\")'\n");
    answer("set sync", 0);
    assert_string_equal(calls(), "promote 4\n");
    rig_end();
}

static void promotion_goes_on_as_soon_as_another_setting_is_there(void **state)
{
    (void)state;
    rig_start(DYNAMIC_SYNCHRONOUS_ON, true);
    key_set("leader", "n2");
    key_set("initialize", "7000000000000000042");
    standby_runs(1000);
    store_changes();
    assert_string_equal(calls(), "set sync '\"" SYNC_NOBODY_NAME "\"'\n");
    key_set("leader", "n1");
    store_changes();
    primary_runs();
    rig.agent.facts.probe.role = PG_STANDBY;
    promotes();
    assert_string_equal(calls(), "");
    assert_false(rig.agent.cycle_due);
    answer("set sync", 0);
    assert_true(rig.agent.cycle_due);
    (void)calls();
    promotes();
    assert_string_equal(calls(), "set sync '\"" SYNC_NOBODY_NAME "\"'\n");
    answer("set sync", 0);
    assert_string_equal(calls(), "promote 4\n");
    rig_end();
}

static void promotion_without_its_setting_is_none(void **state)
{
    (void)state;
    primary_starts(DYNAMIC_SYNCHRONOUS_ON, true);
    rig.agent.facts.probe.role = PG_STANDBY;
    (void)calls();
    promotes();
    assert_string_equal(calls(), "set sync '\"" SYNC_NOBODY_NAME "\"'\n");
    answer("set sync", ERR_IO);
    assert_null(strstr(calls(), "promote"));
    assert_int_equal(rig.agent.facts.promote_failed_mono_ms, rig.now_ms); /* another may have it */
    rig_end();
}

/* By an agent that was restarted, so that nothing older is in force either: not to be taken for a
 * mode that is off. */
static void configuration_that_cannot_be_read_changes_nothing(void **state)
{
    static const char *const values[] = {"nonsense", "{\"citus\": {\"group\": 1}}", NULL};
    (void)state;
    for (int i = 0; i < 3; i++) {
        rig_start(DYNAMIC_SYNCHRONOUS_OFF, false);
        rig.agent.facts.config_revision = -1;
        key_set("sync", KEY("1", "\"n2,n3\""));
        if (values[i] != NULL) {
            key_set("config", values[i]);
        }
        primary_runs();
        store_changes();
        (void)calls();
        run_for(3 * SYNC_LOOK_MS);
        assert_string_equal(calls(), "");
        facts_snapshot(&rig.agent, &rig.agent.snapshot);
        assert_true(rig.agent.snapshot.settings.synchronous_mode);
        rig.agent.facts.probe.role = PG_STANDBY;
        promotes();
        assert_string_equal(calls(), "set sync '1 (\"n2\",\"n3\")'\n");
        answer("set sync", 0);
        (void)calls();
        rig.agent.facts.probe.role = PG_PRIMARY;
        key_set("config", "{\"ttl\": 30}");
        store_changes();
        run_for(SYNC_LOOK_MS);
        rig_end();
    }
}

static void promotion_waits_for_the_members_of_a_key_that_is_not_deleted_yet(void **state)
{
    (void)state;
    rig_start(DYNAMIC_SYNCHRONOUS_OFF, false);
    key_set("sync", "{\"leader\":\"n2\",\"quorum\":1,\"sync_standby\":\"n1,n3\"}");
    primary_runs();
    rig.agent.facts.probe.role = PG_STANDBY;
    store_changes();
    (void)calls();
    promotes();
    assert_string_equal(calls(), "set sync '1 (\"n2\",\"n3\")'\n");
    rig_end();
}

/* PostgreSQL takes n2 and N2 for one; the key, a list, has no place for a comma. */
static void a_name_that_may_mean_another_confirms_nothing(void **state)
{
    static const char *const names[] = {"N2", "n2,n3", " n2", SYNC_NOBODY_NAME};
    (void)state;
    for (int i = 0; i < 4; i++) {
        rig_start(DYNAMIC_SYNCHRONOUS_ON, false);
        if (i == 0) {
            member(names[i], "");
        } else {
            key_remove("members/n2");
            key_remove("members/n3");
            member(names[i], "");
        }
        store_changes();
        primary_runs();
        says("", 1000, 0);
        (void)snprintf(seen.walsenders[0].name, sizeof seen.walsenders[0].name, "%s", names[i]);
        first_publication();
        assert_string_equal(next(), ""); /* setting and key are as they should be */
        rig_end();
    }
}

/* Else a value of postgresql.parameters would be in force. */
static void that_nobody_is_waited_for_is_set_in_so_many_words(void **state)
{
    (void)state;
    primary_starts(DYNAMIC_SYNCHRONOUS_ON, false);
    says("\"x1\"", 0, 0);
    (void)next();
    written(KEY("0", "null"));
    does("set sync '\"x1\"'"); /* as it stands */
    (void)next();
    written(KEY("1", "null"));
    assert_string_equal(next(), "set sync ''\n");
    rig_end();
}

static void mode_that_is_off_does_not_wait_for_a_setting_that_fails(void **state)
{
    (void)state;
    rig_start(DYNAMIC_SYNCHRONOUS_ON, true);
    key_set("sync", KEY("0", "null"));
    store_changes();
    primary_runs();
    says("", 0, 0);
    publishes(KEY("0", "null"), 16); /* as it stands */
    does("set sync ''");
    publishes(KEY("1", "null"), 17);
    assert_string_equal(next(), "set sync '\"" SYNC_NOBODY_NAME "\"'\n");
    answer("set sync", ERR_CONFLICT);
    rig.agent.dynamic.synchronous_mode = DYNAMIC_SYNCHRONOUS_OFF;
    assert_string_equal(next(), "put sync none at 19\n");
    rig_end();
}

/* A connection each. */
static void standby_that_is_slow_is_looked_at_more_slowly_in_the_end(void **state)
{
    (void)state;
    primary_starts(DYNAMIC_SYNCHRONOUS_ON, false);
    says("\"n2\"", 900, 0); /* of 1000 */
    (void)next();
    written(KEY("0", "null"));
    does("set sync '\"n2\"'");
    does("end walsenders 100");
    seen.walsenders[0].pid = 200;
    for (int i = 0; i < 4; i++) { /* 16 s */
        assert_string_equal(next(), "");
        rig.agent.lease.soft_ms = rig.now_ms + TTL_MS;
    }
    unsigned looks = 0;
    for (int i = 0; i < 50; i++) {
        run_for(SYNC_LOOK_SOON_MS);
        looks += look_is_answered() ? 1 : 0;
    }
    assert_in_range(looks, 4, 6);
    assert_non_null(strstr(buf_str(&rig.logged), "waiting: the standbys have not confirmed"));
    rig_end();
}

static void names_are_published_as_their_members_write_them(void **state)
{
    (void)state;
    primary_starts(DYNAMIC_SYNCHRONOUS_ON, false);
    says("\"N2\"", 1000, 0); /* of postgresql.parameters */
    seen.walsenders[0].counts = true;
    (void)next();
    written(KEY("0", "null"));
    (void)next();
    answer("set sync", 0);
    (void)next();
    answer("end walsenders", 0);
    seen.walsenders[0].pid = 200;
    assert_string_equal(next(), "put sync " KEY("0", "\"n2\"") " at 16\n");
    rig_end();
}

static void step_that_is_tried_again_is_told_once(void **state)
{
    (void)state;
    primary_starts(DYNAMIC_SYNCHRONOUS_ON, false);
    says("", 1000, 1000);
    (void)next();
    for (int i = 0; i < 5; i++) {
        answer("put sync", ERR_CONFLICT);
        assert_string_equal(next(), "put sync " KEY("0", "null") " at 0\n");
    }
    const char *first = strstr(buf_str(&rig.logged), "sync becomes nobody");
    assert_non_null(first);
    assert_null(strstr(first + 1, "sync becomes nobody"));
    rig_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quorum_of_two_comes_about),
        cmocka_unit_test(strict_mode_is_published_when_commits_wait),
        cmocka_unit_test(stranger_under_a_name_is_not_chosen_and_is_ended),
        cmocka_unit_test(who_bears_no_members_name_is_no_stranger),
        cmocka_unit_test(who_may_not_confirm_is_not_chosen),
        cmocka_unit_test(whose_disk_takes_no_writes_is_not_chosen),
        cmocka_unit_test(write_without_an_answer_is_followed_by_one_over_what_is_there),
        cmocka_unit_test(setting_that_failed_is_set_again_before_anything_else),
        cmocka_unit_test(nothing_is_done_without_the_lease),
        cmocka_unit_test(mode_that_is_off_takes_the_key_and_then_the_setting_away),
        cmocka_unit_test(mode_that_is_on_again_takes_nothing_for_confirmed),
        cmocka_unit_test(standby_waits_for_nobody_in_advance),
        cmocka_unit_test(standby_of_another_cluster_is_left_its_setting),
        cmocka_unit_test(promotion_begins_with_the_members_of_before),
        cmocka_unit_test(promotion_goes_on_as_soon_as_another_setting_is_there),
        cmocka_unit_test(promotion_without_its_setting_is_none),
        cmocka_unit_test(a_name_that_may_mean_another_confirms_nothing),
        cmocka_unit_test(that_nobody_is_waited_for_is_set_in_so_many_words),
        cmocka_unit_test(mode_that_is_off_does_not_wait_for_a_setting_that_fails),
        cmocka_unit_test(standby_that_is_slow_is_looked_at_more_slowly_in_the_end),
        cmocka_unit_test(names_are_published_as_their_members_write_them),
        cmocka_unit_test(step_that_is_tried_again_is_told_once),
        cmocka_unit_test(configuration_that_cannot_be_read_changes_nothing),
        cmocka_unit_test(promotion_waits_for_the_members_of_a_key_that_is_not_deleted_yet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
