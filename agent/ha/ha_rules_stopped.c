/* A data directory, and nothing runs: start in place, take the key again, give it away, or join
 * whoever leads.
 *
 * The key is released only here (and for a standby that never promoted): every process is gone, and
 * the page says that the epoch is over before the release is sent, so that a release that lands
 * late ends nothing that was taken up again. */
#include "agent/ha/ha_able.h"
#include "agent/ha/ha_candidate.h"
#include "agent/ha/ha_cluster.h"
#include "agent/ha/ha_facts.h"
#include "agent/ha/ha_failsafe.h"
#include "agent/ha/ha_partners.h"
#include "agent/ha/ha_remote.h"
#include "agent/ha/ha_rules.h"
#include "agent/ha/ha_timeline.h"
#include "agent/ha/ha_watchdog.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* The postmaster is gone, some of its children are not: the fence ends them, nothing is decided
 * before. */
static bool rule_not_all_gone(const struct ha_snapshot *s, struct ha_plan *plan)
{
    if (s->fence.all_gone) {
        return false;
    }
    ha_plan_add(plan, HA_STOP_IMMEDIATE);
    ha_plan_because(plan, "processes of the instance are left");
    return true;
}

/* A switchover or failover on request: we have stopped for it. */
static bool rule_step_down(const struct ha_snapshot *s, struct ha_plan *plan)
{
    const struct ha_failover *failover = &s->cluster.failover;
    if (!ha_key_is_ours(s) || !ha_failover_is_due(s) || ha_is_me(s, failover->candidate) ||
        s->self.run != HA_RUN_STOPPED) {
        return false;
    }
    if (s->settings.synchronous_mode && s->self.shutdown_lsn > 0) {
        ha_plan_yield(s, plan, s->self.shutdown_lsn);
    }
    ha_plan_release(s, plan, s->self.shutdown_lsn);
    ha_plan_because(plan, "stepping down on request, position %" PRIX64, s->self.shutdown_lsn);
    return true;
}

/* Our name on the key, in an epoch that cannot be gone on with: the fence fired for it (whatever
 * renewal was answered since), the page was lost with the host, or an earlier run died before it
 * armed. Nobody else could end it before its ttl. */
static bool rule_own_dead_epoch(const struct ha_snapshot *s, struct ha_plan *plan)
{
    bool over = ha_page_is_over(s) && ha_epoch_equal(s->fence.page_epoch, s->cluster.leader_epoch);
    if (!ha_key_is_ours(s) || (ha_holds_key(s) && !over)) {
        return false;
    }
    ha_plan_release(s, plan, s->self.shutdown_lsn);
    ha_plan_because(plan, "the leader key has an epoch of ours that is over");
    return true;
}

static bool rule_renewal_due(const struct ha_snapshot *s, struct ha_plan *plan)
{
    if (!ha_key_is_ours(s) || ha_lease_is_valid(s)) {
        return false;
    }
    ha_plan_wait(plan, HA_NEVER);
    ha_plan_because(plan, "waiting for the renewal of the lease");
    return true;
}

/* The key was won by a standby that went down before it became a primary: it has no better claim
 * than the others. */
static bool rule_unpromoted(const struct ha_snapshot *s, struct ha_plan *plan)
{
    if (!ha_key_is_ours(s) || ha_was_primary(s)) {
        return false;
    }
    ha_plan_release(s, plan, 0);
    ha_plan_because(plan, "the instance went down before it was promoted");
    return true;
}

/* Cut off in the middle of a rewind, as the leader of a standby cluster that is none any more: it
 * cannot be started, and there is no way back. Whoever leads next is what it is rewound to. */
static bool rule_half_rewound(const struct ha_snapshot *s, struct ha_plan *plan)
{
    if (!ha_key_is_ours(s) || s->self.directory == PG_DIR_VALID) {
        return false;
    }
    ha_plan_yield(s, plan, 0);
    ha_plan_release(s, plan, 0);
    ha_plan_because(plan, "the data directory is half rewound, and cannot be started");
    return true;
}

/* The report names the number, so that no other member chooses it; whoever takes the key next,
 * perhaps this one, reserves it or a later one. */
static bool rule_timeline_unreserved(const struct ha_snapshot *s, struct ha_plan *plan)
{
    if (!ha_key_is_ours(s) || !ha_timeline_is_unreserved(s)) {
        return false;
    }
    ha_plan_yield(s, plan, 0);
    ha_plan_release(s, plan, 0);
    ha_plan_because(plan, "on timeline %" PRIu32 ", and the acquisition reserved %" PRIu32,
                    ha_timeline_own(s), s->cluster.epoch_timeline);
    return true;
}

