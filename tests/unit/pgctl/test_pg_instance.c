/* What an instance is told by a running server: positions and timelines, and who lets us in, in
 * which language. */
#include "tests/unit/pgctl/pg_stage.h"

#include <libintl.h>
#include <locale.h>
#include <sys/resource.h>

/* --- the timeline of a standby ---------------------------------------------------------------- */

static void replay_until(struct node *standby, const struct node *primary)
{
    char value[64];
    unsigned high;
    unsigned low;
    node_sql(primary, "SELECT pg_current_wal_flush_lsn()", value, sizeof value);
    assert_int_equal(sscanf(value, "%X/%X", &high, &low), 2);
    PROBE_UNTIL(standby, probed.replay_lsn >= ((uint64_t)high << 32 | low));
}

#define WALSENDERS_MAX 64

static int take_walsenders(const struct node *node, PGconn **ret_conns)
{
    char *conninfo = mem_printf("host=127.0.0.1 port=%u user=replicator password=rep-pass"
                                " replication=true",
                                node->port);
    char value[64];
    node_sql(node, "SHOW max_wal_senders", value, sizeof value);
    int count = atoi(value);
    assert_in_range(count, 1, WALSENDERS_MAX);
    for (int i = 0; i < count; i++) {
        ret_conns[i] = PQconnectdb(conninfo);
        assert_int_equal(PQstatus(ret_conns[i]), CONNECTION_OK);
    }
    mem_free(conninfo);
    return count;
}

/* Whatever it may say: its name is that of a timeline. */
static void expect_history_counts_though_it_cannot_be_read(struct node *node)
{
    char path[320];
    char aside[330];
    (void)snprintf(path, sizeof path, "%s/pg_wal/00000002.history", node->data);
    (void)snprintf(aside, sizeof aside, "%s.aside", path);
    assert_int_equal(rename(path, aside), 0);
    node_inspect(node);
    assert_int_equal(inspected.wal_timeline, 0);
    assert_int_equal(mkdir(path, 0700), 0); /* its text cannot be had */
    node_inspect(node);
    assert_int_equal(inspected.wal_timeline, 2);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(rename(aside, path), 0);
}

/* n3 has replayed a switch to timeline 2, and its control file knows nothing of it: no restartpoint
 * and no page was written since. n1 and n2, which know, are gone. */
static void standby_restarted_without_its_primary_reports_the_timeline_it_has_replayed(void **state)
{
    (void)state;
    struct node *n1 = primary_new("n1");
    struct node *n3 = standby_new("n3", n1);
    struct node *n2 = standby_new("n2", n1);
    struct outcome outcome = {0};
    char value[64];

    node_stop(n1, FENCE_STOP_FAST, LONG_MS);
    node_promote(n2, 2, &outcome);
    CHECK_RC(&outcome, 0);
    node_slot(n2, "n3");
    node_follow(n3, n2, &outcome);
    CHECK_RC(&outcome, 0);
    node_do(n2, "CREATE TABLE t AS SELECT 1 AS a");
    replay_until(n3, n2);
    assert_int_equal(probed.timeline, 2);
    node_crash(n2);
    node_crash(n3);

    node_inspect(n3);
    assert_int_equal(inspected.control.timeline, 1);
    assert_int_equal(inspected.wal_timeline, 2); /* its history file says so */
    assert_int_equal(inspected.control.min_recovery_timeline, 1);
    expect_history_counts_though_it_cannot_be_read(n3);
    node_start_well(n3, PG_START_STANDBY, NULL);

    /* Where no walsender is let in, there is a lower bound, and no position. */
    PGconn *walsenders[WALSENDERS_MAX];
    int taken = take_walsenders(n3, walsenders);
    WAIT_FOR((node_sql(n3,
                       "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'startup' AND"
                       " wait_event = 'RecoveryRetrieveRetryInterval'",
                       value, sizeof value),
              value[0] != '0'));
    assert_int_equal(node_probe(n3), 0);
    assert_int_equal(probed.timeline, 1);
    assert_false(probed.timeline_exact || probed.local_wal_replayed);
    while (taken > 0) {
        PQfinish(walsenders[--taken]);
    }

    PROBE_UNTIL(n3, probed.local_wal_replayed || probed.timeline != 2);
    assert_true(probed.timeline_exact);
    assert_int_equal(probed.timeline, 2);
    assert_int_equal(probed.control_timeline, 1);
    assert_false(probed.receiver_alive);
    uint64_t position = probed.replay_lsn;
    /* Known from now on, and asked for only once: nobody else has a walsender's place. */
    node_sql(n3, "SELECT min_recovery_end_timeline FROM pg_control_recovery()", value,
             sizeof value);
    assert_string_equal(value, "1");
    assert_int_equal(node_probe(n3), 0);
    assert_true(probed.local_wal_replayed && probed.timeline_exact);
    assert_int_equal(probed.timeline, 2);
    assert_int_equal(probed.replay_lsn, position);
    assert_int_equal(probed.replica_count, 0);

    node_promote(n3, 2, &outcome);
    CHECK_RC(&outcome, ERR_REFUSED);
    node_promote(n3, 3, &outcome);
    CHECK_RC(&outcome, 0);
    node_sql(n3, "SELECT a FROM t", value, sizeof value);
    assert_string_equal(value, "1");
    node_free(n3);
    node_free(n2);
    node_free(n1);
}

