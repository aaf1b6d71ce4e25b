/* The REST server's side of the loop: renders the immutable picture it serves from, and carries out
 * what it may ask for. */
#include "agent/app_api.h"

#include "agent/api/api_server.h"
#include "agent/app_dry_run.h"
#include "agent/app_json.h"
#include "agent/app_metrics.h"
#include "agent/app_shown.h"
#include "agent/app_ui.h"
#include "agent/cli/cluster_doc.h"
#include "agent/ha/ha_able.h"
#include "agent/ha/ha_cluster.h"
#include "agent/ha/ha_remote.h"
#include "agent/ha/ha_watchdog.h"
#include "agent/loop/failsafe.h"
#include "agent/loop/logical.h"
#include "agent/loop/loop.h"
#include "agent/loop/reinit.h"
#include "agent/loop/restart.h"
#include "agent/version.h"
#include "base/log.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { TRIAL_MS = 5000 }; /* PostgreSQL is asked about settings for so long */

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

static int check_size(const json_t *document, struct error *err)
{
    size_t bytes = json_dumpb(document, NULL, 0, JSON_COMPACT | APP_JSON_TEXT);
    return bytes <= API_CONFIG_BYTES_MAX
               ? 0
               : error_set(err, ERR_LIMIT, "the configuration has %zu bytes, at most %zu", bytes,
                           API_CONFIG_BYTES_MAX);
}

/* The document is at fault (ERR_INVALID), or the store (anything else). */
static int put_config(struct agent *agent, const json_t *document, int64_t compare,
                      api_written written, void *ctx, struct error *err)
{
    char *text = json_dumps(document, JSON_COMPACT | APP_JSON_TEXT);
    int rc = 0;

    if (text == NULL) {
        rc = error_set(err, ERR_INVALID, "the configuration cannot be written as JSON");
    } else {
        rc = put(agent, "config", text, compare, written, ctx, err);
        rc = rc == ERR_LIMIT ? ERR_BUSY : rc; /* the store's queue is full */
    }
    mem_free(text);
    return rc;
}

/* A change that PostgreSQL is asked about, before it is written. */
struct config_trial {
    struct agent *agent;
    json_t *merged;
    int64_t compare;
    api_written written;
    void *ctx;
};

/* What PostgreSQL could not be asked about each member sees for itself. */
static void on_tried(void *arg, int rc, const struct error *why)
{
    struct config_trial *trial = arg;
    struct error err = {0};
    bool goes_on = rc != ERR_INVALID && rc != ERR_CANCELED && !trial->agent->stopping;

    if (goes_on) {
        rc = put_config(trial->agent, trial->merged, trial->compare, trial->written, trial->ctx,
                        &err);
        why = &err;
    } else if (rc == 0) {
        rc = ERR_CANCELED;
    }
    if (!goes_on || rc != 0) {
        trial->written(trial->ctx, rc, 0, why);
    }
    json_decref(trial->merged);
    mem_free(trial);
}

/* Takes out of a mapping below `postgresql` what was there with the same value already: it does not
 * block another change. True if something is left. */
static bool keep_changes(json_t *document, const json_t *before, const char *key)
{
    json_t *now = json_object_get(json_object_get(document, "postgresql"), key);
    const json_t *old = json_object_get(json_object_get(before, "postgresql"), key);
    const char *name;
    json_t *value;
    void *next;
    json_object_foreach_safe(now, next, name, value)
    {
        if (json_equal(value, json_object_get(old, name))) {
            (void)json_object_del(now, name);
        }
    }
    return json_object_size(now) > 0;
}

/* The file that the change names, and that this member would take; what stands there already, be it
 * wrong, does not block another change. NULL: none. */
static const char *changed_custom_conf(const struct agent *agent, const json_t *changes,
                                       const json_t *before)
{
    const json_t *now = json_object_get(json_object_get(changes, "postgresql"), "custom_conf");
    const json_t *old = json_object_get(json_object_get(before, "postgresql"), "custom_conf");
    bool ours = agent->config->postgresql.custom_conf != NULL;
    return ours || json_equal(now, old) ? NULL : json_string_value(now);
}

