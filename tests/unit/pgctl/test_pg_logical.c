/* Logical slots of real servers before 17: made on the primary, copied to a standby while it is
 * down, moved on there, and read from after its promotion. */
#include "tests/unit/pgctl/logical_stage.h"

/* --- the life of one -------------------------------------------------------------------------- */

static void one_is_copied_moved_on_and_read_from_after_a_promotion(void **state)
{
    (void)state;
    struct node *n1 = logical_primary();
    struct pg_logical_wish wishes[] = {app, shop};
    struct outcome outcome;

    struct node *n2 = logical_standby(n1);
    set_well(n1, wishes, 2, NULL);
    set_well(n1, wishes, 2, NULL); /* and stay */
    assert_string_equal(slot_of("shop")->database, "shop");
    assert_string_equal(slot_of("app")->plugin, "test_decoding");
    assert_true(slot_of("app")->catalog_xmin != 0 && slot_of("app")->confirmed_lsn != 0);
    insert(n1, 1, 10);
    assert_int_equal(consume(n1), 10);
    insert(n1, 11, 20);

    ask_well(n2, n1, false);
    assert_true(seen.physical_there);
    assert_int_equal(seen.physical_xmin, 0); /* nobody holds anything for it there */
    assert_false(there("app")->fetched);
    copy_by_restart(n2, n1);
    assert_true(there("app")->fetched && there("shop")->fetched);
    uint64_t before = slot_of("app")->confirmed_lsn;
    assert_true(before != 0);
    /* From now on the primary keeps what the copy needs. */
    int64_t until_ms = now_ms() + BOUND_MS;
    do {
        ask_well(n2, n1, false);
    } while (seen.physical_xmin == 0 && now_ms() < until_ms);
    assert_int_equal(seen.physical_xmin, slot_of("app")->catalog_xmin);

    ask_well(n2, n1, false);
    wishes[0].lsn = there("app")->confirmed_lsn;
    replayed_all(n1, n2);
    set_well(n2, wishes, 2, NULL);
    assert_int_equal(slot_of("app")->confirmed_lsn, wishes[0].lsn);
    assert_true(wishes[0].lsn > before);
    replayed_all(n1, n2);
    assert_int_equal(seen.timeline, 1);
    note_app(n2, n1, seen.timeline, NULL);
    assert_int_equal(node_probe(n2), 0);
    assert_true(slot_of("app")->marked && slot_of("shop")->marked);
    assert_int_equal(slot_of("app")->good_timeline, 1);
    assert_int_equal(slot_of("shop")->good_timeline, 0);
    node_crash(n1);
    node_promote(n2, 2, &outcome);
    CHECK_RC(&outcome, 0);
    assert_int_equal(node_probe(n2), 0);
    assert_null(slot_of("shop"));         /* nobody has said that it is good */
    assert_false(slot_of("app")->marked); /* the primary's own from now on */
    assert_string_equal(pg_instance_undropped(n2->pg), "");
    insert(n2, 21, 25);
    assert_int_equal(consume(n2), 15); /* 11 to 25: none is lost, none comes twice */
    node_free(n2);
    node_free(n1);
}

static void what_is_named_is_dropped_or_made_anew_and_failures_are_told(void **state)
{
    (void)state;
    struct node *n1 = logical_primary();
    struct pg_logical_wish wishes[] = {app, shop};
    struct pg_logical_wish other = {.name = "app", .database = "shop", .plugin = "test_decoding"};
    struct pg_logical_wish nowhere = {
        .name = "lost", .database = "no such", .plugin = "test_decoding"};
    struct outcome outcome;

    set_well(n1, wishes, 2, NULL);
    set_well(n1, NULL, 0, "shop");
    assert_null(slot_of("shop"));
    set_well(n1, NULL, 0, "shop");
    set_well(n1, &other, 1, NULL); /* of another database: it is made anew */
    assert_string_equal(slot_of("app")->database, "shop");
    /* What fails is told, and the rest is done. */
    const struct pg_logical_wish three[] = {nowhere, shop, app};
    set_logical(n1, three, 3, NULL, &outcome);
    assert_int_equal(outcome.rc, ERR_PERMISSION);
    expect_text(&outcome, "no such");
    assert_non_null(slot_of("shop"));
    assert_string_equal(slot_of("app")->database, "postgres");

    node_free(n1);
}

/* --- what is not taken ------------------------------------------------------------------------ */

static void one_whose_wal_is_not_here_is_not_copied(void **state)
{
    (void)state;
    struct node *n1 = logical_primary();
    struct node *n2 = node_new("n2");
    set_well(n1, &app, 1, NULL);
    for (int i = 0; i < 20; i++) { /* 16 MB are kept */
        insert(n1, 1, 10);
        node_do(n1, "SELECT pg_switch_wal()");
    }
    node_do(n1, "CHECKPOINT");
    (void)standby_of(n1, n2); /* what the copy would begin with is long behind */
    ask_well(n2, n1, true);
    assert_false(there("app")->fetched);
    assert_non_null(strstr(there("app")->fault, "is not here any more"));
    node_stop(n2, FENCE_STOP_FAST, LONG_MS);
    node_start_well(n2, PG_START_STANDBY, n1);
    assert_int_equal(node_probe(n2), 0);
    assert_null(slot_of("app"));
    node_free(n2);
    node_free(n1);
}

