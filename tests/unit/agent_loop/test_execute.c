/* How a plan is carried out: in order, up to the first failure, one long job at a time, and twice
 * without harm. */
#include "agent/ha/ha_facts.h"
#include "loop_fixture.h"
#include "tests/harness/scratch.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct ha_epoch EPOCH = {7, 9};

static void follows(struct ha_action *action)
{
    (void)snprintf(action->member, sizeof action->member, "n2");
    action->epoch = EPOCH;
}

static void arms(void)
{
    assert_true(ha_lease_acquired(&rig.agent.lease, EPOCH, rig.now_ms, TTL_MS, rig.now_ms));
    plan_begin("arm", "before anything is writable");
    plan_add(HA_ARM);
    carry_out();
}

static void clone_begins(void)
{
    plan_begin("clone", "no data directory");
    follows(plan_add(HA_CLONE));
    carry_out();
}

/* --- order ------------------------------------------------------------------------------------ */

static void actions_come_in_order_and_a_write_is_waited_for(void **state)
{
    (void)state;
    rig_settle();
    plan_begin("several", "one after the other");
    plan_add(HA_CLEAR_FAILOVER)->revision = 5;
    plan_add(HA_WRITE_CONFIG)->revision = 6;
    follows(plan_add(HA_START_STANDBY));
    carry_out();
    assert_string_equal(calls(), "put failover at 5\n");
    answer("put failover", 0);
    assert_string_equal(calls(), "put config at 6\n");
    assert_int_equal(rig.agent.facts.run, HA_RUN_STOPPED);
    answer("put config", 0);
    assert_string_equal(calls(), "start standby\n");
    assert_false(rig.agent.executing); /* a start is begun, not waited for */
    assert_int_equal(rig.agent.facts.run, HA_RUN_STARTING);
    assert_string_equal(last_outcome(), "done");
    rig_free();
}

static void a_start_has_the_time_that_the_file_gives(void **state)
{
    (void)state;
    rig_settle();
    rig.config.postgresql.pg_ctl_timeout_ms = 7000;
    plan_begin("start", "as the file says");
    follows(plan_add(HA_START_STANDBY));
    carry_out();
    assert_int_equal(rig.start_timeout_ms, 7000);
    rig_free();
}

static void the_first_answer_that_fails_ends_the_plan(void **state)
{
    (void)state;
    rig_settle();
    plan_begin("several", "one after the other");
    plan_add(HA_CLEAR_FAILOVER);
    follows(plan_add(HA_START_STANDBY));
    carry_out();
    (void)calls();
    answer("put failover", ERR_CONFLICT);
    assert_string_equal(calls(), "");
    assert_false(rig.agent.executing);
    assert_non_null(strstr(last_outcome(), "clear_failover"));
    run_for(LOOP_RETRY_MS);
    assert_false(is_asked("start"));
    rig_free();
}

static void an_action_that_is_not_even_taken_ends_the_plan(void **state)
{
    (void)state;
    rig_settle();
    plan_begin("several", "one after the other");
    follows(plan_add(HA_START_STANDBY));
    plan_add(HA_CLEAR_FAILOVER);
    (void)snprintf(rig.refused, sizeof rig.refused, "start");
    rig.refused_rc = ERR_REFUSED;
    carry_out();
    assert_string_equal(calls(), "start standby\n");
    assert_string_equal(last_outcome(), "start_standby: refused by the test");
    assert_int_equal(rig.agent.facts.run, HA_RUN_STOPPED); /* nothing was begun */
    assert_false(rig.agent.facts.start_ordered);
    rig_free();
}

static void a_member_without_an_address_is_no_upstream(void **state)
{
    (void)state;
    rig_settle();
    plan_begin("attach", "to nobody we know");
    (void)snprintf(plan_add(HA_START_STANDBY)->member, HA_NAME_BYTES, "n9");
    carry_out();
    assert_string_equal(calls(), "");
    assert_non_null(strstr(last_outcome(), "'n9' has published no address"));
    rig_free();
}

static void an_answer_after_the_end_continues_nothing(void **state)
{
    (void)state;
    rig_settle();
    plan_begin("several", "one after the other");
    plan_add(HA_CLEAR_FAILOVER);
    plan_add(HA_WRITE_CONFIG);
    carry_out();
    (void)calls();
    rig.agent.executing = false; /* as agent/app.c does at the end */
    rig.agent.stopping = true;
    answer("put failover", 0);
    assert_string_equal(calls(), "");
    rig_free();
}

static void the_exit_is_the_last_thing(void **state)
{
    (void)state;
    rig_settle();
    plan_begin("shutdown", "told to stop");
    plan_add(HA_EXIT);
    plan_add(HA_CLEAR_FAILOVER);
    carry_out();
    assert_int_equal(rig.exits, 1);
    assert_string_equal(calls(), "");
    rig_free();
}

