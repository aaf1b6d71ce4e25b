/* Permanent logical slots: what is made, copied, moved on and dropped, and when a copy is good. */
#include "logical_fixture.h"

/* --- on the primary --------------------------------------------------------------------------- */

static void the_primary_makes_what_the_configuration_names(void **state)
{
    (void)state;
    primary();
    store_says("status", "{}");
    assert_string_equal(decided(), "!app@0");
    logical_apply(&rig.agent);
    assert_true(is_asked("logical app@0"));
    assert_true(told("making the logical replication slot 'app' of database 'db'"));
    assert_string_equal(decided(), "app@0"); /* it is under way */
    answer("logical", 0);
    slot_put("app", 1000, 700);
    assert_string_equal(decided(), "app@0");
    look();
    assert_false(is_asked("seen slots"));
    rig_free();
}

static void what_fails_is_tried_again_after_loop_wait(void **state)
{
    (void)state;
    primary();
    logical_apply(&rig.agent);
    answer("logical", ERR_REFUSED);
    assert_true(told("as the test says, retrying"));
    assert_string_equal(decided(), "app@900");
    rig.now_ms += LOOP_WAIT_MS;
    assert_string_equal(decided(), "!app@900");
    rig.agent.facts.probe.logical_decoding = false;
    assert_string_equal(decided(), "app@900"); /* before its restart there can be none */
    rig_free();
}

/* Its consumer would go on as if nothing were missing. */
static void one_that_was_there_and_is_lost_is_told_of_as_an_error(void **state)
{
    (void)state;
    primary();
    logical_apply(&rig.agent);
    assert_true(told("the logical replication slot 'app' is lost: it is made anew"));
    answer("logical", 0);
    slot_put("app", 1000, 700)->invalid = true;
    rig.now_ms += LOOP_WAIT_MS;
    assert_string_equal(decided(), "!app@900");
    buf_clear(&rig.logged);
    logical_apply(&rig.agent);
    assert_true(told("'app' is made anew, since it is lost"));
    rig_free();
}

static void one_that_the_configuration_names_no_more_goes(void **state)
{
    (void)state;
    primary();
    slot_put("app", 1000, 700)->active = true;
    slot_put("mine", 1000, 700);
    configure("{}");
    assert_string_equal(decided(), ""); /* in use */
    slot_of("app")->active = false;
    assert_string_equal(decided(), "!-app"); /* and "mine" was never of it */
    rig.agent.dynamic.paused = true;
    assert_string_equal(decided(), "");
    rig.agent.dynamic.paused = false;
    configure("{\"ignore_slots\":[{\"name\":\"app\",\"type\":\"logical\"}]}");
    assert_string_equal(decided(), "");
    configure("{\"slots\":[7]}"); /* cannot be read: nobody knows what was meant */
    assert_string_equal(decided(), "");
    configure("{}");
    logical_apply(&rig.agent);
    assert_true(is_asked("logical -app"));
    answer("logical", 0);
    slot_remove("app");
    assert_string_equal(decided(), "");
    assert_int_equal(rig.agent.logical.count, 0);
    rig_free();
}

static void pause_makes_and_destroys_nothing_that_is_there(void **state)
{
    (void)state;
    primary();
    slot_put("app", 1000, 700)->invalid = true;
    rig.agent.dynamic.paused = true;
    assert_string_equal(decided(), "");
    slot_of("app")->invalid = false;
    assert_string_equal(decided(), "app@900");
    rig_free();
}

static void a_name_of_a_members_slot_is_left_to_the_member(void **state)
{
    (void)state;
    primary();
    configure("{\"slots\":{\"n3\":{\"database\":\"db\",\"plugin\":\"p\"}},\"postgresql\":{"
              "\"parameters\":{\"wal_level\":\"logical\"}}}");
    assert_string_equal(decided(), "");
    rig_free();
}

static void one_that_nobody_configured_is_told_of_once(void **state)
{
    (void)state;
    primary();
    slot_put("mine", 1000, 700);
    assert_true(told("'mine' is in no configuration: it does not outlive this primary"));
    slot_put("pg_16391_sync_16385_7", 1000, 700);
    assert_false(told("pg_16391"));
    buf_clear(&rig.logged);
    slots_note(&rig.agent);
    assert_false(told("in no configuration"));
    rig.now_ms += 2 * rig.agent.dynamic.member_slots_ttl_ms;
    assert_string_equal(decided(), "!app@900"); /* and it stays */
    rig_free();
}

