/* An instance: what is derived from its configuration once, and its end. The operations are in
 * files of their own. */
#include "pgctl/pg_instance.h"

#include "base/assert.h"
#include "base/mem.h"
#include "pgctl/jobs/instance_config.h"
#include "pgctl/jobs/pg_private.h"
#include "pgctl/jobs/pg_probe.h"
#include "pgctl/jobs/slot_copy.h"
#include "pgctl/proc/pg_env.h"
#include "pgctl/proc/pg_remains.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>
#include <unistd.h>

/* --- what is derived -------------------------------------------------------------------------- */

/* Cut to what fits, it would lack something that nobody can guess. */
static int check_env(char *const *env, struct error *err)
{
    size_t count = 0;
    while (env[count] != NULL) {
        count++;
    }
    return count <= FENCE_ENV_MAX
               ? 0
               : error_set(err, ERR_LIMIT,
                           "the environment has %zu variables for PostgreSQL, at most %d are "
                           "handed on: start pgquorum with less",
                           count, FENCE_ENV_MAX);
}

static void derive_env(struct pg_instance *pg)
{
    char *service = mem_printf("PGSERVICEFILE=%s", pg->service_path);
    char *source = mem_printf("PGSERVICEFILE=%s", pg->source_path);
    const char *const child[] = {"LC_ALL=C", source, "PGOPTIONS=-c statement_timeout=0",
                                 "PGCONNECT_TIMEOUT=10"};
    const char *const postmaster[] = {service};
    char *passfile = mem_printf("PGPASSFILE=%s", pg->pgpass);
    const char *const command[] = {passfile, "PGOPTIONS=-c synchronous_commit=local"};

    pg->child_env = pg_env_make(PG_ENV_PROGRAM, child, sizeof child / sizeof child[0]);
    pg->initdb_env = pg_env_make(PG_ENV_INITDB, NULL, 0);
    pg->postmaster_env =
        pg_env_make(PG_ENV_POSTMASTER, postmaster, sizeof postmaster / sizeof postmaster[0]);
    pg->command_env = pg_env_make(PG_ENV_POSTMASTER, NULL, 0);
    pg->command_pg_env = pg_env_make(PG_ENV_POSTMASTER, command, 1);
    pg->post_init_env = pg_env_make(PG_ENV_POSTMASTER, command, 2);
    mem_free(passfile);
    mem_free(service);
    mem_free(source);
}

static const char *parameter(const struct pg_instance *pg, const char *name)
{
    const char *value = NULL;
    for (size_t i = 0; i < pg->config.parameters.count; i++) {
        if (strcasecmp(pg->config.parameters.items[i].name, name) == 0) {
            value = pg->config.parameters.items[i].value;
        }
    }
    return value;
}

/* Relative ones are relative to the data directory; one that no client can name is none. */
static void client_dir(const struct pg_instance *pg, const char *dir, char *ret_dir)
{
    struct sockaddr_un address;
    char path[PG_PATH_BYTES * 2];

    ret_dir[0] = '\0';
    if (dir[0] == '\0' || dir[0] == '@') {
        return;
    }
    if (dir[0] == '/') {
        (void)snprintf(path, sizeof path, "%s", dir);
    } else if (strcmp(dir, ".") == 0) {
        (void)snprintf(path, sizeof path, "%s", pg->config.data_dir);
    } else {
        (void)snprintf(path, sizeof path, "%s/%s", pg->config.data_dir, dir);
    }
    if (strlen(path) + strlen("/.s.PGSQL.65535") < sizeof address.sun_path) {
        (void)snprintf(ret_dir, PG_PATH_BYTES, "%.*s", PG_PATH_BYTES - 1, path);
    }
}

/* The first directory of the setting. Not given: the server's default is not known here, and TCP
 * does. */
