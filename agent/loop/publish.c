/* Tells the others what this node is: its member key, and the values of `status` and `history`, in
 * Patroni's layout (docs/architecture.md lists the keys). What changes with every write of a user
 * is told at most once per loop_wait; what changes the picture is told at once. */
#include "agent/loop/loop.h"

#include "agent/ha/ha_able.h"
#include "agent/ha/ha_facts.h"
#include "agent/ha/ha_partners.h"
#include "agent/loop/commands.h"
#include "agent/loop/namesake.h"
#include "agent/loop/remote.h"
#include "agent/loop/restart.h"
#include "base/assert.h"
#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "pgctl/pg_parse.h"
#include "raft/store.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

/* Peers of Patroni's parse it as dotted integers and enable features by it. */
#define PUBLISHED_VERSION "4.1.4"

static void put_text(json_t *object, const char *key, const char *text)
{
    (void)json_object_set_new(object, key, json_string(text));
}

static void put_number(json_t *object, const char *key, uint64_t value)
{
    (void)json_object_set_new(object, key, json_integer((json_int_t)value));
}

_Static_assert(CONFIG_URL_BYTES_MAX < HA_URL_BYTES, "what is published is not cut");

/* Fields that change all the time; a change in them alone is not urgent. */
static void put_positions(const struct agent *agent, json_t *member)
{
    const struct pg_probe_result *probe = &agent->facts.probe;

    if (agent->facts.run != HA_RUN_RUNNING || probe->asked_ms == 0) {
        return;
    }
    if (probe->role == PG_PRIMARY) {
        put_number(member, "xlog_location", probe->flush_lsn);
        return;
    }
    put_number(member, "xlog_location",
               probe->receive_lsn > probe->replay_lsn ? probe->receive_lsn : probe->replay_lsn);
    if (probe->receive_lsn != 0) {
        put_number(member, "receive_lsn", probe->receive_lsn);
    }
    if (probe->replay_lsn != 0) {
        put_number(member, "replay_lsn", probe->replay_lsn);
    }
}

const char *publish_replication_state(const struct agent *agent)
{
    const struct pg_probe_result *probe = &agent->facts.probe;
    const struct pg_parameters *recovery = &agent_postgresql(agent)->recovery_conf;

    if (probe->role != PG_STANDBY) {
        return NULL;
    }
    if (probe->receiver_alive && strcmp(probe->receiver_status, "streaming") == 0) {
        return "streaming";
    }
    if (remote_has_archive(agent)) {
        return "in archive recovery";
    }
    for (size_t i = 0; i < recovery->count; i++) {
        if (strcasecmp(recovery->items[i].name, "restore_command") == 0) {
            return "in archive recovery";
        }
    }
    return NULL;
}

json_t *publish_pending_reason(const struct pg_probe_result *probe)
{
    json_t *reason = json_object();
    for (size_t i = 0; i < probe->pending_count; i++) {
        const struct pg_waiting *pending = &probe->pending[i];
        json_t *values = json_object();
        put_text(values, "old_value", pending->old_value);
        put_text(values, "new_value", pending->new_value);
        (void)json_object_set_new(reason, pending->name, values);
    }
    return reason;
}

void publish_urls(const struct agent *agent, char *ret_conn_url, char *ret_api_url)
{
    const struct config *config = agent->config;
    (void)snprintf(ret_conn_url, HA_URL_BYTES, "postgres://%s/%s", config->postgresql.connect.text,
                   agent_postgresql(agent)->database);
    (void)snprintf(ret_api_url, HA_URL_BYTES, "%s://%s/patroni",
                   config->restapi.tls.certfile != NULL ? "https" : "http",
                   config->restapi_connect.text);
}

