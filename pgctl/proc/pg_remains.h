/* What is left of an instance whose fence stands still: looked for, and killed, in the fence's
 * place. The same processes as in pgctl/fence/fence_kill.c, by their working directory and their
 * parents; a stopped fence reaps nobody, so its dead children stay zombies, and count as gone. */
#ifndef PGCTL_PROC_PG_REMAINS_H
#define PGCTL_PROC_PG_REMAINS_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pg_remains {
    const char *data_dir;
    int32_t postmaster; /* 0 = not known: found by its directory, like all others */
    int32_t fence;      /* whose children, adopted orphans among them, are the instance's */
};

struct pg_left {
    size_t count;
    bool headless; /* and the postmaster, which is known, is not among them */
};

/* Counts what lives of it; with `ends`, one round of an end: the postmaster is stopped, so that it
 * neither forks nor begins crash recovery, everything else gets SIGKILL, and the postmaster when
 * nothing else is left. A fork that was under way may be missed once: only when two looks in a row
 * have found 0 nothing is left. An error: not all could be seen, and nobody knows; what was seen is
 * killed all the same, and then the postmaster at once. Without its directory they are known by
 * their parents alone. Blocks. */
int pg_remains_look(const struct pg_remains *remains, bool ends, struct pg_left *ret_left,
                    struct error *err) MUST_CHECK;

/* Keeps a descriptor of /proc, so that those are found when there is none left. Once is enough. */
void pg_remains_prepare(void);

#endif
