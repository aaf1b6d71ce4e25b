/* What was executed in this process, and would be again: as whom, and with which environment. */
#ifndef AGENT_REEXEC_PROGRAM_H
#define AGENT_REEXEC_PROGRAM_H

#include "base/err.h"

#define REEXEC_PATH_BYTES 4096

struct reexec_program {
    char path[REEXEC_PATH_BYTES]; /* absolute, by the name that it was called by */
    char *cmdline;                /* the arguments as they were given, each with its end */
    char **argv;                  /* into it; ends with NULL */
    /* Borrowed, of whoever runs in it. config_identity; NULL = nobody's. */
    const char *identity;
    /* Of the environment that it was given, what is not there any more: config_environment_taken.
     * NULL = nothing. */
    const char *const *taken;
};

/* At the start: before anybody can have put another program there. */
int reexec_program_open(struct reexec_program *program, struct error *err) MUST_CHECK;
void reexec_program_close(struct reexec_program *program);

/* `more` variables (NULL at the end; may be NULL), those that were taken, and the environment.
 * mem_free the list: the texts are not its own. */
char **reexec_program_environment(const struct reexec_program *program,
                                  const char *const *more) MUST_CHECK;

#endif
