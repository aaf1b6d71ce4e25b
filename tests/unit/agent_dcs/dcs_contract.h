/* The contract of dcs.h on a real etcd: the same tests for each dialect. Each has a program of its
 * own, since they wait for leases to end. Included by one source. */
#ifndef TESTS_UNIT_AGENT_DCS_DCS_CONTRACT_H
#define TESTS_UNIT_AGENT_DCS_DCS_CONTRACT_H

#include "agent/ha/ha_cluster.h"
#include "tests/unit/agent_dcs/real_dcs.h"

/* --- keys ------------------------------------------------------------------------------------- */

static void compares_of_a_put_hold_or_nothing_is_written(void **state)
{
    (void)state;
    assert_int_equal(put(a, "config", "1", DCS_ABSENT).is.rc, 0);
    assert_int_equal(put(a, "config", "2", DCS_ABSENT).is.rc, ERR_CONFLICT);
    assert_true(key_is(a, "config", "1"));
    int64_t first = revision_of_key(a, "config");
    struct result second = put(a, "config", "2", first);
    assert_int_equal(second.is.rc, 0);
    assert_true(second.is.revision > first);
    assert_int_equal(revision_of_key(a, "config"), second.is.revision);
    assert_int_equal(put(a, "config", "3", first).is.rc, ERR_CONFLICT);
    assert_int_equal(put(a, "config", "4", DCS_ANY).is.rc, 0);
    assert_int_equal(put(a, "other", "1", 7).is.rc, ERR_CONFLICT); /* not there */
    assert_true(key_is(a, "config", "4") && key_is(a, "other", NULL));
    assert_int_equal(put(a, "", "1", DCS_ANY).is.rc, ERR_INVALID);
}

static void compares_of_a_remove_hold_or_nothing_is_removed(void **state)
{
    (void)state;
    struct result made = put(a, "failover", "{}", DCS_ANY);
    assert_int_equal(take_away(a, "failover", made.is.revision + 1).is.rc, ERR_CONFLICT);
    assert_true(key_is(a, "failover", "{}"));
    assert_int_equal(take_away(a, "failover", DCS_ABSENT).is.rc, ERR_CONFLICT);
    assert_int_equal(take_away(a, "failover", made.is.revision).is.rc, 0);
    assert_int_equal(take_away(a, "failover", DCS_ABSENT).is.rc, 0);
    assert_true(key_is(a, "failover", NULL));
    assert_int_equal(take_away(a, "failover", made.is.revision).is.rc, ERR_CONFLICT);
    assert_int_equal(take_away(a, "failover", DCS_ANY).is.rc, 0); /* not there: as wished */
    (void)put(a, "failover", "{}", DCS_ANY);
    assert_int_equal(take_away(a, "failover", DCS_ANY).is.rc, 0);
    assert_true(key_is(a, "failover", NULL));
}

static void values_come_back_as_they_were_given(void **state)
{
    char *large = mem_alloc(100001);
    (void)state;
    memset(large, 'x', 100000);
    large[100000] = '\0';
    const char *values[] = {"", "{\"a\": \"<&>\\\"\\\\ \xc3\xa9\\n\"}", "a=b&c+d%20;e\n", large};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        assert_int_equal(put(a, "members/n 1%/\xc3\xa9", values[i], DCS_ANY).is.rc, 0);
        assert_true(key_is(a, "members/n 1%/\xc3\xa9", values[i]));
        RUN_UNTIL(key_is(b, "members/n 1%/\xc3\xa9", values[i]));
    }
    mem_free(large);
}

static void what_others_write_shows_up_at_once(void **state)
{
    (void)state;
    run_ms(400); /* both watch */
    for (int i = 0; i < 5; i++) {
        char value[16];
        (void)snprintf(value, sizeof value, "%d", i);
        changes = 0;
        assert_int_equal(put(b, "history", value, DCS_ANY).is.rc, 0);
        int64_t began = clock_mono_ms(clock_real());
        RUN_UNTIL(key_is(a, "history", value));
        assert_true(clock_mono_ms(clock_real()) - began < 250); /* not by the heartbeat's range */
        assert_true(changes > 0);
    }
    assert_int_equal(take_away(b, "history", DCS_ANY).is.rc, 0);
    RUN_UNTIL(key_is(a, "history", NULL));
    assert_true(view_of(a)->revision >= view_of(b)->revision);
}

