/* Synchronous replication of real servers: the setting stays through whatever else changes, commits
 * wait as soon as it is said to be set, and what is seen is what PostgreSQL goes by. */
#include "tests/unit/pgctl/pg_stage.h"

#include "pgctl/pg_sync.h"

#include <sys/syscall.h>

static struct pg_sync_look looked;

static void on_looked(void *arg, int rc, const struct pg_sync_look *look, const struct error *err)
{
    if (look != NULL) {
        looked = *look;
    }
    on_done(arg, rc, err);
}

static void look_outcome(struct node *node, struct outcome *ret_outcome)
{
    struct error err;
    *ret_outcome = (struct outcome){0};
    assert_int_equal(pg_instance_look_sync(node->pg, LONG_MS, on_looked, ret_outcome, &err), 0);
    outcome_wait(ret_outcome);
}

static void look(struct node *node)
{
    struct outcome outcome;
    look_outcome(node, &outcome);
    CHECK_RC(&outcome, 0);
}

static const struct pg_walsender *walsender_of(const char *name)
{
    for (size_t i = 0; i < looked.count; i++) {
        if (strcmp(looked.walsenders[i].name, name) == 0) {
            return &looked.walsenders[i];
        }
    }
    return NULL;
}

#define LOOK_UNTIL(node, condition)                       \
    do {                                                  \
        int64_t look_until_ms_ = now_ms() + BOUND_MS;     \
        for (look(node); !(condition); look(node)) {      \
            if (now_ms() > look_until_ms_) {              \
                fail_msg("never looked: %s", #condition); \
            }                                             \
        }                                                 \
    } while (0)

static void set_outcome(struct node *node, const char *value, struct outcome *ret_outcome)
{
    struct error err;
    *ret_outcome = (struct outcome){0};
    assert_int_equal(pg_instance_set_sync(node->pg, value, LONG_MS, on_done, ret_outcome, &err), 0);
    outcome_wait(ret_outcome);
}

static void set(struct node *node, const char *value)
{
    struct outcome outcome;
    set_outcome(node, value, &outcome);
    CHECK_RC(&outcome, 0);
}

/* A session that has sent an INSERT, and has not been answered yet. */
static PGconn *writer_new(const struct node *node, const char *application)
{
    char *conninfo = mem_printf("host=127.0.0.1 port=%u user=postgres password=" SUPER_PASS
                                " dbname=postgres application_name=%s",
                                node->port, application);
    PGconn *conn = PQconnectdb(conninfo);
    assert_int_equal(PQstatus(conn), CONNECTION_OK);
    assert_int_equal(PQsendQuery(conn, "INSERT INTO t VALUES (1)"), 1);
    mem_free(conninfo);
    return conn;
}

static bool is_answered(PGconn *conn)
{
    assert_int_equal(PQconsumeInput(conn), 1);
    return PQisBusy(conn) == 0;
}

static void wait_until_it_waits(struct node *node, const char *application)
{
    char value[16] = "";
    char *sql = mem_printf("SELECT count(*) FROM pg_stat_activity WHERE application_name = '%s'"
                           " AND wait_event = 'SyncRep'",
                           application);
    for (int64_t until_ms = now_ms() + BOUND_MS; strcmp(value, "1") != 0;) {
        assert_true(now_ms() < until_ms);
        node_sql(node, sql, value, sizeof value);
    }
    mem_free(sql);
}

static void writer_end(PGconn *conn)
{
    PGresult *result = PQgetResult(conn);
    assert_int_equal(PQresultStatus(result), PGRES_COMMAND_OK);
    PQclear(result);
    PQfinish(conn);
}

/* --- tests ------------------------------------------------------------------------------------ */

static struct node *primary_with_table(const char *name)
{
    struct node *node = primary_new(name);
    node_do(node, "CREATE TABLE t (a int)");
    return node;
}

/* The settings of the configuration are given to it anew. */
static void reload(struct node *node)
{
    static const struct pg_parameter parameters[] = {{"unix_socket_directories", "."},
                                                     {"synchronous_standby_names", ""}};
    const struct pg_reload again = {.parameters = {parameters, 2}, .use_slots = true};
    struct outcome outcome = {0};
    struct error err;
    assert_int_equal(pg_instance_reload(node->pg, &again, LONG_MS, on_done, &outcome, &err), 0);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, 0);
}

static void commits_wait_as_soon_as_the_setting_is_there(void **state)
{
    (void)state;
    struct node *n1 = primary_with_table("n1");
    for (int round = 0; round < 5; round++) {
        set(n1, "ANY 1 (\"nobody\")");
        PGconn *writer = writer_new(n1, "writer");
        wait_until_it_waits(n1, "writer");
        assert_false(is_answered(writer));
        set(n1, ""); /* which lets everybody go */
        writer_end(writer);
    }
    node_free(n1);
}

