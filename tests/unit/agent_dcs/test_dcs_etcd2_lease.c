/* The leader key of etcd v2: chains of writes that stop, are held up or lose their answer at every
 * step. */
#include "tests/unit/agent_dcs/lease2_fixture.h"

/* --- acquire ---------------------------------------------------------------------------------- */

static void acquisition_is_made_in_the_order_of_rule_15(void **state)
{
    (void)state;
    buf_clear(&seen);
    int64_t before = clock_lease_ms(clock_real());
    struct dcs_acquire how = wish(dcs, "n1", TTL_MS);
    struct result result = acquire(dcs, &how);
    assert_int_equal(result.is.rc, 0);
    assert_true(result.is.sent_ms >= before);
    const char *leader = strstr(buf_str(&seen), "PUT " ROOT "leader\n");
    const char *epoch_at = strstr(buf_str(&seen), "PUT " ROOT "epoch\n");
    const char *sync = strstr(buf_str(&seen), "PUT " ROOT "sync\n");
    assert_true(leader != NULL && epoch_at > leader && sync > epoch_at);
    assert_non_null(strstr(sync, "GET " ROOT "?recursive=true&quorum=true"));
    assert_int_equal(result.is.revision, store_find("epoch")->modified);
    assert_true(store_find("leader")->created < store_find("epoch")->modified);
    RUN_UNTIL(key_is(dcs, "leader", "n1"));
    assert_int_equal(key_of(dcs, "leader")->create_revision, result.is.revision);
    assert_string_equal(store_find("sync")->value, "{\"leader\":\"n1\"}");
}

/* One step of an acquisition that is not answered as it should be, and what comes of it. */
struct stop {
    const char *method;
    const char *key;
    int what;
    int status;
    const char *words;
    int rc;
};

static void stop_at(const struct stop *stop, size_t number, const struct dcs_acquire *how)
{
    struct result result;
    want(stop->method, stop->key, stop->what);
    said_status = stop->status;
    said = stop->words;
    FINISH(result, dcs->ops->acquire(dcs, how, 600, on_done, &result, NULL));
    if (result.is.rc != stop->rc) {
        fail_msg("case %zu: %s", number, result.text);
    }
    wanted = SERVE;
}

/* Whatever it stops at, the half-made key is taken back, and nothing is said that is not so. */
static void acquisition_that_stops_takes_its_key_back(void **state)
{
    static const struct stop cases[] = {
        {"PUT", "epoch", SAY, 412, "{\"errorCode\":105,\"message\":\"x\"}", ERR_CONFLICT},
        {"PUT", "epoch", SAY, 500, "{\"errorCode\":300,\"message\":\"x\"}", ERR_UNKNOWN},
        {"PUT", "epoch", SAY, 200, "{}", ERR_UNKNOWN},
        {"PUT", "epoch", SAY, 404, "404 page not found", ERR_UNKNOWN},
        {"PUT", "sync", SAY, 412, "{\"errorCode\":101,\"message\":\"x\"}", ERR_CONFLICT},
        {"PUT", "sync", SAY, 404, "{\"errorCode\":100,\"message\":\"x\"}", ERR_CONFLICT},
        {"PUT", "sync", CHANGE_CONFIG_FIRST, 0, NULL, ERR_CONFLICT},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct dcs_acquire how = wish(dcs, "n1", TTL_MS);
        stop_at(&cases[i], i, &how);
        RUN_UNTIL(store_find("leader") == NULL);
        RUN_UNTIL(revision_of_key(dcs, "config") == store_find("config")->modified);
        RUN_UNTIL(revision_of_key(dcs, "sync") == store_find("sync")->modified);
        RUN_UNTIL(store_find("epoch") == NULL ||
                  revision_of_key(dcs, "epoch") == store_find("epoch")->modified);
    }
}

/* An order over `unfenced` that comes to nothing leaves it as it was: the instance that it speaks
 * of may run, and nobody leads. */
