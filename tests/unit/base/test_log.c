/* The log as its reader sees it: standard error is a pipe here. */
#include "base/log.h"

#include "agent/config/config.h"
#include "base/log_repeat.h"
#include "base/log_settings.h"

#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <regex.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { PIPE_BYTES = 65536 };

static int sink[2] = {-1, -1};
static int real_stderr = -1;
static char text[PIPE_BYTES + 1]; /* what was taken */

static struct log_settings settings;

static void log_level_set(enum log_level level)
{
    settings.level = level;
    log_configure(&settings);
}

static void log_json_set(bool on)
{
    struct error err = {0};
    log_format_init(&settings.format, on);
    assert_int_equal(log_format_parse(&settings.format, LOG_DEFAULT_FORMAT, &err), 0);
    log_configure(&settings);
}

static int setup(void **state)
{
    (void)state;
    (void)signal(SIGPIPE, SIG_IGN);
    assert_int_equal(pipe2(sink, O_CLOEXEC), 0);
    real_stderr = dup(STDERR_FILENO);
    assert_true(real_stderr >= 0);
    assert_true(dup2(sink[1], STDERR_FILENO) >= 0);
    (void)close(sink[1]);
    log_settings_init(&settings);
    log_configure(&settings);
    return 0;
}

static int teardown(void **state)
{
    static int count;
    (void)state;
    log_error("end of test %d", ++count); /* repeats are told here, not in the next test */
    (void)dup2(real_stderr, STDERR_FILENO);
    (void)close(real_stderr);
    (void)close(sink[0]);
    log_json_set(false);
    return 0;
}

/* What the pipe holds, without waiting for more. */
static const char *taken(void)
{
    assert_int_equal(fcntl(sink[0], F_SETFL, O_NONBLOCK), 0);
    ssize_t len = read(sink[0], text, PIPE_BYTES);
    text[len > 0 ? len : 0] = '\0';
    return text;
}

static size_t count_of(const char *haystack, const char *needle)
{
    size_t count = 0;
    for (const char *p = strstr(haystack, needle); p != NULL; p = strstr(p + 1, needle)) {
        count++;
    }
    return count;
}

static void assert_matches(const char *line, const char *pattern)
{
    regex_t regex;
    assert_int_equal(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
    if (regexec(&regex, line, 0, NULL, 0) != 0) {
        fail_msg("'%s' is no '%s'", line, pattern);
    }
    regfree(&regex);
}

#define STAMP "[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2},[0-9]{3}"

/* --- lines ------------------------------------------------------------------------------------ */

static void a_line_has_time_level_and_message(void **state)
{
    (void)state;
    log_warning("'%s' lags by %d bytes", "n2", 17);
    assert_matches(taken(), "^" STAMP " WARNING: 'n2' lags by 17 bytes\n$");
}

static void only_the_wanted_levels_are_written(void **state)
{
    (void)state;
    for (int i = LOG_LEVEL_ERROR; i <= LOG_LEVEL_DEBUG; i++) {
        log_level_set((enum log_level)i);
        log_error("one at %d", i);
        log_warning("two at %d", i);
        log_info("three at %d", i);
        log_debug("four at %d", i);
        assert_int_equal(count_of(taken(), "\n"), i + 1);
    }
}

static void levels_are_known_by_pythons_names(void **state)
{
    static const struct {
        const char *name;
        enum log_level level;
    } cases[] = {{"ERROR", LOG_LEVEL_ERROR},  {"Critical", LOG_LEVEL_ERROR},
                 {"FATAL", LOG_LEVEL_ERROR},  {"warning", LOG_LEVEL_WARNING},
                 {"WARN", LOG_LEVEL_WARNING}, {"Info", LOG_LEVEL_INFO},
                 {"debug", LOG_LEVEL_DEBUG},  {"NOTSET", LOG_LEVEL_DEBUG}};
    static const char *const unknown[] = {"", "infos", "inf", "trace", "20", " info"};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        enum log_level level = cases[i].level == LOG_LEVEL_INFO ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO;
        assert_true(log_level_parse(cases[i].name, &level));
        assert_int_equal(level, cases[i].level);
    }
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
        enum log_level level = LOG_LEVEL_WARNING;
        assert_false(log_level_parse(unknown[i], &level));
        assert_int_equal(level, LOG_LEVEL_WARNING);
    }
}

static void a_json_line_is_an_object_of_patronis_fields(void **state)
{
    (void)state;
    log_json_set(true);
    log_info("path \"C:\\x\", 'n2'");
    json_t *json = json_loads(taken(), 0, NULL);
    assert_non_null(json);
    assert_matches(json_string_value(json_object_get(json, "asctime")), "^" STAMP "$");
    assert_string_equal(json_string_value(json_object_get(json, "levelname")), "INFO");
    assert_string_equal(json_string_value(json_object_get(json, "message")),
                        "path \"C:\\x\", 'n2'");
    assert_int_equal(count_of(text, "\n"), 1);
    json_decref(json);
}

