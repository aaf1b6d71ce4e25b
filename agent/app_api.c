/* The REST server's side of the loop: renders the immutable picture it serves from, and carries out
 * what it may ask for. */
#include "agent/app_api.h"

#include "agent/api/api_metrics.h"
#include "agent/api/api_server.h"
#include "agent/app_group.h"
#include "agent/cli/cluster_doc.h"
#include "agent/ha/ha_able.h"
#include "agent/ha/ha_cluster.h"
#include "agent/loop/failsafe.h"
#include "agent/loop/loop.h"
#include "agent/version.h"
#include "base/log.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* JSON as it goes out: a real has the digits that were put in, 0.1 and not 0.10000000000000001. */
#define JSON_TEXT (JSON_ENSURE_ASCII | JSON_REAL_PRECISION(15))

/* --- what it may ask for ---------------------------------------------------------------------- */

struct port_write {
    api_written written;
    void *ctx;
};

static void on_written(void *arg, const struct dcs_result *result, const struct error *err)
{
    struct port_write *write = arg;
    write->written(write->ctx, result->rc, result->revision, err);
    mem_free(write);
}

static int put(struct agent *agent, const char *key, const char *value, int64_t compare,
               api_written written, void *ctx, struct error *err)
{
    struct port_write *write = mem_new(struct port_write);
    *write = (struct port_write){.written = written, .ctx = ctx};
    int rc = agent->dcs->ops->put(agent->dcs, key, value, compare, agent->dynamic.retry_timeout_ms,
                                  on_written, write, err);
    if (rc != 0) {
        mem_free(write);
    }
    return rc;
}

/* The document is at fault (ERR_INVALID, ERR_LIMIT), or the store (anything else). */
static int put_config(struct agent *agent, const json_t *document, int64_t compare,
                      api_written written, void *ctx, struct error *err)
{
    char *text = json_dumps(document, JSON_COMPACT | JSON_TEXT);
    int rc = 0;

    if (text == NULL) {
        rc = error_set(err, ERR_INVALID, "the configuration cannot be written as JSON");
    } else if (strlen(text) > API_CONFIG_BYTES_MAX) {
        rc = error_set(err, ERR_LIMIT, "the configuration has %zu bytes, at most %zu", strlen(text),
                       API_CONFIG_BYTES_MAX);
    } else {
        rc = put(agent, "config", text, compare, written, ctx, err);
        rc = rc == ERR_LIMIT ? ERR_BUSY : rc; /* the store's queue is full */
    }
    mem_free(text);
    return rc;
}

static int change_config(void *arg, const json_t *patch, bool replace, api_written written,
                         void *ctx, json_t **ret_merged, bool *ret_unchanged, struct error *err)
{
    struct agent *agent = arg;
    const struct dcs_kv *kv =
        agent->facts.view == NULL ? NULL : dcs_view_get(agent->facts.view, "config");
    json_t *before = kv == NULL ? NULL : json_loadb(kv->value, kv->value_len, 0, NULL);
    json_t *merged = NULL;
    bool changed = true;
    int rc = 0;

    if (!json_is_object(before) && !replace) {
        json_decref(before);
        return error_set(err, ERR_NOT_FOUND, "the cluster has no configuration yet");
    }
    if (replace) {
        merged = json_deep_copy(patch);
        changed = !json_equal(before, merged);
    } else {
        rc = dynamic_config_merge(before, patch, &merged, &changed, err);
    }
    if (rc == 0 && changed) {
        rc = dynamic_config_validate(merged, config_ttl_min_ms(agent->config), before, err);
    }
    json_decref(before);
    if (rc == 0 && changed) {
        rc = put_config(agent, merged, kv == NULL ? DCS_ABSENT : kv->mod_revision, written, ctx,
                        err);
    }
    if (rc != 0) {
        json_decref(merged);
        return rc;
    }
    *ret_merged = merged;
    *ret_unchanged = !changed;
    return 0;
}

