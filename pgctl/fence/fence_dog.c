/* See fence_dog.h.
 *
 * Loop and thread share one slot. The loop fills it, and touches it again only after the thread has
 * said that it is done; eventfds carry both. So there is no lock that could be waited for, and no
 * task that nobody has asked for. A petting is asked for with the deadline it rests on, and the
 * thread looks at the clock again right before it: what it may be late by then is what the rule's
 * second timeout pays for. */
#include "pgctl/fence/fence_dog.h"

#include "pgctl/fence/fence_setup.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define SLOW_MS     2000 /* a task that takes longer: the device does not answer */
#define AGAIN_MS    5000 /* after a failure */
#define STACK_BYTES 65536

static _Alignas(16) unsigned char stack[STACK_BYTES]; /* locked in memory with everything else */

/* --- the thread ------------------------------------------------------------------------------- */

static void task_do(struct fence_dog *dog)
{
    int64_t latest_ms = dog->task.until_ms - 2 * 1000 * (int64_t)dog->task.timeout_s;

    memset(&dog->outcome, 0, sizeof dog->outcome);
    switch (dog->task.type) {
    case FENCE_DOG_LOOK: fence_device_look(dog->task.path, &dog->outcome); break;
    case FENCE_DOG_ARM:
        fence_device_arm(&dog->device, dog->task.path, dog->task.timeout_s, dog->task.max_s,
                         &dog->outcome);
        break;
    case FENCE_DOG_PET:
        dog->outcome.done = true;
        if (fence_lease_now_ms() <= latest_ms) {
            fence_device_pet(&dog->device, &dog->outcome);
        }
        break;
    case FENCE_DOG_DISARM:
        if (dog->device.fd >= 0 || /* else left by another: whoever opens it can stop it */
            fence_device_open(&dog->device, dog->task.path, &dog->outcome)) {
            fence_device_disarm(&dog->device, &dog->outcome);
        }
        break;
    }
}

static void *thread_run(void *arg)
{
    struct fence_dog *dog = arg;
    struct sched_param param = {0};
    struct pollfd asked = {.fd = dog->task_fd, .events = POLLIN};
    eventfd_t count;

    /* The fence's schedule is not inherited. */
    param.sched_priority = FENCE_REAL_TIME_PRIO;
    (void)sched_setscheduler(0, SCHED_FIFO, &param);
    for (;;) {
        if (poll(&asked, 1, -1) == 1 && eventfd_read(dog->task_fd, &count) == 0) {
            task_do(dog);
            (void)eventfd_write(dog->done_fd, 1);
        }
    }
    return NULL;
}

/* --- the loop's side -------------------------------------------------------------------------- */

void fence_dog_init(struct fence_dog *dog, const char *runtime_dir)
{
    memset(dog, 0, sizeof *dog);
    dog->task_fd = dog->done_fd = -1;
    fence_device_init(&dog->device, runtime_dir);
    dog->left = fence_device_left(&dog->device);
}

/* With the first wish, so that a fence without a watchdog is what it was. */
static bool thread_start(struct fence_dog *dog)
{
    pthread_attr_t attr;

    if (dog->started) {
        return true;
    }
    if (dog->done_fd < 0) {
        dog->task_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        dog->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    }
    int rc = dog->task_fd < 0 || dog->done_fd < 0 ? errno : pthread_attr_init(&attr);
    if (rc == 0) {
        (void)pthread_attr_setstack(&attr, stack, sizeof stack);
        rc = pthread_create(&dog->thread, &attr, thread_run, dog);
        (void)pthread_attr_destroy(&attr);
    }
    dog->started = rc == 0;
    if (rc != 0) {
        dog->failed = true;
        (void)snprintf(dog->why, sizeof dog->why, "no thread for the watchdog: %s", strerror(rc));
    }
    return dog->started;
}

