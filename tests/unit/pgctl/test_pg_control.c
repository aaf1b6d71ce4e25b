/* What pg_controldata prints, of every version that we work with, damaged in every way. */
#include "base/buf.h"
#include "base/mem.h"
#include "pgctl/pg_parse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Labels and their order are the same from 13 to 17; the catalog's number is the version's. */
static const char sample[] =
    "pg_control version number:            1300\n"
    "Catalog version number:               %s\n"
    "Database system identifier:           7711826381810740262\n"
    "Database cluster state:               in archive recovery\n"
    "pg_control last modified:             Tue Nov 24 19:45:01 2026\n"
    "Latest checkpoint location:           2/1500718\n"
    "Latest checkpoint's REDO location:    2/15006E0\n"
    "Latest checkpoint's REDO WAL file:    000000050000000200000001\n"
    "Latest checkpoint's TimeLineID:       5\n"
    "Latest checkpoint's PrevTimeLineID:   4\n"
    "Latest checkpoint's full_page_writes: on\n"
    "Latest checkpoint's NextXID:          0:724\n"
    "Latest checkpoint's NextOID:          13572\n"
    "Latest checkpoint's NextMultiXactId:  1\n"
    "Latest checkpoint's NextMultiOffset:  0\n"
    "Latest checkpoint's oldestXID:        716\n"
    "Latest checkpoint's oldestXID's DB:   1\n"
    "Latest checkpoint's oldestActiveXID:  0\n"
    "Latest checkpoint's oldestMultiXid:   1\n"
    "Latest checkpoint's oldestMulti's DB: 1\n"
    "Latest checkpoint's oldestCommitTsXid:0\n"
    "Latest checkpoint's newestCommitTsXid:0\n"
    "Time of latest checkpoint:            Tue Nov 24 19:45:01 2026\n"
    "Fake LSN counter for unlogged rels:   0/3E8\n"
    "Minimum recovery ending location:     2/1500790\n"
    "Min recovery ending loc's timeline:   6\n"
    "Backup start location:                0/0\n"
    "Backup end location:                  0/0\n"
    "End-of-backup record required:        no\n"
    "wal_level setting:                    replica\n"
    "wal_log_hints setting:                on\n"
    "max_connections setting:              101\n"
    "max_worker_processes setting:         9\n"
    "max_wal_senders setting:              11\n"
    "max_prepared_xacts setting:           1\n"
    "max_locks_per_xact setting:           65\n"
    "track_commit_timestamp setting:       off\n"
    "Maximum data alignment:               8\n"
    "Database block size:                  8192\n"
    "Blocks per segment of large relation: 131072\n"
    "WAL block size:                       8192\n"
    "Bytes per WAL segment:                16777216\n"
    "Maximum length of identifiers:        64\n"
    "Maximum columns in an index:          32\n"
    "Maximum size of a TOAST chunk:        1996\n"
    "Size of a large-object chunk:         2048\n"
    "Date/time type storage:               64-bit integers\n"
    "Float8 argument passing:              by value\n"
    "Data page checksum version:           1\n"
    "Mock authentication nonce:            851b87ee11348fe1eb5f16118791ef6ac60a3b23\n";

/* The labels that matter, each with where it stands. */
static const char *const needed[] = {
    "Database system identifier",
    "Database cluster state",
    "Latest checkpoint location",
    "Latest checkpoint's REDO location",
    "Latest checkpoint's TimeLineID",
    "Latest checkpoint's PrevTimeLineID",
    "Minimum recovery ending location",
    "Min recovery ending loc's timeline",
    "wal_log_hints setting",
    "max_connections setting",
    "max_worker_processes setting",
    "max_wal_senders setting",
    "max_prepared_xacts setting",
    "max_locks_per_xact setting",
    "Bytes per WAL segment",
    "Data page checksum version",
};
#define NEEDED_COUNT (sizeof needed / sizeof needed[0])

