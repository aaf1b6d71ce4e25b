/* The file that is made from a PostgreSQL that runs. The functions below bear the names of libpq's
 * and are found before them: the server says what the test has it say. */
#include "agent/config/config.h"
#include "agent/config/yaml.h"
#include "agent/generate.h"
#include "base/mem.h"
#include "tests/harness/scratch.h"

#include <libpq-fe.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

enum { CELLS_MAX = 16 };

/* The answer to a query that has these words; `cells` row by row. */
struct answer {
    const char *words;
    int columns;
    const char *cells[CELLS_MAX];
};

static struct {
    char directory[256];
    char path[300];
    char said[4096];
    struct answer answers[6];
    const char *encoding;
    const char *password; /* NULL = "s3cret" */
} world;

PGconn *PQconnectdbParams(const char *const *names, const char *const *values, int expand)
{
    assert_int_equal(expand, 1);
    for (size_t i = 0; names[i] != NULL; i++) {
        world.encoding = strcmp(names[i], "client_encoding") == 0 ? values[i] : world.encoding;
    }
    return (PGconn *)(void *)&world;
}

ConnStatusType PQstatus(const PGconn *conn)
{
    (void)conn;
    return CONNECTION_OK;
}

void PQfinish(PGconn *conn)
{
    (void)conn;
}

char *PQpass(const PGconn *conn)
{
    static char password[] = "s3cret";
    (void)conn;
    return world.password != NULL ? (char *)(uintptr_t)world.password : password;
}

char *PQerrorMessage(const PGconn *conn)
{
    static char text[] = "ERROR:  permission denied to examine \"data_directory\"\n";
    (void)conn;
    return text;
}

PGresult *PQexec(PGconn *conn, const char *query)
{
    const struct answer *at = world.answers;
    PGresAttDesc columns[8] = {{.name = (char *)(uintptr_t) "data_directory"}};
    (void)conn;
    while (at->words != NULL && strstr(query, at->words) == NULL) {
        at++;
    }
    if (at->words == NULL) {
        return PQmakeEmptyPGresult(NULL, PGRES_FATAL_ERROR);
    }
    for (size_t i = 1; i < sizeof columns / sizeof columns[0]; i++) {
        columns[i].name = (char *)(uintptr_t) "another";
    }
    PGresult *result = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
    assert_int_equal(PQsetResultAttrs(result, at->columns, columns), 1);
    for (int i = 0; i < CELLS_MAX && at->cells[i] != NULL; i++) {
        char *text = mem_strdup(at->cells[i]);
        assert_int_equal(
            PQsetvalue(result, i / at->columns, i % at->columns, text, (int)strlen(text)), 1);
        mem_free(text);
    }
    return result;
}

/* A superuser and a server with little in it; tests change what they are about. */
static const struct answer plain[] = {
    {"current_setting('is_superuser')", 2, {"postgres", "on"}},
    {"BINDIR",
     8,
     {"/data", "/etc/15/main.conf", "5432", "10.0.0.1", "", "/usr/bin", "postgres", "repl"}},
    {"pg_settings", 2, {"max_connections", "200", "work_mem", "9MB"}},
    {"hba_file", 2, {"host all all 0.0.0.0/0 scram-sha-256", "line 3"}},
    {"ident_file", 2, {NULL}},
};

static int made(void)
{
    int saved = dup(2);
    FILE *file = tmpfile();
    (void)fflush(stderr);
    dup2(fileno(file), 2);
    int status = generate_from_instance(world.path, NULL);
    (void)fflush(stderr);
    dup2(saved, 2);
    close(saved);
    rewind(file);
    world.said[fread(world.said, 1, sizeof(world.said) - 1, file)] = '\0';
    fclose(file);
    return status;
}

static void says(const char *words)
{
    if (strstr(world.said, words) == NULL) {
        fail_msg("'%s' is not in: %s", words, world.said);
    }
    assert_int_equal(access(world.path, F_OK), -1); /* and nothing was made */
}

static void what_the_server_has_is_in_the_file(void **state)
{
    struct config config;
    struct error err = {0};
    (void)state;
    assert_int_equal(made(), 0);
    assert_string_equal(world.said, "");
    if (config_load(world.path, &config, NULL, &err) != 0) {
        fail_msg("%s", err.text);
    }
    assert_string_equal(config.postgresql.listen.text, "10.0.0.1:5432");
    assert_string_equal(config.postgresql.data_dir, "/data");
    assert_string_equal(config.postgresql.config_dir, "/etc/15");
    assert_string_equal(config.postgresql.config_base_name, "main");
    assert_string_equal(config.postgresql.superuser.password, "s3cret");
    assert_string_equal(config.postgresql.replication.username, "repl");
    assert_int_equal(config.postgresql.pg_hba.count, 1);
    assert_string_equal(
        json_string_value(json_object_get(config.postgresql.parameters, "work_mem")), "9MB");
    config_free(&config);
}

