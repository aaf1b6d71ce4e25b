/* Slots: whose are to be there, where they stand, when they go. */
#include "loop_fixture.h"

#include "agent/loop/slots.h"

static struct slots_plan plan; /* large: not on the stack */

/* The plan as "n2 n3@1000 -gone": a wish, one that is idle, one to be dropped; "!" in front: due.
 */
static const char *decided(void)
{
    static char text[4096];
    struct buf out = BUF_INIT;
    slots_decide(&rig.agent, &plan);
    buf_put_str(&out, plan.due ? "!" : "");
    for (size_t i = 0; i < plan.wish_count; i++) {
        buf_printf(&out, "%s%s", i == 0 ? "" : " ", plan.wishes[i].name);
        if (plan.wishes[i].idle) {
            buf_printf(&out, "@%llu", (unsigned long long)plan.wishes[i].lsn);
        }
    }
    for (size_t i = 0; i < plan.drop_count; i++) {
        buf_printf(&out, "%s-%s", i + plan.wish_count == 0 ? "" : " ", plan.drops[i]);
    }
    (void)snprintf(text, sizeof text, "%s", buf_str(&out));
    buf_free(&out);
    return text;
}

static struct pg_slot *slot_of(const char *name)
{
    struct pg_probe_result *probe = &rig.agent.facts.probe;
    for (size_t i = 0; i < probe->slot_count; i++) {
        if (strcmp(probe->slots[i].name, name) == 0) {
            return &probe->slots[i];
        }
    }
    fail_msg("no slot '%s'", name);
    return NULL;
}

/* A slot that stands at `lsn`, seen from now on. */
static struct pg_slot *slot_put(const char *name, uint64_t lsn)
{
    struct pg_probe_result *probe = &rig.agent.facts.probe;
    struct pg_slot *slot = &probe->slots[probe->slot_count++];
    *slot = (struct pg_slot){.physical = true, .restart_lsn = lsn, .wal_status = "reserved"};
    (void)snprintf(slot->name, sizeof slot->name, "%s", name);
    slots_note(&rig.agent);
    return slot;
}

static void slot_remove(const char *name)
{
    struct pg_probe_result *probe = &rig.agent.facts.probe;
    struct pg_slot *slot = slot_of(name);
    *slot = probe->slots[--probe->slot_count];
    slots_note(&rig.agent);
}

static void store_forgets(const char *key)
{
    key_remove(key);
    observe_store_changed(&rig.agent);
}

static void store_says(const char *key, const char *value)
{
    key_set(key, value);
    observe_store_changed(&rig.agent);
}

/* n1 is a standby of n2 and has replayed up to `lsn`; n3 is another one. */
static void standby(uint64_t lsn)
{
    rig_init();
    standby_runs(lsn);
    key_set("members/n1", "{}");
    key_set("members/n2", "{}");
    key_set("members/n3", "{}");
    store_says("leader", "n2");
}

static void primary(uint64_t lsn)
{
    standby(lsn);
    rig.agent.facts.probe.role = PG_PRIMARY;
    store_says("leader", "n1");
}

static void time_passes(int64_t ms)
{
    rig.now_ms += ms;
    slots_note(&rig.agent);
}

/* --- positions -------------------------------------------------------------------------------- */

static void slots_of_the_others_are_made(void **state)
{
    (void)state;
    standby(1000);
    assert_string_equal(decided(), "!n2@0 n3@0");
    slot_put("n2", 1000);
    assert_string_equal(decided(), "!n2@0 n3@0");
    slot_put("n3", 1000);
    assert_string_equal(decided(), "n2@0 n3@0");
    rig_free();
}

static void on_a_standby_they_follow_what_the_leader_says_of_its_own(void **state)
{
    (void)state;
    standby(1000);
    slot_put("n2", 1000);
    slot_put("n3", 1000);
    store_says("status", "{\"optime\":9000,\"slots\":{\"n1\":8900,\"n2\":9000,\"n3\":700}}");
    assert_string_equal(decided(), "n2@9000 n3@700");
    rig.agent.facts.probe.replay_lsn = 6000;
    assert_string_equal(decided(), "!n2@9000 n3@700");
    slot_of("n2")->restart_lsn = 6000;
    assert_string_equal(decided(), "n2@9000 n3@700");
    /* It has caught up; told once more as an old leader of Patroni's does it. */
    store_says("status", "{\"optime\":9500,\"slots\":\"{\\\"n2\\\":9500,\\\"n3\\\":9400}\"}");
    assert_string_equal(decided(), "!n2@9500 n3@9400");
    rig_free();
}

