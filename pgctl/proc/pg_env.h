/* The environment of what we run. */
#ifndef PGCTL_PROC_PG_ENV_H
#define PGCTL_PROC_PG_ENV_H

#include <stddef.h>

/* For whom an environment is made. */
enum pg_env_for {
    PG_ENV_AGENT = 1,      /* this process */
    PG_ENV_PROGRAM = 2,    /* programs whose output we read: no locale but C */
    PG_ENV_INITDB = 4,     /* the cluster's locale is the environment's, as with Patroni */
    PG_ENV_POSTMASTER = 8, /* and the commands that it runs: archive_command, restore_command */
};

/* `more` and what this process's environment has for them; ends with NULL, pg_env_free. */
char **pg_env_make(enum pg_env_for whom, const char *const *more, size_t more_count);
void pg_env_free(char **env); /* NULL is accepted */

#endif