static void read_shows_everything(void **state)
{
    struct result result;
    (void)state;
    FINISH(result, a->ops->read(a, ASK_MS, on_view, &result, NULL));
    assert_int_equal(result.is.rc, 0);
    assert_int_equal(result.view->count, 0);
    dcs_view_unref(result.view);
    (void)put(b, "config", "{}", DCS_ANY);
    (void)put(b, "members/n2", "{}", DCS_ANY);
    FINISH(result, a->ops->read(a, ASK_MS, on_view, &result, NULL));
    assert_int_equal(result.view->count, 2);
    assert_string_equal(result.view->kvs[0].key, "config");
    assert_string_equal(result.view->kvs[1].key, "members/n2");
    assert_true(result.view->cluster != 0);
    dcs_view_unref(result.view);
}

/* --- the leader key --------------------------------------------------------------------------- */

static void acquisition_makes_an_epoch(void **state)
{
    (void)state;
    (void)put(a, "config", "{}", DCS_ANY);
    (void)put(a, "sync", "{\"leader\":\"n1\"}", DCS_ANY);
    int64_t epoch = lead(a, "n1", 10000);
    const struct dcs_kv *leader = key_of(a, "leader");
    assert_non_null(leader);
    assert_string_equal(leader->value, "n1");
    assert_int_equal(leader->create_revision, epoch);
    assert_int_equal(revision_of_key(a, "epoch"), epoch);
    json_t *value = json_loads(key_of(a, "epoch")->value, 0, NULL);
    assert_string_equal(json_string_value(json_object_get(value, "holder")), "n1");
    assert_int_equal(json_integer_value(json_object_get(value, "timeline")), 2);
    assert_string_equal(json_string_value(json_object_get(value, "instance")), "00000000000000aa");
    json_decref(value);
    assert_true(key_is(a, "sync", "{\"leader\":\"n1\"}"));
    RUN_UNTIL(key_of(b, "leader") != NULL && key_of(b, "leader")->create_revision == epoch);
}

enum change {
    LEADER_THERE,
    EPOCH_MOVED,
    CONFIG_MOVED,
    SYNC_MOVED,
    UNFENCED_THERE,
    REPORT_MOVED,
    REPORT_GONE,
    CHANGES
};

static void each_compare_of_an_acquisition_refuses_alone(void **state)
{
    (void)state;
    for (int change = 0; change < CHANGES; change++) {
        (void)take_away(b, "leader", DCS_ANY);
        (void)take_away(b, "unfenced", DCS_ANY);
        (void)put(b, "epoch", "{}", DCS_ANY);
        (void)put(b, "config", "{}", DCS_ANY);
        (void)put(b, "sync", "{}", DCS_ANY);
        int64_t report = put(b, "reports/n2", "r", DCS_ANY).is.revision;
        RUN_UNTIL(revision_of_key(a, "reports/n2") == report);
        struct dcs_acquire wanted = wish(a, "n1", 10000);
        wanted.report_count = 1;
        wanted.reports[0].member = "n2";
        wanted.reports[0].revision = report;
        switch ((enum change)change) {
        case LEADER_THERE: (void)put(b, "leader", "n2", DCS_ANY); break;
        case EPOCH_MOVED: (void)put(b, "epoch", "{}", DCS_ANY); break;
        case CONFIG_MOVED: (void)put(b, "config", "{}", DCS_ANY); break;
        case SYNC_MOVED: (void)put(b, "sync", "{}", DCS_ANY); break;
        case UNFENCED_THERE: (void)put(b, "unfenced", "n2", DCS_ANY); break;
        case REPORT_MOVED: (void)put(b, "reports/n2", "r", DCS_ANY); break;
        case REPORT_GONE: (void)take_away(b, "reports/n2", DCS_ANY); break;
        case CHANGES: break;
        }
        struct result result = acquire(a, &wanted);
        if (result.is.rc != ERR_CONFLICT) {
            fail_msg("change %d: %s", change, err_name(result.is.rc));
        }
        RUN_UNTIL(change == LEADER_THERE ? key_is(a, "leader", "n2") : key_is(a, "leader", NULL));
    }
}

