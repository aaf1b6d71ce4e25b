/* Between fork and exec: what the fence has for itself is undone. Nothing here but system calls:
 * the fence has other threads, whose locks this child will not see released. */
#include "pgctl/fence/fence_child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

static bool child_streams(const char *log_path)
{
    int in = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (in < 0 || dup2(in, STDIN_FILENO) < 0) {
        return false;
    }
    if (log_path[0] == '\0') {
        return true;
    }
    int log = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    return log >= 0 && dup2(log, STDOUT_FILENO) >= 0 && dup2(log, STDERR_FILENO) >= 0;
}

/* The lock of the data directory, held by every process of the server that comes of this one
 * (pgctl/proc/pg_dir_lock.h). Another server's is left alone, also one that nobody sees from here;
 * a file system without such locks is no reason not to start. */
static bool child_locks(const char *data_dir)
{
    int dir = open(data_dir, O_RDONLY | O_DIRECTORY); /* inherited: no O_CLOEXEC */
    if (dir < 0 || flock(dir, LOCK_EX | LOCK_NB) == 0) {
        return true;
    }
    bool held = errno == EWOULDBLOCK && faccessat(dir, "postmaster.pid", F_OK, 0) == 0;
    (void)close(dir);
    errno = EBUSY;
    return !held;
}

/* In the child: undoes what the fence has for itself and becomes the postmaster. Returns only on
 * failure (errno). */
static void child_run(const struct fence_setup *setup, const struct fence_instance *instance,
                      struct fence_request *request, pid_t parent)
{
    sigset_t none;

    /* Belongs to the thread that forked, which is our only one. The parent may have died before it
     * was set. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent) {
        return;
    }
    (void)setsid();
    for (int number = 1; number < NSIG; number++) {
        (void)signal(number, SIG_DFL);
    }
    /* A reload may come before the postmaster has its handler: by default that would kill it. */
    (void)signal(SIGHUP, SIG_IGN);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    if (setup->oom_protected && !fence_file_write("/proc/self/oom_score_adj", setup->oom_before)) {
        return;
    }
    if (instance->cgroup_kill_fd >= 0 && !fence_cgroup_join(instance) &&
        request->kill_way == FENCE_KILL_CGROUP) {
        return;
    }
    if (!child_locks(request->data_dir)) {
        return;
    }
    if (!child_streams(request->log_path) || fcntl(setup->page_ro_fd, F_SETFD, 0) != 0) {
        return;
    }
    (void)execve(request->argv[0], request->argv, request->env);
}

pid_t fence_child_start(const struct fence_setup *setup, const struct fence_instance *instance,
                        struct fence_request *request, int *ret_outcome_fd)
{
    static char page_env[64];
    int outcome[2];
    pid_t parent = getpid();

    (void)snprintf(page_env, sizeof page_env, "%s=%d", FENCE_ENV_PAGE_FD, setup->page_ro_fd);
    request->env[request->envc] = page_env;
    if (pipe2(outcome, O_CLOEXEC) != 0) {
        return -1;
    }
    pid_t pid = fork();
    if (pid == 0) {
        child_run(setup, instance, request, parent);
        int reason = errno;
        (void)!write(outcome[1], &reason, sizeof reason);
        _exit(127);
    }
    int fork_errno = errno;
    (void)close(outcome[1]);
    if (pid < 0) {
        (void)close(outcome[0]);
        errno = fork_errno;
        return -1;
    }
    *ret_outcome_fd = outcome[0];
    return pid;
}
