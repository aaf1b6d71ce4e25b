/* Promotion to a timeline number that was chosen before (docs/consensus.md: two promotions must
 * never make the same one).
 *
 *   [BEFORE] -> LOOK -> CONNECT -> ASK -> [DROP (slots)] -> SKIP (history files) -> SEND ->
 * [CONNECT -> ASK -> RESEND] ... -> KEEP (the other slots) -> end
 *
 * PostgreSQL takes the first number that has no history file, so every number between the present
 * and the wanted one gets a file. They are removed again if the promotion is given up before SEND.
 * After the last look at the lease nothing but the signal follows.
 *
 * The signal is repeated while the file `promote` is there: its wake-up can be lost while the
 * walreceiver ends, and then the startup process sleeps for seconds (seen in 6 of 70). */
#include "base/assert.h"
#include "base/buf.h"
#include "base/mem.h"
#include "pgctl/jobs/command.h"
#include "pgctl/jobs/pg_private.h"
#include "pgctl/jobs/promote_slots.h"
#include "pgctl/jobs/slot_copy.h"
#include "pgctl/jobs/slot_mark.h"
#include "pgctl/pg_parse.h"
#include "pgctl/proc/pg_files.h"
#include "pgctl/proc/pg_postmaster.h"
#include "pgctl/sql/pg_answers.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define RESEND_EVERY_MS 50
#define LOOK_EVERY_MS   10
#define SKIPPED_MAX \
    64 /* numbers left out at once: each is a primary that died before anyone saw it */

enum {
    PROMOTE_BEFORE,
    PROMOTE_LOOK,
    PROMOTE_CONNECT,
    PROMOTE_ASK,
    PROMOTE_ASKED,
    PROMOTE_DROPPED,
    PROMOTE_SKIPPED,
    PROMOTE_SENT,
    PROMOTE_WAITED,
    PROMOTE_KEPT
};

struct promote_data {
    struct pg_promote promote;
    struct pg_command before;
    struct pg_promote_slots slots;
    char data_dir[PG_PATH_BYTES];
    int32_t pid;
    uint32_t current;
    size_t made_count;
    uint32_t made[SKIPPED_MAX]; /* history files that we made */
    bool sent;
    int64_t signaled_ms;
};

/* A standby's timeline as SQL tells it is a lower bound (pg_answers.c). That does here: the number
 * wanted is above every exact position that was reported, and should it be the present one, its
 * history file is in pg_wal and refuses it. Such a file is never written over. */
static const char ask_sql[] =
    "SELECT r.rec, CASE WHEN r.rec THEN greatest(w.received_tli, m.min_recovery_end_timeline, "
    "c.timeline_id)::bigint"
    " ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint END"
    " FROM (SELECT pg_is_in_recovery() AS rec) r CROSS JOIN pg_control_checkpoint() c"
    " CROSS JOIN pg_control_recovery() m LEFT JOIN pg_stat_wal_receiver w ON true";

static void history_path(const struct promote_data *data, uint32_t timeline, char *ret_path)
{
    char name[PG_HISTORY_NAME_BYTES];
    (void)snprintf(ret_path, PG_PATH_BYTES, "%.900s/pg_wal/%s", data->data_dir,
                   pg_history_name(timeline, name));
}

static int look_work(void *arg, struct error *err)
{
    struct promote_data *data = arg;
    int rc = pg_dir_postmaster(data->data_dir, &data->pid, err);
    if (rc != 0) {
        return rc;
    }
    return data->pid == 0 ? error_set(err, ERR_REFUSED, "PostgreSQL is not running")
                          : pg_slot_marks_read(data->data_dir, &data->slots.marks, err);
}

static int skip_work(void *arg, struct error *err)
{
    struct promote_data *data = arg;
    struct buf text = BUF_INIT;
    char path[PG_PATH_BYTES];
    int rc = 0;

    history_path(data, data->promote.timeline, path);
    if (pg_file_exists(path)) {
        return error_set(err, ERR_REFUSED,
                         "timeline %" PRIu32 " has been made already: '%s' is there",
                         data->promote.timeline, path);
    }
    pg_conf_skipped_history(&text, data->current);
    for (uint32_t timeline = data->current + 1; rc == 0 && timeline < data->promote.timeline;
         timeline++) {
        history_path(data, timeline, path);
        if (!pg_file_exists(path)) {
            rc = pg_file_write(path, buf_span(&text), 0600, err);
            if (rc == 0) {
                data->made[data->made_count++] = timeline;
            }
        }
    }
    buf_free(&text);
    return rc;
}

