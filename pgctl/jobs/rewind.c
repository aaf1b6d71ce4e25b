/* Rewind of a former primary, or of a standby that went another way.
 *
 *   LOOK -> CONNECT -> ASK <-> (checkpoint after promotion due) -> MARK -> REWIND -> TIDY -> end
 *
 * The marker stands while pg_rewind works: a half-rewound directory is never started. pg_rewind
 * itself runs crash recovery in single-user mode where the directory was not shut down cleanly
 * (PostgreSQL 13 and later); the signal files would stop that. */
#include "base/mem.h"
#include "pgctl/jobs/inspect.h"
#include "pgctl/jobs/pg_private.h"
#include "pgctl/proc/pg_files.h"
#include "pgctl/sql/pg_answers.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define CHECKPOINT_EVERY_MS 200
#define CHECKPOINT_LOOKS    300

enum {
    REWIND_LOOK,
    REWIND_ASK,
    REWIND_ASKED,
    REWIND_WAITED,
    REWIND_MARKED,
    REWIND_DONE,
    REWIND_TIDIED
};

struct rewind_data {
    struct pg_look look;
    struct pg_file_set files;
    struct pg_rewind request;
    char host[PG_HOST_BYTES];
    const char *data_dir;
    const char *marker_path;
    int looks;
};

static void rewind_release(struct pg_task *task)
{
    pg_file_set_free(&((struct rewind_data *)task->data)->files);
}

static void connect_peer(struct pg_task *task, const struct rewind_data *data)
{
    const struct pg_account *account = pg_rewind_account(task->pg);
    struct pg_conn_target target = {.host = data->host,
                                    .port = data->request.port,
                                    .user = account->username,
                                    .password = account->password,
                                    .database = task->pg->config.database,
                                    .application_name = "pgquorum",
                                    .statement_timeout_ms = 5000};
    task->state = REWIND_ASK;
    pg_task_say(task, "asking %s:%u", data->host, data->request.port);
    pg_task_connect(task, &target);
}

static void looked(struct pg_task *task, const struct rewind_data *data)
{
    const struct pg_inspection *found = &data->look.found;
    bool usable = found->kind == PG_DIR_VALID ||
                  (found->kind == PG_DIR_UNFINISHED && found->unfinished == PG_UNFINISHED_REWIND);
    if (!usable || found->running) {
        pg_task_fail_with(task, ERR_REFUSED, "rewind: '%s' cannot be rewound: %s", data->data_dir,
                          found->running ? "PostgreSQL is running" : found->reason);
    } else if (!found->control.data_checksums && !found->control.wal_log_hints) {
        pg_task_fail_with(task, ERR_REFUSED,
                          "rewind: neither data checksums nor wal_log_hints are on");
    } else {
        connect_peer(task, data);
    }
}

static int mark_work(void *arg, struct error *err)
{
    struct rewind_data *data = arg;
    char path[PG_PATH_BYTES];
    int rc = pg_marker_write(data->marker_path, "rewind", data->data_dir, err);

    /* A socket that a killed server left behind is a file that pg_rewind cannot open. */
    rc = rc != 0 ? rc : pg_dir_remove_locks(data->data_dir, err);

    (void)snprintf(path, sizeof path, "%s/standby.signal", data->data_dir);
    rc = rc != 0 ? rc : pg_file_remove(path, err);
    (void)snprintf(path, sizeof path, "%s/recovery.signal", data->data_dir);
    rc = rc != 0 ? rc : pg_file_remove(path, err);
    return rc != 0
               ? rc
               : pg_file_write(data->files.pgpass_path, buf_span(&data->files.pgpass), 0600, err);
}

