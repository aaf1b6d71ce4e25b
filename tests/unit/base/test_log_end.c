/* The last lines of the log, and those of a process whose sink stands still: standard error of a
 * child here is a pipe that the test reads, or does not. */
#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "tests/harness/process.h"

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { TAKEN = 1 << 20 };

static int64_t now_ms(void)
{
    return clock_mono_ms(clock_real());
}

struct teller {
    int fd; /* what it says */
    pid_t pid;
};

static struct teller teller_new(void (*tell)(void))
{
    int pair[2];
    struct teller teller;

    assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
    teller.pid = fork_in_test();
    if (teller.pid == 0) {
        (void)dup2(pair[1], STDERR_FILENO);
        (void)close(pair[0]);
        (void)close(pair[1]);
        if (log_start_writer() == 0 && log_start_writer() == 0) {
            tell();
        }
        exit(7);
    }
    (void)close(pair[1]);
    teller.fd = pair[0];
    return teller;
}

static int teller_end(const struct teller *teller)
{
    int status = -1;
    assert_int_equal(waitpid(teller->pid, &status, 0), teller->pid);
    return status;
}

static const char *teller_said(const struct teller *teller)
{
    static char text[TAKEN];
    size_t len = 0;
    ssize_t got;
    while ((got = read(teller->fd, text + len, sizeof text - 1 - len)) > 0) {
        len += (size_t)got;
    }
    text[len] = '\0';
    (void)close(teller->fd);
    return text;
}

static void tell_some(void)
{
    for (int i = 0; i < 50; i++) {
        log_info("line %d", i);
    }
}

static void last_lines_are_seen_at_an_orderly_end(void **state)
{
    (void)state;
    struct teller teller = teller_new(tell_some);
    const char *text = teller_said(&teller);
    assert_non_null(strstr(text, "INFO: line 0\n"));
    assert_non_null(strstr(text, "INFO: line 49\n"));
    assert_true(WEXITSTATUS(teller_end(&teller)) == 7);
}

static void tell_and_break(void)
{
    log_info("what led to it");
    assert_fail("here.c", 17, "this holds");
}

static void last_lines_are_seen_before_an_assertion_ends_it(void **state)
{
    (void)state;
    struct teller teller = teller_new(tell_and_break);
    const char *text = teller_said(&teller);
    const char *line = strstr(text, "INFO: what led to it\n");
    assert_non_null(line);
    assert_non_null(strstr(line, "here.c:17: assertion failed: this holds\n"));
    int status = teller_end(&teller);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static void tell_from_a_child(void)
{
    log_info("parent");
    pid_t pid = fork();
    if (pid == 0) {
        log_info("child");
        _exit(log_flush(0) ? 0 : 1);
    }
    int status = -1;
    (void)waitpid(pid, &status, 0);
    log_info("child ended with %d", status);
}

static void a_forked_child_tells_by_itself_and_nothing_twice(void **state)
{
    (void)state;
    struct teller teller = teller_new(tell_from_a_child);
    const char *text = teller_said(&teller);
    const char *first = strstr(text, "INFO: parent\n");
    assert_non_null(first);
    assert_null(strstr(first + 1, "INFO: parent\n"));
    assert_non_null(strstr(text, "INFO: child\n"));
    assert_non_null(strstr(text, "INFO: child ended with 0\n"));
    (void)teller_end(&teller);
}

static void tell_too_much(void)
{
    char long_text[1000];
    memset(long_text, 'q', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    for (int i = 0; i < 400; i++) { /* more than pipe and ring hold together */
        log_info("%d %s", i, long_text);
    }
}

static void pipe_that_nobody_reads_keeps_nobody_from_ending(void **state)
{
    (void)state;
    struct teller teller = teller_new(tell_too_much);
    int64_t began_ms = now_ms();
    int status = teller_end(&teller); /* and nothing was read yet */
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    assert_true(now_ms() - began_ms < LOG_FLUSH_MS + 4000);
    assert_non_null(strstr(teller_said(&teller), "INFO: 0 qqq"));
}

static void tell_too_much_and_go_on(void)
{
    char answer;
    struct pollfd asked = {.fd = STDIN_FILENO, .events = POLLIN};
    tell_too_much();
    (void)poll(&asked, 1, 10000);
    (void)!read(STDIN_FILENO, &answer, 1);
    (void)log_flush(5000);
    log_info("room again");
}

static void lines_that_found_no_room_are_counted_in_the_next(void **state)
{
    int go[2];
    unsigned lost = 0;
    unsigned lines = 0;
    (void)state;
    int before = dup(STDIN_FILENO);
    assert_int_equal(pipe2(go, O_CLOEXEC), 0);
    (void)dup2(go[0], STDIN_FILENO);
    struct teller teller = teller_new(tell_too_much_and_go_on);
    (void)dup2(before, STDIN_FILENO);
    (void)close(before);
    (void)usleep(300000); /* nobody reads meanwhile */
    assert_int_equal(write(go[1], "!", 1), 1);
    const char *text = teller_said(&teller);
    const char *last = strstr(text, "room again dropped_lines=");
    assert_non_null(last);
    for (const char *at = text; (at = strstr(at, " dropped_lines=")) != NULL; at++) {
        unsigned some = 0;
        assert_int_equal(sscanf(at, " dropped_lines=%u", &some), 1);
        lost += some; /* a line that found room in between has told of those before it */
    }
    for (const char *at = text; (at = strstr(at, " qqq")) != NULL; at++) {
        lines++;
    }
    assert_int_equal(lines + lost, 400);
    assert_true(lost > 100 && lines > 100);
    (void)close(go[0]);
    (void)close(go[1]);
    (void)teller_end(&teller);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(last_lines_are_seen_at_an_orderly_end),
        cmocka_unit_test(last_lines_are_seen_before_an_assertion_ends_it),
        cmocka_unit_test(a_forked_child_tells_by_itself_and_nothing_twice),
        cmocka_unit_test(pipe_that_nobody_reads_keeps_nobody_from_ending),
        cmocka_unit_test(lines_that_found_no_room_are_counted_in_the_next),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