static void a_lease_of_etcd_is_not_ended_before_its_time(void **state)
{
    (void)state;
    struct result done = {0};
    struct error err = {0};
    struct dcs_acquire wanted = wish(a, "n1", 30000);
    wanted.deposes = 1;
    assert_int_equal(a->ops->can_depose(a, &err), ERR_UNSUPPORTED);
    assert_int_equal(a->ops->acquire(a, &wanted, ASK_MS, on_done, &done, &err), ERR_UNSUPPORTED);
    assert_int_equal(done.calls, 0);
}

static void acquisition_with_its_reports_goes_through(void **state)
{
    (void)state;
    struct dcs_acquire wanted = wish(a, "n1", 10000);
    wanted.report_count = 2;
    wanted.reports[0].member = "n1";
    wanted.reports[0].revision = put(a, "reports/n1", "r", DCS_ANY).is.revision;
    wanted.reports[1].member = "n2";
    wanted.reports[1].revision = put(a, "reports/n2", "r", DCS_ANY).is.revision;
    assert_int_equal(acquire(a, &wanted).is.rc, 0);
    wanted.report_count = DCS_REPORTS_MAX + 1;
    assert_int_equal(acquire(a, &wanted).is.rc, ERR_INVALID);
    wanted.report_count = 0;
    wanted.ttl_ms = 0;
    assert_int_equal(acquire(a, &wanted).is.rc, ERR_INVALID);
}

static struct result put_unfenced(struct dcs *dcs, int64_t epoch)
{
    struct result result;
    FINISH(result, dcs->ops->put_unfenced(dcs, epoch, ASK_MS, on_done, &result, NULL));
    return result;
}

static struct ha_epoch unfenced_of(struct dcs *dcs)
{
    static struct ha_cluster cluster;
    const struct dcs_kv *kv = key_of(dcs, "unfenced");
    if (kv == NULL) {
        return (struct ha_epoch){0};
    }
    struct ha_kv one = {"unfenced", kv->value, kv->create_revision, kv->mod_revision};
    (void)ha_cluster_read(view_of(dcs)->cluster, kv->mod_revision, &one, 1, &cluster);
    assert_int_equal(cluster.unfenced_revision, kv->mod_revision);
    return cluster.unfenced;
}

/* On etcd v2 an acquisition that was refused half-way has swapped `epoch` all the same. */
static void catch_up(struct dcs *dcs)
{
    struct result result;
    FINISH(result, dcs->ops->read(dcs, ASK_MS, on_view, &result, NULL));
    assert_int_equal(result.is.rc, 0);
    int64_t revision = result.view->revision;
    dcs_view_unref(result.view);
    RUN_UNTIL(view_of(dcs)->revision >= revision && key_is(dcs, "leader", NULL));
}

static void unfenced_is_put_in_its_own_epoch_alone(void **state)
{
    (void)state;
    int64_t epoch = lead(a, "n1", 10000);
    struct result first = put_unfenced(a, epoch);
    assert_int_equal(first.is.rc, 0);
    assert_int_equal(revision_of_key(a, "unfenced"), first.is.revision);
    assert_true(unfenced_of(a).cluster == view_of(a)->cluster && unfenced_of(a).revision == epoch);
    assert_int_equal(put_unfenced(a, epoch).is.rc, 0); /* again and again */
    assert_true(revision_of_key(a, "unfenced") > first.is.revision);
    assert_int_equal(take_away(a, "unfenced", first.is.revision).is.rc, ERR_CONFLICT);
    assert_int_equal(take_away(a, "unfenced", revision_of_key(a, "unfenced")).is.rc, 0);
    assert_int_equal(put_unfenced(a, epoch - 1).is.rc, ERR_CONFLICT);
    assert_int_equal(release(a, epoch, NULL).is.rc, 0);
    int64_t next = lead(b, "n2", 10000);
    RUN_UNTIL(key_is(a, "leader", "n2") && revision_of_key(a, "epoch") == next);
    assert_int_equal(put_unfenced(a, epoch).is.rc, ERR_CONFLICT);
    assert_true(key_is(a, "unfenced", NULL));
}

