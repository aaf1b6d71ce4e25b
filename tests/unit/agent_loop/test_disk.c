/* What the disks say, as a fact for decisions, for the log and for the other members. */
#include "loop_fixture.h"

#include <errno.h>

#define MIB ((uint64_t)1 << 20)

static struct pg_disk_state disks;

static void primary_runs(uint64_t lsn)
{
    postmaster_runs();
    standby_says(lsn);
    said.role = PG_PRIMARY;
    said.receive_lsn = said.replay_lsn = 0;
    rig.agent.facts.probe = said;
    rig.agent.facts.probe_rc = 0;
    rig.agent.facts.started_as = PG_START_PRIMARY;
    observe_run(&rig.agent);
}

/* As pgctl tells it: the kind of the data directory, and since when. */
static void report(enum pg_disk_kind kind, int64_t since_ms)
{
    disks = (struct pg_disk_state){.count = 2};
    disks.places[0] = (struct pg_disk_place){.name = "data directory",
                                             .instance = true,
                                             .kind = kind,
                                             .since_ms = since_ms,
                                             .free_bytes = 100 * MIB,
                                             .errno_value = kind == PG_DISK_FULL ? ENOSPC : 0};
    disks.places[1] = (struct pg_disk_place){
        .name = "Raft directory", .kind = PG_DISK_GOOD, .since_ms = 1, .free_bytes = 50 * MIB};
    disk_take(&rig.agent, &disks);
}

static void a_trouble_is_told_once_and_decided_on_again_and_again(void **state)
{
    (void)state;
    rig_settle();
    report(PG_DISK_GOOD, 1);
    unsigned warnings = rig.warnings;
    report(PG_DISK_STALLED, rig.now_ms - 1500);
    assert_int_equal(rig.warnings, warnings + 1);
    assert_non_null(strstr(buf_str(&rig.logged), "the disk of 'data directory' is stalled"));
    assert_int_equal(rig.agent.facts.disk, PG_DISK_STALLED);
    assert_int_equal(rig.agent.facts.disk_since_mono_ms, rig.now_ms - 1500);
    for (int i = 0; i < 3; i++) {
        run_for(500);
        rig.decided = 0;
        report(PG_DISK_STALLED, rig.now_ms - 2000);
        run_for(0);
        assert_int_equal(rig.decided, 1);
    }
    assert_int_equal(rig.warnings, warnings + 1);
    report(PG_DISK_GOOD, rig.now_ms);
    assert_int_equal(rig.agent.facts.disk, PG_DISK_GOOD);
    assert_non_null(strstr(buf_str(&rig.logged), "takes writes again"));
    rig_free();
}

static void good_disks_make_no_work(void **state)
{
    (void)state;
    rig_settle();
    report(PG_DISK_GOOD, 1);
    run_for(0);
    rig.decided = 0;
    for (int i = 0; i < 5; i++) {
        report(PG_DISK_GOOD, 1);
    }
    run_for(0);
    assert_int_equal(rig.decided, 0);
    rig_free();
}

/* A disk that was low and is full now has just begun to refuse, one that was full and stalls has
 * just begun to stall; one that stalls after an error has not. */
static void what_takes_no_writes_counts_from_when_that_began(void **state)
{
    (void)state;
    rig_settle();
    report(PG_DISK_LOW, 1000);
    report(PG_DISK_FULL, 2000);
    assert_int_equal(rig.agent.facts.disk_since_mono_ms, 2000);
    report(PG_DISK_STALLED, 3000);
    assert_int_equal(rig.agent.facts.disk_since_mono_ms, 3000);
    report(PG_DISK_FAILED, 3500);
    assert_int_equal(rig.agent.facts.disk_since_mono_ms, 3000);
    report(PG_DISK_FULL, 3700); /* it has taken none all the time */
    assert_int_equal(rig.agent.facts.disk_since_mono_ms, 3000);
    report(PG_DISK_LOW, 4000);
    assert_int_equal(rig.agent.facts.disk_since_mono_ms, 4000);
    rig_free();
}

static void the_stores_disk_is_told_and_costs_no_lease(void **state)
{
    (void)state;
    rig_settle();
    report(PG_DISK_GOOD, 1);
    disks.places[1].kind = PG_DISK_FULL;
    disks.places[1].errno_value = ENOSPC;
    disk_take(&rig.agent, &disks);
    assert_non_null(strstr(buf_str(&rig.logged), "the disk of 'Raft directory' is full"));
    assert_int_equal(rig.agent.facts.disk, PG_DISK_GOOD);
    rig_free();
}