/* Detached is the promise not to receive any more; attached again it streams. */
static void detached_standby_has_no_receiver_and_its_position_is_known(void **state)
{
    (void)state;
    struct node *primary = primary_new("n1");
    struct node *node = standby_new("n2", primary);
    struct outcome outcome = {0};

    replay_until(node, primary);
    node_follow(node, NULL, &outcome);
    CHECK_RC(&outcome, 0);
    assert_int_equal(node_probe(node), 0);
    assert_false(probed.receiver_alive);
    uint64_t before = probed.replay_lsn;
    node_do(primary, "CREATE TABLE t AS SELECT 1 AS a");
    PROBE_UNTIL(node, probed.local_wal_replayed);
    assert_int_equal(probed.replay_lsn, before);
    assert_true(probed.timeline_exact);
    assert_int_equal(probed.timeline, 1);

    node_follow(node, primary, &outcome);
    CHECK_RC(&outcome, 0);
    replay_until(node, primary);
    assert_true(probed.receiver_alive);
    node_free(node);
    node_free(primary);
}

/* --- who lets us in --------------------------------------------------------------------------- */

static void fill_connections(struct node *node, PGconn **connections, int count)
{
    for (int i = 0; i < count; i++) {
        connections[i] = node_connect(node);
    }
}

/* The libc of Debian 13 translates nothing where the locale is C.UTF-8, and there may be no other.
 */
static bool speaks_german(void)
{
    static const char text[] = "password authentication failed for user \"%s\"";
    setenv("LANGUAGE", "de", 1);
    (void)setlocale(LC_ALL, "C.UTF-8");
    (void)bindtextdomain("postgres-" PG_HERE_TEXT, "/usr/share/locale");
    bool speaks = strcmp(dgettext("postgres-" PG_HERE_TEXT, text), text) != 0;
    (void)setlocale(LC_ALL, "C");
    unsetenv("LANGUAGE");
    return speaks;
}

/* The words are the translators': only the codes of the answers may be relied on. */
static void refusals_are_told_apart_whatever_language_the_server_speaks(void **state)
{
    (void)state;
    if (!speaks_german()) {
        print_message("PostgreSQL has no German messages, or no locale to have them in\n");
        skip();
    }
    enum { MANY = 30 };
    PGconn *connections[MANY];
    struct outcome outcome;

    setenv("LANGUAGE", "de", 1); /* inherited by the postmaster */
    struct node *node = node_of_template("n1");
    assert_int_equal(node_ping(node, &outcome), ERR_CLOSED); /* nobody listens */
    node_start_well(node, PG_START_PRIMARY, NULL);
    node_do(node, "ALTER SYSTEM SET lc_messages = 'C.UTF-8'");
    node_do(node, "SELECT pg_reload_conf()");
    node_do(node, "ALTER ROLE rewind_user PASSWORD 'another'");
    /* Until the postmaster, who hands the language on, has it. */
    WAIT_FOR((node_ask(node, node, &outcome), strstr(outcome.err.text, "fehlgeschlagen") != NULL));
    CHECK_RC(&outcome, ERR_PERMISSION);
    expect_text(&outcome, "28P01: Passwort-Authentifizierung");
    node_do(node, "ALTER ROLE rewind_user PASSWORD 'rewind_password'");
    assert_int_equal(node_ask(node, node, &outcome), 0);

    node_do(node, "REVOKE CONNECT ON DATABASE postgres FROM PUBLIC");
    CHECK_RC((node_ask(node, node, &outcome), &outcome), ERR_PERMISSION);
    expect_text(&outcome, "42501: keine Berechtigung");

    /* The socket refuses, TCP does not: that way is tried, and kept. */
    assert_int_equal(
        run("sed -i 's/^local all all md5/local all all reject/' %s/pg_hba.conf", node->data), 0);
    node_do(node, "SELECT pg_reload_conf()");
    CHECK_RC((node_ping(node, &outcome), &outcome), 0);
    CHECK_RC((node_ping(node, &outcome), &outcome), 0);

    fill_connections(node, connections, MANY);
    CHECK_RC((node_ask(node, node, &outcome), &outcome), ERR_UNAVAILABLE);
    expect_text(&outcome, "53300: tut mir leid");
    CHECK_RC((node_ping(node, &outcome), &outcome), 0); /* it lives */
    for (int i = 0; i < MANY; i++) {
        PQfinish(connections[i]);
    }
    unsetenv("LANGUAGE");
    node_free(node);
}

