/* A copy of a running member, or what the operator's methods make of one, or of an archive.
 *
 *   LOOK -> IDENTIFY (whose is it?) -> CLEAR and MARK -> COPY [-> CHECK] -> TIDY -> end
 *                                  ^--- the next method <- ENDING / failed
 *
 * A method that has failed may have left a server that runs: it is ended before the next one clears
 * the directory, and nothing is cleared where that cannot be done. A copy that is cancelled, or out
 * of time, ends none: whoever tries again looks first.
 *
 * What a method of the operator's has filled is looked at before it is believed; and it begins as a
 * standby: whoever restores a primary's directory must not take it for one that has just stopped.
 */
#include "base/mem.h"
#include "pgctl/jobs/instance_config.h"
#include "pgctl/jobs/method.h"
#include "pgctl/jobs/source.h"
#include "pgctl/proc/pg_files.h"
#include "pgctl/proc/pg_marker.h"
#include "pgctl/proc/pg_postmaster.h"
#include "pgctl/sql/pg_answers.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum {
    CLONE_LOOK,
    CLONE_CONNECTED,
    CLONE_IDENTIFIED,
    CLONE_CLEARED,
    CLONE_COPIED,
    CLONE_CHECK,
    CLONE_ENDING,
    CLONE_KILLED,
    CLONE_TIDIED
};

#define GONE_EVERY_MS 5
#define GONE_MAX_MS   10000 /* a killed process goes at once, or is in an uninterruptible wait */

static const struct pg_method basebackup = {.name = "basebackup"};

static bool is_custom(const struct pg_method *method)
{
    return method->words.count > 0;
}

static bool has_source(const struct pg_source *data)
{
    return data->host[0] != '\0';
}

static void wrap(struct pg_task *task, const struct pg_source *data)
{
    if (has_source(data)) {
        error_wrap(&task->err, "copying from %s:%u", data->host, data->port);
    } else {
        error_wrap(&task->err, "making a copy");
    }
}

static void begin_method(struct pg_task *task, struct pg_source *data);

static void looked(struct pg_task *task, struct pg_source *data)
{
    const struct pg_inspection *found = &data->look.found;
    bool usable = found->kind == PG_DIR_MISSING || found->kind == PG_DIR_EMPTY ||
                  (found->kind == PG_DIR_UNFINISHED && found->unfinished == PG_UNFINISHED_CLONE);
    if (!usable || found->running) {
        pg_task_fail_with(task, ERR_EXISTS, "copying: '%s' is in use: %s", data->data_dir,
                          found->reason[0] != '\0' ? found->reason : "it is not empty");
        return;
    }
    if (!has_source(data)) {
        begin_method(task, data);
        return;
    }
    struct pg_conn_target target = {.host = data->host,
                                    .port = data->port,
                                    .user = task->pg->config.replication.username,
                                    .password = task->pg->config.replication.password,
                                    .security = &task->pg->config.replication.security,
                                    .application_name = task->pg->config.name,
                                    .walsender = PG_CONN_PHYSICAL};
    task->state = CLONE_CONNECTED;
    pg_task_say(task, "asking %s:%u who it is", data->host, data->port);
    pg_task_connect(task, &target);
}

/* Looked at again: a disk may have been mounted there since. The marker first: what is cleared
 * half-way must not look like a data directory. */
static int clear_work(void *arg, struct error *err)
{
    struct pg_source *data = arg;
    bool made = false;
    bool left = false;
    int rc =
        pg_marker_take(data->marker_path, PG_UNFINISHED_CLONE, data->data_dir, &made, &left, err);
    data->made = data->made || made;
    rc = rc != 0 || !left || data->method->keep_data ? rc : pg_dir_clear(data->data_dir, err);
    return rc != 0 ? rc : pg_source_write_secrets(data, err);
}

