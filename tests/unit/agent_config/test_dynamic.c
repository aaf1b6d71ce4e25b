/* The dynamic configuration: what is stored is adjusted, what somebody wants to store is refused,
 * and which parameters come out of both. */
#include "agent/config/dynamic.h"

#include "agent/config/known_keys.h"
#include "agent/config/yaml.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static json_t *object(const char *text)
{
    json_t *tree = json_loads(text, 0, NULL);
    if (tree == NULL) {
        fail_msg("no JSON: %s", text);
    }
    return tree;
}

static struct dynamic_config parsed(const char *text, char *warning)
{
    struct dynamic_config config;
    struct error err = {0};
    json_t *tree = object(text);
    if (dynamic_config_parse(tree, DYNAMIC_TTL_MS_MIN_RAFT, &config, warning, &err) != 0) {
        fail_msg("%s", err.text);
    }
    json_decref(tree);
    return config;
}

static void check_timeouts(const char *text, int64_t ttl, int64_t loop_wait, int64_t retry,
                           const char *words)
{
    char warning[DYNAMIC_WARNING_BYTES] = "not set";
    struct dynamic_config config = parsed(text, warning);
    assert_int_equal(config.ttl_ms, ttl);
    assert_int_equal(config.loop_wait_ms, loop_wait);
    assert_int_equal(config.retry_timeout_ms, retry);
    if (words[0] == '\0' ? warning[0] != '\0' : strstr(warning, words) == NULL) {
        fail_msg("%s: the warning is '%s'", text, warning);
    }
    dynamic_config_free(&config);
}

static void refused_with(const char *text, const char *before_text, int code, const char *words)
{
    struct error err = {0};
    json_t *tree = object(text);
    json_t *before = before_text != NULL ? object(before_text) : NULL;
    assert_int_equal(dynamic_config_validate(tree, DYNAMIC_TTL_MS_MIN_RAFT, before, &err), code);
    if (words != NULL && strstr(err.text, words) == NULL) {
        fail_msg("'%s' does not say '%s'", err.text, words);
    }
    json_decref(tree);
    json_decref(before);
}

/* What says nothing of its own goes with the ttl. */
static void limits_of_a_useless_primary_go_with_the_ttl(void **state)
{
    static const int64_t wanted[][4] = {/* ttl, stall, failure, hang */
                                        {3000, 2000, 6000, 30000},
                                        {8100, 2700, 16200, 81000},
                                        {30000, 10000, 20000, 300000},
                                        {600000, 10000, 20000, 300000}};
    (void)state;
    struct dynamic_config c = parsed("{}", NULL);
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        c.ttl_ms = wanted[i][0];
        assert_int_equal(dynamic_disk_stall_timeout_ms(&c), wanted[i][1]);
        assert_int_equal(dynamic_disk_failure_timeout_ms(&c), wanted[i][2]);
        assert_int_equal(dynamic_hang_timeout_ms(&c), wanted[i][3]);
    }
    assert_int_equal(c.minimum_free_disk_bytes, 32 << 20);
    assert_int_equal(c.crash_loop_window_ms, 300000);
    dynamic_config_free(&c);
    c = parsed("{\"disk_stall_timeout\": 40, \"postmaster_hang_timeout\": \"1min\","
               "\"minimum_free_disk\": 0}",
               NULL);
    assert_int_equal(dynamic_disk_stall_timeout_ms(&c), 40000);
    assert_int_equal(dynamic_disk_failure_timeout_ms(&c), 40000); /* never shorter */
    assert_int_equal(dynamic_hang_timeout_ms(&c), 60000);
    assert_int_equal(c.minimum_free_disk_bytes, 0);
    dynamic_config_free(&c);
    refused_with("{\"disk_stall_timeout\": 0.5}", NULL, ERR_INVALID, "disk_stall_timeout");
    refused_with("{\"disk_failure_timeout\": 0}", NULL, ERR_INVALID, "disk_failure_timeout");
    refused_with("{\"postmaster_hang_timeout\": 2}", NULL, ERR_INVALID, "from 3 to");
    refused_with("{\"crash_loop_window\": -1}", NULL, ERR_INVALID, "crash_loop_window");
    refused_with("{\"minimum_free_disk\": -1}", NULL, ERR_INVALID, "minimum_free_disk");
    refused_with("{\"disk_stal_timeout\": 5}", NULL, ERR_INVALID, "disk_stall_timeout");
}

static void nothing_stored_gives_the_defaults(void **state)
{
    (void)state;
    char warning[DYNAMIC_WARNING_BYTES];
    struct dynamic_config c = parsed("{}", warning);
    assert_string_equal(warning, "");
    assert_int_equal(c.ttl_ms, 30000);
    assert_int_equal(c.loop_wait_ms, 10000);
    assert_int_equal(c.retry_timeout_ms, 10000);
    assert_int_equal(c.maximum_lag_on_failover_bytes, 1048576);
    assert_int_equal(c.primary_start_timeout_ms, 300000);
    assert_int_equal(c.member_slots_ttl_ms, 1800000);
    assert_true(c.use_slots);
    assert_false(c.use_pg_rewind);
    assert_false(c.check_timeline);
    dynamic_config_free(&c);
    dynamic_config_free(NULL);
}

