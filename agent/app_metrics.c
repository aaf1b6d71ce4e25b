/* See the header. Patroni's metrics under its names; ours begin with pgquorum_ (docs/monitoring).
 */
#include "agent/app_metrics.h"

#include "agent/api/api_metrics.h"
#include "agent/app_client.h"
#include "agent/app_group.h"
#include "agent/app_shown.h"
#include "agent/ha/ha_remote.h"
#include "agent/loop/failsafe.h"
#include "agent/loop/logical.h"
#include "agent/loop/loop.h"

#include <stdio.h>
#include <string.h>

static uint64_t lag(uint64_t ahead, uint64_t behind)
{
    return ahead > behind ? ahead - behind : 0;
}

static void put_standby_lag(struct api_metrics *m, uint64_t lsn, const struct pg_replica *replica)
{
    const struct {
        const char *stage;
        uint64_t lsn;
    } stages[] = {{"sent", replica->sent_lsn},
                  {"write", replica->write_lsn},
                  {"flush", replica->flush_lsn},
                  {"replay", replica->replay_lsn}};
    char pid[16];

    (void)snprintf(pid, sizeof pid, "%d", (int)replica->pid); /* a name may stream twice */
    for (size_t i = 0; i < sizeof stages / sizeof stages[0]; i++) {
        struct api_label labels[] = {
            {"standby", replica->application_name}, {"stage", stages[i].stage}, {"pid", pid}};
        api_metrics_sample(m, "pgquorum_standby_lag_bytes", labels, 3,
                           (double)lag(lsn, stages[i].lsn));
    }
}

static void put_instance_metrics(struct api_metrics *m, const struct agent *agent,
                                 const struct ha_snapshot *s)
{
    const struct pg_probe_result *probe = &agent->facts.probe;
    bool up = s->self.run == HA_RUN_RUNNING && probe->asked_ms > 0;
    bool primary = up && probe->role == PG_PRIMARY;
    bool replica = up && probe->role == PG_STANDBY;
    bool streaming = replica && app_shown_streaming(probe);

    api_metrics_add(m, "patroni_postgres_running", "gauge",
                    "Value is 1 if Postgres is running, 0 otherwise.", up);
    api_metrics_add(m, "patroni_postmaster_start_time", "gauge",
                    "Epoch seconds since Postgres started.",
                    up ? (double)probe->postmaster_start_ms / 1000.0 : 0);
    api_metrics_add(m, "patroni_primary", "gauge",
                    "Value is 1 if this node is the leader, 0 otherwise.", primary);
    api_metrics_add(
        m, "patroni_xlog_location", "counter",
        "Current location of the Postgres transaction log, 0 if this node is not the leader.",
        primary ? (double)probe->flush_lsn : 0);
    api_metrics_add(m, "patroni_standby_leader", "gauge",
                    "Value is 1 if this node is the standby_leader, 0 otherwise.",
                    replica && ha_leads_standby_cluster(s));
    api_metrics_add(m, "patroni_replica", "gauge",
                    "Value is 1 if this node is a replica, 0 otherwise.",
                    replica && !ha_leads_standby_cluster(s));
    api_metrics_add(m, "patroni_sync_standby", "gauge",
                    "Value is 1 if this node is a sync standby, 0 otherwise.",
                    replica && app_shown_synchronous(agent, s, DYNAMIC_SYNCHRONOUS_ON));
    api_metrics_add(m, "patroni_quorum_standby", "gauge",
                    "Value is 1 if this node is a quorum standby, 0 otherwise.",
                    replica && app_shown_synchronous(agent, s, DYNAMIC_SYNCHRONOUS_QUORUM));
    api_metrics_add(
        m, "patroni_xlog_received_location", "counter",
        "Current location of the received Postgres transaction log, 0 if this node is not a "
        "replica.",
        replica ? (double)probe->receive_lsn : 0);
    api_metrics_add(
        m, "patroni_xlog_replayed_location", "counter",
        "Current location of the replayed Postgres transaction log, 0 if this node is not a "
        "replica.",
        replica ? (double)probe->replay_lsn : 0);
    api_metrics_add(m, "patroni_xlog_replayed_timestamp", "gauge",
                    "Current timestamp of the replayed Postgres transaction log, 0 if null.",
                    replica ? (double)probe->replay_time_ms / 1000.0 : 0);
    api_metrics_add(m, "patroni_xlog_paused", "gauge",
                    "Value is 1 if the Postgres xlog is paused, 0 otherwise.",
                    replica && probe->replay_paused);
    api_metrics_add(m, "patroni_postgres_streaming", "gauge",
                    "Value is 1 if Postgres is streaming, 0 otherwise.", streaming);
    api_metrics_add(m, "patroni_postgres_in_archive_recovery", "gauge",
                    "Value is 1 if Postgres is replicating from archive, 0 otherwise.",
                    replica && app_shown_archive(agent));
    api_metrics_add(m, "patroni_postgres_server_version", "gauge",
                    "Version of Postgres (if running), 0 otherwise.",
                    up ? probe->server_version : 0);
    api_metrics_add(m, "patroni_postgres_timeline", "gauge",
                    "Postgres timeline of this node (if running), 0 otherwise.",
                    up ? probe->timeline : 0);
    api_metrics_add(m, "patroni_pending_restart", "gauge",
                    "Value is 1 if the node needs a restart, 0 otherwise.",
                    up && probe->pending_restart);
}

