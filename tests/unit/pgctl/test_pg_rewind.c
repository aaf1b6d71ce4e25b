/* Rewinds with a real PostgreSQL: of an old primary that has what the new one has not, and those
 * that cannot be, or may not be any more when the last look is taken. */
#include "tests/unit/pgctl/pg_stage.h"

/* n1 was the primary and wrote something that n2, promoted to timeline 2, does not have. */
struct diverged {
    struct node *old;
    struct node *new;
};

static struct diverged diverge(enum fence_stop_mode stop_old)
{
    struct diverged pair;
    struct outcome outcome;
    pair.old = primary_new("n1");
    pair.new = standby_new("n2", pair.old);
    node_promote(pair.new, 2, &outcome);
    CHECK_RC(&outcome, 0);
    node_slot(pair.new, "n1"); /* where it has to stream before it is consistent */
    node_do(pair.old, "CREATE TABLE lost AS SELECT 1 AS a");
    node_do(pair.new, "CREATE TABLE kept AS SELECT 2 AS a");
    node_stop(pair.old, stop_old, LONG_MS);
    return pair;
}

static void diverged_free(struct diverged *pair)
{
    node_free(pair->old);
    node_free(pair->new);
}

static void follow_after_rewind(const struct diverged *pair)
{
    char value[64];
    expect_dir(pair->old, PG_DIR_VALID, PG_UNFINISHED_NONE);
    node_start_well(pair->old, PG_START_STANDBY, pair->new);
    PROBE_UNTIL(pair->old, probed.receiver_alive && probed.timeline == 2);
    node_sql(pair->old, "SELECT to_regclass('lost') IS NULL AND (SELECT a FROM kept) = 2", value,
             sizeof value);
    assert_string_equal(value, "t");
}

static void damaged_control_file_is_seen_wherever_the_warning_is_printed(void **state)
{
    (void)state;
    static const char *const streams[] = {"", " >&2"}; /* until 16, from 17 on */

    struct node *node = node_of_template("n1");
    expect_dir(node, PG_DIR_VALID, PG_UNFINISHED_NONE);
    for (size_t i = 0; i < sizeof streams / sizeof streams[0]; i++) {
        char *script = mem_printf(PG_BIN "/pg_controldata \"$@\" || exit\n"
                                         "echo 'pg_controldata: warning: calculated CRC checksum "
                                         "does not match value stored in control file'%s",
                                  streams[i]);
        node_program(node, "pg_controldata", script);
        mem_free(script);
        expect_dir(node, PG_DIR_BROKEN, PG_UNFINISHED_NONE);
        assert_non_null(strstr(inspected.reason, "CRC"));
    }
    node_program_back(node, "pg_controldata");
    expect_dir(node, PG_DIR_VALID, PG_UNFINISHED_NONE);
    node_free(node);
}

static void old_primary_that_crashed_is_rewound_and_follows(void **state)
{
    (void)state;
    struct diverged pair = diverge(FENCE_STOP_IMMEDIATE);
    struct outcome outcome;

    node_inspect(pair.old);
    assert_int_equal(inspected.control.state, PG_CONTROL_IN_PRODUCTION);
    node_rewind(pair.old, pair.new, template_id, LONG_MS, &outcome);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, 0);
    follow_after_rewind(&pair);

    /* Nothing to rewind: well, too. */
    node_stop(pair.old, FENCE_STOP_FAST, LONG_MS);
    node_rewind(pair.old, pair.new, template_id, LONG_MS, &outcome);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, 0);
    follow_after_rewind(&pair);
    diverged_free(&pair);
}

/* The WAL since the fork is gone here: found out before anything is written. */
static void rewind_that_is_impossible_says_why_and_leaves_the_directory(void **state)
{
    (void)state;
    struct diverged pair = diverge(FENCE_STOP_FAST);
    struct outcome outcome;

    assert_int_equal(run("mkdir %s/wal && mv %s/pg_wal/0* %s/wal/", pair.old->dir, pair.old->data,
                         pair.old->dir),
                     0);
    node_rewind(pair.old, pair.new, template_id, LONG_MS, &outcome);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, ERR_IO);
    expect_text(&outcome, "pg_rewind: exit status 1");
    expect_text(&outcome, "could not read WAL record");
    expect_dir(pair.old, PG_DIR_VALID, PG_UNFINISHED_NONE);

    assert_int_equal(run("mv %s/wal/0* %s/pg_wal/", pair.old->dir, pair.old->data), 0);
    node_rewind(pair.old, pair.new, template_id, LONG_MS, &outcome);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, 0);
    follow_after_rewind(&pair);
    diverged_free(&pair);
}

