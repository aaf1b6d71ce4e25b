/* What servers and libpq say, to facts: connection errors in every language, answers of a
 * walsender.
 */
#include "pgctl/sql/pg_answers.h"
#include "pgctl/sql/pg_conn_error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define TO_SOCKET "connection to server on socket \"/tmp/.s.PGSQL.5432\" failed: "
#define TO_TCP    "connection to server at \"10.0.0.1\", port 5432 failed: "

/* --- connection errors ------------------------------------------------------------------------ */

static const struct said {
    const char *message; /* as libpq gives it with PQERRORS_VERBOSE */
    bool needs_password;
    int code;
    const char *text; /* NULL: not looked at */
} all_said[] = {
    /* Servers, in the languages of Debian's translations. */
    {TO_SOCKET "FATAL:  57P03: the database system is starting up\n"
               "LOCATION:  ProcessStartupPacket, postmaster.c:2352\n",
     false, ERR_UNAVAILABLE, TO_SOCKET "FATAL:  57P03: the database system is starting up"},
    {TO_TCP "FATAL:  57P03: das Datenbanksystem startet\n"
            "ORT:  ProcessStartupPacket, postmaster.c:2352\n",
     false, ERR_UNAVAILABLE, TO_TCP "FATAL:  57P03: das Datenbanksystem startet"},
    {TO_TCP "FATAL:  28P01: password authentication failed for user \"postgres\"\n", false,
     ERR_PERMISSION, NULL},
    {TO_TCP "FATAL:  28P01: Passwort-Authentifizierung für Benutzer »postgres« fehlgeschlagen\n"
            "ORT:  auth_failed, auth.c:333\n",
     false, ERR_PERMISSION,
     TO_TCP "FATAL:  28P01: Passwort-Authentifizierung für Benutzer »postgres« fehlgeschlagen"},
    {TO_TCP "ВАЖНО:  28P01: пользователь \"postgres\" не прошёл проверку подлинности\n"
            "ПОЛОЖЕНИЕ:  auth_failed, auth.c:333\n",
     false, ERR_PERMISSION, NULL},
    {TO_TCP
     "FATAL:  3D000: データベース\"x\"は存在しません\n場所:  InitPostgres, postinit.c:1020\n",
     false, ERR_PERMISSION, TO_TCP "FATAL:  3D000: データベース\"x\"は存在しません"},
    {TO_TCP "FATAL:  28000: no pg_hba.conf entry for host \"10.0.0.2\"\n", false, ERR_PERMISSION,
     NULL},
    {TO_SOCKET "FATAL:  28000: Peer authentication failed for user \"postgres\"\n", false,
     ERR_PERMISSION, NULL},
    {TO_TCP "致命错误:  42501: permission denied for database \"x\"\n", false, ERR_PERMISSION,
     NULL},
    {TO_TCP "FATAL:  53300: sorry, too many clients already\n", false, ERR_UNAVAILABLE, NULL},
    {TO_TCP "FATAL:  57P01: terminating connection due to administrator command\n", false,
     ERR_UNAVAILABLE, NULL},
    {TO_TCP "FATAL:  XX000: something nobody has thought of\n", false, ERR_UNAVAILABLE, NULL},
    /* More than one line. */
    {TO_TCP "FATAL:  57P03: the database system is not accepting connections\n"
            "DETAIL:  Hot standby mode is disabled.\nLOCATION:  f, postmaster.c:2369\n",
     false, ERR_UNAVAILABLE,
     TO_TCP "FATAL:  57P03: the database system is not accepting connections "
            "DETAIL:  Hot standby mode is disabled."},
    /* Refused with encryption; what came of the second try counts. */
    {TO_TCP "FATAL:  28000: no pg_hba.conf entry for host \"10.0.0.2\", SSL encryption\n"
            "LOCATION:  ClientAuthentication, auth.c:544\n" TO_TCP
            "FATAL:  57P03: the database system is shutting down\n"
            "LOCATION:  ProcessStartupPacket, postmaster.c:2359\n",
     false, ERR_UNAVAILABLE, NULL},
    /* libpq's own, in any language. */
    {TO_TCP "fe_sendauth: no password supplied\n", true, ERR_PERMISSION, NULL},
    {TO_TCP "Connection refused\n\tIs the server running on that host and accepting TCP/IP "
            "connections?\n",
     false, ERR_CLOSED, NULL},
    {TO_SOCKET "No such file or directory\n\tIs the server running locally and accepting "
               "connections on that socket?\n",
     false, ERR_CLOSED, NULL},
    {TO_SOCKET "Datei oder Verzeichnis nicht gefunden\n\tLäuft der Server lokal?\n", false,
     ERR_CLOSED, NULL},
    {TO_TCP "server closed the connection unexpectedly\n\tThis probably means ...\n", false,
     ERR_CLOSED, NULL},
    {"", false, ERR_CLOSED, ""},
    /* Nearly a code. */
    {"FATAL:  28p01: lower case\n", false, ERR_CLOSED, NULL},
    {"FATAL:  28P0: too short\n", false, ERR_CLOSED, NULL},
    {"FATAL:  28P011: too long\n", false, ERR_CLOSED, NULL},
    {"FATAL:  28P01", false, ERR_CLOSED, NULL},
    {":  ", false, ERR_CLOSED, NULL},
    {":1\n", false, ERR_CLOSED, ":1"},
    {".c:1\n", false, ERR_CLOSED, ".c:1"},
};