/* Sessions that are there go on, and connections are still taken by the kernel. */
static void server_that_hangs_is_found_by_a_new_connection_alone(void **state)
{
    (void)state;
    struct outcome outcome;
    struct node *node = primary_new("n1");
    int32_t postmaster = fence_client_status(node->fence)->postmaster_pid;

    assert_int_equal(node_ping(node, &outcome), 0);
    assert_int_equal(node_probe(node), 0);
    assert_int_equal(kill(postmaster, SIGSTOP), 0);
    assert_int_equal(node_probe(node), 0);
    CHECK_RC((node_ping(node, &outcome), &outcome), ERR_TIMEOUT);
    assert_int_equal(kill(postmaster, SIGCONT), 0);
    assert_int_equal(node_ping(node, &outcome), 0);
    node_free(node);
}

static unsigned log_lines(const struct node *node, const char *what)
{
    char line[1024];
    unsigned count = 0;
    FILE *log = fopen(node->fence_log, "re");
    assert_non_null(log);
    while (fgets(line, sizeof line, log) != NULL) {
        count += strstr(line, what) != NULL ? 1 : 0;
    }
    (void)fclose(log);
    return count;
}

/* A login waits for the catalogs, and needs a place: the postmaster is not to blame for either. */
static void server_in_which_no_login_ends_is_none_that_hangs(void **state)
{
    (void)state;
    struct outcome outcome;
    struct node *node = primary_new("n1");
    PGconn *locker = node_connect(node);
    PQclear(PQexec(locker, "BEGIN; LOCK pg_class, pg_authid, pg_database"));
    CHECK_RC((node_ping(node, &outcome), &outcome), 0);
    PQfinish(locker);
    node_free(node);
}

/* That is about this process: whoever takes it for a silent postmaster kills a server that is well.
 */
