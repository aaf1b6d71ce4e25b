/* Where PostgreSQL's programs are, for who wants to know before anything starts. */
#ifndef PGCTL_PG_PROGRAMS_H
#define PGCTL_PG_PROGRAMS_H

#include "base/err.h"
#include "pgctl/pg_types.h"

#include <stdbool.h>

struct pg_programs {
    char dir[PG_PATH_BYTES];
    int major;
    bool has_guard;                /* postgresql.guard can be had */
    char guard_why[PG_PATH_BYTES]; /* otherwise: key, fault and remedy */
};

struct pg_program_names;

/* `bin_dir` if given (not NULL), else where an instance would find them; `names` as those of
 * pg_instance.h, may be NULL. Runs `postgres --version` and waits for it, at most 5 s: never on a
 * running loop. */
int pg_programs_find(const char *bin_dir, const struct pg_program_names *names,
                     struct pg_programs *ret_programs, struct error *err) MUST_CHECK;

#endif
