/* A copy of a running member.
 *
 *   LOOK -> IDENTIFY (whose is it?) -> CLEAR and MARK -> COPY -> TIDY -> end */
#include "pgctl/jobs/source.h"
#include "pgctl/proc/pg_files.h"
#include "pgctl/proc/pg_marker.h"
#include "pgctl/sql/pg_answers.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { CLONE_LOOK, CLONE_CONNECTED, CLONE_IDENTIFIED, CLONE_CLEARED, CLONE_COPIED, CLONE_TIDIED };

static void looked(struct pg_task *task, const struct pg_source *data)
{
    const struct pg_inspection *found = &data->look.found;
    bool usable = found->kind == PG_DIR_MISSING || found->kind == PG_DIR_EMPTY ||
                  (found->kind == PG_DIR_UNFINISHED && found->unfinished == PG_UNFINISHED_CLONE);
    if (!usable || found->running) {
        pg_task_fail_with(task, ERR_EXISTS, "copying: '%s' is in use: %s", data->data_dir,
                          found->reason[0] != '\0' ? found->reason : "it is not empty");
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
    bool left = false;
    int rc = pg_marker_take(data->marker_path, PG_UNFINISHED_CLONE, data->data_dir, &data->made,
                            &left, err);
    rc = rc != 0 || !left ? rc : pg_dir_clear(data->data_dir, err);
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
    return pg_source_tidy(arg, err);
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
    pg_source_make_files(data, task->pg, &task->pg->config.replication);
    task->state = CLONE_CLEARED;
    pg_task_work(task, clear_work, data);
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

static void clone_step(struct pg_task *task)
{
    struct pg_source *data = task->data;

    if (task->rc != 0 && task->state != CLONE_LOOK) {
        if (task->state == CLONE_COPIED) {
            name_leftovers(task);
        }
        error_wrap(&task->err, "copying from %s:%u", data->host, data->port);
        pg_task_fail(task);
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
    case CLONE_CLEARED: copy(task, data); return;
    case CLONE_COPIED:
        task->state = CLONE_TIDIED;
        pg_task_work(task, tidy_work, data);
        return;
    default: pg_task_end(task); return;
    }
}

int pg_instance_clone(struct pg_instance *instance, const struct pg_clone *clone,
                      int64_t timeout_ms, pg_done_cb done, void *arg, struct error *err)
{
    static const struct pg_task_ops ops = {
        .name = "clone", .job = PG_JOB_CLONE, .step = clone_step, .release = pg_source_release};
    const struct pg_rewind from = {
        .host = clone->host, .port = clone->port, .system_identifier = clone->system_identifier};
    return pg_source_start(instance, &ops, &from, timeout_ms, done, arg, err);
}
