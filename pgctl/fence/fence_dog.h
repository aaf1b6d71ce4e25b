/* The watchdog device, as the fence's loop sees it: nothing here blocks. A thread of its own does
 * what may (fence_device.h), one thing at a time, and only when the loop has asked for it: a device
 * that hangs must not keep the fence from killing, and a loop that hangs must not be petted for.
 *
 *     CLOSED --page armed--> OPEN, petted in time --page says so, or nothing is left--> CLOSED
 *                              \--- neither in time nor empty: left alone, it fires
 *
 * One that can neither be stopped nor fits (unfit) is petted for ever, and nothing rests on it.
 */
#ifndef PGCTL_FENCE_FENCE_DOG_H
#define PGCTL_FENCE_FENCE_DOG_H

#include "pgctl/fence/fence_device.h"

#include <pthread.h>

enum fence_dog_task { FENCE_DOG_LOOK, FENCE_DOG_ARM, FENCE_DOG_PET, FENCE_DOG_DISARM };

struct fence_dog {
    /* What is wanted. */
    char path[FENCE_PATH_BYTES]; /* "" = none */
    int timeout_s;
    int max_s;
    /* What is known of it; the loop's. */
    bool open;
    bool arming; /* it is to be opened */
    bool ruled;  /* petted by the rule, not merely because it cannot be stopped */
    bool stays;
    bool unfit;  /* it stays, and its timeout does not fit: it is petted, and counts for nothing */
    bool left;   /* by a fence before this one; it may run */
    bool looked; /* `usable` and `why` speak of the path of now */
    bool look_wanted;
    bool failed;
    int open_s;  /* timeout of the open device */
    int asked_s; /* what it was asked for, and the most that would have done */
    int asked_max_s;
    char why[FENCE_WATCHDOG_WHY_BYTES];
    char stays_why[FENCE_WATCHDOG_WHY_BYTES];
    char open_path[FENCE_PATH_BYTES];
    int64_t petted_ms;
    int64_t again_ms; /* after a failure: not before */
    /* The task under way. */
    bool busy;
    bool slow;
    int64_t busy_since_ms;
    enum fence_watchdog_state told;
    char told_why[FENCE_WATCHDOG_WHY_BYTES];
    /* What loop and thread hand to each other; the thread's while `busy`. */
    struct {
        enum fence_dog_task type;
        char path[FENCE_PATH_BYTES];
        int timeout_s;
        int max_s;
        int64_t until_ms;
    } task;
    struct fence_device_outcome outcome;
    struct fence_device device;
    bool started;
    pthread_t thread;
    int task_fd;
    int done_fd; /* -1 = no thread yet: nothing to poll */
};

void fence_dog_init(struct fence_dog *dog, const char *runtime_dir);
/* `path` "" = none. The same again: it is looked at again. */
void fence_dog_want(struct fence_dog *dog, const char *path, int timeout_s, int max_s);
/* Takes what the thread has done, and gives it what is to be done next. True if the status says
 * something else than before. */
bool fence_dog_turn(struct fence_dog *dog, enum fence_watchdog_step step, int64_t until_ms,
                    bool empty, int64_t now_ms);
void fence_dog_status(const struct fence_dog *dog, struct fence_status *status);
/* A device is open, or being looked after: to end now would leave it running, perhaps. */
bool fence_dog_holds(const struct fence_dog *dog);
/* Of the device that is open and guards; else 0. */
int64_t fence_dog_timeout_ms(const struct fence_dog *dog);
/* What it will have: for the rule, before it is open. */
int64_t fence_dog_wanted_ms(const struct fence_dog *dog);
/* A primary may be started: it is armed, or it is known that it cannot be. */
bool fence_dog_is_settled(const struct fence_dog *dog);

#endif
