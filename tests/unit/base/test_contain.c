/* What a test leaves behind ends with it (tests/harness/contain.c): processes that ran away into
 * sessions of their own, and directories, however the test has ended. */
#include "tests/harness/process.h"
#include "tests/harness/scratch.h"

#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { BOUND_MS = 20000, LOOK_MS = 5 }; /* of every wait: red, not slow */

static char contain[512];
static char dir[128];

/* Runs away, makes a directory that nobody removes, and tells of both. */
#define LEAVES                                                               \
    "cd %s; left=$(mktemp -d /tmp/pgquorum-x.$" SCRATCH_MARK "-XXXXXX)\n"    \
    "mkdir -p $left/a/b; touch $left/a/file; ln -s /etc $left/a/link\n"      \
    "setsid sleep 1000 & echo $! > pid; echo $left > left; mv pid runaway\n" \
    "readlink /proc/self/ns/ipc > ipc\n"

static void read_line(const char *name, char *ret_line, size_t size)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *file = fopen(path, "r");
    ret_line[0] = '\0';
    if (file != NULL) {
        if (fgets(ret_line, (int)size, file) != NULL) {
            ret_line[strcspn(ret_line, "\n")] = '\0';
        }
        fclose(file);
    }
}

static pid_t runaway(void)
{
    char line[32];
    read_line("runaway", line, sizeof line);
    return (pid_t)strtol(line, NULL, 10);
}

static bool is_there(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

static bool left_is_there(void)
{
    char path[256];
    read_line("left", path, sizeof path);
    assert_true(strlen(path) > strlen("/tmp/pgquorum-x"));
    return is_there(path);
}

static void look_again(int *looks)
{
    struct timespec pause = {.tv_nsec = LOOK_MS * 1000000L};
    assert_true(++*looks < BOUND_MS / LOOK_MS);
    nanosleep(&pause, NULL);
}

/* The script with LEAVES in front of it; what is said goes to "said". */
static pid_t contain_start(const char *seconds, const char *script)
{
    char text[1024];
    char said[256];
    int len = snprintf(text, sizeof text, LEAVES, dir);
    snprintf(text + len, sizeof text - (size_t)len, "%s", script);
    snprintf(said, sizeof said, "%s/said", dir);
    pid_t pid = fork();
    if (pid == 0) {
        if (freopen(said, "w", stderr) == NULL) {
            _exit(1);
        }
        execl(contain, contain, seconds, "/bin/sh", "-c", text, (char *)NULL);
        _exit(1);
    }
    return pid;
}

static int contain_end(pid_t pid)
{
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void await_runaway(void)
{
    for (int looks = 0; runaway() == 0;) {
        look_again(&looks);
    }
    assert_true(pid_lives(runaway()));
    assert_true(left_is_there());
}

static void what_a_program_left_is_gone_with_its_end(void **state)
{
    static const struct {
        const char *script;
        int status;
    } ends[] = {{"exit 0", 0}, {"exit 3", 3}, {"kill -9 $$", 128 + SIGKILL}};
    char said[256];
    (void)state;
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        assert_int_equal(contain_end(contain_start("60", ends[i].script)), ends[i].status);
        assert_true(runaway() > 0);
        assert_false(pid_lives(runaway()));
        assert_false(left_is_there());
        read_line("said", said, sizeof said);
        assert_non_null(strstr(said, ", 1 processes left behind, 1 directories left behind"));
    }
    assert_true(is_there("/etc/passwd")); /* a link is not followed */
}

static void a_time_limit_ends_the_program_and_all_it_left(void **state)
{
    char said[256];
    (void)state;
    assert_int_equal(contain_end(contain_start("2", "sleep 1000")), 124);
    assert_false(pid_lives(runaway()));
    assert_false(left_is_there());
    read_line("said", said, sizeof said);
    assert_non_null(strstr(said, "too long, "));
}

static void a_signal_ends_the_program_and_all_it_left(void **state)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
    (void)state;
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        char path[256];
        snprintf(path, sizeof path, "%s/runaway", dir);
        (void)unlink(path);
        pid_t pid = contain_start("60", "sleep 1000");
        await_runaway();
        assert_int_equal(kill(pid, signals[i]), 0);
        assert_int_equal(contain_end(pid), 125);
        assert_false(pid_lives(runaway()));
        assert_false(left_is_there());
    }
}

