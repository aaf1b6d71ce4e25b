/* What the dynamic configuration adds to the file, and what a file that is read again may change.
 */
#include "agent/config/config_again.h"
#include "agent/config/config_effective.h"
#include "agent/config/dynamic.h"
#include "tests/unit/agent_config/config_fixture.h"

static json_t *object(const char *text)
{
    json_t *value = json_loads(text, 0, NULL);
    if (value == NULL) {
        fail_msg("%s is no JSON", text);
    }
    return value;
}

static struct config_effective merged(const struct config *c, const char *section, char *warning)
{
    struct config_effective effective;
    json_t *dynamic = object(section);
    config_effective_make(&c->postgresql, dynamic, &effective, warning);
    json_decref(dynamic); /* it keeps what it needs */
    return effective;
}

static void the_dynamic_configuration_gives_what_the_file_does_not(void **state)
{
    (void)state;
    char warning[DYNAMIC_WARNING_BYTES];
    struct config c = loaded(NULL, NULL);
    struct config_effective e =
        merged(&c,
               "{\"pg_hba\": [\"local all all trust\", \"host all all all md5\"],"
               " \"pg_ident\": [\"m a b\"], \"recovery_conf\": {\"restore_command\": \"cp %f %p\"},"
               " \"basebackup\": [{\"checkpoint\": \"fast\"}, \"verbose\"], \"database\": \"app\","
               " \"custom_conf\": \"/etc/our.conf\", \"pg_ctl_timeout\": 7, "
               "\"remove_data_directory_on_rewind_failure\": true,"
               " \"use_unix_socket\": false, \"use_unix_socket_repl\": true,"
               " \"krbsrvname\": \"pg\","
               " \"remove_data_directory_on_diverged_timelines\": \"on\","
               " \"parameters\": {\"work_mem\": \"8MB\"}, \"listen\": \"1.2.3.4:5\"}",
               warning);
    assert_string_equal(warning, "");
    assert_int_equal(e.postgresql.pg_hba.count, 2);
    assert_string_equal(e.postgresql.pg_hba.items[1], "host all all all md5");
    assert_string_equal(e.postgresql.pg_ident.items[0], "m a b");
    assert_string_equal(e.postgresql.recovery_conf.items[0].name, "restore_command");
    assert_string_equal(e.postgresql.recovery_conf.items[0].value, "cp %f %p");
    assert_string_equal(e.postgresql.basebackup.items[0], "--checkpoint=fast");
    assert_string_equal(e.postgresql.basebackup.items[1], "--verbose");
    assert_string_equal(e.postgresql.database, "app");
    assert_string_equal(e.postgresql.custom_conf, "/etc/our.conf");
    assert_int_equal(e.postgresql.pg_ctl_timeout_ms, 7000);
    assert_int_equal(e.postgresql.local_way, PG_LOCAL_TCP);
    assert_int_equal(e.postgresql.local_repl_way, PG_LOCAL_SOCKET);
    assert_string_equal(e.postgresql.replication.security.values[PG_SECURITY_KRBSRVNAME], "pg");
    assert_null(c.postgresql.replication.security.values[PG_SECURITY_KRBSRVNAME]);
    assert_true(e.postgresql.remove_data_directory_on_rewind_failure);
    assert_true(e.postgresql.remove_data_directory_on_diverged_timelines);
    /* what is a member's own */
    assert_int_equal(e.postgresql.listen.port, 5432);
    assert_string_equal(e.postgresql.data_dir, "/data/patroni");
    assert_ptr_equal(e.postgresql.parameters, c.postgresql.parameters);
    config_effective_free(&e);
    config_effective_free(&e);
    config_effective_free(NULL);
    config_free(&c);
}

