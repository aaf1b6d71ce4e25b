/* Timeline histories, and what they say about a data directory: may it follow, or does it have WAL
 * that the primary does not have? */
#include "base/buf.h"
#include "pgctl/pg_parse.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* --- history files ---------------------------------------------------------------------------- */

static void a_history_tells_where_each_timeline_was_left(void **state)
{
    static const char text[] = "1\t0/3000000\tno recovery target specified\n\n"
                               "# a comment\n"
                               "2\t0/5000000\tbefore 2000-01-01 00:00:00.0+00\n"
                               "  4 \t 1/0\r\n";
    struct pg_history history = {0};
    struct error err = {0};
    uint64_t lsn = 0;
    char name[PG_HISTORY_NAME_BYTES];
    (void)state;
    assert_int_equal(pg_history_parse(7, span_str(text), &history, &err), 0);
    assert_int_equal(history.timeline, 7);
    assert_int_equal(history.count, 3);
    assert_true(pg_history_switch_lsn(&history, 1, &lsn));
    assert_int_equal(lsn, 0x3000000);
    assert_true(pg_history_switch_lsn(&history, 2, &lsn));
    assert_int_equal(lsn, 0x5000000);
    assert_true(pg_history_switch_lsn(&history, 4, &lsn));
    assert_int_equal(lsn, UINT64_C(0x100000000));
    static const uint32_t none[] = {0, 3, 5, 7, 8};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        lsn = 9;
        assert_false(pg_history_switch_lsn(&history, none[i], &lsn));
        assert_int_equal(lsn, 9);
    }
    pg_history_free(&history);
    assert_null(history.entries);
    pg_history_free(&history);
    pg_history_free(NULL);
    assert_string_equal(pg_history_name(10, name), "0000000A.history");
    assert_string_equal(pg_history_name(UINT32_MAX, name), "FFFFFFFF.history");
}

/* PostgreSQL writes such a file when a recovery along timeline 2 ends before 2 began: what follows
 * has of timeline 1 only what is before that end. */
static void a_timeline_was_left_at_the_lowest_point_of_all_that_follow(void **state)
{
    struct pg_history history = {0};
    struct error err = {0};
    uint64_t lsn = 0;
    (void)state;
    assert_int_equal(
        pg_history_parse(4, span_str("1\t0/5000\tx\n2\t0/4000\tx\n3\t0/4800\tx\n"), &history, &err),
        0);
    assert_true(pg_history_switch_lsn(&history, 1, &lsn));
    assert_int_equal(lsn, 0x4000);
    assert_true(pg_history_switch_lsn(&history, 2, &lsn));
    assert_int_equal(lsn, 0x4000);
    assert_true(pg_history_switch_lsn(&history, 3, &lsn));
    assert_int_equal(lsn, 0x4800);
    struct pg_local_position local = {.timeline = 1, .lsn = 0x4800};
    assert_int_equal(pg_divergence_decide(&local, 4, &history, NULL), PG_DIVERGENCE_REWIND);
    pg_history_free(&history);
}

