/* Which keys of a running cluster are copied into another store, and when that is refused. */
#include "agent/cli/import_plan.h"
#include "agent/cli/import_source.h"
#include "base/buf.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct pair {
    const char *key;
    const char *value;
};

/* Ends with a pair without a key. */
static struct dcs_view *view_of(const struct pair *pairs)
{
    size_t count = 0;
    while (pairs[count].key != NULL) {
        count++;
    }
    struct dcs_view *view = dcs_view_new(count);
    for (size_t i = 0; i < count; i++) {
        view->kvs[i].key = mem_strdup(pairs[i].key);
        view->kvs[i].value = mem_strdup(pairs[i].value);
        view->kvs[i].value_len = strlen(pairs[i].value);
        view->kvs[i].mod_revision = 10 + (int64_t)i;
    }
    return view;
}

/* "action key@compare" a line; or "rc: error". */
static const char *planned(const struct pair *from, const struct pair *to)
{
    static char text[2048];
    struct dcs_view *old_view = view_of(from);
    struct dcs_view *new_view = to != NULL ? view_of(to) : NULL;
    struct import_plan plan = {0};
    struct error err = {0};
    struct buf out = BUF_INIT;
    int rc = import_plan_make(old_view, new_view, &plan, &err);
    if (rc != 0) {
        buf_printf(&out, "%s: %s", err_name(rc), err.text);
    }
    for (size_t i = 0; i < plan.count; i++) {
        const struct import_step *step = &plan.steps[i];
        buf_printf(&out, "%s %s", import_action_text(step->action), step->key);
        if (step->action == IMPORT_COPY || step->action == IMPORT_REPLACE) {
            buf_printf(&out, " @%lld", (long long)step->compare);
            assert_non_null(step->value);
        }
        assert_int_equal(step->why_left != NULL, step->action == IMPORT_LEAVE);
        buf_printf(&out, "\n");
    }
    snprintf(text, sizeof text, "%s", buf_str(&out));
    buf_free(&out);
    import_plan_free(&plan);
    dcs_view_unref(old_view);
    dcs_view_unref(new_view);
    return text;
}

#define PAUSED    "{\"ttl\":30,\"pause\":true}"
#define SYSTEM_ID "7277694203142172922"
#define SAYS(words)                                       \
    do {                                                  \
        if (strstr(said, words) == NULL) {                \
            fail_msg("'%s' is not in:\n%s", words, said); \
        }                                                 \
    } while (0)

static const struct pair whole[] = {{"config", PAUSED},
                                    {"epoch", "{\"holder\":\"n1\",\"timeline\":2}"},
                                    {"failover", "{\"leader\":\"n1\"}"},
                                    {"failsafe", "{\"n1\":\"http://a\"}"},
                                    {"history", "[[1,2,\"x\"]]"},
                                    {"initialize", SYSTEM_ID},
                                    {"leader", "n1"},
                                    {"members/n1", "{\"pause\":true}"},
                                    {"members/n2", "{\"pause\":true}"},
                                    {"notes", "somebody's"},
                                    {"reports/n2", "none"},
                                    {"status", "{\"optime\":5}"},
                                    {"sync", "{\"leader\":\"n1\",\"sync_standby\":\"n2\"}"},
                                    {"unfenced", "a:1"},
                                    {NULL, NULL}};

static void what_outlives_its_writer_is_copied_and_the_pause_first(void **state)
{
    (void)state;
    assert_string_equal(planned(whole, NULL), "copy config @0\n"
                                              "copy initialize @0\n"
                                              "copy history @0\n"
                                              "copy sync @0\n"
                                              "copy status @0\n"
                                              "copy failsafe @0\n"
                                              "not copied epoch\n"
                                              "not copied failover\n"
                                              "not copied leader\n"
                                              "not copied members/n1\n"
                                              "not copied members/n2\n"
                                              "not copied notes\n"
                                              "not copied reports/n2\n"
                                              "not copied unfenced\n");
}

static void a_second_run_goes_on_where_the_first_has_ended(void **state)
{
    (void)state;
    const struct pair begun[] = {{"config", "{\"pause\": true, \"ttl\": 30}"},
                                 {"initialize", SYSTEM_ID},
                                 {"status", "{\"optime\":4}"},
                                 {NULL, NULL}};
    const char *said = planned(whole, begun);
    SAYS("there already config\nthere already initialize\ncopy history @0\ncopy sync @0\n"
         "replace status @12\n");
}

static void a_cluster_that_decides_by_itself_is_refused(void **state)
{
    (void)state;
    const struct pair running[] = {
        {"config", "{\"ttl\":30}"}, {"initialize", SYSTEM_ID}, {"members/n1", "{}"}, {NULL, NULL}};
    const char *said = planned(running, NULL);
    SAYS("refused: the cluster runs and is not paused");
    const struct pair half[] = {
        {"config", PAUSED},   {"initialize", SYSTEM_ID}, {"members/n1", "{\"pause\":true}"},
        {"members/n2", "{}"}, {"members/n3", "no JSON"}, {NULL, NULL}};
    said = planned(half, NULL);
    SAYS("do not know yet that the cluster is paused: n2, n3;");
    const struct pair led[] = {
        {"config", "{}"}, {"initialize", SYSTEM_ID}, {"leader", "n1"}, {NULL, NULL}};
    said = planned(led, NULL);
    SAYS("is not paused");
    const struct pair stopped[] = {
        {"config", "{\"ttl\":30}"}, {"initialize", SYSTEM_ID}, {NULL, NULL}};
    said = planned(stopped, NULL);
    SAYS("copy config @0\ncopy initialize @0\n");
}