static void values_come_with_and_without_units(void **state)
{
    (void)state;
    struct dynamic_config c = parsed(
        "{\"ttl\": \"1min\", \"loop_wait\": \"5000ms\", \"retry_timeout\": 4.5,"
        "\"maximum_lag_on_failover\": \"16MB\", \"master_start_timeout\": 0,"
        "\"member_slots_ttl\": \"1h\", \"max_timelines_history\": 7, \"check_timeline\": \"on\","
        "\"postgresql\": {\"use_slots\": \"off\", \"use_pg_rewind\": 1}}",
        NULL);
    assert_int_equal(c.ttl_ms, 60000);
    assert_int_equal(c.loop_wait_ms, 5000);
    assert_int_equal(c.retry_timeout_ms, 4500);
    assert_int_equal(c.maximum_lag_on_failover_bytes, 16777216);
    assert_int_equal(c.primary_start_timeout_ms, 0);
    assert_int_equal(c.member_slots_ttl_ms, 3600000);
    assert_int_equal(c.max_timelines_history, 7);
    assert_true(c.check_timeline);
    assert_false(c.use_slots);
    assert_true(c.use_pg_rewind);
    dynamic_config_free(&c);
}

static void the_newer_name_has_the_last_word(void **state)
{
    (void)state;
    struct dynamic_config c =
        parsed("{\"primary_start_timeout\": 7, \"master_start_timeout\": 9}", NULL);
    assert_int_equal(c.primary_start_timeout_ms, 7000);
    dynamic_config_free(&c);
}

static void stored_timeouts_are_adjusted_as_patroni_does(void **state)
{
    (void)state;
    check_timeouts("{\"ttl\": 30, \"loop_wait\": 10, \"retry_timeout\": 10}", 30000, 10000, 10000,
                   "");
    check_timeouts("{\"ttl\": 20, \"loop_wait\": 10, \"retry_timeout\": 10}", 20000, 1000, 9000,
                   "more than ttl 20");
    check_timeouts("{\"ttl\": 30, \"loop_wait\": 20, \"retry_timeout\": 10}", 30000, 10000, 10000,
                   "more than ttl 30");
    check_timeouts("{\"ttl\": 3, \"loop_wait\": 1, \"retry_timeout\": 1}", 3000, 1000, 1000, "");
    check_timeouts("{\"ttl\": 1}", 3000, 1000, 1000, "ttl is 1, taken as 3");
    check_timeouts("{\"loop_wait\": 0, \"retry_timeout\": 0.2}", 30000, 1000, 1000,
                   "retry_timeout is 0.2, taken as 1");
    check_timeouts("{\"ttl\": \"soon\"}", 30000, 10000, 10000,
                   "ttl is \"soon\", taken as 30 (the default)");
    check_timeouts("{\"ttl\": 1e9}", 86400000, 10000, 10000, "taken as 86400");
}

/* Every combination of small values: the rule holds afterwards, nothing is below its minimum, and
 * ttl is kept. */
static void adjusted_timeouts_always_keep_the_rule(void **state)
{
    (void)state;
    for (int ttl = 0; ttl <= 40; ttl++) {
        for (int loop_wait = 0; loop_wait <= 20; loop_wait++) {
            for (int retry = 0; retry <= 25; retry++) {
                json_t *tree = json_pack("{s:i, s:i, s:i}", "ttl", ttl, "loop_wait", loop_wait,
                                         "retry_timeout", retry);
                struct dynamic_config c;
                struct error err = {0};
                assert_int_equal(
                    dynamic_config_parse(tree, DYNAMIC_TTL_MS_MIN_RAFT, &c, NULL, &err), 0);
                assert_true(c.loop_wait_ms + 2 * c.retry_timeout_ms <= c.ttl_ms);
                assert_true(c.loop_wait_ms >= 1000 && c.retry_timeout_ms >= 1000);
                assert_int_equal(c.ttl_ms, ttl < 3 ? 3000 : ttl * 1000);
                bool right =
                    ttl >= 3 && loop_wait >= 1 && retry >= 1 && loop_wait + 2 * retry <= ttl;
                assert_int_equal(
                    dynamic_config_validate(tree, DYNAMIC_TTL_MS_MIN_RAFT, NULL, &err) == 0, right);
                dynamic_config_free(&c);
                json_decref(tree);
            }
        }
    }
}

static void what_is_no_object_leaves_the_old_in_force(void **state)
{
    (void)state;
    struct dynamic_config c = {.ttl_ms = 77};
    struct error err = {0};
    json_t *list = json_array();
    assert_int_equal(dynamic_config_parse(list, DYNAMIC_TTL_MS_MIN_RAFT, &c, NULL, &err),
                     ERR_INVALID);
    assert_int_equal(dynamic_config_parse(NULL, DYNAMIC_TTL_MS_MIN_RAFT, &c, NULL, &err),
                     ERR_INVALID);
    assert_int_equal(dynamic_config_validate(list, DYNAMIC_TTL_MS_MIN_RAFT, NULL, &err),
                     ERR_INVALID);
    assert_int_equal(dynamic_config_check_types(list, DYNAMIC_TTL_MS_MIN_RAFT, &err), ERR_INVALID);
    assert_int_equal(c.ttl_ms, 77);
    json_decref(list);
}

