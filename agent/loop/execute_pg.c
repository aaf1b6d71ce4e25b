/* Actions on the instance: one function each, in a table by type. Starting, stopping and jobs are
 * begun here and their outcomes come back as facts; only detach, checkpoint and slots are waited
 * for or fire and forget. */
#include "agent/loop/loop.h"

#include "agent/ha/ha_cluster.h"
#include "agent/ha/ha_facts.h"
#include "agent/loop/commands.h"
#include "agent/loop/destruction.h"
#include "agent/loop/job.h"
#include "agent/loop/logical.h"
#include "agent/loop/reinit.h"
#include "agent/loop/rejoin.h"
#include "agent/loop/remote.h"
#include "agent/loop/restart.h"
#include "agent/loop/slots.h"
#include "agent/loop/sync.h"
#include "base/assert.h"
#include "base/log.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    STOP_FAST_KILL_MS =
        60000, /* a fast shutdown that takes longer is killed; the lease runs on meanwhile */
    STOP_IMMEDIATE_KILL_MS = 2000,
    UPSTREAM_MS = 5000,
    SLOTS_MS = 5000,
    CHECKPOINT_MS = 60000,
    PROMOTE_MS = 60000,
};

/* --- starting and stopping -------------------------------------------------------------------- */

static void on_started(void *arg, int rc, const struct error *err)
{
    struct agent *agent = arg;
    struct loop_facts *facts = &agent->facts;

    facts->start_ordered = false;
    if (rc != 0 && rc != ERR_TIMEOUT && rc != ERR_CANCELED) {
        log_error("starting PostgreSQL: %s", err->text);
        facts->start_failures++;
        facts->start_failed_mono_ms = agent_mono_ms(agent);
        restart_start_failed(agent, err);
        parameters_again(agent); /* before a copy there was nothing to try them with */
    }
    observe_probe_soon(agent);
    observe_run(agent);
    cycle_request(agent);
}

/* Whom this standby receives from, from now on; what it is known by. */
static void note_upstream(struct agent *agent, const struct ha_action *action, bool service)
{
    struct ha_upstream *upstream = &agent->facts.upstream;
    const struct ha_member *member = ha_cluster_member(&agent->facts.cluster, action->member);
    bool nobody = action->member[0] == '\0' && !action->remote;

    *upstream = (struct ha_upstream){.known = true,
                                     .detached = nobody,
                                     .service_in_force = service,
                                     .epoch = action->epoch,
                                     .remote = action->remote,
                                     .streaming_lost_mono_ms = HA_NEVER};
    (void)snprintf(upstream->name, sizeof upstream->name, "%s", action->member);
    if (action->remote) {
        memcpy(upstream->conn_url, agent->snapshot.settings.remote, sizeof upstream->conn_url);
    } else if (member != NULL) {
        memcpy(upstream->conn_url, member->conn_url, sizeof upstream->conn_url);
    }
}

static int start(struct agent *agent, enum pg_start_role role, const struct ha_action *action,
                 struct error *err)
{
    struct loop_facts *facts = &agent->facts;
    char host[PG_HOST_BYTES];
    struct pg_upstream upstream = {.host = host, .port = 0};
    struct pg_start request = {.role = role, .upstream = NULL};

    if (action->remote) {
        request.upstream = remote_upstream(agent, host, &upstream) ? &upstream : NULL;
    } else if (role == PG_START_STANDBY && action->member[0] != '\0') {
        int rc = job_find_peer(agent, action->member, host, &upstream.port, err);
        if (rc != 0) {
            return rc;
        }
        request.upstream = &upstream;
    }
    int rc = pg_instance_start(agent->pg, &request, agent_postgresql(agent)->pg_ctl_timeout_ms,
                               on_started, agent, err);
    if (rc != 0) {
        return rc;
    }
    facts->start_ordered = true;
    facts->stop_ordered = false;
    facts->stop_failed_mono_ms = HA_NEVER;
    facts->ever_ran = true;
    facts->started_as = role;
    facts->probe.asked_ms = 0;
    note_upstream(agent, action, true);
    facts->upstream.detached = facts->upstream.detached && role == PG_START_STANDBY;
    observe_run(agent);
    observe_probe_soon(agent);
    return 0;
}

static int do_start_primary(struct agent *agent, const struct ha_action *action, struct error *err)
{
    if (!keeper_may_write(agent)) {
        return error_set(err, ERR_REFUSED, "the fence is not armed for our epoch");
    }
    return start(agent, PG_START_PRIMARY, action, err);
}

