/* Stop of an instance, until no process of it is left.
 *
 *   CLEAR (other jobs end) -> LOOK -> [BEFORE] -> [CHECKPOINTING] -> ASK -> WAIT ... -> end
 *
 * The fence stops what it has started, and kills what is left in time. But whoever asks may have
 * lost the lease, and a fence that stands still is not known to before seconds have passed. So a
 * postmaster of its own gets its signal from here first, by calls that wait for no disk, and where
 * nothing is to be done before a stop, before jobs of before have ended. An adopted one (the fence
 * did not start it) gets it from here alone. The kill is the fence's, and so is the word that
 * nothing is left; where it is known to stand still, both are done here in its place. So is the
 * kill at the page's deadline then, which is read again at each look: the lease may be renewed, or
 * lost, while a stop is under way. While jobs of before have not ended (CLEAR) there is no look and
 * no kill. */
#include "base/assert.h"
#include "base/mem.h"
#include "pgctl/jobs/command.h"
#include "pgctl/jobs/pg_private.h"
#include "pgctl/proc/pg_files.h"
#include "pgctl/proc/pg_postmaster.h"
#include "pgctl/proc/pg_remains.h"

#include <poll.h>
#include <signal.h>

#define LOOK_EVERY_MS   50 /* events of the fence wake us earlier */
#define KILL_TAKES_MS   10000
#define CLEAR_EVERY_MS  5
#define EMPTY_LOOKS     2 /* in a row: pg_remains_look */
#define KILL_ROUNDS_MAX 20
#define KILL_ROUND_MS   2
#define HEADLESS_LOOKS  3 /* in a row: whoever sees the end of his postmaster has gone by then */

enum {
    STOP_CLEAR,
    STOP_LOOKED,
    STOP_BEFORE,
    STOP_CONNECTED,
    STOP_CHECKPOINTED,
    STOP_ASKED,
    STOP_WAIT,
    STOP_KILL_ASKED
};

struct stop_data {
    struct pg_stop stop;
    struct pg_command before;
    const char *data_dir;
    int32_t pid;         /* as it was last seen */
    bool unnamed;        /* the last look did not see whether there is one */
    int64_t named_by_ms; /* mono: until then one is waited for that was never seen */
    bool killed;
    int signalled;    /* the last signal that went from here; 0 = none */
    bool stood_still; /* the fence: it has not answered in time */
    int64_t kill_ms;  /* mono */
    /* The fence is known to stand still, and what is left is looked for here. */
    bool alone;
    struct pg_remains remains;
    unsigned empty_looks;    /* in a row */
    unsigned headless_looks; /* likewise: what is left has lost its postmaster */
    struct error blind;      /* why the last look says nothing; "" = it does */
};

/* What cannot be seen is not none: neither a kill nor an end follows from it. */
static bool none_named(const struct stop_data *data)
{
    return data->pid == 0 && !data->unnamed;
}

/* What cannot be seen may be left: the fence alone, or the end of time, ends that wait. False: not
 * all was seen. */
static bool look_alone(struct stop_data *data, struct pg_left *ret_left)
{
    if (data->remains.postmaster == 0) {
        data->remains.postmaster = data->pid; /* an adopted one */
    }
    return pg_remains_look(&data->remains, data->killed, ret_left, &data->blind) == 0;
}

/* Until all have gone, or a disk holds them up. */
static bool end_alone(struct stop_data *data, struct pg_left *ret_left)
{
    bool seen = look_alone(data, ret_left);
    for (int i = 0; i < KILL_ROUNDS_MAX && seen && ret_left->count > 0; i++) {
        (void)poll(NULL, 0, KILL_ROUND_MS);
        seen = look_alone(data, ret_left);
    }
    return seen;
}

/* No disk is asked before the kill. */
static int find_postmaster(void *arg, struct error *err)
{
    struct stop_data *data = arg;
    struct pg_left left = {0};
    struct error why = {0};
    (void)err;
    data->blind = (struct error){0};
    bool kills = data->alone && data->killed;
    bool seen = kills && end_alone(data, &left);
    data->unnamed = pg_dir_postmaster(data->data_dir, &data->pid, &why) != 0;
    if (data->alone && !kills) {
        seen = look_alone(data, &left);
    }
    if (data->unnamed && data->blind.code == 0) {
        data->blind = why;
    }
    bool none = seen && left.count == 0 && none_named(data);
    data->empty_looks = none ? data->empty_looks + 1 : 0;
    data->headless_looks = seen && left.headless ? data->headless_looks + 1 : 0;
    return 0;
}

