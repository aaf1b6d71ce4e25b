/* Permanent logical slots: what is noted beside copies, what comes of it, and what is told. */
#include "logical_fixture.h"

/* --- marks, which outlive the agent ----------------------------------------------------------- */

/* "app" is good, and that is noted: of timeline 3. */
static void noted_good(void)
{
    standby();
    slot_put("app", 900, 700);
    look_sees(700, 700);
    look_sees(700, 700);
    slot_of("app")->marked = true;
    slot_of("app")->good_timeline = 3;
    assert_true(logical_is_safe(&rig.agent, "app"));
}

static void follows_n3(void)
{
    leads("n3");
    store_says("members/n3",
               "{\"state\":\"running\",\"conn_url\":\"postgres://10.0.0.3:5432/postgres\"}");
    rig.agent.facts.probe.timeline = 4;
    slots_note(&rig.agent);
}

/* That one has none, or has lost it, and then it is gone as well. */
static void
what_was_good_under_the_primary_before_the_last_does_not_outlive_a_promotion(void **state)
{
    const char *names[DYNAMIC_SLOTS_MAX];
    (void)state;
    noted_good();
    follows_n3();
    look();
    assert_true(is_asked("seen slots n1: app, app in doubt"));
    answer_seen(700, 0, false); /* it has none */
    slot_of("app")->good_timeline = 0;
    leads("n1");
    assert_int_equal(logical_unsafe(&rig.agent, names), 1);
    assert_true(told("'app' was copied, and not seen to be safe yet"));
    rig_free();
}

/* n1 has not even asked it. */
static void a_note_of_an_earlier_timeline_counts_for_nothing(void **state)
{
    const char *names[DYNAMIC_SLOTS_MAX];
    (void)state;
    noted_good();
    leads("n1");
    assert_int_equal(logical_unsafe(&rig.agent, names), 0);
    follows_n3();
    leads("n1");
    assert_int_equal(logical_unsafe(&rig.agent, names), 1);
    rig_free();
}

static void what_is_lost_on_the_primary_makes_no_copy_good(void **state)
{
    (void)state;
    standby();
    slot_put("app", 900, 700);
    for (int i = 0; i < 3; i++) {
        look();
        struct pending pending = answer_take("seen slots");
        memset(&seen, 0, sizeof seen);
        seen.physical_xmin = 700;
        seen.timeline = 3;
        seen.count = 1;
        (void)snprintf(seen.slots[0].name, sizeof seen.slots[0].name, "app");
        seen.slots[0].catalog_xmin = 700;
        seen.slots[0].lost = true;
        pending.seen(pending.arg, 0, &seen, NULL);
        assert_false(logical_is_safe(&rig.agent, "app"));
        assert_false(told("is good for a failover"));
    }
    rig_free();
}

/* Its agent was started since. */
static void a_note_of_the_present_primary_holds_until_something_else_is_seen(void **state)
{
    const char *names[DYNAMIC_SLOTS_MAX];
    (void)state;
    standby();
    struct pg_slot *slot = slot_put("app", 900, 700);
    rig.agent.logical.items[0].copied = false; /* it was here before */
    slot->marked = true;
    slot->good_timeline = 3;
    assert_int_equal(logical_unsafe(&rig.agent, names), 0);
    look();
    assert_false(is_asked("seen slots n1: app, app in doubt"));
    answer_seen(0, 700, false); /* the primary keeps nothing for it */
    look();
    assert_true(is_asked("seen slots n1: app, app in doubt"));
    answer_seen(0, 700, false);
    slot->good_timeline = 0;
    slots_note(&rig.agent);
    assert_int_equal(logical_unsafe(&rig.agent, names), 1);
    assert_string_equal(logical_fault(&rig.agent, "app"),
                        "the primary was not yet seen to keep what the copy needs");
    rig_free();
}

