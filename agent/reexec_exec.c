#include "agent/reexec_exec.h"

#include "base/log.h"
#include "pgctl/fence.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

enum { FIRST_FD = 3 };

static void held(sigset_t *ret_signals)
{
    (void)sigemptyset(ret_signals);
    (void)sigaddset(ret_signals, SIGTERM);
    (void)sigaddset(ret_signals, SIGINT);
    (void)sigaddset(ret_signals, SIGHUP);
    (void)sigaddset(ret_signals, SIGUSR2);
}

void reexec_signals_take(void)
{
    sigset_t signals;
    held(&signals);
    (void)pthread_sigmask(SIG_UNBLOCK, &signals, NULL);
}

int reexec_exec(const struct reexec_program *program, int lock_fd, struct error *err)
{
    sigset_t signals;
    sigset_t before;
    held(&signals);
    (void)pthread_sigmask(SIG_BLOCK, &signals, &before);
    /* Each is opened so by whoever opens it; a library that does not must not leave the new program
     * an open file of the store or a connection that never ends. Kernels before 5.11 refuse. */
    (void)close_range(FIRST_FD, ~0U, CLOSE_RANGE_CLOEXEC);
    if (lock_fd >= 0) {
        fence_lock_pass(lock_fd, true);
    }
    (void)log_flush(LOG_FLUSH_MS);
    (void)execve(program->path, program->argv, environ);
    int failed = errno;
    if (lock_fd >= 0) {
        fence_lock_pass(lock_fd, false);
    }
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error_set(err, err_from_errno(failed), "executing '%s': %s", program->path,
                     strerror(failed));
}