static void order_that_stops_leaves_unfenced_behind(void **state)
{
    static const struct stop cases[] = {
        {"PUT", "sync", CHANGE_CONFIG_FIRST, 0, NULL, ERR_CONFLICT}, /* seen by the first read */
        {"DELETE", "unfenced", CHANGE_CONFIG_FIRST, 0, NULL, ERR_CONFLICT}, /* by the second */
        {"DELETE", "unfenced", APPLY_AND_HANG_UP, 0, NULL, ERR_UNKNOWN},
        {"DELETE", "unfenced", SAY, 500, "{\"errorCode\":300,\"message\":\"x\"}", ERR_UNKNOWN},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(put(dcs, "unfenced", "4d:7", DCS_ANY).is.rc, 0);
        RUN_UNTIL(revision_of_key(dcs, "unfenced") == store_find("unfenced")->modified);
        struct dcs_acquire how = wish(dcs, "n1", TTL_MS);
        how.unfenced_revision = revision_of_key(dcs, "unfenced");
        how.unfenced = DCS_UNFENCED_REMOVE;
        stop_at(&cases[i], i, &how);
        RUN_UNTIL(store_find("leader") == NULL && store_find("unfenced") != NULL);
        assert_string_equal(store_find("unfenced")->value, "4d:7");
        RUN_UNTIL(revision_of_key(dcs, "config") == store_find("config")->modified);
        RUN_UNTIL(revision_of_key(dcs, "sync") == store_find("sync")->modified);
        RUN_UNTIL(revision_of_key(dcs, "epoch") == store_find("epoch")->modified);
    }
}

static struct dcs_acquire order_over_unfenced(void)
{
    assert_int_equal(put(dcs, "unfenced", "4d:7", DCS_ANY).is.rc, 0);
    RUN_UNTIL(revision_of_key(dcs, "unfenced") == store_find("unfenced")->modified);
    struct dcs_acquire how = wish(dcs, "n1", TTL_MS);
    how.unfenced_revision = revision_of_key(dcs, "unfenced");
    how.unfenced = DCS_UNFENCED_REMOVE;
    return how;
}

static void assert_unfenced_stands(void)
{
    assert_non_null(store_find("unfenced"));
    assert_string_equal(store_find("unfenced")->value, "4d:7");
}

/* The next step is to put it again. */
static void deleted_in_vain(struct result *result)
{
    struct dcs_acquire how = order_over_unfenced();
    want("DELETE", "unfenced", CHANGE_CONFIG_FIRST);
    assert_int_equal(dcs->ops->acquire(dcs, &how, 10000, on_done, result, NULL), 0);
    RUN_UNTIL(store_find("unfenced") == NULL);
}

/* Without either key somebody else could acquire who has not found `unfenced`. */
static void leader_stays_until_unfenced_stands_again(void **state)
{
    struct result result = {0};
    (void)state;
    deleted_in_vain(&result);
    want("PUT", "unfenced", HOLD);
    RUN_UNTIL(is_held);
    run_ms(100);
    assert_non_null(store_find("leader"));
    assert_int_equal(result.calls, 0); /* whoever is told gives the key back by himself */
    let_go();
    RUN_UNTIL(store_find("leader") == NULL && result.calls > 0);
    assert_int_equal(result.is.rc, ERR_CONFLICT);
    assert_unfenced_stands();
}

static void unfenced_is_put_again_until_somebody_says_that_it_stands(void **state)
{
    struct result result = {0};
    (void)state;
    deleted_in_vain(&result);
    want("PUT", "unfenced", APPLY_AND_HANG_UP);
    buf_clear(&seen);
    RUN_UNTIL(store_find("leader") == NULL && result.calls > 0);
    assert_int_equal(result.is.rc, ERR_CONFLICT);
    assert_unfenced_stands();
    assert_int_equal(seen_count("PUT " ROOT "unfenced"), 2);
}

static void deletion_that_comes_late_does_not_hit_the_unfenced_of_after_it(void **state)
{
    (void)state;
    struct dcs_acquire how = order_over_unfenced();
    struct result result;
    want("DELETE", "unfenced", HOLD);
    FINISH(result, dcs->ops->acquire(dcs, &how, 600, on_done, &result, NULL));
    assert_int_equal(result.is.rc, ERR_UNKNOWN);
    RUN_UNTIL(store_find("leader") == NULL);
    let_go();
    assert_unfenced_stands();
}

/* --- renew ------------------------------------------------------------------------------------ */