/* pg_basebackup makes the directory as open as the source's; it leaves one that is there. */
static int tidy_work(void *arg, struct error *err)
{
    const struct pg_source *data = arg;
    char version[PG_PATH_BYTES];
    struct stat st;

    (void)snprintf(version, sizeof version, "%.1000s/PG_VERSION", data->data_dir);
    if (data->made && stat(version, &st) == 0 && (st.st_mode & S_IRGRP) != 0 &&
        chmod(data->data_dir, 0750) != 0) {
        return error_set(err, err_from_errno(errno), "opening '%s' to its group: %s",
                         data->data_dir, strerror(errno));
    }
    int rc = 0;
    if (is_custom(data->method)) {
        char standby[PG_PATH_BYTES];
        (void)snprintf(standby, sizeof standby, "%.1000s/standby.signal", data->data_dir);
        rc = pg_file_write(standby, span_str(""), 0600, err);
    }
    /* What a configuration that lies apart says of the data that were here is nothing of these. */
    const struct pg_conf_files *places = data->files.places;
    if (rc == 0 && places->apart && !pg_file_exists(places->sync)) {
        rc = pg_sync_conf_reset(places, err);
    }
    return rc != 0 ? rc : pg_source_tidy(arg, err);
}

static void identified(struct pg_task *task, struct pg_source *data)
{
    uint64_t found = task->answer.count > 0 ? pg_cell_u64(task->answer.results[0], 0, 0) : 0;

    if (data->system_identifier != 0 && found != data->system_identifier) {
        pg_task_fail_with(task, ERR_CONFLICT,
                          "copying: %s:%u has system identifier %" PRIu64
                          ", this cluster's is %" PRIu64,
                          data->host, data->port, found, data->system_identifier);
        return;
    }
    begin_method(task, data);
}

/* --- methods ---------------------------------------------------------------------------------- */

static bool fits(const struct pg_source *data, const struct pg_method *method)
{
    if (data->basebackup_only) {
        return !is_custom(method);
    }
    return has_source(data) || (is_custom(method) && method->no_leader);
}

static const struct pg_method *find_method(const struct pg_instance_config *config,
                                           const char *name)
{
    for (size_t i = 0; i < config->replica_method_count; i++) {
        if (strcmp(config->replica_methods[i].name, name) == 0) {
            return &config->replica_methods[i];
        }
    }
    return strcmp(name, basebackup.name) == 0 ? &basebackup : NULL;
}

/* Those that were asked for by name. */
static const struct pg_method *next_named(const struct pg_instance_config *config,
                                          struct pg_source *data)
{
    while (data->next < data->names.count) {
        const char *name = data->names.items[data->next++];
        const struct pg_method *method = find_method(config, name);
        if (method != NULL && fits(data, method)) {
            return method;
        }
        if (method == NULL) {
            data->failed.code =
                error_set(&data->failed, ERR_NOT_FOUND,
                          "create_replica_methods of this member does not name '%.60s'", name);
        }
    }
    return NULL;
}

/* NULL: all were tried. */
static const struct pg_method *next_method(const struct pg_instance_config *config,
                                           struct pg_source *data)
{
    if (data->names.count > 0) {
        return next_named(config, data);
    }
    while (data->next < config->replica_method_count) {
        const struct pg_method *method = &config->replica_methods[data->next++];
        if (fits(data, method)) {
            return method;
        }
    }
    bool none = config->replica_method_count == 0 || data->basebackup_only;
    return none && data->method == NULL && has_source(data) ? &basebackup : NULL;
}

static void begin_method(struct pg_task *task, struct pg_source *data)
{
    const struct pg_method *method = next_method(&task->pg->config, data);
    if (method == NULL) {
        if (data->failed.code == 0) {
            (void)error_set(&data->failed, ERR_UNSUPPORTED,
                            "none of create_replica_methods does without a leader");
        }
        task->err = data->failed;
        task->rc = data->failed.code;
        wrap(task, data);
        pg_task_fail(task);
        return;
    }
    data->method = method;
    pg_command_free(&data->command);
    data->command = pg_method_command(method, "replica method");
    pg_source_make_files(data, task->pg, &task->pg->config.replication);
    task->state = CLONE_CLEARED;
    pg_task_work(task, clear_work, data);
}