static void commands_of_the_operator_may_be_the_same_everywhere(void **state)
{
    static const char all[] =
        "{\"callbacks\": {\"on_start\": \"/all start\", \"on_stop\": \"/all stop\"},"
        " \"pre_promote\": \"/all ask\", \"before_stop\": \"/all before\", \"hook_timeout\": 7}";
    (void)state;
    char warning[DYNAMIC_WARNING_BYTES];
    struct config c = loaded(NULL, NULL);
    assert_int_equal(c.postgresql.hooks.timeout_ms, 60000);
    struct config_effective e = merged(&c, all, warning);
    assert_string_equal(warning, "");
    assert_string_equal(e.postgresql.hooks.callbacks[CONFIG_ON_START].items[1], "start");
    assert_int_equal(e.postgresql.hooks.callbacks[CONFIG_ON_RELOAD].count, 0);
    assert_string_equal(e.postgresql.hooks.pre_promote.items[1], "ask");
    assert_string_equal(e.postgresql.hooks.before_stop.items[1], "before");
    assert_int_equal(e.postgresql.hooks.timeout_ms, 7000);
    config_effective_free(&e);
    config_free(&c);
    /* A member's own mapping replaces the whole one. */
    c = loaded("  pgpass: /tmp/pgpass0\n", "  pgpass: /tmp/pgpass0\n  before_stop: /own\n"
                                           "  callbacks: {on_reload: /own reload}\n");
    e = merged(&c, all, warning);
    assert_int_equal(e.postgresql.hooks.callbacks[CONFIG_ON_START].count, 0);
    assert_string_equal(e.postgresql.hooks.callbacks[CONFIG_ON_RELOAD].items[0], "/own");
    assert_string_equal(e.postgresql.hooks.before_stop.items[0], "/own");
    assert_string_equal(e.postgresql.hooks.pre_promote.items[0], "/all");
    config_effective_free(&e);
    /* What cannot be is left out, and said. */
    e = merged(&c, "{\"pre_promote\": \"/x 'y\", \"hook_timeout\": 0}", warning);
    assert_non_null(strstr(warning, "postgresql.pre_promote: is no command"));
    assert_non_null(strstr(warning, "postgresql.hook_timeout: "));
    assert_int_equal(e.postgresql.hooks.pre_promote.count, 0);
    assert_int_equal(e.postgresql.hooks.timeout_ms, 60000);
    config_effective_free(&e);
    config_free(&c);
    struct error err;
    json_t *slip = json_pack("{s:{s:s}}", "callbacks", "on_strat", "/all");
    assert_int_equal(config_effective_check(slip, NULL, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "postgresql.callbacks.on_strat: is no callback"));
    json_decref(slip);
}

static void the_file_replaces_key_by_key(void **state)
{
    (void)state;
    char warning[DYNAMIC_WARNING_BYTES];
    struct config c = loaded("  pgpass: /tmp/pgpass0\n",
                             "  pgpass: /tmp/pgpass0\n  pg_hba: ['local all all peer']\n"
                             "  recovery_conf: {restore_command: 'local'}\n  pg_ctl_timeout: 5\n");
    struct config_effective e =
        merged(&c,
               "{\"pg_hba\": [\"host all all all md5\"], \"pg_ident\": [\"m a b\"],"
               " \"recovery_conf\": {\"archive_cleanup_command\": \"x\"}, \"pg_ctl_timeout\": 7}",
               warning);
    assert_int_equal(e.postgresql.pg_hba.count, 1);
    assert_string_equal(e.postgresql.pg_hba.items[0], "local all all peer");
    assert_int_equal(e.postgresql.recovery_conf.count, 1);
    assert_string_equal(e.postgresql.recovery_conf.items[0].value, "local");
    assert_int_equal(e.postgresql.pg_ctl_timeout_ms, 5000);
    assert_int_equal(e.postgresql.pg_ident.count, 1);
    config_effective_free(&e);
    config_effective_make(&c.postgresql, NULL, &e, NULL);
    assert_int_equal(e.postgresql.pg_hba.count, 1);
    config_effective_free(&e);
    config_free(&c);
}

