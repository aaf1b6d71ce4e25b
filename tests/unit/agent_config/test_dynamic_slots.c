/* Slots of the operator's, in the forms that Patroni takes. */
#include "agent/config/dynamic_slots.h"
#include "base/buf.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static char warning[DYNAMIC_WARNING_BYTES];

static struct dynamic_config parsed(const char *text)
{
    struct dynamic_config config;
    struct error err = {0};
    json_t *tree = json_loads(text, 0, NULL);
    if (tree == NULL ||
        dynamic_config_parse(tree, DYNAMIC_TTL_MS_MIN_RAFT, &config, warning, &err) != 0) {
        fail_msg("%s: %s", text, err.text);
    }
    json_decref(tree);
    return config;
}

/* The names, with a space after each. */
static void makes(const char *text, const char *expected)
{
    struct dynamic_config config = parsed(text);
    struct buf out = BUF_INIT;
    const char *names[DYNAMIC_SLOTS_MAX];
    size_t count = dynamic_slots_physical(&config, names);
    for (size_t i = 0; i < count; i++) {
        buf_printf(&out, "%s ", names[i]);
    }
    assert_string_equal(buf_str(&out), expected);
    buf_free(&out);
    dynamic_config_free(&config);
}

static bool is_kept(const char *text, const char *name)
{
    struct dynamic_config config = parsed(text);
    bool kept = dynamic_slots_is_operators(&config, name);
    dynamic_config_free(&config);
    return kept;
}

static void physical_slots_are_made_under_each_of_the_keys(void **state)
{
    (void)state;
    makes("{}", "");
    makes("{\"slots\":{\"a\":{\"type\":\"physical\"}}}", "a ");
    makes("{\"permanent_slots\":{\"a\":null},\"permanent_replication_slots\":{\"b\":{}}}", "a b ");
    makes("{\"slots\":{\"a\":{\"cluster_type\":\"primary\"},\"b\":{\"cluster_type\":\"standby\"}}}",
          "a ");
    makes("{\"slots\":{\"a\":{\"database\":\"db\"}}}", "a "); /* no plugin: it means nothing */
}

static void what_is_no_physical_slot_is_not_made(void **state)
{
    (void)state;
    makes("{\"slots\":{\"a\":{\"type\":\"logical\",\"database\":\"db\",\"plugin\":\"pgoutput\"},"
          "\"b\":{\"database\":\"db\",\"plugin\":\"pgoutput\"}}}",
          "");
    makes("{\"slots\":{\"a\":{\"type\":\"round\"}}}", "");
    makes("{\"slots\":{\"Upper\":null,\"with-dash\":null,\"\":null,\"a'b\":null}}", "");
    makes("{\"slots\":{\"a23456789012345678901234567890123456789012345678901234567890123\":null}}",
          "a23456789012345678901234567890123456789012345678901234567890123 ");
    makes("{\"slots\":{\"a234567890123456789012345678901234567890123456789012345678901234\":null}}",
          "");
    makes("{\"slots\":[\"a\"],\"permanent_slots\":\"b\"}", "");
    makes("{\"slots\":{\"a\":{}},\"permanent_slots\":{\"a\":{},\"b\":{}}}", "a b "); /* once */
    makes(
        "{\"slots\":{\"a\":{\"database\":\"db\",\"plugin\":\"p\"}},\"permanent_slots\":{\"a\":{}}}",
        "");
}

static void more_than_can_be_handled_are_left_out(void **state)
{
    (void)state;
    struct dynamic_config config = parsed("{\"slots\":{}}");
    const char *names[DYNAMIC_SLOTS_MAX];
    for (int i = 0; i <= DYNAMIC_SLOTS_MAX; i++) {
        char name[16];
        snprintf(name, sizeof name, "s%d", i);
        json_object_set_new(json_object_get(config.document, "slots"), name, json_null());
    }
    char fault[DYNAMIC_SLOTS_FAULT_BYTES];
    assert_int_equal(dynamic_slots_physical(&config, names), DYNAMIC_SLOTS_MAX);
    assert_true(dynamic_slots_fault(config.document, NULL, fault));
    assert_string_equal(fault, "slots: 33 physical ones: at most 32 are made: give fewer");
    assert_false(dynamic_slots_fault(config.document, config.document, fault));
    assert_true(dynamic_slots_is_operators(&config, "s32")); /* and kept all the same */
    dynamic_config_free(&config);
}