/* What it keeps out would be let in without the line. */
static void a_line_that_is_no_utf8_is_told_and_nothing_is_made(void **state)
{
    (void)state;
    world.answers[3] = (struct answer){"hba_file",
                                       2,
                                       {"host \"caf\xe9\" all 0.0.0.0/0 reject", "line 3",
                                        "host all all 0.0.0.0/0 scram-sha-256", "line 4"}};
    assert_int_equal(made(), 1);
    says("hba_file line 3 is no UTF-8");
    assert_string_equal(world.encoding, "SQL_ASCII"); /* bytes come as they are in the file */
}

static void a_setting_that_is_no_utf8_is_told(void **state)
{
    (void)state;
    world.answers[2] = (struct answer){"pg_settings", 2, {"my.name", "caf\xe9"}};
    assert_int_equal(made(), 1);
    says("the setting my.name is no UTF-8");
    world.answers[2] = (struct answer){"pg_settings", 2, {"max_connections", "1\xe9"}};
    assert_int_equal(made(), 1);
    says("the setting max_connections is no UTF-8");
    world.answers[1].cells[0] = "/caf\xe9";
    assert_int_equal(made(), 1);
    says("the value of data_directory is no UTF-8");
}

static void a_password_that_is_no_utf8_is_told(void **state)
{
    (void)state;
    world.password = "caf\xe9";
    assert_int_equal(made(), 1);
    says("the password of postgres is no UTF-8");
}

/* Half of one would keep the next try from being made. */
static void a_file_that_cannot_be_written_is_not_left_there(void **state)
{
    struct rlimit before;
    (void)state;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    (void)signal(SIGXFSZ, SIG_IGN);
    const struct rlimit small = {.rlim_cur = 100, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    int status = generate_from_instance(world.path, NULL);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(status, 1);
    assert_int_equal(access(world.path, F_OK), -1);
}

/* The rest may be what only a superuser is told of. */
static void another_user_is_told_what_is_needed(void **state)
{
    (void)state;
    world.answers[0] = (struct answer){"current_setting('is_superuser')", 2, {"someone", "off"}};
    world.answers[1].words = "never asked";
    assert_int_equal(made(), 1);
    says("'someone' is no superuser: give the connection of one in --dsn");
}

static void addresses_are_those_that_are_listened_on(void **state)
{
    static const char *const rows[][4] = {
        {"10.0.0.1", "5433", "10.0.0.1:5433", "10.0.0.1:5433"},
        {"fd00::5", "5433", "[fd00::5]:5433", "[fd00::5]:5433"},
        {"localhost, fd00::5", "5433", "localhost,fd00::5:5433", "[fd00::5]:5433"},
        {"*", "5432", "*:5432", "192.0.2.9:5432"},
        {"::", "5432", "*:5432", "192.0.2.9:5432"},
        {"::1", "5432", "::1,192.0.2.9:5432", "192.0.2.9:5432"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        json_t *section = json_object();
        generate_addresses("192.0.2.9", rows[i][0], rows[i][1], section);
        assert_string_equal(json_string_value(json_object_get(section, "listen")), rows[i][2]);
        assert_string_equal(json_string_value(json_object_get(section, "connect_address")),
                            rows[i][3]);
        json_decref(section);
    }
}

/* As the agent reads it. */
static void one_v6_address_is_listened_on_with_its_port(void **state)
{
    struct config config;
    struct error err = {0};
    (void)state;
    world.answers[1].cells[2] = "5433";
    world.answers[1].cells[3] = "fd00::5";
    assert_int_equal(made(), 0);
    if (config_load(world.path, &config, NULL, &err) != 0) {
        fail_msg("%s", err.text);
    }
    assert_string_equal(config.postgresql.listen.host, "fd00::5");
    assert_int_equal(config.postgresql.listen.port, 5433);
    config_free(&config);
}

static int start(void **state)
{
    (void)state;
    scratch_make(world.directory, sizeof world.directory, "/tmp", "generate");
    (void)snprintf(world.path, sizeof world.path, "%s/made.yml", world.directory);
    memset(world.answers, 0, sizeof world.answers);
    memcpy(world.answers, plain, sizeof plain);
    world.password = NULL;
    return 0;
}

static int end(void **state)
{
    (void)state;
    (void)unlink(world.path);
    return rmdir(world.directory);
}

int main(void)
{
    json_set_alloc_funcs(mem_try, mem_free); /* as agent/app.c does */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_the_server_has_is_in_the_file, start, end),
        cmocka_unit_test_setup_teardown(a_line_that_is_no_utf8_is_told_and_nothing_is_made, start,
                                        end),
        cmocka_unit_test_setup_teardown(a_setting_that_is_no_utf8_is_told, start, end),
        cmocka_unit_test_setup_teardown(a_password_that_is_no_utf8_is_told, start, end),
        cmocka_unit_test_setup_teardown(a_file_that_cannot_be_written_is_not_left_there, start,
                                        end),
        cmocka_unit_test_setup_teardown(another_user_is_told_what_is_needed, start, end),
        cmocka_unit_test_setup_teardown(addresses_are_those_that_are_listened_on, start, end),
        cmocka_unit_test_setup_teardown(one_v6_address_is_listened_on_with_its_port, start, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