static void configured_socket(const struct pg_instance *pg, char *ret_dir)
{
    const char *value = parameter(pg, "unix_socket_directories");
    char dir[PG_PATH_BYTES] = "";

    if (value != NULL) {
        (void)snprintf(dir, sizeof dir, "%.*s", (int)strcspn(value, ","), value);
    }
    size_t len = strlen(dir);
    while (len > 0 && dir[len - 1] == ' ') {
        dir[--len] = '\0';
    }
    client_dir(pg, dir, ret_dir);
}

void pg_take_socket(struct pg_instance *pg, const struct pg_pidfile *running)
{
    char dir[PG_PATH_BYTES];

    /* The status comes last: without it the sockets may not have been opened yet. */
    if (running != NULL && running->status[0] != '\0') {
        client_dir(pg, running->socket_dir, dir);
    } else {
        configured_socket(pg, dir);
    }
    if (strcmp(dir, pg->socket_dir) != 0) {
        memcpy(pg->socket_dir, dir, sizeof pg->socket_dir);
        pg->avoid_socket = false;
    }
}

/* An address of our own that the server listens on. */
static void derive_tcp(struct pg_instance *pg)
{
    size_t len = strcspn(pg->config.listen, ",");

    (void)snprintf(pg->tcp_host, sizeof pg->tcp_host, "%.*s", (int)len, pg->config.listen);
    if (strcmp(pg->tcp_host, "*") == 0 || strcmp(pg->tcp_host, "0.0.0.0") == 0) {
        (void)snprintf(pg->tcp_host, sizeof pg->tcp_host, "127.0.0.1");
    } else if (strcmp(pg->tcp_host, "::") == 0) {
        (void)snprintf(pg->tcp_host, sizeof pg->tcp_host, "::1");
    } else if (pg->tcp_host[0] == '\0') {
        (void)snprintf(pg->tcp_host, sizeof pg->tcp_host, "%s",
                       pg->config.connect_host == NULL ? "127.0.0.1" : pg->config.connect_host);
    }
}

static bool is_inside(const struct pg_instance *pg, const char *dir)
{
    size_t len = strlen(pg->config.data_dir);
    return dir[0] != '/' ||
           (strncmp(dir, pg->config.data_dir, len) == 0 && (dir[len] == '/' || dir[len] == '\0'));
}

/* pg_rewind (13 to 17) fails on a socket in the data directory of its source: it takes it for a
 * file to copy. A directory in there, as '.' is, is replaced by ours beside it, which is as closed
 * to others. */
void pg_keep_sockets_outside(const struct pg_instance *pg, struct pg_parameters *parameters)
{
    for (size_t i = 0; i < parameters->count; i++) {
        struct pg_parameter *item = (struct pg_parameter *)(uintptr_t)&parameters->items[i];
        if (strcasecmp(item->name, "unix_socket_directories") == 0 && item->value[0] != '\0' &&
            item->value[0] != '@' && is_inside(pg, item->value)) {
            mem_free((void *)(uintptr_t)item->value);
            item->value = mem_strdup(pg->config.state_dir);
        }
    }
}

static void derive(struct pg_instance *pg)
{
    pg_keep_sockets_outside(pg, &pg->config.parameters);
    (void)snprintf(pg->service_path, sizeof pg->service_path, "%s/pg_service.conf",
                   pg->config.state_dir);
    (void)snprintf(pg->source_path, sizeof pg->source_path, "%s/pg_source.conf",
                   pg->config.state_dir);
    (void)snprintf(pg->marker_path, sizeof pg->marker_path, "%s/unfinished", pg->config.state_dir);
    (void)snprintf(pg->unannounced_path, sizeof pg->unannounced_path, "%s/unannounced",
                   pg->config.state_dir);
    (void)snprintf(pg->pause_note_path, sizeof pg->pause_note_path, "%s/paused",
                   pg->config.state_dir);
    (void)snprintf(pg->started_path, sizeof pg->started_path, "%s/started", pg->config.state_dir);
    (void)snprintf(pg->pgpass, sizeof pg->pgpass, "%s", pg->config.pgpass);
    pg_conf_files_init(&pg->files, pg->config.data_dir, pg->config.config_dir,
                       pg->config.base_name);
    pg_slot_name(pg->config.name, pg->slot_name);
    pg_take_socket(pg, NULL);
    derive_tcp(pg);
    derive_env(pg);
}