/* The holder whose fence is disarmed, after its key has ended. */
static void acquisition_over_its_own_unfenced_puts_the_new_epoch(void **state)
{
    (void)state;
    int64_t first = lead(a, "n1", 10000);
    int64_t revision = put_unfenced(a, first).is.revision;
    assert_int_equal(release(a, first, NULL).is.rc, 0);
    struct dcs_acquire wanted = wish(a, "n1", 10000);
    wanted.unfenced = DCS_UNFENCED_PUT;
    assert_int_equal(acquire(a, &wanted).is.rc, ERR_CONFLICT); /* that it is there was not seen */
    catch_up(a);
    wanted = wish(a, "n1", 10000);
    wanted.unfenced = DCS_UNFENCED_PUT;
    wanted.unfenced_revision = revision_of_key(a, "unfenced");
    assert_true(wanted.unfenced_revision >= revision);
    struct result second = acquire(a, &wanted);
    if (second.is.rc != 0) {
        fail_msg("%s", second.text);
    }
    RUN_UNTIL(unfenced_of(a).revision == second.is.revision);
    RUN_UNTIL(unfenced_of(b).revision == second.is.revision);
    assert_int_equal(renew(a, second.is.revision, 10000).is.rc, 0);
    assert_int_equal(take_away(a, "unfenced", revision_of_key(a, "unfenced")).is.rc, 0);
    assert_int_equal(release(a, second.is.revision, NULL).is.rc, 0);
    wanted = wish(a, "n1", 10000); /* it was taken away meanwhile: decided on what is gone */
    wanted.unfenced = DCS_UNFENCED_PUT;
    wanted.unfenced_revision = revision;
    assert_int_equal(acquire(a, &wanted).is.rc, ERR_CONFLICT);
    catch_up(a);
    wanted = wish(a, "n1", 10000); /* an instance that runs without a page */
    wanted.unfenced = DCS_UNFENCED_PUT;
    struct result third = acquire(a, &wanted);
    assert_int_equal(third.is.rc, 0);
    RUN_UNTIL(unfenced_of(b).revision == third.is.revision);
}

static void ordered_acquisition_removes_the_unfenced_that_was_seen(void **state)
{
    (void)state;
    int64_t first = lead(a, "n1", 10000);
    int64_t revision = put_unfenced(a, first).is.revision;
    assert_int_equal(release(a, first, NULL).is.rc, 0);
    struct dcs_acquire wanted = wish(b, "n2", 10000);
    wanted.unfenced_revision = revision;
    wanted.unfenced = DCS_UNFENCED_REMOVE;
    assert_true(put(a, "unfenced", "1:1", DCS_ANY).is.revision > revision);
    assert_int_equal(acquire(b, &wanted).is.rc, ERR_CONFLICT);
    catch_up(b);
    assert_true(key_is(b, "unfenced", "1:1"));
    wanted = wish(b, "n2", 10000);
    wanted.unfenced_revision = revision_of_key(b, "unfenced");
    wanted.unfenced = DCS_UNFENCED_REMOVE;
    struct result result = acquire(b, &wanted);
    if (result.is.rc != 0) {
        fail_msg("%s", result.text);
    }
    RUN_UNTIL(key_is(a, "unfenced", NULL) && key_is(a, "leader", "n2"));
    assert_int_equal(put_unfenced(a, first).is.rc, ERR_CONFLICT);
}

static void one_of_two_acquires(void **state)
{
    (void)state;
    for (int round = 0; round < 10; round++) {
        struct result results[2] = {{0}};
        struct dcs_acquire first = wish(a, "n1", 10000);
        struct dcs_acquire second = first;
        second.holder = "n2";
        assert_int_equal(a->ops->acquire(a, &first, ASK_MS, on_done, &results[0], NULL), 0);
        assert_int_equal(b->ops->acquire(b, &second, ASK_MS, on_done, &results[1], NULL), 0);
        RUN_UNTIL(results[0].calls == 1 && results[1].calls == 1);
        assert_int_equal((results[0].is.rc == 0) + (results[1].is.rc == 0), 1);
        struct dcs *winner = results[0].is.rc == 0 ? a : b;
        struct result *won = results[0].is.rc == 0 ? &results[0] : &results[1];
        struct result *not_won = won == &results[0] ? &results[1] : &results[0];
        assert_int_equal(not_won->is.rc, ERR_CONFLICT);
        assert_int_equal(renew(winner, won->is.revision, 10000).is.rc, 0);
        assert_int_equal(release(winner, won->is.revision, NULL).is.rc, 0);
        RUN_UNTIL(key_is(a, "leader", NULL) && key_is(b, "leader", NULL));
        RUN_UNTIL(revision_of_key(a, "epoch") == revision_of_key(b, "epoch"));
    }
}