/* What stands in the store already keeps nothing else from having its effect. */
static void what_cannot_be_read_is_left_out_alone(void **state)
{
    (void)state;
    char warning[DYNAMIC_WARNING_BYTES];
    struct config c = loaded(NULL, NULL);
    struct config_effective e = merged(
        &c,
        "{\"pg_hba\": [\"host all\"], \"pg_ident\": 5, \"recovery_conf\": {\"a b\": \"x\"},"
        " \"basebackup\": [\"pgdata=/x\"], \"pg_ctl_timeout\": \"soon\", \"database\": \"app\"}",
        warning);
    assert_non_null(strstr(warning, "postgresql.pg_hba: its item 1: ends before a "));
    assert_non_null(strstr(warning, "; postgresql.pg_ident: is "));
    assert_non_null(strstr(warning, "; postgresql.recovery_conf: "));
    assert_non_null(strstr(warning, "postgresql.basebackup: 'pgdata' may not be given"));
    assert_int_equal(e.postgresql.pg_hba.count, 0);
    assert_int_equal(e.postgresql.recovery_conf.count, 0);
    assert_int_equal(e.postgresql.basebackup.count, 0);
    assert_int_equal(e.postgresql.pg_ctl_timeout_ms, 60000);
    assert_string_equal(e.postgresql.database, "app");
    config_effective_free(&e);
    config_free(&c);
}

static void a_name_of_a_database_has_a_length(void **state)
{
    static const char longest[] =
        "dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd";
    (void)state;
    char warning[DYNAMIC_WARNING_BYTES];
    struct config c = loaded(NULL, NULL);
    for (size_t len = 63; len <= 64; len++) {
        char *section = mem_printf("{\"database\": \"%.*s\"}", (int)len, longest);
        struct config_effective e = merged(&c, section, warning);
        assert_string_equal(e.postgresql.database, len == 63 ? longest + 1 : "postgres");
        assert_int_equal(strstr(warning, "postgresql.database: 'd") != NULL, len == 64);
        config_effective_free(&e);
        mem_free(section);
    }
    config_free(&c);
}

static void rules_that_no_server_reads_end_the_start(void **state)
{
    (void)state;
    refused("  pgpass: /tmp/pgpass0\n", "  pgpass: /tmp/pgpass0\n  pg_hba: ['host all all']\n",
            "postgresql.pg_hba: its item 1: ends before an address");
    refused("  pgpass: /tmp/pgpass0\n", "  pgpass: /tmp/pgpass0\n  pg_ident: ['a b']\n",
            "postgresql.pg_ident: its item 1: ends before the role");
    refused("  pgpass: /tmp/pgpass0\n",
            "  pgpass: /tmp/pgpass0\n  bin_name: {pg_rewind: /x/pg_rewind}\n",
            "postgresql.bin_name.pg_rewind: '/x/pg_rewind' is a path");
    struct config c = loaded("  pgpass: /tmp/pgpass0\n",
                             "  pgpass: /tmp/pgpass0\n  pg_hba: ['include_dir hba.d']\n");
    assert_int_equal(c.postgresql.pg_hba.count, 1); /* this member may have it */
    config_free(&c);
}

/* --- read again ------------------------------------------------------------------------------- */

struct again {
    struct config running;
    struct config read;
    struct config got;
    struct config_warnings warnings;
};

static void again_begin(struct again *a, const char *from, const char *to)
{
    struct error err = {0};
    *a = (struct again){.running = loaded(NULL, NULL), .read = loaded(from, to)};
    if (config_again(&a->running, &a->read, &a->got, &a->warnings, &err) != 0) {
        fail_msg("%s", err.text);
    }
    config_free(&a->running); /* it stands by itself */
    config_free(&a->read);
}

static void again_end(struct again *a)
{
    config_free(&a->got);
    config_warnings_free(&a->warnings);
}