/* 0: `written` comes. ERR_INVALID: it is refused. Anything else: PostgreSQL is not asked. */
static int try_config(struct agent *agent, const json_t *before, struct config_trial *trial,
                      struct error *err)
{
    struct dynamic_config dynamic = {0};
    struct config_effective effective = {0};
    struct dynamic_parameters parameters = {0};
    struct pg_reload wanted;
    char warning[DYNAMIC_WARNING_BYTES];
    json_t *changes = json_deep_copy(trial->merged);
    json_t *none = json_object();
    const char *custom_conf = changed_custom_conf(agent, changes, before);
    bool asks = keep_changes(changes, before, "parameters") || custom_conf != NULL;
    asks = keep_changes(changes, before, "recovery_conf") || asks;
    int rc = agent->pg == NULL || !asks ? ERR_UNSUPPORTED : 0;

    rc = rc != 0 ? rc
                 : dynamic_config_parse(changes, config_ttl_min_ms(agent->config), &dynamic,
                                        warning, err);
    if (rc == 0) {
        config_effective_make(&agent->config->postgresql, json_object_get(changes, "postgresql"),
                              &effective, NULL);
        effective.postgresql.parameters = none; /* the file's are no part of the change */
        effective.postgresql.custom_conf = custom_conf;
        rc = parameters_wanted(&dynamic, &effective.postgresql, &parameters, &wanted, warning, err);
    }
    rc =
        rc != 0 ? rc : pg_instance_try_settings(agent->pg, &wanted, TRIAL_MS, on_tried, trial, err);
    dynamic_parameters_free(&parameters);
    config_effective_free(&effective);
    dynamic_config_free(&dynamic);
    json_decref(none);
    json_decref(changes);
    return rc;
}

/* The document is right as far as we can tell. */
static int write_config(struct agent *agent, const json_t *before, struct config_trial given,
                        struct error *err)
{
    struct config_trial *trial = mem_new(struct config_trial);
    *trial = given;
    json_incref(trial->merged);
    int rc = try_config(agent, before, trial, err);
    if (rc == 0) {
        return 0;
    }
    json_decref(trial->merged);
    mem_free(trial);
    return rc == ERR_INVALID
               ? rc
               : put_config(agent, given.merged, given.compare, given.written, given.ctx, err);
}

static int change_config(void *arg, const json_t *patch, bool replace, api_written written,
                         void *ctx, json_t **ret_merged, bool *ret_unchanged, struct error *err)
{
    struct agent *agent = arg;
    const struct dcs_kv *kv =
        agent->facts.view == NULL ? NULL : dcs_view_get(agent->facts.view, "config");
    json_t *before = kv == NULL ? NULL : json_loadb(kv->value, kv->value_len, 0, NULL);
    struct config_trial trial = {.agent = agent,
                                 .compare = kv == NULL ? DCS_ABSENT : kv->mod_revision,
                                 .written = written,
                                 .ctx = ctx};
    bool changed = true;
    int rc = 0;

    if (!json_is_object(before) && !replace) {
        json_decref(before);
        return error_set(err, ERR_NOT_FOUND, "the cluster has no configuration yet");
    }
    if (replace) {
        trial.merged = json_deep_copy(patch);
        changed = !json_equal(before, trial.merged);
    } else {
        rc = dynamic_config_merge(before, patch, &trial.merged, &changed, err);
    }
    if (rc == 0 && changed) {
        rc = dynamic_config_validate(trial.merged, config_ttl_min_ms(agent->config), before, err);
        rc = rc != 0 ? rc : check_size(trial.merged, err); /* before PostgreSQL is asked */
    }
    if (rc == 0 && changed) {
        rc = write_config(agent, before, trial, err);
    }
    json_decref(before);
    if (rc != 0) {
        json_decref(trial.merged);
        return rc;
    }
    *ret_merged = trial.merged;
    *ret_unchanged = !changed;
    return 0;
}

static int write_failover(void *arg, const char *value, int64_t revision, api_written written,
                          void *ctx, struct error *err)
{
    return put(arg, "failover", value, revision < 0 ? DCS_ANY : revision, written, ctx, err);
}

static struct restart_wish wish_of(const struct api_restart *restart)
{
    return (struct restart_wish){.filter = restart->filter,
                                 .timeout_ms = restart->timeout_ms,
                                 .at_wall_ms = restart->at_wall_ms,
                                 .object = restart->object};
}

