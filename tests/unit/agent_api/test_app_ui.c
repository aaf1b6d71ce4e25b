/* What the page at /ui is given to show. */
#include "tests/unit/agent_api/app_fixture.h"

#include "agent/app_ui.h"

static int64_t number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_integer(value)) {
        fail_msg("%s is no number", key);
    }
    return json_integer_value(value);
}

static const char *text(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));
    if (value == NULL) {
        fail_msg("%s is no text", key);
    }
    return value;
}

static void members_are_those_of_the_cluster_document(void **state)
{
    (void)state;
    agent.facts.cluster.read_mono_ms = rig.mono_ms - 250;
    rig_call(show_now, NULL);
    json_t *shown = get("/ui/state");
    json_t *cluster = get("/cluster");
    assert_string_equal(text(shown, "name"), "n2");
    assert_string_equal(text(shown, "scope"), "main");
    assert_int_equal(number(shown, "time_ms"), rig.wall_ms);
    assert_int_equal(number(shown, "store_age_ms"), 250);
    assert_true(json_equal(json_object_get(shown, "cluster"), cluster));
    json_decref(cluster);
    json_decref(shown);
}

static void who_does_not_hold_the_lease_names_the_holder(void **state)
{
    (void)state;
    snapshot.settings.ttl_ms = 30000;
    rig_call(show_now, NULL);
    json_t *shown = get("/ui/state");
    const json_t *lease = json_object_get(shown, "lease");
    assert_string_equal(text(lease, "holder"), "n1");
    assert_true(json_is_false(json_object_get(lease, "mine")));
    assert_int_equal(number(lease, "ttl_ms"), 30000);
    assert_true(json_is_null(json_object_get(lease, "left_ms"))); /* an etcd does not tell */
    json_decref(shown);
}

static void nobody_leads_and_the_page_says_so(void **state)
{
    (void)state;
    store_drop("leader");
    rig_call(show_now, NULL);
    json_t *shown = get("/ui/state");
    const json_t *lease = json_object_get(shown, "lease");
    assert_true(json_is_null(json_object_get(lease, "holder")));
    assert_true(json_is_null(json_object_get(lease, "left_ms")));
    json_decref(shown);
}

static void hold_now(void *arg)
{
    agent.lease.held = true;
    agent.lease.ttl_ms = 3000;
    agent.lease.soft_ms = rig.lease_ms + *(int *)arg;
    look_at_store();
}

static void the_holder_counts_up_to_its_soft_deadline(void **state)
{
    int left_ms = 1234;
    (void)state;
    rig_call(hold_now, &left_ms);
    json_t *shown = get("/ui/state");
    const json_t *lease = json_object_get(shown, "lease");
    assert_string_equal(text(lease, "holder"), "n2");
    assert_true(json_is_true(json_object_get(lease, "mine")));
    assert_int_equal(number(lease, "ttl_ms"), 3000);
    assert_int_equal(number(lease, "left_ms"), 1234);
    json_decref(shown);
    left_ms = -5;
    rig_call(hold_now, &left_ms);
    shown = get("/ui/state");
    assert_int_equal(number(json_object_get(shown, "lease"), "left_ms"), 0);
    json_decref(shown);
}

static void decide_now(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < LOOP_DECISIONS_MAX + 1; i++) {
        struct loop_decision *decision = &agent.decisions[i % LOOP_DECISIONS_MAX];
        mem_free(decision->rule);
        *decision = (struct loop_decision){.wall_ms = (int64_t)i,
                                           .rule = mem_printf("rule %zu", i),
                                           .reason = (char *)(uintptr_t) "no \xff text",
                                           .plan = (char *)(uintptr_t) "rule\nreason\npromote\n",
                                           .snapshot = (char *)(uintptr_t) "long"};
        agent.decision_count++;
    }
    agent.decisions[0].outcome = (char *)(uintptr_t) "done";
    agent.decisions[0].repeats = 3;
    look_at_store();
}

static void the_newest_decision_comes_first(void **state)
{
    (void)state;
    rig_call(decide_now, NULL);
    json_t *shown = get("/ui/state");
    const json_t *list = json_object_get(shown, "decisions");
    assert_int_equal(json_array_size(list), APP_UI_DECISIONS_MAX);
    const json_t *first = json_array_get(list, 0);
    assert_string_equal(text(first, "rule"), "rule 64");
    assert_string_equal(text(first, "reason"), "no ? text");
    assert_string_equal(text(first, "plan"), "rule\nreason\npromote\n");
    assert_string_equal(text(first, "outcome"), "done");
    assert_int_equal(number(first, "repeats"), 3);
    assert_int_equal(number(first, "time_ms"), 64);
    assert_null(json_object_get(first, "snapshot")); /* explain has it */
    const json_t *last = json_array_get(list, APP_UI_DECISIONS_MAX - 1);
    assert_string_equal(text(last, "rule"), "rule 45");
    assert_string_equal(text(last, "outcome"), "under way");
    json_decref(shown);
}

static void forget_now(void *arg)
{
    (void)arg;
    dcs_view_unref(agent.facts.view);
    agent.facts.view = NULL;
    agent.facts.cluster.read_mono_ms = HA_NEVER;
    ha_snapshot_init(&snapshot);
    agent.on_picture(&agent, &snapshot);
}

static void what_is_not_known_is_null(void **state)
{
    (void)state;
    rig_call(forget_now, NULL);
    json_t *shown = get("/ui/state");
    assert_true(json_is_null(json_object_get(shown, "cluster")));
    assert_true(json_is_null(json_object_get(shown, "store_age_ms")));
    assert_true(json_is_null(json_object_get(json_object_get(shown, "lease"), "holder")));
    assert_int_equal(json_array_size(json_object_get(shown, "decisions")), 0);
    json_decref(shown);
}

#define APP_TEST(name) cmocka_unit_test_setup_teardown(name, start, finish)

int main(void)
{
    const struct CMUnitTest tests[] = {
        APP_TEST(members_are_those_of_the_cluster_document),
        APP_TEST(who_does_not_hold_the_lease_names_the_holder),
        APP_TEST(nobody_leads_and_the_page_says_so),
        APP_TEST(the_holder_counts_up_to_its_soft_deadline),
        APP_TEST(the_newest_decision_comes_first),
        APP_TEST(what_is_not_known_is_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
