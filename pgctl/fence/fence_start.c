/* A postmaster is started: what has to hold before, and how it came out.
 *
 * The child says what has failed; when it says nothing more, its program runs, or it was killed
 * before: then its end is awaited, and the answer with it. */
#include "pgctl/fence/fence_core.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void refuse(struct fence *fence, uint32_t id, int code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

static void refuse(struct fence *fence, uint32_t id, int code, const char *fmt, ...)
{
    char text[FENCE_TEXT_BYTES];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    fence_talk_answer(fence, id, code, text);
}

/* What a failure is told about; the request is gone by then. */
static void remember(struct fence_starting *starting, const struct fence_request *request)
{
    starting->id = request->id;
    (void)snprintf(starting->program, sizeof starting->program, "%s", request->argv[0]);
    (void)snprintf(starting->data_dir, sizeof starting->data_dir, "%s", request->data_dir);
    (void)snprintf(starting->log_path, sizeof starting->log_path, "%s", request->log_path);
}

static void start_fork(struct fence *fence, struct fence_request *request)
{
    pid_t pid =
        fence_child_start(&fence->setup, &fence->instance, request, &fence->starting.words_fd);

    if (pid < 0) {
        refuse(fence, request->id, ERR_IO,
               "forking the postmaster: %s: how many processes are there, and how many may be "
               "(ulimit -u, TasksMax)?",
               strerror(errno));
        return;
    }
    fence->instance.postmaster = pid;
    fence->instance.stopped = false;
    remember(&fence->starting, request);
    fence->status.starts++;
    fence->status.exited = false;
    fence->status.wait_status = 0;
    fence->kill_at_ms = FENCE_NO_DEADLINE;
    fence_phase_set(fence, FENCE_PHASE_UP, fence_lease_now_ms());
}

/* --- how it came out -------------------------------------------------------------------------- */

static void answer_failed(struct fence *fence, const struct fence_child_word *word)
{
    const struct fence_starting *starting = &fence->starting;
    const char *reason = strerror(word->reason);

    switch ((enum fence_child_step)word->step) {
    case FENCE_CHILD_NO_GROUP: break; /* no failure */
    case FENCE_CHILD_INIT:
        refuse(fence, starting->id, ERR_IO, "preparing the process of the postmaster: %s", reason);
        break;
    case FENCE_CHILD_GROUP:
        refuse(fence, starting->id, ERR_IO, "joining the cgroup '%.120s': %s: delegate it",
               fence->instance.cgroup, reason);
        break;
    case FENCE_CHILD_LOCK:
        refuse(fence, starting->id, ERR_IO,
               "the lock of '%.120s': %s: another server works in it, stop that one first",
               starting->data_dir, reason);
        break;
    case FENCE_CHILD_LOG:
        refuse(fence, starting->id, ERR_IO, "opening the log '%.120s': %s",
               starting->log_path[0] == '\0' ? "/dev/null" : starting->log_path, reason);
        break;
    case FENCE_CHILD_EXEC:
        refuse(fence, starting->id, ERR_IO, "executing '%.120s': %s: see postgresql.bin_dir",
               starting->program, reason);
        break;
    }
}

static void words_end(struct fence *fence)
{
    (void)close(fence->starting.words_fd);
    fence->starting.words_fd = -1;
}

void fence_start_outcome(struct fence *fence)
{
    struct fence_child_word word;
    ssize_t len = read(fence->starting.words_fd, &word, sizeof word);

    if (len == (ssize_t)sizeof word && word.step == FENCE_CHILD_NO_GROUP) {
        fence_say("the postmaster is not in the cgroup '%s': %s: delegate it; its processes are "
                  "found one by one",
                  fence->instance.cgroup, strerror(word.reason));
        fence_cgroup_remove(&fence->instance);
        return; /* and what comes next? */
    }
    words_end(fence);
    if (len == (ssize_t)sizeof word) {
        answer_failed(fence, &word);
    } else if (fence->instance.postmaster == 0 ||
               !fence_child_executes(fence->instance.postmaster)) {
        fence->starting.ends = true;
        fence_start_ended(fence);
    } else {
        fence_talk_answer(fence, fence->starting.id, 0, "");
    }
}

void fence_start_ended(struct fence *fence)
{
    int status = fence->status.wait_status;

    if (!fence->starting.ends || fence->instance.postmaster != 0) {
        return;
    }
    fence->starting.ends = false;
    if (WIFSIGNALED(status)) {
        refuse(fence, fence->starting.id, ERR_IO,
               "the postmaster was killed by signal %d as soon as it was started: by whom, or by "
               "the kernel for want of memory?",
               WTERMSIG(status));
    } else { /* its program ran, and what it has to say is in its log */
        fence_talk_answer(fence, fence->starting.id, 0, "");
    }
}

/* --- what has to hold before ------------------------------------------------------------------ */

static bool is_under_way(const struct fence *fence)
{
    return fence->starting.words_fd >= 0 || fence->starting.ends;
}

/* What the page says, and when it was asked for. */
static const char *bars(const struct fence *fence, const struct fence_request *request)
{
    if (fence_epoch_over(&fence->state, fence->lease.epoch)) {
        return "the epoch on the page is over";
    }
    if (!fence_epoch_equal(request->epoch, fence->lease.epoch)) {
        return "the page says another epoch than when this was asked for";
    }
    if (fence_lease_now_ms() > request->not_after_ms) {
        return "it was asked for too long ago: whoever did has given it up";
    }
    return fence->quitting ? "the fence is about to exit" : NULL;
}

static bool is_free(struct fence *fence, const struct fence_request *request)
{
    if (fence->instance.postmaster > 0 || fence->phase == FENCE_PHASE_KILLING ||
        is_under_way(fence)) {
        refuse(fence, request->id, ERR_BUSY, "a postmaster is running, or is not gone yet");
    } else if (fence_lease_armed(&fence->lease) && !fence_dog_is_settled(&fence->dog)) {
        refuse(fence, request->id, ERR_BUSY, "the watchdog is not armed yet");
    } else if (!fence_instance_set_dir(&fence->instance, request->data_dir)) {
        refuse(fence, request->id, ERR_IO, "looking at the data directory '%.120s': %s",
               request->data_dir, strerror(errno));
    } else if (fence_count(&fence->instance) == 0) {
        return true;
    } else if (fence_kill_blind() != 0) {
        refuse(fence, request->id, ERR_BUSY,
               "the processes in /proc cannot be listed: %s: what is left of the instance is not "
               "known",
               strerror(fence_kill_blind()));
    } else {
        refuse(fence, request->id, ERR_BUSY, "processes of the instance are still there");
    }
    return false;
}

void fence_start_do(struct fence *fence, struct fence_request *request)
{
    const char *why = bars(fence, request);

    if (why != NULL) {
        refuse(fence, request->id, ERR_REFUSED, "%s", why);
    } else if (!is_free(fence, request)) {
        return;
    } else if (request->kill_way != FENCE_KILL_LOOP && !fence_cgroup_make(&fence->instance) &&
               request->kill_way == FENCE_KILL_CGROUP) {
        refuse(fence, request->id, ERR_UNSUPPORTED, "no cgroup v2 group can be made here");
    } else {
        start_fork(fence, request);
    }
}
