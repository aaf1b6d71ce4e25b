/* Query strings: a table of cases, and every short string against a plain model. */
#include "base/net/http_query.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void values_are_found_and_decoded(void **state)
{
    static const struct {
        const char *query;
        const char *value; /* NULL: none */
    } cases[] = {
        {"lag=10", "10"},
        {"x=1&lag=10&y=2", "10"},
        {"lag=10&lag=20", "10"},
        {"lag=&lag=20", "20"}, /* blank ones are dropped, as Python's parse_qs does */
        {"lag=1+2", "1 2"},
        {"lag=1%2B2%20%26%3d", "1+2 &="},
        {"lag=%4", "%4"},
        {"lag=%", "%"},
        {"lag=%zz", "%zz"},
        {"lag=%4g", "%4g"},
        {"lag=%C3%a4", "\xc3\xa4"},
        {"lag=a=b", "a=b"},
        {"lag=%&x=41", "%"}, /* an escape ends with its value */
        {"lag=%4&x=1", "%4"},
        {"&&lag=1&&", "1"},
        {"", NULL},
        {"lag", NULL},
        {"lag=", NULL},
        {"lag=&", NULL},
        {"la=1", NULL},
        {"lags=1", NULL},
        {"xlag=1", NULL},
        {"LAG=1", NULL},
        {"x=lag=1", NULL},
        {"lag&lag", NULL},
        {"lag=%00", NULL},
        {"lag=1%00MB", NULL},
        {"lag=12345678901234567890123456789012", NULL}, /* 32 and the terminator do not fit */
        {"lag=1234567890123456789012345678901", "1234567890123456789012345678901"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char value[32];
        bool found = http_query_get(cases[i].query, "lag", value, sizeof value);
        if (found != (cases[i].value != NULL)) {
            fail_msg("'%s' was %sfound", cases[i].query, found ? "" : "not ");
        }
        if (found) {
            assert_string_equal(value, cases[i].value);
        }
    }
}

/* The model: cut at '&', then at the first '='. Nothing to decode in this alphabet. */
static bool model_get(char *query, char *ret_value)
{
    char *rest = query;
    for (char *part = strsep(&rest, "&"); part != NULL; part = strsep(&rest, "&")) {
        char *value = strchr(part, '=');
        if (value != NULL && value - part == 2 && memcmp(part, "aa", 2) == 0 && value[1] != '\0') {
            memcpy(ret_value, value + 1, strlen(value + 1) + 1);
            return true;
        }
    }
    return false;
}

static void every_short_query_is_taken_as_the_model_takes_it(void **state)
{
    static const char alphabet[] = "a=&b";
    enum { LENGTH = 8 };
    unsigned long found_count = 0;
    (void)state;
    for (unsigned code = 0; code < 1U << (2 * LENGTH); code++) {
        char query[LENGTH + 1];
        char copy[LENGTH + 1];
        char value[LENGTH + 1];
        char expected[LENGTH + 1];
        for (int i = 0; i < LENGTH; i++) {
            query[i] = alphabet[code >> (2 * i) & 3];
        }
        query[LENGTH] = '\0';
        memcpy(copy, query, sizeof copy);
        bool found = http_query_get(query, "aa", value, sizeof value);
        assert_true(found == model_get(copy, expected));
        if (found) {
            assert_string_equal(value, expected);
            found_count++;
        }
    }
    assert_true(found_count > 500);
}

/* Each query is its own memory, so that the sanitizer sees a step beyond its end. */
static void nothing_is_read_beyond_the_end(void **state)
{
    static const char *const queries[] = {"",     "l",     "la",     "lag",
                                          "lag=", "lag=%", "lag=%4", "lag=%41"};
    (void)state;
    for (size_t i = 0; i < sizeof queries / sizeof queries[0]; i++) {
        char *query = strdup(queries[i]);
        for (size_t size = 0; size < 4; size++) {
            char *value = calloc(1, size + 1);
            assert_non_null(value);
            bool found = http_query_get(query, "lag", value, size);
            assert_true(!found || strlen(value) < size);
            free(value);
        }
        free(query);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_found_and_decoded),
        cmocka_unit_test(every_short_query_is_taken_as_the_model_takes_it),
        cmocka_unit_test(nothing_is_read_beyond_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
