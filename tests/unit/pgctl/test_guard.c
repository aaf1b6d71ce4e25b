/* The guard in a real PostgreSQL 15, with a page that the test writes in place of the agent.
 * Skipped where `make guard` has not built it: that needs PostgreSQL's headers. */
#include "base/clock.h"
#include "base/mem.h"
#include "pgctl/fence.h"
#include "tests/harness/pg_bin.h"
#include "tests/harness/process.h"
#include "tests/harness/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <libpq-fe.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define MODULE   "build/guard/" PG_HERE_TEXT "/pgquorum_guard.so"
#define BOUND_MS 20000
#define HOUR_MS  3600000

static const struct fence_epoch epoch = {.cluster = 0xabc, .revision = 7};

static char dir[64]; /* data, log, socket and the module */
static bool is_built;

struct server {
    pid_t pid;
    int page_fd; /* -1: it has none */
    struct fence_page *page;
    char more[256]; /* of its environment: what PGQUORUM_FENCE_PAGE_FD says; "" = unset */
    PGconn *conn;
};

static struct server server;

/* --- the stage -------------------------------------------------------------------------------- */

static int shell(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static int shell(const char *fmt, ...)
{
    char command[1024];
    va_list args;
    int status = -1;
    va_start(args, fmt);
    vsnprintf(command, sizeof command, fmt, args);
    va_end(args);
    pid_t pid = fork();
    if (pid == 0) {
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int64_t lease_ms(void)
{
    return clock_lease_ms(clock_real());
}

static int64_t mono_ms(void)
{
    return clock_mono_ms(clock_real());
}

static void pause_briefly(void)
{
    const struct timespec briefly = {.tv_nsec = 20000000};
    (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &briefly, NULL);
}

static int data_make(void **state)
{
    (void)state;
    if (!is_built) {
        return 0;
    }
    return shell(PG_BIN "/initdb -D %s/data -U postgres -A trust -N --no-locale >%s/initdb 2>&1",
                 dir, dir);
}

static void page_make(void)
{
    server.page_fd = memfd_create("page", 0);
    assert_true(server.page_fd >= 0);
    assert_int_equal(ftruncate(server.page_fd, FENCE_PAGE_BYTES), 0);
    server.page =
        mmap(NULL, FENCE_PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, server.page_fd, 0);
    assert_ptr_not_equal(server.page, MAP_FAILED);
    fence_page_init(server.page);
}

static void page_say(struct fence_epoch of, int64_t soft_ms, int64_t deadline_ms)
{
    struct fence_lease lease = fence_lease_standby();
    lease.epoch = of;
    lease.soft_ms = soft_ms;
    lease.deadline_ms = deadline_ms;
    fence_page_write(server.page, &lease);
}

static void page_valid(void)
{
    page_say(epoch, lease_ms() + HOUR_MS, lease_ms() + 2 * HOUR_MS);
}

static void page_past(void)
{
    page_say(epoch, lease_ms() - 1, lease_ms() + HOUR_MS);
}

static void server_child(const char *options)
{
    char log[96];
    char command[1024];
    snprintf(log, sizeof log, "%s/log", dir);
    int fd = open(log, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || dup2(fd, STDERR_FILENO) < 0 || dup2(fd, STDOUT_FILENO) < 0) {
        _exit(126);
    }
    if (server.more[0] != '\0') {
        (void)setenv(FENCE_ENV_PAGE_FD, server.more, 1);
    } else {
        (void)unsetenv(FENCE_ENV_PAGE_FD);
    }
    snprintf(command, sizeof command,
             "exec " PG_BIN "/postgres -D %s/data -c listen_addresses= -c autovacuum=off "
             "-c unix_socket_directories=%s -c shared_buffers=16MB -c max_prepared_transactions=2 "
             "-c shared_preload_libraries=%s/pgquorum_guard.so %s",
             dir, dir, dir, options);
    execl("/bin/sh", "sh", "-c", command, (char *)NULL);
    _exit(127);
}

static PGconn *connect_here(void)
{
    char text[160];
    snprintf(text, sizeof text, "host=%s user=postgres dbname=postgres", dir);
    return PQconnectdb(text);
}

/* Skips the test where there is no module. */
static void server_start(const char *options)
{
    if (!is_built) {
        skip();
    }
    int64_t until_ms = mono_ms() + BOUND_MS;
    if (server.page_fd >= 0) {
        snprintf(server.more, sizeof server.more, "%d", server.page_fd);
    }
    server.pid = fork_in_test();
    if (server.pid == 0) {
        server_child(options);
    }
    server.conn = connect_here();
    while (PQstatus(server.conn) != CONNECTION_OK) {
        assert_true(mono_ms() < until_ms);
        pause_briefly();
        PQreset(server.conn);
    }
}

static int server_none(void **state)
{
    (void)state;
    server = (struct server){.page_fd = -1};
    return 0;
}

static int server_stop(void **state)
{
    (void)state;
    PQfinish(server.conn);
    if (server.pid > 0) {
        (void)kill(server.pid, SIGQUIT);
        (void)waitpid(server.pid, NULL, 0);
    }
    if (server.page_fd >= 0) {
        (void)munmap(server.page, FENCE_PAGE_BYTES);
        (void)close(server.page_fd);
    }
    return is_built ? shell("rm -f %s/data/postmaster.pid", dir) : 0;
}

static bool log_says(const char *text)
{
    return shell("grep -qF '%s' %s/log", text, dir) == 0;
}

/* --- statements ------------------------------------------------------------------------------- */

static void run(const char *sql)
{
    PGresult *result = PQexec(server.conn, sql);
    ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
        fail_msg("%s: %s", sql, PQresultErrorMessage(result));
    }
    PQclear(result);
}

static void expect_refused(const char *sql, const char *part)
{
    PGresult *result = PQexec(server.conn, sql);
    if (PQresultStatus(result) != PGRES_FATAL_ERROR) {
        fail_msg("%s: %s, and not refused", sql, PQresStatus(PQresultStatus(result)));
    }
    const char *code = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *detail = PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL);
    assert_string_equal(PQresultErrorField(result, PG_DIAG_SEVERITY), "ERROR");
    assert_string_equal(code, "25006");
    assert_non_null(strstr(PQresultErrorMessage(result), "pgquorum_guard: the commit is refused"));
    assert_non_null(detail);
    if (strstr(detail, part) == NULL) {
        fail_msg("'%s' does not say '%s'", detail, part);
    }
    assert_int_equal(PQtransactionStatus(server.conn), PQTRANS_IDLE);
    PQclear(result);
}

static void expect_number(const char *sql, const char *number)
{
    PGresult *result = PQexec(server.conn, sql);
    assert_int_equal(PQresultStatus(result), PGRES_TUPLES_OK);
    assert_string_equal(PQgetvalue(result, 0, 0), number);
    PQclear(result);
}

#define ROWS     "SELECT count(*) FROM t"
#define PREPARED "SELECT count(*) FROM pg_prepared_xacts"
#define PAST     "soft deadline of epoch abc:7 passed "

static void table_new(void)
{
    run("DROP TABLE IF EXISTS t");
    run("CREATE TABLE t (n int)");
}

/* An empty table, and time to write. */
static void serve(void)
{
    page_make();
    page_valid();
    server_start("");
    table_new();
}

/* --- with a page ------------------------------------------------------------------------------ */

static void writes_are_refused_from_the_soft_deadline_on(void **state)
{
    (void)state;
    serve();
    run("INSERT INTO t VALUES (1)");
    page_past();
    expect_refused("INSERT INTO t VALUES (2)", PAST);
    run("BEGIN");
    run("INSERT INTO t VALUES (3)");
    expect_number(ROWS, "2");
    expect_refused("COMMIT", PAST);
    expect_refused("CREATE TABLE u (n int)", PAST);
    expect_number(ROWS, "1");
    page_valid(); /* a renewal that came late after all */
    run("INSERT INTO t VALUES (4)");
    expect_number(ROWS, "2");
    assert_true(log_says("commits are refused once the soft deadline"));
}

/* The look comes when the transaction ends, not when it begins. */
static void a_transaction_that_began_before_the_deadline_is_refused_after_it(void **state)
{
    (void)state;
    serve();
    page_say(epoch, lease_ms() + 300, lease_ms() + HOUR_MS);
    run("BEGIN");
    run("INSERT INTO t VALUES (1)");
    run("SELECT pg_sleep(0.35)");
    expect_refused("COMMIT", PAST);
    expect_number(ROWS, "0");
}

static void what_writes_nothing_passes(void **state)
{
    (void)state;
    serve();
    run("INSERT INTO t SELECT generate_series(1, 1000)");
    page_past();
    expect_number(ROWS, "1000");
    run("BEGIN");
    run("SELECT n FROM t WHERE n = 3");
    run("COMMIT");
    run("BEGIN");
    run("INSERT INTO t VALUES (1001)");
    run("ROLLBACK");
    run(PQserverVersion(server.conn) >= 160000 ? "SET debug_parallel_query = on"
                                               : "SET force_parallel_mode = on");
    expect_number(ROWS, "1000");
    run("CHECKPOINT");
}

static void two_phases_are_refused_in_both(void **state)
{
    (void)state;
    serve();
    run("BEGIN");
    run("INSERT INTO t VALUES (1)");
    run("PREPARE TRANSACTION 'first'");
    page_past();
    run("BEGIN");
    run("INSERT INTO t VALUES (2)");
    expect_refused("PREPARE TRANSACTION 'second'", PAST);
    expect_refused("COMMIT PREPARED 'first'", PAST);
    expect_refused("ROLLBACK PREPARED 'first'", PAST);
    expect_number(PREPARED, "1");
    expect_number(ROWS, "0");
    page_valid();
    run("COMMIT PREPARED 'first'");
    expect_number(PREPARED, "0");
    expect_number(ROWS, "1");
}

static void a_page_without_a_deadline_refuses_nothing(void **state)
{
    (void)state;
    page_make(); /* of a standby */
    server_start("");
    table_new();
    page_say(epoch, FENCE_NO_DEADLINE, FENCE_NO_DEADLINE); /* in pause */
    run("INSERT INTO t VALUES (1)");
    page_say((struct fence_epoch){0}, 1, 1); /* no epoch: deadlines of none */
    run("INSERT INTO t VALUES (2)");
    expect_number(ROWS, "2");
}

static void an_epoch_that_is_over_refuses_all(void **state)
{
    (void)state;
    serve();
    page_say(epoch, lease_ms() + HOUR_MS, FENCE_OVER);
    expect_refused("INSERT INTO t VALUES (1)", "Epoch abc:7 is over.");
    page_say(epoch, FENCE_OVER, FENCE_OVER);
    expect_refused("INSERT INTO t VALUES (1)", "Epoch abc:7 is over.");
    page_say(epoch, FENCE_NO_DEADLINE, lease_ms() - 1); /* a deadline and no soft one */
    expect_refused("INSERT INTO t VALUES (1)", "Epoch abc:7 is over.");
    expect_number(ROWS, "0");
}

/* A writer that died inside its write leaves the copy before in force; a page that says nothing
 * whole is none to commit by. */
static void a_page_that_cannot_be_read_any_more_refuses_all(void **state)
{
    (void)state;
    serve();
    memset((char *)server.page + 64, 0, 128); /* both copies */
    PGresult *result = PQexec(server.conn, "INSERT INTO t VALUES (1)");
    assert_string_equal(PQresultErrorField(result, PG_DIAG_SQLSTATE), "25006");
    assert_non_null(strstr(PQresultErrorMessage(result), "page cannot be read"));
    PQclear(result);
    page_valid();
    run("INSERT INTO t VALUES (1)");
}

/* --- without one ------------------------------------------------------------------------------ */

static void without_a_page_it_warns_and_refuses_nothing(void **state)
{
    (void)state;
    server_start("");
    table_new();
    run("INSERT INTO t VALUES (1)");
    expect_number(ROWS, "1");
    assert_true(log_says("WARNING:  pgquorum_guard: no commit will be refused: the fence"));
    assert_true(log_says("PGQUORUM_FENCE_PAGE_FD: it is not in the environment"));
}

static void what_is_no_page_is_none(void **state)
{
    (void)state;
    static const struct {
        const char *fd;
        const char *why;
    } cases[] = {{"x5", "it is no number of a descriptor"},
                 {"-1", "it is no number of a descriptor"},
                 {"99999999999", "it is no number of a descriptor"},
                 {"987", "Bad file descriptor"},
                 {"0", "too small for a page"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        server_none(NULL);
        snprintf(server.more, sizeof server.more, "%s", cases[i].fd);
        server_start("</dev/null");
        table_new();
        assert_true(log_says("no commit will be refused"));
        assert_true(log_says(cases[i].why));
        server_stop(NULL);
    }
    server_none(NULL);
    page_make();
    memset(server.page, 0x5a, FENCE_PAGE_BYTES);
    server_start("");
    table_new();
    assert_true(log_says("that is no page, or of another layout"));
}

static void it_is_not_loaded_by_a_session(void **state)
{
    (void)state;
    char load[128];
    server_start("-c shared_preload_libraries=");
    snprintf(load, sizeof load, "LOAD '%s/pgquorum_guard.so'", dir);
    PGresult *result = PQexec(server.conn, load);
    assert_string_equal(PQresultErrorField(result, PG_DIAG_SQLSTATE), "55000");
    PQclear(result);
    table_new();
}

/* --- cancelled waits -------------------------------------------------------------------------- */

#define REPORTED "without the synchronous standbys"

/* Asks, and has another session do that to it once it has waited a while for standbys. */
static void waits_until(const char *sql, const char *what)
{
    char query[256];
    int64_t until_ms = mono_ms() + BOUND_MS;
    PGconn *other = connect_here();
    bool done = false;
    assert_int_equal(PQstatus(other), CONNECTION_OK);
    assert_int_equal(PQsendQuery(server.conn, sql), 1);
    snprintf(query, sizeof query,
             "SELECT %s(pid) FROM pg_stat_activity WHERE pid = %d AND wait_event = 'SyncRep' AND "
             "clock_timestamp() > query_start + interval '200ms'",
             what, PQbackendPID(server.conn));
    while (!done) {
        assert_true(mono_ms() < until_ms);
        PGresult *result = PQexec(other, query);
        assert_int_equal(PQresultStatus(result), PGRES_TUPLES_OK);
        done = PQntuples(result) == 1;
        PQclear(result);
        pause_briefly();
    }
    PQfinish(other);
    for (PGresult *result; (result = PQgetResult(server.conn)) != NULL;) {
        PQclear(result);
    }
}

static void expect_report(const char *what)
{
    int64_t until_ms = mono_ms() + BOUND_MS;
    while (!log_says(what)) {
        if (mono_ms() > until_ms) {
            (void)shell("cat %s/log >&2", dir);
            fail_msg("the log never said: %s", what);
        }
        pause_briefly();
    }
    assert_int_equal(shell("test $(grep -c '" REPORTED "' %s/log) = 1", dir), 0);
    assert_int_equal(shell("truncate -s 0 %s/log", dir), 0);
}

static void a_cancelled_wait_for_standbys_is_reported(void **state)
{
    (void)state;
    page_make();
    page_valid();
    server_start("-c synchronous_standby_names=nobody");
    run("SET synchronous_commit = local");
    table_new();
    run("SET synchronous_commit = on");
    run("SET statement_timeout = '50ms'"); /* ends no such wait: see waits_until */
    assert_false(log_says(REPORTED));

    waits_until("INSERT INTO t VALUES (1)", "pg_cancel_backend");
    expect_report("LOG:  pgquorum_guard: a transaction was committed " REPORTED);
    waits_until("BEGIN; INSERT INTO t VALUES (2); PREPARE TRANSACTION 'p'", "pg_cancel_backend");
    expect_report("LOG:  pgquorum_guard: a transaction was prepared " REPORTED);
    run("COMMIT PREPARED 'p'"); /* waits within its statement, whose time is over in between */
    expect_report("LOG:  pgquorum_guard: a prepared transaction was ended " REPORTED);
    waits_until("INSERT INTO t VALUES (3)", "pg_terminate_backend");
    expect_report("LOG:  pgquorum_guard: a transaction was committed " REPORTED);
    PQreset(server.conn);
    run("SET synchronous_commit = local");
    run("INSERT INTO t VALUES (4)");
    run("SET statement_timeout = '50ms'"); /* a cancelled statement alone is no cancelled wait */
    PGresult *result = PQexec(server.conn, "SELECT pg_sleep(10)");
    assert_string_equal(PQresultErrorField(result, PG_DIAG_SQLSTATE), "57014");
    PQclear(result);
    expect_number(ROWS, "4");
    assert_false(log_says(REPORTED));
}

/* ---------------------------------------------------------------------------------------------- */

#define ON_SERVER(test) cmocka_unit_test_setup_teardown(test, server_none, server_stop)

static int all_tests(void)
{
    const struct CMUnitTest tests[] = {
        ON_SERVER(writes_are_refused_from_the_soft_deadline_on),
        ON_SERVER(a_transaction_that_began_before_the_deadline_is_refused_after_it),
        ON_SERVER(what_writes_nothing_passes),
        ON_SERVER(two_phases_are_refused_in_both),
        ON_SERVER(a_page_without_a_deadline_refuses_nothing),
        ON_SERVER(an_epoch_that_is_over_refuses_all),
        ON_SERVER(a_page_that_cannot_be_read_any_more_refuses_all),
        ON_SERVER(without_a_page_it_warns_and_refuses_nothing),
        ON_SERVER(what_is_no_page_is_none),
        ON_SERVER(it_is_not_loaded_by_a_session),
        ON_SERVER(a_cancelled_wait_for_standbys_is_reported),
    };
    return cmocka_run_group_tests(tests, data_make, NULL);
}

int main(void)
{
    const struct passwd *user = getpwnam("postgres");
    int rc = 1;

    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    scratch_make(dir, sizeof dir, "/tmp", "guard");
    is_built = access(MODULE, R_OK) == 0 && access(PG_BIN "/postgres", X_OK) == 0;
    if (!is_built) {
        (void)printf("test_guard: %s is not there: make guard builds it\n", MODULE);
    } else if (shell("install -m 755 " MODULE " %s/", dir) != 0) {
        return 1;
    }
    if (geteuid() != 0 || user == NULL) {
        rc = all_tests();
    } else if (chown(dir, user->pw_uid, user->pw_gid) == 0) {
        rc = run_as_user(user, NULL, NULL, all_tests);
    }
    (void)shell("rm -rf %s", dir);
    return rc;
}
