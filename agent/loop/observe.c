/* Looks at the instance and the fence, and puts what it saw into the facts with its time. Decides
 * nothing: whatever changed asks for a cycle. What it sees of the store: observe_store.c. */
#include "agent/loop/loop.h"

#include "agent/ha/ha_cluster.h"
#include "agent/ha/ha_facts.h"
#include "agent/loop/adoption.h"
#include "agent/loop/logical.h"
#include "agent/loop/namesake.h"
#include "agent/loop/peers.h"
#include "agent/loop/reinit.h"
#include "agent/loop/restart.h"
#include "agent/loop/silence.h"
#include "agent/loop/slots.h"
#include "base/assert.h"
#include "base/log.h"
#include "pgctl/pg_parse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void observe_crash(struct agent *agent)
{
    int64_t *crashed = agent->facts.crashed_mono_ms;
    memmove(crashed + 1, crashed, (HA_CRASHES_MAX - 1) * sizeof *crashed);
    crashed[0] = agent_mono_ms(agent);
}

static void set_run(struct agent *agent, enum ha_run run)
{
    struct loop_facts *facts = &agent->facts;
    if (facts->run == run) {
        return;
    }
    facts->run = run;
    facts->run_since_mono_ms = agent_mono_ms(agent);
    facts->silent_since_mono_ms = HA_NEVER; /* of what ran before */
    facts->refusing_since_mono_ms = HA_NEVER;
    facts->stop_failed_mono_ms = HA_NEVER;
    facts->committed_mono_ms = HA_NEVER;
    facts->replay_stands_since_mono_ms = HA_NEVER;
    facts->replay_stuck = false;
    facts->ahead = false;
    facts->ahead_lsn = 0;
    if (run == HA_RUN_CRASHED) {
        observe_crash(agent);
        if (facts->crash_since_mono_ms == HA_NEVER) {
            facts->crash_since_mono_ms = facts->run_since_mono_ms;
        }
        log_warning("PostgreSQL is down, and nobody had asked for that");
    }
    if (run == HA_RUN_RUNNING) {
        facts->ever_ran = true;
        facts->start_failures = 0;
        if (!facts->upstream.service_in_force &&
            !facts->adopted) { /* looked at before it had its pid file? */
            observe_inspect(agent);
        } else if (facts->inspected && facts->inspection.hba_missing) { /* the start may bring it */
            observe_inspect_again(agent);
        }
    }
    if (run == HA_RUN_STARTING) {
        observe_probe_soon(agent);
    }
    if (run == HA_RUN_STOPPED || run == HA_RUN_CRASHED) {
        facts->probe.asked_ms = 0;
        facts->upstream.streaming = false;
        observe_inspect(agent);
    }
    cycle_request(agent);
    publish_request(agent);
}

/* Up for a moment only is what one that goes down again is, too. */
static void look_settled(struct agent *agent)
{
    struct loop_facts *facts = &agent->facts;
    int64_t up_ms = agent_mono_ms(agent) - facts->run_since_mono_ms;
    if (facts->run != HA_RUN_RUNNING) {
        return;
    }
    if (up_ms >= LOOP_SETTLED_MS) {
        facts->crash_since_mono_ms = HA_NEVER;
    }
    if (up_ms >= 2 * dynamic_hang_timeout_ms(&agent->dynamic) &&
        facts->silent_since_mono_ms == HA_NEVER) {
        facts->hangs = 0;
    }
}

static bool page_is_open(const struct agent *agent)
{
    struct fence_page *mapped = fence_client_page(agent->fence);
    struct fence_lease page;
    return mapped != NULL && fence_page_read(mapped, &page) && fence_lease_open(&page);
}

