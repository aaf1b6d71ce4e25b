/* The lease clock is made of reads that can be torn apart: every way in which a process may be
 * stopped, or the host suspended, between them is tried. And the real clocks. */
#include "base/clock.h"

#include "base/lease_clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#include <cmocka.h>

#define NS_PER_MS   INT64_C(1000000)
#define NS_PER_S    (1000 * NS_PER_MS)
#define NS_PER_READ 20
#define READS       5

/* What happens before a read, or after the last one. */
enum event { NOTHING, SHORT_STOP, LONG_STOP, SUSPENSION, EVENTS };

/* A host whose time daemon slews MONOTONIC and BOOTTIME against RAW. */
struct host {
    int64_t raw_ns;
    int64_t mono_ns;
    int64_t suspended_ns;
    int64_t slew_permille;
    enum event events[READS + 1];
    int reads;
};

static int64_t lease_of(const struct host *host)
{
    return host->raw_ns + host->suspended_ns;
}

static void pass(struct host *host, int64_t ns)
{
    host->raw_ns += ns;
    host->mono_ns += ns + ns * host->slew_permille / 1000;
}

static void happen(struct host *host, enum event event)
{
    switch (event) {
    case NOTHING: break;
    case SHORT_STOP: pass(host, 3 * NS_PER_MS); break;
    case LONG_STOP: pass(host, 10 * NS_PER_S); break;
    case SUSPENSION: host->suspended_ns += 3600 * NS_PER_S; break;
    case EVENTS: fail();
    }
}

static int64_t host_read(void *arg, clockid_t id)
{
    struct host *host = arg;
    assert_true(host->reads < READS);
    happen(host, host->events[host->reads++]);
    pass(host, NS_PER_READ);
    switch (id) {
    case CLOCK_MONOTONIC_RAW: return host->raw_ns;
    case CLOCK_MONOTONIC: return host->mono_ns;
    case CLOCK_BOOTTIME: return host->mono_ns + host->suspended_ns;
    default: fail_msg("clock %d belongs to no lease clock", (int)id); return 0;
    }
}

/* One more way; false after the last. */
static bool next_events(struct host *host)
{
    for (int i = 0; i <= READS; i++) {
        if (++host->events[i] < EVENTS) {
            return true;
        }
        host->events[i] = NOTHING;
    }
    return false;
}

/* How many of all ways, slews and times suspended before give a value of no instant of the call. */
static unsigned long count_wrong(int64_t (*lease_ns)(lease_clock_read read_ns, void *arg),
                                 unsigned long *ret_early, unsigned long *ret_tried)
{
    static const int64_t slews_permille[] = {-110, 0, 110};
    static const int64_t suspended_s[] = {0, 36000, -1000};
    unsigned long late = 0;
    *ret_early = 0;
    *ret_tried = 0;
    for (int i = 0; i < 9; i++) {
        struct host ways = {.slew_permille = slews_permille[i % 3]};
        do {
            struct host host = ways;
            host.raw_ns = 5000 * NS_PER_S + 1;
            host.mono_ns = 7000 * NS_PER_S + 3;
            host.suspended_ns = suspended_s[i / 3] * NS_PER_S;
            int64_t before_ns = lease_of(&host);
            int64_t value_ns = lease_ns(host_read, &host);
            happen(&host, host.events[READS]);
            *ret_early += value_ns < before_ns;
            late += value_ns > lease_of(&host);
            ++*ret_tried;
        } while (next_events(&ways));
    }
    return late;
}

static void no_stop_between_the_reads_makes_the_lease_clock_wrong(void **state)
{
    (void)state;
    unsigned long early;
    unsigned long tried;
    assert_int_equal(count_wrong(lease_clock_ns, &early, &tried), 0);
    assert_int_equal(early, 0);
    assert_int_equal(tried, 9 * 4096);
}

static int64_t mono_first_ns(lease_clock_read read_ns, void *arg)
{
    int64_t raw_ns = read_ns(arg, CLOCK_MONOTONIC_RAW);
    int64_t mono_ns = read_ns(arg, CLOCK_MONOTONIC);
    return raw_ns + read_ns(arg, CLOCK_BOOTTIME) - mono_ns;
}

