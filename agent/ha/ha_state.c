/* How this node calls itself in its member key and on REST: Patroni's words, which tools compare.
 */
#include "agent/ha/ha_facts.h"
#include "agent/ha/ha_plan.h"
#include "agent/ha/ha_remote.h"

bool ha_shows_pause(const struct ha_snapshot *s)
{
    bool fenced = s->fence.armed && !ha_page_is_over(s) && !ha_runs_as(s, PG_STANDBY);
    return ha_page_is_open(s) || (s->settings.paused && !fenced);
}

static bool is_restarting(const struct ha_snapshot *s)
{
    bool down = s->self.run == HA_RUN_STOPPING || s->self.run == HA_RUN_STOPPED ||
                s->self.run == HA_RUN_STARTING;
    return s->restart.phase == HA_RESTART_UNDER_WAY && down;
}

const char *ha_state_name(const struct ha_snapshot *s)
{
    if (s->job.running) {
        switch (s->job.kind) {
        case HA_JOB_BOOTSTRAP:
            if (!s->settings.custom_bootstrap) {
                return "initializing new cluster";
            }
            return ha_is_down(s) ? "running custom bootstrap script"
                                 : "starting after custom bootstrap";
        case HA_JOB_CLONE: return "creating replica";
        case HA_JOB_REWIND: return "running pg_rewind";
        case HA_JOB_CHECK_DIVERGENCE:
            if (ha_is_down(s)) {
                return "checking divergence";
            }
            break;
        case HA_JOB_REMOVE_DATA: return "removing data directory";
        case HA_JOB_PROMOTE:
        case HA_JOB_NONE: break;
        }
    }
    if (s->reinit.phase != HA_REINIT_NONE) {
        return "creating replica";
    }
    if (is_restarting(s)) {
        return "restarting";
    }
    switch (s->self.run) {
    case HA_RUN_STOPPED: return "stopped";
    case HA_RUN_CRASHED: return "crashed";
    case HA_RUN_STARTING: return "starting";
    case HA_RUN_RUNNING: return "running";
    case HA_RUN_STOPPING: return "stopping";
    case HA_RUN_UNKNOWN: break;
    }
    return "unknown";
}

const char *ha_role_name(const struct ha_snapshot *s)
{
    bool no_data = s->self.directory_known &&
                   (s->self.directory == PG_DIR_MISSING || s->self.directory == PG_DIR_EMPTY ||
                    s->self.directory == PG_DIR_UNFINISHED);
    if (no_data && ha_is_down(s)) {
        return "uninitialized";
    }
    if (ha_runs_as(s, PG_PRIMARY)) {
        return "primary";
    }
    bool leads_standby = ha_leads_standby_cluster(s) && s->self.role != PG_PRIMARY &&
                         !(ha_is_down(s) && ha_was_primary(s));
    if (leads_standby && !s->self.promote_sent) {
        return "standby_leader";
    }
    if (ha_runs_as(s, PG_STANDBY)) {
        return s->self.promote_sent && ha_key_is_ours(s) ? "promoted" : "replica";
    }
    if (ha_is_down(s) && ha_was_primary(s)) {
        return ha_key_is_ours(s) ? "primary" : "demoted";
    }
    bool keeps = s->self.run == HA_RUN_STARTING ||
                 (s->self.run == HA_RUN_STOPPING && is_restarting(s) && ha_key_is_ours(s));
    if (keeps && s->self.role == PG_PRIMARY) {
        return "primary";
    }
    return "replica";
}
