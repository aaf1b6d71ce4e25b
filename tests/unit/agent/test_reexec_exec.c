/* A child of the test is executed anew: what goes over, and what does not. */
#include "agent/config/config.h"
#include "agent/reexec_children.h"
#include "agent/reexec_exec.h"
#include "agent/reexec_signals.h"
#include "base/mem.h"
#include "pgctl/fence.h"
#include "tests/harness/process.h"
#include "tests/harness/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[128];
static char run_dir[160];

/* What the program that is executed has to say, on the pipe that is its standard output. */
static void run(const char *path, const char *one, const char *two, int (*before)(void),
                char *ret_text, size_t size)
{
    int pair[2];
    assert_int_equal(pipe(pair), 0);
    pid_t pid = fork_in_test();
    if (pid == 0) {
        struct error err = {0};
        char *argv[] = {(char *)(uintptr_t) "the-agent", (char *)(uintptr_t)one,
                        (char *)(uintptr_t)two, NULL};
        struct reexec_program program = {.argv = argv};
        (void)snprintf(program.path, sizeof program.path, "%s", path);
        (void)dup2(pair[1], STDOUT_FILENO);
        int lock_fd = before();
        program.taken = config_environment_taken();
        int rc = reexec_exec(&program, lock_fd, &err);
        printf("%d: %s\n", rc, err.text);
        (void)fflush(stdout);
        _exit(1);
    }
    (void)close(pair[1]);
    size_t len = 0;
    for (ssize_t got = 1; got > 0 && len<size - 1; len += got> 0 ? (size_t)got : 0) {
        got = read(pair[0], ret_text + len, size - 1 - len);
    }
    ret_text[len] = '\0';
    (void)close(pair[0]);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static int take_lock(void)
{
    struct error err;
    int fd = -1;
    assert_int_equal(fence_lock_agent(run_dir, 0, &fd, &err), 0);
    return fd;
}

/* And what a library has opened without care. */
static int take_lock_and_more(void)
{
    int fd = take_lock();
    assert_true(open("/dev/null", O_RDONLY) > 2 && open("/dev/zero", O_RDONLY) > 2);
    return fd;
}

static void the_lock_goes_over_and_nothing_else_that_is_open(void **state)
{
    char text[1024];
    (void)state;
    run("/bin/sh", "-c",
        "echo $$ $PGQUORUM_AGENT_LOCK_FD; for f in /proc/$$/fd/*; do readlink $f; done",
        take_lock_and_more, text, sizeof text);
    assert_non_null(strstr(text, "/run/agent.lock\n"));
    assert_null(strstr(text, "/dev/zero"));
    assert_true(strtol(strchr(text, ' '), NULL, 10) > 2);
}

static int take_variables(void)
{
    setenv("PATRONI_NAME", "n1", 1);
    setenv("PATRONI_SUPERUSER_PASSWORD", "of the environment", 1);
    assert_true(config_environment_given()); /* as each look at the configuration does */
    assert_null(getenv("PATRONI_NAME"));
    return take_lock();
}

/* The same configuration is made of them again. */
static void what_was_taken_from_the_environment_goes_over(void **state)
{
    char text[1024];
    (void)state;
    run("/bin/sh", "-c",
        "echo $PATRONI_NAME $PATRONI_SUPERUSER_PASSWORD; [ $PGQUORUM_AGENT_LOCK_FD -gt 2 ] && echo "
        "$HOME",
        take_variables, text, sizeof text);
    char *wanted = mem_printf("n1 of the environment\n%s\n", getenv("HOME"));
    assert_string_equal(text, wanted);
    mem_free(wanted);
}

/* Nobody gets it before the new program has ended. */
static void the_lock_is_held_by_the_new_program(void **state)
{
    char text[256];
    (void)state;
    char *script = mem_printf("flock -n %s/agent.lock true && echo free || echo held", run_dir);
    run("/bin/sh", "-c", script, take_lock, text, sizeof text);
    assert_string_equal(text, "held\n");
    mem_free(script);
    int fd = take_lock();
    (void)close(fd);
}

static int with_a_blocked_signal(void)
{
    sigset_t signals;
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGUSR1);
    (void)sigprocmask(SIG_BLOCK, &signals, NULL);
    return -1;
}