static int undo_work(void *arg, struct error *err)
{
    struct promote_data *data = arg;
    char path[PG_PATH_BYTES];
    int rc = 0;

    while (!data->sent && data->made_count > 0) {
        history_path(data, data->made[--data->made_count], path);
        int failed = pg_file_remove(path, err);
        rc = rc != 0 ? rc : failed;
    }
    return rc;
}

/* Not synced: after a power failure nobody wants the promotion any more. */
static int send_work(void *arg, struct error *err)
{
    struct promote_data *data = arg;
    char path[PG_PATH_BYTES];

    (void)snprintf(path, sizeof path, "%.900s/promote", data->data_dir);
    FILE *file = fopen(path, "we");
    if (file == NULL || fclose(file) != 0) {
        return error_set(err, err_from_errno(errno), "creating '%s': %s", path, strerror(errno));
    }
    int rc = pg_postmaster_signal(data->data_dir, data->pid, SIGUSR1, err);
    if (rc != 0) {
        (void)unlink(path);
        error_wrap(err, "signalling the postmaster");
    }
    return rc;
}

static int resend_work(void *arg, struct error *err)
{
    struct promote_data *data = arg;
    char path[PG_PATH_BYTES];

    (void)err;
    (void)snprintf(path, sizeof path, "%.900s/promote", data->data_dir);
    if (pg_file_exists(path)) { /* should it be gone, the next question finds that out */
        (void)!pg_postmaster_signal(data->data_dir, data->pid, SIGUSR1, NULL);
    }
    return 0;
}

static void fail_promote(struct pg_task *task)
{
    error_wrap(&task->err, "promoting to timeline %" PRIu32,
               ((struct promote_data *)task->data)->promote.timeline);
    pg_task_undo_and_fail(task);
}

static void drop_slots(struct pg_task *task, struct promote_data *data)
{
    task->state = PROMOTE_DROPPED;
    if (pg_promote_slots_step(task, &data->slots)) {
        task->state = PROMOTE_SKIPPED;
        pg_task_work(task, skip_work, data);
    }
}

/* What is left of the marks when this fails, the agent takes away (pg_logical_slots.real). */
static int keep_work(void *arg, struct error *err)
{
    struct promote_data *data = arg;
    return pg_promote_slots_keep(&data->slots, data->data_dir, err);
}

static void keep_slots(struct pg_task *task, struct promote_data *data)
{
    if (data->sent) {
        task->state = PROMOTE_KEPT;
        pg_task_work(task, keep_work, data);
    } else {
        pg_task_end(task); /* it was promoted already: what was good before is not known here */
    }
}

/* Before the signal. */
static void decide(struct pg_task *task, struct promote_data *data)
{
    if (data->current >= data->promote.timeline) {
        pg_task_fail_with(task, ERR_REFUSED,
                          "promoting to timeline %" PRIu32 ": the instance is on timeline %" PRIu32
                          " already",
                          data->promote.timeline, data->current);
    } else if (data->promote.timeline - data->current > SKIPPED_MAX) {
        pg_task_fail_with(task, ERR_LIMIT,
                          "promoting to timeline %" PRIu32 ": more than %d numbers above %" PRIu32,
                          data->promote.timeline, SKIPPED_MAX, data->current);
    } else {
        pg_promote_slots_judge(&data->slots, data->current);
        drop_slots(task, data);
    }
}

static void asked(struct pg_task *task, struct promote_data *data)
{
    bool in_recovery = pg_cell_bool(task->answer.results[0], 0, 0);
    uint32_t timeline = (uint32_t)pg_cell_u64(task->answer.results[0], 0, 1);

    if (!in_recovery && timeline == data->promote.timeline) {
        keep_slots(task, data);
    } else if (!in_recovery) {
        pg_task_fail_with(task, ERR_CONFLICT,
                          "promoted to timeline %" PRIu32 " in place of %" PRIu32, timeline,
                          data->promote.timeline);
    } else if (!data->sent) {
        data->current = timeline;
        decide(task, data);
    } else if (clock_mono_ms(task->pg->clock) - data->signaled_ms >= RESEND_EVERY_MS) {
        task->state = PROMOTE_SENT;
        data->signaled_ms = clock_mono_ms(task->pg->clock);
        pg_task_work(task, resend_work, data);
    } else {
        task->state = PROMOTE_WAITED;
        pg_task_wait(task, LOOK_EVERY_MS);
    }
}

