/* Our texts as PostgreSQL 15 itself and its libpq read them, and its pg_controldata as we read it.
 *
 * No server is started: `postgres -C NAME` reads the files and the command line as a start would,
 * and prints the value. As root this runs as user postgres. Everything lies in one directory under
 * /tmp, which is removed at the end. */
#include "base/mem.h"
#include "pgctl/conf/pg_conf.h"
#include "pgctl/conf/pg_controlled.h"
#include "pgctl/pg_parse.h"
#include "tests/harness/pg_bin.h"
#include "tests/harness/process.h"
#include "tests/harness/scratch.h"

#include <libpq-fe.h>
#include <pwd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define OUTPUT_MAX 65536

static char dir[64];            /* the data directory is below it */
static char output[OUTPUT_MAX]; /* of the last command */

/* --- small things ----------------------------------------------------------------------------- */

static void file_put(const char *name, const void *data, size_t len)
{
    char *path = mem_printf("%s/%s", dir, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, 0600), 0);
    mem_free(path);
}

static size_t file_get(const char *name, char *ret_bytes, size_t size)
{
    char *path = mem_printf("%s/%s", dir, name);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    size_t len = fread(ret_bytes, 1, size, file);
    fclose(file);
    mem_free(path);
    return len;
}

/* Runs argv with `locale`, both outputs into `output`; returns the exit status. */
static int run(const char *const *argv, const char *locale)
{
    int ends[2];
    int status = -1;
    size_t len = 0;
    ssize_t got;
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    if (pid == 0) {
        (void)dup2(ends[1], 1);
        (void)dup2(ends[1], 2);
        close(ends[0]);
        close(ends[1]);
        (void)setenv("LC_ALL", locale, 1);
        (void)setenv("LANGUAGE", "de", 1);
        execv(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    close(ends[1]);
    while ((got = read(ends[0], output + len, sizeof output - 1 - len)) > 0) {
        len += (size_t)got;
    }
    output[len] = '\0';
    close(ends[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* The value of `name` as a postmaster would have it, in `output` without its line end; `arguments`
 * may be NULL. */
static int value_of(const char *name, char *const *arguments, size_t count)
{
    char *data = mem_printf("%s/data", dir);
    const char *argv[PG_CONF_ARGS_MAX + 8] = {PG_BIN "/postgres", "-D", data};
    size_t argc = 3;
    for (size_t i = 0; i < count; i++) {
        argv[argc++] = arguments[i];
    }
    argv[argc++] = "-C";
    argv[argc++] = name;
    int rc = run(argv, "C");
    size_t len = strlen(output);
    if (len > 0 && output[len - 1] == '\n') {
        output[len - 1] = '\0';
    }
    mem_free(data);
    return rc;
}

static void value_is(const char *name, const char *expected)
{
    int rc = value_of(name, NULL, 0);
    if (rc != 0 || strcmp(output, expected) != 0) {
        fail_msg("%s: status %d, '%s', not '%s'", name, rc, output, expected);
    }
}

static struct pg_conf plain_conf(void)
{
    return (struct pg_conf){.scope = "demo", .member = "n1", .listen = "127.0.0.1", .port = 5433};
}

static void write_conf(const struct pg_conf *conf)
{
    struct buf out = BUF_INIT;
    pg_conf_put(&out, conf);
    file_put("data/postgresql.conf", out.data, out.len);
    buf_free(&out);
}

/* --- postgresql.conf -------------------------------------------------------------------------- */

static void every_value_that_is_let_in_comes_out_the_same(void **state)
{
    static const char *const values[] = {"",
                                         "plain",
                                         "it's",
                                         "''",
                                         "\\",
                                         "\\\\",
                                         "\\n\\t\\101\\x41",
                                         "'\\''",
                                         "a\tb",
                                         " spaces ",
                                         "# no comment",
                                         "a=b",
                                         "%f \"%p\" $HOME `x` {};|&",
                                         "\xC3\xA4\xF0\x9F\x90\x98",
                                         "\x7F\x80\xFF",
                                         "include 'x'",
                                         "'; port = '1",
                                         "\\'",
                                         "on",
                                         "0x10"};
    (void)state;
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        const struct pg_parameter items[] = {{"archive_command", values[i]}, {"own.x", values[i]}};
        const struct pg_parameter restore = {"restore_command", values[i]};
        struct error err = {0};
        struct pg_conf conf = plain_conf();
        conf.parameters = (struct pg_parameters){items, 2};
        conf.recovery_conf = (struct pg_parameters){&restore, 1};
        assert_int_equal(pg_parameters_check(&conf.parameters, &err), 0);
        write_conf(&conf);
        value_is(i % 3 == 0   ? "archive_command"
                 : i % 3 == 1 ? "own.x"
                              : "restore_command",
                 values[i]);
    }
    value_is("port", "5433");
}

/* All that one byte can be, in one value; and one of 40,000 bytes. */
static void long_values_and_all_bytes_come_out_the_same(void **state)
{
    struct pg_conf conf = plain_conf();
    char *all = mem_alloc(40001);
    size_t len = 0;
    (void)state;
    for (int c = 1; c < 256; c++) {
        const char one[] = {(char)c, '\0'};
        if (pg_conf_is_line(one)) {
            all[len++] = (char)c;
        }
    }
    assert_int_equal(len, 225); /* 255 without 30 control characters */
    const struct pg_parameter item = {"archive_command", all};
    conf.parameters = (struct pg_parameters){&item, 1};
    write_conf(&conf);
    value_is("archive_command", all);
    for (; len < 40000; len++) {
        all[len] = "x'\\"[len % 3];
    }
    write_conf(&conf);
    value_is("archive_command", all);
    mem_free(all);
}

/* PostgreSQL does not start with a name that it cannot read; so these are the names to be refused.
 * Names with bytes from 0x80 on it reads, and we do not take them. */
static void names_are_taken_as_postgresql_takes_them(void **state)
{
    static const char *const names[] = {"own.x", "_a._b9", "a.b.c", "a..b", "a.",   ".a",  "a.9",
                                        "a.b$c", "a-b.c",  "a b.c", "9.a",  "a.b'", "a.b#"};
    struct error err = {0};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const struct pg_parameter item = {names[i], "x"};
        const struct pg_parameters parameters = {&item, 1};
        struct pg_conf conf = plain_conf();
        conf.parameters = parameters;
        write_conf(&conf);
        bool starts = value_of("port", NULL, 0) == 0;
        bool taken = pg_parameters_check(&parameters, &err) == 0;
        /* a.b# is a name, and a comment instead of its value */
        if (starts != taken && strcmp(names[i], "a.b#") != 0) {
            fail_msg("'%s' is %s, PostgreSQL says: %s", names[i], taken ? "taken" : "refused",
                     output);
        }
        assert_true(starts || !taken);
    }
}

/* Three of them are limited in their sum, too: PostgreSQL says that in other words. */
static void numbers_have_the_bounds_of_postgresql(void **state)
{
    static const char words[] = "is outside the valid range for parameter";
    struct pg_conf conf = plain_conf();
    (void)state;
    write_conf(&conf);
    for (size_t i = 0; i < pg_controlled_count; i++) {
        const struct pg_controlled *row = &pg_controlled[i];
        if (row->kind != PG_VALUE_NUMBER) {
            continue;
        }
        char *largest = mem_printf("--%s=%ld", row->name, row->max);
        char *beyond = mem_printf("--%s=%ld", row->name, row->max + 1);
        char *smallest = mem_printf("--%s=%ld", row->name, row->min);
        (void)value_of(row->name, &largest, 1);
        assert_null(strstr(output, words));
        assert_int_not_equal(value_of(row->name, &beyond, 1), 0);
        assert_true(strstr(output, words) != NULL || row->max == INT32_MAX);
        assert_int_equal(value_of(row->name, &smallest, 1), 0);
        assert_int_equal(strtol(output, NULL, 10), row->min);
        mem_free(largest);
        mem_free(beyond);
        mem_free(smallest);
    }
}

/* The base file, our file, postgresql.auto.conf, and the command line all say something else. */
static void what_is_ours_wins_over_every_other_place(void **state)
{
    static const char base[] = "port = 1\nprimary_conninfo = 'host=base'\nmax_connections = 50\n"
                               "recovery_target_lsn = '0/1'\nwork_mem = '2MB'\n";
    static const char automatic[] = "# Do not edit\nport'2'\n primary_conninfo 'host=auto'\n"
                                    "recovery_target_time='2020-01-01'\nwork_mem = '3MB'\n"
                                    "max_connections = 60\n";
    const struct pg_parameter items[] = {{"max_connections", "70"}, {"work_mem", "1MB"}};
    struct buf filtered = BUF_INIT;
    struct pg_conf conf = plain_conf();
    char *arguments[PG_CONF_ARGS_MAX];
    (void)state;
    conf.parameters = (struct pg_parameters){items, 2};
    file_put("data/postgresql.base.conf", base, strlen(base));
    write_conf(&conf);
    value_is("primary_conninfo", "service=pgquorum application_name='n1'");
    pg_conf_filter_auto(&filtered, span_str(automatic));
    file_put("data/postgresql.auto.conf", filtered.data, filtered.len);
    value_is("port", "5433");
    value_is("primary_conninfo", "service=pgquorum application_name='n1'");
    value_is("recovery_target_lsn", "");
    value_is("recovery_target_time", "");
    value_is("work_mem", "3072");      /* ALTER SYSTEM may have set it */
    value_is("max_connections", "60"); /* this, too; hence: */
    size_t count = pg_conf_arguments(&conf, arguments, PG_CONF_ARGS_MAX);
    assert_int_equal(value_of("max_connections", arguments, count), 0);
    assert_string_equal(output, "70");
    for (size_t i = 0; i < count; i++) {
        mem_free(arguments[i]);
    }
    file_put("data/postgresql.base.conf", "", 0);
    file_put("data/postgresql.auto.conf", "", 0);
    buf_free(&filtered);
}

/* --- what libpq reads ------------------------------------------------------------------------- */

static const char *const odd_names[] = {"n1", "it's \\ n1", "a=b c", "'", "\\", "\xC3\xA4", "a\tb"};

/* Twice quoted: for libpq, and then for the file. */
static void the_upstream_is_asked_under_the_members_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof odd_names / sizeof odd_names[0]; i++) {
        struct pg_conf conf = plain_conf();
        char *message = NULL;
        const char *service = NULL;
        const char *application = NULL;
        conf.member = odd_names[i];
        write_conf(&conf);
        assert_int_equal(value_of("primary_conninfo", NULL, 0), 0);
        PQconninfoOption *options = PQconninfoParse(output, &message);
        assert_non_null(options);
        for (PQconninfoOption *option = options; option->keyword != NULL; option++) {
            if (strcmp(option->keyword, "service") == 0) {
                service = option->val;
            } else if (strcmp(option->keyword, "application_name") == 0) {
                application = option->val;
            }
        }
        assert_string_equal(service, PG_SERVICE_NAME);
        assert_string_equal(application, odd_names[i]);
        PQconninfoFree(options);
    }
}

/* A connection that was begun, by the service's name; the caller ends it. */
static PGconn *begin(const struct pg_service *service)
{
    struct buf out = BUF_INIT;
    char *path = mem_printf("%s/service.conf", dir);
    pg_conf_service(&out, service);
    file_put("service.conf", out.data, out.len);
    assert_int_equal(setenv("PGSERVICEFILE", path, 1), 0);
    PGconn *conn = PQconnectStart("service=" PG_SERVICE_NAME);
    assert_non_null(conn);
    buf_free(&out);
    mem_free(path);
    return conn;
}

static void the_service_and_the_password_file_say_where_and_as_whom(void **state)
{
    char *passfile = mem_printf("%s/pgpass", dir);
    static const char *const passwords[] = {"secret", "a:b\\c*", "*", "\\", ":", " x ", "#'\""};
    (void)state;
    for (size_t i = 0; i < sizeof passwords / sizeof passwords[0]; i++) {
        struct pg_service service = {
            .host = "127.0.0.1", .port = 1, .user = odd_names[i], .passfile = passfile};
        struct buf out = BUF_INIT;
        pg_conf_pgpass(&out, "another", "wrong");
        pg_conf_pgpass(&out, "*", "of the user called *");
        pg_conf_pgpass(&out, odd_names[i], passwords[i]);
        pg_conf_pgpass(&out, NULL, "of anybody");
        file_put("pgpass", out.data, out.len);
        PGconn *conn = begin(&service);
        assert_string_equal(PQhost(conn), "127.0.0.1");
        assert_string_equal(PQport(conn), "1");
        assert_string_equal(PQuser(conn), odd_names[i]);
        assert_string_equal(PQpass(conn), passwords[i]);
        PQfinish(conn);
        service.user = "somebody";
        conn = begin(&service);
        assert_string_equal(PQpass(conn), "of anybody");
        PQfinish(conn);
        buf_free(&out);
    }
    mem_free(passfile);
}

static void a_detached_service_fails_at_once(void **state)
{
    const struct pg_service service = {.host = NULL};
    (void)state;
    PGconn *conn = begin(&service);
    assert_int_equal(PQstatus(conn), CONNECTION_BAD);
    assert_non_null(strstr(PQerrorMessage(conn), "/dev/null"));
    PQfinish(conn);
}

/* --- pg_controldata --------------------------------------------------------------------------- */

static int read_control(const char *locale, struct pg_control *ret_control, struct error *err)
{
    char *data = mem_printf("%s/data", dir);
    const char *const argv[] = {PG_BIN "/pg_controldata", "-D", data, NULL};
    int status = run(argv, locale);
    mem_free(data);
    if (status != 0) {
        return error_set(err, ERR_IO, "pg_controldata ended with status %d", status);
    }
    return pg_controldata_parse(span_str(output), ret_control, err);
}

static void a_new_instance_is_read(void **state)
{
    struct pg_control control;
    struct error err = {0};
    (void)state;
    int rc = read_control("C", &control, &err);
    if (rc != 0) {
        fail_msg("%s", err.text);
    }
    assert_int_equal(control.state, PG_CONTROL_SHUT_DOWN);
    assert_int_equal(control.timeline, 1);
    assert_int_equal(control.wal_segment_bytes, 16 * 1024 * 1024);
    assert_int_equal(control.max_connections, 100);
    assert_true(control.data_checksums);
    struct pg_local_position position = pg_local_position_of(&control);
    assert_true(position.was_primary && position.clean && position.lsn != 0);
}

static void another_language_is_not_half_understood(void **state)
{
    struct pg_control control;
    struct error err = {0};
    (void)state;
    int rc = read_control("C.UTF-8", &control, &err);
    bool translated = strstr(output, "heruntergefahren") != NULL; /* the words are installed */
    assert_int_equal(rc, translated ? ERR_CORRUPT : 0);
}

/* Every eighth byte of what the checksum covers, changed one at a time. */
static void a_damaged_control_file_is_never_believed(void **state)
{
    static char good[8192];
    static char bad[8192];
    struct pg_control control;
    struct error err = {0};
    size_t len = file_get("data/global/pg_control", good, sizeof good);
    (void)state;
    assert_int_equal(len, sizeof good);
    for (size_t at = 0; at < 288; at += 8) {
        memcpy(bad, good, len);
        bad[at] = (char)(bad[at] ^ 0x10);
        file_put("data/global/pg_control", bad, len);
        if (read_control("C", &control, &err) == 0) {
            fail_msg("byte %zu is wrong, and the file was believed", at);
        }
    }
    file_put("data/global/pg_control", good, 100);
    assert_int_not_equal(read_control("C", &control, &err), 0);
    file_put("data/global/pg_control", good, len);
    assert_int_equal(read_control("C", &control, &err), 0);
}

/* --- the program ------------------------------------------------------------------------------ */

static int make_instance(void **state)
{
    char *data = mem_printf("%s/data", dir);
    const char *const argv[] = {
        PG_BIN "/initdb",    "-D", data, "-A", "trust", "-N", "-k", "-U", "postgres",
        "--no-instructions", NULL};
    int rc = run(argv, "C");
    (void)state;
    mem_free(data);
    if (rc != 0) {
        print_message("initdb: %s\n", output);
        return -1;
    }
    file_put("data/postgresql.base.conf", "", 0);
    file_put("data/postgresql.sync.conf", "", 0);
    return 0;
}

static int all_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_value_that_is_let_in_comes_out_the_same),
        cmocka_unit_test(long_values_and_all_bytes_come_out_the_same),
        cmocka_unit_test(names_are_taken_as_postgresql_takes_them),
        cmocka_unit_test(numbers_have_the_bounds_of_postgresql),
        cmocka_unit_test(what_is_ours_wins_over_every_other_place),
        cmocka_unit_test(the_upstream_is_asked_under_the_members_name),
        cmocka_unit_test(the_service_and_the_password_file_say_where_and_as_whom),
        cmocka_unit_test(a_detached_service_fails_at_once),
        cmocka_unit_test(a_new_instance_is_read),
        cmocka_unit_test(another_language_is_not_half_understood),
        cmocka_unit_test(a_damaged_control_file_is_never_believed),
    };
    return cmocka_run_group_tests(tests, make_instance, NULL);
}

int main(int argc, char **argv)
{
    const struct passwd *user = getpwnam("postgres");
    if (argc > 1) {
        cmocka_set_test_filter(argv[1]);
    }
    scratch_make(dir, sizeof dir, "/tmp", "conf");
    if (chdir("/") != 0) {
        return 1;
    }
    bool root = geteuid() == 0 && user != NULL;
    if (root && chown(dir, user->pw_uid, user->pw_gid) != 0) {
        return 1;
    }
    int rc = root ? run_as_user(user, NULL, NULL, all_tests) : all_tests();
    const char *const cleanup[] = {"/bin/rm", "-rf", dir, NULL};
    (void)run(cleanup, "C");
    return rc == 0 ? 0 : 1;
}
