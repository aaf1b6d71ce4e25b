/* The dcs of an agent that is a client of a group of three members, all in this loop. */
#include "tests/unit/agent_dcs/raft_dcs_fixture.h"

#include "agent/dcs/dcs_raft_remote.h"
#include "raft/client.h"

#include <signal.h>

#define HEARTBEAT_TEST_MS 200

static char notes[4096];

static void on_dcs_note(void *arg, enum log_level level, const char *text)
{
    size_t used = strlen(notes);
    (void)arg;
    (void)level;
    snprintf(notes + used, sizeof notes - used, "%s\n", text);
}

static int dcs_make(const char *name, struct dcs **ret_dcs)
{
    const char *addresses[MEMBERS_MAX];
    for (size_t i = 0; i < rig.count; i++) {
        addresses[i] = rig.members[i].address;
    }
    struct dcs_raft_remote_config config = {
        .dcs = {.base = base, .name = name, .clock = clock_real(), .random = random_real()},
        .addresses = addresses,
        .address_count = rig.count,
        .password = PASSWORD,
        .heartbeat_ms = HEARTBEAT_TEST_MS,
        .on_note = on_dcs_note};
    int rc = dcs_raft_remote_new(&rig.loop, &config, ret_dcs, NULL);
    if (rc == 0) {
        (*ret_dcs)->on_change = on_dcs_change;
    }
    return rc;
}

static int setup(void **state)
{
    (void)state;
    (void)signal(SIGPIPE, SIG_IGN);
    rig_init(&rig, 3, PASSWORD);
    members_start(&rig);
    wait_for(&rig, all_are_voters, NULL, 20000, "a leader, and all by name");
    base = dcs_base_path("/service/", "batman");
    notes[0] = '\0';
    assert_int_equal(dcs_make("node4", &dcs), 0);
    wait_for(&rig, has_view, dcs, 10000, "a view comes by itself");
    changes = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    dcs->ops->free(dcs);
    mem_free(base);
    rig_free(&rig);
    return 0;
}

static int take_lead(int64_t epoch_revision, struct outcome *outcome)
{
    struct dcs_acquire how = {.holder = "node4",
                              .instance = "00000000000000aa",
                              .ttl_ms = TTL_MS,
                              .epoch_revision = epoch_revision,
                              .timeline = 2};
    *outcome = (struct outcome){0};
    return finish(dcs->ops->acquire(dcs, &how, 3000, on_done, outcome, NULL), outcome);
}

static int renew(int64_t epoch, int64_t timeout_ms, struct outcome *outcome)
{
    *outcome = (struct outcome){0};
    return finish(dcs->ops->renew(dcs, epoch, TTL_MS, timeout_ms, on_done, outcome, NULL), outcome);
}

static bool key_is(const char *key, const char *value)
{
    struct dcs_view *view = dcs->ops->view(dcs);
    const struct dcs_kv *kv = dcs_view_get(view, key);
    bool is = value == NULL ? kv == NULL : kv != NULL && strcmp(kv->value, value) == 0;
    dcs_view_unref(view);
    return is;
}

static bool is_gone(struct rig *same, void *arg)
{
    (void)same;
    return key_is(arg, NULL);
}

static bool is_one(struct rig *same, void *arg)
{
    (void)same;
    return key_is(arg, "1");
}

static void compares_hold_and_what_was_written_is_in_the_view(void **state)
{
    (void)state;
    int64_t revision = 0;
    assert_int_equal(put_key("config", "{}", DCS_ABSENT, &revision), 0);
    assert_true(key_is("config", "{}")); /* at once */
    assert_int_equal(put_key("config", "{}", DCS_ABSENT, NULL), ERR_CONFLICT);
    assert_int_equal(put_key("config", "x", revision - 1, NULL), ERR_CONFLICT);
    assert_int_equal(put_key("config", "y", revision, &revision), 0);
    assert_true(key_is("config", "y"));
    assert_int_equal(put_key("", "y", DCS_ANY, NULL), ERR_INVALID);
    struct outcome outcome = {0};
    assert_int_equal(
        finish(dcs->ops->remove(dcs, "config", revision, 3000, on_done, &outcome, NULL), &outcome),
        0);
    assert_true(key_is("config", NULL));
    outcome = (struct outcome){0};
    assert_int_equal(finish(dcs->ops->read(dcs, 3000, on_view, &outcome, NULL), &outcome), 0);
    assert_int_equal(outcome.view->count, 0);
    assert_true(outcome.view->cluster == raft_group_cluster(rig.members[0].group));
    dcs_view_unref(outcome.view);
}

