/* What is said of a disk, and what follows from it. */
#include "pgctl/pg_disk.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define MIB ((uint64_t)1 << 20)

static const struct pg_disk_limits limits = {.stall_ms = 1000, .free_bytes_min = 32 * MIB};
static struct pg_disk_state state;
static int64_t now;

static bool parse(const char *line, struct pg_disk_place *ret_place)
{
    return pg_disk_line_parse(span_of(line, strlen(line)), ret_place);
}

static void a_line_is_read_whole_or_not_at_all(void **unused)
{
    static const char *const bad[] = {
        "",
        "end",
        "data directory: 0 5",
        "data directory: 0 5 6 7",
        ": 0 5 6",
        "+: 0 5 6",
        "data directory: x 5 6",
        "data directory: 0 -5 6",
        "a b c",
        "\n",
        "data directory 0 5 6",
        "data directory: 0 5 6 ",
        "a name that is longer than any name of a place can be: 0 5 6",
    };
    struct pg_disk_place place;
    (void)unused;
    assert_true(parse("data directory: 28 5 6", &place));
    assert_string_equal(place.name, "data directory");
    assert_true(place.instance);
    assert_int_equal(place.errno_value, 28);
    assert_int_equal(place.busy_ms, 5);
    assert_int_equal(place.free_bytes, 6);
    assert_true(parse("+Raft directory: 0 0 18446744073709551615", &place));
    assert_string_equal(place.name, "Raft directory");
    assert_false(place.instance);
    assert_true(place.free_bytes == UINT64_MAX);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        memset(&place, 7, sizeof place);
        assert_false(parse(bad[i], &place));
        assert_int_equal(place.busy_ms, 0x0707070707070707); /* nothing was set */
    }
    assert_false(pg_disk_line_parse(span_of("a\0: 0 5 6", 9), &place));
}

/* The kind after one more report. */
static enum pg_disk_kind after(int errno_value, int64_t busy_ms, uint64_t free_bytes)
{
    struct pg_disk_state report = {.count = 1};
    report.places[0] = (struct pg_disk_place){.name = "pg_wal",
                                              .instance = true,
                                              .errno_value = errno_value,
                                              .busy_ms = busy_ms,
                                              .free_bytes = free_bytes};
    now += 500;
    pg_disk_judge(&limits, &state, now, &report);
    state = report;
    return state.places[0].kind;
}

static void begin(void)
{
    memset(&state, 0, sizeof state);
    now = 100000;
}

static void only_what_is_the_disks_counts_against_it(void **unused)
{
    (void)unused;
    begin();
    assert_int_equal(after(0, 0, 100 * MIB), PG_DISK_GOOD);
    assert_int_equal(after(ENOSPC, 0, 100 * MIB), PG_DISK_FULL);
    assert_int_equal(after(EDQUOT, 0, 100 * MIB), PG_DISK_FULL);
    assert_int_equal(after(EROFS, 0, 100 * MIB), PG_DISK_READ_ONLY);
    static const int failed[] = {EIO,       ENXIO,  ENODEV,   EBADMSG,  EUCLEAN,
                                 EREMOTEIO, ESTALE, ENOTCONN, ETIMEDOUT};
    for (size_t i = 0; i < sizeof failed / sizeof failed[0]; i++) {
        assert_int_equal(after(failed[i], 0, 100 * MIB), PG_DISK_FAILED);
    }
    assert_int_equal(after(ENOENT, 0, 100 * MIB), PG_DISK_UNKNOWN);
    assert_int_equal(after(EACCES, 0, 100 * MIB), PG_DISK_UNKNOWN);
    assert_int_equal(after(EMFILE, 0, 100 * MIB), PG_DISK_UNKNOWN);
    assert_int_equal(after(EINPROGRESS, 999, 0), PG_DISK_UNKNOWN); /* not tried yet */
    assert_int_equal(after(EINPROGRESS, 1000, 0), PG_DISK_STALLED);
}

static void a_write_that_does_not_come_back_is_a_stall_since_it_began(void **unused)
{
    (void)unused;
    begin();
    assert_int_equal(after(0, 999, 100 * MIB), PG_DISK_GOOD);
    assert_int_equal(after(0, 1499, 100 * MIB), PG_DISK_STALLED);
    int64_t since_ms = now - 1499;
    assert_int_equal(state.places[0].since_ms, since_ms);
    assert_int_equal(after(0, 1999, 100 * MIB), PG_DISK_STALLED);
    assert_int_equal(state.places[0].since_ms, since_ms);
    assert_int_equal(after(0, 0, 100 * MIB), PG_DISK_GOOD);
    assert_int_equal(state.places[0].since_ms, now);
}

static void low_space_is_over_only_well_above_the_limit(void **unused)
{
    (void)unused;
    begin();
    assert_int_equal(after(0, 0, 32 * MIB), PG_DISK_GOOD);
    assert_int_equal(after(0, 0, 32 * MIB - 1), PG_DISK_LOW);
    assert_int_equal(after(0, 0, 64 * MIB - 1), PG_DISK_LOW);
    assert_int_equal(after(ENOSPC, 0, 0), PG_DISK_FULL);
    assert_int_equal(after(0, 0, 40 * MIB), PG_DISK_LOW);
    assert_int_equal(after(0, 0, 64 * MIB), PG_DISK_GOOD);
    assert_int_equal(after(0, 0, 40 * MIB), PG_DISK_GOOD);
}

static void the_worst_of_the_instances_places_counts(void **unused)
{
    struct pg_disk_state all = {.count = 3};
    (void)unused;
    assert_null(pg_disk_worst(&(struct pg_disk_state){0}));
    all.places[0] = (struct pg_disk_place){"data directory", true, PG_DISK_LOW, 0, 0, 0, 0};
    all.places[1] = (struct pg_disk_place){"Raft directory", false, PG_DISK_FAILED, 0, 0, 0, 0};
    all.places[2] = (struct pg_disk_place){"pg_wal", true, PG_DISK_STALLED, 0, 0, 0, 0};
    assert_string_equal(pg_disk_worst(&all)->name, "pg_wal");
    all.places[2].kind = PG_DISK_GOOD;
    assert_string_equal(pg_disk_worst(&all)->name, "data directory");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_is_read_whole_or_not_at_all),
        cmocka_unit_test(only_what_is_the_disks_counts_against_it),
        cmocka_unit_test(a_write_that_does_not_come_back_is_a_stall_since_it_began),
        cmocka_unit_test(low_space_is_over_only_well_above_the_limit),
        cmocka_unit_test(the_worst_of_the_instances_places_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
