/* Copies everything seen, and both clocks, into one snapshot: after this nothing a decision reads
 * can change under it. Old and unknown are values. */
#include "agent/loop/loop.h"

#include "agent/ha/ha_facts.h"
#include "agent/loop/adoption.h"
#include "agent/loop/failsafe.h"
#include "agent/loop/logical.h"
#include "agent/loop/peers.h"
#include "agent/loop/remote.h"
#include "agent/loop/silence.h"
#include "agent/loop/slots.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

int64_t agent_mono_ms(const struct agent *agent)
{
    return clock_mono_ms(agent->clock);
}

int64_t agent_lease_ms(const struct agent *agent)
{
    return clock_lease_ms(agent->clock);
}

bool agent_is_paused(const struct agent *agent)
{
    const struct ha_cluster *cluster = &agent->facts.cluster;
    bool told = cluster->unfenced_revision > 0;
    for (size_t i = 0; i < cluster->member_count; i++) {
        told = told || cluster->members[i].paused;
    }
    return agent->dynamic.paused || (agent->pause_unknown && told);
}

bool agent_was_paused(const struct agent *agent)
{
    return !agent->facts.cluster.known && agent->facts.inspection.noted_pause;
}

static void copy_text(char *to, size_t size, const char *from)
{
    (void)snprintf(to, size, "%s", from == NULL ? "" : from);
}

static void fill_settings(const struct agent *agent, struct ha_settings *settings)
{
    const struct dynamic_config *dynamic = &agent->dynamic;
    const struct config_postgresql *local = agent_postgresql(agent);
    const struct pg_control *control = &agent->facts.inspection.control;
    bool use_rewind = local->use_pg_rewind_given ? local->use_pg_rewind : dynamic->use_pg_rewind;
    int heartbeat_ms = 0;
    int election_ms = 0;

    config_raft_timeouts(&agent->config->raft, dynamic->ttl_ms, &election_ms, &heartbeat_ms);
    settings->ttl_ms = dynamic->ttl_ms;
    settings->loop_wait_ms = dynamic->loop_wait_ms;
    settings->retry_timeout_ms = dynamic->retry_timeout_ms;
    settings->election_timeout_ms =
        config_is_raft_member(agent->config) ? election_ms : PEERS_SILENT_MS;
    settings->maximum_lag_bytes = dynamic->maximum_lag_on_failover_bytes;
    settings->primary_start_timeout_ms = dynamic->primary_start_timeout_ms;
    settings->hang_timeout_ms = dynamic_hang_timeout_ms(dynamic);
    settings->disk_stall_timeout_ms = dynamic_disk_stall_timeout_ms(dynamic);
    settings->disk_failure_timeout_ms = dynamic_disk_failure_timeout_ms(dynamic);
    settings->check_timeline = dynamic->check_timeline;
    settings->rewind_possible = use_rewind && (control->data_checksums || control->wal_log_hints);
    settings->remove_on_rewind_failure = local->remove_data_directory_on_rewind_failure;
    settings->remove_on_diverged = local->remove_data_directory_on_diverged_timelines;
    settings->custom_bootstrap = agent->config->bootstrap.method.words.count > 0;
    for (size_t i = 0; i < local->replica_method_count; i++) {
        settings->copies_without_leader =
            settings->copies_without_leader || local->replica_methods[i].no_leader;
    }
    settings->may_bootstrap = json_object_size(agent->config->bootstrap.dcs) > 0;
    /* Where nobody can tell, commits may have waited: then the key `sync` counts. */
    bool unknown = agent->unconfigured || agent->facts.config_revision < 0;
    settings->synchronous_mode = dynamic->synchronous_mode != DYNAMIC_SYNCHRONOUS_OFF || unknown;
    settings->paused = agent_is_paused(agent);
    settings->early_failover = silence_is_asked_for(agent);
    settings->failsafe_mode = dynamic->failsafe_mode && agent->failsafe != NULL;
    copy_text(settings->refused, sizeof settings->refused, agent->refused);
    remote_fill(agent, settings);
}

/* Whoever is asked is known by his answers alone: that his node votes in the group, as a witness
 * beside a Patroni does under whatever name, says nothing of him. */