/* None of these is one of Patroni's. */
static void put_trouble(const struct agent *agent, const struct ha_snapshot *s, json_t *member)
{
    char trouble[HA_TROUBLE_BYTES];
    ha_trouble(s, trouble);
    if (trouble[0] != '\0') {
        put_text(member, "trouble", trouble);
    }
    enum pg_disk_kind disk = disk_published(agent);
    if (ha_disk_is_low_or_worse(disk)) {
        put_text(member, "disk", ha_disk_name(disk));
    }
    if (s->fence.silent) {
        (void)json_object_set_new(member, "fence_silent", json_true());
    }
    if (agent->facts.disk_answers > 0) {
        put_number(member, "disk_answers", (uint64_t)agent->facts.disk_answers);
    }
}

/* Nor of these: who may have the data of a store that knows of none, and whose are the newest. Of a
 * server that runs `xlog_location` says how far it is. */
static void put_data(const struct agent *agent, const struct ha_snapshot *s, json_t *member)
{
    if (ha_is_initialized(s) && !ha_nobody_has_led(s)) {
        return;
    }
    put_text(member, "data", ha_data_name(ha_data_own(s)));
    if (ha_data_own(s) != HA_DATA_VALID) {
        return;
    }
    put_text(member, "data_system_id", s->self.system_id);
    if (ha_data_is_of_primary(s)) {
        (void)json_object_set_new(member, "data_of_primary", json_true());
    }
    put_number(member, "data_timeline", ha_data_timeline(s));
    if (s->self.run != HA_RUN_RUNNING) {
        put_number(member, "data_lsn", agent->facts.shutdown.lsn);
    }
}

static json_t *stable_part(const struct agent *agent, const struct ha_snapshot *s)
{
    const struct config *config = agent->config;
    const struct pg_probe_result *probe = &agent->facts.probe;
    json_t *member = json_object();
    char conn_url[HA_URL_BYTES];
    char api_url[HA_URL_BYTES];

    publish_urls(agent, conn_url, api_url);
    put_text(member, "conn_url", conn_url);
    put_text(member, "api_url", api_url);
    put_text(member, "state", ha_state_name(s));
    put_text(member, "role", ha_role_name(s));
    put_text(member, "version", PUBLISHED_VERSION);
    (void)json_object_set_new(member, "reports", json_true()); /* not one of Patroni's */
    if (agent->instance[0] != '\0') {                          /* nor this */
        put_text(member, "instance", agent->instance);
    }
    put_data(agent, s, member);
    if (s->self.directory_known && s->self.directory == PG_DIR_VALID &&
        agent->facts.inspection.hba_missing) { /* nor this: whoever is copied waits */
        (void)json_object_set_new(member, "hba_missing", json_true());
    }
    if (agent->facts.run == HA_RUN_RUNNING && probe->asked_ms > 0) {
        const char *replication = publish_replication_state(agent);
        if (replication != NULL) {
            put_text(member, "replication_state", replication);
        }
        if (probe->timeline != 0) {
            put_number(member, "timeline", probe->timeline);
        }
        if (probe->role == PG_PRIMARY && probe->control_timeline < probe->timeline) {
            (void)json_object_set_new(member, "checkpoint_after_promote", json_false());
        }
        if (probe->pending_restart) {
            (void)json_object_set_new(member, "pending_restart", json_true());
            (void)json_object_set_new(member, "pending_restart_reason",
                                      publish_pending_reason(probe));
        }
    }
    json_t *restart = restart_shown(agent, true);
    if (restart != NULL) {
        (void)json_object_set_new(member, "scheduled_restart", restart);
    }
    if (ha_shows_pause(s)) {
        (void)json_object_set_new(member, "pause", json_true());
    }
    put_trouble(agent, s, member);
    json_t *tags = json_deep_copy(config->tags.published);
    if (ha_sheds_sync(s)) {
        /* It is about to stop: commits are to wait for somebody else. */
        (void)json_object_set_new(tags, "nosync", json_true());
        (void)json_object_set_new(tags, "sync_priority", json_integer(0));
    }
    if (json_object_size(tags) > 0) {
        (void)json_object_set(member, "tags", tags);
    }
    json_decref(tags);
    return member;
}

static void arm(struct agent *agent, int64_t wait_ms);

