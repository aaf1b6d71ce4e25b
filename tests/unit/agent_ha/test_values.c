/* Which values can be read: those that Patroni and we write, and nothing else. */
#include "agent/ha/ha_values.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static bool readable(const char *key, const char *value)
{
    const struct ha_kv kv = {key, value, 5, 7};
    return ha_value_wanted(&kv) == NULL;
}

static void what_is_written_by_patroni_and_by_us_is_right(void **state)
{
    static const char *const pairs[][2] = {
        {"leader", "node1"},
        {"initialize", "7000000000000000001"},
        {"initialize", ""},
        {"failover", "{}"},
        {"failover", ""},
        {"failover", "{\"leader\":\"a\",\"member\":null,\"scheduled_at\":null}"},
        {"failover", "{\"member\":\"b\",\"scheduled_at\":\"2026-11-24T12:00:00+02:00\"}"},
        {"failover", "a:b"},
        {"failover", ":b"},
        {"status", "{\"optime\":83886200,\"slots\":{\"n2\":1},\"retain_slots\":[\"a\"]}"},
        {"status", "83886200"},
        {"history", "[]"},
        {"history", "[[1,5,\"x\"]]"},
        {"sync", "{\"leader\":null,\"sync_standby\":null}"},
        {"epoch", "{\"holder\":\"n1\",\"timeline\":3}"},
        {"failsafe", "{\"n1\":\"http://a\"}"},
        {"members/n1", "{\"conn_url\":\"x\"}"},
        {"reports/n1", "none"},
        {"reports/n1", "{\"epoch\":\"abc:9\",\"yields\":true}"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        if (!readable(pairs[i][0], pairs[i][1])) {
            fail_msg("%s = %s", pairs[i][0], pairs[i][1]);
        }
    }
}

static void keys_that_nobody_reads_may_have_anything(void **state)
{
    (void)state;
    assert_true(readable("optime/leader", "?"));
    assert_true(readable("unknown", "{"));
    assert_true(readable("config", "{")); /* its own checks tell of it */
}

static void junk_is_told(void **state)
{
    static const char *const pairs[][2] = {
        {"leader", ""},
        {"leader", "a/b"},
        {"leader", "a\nb"},
        {"leader", "0123456789012345678901234567890123456789012345678901234567890123"},
        {"initialize", "me"},
        {"initialize", "12"},
        {"failover", "}"},
        {"failover", "[]"},
        {"failover", "{a:b"},
        {"failover", "{\"member\":\"b\",\"scheduled_at\":\"soon\"}"},
        {"status", "?"},
        {"status", ""},
        {"status", "1.5"},
        {"history", "{}"},
        {"history", "["},
        {"sync", "?"},
        {"sync", "null"},
        {"epoch", "n1"},
        {"failsafe", "[]"},
        {"unfenced", "x"},
        {"unfenced", ""},
        {"members/n1", "?"},
        {"members/n1", ""},
        {"members/", "{}"},
        {"members/n1/x", "{}"},
        {"reports/n1", "{}"},
        {"reports/n1", "{\"epoch\":\"x\"}"},
        {"reports/n1", "?"},
        {"reports/", "none"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        if (readable(pairs[i][0], pairs[i][1])) {
            fail_msg("%s = %s", pairs[i][0], pairs[i][1]);
        }
    }
}

static void what_would_be_right_is_said(void **state)
{
    const struct ha_kv kv = {"sync", "?", 5, 7};
    (void)state;
    assert_string_equal(ha_value_wanted(&kv), "a JSON object");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_by_patroni_and_by_us_is_right),
        cmocka_unit_test(keys_that_nobody_reads_may_have_anything),
        cmocka_unit_test(junk_is_told),
        cmocka_unit_test(what_would_be_right_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