/* It is the checkpointer that tells backends that there is somebody to wait for. */
static void nothing_is_set_before_the_checkpointer_has_taken_it(void **state)
{
    (void)state;
    struct node *n1 = primary_with_table("n1");
    struct outcome outcome = {0};
    struct error err;
    char value[16];

    node_sql(n1, "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'", value,
             sizeof value);
    pid_t checkpointer = (pid_t)strtol(value, NULL, 10);
    assert_int_equal(kill(checkpointer, SIGSTOP), 0);
    assert_int_equal(pg_instance_set_sync(n1->pg, "\"nobody\"", LONG_MS, on_done, &outcome, &err),
                     0);
    for (int64_t until_ms = now_ms() + BOUND_MS; value[0] != '"';) {
        assert_true(now_ms() < until_ms);
        uv_run(&loop, UV_RUN_ONCE);
        node_sql(n1, "SHOW synchronous_standby_names", value, sizeof value);
    }
    PGconn *writer = writer_new(n1, "writer"); /* it sees the setting, and does not wait */
    writer_end(writer);
    for (int64_t until_ms = now_ms() + 300; now_ms() < until_ms;) {
        uv_run(&loop, UV_RUN_ONCE);
    }
    assert_int_equal(outcome.calls, 0);
    assert_int_equal(kill(checkpointer, SIGCONT), 0);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, 0);
    writer = writer_new(n1, "writer");
    wait_until_it_waits(n1, "writer");
    PQfinish(writer);
    node_free(n1);
}

static bool is_stopped_writing_wal(pid_t pid)
{
    char path[64];
    char file_name[256] = "";
    long number = -1;
    unsigned fd = 0;
    snprintf(path, sizeof path, "/proc/%d/syscall", (int)pid);
    usleep(2000);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    bool read = fscanf(file, "%ld %x", &number, &fd) == 2; /* "running": not stopped yet */
    fclose(file);
    snprintf(path, sizeof path, "/proc/%d/fd/%u", (int)pid, fd);
    return read && (number == SYS_pwrite64 || number == SYS_fdatasync) &&
           readlink(path, file_name, sizeof file_name - 1) > 0 &&
           strstr(file_name, "/pg_wal/") != NULL;
}

/* A session that stands still in the middle of a commit: no checkpoint ends before it goes on. */
static PGconn *halted_commit_new(const struct node *node)
{
    char *conninfo = mem_printf(
        "host=127.0.0.1 port=%u user=postgres password=" SUPER_PASS " dbname=postgres", node->port);
    PGconn *conn = PQconnectdb(conninfo);
    assert_int_equal(PQstatus(conn), CONNECTION_OK);
    assert_int_equal(PQsendQuery(conn, "DO $$ BEGIN LOOP INSERT INTO t VALUES (1); COMMIT;"
                                       " END LOOP; END $$"),
                     1);
    int64_t until_ms = now_ms() + BOUND_MS;
    assert_int_equal(kill(PQbackendPID(conn), SIGSTOP), 0);
    while (!is_stopped_writing_wal(PQbackendPID(conn))) {
        assert_true(now_ms() < until_ms);
        assert_int_equal(kill(PQbackendPID(conn), SIGCONT), 0);
        usleep(1000);
        assert_int_equal(kill(PQbackendPID(conn), SIGSTOP), 0);
    }
    mem_free(conninfo);
    return conn;
}

/* It writes all that is dirty, and a promotion may be waiting. */
static void the_end_of_the_checkpoint_is_not_waited_for(void **state)
{
    (void)state;
    struct node *n1 = primary_with_table("n1");
    char value[16];

    PGconn *halted = halted_commit_new(n1);
    set(n1, "\"nobody\"");
    node_sql(n1, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'CheckpointDone'", value,
             sizeof value);
    assert_string_equal(value, "1");
    assert_int_equal(kill(PQbackendPID(halted), SIGCONT), 0);
    PGconn *writer = writer_new(n1, "writer");
    wait_until_it_waits(n1, "writer");
    PQfinish(writer);
    set(n1, ""); /* and again, beside the first checkpoint or after it */
    set(n1, "\"nobody\"");
    writer = writer_new(n1, "writer");
    wait_until_it_waits(n1, "writer");
    PQfinish(writer);
    PQfinish(halted);
    node_free(n1);
}