static void a_checkpoint_is_waited_for_before_a_stop_only(void **state)
{
    (void)state;
    rig_settle();
    plan_begin("upkeep", "after a promotion");
    plan_add(HA_CHECKPOINT);
    plan_add(HA_CLEAR_FAILOVER);
    carry_out();
    assert_string_equal(calls(), "checkpoint\nput failover at 0\n");
    answer("put failover", 0);
    answer("checkpoint", 0);
    plan_begin("shutdown", "PostgreSQL first");
    plan_add(HA_CHECKPOINT);
    plan_add(HA_STOP_FAST);
    run_for(0);
    (void)calls();
    carry_out();
    assert_string_equal(calls(), "checkpoint\n");
    answer("checkpoint", ERR_TIMEOUT); /* it only shortens what follows */
    assert_string_equal(calls(), "stop fast\n");
    rig_free();
}

/* The one of after a promotion is still running: the stop waits for that, and not for two. */
static void a_stop_waits_for_the_checkpoint_that_runs_already(void **state)
{
    (void)state;
    rig_settle();
    plan_begin("upkeep", "after a promotion");
    plan_add(HA_CHECKPOINT);
    carry_out();
    plan_begin("shutdown", "PostgreSQL first");
    plan_add(HA_CHECKPOINT);
    plan_add(HA_STOP_FAST);
    (void)calls();
    carry_out();
    assert_string_equal(calls(), "");
    answer("checkpoint", 0);
    assert_string_equal(calls(), "stop fast\n");
    rig_free();
}

/* --- the timeline history --------------------------------------------------------------------- */

/* Facts of a primary on `timeline`. */
static void history_wanted(uint32_t timeline)
{
    rig.agent.facts.probe.timeline = timeline;
    plan_begin("upkeep", "a new timeline");
    plan_add(HA_WRITE_HISTORY);
    plan_add(HA_CLEAR_FAILOVER);
}

static void a_history_that_cannot_be_read_stops_nothing_and_is_tried_again_later(void **state)
{
    (void)state;
    rig_settle();
    history_wanted(3);
    carry_out(); /* there is no such file */
    assert_string_equal(calls(), "put failover at 0\n");
    assert_int_equal(rig.warnings, 1);
    answer("put failover", 0);
    assert_string_equal(last_outcome(), "done");
    run_for(LOOP_WAIT_MS / 2);
    history_wanted(1); /* which needs no file */
    carry_out();
    assert_string_equal(calls(), "put failover at 0\n");
    answer("put failover", 0);
    run_for(LOOP_WAIT_MS);
    (void)calls();
    history_wanted(1);
    carry_out();
    assert_string_equal(calls(), "put history at 0\n");
    answer("put history", ERR_UNAVAILABLE);
    assert_string_equal(calls(), "put failover at 0\n");
    assert_int_equal(rig.warnings, 2);
    answer("put failover", 0);
    rig_free();
}

static bool history_is_told(void)
{
    return snapshot_now()->self.history_told;
}

/* Where timeline numbers were skipped, the last entry never names the one before ours: once written
 * is enough. */
static void a_history_that_was_written_is_known_by_its_revision(void **state)
{
    (void)state;
    rig_settle();
    history_wanted(1);
    carry_out();
    assert_string_equal(calls(), "put history at 0\n");
    answer("put history", 0);
    int64_t revision = rig.revision;
    answer("put failover", 0);
    rig.agent.facts.run = HA_RUN_RUNNING;
    assert_false(history_is_told()); /* the view does not show it yet */
    rig.agent.facts.cluster.history_revision = revision;
    assert_true(history_is_told());
    rig.agent.facts.probe.timeline = 2;
    assert_false(history_is_told());
    rig.agent.facts.probe.timeline = 1;
    rig.agent.facts.cluster.history_revision = revision + 1; /* somebody else has written */
    assert_false(history_is_told());
    rig_free();
}

/* As long as PostgreSQL and the store bear it. */
static void a_long_history_is_written(void **state)
{
    (void)state;
    char dir[64];
    char path[128];
    enum { TIMELINE = 1000 };
    rig_settle();
    scratch_make(dir, sizeof dir, "/tmp", "history");
    (void)snprintf(path, sizeof path, "%s/pg_wal", dir);
    assert_int_equal(mkdir(path, 0700), 0);
    (void)snprintf(path, sizeof path, "%s/pg_wal/%08X.history", dir, TIMELINE);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    for (unsigned i = 1; i < TIMELINE; i++) {
        (void)fprintf(file, "%u\t0/%X\tno recovery target specified\n", i, i * 0x1000);
    }
    assert_int_equal(fclose(file), 0);
    rig.config.postgresql.data_dir = dir;
    history_wanted(TIMELINE);
    carry_out();
    assert_string_equal(calls(), "put history at 0\n");
    assert_int_equal(rig.warnings, 0);
    (void)unlink(path);
    (void)snprintf(path, sizeof path, "%s/pg_wal", dir);
    (void)rmdir(path);
    (void)rmdir(dir);
    rig_free();
}

