/* Keys that hang together by tables: those of the accounts, and all that a file may have. */
#include "agent/config/dynamic.h"
#include "agent/config/known_keys.h"
#include "pgctl/conf/pg_controlled.h"
#include "tests/unit/agent_config/config_fixture.h"

#define REPLICATION "{username: replicator, password: rep-pass}"
#define REWIND      "{username: rewind_user, password: rewind_password}"

static bool is_known(const char *section, const char *key)
{
    const struct known_section *known = known_sections;
    while (strcmp(known->path, section) != 0) {
        known++;
    }
    return known_keys_has(known->list, key);
}

/* Every key of the table, in every account; a file may be relative to the working directory. */
static void each_account_may_say_how_its_connections_are_secured(void **state)
{
    static const char *const values[PG_SECURITY_COUNT] = {
        [PG_SECURITY_SSLMODE] = "verify-full",   [PG_SECURITY_SSLCERT] = "/c/client.crt",
        [PG_SECURITY_SSLKEY] = "/c/client.key",  [PG_SECURITY_SSLPASSWORD] = "12345",
        [PG_SECURITY_SSLROOTCERT] = "/c/ca.crt", [PG_SECURITY_SSLCRL] = "/c/ca.crl",
        [PG_SECURITY_SSLCRLDIR] = "/c/crl",      [PG_SECURITY_SSLNEGOTIATION] = "direct",
        [PG_SECURITY_GSSENCMODE] = "disable",    [PG_SECURITY_CHANNEL_BINDING] = "require",
    };
    (void)state;
    for (int i = 0; i < PG_SECURITY_COUNT; i++) {
        if (pg_security_rows[i].kind == PG_SECURITY_COMMON) {
            assert_false(is_known("postgresql.authentication.superuser", pg_security_rows[i].name));
            assert_true(is_known("postgresql", pg_security_rows[i].name));
            continue;
        }
        char *line = mem_printf("{username: someone, %s: %s}", pg_security_rows[i].name, values[i]);
        struct config c = loaded(REPLICATION, line);
        assert_string_equal(c.postgresql.replication.security.values[i], values[i]);
        assert_null(c.postgresql.superuser.security.values[i]);
        config_free(&c);
        c = loaded(REWIND, line);
        assert_string_equal(c.postgresql.rewind.security.values[i], values[i]);
        config_free(&c);
        assert_true(is_known("postgresql.authentication.superuser", pg_security_rows[i].name));
        c = loaded("{username: postgres, password: zalando}", line);
        assert_string_equal(c.postgresql.superuser.security.values[i], values[i]);
        config_free(&c);
        mem_free(line);
    }
    struct config c = loaded(REPLICATION, "{username: r, sslcert: tls/a.crt, sslrootcert: system}");
    assert_string_equal(c.postgresql.replication.security.values[PG_SECURITY_SSLCERT],
                        "/var/lib/pg/tls/a.crt");
    assert_string_equal(c.postgresql.replication.security.values[PG_SECURITY_SSLROOTCERT],
                        "system");
    config_free(&c);
}

static void security_that_libpq_does_not_know_is_refused(void **state)
{
    static const int words[] = {PG_SECURITY_SSLMODE, PG_SECURITY_SSLNEGOTIATION,
                                PG_SECURITY_GSSENCMODE, PG_SECURITY_CHANNEL_BINDING};
    (void)state;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        const char *name = pg_security_rows[words[i]].name;
        char *line = mem_printf("{username: r, %s: verify}", name);
        char *said = mem_printf("postgresql.authentication.replication.%s: 'verify' is none of its "
                                "values: give one of: ",
                                name);
        refused(REPLICATION, line, said);
        mem_free(line);
        mem_free(said);
    }
    refused(REPLICATION, "{username: r, sslmod: require}", "did you mean 'sslmode'");
    refused(REPLICATION, "{username: r, sslcert: [a]}", "replication.sslcert: is a list");
    refused(REWIND, "{sslmode: require}",
            "postgresql.authentication.rewind.sslmode: stands there without a username");
    warned(REPLICATION, "{username: r, keepalives: 1}", "no key that is known here");
}

