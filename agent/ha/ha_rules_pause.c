/* A paused cluster, and the way out of it (rule 12 of docs/consensus.md; invariant: in pause
 * nothing is promoted, stopped, started, rewound or killed by itself).
 *
 * The page is *open* while it has an epoch and no deadline: the fence is disarmed. Before that the
 * key `unfenced` was put, and as long as it stands nobody else acquires by himself. So:
 *
 *     pause:   lease valid -> put `unfenced` -> open the page
 *              (each opening after its own put)
 *     resume:  lease valid -> arm the page   -> remove `unfenced`
 *              (or: the page over -> remove it)
 *
 * A lease that ends meanwhile ends nothing: its holder takes the key again, over its own
 * `unfenced`, which names the new epoch from that step on. A holder whose instance was stopped by
 * hand keeps the key: to give it away the page would have to be over, and what the operator starts
 * next would be the fence's to kill. What we have stopped on his order (a switchover) is started
 * again by the ordinary rules. */
#include "agent/ha/ha_candidate.h"
#include "agent/ha/ha_cluster.h"
#include "agent/ha/ha_facts.h"
#include "agent/ha/ha_failsafe.h"
#include "agent/ha/ha_remote.h"
#include "agent/ha/ha_restart.h"
#include "agent/ha/ha_rules.h"
#include "agent/ha/ha_timeline.h"

static bool runs_primary(const struct ha_snapshot *s)
{
    return s->self.directory == PG_DIR_VALID && ha_runs_as(s, PG_PRIMARY);
}

/* Somebody named is to take over, now. */
static bool is_handing_over(const struct ha_snapshot *s)
{
    return ha_failover_is_due(s) && s->cluster.failover.candidate[0] != '\0';
}

static bool left_alone(struct ha_plan *plan, const char *why)
{
    ha_plan_wait(plan, HA_NEVER);
    ha_plan_because(plan, "in pause: %s", why);
    return true;
}

/* What was asked to be made anew is copied, where somebody leads the cluster that it is of. */
static bool rule_no_data(const struct ha_snapshot *s, struct ha_plan *plan)
{
    bool copied = s->reinit.phase != HA_REINIT_NONE && ha_is_down(s) && ha_is_initialized(s) &&
                  ha_key_is_others(s);
    return s->settings.paused && s->self.directory != PG_DIR_VALID && !copied &&
           left_alone(plan, "no whole data directory, and none is made");
}

/* It will be writable the moment it has recovered. */
static bool starts_primary(const struct ha_snapshot *s)
{
    return s->self.directory == PG_DIR_VALID && s->self.run == HA_RUN_STARTING &&
           s->self.role == PG_PRIMARY;
}

/* What was not stopped by us may be started by hand at any time, also while nobody of ours is there
 * to see it. */
static bool may_be_started(const struct ha_snapshot *s)
{
    return s->self.directory == PG_DIR_VALID && ha_is_down(s) && ha_was_primary(s) &&
           !s->self.stop_ordered;
}

/* An agent that was started again may not know of the pause yet; what runs has not answered it. */
static bool rule_starting(const struct ha_snapshot *s, struct ha_plan *plan)
{
    bool between = s->self.run == HA_RUN_STARTING || s->self.run == HA_RUN_STOPPING;
    bool unfenced = s->settings.paused || (ha_page_is_open(s) && !ha_key_is_others(s));
    return unfenced && between && s->self.role != PG_STANDBY &&
           left_alone(plan, "PostgreSQL is starting or stopping");
}

/* Whoever that primary is, it gets the key back or is passed over by name; nobody waits it out. Its
 * standbys go on receiving from it. */
static bool rule_unfenced_of_another(const struct ha_snapshot *s, struct ha_plan *plan)
{
    bool standby_down = ha_is_down(s) && s->self.directory == PG_DIR_VALID && !ha_was_primary(s);
    bool races = ha_runs_as(s, PG_STANDBY) && ha_unfenced_is_passed_over(s);
    if (!ha_unlocked(s) || !ha_unfenced_binds(s) || races || standby_down) {
        return false;
    }
    ha_plan_wait(plan, HA_NEVER);
    ha_plan_because(plan,
                    s->cluster.unfenced.revision == 0
                        ? "the key unfenced cannot be read: remove it when no primary runs"
                        : "'%s' may run unfenced since a pause: it takes the key again, or the "
                          "operator says failover --candidate NAME --force",
                    ha_cluster_last_holder(&s->cluster));
    return true;
}

