/* Actions on the instance: one function each, in a table by type. Starting, stopping and jobs are
 * begun here and their outcomes come back as facts; only detach, checkpoint and slots are waited
 * for or fire and forget. */
#include "agent/loop/loop.h"

#include "agent/ha/ha_cluster.h"
#include "agent/loop/destruction.h"
#include "agent/loop/member_url.h"
#include "agent/loop/slots.h"
#include "agent/loop/sync.h"
#include "base/assert.h"
#include "base/log.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    STOP_FAST_KILL_MS =
        60000, /* a fast shutdown that takes longer is killed; the lease runs on meanwhile */
    STOP_IMMEDIATE_KILL_MS = 2000,
    UPSTREAM_MS = 5000,
    ASK_PEER_MS = 3000,
    SLOTS_MS = 5000,
    CHECKPOINT_MS = 60000,
    PROMOTE_MS = 60000,
    JOB_MS_MAX = 24 * 3600 *
                 1000, /* clone and rewind take what they take; progress is in the member's state */
};

/* --- jobs: one at a time ---------------------------------------------------------------------- */

static void job_begin(struct agent *agent, enum ha_job_kind kind)
{
    struct ha_job *job = &agent->facts.job;
    unsigned failures = job->kind == kind ? job->failures : 0;
    *job = (struct ha_job){.kind = kind,
                           .running = true,
                           .failures = failures,
                           .since_mono_ms = agent_mono_ms(agent),
                           .ended_mono_ms = HA_NEVER};
    publish_request(agent);
}

static void job_end(struct agent *agent, int rc, const struct error *err)
{
    struct ha_job *job = &agent->facts.job;
    job->running = false;
    job->failed = rc != 0;
    job->failures = rc == 0 ? 0 : job->failures + 1;
    job->ended_mono_ms = agent_mono_ms(agent);
    (void)snprintf(job->error, sizeof job->error, "%s", rc == 0 || err == NULL ? "" : err->text);
    observe_inspect(agent);
    observe_run(agent);
    cycle_request(agent);
    publish_request(agent);
}

/* Those that change the data directory's contents; NULL: it does not. */
static const char *const destructions[] = {[HA_JOB_BOOTSTRAP] = "initdb",
                                           [HA_JOB_CLONE] = "clone",
                                           [HA_JOB_REWIND] = "rewind",
                                           [HA_JOB_REMOVE_DATA] = "remove"};

static void on_job(void *arg, int rc, const struct error *err)
{
    struct agent *agent = arg;
    struct loop_facts *facts = &agent->facts;

    if (destructions[facts->job.kind] != NULL) {
        destruction_ended(destructions[facts->job.kind], rc);
    }

    if (rc != 0 && rc != ERR_CANCELED) {
        log_error("job failed: %s", err->text);
    }
    switch (facts->job.kind) {
    case HA_JOB_BOOTSTRAP: facts->start_ordered = false; break;
    case HA_JOB_PROMOTE:
        facts->promote_failed_mono_ms = rc == 0 ? HA_NEVER : agent_mono_ms(agent);
        break;
    case HA_JOB_REWIND: facts->rejoin.rewind = rc == 0 ? HA_REWIND_DONE : HA_REWIND_FAILED; break;
    case HA_JOB_CLONE:
    case HA_JOB_REMOVE_DATA:
        if (rc == 0) { /* what was found out is about data that is no longer there */
            facts->rejoin = (struct ha_rejoin){.checked_mono_ms = HA_NEVER};
        }
        break;
    case HA_JOB_NONE:
    case HA_JOB_CHECK_DIVERGENCE: break;
    }
    job_end(agent, rc, err);
    observe_probe_soon(agent);
}

static int begin(struct agent *agent, enum ha_job_kind kind, int rc)
{
    if (rc == 0) {
        job_begin(agent, kind);
    }
    return rc;
}

/* --- peers ------------------------------------------------------------------------------------ */

static int find_peer(const struct agent *agent, const char *name, char *ret_host,
                     uint16_t *ret_port, struct error *err)
{
    enum { POSTGRES_PORT = 5432 };
    const struct ha_member *member = ha_cluster_member(&agent->facts.cluster, name);
    if (member == NULL ||
        !member_url_address(member->conn_url, POSTGRES_PORT, ret_host, ret_port)) {
        return error_set(err, ERR_NOT_FOUND, "member '%s' has published no address", name);
    }
    return 0;
}

