/* What becomes of a logical slot, and whether a copy of one is whole: exact, without a server. */
#include "pgctl/pg_parse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* --- what is to become of one ----------------------------------------------------------------- */

static struct pg_slot slot;
static struct pg_logical_wish wish;
static struct pg_logical_here here;
static uint64_t lsn;

static void all_is_well(enum pg_role role, int major)
{
    slot = (struct pg_slot){.name = "app",
                            .database = "shop",
                            .plugin = "test_decoding",
                            .restart_lsn = 900,
                            .confirmed_lsn = 1000,
                            .catalog_xmin = 700,
                            .wal_status = "reserved",
                            .failover = major >= 17,
                            .synced = major >= 17 && role == PG_STANDBY};
    wish = (struct pg_logical_wish){
        .name = "app", .database = "shop", .plugin = "test_decoding", .lsn = 1000};
    here = (struct pg_logical_here){.role = role, .major = major, .decodes = true, .own_lsn = 5000};
}

static enum pg_logical_next next(void)
{
    lsn = 0;
    return pg_logical_next(&slot, &wish, &here, &lsn);
}

static enum pg_logical_next next_without(void)
{
    return pg_logical_next(NULL, &wish, &here, &lsn);
}

static void the_primary_makes_what_is_missing_if_it_can(void **state)
{
    (void)state;
    for (int major = 13; major <= 17; major++) {
        all_is_well(PG_PRIMARY, major);
        assert_int_equal(next(), PG_LOGICAL_STAYS);
        assert_int_equal(next_without(), PG_LOGICAL_MAKE);
        wish.lsn = 0;
        assert_int_equal(next_without(), PG_LOGICAL_MAKE);
        here.decodes = false;
        assert_int_equal(next_without(), PG_LOGICAL_STAYS);
        wish.lsn = 9000; /* its consumer alone moves it on */
        assert_int_equal(next(), PG_LOGICAL_STAYS);
    }
}

/* Each way in which a slot is of no use. */
static void spoil(int how)
{
    switch (how) {
    case 0: memcpy(slot.wal_status, "lost", 5); break;
    case 1: slot.invalid = true; break;
    case 2: slot.restart_lsn = 0; break;
    case 3: memcpy(slot.database, "other", 6); break;
    case 4: memcpy(slot.plugin, "pgoutput", 9); break;
    default: slot.physical = true; break;
    }
}
enum { SPOILS = 6 };

static void the_primary_makes_anew_what_cannot_be_used(void **state)
{
    (void)state;
    for (int how = 0; how < SPOILS; how++) {
        all_is_well(PG_PRIMARY, 15);
        spoil(how);
        assert_int_equal(next(), PG_LOGICAL_REMAKE);
        slot.active = true;
        assert_int_equal(next(), PG_LOGICAL_STAYS);
        slot.active = false;
        here.decodes = false;
        assert_int_equal(next(), PG_LOGICAL_STAYS);
    }
    all_is_well(PG_PRIMARY, 15);
    wish.unsafe = true;
    assert_int_equal(next(), PG_LOGICAL_REMAKE);
    slot.active = true;
    assert_int_equal(next(), PG_LOGICAL_STAYS);
}

static void from_17_on_the_server_is_told_to_copy_it(void **state)
{
    (void)state;
    all_is_well(PG_PRIMARY, 17);
    slot.failover = false;
    assert_int_equal(next(), PG_LOGICAL_FAILOVER);
    slot.active = true;
    assert_int_equal(next(), PG_LOGICAL_STAYS);
    all_is_well(PG_PRIMARY, 16);
    assert_int_equal(next(), PG_LOGICAL_STAYS);
}

static void a_standby_copies_what_the_primary_is_known_to_have(void **state)
{
    (void)state;
    for (int major = 13; major <= 16; major++) {
        all_is_well(PG_STANDBY, major);
        assert_int_equal(next_without(), PG_LOGICAL_COPY);
        wish.lsn = 0;
        assert_int_equal(next_without(), PG_LOGICAL_STAYS);
        for (int how = 0; how < SPOILS; how++) {
            all_is_well(PG_STANDBY, major);
            spoil(how);
            assert_int_equal(next(), PG_LOGICAL_DROP);
            slot.active = true;
            assert_int_equal(next(), PG_LOGICAL_STAYS);
        }
    }
}

static void a_copy_is_moved_on_and_never_further_than_replay(void **state)
{
    (void)state;
    all_is_well(PG_STANDBY, 15);
    assert_int_equal(next(), PG_LOGICAL_STAYS);
    wish.lsn = 1001;
    assert_int_equal(next(), PG_LOGICAL_ADVANCE);
    assert_int_equal(lsn, 1001);
    wish.lsn = UINT64_MAX;
    assert_int_equal(next(), PG_LOGICAL_ADVANCE);
    assert_int_equal(lsn, 5000);
    here.own_lsn = 1000;
    assert_int_equal(next(), PG_LOGICAL_STAYS);
    wish.lsn = 0;
    assert_int_equal(next(), PG_LOGICAL_STAYS);
}

