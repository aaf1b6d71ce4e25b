/* The log with its file: reloads under load, what the file does not take, how many lines wait, and
 * the journal. Each child is a process that logs, standard error a pipe to the test. */
#include "base/log_sink.h"

#include "base/log.h"
#include "base/log_repeat.h"
#include "base/log_settings.h"
#include "tests/harness/process.h"
#include "tests/harness/scratch.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { TEXT_BYTES = 1 << 20, LINES = 400 };

static char directory[256];
static struct log_settings settings;
static char text[TEXT_BYTES];

static bool disk_stands_still;

/* In place of the system's: the log's thread opens its file by it. */
int open(const char *path, int flags, ...);
int open(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = (flags & O_CREAT) != 0 ? va_arg(args, mode_t) : 0;
    va_end(args);
    while (__atomic_load_n(&disk_stands_still, __ATOMIC_SEQ_CST) && strstr(path, "patroni.log")) {
        (void)usleep(2000);
    }
    return openat(AT_FDCWD, path, flags, mode);
}

static int setup(void **state)
{
    (void)state;
    scratch_make(directory, sizeof directory, "/tmp", "sink");
    log_settings_init(&settings);
    settings.file.size_bytes = 1 << 20;
    settings.queue_max = 100000;
    (void)snprintf(settings.file.dir, sizeof settings.file.dir, "%s", directory);
    return 0;
}

static void remove_below(const char *name)
{
    char path[400];
    (void)snprintf(path, sizeof path, "%s/%s", directory, name);
    (void)remove(path);
}

static int teardown(void **state)
{
    char name[40];
    (void)state;
    remove_below("b/patroni.log");
    remove_below("b");
    remove_below("moved");
    remove_below("patroni.log");
    for (int i = 1; i < 40; i++) {
        (void)snprintf(name, sizeof name, "patroni.log.%d", i);
        remove_below(name);
    }
    return rmdir(directory);
}

static const char *content(const char *name)
{
    char path[400];
    (void)snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *in = fopen(path, "r");
    size_t len = in == NULL ? 0 : fread(text, 1, sizeof text - 1, in);
    text[len] = '\0';
    if (in != NULL) {
        (void)fclose(in);
    }
    return text;
}

static size_t lines_in(const char *of)
{
    size_t count = 0;
    for (; *of != '\0'; of++) {
        count += *of == '\n';
    }
    return count;
}

