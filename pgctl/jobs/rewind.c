/* Rewind of a former primary, or of a standby that went another way.
 *
 *   LOOK -> CONNECT -> ASK <-> (checkpoint after promotion due) -> PREPARE
 *        -> [RECOVER -> LOOK again] -> TRY -> CONNECT -> ASK again -> MARK -> REWIND -> TIDY -> end
 *
 * The marker stands while pg_rewind writes: a half-rewound directory is never started, and can only
 * be copied anew. So whatever can fail without a byte written is made to fail before:
 *
 * - ASK is a connection with pg_rewind's own account. It catches a source that is down, refuses us,
 *   is another cluster's or no primary.
 * - RECOVER is the crash recovery of a directory that was not shut down cleanly, in single-user
 *   mode. pg_rewind (13 and later) would do it itself, below the marker, unsynced, and by a process
 *   that does not die with us; `postgres` run from here does. It catches a configuration that is
 * not valid, a full disk, WAL that is not there. Cut off, it leaves a crashed directory, as it was.
 * The signal files would stop it; the start writes them anew.
 * - TRY is pg_rewind --dry-run (which never recovers, so it comes after). It does all but write:
 *   catches functions that the account may not call, a source's password that the password file
 *   does not have, files that it cannot read, WAL before the fork that is gone here, a common
 *   ancestor that does not exist. It costs a list of the source's files and a pass over our WAL
 *   since the fork, both of which the real run then finds in memory.
 *
 * - ASK again, and with it the caller, right before the first byte is written: RECOVER and TRY may
 *   have taken hours, and the source may lead no more (invariant I10).
 *
 * A disk that has lost what it said was synced leaves a primary whose WAL ends before the point
 * that its standby had reached. RECOVER ends that WAL with a checkpoint of its own, in the place of
 * records that the source has: pg_rewind, which goes by timelines, finds nothing to do, and a
 * standby waits there for ever at a record that is none. Such a directory is marked as one that is
 * never started, and can only be copied anew.
 *
 * What is left to fail below the marker: a source or network that dies in between, a disk that
 * fills or breaks. */
#include "base/mem.h"
#include "pgctl/jobs/source.h"
#include "pgctl/proc/pg_dir_lock.h"
#include "pgctl/proc/pg_files.h"
#include "pgctl/proc/pg_marker.h"
#include "pgctl/sql/pg_answers.h"

#include <inttypes.h>
#include <stdio.h>

#define CHECKPOINT_EVERY_MS 200
#define CHECKPOINT_LOOKS    300

enum {
    REWIND_LOOK,
    REWIND_ASK,
    REWIND_ASKED,
    REWIND_WAITED,
    REWIND_PREPARED,
    REWIND_CLEARED,
    REWIND_RECOVERED,
    REWIND_LOOK_AGAIN,
    REWIND_CONDEMNED,
    REWIND_TRIED,
    REWIND_MARKED,
    REWIND_DONE,
    REWIND_TIDIED
};

static void connect_peer(struct pg_task *task, const struct pg_source *data)
{
    struct pg_conn_target target = pg_peer_target(task->pg, data->host, data->port);
    task->state = REWIND_ASK;
    pg_task_say(task, "asking %s:%u", data->host, data->port);
    pg_task_connect(task, &target);
}

static void looked(struct pg_task *task, const struct pg_source *data)
{
    const struct pg_inspection *found = &data->look.found;
    bool usable = found->kind == PG_DIR_VALID ||
                  (found->kind == PG_DIR_UNFINISHED && found->unfinished == PG_UNFINISHED_REWIND);
    if (!usable || found->running) {
        pg_task_fail_with(task, ERR_REFUSED, "rewind: '%s' cannot be rewound: %s", data->data_dir,
                          found->running && found->reason[0] == '\0' ? "PostgreSQL is running"
                                                                     : found->reason);
    } else if (!found->control.data_checksums && !found->control.wal_log_hints) {
        pg_task_fail_with(task, ERR_REFUSED,
                          "rewind: neither data checksums nor wal_log_hints are on");
    } else {
        connect_peer(task, data);
    }
}

