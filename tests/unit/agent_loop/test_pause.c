/* A paused cluster in the loop: the page is opened after the put, armed before the removal; what
 * was started or stopped by hand is seen; health checks go on answering. */
#include "loop_fixture.h"

enum { SHORT_TTL_MS = 10000 };
static const struct ha_epoch EPOCH = {7, 9};

static void arms(void)
{
    assert_true(ha_lease_acquired(&rig.agent.lease, EPOCH, rig.now_ms, TTL_MS, rig.now_ms));
    keeper_kick(&rig.agent);
    plan_begin("arm", "before anything is writable");
    plan_add(HA_ARM)->epoch = EPOCH;
    carry_out();
    (void)calls();
}

static void opens(void)
{
    plan_begin("unfence", "the cluster is paused");
    plan_add(HA_PUT_UNFENCED)->epoch = EPOCH;
    plan_add(HA_UNFENCE)->epoch = EPOCH;
    carry_out();
}

static bool page_is_open(void)
{
    return page_now().epoch.revision == EPOCH.revision &&
           page_now().deadline_ms == FENCE_NO_DEADLINE && page_now().soft_ms == FENCE_NO_DEADLINE;
}

static void page_is_opened_when_the_put_was_answered_and_not_before(void **state)
{
    (void)state;
    rig_settle();
    arms();
    opens();
    assert_string_equal(calls(), "put unfenced 9\n");
    assert_false(page_is_open());
    answer("put unfenced", ERR_UNKNOWN); /* it may be applied, or never */
    assert_false(page_is_open());
    opens();
    answer("put unfenced", 0);
    assert_true(page_is_open());
    assert_false(keeper_may_write(&rig.agent));
    assert_true(keeper_leads(&rig.agent));
    rig_free();
}

static void put_that_is_answered_after_the_lease_opens_nothing(void **state)
{
    (void)state;
    rig_settle();
    arms();
    int64_t deadline_ms = page_now().deadline_ms;
    opens();
    rig.now_ms += ha_lease_soft_ms(TTL_MS);
    answer("put unfenced", 0);
    assert_int_equal(page_now().deadline_ms, deadline_ms); /* the fence may have begun to act */
    assert_non_null(strstr(last_outcome(), "ran out"));
    rig_free();
}

static void renewals_go_on_and_leave_an_open_page_alone(void **state)
{
    (void)state;
    rig_settle();
    arms();
    opens();
    answer("put unfenced", 0);
    for (int i = 0; i < 3; i++) {
        run_for(TTL_MS / 6);
        answer("renew", 0);
        assert_true(page_is_open());
    }
    rig_free();
}

/* Two renewals under way with different ttl when the pause ends: the page is armed by the smaller
 * deadline, and only the answer to the newest extends it (rule 1). */
static void pause_that_ends_among_two_renewals_arms_the_shorter_one(void **state)
{
    (void)state;
    rig_settle();
    arms();
    opens();
    answer("put unfenced", 0);
    run_for(TTL_MS / 6); /* the first, with the long ttl */
    assert_true(is_asked("renew"));
    rig.agent.dynamic.ttl_ms = SHORT_TTL_MS;
    run_for(TTL_MS / 6); /* not answered: the second, with the short one */
    int64_t sent_ms = rig.agent.lease.newest_sent_ms;
    assert_int_equal(rig.agent.lease.newest_ttl_ms, SHORT_TTL_MS);
    plan_begin("arm", "the pause is over");
    plan_add(HA_ARM)->epoch = EPOCH;
    plan_add(HA_REMOVE_UNFENCED)->revision = 12;
    carry_out();
    assert_int_equal(page_now().deadline_ms, sent_ms + ha_lease_kill_ms(SHORT_TTL_MS));
    answer("renew", 0); /* the older one: it says nothing of now */
    assert_int_equal(page_now().deadline_ms, sent_ms + ha_lease_kill_ms(SHORT_TTL_MS));
    answer("renew", 0);
    assert_int_equal(page_now().deadline_ms, sent_ms + ha_lease_kill_ms(SHORT_TTL_MS));
    assert_int_equal(rig.page_at_removal.deadline_ms, sent_ms + ha_lease_kill_ms(SHORT_TTL_MS));
    rig_free();
}

static void unfenced_is_removed_by_its_revision_from_an_armed_page(void **state)
{
    (void)state;
    rig_settle();
    arms();
    plan_begin("fenced_again", "the fence is armed again");
    plan_add(HA_REMOVE_UNFENCED)->revision = 12;
    carry_out();
    assert_string_equal(calls(), "remove unfenced at 12\n");
    assert_true(fence_lease_armed(&rig.page_at_removal));
    answer("remove unfenced", ERR_CONFLICT);
    assert_non_null(strstr(last_outcome(), "remove_unfenced"));
    rig_free();
}

