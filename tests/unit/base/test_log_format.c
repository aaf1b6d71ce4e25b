/* Lines, to the byte: every format that a file may ask for, and what no format may be. */
#include "base/log_format.h"

#include "base/log_line.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const struct log_record record = {.stamp = "2026-11-23 04:08:22,123",
                                         .wall_ms = 1795406902123,
                                         .level = LOG_LEVEL_WARNING,
                                         .pid = 4711,
                                         .message = "'n2' says \"no\""};

static const char *made(const struct log_format *format, const struct log_record *of)
{
    static char line[LOG_LINE_BYTES];
    size_t len = log_line_make(line, format, of);
    assert_int_equal(strlen(line), len);
    assert_true(len < LOG_LINE_BYTES);
    assert_int_equal(line[len - 1], '\n');
    line[len - 1] = '\0';
    return line;
}

static void plain_formats_are_pythons(void **state)
{
    static const struct {
        const char *format;
        const char *line;
    } rows[] = {
        {LOG_DEFAULT_FORMAT, "2026-11-23 04:08:22,123 WARNING: 'n2' says \"no\""},
        {"%(levelname)s:%(name)s:%(message)s", "WARNING:pgquorum:'n2' says \"no\""},
        {"%(message)s", "'n2' says \"no\""},
        {"%(levelname)-9s|%(message)s", "WARNING  |'n2' says \"no\""},
        {"%(levelname)9s|%(message)s", "  WARNING|'n2' says \"no\""},
        {"%(levelname).4s %(message)s", "WARN 'n2' says \"no\""},
        {"%(message)s [%(process)d] %(levelno)d", "'n2' says \"no\" [4711] 30"},
        {"%(process)s|%(process)8d|%(process)08d|%(message)s",
         "4711|    4711|00004711|'n2' says \"no\""},
        {"%(created)f %(message)s", "1795406902.123000 'n2' says \"no\""},
        {"%(created).3f %(message)s", "1795406902.123 'n2' says \"no\""},
        {"%(msecs)03d %(message)s", "123 'n2' says \"no\""},
        {"100%% %(message)s", "100% 'n2' says \"no\""},
        {"%(processName)s %(threadName)s %(message)s", "MainProcess MainThread 'n2' says \"no\""},
        {"%(module)s:%(lineno)d %(funcName)s %(message)s", "-:0 - 'n2' says \"no\""},
        {"\xc3\xa4 %(message)s", "\xc3\xa4 'n2' says \"no\""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct log_format format;
        struct error err = {0};
        log_format_init(&format, false);
        if (log_format_parse(&format, rows[i].format, &err) != 0) {
            fail_msg("'%s': %s", rows[i].format, err.text);
        }
        assert_string_equal(made(&format, &record), rows[i].line);
    }
}

static void fields_of_json_are_those_of_the_format_in_order(void **state)
{
    static const struct {
        const char *format;
        const char *line;
    } rows[] = {
        {LOG_DEFAULT_FORMAT,
         "{\"asctime\": \"2026-11-23 04:08:22,123\", \"levelname\": \"WARNING\", "
         "\"message\": \"'n2' says \\\"no\\\"\"}"},
        {"%(message)s, %(process)d", "{\"message\": \"'n2' says \\\"no\\\"\", \"process\": 4711}"},
        {"%(created)f%(msecs)03d%(levelno)s %(lineno)d%(message)s",
         "{\"created\": 1795406902.123, \"msecs\": 123, \"levelno\": 30, \"lineno\": 0, "
         "\"message\": \"'n2' says \\\"no\\\"\"}"},
        {"%(module)s %(message)s", "{\"module\": \"-\", \"message\": \"'n2' says \\\"no\\\"\"}"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct log_format format;
        struct error err = {0};
        log_format_init(&format, true);
        assert_int_equal(log_format_parse(&format, rows[i].format, &err), 0);
        assert_string_equal(made(&format, &record), rows[i].line);
    }
}

static void fields_of_json_may_have_other_names_and_some_are_always_the_same(void **state)
{
    struct log_format format;
    struct error err = {0};
    (void)state;
    log_format_init(&format, true);
    assert_int_equal(log_format_add(&format, "message", "message", &err), 0);
    assert_int_equal(log_format_add(&format, "asctime", "@timestamp", &err), 0);
    assert_int_equal(log_format_add(&format, "levelname", "a \"level\"", &err), 0);
    assert_int_equal(log_format_add_static(&format, "app", "\"pg \\\"quorum\\\"\"", &err), 0);
    assert_int_equal(log_format_add_static(&format, "nu\"mber", "7", &err), 0);
    assert_string_equal(made(&format, &record),
                        "{\"message\": \"'n2' says \\\"no\\\"\", \"@timestamp\": \"2026-11-23 "
                        "04:08:22,123\", \"a \\\"level\\\"\": \"WARNING\", \"app\": \"pg "
                        "\\\"quorum\\\"\", \"nu\\\"mber\": 7}");
}

static void what_is_no_format_is_refused_and_it_is_said_why(void **state)
{
    static const struct {
        const char *format;
        const char *words;
    } rows[] = {
        {"%(asctime)s", "has no %(message)s"},
        {"", "has no %(message)s"},
        {"message", "has no %(message)s"},
        {"%(massage)s", "'massage' is no field"},
        {"%(message)x", "'%(message)x' ends in none of s, d, i and f"},
        {"%(message)", "'%(message)' ends in none of s, d, i and f"},
        {"%(message", "'%(message' has no end"},
        {"%s", "'%s' is no field"},
        {"100% %(message)s", "'% %(message)s' is no field"},
        {"%(message)s %", "'%' is no field"},
        {"%(message)d", "'%(message)d' asks for a number, and it is text"},
        {"%(message)999s", "is wider than 40"},
        {"%(message)s\n", "has a control character"},
        {"%(message)s \x1b[1m", "has a control character"},
        {"%(message)s \xff", "is no UTF-8"},
    };
    (void)state;
    for (int json = 0; json <= 1; json++) {
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
            struct log_format format;
            struct error err = {0};
            log_format_init(&format, json);
            assert_int_equal(log_format_parse(&format, rows[i].format, &err), ERR_INVALID);
            if (strstr(err.text, rows[i].words) == NULL) {
                fail_msg("'%s': '%s' does not say '%s'", rows[i].format, err.text, rows[i].words);
            }
        }
    }
}

static void formats_that_are_too_long_are_refused(void **state)
{
    char text[LOG_FORMAT_TEXT_BYTES + 64];
    struct log_format format;
    struct error err = {0};
    (void)state;
    memset(text, 'x', sizeof text);
    (void)snprintf(text + sizeof text - 16, 16, "%%(message)s");
    log_format_init(&format, false);
    assert_int_equal(log_format_parse(&format, text, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "is longer than"));
    text[0] = '\0';
    for (int i = 0; i <= LOG_FORMAT_PARTS_MAX; i++) {
        (void)snprintf(text + strlen(text), sizeof text - strlen(text), "%%(message)s");
    }
    log_format_init(&format, false);
    assert_int_equal(log_format_parse(&format, text, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "has more than"));
    log_format_init(&format, true);
    memset(text, 'x', sizeof text);
    text[300] = '\0';
    for (int i = 0; i < 3; i++) {
        assert_int_equal(log_format_add_static(&format, text, "1", &err), 0);
    }
    assert_int_equal(log_format_add_static(&format, text, "1", &err), ERR_INVALID);
    log_format_init(&format, true);
    assert_int_equal(log_format_add(&format, "message", text, &err), 0);
    assert_int_equal(log_format_add(&format, "asctime", text, &err), ERR_INVALID);
    log_format_init(&format, true);
    assert_int_equal(log_format_add(&format, "massage", "m", &err), ERR_INVALID);
}

/* The widest format, the longest stamp and the longest message, in both forms. */
static void every_line_fits_and_what_is_cut_is_the_message(void **state)
{
    char stamp[LOG_STAMP_BYTES];
    char message[LOG_MESSAGE_BYTES];
    char text[LOG_FORMAT_TEXT_BYTES];
    (void)state;
    memset(stamp, '9', sizeof stamp);
    stamp[sizeof stamp - 1] = '\0';
    memset(message, '"', sizeof message);
    message[sizeof message - 1] = '\0';
    for (int json = 0; json <= 1; json++) {
        struct log_format format;
        struct error err = {0};
        struct log_record longest = record;
        longest.stamp = stamp;
        longest.message = message;
        log_format_init(&format, json);
        text[0] = '\0';
        for (int i = 0; i < LOG_FORMAT_PARTS_MAX / 2 - 1; i++) {
            (void)snprintf(text + strlen(text), sizeof text - strlen(text), "%%(asctime)40s ");
        }
        (void)snprintf(text + strlen(text), sizeof text - strlen(text), "%%(message)s");
        assert_int_equal(log_format_parse(&format, text, &err), 0);
        if (json) {
            char value[LOG_FORMAT_STATIC_BYTES];
            memset(value, 'v', sizeof value);
            value[0] = '"';
            value[900] = '"';
            value[901] = '\0';
            assert_int_equal(log_format_add_static(&format, "long", value, &err), 0);
        }
        const char *line = made(&format, &longest);
        assert_non_null(strstr(line, stamp));
        if (json) {
            json_t *object = json_loads(line, 0, NULL);
            assert_non_null(object);
            const char *cut = json_string_value(json_object_get(object, "message"));
            assert_true(strlen(cut) > 500 && strcmp(cut + strlen(cut) - 3, "...") == 0);
            json_decref(object);
        }
    }
}

static void a_cut_leaves_characters_whole(void **state)
{
    char message[LOG_MESSAGE_BYTES];
    struct log_format format;
    struct error err = {0};
    (void)state;
    log_format_init(&format, true);
    assert_int_equal(log_format_parse(&format, LOG_DEFAULT_FORMAT, &err), 0);
    char value[900];
    memset(value, 'v', sizeof value);
    value[0] = '"';
    value[898] = '"';
    value[899] = '\0';
    assert_int_equal(log_format_add_static(&format, "long", value, &err), 0);
    for (int shift = 0; shift < 4; shift++) {
        struct log_record cut = record;
        memset(message, '"', sizeof message);
        for (size_t i = (size_t)shift + 1000; i + 4 < sizeof message; i += 4) {
            memcpy(message + i, "\xf0\x9f\x98\x80", 4);
        }
        message[sizeof message - 1 - (sizeof message - 5 - (size_t)shift - 1000) % 4] = '\0';
        log_message_clean(message);
        cut.message = message;
        json_t *object = json_loads(made(&format, &cut), 0, NULL);
        assert_non_null(object);
        json_decref(object);
    }
}

static void fields_that_say_nothing_here_are_named(void **state)
{
    struct log_format format;
    struct error err = {0};
    (void)state;
    log_format_init(&format, false);
    assert_int_equal(log_format_parse(&format, LOG_DEFAULT_FORMAT, &err), 0);
    assert_null(log_format_idle_field(&format));
    assert_true(log_format_has_message(&format));
    log_format_init(&format, false);
    assert_false(log_format_has_message(&format));
    assert_int_equal(log_format_parse(&format, "%(message)s %(lineno)d", &err), 0);
    assert_string_equal(log_format_idle_field(&format), "lineno");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_formats_are_pythons),
        cmocka_unit_test(fields_of_json_are_those_of_the_format_in_order),
        cmocka_unit_test(fields_of_json_may_have_other_names_and_some_are_always_the_same),
        cmocka_unit_test(what_is_no_format_is_refused_and_it_is_said_why),
        cmocka_unit_test(formats_that_are_too_long_are_refused),
        cmocka_unit_test(every_line_fits_and_what_is_cut_is_the_message),
        cmocka_unit_test(a_cut_leaves_characters_whole),
        cmocka_unit_test(fields_that_say_nothing_here_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