static void what_others_write_is_told_at_once(void **state)
{
    (void)state;
    int64_t before_ms = clock_mono_ms(clock_real());
    for (int i = 0; i < 5; i++) {
        assert_int_equal(put(&rig, (size_t)i % 3, "/service/batman/status", "0", 3000), 0);
        assert_int_equal(put(&rig, (size_t)i % 3, "/service/batman/status", "1", 3000), 0);
        wait_for(&rig, is_one, (void *)"status", 3000, "it is told");
    }
    assert_true(changes > 0);
    assert_true(clock_mono_ms(clock_real()) - before_ms < 5 * HEARTBEAT_TEST_MS);
}

static bool is_heard_again(struct rig *same, void *arg)
{
    (void)same;
    return dcs->ops->contact_mono_ms(dcs) > *(int64_t *)arg + HEARTBEAT_TEST_MS;
}

static void quiet_is_not_silence(void **state)
{
    (void)state;
    struct dcs_view *before = dcs->ops->view(dcs);
    int64_t heard_ms = dcs->ops->contact_mono_ms(dcs);
    assert_true(heard_ms >= 0);
    /* Of another scope, whose revisions are the same store's. */
    assert_int_equal(put(&rig, 0, "/service/robin/status", "{}", 3000), 0);
    wait_for(&rig, is_heard_again, &heard_ms, 5000, "a majority was heard of");
    struct dcs_view *after = dcs->ops->view(dcs);
    assert_ptr_equal(before, after);
    dcs_view_unref(before);
    dcs_view_unref(after);
}

static void the_leader_key_is_held_in_its_name(void **state)
{
    (void)state;
    struct outcome outcome;
    int64_t before_ms = clock_lease_ms(clock_real());
    assert_int_equal(take_lead(0, &outcome), 0);
    int64_t epoch = outcome.result.revision;
    assert_true(outcome.result.sent_ms >= before_ms);
    assert_true(outcome.result.answered_ms >= outcome.result.sent_ms);
    struct dcs_view *view = dcs->ops->view(dcs);
    const struct dcs_kv *leader = dcs_view_get(view, "leader");
    assert_string_equal(leader->value, "node4");
    assert_true(leader->create_revision == epoch && leader->lease != 0);
    struct store_lease lease;
    uint64_t id = leader->lease;
    dcs_view_unref(view);
    int led = leader_of(&rig);
    assert_true(store_lease_get(raft_node_store(node_of(&rig, (size_t)led)), id, &lease));
    assert_true(span_equal_str(lease.owner, "node4"));
    assert_true((lease.flags & STORE_LEASE_HOLDER) != 0);
    /* Nobody else touches it, also no other client under no name. */
    struct store_op strays = {.type = STORE_OP_PUT,
                              .key = span_str("/service/batman/leader"),
                              .value = span_str("stray")};
    struct store_command stray = {.type = STORE_TXN, .success = &strays, .success_count = 1};
    struct answer answer = {0};
    assert_int_equal(raft_node_propose(node_of(&rig, 0), &stray, 3000, 0, on_answer, &answer, NULL),
                     0);
    wait_for(&rig, is_answered, &answer, 5000, "it is answered");
    assert_int_equal(answer.result.code, ERR_REFUSED);
    assert_int_equal(take_lead(epoch, &outcome), ERR_CONFLICT);
    assert_int_equal(renew(epoch, 1000, &outcome), 0);
    assert_int_equal(renew(epoch + 1, 1000, &outcome), ERR_CONFLICT);
    outcome = (struct outcome){0};
    assert_int_equal(
        finish(dcs->ops->put_status(dcs, epoch, "{}", 1000, on_done, &outcome, NULL), &outcome), 0);
    outcome = (struct outcome){0};
    assert_int_equal(
        finish(dcs->ops->put_sync(dcs, epoch, "{}", DCS_ABSENT, 1000, on_done, &outcome, NULL),
               &outcome),
        0);
    outcome = (struct outcome){0};
    assert_int_equal(
        finish(dcs->ops->put_unfenced(dcs, epoch, 1000, on_done, &outcome, NULL), &outcome), 0);
    outcome = (struct outcome){0};
    assert_int_equal(
        finish(dcs->ops->remove(dcs, "unfenced", DCS_ANY, 1000, on_done, &outcome, NULL), &outcome),
        0);
    outcome = (struct outcome){0};
    assert_int_equal(
        finish(dcs->ops->release(dcs, epoch, "{\"optime\":1}", 1000, on_done, &outcome, NULL),
               &outcome),
        0);
    assert_true(key_is("leader", NULL) && key_is("status", "{\"optime\":1}"));
    outcome = (struct outcome){0};
    assert_int_equal(
        finish(dcs->ops->withdraw(dcs, "node4", DCS_ABSENT, epoch, 1000, on_done, &outcome, NULL),
               &outcome),
        ERR_CONFLICT); /* that epoch is over */
}