static void nothing_known_is_no_trouble(void **state)
{
    (void)state;
    rig_settle();
    report(PG_DISK_STALLED, 1000);
    (void)snprintf(disks.error, sizeof disks.error, "nothing is heard");
    disks.places[0].kind = PG_DISK_UNKNOWN;
    disk_take(&rig.agent, &disks);
    disk_take(&rig.agent, &disks);
    assert_int_equal(rig.agent.facts.disk, PG_DISK_UNKNOWN);
    const char *told = strstr(buf_str(&rig.logged), "nothing is heard: ");
    assert_non_null(told);
    assert_null(strstr(told + 1, "nothing is heard: "));
    rig_free();
}

static void published(void)
{
    run_for(0);
    while (is_asked("member")) {
        answer("member", 0);
        run_for(0);
    }
}

static void a_directory_that_is_not_made_yet_is_no_news(void **state)
{
    (void)state;
    rig_settle();
    disks = (struct pg_disk_state){.count = 1};
    disks.places[0] =
        (struct pg_disk_place){.name = "data directory", .instance = true, .errno_value = ENOENT};
    unsigned warnings = rig.warnings;
    disk_take(&rig.agent, &disks);
    assert_int_equal(rig.warnings, warnings);
    disks.places[0].errno_value = EACCES;
    rig.agent.facts.disks.count = 0;
    disk_take(&rig.agent, &disks);
    assert_int_equal(rig.warnings, warnings + 1);
    assert_non_null(strstr(buf_str(&rig.logged), "cannot be tried: Permission denied"));
    rig_free();
}

static void others_are_told_of_the_trouble(void **state)
{
    (void)state;
    rig_settle();
    published();
    report(PG_DISK_FULL, 1000);
    published();
    assert_non_null(strstr(rig.member, "\"disk\":\"full\""));
    assert_non_null(strstr(rig.member, "\"trouble\":\"the disk of 'data directory' is full\""));
    report(PG_DISK_GOOD, rig.now_ms);
    published();
    assert_null(strstr(rig.member, "trouble"));
    assert_non_null(strstr(rig.member, "\"disk\":\"full\"")); /* for a moment more */
    run_for(LOOP_DISK_GOOD_MS);
    publish_request(&rig.agent);
    published();
    assert_null(strstr(rig.member, "disk"));
    rig_free();
}

static void an_abandoned_term_is_over_on_the_page_and_renewed_no_more(void **state)
{
    static const struct ha_epoch epoch = {7, 9};
    (void)state;
    rig_settle();
    standby_runs(1000);
    assert_true(ha_lease_acquired(&rig.agent.lease, epoch, rig.now_ms, TTL_MS, rig.now_ms));
    plan_begin("arm", "before anything is writable");
    plan_add(HA_ARM);
    carry_out();
    assert_true(keeper_may_write(&rig.agent));
    plan_begin("disk", "it does not answer");
    plan_add(HA_ABANDON)->epoch = epoch;
    carry_out();
    assert_int_equal(page_now().deadline_ms, FENCE_OVER);
    assert_false(rig.agent.lease.held);
    assert_false(keeper_may_write(&rig.agent));
    assert_int_equal(rig.agent.facts.run, HA_RUN_STOPPING);
    while (is_asked("renew")) {
        answer("renew", 0);
    }
    run_for(TTL_MS);
    assert_false(is_asked("renew"));
    assert_false(is_asked("stop")); /* the fence does it, for as long as it takes */
    rig_free();
}

static void a_primary_is_asked_for_a_commit_before_its_disk_is_blamed(void **state)
{
    (void)state;
    rig_settle();
    primary_runs(5000);
    report(PG_DISK_GOOD, 1);
    assert_false(is_asked("commit"));
    report(PG_DISK_FULL, rig.now_ms); /* says all there is to say */
    assert_false(is_asked("commit"));
    report(PG_DISK_STALLED, rig.now_ms);
    assert_true(is_asked("commit"));
    int64_t asked_ms = rig.now_ms;
    run_for(300);
    report(PG_DISK_STALLED, rig.now_ms); /* one at a time */
    answer("commit", 0);
    assert_false(is_asked("commit"));
    assert_int_equal(rig.agent.facts.committed_mono_ms, asked_ms);
    report(PG_DISK_STALLED, rig.now_ms);
    answer("commit", ERR_TIMEOUT);
    assert_int_equal(rig.agent.facts.committed_mono_ms, asked_ms);
    const struct ha_snapshot *s = snapshot_now();
    assert_int_equal(s->self.committed_mono_ms, asked_ms);
    (void)snprintf(disks.places[1].name, sizeof disks.places[1].name, "pg_wal");
    disks.places[1].instance = true; /* a disk of its own: commits say nothing of the data's */
    disk_take(&rig.agent, &disks);
    assert_false(is_asked("commit"));
    s = snapshot_now();
    assert_int_equal(s->self.committed_mono_ms, HA_NEVER);
    postmaster_gone();
    observe_run(&rig.agent);
    assert_int_equal(rig.agent.facts.committed_mono_ms, HA_NEVER);
    report(PG_DISK_STALLED, rig.now_ms);
    assert_false(is_asked("commit"));
    rig_free();
}