static void a_message_from_outside_makes_no_second_line(void **state)
{
    (void)state;
    log_info("peer said '%s'", "a\n2026-01-01 00:00:00,000 ERROR: forged\r\nb\tc");
    assert_int_equal(count_of(taken(), "\n"), 1);
    assert_int_equal(count_of(text, "\r"), 0);
    assert_non_null(strstr(text, "peer said 'a 2026-01-01 00:00:00,000 ERROR: forged  b c'\n"));
    log_json_set(true);
    log_info("peer said '%s'", "x\", \"levelname\": \"ERROR\n\", \"");
    json_t *json = json_loads(taken(), JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(json);
    assert_string_equal(json_string_value(json_object_get(json, "message")),
                        "peer said 'x\", \"levelname\": \"ERROR \", \"'");
    json_decref(json);
}

static void a_message_steers_no_terminal(void **state)
{
    (void)state;
    log_info("name %s", "\x1b[2Jx\x07\x7f\xc2\x9bz \xff\xfe\xc3\xa4");
    assert_non_null(strstr(taken(), "name ?[2Jx????z ??\xc3\xa4\n"));
}

/* jansson takes well-formed UTF-8 only. Every two bytes, alone and behind each kind of lead. */
static void whatever_comes_in_is_valid_utf8_and_what_was_valid_stays(void **state)
{
    static const char *const leads[] = {"", "a", "\xc3", "\xe0\xa0", "\xed", "\xf0", "\xf4\x8f"};
    unsigned long kept = 0;
    (void)state;
    for (size_t lead = 0; lead < sizeof leads / sizeof leads[0]; lead++) {
        for (unsigned pair = 0; pair < 65536; pair++) {
            char before[8];
            char after[8];
            (void)snprintf(before, sizeof before, "%s%c%c", leads[lead], (int)(pair >> 8),
                           (int)(pair & 0xff));
            memcpy(after, before, sizeof after);
            log_message_clean(after);
            assert_int_equal(strlen(after), strlen(before));
            json_t *was = json_string(before);
            json_t *is = json_string(after);
            assert_non_null(is);
            if (was != NULL && strpbrk(after, "? ") == NULL) {
                assert_string_equal(after, before);
                kept++;
            }
            json_decref(was);
            json_decref(is);
        }
    }
    assert_true(kept > 10000);
}

static void a_line_that_is_too_long_is_cut_and_says_so(void **state)
{
    char message[LOG_MESSAGE_BYTES + 100];
    (void)state;
    for (int json = 0; json <= 1; json++) {
        log_json_set(json);
        memset(message, '"', sizeof message);
        message[sizeof message - 1] = '\0';
        log_info("%s", message);
        assert_true(strlen(taken()) <= PIPE_BUF);
        assert_int_equal(count_of(text, "\n"), 1);
        assert_non_null(strstr(text, json ? "...\"}\n" : "...\n"));
        message[LOG_MESSAGE_BYTES - 1] = '\0'; /* the longest that is not cut */
        log_info("%s", message);
        assert_null(strstr(taken(), "..."));
        assert_int_equal(count_of(text, "\""), LOG_MESSAGE_BYTES - 1 + json * 12);
    }
    /* The cut goes through a character. */
    memset(message, 'x', sizeof message);
    for (size_t i = LOG_MESSAGE_BYTES - 10; i < sizeof message - 2; i += 2) {
        memcpy(message + i, "\xc3\xa4", 2);
    }
    message[sizeof message - 1] = '\0';
    for (int shift = 0; shift < 2; shift++) {
        log_info("%s", message + shift);
        json_t *json = json_loads(taken(), 0, NULL);
        assert_non_null(json);
        json_decref(json);
    }
}

static void a_secret_prints_as_stars(void **state)
{
    char hidden[] = "hunter2";
    struct secret secret = {.hidden = hidden};
    struct secret none = {0};
    (void)state;
    log_info("password=%s, cluster_password=%s.", secret_shown(&secret), secret_shown(&none));
    assert_non_null(strstr(taken(), "password=***, cluster_password=.\n"));
    assert_null(strstr(text, "hunter2"));
}

/* --- repeats ---------------------------------------------------------------------------------- */

static void repeats_are_counted_and_told_before_the_next_line(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++) {
        log_warning("no quorum");
    }
    assert_int_equal(count_of(taken(), "no quorum"), 1);
    log_info("quorum");
    assert_matches(taken(), "^" STAMP " WARNING: the line before came again, repeats=4\n" STAMP
                            " INFO: quorum\n$");
    log_info("quorum at last");
    assert_int_equal(count_of(taken(), "\n"), 1);
}

static void another_level_or_another_word_is_no_repeat(void **state)
{
    (void)state;
    log_warning("same %d", 1);
    log_error("same %d", 1);
    log_error("same %d", 2);
    log_error("same %d", 1);
    assert_int_equal(count_of(taken(), "\n"), 4);
    assert_null(strstr(text, "repeats"));
}