static void without_the_leaders_word_they_follow_the_member_key(void **state)
{
    (void)state;
    standby(5000);
    slot_put("n2", 1000);
    slot_put("n3", 1000);
    store_says("status", "9500");
    assert_string_equal(decided(), "n2@0 n3@0");
    store_says("members/n3", "{\"xlog_location\":4000}");
    assert_string_equal(decided(), "!n2@0 n3@4000");
    rig_free();
}

static void one_in_use_is_left_alone(void **state)
{
    (void)state;
    standby(5000);
    slot_put("n2", 5000);
    slot_put("n3", 1000)->active = true;
    slot_of("n3")->has_xmin = true;
    store_says("status", "{\"slots\":{\"n2\":4000,\"n3\":4000}}");
    assert_string_equal(decided(), "n2@4000 n3@4000");
    slot_of("n3")->active = false;
    assert_string_equal(decided(), "!n2@4000 n3@4000");
    rig_free();
}

static void on_the_primary_they_stay_where_their_members_left_them(void **state)
{
    (void)state;
    primary(5000);
    slot_put("n2", 1000);
    slot_put("n3", 1000)->has_xmin = true;
    store_says("members/n3", "{\"xlog_location\":4000}");
    store_says("status", "{\"slots\":{\"n2\":4000,\"n3\":4000}}");
    assert_string_equal(decided(), "n2 n3");
    rig_free();
}

/* n3 streams from n2: its slot on the primary is not moved by anybody else, and that on n2 is n3's
 * own. */
static void that_of_a_member_that_streams_from_elsewhere_follows_its_key(void **state)
{
    static const char cascading[] = "{\"xlog_location\":4000,\"tags\":{\"replicatefrom\":\"n2\"}}";
    (void)state;
    primary(5000);
    slot_put("n2", 1000);
    slot_put("n3", 1000);
    store_says("status", "{\"slots\":{\"n3\":1000}}");
    store_says("members/n3", cascading);
    assert_string_equal(decided(), "!n2 n3@4000");
    store_forgets("members/n2"); /* then it comes to us */
    assert_string_equal(decided(), "n3 n2");
    rig_free();
    primary(5000); /* in a circle: to us, all of them */
    slot_put("n2", 5000);
    slot_put("n3", 1000);
    store_says("members/n3", "{\"tags\":{\"replicatefrom\":\"n3\"}}");
    assert_string_equal(decided(), "n2 n3");
    store_says("members/n2", "{\"tags\":{\"replicatefrom\":\"n3\"}}");
    store_says("members/n3", "{\"tags\":{\"replicatefrom\":\"n2\"}}");
    assert_string_equal(decided(), "n2 n3");
    rig_free();
    standby(5000);
    slot_put("n2", 5000);
    slot_put("n3", 1000);
    store_says("members/n3", "{\"xlog_location\":4000,\"tags\":{\"replicatefrom\":\"n1\"}}");
    assert_string_equal(decided(), "n2@0 n3");
    rig_free();
}

static void who_does_not_stream_has_none(void **state)
{
    (void)state;
    primary(5000);
    slot_put("n2", 5000);
    store_says("members/n3", "{\"tags\":{\"nostream\":true}}");
    assert_string_equal(decided(), "!n2 n3"); /* it had one until now: for a while */
    rig_free();
    primary(5000);
    slot_put("n2", 5000);
    rig.agent.slot_age_count = 0;
    store_says("members/n3", "{\"tags\":{\"nostream\":true}}");
    rig.agent.slot_age_count = 0;
    slots_note(&rig.agent);
    assert_string_equal(decided(), "n2");
    rig_free();
}

static void moving_on_waits_for_loop_wait_and_nothing_else_does(void **state)
{
    (void)state;
    standby(5000);
    slot_put("n2", 1000);
    slot_put("n3", 5000);
    store_says("status", "{\"slots\":{\"n2\":9000}}");
    plan_begin("standby", "slots");
    plan_add(HA_SYNC_SLOTS);
    cycle_request(&rig.agent);
    run_for(0);
    assert_true(is_asked("slots n2@9000 n3@0"));
    answer("slots", 0);
    assert_string_equal(decided(), "n2@9000 n3@0");
    slot_of("n3")->restart_lsn = 0;
    assert_string_equal(decided(), "!n2@9000 n3@0");
    slot_of("n3")->restart_lsn = 5000;
    rig.now_ms += LOOP_WAIT_MS;
    assert_string_equal(decided(), "!n2@9000 n3@0");
    rig_free();
}