/* A commit writes. */
static void nothing_is_committed_to_a_server_of_another_cluster(void **state)
{
    (void)state;
    rig_settle();
    primary_runs(5000);
    rig.agent.facts.probe.system_identifier = 43;
    report(PG_DISK_STALLED, rig.now_ms);
    assert_false(is_asked("commit"));
    rig.agent.facts.probe.system_identifier = said.system_identifier;
    report(PG_DISK_STALLED, rig.now_ms);
    assert_true(is_asked("commit"));
    answer("commit", 0);
    rig_free();
}

/* Each that hangs has a place of max_connections, until the disk answers. */
static void commits_are_not_tried_without_end(void **state)
{
    (void)state;
    rig_settle();
    primary_runs(5000);
    for (int i = 0; i < LOOP_COMMITS_LOST_MAX; i++) {
        report(PG_DISK_STALLED, rig.now_ms);
        answer("commit", ERR_TIMEOUT);
    }
    report(PG_DISK_STALLED, rig.now_ms);
    assert_false(is_asked("commit"));
    report(PG_DISK_FAILED, rig.now_ms);
    assert_false(is_asked("commit"));
    report(PG_DISK_GOOD, rig.now_ms);
    report(PG_DISK_STALLED, rig.now_ms);
    answer("commit", 0);
    rig.agent.dynamic.paused = true; /* and never where nothing hangs on it */
    report(PG_DISK_STALLED, rig.now_ms);
    assert_false(is_asked("commit"));
    rig_free();
}

/* The position of what is flushed moves between two answers: something was, since the first. */
static void what_is_flushed_counts_as_a_commit(void **state)
{
    (void)state;
    rig_settle();
    primary_runs(5000);
    while (is_asked("probe")) {
        answer("probe", ERR_TIMEOUT);
    }
    for (int i = 0; i < 2; i++) {
        int64_t before_ms = rig.agent.facts.probe.asked_ms;
        run_for(LOOP_PROBE_MS_MAX);
        said.asked_ms = rig.now_ms;
        said.flush_lsn += i == 0 ? 0 : 8;
        answer_said();
        assert_int_equal(rig.agent.facts.committed_mono_ms, i == 0 ? HA_NEVER : before_ms);
    }
    rig_free();
}

static void leader_says(const char *disk)
{
    char value[200];
    (void)snprintf(value, sizeof value, "{\"conn_url\":\"postgres://10.0.0.2:5432/postgres\"%s}",
                   disk);
    key_set("members/n2", value);
    observe_store_changed(&rig.agent);
}

/* What it found before it was asked says nothing: their disks may share what has failed. */
static void the_leaders_trouble_is_answered_by_a_write_after_it(void **state)
{
    char wanted[64];
    (void)state;
    rig_settle();
    standby_runs(1000);
    report(PG_DISK_GOOD, 1);
    published();
    leader_says(",\"disk\":\"stalled\"");
    int64_t revision = rig.agent.facts.asked_revision;
    assert_true(revision > 0);
    report(PG_DISK_GOOD, 1);
    published();
    assert_null(strstr(rig.member, "disk_answers"));
    for (int i = 0; i < 3; i++) { /* the leader says it again and again, in the meantime */
        run_for(LOOP_DISK_ANSWER_MS / 3);
        leader_says(",\"disk\":\"stalled\"");
    }
    assert_int_equal(rig.agent.facts.asked_revision, revision);
    disks.places[0].busy_ms = 700; /* that one may have begun before, and hang */
    disk_take(&rig.agent, &disks);
    assert_int_equal(rig.agent.facts.disk_answers, 0);
    report(PG_DISK_LOW, 1);
    assert_int_equal(rig.agent.facts.disk_answers, 0);
    report(PG_DISK_GOOD, 1);
    published();
    (void)snprintf(wanted, sizeof wanted, "\"disk_answers\":%lld", (long long)revision);
    assert_non_null(strstr(rig.member, wanted));
    leader_says("");
    report(PG_DISK_GOOD, 1);
    publish_request(&rig.agent);
    run_for(LOOP_DISK_GOOD_MS);
    published();
    assert_null(strstr(rig.member, "disk_answers"));
    rig_free();
}

