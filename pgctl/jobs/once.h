/* A task with one piece of work on a thread of the pool: of a note of ours, which no job touches.
 */
#ifndef PGCTL_JOBS_ONCE_H
#define PGCTL_JOBS_ONCE_H

#include "pgctl/pg_instance.h"

/* Stands first in what the work gets. */
struct pg_once {
    int (*work)(void *once, struct error *err);
    const char *doing; /* goes before what an error says */
};

/* `once_take` is taken over in any case: freed with mem_free. */
int pg_once_start(struct pg_instance *pg, struct pg_once *once_take, int64_t timeout_ms,
                  pg_done_cb done, void *arg, struct error *err) MUST_CHECK;

#endif
