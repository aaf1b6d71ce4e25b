/* Where the files of the configuration come from when they are not where they should be. */
#include "pgctl/jobs/conf_files.h"

#include "base/mem.h"
#include "pgctl/conf/pg_conf.h"
#include "pgctl/proc/pg_files.h"
#include "tests/harness/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[64];
static char data_dir[80];
static char etc_dir[80];
static char link_path[80];

static int make_dir(void **state)
{
    (void)state;
    scratch_make(dir, sizeof dir, "/tmp", "conf");
    snprintf(data_dir, sizeof data_dir, "%s/data", dir);
    snprintf(etc_dir, sizeof etc_dir, "%s/etc/15", dir);
    snprintf(link_path, sizeof link_path, "%s/link", dir);
    return mkdir(data_dir, 0700);
}

static int remove_dir(void **state)
{
    struct error err;
    (void)state;
    return pg_tree_clear(dir, &err) != 0 ? -1 : rmdir(dir);
}

static void put(const char *where, const char *name, const char *text)
{
    struct error err;
    char *path = mem_printf("%s/%s", where, name);
    assert_int_equal(pg_file_write(path, span_str(text), 0600, &err), 0);
    mem_free(path);
}

static void expect(const char *where, const char *name, const char *text)
{
    struct buf found = BUF_INIT;
    struct error err;
    char *path = mem_printf("%s/%s", where, name);
    int rc = pg_file_read(path, 4096, &found, &err);
    if (text == NULL) {
        assert_int_equal(rc, ERR_NOT_FOUND);
    } else {
        assert_int_equal(rc, 0);
        assert_string_equal(buf_str(&found), text);
    }
    mem_free(path);
    buf_free(&found);
}

static void gather(const char *config_dir, const char *base_name)
{
    struct pg_conf_files files;
    struct error err = {0};
    pg_conf_files_init(&files, data_dir, config_dir, base_name);
    if (pg_conf_files_gather(&files, &err) != 0) {
        fail_msg("%s", err.text);
    }
}

static void beside_the_data_the_first_postgresql_conf_is_the_base(void **state)
{
    (void)state;
    put(data_dir, "postgresql.conf", "of initdb");
    put(data_dir, "pg_hba.conf", "rules");
    gather(NULL, NULL);
    expect(data_dir, "postgresql.base.conf", "of initdb");
    expect(data_dir, "postgresql.conf", NULL);
    expect(data_dir, "pg_hba.conf", "rules");
    expect(data_dir, "pg_ident.conf", NULL); /* whoever has lost it sees it */
    put(data_dir, "postgresql.conf", "of somebody");
    gather(NULL, NULL);
    expect(data_dir, "postgresql.base.conf", "of initdb");
}

/* Included by itself it would keep every server from starting. */
static void a_base_that_is_lost_is_not_made_of_our_own_file(void **state)
{
    (void)state;
    put(data_dir, "postgresql.conf", PG_CONF_OURS "do not edit.\ninclude 'postgresql.base.conf'\n");
    gather(NULL, NULL);
    expect(data_dir, "postgresql.base.conf", "");
    expect(data_dir, "postgresql.conf",
           PG_CONF_OURS "do not edit.\ninclude 'postgresql.base.conf'\n");
}

static void apart_it_takes_what_initdb_has_made(void **state)
{
    struct pg_conf_files files;
    struct error err;
    (void)state;
    put(data_dir, "postgresql.conf", "of initdb");
    put(data_dir, "pg_hba.conf", "rules");
    put(data_dir, "pg_ident.conf", "names");
    gather(etc_dir, "pg15");
    expect(etc_dir, "pg15.base.conf", "of initdb");
    expect(etc_dir, "pg_hba.conf", "rules");
    expect(etc_dir, "pg_ident.conf", "names");
    pg_conf_files_init(&files, data_dir, etc_dir, "pg15");
    assert_true(files.apart);
    assert_int_equal(pg_conf_files_remove_strays(&files, &err), 0);
    expect(data_dir, "postgresql.conf", NULL);
    expect(data_dir, "pg_hba.conf", NULL);
    expect(data_dir, "pg_ident.conf", NULL);
    pg_conf_files_init(&files, data_dir, NULL, NULL); /* nothing is astray there */
    put(data_dir, "pg_hba.conf", "rules");
    assert_int_equal(pg_conf_files_remove_strays(&files, &err), 0);
    expect(data_dir, "pg_hba.conf", "rules");
}