static void what_is_no_whole_cluster_is_refused(void **state)
{
    (void)state;
    const struct pair nothing[] = {{NULL, NULL}};
    const char *said = planned(nothing, NULL);
    SAYS("not found: there is no cluster");
    const struct pair young[] = {{"config", PAUSED}, {"initialize", ""}, {NULL, NULL}};
    said = planned(young, NULL);
    SAYS("'initialize' has no system identifier");
    const struct pair bare[] = {{"config", PAUSED}, {NULL, NULL}};
    said = planned(bare, NULL);
    SAYS("'initialize' is not there");
    const struct pair listed[] = {{"config", "[1]"}, {"initialize", SYSTEM_ID}, {NULL, NULL}};
    said = planned(listed, NULL);
    SAYS("'config' is no object");
    const struct pair without[] = {{"initialize", SYSTEM_ID}, {NULL, NULL}};
    said = planned(without, NULL);
    SAYS("'config' is not there");
}

static void what_the_new_store_has_of_somebody_else_is_not_touched(void **state)
{
    (void)state;
    const struct pair led[] = {{"leader", "n3"}, {NULL, NULL}};
    const char *said = planned(whole, led);
    SAYS("conflict: the new store has a cluster of this name already, which 'n3' leads");
    const struct pair lived[] = {{"config", PAUSED},
                                 {"epoch", "{\"holder\":\"n3\",\"timeline\":9}"},
                                 {"initialize", SYSTEM_ID},
                                 {"sync", "{\"leader\":\"n3\",\"sync_standby\":\"n1\"}"},
                                 {NULL, NULL}};
    said = planned(whole, lived);
    SAYS("conflict: a cluster of this name has been led in the new store");
    const struct pair other[] = {{"initialize", "7277694203142172923"}, {NULL, NULL}};
    said = planned(whole, other);
    SAYS("another 'initialize' of a cluster");
    const struct pair edited[] = {{"config", "{\"ttl\":40}"}, {NULL, NULL}};
    said = planned(whole, edited);
    SAYS("another 'config' of a cluster");
}

static void check_source(const char *from, const char *prefix, const char *first,
                         const char *second, const char *scope)
{
    struct import_source source = {0};
    struct error err = {0};
    if (import_source_parse(from, prefix, "/db/", &source, &err) != 0) {
        fail_msg("%s", err.text);
    }
    assert_null(source.path);
    assert_int_equal(source.url_count, second != NULL ? 2 : 1);
    assert_string_equal(source.urls[0], first);
    if (second != NULL) {
        assert_string_equal(source.urls[1], second);
    }
    if (scope != NULL) {
        assert_string_equal(source.scope, scope);
    } else {
        assert_null(source.scope);
    }
    import_source_free(&source);
}

static void a_source_is_an_address_with_or_without_its_api(void **state)
{
    (void)state;
    check_source("etcd3://node4:2379", NULL, "etcd3://node4:2379/db/", NULL, NULL);
    check_source("etcd://node4", NULL, "etcd://node4/db/", NULL, NULL);
    check_source("http://node4:2379/", "/db/postgres", "etcd3://node4:2379/db/",
                 "etcd://node4:2379/db/", "postgres");
    check_source("node4:2379", "/a/b/c//", "etcd3://node4:2379/a/b/", "etcd://node4:2379/a/b/",
                 "c");
    check_source("[::1]:2379", "/postgres", "etcd3://[::1]:2379/", "etcd://[::1]:2379/",
                 "postgres");
}

static void a_source_is_a_file(void **state)
{
    (void)state;
    static const char *const files[] = {"old.yml", "./a:b", "/etc/patroni/patroni.yml"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        struct import_source source = {0};
        struct error err = {0};
        assert_int_equal(import_source_parse(files[i], NULL, "/db/", &source, &err), 0);
        assert_string_equal(source.path, files[i]);
        assert_int_equal(source.url_count, 0);
        import_source_free(&source);
    }
}

static void a_wrong_source_is_told(void **state)
{
    (void)state;
    static const struct {
        const char *from;
        const char *prefix;
        const char *words;
    } cases[] = {
        {"", NULL, "--from is empty"},
        {"https://node4:2379", NULL, "for TLS give the configuration file"},
        {"consul://node4:8500", NULL, "is no address"},
        {"http://", NULL, "is no address"},
        {"http://a:b@node4:2379", NULL, "is no address"},
        {"http://node4:2379/db/postgres", NULL, "is no address"},
        {"http://node4:2379?x", NULL, "is no address"},
        {"http://node4:2379", "postgres", "--prefix 'postgres' is none"},
        {"http://node4:2379", "/", "--prefix '/' is none"},
        {"http://node4:2379", "", "--prefix '' is none"},
        {"http://node4:2379", "/db/p?x", "is none"},
        {"old.yml", "/db/postgres", "--prefix goes with an address"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct import_source source = {0};
        struct error err = {0};
        assert_int_not_equal(
            import_source_parse(cases[i].from, cases[i].prefix, "/db/", &source, &err), 0);
        if (strstr(err.text, cases[i].words) == NULL) {
            fail_msg("'%s' is not in '%s'", cases[i].words, err.text);
        }
        assert_null(source.path);
        assert_null(source.scope);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_outlives_its_writer_is_copied_and_the_pause_first),
        cmocka_unit_test(a_second_run_goes_on_where_the_first_has_ended),
        cmocka_unit_test(a_cluster_that_decides_by_itself_is_refused),
        cmocka_unit_test(what_is_no_whole_cluster_is_refused),
        cmocka_unit_test(what_the_new_store_has_of_somebody_else_is_not_touched),
        cmocka_unit_test(a_source_is_an_address_with_or_without_its_api),
        cmocka_unit_test(a_source_is_a_file),
        cmocka_unit_test(a_wrong_source_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
