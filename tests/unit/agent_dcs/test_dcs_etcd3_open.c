/* The leader key of etcd v3 where nobody says what became of a write of it: what is under way at
 * the same time, what another run of the agent had sent, and what comes late. */
#include "tests/unit/agent_dcs/lease_fixture.h"

/* --- what is left open ------------------------------------------------------------------------ */

/* Lets the key anew, by another ttl, and nobody says what became of the put. */
static void leave_a_put_open(void)
{
    struct result result = {0};
    hook = txn_is_held;
    txns_to_hold = 1;
    assert_int_equal(dcs->ops->renew(dcs, epoch, TTL_MS + 1000, ASK_MS, on_done, &result, NULL), 0);
    RUN_UNTIL(txns_to_hold == 0);
    fake_hang_up(open_peer);
    RUN_UNTIL(result.calls == 1);
    assert_int_equal(result.is.rc, ERR_UNKNOWN);
    buf_clear(&seen);
}

static void after_a_put_left_open_no_keepalive_counts(void **state)
{
    (void)state;
    leave_a_put_open();
    struct result result = renew(dcs, epoch, TTL_MS);
    assert_int_equal(result.is.rc, 0);
    assert_int_equal(grants(), 1); /* another put went through */
    uint64_t lease = lease_of_key();
    assert_false(apply_held()); /* so this one cannot any more */
    assert_int_equal(lease_of_key(), lease);
    assert_int_equal(renew(dcs, epoch, TTL_MS).is.rc, 0);
    assert_int_equal(grants(), 1); /* now they count again */
}

static void put_left_open_that_was_applied_is_overwritten(void **state)
{
    (void)state;
    leave_a_put_open();
    assert_true(apply_held());
    assert_int_equal(renew(dcs, epoch, TTL_MS).is.rc, 0);
    assert_int_equal(grants(), 1);
}

static bool held_comes_before_the_next(struct fake *fake, struct fake_request *request)
{
    (void)fake;
    if (is_path(request, "/v3/kv/txn") && open_txn != NULL) {
        assert_true(apply_held());
    }
    return false;
}

static void put_left_open_that_comes_in_between_is_overwritten(void **state)
{
    (void)state;
    leave_a_put_open();
    hook = held_comes_before_the_next;
    assert_int_equal(renew(dcs, epoch, TTL_MS).is.rc, 0);
    assert_int_equal(grants(), 2);
    buf_clear(&seen);
    assert_int_equal(renew(dcs, epoch, TTL_MS).is.rc, 0);
    assert_int_equal(grants(), 0);
}

/* "raft proposal dropped", a proxy's 200: neither is a no. */
static void answers_to_a_put_that_say_nothing_leave_it_open(void **state)
{
    static const struct {
        int status;
        const char *words;
    } cases[] = {{500, "{\"error\":\"x\",\"code\":2}"},
                 {503, "{\"error\":\"etcdserver: request timed out\",\"code\":14}"},
                 {200, "{}"},
                 {200, "<html>"}};
    struct result result;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        hook = says_no;
        no_path = "/v3/kv/txn";
        no_status = cases[i].status;
        no_words = cases[i].words;
        FINISH(result, dcs->ops->renew(dcs, epoch, TTL_MS + 1000, ASK_MS, on_done, &result, NULL));
        assert_int_equal(result.is.rc, ERR_UNKNOWN);
        hook = NULL;
        buf_clear(&seen);
        assert_int_equal(renew(dcs, epoch, TTL_MS).is.rc, 0);
        assert_int_equal(seen_count("keepalive"), 0);
        assert_int_equal(grants(), 1);
    }
}

static void no_renewal_is_sent_while_a_put_is_under_way(void **state)
{
    struct result first = {0};
    struct result second = {0};
    (void)state;
    hook = txn_is_held;
    txns_to_hold = 1;
    assert_int_equal(dcs->ops->renew(dcs, epoch, TTL_MS + 1000, ASK_MS, on_done, &first, NULL), 0);
    RUN_UNTIL(txns_to_hold == 0);
    buf_clear(&seen);
    assert_int_equal(dcs->ops->renew(dcs, epoch, TTL_MS, ASK_MS, on_done, &second, NULL),
                     ERR_UNAVAILABLE);
    run_ms(20);
    assert_int_equal(seen_count("keepalive"), 0);
    assert_true(apply_held());
    char header[256];
    fake_header(&fakes[0], header);
    fake_answer(open_peer, 200, "{%s,\"succeeded\":true}", header);
    RUN_UNTIL(first.calls == 1);
    assert_int_equal(first.is.rc, 0);
    assert_int_equal(second.calls, 0);
}