static void what_can_change_changes(void **state)
{
    (void)state;
    struct again a;
    again_begin(&a, "  nofailover: false\n", "  nofailover: true\n  region: eu\n");
    assert_int_equal(a.warnings.count, 0);
    assert_true(a.got.tags.nofailover);
    assert_string_equal(json_string_value(json_object_get(a.got.tags.published, "region")), "eu");
    again_end(&a);
    again_begin(&a, "    unix_socket_directories: '.'\n", "    work_mem: 8MB\n");
    assert_int_equal(a.warnings.count, 0);
    assert_int_equal(json_object_size(a.got.postgresql.parameters), 1);
    again_end(&a);
    again_begin(&a, "password: rep-pass", "password: other, sslmode: require");
    assert_int_equal(a.warnings.count, 0);
    assert_string_equal(a.got.postgresql.replication.password, "other");
    again_end(&a);
    again_begin(&a, "tags:\n", "log: {level: DEBUG, type: json}\nctl: {insecure: true}\ntags:\n");
    assert_int_equal(a.warnings.count, 0);
    assert_int_equal(a.got.log->level, LOG_LEVEL_DEBUG);
    assert_true(a.got.log->format.json);
    again_end(&a);
    again_begin(&a, "  connect_address: 172.20.0.10:5432\n",
                "  connect_address: db1:5432\n  pg_hba: ['local all all trust']\n"
                "  use_pg_rewind: false\n  pg_ctl_timeout: 9\n");
    assert_int_equal(a.warnings.count, 0);
    assert_string_equal(a.got.postgresql.connect.host, "db1");
    assert_int_equal(a.got.postgresql.pg_hba.count, 1);
    assert_true(a.got.postgresql.use_pg_rewind_given);
    again_end(&a);
}

/* As where the lines below it are uncommented, and commented out again. */
static void a_section_without_keys_is_as_none(void **state)
{
    static const char *const sections[] = {"log:\n", "log: {level: DEBUG}\n", "log:\n", ""};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct again a = {0};
        struct error err = {0};
        char *texts[2] = {mem_printf("%stags:\n", sections[i]),
                          mem_printf("%stags:\n", sections[i + 1])};
        a.running = loaded("tags:\n", texts[0]);
        a.read = loaded("tags:\n", texts[1]);
        assert_int_equal(config_again(&a.running, &a.read, &a.got, &a.warnings, &err), 0);
        assert_int_equal(a.warnings.count, 0);
        assert_int_equal(a.got.log->level, i == 0 ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO);
        config_free(&a.running);
        config_free(&a.read);
        again_end(&a);
        mem_free(texts[0]);
        mem_free(texts[1]);
    }
}