static void one_that_lost_its_wal_is_made_anew_and_told(void **state)
{
    (void)state;
    primary(5000);
    slot_put("n2", 1000);
    slot_put("n3", 1000);
    assert_string_equal(decided(), "n2 n3");
    (void)snprintf(slot_of("n3")->wal_status, sizeof slot_of("n3")->wal_status, "lost");
    assert_string_equal(decided(), "!n2 n3");
    plan_begin("leader", "slots");
    plan_add(HA_SYNC_SLOTS);
    cycle_request(&rig.agent);
    run_for(0);
    assert_non_null(strstr(buf_str(&rig.logged), "slot 'n3' anew"));
    rig_free();
}

/* --- when they go ----------------------------------------------------------------------------- */

static void one_outlives_the_key_of_its_member_for_a_while(void **state)
{
    (void)state;
    primary(1000);
    slot_put("n2", 1000)->active = true;
    slot_put("n3", 1000);
    time_passes(3 * rig.agent.dynamic.member_slots_ttl_ms);
    assert_string_equal(decided(), "n2 n3"); /* it is there, however long ago the view changed */
    store_forgets("members/n3");
    time_passes(rig.agent.dynamic.member_slots_ttl_ms);
    assert_string_equal(decided(), "n2 n3");
    time_passes(1);
    assert_string_equal(decided(), "!n2 -n3");
    slot_of("n3")->active = true;
    assert_string_equal(decided(), "n2"); /* in use: by whomever, it stays */
    slots_note(&rig.agent);
    slot_of("n3")->active = false;
    time_passes(rig.agent.dynamic.member_slots_ttl_ms);
    assert_string_equal(decided(), "n2 n3"); /* and counts anew when that has gone */
    rig_free();
}

/* An absent member whose slot is missing here (this member has just been rewound) gets one. */
static void one_is_made_for_a_member_that_has_just_gone(void **state)
{
    (void)state;
    standby(1000);
    slot_put("n2", 1000);
    store_forgets("members/n3");
    assert_string_equal(decided(), "!n2@0 n3@0");
    time_passes(rig.agent.dynamic.member_slots_ttl_ms + 1);
    assert_string_equal(decided(), "n2@0");
    rig_free();
}

/* A restart of the agent forgets whom it had seen: what it finds then counts from there. */
static void an_unknown_one_has_its_time_from_when_it_was_first_seen(void **state)
{
    (void)state;
    primary(1000);
    slot_put("n2", 1000);
    slot_put("n3", 1000);
    slot_put("n4", 1000);
    assert_string_equal(decided(), "n2 n3");
    time_passes(rig.agent.dynamic.member_slots_ttl_ms);
    assert_string_equal(decided(), "n2 n3");
    time_passes(1);
    assert_string_equal(decided(), "!n2 n3 -n4");
    rig_free();
}

static void nobody_could_stream_while_the_instance_was_down(void **state)
{
    (void)state;
    primary(1000);
    slot_put("n2", 1000);
    slot_put("n3", 1000);
    slot_put("receiver", 1000)->active = true;
    slots_note(&rig.agent);
    slot_of("receiver")->active = false;
    rig.now_ms += 2 * rig.agent.dynamic.member_slots_ttl_ms;
    slots_note_start(&rig.agent);
    slots_note(&rig.agent);
    assert_string_equal(decided(), "n2 n3");
    rig_free();
}

/* More members than the table has room for come and go. */
static void entries_that_are_of_no_use_make_room(void **state)
{
    char key[64];
    (void)state;
    primary(1000);
    rig.agent.dynamic.member_slots_ttl_ms = 1000;
    for (int i = 0; i < 3 * LOOP_SLOT_AGES_MAX; i++) {
        (void)snprintf(key, sizeof key, "members/m%d", i);
        store_says(key, "{}");
        slot_put(key + strlen("members/"), 1000);
        store_forgets(key);
        time_passes(2000);
        slot_remove(key + strlen("members/"));
    }
    store_says("members/last", "{}");
    store_forgets("members/last");
    assert_string_equal(decided(), "!n2 n3 last");
    rig_free();
}

static void without_a_time_to_live_only_those_in_use_are_kept(void **state)
{
    (void)state;
    standby(1000);
    rig.agent.dynamic.member_slots_ttl_ms = 0;
    slot_put("n2", 1000);
    slot_put("n3", 1000);
    time_passes(1);
    assert_string_equal(decided(), "!-n2 -n3");
    rig.agent.facts.probe.role = PG_PRIMARY;
    store_says("leader", "n1");
    time_passes(1000);
    assert_string_equal(decided(), "n2 n3");
    store_says("members/n3", "{\"tags\":{\"replicatefrom\":\"n2\"}}");
    assert_string_equal(decided(), "n2 n3@0"); /* it may come to us: n2 may be down */
    store_forgets("members/n3");
    time_passes(1);
    assert_string_equal(decided(), "!n2 -n3");
    rig_free();
}