static void synchronous_mode_is_on_off_or_quorum(void **state)
{
    static const struct {
        const char *value;
        enum dynamic_synchronous mode;
        bool refused; /* to be stored */
    } rows[] = {
        {"null", DYNAMIC_SYNCHRONOUS_OFF, false},
        {"true", DYNAMIC_SYNCHRONOUS_ON, false},
        {"\"on\"", DYNAMIC_SYNCHRONOUS_ON, false},
        {"1", DYNAMIC_SYNCHRONOUS_ON, false},
        {"false", DYNAMIC_SYNCHRONOUS_OFF, false},
        {"\"off\"", DYNAMIC_SYNCHRONOUS_OFF, false},
        {"\"quorum\"", DYNAMIC_SYNCHRONOUS_QUORUM, false},
        {"\"Quorum\"", DYNAMIC_SYNCHRONOUS_QUORUM, false},
        {"\"qorum\"", DYNAMIC_SYNCHRONOUS_OFF, true},
        {"2", DYNAMIC_SYNCHRONOUS_OFF, true},
        {"[]", DYNAMIC_SYNCHRONOUS_OFF, true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *text = mem_printf("{\"synchronous_mode\": %s}", rows[i].value);
        struct dynamic_config c = parsed(text, NULL);
        if (c.synchronous_mode != rows[i].mode) {
            fail_msg("%s is taken as %d", text, (int)c.synchronous_mode);
        }
        refused_with(text, NULL, rows[i].refused ? ERR_INVALID : 0,
                     rows[i].refused ? "on, off or quorum" : NULL);
        dynamic_config_free(&c);
        mem_free(text);
    }
}

#define STRICT "\"synchronous_mode\": \"quorum\", \"synchronous_mode_strict\": true"

static void early_failover_needs_strict_mode_and_raft(void **state)
{
    char warning[DYNAMIC_WARNING_BYTES];
    struct dynamic_config c;
    (void)state;
    c = parsed("{}", warning);
    assert_false(c.early_failover);
    dynamic_config_free(&c);
    c = parsed("{" STRICT ", \"early_failover\": true}", warning);
    assert_true(c.early_failover);
    assert_string_equal(warning, "");
    dynamic_config_free(&c);
    static const char *const wrong[] = {
        "{\"early_failover\": true}",
        "{\"early_failover\": true, \"synchronous_mode\": true}",
        "{\"early_failover\": true, \"synchronous_mode_strict\": true}",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        c = parsed(wrong[i], warning);
        assert_false(c.early_failover);
        assert_non_null(strstr(warning, "early_failover: only with synchronous_mode on or quorum"));
        dynamic_config_free(&c);
        refused_with(wrong[i], NULL, ERR_INVALID,
                     "early_failover: only with synchronous_mode on or quorum and "
                     "synchronous_mode_strict: set both, or leave it out");
        /* Nor is strict mode left from under it; what is wrong already stops no other change. */
        refused_with(wrong[i], "{" STRICT ", \"early_failover\": true}", ERR_INVALID,
                     "early_failover");
        json_t *document = json_loads(wrong[i], 0, NULL);
        assert_int_equal(dynamic_config_validate(document, DYNAMIC_TTL_MS_MIN_RAFT, document, NULL),
                         0);
        json_decref(document);
    }
    json_t *document = json_loads("{" STRICT ", \"early_failover\": true}", 0, NULL);
    struct error err = {0};
    assert_int_equal(dynamic_config_validate(document, DYNAMIC_TTL_MS_MIN_RAFT, NULL, &err), 0);
    assert_int_equal(dynamic_config_validate(document, DYNAMIC_TTL_MS_MIN_ETCD, NULL, &err),
                     ERR_INVALID);
    assert_string_equal(err.text, "early_failover: only with 'raft' as the store: leave it out");
    assert_int_equal(dynamic_config_parse(document, DYNAMIC_TTL_MS_MIN_ETCD, &c, warning, &err), 0);
    assert_false(c.early_failover);
    dynamic_config_free(&c);
    json_decref(document);
}

static void synchronous_nodes_are_between_one_and_sixteen(void **state)
{
    char warning[DYNAMIC_WARNING_BYTES];
    (void)state;
    struct dynamic_config c = parsed("{}", NULL);
    assert_int_equal(c.synchronous_node_count, 1);
    assert_false(c.synchronous_mode_strict);
    assert_int_equal(c.maximum_lag_on_syncnode_bytes, -1);
    dynamic_config_free(&c);
    c = parsed("{\"synchronous_node_count\": 2, \"synchronous_mode_strict\": \"on\","
               "\"maximum_lag_on_syncnode\": \"1MB\"}",
               warning);
    assert_string_equal(warning, "");
    assert_int_equal(c.synchronous_node_count, 2);
    assert_true(c.synchronous_mode_strict);
    assert_int_equal(c.maximum_lag_on_syncnode_bytes, 1048576);
    dynamic_config_free(&c);
    c = parsed("{\"synchronous_node_count\": 0}", warning);
    assert_int_equal(c.synchronous_node_count, 1);
    assert_non_null(strstr(warning, "synchronous_node_count is 0, taken as 1"));
    dynamic_config_free(&c);
    refused_with("{\"synchronous_node_count\": 0}", NULL, ERR_INVALID, "from 1 to 16");
    refused_with("{\"synchronous_node_count\": 17}", NULL, ERR_INVALID, "from 1 to 16");
}

static void unserved_keys_are_refused_both_ways(void **state)
{
    (void)state;
    static const char *const texts[] = {"{\"citus\": {\"group\": 1}}"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct dynamic_config c;
        struct error err = {0};
        json_t *tree = object(texts[i]);
        assert_int_equal(dynamic_config_parse(tree, DYNAMIC_TTL_MS_MIN_RAFT, &c, NULL, &err),
                         ERR_UNSUPPORTED);
        assert_int_equal(dynamic_config_validate(tree, DYNAMIC_TTL_MS_MIN_RAFT, NULL, &err),
                         ERR_UNSUPPORTED);
        assert_non_null(strstr(err.text, "not served by this release"));
        json_decref(tree);
    }
    struct dynamic_config c =
        parsed("{\"pause\": false, \"synchronous_mode\": \"off\", \"standby_cluster\": {}}", NULL);
    dynamic_config_free(&c);
}

static void an_unserved_key_that_is_stored_blocks_no_other_change(void **state)
{
    (void)state;
    refused_with("{\"citus\": {\"group\": 1}, \"ttl\": 40}", "{\"citus\": {\"group\": 1}}", 0,
                 NULL);
    refused_with("{\"citus\": {\"group\": 1}, \"ttl\": 40}", "{\"citus\": {\"group\": 2}}",
                 ERR_UNSUPPORTED, "citus");
}

static void pause_is_a_switch_that_is_off_by_default(void **state)
{
    (void)state;
    struct dynamic_config c = parsed("{\"pause\": true}", NULL);
    assert_true(c.paused);
    dynamic_config_free(&c);
    c = parsed("{\"pause\": \"on\"}", NULL);
    assert_true(c.paused);
    dynamic_config_free(&c);
    c = parsed("{\"pause\": null}", NULL);
    assert_false(c.paused);
    dynamic_config_free(&c);
    c = parsed("{}", NULL);
    assert_false(c.paused);
    dynamic_config_free(&c);
    refused_with("{\"pause\": \"maybe\"}", NULL, ERR_INVALID, "pause");
}

static void wrong_values_are_refused_by_key_and_value(void **state)
{
    (void)state;
    refused_with("{\"ttl\": 2}", NULL, ERR_INVALID,
                 "ttl: 2 is not right: give a time from 3 to 86400 seconds");
    refused_with("{\"ttl\": \"0x20\"}", NULL, ERR_INVALID, "ttl: \"0x20\"");
    refused_with("{\"ttl\": [1]}", NULL, ERR_INVALID, "ttl: [1] is not right");
    refused_with("{\"loop_wait\": \"10 parsecs\"}", NULL, ERR_INVALID, "loop_wait: \"10 parsecs\"");
    refused_with("{\"retry_timeout\": \"\"}", NULL, ERR_INVALID, "retry_timeout");
    refused_with("{\"maximum_lag_on_failover\": -1}", NULL, ERR_INVALID, "a number of bytes");
    refused_with("{\"max_timelines_history\": 1.5}", NULL, ERR_INVALID, "a whole number");
    refused_with("{\"check_timeline\": \"maybe\"}", NULL, ERR_INVALID, "true or false");
    refused_with("{\"postgresql\": {\"use_slots\": 7}}", NULL, ERR_INVALID,
                 "postgresql.use_slots: 7");
    refused_with("{\"ttl\": 20}", NULL, ERR_INVALID,
                 "ttl: 20 is too small: loop_wait 10 + 2 * retry_timeout 10");
    refused_with("{\"ttl\": 30, \"loop_wait\": 5}", NULL, 0, NULL);
    refused_with("{\"loop_wiat\": 5}", NULL, ERR_INVALID,
                 "loop_wiat: no key of that name: did you mean 'loop_wait'?");
    refused_with("{\"loop_wiat\": 5}", "{\"loop_wiat\": 4}", 0, NULL);
    refused_with("{\"postgresql\": {\"use_pg_rewnd\": true}}", NULL, ERR_INVALID,
                 "postgresql.use_pg_rewnd: no key of that name: did you mean 'use_pg_rewind'?");
    refused_with("{\"postgresql\": {\"use_pg_rewnd\": true}}",
                 "{\"postgresql\": {\"use_pg_rewnd\": 1}}", 0, NULL);
    refused_with("{\"postgresql\": {\"my_method\": {\"command\": \"x\"}}}", NULL, 0, NULL);
    refused_with("{\"something_else\": 5}", NULL, 0, NULL);
    refused_with("{\"ttl\": null}", NULL, 0, NULL);
}

static void a_stored_wrong_value_blocks_no_other_change_but_the_rule_holds(void **state)
{
    (void)state;
    refused_with("{\"maximum_lag_on_failover\": -1, \"ttl\": 40}",
                 "{\"maximum_lag_on_failover\": -1}", 0, NULL);
    refused_with("{\"ttl\": 20, \"x_key\": 1}", "{\"ttl\": 20}", ERR_INVALID,
                 "ttl: 20 is too small");
}

/* Stored by other means, they are no reason to count over the end of an integer. */
static void stored_numbers_may_be_huge(void **state)
{
    (void)state;
    refused_with("{\"retry_timeout\": 8e15, \"x_key\": 1}", "{\"retry_timeout\": 8e15}",
                 ERR_INVALID, "ttl: 30 is too small: loop_wait 10 + 2 * retry_timeout 8e+15");
    refused_with("{\"loop_wait\": -8e15, \"retry_timeout\": -8e15}",
                 "{\"loop_wait\": -8e15, \"retry_timeout\": -8e15}", 0, NULL);
    check_timeouts("{\"retry_timeout\": 8e15}", 30000, 1000, 14000, "taken as 86400");
}

/* What can be stored can be shown again, as YAML. */
static void a_document_is_no_deeper_than_can_be_shown(void **state)
{
    struct error err = {0};
    (void)state;
    for (int levels = 62; levels <= 66; levels++) {
        json_t *deep = json_integer(1);
        for (int i = 1; i < levels - 1; i++) {
            json_t *outer = i % 2 == 0 ? json_array() : json_object();
            assert_int_equal(i % 2 == 0 ? json_array_append_new(outer, deep)
                                        : json_object_set_new(outer, "a", deep),
                             0);
            deep = outer;
        }
        json_t *document = json_pack("{s:o}", "other", deep);
        struct buf text = BUF_INIT;
        int rc = dynamic_config_validate(document, DYNAMIC_TTL_MS_MIN_RAFT, NULL, &err);
        assert_int_equal(rc, levels <= 64 ? 0 : ERR_LIMIT);
        assert_int_equal(yaml_write(document, &text, &err), rc);
        buf_free(&text);
        json_decref(document);
    }
}

static void the_postgresql_section_is_looked_at(void **state)
{
    (void)state;
    refused_with("{\"postgresql\": 5}", NULL, ERR_INVALID, "postgresql: not right");
    refused_with("{\"postgresql\": null}", NULL, 0, NULL);
    refused_with("{\"postgresql\": {\"parameters\": [1]}}", NULL, ERR_INVALID,
                 "postgresql.parameters: not right");
    refused_with("{\"postgresql\": {\"parameters\": {\"work_mem\": {}}}}", NULL, ERR_INVALID,
                 "postgresql.parameters.work_mem");
    refused_with("{\"postgresql\": {\"pg_hba\": \"x\"}}", NULL, ERR_INVALID,
                 "postgresql.pg_hba: is a text: give a list of lines");
    refused_with("{\"postgresql\": {\"pg_hba\": [\"a\\nb\"]}}", NULL, ERR_INVALID,
                 "postgresql.pg_hba");
    refused_with("{\"postgresql\": {\"pg_hba\": [\"local all all trust\", \"host all all md5\"]}}",
                 NULL, ERR_INVALID, "postgresql.pg_hba: its item 2: ends before the method");
    refused_with("{\"postgresql\": {\"pg_hba\": [\"include x\"]}}", NULL, ERR_INVALID,
                 "postgresql.pg_hba: its item 1: 'include' names");
    refused_with("{\"postgresql\": {\"pg_ident\": [5]}}", NULL, ERR_INVALID, "postgresql.pg_ident");
    refused_with("{\"postgresql\": {\"pg_hba\": [\"local all all trust\"], \"pg_ident\": null}}",
                 NULL, 0, NULL);
    refused_with("{\"postgresql\": {\"recovery_conf\": {\"a b\": 1}}}", NULL, ERR_INVALID,
                 "postgresql.recovery_conf");
    refused_with("{\"postgresql\": {\"recovery_conf\": [1]}}", NULL, ERR_INVALID,
                 "postgresql.recovery_conf");
    refused_with("{\"postgresql\": {\"basebackup\": [\"pgdata=x\"]}}", NULL, ERR_INVALID,
                 "postgresql.basebackup: 'pgdata' may not be given");
    refused_with("{\"postgresql\": {\"pg_ctl_timeout\": 0}}", NULL, ERR_INVALID,
                 "postgresql.pg_ctl_timeout: is out of range");
    refused_with("{\"postgresql\": {\"pg_ctl_timeout\": 0, \"database\": \"app\"}}",
                 "{\"postgresql\": {\"pg_ctl_timeout\": 0}}", 0, NULL);
    refused_with("{\"postgresql\": {\"listen\": \"anything\"}}", NULL, 0, NULL); /* it is ignored */
}

static void parameters_that_postgresql_would_refuse_are_refused_first(void **state)
{
    (void)state;
    refused_with("{\"postgresql\": {\"parameters\": {\"max_connections\": 5}}}", NULL, ERR_INVALID,
                 "postgresql.parameters.max_connections is '5': give a whole number, 25 to 262143");
    refused_with("{\"postgresql\": {\"parameters\": {\"bad name\": 5}}}", NULL, ERR_INVALID,
                 "'bad name' is no name");
    refused_with(
        "{\"postgresql\": {\"parameters\": {\"max_connections\": 5, \"work_mem\": \"8MB\"}}}",
        "{\"postgresql\": {\"parameters\": {\"max_connections\": 5}}}", 0, NULL);
}

static void merge(const char *document, const char *patch, const char *expected,
                  bool expected_changed)
{
    struct error err = {0};
    json_t *a = object(document);
    json_t *b = object(patch);
    json_t *c = object(expected);
    json_t *merged = NULL;
    bool changed = !expected_changed;
    assert_int_equal(dynamic_config_merge(a, b, &merged, &changed, &err), 0);
    if (!json_equal(merged, c) || changed != expected_changed) {
        fail_msg("%s with %s gives %s", document, patch, json_dumps(merged, 0));
    }
    json_decref(a);
    json_decref(b);
    json_decref(c);
    json_decref(merged);
}

static void a_merge_patch_deletes_by_null_and_keeps_what_is_the_same_text(void **state)
{
    (void)state;
    merge("{\"a\": 1}", "{\"b\": 2}", "{\"a\": 1, \"b\": 2}", true);
    merge("{\"a\": 1}", "{\"a\": null}", "{}", true);
    merge("{\"a\": 1}", "{\"b\": null}", "{\"a\": 1}", false);
    merge("{\"a\": 100}", "{\"a\": \"100\"}", "{\"a\": 100}", false);
    merge("{\"a\": {\"b\": 1, \"c\": 2}}", "{\"a\": {\"b\": null, \"d\": 3}}",
          "{\"a\": {\"c\": 2, \"d\": 3}}", true);
    merge("{\"a\": 5}", "{\"a\": {\"b\": 1, \"c\": null}}", "{\"a\": {\"b\": 1}}", true);
    merge("{\"a\": {\"b\": 1}}", "{\"a\": 7}", "{\"a\": 7}", true);
    merge("{\"a\": [1, 2]}", "{\"a\": [1, 2]}", "{\"a\": [1, 2]}", false);
    merge("{\"a\": [1, 2]}", "{\"a\": [1]}", "{\"a\": [1]}", true);
    struct error err = {0};
    json_t *merged = NULL;
    json_t *list = json_array();
    assert_int_equal(dynamic_config_merge(NULL, list, &merged, NULL, &err), ERR_INVALID);
    json_decref(list);
    json_t *deep = json_object();
    for (int i = 0; i < 70; i++) {
        json_t *outer = json_object();
        json_object_set_new(outer, "a", deep);
        deep = outer;
    }
    assert_int_equal(dynamic_config_merge(NULL, deep, &merged, NULL, &err), ERR_LIMIT);
    json_decref(deep);
}

static void adjusted_values_are_what_is_written_first(void **state)
{
    (void)state;
    char warning[DYNAMIC_WARNING_BYTES];
    struct error err = {0};
    json_t *given = object("{\"ttl\": 20, \"x\": 1}");
    json_t *adjusted = NULL;
    assert_int_equal(
        dynamic_config_adjusted(given, DYNAMIC_TTL_MS_MIN_RAFT, &adjusted, warning, &err), 0);
    assert_int_equal(json_integer_value(json_object_get(adjusted, "ttl")), 20);
    assert_int_equal(json_integer_value(json_object_get(adjusted, "loop_wait")), 1);
    assert_int_equal(json_integer_value(json_object_get(adjusted, "retry_timeout")), 9);
    assert_int_equal(json_integer_value(json_object_get(adjusted, "x")), 1);
    assert_true(warning[0] != '\0');
    json_decref(adjusted);
    json_decref(given);
    given = object("{\"citus\": {\"group\": 1}}");
    assert_int_equal(
        dynamic_config_adjusted(given, DYNAMIC_TTL_MS_MIN_RAFT, &adjusted, warning, &err),
        ERR_UNSUPPORTED);
    json_decref(given);
}

static const char *parameter(const struct dynamic_parameters *parameters, const char *name)
{
    for (size_t i = 0; i < parameters->view.count; i++) {
        if (strcmp(parameters->view.items[i].name, name) == 0) {
            return parameters->view.items[i].value;
        }
    }
    return "(absent)";
}

static struct dynamic_parameters merged_parameters(const char *dynamic, const char *local,
                                                   char *warning)
{
    struct dynamic_parameters parameters;
    struct error err = {0};
    struct dynamic_config c = parsed(dynamic, NULL);
    json_t *file = local != NULL ? object(local) : NULL;
    if (dynamic_parameters_merge(&c, file, &parameters, warning, &err) != 0) {
        fail_msg("%s", err.text);
    }
    json_decref(file);
    dynamic_config_free(&c);
    return parameters;
}

static void local_parameters_win_but_for_those_that_all_must_have_alike(void **state)
{
    (void)state;
    struct dynamic_parameters p = merged_parameters(
        "{\"postgresql\": {\"parameters\": {\"work_mem\": \"4MB\", \"MAX_CONNECTIONS\": 200, "
        "\"jit\": false,"
        "\"random_page_cost\": 1.1, \"port\": 1, \"cluster_name\": \"x\", \"gone\": null}}}",
        "{\"work_mem\": \"8MB\", \"max_connections\": 500, \"listen_addresses\": \"*\", "
        "\"archive_mode\": true}",
        NULL);
    assert_string_equal(parameter(&p, "work_mem"), "8MB");
    assert_string_equal(parameter(&p, "max_connections"), "200");
    assert_string_equal(parameter(&p, "jit"), "off");
    assert_string_equal(parameter(&p, "archive_mode"), "on");
    assert_string_equal(parameter(&p, "random_page_cost"), "1.1");
    assert_string_equal(parameter(&p, "port"), "(absent)");
    assert_string_equal(parameter(&p, "listen_addresses"), "(absent)");
    assert_string_equal(parameter(&p, "cluster_name"), "(absent)");
    assert_string_equal(parameter(&p, "gone"), "(absent)");
    assert_string_equal(parameter(&p, "wal_level"), "replica");
    for (size_t i = 1; i < p.view.count; i++) {
        assert_true(strcmp(p.view.items[i - 1].name, p.view.items[i].name) < 0);
    }
    dynamic_parameters_free(&p);
    dynamic_parameters_free(NULL);
}

static void a_controlled_parameter_out_of_range_takes_its_default(void **state)
{
    (void)state;
    char warning[DYNAMIC_WARNING_BYTES];
    struct dynamic_parameters p =
        merged_parameters("{\"postgresql\": {\"parameters\": {\"max_connections\": 5, "
                          "\"hot_standby\": \"off\", \"wal_level\": \"minimal\","
                          "\"wal_keep_size\": \"1MB\", \"wal_log_hints\": \"maybe\", "
                          "\"max_wal_senders\": \"many\"}}}",
                          NULL, warning);
    assert_string_equal(parameter(&p, "max_connections"), "100");
    assert_string_equal(parameter(&p, "hot_standby"), "on");
    assert_string_equal(parameter(&p, "wal_level"), "replica");
    assert_string_equal(parameter(&p, "wal_keep_size"), "128MB");
    assert_string_equal(parameter(&p, "wal_log_hints"), "on");
    assert_string_equal(parameter(&p, "max_wal_senders"), "10");
    assert_non_null(strstr(warning, "postgresql.parameters.max_connections is 5, taken as 100"));
    dynamic_parameters_free(&p);
    p = merged_parameters("{\"postgresql\": {\"parameters\": {\"wal_keep_size\": "
                          "-9223372036854775807, \"max_connections\": 9223372036854775807}}}",
                          NULL, warning);
    assert_string_equal(parameter(&p, "wal_keep_size"), "128MB");
    assert_string_equal(parameter(&p, "max_connections"), "100");
    dynamic_parameters_free(&p);
    p = merged_parameters(
        "{\"postgresql\": {\"parameters\": {\"wal_level\": \"hot_standby\", \"wal_keep_size\": 64,"
        "\"track_commit_timestamp\": \"on\", \"max_connections\": 25}}}",
        NULL, warning);
    assert_string_equal(warning, "");
    assert_string_equal(parameter(&p, "wal_level"), "replica");
    assert_string_equal(parameter(&p, "wal_keep_size"), "64");
    assert_string_equal(parameter(&p, "track_commit_timestamp"), "on");
    assert_string_equal(parameter(&p, "max_connections"), "25");
    dynamic_parameters_free(&p);
}

static void kept_segments_of_older_servers_become_a_size(void **state)
{
    (void)state;
    struct dynamic_parameters p = merged_parameters(
        "{\"postgresql\": {\"parameters\": {\"wal_keep_segments\": 20}}}", NULL, NULL);
    assert_string_equal(parameter(&p, "wal_keep_size"), "320MB");
    assert_string_equal(parameter(&p, "wal_keep_segments"), "(absent)");
    dynamic_parameters_free(&p);
}

static void parameters_that_are_none_are_refused(void **state)
{
    (void)state;
    struct dynamic_parameters p;
    struct error err = {0};
    struct dynamic_config c = parsed("{}", NULL);
    json_t *local = object("{\"x\": [1]}");
    assert_int_equal(dynamic_parameters_merge(&c, local, &p, NULL, &err), ERR_INVALID);
    json_decref(local);
    local = object("{\"\": 1}");
    assert_int_equal(dynamic_parameters_merge(&c, local, &p, NULL, &err), ERR_INVALID);
    json_object_clear(local);
    for (int i = 0; i <= PG_PARAMETERS_MAX; i++) {
        char name[32];
        snprintf(name, sizeof(name), "x.p%d", i);
        json_object_set_new(local, name, json_integer(i));
    }
    assert_int_equal(dynamic_parameters_merge(&c, local, &p, NULL, &err), ERR_LIMIT);
    json_decref(local);
    dynamic_config_free(&c);
}

static void what_has_no_effect_yet_is_told(void **state)
{
    (void)state;
    char warning[DYNAMIC_WARNING_BYTES];
    struct dynamic_config c = parsed(
        "{\"postgresql\": {\"listen\": \"a\", \"proxy_url\": \"x\", \"pg_ident\": null}}", warning);
    assert_string_equal(warning, "no effect in the dynamic configuration (give it in each member's "
                                 "file): postgresql.listen (each member's own), "
                                 "postgresql.proxy_url");
    dynamic_config_free(&c);
    c = parsed("{\"postgresql\": {\"use_slots\": true, \"use_pg_rewind\": true, "
               "\"parameters\": {\"jit\": \"on\"}, \"basebackup\": [\"a\"], \"pg_hba\": [],"
               "\"pg_ctl_timeout\": 7, \"recovery_conf\": {}}}",
               warning);
    assert_string_equal(warning, "");
    dynamic_config_free(&c);
    c = parsed("{\"master_stop_timeout\": 5, \"primary_race_backoff\": 1, \"some_key\": 1}",
               warning);
    assert_string_equal(warning, "no effect in this release: master_stop_timeout, "
                                 "primary_race_backoff");
    dynamic_config_free(&c);
}

static void a_warning_that_is_cut_says_so(void **state)
{
    char warning[DYNAMIC_WARNING_BYTES];
    struct buf text = BUF_INIT;
    (void)state;
    buf_put_str(&text, "{\"postgresql\": {\"a_key\": 1");
    for (int i = 0; i < 40; i++) {
        buf_printf(&text, ", \"key_without_effect_%d\": 1", i);
    }
    buf_put_str(&text, "}}");
    struct dynamic_config c = parsed(buf_str(&text), warning);
    assert_int_equal(strlen(warning), DYNAMIC_WARNING_BYTES - 1);
    assert_string_equal(warning + DYNAMIC_WARNING_BYTES - 4, "...");
    dynamic_config_free(&c);
    struct dynamic_parameters p = merged_parameters(
        "{\"postgresql\": {\"parameters\": {\"max_connections\": 1, \"hot_standby\": 7, "
        "\"max_wal_senders\": 1, \"max_worker_processes\": 1, \"max_replication_slots\": 1, "
        "\"max_locks_per_transaction\": 1, \"wal_level\": 1, \"wal_log_hints\": 7, "
        "\"max_prepared_transactions\": -1, \"track_commit_timestamp\": 7, "
        "\"wal_keep_size\": 1}}}",
        NULL, warning);
    assert_string_equal(warning + DYNAMIC_WARNING_BYTES - 4, "...");
    dynamic_parameters_free(&p);
    buf_free(&text);
}

static void numbers_are_read_strictly(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",
        " ",
        "x",
        "1x",
        "1 2",
        "--1",
        "1e3",
        "inf",
        "nan",
        "0x10",
        "1 kb",
        "1 MB x",
        "11111111111111111111111111111111111111111111111111111111111111111111",
        "1.2.3"};
    int64_t value = 0;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        json_t *text = json_string(wrong[i]);
        assert_false(dynamic_size_bytes(text, &value));
        json_decref(text);
    }
    json_t *text = json_string(" 2 GB ");
    assert_true(dynamic_size_bytes(text, &value));
    assert_int_equal(value, 2147483648);
    json_decref(text);
    text = json_string("1.5d");
    assert_true(dynamic_time_ms(text, &value));
    assert_int_equal(value, 129600000);
    json_decref(text);
    text = json_real(1e300);
    assert_false(dynamic_time_ms(text, &value));
    json_decref(text);
    assert_false(dynamic_time_ms(NULL, &value));
}