static void what_slots_names_is_kept_whatever_it_is(void **state)
{
    (void)state;
    static const char slots[] = "{\"slots\":{\"a\":{\"type\":\"logical\"},\"B\":7}}";
    assert_true(is_kept(slots, "a"));
    assert_true(is_kept(slots, "B"));
    assert_false(is_kept(slots, "b"));
    assert_true(is_kept("{\"permanent_replication_slots\":{\"c\":null}}", "c"));
    assert_false(is_kept("{}", "a"));
}

static void what_ignore_slots_matches_is_kept(void **state)
{
    (void)state;
    static const struct {
        const char *rule;
        bool kept;
    } rules[] = {
        {"{\"name\":\"a\"}", true},
        {"{\"name\":\"b\"}", false},
        {"{\"name\":\"a\",\"type\":\"physical\"}", true},
        {"{\"name\":\"a\",\"type\":\"logical\"}", false},
        {"{\"type\":\"physical\"}", true},
        {"{\"name\":null,\"type\":\"\",\"database\":\"\",\"plugin\":null}", true},
        {"{\"name\":\"a\",\"database\":\"db\"}", false},
        {"{\"name\":\"a\",\"plugin\":\"pgoutput\"}", false},
        {"{}", true}, /* all of them */
    };
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        char *text = mem_printf("{\"ignore_slots\":[{\"name\":\"other\"},%s]}", rules[i].rule);
        assert_int_equal(is_kept(text, "a"), rules[i].kept);
        mem_free(text);
    }
}

/* Forms in which somebody may have meant a slot that would be dropped if they were passed over. */
static void while_they_cannot_be_read_no_slot_is_dropped(void **state)
{
    static const struct {
        const char *text;
        const char *words;
    } forms[] = {
        {"{\"ignore_slots\":{\"name\":\"b\"}}", "ignore_slots: no list: give one such as"},
        {"{\"ignore_slots\":\"b\"}", "ignore_slots: no list"},
        {"{\"ignore_slots\":[{\"name\":\"c\"},\"b\"]}", "ignore_slots: its item 2 is no rule"},
        {"{\"ignore_slots\":[{\"name\":7}]}", "ignore_slots: its item 1 is no rule"},
        {"{\"ignore_slots\":[{\"name\":\"b\",\"type\":\"physcal\"}]}", "its item 1 is no rule"},
        {"{\"slots\":[\"b\"]}", "slots: no mapping of names: give one such as"},
        {"{\"permanent_slots\":\"b\"}", "permanent_slots: no mapping of names"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        if (!is_kept(forms[i].text, "a") || strstr(warning, forms[i].words) == NULL ||
            strstr(warning, "(no slot is dropped until then)") == NULL) {
            fail_msg("%s: '%s'", forms[i].text, warning);
        }
    }
    assert_false(is_kept("{\"ignore_slots\":[],\"slots\":[],\"permanent_slots\":false}", "a"));
    assert_string_equal(warning, "");
}

static int validated(const char *text, const char *before_text, struct error *err)
{
    json_t *tree = json_loads(text, 0, NULL);
    json_t *before = json_loads(before_text, 0, NULL);
    assert_non_null(tree);
    assert_non_null(before);
    int rc = dynamic_config_validate(tree, DYNAMIC_TTL_MS_MIN_RAFT, before, err);
    json_decref(tree);
    json_decref(before);
    return rc;
}

static void what_would_be_passed_over_is_refused_or_warned_of(void **state)
{
    static const struct {
        const char *text;
        const char *words;
    } forms[] = {
        {"{\"ignore_slots\":{\"name\":\"b\"}}", "ignore_slots: no list"},
        {"{\"slots\":[\"b\"]}", "slots: no mapping of names"},
        {"{\"slots\":{\"with-dash\":null}}",
         "slots.with-dash: no name of a slot: give one of a-z, 0-9 and _, 63 at most"},
        {"{\"slots\":{\"a\":{\"type\":\"round\"}}}",
         "slots.a: its type is none: give physical or logical"},
        {"{\"slots\":{\"a\":{\"type\":7}}}", "slots.a: its type is none"},
        {"{\"slots\":{\"a\":{\"type\":\"logical\",\"plugin\":\"pgoutput\"}}}",
         "slots.a: a logical slot has a database and a plugin: give both"},
        {"{\"slots\":{\"a\":{\"type\":\"logical\",\"database\":\"db\",\"plugin\":7}}}",
         "slots.a: a logical slot has a database and a plugin"},
        {"{\"slots\":{\"a\":{\"type\":\"logical\",\"plugin\":\"pgoutput\",\"database\":"
         "\"a234567890123456789012345678901234567890123456789012345678901234\"}}}",
         "slots.a: a logical slot has a database and a plugin"},
        {"{\"slots\":{\"a\":{\"database\":\"db\",\"plugin\":\"pgoutput\"}}}",
         "slots.a: a logical slot needs wal_level logical: give postgresql.parameters.wal_level: "
         "logical"},
        {"{\"slots\":{\"a\":{\"database\":\"db\",\"plugin\":\"pgoutput\"}},\"postgresql\":"
         "{\"use_slots\":false,\"parameters\":{\"wal_level\":\"logical\"}}}",
         "slots.a: a logical slot needs slots of members: take postgresql.use_slots out"},
    };
    struct error err = {0};
    (void)state;
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        assert_int_equal(validated(forms[i].text, "{}", &err), ERR_INVALID);
        assert_ptr_equal(strstr(err.text, forms[i].words), err.text);
        assert_int_equal(validated(forms[i].text, forms[i].text, &err),
                         0); /* it is there already */
        struct dynamic_config config = parsed(forms[i].text);
        assert_non_null(strstr(warning, forms[i].words));
        dynamic_config_free(&config);
        json_t *tree = json_loads(forms[i].text, 0, NULL);
        assert_int_equal(dynamic_config_check_types(tree, DYNAMIC_TTL_MS_MIN_RAFT, &err),
                         ERR_INVALID);
        json_decref(tree);
    }
    assert_int_equal(validated("{\"slots\":{\"a\":null,\"b\":7},"
                               "\"ignore_slots\":[{\"name\":\"x\",\"type\":null}]}",
                               "{}", &err),
                     0);
}

