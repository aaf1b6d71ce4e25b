/* Actions on the instance: one function each, in a table by type. Starting, stopping and jobs are
 * begun here and their outcomes come back as facts; only detach, checkpoint and slots are waited
 * for or fire and forget. */
#include "agent/loop/loop.h"

#include "agent/ha/ha_able.h"
#include "agent/ha/ha_cluster.h"
#include "agent/ha/ha_facts.h"
#include "agent/loop/commands.h"
#include "agent/loop/destruction.h"
#include "agent/loop/logical.h"
#include "agent/loop/member_url.h"
#include "agent/loop/reinit.h"
#include "agent/loop/remote.h"
#include "agent/loop/restart.h"
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
    agent->facts.copying = false;
    *job = (struct ha_job){.kind = kind,
                           .running = true,
                           .failures = failures,
                           .since_mono_ms = agent_mono_ms(agent),
                           .ended_mono_ms = HA_NEVER,
                           .epoch = agent->facts.cluster.leader_epoch};
    publish_request(agent);
}

static void job_end(struct agent *agent, int rc, const struct error *err)
{
    struct ha_job *job = &agent->facts.job;
    job->running = false;
    agent->facts.copying = false;
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
    if (rc != 0 && (facts->job.kind == HA_JOB_CLONE || facts->job.kind == HA_JOB_REWIND)) {
        remote_next_host(agent);
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
            reinit_copies(agent);
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
        int rc = find_peer(agent, action->member, host, &upstream.port, err);
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
    struct pg_command before;
    struct pg_stop request = {.mode = mode, .kill_after_ms = kill_after_ms, .checkpoint = false};
    if (mode == FENCE_STOP_FAST && commands_before_stop(agent, &before)) {
        request.before = &before;
    }
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

    int rc = action->remote ? 0 : find_peer(agent, action->member, host, &upstream.port, err);
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
    int rc = pg_instance_bootstrap(agent->pg, &request, JOB_MS_MAX, on_job, agent, err);
    if (rc == 0) {
        agent->facts.stop_ordered = false;
        agent->facts.started_as = PG_START_PRIMARY;
        destruction_begins(agent, "initdb", "");
    }
    return begin(agent, HA_JOB_BOOTSTRAP, rc);
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
    struct pg_clone request = {.system_identifier = cluster_system_id(agent),
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
    int rc = pg_instance_clone(agent->pg, &request, JOB_MS_MAX, on_job, agent, err);
    if (rc == 0) {
        destruction_begins(agent, "clone", "standby_cluster");
    }
    return begin(agent, HA_JOB_CLONE, rc);
}

static int do_clone(struct agent *agent, const struct ha_action *action, struct error *err)
{
    char host[PG_HOST_BYTES];
    if (action->remote) {
        return do_clone_remote(agent, err);
    }
    bool from_nobody = action->member[0] == '\0';
    struct pg_clone request = {.host = from_nobody ? NULL : host,
                               .system_identifier = cluster_system_id(agent),
                               .basebackup_only = action->exact,
                               .still_allowed = action->exact ? NULL : copy_will_do,
                               .still_allowed_arg = agent,
                               .on_progress = publish_copy,
                               .on_progress_arg = agent};
    int rc = from_nobody ? 0 : find_peer(agent, action->member, host, &request.port, err);
    if (rc == 0) {
        rc = pg_instance_clone(agent->pg, &request, JOB_MS_MAX, on_job, agent, err);
    }
    if (rc == 0) {
        destruction_begins(agent, "clone", "");
        reinit_copies(agent);
    }
    return begin(agent, HA_JOB_CLONE, rc);
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

static int do_cancel(struct agent *agent, const struct ha_action *action, struct error *err)
{
    (void)action;
    (void)err;
    reinit_cancels(agent);
    pg_instance_cancel_job(agent->pg);
    return 0;
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

/* While a standby replays what an archive brings, nothing tells on which timeline it is: it may be
 * further by a number than was seen. Soon it waits for more, and can be asked. */
static bool is_timeline_open(const struct agent *agent)
{
    const struct loop_facts *facts = &agent->facts;
    return facts->run == HA_RUN_RUNNING && facts->probe.role == PG_STANDBY &&
           !facts->probe.timeline_exact;
}

/* What the primary says afterwards can be held against it. */
static struct pg_local_position certain_position(const struct agent *agent)
{
    const struct loop_facts *facts = &agent->facts;
    bool running = facts->run == HA_RUN_RUNNING;
    bool stopped = facts->run == HA_RUN_STOPPED || facts->run == HA_RUN_CRASHED;
    bool certain = running ? facts->probe.role == PG_STANDBY && facts->probe.timeline_exact
                           : stopped && facts->inspected;
    return certain ? local_position(agent) : (struct pg_local_position){0};
}

/* One look is proof, and told; what cannot be undone waits for more of them. Once there were
 * enough, it stays so on this timeline: the primary writes on, and may be further by now, but not
 * with what is here. */
static enum ha_divergence look_lost(struct agent *agent, const struct pg_peer_facts *peer)
{
    struct ha_rejoin *rejoin = &agent->facts.rejoin;
    char words[PG_VALUE_BYTES] = "";
    bool known = rejoin->lost_timeline == peer->timeline;

    if (known && rejoin->lost_looks >= HA_LOST_LOOKS_MIN) {
        return HA_DIVERGENCE_LOST;
    }
    if (!pg_divergence_is_lost(&agent->facts.asked_from, peer->timeline, peer->lsn, words)) {
        rejoin->lost_timeline = known ? peer->timeline : 0;
        rejoin->lost_looks = 0;
        return HA_DIVERGENCE_NONE;
    }
    if (!known) {
        log_error("the primary '%s' has lost WAL that was synced, look at its disk: this member is "
                  "%s; commits that were acknowledged may be here alone, so keep its data "
                  "directory, or empty it, with the agent stopped, to have it copied anew",
                  rejoin->remote[0] != '\0' ? rejoin->remote : agent->facts.cluster.leader, words);
    }
    rejoin->lost_timeline = peer->timeline;
    rejoin->lost_looks = known ? rejoin->lost_looks + 1 : 1;
    return rejoin->lost_looks >= HA_LOST_LOOKS_MIN ? HA_DIVERGENCE_LOST : HA_DIVERGENCE_UNKNOWN;
}

/* Of a primary on another timeline, or one that was not reached. */
static void forget_lost(struct ha_rejoin *rejoin, const struct pg_peer_facts *peer)
{
    if (peer != NULL && peer->timeline != rejoin->lost_timeline) {
        rejoin->lost_timeline = 0;
        rejoin->lost_looks = 0;
    } else if (rejoin->lost_looks < HA_LOST_LOOKS_MIN) {
        rejoin->lost_looks = 0;
    }
}

/* One that has to be asked for again until all is replayed is asked for each second: told once. */
static void tell_comparison(struct agent *agent, bool open, const char *reason)
{
    struct loop_facts *facts = &agent->facts;
    bool told = open && ha_epoch_equal(facts->open_told_epoch, facts->rejoin.epoch);
    if (told) {
        log_debug("compared our WAL with the primary's: %s", reason);
    } else {
        log_info("compared our WAL with the primary's: %s%s", reason,
                 open ? "; not certain while it is being replayed" : "");
    }
    facts->open_told_epoch = open ? facts->rejoin.epoch : (struct ha_epoch){0};
}

/* pg_rewind finds where two histories part, but not where both end with one number. */
static void on_forked(struct agent *agent, bool forked)
{
    struct ha_rejoin *rejoin = &agent->facts.rejoin;
    bool same = agent->remote_timeline == local_position(agent).timeline;
    if (forked) {
        rejoin->divergence = same ? HA_DIVERGENCE_FORKED : HA_DIVERGENCE_REWIND;
        log_error(
            "'%s' has made timelines of the same numbers as this cluster, at other positions%s",
            rejoin->remote, same ? ": its data has to be copied anew, or the other one's" : "");
    }
    job_end(agent, 0, NULL);
}

/* True: the job ends with that look. */
static bool looks_forked(struct agent *agent, const struct pg_peer_facts *peer)
{
    struct error err = {0};
    const struct ha_rejoin *rejoin = &agent->facts.rejoin;
    uint32_t timeline = local_position(agent).timeline;
    if (rejoin->remote[0] == '\0' || rejoin->divergence != HA_DIVERGENCE_NONE || timeline < 2 ||
        peer->history.count == 0) {
        return false;
    }
    agent->remote_timeline = peer->timeline;
    return remote_look_forked(agent, timeline, &peer->history, on_forked, &err) == 0;
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
    const char *whose = rejoin->remote[0] != '\0' ? "the other cluster's" : "the leader's";
    if (rc == 0 && peer->role != PG_PRIMARY) {
        rc = error_set(&own, ERR_UNAVAILABLE, "%s PostgreSQL is not a primary yet", whose);
        err = &own;
    } else if (rc == 0 && peer->system_identifier != cluster_system_id(agent)) {
        rc = error_set(&own, ERR_REFUSED, "%s PostgreSQL has another system identifier", whose);
        err = &own;
    }
    if (rc != 0 && rejoin->remote[0] != '\0') {
        remote_next_host(agent);
    }
    if (rc == 0) {
        struct pg_local_position local = local_position(agent);
        bool open = false;
        switch (pg_divergence_decide(&local, peer->timeline, &peer->history, reason)) {
        case PG_DIVERGENCE_NONE: rejoin->divergence = look_lost(agent, peer); break;
        case PG_DIVERGENCE_REWIND:
            open = is_timeline_open(agent);
            rejoin->divergence = open ? HA_DIVERGENCE_UNKNOWN : HA_DIVERGENCE_REWIND;
            forget_lost(rejoin, peer);
            break;
        case PG_DIVERGENCE_UNKNOWN: forget_lost(rejoin, NULL); break;
        }
        tell_comparison(agent, open, reason);
        if (looks_forked(agent, peer)) {
            return;
        }
    } else {
        forget_lost(rejoin, NULL);
    }
    job_end(agent, rc, err);
}

static int do_check_divergence(struct agent *agent, const struct ha_action *action,
                               struct error *err)
{
    char host[PG_HOST_BYTES];
    uint16_t port = 0;
    int rc = action->remote ? remote_host(agent, host, &port, err)
                            : find_peer(agent, action->member, host, &port, err);
    if (rc == 0) {
        rc = pg_instance_ask_peer(agent->pg, host, port, ASK_PEER_MS, on_divergence, agent, err);
    }
    if (rc == 0) {
        struct ha_rejoin *rejoin = &agent->facts.rejoin;
        *rejoin = (struct ha_rejoin){.epoch = action->epoch,
                                     .checked_mono_ms = HA_NEVER,
                                     .lost_timeline = rejoin->lost_timeline,
                                     .lost_looks = rejoin->lost_looks};
        if (action->remote) {
            memcpy(rejoin->remote, agent->snapshot.settings.remote, sizeof rejoin->remote);
        }
        agent->facts.asked_from = certain_position(agent);
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

/* The same, of the other cluster: it is still to be followed, in the term that it was compared in,
 * and that goes on if it is ours. */
static bool still_follows(struct agent *agent)
{
    const struct ha_cluster *cluster = &agent->facts.cluster;
    struct ha_settings now = {0};
    bool ours = strcmp(cluster->leader, agent->config->name) == 0;
    remote_fill(agent, &now);
    return ha_epoch_equal(cluster->leader_epoch, agent->facts.destruction.epoch) &&
           now.standby_cluster && strcmp(now.remote, agent->facts.rejoin.remote) == 0 &&
           (!ours || ha_lease_valid(&agent->lease, agent_lease_ms(agent)));
}

static bool may_rewind_to_remote(void *arg)
{
    struct agent *agent = arg;
    bool may = still_follows(agent);
    if (may) {
        struct pg_local_position local = pg_local_position_of(&agent->facts.inspection.control);
        log_warning(
            "rewinding to the history of '%s', as standby_cluster asks for: the data "
            "directory ended on timeline %u at %" PRIX64 "/%" PRIX64 "; what is not there is lost",
            agent->facts.rejoin.remote, local.timeline, local.lsn >> 32, local.lsn & UINT32_MAX);
        destruction_begins(agent, "rewind", "standby_cluster");
    }
    return may;
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
                                .still_allowed = action->remote ? may_rewind_to_remote : may_rewind,
                                .still_allowed_arg = agent};
    int rc = action->remote ? remote_host(agent, host, &request.port, err)
                            : find_peer(agent, action->member, host, &request.port, err);
    if (rc == 0) {
        rc = pg_instance_rewind(agent->pg, &request, JOB_MS_MAX, on_job, agent, err);
    }
    if (rc == 0) {
        agent->facts.destruction = *action;
        remote_note_rewind(agent, action);
    }
    return begin(agent, HA_JOB_REWIND, rc);
}

/* Where the data that are about to go end: as the server last said, if it has run as a standby, for
 * its control file is behind that after a stop that was not in order. */
static struct pg_local_position ended_at(const struct agent *agent)
{
    const struct pg_probe_result *probe = &agent->facts.probe;
    struct pg_local_position at = pg_local_position_of(&agent->facts.inspection.control);
    if (probe->asked_ms == 0 || probe->role != PG_STANDBY || !probe->timeline_exact) {
        return at;
    }
    struct pg_local_position said = {
        .timeline = probe->timeline,
        .lsn = probe->flush_lsn > probe->replay_lsn ? probe->flush_lsn : probe->replay_lsn};
    bool further = at.timeline == said.timeline && !at.was_primary && at.lsn > said.lsn;
    return further ? at : said;
}

/* The primary that is to be copied has lost WAL of its own that is here, and commits may have been
 * acknowledged because of it. One look is proof, and the last one may be of before this epoch. */
static bool may_be_only_copy(struct agent *agent, const struct pg_peer_facts *peer)
{
    struct ha_snapshot *now = mem_new(struct ha_snapshot); /* large */
    facts_snapshot(agent, now);
    bool waited = ha_commits_may_have_waited(now);
    mem_free(now);
    if (!waited || agent->facts.inspection.kind != PG_DIR_VALID) { /* else half rewound */
        return false;
    }
    agent->facts.asked_from = ended_at(agent);
    (void)look_lost(agent, peer);
    return agent->facts.rejoin.lost_timeline == peer->timeline;
}

/* Invariant I10: the primary of that epoch is asked again right before anything is destroyed. */
static void on_remove_asked(void *arg, int rc, const struct pg_peer_facts *peer,
                            const struct error *err)
{
    struct agent *agent = arg;
    const struct ha_action *action = &agent->facts.destruction;
    struct error own = {0};

    enum pg_role wanted = agent->dynamic.standby_cluster ? PG_STANDBY : PG_PRIMARY;
    if (rc == 0 && (peer->role != wanted || peer->system_identifier != cluster_system_id(agent) ||
                    !still_leads(agent))) {
        rc = error_set(&own, ERR_REFUSED,
                       "'%s' does not lead this cluster any more: nothing is removed",
                       action->member);
        err = &own;
    }
    if (rc == 0 && may_be_only_copy(agent, peer)) {
        rc = error_set(&own, ERR_REFUSED,
                       "'%s' has lost WAL that is here, and acknowledged commits may be nowhere "
                       "else: nothing is removed",
                       action->member);
        err = &own;
    }
    if (rc == 0) {
        struct pg_local_position local = pg_local_position_of(&agent->facts.inspection.control);
        log_warning("removing the data directory: it ended on timeline %u at %" PRIX64 "/%" PRIX64
                    "; what '%s' does not have of it is lost",
                    local.timeline, local.lsn >> 32, local.lsn & UINT32_MAX, action->member);
        bool asked = agent->reinit.now.phase == HA_REINIT_ORDERED;
        destruction_begins(agent, "remove", asked ? "reinitialize" : "remove_data_directory");
        rc = pg_instance_remove(agent->pg,
                                asked ? "it was asked to be made anew"
                                      : "it cannot follow the primary and the configuration allows "
                                        "it",
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

/* Waited for only before a stop, which it shortens. After a promotion it runs beside everything
 * else: a decision must not wait for a disk. */
static int do_checkpoint(struct agent *agent, const struct ha_action *action, struct error *err)
{
    (void)action;
    bool before_stop =
        ha_plan_has(&agent->plan, HA_STOP_FAST) || ha_plan_has(&agent->plan, HA_STOP_RESTART);
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
    [HA_CHECK_DIVERGENCE] = do_check_divergence,
    [HA_REWIND] = do_rewind,
    [HA_REMOVE_DATA] = do_remove_data,
    [HA_MOVE_ASIDE] = do_move_aside,
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
    return rc != 0 ? rc : pg_actions[action->type](agent, action, err);
}
