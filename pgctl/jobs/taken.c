/* The checkpointer reads the settings at the beginning of each turn of its loop, and nothing shows
 * that it has. But a checkpoint that was asked for begins later in such a turn, and that shows: who
 * waits for its end was told that it has begun. (It is not waited for: it writes all that is dirty,
 * for up to minutes.) The turn must not have been under way when the settings came: so it is asked
 * for only after the checkpointer was seen waiting for something, which it does nowhere between the
 * two.
 *
 *   LOOK -> LOOKED -> LOOK -> LOOKED, asks -> LOOK -> ... -> the checkpoint has begun, or ended
 *
 * The one who asks and waits is a task of its own, which may outlive this one. */
#include "pgctl/jobs/taken.h"

#include "base/mem.h"
#include "pgctl/jobs/pg_private.h"
#include "pgctl/sql/pg_answers.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define LOOK_EVERY_MS 10
/* A server that shows no waits (track_activities is off in PostgreSQL 13): the end is waited for.
 */
#define BLIND_MS      1000
#define CHECKPOINT_MS (10 * 60 * 1000)

/* --- who asks --------------------------------------------------------------------------------- */

enum { ASK_CONNECT, ASK_WHO, ASK_CHECKPOINT, ASK_ENDED };

struct ask_data {
    uint32_t number;
};

static void ask_step(struct pg_task *task)
{
    const struct ask_data *data = task->data;
    struct pg_checkpoint_asked *asked = &task->pg->checkpoint;
    bool is_last = asked->number == data->number;

    if (task->rc != 0) {
        error_wrap(&task->err, "checkpoint");
        pg_task_fail(task);
        return;
    }
    switch (task->state++) {
    case ASK_CONNECT: pg_task_connect_local(task); return;
    case ASK_WHO: pg_task_query(task, "SELECT pg_backend_pid()"); return;
    case ASK_CHECKPOINT:
        if (is_last) {
            asked->backend = (int32_t)pg_cell_u64(task->answer.results[0], 0, 0);
        }
        pg_task_query(task, "CHECKPOINT");
        return;
    default: pg_task_end(task);
    }
}

static void ask_told(struct pg_task *task)
{
    const struct ask_data *data = task->data;
    struct pg_checkpoint_asked *asked = &task->pg->checkpoint;
    if (asked->number == data->number) {
        asked->ended = true;
        asked->err = task->err;
        asked->err.code = task->rc;
    }
}

static int ask(struct pg_task *task, struct pg_taken *taken)
{
    static const struct pg_task_ops ops = {
        .name = "checkpoint", .step = ask_step, .tell = ask_told};
    struct pg_instance *pg = task->pg;
    struct ask_data *data = mem_new(struct ask_data);

    data->number = ++pg->checkpoint.number;
    pg->checkpoint.backend = 0;
    pg->checkpoint.ended = false;
    task->rc = pg_task_start(pg, &ops, data, CHECKPOINT_MS, NULL, NULL, NULL, &task->err);
    if (task->rc != 0) {
        mem_free(data);
    }
    taken->asked = pg->checkpoint.number;
    return task->rc;
}

/* --- who looks -------------------------------------------------------------------------------- */

static int look(struct pg_task *task, struct pg_taken *taken)
{
    const struct pg_checkpoint_asked *asked = &task->pg->checkpoint;
    char sql[512];

    if (taken->asked != 0 && asked->ended) {
        task->err = asked->err;
        task->rc = asked->err.code;
        return task->rc == 0 ? 1 : task->rc;
    }
    if (pg_task_expired(task)) {
        return task->rc = error_set(&task->err, ERR_TIMEOUT,
                                    "the checkpointer has not begun a checkpoint");
    }
    (void)snprintf(sql, sizeof sql,
                   "SELECT coalesce(bool_or(backend_type = 'checkpointer' AND wait_event IS NOT "
                   "NULL), false), coalesce(bool_or(pid = %" PRId32
                   " AND wait_event = 'CheckpointDone'), false) FROM pg_stat_activity",
                   taken->asked != 0 ? asked->backend : 0);
    taken->state = PG_TAKEN_LOOKED;
    pg_task_query(task, sql);
    return 0;
}

static int looked(struct pg_task *task, struct pg_taken *taken)
{
    const PGresult *row = task->answer.results[0];
    bool waits = pg_cell_bool(row, 0, 0);
    bool begun = pg_cell_bool(row, 0, 1);

    if (taken->asked != 0 && begun && !taken->blind) {
        return 1;
    }
    bool late = clock_mono_ms(task->pg->clock) - taken->since_ms > BLIND_MS;
    if (taken->asked == 0 && (waits || late)) {
        taken->blind = !waits;
        if (ask(task, taken) != 0) {
            return task->rc;
        }
    }
    taken->state = PG_TAKEN_LOOK;
    pg_task_wait(task, LOOK_EVERY_MS);
    return 0;
}

int pg_taken_step(struct pg_task *task, struct pg_taken *taken)
{
    if (taken->since_ms == 0) {
        taken->since_ms = clock_mono_ms(task->pg->clock);
    }
    return taken->state == PG_TAKEN_LOOK ? look(task, taken) : looked(task, taken);
}
