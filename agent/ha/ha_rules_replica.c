/* It runs as a standby, and there is a leader key: ours (become primary) or another's (follow). */
#include "agent/ha/ha_able.h"
#include "agent/ha/ha_cluster.h"
#include "agent/ha/ha_facts.h"
#include "agent/ha/ha_remote.h"
#include "agent/ha/ha_restart.h"
#include "agent/ha/ha_rules.h"
#include "agent/ha/ha_watchdog.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* A promotion that was sent (perhaps by an earlier run of the agent) may come at any time, and one
 * that ended wrongly (another timeline, a crash on the way) is not to be judged from here: what
 * runs is stopped, then the key is released.
 */
static bool rule_promotion_failed(const struct ha_snapshot *s, struct ha_plan *plan)
{
    bool ended = s->job.kind == HA_JOB_PROMOTE && s->job.failed && ha_may_be_promoted(s);
    bool without_lease = ha_may_be_promoted(s) && !ha_lease_is_valid(s);
    bool waits_for_answer = ha_holds_key(s) && !s->holding.renewed;
    if (!ended && (!without_lease || waits_for_answer)) {
        return false;
    }
    ha_plan_add(plan, HA_STOP_IMMEDIATE);
    ha_plan_because(plan, "%s",
                    ended ? "the promotion has failed"
                          : "a promotion is under way without the lease");
    return true;
}

static bool fit_to_promote(const struct ha_snapshot *s)
{
    int64_t until_ms;
    return ha_promotion_barred(s) == NULL && !ha_term_is_of_before(s) &&
           s->cluster.epoch_timeline > s->self.timeline &&
           !ha_promotion_failed_lately(s, &until_ms) && !ha_watchdog_bars(s);
}

/* The acquisition was answered in time: arm first, then promote. */
static bool rule_promote(const struct ha_snapshot *s, struct ha_plan *plan)
{
    if (!ha_lease_is_valid(s) || !fit_to_promote(s)) {
        return false;
    }
    if (!s->self.promote_sent && ha_watchdog_is_awaited(s)) {
        ha_plan_await_watchdog(s, plan);
        return true;
    }
    ha_plan_arm(s, plan);
    if (s->self.promote_sent) {
        ha_plan_wait(plan, HA_NEVER);
    } else {
        ha_plan_add(plan, HA_PROMOTE)->timeline = s->cluster.epoch_timeline;
    }
    ha_plan_because(plan, "the lease is ours: becoming primary on timeline %" PRIu32,
                    s->cluster.epoch_timeline);
    return true;
}

/* As the leader of a standby cluster that is none any more: a primary is made in a term that was
 * acquired for it, by whoever is furthest. */
static bool rule_new_term(const struct ha_snapshot *s, struct ha_plan *plan)
{
    if (!ha_lease_is_valid(s) || ha_may_be_promoted(s) || ha_promotion_barred(s) != NULL ||
        !ha_term_is_of_before(s)) {
        return false;
    }
    ha_plan_give_back(s, plan);
    ha_plan_because(plan, "the configuration has changed in this term: to become the primary takes "
                          "another one");
    return true;
}

/* An acquisition that was answered too late, an earlier run's, or one that cannot be used any more.
 * This instance was never told to promote, so it need not be stopped. */
static bool rule_own_dead_epoch(const struct ha_snapshot *s, struct ha_plan *plan)
{
    if (!ha_key_is_ours(s)) {
        return false;
    }
    if (ha_holds_key(s) && !ha_lease_is_valid(s) && !s->holding.renewed) {
        ha_plan_wait(plan, HA_NEVER);
        ha_plan_because(plan, "waiting for the renewal of the lease");
        return true;
    }
    if (ha_may_be_promoted(s)) {
        ha_plan_add(plan, HA_STOP_IMMEDIATE);
        ha_plan_because(plan, "a promotion that must not go on");
        return true;
    }
    ha_plan_give_back(s, plan);
    ha_plan_because(plan, "the leader key has an epoch of ours that is not gone on with");
    return true;
}

static bool rule_disarm(const struct ha_snapshot *s, struct ha_plan *plan)
{
    if (s->fence.page_epoch.revision == 0) {
        return false;
    }
    ha_plan_add(plan, HA_DISARM);
    ha_plan_because(plan, "a standby that '%s' leads, with an old epoch on the page",
                    s->cluster.leader);
    return true;
}

static bool rule_leader_unreachable(const struct ha_snapshot *s, struct ha_plan *plan)
{
    if (ha_leader_member(s) != NULL) {
        return false;
    }
    ha_plan_wait(plan, HA_NEVER);
    ha_plan_because(plan, "the leader '%s' has not said how to connect to it", s->cluster.leader);
    return true;
}

/* A standby that should stream and does not, or has more than its leader (it may stream all the
 * same: from the beginning of a segment), or was never compared with this leader. */
static bool wants_look(const struct ha_snapshot *s)
{
    const struct ha_upstream *upstream = &s->self.upstream;
    const struct ha_rejoin *rejoin = &s->self.rejoin;
    bool suspicious = rejoin->lost_looks > 0 && rejoin->lost_looks < HA_LOST_LOOKS_MIN &&
                      ha_epoch_equal(rejoin->epoch, s->cluster.leader_epoch);
    if (ha_rejoin_next(s) == HA_REJOIN_CHECK || suspicious) {
        return true;
    }
    bool silent = !upstream->detached && !upstream->streaming &&
                  upstream->streaming_lost_mono_ms != HA_NEVER &&
                  s->now_mono_ms - upstream->streaming_lost_mono_ms >= HA_NOT_STREAMING_MS;
    bool of_this_leader = ha_epoch_equal(rejoin->epoch, s->cluster.leader_epoch);
    bool looked =
        rejoin->checked_mono_ms != HA_NEVER && of_this_leader &&
        s->now_mono_ms - rejoin->checked_mono_ms < s->settings.loop_wait_ms + HA_NOT_STREAMING_MS;
    bool is_told = of_this_leader && rejoin->divergence == HA_DIVERGENCE_REWIND;
    /* A leader that is dead need not be asked: soon there is another. */
    return (silent || s->self.ahead) && !looked && !is_told && ha_is_heard(s, s->cluster.leader);
}

