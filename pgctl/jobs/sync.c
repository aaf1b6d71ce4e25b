/* Synchronous replication: the file of the setting, looks, and the end of walsenders.
 *
 * Set:  WRITE -> CONNECT -> ASK -> [WAIT -> CONNECT] ... -> [TAKING] ... -> end
 *
 * The postmaster reads the file, and then tells its children, one after the other, in one turn of
 * its loop: a connection that it makes with the new value was made after all were told. Whether
 * backends wait at all is a flag in shared memory, which the checkpointer sets when it comes to
 * read the file itself (pgctl/jobs/taken.c). */
#include "pgctl/pg_sync.h"

#include "base/assert.h"
#include "base/mem.h"
#include "pgctl/jobs/pg_private.h"
#include "pgctl/jobs/taken.h"
#include "pgctl/proc/pg_files.h"
#include "pgctl/proc/pg_postmaster.h"
#include "pgctl/sql/pg_answers.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define CONF_BYTES_MAX ((size_t)1024 * 1024)
#define LOOK_EVERY_MS  10
/* Who still sees another value by then has it from somewhere else. */
#define TAKEN_MS_MAX 3000

/* --- set -------------------------------------------------------------------------------------- */

enum { SET_WRITE, SET_WRITTEN, SET_CONNECT, SET_ASK, SET_ASKED, SET_TAKING };

struct set_data {
    const struct pg_conf_files *files;
    bool ours;
    char value[PG_SYNC_VALUE_BYTES];
    struct buf text;
    int32_t pid; /* of the postmaster that was told; 0 = none runs */
    int64_t told_ms;
    struct pg_taken taken;
};

static int write_work(void *arg, struct error *err)
{
    struct set_data *data = arg;
    const char *data_dir = data->files->data_dir;

    int rc = pg_file_write(data->files->sync, buf_span(&data->text), 0600, err);
    if (rc != 0) {
        return rc;
    }
    rc = pg_dir_postmaster(data_dir, &data->pid, err);
    if (rc != 0 || data->pid == 0) {
        return rc;
    }
    rc = pg_postmaster_signal(data_dir, data->pid, SIGHUP, err);
    if (rc == ERR_NOT_FOUND) {
        data->pid = 0; /* it has just ended: the next start reads the file */
        rc = 0;
    }
    return rc;
}

static bool is_in_force(const struct set_data *data, const char *setting)
{
    struct pg_sync_names wanted;
    struct pg_sync_names found;
    struct buf a = BUF_INIT;
    struct buf b = BUF_INIT;
    if (!data->ours) {
        return true; /* whatever the parameters say */
    }
    bool same = pg_sync_names_parse(data->value, &wanted, NULL) == 0 &&
                pg_sync_names_parse(setting, &found, NULL) == 0;
    if (same) {
        pg_sync_names_put(&a, &wanted);
        pg_sync_names_put(&b, &found);
        same = span_equal(buf_span(&a), buf_span(&b));
    }
    buf_free(&a);
    buf_free(&b);
    return same;
}

static void set_taking(struct pg_task *task, struct set_data *data)
{
    int rc = pg_taken_step(task, &data->taken);
    if (rc > 0) {
        task->pg->sync_taken_by = data->pid;
        pg_task_end(task);
    } else if (rc < 0) {
        error_wrap(&task->err, "setting synchronous_standby_names");
        pg_task_fail(task);
    }
}

static void set_asked(struct pg_task *task, struct set_data *data)
{
    struct pg_instance *pg = task->pg;
    const char *setting = pg_cell(task->answer.results[0], 0, 0);

    if (!is_in_force(data, setting)) {
        if (pg_task_expired(task) || clock_mono_ms(pg->clock) - data->told_ms > TAKEN_MS_MAX) {
            pg_task_fail_with(task, ERR_CONFLICT,
                              "synchronous_standby_names is '%.200s' in spite of " PG_CONF_SYNC_FILE
                              ": ALTER SYSTEM, or an argument of the server, sets it",
                              setting);
            return;
        }
        task->state = SET_CONNECT;
        pg_task_wait(task, LOOK_EVERY_MS);
    } else if (data->value[0] == '\0') {
        pg->sync_taken_by = 0;
        pg_task_end(task);
    } else if (pg->sync_taken_by == data->pid) {
        pg_task_end(task);
    } else {
        task->state = SET_TAKING;
        pg_task_say(task, "a checkpoint, so that commits wait for standbys");
        set_taking(task, data);
    }
}

