/* The leader of a standby cluster: it holds the key as a primary would, and receives from the
 * primary of another cluster. It never writes, so its page says standby, nothing has to be stopped
 * before the key is given away, and no term of it reserves a timeline.
 *
 * The section comes: the primary is stopped in order, compared with the other cluster, rewound
 * where it has parted from it, and started as its standby under the same key. The section goes: the
 * key is given back, and whoever is furthest acquires it anew, with reports, a timeline and an
 * armed page, as after any other end of a term (rule "new_term" of a standby). */
#include "agent/ha/ha_able.h"
#include "agent/ha/ha_candidate.h"
#include "agent/ha/ha_facts.h"
#include "agent/ha/ha_remote.h"
#include "agent/ha/ha_restart.h"
#include "agent/ha/ha_rules.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void ha_plan_attach_remote(const struct ha_snapshot *s, struct ha_plan *plan,
                           enum ha_action_type type)
{
    if (type == HA_START_STANDBY) {
        ha_plan_standby_page(s, plan);
    }
    struct ha_action *action = ha_plan_add(plan, type);
    action->epoch = s->cluster.leader_epoch;
    action->remote = true;
}

void ha_plan_ask_remote(const struct ha_snapshot *s, struct ha_plan *plan, enum ha_action_type type)
{
    struct ha_action *action = ha_plan_add(plan, type);
    action->epoch = s->cluster.leader_epoch;
    action->remote = true;
}

/* Restart of the agent. What this run has held and lost, or given away, is not taken up again. */
bool ha_rule_standby_resume(const struct ha_snapshot *s, struct ha_plan *plan)
{
    bool had_it = ha_epoch_equal(s->holding.epoch, s->cluster.leader_epoch);
    bool over = ha_page_is_over(s) && ha_epoch_equal(s->fence.page_epoch, s->cluster.leader_epoch);
    if (!ha_leads_standby_cluster(s) || ha_holds_key(s) || had_it || over ||
        s->cluster.recovered_revision != 0) {
        return false;
    }
    ha_plan_resume(s, plan);
    ha_plan_because(plan, "going on as the leader of a standby cluster");
    return true;
}

/* --- nothing runs ----------------------------------------------------------------------------- */

/* It was armed as that of a primary. Removing `unfenced` (of a pause) takes an armed page. */
static bool take_page_down(const struct ha_snapshot *s, struct ha_plan *plan)
{
    if (s->fence.page_epoch.revision == 0 && !ha_unfenced_is_own(s)) {
        return false;
    }
    if (ha_unfenced_is_own(s)) {
        ha_plan_arm(s, plan);
        ha_plan_add(plan, HA_REMOVE_UNFENCED)->revision = s->cluster.unfenced_revision;
    }
    ha_plan_add(plan, HA_DISARM);
    ha_plan_because(plan, "this is a standby cluster of '%s': what was a primary here is to follow",
                    s->settings.remote);
    return true;
}

static void ask(const struct ha_snapshot *s, struct ha_plan *plan, enum ha_action_type type,
                const char *what)
{
    int64_t again_ms =
        type == HA_REWIND ? ha_job_backoff_until(s, HA_JOB_REWIND) : ha_check_backoff_until(s);
    if (again_ms != HA_NEVER) {
        ha_plan_wait(plan, again_ms);
        ha_plan_because(plan, "%s '%s': not yet, trying again: %s", what, s->settings.remote,
                        s->job.error);
        return;
    }
    ha_plan_ask_remote(s, plan, type);
    ha_plan_because(plan, "%s '%s'", what, s->settings.remote);
}

static const char *why_stuck(const struct ha_snapshot *s)
{
    switch (s->self.rejoin.divergence) {
    case HA_DIVERGENCE_LOST: return "it has lost what is here";
    case HA_DIVERGENCE_FORKED: return "both have made a timeline of one number";
    case HA_DIVERGENCE_UNKNOWN:
    case HA_DIVERGENCE_NONE:
    case HA_DIVERGENCE_REWIND: break;
    }
    return s->settings.rewind_possible ? "pg_rewind has failed" : "pg_rewind is not possible here";
}

/* What cannot follow does not keep the others from it: they may be behind the point where the two
 * parted. Not what was the primary here: it waits, whole, for the section to be taken out again.
 * Its report says that it yields, so the others take the key without waiting for it. */
static bool leave_to_another(const struct ha_snapshot *s, struct ha_plan *plan)
{
    char why[HA_REASON_BYTES];
    bool whole_primary = ha_was_primary(s) && s->self.directory == PG_DIR_VALID;
    if (whole_primary || s->settings.paused || !ha_lease_is_valid(s)) {
        return false;
    }
    const struct ha_member *other = ha_candidate_possible(s, "", why);
    if (other == NULL) {
        return false;
    }
    ha_plan_yield(s, plan, 0);
    ha_plan_release(s, plan, 0);
    ha_plan_because(plan, "our WAL has diverged from that of '%s': %s; '%s' may be able to follow",
                    s->settings.remote, why_stuck(s), other->name);
    return true;
}

