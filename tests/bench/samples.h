/* How long each request of a load took, and what is said of it: the nearest rank, not something
 * between two ranks, so that each figure was somebody's wait. */
#ifndef TESTS_BENCH_SAMPLES_H
#define TESTS_BENCH_SAMPLES_H

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>

/* With fewer beyond it, a percentile is a matter of chance: p99 needs 500 samples. */
enum { SAMPLES_BEYOND = 5, SAMPLES_TEXTS = 8 };

struct samples {
    float *ms;
    size_t count;
    size_t max;
};

static inline void samples_init(struct samples *samples, size_t max)
{
    *samples = (struct samples){.ms = mem_new_array(float, max), .max = max};
}

static inline void samples_free(struct samples *samples)
{
    mem_free(samples->ms);
    samples->ms = NULL;
}

static inline void samples_clear(struct samples *samples)
{
    samples->count = 0;
}

/* One for which there is no room ends the program: those that come late must not be left out. */
static inline void samples_add(struct samples *samples, double ms)
{
    if (samples->count == samples->max) {
        fprintf(stderr, "more than %zu requests: measure for a shorter time\n", samples->max);
        exit(1);
    }
    samples->ms[samples->count++] = (float)ms;
}

static inline int samples_compare(const void *a, const void *b)
{
    float x = *(const float *)a;
    float y = *(const float *)b;
    return (x > y) - (x < y);
}

static inline void samples_sort(struct samples *samples)
{
    qsort(samples->ms, samples->count, sizeof samples->ms[0], samples_compare);
}

/* Of sorted ones: the least that `percent` of them do not exceed; -1 = too few to tell. */
static inline double samples_percentile(const struct samples *samples, unsigned percent)
{
    size_t rank = (samples->count * percent + 99) / 100; /* from 1 */
    if (samples->count < rank + SAMPLES_BEYOND) {
        return -1;
    }
    return (double)samples->ms[rank - 1];
}

/* As JSON. Valid until there are SAMPLES_TEXTS newer ones. */
static inline const char *samples_json(double ms)
{
    static char texts[SAMPLES_TEXTS][32];
    static unsigned next;
    char *text = texts[next++ % SAMPLES_TEXTS];
    if (ms < 0) {
        return "null";
    }
    (void)snprintf(text, sizeof texts[0], "%.3f", ms);
    return text;
}

#endif
