/* Finding and killing every process of one instance. libc only, no allocation, no waiting. */
#ifndef PGCTL_FENCE_FENCE_KILL_H
#define PGCTL_FENCE_FENCE_KILL_H

#include "pgctl/fence.h"

#include <sys/types.h>

struct fence_instance {
    pid_t postmaster; /* a child of this process that was not reaped; 0 = none */
    pid_t spared;     /* never killed: the agent, wherever it stands; 0 = none */
    bool has_dir;     /* device and inode of the data directory are known */
    dev_t dir_dev;
    ino_t dir_ino;
    bool stopped;       /* this kill has sent its SIGSTOPs */
    int cgroup_kill_fd; /* -1 = no cgroup */
    int cgroup_dir_fd;
    char cgroup[FENCE_PATH_BYTES];
};

/* Once at start: opens /proc for good (a kill needs no new descriptor that could be refused) and
 * looks where a cgroup could be made. False if /proc is not there. */
bool fence_kill_open(void);

void fence_instance_init(struct fence_instance *instance);
/* Remembers which directory's processes are the instance's. False (errno) if it cannot be looked
 * at: what was known stays. */
bool fence_instance_set_dir(struct fence_instance *instance, const char *data_dir);
/* A cgroup v2 group of the instance's own, beside ours and named after the data directory, so that
 * a later fence finds it too. False where that is not allowed or cgroup.kill is unknown. */
bool fence_cgroup_make(struct fence_instance *instance);
/* In the forked child: moves it into the group. */
bool fence_cgroup_join(const struct fence_instance *instance);
void fence_cgroup_remove(struct fence_instance *instance);

/* Live processes of the instance, the postmaster not counted. Where they cannot be counted, one at
 * least: see fence_kill_blind. */
size_t fence_count(const struct fence_instance *instance);
/* To the postmaster of the directory where it is no child of this process. */
void fence_signal_others(const struct fence_instance *instance, int number);
/* One round of killing; returns how many live processes it met, the postmaster not counted. 0 means
 * that none was left and the postmaster, the last one, was killed now (one that cannot see the
 * others kills it, too). To be repeated until 0 and the postmaster is reaped. */
size_t fence_kill_round(struct fence_instance *instance);

/* The errno for which the last look at all processes did not see all of them; 0 = it did. */
int fence_kill_blind(void);

#endif
