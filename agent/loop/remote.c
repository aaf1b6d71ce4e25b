/* See remote.h. */
#include "agent/loop/remote.h"

#include "agent/ha/ha_cluster.h"
#include "base/mem.h"
#include "pgctl/pg_parse.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

bool remote_section(const struct agent *agent, struct dynamic_standby *ret_standby)
{
    return agent->dynamic.standby_cluster &&
           dynamic_standby_read(agent->dynamic.document, ret_standby);
}

static bool is_led_as_standby(const struct ha_cluster *cluster)
{
    for (size_t i = 0; i < cluster->member_count; i++) {
        if (strcmp(cluster->members[i].role, "standby_leader") == 0) {
            return true;
        }
    }
    return false;
}

static void refuse(struct ha_settings *settings, const char *why)
{
    if (settings->refused[0] == '\0') {
        (void)snprintf(settings->refused, sizeof settings->refused, "standby_cluster: %s", why);
    }
}

void remote_fill(const struct agent *agent, struct ha_settings *settings)
{
    const struct ha_cluster *cluster = &agent->facts.cluster;
    struct dynamic_standby standby;
    bool unread = agent->unconfigured || agent->facts.config_revision < 0;

    if (unread && cluster->known && ha_initialize_is_valid(cluster->initialize)) {
        if (agent->dynamic.standby_cluster) {
            refuse(settings, "in bootstrap.dcs, and not known whether it still holds");
        } else if (is_led_as_standby(cluster)) {
            refuse(settings, "a member leads by it, and the configuration cannot be read");
        }
        return;
    }
    if (!remote_section(agent, &standby)) {
        return;
    }
    _Static_assert(DYNAMIC_STANDBY_TEXT_BYTES <= sizeof settings->remote, "it is not cut");
    settings->standby_cluster = true;
    settings->remote_streams = standby.hosts[0] != '\0';
    dynamic_standby_text(&standby, settings->remote);
}

int remote_host(const struct agent *agent, char ret_host[PG_HOST_BYTES], uint16_t *ret_port,
                struct error *err)
{
    struct dynamic_standby standby;
    size_t count = remote_section(agent, &standby) ? dynamic_standby_host_count(&standby) : 0;
    if (count == 0 || !dynamic_standby_host(&standby, agent->remote_index % count, ret_host)) {
        return error_set(err, ERR_NOT_FOUND, "standby_cluster names no host");
    }
    *ret_port = standby.port;
    return 0;
}

void remote_next_host(struct agent *agent)
{
    agent->remote_index++;
}

bool remote_upstream(const struct agent *agent, char *ret_host, struct pg_upstream *ret_upstream)
{
    struct dynamic_standby standby;
    if (!remote_section(agent, &standby) || standby.hosts[0] == '\0') {
        return false;
    }
    (void)snprintf(ret_host, PG_HOST_BYTES, "%s", standby.hosts);
    *ret_upstream = (struct pg_upstream){
        .host = ret_host, .port = standby.port, .primary_only = strchr(standby.hosts, ',') != NULL};
    return true;
}

void remote_note_rewind(struct agent *agent, const struct ha_action *action)
{
    struct ha_rejoin *rejoin = &agent->facts.rejoin;
    const char *remote = agent->snapshot.settings.remote;
    bool same = ha_epoch_equal(rejoin->epoch, action->epoch) && strcmp(rejoin->remote, remote) == 0;
    if (!action->remote || same) {
        return;
    }
    *rejoin = (struct ha_rejoin){.epoch = action->epoch,
                                 .checked_mono_ms = HA_NEVER,
                                 .lost_timeline = rejoin->lost_timeline,
                                 .lost_looks = rejoin->lost_looks};
    (void)snprintf(rejoin->remote, sizeof rejoin->remote, "%s", remote);
}

void remote_set(struct agent *agent, bool follows)
{
    if (agent->follows_remote != follows) {
        agent->follows_remote = follows;
        parameters_again(agent);
    }
}

bool remote_has_archive(const struct agent *agent)
{
    struct dynamic_standby standby;
    return agent->follows_remote && remote_section(agent, &standby) &&
           standby.restore_command != NULL;
}

/* --- timelines of one number ------------------------------------------------------------------ */

