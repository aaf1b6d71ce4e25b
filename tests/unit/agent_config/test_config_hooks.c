/* Commands of the operator. */
#include "tests/unit/agent_config/config_fixture.h"

#define AT "  pgpass: /tmp/pgpass0\n" /* a place in the section postgresql */

static void is_words(const struct pg_lines *words, const char *expected)
{
    char text[256] = "";
    for (size_t i = 0; i < words->count; i++) {
        size_t len = strlen(text);
        snprintf(text + len, sizeof text - len, "[%s]", words->items[i]);
    }
    assert_string_equal(text, expected);
}

static void callbacks_are_words(void **state)
{
    (void)state;
    struct config c = loaded(AT, AT "  callbacks:\n"
                                    "    on_start: /bin/tell\n"
                                    "    on_stop: sh -c 'exit 1' --\n"
                                    "    on_restart:\n"
                                    "  pre_promote: /bin/may --now\n"
                                    "  before_stop: /bin/drain\n"
                                    "  hook_timeout: 5\n");
    const struct config_hooks *hooks = &c.postgresql.hooks;
    is_words(&hooks->callbacks[CONFIG_ON_START], "[/bin/tell]");
    is_words(&hooks->callbacks[CONFIG_ON_STOP], "[sh][-c][exit 1][--]");
    is_words(&hooks->callbacks[CONFIG_ON_RESTART], "");
    is_words(&hooks->callbacks[CONFIG_ON_RELOAD], "");
    is_words(&hooks->callbacks[CONFIG_ON_ROLE_CHANGE], "");
    is_words(&hooks->pre_promote, "[/bin/may][--now]");
    is_words(&hooks->before_stop, "[/bin/drain]");
    assert_int_equal(hooks->timeout_ms, 5000);
    config_free(&c);
    c = loaded(NULL, NULL);
    is_words(&c.postgresql.hooks.callbacks[CONFIG_ON_START], "");
    assert_int_equal(c.postgresql.hooks.timeout_ms, 60000);
    config_free(&c);
}

static void commands_that_cannot_be_are_refused(void **state)
{
    (void)state;
    refused(AT, AT "  callbacks: {on_start: \"sh -c 'exit\"}\n",
            "postgresql.callbacks.on_start: is no command: a ' is not closed");
    refused(AT, AT "  callbacks: {on_start: ' '}\n",
            "postgresql.callbacks.on_start: has spaces alone: give a command, or take it out");
    refused(AT, AT "  callbacks: {on_start: [a, b]}\n", "postgresql.callbacks.on_start: is a list");
    refused(AT, AT "  callbacks: /bin/tell\n", "postgresql.callbacks: is a text: give a mapping");
    refused(AT, AT "  callbacks: {on_rolechange: /bin/tell}\n", "did you mean 'on_role_change'?");
    refused(AT, AT "  hook_timeout: 0\n",
            "postgresql.hook_timeout: is out of range: give a whole number from 1 to 3600");
}

#define METHOD "  initdb:\n" /* a place in the section bootstrap */

static void a_bootstrap_may_have_a_method_of_its_own(void **state)
{
    (void)state;
    struct config c = loaded(METHOD, "  method: pgbackrest\n"
                                     "  pgbackrest:\n"
                                     "    command: /bin/restore --now 'a b'\n"
                                     "    keep_existing_recovery_conf: false\n"
                                     "    recovery_conf:\n"
                                     "      restore_command: cp /a/%f %p\n"
                                     "      recovery_target_inclusive: off\n"
                                     "    stanza: main\n"
                                     "    jobs: 3\n"
                                     "    delta: true\n"
                                     "    datadir: /elsewhere\n"
                                     "  post_init: /bin/older\n"
                                     "  post_bootstrap: /bin/newer\n" METHOD);
    const struct pg_method *method = &c.bootstrap.method;
    assert_string_equal(method->name, "pgbackrest");
    is_words(&method->words, "[/bin/restore][--now][a b]");
    is_words(&method->params, "[--stanza=main][--jobs=3][--delta=True]");
    assert_false(method->no_params);
    assert_false(method->keep_recovery_conf);
    assert_int_equal(method->recovery_conf.count, 2);
    assert_string_equal(method->recovery_conf.items[0].value, "cp /a/%f %p");
    assert_string_equal(method->recovery_conf.items[1].value, "off");
    is_words(&c.bootstrap.post_init, "[/bin/newer]");
    config_free(&c);
    c = loaded(METHOD, "  method: initdb\n  post_init: /bin/older\n" METHOD);
    is_words(&c.bootstrap.method.words, "");
    is_words(&c.bootstrap.post_init, "[/bin/older]");
    config_free(&c);
    refused(METHOD, "  method: wal_e\n" METHOD,
            "bootstrap.method: 'wal_e' has no command: give it as bootstrap.wal_e.command");
    refused(METHOD, "  method: wal_e\n  wal_e: {command: a, jobs: [1]}\n" METHOD,
            "bootstrap.wal_e.jobs: is a list");
    warned(METHOD, "  wal_e: {command: a}\n" METHOD, "bootstrap.wal_e: no key that is known here");
}

static void replicas_may_have_methods_of_their_own(void **state)
{
    (void)state;
    struct config c = loaded(AT, AT "  create_replica_methods: [basebackups, wal_g, basebackup]\n"
                                    "  basebackups:\n"
                                    "    command: /bin/copy -v\n"
                                    "    no_leader: 1\n"
                                    "    keep_data: true\n"
                                    "    no_params: true\n"
                                    "    speed: 7\n");
    const struct config_postgresql *p = &c.postgresql;
    assert_int_equal(p->replica_method_count, 3);
    is_words(&p->replica_methods[0].words, "[/bin/copy][-v]");
    is_words(&p->replica_methods[0].params, "[--speed=7]");
    assert_true(p->replica_methods[0].no_leader && p->replica_methods[0].keep_data &&
                p->replica_methods[0].no_params);
    is_words(&p->replica_methods[1].words, "[wal_g]"); /* its name is the command */
    assert_false(p->replica_methods[1].no_leader);
    is_words(&p->replica_methods[2].words, "");
    config_free(&c);
    c = loaded(AT, AT "  create_replica_method: [basebackup]\n");
    assert_int_equal(c.postgresql.replica_method_count, 1);
    config_free(&c);
    c = loaded(NULL, NULL);
    assert_int_equal(c.postgresql.replica_method_count, 0);
    config_free(&c);
    refused(AT, AT "  create_replica_methods: basebackup\n",
            "postgresql.create_replica_methods: is a text: give a list");
    refused(AT, AT "  create_replica_methods: ['']\n",
            "postgresql.create_replica_methods: has an empty name: take it out");
    refused(AT, AT "  create_replica_methods: [a]\n  a: {command: \"b '\"}\n",
            "postgresql.a.command: is no command: a ' is not closed");
    refused(AT, AT "  basebackups: {command: a}\n", "did you mean 'basebackup'?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(callbacks_are_words),
        cmocka_unit_test(a_bootstrap_may_have_a_method_of_its_own),
        cmocka_unit_test(replicas_may_have_methods_of_their_own),
        cmocka_unit_test(commands_that_cannot_be_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
