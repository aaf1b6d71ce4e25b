/* It runs as a primary: may it, and what does it owe the cluster?
 *
 * The fence is the backstop, not the plan: it acts at S and K whatever is decided here. */
#include "agent/ha/ha_able.h"
#include "agent/ha/ha_candidate.h"
#include "agent/ha/ha_cluster.h"
#include "agent/ha/ha_facts.h"
#include "agent/ha/ha_failsafe.h"
#include "agent/ha/ha_restart.h"
#include "agent/ha/ha_rules.h"
#include "agent/ha/ha_timeline.h"
#include "agent/ha/ha_watchdog.h"

#include <inttypes.h>
#include <string.h>

/* Writes must stop at once: somebody else may be about to serve. */
static bool rule_key_is_others(const struct ha_snapshot *s, struct ha_plan *plan)
{
    if (!ha_key_is_others(s)) {
        return false;
    }
    ha_plan_add(plan, HA_STOP_IMMEDIATE);
    ha_plan_because(plan, "a primary without the leader key, which '%s' holds", s->cluster.leader);
    return true;
}

/* The key ended (the store lost its majority for a while), and the instance still runs. Only where
 * no later epoch exists has nobody written since; and the old page goes on counting until the
 * answer. */
static bool rule_retake(const struct ha_snapshot *s, struct ha_plan *plan)
{
    if (!ha_unlocked(s) || ha_page_is_over(s) || ha_failsafe_binds(s) ||
        s->cluster.recovered_revision != 0) {
        return false;
    }
    bool page_is_last = s->fence.page_epoch.revision == 0 ||
                        ha_epoch_equal(s->fence.page_epoch, ha_cluster_epoch(&s->cluster));
    bool ours = (ha_last_epoch_is_ours(s) && page_is_last) || ha_no_epoch(s);
    if (!ours) {
        return false;
    }
    ha_plan_acquire(s, plan, false, ha_timeline_retaken(s));
    ha_plan_because(plan, "running, and no later epoch exists: taking the key again");
    return true;
}

/* Restart of the agent: the page has the key's epoch. Or an instance that was adopted and whose key
 * names us. */
static bool rule_resume(const struct ha_snapshot *s, struct ha_plan *plan)
{
    bool adopted = s->fence.adopted && s->fence.page_epoch.revision == 0;
    if (!ha_key_is_ours(s) || ha_holds_key(s) || s->cluster.recovered_revision != 0 ||
        (!ha_armed_for_key(s) && !adopted)) {
        return false;
    }
    ha_plan_resume(s, plan);
    ha_plan_because(plan, "going on with the running instance");
    return true;
}

/* No valid lease and no way back to one: unlocked with a later epoch, our key with an epoch that is
 * not the page's, or past S. */
static bool rule_lease_lost(const struct ha_snapshot *s, struct ha_plan *plan)
{
    if (ha_lease_is_valid(s)) {
        return false;
    }
    bool first_answer_due = ha_holds_key(s) && !s->holding.renewed;
    if (first_answer_due &&
        (s->fence.armed || s->now_mono_ms < s->self.run_since_mono_ms + s->settings.ttl_ms)) {
        ha_plan_wait(plan, HA_NEVER);
        ha_plan_because(plan, "waiting for the first renewal of the lease");
        return true;
    }
    ha_plan_add(plan, HA_STOP_FAST);
    ha_plan_because(plan, "a primary without a valid lease");
    return true;
}

/* The promotion made another number than the one that was asked for. What follows is in
 * ha_rules_stopped.c: the number is named before anything is served under it. */
static bool rule_timeline_unreserved(const struct ha_snapshot *s, struct ha_plan *plan)
{
    if (!ha_timeline_is_unreserved(s)) {
        return false;
    }
    ha_plan_add(plan, HA_STOP_IMMEDIATE);
    ha_plan_because(plan, "on timeline %" PRIu32 ", and the acquisition reserved %" PRIu32,
                    ha_timeline_own(s), s->cluster.epoch_timeline);
    return true;
}

static bool rule_arm(const struct ha_snapshot *s, struct ha_plan *plan)
{
    if (ha_armed_for_key(s)) {
        return false;
    }
    ha_plan_arm(s, plan);
    ha_plan_because(plan, "the lease is ours and the page does not say so yet");
    return true;
}

/* The page is armed, so that what was left of a pause is over; what comes next is in
 * ha_rules_standby.c. The standbys get all of it. */
static bool rule_standby_cluster(const struct ha_snapshot *s, struct ha_plan *plan)
{
    if (!s->settings.standby_cluster) {
        return false;
    }
    ha_plan_add(plan, HA_CHECKPOINT);
    ha_plan_add(plan, HA_STOP_FAST);
    ha_plan_because(plan, "this is a standby cluster now: stopping, to follow '%s'",
                    s->settings.remote);
    return true;
}

static void clear_failover(const struct ha_snapshot *s, struct ha_plan *plan)
{
    ha_plan_add(plan, HA_CLEAR_FAILOVER)->revision = s->cluster.failover.revision;
}