static int64_t boot_first_ns(lease_clock_read read_ns, void *arg)
{
    int64_t raw_ns = read_ns(arg, CLOCK_MONOTONIC_RAW);
    return raw_ns + lease_clock_pair_ns(read_ns, arg);
}

static int64_t one_pair_ns(lease_clock_read read_ns, void *arg)
{
    int64_t suspended_ns = lease_clock_pair_ns(read_ns, arg);
    return suspended_ns + read_ns(arg, CLOCK_MONOTONIC_RAW);
}

static void simpler_sums_are_wrong_and_the_trial_sees_it(void **state)
{
    (void)state;
    unsigned long early;
    unsigned long tried;
    assert_true(count_wrong(mono_first_ns, &early, &tried) > 0);
    (void)count_wrong(boot_first_ns, &early, &tried);
    assert_true(early > 0);
    (void)count_wrong(one_pair_ns, &early, &tried);
    assert_true(early > 0); /* only where MONOTONIC is slewed up */
}

static void suspended_time_is_never_read_too_long(void **state)
{
    (void)state;
    struct host ways = {.slew_permille = 110};
    do {
        struct host host = ways;
        host.suspended_ns = 36000 * NS_PER_S;
        int64_t before_ns = host.suspended_ns;
        int64_t value_ns = lease_clock_suspended_ns(host_read, &host);
        bool stopped_twice = (host.events[1] == SHORT_STOP || host.events[1] == LONG_STOP) &&
                             (host.events[3] == SHORT_STOP || host.events[3] == LONG_STOP);
        assert_true(value_ns <= host.suspended_ns);
        /* One stop takes nothing off but what a read takes itself. */
        assert_true(stopped_twice || value_ns >= before_ns - 2 * NS_PER_READ);
    } while (next_events(&ways));
}

static void the_lease_clock_never_goes_back(void **state)
{
    (void)state;
    const struct clock *clock = clock_real();
    int64_t last_ms = clock_lease_ms(clock);
    for (int i = 0; i < 100000; i++) {
        int64_t now_ms = clock_lease_ms(clock);
        assert_true(now_ms >= last_ms);
        last_ms = now_ms;
    }
}

static int64_t read_ms(clockid_t id)
{
    struct timespec now;
    assert_int_equal(clock_gettime(id, &now), 0);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / NS_PER_MS;
}

static void each_clock_reads_what_its_name_says(void **state)
{
    (void)state;
    const struct clock *clock = clock_real();
    const struct {
        clockid_t id;
        int64_t (*read)(const struct clock *);
    } cases[] = {{CLOCK_MONOTONIC, clock_mono_ms}, {CLOCK_REALTIME, clock_wall_ms}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t before_ms = read_ms(cases[i].id);
        int64_t value_ms = cases[i].read(clock);
        assert_in_range(value_ms, before_ms, read_ms(cases[i].id));
    }
    /* Rounded down as a sum: up to 1 ms above the sum of what is rounded down each. */
    int64_t suspended_ms = clock_suspended_ms(clock);
    int64_t before_ms = read_ms(CLOCK_MONOTONIC_RAW) + suspended_ms;
    int64_t value_ms = clock_lease_ms(clock);
    int64_t after_ms = read_ms(CLOCK_MONOTONIC_RAW) + suspended_ms;
    assert_in_range(clock_suspended_ms(clock) - suspended_ms + 1, 0, 2); /* nobody suspends us */
    assert_in_range(value_ms, before_ms - 1, after_ms + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_stop_between_the_reads_makes_the_lease_clock_wrong),
        cmocka_unit_test(simpler_sums_are_wrong_and_the_trial_sees_it),
        cmocka_unit_test(suspended_time_is_never_read_too_long),
        cmocka_unit_test(the_lease_clock_never_goes_back),
        cmocka_unit_test(each_clock_reads_what_its_name_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