/* An agent that was started again goes on, whatever the page says of deadlines. */
static bool rule_resume_lease(const struct ha_snapshot *s, struct ha_plan *plan)
{
    bool same = ha_epoch_equal(s->fence.page_epoch, s->cluster.leader_epoch);
    bool dead = same && ha_page_is_over(s);
    bool wanted =
        s->settings.paused || ha_open_for_key(s) || (ha_page_is_open(s) && runs_primary(s));
    bool has_claim = runs_primary(s) || starts_primary(s) || ha_is_down(s);
    if (!ha_key_is_ours(s) || ha_holds_key(s) || dead || !wanted || !has_claim ||
        s->cluster.recovered_revision != 0) {
        return false;
    }
    ha_plan_resume(s, plan);
    ha_plan_because(plan, "going on with the key in pause, or after it");
    return true;
}

/* The operator has put another one in its place. Stopping it is for him, or for the end of the
 * pause. */
static bool rule_passed_over(const struct ha_snapshot *s, struct ha_plan *plan)
{
    return s->settings.paused && runs_primary(s) && ha_key_is_others(s) &&
           left_alone(plan, "a primary runs here, and another member holds the key");
}

/* Whatever led in the store of before: who goes on is the operator's to say. */
static bool rule_recovered(const struct ha_snapshot *s, struct ha_plan *plan)
{
    return s->settings.paused && runs_primary(s) && s->cluster.recovered_revision != 0 &&
           !ha_lease_is_valid(s) &&
           left_alone(plan, "a primary runs here, and the store was recovered: end the pause, then "
                            "order a failover");
}

static bool rule_retake(const struct ha_snapshot *s, struct ha_plan *plan)
{
    bool ending = ha_page_is_over(s) && !s->fence.adopted && !ha_page_is_open(s);
    bool ours = ha_last_epoch_is_ours(s) || ha_no_epoch(s);
    bool concerned = s->settings.paused || ha_page_is_open(s);
    if (!concerned || !runs_primary(s) || !ha_unlocked(s) || ending || !ours ||
        s->cluster.recovered_revision != 0) {
        return false;
    }
    if (ha_failsafe_binds(s)) {
        ha_plan_wait(plan, ha_failsafe_until_mono_ms(s, s->failsafe.until_lease_ms));
        ha_plan_because(plan, "'%s' was promised to be left alone", s->failsafe.primary);
        return true;
    }
    ha_plan_acquire(s, plan, false, ha_timeline_retaken(s));
    ha_plan_because(plan, "running in pause, and no later epoch exists: taking the key again");
    return true;
}

/* Also of a holder that is down: at the deadline the fence would find nothing to kill, and does not
 * look again at what is started by hand after it. */
static bool rule_unfence(const struct ha_snapshot *s, struct ha_plan *plan)
{
    bool writes = runs_primary(s) || starts_primary(s) || may_be_started(s);
    if (!s->settings.paused || !writes || !ha_lease_is_valid(s) || ha_open_for_key(s)) {
        return false;
    }
    ha_plan_unfence(s, plan);
    ha_plan_because(plan, "the cluster is paused: no deadline for PostgreSQL any more");
    return true;
}

static bool rule_manual_stale(const struct ha_snapshot *s, struct ha_plan *plan)
{
    const struct ha_failover *failover = &s->cluster.failover;
    if (!s->settings.paused || !runs_primary(s) || !ha_lease_is_valid(s)) {
        return false;
    }
    if (failover->present && failover->candidate[0] == '\0' && failover->scheduled_wall_ms == 0) {
        ha_plan_add(plan, HA_CLEAR_FAILOVER)->revision = failover->revision;
        ha_plan_because(plan, "in pause a switchover needs the name of a candidate");
        return true;
    }
    return ha_rule_failover_stale(s, plan);
}

/* A scheduled one waits for the end of the pause. */
static bool rule_manual(const struct ha_snapshot *s, struct ha_plan *plan)
{
    return s->settings.paused && runs_primary(s) && ha_lease_is_valid(s) &&
           s->cluster.failover.scheduled_wall_ms == 0 && ha_rule_failover(s, plan);
}

/* On request of the operator; a primary only where it can be started again under the key. A standby
 * of somebody is for the ordinary rules. */
static bool rule_restart(const struct ha_snapshot *s, struct ha_plan *plan)
{
    bool leads = runs_primary(s) && ha_lease_is_valid(s) && !ha_timeline_is_unreserved(s);
    bool alone = ha_runs_as(s, PG_STANDBY) && ha_unlocked(s) && !is_handing_over(s) &&
                 !ha_page_is_open(s) && !ha_may_be_promoted(s);
    return s->settings.paused && (leads || alone) && ha_rule_restart(s, plan);
}