#define LOGICAL "{\"slots\":{\"a\":{\"database\":\"db\",\"plugin\":\"pgoutput\"}"
#define DECODES ",\"postgresql\":{\"parameters\":{\"WAL_level\":\"logical\"}}}"

/* What is stored is no obstacle to other changes, but taking away what it needs is one. */
static void logical_slots_need_their_wal_level(void **state)
{
    struct error err = {0};
    (void)state;
    assert_int_equal(validated(LOGICAL "}" DECODES, "{}", &err), 0);
    assert_int_equal(validated(LOGICAL "}}", LOGICAL "}}", &err), 0);
    assert_int_equal(validated(LOGICAL "}}", LOGICAL "}" DECODES, &err), ERR_INVALID);
    assert_int_equal(validated(LOGICAL ",\"b\":null}}", LOGICAL "}}", &err), ERR_INVALID);
    struct dynamic_config config = parsed(LOGICAL "}}");
    assert_non_null(strstr(warning, "slots.a: a logical slot needs wal_level logical"));
    assert_non_null(strstr(warning, "(it is not made until then)"));
    dynamic_config_free(&config);
    config = parsed(LOGICAL "}" DECODES);
    assert_string_equal(warning, "");
    assert_true(dynamic_slots_has_logical(&config));
    dynamic_config_free(&config);
}

static void makes_logical(const char *text, const char *expected)
{
    struct dynamic_config config = parsed(text);
    struct dynamic_logical slots[DYNAMIC_SLOTS_MAX];
    struct buf out = BUF_INIT;
    size_t count = dynamic_slots_logical(&config, slots);
    for (size_t i = 0; i < count; i++) {
        buf_printf(&out, "%s(%s,%s) ", slots[i].name, slots[i].database, slots[i].plugin);
    }
    assert_string_equal(buf_str(&out), expected);
    assert_int_equal(dynamic_slots_has_logical(&config), expected[0] != '\0');
    buf_free(&out);
    dynamic_config_free(&config);
}