static void put_word(struct buf *out, const char *key, const char *value)
{
    buf_printf(out, "%s%s=", out->len == 0 ? "" : " ", key);
    pg_quote_conninfo(out, value);
}

/* As the account for replication, whose password is in the password file; "" = nobody. */
static void put_conninfo(struct buf *out, const struct pg_source *data,
                         const struct pg_instance_config *config)
{
    const struct pg_account *account = &config->replication;
    char port[8];
    if (!has_source(data)) {
        return;
    }
    (void)snprintf(port, sizeof port, "%u", data->port);
    put_word(out, "host", data->host);
    put_word(out, "port", port);
    put_word(out, "user", account->username);
    put_word(out, "dbname", config->database);
    for (size_t i = 0; i < PG_SECURITY_COUNT; i++) {
        if (account->security.values[i] != NULL && i != PG_SECURITY_SSLPASSWORD) {
            put_word(out, pg_security_rows[i].name, account->security.values[i]);
        }
    }
}

static void run_method(struct pg_task *task, const struct pg_source *data)
{
    const struct pg_instance *pg = task->pg;
    struct buf conninfo = BUF_INIT;
    put_conninfo(&conninfo, data, &pg->config);
    char *scope = mem_printf("--scope=%s", pg->config.scope);
    char *dir = mem_printf("--datadir=%s", data->data_dir);
    char *source = mem_printf("--connstring=%s", buf_str(&conninfo));
    const char *const own[] = {scope, "--role=replica", dir, source};
    const struct pg_lines options = {own, 4};

    task->state = CLONE_COPIED;
    pg_task_method(task, data->method, &data->command, &options, pg->command_pg_env);
    mem_free(scope);
    mem_free(dir);
    mem_free(source);
    buf_free(&conninfo);
}

/* A program of the job that has outlived it, a server, or one whose pid file is gone. */
static int find_work(void *arg, struct error *err)
{
    struct pg_source *data = arg;
    int rc = 0;
    data->left_pid = pg_orphans_end(data->data_dir);
    if (data->left_pid == 0) {
        rc = pg_dir_postmaster(data->data_dir, &data->left_pid, err);
    }
    return rc != 0 || data->left_pid != 0
               ? rc
               : pg_dir_server_process(data->data_dir, &data->left_pid, err);
}

/* The next one, if there is one: what failed is told. */
static void method_failed(struct pg_task *task, struct pg_source *data)
{
    const struct pg_instance_config *config = &task->pg->config;
    data->failed = task->err;
    data->failed.code = task->rc;
    if (data->told_progress) {
        data->told_progress = false;
        data->on_progress(data->on_progress_arg, NULL);
    }
    if (!is_custom(data->method) && config->on_command != NULL &&
        config->replica_method_count > 1) {
        const struct pg_command_end end = {
            .what = "replica method basebackup", .rc = task->rc, .err = &data->failed};
        config->on_command(config->on_command_arg, &end);
    }
    if (task->rc == ERR_TIMEOUT) { /* the time for all of them is over */
        data->next = data->names.count > 0 ? data->names.count : config->replica_method_count;
        begin_method(task, data);
        return;
    }
    data->gone_until_ms = 0;
    task->state = CLONE_ENDING;
    pg_task_work(task, find_work, data);
}

/* What the fence has begun to kill, it has not ended yet. */
static bool is_killing(const struct pg_instance *pg)
{
    const struct fence_status *status = fence_client_status(pg->fence);
    return status->running || status->starting || status->killing ||
           (status->starts > 0 && !status->all_gone);
}

