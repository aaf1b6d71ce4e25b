/* When the leader key of etcd v3 is ours, and for how long: against members that change their
 * leader, answer for one another, and say what has nothing to do with it. */
#include "tests/unit/agent_dcs/lease_fixture.h"

static int64_t first_ms; /* lease clock when the first request came in; 0 = none yet */

static bool notes_the_first(struct fake *fake, struct fake_request *request)
{
    (void)fake;
    if (first_ms == 0 && json_object_get(request->body, "range_end") == NULL) {
        first_ms = clock_lease_ms(clock_real());
    }
    return false;
}

/* --- what counts ------------------------------------------------------------------------------ */

static void keepalive_counts_between_two_answers_of_one_member_in_one_term(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        uint64_t lease = lease_of_key();
        int64_t before = clock_lease_ms(clock_real());
        first_ms = 0;
        hook = notes_the_first;
        struct result result = renew(dcs, epoch, TTL_MS);
        assert_int_equal(result.is.rc, 0);
        assert_true(result.is.sent_ms >= before && result.is.sent_ms <= first_ms);
        assert_true(result.is.answered_ms >= result.is.sent_ms);
        assert_int_equal(lease_of_key(), lease);
    }
    assert_int_equal(grants(), 0);
    assert_int_equal(seen_count("/lease/keepalive"), 3);
}

static bool term_rises_after_the_keepalive(struct fake *fake, struct fake_request *request)
{
    if (!is_path(request, "/v3/lease/keepalive")) {
        return false;
    }
    fake_serve(fake, request);
    fakes[0].term++;
    fakes[1].term++;
    return true;
}

static void keepalive_before_a_new_term_does_not_count(void **state)
{
    uint64_t before = lease_of_key();
    (void)state;
    hook = term_rises_after_the_keepalive;
    int64_t began = clock_lease_ms(clock_real());
    struct result result = renew(dcs, epoch, TTL_MS);
    assert_int_equal(result.is.rc, 0);
    assert_int_equal(grants(), 1);
    assert_true(lease_of_key() != before);
    assert_true(result.is.sent_ms >= began);
    RUN_UNTIL(!lease_lives(before)); /* and the old one is not left behind */
    assert_int_equal(store_find(LEADER)->created, epoch);
}

static bool a_is_silent_to_keepalives(struct fake *fake, struct fake_request *request)
{
    return fake->name == 'a' && is_path(request, "/v3/lease/keepalive");
}

static void keepalive_of_another_member_does_not_count(void **state)
{
    uint64_t before = lease_of_key();
    (void)state;
    hook = a_is_silent_to_keepalives;
    struct result result = renew(dcs, epoch, TTL_MS);
    assert_int_equal(result.is.rc, 0);
    assert_int_equal(seen_count("b POST /v3/lease/keepalive"), 1);
    assert_int_equal(grants(), 1);
    assert_true(lease_of_key() != before);
}

/* b still follows the leader of before. Its answer is told from its term, and a is asked again: the
 * read of a, in a's term, must not make b's keepalive count. */
static void keepalive_of_a_member_left_behind_does_not_count(void **state)
{
    uint64_t before = lease_of_key();
    (void)state;
    hook = a_is_silent_to_keepalives;
    fakes[1].term = 4;
    struct result result = renew(dcs, epoch, TTL_MS);
    assert_int_equal(seen_count("b POST /v3/lease/keepalive"), 1);
    assert_true(result.is.rc != 0 || (grants() == 1 && lease_of_key() != before));
}

static bool keepalive_of_a_gives_a_short_ttl(struct fake *fake, struct fake_request *request)
{
    char header[256];
    if (!is_path(request, "/v3/lease/keepalive")) {
        return false;
    }
    fake_header(fake, header);
    fake_answer(request->peer, 200, "{\"result\":{%s,\"ID\":\"%s\",\"TTL\":\"3\"}}", header,
                text_in(request->body, "ID"));
    return true;
}

static void keepalive_for_less_than_the_ttl_does_not_count(void **state)
{
    (void)state;
    hook = keepalive_of_a_gives_a_short_ttl;
    assert_int_equal(renew(dcs, epoch, TTL_MS).is.rc, 0);
    assert_int_equal(grants(), 1);
}

