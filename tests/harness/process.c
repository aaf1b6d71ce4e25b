#include "tests/harness/process.h"

#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

bool pid_lives(pid_t pid)
{
    char path[64];
    char state = 'X';
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        return false;
    }
    int got = fscanf(file, "%*d (%*[^)]) %c", &state);
    fclose(file);
    return got == 1 && state != 'Z' && state != 'X';
}

pid_t fork_in_test(void)
{
    (void)fflush(NULL);
    pid_t pid = fork();
    if (pid == 0 && setenv("CMOCKA_TEST_ABORT", "1", 1) != 0) {
        abort();
    }
    return pid;
}

int run_as_user(const struct passwd *user, void (*before)(const void *arg), const void *arg,
                int (*tests)(void))
{
    pid_t pid = fork();
    if (pid == 0) {
        if (before != NULL) {
            before(arg);
        }
        if (initgroups(user->pw_name, user->pw_gid) != 0 || setgid(user->pw_gid) != 0 ||
            setuid(user->pw_uid) != 0) {
            _exit(1);
        }
        exit(tests() == 0 ? 0 : 1);
    }
    int status = -1;
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