static void what_cannot_stays_and_is_named(void **state)
{
    static const struct {
        const char *from;
        const char *to;
        const char *name;
    } cases[] = {
        {"scope: postgres\n", "scope: other\n", "scope"},
        {"name: node1\n", "name: node9\n", "name"},
        {"  listen: 172.20.0.10:8008\n", "  listen: 172.20.0.10:8009\n", "restapi.listen"},
        {"  self_addr: 172.20.0.10:2222\n", "  self_addr: 172.20.0.10:2223\n", "raft.self_addr"},
        {"  data_dir: /data/patroni\n", "  data_dir: /data/other\n", "postgresql.data_dir"},
        {"  pgpass: /tmp/pgpass0\n", "  pgpass: /tmp/pgpass1\n", "postgresql.pgpass"},
        {"  pgpass: /tmp/pgpass0\n", "", "postgresql.pgpass"},
        {"  pgpass: /tmp/pgpass0\n", "  pgpass: /tmp/pgpass0\n  bin_dir: /x\n",
         "postgresql.bin_dir"},
        {"bootstrap:\n", "etcd_server: {listen: '172.20.0.10:2379'}\nbootstrap:\n", "etcd_server"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct again a;
        struct config before = loaded(NULL, NULL);
        again_begin(&a, cases[i].from, cases[i].to);
        char *words = mem_printf("node1.yml: %s: is another one in the file now", cases[i].name);
        assert_int_equal(a.warnings.count, 1);
        if (strncmp(a.warnings.texts[0], words, strlen(words)) != 0) {
            fail_msg("'%s' is not '%s'", a.warnings.texts[0], words);
        }
        mem_free(words);
        assert_true(json_equal(a.got.document, before.document));
        assert_string_equal(a.got.name, "node1");
        assert_string_equal(a.got.postgresql.data_dir, "/data/patroni");
        assert_string_equal(a.got.postgresql.pgpass, "/tmp/pgpass0");
        assert_false(a.got.etcd_server.given);
        config_free(&before);
        again_end(&a);
    }
}

/* The agent decides by what the instance does, which has the methods of the start. */
static void sections_of_replica_methods_stay(void **state)
{
    static const char *const sections[] = {"  wal: {command: copy}\n",
                                           "  wal: {command: copy, no_leader: true}\n", ""};
    (void)state;
    for (size_t i = 0; i < 9; i++) {
        struct again a = {0};
        struct error err;
        char *texts[2];
        for (size_t j = 0; j < 2; j++) {
            texts[j] = mem_printf("  pgpass: /tmp/pgpass0\n  create_replica_methods: [wal]\n%s",
                                  sections[j == 0 ? i / 3 : i % 3]);
        }
        a.running = loaded("  pgpass: /tmp/pgpass0\n", texts[0]);
        a.read = loaded("  pgpass: /tmp/pgpass0\n", texts[1]);
        assert_int_equal(config_again(&a.running, &a.read, &a.got, &a.warnings, &err), 0);
        assert_int_equal(a.warnings.count, i / 3 == i % 3 ? 0 : 1);
        assert_true(i / 3 == i % 3 ||
                    strstr(a.warnings.texts[0], "postgresql.wal: is another one") != NULL);
        assert_int_equal(a.got.postgresql.replica_methods[0].no_leader, i / 3 == 1);
        assert_true(json_equal(a.got.document, a.running.document));
        config_free(&a.running);
        config_free(&a.read);
        config_free(&a.got);
        config_warnings_free(&a.warnings);
        mem_free(texts[0]);
        mem_free(texts[1]);
    }
}

/* Another store, and what goes with it: one warning for each section, and the rest is taken. */
static void more_than_one_at_once(void **state)
{
    (void)state;
    struct again a;
    again_begin(&a,
                "raft:\n"
                "  data_dir: /data/raft\n"
                "  self_addr: 172.20.0.10:2222\n"
                "  partner_addrs: ['172.20.0.11:2222', '172.20.0.12:2222']\n",
                "etcd3: {host: '172.20.0.13:2379'}\nlog: {level: ERROR}\n");
    assert_int_equal(a.warnings.count, 2);
    assert_int_equal(a.got.store, CONFIG_STORE_RAFT);
    assert_string_equal(a.got.raft.self.text, "172.20.0.10:2222");
    assert_int_equal(a.got.log->level, LOG_LEVEL_ERROR);
    again_end(&a);
}

static void what_does_not_fit_to_what_stays_is_refused(void **state)
{
    (void)state;
    struct again a = {.running = loaded(NULL, NULL)};
    struct error err = {0};
    a.read = loaded("  listen: 172.20.0.10:8008\n  connect_address: 172.20.0.10:8008\n",
                    "  listen: '*:8008'\n  connect_address: 172.20.0.10:8008\n");
    assert_int_equal(config_again(&a.running, &a.read, &a.got, &a.warnings, &err), 0);
    assert_string_equal(a.got.restapi_listen.text, "172.20.0.10:8008");
    config_free(&a.got);
    config_free(&a.running);
    a.running = a.read; /* listens on all, and then the file gives no address to tell */
    a.read = loaded("  connect_address: 172.20.0.10:8008\n", "");
    config_warnings_free(&a.warnings);
    assert_int_equal(config_again(&a.running, &a.read, &a.got, &a.warnings, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "restapi.connect_address"));
    assert_non_null(strstr(err.text, "with what cannot change while the agent runs"));
    config_free(&a.running);
    config_free(&a.read);
    config_warnings_free(&a.warnings);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_dynamic_configuration_gives_what_the_file_does_not),
        cmocka_unit_test(commands_of_the_operator_may_be_the_same_everywhere),
        cmocka_unit_test(the_file_replaces_key_by_key),
        cmocka_unit_test(what_cannot_be_read_is_left_out_alone),
        cmocka_unit_test(a_name_of_a_database_has_a_length),
        cmocka_unit_test(rules_that_no_server_reads_end_the_start),
        cmocka_unit_test(what_can_change_changes),
        cmocka_unit_test(a_section_without_keys_is_as_none),
        cmocka_unit_test(what_cannot_stays_and_is_named),
        cmocka_unit_test(sections_of_replica_methods_stay),
        cmocka_unit_test(more_than_one_at_once),
        cmocka_unit_test(what_does_not_fit_to_what_stays_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
