/* Which logical slots of a standby do not outlive its promotion, and what keeps one from going. */
#include "tests/unit/pgctl/logical_stage.h"

static struct node *n1;
static struct node *n2;

/* A primary with the slot "app", or with "shop", too, and a standby with copies of them. */
static void two_nodes(size_t count)
{
    struct pg_logical_wish wishes[] = {app, shop};
    n1 = logical_primary();
    n2 = logical_standby(n1);
    set_well(n1, wishes, count, NULL);
    copy_by_restart(n2, n1);
}

static void two_nodes_free(void)
{
    node_free(n2);
    node_free(n1);
}

/* n2, as it was told. */
static void is_promoted(const struct outcome *outcome)
{
    CHECK_RC(outcome, 0);
    assert_int_equal(node_probe(n2), 0);
    assert_int_equal(probed.role, PG_PRIMARY);
}

/* A promotion drops what was copied and is not known to be safe. */
static void a_promotion_drops_what_is_not_safe(void **state)
{
    (void)state;
    two_nodes(1);
    assert_non_null(slot_of("app"));
    const char *unsafe[] = {"never there", "nor this", "3", "4", "5", "6", "7", "8", "9", "app"};
    struct pg_promote promote = {.timeline = 2, .drop_slots = {unsafe, 10}};
    struct outcome outcome = {0};
    struct error err;
    assert_int_equal(pg_instance_promote(n2->pg, &promote, LONG_MS, on_done, &outcome, &err), 0);
    outcome_wait(&outcome);
    is_promoted(&outcome);
    assert_null(slot_of("app"));
    two_nodes_free();
}

/* Who asks for the promotion need not know of the copy: his agent may have been started since. */
static void a_promotion_drops_a_copy_that_the_agent_has_forgotten(void **state)
{
    (void)state;
    struct outcome outcome;
    two_nodes(1);
    node_stop(n2, FENCE_STOP_FAST, LONG_MS); /* PostgreSQL leaves the mark where it is */
    node_start_well(n2, PG_START_STANDBY, n1);
    assert_int_equal(node_probe(n2), 0);
    assert_non_null(slot_of("app"));
    node_promote(n2, 2, &outcome);
    is_promoted(&outcome);
    assert_null(slot_of("app"));
    two_nodes_free();
}

/* What was good under the primary before the last one: nobody has seen what the last one kept. */
static void a_promotion_drops_what_was_good_on_an_earlier_timeline(void **state)
{
    (void)state;
    struct outcome outcome;
    two_nodes(2);
    note_app(n2, n1, 1, NULL);
    node_stop(n1, FENCE_STOP_FAST, LONG_MS);
    node_start_well(n1, PG_START_STANDBY, NULL);
    node_promote(n1, 2, &outcome);
    CHECK_RC(&outcome, 0);
    PROBE_UNTIL(n2, probed.receiver_alive && probed.timeline == 2);
    assert_int_equal(slot_of("app")->good_timeline, 1);
    node_promote(n2, 3, &outcome);
    is_promoted(&outcome);
    assert_null(slot_of("app"));
    two_nodes_free();
}

/* --- one that is in use ----------------------------------------------------------------------- */

/* A backend moves "app" on, and is stopped in the middle of that. The connection is the caller's:
 * to close it ends the backend. */
static PGconn *hold_app(struct node *node, struct node *primary)
{
    char value[32] = "";
    char sql[160];
    node_do(primary, "INSERT INTO t SELECT generate_series(1, 300000)");
    node_do(primary, "INSERT INTO t SELECT generate_series(1, 300000)");
    uint64_t lsn = replayed_all(primary, node);
    snprintf(sql, sizeof sql, "SELECT pg_replication_slot_advance('app', '%X/%X')",
             (unsigned)(lsn >> 32), (unsigned)lsn);
    PGconn *conn = node_connect(node);
    pid_t pid = PQbackendPID(conn);
    assert_int_equal(PQsendQuery(conn, sql), 1);
    for (int64_t until_ms = now_ms() + BOUND_MS; value[0] == '\0' && now_ms() < until_ms;) {
        node_sql(node, "SELECT active_pid FROM pg_replication_slots WHERE slot_name = 'app'", value,
                 sizeof value);
    }
    assert_int_equal(kill(pid, SIGSTOP), 0);
    node_sql(node, "SELECT active_pid FROM pg_replication_slots WHERE slot_name = 'app'", value,
             sizeof value);
    assert_int_equal(atoi(value), pid);
    return conn;
}

