/* The file of the log, and those before it. */
#include "base/log_file.h"

#include "tests/harness/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char directory[256];
static struct log_file_settings settings;
static struct log_file file;

static const char *path_of(int number)
{
    static char path[320];
    (void)snprintf(path, sizeof path, number > 0 ? "%s/patroni.log.%d" : "%s/patroni.log",
                   directory, number);
    return path;
}

/* NULL: there is none. */
static const char *content(int number)
{
    static char text[4096];
    FILE *in = fopen(path_of(number), "r");
    if (in == NULL) {
        return NULL;
    }
    size_t len = fread(text, 1, sizeof text - 1, in);
    text[len] = '\0';
    (void)fclose(in);
    return text;
}

static int setup(void **state)
{
    (void)state;
    scratch_make(directory, sizeof directory, "/tmp", "log");
    settings = (struct log_file_settings){.mode = -1, .num = 3, .size_bytes = 20};
    (void)snprintf(settings.dir, sizeof settings.dir, "%s", directory);
    file.fd = -1;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    log_file_close(&file);
    for (int i = 0; i < 10; i++) {
        (void)remove(path_of(i));
    }
    return rmdir(directory);
}

static void open_it(void)
{
    struct error err = {0};
    if (log_file_open(&file, &settings, &err) != 0) {
        fail_msg("%s", err.text);
    }
}

static void put(const char *line)
{
    struct error err = {0};
    assert_int_equal(log_file_write(&file, line, strlen(line), &err), 0);
    assert_int_equal(err.code, 0);
}

static void files_are_moved_on_when_one_is_full(void **state)
{
    (void)state;
    open_it();
    put("aaaaaaaa\n");
    put("bbbbbbbb\n"); /* 18 */
    assert_null(content(1));
    put("cc\n"); /* would make 21 */
    assert_string_equal(content(0), "cc\n");
    assert_string_equal(content(1), "aaaaaaaa\nbbbbbbbb\n");
    put("a line that is longer than a whole file\n"); /* alone in one */
    assert_string_equal(content(2), "aaaaaaaa\nbbbbbbbb\n");
    assert_string_equal(content(1), "cc\n");
    put("d\n");
    put("0123456789012345\n");
    put("e\n");
    put("0123456789012345\n");
    assert_string_equal(content(0), "e\n0123456789012345\n");
    assert_string_equal(content(1), "d\n0123456789012345\n");
    assert_string_equal(content(3), "cc\n");
    assert_null(content(4)); /* three are kept */
}

static void a_file_that_is_there_is_gone_on_with(void **state)
{
    (void)state;
    open_it();
    put("aaaaaaaa\n");
    log_file_close(&file);
    open_it();
    put("bbbbbbbb\n");
    assert_string_equal(content(0), "aaaaaaaa\nbbbbbbbb\n");
    put("cc\n"); /* what was there counts */
    assert_string_equal(content(0), "cc\n");
}

static void without_older_ones_it_grows_for_ever(void **state)
{
    (void)state;
    settings.num = 0;
    open_it();
    put("aaaaaaaaaaaaaaaaaaaaaaaa\n");
    put("bbbbbbbbbbbbbbbbbbbbbbbb\n");
    assert_string_equal(content(0), "aaaaaaaaaaaaaaaaaaaaaaaa\nbbbbbbbbbbbbbbbbbbbbbbbb\n");
    assert_null(content(1));
}

static void expect_mode(unsigned mode)
{
    struct stat found;
    assert_int_equal(stat(path_of(0), &found), 0);
    assert_int_equal(found.st_mode & 07777, mode);
}

static void the_mode_is_set(void **state)
{
    (void)state;
    mode_t before = umask(027);
    open_it();
    expect_mode(0640);
    log_file_close(&file);
    settings.mode = 0666; /* umask does not matter then; one that is there gets it, too */
    open_it();
    expect_mode(0666);
    put("0123456789012345\n");
    put("0123456789012345\n"); /* and the next one */
    assert_non_null(content(1));
    expect_mode(0666);
    (void)umask(before);
}

static void what_cannot_be_opened_is_told(void **state)
{
    struct error err = {0};
    (void)state;
    (void)snprintf(settings.dir, sizeof settings.dir, "%s/none", directory);
    assert_int_equal(log_file_open(&file, &settings, &err), ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "log.dir: opening '"));
    assert_non_null(strstr(err.text, "/none/patroni.log': No such file or directory"));
    assert_int_equal(file.fd, -1);
    (void)snprintf(settings.dir, sizeof settings.dir, "%s", directory);
    assert_int_equal(mkfifo(path_of(0), 0600), 0); /* nobody reads it: it is not waited for */
    assert_true(log_file_open(&file, &settings, &err) != 0);
    assert_int_equal(file.fd, -1);
    assert_int_equal(unlink(path_of(0)), 0);
    assert_int_equal(mkdir(path_of(0), 0700), 0);
    assert_true(log_file_open(&file, &settings, &err) != 0);
    assert_int_equal(file.fd, -1);
}

static void files_that_cannot_be_moved_on_lose_no_line(void **state)
{
    struct error err = {0};
    char inside[400];
    (void)state;
    settings.num = 1;
    assert_int_equal(mkdir(path_of(1), 0700), 0); /* no file can be put over a directory */
    (void)snprintf(inside, sizeof inside, "%s/x", path_of(1));
    assert_int_equal(mkdir(inside, 0700), 0);
    open_it();
    put("aaaaaaaaaaaaaaaa\n");
    assert_int_equal(log_file_write(&file, "bbbbbbbb\n", 9, &err), 0);
    assert_int_not_equal(err.code, 0);
    assert_non_null(strstr(err.text, "log.dir: renaming '"));
    assert_string_equal(content(0), "aaaaaaaaaaaaaaaa\nbbbbbbbb\n");
    assert_int_equal(rmdir(inside), 0);
    assert_int_equal(rmdir(path_of(1)), 0);
    put("cccccccc\n"); /* it has grown by an eighth: tried again */
    assert_string_equal(content(0), "cccccccc\n");
    assert_string_equal(content(1), "aaaaaaaaaaaaaaaa\nbbbbbbbb\n");
}

/* As when the disk is full in the middle of a line. */
static void a_line_that_does_not_fit_leaves_nothing_of_it(void **state)
{
    struct rlimit before;
    struct error err = {0};
    (void)state;
    settings.num = 0;
    open_it();
    put("aaaaaaaaaaaaaaaa\n");
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    struct rlimit small = {.rlim_cur = 20, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    int rc = log_file_write(&file, "bbbbbbbb\n", 9, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_not_equal(rc, 0);
    assert_non_null(strstr(err.text, "log.dir: writing to '"));
    put("cc\n");
    assert_string_equal(content(0), "aaaaaaaaaaaaaaaa\ncc\n");
}

#define FILE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FILE_TEST(files_are_moved_on_when_one_is_full),
        FILE_TEST(a_file_that_is_there_is_gone_on_with),
        FILE_TEST(without_older_ones_it_grows_for_ever),
        FILE_TEST(the_mode_is_set),
        FILE_TEST(what_cannot_be_opened_is_told),
        FILE_TEST(files_that_cannot_be_moved_on_lose_no_line),
        FILE_TEST(a_line_that_does_not_fit_leaves_nothing_of_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