/* By hand, and then all was restarted: nobody remembers. */
static void a_copy_in_doubt_is_made_anew_on_whatever_has_become_a_primary(void **state)
{
    (void)state;
    primary();
    struct pg_slot *slot = slot_put("app", 900, 700);
    slot->marked = true;
    slot->active = true;
    rig.agent.facts.probe.asked_ms = rig.now_ms;
    slots_note(&rig.agent);
    assert_true(told("'app' is in use, and its copy was not safe yet"));
    buf_clear(&rig.logged);
    slots_note(&rig.agent);
    assert_false(told("is in use")); /* once */
    assert_false(logical_is_safe(&rig.agent, "app"));
    assert_non_null(
        strstr(logical_fault(&rig.agent, "app"), "what its consumer reads may be wrong"));
    slot->active = false; /* he is gone */
    assert_string_equal(decided(), "!app@900?");
    logical_apply(&rig.agent);
    assert_true(told("since its copy may lack rows of catalogs"));
    answer("logical", 0);
    *slot_of("app") = (struct pg_slot){.name = "app",
                                       .database = "db",
                                       .plugin = "pgoutput",
                                       .wal_status = "reserved",
                                       .restart_lsn = 2000,
                                       .confirmed_lsn = 2000,
                                       .catalog_xmin = 800};
    rig.agent.facts.probe.asked_ms = rig.now_ms + 1;
    slots_note(&rig.agent);
    assert_true(logical_is_safe(&rig.agent, "app"));
    assert_null(logical_fault(&rig.agent, "app"));
    rig_free();
}

static void a_primary_takes_away_what_was_noted_of_a_good_one(void **state)
{
    (void)state;
    primary();
    struct pg_slot *slot = slot_put("app", 900, 700);
    slot->marked = true;
    slot->good_timeline = 2;
    slots_note(&rig.agent);
    assert_true(logical_is_safe(&rig.agent, "app"));
    assert_string_equal(decided(), "!app@900");
    logical_apply(&rig.agent);
    assert_true(is_asked("logical app@900 =app"));
    answer("logical", 0);
    slot->marked = false;
    assert_string_equal(decided(), "app@900");
    rig_free();
}

static void what_a_promotion_could_not_drop_is_told(void **state)
{
    (void)state;
    promoted_with_copy();
    logical_promoted(&rig.agent);
    assert_false(told("could not be dropped"));
    (void)snprintf(rig.undropped, sizeof rig.undropped, "app");
    logical_promoted(&rig.agent);
    assert_true(told("could not be dropped before the promotion, since they are in use: app"));
    rig_free();
}

/* --- what is told ----------------------------------------------------------------------------- */

/* 17: a consumer that never goes keeps its slot from being carried over. */
static void one_that_its_consumer_keeps_from_being_copied_is_told_of_once(void **state)
{
    (void)state;
    primary();
    rig.agent.facts.probe.server_version = 170002;
    struct pg_slot *slot = slot_put("app", 1000, 700);
    slot->active = true;
    slots_note(&rig.agent);
    assert_true(told("'app' is not carried over a failover: it was made without 'failover'"));
    assert_non_null(strstr(logical_fault(&rig.agent, "app"), "stop its consumer"));
    buf_clear(&rig.logged);
    slots_note(&rig.agent);
    assert_false(told("is not carried over"));
    slot->failover = true;
    slots_note(&rig.agent);
    assert_null(logical_fault(&rig.agent, "app"));
    slot->failover = false;
    slots_note(&rig.agent);
    assert_true(told("is not carried over"));
    rig_free();
}