static void a_history_that_is_read_at_the_end_is_dropped(void **state)
{
    (void)state;
    rig_settle();
    history_wanted(1);
    rig.works_held = true;
    carry_out();
    assert_int_equal(rig.work_count, 1);
    rig.agent.executing = false; /* as agent/app.c does */
    rig.agent.stopping = true;
    dcs_view_unref(rig.agent.facts.view);
    rig.agent.facts.view = NULL;
    rig.agent.dcs = NULL;
    rig.works_held = false;
    run_for(0);
    assert_string_equal(calls(), "");
    rig_free();
}

/* A view that is behind, as after a start: nothing is wrong, and nothing was written. */
static void a_conflict_is_no_warning(void **state)
{
    (void)state;
    rig_settle();
    plan_begin("initialize", "nobody has");
    plan_add(HA_WRITE_INITIALIZE);
    carry_out();
    answer("put initialize", ERR_CONFLICT);
    assert_int_equal(rig.warnings, 0);
    assert_non_null(strstr(buf_str(&rig.logged), "as the test says, deciding anew"));
    plan_begin("initialize", "nobody has");
    plan_add(HA_WRITE_INITIALIZE);
    carry_out();
    answer("put initialize", ERR_UNKNOWN);
    assert_int_equal(rig.warnings, 1);
    rig_free();
}

/* --- upstream --------------------------------------------------------------------------------- */

static void who_cannot_be_told_whom_to_follow_is_known_to_follow_nobody(void **state)
{
    (void)state;
    const struct ha_upstream *upstream = &rig.agent.facts.upstream;
    rig_settle();
    standby_runs(1000);
    rig.agent.facts.upstream.service_in_force = true;
    plan_begin("follow", "another one leads");
    follows(plan_add(HA_FOLLOW));
    carry_out();
    assert_true(upstream->known);
    answer("upstream 10.0.0.2", ERR_REFUSED);
    assert_true(upstream->follow_refused);
    assert_false(upstream->known || upstream->service_in_force);
    assert_int_equal(rig.warnings, 1);
    plan_begin("start", "again, with our service file");
    follows(plan_add(HA_START_STANDBY));
    carry_out();
    assert_false(upstream->follow_refused);
    assert_true(upstream->known && upstream->service_in_force);
    rig_free();
}

static void a_promise_that_cannot_be_given_is_not_asked_for_again(void **state)
{
    (void)state;
    rig_settle();
    standby_runs(1000);
    rig.agent.facts.upstream.service_in_force = true;
    plan_begin("detach", "nobody leads");
    plan_add(HA_DETACH)->epoch = EPOCH;
    carry_out();
    answer("upstream none", ERR_REFUSED);
    assert_false(rig.agent.facts.upstream.detached || rig.agent.facts.upstream.service_in_force);
    rig_free();
}

/* --- jobs ------------------------------------------------------------------------------------- */

static void a_job_is_begun_and_its_end_is_a_fact(void **state)
{
    (void)state;
    const struct ha_job *job = &rig.agent.facts.job;
    rig_settle();
    clone_begins();
    assert_false(rig.agent.executing);
    assert_true(job->running);
    assert_int_equal(job->kind, HA_JOB_CLONE);
    assert_int_equal(job->since_mono_ms, rig.now_ms);
    assert_true(ha_epoch_equal(job->epoch, rig.agent.facts.cluster.leader_epoch));
    unsigned decided = rig.decided;
    run_for(500);
    answer("clone", ERR_IO);
    assert_false(job->running);
    assert_true(job->failed);
    assert_int_equal(job->failures, 1);
    assert_int_equal(job->ended_mono_ms, rig.now_ms);
    assert_string_equal(job->error, "as the test says");
    assert_false(rig.agent.facts.inspected); /* what it left is looked at before anything else */
    run_for(0);
    assert_int_equal(rig.decided, decided + 1);
    rig_free();
}

static void clone_fails(void)
{
    clone_begins();
    answer("clone", ERR_IO);
    run_for(0);
}

static void failures_are_counted_in_a_row_and_by_kind(void **state)
{
    (void)state;
    const struct ha_job *job = &rig.agent.facts.job;
    rig_settle();
    clone_fails();
    clone_fails();
    assert_int_equal(job->failures, 2);
    clone_begins();
    assert_int_equal(job->failures, 2); /* while it runs, too */
    answer("clone", 0);
    assert_int_equal(job->failures, 0);
    run_for(0);
    clone_fails();
    plan_begin("rewind", "something else");
    follows(plan_add(HA_REWIND));
    carry_out();
    assert_int_equal(job->failures, 0);
    rig_free();
}

