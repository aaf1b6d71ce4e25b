/* Jobs die with the agent: a pg_rewind that worked on after its agent's death would meet the next
 * agent's in the same directory. PR_SET_PDEATHSIG has to be set in the child and survives exec (of
 * programs that are not set-id), so the agent's own program is the wrapper that sets it. The signal
 * comes when the *thread* that forked ends: children are forked on the loop's thread, which lives
 * as long as the agent. */
#include "pgctl/proc/pg_exec.h"

#include "pgctl/pg_instance.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXIT_CANNOT_EXEC 127

/* The agent has died: nobody kills the group but we. */
static void on_agent_death(int number)
{
    (void)number;
    (void)kill(0, SIGKILL);
}

static void exit_as(int status)
{
    if (WIFSIGNALED(status)) {
        (void)prctl(PR_SET_DUMPABLE, 0); /* one core is enough */
        (void)signal(WTERMSIG(status), SIG_DFL);
        (void)kill(getpid(), WTERMSIG(status));
    }
    _exit(WEXITSTATUS(status));
}

/* Returns in the child; the parent ends as the child does. */
static void stay_as_parent(void)
{
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        (void)signal(SIGTERM, SIG_DFL);
        return;
    }
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    if (child < 0) {
        (void)fprintf(stderr, "pgquorum: fork: %s\n", strerror(errno));
        _exit(EXIT_CANNOT_EXEC);
    }
    exit_as(status);
}

void pg_exec_main(int argc, char **argv)
{
    bool group = argc >= 4 && strcmp(argv[1], PG_GROUP_FLAG) == 0;
    if (argc < 4 || (!group && strcmp(argv[1], PG_EXEC_FLAG) != 0)) {
        return;
    }
    char *end;
    long parent = strtol(argv[2], &end, 10);
    if (group) {
        (void)signal(SIGTERM, on_agent_death);
    }
    /* The agent may have died before prctl: then the parent is another one already. */
    if (prctl(PR_SET_PDEATHSIG, group ? SIGTERM : SIGKILL) != 0 || *end != '\0' ||
        getppid() != (pid_t)parent) {
        (void)fprintf(stderr, "pgquorum: not a child of the agent any more\n");
        _exit(EXIT_CANNOT_EXEC);
    }
    if (group) {
        stay_as_parent();
    }
    (void)execvp(argv[3], argv + 3); /* our own programs have a path; an operator's need not */
    (void)fprintf(stderr, "cannot execute %s: %s\n", argv[3], strerror(errno));
    _exit(EXIT_CANNOT_EXEC);
}
