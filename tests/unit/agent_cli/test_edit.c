/* edit-config's changes and the difference it shows. */
#include "agent/cli/config_edit.h"
#include "agent/cli/text_diff.h"
#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void set(const char *document, const char *pair, const char *expected)
{
    struct error err = {0};
    json_t *tree = json_loads(document, 0, NULL);
    json_t *right = json_loads(expected, 0, NULL);
    assert_non_null(tree);
    assert_non_null(right);
    if (config_edit_set(tree, pair, &err) != 0) {
        fail_msg("%s", err.text);
    }
    if (!json_equal(tree, right)) {
        fail_msg("%s with %s gives %s", document, pair, json_dumps(tree, 0));
    }
    json_decref(tree);
    json_decref(right);
}

static void refused(const char *pair, int code, const char *words)
{
    struct error err = {0};
    json_t *tree = json_object();
    assert_int_equal(config_edit_set(tree, pair, &err), code);
    assert_non_null(strstr(err.text, words));
    assert_int_equal(json_object_size(tree), 0);
    json_decref(tree);
}

static void values_are_yaml(void **state)
{
    (void)state;
    set("{}", "ttl=20", "{\"ttl\": 20}");
    set("{}", "a=on", "{\"a\": true}");
    set("{}", "a='on'", "{\"a\": \"on\"}");
    set("{}", "a=[1, x]", "{\"a\": [1, \"x\"]}");
    set("{}", "a={b: 1}", "{\"a\": {\"b\": 1}}");
    set("{}", " a = b=c", "{\"a\": \"b=c\"}");
}

static void paths_make_what_is_missing_and_remove_what_gets_empty(void **state)
{
    (void)state;
    set("{}", "a.b.c=1", "{\"a\": {\"b\": {\"c\": 1}}}");
    set("{\"a\": 5}", "a.b=1", "{\"a\": {\"b\": 1}}");
    set("{\"a\": {\"b\": {\"c\": 1}}}", "a.b.c=null", "{}");
    set("{\"a\": {\"b\": {\"c\": 1}, \"d\": 2}}", "a.b.c=", "{\"a\": {\"d\": 2}}");
    set("{\"a\": 1}", "b.c=null", "{\"a\": 1}");
}

static void names_of_parameters_may_have_dots(void **state)
{
    (void)state;
    set("{}", "postgresql.parameters.pg_stat_statements.max=100",
        "{\"postgresql\": {\"parameters\": {\"pg_stat_statements.max\": 100}}}");
    set("{}", "postgresql.other.a.b=1", "{\"postgresql\": {\"other\": {\"a\": {\"b\": 1}}}}");
}

static void what_is_no_change_is_refused(void **state)
{
    (void)state;
    refused("ttl", ERR_INVALID, "Invalid parameter setting ttl");
    refused("=1", ERR_INVALID, "empty part");
    refused("a..b=1", ERR_INVALID, "empty part");
    refused("a=[1", ERR_INVALID, "no valid YAML");
    refused("caf\xe9=1", ERR_INVALID, "a key that is no UTF-8");
    refused("caf\xe9.b=1", ERR_INVALID, "a key that is no UTF-8");
    refused("postgresql.parameters.caf\xe9.b=1", ERR_INVALID, "a key that is no UTF-8");
    refused("a=caf\xe9", ERR_INVALID, "");
    refused("a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a=1", ERR_LIMIT,
            "32 parts");
}

static void check_diff(const char *before, const char *after, const char *expected)
{
    struct buf out = BUF_INIT;
    text_diff(before, after, &out);
    assert_string_equal(buf_str(&out), expected);
    buf_free(&out);
}

static void equal_texts_have_no_difference(void **state)
{
    (void)state;
    check_diff("", "", "");
    check_diff("a\nb\n", "a\nb\n", "");
}

static void changes_come_with_three_lines_of_context(void **state)
{
    (void)state;
    check_diff("a\nb\nc\n", "a\nx\nc\n", "--- \n+++ \n@@ -1,3 +1,3 @@\n a\n-b\n+x\n c\n");
    check_diff("1\n2\n3\n4\n5\n6\n7\n8\n9\n", "1\n2\n3\n4\nfive\n6\n7\n8\n9\n",
               "--- \n+++ \n@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n");
    check_diff("a\n", "", "--- \n+++ \n@@ -1 +0,0 @@\n-a\n");
    check_diff("", "a\nb\n", "--- \n+++ \n@@ -0,0 +1,2 @@\n+a\n+b\n");
}

static void changes_far_apart_have_hunks_of_their_own(void **state)
{
    (void)state;
    check_diff("1\n2\n3\n4\n5\n6\n7\n8\n", "1x\n2\n3\n4\n5\n6\n7\n8x\n",
               "--- \n+++ \n@@ -1,8 +1,8 @@\n-1\n+1x\n 2\n 3\n 4\n 5\n 6\n 7\n-8\n+8x\n");
    check_diff(
        "1\n2\n3\n4\n5\n6\n7\n8\n9\n", "1x\n2\n3\n4\n5\n6\n7\n8\n9x\n",
        "--- \n+++ \n@@ -1,4 +1,4 @@\n-1\n+1x\n 2\n 3\n 4\n@@ -6,4 +6,4 @@\n 6\n 7\n 8\n-9\n+9x\n");
}

static void texts_over_the_limit_are_shown_as_replaced(void **state)
{
    (void)state;
    struct buf before = BUF_INIT;
    struct buf after = BUF_INIT;
    struct buf out = BUF_INIT;
    for (int i = 0; i <= TEXT_DIFF_LINES_MAX; i++) {
        buf_printf(&before, "line %d\n", i);
        buf_printf(&after, "line %d\n", i + 1);
    }
    text_diff(buf_str(&before), buf_str(&after), &out);
    assert_non_null(strstr(buf_str(&out), "@@ -1,2001 +1,2001 @@\n-line 0\n-line 1\n"));
    buf_free(&before);
    buf_free(&after);
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_yaml),
        cmocka_unit_test(paths_make_what_is_missing_and_remove_what_gets_empty),
        cmocka_unit_test(names_of_parameters_may_have_dots),
        cmocka_unit_test(what_is_no_change_is_refused),
        cmocka_unit_test(equal_texts_have_no_difference),
        cmocka_unit_test(changes_come_with_three_lines_of_context),
        cmocka_unit_test(changes_far_apart_have_hunks_of_their_own),
        cmocka_unit_test(texts_over_the_limit_are_shown_as_replaced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