/* Started by hand, or by Patroni: the fence is not its parent. */
static bool is_of_others(const struct agent *agent, const struct fence_status *status)
{
    const struct loop_facts *facts = &agent->facts;
    bool fence_is_idle = !status->running && !status->killing && !status->starting &&
                         (status->starts == 0 || status->all_gone) && !facts->start_ordered;
    bool alive = facts->inspected ? facts->inspection.running : facts->adopted;
    /* A look of before the end of the fence's own postmaster sees that one. */
    bool own = facts->inspected && adoption_is_own(agent, facts->inspection.pidfile_pid);
    return fence_is_idle && alive && !own;
}

/* What the fence does not find is left alone in pause, and as long after it as the page is open;
 * any other is for the rules to stop. */
static bool is_adopted(const struct agent *agent, enum adoption adoption)
{
    return adoption != ADOPTION_NONE || agent_is_paused(agent) || page_is_open(agent);
}

static void run_adopted(struct agent *agent)
{
    struct loop_facts *facts = &agent->facts;
    if (!facts->adopted) {
        log_info("PostgreSQL runs, and was not started by this agent's fence: it is taken over as "
                 "it is");
        /* Whom it follows, and whether it was told so by us, has to be found out. */
        facts->upstream =
            (struct ha_upstream){.service_in_force = facts->inspection.service_in_force,
                                 .streaming_lost_mono_ms = agent_mono_ms(agent)};
        facts->probe.asked_ms = 0;
        facts->ever_ran = true;
    }
    facts->adopted = true;
    agent->adoption.unlooked = true;
    facts->stop_ordered = facts->stop_ordered && facts->stopping;
    set_run(agent, facts->stopping             ? HA_RUN_STOPPING
                   : facts->probe.asked_ms > 0 ? HA_RUN_RUNNING
                                               : HA_RUN_STARTING);
}

static void work_run_out(struct agent *agent)
{
    struct loop_facts *facts = &agent->facts;
    if (agent->fence == NULL || !fence_client_connected(agent->fence)) {
        set_run(agent, HA_RUN_UNKNOWN);
        return;
    }
    const struct fence_status *status = fence_client_status(agent->fence);
    adoption_note(agent, status);
    if (is_of_others(agent, status)) {
        enum adoption adoption = adoption_look(agent, status);
        if (adoption == ADOPTION_PENDING && !facts->adopted) {
            set_run(agent, HA_RUN_UNKNOWN);
            return;
        }
        if (adoption == ADOPTION_PENDING || is_adopted(agent, adoption)) {
            run_adopted(agent);
            return;
        }
    }
    facts->adopted = false;
    if (status->running && !status->killing) {
        bool answered = facts->probe.asked_ms > 0;
        set_run(agent, facts->stop_ordered ? HA_RUN_STOPPING
                       : answered          ? HA_RUN_RUNNING
                                           : HA_RUN_STARTING);
    } else if (status->starts > 0 && !status->all_gone &&
               !(status->starting && facts->start_ordered)) {
        set_run(agent, HA_RUN_STOPPING);
    } else if (facts->start_ordered) {
        set_run(agent, HA_RUN_STARTING);
    } else if (facts->ever_ran && !facts->stop_ordered) {
        set_run(agent, HA_RUN_CRASHED);
    } else {
        set_run(agent, HA_RUN_STOPPED);
    }
}

void observe_run(struct agent *agent)
{
    look_settled(agent);
    work_run_out(agent);
    restart_look(agent);
    reinit_look(agent);
}

/* --- the data directory ----------------------------------------------------------------------- */

static bool is_unusable(const struct pg_inspection *inspection)
{
    return inspection->kind == PG_DIR_FOREIGN || inspection->kind == PG_DIR_BROKEN ||
           inspection->kind == PG_DIR_UNREADABLE || inspection->kind == PG_DIR_DOUBTFUL;
}

/* The plan says what is wrong with the directory in a word; what exactly, and where, is here. */
static void tell_unusable(const struct agent *agent, const struct pg_inspection *inspection)
{
    if (is_unusable(inspection) &&
        strcmp(inspection->reason, agent->facts.inspection.reason) != 0) {
        log_error("the data directory is left alone: %s", inspection->reason);
    }
}

