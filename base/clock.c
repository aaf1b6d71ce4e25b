/* The real clocks. */
#include "base/clock.h"

#include "base/assert.h"
#include "base/lease_clock.h"

#include <time.h>

enum { NS_PER_MS = 1000000 };

static int64_t read_ns(void *arg, clockid_t id)
{
    struct timespec now;
    (void)arg;
    int rc = clock_gettime(id, &now);
    ASSERT(rc == 0);
    return (int64_t)now.tv_sec * 1000 * NS_PER_MS + now.tv_nsec;
}

static int64_t real_mono(void *arg)
{
    return read_ns(arg, CLOCK_MONOTONIC) / NS_PER_MS;
}

static int64_t real_suspended(void *arg)
{
    return lease_clock_suspended_ns(read_ns, arg) / NS_PER_MS;
}

static int64_t real_lease(void *arg)
{
    return lease_clock_ns(read_ns, arg) / NS_PER_MS;
}

static int64_t real_wall(void *arg)
{
    return read_ns(arg, CLOCK_REALTIME) / NS_PER_MS;
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