struct forked_job {
    uv_work_t work;
    struct agent *agent;
    remote_forked done;
    char path[PG_PATH_BYTES];
    uint32_t timeline;
    struct pg_history theirs; /* entries are ours */
    bool forked;
};

static bool differ(const struct pg_history *ours, const struct pg_history *theirs)
{
    for (size_t i = 0; i < ours->count; i++) {
        for (size_t j = 0; j < theirs->count; j++) {
            if (theirs->entries[j].timeline == ours->entries[i].timeline &&
                theirs->entries[j].switch_lsn != ours->entries[i].switch_lsn) {
                return true;
            }
        }
    }
    return false;
}

/* In a thread of the pool. */
static void read_ours(uv_work_t *work)
{
    struct forked_job *job = work->data;
    struct pg_history ours = {0};
    struct error err = {0};
    FILE *file = fopen(job->path, "re");
    if (file == NULL) {
        return;
    }
    char *text = mem_alloc(PG_HISTORY_BYTES_MAX + 1);
    size_t len = fread(text, 1, PG_HISTORY_BYTES_MAX + 1, file);
    (void)fclose(file);
    if (pg_history_parse(job->timeline, span_of(text, len), &ours, &err) == 0) {
        job->forked = differ(&ours, &job->theirs);
        pg_history_free(&ours);
    }
    mem_free(text);
}

static void on_read(uv_work_t *work, int status)
{
    struct forked_job *job = work->data;
    struct agent *agent = job->agent;
    if (status == 0 && !agent->stopping) {
        job->done(agent, job->forked);
    }
    pg_history_free(&job->theirs);
    mem_free(job);
}

int remote_look_forked(struct agent *agent, uint32_t timeline, const struct pg_history *theirs,
                       remote_forked done, struct error *err)
{
    struct forked_job *job = mem_new(struct forked_job);
    job->work.data = job;
    job->agent = agent;
    job->done = done;
    job->timeline = timeline;
    job->theirs = *theirs;
    job->theirs.entries = mem_memdup(theirs->entries, theirs->count * sizeof theirs->entries[0]);
    (void)snprintf(job->path, sizeof job->path, "%s/pg_wal/%08X.history",
                   agent->config->postgresql.data_dir, timeline);
    if (uv_queue_work(agent->loop, &job->work, read_ours, on_read) != 0) {
        pg_history_free(&job->theirs);
        mem_free(job);
        return error_set(err, ERR_LIMIT, "no thread for reading the timeline history");
    }
    return 0;
}

/* In place of what is there. */
static void put(struct pg_parameters *set, struct pg_parameter *items, const char *name,
                const char *value)
{
    if (value == NULL || value[0] == '\0') {
        return;
    }
    for (size_t i = 0; i < set->count; i++) {
        if (strcasecmp(items[i].name, name) == 0) {
            items[i].value = value;
            return;
        }
    }
    items[set->count++] = (struct pg_parameter){.name = name, .value = value};
}

void remote_reload_fill(const struct agent *agent, struct remote_reload *storage,
                        struct pg_reload *request)
{
    enum { MORE = 3 };
    struct dynamic_standby standby;
    struct pg_parameters *set = &request->recovery_conf;

    *storage = (struct remote_reload){0};
    if (!agent->follows_remote || !remote_section(agent, &standby)) {
        return;
    }
    storage->recovery = mem_new_array(struct pg_parameter, set->count + MORE);
    for (size_t i = 0; i < set->count; i++) {
        storage->recovery[i] = set->items[i];
    }
    memcpy(storage->slot, standby.slot, sizeof storage->slot);
    memcpy(storage->apply_delay, standby.apply_delay, sizeof storage->apply_delay);
    put(set, storage->recovery, "restore_command", standby.restore_command);
    put(set, storage->recovery, "archive_cleanup_command", standby.archive_cleanup_command);
    put(set, storage->recovery, "recovery_min_apply_delay", storage->apply_delay);
    set->items = storage->recovery;
    request->receive_slot = storage->slot;
    request->nostream = request->nostream || standby.hosts[0] == '\0';
}

void remote_reload_free(struct remote_reload *storage)
{
    mem_free(storage->recovery);
    *storage = (struct remote_reload){0};
}