static void rewind_without_its_source_leaves_the_directory(void **state)
{
    (void)state;
    struct diverged pair = diverge(FENCE_STOP_IMMEDIATE);
    struct outcome outcome;

    node_rewind(pair.old, pair.new, 42, LONG_MS, &outcome);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, ERR_UNAVAILABLE);
    expect_dir(pair.old, PG_DIR_VALID, PG_UNFINISHED_NONE);

    node_do(pair.new, "ALTER ROLE rewind_user PASSWORD 'another'");
    node_rewind(pair.old, pair.new, template_id, LONG_MS, &outcome);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, ERR_PERMISSION);
    expect_dir(pair.old, PG_DIR_VALID, PG_UNFINISHED_NONE);

    /* Let in, and not allowed what pg_rewind needs. */
    node_do(pair.new, "ALTER ROLE rewind_user PASSWORD 'rewind_password'");
    node_do(pair.new, "REVOKE EXECUTE ON FUNCTION pg_read_binary_file(text) FROM rewind_user");
    node_rewind(pair.old, pair.new, template_id, LONG_MS, &outcome);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, ERR_IO);
    expect_text(&outcome, "permission denied for function pg_read_binary_file");
    expect_dir(pair.old, PG_DIR_VALID, PG_UNFINISHED_NONE);
    assert_int_equal(inspected.control.state, PG_CONTROL_SHUT_DOWN);

    node_stop(pair.new, FENCE_STOP_FAST, LONG_MS);
    node_rewind(pair.old, pair.new, template_id, LONG_MS, &outcome);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, ERR_CLOSED);
    expect_dir(pair.old, PG_DIR_VALID, PG_UNFINISHED_NONE);
    diverged_free(&pair);
}

static void rewind_without_checksums_and_hints_is_refused(void **state)
{
    (void)state;
    struct node *node = node_of_template("n1");
    struct outcome outcome;

    assert_int_equal(run(PG_BIN "/pg_checksums --disable -N -D %s >/dev/null", node->data), 0);
    node_inspect(node);
    if (inspected.control.wal_log_hints) { /* of the last start, and ours has them on */
        assert_int_equal(run("cd %s && printf 'port = 1\nwal_log_hints = off\n"
                             "listen_addresses = \"\"\nunix_socket_directories = \"\"\n'"
                             "| tr '\"' \"'\" > off.conf && echo SELECT 1 | " PG_BIN
                             "/postgres --single -D %s --config_file=%s/off.conf postgres"
                             " >/dev/null 2>&1",
                             node->dir, node->data, node->dir),
                         0);
    }
    node_rewind(node, node, template_id, LONG_MS, &outcome);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, ERR_REFUSED);
    expect_text(&outcome, "neither data checksums nor wal_log_hints");
    expect_dir(node, PG_DIR_VALID, PG_UNFINISHED_NONE);
    node_free(node);
}

static void half_rewound_directory_is_never_started_and_may_be_rewound_again(void **state)
{
    (void)state;
    struct diverged pair = diverge(FENCE_STOP_FAST);
    struct outcome outcome;

    node_program(pair.old, "pg_rewind",
                 "case \"$*\" in *--dry-run*) exit 0;; esac\n"
                 "echo 'pg_rewind: reading' >&2\necho 'pg_rewind: fatal: the disk is on fire' >&2\n"
                 "exit 3");
    node_rewind(pair.old, pair.new, template_id, LONG_MS, &outcome);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, ERR_IO);
    expect_text(&outcome, "pg_rewind: exit status 3: pg_rewind: fatal: the disk is on fire");
    expect_dir(pair.old, PG_DIR_UNFINISHED, PG_UNFINISHED_REWIND);
    node_start(pair.old, PG_START_STANDBY, pair.new, &outcome);
    CHECK_RC(&outcome, ERR_REFUSED);
    node_clone(pair.old, pair.new, template_id, LONG_MS, &outcome);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, ERR_EXISTS);

    node_program_back(pair.old, "pg_rewind");
    node_rewind(pair.old, pair.new, template_id, LONG_MS, &outcome);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, 0);
    follow_after_rewind(&pair);
    diverged_free(&pair);
}

/* --- a disk that forgets ---------------------------------------------------------------------- */