/* A copy that lost its WAL after all is dropped when it is moved on. */
static void a_copy_without_its_wal_is_dropped(void **state)
{
    (void)state;
    struct node *n1 = logical_primary();
    struct node *n2 = logical_standby(n1);
    set_well(n1, &app, 1, NULL);
    struct pg_logical_wish wish = app;
    struct outcome outcome;

    copy_by_restart(n2, n1);
    node_do(n1, "SELECT pg_switch_wal()");
    insert(n1, 1, 10);
    assert_int_equal(consume(n1), 10);
    wish.lsn = replayed_all(n1, n2);
    assert_int_equal(run("rm -f %s/pg_wal/000000010000*", n2->data), 0);
    set_logical(n2, &wish, 1, NULL, &outcome);
    assert_int_equal(outcome.rc, ERR_REFUSED);
    expect_text(&outcome, "58P01");
    assert_null(slot_of("app"));
    node_free(n2);
    node_free(n1);
}

static void a_damaged_state_is_not_copied(void **state)
{
    (void)state;
    struct node *n1 = logical_primary();
    struct outcome outcome;
    struct node *n2 = logical_standby(n1);
    set_well(n1, &app, 1, NULL);
    assert_int_equal(
        run("printf X | dd of=%s/pg_replslot/app/state bs=1 seek=120 conv=notrunc 2>/dev/null",
            n1->data),
        0);
    ask_well(n2, n1, true);
    assert_false(there("app")->fetched);
    assert_non_null(strstr(there("app")->fault, "checksum is wrong"));
    assert_int_equal(run("head -c 5000 /dev/zero > %s/pg_replslot/app/state", n1->data), 0);
    ask_well(n2, n1, true);
    assert_non_null(strstr(there("app")->fault, "no file of such a length"));
    ask(n2, n2, true, &outcome); /* a standby has none that counts */
    assert_int_equal(outcome.rc, 0);
    assert_int_equal(seen.count, 0);
    node_free(n2);
    assert_int_equal(run("rm -r %s/pg_replslot/app", n1->data), 0);
    node_free(n1);
}

/* --- no room ---------------------------------------------------------------------------------- */

enum { ROOM = 4 }; /* the least that max_replication_slots may be */

static struct node *standby_with_room(struct node *primary, int taken)
{
    struct node *node = node_new("n2");
    node_slot(primary, "n2");
    node_clone_well(node, primary);
    static const struct pg_parameter parameters[] = {{"unix_socket_directories", "."},
                                                     {"wal_level", "logical"},
                                                     {"shared_buffers", "16MB"},
                                                     {"max_replication_slots", "4"},
                                                     {"wal_retrieve_retry_interval", "100ms"}};
    keep_logical_with(node, (struct pg_parameters){parameters, 5});
    node_start_well(node, PG_START_STANDBY, primary);
    PROBE_UNTIL(node, probed.receiver_alive && probed.feedback && probed.logical_decoding);
    for (int i = 0; i < taken; i++) {
        char name[16];
        snprintf(name, sizeof name, "taken%d", i);
        node_slot(node, name);
    }
    return node;
}

/* PostgreSQL would not start with one more, and nobody could take it away but by hand. */
static void no_copy_is_fetched_where_there_is_no_room_for_it(void **state)
{
    (void)state;
    struct node *n1 = logical_primary();
    struct pg_logical_wish wishes[] = {app, shop};
    struct node *n2 = standby_with_room(n1, ROOM - 1);
    set_well(n1, wishes, 2, NULL);
    (void)replayed_all(n1, n2);
    ask_well(n2, n1, true);
    assert_int_equal(there("app")->fetched + there("shop")->fetched, 1);
    const char *fault = there(there("app")->fetched ? "shop" : "app")->fault;
    assert_non_null(strstr(fault, "max_replication_slots"));
    node_free(n2);
    node_free(n1);
}

static void no_copy_is_put_where_there_is_no_room_any_more(void **state)
{
    (void)state;
    struct node *n1 = logical_primary();
    struct node *n2 = standby_with_room(n1, ROOM - 1);
    set_well(n1, &app, 1, NULL);
    (void)replayed_all(n1, n2);
    ask_well(n2, n1, true);
    assert_true(there("app")->fetched);
    node_slot(n2, "one_more");
    node_stop(n2, FENCE_STOP_FAST, LONG_MS);
    assert_int_equal(run("mkdir %s/pg_replslot/old.tmp", n2->data), 0); /* goes when it starts */
    node_start_well(n2, PG_START_STANDBY, n1);
    const char *fault = pg_instance_copy_fault(n2->pg, "app");
    assert_non_null(strstr(fault, "has 4 slots"));
    assert_non_null(strstr(fault, "max_replication_slots"));
    assert_string_equal(pg_instance_copy_fault(n2->pg, "shop"), "");
    assert_int_equal(node_probe(n2), 0);
    assert_null(slot_of("app"));
    node_free(n2);
    node_free(n1);
}

static int all_tests(void)
{
    const struct CMUnitTest tests[] = {
        ON_STAGE(one_is_copied_moved_on_and_read_from_after_a_promotion),
        ON_STAGE(what_is_named_is_dropped_or_made_anew_and_failures_are_told),
        ON_STAGE(one_whose_wal_is_not_here_is_not_copied),
        ON_STAGE(a_copy_without_its_wal_is_dropped),
        ON_STAGE(a_damaged_state_is_not_copied),
        ON_STAGE(no_copy_is_fetched_where_there_is_no_room_for_it),
        ON_STAGE(no_copy_is_put_where_there_is_no_room_any_more),
    };
    return cmocka_run_group_tests(tests, stage_template, NULL);
}

int main(int argc, char **argv)
{
    return stage_main(argc, argv, all_tests);
}