/* The method's own server is nobody's: no fence has started it, and clients may be in it. */
static void end_server(struct pg_task *task, struct pg_source *data)
{
    struct pg_instance *pg = task->pg;
    bool has_fence = pg->fence != NULL && fence_client_connected(pg->fence);
    bool asked = data->gone_until_ms != 0;
    int64_t now_ms = clock_mono_ms(pg->clock);

    if (data->left_pid == 0 && (!asked || !has_fence || !is_killing(pg))) {
        begin_method(task, data);
    } else if (!has_fence || (asked && now_ms >= data->gone_until_ms)) {
        pg_task_fail_with(task, ERR_EXISTS, "copying: a server runs in '%s', left by: %s",
                          data->data_dir, data->failed.text);
    } else if (asked) {
        task->state = CLONE_KILLED;
        pg_task_wait(task, GONE_EVERY_MS);
    } else {
        pg_task_say(task, "ending the server that it has left in '%s'", data->data_dir);
        data->gone_until_ms = now_ms + GONE_MAX_MS;
        task->state = CLONE_KILLED;
        pg_task_fence(
            task, fence_client_kill(pg->fence, data->data_dir, pg_task_on_fence, task, &task->err));
    }
}

static void tidy(struct pg_task *task, struct pg_source *data)
{
    if (data->still_allowed != NULL && !data->still_allowed(data->still_allowed_arg)) {
        pg_task_fail_with(task, ERR_REFUSED,
                          "copying: what was copied meanwhile may lack what this member has to "
                          "have by now, and is not kept");
        return;
    }
    task->state = CLONE_TIDIED;
    pg_task_work(task, tidy_work, data);
}

static void checked(struct pg_task *task, struct pg_source *data)
{
    const struct pg_inspection *found = &data->look.found;
    uint64_t system_id = found->control.system_identifier;
    const char *what = data->command.what;

    task->rc = 0;
    if (found->running) {
        task->rc =
            error_set(&task->err, ERR_INVALID, "%s: a server runs in '%s'", what, data->data_dir);
    } else if (found->kind != PG_DIR_UNFINISHED || system_id == 0 ||
               found->major != task->pg->bin.major) {
        task->rc = error_set(&task->err, ERR_INVALID, "%s: it has ended well, and '%s' %s", what,
                             data->data_dir, pg_method_fault(found->kind));
    } else if (data->system_identifier != 0 && system_id != data->system_identifier) {
        task->rc = error_set(&task->err, ERR_CONFLICT,
                             "%s: what it has made has system identifier %" PRIu64
                             ", this cluster's is %" PRIu64,
                             what, system_id, data->system_identifier);
    }
    if (task->rc != 0) {
        const struct pg_command_end end = {.what = what, .rc = task->rc, .err = &task->err};
        if (task->pg->config.on_command != NULL) {
            task->pg->config.on_command(task->pg->config.on_command_arg, &end);
        }
        method_failed(task, data);
        return;
    }
    tidy(task, data);
}

static void check(struct pg_task *task, struct pg_source *data)
{
    data->look = (struct pg_look){0};
    pg_look_begin(&data->look, task->pg);
    task->state = CLONE_CHECK;
    (void)pg_look_step(task, &data->look);
}

/* The two exclude each other; the server makes its estimate without --progress, too. The name may
 * be cut, and this is the only one that begins so. */
static bool wants_no_estimate(const struct pg_lines *options)
{
    for (size_t i = 0; i < options->count; i++) {
        if (strncmp(options->items[i], "--no-e", strlen("--no-e")) == 0) {
            return true;
        }
    }
    return false;
}

/* A copy of a day tells its progress 86,400 times: nothing of that is kept. */
static bool clone_take_line(struct pg_task *task, struct span line)
{
    struct pg_source *data = task->data;
    struct pg_copy_progress progress;

    if (task->state != CLONE_COPIED || is_custom(data->method)) {
        return false;
    }
    if (!pg_copy_progress_parse(line, &progress)) {
        return pg_copy_is_waiting(line);
    }
    if (data->on_progress != NULL && !task->canceled) {
        data->told_progress = true;
        data->on_progress(data->on_progress_arg, &progress);
    }
    return true;
}

