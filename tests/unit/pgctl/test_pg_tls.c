/* Accounts whose connections have to be encrypted, to a server with the right certificate, by a
 * client with one of its own: real servers that let nothing else in over TCP. */
#include "tests/unit/pgctl/pg_stage.h"

static char tls_dir[64];

/* Two authorities, and certificates of the first. A client's key is encrypted. */
static void make_certificates(void)
{
    snprintf(tls_dir, sizeof tls_dir, "%s/tls", stage_dir);
    int rc =
        run("mkdir -p -m 0700 %s && cd %s && exec >/dev/null 2>&1\n"
            "for ca in ca other; do\n"
            "  openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=$ca -keyout $ca.key"
            "    -out $ca.crt || exit 1\n"
            "done\n"
            "for name in 127.0.0.1 somewhere.else client; do\n"
            "  openssl req -newkey rsa:2048 -nodes -subj /CN=$name -keyout $name.key -out $name.csr"
            "    && openssl x509 -req -in $name.csr -CA ca.crt -CAkey ca.key -CAcreateserial"
            "      -days 2 -out $name.crt || exit 1\n"
            "done\n"
            "openssl rsa -aes256 -passout 'pass:key secret' -in client.key -out locked.key"
            " && chmod 0600 *.key",
            tls_dir, tls_dir);
    assert_int_equal(rc, 0);
}

static const char *tls_file(const char *name)
{
    static char paths[4][128];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", tls_dir, name);
    return path;
}

static int tls_open(void **state)
{
    static bool made;
    if (!made) {
        make_certificates();
        made = true;
    }
    return stage_open(state);
}

/* Every account encrypts, checks the server, and shows its certificate. */
static struct pg_security strict(void)
{
    return (struct pg_security){{[PG_SECURITY_SSLMODE] = "verify-full",
                                 [PG_SECURITY_SSLROOTCERT] = tls_file("ca.crt"),
                                 [PG_SECURITY_SSLCERT] = tls_file("client.crt"),
                                 [PG_SECURITY_SSLKEY] = tls_file("locked.key"),
                                 [PG_SECURITY_SSLPASSWORD] = "key secret",
                                 [PG_SECURITY_CHANNEL_BINDING] = "require",
                                 [PG_SECURITY_GSSENCMODE] = "disable"}};
}

static struct node *tls_node(const char *name, const char *server_name)
{
    static const char *const hba[] = {
        "local all all scram-sha-256", "hostnossl all all all reject",
        "hostssl all all 127.0.0.1/32 scram-sha-256 clientcert=verify-ca",
        "hostssl replication replicator 127.0.0.1/32 scram-sha-256 clientcert=verify-ca"};
    struct node *node = node_new(name);
    node->hba = (struct pg_lines){hba, sizeof hba / sizeof hba[0]};
    node->security = strict();
    node_agent(node, true);
    char *script = mem_printf(PG_BIN "/initdb \"$@\" || exit\n"
                                     "cat >> data/postgresql.conf <<'END'\n"
                                     "ssl = on\n"
                                     "ssl_ca_file = '%s/ca.crt'\n"
                                     "ssl_cert_file = '%s/%s.crt'\n"
                                     "ssl_key_file = '%s/%s.key'\n"
                                     "END",
                              tls_dir, tls_dir, server_name, tls_dir, server_name);
    node_program(node, "initdb", script);
    mem_free(script);
    return node;
}

static struct node *tls_primary(const char *name, const char *server_name)
{
    struct node *node = tls_node(name, server_name);
    struct outcome outcome;
    node_bootstrap(node, LONG_MS, &outcome);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, 0);
    return node;
}

static void socket_sql(const struct node *node, const char *sql, char *ret_value, size_t size)
{
    char *conninfo =
        mem_printf("host=%s/state port=%u user=postgres password=" SUPER_PASS " dbname=postgres",
                   node->dir, node->port);
    PGconn *conn = PQconnectdb(conninfo);
    PGresult *result = PQexec(conn, sql);
    if (PQresultStatus(result) != PGRES_TUPLES_OK && PQresultStatus(result) != PGRES_COMMAND_OK) {
        fail_msg("%s: %s", sql, PQerrorMessage(conn));
    }
    snprintf(ret_value, size, "%s", PQntuples(result) > 0 ? PQgetvalue(result, 0, 0) : "");
    PQclear(result);
    PQfinish(conn);
    mem_free(conninfo);
}

static int clone_from(struct node *node, const struct node *source, struct outcome *ret_outcome)
{
    node_clone(node, source, 0, LONG_MS, ret_outcome);
    return outcome_wait(ret_outcome);
}

static void expect_secret_nowhere(const struct node *node)
{
    assert_int_equal(run("test $(find %s -name 'pg*' -maxdepth 2 -type f ! -path '*/bin/*'"
                         " ! -perm 0600 | wc -l) = 0",
                         node->dir),
                     0);
    assert_int_equal(run("! grep -rq 'key secret' %s", node->data), 0);
}

