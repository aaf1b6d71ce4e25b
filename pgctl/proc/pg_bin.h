/* Where PostgreSQL's programs are, and of which version. */
#ifndef PGCTL_PROC_PG_BIN_H
#define PGCTL_PROC_PG_BIN_H

#include "base/err.h"
#include "pgctl/pg_types.h"

enum pg_program {
    PG_POSTGRES,
    PG_INITDB,
    PG_CONTROLDATA,
    PG_BASEBACKUP,
    PG_REWIND,
    PG_PROGRAM_COUNT
};

struct pg_bin {
    char dir[PG_PATH_BYTES];
    char paths[PG_PROGRAM_COUNT][PG_PATH_BYTES];
    int major;
};

struct pg_program_names;

/* Is the module pgquorum_guard where the server loads modules from? ERR_NOT_FOUND names key and
 * remedy. */
int pg_bin_check_guard(const struct pg_bin *bin, struct error *err) MUST_CHECK;

/* `names` may be NULL. `bin_dir` if given, else the directory of PATH that has them all, else the
 * newest below /usr/lib/postgresql. Runs `postgres --version`, and waits for it, at most 5 s: for
 * program start, never on a running loop. */
int pg_bin_find(const char *bin_dir, const struct pg_program_names *names, struct pg_bin *ret_bin,
                struct error *err) MUST_CHECK;

#endif