static void renewal_that_lost_its_answer_is_found_out_by_the_next(void **state)
{
    struct result result;
    (void)state;
    want("PUT", "leader", APPLY_AND_HANG_UP);
    FINISH(result, dcs->ops->renew(dcs, epoch, TTL_MS, ASK_MS, on_done, &result, NULL));
    assert_int_equal(result.is.rc, ERR_UNKNOWN);
    buf_clear(&seen);
    int64_t before = clock_lease_ms(clock_real());
    result = renew(dcs, epoch, TTL_MS);
    assert_int_equal(result.is.rc, 0);
    assert_true(result.is.sent_ms >= before);
    assert_int_equal(seen_count("PUT " ROOT "leader\n"), 2);
    assert_int_equal(seen_count("GET " ROOT "leader?quorum=true\n"), 1);
    assert_int_equal(renew(dcs, epoch, TTL_MS).is.rc, 0);
}

static void renewal_that_is_held_up_is_void_after_the_next(void **state)
{
    struct result result;
    (void)state;
    want("PUT", "leader", HOLD);
    FINISH(result, dcs->ops->renew(dcs, epoch, TTL_MS, 300, on_done, &result, NULL));
    assert_int_equal(result.is.rc, ERR_UNKNOWN);
    assert_int_equal(renew(dcs, epoch, TTL_MS).is.rc, 0);
    int64_t modified = store_find("leader")->modified;
    let_go();
    assert_int_equal(store_find("leader")->modified, modified);
    assert_int_equal(renew(dcs, epoch, TTL_MS).is.rc, 0);
}

static void one_renewal_is_under_way_at_a_time(void **state)
{
    struct result first = {0};
    struct result second = {0};
    (void)state;
    want("PUT", "leader", HOLD);
    assert_int_equal(dcs->ops->renew(dcs, epoch, TTL_MS, ASK_MS, on_done, &first, NULL), 0);
    RUN_UNTIL(is_held);
    assert_int_equal(dcs->ops->renew(dcs, epoch, TTL_MS, ASK_MS, on_done, &second, NULL),
                     ERR_UNAVAILABLE);
    let_go();
    RUN_UNTIL(first.calls == 1);
    assert_int_equal(first.is.rc, 0);
    assert_int_equal(second.calls, 0);
    assert_int_equal(renew(dcs, epoch, TTL_MS).is.rc, 0);
}

static void what_says_nothing_of_the_key_loses_nothing(void **state)
{
    static const struct {
        int status;
        const char *words;
        int rc;
    } cases[] = {
        {401, "{\"errorCode\":110,\"message\":\"x\"}", ERR_UNAVAILABLE},
        {404, "404 page not found", ERR_UNAVAILABLE}, /* a member without its v2 API */
        {400, "Bad Request", ERR_UNAVAILABLE},
        {500, "{\"errorCode\":301,\"message\":\"x\"}", ERR_UNKNOWN},
        {200, "<html>", ERR_UNKNOWN},
        {201, "<html>", ERR_UNKNOWN},
        {200, "{}", ERR_UNKNOWN},
        {200, "{\"node\":{\"modifiedIndex\":9,\"createdIndex\":9}}", ERR_UNKNOWN}, /* whose? */
    };
    struct result result;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        want("PUT", "leader", SAY);
        said_status = cases[i].status;
        said = cases[i].words;
        FINISH(result, dcs->ops->renew(dcs, epoch, TTL_MS, 400, on_done, &result, NULL));
        if (result.is.rc != cases[i].rc) {
            fail_msg("%d %s: %s", said_status, said, result.text);
        }
        wanted = SERVE;
        assert_int_equal(renew(dcs, epoch, TTL_MS).is.rc, 0);
    }
}

static void key_that_somebody_else_made_is_lost(void **state)
{
    (void)state;
    by_hand_delete("leader");
    store.revision++;
    store_put("leader", "n1", 0); /* the same name */
    assert_int_equal(renew(dcs, epoch, TTL_MS).is.rc, ERR_CONFLICT);
    assert_int_equal(seen_count("PUT " ROOT "leader\n"), 1);
}

static void key_that_names_somebody_else_is_lost(void **state)
{
    (void)state;
    store.revision++;
    store_put("leader", "n2", 0)->created = store_find("leader")->created;
    assert_int_equal(renew(dcs, epoch, TTL_MS).is.rc, ERR_CONFLICT);
}