static void each_slot_has_its_own_fault(void **state)
{
    (void)state;
    standby();
    configure(
        "{\"slots\":{\"app\":{\"database\":\"db\",\"plugin\":\"pgoutput\"},\"b\":{\"database\":"
        "\"db\",\"plugin\":\"pgoutput\"}},\"postgresql\":{\"parameters\":{\"wal_level\":"
        "\"logical\"}}}");
    store_says("status", "{\"slots\":{\"app\":900,\"b\":900}}");
    for (int i = 0; i < 3; i++) {
        buf_clear(&rig.logged);
        look();
        struct pending pending = answer_take("seen slots");
        memset(&seen, 0, sizeof seen);
        seen.timeline = 3;
        seen.count = 2;
        for (size_t at = 0; at < 2; at++) {
            (void)snprintf(seen.slots[at].name, sizeof seen.slots[at].name, at == 0 ? "app" : "b");
            (void)snprintf(seen.slots[at].fault, sizeof seen.slots[at].fault, "for reason %zu", at);
        }
        pending.seen(pending.arg, 0, &seen, NULL);
        assert_int_equal(told("'app' cannot be copied: for reason 0"), i == 0);
        assert_int_equal(told("'b' cannot be copied: for reason 1"), i == 0);
    }
    assert_string_equal(logical_fault(&rig.agent, "b"), "for reason 1");
    rig_free();
}

/* Logical ones come last: they would look as if they were gone. */
static void where_not_all_slots_are_seen_nothing_is_done_and_that_is_told(void **state)
{
    (void)state;
    primary();
    rig.agent.facts.probe.slots_cut = true;
    buf_clear(&rig.logged);
    slots_note(&rig.agent);
    assert_true(told("has more than 64 replication slots"));
    assert_string_equal(decided(), "");
    assert_non_null(strstr(logical_fault(&rig.agent, "app"), "more replication slots"));
    buf_clear(&rig.logged);
    slots_note(&rig.agent);
    assert_false(told("replication slots"));
    rig.agent.facts.probe.slots_cut = false;
    slots_note(&rig.agent);
    assert_string_equal(decided(), "!app@900");
    rig_free();
}

static void strangers_that_are_gone_are_forgotten(void **state)
{
    (void)state;
    primary();
    for (int i = 0; i < 3 * PG_SLOTS_MAX; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "of_a_test_%d", i);
        buf_clear(&rig.logged);
        slot_put(name, 1000, 700);
        assert_true(told("is in no configuration"));
        slot_remove(name);
    }
    rig_free();
}

/* Where it does not decode, its worker for slots would end it. */
static void the_settings_of_17_wait_until_the_server_decodes(void **state)
{
    (void)state;
    standby();
    answer("reload", 0);
    rig.agent.facts.probe.server_version = 170002;
    rig.agent.facts.probe.logical_decoding = false;
    slots_note(&rig.agent);
    answer("reload", 0); /* it was given with them */
    slots_note(&rig.agent);
    assert_false(is_asked("reload"));
    rig.agent.facts.probe.logical_decoding = true;
    slots_note(&rig.agent);
    assert_true(is_asked("reload"));
    answer("reload", 0);
    slots_note(&rig.agent);
    assert_false(is_asked("reload"));
    rig_free();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            what_was_good_under_the_primary_before_the_last_does_not_outlive_a_promotion),
        cmocka_unit_test(a_note_of_an_earlier_timeline_counts_for_nothing),
        cmocka_unit_test(what_is_lost_on_the_primary_makes_no_copy_good),
        cmocka_unit_test(a_note_of_the_present_primary_holds_until_something_else_is_seen),
        cmocka_unit_test(a_copy_in_doubt_is_made_anew_on_whatever_has_become_a_primary),
        cmocka_unit_test(a_primary_takes_away_what_was_noted_of_a_good_one),
        cmocka_unit_test(what_a_promotion_could_not_drop_is_told),
        cmocka_unit_test(one_that_its_consumer_keeps_from_being_copied_is_told_of_once),
        cmocka_unit_test(each_slot_has_its_own_fault),
        cmocka_unit_test(where_not_all_slots_are_seen_nothing_is_done_and_that_is_told),
        cmocka_unit_test(strangers_that_are_gone_are_forgotten),
        cmocka_unit_test(the_settings_of_17_wait_until_the_server_decodes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