static void fill_peers(const struct loop_facts *facts, struct ha_snapshot *s)
{
    s->peer_count = facts->peer_count;
    memcpy(s->peers, facts->peers, sizeof s->peers);
    for (size_t i = 0; i < facts->heard_count && s->peer_count < HA_MEMBERS_MAX; i++) {
        if (ha_peer(s, facts->heard[i].name) == NULL) {
            s->peers[s->peer_count++] = facts->heard[i];
        }
    }
}

/* Of a primary. After a stop in order (`shutdown_lsn` is set) those that streamed have all of it:
 * PostgreSQL waits for them, and what they publish is of before. */
static void fill_replicas(const struct pg_probe_result *probe, struct ha_self *self)
{
    for (size_t i = 0; i < probe->replica_count && self->replica_count < HA_MEMBERS_MAX; i++) {
        const struct pg_replica *row = &probe->replicas[i];
        if (strcmp(row->state, "streaming") == 0) {
            struct ha_replica *replica = &self->replicas[self->replica_count++];
            copy_text(replica->name, sizeof replica->name, row->application_name);
            replica->lsn = self->shutdown_lsn != 0 ? self->shutdown_lsn : row->flush_lsn;
        }
    }
}

static void fill_position(const struct agent *agent, struct ha_self *self)
{
    const struct loop_facts *facts = &agent->facts;
    const struct pg_probe_result *probe = &facts->probe;

    if (facts->run == HA_RUN_RUNNING || (facts->run == HA_RUN_STOPPING && probe->asked_ms > 0)) {
        self->role = probe->role;
        self->timeline = probe->timeline;
        self->lsn = probe->role == PG_PRIMARY              ? probe->flush_lsn
                    : probe->flush_lsn > probe->replay_lsn ? probe->flush_lsn
                                                           : probe->replay_lsn;
        self->position_known = probe->role == PG_PRIMARY || probe->local_wal_replayed;
        self->checkpoint_timeline = probe->control_timeline;
        self->history_told =
            agent->history_told_revision != 0 &&
            agent->history_told_revision == agent->facts.cluster.history_revision &&
            agent->history_told_timeline == probe->timeline;
        self->probe_fresh =
            facts->probe_rc == 0 && agent_mono_ms(agent) - probe->asked_ms <= LOOP_PROBE_FRESH_MS;
        /* An answer from before the walreceiver was gone may name less than has been received by
         * now. */
        if (facts->upstream.detached && probe->asked_ms <= facts->upstream.streaming_lost_mono_ms) {
            self->probe_fresh = false;
        }
        if (probe->role == PG_PRIMARY) {
            fill_replicas(probe, self);
            self->looks_for_request = facts->failover_revision != 0 && facts->probe_rc == 0 &&
                                      probe->asked_ms <= facts->failover_mono_ms;
        }
        return;
    }
    if (facts->run == HA_RUN_STARTING) {
        /* Started by this run, or by an earlier one. */
        bool standby = facts->upstream.known
                           ? facts->started_as == PG_START_STANDBY
                           : facts->inspection.standby_signal || facts->inspection.recovery_signal;
        self->role = standby ? PG_STANDBY : PG_PRIMARY;
        return;
    }
    self->role = PG_ROLE_UNKNOWN;
    if (facts->inspected && facts->inspection.kind == PG_DIR_VALID) {
        self->timeline = facts->shutdown.timeline;
        self->lsn = facts->shutdown.lsn;
        self->shutdown_lsn = facts->inspection.control.state == PG_CONTROL_SHUT_DOWN
                                 ? facts->inspection.control.checkpoint_lsn
                                 : 0;
        if (self->shutdown_lsn != 0 && facts->stop_ordered && probe->role == PG_PRIMARY) {
            fill_replicas(probe, self);
        }
    }
}

static bool is_unnamed_primary(const struct loop_facts *facts)
{
    char own[32];
    (void)snprintf(own, sizeof own, "%" PRIu64, facts->probe.system_identifier);
    return facts->probe.role == PG_PRIMARY && strcmp(facts->cluster.initialize, own) != 0;
}