static void the_setting_outlives_reloads_restarts_and_agents(void **state)
{
    static const struct pg_parameter parameters[] = {
        {"unix_socket_directories", "."}, {"work_mem", "8MB"}, {"synchronous_standby_names", ""}};
    (void)state;
    struct node *n1 = primary_with_table("n1");
    struct outcome outcome = {0};
    struct error err;
    char value[64];

    set(n1, "ANY 1 (\"nobody\")");
    node_agent(n1, true); /* another agent, which knows of nothing */
    const struct pg_reload reload = {.parameters = {parameters, 3}, .use_slots = true};
    assert_int_equal(pg_instance_reload(n1->pg, &reload, LONG_MS, on_done, &outcome, &err), 0);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, 0);
    for (int64_t until_ms = now_ms() + BOUND_MS; now_ms() < until_ms;) {
        node_sql(n1, "SHOW work_mem", value, sizeof value);
        if (strcmp(value, "8MB") == 0) {
            break;
        }
    }
    assert_string_equal(value, "8MB");
    look(n1);
    assert_string_equal(looked.setting, "ANY 1 (\"nobody\")");
    node_crash(n1);
    outcome = (struct outcome){0};
    node_start_well(n1, PG_START_PRIMARY, NULL);
    look(n1);
    assert_string_equal(looked.setting, "ANY 1 (\"nobody\")");
    PGconn *writer = writer_new(n1, "writer");
    wait_until_it_waits(n1, "writer");
    PQfinish(writer);
    node_free(n1);
}

/* Somebody has taken the file away: the next reload must not end all waiting. */
static void a_file_that_was_removed_comes_back_as_it_was(void **state)
{
    (void)state;
    struct node *n1 = primary_with_table("n1");
    char *path = mem_printf("%s/postgresql.sync.conf", n1->data);
    set(n1, "\"standby\"");
    assert_int_equal(unlink(path), 0);
    reload(n1);
    look(n1);
    assert_string_equal(looked.setting, "\"standby\"");
    node_agent(n1, true); /* another agent, which knows of nothing */
    assert_int_equal(unlink(path), 0);
    reload(n1);
    LOOK_UNTIL(n1, strcmp(looked.setting, "\"" PG_SYNC_NOBODY "\"") == 0);
    assert_int_equal(unlink(path), 0);
    node_crash(n1);
    node_start_well(n1, PG_START_PRIMARY, NULL);
    look(n1);
    assert_string_equal(looked.setting, "\"" PG_SYNC_NOBODY "\"");
    mem_free(path);
    node_free(n1);
}

/* Whether there was such a file cannot be told then, and an empty one would end all waiting. */
static void a_file_is_not_made_anew_beside_one_that_cannot_be_read(void **state)
{
    (void)state;
    struct node *n1 = primary_with_table("n1");
    char *path = mem_printf("%s/postgresql.sync.conf", n1->data);
    char *conf = mem_printf("%s/postgresql.conf", n1->data);
    char *away = mem_printf("%s.away", conf);
    struct outcome outcome = {0};
    struct error err;
    const struct pg_reload none = {.use_slots = true};

    set(n1, "\"standby\"");
    node_agent(n1, true);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rename(conf, away), 0);
    assert_int_equal(mkdir(conf, 0700), 0);
    assert_int_equal(pg_instance_reload(n1->pg, &none, LONG_MS, on_done, &outcome, &err), 0);
    outcome_wait(&outcome);
    assert_int_not_equal(outcome.rc, 0);
    assert_int_not_equal(access(path, F_OK), 0);
    assert_int_equal(rmdir(conf), 0);
    assert_int_equal(rename(away, conf), 0);
    reload(n1);
    LOOK_UNTIL(n1, strcmp(looked.setting, "\"" PG_SYNC_NOBODY "\"") == 0);
    mem_free(away);
    mem_free(conf);
    mem_free(path);
    node_free(n1);
}

/* A value of the configuration's is in force where the setting is not ours, and only there: that
 * nobody is waited for is a value, too. */
static void nobody_is_a_setting_and_not_the_lack_of_one(void **state)
{
    static const struct pg_parameter parameters[] = {{"unix_socket_directories", "."},
                                                     {"synchronous_standby_names", "theirs"}};
    (void)state;
    struct node *n1 = primary_with_table("n1");
    struct outcome outcome = {0};
    struct error err;
    const struct pg_reload reload = {.parameters = {parameters, 2}, .use_slots = true};

    assert_int_equal(pg_instance_reload(n1->pg, &reload, LONG_MS, on_done, &outcome, &err), 0);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, 0);
    LOOK_UNTIL(n1, strcmp(looked.setting, "theirs") == 0);
    set(n1, "");
    look(n1);
    assert_string_equal(looked.setting, "");
    set(n1, NULL);
    LOOK_UNTIL(n1, strcmp(looked.setting, "theirs") == 0);
    node_free(n1);
}

