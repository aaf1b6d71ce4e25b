/* Runs a program and ends all that it leaves behind.
 *
 *   contain SECONDS PROGRAM [ARGUMENT...]
 *
 * A fence, and what it starts, lives in sessions of its own: no process group of a test that failed
 * or was killed has it. This program is the subreaper of everything below it, so that whatever
 * loses its parent becomes its child and is killed. It does so when PROGRAM has ended, when SECONDS
 * are over, when it gets SIGTERM, SIGINT or SIGHUP, and when its own parent dies; it has a session
 * of its own, so that what kills the runner's process group does not kill it first.
 *
 * Then it removes the directories, and cgroups, whose names have its mark (scratch.h). Shared
 * memory, of System V and of POSIX, which a killed postmaster leaves, goes with namespaces, where
 * they may be made.
 *
 * Its last line on standard error says how long PROGRAM ran, on the clock and on processors, with
 * all that it started. Exit status: PROGRAM's, 128 + its signal, 124 after SECONDS, 125 if another
 * signal came first, 127 if PROGRAM could not be run. */
#include "tests/harness/scratch.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { TIMED_OUT = 124, INTERRUPTED = 125, NOT_RUN = 127, SIGNALED = 128, AGAIN_MS = 20 };
enum { SEEN_MAX = 4096 };
/* Tries; a cgroup is in use for a moment yet. */
enum { REMOVALS_MAX = 50 };
static const char *const places[] = {"/tmp", "/var/tmp", "/dev/shm", "/sys/fs/cgroup",
                                     "/sys/fs/cgroup/unified"};

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static struct timespec span_s(double seconds)
{
    double left = seconds < 0 ? 0 : seconds;
    return (struct timespec){.tv_sec = (time_t)left,
                             .tv_nsec = (long)((left - (double)(time_t)left) * 1e9)};
}

/* Its parent, and whether it still runs; 0 if there is no such process. */
static pid_t parent_of(const char *pid, bool *ret_runs)
{
    char path[64];
    char state = 'X';
    int parent = 0;
    snprintf(path, sizeof path, "/proc/%.20s/stat", pid);
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        return 0;
    }
    if (fscanf(file, "%*d (%*[^)]) %c %d", &state, &parent) != 2) {
        parent = 0;
    }
    fclose(file);
    *ret_runs = state != 'Z' && state != 'X';
    return parent;
}

/* Counted once, however often it is found before it is gone. */
static bool is_new(pid_t pid)
{
    static pid_t seen[SEEN_MAX];
    static size_t count;
    for (size_t i = 0; i < count; i++) {
        if (seen[i] == pid) {
            return false;
        }
    }
    if (count < SEEN_MAX) {
        seen[count++] = pid;
    }
    return true;
}

static unsigned kill_children(void)
{
    unsigned killed = 0;
    DIR *proc = opendir("/proc");
    struct dirent *entry;
    while (proc != NULL && (entry = readdir(proc)) != NULL) {
        bool runs = false;
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
        if (pid > 1 && parent_of(entry->d_name, &runs) == getpid() && runs &&
            kill(pid, SIGKILL) == 0) {
            killed += is_new(pid);
        }
    }
    if (proc != NULL) {
        closedir(proc);
    }
    return killed;
}

/* Whoever dies leaves its children to us: again until there are none. How many there were. */
static unsigned end_all(void)
{
    unsigned killed = kill_children();
    while (waitpid(-1, NULL, WNOHANG) >= 0 || errno != ECHILD) {
        struct timespec pause = span_s(AGAIN_MS / 1e3);
        killed += kill_children();
        nanosleep(&pause, NULL);
    }
    return killed;
}

/* --- directories ------------------------------------------------------------------------------ */

/* The files of a cgroup cannot be removed, and need not be. */
static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)at;
    (void)(type == FTW_DP ? rmdir(path) : unlink(path));
    return 0;
}

