/* The fence's end of the connection to its agent: one message a call, and nothing ever waits. */
#ifndef PGCTL_FENCE_CHANNEL_H
#define PGCTL_FENCE_CHANNEL_H

#include "pgctl/fence/fence_wire.h"

#include <stdbool.h>
#include <sys/types.h>

/* Sends `reply`, and with it `page_fd` unless that is -1. False = the client does not read, or is
 * gone: its connection is of no use any more. */
bool fence_channel_send(int fd, const struct fence_reply *reply, int page_fd);

/* Is it a process of our own user, or root's? `ret_pid` is who it is then. */
bool fence_channel_is_ours(int fd, pid_t *ret_pid);

#endif