static bool rule_leader(const struct ha_snapshot *s, struct ha_plan *plan)
{
    if (!s->settings.paused || !runs_primary(s) || !ha_lease_is_valid(s)) {
        return false;
    }
    ha_plan_upkeep(s, plan);
    return left_alone(plan, "the leader with the lease, unfenced");
}

static bool rule_primary(const struct ha_snapshot *s, struct ha_plan *plan)
{
    return s->settings.paused && runs_primary(s) &&
           left_alone(plan, "a primary that has no lease at present");
}

/* A renewal was answered lately: armed with what is left of an old one, the fence might stop
 * PostgreSQL before the next answer. */
static bool is_fresh(const struct ha_snapshot *s)
{
    return ha_lease_is_valid(s) &&
           s->holding.soft_lease_ms - s->now_lease_ms >= s->settings.ttl_ms / 3;
}

/* Nobody else can become primary meanwhile, so it serves on. */
static bool rule_wait_to_arm(const struct ha_snapshot *s, struct ha_plan *plan)
{
    if (s->settings.paused || !runs_primary(s) || !ha_page_is_open(s) || !ha_key_is_ours(s) ||
        is_fresh(s)) {
        return false;
    }
    ha_plan_wait(plan, s->now_mono_ms + s->settings.ttl_ms / 12); /* its answer is no event */
    ha_plan_because(plan, "the pause is over: waiting for a renewal of the lease to arm the fence");
    return true;
}

/* A fence that never started this instance does not know where it is. */
static bool rule_restart_under_fence(const struct ha_snapshot *s, struct ha_plan *plan)
{
    bool unfenced = ha_page_is_open(s) || s->cluster.unfenced_revision != 0;
    if (s->settings.paused || !runs_primary(s) || !unfenced || !ha_lease_is_valid(s) ||
        !s->fence.adopted || s->fence.knows_directory || s->fence.silent) {
        return false;
    }
    ha_plan_add(plan, HA_CHECKPOINT);
    ha_plan_add(plan, HA_STOP_FAST);
    ha_plan_because(plan, "the pause is over, and this fence process could not kill what was "
                          "started by hand: restarting it");
    return true;
}

/* Whichever epoch it names: nobody else can hold one while this one is held and armed. */
static bool rule_fenced_again(const struct ha_snapshot *s, struct ha_plan *plan)
{
    if (s->settings.paused || !runs_primary(s) || !ha_lease_is_valid(s) || !ha_armed_for_key(s) ||
        s->cluster.unfenced_revision == 0) {
        return false;
    }
    ha_plan_add(plan, HA_REMOVE_UNFENCED)->revision = s->cluster.unfenced_revision;
    ha_plan_because(plan, "the fence is armed again");
    return true;
}

/* The pause has ended while nothing ran. With the key it is started in place, armed. */
static bool rule_over_down(const struct ha_snapshot *s, struct ha_plan *plan)
{
    bool goes_on = ha_lease_is_valid(s) &&
                   ha_epoch_equal(s->fence.page_epoch, s->cluster.leader_epoch) &&
                   !ha_page_is_over(s);
    if (s->settings.paused || !ha_unfenced_is_own(s) || !ha_is_down(s) || !s->fence.all_gone ||
        goes_on) {
        return false;
    }
    ha_plan_end_unfenced(s, plan);
    ha_plan_because(plan, "the pause is over, and nothing runs here unfenced");
    return true;
}

/* A primary that ran unfenced was made a standby by hand; in a promotion the page is armed. */
static bool is_standby_by_hand(const struct ha_snapshot *s)
{
    bool page_lost = s->fence.page_epoch.revision == 0 && ha_unfenced_is_own(s);
    return ha_runs_as(s, PG_STANDBY) && (ha_page_is_open(s) || page_lost);
}

/* Others may run once it is certain that it cannot become writable. */
static bool rule_over_standby(const struct ha_snapshot *s, struct ha_plan *plan)
{
    if (s->settings.paused || !ha_unfenced_is_own(s) || !is_standby_by_hand(s)) {
        return false;
    }
    ha_plan_add(plan, HA_STOP_FAST);
    ha_plan_because(plan, "the pause is over, and what ran unfenced here is a standby now");
    return true;
}