static void a_member_that_is_never_promoted_keeps_none_for_others(void **state)
{
    (void)state;
    standby(1000);
    rig.config.tags.nofailover = true;
    slot_put("n2", 1000);
    slot_put("n3", 1000);
    store_says("members/n3", "{\"tags\":{\"replicatefrom\":\"n1\"}}");
    store_says("config", "{\"slots\":{\"backup\":null}}");
    time_passes(rig.agent.dynamic.member_slots_ttl_ms + 1);
    assert_string_equal(decided(), "!n3 -n2");
    rig_free();
}

static void without_use_slots_those_that_were_made_go_in_time(void **state)
{
    (void)state;
    primary(1000);
    slot_put("n2", 1000)->active = true;
    slot_put("n3", 1000);
    store_says("config", "{\"postgresql\":{\"use_slots\":false},\"slots\":{\"backup\":null}}");
    slot_put("backup", 1000);
    assert_string_equal(decided(), "");
    time_passes(rig.agent.dynamic.member_slots_ttl_ms + 1);
    assert_string_equal(decided(), "!-n3");
    rig_free();
}

/* --- the operator's --------------------------------------------------------------------------- */

static void those_that_the_configuration_names_are_made_and_never_dropped(void **state)
{
    (void)state;
    standby(1000);
    slot_put("n2", 1000);
    slot_put("n3", 1000);
    slot_put("receiver", 500);
    slot_put("other", 500);
    store_says("status", "{\"slots\":{\"backup\":800,\"n2\":900,\"n3\":900}}");
    store_says("config", "{\"slots\":{\"backup\":{\"type\":\"physical\"},\"n1\":null},"
                         "\"ignore_slots\":[{\"name\":\"receiver\",\"type\":\"physical\"}]}");
    assert_string_equal(decided(), "!n2@900 n3@900 backup@800");
    slot_put("backup", 700);
    assert_string_equal(decided(), "!n2@900 n3@900 backup@800");
    slot_of("backup")->restart_lsn = 800;
    time_passes(rig.agent.dynamic.member_slots_ttl_ms + 1);
    assert_string_equal(decided(), "!n2@900 n3@900 backup@800 -other");
    slot_remove("other");
    assert_string_equal(decided(), "n2@900 n3@900 backup@800");
    rig.agent.facts.probe.role = PG_PRIMARY;
    store_says("leader", "n1");
    assert_string_equal(decided(), "n2 n3 backup");
    rig_free();
}

static void logical_ones_are_nobodys_business(void **state)
{
    (void)state;
    primary(1000);
    slot_put("n2", 1000);
    slot_put("n3", 0)->physical = false; /* of that name, too */
    slot_put("app", 1)->physical = false;
    time_passes(2 * rig.agent.dynamic.member_slots_ttl_ms);
    assert_string_equal(decided(), "n2 n3");
    rig_free();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slots_of_the_others_are_made),
        cmocka_unit_test(on_a_standby_they_follow_what_the_leader_says_of_its_own),
        cmocka_unit_test(without_the_leaders_word_they_follow_the_member_key),
        cmocka_unit_test(one_in_use_is_left_alone),
        cmocka_unit_test(on_the_primary_they_stay_where_their_members_left_them),
        cmocka_unit_test(that_of_a_member_that_streams_from_elsewhere_follows_its_key),
        cmocka_unit_test(who_does_not_stream_has_none),
        cmocka_unit_test(moving_on_waits_for_loop_wait_and_nothing_else_does),
        cmocka_unit_test(one_that_lost_its_wal_is_made_anew_and_told),
        cmocka_unit_test(one_outlives_the_key_of_its_member_for_a_while),
        cmocka_unit_test(one_is_made_for_a_member_that_has_just_gone),
        cmocka_unit_test(an_unknown_one_has_its_time_from_when_it_was_first_seen),
        cmocka_unit_test(nobody_could_stream_while_the_instance_was_down),
        cmocka_unit_test(entries_that_are_of_no_use_make_room),
        cmocka_unit_test(without_a_time_to_live_only_those_in_use_are_kept),
        cmocka_unit_test(a_member_that_is_never_promoted_keeps_none_for_others),
        cmocka_unit_test(without_use_slots_those_that_were_made_go_in_time),
        cmocka_unit_test(those_that_the_configuration_names_are_made_and_never_dropped),
        cmocka_unit_test(logical_ones_are_nobodys_business),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
