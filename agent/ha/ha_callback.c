/* See ha_callback.h. */
#include "agent/ha/ha_callback.h"

#include "agent/ha/ha_facts.h"
#include "agent/ha/ha_remote.h"

const char *ha_callback_name(enum ha_callback callback)
{
    switch (callback) {
    case HA_CALLBACK_START: return "on_start";
    case HA_CALLBACK_STOP: return "on_stop";
    case HA_CALLBACK_RESTART: return "on_restart";
    case HA_CALLBACK_ROLE_CHANGE: return "on_role_change";
    case HA_CALLBACK_NONE: break;
    }
    return "";
}

const char *ha_told_role_name(enum ha_told_role role)
{
    switch (role) {
    case HA_TOLD_REPLICA: return "replica";
    case HA_TOLD_PRIMARY: return "primary";
    case HA_TOLD_STANDBY_LEADER: return "standby_leader";
    case HA_TOLD_DEMOTED: return "demoted";
    case HA_TOLD_UNINITIALIZED: break;
    }
    return "uninitialized";
}

/* A half-rewound directory has not lost its past. */
static bool has_no_data(const struct ha_snapshot *s)
{
    return s->self.directory == PG_DIR_MISSING || s->self.directory == PG_DIR_EMPTY ||
           (s->self.directory == PG_DIR_UNFINISHED && s->self.unfinished != PG_UNFINISHED_REWIND);
}

static enum ha_seen_run run_of(const struct ha_snapshot *s)
{
    bool bootstraps = s->job.running && s->job.kind == HA_JOB_BOOTSTRAP;
    if (bootstraps || (ha_is_down(s) && !s->self.directory_known)) {
        return HA_SEEN_BETWEEN;
    }
    switch (s->self.run) {
    case HA_RUN_RUNNING: return s->self.role == PG_ROLE_UNKNOWN ? HA_SEEN_BETWEEN : HA_SEEN_UP;
    case HA_RUN_STOPPED: return has_no_data(s) ? HA_SEEN_NO_DATA : HA_SEEN_STOPPED;
    case HA_RUN_CRASHED: return has_no_data(s) ? HA_SEEN_NO_DATA : HA_SEEN_CRASHED;
    case HA_RUN_UNKNOWN:
    case HA_RUN_STARTING:
    case HA_RUN_STOPPING: break;
    }
    return HA_SEEN_BETWEEN;
}

void ha_callback_look(const struct ha_snapshot *s, struct ha_seen *ret_seen)
{
    bool up = ha_runs_as(s, PG_PRIMARY) || ha_runs_as(s, PG_STANDBY);
    *ret_seen =
        (struct ha_seen){.run = run_of(s),
                         .primary = up ? s->self.role == PG_PRIMARY : ha_was_primary(s),
                         .standby_leader = ha_runs_as(s, PG_STANDBY) && ha_leads_standby_cluster(s),
                         .led_by_other = ha_key_is_others(s),
                         .key_is_ours = ha_key_is_ours(s),
                         .restarting = s->restart.phase == HA_RESTART_UNDER_WAY};
}

/* While nobody leads, who led a standby cluster is not told that it is a replica: it may go on, or
 * become the primary. */
static enum ha_told_role role_of(const struct ha_told *told, const struct ha_seen *seen)
{
    bool stays = told->role == HA_TOLD_STANDBY_LEADER && !seen->led_by_other;
    return seen->primary                   ? HA_TOLD_PRIMARY
           : seen->standby_leader || stays ? HA_TOLD_STANDBY_LEADER
                                           : HA_TOLD_REPLICA;
}

static enum ha_callback seen_up(struct ha_told *told, const struct ha_seen *seen)
{
    enum ha_told_role role = role_of(told, seen);
    bool same = !told->known || told->role == HA_TOLD_UNINITIALIZED || told->role == role;
    bool was_up = told->up;
    bool restarted = told->restarting;

    *told = (struct ha_told){.known = true, .up = true, .role = role};
    if (!same) {
        return HA_CALLBACK_ROLE_CHANGE;
    }
    if (was_up) {
        return HA_CALLBACK_NONE;
    }
    return restarted ? HA_CALLBACK_RESTART : HA_CALLBACK_START;
}

/* Down: of an agent that starts with it so, it was what its control file says. */
static enum ha_callback seen_down(struct ha_told *told, const struct ha_seen *seen)
{
    bool crashed = seen->run == HA_SEEN_CRASHED;
    bool was_up = told->up;

    if (!told->known) {
        told->known = true;
        told->role = seen->primary ? HA_TOLD_PRIMARY : HA_TOLD_REPLICA;
        return HA_CALLBACK_NONE;
    }
    told->up = false;
    told->restarting = told->restarting || (was_up && seen->restarting);
    told->crashed = told->crashed || (crashed && was_up);
    if (was_up && !crashed && !seen->restarting) {
        return HA_CALLBACK_STOP;
    }
    if (told->crashed && told->role == HA_TOLD_PRIMARY && !seen->key_is_ours) {
        told->crashed = false;
        told->role = HA_TOLD_DEMOTED;
        return HA_CALLBACK_ROLE_CHANGE;
    }
    return HA_CALLBACK_NONE;
}

static enum ha_callback seen_no_data(struct ha_told *told)
{
    bool was_up = told->up;
    *told = (struct ha_told){.known = true, .role = HA_TOLD_UNINITIALIZED};
    return was_up ? HA_CALLBACK_STOP : HA_CALLBACK_NONE;
}

enum ha_callback ha_callback_next(struct ha_told *told, const struct ha_seen *seen)
{
    switch (seen->run) {
    case HA_SEEN_UP: return seen_up(told, seen);
    case HA_SEEN_STOPPED:
    case HA_SEEN_CRASHED: return seen_down(told, seen);
    case HA_SEEN_NO_DATA: return seen_no_data(told);
    case HA_SEEN_BETWEEN: break;
    }
    return HA_CALLBACK_NONE;
}