static void tell_pid_file(const struct agent *agent, const struct pg_inspection *inspection)
{
    if (inspection->pidfile_reason[0] != '\0' &&
        strcmp(inspection->pidfile_reason, agent->facts.inspection.pidfile_reason) != 0) {
        log_error("%s: whether PostgreSQL runs is told by its processes alone",
                  inspection->pidfile_reason);
    }
}

static void on_inspected(void *arg, int rc, const struct pg_inspection *inspection,
                         const struct error *err)
{
    struct agent *agent = arg;
    agent->inspecting = false;
    if (agent->inspect_stale) {
        agent->inspect_stale = false;
        agent->inspect_wanted = true;
        observe_probe_soon(agent); /* decisions wait for it */
        return;
    }
    if (rc != 0) {
        if (rc != ERR_CANCELED) {
            log_warning("looking at the data directory: %s, retrying", err->text);
            agent->inspect_wanted = true;
        }
        return;
    }
    tell_unusable(agent, inspection);
    tell_pid_file(agent, inspection);
    agent->facts.inspection = *inspection;
    agent->facts.inspected = true;
    agent->facts.inspected_mono_ms = agent_mono_ms(agent);
    adoption_looked(agent);
    agent->facts.upstream.service_in_force = inspection->service_in_force;
    if (inspection->kind == PG_DIR_VALID) {
        agent->facts.shutdown = pg_local_position_of(&inspection->control);
    }
    observe_notes(agent);
    observe_run(agent);
    cycle_request(agent);
    publish_request(agent);
}

static void inspect_now(struct agent *agent)
{
    struct error err = {0};
    if (agent->inspecting || !agent->inspect_wanted || agent->pg == NULL || agent->stopping) {
        return;
    }
    int rc = pg_instance_inspect(agent->pg, LOOP_INSPECT_MS, on_inspected, agent, &err);
    if (rc == 0) {
        agent->inspecting = true;
        agent->inspect_wanted = false;
    } else if (rc != ERR_BUSY) {
        log_warning("looking at the data directory: %s, retrying", err.text);
    }
}

void observe_inspect(struct agent *agent)
{
    agent->inspect_wanted = true;
    agent->inspect_stale = agent->inspecting;
    agent->facts.inspected = false;
    observe_probe_soon(agent);
}

void observe_inspect_again(struct agent *agent)
{
    agent->inspect_wanted = true;
    agent->inspect_stale = agent->inspecting;
    observe_probe_soon(agent);
}

/* --- the running instance --------------------------------------------------------------------- */

/* A walreceiver that asks again and again for WAL that its source does not have on that timeline
 * lives, and receives nothing: a standby cluster sees by it that the other cluster has parted from
 * it. (Where a member of ours is promoted its term says so.) */
static bool receives(const struct agent *agent, const struct pg_probe_result *probe)
{
    return probe->role == PG_STANDBY && probe->receiver_alive &&
           (!agent->dynamic.standby_cluster || strcmp(probe->receiver_status, "streaming") == 0);
}

static void take_upstream(struct agent *agent, const struct pg_probe_result *probe)
{
    struct ha_upstream *upstream = &agent->facts.upstream;
    bool streaming = receives(agent, probe);
    if (upstream->streaming && !streaming) {
        upstream->streaming_lost_mono_ms = agent_mono_ms(agent);
    }
    if (streaming) {
        upstream->streaming_lost_mono_ms = HA_NEVER;
    }
    upstream->streaming = streaming;
    /* It is to be known also when nothing ever came: of a member other than the leader at once, of
     * the leader once nothing of our own is left to be replayed. */
    bool leads = strcmp(upstream->name, agent->facts.cluster.leader) == 0;
    if (!streaming && probe->role == PG_STANDBY && upstream->known && !upstream->detached &&
        upstream->streaming_lost_mono_ms == HA_NEVER && (!leads || probe->local_wal_replayed)) {
        upstream->streaming_lost_mono_ms = agent_mono_ms(agent);
    }
}

