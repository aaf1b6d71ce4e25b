/* Promotion to a timeline of our choice.
 *
 *   CONNECT -> ASK (timeline) -> PREPARE (history files of skipped numbers) -> SIGNAL <-> LOOK ->
 * end
 *
 * PostgreSQL takes the first number above its own that has no history file, so files for the
 * numbers in between make it skip them. The signal is repeated while the file `promote` is there:
 * it is lost if it comes just as the walreceiver ends, and the startup process then sleeps
 * wal_retrieve_retry_interval. */
#include "base/mem.h"
#include "pgctl/jobs/pg_private.h"
#include "pgctl/pg_parse.h"
#include "pgctl/proc/pg_files.h"
#include "pgctl/sql/pg_answers.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define SIGNAL_EVERY_MS 20
#define SKIPPED_MAX     64

enum {
    PROMOTE_CONNECT,
    PROMOTE_ASK,
    PROMOTE_ASKED,
    PROMOTE_PREPARED,
    PROMOTE_SIGNALED,
    PROMOTE_LOOK,
    PROMOTE_LOOKED,
    PROMOTE_UNDONE
};

static const char look_sql[] =
    "SELECT pg_is_in_recovery(), CASE WHEN pg_is_in_recovery() THEN NULL "
    "ELSE ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int END, "
    "(SELECT timeline_id FROM pg_control_checkpoint())";

struct promote_data {
    struct pg_promote request;
    char data_dir[PG_PATH_BYTES];
    uint32_t from;
    uint32_t made[SKIPPED_MAX]; /* history files that we wrote */
    size_t made_count;
    struct error why; /* it is undone */
};

static void history_path(const struct promote_data *data, uint32_t timeline, char *path)
{
    char name[PG_HISTORY_NAME_BYTES];
    (void)snprintf(path, PG_PATH_BYTES, "%s/pg_wal/%s", data->data_dir,
                   pg_history_name(timeline, name));
}

static int prepare_work(void *arg, struct error *err)
{
    struct promote_data *data = arg;
    char path[PG_PATH_BYTES];

    for (uint32_t timeline = data->from + 1; timeline < data->request.timeline; timeline++) {
        history_path(data, timeline, path);
        if (pg_file_exists(path)) {
            continue;
        }
        if (data->made_count == SKIPPED_MAX) {
            return error_set(err, ERR_LIMIT, "more than %d timelines to skip", SKIPPED_MAX);
        }
        struct buf text = BUF_INIT;
        pg_conf_skipped_history(&text, data->from);
        int rc = pg_file_write(path, buf_span(&text), 0600, err);
        buf_free(&text);
        if (rc != 0) {
            return rc;
        }
        data->made[data->made_count++] = timeline;
    }
    return 0;
}

static int undo_work(void *arg, struct error *err)
{
    struct promote_data *data = arg;
    char path[PG_PATH_BYTES];
    int rc = 0;
    while (data->made_count > 0 && rc == 0) {
        history_path(data, data->made[--data->made_count], path);
        rc = pg_file_remove(path, err);
    }
    return rc;
}

static int signal_work(void *arg, struct error *err)
{
    const struct promote_data *data = arg;
    char path[PG_PATH_BYTES];
    (void)snprintf(path, sizeof path, "%s/promote", data->data_dir);
    return pg_file_write(path, span_str(""), 0600, err);
}

static void undo(struct pg_task *task, const struct error *why)
{
    ((struct promote_data *)task->data)->why = *why;
    task->state = PROMOTE_UNDONE;
    pg_task_work(task, undo_work, task->data);
}

static void asked(struct pg_task *task, struct promote_data *data)
{
    const PGresult *row = task->rc == 0 && task->answer.count > 0 ? task->answer.results[0] : NULL;

    if (row == NULL) {
        error_wrap(&task->err, "promotion");
        task->rc = task->rc == 0 ? ERR_CORRUPT : task->rc;
        pg_task_fail(task);
        return;
    }
    if (!pg_cell_bool(row, 0, 0)) {
        pg_task_fail_with(task, ERR_REFUSED, "promotion: it runs as a primary already");
        return;
    }
    data->from = (uint32_t)pg_cell_u64(row, 0, 2);
    if (data->request.timeline <= data->from) {
        pg_task_fail_with(task, ERR_REFUSED,
                          "promotion: timeline %u is not above the present one, %u",
                          data->request.timeline, data->from);
        return;
    }
    task->state = PROMOTE_PREPARED;
    pg_task_say(task, "promoting to timeline %u", data->request.timeline);
    pg_task_work(task, prepare_work, data);
}

