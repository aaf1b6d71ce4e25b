/* What the agent asks for. */
#include "pgctl/fence/fence_core.h"

#include <signal.h>

static void on_kill(struct fence *fence, const struct fence_request *request)
{
    if (request->data_dir[0] != '\0' && fence->phase == FENCE_PHASE_IDLE &&
        fence_instance_set_dir(&fence->instance, request->data_dir)) {
        (void)fence_cgroup_make(&fence->instance); /* the predecessor's group has the same name */
    }
    fence_phase_kill(fence, fence_lease_now_ms());
    fence_talk_answer(fence, request->id, 0, "");
}

/* Its processes are found by their directory from now on, and killed at the deadline like those of
 * an instance that was started here. */
static void on_adopt(struct fence *fence, const struct fence_request *request)
{
    bool has_own = fence->phase != FENCE_PHASE_IDLE && fence->phase != FENCE_PHASE_GONE;
    if (has_own) {
        fence_talk_answer(fence, request->id, ERR_BUSY,
                          "an instance that was started here is not stopped");
    } else if (!fence_instance_set_dir(&fence->instance, request->data_dir)) {
        fence_talk_answer(fence, request->id, ERR_NOT_FOUND,
                          "the data directory cannot be looked at");
    } else {
        fence_talk_answer(fence, request->id, 0, "");
    }
}

/* The directory, too: of an instance that it has not started it must know when it is gone. */
static void on_watchdog(struct fence *fence, const struct fence_request *request)
{
    if (fence->phase == FENCE_PHASE_IDLE && request->data_dir[0] != '\0') {
        (void)fence_instance_set_dir(&fence->instance, request->data_dir);
    }
    fence_dog_want(&fence->dog, request->device, request->watchdog_s, request->watchdog_s_max);
    fence->client_knows_dog = true;
    fence_talk_answer(fence, request->id, 0, "");
}

static void on_quit(struct fence *fence, const struct fence_request *request, bool has_instance)
{
    if (has_instance || fence_phase_binds_others(fence)) {
        fence_talk_answer(fence, request->id, ERR_BUSY, "the instance is not stopped");
    } else if (fence->dog.stays) {
        fence_talk_answer(fence, request->id, ERR_REFUSED, fence->dog.stays_why);
    } else if (fence_dog_holds(&fence->dog)) {
        fence_talk_answer(fence, request->id, ERR_BUSY, "the watchdog is not disarmed yet");
    } else {
        fence->quitting = true;
        fence_talk_answer(fence, request->id, 0, "");
    }
}

void fence_request_do(struct fence *fence, struct fence_request *request)
{
    bool has_instance = fence->phase != FENCE_PHASE_IDLE && fence->phase != FENCE_PHASE_GONE;

    switch (request->type) {
    case FENCE_TYPE_HELLO: fence_talk_hello(fence, request->id); break;
    case FENCE_TYPE_START: fence_start_do(fence, request); break;
    case FENCE_TYPE_STOP:
        fence_phase_signal(fence, request->stop_mode);
        fence->kill_at_ms = has_instance ? request->kill_at_ms : FENCE_NO_DEADLINE;
        fence_talk_answer(fence, request->id, 0, "");
        break;
    case FENCE_TYPE_KILL: on_kill(fence, request); break;
    case FENCE_TYPE_RELOAD:
        if (fence->instance.postmaster > 0 && kill(fence->instance.postmaster, SIGHUP) == 0) {
            fence_talk_answer(fence, request->id, 0, "");
        } else {
            fence_talk_answer(fence, request->id, ERR_NOT_FOUND, "no postmaster is running");
        }
        break;
    case FENCE_TYPE_QUERY: fence_talk_answer(fence, request->id, 0, ""); break;
    case FENCE_TYPE_QUIT: on_quit(fence, request, has_instance); break;
    case FENCE_TYPE_WATCHDOG: on_watchdog(fence, request); break;
    case FENCE_TYPE_ADOPT: on_adopt(fence, request); break;
    case FENCE_TYPE_STATUS: break; /* the decoder lets no status through */
    }
}
