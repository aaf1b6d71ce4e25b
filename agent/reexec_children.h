/* Children of the program before in this process, which nobody else waits for: the fence, what
 * looks at the disks. */
#ifndef AGENT_REEXEC_CHILDREN_H
#define AGENT_REEXEC_CHILDREN_H

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#define REEXEC_CHILDREN_MAX 64

struct reexec_children {
    uv_signal_t signal;
    int pids[REEXEC_CHILDREN_MAX];
    size_t count;
    bool open;
};

/* Before the first child of our own: from now on they are reaped when they end. */
void reexec_children_take(struct reexec_children *children, uv_loop_t *loop);
void reexec_children_close(struct reexec_children *children);

#endif