static void question_that_cannot_be_asked_is_no_silence(void **state)
{
    (void)state;
    struct outcome outcome;
    struct rlimit before;
    struct node *node = primary_new("n1");
    int next = dup(STDIN_FILENO); /* the lowest one that is free */
    assert_true(next > 0);
    assert_int_equal(close(next), 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    const struct rlimit none = {(rlim_t)next, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    int rc = node_ping(node, &outcome);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(rc, ERR_LIMIT);
    expect_text(&outcome, "making a socket");
    assert_int_equal(node_ping(node, &outcome), 0);
    node_free(node);
}

/* The postmaster is the same one; what it had started is not. */
static void server_that_restarts_itself_is_known_by_its_checkpointer(void **state)
{
    (void)state;
    struct node *node = primary_new("n1");
    assert_int_equal(node_probe(node), 0);
    struct pg_probe_result before = probed;
    assert_true(before.checkpointer_start_ms >= before.postmaster_start_ms);
    assert_int_equal(node_probe(node), 0);
    assert_int_equal(probed.checkpointer_start_ms, before.checkpointer_start_ms);

    PGconn *victim = node_connect(node);
    assert_int_equal(kill(PQbackendPID(victim), SIGKILL), 0);
    WAIT_FOR(node_probe(node) == 0 && probed.checkpointer_start_ms > before.checkpointer_start_ms);
    assert_int_equal(probed.postmaster_start_ms, before.postmaster_start_ms);
    PQfinish(victim);
    node_free(node);
}

/* With the WAL writer stopped, nobody else brings it there. */
static void commit_that_is_tried_is_on_the_disk_when_it_is_answered(void **state)
{
    (void)state;
    struct outcome outcome = {0};
    struct error err;
    char value[64];
    struct node *node = primary_new("n1");
    node_sql(node, "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'", value,
             sizeof value);
    pid_t wal_writer = (pid_t)atoi(value);
    assert_true(wal_writer > 0);
    assert_int_equal(kill(wal_writer, SIGSTOP), 0);
    assert_int_equal(node_probe(node), 0);
    uint64_t flushed = probed.flush_lsn;
    assert_int_equal(pg_instance_try_commit(node->pg, 5000, on_done, &outcome, &err), 0);
    outcome_wait(&outcome);
    int rc = node_probe(node);
    assert_int_equal(kill(wal_writer, SIGCONT), 0);
    CHECK_RC(&outcome, 0);
    assert_int_equal(rc, 0);
    assert_true(probed.flush_lsn > flushed);
    node_free(node);
}

/* Only log_connections speaks of it, and only of a connection that is received. */
static void ping_leaves_nothing_else_in_the_servers_log(void **state)
{
    (void)state;
    struct outcome outcome;
    struct node *node = primary_new("n1");
    for (unsigned logged = 0; logged < 2; logged++) {
        if (logged > 0) {
            node_do(node, "ALTER SYSTEM SET log_connections = on");
            node_do(node, "SELECT pg_reload_conf()");
            WAIT_FOR(log_lines(node, "log_connections") > 0);
        }
        unsigned before = log_lines(node, "");
        unsigned received = log_lines(node, "connection received");
        for (int i = 0; i < 3; i++) {
            CHECK_RC((node_ping(node, &outcome), &outcome), 0);
        }
        usleep(300000); /* what the server does when we have hung up */
        assert_int_equal(log_lines(node, "") - before, 3 * logged);
        assert_int_equal(log_lines(node, "connection received") - received, 3 * logged);
    }
    node_free(node);
}

/* Its log is the operator's: a start that we wait for must not fill it with refusals of our own. */
static void server_that_starts_is_not_asked_before_it_is_ready(void **state)
{
    (void)state;
    struct node *node = primary_new("n1");
    struct pg_start start = {.role = PG_START_PRIMARY};
    struct outcome started = {0};
    struct error err;
    int refused = 0;

    node_do(node, "CREATE TABLE t AS SELECT generate_series(1, 300000) AS a"); /* to be replayed */
    node_crash(node);
    assert_int_equal(pg_instance_start(node->pg, &start, LONG_MS, on_done, &started, &err), 0);
    while (started.calls == 0) {
        refused += node_probe(node) != 0 ? 1 : 0;
    }
    CHECK_RC(&started, 0);
    assert_int_not_equal(refused, 0); /* it did take a while */
    assert_int_equal(run("grep 'database system was not properly shut down' %s", node->fence_log),
                     0);
    assert_int_not_equal(run("grep 'database system is starting up' %s", node->fence_log), 0);
    node_free(node);
}

/* Started by hand, so that the fence knows nothing of it: it gets its signal from us. */
static void postmaster_that_the_fence_did_not_start_is_stopped_in_order(void **state)
{
    (void)state;
    struct node *node = primary_new("n1");

    node_stop(node, FENCE_STOP_FAST, LONG_MS);
    assert_int_equal(
        run("PGPASSWORD=%s " PG_BIN "/pg_ctl -D %s -l %s/by_hand.log -w start"
            " -o '-p %u -c unix_socket_directories=%s -c listen_addresses=' >/dev/null",
            SUPER_PASS, node->data, node->dir, (unsigned)node->port, node->dir),
        0);
    node_inspect(node);
    assert_true(inspected.running);
    assert_false(inspected.stopping);

    /* Told to stop by somebody else, who waits for a session. */
    char *conninfo =
        mem_printf("host=%s port=%u user=postgres password=" SUPER_PASS " dbname=postgres",
                   node->dir, (unsigned)node->port);
    PGconn *session = PQconnectdb(conninfo);
    assert_int_equal(PQstatus(session), CONNECTION_OK);
    assert_int_equal(kill(inspected.pidfile_pid, SIGTERM), 0);
    WAIT_FOR((node_inspect(node), inspected.stopping));
    assert_true(inspected.running);

    node_stop(node, FENCE_STOP_FAST, LONG_MS);
    node_inspect(node);
    assert_false(inspected.running || inspected.stopping);
    assert_int_equal(inspected.control.state, PG_CONTROL_SHUT_DOWN);
    PQfinish(session);
    mem_free(conninfo);
    assert_int_equal(run("grep -q 'received fast shutdown request' %s/by_hand.log", node->dir), 0);
    node_free(node);
}

static int all_tests(void)
{
    const struct CMUnitTest tests[] = {
        ON_STAGE(standby_restarted_without_its_primary_reports_the_timeline_it_has_replayed),
        ON_STAGE(detached_standby_has_no_receiver_and_its_position_is_known),
        ON_STAGE(refusals_are_told_apart_whatever_language_the_server_speaks),
        ON_STAGE(server_that_hangs_is_found_by_a_new_connection_alone),
        ON_STAGE(server_in_which_no_login_ends_is_none_that_hangs),
        ON_STAGE(question_that_cannot_be_asked_is_no_silence),
        ON_STAGE(server_that_restarts_itself_is_known_by_its_checkpointer),
        ON_STAGE(commit_that_is_tried_is_on_the_disk_when_it_is_answered),
        ON_STAGE(ping_leaves_nothing_else_in_the_servers_log),
        ON_STAGE(server_that_starts_is_not_asked_before_it_is_ready),
        ON_STAGE(postmaster_that_the_fence_did_not_start_is_stopped_in_order),
    };
    return cmocka_run_group_tests(tests, stage_template, NULL);
}

int main(int argc, char **argv)
{
    return stage_main(argc, argv, all_tests);
}
