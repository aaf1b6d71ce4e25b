/* The postmaster that works in a data directory, as its pid file tells. But for the last,
 * everything here blocks: call it on a thread of the pool (pg_task_work). */
#ifndef PGCTL_PROC_PG_POSTMASTER_H
#define PGCTL_PROC_PG_POSTMASTER_H

#include "base/err.h"
#include "pgctl/pg_parse.h"

#include <stdbool.h>

/* What postmaster.pid says; the process need not live. ERR_NOT_FOUND, ERR_CORRUPT, ... */
int pg_pidfile_read(const char *data_dir, struct pg_pidfile *ret_pidfile,
                    struct error *err) MUST_CHECK;

/* Whom postmaster.pid names, alive or not; 0 = nobody: there is no such file. One that is there and
 * cannot be read (`*ret_why`, whose code is else 0) proves no end: then it is the server that works
 * in the directory; -1 = whether there is one cannot be seen. */
int32_t pg_postmaster_named(const char *data_dir, struct error *ret_why);

/* Sends `number` to the postmaster that the pid file names at this moment, if it is alive and works
 * in this directory: never to a stranger who has got its number since. With `pid` (not 0): only if
 * it is that one; whom the file names may then be out of sight. ERR_NOT_FOUND: there is none,
 * nothing was sent. A single-user server is none. */
int pg_postmaster_signal(const char *data_dir, int32_t pid, int number,
                         struct error *err) MUST_CHECK;

/* To a postmaster of whom the fence says that it runs, as its child: no disk is looked at, and
 * nothing here blocks. False: nothing was sent. */
bool pg_postmaster_signal_child(int32_t pid, int32_t fence_pid, int number);

#endif
