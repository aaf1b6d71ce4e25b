/* What a benchmark says of the times that it took (tests/bench/samples.h). */
#include "tests/bench/samples.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

/* 1 ms to `count` ms, in disorder. */
static struct samples taken(size_t count)
{
    struct samples samples;
    samples_init(&samples, 1009);
    for (size_t i = 0; i < count; i++) {
        samples_add(&samples, (double)(i * 7 % count + 1));
    }
    samples_sort(&samples);
    return samples;
}

static void a_percentile_is_the_least_that_so_many_do_not_exceed(void **state)
{
    struct samples samples = taken(1000);
    (void)state;
    assert_string_equal(samples_json(samples_percentile(&samples, 50)), "500.000");
    assert_string_equal(samples_json(samples_percentile(&samples, 99)), "990.000");
    samples_free(&samples);
    samples = taken(1009);
    assert_string_equal(samples_json(samples_percentile(&samples, 99)), "999.000");
    samples_free(&samples);
}

static void a_percentile_with_too_few_beyond_it_is_none(void **state)
{
    struct samples samples = taken(500);
    (void)state;
    assert_string_equal(samples_json(samples_percentile(&samples, 99)), "495.000");
    samples_free(&samples);
    samples = taken(499);
    assert_string_equal(samples_json(samples_percentile(&samples, 99)), "null");
    assert_string_equal(samples_json(samples_percentile(&samples, 50)), "250.000");
    samples_clear(&samples);
    assert_string_equal(samples_json(samples_percentile(&samples, 50)), "null");
    samples_free(&samples);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_percentile_is_the_least_that_so_many_do_not_exceed),
        cmocka_unit_test(a_percentile_with_too_few_beyond_it_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
