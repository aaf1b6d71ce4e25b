/* What the agent asks of the fence for the watchdog device, what it makes of its answers, and what
 * follows for the lease (watchdog.c). */
#include "loop_fixture.h"

static const struct ha_epoch epoch = {7, 50};

static void rig_with(enum config_watchdog_mode mode)
{
    rig_init();
    dog = (struct dog){0};
    rig.config.watchdog = (struct config_watchdog){
        .mode = mode, .given = true, .device = "/dev/watchdog", .safety_margin_s = 5};
    rig.agent.dynamic.ttl_ms = 30000;
}

static void put_page(void)
{
    struct fence_lease page = {.epoch = {.cluster = epoch.cluster, .revision = epoch.revision},
                               .soft_ms = rig.agent.lease.soft_ms,
                               .deadline_ms = rig.agent.lease.deadline_ms,
                               .watchdog_ms = rig.agent.lease.watchdog_ms};
    fence_page_write(fence_client_page(NULL), &page);
}

static void holds(void)
{
    assert_true(ha_lease_acquired(&rig.agent.lease, epoch, rig.now_ms, 30000, rig.now_ms));
    put_page();
}

static struct ha_watchdog seen(void)
{
    struct ha_watchdog watchdog = {0};
    watchdog_look(&rig.agent);
    watchdog_fill(&rig.agent, &watchdog);
    return watchdog;
}

static void nobody_is_asked_for_one_that_is_off(void **state)
{
    (void)state;
    rig_with(CONFIG_WATCHDOG_OFF);
    assert_int_equal(seen().state, HA_WATCHDOG_NONE);
    assert_false(seen().required);
    assert_int_equal(dog.asked, 0);
    watchdog_hurry(&rig.agent);
    assert_int_equal(dog.asked, 0);
    rig_free();
}

static void fence_is_told_which_one_and_how_long(void **state)
{
    (void)state;
    rig_with(CONFIG_WATCHDOG_REQUIRED);
    assert_int_equal(seen().state, HA_WATCHDOG_PENDING);
    assert_true(seen().required);
    assert_int_equal(dog.asked, 1);
    assert_string_equal(dog.device, "/dev/watchdog");
    assert_int_equal(dog.timeout_ms, 5000);
    assert_int_equal(dog.timeout_ms_max, 10000);
    dog_answers(0);
    rig.fence.watchdog = FENCE_WATCHDOG_READY;
    assert_int_equal(seen().state, HA_WATCHDOG_READY);
    assert_int_equal(dog.asked, 1);
    /* Again with each loop_wait, for as long as it is not armed. */
    rig.now_ms += rig.agent.dynamic.loop_wait_ms;
    (void)seen();
    assert_int_equal(dog.asked, 2);
    dog_answers(0);
    /* At once when the page was armed, and another time after that where one is under way. */
    watchdog_hurry(&rig.agent);
    watchdog_hurry(&rig.agent);
    assert_int_equal(dog.asked, 3);
    dog_answers(0);
    (void)seen();
    assert_int_equal(dog.asked, 4);
    dog_answers(0);
    rig.fence.watchdog = FENCE_WATCHDOG_ARMED;
    rig.now_ms += 10 * rig.agent.dynamic.loop_wait_ms;
    assert_int_equal(seen().state, HA_WATCHDOG_ARMED);
    assert_int_equal(dog.asked, 4);
    /* Another wish: as by a reload. */
    rig.config.watchdog.safety_margin_s = -1;
    (void)seen();
    assert_int_equal(dog.timeout_ms, 10000);
    dog_answers(0);
    rig.config.watchdog.mode = CONFIG_WATCHDOG_OFF;
    assert_int_equal(seen().state, HA_WATCHDOG_NONE);
    assert_string_equal(dog.device, "");
    dog_answers(0);
    rig_free();
}

static void what_keeps_it_from_being_used_is_known(void **state)
{
    (void)state;
    rig_with(CONFIG_WATCHDOG_AUTOMATIC);
    rig.agent.dynamic.ttl_ms = 4000;
    assert_int_equal(seen().state, HA_WATCHDOG_FAILED);
    assert_non_null(strstr(seen().why, "ttl"));
    assert_int_equal(dog.asked, 0);
    rig.agent.dynamic.ttl_ms = 5000;
    assert_int_equal(seen().state, HA_WATCHDOG_PENDING);
    assert_int_equal(dog.timeout_ms, 1000);
    dog_answers(ERR_UNSUPPORTED);
    assert_int_equal(seen().state, HA_WATCHDOG_FAILED);
    assert_non_null(strstr(seen().why, "earlier release"));
    watchdog_hurry(&rig.agent);
    dog_answers(0);
    rig.fence.watchdog = FENCE_WATCHDOG_FAILED;
    (void)snprintf(rig.fence.watchdog_why, sizeof rig.fence.watchdog_why, "no such device");
    assert_string_equal(seen().why, "no such device");
    assert_int_equal(seen().failed_mono_ms, HA_NEVER); /* nothing was armed */
    holds();
    assert_int_equal(seen().failed_mono_ms, rig.now_ms);
    rig.fence.watchdog = FENCE_WATCHDOG_READY;
    rig.fence.watchdog_why[0] = '\0';
    assert_string_equal(seen().why, "no such device"); /* so it was, last */
    rig_free();
}