/* Decided when nobody led; meanwhile somebody did, and is gone again. */
static void acquisition_that_comes_an_epoch_late_is_refused(void **state)
{
    (void)state;
    struct dcs_acquire late = wish(b, "n2", 10000);
    int64_t epoch = lead(a, "n1", 10000);
    assert_int_equal(release(a, epoch, NULL).is.rc, 0);
    assert_int_equal(acquire(b, &late).is.rc, ERR_CONFLICT);
    RUN_UNTIL(key_is(b, "leader", NULL));
    RUN_UNTIL(revision_of_key(b, "epoch") == epoch); /* untouched */
}

static void renewals_keep_the_key_and_its_end_takes_it(void **state)
{
    (void)state;
    int64_t epoch = lead(a, "n1", 2000);
    int64_t sent = 0;
    for (int i = 0; i < 8; i++) {
        run_ms(500);
        sent = clock_mono_ms(clock_real());
        struct result result = renew(a, epoch, 2000);
        if (result.is.rc != 0) {
            fail_msg("%s", result.text);
        }
    }
    RUN_UNTIL(key_is(b, "leader", NULL));
    assert_in_range(clock_mono_ms(clock_real()) - sent, 1990, 8000);
    assert_int_equal(renew(a, epoch, 2000).is.rc, ERR_CONFLICT);
}

static void renewal_brings_another_ttl(void **state)
{
    (void)state;
    int64_t epoch = lead(a, "n1", 60000);
    RUN_UNTIL(key_is(b, "leader", "n1"));
    int64_t sent = clock_mono_ms(clock_real());
    assert_int_equal(renew(a, epoch, 2000).is.rc, 0);
    RUN_UNTIL(key_is(b, "leader", NULL));
    assert_in_range(clock_mono_ms(clock_real()) - sent, 1990, 8000); /* etcd ends it late */
    epoch = lead(a, "n1", 2000);
    assert_int_equal(renew(a, epoch, 60000).is.rc, 0);
    run_ms(4000);
    assert_true(key_is(b, "leader", "n1"));
    assert_int_equal(renew(a, epoch, 60000).is.rc, 0);
}

static void agent_that_has_started_goes_on_with_its_epoch(void **state)
{
    (void)state;
    int64_t epoch = lead(a, "n1", 5000);
    assert_int_equal(renew(a, epoch, 5000).is.rc, 0);
    a->ops->free(a);
    a = open_dcs("n1");
    for (int i = 0; i < 3; i++) {
        struct result result = renew(a, epoch, 5000);
        if (result.is.rc != 0) {
            fail_msg("%s", result.text);
        }
        assert_int_equal(key_of(a, "leader")->create_revision, epoch);
    }
    assert_int_equal(release(a, epoch, NULL).is.rc, 0);
}

static void key_of_another_is_not_renewed(void **state)
{
    (void)state;
    int64_t epoch = lead(a, "n1", 10000);
    RUN_UNTIL(key_is(b, "leader", "n1"));
    assert_int_equal(renew(b, epoch, 10000).is.rc, ERR_CONFLICT);
    assert_int_equal(renew(a, epoch - 1, 10000).is.rc, ERR_CONFLICT);
    assert_int_equal(renew(a, epoch, 10000).is.rc, 0);
}

