/* BEGIN -> CLEARED (of stale lock files) -> ASKED (the fence has forked)
 *       -> [LOOK -> LOOKED (what its pid file says) -> CONNECTING]
 * until a connection gets through, the postmaster is gone, or time is over. It is asked once its
 * pid file says that it is ready: before that each connection would be a FATAL line in its log. The
 * file is looked at every 20 ms. */
#include "pgctl/jobs/launch.h"

#include "base/mem.h"
#include "pgctl/jobs/pg_private.h"
#include "pgctl/proc/pg_dir_lock.h"
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

    (void)snprintf(config_file, sizeof config_file, "--config_file=%s", pg->files.conf);
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

/* The postmaster that we started is no more; asked of a fence that is there. */
static bool is_gone(const struct pg_instance *pg, const struct pg_launch *launch)
{
    const struct fence_status *status = fence_client_status(pg->fence);
    return status->starts == launch->starts && !status->running;
}

static bool has_fence(const struct pg_instance *pg)
{
    return pg->fence != NULL && fence_client_connected(pg->fence);
}

static int no_fence(struct pg_task *task)
{
    return error_set(&task->err, task->rc = ERR_UNAVAILABLE,
                     "there is no fence process to start PostgreSQL");
}

/* Not yet: look again, unless there is nothing to wait for. */
static int not_yet(struct pg_task *task, struct pg_launch *launch)
{
    if (!has_fence(task->pg)) {
        return error_set(&task->err, task->rc = ERR_CLOSED,
                         "the connection to the fence process was lost while PostgreSQL started, "
                         "and with the process PostgreSQL ends, too: the next fence stops what is "
                         "left, and then it can be started again");
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

static int connected(struct pg_task *task, struct pg_launch *launch)
{
    return task->rc == 0 ? 1 : not_yet(task, launch);
}

static int clear_work(void *arg, struct error *err)
{
    struct pg_launch *launch = arg;
    return pg_dir_lock_clear(launch->note_path, launch->data_dir, launch->socket_lock,
                             launch->fence_pid, &launch->cleared, err);
}

static void configured_lock(const struct pg_instance *pg, char *ret_path, size_t size)
{
    int length =
        snprintf(ret_path, size, "%s/.s.PGSQL.%u.lock", pg->socket_dir, (unsigned)pg->config.port);
    if (pg->socket_dir[0] == '\0' || length < 0 || (size_t)length >= size) {
        ret_path[0] = '\0'; /* TCP alone */
    }
}

/* Where the fence has something of the instance it refuses the start. */
static void clear(struct pg_task *task, struct pg_launch *launch)
{
    const struct fence_status *status = fence_client_status(task->pg->fence);
    launch->state = PG_LAUNCH_CLEARED;
    launch->data_dir = task->pg->config.data_dir;
    launch->note_path = task->pg->started_path;
    configured_lock(task->pg, launch->socket_lock, sizeof launch->socket_lock);
    launch->fence_pid = status->fence_pid;
    if (status->running || status->killing) {
        pg_task_again(task);
    } else {
        pg_task_work(task, clear_work, launch);
    }
}

static int look_work(void *arg, struct error *err)
{
    struct pg_launch *launch = arg;
    (void)err;
    if (pg_pidfile_read(launch->data_dir, &launch->pidfile, NULL) != 0) {
        launch->pidfile.pid = 0; /* not yet */
    } else if (launch->pidfile.pid == launch->pid && pg_pidfile_is_ready(&launch->pidfile)) {
        pg_dir_lock_note(launch->note_path, launch->data_dir, &launch->pidfile);
    }
    return 0;
}

static void look(struct pg_task *task, struct pg_launch *launch)
{
    launch->state = PG_LAUNCH_LOOKED;
    pg_task_work(task, look_work, launch);
}

static int looked(struct pg_task *task, struct pg_launch *launch)
{
    bool its = launch->pidfile.pid == launch->pid;
    if (!its || !pg_pidfile_is_ready(&launch->pidfile)) {
        (void)error_set(&task->err, ERR_UNAVAILABLE, "its pid file says '%s'",
                        its && launch->pidfile.status[0] != '\0' ? launch->pidfile.status
                                                                 : "nothing yet");
        return not_yet(task, launch);
    }
    launch->state = PG_LAUNCH_CONNECTING;
    pg_take_socket(task->pg, &launch->pidfile);
    pg_task_connect_local(task);
    return 0;
}

int pg_launch_step(struct pg_task *task, struct pg_launch *launch)
{
    struct pg_instance *pg = task->pg;

    switch (launch->state) {
    case PG_LAUNCH_BEGIN:
        if (!has_fence(pg)) {
            return no_fence(task);
        }
        clear(task, launch);
        return 0;
    case PG_LAUNCH_CLEARED:
        if (task->rc != 0) {
            error_wrap(&task->err, "starting PostgreSQL");
            return task->rc;
        }
        if (!has_fence(pg)) {
            return no_fence(task);
        }
        launch->state = PG_LAUNCH_ASKED;
        pg->promote_sent = false;
        pg->sync_taken_by = 0;
        pg_task_say(task, "starting PostgreSQL%s",
                    launch->cleared ? ", over the lock files of a server that is gone" : "");
        pg_task_fence(task, ask_fence(task, launch));
        return 0;
    case PG_LAUNCH_ASKED:
        if (task->rc != 0) {
            error_wrap(&task->err, "starting PostgreSQL");
            return task->rc;
        }
        launch->starts = task->fence_status.starts;
        launch->pid = task->fence_status.postmaster_pid;
        pg_task_say(task, "waiting until PostgreSQL accepts connections");
        look(task, launch);
        return 0;
    case PG_LAUNCH_LOOK: look(task, launch); return 0;
    case PG_LAUNCH_LOOKED: return looked(task, launch);
    case PG_LAUNCH_CONNECTING: return connected(task, launch);
    }
    return task->rc = ERR_BUG;
}