static void a_history_that_cannot_be_is_refused_with_its_line(void **state)
{
    static const struct {
        const char *text;
        const char *words;
    } bad[] = {
        {"", "no parent"},
        {"# nothing but a comment\n\n", "no parent"},
        {"x\t0/1\ty\n", "line 'x\t0/1\ty'"},
        {"1\tnothing\ty\n", "line '1\tnothing\ty'"},
        {"1\n", "line '1'"},
        {"1\t\n", "line '1'"},
        {"1\t0/1/2\n", "line"},
        {"1\t0/\n", "line"},
        {"1A/3000\ty\n", "line '1A/3000\ty'"}, /* a hole where the tab was */
        {"0\t0/1\ty\n", "line '0"},
        {"-1\t0/1\ty\n", "line '-1"},
        {"+1\t0/1\ty\n", "line '+1"},
        {"4294967296\t0/1\ty\n", "line '4294967296"},
        {"99999999999999999999999\t0/1\ty\n", "line '9999"},
        {"3\t0/1\ty\n", "line '3"},                    /* its own */
        {"4\t0/1\ty\n", "line '4"},                    /* a later one */
        {"2\t0/5\ty\n1\t0/3\ty\n", "line '1"},         /* wrong order */
        {"1\t0/5\ty\n1\t0/5\ty\n", "line '1"},         /* twice */
        {"1\t0/5\ty\n2\t0/7\ty\nrest", "line 'rest'"}, /* torn */
        {"\xFF\xFE\x01", "line"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct pg_history history = {.count = 77};
        struct error err = {0};
        assert_int_equal(pg_history_parse(3, span_str(bad[i].text), &history, &err), ERR_CORRUPT);
        assert_int_equal(history.count, 77);
        if (strstr(err.text, bad[i].words) == NULL ||
            strstr(err.text, "history of timeline 3") == NULL) {
            fail_msg("no '%s' in '%s'", bad[i].words, err.text);
        }
        assert_int_equal(pg_history_parse(3, span_str(bad[i].text), &history, NULL), ERR_CORRUPT);
    }
}

static void only_the_first_timeline_has_no_parent(void **state)
{
    struct pg_history history = {0};
    struct error err = {0};
    (void)state;
    assert_int_equal(pg_history_parse(0, span_str(""), &history, &err), ERR_CORRUPT);
    assert_int_equal(pg_history_parse(1, span_str("\n# none\n"), &history, &err), 0);
    assert_int_equal(history.count, 0);
    pg_history_free(&history);
    assert_int_equal(pg_history_parse(1, span_str("1\t0/1\tx\n"), &history, &err), ERR_CORRUPT);
    assert_int_equal(pg_history_parse(UINT32_MAX, span_str("4294967294\t0/1\tx\n"), &history, &err),
                     0);
    pg_history_free(&history);
}

/* A file system that lost the tail of a file gives zeros: parents may be missing. */
static void a_history_with_zero_bytes_is_refused(void **state)
{
    static const char text[] = "1\t0/5000000\tx\n";
    char torn[sizeof text];
    (void)state;
    for (size_t at = 0; at < sizeof text; at++) {
        struct pg_history history = {0};
        struct error err = {0};
        memcpy(torn, text, sizeof text);
        torn[at] = '\0';
        assert_int_equal(pg_history_parse(2, span_of(torn, sizeof torn), &history, &err),
                         ERR_CORRUPT);
        assert_string_equal(err.text, "history of timeline 2: has zero bytes");
    }
}

static void a_history_may_be_long_but_not_without_end(void **state)
{
    struct buf text = BUF_INIT;
    struct pg_history history = {0};
    struct error err = {0};
    uint64_t lsn = 0;
    (void)state;
    for (unsigned i = 1; i <= PG_HISTORY_MAX; i++) {
        buf_printf(&text, "%u\t0/%X\tx\n", i, i);
    }
    assert_int_equal(pg_history_parse(5000, buf_span(&text), &history, &err), 0);
    assert_int_equal(history.count, PG_HISTORY_MAX);
    assert_true(pg_history_switch_lsn(&history, PG_HISTORY_MAX, &lsn));
    assert_int_equal(lsn, PG_HISTORY_MAX);
    pg_history_free(&history);
    buf_put_str(&text, "2000\t0/2000\tx\n");
    assert_int_equal(pg_history_parse(5000, buf_span(&text), &history, &err), ERR_LIMIT);
    assert_non_null(strstr(err.text, "more than 1024 lines"));

    buf_clear(&text);
    buf_put_str(&text, "1\t0/1\t");
    while (text.len < PG_HISTORY_BYTES_MAX) {
        buf_put_u8(&text, 'x');
    }
    assert_int_equal(pg_history_parse(2, buf_span(&text), &history, &err), 0);
    assert_int_equal(history.count, 1);
    pg_history_free(&history);
    buf_put_u8(&text, 'x');
    assert_int_equal(pg_history_parse(2, buf_span(&text), &history, &err), ERR_LIMIT);
    assert_non_null(strstr(err.text, "262145 bytes, at most 262144"));
    buf_free(&text);
}

/* --- the position of a directory that does not run -------------------------------------------- */

static void the_state_of_the_control_file_says_who_wrote_last(void **state)
{
    static const struct {
        enum pg_control_state state;
        bool was_primary;
        bool clean;
        bool in_recovery;
    } rows[] = {
        {PG_CONTROL_UNKNOWN, true, false, false},
        {PG_CONTROL_STARTING_UP, true, false, false},
        {PG_CONTROL_SHUT_DOWN, true, true, false},
        {PG_CONTROL_SHUT_DOWN_IN_RECOVERY, false, true, true},
        {PG_CONTROL_SHUTTING_DOWN, true, false, false},
        {PG_CONTROL_IN_CRASH_RECOVERY, true, false, false},
        {PG_CONTROL_IN_ARCHIVE_RECOVERY, false, false, true},
        {PG_CONTROL_IN_PRODUCTION, true, false, false},
    };
    (void)state;
    assert_int_equal(sizeof rows / sizeof rows[0], PG_CONTROL_IN_PRODUCTION + 1);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct pg_control control = {.state = rows[i].state,
                                     .timeline = 2,
                                     .checkpoint_lsn = 1000,
                                     .min_recovery_lsn = 3000,
                                     .min_recovery_timeline = 3};
        struct pg_local_position position = pg_local_position_of(&control);
        assert_int_equal(position.was_primary, rows[i].was_primary);
        assert_int_equal(position.clean, rows[i].clean);
        assert_int_equal(position.lsn, rows[i].in_recovery ? 3000 : 1000);
        assert_int_equal(position.timeline, rows[i].in_recovery ? 3 : 2);

        control.min_recovery_lsn = 0;
        control.min_recovery_timeline = 0;
        position = pg_local_position_of(&control);
        assert_int_equal(position.lsn, 1000);
        assert_int_equal(position.timeline, 2);
        assert_true(
            position.was_primary); /* nothing was replayed: a primary's checkpoint is last */
        assert_int_equal(position.clean, rows[i].clean || rows[i].in_recovery);
    }
}

