/* The instance and its end. See fence_core.h for the phases. */
#include "pgctl/fence/fence_core.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define DRAIN_MAX_MS                                                                               \
    100 /* backends see their postmaster's death at once unless they are busy; the logger has last \
           lines */
#define DRAIN_LOOK_MS 5
#define KILL_ROUND_MS 2 /* slower when a process does not die (uninterruptible sleep) */

void fence_phase_set(struct fence *fence, enum fence_phase phase, int64_t now_ms)
{
    fence->phase = phase;
    fence->phase_since_ms = now_ms;
    fence->next_round_ms = now_ms;
}

void fence_phase_signal(struct fence *fence, enum fence_stop_mode mode)
{
    static const int signals[] = {
        [FENCE_STOP_SMART] = SIGTERM, [FENCE_STOP_FAST] = SIGINT, [FENCE_STOP_IMMEDIATE] = SIGQUIT};
    if (fence->instance.postmaster > 0) {
        (void)kill(fence->instance.postmaster, signals[mode]);
    }
}

static void gone(struct fence *fence, int64_t now_ms)
{
    if (fence->phase == FENCE_PHASE_KILLING) {
        fence->status.kill_ms = now_ms - fence->phase_since_ms;
        fence_say("every process of the instance is gone after %lld ms",
                  (long long)fence->status.kill_ms);
    }
    fence_cgroup_remove(&fence->instance);
    fence->instance.stopped = false;
    fence->kill_at_ms = FENCE_NO_DEADLINE;
    fence->idle_since_ms = now_ms;
    fence_phase_set(fence, FENCE_PHASE_GONE, now_ms);
    fence_talk_event(fence, FENCE_EVENT_ALL_GONE);
}

void fence_phase_kill(struct fence *fence, int64_t now_ms)
{
    if (fence->phase != FENCE_PHASE_KILLING) {
        fence_phase_set(fence, FENCE_PHASE_KILLING, now_ms);
    }
}

void fence_phase_reap(struct fence *fence, int64_t now_ms)
{
    int wait_status = 0;
    pid_t pid;

    while ((pid = waitpid(-1, &wait_status, WNOHANG)) > 0) {
        if (pid != fence->instance.postmaster) {
            continue; /* an orphan of the instance */
        }
        fence->instance.postmaster = 0;
        fence->status.exited = true;
        fence->status.wait_status = wait_status;
        if (fence->phase == FENCE_PHASE_UP) {
            fence_phase_set(fence, FENCE_PHASE_DRAINING, now_ms);
        }
        fence_start_ended(fence);
        fence_talk_event(fence, FENCE_EVENT_POSTMASTER_EXITED);
    }
}

/* A primary that was started by hand is no child of this fence, and the page's deadline binds it
 * all the same. */
bool fence_phase_binds_others(const struct fence *fence)
{
    return fence_lease_armed(&fence->lease) &&
           !fence_epoch_over(&fence->state, fence->lease.epoch) &&
           fence_count(&fence->instance) > 0;
}

/* The page first: whatever else is to be done, it comes after the deadline was looked at. */
void fence_phase_look(struct fence *fence, int64_t now_ms)
{
    struct fence_epoch fired = fence->state.fired;

    (void)fence_page_read(fence->setup.page,
                          &fence->lease); /* unreadable: the last whole copy stays in force */
    fence_watchdog_clamp(&fence->lease, fence_dog_timeout_ms(&fence->dog));
    switch (fence_decide(&fence->lease, now_ms, &fence->state)) {
    case FENCE_NONE: break;
    case FENCE_SOFT_STOP:
        fence_phase_signal(fence, FENCE_STOP_FAST);
        if (fence->instance.postmaster == 0) { /* adopted, or started by hand */
            fence_signal_others(&fence->instance, SIGINT);
        }
        fence_say("the lease ends soon and was not renewed: fast shutdown");
        fence_talk_event(fence, FENCE_EVENT_SOFT_STOP);
        break;
    case FENCE_KILL:
        if (!fence_epoch_equal(fired, fence->state.fired)) {
            fence_phase_kill(fence, now_ms);
            fence_say("the lease has ended: killing every process of the instance");
            fence_talk_event(fence, FENCE_EVENT_FIRED);
        } else if (fence->phase != FENCE_PHASE_GONE) {
            fence_phase_kill(fence, now_ms);
        }
        break;
    }
    if (now_ms >= fence->kill_at_ms &&
        (fence->phase == FENCE_PHASE_UP || fence->phase == FENCE_PHASE_DRAINING)) {
        fence_phase_kill(fence, now_ms);
        fence_say("the instance did not stop in time: killing every process of it");
    }
}

static void tell_blindness(void)
{
    static int told;
    int reason = fence_kill_blind();
    if (reason != told && reason != 0) {
        fence_say(
            "the processes in /proc cannot be listed: %s: what is left of the instance is not "
            "known, trying again",
            strerror(reason));
    }
    told = reason;
}

/* Moves DRAINING and KILLING on. */
void fence_phase_step(struct fence *fence, int64_t now_ms)
{
    if ((fence->phase != FENCE_PHASE_DRAINING && fence->phase != FENCE_PHASE_KILLING) ||
        now_ms < fence->next_round_ms) {
        return;
    }
    int64_t elapsed_ms = now_ms - fence->phase_since_ms;
    if (fence->phase == FENCE_PHASE_DRAINING && elapsed_ms >= DRAIN_MAX_MS) {
        fence_phase_kill(fence, now_ms);
    }
    bool killing = fence->phase == FENCE_PHASE_KILLING;
    /* A fork of the postmaster that was under way when it was stopped may show up as long as it
     * lives: only a look without it counts. */
    bool headless = fence->instance.postmaster == 0;
    size_t left = killing ? fence_kill_round(&fence->instance) : fence_count(&fence->instance);
    tell_blindness();
    fence_phase_reap(fence, now_ms);
    now_ms = fence_lease_now_ms();
    if (left == 0 && headless) {
        gone(fence, now_ms);
        return;
    }
    int64_t pause_ms = killing ? KILL_ROUND_MS + elapsed_ms / 20 : DRAIN_LOOK_MS;
    fence->next_round_ms = now_ms + (pause_ms > FENCE_WAIT_MAX_MS ? FENCE_WAIT_MAX_MS : pause_ms);
}

/* Seen now: since everything was gone an instance may have been started by hand, and the page be
 * armed for it. Asked only where the watchdog's next step depends on it. */
static bool none_is_left(const struct fence *fence)
{
    const struct fence_dog *dog = &fence->dog;
    bool concerns = dog->path[0] != '\0' || fence_dog_holds(dog);
    bool matters = concerns && (dog->left || fence_lease_armed(&fence->lease));

    return matters && fence->phase == FENCE_PHASE_GONE && fence->instance.has_dir &&
           fence_count(&fence->instance) == 0;
}

/* After look: it goes by the same copy of the page. */
void fence_phase_dog(struct fence *fence, int64_t now_ms)
{
    bool none_seen = none_is_left(fence);
    bool over = fence_epoch_over(&fence->state, fence->lease.epoch) || fence->quitting;
    enum fence_watchdog_step step =
        fence_watchdog_decide(&fence->lease, over, none_seen, fence_dog_wanted_ms(&fence->dog),
                              now_ms, &fence->dog_until_ms);
    if (fence_dog_turn(&fence->dog, step, fence->dog_until_ms, none_seen, now_ms) &&
        fence->client_knows_dog) {
        fence_talk_event(fence, FENCE_EVENT_WATCHDOG);
    }
}