static void a_second_job_is_refused_and_the_first_goes_on(void **state)
{
    (void)state;
    const struct ha_job *job = &rig.agent.facts.job;
    rig_settle();
    clone_begins();
    (void)snprintf(rig.refused, sizeof rig.refused, "rewind");
    rig.refused_rc = ERR_BUSY;
    plan_begin("rewind", "too early");
    follows(plan_add(HA_REWIND));
    carry_out();
    assert_int_equal(job->kind, HA_JOB_CLONE);
    assert_true(job->running);
    assert_non_null(strstr(last_outcome(), "rewind"));
    answer("clone", 0);
    assert_false(job->failed);
    rig_free();
}

/* Invariant I10: the primary is asked right before, and what it says counts. */
static void nothing_is_removed_when_the_primary_does_not_answer(void **state)
{
    (void)state;
    rig_settle();
    plan_begin("rejoin", "diverged");
    follows(plan_add(HA_REMOVE_DATA));
    carry_out();
    assert_string_equal(calls(), "ask_peer 10.0.0.2:5432\n");
    answer("ask_peer", ERR_TIMEOUT);
    assert_false(is_asked("remove"));
    assert_true(rig.agent.facts.job.failed);
    rig_free();
}

/* --- a primary that has lost WAL -------------------------------------------------------------- */

static const struct ha_rejoin *look_at_primary(uint32_t timeline, uint64_t lsn)
{
    plan_begin("check", "it does not stream");
    follows(plan_add(HA_CHECK_DIVERGENCE));
    carry_out();
    (void)calls();
    standby_says(2000); /* what is found out after the question says nothing */
    rig.agent.facts.probe.flush_lsn = 9000;
    struct pending pending = answer_take("ask_peer");
    const struct pg_peer_facts facts = {.role = PG_PRIMARY,
                                        .system_identifier = 7000000000000000042,
                                        .timeline = timeline,
                                        .lsn = lsn,
                                        .history = {.timeline = timeline}};
    pending.asked(pending.arg, 0, &facts, NULL);
    standby_says(2000);
    said.timeline_exact = true;
    rig.agent.facts.probe = said;
    return &rig.agent.facts.rejoin;
}

static const struct ha_rejoin *standby_begins(void)
{
    rig_settle();
    standby_runs(2000);
    (void)snprintf(rig.agent.facts.cluster.initialize, HA_SYSID_BYTES, "7000000000000000042");
    rig.agent.facts.probe.timeline_exact = true;
    return &rig.agent.facts.rejoin;
}

static void primary_that_has_lost_wal_is_told_at_once_and_acted_upon_later(void **state)
{
    (void)state;
    const struct ha_rejoin *rejoin = standby_begins();
    for (unsigned i = 1; i <= HA_LOST_LOOKS_MIN; i++) {
        (void)look_at_primary(3, 1999);
        assert_int_equal(rejoin->lost_timeline, 3);
        assert_int_equal(rejoin->lost_looks, i);
        assert_int_equal(rejoin->divergence,
                         i < HA_LOST_LOOKS_MIN ? HA_DIVERGENCE_UNKNOWN : HA_DIVERGENCE_LOST);
    }
    assert_non_null(strstr(buf_str(&rig.logged), "has lost WAL that was synced"));
    (void)look_at_primary(3, 5000); /* it has written on since */
    assert_int_equal(rejoin->divergence, HA_DIVERGENCE_LOST);
    plan_begin("check", "again");
    follows(plan_add(HA_CHECK_DIVERGENCE));
    carry_out();
    answer("ask_peer", ERR_TIMEOUT);
    assert_int_equal(rejoin->lost_looks, HA_LOST_LOOKS_MIN);
    (void)look_at_primary(4, 5000); /* another one leads */
    assert_int_equal(rejoin->lost_timeline, 0);
    assert_int_not_equal(rejoin->divergence, HA_DIVERGENCE_LOST);
    rig_free();
}

static void primary_that_is_not_behind_every_time_is_told_alone(void **state)
{
    (void)state;
    const struct ha_rejoin *rejoin = standby_begins();
    (void)look_at_primary(3, 2000);
    assert_int_equal(rejoin->divergence, HA_DIVERGENCE_NONE);
    assert_int_equal(rejoin->lost_timeline, 0);
    for (int i = 0; i < 3; i++) {
        (void)look_at_primary(3, 1999);
        (void)look_at_primary(3, 1999);
        (void)look_at_primary(3, 2001);
        assert_int_equal(rejoin->divergence, HA_DIVERGENCE_NONE);
        assert_int_equal(rejoin->lost_looks, 0);
        assert_int_equal(rejoin->lost_timeline, 3);
    }
    (void)look_at_primary(3, 1999);
    plan_begin("check", "again");
    follows(plan_add(HA_CHECK_DIVERGENCE));
    carry_out();
    answer("ask_peer", ERR_TIMEOUT);
    assert_int_equal(rejoin->lost_looks, 0);
    char trouble[HA_TROUBLE_BYTES];
    const struct ha_snapshot *s = snapshot_now();
    ha_trouble(s, trouble);
    assert_string_equal(trouble, "the primary has lost WAL that is here");
    clone_begins(); /* it is not here any more */
    answer("clone", 0);
    assert_int_equal(rejoin->lost_timeline, 0);
    rig_free();
}