/* --- on a standby ----------------------------------------------------------------------------- */

static void a_copy_is_moved_on_with_its_consumer(void **state)
{
    (void)state;
    standby();
    slot_put("app", 900, 700);
    assert_string_equal(decided(), "app@900");
    store_says("status", "{\"slots\":{\"app\":1200}}");
    assert_string_equal(decided(), "!app@1200");
    logical_apply(&rig.agent);
    assert_true(is_asked("logical app@1200"));
    answer("logical", 0);
    assert_string_equal(decided(), "app@1200"); /* the next time after loop_wait */
    rig.now_ms += LOOP_WAIT_MS;
    assert_string_equal(decided(), "!app@1200");
    slot_of("app")->confirmed_lsn = 1200;
    assert_string_equal(decided(), "app@1200");
    rig_free();
}

static void what_is_missing_is_fetched_and_brought_by_a_restart(void **state)
{
    (void)state;
    standby();
    assert_string_equal(decided(), "app@900");
    look();
    assert_true(is_asked("seen slots n1: app, copy"));
    answer_seen(0, 700, true);
    assert_int_equal(rig.agent.restart.now.phase, HA_RESTART_ORDERED);
    look();
    assert_false(is_asked("seen slots")); /* it is coming */
    rig.agent.restart.now.phase = HA_RESTART_NONE;
    slot_put("app", 900, 700);
    assert_true(told("'app' was copied from 'n2'"));
    assert_true(rig.agent.logical.items[0].copied);
    assert_false(logical_is_safe(&rig.agent, "app"));
    rig_free();
}

static void a_restart_that_does_not_bring_it_is_not_repeated_at_once(void **state)
{
    (void)state;
    standby();
    look();
    answer_seen(0, 700, true);
    rig.agent.restart.now.phase = HA_RESTART_NONE; /* over */
    look();
    assert_true(told("'app' was not copied: PostgreSQL was not restarted"));
    assert_false(is_asked("seen slots"));
    rig.now_ms += 60000;
    look();
    answer_seen(0, 700, true);
    assert_int_equal(rig.agent.restart.now.phase, HA_RESTART_ORDERED);
    rig.agent.restart.now.phase = HA_RESTART_NONE;
    rig.now_ms += 60000;
    look();
    assert_false(is_asked("seen slots")); /* twice as long */
    rig.now_ms += 60000;
    look();
    assert_true(is_asked("seen slots"));
    rig_free();
}

static void why_a_start_did_not_place_a_copy_is_told(void **state)
{
    (void)state;
    standby();
    (void)snprintf(rig.unplaced, sizeof rig.unplaced, "app");
    look();
    answer_seen(0, 700, true);
    rig.agent.restart.now.phase = HA_RESTART_NONE; /* over */
    look();
    assert_true(told("'app' was not copied: pg_replslot is full"));
    rig_free();
}

/* The limit of PostgreSQL takes it away again, say. */
static void what_is_lost_again_and_again_costs_fewer_and_fewer_restarts(void **state)
{
    unsigned restarts = 0;
    (void)state;
    standby();
    for (int minute = 0; minute < 120; minute++) {
        rig.now_ms += 60000 - LOOP_WAIT_MS;
        look();
        if (is_asked("seen slots")) {
            answer_seen(0, 700, true);
            restarts++;
            rig.agent.restart.now.phase = HA_RESTART_NONE;
            slot_put("app", 900, 700);
            slot_remove("app");
        }
    }
    assert_in_range(restarts, 4, 8);
    rig.now_ms += 3 * 3600000;
    look();
    answer_seen(0, 700, true);
    assert_int_equal(rig.agent.logical.copy_wait_ms, 60000); /* long ago: it may go well now */
    rig_free();
}