static int order_restart(void *arg, const struct api_restart *restart, unsigned *ret_number,
                         int64_t *ret_wait_ms, struct error *err)
{
    struct restart_wish wish = wish_of(restart);
    return restart_order(arg, &wish, ret_number, ret_wait_ms, err);
}

static int schedule_restart(void *arg, const struct api_restart *restart, struct error *err)
{
    struct restart_wish wish = wish_of(restart);
    return restart_schedule(arg, &wish, err);
}

static bool unschedule_restart(void *arg)
{
    return restart_unschedule(arg);
}

static int reinitialize(void *arg, bool force, bool from_leader, struct error *err)
{
    return reinit_order(arg, force, from_leader, err);
}

/* --- the picture ------------------------------------------------------------------------------ */

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
        app_json_set_text(row, "usename", replica->user);
        app_json_set_text(row, "application_name", replica->application_name);
        app_json_set_text(row, "client_addr", replica->client_addr);
        app_json_set_text(row, "state", replica->state);
        app_json_set_text(row, "sync_state", replica->sync_state);
        app_json_set_number(row, "sync_priority", replica->sync_priority);
        (void)json_array_append_new(rows, row);
    }
    return rows;
}

static void put_probe(const struct agent *agent, json_t *document)
{
    const struct pg_probe_result *probe = &agent->facts.probe;
    char stamp[64];
    json_t *xlog = json_object();

    stamp_of(probe->postmaster_start_ms, stamp, sizeof stamp);
    app_json_set_text(document, "postmaster_start_time", stamp);
    app_json_set_number(document, "server_version", probe->server_version);
    if (probe->role == PG_PRIMARY) {
        app_json_set_number(xlog, "location", (int64_t)probe->flush_lsn);
    } else {
        app_json_set_number(
            xlog, "received_location",
            (int64_t)(probe->receive_lsn != 0 ? probe->receive_lsn : probe->replay_lsn));
        app_json_set_number(xlog, "replayed_location", (int64_t)probe->replay_lsn);
        if (probe->replay_time_ms > 0) {
            stamp_of(probe->replay_time_ms, stamp, sizeof stamp);
            app_json_set_text(xlog, "replayed_timestamp", stamp);
        } else {
            (void)json_object_set_new(xlog, "replayed_timestamp", json_null());
        }
        (void)json_object_set_new(xlog, "paused", json_boolean(probe->replay_paused));
        const char *replication = publish_replication_state(agent);
        if (replication != NULL) {
            app_json_set_text(document, "replication_state", replication);
        }
    }
    (void)json_object_set_new(document, "xlog", xlog);
    if (probe->timeline != 0) {
        app_json_set_number(document, "timeline", probe->timeline);
    } else {
        (void)json_object_set_new(document, "timeline", json_null());
    }
    if (probe->replica_count > 0) {
        (void)json_object_set_new(document, "replication", replication_rows(probe));
    }
    if (probe->pending_restart) {
        (void)json_object_set_new(document, "pending_restart", json_true());
        (void)json_object_set_new(document, "pending_restart_reason",
                                  publish_pending_reason(probe));
    }
}

/* Not one of Patroni's. */
static void put_copy(const struct agent *agent, json_t *document)
{
    const struct pg_copy_progress *progress = &agent->facts.copy;

    if (agent->facts.copying) {
        json_t *copy = json_object();
        app_json_set_number(copy, "percent", progress->percent);
        app_json_set_number(copy, "bytes", (int64_t)progress->bytes);
        app_json_set_number(copy, "total_bytes", (int64_t)progress->total_bytes);
        (void)json_object_set_new(document, "copy", copy);
    }
}

/* Likewise: which release this is, since when, and whether the fence is of the one before. */
static void put_agent(const struct agent *agent, json_t *document)
{
    char stamp[64];
    json_t *program = json_object();
    stamp_of(agent->started_wall_ms, stamp, sizeof stamp);
    app_json_set_text(program, "version", PGQUORUM_VERSION);
    app_json_set_text(program, "start_time", stamp);
    if (agent->fence_is_old) {
        (void)json_object_set_new(program, "fence_of_before", json_true());
    }
    (void)json_object_set_new(document, "agent", program);
}