static int write_failover(void *arg, const char *value, int64_t revision, api_written written,
                          void *ctx, struct error *err)
{
    return put(arg, "failover", value, revision < 0 ? DCS_ANY : revision, written, ctx, err);
}

/* --- the picture ------------------------------------------------------------------------------ */

static void set_text(json_t *object, const char *key, const char *text)
{
    (void)json_object_set_new(object, key, json_string(text));
}

static void set_number(json_t *object, const char *key, int64_t value)
{
    (void)json_object_set_new(object, key, json_integer(value));
}

static void stamp_of(int64_t wall_ms, char *out, size_t size)
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm utc;
    (void)gmtime_r(&seconds, &utc);
    size_t len = strftime(out, size, "%Y-%m-%d %H:%M:%S", &utc);
    (void)snprintf(out + len, size - len, ".%06d+00:00", (int)(wall_ms % 1000) * 1000);
}

static json_t *replication_rows(const struct pg_probe_result *probe)
{
    json_t *rows = json_array();
    for (size_t i = 0; i < probe->replica_count; i++) {
        const struct pg_replica *replica = &probe->replicas[i];
        json_t *row = json_object();
        set_text(row, "usename", replica->user);
        set_text(row, "application_name", replica->application_name);
        set_text(row, "client_addr", replica->client_addr);
        set_text(row, "state", replica->state);
        set_text(row, "sync_state", replica->sync_state);
        set_number(row, "sync_priority", replica->sync_priority);
        (void)json_array_append_new(rows, row);
    }
    return rows;
}

static bool is_streaming(const struct pg_probe_result *probe)
{
    return probe->receiver_alive && strcmp(probe->receiver_status, "streaming") == 0;
}

static void put_probe(const struct agent *agent, json_t *document)
{
    const struct pg_probe_result *probe = &agent->facts.probe;
    char stamp[64];
    json_t *xlog = json_object();

    stamp_of(probe->postmaster_start_ms, stamp, sizeof stamp);
    set_text(document, "postmaster_start_time", stamp);
    set_number(document, "server_version", probe->server_version);
    if (probe->role == PG_PRIMARY) {
        set_number(xlog, "location", (int64_t)probe->flush_lsn);
    } else {
        set_number(xlog, "received_location",
                   (int64_t)(probe->receive_lsn != 0 ? probe->receive_lsn : probe->replay_lsn));
        set_number(xlog, "replayed_location", (int64_t)probe->replay_lsn);
        if (probe->replay_time_ms > 0) {
            stamp_of(probe->replay_time_ms, stamp, sizeof stamp);
            set_text(xlog, "replayed_timestamp", stamp);
        } else {
            (void)json_object_set_new(xlog, "replayed_timestamp", json_null());
        }
        (void)json_object_set_new(xlog, "paused", json_boolean(probe->replay_paused));
        if (is_streaming(probe)) {
            set_text(document, "replication_state", "streaming");
        }
    }
    (void)json_object_set_new(document, "xlog", xlog);
    if (probe->timeline != 0) {
        set_number(document, "timeline", probe->timeline);
    } else {
        (void)json_object_set_new(document, "timeline", json_null());
    }
    if (probe->replica_count > 0) {
        (void)json_object_set_new(document, "replication", replication_rows(probe));
    }
    if (probe->pending_restart) {
        (void)json_object_set_new(document, "pending_restart", json_true());
    }
}

/* A standby that the key sync names while the mode is `mode`. */
static bool is_synchronous(const struct agent *agent, const struct ha_snapshot *s,
                           enum dynamic_synchronous mode)
{
    return agent->dynamic.synchronous_mode == mode && s->self.role == PG_STANDBY &&
           ha_sync_key_has(&s->cluster.sync, s->self.name) &&
           strcmp(s->cluster.sync.leader, s->self.name) != 0;
}

static bool has_answered(const struct agent *agent, const struct ha_snapshot *s)
{
    return s->self.run == HA_RUN_RUNNING && agent->facts.probe.asked_ms > 0;
}

/* Other than for a decision, an answer of before the standby was detached will do: Patroni's
 * members take one without a position for a member that is down, and do not wait for it. */