static struct fake_peer *kept_peers[2];
static int kept_count;

static bool keepalives_are_held(struct fake *fake, struct fake_request *request)
{
    (void)fake;
    if (!is_path(request, "/v3/lease/keepalive") || kept_count == 2) {
        return false;
    }
    kept_peers[kept_count++] = request->peer;
    return true;
}

/* Two renewals overlap, and etcd has a new leader: one of them puts the key on a new lease, and the
 * other one's keepalive was for the old. */
static void one_of_two_renewals_lets_the_key_anew(void **state)
{
    struct result results[2] = {{0}};
    char header[256];
    uint64_t before = lease_of_key();
    (void)state;
    kept_count = 0;
    hook = keepalives_are_held;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(dcs->ops->renew(dcs, epoch, TTL_MS, ASK_MS, on_done, &results[i], NULL),
                         0);
    }
    RUN_UNTIL(kept_count == 2);
    fakes[0].term++;
    fake_header(&fakes[0], header);
    for (int i = 0; i < 2; i++) {
        fake_answer(kept_peers[i], 200, "{\"result\":{%s,\"ID\":\"%llu\",\"TTL\":\"10\"}}", header,
                    (unsigned long long)before);
    }
    hook = txn_is_held;
    txns_to_hold = 1;
    RUN_UNTIL(txns_to_hold == 0 && results[0].calls + results[1].calls == 1);
    struct result *other = results[0].calls == 1 ? &results[0] : &results[1];
    struct result *one = other == &results[0] ? &results[1] : &results[0];
    assert_int_equal(other->is.rc, ERR_UNKNOWN);
    assert_int_equal(grants(), 1);
    assert_true(apply_held());
    fake_header(&fakes[0], header);
    fake_answer(open_peer, 200, "{%s,\"succeeded\":true}", header);
    RUN_UNTIL(one->calls == 1);
    assert_int_equal(one->is.rc, 0);
    assert_true(lease_of_key() != before && lease_lives(lease_of_key()));
    assert_int_equal(renew(dcs, epoch, TTL_MS).is.rc, 0);
    assert_int_equal(grants(), 1);
}

static struct fake_peer *read_peer;
static struct buf read_answer; /* as the key was when it was read */

static bool read_is_held(struct fake *fake, struct fake_request *request)
{
    char header[256];
    if (!is_path(request, "/v3/kv/range") || json_object_get(request->body, "range_end") != NULL ||
        read_peer != NULL) {
        return txn_is_held(fake, request);
    }
    read_peer = request->peer;
    fake_header(fake, header);
    buf_clear(&read_answer);
    buf_printf(&read_answer, "{%s,\"kvs\":[", header);
    kv_print(&read_answer, store_find(LEADER));
    buf_put_str(&read_answer, "]}");
    return true;
}

static void renewal_up_to_its_read(struct result *result)
{
    *result = (struct result){0};
    hook = read_is_held;
    read_peer = NULL;
    txns_to_hold = 0;
    assert_int_equal(dcs->ops->renew(dcs, epoch, TTL_MS, ASK_MS, on_done, result, NULL), 0);
    RUN_UNTIL(read_peer != NULL);
}

static void answer_read(struct result *result)
{
    fake_answer_with(read_peer, 200, "", buf_str(&read_answer));
    RUN_UNTIL(result->calls == 1);
    buf_free(&read_answer);
}

/* Its keepalive and its read were there before the put that is open now, and say nothing of what
 * that will do. */
static void renewal_under_way_when_a_put_is_left_open_does_not_count(void **state)
{
    struct result first;
    struct result second = {0};
    (void)state;
    renewal_up_to_its_read(&first);
    txns_to_hold = 1;
    assert_int_equal(dcs->ops->renew(dcs, epoch, TTL_MS + 1000, ASK_MS, on_done, &second, NULL), 0);
    RUN_UNTIL(txns_to_hold == 0);
    fake_hang_up(open_peer);
    RUN_UNTIL(second.calls == 1);
    assert_int_equal(second.is.rc, ERR_UNKNOWN);
    buf_clear(&seen);
    answer_read(&first);
    assert_true(first.is.rc != 0 || grants() == 1);
    json_decref(open_txn);
    open_txn = NULL;
}

