/* The files as PostgreSQL gets them, whole: tests/golden/pg. GOLDEN_WRITE=1 writes them anew. */
#include "base/mem.h"
#include "pgctl/conf/pg_conf.h"
#include "tests/harness/golden.h"

static const struct pg_parameter parameters[] = {
    {"work_mem", "8MB"},
    {"Max_Connections", "200"},
    {"unix_socket_directories", "/run/postgresql, /tmp"},
    {"log_line_prefix", "%m [%p] it's \\ "},
    {"my.own", ""},
    {"work_mem", "9MB"},
    {"port", "1"}, /* ours, as the next ones */
    {"primary_conninfo", "host=elsewhere"},
    {"hba_file", "/etc/hba"},
};

static const struct pg_parameter recovery[] = {
    {"restore_command", "cp '/archive/%f' %p"},
    {"recovery_min_apply_delay", "5min"},
    {"standby_mode", "on"}, /* of recovery.conf */
    {"recovery_target_time", "2026-01-01"},
};

static struct pg_conf conf_of(bool standby, const struct pg_control *control)
{
    return (struct pg_conf){.scope = "batman",
                            .member = "node 1's",
                            .listen = "10.0.0.1,127.0.0.1",
                            .port = 5433,
                            .slot_name = standby ? "node_1" : NULL,
                            .parameters = {parameters, sizeof parameters / sizeof parameters[0]},
                            .recovery_conf = {recovery, sizeof recovery / sizeof recovery[0]},
                            .standby = standby,
                            .control = control};
}

static void check(const char *name, struct buf *text)
{
    char *path = mem_printf("tests/golden/pg/%s", name);
    golden_check(path, buf_str(text));
    mem_free(path);
    buf_free(text);
}

static void check_arguments(const char *name, const struct pg_conf *conf)
{
    struct buf out = BUF_INIT;
    char *args[PG_CONF_ARGS_MAX];
    size_t count = pg_conf_arguments(conf, args, PG_CONF_ARGS_MAX);
    for (size_t i = 0; i < count; i++) {
        buf_printf(&out, "%s\n", args[i]);
        mem_free(args[i]);
    }
    check(name, &out);
}

static void postgresql_conf_of_a_primary(void **state)
{
    (void)state;
    struct buf out = BUF_INIT;
    struct pg_conf conf = conf_of(false, NULL);
    pg_conf_put(&out, &conf);
    check("primary.conf.txt", &out);
    check_arguments("primary.arguments.txt", &conf);
}

static void postgresql_conf_of_a_standby_whose_primary_had_more(void **state)
{
    (void)state;
    struct buf out = BUF_INIT;
    struct pg_control control = {.max_connections = 300,
                                 .max_worker_processes = 8,
                                 .max_wal_senders = 20,
                                 .max_prepared_transactions = 5,
                                 .max_locks_per_transaction = 64};
    struct pg_conf conf = conf_of(true, &control);
    pg_conf_put(&out, &conf);
    check("standby.conf.txt", &out);
    check_arguments("standby.arguments.txt", &conf);
}

static void postgresql_conf_of_a_file_that_says_nothing(void **state)
{
    (void)state;
    struct buf out = BUF_INIT;
    struct pg_conf conf = {.scope = "batman", .member = "n1", .listen = "*", .port = 5432};
    pg_conf_put(&out, &conf);
    check("defaults.conf.txt", &out);
}

static void postgresql_conf_apart_from_the_data(void **state)
{
    (void)state;
    struct buf out = BUF_INIT;
    struct pg_conf conf = {.scope = "batman",
                           .member = "n1",
                           .listen = "*",
                           .port = 5432,
                           .base_name = "pg15",
                           .config_dir = "/etc/it's/15",
                           .data_dir = "/var/lib/15"};
    pg_conf_put(&out, &conf);
    check("apart.conf.txt", &out);
}

static void pg_hba_conf_has_the_lines_as_they_are(void **state)
{
    static const char *const lines[] = {"local all all peer map=admins", "# who copies",
                                        "host replication replicator 10.0.0.0/8 scram-sha-256", "",
                                        "hostssl \"my db\" +team all cert clientcert=verify-full"};
    (void)state;
    struct buf out = BUF_INIT;
    const struct pg_lines hba = {lines, sizeof lines / sizeof lines[0]};
    pg_conf_lines(&out, &hba);
    check("pg_hba.conf.txt", &out);
}

static void service_and_password_files(void **state)
{
    (void)state;
    struct buf out = BUF_INIT;
    struct pg_security security = {
        .values = {[PG_SECURITY_SSLMODE] = "verify-full", [PG_SECURITY_SSLROOTCERT] = "/ca.crt"}};
    struct pg_service service = {.host = "10.0.0.2",
                                 .port = 5432,
                                 .user = "replicator",
                                 .passfile = "/home/pgpass",
                                 .security = &security,
                                 .receiver = true};
    pg_conf_service(&out, &service);
    service.host = NULL;
    pg_conf_service(&out, &service);
    pg_conf_pgpass(&out, "replicator", "a:b\\c");
    pg_conf_pgpass(&out, NULL, "*");
    check("service_and_pgpass.txt", &out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(postgresql_conf_of_a_primary),
        cmocka_unit_test(postgresql_conf_of_a_standby_whose_primary_had_more),
        cmocka_unit_test(postgresql_conf_of_a_file_that_says_nothing),
        cmocka_unit_test(postgresql_conf_apart_from_the_data),
        cmocka_unit_test(pg_hba_conf_has_the_lines_as_they_are),
        cmocka_unit_test(service_and_password_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