/* With the other cluster. Not waited for: it may be away for long. */
static bool check_with_remote(const struct ha_snapshot *s, struct ha_plan *plan)
{
    if (!ha_remote_wants_look(s) || ha_check_backoff_until(s) != HA_NEVER) {
        return false;
    }
    ha_plan_ask_remote(s, plan, HA_CHECK_DIVERGENCE);
    ha_plan_because(plan, "comparing our WAL with that of '%s'", s->settings.remote);
    return true;
}

static bool rule_check_divergence(const struct ha_snapshot *s, struct ha_plan *plan)
{
    if (s->settings.standby_cluster) {
        return check_with_remote(s, plan);
    }
    if (!wants_look(s)) {
        return false;
    }
    int64_t again_ms = ha_check_backoff_until(s);
    if (ha_leader_primary(s) == NULL || again_ms != HA_NEVER) {
        ha_plan_wait(plan, again_ms);
        ha_plan_because(plan, "waiting to compare our WAL with that of '%s'", s->cluster.leader);
        return true;
    }
    struct ha_action *check = ha_plan_add(plan, HA_CHECK_DIVERGENCE);
    check->epoch = s->cluster.leader_epoch;
    (void)snprintf(check->member, sizeof check->member, "%s", s->cluster.leader);
    ha_plan_because(plan, "comparing our WAL with that of '%s'", s->cluster.leader);
    return true;
}

/* Rewinding and copying need a stopped instance; so does the operator who has to decide. */
static bool rule_diverged(const struct ha_snapshot *s, struct ha_plan *plan)
{
    if (ha_rejoin_next(s) == HA_REJOIN_ATTACH) {
        return false;
    }
    ha_plan_add(plan, HA_STOP_FAST);
    /* It must not go on: sooner or later the primary has written as much, and what it sends then
     * takes the place of what was replayed here. */
    ha_plan_because(plan,
                    ha_leader_has_lost(s) ? "'%s' has lost WAL that is here, of its own timeline"
                                          : "our WAL has diverged from that of '%s'",
                    s->settings.standby_cluster ? s->settings.remote : s->cluster.leader);
    return true;
}

/* Started without our service file: it cannot be told whom to follow before its next start. */
static bool rule_restart_to_follow(const struct ha_snapshot *s, struct ha_plan *plan)
{
    const struct ha_member *wanted = ha_wanted_upstream(s);
    if (!s->self.upstream.follow_refused) {
        return false;
    }
    ha_plan_add(plan, HA_STOP_FAST);
    ha_plan_because(plan, "PostgreSQL does not read our service file: restarting it to follow '%s'",
                    wanted == NULL ? "nobody" : wanted->name);
    return true;
}

/* Tag nostream: WAL comes from the archive alone. What is promised by it holds for the next race,
 * too. */
static bool rule_do_not_stream(const struct ha_snapshot *s, struct ha_plan *plan)
{
    if (!s->self.tags.nostream || ha_follows(s, NULL)) {
        return false;
    }
    ha_plan_add(plan, HA_DETACH)->epoch = s->cluster.leader_epoch;
    ha_plan_because(plan, "a standby that is not to stream (tag nostream)");
    return true;
}

static bool rule_follow(const struct ha_snapshot *s, struct ha_plan *plan)
{
    const struct ha_member *wanted = ha_wanted_upstream(s);
    if (wanted == NULL || ha_follows(s, wanted)) {
        return false;
    }
    ha_plan_attach(s, plan, HA_FOLLOW, wanted);
    ha_plan_because(plan, "following '%s'", wanted->name);
    return true;
}

static bool rule_healthy(const struct ha_snapshot *s, struct ha_plan *plan)
{
    if (s->self.slots_due) {
        ha_plan_add(plan, HA_SYNC_SLOTS);
    }
    bool look_due = s->settings.standby_cluster && ha_remote_wants_look(s);
    int64_t again_ms = look_due ? ha_check_backoff_until(s) : HA_NEVER;
    ha_plan_wait(plan, again_ms != HA_NEVER ? again_ms : ha_restart_due_mono_ms(s));
    ha_plan_because(plan, "a standby of '%s'", s->cluster.leader);
    return true;
}

static const struct ha_rule rules[] = {
    {"resume", ha_rule_resume},
    {"promotion_failed", rule_promotion_failed},
    {"promote", rule_promote},
    {"new_term", rule_new_term},
    {"own_dead_epoch", rule_own_dead_epoch},
    {"disarm", rule_disarm},
    {"hung", ha_rule_hung},
    {"leader_unreachable", rule_leader_unreachable},
    {"check_divergence", rule_check_divergence},
    {"diverged", rule_diverged},
    {"restart_to_follow", rule_restart_to_follow},
    {"do_not_stream", rule_do_not_stream},
    {"follow", rule_follow},
    {"restart", ha_rule_restart},
    {"restart_scheduled", ha_rule_restart_scheduled},
    {"replica_healthy", rule_healthy},
};
const struct ha_rule_list ha_rules_replica = HA_RULE_LIST("replica", rules);
