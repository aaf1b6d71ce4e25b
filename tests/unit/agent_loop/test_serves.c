/* Until when a health check may call this node the primary (keeper.c). */
#include "loop_fixture.h"

enum { EPOCH = 50, CLUSTER = 7, SOFT_MS = 2400, DEADLINE_MS = 2600 };

static struct ha_snapshot shot; /* large: not on the stack */

static int64_t serves_until(void)
{
    facts_snapshot(&rig.agent, &shot);
    return keeper_serves_until_ms(&rig.agent, &shot);
}

/* An agent that was started again while its instance runs in epoch EPOCH until S. */
static void restarted(int64_t view_revision)
{
    rig_init();
    struct fence_lease page = {.epoch = {.cluster = CLUSTER, .revision = EPOCH},
                               .soft_ms = rig.now_ms + SOFT_MS,
                               .deadline_ms = rig.now_ms + DEADLINE_MS,
                               .watchdog_ms = FENCE_NO_DEADLINE};
    fence_page_write(fence_client_page(NULL), &page);
    postmaster_runs();
    rig.revision = view_revision;
    observe_store_changed(&rig.agent);
}

static void before_the_store_is_read_the_page_counts(void **state)
{
    (void)state;
    restarted(EPOCH - 1); /* the copy on disk, from before the epoch began */
    assert_int_equal(serves_until(), page_now().soft_ms);
    rig_free();
}

static void a_store_that_has_caught_up_counts_alone(void **state)
{
    (void)state;
    restarted(EPOCH); /* and no leader key: our epoch has ended */
    assert_int_equal(serves_until(), 0);
    rig_free();
}

static void a_page_that_says_over_or_standby_serves_nobody(void **state)
{
    (void)state;
    restarted(EPOCH - 1);
    struct fence_lease page = page_now();
    page.deadline_ms = FENCE_OVER;
    fence_page_write(fence_client_page(NULL), &page);
    assert_int_equal(serves_until(), 0);
    page = fence_lease_standby();
    fence_page_write(fence_client_page(NULL), &page);
    assert_int_equal(serves_until(), 0);
    rig_free();
}

static void an_epoch_that_the_fence_fired_for_serves_nobody(void **state)
{
    (void)state;
    restarted(EPOCH - 1);
    rig.fence.fired = page_now().epoch;
    assert_int_equal(serves_until(), 0);
    rig_free();
}

static void an_epoch_that_was_given_up_serves_nobody(void **state)
{
    (void)state;
    restarted(EPOCH - 1);
    rig.agent.lease.fired = (struct ha_epoch){.cluster = CLUSTER, .revision = EPOCH};
    assert_int_equal(serves_until(), 0);
    rig_free();
}

static void the_lease_that_is_held_counts_and_only_for_the_page_of_its_epoch(void **state)
{
    (void)state;
    restarted(EPOCH - 1);
    rig.agent.lease.held = true;
    rig.agent.lease.epoch = (struct ha_epoch){.cluster = CLUSTER, .revision = EPOCH};
    rig.agent.lease.soft_ms = rig.now_ms + 100;
    assert_int_equal(serves_until(), rig.now_ms + 100);
    rig.agent.lease.epoch.revision = EPOCH + 1;
    assert_int_equal(serves_until(), 0);
    rig_free();
}

/* It may be put beside for another cluster, with what clients wrote into it. */
static void a_cluster_that_was_not_announced_is_served_to_nobody(void **state)
{
    (void)state;
    restarted(EPOCH - 1);
    assert_int_equal(serves_until(), page_now().soft_ms);
    shot.self.unannounced = true;
    (void)snprintf(shot.self.system_id, sizeof shot.self.system_id, "7000");
    shot.cluster.initialize[0] = '\0';
    assert_int_equal(keeper_serves_until_ms(&rig.agent, &shot), 0);
    (void)snprintf(shot.cluster.initialize, sizeof shot.cluster.initialize, "7001");
    assert_int_equal(keeper_serves_until_ms(&rig.agent, &shot), 0);
    (void)snprintf(shot.cluster.initialize, sizeof shot.cluster.initialize, "7000");
    assert_int_equal(keeper_serves_until_ms(&rig.agent, &shot), page_now().soft_ms);
    rig_free();
}

/* Nobody has looked at its directory yet, and what begins with it may still be given up. */
static void a_cluster_that_is_being_made_is_served_to_nobody(void **state)
{
    (void)state;
    restarted(EPOCH - 1);
    assert_int_equal(serves_until(), page_now().soft_ms);
    shot.self.unannounced = false;
    shot.cluster.initialize[0] = '\0';
    shot.cluster.initialize_revision = 0; /* the key is gone: whoever leads repairs it */
    assert_int_equal(keeper_serves_until_ms(&rig.agent, &shot), page_now().soft_ms);
    shot.cluster.initialize_revision = EPOCH;
    assert_int_equal(keeper_serves_until_ms(&rig.agent, &shot), 0);
    rig_free();
}

static void without_a_fence_nobody_is_served(void **state)
{
    (void)state;
    restarted(EPOCH - 1);
    struct fence_client *fence = rig.agent.fence;
    rig.agent.fence = NULL;
    shot.cluster.known = false;
    assert_int_equal(keeper_serves_until_ms(&rig.agent, &shot), 0);
    rig.agent.fence = fence;
    rig_free();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(before_the_store_is_read_the_page_counts),
        cmocka_unit_test(a_store_that_has_caught_up_counts_alone),
        cmocka_unit_test(a_page_that_says_over_or_standby_serves_nobody),
        cmocka_unit_test(an_epoch_that_the_fence_fired_for_serves_nobody),
        cmocka_unit_test(an_epoch_that_was_given_up_serves_nobody),
        cmocka_unit_test(the_lease_that_is_held_counts_and_only_for_the_page_of_its_epoch),
        cmocka_unit_test(a_cluster_that_was_not_announced_is_served_to_nobody),
        cmocka_unit_test(a_cluster_that_is_being_made_is_served_to_nobody),
        cmocka_unit_test(without_a_fence_nobody_is_served),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