/* --- divergence ------------------------------------------------------------------------------- */

static struct pg_history history_of_two(uint64_t left_1_at)
{
    static struct pg_history_entry entries[1];
    entries[0] = (struct pg_history_entry){.timeline = 1, .switch_lsn = left_1_at};
    return (struct pg_history){.timeline = 2, .count = 1, .entries = entries};
}

/* Every kind of local state at every side of the switch point, of timelines 1 (ancestor), 2 (the
 * primary's own) and 3 (later); what is decided is written down again, in one line. */
static void divergence_is_decided_over_the_whole_small_space(void **state)
{
    struct pg_history history = history_of_two(1000);
    (void)state;
    for (unsigned i = 0; i < 3U * 5 * 2 * 2; i++) {
        struct pg_local_position local = {.timeline = i % 3 + 1,
                                          .lsn = 998 + i / 3 % 5,
                                          .was_primary = i / 15 % 2 == 1,
                                          .clean = i / 30 == 1};
        char reason[PG_VALUE_BYTES] = "";
        bool follows = local.timeline == 2 ||
                       (local.timeline == 1 &&
                        (local.was_primary ? local.clean && local.lsn < 1000 : local.lsn <= 1000));
        enum pg_divergence expected = follows ? PG_DIVERGENCE_NONE : PG_DIVERGENCE_REWIND;
        assert_int_equal(pg_divergence_decide(&local, 2, &history, reason), expected);
        assert_int_equal(pg_divergence_decide(&local, 2, &history, NULL), expected);
        assert_int_not_equal(strlen(reason), 0);
    }
}

static void without_a_fact_nothing_is_decided(void **state)
{
    struct pg_history history = history_of_two(1000);
    struct pg_history other = {.timeline = 3, .count = 1, .entries = history.entries};
    struct pg_local_position known = {.timeline = 1, .lsn = 900};
    struct pg_local_position no_timeline = {.lsn = 900};
    struct pg_local_position no_lsn = {.timeline = 1};
    char reason[PG_VALUE_BYTES];
    (void)state;
    assert_int_equal(pg_divergence_decide(&no_timeline, 2, &history, reason),
                     PG_DIVERGENCE_UNKNOWN);
    assert_non_null(strstr(reason, "not known"));
    assert_int_equal(pg_divergence_decide(&no_lsn, 2, &history, reason), PG_DIVERGENCE_UNKNOWN);
    assert_int_equal(pg_divergence_decide(&known, 0, &history, reason), PG_DIVERGENCE_UNKNOWN);
    assert_int_equal(pg_divergence_decide(&known, 2, NULL, reason), PG_DIVERGENCE_UNKNOWN);
    assert_string_equal(reason, "the history of timeline 2 is not known");
    assert_int_equal(pg_divergence_decide(&known, 2, &other, reason), PG_DIVERGENCE_UNKNOWN);
    assert_int_equal(pg_divergence_decide(&known, 2, &history, reason), PG_DIVERGENCE_NONE);
}

