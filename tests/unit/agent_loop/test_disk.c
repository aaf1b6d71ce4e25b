/* What the disks say, as a fact for decisions, for the log and for the other members. */
#include "loop_fixture.h"

#include <errno.h>

#define MIB ((uint64_t)1 << 20)

static struct pg_disk_state disks;

/* As pgctl tells it: the kind of the data directory, and since when. */
static void report(enum pg_disk_kind kind, int64_t since_ms)
{
    disks = (struct pg_disk_state){.count = 2};
    disks.places[0] = (struct pg_disk_place){.name = "data directory",
                                             .instance = true,
                                             .kind = kind,
                                             .since_ms = since_ms,
                                             .free_bytes = 100 * MIB,
                                             .errno_value = kind == PG_DISK_FULL ? ENOSPC : 0};
    disks.places[1] = (struct pg_disk_place){
        .name = "Raft directory", .kind = PG_DISK_GOOD, .since_ms = 1, .free_bytes = 50 * MIB};
    disk_take(&rig.agent, &disks);
}

static void a_trouble_is_told_once_and_decided_on_again_and_again(void **state)
{
    (void)state;
    rig_settle();
    report(PG_DISK_GOOD, 1);
    unsigned warnings = rig.warnings;
    report(PG_DISK_STALLED, rig.now_ms - 1500);
    assert_int_equal(rig.warnings, warnings + 1);
    assert_non_null(strstr(buf_str(&rig.logged), "the disk of 'data directory' is stalled"));
    assert_int_equal(rig.agent.facts.disk, PG_DISK_STALLED);
    assert_int_equal(rig.agent.facts.disk_since_mono_ms, rig.now_ms - 1500);
    for (int i = 0; i < 3; i++) {
        run_for(500);
        rig.decided = 0;
        report(PG_DISK_STALLED, rig.now_ms - 2000);
        run_for(0);
        assert_int_equal(rig.decided, 1);
    }
    assert_int_equal(rig.warnings, warnings + 1);
    report(PG_DISK_GOOD, rig.now_ms);
    assert_int_equal(rig.agent.facts.disk, PG_DISK_GOOD);
    assert_non_null(strstr(buf_str(&rig.logged), "takes writes again"));
    rig_free();
}

static void good_disks_make_no_work(void **state)
{
    (void)state;
    rig_settle();
    report(PG_DISK_GOOD, 1);
    run_for(0);
    rig.decided = 0;
    for (int i = 0; i < 5; i++) {
        report(PG_DISK_GOOD, 1);
    }
    run_for(0);
    assert_int_equal(rig.decided, 0);
    rig_free();
}

/* A disk that was low and is full now has just begun to refuse; one that stalls after an error has
 * not. */
static void what_takes_no_writes_counts_from_when_that_began(void **state)
{
    (void)state;
    rig_settle();
    report(PG_DISK_LOW, 1000);
    report(PG_DISK_FULL, 2000);
    assert_int_equal(rig.agent.facts.disk_since_mono_ms, 2000);
    report(PG_DISK_STALLED, 3000);
    assert_int_equal(rig.agent.facts.disk_since_mono_ms, 2000);
    report(PG_DISK_LOW, 4000);
    assert_int_equal(rig.agent.facts.disk_since_mono_ms, 4000);
    rig_free();
}

static void the_stores_disk_is_told_and_costs_no_lease(void **state)
{
    (void)state;
    rig_settle();
    report(PG_DISK_GOOD, 1);
    disks.places[1].kind = PG_DISK_FULL;
    disks.places[1].errno_value = ENOSPC;
    disk_take(&rig.agent, &disks);
    assert_non_null(strstr(buf_str(&rig.logged), "the disk of 'Raft directory' is full"));
    assert_int_equal(rig.agent.facts.disk, PG_DISK_GOOD);
    rig_free();
}

static void nothing_known_is_no_trouble(void **state)
{
    (void)state;
    rig_settle();
    report(PG_DISK_STALLED, 1000);
    (void)snprintf(disks.error, sizeof disks.error, "nothing is heard");
    disks.places[0].kind = PG_DISK_UNKNOWN;
    disk_take(&rig.agent, &disks);
    disk_take(&rig.agent, &disks);
    assert_int_equal(rig.agent.facts.disk, PG_DISK_UNKNOWN);
    const char *told = strstr(buf_str(&rig.logged), "nothing is heard: ");
    assert_non_null(told);
    assert_null(strstr(told + 1, "nothing is heard: "));
    rig_free();
}