static void stuck(const struct ha_snapshot *s, struct ha_plan *plan)
{
    ha_plan_wait(plan, HA_NEVER);
    if (s->self.unfinished == PG_UNFINISHED_REWIND) {
        ha_plan_because(plan,
                        "the data directory is half rewound to '%s', and %s: it cannot be started, "
                        "and there is no way back; let another member lead, or empty it by hand",
                        s->settings.remote, why_stuck(s));
        return;
    }
    ha_plan_because(plan,
                    "our WAL has diverged from that of '%s': %s; empty the data directory by "
                    "hand, or take standby_cluster out of the configuration",
                    s->settings.remote, why_stuck(s));
}

static void start(const struct ha_snapshot *s, struct ha_plan *plan)
{
    int64_t again_ms = ha_start_backoff_until(s);
    if (again_ms != HA_NEVER) {
        ha_plan_wait(plan, again_ms);
        ha_plan_because(plan, "the start has failed %u times, trying again",
                        s->self.start_failures);
        return;
    }
    if (!ha_remote_may_be_received(s)) {
        /* It can be read, also while the other cluster is away, and be compared to the byte. */
        ha_plan_standby_page(s, plan);
        ha_plan_add(plan, HA_START_STANDBY)->epoch = s->cluster.leader_epoch;
        ha_plan_because(plan,
                        "leading a standby cluster: starting without an upstream, '%s' is compared "
                        "before it is followed",
                        s->settings.remote);
        return;
    }
    ha_plan_attach_remote(s, plan, HA_START_STANDBY);
    ha_plan_because(plan, "leading a standby cluster: joining '%s'", s->settings.remote);
}

bool ha_rule_standby_start(const struct ha_snapshot *s, struct ha_plan *plan)
{
    bool primary_in_pause = s->settings.paused && ha_was_primary(s);
    if (!ha_leads_standby_cluster(s) || primary_in_pause) {
        return false;
    }
    if (ha_rule_give_up(s, plan) || take_page_down(s, plan)) {
        return true;
    }
    switch (ha_remote_rejoin(s)) {
    case HA_REJOIN_CHECK:
        ask(s, plan, HA_CHECK_DIVERGENCE, "comparing our WAL with that of");
        break;
    case HA_REJOIN_REWIND: ask(s, plan, HA_REWIND, "rewinding to the history of"); break;
    case HA_REJOIN_REMOVE:
    case HA_REJOIN_STUCK:
        if (!leave_to_another(s, plan)) {
            stuck(s, plan);
        }
        break;
    case HA_REJOIN_ATTACH: start(s, plan); break;
    }
    return true;
}

/* --- it runs ---------------------------------------------------------------------------------- */

/* Whatever allowed it: it must not end well. */
static bool rule_promotion(const struct ha_snapshot *s, struct ha_plan *plan)
{
    if (!ha_may_be_promoted(s)) {
        return false;
    }
    ha_plan_add(plan, HA_STOP_IMMEDIATE);
    ha_plan_because(plan, "a promotion %s under way, and this is a standby cluster",
                    s->self.promote_sent ? "is" : "may be");
    return true;
}

static bool rule_dead_term(const struct ha_snapshot *s, struct ha_plan *plan)
{
    if (ha_holds_key(s)) {
        return false;
    }
    ha_plan_give_back(s, plan);
    ha_plan_because(plan, "the leader key has an epoch of ours that is not gone on with");
    return true;
}

static bool rule_renewal_due(const struct ha_snapshot *s, struct ha_plan *plan)
{
    if (ha_lease_is_valid(s)) {
        return false;
    }
    ha_plan_wait(plan, HA_NEVER);
    ha_plan_because(plan, "waiting for the renewal of the lease");
    return true;
}

static bool rule_disarm(const struct ha_snapshot *s, struct ha_plan *plan)
{
    if (s->fence.page_epoch.revision == 0) {
        return false;
    }
    ha_plan_add(plan, HA_DISARM);
    ha_plan_because(plan, "the leader of a standby cluster, with an epoch on the page");
    return true;
}

/* Nothing is stopped: the next one may lead at once, and this one follows it. */
static bool rule_failover(const struct ha_snapshot *s, struct ha_plan *plan)
{
    char why[HA_REASON_BYTES];
    const struct ha_failover *failover = &s->cluster.failover;
    if (!failover->present || s->now_wall_ms < failover->scheduled_wall_ms ||
        (s->settings.paused && failover->scheduled_wall_ms > 0)) {
        return false;
    }
    bool unnamed = s->settings.paused && failover->candidate[0] == '\0';
    if (unnamed || ha_candidate_possible(s, failover->candidate, why) == NULL) {
        ha_plan_add(plan, HA_CLEAR_FAILOVER)->revision = failover->revision;
        ha_plan_because(plan, "the request is dropped: %s",
                        unnamed ? "in pause it needs the name of a candidate" : why);
        return true;
    }
    ha_plan_give_back(s, plan);
    ha_plan_because(plan, "giving the key away on request, for '%s'",
                    failover->candidate[0] != '\0' ? failover->candidate : "the best standby");
    return true;
}