unsigned facts_crashes(const struct agent *agent)
{
    int64_t window_ms = agent->dynamic.crash_loop_window_ms;
    unsigned crashes = 0;
    for (size_t i = 0; i < HA_CRASHES_MAX; i++) {
        int64_t crashed_ms = agent->facts.crashed_mono_ms[i];
        bool lately = crashed_ms != HA_NEVER && agent_mono_ms(agent) - crashed_ms < window_ms;
        crashes += lately ? 1 : 0;
    }
    return crashes;
}

static void fill_tags(const struct config_tags *tags, struct ha_tags *to)
{
    to->nofailover = tags->nofailover;
    to->failover_priority = tags->failover_priority;
    to->clonefrom = tags->clonefrom;
    to->nostream = tags->nostream;
    copy_text(to->replicatefrom, sizeof to->replicatefrom, tags->replicatefrom);
}

static void fill_self(const struct agent *agent, struct ha_self *self)
{
    const struct loop_facts *facts = &agent->facts;
    uint64_t system_id = facts->inspection.control.system_identifier;

    copy_text(self->name, sizeof self->name, agent->config->name);
    copy_text(self->instance, sizeof self->instance, agent->instance);
    copy_text(self->namesake, sizeof self->namesake, agent->namesake.where);
    fill_tags(&agent->config->tags, &self->tags);
    self->directory_known = facts->inspected;
    if (facts->run == HA_RUN_RUNNING) {
        /* What a server has open is there. One that no cluster is named after yet may be of a
         * bootstrap that was cut off: gone on with, it would be put beside when it stops, with all
         * that clients have written since. */
        bool unnamed = is_unnamed_primary(facts);
        bool cut_off = unnamed && facts->cluster.known && facts->inspected &&
                       facts->inspection.kind == PG_DIR_UNFINISHED &&
                       facts->inspection.unfinished == PG_UNFINISHED_BOOTSTRAP;
        self->directory_known = facts->inspected || !unnamed;
        self->directory = cut_off ? PG_DIR_UNFINISHED : PG_DIR_VALID;
        self->unfinished = cut_off ? PG_UNFINISHED_BOOTSTRAP : PG_UNFINISHED_NONE;
        system_id = facts->probe.system_identifier;
    } else {
        self->directory = facts->inspection.kind;
        self->unfinished = facts->inspection.unfinished;
    }
    if (system_id != 0) {
        (void)snprintf(self->system_id, sizeof self->system_id, "%" PRIu64, system_id);
    }
    self->unannounced = system_id != 0 && facts->inspection.unannounced_system_id == system_id;
    self->was_paused = agent_was_paused(agent);
    self->control_state = facts->inspection.control.state;
    self->control_timeline = facts->inspection.control.timeline;
    self->wal_timeline = facts->inspection.wal_timeline;
    self->standby_signal = facts->inspection.standby_signal || facts->inspection.recovery_signal;
    self->backup_label = facts->inspection.backup_label;
    self->hba_needed = facts->inspection.hba_unset && agent_postgresql(agent)->pg_hba.count == 0;
    self->told_to_stop = facts->run == HA_RUN_STARTING && !facts->start_ordered &&
                         facts->inspected && facts->inspection.stopping;
    self->run = facts->run;
    self->run_since_mono_ms = facts->run_since_mono_ms;
    self->stop_ordered =
        facts->stop_ordered && (facts->run == HA_RUN_STOPPED || facts->run == HA_RUN_CRASHED);
    fill_position(agent, self);
    if (facts->run == HA_RUN_RUNNING && facts->probe.asked_ms > 0) {
        self->server_version = facts->probe.server_version;
        self->postmaster_start_ms = facts->probe.postmaster_start_ms;
        self->pending_restart = facts->probe.pending_restart;
    }
    self->promote_sent = agent->pg != NULL && pg_instance_promote_sent(agent->pg);
    self->crash_since_mono_ms = facts->crash_since_mono_ms;
    self->crashed_mono_ms = agent->facts.crashed_mono_ms[0];
    self->crashes = facts_crashes(agent);
    self->hangs = facts->hangs;
    self->silent_since_mono_ms = facts->silent_since_mono_ms;
    self->refusing_since_mono_ms = facts->refusing_since_mono_ms;
    self->disk = facts->disk;
    self->disk_since_mono_ms = facts->disk_since_mono_ms;
    self->committed_mono_ms = facts->disk_has_wal ? facts->committed_mono_ms : HA_NEVER;
    self->trouble_revision = facts->trouble_revision;
    copy_text(self->disk_place, sizeof self->disk_place, facts->disk_place);
    self->start_failures = facts->start_failures;
    self->start_failed_mono_ms = facts->start_failed_mono_ms;
    self->stop_failed_mono_ms = facts->stop_failed_mono_ms;
    self->promote_failed_mono_ms = facts->promote_failed_mono_ms;
    self->upstream = facts->upstream;
    self->cascade_left_mono_ms = facts->cascade_left_mono_ms;
    self->rejoin = facts->rejoin;
    self->ahead = facts->ahead;
    self->replay_stuck = facts->replay_stuck;
    self->withdrawn_epoch = facts->withdrawn_epoch;
}