/* The postmaster is the same, and its children are not: a backend has died. */
static void look_restarted(struct agent *agent, const struct pg_probe_result *result)
{
    const struct pg_probe_result *before = &agent->facts.probe;
    if (before->asked_ms > 0 && before->postmaster_start_ms == result->postmaster_start_ms &&
        before->checkpointer_start_ms > 0 &&
        result->checkpointer_start_ms > before->checkpointer_start_ms) {
        observe_crash(agent);
        log_warning("PostgreSQL has restarted itself: one of its processes had died (%u within "
                    "crash_loop_window)",
                    facts_crashes(agent));
        cycle_request(agent);
    }
}

/* A record that is here in part, since the rest is on its way, is replayed soon; one that is taken
 * for none is fetched again and again: what is on the disk is of another history, as where a
 * primary's disk has lost WAL, or damaged. Meanwhile there is a walreceiver only for moments. */
static void look_replay(struct agent *agent, const struct pg_probe_result *result)
{
    struct loop_facts *facts = &agent->facts;
    const struct pg_probe_result *before = &facts->probe;
    int64_t now = agent_mono_ms(agent);
    bool led =
        facts->cluster.leader[0] != '\0' && strcmp(facts->cluster.leader, agent->config->name) != 0;
    bool stands = led && result->role == PG_STANDBY && !result->replay_paused &&
                  result->receive_lsn > result->replay_lsn && before->asked_ms > 0 &&
                  before->postmaster_start_ms == result->postmaster_start_ms &&
                  before->replay_lsn == result->replay_lsn;

    if (!stands) {
        facts->replay_stands_since_mono_ms = HA_NEVER;
        facts->replay_stuck = false;
        return;
    }
    if (facts->replay_stands_since_mono_ms == HA_NEVER) {
        facts->replay_stands_since_mono_ms = now;
    }
    if (!facts->replay_stuck && result->replay_waits && !result->receiver_alive &&
        now - facts->replay_stands_since_mono_ms >= LOOP_REPLAY_STUCK_MS) {
        char here[PG_LSN_BYTES];
        char received[PG_LSN_BYTES];
        facts->replay_stuck = true;
        log_error("WAL up to %s is here, and PostgreSQL replays none of it behind %s: its log says "
                  "why; if the record there is of another history, stop this agent, empty its data "
                  "directory and start it again, to have it copied anew",
                  pg_lsn_format(result->receive_lsn, received),
                  pg_lsn_format(result->replay_lsn, here));
    }
}

/* A standby that stays where it is, and whose leader, who tells at least once in a loop_wait where
 * it has got to, stays behind it: a reason to ask. What is published may be old, so it is no proof.
 */
static void look_ahead(struct agent *agent, const struct pg_probe_result *probe)
{
    struct loop_facts *facts = &agent->facts;
    const struct ha_member *leader = ha_cluster_member(&facts->cluster, facts->cluster.leader);
    int64_t now = agent_mono_ms(agent);
    uint64_t lsn = probe->flush_lsn > probe->replay_lsn ? probe->flush_lsn : probe->replay_lsn;
    bool behind = leader != NULL && probe->role == PG_STANDBY && probe->timeline_exact &&
                  leader->timeline == probe->timeline && leader->lsn != 0 && leader->lsn < lsn &&
                  leader->mod_revision > facts->cluster.leader_epoch.revision;

    if (!behind || lsn != facts->ahead_lsn) {
        facts->ahead_lsn = behind ? lsn : 0;
        facts->ahead_since_mono_ms = now;
    }
    bool ahead = behind && now - facts->ahead_since_mono_ms >=
                               2 * agent->dynamic.loop_wait_ms + HA_NOT_STREAMING_MS;
    if (ahead && !facts->ahead) {
        cycle_request(agent);
    }
    facts->ahead = ahead;
}

