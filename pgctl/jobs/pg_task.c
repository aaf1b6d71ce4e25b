/* The machine round the state machines: outcomes of sub-operations become calls of `step`,
 * cancellation and deadlines are the same for all of them. */
#include "pgctl/jobs/pg_task.h"

#include "base/assert.h"
#include "base/buf.h"
#include "base/mem.h"
#include "pgctl/jobs/command.h"
#include "pgctl/jobs/pg_private.h"

#include <stdarg.h>
#include <stdio.h>

#define CHILD_WATCH_MS 20

static void clear_answer(struct pg_task *task)
{
    for (int i = 0; i < task->answer.count; i++) {
        PQclear(task->answer.results[i]);
    }
    task->answer = (struct pg_answer){0};
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct pg_task *task = handle->data;

    if (task->ops->release != NULL) {
        task->ops->release(task);
    }
    clear_answer(task);
    buf_free(&task->out);
    buf_free(&task->errors);
    mem_free(task->data);
    struct pg_instance *pg = task->pg;
    mem_free(task);
    pg_instance_task_gone(pg);
}

static void end(struct pg_task *task)
{
    ASSERT(!task->ended && task->pending == PG_PENDING_NOTHING);
    task->ended = true;
    list_remove(&task->link);
    pg_conn_free(task->conn);
    task->conn = NULL;
    if (task->pg->job == task) {
        task->pg->job = NULL;
    }
    if (task->ops->tell != NULL) {
        task->ops->tell(task);
    } else if (task->done != NULL) {
        task->done(task->done_arg, task->rc, &task->err);
    }
    uv_close((uv_handle_t *)&task->timer, on_timer_closed);
}

void pg_task_end(struct pg_task *task)
{
    task->rc = 0;
    task->err = (struct error){0};
    end(task);
}

void pg_task_fail(struct pg_task *task)
{
    ASSERT(task->rc < 0);
    end(task);
}

void pg_task_fail_with(struct pg_task *task, int code, const char *fmt, ...)
{
    va_list args;

    task->rc = code;
    task->err.code = code;
    va_start(args, fmt);
    (void)vsnprintf(task->err.text, sizeof task->err.text, fmt, args);
    va_end(args);
    end(task);
}

void pg_task_say(struct pg_task *task, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(task->step_text, sizeof task->step_text, fmt, args);
    va_end(args);
}

int64_t pg_task_left_ms(const struct pg_task *task)
{
    int64_t left = task->deadline_ms - clock_mono_ms(task->pg->clock);
    return left > 1 ? left : 1;
}

/* What could not be undone is left: it is no reason to end otherwise. */
void pg_task_undo_and_fail(struct pg_task *task)
{
    ASSERT(task->rc < 0);
    if (task->ops->undo_files == NULL || task->undoing) {
        end(task);
        return;
    }
    task->undoing = true;
    task->why = task->err;
    task->why.code = task->rc;
    pg_task_work(task, task->ops->undo_files, task->data);
}

/* A sub-operation has ended, called from the loop. */
static void resume(struct pg_task *task, int rc, const struct error *err)
{
    ASSERT(task->pending != PG_PENDING_NOTHING);
    task->pending = PG_PENDING_NOTHING;
    task->rc = rc;
    task->err = err == NULL ? (struct error){0} : *err;
    if (task->undoing) {
        task->rc = task->why.code;
        task->err = task->why;
    } else if (!task->canceled) {
        task->ops->step(task);
        return;
    } else if (task->ops->undo != NULL) {
        task->ops->undo(task);
    }
    if (task->canceled) {
        task->rc = error_set(&task->err, ERR_CANCELED, "%s: canceled", task->ops->name);
    }
    pg_task_undo_and_fail(task);
}

static void on_task_timer(uv_timer_t *timer)
{
    resume(timer->data, 0, NULL);
}

static void on_task_refused(uv_timer_t *timer)
{
    struct pg_task *task = timer->data;
    struct error err = task->err;
    resume(task, err.code, &err);
}

/* A sub-operation that could not even begin: told from the loop, like any other outcome. */
static void refuse(struct pg_task *task)
{
    task->pending = PG_PENDING_WAIT;
    (void)uv_timer_start(&task->timer, on_task_refused, 0, 0);
}

static bool touches_configuration(enum pg_job_kind job)
{
    switch (job) {
    case PG_JOB_BOOTSTRAP:
    case PG_JOB_START:
    case PG_JOB_CLONE:
    case PG_JOB_REWIND:
    case PG_JOB_REMOVE:
    case PG_JOB_MOVE_ASIDE: return true;
    case PG_JOB_NONE:
    case PG_JOB_INSPECT:
    case PG_JOB_STOP:
    case PG_JOB_PROMOTE: break;
    }
    return false;
}

/* True if a task with these operations cannot begin beside that one. A job that a stop has
 * cancelled is not the instance's any more, and may write still: only the next stop goes on to wait
 * for it. */
