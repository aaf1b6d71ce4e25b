/* For what ends the process: runs `act` in a child. True if it aborted and standard error had
 * `text`. */
#ifndef TESTS_UNIT_BASE_DIES_H
#define TESTS_UNIT_BASE_DIES_H

#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static inline bool dies_saying(void (*act)(void), const char *text)
{
    int out[2];
    char said[1024];
    size_t len = 0;
    ssize_t got = 0;
    int status = 0;

    if (pipe(out) != 0) {
        return false;
    }
    pid_t pid = fork();
    if (pid == 0) {
        const struct rlimit no_core = {0, 0};
        (void)setrlimit(RLIMIT_CORE, &no_core);
        (void)signal(SIGABRT, SIG_DFL); /* cmocka's own handler would take it for the test's end */
        (void)dup2(out[1], STDERR_FILENO);
        act();
        _exit(0);
    }
    (void)close(out[1]);
    while (len < sizeof said - 1 && (got = read(out[0], said + len, sizeof said - 1 - len)) > 0) {
        len += (size_t)got;
    }
    said[len] = '\0';
    (void)close(out[0]);
    return pid > 0 && waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) &&
           WTERMSIG(status) == SIGABRT && strstr(said, text) != NULL;
}

#endif
