/* What happens to a real etcd: keys and leases taken away by hand, compaction, a stop in the
 * middle, a restart, and all of it gone. */
#include "tests/unit/agent_dcs/real_dcs.h"

static void lease_that_is_revoked_takes_the_key(void **state)
{
    (void)state;
    int64_t epoch = lead(a, "n1", 30000);
    assert_int_equal(renew(a, epoch, 30000).is.rc, 0);
    if (dialect == ETCD_V3) {
        char *body =
            mem_printf("{\"ID\":\"%llu\"}", (unsigned long long)key_of(a, "leader")->lease);
        v3_by_hand("/v3/lease/revoke", body);
        mem_free(body);
    } else {
        v2_by_hand("DELETE", "/v2/keys/s/x/leader", "");
    }
    RUN_UNTIL(key_is(a, "leader", NULL));
    RUN_UNTIL(key_is(b, "leader", NULL));
    assert_int_equal(renew(a, epoch, 30000).is.rc, ERR_CONFLICT);
    int64_t next = lead(b, "n2", 30000);
    assert_true(next > epoch);
    RUN_UNTIL(key_is(a, "leader", "n2"));
    assert_int_equal(renew(a, epoch, 30000).is.rc, ERR_CONFLICT);
    assert_int_equal(release(a, epoch, NULL).is.rc, ERR_CONFLICT);
    assert_int_equal(renew(b, next, 30000).is.rc, 0);
}

/* Somebody writes his own name over the leader key. */
static void key_that_is_overwritten_is_lost(void **state)
{
    (void)state;
    int64_t epoch = lead(a, "n1", 30000);
    if (dialect == ETCD_V3) {
        v3_by_hand("/v3/kv/put", "{\"key\":\"L3MveC9sZWFkZXI=\",\"value\":\"bjI=\"}");
    } else {
        v2_by_hand("PUT", "/v2/keys/s/x/leader", "value=n2");
    }
    assert_int_equal(renew(a, epoch, 30000).is.rc, ERR_CONFLICT);
    RUN_UNTIL(key_is(a, "leader", "n2"));
    assert_int_equal(renew(a, epoch, 30000).is.rc, ERR_CONFLICT);
}

/* An acquisition that stopped after its first write (v2), or a key that an older agent made. */
static void key_without_its_epoch_is_not_gone_on_with(void **state)
{
    (void)state;
    int64_t epoch = lead(a, "n1", 30000);
    assert_int_equal(release(a, epoch, NULL).is.rc, 0);
    if (dialect == ETCD_V3) {
        return; /* there it is one transaction */
    }
    v2_by_hand("PUT", "/v2/keys/s/x/leader", "value=n1&ttl=30&prevExist=false");
    RUN_UNTIL(key_is(a, "leader", "n1"));
    int64_t half = key_of(a, "leader")->create_revision;
    assert_true(half > epoch);
    assert_int_equal(renew(a, half, 30000).is.rc, ERR_CONFLICT);
    assert_int_equal(release(a, half, NULL).is.rc, 0); /* but it may be taken away */
    RUN_UNTIL(key_is(b, "leader", NULL));
    assert_true(lead(a, "n1", 30000) > half);
}

static void history_that_is_compacted_costs_nothing(void **state)
{
    (void)state;
    run_ms(400);
    for (int i = 0; i < 20; i++) {
        (void)put(a, "history", i % 2 == 0 ? "even" : "odd", DCS_ANY);
    }
    if (dialect == ETCD_V3) {
        char *body = mem_printf("{\"revision\":\"%lld\",\"physical\":true}",
                                (long long)view_of(a)->revision);
        v3_by_hand("/v3/kv/compaction", body);
        mem_free(body);
    } else { /* what v2 remembers is a thousand events, of any key */
        for (int i = 0; i < 1100; i++) {
            v2_by_hand("PUT", "/v2/keys/elsewhere", "value=1");
        }
    }
    (void)put(a, "history", "new", DCS_ANY);
    RUN_UNTIL(key_is(b, "history", "new"));
    int64_t began = clock_mono_ms(clock_real());
    (void)put(b, "history", "newer", DCS_ANY);
    RUN_UNTIL(key_is(a, "history", "newer"));
    assert_true(clock_mono_ms(clock_real()) - began < 1000);
}

