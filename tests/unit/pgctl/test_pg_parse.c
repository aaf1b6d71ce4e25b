/* PostgreSQL's small texts to facts: LSNs, lines, postmaster.pid, names and versions. */
#include "base/buf.h"
#include "base/mem.h"
#include "pgctl/parse/pg_lines.h"
#include "pgctl/pg_parse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* --- LSN -------------------------------------------------------------------------------------- */

static void an_lsn_is_exactly_two_hex_numbers(void **state)
{
    static const char *const bad[] = {
        "",      "0",    "/",     "0/",   "/0",   "0/0 ", "G/0", "123456789/0", "0/123456789",
        "0/0/0", " 0/0", "0x1/0", "-1/0", "0/-1", "0//0", "0\\0"};
    char text[PG_LSN_BYTES];
    uint64_t lsn = 7;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(pg_lsn_parse(bad[i], &lsn));
        assert_int_equal(lsn, 7);
    }
    assert_false(pg_lsn_parse(NULL, &lsn));
    assert_true(pg_lsn_parse("16/B374D848", &lsn));
    assert_int_equal(lsn, UINT64_C(0x16B374D848));
    assert_string_equal(pg_lsn_format(lsn, text), "16/B374D848");
    assert_true(pg_lsn_parse("00000aBc/0000dEf0", &lsn));
    assert_int_equal(lsn, UINT64_C(0xABC0000DEF0));
}

/* Every byte as a digit of either half. */
static void no_other_character_is_a_digit_of_an_lsn(void **state)
{
    (void)state;
    for (int c = 1; c < 256; c++) {
        const char *const hex = "0123456789abcdefABCDEF";
        const char high[] = {(char)c, '/', '1', '\0'};
        const char low[] = {'1', '/', (char)c, '\0'};
        uint64_t lsn = 0;
        assert_int_equal(pg_lsn_parse(high, &lsn), strchr(hex, c) != NULL);
        assert_int_equal(pg_lsn_parse(low, &lsn), strchr(hex, c) != NULL);
    }
}

static void an_lsn_is_read_as_it_was_printed_at_every_bit(void **state)
{
    char text[PG_LSN_BYTES];
    (void)state;
    for (int bit = 0; bit <= 64; bit++) {
        uint64_t lsn = bit == 64 ? UINT64_MAX : UINT64_C(1) << bit;
        uint64_t again = 0;
        assert_true(pg_lsn_parse(pg_lsn_format(lsn, text), &again));
        assert_int_equal(lsn, again);
        assert_true(pg_lsn_parse(pg_lsn_format(lsn - 1, text), &again));
        assert_int_equal(lsn - 1, again);
    }
    assert_string_equal(pg_lsn_format(0, text), "0/0");
    assert_string_equal(pg_lsn_format(UINT64_MAX, text), "FFFFFFFF/FFFFFFFF");
}

/* --- lines ------------------------------------------------------------------------------------ */

static void lines_are_trimmed_and_the_last_needs_no_end(void **state)
{
    static const char text[] = "a\n\n \t b c \r\n\t\r \nlast";
    static const char *const expected[] = {"a", "", "b c", "", "last"};
    struct span rest = span_str(text);
    char line[PG_LINE_BYTES];
    (void)state;
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        assert_true(pg_lines_next(&rest, line));
        assert_string_equal(line, expected[i]);
    }
    assert_false(pg_lines_next(&rest, line));
    assert_string_equal(line, "last");
}

static void a_zero_byte_ends_the_text_of_a_line_but_not_the_line(void **state)
{
    struct span rest = span_of("a\0b\nc\n", 6);
    char line[PG_LINE_BYTES];
    (void)state;
    assert_true(pg_lines_next(&rest, line));
    assert_string_equal(line, "a");
    assert_true(pg_lines_next(&rest, line));
    assert_string_equal(line, "c");
    assert_false(pg_lines_next(&rest, line));
}

