/* What a fence that stands still has left: found, and ended. */
#include "base/clock.h"
#include "pgctl/proc/pg_files.h"
#include "pgctl/proc/pg_remains.h"
#include "tests/harness/process.h"
#include "tests/harness/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[64];

static const char *in_dir(const char *name)
{
    static char paths[8][256];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, 256, "%s/%s", dir, name);
    return path;
}

static void wait_dead(pid_t pid)
{
    int64_t until_ms = clock_mono_ms(clock_real()) + 5000;
    while (pid_lives(pid) && clock_mono_ms(clock_real()) < until_ms) {
        usleep(1000);
    }
    assert_false(pid_lives(pid));
}

static pid_t sleeper_in(const char *where)
{
    int ready[2];
    char byte;
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork_in_test();
    if (pid == 0) {
        if (chdir(where) != 0 || write(ready[1], "", 1) != 1) {
            _exit(1);
        }
        for (;;) {
            (void)pause();
        }
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    (void)close(ready[0]);
    (void)close(ready[1]);
    return pid;
}

static size_t left_of(int32_t postmaster, int32_t fence, bool ends)
{
    struct pg_remains remains = {
        .data_dir = in_dir("pg"), .postmaster = postmaster, .fence = fence};
    struct error err = {0};
    struct pg_left left = {.count = 99};
    int rc = pg_remains_look(&remains, ends, &left, &err);
    if (rc != 0) {
        fail_msg("%s", err.text);
    }
    if (!ends) {
        assert_int_equal(left.headless, left.count > 0 && postmaster > 0 && !pid_lives(postmaster));
    }
    return left.count;
}

static void what_is_left_of_an_instance_is_found_by_place_and_parent(void **state)
{
    (void)state;
    assert_int_equal(left_of(0, 0, false), 0);
    pid_t inside = sleeper_in(in_dir("pg"));
    pid_t outside = sleeper_in("/");
    assert_int_equal(left_of(0, 0, false), 1);
    assert_int_equal(left_of(inside, 0, false), 1);
    assert_int_equal(left_of(0, getpid(), false), 2); /* an orphan is its fence's child */
    struct pg_remains ours = {.data_dir = in_dir("pg"), .postmaster = getpid()};
    struct pg_left left;
    struct error err;
    assert_int_equal(pg_remains_look(&ours, false, &left, &err), 0);
    assert_int_equal(left.count, 1); /* its postmaster's; but that one is not in its place */
    assert_int_equal(chdir(in_dir("pg")), 0);
    assert_int_equal(pg_remains_look(&ours, false, &left, &err), 0);
    assert_int_equal(left.count, 3);
    assert_int_equal(chdir("/"), 0);
    assert_true(pid_lives(inside) && pid_lives(outside));

    /* The postmaster last, and it cannot begin anything before. */
    assert_int_equal(left_of(inside, getpid(), true), 2);
    wait_dead(outside);
    assert_true(pid_lives(inside));
    assert_int_equal(left_of(inside, getpid(), true), 1);
    wait_dead(inside);
    /* Nobody has reaped them. */
    assert_int_equal(left_of(inside, getpid(), false), 0);
    pid_t orphan = sleeper_in(in_dir("pg"));
    assert_int_equal(left_of(inside, getpid(), false), 1);
    kill(orphan, SIGKILL);
    wait_dead(orphan);
    assert_int_equal(waitpid(orphan, NULL, 0), orphan);
    assert_int_equal(waitpid(inside, NULL, 0), inside);
    assert_int_equal(waitpid(outside, NULL, 0), outside);
}

/* In a child that may open nothing more. */
static void what_cannot_be_seen_is_not_gone(void **state)
{
    int status = -1;
    struct error err = {0};
    struct pg_left left;
    struct pg_remains nowhere = {.data_dir = in_dir("nowhere")};
    (void)state;
    assert_int_equal(pg_remains_look(&nowhere, false, &left, &err), ERR_NOT_FOUND);
    pid_t pid = fork();
    if (pid == 0) {
        const struct rlimit none = {0, 0};
        struct pg_remains remains = {.data_dir = in_dir("pg")};
        bool good = setrlimit(RLIMIT_NOFILE, &none) == 0 &&
                    pg_remains_look(&remains, false, &left, &err) != 0;
        _exit(good ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

enum { LOOKED_WELL, LOOKED_WRONG, CANNOT_HIDE };

/* What is another user's, in a /proc that says nothing of it but that it is there. */
static int look_where_others_are_hidden(void)
{
    struct pg_remains remains = {.data_dir = "/"};
    struct pg_left left;
    struct error err = {0};
    char text[16];
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("proc", "/proc", "proc", 0, "hidepid=1") != 0 || setgroups(0, NULL) != 0 ||
        setgid(65534) != 0 || setuid(65534) != 0) {
        return CANNOT_HIDE;
    }
    int fd = open("/proc/1/stat", O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && read(fd, text, sizeof text) > 0) {
        return CANNOT_HIDE;
    }
    if (pg_remains_look(&remains, false, &left, &err) == 0) {
        return LOOKED_WELL;
    }
    (void)fprintf(stderr, "%s\n", err.text);
    return LOOKED_WRONG;
}

static void what_is_hidden_is_none_of_the_instance(void **state)
{
    int status = -1;
    (void)state;
    pid_t pid = fork_in_test();
    if (pid == 0) {
        _exit(look_where_others_are_hidden());
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == CANNOT_HIDE) {
        skip();
    }
    assert_int_equal(status, LOOKED_WELL);
}

static void reap(pid_t pid)
{
    wait_dead(pid);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* A table of files that is full hides none that works there, and keeps nobody alive. */
static void without_descriptors_all_are_killed_that_work_there(void **state)
{
    int status = -1;
    (void)state;
    pid_t postmaster = sleeper_in(in_dir("pg"));
    pid_t backend = sleeper_in(in_dir("pg"));
    pid_t outside = sleeper_in("/");
    pid_t pid = fork_in_test();
    if (pid == 0) {
        const struct rlimit none = {0, 0};
        struct pg_remains remains = {
            .data_dir = in_dir("pg"), .postmaster = postmaster, .fence = getppid()};
        struct pg_left left;
        struct error err = {0};
        pg_remains_prepare();
        bool blind = setrlimit(RLIMIT_NOFILE, &none) == 0 &&
                     pg_remains_look(&remains, true, &left, &err) != 0;
        _exit(blind && strstr(err.text, "Too many open files") != NULL ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    reap(backend);
    reap(postmaster);
    assert_true(pid_lives(outside));
    kill(outside, SIGKILL);
    reap(outside);
}

/* And not even a look at /proc. */
static void postmaster_is_killed_where_nothing_else_is_seen(void **state)
{
    int status = -1;
    (void)state;
    pid_t postmaster = sleeper_in(in_dir("pg"));
    pid_t stranger = sleeper_in("/");
    for (int i = 0; i <= 1; i++) {
        pid_t pid = fork_in_test();
        if (pid == 0) {
            const struct rlimit none = {0, 0};
            struct pg_remains remains = {.data_dir = in_dir("pg"),
                                         .postmaster = i == 0 ? stranger : postmaster};
            struct pg_left left;
            struct error err = {0};
            bool blind = setrlimit(RLIMIT_NOFILE, &none) == 0 &&
                         pg_remains_look(&remains, true, &left, &err) != 0;
            _exit(blind ? 0 : 1);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        assert_true(i == 1 || pid_lives(postmaster));
    }
    reap(postmaster);
    assert_true(pid_lives(stranger));
    kill(stranger, SIGKILL);
    reap(stranger);
}

static void without_the_directory_children_of_the_fence_are_killed(void **state)
{
    struct pg_left left;
    struct error err = {0};
    (void)state;
    pid_t postmaster = sleeper_in("/");
    pid_t orphan = sleeper_in(in_dir("pg"));
    struct pg_remains remains = {
        .data_dir = in_dir("nowhere"), .postmaster = postmaster, .fence = getpid()};
    assert_int_equal(pg_remains_look(&remains, true, &left, &err), ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "nowhere"));
    reap(orphan);
    reap(postmaster);
}

static int look_in_new_proc(void)
{
    struct pg_remains remains = {.data_dir = in_dir("pg")};
    struct pg_left left = {0};
    struct error err = {0};
    if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("proc", "/proc", "proc", 0, NULL) != 0) {
        return CANNOT_HIDE;
    }
    int rc = pg_remains_look(&remains, false, &left, &err);
    if (rc == 0 && left.count == 1) {
        return LOOKED_WELL;
    }
    (void)fprintf(stderr, "%zu are left; %s\n", left.count, err.text);
    return LOOKED_WRONG;
}

/* In a namespace that its parent is not in. The first in it ends when all others are reaped. */
static int look_beside_one_whose_parent_is_outside(void)
{
    int begin[2];
    int said[2];
    char word = LOOKED_WRONG;
    if (unshare(CLONE_NEWPID | CLONE_NEWNS) != 0 || pipe(begin) != 0 || pipe(said) != 0) {
        return CANNOT_HIDE;
    }
    pid_t first = fork_in_test();
    if (first == 0) {
        word = read(begin[0], &word, 1) == 1 ? (char)look_in_new_proc() : LOOKED_WRONG;
        _exit(write(said[1], &word, 1) == 1 ? 0 : 1);
    }
    pid_t second = sleeper_in(in_dir("pg"));
    bool told = write(begin[1], "", 1) == 1 && read(said[0], &word, 1) == 1;
    kill(second, SIGKILL);
    (void)waitpid(second, NULL, 0);
    (void)waitpid(first, NULL, 0);
    return told ? word : LOOKED_WRONG;
}

static void one_whose_parent_is_outside_the_namespace_is_alive(void **state)
{
    int status = -1;
    (void)state;
    pid_t pid = fork_in_test();
    if (pid == 0) {
        _exit(look_beside_one_whose_parent_is_outside());
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == CANNOT_HIDE) {
        skip();
    }
    assert_int_equal(status, LOOKED_WELL);
}

static int make_dir(void **state)
{
    (void)state;
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
    scratch_make(dir, sizeof dir, "/tmp", "remains");
    return mkdir(in_dir("pg"), 0700) == 0 ? chdir("/") : -1;
}

static int remove_dir(void **state)
{
    struct error err;
    (void)state;
    int rc = pg_tree_clear(dir, &err);
    return rc == 0 ? rmdir(dir) : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_left_of_an_instance_is_found_by_place_and_parent),
        cmocka_unit_test(what_cannot_be_seen_is_not_gone),
        cmocka_unit_test(what_is_hidden_is_none_of_the_instance),
        cmocka_unit_test(without_descriptors_all_are_killed_that_work_there),
        cmocka_unit_test(postmaster_is_killed_where_nothing_else_is_seen),
        cmocka_unit_test(without_the_directory_children_of_the_fence_are_killed),
        cmocka_unit_test(one_whose_parent_is_outside_the_namespace_is_alive),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