static void signals_wait_for_the_new_program(void **state)
{
    char text[256];
    unsigned long long blocked = 0;
    (void)state;
    run("/bin/grep", "SigBlk", "/proc/self/status", with_a_blocked_signal, text, sizeof text);
    assert_int_equal(sscanf(text, "SigBlk: %llx", &blocked), 1);
    static const int numbers[] = {SIGTERM, SIGHUP, SIGUSR2, SIGINT, SIGUSR1};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        assert_true((blocked & (1ull << (numbers[i] - 1))) != 0);
    }
}

static atomic_bool had_one; /* the other thread */

static void *wait_for_signals(void *arg)
{
    for (;;) {
        (void)pause();
        atomic_store(&had_one, true);
    }
    return arg;
}

static void tell_the_loop(int number)
{
    (void)number; /* of a loop that does not turn any more */
}

/* It comes after the loop's last turn, and to a thread that ends with the exec. */
static int with_a_signal_to_another_thread(void)
{
    struct sigaction action = {.sa_handler = tell_the_loop};
    pthread_t thread;
    assert_int_equal(sigaction(SIGTERM, &action, NULL), 0);
    assert_int_equal(pthread_create(&thread, NULL, wait_for_signals, NULL), 0);
    reexec_signals_hold();
    for (int i = 0; i < 500 && !atomic_load(&had_one); i++) {
        assert_int_equal(kill(getpid(), SIGTERM), 0); /* the first may find it on its way there */
        (void)poll(NULL, 0, 10);
    }
    assert_true(atomic_load(&had_one));
    return -1;
}

static void a_signal_that_another_thread_gets_waits_too(void **state)
{
    char text[256];
    unsigned long long own = 0;
    unsigned long long shared = 0;
    (void)state;
    run("/bin/grep", "Pnd", "/proc/self/status", with_a_signal_to_another_thread, text,
        sizeof text);
    assert_int_equal(sscanf(text, "SigPnd: %llx ShdPnd: %llx", &own, &shared), 2);
    assert_true(((own | shared) & (1ull << (SIGTERM - 1))) != 0);
}

static bool is_blocked(int number)
{
    sigset_t now;
    (void)sigprocmask(SIG_SETMASK, NULL, &now);
    return sigismember(&now, number) == 1;
}

static void what_could_not_be_executed_leaves_all_as_it_was(void **state)
{
    struct error err;
    (void)state;
    char *argv[] = {(char *)(uintptr_t) "the-agent", NULL};
    struct reexec_program program = {.path = "/nonexistent/pgquorum", .argv = argv};
    int fd = take_lock();
    assert_int_equal(reexec_exec(&program, fd, &err), ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "executing '/nonexistent/pgquorum': No such file"));
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    assert_null(getenv("PGQUORUM_AGENT_LOCK_FD"));
    assert_false(is_blocked(SIGTERM) || is_blocked(SIGUSR2));
    (void)close(fd);
}

static void with_handlers_in_place_signals_are_taken(void **state)
{
    sigset_t signals;
    (void)state;
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGUSR1);
    (void)sigprocmask(SIG_BLOCK, &signals, NULL);
    reexec_signals_take();
    assert_false(is_blocked(SIGTERM));
    assert_true(is_blocked(SIGUSR1)); /* none of ours */
    (void)sigprocmask(SIG_UNBLOCK, &signals, NULL);
}