/* One that was made here, by a primary of before, is in the way of the server's own. */
static void from_17_on_a_standby_has_only_what_the_server_made(void **state)
{
    (void)state;
    all_is_well(PG_STANDBY, 17);
    wish.lsn = 4000;
    assert_int_equal(next(), PG_LOGICAL_STAYS);
    assert_int_equal(next_without(), PG_LOGICAL_STAYS);
    slot.synced = false;
    assert_int_equal(next(), PG_LOGICAL_DROP);
    slot.active = true;
    assert_int_equal(next(), PG_LOGICAL_STAYS);
}

static void transactions_count_in_a_circle(void **state)
{
    (void)state;
    assert_true(pg_xid_before(700, 701));
    assert_false(pg_xid_before(701, 701));
    assert_false(pg_xid_before(702, 701));
    assert_true(pg_xid_before(4294967290U, 5));
    assert_false(pg_xid_before(5, 4294967290U));
}

/* --- the state file --------------------------------------------------------------------------- */

/* As PostgreSQL 15 begins one: test_pg_logical.c has real ones. */
static const uint8_t head[104] = {0xa1, 0x1c, 0x05, 0x01, 0, 0, 0,   0,   3,  0,
                                  0,    0,    184,  0,    0, 0, 'a', 'p', 'p'};

static uint8_t file[200];

static uint32_t crc32c_by_table(const uint8_t *bytes, size_t len)
{
    static uint32_t table[256];
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t value = i;
        for (int bit = 0; bit < 8; bit++) {
            value = (value & 1) != 0 ? value >> 1 ^ 0x82F63B78 : value >> 1;
        }
        table[i] = value;
    }
    uint32_t crc = 0xFFFFFFFF;
    while (len-- > 0) {
        crc = crc >> 8 ^ table[(crc ^ *bytes++) & 0xFF];
    }
    return crc ^ 0xFFFFFFFF;
}

static void sum(void)
{
    uint32_t crc = crc32c_by_table(file + 8, sizeof file - 8);
    memcpy(file + 4, &crc, sizeof crc);
}

static void file_make(void)
{
    uint32_t xmin = 733;
    uint64_t restart = 0x1531C38;
    memset(file, 0, sizeof file);
    memcpy(file, head, sizeof head);
    memcpy(file + 92, &xmin, sizeof xmin);
    memcpy(file + 96, &restart, sizeof restart);
    sum();
}

static void refused(size_t len, const char *name, const char *words)
{
    struct pg_slot_file found = {.catalog_xmin = 1};
    struct error err = {0};
    assert_int_equal(pg_slot_file_read(span_of(file, len), name, &found, &err), ERR_CORRUPT);
    if (strstr(err.text, words) == NULL) {
        fail_msg("'%s' does not say '%s'", err.text, words);
    }
    assert_int_equal(found.catalog_xmin, 1);
}

static void a_whole_state_file_is_read(void **state)
{
    struct pg_slot_file found;
    struct error err = {0};
    (void)state;
    file_make();
    /* The check value of CRC-32C in the literature. */
    assert_int_equal(crc32c_by_table((const uint8_t *)"123456789", 9), 0xE3069283);
    assert_int_equal(pg_slot_file_read(span_of(file, sizeof file), "app", &found, &err), 0);
    assert_int_equal(found.catalog_xmin, 733);
    assert_int_equal(found.restart_lsn, 0x1531C38);
}

static void every_damaged_byte_and_every_cut_is_seen(void **state)
{
    struct pg_slot_file found;
    (void)state;
    file_make();
    for (size_t i = 0; i < sizeof file; i++) {
        file[i] ^= 0x10;
        assert_int_equal(pg_slot_file_read(span_of(file, sizeof file), "app", &found, NULL),
                         ERR_CORRUPT);
        file[i] ^= 0x10;
        assert_int_equal(pg_slot_file_read(span_of(file, i), "app", &found, NULL), ERR_CORRUPT);
    }
    file[150] ^= 1;
    refused(sizeof file, "app", "its checksum is wrong");
    refused(sizeof file - 1, "app", "it is cut");
    refused(3, "app", "it is none");
}

static void what_is_not_that_slot_is_refused(void **state)
{
    uint32_t zero = 0;
    uint32_t temporary = 2;
    (void)state;
    file_make();
    refused(sizeof file, "ap", "it is another slot's");
    refused(sizeof file, "apps", "it is another slot's");
    memcpy(file + 84, &temporary, sizeof temporary);
    sum();
    refused(sizeof file, "app", "the slot is not finished");
    file_make();
    memcpy(file + 92, &zero, sizeof zero);
    sum();
    refused(sizeof file, "app", "the slot holds nothing");
    file_make();
    memset(file + 96, 0, 8);
    sum();
    refused(sizeof file, "app", "the slot holds nothing");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_primary_makes_what_is_missing_if_it_can),
        cmocka_unit_test(the_primary_makes_anew_what_cannot_be_used),
        cmocka_unit_test(from_17_on_the_server_is_told_to_copy_it),
        cmocka_unit_test(a_standby_copies_what_the_primary_is_known_to_have),
        cmocka_unit_test(a_copy_is_moved_on_and_never_further_than_replay),
        cmocka_unit_test(from_17_on_a_standby_has_only_what_the_server_made),
        cmocka_unit_test(transactions_count_in_a_circle),
        cmocka_unit_test(a_whole_state_file_is_read),
        cmocka_unit_test(every_damaged_byte_and_every_cut_is_seen),
        cmocka_unit_test(what_is_not_that_slot_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