static void etcd_that_stands_still_leaves_writes_open(void **state)
{
    struct result result;
    (void)state;
    int64_t epoch = lead(a, "n1", 30000);
    (void)put(a, "config", "1", DCS_ANY);
    int64_t revision = revision_of_key(a, "config");
    run_ms(400);
    etcd_stand_still();
    int64_t began = clock_mono_ms(clock_real());
    FINISH(result, a->ops->put(a, "config", "2", revision, 1500, on_done, &result, NULL));
    assert_int_equal(result.is.rc, ERR_UNKNOWN);
    FINISH(result, a->ops->renew(a, epoch, 30000, 1000, on_done, &result, NULL));
    assert_true(result.is.rc == ERR_UNKNOWN || result.is.rc == ERR_UNAVAILABLE);
    FINISH(result, a->ops->read(a, 1000, on_view, &result, NULL));
    assert_int_equal(result.is.rc, ERR_UNAVAILABLE);
    assert_null(result.view);
    int64_t took = clock_mono_ms(clock_real()) - began;
    assert_true(took >= 3000 && took < 6000);
    assert_true(a->ops->contact_mono_ms(a) <= began + 100); /* nobody was heard meanwhile */
    assert_true(key_is(a, "config", "1"));
    assert_int_equal(kill(etcd_pid, SIGCONT), 0);
    RUN_UNTIL(key_is(a, "config", "2") || a->ops->contact_mono_ms(a) > began + took);
    run_ms(1500);
    /* it may have been applied after all, and then the view says so */
    FINISH(result, b->ops->read(b, ASK_MS, on_view, &result, NULL));
    assert_int_equal(result.is.rc, 0);
    RUN_UNTIL(key_is(a, "config", dcs_view_get(result.view, "config")->value));
    dcs_view_unref(result.view);
    assert_int_equal(renew(a, epoch, 30000).is.rc, 0);
    (void)put(b, "history", "on", DCS_ANY);
    RUN_UNTIL(key_is(a, "history", "on"));
}

static void etcd_that_is_gone_was_certainly_not_asked(void **state)
{
    struct result result;
    (void)state;
    int64_t epoch = lead(a, "n1", 30000);
    (void)put(a, "config", "1", DCS_ANY);
    etcd_end();
    run_ms(200);
    FINISH(result, a->ops->put(a, "config", "2", DCS_ABSENT, 600, on_done, &result, NULL));
    assert_int_equal(result.is.rc, ERR_UNAVAILABLE);
    etcd_run(); /* with its data */
    assert_int_equal(renew(a, epoch, 30000).is.rc, 0);
    (void)put(b, "history", "on", DCS_ANY);
    RUN_UNTIL(key_is(a, "history", "on"));
    assert_true(key_is(a, "config", "1") && key_is(a, "leader", "n1"));
}

/* Its cluster id is made of its flags, so that it may well be the same. */
static void etcd_that_was_wiped_is_another_one(void **state)
{
    (void)state;
    int64_t epoch = lead(a, "n1", 30000);
    for (int i = 0; i < 20; i++) {
        (void)put(a, "history", i % 2 == 0 ? "even" : "odd", DCS_ANY);
    }
    struct result member;
    FINISH(member, a->ops->put_member(a, "n1", "m", 30000, ASK_MS, on_done, &member, NULL));
    int64_t revision = view_of(a)->revision;
    etcd_wipe();
    RUN_UNTIL(key_is(a, "leader", NULL) && key_is(b, "leader", NULL));
    assert_true(view_of(a)->revision < revision && view_of(b)->revision < revision);
    assert_int_equal(renew(a, epoch, 30000).is.rc, ERR_CONFLICT);
    FINISH(member, a->ops->put_member(a, "n1", "m", 30000, ASK_MS, on_done, &member, NULL));
    assert_int_equal(member.is.rc, 0);
    RUN_UNTIL(key_is(b, "members/n1", "m"));
    int64_t next = lead(a, "n1", 30000);
    assert_int_equal(renew(a, next, 30000).is.rc, 0);
    RUN_UNTIL(key_is(b, "leader", "n1"));
    assert_non_null(strstr(buf_str(&dcs_notes), "it was wiped"));
}

