#include "agent/ha/ha_restart.h"

#include "agent/ha/ha_cluster.h"
#include "agent/ha/ha_facts.h"
#include "agent/ha/ha_rules.h"

#include <inttypes.h>
#include <string.h>

const char *ha_restart_unmet(const struct ha_snapshot *s, const struct ha_restart_filter *filter)
{
    if (filter->role[0] != '\0' && strcmp(filter->role, ha_role_name(s)) != 0) {
        return "this member has another role";
    }
    if (filter->below_version != 0 && s->self.server_version >= filter->below_version) {
        return "the running version is not smaller";
    }
    if (filter->if_pending && !s->self.pending_restart) {
        return "no setting waits for a restart";
    }
    return NULL;
}

const char *ha_job_word(enum ha_job_kind kind)
{
    switch (kind) {
    case HA_JOB_BOOTSTRAP: return "bootstrap";
    case HA_JOB_CLONE: return "creating replica";
    case HA_JOB_PROMOTE: return "promote";
    case HA_JOB_REWIND: return "running pg_rewind";
    case HA_JOB_REMOVE_DATA: return "removing data directory";
    case HA_JOB_CHECK_DIVERGENCE: /* short; the order waits for it */
    case HA_JOB_NONE: break;
    }
    return NULL;
}

enum ha_restart_hindrance ha_restart_hindered(const struct ha_snapshot *s, const char **ret_word)
{
    const char *job = s->job.running ? ha_job_word(s->job.kind) : NULL;
    bool reinits = s->reinit.phase != HA_REINIT_NONE;
    if (s->restart.phase != HA_RESTART_NONE || job != NULL || reinits) {
        *ret_word = job != NULL ? job : reinits ? "reinitialize" : "restart";
        return HA_RESTART_BUSY;
    }
    if (s->self.run != HA_RUN_RUNNING || s->request != HA_REQUEST_NONE) {
        *ret_word = s->request != HA_REQUEST_NONE ? "about to stop" : ha_state_name(s);
        return HA_RESTART_NOT_RUNNING;
    }
    return HA_RESTART_FREE;
}

/* An order stands before an earlier crash, which is forgotten only when PostgreSQL was up for a
 * while: one that went down before it was up again is an end of the restart. */
int64_t ha_down_since_mono_ms(const struct ha_snapshot *s)
{
    bool restarts = s->restart.phase == HA_RESTART_UNDER_WAY;
    return restarts ? s->restart.down_mono_ms : s->self.crash_since_mono_ms;
}

int64_t ha_restart_timeout_ms(int64_t own_ms, int64_t primary_start_timeout_ms)
{
    return own_ms > 0                     ? own_ms
           : primary_start_timeout_ms > 0 ? primary_start_timeout_ms
                                          : HA_RESTART_START_MS;
}

int64_t ha_start_timeout_ms(const struct ha_snapshot *s)
{
    int64_t usual_ms = s->settings.primary_start_timeout_ms;
    if (s->restart.phase != HA_RESTART_UNDER_WAY) {
        return usual_ms;
    }
    return ha_restart_timeout_ms(s->restart.timeout_ms, usual_ms);
}

const char *ha_start_timeout_name(const struct ha_snapshot *s)
{
    return ha_start_timeout_ms(s) == s->settings.primary_start_timeout_ms
               ? "primary_start_timeout"
               : "the time for this restart";
}

bool ha_sheds_sync(const struct ha_snapshot *s)
{
    bool stops = s->request == HA_REQUEST_SHUTDOWN && !s->settings.paused;
    bool ordered = s->restart.phase != HA_RESTART_NONE || s->reinit.phase == HA_REINIT_ORDERED;
    return (stops || ordered) && ha_runs_as(s, PG_STANDBY);
}

static bool has_other_role(const struct ha_snapshot *s)
{
    return s->restart.role != PG_ROLE_UNKNOWN && s->restart.role != s->self.role;
}

/* With the store away the lease might run out while PostgreSQL is down, and then nothing may start
 * it. Renewals come every ttl/6. */
static bool is_renewed(const struct ha_snapshot *s)
{
    return s->holding.soft_lease_ms - s->now_lease_ms >= s->settings.ttl_ms / 2;
}

