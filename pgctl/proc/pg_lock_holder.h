/* The process that a lock file names: can it be the server that holds it? */
#ifndef PGCTL_PROC_PG_LOCK_HOLDER_H
#define PGCTL_PROC_PG_LOCK_HOLDER_H

#include "base/span.h"

#include <stdint.h>

enum pg_holder {
    PG_HOLDER_NOBODY,   /* gone, or another user's: PostgreSQL removes such a file itself */
    PG_HOLDER_ENDED,    /* a zombie: PostgreSQL takes it for alive */
    PG_HOLDER_STRANGER, /* lives, and is provably not the holder */
    PG_HOLDER_HERE,     /* works in our data directory */
    PG_HOLDER_SERVER,   /* a living server of another directory */
    PG_HOLDER_UNPROVEN,
};

/* Of postmaster.pid in `data_dir`, with this text. */
enum pg_holder pg_holder_of_pidfile(int32_t pid, const char *data_dir, struct span text);
/* Of the lock file of a socket of ours; `data_dir` is ours. */
enum pg_holder pg_holder_of_socket(int32_t pid, const char *data_dir);

#endif