/* Nothing was written since the backup, so that the revision does not fall. */
static void etcd_that_is_back_from_a_backup_of_now_is_another_one(void **state)
{
    (void)state;
    if (dialect == ETCD_V2) {
        return; /* its answers name no term, and its backup is made otherwise */
    }
    for (int i = 0; i < 3; i++) { /* each start is a term */
        etcd_end();
        etcd_run();
    }
    int64_t epoch = lead(a, "n1", 30000);
    RUN_UNTIL(key_is(b, "leader", "n1"));
    int64_t revision = view_of(a)->revision;
    etcd_restore();
    int64_t contact = clock_mono_ms(clock_real());
    RUN_UNTIL(a->ops->contact_mono_ms(a) > contact && b->ops->contact_mono_ms(b) > contact);
    assert_int_equal(view_of(a)->revision, revision);
    assert_non_null(strstr(buf_str(&dcs_notes), "is back from a backup"));
    assert_int_equal(renew(a, epoch, 30000).is.rc, 0);
    (void)put(b, "history", "on", DCS_ANY);
    RUN_UNTIL(key_is(a, "history", "on"));
}

static void closing_with_everything_under_way_ends_each_once(void **state)
{
    struct result results[7] = {{0}};
    (void)state;
    int64_t epoch = lead(a, "n1", 30000);
    struct dcs_acquire wanted = wish(a, "n1", 30000);
    struct dcs *dcs = a;
    const struct dcs_ops *ops = dcs->ops;
    assert_int_equal(ops->put(dcs, "config", "1", DCS_ANY, ASK_MS, on_done, &results[0], NULL), 0);
    assert_int_equal(ops->renew(dcs, epoch, 20000, ASK_MS, on_done, &results[1], NULL), 0);
    assert_int_equal(ops->acquire(dcs, &wanted, ASK_MS, on_done, &results[2], NULL), 0);
    assert_int_equal(ops->put_member(dcs, "n1", "m", 30000, ASK_MS, on_done, &results[3], NULL), 0);
    assert_int_equal(ops->withdraw(dcs, "n1", 0, epoch, ASK_MS, on_done, &results[4], NULL), 0);
    assert_int_equal(ops->read(dcs, ASK_MS, on_view, &results[5], NULL), 0);
    assert_int_equal(ops->release(dcs, epoch, "s", ASK_MS, on_done, &results[6], NULL), 0);
    for (int turn = 0; turn < (int)(getpid() % 5); turn++) {
        (void)uv_run(&loop, UV_RUN_NOWAIT);
    }
    ops->free(dcs);
    run_ms(100);
    for (int i = 0; i < 7; i++) {
        assert_int_equal(results[i].calls, 1);
        dcs_view_unref(results[i].view);
    }
    a = open_dcs("n1");
}

static int run(enum etcd_dialect which, const char *title)
{
    const struct CMUnitTest tests[] = {
        REAL(lease_that_is_revoked_takes_the_key),
        REAL(key_that_is_overwritten_is_lost),
        REAL(key_without_its_epoch_is_not_gone_on_with),
        REAL(history_that_is_compacted_costs_nothing),
        REAL(etcd_that_stands_still_leaves_writes_open),
        REAL(etcd_that_is_gone_was_certainly_not_asked),
        REAL(etcd_that_was_wiped_is_another_one),
        REAL(etcd_that_is_back_from_a_backup_of_now_is_another_one),
        REAL(closing_with_everything_under_way_ends_each_once),
    };
    dialect = which;
    return cmocka_run_group_tests_name(title, tests, NULL, NULL);
}

int main(void)
{
    int failed = run(ETCD_V3, "v3") + run(ETCD_V2, "v2");
    etcd_stop();
    return failed;
}
