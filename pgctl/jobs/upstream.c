/* Whom the standby receives from: a new service file, then the end of every walreceiver that may
 * have read the old one.
 *
 *   WRITE -> LOOK <-> WAIT -> end
 *
 * Detaching is the promise not to receive any more: it ends only when no walreceiver is left and no
 * child of the postmaster without a title, which might become one with the old file read; and never
 * while something runs that no pid file names. Attaching
 * ends when those that were there are told to end. A file that is the same already is not written,
 * and ends nobody when attaching. A server that does not read the file is told nothing by it: both
 * are refused, whatever the file says. */
#include "base/buf.h"
#include "base/mem.h"
#include "pgctl/jobs/pg_private.h"
#include "pgctl/proc/pg_files.h"

#include <stdio.h>
#include <string.h>

#define LOOK_EVERY_MS     10
#define SERVICE_BYTES_MAX 8192

enum { UPSTREAM_WRITE, UPSTREAM_LOOK, UPSTREAM_LOOKED };

struct upstream_data {
    char service_path[PG_PATH_BYTES];
    const char *data_dir;
    const char *marker_path;
    struct buf text;
    bool detach;
    bool same;
    int passes;
    int32_t pid;
    int32_t stray; /* detaching: no postmaster by its pid file, and yet this process */
    bool service_in_force;
    struct pg_receivers old; /* attaching: who was there after the file was replaced */
    struct pg_receivers found;
};

static int write_work(void *arg, struct error *err)
{
    struct upstream_data *data = arg;
    struct buf before = BUF_INIT;
    struct pg_inspection *inspection = mem_new(struct pg_inspection);
    int rc = 0;

    data->same = pg_file_read(data->service_path, SERVICE_BYTES_MAX, &before, NULL) == 0 &&
                 span_equal(buf_span(&before), buf_span(&data->text));
    if (!data->same) {
        rc = pg_file_write(data->service_path, buf_span(&data->text), 0600, err);
    }
    pg_dir_look(data->data_dir, data->marker_path, data->service_path, inspection);
    data->pid = inspection->running ? inspection->pidfile_pid : 0;
    data->service_in_force = inspection->service_in_force;
    if (rc == 0 && data->detach && data->pid == 0) {
        rc = pg_dir_server_process(data->data_dir, &data->stray, err);
    }
    mem_free(inspection);
    buf_free(&before);
    return rc;
}

static bool is_among(int32_t pid, const int32_t *pids, int count)
{
    for (int i = 0; i < count && i < PG_UNTITLED_MAX; i++) {
        if (pids[i] == pid) {
            return true;
        }
    }
    return false;
}

static int look_work(void *arg, struct error *err)
{
    struct upstream_data *data = arg;
    int rc = pg_receivers_look(data->pid, &data->found, err);
    if (rc != 0) {
        return rc;
    }
    if (data->passes == 0) {
        data->old = data->found;
    }
    for (int i = 0; i < data->found.count && i < PG_UNTITLED_MAX; i++) {
        int32_t pid = data->found.pids[i];
        /* Attaching: who was forked after the new file was there is right, and stays. */
        bool was_there = is_among(pid, data->old.pids, data->old.count) ||
                         is_among(pid, data->old.untitled, data->old.untitled_count);
        if (data->detach || was_there) {
            pg_receiver_end(data->pid, pid);
        }
    }
    data->passes++;
    return 0;
}

static bool is_over(const struct upstream_data *data)
{
    if (data->detach) {
        return data->found.count == 0 && data->found.untitled_count == 0;
    }
    for (int i = 0; i < data->found.untitled_count && i < PG_UNTITLED_MAX; i++) {
        if (is_among(data->found.untitled[i], data->old.untitled, data->old.untitled_count)) {
            return false;
        }
    }
    return data->old.untitled_count <= PG_UNTITLED_MAX;
}

/* What runs where the pid file names nobody: it was removed, or the directory was exchanged.
 * Whether that receives cannot be told, so nothing is promised. */