void fence_dog_want(struct fence_dog *dog, const char *path, int timeout_s, int max_s)
{
    if (strcmp(dog->path, path) != 0) {
        dog->looked = false;
        dog->failed = false;
        dog->why[0] = '\0';
        dog->again_ms = 0;
    }
    (void)snprintf(dog->path, sizeof dog->path, "%s", path);
    dog->timeout_s = timeout_s;
    dog->max_s = max_s;
    dog->look_wanted = path[0] != '\0';
}

static void failed(struct fence_dog *dog, int64_t now_ms)
{
    dog->failed = true;
    dog->again_ms = now_ms + AGAIN_MS;
    memcpy(dog->why, dog->outcome.why, sizeof dog->why);
}

static void task_take(struct fence_dog *dog, int64_t now_ms)
{
    const struct fence_device_outcome *outcome = &dog->outcome;
    bool closes = dog->task.type == FENCE_DOG_DISARM;

    dog->busy = false;
    dog->slow = false;
    if (outcome->stays) {
        dog->stays = true;
        memcpy(dog->stays_why, outcome->why, sizeof dog->stays_why);
    }
    if (dog->task.type == FENCE_DOG_ARM) {
        dog->unfit = outcome->unfit;
    }
    if (dog->task.type == FENCE_DOG_LOOK) {
        dog->looked = true;
    } else {
        dog->open = dog->device.fd >= 0;
        dog->open_s = dog->device.timeout_s;
        memcpy(dog->open_path, dog->device.path, sizeof dog->open_path);
    }
    if (!outcome->done && !(closes && outcome->stays)) {
        failed(dog, now_ms);
        return;
    }
    dog->failed = false;
    if (dog->task.type == FENCE_DOG_ARM) {
        dog->left = false;
        dog->looked = true;
        dog->arming = false;
        dog->ruled = true;
    } else if (closes) {
        dog->left = false;
    }
}

static void task_give(struct fence_dog *dog, enum fence_dog_task type, int64_t until_ms,
                      int64_t now_ms)
{
    dog->task.type = type;
    dog->task.until_ms = until_ms;
    dog->task.timeout_s = type == FENCE_DOG_PET ? dog->open_s : dog->timeout_s;
    dog->task.max_s = dog->max_s;
    memcpy(dog->task.path, dog->path, sizeof dog->task.path);
    dog->busy = true;
    dog->busy_since_ms = now_ms;
    if (type == FENCE_DOG_ARM) {
        dog->asked_s = dog->timeout_s;
        dog->asked_max_s = dog->max_s;
    }
    if (type == FENCE_DOG_ARM || type == FENCE_DOG_PET) {
        dog->petted_ms = now_ms;
    }
    (void)eventfd_write(dog->task_fd, 1);
}

static bool pet_is_due(const struct fence_dog *dog, int64_t now_ms)
{
    return now_ms - dog->petted_ms >= 1000 * (int64_t)dog->open_s / PG_WATCHDOG_PETS;
}

/* Nothing may write, or it may without a deadline. */
static void rest(struct fence_dog *dog, bool empty, int64_t now_ms)
{
    bool wanted = dog->path[0] != '\0';

    dog->ruled = false;
    if (dog->open && !dog->stays) {
        task_give(dog, FENCE_DOG_DISARM, 0, now_ms);
    } else if (dog->open && pet_is_due(dog, now_ms)) {
        task_give(dog, FENCE_DOG_PET, INT64_MAX, now_ms);
    } else if (!dog->open && dog->left && wanted && empty && now_ms >= dog->again_ms) {
        task_give(dog, FENCE_DOG_DISARM, 0, now_ms);
    } else if (!dog->open && dog->look_wanted) {
        dog->look_wanted = false;
        task_give(dog, FENCE_DOG_LOOK, 0, now_ms);
    }
}

static void guard(struct fence_dog *dog, int64_t until_ms, int64_t now_ms)
{
    bool other_timeout = dog->open && (dog->asked_s != dog->timeout_s || dog->unfit);

    dog->arming = !dog->open;
    if ((!dog->open || other_timeout) && now_ms >= dog->again_ms) {
        task_give(dog, FENCE_DOG_ARM, until_ms, now_ms);
    } else if (dog->open && pet_is_due(dog, now_ms)) {
        dog->ruled = true;
        task_give(dog, FENCE_DOG_PET, until_ms, now_ms);
    }
}