static void release_leaves_the_position_and_nothing_writes_over_it(void **state)
{
    (void)state;
    int64_t epoch = lead(a, "n1", 10000);
    struct result result;
    FINISH(result, a->ops->put_status(a, epoch, "s1", ASK_MS, on_done, &result, NULL));
    assert_int_equal(result.is.rc, 0);
    assert_true(key_is(a, "status", "s1"));
    FINISH(result, a->ops->put_status(a, epoch + 1, "s2", ASK_MS, on_done, &result, NULL));
    assert_int_equal(result.is.rc, ERR_CONFLICT);
    assert_int_equal(release(a, epoch + 1, "s3").is.rc, ERR_CONFLICT);
    assert_true(key_is(a, "status", "s1") && key_is(a, "leader", "n1"));
    assert_int_equal(release(a, epoch, "last").is.rc, 0);
    assert_true(key_is(a, "status", "last") && key_is(a, "leader", NULL));
    FINISH(result, a->ops->put_status(a, epoch, "late", ASK_MS, on_done, &result, NULL));
    assert_int_equal(result.is.rc, ERR_CONFLICT);
    assert_int_equal(release(a, epoch, "again").is.rc, ERR_CONFLICT);
    RUN_UNTIL(key_is(b, "status", "last"));
    assert_int_equal(renew(a, epoch, 10000).is.rc, ERR_CONFLICT);
}

static struct result put_sync(int64_t epoch, const char *value, int64_t revision)
{
    struct result result;
    FINISH(result, a->ops->put_sync(a, epoch, value, revision, ASK_MS, on_done, &result, NULL));
    return result;
}

static void sync_is_written_by_the_leader_over_what_it_has_read(void **state)
{
    (void)state;
    (void)take_away(a, "sync", DCS_ANY);
    int64_t epoch = lead(a, "n1", 10000);
    assert_int_equal(put_sync(epoch, "{}", 1).is.rc, ERR_CONFLICT);
    struct result first = put_sync(epoch, "{\"leader\":\"n1\"}", DCS_ABSENT);
    assert_int_equal(first.is.rc, 0);
    assert_true(key_is(a, "sync", "{\"leader\":\"n1\"}"));
    assert_int_equal(key_of(a, "sync")->mod_revision, first.is.revision);
    assert_int_equal(put_sync(epoch, "late", DCS_ABSENT).is.rc, ERR_CONFLICT);
    assert_int_equal(put_sync(epoch + 1, "no", first.is.revision).is.rc, ERR_CONFLICT);
    struct result second = put_sync(epoch, "two", first.is.revision);
    assert_int_equal(second.is.rc, 0);
    assert_int_equal(put_sync(epoch, NULL, first.is.revision).is.rc, ERR_CONFLICT);
    assert_true(key_is(a, "sync", "two"));
    assert_int_equal(release(a, epoch, NULL).is.rc, 0);
    assert_int_equal(put_sync(epoch, "three", second.is.revision).is.rc, ERR_CONFLICT);
    assert_true(key_is(a, "sync", "two"));
    epoch = lead(a, "n1", 10000);
    assert_int_equal(put_sync(epoch, NULL, key_of(a, "sync")->mod_revision).is.rc, 0);
    assert_true(key_is(a, "sync", NULL));
    assert_int_equal(release(a, epoch, NULL).is.rc, 0);
}

static void key_deleted_by_hand_is_lost_and_may_be_taken_again(void **state)
{
    (void)state;
    int64_t epoch = lead(a, "n1", 10000);
    (void)take_away(b, "leader", DCS_ANY);
    assert_int_equal(renew(a, epoch, 10000).is.rc, ERR_CONFLICT);
    RUN_UNTIL(key_is(a, "leader", NULL));
    int64_t next = lead(a, "n1", 10000);
    assert_true(next > epoch);
    assert_int_equal(renew(a, epoch, 10000).is.rc, ERR_CONFLICT);
    assert_int_equal(renew(a, next, 10000).is.rc, 0);
    assert_int_equal(release(a, epoch, NULL).is.rc, ERR_CONFLICT);
    assert_int_equal(renew(a, next, 10000).is.rc, 0);
}

/* --- withdrawal, members ---------------------------------------------------------------------- */

static struct result withdraw(struct dcs *dcs, int64_t revision, int64_t epoch)
{
    struct result result;
    FINISH(result, dcs->ops->withdraw(dcs, "n2", revision, epoch, ASK_MS, on_done, &result, NULL));
    return result;
}