/* Of the gravest disk; the least space of those that PostgreSQL writes to. */
static void put_health_metrics(struct api_metrics *m, const struct agent *agent,
                               const struct ha_snapshot *s)
{
    const struct pg_disk_state *disks = &agent->facts.disks;
    uint64_t free_bytes = 0;
    bool known = false;

    for (size_t i = 0; i < disks->count; i++) {
        const struct pg_disk_place *place = &disks->places[i];
        if (place->instance && (!known || place->free_bytes < free_bytes)) {
            free_bytes = place->free_bytes;
            known = true;
        }
    }
    api_metrics_add(m, "pgquorum_disk_state", "gauge",
                    "The worst disk that PostgreSQL writes to: 0=unknown, 1=good, 2=low, 3=full, "
                    "4=stalled, 5=read-only, 6=failed.",
                    (double)s->self.disk);
    api_metrics_add(m, "pgquorum_disk_free_bytes", "gauge",
                    "Least free space of the disks that PostgreSQL writes to, 0 if unknown.",
                    (double)free_bytes);
    api_metrics_add(m, "pgquorum_postgres_hung", "gauge",
                    "Value is 1 if PostgreSQL runs and answers no new connection.",
                    s->self.silent_since_mono_ms != HA_NEVER);
    api_metrics_add(m, "pgquorum_postgres_crashes", "gauge",
                    "How often PostgreSQL went down without order and was not up for long since.",
                    s->self.crashes);
}

static void put_copy_metrics(struct api_metrics *m, const struct agent *agent)
{
    api_metrics_head(m, "pgquorum_copy_percent", "gauge",
                     "How much of another member's data this node has copied, by its estimate, "
                     "while pg_basebackup runs.");
    if (agent->facts.copying) {
        api_metrics_sample(m, "pgquorum_copy_percent", NULL, 0, agent->facts.copy.percent);
    }
}

/* On the primary what its standbys have said, on a standby what it knows of itself. */
static void put_replication_metrics(struct api_metrics *m, const struct agent *agent,
                                    const struct ha_snapshot *s)
{
    const struct pg_probe_result *probe = &agent->facts.probe;
    bool up = s->self.run == HA_RUN_RUNNING && probe->asked_ms > 0;
    bool primary = up && probe->role == PG_PRIMARY;
    uint64_t leader_lsn = s->cluster.status_known ? s->cluster.status_optime : 0;

    api_metrics_head(m, "pgquorum_standby_lag_bytes", "gauge",
                     "WAL of this primary that a standby has not sent, written, flushed or "
                     "replayed yet.");
    for (size_t i = 0; primary && i < probe->replica_count; i++) {
        put_standby_lag(m, probe->current_lsn, &probe->replicas[i]);
    }
    api_metrics_add(m, "pgquorum_replay_lag_bytes", "gauge",
                    "WAL that the leader has told of and this standby has not replayed, 0 if this "
                    "node is no standby.",
                    up && !primary ? (double)lag(leader_lsn, probe->replay_lsn) : 0);
    api_metrics_head(m, "pgquorum_slot_retained_bytes", "gauge",
                     "WAL that a replication slot of this node holds back.");
    for (size_t i = 0; up && i < probe->slot_count; i++) {
        const struct pg_slot *slot = &probe->slots[i];
        uint64_t end = primary ? probe->current_lsn : probe->replay_lsn;
        struct api_label labels[] = {{"slot", slot->name}, {"active", slot->active ? "1" : "0"}};
        api_metrics_sample(m, "pgquorum_slot_retained_bytes", labels, 2,
                           slot->restart_lsn == 0 ? 0 : (double)lag(end, slot->restart_lsn));
    }
}