static char *render_document(const struct agent *agent, const struct ha_snapshot *s)
{
    json_t *document = json_object();
    json_t *patroni = json_object();

    app_json_set_text(document, "state", app_shown_state(agent, s));
    if (app_shown_answered(agent, s)) {
        app_json_set_text(document, "role", app_shown_role(s));
        put_probe(agent, document);
    } else {
        app_json_set_text(document, "role", ha_role_name(s));
    }
    if (app_shown_synchronous(agent, s, DYNAMIC_SYNCHRONOUS_ON)) {
        (void)json_object_set_new(document, "sync_standby", json_true());
    }
    if (app_shown_synchronous(agent, s, DYNAMIC_SYNCHRONOUS_QUORUM)) {
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
    app_json_set_number(document, "dcs_last_seen", agent->dcs_seen_wall_ms / 1000);
    if (json_object_size(agent->config->tags.published) > 0) {
        (void)json_object_set_new(document, "tags", json_deep_copy(agent->config->tags.published));
    }
    if (s->self.system_id[0] != '\0') {
        app_json_set_text(document, "database_system_identifier", s->self.system_id);
    }
    (void)json_object_set_new(document, "reports", json_true()); /* agent/ha/ha_peer.h */
    if (ha_watchdog_bars(s)) {
        (void)json_object_set_new(document, "watchdog_failed", json_true());
    }
    if (agent->fence != NULL && fence_client_status(agent->fence)->silent) {
        (void)json_object_set_new(document, "fence_silent", json_true());
    }
    char trouble[HA_TROUBLE_BYTES];
    ha_trouble(s, trouble);
    if (trouble[0] != '\0') {
        app_json_set_text(document, "trouble", trouble);
    }
    put_copy(agent, document);
    const struct loop_reload *reload = &agent->reload;
    if (reload->file_error[0] != '\0' || reload->error[0] != '\0') {
        app_json_set_text(document, "configuration_error",
                          reload->file_error[0] != '\0' ? reload->file_error : reload->error);
    }
    json_t *restart = restart_shown(agent, false);
    if (restart != NULL) {
        (void)json_object_set_new(document, "scheduled_restart", restart);
    }
    put_agent(agent, document);
    app_json_set_text(patroni, "version", "4.1.4");
    app_json_set_text(patroni, "scope", agent->config->scope);
    app_json_set_text(patroni, "name", agent->config->name);
    (void)json_object_set_new(document, "patroni", patroni);
    char *text = json_dumps(document, APP_JSON_TEXT);
    json_decref(document);
    return text;
}

/* NULL: it is not there, or not what it should be. */
static char *render_view(const struct agent *agent, const char *key, json_type type)
{
    json_t *value = agent->facts.view == NULL ? NULL : cluster_doc_key(agent->facts.view, key);
    char *text =
        value == NULL || json_typeof(value) != type ? NULL : json_dumps(value, APP_JSON_TEXT);
    json_decref(value);
    return text;
}

/* Those of the configuration that a failover would lose, and why. */
static json_t *logical_faults(const struct agent *agent)
{
    json_t *faults = json_array();
    for (size_t i = 0; i < agent->logical.count; i++) {
        const char *name = agent->logical.items[i].name;
        const char *fault = logical_fault(agent, name);
        if (fault != NULL) {
            json_t *item = json_object();
            app_json_set_text(item, "name", name);
            app_json_set_text(item, "fault", fault);
            (void)json_array_append_new(faults, item);
        }
    }
    return faults;
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
        app_json_set_text(item, "time", stamp);
        app_json_set_decision(item, decision, true);
        (void)json_array_append_new(decisions, item);
    }
    json_t *document = json_object();
    app_json_set_text(document, "name", agent->config->name);
    (void)json_object_set_new(document, "decisions", decisions);
    json_t *faults = logical_faults(agent);
    if (json_array_size(faults) > 0) {
        (void)json_object_set(document, "logical_slots", faults);
    }
    json_decref(faults);
    put_copy(agent, document);
    char *text = json_dumps(document, APP_JSON_TEXT);
    json_decref(document);
    return text;
}