static void who_confirms_is_seen_and_can_be_ended(void **state)
{
    (void)state;
    struct node *n1 = primary_with_table("n1");
    struct node *n2 = standby_new("n2", n1);
    struct outcome outcome = {0};
    struct error err;

    LOOK_UNTIL(n1, walsender_of("n2") != NULL && walsender_of("n2")->streaming);
    assert_false(walsender_of("n2")->counts);
    assert_string_equal(walsender_of("n2")->slot, "n2");
    assert_string_equal(looked.setting, "");
    set(n1, "\"n2\"");
    LOOK_UNTIL(n1, walsender_of("n2") != NULL && walsender_of("n2")->counts);
    node_do(n1, "INSERT INTO t VALUES (2)");
    LOOK_UNTIL(n1, walsender_of("n2") != NULL && walsender_of("n2")->flush_lsn == looked.position);
    struct pg_walsender old = *walsender_of("n2");
    struct pg_walsender stranger = old;
    stranger.start_us++; /* its number was another's before */
    assert_int_equal(
        pg_instance_end_walsenders(n1->pg, &stranger, 1, LONG_MS, on_done, &outcome, &err), 0);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, 0);
    look(n1);
    assert_int_equal(walsender_of("n2")->pid, old.pid);
    outcome = (struct outcome){0};
    assert_int_equal(pg_instance_end_walsenders(n1->pg, &old, 1, LONG_MS, on_done, &outcome, &err),
                     0);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, 0);
    LOOK_UNTIL(n1, walsender_of("n2") != NULL && walsender_of("n2")->pid != old.pid);
    node_free(n2);
    node_free(n1);
}

static void a_standby_takes_it_before_it_is_promoted(void **state)
{
    (void)state;
    struct node *n1 = primary_with_table("n1");
    struct node *n2 = standby_new("n2", n1);
    struct outcome outcome;

    set(n2, "\"nobody\"");
    look_outcome(n2, &outcome);
    CHECK_RC(&outcome, ERR_REFUSED);
    node_crash(n1);
    outcome = (struct outcome){0};
    node_promote(n2, 2, &outcome);
    CHECK_RC(&outcome, 0);
    PGconn *writer = writer_new(n2, "writer");
    wait_until_it_waits(n2, "writer");
    PQfinish(writer);
    node_free(n2);
    node_free(n1);
}

static void what_wins_over_the_file_is_named(void **state)
{
    (void)state;
    struct node *n1 = primary_with_table("n1");
    struct outcome outcome;
    struct error err;

    node_do(n1, "ALTER SYSTEM SET synchronous_standby_names = 'other'");
    set_outcome(n1, "\"nobody\"", &outcome);
    CHECK_RC(&outcome, ERR_CONFLICT);
    expect_text(&outcome, "'other'");
    expect_text(&outcome, "ALTER SYSTEM");
    assert_int_equal(pg_instance_set_sync(n1->pg, "a\nb", LONG_MS, on_done, &outcome, &err),
                     ERR_INVALID);
    node_free(n1);
}

static void without_a_server_only_the_file_is_written(void **state)
{
    (void)state;
    struct node *n1 = primary_with_table("n1");
    struct outcome outcome = {0};

    node_stop(n1, FENCE_STOP_FAST, LONG_MS);
    set(n1, "\"nobody\"");
    look_outcome(n1, &outcome);
    assert_int_not_equal(outcome.rc, 0);
    node_start_well(n1, PG_START_PRIMARY, NULL);
    look(n1);
    assert_string_equal(looked.setting, "\"nobody\"");
    node_free(n1);
}

static int all_tests(void)
{
/* clang-format off */
#define ON_STAGE(test) cmocka_unit_test_setup_teardown(test, stage_open, stage_close)
    /* clang-format on */
    const struct CMUnitTest tests[] = {
        ON_STAGE(commits_wait_as_soon_as_the_setting_is_there),
        ON_STAGE(nothing_is_set_before_the_checkpointer_has_taken_it),
        ON_STAGE(the_end_of_the_checkpoint_is_not_waited_for),
        ON_STAGE(the_setting_outlives_reloads_restarts_and_agents),
        ON_STAGE(a_file_that_was_removed_comes_back_as_it_was),
        ON_STAGE(a_file_is_not_made_anew_beside_one_that_cannot_be_read),
        ON_STAGE(nobody_is_a_setting_and_not_the_lack_of_one),
        ON_STAGE(who_confirms_is_seen_and_can_be_ended),
        ON_STAGE(a_standby_takes_it_before_it_is_promoted),
        ON_STAGE(what_wins_over_the_file_is_named),
        ON_STAGE(without_a_server_only_the_file_is_written),
    };
    return cmocka_run_group_tests(tests, stage_template, NULL);
}

int main(int argc, char **argv)
{
    return stage_main(argc, argv, all_tests);
}