static int do_start_standby(struct agent *agent, const struct ha_action *action, struct error *err)
{
    return start(agent, PG_START_STANDBY, action, err);
}

static void on_stopped(void *arg, int rc, const struct error *err)
{
    struct agent *agent = arg;
    ASSERT(agent->stops_under_way > 0);
    agent->stops_under_way--;
    if (rc == ERR_CANCELED && agent->stops_under_way > 0) {
        return; /* another one has taken its place, and is not over */
    }
    if (rc != 0 && rc != ERR_CANCELED) {
        log_error("stopping PostgreSQL: %s", err->text);
        agent->facts.stop_failed_mono_ms = agent_mono_ms(agent);
    }
    agent->facts.start_ordered = false;
    agent->facts.stopping = false;
    agent->facts.adopted = agent->facts.adopted && rc != 0;
    agent->adoption.unlooked = agent->adoption.unlooked && rc != 0; /* by the fence, or for it */
    observe_inspect(agent); /* first: what was looked at before may be gone */
    observe_run(agent);
    cycle_request(agent);
}

static int stop(struct agent *agent, enum fence_stop_mode mode, int64_t kill_after_ms,
                struct error *err)
{
    struct pg_command before;
    struct pg_stop request = {
        .mode = mode, .kill_after_ms = kill_after_ms, .unlooked = agent->adoption.unlooked};
    if (mode == FENCE_STOP_FAST && commands_before_stop(agent, &before)) {
        request.before = &before;
    }
    int rc = pg_instance_stop(agent->pg, &request, on_stopped, agent, err);
    if (rc == 0) {
        agent->stops_under_way++;
        agent->facts.stop_ordered = true;
        agent->facts.stopping = true;
        agent->facts.stop_failed_mono_ms = HA_NEVER;
        observe_run(agent);
    }
    return rc;
}

static int do_stop_fast(struct agent *agent, const struct ha_action *action, struct error *err)
{
    (void)action;
    return stop(agent, FENCE_STOP_FAST, STOP_FAST_KILL_MS, err);
}

static int do_stop_restart(struct agent *agent, const struct ha_action *action, struct error *err)
{
    (void)action;
    if (agent->restart.now.phase != HA_RESTART_ORDERED) { /* while its checkpoint was waited for */
        return error_set(err, ERR_CANCELED, "the restart was given up");
    }
    int rc = stop(agent, FENCE_STOP_FAST, STOP_FAST_KILL_MS, err);
    if (rc == 0) {
        restart_begun(agent);
    }
    return rc;
}

static int do_stop_immediate(struct agent *agent, const struct ha_action *action, struct error *err)
{
    (void)action;
    return stop(agent, FENCE_STOP_IMMEDIATE, STOP_IMMEDIATE_KILL_MS, err);
}

static int do_kill(struct agent *agent, const struct ha_action *action, struct error *err)
{
    struct loop_facts *facts = &agent->facts;
    bool first = facts->run != HA_RUN_STOPPING;
    bool hung = facts->silent_since_mono_ms != HA_NEVER; /* the stop forgets it */
    log_error("killing PostgreSQL: %s", agent->plan.reason);
    int rc = stop(agent, FENCE_STOP_IMMEDIATE, 0, err);
    if (rc == 0 && first) {
        observe_crash(agent);
        facts->hangs += hung ? 1 : 0;
        if (facts->crash_since_mono_ms == HA_NEVER) {
            facts->crash_since_mono_ms = action->until_mono_ms;
        }
    }
    return rc;
}

/* --- upstream --------------------------------------------------------------------------------- */

static void on_detached(void *arg, int rc, const struct error *err)
{
    struct agent *agent = arg;
    const struct ha_action *action = &agent->plan.actions[agent->action_index];
    if (rc == 0) {
        struct ha_upstream *upstream = &agent->facts.upstream;
        *upstream = (struct ha_upstream){.known = true,
                                         .detached = true,
                                         .service_in_force = upstream->service_in_force,
                                         .epoch = action->epoch,
                                         .streaming_lost_mono_ms = agent_mono_ms(agent)};
        observe_probe_soon(agent);
    } else if (rc == ERR_REFUSED) {
        agent->facts.upstream.service_in_force = false; /* it was believed to be */
        agent->facts.upstream.follow_refused = agent->config->tags.nostream;
    }
    execute_continue(agent, rc, err);
}