static void a_lease_that_is_not_renewed_runs_out(void **state)
{
    (void)state;
    struct outcome outcome;
    assert_int_equal(take_lead(0, &outcome), 0);
    int64_t epoch = outcome.result.revision;
    int64_t answered_ms = outcome.result.answered_ms;
    wait_for(&rig, is_gone, (void *)"leader", 4 * TTL_MS, "the members end it");
    assert_true(clock_lease_ms(clock_real()) - outcome.result.sent_ms >= TTL_MS);
    assert_true(clock_lease_ms(clock_real()) - answered_ms < 2 * TTL_MS);
    assert_int_equal(renew(epoch, 1000, &outcome), ERR_CONFLICT);
}

static void there_is_no_deposing(void **state)
{
    (void)state;
    struct error err = {0};
    struct outcome outcome = {0};
    struct dcs_acquire how = {.holder = "node4", .ttl_ms = TTL_MS, .deposes = 7};
    assert_int_equal(dcs->ops->can_depose(dcs, &err), ERR_UNSUPPORTED);
    assert_int_equal(dcs->ops->acquire(dcs, &how, 1000, on_done, &outcome, &err), ERR_UNSUPPORTED);
}

static int put_self(const char *value, int64_t ttl_ms)
{
    struct outcome outcome = {0};
    return finish(dcs->ops->put_member(dcs, "node4", value, ttl_ms, 3000, on_done, &outcome, NULL),
                  &outcome);
}

static uint64_t member_lease(void)
{
    struct dcs_view *view = dcs->ops->view(dcs);
    uint64_t lease = dcs_view_get(view, "members/node4")->lease;
    dcs_view_unref(view);
    return lease;
}

static void the_members_key_is_renewed_where_nothing_is_new(void **state)
{
    (void)state;
    assert_int_equal(put_self("{}", 10000), 0);
    uint64_t first = member_lease();
    assert_int_equal(put_self("{}", 10000), 0);
    assert_true(member_lease() == first);
    assert_int_equal(put_self("{\"state\":\"running\"}", 10000), 0);
    assert_true(member_lease() != first);
    assert_int_equal(put_self("{\"state\":\"running\"}", 500), 0);
    wait_for(&rig, is_gone, (void *)"members/node4", 5000, "its lease runs out");
    assert_int_equal(put_self("{\"state\":\"running\"}", 500), 0);
}

static size_t connected_to(void)
{
    struct dcs_raft_remote_status status;
    dcs_raft_remote_status(dcs, &status);
    for (size_t i = 0; i < rig.count; i++) {
        if (strcmp(rig.members[i].address, status.address) == 0) {
            return i;
        }
    }
    fail_msg("connected to nobody: '%s'", status.address);
    return 0;
}

static void its_member_goes_and_the_lease_stays(void **state)
{
    (void)state;
    struct outcome outcome;
    assert_int_equal(take_lead(0, &outcome), 0);
    int64_t epoch = outcome.result.revision;
    size_t gone = connected_to();
    member_stop(&rig, gone);
    int64_t until_ms = clock_lease_ms(clock_real()) + TTL_MS;
    int failed = 0;
    while (renew(epoch, 300, &outcome) != 0 && clock_lease_ms(clock_real()) < until_ms) {
        failed++;
    }
    assert_int_equal(outcome.result.rc, 0);
    assert_true(failed < 5);
    assert_int_equal(put_key("status", "{}", DCS_ANY, NULL), 0);
    assert_true(connected_to() != gone);
    member_start(&rig, gone);
}