static void another_ttl_is_another_lease(void **state)
{
    (void)state;
    for (int64_t ttl_ms = 5000; ttl_ms <= 20000; ttl_ms += 15000) { /* shorter, then longer */
        buf_clear(&seen);
        assert_int_equal(renew(dcs, epoch, ttl_ms).is.rc, 0);
        assert_int_equal(grants(), 1);
        assert_int_equal(store.ttls[lease_of_key()], ttl_ms / 1000);
        assert_int_equal(renew(dcs, epoch, ttl_ms).is.rc, 0);
        assert_int_equal(grants(), 1);
    }
}

/* An etcd with a long election timeout gives longer leases than were asked for. */
static bool grants_are_for_15_s_at_least(struct fake *fake, struct fake_request *request)
{
    char header[256];
    if (!is_path(request, "/v3/lease/grant")) {
        return false;
    }
    fake_header(fake, header);
    fake_answer(request->peer, 200, "{%s,\"ID\":\"%llu\",\"TTL\":\"15\"}", header,
                (unsigned long long)lease_grant(15));
    return true;
}

static void longer_lease_than_asked_for_is_kept(void **state)
{
    (void)state;
    hook = grants_are_for_15_s_at_least;
    assert_int_equal(renew(dcs, epoch, 5000).is.rc, 0);
    assert_int_equal(grants(), 1);
    assert_int_equal(renew(dcs, epoch, 5000).is.rc, 0);
    assert_int_equal(grants(), 1);
    assert_int_equal(renew(dcs, epoch, 6000).is.rc, 0);
    assert_int_equal(grants(), 2);
}

/* --- whose key it is -------------------------------------------------------------------------- */

static void key_that_is_gone_is_lost(void **state)
{
    (void)state;
    lease_end(lease_of_key());
    assert_int_equal(renew(dcs, epoch, TTL_MS).is.rc, ERR_CONFLICT);
    RUN_UNTIL(key_is(dcs, "leader", NULL));
    buf_clear(&seen);
    assert_int_equal(renew(dcs, epoch, TTL_MS).is.rc, ERR_CONFLICT); /* told by the view */
    assert_int_equal(seen_count("keepalive"), 0);
}

static void key_of_another_epoch_is_lost(void **state)
{
    uint64_t lease = lease_of_key();
    (void)state;
    store_delete(store_find(LEADER));
    store.revision++;
    store_put(LEADER, N1, lease); /* the same lease, the same name */
    assert_int_equal(renew(dcs, epoch, TTL_MS).is.rc, ERR_CONFLICT);
    assert_int_equal(grants(), 0);
}

static void key_that_names_somebody_else_is_lost(void **state)
{
    (void)state;
    store.revision++;
    store_put(LEADER, N2, lease_of_key());
    assert_int_equal(renew(dcs, epoch, TTL_MS).is.rc, ERR_CONFLICT);
    assert_int_equal(grants(), 0);
}

static void key_on_a_lease_of_somebody_else_is_lost(void **state)
{
    (void)state;
    store.revision++;
    store_put(LEADER, N1, lease_grant(60));
    assert_int_equal(renew(dcs, epoch, TTL_MS).is.rc, ERR_CONFLICT);
    store.revision++;
    store_put(LEADER, N1, 0);
    assert_int_equal(renew(dcs, epoch, TTL_MS).is.rc, ERR_CONFLICT);
}

static bool lease_is_not_known(struct fake *fake, struct fake_request *request)
{
    char header[256];
    if (!is_path(request, "/v3/lease/keepalive")) {
        return false;
    }
    fake_header(fake, header);
    fake_answer(request->peer, 200, "{\"result\":{%s,\"ID\":\"%s\"}}", header,
                text_in(request->body, "ID"));
    return true;
}

static bool lease_is_refused(struct fake *fake, struct fake_request *request)
{
    (void)fake;
    if (!is_path(request, "/v3/lease/keepalive")) {
        return false;
    }
    fake_tell_lease_gone(request->peer);
    return true;
}

