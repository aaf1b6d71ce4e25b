/* BEGIN -> ASKED (the fence has forked) -> [LOOK -> LOOKED (where is its socket) -> CONNECTING]
 * until a connection gets through, the postmaster is gone, or time is over. A connection that is
 * refused while it starts is the normal case; a poll every 20 ms costs less than a wrong guess
 * about when it is ready. */
#include "pgctl/jobs/launch.h"

#include "base/mem.h"
#include "pgctl/jobs/pg_private.h"
#include "pgctl/proc/pg_postmaster.h"

#include <stdio.h>

#define CONNECT_EVERY_MS 20

static int ask_fence(struct pg_task *task, const struct pg_launch *launch)
{
    struct pg_instance *pg = task->pg;
    struct pg_conf conf = pg_instance_conf(pg, launch->standby);
    char *arguments[PG_CONF_ARGS_MAX];
    const char *argv[PG_CONF_ARGS_MAX + 5];
    char config_file[PG_PATH_BYTES + 16];
    size_t count = pg_conf_arguments(&conf, arguments, PG_CONF_ARGS_MAX);
    size_t argc = 0;

    (void)snprintf(config_file, sizeof config_file, "--config_file=%s/postgresql.conf",
                   pg->config.data_dir);
    argv[argc++] = pg->bin.paths[PG_POSTGRES];
    argv[argc++] = "-D";
    argv[argc++] = pg->config.data_dir;
    argv[argc++] = config_file;
    for (size_t i = 0; i < count; i++) {
        argv[argc++] = arguments[i];
    }
    argv[argc] = NULL;
    struct fence_start start = {
        .data_dir = pg->config.data_dir,
        .log_path = pg->config.fence_log,
        .argv = argv,
        .env = (const char *const *)pg->postmaster_env,
        .kill_way = pg->config.kill_way,
    };
    int rc = fence_client_start(pg->fence, &start, pg_task_on_fence, task, &task->err);
    for (size_t i = 0; i < count; i++) {
        mem_free(arguments[i]);
    }
    return rc;
}

/* The postmaster that we started is no more. */
static bool is_gone(const struct pg_instance *pg, const struct pg_launch *launch)
{
    if (pg->fence == NULL || !fence_client_connected(pg->fence)) {
        return true;
    }
    const struct fence_status *status = fence_client_status(pg->fence);
    return status->starts == launch->starts && !status->running;
}

static int connected(struct pg_task *task, struct pg_launch *launch)
{
    if (task->rc == 0) {
        return 1;
    }
    if (is_gone(task->pg, launch)) {
        const char *log = task->pg->config.fence_log;
        return error_set(&task->err, task->rc = ERR_IO,
                         "PostgreSQL ended while it started: its log has the reason (%s)",
                         log == NULL ? "the service's log" : log);
    }
    if (pg_task_expired(task)) {
        struct error last = task->err;
        return error_set(&task->err, task->rc = ERR_TIMEOUT, "PostgreSQL is still starting: %s",
                         last.text);
    }
    launch->state = PG_LAUNCH_LOOK;
    pg_task_wait(task, CONNECT_EVERY_MS);
    return 0;
}

static int look_work(void *arg, struct error *err)
{
    struct pg_launch *launch = arg;
    (void)err;
    if (pg_pidfile_read(launch->data_dir, &launch->pidfile, NULL) != 0) {
        launch->pidfile.pid = 0; /* not yet */
    }
    return 0;
}

static void look(struct pg_task *task, struct pg_launch *launch)
{
    launch->state = PG_LAUNCH_LOOKED;
    launch->data_dir = task->pg->config.data_dir;
    pg_task_work(task, look_work, launch);
}

static void connect_to_it(struct pg_task *task, struct pg_launch *launch)
{
    bool its = launch->pidfile.pid == task->fence_status.postmaster_pid;
    launch->state = PG_LAUNCH_CONNECTING;
    pg_take_socket(task->pg, its ? &launch->pidfile : NULL);
    pg_task_connect_local(task);
}

int pg_launch_step(struct pg_task *task, struct pg_launch *launch)
{
    struct pg_instance *pg = task->pg;

    switch (launch->state) {
    case PG_LAUNCH_BEGIN:
        if (pg->fence == NULL || !fence_client_connected(pg->fence)) {
            return error_set(&task->err, task->rc = ERR_UNAVAILABLE,
                             "there is no fence process to start PostgreSQL");
        }
        launch->state = PG_LAUNCH_ASKED;
        pg->promote_sent = false;
        pg_task_say(task, "starting PostgreSQL");
        pg_task_fence(task, ask_fence(task, launch));
        return 0;
    case PG_LAUNCH_ASKED:
        if (task->rc != 0) {
            error_wrap(&task->err, "starting PostgreSQL");
            return task->rc;
        }
        launch->starts = task->fence_status.starts;
        pg_task_say(task, "waiting until PostgreSQL accepts connections");
        look(task, launch);
        return 0;
    case PG_LAUNCH_LOOK: look(task, launch); return 0;
    case PG_LAUNCH_LOOKED: connect_to_it(task, launch); return 0;
    case PG_LAUNCH_CONNECTING: return connected(task, launch);
    }
    return task->rc = ERR_BUG;
}
