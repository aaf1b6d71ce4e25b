/* Lock files that a server has left: postmaster.pid, and ".s.PGSQL.<port>.lock" beside its sockets.
 *
 * PostgreSQL refuses to start while the process that such a file names lives, whatever that process
 * is: after a reboot, or a restart of a container, the number is often a stranger's, and every
 * start would fail. Everything here blocks: call it on a thread of the pool (pg_task_work). */
#ifndef PGCTL_PROC_PG_LOCKS_H
#define PGCTL_PROC_PG_LOCKS_H

#include "base/buf.h"
#include "base/err.h"
#include "pgctl/pg_types.h"

#include <stdint.h>
#include <sys/types.h>

/* A lock file as it was read. */
struct pg_lock {
    char path[PG_PATH_BYTES];
    dev_t dev;
    ino_t ino;
    struct buf text;
};

/* ERR_NOT_FOUND: there is none. The caller frees ret_lock->text in any case. */
int pg_lock_read(const char *path, struct pg_lock *ret_lock, struct error *err) MUST_CHECK;
/* Removes it if it is still what was read, by inode and content. ERR_CONFLICT: it is another one
 * now, which stays. */
int pg_lock_remove(const struct pg_lock *lock, struct error *err) MUST_CHECK;

/* Before a start, when the fence has no process of the instance: removes what is provably nobody's
 * and would keep PostgreSQL from starting, in the data directory and for `port` in `socket_dirs`
 * (the setting's value; "": not set, the directory that postmaster.pid names). A file whose process
 * has ended is left to PostgreSQL, which has its own checks for it. Writes what was removed and why
 * in one line to `ret_removed`, "" = nothing, also on failure. ERR_EXISTS: a living server holds
 * one; ERR_BUSY: a process of the instance, or its shared memory, is still there; ERR_REFUSED: it
 * could not be proven that none does. */
int pg_locks_clear(const char *data_dir, uint16_t port, const char *socket_dirs,
                   struct buf *ret_removed, struct error *err) MUST_CHECK;

#endif
