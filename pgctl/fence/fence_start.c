/* A postmaster is started: what has to hold before, and how it came out. */
#include "pgctl/fence/fence_core.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void start_fork(struct fence *fence, struct fence_request *request)
{
    pid_t pid = fence_child_start(&fence->setup, &fence->instance, request, &fence->start_fd);

    if (pid < 0) {
        fence_talk_answer(fence, request->id, ERR_IO, strerror(errno));
        return;
    }
    fence->instance.postmaster = pid;
    fence->instance.stopped = false;
    fence->start_id = request->id;
    fence->status.starts++;
    fence->status.exited = false;
    fence->status.wait_status = 0;
    fence->kill_at_ms = FENCE_NO_DEADLINE;
    fence_phase_set(fence, FENCE_PHASE_UP, fence_lease_now_ms());
}

void fence_start_outcome(struct fence *fence)
{
    int reason = 0;
    ssize_t len = read(fence->start_fd, &reason, sizeof reason);

    (void)close(fence->start_fd);
    fence->start_fd = -1;
    if (len == (ssize_t)sizeof reason) {
        fence_talk_answer(fence, fence->start_id, ERR_IO, strerror(reason));
    } else {
        fence_talk_answer(fence, fence->start_id, 0, "");
    }
}

void fence_start_do(struct fence *fence, struct fence_request *request)
{
    if (fence_epoch_over(&fence->state, fence->lease.epoch)) {
        fence_talk_answer(fence, request->id, ERR_REFUSED, "the epoch on the page is over");
    } else if (!fence_epoch_equal(request->epoch, fence->lease.epoch)) {
        fence_talk_answer(fence, request->id, ERR_REFUSED,
                          "the page says another epoch than when this was asked for");
    } else if (fence->quitting) {
        fence_talk_answer(fence, request->id, ERR_REFUSED, "the fence is about to exit");
    } else if (fence->instance.postmaster > 0 || fence->phase == FENCE_PHASE_KILLING ||
               fence->start_fd >= 0) {
        fence_talk_answer(fence, request->id, ERR_BUSY,
                          "a postmaster is running, or is not gone yet");
    } else if (fence_lease_armed(&fence->lease) && !fence_dog_is_settled(&fence->dog)) {
        fence_talk_answer(fence, request->id, ERR_BUSY, "the watchdog is not armed yet");
    } else if (!fence_instance_set_dir(&fence->instance, request->data_dir)) {
        fence_talk_answer(fence, request->id, ERR_IO, strerror(errno));
    } else if (fence_count(&fence->instance) > 0) {
        fence_talk_answer(fence, request->id, ERR_BUSY,
                          "processes of the instance are still there");
    } else if (request->kill_way != FENCE_KILL_LOOP && !fence_cgroup_make(&fence->instance) &&
               request->kill_way == FENCE_KILL_CGROUP) {
        fence_talk_answer(fence, request->id, ERR_UNSUPPORTED,
                          "no cgroup v2 group can be made here");
    } else {
        start_fork(fence, request);
    }
}