/* Whose timeline is a guess has no position that could be compared. */
static void position_that_is_not_certain_accuses_nobody(void **state)
{
    (void)state;
    const struct ha_rejoin *rejoin = standby_begins();
    rig.agent.facts.probe.timeline_exact = false;
    (void)look_at_primary(3, 1000);
    assert_int_equal(rejoin->divergence, HA_DIVERGENCE_NONE);
    assert_int_equal(rejoin->lost_timeline, 0);
    rig_free();
}

/* It replays for hours what an archive brings, and is looked at each second. */
static void comparison_that_has_to_wait_for_replay_is_told_once(void **state)
{
    (void)state;
    const struct ha_rejoin *rejoin = standby_begins();
    for (int i = 0; i < 3; i++) {
        rig.agent.facts.probe.timeline_exact = false;
        (void)look_at_primary(2, 1000);
        assert_int_equal(rejoin->divergence, HA_DIVERGENCE_UNKNOWN);
    }
    const char *told = strstr(buf_str(&rig.logged), "compared our WAL");
    assert_non_null(told);
    assert_null(strstr(told + 1, "compared our WAL"));
    (void)look_at_primary(2, 1000);
    assert_int_equal(rejoin->divergence, HA_DIVERGENCE_REWIND);
    told = strstr(buf_str(&rig.logged), "compared our WAL");
    assert_non_null(strstr(told + 1, "compared our WAL"));
    rig_free();
}

/* The same while pg_rewind is being tried, which may take hours. */
static void a_rewind_is_allowed_while_its_source_leads(void **state)
{
    (void)state;
    struct ha_cluster *cluster = &rig.agent.facts.cluster;
    rig_settle();
    plan_begin("rejoin", "diverged");
    follows(plan_add(HA_REWIND));
    carry_out();
    const struct pg_rewind *rewind = &rig.rewind;
    (void)snprintf(cluster->leader, sizeof cluster->leader, "n2");
    cluster->leader_epoch = EPOCH;
    assert_true(rewind->still_allowed(rewind->still_allowed_arg));
    cluster->leader_epoch.revision++;
    assert_false(rewind->still_allowed(rewind->still_allowed_arg));
    cluster->leader_epoch = EPOCH;
    (void)snprintf(cluster->leader, sizeof cluster->leader, "n3");
    assert_false(rewind->still_allowed(rewind->still_allowed_arg));
    (void)snprintf(cluster->leader, sizeof cluster->leader, "n2");
    rig.agent.lease.held = true;
    assert_false(rewind->still_allowed(rewind->still_allowed_arg));
    rig.agent.lease.held = false;
    answer("rewind", ERR_REFUSED);
    assert_true(rig.agent.facts.job.failed);
    rig_free();
}

/* --- what may be written ---------------------------------------------------------------------- */

static void no_primary_is_started_without_an_armed_page(void **state)
{
    (void)state;
    rig_settle();
    plan_begin("start", "the lease is ours");
    plan_add(HA_START_PRIMARY);
    carry_out();
    assert_string_equal(calls(), "");
    assert_non_null(strstr(last_outcome(), "not armed"));
    run_for(LOOP_RETRY_MS);
    (void)calls();
    arms();
    plan_begin("start", "the lease is ours");
    plan_add(HA_START_PRIMARY);
    carry_out();
    assert_non_null(strstr(calls(), "start primary\n"));
    rig_free();
}

static void a_promotion_asks_for_the_lease_once_more(void **state)
{
    (void)state;
    rig_settle();
    arms();
    (void)calls();
    plan_begin("promote", "the lease is ours");
    plan_add(HA_PROMOTE)->timeline = 4;
    carry_out();
    assert_non_null(strstr(calls(), "promote 4\n"));
    answer("promote", ERR_REFUSED);
    assert_int_equal(rig.agent.facts.promote_failed_mono_ms, rig.now_ms);
    rig.now_ms += TTL_MS; /* nobody answered a renewal */
    plan_begin("promote", "too late");
    plan_add(HA_PROMOTE)->timeline = 4;
    carry_out();
    assert_non_null(strstr(calls(), "promote 4 (not allowed)\n"));
    rig_free();
}

/* pre_promote may run for an hour, and the last cycle may not have seen what came meanwhile. */
static void a_promotion_asks_once_more_whether_it_is_still_wanted(void **state)
{
    (void)state;
    rig_settle();
    arms();
    for (int i = 0; i < 3; i++) {
        (void)snprintf(rig.agent.refused, sizeof rig.agent.refused, "%s", i == 0 ? "key" : "");
        rig.agent.dynamic.paused = i == 1;
        (void)calls();
        plan_begin("promote", "the lease is ours");
        plan_add(HA_PROMOTE)->timeline = 4;
        carry_out();
        assert_non_null(strstr(calls(), i < 2 ? "promote 4 (not allowed)\n" : "promote 4\n"));
        answer("promote", ERR_REFUSED);
    }
    rig_free();
}

