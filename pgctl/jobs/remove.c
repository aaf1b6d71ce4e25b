/* Taking a data directory away: emptied, or renamed for somebody to look at. The caller has checked
 * that it may go.
 *
 *   LOOK -> WORK -> end */
#include "base/mem.h"
#include "pgctl/jobs/inspect.h"
#include "pgctl/jobs/pg_private.h"
#include "pgctl/proc/pg_files.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { REMOVE_LOOK, REMOVE_DONE };

struct remove_data {
    struct pg_look look;
    const char *data_dir;
    const char *marker_path;
    char reason[PG_VALUE_BYTES];
    bool aside;
};

static int remove_work(void *arg, struct error *err)
{
    const struct remove_data *data = arg;
    int rc = pg_dir_clear(data->data_dir, err);
    return rc != 0 ? rc : pg_file_remove(data->marker_path, err);
}

static int aside_work(void *arg, struct error *err)
{
    const struct remove_data *data = arg;
    char failed[PG_PATH_BYTES + 8];

    (void)snprintf(failed, sizeof failed, "%s.failed", data->data_dir);
    int rc = pg_dir_clear(failed, err);
    if (rc == 0 && rename(data->data_dir, failed) != 0) {
        /* A mount point, or a parent that is not ours: what a bootstrap left unfinished was never
         * part of a cluster. */
        bool immovable = errno == EACCES || errno == EPERM || errno == EBUSY || errno == EXDEV;
        rc = immovable ? pg_dir_clear(data->data_dir, err)
                       : error_set(err, err_from_errno(errno), "renaming '%s' to '%s': %s",
                                   data->data_dir, failed, strerror(errno));
    }
    return rc != 0 ? rc : pg_file_remove(data->marker_path, err);
}

static void remove_step(struct pg_task *task)
{
    struct remove_data *data = task->data;

    if (task->state == REMOVE_LOOK) {
        if (!pg_look_step(task, &data->look)) {
            return;
        }
        if (data->look.found.running) {
            pg_task_fail_with(task, ERR_BUSY, "removing '%s': PostgreSQL works in it",
                              data->data_dir);
        } else if (data->look.found.kind == PG_DIR_FOREIGN ||
                   data->look.found.kind == PG_DIR_UNREADABLE) {
            pg_task_fail_with(task, ERR_REFUSED, "removing '%s': %s", data->data_dir,
                              data->look.found.reason);
        } else {
            task->state = REMOVE_DONE;
            pg_task_say(task, "removing the data directory: %s", data->reason);
            pg_task_work(task, data->aside ? aside_work : remove_work, data);
        }
        return;
    }
    if (task->rc != 0) {
        error_wrap(&task->err, "removing '%s'", data->data_dir);
        pg_task_fail(task);
    } else {
        pg_task_end(task);
    }
}

static int start(struct pg_instance *pg, const struct pg_task_ops *ops, const char *reason,
                 bool aside, int64_t timeout_ms, pg_done_cb done, void *arg, struct error *err)
{
    struct remove_data *data = mem_new(struct remove_data);

    data->data_dir = pg->config.data_dir;
    data->marker_path = pg->marker_path;
    data->aside = aside;
    (void)snprintf(data->reason, sizeof data->reason, "%s", reason);
    pg_look_begin(&data->look, pg);
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
        .name = "remove", .job = PG_JOB_REMOVE, .step = remove_step};
    return start(instance, &ops, reason, false, timeout_ms, done, arg, err);
}

int pg_instance_move_aside(struct pg_instance *instance, const char *reason, int64_t timeout_ms,
                           pg_done_cb done, void *arg, struct error *err)
{
    static const struct pg_task_ops ops = {
        .name = "move aside", .job = PG_JOB_MOVE_ASIDE, .step = remove_step};
    return start(instance, &ops, reason, true, timeout_ms, done, arg, err);
}