static bool start_backoff(const struct ha_snapshot *s, struct ha_plan *plan)
{
    int64_t again_ms = ha_start_backoff_until(s);
    if (again_ms == HA_NEVER) {
        return false;
    }
    ha_plan_wait(plan, again_ms);
    ha_plan_because(plan, "the start has failed %u times, trying again", s->self.start_failures);
    return true;
}

/* The lease runs and is ours: the fastest way back is the one that loses nothing. */
static bool rule_start_in_place(const struct ha_snapshot *s, struct ha_plan *plan)
{
    if (!ha_key_is_ours(s)) {
        return false;
    }
    if (ha_watchdog_is_awaited(s)) {
        ha_plan_await_watchdog(s, plan);
    } else if (!start_backoff(s, plan)) {
        ha_plan_arm(s, plan);
        ha_plan_add(plan, HA_START_PRIMARY);
        ha_plan_because(plan, "the lease is ours: starting in place");
    }
    return true;
}

/* No later epoch than our own exists, so nobody has written after us: the holder of the last epoch
 * needs no comparison. It gives way for a bounded time where it has stepped down or given up. */
static bool rule_retake(const struct ha_snapshot *s, struct ha_plan *plan)
{
    bool ours = ha_last_epoch_is_ours(s) || ha_no_epoch(s);
    bool startable = s->self.directory == PG_DIR_VALID || s->settings.standby_cluster;
    if (!ha_unlocked(s) || !ours || !ha_was_primary(s) || !startable ||
        ha_partner_newer(s) != NULL || s->settings.refused[0] != '\0' ||
        s->cluster.recovered_revision != 0 || ha_failsafe_binds(s) || ha_watchdog_bars(s) ||
        ha_fence_bars(s)) {
        return false;
    }
    const struct ha_report *own = ha_cluster_report(&s->cluster, s->self.name);
    bool gave_up = ha_report_is_current(s, own) && own->yields;
    bool stepped_down = ha_failover_is_due(s) && !ha_is_me(s, s->cluster.failover.candidate);
    /* Where this disk is full, whoever else may come is the better one. */
    int64_t patience_ms =
        s->self.disk == PG_DISK_FULL ? HA_YIELD_MS + s->settings.ttl_ms : HA_YIELD_MS;
    int64_t yield_ms = s->unlocked_since_mono_ms + patience_ms;
    if ((gave_up || stepped_down) && s->now_mono_ms < yield_ms) {
        ha_plan_wait(plan, yield_ms);
        ha_plan_because(plan, "leaving the key to others for %" PRId64 " ms", patience_ms);
        return true;
    }
    ha_plan_acquire(s, plan, false, ha_timeline_retaken(s));
    ha_plan_because(plan, "the last primary was this one: taking the key again");
    return true;
}

/* Nobody leads: a standby starts without an upstream, so that its position can be reported. */
static bool rule_start_detached(const struct ha_snapshot *s, struct ha_plan *plan)
{
    if (!ha_unlocked(s) || s->self.directory == PG_DIR_UNFINISHED) {
        return false;
    }
    if (!start_backoff(s, plan)) {
        ha_plan_standby_page(s, plan);
        ha_plan_add(plan, HA_START_STANDBY)->epoch = ha_cluster_epoch(&s->cluster);
        ha_plan_because(plan, "nobody leads: starting as a standby without an upstream");
    }
    return true;
}

static bool rule_wait_for_leader(const struct ha_snapshot *s, struct ha_plan *plan)
{
    enum ha_rejoin_step step = ha_rejoin_next(s);
    bool asks_remote = s->settings.standby_cluster && step != HA_REJOIN_REMOVE;
    bool asks_primary = step != HA_REJOIN_ATTACH && !asks_remote;
    if (ha_key_is_others(s) &&
        (asks_primary ? ha_leader_primary(s) : ha_leader_member(s)) != NULL) {
        return false;
    }
    ha_plan_wait(plan, HA_NEVER);
    ha_plan_because(plan, "waiting for a running primary to join");
    return true;
}

