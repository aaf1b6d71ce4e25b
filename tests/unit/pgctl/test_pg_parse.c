/* PostgreSQL's texts to facts. */
#include "pgctl/conf/pg_conf.h"
#include "pgctl/pg_parse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void an_lsn_is_exactly_two_hex_numbers(void **state)
{
    static const char *const bad[] = {"",     "0",   "/",           "0/",          "/0",
                                      "0/0 ", "G/0", "123456789/0", "0/123456789", "0/0/0"};
    char text[PG_LSN_BYTES];
    uint64_t lsn = 0;
    (void)state;
    assert_true(pg_lsn_parse("16/B374D848", &lsn));
    assert_int_equal(lsn, UINT64_C(0x16B374D848));
    assert_string_equal(pg_lsn_format(lsn, text), "16/B374D848");
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(pg_lsn_parse(bad[i], &lsn));
    }
}

static void a_history_tells_where_each_timeline_was_left(void **state)
{
    static const char text[] =
        "1\t0/3000000\tno recovery target specified\n\n2\t0/5000000\tbefore x\n";
    struct pg_history history = {0};
    struct error err;
    uint64_t lsn = 0;
    char name[PG_HISTORY_NAME_BYTES];
    (void)state;
    assert_int_equal(pg_history_parse(3, span_str(text), &history, &err), 0);
    assert_int_equal(history.count, 2);
    assert_true(pg_history_switch_lsn(&history, 1, &lsn));
    assert_int_equal(lsn, 0x3000000);
    assert_false(pg_history_switch_lsn(&history, 3, &lsn));
    assert_false(pg_history_switch_lsn(&history, 7, &lsn));
    pg_history_free(&history);
    assert_string_equal(pg_history_name(10, name), "0000000A.history");
}

static void a_history_that_cannot_be_is_refused(void **state)
{
    static const char *const bad[] = {"", "x\t0/1\ty\n", "1\tnothing\ty\n", "3\t0/1\ty\n",
                                      "2\t0/5\ty\n1\t0/3\ty\n"};
    struct pg_history history = {0};
    struct error err;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_not_equal(pg_history_parse(3, span_str(bad[i]), &history, &err), 0);
    }
    assert_int_equal(pg_history_parse(1, span_str(""), &history, &err), 0);
    pg_history_free(&history);
}

static void slot_names_follow_the_rule(void **state)
{
    char name[PG_NAME_BYTES];
    (void)state;
    pg_slot_name("Node-1.a_b", name);
    assert_string_equal(name, "node_1_a_b");
    pg_slot_name("a b", name);
    assert_string_equal(name, "au0032b");
    pg_slot_name("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
                 name);
    assert_int_equal(strlen(name), 63);
}

static void versions_outside_13_to_17_are_refused_by_number(void **state)
{
    struct error err;
    int major = 0;
    (void)state;
    assert_int_equal(
        pg_version_parse("postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)\n", &major, &err),
        0);
    assert_int_equal(major, 15);
    assert_int_equal(pg_version_parse("9.6\n", &major, &err), 0);
    assert_int_equal(major, 9);
    assert_int_not_equal(pg_version_parse("no version", &major, &err), 0);
    for (major = 9; major < 20; major++) {
        int rc = pg_version_check(major, "here", &err);
        assert_int_equal(rc, major >= 13 && major <= 17 ? 0 : ERR_UNSUPPORTED);
    }
}

static struct pg_history history_of_two(uint64_t left_1_at)
{
    static struct pg_history_entry entries[1];
    entries[0] = (struct pg_history_entry){.timeline = 1, .switch_lsn = left_1_at};
    return (struct pg_history){.timeline = 2, .count = 1, .entries = entries};
}

static void a_standby_follows_until_the_switch_and_not_beyond(void **state)
{
    struct pg_history history = history_of_two(1000);
    struct pg_local_position local = {.timeline = 1, .lsn = 1000};
    (void)state;
    assert_int_equal(pg_divergence_decide(&local, 2, &history, NULL), PG_DIVERGENCE_NONE);
    local.lsn = 1001;
    assert_int_equal(pg_divergence_decide(&local, 2, &history, NULL), PG_DIVERGENCE_REWIND);
    local = (struct pg_local_position){.timeline = 2, .lsn = 5000};
    assert_int_equal(pg_divergence_decide(&local, 2, &history, NULL), PG_DIVERGENCE_NONE);
    local.timeline = 3;
    assert_int_equal(pg_divergence_decide(&local, 2, &history, NULL), PG_DIVERGENCE_REWIND);
}

static void a_primary_that_died_is_rewound(void **state)
{
    struct pg_history history = history_of_two(1000);
    struct pg_local_position local = {
        .timeline = 1, .lsn = 900, .was_primary = true, .clean = false};
    (void)state;
    assert_int_equal(pg_divergence_decide(&local, 2, &history, NULL), PG_DIVERGENCE_REWIND);
}

static void values_are_quoted_for_where_they_stand(void **state)
{
    struct buf out = BUF_INIT;
    (void)state;
    pg_quote_conf(&out, "a'b\\c");
    assert_string_equal(buf_str(&out), "'a''b\\\\c'");
    buf_clear(&out);
    pg_quote_ident(&out, "a\"b");
    assert_string_equal(buf_str(&out), "\"a\"\"b\"");
    buf_clear(&out);
    pg_quote_literal(&out, "it's");
    assert_string_equal(buf_str(&out), "'it''s'");
    buf_free(&out);
    assert_true(pg_conf_is_line("host all all 0.0.0.0/0 md5"));
    assert_false(pg_conf_is_line("host\nlocal all all trust"));
}

static void a_detached_service_cannot_connect(void **state)
{
    struct buf out = BUF_INIT;
    struct pg_service service = {
        .host = "10.0.0.2", .port = 5432, .user = "replicator", .passfile = "/p"};
    (void)state;
    pg_conf_service(&out, &service);
    assert_non_null(strstr(buf_str(&out), "[" PG_SERVICE_NAME "]"));
    assert_non_null(strstr(buf_str(&out), "host=10.0.0.2"));
    buf_clear(&out);
    service.host = NULL;
    pg_conf_service(&out, &service);
    assert_null(strstr(buf_str(&out), "10.0.0.2"));
    assert_non_null(strstr(buf_str(&out), "host=/dev/null"));
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_lsn_is_exactly_two_hex_numbers),
        cmocka_unit_test(a_history_tells_where_each_timeline_was_left),
        cmocka_unit_test(a_history_that_cannot_be_is_refused),
        cmocka_unit_test(slot_names_follow_the_rule),
        cmocka_unit_test(versions_outside_13_to_17_are_refused_by_number),
        cmocka_unit_test(a_standby_follows_until_the_switch_and_not_beyond),
        cmocka_unit_test(a_primary_that_died_is_rewound),
        cmocka_unit_test(values_are_quoted_for_where_they_stand),
        cmocka_unit_test(a_detached_service_cannot_connect),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