static void logical_slots_are_made_of_what_is_whole(void **state)
{
    (void)state;
    makes_logical("{}", "");
    makes_logical(LOGICAL ",\"b\":{\"type\":\"logical\",\"database\":\"d b\",\"plugin\":"
                          "\"test_decoding\"},\"c\":null}}",
                  "a(db,pgoutput) b(d b,test_decoding) ");
    makes_logical(LOGICAL "},\"permanent_slots\":{\"a\":{\"database\":\"x\",\"plugin\":\"p\"}}}",
                  "a(db,pgoutput) "); /* the newer key's, once */
    makes_logical("{\"permanent_slots\":{\"a\":{\"database\":\"db\",\"plugin\":\"p\","
                  "\"cluster_type\":\"standby\"}}}",
                  "");
    makes_logical("{\"slots\":{\"a\":{\"type\":\"logical\",\"database\":\"db\"},\"B\":"
                  "{\"database\":\"db\",\"plugin\":\"p\"}}}",
                  "");
    makes_logical(LOGICAL "},\"postgresql\":{\"use_slots\":false}}", "");
}

static void logical_ones_are_matched_by_database_and_plugin(void **state)
{
    (void)state;
    static const struct {
        const char *rule;
        bool kept;
    } rules[] = {
        {"{\"name\":\"app\"}", true},
        {"{\"type\":\"logical\"}", true},
        {"{\"type\":\"physical\"}", false},
        {"{\"name\":\"app\",\"database\":\"db\",\"plugin\":\"pgoutput\"}", true},
        {"{\"name\":\"app\",\"database\":\"other\"}", false},
        {"{\"plugin\":\"test_decoding\"}", false},
        {"{\"database\":\"db\"}", true},
        {"7", true}, /* cannot be read */
    };
    struct pg_slot slot = {.name = "app", .database = "db", .plugin = "pgoutput"};
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        char *text = mem_printf("{\"ignore_slots\":[%s]}", rules[i].rule);
        struct dynamic_config config = parsed(text);
        assert_int_equal(dynamic_slots_is_operators_logical(&config, &slot), rules[i].kept);
        dynamic_config_free(&config);
        mem_free(text);
    }
    struct dynamic_config config = parsed("{\"slots\":{\"app\":null}}");
    assert_true(dynamic_slots_is_operators_logical(&config, &slot));
    dynamic_config_free(&config);
}

static void a_standby_cluster_has_its_own_slots(void **state)
{
    (void)state;
    struct dynamic_logical logical[DYNAMIC_SLOTS_MAX];
    makes("{\"slots\": {\"a\": {\"cluster_type\": \"primary\"}, \"b\": {\"cluster_type\": "
          "\"standby\"}, \"c\": {}}, \"standby_cluster\": {\"host\": \"h\"}}",
          "b c ");
    makes("{\"slots\": {\"a\": {\"cluster_type\": \"primary\"}, \"b\": {\"cluster_type\": "
          "\"standby\"}, \"c\": {}}}",
          "a c ");
    struct dynamic_config config =
        parsed("{\"slots\": {\"l\": {\"database\": \"d\", \"plugin\": \"pgoutput\"}}, "
               "\"standby_cluster\": {\"host\": \"h\"}}");
    assert_int_equal(dynamic_slots_logical(&config, logical), 0);
    dynamic_config_free(&config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(physical_slots_are_made_under_each_of_the_keys),
        cmocka_unit_test(what_is_no_physical_slot_is_not_made),
        cmocka_unit_test(more_than_can_be_handled_are_left_out),
        cmocka_unit_test(what_slots_names_is_kept_whatever_it_is),
        cmocka_unit_test(what_ignore_slots_matches_is_kept),
        cmocka_unit_test(while_they_cannot_be_read_no_slot_is_dropped),
        cmocka_unit_test(what_would_be_passed_over_is_refused_or_warned_of),
        cmocka_unit_test(logical_slots_need_their_wal_level),
        cmocka_unit_test(a_standby_cluster_has_its_own_slots),
        cmocka_unit_test(logical_slots_are_made_of_what_is_whole),
        cmocka_unit_test(logical_ones_are_matched_by_database_and_plugin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