static void near_names_are_found_and_far_ones_are_not(void **state)
{
    (void)state;
    assert_string_equal(known_keys_near("dynamic", "loop-wait"), "loop_wait");
    assert_string_equal(known_keys_near("dynamic", "Loop_Wait"), "loop_wait");
    assert_string_equal(known_keys_near("dynamic", "lop_wiat"), "loop_wait");
    assert_string_equal(known_keys_near("dynamic", "tll"), "ttl");
    assert_null(known_keys_near("dynamic", "ttl"));
    assert_null(known_keys_near("dynamic", "tt"));
    assert_null(known_keys_near("dynamic", "something"));
    assert_null(known_keys_near(
        "dynamic", "a_key_that_is_longer_than_anything_that_could_be_compared_with_one_of_ours"));
}

/* On etcd 5 s; what somebody wants to store is refused below that, what is stored is adjusted. */
static void smallest_ttl_is_the_one_of_the_store(void **state)
{
    static const struct {
        int64_t ttl_min_ms;
        int ttl_s;
        bool right;
    } cases[] = {{DYNAMIC_TTL_MS_MIN_RAFT, 2, false},
                 {DYNAMIC_TTL_MS_MIN_RAFT, 3, true},
                 {DYNAMIC_TTL_MS_MIN_ETCD, 3, false},
                 {DYNAMIC_TTL_MS_MIN_ETCD, 4, false},
                 {DYNAMIC_TTL_MS_MIN_ETCD, 5, true}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct dynamic_config c;
        struct error err = {0};
        json_t *adjusted = NULL;
        char warning[DYNAMIC_WARNING_BYTES];
        int64_t right_ms = cases[i].right ? cases[i].ttl_s * 1000 : cases[i].ttl_min_ms;
        json_t *tree = json_pack("{s:i, s:i, s:i}", "ttl", cases[i].ttl_s, "loop_wait", 1,
                                 "retry_timeout", cases[i].ttl_s > 2 ? 1 : 0);
        int rc = dynamic_config_validate(tree, cases[i].ttl_min_ms, NULL, &err);
        assert_int_equal(rc == 0, cases[i].right);
        if (!cases[i].right && cases[i].ttl_min_ms == DYNAMIC_TTL_MS_MIN_ETCD) {
            assert_non_null(strstr(err.text, "ttl: "));
            assert_non_null(strstr(err.text, "a time from 5 to 86400 seconds"));
        }
        assert_int_equal(dynamic_config_parse(tree, cases[i].ttl_min_ms, &c, warning, &err), 0);
        assert_int_equal(c.ttl_ms, right_ms);
        assert_int_equal(strstr(warning, "ttl is") == NULL, cases[i].right);
        dynamic_config_free(&c);
        assert_int_equal(
            dynamic_config_adjusted(tree, cases[i].ttl_min_ms, &adjusted, warning, &err), 0);
        assert_int_equal(json_integer_value(json_object_get(adjusted, "ttl")), right_ms / 1000);
        json_decref(adjusted);
        json_decref(tree);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(smallest_ttl_is_the_one_of_the_store),
        cmocka_unit_test(nothing_stored_gives_the_defaults),
        cmocka_unit_test(limits_of_a_useless_primary_go_with_the_ttl),
        cmocka_unit_test(values_come_with_and_without_units),
        cmocka_unit_test(the_newer_name_has_the_last_word),
        cmocka_unit_test(stored_timeouts_are_adjusted_as_patroni_does),
        cmocka_unit_test(adjusted_timeouts_always_keep_the_rule),
        cmocka_unit_test(what_is_no_object_leaves_the_old_in_force),
        cmocka_unit_test(synchronous_mode_is_on_off_or_quorum),
        cmocka_unit_test(early_failover_needs_strict_mode_and_raft),
        cmocka_unit_test(synchronous_nodes_are_between_one_and_sixteen),
        cmocka_unit_test(unserved_keys_are_refused_both_ways),
        cmocka_unit_test(an_unserved_key_that_is_stored_blocks_no_other_change),
        cmocka_unit_test(pause_is_a_switch_that_is_off_by_default),
        cmocka_unit_test(wrong_values_are_refused_by_key_and_value),
        cmocka_unit_test(a_stored_wrong_value_blocks_no_other_change_but_the_rule_holds),
        cmocka_unit_test(stored_numbers_may_be_huge),
        cmocka_unit_test(a_document_is_no_deeper_than_can_be_shown),
        cmocka_unit_test(the_postgresql_section_is_looked_at),
        cmocka_unit_test(parameters_that_postgresql_would_refuse_are_refused_first),
        cmocka_unit_test(a_merge_patch_deletes_by_null_and_keeps_what_is_the_same_text),
        cmocka_unit_test(adjusted_values_are_what_is_written_first),
        cmocka_unit_test(local_parameters_win_but_for_those_that_all_must_have_alike),
        cmocka_unit_test(a_controlled_parameter_out_of_range_takes_its_default),
        cmocka_unit_test(kept_segments_of_older_servers_become_a_size),
        cmocka_unit_test(parameters_that_are_none_are_refused),
        cmocka_unit_test(what_has_no_effect_yet_is_told),
        cmocka_unit_test(a_warning_that_is_cut_says_so),
        cmocka_unit_test(numbers_are_read_strictly),
        cmocka_unit_test(near_names_are_found_and_far_ones_are_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
