/* PURE. How long something took, counted in classes of fixed bounds: what a monitoring system makes
 * percentiles of. */
#ifndef BASE_HISTOGRAM_H
#define BASE_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

#define HISTOGRAM_BOUNDS 9

/* Upper bounds in ms, each included, in order; above the last one is the class without a bound. */
extern const int64_t histogram_bounds_ms[HISTOGRAM_BOUNDS];

struct histogram {                         /* zeroed is empty */
    uint64_t counts[HISTOGRAM_BOUNDS + 1]; /* of each class alone */
    int64_t sum_ms;
};

/* A negative time (a clock that was read in another order) counts as 0. */
void histogram_add(struct histogram *histogram, int64_t ms);

#endif