/* A copy, streaming, questions, and a rewind. */
static void every_connection_is_as_the_file_demands(void **state)
{
    struct outcome outcome = {0};
    char value[256];
    (void)state;
    struct node *n1 = tls_primary("n1", "127.0.0.1");
    struct node *n2 = tls_node("n2", "127.0.0.1");
    node_slot(n1, "n2");
    clone_from(n2, n1, &outcome);
    CHECK_RC(&outcome, 0);
    expect_secret_nowhere(n2);
    node_start_well(n2, PG_START_STANDBY, n1);
    PROBE_UNTIL(n2, probed.receiver_alive);
    expect_secret_nowhere(n2);
    socket_sql(n1,
               "SELECT string_agg(ssl || client_dn, ',') FROM pg_stat_replication"
               " JOIN pg_stat_ssl USING (pid)",
               value, sizeof value);
    assert_string_equal(value, "true/CN=client");
    node_ask(n2, n1, &outcome);
    CHECK_RC(&outcome, 0);

    node_crash(n1);
    node_promote(n2, 2, &outcome);
    CHECK_RC(&outcome, 0);
    node_slot(n2, "n1");
    socket_sql(n2, "CHECKPOINT", value, sizeof value);
    node_inspect(n1);
    node_rewind(n1, n2, inspected.control.system_identifier, LONG_MS, &outcome);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, 0);
    node_start_well(n1, PG_START_STANDBY, n2);
    PROBE_UNTIL(n1, probed.receiver_alive);
    node_free(n2);
    node_free(n1);
}

/* Another name, another authority, no certificate of our own: nothing gets through, nothing is
 * touched. */
static void less_than_demanded_is_no_connection(void **state)
{
    static const struct {
        enum pg_security_key key;
        const char *file;
        const char *value;
        const char *words;
    } changes[] = {
        {PG_SECURITY_SSLROOTCERT, "other.crt", NULL, "certificate verify failed"},
        {PG_SECURITY_SSLCERT, "missing.crt", NULL, "certificate"},
        {PG_SECURITY_SSLPASSWORD, NULL, "wrong", "locked.key"},
        {PG_SECURITY_SSLMODE, NULL, "disable", "no encryption"},
    };
    struct outcome outcome;
    (void)state;
    struct node *n1 = tls_primary("n1", "127.0.0.1");
    struct node *n2 = tls_node("n2", "127.0.0.1");
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        n2->security = strict();
        n2->security.values[changes[i].key] =
            changes[i].file != NULL ? tls_file(changes[i].file) : changes[i].value;
        node_agent(n2, true);
        assert_int_not_equal(node_ask(n2, n1, &outcome), 0);
        expect_text(&outcome, changes[i].words);
        assert_int_not_equal(clone_from(n2, n1, &outcome), 0);
        expect_text(&outcome, changes[i].words);
        assert_false(file_there("%s", n2->data));
    }
    node_free(n2);
    node_free(n1);

    n1 = tls_primary("n1", "somewhere.else");
    n2 = tls_node("n2", "somewhere.else");
    assert_int_not_equal(node_ask(n2, n1, &outcome), 0);
    expect_text(&outcome, "does not match host name");
    node_free(n2);
    node_free(n1);
}

static void a_key_that_is_too_new_is_refused_at_once(void **state)
{
    if (PG_HERE >= 17) {
        skip();
    }
    struct node *node = node_new("n1");
    struct pg_instance *pg = NULL;
    struct error err = {0};
    char state_dir[96];
    (void)state;
    snprintf(state_dir, sizeof state_dir, "%s/state", node->dir);
    struct pg_instance_config config = {
        .name = "n1",
        .scope = "s",
        .data_dir = node->data,
        .state_dir = state_dir,
        .bin_dir = node->bin,
        .listen = "127.0.0.1",
        .port = node->port,
        .pgpass = "/nowhere/pgpass",
        .replication = {"replicator", NULL, {{[PG_SECURITY_SSLNEGOTIATION] = "direct"}}},
    };
    assert_int_equal(pg_instance_new(&loop, &config, &pg, &err), ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text,
                           "postgresql.authentication.replication.sslnegotiation is not "
                           "known before version 17, and PostgreSQL has version " PG_HERE_TEXT));
    node_free(node);
}

static void an_environment_that_does_not_fit_is_refused_whole(void **state)
{
    struct node *node = node_new("n1");
    struct pg_instance *pg = NULL;
    struct error err = {0};
    char name[32];
    (void)state;
    for (int i = 0; i < FENCE_ENV_MAX; i++) {
        snprintf(name, sizeof name, "SERVICE_%d_HOST", i);
        assert_int_equal(setenv(name, "x", 1), 0);
    }
    struct pg_instance_config config = {.name = "n1",
                                        .scope = "s",
                                        .data_dir = node->data,
                                        .state_dir = node->dir,
                                        .bin_dir = node->bin,
                                        .listen = "127.0.0.1",
                                        .pgpass = "/nowhere/pgpass",
                                        .replication = {.username = "replicator"}};
    assert_int_equal(pg_instance_new(&loop, &config, &pg, &err), ERR_LIMIT);
    assert_non_null(strstr(err.text, "at most 256 are handed on"));
    for (int i = 0; i < FENCE_ENV_MAX; i++) {
        snprintf(name, sizeof name, "SERVICE_%d_HOST", i);
        assert_int_equal(unsetenv(name), 0);
    }
    node_free(node);
}

static int all_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_connection_is_as_the_file_demands, tls_open,
                                        stage_close),
        cmocka_unit_test_setup_teardown(less_than_demanded_is_no_connection, tls_open, stage_close),
        cmocka_unit_test_setup_teardown(an_environment_that_does_not_fit_is_refused_whole,
                                        stage_open, stage_close),
        cmocka_unit_test_setup_teardown(a_key_that_is_too_new_is_refused_at_once, stage_open,
                                        stage_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(int argc, char **argv)
{
    return stage_main(argc, argv, all_tests);
}