static void a_line_that_is_too_long_is_cut_and_the_next_is_whole(void **state)
{
    char line[PG_LINE_BYTES];
    (void)state;
    for (size_t len = PG_LINE_BYTES - 2; len <= PG_LINE_BYTES + 1; len++) {
        char *text = mem_alloc(len + 5);
        memset(text, 'x', len);
        memcpy(text + len, "\nyes", 5);
        struct span rest = span_str(text);
        assert_true(pg_lines_next(&rest, line));
        assert_int_equal(strlen(line), len < PG_LINE_BYTES ? len : PG_LINE_BYTES - 1);
        assert_true(pg_lines_next(&rest, line));
        assert_string_equal(line, "yes");
        mem_free(text);
    }
}

/* --- postmaster.pid --------------------------------------------------------------------------- */

static const char whole_pidfile[] = "12345\n"
                                    "/var/lib/postgresql/15/main\n"
                                    "1732467901\n"
                                    "5432\n"
                                    "/var/run/postgresql\n"
                                    "localhost\n"
                                    "  9126437         1\n"
                                    "ready   \n";

static void a_pidfile_tells_who_works_where(void **state)
{
    struct pg_pidfile pidfile;
    struct error err = {0};
    (void)state;
    assert_int_equal(pg_pidfile_parse(span_str(whole_pidfile), &pidfile, &err), 0);
    assert_int_equal(pidfile.pid, 12345);
    assert_false(pidfile.single_user);
    assert_string_equal(pidfile.data_dir, "/var/lib/postgresql/15/main");
    assert_int_equal(pidfile.start_s, 1732467901);
    assert_int_equal(pidfile.port, 5432);
    assert_string_equal(pidfile.socket_dir, "/var/run/postgresql");
    assert_string_equal(pidfile.status, "ready");
}

static void pidfile_says_whether_clients_are_let_in(void **state)
{
    static const struct {
        const char *status;
        bool ready;
    } cases[] = {{"", false},
                 {"starting", false},
                 {"stopping", false},
                 {"ready   ", true},
                 {"standby ", true}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct pg_pidfile pidfile = {0};
        snprintf(pidfile.status, sizeof pidfile.status, "%s", cases[i].status);
        assert_int_equal(pg_pidfile_is_ready(&pidfile), cases[i].ready);
    }
}

static void a_single_user_backend_has_a_negative_number(void **state)
{
    struct pg_pidfile pidfile;
    struct error err = {0};
    (void)state;
    assert_int_equal(pg_pidfile_parse(span_str("-77\n/data\n5\n0\n\n\n"), &pidfile, &err), 0);
    assert_int_equal(pidfile.pid, 77);
    assert_true(pidfile.single_user);
    assert_int_equal(pidfile.port, 0);
    assert_string_equal(pidfile.socket_dir, "");
    assert_string_equal(pidfile.status, "");
}

/* The file cut at every byte: refused until the third line is whole; from then on every fact is the
 * whole file's, or not there. Half a port would be another server's. */
static void a_torn_pidfile_tells_nothing_that_is_not_whole(void **state)
{
    size_t third = (size_t)(strstr(whole_pidfile, "5432\n") - whole_pidfile);
    size_t port = third + strlen("5432\n");
    size_t socket_end = port + strlen("/var/run/postgresql\n");
    (void)state;
    for (size_t len = 0; len <= strlen(whole_pidfile); len++) {
        struct pg_pidfile pidfile = {.pid = -1};
        struct error err = {0};
        int rc = pg_pidfile_parse(span_of(whole_pidfile, len), &pidfile, &err);
        assert_int_equal(rc, len < third ? ERR_CORRUPT : 0);
        if (rc != 0) {
            assert_int_equal(pidfile.pid, -1);
            assert_non_null(strstr(err.text, "at least 3 are needed"));
            continue;
        }
        assert_int_equal(pidfile.pid, 12345);
        assert_int_equal(pidfile.start_s, 1732467901);
        assert_int_equal(pidfile.port, len >= port ? 5432 : 0);
        assert_string_equal(pidfile.socket_dir, len >= socket_end ? "/var/run/postgresql" : "");
        assert_string_equal(pidfile.status, len == strlen(whole_pidfile) ? "ready" : "");
    }
}