static void on_published(void *arg, const struct dcs_result *result, const struct error *err)
{
    struct agent *agent = arg;

    agent->publishing = false;
    if (result->rc != 0) {
        mem_free(agent->published);
        agent->published = NULL;
        if (result->rc != ERR_CANCELED) {
            log_debug("publishing the member key: %s, retrying",
                      err == NULL ? err_name(result->rc) : err->text);
        }
    }
    arm(agent, result->rc != 0      ? LOOP_RETRY_MS
               : agent->publish_due ? 0
                                    : agent->dynamic.loop_wait_ms);
    agent->publish_due = false;
}

static void publish(struct agent *agent)
{
    struct ha_snapshot *s = mem_new(struct ha_snapshot);
    struct error err = {0};
    int64_t now = agent_mono_ms(agent);

    facts_snapshot(agent, s);
    commands_look(agent, s);
    if (agent->on_picture != NULL) {
        agent->on_picture(agent, s);
    }
    if (!namesake_is_free(agent)) { /* it is asked again when the name is */
        mem_free(s);
        return;
    }
    json_t *member = stable_part(agent, s);
    mem_free(s);
    char *stable = json_dumps(member, JSON_COMPACT | JSON_ENSURE_ASCII);
    ASSERT(stable != NULL);
    /* With a longer loop_wait the lease of the shorter ttl would run out before the next time. */
    bool same = agent->published != NULL && strcmp(agent->published, stable) == 0 &&
                agent->published_ttl_ms == agent->dynamic.ttl_ms;
    if (agent->publishing ||
        (same && now - agent->published_mono_ms < agent->dynamic.loop_wait_ms)) {
        if (!agent->publishing) {
            arm(agent, agent->dynamic.loop_wait_ms - (now - agent->published_mono_ms));
        }
        agent->publish_due = agent->publish_due || !same;
        mem_free(stable);
        json_decref(member);
        return;
    }
    put_positions(agent, member);
    char *value = json_dumps(member, JSON_COMPACT | JSON_ENSURE_ASCII);
    ASSERT(value != NULL);
    json_decref(member);
    int rc =
        agent->dcs->ops->put_member(agent->dcs, agent->config->name, value, agent->dynamic.ttl_ms,
                                    LOOP_DCS_MS, on_published, agent, &err);
    mem_free(value);
    mem_free(agent->published);
    agent->published = stable;
    agent->published_mono_ms = now;
    agent->published_ttl_ms = agent->dynamic.ttl_ms;
    agent->publishing = rc == 0;
    if (rc != 0) {
        mem_free(agent->published);
        agent->published = NULL;
        arm(agent, agent->dynamic.loop_wait_ms);
    }
}

static void on_publish_timer(uv_timer_t *timer)
{
    publish(timer->data);
}

static void arm(struct agent *agent, int64_t wait_ms)
{
    if (!uv_is_closing((uv_handle_t *)&agent->publish_timer) && !agent->stopping) {
        (void)uv_timer_start(&agent->publish_timer, on_publish_timer,
                             wait_ms < 0 ? 0 : (uint64_t)wait_ms, 0);
    }
}

void publish_request(struct agent *agent)
{
    arm(agent, 0);
}

void publish_copy(void *arg, const struct pg_copy_progress *progress)
{
    struct agent *agent = arg;
    agent->facts.copying = progress != NULL;
    if (progress != NULL) {
        agent->facts.copy = *progress;
    }
    publish_request(agent);
}

/* --- status and history ----------------------------------------------------------------------- */

