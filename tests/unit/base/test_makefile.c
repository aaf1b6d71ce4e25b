/* What the Makefile says where something that it needs is not there. */
#include "tests/harness/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* Tests run in the tree's root, and below a make of their own. */
#define MAKE "env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS make"

static void a_source_of_libraft_that_is_not_there_is_told_and_nothing_else_taken(void **state)
{
    char dir[64];
    char command[512];
    char said[1024];
    (void)state;
    scratch_make(dir, sizeof dir, "/tmp", "make");
    snprintf(command, sizeof command, MAKE " RAFT_SRC=%s/none BUILD=%s/b %s/b/libraft_src.a 2>&1",
             dir, dir, dir);
    FILE *make = popen(command, "r");
    assert_non_null(make);
    said[fread(said, 1, sizeof said - 1, make)] = '\0';
    int status = pclose(make);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) != 0);
    assert_non_null(strstr(said, "the source of libraft 0.22.1 is not in '"));
    assert_non_null(strstr(said, "/none': run 'make deps', or give RAFT_SRC=DIR\n"));
    assert_int_equal(rmdir(dir), 0); /* nothing was made */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_source_of_libraft_that_is_not_there_is_told_and_nothing_else_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