/* Told about: it is named by a refusal or a warning, or it is one of those that do what
 * docs/configuration.md says, of which `text` is a value. */
static bool is_told_about(const struct known_section *section, const char *key, const char *text)
{
    char *name = mem_printf("%s%s%s: ", section->path, section->path[0] != '\0' ? "." : "", key);
    struct config config;
    struct config_warnings warnings = {0};
    struct error err = {0};
    json_t *tree = NULL;
    bool told = false;

    assert_int_equal(yaml_parse(span_str(good), &tree, &err), 0);
    json_t *at = tree;
    char *path = mem_strdup(section->path);
    char *rest = NULL;
    for (char *part = strtok_r(path, ".", &rest); part != NULL; part = strtok_r(NULL, ".", &rest)) {
        if (json_object_get(at, part) == NULL) {
            json_object_set_new(at, part, json_object());
        }
        at = json_object_get(at, part);
    }
    if (strcmp(section->path, "etcd") == 0 || strcmp(section->path, "etcd3") == 0) {
        json_object_del(tree, "raft"); /* the store in its place */
        json_object_set_new(at, "host", json_string("10.0.0.4"));
    }
    if (json_object_get(tree, "etcd_server") != NULL) {
        json_object_set_new(json_object_get(tree, "etcd_server"), "listen", json_string("*:2379"));
    }
    json_object_set_new(at, key, json_string(text));
    struct config_source source = {.path = "node1.yml", .cwd = "/var/lib/pg", .home = "/home/pg"};
    if (config_from_json(&source, tree, &config, &warnings, &err) == 0) {
        config_free(&config);
    } else {
        told = strstr(err.text, name) != NULL;
    }
    for (size_t i = 0; i < warnings.count; i++) {
        told = told || strstr(warnings.texts[i], name) != NULL;
    }
    config_warnings_free(&warnings);
    json_decref(tree);
    mem_free(path);
    mem_free(name);
    return told;
}

/* What takes any text, and uses it. */
static const char *const uses[] = {
    "scope",
    "namespace",
    "name",
    "state_dir",
    "etcd.hosts",
    "etcd.username",
    "etcd.password",
    "etcd.cacert",
    "etcd.cert",
    "etcd3.hosts",
    "etcd3.username",
    "etcd3.password",
    "etcd3.cacert",
    "etcd3.cert",
    "etcd_server.certfile",
    "etcd_server.authentication.username",
    "etcd_server.authentication.password",
    "restapi.certfile",
    "restapi.keyfile_password",
    "restapi.cafile",
    "restapi.ciphers",
    "restapi.allowlist",
    "restapi.authentication.username",
    "restapi.authentication.password",
    "log.dateformat",
    "log.dir",
    "ctl.cacert",
    "ctl.certfile",
    "ctl.keyfile_password",
    "ctl.authentication.username",
    "ctl.authentication.password",
    "raft.data_dir",
    "raft.password",
    "raft.certfile",
    "raft.keyfile",
    "raft.cafile",
    "postgresql.data_dir",
    "postgresql.config_dir",
    "postgresql.config_base_name",
    "postgresql.krbsrvname",
    "postgresql.bin_dir",
    "postgresql.custom_conf",
    "postgresql.bin_name.postgres",
    "postgresql.bin_name.initdb",
    "postgresql.bin_name.pg_controldata",
    "postgresql.bin_name.pg_basebackup",
    "postgresql.bin_name.pg_rewind",
    "postgresql.pgpass",
    "postgresql.database",
    "bootstrap.post_bootstrap",
    "bootstrap.post_init",
    "postgresql.pre_promote",
    "postgresql.before_stop",
    "postgresql.callbacks.on_start",
    "postgresql.callbacks.on_stop",
    "postgresql.callbacks.on_restart",
    "postgresql.callbacks.on_reload",
    "postgresql.callbacks.on_role_change",
    "postgresql.authentication.superuser.username",
    "postgresql.authentication.superuser.password",
    "postgresql.authentication.superuser.sslcert",
    "postgresql.authentication.superuser.sslkey",
    "postgresql.authentication.superuser.sslpassword",
    "postgresql.authentication.superuser.sslrootcert",
    "postgresql.authentication.superuser.sslcrl",
    "postgresql.authentication.superuser.sslcrldir",
};

