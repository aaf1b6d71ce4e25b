/* What is changed on a running server: settings; and a checkpoint.
 *
 * Reload:  LOOK -> CHECK (a child) -> WRITE and signal -> end
 * New values are tried before they are believed: `postgres -C` reads the candidate file as a start
 * would, and names the line that it refuses. A bad value in the real file would be half applied by
 * a reload, and would stop the next start. Whoever runs when the files are written gets the signal,
 * whoever ran at the look. */
#include "base/assert.h"
#include "base/buf.h"
#include "base/mem.h"
#include "pgctl/jobs/pg_private.h"
#include "pgctl/pg_parse.h"
#include "pgctl/proc/pg_files.h"
#include "pgctl/proc/pg_postmaster.h"

#include <ctype.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

/* What `postgres -C` ends with if it is the file that it does not like. */
#define REFUSED_TEXT "contains errors"

enum { RELOAD_LOOK, RELOAD_LOOKED, RELOAD_CHECKED, RELOAD_WRITTEN };

struct reload_data {
    struct pg_parameters parameters;
    struct pg_lines hba;
    struct pg_lines ident;
    bool use_slots;
    struct pg_file_set files;
    struct buf candidate;
    struct buf sync_conf;
    char candidate_path[PG_PATH_BYTES];
    const char *data_dir;
    bool exists;
    bool standby;
};

static int look_work(void *arg, struct error *err)
{
    struct reload_data *data = arg;
    char path[PG_PATH_BYTES];

    (void)snprintf(path, sizeof path, "%s/postgresql.base.conf", data->data_dir);
    data->exists = pg_file_exists(path);
    (void)snprintf(path, sizeof path, "%s/standby.signal", data->data_dir);
    data->standby = pg_file_exists(path);
    if (!data->exists) {
        return 0;
    }
    /* The candidate includes it. */
    int rc = pg_sync_conf_keep(data->data_dir, buf_span(&data->sync_conf), err);
    return rc != 0 ? rc
                   : pg_file_write(data->candidate_path, buf_span(&data->candidate), 0600, err);
}

static int write_work(void *arg, struct error *err)
{
    struct reload_data *data = arg;
    int rc = pg_file_remove(data->candidate_path, err);
    rc = rc != 0 ? rc : pg_file_set_write(&data->files, err);
    rc = rc != 0 ? rc : pg_postmaster_signal(data->data_dir, 0, SIGHUP, err);
    return rc == ERR_NOT_FOUND ? 0 : rc; /* nobody runs: the next start reads them */
}

static void take_new_values(struct pg_instance *pg, struct reload_data *data)
{
    struct pg_parameters parameters = pg->config.parameters;
    struct pg_lines hba = pg->config.pg_hba;
    struct pg_lines ident = pg->config.pg_ident;

    pg->config.parameters = data->parameters;
    pg->config.pg_hba = data->hba;
    pg->config.pg_ident = data->ident;
    pg->config.use_slots = data->use_slots;
    data->parameters = parameters;
    data->hba = hba;
    data->ident = ident;
}

/* PostgreSQL tells the reason first ("LOG: invalid value for parameter ..."), and then that the
 * file has errors. */
static void refused_values(struct pg_task *task)
{
    const char *text = buf_str(&task->errors);
    const char *log = strstr(text, "LOG:  ");
    const char *start = log == NULL ? task->err.text : log + strlen("LOG:  ");
    char line[300];

    (void)snprintf(line, sizeof line, "%.*s", (int)strcspn(start, "\n"), start);
    task->rc = error_set(&task->err, ERR_INVALID, "postgresql.parameters: %s", line);
    pg_task_undo_and_fail(task);
}

static void check(struct pg_task *task, struct reload_data *data)
{
    char config_file[PG_PATH_BYTES + 16];
    const char *const argv[] = {
        task->pg->bin.paths[PG_POSTGRES], "-D", data->data_dir, config_file, "-C", "port", NULL};

    if (!data->exists) { /* nothing to write to yet: kept for the first start */
        take_new_values(task->pg, data);
        pg_task_end(task);
        return;
    }
    (void)snprintf(config_file, sizeof config_file, "--config_file=%s", data->candidate_path);
    task->state = RELOAD_CHECKED;
    pg_task_child(task, argv, NULL, NULL);
}

static int undo_work(void *arg, struct error *err)
{
    return pg_file_remove(((const struct reload_data *)arg)->candidate_path, err);
}