static int32_t unnamed_server(const struct pg_task *task, const struct upstream_data *data)
{
    const struct fence_client *fence = task->pg->fence;
    if (!data->detach || data->pid != 0) {
        return 0;
    }
    if (data->stray == 0 && fence != NULL && fence_client_connected(fence) &&
        fence_client_status(fence)->running) {
        return fence_client_status(fence)->postmaster_pid;
    }
    return data->stray;
}

static void written(struct pg_task *task, struct upstream_data *data)
{
    int32_t unnamed = task->rc == 0 ? unnamed_server(task, data) : 0;
    if (task->rc != 0) {
        error_wrap(&task->err, "changing the upstream");
        pg_task_fail(task);
    } else if (unnamed != 0) {
        pg_task_fail_with(
            task, ERR_REFUSED,
            "detaching: process %d is PostgreSQL's, and postmaster.pid in '%.150s' does "
            "not name it or its postmaster",
            (int)unnamed, data->data_dir);
    } else if (data->pid == 0) {
        pg_task_end(task);
    } else if (!data->service_in_force) {
        pg_task_fail_with(task, ERR_REFUSED,
                          "changing the upstream: the running PostgreSQL was started without our "
                          "service file; it takes "
                          "effect with its next start");
    } else if (data->same && !data->detach) {
        pg_task_end(task);
    } else {
        task->state = UPSTREAM_LOOKED;
        pg_task_work(task, look_work, data);
    }
}

static void looked(struct pg_task *task, struct upstream_data *data)
{
    if (task->rc != 0) {
        error_wrap(&task->err, "changing the upstream");
        pg_task_fail(task);
    } else if (is_over(data)) {
        pg_task_end(task);
    } else if (pg_task_expired(task)) {
        pg_task_fail_with(task, ERR_TIMEOUT, "changing the upstream: the walreceiver does not end");
    } else {
        task->state = UPSTREAM_LOOK;
        pg_task_wait(task, LOOK_EVERY_MS);
    }
}

static void upstream_step(struct pg_task *task)
{
    struct upstream_data *data = task->data;

    switch (task->state) {
    case UPSTREAM_WRITE:
        if (data->service_path[0] == '\0') {
            (void)snprintf(data->service_path, sizeof data->service_path, "%s",
                           task->pg->service_path);
            pg_task_work(task, write_work, data);
            return;
        }
        written(task, data);
        return;
    case UPSTREAM_LOOK:
        task->state = UPSTREAM_LOOKED;
        pg_task_work(task, look_work, data);
        return;
    default: looked(task, data); return;
    }
}

static void upstream_release(struct pg_task *task)
{
    buf_free(&((struct upstream_data *)task->data)->text);
}

static bool is_busy(const struct pg_instance *pg, const struct pg_task_ops *ops)
{
    LIST_EACH(item, &pg->tasks)
    {
        const struct pg_task *task = LIST_OWNER(item, struct pg_task, link);
        if (task->ops == ops || task->ops->job == PG_JOB_START ||
            task->ops->job == PG_JOB_BOOTSTRAP) {
            return true;
        }
    }
    return false;
}

int pg_instance_set_upstream(struct pg_instance *instance, const struct pg_upstream *upstream,
                             int64_t timeout_ms, pg_done_cb done, void *arg, struct error *err)
{
    static const struct pg_task_ops ops = {
        .name = "change of upstream", .step = upstream_step, .release = upstream_release};
    struct pg_file_set files = {0};

    if (upstream != NULL &&
        (strlen(upstream->host) >= PG_HOST_BYTES || !pg_conf_is_line(upstream->host))) {
        return error_set(err, ERR_INVALID, "the upstream's host is no host name");
    }
    if (is_busy(instance, &ops)) {
        return error_set(err, ERR_BUSY, "the upstream is being set already");
    }
    struct upstream_data *data = mem_new(struct upstream_data);
    pg_file_set_service(&files, instance, upstream);
    data->text = files.service;
    data->detach = upstream == NULL;
    data->data_dir = instance->config.data_dir;
    data->marker_path = instance->marker_path;
    int rc = pg_task_start(instance, &ops, data, timeout_ms, done, arg, NULL, err);
    if (rc != 0) {
        buf_free(&data->text);
        mem_free(data);
    }
    return rc;
}
