/* Start of an existing instance.
 *
 *   LOOK -> WRITE (files, and logical slots that were fetched) -> LAUNCH -> end
 *
 * Never started: an unfinished directory (a half-rewound one would serve mixed pages), a foreign or
 * broken one, one in which a postmaster works already. */
#include "base/mem.h"
#include "pgctl/jobs/inspect.h"
#include "pgctl/jobs/launch.h"
#include "pgctl/jobs/pg_private.h"
#include "pgctl/jobs/slot_copy.h"

#include <stdio.h>
#include <string.h>

enum { START_LOOK, START_WRITTEN, START_LAUNCH };

struct start_data {
    struct pg_look look;
    struct pg_launch launch;
    struct pg_file_set files;
    char host[PG_HOST_BYTES];
    struct pg_upstream upstream;
    bool attached;
    bool standby;
    struct pg_slot_copies *copies; /* of logical slots; NULL = there are none to be written */
    uint32_t segment_bytes;
    size_t slots_max;
};

static void start_release(struct pg_task *task)
{
    struct start_data *data = task->data;
    pg_file_set_free(&data->files);
    pg_slot_copies_free(data->copies);
}

/* Below wal_level logical no server starts that has one. */
static bool will_decode(const struct pg_instance *pg)
{
    const struct pg_conf conf = pg_instance_conf(pg, true);
    char value[PG_VALUE_BYTES];
    const char *level = pg_conf_controlled(&conf, "wal_level", value);
    return level != NULL && strcmp(level, "logical") == 0;
}

/* They are for a standby, and for now: what has waited longer is of no use any more. */
static void take_copies(struct pg_task *task, struct start_data *data)
{
    struct pg_instance *pg = task->pg;
    data->copies = pg->copies;
    data->segment_bytes = data->look.found.control.wal_segment_bytes;
    pg->copies = NULL;
    data->slots_max = pg_slots_max(pg);
    pg_slot_copies_free(pg->placed);
    pg->placed = NULL;
    bool late = data->copies != NULL &&
                clock_mono_ms(pg->clock) - data->copies->fetched_ms > PG_COPY_MS_MAX;
    if (!data->standby || late || !will_decode(pg)) {
        pg_slot_copies_free(data->copies);
        data->copies = NULL;
    }
}

/* Without the slots it starts all the same. */
static int files_work(void *arg, struct error *err)
{
    struct start_data *data = arg;
    if (data->copies != NULL) {
        pg_slot_copies_write(data->copies, data->files.places->data_dir, data->segment_bytes,
                             data->slots_max);
    }
    return pg_file_set_write(&data->files, err);
}

static void write_files(struct pg_task *task, struct start_data *data)
{
    const struct pg_inspection *found = &data->look.found;

    if (found->kind != PG_DIR_VALID) {
        pg_task_fail_with(task, ERR_REFUSED, "starting PostgreSQL: %s",
                          found->reason[0] == '\0' ? "there is no data directory" : found->reason);
        return;
    }
    if (found->running && found->pidfile_pid == 0) {
        pg_task_fail_with(
            task, ERR_EXISTS,
            "starting PostgreSQL: whether a server works in the data directory is not "
            "known: %s",
            found->pidfile_reason);
        return;
    }
    if (found->running) {
        pg_task_fail_with(task, ERR_EXISTS,
                          "starting PostgreSQL: process %d works in the data directory already",
                          (int)found->pidfile_pid);
        return;
    }
    task->state = START_WRITTEN;
    pg_task_say(task, "writing the configuration");
    task->pg->decodes = will_decode(task->pg);
    pg_file_set_make(&data->files, task->pg, data->standby);
    pg_file_set_service(&data->files, task->pg, data->attached ? &data->upstream : NULL);
    take_copies(task, data);
    pg_task_work(task, files_work, data);
}

static void launch(struct pg_task *task, struct start_data *data)
{
    int rc = pg_launch_step(task, &data->launch);
    if (rc > 0) {
        pg_task_end(task);
    } else if (rc < 0) {
        pg_task_fail(task);
    }
}

static void start_step(struct pg_task *task)
{
    struct start_data *data = task->data;

    switch (task->state) {
    case START_LOOK:
        if (pg_look_step(task, &data->look)) {
            write_files(task, data);
        }
        return;
    case START_WRITTEN:
        if (task->rc != 0) {
            error_wrap(&task->err, "writing the configuration");
            pg_task_fail(task);
            return;
        }
        task->pg->placed = data->copies;
        data->copies = NULL;
        task->state = START_LAUNCH;
        launch(task, data);
        return;
    default: launch(task, data); return;
    }
}

int pg_instance_start(struct pg_instance *instance, const struct pg_start *start,
                      int64_t timeout_ms, pg_done_cb done, void *arg, struct error *err)
{
    static const struct pg_task_ops ops = {
        .name = "start", .job = PG_JOB_START, .step = start_step, .release = start_release};

    if (start->upstream != NULL && (strlen(start->upstream->host) >= PG_HOST_BYTES ||
                                    !pg_conf_is_line(start->upstream->host))) {
        return error_set(err, ERR_INVALID, "the upstream's host is no host name");
    }
    struct start_data *data = mem_new(struct start_data);
    data->standby = start->role == PG_START_STANDBY;
    data->launch.standby = data->standby;
    if (start->upstream != NULL) {
        memcpy(data->host, start->upstream->host, strlen(start->upstream->host) + 1);
        data->upstream = *start->upstream;
        data->upstream.host = data->host;
        data->attached = true;
    }
    pg_look_begin(&data->look, instance);
    int rc = pg_task_start(instance, &ops, data, timeout_ms, done, arg, NULL, err);
    if (rc != 0) {
        mem_free(data);
    }
    return rc;
}