static int do_detach(struct agent *agent, const struct ha_action *action, struct error *err)
{
    (void)action;
    /* A report may follow, and only what is taken back after it counts. */
    agent->facts.withdrawn_epoch = (struct ha_epoch){0};
    int rc = pg_instance_set_upstream(agent->pg, NULL, UPSTREAM_MS, on_detached, agent, err);
    return rc == 0 ? 1 : rc;
}

static void on_followed(void *arg, int rc, const struct error *err)
{
    struct agent *agent = arg;
    struct ha_upstream *upstream = &agent->facts.upstream;
    if (rc != 0 && rc != ERR_CANCELED) {
        log_warning("changing the upstream: %s%s", err->text,
                    rc == ERR_REFUSED ? "" : ", retrying");
        upstream->known = false;
    }
    if (rc == ERR_REFUSED) {
        upstream->service_in_force = false;
        upstream->follow_refused = true;
    }
    observe_probe_soon(agent);
    cycle_request(agent);
}

/* From the member that replicatefrom names to the leader, which is not changed for nothing. */
static void note_left(struct agent *agent, const char *to)
{
    struct loop_facts *facts = &agent->facts;
    const char *named = agent->config->tags.replicatefrom;
    if (named != NULL && facts->upstream.known && strcmp(facts->upstream.name, named) == 0 &&
        strcmp(to, named) != 0) {
        facts->cascade_left_mono_ms = agent_mono_ms(agent);
        log_info("'%s' cannot be received from for now, '%s' is tried first: again in %d s", named,
                 to, HA_CASCADE_AGAIN_MS / 1000);
    }
}

static int do_follow(struct agent *agent, const struct ha_action *action, struct error *err)
{
    char host[PG_HOST_BYTES];
    struct pg_upstream upstream = {.host = host, .port = 0};
    bool streams = !action->remote || remote_upstream(agent, host, &upstream);

    int rc = action->remote ? 0 : job_find_peer(agent, action->member, host, &upstream.port, err);
    if (rc != 0) {
        return rc;
    }
    rc = pg_instance_set_upstream(agent->pg, streams ? &upstream : NULL, UPSTREAM_MS, on_followed,
                                  agent, err);
    if (rc != 0) {
        return rc;
    }
    note_left(agent, action->member);
    note_upstream(agent, action, agent->facts.upstream.service_in_force);
    agent->facts.upstream.streaming_lost_mono_ms = agent_mono_ms(agent);
    remote_set(agent, action->remote);
    return 0;
}

/* --- bootstrap, clone, promote ---------------------------------------------------------------- */

static int do_bootstrap(struct agent *agent, const struct ha_action *action, struct error *err)
{
    const struct config_bootstrap *config = &agent->config->bootstrap;
    struct pg_bootstrap request = {.initdb = config->initdb,
                                   .pg_hba = config->pg_hba,
                                   .users = config->users,
                                   .user_count = config->user_count,
                                   .method = &config->method};
    const struct pg_command post_init = {
        .what = "post_bootstrap", .words = config->post_init, .timeout_ms = JOB_MS_MAX};
    request.post_init = &post_init;
    (void)action;
    int rc = pg_instance_bootstrap(agent->pg, &request, JOB_MS_MAX, job_done, agent, err);
    if (rc == 0) {
        agent->facts.stop_ordered = false;
        agent->facts.started_as = PG_START_PRIMARY;
        destruction_begins(agent, "initdb", "");
    }
    return job_begin(agent, HA_JOB_BOOTSTRAP, rc);
}

/* A copy takes hours, and may lack what is acknowledged because of this member by then. */
static bool copy_will_do(void *arg)
{
    struct agent *agent = arg;
    const struct ha_sync_key *sync = &agent->facts.cluster.sync;
    return !sync->unreadable && !ha_sync_key_has(sync, agent->config->name);
}

/* Nobody here is to have a copy of another cluster for his own. */
static bool still_standby_cluster(void *arg)
{
    const struct agent *agent = arg;
    return agent->dynamic.standby_cluster;
}

