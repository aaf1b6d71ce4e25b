/* The node's lock, over an exec in the process that has it. */
#include "base/mem.h"
#include "pgctl/fence.h"
#include "tests/harness/scratch.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[128];
static char runtime_dir[160];

/* Over an exec there is no moment in which it is free: the descriptor stays open, and is found. */
static void lock_goes_over_to_the_next_program_of_the_process(void **state)
{
    (void)state;
    struct error err;
    int lock = -1;
    int next = -1;
    char number[16];
    assert_int_equal(fence_lock_agent(runtime_dir, 0, &lock, &err), 0);
    fence_lock_pass(lock, true);
    assert_int_equal(fcntl(lock, F_GETFD), 0);
    assert_int_equal(fence_lock_agent(runtime_dir, 0, &next, &err), 0);
    assert_int_equal(next, lock);
    assert_int_equal(fcntl(lock, F_GETFD), FD_CLOEXEC);
    assert_null(getenv("PGQUORUM_AGENT_LOCK_FD")); /* no child is to take it for its own */

    fence_lock_pass(lock, true); /* and back, when nothing was executed */
    fence_lock_pass(lock, false);
    assert_int_equal(fcntl(lock, F_GETFD), FD_CLOEXEC);
    assert_null(getenv("PGQUORUM_AGENT_LOCK_FD"));
    assert_int_equal(fence_lock_agent(runtime_dir, 0, &next, &err), ERR_BUSY);

    int other = open("/dev/null", O_RDONLY | O_CLOEXEC);
    snprintf(number, sizeof number, "%d", other);
    const char *const wrong[] = {number, "", "-1", "0", "nonsense", "999999", "99999999999"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(setenv("PGQUORUM_AGENT_LOCK_FD", wrong[i], 1), 0);
        assert_int_equal(fence_lock_agent(runtime_dir, 0, &next, &err), ERR_BUSY);
    }
    close(other);
    close(lock);
}

static int make_dirs(void **state)
{
    struct error err;
    (void)state;
    scratch_make(dir, sizeof dir, "/tmp", "lock");
    (void)snprintf(runtime_dir, sizeof runtime_dir, "%s/run", dir);
    return fence_runtime_prepare(runtime_dir, &err);
}

static int remove_dirs(void **state)
{
    char *lock = mem_printf("%s/agent.lock", runtime_dir);
    (void)state;
    (void)unlink(lock);
    (void)rmdir(runtime_dir);
    (void)rmdir(dir);
    mem_free(lock);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lock_goes_over_to_the_next_program_of_the_process),
    };
    return cmocka_run_group_tests(tests, make_dirs, remove_dirs);
}