/* An earlier run of the agent armed the page, and nobody knows whether it went on: to refuse it now
 * would only end the standby. */
static void a_promotion_that_may_have_been_sent_goes_on_in_pause(void **state)
{
    (void)state;
    rig_settle();
    arms();
    rig.agent.lease.acquired = (struct ha_epoch){0}; /* as after a start: the epoch was resumed */
    rig.agent.dynamic.paused = true;
    plan_begin("promote", "the lease is ours");
    plan_add(HA_PROMOTE)->timeline = 4;
    (void)calls();
    carry_out();
    assert_non_null(strstr(calls(), "promote 4\n"));
    rig_free();
}

static void a_lease_that_ran_out_is_not_armed(void **state)
{
    (void)state;
    rig_settle();
    assert_true(ha_lease_acquired(&rig.agent.lease, EPOCH, rig.now_ms, TTL_MS, rig.now_ms));
    rig.now_ms += ha_lease_soft_ms(TTL_MS);
    plan_begin("arm", "too late");
    plan_add(HA_ARM);
    carry_out();
    struct fence_lease page = page_now();
    assert_false(fence_lease_armed(&page));
    assert_non_null(strstr(last_outcome(), "ran out"));
    rig_free();
}

static void an_acquisition_that_is_answered_too_late_gives_nothing(void **state)
{
    (void)state;
    rig_settle();
    plan_begin("race", "running for the key");
    plan_add(HA_ACQUIRE);
    carry_out();
    assert_true(rig.agent.acquiring);
    rig.now_ms += ha_lease_soft_ms(TTL_MS);
    answer("acquire", 0);
    assert_false(rig.agent.acquiring);
    assert_false(ha_lease_valid(&rig.agent.lease, rig.now_ms));
    rig_free();
}

/* As an acquisition, but against a key that is there, and not waited for longer than the silence.
 */
static void a_deposition_names_the_epoch_that_it_ends(void **state)
{
    (void)state;
    rig_settle();
    plan_begin("silent", "running for the key");
    plan_add(HA_DEPOSE)->epoch = EPOCH;
    carry_out();
    assert_true(rig.agent.acquiring);
    assert_int_equal(rig.deposes, EPOCH.revision);
    assert_int_equal(rig.acquire_timeout_ms, 2 * rig.agent.snapshot.settings.election_timeout_ms);
    const char *told = strstr(buf_str(&rig.logged), "ending the lease of 'n2'");
    assert_non_null(told);
    answer("depose", ERR_UNKNOWN); /* the leader of the group hears that node */
    plan_begin("silent", "running for the key");
    plan_add(HA_DEPOSE)->epoch = EPOCH;
    run_for(LOOP_RETRY_MS);
    assert_true(rig.agent.acquiring);
    told = strstr(buf_str(&rig.logged), "ending the lease of 'n2'");
    assert_null(strstr(told + 1, "ending the lease of")); /* said once */
    answer("depose", 0);
    assert_false(rig.agent.acquiring);
    assert_true(ha_lease_valid(&rig.agent.lease, rig.now_ms));
    rig_free();
}

/* The leader key may still be there: a report of the same epoch can follow, and needs a withdrawal
 * of its own. */
static void a_withdrawal_counts_until_receiving_stops_again(void **state)
{
    (void)state;
    rig_settle();
    standby_runs(1000);
    plan_begin("follow", "a sign of life");
    plan_add(HA_WITHDRAW_REPORT)->epoch = EPOCH;
    carry_out();
    answer("withdraw", 0);
    assert_true(ha_epoch_equal(rig.agent.facts.withdrawn_epoch, EPOCH));
    plan_begin("silent", "the leader is silent");
    plan_add(HA_DETACH)->epoch = EPOCH;
    carry_out();
    assert_int_equal(rig.agent.facts.withdrawn_epoch.revision, 0);
    answer("upstream none", 0);
    assert_int_equal(rig.agent.facts.withdrawn_epoch.revision, 0);
    assert_true(rig.agent.facts.upstream.detached);
    rig_free();
}

/* One that receives from nobody (tag nostream) reports without stopping anew. */
static void a_withdrawal_counts_until_the_next_report(void **state)
{
    (void)state;
    rig_settle();
    standby_runs(1000);
    rig.agent.facts.withdrawn_epoch = EPOCH;
    plan_begin("report", "nobody leads");
    plan_add(HA_WRITE_REPORT)->epoch = EPOCH;
    carry_out();
    assert_int_equal(rig.agent.facts.withdrawn_epoch.revision, 0); /* its answer may be lost */
    answer("put reports/n1", ERR_TIMEOUT);
    assert_int_equal(rig.agent.facts.withdrawn_epoch.revision, 0);
    rig_free();
}