static void connection_errors_are_told_by_their_code_in_every_language(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof all_said / sizeof all_said[0]; i++) {
        const struct said *said = &all_said[i];
        struct error err = {0};
        int rc = pg_conn_error_read(said->message, said->needs_password, &err);
        if (rc != said->code || err.code != rc) {
            fail_msg("%s for: %s", err_name(rc), said->message);
        }
        assert_null(strchr(err.text, '\n'));
        if (said->text != NULL) {
            assert_string_equal(err.text, said->text);
        }
    }
}

static void long_message_is_cut_not_overrun(void **state)
{
    (void)state;
    static char message[3 * ERROR_TEXT_BYTES];
    struct error err;
    memset(message, 'x', sizeof message - 1);
    for (size_t i = 40; i < sizeof message - 1; i += 40) {
        message[i] = '\n';
    }
    assert_int_equal(pg_conn_error_read(message, false, &err), ERR_CLOSED);
    assert_int_equal(strlen(err.text), ERROR_TEXT_BYTES - 1);
}

/* --- the timeline of a standby ---------------------------------------------------------------- */

static PGresult *identified(const char *timeline, const char *position)
{
    static char names[4][16] = {"systemid", "timeline", "xlogpos", "dbname"};
    PGresAttDesc columns[4] = {{0}};
    const char *values[4] = {"7300000000000000001", timeline, position, "postgres"};
    PGresult *result = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);

    for (int i = 0; i < 4; i++) {
        columns[i].name = names[i];
    }
    assert_int_equal(PQsetResultAttrs(result, 4, columns), 1);
    for (int i = 0; i < 4; i++) {
        char value[32];
        snprintf(value, sizeof value, "%s", values[i]);
        assert_int_equal(PQsetvalue(result, 0, i, value, (int)strlen(value)), 1);
    }
    return result;
}

struct standby {
    uint64_t receive_lsn;
    uint64_t replay_lsn;
    uint32_t timeline; /* lower bound */
    const char *said_timeline;
    const char *said_position;
    bool exact; /* expected */
    uint32_t expected;
    uint64_t expected_flush;
};

static void walsender_tells_a_standbys_timeline_if_replay_stands(void **state)
{
    (void)state;
    static const struct standby standbys[] = {
        /* After a restart: nothing received. */
        {0, 0x3000100, 1, "2", "0/3000100", true, 2, 0},
        {0, 0x3000100, 2, "2", "0/3000100", true, 2, 0},
        /* Received beyond replay, on the same timeline; and less than replayed. */
        {0x3000200, 0x3000100, 1, "2", "0/3000200", true, 2, 0x3000200},
        {0x3000000, 0x3000100, 1, "2", "0/3000100", true, 2, 0x3000000},
        /* Received beyond: the beginning of a record of a later timeline. */
        {0x3000200, 0x3000100, 1, "1", "0/3000100", true, 1, 0x3000100},
        /* Replay has moved on. */
        {0, 0x3000100, 1, "2", "0/3000180", false, 1, 0},
        {0x3000200, 0x3000100, 1, "2", "0/3000180", false, 1, 0x3000200},
        /* It has gone back, after a crash of the children. */
        {0x3000080, 0x3000100, 1, "2", "0/3000080", false, 1, 0x3000080},
        /* No answer of that kind. */
        {0, 0x3000100, 1, "", "0/3000100", false, 1, 0},
        {0, 0x3000100, 1, "2", "", false, 1, 0},
    };
    static struct pg_probe_result result;

    for (size_t i = 0; i < sizeof standbys / sizeof standbys[0]; i++) {
        const struct standby *standby = &standbys[i];
        struct pg_answer answer = {
            .count = 1, .results = {identified(standby->said_timeline, standby->said_position)}};
        result = (struct pg_probe_result){.role = PG_STANDBY,
                                          .receive_lsn = standby->receive_lsn,
                                          .flush_lsn = standby->receive_lsn,
                                          .replay_lsn = standby->replay_lsn,
                                          .timeline = standby->timeline};
        pg_identify_read(&answer, &result);
        if (result.timeline_exact != standby->exact || result.timeline != standby->expected ||
            result.flush_lsn != standby->expected_flush) {
            fail_msg("case %zu: timeline %u, exact %d, flushed %llx", i, result.timeline,
                     result.timeline_exact, (unsigned long long)result.flush_lsn);
        }
        PQclear(answer.results[0]);
    }
    struct pg_answer none = {0};
    result.timeline_exact = false;
    pg_identify_read(&none, &result);
    assert_false(result.timeline_exact);
}

static void answers_of_another_shape_are_refused(void **state)
{
    (void)state;
    static struct pg_probe_result result;
    struct pg_peer_facts facts = {0};
    struct error err;
    struct pg_answer answer = {.count = 1, .results = {identified("1", "0/1")}};

    assert_int_equal(pg_probe_read(&answer, &(struct pg_conf){0}, &result, &err), ERR_CORRUPT);
    assert_int_equal(pg_peer_read(&answer, &facts, &err), ERR_CORRUPT);
    assert_string_equal(pg_cell(answer.results[0], 1, 0), "");
    assert_string_equal(pg_cell(answer.results[0], 0, 4), "");
    assert_int_equal(pg_cell_u64(answer.results[0], 0, 1), 1);
    assert_int_equal(pg_cell_lsn(answer.results[0], 0, 2), 1);
    assert_int_equal(pg_cell_u64(answer.results[0], 0, 3), 0);
    PQclear(answer.results[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connection_errors_are_told_by_their_code_in_every_language),
        cmocka_unit_test(long_message_is_cut_not_overrun),
        cmocka_unit_test(walsender_tells_a_standbys_timeline_if_replay_stands),
        cmocka_unit_test(answers_of_another_shape_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