/* A name that is in the table of known ones, and that nobody reads, would be ignored silently. */
static void every_known_key_is_used_or_told_about(void **state)
{
    (void)state;
    for (const struct known_section *section = known_sections; section->path != NULL; section++) {
        if (strncmp(section->path, "bootstrap.dcs", strlen("bootstrap.dcs")) == 0 ||
            strcmp(section->path, "tags") == 0 ||
            strcmp(section->path, "postgresql.authentication.replication") == 0 ||
            strcmp(section->path, "postgresql.authentication.rewind") == 0) {
            continue; /* stored and published; and as the superuser's */
        }
        for (const struct known_key *row = known_keys; row->list != NULL; row++) {
            if (strcmp(row->list, section->list) != 0) {
                continue;
            }
            char *name =
                mem_printf("%s%s%s", section->path, section->path[0] != '\0' ? "." : "", row->key);
            bool used = false;
            for (size_t i = 0; i < sizeof uses / sizeof uses[0]; i++) {
                used = used || strcmp(uses[i], name) == 0;
            }
            if (is_told_about(section, row->key, "a value of no sense") == used) {
                fail_msg("%s is %s", name, used ? "refused or without effect" : "ignored silently");
            }
            mem_free(name);
        }
    }
}

/* What keys.def says of PostgreSQL's parameters that all members have alike, and what pgctl does.
 */
static void parameters_of_all_members_are_those_that_pgctl_holds_alike(void **state)
{
    static const char *const rows[][2] = {
#define PARAMETER(name, fallback, check, minimum, values, test) {#name, fallback},
#include "agent/config/keys.def"
    };
    (void)state;
    assert_int_equal(sizeof rows / sizeof rows[0], pg_controlled_count);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct pg_controlled *controlled = pg_controlled_find(rows[i][0]);
        assert_non_null(controlled);
        assert_string_equal(controlled->fallback, rows[i][1]);
    }
}

/* A key of the dynamic configuration that says nothing of its effect has one: none is taken from a
 * document silently. */
static void dynamic_keys_are_served_refused_or_told_of(void **state)
{
    (void)state;
    for (const struct known_key *row = known_keys; row->list != NULL; row++) {
        if (strcmp(row->list, "dynamic") != 0 || strcmp(row->key, "postgresql") == 0) {
            continue;
        }
        char warning[DYNAMIC_WARNING_BYTES];
        struct dynamic_config config;
        struct error err = {0};
        json_t *document = json_pack("{s:s}", row->key, "a value of no sense");
        int rc = dynamic_config_parse(document, DYNAMIC_TTL_MS_MIN_RAFT, &config, warning, &err);
        const char *told = rc == 0 ? warning : err.text;
        if (strstr(told, row->key) == NULL) {
            fail_msg("%s is ignored silently", row->key);
        }
        bool obeyed_or_refused = strcmp(row->key, "standby_cluster") == 0;
        assert_int_equal(rc != 0, row->status == KNOWN_REFUSED || obeyed_or_refused);
        assert_int_equal(strstr(told, "no effect") != NULL, row->status == KNOWN_NO_EFFECT);
        if (rc == 0) {
            dynamic_config_free(&config);
        }
        json_decref(document);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_account_may_say_how_its_connections_are_secured),
        cmocka_unit_test(security_that_libpq_does_not_know_is_refused),
        cmocka_unit_test(every_known_key_is_used_or_told_about),
        cmocka_unit_test(parameters_of_all_members_are_those_that_pgctl_holds_alike),
        cmocka_unit_test(dynamic_keys_are_served_refused_or_told_of),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
