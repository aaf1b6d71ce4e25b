/* `standby_cluster` of the dynamic configuration: what activates it, and what cannot be obeyed. */
#include "agent/config/dynamic_standby.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct dynamic_standby standby;
static json_t *document;

static bool reads(const char *section)
{
    char *text = mem_printf("{\"standby_cluster\": %s}", section);
    json_decref(document);
    document = json_loads(text, 0, NULL);
    assert_non_null(document);
    mem_free(text);
    memset(&standby, 0, sizeof standby);
    return dynamic_standby_read(document, &standby);
}

static int forget(void **state)
{
    (void)state;
    json_decref(document);
    document = NULL;
    return 0;
}

static void is_known_as(const char *expected)
{
    char text[DYNAMIC_STANDBY_TEXT_BYTES];
    dynamic_standby_text(&standby, text);
    assert_string_equal(text, expected);
}

static void any_of_three_keys_is_enough(void **state)
{
    (void)state;
    assert_true(reads("{\"host\": \"10.0.0.1\"}"));
    is_known_as("10.0.0.1:5432");
    assert_true(reads("{\"host\": \"a, b ,c\", \"port\": \"6432\"}"));
    is_known_as("a,b,c:6432");
    assert_true(reads("{\"port\": 5433}"));
    is_known_as("localhost:5433");
    assert_true(reads("{\"restore_command\": \"cp /a/%f %p\"}"));
    is_known_as("archive");
    assert_string_equal(standby.restore_command, "cp /a/%f %p");
    assert_int_equal(dynamic_standby_host_count(&standby), 0);
}

static void settings_of_the_standby_leader_are_read(void **state)
{
    (void)state;
    assert_true(reads("{\"host\": \"h\", \"primary_slot_name\": \"Site-B\", \"restore_command\": "
                      "\"r\", \"archive_cleanup_command\": \"c\", \"recovery_min_apply_delay\": "
                      "\"5min\", \"create_replica_methods\": [\"wal_g\", \"basebackup\"]}"));
    assert_string_equal(standby.slot, "site_b"); /* as Patroni makes names of slots */
    assert_string_equal(standby.restore_command, "r");
    assert_string_equal(standby.archive_cleanup_command, "c");
    assert_string_equal(standby.apply_delay, "5min");
    assert_int_equal(standby.method_count, 2);
    assert_string_equal(standby.methods[0], "wal_g");
    assert_string_equal(standby.methods[1], "basebackup");
    assert_true(reads("{\"host\": \"h\", \"recovery_min_apply_delay\": 0, "
                      "\"create_replica_methods\": \"wal_g\"}"));
    assert_string_equal(standby.apply_delay, "0");
    assert_int_equal(standby.method_count, 1);
    assert_string_equal(standby.slot, "");
}

static void hosts_of_a_list_are_asked_one_by_one(void **state)
{
    char host[PG_HOST_BYTES];
    (void)state;
    assert_true(reads("{\"host\": \"a,bb,c\"}"));
    assert_int_equal(dynamic_standby_host_count(&standby), 3);
    assert_true(dynamic_standby_host(&standby, 0, host));
    assert_string_equal(host, "a");
    assert_true(dynamic_standby_host(&standby, 1, host));
    assert_string_equal(host, "bb");
    assert_true(dynamic_standby_host(&standby, 2, host));
    assert_string_equal(host, "c");
    assert_false(dynamic_standby_host(&standby, 3, host));
    assert_true(reads("{\"restore_command\": \"r\"}"));
    assert_false(dynamic_standby_host(&standby, 0, host));
}

static void a_section_that_is_off_is_none(void **state)
{
    static const char *const off[] = {"{}", "null", "false", "\"off\""};
    char fault[DYNAMIC_STANDBY_FAULT_BYTES];
    (void)state;
    for (size_t i = 0; i < sizeof off / sizeof off[0]; i++) {
        assert_false(reads(off[i]));
        assert_false(dynamic_standby_is_given(document));
        assert_false(dynamic_standby_fault(document, fault));
        assert_false(dynamic_standby_mistake(document, fault));
    }
    json_decref(document);
    document = json_object();
    assert_false(dynamic_standby_is_given(document));
}

