/* What the agent hears: answers, events, and with each the whole status. */
#include "pgctl/fence/fence_core.h"

#include "pgctl/fence/fence_channel.h"

#include <stdio.h>
#include <unistd.h>

void fence_talk_close(struct fence *fence)
{
    if (fence->client_fd >= 0) {
        (void)close(fence->client_fd);
    }
    fence->client_fd = -1;
    fence->starting.id =
        0; /* whoever asked for it is gone; the next one counts from the beginning */
    fence->client_knows_dog = false;
    fence->instance.spared = 0;
    fence->idle_since_ms = fence_lease_now_ms();
}

/* A client that does not read loses its connection, and hears the status when it is back. */
static void client_send(struct fence *fence, const struct fence_reply *reply, bool with_page)
{
    int page_fd = with_page ? fence->setup.page_fd : -1;
    if (fence->client_fd >= 0 && !fence_channel_send(fence->client_fd, reply, page_fd)) {
        fence_talk_close(fence);
    }
}

static struct fence_status status_now(const struct fence *fence)
{
    struct fence_status status = fence->status;
    status.postmaster_pid = fence->instance.postmaster;
    status.running = fence->instance.postmaster > 0;
    status.killing = fence->phase == FENCE_PHASE_KILLING;
    status.all_gone = fence->phase == FENCE_PHASE_GONE;
    status.by_cgroup = fence->instance.cgroup_kill_fd >= 0;
    status.fired = fence->state.fired;
    status.stopped = fence->state.stopped;
    fence_dog_status(&fence->dog, &status);
    return status;
}

void fence_talk_answer(struct fence *fence, uint32_t id, int code, const char *text)
{
    if (id == 0) {
        return; /* nobody waits for it: the status, and events, say what came of it */
    }
    struct fence_reply reply = {
        .id = id, .code = code, .event = FENCE_ANSWER, .status = status_now(fence)};
    (void)snprintf(reply.text, sizeof reply.text, "%s", text);
    client_send(fence, &reply, false);
}

void fence_talk_event(struct fence *fence, enum fence_event what)
{
    struct fence_reply reply = {.event = (int)what, .status = status_now(fence)};
    client_send(fence, &reply, false);
}

void fence_talk_hello(struct fence *fence, uint32_t id)
{
    struct fence_reply reply = {.id = id, .event = FENCE_ANSWER, .status = status_now(fence)};
    client_send(fence, &reply, true);
}
