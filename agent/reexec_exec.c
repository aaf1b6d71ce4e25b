#include "agent/reexec_exec.h"

#include "agent/reexec_signals.h"
#include "base/log.h"
#include "base/mem.h"
#include "pgctl/fence.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { FIRST_FD = 3 };

int reexec_exec(const struct reexec_program *program, int lock_fd, struct error *err)
{
    reexec_signals_hold();
    /* Each is opened so by whoever opens it; a library that does not must not leave the new program
     * an open file of the store or a connection that never ends. Kernels before 5.11 refuse. */
    (void)close_range(FIRST_FD, ~0U, CLOSE_RANGE_CLOEXEC);
    if (lock_fd >= 0) {
        fence_lock_pass(lock_fd, true);
    }
    (void)log_flush(LOG_FLUSH_MS);
    char **environment = reexec_program_environment(program, NULL); /* now that the lock is in it */
    (void)execve(program->path, program->argv, environment);
    int failed = errno;
    mem_free(environment);
    if (lock_fd >= 0) {
        fence_lock_pass(lock_fd, false);
    }
    reexec_signals_release();
    return error_set(err, err_from_errno(failed), "executing '%s': %s", program->path,
                     strerror(failed));
}
