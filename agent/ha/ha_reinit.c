#include "agent/ha/ha_reinit.h"

#include "agent/ha/ha_cluster.h"
#include "agent/ha/ha_depose.h"
#include "agent/ha/ha_facts.h"
#include "agent/ha/ha_restart.h"
#include "agent/ha/ha_rules.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static bool is_half_rewound(const struct ha_snapshot *s)
{
    return s->self.directory == PG_DIR_UNFINISHED && s->self.unfinished == PG_UNFINISHED_REWIND;
}

static bool has_data(const struct ha_snapshot *s)
{
    return s->self.directory == PG_DIR_VALID || is_half_rewound(s);
}

static bool is_empty(const struct ha_snapshot *s)
{
    return s->self.directory == PG_DIR_MISSING || s->self.directory == PG_DIR_EMPTY ||
           (s->self.directory == PG_DIR_UNFINISHED && s->self.unfinished == PG_UNFINISHED_CLONE);
}

/* Of what is there, whatever the others do. */
static const char *unremovable(const struct ha_snapshot *s)
{
    if (s->self.directory_known && !has_data(s) && !is_empty(s)) {
        return "the data directory is not this cluster's, or cannot be judged: empty it by hand";
    }
    if (has_data(s) && !is_half_rewound(s) &&
        (!ha_is_initialized(s) || strcmp(s->self.system_id, s->cluster.initialize) != 0)) {
        return "the data directory is not known to be this cluster's: empty it by hand";
    }
    if (has_data(s) && !is_half_rewound(s) && ha_commits_may_have_waited(s) &&
        (ha_leader_has_lost(s) || ha_leader_was_behind(s))) {
        return "the leader has lost WAL that is here, and acknowledged commits may be nowhere "
               "else: empty the data directory by hand to give that up";
    }
    return NULL;
}

static bool leads(const struct ha_snapshot *s)
{
    return ha_key_is_ours(s) || (ha_is_initialized(s) && ha_last_epoch_is_ours(s));
}

const char *ha_reinit_hindered(const struct ha_snapshot *s, const char **ret_busy)
{
    const char *job = s->job.running ? ha_job_word(s->job.kind) : NULL;
    bool restarts = s->restart.phase != HA_RESTART_NONE;
    bool ordered = s->reinit.phase == HA_REINIT_ORDERED;
    *ret_busy = job != NULL ? job : ordered ? "reinitialize" : restarts ? "restart" : "";
    if (!s->cluster.known || !ha_is_initialized(s) || s->cluster.leader[0] == '\0') {
        return "the cluster has no leader: nothing to be copied from";
    }
    if (leads(s)) {
        return "this member is the leader: it is not reinitialized";
    }
    if (s->request != HA_REQUEST_NONE) {
        return "this member is about to stop";
    }
    return unremovable(s);
}

/* Long work of ours that the order passes over. A removal is what comes next anyway. */
bool ha_rule_reinit_cancels(const struct ha_snapshot *s, struct ha_plan *plan)
{
    bool given_up = s->job.kind == HA_JOB_CLONE || s->job.kind == HA_JOB_REWIND;
    if (s->reinit.phase != HA_REINIT_ORDERED || !s->reinit.cancels || !s->job.running ||
        !given_up) {
        return false;
    }
    ha_plan_add(plan, HA_CANCEL);
    ha_plan_because(plan, "to be made anew on request: ended for it");
    return true;
}

bool ha_rule_reinit_late(const struct ha_snapshot *s, struct ha_plan *plan)
{
    int64_t waited_ms = s->now_mono_ms - s->reinit.ordered_mono_ms;
    const char *broken = unremovable(s);
    if (s->reinit.phase != HA_REINIT_ORDERED || s->job.running || !s->cluster.known) {
        return false;
    }
    if (leads(s)) { /* a new primary is not the standby that was meant */
        ha_plan_because(plan, "this member leads since it was asked for");
    } else if (broken != NULL) {
        ha_plan_because(plan, "%s", broken);
    } else if (waited_ms >= 2 * s->settings.loop_wait_ms + HA_REINIT_BEGIN_MS) {
        ha_plan_because(plan, "it could not be begun for %" PRId64 " ms", waited_ms);
    } else {
        return false;
    }
    ha_plan_add(plan, HA_DROP_REINIT);
    return true;
}

/* An epoch on the page, or a promotion, of a standby that runs: the ordinary rules first. Of what
 * is down neither tells anything, and no rule takes either away while it stays down. */
static bool is_free(const struct ha_snapshot *s)
{
    bool standby =
        s->self.role == PG_STANDBY && !ha_may_be_promoted(s) && s->fence.page_epoch.revision == 0;
    return (ha_is_down(s) || standby) && ha_leader_primary(s) != NULL && !ha_depose_is_due(s);
}

static void remove_data(const struct ha_snapshot *s, struct ha_plan *plan)
{
    int64_t again_ms = ha_job_backoff_until(s, HA_JOB_REMOVE_DATA);
    if (again_ms != HA_NEVER) {
        ha_plan_wait(plan, again_ms);
        ha_plan_because(plan, "to be made anew on request: not yet, trying again: %s",
                        s->job.error);
        return;
    }
    struct ha_action *action = ha_plan_add(plan, HA_REMOVE_DATA);
    action->epoch = s->cluster.leader_epoch;
    (void)snprintf(action->member, sizeof action->member, "%s", s->cluster.leader);
    ha_plan_because(plan, "removing the data directory on request, to copy it again");
}

bool ha_rule_reinit(const struct ha_snapshot *s, struct ha_plan *plan)
{
    if (s->reinit.phase != HA_REINIT_ORDERED || !has_data(s) || !ha_key_is_others(s) ||
        !is_free(s)) {
        return false;
    }
    /* By the ordinary rules it is taken back when it follows, which one that is stopped for good,
     * or receives from nobody, never does. */
    if (ha_plan_withdraw(s, plan)) {
        ha_plan_because(plan, "to be made anew on request: nobody is to go by its position");
        return true;
    }
    /* One that does not stream confirms nothing. */
    if (s->self.upstream.streaming &&
        ha_plan_leave_sync(s, plan, s->reinit.ordered_mono_ms, "to be made anew on request")) {
        return true;
    }
    if (s->self.run == HA_RUN_STOPPING) {
        ha_plan_wait(plan, HA_NEVER);
        ha_plan_because(plan, "to be made anew on request: PostgreSQL is shutting down");
    } else if (!ha_is_down(s) || !s->fence.all_gone) {
        ha_plan_add(plan, HA_STOP_IMMEDIATE);
        ha_plan_because(plan, "stopping, to be made anew on request");
    } else {
        remove_data(s, plan);
    }
    return true;
}