/* etcd takes a prevIndex of 0 for none, and would remove it whatever it is. */
static void key_that_was_to_be_absent_is_not_removed(void **state)
{
    struct result result;
    (void)state;
    assert_int_equal(take_away(dcs, "config", DCS_ABSENT).is.rc, ERR_CONFLICT);
    assert_int_equal(take_away(dcs, "nowhere", DCS_ABSENT).is.rc, 0);
    FINISH(result,
           dcs->ops->put_sync(dcs, epoch, NULL, DCS_ABSENT, ASK_MS, on_done, &result, NULL));
    assert_int_equal(result.is.rc, ERR_CONFLICT);
    assert_int_equal(seen_count("DELETE"), 0);
    assert_non_null(store_find("config"));
    assert_non_null(store_find("sync"));
}

/* --- release, withdrawal ---------------------------------------------------------------------- */

/* It waits for its first answer while the key is lost and taken again. */
static void late_release_of_the_epoch_before_touches_nothing(void **state)
{
    static const struct {
        const char *method;
        const char *key;
    } steps[] = {{"PUT", "status"}, {"DELETE", "leader"}};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct result late = {0};
        want(steps[i].method, steps[i].key, HOLD);
        assert_int_equal(dcs->ops->release(dcs, epoch, "s", 10000, on_done, &late, NULL), 0);
        RUN_UNTIL(is_held);
        by_hand_delete("leader");
        RUN_UNTIL(key_is(dcs, "leader", NULL));
        int64_t next = lead();
        let_go();
        RUN_UNTIL(late.calls == 1);
        assert_int_equal(late.is.rc, ERR_CONFLICT);
        run_ms(50);
        assert_non_null(store_find("leader"));
        assert_int_equal(renew(dcs, next, TTL_MS).is.rc, 0);
        epoch = next;
    }
}

static void late_renewal_of_the_epoch_before_touches_nothing(void **state)
{
    struct result late = {0};
    (void)state;
    want("PUT", "leader", HOLD);
    assert_int_equal(dcs->ops->renew(dcs, epoch, TTL_MS, 10000, on_done, &late, NULL), 0);
    RUN_UNTIL(is_held);
    by_hand_delete("leader");
    RUN_UNTIL(key_is(dcs, "leader", NULL));
    int64_t next = lead();
    int64_t modified = store_find("leader")->modified;
    let_go();
    RUN_UNTIL(late.calls == 1);
    assert_int_equal(late.is.rc, ERR_CONFLICT);
    assert_int_equal(store_find("leader")->modified, modified);
    assert_int_equal(renew(dcs, next, TTL_MS).is.rc, 0);
}

/* It was applied, and the answer comes when that epoch is over: another one is held, or none. */
static void late_yes_to_a_renewal_of_the_epoch_before_does_not_count(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct result late = {0};
        want("PUT", "leader", APPLY_AND_HOLD);
        assert_int_equal(dcs->ops->renew(dcs, epoch, TTL_MS, 10000, on_done, &late, NULL), 0);
        RUN_UNTIL(is_held);
        if (i == 0) {
            by_hand_delete("leader");
            RUN_UNTIL(key_is(dcs, "leader", NULL));
            epoch = lead();
        } else {
            assert_int_equal(release(dcs, epoch, NULL).is.rc, 0);
        }
        tell_held();
        RUN_UNTIL(late.calls == 1);
        assert_int_equal(late.is.rc, ERR_CONFLICT);
        assert_int_equal(renew(dcs, epoch, TTL_MS).is.rc, i == 0 ? 0 : ERR_CONFLICT);
    }
}

/* --- the view --------------------------------------------------------------------------------- */

/* Less than was there before would be an etcd that was wiped. */
static void answer_that_does_not_say_of_when_it_is_tells_nothing(void **state)
{
    struct result result;
    (void)state;
    without_index = true;
    FINISH(result, dcs->ops->read(dcs, ASK_MS, on_view, &result, NULL));
    assert_int_equal(result.is.rc, ERR_UNAVAILABLE);
    assert_null(result.view);
    by_hand_delete("config");
    run_ms(300); /* the view's own ranges */
    assert_null(strstr(buf_str(&dcs_notes), "wiped"));
    assert_true(key_is(dcs, "leader", "n1") && key_is(dcs, "config", "{}"));
    without_index = false;
    RUN_UNTIL(key_is(dcs, "config", NULL));
    assert_int_equal(renew(dcs, epoch, TTL_MS).is.rc, 0);
}