static void the_reason_says_where_both_were(void **state)
{
    struct pg_history history = history_of_two(UINT64_C(0x100000000));
    char reason[PG_VALUE_BYTES];
    struct pg_local_position local = {.timeline = 1, .lsn = 0x5000};
    (void)state;
    (void)pg_divergence_decide(&local, 2, &history, reason);
    assert_string_equal(reason, "at 0/5000 on timeline 1, before the primary left it at 1/0");
    local.lsn = UINT64_C(0x100000001);
    (void)pg_divergence_decide(&local, 2, &history, reason);
    assert_string_equal(reason, "at 1/1 on timeline 1, which the primary left at 1/0");
    local.was_primary = true;
    (void)pg_divergence_decide(&local, 2, &history, reason);
    assert_string_equal(
        reason, "was a primary on timeline 1 and was not shut down; the primary left it at 1/0");
    local.timeline = 3;
    (void)pg_divergence_decide(&local, 2, &history, reason);
    assert_string_equal(reason, "on timeline 3, the primary on the older 2");
    local.timeline = 2;
    (void)pg_divergence_decide(&local, 2, &history, reason);
    assert_string_equal(reason, "on the primary's timeline 2");
}

/* Timeline 2 was promoted by somebody else and left out: the primary went from 1 to 3. */
static void a_timeline_that_the_primary_never_had_is_rewound(void **state)
{
    struct pg_history history = history_of_two(1000);
    struct pg_local_position local = {.timeline = 2, .lsn = 10};
    char reason[PG_VALUE_BYTES];
    (void)state;
    history.timeline = 3;
    assert_int_equal(pg_divergence_decide(&local, 3, &history, reason), PG_DIVERGENCE_REWIND);
    assert_string_equal(reason, "timeline 2 is no ancestor of the primary's 3");
}

/* A standby cannot be ahead of its own primary, unless that one's disk has forgotten. */
static void wal_that_the_primary_has_lost_is_known_by_its_position(void **state)
{
    (void)state;
    static const struct {
        struct pg_local_position local;
        uint32_t timeline;
        uint64_t lsn;
        bool lost;
    } cases[] = {
        {{.timeline = 2, .lsn = 501}, 2, 500, true},
        {{.timeline = 2, .lsn = 500}, 2, 500, false},
        {{.timeline = 2, .lsn = 499}, 2, 500, false},
        {{.timeline = 1, .lsn = 501}, 2, 500, false}, /* that is for the histories to say */
        {{.timeline = 3, .lsn = 501}, 2, 500, false},
        {{.timeline = 2, .lsn = 501, .was_primary = true}, 2, 500, false},
        {{.timeline = 2, .lsn = 501}, 2, 0, false}, /* it has not said where it is */
        {{.timeline = 0, .lsn = 501}, 0, 500, false},
        {{.timeline = 2, .lsn = 0}, 2, 500, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char reason[PG_VALUE_BYTES] = "";
        bool lost = pg_divergence_is_lost(&cases[i].local, cases[i].timeline, cases[i].lsn, reason);
        assert_int_equal(lost, cases[i].lost);
        assert_string_equal(
            reason,
            lost ? "at 0/1F5 on the primary's timeline 2, and the primary is only at 0/1F4" : "");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_history_tells_where_each_timeline_was_left),
        cmocka_unit_test(a_timeline_was_left_at_the_lowest_point_of_all_that_follow),
        cmocka_unit_test(a_history_that_cannot_be_is_refused_with_its_line),
        cmocka_unit_test(only_the_first_timeline_has_no_parent),
        cmocka_unit_test(a_history_with_zero_bytes_is_refused),
        cmocka_unit_test(a_history_may_be_long_but_not_without_end),
        cmocka_unit_test(the_state_of_the_control_file_says_who_wrote_last),
        cmocka_unit_test(divergence_is_decided_over_the_whole_small_space),
        cmocka_unit_test(without_a_fact_nothing_is_decided),
        cmocka_unit_test(the_reason_says_where_both_were),
        cmocka_unit_test(a_timeline_that_the_primary_never_had_is_rewound),
        cmocka_unit_test(wal_that_the_primary_has_lost_is_known_by_its_position),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
