/* The runner of rule lists, and the pieces of plans that several lists use. */
#include "agent/ha/ha_rules.h"

#include "agent/ha/ha_candidate.h"
#include "agent/ha/ha_cluster.h"
#include "agent/ha/ha_facts.h"
#include "agent/ha/ha_remote.h"
#include "agent/ha/ha_timeline.h"

#include <stdio.h>
#include <string.h>

bool ha_rules_run(const struct ha_rule_list *list, const struct ha_snapshot *s,
                  struct ha_plan *plan)
{
    for (size_t i = 0; i < list->count; i++) {
        if (list->rules[i].answer(s, plan)) {
            plan->situation = list->name;
            plan->rule = list->rules[i].name;
            return true;
        }
    }
    return false;
}

void ha_plan_wait(struct ha_plan *plan, int64_t until_mono_ms)
{
    ha_plan_add(plan, HA_WAIT)->until_mono_ms = until_mono_ms;
}

static void end_epoch(const struct ha_snapshot *s, struct ha_plan *plan)
{
    /* A page that was lost with its fence gets the epoch back, so that it can be over. */
    bool lost = s->fence.page_epoch.revision == 0 && ha_unfenced_is_own(s);
    struct ha_epoch epoch = lost ? s->cluster.unfenced : s->fence.page_epoch;
    if (epoch.revision != 0 && !s->fence.over && !ha_plan_has(plan, HA_FENCE_OVER)) {
        ha_plan_add(plan, HA_FENCE_OVER)->epoch = epoch;
    }
}

void ha_plan_end_unfenced(const struct ha_snapshot *s, struct ha_plan *plan)
{
    end_epoch(s, plan);
    if (ha_unfenced_is_own(s)) {
        ha_plan_add(plan, HA_REMOVE_UNFENCED)->revision = s->cluster.unfenced_revision;
    }
}

void ha_plan_unfence(const struct ha_snapshot *s, struct ha_plan *plan)
{
    ha_plan_add(plan, HA_PUT_UNFENCED)->epoch = s->cluster.leader_epoch;
    ha_plan_add(plan, HA_UNFENCE)->epoch = s->cluster.leader_epoch;
}

void ha_plan_release(const struct ha_snapshot *s, struct ha_plan *plan, uint64_t optime)
{
    ha_plan_end_unfenced(s, plan);
    struct ha_action *release = ha_plan_add(plan, HA_RELEASE);
    release->epoch = s->cluster.leader_epoch;
    release->lsn = optime;
}

void ha_plan_give_back(const struct ha_snapshot *s, struct ha_plan *plan)
{
    if (ha_unfenced_is_own(s)) {
        ha_plan_add(plan, HA_REMOVE_UNFENCED)->revision = s->cluster.unfenced_revision;
    }
    if (s->fence.page_epoch.revision != 0) {
        ha_plan_add(plan, HA_DISARM);
    }
    ha_plan_add(plan, HA_RELEASE)->epoch = s->cluster.leader_epoch;
}

void ha_plan_yield(const struct ha_snapshot *s, struct ha_plan *plan, uint64_t lsn)
{
    const struct ha_report *own = ha_cluster_report(&s->cluster, s->self.name);
    if (lsn > 0) {
        end_epoch(s, plan); /* whoever counts it relies on that we write no further in this epoch */
    }
    struct ha_action *report = ha_plan_add(plan, HA_WRITE_REPORT);
    report->revision = own == NULL ? 0 : own->revision;
    report->epoch = s->cluster.leader_epoch;
    report->yields = true;
    report->timeline = ha_timeline_own(s);
    report->lsn = lsn;
}

void ha_plan_resume(const struct ha_snapshot *s, struct ha_plan *plan)
{
    ha_plan_add(plan, HA_RESUME)->epoch = s->cluster.leader_epoch;
}

bool ha_rule_resume(const struct ha_snapshot *s, struct ha_plan *plan)
{
    if (!ha_armed_for_key(s) || ha_holds_key(s) || s->cluster.recovered_revision != 0) {
        return false;
    }
    ha_plan_resume(s, plan);
    ha_plan_because(plan, "going on with the epoch on the page");
    return true;
}

void ha_plan_arm(const struct ha_snapshot *s, struct ha_plan *plan)
{
    if (!ha_armed_for_key(s)) {
        ha_plan_add(plan, HA_ARM)->epoch = s->cluster.leader_epoch;
    }
}

void ha_plan_standby_page(const struct ha_snapshot *s, struct ha_plan *plan)
{
    if (s->fence.page_epoch.revision != 0) {
        ha_plan_add(plan, HA_DISARM);
    }
}

void ha_plan_acquire(const struct ha_snapshot *s, struct ha_plan *plan, bool with_reports,
                     uint32_t timeline)
{
    if (s->holding.acquiring) {
        ha_plan_wait(plan, HA_NEVER); /* one at a time; its answer is an event */
        return;
    }
    ha_acquire_fill(s, with_reports, timeline, &plan->acquire);
    ha_plan_add(plan, HA_ACQUIRE)->timeline = timeline;
}

