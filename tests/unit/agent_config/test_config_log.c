/* `log`: what of it is read, and what it may not be. Lines themselves: tests/unit/base. */
#include "tests/unit/agent_config/config_fixture.h"

static struct config logged(const char *lines)
{
    char *text = mem_printf("log:\n%stags:\n", lines);
    struct config c = loaded("tags:\n", text);
    mem_free(text);
    return c;
}

static void wrong(const char *lines, const char *words)
{
    char *text = mem_printf("log:\n%stags:\n", lines);
    refused("tags:\n", text, words);
    mem_free(text);
}

static void questionable(const char *lines, const char *words)
{
    char *text = mem_printf("log:\n%stags:\n", lines);
    warned("tags:\n", text, words);
    mem_free(text);
}

static void what_is_not_said_is_patronis_default(void **state)
{
    (void)state;
    struct config c = logged("  level: INFO\n");
    assert_false(c.log->format.json);
    assert_int_equal(c.log->format.part_count, 5);
    assert_string_equal(c.log->format.dateformat, "");
    assert_string_equal(c.log->file.dir, "");
    assert_int_equal(c.log->file.mode, -1);
    assert_int_equal(c.log->file.num, 4);
    assert_int_equal(c.log->file.size_bytes, 25000000);
    assert_int_equal(c.log->queue_max, 1000);
    config_free(&c);
}

static void keys_of_the_file_are_read(void **state)
{
    (void)state;
    struct config c = logged("  dir: log\n  mode: 0640\n  file_num: 0\n  file_size: 50000\n"
                             "  max_queue_size: 17\n  dateformat: '%H:%M'\n"
                             "  format: '%(levelname)s %(message)s'\n");
    assert_string_equal(c.log->file.dir, "/var/lib/pg/log");
    assert_int_equal(c.log->file.mode, 0640);
    assert_int_equal(c.log->file.num, 0);
    assert_int_equal(c.log->file.size_bytes, 50000);
    assert_int_equal(c.log->queue_max, 17);
    assert_string_equal(c.log->format.dateformat, "%H:%M");
    assert_int_equal(c.log->format.part_count, 3);
    config_free(&c);
    c = logged("  mode: '0600'\n");
    assert_int_equal(c.log->file.mode, 0600);
    config_free(&c);
}

static void lines_of_json_have_fields_of_their_own(void **state)
{
    (void)state;
    struct config c = logged("  type: json\n"
                             "  format: [message, {asctime: '@timestamp', levelname: level}]\n"
                             "  static_fields: {app: pg, shard: 7, live: true}\n");
    assert_true(c.log->format.json);
    assert_int_equal(c.log->format.part_count, 3);
    assert_string_equal(c.log->format.text + c.log->format.parts[1].text, "@timestamp");
    assert_string_equal(c.log->format.fields, ", \"app\": \"pg\", \"shard\": 7, \"live\": true");
    config_free(&c);
    c = logged("  type: json\n");
    assert_int_equal(c.log->format.part_count, 3);
    config_free(&c);
}

static void what_makes_no_line_is_refused(void **state)
{
    static const struct {
        const char *lines;
        const char *words;
    } rows[] = {
        {"  format: '%(asctime)s'\n", "log.format: has no %(message)s"},
        {"  format: '%(massage)s'\n", "log.format: 'massage' is no field"},
        {"  format: [message]\n", "log.format: is a list, which is for 'type: json'"},
        {"  format: {message: m}\n", "log.format: is neither a text nor a list"},
        {"  type: json\n  format: [asctime]\n", "log.format: has no 'message'"},
        {"  type: json\n  format: [message, text]\n", "log.format: 'text' is no field"},
        {"  type: json\n  format: [message, 7]\n", "log.format: has an item that is neither"},
        {"  type: json\n  format: [{message: 7}]\n", "log.format: 'message' has no text"},
        {"  dateformat: '%Y \xc3\xa9'\n", "log.dateformat: has more than plain characters"},
        {"  dateformat: '\"%Y\"'\n", "log.dateformat: has more than plain characters"},
        {"  dateformat: '%n'\n", "log.dateformat: makes a control character"},
        {"  dateformat: '%c %c %c %c'\n", "log.dateformat: makes no time, or one of more"},
        {"  static_fields: text\n", "log.static_fields: is no mapping"},
        {"  type: json\n  static_fields: {a: [1]}\n", "log.static_fields: 'a' is no text"},
        {"  mode: 644\n", "log.mode: is no mode of a file"},
        {"  mode: rw\n", "log.mode: is no mode of a file"},
        {"  mode: '0999'\n", "log.mode: is no mode of a file"},
        {"  mode: [1]\n", "log.mode: is no mode of a file"},
        {"  file_num: -1\n", "log.file_num"},
        {"  file_num: many\n", "log.file_num"},
        {"  file_size: 100\n", "log.file_size"},
        {"  max_queue_size: 0\n", "log.max_queue_size"},
        {"  dir: [a]\n", "log.dir"},
    };
    char *deep = mem_printf("  dir: /%0600d\n", 1);
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        wrong(rows[i].lines, rows[i].words);
    }
    wrong(deep, "log.dir: is longer than");
    mem_free(deep);
}

static void what_has_no_effect_is_told(void **state)
{
    (void)state;
    questionable("  static_fields: {a: b}\n", "log.static_fields: has no effect without");
    questionable("  format: '%(lineno)d %(message)s'\n", "log.format: 'lineno' says nothing here");
    questionable("  traceback_level: DEBUG\n", "log.traceback_level: has no effect");
    questionable("  loggers: {urllib3: ERROR}\n", "log.loggers: has no effect");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_said_is_patronis_default),
        cmocka_unit_test(keys_of_the_file_are_read),
        cmocka_unit_test(lines_of_json_have_fields_of_their_own),
        cmocka_unit_test(what_makes_no_line_is_refused),
        cmocka_unit_test(what_has_no_effect_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
