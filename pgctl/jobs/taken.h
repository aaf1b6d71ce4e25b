/* Whether the checkpointer has taken what a reload has set: the last part of setting
 * synchronous_standby_names. */
#ifndef PGCTL_JOBS_TAKEN_H
#define PGCTL_JOBS_TAKEN_H

#include "pgctl/jobs/pg_task.h"

struct pg_taken { /* zeroed at first */
    enum { PG_TAKEN_LOOK, PG_TAKEN_LOOKED } state;
    int64_t since_ms; /* 0 = not begun */
    uint32_t asked;   /* number of our checkpoint; 0 = not asked for yet */
    bool blind;       /* it was asked for without having seen where the checkpointer was */
};

/* 1: it has. 0: a sub-operation has begun. Negative: task->rc and task->err. The task's connection
 * is one that was made after the postmaster had told its processes. */
int pg_taken_step(struct pg_task *task, struct pg_taken *taken);

#endif