char *publish_status_value(struct agent *agent, uint64_t lsn, bool force)
{
    int64_t now = agent_mono_ms(agent);
    const struct pg_probe_result *probe = &agent->facts.probe;

    if (!force && agent->status_written != NULL &&
        now - agent->status_mono_ms < agent->dynamic.loop_wait_ms) {
        return NULL;
    }
    json_t *status = json_object();
    json_t *slots = json_object();
    put_number(status, "optime", lsn);
    for (size_t i = 0; i < probe->slot_count; i++) {
        const struct pg_slot *slot = &probe->slots[i];
        uint64_t at = slot->physical ? slot->restart_lsn : slot->confirmed_lsn;
        if (slot->restart_lsn != 0 && at != 0) {
            put_number(slots, slot->name, at);
        }
    }
    char own[PG_NAME_BYTES];
    pg_slot_name(agent->config->name, own);
    put_number(slots, own, lsn);
    (void)json_object_set_new(status, "slots", slots);
    char *value = json_dumps(status, JSON_COMPACT | JSON_ENSURE_ASCII);
    ASSERT(value != NULL);
    json_decref(status);
    if (!force && agent->status_written != NULL && strcmp(value, agent->status_written) == 0) {
        mem_free(value);
        return NULL;
    }
    mem_free(agent->status_written);
    agent->status_written = mem_strdup(value);
    agent->status_mono_ms = now;
    return value;
}

static json_t *history_line(const struct agent *agent, const struct pg_history_entry *entry,
                            bool last)
{
    char stamp[40];
    int64_t wall_ms = clock_wall_ms(agent->clock);
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm utc;
    json_t *line = json_array();

    (void)json_array_append_new(line, json_integer((json_int_t)entry->timeline));
    (void)json_array_append_new(line, json_integer((json_int_t)entry->switch_lsn));
    (void)json_array_append_new(line, json_string("no recovery target specified"));
    if (last) {
        (void)gmtime_r(&seconds, &utc);
        size_t len = strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &utc);
        (void)snprintf(stamp + len, sizeof stamp - len, ".%03d+00:00", (int)(wall_ms % 1000));
        (void)json_array_append_new(line, json_string(stamp));
        (void)json_array_append_new(line, json_string(agent->config->name));
    }
    return line;
}

/* A line has a timeline, an LSN, two fixed texts, and a name that JSON may escape. */
_Static_assert(PG_HISTORY_MAX *(128 + 6 * HA_NAME_BYTES) <= STORE_VALUE_BYTES_MAX,
               "the longest history fits into the store");

char *publish_history_value(const struct agent *agent, const struct pg_history *history)
{
    const struct dcs_kv *kv = dcs_view_get(agent->facts.view, "history");
    json_t *old = kv == NULL ? NULL : json_loadb(kv->value, kv->value_len, 0, NULL);
    json_t *lines = json_array();

    for (size_t i = 0; i < history->count; i++) {
        const struct pg_history_entry *entry = &history->entries[i];
        json_t *known = NULL;
        size_t at = 0;
        json_t *line = NULL;
        json_array_foreach(old, at, line)
        {
            if (json_integer_value(json_array_get(line, 0)) == (json_int_t)entry->timeline &&
                json_integer_value(json_array_get(line, 1)) == (json_int_t)entry->switch_lsn &&
                (json_array_size(line) >= 5 || i + 1 < history->count)) {
                known = line;
            }
        }
        (void)json_array_append_new(
            lines, known != NULL ? json_incref(known)
                                 : history_line(agent, entry, i + 1 == history->count));
    }
    while (agent->dynamic.max_timelines_history > 0 &&
           json_array_size(lines) > (size_t)agent->dynamic.max_timelines_history) {
        (void)json_array_remove(lines, 0);
    }
    char *value = json_dumps(lines, JSON_COMPACT | JSON_ENSURE_ASCII);
    ASSERT(value != NULL);
    json_decref(lines);
    json_decref(old);
    return value;
}

int publish_start(struct agent *agent)
{
    agent->publish_timer.data = agent;
    int rc = uv_timer_init(agent->loop, &agent->publish_timer);
    if (rc == 0) {
        publish_request(agent);
    }
    return rc;
}

void publish_stop(struct agent *agent)
{
    if (agent->publish_timer.data != NULL && !uv_is_closing((uv_handle_t *)&agent->publish_timer)) {
        uv_close((uv_handle_t *)&agent->publish_timer, NULL);
    }
    mem_free(agent->published);
    mem_free(agent->status_written);
    agent->published = NULL;
    agent->status_written = NULL;
}