/* What was flushed since the last answer was asked for. */
static void look_flushed(struct agent *agent, const struct pg_probe_result *result)
{
    struct loop_facts *facts = &agent->facts;
    if (result->role == PG_PRIMARY && facts->probe.asked_ms > facts->committed_mono_ms &&
        facts->probe.postmaster_start_ms == result->postmaster_start_ms &&
        facts->probe.role == PG_PRIMARY && result->flush_lsn > facts->probe.flush_lsn) {
        facts->committed_mono_ms = facts->probe.asked_ms;
    }
}

/* What waits for a restart was compared with the settings that the instance was given: until those
 * of the configuration have reached it, what was told before stays. */
static void take_probe(struct agent *agent, const struct pg_probe_result *result)
{
    struct pg_probe_result *probe = &agent->facts.probe;
    struct pg_waiting before[PG_PENDING_MAX];
    size_t count = probe->asked_ms > 0 ? probe->pending_count : 0;
    bool in_force = agent->facts.config_revision >= 0 && !agent->reload.wanted &&
                    !agent->reload.running && !agent->reload.withheld;

    memcpy(before, probe->pending, sizeof before);
    *probe = *result;
    if (!in_force) {
        memcpy(probe->pending, before, sizeof before);
        probe->pending_count = count;
        probe->pending_restart = count > 0;
    }
}

static void on_probed(void *arg, int rc, const struct pg_probe_result *result,
                      const struct error *err)
{
    struct agent *agent = arg;
    struct loop_facts *facts = &agent->facts;

    agent->probing = false;
    if (rc == ERR_CANCELED) {
        return;
    }
    if (facts->probe_rc != rc && rc != 0 && facts->run == HA_RUN_RUNNING) {
        log_warning("asking PostgreSQL for its state: %s, retrying", err->text);
    }
    facts->probe_rc = rc;
    liveness_take_probe(agent, rc, err);
    if (rc == 0) {
        bool changed = facts->probe.asked_ms == 0 || facts->probe.role != result->role ||
                       facts->probe.timeline != result->timeline ||
                       facts->probe.receiver_alive != result->receiver_alive ||
                       facts->probe.local_wal_replayed != result->local_wal_replayed ||
                       facts->probe.replica_count != result->replica_count ||
                       facts->probe.slot_count != result->slot_count;
        bool promoted = facts->probe.asked_ms > 0 && facts->probe.role != result->role &&
                        result->role == PG_PRIMARY;
        bool request =
            facts->failover_revision != 0 && facts->probe.asked_ms <= facts->failover_mono_ms;
        if (facts->probe.asked_ms == 0) {
            slots_note_start(agent);
        }
        silence_take_probe(agent, result);
        look_restarted(agent, result);
        look_flushed(agent, result);
        look_replay(agent, result);
        look_ahead(agent, result);
        take_probe(agent, result);
        slots_note(agent);
        take_upstream(agent, result);
        if (promoted && facts->inspected && facts->inspection.hba_missing) {
            parameters_again(agent); /* an adopted one: what a standby keeps is taken over now */
        }
        observe_run(agent);
        /* A report waits for the position after the detaching, a request for who streams. */
        if (changed || facts->upstream.detached || request) {
            cycle_request(agent);
        }
        if (request && result->asked_ms <= facts->failover_mono_ms) {
            observe_probe_soon(agent);
        }
        if (facts->upstream.detached &&
            result->asked_ms <= facts->upstream.streaming_lost_mono_ms) {
            observe_probe_soon(agent); /* it may name less than was received before the detaching */
        }
        publish_request(agent);
    }
}

/* Nobody tells of what is started or stopped by hand, or that a directory is of use again: its disk
 * is mounted, its owner is right, or there are descriptors for the program that reads it. */