/* What logical slots hold back beside WAL, and whether they would do after a failover. */
static void put_logical_metrics(struct api_metrics *m, const struct agent *agent,
                                const struct ha_snapshot *s)
{
    const struct pg_probe_result *probe = &agent->facts.probe;
    bool up = s->self.run == HA_RUN_RUNNING && probe->asked_ms > 0;

    api_metrics_head(m, "pgquorum_slot_catalog_xmin_age", "gauge",
                     "Transactions since the one from which on a slot of this node keeps dead rows "
                     "of catalogs: a logical one, or that of a member that has some.");
    for (size_t i = 0; up && i < probe->slot_count; i++) {
        struct api_label label = {"slot", probe->slots[i].name};
        if (probe->slots[i].catalog_xmin != 0) {
            api_metrics_sample(m, "pgquorum_slot_catalog_xmin_age", &label, 1,
                               (double)probe->slots[i].catalog_xmin_age);
        }
    }
    api_metrics_head(m, "pgquorum_logical_slot_safe", "gauge",
                     "Whether a permanent logical slot is there and can be gone on with if this "
                     "node is, or becomes, the primary.");
    for (size_t i = 0; up && i < agent->logical.count; i++) {
        const struct loop_logical *item = &agent->logical.items[i];
        struct api_label label = {"slot", item->name};
        if (item->configured) {
            api_metrics_sample(m, "pgquorum_logical_slot_safe", &label, 1,
                               logical_is_safe(agent, item->name) ? 1 : 0);
        }
    }
}

static void put_takeover_metrics(struct api_metrics *m, const struct ha_takeovers *takeovers)
{
    api_metrics_head(m, "pgquorum_takeovers_total", "counter",
                     "How often this node has become the primary in place of another, by why that "
                     "one led no longer.");
    for (int cause = 0; cause < HA_TAKEOVER_CAUSE_COUNT; cause++) {
        struct api_label label = {"cause", ha_takeover_cause_name((enum ha_takeover_cause)cause)};
        api_metrics_sample(m, "pgquorum_takeovers_total", &label, 1,
                           (double)takeovers->by_cause[cause].count);
    }
    api_metrics_head(m, "pgquorum_takeover_seconds_total", "counter",
                     "How long they took: until the key of the other one was gone (lease), until "
                     "it was ours (election), until PostgreSQL took writes (promotion).");
    for (int cause = 0; cause < HA_TAKEOVER_CAUSE_COUNT; cause++) {
        for (int phase = 0; phase < HA_PHASE_COUNT; phase++) {
            struct api_label labels[] = {
                {"cause", ha_takeover_cause_name((enum ha_takeover_cause)cause)},
                {"phase", ha_takeover_phase_name((enum ha_takeover_phase)phase)}};
            api_metrics_sample(m, "pgquorum_takeover_seconds_total", labels, 2,
                               (double)takeovers->by_cause[cause].sum_ms[phase] / 1000.0);
        }
    }
}

static void put_loop_metrics(struct api_metrics *m, const struct agent *agent)
{
    api_metrics_add_histogram(m, "pgquorum_cycle_seconds",
                              "How long the turns of the HA cycle took.", &agent->turn_ms);
    api_metrics_add_histogram(m, "pgquorum_loop_lateness_seconds",
                              "How much later than due the event loop came to the HA cycle.",
                              &agent->late_ms);
}

static bool is_failsafe_member(const struct ha_snapshot *s)
{
    for (size_t i = 0; i < s->cluster.failsafe_count; i++) {
        if (strcmp(s->cluster.failsafe[i].name, s->self.name) == 0) {
            return true;
        }
    }
    return false;
}

static void put_group_metrics(struct api_metrics *m, const struct agent *agent)
{
    if (agent->config->raft.client) {
        app_client_metrics(agent->dcs, m);
    } else {
        app_group_metrics(agent->group, m);
    }
}