static bool is_fresh(const struct agent *agent, const struct ha_snapshot *s)
{
    const struct loop_facts *facts = &agent->facts;
    return s->self.probe_fresh ||
           (facts->probe_rc == 0 &&
            agent_mono_ms(agent) - facts->probe.asked_ms <= LOOP_PROBE_FRESH_MS);
}

/* It runs, says the postmaster; what it does, nobody could ask of late: unknown. */
static const char *state_of(const struct agent *agent, const struct ha_snapshot *s)
{
    return has_answered(agent, s) && !is_fresh(agent, s) ? "unknown" : ha_state_name(s);
}

static char *render_document(const struct agent *agent, const struct ha_snapshot *s)
{
    json_t *document = json_object();
    json_t *patroni = json_object();

    set_text(document, "state", state_of(agent, s));
    if (has_answered(agent, s) && is_fresh(agent, s)) {
        set_text(document, "role", s->self.role == PG_PRIMARY ? "primary" : "replica");
        put_probe(agent, document);
    } else {
        set_text(document, "role", ha_role_name(s));
    }
    if (is_synchronous(agent, s, DYNAMIC_SYNCHRONOUS_ON)) {
        (void)json_object_set_new(document, "sync_standby", json_true());
    }
    if (is_synchronous(agent, s, DYNAMIC_SYNCHRONOUS_QUORUM)) {
        (void)json_object_set_new(document, "quorum_standby", json_true());
    }
    if (s->settings.paused) {
        (void)json_object_set_new(document, "pause", json_true());
    }
    if (!s->cluster.known || s->cluster.leader[0] == '\0') {
        (void)json_object_set_new(document, "cluster_unlocked", json_true());
    }
    if (failsafe_is_active(agent)) {
        (void)json_object_set_new(document, "failsafe_mode_is_active", json_true());
    }
    set_number(document, "dcs_last_seen", agent->dcs_seen_wall_ms / 1000);
    if (json_object_size(agent->config->tags.published) > 0) {
        (void)json_object_set_new(document, "tags", json_deep_copy(agent->config->tags.published));
    }
    if (s->self.system_id[0] != '\0') {
        set_text(document, "database_system_identifier", s->self.system_id);
    }
    (void)json_object_set_new(document, "reports", json_true()); /* agent/ha/ha_peer.h */
    char trouble[HA_TROUBLE_BYTES];
    ha_trouble(s, trouble);
    if (trouble[0] != '\0') {
        set_text(document, "trouble", trouble);
    }
    if (agent->reload.error[0] != '\0') {
        set_text(document, "configuration_error", agent->reload.error);
    }
    set_text(patroni, "version", "4.1.4");
    set_text(patroni, "scope", agent->config->scope);
    set_text(patroni, "name", agent->config->name);
    (void)json_object_set_new(document, "patroni", patroni);
    char *text = json_dumps(document, JSON_TEXT);
    json_decref(document);
    return text;
}

/* NULL: it is not there, or not what it should be. */
static char *render_view(const struct agent *agent, const char *key, json_type type)
{
    json_t *value = agent->facts.view == NULL ? NULL : cluster_doc_key(agent->facts.view, key);
    char *text = value == NULL || json_typeof(value) != type ? NULL : json_dumps(value, JSON_TEXT);
    json_decref(value);
    return text;
}

static char *render_explain(void *arg)
{
    const struct agent *agent = arg;
    json_t *decisions = json_array();
    size_t first =
        agent->decision_count > LOOP_DECISIONS_MAX ? agent->decision_count - LOOP_DECISIONS_MAX : 0;

    for (size_t i = first; i < agent->decision_count; i++) {
        const struct loop_decision *decision = &agent->decisions[i % LOOP_DECISIONS_MAX];
        json_t *item = json_object();
        char stamp[64];
        stamp_of(decision->wall_ms, stamp, sizeof stamp);
        set_text(item, "time", stamp);
        set_text(item, "rule", decision->rule);
        set_text(item, "reason", decision->reason);
        set_text(item, "plan", decision->plan);
        set_text(item, "snapshot", decision->snapshot);
        set_text(item, "outcome", decision->outcome == NULL ? "under way" : decision->outcome);
        set_number(item, "repeats", decision->repeats);
        (void)json_array_append_new(decisions, item);
    }
    json_t *document = json_object();
    set_text(document, "name", agent->config->name);
    (void)json_object_set_new(document, "decisions", decisions);
    char *text = json_dumps(document, JSON_TEXT);
    json_decref(document);
    return text;
}

