/* Starting the postmaster through the fence and waiting until it lets somebody in: the common end
 * of start and bootstrap. */
#ifndef PGCTL_JOBS_LAUNCH_H
#define PGCTL_JOBS_LAUNCH_H

#include "pgctl/jobs/pg_task.h"
#include "pgctl/pg_parse.h"

enum pg_launch_state {
    PG_LAUNCH_BEGIN,
    PG_LAUNCH_CLEARED,
    PG_LAUNCH_ASKED,
    PG_LAUNCH_LOOK,
    PG_LAUNCH_LOOKED,
    PG_LAUNCH_CONNECTING
};

struct pg_launch {
    enum pg_launch_state state;
    bool standby;
    uint32_t starts; /* of the fence, after ours */
    const char *data_dir;
    const char *note_path;
    char socket_lock[PG_PATH_BYTES];
    int32_t fence_pid;
    bool cleared;              /* of the lock files of a server that is gone */
    int32_t pid;               /* of the postmaster that the fence has started */
    struct pg_pidfile pidfile; /* pid 0: there is none */
};

/* 1: running, task->conn is a connection to it. 0: a sub-operation has begun. Negative: task->rc
 * and task->err. */
int pg_launch_step(struct pg_task *task, struct pg_launch *launch);

#endif