static bool must_look_again(const struct agent *agent)
{
    const struct loop_facts *facts = &agent->facts;
    bool down = facts->run == HA_RUN_STOPPED || facts->run == HA_RUN_CRASHED;
    bool silent = facts->adopted && facts->probe_rc != 0;
    int64_t age_ms = agent_mono_ms(agent) - facts->inspected_mono_ms;
    return facts->inspected && !agent->inspecting &&
           ((((agent_is_paused(agent) && down) || silent) && age_ms >= LOOP_PROBE_MS_MAX) ||
            (is_unusable(&facts->inspection) && age_ms >= LOOP_INSPECT_AGAIN_MS));
}

static void on_probe_timer(uv_timer_t *timer)
{
    struct agent *agent = timer->data;
    struct error err = {0};
    uint64_t next = LOOP_PROBE_MS_MAX;

    liveness_awake(agent);
    observe_run(agent);
    agent->inspect_wanted = agent->inspect_wanted || must_look_again(agent);
    inspect_now(agent);
    parameters_apply(agent);
    peers_look(agent);
    silence_look(agent);
    logical_look(agent);
    const struct loop_facts *facts = &agent->facts;
    bool was_probing = agent->probing;
    bool up = facts->run == HA_RUN_STARTING || facts->run == HA_RUN_RUNNING;
    bool impatient = facts->run == HA_RUN_STARTING || facts->probe_rc != 0 ||
                     agent->inspect_wanted ||
                     (facts->probe.role == PG_STANDBY && !facts->probe.local_wal_replayed);
    if (up && !agent->probing && !agent->stopping) {
        agent->probe_sent_mono_ms = agent_mono_ms(agent);
        agent->probing =
            pg_instance_probe(agent->pg, LOOP_PROBE_TIMEOUT_MS, on_probed, agent, &err) == 0;
    }
    if (up && impatient) {
        next = LOOP_PROBE_STARTING_MS;
    } else if (agent->dynamic.loop_wait_ms / 2 < LOOP_PROBE_MS_MAX) {
        next = (uint64_t)agent->dynamic.loop_wait_ms / 2;
    }
    if (agent->inspect_wanted) {
        next = LOOP_PROBE_STARTING_MS;
    }
    if (agent->probe_wanted && up) {
        next = agent->probing ? LOOP_PROBE_AGAIN_MS
                              : next; /* the answer under way may be older than the wish */
        agent->probe_wanted = agent->probing && was_probing;
    }
    (void)uv_timer_start(timer, on_probe_timer, next, 0);
    namesake_look(agent);
    namesake_end(agent);
}

void observe_probe_soon(struct agent *agent)
{
    agent->probe_wanted = true;
    if (!uv_is_closing((uv_handle_t *)&agent->probe_timer)) {
        (void)uv_timer_start(&agent->probe_timer, on_probe_timer, 0, 0);
    }
}

/* --- the fence -------------------------------------------------------------------------------- */