static void copy(struct pg_task *task, const struct pg_source *data)
{
    const struct pg_instance *pg = task->pg;
    const char *argv[PG_CHILD_ARGS_MAX];
    size_t argc = 0;

    argv[argc++] = pg->bin.paths[PG_BASEBACKUP];
    argv[argc++] = "-D";
    argv[argc++] = data->data_dir;
    argv[argc++] = "-X";
    argv[argc++] = "stream";
    argv[argc++] = "--checkpoint=fast";
    argv[argc++] = "-w";
    argv[argc++] = "-d";
    argv[argc++] = "service=" PG_SERVICE_NAME;
    if (!wants_no_estimate(&pg->config.basebackup)) {
        argv[argc++] = "--progress";
    }
    for (size_t i = 0; i < pg->config.basebackup.count && argc < PG_CHILD_ARGS_MAX - 1; i++) {
        argv[argc++] = pg->config.basebackup.items[i];
    }
    argv[argc] = NULL;
    task->state = CLONE_COPIED;
    pg_task_say(task, "copying the data directory from %s:%u", data->host, data->port);
    pg_task_child(task, argv, NULL, NULL);
}

/* What an earlier copy, or another data directory, has left in the place of a tablespace or of the
 * WAL, and no link in ours leads to any more. */
static void name_leftovers(struct pg_task *task)
{
    if (strstr(task->err.text, "exists but is not empty") != NULL) {
        error_wrap(&task->err, "what is left there has to be removed by hand (docs/operations.md)");
    }
}

static void clone_failed(struct pg_task *task, struct pg_source *data)
{
    if (task->state == CLONE_COPIED) {
        if (!is_custom(data->method)) {
            name_leftovers(task);
        }
        method_failed(task, data);
        return;
    }
    wrap(task, data);
    pg_task_fail(task);
}

static void clone_step(struct pg_task *task)
{
    struct pg_source *data = task->data;

    if (task->rc != 0 && task->state != CLONE_LOOK && task->state != CLONE_CHECK) {
        clone_failed(task, data);
        return;
    }
    switch (task->state) {
    case CLONE_LOOK:
        if (pg_look_step(task, &data->look)) {
            looked(task, data);
        }
        return;
    case CLONE_CONNECTED:
        task->state = CLONE_IDENTIFIED;
        pg_task_query(task, "IDENTIFY_SYSTEM");
        return;
    case CLONE_IDENTIFIED: identified(task, data); return;
    case CLONE_CLEARED:
        if (is_custom(data->method)) {
            run_method(task, data);
        } else {
            copy(task, data);
        }
        return;
    case CLONE_COPIED:
        if (is_custom(data->method)) {
            check(task, data);
            return;
        }
        tidy(task, data);
        return;
    case CLONE_CHECK:
        if (pg_look_step(task, &data->look)) {
            checked(task, data);
        }
        return;
    case CLONE_ENDING: end_server(task, data); return;
    case CLONE_KILLED:
        task->state = CLONE_ENDING;
        pg_task_work(task, find_work, data);
        return;
    default: pg_task_end(task); return;
    }
}

int pg_instance_clone(struct pg_instance *instance, const struct pg_clone *clone,
                      int64_t timeout_ms, pg_done_cb done, void *arg, struct error *err)
{
    static const struct pg_task_ops ops = {.name = "clone",
                                           .job = PG_JOB_CLONE,
                                           .step = clone_step,
                                           .take_line = clone_take_line,
                                           .release = pg_source_release};
    const struct pg_rewind from = {.host = clone->host == NULL ? "" : clone->host,
                                   .port = clone->port,
                                   .system_identifier = clone->system_identifier,
                                   .still_allowed = clone->still_allowed,
                                   .still_allowed_arg = clone->still_allowed_arg};
    struct pg_source *source = NULL;
    int rc = pg_source_start(instance, &ops, &from, timeout_ms, done, arg, &source, err);
    if (rc == 0) {
        source->basebackup_only = clone->basebackup_only;
        source->on_progress = clone->on_progress;
        source->on_progress_arg = clone->on_progress_arg;
        source->names = pg_lines_dup(&clone->methods);
    }
    return rc;
}
