/* It runs as a standby, and the leader key is absent, or (early_failover) its holder gives no sign
 * of life: stop receiving, say how far we are, let the furthest run.
 *
 * The order is what makes a report worth something: whoever reports has stopped receiving from the
 * old primary before, so nothing that the old primary still acknowledges can hang on it. */
#include "agent/ha/ha_able.h"
#include "agent/ha/ha_candidate.h"
#include "agent/ha/ha_cluster.h"
#include "agent/ha/ha_depose.h"
#include "agent/ha/ha_facts.h"
#include "agent/ha/ha_failsafe.h"
#include "agent/ha/ha_rules.h"
#include "agent/ha/ha_timeline.h"

#include <inttypes.h>

/* A promotion was sent to this postmaster in a term that is over, or may have been by an earlier
 * run of the agent: it may become writable at any time. */
static bool rule_promotion_orphaned(const struct ha_snapshot *s, struct ha_plan *plan)
{
    if (!ha_may_be_promoted(s)) {
        return false;
    }
    ha_plan_add(plan, HA_STOP_IMMEDIATE);
    ha_plan_because(plan, "a promotion %s under way and the key is gone",
                    s->self.promote_sent ? "is" : "may be");
    return true;
}

static bool rule_disarm(const struct ha_snapshot *s, struct ha_plan *plan)
{
    if (s->fence.page_epoch.revision == 0) {
        return false;
    }
    ha_plan_add(plan, HA_DISARM);
    ha_plan_because(plan, "a standby with an old epoch on the page");
    return true;
}

/* The primary has lost the store, not us: it serves on by our word, and we receive from it. */
static bool rule_failsafe(const struct ha_snapshot *s, struct ha_plan *plan)
{
    if (!ha_failsafe_binds(s)) {
        return false;
    }
    ha_plan_wait(plan, ha_failsafe_until_mono_ms(s, s->failsafe.until_lease_ms));
    ha_plan_because(plan, "'%s' is the primary in failsafe mode", s->failsafe.primary);
    return true;
}

/* In the epoch that has ended; one that was left earlier is no promise for a later one that we
 * followed since. */
static bool rule_detach(const struct ha_snapshot *s, struct ha_plan *plan)
{
    const struct ha_upstream *upstream = &s->self.upstream;
    struct ha_epoch last = ha_cluster_epoch(&s->cluster);
    if (upstream->detached && ha_epoch_equal(upstream->epoch, last)) {
        return false;
    }
    if (!upstream->service_in_force) {
        ha_plan_wait(plan, HA_NEVER);
        ha_plan_because(plan, "no promise is possible before a restart: the running postmaster has "
                              "no service file of ours");
        return true;
    }
    ha_plan_add(plan, HA_DETACH)->epoch = last;
    ha_plan_because(plan,
                    ha_unlocked(s)
                        ? "nobody leads: receiving stops before the position is reported"
                        : "the leader is silent: receiving stops before the position is reported");
    return true;
}

static bool rule_position_unknown(const struct ha_snapshot *s, struct ha_plan *plan)
{
    if (s->self.position_known && s->self.probe_fresh && s->self.timeline > 0 && s->self.lsn > 0) {
        return false;
    }
    ha_plan_wait(plan, HA_NEVER);
    ha_plan_because(plan, "no report: %s",
                    s->self.position_known ? "the position is being asked for"
                                           : "local WAL is still being replayed");
    return true;
}

static bool rule_report(const struct ha_snapshot *s, struct ha_plan *plan)
{
    const struct ha_report *own = ha_cluster_report(&s->cluster, s->self.name);
    bool says_so = ha_unlocked(s) || (own != NULL && ha_depose_counts(s, own));
    bool stands = ha_report_is_current(s, own) && !own->yields && says_so &&
                  own->timeline == s->self.timeline && own->lsn == s->self.lsn &&
                  own->unfit == ha_is_unfit(s);
    if (stands) {
        return false;
    }
    struct ha_action *report = ha_plan_add(plan, HA_WRITE_REPORT);
    report->revision = own == NULL ? 0 : own->revision;
    report->epoch = ha_cluster_epoch(&s->cluster);
    report->timeline = s->self.timeline;
    report->lsn = s->self.lsn;
    report->unfit = ha_is_unfit(s);
    if (!ha_unlocked(s)) {
        report->primary_silent_ms = s->now_mono_ms - s->silence.asked_mono_ms;
        report->raft_silent_ms =
            s->silence.raft_mono_ms == HA_NEVER ? 0 : s->now_mono_ms - s->silence.raft_mono_ms;
    }
    ha_plan_because(plan, "reporting timeline %" PRIu32 ", %" PRIX64, s->self.timeline,
                    s->self.lsn);
    return true;
}

static bool rule_run(const struct ha_snapshot *s, struct ha_plan *plan)
{
    struct ha_candidacy candidacy;
    ha_candidate_decide(s, &candidacy);
    switch (candidacy.verdict) {
    case HA_VERDICT_RUN:
        if (ha_unlocked(s)) {
            ha_plan_acquire(s, plan, true,
                            s->settings.standby_cluster ? ha_timeline_retaken(s)
                                                        : ha_timeline_next(s));
        } else {
            ha_plan_depose(s, plan, ha_timeline_next(s));
        }
        break;
    case HA_VERDICT_WAIT:
    case HA_VERDICT_NO: ha_plan_wait(plan, candidacy.until_mono_ms); break;
    }
    ha_plan_because(plan, "%s: %s",
                    candidacy.verdict == HA_VERDICT_RUN ? "running for the key"
                                                        : "not running for the key",
                    candidacy.reason);
    return true;
}

static const struct ha_rule rules[] = {
    {"promotion_orphaned", rule_promotion_orphaned},
    {"disarm", rule_disarm},
    {"failsafe", rule_failsafe},
    {"detach", rule_detach},
    {"position_unknown", rule_position_unknown},
    {"report", rule_report},
    {"race", rule_run},
};
const struct ha_rule_list ha_rules_unlocked = HA_RULE_LIST("unlocked", rules);

/* Whoever is alive loses nothing by the first three: a false alarm is taken back as soon as there
 * is a sign of life (rule "follow" of a standby, after a withdrawal). */
static const struct ha_rule silent_rules[] = {
    {"promotion_orphaned", rule_promotion_orphaned},
    {"disarm", rule_disarm},
    {"detach", rule_detach},
    {"position_unknown", rule_position_unknown},
    {"report", rule_report},
    {"race", rule_run},
};
const struct ha_rule_list ha_rules_silent = HA_RULE_LIST("silent", silent_rules);