/* The position of one release must not take the place of what a later primary has written. */
static void status_of_a_release_that_comes_late_is_refused(void **state)
{
    struct result result;
    (void)state;
    want("PUT", "status", HOLD);
    FINISH(result, dcs->ops->release(dcs, epoch, "old", 300, on_done, &result, NULL));
    store.revision++;
    store_put("status", "new", 0);
    let_go();
    assert_string_equal(store_find("status")->value, "new");
}

static void release_that_lost_its_answer_is_unknown(void **state)
{
    struct result result;
    (void)state;
    want("DELETE", "leader", APPLY_AND_HANG_UP);
    FINISH(result, dcs->ops->release(dcs, epoch, NULL, ASK_MS, on_done, &result, NULL));
    assert_int_equal(result.is.rc, ERR_UNKNOWN);
}

static void withdrawal_writes_first_and_reads_then(void **state)
{
    struct result result;
    (void)state;
    FINISH(result,
           dcs->ops->withdraw(dcs, "n1", DCS_ABSENT, epoch, ASK_MS, on_done, &result, NULL));
    assert_int_equal(result.is.rc, 0);
    const char *put_at = strstr(buf_str(&seen), "PUT " ROOT "reports/n1");
    assert_non_null(put_at);
    assert_non_null(strstr(put_at, "GET " ROOT "?recursive=true&quorum=true"));
    int64_t revision = store_find("reports/n1")->modified;
    want("PUT", "reports/n1", SAY); /* a yes that says nothing is none */
    said_status = 200;
    said = "{}";
    FINISH(result, dcs->ops->withdraw(dcs, "n1", revision, epoch, ASK_MS, on_done, &result, NULL));
    assert_int_equal(result.is.rc, ERR_UNKNOWN);
    wanted = SERVE;
    want("GET", "", SAY); /* `none` stands, and nobody says which epoch is */
    said_status = 500;
    said = "{\"errorCode\":300,\"message\":\"x\"}";
    FINISH(result, dcs->ops->withdraw(dcs, "n1", revision, epoch, 600, on_done, &result, NULL));
    assert_int_equal(result.is.rc, ERR_UNKNOWN);
}

static void closing_in_a_chain_ends_it_once(void **state)
{
    static const char *const keys[] = {"leader", "epoch", "sync"};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct result result = {0};
        const char *urls[] = {fakes[0].url};
        struct dcs_acquire how = wish(dcs, "n1", TTL_MS);
        how.report_count = 1;
        how.reports[0].member = "n2";
        want("PUT", keys[i], HOLD);
        assert_int_equal(dcs->ops->acquire(dcs, &how, ASK_MS, on_done, &result, NULL), 0);
        RUN_UNTIL(is_held);
        dcs->ops->free(dcs);
        RUN_UNTIL(result.calls == 1);
        assert_int_equal(result.is.rc, ERR_CANCELED);
        drop_held();
        run_ms(20);
        if (store_find("leader") != NULL) {
            by_hand_delete("leader");
        }
        dcs = dcs_start(ETCD_V2, urls, 1, "n1", 100);
        RUN_UNTIL(view_of(dcs) != NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        NEW(acquisition_is_made_in_the_order_of_rule_15),
        NEW(acquisition_that_stops_takes_its_key_back),
        NEW(order_that_stops_leaves_unfenced_behind),
        NEW(leader_stays_until_unfenced_stands_again),
        NEW(unfenced_is_put_again_until_somebody_says_that_it_stands),
        NEW(deletion_that_comes_late_does_not_hit_the_unfenced_of_after_it),
        LED(renewal_that_lost_its_answer_is_found_out_by_the_next),
        LED(renewal_that_is_held_up_is_void_after_the_next),
        LED(one_renewal_is_under_way_at_a_time),
        LED(what_says_nothing_of_the_key_loses_nothing),
        LED(key_that_somebody_else_made_is_lost),
        LED(key_that_names_somebody_else_is_lost),
        LED(key_that_was_to_be_absent_is_not_removed),
        LED(late_release_of_the_epoch_before_touches_nothing),
        LED(late_renewal_of_the_epoch_before_touches_nothing),
        LED(late_yes_to_a_renewal_of_the_epoch_before_does_not_count),
        LED(answer_that_does_not_say_of_when_it_is_tells_nothing),
        LED(status_of_a_release_that_comes_late_is_refused),
        LED(release_that_lost_its_answer_is_unknown),
        LED(withdrawal_writes_first_and_reads_then),
        NEW(closing_in_a_chain_ends_it_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
