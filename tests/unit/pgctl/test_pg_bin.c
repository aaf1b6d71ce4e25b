/* Where PostgreSQL's programs are, and what they are called. */
#include "pgctl/pg_instance.h"
#include "pgctl/proc/pg_bin.h"
#include "tests/harness/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[200];

static void program(const char *name, const char *text)
{
    char path[300];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    (void)fprintf(file, "#!/bin/sh\n%s\n", text);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, 0755), 0);
}

static void forget(const char *name)
{
    char path[300];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    assert_int_equal(unlink(path), 0);
}

static void programs_may_have_other_names(void **state)
{
    (void)state;
    static const char *const names[] = {"pg15", "make", "tell", "copy", "mend"};
    const struct pg_program_names given = {names[0], names[1], names[2], names[3], names[4]};
    struct pg_bin bin;
    struct error err = {0};

    scratch_make(dir, sizeof dir, "/tmp", "bin");
    program("pg15", "echo 'postgres (PostgreSQL) 15.4'");
    for (size_t i = 1; i < sizeof names / sizeof names[0]; i++) {
        assert_int_equal(pg_bin_find(dir, &given, &bin, &err), ERR_NOT_FOUND);
        assert_non_null(strstr(err.text, names[i]));
        program(names[i], "exit 0");
    }
    assert_int_equal(pg_bin_find(dir, &given, &bin, &err), 0);
    assert_int_equal(bin.major, 15);
    for (size_t i = 0; i < PG_PROGRAM_COUNT; i++) {
        char path[300];
        (void)snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        assert_string_equal(bin.paths[i], path);
    }
    assert_int_equal(pg_bin_find(dir, NULL, &bin, &err), ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "has no program 'postgres'"));
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        forget(names[i]);
    }
    assert_int_equal(rmdir(dir), 0);
}

/* Where PostgreSQL looks depends on where its program really is. */
static void the_guard_is_looked_for_where_the_server_loads_from(void **state)
{
    (void)state;
    static const char *const below[] = {"lib", "lib/postgresql"};
    char from[300];
    char path[300];
    char command[700];
    struct pg_bin bin = {.major = 15};
    struct error err = {0};

    scratch_make(dir, sizeof dir, "/tmp", "bin");
    (void)snprintf(command, sizeof command, "mkdir -p %s/pg/bin %s/pg/lib/postgresql", dir, dir);
    assert_int_equal(system(command), 0);
    program("pg/bin/postgres", "exit 0");
    (void)snprintf(from, sizeof from, "%s/pg/bin/postgres", dir);
    (void)snprintf(path, sizeof path, "%s/linked", dir);
    assert_int_equal(symlink(from, path), 0);
    const char *const programs[] = {from, path};
    for (size_t i = 0; i < 2; i++) {
        (void)snprintf(bin.paths[PG_POSTGRES], sizeof bin.paths[PG_POSTGRES], "%s", programs[i]);
        assert_int_equal(pg_bin_check_guard(&bin, &err), ERR_NOT_FOUND);
        assert_non_null(strstr(err.text, "postgresql.guard: "));
        assert_non_null(strstr(err.text, "pgquorum-guard-15"));
        for (size_t k = 0; k < 2; k++) {
            char name[64];
            (void)snprintf(name, sizeof name, "pg/%s/pgquorum_guard.so", below[k]);
            program(name, "");
            assert_int_equal(pg_bin_check_guard(&bin, &err), 0);
            forget(name);
        }
    }
    (void)snprintf(bin.paths[PG_POSTGRES], sizeof bin.paths[PG_POSTGRES], "%s/none", dir);
    assert_int_equal(pg_bin_check_guard(&bin, &err), ERR_NOT_FOUND);
    (void)snprintf(command, sizeof command, "rm -rf %s", dir);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(programs_may_have_other_names),
        cmocka_unit_test(the_guard_is_looked_for_where_the_server_loads_from),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