static void apart_what_is_there_stays(void **state)
{
    (void)state;
    assert_int_equal(mkdir(link_path, 0700), 0);
    put(link_path, "postgresql.conf", "of Debian");
    put(link_path, "pg_hba.conf", "its rules");
    put(data_dir, "postgresql.conf", "of initdb");
    put(data_dir, "pg_hba.conf", "other rules");
    gather(link_path, NULL);
    expect(link_path, "postgresql.base.conf", "of Debian");
    expect(link_path, "pg_hba.conf", "its rules");
    expect(link_path, "pg_ident.conf", ""); /* named in the configuration, so it is to be there */
}

/* A copy of a member whose configuration is apart, too, has none but the backups. */
static void backups_come_back_and_win_over_what_the_source_had_beside_its_data(void **state)
{
    struct pg_conf_files files;
    struct error err;
    char path[160];
    struct stat before;
    struct stat after;
    (void)state;
    put(data_dir, "postgresql.conf", "of initdb");
    put(data_dir, "pg_hba.conf", "rules");
    gather(etc_dir, NULL);
    pg_conf_files_init(&files, data_dir, etc_dir, NULL);
    assert_int_equal(pg_conf_files_back_up(&files, &err), 0);
    expect(data_dir, "postgresql.base.conf.backup", "of initdb");
    expect(data_dir, "pg_hba.conf.backup", "rules");
    expect(data_dir, "pg_ident.conf.backup", "");
    snprintf(path, sizeof path, "%s/pg_hba.conf.backup", data_dir);
    assert_int_equal(stat(path, &before), 0);
    assert_int_equal(pg_conf_files_back_up(&files, &err), 0);
    assert_int_equal(stat(path, &after), 0);
    assert_true(before.st_ino == after.st_ino); /* the same is not written again */
    put(etc_dir, "pg_hba.conf", "newer rules");
    assert_int_equal(pg_conf_files_back_up(&files, &err), 0);
    expect(data_dir, "pg_hba.conf.backup", "newer rules");

    put(data_dir, "pg_hba.conf", "of long ago");
    put(data_dir, "postgresql.conf", PG_CONF_OURS "include 'postgresql.base.conf'\n");
    assert_int_equal(pg_tree_clear(etc_dir, &err), 0);
    gather(etc_dir, NULL);
    expect(etc_dir, "postgresql.base.conf", "of initdb");
    expect(etc_dir, "pg_hba.conf", "newer rules");
    expect(etc_dir, "pg_ident.conf", "");
}

/* pg_rewind removes what its source, whose configuration is apart, does not have. */
static void what_a_rewind_took_away_comes_back_of_the_backups(void **state)
{
    (void)state;
    put(data_dir, "postgresql.base.conf.backup",
        "data_directory = '/elsewhere'\nwork_mem = 7MB\ninclude_dir = 'conf.d'\nHBA_FILE='/x'\n");
    put(data_dir, "pg_hba.conf.backup", "rules");
    put(data_dir, "pg_ident.conf.backup", "names");
    gather(NULL, NULL);
    expect(data_dir, "postgresql.base.conf",
           "work_mem = 7MB\n"); /* its places are no places here */
    expect(data_dir, "pg_hba.conf", "rules");
    expect(data_dir, "pg_ident.conf", "names");
}

static int adopt(const char *config_dir)
{
    struct pg_conf_files files;
    struct error err = {0};
    pg_conf_files_init(&files, data_dir, config_dir, NULL);
    return pg_conf_files_adopt(&files, &err);
}

/* Until ours takes its place a server that runs must find it. */
static void of_a_server_that_runs_the_file_stays_and_its_copy_is_the_base(void **state)
{
    (void)state;
    assert_int_equal(adopt(NULL), ERR_NOT_FOUND);
    put(data_dir, "postgresql.conf", "work_mem = '7MB'\n");
    assert_int_equal(adopt(NULL), 0);
    expect(data_dir, "postgresql.conf", "work_mem = '7MB'\n");
    expect(data_dir, "postgresql.base.conf", "work_mem = '7MB'\n");
    put(data_dir, "postgresql.conf", "work_mem = '8MB'\n");
    assert_int_equal(adopt(NULL), 0); /* there is one already */
    expect(data_dir, "postgresql.base.conf", "work_mem = '7MB'\n");
    assert_int_equal(adopt(etc_dir), ERR_NOT_FOUND); /* what is beside the data it does not read */
    expect(etc_dir, "postgresql.base.conf", NULL);
}