static char *of_version(const char *catalog)
{
    return mem_printf(sample, catalog);
}

/* Where the line of `label` begins. */
static char *line_of(char *text, const char *label)
{
    char key[64];
    (void)snprintf(key, sizeof key, "\n%s:", label);
    char *found = strstr(text, key);
    assert_non_null(found);
    return found + 1;
}

/* The sample with another value behind `label`; NULL = without that line. */
static char *with_value(const char *label, const char *value)
{
    char *text = of_version("202209061");
    char *line = line_of(text, label);
    const char *rest = strchr(line, '\n') + 1;
    char *changed = value == NULL ? mem_printf("%.*s%s", (int)(line - text), text, rest)
                                  : mem_printf("%.*s%s:   %s\n%s", (int)(line - text), text, label,
                                               value, rest);
    mem_free(text);
    return changed;
}

static void parsed(const char *text, int expected, const char *words,
                   struct pg_control *ret_control)
{
    struct pg_control untouched = {.timeline = 77};
    struct error err = {0};
    *ret_control = untouched;
    int rc = pg_controldata_parse(span_str(text), ret_control, &err);
    if (rc != expected) {
        fail_msg("%d, not %d: %s", rc, expected, err.text);
    }
    if (rc != 0) {
        assert_memory_equal(ret_control, &untouched, sizeof untouched);
    }
    if (words != NULL && strstr(err.text, words) == NULL) {
        fail_msg("no '%s' in '%s'", words, err.text);
    }
}

static void the_output_of_every_version_is_read_whole(void **state)
{
    static const char *const catalogs[] = {"202007201", "202107181", "202209061", "202307071",
                                           "202406281"};
    (void)state;
    for (size_t i = 0; i < sizeof catalogs / sizeof catalogs[0]; i++) {
        char *text = of_version(catalogs[i]);
        struct pg_control control;
        parsed(text, 0, NULL, &control);
        assert_int_equal(control.system_identifier, UINT64_C(7711826381810740262));
        assert_int_equal(control.state, PG_CONTROL_IN_ARCHIVE_RECOVERY);
        assert_int_equal(control.checkpoint_lsn, UINT64_C(0x201500718));
        assert_int_equal(control.redo_lsn, UINT64_C(0x2015006E0));
        assert_int_equal(control.timeline, 5);
        assert_int_equal(control.prev_timeline, 4);
        assert_int_equal(control.min_recovery_lsn, UINT64_C(0x201500790));
        assert_int_equal(control.min_recovery_timeline, 6);
        assert_true(control.wal_log_hints);
        assert_int_equal(control.max_connections, 101);
        assert_int_equal(control.max_worker_processes, 9);
        assert_int_equal(control.max_wal_senders, 11);
        assert_int_equal(control.max_prepared_transactions, 1);
        assert_int_equal(control.max_locks_per_transaction, 65);
        assert_int_equal(control.wal_segment_bytes, 16777216);
        assert_true(control.data_checksums);
        mem_free(text);
    }
}

static void every_state_is_known_by_its_name(void **state)
{
    struct pg_control control;
    (void)state;
    for (enum pg_control_state s = PG_CONTROL_STARTING_UP; s <= PG_CONTROL_IN_PRODUCTION; s++) {
        char *text = with_value("Database cluster state", pg_control_state_name(s));
        parsed(text, 0, NULL, &control);
        assert_int_equal(control.state, s);
        mem_free(text);
    }
    assert_string_equal(pg_control_state_name(PG_CONTROL_UNKNOWN), "unknown");
    assert_string_equal(
        pg_control_state_name((enum pg_control_state)(PG_CONTROL_IN_PRODUCTION + 1)), "unknown");
    static const char *const bad[] = {
        "unknown",       "unrecognized status code", "",
        "In production", "in productions",           "heruntergefahren"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char *text = with_value("Database cluster state", bad[i]);
        parsed(text, ERR_CORRUPT, "'Database cluster state' is '", &control);
        mem_free(text);
    }
}

