/* The note that a bootstrap leaves until its cluster is known to others. */
#include "base/mem.h"
#include "pgctl/jobs/unannounced.h"
#include "pgctl/proc/pg_files.h"
#include "tests/harness/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[64];
static char path[sizeof dir + 16];

static int make_dir(void **state)
{
    (void)state;
    scratch_make(dir, sizeof dir, "/tmp", "note");
    (void)snprintf(path, sizeof path, "%s/note", dir);
    return 0;
}

static int remove_dir(void **state)
{
    (void)state;
    (void)unlink(path);
    return rmdir(dir);
}

static void no_note_is_no_system_identifier(void **state)
{
    (void)state;
    assert_true(pg_unannounced_read(path, "/data") == 0);
}

static void a_note_tells_the_system_identifier_of_its_directory_only(void **state)
{
    (void)state;
    assert_int_equal(pg_unannounced_write(path, 7000000000000000001u, "/data", NULL), 0);
    assert_true(pg_unannounced_read(path, "/data") == 7000000000000000001u);
    assert_true(pg_unannounced_read(path, "/data2") == 0);
    assert_true(pg_unannounced_read(path, "/dat") == 0);
}

static void a_note_that_is_not_whole_is_none(void **state)
{
    static const char *const texts[] = {
        "",          "7000000000000000001", "7000000000000000001\n", "7000000000000000001\n/data",
        "\n/data\n", "x\n/data\n",          " 7\n/data\n",           "7\n/data\n\n",
    };
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        assert_int_equal(pg_file_write(path, span_str(texts[i]), 0600, NULL), 0);
        assert_true(pg_unannounced_read(path, "/data") == 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_note_is_no_system_identifier),
        cmocka_unit_test(a_note_tells_the_system_identifier_of_its_directory_only),
        cmocka_unit_test(a_note_that_is_not_whole_is_none),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