static int stop_signal(enum fence_stop_mode mode)
{
    switch (mode) {
    case FENCE_STOP_SMART: return SIGTERM;
    case FENCE_STOP_FAST: return SIGINT;
    case FENCE_STOP_IMMEDIATE: return SIGQUIT;
    }
    return SIGINT;
}

/* The pid file is looked at again: a checkpoint may lie between, and the number be a stranger's.
 * One that is gone is what was wished for. */
static int signal_postmaster(void *arg, struct error *err)
{
    struct stop_data *data = arg;
    int rc = pg_postmaster_signal(data->data_dir, data->pid, stop_signal(data->stop.mode), err);
    return rc == ERR_NOT_FOUND ? 0 : rc;
}

static bool other_jobs(const struct pg_task *self)
{
    LIST_EACH(item, &self->pg->tasks)
    {
        const struct pg_task *task = LIST_OWNER(item, struct pg_task, link);
        if (task != self && task->ops->job != PG_JOB_NONE) {
            return true;
        }
    }
    return false;
}

static const struct fence_status *fence_of(const struct pg_task *task)
{
    struct fence_client *fence = task->pg->fence;
    return fence != NULL && fence_client_connected(fence) ? fence_client_status(fence) : NULL;
}

/* A kill begins with the signal that ends soonest. */
static int first_signal(const struct stop_data *data)
{
    return stop_signal(data->stop.kill_after_ms > 0 ? data->stop.mode : FENCE_STOP_IMMEDIATE);
}

/* On the loop. Should it fail, there is the fence. */
static void signal_child(const struct pg_task *task, struct stop_data *data, int number)
{
    const struct fence_status *status = fence_of(task);
    if (status != NULL && status->running && data->signalled != number &&
        pg_postmaster_signal_child(status->postmaster_pid, status->fence_pid, number)) {
        data->signalled = number;
    }
}

static bool is_silent(const struct pg_task *task)
{
    const struct fence_status *status = fence_of(task);
    return status != NULL && status->silent;
}

/* Nobody else acts on the deadline then. 0 = it has passed; FENCE_NO_DEADLINE = there is none, or
 * it is the fence's. */
static int64_t left_alone_ms(const struct pg_task *task)
{
    struct fence_lease page;
    const struct fence_page *mapped = is_silent(task) ? fence_client_page(task->pg->fence) : NULL;
    if (mapped == NULL || !fence_page_read(mapped, &page) || !fence_lease_armed(&page)) {
        return FENCE_NO_DEADLINE;
    }
    int64_t now_ms = clock_lease_ms(task->pg->clock);
    return page.deadline_ms <= now_ms ? 0 : page.deadline_ms - now_ms;
}

static bool is_overdue(const struct pg_task *task)
{
    return left_alone_ms(task) == 0;
}

/* Nothing is to be done before the kill, and its time has come. */
static bool is_due(const struct pg_task *task, const struct stop_data *data)
{
    return is_overdue(task) ||
           (data->stop.kill_after_ms <= 0 && !pg_command_given(&data->before)) ||
           (data->kill_ms != 0 && clock_mono_ms(task->pg->clock) > data->kill_ms);
}

static void begin_kill(struct pg_task *task, struct stop_data *data)
{
    data->stop.mode = FENCE_STOP_IMMEDIATE;
    signal_child(task, data, stop_signal(data->stop.mode));
    data->killed = true;
    pg_task_say(task, "killing every process of the instance");
}

static void kill_all(struct pg_task *task, struct stop_data *data);

static void look(struct pg_task *task)
{
    struct stop_data *data = task->data;
    const struct fence_status *status = fence_of(task);

    bool was_alone = data->alone;
    data->alone = status != NULL && status->silent;
    if (was_alone && data->killed && status != NULL && !status->silent) {
        kill_all(task, data); /* what was begun here, its postmaster stopped, is the fence's now */
        return;
    }
    if (data->alone) {
        data->remains = (struct pg_remains){.data_dir = data->data_dir,
                                            .postmaster = status->postmaster_pid,
                                            .fence = status->fence_pid};
        if (!data->killed && is_due(task, data)) {
            begin_kill(task, data); /* by this look, which may get no further than that */
        }
    } else {
        data->empty_looks = data->headless_looks = 0;
    }
    task->state = STOP_LOOKED;
    pg_task_work(task, find_postmaster, data);
}

static bool is_ours_to_signal(const struct stop_data *data)
{
    return data->pid > 0 && data->signalled != stop_signal(data->stop.mode);
}

static void signal_it(struct pg_task *task, struct stop_data *data)
{
    pg_task_say(task, "the fence does not answer: stopping the postmaster without it");
    data->signalled = stop_signal(data->stop.mode);
    task->state = STOP_ASKED;
    pg_task_work(task, signal_postmaster, data);
}