/* A new leader of etcd that has not caught up yet: the key says otherwise. */
static void lease_that_one_member_does_not_know_is_replaced(void **state)
{
    (void)state;
    hook = lease_is_not_known;
    assert_int_equal(renew(dcs, epoch, TTL_MS).is.rc, 0);
    assert_int_equal(grants(), 1);
    hook = lease_is_refused;
    assert_int_equal(renew(dcs, epoch, TTL_MS).is.rc, 0);
    assert_int_equal(grants(), 2);
}

/* --- renewals that overlap -------------------------------------------------------------------- */

static struct fake_peer *late_peer;
static char *late_words;
static bool (*then)(struct fake *fake, struct fake_request *request);

/* The first read of the leader key is answered late, with what was true then. */
static bool first_read_is_held(struct fake *fake, struct fake_request *request)
{
    char header[256];
    struct buf kv = BUF_INIT;
    if (late_peer != NULL || !is_path(request, "/v3/kv/range") ||
        json_object_get(request->body, "range_end") != NULL) {
        return then != NULL && then(fake, request);
    }
    fake_header(fake, header);
    kv_print(&kv, store_find(LEADER));
    late_words = mem_printf("{%s,\"kvs\":[%s]}", header, buf_str(&kv));
    late_peer = request->peer;
    buf_free(&kv);
    return true;
}

static void say_late(void)
{
    fake_answer(late_peer, 200, "%s", late_words);
    mem_free(late_words);
    late_words = NULL;
}

/* Another renewal has let the key anew meanwhile, though its ttl is the same. */
static void overtake(struct result *late)
{
    late_peer = NULL;
    hook = first_read_is_held;
    then = NULL;
    *late = (struct result){0};
    assert_int_equal(dcs->ops->renew(dcs, epoch, TTL_MS, ASK_MS, on_done, late, NULL), 0);
    RUN_UNTIL(late_peer != NULL);
    uint64_t before = lease_of_key();
    then = lease_is_not_known;
    assert_int_equal(renew(dcs, epoch, TTL_MS).is.rc, 0);
    then = NULL;
    assert_true(lease_of_key() != before);
    RUN_UNTIL(!lease_lives(before));
}

/* It is no word about the key, and its keepalive was for a lease that is gone: it counts only if it
 * puts the key on another one itself. */
static void read_that_is_overtaken_by_another_renewal_is_made_good(void **state)
{
    struct result late;
    (void)state;
    overtake(&late);
    uint64_t lease = lease_of_key();
    size_t granted = grants();
    say_late();
    RUN_UNTIL(late.calls == 1);
    assert_int_equal(late.is.rc, 0);
    assert_true(grants() > granted && lease_of_key() != lease);
    assert_true(lease_lives(lease_of_key()));
    assert_int_equal(store.ttls[lease_of_key()], TTL_MS / 1000);
    RUN_UNTIL(!lease_lives(lease));
    uint64_t next = lease_of_key();
    assert_int_equal(renew(dcs, epoch, TTL_MS).is.rc, 0); /* by a keepalive again */
    assert_int_equal(lease_of_key(), next);
    size_t alive = 0; /* none is left behind */
    for (size_t i = 1; i < FAKE_LEASES_MAX; i++) {
        alive += store.leases[i] != 0;
    }
    assert_int_equal(alive, 1);
}

static void read_that_is_overtaken_does_not_hide_that_the_key_is_lost(void **state)
{
    struct result late;
    (void)state;
    overtake(&late);
    store.revision++;
    store_put(LEADER, N2, lease_of_key());
    say_late();
    RUN_UNTIL(late.calls == 1);
    assert_int_equal(late.is.rc, ERR_CONFLICT);
    assert_string_equal(store_find(LEADER)->value, N2);
}

/* A permission that was taken away, a proxy that has lost its way: no word about the key. It is for
 * the deadlines to stop us then. */
