/* The postmaster's process, until it is one. */
#ifndef PGCTL_FENCE_FENCE_CHILD_H
#define PGCTL_FENCE_FENCE_CHILD_H

#include "pgctl/fence/fence_kill.h"
#include "pgctl/fence/fence_setup.h"
#include "pgctl/fence/fence_wire.h"

/* Where the child has failed. */
enum fence_child_step {
    FENCE_CHILD_INIT,     /* to die with the fence, to give back what is the fence's */
    FENCE_CHILD_NO_GROUP, /* not in the cgroup; it goes on all the same */
    FENCE_CHILD_GROUP,
    FENCE_CHILD_LOCK, /* another server holds the data directory */
    FENCE_CHILD_LOG,
    FENCE_CHILD_EXEC
};

struct fence_child_word {
    int step;   /* enum fence_child_step */
    int reason; /* errno */
};

/* Forks and executes the postmaster. -1 with errno if not even the fork worked; otherwise the
 * child's words can be read from *ret_words_fd: none, and its end, when the postmaster runs, or
 * when the child was killed. All but FENCE_CHILD_NO_GROUP say that it has ended. */
pid_t fence_child_start(const struct fence_setup *setup, const struct fence_instance *instance,
                        struct fence_request *request, int *ret_words_fd);
/* False: it was killed, or is about to be gone, and whether its program ever ran cannot be told. */
bool fence_child_executes(pid_t pid);

#endif
