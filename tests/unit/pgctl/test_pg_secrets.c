/* Passwords on their way into a new cluster: real servers that log and keep all they are told. */
#include "pgctl/conf/pg_password.h"
#include "tests/unit/pgctl/pg_stage.h"

/* Of the password "by-verifier". */
#define VERIFIER                                    \
    "SCRAM-SHA-256$4096:c2FsdHNhbHRzYWx0c2FsdA==$"  \
    "l47oFwKOMjYoM0LL0RDkb/qY+AGYxxiD2z4b6Arezxk=:" \
    "B0Vk16IVA99D6/MMulq2hY8ouM/qNd/aA/LpC80+aJ8="

/* initdb leaves a file that has every statement logged, explained and counted, and more. */
static void node_loud(const struct node *node, const char *more)
{
    char *script = mem_printf(
        PG_BIN "/initdb \"$@\" || exit\n"
               "cat >> data/postgresql.conf <<'END'\n"
               "log_statement = all\n"
               "log_min_duration_statement = 0\n"
               "log_min_duration_sample = 0\n"
               "log_statement_sample_rate = 1\n"
               "log_transaction_sample_rate = 1\n"
               "log_duration = on\n"
               "log_min_error_statement = debug5\n"
               "log_statement_stats = on\n"
               "debug_print_parse = on\n"
               "auto_explain.log_min_duration = 0\n"
               "shared_preload_libraries = 'pg_stat_statements,auto_explain,passwordcheck'\n"
               "%s\nEND",
        more);
    node_program(node, "initdb", script);
    mem_free(script);
}

/* passwordcheck lets no short password through, unless it does not see it. */
static void bootstrap_with_users(struct node *node)
{
    static const char *const initdb[] = {"encoding=UTF8", "no-sync", "wal-segsize=1"};
    static const char *const none[] = {"NOLOGIN"};
    const struct pg_user users[] = {{.name = "short", .password = "s3cret"},
                                    {.name = "hashed", .password = VERIFIER},
                                    {.name = "half", .password = "SCRAM-SHA-256$4096:half"},
                                    {.name = "quoted'\"\\", .password = "a'b\\c d"},
                                    {.name = "group", .options = {none, 1}}};
    struct pg_bootstrap bootstrap = {
        .initdb = {initdb, 3}, .users = users, .user_count = sizeof users / sizeof users[0]};
    struct outcome outcome = {0};
    struct error err;

    assert_int_equal(pg_instance_bootstrap(node->pg, &bootstrap, LONG_MS, on_done, &outcome, &err),
                     0);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, 0);
}

static bool may_log_in(const struct node *node, const char *user, const char *password)
{
    char port[8];
    snprintf(port, sizeof port, "%u", node->port);
    const char *const names[] = {"host", "port", "user", "password", "dbname", NULL};
    const char *const values[] = {"127.0.0.1", port, user, password, "postgres", NULL};
    PGconn *conn = PQconnectdbParams(names, values, 0);
    bool in = PQstatus(conn) == CONNECTION_OK;
    PQfinish(conn);
    return in;
}

static void expect_log_ins(const struct node *node)
{
    assert_true(may_log_in(node, "short", "s3cret"));
    assert_true(may_log_in(node, "hashed", "by-verifier"));
    assert_false(may_log_in(node, "hashed", VERIFIER));
    assert_true(may_log_in(node, "half", "SCRAM-SHA-256$4096:half"));
    assert_true(may_log_in(node, "quoted'\"\\", "a'b\\c d"));
    assert_true(may_log_in(node, "rewind_user", "rewind_password"));
    assert_false(may_log_in(node, "group", "group"));
    assert_false(may_log_in(node, "short", "wrong"));
}

static void expect_sql(const struct node *node, const char *sql, const char *expected)
{
    char value[256];
    node_sql(node, sql, value, sizeof value);
    assert_string_equal(value, expected);
}

static void no_password_gets_into_the_log_or_the_statistics(void **state)
{
    struct node *node = node_new("n1");
    (void)state;
    node_loud(node, "");
    bootstrap_with_users(node);
    expect_log_ins(node);
    expect_sql(node,
               "SELECT string_agg(rolname, ',' ORDER BY rolname) FROM pg_authid"
               " WHERE rolpassword LIKE 'SCRAM-SHA-256$4096:%'",
               "half,hashed,postgres,quoted'\"\\,replicator,rewind_user,short");
    expect_sql(node, "SELECT rolpassword FROM pg_authid WHERE rolname = 'hashed'", VERIFIER);

    /* Loud indeed: what others say is there. */
    node_do(node, "CREATE EXTENSION pg_stat_statements");
    node_do(node, "CREATE ROLE loud PASSWORD '" VERIFIER "'");
    node_stop(node, FENCE_STOP_FAST, LONG_MS);
    assert_int_equal(run("grep -q 'CREATE ROLE loud' %s", node->fence_log), 0);
    static const char *const secrets[] = {"rep-pass", "rewind_password", "s3cret",     "4096:half",
                                          "a'b",      SUPER_PASS,        "ROLE .short"};
    for (size_t i = 0; i < sizeof secrets / sizeof secrets[0]; i++) {
        if (run("grep -q \"%s\" %s", secrets[i], node->fence_log) == 0) {
            fail_msg("the log has '%s'", secrets[i]);
        }
    }
    assert_int_equal(run("test $(grep -o 'SCRAM-SHA-256.4096' %s | wc -l) -gt 0", node->fence_log),
                     0);
    assert_int_equal(
        run("! grep 'SCRAM-SHA-256.4096' %s | grep -v loud | grep -q ROLE", node->fence_log), 0);
    node_start_well(node, PG_START_PRIMARY, NULL);
    expect_sql(node,
               "SELECT count(*) FROM pg_stat_statements WHERE query ~ 'ROLE .*PASSWORD'"
               " AND query !~ 'loud'",
               "0");
    expect_sql(node, "SELECT count(*) > 0 FROM pg_stat_statements WHERE query ~ 'ROLE loud'", "t");
    node_free(node);
}