static bool excludes(const struct pg_task *task, const struct pg_task_ops *ops)
{
    bool is_job = task->ops->job != PG_JOB_NONE;
    if (ops->configures) {
        return task->ops->configures || is_job;
    }
    if (ops->job == PG_JOB_NONE || ops->job == PG_JOB_STOP) {
        return false;
    }
    return is_job || (task->ops->configures && touches_configuration(ops->job));
}

/* What a task with these operations has to wait for; NULL = nothing. */
static const struct pg_task *find_obstacle(const struct pg_instance *pg,
                                           const struct pg_task_ops *ops)
{
    if (pg->job != NULL && (ops->job != PG_JOB_NONE || ops->configures)) {
        return pg->job;
    }
    LIST_EACH(item, &pg->tasks)
    {
        const struct pg_task *task = LIST_OWNER(item, struct pg_task, link);
        if (excludes(task, ops)) {
            return task;
        }
    }
    return NULL;
}

int pg_task_start(struct pg_instance *pg, const struct pg_task_ops *ops, void *data_take,
                  int64_t timeout_ms, pg_done_cb done, void *arg, struct pg_task **ret_task,
                  struct error *err)
{
    if (pg->closing) {
        return error_set(err, ERR_CANCELED, "%s: the instance is being freed", ops->name);
    }
    const struct pg_task *obstacle = find_obstacle(pg, ops);
    if (obstacle != NULL) {
        return error_set(err, ERR_BUSY, "%s: %s is running", ops->name, obstacle->ops->name);
    }
    if (pg->task_count >= PG_TASKS_MAX) {
        return error_set(err, ERR_LIMIT, "%s: %d operations are running", ops->name, PG_TASKS_MAX);
    }
    struct pg_task *task = mem_new(struct pg_task);
    task->pg = pg;
    task->ops = ops;
    task->data = data_take;
    task->started_ms = clock_mono_ms(pg->clock);
    task->deadline_ms = task->started_ms + timeout_ms;
    task->done = done;
    task->done_arg = arg;
    (void)uv_timer_init(pg->loop, &task->timer);
    task->timer.data = task;
    list_append(&pg->tasks, &task->link);
    pg->task_count++;
    if (ops->job != PG_JOB_NONE) {
        pg->job = task;
    }
    pg_task_say(task, "%s", ops->name);
    task->pending = PG_PENDING_START;
    (void)uv_timer_start(&task->timer, on_task_timer, 0, 0);
    if (ret_task != NULL) {
        *ret_task = task;
    }
    return 0;
}

void pg_task_cancel(struct pg_task *task)
{
    if (task->canceled || task->ended) {
        return;
    }
    task->canceled = true;
    switch (task->pending) {
    case PG_PENDING_CHILD: pg_child_kill(task->child); break;
    case PG_PENDING_CONN:
        pg_conn_free(task->conn);
        task->conn = NULL;
        (void)uv_timer_start(&task->timer, on_task_timer, 0, 0);
        break;
    case PG_PENDING_START:
    case PG_PENDING_WAIT: (void)uv_timer_start(&task->timer, on_task_timer, 0, 0); break;
    case PG_PENDING_WORK:
    case PG_PENDING_FENCE: break; /* short, and not to be taken back */
    case PG_PENDING_NOTHING:
        break; /* inside its own step: noticed at the next sub-operation's end */
    }
}

bool pg_task_expired(const struct pg_task *task)
{
    return clock_mono_ms(task->pg->clock) >= task->deadline_ms;
}

void pg_task_wait(struct pg_task *task, int64_t wait_ms)
{
    int64_t left = pg_task_left_ms(task);
    task->pending = PG_PENDING_WAIT;
    (void)uv_timer_start(&task->timer, on_task_timer, (uint64_t)(wait_ms < left ? wait_ms : left),
                         0);
}

void pg_task_again(struct pg_task *task)
{
    pg_task_wait(task, 0);
}

static void on_child_watch(uv_timer_t *timer)
{
    struct pg_task *task = timer->data;
    if (!task->canceled && task->ops->ends_child(task)) {
        (void)uv_timer_stop(timer);
        pg_child_kill(task->child);
    }
}

static void on_child(void *arg, int rc, const struct pg_child_result *result,
                     const struct error *err)
{
    struct pg_task *task = arg;
    (void)uv_timer_stop(&task->timer);
    task->child = NULL;
    buf_clear(&task->out);
    buf_clear(&task->errors);
    buf_put_span(&task->out, result->out);
    buf_put_span(&task->errors, result->err);
    if (task->command != NULL) {
        pg_command_tell(task, rc, err);
    }
    resume(task, rc, err);
}

static bool on_child_line(void *arg, struct span line)
{
    struct pg_task *task = arg;
    return task->ops->take_line(task, line);
}