/* Its keepalive was for the lease that the key has left. */
static void renewal_under_way_when_the_key_changes_its_lease_does_not_count(void **state)
{
    struct result first;
    char header[256];
    (void)state;
    renewal_up_to_its_read(&first);
    assert_int_equal(renew(dcs, epoch, TTL_MS + 1000).is.rc, 0);
    assert_int_equal(grants(), 1);
    fake_header(&fakes[0], header); /* it is read only now */
    buf_clear(&read_answer);
    buf_printf(&read_answer, "{%s,\"kvs\":[", header);
    kv_print(&read_answer, store_find(LEADER));
    buf_put_str(&read_answer, "]}");
    answer_read(&first);
    assert_true(first.is.rc != 0 || grants() == 2);
}

static void renewal_under_way_at_a_release_does_not_count(void **state)
{
    struct result first;
    (void)state;
    renewal_up_to_its_read(&first);
    assert_int_equal(release(dcs, epoch, NULL).is.rc, 0);
    buf_clear(&seen);
    answer_read(&first);
    assert_int_equal(first.is.rc, ERR_CONFLICT);
    assert_int_equal(grants(), 0);
}

/* --- another run of the agent ----------------------------------------------------------------- */

/* What the run before had sent may still come: its put, or the end of a lease. */
static void agent_that_has_started_puts_the_key_on_a_lease_of_its_own(void **state)
{
    uint64_t before = lease_of_key();
    (void)state;
    close_dcs();
    open_dcs();
    RUN_UNTIL(key_is(dcs, "leader", "n1"));
    buf_clear(&seen);
    assert_int_equal(renew(dcs, epoch, TTL_MS).is.rc, 0);
    assert_int_equal(seen_count("keepalive"), 0);
    assert_int_equal(grants(), 1);
    assert_true(lease_of_key() != before);
    assert_int_equal(store_find(LEADER)->created, epoch);
    assert_int_equal(renew(dcs, epoch, TTL_MS).is.rc, 0);
    assert_int_equal(grants(), 1);
}

static void put_of_the_run_before_comes_too_late(void **state)
{
    (void)state;
    leave_a_put_open();
    close_dcs();
    hook = NULL;
    open_dcs();
    RUN_UNTIL(key_is(dcs, "leader", "n1"));
    assert_int_equal(renew(dcs, epoch, TTL_MS).is.rc, 0);
    uint64_t lease = lease_of_key();
    assert_false(apply_held());
    assert_int_equal(lease_of_key(), lease);
}

static bool revocations_are_lost(struct fake *fake, struct fake_request *request)
{
    if (is_path(request, "/v3/lease/revoke")) {
        return true;
    }
    return txn_is_held(fake, request);
}

/* Nobody answers an acquisition, its lease is to be revoked, and the key shows up all the same. The
 * revocation may come at any time: the key must not hang on that lease when it counts. */
static void key_of_an_acquisition_left_open_is_put_on_another_lease(void **state)
{
    struct result result = {0};
    (void)state;
    hook = revocations_are_lost;
    txns_to_hold = 1;
    struct dcs_acquire wanted = wish(dcs, "n1", TTL_MS);
    assert_int_equal(dcs->ops->acquire(dcs, &wanted, ASK_MS, on_done, &result, NULL), 0);
    RUN_UNTIL(txns_to_hold == 0);
    assert_true(apply_held());
    uint64_t doomed = lease_of_key();
    fake_hang_up(open_peer);
    RUN_UNTIL(result.calls == 1);
    assert_int_equal(result.is.rc, ERR_UNKNOWN);
    RUN_UNTIL(seen_count("/lease/revoke") > 0);
    RUN_UNTIL(key_is(dcs, "leader", "n1"));
    epoch = key_of(dcs, "leader")->create_revision;
    assert_int_equal(renew(dcs, epoch, TTL_MS).is.rc, 0);
    assert_true(lease_of_key() != doomed);
    lease_end(doomed); /* here it comes */
    assert_non_null(store_find(LEADER));
    assert_int_equal(renew(dcs, epoch, TTL_MS).is.rc, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LED(after_a_put_left_open_no_keepalive_counts),
        LED(put_left_open_that_was_applied_is_overwritten),
        LED(put_left_open_that_comes_in_between_is_overwritten),
        LED(answers_to_a_put_that_say_nothing_leave_it_open),
        LED(no_renewal_is_sent_while_a_put_is_under_way),
        LED(one_of_two_renewals_lets_the_key_anew),
        LED(renewal_under_way_when_a_put_is_left_open_does_not_count),
        LED(renewal_under_way_when_the_key_changes_its_lease_does_not_count),
        LED(renewal_under_way_at_a_release_does_not_count),
        LED(agent_that_has_started_puts_the_key_on_a_lease_of_its_own),
        LED(put_of_the_run_before_comes_too_late),
        NEW(key_of_an_acquisition_left_open_is_put_on_another_lease),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