static void kill_all(struct pg_task *task, struct stop_data *data)
{
    begin_kill(task, data);
    task->state = STOP_KILL_ASKED;
    if (is_silent(task)) {
        look(task); /* which kills */
        return;
    }
    if (fence_of(task) == NULL) {
        pg_task_fail_with(task, ERR_UNAVAILABLE,
                          "stopping PostgreSQL: there is no fence process to kill it");
        return;
    }
    pg_task_fence(task, fence_client_kill(task->pg->fence, data->data_dir, pg_task_on_fence, task,
                                          &task->err));
}

static bool fence_started_it(const struct pg_task *task, const struct stop_data *data)
{
    const struct fence_status *status = fence_of(task);
    return status != NULL && status->running &&
           (data->pid == 0 || status->postmaster_pid == data->pid);
}

static void ask(struct pg_task *task, struct stop_data *data)
{
    struct pg_instance *pg = task->pg;

    pg_conn_free(task->conn); /* ours would hold up a smart stop */
    task->conn = NULL;
    if (data->stop.kill_after_ms <= 0 || is_overdue(task)) {
        kill_all(task, data);
        return;
    }
    pg_task_say(task, "stopping PostgreSQL");
    data->kill_ms = clock_mono_ms(pg->clock) + data->stop.kill_after_ms;
    task->state = STOP_ASKED;
    signal_child(task, data, stop_signal(data->stop.mode));
    if (is_silent(task) && is_ours_to_signal(data)) {
        signal_it(task, data);
        return;
    }
    if (is_silent(task) && data->signalled != 0) {
        pg_task_again(task);
        return;
    }
    if (fence_started_it(task, data)) {
        int64_t kill_at_ms = clock_lease_ms(pg->clock) + data->stop.kill_after_ms;
        pg_task_fence(task, fence_client_stop(pg->fence, data->stop.mode, kill_at_ms,
                                              pg_task_on_fence, task, &task->err));
        return;
    }
    if (data->pid > 0) {
        pg_task_work(task, signal_postmaster, data);
    } else {
        pg_task_again(task);
    }
}

/* Nothing is running: neither what the fence knows nor what the pid file names. */
static bool is_over(const struct pg_task *task, struct stop_data *data)
{
    const struct fence_status *status = fence_of(task);
    if (status == NULL) {
        return none_named(data);
    }
    if (data->empty_looks >= EMPTY_LOOKS && fence_client_note_gone(task->pg->fence)) {
        data->stop.unlooked = false;
    }
    return status->all_gone && !status->running && !status->killing && none_named(data) &&
           (!data->stop.unlooked || data->killed);
}

/* A fence that is new: its predecessor died, and took the postmaster along, but not a backend that
 * computes and may commit yet. Nobody else can tell whether there is one. The same of one that was
 * adopted. */
static bool fence_has_not_looked(const struct pg_task *task, const struct stop_data *data)
{
    const struct fence_status *status = fence_of(task);
    return status != NULL &&
           ((status->starts == 0 && !status->all_gone) || (data->stop.unlooked && !data->killed));
}

static void wait_or_end(struct pg_task *task, struct stop_data *data)
{
    if (is_over(task, data)) {
        pg_task_end(task);
    } else if (pg_task_expired(task)) {
        pg_task_fail_with(task, ERR_TIMEOUT, "stopping PostgreSQL: processes of the instance %s%s",
                          data->blind.text[0] != '\0' ? "may be left: " : "are left",
                          data->blind.text);
    } else if (data->empty_looks == 1) {
        look(task);
    } else if (!data->killed && (clock_mono_ms(task->pg->clock) > data->kill_ms ||
                                 is_overdue(task) || data->headless_looks >= HEADLESS_LOOKS ||
                                 (none_named(data) && fence_has_not_looked(task, data)))) {
        kill_all(task, data);
    } else {
        int64_t left_ms = data->killed ? LOOK_EVERY_MS : left_alone_ms(task);
        task->state = STOP_WAIT;
        pg_task_wait(task, left_ms < LOOK_EVERY_MS ? left_ms : LOOK_EVERY_MS);
    }
}

static void begin(struct pg_task *task, struct stop_data *data)
{
    if (data->stop.checkpoint && data->stop.mode == FENCE_STOP_FAST &&
        data->stop.kill_after_ms > 0 && !is_silent(task)) {
        task->state = STOP_CONNECTED;
        pg_task_say(task, "checkpoint before the stop");
        pg_task_connect_local(task);
    } else {
        ask(task, data);
    }
}