static uint64_t cluster_system_id(const struct agent *agent)
{
    return strtoull(agent->facts.cluster.initialize, NULL, 10);
}

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
    }
    observe_probe_soon(agent);
    observe_run(agent);
    cycle_request(agent);
}

static int start(struct agent *agent, enum pg_start_role role, const struct ha_action *action,
                 struct error *err)
{
    struct loop_facts *facts = &agent->facts;
    char host[PG_HOST_BYTES];
    struct pg_upstream upstream = {.host = host, .port = 0};
    struct pg_start request = {.role = role, .upstream = NULL};

    if (role == PG_START_STANDBY && action->member[0] != '\0') {
        int rc = find_peer(agent, action->member, host, &upstream.port, err);
        if (rc != 0) {
            return rc;
        }
        request.upstream = &upstream;
    }
    int rc = pg_instance_start(agent->pg, &request, agent->config->postgresql.pg_ctl_timeout_ms,
                               on_started, agent, err);
    if (rc != 0) {
        return rc;
    }
    facts->start_ordered = true;
    facts->stop_ordered = false;
    facts->ever_ran = true;
    facts->started_as = role;
    facts->probe.asked_ms = 0;
    facts->upstream =
        (struct ha_upstream){.known = true,
                             .detached = role == PG_START_STANDBY && request.upstream == NULL,
                             .service_in_force = true,
                             .epoch = action->epoch,
                             .streaming_lost_mono_ms = HA_NEVER};
    (void)snprintf(facts->upstream.name, sizeof facts->upstream.name, "%s", action->member);
    const struct ha_member *member = ha_cluster_member(&facts->cluster, action->member);
    if (member != NULL) {
        memcpy(facts->upstream.conn_url, member->conn_url, sizeof facts->upstream.conn_url);
    }
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
    if (rc != 0 && rc != ERR_CANCELED) {
        log_error("stopping PostgreSQL: %s", err->text);
    }
    agent->facts.start_ordered = false;
    agent->facts.stopping = false;
    agent->facts.adopted = agent->facts.adopted && rc != 0;
    observe_inspect(agent); /* first: what was looked at before may be gone */
    observe_run(agent);
    cycle_request(agent);
}

static int stop(struct agent *agent, enum fence_stop_mode mode, int64_t kill_after_ms,
                struct error *err)
{
    struct pg_stop request = {.mode = mode, .kill_after_ms = kill_after_ms, .checkpoint = false};
    int rc = pg_instance_stop(agent->pg, &request, on_stopped, agent, err);
    if (rc == 0) {
        agent->facts.stop_ordered = true;
        agent->facts.stopping = true;
        observe_run(agent);
    }
    return rc;
}