/* The runner was killed: nobody is there any more to wait for it. */
static void the_death_of_who_started_it_ends_all(void **state)
{
    (void)state;
    pid_t runner = fork();
    if (runner == 0) {
        (void)contain_start("60", "sleep 1000");
        for (;;) {
            pause();
        }
    }
    await_runaway();
    assert_int_equal(kill(runner, SIGKILL), 0);
    assert_int_equal(waitpid(runner, NULL, 0), runner);
    for (int looks = 0; pid_lives(runaway()) || left_is_there();) {
        look_again(&looks);
    }
}

static void what_bears_no_mark_or_another_stays(void **state)
{
    static const char *const scripts[] = {
        "echo /tmp/pgquorum-x.1$" SCRATCH_MARK "-XXXXXX > other; mkdir $(cat other)",
        "echo /tmp/pgquorum-x.${" SCRATCH_MARK "}1-XXXXXX > other; mkdir $(cat other)",
        "echo /tmp/other-x.$" SCRATCH_MARK "-XXXXXX > other; mkdir $(cat other)"};
    (void)state;
    for (size_t i = 0; i < sizeof scripts / sizeof scripts[0]; i++) {
        char other[256];
        assert_int_equal(contain_end(contain_start("60", scripts[i])), 0);
        read_line("other", other, sizeof other);
        assert_int_equal(rmdir(other), 0);
        assert_false(left_is_there());
    }
}

static void may_make_namespace(void)
{
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        _exit(unshare(CLONE_NEWIPC | CLONE_NEWNS) == 0 &&
                      mount(NULL, "/dev/shm", NULL, MS_PRIVATE, NULL) == 0
                  ? 0
                  : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (status != 0) {
        skip();
    }
}

static void shared_memory_is_the_programs_own(void **state)
{
    char ours[64] = "";
    char its[64];
    (void)state;
    may_make_namespace();
    assert_true(readlink("/proc/self/ns/ipc", ours, sizeof ours - 1) > 0);
    assert_int_equal(
        contain_end(contain_start("60", "mktemp /dev/shm/pgquorum-x.XXXXXX > shared; exit 0")), 0);
    read_line("shared", its, sizeof its);
    assert_int_equal(strncmp(its, "/dev/shm/", strlen("/dev/shm/")), 0);
    assert_false(is_there(its));
    read_line("ipc", its, sizeof its);
    assert_int_equal(strncmp(its, "ipc:", 4), 0);
    assert_string_not_equal(its, ours);
}

static void what_cannot_be_run_is_told(void **state)
{
    int status = -1;
    (void)state;
    pid_t pid = fork();
    if (pid == 0) {
        if (freopen("/dev/null", "w", stderr) == NULL) {
            _exit(1);
        }
        execl(contain, contain, "60", "/nowhere/program", (char *)NULL);
        _exit(1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WEXITSTATUS(status), 127);
}

static int setup(void **state)
{
    (void)state;
    scratch_make(dir, sizeof dir, "/tmp", "contain");
    return 0;
}

static int teardown(void **state)
{
    static const char *const files[] = {"runaway", "left", "ipc", "said", "other", "shared"};
    char path[256];
    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, files[i]);
        (void)unlink(path);
    }
    return rmdir(dir);
}

int main(void)
{
#define IN_DIR(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        IN_DIR(what_a_program_left_is_gone_with_its_end),
        IN_DIR(a_time_limit_ends_the_program_and_all_it_left),
        IN_DIR(a_signal_ends_the_program_and_all_it_left),
        IN_DIR(the_death_of_who_started_it_ends_all),
        IN_DIR(what_bears_no_mark_or_another_stays),
        IN_DIR(shared_memory_is_the_programs_own),
        IN_DIR(what_cannot_be_run_is_told),
    };
    /* .../tests/unit/base/test_contain -> .../contain */
    char *self = realpath("/proc/self/exe", NULL);
    for (int i = 0; self != NULL && i < 4; i++) {
        *strrchr(self, '/') = '\0';
    }
    snprintf(contain, sizeof contain, "%s/contain", self == NULL ? "" : self);
    free(self);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