static void the_program_is_the_one_that_was_called(void **state)
{
    struct reexec_program program;
    struct error err;
    char self[4096] = "";
    (void)state;
    assert_int_equal(reexec_program_open(&program, &err), 0);
    assert_true(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
    assert_int_equal(program.path[0], '/');
    struct stat a;
    struct stat b;
    assert_true(stat(program.path, &a) == 0 && stat(self, &b) == 0 && a.st_ino == b.st_ino);
    assert_non_null(strstr(program.argv[0], "test_reexec_exec"));
    reexec_program_close(&program);
    reexec_program_close(&program);
}

/* Run under a link, it is the link that is executed the next time: what it leads to may be another
 * release by then. */
static void a_link_is_called_by_its_own_name(void **state)
{
    char self[4096] = "";
    char *link = mem_printf("%s/in-use", dir);
    char text[4096] = "";
    (void)state;
    assert_true(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
    assert_int_equal(symlink(self, link), 0);
    const char *const calls[] = {link, "./in-use", "in-use"};
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        char *command = mem_printf("cd %s && PATH=%s:$PATH TELL_PROGRAM=1 %s", dir, dir, calls[i]);
        FILE *said = popen(command, "r");
        assert_non_null(said);
        assert_non_null(fgets(text, sizeof text, said));
        assert_int_equal(pclose(said), 0);
        text[strcspn(text, "\n")] = '\0';
        char *wanted = mem_printf("%s/%s", dir, i == 1 ? "./in-use" : "in-use");
        assert_string_equal(text, wanted);
        mem_free(wanted);
        mem_free(command);
    }
    mem_free(link);
}

static void children_of_before_are_reaped(void **state)
{
    struct reexec_children children = {.count = 0};
    uv_loop_t loop;
    (void)state;
    assert_int_equal(uv_loop_init(&loop), 0);
    pid_t ended = fork_in_test();
    if (ended == 0) {
        _exit(0);
    }
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)ended, &info, WEXITED | WNOWAIT), 0);
    pid_t runs = fork_in_test();
    if (runs == 0) {
        (void)pause();
        _exit(0);
    }
    reexec_children_take(&children, &loop);
    assert_int_equal(children.count, 1); /* the other one is gone already */
    assert_int_equal(waitpid(ended, NULL, WNOHANG), -1);
    assert_int_equal(kill(runs, SIGKILL), 0);
    uv_ref((uv_handle_t *)&children.signal); /* nothing else keeps this loop turning */
    while (children.count > 0) {
        (void)uv_run(&loop, UV_RUN_ONCE);
    }
    assert_int_equal(waitpid(runs, NULL, WNOHANG), -1);
    reexec_children_close(&children);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
}

static int make_dirs(void **state)
{
    struct error err;
    (void)state;
    scratch_make(dir, sizeof dir, "/tmp", "reexec");
    (void)snprintf(run_dir, sizeof run_dir, "%s/run", dir);
    return fence_runtime_prepare(run_dir, &err);
}

static int remove_dirs(void **state)
{
    (void)state;
    char *lock = mem_printf("%s/agent.lock", run_dir);
    char *link = mem_printf("%s/in-use", dir);
    (void)unlink(lock);
    (void)rmdir(run_dir);
    (void)unlink(link);
    (void)rmdir(dir);
    mem_free(link);
    mem_free(lock);
    return 0;
}

/* As the program that a_link_is_called_by_its_own_name has called. */
static int tell_program(void)
{
    struct reexec_program program;
    struct error err;
    int rc = reexec_program_open(&program, &err);
    (void)printf("%s\n", rc == 0 ? program.path : err.text);
    reexec_program_close(&program);
    return rc == 0 ? 0 : 1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_lock_goes_over_and_nothing_else_that_is_open),
        cmocka_unit_test(what_was_taken_from_the_environment_goes_over),
        cmocka_unit_test(the_lock_is_held_by_the_new_program),
        cmocka_unit_test(signals_wait_for_the_new_program),
        cmocka_unit_test(a_signal_that_another_thread_gets_waits_too),
        cmocka_unit_test(what_could_not_be_executed_leaves_all_as_it_was),
        cmocka_unit_test(with_handlers_in_place_signals_are_taken),
        cmocka_unit_test(the_program_is_the_one_that_was_called),
        cmocka_unit_test(a_link_is_called_by_its_own_name),
        cmocka_unit_test(children_of_before_are_reaped),
    };
    return getenv("TELL_PROGRAM") != NULL ? tell_program()
                                          : cmocka_run_group_tests(tests, make_dirs, remove_dirs);
}