/* The last moment: from here on it may become writable at any time. */
static void commit(struct pg_task *task, struct promote_data *data)
{
    if (task->rc != 0) {
        undo(task, &task->err);
        return;
    }
    if (!data->request.still_allowed(data->request.still_allowed_arg)) {
        struct error why;
        (void)error_set(&why, ERR_REFUSED, "the lease does not allow it any more");
        undo(task, &why);
        return;
    }
    task->pg->promote_sent = true;
    task->state = PROMOTE_SIGNALED;
    pg_task_work(task, signal_work, data);
}

static void send_signal(struct pg_task *task)
{
    int32_t pid =
        task->pg->fence == NULL ? 0 : fence_client_status(task->pg->fence)->postmaster_pid;
    if (pid > 0) {
        (void)kill(pid, SIGUSR1);
    }
    task->state = PROMOTE_LOOK;
    pg_task_wait(task, SIGNAL_EVERY_MS);
}

static void looked(struct pg_task *task, const struct promote_data *data)
{
    const PGresult *row = task->rc == 0 && task->answer.count > 0 ? task->answer.results[0] : NULL;

    if (row == NULL) {
        error_wrap(&task->err, "promotion");
        task->rc = task->rc == 0 ? ERR_CORRUPT : task->rc;
        pg_task_fail(task);
    } else if (pg_cell_bool(row, 0, 0)) {
        if (pg_task_expired(task)) {
            pg_task_fail_with(task, ERR_TIMEOUT, "promotion: sent, and it is still in recovery");
        } else {
            send_signal(task);
        }
    } else if ((uint32_t)pg_cell_u64(row, 0, 1) != data->request.timeline) {
        pg_task_fail_with(task, ERR_CONFLICT, "promotion: it made timeline %u instead of %u",
                          (uint32_t)pg_cell_u64(row, 0, 1), data->request.timeline);
    } else {
        pg_task_end(task);
    }
}

static void promote_step(struct pg_task *task)
{
    struct promote_data *data = task->data;

    switch (task->state) {
    case PROMOTE_CONNECT:
        task->state = PROMOTE_ASK;
        pg_task_connect_local(task);
        return;
    case PROMOTE_ASK:
        if (task->rc != 0) {
            error_wrap(&task->err, "promotion");
            pg_task_fail(task);
            return;
        }
        task->state = PROMOTE_ASKED;
        pg_task_query(task, look_sql);
        return;
    case PROMOTE_ASKED: asked(task, data); return;
    case PROMOTE_PREPARED: commit(task, data); return;
    case PROMOTE_SIGNALED:
        if (task->rc != 0) {
            error_wrap(&task->err, "promotion");
            pg_task_fail(task);
            return;
        }
        send_signal(task);
        return;
    case PROMOTE_LOOK:
        task->state = PROMOTE_LOOKED;
        pg_task_query(task, look_sql);
        return;
    case PROMOTE_LOOKED: looked(task, data); return;
    default: /* PROMOTE_UNDONE */
        pg_task_fail_with(task, ERR_REFUSED, "promotion not sent: %s", data->why.text);
        return;
    }
}

int pg_instance_promote(struct pg_instance *instance, const struct pg_promote *promote,
                        int64_t timeout_ms, pg_done_cb done, void *arg, struct error *err)
{
    static const struct pg_task_ops ops = {
        .name = "promote", .job = PG_JOB_PROMOTE, .step = promote_step};
    struct promote_data *data = mem_new(struct promote_data);

    data->request = *promote;
    (void)snprintf(data->data_dir, sizeof data->data_dir, "%s", instance->config.data_dir);
    int rc = pg_task_start(instance, &ops, data, timeout_ms, done, arg, NULL, err);
    if (rc != 0) {
        mem_free(data);
    }
    return rc;
}
