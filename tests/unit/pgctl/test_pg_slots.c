/* Physical slots of real servers: they are made, moved on, made anew and dropped as asked, and WAL
 * is kept for as long as somebody needs it, and no longer. */
#include "tests/unit/pgctl/pg_stage.h"

enum { SEGMENT_BYTES = 1024 * 1024 }; /* of the template */

static void set_slots(struct node *node, const struct pg_slot_wish *wishes, size_t count,
                      const char *drop)
{
    struct pg_slots slots = {
        .wishes = wishes, .wish_count = count, .drop = {&drop, drop == NULL ? 0 : 1}};
    struct outcome outcome = {0};
    struct error err;
    assert_int_equal(pg_instance_set_slots(node->pg, &slots, LONG_MS, on_done, &outcome, &err), 0);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, 0);
    assert_int_equal(node_probe(node), 0);
}

/* Of the last probe; NULL = none. */
static const struct pg_slot *slot_of(const char *name)
{
    for (size_t i = 0; i < probed.slot_count; i++) {
        if (strcmp(probed.slots[i].name, name) == 0) {
            return &probed.slots[i];
        }
    }
    return NULL;
}

static uint64_t flushed(struct node *primary)
{
    assert_int_equal(node_probe(primary), 0);
    return probed.flush_lsn;
}

/* A primary where nothing but slots and its last checkpoint keeps WAL. */
static struct node *lean_primary_new(const char *name)
{
    struct node *node = primary_new(name);
    node_do(node, "ALTER SYSTEM SET wal_keep_size = 0");
    node_do(node, "ALTER SYSTEM SET min_wal_size = '2MB'");
    node_do(node, "ALTER SYSTEM SET max_wal_size = '4GB'"); /* checkpoints come when we say */
    node_do(node, "SELECT pg_reload_conf()");
    node_do(node, "CREATE TABLE t (a int)");
    return node;
}

static void write_segments(struct node *primary, int count)
{
    for (int i = 0; i < count; i++) {
        node_do(primary, "INSERT INTO t VALUES (1)");
        node_do(primary, "SELECT pg_switch_wal()");
    }
}

/* Both have done with everything up to here. */
static void checkpoint_both(struct node *primary, struct node *standby)
{
    node_do(primary, "CHECKPOINT");
    uint64_t lsn = flushed(primary);
    PROBE_UNTIL(standby, probed.replay_lsn >= lsn);
    node_do(standby, "CHECKPOINT");
    assert_int_equal(node_probe(standby), 0);
}

static int segments(const struct node *node)
{
    char value[16];
    node_sql(node, "SELECT count(*) FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$'", value,
             sizeof value);
    return atoi(value);
}

/* --- positions -------------------------------------------------------------------------------- */

static void wal_of_a_standby_stays_bounded_as_its_slots_move_on(void **state)
{
    (void)state;
    enum { ROUND = 6, BOUND = 3 * ROUND }; /* those recycled count, too */
    struct node *n1 = lean_primary_new("n1");
    struct node *n2 = standby_new("n2", n1);
    struct pg_slot_wish wishes[] = {{.name = "n1", .idle = true}, {.name = "n3", .idle = true}};

    set_slots(n2, wishes, 2, NULL);
    uint64_t first = slot_of("n1")->restart_lsn;
    assert_true(first > 0);
    for (int round = 0; round < 4; round++) { /* nobody says where they are */
        write_segments(n1, ROUND);
        checkpoint_both(n1, n2);
        set_slots(n2, wishes, 2, NULL);
    }
    assert_int_equal(slot_of("n1")->restart_lsn, first);
    assert_in_range(segments(n2), 4 * ROUND, 1000);

    for (int round = 0; round < 3; round++) {
        write_segments(n1, ROUND);
        wishes[0].lsn = wishes[1].lsn = flushed(n1);
        PROBE_UNTIL(n2, probed.replay_lsn >= wishes[0].lsn);
        set_slots(n2, wishes, 2, NULL);
        assert_int_equal(slot_of("n1")->restart_lsn, wishes[0].lsn);
        assert_int_equal(slot_of("n3")->restart_lsn, wishes[0].lsn);
        checkpoint_both(n1, n2);
        assert_in_range(segments(n2), 1, BOUND);
    }

    /* n3 is behind: it is waited for. What has gone on without it goes on. */
    uint64_t behind = slot_of("n3")->restart_lsn;
    wishes[1].lsn = behind;
    for (int round = 0; round < 3; round++) {
        write_segments(n1, ROUND);
        checkpoint_both(n1, n2);
        wishes[0].lsn = flushed(n1);
        set_slots(n2, wishes, 2, NULL);
    }
    assert_int_equal(slot_of("n3")->restart_lsn, behind);
    assert_in_range(slot_of("n1")->restart_lsn, behind + 2 * ROUND * SEGMENT_BYTES, UINT64_MAX);
    assert_in_range(segments(n2), 3 * ROUND, 1000);

    /* Positions that nobody can have here yet. */
    wishes[0].lsn = wishes[1].lsn = UINT64_MAX;
    set_slots(n2, wishes, 2, NULL);
    assert_int_equal(slot_of("n1")->restart_lsn, probed.replay_lsn);
    node_free(n2);
    node_free(n1);
}