static void own_trouble_counts_as_told_from_the_record_that_tells_of_it(void **state)
{
    (void)state;
    rig_settle();
    key_set("members/n1", "{\"disk\":\"stalled\"}"); /* of an earlier trouble */
    observe_store_changed(&rig.agent);
    report(PG_DISK_GOOD, 1);
    report(PG_DISK_STALLED, rig.now_ms);
    observe_store_changed(&rig.agent);
    assert_int_equal(rig.agent.facts.trouble_revision, 0);
    key_set("members/n1", "{\"disk\":\"stalled\",\"state\":\"running\"}");
    observe_store_changed(&rig.agent);
    int64_t revision = rig.agent.facts.trouble_revision;
    assert_true(revision > 0);
    key_set("members/n1", "{\"disk\":\"failed\",\"state\":\"running\"}");
    observe_store_changed(&rig.agent);
    assert_int_equal(rig.agent.facts.trouble_revision, revision);
    report(PG_DISK_GOOD, rig.now_ms);
    report(PG_DISK_GOOD, rig.now_ms);
    assert_int_equal(rig.agent.facts.trouble_revision, 0);
    rig_free();
}

/* Others have answered that space is short, and may stall with us now. */
static void answers_to_a_trouble_of_before_do_not_count_for_the_next(void **state)
{
    (void)state;
    rig_settle();
    key_set("members/n1", "{\"state\":\"running\"}");
    observe_store_changed(&rig.agent);
    report(PG_DISK_GOOD, 1);
    report(PG_DISK_LOW, rig.now_ms);
    key_set("members/n1", "{\"disk\":\"low\",\"state\":\"running\"}");
    observe_store_changed(&rig.agent);
    int64_t low = rig.agent.facts.trouble_revision;
    assert_true(low > 0);
    report(PG_DISK_STALLED, rig.now_ms);
    observe_store_changed(&rig.agent);
    assert_int_equal(rig.agent.facts.trouble_revision, 0);
    key_set("members/n1", "{\"disk\":\"stalled\",\"state\":\"running\"}");
    observe_store_changed(&rig.agent);
    assert_true(rig.agent.facts.trouble_revision > low);
    rig_free();
}

static void limits_come_from_the_configuration(void **state)
{
    (void)state;
    rig_init();
    assert_int_equal(disk_limits(&rig.agent).stall_ms, 5000);
    assert_int_equal(disk_limits(&rig.agent).free_bytes_min, 32 * MIB);
    rig.agent.dynamic.disk_stall_timeout_ms = 8000;
    rig.agent.dynamic.minimum_free_disk_bytes = 0;
    assert_int_equal(disk_limits(&rig.agent).stall_ms, 4000);
    assert_int_equal(disk_limits(&rig.agent).free_bytes_min, 0);
    rig_free();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_trouble_is_told_once_and_decided_on_again_and_again),
        cmocka_unit_test(good_disks_make_no_work),
        cmocka_unit_test(what_takes_no_writes_counts_from_when_that_began),
        cmocka_unit_test(the_stores_disk_is_told_and_costs_no_lease),
        cmocka_unit_test(nothing_known_is_no_trouble),
        cmocka_unit_test(a_directory_that_is_not_made_yet_is_no_news),
        cmocka_unit_test(others_are_told_of_the_trouble),
        cmocka_unit_test(an_abandoned_term_is_over_on_the_page_and_renewed_no_more),
        cmocka_unit_test(a_primary_is_asked_for_a_commit_before_its_disk_is_blamed),
        cmocka_unit_test(nothing_is_committed_to_a_server_of_another_cluster),
        cmocka_unit_test(commits_are_not_tried_without_end),
        cmocka_unit_test(what_is_flushed_counts_as_a_commit),
        cmocka_unit_test(the_leaders_trouble_is_answered_by_a_write_after_it),
        cmocka_unit_test(own_trouble_counts_as_told_from_the_record_that_tells_of_it),
        cmocka_unit_test(answers_to_a_trouble_of_before_do_not_count_for_the_next),
        cmocka_unit_test(limits_come_from_the_configuration),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
