/* Jobs die with the agent: a pg_rewind that worked on after its agent's death would meet the next
 * agent's in the same directory. PR_SET_PDEATHSIG has to be set in the child and survives exec (of
 * programs that are not set-id), so the agent's own program is the wrapper that sets it. The signal
 * comes when the *thread* that forked ends: children are forked on the loop's thread, which lives
 * as long as the agent. */
#include "pgctl/proc/pg_exec.h"

#include "pgctl/pg_instance.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define EXIT_CANNOT_EXEC 127

void pg_exec_main(int argc, char **argv)
{
    if (argc < 4 || strcmp(argv[1], PG_EXEC_FLAG) != 0) {
        return;
    }
    char *end;
    long parent = strtol(argv[2], &end, 10);
    /* The agent may have died before prctl: then the parent is another one already. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || *end != '\0' || getppid() != (pid_t)parent) {
        (void)fprintf(stderr, "pgquorum: not a child of the agent any more\n");
        _exit(EXIT_CANNOT_EXEC);
    }
    (void)execv(argv[3], argv + 3);
    (void)fprintf(stderr, "cannot execute %s: %s\n", argv[3], strerror(errno));
    _exit(EXIT_CANNOT_EXEC);
}