static void withdrawal_writes_none_in_that_epoch_alone(void **state)
{
    (void)state;
    int64_t epoch = lead(a, "n1", 10000);
    RUN_UNTIL(key_is(b, "leader", "n1"));
    assert_int_equal(withdraw(b, DCS_ABSENT, epoch).is.rc, 0); /* no report stands */
    assert_true(key_is(b, "reports/n2", "none"));
    int64_t report = put(b, "reports/n2", "r", DCS_ANY).is.revision;
    assert_int_equal(withdraw(b, report - 1, epoch).is.rc, ERR_CONFLICT);
    assert_true(key_is(b, "reports/n2", "r"));
    assert_int_equal(withdraw(b, report, epoch - 1).is.rc, ERR_CONFLICT);
    /* v2 swaps first and looks then, so that no report of before that epoch can count in it */
    RUN_UNTIL(key_is(b, "reports/n2", dialect == ETCD_V2 ? "none" : "r"));
    report = revision_of_key(b, "reports/n2");
    struct result result = withdraw(b, report, epoch);
    assert_int_equal(result.is.rc, 0);
    assert_int_equal(revision_of_key(b, "reports/n2"), result.is.revision);
    assert_true(key_is(b, "reports/n2", "none"));
    assert_int_equal(put(b, "reports/n2", "late", report).is.rc, ERR_CONFLICT);
    assert_int_equal(release(a, epoch, NULL).is.rc, 0);
    assert_int_equal(withdraw(b, result.is.revision, epoch).is.rc, ERR_CONFLICT);
}

static struct result put_member(struct dcs *dcs, const char *value, int64_t ttl_ms)
{
    struct result result;
    FINISH(result, dcs->ops->put_member(dcs, "n1", value, ttl_ms, ASK_MS, on_done, &result, NULL));
    return result;
}

static void member_is_there_while_it_says_so(void **state)
{
    (void)state;
    for (int i = 0; i < 6; i++) {
        assert_int_equal(put_member(a, "m1", 2000).is.rc, 0);
        run_ms(500);
        assert_true(key_is(b, "members/n1", "m1"));
    }
    assert_int_equal(put_member(a, "m2", 2000).is.rc, 0);
    RUN_UNTIL(key_is(b, "members/n1", "m2"));
    RUN_UNTIL(key_is(b, "members/n1", NULL)); /* silent for its ttl */
    assert_int_equal(put_member(a, "m3", 2000).is.rc, 0);
    RUN_UNTIL(key_is(b, "members/n1", "m3"));
    assert_int_equal(put_member(a, "m3", 60000).is.rc, 0);
    run_ms(3500);
    assert_true(key_is(b, "members/n1", "m3")); /* by the new ttl */
    (void)take_away(b, "members/n1", DCS_ANY);
    RUN_UNTIL(key_is(a, "members/n1", NULL));
    assert_int_equal(put_member(a, "m3", 60000).is.rc, 0);
    RUN_UNTIL(key_is(b, "members/n1", "m3"));
}

static inline int dcs_contract_run(enum etcd_dialect which)
{
    const struct CMUnitTest tests[] = {
        REAL(compares_of_a_put_hold_or_nothing_is_written),
        REAL(compares_of_a_remove_hold_or_nothing_is_removed),
        REAL(values_come_back_as_they_were_given),
        REAL(what_others_write_shows_up_at_once),
        REAL(read_shows_everything),
        REAL(acquisition_makes_an_epoch),
        REAL(each_compare_of_an_acquisition_refuses_alone),
        REAL(a_lease_of_etcd_is_not_ended_before_its_time),
        REAL(acquisition_with_its_reports_goes_through),
        REAL(unfenced_is_put_in_its_own_epoch_alone),
        REAL(acquisition_over_its_own_unfenced_puts_the_new_epoch),
        REAL(ordered_acquisition_removes_the_unfenced_that_was_seen),
        REAL(one_of_two_acquires),
        REAL(acquisition_that_comes_an_epoch_late_is_refused),
        REAL(renewals_keep_the_key_and_its_end_takes_it),
        REAL(renewal_brings_another_ttl),
        REAL(agent_that_has_started_goes_on_with_its_epoch),
        REAL(key_of_another_is_not_renewed),
        REAL(release_leaves_the_position_and_nothing_writes_over_it),
        REAL(sync_is_written_by_the_leader_over_what_it_has_read),
        REAL(key_deleted_by_hand_is_lost_and_may_be_taken_again),
        REAL(withdrawal_writes_none_in_that_epoch_alone),
        REAL(member_is_there_while_it_says_so),
    };
    dialect = which;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    etcd_stop();
    return failed;
}

#endif