static void the_page_says_over_before_the_release_is_sent(void **state)
{
    (void)state;
    rig_settle();
    arms();
    plan_begin("stop", "giving the key away");
    plan_add(HA_FENCE_OVER)->epoch = EPOCH;
    struct ha_action *release = plan_add(HA_RELEASE);
    release->epoch = EPOCH;
    release->lsn = 1000;
    (void)calls();
    carry_out();
    assert_non_null(strstr(calls(), "release 9 with status\n"));
    assert_int_equal(rig.page_at_release.deadline_ms, FENCE_OVER);
    assert_int_equal(rig.page_at_release.epoch.revision, EPOCH.revision);
    assert_false(keeper_may_write(&rig.agent));
    answer("release", 0);
    assert_false(rig.agent.lease.held);
    rig_free();
}

static void a_release_without_an_answer_keeps_the_lease_in_mind(void **state)
{
    (void)state;
    rig_settle();
    arms();
    plan_begin("stop", "giving the key away");
    plan_add(HA_FENCE_OVER)->epoch = EPOCH;
    plan_add(HA_RELEASE)->epoch = EPOCH;
    carry_out();
    answer("release", ERR_UNKNOWN);
    assert_false(ha_lease_valid(&rig.agent.lease, rig.now_ms)); /* over is over */
    assert_non_null(strstr(last_outcome(), "release"));
    rig_free();
}

/* A standby that won and does not use it: no page says over, it goes on running. The release may be
 * applied at any later time, so this epoch is never promoted in. */
static void a_release_that_may_come_late_ends_the_epoch_when_it_is_sent(void **state)
{
    (void)state;
    rig_settle();
    arms();
    assert_true(ha_lease_valid(&rig.agent.lease, rig.now_ms));
    plan_begin("replica", "giving the key away");
    plan_add(HA_DISARM);
    plan_add(HA_RELEASE)->epoch = EPOCH;
    carry_out();
    answer("release", ERR_UNKNOWN);
    assert_false(ha_lease_valid(&rig.agent.lease, rig.now_ms));
    assert_false(rig.agent.lease.held);
    assert_false(ha_lease_resume(&rig.agent.lease, EPOCH, 0, 0, 0, rig.now_ms));
    rig_free();
}

/* --- twice ------------------------------------------------------------------------------------ */

/* After a crash the next decision may ask for the same again: page and lease are as after the first
 * time. */
static void what_was_done_may_be_done_again(void **state)
{
    (void)state;
    static const enum ha_action_type types[] = {HA_RESUME, HA_ARM, HA_FENCE_OVER, HA_DISARM};
    rig_settle();
    arms();
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        struct fence_lease page[2];
        struct ha_holding holding[2];
        for (size_t times = 0; times < 2; times++) {
            plan_begin("again", "and again");
            plan_add(types[i])->epoch = EPOCH;
            carry_out();
            assert_string_equal(last_outcome(), "done");
            page[times] = page_now();
            memset(&holding[times], 0, sizeof holding[0]);
            ha_lease_holding(&rig.agent.lease, false, &holding[times]);
        }
        assert_memory_equal(&page[0], &page[1], sizeof page[0]);
        assert_memory_equal(&holding[0], &holding[1], sizeof holding[0]);
    }
    rig_free();
}

static void end_fence(void)
{
    plan_begin("fence", "it does not answer");
    plan_add(HA_END_FENCE);
    plan_add(HA_WAIT);
    carry_out();
}

static void a_fence_is_ended_as_often_as_it_is_asked_and_told_once(void **state)
{
    (void)state;
    rig_settle();
    rig.fence.fence_pid = 4711;
    rig.fence_ends = 0;
    end_fence();
    const char *told = strstr(buf_str(&rig.logged), "ending the fence (process 4711)");
    assert_non_null(told);
    int first = rig.fence_ends;
    assert_true(first > 0);
    end_fence();
    assert_true(rig.fence_ends > first);
    told = strstr(buf_str(&rig.logged), "ending the fence");
    assert_null(strstr(told + 1, "ending the fence"));
    rig_free();
}

static void rig_restart(void)
{
    struct fence_lease page = page_now();
    struct fence_status fence = rig.fence;
    int64_t now_ms = rig.now_ms;
    rig_free();
    rig_settle();
    rig.now_ms = now_ms;
    rig.fence = fence;
    fence_page_write(fence_client_page(NULL), &page);
}

/* The agent dies after each action of "arm, start" in turn; whatever it left, the same plan then
 * goes through, and nothing is writable before the page is armed. */
