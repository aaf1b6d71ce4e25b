/* Our YAML against PyYAML's, the library that the files were written for: thousands of cases that
 * yaml_cases.py makes. */
#include "agent/config/yaml.h"
#include "agent/config/yaml_scalar.h"
#include "base/buf.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COMMAND "/usr/bin/python3 tests/unit/agent_config/yaml_cases.py "

/* json_equal, but 1.0 and the shortest text of it may differ in the last bit after a sum in
 * base 60. */
static bool alike(const json_t *a, const json_t *b)
{
    if (json_is_real(a) && json_is_real(b)) {
        double x = json_real_value(a);
        double y = json_real_value(b);
        return fabs(x - y) <= fabs(x) * 1e-15;
    }
    return json_equal(a, b);
}

static void check_plain(const char *text, const json_t *expected)
{
    struct error err = {0};
    json_t *value = NULL;
    enum yaml_plain kind = yaml_plain_kind(text, strlen(text));
    if (yaml_plain_value(kind, text, strlen(text), &value, &err) != 0) {
        fail_msg("'%s': %s", text, err.text);
    }
    if (!alike(value, expected)) {
        fail_msg("'%s' is not what PyYAML reads", text);
    }
    json_decref(value);
}

static void check_document(const char *text, const json_t *expected)
{
    struct error err = {0};
    json_t *tree = NULL;
    if (yaml_parse(span_str(text), &tree, &err) != 0) {
        fail_msg("%s in:\n%s", err.text, text);
    }
    if (!json_equal(tree, expected)) {
        fail_msg("not what PyYAML reads:\n%s", text);
    }
    json_decref(tree);
}

static void check_dump(const json_t *value, const char *expected)
{
    struct error err = {0};
    struct buf out = BUF_INIT;
    assert_int_equal(yaml_write(value, &out, &err), 0);
    assert_string_equal(buf_str(&out), expected);
    buf_free(&out);
    check_document(expected, value);
}

static size_t each_case(const char *seed, const char *kind)
{
    char command[200];
    char *line = NULL;
    size_t size = 0;
    size_t count = 0;
    snprintf(command, sizeof(command), "%s%s", COMMAND, seed);
    FILE *python = popen(command, "r");
    assert_non_null(python);
    while (getline(&line, &size, python) > 0) {
        json_t *one = json_loads(line, JSON_DECODE_ANY, NULL);
        assert_non_null(one);
        const char *text = json_string_value(json_object_get(one, kind));
        const json_t *value = json_object_get(one, "value");
        if (text != NULL) {
            count++;
            if (strcmp(kind, "plain") == 0) {
                check_plain(text, value);
            } else if (strcmp(kind, "document") == 0) {
                check_document(text, value);
            } else {
                check_dump(value, text);
            }
        }
        json_decref(one);
    }
    free(line);
    assert_int_equal(pclose(python), 0);
    return count;
}

static void plain_scalars_are_what_pyyaml_reads(void **state)
{
    (void)state;
    assert_true(each_case("1", "plain") > 2000);
    assert_true(each_case("2", "plain") > 2000);
}

static void documents_are_what_pyyaml_reads(void **state)
{
    (void)state;
    assert_true(each_case("1", "document") >= 9);
}

static void what_we_write_is_byte_for_byte_what_pyyaml_writes_and_reads_back(void **state)
{
    (void)state;
    assert_true(each_case("1", "dump") > 500);
    assert_true(each_case("3", "dump") > 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_scalars_are_what_pyyaml_reads),
        cmocka_unit_test(documents_are_what_pyyaml_reads),
        cmocka_unit_test(what_we_write_is_byte_for_byte_what_pyyaml_writes_and_reads_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
