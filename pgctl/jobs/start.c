/* Start of an existing instance.
 *
 *   LOOK -> WRITE (files) -> LAUNCH -> end
 *
 * Never started: an unfinished directory (a half-rewound one would serve mixed pages), a foreign or
 * broken one, one in which a postmaster works already. */
#include "base/mem.h"
#include "pgctl/jobs/inspect.h"
#include "pgctl/jobs/launch.h"
#include "pgctl/jobs/pg_private.h"

#include <string.h>

enum { START_LOOK, START_WRITTEN, START_LAUNCH };

struct start_data {
    struct pg_look look;
    struct pg_launch launch;
    struct pg_file_set files;
    char host[PG_HOST_BYTES];
    struct pg_upstream upstream;
    bool attached;
    bool standby;
};

static void start_release(struct pg_task *task)
{
    pg_file_set_free(&((struct start_data *)task->data)->files);
}

static void write_files(struct pg_task *task, struct start_data *data)
{
    const struct pg_inspection *found = &data->look.found;

    if (found->kind != PG_DIR_VALID) {
        pg_task_fail_with(task, ERR_REFUSED, "starting PostgreSQL: %s",
                          found->reason[0] == '\0' ? "there is no data directory" : found->reason);
        return;
    }
    if (found->running) {
        pg_task_fail_with(task, ERR_EXISTS,
                          "starting PostgreSQL: process %d works in the data directory already",
                          (int)found->pidfile_pid);
        return;
    }
    task->state = START_WRITTEN;
    pg_task_say(task, "writing the configuration");
    pg_file_set_make(&data->files, task->pg, data->standby);
    pg_file_set_service(&data->files, task->pg, data->attached ? &data->upstream : NULL);
    pg_task_work(task, pg_file_set_write, &data->files);
}

static void launch(struct pg_task *task, struct start_data *data)
{
    int rc = pg_launch_step(task, &data->launch);
    if (rc > 0) {
        pg_task_end(task);
    } else if (rc < 0) {
        pg_task_fail(task);
    }
}

static void start_step(struct pg_task *task)
{
    struct start_data *data = task->data;

    switch (task->state) {
    case START_LOOK:
        if (pg_look_step(task, &data->look)) {
            write_files(task, data);
        }
        return;
    case START_WRITTEN:
        if (task->rc != 0) {
            error_wrap(&task->err, "writing the configuration");
            pg_task_fail(task);
            return;
        }
        task->state = START_LAUNCH;
        launch(task, data);
        return;
    default: launch(task, data); return;
    }
}

int pg_instance_start(struct pg_instance *instance, const struct pg_start *start,
                      int64_t timeout_ms, pg_done_cb done, void *arg, struct error *err)
{
    static const struct pg_task_ops ops = {
        .name = "start", .job = PG_JOB_START, .step = start_step, .release = start_release};

    if (start->upstream != NULL && (strlen(start->upstream->host) >= PG_HOST_BYTES ||
                                    !pg_conf_is_line(start->upstream->host))) {
        return error_set(err, ERR_INVALID, "the upstream's host is no host name");
    }
    struct start_data *data = mem_new(struct start_data);
    data->standby = start->role == PG_START_STANDBY;
    data->launch.standby = data->standby;
    if (start->upstream != NULL) {
        memcpy(data->host, start->upstream->host, strlen(start->upstream->host) + 1);
        data->upstream = (struct pg_upstream){data->host, start->upstream->port};
        data->attached = true;
    }
    pg_look_begin(&data->look, instance);
    int rc = pg_task_start(instance, &ops, data, timeout_ms, done, arg, NULL, err);
    if (rc != 0) {
        mem_free(data);
    }
    return rc;
}