static void acquisition_says_what_becomes_of_unfenced(void **state)
{
    static const char *const texts[] = {"acquire\n", "acquire and put unfenced\n",
                                        "acquire and remove unfenced\n"};
    (void)state;
    rig_settle();
    for (int i = 0; i <= HA_UNFENCED_REMOVE; i++) {
        plan_begin("acquire", "taking the key again");
        plan_add(HA_ACQUIRE);
        rig.next.acquire.unfenced = (enum ha_unfenced)i;
        rig.next.acquire.unfenced_revision = 40 + i;
        carry_out();
        assert_string_equal(calls(), texts[i]);
        assert_int_equal(rig.unfenced_compared, 40 + i);
        answer("acquire", ERR_CONFLICT);
        run_for(LOOP_RETRY_MS);
        (void)calls();
    }
    rig_free();
}

/* --- the fence has fired -------------------------------------------------------------------- */

/* It is told late: of an epoch that was given up, when a standby has been started already. */
static void what_is_started_after_an_epoch_is_not_of_it(void **state)
{
    (void)state;
    rig_settle();
    arms();
    rig.fence.fired = (struct fence_epoch){EPOCH.cluster, EPOCH.revision};
    struct fence_lease page = fence_lease_standby();
    fence_page_write(fence_client_page(NULL), &page);
    postmaster_runs();
    observe_fence_event(&rig.agent, FENCE_EVENT_FIRED, &rig.fence);
    assert_false(rig.agent.facts.stop_ordered);
    assert_int_not_equal(rig.agent.facts.run, HA_RUN_STOPPING);
    rig_free();
}

static void what_runs_in_an_epoch_ends_with_it(void **state)
{
    (void)state;
    rig_settle();
    arms();
    rig.fence.fired = (struct fence_epoch){EPOCH.cluster, EPOCH.revision};
    postmaster_runs();
    observe_fence_event(&rig.agent, FENCE_EVENT_FIRED, &rig.fence);
    assert_true(rig.agent.facts.stop_ordered);
    assert_int_equal(rig.agent.facts.run, HA_RUN_STOPPING);
    rig_free();
}

/* --- by hand ---------------------------------------------------------------------------------- */

static void look_finds(bool running)
{
    struct pg_inspection found = {.kind = PG_DIR_VALID, .running = running, .pidfile_pid = 77};
    run_for(2 * LOOP_PROBE_MS_MAX);
    answer_inspect(&found);
    run_for(0);
    if (is_asked("adopt")) {
        answer("adopt", 0);
    }
}

/* A fence that has started the instance before; it was stopped by hand, in pause. Its number may be
 * that of the next one. */
static void stopped_in_pause(void)
{
    rig_settle();
    postmaster_runs();
    rig.fence.postmaster_pid = 77;
    standby_runs(100);
    run_for(0);
    rig.agent.dynamic.paused = true;
    postmaster_gone();
    rig.fence.postmaster_pid = 0;
    observe_fence_event(&rig.agent, FENCE_EVENT_POSTMASTER_EXITED, &rig.fence);
    observe_fence_event(&rig.agent, FENCE_EVENT_ALL_GONE, &rig.fence);
    assert_int_equal(rig.agent.facts.run, HA_RUN_CRASHED);
    look_finds(false); /* begun before the end: it says nothing */
    assert_false(rig.agent.facts.inspected);
    look_finds(false);
    assert_true(rig.agent.facts.inspected);
}

static void what_is_started_by_hand_in_pause_is_seen_and_probed(void **state)
{
    (void)state;
    stopped_in_pause();
    look_finds(true);
    assert_int_equal(rig.agent.facts.run, HA_RUN_STARTING);
    assert_true(rig.agent.facts.adopted);
    assert_false(rig.agent.facts.upstream.known);
    answer_probe(100);
    assert_int_equal(rig.agent.facts.run, HA_RUN_RUNNING);
    const struct ha_snapshot *s = snapshot_now();
    assert_true(s->fence.adopted && s->fence.knows_directory && !s->fence.all_gone);
    rig_free();
}

static void what_is_stopped_by_hand_after_that_is_seen(void **state)
{
    (void)state;
    stopped_in_pause();
    look_finds(true);
    answer_probe(100);
    run_for(LOOP_PROBE_MS_MAX);
    answer("probe", ERR_UNAVAILABLE);
    look_finds(true); /* it does not answer, and is there */
    assert_int_equal(rig.agent.facts.run, HA_RUN_RUNNING);
    look_finds(false);
    assert_int_equal(rig.agent.facts.run, HA_RUN_CRASHED);
    assert_false(rig.agent.facts.adopted);
    rig_free();
}