static void a_line_that_goes_on_repeating_is_told_now_and_then(void **state)
{
    struct log_repeat repeat = {0};
    unsigned long untold = 77;
    unsigned told = 0;
    (void)state;
    for (int64_t now_ms = 5; now_ms < 5 + 3 * LOG_REPEAT_MS; now_ms += 100) {
        if (!log_repeat_note(&repeat, LOG_LEVEL_INFO, "again", now_ms, &untold)) {
            assert_int_equal(untold, told == 0 ? 0 : LOG_REPEAT_MS / 100 - 1);
            told++;
        }
    }
    assert_int_equal(told, 3);
    assert_false(log_repeat_note(&repeat, LOG_LEVEL_INFO, "other", 0, &untold));
    assert_int_equal(untold, LOG_REPEAT_MS / 100 - 1);
    assert_false(log_repeat_note(&repeat, LOG_LEVEL_INFO, "again", 0, &untold));
    assert_int_equal(untold, 0);
}

/* --- the sink --------------------------------------------------------------------------------- */

/* Until not one more byte of a line fits, whatever its size. Returns how many lines were lost. */
static unsigned fill(void)
{
    static unsigned number;
    char junk[4096] = {0};
    assert_int_equal(fcntl(STDERR_FILENO, F_SETFL, O_NONBLOCK), 0);
    while (write(STDERR_FILENO, junk, sizeof junk) > 0) {
    }
    assert_int_equal(fcntl(STDERR_FILENO, F_SETFL, 0), 0); /* from here on a write would block */
    for (unsigned i = 0; i < 3; i++) {
        log_info("lost %u", number++);
    }
    return 3;
}

static void drain(void)
{
    assert_int_equal(fcntl(sink[0], F_SETFL, O_NONBLOCK), 0);
    while (read(sink[0], text, PIPE_BYTES) > 0) {
    }
}

static void a_full_sink_loses_lines_and_their_number_is_told(void **state)
{
    (void)state;
    for (int json = 0; json <= 1; json++) {
        log_json_set(json);
        unsigned lost = fill();
        lost += fill(); /* losing more does not forget the first */
        drain();
        log_info("room again");
        char expected[64];
        (void)snprintf(expected, sizeof expected, "room again dropped_lines=%u%s", lost,
                       json ? "\"}" : "");
        assert_non_null(strstr(taken(), expected));
        log_info("once is enough");
        assert_null(strstr(taken(), "dropped_lines"));
    }
}

static void a_line_that_was_lost_is_not_taken_for_told(void **state)
{
    (void)state;
    (void)fill();
    log_error("disk full");
    drain();
    log_error("disk full");
    assert_non_null(strstr(taken(), "ERROR: disk full dropped_lines=4\n"));
    log_error("disk full");
    assert_string_equal(taken(), "");
}

static void a_long_line_gives_way_to_the_count_of_lost_ones(void **state)
{
    char message[LOG_MESSAGE_BYTES + 10];
    (void)state;
    memset(message, 'm', sizeof message);
    message[sizeof message - 1] = '\0';
    (void)fill();
    drain();
    log_info("%s", message);
    assert_non_null(strstr(taken(), "mmm dropped_lines=3\n"));
}

static void a_reader_that_went_away_stops_nothing(void **state)
{
    (void)state;
    int reader = dup(sink[0]);
    (void)close(sink[0]);
    (void)close(reader);
    log_info("nobody reads this");
    assert_int_equal(pipe2(sink, O_CLOEXEC), 0);
    assert_true(dup2(sink[1], STDERR_FILENO) >= 0);
    (void)close(sink[1]);
    log_info("somebody does");
    assert_non_null(strstr(taken(), "somebody does dropped_lines=1\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_line_has_time_level_and_message, setup, teardown),
        cmocka_unit_test_setup_teardown(only_the_wanted_levels_are_written, setup, teardown),
        cmocka_unit_test_setup_teardown(levels_are_known_by_pythons_names, setup, teardown),
        cmocka_unit_test_setup_teardown(a_json_line_is_an_object_of_patronis_fields, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_message_from_outside_makes_no_second_line, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_message_steers_no_terminal, setup, teardown),
        cmocka_unit_test(whatever_comes_in_is_valid_utf8_and_what_was_valid_stays),
        cmocka_unit_test_setup_teardown(a_line_that_is_too_long_is_cut_and_says_so, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_secret_prints_as_stars, setup, teardown),
        cmocka_unit_test_setup_teardown(repeats_are_counted_and_told_before_the_next_line, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(another_level_or_another_word_is_no_repeat, setup,
                                        teardown),
        cmocka_unit_test(a_line_that_goes_on_repeating_is_told_now_and_then),
        cmocka_unit_test_setup_teardown(a_full_sink_loses_lines_and_their_number_is_told, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_line_that_was_lost_is_not_taken_for_told, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_long_line_gives_way_to_the_count_of_lost_ones, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_reader_that_went_away_stops_nothing, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