/* --- metrics ---------------------------------------------------------------------------------- */

static void put_instance_metrics(struct api_metrics *m, const struct agent *agent,
                                 const struct ha_snapshot *s)
{
    const struct pg_probe_result *probe = &agent->facts.probe;
    bool up = s->self.run == HA_RUN_RUNNING && probe->asked_ms > 0;
    bool primary = up && probe->role == PG_PRIMARY;
    bool replica = up && probe->role == PG_STANDBY;
    bool streaming = replica && is_streaming(probe);

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
                    "Value is 1 if this node is the standby_leader, 0 otherwise.", 0);
    api_metrics_add(m, "patroni_replica", "gauge",
                    "Value is 1 if this node is a replica, 0 otherwise.", replica);
    api_metrics_add(m, "patroni_sync_standby", "gauge",
                    "Value is 1 if this node is a sync standby, 0 otherwise.",
                    replica && is_synchronous(agent, s, DYNAMIC_SYNCHRONOUS_ON));
    api_metrics_add(m, "patroni_quorum_standby", "gauge",
                    "Value is 1 if this node is a quorum standby, 0 otherwise.",
                    replica && is_synchronous(agent, s, DYNAMIC_SYNCHRONOUS_QUORUM));
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
                    "Value is 1 if Postgres is replicating from archive, 0 otherwise.", 0);
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

static char *render_metrics(const struct agent *agent, const struct ha_snapshot *s)
{
    struct api_metrics m;
    char state[16];
    char states[API_METRICS_STATES_BYTES];
    int64_t margin_ms = s->holding.held ? s->holding.soft_lease_ms - s->now_lease_ms : 0;

    api_metrics_init(&m, agent->config->scope, agent->config->name);
    api_metrics_add_text(&m, "patroni_version", "Patroni semver without periods.", NULL, "040104");
    put_instance_metrics(&m, agent, s);
    api_metrics_states(states);
    (void)snprintf(state, sizeof state, "%d", api_metrics_state(state_of(agent, s)));
    api_metrics_add_text(&m, "patroni_postgres_state", "State of Postgres as a number.", states,
                         state);
    api_metrics_add(&m, "patroni_cluster_unlocked", "gauge",
                    "Value is 1 if the cluster is unlocked, 0 if locked.",
                    !s->cluster.known || s->cluster.leader[0] == '\0');
    api_metrics_add(&m, "patroni_failsafe_mode_is_active", "gauge",
                    "Value is 1 if failsafe mode is active, 0 if inactive.",
                    failsafe_is_active(agent));
    api_metrics_add(&m, "patroni_dcs_last_seen", "gauge",
                    "Epoch timestamp when DCS was last contacted successfully.",
                    (double)(agent->dcs_seen_wall_ms / 1000));
    api_metrics_add(&m, "patroni_is_paused", "gauge",
                    "Value is 1 if auto failover is disabled, 0 otherwise.", s->settings.paused);
    api_metrics_add(&m, "pgquorum_lease_held", "gauge",
                    "Value is 1 if this node holds the leader lease.", s->holding.held);
    api_metrics_add(&m, "pgquorum_lease_margin_seconds", "gauge",
                    "Time until the soft deadline of the leader lease, 0 if not held.",
                    (double)margin_ms / 1000.0);
    api_metrics_add(&m, "pgquorum_fence_armed", "gauge",
                    "Value is 1 if the fence will stop PostgreSQL when the lease runs out.",
                    s->fence.armed);
    if (agent->fence != NULL) {
        api_metrics_add(&m, "pgquorum_fence_kill_seconds", "gauge",
                        "How long the last kill by the fence took, -0.001 if there was none.",
                        (double)fence_client_status(agent->fence)->kill_ms / 1000.0);
    }
    put_health_metrics(&m, agent, s);
    api_metrics_add(&m, "pgquorum_decisions_total", "counter",
                    "Decisions of the HA core that changed something.",
                    (double)agent->decision_count);
    app_group_metrics(agent->group, &m);
    return api_metrics_take(&m);
}