static void set_step(struct pg_task *task)
{
    struct set_data *data = task->data;

    if (task->rc != 0) {
        error_wrap(&task->err, "setting synchronous_standby_names");
        pg_task_fail(task);
        return;
    }
    switch (task->state) {
    case SET_WRITE:
        task->state = SET_WRITTEN;
        pg_task_work(task, write_work, data);
        return;
    case SET_WRITTEN:
        buf_clear(&task->pg->sync_conf);
        buf_put_span(&task->pg->sync_conf, buf_span(&data->text));
        if (data->pid == 0) {
            pg_task_end(task);
            return;
        }
        data->told_ms = clock_mono_ms(task->pg->clock);
        task->state = SET_ASK;
        pg_task_connect_local(task);
        return;
    case SET_CONNECT:
        task->state = SET_ASK;
        pg_task_connect_local(task);
        return;
    case SET_ASK:
        task->state = SET_ASKED;
        pg_task_query(task, "SHOW synchronous_standby_names");
        return;
    case SET_ASKED: set_asked(task, data); return;
    case SET_TAKING: set_taking(task, data); return;
    default: ASSERT(false);
    }
}

static void set_release(struct pg_task *task)
{
    buf_free(&((struct set_data *)task->data)->text);
}

void pg_sync_conf_put(struct buf *out, const char *value)
{
    buf_put_str(out,
                "# Written by pgquorum: do not edit. Who confirms commits, while synchronous_mode "
                "is on.\n");
    if (value != NULL) {
        buf_put_str(out, "synchronous_standby_names = ");
        pg_quote_conf(out, value);
        buf_put_str(out, "\n");
    }
}

/* postgresql.conf is ours already, so there was such a file. */
static int was_there(const struct pg_conf_files *files, bool *ret_was, struct error *err)
{
    struct buf conf = BUF_INIT;
    int rc = pg_file_read(files->conf, CONF_BYTES_MAX, &conf, err);
    *ret_was = rc == 0 && strstr(buf_str(&conf), PG_CONF_SYNC_FILE "'\n") != NULL;
    buf_free(&conf);
    return rc == ERR_NOT_FOUND ? 0 : rc;
}

int pg_sync_conf_reset(const struct pg_conf_files *files, struct error *err)
{
    struct buf text = BUF_INIT;
    pg_sync_conf_put(&text, NULL);
    int rc = pg_file_write(files->sync, buf_span(&text), 0600, err);
    buf_free(&text);
    return rc;
}

int pg_sync_conf_keep(const struct pg_conf_files *files, struct span known, struct error *err)
{
    struct buf text = BUF_INIT;

    if (pg_file_exists(files->sync)) {
        return 0;
    }
    bool was = false;
    int rc = was_there(files, &was, err);
    if (rc != 0) {
        return rc;
    }
    if (!was) {
        pg_sync_conf_put(&text, NULL);
    } else if (known.len > 0) {
        buf_put_span(&text, known);
    } else {
        pg_sync_conf_put(&text, "\"" PG_SYNC_NOBODY "\"");
    }
    rc = pg_file_write(files->sync, buf_span(&text), 0600, err);
    buf_free(&text);
    return rc;
}

int pg_instance_set_sync(struct pg_instance *instance, const char *value, int64_t timeout_ms,
                         pg_done_cb done, void *arg, struct error *err)
{
    static const struct pg_task_ops ops = {.name = "synchronous standbys",
                                           .configures = true,
                                           .step = set_step,
                                           .release = set_release};
    if (value != NULL && (strlen(value) >= PG_SYNC_VALUE_BYTES || !pg_conf_is_line(value))) {
        return error_set(err, ERR_INVALID, "synchronous_standby_names: not a value of one line");
    }
    struct set_data *data = mem_new(struct set_data);
    data->files = &instance->files;
    data->ours = value != NULL;
    (void)snprintf(data->value, sizeof data->value, "%s", value == NULL ? "" : value);
    pg_sync_conf_put(&data->text, value);
    int rc = pg_task_start(instance, &ops, data, timeout_ms, done, arg, NULL, err);
    if (rc != 0) {
        buf_free(&data->text);
        mem_free(data);
    }
    return rc;
}

/* --- look ------------------------------------------------------------------------------------- */

static const char look_sql[] =
    "SHOW synchronous_standby_names;"
    "SELECT pid, (extract(epoch from backend_start) * 1000000)::bigint, application_name"
    ", state = 'streaming', sync_priority > 0, write_lsn, flush_lsn, replay_lsn, slot_name"
    " FROM pg_stat_replication LEFT JOIN pg_replication_slots ON active_pid = pid"
    " ORDER BY backend_start, pid;"
    "SELECT pg_current_wal_lsn()";

