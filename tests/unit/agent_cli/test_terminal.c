/* Ctrl-C on a terminal: a question without echo, and a pager. Each child has a terminal of its own,
 * whose other end the test holds. */
#include "agent/cli/cli_verbs.h"
#include "base/mem.h"
#include "tests/harness/process.h"

#include <poll.h>
#include <pty.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>

enum { BOUND_MS = 20000, SAID_BYTES = 4096, DONE = 7 };
static const char ctrl_c[] = "\003";

static int keyboard = -1, terminal = -1;
static pid_t child;
static char said[SAID_BYTES];
static size_t said_len;

/* `act` in a child on a new terminal; it exits with what that returns. Ctrl-C throws away what the
 * terminal has not shown yet, after the signal: so also an answer to it, unless NOFLSH is set. */
static void start(int (*act)(void))
{
    struct termios flags;
    said_len = 0;
    said[0] = '\0';
    assert_int_equal(openpty(&keyboard, &terminal, NULL, NULL, NULL), 0);
    assert_int_equal(tcgetattr(terminal, &flags), 0);
    flags.c_lflag |= NOFLSH;
    assert_int_equal(tcsetattr(terminal, TCSANOW, &flags), 0);
    child = fork_in_test();
    if (child == 0) {
        (void)close(keyboard);
        (void)setsid();
        (void)ioctl(terminal, TIOCSCTTY, 0);
        for (int fd = 0; fd < 3; fd++) {
            (void)dup2(terminal, fd);
        }
        (void)signal(SIGHUP, SIG_DFL); /* nohup make check */
        exit(act());
    }
}

static int end(void)
{
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static int teardown(void **state)
{
    (void)state;
    (void)close(keyboard);
    (void)close(terminal);
    return 0;
}

static void wait_said(const char *words)
{
    struct pollfd output = {.fd = keyboard, .events = POLLIN};
    while (strstr(said, words) == NULL) {
        assert_int_equal(poll(&output, 1, BOUND_MS), 1);
        ssize_t got = read(keyboard, said + said_len, sizeof said - 1 - said_len);
        assert_true(got > 0);
        said_len += (size_t)got;
        said[said_len] = '\0';
    }
}

static void type(const char *keys)
{
    assert_int_equal(write(keyboard, keys, strlen(keys)), (ssize_t)strlen(keys));
}

static bool echoes(void)
{
    struct termios now;
    assert_int_equal(tcgetattr(terminal, &now), 0);
    return (now.c_lflag & ECHO) != 0;
}

static bool is_default(int number)
{
    struct sigaction now;
    return sigaction(number, NULL, &now) == 0 && now.sa_handler == SIG_DFL;
}

/* --- a question without echo ------------------------------------------------------------------ */

static int ask(void)
{
    char *answer = cli_prompt_hidden("Password");
    bool good = answer != NULL && strcmp(answer, "secret") == 0 && is_default(SIGINT);
    mem_free(answer);
    return good ? DONE : 1;
}

static void an_answer_is_not_shown_and_echo_comes_back(void **state)
{
    (void)state;
    start(ask);
    wait_said("Password: ");
    assert_false(echoes());
    type("secret\n");
    int status = end();
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == DONE);
    assert_true(echoes());
    assert_null(strstr(said, "secret"));
}

static void who_is_interrupted_or_ended_leaves_echo(void **state)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    (void)state;
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        start(ask);
        wait_said("Password: ");
        assert_false(echoes());
        if (signals[i] == SIGINT) {
            type(ctrl_c);
        } else {
            assert_int_equal(kill(child, signals[i]), 0);
        }
        int status = end();
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == signals[i]);
        assert_true(echoes());
        if (i + 1 < sizeof signals / sizeof signals[0]) {
            (void)teardown(NULL);
        }
    }
}

/* --- a pager ---------------------------------------------------------------------------------- */

static int page(void)
{
    struct error err = {0};
    int rc = cli_page("text\n", &err);
    (void)printf("after the pager\n");
    return rc == 0 && is_default(SIGINT) && is_default(SIGQUIT) ? DONE : 1;
}

static void ctrl_c_is_the_pagers_while_there_is_one(void **state)
{
    (void)state;
    assert_int_equal(setenv("PAGER",
                            "cat >/dev/null; trap 'echo interrupted; kill $!' INT; sleep 60 & echo "
                            "shown; wait; echo ended",
                            1),
                     0);
    start(page);
    wait_said("shown");
    type(ctrl_c);
    wait_said("ended");
    assert_non_null(strstr(said, "interrupted"));
    wait_said("after the pager");
    int status = end();
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == DONE);
}

static void a_pager_that_ctrl_c_ends_has_shown_enough(void **state)
{
    (void)state;
    assert_int_equal(setenv("PAGER", "cat >/dev/null; echo shown; exec sleep 60", 1), 0);
    start(page);
    wait_said("shown");
    type(ctrl_c);
    wait_said("after the pager");
    int status = end();
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == DONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(an_answer_is_not_shown_and_echo_comes_back, teardown),
        cmocka_unit_test_teardown(who_is_interrupted_or_ended_leaves_echo, teardown),
        cmocka_unit_test_teardown(ctrl_c_is_the_pagers_while_there_is_one, teardown),
        cmocka_unit_test_teardown(a_pager_that_ctrl_c_ends_has_shown_enough, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