static int do_clone_remote(struct agent *agent, struct error *err)
{
    char host[PG_HOST_BYTES];
    struct dynamic_standby standby;
    struct pg_clone request = {.system_identifier = job_system_id(agent),
                               .still_allowed = still_standby_cluster,
                               .still_allowed_arg = agent,
                               .on_progress = publish_copy,
                               .on_progress_arg = agent};
    if (!remote_section(agent, &standby)) {
        return error_set(err, ERR_REFUSED, "this is no standby cluster any more");
    }
    request.methods = (struct pg_lines){standby.methods, standby.method_count};
    if (standby.hosts[0] != '\0') {
        int rc = remote_host(agent, host, &request.port, err);
        if (rc != 0) {
            return rc;
        }
        request.host = host;
    }
    int rc = pg_instance_clone(agent->pg, &request, JOB_MS_MAX, job_done, agent, err);
    if (rc == 0) {
        destruction_begins(agent, "clone", "standby_cluster");
    }
    return job_begin(agent, HA_JOB_CLONE, rc);
}

static int do_clone(struct agent *agent, const struct ha_action *action, struct error *err)
{
    char host[PG_HOST_BYTES];
    if (action->remote) {
        return do_clone_remote(agent, err);
    }
    bool from_nobody = action->member[0] == '\0';
    struct pg_clone request = {.host = from_nobody ? NULL : host,
                               .system_identifier = job_system_id(agent),
                               .basebackup_only = action->exact,
                               .still_allowed = action->exact ? NULL : copy_will_do,
                               .still_allowed_arg = agent,
                               .on_progress = publish_copy,
                               .on_progress_arg = agent};
    int rc = from_nobody ? 0 : job_find_peer(agent, action->member, host, &request.port, err);
    if (rc == 0) {
        rc = pg_instance_clone(agent->pg, &request, JOB_MS_MAX, job_done, agent, err);
    }
    if (rc == 0) {
        destruction_begins(agent, "clone", "");
        reinit_copies(agent);
    }
    return job_begin(agent, HA_JOB_CLONE, rc);
}

/* Asked right before the promotion is sent: of what is known now, not of what the last cycle saw.
 */
static bool still_allowed(void *arg)
{
    struct agent *agent = arg;
    struct ha_snapshot *now = mem_new(struct ha_snapshot);
    facts_snapshot(agent, now);
    const char *barred = ha_promotion_barred(now);
    mem_free(now);
    if (barred != NULL) {
        log_warning("not promoting: %s", barred);
    }
    return barred == NULL && keeper_may_write(agent);
}

static int promote(struct agent *agent, const struct ha_action *action, struct error *err)
{
    struct pg_command before;
    struct pg_promote request = {
        .timeline = action->timeline, .still_allowed = still_allowed, .still_allowed_arg = agent};
    const char *unsafe[DYNAMIC_SLOTS_MAX];
    request.drop_slots = (struct pg_lines){unsafe, logical_unsafe(agent, unsafe)};
    if (commands_pre_promote(agent, &before)) {
        request.before = &before;
    }
    return job_begin(agent, HA_JOB_PROMOTE,
                     pg_instance_promote(agent->pg, &request, PROMOTE_MS, job_done, agent, err));
}

/* Not promoted, and not for a passing reason: another one is to have the key. */
static void note_unsettable(struct agent *agent, int rc)
{
    if (rc != ERR_BUSY && rc != ERR_CANCELED) {
        agent->facts.promote_failed_mono_ms = agent_mono_ms(agent);
    }
}

static void on_sync_set(void *arg, int rc, const struct error *err)
{
    struct agent *agent = arg;
    struct error own = {0};
    if (rc == 0 && agent->executing) {
        rc = promote(agent, &agent->plan.actions[agent->action_index], &own);
        err = &own;
    } else if (rc != 0) {
        note_unsettable(agent, rc);
    }
    execute_continue(agent, rc, err);
}

static int do_promote(struct agent *agent, const struct ha_action *action, struct error *err)
{
    int rc = sync_before_promotion(agent, on_sync_set, err);
    if (rc < 0) {
        note_unsettable(agent, rc);
    }
    return rc == 0 ? promote(agent, action, err) : rc;
}

static int do_cancel(struct agent *agent, const struct ha_action *action, struct error *err)
{
    (void)action;
    (void)err;
    reinit_cancels(agent);
    pg_instance_cancel_job(agent->pg);
    return 0;
}

/* --- upkeep ----------------------------------------------------------------------------------- */

static void on_slots(void *arg, int rc, const struct error *err)
{
    struct agent *agent = arg;
    agent->slots_changing = false;
    if (rc != 0 && rc != ERR_CANCELED) {
        log_warning("%s, retrying", err->text);
    }
    observe_probe_soon(agent);
}

