/* Time, behind a table so that the simulator can give its own. All in milliseconds; never compared
 * with another host's.
 *
 * mono:      deadlines of everything but leases. CLOCK_MONOTONIC.
 * lease:     whatever speaks of a lease. CLOCK_MONOTONIC_RAW + (CLOCK_BOOTTIME - CLOCK_MONOTONIC):
 *            no time daemon slews it (chrony may slew the others by 8 %), and it counts suspended
 *            time. No timer runs on it: sleep at most half of what remains, at least 5 ms, and look
 *            again (docs/consensus.md). The value is that of an instant between call and return,
 *            rounded down, even if the process is stopped in between (lease_clock.h): read it
 *            before a send and it is not after the send, read it after an apply and it is not
 *            before the apply. It never goes back, so callers need no second look.
 * suspended: the bracket alone, up to a constant; where it grew, an observer of a lease starts its
 *            wait afresh. Never more than it is; once too little if the process was stopped twice
 *            during the read, so keep the greatest value seen.
 * wall:      logs and published times only, never a decision. */
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
