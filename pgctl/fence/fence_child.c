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

static void say(int words_fd, enum fence_child_step step)
{
    struct fence_child_word word = {.step = (int)step, .reason = errno};
    (void)!write(words_fd, &word, sizeof word);
}

/* False (errno): it may not go on. */
static bool child_init(const struct fence_setup *setup, pid_t parent)
{
    sigset_t none;

    /* Belongs to the thread that forked: the fence's first one. The parent may
     * have died before it was set. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent) {
        return false;
    }
    (void)setsid();
    for (int number = 1; number < NSIG; number++) {
        (void)signal(number, SIG_DFL);
    }
    /* A reload may come before the postmaster has its handler: by default that would kill it. */
    (void)signal(SIGHUP, SIG_IGN);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    return fcntl(setup->page_ro_fd, F_SETFD, 0) == 0 &&
           (!setup->oom_protected ||
            fence_file_write("/proc/self/oom_score_adj", setup->oom_before));
}

/* In the child: becomes the postmaster. Returns only on failure (errno). */
static enum fence_child_step child_run(const struct fence_setup *setup,
                                       const struct fence_instance *instance,
                                       struct fence_request *request, pid_t parent, int words_fd)
{
    if (!child_init(setup, parent)) {
        return FENCE_CHILD_INIT;
    }
    if (instance->cgroup_kill_fd >= 0 && !fence_cgroup_join(instance)) {
        if (request->kill_way == FENCE_KILL_CGROUP) {
            return FENCE_CHILD_GROUP;
        }
        say(words_fd, FENCE_CHILD_NO_GROUP);
    }
    if (!child_locks(request->data_dir)) {
        return FENCE_CHILD_LOCK;
    }
    if (!child_streams(request->log_path)) {
        return FENCE_CHILD_LOG;
    }
    (void)execve(request->argv[0], request->argv, request->env);
    return FENCE_CHILD_EXEC;
}

pid_t fence_child_start(const struct fence_setup *setup, const struct fence_instance *instance,
                        struct fence_request *request, int *ret_words_fd)
{
    static char page_env[64];
    int words[2];
    pid_t parent = getpid();

    (void)snprintf(page_env, sizeof page_env, "%s=%d", FENCE_ENV_PAGE_FD, setup->page_ro_fd);
    request->env[request->envc] = page_env;
    if (pipe2(words, O_CLOEXEC) != 0) {
        return -1;
    }
    pid_t pid = fork();
    if (pid == 0) {
        say(words[1], child_run(setup, instance, request, parent, words[1]));
        _exit(127);
    }
    int fork_errno = errno;
    (void)close(words[1]);
    if (pid < 0) {
        (void)close(words[0]);
        errno = fork_errno;
        return -1;
    }
    *ret_words_fd = words[0];
    return pid;
}

bool fence_child_executes(pid_t pid)
{
    char path[64];
    char ours[FENCE_PATH_BYTES];
    char its[FENCE_PATH_BYTES];

    (void)snprintf(path, sizeof path, "/proc/%d/exe", (int)pid);
    ssize_t its_len = readlink(path, its, sizeof its);
    if (its_len < 0) {
        return errno != ENOENT && errno != ESRCH; /* it may not be looked at: it is another one */
    }
    ssize_t our_len = readlink("/proc/self/exe", ours, sizeof ours);
    return its_len != our_len || memcmp(ours, its, (size_t)its_len) != 0;
}