/* A request that cannot be meant for now. */
bool ha_rule_failover_stale(const struct ha_snapshot *s, struct ha_plan *plan)
{
    const struct ha_failover *failover = &s->cluster.failover;
    if (!failover->present) {
        return false;
    }
    if (failover->leader[0] != '\0' && !ha_is_me(s, failover->leader)) {
        ha_plan_because(plan, "the request names '%s' as the leader", failover->leader);
    } else if (ha_is_me(s, failover->candidate)) {
        ha_plan_because(plan, "the candidate of the request leads already");
    } else if (failover->scheduled_wall_ms == 0 &&
               failover->revision < s->cluster.leader_epoch.revision) {
        ha_plan_because(plan, "the request is older than this term");
    } else if (failover->scheduled_wall_ms > 0 &&
               s->now_wall_ms > failover->scheduled_wall_ms + s->settings.loop_wait_ms * 3 / 2) {
        ha_plan_because(plan, "the time of the scheduled switchover is long past");
    } else {
        return false;
    }
    clear_failover(s, plan);
    return true;
}

/* Stop cleanly first: the standbys then have everything, and the release follows when the last
 * process is gone. */
bool ha_rule_failover(const struct ha_snapshot *s, struct ha_plan *plan)
{
    char why[HA_REASON_BYTES];
    const struct ha_failover *failover = &s->cluster.failover;
    if (!failover->present || s->now_wall_ms < failover->scheduled_wall_ms) {
        return false;
    }
    const struct ha_member *candidate = ha_candidate_possible(s, failover->candidate, why);
    if (candidate == NULL && s->self.looks_for_request) {
        return false; /* it may have begun to stream since the last look */
    }
    if (candidate == NULL) {
        clear_failover(s, plan);
        ha_plan_because(plan, "the request is dropped: %s", why);
        return true;
    }
    ha_plan_add(plan, HA_CHECKPOINT);
    ha_plan_add(plan, HA_STOP_FAST);
    ha_plan_because(plan, "stepping down on request, for '%s'",
                    failover->candidate[0] != '\0' ? failover->candidate : "the best standby");
    return true;
}

void ha_plan_repair_keys(const struct ha_snapshot *s, struct ha_plan *plan)
{
    if (!ha_is_initialized(s)) {
        ha_plan_initialize(s, plan, s->self.system_id);
    }
    if (s->cluster.config_revision == 0) {
        ha_plan_add(plan, HA_WRITE_CONFIG);
    }
    if (ha_failsafe_is_outdated(s)) {
        ha_plan_add(plan, HA_WRITE_FAILSAFE)->revision = s->cluster.failsafe_revision;
    }
}

/* The last of the upkeep: it is for the operator's eyes, and reads a file. */
static void repair_history(const struct ha_snapshot *s, struct ha_plan *plan)
{
    if (s->self.probe_fresh && s->self.timeline > 0 && !s->self.history_told &&
        (s->cluster.history_timeline != s->self.timeline || !s->cluster.history_complete)) {
        struct ha_action *history = ha_plan_add(plan, HA_WRITE_HISTORY);
        history->timeline = s->self.timeline;
        history->revision = s->cluster.history_revision;
    }
}

/* What is scheduled is looked at when it is due. */
static int64_t scheduled_mono_ms(const struct ha_snapshot *s)
{
    const struct ha_failover *failover = &s->cluster.failover;
    int64_t restart_ms = ha_restart_due_mono_ms(s);
    if (!failover->present || failover->scheduled_wall_ms <= s->now_wall_ms) {
        return restart_ms;
    }
    int64_t switch_ms = s->now_mono_ms + (failover->scheduled_wall_ms - s->now_wall_ms);
    return restart_ms != HA_NEVER && restart_ms < switch_ms ? restart_ms : switch_ms;
}

void ha_plan_upkeep(const struct ha_snapshot *s, struct ha_plan *plan)
{
    ha_plan_repair_keys(s, plan);
    if (s->self.probe_fresh && s->self.lsn > 0) {
        ha_plan_add(plan, HA_WRITE_STATUS)->lsn = s->self.lsn;
    }
    if (s->self.slots_due) {
        ha_plan_add(plan, HA_SYNC_SLOTS);
    }
    if (s->self.checkpoint_timeline > 0 && s->self.checkpoint_timeline < s->self.timeline) {
        ha_plan_add(plan, HA_CHECKPOINT); /* others may rewind to us only after it */
    }
    repair_history(s, plan);
}

static bool rule_healthy(const struct ha_snapshot *s, struct ha_plan *plan)
{
    char why[HA_REASON_BYTES];
    ha_plan_upkeep(s, plan);
    ha_plan_wait(plan, scheduled_mono_ms(s));
    if (!ha_fence_bars(s)) {
        ha_plan_because(plan, "the leader with the lease");
    } else if (ha_candidate_possible(s, "", why) != NULL) {
        ha_plan_because(plan, "the leader with the lease, and the fence does not answer");
    } else {
        ha_plan_because(plan,
                        "the leader with the lease: the fence does not answer, and nobody else "
                        "could lead: %s",
                        why);
    }
    return true;
}

static const struct ha_rule rules[] = {
    {"key_is_others", rule_key_is_others},
    {"retake", rule_retake},
    {"resume", rule_resume},
    {"lease_lost", rule_lease_lost},
    {"timeline_unreserved", rule_timeline_unreserved},
    {"arm", rule_arm},
    {"standby_cluster", rule_standby_cluster},
    {"watchdog", ha_rule_watchdog},
    {"disk", ha_rule_disk},
    {"hung", ha_rule_hung},
    {"fence", ha_rule_fence},
    {"crash_loop", ha_rule_crash_loop},
    {"failover_stale", ha_rule_failover_stale},
    {"failover", ha_rule_failover},
    {"restart", ha_rule_restart},
    {"restart_scheduled", ha_rule_restart_scheduled},
    {"leader_healthy", rule_healthy},
};
const struct ha_rule_list ha_rules_leader = HA_RULE_LIST("leader", rules);