static void free_now(struct pg_instance *pg)
{
    void (*freed)(void *arg) = pg->freed;
    void *arg = pg->freed_arg;

    instance_config_free(&pg->config);
    buf_free(&pg->undropped);
    pg_slot_copies_free(pg->copies);
    pg_slot_copies_free(pg->placed);
    mem_free(pg->self_exe);
    pg_env_free(pg->child_env);
    pg_env_free(pg->initdb_env);
    pg_env_free(pg->postmaster_env);
    pg_env_free(pg->command_env);
    pg_env_free(pg->command_pg_env);
    pg_env_free(pg->post_init_env);
    mem_free(pg);
    if (freed != NULL) {
        freed(arg);
    }
}

int pg_instance_new(struct uv_loop_s *loop, const struct pg_instance_config *config,
                    struct pg_instance **ret_instance, struct error *err)
{
    int rc = instance_config_check(config, err);
    if (rc != 0) {
        return rc;
    }
    struct pg_instance *pg = mem_new(struct pg_instance);

    pg_remains_prepare();
    rc = pg_bin_find(config->bin_dir, &config->programs, &pg->bin, err);
    rc = rc != 0 ? rc
                 : instance_config_check_accounts(&config->superuser, &config->replication,
                                                  &config->rewind, &pg->bin, err);
    rc = rc != 0 || !config->guard ? rc : pg_bin_check_guard(&pg->bin, err);
    if (rc != 0) {
        mem_free(pg);
        return rc;
    }
    instance_config_dup(config, &pg->config);
    pg->loop = loop;
    pg->clock = config->clock == NULL ? clock_real() : config->clock;
    pg->self_exe = mem_strdup(config->self_exe);
    pg->config.probe_timeout_ms = config->probe_timeout_ms > 0 ? config->probe_timeout_ms : 2000;
    list_init(&pg->tasks);
    derive(pg);
    rc = check_env(pg->postmaster_env, err);
    if (rc != 0) {
        free_now(pg);
        return rc;
    }
    pg->probe = pg_probe_new(pg);
    *ret_instance = pg;
    return 0;
}

void pg_instance_task_gone(struct pg_instance *pg)
{
    pg->task_count--;
    if (pg->closing && pg->task_count == 0) {
        free_now(pg);
    }
}

static void release_last(struct pg_task *task)
{
    (void)task;
}

static void step_last(struct pg_task *task)
{
    pg_task_end(task);
}

void pg_instance_free(struct pg_instance *instance, void (*freed)(void *arg), void *arg)
{
    static const struct pg_task_ops last = {
        .name = "free", .step = step_last, .release = release_last};

    if (instance == NULL) {
        return;
    }
    ASSERT(!instance->closing);
    /* A task of its own, so that the last one always goes from the loop, whatever else runs. */
    int rc = pg_task_start(instance, &last, NULL, 0, NULL, NULL, NULL, NULL);
    instance->freed = freed;
    instance->freed_arg = arg;
    instance->closing = true;
    buf_free(&instance->sync_conf);
    pg_probe_free(instance->probe);
    instance->probe = NULL;
    LIST_EACH(item, &instance->tasks)
    {
        struct pg_task *task = LIST_OWNER(item, struct pg_task, link);
        if (task->ops != &last) {
            pg_task_cancel(task);
        }
    }
    (void)rc; /* at the limit of tasks there are others that end it */
}

/* --- small answers ---------------------------------------------------------------------------- */

void pg_instance_set_fence(struct pg_instance *instance, struct fence_client *fence)
{
    instance->fence = fence;
}

void pg_instance_on_fence_event(struct pg_instance *instance, enum fence_event event,
                                const struct fence_status *status)
{
    (void)status; /* tasks that wait for the fence look at its status themselves */
    if (event == FENCE_EVENT_POSTMASTER_EXITED || event == FENCE_EVENT_ALL_GONE ||
        event == FENCE_EVENT_LOST) {
        pg_probe_disconnect(instance->probe);
    }
}