/* How many there were in `place`. */
static unsigned remove_marked(const char *place, const char *mark)
{
    unsigned count = 0;
    DIR *dir = opendir(place);
    struct dirent *entry;
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        char path[512];
        if (strncmp(entry->d_name, "pgquorum-", strlen("pgquorum-")) == 0 &&
            strstr(entry->d_name, mark) != NULL) {
            snprintf(path, sizeof path, "%s/%.200s", place, entry->d_name);
            nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
            count++;
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
    return count;
}

static unsigned remove_all(pid_t self)
{
    char mark[32];
    unsigned count = 0;
    snprintf(mark, sizeof mark, ".%d-", (int)self);
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        unsigned left = remove_marked(places[i], mark);
        count += left;
        for (int tries = 0; left > 0 && tries < REMOVALS_MAX; tries++) {
            struct timespec pause = span_s(AGAIN_MS / 1e3);
            left = remove_marked(places[i], mark);
            if (left > 0) {
                nanosleep(&pause, NULL);
            }
        }
    }
    return count;
}

/* --- the program ------------------------------------------------------------------------------ */

/* Where it is no mount of its own, one over it would be seen outside. */
static void own_shared_memory(void)
{
    (void)unshare(CLONE_NEWIPC);
    if (unshare(CLONE_NEWNS) == 0 && mount(NULL, "/dev/shm", NULL, MS_PRIVATE, NULL) == 0) {
        (void)mount("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777");
    }
}

static void run_program(char **argv, const sigset_t *before, pid_t self)
{
    char mark[32];
    sigprocmask(SIG_SETMASK, before, NULL);
    /* A shell's background ignores them, and tests interrupt what they start. */
    (void)signal(SIGINT, SIG_DFL);
    (void)signal(SIGQUIT, SIG_DFL);
    own_shared_memory();
    snprintf(mark, sizeof mark, "%d", (int)self);
    setenv(SCRATCH_MARK, mark, 1);
    execv(argv[0], argv);
    fprintf(stderr, "contain: %s: %s\n", argv[0], strerror(errno));
    _exit(NOT_RUN);
}

/* Until the program has ended or something else comes first: the exit status. */
static int wait_for(pid_t program, const sigset_t *signals, double until_s)
{
    for (;;) {
        int status = 0;
        pid_t pid;
        while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
            if (pid == program) {
                return WIFSIGNALED(status) ? SIGNALED + WTERMSIG(status) : WEXITSTATUS(status);
            }
        }
        struct timespec left = span_s(until_s - now_s());
        int got = sigtimedwait(signals, NULL, &left);
        if (got < 0 && errno == EAGAIN) {
            return TIMED_OUT;
        }
        if (got > 0 && got != SIGCHLD) {
            return INTERRUPTED;
        }
    }
}

static double cpu_s(void)
{
    struct rusage used;
    getrusage(RUSAGE_CHILDREN, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

int main(int argc, char **argv)
{
    sigset_t signals;
    sigset_t before;
    double began_s = now_s();
    pid_t parent = getppid();
    double seconds = argc > 2 ? strtod(argv[1], NULL) : 0;
    if (seconds <= 0) {
        fprintf(stderr, "usage: contain SECONDS PROGRAM [ARGUMENT...]\n");
        return 2;
    }
    (void)setsid(); /* fails for the leader of a group, which nothing else is in */
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    sigaddset(&signals, SIGCHLD);
    sigprocmask(SIG_BLOCK, &signals, &before);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) {
        return INTERRUPTED; /* it died before the line above */
    }
    pid_t self = getpid();
    pid_t program = fork();
    if (program == 0) {
        run_program(argv + 2, &before, self);
    }
    int rc = program < 0 ? NOT_RUN : wait_for(program, &signals, began_s + seconds);
    double took_s = now_s() - began_s;
    unsigned left = end_all();
    unsigned directories = remove_all(self);
    fflush(stdout);
    fprintf(stderr, "contain: %.1f s, %.1f s of processors%s", took_s, cpu_s(),
            rc == TIMED_OUT     ? ", too long"
            : rc == INTERRUPTED ? ", interrupted"
                                : "");
    if (left > 0) {
        fprintf(stderr, ", %u processes left behind", left);
    }
    if (directories > 0) {
        fprintf(stderr, ", %u directories left behind", directories);
    }
    fputc('\n', stderr);
    return rc;
}