/* Taken for none it would make a second primary. */
static void what_cannot_be_obeyed_is_named(void **state)
{
    static const char *const rows[][2] = {
        {"true", "standby_cluster: not right"},
        {"\"10.0.0.1\"", "standby_cluster: not right"},
        {"[1]", "standby_cluster: not right"},
        {"{\"primary_slot_name\": \"x\"}", "incomplete: give host, port or restore_command"},
        {"{\"host\": \"\", \"port\": null}", "incomplete"},
        {"{\"host\": 7}", "standby_cluster.host"},
        {"{\"host\": \"a,,b\"}", "standby_cluster.host"},
        {"{\"host\": \"a b\"}", "standby_cluster.host"},
        {"{\"host\": \"a\\nport=1\"}", "standby_cluster.host"},
        {"{\"host\": \"1,2,3,4,5,6,7,8,9\"}", "more than 8 hosts"},
        {"{\"port\": 0}", "standby_cluster.port"},
        {"{\"port\": 65536}", "standby_cluster.port"},
        {"{\"port\": \"54x\"}", "standby_cluster.port"},
        {"{\"port\": 54.5}", "standby_cluster.port"},
        {"{\"host\": \"h\", \"primary_slot_name\": 5}", "standby_cluster.primary_slot_name"},
        {"{\"restore_command\": [\"cp\"]}", "standby_cluster.restore_command"},
        {"{\"restore_command\": \"a\\nb\"}", "standby_cluster.restore_command"},
        {"{\"host\": \"h\", \"archive_cleanup_command\": 1}",
         "standby_cluster.archive_cleanup_command"},
        {"{\"host\": \"h\", \"recovery_min_apply_delay\": \"soon\"}",
         "standby_cluster.recovery_min_apply_delay"},
        {"{\"host\": \"h\", \"recovery_min_apply_delay\": -1}",
         "standby_cluster.recovery_min_apply_delay"},
        {"{\"host\": \"h\", \"create_replica_methods\": {}}",
         "standby_cluster.create_replica_methods"},
        {"{\"host\": \"h\", \"create_replica_methods\": [1]}",
         "standby_cluster.create_replica_methods"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct dynamic_config config;
        struct error err = {0};
        assert_false(reads(rows[i][0]));
        assert_int_equal(
            dynamic_config_parse(document, DYNAMIC_TTL_MS_MIN_RAFT, &config, NULL, &err),
            ERR_UNSUPPORTED);
        if (strstr(err.text, rows[i][1]) == NULL) {
            fail_msg("%s: %s", rows[i][0], err.text);
        }
        assert_int_equal(dynamic_config_validate(document, DYNAMIC_TTL_MS_MIN_RAFT, NULL, &err),
                         ERR_INVALID);
        assert_non_null(strstr(err.text, rows[i][1]));
        assert_int_equal(dynamic_config_validate(document, DYNAMIC_TTL_MS_MIN_RAFT, document, &err),
                         0);
    }
}

static void what_would_do_nothing_is_not_stored(void **state)
{
    struct error err = {0};
    (void)state;
    assert_true(reads("{\"restore_command\": \"r\", \"primary_slot_name\": \"s\"}"));
    assert_int_equal(dynamic_config_validate(document, DYNAMIC_TTL_MS_MIN_RAFT, NULL, &err),
                     ERR_INVALID);
    assert_non_null(strstr(err.text, "only with host or port"));
    assert_true(reads("{\"host\": \"h\", \"primary_slotname\": \"s\"}"));
    assert_int_equal(dynamic_config_validate(document, DYNAMIC_TTL_MS_MIN_RAFT, NULL, &err),
                     ERR_INVALID);
    assert_non_null(strstr(err.text, "did you mean 'primary_slot_name'"));
}

static void commits_wait_for_nobody_in_a_standby_cluster(void **state)
{
    struct dynamic_config config;
    struct error err = {0};
    json_t *tree = json_loads("{\"standby_cluster\": {\"host\": \"h\"}, \"synchronous_mode\": "
                              "\"quorum\", \"synchronous_mode_strict\": true, "
                              "\"early_failover\": true}",
                              0, NULL);
    (void)state;
    assert_int_equal(dynamic_config_parse(tree, DYNAMIC_TTL_MS_MIN_RAFT, &config, NULL, &err), 0);
    assert_true(config.standby_cluster);
    assert_int_equal(config.synchronous_mode, DYNAMIC_SYNCHRONOUS_OFF);
    assert_false(config.early_failover);
    assert_true(json_equal(config.document, tree));
    dynamic_config_free(&config);
    assert_int_equal(dynamic_config_validate(tree, DYNAMIC_TTL_MS_MIN_RAFT, NULL, &err), 0);
    json_decref(tree);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(any_of_three_keys_is_enough, forget),
        cmocka_unit_test_teardown(settings_of_the_standby_leader_are_read, forget),
        cmocka_unit_test_teardown(hosts_of_a_list_are_asked_one_by_one, forget),
        cmocka_unit_test_teardown(a_section_that_is_off_is_none, forget),
        cmocka_unit_test_teardown(what_cannot_be_obeyed_is_named, forget),
        cmocka_unit_test_teardown(what_would_do_nothing_is_not_stored, forget),
        cmocka_unit_test(commits_wait_for_nobody_in_a_standby_cluster),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
