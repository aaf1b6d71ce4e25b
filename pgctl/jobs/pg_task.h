/* A task: one operation of an instance that takes several asynchronous steps, written as a state
 * machine.
 *
 * `step` is called with the state and, in rc and err, the outcome of the sub-operation before; it
 * starts *one* sub-operation (pg_task_child, _connect, _query, _work, _wait, a call of the fence)
 * or ends the task (pg_task_end, pg_task_fail). Every sub-operation ends at the task's deadline
 * with ERR_TIMEOUT, and at once with ERR_CANCELED when the task is cancelled; then `step` is not
 * called again, but `undo`, then `undo_files` on the thread pool, and the task ends. Work there and
 * requests to the fence are waited for.
 *
 *    start -> step -> sub-operation -> step -> ... -> end       cancelled: sub-operation -> undo ->
 * end */
#ifndef PGCTL_JOBS_PG_TASK_H
#define PGCTL_JOBS_PG_TASK_H

#include "base/buf.h"
#include "base/list.h"
#include "pgctl/pg_instance.h"
#include "pgctl/proc/pg_child.h"
#include "pgctl/sql/pg_conn.h"

#include <uv.h>

struct pg_task;

struct pg_task_ops {
    const char *name;
    enum pg_job_kind job; /* PG_JOB_NONE: no job, several may run */
    /* No job, and yet one owner of the configuration files: it waits for every job, and what
     * starts, makes or removes the instance waits for it. A stop, a promotion and a look do not. */
    bool configures;
    void (*step)(struct pg_task *task);
    void (*undo)(struct pg_task *task); /* may be NULL; short and synchronous, touches no file */
    /* May be NULL. On a thread of the pool, with the task's data: a disk that stands still must not
     * stop the loop. */
    int (*undo_files)(void *data, struct error *err);
    /* As take_line of a child. NULL: nobody looks. */
    bool (*take_line)(struct pg_task *task, struct span line);
    /* Asked again and again while a child runs: true = it is killed, and `step` goes on. NULL: it
     * may take its time. */
    bool (*ends_child)(const struct pg_task *task);
    void (*tell)(struct pg_task *task);    /* the caller, how it ended; NULL: by `done` */
    void (*release)(struct pg_task *task); /* frees what `data` points to inside; may be NULL */
};

enum pg_pending {
    PG_PENDING_NOTHING,
    PG_PENDING_WAIT,
    PG_PENDING_CHILD,
    PG_PENDING_CONN,
    PG_PENDING_WORK,
    PG_PENDING_FENCE,
    PG_PENDING_START, /* the first step, from the loop */
};

struct pg_task {
    struct list link; /* in the instance's tasks */
    struct pg_instance *pg;
    const struct pg_task_ops *ops;
    void *data; /* of the operation; freed with mem_free after ops->release */
    int state;  /* the operation's own */
    enum pg_pending pending;
    bool canceled;
    bool undoing;
    bool ended;
    int64_t started_ms;
    int64_t deadline_ms; /* mono */
    char step_text[PG_VALUE_BYTES];

    int rc; /* of the last sub-operation */
    struct error err;
    struct error why;        /* what it ends with, while it undoes */
    struct pg_answer answer; /* of the last query; the task's until the next sub-operation */
    struct buf out;          /* standard output of the last child */
    struct buf errors;       /* its standard error */
    int local_try; /* 1, 2: which way to the local server is being tried; 0 = another connection */
    enum pg_conn_walsender local_walsender;
    const char *local_database; /* of connections to the local server; NULL = for maintenance */
    int local_statement_ms;     /* statement_timeout of theirs; 0 = none */
    struct fence_status fence_status;

    uv_timer_t timer;
    uv_timer_t *timer_open; /* &timer while its handle is open */
    struct pg_child *child;
    char *const *child_env;           /* of its programs; NULL: the instance's for programs */
    const struct pg_command *command; /* the child is one of the operator's; else NULL */
    int64_t command_ms;               /* since then; mono */
    struct pg_conn *conn;
    uv_work_t work;
    int (*work_fn)(void *arg, struct error *err);
    void *work_arg;
    pg_done_cb done; /* the ordinary kind of caller's callback */
    void *done_arg;
};

/* Refuses a second job, and what is not to run beside another (ERR_BUSY). On success the first step
 * comes from the loop. `data` is taken over in any case of success. */
int pg_task_start(struct pg_instance *pg, const struct pg_task_ops *ops, void *data_take,
                  int64_t timeout_ms, pg_done_cb done, void *arg, struct pg_task **ret_task,
                  struct error *err) MUST_CHECK;
void pg_task_cancel(struct pg_task *task);

/* --- for steps -------------------------------------------------------------------------------- */

void pg_task_end(struct pg_task *task);  /* success */
void pg_task_fail(struct pg_task *task); /* with task->rc and task->err */
/* The same, after ops->undo_files. */
void pg_task_undo_and_fail(struct pg_task *task);
void pg_task_fail_with(struct pg_task *task, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* What is being done, for people. */
void pg_task_say(struct pg_task *task, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int64_t pg_task_left_ms(const struct pg_task *task); /* at least 1 */
bool pg_task_expired(const struct pg_task *task); /* polling steps ask; a wait itself never fails */

void pg_task_wait(struct pg_task *task, int64_t wait_ms);
/* argv and cwd as in pg_child_spec, with the instance's environment for programs. */
void pg_task_child(struct pg_task *task, const char *const *argv, const char *cwd,
                   const char *input);
/* Replaces the task's connection. */
void pg_task_connect(struct pg_task *task, const struct pg_conn_target *target);
/* To the local server as superuser: over its socket, else over TCP, or as the file says. */
void pg_task_connect_local(struct pg_task *task);
/* The same as a walsender of the maintenance database. */
void pg_task_connect_walsender(struct pg_task *task);
void pg_task_query(struct pg_task *task, const char *sql);
/* `fn` runs on a thread of the pool: files only; it must not touch the instance. */
void pg_task_work(struct pg_task *task, int (*fn)(void *arg, struct error *err), void *arg);
/* For requests of the fence: pending = FENCE before, and this as callback. A negative `rc` of the
 * request itself goes to pg_task_fence_refused. */
void pg_task_on_fence(void *arg, int rc, const struct fence_status *status,
                      const struct error *err);
void pg_task_fence(struct pg_task *task, int rc);
/* Goes on with the next step from the loop. */
void pg_task_again(struct pg_task *task);

#endif
