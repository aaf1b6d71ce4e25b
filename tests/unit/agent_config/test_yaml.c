/* What the YAML reader refuses, where it says so, and where its limits are. */
#include "agent/config/yaml.h"
#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static json_t *parse(const char *text)
{
    struct error err = {0};
    json_t *tree = NULL;
    if (yaml_parse(span_str(text), &tree, &err) != 0) {
        fail_msg("%s in: %s", err.text, text);
    }
    return tree;
}

static void refused(const char *text, int code, const char *words)
{
    struct error err = {0};
    json_t *tree = NULL;
    assert_int_equal(yaml_parse(span_str(text), &tree, &err), code);
    if (strstr(err.text, words) == NULL) {
        fail_msg("'%s' does not say '%s'", err.text, words);
    }
    assert_null(tree);
}

static void duplicate_key_is_refused_with_its_line(void **state)
{
    (void)state;
    refused("a: 1\nb: 2\na: 3\n", ERR_INVALID, "line 3: the key 'a' is there twice");
    refused("x:\n  k: 1\n  'k': 2\n", ERR_INVALID, "line 3: the key 'k'");
    refused("a: &m {x: 1}\nb: {<<: *m, <<: *m}\n", ERR_INVALID, "line 2: the key '<<'");
}

static void broken_yaml_is_refused_with_its_line(void **state)
{
    (void)state;
    refused("a: [1, 2\nb: 3\n", ERR_INVALID, "line 2: no valid YAML");
    refused("a: 1\n\tb: 2\n", ERR_INVALID, "line 2: no valid YAML");
    refused("a: 'open\n", ERR_INVALID, "no valid YAML");
    refused("a: \xff\n", ERR_INVALID, "byte 3");
}

/* It may be a password without quotes, and goes to the log and to whoever asks the member. */
static void a_number_that_does_not_fit_is_not_quoted(void **state)
{
    struct error err = {0};
    json_t *tree = NULL;
    (void)state;
    assert_int_equal(yaml_parse(span_str("password: 98765432109876543210\n"), &tree, &err),
                     ERR_INVALID);
    assert_null(strstr(err.text, "987"));
}

static void what_json_cannot_hold_is_refused(void **state)
{
    (void)state;
    refused("a: .inf\n", ERR_INVALID, "line 1: a number does not fit: quote it");
    refused("a: 1\nb: .nan\n", ERR_INVALID, "line 2: a number does not fit");
    refused("a: 9223372036854775808\n", ERR_INVALID, "line 1: a number does not fit");
    refused("a: 99999999999999999999999\n", ERR_INVALID, "line 1: a number does not fit");
    refused("a: 0b_\n", ERR_INVALID, "line 1: a number does not fit");
    refused("a: 999999999999999999:59\n", ERR_INVALID, "line 1: a number does not fit");
    refused("a: "
            "11111111111111111111111111111111111111111111111111111111111111111111111111111111111111"
            "11111111111111111111111"
            "11111111111111111111111111111\n",
            ERR_INVALID, "line 1: a number does not fit");
    refused("a: \"nul \\0 in it\"\n", ERR_INVALID, "NUL");
    refused("\"a\\0b\": 1\n", ERR_INVALID, "NUL");
    refused("? [a, b]\n: 1\n", ERR_INVALID, "a key has to be a plain or quoted text");
    refused("a: !!binary aGVsbG8=\n", ERR_INVALID, "a tag");
    refused("a: !mine [1]\n", ERR_INVALID, "a tag");
    refused("a: !mine {b: 1}\n", ERR_INVALID, "a tag");
    refused("a: !!int soon\n", ERR_INVALID, "a tag");
    refused("a: 1\n---\nb: 2\n", ERR_INVALID, "line 2: a second document");
    refused("a: *nobody\n", ERR_INVALID, "'*nobody' has no anchor");
    refused("a: &self [*self]\n", ERR_INVALID, "'*self' has no anchor");
    refused("a: {<<: 1}\n", ERR_INVALID, "'<<' merges mappings only");
    refused("a: {<<: [1]}\n", ERR_INVALID, "'<<' merges mappings only");
}

static void empty_text_is_null_and_names_are_kept_as_written(void **state)
{
    (void)state;
    json_t *tree = parse("");
    assert_true(json_is_null(tree));
    json_decref(tree);
    tree = parse("on: off\n007: x\n");
    assert_true(json_is_false(json_object_get(tree, "on")));
    assert_string_equal(json_string_value(json_object_get(tree, "007")), "x");
    json_decref(tree);
}

static void an_anchor_given_again_counts_from_there(void **state)
{
    (void)state;
    json_t *tree = parse("a: &x 1\nb: &x 2\nc: *x\n");
    assert_int_equal(json_integer_value(json_object_get(tree, "c")), 2);
    json_decref(tree);
}

