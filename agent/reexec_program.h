/* What was executed in this process, and would be again. */
#ifndef AGENT_REEXEC_PROGRAM_H
#define AGENT_REEXEC_PROGRAM_H

#include "base/err.h"

#define REEXEC_PATH_BYTES 4096

struct reexec_program {
    char path[REEXEC_PATH_BYTES]; /* absolute, by the name that it was called by */
    char *cmdline;                /* the arguments as they were given, each with its end */
    char **argv;                  /* into it; ends with NULL */
};

/* At the start: before anybody can have put another program there. */
int reexec_program_open(struct reexec_program *program, struct error *err) MUST_CHECK;
void reexec_program_close(struct reexec_program *program);

#endif