static int do_stop_fast(struct agent *agent, const struct ha_action *action, struct error *err)
{
    (void)action;
    return stop(agent, FENCE_STOP_FAST, STOP_FAST_KILL_MS, err);
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

static int do_follow(struct agent *agent, const struct ha_action *action, struct error *err)
{
    char host[PG_HOST_BYTES];
    struct pg_upstream upstream = {.host = host, .port = 0};
    struct ha_upstream *known = &agent->facts.upstream;

    int rc = find_peer(agent, action->member, host, &upstream.port, err);
    if (rc != 0) {
        return rc;
    }
    rc = pg_instance_set_upstream(agent->pg, &upstream, UPSTREAM_MS, on_followed, agent, err);
    if (rc != 0) {
        return rc;
    }
    *known = (struct ha_upstream){.known = true,
                                  .service_in_force = known->service_in_force,
                                  .epoch = action->epoch,
                                  .streaming = false,
                                  .streaming_lost_mono_ms = agent_mono_ms(agent)};
    (void)snprintf(known->name, sizeof known->name, "%s", action->member);
    memcpy(known->conn_url, ha_cluster_member(&agent->facts.cluster, action->member)->conn_url,
           sizeof known->conn_url);
    return 0;
}

/* --- bootstrap, clone, promote ---------------------------------------------------------------- */

static int do_bootstrap(struct agent *agent, const struct ha_action *action, struct error *err)
{
    const struct config_bootstrap *config = &agent->config->bootstrap;
    struct pg_bootstrap request = {.initdb = config->initdb,
                                   .pg_hba = config->pg_hba,
                                   .users = config->users,
                                   .user_count = config->user_count};
    (void)action;
    int rc = pg_instance_bootstrap(agent->pg, &request, JOB_MS_MAX, on_job, agent, err);
    if (rc == 0) {
        agent->facts.stop_ordered = false;
        agent->facts.started_as = PG_START_PRIMARY;
        destruction_begins(agent, "initdb", "");
    }
    return begin(agent, HA_JOB_BOOTSTRAP, rc);
}

static int do_clone(struct agent *agent, const struct ha_action *action, struct error *err)
{
    char host[PG_HOST_BYTES];
    struct pg_clone request = {.host = host, .system_identifier = cluster_system_id(agent)};
    int rc = find_peer(agent, action->member, host, &request.port, err);
    if (rc == 0) {
        rc = pg_instance_clone(agent->pg, &request, JOB_MS_MAX, on_job, agent, err);
    }
    if (rc == 0) {
        destruction_begins(agent, "clone", "");
    }
    return begin(agent, HA_JOB_CLONE, rc);
}

static bool still_allowed(void *arg)
{
    return keeper_may_write(arg);
}

static int promote(struct agent *agent, const struct ha_action *action, struct error *err)
{
    struct pg_promote request = {
        .timeline = action->timeline, .still_allowed = still_allowed, .still_allowed_arg = agent};
    return begin(agent, HA_JOB_PROMOTE,
                 pg_instance_promote(agent->pg, &request, PROMOTE_MS, on_job, agent, err));
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

/* --- rejoin ----------------------------------------------------------------------------------- */

static struct pg_local_position local_position(const struct agent *agent)
{
    const struct loop_facts *facts = &agent->facts;
    if (facts->run == HA_RUN_RUNNING && facts->probe.role == PG_STANDBY) {
        const struct pg_probe_result *probe = &facts->probe;
        return (struct pg_local_position){
            .timeline = probe->timeline,
            .lsn = probe->flush_lsn > probe->replay_lsn ? probe->flush_lsn : probe->replay_lsn};
    }
    return pg_local_position_of(&facts->inspection.control);
}

static void on_divergence(void *arg, int rc, const struct pg_peer_facts *peer,
                          const struct error *err)
{
    struct agent *agent = arg;
    struct ha_rejoin *rejoin = &agent->facts.rejoin;
    struct error own = {0};
    char reason[PG_VALUE_BYTES] = "";

    rejoin->checked_mono_ms = agent_mono_ms(agent);
    rejoin->divergence = HA_DIVERGENCE_UNKNOWN;
    if (rc == 0 && peer->role != PG_PRIMARY) {
        rc = error_set(&own, ERR_UNAVAILABLE, "the leader's PostgreSQL is not a primary yet");
        err = &own;
    } else if (rc == 0 && peer->system_identifier != cluster_system_id(agent)) {
        rc = error_set(&own, ERR_REFUSED, "the leader's PostgreSQL belongs to another cluster");
        err = &own;
    }
    if (rc == 0) {
        struct pg_local_position local = local_position(agent);
        switch (pg_divergence_decide(&local, peer->timeline, &peer->history, reason)) {
        case PG_DIVERGENCE_NONE: rejoin->divergence = HA_DIVERGENCE_NONE; break;
        case PG_DIVERGENCE_REWIND: rejoin->divergence = HA_DIVERGENCE_REWIND; break;
        case PG_DIVERGENCE_UNKNOWN: break;
        }
        log_info("compared our WAL with the primary's: %s", reason);
    }
    job_end(agent, rc, err);
}

static int do_check_divergence(struct agent *agent, const struct ha_action *action,
                               struct error *err)
{
    char host[PG_HOST_BYTES];
    uint16_t port = 0;
    int rc = find_peer(agent, action->member, host, &port, err);
    if (rc == 0) {
        rc = pg_instance_ask_peer(agent->pg, host, port, ASK_PEER_MS, on_divergence, agent, err);
    }
    if (rc == 0) {
        agent->facts.rejoin =
            (struct ha_rejoin){.epoch = action->epoch, .checked_mono_ms = HA_NEVER};
    }
    return begin(agent, HA_JOB_CHECK_DIVERGENCE, rc);
}

/* Invariant I10, of the member for which data of ours is about to go. */
static bool still_leads(void *arg)
{
    const struct agent *agent = arg;
    const struct ha_action *action = &agent->facts.destruction;
    const struct ha_cluster *cluster = &agent->facts.cluster;
    return ha_epoch_equal(cluster->leader_epoch, action->epoch) &&
           strcmp(cluster->leader, action->member) == 0 && !agent->lease.held;
}

/* Asked twice, the second time right before the first byte is written. */
static bool may_rewind(void *arg)
{
    bool may = still_leads(arg);
    if (may) {
        destruction_begins(arg, "rewind", "use_pg_rewind");
    }
    return may;
}

static int do_rewind(struct agent *agent, const struct ha_action *action, struct error *err)
{
    char host[PG_HOST_BYTES];
    struct pg_rewind request = {.host = host,
                                .system_identifier = cluster_system_id(agent),
                                .still_allowed = may_rewind,
                                .still_allowed_arg = agent};
    int rc = find_peer(agent, action->member, host, &request.port, err);
    if (rc == 0) {
        rc = pg_instance_rewind(agent->pg, &request, JOB_MS_MAX, on_job, agent, err);
    }
    if (rc == 0) {
        agent->facts.destruction = *action;
    }
    return begin(agent, HA_JOB_REWIND, rc);
}

/* Invariant I10: the primary of that epoch is asked again right before anything is destroyed. */
static void on_remove_asked(void *arg, int rc, const struct pg_peer_facts *peer,
                            const struct error *err)
{
    struct agent *agent = arg;
    const struct ha_action *action = &agent->facts.destruction;
    struct error own = {0};

    if (rc == 0 && (peer->role != PG_PRIMARY ||
                    peer->system_identifier != cluster_system_id(agent) || !still_leads(agent))) {
        rc = error_set(&own, ERR_REFUSED,
                       "'%s' is not the primary of this cluster any more: nothing is removed",
                       action->member);
        err = &own;
    }
    if (rc == 0) {
        struct pg_local_position local = pg_local_position_of(&agent->facts.inspection.control);
        log_warning("removing the data directory: it ended on timeline %u at %" PRIX64 "/%" PRIX64
                    "; what '%s' does not have of it is lost",
                    local.timeline, local.lsn >> 32, local.lsn & UINT32_MAX, action->member);
        destruction_begins(agent, "remove", "remove_data_directory");
        rc = pg_instance_remove(agent->pg,
                                "it cannot follow the primary and the configuration allows it",
                                JOB_MS_MAX, on_job, agent, &own);
        err = &own;
    }
    if (rc != 0) {
        job_end(agent, rc, err);
    }
}

static int do_remove_data(struct agent *agent, const struct ha_action *action, struct error *err)
{
    char host[PG_HOST_BYTES];
    uint16_t port = 0;
    int rc = find_peer(agent, action->member, host, &port, err);
    if (rc == 0) {
        agent->facts.destruction = *action;
        rc = pg_instance_ask_peer(agent->pg, host, port, ASK_PEER_MS, on_remove_asked, agent, err);
    }
    return begin(agent, HA_JOB_REMOVE_DATA, rc);
}

static int do_move_aside(struct agent *agent, const struct ha_action *action, struct error *err)
{
    bool ended = agent->facts.inspection.kind == PG_DIR_VALID;
    (void)action;
    if (ended) {
        log_warning("a cluster that was made here and never announced goes to %s.failed: if "
                    "clients wrote into it, it is there",
                    agent->config->postgresql.data_dir);
    }
    return begin(agent, HA_JOB_REMOVE_DATA,
                 pg_instance_move_aside(agent->pg,
                                        ended ? "its bootstrap was never announced"
                                              : "its bootstrap did not end",
                                        JOB_MS_MAX, on_job, agent, err));
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

/* Waited for only before a stop, which it shortens. After a promotion it runs beside everything
 * else: a decision must not wait for a disk. */
static int do_checkpoint(struct agent *agent, const struct ha_action *action, struct error *err)
{
    (void)action;
    bool before_stop = ha_plan_has(&agent->plan, HA_STOP_FAST);
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
    [HA_KILL] = do_kill,
    [HA_DETACH] = do_detach,
    [HA_FOLLOW] = do_follow,
    [HA_PROMOTE] = do_promote,
    [HA_CHECK_DIVERGENCE] = do_check_divergence,
    [HA_REWIND] = do_rewind,
    [HA_REMOVE_DATA] = do_remove_data,
    [HA_MOVE_ASIDE] = do_move_aside,
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
    int rc = reads_parameters ? parameters_settle(agent, err) : 0;
    return rc != 0 ? rc : pg_actions[action->type](agent, action, err);
}