static void rejoin_job(const struct ha_snapshot *s, struct ha_plan *plan, enum ha_action_type type,
                       enum ha_job_kind kind, const char *what)
{
    int64_t again_ms =
        kind == HA_JOB_CHECK_DIVERGENCE ? ha_check_backoff_until(s) : ha_job_backoff_until(s, kind);
    if (again_ms != HA_NEVER) {
        ha_plan_wait(plan, again_ms);
        ha_plan_because(plan, "%s: not yet, trying again: %s", what, s->job.error);
        return;
    }
    if (s->settings.standby_cluster && type != HA_REMOVE_DATA) {
        ha_plan_ask_remote(s, plan, type);
        ha_plan_because(plan, "%s: that of '%s'", what, s->settings.remote);
        return;
    }
    struct ha_action *action = ha_plan_add(plan, type);
    action->epoch = s->cluster.leader_epoch;
    (void)snprintf(action->member, sizeof action->member, "%s", s->cluster.leader);
    ha_plan_because(plan, "%s", what);
}

static void stuck(const struct ha_snapshot *s, struct ha_plan *plan)
{
    ha_plan_wait(plan, HA_NEVER);
    if (s->settings.standby_cluster) {
        ha_plan_because(plan,
                        "our WAL has diverged from that of '%s': %s; ask for reinit, or empty the "
                        "data directory by hand",
                        s->settings.remote,
                        s->settings.rewind_possible ? "pg_rewind does not heal it"
                                                    : "pg_rewind is not possible here");
        return;
    }
    if (ha_leader_has_lost(s)) {
        ha_plan_because(plan,
                        "'%s' has lost WAL that is here, of its own timeline: %s; empty the data "
                        "directory by hand to give that up",
                        s->cluster.leader,
                        ha_commits_may_have_waited(s)
                            ? "acknowledged commits may be nowhere else"
                            : "remove_data_directory_on_diverged_timelines is off");
        return;
    }
    ha_plan_because(
        plan,
        "our WAL has diverged from the leader's: %s; empty the data directory by hand, or set "
        "remove_data_directory_on_diverged_timelines",
        s->settings.rewind_possible ? "pg_rewind has failed" : "pg_rewind is not possible here");
}

/* Another one leads. One step a cycle, each of them seen in the member's state. */
static bool rule_rejoin(const struct ha_snapshot *s, struct ha_plan *plan)
{
    switch (ha_rejoin_next(s)) {
    case HA_REJOIN_CHECK:
        rejoin_job(s, plan, HA_CHECK_DIVERGENCE, HA_JOB_CHECK_DIVERGENCE,
                   "comparing our WAL with the leader's");
        break;
    case HA_REJOIN_REWIND:
        rejoin_job(s, plan, HA_REWIND, HA_JOB_REWIND, "rewinding to the leader's history");
        break;
    case HA_REJOIN_REMOVE:
        rejoin_job(
            s, plan, HA_REMOVE_DATA, HA_JOB_REMOVE_DATA,
            ha_leader_has_lost(s)
                ? "the leader has lost WAL that is here: removing the data directory to copy it "
                  "again"
                : "our WAL has diverged from the leader's: removing the data directory to copy it "
                  "again");
        break;
    case HA_REJOIN_STUCK: stuck(s, plan); break;
    case HA_REJOIN_ATTACH:
        if (!start_backoff(s, plan)) {
            ha_plan_attach(s, plan, HA_START_STANDBY, ha_wanted_upstream(s));
            ha_plan_because(plan, "joining '%s'", s->cluster.leader);
        }
        break;
    }
    return true;
}

static const struct ha_rule rules[] = {
    {"not_all_gone", rule_not_all_gone},
    {"step_down", rule_step_down},
    {"resume", ha_rule_resume},
    {"disk", ha_rule_disk_stopped},
    {"standby_resume", ha_rule_standby_resume},
    {"own_dead_epoch", rule_own_dead_epoch},
    {"renewal_due", rule_renewal_due},
    {"standby_start", ha_rule_standby_start},
    {"half_rewound", rule_half_rewound},
    {"unpromoted", rule_unpromoted},
    {"timeline_unreserved", rule_timeline_unreserved},
    {"give_up", ha_rule_give_up},
    {"watchdog", ha_rule_watchdog_stopped},
    {"fence", ha_rule_fence_stopped},
    {"start_in_place", rule_start_in_place},
    {"retake", rule_retake},
    {"start_detached", rule_start_detached},
    {"wait_for_leader", rule_wait_for_leader},
    {"rejoin", rule_rejoin},
};
const struct ha_rule_list ha_rules_stopped = HA_RULE_LIST("stopped", rules);
