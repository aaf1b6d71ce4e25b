/* Would that program start? Programs of the test's own, and how each of them fails. */
#include "agent/reexec_check.h"
#include "base/clock.h"
#include "tests/harness/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[128];
static char program[160];
static char version[REEXEC_VERSION_BYTES];
static atomic_bool cancel;

#define SAYS_VERSION "[ \"$1\" = --version ] && { echo pgquorum 0.2.0; exit 0; }\n"

static void put(const char *text)
{
    (void)snprintf(program, sizeof program, "%s/program", dir);
    (void)unlink(program);
    FILE *file = fopen(program, "w");
    assert_non_null(file);
    assert_true(fprintf(file, "#!/bin/sh\n%s", text) > 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(program, 0700), 0);
}

static int check(struct error *err)
{
    static const char *const taken[] = {"PATRONI_NAME=n1", "PATRONI_SCOPE=c", NULL};
    char name[] = "the-agent";
    char file[] = "/etc/the.yml";
    char *argv[] = {name, file, NULL};
    struct reexec_program asked = {.argv = argv, .identity = "{\"name\":\"n1\"}", .taken = taken};
    (void)snprintf(asked.path, sizeof asked.path, "%s", program);
    *err = (struct error){0};
    return reexec_check(&asked, &cancel, version, err);
}

static void refused(const char *words)
{
    struct error err;
    assert_int_equal(check(&err), ERR_REFUSED);
    if (strstr(err.text, words) == NULL) {
        fail_msg("'%s' is not in: %s", words, err.text);
    }
}

static void a_good_one_is_asked_as_it_would_be_started(void **state)
{
    struct error err;
    (void)state;
    put(SAYS_VERSION "[ \"$*\" = /etc/the.yml ] && [ \"$PGQUORUM_CHECK_START\" = 1 ]\n");
    assert_int_equal(check(&err), 0);
    assert_string_equal(version, "0.2.0");
    assert_null(getenv(REEXEC_ENV_CHECK)); /* of the question alone */
    assert_false(reexec_check_asked());
    setenv(REEXEC_ENV_CHECK, "1", 1);
    assert_true(reexec_check_asked());
    unsetenv(REEXEC_ENV_CHECK);
}

static void it_is_told_who_runs_here_and_what_he_was_given(void **state)
{
    (void)state;
    assert_null(reexec_check_running());
    setenv("OF_ALL", "kept", 1);
    put(SAYS_VERSION
        "echo \"$PGQUORUM_CHECK_RUNNING $PATRONI_NAME $PATRONI_SCOPE $OF_ALL\"; exit 1\n");
    refused("would not start here: {\"name\":\"n1\"} n1 c kept");
    unsetenv("OF_ALL");
    assert_null(reexec_check_running()); /* of the question alone */
    setenv(REEXEC_ENV_RUNNING, "{}", 1);
    assert_string_equal(reexec_check_running(), "{}");
    unsetenv(REEXEC_ENV_RUNNING);
}

static void what_cannot_be_executed_is_refused(void **state)
{
    (void)state;
    put("");
    assert_int_equal(chmod(program, 0600), 0);
    refused("cannot be executed: Permission denied");
    (void)unlink(program);
    refused("cannot be executed: No such file or directory");
}

static void what_is_no_release_of_ours_is_refused(void **state)
{
    static const char *const words[] = {"exit 0", "echo pgquorum", "echo pgquorum 1.2beta",
                                        "echo pgquorum 1.0; echo more", "echo patroni 4.1.4"};
    (void)state;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        put(words[i]);
        refused("is no pgquorum: asked for its release it said: ");
    }
    put("echo libmissing.so: cannot open >&2; exit 127\n");
    refused("has not said which release it is: libmissing.so: cannot open");
}

static void what_it_says_itself_is_told_in_one_line(void **state)
{
    (void)state;
    put(SAYS_VERSION "echo /etc/the.yml: nonsense; echo and more >&2; exit 1\n");
    refused("would not start here: /etc/the.yml: nonsense;and more");
    put(SAYS_VERSION "exit 3\n");
    refused("would not start here: it said nothing");
    put(SAYS_VERSION "kill -SEGV $$\n");
    refused("would not start here: killed by signal 11");
    put(SAYS_VERSION "i=0; while [ $i -lt 20000 ]; do echo 0123456789; i=$((i+1)); done; exit 1\n");
    refused("would not start here: 0123456789;0123456789");
}

static void a_child_that_keeps_the_pipe_holds_up_nobody(void **state)
{
    struct error err;
    (void)state;
    put(SAYS_VERSION "sleep 3 &\nexit 0\n");
    int64_t began_ms = clock_mono_ms(clock_real());
    assert_int_equal(check(&err), 0);
    assert_true(clock_mono_ms(clock_real()) - began_ms < 2000);
}

static void one_that_hangs_is_killed(void **state)
{
    (void)state;
    put("exec sleep 1000\n");
    int64_t began_ms = clock_mono_ms(clock_real());
    refused("has not said which release it is in 5 s: it said nothing");
    assert_true(clock_mono_ms(clock_real()) - began_ms < 2 * REEXEC_VERSION_MS);
}

static void a_stop_is_not_held_up_by_it(void **state)
{
    struct error err;
    (void)state;
    put("exec sleep 1000\n");
    atomic_store(&cancel, true);
    int64_t began_ms = clock_mono_ms(clock_real());
    assert_int_equal(check(&err), ERR_CANCELED);
    assert_true(clock_mono_ms(clock_real()) - began_ms < 2000);
    atomic_store(&cancel, false);
}

static int make_dir(void **state)
{
    (void)state;
    scratch_make(dir, sizeof dir, "/tmp", "reexec");
    return 0;
}

static int remove_dir(void **state)
{
    (void)state;
    (void)unlink(program);
    (void)rmdir(dir);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_one_is_asked_as_it_would_be_started),
        cmocka_unit_test(it_is_told_who_runs_here_and_what_he_was_given),
        cmocka_unit_test(what_cannot_be_executed_is_refused),
        cmocka_unit_test(what_is_no_release_of_ours_is_refused),
        cmocka_unit_test(what_it_says_itself_is_told_in_one_line),
        cmocka_unit_test(a_child_that_keeps_the_pipe_holds_up_nobody),
        cmocka_unit_test(one_that_hangs_is_killed),
        cmocka_unit_test(a_stop_is_not_held_up_by_it),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
