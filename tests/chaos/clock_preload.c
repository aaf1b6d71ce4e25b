/* A host whose clock is wrong: preloaded into a node's processes, which then read their clocks
 * through a file.
 *
 * CHAOS_CLOCK names it: the numbers of struct chaos_clock, which a test may change at any time (it
 * is mapped; each number is read whole). Wall clocks get the offset on top. All clocks run at 1 +
 * rate/1e9 of the true rate, counted from the same instant in all processes of the node, because
 * agent and fence tell each other absolute times. What waits (poll, timers of the kernel) goes by
 * the true clock, as a host whose oscillator is off would not: a rate here is harder. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

struct chaos_clock {
    volatile int64_t wall_ns;
    volatile int64_t rate_ppb;
    volatile int64_t since_ns; /* CLOCK_MONOTONIC_RAW; it and rate_ppb are written once, before the
                                  node starts */
};

static const int64_t SECOND_NS = 1000000000;
static const struct chaos_clock *table;
static int (*real_gettime)(clockid_t, struct timespec *);

__attribute__((constructor)) static void chaos_clock_open(void)
{
    const char *path = getenv("CHAOS_CLOCK");
    void *symbol = dlsym(RTLD_NEXT, "clock_gettime");
    __builtin_memcpy(&real_gettime, &symbol, sizeof symbol);
    int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) {
        return;
    }
    void *mapped = mmap(NULL, sizeof *table, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    table = mapped != MAP_FAILED ? mapped : NULL;
}

static int64_t to_ns(const struct timespec *t)
{
    return (int64_t)t->tv_sec * SECOND_NS + t->tv_nsec;
}

EXPORT int clock_gettime(clockid_t which, struct timespec *ret)
{
    struct timespec raw;
    if (real_gettime == NULL) {
        chaos_clock_open();
    }
    int rc = real_gettime(which, ret);
    if (rc != 0 || table == NULL || which == CLOCK_PROCESS_CPUTIME_ID ||
        which == CLOCK_THREAD_CPUTIME_ID) {
        return rc;
    }
    int64_t ns = to_ns(ret);
    if (table->rate_ppb != 0 && real_gettime(CLOCK_MONOTONIC_RAW, &raw) == 0) {
        ns += (int64_t)((double)(to_ns(&raw) - table->since_ns) * (double)table->rate_ppb / 1e9);
    }
    if (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE || which == CLOCK_TAI) {
        ns += table->wall_ns;
    }
    ret->tv_sec = ns / SECOND_NS;
    ret->tv_nsec = ns % SECOND_NS;
    return 0;
}

EXPORT int gettimeofday(struct timeval *restrict ret, void *restrict zone)
{
    struct timespec now;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0) {
        return -1;
    }
    ret->tv_sec = now.tv_sec;
    ret->tv_usec = now.tv_nsec / 1000;
    return 0;
}

EXPORT time_t time(time_t *ret)
{
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0) {
        return -1;
    }
    if (ret != NULL) {
        *ret = now.tv_sec;
    }
    return now.tv_sec;
}