static bool rule_disk(const struct ha_snapshot *s, struct ha_plan *plan)
{
    char why[HA_REASON_BYTES];
    if (s->settings.paused || ha_disk_takes_writes(s->self.disk) ||
        s->now_mono_ms - s->self.disk_since_mono_ms < s->settings.disk_failure_timeout_ms ||
        ha_candidate_possible(s, "", why) == NULL) {
        return false;
    }
    ha_plan_give_back(s, plan);
    ha_plan_because(plan, "the disk of '%s' is %s: another node is better", s->self.disk_place,
                    ha_disk_name(s->self.disk));
    return true;
}

/* A look is not waited for: what can be done without goes on while the other cluster is away. To
 * follow it cannot. */
static bool rule_look(const struct ha_snapshot *s, struct ha_plan *plan)
{
    if (!ha_remote_wants_look(s) || ha_check_backoff_until(s) != HA_NEVER) {
        return false;
    }
    ha_plan_ask_remote(s, plan, HA_CHECK_DIVERGENCE);
    ha_plan_because(plan, "comparing our WAL with that of '%s'", s->settings.remote);
    return true;
}

static bool rule_diverged(const struct ha_snapshot *s, struct ha_plan *plan)
{
    if (s->settings.paused || ha_remote_rejoin(s) == HA_REJOIN_ATTACH) {
        return false;
    }
    ha_plan_add(plan, HA_STOP_FAST);
    ha_plan_because(plan, "our WAL has diverged from that of '%s'", s->settings.remote);
    return true;
}

static bool rule_restart_to_follow(const struct ha_snapshot *s, struct ha_plan *plan)
{
    if (!s->self.upstream.follow_refused || s->settings.paused) {
        return false;
    }
    ha_plan_add(plan, HA_STOP_FAST);
    ha_plan_because(plan, "PostgreSQL does not read our service file: restarting it to follow '%s'",
                    s->settings.remote);
    return true;
}

static bool rule_follow(const struct ha_snapshot *s, struct ha_plan *plan)
{
    if (ha_follows_remote(s) || s->self.upstream.follow_refused || !ha_remote_may_be_received(s)) {
        return false;
    }
    ha_plan_attach_remote(s, plan, HA_FOLLOW);
    ha_plan_because(plan, "leading a standby cluster: following '%s'", s->settings.remote);
    return true;
}

/* With the lease: the others need these keys. */
static bool rule_healthy(const struct ha_snapshot *s, struct ha_plan *plan)
{
    ha_plan_repair_keys(s, plan);
    if (s->self.probe_fresh && s->self.position_known && s->self.lsn > 0) {
        ha_plan_add(plan, HA_WRITE_STATUS)->lsn = s->self.lsn;
    }
    /* Whose commits have waited for whom is over: what is here is the other cluster's. */
    if (s->cluster.sync_revision != 0 && s->self.upstream.streaming) {
        ha_plan_add(plan, HA_REMOVE_SYNC)->revision = s->cluster.sync_revision;
    }
    if (s->self.slots_due) {
        ha_plan_add(plan, HA_SYNC_SLOTS);
    }
    int64_t again_ms = ha_remote_wants_look(s) ? ha_check_backoff_until(s) : HA_NEVER;
    ha_plan_wait(plan, again_ms != HA_NEVER ? again_ms : ha_restart_due_mono_ms(s));
    ha_plan_because(plan, "the leader of a standby cluster of '%s'%s", s->settings.remote,
                    ha_remote_may_be_received(s) || ha_follows_remote(s)
                        ? ""
                        : ", which is not followed before it was compared");
    return true;
}

static const struct ha_rule rules[] = {
    {"resume", ha_rule_standby_resume},
    {"promotion", rule_promotion},
    {"dead_term", rule_dead_term},
    {"renewal_due", rule_renewal_due},
    {"disarm", rule_disarm},
    {"hung", ha_rule_hung},
    {"failover_stale", ha_rule_failover_stale},
    {"failover", rule_failover},
    {"disk", rule_disk},
    {"look", rule_look},
    {"diverged", rule_diverged},
    {"restart_to_follow", rule_restart_to_follow},
    {"follow", rule_follow},
    {"restart", ha_rule_restart},
    {"restart_scheduled", ha_rule_restart_scheduled},
    {"healthy", rule_healthy},
};
const struct ha_rule_list ha_rules_standby_leader = HA_RULE_LIST("standby_leader", rules);