static void nesting_ends_at_its_limit(void **state)
{
    (void)state;
    char text[200];
    memset(text, '[', YAML_DEPTH_MAX);
    memset(text + YAML_DEPTH_MAX, ']', YAML_DEPTH_MAX);
    text[2 * YAML_DEPTH_MAX] = '\0';
    json_decref(parse(text));
    memset(text, '[', YAML_DEPTH_MAX + 1);
    text[YAML_DEPTH_MAX + 1] = '\0';
    refused(text, ERR_LIMIT, "nested more than 64 levels");
    refused("a: &a [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]\n"
            "b: [[[[[[[[[[[[[[[[[[[[[[[[[[[[*a]]]]]]]]]]]]]]]]]]]]]]]]]]]]\n",
            ERR_LIMIT, "nested too deeply by an alias");
}

static void billion_laughs_end_at_the_limit_of_values(void **state)
{
    (void)state;
    struct buf text = BUF_INIT;
    buf_put_str(&text, "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for (int i = 1; i < 10; i++) {
        buf_printf(&text, "a%d: &a%d [", i, i);
        for (int j = 0; j < 10; j++) {
            buf_printf(&text, "%s*a%d", j > 0 ? ", " : "", i - 1);
        }
        buf_put_str(&text, "]\n");
    }
    refused(buf_str(&text), ERR_LIMIT, "aliases included");
    buf_free(&text);
}

static void anchors_and_bytes_have_limits(void **state)
{
    (void)state;
    struct buf text = BUF_INIT;
    struct error err = {0};
    json_t *tree = NULL;
    for (int i = 0; i < 257; i++) {
        buf_printf(&text, "k%d: &x%d 1\n", i, i);
    }
    refused(buf_str(&text), ERR_LIMIT, "256 anchors");
    buf_clear(&text);
    while (text.len <= YAML_BYTES_MAX) {
        buf_put_str(&text, "# a comment that fills the file up to its limit\n");
    }
    assert_int_equal(yaml_parse(buf_span(&text), &tree, &err), ERR_LIMIT);
    buf_free(&text);
}

static void value_of_a_command_line_is_yaml(void **state)
{
    (void)state;
    struct error err = {0};
    json_t *value = NULL;
    assert_int_equal(yaml_parse_value("{a: on}", &value, &err), 0);
    assert_true(json_is_true(json_object_get(value, "a")));
    json_decref(value);
    assert_int_equal(yaml_parse_value("", &value, &err), 0);
    assert_true(json_is_null(value));
    json_decref(value);
    assert_int_equal(yaml_parse_value("[1", &value, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "'[1'"));
}

static void flow_style_is_one_line(void **state)
{
    (void)state;
    struct error err = {0};
    struct buf out = BUF_INIT;
    json_t *tree = parse("b: [1, on, 'on']\na: {x: null, y: 'a long text with words'}\n");
    assert_int_equal(yaml_write_flow(tree, &out, &err), 0);
    assert_string_equal(buf_str(&out),
                        "{a: {x: null, y: a long text with words}, b: [1, true, 'on']}");
    buf_free(&out);
    json_decref(tree);
}

static void a_tree_too_deep_is_not_written_at_all(void **state)
{
    (void)state;
    struct error err = {0};
    struct buf out = BUF_INIT;
    json_t *tree = json_array();
    for (int i = 0; i < YAML_DEPTH_MAX + 1; i++) {
        json_t *outer = json_array();
        json_array_append_new(outer, tree);
        tree = outer;
    }
    buf_put_str(&out, "before");
    assert_int_equal(yaml_write(tree, &out, &err), ERR_LIMIT);
    assert_string_equal(buf_str(&out), "before");
    buf_free(&out);
    json_decref(tree);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(duplicate_key_is_refused_with_its_line),
        cmocka_unit_test(broken_yaml_is_refused_with_its_line),
        cmocka_unit_test(a_number_that_does_not_fit_is_not_quoted),
        cmocka_unit_test(what_json_cannot_hold_is_refused),
        cmocka_unit_test(empty_text_is_null_and_names_are_kept_as_written),
        cmocka_unit_test(an_anchor_given_again_counts_from_there),
        cmocka_unit_test(nesting_ends_at_its_limit),
        cmocka_unit_test(billion_laughs_end_at_the_limit_of_values),
        cmocka_unit_test(anchors_and_bytes_have_limits),
        cmocka_unit_test(value_of_a_command_line_is_yaml),
        cmocka_unit_test(flow_style_is_one_line),
        cmocka_unit_test(a_tree_too_deep_is_not_written_at_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