/* On the operator's order, also of an instance that he has stopped himself. */
static bool rule_step_down(const struct ha_snapshot *s, struct ha_plan *plan)
{
    char why[HA_REASON_BYTES];
    const char *candidate = s->cluster.failover.candidate;
    if (!s->settings.paused || !ha_is_down(s) || !ha_key_is_ours(s) || !is_handing_over(s) ||
        ha_is_me(s, candidate) || !s->fence.all_gone) {
        return false;
    }
    if (!s->self.stop_ordered && ha_candidate_possible(s, candidate, why) == NULL) {
        if (ha_lease_is_valid(s)) {
            ha_plan_add(plan, HA_CLEAR_FAILOVER)->revision = s->cluster.failover.revision;
        } else {
            ha_plan_wait(plan, HA_NEVER);
        }
        ha_plan_because(plan, "the request is dropped: %s", why);
        return true;
    }
    if (s->settings.synchronous_mode && s->self.shutdown_lsn > 0) {
        ha_plan_yield(s, plan, s->self.shutdown_lsn);
    }
    ha_plan_release(s, plan, s->self.shutdown_lsn);
    ha_plan_because(plan, "giving the key away on request, for '%s'", candidate);
    return true;
}

/* A copy that was asked for goes on in pause, and is started. */
static bool is_made_anew(const struct ha_snapshot *s)
{
    bool empty = s->self.directory != PG_DIR_VALID && s->self.unfinished != PG_UNFINISHED_REWIND;
    return !ha_was_primary(s) && (s->reinit.phase == HA_REINIT_COPYING ||
                                  (s->reinit.phase == HA_REINIT_ORDERED && empty));
}

static bool rule_stopped_by_hand(const struct ha_snapshot *s, struct ha_plan *plan)
{
    return s->settings.paused && ha_is_down(s) && !s->self.stop_ordered && !is_made_anew(s) &&
           left_alone(plan, ha_key_is_ours(s) ? "PostgreSQL does not run; the key is kept for it"
                                              : "PostgreSQL does not run");
}

static bool needs_surgery(const struct ha_snapshot *s)
{
    switch (ha_rejoin_next(s)) {
    case HA_REJOIN_REWIND:
    case HA_REJOIN_REMOVE:
    case HA_REJOIN_STUCK: return true;
    case HA_REJOIN_ATTACH:
    case HA_REJOIN_CHECK: break;
    }
    return false;
}

static bool rule_diverged(const struct ha_snapshot *s, struct ha_plan *plan)
{
    bool concerned = ha_is_down(s) || ha_runs_as(s, PG_STANDBY);
    bool led = ha_key_is_others(s) || ha_leads_standby_cluster(s);
    return s->settings.paused && concerned && led && needs_surgery(s) &&
           left_alone(plan, "our WAL has diverged from the leader's, and nothing is done about it");
}

static bool rule_standby_without_service(const struct ha_snapshot *s, struct ha_plan *plan)
{
    return s->settings.paused && ha_runs_as(s, PG_STANDBY) && ha_key_is_others(s) &&
           s->self.upstream.follow_refused &&
           left_alone(plan, "this standby was started without our service file, and receives "
                            "nothing before its next start by the agent");
}

static bool rule_standby_with_key(const struct ha_snapshot *s, struct ha_plan *plan)
{
    return s->settings.paused && ha_key_is_ours(s) && is_standby_by_hand(s) &&
           left_alone(plan, "what runs here is a standby, and has the key");
}

static bool rule_standby(const struct ha_snapshot *s, struct ha_plan *plan)
{
    return s->settings.paused && ha_runs_as(s, PG_STANDBY) && ha_unlocked(s) &&
           !is_handing_over(s) && left_alone(plan, "a standby, and nobody leads");
}

/* Order is policy; the ordinary rules of the situation come after these. */
static const struct ha_rule rules[] = {
    {"no_data", rule_no_data},
    {"resume_lease", rule_resume_lease},
    {"unfence", rule_unfence},
    {"starting", rule_starting},
    {"unfenced_of_another", rule_unfenced_of_another},
    {"passed_over", rule_passed_over},
    {"recovered", rule_recovered},
    {"retake", rule_retake},
    {"manual_stale", rule_manual_stale},
    {"manual", rule_manual},
    {"restart", rule_restart},
    {"leader", rule_leader},
    {"primary", rule_primary},
    {"wait_to_arm", rule_wait_to_arm},
    {"restart_under_fence", rule_restart_under_fence},
    {"fenced_again", rule_fenced_again},
    {"over_down", rule_over_down},
    {"over_standby", rule_over_standby},
    {"step_down", rule_step_down},
    {"diverged", rule_diverged},
    {"stopped_by_hand", rule_stopped_by_hand},
    {"standby_without_service", rule_standby_without_service},
    {"standby_with_key", rule_standby_with_key},
    {"standby", rule_standby},
};
const struct ha_rule_list ha_rules_pause = HA_RULE_LIST("pause", rules);