static void a_pidfile_with_a_line_that_cannot_be_is_refused_by_its_number(void **state)
{
    static const struct {
        const char *text;
        const char *words;
    } bad[] = {
        {"0\n/d\n1\n", "line 1 is '0'"},
        {"\n/d\n1\n", "line 1 is ''"},
        {"x1\n/d\n1\n", "line 1 is 'x1'"},
        {"12 13\n/d\n1\n", "line 1 is '12 13'"},
        {"2147483648\n/d\n1\n", "line 1 is '2147483648'"},
        {"-2147483648\n/d\n1\n", "line 1 is '-2147483648'"},
        {"99999999999999999999\n/d\n1\n", "line 1"},
        {"1\n\n1\n", "line 2 is ''"},
        {"1\n/d\n-1\n", "line 3 is '-1'"},
        {"1\n/d\nsoon\n", "line 3 is 'soon'"},
        {"1\n/d\n99999999999999999999\n", "line 3"},
        {"1\n/d\n1\n65536\n", "line 4 is '65536'"},
        {"1\n/d\n1\n-1\n", "line 4 is '-1'"},
        {"1\n/d\n1\n\n", "line 4 is ''"},
        {"\xFF\xFE\n\n\n", "line 1"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct pg_pidfile pidfile;
        struct error err = {0};
        assert_int_equal(pg_pidfile_parse(span_str(bad[i].text), &pidfile, &err), ERR_CORRUPT);
        if (strstr(err.text, bad[i].words) == NULL) {
            fail_msg("no '%s' in '%s'", bad[i].words, err.text);
        }
        assert_int_equal(pg_pidfile_parse(span_str(bad[i].text), &pidfile, NULL), ERR_CORRUPT);
    }
}

static void the_largest_numbers_of_a_pidfile_are_taken(void **state)
{
    struct pg_pidfile pidfile;
    struct error err = {0};
    (void)state;
    assert_int_equal(
        pg_pidfile_parse(span_str("2147483647\n/d\n9223372036854775807\n65535\n"), &pidfile, &err),
        0);
    assert_int_equal(pidfile.pid, INT32_MAX);
    assert_int_equal(pidfile.start_s, INT64_MAX);
    assert_int_equal(pidfile.port, UINT16_MAX);
    assert_int_equal(pg_pidfile_parse(span_str("-2147483647\n/d\n0\n0\n"), &pidfile, &err), 0);
    assert_int_equal(pidfile.pid, INT32_MAX);
}

static void long_lines_and_more_lines_of_a_pidfile_do_no_harm(void **state)
{
    struct buf text = BUF_INIT;
    struct pg_pidfile pidfile;
    struct error err = {0};
    (void)state;
    buf_put_str(&text, "1\n/");
    for (int i = 0; i < 5000; i++) {
        buf_put_str(&text, "d");
    }
    buf_put_str(&text, "\n5\n5432\n/");
    for (int i = 0; i < 5000; i++) {
        buf_put_str(&text, "s");
    }
    buf_put_str(&text, "\n*\n1 2\nstarting but for a very long time\nninth\ntenth\n");
    assert_int_equal(pg_pidfile_parse(buf_span(&text), &pidfile, &err), 0);
    assert_int_equal(strlen(pidfile.data_dir), PG_PATH_BYTES - 1);
    assert_int_equal(strlen(pidfile.socket_dir), PG_PATH_BYTES - 1);
    assert_string_equal(pidfile.status, "starting but fo");
    buf_free(&text);
}

/* --- slot names ------------------------------------------------------------------------------- */

static void slot_named(const char *member, const char *expected)
{
    char name[PG_NAME_BYTES];
    pg_slot_name(member, name);
    assert_string_equal(name, expected);
}

static void slot_names_follow_the_rule(void **state)
{
    (void)state;
    slot_named("", "");
    slot_named("node_1", "node_1");
    slot_named("Node-1.a_b", "node_1_a_b");
    slot_named("AZ az 09", "azu0032azu003209");
    slot_named("a/b:c@d", "au0047bu0058cu0064d");
    slot_named("\x01\x7F", "u0001u0127");
}

/* One, two, three and four bytes; each cut and each with a wrong byte within: then every byte that
 * begins nothing stands for itself. */
static void slot_names_have_the_number_of_a_code_point(void **state)
{
    (void)state;
    slot_named("\xC3\xA4", "u0228");
    slot_named("\xE2\x82\xAC", "u8364");
    slot_named("\xF0\x9F\x90\x98x", "u128024x");
    slot_named("\xC3", "u0195");
    slot_named("\xE2\x82", "u0226u0130");
    slot_named("\xF0\x9F\x90", "u0240u0159u0144");
    slot_named("\xC3x", "u0195x");
    slot_named("\xE2\x82x", "u0226u0130x");
    slot_named("\x80\xBF", "u0128u0191");
    slot_named("\xFF", "u0255");
}

#define SLOT(is_physical, is_active, xmin, lsn, status)                              \
    {                                                                                \
        .name = "a", .physical = is_physical, .active = is_active, .has_xmin = xmin, \
        .restart_lsn = lsn, .wal_status = status                                     \
    }

static void a_slot_is_made_moved_on_made_anew_or_left(void **state)
{
    (void)state;
    enum { OWN = 500 };
    static const struct {
        struct pg_slot slot;
        struct pg_slot_wish wish;
        enum pg_slot_next next;
        uint64_t lsn;
    } cases[] = {
        {SLOT(true, false, false, 100, "reserved"), {"a", true, 300}, PG_SLOT_ADVANCE, 300},
        {SLOT(true, false, false, 100, "extended"), {"a", true, 900}, PG_SLOT_ADVANCE, OWN},
        {SLOT(true, false, false, 300, "reserved"), {"a", true, 300}, PG_SLOT_STAYS, 0},
        {SLOT(true, false, false, 400, "reserved"), {"a", true, 300}, PG_SLOT_STAYS, 0},
        {SLOT(true, false, false, 600, "reserved"), {"a", true, 900}, PG_SLOT_STAYS, 0},
        {SLOT(true, false, false, 100, "reserved"), {"a", true, 0}, PG_SLOT_STAYS, 0},
        {SLOT(true, false, false, 100, "unreserved"), {"a", false, 300}, PG_SLOT_STAYS, 0},
        {SLOT(true, true, true, 100, "reserved"), {"a", true, 300}, PG_SLOT_STAYS, 0},
        {SLOT(true, false, true, 100, "reserved"), {"a", true, 300}, PG_SLOT_REMAKE, 0},
        {SLOT(true, false, true, 100, "reserved"), {"a", false, 0}, PG_SLOT_STAYS, 0},
        {SLOT(true, false, false, 0, "lost"), {"a", false, 0}, PG_SLOT_REMAKE, 0},
        {SLOT(true, false, false, 100, "lost"), {"a", true, 300}, PG_SLOT_REMAKE, 0},
        {SLOT(true, false, false, 0, ""), {"a", false, 0}, PG_SLOT_REMAKE, 0},
        {SLOT(true, true, false, 0, "lost"), {"a", false, 0}, PG_SLOT_STAYS, 0},
        {SLOT(false, false, false, 100, "lost"), {"a", true, 300}, PG_SLOT_STAYS, 0},
    };
    uint64_t lsn = 0;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        lsn = 0;
        assert_int_equal(pg_slot_next(&cases[i].slot, &cases[i].wish, OWN, &lsn), cases[i].next);
        assert_int_equal(lsn, cases[i].lsn);
    }
    assert_int_equal(pg_slot_next(NULL, &cases[0].wish, OWN, &lsn), PG_SLOT_MAKE);
}