int pg_instance_major(const struct pg_instance *instance)
{
    return instance->bin.major;
}

bool pg_instance_promote_sent(const struct pg_instance *instance)
{
    return instance->promote_sent;
}

void pg_instance_job(const struct pg_instance *instance, struct pg_job_status *ret_status)
{
    const struct pg_task *job = instance->job;

    *ret_status = (struct pg_job_status){0};
    if (job != NULL) {
        ret_status->kind = job->ops->job;
        ret_status->started_ms = job->started_ms;
        (void)snprintf(ret_status->step, sizeof ret_status->step, "%s", job->step_text);
    }
}

void pg_instance_cancel_job(struct pg_instance *instance)
{
    if (instance->job != NULL) {
        pg_task_cancel(instance->job);
    }
}

static bool by_socket(const struct pg_instance *pg, enum pg_local_way way, bool second)
{
    bool has_socket = pg->socket_dir[0] != '\0';
    switch (way) {
    case PG_LOCAL_EITHER: return has_socket && pg->avoid_socket == second;
    case PG_LOCAL_SOCKET: return has_socket;
    case PG_LOCAL_TCP: break;
    }
    return false;
}

struct pg_conn_target pg_local_target(const struct pg_instance *pg, enum pg_local_way way,
                                      bool second)
{
    bool socket = by_socket(pg, way, second);
    return (struct pg_conn_target){
        .host = socket ? pg->socket_dir : pg->tcp_host,
        .port = pg->config.port,
        .user = pg->config.superuser.username,
        .password = pg->config.superuser.password,
        .security = &pg->config.superuser.security,
        .database = pg->config.database,
        .application_name = "pgquorum",
    };
}

bool pg_local_has_second(const struct pg_instance *pg, enum pg_local_way way)
{
    return way == PG_LOCAL_EITHER && pg->socket_dir[0] != '\0';
}

const struct pg_account *pg_rewind_account(const struct pg_instance *pg)
{
    const struct pg_account *rewind = &pg->config.rewind;
    return rewind->username != NULL && rewind->username[0] != '\0' ? rewind : &pg->config.superuser;
}

struct pg_conn_target pg_peer_target(const struct pg_instance *pg, const char *host, uint16_t port)
{
    const struct pg_account *account = pg_rewind_account(pg);
    return (struct pg_conn_target){
        .host = host,
        .port = port,
        .user = account->username,
        .password = account->password,
        .security = &account->security,
        .database = pg->config.database,
        .application_name = "pgquorum",
        .statement_timeout_ms = 5000,
    };
}

const char *pg_receive_slot(const struct pg_instance *pg, bool use_slots, const char *given)
{
    if (!use_slots || (given != NULL && given[0] == '\0')) {
        return NULL;
    }
    return given != NULL ? given : pg->slot_name;
}

struct pg_conf pg_instance_conf(const struct pg_instance *pg, bool standby)
{
    return (struct pg_conf){
        .scope = pg->config.scope,
        .member = pg->config.name,
        .listen = pg->config.listen,
        .port = pg->config.port,
        .major = pg->bin.major,
        .slot_name = pg_receive_slot(pg, pg->config.use_slots,
                                     pg->receive_slot_given ? pg->receive_slot : NULL),
        .parameters = pg->config.parameters,
        .recovery_conf = pg->config.recovery_conf,
        .custom_conf = pg->config.custom_conf,
        .base_name = pg->files.base_name,
        .config_dir = pg->files.apart ? pg->files.config_dir : NULL,
        .data_dir = pg->files.apart ? pg->files.data_dir : NULL,
        .guard = pg->config.guard,
        .nostream = pg->config.nostream,
        .keeps_logical = pg->config.keeps_logical,
        .decodes = pg->decodes,
        .database = pg->config.database,
        .standby = standby,
        .control = pg->has_control ? &pg->control : NULL,
    };
}