static void give_picture(struct agent *agent, const struct ha_snapshot *s)
{
    const struct pg_probe_result *probe = &agent->facts.probe;
    struct api_status *status = api_status_new();

    status->lease_valid_until_ms = keeper_serves_until_ms(agent, s);
    status->running = s->self.run == HA_RUN_RUNNING && s->self.probe_fresh;
    status->writable =
        status->running && s->self.role == PG_PRIMARY && status->lease_valid_until_ms > 0;
    status->replica = status->running && s->self.role == PG_STANDBY;
    status->was_primary = s->self.role == PG_PRIMARY;
    status->streaming = status->replica && is_streaming(probe);
    status->paused = s->settings.paused;
    status->synchronous = s->settings.synchronous_mode;
    status->sync_standby = status->replica && is_synchronous(agent, s, DYNAMIC_SYNCHRONOUS_ON);
    status->quorum_standby =
        status->replica && is_synchronous(agent, s, DYNAMIC_SYNCHRONOUS_QUORUM);
    status->noloadbalance = agent->config->tags.noloadbalance;
    status->replayed_lsn = probe->replay_lsn;
    status->received_lsn = probe->receive_lsn;
    status->leader_lsn = s->cluster.status_known ? s->cluster.status_optime : 0;
    status->maximum_lag_bytes = s->settings.maximum_lag_bytes;
    status->ttl_ms = s->settings.ttl_ms;
    status->loop_wait_ms = s->settings.loop_wait_ms;
    status->cycle_mono_ms = agent->cycle_mono_ms;
    status->tags = json_deep_copy(agent->config->tags.published);
    status->cluster = s->cluster;
    status->initialized = s->cluster.known;
    status->document = render_document(agent, s);
    if (agent->facts.view != NULL) {
        json_t *cluster = cluster_doc(agent->facts.view, agent->config->scope);
        status->cluster_document = json_dumps(cluster, JSON_TEXT);
        json_decref(cluster);
    }
    status->history = render_view(agent, "history", JSON_ARRAY);
    status->config = render_view(agent, "config", JSON_OBJECT);
    status->failsafe = render_view(agent, "failsafe", JSON_OBJECT);
    status->metrics = render_metrics(agent, s);
    api_server_publish(agent->api, status);
    api_status_unref(status);
}

static int answer_failsafe(void *arg, const json_t *question, uint64_t *ret_lsn, struct error *err)
{
    return failsafe_answer(arg, question, ret_lsn, err);
}

int app_api_start(struct agent *agent, struct error *err)
{
    struct api_ports ports = {.clock = agent->clock,
                              .change_config = change_config,
                              .write_failover = write_failover,
                              .failsafe = answer_failsafe,
                              .explain = render_explain,
                              .arg = agent};
    struct net_addr listen = {.port = agent->config->restapi_listen.port};
    const char *host = agent->config->restapi_listen.host;

    (void)snprintf(listen.host, sizeof listen.host, "%s", host[0] == '\0' ? "*" : host);
    int rc = api_server_start(agent->loop, &listen, &ports, &agent->api, err);
    if (rc == 0) {
        agent->on_picture = give_picture;
        log_info("REST listens on %s", agent->config->restapi_listen.text);
    }
    return rc;
}

void app_api_stop(struct agent *agent)
{
    agent->on_picture = NULL;
    api_server_stop(agent->api, NULL, NULL);
    agent->api = NULL;
}