void pg_task_child(struct pg_task *task, const char *const *argv, const char *cwd,
                   const char *input)
{
    char *const *env = task->child_env != NULL ? task->child_env : task->pg->child_env;
    int64_t left_ms = pg_task_left_ms(task);
    const struct pg_command *command = task->command;
    struct pg_child_spec spec = {
        .self_exe = task->pg->self_exe,
        .argv = argv,
        .env = (const char *const *)env,
        .cwd = cwd,
        .input = input,
        .timeout_ms =
            command != NULL && command->timeout_ms < left_ms ? command->timeout_ms : left_ms,
        .is_group = command != NULL,
        .spares_rest = command != NULL && command->spares_rest,
        .take_line = task->ops->take_line != NULL ? on_child_line : NULL,
    };
    if (pg_child_start(task->pg->loop, &spec, on_child, task, &task->child, &task->err) != 0) {
        task->child = NULL;
        if (command != NULL) {
            pg_command_tell(task, task->err.code, &task->err);
        }
        refuse(task);
        return;
    }
    task->pending = PG_PENDING_CHILD;
    if (task->ops->ends_child != NULL) {
        (void)uv_timer_start(&task->timer, on_child_watch, CHILD_WATCH_MS, CHILD_WATCH_MS);
    }
}

static void connect_local(struct pg_task *task, int attempt);

static enum pg_local_way local_way(const struct pg_task *task)
{
    const struct pg_instance_config *config = &task->pg->config;
    return task->local_walsender == PG_CONN_BACKEND ? config->local_way : config->local_repl_way;
}

static void on_conn(void *arg, int rc, struct pg_answer *answer, const struct error *err)
{
    struct pg_task *task = arg;

    if (task->local_try == 1 && (rc == ERR_CLOSED || rc == ERR_PERMISSION) &&
        pg_local_has_second(task->pg, local_way(task))) {
        connect_local(task, 2);
        return;
    }
    if (task->local_try == 2 && rc == 0) {
        task->pg->avoid_socket =
            !task->pg->avoid_socket; /* the other way is the better one from now on */
    }
    task->local_try = 0;
    clear_answer(task);
    task->answer = *answer;
    *answer = (struct pg_answer){0}; /* taken: steps look at it beyond this callback */
    resume(task, rc, err);
}

void pg_task_connect(struct pg_task *task, const struct pg_conn_target *target)
{
    pg_conn_free(task->conn);
    task->conn = NULL;
    if (pg_conn_open(task->pg->loop, target, pg_task_left_ms(task), on_conn, task, &task->conn,
                     &task->err) != 0) {
        task->conn = NULL;
        refuse(task);
        return;
    }
    task->pending = PG_PENDING_CONN;
}

static void connect_local(struct pg_task *task, int attempt)
{
    struct pg_conn_target target = pg_local_target(task->pg, local_way(task), attempt == 2);
    target.walsender = task->local_walsender;
    target.statement_timeout_ms = task->local_statement_ms;
    if (task->local_database != NULL) {
        target.database = task->local_database;
    }
    task->local_try = attempt;
    pg_task_connect(task, &target);
}

void pg_task_connect_local(struct pg_task *task)
{
    task->local_walsender = PG_CONN_BACKEND;
    connect_local(task, 1);
}

void pg_task_connect_walsender(struct pg_task *task)
{
    task->local_walsender = PG_CONN_DATABASE;
    connect_local(task, 1);
}

void pg_task_query(struct pg_task *task, const char *sql)
{
    ASSERT(task->conn != NULL);
    if (pg_conn_query(task->conn, sql, pg_task_left_ms(task), on_conn, task, &task->err) != 0) {
        refuse(task);
        return;
    }
    task->pending = PG_PENDING_CONN;
}

static void on_work(uv_work_t *work)
{
    struct pg_task *task = work->data;
    task->rc = task->work_fn(task->work_arg, &task->err);
}

static void on_work_done(uv_work_t *work, int status)
{
    struct pg_task *task = work->data;
    struct error err = task->err;
    (void)status; /* never cancelled */
    resume(task, task->rc, &err);
}

void pg_task_work(struct pg_task *task, int (*fn)(void *arg, struct error *err), void *arg)
{
    task->pending = PG_PENDING_WORK;
    task->work_fn = fn;
    task->work_arg = arg;
    task->work.data = task;
    task->err = (struct error){0};
    int rc = uv_queue_work(task->pg->loop, &task->work, on_work, on_work_done);
    ASSERT(rc == 0); /* fails only without a function */
}

void pg_task_on_fence(void *arg, int rc, const struct fence_status *status, const struct error *err)
{
    struct pg_task *task = arg;
    if (status != NULL) {
        task->fence_status = *status;
    }
    resume(task, rc, err);
}

void pg_task_fence(struct pg_task *task, int rc)
{
    if (rc != 0) {
        refuse(task);
        return;
    }
    task->pending = PG_PENDING_FENCE;
}
