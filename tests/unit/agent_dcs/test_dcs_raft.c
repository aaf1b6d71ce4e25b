/* The dcs on a group of one member in this loop, and the command line's dcs beside it. */
#include "tests/unit/agent_dcs/raft_dcs_fixture.h"

#include "agent/dcs/dcs_raft.h"
#include "raft/client.h"

#include <signal.h>

static int64_t fake_lease_ms; /* added to the lease clock that the dcs sees */

static int64_t lease_ms(void *arg)
{
    (void)arg;
    return clock_lease_ms(clock_real()) + fake_lease_ms;
}

static int64_t mono_ms(void *arg)
{
    (void)arg;
    return clock_mono_ms(clock_real());
}

static const struct clock dcs_clock = {
    .mono_ms = mono_ms, .lease_ms = lease_ms, .suspended_ms = mono_ms, .wall_ms = mono_ms};

static int setup(void **state)
{
    (void)state;
    rig_init(&rig, 1, PASSWORD);
    member_start(&rig, 0);
    wait_for(&rig, has_leader, NULL, 10000, "a leader");
    base = dcs_base_path("/service/", "batman");
    struct dcs_raft_config config = {
        .base = base, .name = "node1", .clock = &dcs_clock, .random = random_real()};
    dcs = dcs_raft_new(node_of(&rig, 0), &config);
    dcs->on_change = on_dcs_change;
    wait_for(&rig, has_view, dcs, 10000, "a view");
    changes = 0;
    fake_lease_ms = 0;
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

static struct dcs_view *read_view(void)
{
    struct outcome outcome = {0};
    int rc = dcs->ops->read(dcs, 3000, on_view, &outcome, NULL);
    assert_int_equal(finish(rc, &outcome), 0);
    return outcome.view;
}

static int acquire(const struct dcs_acquire *how, int64_t *ret_epoch)
{
    struct outcome outcome = {0};
    int rc = finish(dcs->ops->acquire(dcs, how, 3000, on_done, &outcome, NULL), &outcome);
    if (rc == 0) {
        *ret_epoch = outcome.result.revision;
        assert_true(outcome.result.sent_ms > 0);
        assert_true(outcome.result.answered_ms >= outcome.result.sent_ms);
    }
    return rc;
}

static int renew(int64_t epoch)
{
    struct outcome outcome = {0};
    return finish(dcs->ops->renew(dcs, epoch, TTL_MS, 3000, on_done, &outcome, NULL), &outcome);
}

static void base_path_has_single_slashes(void **state)
{
    (void)state;
    char *path = dcs_base_path("/service", "batman");
    assert_string_equal(path, "/service/batman/");
    mem_free(path);
    path = dcs_base_path("//a//b/", "/c");
    assert_string_equal(path, "/a/b/c/");
    mem_free(path);
}

static void without_a_node_everything_is_unavailable(void **state)
{
    (void)state;
    struct dcs_raft_config config = {
        .base = base, .name = "node1", .clock = &dcs_clock, .random = random_real()};
    dcs->ops->free(dcs);
    dcs = dcs_raft_new(NULL, &config);
    struct outcome outcome = {0};
    struct dcs_acquire how = {.holder = "node1", .ttl_ms = TTL_MS};
    assert_int_equal(dcs->ops->read(dcs, 1000, on_view, &outcome, NULL), ERR_UNAVAILABLE);
    assert_int_equal(dcs->ops->put(dcs, "k", "v", DCS_ANY, 1000, on_done, &outcome, NULL),
                     ERR_UNAVAILABLE);
    assert_int_equal(dcs->ops->acquire(dcs, &how, 1000, on_done, &outcome, NULL), ERR_UNAVAILABLE);
    assert_int_equal(dcs->ops->put_member(dcs, "n", "v", TTL_MS, 1000, on_done, &outcome, NULL),
                     ERR_UNAVAILABLE);
    assert_null(dcs->ops->view(dcs));
    assert_int_equal(outcome.calls, 0);
}

static void put_compares_and_remove_removes(void **state)
{
    (void)state;
    int64_t revision = 0;
    assert_int_equal(put_key("config", "{}", DCS_ABSENT, &revision), 0);
    assert_int_equal(put_key("config", "{}", DCS_ABSENT, NULL), ERR_CONFLICT);
    assert_int_equal(put_key("config", "{\"ttl\":30}", revision, &revision), 0);
    assert_int_equal(put_key("config", "x", revision - 1, NULL), ERR_CONFLICT);
    struct dcs_view *view = read_view();
    assert_int_equal(view->count, 1);
    assert_string_equal(dcs_view_get(view, "config")->value, "{\"ttl\":30}");
    assert_true(dcs_view_get(view, "config")->mod_revision == revision);
    assert_null(dcs_view_get(view, "confi"));
    assert_true(view->cluster == raft_group_cluster(rig.members[0].group));
    dcs_view_unref(view);
    struct outcome outcome = {0};
    assert_int_equal(
        finish(dcs->ops->remove(dcs, "config", 1, 3000, on_done, &outcome, NULL), &outcome),
        ERR_CONFLICT);
    outcome = (struct outcome){0};
    assert_int_equal(
        finish(dcs->ops->remove(dcs, "config", revision, 3000, on_done, &outcome, NULL), &outcome),
        0);
    view = read_view();
    assert_int_equal(view->count, 0);
    dcs_view_unref(view);
}

static void the_view_is_rebuilt_only_when_something_below_the_base_changed(void **state)
{
    (void)state;
    assert_int_equal(put_key("status", "{}", DCS_ANY, NULL), 0);
    dcs_raft_changed(dcs);
    changes = 0;
    struct dcs_view *before = dcs->ops->view(dcs);
    assert_int_equal(put(&rig, 0, "/service/robin/status", "{}", 3000), 0);
    dcs_raft_changed(dcs);
    struct dcs_view *same = dcs->ops->view(dcs);
    assert_ptr_equal(before, same);
    assert_int_equal(changes, 0);
    assert_int_equal(put_key("status", "{\"optime\":1}", DCS_ANY, NULL), 0);
    dcs_raft_changed(dcs);
    assert_int_equal(changes, 1);
    struct dcs_view *after = dcs->ops->view(dcs);
    assert_ptr_not_equal(before, after);
    assert_string_equal(dcs_view_get(before, "status")->value, "{}"); /* immutable */
    assert_string_equal(dcs_view_get(after, "status")->value, "{\"optime\":1}");
    dcs_view_unref(before);
    dcs_view_unref(same);
    dcs_view_unref(after);
}

static void an_acquisition_writes_leader_and_epoch_on_a_lease_of_its_own(void **state)
{
    (void)state;
    int64_t epoch = 0;
    struct dcs_acquire how = {.holder = "node1", .ttl_ms = TTL_MS, .timeline = 4};
    assert_int_equal(acquire(&how, &epoch), 0);
    struct dcs_view *view = read_view();
    const struct dcs_kv *leader = dcs_view_get(view, "leader");
    const struct dcs_kv *written = dcs_view_get(view, "epoch");
    assert_string_equal(leader->value, "node1");
    assert_true(leader->create_revision == epoch && written->mod_revision == epoch);
    assert_true(leader->lease != 0 && written->lease == 0);
    assert_string_equal(written->value, "{\"holder\":\"node1\",\"timeline\":4}");
    dcs_view_unref(view);
    assert_int_equal(acquire(&how, &epoch), ERR_CONFLICT);
}

static void an_acquisition_compares_all_that_the_decision_saw(void **state)
{
    (void)state;
    int64_t config = 0;
    int64_t report = 0;
    int64_t epoch = 0;
    assert_int_equal(put_key("config", "{}", DCS_ANY, &config), 0);
    assert_int_equal(put_key("reports/node2", "{}", DCS_ANY, &report), 0);
    struct dcs_acquire good = {.holder = "node1",
                               .ttl_ms = TTL_MS,
                               .config_revision = config,
                               .report_count = 1,
                               .reports = {{.member = "node2", .revision = report}}};
    struct dcs_acquire bad = good;
    bad.config_revision = config + 1;
    assert_int_equal(acquire(&bad, &epoch), ERR_CONFLICT);
    bad = good;
    bad.epoch_revision = 1;
    assert_int_equal(acquire(&bad, &epoch), ERR_CONFLICT);
    bad = good;
    bad.sync_revision = 1;
    assert_int_equal(acquire(&bad, &epoch), ERR_CONFLICT);
    bad = good;
    bad.reports[0].revision = report - 1;
    assert_int_equal(acquire(&bad, &epoch), ERR_CONFLICT);
    bad = good;
    bad.reports[0].member = "node3";
    assert_int_equal(acquire(&bad, &epoch), ERR_CONFLICT);
    int64_t unfenced = 0;
    assert_int_equal(put_key("unfenced", "1:1", DCS_ANY, &unfenced), 0);
    assert_int_equal(acquire(&good, &epoch), ERR_CONFLICT);
    struct outcome outcome = {0};
    assert_int_equal(
        finish(dcs->ops->remove(dcs, "unfenced", unfenced, 3000, on_done, &outcome, NULL),
               &outcome),
        0);
    /* A recovered store: only who has seen the key, and was ordered to, takes it away. */
    int64_t recovered = 0;
    assert_int_equal(put_key("recovered", "{}", DCS_ANY, &recovered), 0);
    assert_int_equal(acquire(&good, &epoch), ERR_CONFLICT);
    bad = good;
    bad.recovered_revision = recovered - 1;
    assert_int_equal(acquire(&bad, &epoch), ERR_CONFLICT);
    good.recovered_revision = recovered;
    assert_int_equal(acquire(&good, &epoch), 0);
    struct dcs_view *view = read_view();
    assert_null(dcs_view_get(view, "recovered"));
    dcs_view_unref(view);
}

static int put_unfenced(int64_t epoch, int64_t *ret_revision)
{
    struct outcome outcome = {0};
    int rc = finish(dcs->ops->put_unfenced(dcs, epoch, 3000, on_done, &outcome, NULL), &outcome);
    *ret_revision = outcome.result.revision;
    return rc;
}

static void unfenced_is_put_under_its_epoch_and_over_it(void **state)
{
    (void)state;
    int64_t first = 0;
    int64_t second = 0;
    int64_t revision = 0;
    struct dcs_acquire how = {.holder = "node1", .ttl_ms = TTL_MS};
    assert_int_equal(acquire(&how, &first), 0);
    assert_int_equal(put_unfenced(first + 1, &revision), ERR_CONFLICT);
    assert_int_equal(put_unfenced(first, &revision), 0);
    struct outcome outcome = {0};
    assert_int_equal(
        finish(dcs->ops->release(dcs, first, NULL, 3000, on_done, &outcome, NULL), &outcome), 0);
    how.epoch_revision = first;
    assert_int_equal(acquire(&how, &second), ERR_CONFLICT); /* it stands */
    how.unfenced = DCS_UNFENCED_PUT;
    how.unfenced_revision = revision - 1;
    assert_int_equal(acquire(&how, &second), ERR_CONFLICT);
    how.unfenced_revision = revision;
    assert_int_equal(acquire(&how, &second), 0);
    struct dcs_view *view = read_view();
    const struct dcs_kv *unfenced = dcs_view_get(view, "unfenced");
    assert_int_equal(unfenced->mod_revision, second);
    assert_string_equal(strchr(unfenced->value, ':'), ":0"); /* its own revision */
    dcs_view_unref(view);
    outcome = (struct outcome){0};
    assert_int_equal(
        finish(dcs->ops->release(dcs, second, NULL, 3000, on_done, &outcome, NULL), &outcome), 0);
    how = (struct dcs_acquire){.holder = "node1",
                               .ttl_ms = TTL_MS,
                               .epoch_revision = second,
                               .unfenced_revision = second,
                               .unfenced = DCS_UNFENCED_REMOVE};
    assert_int_equal(acquire(&how, &first), 0);
    view = read_view();
    assert_null(dcs_view_get(view, "unfenced"));
    dcs_view_unref(view);
}

/* --- depose: three members, node2 holds the key --------------------------------------------- */

static struct dcs *holder;

static int setup_held(void **state)
{
    (void)state;
    rig_init(&rig, 3, PASSWORD);
    for (size_t i = 0; i < 3; i++) {
        member_start(&rig, i);
    }
    wait_for(&rig, all_are_voters, NULL, 10000, "a leader, and all by name");
    base = dcs_base_path("/service/", "batman");
    struct dcs_raft_config config = {
        .base = base, .name = "node1", .clock = &dcs_clock, .random = random_real()};
    dcs = dcs_raft_new(node_of(&rig, 0), &config);
    config.name = "node2";
    holder = dcs_raft_new(node_of(&rig, 1), &config);
    fake_lease_ms = 0;
    return 0;
}

static int teardown_held(void **state)
{
    holder->ops->free(holder);
    return teardown(state);
}

static bool can_depose(struct rig *same, void *arg)
{
    (void)same;
    (void)arg;
    struct error err = {0};
    return dcs->ops->can_depose(dcs, &err) == 0;
}

static void another_members_lease_is_ended_and_its_key_taken(void **state)
{
    (void)state;
    int64_t epoch = 0;
    int64_t taken = 0;
    struct outcome outcome = {0};
    struct dcs_acquire mine = {.holder = "node1", .ttl_ms = 60000, .timeline = 2};
    struct dcs_acquire theirs = {.holder = "node2", .ttl_ms = 60000, .timeline = 1};
    assert_int_equal(put_key("sync", "{}", DCS_ANY, &mine.sync_revision), 0);
    assert_int_equal(put_key("config", "{}", DCS_ANY, &mine.config_revision), 0);
    theirs.sync_revision = mine.sync_revision;
    theirs.config_revision = mine.config_revision;
    assert_int_equal(
        finish(holder->ops->acquire(holder, &theirs, 5000, on_done, &outcome, NULL), &outcome), 0);
    epoch = outcome.result.revision;
    mine.epoch_revision = epoch;
    mine.deposes = epoch;
    mine.report_count = 1;
    mine.reports[0].member = "node1";
    assert_int_equal(put_key("reports/node1", "{}", DCS_ANY, &mine.reports[0].revision), 0);

    struct error err = {0};
    assert_int_equal(dcs->ops->acquire(dcs, &mine, 1000, on_done, &outcome, &err), ERR_UNAVAILABLE);
    assert_string_equal(err.text, "the group's store is still of format 1");
    wait_for(&rig, can_depose, NULL, 10000, "the store is ready for it");
    outcome = (struct outcome){0};
    assert_int_not_equal(
        finish(dcs->ops->acquire(dcs, &mine, 500, on_done, &outcome, NULL), &outcome), 0);

    dcs_raft_set_node(holder, NULL);
    member_stop(&rig, 1);
    struct dcs_acquire late = mine;
    late.reports[0].revision--;
    assert_int_equal(acquire(&late, &taken), ERR_CONFLICT);
    late = mine;
    late.deposes++;
    outcome = (struct outcome){0};
    assert_int_equal(dcs->ops->acquire(dcs, &late, 1000, on_done, &outcome, NULL), ERR_CONFLICT);
    assert_int_equal(acquire(&mine, &taken), 0);
    struct dcs_view *view = read_view();
    assert_string_equal(dcs_view_get(view, "leader")->value, "node1");
    assert_int_equal(dcs_view_get(view, "leader")->create_revision, taken);
    assert_int_equal(dcs_view_get(view, "epoch")->mod_revision, taken);
    dcs_view_unref(view);
    assert_true(taken > epoch);
}

static bool is_open(struct rig *same, void *arg)
{
    return node_of(same, *(size_t *)arg) != NULL;
}

/* Its disk says what was so when it stopped, or before: a pause that has ended since, a leader that
 * is none any more. Nothing is decided by that. */
static void a_member_that_starts_has_no_view_before_a_majority_answered(void **state)
{
    size_t last = 2;
    (void)state;
    assert_int_equal(put_key("config", "{\"pause\":true}", DCS_ANY, NULL), 0);
    await_value(&rig, last, "/service/batman/config", "{\"pause\":true}");
    dcs_raft_set_node(dcs, NULL);
    dcs_raft_set_node(holder, NULL);
    for (size_t i = 0; i < rig.count; i++) {
        member_stop(&rig, i);
    }
    member_start(&rig, last);
    wait_for(&rig, is_open, &last, 10000, "a member is open");

    struct dcs_raft_config config = {
        .base = base, .name = "node3", .clock = &dcs_clock, .random = random_real()};
    struct dcs *late = dcs_raft_new(node_of(&rig, last), &config);
    late->on_change = on_dcs_change;
    for (int i = 0; i < 10; i++) {
        dcs_raft_changed(late);
        assert_null(late->ops->view(late));
        run_for(&rig, 150);
    }
    changes = 0;
    member_start(&rig, 0);
    wait_for(&rig, has_view, late, 20000, "a majority has answered");
    run_for(&rig, 10);
    assert_true(changes > 0);
    struct dcs_view *view = late->ops->view(late);
    assert_string_equal(dcs_view_get(view, "config")->value, "{\"pause\":true}");
    dcs_view_unref(view);
    dcs_raft_set_node(late, NULL);
    late->ops->free(late);
}

struct until {
    const char *key;
    bool there;
};

static bool key_is(struct rig *same, void *arg)
{
    (void)same;
    struct until *until = arg;
    struct dcs_view *view = dcs->ops->view(dcs);
    bool there = view != NULL && dcs_view_get(view, until->key) != NULL;
    dcs_view_unref(view);
    return there == until->there;
}

static void a_renewed_lease_lives_and_one_that_is_not_ends(void **state)
{
    (void)state;
    int64_t epoch = 0;
    struct dcs_acquire how = {.holder = "node1", .ttl_ms = TTL_MS};
    assert_int_equal(acquire(&how, &epoch), 0);
    for (int i = 0; i < 6; i++) {
        run_for(&rig, TTL_MS / 4);
        assert_int_equal(renew(epoch), 0);
    }
    struct until gone = {.key = "leader", .there = false};
    uint64_t before = uv_hrtime();
    wait_for(&rig, key_is, &gone, TTL_MS * 3, "the lease ends");
    assert_true(uv_hrtime() - before >= (uint64_t)TTL_MS * 1000000 * 9 / 10);
    assert_int_equal(renew(epoch), ERR_CONFLICT);
    struct dcs_view *view = read_view();
    assert_true(dcs_view_get(view, "epoch")->mod_revision ==
                epoch); /* it outlives the leader key */
    dcs_view_unref(view);
}

/* A host that booted again: its lease clock is behind the stamps it sent before. */
static void a_renewal_with_an_older_stamp_is_refused(void **state)
{
    (void)state;
    int64_t epoch = 0;
    struct dcs_acquire how = {.holder = "node1", .ttl_ms = 30000};
    fake_lease_ms = 100000;
    assert_int_equal(acquire(&how, &epoch), 0);
    assert_int_equal(renew(epoch), 0);
    fake_lease_ms = 0;
    struct dcs_raft_config config = {
        .base = base, .name = "node1", .clock = &dcs_clock, .random = random_real()};
    struct dcs *restarted = dcs_raft_new(node_of(&rig, 0), &config);
    struct outcome outcome = {0};
    int rc = restarted->ops->renew(restarted, epoch, 30000, 3000, on_done, &outcome, NULL);
    assert_int_equal(finish(rc, &outcome), ERR_CONFLICT);
    restarted->ops->free(restarted);
}

static void a_release_ends_this_epoch_and_no_other(void **state)
{
    (void)state;
    int64_t epoch = 0;
    struct dcs_acquire how = {.holder = "node1", .ttl_ms = 30000};
    assert_int_equal(acquire(&how, &epoch), 0);
    struct outcome outcome = {0};
    assert_int_equal(
        finish(dcs->ops->release(dcs, epoch - 1, NULL, 3000, on_done, &outcome, NULL), &outcome),
        ERR_CONFLICT);
    outcome = (struct outcome){0};
    assert_int_equal(
        finish(dcs->ops->release(dcs, epoch, "{\"optime\":9}", 3000, on_done, &outcome, NULL),
               &outcome),
        0);
    struct dcs_view *view = read_view();
    assert_null(dcs_view_get(view, "leader"));
    assert_string_equal(dcs_view_get(view, "status")->value, "{\"optime\":9}");
    dcs_view_unref(view);
    how.epoch_revision = epoch;
    assert_int_equal(acquire(&how, &epoch), 0);
}

static int put_status(int64_t epoch, const char *value)
{
    struct outcome outcome = {0};
    return finish(dcs->ops->put_status(dcs, epoch, value, 3000, on_done, &outcome, NULL), &outcome);
}

/* Sent before the release, applied after it: the release's position stays. */
static void a_status_that_comes_late_does_not_replace_that_of_the_release(void **state)
{
    (void)state;
    int64_t epoch = 0;
    struct dcs_acquire how = {.holder = "node1", .ttl_ms = 30000};
    assert_int_equal(acquire(&how, &epoch), 0);
    assert_int_equal(put_status(epoch, "{\"optime\":5}"), 0);
    struct outcome outcome = {0};
    assert_int_equal(
        finish(dcs->ops->release(dcs, epoch, "{\"optime\":9}", 3000, on_done, &outcome, NULL),
               &outcome),
        0);
    assert_int_equal(put_status(epoch, "{\"optime\":6}"), ERR_CONFLICT);
    struct dcs_view *view = read_view();
    assert_string_equal(dcs_view_get(view, "status")->value, "{\"optime\":9}");
    dcs_view_unref(view);
}

static struct outcome put_sync(int64_t epoch, const char *value, int64_t revision)
{
    struct outcome outcome = {0};
    (void)finish(dcs->ops->put_sync(dcs, epoch, value, revision, 3000, on_done, &outcome, NULL),
                 &outcome);
    return outcome;
}

static void sync_is_written_by_the_leader_over_what_it_has_read(void **state)
{
    (void)state;
    int64_t epoch = 0;
    struct dcs_acquire how = {.holder = "node1", .ttl_ms = 30000};
    assert_int_equal(acquire(&how, &epoch), 0);
    struct outcome first = put_sync(epoch, "one", DCS_ABSENT);
    assert_int_equal(first.result.rc, 0);
    assert_int_equal(put_sync(epoch, "late", DCS_ABSENT).result.rc, ERR_CONFLICT);
    assert_int_equal(put_sync(epoch + 1, "no", first.result.revision).result.rc, ERR_CONFLICT);
    struct outcome second = put_sync(epoch, "two", first.result.revision);
    assert_int_equal(second.result.rc, 0);
    assert_int_equal(put_sync(epoch, NULL, first.result.revision).result.rc, ERR_CONFLICT);
    struct dcs_view *view = read_view();
    assert_string_equal(dcs_view_get(view, "sync")->value, "two");
    dcs_view_unref(view);
    assert_int_equal(put_sync(epoch, NULL, second.result.revision).result.rc, 0);
    view = read_view();
    assert_null(dcs_view_get(view, "sync"));
    dcs_view_unref(view);
}

static int withdraw(int64_t report_revision, int64_t epoch)
{
    struct outcome outcome = {0};
    return finish(
        dcs->ops->withdraw(dcs, "node1", report_revision, epoch, 3000, on_done, &outcome, NULL),
        &outcome);
}

/* At the revision that was read, and under the epoch that is to be followed; `none` is written also
 * where no report stands, so that one that is under way is refused. */
static void a_withdrawal_compares_the_report_and_the_epoch(void **state)
{
    (void)state;
    int64_t epoch = 0;
    int64_t report = 0;
    struct dcs_acquire how = {.holder = "node2", .ttl_ms = 30000};
    assert_int_equal(acquire(&how, &epoch), 0);
    assert_int_equal(withdraw(DCS_ABSENT, epoch), 0);
    assert_int_equal(put_key("reports/node1", "late", DCS_ABSENT, NULL), ERR_CONFLICT);
    assert_int_equal(put_key("reports/node1", "{}", DCS_ANY, &report), 0);
    assert_int_equal(withdraw(DCS_ABSENT, epoch), ERR_CONFLICT);
    assert_int_equal(withdraw(report - 1, epoch), ERR_CONFLICT);
    assert_int_equal(withdraw(report, epoch + 1), ERR_CONFLICT);
    struct dcs_view *view = read_view();
    assert_string_equal(dcs_view_get(view, "reports/node1")->value, "{}");
    dcs_view_unref(view);
    assert_int_equal(withdraw(report, epoch), 0);
    view = read_view();
    assert_string_equal(dcs_view_get(view, "reports/node1")->value, "none");
    dcs_view_unref(view);
}

static int put_member(const char *value)
{
    struct outcome outcome = {0};
    return finish(dcs->ops->put_member(dcs, "node1", value, TTL_MS, 3000, on_done, &outcome, NULL),
                  &outcome);
}

static void a_member_key_lives_while_it_is_put_and_ends_with_its_lease(void **state)
{
    (void)state;
    assert_int_equal(put_member("{\"state\":\"starting\"}"), 0);
    struct dcs_view *first = read_view();
    int64_t revision = dcs_view_get(first, "members/node1")->mod_revision;
    for (int i = 0; i < 4; i++) {
        run_for(&rig, TTL_MS / 3);
        assert_int_equal(put_member("{\"state\":\"starting\"}"), 0);
    }
    struct dcs_view *second = read_view();
    assert_true(dcs_view_get(second, "members/node1")->mod_revision ==
                revision); /* renewed, not written */
    assert_int_equal(put_member("{\"state\":\"running\"}"), 0);
    struct dcs_view *third = read_view();
    assert_string_equal(dcs_view_get(third, "members/node1")->value, "{\"state\":\"running\"}");
    struct store_lease old;
    assert_false(store_lease_get(raft_node_store(node_of(&rig, 0)),
                                 dcs_view_get(first, "members/node1")->lease, &old));
    struct until gone = {.key = "members/node1", .there = false};
    wait_for(&rig, key_is, &gone, TTL_MS * 3, "the member key ends");
    assert_int_equal(put_member("{\"state\":\"running\"}"), 0);
    gone.there = true;
    wait_for(&rig, key_is, &gone, 1000, "the member key is back");
    dcs_view_unref(first);
    dcs_view_unref(second);
    dcs_view_unref(third);
}

/* The second one's look at the store is older than the first one's apply. */
static void two_member_puts_at_once_both_arrive(void **state)
{
    (void)state;
    assert_int_equal(put_member("zero"), 0);
    struct outcome first = {0};
    struct outcome second = {0};
    assert_int_equal(dcs->ops->put_member(dcs, "node1", "one", TTL_MS, 3000, on_done, &first, NULL),
                     0);
    assert_int_equal(
        dcs->ops->put_member(dcs, "node1", "two", TTL_MS, 3000, on_done, &second, NULL), 0);
    assert_int_equal(finish(0, &first), 0);
    wait_for(&rig, is_done, &second, 5000, "the second put ends");
    assert_int_equal(second.result.rc, 0);
    struct dcs_view *view = read_view();
    assert_string_equal(dcs_view_get(view, "members/node1")->value, "two");
    dcs_view_unref(view);
}

static void a_change_that_view_showed_first_is_told_all_the_same(void **state)
{
    (void)state;
    assert_int_equal(put_key("status", "{}", DCS_ANY, NULL), 0);
    dcs_raft_changed(dcs);
    changes = 0;
    assert_int_equal(put_key("status", "{\"optime\":1}", DCS_ANY, NULL), 0);
    dcs_view_unref(
        dcs->ops->view(dcs)); /* a callback looks before the group says that something changed */
    dcs_raft_changed(dcs);
    assert_int_equal(changes, 1);
    dcs_raft_changed(dcs);
    assert_int_equal(changes, 1);
}

static void freeing_cancels_what_is_under_way(void **state)
{
    (void)state;
    struct outcome outcome = {0};
    assert_int_equal(dcs->ops->put(dcs, "k", "v", DCS_ANY, 3000, on_done, &outcome, NULL), 0);
    dcs->ops->free(dcs);
    assert_int_equal(outcome.calls, 1);
    assert_int_equal(outcome.result.rc, ERR_CANCELED);
    struct dcs_raft_config config = {
        .base = base, .name = "node1", .clock = &dcs_clock, .random = random_real()};
    dcs = dcs_raft_new(node_of(&rig, 0), &config);
    struct until there = {.key = "k", .there = true};
    wait_for(&rig, key_is, &there, 3000, "it was applied all the same");
}

static void on_client_closed(void *arg)
{
    *(bool *)arg = true;
}

static void the_command_line_reads_and_writes_as_a_client(void **state)
{
    (void)state;
    int64_t epoch = 0;
    struct dcs_acquire how = {.holder = "node1", .ttl_ms = 30000};
    assert_int_equal(acquire(&how, &epoch), 0);
    const char *addresses[] = {rig.members[0].address};
    struct raft_client *client = NULL;
    assert_int_equal(raft_client_new(&rig.loop, addresses, 1, PASSWORD, &client, NULL), 0);
    struct dcs *remote = dcs_raft_client_new(client, base);
    struct outcome outcome = {0};
    assert_int_equal(finish(remote->ops->put(remote, "failover", "{}", DCS_ABSENT, 3000, on_done,
                                             &outcome, NULL),
                            &outcome),
                     0);
    int64_t revision = outcome.result.revision;
    outcome = (struct outcome){0};
    assert_int_equal(
        finish(remote->ops->put(remote, "failover", "x", DCS_ABSENT, 3000, on_done, &outcome, NULL),
               &outcome),
        ERR_CONFLICT);
    outcome = (struct outcome){0};
    assert_int_equal(
        finish(remote->ops->remove(remote, "leader", DCS_ANY, 3000, on_done, &outcome, NULL),
               &outcome),
        ERR_REFUSED);
    outcome = (struct outcome){0};
    assert_null(remote->ops->view(remote));
    assert_int_equal(finish(remote->ops->read(remote, 3000, on_view, &outcome, NULL), &outcome), 0);
    assert_true(dcs_view_get(outcome.view, "failover")->mod_revision == revision);
    assert_true(dcs_view_get(outcome.view, "leader")->create_revision == epoch);
    dcs_view_unref(outcome.view);
    outcome = (struct outcome){0};
    assert_int_equal(remote->ops->acquire(remote, &how, 1000, on_done, &outcome, NULL),
                     ERR_UNSUPPORTED);
    assert_int_equal(remote->ops->can_depose(remote, NULL), ERR_UNSUPPORTED);
    assert_int_equal(remote->ops->put_status(remote, epoch, "{}", 1000, on_done, &outcome, NULL),
                     ERR_UNSUPPORTED);
    assert_int_equal(remote->ops->put_sync(remote, epoch, "{}", 0, 1000, on_done, &outcome, NULL),
                     ERR_UNSUPPORTED);
    assert_int_equal(
        remote->ops->withdraw(remote, "node1", 0, epoch, 1000, on_done, &outcome, NULL),
        ERR_UNSUPPORTED);
    assert_int_equal(
        finish(remote->ops->remove(remote, "failover", revision, 3000, on_done, &outcome, NULL),
               &outcome),
        0);
    bool closed = false;
    raft_client_close(client, on_client_closed, &closed);
    remote->ops->free(remote);
    while (!closed) {
        uv_run(&rig.loop, UV_RUN_ONCE);
    }
}

#define WITH_MEMBER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base_path_has_single_slashes),
        WITH_MEMBER(without_a_node_everything_is_unavailable),
        WITH_MEMBER(put_compares_and_remove_removes),
        WITH_MEMBER(the_view_is_rebuilt_only_when_something_below_the_base_changed),
        WITH_MEMBER(an_acquisition_writes_leader_and_epoch_on_a_lease_of_its_own),
        WITH_MEMBER(an_acquisition_compares_all_that_the_decision_saw),
        WITH_MEMBER(unfenced_is_put_under_its_epoch_and_over_it),
        cmocka_unit_test_setup_teardown(a_member_that_starts_has_no_view_before_a_majority_answered,
                                        setup_held, teardown_held),
        cmocka_unit_test_setup_teardown(another_members_lease_is_ended_and_its_key_taken,
                                        setup_held, teardown_held),
        WITH_MEMBER(a_renewed_lease_lives_and_one_that_is_not_ends),
        WITH_MEMBER(a_renewal_with_an_older_stamp_is_refused),
        WITH_MEMBER(a_release_ends_this_epoch_and_no_other),
        WITH_MEMBER(a_status_that_comes_late_does_not_replace_that_of_the_release),
        WITH_MEMBER(sync_is_written_by_the_leader_over_what_it_has_read),
        WITH_MEMBER(a_withdrawal_compares_the_report_and_the_epoch),
        WITH_MEMBER(a_member_key_lives_while_it_is_put_and_ends_with_its_lease),
        WITH_MEMBER(two_member_puts_at_once_both_arrive),
        WITH_MEMBER(a_change_that_view_showed_first_is_told_all_the_same),
        WITH_MEMBER(freeing_cancels_what_is_under_way),
        WITH_MEMBER(the_command_line_reads_and_writes_as_a_client),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