struct look_data {
    struct pg_sync_look look;
    pg_sync_look_cb done;
    void *arg;
};

static void look_read(const struct pg_answer *answer, struct pg_sync_look *look)
{
    const PGresult *rows = answer->results[1];
    int count = PQntuples(rows);

    (void)snprintf(look->setting, sizeof look->setting, "%s", pg_cell(answer->results[0], 0, 0));
    look->too_many = count > PG_WALSENDERS_MAX;
    for (int i = 0; i < count && i < PG_WALSENDERS_MAX; i++) {
        struct pg_walsender *walsender = &look->walsenders[look->count++];
        walsender->pid = (int32_t)pg_cell_u64(rows, i, 0);
        walsender->start_us = (int64_t)pg_cell_u64(rows, i, 1);
        (void)snprintf(walsender->name, sizeof walsender->name, "%s", pg_cell(rows, i, 2));
        walsender->streaming = pg_cell_bool(rows, i, 3);
        walsender->counts = pg_cell_bool(rows, i, 4);
        walsender->write_lsn = pg_cell_lsn(rows, i, 5);
        walsender->flush_lsn = pg_cell_lsn(rows, i, 6);
        walsender->replay_lsn = pg_cell_lsn(rows, i, 7);
        (void)snprintf(walsender->slot, sizeof walsender->slot, "%s", pg_cell(rows, i, 8));
    }
    look->position = pg_cell_lsn(answer->results[2], 0, 0);
}

static void look_step(struct pg_task *task)
{
    struct look_data *data = task->data;

    if (task->rc != 0) {
        error_wrap(&task->err, "asking who confirms commits");
        pg_task_fail(task);
        return;
    }
    switch (task->state++) {
    case 0:
        data->look.asked_ms = clock_mono_ms(task->pg->clock);
        pg_task_connect_local(task);
        return;
    case 1: pg_task_query(task, look_sql); return;
    default:
        if (task->answer.count != 3) {
            pg_task_fail_with(task, ERR_CORRUPT, "asking who confirms commits: %d answers, not 3",
                              (int)task->answer.count);
            return;
        }
        look_read(&task->answer, &data->look);
        pg_task_end(task);
        return;
    }
}

static void look_told(struct pg_task *task)
{
    struct look_data *data = task->data;
    data->done(data->arg, task->rc, task->rc == 0 ? &data->look : NULL, &task->err);
}

int pg_instance_look_sync(struct pg_instance *instance, int64_t timeout_ms, pg_sync_look_cb done,
                          void *arg, struct error *err)
{
    static const struct pg_task_ops ops = {
        .name = "look at standbys", .step = look_step, .tell = look_told};
    struct look_data *data = mem_new(struct look_data);

    data->done = done;
    data->arg = arg;
    int rc = pg_task_start(instance, &ops, data, timeout_ms, NULL, NULL, NULL, err);
    if (rc != 0) {
        mem_free(data);
    }
    return rc;
}

/* --- the end of walsenders -------------------------------------------------------------------- */

struct end_data {
    struct buf sql;
};

static void end_step(struct pg_task *task)
{
    struct end_data *data = task->data;

    if (task->rc != 0) {
        error_wrap(&task->err, "ending walsenders");
        pg_task_fail(task);
        return;
    }
    switch (task->state++) {
    case 0: pg_task_connect_local(task); return;
    case 1: pg_task_query(task, buf_str(&data->sql)); return;
    default: pg_task_end(task); return;
    }
}

static void end_release(struct pg_task *task)
{
    buf_free(&((struct end_data *)task->data)->sql);
}

int pg_instance_end_walsenders(struct pg_instance *instance, const struct pg_walsender *walsenders,
                               size_t count, int64_t timeout_ms, pg_done_cb done, void *arg,
                               struct error *err)
{
    static const struct pg_task_ops ops = {
        .name = "end walsenders", .step = end_step, .release = end_release};
    struct end_data *data = mem_new(struct end_data);

    ASSERT(count > 0 && count <= PG_WALSENDERS_MAX);
    buf_put_str(&data->sql,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_replication"
                " WHERE (pid, (extract(epoch from backend_start) * 1000000)::bigint) IN (");
    for (size_t i = 0; i < count; i++) {
        buf_printf(&data->sql, "%s(%" PRId32 ", %" PRId64 ")", i == 0 ? "" : ", ",
                   walsenders[i].pid, walsenders[i].start_us);
    }
    buf_put_str(&data->sql, ")");
    int rc = pg_task_start(instance, &ops, data, timeout_ms, done, arg, NULL, err);
    if (rc != 0) {
        buf_free(&data->sql);
        mem_free(data);
    }
    return rc;
}