static void slot_names_are_cut_at_63_wherever_that_is(void **state)
{
    char member[80];
    char name[PG_NAME_BYTES];
    (void)state;
    for (size_t len = 50; len < 70; len++) {
        memset(member, 'x', len);
        memcpy(member + len, "\xF0\x9F\x90\x98", 5);
        pg_slot_name(member, name);
        assert_int_equal(strlen(name), len + 7 < 63 ? len + 7 : 63);
        assert_int_equal(strspn(name, "x"), len < 63 ? len : 63);
    }
}

/* --- versions --------------------------------------------------------------------------------- */

static void a_version_is_the_first_number_that_begins_a_word(void **state)
{
    static const struct {
        const char *text;
        int major;
    } good[] = {
        {"postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)\n", 15},
        {"postgres (PostgreSQL) 18devel", 18},
        {"postgres (PostgreSQL) 17beta1", 17},
        {"/opt/pg13/bin/postgres (PostgreSQL) 16.2", 16},
        {"13\n", 13},
        {"9.6\n", 9},
        {"99", 99},
    };
    static const char *const bad[] = {"",    "no version", "v15",   "0",
                                      "100", "\n",         "x9 y8", "99999999999999999999999999"};
    struct error err = {0};
    int major = -1;
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_int_equal(pg_version_parse(good[i].text, &major, &err), 0);
        assert_int_equal(major, good[i].major);
    }
    major = -1;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(pg_version_parse(bad[i], &major, &err), ERR_CORRUPT);
        assert_int_equal(major, -1);
    }
}