static void the_servers_password_encryption_is_honoured(void **state)
{
    struct node *node = node_new("n1");
    (void)state;
    node_loud(node, "password_encryption = md5");
    bootstrap_with_users(node);
    expect_log_ins(node);
    expect_sql(node,
               "SELECT string_agg(rolname, ',' ORDER BY rolname) FROM pg_authid"
               " WHERE rolpassword ~ '^md5[0-9a-f]{32}$'",
               "half,quoted'\"\\,replicator,rewind_user,short");
    node_free(node);
}

/* As with Patroni: LC_ALL=C is for programs whose output is read. */
static void the_clusters_locale_is_that_of_the_environment(void **state)
{
    (void)state;
    assert_int_equal(setenv("LC_ALL", "C.UTF-8", 1), 0);
    struct node *node = node_new("n1");
    assert_int_equal(unsetenv("LC_ALL"), 0);
    bootstrap_with_users(node);
    expect_sql(node,
               "SELECT datcollate || ' ' || pg_encoding_to_char(encoding) FROM pg_database"
               " WHERE datname = 'postgres'",
               "C.UTF-8 UTF8");
    node_free(node);
}

/* As get_password_type() of the server (13 to 17) tells them. */
static void a_verifier_is_told_from_a_password(void **state)
{
    static const char *const verifiers[] = {VERIFIER, "md50123456789abcdef0123456789abcdef",
                                            "SCRAM-SHA-256$1:c2FsdA==$"
                                            "l47oFwKOMjYoM0LL0RDkb/qY+AGYxxiD2z4b6Arezxk=:"
                                            "B0Vk16IVA99D6/MMulq2hY8ouM/qNd/aA/LpC80+aJ8="};
    static const char *const passwords[] = {
        "",
        "md5",
        "md50123456789abcdef0123456789abcde",
        "md50123456789abcdef0123456789abcdef0",
        "md50123456789ABCDEF0123456789abcdef",
        "SCRAM-SHA-256",
        "SCRAM-SHA-256$",
        "SCRAM-SHA-256$x:c2FsdA==$a:b",
        "SCRAM-SHA-256$4096:$l47oFwKOMjYoM0LL0RDkb/qY+AGYxxiD2z4b6Arezxk=:"
        "B0Vk16IVA99D6/MMulq2hY8ouM/qNd/aA/LpC80+aJ8=",
        "SCRAM-SHA-256$4096:c2FsdA==$l47oFwKOMjYoM0LL0RDkb/qY+AGYxxiD2z4b6Arezxk=",
        "SCRAM-SHA-256$4096:c2FsdA==$l47oFwKOMjYoM0LL0RDkb/qY+AGYxxiD2z4b6Arezxk=:short=",
        VERIFIER "x",
        "SCRAM-SHA-256$4096:c2F!dA==$l47oFwKOMjYoM0LL0RDkb/qY+AGYxxiD2z4b6Arezxk=:"
        "B0Vk16IVA99D6/MMulq2hY8ouM/qNd/aA/LpC80+aJ8=",
    };
    (void)state;
    for (size_t i = 0; i < sizeof verifiers / sizeof verifiers[0]; i++) {
        if (!pg_password_is_verifier(verifiers[i])) {
            fail_msg("'%s' is one", verifiers[i]);
        }
    }
    for (size_t i = 0; i < sizeof passwords / sizeof passwords[0]; i++) {
        if (pg_password_is_verifier(passwords[i])) {
            fail_msg("'%s' is none", passwords[i]);
        }
    }
}

static int all_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_verifier_is_told_from_a_password),
        cmocka_unit_test_setup_teardown(no_password_gets_into_the_log_or_the_statistics, stage_open,
                                        stage_close),
        cmocka_unit_test_setup_teardown(the_servers_password_encryption_is_honoured, stage_open,
                                        stage_close),
        cmocka_unit_test_setup_teardown(the_clusters_locale_is_that_of_the_environment, stage_open,
                                        stage_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(int argc, char **argv)
{
    return stage_main(argc, argv, all_tests);
}