static void published(void)
{
    run_for(0);
    while (is_asked("member")) {
        answer("member", 0);
        run_for(0);
    }
}

static void a_directory_that_is_not_made_yet_is_no_news(void **state)
{
    (void)state;
    rig_settle();
    disks = (struct pg_disk_state){.count = 1};
    disks.places[0] =
        (struct pg_disk_place){.name = "data directory", .instance = true, .errno_value = ENOENT};
    unsigned warnings = rig.warnings;
    disk_take(&rig.agent, &disks);
    assert_int_equal(rig.warnings, warnings);
    disks.places[0].errno_value = EACCES;
    rig.agent.facts.disks.count = 0;
    disk_take(&rig.agent, &disks);
    assert_int_equal(rig.warnings, warnings + 1);
    assert_non_null(strstr(buf_str(&rig.logged), "cannot be tried: Permission denied"));
    rig_free();
}

static void others_are_told_of_the_trouble(void **state)
{
    (void)state;
    rig_settle();
    published();
    report(PG_DISK_FULL, 1000);
    published();
    assert_non_null(strstr(rig.member, "\"disk\":\"full\""));
    assert_non_null(strstr(rig.member, "\"trouble\":\"the disk of 'data directory' is full\""));
    report(PG_DISK_GOOD, rig.now_ms);
    published();
    assert_null(strstr(rig.member, "trouble"));
    assert_non_null(strstr(rig.member, "\"disk\":\"full\"")); /* for a moment more */
    run_for(LOOP_DISK_GOOD_MS);
    publish_request(&rig.agent);
    published();
    assert_null(strstr(rig.member, "disk"));
    rig_free();
}

static void an_abandoned_term_is_over_on_the_page_and_renewed_no_more(void **state)
{
    static const struct ha_epoch epoch = {7, 9};
    (void)state;
    rig_settle();
    standby_runs(1000);
    assert_true(ha_lease_acquired(&rig.agent.lease, epoch, rig.now_ms, TTL_MS, rig.now_ms));
    plan_begin("arm", "before anything is writable");
    plan_add(HA_ARM);
    carry_out();
    assert_true(keeper_may_write(&rig.agent));
    plan_begin("disk", "it does not answer");
    plan_add(HA_ABANDON)->epoch = epoch;
    carry_out();
    assert_int_equal(page_now().deadline_ms, FENCE_OVER);
    assert_false(rig.agent.lease.held);
    assert_false(keeper_may_write(&rig.agent));
    assert_int_equal(rig.agent.facts.run, HA_RUN_STOPPING);
    while (is_asked("renew")) {
        answer("renew", 0);
    }
    run_for(TTL_MS);
    assert_false(is_asked("renew"));
    assert_false(is_asked("stop")); /* the fence does it, for as long as it takes */
    rig_free();
}

static void limits_come_from_the_configuration(void **state)
{
    (void)state;
    rig_init();
    assert_int_equal(disk_limits(&rig.agent).stall_ms, 5000);
    assert_int_equal(disk_limits(&rig.agent).free_bytes_min, 32 * MIB);
    rig.agent.dynamic.disk_stall_timeout_ms = 8000;
    rig.agent.dynamic.minimum_free_disk_bytes = 0;
    assert_int_equal(disk_limits(&rig.agent).stall_ms, 4000);
    assert_int_equal(disk_limits(&rig.agent).free_bytes_min, 0);
    rig_free();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_trouble_is_told_once_and_decided_on_again_and_again),
        cmocka_unit_test(good_disks_make_no_work),
        cmocka_unit_test(what_takes_no_writes_counts_from_when_that_began),
        cmocka_unit_test(the_stores_disk_is_told_and_costs_no_lease),
        cmocka_unit_test(nothing_known_is_no_trouble),
        cmocka_unit_test(a_directory_that_is_not_made_yet_is_no_news),
        cmocka_unit_test(others_are_told_of_the_trouble),
        cmocka_unit_test(an_abandoned_term_is_over_on_the_page_and_renewed_no_more),
        cmocka_unit_test(limits_come_from_the_configuration),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
