/* Each thread of a program has room for all of its _Thread_local buffers: the log's own thread gets
 * its stack from us, and has to start in the whole agent as it does in a test of base. */
#include "agent/cli/cli.h"
#include "base/log.h"
#include "tests/harness/process.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static int (*volatile whole_program)(int argc, char **argv) = cli_main; /* linked, not called */

static void the_thread_starts_in_the_whole_program(void **state)
{
    int status = -1;
    (void)state;
    assert_non_null(whole_program);
    pid_t pid = fork_in_test();
    if (pid == 0) {
        _exit(log_start_writer());
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_thread_starts_in_the_whole_program),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