/* A fence that does not get so far is no reason to keep the key for ever. */
static void one_that_is_never_armed_counts_as_failed(void **state)
{
    (void)state;
    rig_with(CONFIG_WATCHDOG_REQUIRED);
    (void)seen();
    dog_answers(0);
    rig.fence.watchdog = FENCE_WATCHDOG_READY;
    rig.now_ms += 60000;
    assert_int_equal(seen().state, HA_WATCHDOG_READY);
    holds();
    assert_int_equal(seen().state, HA_WATCHDOG_READY);
    rig.now_ms += 4999;
    assert_int_equal(seen().state, HA_WATCHDOG_READY);
    rig.now_ms += 1;
    assert_int_equal(seen().state, HA_WATCHDOG_FAILED);
    rig.fence.watchdog = FENCE_WATCHDOG_ARMED;
    assert_int_equal(seen().state, HA_WATCHDOG_ARMED);
    rig_free();
}

static void armed_it_gets_its_time_on_the_page(void **state)
{
    (void)state;
    rig_with(CONFIG_WATCHDOG_AUTOMATIC);
    holds();
    int64_t before_ms = page_now().deadline_ms;
    rig.fence.watchdog = FENCE_WATCHDOG_ARMED;
    rig.fence.watchdog_timeout_ms = 5000;
    (void)seen();
    struct fence_lease page = page_now();
    assert_true(page.deadline_ms < before_ms);
    assert_int_equal(page.deadline_ms, page.watchdog_ms - pg_watchdog_reserve_ms(5000));
    assert_int_equal(page.soft_ms, rig.agent.lease.soft_ms);
    rig_free();
}

/* The device would fire too late for others who count the shorter one. */
static void shorter_ttl_waits_for_a_shorter_timeout(void **state)
{
    (void)state;
    rig_with(CONFIG_WATCHDOG_AUTOMATIC);
    holds();
    rig.agent.lease.newest_ttl_ms = 30000;
    rig.fence.watchdog = FENCE_WATCHDOG_ARMED;
    rig.fence.watchdog_timeout_ms = 10000;
    (void)seen();
    rig.agent.dynamic.ttl_ms = 15000;
    assert_int_equal(watchdog_ttl_ms(&rig.agent), 30000);
    rig.agent.dynamic.ttl_ms = 20020;
    assert_int_equal(watchdog_ttl_ms(&rig.agent), 20020);
    rig.agent.dynamic.ttl_ms = 15000;
    dog_answers(0);
    (void)seen();
    assert_int_equal(dog.timeout_ms, 4000);
    rig.fence.watchdog_timeout_ms = 4000;
    (void)seen();
    assert_int_equal(watchdog_ttl_ms(&rig.agent), 15000);
    rig_free();
}

static struct ha_fence fence_seen(void)
{
    static struct ha_snapshot s;
    watchdog_look(&rig.agent);
    facts_snapshot(&rig.agent, &s);
    return s.fence;
}

static void silence_of_the_fence_counts_from_when_it_was_seen(void **state)
{
    (void)state;
    rig_with(CONFIG_WATCHDOG_OFF);
    assert_false(fence_seen().silent);
    assert_int_equal(fence_seen().silent_since_mono_ms, HA_NEVER);
    rig.fence.silent = true;
    int64_t since_ms = rig.now_ms;
    assert_true(fence_seen().silent);
    rig.now_ms += 5000;
    assert_int_equal(fence_seen().silent_since_mono_ms, since_ms);
    rig.fence.silent = false;
    assert_int_equal(fence_seen().silent_since_mono_ms, HA_NEVER);
    rig.fence.silent = true;
    assert_int_equal(fence_seen().silent_since_mono_ms, rig.now_ms);
    rig_free();
}

static void a_checkpoint_is_not_waited_for_beside_a_silent_fence(void **state)
{
    (void)state;
    rig_settle();
    plan_begin("stop", "giving the key away");
    plan_add(HA_CHECKPOINT);
    plan_add(HA_STOP_FAST);
    run_for(0);
    (void)calls();
    carry_out();
    assert_string_equal(calls(), "checkpoint\n");
    rig.fence.silent = true; /* while it is waited for */
    observe_fence_event(&rig.agent, FENCE_EVENT_SILENCE, &rig.fence);
    assert_string_equal(calls(), "stop fast\n");
    answer("checkpoint", 0); /* continues nothing */
    (void)calls();
    plan_begin("stop", "giving the key away");
    plan_add(HA_CHECKPOINT);
    plan_add(HA_STOP_FAST);
    carry_out();
    assert_string_equal(calls(), "stop fast\n");
    rig_free();
}

static void a_stop_that_gave_way_to_another_ends_nothing(void **state)
{
    (void)state;
    rig_settle();
    plan_begin("stop", "in order");
    plan_add(HA_STOP_FAST);
    carry_out();
    plan_begin("stop", "at once");
    plan_add(HA_STOP_IMMEDIATE);
    carry_out();
    answer("stop fast", ERR_CANCELED);
    assert_true(rig.agent.facts.stopping);
    answer("stop immediate", 0);
    assert_false(rig.agent.facts.stopping);
    rig_free();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_is_asked_for_one_that_is_off),
        cmocka_unit_test(fence_is_told_which_one_and_how_long),
        cmocka_unit_test(what_keeps_it_from_being_used_is_known),
        cmocka_unit_test(one_that_is_never_armed_counts_as_failed),
        cmocka_unit_test(armed_it_gets_its_time_on_the_page),
        cmocka_unit_test(shorter_ttl_waits_for_a_shorter_timeout),
        cmocka_unit_test(silence_of_the_fence_counts_from_when_it_was_seen),
        cmocka_unit_test(a_checkpoint_is_not_waited_for_beside_a_silent_fence),
        cmocka_unit_test(a_stop_that_gave_way_to_another_ends_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