/* Nothing here makes the directory less than it was. */
static int prepare_work(void *arg, struct error *err)
{
    const struct pg_source *data = arg;
    char path[PG_PATH_BYTES];
    /* A socket that a killed server left behind is a file that pg_rewind cannot open. */
    int rc = pg_dir_remove_sockets(data->data_dir, err);

    (void)snprintf(path, sizeof path, "%s/standby.signal", data->data_dir);
    rc = rc != 0 ? rc : pg_file_remove(path, err);
    (void)snprintf(path, sizeof path, "%s/recovery.signal", data->data_dir);
    rc = rc != 0 ? rc : pg_file_remove(path, err);
    return rc != 0 ? rc : pg_source_write_secrets(data, err);
}

static int mark_work(void *arg, struct error *err)
{
    const struct pg_source *data = arg;
    return pg_marker_write(data->marker_path, PG_UNFINISHED_REWIND, data->data_dir, err);
}

static void asked(struct pg_task *task, struct pg_source *data)
{
    struct pg_peer_facts facts = {0};
    task->rc = pg_peer_read(&task->answer, &facts, &task->err);
    if (task->rc != 0) {
        pg_task_fail(task);
        return;
    }
    if (!pg_history_switch_lsn(&facts.history, data->look.found.control.timeline,
                               &data->left_lsn)) {
        data->left_lsn = 0;
    }
    pg_history_free(&facts.history);
    if (facts.role != PG_PRIMARY || facts.system_identifier != data->system_identifier) {
        pg_task_fail_with(task, ERR_UNAVAILABLE, "rewind: %s:%u is not the primary of this cluster",
                          data->host, data->port);
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
    if (data->still_allowed != NULL && !data->still_allowed(data->still_allowed_arg)) {
        pg_task_fail_with(task, ERR_REFUSED, "rewind: %s:%u does not lead any more", data->host,
                          data->port);
        return;
    }
    if (data->tried) {
        task->state = REWIND_MARKED;
        pg_task_work(task, mark_work, data);
        return;
    }
    pg_source_make_files(data, task->pg, pg_rewind_account(task->pg));
    task->state = REWIND_PREPARED;
    pg_task_work(task, prepare_work, data);
}

static void run_rewind(struct pg_task *task, const struct pg_source *data, bool dry)
{
    const struct pg_instance *pg = task->pg;
    struct buf source = BUF_INIT;
    char *target = mem_printf("--target-pgdata=%s", data->data_dir);

    buf_put_str(&source, "--source-server=service=" PG_SERVICE_NAME " dbname=");
    pg_quote_conninfo(&source, pg->config.database);
    buf_put_str(&source, " target_session_attrs=read-write");
    const char *const argv[] = {pg->bin.paths[PG_REWIND], target,
                                buf_str(&source),         "--no-ensure-shutdown",
                                dry ? "--dry-run" : NULL, NULL};
    task->state = dry ? REWIND_TRIED : REWIND_DONE;
    pg_task_say(task, "%s from %s:%u", dry ? "trying a rewind" : "rewinding", data->host,
                data->port);
    pg_task_child(task, argv, NULL, NULL);
    buf_free(&source);
    mem_free(target);
}

/* `postgres` goes by the lock files of the server that crashed, as at a start, and has to find a
 * configuration, which may be lost where it lies apart. */
static int clear_work(void *arg, struct error *err)
{
    const struct pg_source *data = arg;
    bool cleared = false;
    int rc =
        pg_file_exists(data->files.places->conf) ? 0 : pg_file_set_write_conf(&data->files, err);
    return rc != 0 ? rc
                   : pg_dir_lock_clear(data->started_path, data->data_dir, "", data->fence_pid,
                                       &cleared, err);
}

/* Ends, with a shutdown checkpoint, at the end of its empty input. */
static void recover(struct pg_task *task, const struct pg_source *data)
{
    char config_file[PG_PATH_BYTES + 16];
    const char *const argv[] = {task->pg->bin.paths[PG_POSTGRES],
                                "--single",
                                "-D",
                                data->data_dir,
                                config_file,
                                "template1",
                                NULL};
    (void)snprintf(config_file, sizeof config_file, "--config_file=%s", task->pg->files.conf);
    task->state = REWIND_RECOVERED;
    pg_task_say(task, "crash recovery before the rewind");
    pg_task_child(task, argv, NULL, NULL);
}

/* Its last checkpoint is a primary's own, and stands where the source had other records already. */
static bool has_lost_wal(const struct pg_source *data)
{
    const struct pg_control *control = &data->look.found.control;
    return control->state == PG_CONTROL_SHUT_DOWN && control->checkpoint_lsn < data->left_lsn;
}

static void refuse_lost_wal(struct pg_task *task, const struct pg_source *data)
{
    char here[PG_LSN_BYTES];
    char there[PG_LSN_BYTES];
    (void)pg_lsn_format(data->look.found.control.checkpoint_lsn, here);
    (void)pg_lsn_format(data->left_lsn, there);
    pg_task_fail_with(
        task, ERR_REFUSED,
        "rewind: the disk has lost WAL that was synced: ours, a primary's, ends at %s on "
        "timeline %" PRIu32 ", and %s:%u has it up to %s; it can only be copied anew",
        here, data->look.found.control.timeline, data->host, data->port, there);
}

static void recovered(struct pg_task *task, struct pg_source *data)
{
    if (has_lost_wal(data)) {
        task->state = REWIND_CONDEMNED;
        pg_task_work(task, mark_work, data);
        return;
    }
    run_rewind(task, data, true);
}

/* What an earlier rewind has left unfinished must not be recovered, its pages are of two histories.
 * Begun anew, pg_rewind ends well or refuses: it changes the control file last, and reads all of
 * our WAL since the fork before it writes. A try would keep nothing from harm there. */
static void prepared(struct pg_task *task, struct pg_source *data)
{
    const struct pg_inspection *found = &data->look.found;

    if (has_lost_wal(data)) {
        refuse_lost_wal(task, data);
    } else if (found->unfinished == PG_UNFINISHED_REWIND) {
        run_rewind(task, data, false);
    } else if (found->control.state != PG_CONTROL_SHUT_DOWN &&
               found->control.state != PG_CONTROL_SHUT_DOWN_IN_RECOVERY) {
        const struct fence_client *fence = task->pg->fence;
        bool has_fence = fence != NULL && fence_client_connected(fence);
        data->fence_pid = has_fence ? fence_client_status(fence)->fence_pid : 0;
        task->state = REWIND_CLEARED;
        pg_task_work(task, clear_work, data);
    } else {
        run_rewind(task, data, true);
    }
}

static void rewind_step(struct pg_task *task)
{
    struct pg_source *data = task->data;

    if (task->rc != 0 && task->state != REWIND_LOOK && task->state != REWIND_LOOK_AGAIN) {
        error_wrap(&task->err, "rewinding from %s:%u", data->host, data->port);
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
    case REWIND_PREPARED: prepared(task, data); return;
    case REWIND_CLEARED: recover(task, data); return;
    case REWIND_RECOVERED:
        task->state = REWIND_LOOK_AGAIN;
        pg_look_begin(&data->look, task->pg);
        if (pg_look_step(task, &data->look)) {
            recovered(task, data);
        }
        return;
    case REWIND_LOOK_AGAIN:
        if (pg_look_step(task, &data->look)) {
            recovered(task, data);
        }
        return;
    case REWIND_CONDEMNED: refuse_lost_wal(task, data); return;
    case REWIND_TRIED:
        data->tried = true;
        data->looks = 0;
        connect_peer(task, data);
        return;
    case REWIND_MARKED: run_rewind(task, data, false); return;
    case REWIND_DONE:
        task->state = REWIND_TIDIED;
        pg_task_work(task, pg_source_tidy, data);
        return;
    default: pg_task_end(task); return;
    }
}

int pg_instance_rewind(struct pg_instance *instance, const struct pg_rewind *rewind,
                       int64_t timeout_ms, pg_done_cb done, void *arg, struct error *err)
{
    static const struct pg_task_ops ops = {
        .name = "rewind", .job = PG_JOB_REWIND, .step = rewind_step, .release = pg_source_release};
    return pg_source_start(instance, &ops, rewind, timeout_ms, done, arg, NULL, err);
}