static void an_output_without_a_line_that_matters_is_refused_by_its_name(void **state)
{
    struct pg_control control;
    (void)state;
    for (size_t i = 0; i < NEEDED_COUNT; i++) {
        char words[80];
        char *text = with_value(needed[i], NULL);
        (void)snprintf(words, sizeof words, "printed no '%s'", needed[i]);
        parsed(text, ERR_CORRUPT, words, &control);
        mem_free(text);
    }
    parsed("", ERR_CORRUPT, "printed no 'Database system identifier'", &control);
}

/* The output cut at every byte: never taken for whole before the last line that matters is. A cut
 * within that line's value is a shorter value: "1" of "1", which is nothing to be lost. */
static void an_output_that_was_cut_is_refused(void **state)
{
    char *text = of_version("202209061");
    char *last = line_of(text, "Data page checksum version");
    size_t whole = (size_t)(strchr(last, '\n') - text);
    (void)state;
    for (size_t len = 0; len <= strlen(text); len++) {
        struct pg_control control;
        struct error err = {0};
        int rc = pg_controldata_parse(span_of(text, len), &control, &err);
        assert_int_equal(rc, len < whole ? ERR_CORRUPT : 0);
    }
    mem_free(text);
}

/* Each line that matters with values that cannot be there. */
static void a_value_that_cannot_be_is_refused_with_its_line(void **state)
{
    static const char *const never[] = {"",
                                        "-1",
                                        "x",
                                        "1x",
                                        "0x1",
                                        "1 2",
                                        "1.5",
                                        " ",
                                        "+1",
                                        "on off",
                                        "0/0/0",
                                        "18446744073709551616",
                                        "99999999999999999999999999",
                                        "\xC3\xA4",
                                        "Off"};
    struct pg_control control;
    (void)state;
    for (size_t i = 0; i < NEEDED_COUNT; i++) {
        for (size_t k = 0; k < sizeof never / sizeof never[0]; k++) {
            char words[80];
            char *text = with_value(needed[i], never[k]);
            (void)snprintf(words, sizeof words, "'%s' is '", needed[i]);
            parsed(text, ERR_CORRUPT, words, &control);
            mem_free(text);
        }
    }
}

static void numbers_have_the_bounds_of_what_they_count(void **state)
{
    static const struct {
        const char *label;
        const char *value;
        int rc;
    } rows[] = {
        {"Database system identifier", "18446744073709551615", 0},
        {"Latest checkpoint's TimeLineID", "4294967295", 0},
        {"Latest checkpoint's TimeLineID", "4294967296", ERR_CORRUPT},
        {"max_connections setting", "2147483647", 0},
        {"max_connections setting", "2147483648", ERR_CORRUPT},
        {"max_prepared_xacts setting", "0", 0},
        {"Data page checksum version", "4294967295", 0},
        {"Data page checksum version", "4294967296", ERR_CORRUPT},
        {"Minimum recovery ending location", "0/0", 0},
        {"Minimum recovery ending location", "FFFFFFFF/FFFFFFFF", 0},
        {"Minimum recovery ending location", "100000000/0", ERR_CORRUPT},
        {"wal_log_hints setting", "off", 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct pg_control control;
        char *text = with_value(rows[i].label, rows[i].value);
        parsed(text, rows[i].rc, NULL, &control);
        mem_free(text);
    }
    struct pg_control control;
    char *text = with_value("Data page checksum version", "0");
    parsed(text, 0, NULL, &control);
    assert_false(control.data_checksums);
    mem_free(text);
    text = with_value("wal_log_hints setting", "off");
    parsed(text, 0, NULL, &control);
    assert_false(control.wal_log_hints);
    mem_free(text);
}

static void an_instance_without_identifier_or_timeline_cannot_be(void **state)
{
    static const char *const labels[] = {"Database system identifier",
                                         "Latest checkpoint's TimeLineID"};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct pg_control control;
        char *text = with_value(labels[i], "0");
        parsed(text, ERR_CORRUPT, "system identifier or timeline is 0", &control);
        mem_free(text);
    }
}

