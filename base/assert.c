/* A broken invariant ends the process: going on could fork data, stopping cannot. */
#include "base/assert.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

static void (*last_words)(void);

void assert_last_words(void (*say)(void))
{
    last_words = say;
}

void assert_fail(const char *file, int line, const char *text)
{
    if (last_words != NULL) {
        last_words();
    }
    (void)fprintf(stderr, "%s:%d: assertion failed: %s\n", file, line, text);
    abort();
}
