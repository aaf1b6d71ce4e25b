/* PURE. See the header. */
#include "base/histogram.h"

const int64_t histogram_bounds_ms[HISTOGRAM_BOUNDS] = {1, 2, 5, 10, 25, 50, 100, 250, 1000};

void histogram_add(struct histogram *histogram, int64_t ms)
{
    size_t class = 0;
    ms = ms < 0 ? 0 : ms;
    while (class < HISTOGRAM_BOUNDS && ms > histogram_bounds_ms[class]) {
        class ++;
    }
    histogram->counts[class]++;
    histogram->sum_ms += ms;
}
