/* The protocol of a Linux watchdog device (/dev/watchdog): everything here may block for as long as
 * its driver likes, and is called by the thread of fence_dog.c alone. libc only. */
#ifndef PGCTL_FENCE_FENCE_DEVICE_H
#define PGCTL_FENCE_FENCE_DEVICE_H

#include "pgctl/fence.h"

struct fence_device {
    int fd; /* -1 = closed */
    int timeout_s;
    char path[FENCE_PATH_BYTES];
    char mark[FENCE_PATH_BYTES + 32]; /* file that says that it may run: see fence_device_left */
};

struct fence_device_outcome {
    bool done;
    bool stays; /* the driver does not stop it (nowayout): it has to be petted for ever */
    bool unfit; /* it stays, and its timeout does not fit: no lease may rest on it */
    char why[FENCE_WATCHDOG_WHY_BYTES]; /* not done, or it stays */
};

/* Closed, with the place of its mark. */
void fence_device_init(struct fence_device *device, const char *runtime_dir);
/* The mark of a fence before this one, made since this host was started, is there: it ended without
 * stopping the device. */
bool fence_device_left(const struct fence_device *device);
/* Is it there, and may it be opened? Without opening it, which would start it. */
void fence_device_look(const char *path, struct fence_device_outcome *ret_outcome);
/* Starts it. False: `ret_outcome` says why. */
bool fence_device_open(struct fence_device *device, const char *path,
                       struct fence_device_outcome *ret_outcome);
/* Opens it, if it is closed, and gives it the timeout. It may make something else of that, up to
 * `max_s`; otherwise it is stopped again, or, if it stays, unfit. Petted when done. */
void fence_device_arm(struct fence_device *device, const char *path, int timeout_s, int max_s,
                      struct fence_device_outcome *ret_outcome);
void fence_device_pet(struct fence_device *device, struct fence_device_outcome *ret_outcome);
/* Stops it and closes it. One that stays is left open, petted. */
void fence_device_disarm(struct fence_device *device, struct fence_device_outcome *ret_outcome);

#endif