static void reload_step(struct pg_task *task)
{
    struct reload_data *data = task->data;

    if (task->rc == ERR_IO && task->state == RELOAD_CHECKED &&
        strstr(buf_str(&task->errors), REFUSED_TEXT) != NULL) {
        refused_values(task);
        return;
    }
    if (task->rc != 0) {
        error_wrap(&task->err, "reloading the configuration");
        pg_task_undo_and_fail(task);
        return;
    }
    switch (task->state) {
    case RELOAD_LOOK:
        task->state = RELOAD_LOOKED;
        pg_task_work(task, look_work, data);
        return;
    case RELOAD_LOOKED: check(task, data); return;
    case RELOAD_CHECKED:
        take_new_values(task->pg, data);
        pg_file_set_make(&data->files, task->pg, data->standby);
        data->files.signal = PG_SIGNAL_KEEP;
        task->state = RELOAD_WRITTEN;
        pg_task_work(task, write_work, data);
        return;
    case RELOAD_WRITTEN: pg_task_end(task); return;
    default: ASSERT(false);
    }
}

static void reload_release(struct pg_task *task)
{
    struct reload_data *data = task->data;
    pg_parameters_free(&data->parameters);
    pg_lines_free(&data->hba);
    pg_lines_free(&data->ident);
    pg_file_set_free(&data->files);
    buf_free(&data->candidate);
    buf_free(&data->sync_conf);
}

static int check_hba(const struct pg_lines *lines, const char *key, struct error *err)
{
    if (lines->count > PG_LINES_MAX) {
        return error_set(err, ERR_LIMIT, "%s has more than %d lines", key, PG_LINES_MAX);
    }
    for (size_t i = 0; i < lines->count; i++) {
        if (!pg_conf_is_line(lines->items[i])) {
            return error_set(err, ERR_INVALID,
                             "%s: line %zu has a line break or a control character", key, i + 1);
        }
    }
    return 0;
}

int pg_instance_reload(struct pg_instance *instance, const struct pg_reload *reload,
                       int64_t timeout_ms, pg_done_cb done, void *arg, struct error *err)
{
    static const struct pg_task_ops ops = {.name = "reload",
                                           .configures = true,
                                           .step = reload_step,
                                           .undo_files = undo_work,
                                           .release = reload_release};
    int rc = pg_parameters_check(&reload->parameters, err);
    rc = rc != 0 ? rc : check_hba(&reload->pg_hba, "postgresql.pg_hba", err);
    rc = rc != 0 ? rc : check_hba(&reload->pg_ident, "postgresql.pg_ident", err);
    if (rc != 0) {
        return rc;
    }
    struct reload_data *data = mem_new(struct reload_data);
    struct pg_conf conf = pg_instance_conf(instance, true);
    conf.parameters = reload->parameters;
    conf.slot_name = reload->use_slots ? instance->slot_name : NULL;
    pg_conf_put(&data->candidate, &conf);
    buf_put_span(&data->sync_conf, buf_span(&instance->sync_conf));
    data->parameters = pg_parameters_dup(&reload->parameters);
    pg_keep_sockets_outside(instance, &data->parameters);
    data->hba = pg_lines_dup(&reload->pg_hba);
    data->ident = pg_lines_dup(&reload->pg_ident);
    data->use_slots = reload->use_slots;
    data->data_dir = instance->config.data_dir;
    (void)snprintf(data->candidate_path, sizeof data->candidate_path,
                   "%s/postgresql.conf.candidate", data->data_dir);
    struct pg_task *task = NULL;
    rc = pg_task_start(instance, &ops, data, timeout_ms, done, arg, &task, err);
    if (rc != 0) {
        struct pg_task never = {.data = data};
        reload_release(&never);
        mem_free(data);
    }
    return rc;
}

/* --- checkpoint ------------------------------------------------------------------------------- */

static void checkpoint_step(struct pg_task *task)
{
    if (task->rc != 0) {
        error_wrap(&task->err, "checkpoint");
        pg_task_fail(task);
        return;
    }
    switch (task->state++) {
    case 0: pg_task_connect_local(task); return;
    case 1: pg_task_query(task, "CHECKPOINT"); return;
    default: pg_task_end(task); return;
    }
}

int pg_instance_checkpoint(struct pg_instance *instance, int64_t timeout_ms, pg_done_cb done,
                           void *arg, struct error *err)
{
    static const struct pg_task_ops ops = {.name = "checkpoint", .step = checkpoint_step};
    return pg_task_start(instance, &ops, NULL, timeout_ms, done, arg, NULL, err);
}
