/* What pg_basebackup tells of its progress. */
#include "pgctl/pg_parse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static bool parse(const char *line, struct pg_copy_progress *ret_progress)
{
    return pg_copy_progress_parse(span_of(line, strlen(line)), ret_progress);
}

static void a_line_says_how_much_of_how_much(void **state)
{
    static const struct {
        const char *line;
        int percent;
        uint64_t kib;
        uint64_t total_kib;
    } lines[] = {
        {"    0/23189 kB (0%), 0/1 tablespace", 0, 0, 23189},
        {"12345/67890 kB (18%), 0/1 tablespace", 18, 12345, 67890},
        {"12345/67890 kB (18%), 1/3 tablespaces", 18, 12345, 67890},
        {"23198/23198 kB (100%), 1/1 tablespace                                         ", 100,
         23198, 23198},
        {"12345/67890 kB (18%), 0/1 tablespace (/var/lib/data/base/1/1259)", 18, 12345, 67890},
        {"12345/67890 kB (18%), 0/1 tablespace (...99%), 9/9 tablespaces)", 18, 12345, 67890},
        {"9007199254740991/9007199254740991 kB (100%), 1/1 tablespace", 100, INT64_MAX / 1024,
         INT64_MAX / 1024},
        {"0/0 kB (0%), 0/0 tablespaces", 0, 0, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct pg_copy_progress progress;
        assert_true(parse(lines[i].line, &progress));
        assert_int_equal(progress.percent, lines[i].percent);
        assert_true(progress.bytes == 1024 * lines[i].kib);
        assert_true(progress.total_bytes == 1024 * lines[i].total_kib);
    }
}

static void anything_else_is_none(void **state)
{
    static const char *const bad[] = {
        "",
        "   ",
        "waiting for checkpoint",
        "pg_basebackup: error: could not receive data from WAL stream",
        "/67890 kB (18%), 0/1 tablespace",
        "12345 /67890 kB (18%), 0/1 tablespace",
        "-1/67890 kB (18%), 0/1 tablespace",
        "12345/ kB (18%), 0/1 tablespace",
        "12345/67890 MB (18%), 0/1 tablespace",
        "12345/67890 kB (%), 0/1 tablespace",
        "12345/67890 kB (101%), 0/1 tablespace",
        "12345/67890 kB (18%), 0 tablespace",
        "12345/67890 kB (18%), 0/4294967296 tablespaces",
        "12345/67890 kB (18%), 0/1 tables",
        "12345/67890 kB (18%), 0/1 tablespacer",
        "67891/67890 kB (100%), 0/1 tablespace",
        "0/9007199254740992 kB (0%), 0/1 tablespace",
        "0/99999999999999999999 kB (0%), 0/1 tablespace",
        "12345/67890 kB (18%), 0/1 tablespace\n",
        "x12345/67890 kB (18%), 0/1 tablespace",
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct pg_copy_progress progress = {.percent = 77};
        if (parse(bad[i], &progress)) {
            fail_msg("'%s' is taken for progress", bad[i]);
        }
        assert_int_equal(progress.percent, 77); /* nothing was set */
    }
}

static void a_line_that_is_cut_anywhere_is_none(void **state)
{
    static const char line[] = "  12345/67890 kB (18%), 0/1 tablespace";
    (void)state;
    for (size_t len = 0; len < strlen(line); len++) {
        struct pg_copy_progress progress;
        assert_false(pg_copy_progress_parse(span_of(line, len), &progress));
    }
}

static void the_wait_for_a_checkpoint_is_told_apart(void **state)
{
    (void)state;
    assert_true(pg_copy_is_waiting(span_str("waiting for checkpoint")));
    assert_false(pg_copy_is_waiting(span_str("waiting for checkpoints")));
    assert_false(pg_copy_is_waiting(span_str("waiting")));
    assert_false(pg_copy_is_waiting(span_str("")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_says_how_much_of_how_much),
        cmocka_unit_test(anything_else_is_none),
        cmocka_unit_test(a_line_that_is_cut_anywhere_is_none),
        cmocka_unit_test(the_wait_for_a_checkpoint_is_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
