/* How the lease clock is made of three clocks that cannot be read at one instant. A header without
 * a source: the fence, which links libc alone, and base/clock.c have to read the same time.
 *
 *     lease(t) = RAW(t) + suspended(t)          suspended(t) = BOOTTIME(t) - MONOTONIC(t)
 *
 * Contract of lease_clock_ns: the result is the lease clock of some instant between call and
 * return, wherever, how often and how long the process is stopped (SIGSTOP, a paused VM, a busy
 * host) or the host is suspended between the reads. So it serves both who must not read too late (a
 * holder before it sends, a member that ends its wait) and who must not read too early (a holder or
 * the fence that looks at a deadline, a member that begins its wait), and it never goes back.
 *
 * Why it holds. A pair is BOOTTIME, then MONOTONIC: the difference is suspended(t) of the first
 * read less what MONOTONIC advanced in between, never too much. Two pairs, then RAW, and the
 * greater difference counts:
 *   - not after the return: RAW and both differences are at most those of the return;
 *   - not before the call: if MONOTONIC advanced by m1 and m2 within the pairs, the greater
 *     difference is short by min(m1, m2) at most. RAW is read after both, so it has advanced by
 *     what took m1 + m2 >= 2 min(m1, m2): that pays for it as long as MONOTONIC is slewed to less
 *     than twice RAW's rate (the kernel's limit is about 11 %).
 * One pair would not do: with MONOTONIC slewed up by 8 % (chrony), a stop of 10 s in it reads 0.8 s
 * too early. Two clocks are truncated to ns, hence 1 ns of doubt, less than one read takes. */
#ifndef BASE_LEASE_CLOCK_H
#define BASE_LEASE_CLOCK_H

#include <stdint.h>
#include <time.h>

/* Nanoseconds of CLOCK_BOOTTIME, CLOCK_MONOTONIC or CLOCK_MONOTONIC_RAW, now. */
typedef int64_t (*lease_clock_read)(void *arg, clockid_t id);

static inline int64_t lease_clock_pair_ns(lease_clock_read read_ns, void *arg)
{
    int64_t boot_ns = read_ns(arg, CLOCK_BOOTTIME); /* first: the order is the point */
    return boot_ns - read_ns(arg, CLOCK_MONOTONIC);
}

/* How long the host has been suspended, up to a constant (a time namespace shifts the clocks, and
 * it may be negative). Never more than it was at the return; too little only if the process was
 * stopped in both pairs, by the shorter of the two stops, and the next look is right again. */
static inline int64_t lease_clock_suspended_ns(lease_clock_read read_ns, void *arg)
{
    int64_t first_ns = lease_clock_pair_ns(read_ns, arg);
    int64_t second_ns = lease_clock_pair_ns(read_ns, arg);
    return first_ns > second_ns ? first_ns : second_ns;
}

static inline int64_t lease_clock_ns(lease_clock_read read_ns, void *arg)
{
    int64_t suspended_ns = lease_clock_suspended_ns(read_ns, arg);
    return suspended_ns + read_ns(arg, CLOCK_MONOTONIC_RAW);
}

#endif