/* The look was begun while the fence's own postmaster ran. */
static void look_from_before_the_end_adopts_nobody(void **state)
{
    (void)state;
    rig_settle();
    postmaster_runs();
    standby_runs(100);
    run_for(0);
    rig.agent.dynamic.paused = true;
    observe_inspect(&rig.agent);
    run_for(LOOP_PROBE_STARTING_MS);
    assert_true(is_asked("inspect"));
    postmaster_gone();
    observe_fence_event(&rig.agent, FENCE_EVENT_POSTMASTER_EXITED, &rig.fence);
    struct pg_inspection before = {.kind = PG_DIR_VALID, .running = true};
    answer_inspect(&before);
    run_for(0);
    assert_false(rig.agent.facts.adopted);
    assert_int_equal(rig.agent.facts.run, HA_RUN_CRASHED);
    look_finds(false);
    assert_false(rig.agent.facts.adopted);
    rig_free();
}

static void what_we_stop_after_it_was_adopted_is_stopped(void **state)
{
    (void)state;
    stopped_in_pause();
    look_finds(true);
    answer_probe(100);
    plan_begin("stop", "a switchover in pause");
    plan_add(HA_STOP_FAST);
    carry_out();
    assert_int_equal(rig.agent.facts.run, HA_RUN_STOPPING);
    answer("stop", 0);
    assert_int_equal(rig.agent.facts.run, HA_RUN_STOPPED);
    look_finds(false);
    assert_int_equal(rig.agent.facts.run, HA_RUN_STOPPED);
    const struct ha_snapshot *s = snapshot_now();
    assert_true(s->self.stop_ordered);
    look_finds(true); /* somebody starts it after all */
    answer_probe(100);
    assert_int_equal(rig.agent.facts.run, HA_RUN_RUNNING);
    assert_false(rig.agent.facts.stop_ordered);
    rig_free();
}

static void look_finds_one_of_others(int32_t pid)
{
    struct pg_inspection found = {.kind = PG_DIR_VALID, .running = true, .pidfile_pid = pid};
    observe_inspect(&rig.agent);
    run_for(LOOP_PROBE_STARTING_MS);
    answer_inspect(&found);
    run_for(0);
}

static bool fence_finds_it(void)
{
    const struct ha_snapshot *s = snapshot_now();
    return s->fence.adopted && s->fence.knows_directory;
}

/* Nothing is decided about it before the fence has answered. */
static void one_of_others_is_the_fences_when_it_says_so(void **state)
{
    (void)state;
    rig_settle();
    look_finds_one_of_others(77);
    assert_int_equal(rig.agent.facts.run, HA_RUN_UNKNOWN);
    assert_false(fence_finds_it());
    answer("adopt", 0);
    run_for(0);
    assert_int_equal(rig.agent.facts.run, HA_RUN_STARTING);
    assert_true(rig.agent.facts.adopted && fence_finds_it());
    answer_probe(100);
    assert_int_equal(rig.agent.facts.run, HA_RUN_RUNNING);
    look_finds_one_of_others(77);
    assert_false(is_asked("adopt")); /* once for each */
    look_finds_one_of_others(78);
    assert_true(is_asked("adopt"));
    answer("adopt", 0);
    assert_true(rig.agent.facts.adopted && fence_finds_it());
    rig_free();
}

/* The fence's word that all is gone is of before: a backend may have outlived it. */
static void what_was_adopted_is_gone_when_the_fence_has_looked(void **state)
{
    (void)state;
    struct pg_inspection none = {.kind = PG_DIR_VALID};
    rig_settle();
    rig.fence.starts = 1;
    rig.fence.all_gone = true;
    look_finds_one_of_others(77);
    answer("adopt", 0);
    observe_inspect(&rig.agent);
    run_for(LOOP_PROBE_STARTING_MS);
    answer_inspect(&none);
    run_for(0);
    assert_int_equal(rig.agent.facts.run, HA_RUN_CRASHED);
    const struct ha_snapshot *s = snapshot_now();
    assert_false(s->fence.all_gone);
    observe_fence_event(&rig.agent, FENCE_EVENT_ALL_GONE, &rig.fence);
    s = snapshot_now();
    assert_true(s->fence.all_gone);
    rig_free();
}

