/* Stop: the running job is cancelled first, then the fence is asked, then its status is watched
 * until nothing is left.
 *
 *   JOB -> ASK -> ASKED -> WATCH -> end */
#include "base/mem.h"
#include "pgctl/jobs/pg_private.h"

#define WATCH_EVERY_MS 5

enum { STOP_JOB, STOP_ASK, STOP_ASKED, STOP_WATCH };

struct stop_data {
    struct pg_stop request;
};

static bool all_gone(const struct fence_status *status)
{
    return !status->running && !status->killing && (status->all_gone || status->starts == 0);
}

static void ask(struct pg_task *task, const struct stop_data *data)
{
    struct pg_instance *pg = task->pg;

    if (pg->fence == NULL || !fence_client_connected(pg->fence)) {
        pg_task_fail_with(task, ERR_UNAVAILABLE, "there is no fence process to stop PostgreSQL");
        return;
    }
    task->state = STOP_ASKED;
    pg_task_say(task, "stopping PostgreSQL");
    int rc;
    if (data->request.kill_after_ms == 0) {
        rc = fence_client_kill(pg->fence, pg->config.data_dir, pg_task_on_fence, task, &task->err);
    } else {
        rc = fence_client_stop(pg->fence, data->request.mode,
                               clock_lease_ms(pg->clock) + data->request.kill_after_ms,
                               pg_task_on_fence, task, &task->err);
    }
    pg_task_fence(task, rc);
}

static void watch(struct pg_task *task)
{
    struct pg_instance *pg = task->pg;
    if (pg->fence == NULL || !fence_client_connected(pg->fence)) {
        pg_task_fail_with(task, ERR_CLOSED, "the fence is gone while PostgreSQL was being stopped");
    } else if (all_gone(fence_client_status(pg->fence))) {
        pg_task_end(task);
    } else {
        pg_task_wait(task, WATCH_EVERY_MS);
    }
}

static void stop_step(struct pg_task *task)
{
    struct pg_instance *pg = task->pg;

    switch (task->state) {
    case STOP_JOB:
        if (pg->job != NULL && pg->job != task) {
            pg_task_wait(task, WATCH_EVERY_MS); /* its cancellation is on the way */
            return;
        }
        pg->job = task;
        ask(task, task->data);
        return;
    case STOP_ASKED:
        if (task->rc != 0) {
            error_wrap(&task->err, "stopping PostgreSQL");
            pg_task_fail(task);
            return;
        }
        task->state = STOP_WATCH;
        watch(task);
        return;
    default: watch(task); return;
    }
}

int pg_instance_stop(struct pg_instance *instance, const struct pg_stop *stop, pg_done_cb done,
                     void *arg, struct error *err)
{
    /* Not refused while a job runs, so it is none for pg_task_start; it becomes the job when the
     * other has ended. */
    static const struct pg_task_ops ops = {.name = "stop", .job = PG_JOB_NONE, .step = stop_step};
    enum { STOP_MS_MAX = 24 * 3600 * 1000 };
    struct stop_data *data = mem_new(struct stop_data);

    data->request = *stop;
    int rc = pg_task_start(instance, &ops, data, STOP_MS_MAX, done, arg, NULL, err);
    if (rc != 0) {
        mem_free(data);
        return rc;
    }
    if (instance->job != NULL) {
        pg_task_cancel(instance->job);
    }
    return 0;
}