static void a_plan_that_was_cut_off_anywhere_goes_through_after_a_restart(void **state)
{
    (void)state;
    for (size_t done = 0; done <= 2; done++) {
        rig_settle();
        assert_true(ha_lease_acquired(&rig.agent.lease, EPOCH, rig.now_ms, TTL_MS, rig.now_ms));
        plan_begin("start", "cut off");
        for (size_t i = 0; i < done; i++) {
            plan_add(i == 0 ? HA_ARM : HA_START_PRIMARY);
        }
        if (done == 0) {
            plan_add(HA_WAIT);
        }
        carry_out();
        assert_int_equal(is_asked("start primary"), done == 2);
        rig_restart();
        plan_begin("resume", "with the epoch on the page");
        plan_add(HA_RESUME)->epoch = EPOCH;
        carry_out();
        if (done == 0) { /* nothing was on the page: only an answered renewal makes it valid */
            assert_false(ha_lease_valid(&rig.agent.lease, rig.now_ms));
            run_for(10);
            answer("renew", 0);
        }
        assert_true(ha_lease_valid(&rig.agent.lease, rig.now_ms));
        plan_begin("start", "again");
        plan_add(HA_ARM);
        plan_add(HA_START_PRIMARY);
        carry_out();
        assert_true(is_asked("start primary"));
        assert_true(keeper_may_write(&rig.agent));
        rig_free();
    }
}

static void an_epoch_that_is_over_is_not_taken_up_again(void **state)
{
    (void)state;
    rig_settle();
    arms();
    plan_begin("stop", "it is over");
    plan_add(HA_FENCE_OVER)->epoch = EPOCH;
    carry_out();
    plan_begin("resume", "by mistake");
    plan_add(HA_RESUME)->epoch = EPOCH;
    carry_out();
    assert_non_null(strstr(last_outcome(), "over"));
    assert_false(keeper_may_write(&rig.agent));
    rig_free();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(actions_come_in_order_and_a_write_is_waited_for),
        cmocka_unit_test(a_start_has_the_time_that_the_file_gives),
        cmocka_unit_test(the_first_answer_that_fails_ends_the_plan),
        cmocka_unit_test(an_action_that_is_not_even_taken_ends_the_plan),
        cmocka_unit_test(a_member_without_an_address_is_no_upstream),
        cmocka_unit_test(an_answer_after_the_end_continues_nothing),
        cmocka_unit_test(the_exit_is_the_last_thing),
        cmocka_unit_test(a_fence_is_ended_as_often_as_it_is_asked_and_told_once),
        cmocka_unit_test(a_checkpoint_is_waited_for_before_a_stop_only),
        cmocka_unit_test(a_stop_waits_for_the_checkpoint_that_runs_already),
        cmocka_unit_test(a_history_that_cannot_be_read_stops_nothing_and_is_tried_again_later),
        cmocka_unit_test(a_history_that_was_written_is_known_by_its_revision),
        cmocka_unit_test(a_long_history_is_written),
        cmocka_unit_test(a_history_that_is_read_at_the_end_is_dropped),
        cmocka_unit_test(a_conflict_is_no_warning),
        cmocka_unit_test(who_cannot_be_told_whom_to_follow_is_known_to_follow_nobody),
        cmocka_unit_test(a_promise_that_cannot_be_given_is_not_asked_for_again),
        cmocka_unit_test(a_job_is_begun_and_its_end_is_a_fact),
        cmocka_unit_test(failures_are_counted_in_a_row_and_by_kind),
        cmocka_unit_test(a_second_job_is_refused_and_the_first_goes_on),
        cmocka_unit_test(nothing_is_removed_when_the_primary_does_not_answer),
        cmocka_unit_test(primary_that_has_lost_wal_is_told_at_once_and_acted_upon_later),
        cmocka_unit_test(primary_that_is_not_behind_every_time_is_told_alone),
        cmocka_unit_test(position_that_is_not_certain_accuses_nobody),
        cmocka_unit_test(comparison_that_has_to_wait_for_replay_is_told_once),
        cmocka_unit_test(a_rewind_is_allowed_while_its_source_leads),
        cmocka_unit_test(no_primary_is_started_without_an_armed_page),
        cmocka_unit_test(a_promotion_asks_for_the_lease_once_more),
        cmocka_unit_test(a_promotion_asks_once_more_whether_it_is_still_wanted),
        cmocka_unit_test(a_promotion_that_may_have_been_sent_goes_on_in_pause),
        cmocka_unit_test(a_lease_that_ran_out_is_not_armed),
        cmocka_unit_test(an_acquisition_that_is_answered_too_late_gives_nothing),
        cmocka_unit_test(a_deposition_names_the_epoch_that_it_ends),
        cmocka_unit_test(a_withdrawal_counts_until_receiving_stops_again),
        cmocka_unit_test(a_withdrawal_counts_until_the_next_report),
        cmocka_unit_test(the_page_says_over_before_the_release_is_sent),
        cmocka_unit_test(a_release_without_an_answer_keeps_the_lease_in_mind),
        cmocka_unit_test(a_release_that_may_come_late_ends_the_epoch_when_it_is_sent),
        cmocka_unit_test(what_was_done_may_be_done_again),
        cmocka_unit_test(a_plan_that_was_cut_off_anywhere_goes_through_after_a_restart),
        cmocka_unit_test(an_epoch_that_is_over_is_not_taken_up_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