void ha_plan_depose(const struct ha_snapshot *s, struct ha_plan *plan, uint32_t timeline)
{
    if (s->holding.acquiring) {
        ha_plan_wait(plan, HA_NEVER);
        return;
    }
    ha_acquire_fill(s, true, timeline, &plan->acquire);
    struct ha_action *depose = ha_plan_add(plan, HA_DEPOSE);
    depose->epoch = s->cluster.leader_epoch;
    depose->timeline = timeline;
}

void ha_plan_initialize(const struct ha_snapshot *s, struct ha_plan *plan, const char *text)
{
    struct ha_action *action = ha_plan_add(plan, HA_WRITE_INITIALIZE);
    action->revision = s->cluster.initialize_revision;
    (void)snprintf(action->text, sizeof action->text, "%s", text);
}

bool ha_plan_withdraw(const struct ha_snapshot *s, struct ha_plan *plan)
{
    if (!ha_must_withdraw(s)) {
        return false;
    }
    const struct ha_report *report = ha_cluster_report(&s->cluster, s->self.name);
    struct ha_action *withdraw = ha_plan_add(plan, HA_WITHDRAW_REPORT);
    withdraw->epoch = s->cluster.leader_epoch;
    withdraw->revision = report == NULL ? 0 : report->revision;
    return true;
}

void ha_plan_attach(const struct ha_snapshot *s, struct ha_plan *plan, enum ha_action_type type,
                    const struct ha_member *upstream)
{
    if (upstream != NULL && ha_plan_withdraw(s, plan)) {
        return;
    }
    if (type == HA_START_STANDBY) {
        ha_plan_standby_page(s, plan);
    }
    struct ha_action *action = ha_plan_add(plan, type);
    action->epoch = s->cluster.leader_epoch;
    (void)snprintf(action->member, sizeof action->member, "%s",
                   upstream == NULL ? "" : upstream->name);
}

/* We are not beyond the position at which the leader took over, on the timeline that it was on:
 * nothing of ours can be missing there. Its report stands in the store, so this costs no question.
 */
static bool is_behind_leaders_report(const struct ha_snapshot *s)
{
    const struct ha_report *report = ha_cluster_report(&s->cluster, s->cluster.leader);
    return report != NULL && report->valid && !report->withdrawn && !report->yields &&
           report->epoch.cluster == s->cluster.leader_epoch.cluster && ha_runs_as(s, PG_STANDBY) &&
           s->self.position_known && s->self.timeline == report->timeline &&
           s->self.lsn <= report->lsn && s->self.upstream.detached &&
           ha_epoch_equal(s->self.upstream.epoch, report->epoch) &&
           report->epoch.revision < s->cluster.leader_epoch.revision;
}

/* Our WAL can be followed on from: known by a comparison, or by what makes one needless. */
static bool is_compatible(const struct ha_snapshot *s, bool compared)
{
    const struct ha_upstream *upstream = &s->self.upstream;
    const struct ha_rejoin *rejoin = &s->self.rejoin;
    bool is_copy = s->self.backup_label && !s->self.standby_signal && ha_is_down(s);
    if (compared && !is_copy) {
        return rejoin->divergence == HA_DIVERGENCE_NONE || rejoin->rewind == HA_REWIND_DONE;
    }
    bool follows = upstream->known && !upstream->detached && !ha_was_primary(s) &&
                   ha_epoch_equal(upstream->epoch, s->cluster.leader_epoch);
    return is_copy || follows || is_behind_leaders_report(s);
}

enum ha_rejoin_step ha_rejoin_next(const struct ha_snapshot *s)
{
    const struct ha_rejoin *rejoin = &s->self.rejoin;
    if (s->settings.standby_cluster) {
        return ha_remote_rejoin(s);
    }
    bool compared = ha_epoch_equal(rejoin->epoch, s->cluster.leader_epoch) &&
                    rejoin->remote[0] == '\0' && rejoin->divergence != HA_DIVERGENCE_UNKNOWN;
    /* Half way between two histories: only a rewind or a copy helps. */
    bool half_rewound = s->self.unfinished == PG_UNFINISHED_REWIND;
    if (!half_rewound && is_compatible(s, compared)) {
        return HA_REJOIN_ATTACH;
    }
    if (!half_rewound && !compared) {
        return HA_REJOIN_CHECK;
    }
    /* pg_rewind goes by timelines, and would find nothing to do. What was acknowledged because we
     * had it may be nowhere else. */
    if (!half_rewound && ha_leader_has_lost(s)) {
        return s->settings.remove_on_diverged && !ha_commits_may_have_waited(s) ? HA_REJOIN_REMOVE
                                                                                : HA_REJOIN_STUCK;
    }
    /* The leader may have gone away in the middle of it: once is no proof that it cannot be done.
     */
    bool again = s->job.kind == HA_JOB_REWIND && s->job.failures < HA_REWIND_FAILURES_MAX;
    bool failed = rejoin->rewind == HA_REWIND_FAILED && !again;
    if (s->settings.rewind_possible && !failed) {
        return HA_REJOIN_REWIND;
    }
    bool allowed =
        s->settings.remove_on_diverged || (failed && s->settings.remove_on_rewind_failure);
    return allowed ? HA_REJOIN_REMOVE : HA_REJOIN_STUCK;
}