/* CHECKPOINT makes the stop of a primary short: less time without one. Nothing is decided
 * meanwhile, so a standby, which may have to take over, goes without. */
bool ha_rule_restart(const struct ha_snapshot *s, struct ha_plan *plan)
{
    if (s->restart.phase != HA_RESTART_ORDERED) {
        return false;
    }
    if (has_other_role(s)) { /* a new primary is not the standby that was meant */
        ha_plan_add(plan, HA_DROP_RESTART);
        ha_plan_because(plan, "this member has another role since it was asked for");
        return true;
    }
    if (s->fence.silent) { /* it could not be started again */
        ha_plan_add(plan, HA_DROP_RESTART);
        ha_plan_because(plan, "the fence does not answer, and starts nothing");
        return true;
    }
    if (ha_plan_leave_sync(s, plan, s->restart.ordered_mono_ms, "restarting on request")) {
        return true;
    }
    if (ha_runs_as(s, PG_PRIMARY) && !is_renewed(s)) {
        ha_plan_wait(plan, s->now_mono_ms + s->settings.ttl_ms / 12); /* its answer is no event */
        ha_plan_because(plan, "restarting on request: waiting for a renewal of the lease");
        return true;
    }
    if (ha_runs_as(s, PG_PRIMARY)) {
        ha_plan_add(plan, HA_CHECKPOINT);
    }
    ha_plan_add(plan, HA_STOP_RESTART);
    ha_plan_because(plan, "restarting on request");
    return true;
}

/* Whatever kept it from being begun: nobody is restarted by an order that he has forgotten. */
bool ha_rule_restart_late(const struct ha_snapshot *s, struct ha_plan *plan)
{
    int64_t waited_ms = s->now_mono_ms - s->restart.ordered_mono_ms;
    if (s->restart.phase != HA_RESTART_ORDERED ||
        waited_ms < 2 * s->settings.loop_wait_ms + HA_RESTART_BEGIN_MS) {
        return false;
    }
    ha_plan_add(plan, HA_DROP_RESTART);
    ha_plan_because(plan, "it could not be begun for %" PRId64 " ms", waited_ms);
    return true;
}

int64_t ha_restart_due_mono_ms(const struct ha_snapshot *s)
{
    int64_t in_ms = s->restart.scheduled_wall_ms - s->now_wall_ms;
    return s->restart.scheduled_wall_ms != 0 && in_ms > 0 ? s->now_mono_ms + in_ms : HA_NEVER;
}

static bool has_restarted_since(const struct ha_snapshot *s)
{
    int64_t then_ms = s->restart.scheduled_start_ms;
    return then_ms != 0 && s->self.postmaster_start_ms != 0 &&
           then_ms != s->self.postmaster_start_ms;
}

/* Once, whatever comes of it. In pause it waits, and may be too late after that. */
bool ha_rule_restart_scheduled(const struct ha_snapshot *s, struct ha_plan *plan)
{
    const struct ha_restart *restart = &s->restart;
    int64_t late_ms = s->now_wall_ms - restart->scheduled_wall_ms;
    if (restart->scheduled_wall_ms == 0 || restart->phase != HA_RESTART_NONE ||
        s->settings.paused) {
        return false;
    }
    if (has_restarted_since(s)) {
        ha_plan_add(plan, HA_DROP_SCHEDULED);
        ha_plan_because(plan, "the scheduled restart is dropped: PostgreSQL was restarted since");
        return true;
    }
    if (late_ms < 0) {
        return false;
    }
    const char *unmet = ha_restart_unmet(s, &restart->filter);
    if (late_ms > s->settings.loop_wait_ms * 3 / 2) {
        ha_plan_add(plan, HA_DROP_SCHEDULED);
        ha_plan_because(plan, "the scheduled restart is dropped: its time is long past");
    } else if (unmet != NULL) {
        ha_plan_add(plan, HA_DROP_SCHEDULED);
        ha_plan_because(plan, "the scheduled restart is dropped: %s", unmet);
    } else {
        ha_plan_add(plan, HA_ORDER_RESTART);
        ha_plan_because(plan, "the time of the scheduled restart has come");
    }
    return true;
}
