/* The postmaster's process, until it is one. */
#ifndef PGCTL_FENCE_FENCE_CHILD_H
#define PGCTL_FENCE_FENCE_CHILD_H

#include "pgctl/fence/fence_kill.h"
#include "pgctl/fence/fence_setup.h"
#include "pgctl/fence/fence_wire.h"

/* Forks and executes the postmaster. -1 with errno if not even the fork worked; otherwise
 * *ret_outcome_fd becomes readable: with an int, the errno of what failed in the child, or closed
 * when the postmaster runs. */
pid_t fence_child_start(const struct fence_setup *setup, const struct fence_instance *instance,
                        struct fence_request *request, int *ret_outcome_fd);

#endif