/* What was fetched comes with any restart. */
static void a_copy_that_comes_by_another_restart_is_one_all_the_same(void **state)
{
    const char *names[DYNAMIC_SLOTS_MAX];
    (void)state;
    standby();
    look();
    rig.agent.reinit.now.phase = HA_REINIT_ORDERED; /* other work has come between */
    answer_seen(0, 700, true);
    assert_true(told("needs a restart, which has to wait"));
    look();
    assert_false(told("was not copied"));
    slot_put("app", 900, 700);
    assert_int_equal(logical_unsafe(&rig.agent, names), 1);
    rig_free();
}

static void nothing_is_restarted_for_what_cannot_be_copied(void **state)
{
    (void)state;
    standby();
    look();
    answer_seen(0, 700, false);
    assert_int_equal(rig.agent.restart.now.phase, HA_RESTART_NONE);
    assert_true(told("'app' cannot be copied: for a reason"));
    buf_clear(&rig.logged);
    look();
    answer_seen(0, 700, false);
    assert_false(told("cannot be copied"));
    look();
    answer("seen slots", ERR_TIMEOUT);
    assert_true(told("as the test says, retrying"));
    look();
    assert_true(is_asked("seen slots"));
    rig_free();
}

static void it_is_copied_only_where_that_can_go_well(void **state)
{
    (void)state;
    standby();
    rig.agent.facts.probe.feedback = false; /* nobody would keep what it needs */
    look();
    assert_false(is_asked("seen slots"));
    rig.agent.facts.probe.feedback = true;
    rig.agent.dynamic.paused = true;
    look();
    assert_false(is_asked("seen slots"));
    rig.agent.dynamic.paused = false;
    rig.agent.facts.upstream.streaming = false;
    look();
    assert_false(is_asked("seen slots"));
    rig.agent.facts.upstream.streaming = true;
    store_says("status", "{\"slots\":{}}"); /* the primary has none yet */
    look();
    assert_false(is_asked("seen slots"));
    store_says("status", "{\"slots\":{\"app\":900}}");
    rig.agent.facts.probe.server_version = 170002; /* the server does it itself */
    look();
    assert_false(is_asked("seen slots"));
    rig.agent.facts.probe.server_version = 160002;
    look();
    assert_true(is_asked("seen slots n1: app, copy"));
    rig_free();
}

/* The third one waits for its turn, and for those who are just away. */
static void standbys_restart_one_after_the_other(void **state)
{
    (void)state;
    standby();
    store_says("members/n0", "{\"state\":\"running\"}");
    look();
    assert_false(is_asked("seen slots"));
    store_says("members/n0", "{\"state\":\"starting\"}");
    rig.now_ms += 60000;
    look();
    assert_false(is_asked("seen slots"));
    store_says("members/n0", "{\"state\":\"running\"}");
    look();
    assert_true(is_asked("seen slots n1: app, copy"));
    answer("seen slots", ERR_CANCELED);
    rig_free();
}

static void a_member_without_use_for_it_has_none(void **state)
{
    (void)state;
    standby();
    slot_put("app", 900, 700);
    rig.config.tags.nofailover = true;
    assert_string_equal(decided(), "!-app");
    rig.config.tags.nofailover = false;
    assert_string_equal(decided(), "app@900");
    rig.config.tags.nostream = true;
    assert_string_equal(decided(), "!-app");
    look();
    assert_false(is_asked("seen slots"));
    rig_free();
}

/* A subscription's of before the switchover, say: it would hold back the primary for ever. */
static void what_nobody_uses_on_a_standby_goes_in_time(void **state)
{
    (void)state;
    standby();
    slot_put("app", 900, 700);
    slot_put("mine", 900, 700);
    assert_true(told("'mine' is in no configuration: it holds back WAL here"));
    rig.now_ms += rig.agent.dynamic.member_slots_ttl_ms;
    assert_string_equal(decided(), "app@900");
    rig.now_ms += 1;
    assert_string_equal(decided(), "!app@900 -mine");
    slot_of("mine")->synced = true;
    assert_string_equal(decided(), "app@900");
    rig_free();
}

