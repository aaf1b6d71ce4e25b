/* What the renewals do to the fence's page (keeper.c); which answer counts is ha_lease.c's. */
#include "loop_fixture.h"

enum { SHORT_TTL_MS = 10000 };
static const struct ha_epoch epoch = {7, 50};

static void write_page(int64_t deadline_ms)
{
    struct fence_lease page = {.epoch = {.cluster = epoch.cluster, .revision = epoch.revision},
                               .soft_ms = deadline_ms,
                               .deadline_ms = deadline_ms,
                               .watchdog_ms = FENCE_NO_DEADLINE};
    fence_page_write(fence_client_page(NULL), &page);
}

/* Holds the epoch, and the page says so; the first renewal is due in a sixth of the ttl. */
static void holds(void)
{
    rig_init();
    assert_true(ha_lease_acquired(&rig.agent.lease, epoch, rig.now_ms, TTL_MS, rig.now_ms));
    write_page(rig.agent.lease.deadline_ms);
    keeper_kick(&rig.agent);
}

static void a_renewal_extends_the_page_when_it_is_answered_from_when_it_was_sent(void **state)
{
    (void)state;
    holds();
    int64_t before_ms = page_now().deadline_ms;
    run_for(TTL_MS / 6);
    assert_true(is_asked("renew"));
    int64_t sent_ms = rig.agent.lease.newest_sent_ms;
    assert_int_equal(page_now().deadline_ms, before_ms);
    rig.now_ms += 1000;
    answer("renew", 0);
    assert_int_equal(page_now().deadline_ms, sent_ms + ha_lease_kill_ms(TTL_MS));
    assert_int_equal(page_now().soft_ms, sent_ms + ha_lease_soft_ms(TTL_MS));
    rig_free();
}

/* The answer may be lost while the others use the shorter ttl already. */
static void a_shorter_ttl_is_on_the_page_before_the_renewal_is_sent(void **state)
{
    (void)state;
    holds();
    rig.agent.dynamic.ttl_ms = SHORT_TTL_MS;
    run_for(TTL_MS / 6);
    assert_true(is_asked("renew"));
    assert_int_equal(rig.page_at_renewal.deadline_ms,
                     rig.agent.lease.newest_sent_ms + ha_lease_kill_ms(SHORT_TTL_MS));
    answer("renew", ERR_UNKNOWN);
    rig_free();
}

static void a_renewal_without_an_answer_leaves_the_page(void **state)
{
    (void)state;
    holds();
    int64_t before_ms = page_now().deadline_ms;
    run_for(TTL_MS / 6);
    answer("renew", ERR_UNKNOWN);
    assert_int_equal(page_now().deadline_ms, before_ms);
    assert_true(rig.agent.lease.held);
    rig_free();
}

/* The fence stops what we do not stop ourselves. */
static void a_lease_that_is_lost_leaves_the_page_as_well(void **state)
{
    (void)state;
    holds();
    int64_t before_ms = page_now().deadline_ms;
    run_for(TTL_MS / 6);
    answer("renew", ERR_CONFLICT);
    assert_false(rig.agent.lease.held);
    assert_int_equal(page_now().deadline_ms, before_ms);
    rig_free();
}

static void a_renewal_arms_no_standby_and_revives_nothing_that_is_over(void **state)
{
    (void)state;
    struct fence_lease standby = fence_lease_standby();
    holds();
    fence_page_write(fence_client_page(NULL), &standby);
    run_for(TTL_MS / 6);
    answer("renew", 0);
    assert_int_equal(page_now().epoch.revision, 0);
    write_page(FENCE_OVER);
    run_for(TTL_MS / 6);
    answer("renew", 0);
    assert_int_equal(page_now().deadline_ms, FENCE_OVER);
    rig_free();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_renewal_extends_the_page_when_it_is_answered_from_when_it_was_sent),
        cmocka_unit_test(a_shorter_ttl_is_on_the_page_before_the_renewal_is_sent),
        cmocka_unit_test(a_renewal_without_an_answer_leaves_the_page),
        cmocka_unit_test(a_lease_that_is_lost_leaves_the_page_as_well),
        cmocka_unit_test(a_renewal_arms_no_standby_and_revives_nothing_that_is_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
