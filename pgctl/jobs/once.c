#include "pgctl/jobs/once.h"

#include "base/mem.h"
#include "pgctl/jobs/pg_task.h"

static void once_step(struct pg_task *task)
{
    const struct pg_once *once = task->data;

    if (task->state++ == 0) {
        pg_task_work(task, once->work, task->data);
    } else if (task->rc != 0) {
        error_wrap(&task->err, "%s", once->doing);
        pg_task_fail(task);
    } else {
        pg_task_end(task);
    }
}

int pg_once_start(struct pg_instance *pg, struct pg_once *once_take, int64_t timeout_ms,
                  pg_done_cb done, void *arg, struct error *err)
{
    static const struct pg_task_ops ops = {.name = "note", .step = once_step};
    int rc = pg_task_start(pg, &ops, once_take, timeout_ms, done, arg, NULL, err);
    if (rc != 0) {
        mem_free(once_take);
    }
    return rc;
}