static void what_says_nothing_of_the_key_loses_nothing(void **state)
{
    static const struct {
        int status;
        const char *words;
    } cases[] = {
        {403, "{\"error\":\"etcdserver: permission denied\",\"code\":7}"},
        {401, "{\"error\":\"etcdserver: invalid auth token\",\"code\":16}"},
        {429, "{\"error\":\"etcdserver: too many requests\",\"code\":8}"},
        {404, "Not Found"},
        {400, "Bad Request"},
        {200, "<html>"},
        {200, "{}"},
    };
    static const char *const paths[] = {"/v3/lease/keepalive", "/v3/kv/range", "/v3/lease/grant",
                                        "/v3/kv/txn"};
    struct result result;
    (void)state;
    hook = says_no;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (size_t j = 0; j < sizeof paths / sizeof paths[0]; j++) {
            no_status = cases[i].status;
            no_words = cases[i].words;
            no_path = paths[j];
            /* another ttl: it is let anew */
            FINISH(result, dcs->ops->renew(dcs, epoch, TTL_MS + (j > 1 ? 1000 : 0), 300, on_done,
                                           &result, NULL));
            bool counted = j == 0 && result.is.rc == 0; /* let anew instead */
            if (!counted && result.is.rc != ERR_UNAVAILABLE && result.is.rc != ERR_UNKNOWN) {
                fail_msg("%s %d %s: %s", paths[j], no_status, no_words, result.text);
            }
            no_path = "";
            assert_int_equal(renew(dcs, epoch, TTL_MS).is.rc, 0);
        }
    }
}

/* --- acquire and release ---------------------------------------------------------------------- */

static void acquisition_counts_from_before_its_grant(void **state)
{
    (void)state;
    int64_t before = clock_lease_ms(clock_real());
    struct dcs_acquire wanted = wish(dcs, "n1", 4200);
    first_ms = 0;
    hook = notes_the_first;
    struct result result = acquire(dcs, &wanted);
    assert_int_equal(result.is.rc, 0);
    assert_true(result.is.sent_ms >= before && result.is.sent_ms <= first_ms);
    assert_int_equal(store.ttls[lease_of_key()], 5); /* whole seconds, up */
    assert_int_equal(result.is.revision, store_find(LEADER)->created);
}