char *app_metrics_render(const struct agent *agent, const struct ha_snapshot *s)
{
    struct api_metrics m;
    char state[16];
    char states[API_METRICS_STATES_BYTES];
    struct ha_holding holding; /* of this moment: a lease is renewed without a new picture */

    ha_lease_holding(&agent->lease, agent->acquiring, &holding);
    api_metrics_init(&m, agent->config->scope, agent->config->name);
    api_metrics_add_text(&m, "patroni_version", "Patroni semver without periods.", NULL, "040104");
    put_instance_metrics(&m, agent, s);
    api_metrics_states(states);
    (void)snprintf(state, sizeof state, "%d", api_metrics_state(app_shown_state(agent, s)));
    api_metrics_add_text(&m, "patroni_postgres_state", "State of Postgres as a number.", states,
                         state);
    api_metrics_add(&m, "patroni_cluster_unlocked", "gauge",
                    "Value is 1 if the cluster is unlocked, 0 if locked.",
                    !s->cluster.known || s->cluster.leader[0] == '\0');
    api_metrics_add(&m, "patroni_failsafe_mode_is_active", "gauge",
                    "Value is 1 if failsafe mode is active, 0 if inactive.",
                    failsafe_is_active(agent));
    api_metrics_add(&m, "patroni_failsafe_mode_enabled", "gauge",
                    "Value is 1 if failsafe mode is configured, 0 otherwise.",
                    agent->dynamic.failsafe_mode);
    api_metrics_add(&m, "patroni_failsafe_member", "gauge",
                    "Value is 1 if this node is in the list of failsafe members, 0 otherwise.",
                    is_failsafe_member(s));
    api_metrics_add(&m, "patroni_failover_priority", "gauge",
                    "Failover priority of this node, 0 if it may not lead.",
                    s->self.tags.nofailover ? 0 : s->self.tags.failover_priority);
    api_metrics_add(&m, "patroni_dcs_last_seen", "gauge",
                    "Epoch timestamp when DCS was last contacted successfully.",
                    (double)(agent->dcs_seen_wall_ms / 1000));
    api_metrics_add(&m, "patroni_is_paused", "gauge",
                    "Value is 1 if auto failover is disabled, 0 otherwise.", s->settings.paused);
    api_metrics_add(&m, "pgquorum_lease_held", "gauge",
                    "Value is 1 if this node holds the leader lease.", holding.held);
    api_metrics_add(&m, "pgquorum_lease_margin_seconds", "gauge",
                    "Time until the soft deadline of the leader lease, 0 if not held.",
                    holding.held ? (double)(holding.soft_lease_ms - agent_lease_ms(agent)) / 1000.0
                                 : 0);
    api_metrics_add(&m, "pgquorum_fence_armed", "gauge",
                    "Value is 1 if the fence will stop PostgreSQL when the lease runs out.",
                    s->fence.armed);
    api_metrics_add(&m, "pgquorum_watchdog_armed", "gauge",
                    "Value is 1 if a watchdog device resets this host when the fence does not pet "
                    "it any more.",
                    s->watchdog.state == HA_WATCHDOG_ARMED);
    api_metrics_add(&m, "pgquorum_watchdog_failed", "gauge",
                    "Value is 1 if the watchdog device that is configured cannot be used.",
                    s->watchdog.state == HA_WATCHDOG_FAILED);
    if (agent->fence != NULL) {
        api_metrics_add(&m, "pgquorum_fence_kill_seconds", "gauge",
                        "How long the last kill by the fence took, -0.001 if there was none.",
                        (double)fence_client_status(agent->fence)->kill_ms / 1000.0);
        api_metrics_add(&m, "pgquorum_fence_silent", "gauge",
                        "Value is 1 if the fence stands still: it does not answer.",
                        fence_client_status(agent->fence)->silent);
    }
    put_health_metrics(&m, agent, s);
    put_copy_metrics(&m, agent);
    put_replication_metrics(&m, agent, s);
    put_logical_metrics(&m, agent, s);
    put_takeover_metrics(&m, &agent->takeovers);
    put_loop_metrics(&m, agent);
    api_metrics_add(&m, "pgquorum_decisions_total", "counter",
                    "Decisions of the HA core that changed something.",
                    (double)agent->decision_count);
    put_group_metrics(&m, agent);
    return api_metrics_take(&m);
}
