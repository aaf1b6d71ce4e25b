#include "raft/engine/group_warnings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void a_warning_is_told_once_a_minute(void **state)
{
    (void)state;
    struct group_warnings warnings = {0};
    assert_true(group_warnings_tell(&warnings, "slow", 1000));
    assert_false(group_warnings_tell(&warnings, "slow", 1000 + GROUP_WARNING_REPEAT_MS - 1));
    assert_true(group_warnings_tell(&warnings, "other", 1001));
    assert_true(group_warnings_tell(&warnings, "slow", 1000 + GROUP_WARNING_REPEAT_MS));
    assert_false(group_warnings_tell(&warnings, "slow", 1000 + GROUP_WARNING_REPEAT_MS + 1));
    group_warnings_free(&warnings);
}

/* Seven members with long addresses make one of two thousand bytes. */
static void a_long_warning_is_a_repeat_too(void **state)
{
    (void)state;
    struct group_warnings warnings = {0};
    char text[2048];
    char other[sizeof text];
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    memcpy(other, text, sizeof text);
    other[sizeof text - 2] = 'b';
    assert_true(group_warnings_tell(&warnings, text, 1000));
    assert_false(group_warnings_tell(&warnings, text, 1001));
    assert_true(group_warnings_tell(&warnings, other, 1002)); /* it ends otherwise */
    assert_false(group_warnings_tell(&warnings, other, 1003));
    group_warnings_free(&warnings);
}

static void the_oldest_makes_room(void **state)
{
    (void)state;
    struct group_warnings warnings = {0};
    char text[32];
    for (int i = 0; i <= GROUP_WARNINGS_KEPT; i++) {
        (void)snprintf(text, sizeof text, "warning %d", i);
        assert_true(group_warnings_tell(&warnings, text, 1000 + i));
    }
    assert_true(group_warnings_tell(&warnings, "warning 0", 2000));
    assert_false(group_warnings_tell(&warnings, "warning 2", 2000));
    group_warnings_free(&warnings);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_warning_is_told_once_a_minute),
        cmocka_unit_test(a_long_warning_is_a_repeat_too),
        cmocka_unit_test(the_oldest_makes_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