static void what_is_just_moved_on_is_dropped_all_the_same(void **state)
{
    (void)state;
    struct outcome outcome;
    two_nodes(1);
    PGconn *holder = hold_app(n2, n1);
    pid_t pid = PQbackendPID(holder);
    run("(sleep 1; kill -CONT %d) &", (int)pid);
    node_promote(n2, 2, &outcome);
    is_promoted(&outcome);
    assert_null(slot_of("app"));
    assert_string_equal(pg_instance_undropped(n2->pg), "");
    PQfinish(holder);
    two_nodes_free();
}

/* Whoever cannot be ended costs a promotion some seconds, no more, and is told. */
static void what_cannot_be_dropped_is_told_and_holds_no_promotion_up(void **state)
{
    (void)state;
    struct outcome outcome;
    two_nodes(2);
    PGconn *holder = hold_app(n2, n1);
    pid_t pid = PQbackendPID(holder);
    int64_t since_ms = now_ms();
    node_promote(n2, 2, &outcome);
    CHECK_RC(&outcome, 0);
    assert_in_range(now_ms() - since_ms, PG_DROP_MS_MAX, PG_DROP_MS_MAX + 5000);
    assert_string_equal(pg_instance_undropped(n2->pg), "app");
    assert_int_equal(node_probe(n2), 0);
    assert_null(slot_of("shop"));
    assert_true(slot_of("app")->marked);
    assert_int_equal(slot_of("app")->good_timeline, 0); /* so it is seen to be in doubt */
    assert_int_equal(kill(pid, SIGCONT), 0);
    PQfinish(holder);
    two_nodes_free();
}

/* --- what others have done -------------------------------------------------------------------- */

/* By hand, while nobody of ours looks. */
static void a_mark_is_seen_on_a_primary_and_taken_away_where_it_is_to_go(void **state)
{
    (void)state;
    struct outcome outcome = {0};
    struct error err;
    two_nodes(2);
    note_app(n2, n1, 1, NULL);
    node_do(n2, "SELECT pg_promote()");
    assert_int_equal(node_probe(n2), 0);
    assert_int_equal(probed.role, PG_PRIMARY);
    assert_true(slot_of("shop")->marked && slot_of("shop")->good_timeline == 0);
    assert_true(slot_of("app")->marked && slot_of("app")->good_timeline == 1);
    const char *real = "app";
    struct pg_logical_slots slots = {.real = {&real, 1}};
    assert_int_equal(pg_instance_set_logical(n2->pg, &slots, LONG_MS, on_done, &outcome, &err), 0);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, 0);
    assert_int_equal(node_probe(n2), 0);
    assert_false(slot_of("app")->marked);
    two_nodes_free();
}

/* It was decided before it became the primary, whose slot of that name is another thing. */
static void what_a_standby_was_to_drop_a_fresh_primary_keeps(void **state)
{
    (void)state;
    struct outcome outcome = {0};
    struct error err;
    n1 = logical_primary();
    set_well(n1, &app, 1, NULL);
    const char *name = "app";
    struct pg_logical_slots slots = {.drop = {&name, 1}, .role = PG_STANDBY};
    assert_int_equal(pg_instance_set_logical(n1->pg, &slots, LONG_MS, on_done, &outcome, &err), 0);
    outcome_wait(&outcome);
    CHECK_RC(&outcome, 0);
    assert_int_equal(node_probe(n1), 0);
    assert_non_null(slot_of("app"));
    node_free(n1);
}

static int all_tests(void)
{
    const struct CMUnitTest tests[] = {
        ON_STAGE(a_promotion_drops_what_is_not_safe),
        ON_STAGE(a_promotion_drops_a_copy_that_the_agent_has_forgotten),
        ON_STAGE(a_promotion_drops_what_was_good_on_an_earlier_timeline),
        ON_STAGE(what_is_just_moved_on_is_dropped_all_the_same),
        ON_STAGE(what_cannot_be_dropped_is_told_and_holds_no_promotion_up),
        ON_STAGE(a_mark_is_seen_on_a_primary_and_taken_away_where_it_is_to_go),
        ON_STAGE(what_a_standby_was_to_drop_a_fresh_primary_keeps),
    };
    return cmocka_run_group_tests(tests, stage_template, NULL);
}

int main(int argc, char **argv)
{
    return stage_main(argc, argv, all_tests);
}