static void send_or_undo(struct pg_task *task, struct promote_data *data)
{
    if (data->promote.still_allowed != NULL &&
        !data->promote.still_allowed(data->promote.still_allowed_arg)) {
        task->rc =
            error_set(&task->err, ERR_REFUSED,
                      "promoting to timeline %" PRIu32 ": not allowed any more, nothing was sent",
                      data->promote.timeline);
        pg_task_undo_and_fail(task);
        return;
    }
    task->state = PROMOTE_SENT;
    task->pg->promote_sent =
        true; /* before it is: a crash between the two must not look as if it were not */
    data->sent = true;
    data->signaled_ms = clock_mono_ms(task->pg->clock);
    pg_task_say(task, "promotion sent, waiting for the end of recovery");
    pg_task_work(task, send_work, data);
}

/* After the signal a lost connection is made anew: promotion itself ends none, but the instance may
 * be short of memory. */
static void step_failed(struct pg_task *task, struct promote_data *data)
{
    if (task->state == PROMOTE_LOOK) { /* the operator's command, by whatever it has failed */
        task->rc = task->err.code = ERR_REFUSED;
    }
    if (!data->sent || task->state == PROMOTE_SENT) {
        fail_promote(task);
    } else if (pg_task_expired(task)) {
        pg_task_fail_with(task, ERR_TIMEOUT,
                          "promotion to timeline %" PRIu32 " was sent, and is not done in time",
                          data->promote.timeline);
    } else {
        task->state = PROMOTE_CONNECT;
        pg_task_wait(task, LOOK_EVERY_MS);
    }
}

static void promote_step(struct pg_task *task)
{
    struct promote_data *data = task->data;

    bool of_one = task->state == PROMOTE_DROPPED && task->rc == ERR_REFUSED;
    if (task->rc != 0 && !of_one && task->state != PROMOTE_KEPT) {
        step_failed(task, data);
        return;
    }
    if (data->sent && task->state != PROMOTE_KEPT && pg_task_expired(task)) {
        pg_task_fail_with(task, ERR_TIMEOUT,
                          "promotion to timeline %" PRIu32 " was sent, and is not done in time",
                          data->promote.timeline);
        return;
    }
    switch (task->state) {
    case PROMOTE_BEFORE:
        task->state = PROMOTE_LOOK;
        if (pg_command_given(&data->before)) {
            pg_task_command(task, &data->before, &pg_command_no_words, NULL);
            return;
        }
        __attribute__((fallthrough));
    case PROMOTE_LOOK:
        task->state = PROMOTE_CONNECT;
        pg_task_work(task, look_work, data);
        return;
    case PROMOTE_CONNECT:
        task->state = PROMOTE_ASK;
        pg_task_connect_local(task);
        return;
    case PROMOTE_SENT:
    case PROMOTE_WAITED:
    case PROMOTE_ASK:
        task->state = PROMOTE_ASKED;
        pg_task_query(task, ask_sql);
        return;
    case PROMOTE_ASKED: asked(task, data); return;
    case PROMOTE_DROPPED: drop_slots(task, data); return;
    case PROMOTE_SKIPPED: send_or_undo(task, data); return;
    case PROMOTE_KEPT: pg_task_end(task); return;
    default: ASSERT(false);
    }
}

static void promote_release(struct pg_task *task)
{
    struct promote_data *data = task->data;
    pg_command_free(&data->before);
    pg_promote_slots_free(&data->slots);
}

int pg_instance_promote(struct pg_instance *instance, const struct pg_promote *promote,
                        int64_t timeout_ms, pg_done_cb done, void *arg, struct error *err)
{
    static const struct pg_task_ops ops = {.name = "promote",
                                           .job = PG_JOB_PROMOTE,
                                           .step = promote_step,
                                           .undo_files = undo_work,
                                           .release = promote_release};
    struct promote_data *data = mem_new(struct promote_data);
    struct pg_task *task = NULL;

    data->promote = *promote;
    data->promote.drop_slots = (struct pg_lines){0}; /* the caller's */
    data->before = pg_command_dup(promote->before);
    for (size_t i = 0; i < promote->drop_slots.count; i++) {
        pg_promote_slots_add(&data->slots, promote->drop_slots.items[i]);
    }
    (void)snprintf(data->data_dir, sizeof data->data_dir, "%s", instance->config.data_dir);
    int rc = pg_task_start(instance, &ops, data, data->before.timeout_ms + timeout_ms, done, arg,
                           &task, err);
    if (rc != 0) {
        pg_command_free(&data->before);
        pg_promote_slots_free(&data->slots);
        mem_free(data);
        return rc;
    }
    task->local_statement_ms = PG_DROP_MS_MAX; /* no drop is to take longer */
    buf_clear(&instance->undropped);
    pg_slot_copies_free(instance->copies); /* of who is to be the primary no more */
    instance->copies = NULL;
    return 0;
}

const char *pg_instance_undropped(const struct pg_instance *instance)
{
    return instance->undropped.len == 0 ? "" : (const char *)instance->undropped.data;
}
