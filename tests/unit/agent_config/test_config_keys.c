/* Keys that hang together by tables: those of the accounts, and all that a file may have. */
#include "agent/config/known_keys.h"
#include "tests/unit/agent_config/config_fixture.h"

#define REPLICATION "{username: replicator, password: rep-pass}"
#define REWIND      "{username: rewind_user, password: rewind_password}"

static bool is_known(const char *section, const char *key)
{
    const struct known_section *known = known_sections;
    while (strcmp(known->path, section) != 0) {
        known++;
    }
    return known_keys_has(known->keys, key);
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
    "raft.data_dir",
    "raft.password",
    "raft.certfile",
    "raft.keyfile",
    "raft.cafile",
    "postgresql.data_dir",
    "postgresql.bin_dir",
    "postgresql.pgpass",
    "postgresql.database",
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
        for (const char *const *key = section->keys; *key != NULL; key++) {
            char *name =
                mem_printf("%s%s%s", section->path, section->path[0] != '\0' ? "." : "", *key);
            bool used = false;
            for (size_t i = 0; i < sizeof uses / sizeof uses[0]; i++) {
                used = used || strcmp(uses[i], name) == 0;
            }
            if (is_told_about(section, *key, "a value of no sense") == used) {
                fail_msg("%s is %s", name, used ? "refused or without effect" : "ignored silently");
            }
            mem_free(name);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_account_may_say_how_its_connections_are_secured),
        cmocka_unit_test(security_that_libpq_does_not_know_is_refused),
        cmocka_unit_test(every_known_key_is_used_or_told_about),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
