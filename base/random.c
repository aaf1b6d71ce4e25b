/* The kernel's generator. */
#include "base/random.h"

#include "base/assert.h"

#include <stddef.h>
#include <sys/random.h>
#include <sys/types.h>

static uint64_t real_next(void *arg)
{
    uint64_t value = 0;
    (void)arg;
    ssize_t got = getrandom(&value, sizeof value, 0);
    ASSERT(got == (ssize_t)sizeof value); /* up to 256 bytes are never cut short (getrandom(2)) */
    return value;
}

const struct random *random_real(void)
{
    static const struct random real = {.next = real_next, .arg = NULL};
    return &real;
}