static void acquisition_that_is_not_answered_is_unknown_and_its_lease_revoked(void **state)
{
    static const struct {
        int status;
        const char *words;
    } cases[] = {{500, "{\"error\":\"x\",\"code\":2}"}, {200, "{}"}, {200, "x"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        hook = says_no;
        no_path = "/v3/kv/txn";
        no_status = cases[i].status;
        no_words = cases[i].words;
        struct dcs_acquire wanted = wish(dcs, "n1", TTL_MS);
        struct result result = acquire(dcs, &wanted);
        assert_int_equal(result.is.rc, ERR_UNKNOWN);
        uint64_t lease = store.next_lease;
        RUN_UNTIL(!lease_lives(lease));
    }
}

static void acquisition_that_comes_second_is_told_and_leaves_no_lease(void **state)
{
    (void)state;
    struct dcs_acquire wanted = wish(dcs, "n1", TTL_MS);
    store.revision++;
    store_put(LEADER, N2, 0);
    assert_int_equal(acquire(dcs, &wanted).is.rc, ERR_CONFLICT);
    uint64_t lease = store.next_lease;
    RUN_UNTIL(!lease_lives(lease));
}

/* A renewal of the epoch before is answered when the key has been lost and taken again. */
static void late_answer_of_the_epoch_before_touches_nothing(void **state)
{
    struct result late = {0};
    char header[256];
    (void)state;
    hook = txn_is_held;
    txns_to_hold = 1;
    assert_int_equal(dcs->ops->renew(dcs, epoch, TTL_MS + 1000, ASK_MS, on_done, &late, NULL), 0);
    RUN_UNTIL(txns_to_hold == 0);
    assert_true(apply_held());
    lease_end(lease_of_key()); /* by hand */
    RUN_UNTIL(key_is(dcs, "leader", NULL));
    struct dcs_acquire wanted = wish(dcs, "n1", TTL_MS);
    struct result result = acquire(dcs, &wanted);
    assert_int_equal(result.is.rc, 0);
    uint64_t lease = lease_of_key();
    fake_header(&fakes[0], header);
    fake_answer(open_peer, 200, "{%s,\"succeeded\":true}", header);
    RUN_UNTIL(late.calls == 1);
    assert_int_equal(late.is.rc, ERR_CONFLICT);
    run_ms(50);
    assert_true(lease_lives(lease) && lease_of_key() == lease);
    assert_int_equal(renew(dcs, result.is.revision, TTL_MS).is.rc, 0);
}

static void late_release_of_the_epoch_before_touches_nothing(void **state)
{
    struct result late = {0};
    char header[256];
    (void)state;
    hook = txn_is_held;
    txns_to_hold = 1;
    assert_int_equal(dcs->ops->release(dcs, epoch, NULL, ASK_MS, on_done, &late, NULL), 0);
    RUN_UNTIL(txns_to_hold == 0);
    lease_end(lease_of_key());
    RUN_UNTIL(key_is(dcs, "leader", NULL));
    struct dcs_acquire wanted = wish(dcs, "n1", TTL_MS);
    assert_int_equal(acquire(dcs, &wanted).is.rc, 0);
    uint64_t lease = lease_of_key();
    assert_false(apply_held());
    fake_header(&fakes[0], header);
    fake_answer(open_peer, 200, "{%s}", header);
    RUN_UNTIL(late.calls == 1);
    assert_int_equal(late.is.rc, ERR_CONFLICT);
    run_ms(50);
    assert_true(lease_lives(lease) && lease_of_key() == lease);
}

static void release_takes_the_key_and_its_lease(void **state)
{
    uint64_t lease = lease_of_key();
    (void)state;
    assert_int_equal(release(dcs, epoch, "{\"optime\":7}").is.rc, 0);
    assert_null(store_find(LEADER));
    RUN_UNTIL(!lease_lives(lease));
    assert_int_equal(renew(dcs, epoch, TTL_MS).is.rc, ERR_CONFLICT);
    assert_int_equal(release(dcs, epoch, NULL).is.rc, ERR_CONFLICT);
}

static void closing_ends_what_is_under_way(void **state)
{
    struct result renewal = {0};
    struct result acquisition = {0};
    (void)state;
    hook = txn_is_held;
    txns_to_hold = 2;
    struct dcs_acquire wanted = wish(dcs, "n1", TTL_MS);
    assert_int_equal(dcs->ops->renew(dcs, epoch, TTL_MS + 1000, ASK_MS, on_done, &renewal, NULL),
                     0);
    assert_int_equal(dcs->ops->acquire(dcs, &wanted, ASK_MS, on_done, &acquisition, NULL), 0);
    RUN_UNTIL(txns_to_hold == 1);
    json_t *first = open_txn;
    RUN_UNTIL(txns_to_hold == 0);
    json_decref(first);
    json_decref(open_txn);
    open_txn = NULL;
    close_dcs();
    RUN_UNTIL(renewal.calls == 1 && acquisition.calls == 1);
    assert_int_equal(renewal.is.rc, ERR_CANCELED);
    assert_int_equal(acquisition.is.rc, ERR_CANCELED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LED(keepalive_counts_between_two_answers_of_one_member_in_one_term),
        LED(keepalive_before_a_new_term_does_not_count),
        LED(keepalive_of_another_member_does_not_count),
        LED(keepalive_of_a_member_left_behind_does_not_count),
        LED(keepalive_for_less_than_the_ttl_does_not_count),
        LED(another_ttl_is_another_lease),
        LED(longer_lease_than_asked_for_is_kept),
        LED(key_that_is_gone_is_lost),
        LED(key_of_another_epoch_is_lost),
        LED(key_that_names_somebody_else_is_lost),
        LED(key_on_a_lease_of_somebody_else_is_lost),
        LED(lease_that_one_member_does_not_know_is_replaced),
        LED(read_that_is_overtaken_by_another_renewal_is_made_good),
        LED(read_that_is_overtaken_does_not_hide_that_the_key_is_lost),
        LED(what_says_nothing_of_the_key_loses_nothing),
        NEW(acquisition_counts_from_before_its_grant),
        NEW(acquisition_that_is_not_answered_is_unknown_and_its_lease_revoked),
        NEW(acquisition_that_comes_second_is_told_and_leaves_no_lease),
        LED(late_answer_of_the_epoch_before_touches_nothing),
        LED(late_release_of_the_epoch_before_touches_nothing),
        LED(release_takes_the_key_and_its_lease),
        LED(closing_ends_what_is_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