/* A damaged file is printed all the same, with exit status 0; only the warning tells. The first is
 * what 13 to 16 print, the second what 17 does. */
static void a_file_that_pg_controldata_does_not_trust_is_not_believed(void **state)
{
    static const char *const warnings[] = {
        "WARNING: Calculated CRC checksum does not match value stored in file.\n"
        "Either the file is corrupt, or it has a different layout than this program\n"
        "is expecting.  The results below are untrustworthy.\n\n",
        "WARNING: invalid WAL segment size\n"
        "The WAL segment size stored in the file, 0 bytes, is not a power of two\n"
        "between 1 MB and 1 GB.  The file is corrupt and the results below are\nuntrustworthy.\n\n",
        "pg_controldata: warning: calculated CRC checksum does not match value stored in control "
        "file\n",
    };
    char *text = of_version("202209061");
    (void)state;
    for (size_t i = 0; i < sizeof warnings / sizeof warnings[0]; i++) {
        struct pg_control control;
        char *before = mem_printf("%s%s", warnings[i], text);
        char *behind = mem_printf("%s%s", text, warnings[i]);
        parsed(before, ERR_CORRUPT, "does not trust the file", &control);
        parsed(behind, ERR_CORRUPT, "does not trust the file", &control);
        mem_free(before);
        mem_free(behind);
    }
    mem_free(text);
}

/* In another language no label is ours. */
static void another_language_is_refused_and_not_guessed(void **state)
{
    static const char *const texts[] = {
        "pg_control-Versionsnummer:                   1300\n"
        "Datenbanksystemidentifikation:               7711826381810740262\n"
        "Datenbank-Cluster-Status:                    heruntergefahren\n"
        "Position des letzten Checkpoints:            0/1500718\n"
        "TimeLineID des letzten Checkpoints:          1\n",
        "Num\xC3\xA9ro de version de pg_control :                       1300\n"
        "Identifiant du syst\xC3\xA8me de base de donn\xC3\xA9"
        "es :             7711826381810740262\n",
    };
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct pg_control control;
        parsed(texts[i], ERR_CORRUPT, "printed no 'Database system identifier'", &control);
    }
}

static void lines_that_are_not_ours_are_passed_over(void **state)
{
    char *text = of_version("202209061");
    struct buf more = BUF_INIT;
    struct pg_control control;
    (void)state;
    buf_put_str(&more, "no colon here\n:\n: value of nothing\n\r\n");
    for (int i = 0; i < 5000; i++) {
        buf_put_str(&more, "x");
    }
    buf_put_str(&more, ": 5\nDatabase system identifiers: 5\ndatabase system identifier: 6\n");
    buf_put_str(&more, text);
    buf_put_str(&more, "Default char data signedness:         signed\n");
    parsed(buf_str(&more), 0, NULL, &control);
    assert_int_equal(control.system_identifier, UINT64_C(7711826381810740262));
    buf_free(&more);
    mem_free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_output_of_every_version_is_read_whole),
        cmocka_unit_test(every_state_is_known_by_its_name),
        cmocka_unit_test(an_output_without_a_line_that_matters_is_refused_by_its_name),
        cmocka_unit_test(an_output_that_was_cut_is_refused),
        cmocka_unit_test(a_value_that_cannot_be_is_refused_with_its_line),
        cmocka_unit_test(numbers_have_the_bounds_of_what_they_count),
        cmocka_unit_test(an_instance_without_identifier_or_timeline_cannot_be),
        cmocka_unit_test(a_file_that_pg_controldata_does_not_trust_is_not_believed),
        cmocka_unit_test(another_language_is_refused_and_not_guessed),
        cmocka_unit_test(lines_that_are_not_ours_are_passed_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
