/* Times of lines: local, as Python's logging writes them. */
#include "base/log_stamp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define AT_MS INT64_C(1795406902123) /* 2026-11-23 04:08:22.123 UTC */

static void zone(const char *name)
{
    assert_int_equal(setenv("TZ", name, 1), 0);
    tzset();
}

static const char *stamp(const char *dateformat)
{
    static char text[LOG_STAMP_BYTES];
    log_stamp_make(text, dateformat, AT_MS);
    return text;
}

static void the_time_is_local_and_as_the_format_says(void **state)
{
    (void)state;
    zone("UTC0");
    assert_string_equal(stamp(""), "2026-11-23 04:08:22,123");
    assert_string_equal(stamp("%d.%m. %H:%M"), "23.11. 04:08");
    zone("BRT3");
    assert_string_equal(stamp(""), "2026-11-23 01:08:22,123");
    assert_string_equal(stamp("%Y-%m-%dT%H:%M:%S%z"), "2026-11-23T01:08:22-0300");
    zone("UTC0");
}

static void what_makes_no_time_is_refused(void **state)
{
    static const char *const bad[] = {"%n",   "a\tb", "\"%Y\"",      "\\%Y",
                                      "%p%n", "\x7f", "%c %c %c %c", "\xc3\xa4"};
    char text[LOG_DATEFORMAT_BYTES + 1];
    struct error err = {0};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(log_stamp_check(bad[i], &err), ERR_INVALID);
    }
    assert_int_equal(log_stamp_check("", &err), ERR_INVALID);
    memset(text, 'x', sizeof text);
    text[LOG_DATEFORMAT_BYTES] = '\0';
    assert_int_equal(log_stamp_check(text, &err), ERR_INVALID);
    assert_int_equal(log_stamp_check("%Y-%m-%d %H:%M:%S", &err), 0);
    assert_int_equal(log_stamp_check("%A, %d %B %Y %H:%M:%S %Z", &err), 0); /* the longest names */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_time_is_local_and_as_the_format_says),
        cmocka_unit_test(what_makes_no_time_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
