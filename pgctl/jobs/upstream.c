/* Where a standby receives from: the service file is replaced, then the walreceivers are ended.
 *
 *   LOOK (is our file in force?) -> WRITE -> END <-> SEEN -> end
 *
 * Detached is a promise, so it is done only when no walreceiver is left and no child is without a
 * title (it may become one that has read the old file). Any walreceiver forked later reads the new
 * file. */
#include "base/mem.h"
#include "pgctl/jobs/pg_private.h"
#include "pgctl/proc/pg_files.h"

#include <string.h>

#define LOOK_EVERY_MS 5

enum { UPSTREAM_LOOK, UPSTREAM_FOUND, UPSTREAM_WRITTEN, UPSTREAM_SEEN, UPSTREAM_AGAIN };

struct upstream_data {
    struct pg_inspection found;
    struct pg_file_set files;
    char host[PG_HOST_BYTES];
    struct pg_upstream upstream;
    bool attach;
    int32_t postmaster;
    struct pg_receivers receivers;
    const char *data_dir;
    const char *marker_path;
    const char *service_path;
};

static int look_work(void *arg, struct error *err)
{
    struct upstream_data *data = arg;
    (void)err;
    pg_dir_look(data->data_dir, data->marker_path, data->service_path, &data->found);
    return 0;
}

static int write_work(void *arg, struct error *err)
{
    const struct upstream_data *data = arg;
    return pg_file_write(data->service_path, buf_span(&data->files.service), 0600, err);
}

static int receivers_work(void *arg, struct error *err)
{
    struct upstream_data *data = arg;
    int rc = pg_receivers_look(data->postmaster, &data->receivers, err);
    for (int i = 0; rc == 0 && i < data->receivers.count && i < PG_UNTITLED_MAX; i++) {
        pg_receiver_end(data->postmaster, data->receivers.pids[i]);
    }
    return rc;
}

static void end_receivers(struct pg_task *task, struct upstream_data *data)
{
    const struct fence_status *status =
        task->pg->fence == NULL ? NULL : fence_client_status(task->pg->fence);
    data->postmaster = status != NULL && status->running ? status->postmaster_pid
                       : data->found.running             ? data->found.pidfile_pid
                                                         : 0;
    if (data->postmaster == 0) {
        pg_task_end(task);
        return;
    }
    task->state = UPSTREAM_SEEN;
    pg_task_work(task, receivers_work, data);
}

static void seen(struct pg_task *task, const struct upstream_data *data)
{
    if (task->rc != 0) {
        pg_task_fail(task);
    } else if (data->attach ||
               (data->receivers.count == 0 && data->receivers.untitled_count == 0)) {
        pg_task_end(task);
    } else if (pg_task_expired(task)) {
        pg_task_fail_with(task, ERR_TIMEOUT, "a walreceiver does not end: no promise");
    } else {
        task->state = UPSTREAM_AGAIN;
        pg_task_wait(task, LOOK_EVERY_MS);
    }
}

static void upstream_step(struct pg_task *task)
{
    struct upstream_data *data = task->data;

    switch (task->state) {
    case UPSTREAM_LOOK:
        task->state = UPSTREAM_FOUND;
        pg_task_work(task, look_work, data);
        return;
    case UPSTREAM_FOUND:
        if (data->found.running && !data->found.service_in_force) {
            pg_task_fail_with(
                task, ERR_REFUSED,
                "the running PostgreSQL does not read our service file: restart it first");
            return;
        }
        pg_file_set_service(&data->files, task->pg, data->attach ? &data->upstream : NULL);
        task->state = UPSTREAM_WRITTEN;
        pg_task_work(task, write_work, data);
        return;
    case UPSTREAM_WRITTEN:
        if (task->rc != 0) {
            error_wrap(&task->err, "writing the service file");
            pg_task_fail(task);
            return;
        }
        end_receivers(task, data);
        return;
    case UPSTREAM_SEEN: seen(task, data); return;
    default: end_receivers(task, data); return;
    }
}

static void upstream_release(struct pg_task *task)
{
    pg_file_set_free(&((struct upstream_data *)task->data)->files);
}

int pg_instance_set_upstream(struct pg_instance *instance, const struct pg_upstream *upstream,
                             int64_t timeout_ms, pg_done_cb done, void *arg, struct error *err)
{
    static const struct pg_task_ops ops = {
        .name = "upstream", .step = upstream_step, .release = upstream_release};

    if (upstream != NULL &&
        (strlen(upstream->host) >= PG_HOST_BYTES || !pg_conf_is_line(upstream->host))) {
        return error_set(err, ERR_INVALID, "the upstream's host is no host name");
    }
    struct upstream_data *data = mem_new(struct upstream_data);
    data->data_dir = instance->config.data_dir;
    data->marker_path = instance->marker_path;
    data->service_path = instance->service_path;
    if (upstream != NULL) {
        memcpy(data->host, upstream->host, strlen(upstream->host) + 1);
        data->upstream = (struct pg_upstream){data->host, upstream->port};
        data->attach = true;
    }
    int rc = pg_task_start(instance, &ops, data, timeout_ms, done, arg, NULL, err);
    if (rc != 0) {
        mem_free(data);
    }
    return rc;
}