/* What the primary writes from now on and its standby receives is gone from its own disk when it
 * has crashed. */
static void lose_wal_of(struct node *old, struct node *standby)
{
    char forget[256];
    char flushed[64];

    node_do(old, "CREATE TABLE synced ()"); /* a position inside a segment */
    node_sql(
        old,
        "SELECT format('truncate -s %s %s && truncate -s 1M %s && ls 0* | awk ''$0 > \"%s\"'' | "
        "xargs -r rm', file_offset, file_name, file_name, file_name) "
        "FROM pg_walfile_name_offset(pg_current_wal_flush_lsn())",
        forget, sizeof forget);
    node_do(old, "CREATE TABLE kept AS SELECT 2 AS a");
    node_sql(old, "SELECT pg_current_wal_flush_lsn() - '0/0'", flushed, sizeof flushed);
    PROBE_UNTIL(standby, probed.flush_lsn >= strtoull(flushed, NULL, 10));
    node_crash(old);
    assert_int_equal(run("cd %s/pg_wal && %s", old->data, forget), 0);
}

struct peer_said {
    int calls;
    struct pg_peer_facts facts; /* without its history */
};

static void on_peer_said(void *arg, int rc, const struct pg_peer_facts *facts,
                         const struct error *err)
{
    struct peer_said *said = arg;
    if (rc != 0) {
        fail_msg("%s", err->text);
    }
    said->facts = *facts;
    said->calls++;
}

static void old_primary_whose_disk_has_lost_wal_is_copied_anew(void **state)
{
    (void)state;
    struct diverged pair = {.old = primary_new("n1")};
    struct outcome outcome;

    pair.new = standby_new("n2", pair.old);
    lose_wal_of(pair.old, pair.new);
    node_promote(pair.new, 2, &outcome);
    CHECK_RC(&outcome, 0);

    /* The second time, too: nobody takes it for whole meanwhile. */
    for (int i = 0; i < 2; i++) {
        node_rewind(pair.old, pair.new, template_id, LONG_MS, &outcome);
        outcome_wait(&outcome);
        CHECK_RC(&outcome, ERR_REFUSED);
        expect_text(&outcome, "the disk has lost WAL that was synced");
        expect_dir(pair.old, PG_DIR_UNFINISHED, PG_UNFINISHED_REWIND);
        node_start(pair.old, PG_START_STANDBY, pair.new, &outcome);
        CHECK_RC(&outcome, ERR_REFUSED);
    }
    node_remove(pair.old, &outcome);
    CHECK_RC(&outcome, 0);
    node_slot(pair.new, "n1");
    node_clone_well(pair.old, pair.new);
    node_start_well(pair.old, PG_START_STANDBY, pair.new);
    PROBE_UNTIL(pair.old, probed.receiver_alive && probed.timeline == 2);
    diverged_free(&pair);
}

/* The same disk, and the primary is back on its own timeline: what a standby of it has is more. */
static void standby_of_a_primary_that_has_lost_wal_is_ahead_of_it(void **state)
{
    (void)state;
    struct node *primary = primary_new("n1");
    struct node *standby = standby_new("n2", primary);
    struct peer_said said = {0};
    struct error err;

    for (unsigned lost = 0; lost < 2; lost++) {
        if (lost > 0) {
            lose_wal_of(primary, standby);
            node_start_well(primary, PG_START_PRIMARY, NULL);
        } else {
            node_do(primary, "CREATE TABLE synced_before ()");
        }
        PROBE_UNTIL(standby, probed.local_wal_replayed);
        const struct pg_local_position here = {
            .timeline = probed.timeline,
            .lsn = probed.flush_lsn > probed.replay_lsn ? probed.flush_lsn : probed.replay_lsn};
        said = (struct peer_said){0};
        assert_int_equal(pg_instance_ask_peer(standby->pg, "127.0.0.1", primary->port, LONG_MS,
                                              on_peer_said, &said, &err),
                         0);
        WAIT_FOR(said.calls > 0);
        assert_int_equal(said.facts.role, PG_PRIMARY);
        assert_int_equal(pg_divergence_is_lost(&here, said.facts.timeline, said.facts.lsn, NULL),
                         lost);
    }
    node_free(standby);
    node_free(primary);
}

/* --- the last look before a rewind writes ----------------------------------------------------- */

