/* A file that is locked (flock) as long as a process runs. A process that was killed has its locks
 * until its last thread is gone, which may be in the middle of a sync. */
#ifndef BASE_LOCK_FILE_H
#define BASE_LOCK_FILE_H

#include "base/err.h"

#include <stdint.h>

/* Makes `path` (mode 0600) if it is not there, locks it for as long as *ret_fd stays open
 * (close-on-exec), and writes this process's number into it. ERR_BUSY names who has it.
 *
 * `wait_ms`, of a caller that was refused just before: blocks for so long at most until the lock is
 * free, and the process that the file names is gone, whose ports and other locks may go later than
 * this one. */
int lock_file_take(const char *path, int64_t wait_ms, int *ret_fd, struct error *err) MUST_CHECK;
/* As that, with a descriptor that is there, and stays open whatever becomes of it. */
int lock_file_lock(int fd, const char *path, int64_t wait_ms, struct error *err) MUST_CHECK;

#endif