static void a_fence_that_does_not_answer_yet_is_asked_again(void **state)
{
    (void)state;
    rig_settle();
    look_finds_one_of_others(77);
    answer("adopt", ERR_TIMEOUT);
    assert_int_equal(rig.agent.facts.run, HA_RUN_UNKNOWN);
    look_finds_one_of_others(77);
    answer("adopt", 0);
    assert_true(rig.agent.facts.adopted && fence_finds_it());
    rig_free();
}

/* Of a release before: by the directory of its last start. */
static void an_older_fence_finds_what_runs_where_it_has_started(void **state)
{
    (void)state;
    rig_settle();
    rig.fence.starts = 1;
    rig.fence.all_gone = true;
    look_finds_one_of_others(77);
    answer("adopt", ERR_UNSUPPORTED);
    assert_true(rig.agent.facts.adopted && fence_finds_it());
    rig_free();
}

/* Not in pause, and a fence that would not find it (of a release before): the rules stop it. */
static void what_the_fence_does_not_find_is_adopted_in_pause_alone(void **state)
{
    (void)state;
    rig_settle();
    look_finds_one_of_others(77);
    answer("adopt", ERR_UNSUPPORTED);
    assert_int_equal(rig.agent.facts.run, HA_RUN_STOPPED);
    assert_false(fence_finds_it());
    rig.agent.dynamic.paused = true;
    look_finds_one_of_others(77);
    assert_int_equal(rig.agent.facts.run, HA_RUN_STARTING);
    rig_free();
}

/* The pause ended, and the page does not say so yet: it is stopped in order, and not for a crash.
 */
static void what_the_fence_does_not_find_is_adopted_while_the_page_is_open(void **state)
{
    (void)state;
    rig_settle();
    arms();
    opens();
    answer("put unfenced", 0);
    look_finds_one_of_others(77);
    answer("adopt", ERR_UNSUPPORTED);
    assert_int_equal(rig.agent.facts.run, HA_RUN_STARTING);
    assert_true(rig.agent.facts.adopted);
    rig_free();
}

/* --- a configuration that cannot be used ------------------------------------------------------ */

static bool taken_for_paused(void)
{
    observe_store_changed(&rig.agent);
    return snapshot_now()->settings.paused;
}

#define UNSERVED "\"citus\":{\"group\":1}"

static void pause_is_read_from_a_configuration_that_is_refused(void **state)
{
    (void)state;
    rig_settle();
    key_set("config", "{\"pause\":true," UNSERVED "}");
    assert_true(taken_for_paused());
    assert_true(rig.agent.unconfigured);
    key_set("config", "{" UNSERVED "}");
    assert_false(taken_for_paused());
    key_set("unfenced", "7:9"); /* it says itself that there is no pause: what stands is an end */
    assert_false(taken_for_paused());
    rig_free();
}

static void what_was_in_force_stays_whole(void **state)
{
    (void)state;
    rig_settle();
    key_set("config", "{\"pause\":true}");
    assert_true(taken_for_paused());
    key_set("config", "{\"pause\":false," UNSERVED "}");
    assert_true(taken_for_paused());
    key_set("config", "no json");
    assert_true(taken_for_paused());
    rig_free();
}

static void pause_that_cannot_be_read_is_taken_from_what_others_say(void **state)
{
    (void)state;
    rig_settle();
    key_set("config", "no json");
    assert_false(taken_for_paused());
    key_set("members/n2", "{\"state\":\"running\",\"pause\":true}");
    assert_true(taken_for_paused());
    key_set("members/n2", "{\"state\":\"running\"}");
    assert_false(taken_for_paused());
    key_set("unfenced", "7:9");
    assert_true(taken_for_paused());
    key_set("config", "{}");
    assert_false(taken_for_paused());
    rig_free();
}

/* --- for the next start of the agent ---------------------------------------------------------- */

static bool taken_for_left_in_pause(void)
{
    return snapshot_now()->self.was_paused;
}

static void pause_is_noted_and_its_end(void **state)
{
    (void)state;
    rig_settle();
    assert_false(is_asked("note"));
    key_set("config", "{\"pause\":true}");
    observe_store_changed(&rig.agent);
    key_set("config", "{}"); /* over before the note is written */
    observe_store_changed(&rig.agent);
    answer("note pause", 0);
    answer("note no pause", ERR_IO);
    assert_false(is_asked("note")); /* again at the next look */
    observe_store_changed(&rig.agent);
    answer("note no pause", 0);
    assert_false(is_asked("note"));
    rig_free();
}