/* Runs `tell` in a child that logs by `settings`; what it said to standard error. */
static const char *said_by(void (*tell)(void))
{
    static char said[TEXT_BYTES];
    int pair[2];
    size_t len = 0;
    ssize_t got;
    int status = -1;
    assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
    pid_t pid = fork_in_test();
    if (pid == 0) {
        (void)dup2(pair[1], STDERR_FILENO);
        log_configure(&settings);
        assert_int_equal(log_start_writer(), 0);
        tell();
        exit(7);
    }
    (void)close(pair[1]);
    while ((got = read(pair[0], said + len, sizeof said - 1 - len)) > 0) {
        len += (size_t)got;
    }
    said[len] = '\0';
    (void)close(pair[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    return said;
}

static void tell_two(void)
{
    log_info("one");
    log_error("two");
}

static void lines_go_to_the_file_alone(void **state)
{
    (void)state;
    assert_string_equal(said_by(tell_two), "");
    assert_int_equal(lines_in(content("patroni.log")), 2);
    assert_non_null(strstr(text, " INFO: one\n"));
    assert_non_null(strstr(text, " ERROR: two\n"));
}

/* Every 50 lines another format or another file, and back. */
static void tell_and_reload(void)
{
    struct log_settings other = settings;
    struct error err = {0};
    log_format_init(&other.format, true);
    assert_int_equal(log_format_parse(&other.format, "%(message)s", &err), 0);
    (void)snprintf(other.file.dir, sizeof other.file.dir, "%s/b", directory);
    for (int i = 0; i < LINES; i++) {
        if (i % 50 == 0) {
            log_configure(i % 100 == 0 ? &settings : &other);
        }
        log_info("line %d.", i);
    }
}

static void a_reload_in_the_middle_loses_no_line(void **state)
{
    char path[400];
    bool seen[LINES] = {false};
    (void)state;
    (void)snprintf(path, sizeof path, "%s/b", directory);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_string_equal(said_by(tell_and_reload), "");
    for (int both = 0; both < 2; both++) {
        const char *at = content(both == 0 ? "patroni.log" : "b/patroni.log");
        assert_non_null(strstr(at, both == 0 ? "line 0." : "line 50."));
        assert_null(strstr(at, both == 0 ? "line 50." : "line 0."));
        for (; (at = strstr(at, "line ")) != NULL; at++) {
            int number = -1;
            assert_int_equal(sscanf(at, "line %d.", &number), 1);
            assert_true(number >= 0 && number < LINES && !seen[number]);
            seen[number] = true;
        }
    }
    for (int i = 0; i < LINES; i++) {
        assert_true(seen[i]);
    }
}

static void tell_many(void)
{
    for (int i = 0; i < LINES; i++) {
        log_info("line %d.", i);
    }
}

static void every_line_is_in_one_of_the_files(void **state)
{
    char name[40];
    int next = LINES - 1;
    (void)state;
    settings.file.size_bytes = 1000;
    settings.file.num = 39;
    assert_string_equal(said_by(tell_many), "");
    for (int i = 0; next >= 0; i++) { /* the newest lines are in the first of them */
        (void)snprintf(name, sizeof name, i == 0 ? "patroni.log" : "patroni.log.%d", i);
        size_t lines = lines_in(content(name));
        assert_in_range(strlen(text), 1, 999);
        next -= (int)lines;
        const char *at = text;
        for (size_t line = 1; line <= lines; line++, at = strchr(at, '\n') + 1) {
            int number = -1;
            assert_int_equal(sscanf(strstr(at, "line "), "line %d.", &number), 1);
            assert_int_equal(number, next + (int)line);
        }
    }
    assert_int_equal(next, -1);
}

static void tell_and_move(void)
{
    char from[400];
    char to[400];
    log_info("before");
    (void)log_flush(5000);
    (void)snprintf(from, sizeof from, "%s/patroni.log", directory);
    (void)snprintf(to, sizeof to, "%s/moved", directory);
    assert_int_equal(rename(from, to), 0);
    log_info("between");
    (void)log_flush(5000);
    log_configure(&settings);
    log_info("after");
}

/* As logrotate does it. */
static void a_reload_opens_a_file_that_was_moved_away_anew(void **state)
{
    (void)state;
    assert_string_equal(said_by(tell_and_move), "");
    assert_int_equal(lines_in(content("moved")), 2);
    assert_non_null(strstr(text, "between\n"));
    assert_int_equal(lines_in(content("patroni.log")), 1);
    assert_non_null(strstr(text, "after\n"));
}

static void tell_with_flush(void)
{
    log_info("one");
    (void)log_flush(5000);
    log_info("two");
}

static void what_has_no_file_goes_to_standard_error_and_it_is_told(void **state)
{
    (void)state;
    (void)snprintf(settings.file.dir, sizeof settings.file.dir, "%s/none", directory);
    const char *said = said_by(tell_with_flush);
    assert_non_null(strstr(said, " INFO: one\n"));
    assert_non_null(strstr(said, " WARNING: log.dir: opening '"));
    assert_non_null(strstr(said, "No such file or directory; lines that do not get there"));
    assert_non_null(strstr(said, " INFO: two\n"));
}

static void tell_and_misdirect(void)
{
    struct log_settings bad = settings;
    (void)snprintf(bad.file.dir, sizeof bad.file.dir, "%s/none", directory);
    log_info("one");
    log_configure(&bad);
    log_info("two");
    (void)log_flush(5000);
    log_info("three");
}

static void a_bad_directory_leaves_the_file_of_before_in_use(void **state)
{
    (void)state;
    assert_string_equal(said_by(tell_and_misdirect), "");
    assert_int_equal(lines_in(content("patroni.log")), 4);
    assert_non_null(strstr(text, "INFO: two\n"));
    assert_non_null(strstr(text, "WARNING: log.dir: opening '"));
}

static void tell_with_a_full_disk(void)
{
    struct rlimit small = {.rlim_cur = 100, .rlim_max = RLIM_INFINITY};
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    for (int i = 0; i < 5; i++) {
        log_info("line %d", i);
        (void)log_flush(5000);
    }
}

static void what_the_disk_does_not_take_goes_to_standard_error(void **state)
{
    (void)state;
    const char *said = said_by(tell_with_a_full_disk);
    size_t there = lines_in(content("patroni.log"));
    assert_true(there >= 1 && there < 5);
    assert_int_equal(text[strlen(text) - 1], '\n');
    assert_non_null(strstr(said, "WARNING: log.dir: writing to '"));
    assert_null(strstr(strstr(said, "log.dir: writing to '") + 1, "log.dir: writing")); /* once */
    assert_int_equal(lines_in(said) + there, 6);
}

/* Nobody reads standard error, so that the thread waits in it with the first of the lines. */
static void tell_into_a_full_pipe(int ready)
{
    char junk[4096] = {0};
    (void)log_flush(5000);
    (void)fcntl(STDERR_FILENO, F_SETFL, O_NONBLOCK);
    while (write(STDERR_FILENO, junk, sizeof junk) > 0) {
    }
    for (int i = 0; i < 60; i++) {
        log_info("line %d", i);
    }
    (void)!write(ready, "!", 1);
    (void)log_flush(5000);
    log_info("room again");
    exit(7);
}

static void no_more_lines_wait_than_are_asked_for(void **state)
{
    int pair[2];
    int ready[2];
    int status = -1;
    unsigned lost = 0;
    char word;
    (void)state;
    settings.file.dir[0] = '\0';
    settings.queue_max = 10;
    assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    pid_t pid = fork_in_test();
    if (pid == 0) {
        (void)dup2(pair[1], STDERR_FILENO);
        log_configure(&settings);
        assert_int_equal(log_start_writer(), 0);
        tell_into_a_full_pipe(ready[1]);
    }
    (void)close(pair[1]);
    assert_int_equal(read(ready[0], &word, 1), 1);
    size_t len = 0;
    ssize_t got;
    while ((got = read(pair[0], text + len, sizeof text - 1 - len)) > 0) {
        len += (size_t)got;
    }
    text[len] = '\0';
    const char *lines = memchr(text, '2', len); /* behind the junk, which is zeros */
    assert_non_null(lines);
    const char *last = strstr(lines, "room again dropped_lines=");
    assert_non_null(last);
    assert_int_equal(sscanf(last, "room again dropped_lines=%u", &lost), 1);
    assert_int_equal(lost, 50);
    assert_int_equal(lines_in(lines), 11);
    (void)close(pair[0]);
    (void)close(ready[0]);
    (void)close(ready[1]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WEXITSTATUS(status), 7);
}

static void tell_to_the_journal(void)
{
    char stream[64];
    struct stat own;
    assert_int_equal(fstat(STDERR_FILENO, &own), 0);
    (void)snprintf(stream, sizeof stream, "%llu:%llu", (unsigned long long)own.st_dev,
                   (unsigned long long)own.st_ino);
    (void)setenv("JOURNAL_STREAM", stream, 1);
    log_sink_look_for_journal();
    log_error("one");
    log_warning("two");
    log_info("three");
}

static void the_journal_gets_the_level(void **state)
{
    (void)state;
    settings.file.dir[0] = '\0';
    const char *said = said_by(tell_to_the_journal);
    assert_int_equal(lines_in(said), 3);
    assert_memory_equal(said, "<3>2", 4);
    assert_non_null(strstr(said, "ERROR: one\n<4>2"));
    assert_non_null(strstr(said, "WARNING: two\n<6>2"));
}

/* --- too many --------------------------------------------------------------------------------- */

static void a_flood_is_held_back_and_told_and_hides_no_error(void **state)
{
    struct log_rate rate = {0};
    int taken = 0;
    (void)state;
    for (int i = 0; i < 1000; i++) {
        taken += log_rate_take(&rate, 5000);
    }
    assert_int_equal(taken, LOG_RATE_BURST);
    assert_int_equal(log_rate_take_held_back(&rate), 1000 - LOG_RATE_BURST);
    assert_int_equal(log_rate_take_held_back(&rate), 0);
    assert_false(log_rate_take(&rate, 5000 + 1000 / LOG_RATE_PER_S - 1));
    assert_true(log_rate_take(&rate, 5000 + 1000 / LOG_RATE_PER_S));
    assert_false(log_rate_take(&rate, 5000 + 1000 / LOG_RATE_PER_S));
    taken = 0; /* for ten seconds a line each millisecond, after an hour of silence */
    for (int64_t ms = 3600000; ms < 3610000; ms++) {
        taken += log_rate_take(&rate, ms);
    }
    assert_in_range(taken, LOG_RATE_BURST + 10 * LOG_RATE_PER_S - 1,
                    LOG_RATE_BURST + 10 * LOG_RATE_PER_S + 1);
    assert_false(log_rate_take(&rate, 3609000)); /* a clock that goes back gives nothing */
}

static void tell_a_flood(void)
{
    for (int i = 0; i < 4 * LOG_RATE_BURST; i++) {
        log_info("line %d", i);
    }
    log_error("an error all the same");
    (void)usleep(100000);
    log_info("later");
}

static void the_log_bounds_its_rate(void **state)
{
    static const char words[] = "WARNING: more than 100 lines a second: ";
    unsigned held_back = 0;
    (void)state;
    assert_string_equal(said_by(tell_a_flood), "");
    const char *note = strstr(content("patroni.log"), words);
    assert_non_null(note);
    for (; note != NULL; note = strstr(note + 1, words)) { /* of each second that the flood takes */
        held_back += (unsigned)strtoul(note + strlen(words), NULL, 10);
    }
    assert_in_range(held_back, 1, 3 * LOG_RATE_BURST);
    assert_non_null(strstr(text, "ERROR: an error all the same\n"));
    assert_int_equal(lines_in(text) + held_back, 4 * LOG_RATE_BURST + 3);
}

static void tell_where_it_is(void)
{
    char why[LOG_FILE_WHY_BYTES];
    struct log_settings bad = settings;
    assert_int_equal(log_file_wait(5000, why), LOG_FILE_OPEN);
    __atomic_store_n(&disk_stands_still, true, __ATOMIC_SEQ_CST);
    log_configure(&settings);
    assert_int_equal(log_file_wait(20, why), LOG_FILE_UNANSWERED);
    log_info("meanwhile");
    __atomic_store_n(&disk_stands_still, false, __ATOMIC_SEQ_CST);
    assert_int_equal(log_file_wait(5000, why), LOG_FILE_OPEN);
    (void)snprintf(bad.file.dir, sizeof bad.file.dir, "%s/none", directory);
    log_configure(&bad);
    assert_int_equal(log_file_wait(5000, why), LOG_FILE_REFUSED);
    assert_non_null(strstr(why, "log.dir: opening '"));
}

static void whether_the_file_is_open_is_known_in_time(void **state)
{
    (void)state;
    assert_string_equal(said_by(tell_where_it_is), "");
    assert_non_null(strstr(content("patroni.log"), " INFO: meanwhile\n"));
}

#define SINK_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SINK_TEST(lines_go_to_the_file_alone),
        SINK_TEST(a_reload_in_the_middle_loses_no_line),
        SINK_TEST(every_line_is_in_one_of_the_files),
        SINK_TEST(a_reload_opens_a_file_that_was_moved_away_anew),
        SINK_TEST(what_has_no_file_goes_to_standard_error_and_it_is_told),
        SINK_TEST(a_bad_directory_leaves_the_file_of_before_in_use),
        SINK_TEST(what_the_disk_does_not_take_goes_to_standard_error),
        SINK_TEST(no_more_lines_wait_than_are_asked_for),
        SINK_TEST(the_journal_gets_the_level),
        SINK_TEST(a_flood_is_held_back_and_told_and_hides_no_error),
        SINK_TEST(the_log_bounds_its_rate),
        SINK_TEST(whether_the_file_is_open_is_known_in_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
