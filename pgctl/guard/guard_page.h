/* What the guard knows of the fence's page: whether a commit may still be made. Apart from
 * PostgreSQL's headers, so that the page is read by the fence's own code. */
#ifndef PGCTL_GUARD_GUARD_PAGE_H
#define PGCTL_GUARD_GUARD_PAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Name of the variable in the postmaster's environment: FENCE_ENV_PAGE_FD of pgctl/fence.h. */
extern const char *const guard_page_variable;

/* Maps the page that the descriptor `fd_text` (decimal) is of, for this process and all that it
 * forks; once, it is never unmapped. The descriptor stays open. False: `why` says what is wrong
 * with it, and there is no page. */
bool guard_page_open(const char *fd_text, char *why, size_t why_bytes);

enum guard_verdict {
    GUARD_MAY_COMMIT,
    GUARD_PAST,       /* the soft deadline, or the epoch is over */
    GUARD_UNREADABLE, /* no whole copy of the page could be had */
};

struct guard_look {
    enum guard_verdict verdict;
    uint64_t cluster; /* the epoch, where the verdict is GUARD_PAST */
    int64_t revision;
    int64_t late_ms; /* likewise: since the soft deadline, on the lease clock; -1 = the epoch was
                        ended before it */
};

/* The page is read first and the clock after it: who is stopped in between is refused if the
 * deadline has passed meanwhile. Needs an open page. Never fails, never blocks, no system call but
 * the clocks'. */
struct guard_look guard_page_look(void);

#endif