/* 17: while one is here that the server's worker has made, it goes on. */
static void settings_are_given_anew_when_the_servers_copies_are_gone(void **state)
{
    (void)state;
    standby();
    rig.agent.facts.probe.server_version = 170002;
    slot_put("app", 900, 700)->synced = true;
    slots_note(&rig.agent);
    assert_true(logical_has_synced(&rig.agent));
    configure("{}");
    answer("reload", 0);
    assert_string_equal(decided(), "");
    rig.agent.facts.probe.role = PG_PRIMARY; /* the mark outlives a promotion */
    assert_string_equal(decided(), "!-app");
    rig.agent.facts.probe.role = PG_STANDBY;
    slot_remove("app");
    assert_false(logical_has_synced(&rig.agent));
    assert_true(is_asked("reload"));
    rig_free();
}

/* --- when a copy is good ---------------------------------------------------------------------- */

static void a_copy_is_good_when_it_is_where_the_primary_kept_all(void **state)
{
    (void)state;
    standby();
    slot_put("app", 900, 700);
    look_sees(0, 720); /* our feedback is not there yet */
    assert_int_equal(rig.agent.logical.items[0].horizon, 0);
    look_sees(710, 720); /* another slot's of ours: later rows than ours needs */
    assert_int_equal(rig.agent.logical.items[0].horizon, 0);
    look_sees(700, 730); /* from 730 on its own slot had kept everything */
    assert_int_equal(rig.agent.logical.items[0].horizon, 730);
    assert_false(logical_is_safe(&rig.agent, "app"));
    slot_of("app")->catalog_xmin = 729;
    look_sees(729, 760);
    assert_false(logical_is_safe(&rig.agent, "app"));
    slot_of("app")->catalog_xmin = 730;
    slot_of("app")->confirmed_lsn = 5001; /* not replayed here yet */
    look_sees(729, 760);
    assert_false(told("'app' is good for a failover"));
    slot_of("app")->confirmed_lsn = 5000;
    look_sees(729, 760);
    assert_true(told("'app' is good for a failover"));
    assert_false(logical_is_safe(&rig.agent, "app")); /* a promotion would drop it yet */
    logical_look(&rig.agent);                         /* at once */
    assert_true(is_asked("seen slots n1: app, app is good on 3"));
    answer("seen slots", ERR_IO);
    look();
    assert_true(is_asked("seen slots n1: app, app is good on 3"));
    assert_false(logical_is_safe(&rig.agent, "app"));
    answer_seen(729, 760, false);
    assert_true(logical_is_safe(&rig.agent, "app"));
    look();
    assert_false(is_asked("seen slots")); /* nothing is open */
    rig_free();
}

static void another_primary_has_not_kept_what_this_one_did(void **state)
{
    (void)state;
    standby();
    slot_put("app", 900, 700);
    look_sees(700, 700);
    look_sees(700, 700);
    assert_true(logical_is_safe(&rig.agent, "app"));
    leads("n3");
    store_says("members/n3",
               "{\"state\":\"running\",\"conn_url\":\"postgres://10.0.0.3:5432/postgres\"}");
    assert_false(logical_is_safe(&rig.agent, "app"));
    look_sees(700, 700);
    assert_false(logical_is_safe(&rig.agent, "app")); /* noted for the last one alone */
    look_sees(700, 700);
    assert_true(logical_is_safe(&rig.agent, "app"));
    rig.agent.facts.upstream.streaming = false;
    slots_note(&rig.agent);
    assert_false(logical_is_safe(&rig.agent, "app"));
    rig.agent.facts.upstream.streaming = true;
    look_sees(0, 700);
    look_sees(700, 700);
    look_sees(700, 700);
    assert_true(logical_is_safe(&rig.agent, "app"));
    rig_free();
}

/* By ALTER SYSTEM, say. The primary removes what the copy needs from then on. */
static void without_feedback_no_copy_stays_safe(void **state)
{
    const char *names[DYNAMIC_SLOTS_MAX];
    (void)state;
    standby();
    slot_put("app", 900, 700);
    look_sees(700, 700);
    look_sees(700, 700);
    assert_true(logical_is_safe(&rig.agent, "app"));
    assert_int_equal(logical_unsafe(&rig.agent, names), 0);
    rig.agent.facts.probe.feedback = false;
    slots_note(&rig.agent);
    assert_false(logical_is_safe(&rig.agent, "app"));
    assert_int_equal(logical_unsafe(&rig.agent, names), 1);
    rig.agent.facts.probe.feedback = true;
    slots_note(&rig.agent);
    assert_false(logical_is_safe(&rig.agent, "app")); /* not before it was looked at again */
    assert_int_equal(logical_unsafe(&rig.agent, names), 1);
    look_sees(700, 700);
    look_sees(700, 700);
    assert_true(logical_is_safe(&rig.agent, "app"));
    assert_int_equal(logical_unsafe(&rig.agent, names), 0);
    rig_free();
}

