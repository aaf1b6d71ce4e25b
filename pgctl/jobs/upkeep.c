/* Small work on a running server: slots, checkpoint, reload. */
#include "base/mem.h"
#include "pgctl/jobs/pg_private.h"
#include "pgctl/pg_parse.h"
#include "pgctl/proc/pg_files.h"
#include "pgctl/sql/pg_answers.h"

#include <stdio.h>
#include <string.h>

/* --- slots: CONNECT -> LIST -> CHANGE -> end
 * ----------------------------------------------------------------- */

enum { SLOTS_CONNECT, SLOTS_LIST, SLOTS_LISTED, SLOTS_CHANGED };

struct slots_data {
    struct pg_lines names;
};

static bool wanted(const struct slots_data *data, const char *name)
{
    for (size_t i = 0; i < data->names.count; i++) {
        if (strcmp(data->names.items[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static bool there(const PGresult *slots, const char *name)
{
    for (int i = 0; slots != NULL && i < PQntuples(slots); i++) {
        if (strcmp(pg_cell(slots, i, 0), name) == 0) {
            return true;
        }
    }
    return false;
}

static void change_slots(struct pg_task *task, const struct slots_data *data)
{
    const PGresult *slots = task->answer.count > 0 ? task->answer.results[0] : NULL;
    struct buf sql = BUF_INIT;

    buf_put_str(&sql, "SELECT NULL");
    for (size_t i = 0; i < data->names.count; i++) {
        if (!there(slots, data->names.items[i])) {
            buf_put_str(&sql, ", pg_create_physical_replication_slot(");
            pg_quote_literal(&sql, data->names.items[i]);
            buf_put_str(&sql, ", true)");
        }
    }
    for (int i = 0; slots != NULL && i < PQntuples(slots); i++) {
        const char *name = pg_cell(slots, i, 0);
        if (strcmp(pg_cell(slots, i, 1), "physical") == 0 && !pg_cell_bool(slots, i, 2) &&
            !wanted(data, name)) {
            buf_put_str(&sql, ", pg_drop_replication_slot(");
            pg_quote_literal(&sql, name);
            buf_put_str(&sql, ")");
        }
    }
    task->state = SLOTS_CHANGED;
    pg_task_query(task, buf_str(&sql));
    buf_free(&sql);
}

static void slots_step(struct pg_task *task)
{
    if (task->state != SLOTS_CONNECT && task->rc != 0) {
        error_wrap(&task->err, "replication slots");
        pg_task_fail(task);
        return;
    }
    switch (task->state) {
    case SLOTS_CONNECT:
        task->state = SLOTS_LIST;
        pg_task_connect_local(task);
        return;
    case SLOTS_LIST:
        task->state = SLOTS_LISTED;
        pg_task_query(
            task,
            "SELECT slot_name, slot_type, active FROM pg_replication_slots WHERE NOT temporary");
        return;
    case SLOTS_LISTED: change_slots(task, task->data); return;
    default: pg_task_end(task); return;
    }
}

static void slots_release(struct pg_task *task)
{
    pg_lines_free(&((struct slots_data *)task->data)->names);
}

int pg_instance_set_slots(struct pg_instance *instance, const struct pg_lines *names,
                          int64_t timeout_ms, pg_done_cb done, void *arg, struct error *err)
{
    static const struct pg_task_ops ops = {
        .name = "slots", .step = slots_step, .release = slots_release};
    struct slots_data *data = mem_new(struct slots_data);

    data->names = pg_lines_dup(names);
    int rc = pg_task_start(instance, &ops, data, timeout_ms, done, arg, NULL, err);
    if (rc != 0) {
        pg_lines_free(&data->names);
        mem_free(data);
    }
    return rc;
}

/* --- checkpoint
 * ------------------------------------------------------------------------------------------------
 */

enum { CHECKPOINT_CONNECT, CHECKPOINT_ASK, CHECKPOINT_DONE };

static void checkpoint_step(struct pg_task *task)
{
    if (task->state != CHECKPOINT_CONNECT && task->rc != 0) {
        error_wrap(&task->err, "checkpoint");
        pg_task_fail(task);
        return;
    }
    switch (task->state++) {
    case CHECKPOINT_CONNECT: pg_task_connect_local(task); return;
    case CHECKPOINT_ASK: pg_task_query(task, "CHECKPOINT"); return;
    default: pg_task_end(task); return;
    }
}

int pg_instance_checkpoint(struct pg_instance *instance, int64_t timeout_ms, pg_done_cb done,
                           void *arg, struct error *err)
{
    static const struct pg_task_ops ops = {.name = "checkpoint", .step = checkpoint_step};
    return pg_task_start(instance, &ops, NULL, timeout_ms, done, arg, NULL, err);
}

/* --- reload: LOOK (standby?) -> WRITE -> RELOAD -> end
 * ----------------------------------------------------------- */

enum { RELOAD_LOOK, RELOAD_LOOKED, RELOAD_WRITTEN, RELOAD_TOLD };

struct reload_data {
    struct pg_file_set files;
    char standby_path[PG_PATH_BYTES];
    char conf_path[PG_PATH_BYTES];
    bool standby;
    bool present; /* there is a configuration of ours to replace */
};

static int standby_work(void *arg, struct error *err)
{
    struct reload_data *data = arg;
    (void)err;
    data->standby = pg_file_exists(data->standby_path);
    data->present = pg_file_exists(data->conf_path);
    return 0;
}

static void told(struct pg_task *task)
{
    if (task->rc != 0 &&
        task->rc != ERR_NOT_FOUND) { /* nobody runs: the next start reads the files */
        error_wrap(&task->err, "reloading PostgreSQL");
        pg_task_fail(task);
    } else {
        pg_task_end(task);
    }
}

static void reload_step(struct pg_task *task)
{
    struct reload_data *data = task->data;
    struct pg_instance *pg = task->pg;

    switch (task->state++) {
    case RELOAD_LOOK: pg_task_work(task, standby_work, data); return;
    case RELOAD_LOOKED:
        if (!data->present) {
            pg_task_end(task);
            return;
        }
        pg_file_set_make(&data->files, pg, data->standby);
        data->files.signal = PG_SIGNAL_KEEP;
        pg_task_work(task, pg_file_set_write, &data->files);
        return;
    case RELOAD_WRITTEN:
        if (task->rc != 0) {
            error_wrap(&task->err, "writing the configuration");
            pg_task_fail(task);
        } else if (pg->fence == NULL || !fence_client_connected(pg->fence)) {
            pg_task_end(task);
        } else {
            pg_task_fence(task, fence_client_reload(pg->fence, pg_task_on_fence, task, &task->err));
        }
        return;
    default: told(task); return;
    }
}

static void reload_release(struct pg_task *task)
{
    pg_file_set_free(&((struct reload_data *)task->data)->files);
}

static void take_values(struct pg_instance *pg, const struct pg_reload *reload)
{
    pg_parameters_free(&pg->config.parameters);
    pg_lines_free(&pg->config.pg_hba);
    pg_lines_free(&pg->config.pg_ident);
    pg->config.parameters = pg_parameters_dup(&reload->parameters);
    pg->config.pg_hba = pg_lines_dup(&reload->pg_hba);
    pg->config.pg_ident = pg_lines_dup(&reload->pg_ident);
}

int pg_instance_reload(struct pg_instance *instance, const struct pg_reload *reload,
                       int64_t timeout_ms, pg_done_cb done, void *arg, struct error *err)
{
    static const struct pg_task_ops ops = {
        .name = "reload", .step = reload_step, .release = reload_release};
    int rc = pg_parameters_check(&reload->parameters, err);
    if (rc != 0) {
        return rc;
    }
    struct reload_data *data = mem_new(struct reload_data);
    pg_path(instance, "standby.signal", data->standby_path);
    pg_path(instance, "postgresql.conf", data->conf_path);
    rc = pg_task_start(instance, &ops, data, timeout_ms, done, arg, NULL, err);
    if (rc != 0) {
        mem_free(data);
        return rc;
    }
    take_values(instance, reload);
    return 0;
}
