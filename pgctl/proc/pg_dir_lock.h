/* The lock of a data directory: flock on the directory itself, taken by the process that becomes
 * the postmaster (pgctl/fence/fence_setup.c), and inherited by every process of the server. So it
 * is held until the last one is gone, and seen through every mount of the directory on this
 * machine, also from other containers, which see neither its processes nor its shared memory.
 *
 * That makes one kind of stale lock file provable (FS-66). A server that was seen to hold the lock
 * is noted, outside the directory, by the number and start time that its postmaster.pid has. Should
 * that file be there still, or the lock file of its socket alone, and the lock be free, that server
 * is gone, whoever has its number now. A server that was started by hand, elsewhere or on a file
 * system without such locks is never noted: its lock files are PostgreSQL's own to judge.
 *
 * But for one thing, which the note may be lost for (FS-62): PostgreSQL takes a number for a living
 * server where kill(2) finds somebody, and that finds threads, too. It makes an exception for
 * itself and its parent, who cannot be the server that they start. Nor can the agent, the fence or
 * one of their threads, and in a small PID namespace it is they who have the number after a
 * restart. */
#ifndef PGCTL_PROC_PG_DIR_LOCK_H
#define PGCTL_PROC_PG_DIR_LOCK_H

#include "base/err.h"
#include "pgctl/pg_parse.h"

/* Notes the server of `pidfile`, which runs and was started by our fence, if it holds the lock.
 * Should that fail, PostgreSQL judges its lock files. */
void pg_dir_lock_note(const char *note_path, const char *data_dir,
                      const struct pg_pidfile *pidfile);

/* Before a start. *ret_cleared: lock files were those of the noted server, which is gone, and its
 * number is another process's; or the number is one of this program's, or of that of the fence
 * (0 = there is none). `socket_lock`: where the lock file of the configured socket would be, for
 * one that is there alone and names no noted server ("" = not looked at). They name nobody any
 * more, so that PostgreSQL goes on to its other checks (the shared memory that postmaster.pid
 * names) and removes them. ERR_BUSY: there is a postmaster.pid, and somebody holds the lock. */
int pg_dir_lock_clear(const char *note_path, const char *data_dir, const char *socket_lock,
                      int32_t fence_pid, bool *ret_cleared, struct error *err) MUST_CHECK;

#endif