static void versions_outside_13_to_17_are_refused_with_what_to_do(void **state)
{
    struct error err = {0};
    (void)state;
    for (int major = 0; major < 30; major++) {
        int rc = pg_version_check(major, "'/data'", &err);
        assert_int_equal(rc, major >= 13 && major <= 17 ? 0 : ERR_UNSUPPORTED);
        if (rc != 0) {
            assert_non_null(strstr(err.text, "'/data' is PostgreSQL "));
            assert_non_null(strstr(err.text, "versions 13 to 17 are supported"));
            assert_non_null(strstr(err.text, major < 13 ? "pg_upgrade" : "a newer pgquorum"));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_lsn_is_exactly_two_hex_numbers),
        cmocka_unit_test(no_other_character_is_a_digit_of_an_lsn),
        cmocka_unit_test(an_lsn_is_read_as_it_was_printed_at_every_bit),
        cmocka_unit_test(lines_are_trimmed_and_the_last_needs_no_end),
        cmocka_unit_test(a_zero_byte_ends_the_text_of_a_line_but_not_the_line),
        cmocka_unit_test(a_line_that_is_too_long_is_cut_and_the_next_is_whole),
        cmocka_unit_test(a_pidfile_tells_who_works_where),
        cmocka_unit_test(pidfile_says_whether_clients_are_let_in),
        cmocka_unit_test(a_single_user_backend_has_a_negative_number),
        cmocka_unit_test(a_torn_pidfile_tells_nothing_that_is_not_whole),
        cmocka_unit_test(a_pidfile_with_a_line_that_cannot_be_is_refused_by_its_number),
        cmocka_unit_test(the_largest_numbers_of_a_pidfile_are_taken),
        cmocka_unit_test(long_lines_and_more_lines_of_a_pidfile_do_no_harm),
        cmocka_unit_test(slot_names_follow_the_rule),
        cmocka_unit_test(slot_names_have_the_number_of_a_code_point),
        cmocka_unit_test(slot_names_are_cut_at_63_wherever_that_is),
        cmocka_unit_test(a_slot_is_made_moved_on_made_anew_or_left),
        cmocka_unit_test(a_version_is_the_first_number_that_begins_a_word),
        cmocka_unit_test(versions_outside_13_to_17_are_refused_with_what_to_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
