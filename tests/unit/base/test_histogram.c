/* Classes of a histogram: each bound belongs to its own class. */
#include "base/histogram.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void each_bound_is_the_last_of_its_class(void **state)
{
    (void)state;
    for (size_t i = 0; i < HISTOGRAM_BOUNDS; i++) {
        struct histogram histogram = {0};
        histogram_add(&histogram, histogram_bounds_ms[i]);
        histogram_add(&histogram, histogram_bounds_ms[i] + 1);
        assert_int_equal(histogram.counts[i], 1);
        assert_int_equal(histogram.counts[i + 1], 1);
        assert_int_equal(histogram.sum_ms, 2 * histogram_bounds_ms[i] + 1);
    }
}

static void a_negative_time_is_none(void **state)
{
    struct histogram histogram = {0};
    (void)state;
    histogram_add(&histogram, -5);
    histogram_add(&histogram, 0);
    histogram_add(&histogram, INT64_C(86400000));
    assert_int_equal(histogram.counts[0], 2);
    assert_int_equal(histogram.counts[HISTOGRAM_BOUNDS], 1);
    assert_int_equal(histogram.sum_ms, 86400000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_bound_is_the_last_of_its_class),
        cmocka_unit_test(a_negative_time_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
