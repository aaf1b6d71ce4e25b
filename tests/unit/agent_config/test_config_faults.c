/* All mistakes at once, each told once, and what is shown of secrets. */
#include "agent/config/config_faults.h"
#include "agent/config/dynamic.h"
#include "base/buf.h"
#include "tests/unit/agent_config/config_fixture.h"

static json_t *yaml(const char *text)
{
    json_t *tree = NULL;
    struct error err = {0};
    if (yaml_parse(span_str(text), &tree, &err) != 0) {
        fail_msg("%s: %s", text, err.text);
    }
    return tree;
}

/* The lines, each shown up to its second ": ", one after the other. */
static void faults_are(const char *text, const char *wanted, bool readable)
{
    struct config_source source = {.path = "f.yml", .cwd = "/", .home = "/home/pg"};
    struct config config;
    struct config_warnings warnings = {0};
    struct buf told = BUF_INIT;
    json_t *tree = yaml(text);
    json_t *faults = json_array();
    config_faults(&source, tree, faults, &config, &warnings);
    for (size_t i = 0; i < json_array_size(faults); i++) {
        const char *line = json_string_value(json_array_get(faults, i));
        assert_int_equal(strncmp(line, "f.yml: ", 7), 0);
        assert_null(strchr(line, '\n'));
        size_t len = strcspn(line + 7, ": ");
        buf_printf(&told, "%s%.*s", i > 0 ? " " : "", (int)len, line + 7);
    }
    if (strcmp(buf_str(&told), wanted) != 0) {
        fail_msg("gives: %s\nby: %s", buf_str(&told), text);
    }
    assert_int_equal(config.memory != NULL, readable);
    buf_free(&told);
    json_decref(faults);
    json_decref(tree);
    config_warnings_free(&warnings);
    config_free(&config);
}

static void what_is_right_has_none(void **state)
{
    (void)state;
    faults_are(good, "", true);
}

static void every_fault_is_told_once(void **state)
{
    static const char many[] = "scope: a/b\n"
                               "restapi: {listen: '10.0.0.1', certfil: x, cafile: /x}\n"
                               "raft: {data_dir: /r, self_addr: 'h', heartbeat: 900, "
                               "election_timeout: 1000}\n"
                               "etcd: {host: h}\n"
                               "postgresql:\n"
                               "  listen: '10.0.0.1:5432'\n"
                               "  data_dir: /r/data\n"
                               "  parameters: {a.b: [x], c: {}}\n"
                               "  authentication: {replication: {sslmode: maybe}}\n"
                               "tags: [a]\n"
                               "log: {level: loud}\n"
                               "watchdog: {mode: sometimes}\n";
    (void)state;
    faults_are(many,
               "restapi.certfil etcd name scope raft.self_addr raft.heartbeat "
               "restapi.listen log.level postgresql.authentication.replication.username "
               "postgresql.authentication.replication.sslmode postgresql.parameters.a.b "
               "postgresql.parameters.c tags watchdog.mode postgresql.data_dir",
               true);
}

static void what_is_missing_is_told_once(void **state)
{
    (void)state;
    faults_are("{}", "scope name raft restapi.listen postgresql", true);
    faults_are("{scope: s, name: n, etcd3: {}, restapi: , postgresql: {}}",
               "etcd3.hosts restapi.listen postgresql.listen postgresql.data_dir "
               "postgresql.authentication.replication.username",
               true);
    faults_are("{scope: s, name: n, raft: text, restapi: [], postgresql: 1}",
               "raft restapi restapi.listen postgresql", true);
}

static void ports_that_meet_are_told_and_the_rest_is_read(void **state)
{
    (void)state;
    char *text = edited("  listen: 172.20.0.10:8008", "  listen: '*:5432'");
    faults_are(text, "restapi.listen", true);
    mem_free(text);
}