static void fill_fence(const struct agent *agent, struct ha_fence *fence)
{
    struct fence_lease page;
    struct fence_page *mapped = agent->fence == NULL ? NULL : fence_client_page(agent->fence);

    fence->connected = agent->fence != NULL && fence_client_connected(agent->fence);
    if (!fence->connected || mapped == NULL) {
        return;
    }
    const struct fence_status *status = fence_client_status(agent->fence);
    if (fence_page_read(mapped, &page)) {
        fence->page_epoch = (struct ha_epoch){page.epoch.cluster, page.epoch.revision};
        fence->over = page.deadline_ms == FENCE_OVER;
        fence->armed = fence_lease_armed(&page) && !fence->over;
        fence->soft_lease_ms = fence->armed ? page.soft_ms : 0;
        fence->fired = page.epoch.revision != 0 && (fence_epoch_equal(status->fired, page.epoch) ||
                                                    fence_epoch_equal(status->stopped, page.epoch));
    }
    /* A fence that has just started knows of nothing: what its predecessor had started may live. */
    fence->all_gone = !status->running && !status->killing && status->all_gone &&
                      !agent->adoption.unlooked &&
                      !(agent->facts.inspected && agent->facts.inspection.running);
    fence->silent = status->silent;
    fence->silent_since_mono_ms =
        agent->fence_silent ? agent->fence_silent_since_mono_ms : HA_NEVER;
    fence->knows_directory = status->starts > 0 || adoption_is_done(agent);
    fence->adopted = agent->facts.inspected && agent->facts.inspection.running && !status->running;
}

void facts_snapshot(const struct agent *agent, struct ha_snapshot *ret_snapshot)
{
    const struct loop_facts *facts = &agent->facts;
    struct ha_snapshot *s = ret_snapshot;

    ha_snapshot_init(s);
    s->now_mono_ms = agent_mono_ms(agent);
    s->now_lease_ms = agent_lease_ms(agent);
    s->now_wall_ms = clock_wall_ms(agent->clock);
    s->unlocked_since_mono_ms = facts->unlocked_since_mono_ms;
    s->owner = facts->owner;
    s->partner_gone_mono_ms = facts->partner_gone_mono_ms;
    fill_settings(agent, &s->settings);
    failsafe_fill(agent, &s->failsafe);
    silence_fill(agent, &s->silence);
    fill_self(agent, &s->self);
    fill_fence(agent, &s->fence);
    watchdog_fill(agent, &s->watchdog);
    ha_lease_holding(&agent->lease, agent->acquiring, &s->holding);
    s->holding.since_mono_ms = facts->term_since_mono_ms;
    s->job = facts->job;
    s->cluster = facts->cluster;
    fill_peers(facts, s);
    s->request = facts->request;
    s->request_mono_ms = facts->request_mono_ms;
    s->restart = agent->restart.now;
    s->reinit = agent->reinit.now;
    if (facts->run == HA_RUN_RUNNING) {
        struct slots_plan slots;
        slots_decide(agent, &slots);
        struct logical_plan logical;
        logical_decide(agent, &logical);
        s->self.slots_due = slots.due || logical.due;
    }
}