static void task_next(struct fence_dog *dog, enum fence_watchdog_step step, int64_t until_ms,
                      bool empty, int64_t now_ms)
{
    bool another = dog->open && strcmp(dog->open_path, dog->path) != 0;
    bool same_wish = dog->asked_s == dog->timeout_s && dog->asked_max_s == dog->max_s;

    dog->arming = false;
    if (step == FENCE_WATCHDOG_DISARM || another || dog->path[0] == '\0' ||
        (dog->unfit && (same_wish || step != FENCE_WATCHDOG_PET))) {
        rest(dog, empty, now_ms);
    } else if (step == FENCE_WATCHDOG_PET) {
        guard(dog, until_ms, now_ms);
    }
}

static enum fence_watchdog_state state_of(const struct fence_dog *dog)
{
    if (dog->path[0] == '\0') {
        return FENCE_WATCHDOG_NONE;
    }
    if (dog->slow || dog->failed || dog->unfit) {
        return FENCE_WATCHDOG_FAILED;
    }
    if (dog->open && (dog->ruled || !dog->stays)) { /* or is about to be stopped */
        return FENCE_WATCHDOG_ARMED;
    }
    return dog->arming || !dog->looked ? FENCE_WATCHDOG_PENDING : FENCE_WATCHDOG_READY;
}

static const char *why_of(const struct fence_dog *dog)
{
    return dog->slow || dog->failed ? dog->why : dog->stays ? dog->stays_why : "";
}

bool fence_dog_turn(struct fence_dog *dog, enum fence_watchdog_step step, int64_t until_ms,
                    bool empty, int64_t now_ms)
{
    eventfd_t count;

    if (dog->busy && eventfd_read(dog->done_fd, &count) == 0) {
        task_take(dog, now_ms);
    }
    if (dog->busy && !dog->slow && now_ms - dog->busy_since_ms >= SLOW_MS) {
        dog->slow = true;
        (void)snprintf(dog->why, sizeof dog->why, "'%.40s' does not answer", dog->task.path);
    }
    if (!dog->busy && (dog->path[0] != '\0' || dog->open) && thread_start(dog)) {
        task_next(dog, step, until_ms, empty, now_ms);
    }
    enum fence_watchdog_state state = state_of(dog);
    if (state == dog->told && strcmp(why_of(dog), dog->told_why) == 0) {
        return false;
    }
    dog->told = state;
    (void)snprintf(dog->told_why, sizeof dog->told_why, "%s", why_of(dog));
    return true;
}

void fence_dog_status(const struct fence_dog *dog, struct fence_status *status)
{
    status->watchdog = state_of(dog);
    status->watchdog_timeout_ms = fence_dog_timeout_ms(dog);
    (void)snprintf(status->watchdog_why, sizeof status->watchdog_why, "%s", why_of(dog));
}

bool fence_dog_holds(const struct fence_dog *dog)
{
    return dog->open || dog->busy;
}

int64_t fence_dog_timeout_ms(const struct fence_dog *dog)
{
    return dog->open && !dog->unfit ? 1000 * (int64_t)dog->open_s : 0;
}

int64_t fence_dog_wanted_ms(const struct fence_dog *dog)
{
    int64_t open_ms = fence_dog_timeout_ms(dog);
    int64_t wanted_ms = 1000 * (int64_t)dog->timeout_s;
    return open_ms > wanted_ms ? open_ms : wanted_ms;
}

bool fence_dog_is_settled(const struct fence_dog *dog)
{
    enum fence_watchdog_state state = state_of(dog);
    return state == FENCE_WATCHDOG_NONE || state == FENCE_WATCHDOG_ARMED ||
           state == FENCE_WATCHDOG_FAILED;
}