static bool is_silent(struct rig *same, void *arg)
{
    (void)same;
    return clock_mono_ms(clock_real()) - dcs->ops->contact_mono_ms(dcs) > *(int64_t *)arg;
}

static void without_a_majority_nothing_counts_until_it_is_back(void **state)
{
    (void)state;
    struct outcome outcome;
    struct dcs_raft_remote_status before;
    struct dcs_raft_remote_status after;
    int64_t silent_ms = 1500;
    assert_int_equal(take_lead(0, &outcome), 0);
    int64_t epoch = outcome.result.revision;
    dcs_raft_remote_status(dcs, &before);
    member_stop(&rig, 0);
    member_stop(&rig, 1);
    assert_int_not_equal(renew(epoch, 500, &outcome), 0);
    wait_for(&rig, is_silent, &silent_ms, 10000, "the contact gets old");
    assert_int_not_equal(put_key("status", "{}", DCS_ANY, NULL), 0);
    assert_true(key_is("leader", "node4")); /* what was seen last */
    member_start(&rig, 0);
    wait_for(&rig, is_gone, (void *)"leader", 10000, "it is back, and the lease has run out");
    dcs_raft_remote_status(dcs, &after);
    assert_true(after.failures > before.failures);
    assert_true(after.failures - before.failures < 60); /* it paused between its questions */
    assert_non_null(strstr(notes, "asking again"));
    member_start(&rig, 1);
}

static bool has_note(struct rig *same, void *arg)
{
    (void)same;
    return strstr(notes, arg) != NULL;
}

static void a_members_name_is_no_clients(void **state)
{
    (void)state;
    struct dcs *namesake;
    struct outcome outcome = {0};
    assert_int_equal(dcs_make("node2", &namesake), 0);
    wait_for(&rig, has_note, (void *)"is a client here and the name of the Raft member at", 5000,
             "it is told");
    assert_non_null(strstr(notes, rig.members[1].address));
    assert_null(namesake->ops->view(namesake));
    assert_int_equal(
        finish(namesake->ops->put(namesake, "k", "v", DCS_ANY, 2000, on_done, &outcome, NULL),
               &outcome),
        ERR_REFUSED);
    namesake->ops->free(namesake);
}

static void closing_cancels_what_waits(void **state)
{
    (void)state;
    struct outcome write = {0};
    struct outcome read = {0};
    struct dcs *other;
    assert_int_equal(dcs_make("node5", &other), 0);
    assert_int_equal(other->ops->put(other, "k", "v", DCS_ANY, 3000, on_done, &write, NULL), 0);
    assert_int_equal(other->ops->read(other, 3000, on_view, &read, NULL), 0);
    struct dcs_acquire how = {.holder = "node5", .ttl_ms = TTL_MS};
    assert_int_equal(other->ops->acquire(other, &how, 1000, on_done, &write, NULL),
                     ERR_UNAVAILABLE); /* nothing was heard yet */
    other->ops->free(other);
    assert_int_equal(write.calls, 1);
    assert_int_equal(write.result.rc, ERR_CANCELED);
    assert_int_equal(read.calls, 1);
    assert_int_equal(read.result.rc, ERR_CANCELED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(compares_hold_and_what_was_written_is_in_the_view, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_others_write_is_told_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(quiet_is_not_silence, setup, teardown),
        cmocka_unit_test_setup_teardown(the_leader_key_is_held_in_its_name, setup, teardown),
        cmocka_unit_test_setup_teardown(a_lease_that_is_not_renewed_runs_out, setup, teardown),
        cmocka_unit_test_setup_teardown(there_is_no_deposing, setup, teardown),
        cmocka_unit_test_setup_teardown(the_members_key_is_renewed_where_nothing_is_new, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(its_member_goes_and_the_lease_stays, setup, teardown),
        cmocka_unit_test_setup_teardown(without_a_majority_nothing_counts_until_it_is_back, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_members_name_is_no_clients, setup, teardown),
        cmocka_unit_test_setup_teardown(closing_cancels_what_waits, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