/* An adopted one that has never been seen: nobody can ask it to end. */
static bool is_out_of_sight(const struct pg_task *task, const struct stop_data *data)
{
    return data->unnamed && data->pid == 0 && data->stop.kill_after_ms > 0 && !is_overdue(task) &&
           !fence_started_it(task, data);
}

/* For as long as it would have had to end; then it is killed. */
static void wait_for_sight(struct pg_task *task, struct stop_data *data)
{
    int64_t now_ms = clock_mono_ms(task->pg->clock);
    if (data->named_by_ms == 0) {
        data->named_by_ms = now_ms + data->stop.kill_after_ms;
    }
    if (now_ms >= data->named_by_ms) {
        kill_all(task, data);
        return;
    }
    int64_t left_ms = left_alone_ms(task);
    task->state = STOP_WAIT;
    pg_task_wait(task, left_ms < LOOK_EVERY_MS ? left_ms : LOOK_EVERY_MS);
}

static void looked(struct pg_task *task, struct stop_data *data)
{
    if (data->kill_ms != 0 || data->killed) { /* asked already: this look was for the pid file */
        wait_or_end(task, data);
    } else if (data->empty_looks == 1) {
        look(task);
    } else if (none_named(data) && (data->stop.kill_after_ms > 0 || data->alone) &&
               is_over(task, data)) {
        pg_task_end(task);
    } else if (is_out_of_sight(task, data)) {
        wait_for_sight(task, data);
    } else if (none_named(data) && fence_has_not_looked(task, data)) {
        kill_all(task, data);
    } else if (pg_command_given(&data->before) && !is_overdue(task)) {
        task->state = STOP_BEFORE;
        pg_task_command(task, &data->before, &pg_command_no_words, NULL);
    } else {
        begin(task, data);
    }
}

/* It has not answered. */
static void without_fence(struct pg_task *task, struct stop_data *data)
{
    if (is_ours_to_signal(data)) {
        signal_it(task, data);
    } else {
        look(task);
    }
}

static void stop_release(struct pg_task *task)
{
    pg_command_free(&((struct stop_data *)task->data)->before);
}

static void stop_step(struct pg_task *task)
{
    struct stop_data *data = task->data;

    switch (task->state) {
    case STOP_CLEAR:
        if (!data->stop.checkpoint && !pg_command_given(&data->before)) {
            signal_child(task, data, first_signal(data));
        }
        if (!other_jobs(task)) {
            look(task);
        } else if (pg_task_expired(task)) {
            pg_task_fail_with(task, ERR_TIMEOUT,
                              "stopping PostgreSQL: the job before does not end: its disk or the "
                              "fence does not answer");
        } else {
            pg_task_wait(task, CLEAR_EVERY_MS);
        }
        return;
    case STOP_LOOKED: looked(task, data); return;
    case STOP_BEFORE: begin(task, data); return; /* however it has ended */
    case STOP_CONNECTED:
        task->state = STOP_CHECKPOINTED;
        if (task->rc == 0) {
            pg_task_query(task, "CHECKPOINT");
            return;
        }
        ask(task, data); /* it only shortens the stop */
        return;
    case STOP_CHECKPOINTED: ask(task, data); return;
    case STOP_ASKED:
    case STOP_KILL_ASKED:
        if (task->rc == ERR_TIMEOUT && !data->stood_still) {
            data->stood_still = true;
            without_fence(task, data);
            return;
        }
        if (task->rc != 0) {
            error_wrap(&task->err, "stopping PostgreSQL");
            pg_task_fail(task);
            return;
        }
        look(task);
        return;
    case STOP_WAIT: look(task); return;
    default: ASSERT(false);
    }
}

int pg_instance_stop(struct pg_instance *instance, const struct pg_stop *stop, pg_done_cb done,
                     void *arg, struct error *err)
{
    static const struct pg_task_ops ops = {
        .name = "stop",
        .job = PG_JOB_STOP,
        .step = stop_step,
        .release = stop_release,
        .ends_child = is_overdue, /* the command before it */
    };

    struct pg_task *before = instance->job;
    if (before != NULL) {
        pg_task_cancel(before);
        instance->job = NULL; /* still in the list: we wait for it */
    }
    struct stop_data *data = mem_new(struct stop_data);
    data->stop = *stop;
    data->before = pg_command_dup(stop->before);
    data->data_dir = instance->config.data_dir;
    int rc = pg_task_start(instance, &ops, data,
                           data->before.timeout_ms + stop->kill_after_ms + KILL_TAKES_MS, done, arg,
                           NULL, err);
    if (rc != 0) {
        instance->job = before;
        pg_command_free(&data->before);
        mem_free(data);
    }
    return rc;
}
