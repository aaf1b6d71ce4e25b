/* What counts as a program that passed (tests/harness/run_tests.sh): one that says so to its end.
 */
#include "tests/harness/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define RUNNER  "tests/harness/run_tests.sh" /* tests run in the tree's root */
#define BEGINS  "echo '[==========] Running 1 test(s).'\n"
#define ENDS    "echo '[==========] 1 test(s) run.'\n"
#define OK      "echo '[ RUN      ] a'; echo '[       OK ] a'\n"
#define FAILED  "echo '[  FAILED  ] a'\n"
#define SKIPPED "echo '[  SKIPPED ] a'\n"

/* As Debian 13's cmocka has them. */
#define BEGINS_13 "echo '[==========] tests: Running 1 test(s).'\n"
#define ENDS_13   "echo '[==========] tests: 1 test(s) run.'\n"

static char contain[512];
static char dir[64];

static int sh(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static int sh(const char *fmt, ...)
{
    char command[2048];
    va_list args;
    va_start(args, fmt);
    vsnprintf(command, sizeof command, fmt, args);
    va_end(args);
    int status = system(command);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void put_program(const char *room, const char *script)
{
    char path[128];
    assert_int_equal(sh("mkdir -p %s/%s", dir, room), 0);
    snprintf(path, sizeof path, "%s/%s/test_x", dir, room);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, "#!/bin/sh\n%s", script);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, 0700), 0);
}

static void counts_are(const char *expected)
{
    char path[128];
    char line[64] = "";
    snprintf(path, sizeof path, "%s/counts.try", dir);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_non_null(fgets(line, sizeof line, file));
    fclose(file);
    line[strcspn(line, "\n")] = '\0';
    assert_string_equal(line, expected);
}

static int run_one(const char *script, const char *ci)
{
    put_program("room", script);
    return sh("CI=%s %s %s try %s/room/test_x >/dev/null", ci, RUNNER, dir, dir);
}

static void only_what_comes_to_its_end_has_passed(void **state)
{
    static const struct {
        const char *script;
        const char *counts; /* passed, failed, skipped */
    } programs[] = {
        {BEGINS OK ENDS, "1 0 0"},
        {BEGINS OK ENDS BEGINS OK ENDS, "2 0 0"},
        {BEGINS SKIPPED ENDS SKIPPED, "0 0 1"},
        {BEGINS OK FAILED ENDS FAILED "exit 1", "1 1 0"},
        {BEGINS OK FAILED ENDS FAILED, "1 1 0"},
        {BEGINS OK ENDS "exit 1", "1 1 0"},     /* in its teardown */
        {BEGINS OK ENDS "kill -9 $$", "1 1 0"}, /* a leak, by a sanitizer */
        {BEGINS OK, "1 1 0"},                   /* exit(0) within a test */
        {BEGINS OK ENDS BEGINS OK, "2 1 0"},
        {BEGINS_13 OK ENDS_13 BEGINS_13 OK ENDS_13, "2 0 0"},
        {BEGINS_13 OK, "1 1 0"},
        {BEGINS_13 OK ENDS_13 BEGINS_13 OK, "2 1 0"},
        {"", "0 1 0"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof programs / sizeof programs[0]; i++) {
        bool passes = strstr(programs[i].counts, " 0 ") != NULL;
        assert_int_equal(run_one(programs[i].script, ""), passes ? 0 : 1);
        counts_are(programs[i].counts);
    }
}

static void where_all_is_there_a_skipped_test_is_a_failure(void **state)
{
    (void)state;
    assert_int_equal(run_one(BEGINS SKIPPED ENDS SKIPPED, "true"), 1);
    counts_are("0 1 1");
}

static void programs_of_one_name_are_counted_both(void **state)
{
    (void)state;
    put_program("room", BEGINS OK ENDS);
    put_program("other", BEGINS FAILED ENDS FAILED);
    assert_int_equal(
        sh("%s %s try %s/room/test_x %s/other/test_x >/dev/null", RUNNER, dir, dir, dir), 1);
    counts_are("1 1 0");
}

/* In one tree, by two people: none removes what the other counts. */
static void two_runs_at_once_both_count(void **state)
{
    (void)state;
    put_program("slow", BEGINS "sleep 0.3\n" OK ENDS);
    put_program("quick", BEGINS OK ENDS);
    assert_int_equal(sh("%s %s try %s/slow/test_x >/dev/null & first=$!\n"
                        "sleep 0.1; %s %s try %s/quick/test_x >/dev/null; second=$?\n"
                        "wait $first && exit $second",
                        RUNNER, dir, dir, RUNNER, dir, dir),
                     0);
    counts_are("1 0 0");
}

static int setup(void **state)
{
    (void)state;
    scratch_make(dir, sizeof dir, "/tmp", "run");
    return sh("ln -s '%s' %s/contain", contain, dir);
}

static int teardown(void **state)
{
    (void)state;
    return sh("rm -r %s", dir);
}

int main(void)
{
#define IN_DIR(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        IN_DIR(only_what_comes_to_its_end_has_passed),
        IN_DIR(where_all_is_there_a_skipped_test_is_a_failure),
        IN_DIR(programs_of_one_name_are_counted_both),
        IN_DIR(two_runs_at_once_both_count),
    };
    /* .../tests/unit/base/test_run_tests -> .../contain */
    char *self = realpath("/proc/self/exe", NULL);
    for (int i = 0; self != NULL && i < 4; i++) {
        *strrchr(self, '/') = '\0';
    }
    snprintf(contain, sizeof contain, "%s/contain", self == NULL ? "" : self);
    free(self);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
