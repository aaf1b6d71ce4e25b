/* The real clocks. */
#include "base/clock.h"

#include "base/assert.h"

#include <time.h>

static int64_t read_ms(clockid_t id)
{
    struct timespec now;
    int rc = clock_gettime(id, &now);
    ASSERT(rc == 0);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int64_t real_mono(void *arg)
{
    (void)arg;
    return read_ms(CLOCK_MONOTONIC);
}

static int64_t real_suspended(void *arg)
{
    (void)arg;
    /* Two reads are never one instant: what is below a tick of slack is no suspension. */
    int64_t gap = read_ms(CLOCK_BOOTTIME) - read_ms(CLOCK_MONOTONIC);
    return gap < 0 ? 0 : gap;
}

static int64_t real_lease(void *arg)
{
    return read_ms(CLOCK_MONOTONIC_RAW) + real_suspended(arg);
}

static int64_t real_wall(void *arg)
{
    (void)arg;
    return read_ms(CLOCK_REALTIME);
}

const struct clock *clock_real(void)
{
    static const struct clock real = {
        .mono_ms = real_mono,
        .lease_ms = real_lease,
        .suspended_ms = real_suspended,
        .wall_ms = real_wall,
        .arg = NULL,
    };
    return &real;
}