/* As PATCH /config would be answered: ranges and the timeouts' rule, too. */
static void the_first_dynamic_configuration_is_held_to_its_rules(void **state)
{
    static const char *const rows[][2] = {
        {"    ttl: 20", "bootstrap.dcs.ttl"},
        {"    ttl: soon", "bootstrap.dcs.ttl"},
        {"    ttl: 1\n    synchronous_node_count: 99\n    sync_mode: 1\n    failsafe_mod: on",
         "bootstrap.dcs.failsafe_mod bootstrap.dcs.ttl bootstrap.dcs.synchronous_node_count"},
        {"    citus: {group: 1}", "bootstrap.dcs.citus"},
        {"    standby_cluster: {create_replica_methods: [x]}", "bootstrap.dcs.standby_cluster"},
        {"    slots: [a]", "bootstrap.dcs.slots"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char *text = edited("    ttl: 30", rows[i][0]);
        faults_are(text, rows[i][1], true);
        mem_free(text);
    }
    char *text = edited("      use_pg_rewind: true", "      parameters: {max_connections: 5, "
                                                     "wal_level: minimal, work_mem: [1]}");
    faults_are(text,
               "bootstrap.dcs.postgresql.parameters.work_mem "
               "bootstrap.dcs.postgresql.parameters.max_connections "
               "bootstrap.dcs.postgresql.parameters.wal_level",
               true);
    mem_free(text);
    text = edited("  dcs:\n    ttl: 30", "  dsc:\n    ttl: 30");
    faults_are(text, "bootstrap.dcs bootstrap.dsc", true);
    mem_free(text);
}

static void there_is_an_end(void **state)
{
    struct buf text = BUF_INIT;
    (void)state;
    buf_put_str(&text, good);
    for (int i = 0; i < CONFIG_FAULTS_MAX + 20; i++) {
        buf_printf(&text, "scop%d: 1\n", i);
    }
    struct config_source source = {.path = "f.yml", .cwd = "/", .home = "/home/pg"};
    struct config config;
    struct config_warnings warnings = {0};
    json_t *tree = yaml(buf_str(&text));
    json_t *faults = json_array();
    config_faults(&source, tree, faults, &config, &warnings);
    assert_int_equal(json_array_size(faults), CONFIG_FAULTS_MAX + 1);
    assert_string_equal(json_string_value(json_array_get(faults, CONFIG_FAULTS_MAX)),
                        "f.yml: there may be more faults: these are the first 64");
    config_warnings_free(&warnings);
    config_free(&config);
    json_decref(faults);
    json_decref(tree);
    buf_free(&text);
}

/* A line that is quoted up to the middle of a character, in a file of any name, is still told. */
static void a_fault_that_is_cut_is_told(void **state)
{
    static const char *const rows[][2] = {
        {"f.yml", "log: {level: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\xc3\xa9y}"},
        {"caf\xe9/f.yml", "log: {level: loud}"},
        {"caf\xe9/f.yml", "bootstrap: {dcs: {ttl: 1}}"},
        {"caf\xe9/f.yml", "bootstrap: {}"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct config_source source = {.path = rows[i][0], .cwd = "/", .home = "/home/pg"};
        struct config config;
        struct config_warnings warnings = {0};
        json_t *tree = yaml(good);
        json_t *more = yaml(rows[i][1]);
        json_t *faults = json_array();
        assert_int_equal(json_object_update(tree, more), 0);
        config_faults(&source, tree, faults, &config, &warnings);
        assert_int_equal(json_array_size(faults), 1);
        const char *line = json_string_value(json_array_get(faults, 0));
        assert_non_null(strstr(line, i < 2 ? "f.yml: log.level: '" : "f.yml: bootstrap.dcs"));
        config_warnings_free(&warnings);
        config_free(&config);
        json_decref(faults);
        json_decref(more);
        json_decref(tree);
    }
}

static void secrets_are_not_shown(void **state)
{
    json_t *tree = yaml("name: n\n"
                        "raft: {password: s3cret, partner_addrs: [a]}\n"
                        "restapi: {keyfile_password: 123, authentication: {username: u, password: "
                        "s3cret}}\n"
                        "etcd: {url: 'http://u:s3cret@h:1'}\n"
                        "bootstrap: {users: {a: {password: s3cret, options: [x]}}}\n"
                        "postgresql:\n"
                        "  authentication: {superuser: {sslpassword: s3cret, username: u}}\n"
                        "  recovery_conf: {primary_conninfo: 'host=h password=s3cret'}\n"
                        "  parameters: {password_encryption: md5, work_mem: 1}\n");
    json_t *shown = config_without_secrets(tree);
    char *text = json_dumps(shown, JSON_COMPACT | JSON_SORT_KEYS);
    (void)state;
    assert_null(strstr(text, "s3cret"));
    assert_null(strstr(text, "123"));
    assert_non_null(strstr(text, "\"url\":\"http://u:***@h:1\""));
    assert_non_null(strstr(text, "\"username\":\"u\""));
    assert_non_null(strstr(text, "\"password_encryption\":\"md5\""));
    assert_non_null(strstr(text, "\"partner_addrs\":[\"a\"]"));
    mem_free(text);
    json_decref(shown);
    json_decref(tree);
}

/* What is given, and what is shown of it. */
static void secrets_in_texts_are_not_shown(void **state)
{
    static const char *const rows[][2] = {
        {"pg_hba: ['host all all 10.0.0.0/8 ldap ldapbinddn=x ldapbindpasswd=s3cret ldaptls=1']",
         "{\"pg_hba\":[\"host all all 10.0.0.0/8 ldap ldapbinddn=x ldapbindpasswd=***\"]}"},
        {"pg_hba: ['host all all all radius radiussecrets=\"s3cret\"', 'host all all all "
         "password']",
         "{\"pg_hba\":[\"host all all all radius radiussecrets=***\",\"host all all all "
         "password\"]}"},
        {"primary_conninfo: 'host=h PassWord = s3cret'",
         "{\"primary_conninfo\":\"host=h PassWord =***\"}"},
        {"x: 'a token b secret_x: s3cret'", "{\"x\":\"a token b secret_x:***\"}"},
        {"x: 'postgres://u:s3cret@h/d?sslpassword=s3cret'",
         "{\"x\":\"postgres://u:***@h/d?sslpassword=***\"}"},
        {"restore_command: 'cp /archive/%f s3cret'", "{\"restore_command\":\"cp ***\"}"},
        {"pre_promote: /bin/true", "{\"pre_promote\":\"/bin/true\"}"},
        {"before_stop: 'AWS_KEY=s3cret aws'", "{\"before_stop\":\"AWS_KEY=***\"}"},
        {"ssl_passphrase_command: 'echo s3cret'", "{\"ssl_passphrase_command\":\"echo ***\"}"},
        {"callbacks: {on_start: '/bin/a s3cret'}", "{\"callbacks\":{\"on_start\":\"/bin/a ***\"}}"},
        {"wal_g: {command: 'a s3cret', Secret_Key: s3cret, no_params: true}",
         "{\"wal_g\":{\"Secret_Key\":\"***\",\"command\":\"a ***\",\"no_params\":true}}"},
        {"secrets: {a: s3cret, b: [1.5], c: }",
         "{\"secrets\":{\"a\":\"***\",\"b\":[\"***\"],\"c\":null}}"},
        {"basebackup: [no-password, {max-rate: 100M}]",
         "{\"basebackup\":[\"no-password\",{\"max-rate\":\"100M\"}]}"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        json_t *tree = yaml(rows[i][0]);
        json_t *shown = config_without_secrets(tree);
        char *text = json_dumps(shown, JSON_COMPACT | JSON_SORT_KEYS);
        assert_string_equal(text, rows[i][1]);
        mem_free(text);
        json_decref(shown);
        json_decref(tree);
    }
}

int main(void)
{
    json_set_alloc_funcs(mem_try, mem_free); /* as agent/app.c does */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_right_has_none),
        cmocka_unit_test(every_fault_is_told_once),
        cmocka_unit_test(what_is_missing_is_told_once),
        cmocka_unit_test(ports_that_meet_are_told_and_the_rest_is_read),
        cmocka_unit_test(the_first_dynamic_configuration_is_held_to_its_rules),
        cmocka_unit_test(there_is_an_end),
        cmocka_unit_test(a_fault_that_is_cut_is_told),
        cmocka_unit_test(secrets_are_not_shown),
        cmocka_unit_test(secrets_in_texts_are_not_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
