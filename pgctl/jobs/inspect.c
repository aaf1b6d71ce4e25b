/* A look at the data directory: files on a thread, then pg_controldata in a child.
 *
 *   LOOK -> CONTROL -> end
 *
 * Also the first two steps of every job that has to know what it is about to touch: pg_look_step.
 */
#include "pgctl/jobs/inspect.h"

#include "base/buf.h"
#include "base/mem.h"
#include "pgctl/conf/pg_conf.h"
#include "pgctl/jobs/pause_note.h"
#include "pgctl/jobs/pg_private.h"
#include "pgctl/jobs/unannounced.h"
#include "pgctl/pg_parse.h"
#include "pgctl/proc/pg_files.h"
#include "pgctl/proc/pg_postmaster.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Not one that a promotion of ours has left out, which was never sent. */
static bool is_of_a_timeline(const char *dir, const char *name)
{
    char *path = mem_printf("%s/%s", dir, name);
    bool is = !pg_history_is_skipped(path);
    mem_free(path);
    return is;
}

/* Timeline history files, as PostgreSQL names them (access/xlog_internal.h). */
static uint32_t latest_history(const char *data_dir)
{
    uint32_t latest = 0;
    char *path = mem_printf("%s/pg_wal", data_dir);
    DIR *dir = opendir(path);
    for (struct dirent *entry = dir == NULL ? NULL : readdir(dir); entry != NULL;
         entry = readdir(dir)) {
        const char *name = entry->d_name;
        bool history = strspn(name, "0123456789ABCDEF") == 8 && strcmp(name + 8, ".history") == 0;
        uint32_t timeline = history ? (uint32_t)strtoul(name, NULL, 16) : 0;
        latest = timeline > latest && is_of_a_timeline(path, name) ? timeline : latest;
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
    mem_free(path);
    return latest;
}

static int look_work(void *arg, struct error *err)
{
    struct pg_look *look = arg;
    (void)err;
    pg_dir_look_alone(look->data_dir, look->marker_path, look->service_path, &look->found);
    look->found.unannounced_system_id = pg_unannounced_read(look->unannounced_path, look->data_dir);
    if (look->found.kind == PG_DIR_VALID && !look->found.running) { /* else the server says it */
        look->found.wal_timeline = latest_history(look->data_dir);
    }
    look->found.noted_pause = pg_pause_note_read(look->pause_note_path);
    look->found.hba_unset = !pg_file_exists(look->places->hba);
    look->found.hba_missing = !pg_conf_files_copies_hba(look->places);
    if (!look->found.running || pg_pidfile_read(look->data_dir, &look->pidfile, NULL) != 0) {
        look->pidfile = (struct pg_pidfile){0};
    }
    look->found.stopping = strcmp(look->pidfile.status, "stopping") == 0;
    return 0;
}

static bool wants_control(const struct pg_inspection *found)
{
    return found->kind == PG_DIR_VALID || found->kind == PG_DIR_UNFINISHED;
}

static void run_controldata(struct pg_task *task)
{
    const char *const argv[] = {task->pg->bin.paths[PG_CONTROLDATA], "-D",
                                task->pg->config.data_dir, NULL};
    pg_task_child(task, argv, NULL, NULL);
}

static void read_control(struct pg_task *task, struct pg_look *look)
{
    struct error err;
    struct pg_inspection *found = &look->found;
    int rc = task->rc;

    if (rc == 0) {
        /* From 17 on the warning that the file is damaged goes to standard error. */
        buf_put_span(&task->out, buf_span(&task->errors));
        rc = pg_controldata_parse(buf_span(&task->out), &found->control, &err);
    } else {
        err = task->err;
    }
    if (rc == 0) {
        rc = pg_version_check(found->major, task->pg->config.data_dir, &err);
    }
    if (rc == 0 && found->major != task->pg->bin.major) {
        rc = error_set(
            &err, ERR_UNSUPPORTED,
            "the data directory is PostgreSQL %d's, the programs in '%s' are of version %d",
            found->major, task->pg->bin.dir, task->pg->bin.major);
    }
    if (rc == 0) {
        task->pg->has_control = true;
        task->pg->control = found->control;
    } else if (found->kind == PG_DIR_VALID) {
        found->kind = PG_DIR_BROKEN;
        (void)snprintf(found->reason, sizeof found->reason, "%.*s", (int)sizeof found->reason - 1,
                       err.text);
    }
}

void pg_look_begin(struct pg_look *look, const struct pg_instance *pg)
{
    look->state = PG_LOOK_FILES;
    look->data_dir = pg->config.data_dir;
    look->marker_path = pg->marker_path;
    look->service_path = pg->service_path;
    look->unannounced_path = pg->unannounced_path;
    look->pause_note_path = pg->pause_note_path;
    look->places = &pg->files;
}

bool pg_look_step(struct pg_task *task, struct pg_look *look)
{
    switch (look->state) {
    case PG_LOOK_FILES:
        look->state = PG_LOOK_CONTROL;
        pg_task_work(task, look_work, look);
        return false;
    case PG_LOOK_CONTROL:
        look->state = PG_LOOK_READ;
        if (look->pidfile.pid != 0 && look->pidfile.pid == look->found.pidfile_pid) {
            pg_take_socket(task->pg, &look->pidfile);
        }
        if (wants_control(&look->found)) {
            run_controldata(task);
            return false;
        }
        return true;
    case PG_LOOK_READ: read_control(task, look); return true;
    }
    return true;
}

struct inspect_data {
    struct pg_look look;
    pg_inspect_cb done;
    void *arg;
};

static void inspect_step(struct pg_task *task)
{
    struct inspect_data *data = task->data;
    if (data->look.state == PG_LOOK_READ && task->rc == ERR_TIMEOUT) {
        pg_task_fail(task);
        return;
    }
    if (pg_look_step(task, &data->look)) {
        pg_task_end(task);
    }
}

static void inspect_told(struct pg_task *task)
{
    struct inspect_data *data = task->data;
    data->done(data->arg, task->rc, task->rc == 0 ? &data->look.found : NULL, &task->err);
}

int pg_instance_inspect(struct pg_instance *instance, int64_t timeout_ms, pg_inspect_cb done,
                        void *arg, struct error *err)
{
    static const struct pg_task_ops ops = {
        .name = "inspect", .job = PG_JOB_INSPECT, .step = inspect_step, .tell = inspect_told};
    struct inspect_data *data = mem_new(struct inspect_data);

    pg_look_begin(&data->look, instance);
    data->done = done;
    data->arg = arg;
    int rc = pg_task_start(instance, &ops, data, timeout_ms, NULL, NULL, NULL, err);
    if (rc != 0) {
        mem_free(data);
    }
    return rc;
}