static void an_answer_about_the_primary_of_before_counts_for_nothing(void **state)
{
    (void)state;
    standby();
    slot_put("app", 900, 700);
    look();
    leads("n3");
    answer_seen(700, 700, false);
    assert_false(logical_is_safe(&rig.agent, "app"));
    rig_free();
}

static void a_copy_that_was_never_good_does_not_outlive_a_promotion(void **state)
{
    const char *names[DYNAMIC_SLOTS_MAX];
    (void)state;
    standby();
    look();
    answer_seen(0, 700, true);
    rig.agent.restart.now.phase = HA_RESTART_NONE;
    slot_put("app", 900, 700);
    assert_int_equal(logical_unsafe(&rig.agent, names), 1);
    assert_string_equal(names[0], "app");
    assert_true(told("it is dropped before the promotion"));
    /* It was not dropped: it is made anew, unless somebody reads from it already. */
    rig.agent.facts.probe.role = PG_PRIMARY;
    assert_false(logical_is_safe(&rig.agent, "app"));
    rig.now_ms += LOOP_WAIT_MS;
    assert_string_equal(decided(), "!app@900?");
    logical_apply(&rig.agent);
    assert_true(told("since its copy may lack rows of catalogs"));
    answer("logical", ERR_REFUSED); /* of another one: this one was made */
    slots_note(&rig.agent);
    assert_string_equal(decided(), "app@900");
    slot_of("app")->restart_lsn = 2000;
    rig.agent.facts.probe.asked_ms = rig.now_ms + 1;
    slots_note(&rig.agent);
    assert_string_equal(decided(), "app@900");
    assert_false(told("is in use"));
    rig_free();
}

/* It may have moved on another slot, or have found this one in use. */
static void what_began_on_the_standby_does_not_make_a_copy_good(void **state)
{
    (void)state;
    promoted_with_copy();
    store_says("status", "{\"slots\":{\"app\":1200}}");
    logical_apply(&rig.agent);
    assert_true(is_asked("logical app@1200"));
    rig.agent.facts.probe.role = PG_PRIMARY;
    answer("logical", 0);
    rig.now_ms += LOOP_WAIT_MS;
    assert_string_equal(decided(), "!app@1200?");
    rig_free();
}

static void one_that_could_not_be_made_anew_is_told_of(void **state)
{
    (void)state;
    promoted_with_copy();
    rig.agent.facts.probe.role = PG_PRIMARY;
    logical_apply(&rig.agent);
    answer("logical", 0); /* somebody was faster */
    slot_of("app")->active = true;
    rig.agent.facts.probe.asked_ms = rig.now_ms + 1;
    slots_note(&rig.agent);
    assert_true(told("'app' is in use, and its copy was not safe yet"));
    rig_free();
}

static void what_fails_again_and_again_is_told_of_once(void **state)
{
    (void)state;
    primary();
    logical_apply(&rig.agent);
    assert_true(told("'app' is lost: it is made anew"));
    answer("logical", ERR_REFUSED);
    buf_clear(&rig.logged);
    rig.now_ms += LOOP_WAIT_MS;
    logical_apply(&rig.agent);
    assert_true(is_asked("logical app@900"));
    assert_false(told("is lost"));
    answer("logical", 0);
    slot_put("app", 1000, 700);
    slot_remove("app");
    rig.now_ms += LOOP_WAIT_MS;
    logical_apply(&rig.agent);
    assert_true(told("'app' is lost: it is made anew")); /* once more */
    rig_free();
}