static char *render_metrics(void *arg)
{
    const struct agent *agent = arg;
    return app_metrics_render(agent, agent->shown);
}

static char *render_ui(void *arg)
{
    const struct agent *agent = arg;
    return app_ui_render(agent, agent->shown);
}

static void give_picture(struct agent *agent, const struct ha_snapshot *s)
{
    const struct pg_probe_result *probe = &agent->facts.probe;
    struct api_status *status = api_status_new();

    *agent->shown = *s;
    status->lease_valid_until_ms = keeper_serves_until_ms(agent, s);
    status->leads_standby_until_ms =
        ha_leads_standby_cluster(s) && agent->lease.held ? agent->lease.soft_ms : 0;
    status->running = s->self.run == HA_RUN_RUNNING && s->self.probe_fresh;
    status->writable =
        status->running && s->self.role == PG_PRIMARY && status->lease_valid_until_ms > 0;
    status->replica = status->running && s->self.role == PG_STANDBY;
    status->was_primary = s->self.role == PG_PRIMARY;
    status->streaming = status->replica && app_shown_streaming(probe);
    status->archive_recovery = status->replica && app_shown_archive(agent);
    status->paused = s->settings.paused;
    status->synchronous = s->settings.synchronous_mode;
    status->sync_standby =
        status->replica && app_shown_synchronous(agent, s, DYNAMIC_SYNCHRONOUS_ON);
    status->quorum_standby =
        status->replica && app_shown_synchronous(agent, s, DYNAMIC_SYNCHRONOUS_QUORUM);
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
    status->restart_ended = agent->restart.ended;
    status->restart_done = agent->restart.done;
    (void)snprintf(status->restart_text, sizeof status->restart_text, "%s", agent->restart.outcome);
    status->initialized = s->cluster.known;
    status->document = render_document(agent, s);
    if (agent->facts.view != NULL) {
        json_t *cluster = cluster_doc(agent->facts.view, agent->config->scope);
        status->cluster_document = json_dumps(cluster, APP_JSON_TEXT);
        json_decref(cluster);
    }
    status->history = render_view(agent, "history", JSON_ARRAY);
    status->config = render_view(agent, "config", JSON_OBJECT);
    status->failsafe = render_view(agent, "failsafe", JSON_OBJECT);
    api_server_publish(agent->api, status);
    api_status_unref(status);
}

static int answer_failsafe(void *arg, const json_t *question, uint64_t *ret_lsn, struct error *err)
{
    return failsafe_answer(arg, question, ret_lsn, err);
}

static void tell_refused(void *arg, const char *text)
{
    (void)arg;
    log_warning("restapi: %s", text);
}

static int ask_reexec(void *arg, bool dry_run, struct error *err)
{
    struct agent *agent = arg;
    return agent->on_reexec != NULL
               ? agent->on_reexec(agent, dry_run, err)
               : error_set(err, ERR_UNSUPPORTED, "this agent cannot be exchanged");
}

static void ask_reload(void *arg)
{
    struct agent *agent = arg;
    if (agent->on_reload != NULL) {
        agent->on_reload(agent);
    }
}

int app_api_start(struct agent *agent, struct error *err)
{
    struct api_ports ports = {.clock = agent->clock,
                              .change_config = change_config,
                              .write_failover = write_failover,
                              .restart = order_restart,
                              .schedule_restart = schedule_restart,
                              .unschedule_restart = unschedule_restart,
                              .reinitialize = reinitialize,
                              .failsafe = answer_failsafe,
                              .reload = ask_reload,
                              .reexec = ask_reexec,
                              .refused = tell_refused,
                              .explain = render_explain,
                              .ui = render_ui,
                              .dry_run = app_dry_run,
                              .metrics = render_metrics,
                              .arg = agent};
    struct net_addr listen = {.port = agent->config->restapi_listen.port};
    const char *host = agent->config->restapi_listen.host;

    (void)snprintf(listen.host, sizeof listen.host, "%s", host[0] == '\0' ? "*" : host);
    int rc = api_server_start(agent->loop, &listen, &ports, &agent->api, err);
    if (rc == 0) {
        agent->shown = mem_new(struct ha_snapshot);
        ha_snapshot_init(agent->shown);
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
    mem_free(agent->shown);
    agent->shown = NULL;
}
