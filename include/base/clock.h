/* Time, behind a table so that the simulator can give its own.
 *
 * mono:  deadlines of everything but leases. CLOCK_MONOTONIC.
 * lease: whatever speaks of a lease. CLOCK_MONOTONIC_RAW + (CLOCK_BOOTTIME - CLOCK_MONOTONIC): no
 * time daemon slews it (chrony may slew the others by 8 %), and it counts suspended time. No timer
 * runs on it: sleep at most half of what remains, at least 5 ms, and look again
 * (docs/consensus.md). suspended: the bracket alone; where it grew, an observer of a lease starts
 * its wait afresh. wall:  logs and published times only, never a decision. All in milliseconds;
 * never compared with another host's. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

struct clock {
    int64_t (*mono_ms)(void *arg);
    int64_t (*lease_ms)(void *arg);
    int64_t (*suspended_ms)(void *arg);
    int64_t (*wall_ms)(void *arg);
    void *arg;
};

const struct clock *clock_real(void);

static inline int64_t clock_mono_ms(const struct clock *clock)
{
    return clock->mono_ms(clock->arg);
}

static inline int64_t clock_lease_ms(const struct clock *clock)
{
    return clock->lease_ms(clock->arg);
}

static inline int64_t clock_suspended_ms(const struct clock *clock)
{
    return clock->suspended_ms(clock->arg);
}

static inline int64_t clock_wall_ms(const struct clock *clock)
{
    return clock->wall_ms(clock->arg);
}

#endif
