/* What the fence makes once, before it needs anything: page, lock, sockets, its place in memory and
 * schedule. libc and threads only. */
#ifndef PGCTL_FENCE_FENCE_SETUP_H
#define PGCTL_FENCE_FENCE_SETUP_H

#include "pgctl/fence/fence_wire.h"

#define FENCE_SOCKET_NAME    "fence.sock"
#define FENCE_LOCK_NAME      "fence.lock"

#define FENCE_REAL_TIME_PRIO 10

struct fence_setup {
    struct fence_page *page;
    int page_fd;
    int page_ro_fd; /* what the postmaster inherits */
    int lock_fd;
    int listen_fd;
    int signal_fd;
    char socket_path[FENCE_PATH_BYTES];
    char oom_before[16]; /* what the postmaster gets back */
    bool memory_locked;
    bool real_time;
    bool oom_protected;
};

/* False with a reason if a fence lives in `runtime_dir` already, or something it cannot do without
 * failed. */
bool fence_setup_open(struct fence_setup *setup, const char *runtime_dir, char *reason,
                      size_t reason_size);
void fence_setup_close(struct fence_setup *setup);

/* Of a file that is there, in one call, as those of /proc want it. */
bool fence_file_write(const char *path, const char *text);

/* The lease clock of base/clock.h, made by the same lease_clock.h: the agent's deadlines are
 * compared with it. */
int64_t fence_lease_now_ms(void);

/* A line for the operator on standard error, by a thread of its own: whatever that may be, it holds
 * up no kill. A line for which there is no room is lost, and counted in the next. */
void fence_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