static void asked(struct pg_task *task, struct rewind_data *data)
{
    struct pg_peer_facts facts = {0};
    task->rc = pg_peer_read(&task->answer, &facts, &task->err);
    if (task->rc != 0) {
        pg_task_fail(task);
        return;
    }
    pg_history_free(&facts.history);
    if (facts.role != PG_PRIMARY || facts.system_identifier != data->request.system_identifier) {
        pg_task_fail_with(task, ERR_UNAVAILABLE, "rewind: %s:%u is not the primary of this cluster",
                          data->host, data->request.port);
        return;
    }
    if (facts.control_timeline < facts.timeline) {
        if (data->looks++ == CHECKPOINT_LOOKS) {
            pg_task_fail_with(task, ERR_TIMEOUT,
                              "rewind: the primary has made no checkpoint since its promotion");
            return;
        }
        task->state =
            REWIND_WAITED; /* pg_rewind would take the old timeline from its control file */
        pg_task_say(task, "waiting for the primary's checkpoint after its promotion");
        pg_task_wait(task, CHECKPOINT_EVERY_MS);
        return;
    }
    pg_file_set_make(&data->files, task->pg, true);
    task->state = REWIND_MARKED;
    pg_task_work(task, mark_work, data);
}

static void run_rewind(struct pg_task *task, const struct rewind_data *data)
{
    const struct pg_instance *pg = task->pg;
    struct buf source = BUF_INIT;
    char *target = mem_printf("--target-pgdata=%s", data->data_dir);

    buf_put_str(&source, "--source-server=host=");
    pg_quote_conninfo(&source, data->host);
    buf_printf(&source, " port=%u user=", data->request.port);
    pg_quote_conninfo(&source, pg_rewind_account(pg)->username);
    buf_put_str(&source, " dbname=");
    pg_quote_conninfo(&source, pg->config.database);
    buf_put_str(&source, " target_session_attrs=read-write");
    const char *const argv[] = {pg->bin.paths[PG_REWIND], target, buf_str(&source), NULL};
    task->state = REWIND_DONE;
    pg_task_say(task, "rewinding from %s:%u", data->host, data->request.port);
    pg_task_child(task, argv, NULL, NULL);
    buf_free(&source);
    mem_free(target);
}

static int tidy_work(void *arg, struct error *err)
{
    const struct rewind_data *data = arg;
    int rc = pg_dir_remove_locks(data->data_dir, err);
    return rc != 0 ? rc : pg_file_remove(data->marker_path, err);
}

static void rewind_step(struct pg_task *task)
{
    struct rewind_data *data = task->data;

    if (task->rc != 0 && task->state != REWIND_LOOK) {
        error_wrap(&task->err, "rewinding from %s:%u", data->host, data->request.port);
        pg_task_fail(task);
        return;
    }
    switch (task->state) {
    case REWIND_LOOK:
        if (pg_look_step(task, &data->look)) {
            looked(task, data);
        }
        return;
    case REWIND_ASK:
    case REWIND_WAITED:
        task->state = REWIND_ASKED;
        pg_task_query(task, pg_peer_sql);
        return;
    case REWIND_ASKED: asked(task, data); return;
    case REWIND_MARKED: run_rewind(task, data); return;
    case REWIND_DONE:
        task->state = REWIND_TIDIED;
        pg_task_work(task, tidy_work, data);
        return;
    default: pg_task_end(task); return;
    }
}

int pg_instance_rewind(struct pg_instance *instance, const struct pg_rewind *rewind,
                       int64_t timeout_ms, pg_done_cb done, void *arg, struct error *err)
{
    static const struct pg_task_ops ops = {
        .name = "rewind", .job = PG_JOB_REWIND, .step = rewind_step, .release = rewind_release};

    if (strlen(rewind->host) >= PG_HOST_BYTES || !pg_conf_is_line(rewind->host)) {
        return error_set(err, ERR_INVALID, "the host to rewind from is no host name");
    }
    struct rewind_data *data = mem_new(struct rewind_data);
    data->request = *rewind;
    memcpy(data->host, rewind->host, strlen(rewind->host) + 1);
    data->data_dir = instance->config.data_dir;
    data->marker_path = instance->marker_path;
    pg_look_begin(&data->look, instance);
    int rc = pg_task_start(instance, &ops, data, timeout_ms, done, arg, NULL, err);
    if (rc != 0) {
        mem_free(data);
    }
    return rc;
}
