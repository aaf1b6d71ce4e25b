/* A data directory that is given up: emptied, or moved aside. The caller has checked that it may be
 * (invariant I10) and says why; here is the last look, that nobody works in it. */
#include "base/mem.h"
#include "pgctl/jobs/pg_private.h"
#include "pgctl/proc/pg_files.h"
#include "pgctl/proc/pg_marker.h"

#include <stdio.h>

struct dirs_data {
    const char *data_dir; /* the instance's */
    const char *marker_path;
    const char *service_path;
    const char *unannounced_path;
    char pwfile[PG_PATH_BYTES]; /* of a bootstrap whose agent died */
    bool move;
    char reason[PG_VALUE_BYTES];
};

static int check(const struct dirs_data *data, struct error *err)
{
    struct pg_inspection *found = mem_new(struct pg_inspection);
    int rc = 0;

    pg_dir_look_alone(data->data_dir, data->marker_path, data->service_path, found);
    if (found->running && found->pidfile_pid == 0) {
        rc = error_set(err, ERR_BUSY, "whether a server works in '%s' is not known: %s",
                       data->data_dir, found->pidfile_reason);
    } else if (found->running) {
        rc = error_set(err, ERR_BUSY, "process %d works in '%s'", (int)found->pidfile_pid,
                       data->data_dir);
    } else if (found->kind == PG_DIR_FOREIGN || found->kind == PG_DIR_UNREADABLE ||
               found->kind == PG_DIR_DOUBTFUL) {
        rc = error_set(err, ERR_REFUSED, "%s: it is left alone", found->reason);
    }
    mem_free(found);
    return rc;
}

/* The marker first: what is emptied half-way must not look like a data directory, and goes on being
 * emptied by the copy that comes next. */
static int empty(const struct dirs_data *data, struct error *err)
{
    int rc = 0;
    if (pg_dir_content(data->data_dir, NULL) != PG_DIR_MISSING) { /* as a link to nowhere is */
        rc = pg_marker_write(data->marker_path, PG_UNFINISHED_CLONE, data->data_dir, err);
    }
    return rc != 0 ? rc : pg_dir_clear(data->data_dir, err);
}

static int dirs_work(void *arg, struct error *err)
{
    const struct dirs_data *data = arg;
    int rc = check(data, err);

    rc = rc != 0 ? rc : data->move ? pg_dir_move_aside(data->data_dir, err) : empty(data, err);
    rc = rc != 0 ? rc : pg_file_remove(data->pwfile, err);
    rc = rc != 0 ? rc : pg_file_remove(data->unannounced_path, err);
    return rc != 0 ? rc : pg_file_remove(data->marker_path, err);
}

static void dirs_step(struct pg_task *task)
{
    struct dirs_data *data = task->data;

    if (task->state++ == 0) {
        pg_task_say(task, "%s the data directory: %.150s", data->move ? "moving aside" : "removing",
                    data->reason);
        pg_task_work(task, dirs_work, data);
    } else if (task->rc != 0) {
        error_wrap(&task->err, "%s the data directory", data->move ? "moving aside" : "removing");
        pg_task_fail(task);
    } else {
        task->pg->has_control = false;
        pg_task_end(task);
    }
}

static int start_dirs(struct pg_instance *pg, const struct pg_task_ops *ops, const char *reason,
                      int64_t timeout_ms, pg_done_cb done, void *arg, struct error *err)
{
    if (reason == NULL || reason[0] == '\0') {
        return error_set(err, ERR_INVALID, "%s: a reason is needed", ops->name);
    }
    struct dirs_data *data = mem_new(struct dirs_data);
    data->data_dir = pg->config.data_dir;
    data->marker_path = pg->marker_path;
    data->service_path = pg->service_path;
    data->unannounced_path = pg->unannounced_path;
    pg_initdb_pwfile(pg, data->pwfile);
    data->move = ops->job == PG_JOB_MOVE_ASIDE;
    (void)snprintf(data->reason, sizeof data->reason, "%s", reason);
    int rc = pg_task_start(pg, ops, data, timeout_ms, done, arg, NULL, err);
    if (rc != 0) {
        mem_free(data);
    }
    return rc;
}

int pg_instance_remove(struct pg_instance *instance, const char *reason, int64_t timeout_ms,
                       pg_done_cb done, void *arg, struct error *err)
{
    static const struct pg_task_ops ops = {
        .name = "remove", .job = PG_JOB_REMOVE, .step = dirs_step};
    return start_dirs(instance, &ops, reason, timeout_ms, done, arg, err);
}

int pg_instance_move_aside(struct pg_instance *instance, const char *reason, int64_t timeout_ms,
                           pg_done_cb done, void *arg, struct error *err)
{
    static const struct pg_task_ops ops = {
        .name = "move aside", .job = PG_JOB_MOVE_ASIDE, .step = dirs_step};
    return start_dirs(instance, &ops, reason, timeout_ms, done, arg, err);
}