static int do_sync_slots(struct agent *agent, const struct ha_action *action, struct error *err)
{
    struct slots_plan plan;
    (void)action;
    logical_apply(agent);
    if (agent->slots_changing) {
        return 0; /* the last change is still under way */
    }
    slots_decide(agent, &plan);
    struct pg_slots slots = {.wishes = plan.wishes,
                             .wish_count = plan.wish_count,
                             .drop = {.items = plan.drops, .count = plan.drop_count}};
    int rc = pg_instance_set_slots(agent->pg, &slots, SLOTS_MS, on_slots, agent, err);
    if (rc == 0) {
        agent->slots_changing = true;
        agent->slots_set_mono_ms = agent_mono_ms(agent);
        slots_tell(agent, &plan);
    }
    return rc;
}

static void on_checkpoint(void *arg, int rc, const struct error *err)
{
    struct agent *agent = arg;
    bool waited = agent->checkpoint_waited;

    agent->checkpointing = false;
    agent->checkpoint_waited = false;
    if (rc != 0 && rc != ERR_CANCELED) {
        log_warning("checkpoint: %s, going on", err->text); /* it only shortens what follows */
    }
    if (waited) {
        execute_continue(agent, 0, NULL);
    } else {
        observe_probe_soon(agent);
    }
}

/* Beside a fence that stands still nothing is waited for that can take as long: nobody else would
 * act at S and K. */
static bool fence_stands(const struct agent *agent)
{
    return fence_client_connected(agent->fence) && fence_client_status(agent->fence)->silent;
}

void execute_fence_stands(struct agent *agent)
{
    if (agent->checkpointing && agent->checkpoint_waited && fence_stands(agent)) {
        agent->checkpoint_waited = false;
        execute_continue(agent, 0, NULL);
    }
}

/* Waited for only before a stop, which it shortens. After a promotion it runs beside everything
 * else: a decision must not wait for a disk. */
static int do_checkpoint(struct agent *agent, const struct ha_action *action, struct error *err)
{
    (void)action;
    bool before_stop =
        ha_plan_has(&agent->plan, HA_STOP_FAST) || ha_plan_has(&agent->plan, HA_STOP_RESTART);
    if (before_stop && fence_stands(agent)) {
        return 0;
    }
    if (!agent->checkpointing &&
        pg_instance_checkpoint(agent->pg, CHECKPOINT_MS, on_checkpoint, agent, err) != 0) {
        return 0;
    }
    agent->checkpointing = true;
    agent->checkpoint_waited = before_stop;
    return before_stop ? 1 : 0;
}

typedef int (*do_action)(struct agent *agent, const struct ha_action *action, struct error *err);

static const do_action pg_actions[HA_EXIT + 1] = {
    [HA_BOOTSTRAP] = do_bootstrap,
    [HA_CLONE] = do_clone,
    [HA_START_PRIMARY] = do_start_primary,
    [HA_START_STANDBY] = do_start_standby,
    [HA_CHECKPOINT] = do_checkpoint,
    [HA_STOP_FAST] = do_stop_fast,
    [HA_STOP_IMMEDIATE] = do_stop_immediate,
    [HA_STOP_RESTART] = do_stop_restart,
    [HA_KILL] = do_kill,
    [HA_DETACH] = do_detach,
    [HA_FOLLOW] = do_follow,
    [HA_PROMOTE] = do_promote,
    [HA_CHECK_DIVERGENCE] = rejoin_check,
    [HA_REWIND] = rejoin_rewind,
    [HA_REMOVE_DATA] = rejoin_remove_data,
    [HA_MOVE_ASIDE] = rejoin_move_aside,
    [HA_CANCEL] = do_cancel,
    [HA_SYNC_SLOTS] = do_sync_slots,
};

bool execute_is_pg(enum ha_action_type type)
{
    return pg_actions[type] != NULL;
}

int execute_pg(struct agent *agent, const struct ha_action *action, struct error *err)
{
    ASSERT(execute_is_pg(action->type));
    bool reads_parameters = action->type == HA_BOOTSTRAP || action->type == HA_START_PRIMARY ||
                            action->type == HA_START_STANDBY;
    if (action->type == HA_START_PRIMARY || action->type == HA_START_STANDBY) {
        remote_set(agent, action->remote); /* it starts with the settings that go with it */
    }
    int rc = reads_parameters ? parameters_settle(agent, err) : 0;
    rc = rc != 0 ? rc : pg_actions[action->type](agent, action, err);
    if (rc == 0 && reads_parameters) {
        agent->reload.withheld = false; /* it writes them itself */
    }
    return rc;
}