static void source_that_goes_down_between_trial_and_rewind_leaves_the_directory(void **state)
{
    (void)state;
    struct diverged pair = diverge(FENCE_STOP_FAST);
    struct outcome outcome;
    char *script = mem_printf("case \"$*\" in *--dry-run*) " PG_BIN "/pg_ctl stop -s -m fast -D %s;"
                              " exit 0;; esac\nexec " PG_BIN "/pg_rewind --no-sync \"$@\"",
                              pair.new->data);

    node_program(pair.old, "pg_rewind", script);
    node_rewind(pair.old, pair.new, template_id, LONG_MS, &outcome);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, ERR_CLOSED);
    expect_dir(pair.old, PG_DIR_VALID, PG_UNFINISHED_NONE);
    diverged_free(&pair);
    mem_free(script);
}

static bool allowed_once(void *arg)
{
    return ++*(int *)arg <= 1;
}

static void rewind_asks_its_caller_again_before_it_writes(void **state)
{
    (void)state;
    struct diverged pair = diverge(FENCE_STOP_FAST);
    struct outcome outcome = {0};
    struct error err;
    int asked = 0;
    struct pg_rewind rewind = {"127.0.0.1", pair.new->port, template_id, allowed_once, &asked};

    assert_int_equal(pg_instance_rewind(pair.old->pg, &rewind, LONG_MS, on_done, &outcome, &err),
                     0);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, ERR_REFUSED);
    expect_text(&outcome, "does not lead any more");
    assert_int_equal(asked, 2);
    expect_dir(pair.old, PG_DIR_VALID, PG_UNFINISHED_NONE);
    diverged_free(&pair);
}

static bool allowed(void *arg)
{
    ++*(int *)arg;
    return true;
}

/* The caller logs that data is about to go: not each time that the source is looked at. */
static void rewind_asks_its_caller_when_there_is_nothing_left_to_wait_for(void **state)
{
    (void)state;
    struct diverged pair = {.old = primary_new("n1")};
    struct outcome outcome = {0};
    struct error err;
    char value[64];
    int asked = 0;

    pair.new = standby_new("n2", pair.old);
    node_sql(pair.new, "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'",
             value, sizeof value);
    pid_t checkpointer = (pid_t)atoi(value);
    assert_true(checkpointer > 0);
    assert_int_equal(kill(checkpointer, SIGSTOP), 0);
    node_promote(pair.new, 2, &outcome);
    CHECK_RC(&outcome, 0);
    node_do(pair.old, "CREATE TABLE lost ()");
    node_do(pair.new, "CREATE TABLE kept AS SELECT 2 AS a");
    node_stop(pair.old, FENCE_STOP_FAST, LONG_MS);

    struct pg_rewind rewind = {"127.0.0.1", pair.new->port, template_id, allowed, &asked};
    outcome = (struct outcome){0};
    assert_int_equal(pg_instance_rewind(pair.old->pg, &rewind, LONG_MS, on_done, &outcome, &err),
                     0);
    int64_t until_ms = now_ms() + 700;
    WAIT_FOR(now_ms() > until_ms);
    assert_int_equal(outcome.calls, 0);
    assert_int_equal(asked, 0);
    assert_int_equal(kill(checkpointer, SIGCONT), 0);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, 0);
    assert_int_equal(asked, 2);
    follow_after_rewind(&pair);
    diverged_free(&pair);
}

static int all_tests(void)
{
    const struct CMUnitTest tests[] = {
        ON_STAGE(damaged_control_file_is_seen_wherever_the_warning_is_printed),
        ON_STAGE(old_primary_that_crashed_is_rewound_and_follows),
        ON_STAGE(rewind_that_is_impossible_says_why_and_leaves_the_directory),
        ON_STAGE(rewind_without_its_source_leaves_the_directory),
        ON_STAGE(rewind_without_checksums_and_hints_is_refused),
        ON_STAGE(half_rewound_directory_is_never_started_and_may_be_rewound_again),
        ON_STAGE(old_primary_whose_disk_has_lost_wal_is_copied_anew),
        ON_STAGE(standby_of_a_primary_that_has_lost_wal_is_ahead_of_it),
        ON_STAGE(source_that_goes_down_between_trial_and_rewind_leaves_the_directory),
        ON_STAGE(rewind_asks_its_caller_again_before_it_writes),
        ON_STAGE(rewind_asks_its_caller_when_there_is_nothing_left_to_wait_for),
    };
    return cmocka_run_group_tests(tests, stage_template, NULL);
}

int main(int argc, char **argv)
{
    return stage_main(argc, argv, all_tests);
}