void observe_fence_event(struct agent *agent, enum fence_event event,
                         const struct fence_status *status)
{
    struct ha_epoch epoch = {0};
    struct fence_lease page;

    pg_instance_on_fence_event(agent->pg, event, status);
    switch (event) {
    case FENCE_EVENT_POSTMASTER_EXITED:
        log_info("the postmaster has ended, wait status %d", status->wait_status);
        /* What was seen running may have been that one; a look follows when all of it is gone. */
        agent->facts.inspected = false;
        agent->facts.adopted = false;
        agent->inspect_stale = agent->inspecting;
        break;
    case FENCE_EVENT_ALL_GONE: agent->adoption.unlooked = false; break;
    case FENCE_EVENT_WATCHDOG: break;
    case FENCE_EVENT_SILENCE: execute_fence_stands(agent); break;
    case FENCE_EVENT_SOFT_STOP:
    case FENCE_EVENT_FIRED:
        epoch.cluster =
            event == FENCE_EVENT_FIRED ? status->fired.cluster : status->stopped.cluster;
        epoch.revision =
            event == FENCE_EVENT_FIRED ? status->fired.revision : status->stopped.revision;
        /* An epoch that we had ended ourselves, with nothing left to kill; or have gone on from
         * since: what is started meanwhile is not of it. */
        if (fence_page_read(fence_client_page(agent->fence), &page) &&
            (page.deadline_ms == FENCE_OVER || page.epoch.cluster != epoch.cluster ||
             page.epoch.revision != epoch.revision)) {
            break;
        }
        log_error(
            "the fence has %s PostgreSQL: the lease of epoch %llx:%lld was not renewed in time",
            event == FENCE_EVENT_FIRED ? "killed" : "begun to stop",
            (unsigned long long)epoch.cluster, (long long)epoch.revision);
        agent->facts.stop_ordered = true;
        ha_lease_fired(&agent->lease, epoch);
        break;
    case FENCE_EVENT_LOST:
        if (status->fence_pid == agent->fence_ended_pid) {
            log_info("the fence that stood still has ended: ending, too, the next start of the "
                     "agent makes another one");
            agent->on_exit(agent, 1);
            return;
        }
        log_error("the connection to the fence process %d is lost, and with the process PostgreSQL "
                  "ends, too: ending, the next start of the agent takes up what still runs, or "
                  "stops what is left",
                  status->fence_pid);
        agent->on_exit(agent, 1);
        return;
    }
    observe_run(agent);
    cycle_request(agent);
}

int observe_start(struct agent *agent)
{
    struct loop_facts *facts = &agent->facts;
    facts->config_revision = -1;
    facts->cluster.read_mono_ms = HA_NEVER;
    facts->run_since_mono_ms = HA_NEVER;
    facts->crash_since_mono_ms = HA_NEVER;
    for (size_t i = 0; i < HA_CRASHES_MAX; i++) {
        facts->crashed_mono_ms[i] = HA_NEVER;
    }
    facts->committed_mono_ms = HA_NEVER;
    facts->replay_stands_since_mono_ms = HA_NEVER;
    facts->start_failed_mono_ms = HA_NEVER;
    facts->stop_failed_mono_ms = HA_NEVER;
    facts->promote_failed_mono_ms = HA_NEVER;
    facts->term_since_mono_ms = HA_NEVER;
    facts->silent_since_mono_ms = HA_NEVER;
    facts->refusing_since_mono_ms = HA_NEVER;
    facts->disk_since_mono_ms = HA_NEVER;
    facts->unlocked_since_mono_ms = HA_NEVER;
    facts->owner.seen_mono_ms = HA_NEVER;
    facts->partner_gone_mono_ms = HA_NEVER;
    facts->request_mono_ms = HA_NEVER;
    agent->restart.now.ordered_mono_ms = HA_NEVER;
    agent->restart.now.down_mono_ms = HA_NEVER;
    agent->reinit.now.ordered_mono_ms = HA_NEVER;
    facts->upstream.streaming_lost_mono_ms = HA_NEVER;
    facts->cascade_left_mono_ms = HA_NEVER;
    facts->rejoin.checked_mono_ms = HA_NEVER;
    facts->job.since_mono_ms = HA_NEVER;
    facts->job.ended_mono_ms = HA_NEVER;
    facts->probe_rc = ERR_UNAVAILABLE;
    agent->inspect_wanted = true;
    agent->probe_timer.data = agent;
    int rc = uv_timer_init(agent->loop, &agent->probe_timer);
    if (rc == 0) {
        rc = liveness_start(agent);
    }
    if (rc == 0) {
        observe_probe_soon(agent);
    }
    return rc;
}

void observe_stop(struct agent *agent)
{
    if (agent->probe_timer.data != NULL && !uv_is_closing((uv_handle_t *)&agent->probe_timer)) {
        uv_close((uv_handle_t *)&agent->probe_timer, NULL);
    }
    liveness_stop(agent);
    restart_stop(agent);
    dcs_view_unref(agent->facts.view);
    agent->facts.view = NULL;
}