static void note_counts_until_the_store_is_heard(void **state)
{
    struct pg_inspection noted = {.kind = PG_DIR_EMPTY, .noted_pause = true};
    (void)state;
    rig_init();
    run_for(0);
    answer_inspect(&noted);
    rig.agent.facts.cluster.known = false;
    assert_true(taken_for_left_in_pause());
    key_set("initialize", "7000000000000000042");
    key_set("config", "{}");
    observe_store_changed(&rig.agent);
    assert_false(taken_for_left_in_pause());
    answer("note no pause", 0);
    assert_false(rig.agent.facts.inspection.noted_pause);
    rig_free();
}

/* --- what is told ----------------------------------------------------------------------------- */

static int64_t serves_until(void)
{
    return keeper_serves_until_ms(&rig.agent, snapshot_now());
}

static void primary_is_served_without_end_until_it_is_passed_over(void **state)
{
    (void)state;
    rig_settle();
    key_set("leader", "n1");
    run_for(0);
    arms();
    opens();
    answer("put unfenced", 0);
    assert_true(serves_until() == INT64_MAX);
    ha_lease_drop(&rig.agent.lease); /* the store is away, or the agent has just started */
    assert_true(serves_until() == INT64_MAX);
    key_remove("leader");
    observe_store_changed(&rig.agent);
    assert_true(serves_until() == INT64_MAX);
    key_set("leader", "n2");
    observe_store_changed(&rig.agent);
    assert_int_equal(serves_until(), 0);
    key_set("epoch",
            "{\"holder\":\"n2\",\"timeline\":4}"); /* a later epoch, and its key has ended */
    key_remove("leader");
    observe_store_changed(&rig.agent);
    assert_int_equal(serves_until(), 0);
    rig_free();
}

/* --wait goes by it: true from when nothing is stopped any more, false when all is armed again. */
static void member_shows_pause_when_its_fence_is_disarmed(void **state)
{
    (void)state;
    rig_settle();
    struct ha_snapshot *s = snapshot_now();
    assert_false(ha_shows_pause(s));
    rig.agent.dynamic.paused = true;
    s = snapshot_now();
    assert_true(s->settings.paused && ha_shows_pause(s)); /* nothing runs */
    arms();
    postmaster_runs();
    s = snapshot_now();
    s->self.run = HA_RUN_RUNNING;
    s->self.role = PG_PRIMARY;
    assert_false(ha_shows_pause(s));
    opens();
    answer("put unfenced", 0);
    s = snapshot_now();
    assert_true(ha_shows_pause(s));
    rig.agent.dynamic.paused = false;
    s = snapshot_now();
    assert_true(ha_shows_pause(s));
    rig_free();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(page_is_opened_when_the_put_was_answered_and_not_before),
        cmocka_unit_test(put_that_is_answered_after_the_lease_opens_nothing),
        cmocka_unit_test(renewals_go_on_and_leave_an_open_page_alone),
        cmocka_unit_test(pause_that_ends_among_two_renewals_arms_the_shorter_one),
        cmocka_unit_test(unfenced_is_removed_by_its_revision_from_an_armed_page),
        cmocka_unit_test(acquisition_says_what_becomes_of_unfenced),
        cmocka_unit_test(what_is_started_after_an_epoch_is_not_of_it),
        cmocka_unit_test(what_runs_in_an_epoch_ends_with_it),
        cmocka_unit_test(what_is_started_by_hand_in_pause_is_seen_and_probed),
        cmocka_unit_test(what_is_stopped_by_hand_after_that_is_seen),
        cmocka_unit_test(look_from_before_the_end_adopts_nobody),
        cmocka_unit_test(what_we_stop_after_it_was_adopted_is_stopped),
        cmocka_unit_test(one_of_others_is_the_fences_when_it_says_so),
        cmocka_unit_test(what_was_adopted_is_gone_when_the_fence_has_looked),
        cmocka_unit_test(a_fence_that_does_not_answer_yet_is_asked_again),
        cmocka_unit_test(an_older_fence_finds_what_runs_where_it_has_started),
        cmocka_unit_test(what_the_fence_does_not_find_is_adopted_in_pause_alone),
        cmocka_unit_test(what_the_fence_does_not_find_is_adopted_while_the_page_is_open),
        cmocka_unit_test(pause_is_read_from_a_configuration_that_is_refused),
        cmocka_unit_test(what_was_in_force_stays_whole),
        cmocka_unit_test(pause_that_cannot_be_read_is_taken_from_what_others_say),
        cmocka_unit_test(pause_is_noted_and_its_end),
        cmocka_unit_test(note_counts_until_the_store_is_heard),
        cmocka_unit_test(primary_is_served_without_end_until_it_is_passed_over),
        cmocka_unit_test(member_shows_pause_when_its_fence_is_disarmed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