static void one_that_was_good_until_its_primary_went_is_no_matter_of_doubt(void **state)
{
    const char *names[DYNAMIC_SLOTS_MAX];
    (void)state;
    standby();
    slot_put("app", 900, 700);
    look_sees(700, 700);
    rig.agent.facts.upstream.streaming = false;
    slots_note(&rig.agent);
    leads("n1");
    assert_int_equal(logical_unsafe(&rig.agent, names), 0);
    assert_false(told("rows of catalogs that it needs may be gone"));
    leads("n2"); /* it has come back */
    rig.agent.facts.upstream.streaming = true;
    slots_note(&rig.agent);
    leads("n1");
    assert_int_equal(logical_unsafe(&rig.agent, names), 0);
    assert_true(told("rows of catalogs that it needs may be gone"));
    rig_free();
}

static void one_that_was_good_outlives_it(void **state)
{
    const char *names[DYNAMIC_SLOTS_MAX];
    (void)state;
    standby();
    look();
    answer_seen(0, 700, true);
    rig.agent.restart.now.phase = HA_RESTART_NONE;
    slot_put("app", 900, 700);
    look_sees(700, 700);
    assert_int_equal(logical_unsafe(&rig.agent, names), 0);
    assert_false(told("rows of catalogs that it needs may be gone"));
    leads("n3"); /* not looked at since */
    assert_int_equal(logical_unsafe(&rig.agent, names), 0);
    assert_true(told("rows of catalogs that it needs may be gone"));
    rig_free();
}

static void feedback_of_a_standby_of_a_standby_comes_by_the_one_between(void **state)
{
    (void)state;
    standby();
    rig.config.tags.replicatefrom = "n3";
    slot_put("app", 900, 700);
    look();
    assert_true(is_asked("seen slots n3: app"));
    answer("seen slots", ERR_CANCELED);
    store_says("members/n3", "{\"tags\":{\"nostream\":true}}");
    assert_string_equal(decided(), "!-app");
    rig_free();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_primary_makes_what_the_configuration_names),
        cmocka_unit_test(what_fails_is_tried_again_after_loop_wait),
        cmocka_unit_test(one_that_was_there_and_is_lost_is_told_of_as_an_error),
        cmocka_unit_test(one_that_the_configuration_names_no_more_goes),
        cmocka_unit_test(pause_makes_and_destroys_nothing_that_is_there),
        cmocka_unit_test(a_name_of_a_members_slot_is_left_to_the_member),
        cmocka_unit_test(one_that_nobody_configured_is_told_of_once),
        cmocka_unit_test(a_copy_is_moved_on_with_its_consumer),
        cmocka_unit_test(what_is_missing_is_fetched_and_brought_by_a_restart),
        cmocka_unit_test(a_restart_that_does_not_bring_it_is_not_repeated_at_once),
        cmocka_unit_test(why_a_start_did_not_place_a_copy_is_told),
        cmocka_unit_test(what_is_lost_again_and_again_costs_fewer_and_fewer_restarts),
        cmocka_unit_test(a_copy_that_comes_by_another_restart_is_one_all_the_same),
        cmocka_unit_test(nothing_is_restarted_for_what_cannot_be_copied),
        cmocka_unit_test(it_is_copied_only_where_that_can_go_well),
        cmocka_unit_test(standbys_restart_one_after_the_other),
        cmocka_unit_test(a_member_without_use_for_it_has_none),
        cmocka_unit_test(what_nobody_uses_on_a_standby_goes_in_time),
        cmocka_unit_test(settings_are_given_anew_when_the_servers_copies_are_gone),
        cmocka_unit_test(a_copy_is_good_when_it_is_where_the_primary_kept_all),
        cmocka_unit_test(another_primary_has_not_kept_what_this_one_did),
        cmocka_unit_test(without_feedback_no_copy_stays_safe),
        cmocka_unit_test(an_answer_about_the_primary_of_before_counts_for_nothing),
        cmocka_unit_test(a_copy_that_was_never_good_does_not_outlive_a_promotion),
        cmocka_unit_test(what_began_on_the_standby_does_not_make_a_copy_good),
        cmocka_unit_test(one_that_could_not_be_made_anew_is_told_of),
        cmocka_unit_test(what_fails_again_and_again_is_told_of_once),
        cmocka_unit_test(one_that_was_good_until_its_primary_went_is_no_matter_of_doubt),
        cmocka_unit_test(one_that_was_good_outlives_it),
        cmocka_unit_test(feedback_of_a_standby_of_a_standby_comes_by_the_one_between),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
