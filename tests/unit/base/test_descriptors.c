/* The soft limit of open files, in a child: a hard one that was lowered stays so. */
#include "base/descriptors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* What the limit is after it was raised from `soft`; 0: the kernel says something else. */
static size_t raised(rlim_t soft, rlim_t hard, size_t wanted)
{
    size_t is = 0;
    int out[2];
    assert_int_equal(pipe(out), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct rlimit limit = {.rlim_cur = soft, .rlim_max = hard};
        (void)setrlimit(RLIMIT_NOFILE, &limit);
        is = descriptors_raise(wanted);
        (void)getrlimit(RLIMIT_NOFILE, &limit);
        is = limit.rlim_cur == is && limit.rlim_max == hard ? is : 0;
        _exit(write(out[1], &is, sizeof is) == sizeof is ? 0 : 1);
    }
    assert_true(pid > 0);
    assert_int_equal(read(out[0], &is, sizeof is), sizeof is);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(close(out[0]) | close(out[1]), 0);
    return is;
}

static void it_is_raised_as_far_as_the_hard_one_lets_it(void **state)
{
    (void)state;
    assert_int_equal(raised(64, 256, 128), 128);
    assert_int_equal(raised(64, 256, 256), 256);
    assert_int_equal(raised(64, 256, 300), 256);
    assert_int_equal(raised(64, 64, 300), 64);
}

static void it_is_never_lowered(void **state)
{
    (void)state;
    assert_int_equal(raised(128, 256, 64), 128);
    assert_int_equal(raised(128, 256, 128), 128);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_raised_as_far_as_the_hard_one_lets_it),
        cmocka_unit_test(it_is_never_lowered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