static bool copies_hba(const char *config_dir)
{
    struct pg_conf_files files;
    pg_conf_files_init(&files, data_dir, config_dir, NULL);
    return pg_conf_files_copies_hba(&files);
}

/* Whoever is copied from it needs them, even where PostgreSQL refuses what ours is to be. */
static void what_is_adopted_is_backed_up_at_once(void **state)
{
    bool made;
    struct error err;
    (void)state;
    assert_int_equal(pg_dir_make(etc_dir, &made, &err), 0);
    put(etc_dir, "postgresql.conf", "work_mem = '7MB'\n");
    put(etc_dir, "pg_hba.conf", "rules");
    assert_false(copies_hba(etc_dir));
    assert_int_equal(adopt(etc_dir), 0);
    expect(data_dir, "postgresql.base.conf.backup", "work_mem = '7MB'\n");
    expect(data_dir, "pg_hba.conf.backup", "rules");
    expect(etc_dir, "postgresql.conf", "work_mem = '7MB'\n");
    assert_true(copies_hba(etc_dir));
}

static void rules_beside_the_data_come_along(void **state)
{
    (void)state;
    assert_false(copies_hba(NULL));
    put(data_dir, "pg_hba.conf", "rules");
    assert_true(copies_hba(NULL));
    assert_true(copies_hba(etc_dir));
}

/* A server without a pg_hba.conf beside its data runs by hba_file, and no reload makes one. */
static void rules_that_the_base_names_elsewhere_are_not_waited_for(void **state)
{
    (void)state;
    put(data_dir, "postgresql.conf", "hba_file = '/etc/pg/pg_hba.conf'\n");
    assert_false(copies_hba(NULL)); /* it is not taken over yet */
    assert_int_equal(adopt(NULL), 0);
    assert_true(copies_hba(NULL));
    assert_false(copies_hba(etc_dir));
}

static void of_our_own_file_no_base_is_made(void **state)
{
    (void)state;
    put(data_dir, "postgresql.conf", PG_CONF_OURS "x = 1\n");
    assert_int_equal(adopt(NULL), ERR_NOT_FOUND);
    expect(data_dir, "postgresql.base.conf", NULL);
}

static void nobody_waits_at_a_pipe(void **state)
{
    struct pg_conf_files files;
    struct error err;
    char path[160];
    (void)state;
    put(data_dir, "postgresql.conf", "of initdb");
    snprintf(path, sizeof path, "%s/pg_hba.conf", data_dir);
    assert_int_equal(mkfifo(path, 0600), 0);
    gather(NULL, NULL);
    pg_conf_files_init(&files, data_dir, NULL, NULL);
    assert_int_equal(pg_conf_files_back_up(&files, &err), 0);
    expect(data_dir, "pg_hba.conf.backup", NULL);
    expect(data_dir, "postgresql.base.conf.backup", "of initdb");
}

static void a_directory_that_cannot_be_made_is_named(void **state)
{
    struct pg_conf_files files;
    struct error err;
    char path[160];
    (void)state;
    put(data_dir, "file", "");
    snprintf(path, sizeof path, "%s/file/etc", data_dir);
    pg_conf_files_init(&files, data_dir, path, NULL);
    assert_true(pg_conf_files_gather(&files, &err) < 0);
    assert_non_null(strstr(err.text, "/data/file"));
}

/* clang-format off */
#define IN_DIR(test) cmocka_unit_test_setup_teardown(test, make_dir, remove_dir)
/* clang-format on */

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_DIR(beside_the_data_the_first_postgresql_conf_is_the_base),
        IN_DIR(a_base_that_is_lost_is_not_made_of_our_own_file),
        IN_DIR(apart_it_takes_what_initdb_has_made),
        IN_DIR(apart_what_is_there_stays),
        IN_DIR(backups_come_back_and_win_over_what_the_source_had_beside_its_data),
        IN_DIR(what_a_rewind_took_away_comes_back_of_the_backups),
        IN_DIR(of_a_server_that_runs_the_file_stays_and_its_copy_is_the_base),
        IN_DIR(what_is_adopted_is_backed_up_at_once),
        IN_DIR(rules_beside_the_data_come_along),
        IN_DIR(rules_that_the_base_names_elsewhere_are_not_waited_for),
        IN_DIR(of_our_own_file_no_base_is_made),
        IN_DIR(nobody_waits_at_a_pipe),
        IN_DIR(a_directory_that_cannot_be_made_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
