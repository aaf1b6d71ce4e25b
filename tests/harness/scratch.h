/* Directories of tests. Their names bear the mark of who contains the test (contain.c), which
 * removes what is left of them when the test has failed or was killed. */
#ifndef TESTS_HARNESS_SCRATCH_H
#define TESTS_HARNESS_SCRATCH_H

#include <stdio.h>
#include <stdlib.h>

#define SCRATCH_MARK "TEST_SCRATCH" /* in the environment */

static inline const char *scratch_mark(void)
{
    const char *mark = getenv(SCRATCH_MARK);
    return mark != NULL ? mark : "0"; /* by hand: nobody removes it */
}

/* A new one below `under`, for the caller alone, called after `what`; whatever fails ends the
 * process. */
static inline void scratch_make(char *ret_path, size_t size, const char *under, const char *what)
{
    int len = snprintf(ret_path, size, "%s/pgquorum-%s.%s-XXXXXX", under, what, scratch_mark());
    if (len < 0 || (size_t)len >= size || mkdtemp(ret_path) == NULL) {
        perror(ret_path);
        abort();
    }
}

#endif