/* --- made anew -------------------------------------------------------------------------------- */

static void slot_without_its_wal_is_made_anew(void **state)
{
    (void)state;
    struct node *n1 = lean_primary_new("n1");
    const struct pg_slot_wish wishes[] = {{.name = "n2"}, {.name = "raw"}};

    node_do(n1, "ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'");
    node_do(n1, "SELECT pg_reload_conf()");
    set_slots(n1, wishes, 1, NULL);
    node_do(n1, "SELECT pg_create_physical_replication_slot('raw')");
    write_segments(n1, 6);
    node_do(n1, "CHECKPOINT");
    assert_int_equal(node_probe(n1), 0);
    assert_string_equal(slot_of("n2")->wal_status, "lost");
    assert_int_equal(slot_of("raw")->restart_lsn, 0);
    set_slots(n1, wishes, 2, NULL);
    assert_string_equal(slot_of("n2")->wal_status, "reserved");
    assert_true(slot_of("n2")->restart_lsn > 0);
    assert_int_equal(slot_of("raw")->restart_lsn, slot_of("n2")->restart_lsn);
    node_free(n1);
}

/* What hot_standby_feedback of a standby has left behind on a member that is no primary any more
 * would go to the new primary as this one's own, for ever. */
static void xmin_that_nobody_renews_is_taken_away_where_nobody_streams(void **state)
{
    (void)state;
    struct node *n1 = primary_new("n1");
    struct node *n2 = standby_new("n2", n1);
    struct pg_slot_wish wish = {.name = "n2"};

    node_do(n2, "ALTER SYSTEM SET hot_standby_feedback = on");
    node_do(n2, "SELECT pg_reload_conf()");
    PROBE_UNTIL(n1, slot_of("n2")->has_xmin);
    node_stop(n2, FENCE_STOP_FAST, LONG_MS);
    PROBE_UNTIL(n1, !slot_of("n2")->active);
    set_slots(n1, &wish, 1, NULL);
    assert_true(slot_of("n2")->has_xmin);
    wish.idle = true;
    set_slots(n1, &wish, 1, NULL);
    assert_false(slot_of("n2")->has_xmin);
    assert_true(slot_of("n2")->restart_lsn > 0);
    node_free(n2);
    node_free(n1);
}

/* --- left alone ------------------------------------------------------------------------------- */

static void only_what_is_named_and_idle_is_dropped(void **state)
{
    (void)state;
    struct node *n1 = primary_new("n1");
    struct node *n2 = standby_new("n2", n1);
    const struct pg_slot_wish wish = {.name = "n2", .idle = true, .lsn = 1};
    char value[16];

    PGconn *session = node_connect(n1);
    PGresult *made =
        PQexec(session, "SELECT pg_create_physical_replication_slot('copying', true, true)");
    assert_int_equal(PQresultStatus(made), PGRES_TUPLES_OK);
    node_do(n1, "SELECT pg_create_physical_replication_slot('receiver', true)");
    node_do(n1, "SELECT pg_create_physical_replication_slot('gone', true)");
    PROBE_UNTIL(n1, slot_of("n2")->active);
    set_slots(n1, &wish, 1, "n2"); /* in use, both ways */
    assert_true(slot_of("n2")->active);
    set_slots(n1, NULL, 0, "copying");
    set_slots(n1, NULL, 0, "nobody");
    set_slots(n1, NULL, 0, "gone");
    assert_null(slot_of("gone"));
    assert_non_null(slot_of("receiver"));
    assert_null(slot_of("copying")); /* not told of */
    node_sql(n1, "SELECT count(*) FROM pg_replication_slots WHERE temporary", value, sizeof value);
    assert_string_equal(value, "1");
    PQclear(made);
    PQfinish(session);
    node_free(n2);
    node_free(n1);
}

static int all_tests(void)
{
    const struct CMUnitTest tests[] = {
        ON_STAGE(wal_of_a_standby_stays_bounded_as_its_slots_move_on),
        ON_STAGE(slot_without_its_wal_is_made_anew),
        ON_STAGE(xmin_that_nobody_renews_is_taken_away_where_nobody_streams),
        ON_STAGE(only_what_is_named_and_idle_is_dropped),
    };
    return cmocka_run_group_tests(tests, stage_template, NULL);
}

int main(int argc, char **argv)
{
    return stage_main(argc, argv, all_tests);
}
