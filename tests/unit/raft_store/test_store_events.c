/* Watches: what they hear, in whole revisions and bounded portions; leases as clients see them. */
#include "client_fixture.h"

static void a_watch_hears_what_it_asked_for(void **state)
{
    struct pair *pair = *state;
    (void)open_format_2(pair);
    TXN_IS(pair, "@3 yes{put@3: ; put@3: }", c_put("b", "1"), c_put("a", "1"));
    TXN_IS(pair, "@4 yes{put@4: }", c_put("a", "2"));
    TXN_IS(pair, "@5 yes{delete@5#2: }", c_delete("a", "c"));
    TXN_IS(pair, "@6 yes{put@6: }", c_put("a", "3"));
    restart_other(pair);
    for (int round = 0; round < 2; round++) {
        const struct store *store = round == 0 ? pair->store : pair->other;
        events_are(store, (struct store_watch){EVERYTHING}, 3,
                   "put@3 b=1(3,3,1) put@3 a=1(3,3,1) put@4 a=2(3,4,2) delete@5 a delete@5 b "
                   "put@6 a=3(6,6,1) ");
        events_are(store, (struct store_watch){EVERYTHING, .prev_kv = true}, 4,
                   "put@4 a=2(3,4,2) was a=1(3,3,1) delete@5 a was a=2(3,4,2) delete@5 b was "
                   "b=1(3,3,1) put@6 a=3(6,6,1) ");
        events_are(store, (struct store_watch){.key = span_str("a")}, 4,
                   "put@4 a=2(3,4,2) delete@5 a put@6 a=3(6,6,1) ");
        events_are(store, (struct store_watch){.key = span_str("a"), .no_put = true}, 2,
                   "delete@5 a ");
        events_are(store, (struct store_watch){EVERYTHING, .no_delete = true}, 5,
                   "put@6 a=3(6,6,1) ");
        events_are(store, (struct store_watch){EVERYTHING}, 7, "");
        events_are(store, (struct store_watch){EVERYTHING}, 1, "not found");
    }
}

static void portions_are_whole_revisions_and_bounded(void **state)
{
    struct pair *pair = *state;
    struct store_watch watch = {.key = span_str("k"), .range_end = span_str("l")};
    struct store_events events;
    (void)open_format_2(pair);
    for (int i = 0; i < 10; i++) { /* revisions 3..12, three events each */
        struct store_client_op ops[] = {c_put("k1", "v"), c_put("k2", "v"), c_put("x", "v")};
        struct store_client_txn txn = {.success = ops, .success_count = 3};
        struct store_command command = {.type = STORE_CLIENT_TXN, .client_txn = &txn};
        assert_int_equal(apply_pair(pair, &command, NULL).code, 0);
    }
    static const struct {
        size_t events_max;
        size_t bytes_max;
        int64_t next;
        size_t count;
    } cases[] = {{1, 1000, 4, 2}, {3, 1000, 4, 2}, {4, 1000, 5, 4}, {1000, 1, 4, 2},
                 {1000, 6, 4, 2}, {1000, 7, 5, 4}, {0, 0, 4, 2},    {30, 1000, 13, 20}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(store_events(pair->store, &watch, 3, cases[i].events_max,
                                      cases[i].bytes_max, &events, NULL),
                         0);
        assert_int_equal(events.next_revision, cases[i].next);
        assert_int_equal(events.kvs.count, cases[i].count);
        store_events_close(&events);
    }
    /* From portion to portion everything comes once. */
    size_t seen = 0;
    int64_t from = 3;
    while (from <= store_revision(pair->store)) {
        assert_int_equal(store_events(pair->store, &watch, from, 5, 1000, &events, NULL), 0);
        assert_true(events.next_revision > from);
        from = events.next_revision;
        seen += events.kvs.count;
        store_events_close(&events);
    }
    assert_int_equal(seen, 20);
    assert_int_equal(from, 13);
    /* What it does not care for is passed over; the future waits where it is. */
    watch.key = span_str("y");
    watch.range_end = span_of(NULL, 0);
    assert_int_equal(store_events(pair->store, &watch, 3, 1000, 1000, &events, NULL), 0);
    assert_int_equal(events.next_revision, 13);
    assert_int_equal(events.kvs.count, 0);
    store_events_close(&events);
    assert_int_equal(store_events(pair->store, &watch, 40, 1000, 1000, &events, NULL), 0);
    assert_int_equal(events.next_revision, 40);
    store_events_close(&events);
}

/* The watcher of a revision that changed more than the window holds still gets all of it. */
static void the_newest_revision_is_never_cut(void **state)
{
    struct pair *pair = *state;
    static struct store_client_op ops[STORE_TXN_ITEMS_MAX];
    static char keys[STORE_TXN_ITEMS_MAX][16];
    struct store_client_txn txn = {.success = ops, .success_count = COUNT(ops)};
    struct store_command command = {.type = STORE_CLIENT_TXN, .client_txn = &txn};
    struct store_events events;
    for (unsigned i = 0; i < 5000 / STORE_TXN_ITEMS_MAX + 1; i++) {
        for (unsigned j = 0; j < STORE_TXN_ITEMS_MAX; j++) {
            (void)snprintf(keys[j], sizeof(keys[j]), "k%07u", i * STORE_TXN_ITEMS_MAX + j);
            ops[j] = c_put(keys[j], "v");
        }
        assert_int_equal(apply_pair(pair, &command, NULL).code, 0);
    }
    size_t count = (5000 / STORE_TXN_ITEMS_MAX + 1) * STORE_TXN_ITEMS_MAX;
    int64_t before = store_revision(pair->store);
    ops[0] = c_delete("k", "l");
    txn.success_count = 1;
    assert_int_equal(apply_pair(pair, &command, NULL).code, 0);
    assert_int_equal(store_compacted(pair->store), before + 1);
    restart_other(pair);
    struct store_watch watch = {EVERYTHING, .prev_kv = true};
    assert_int_equal(store_events(pair->other, &watch, before + 1, 10, 10, &events, NULL), 0);
    assert_int_equal(events.kvs.count, count);
    assert_int_equal(events.next_revision, before + 2);
    struct store_event event;
    assert_false(store_events_get(&events, 0, &event, NULL)); /* compacted */
    store_events_close(&events);
    ops[0] = c_put("k0000003", "new");
    assert_int_equal(apply_pair(pair, &command, NULL).code, 0);
    restart_other(pair);
    events_are(pair->other, (struct store_watch){EVERYTHING}, before + 2,
               "put@44 k0000003=new(44,44,1) ");
}

static void operations_of_the_agent_are_events_too(void **state)
{
    struct pair *pair = *state;
    struct store_op twice[] = {op_put("a", "1", 0), op_put("a", "2", 0), op_delete("a"),
                               op_put("a", "3", 0)};
    struct store_command command = {.type = STORE_TXN, .success = twice, .success_count = 4};
    (void)open_format_2(pair);
    assert_int_equal(apply_pair(pair, &command, NULL).revision, 3);
    restart_other(pair);
    events_are(pair->other, (struct store_watch){EVERYTHING, .prev_kv = true}, 3,
               "put@3 a=1(3,3,1) put@3 a=2(3,3,2) delete@3 a put@3 a=3(3,3,1) ");
    assert_int_equal(apply_pair(pair, &command, NULL).revision, 4);
    restart_other(pair);
    events_are(pair->other, (struct store_watch){EVERYTHING, .prev_kv = true}, 4,
               "put@4 a=1(3,4,2) was a=3(3,3,1) put@4 a=2(3,4,3) was a=3(3,3,1) delete@4 a was "
               "a=3(3,3,1) put@4 a=3(4,4,1) was a=3(3,3,1) ");
    struct store_command compact = {.type = STORE_COMPACT, .number = 4};
    assert_int_equal(apply_pair(pair, &compact, NULL).code, 0);
    restart_other(pair);
    events_are(pair->other, (struct store_watch){EVERYTHING, .prev_kv = true}, 4,
               "put@4 a=1(3,4,2) put@4 a=2(3,4,3) delete@4 a put@4 a=3(4,4,1) ");
    range_is(pair->other, (struct store_range){EVERYTHING, .revision = 4}, "#1: a=3(4,4,1) ");
}

/* --- leases ----------------------------------------------------------------------------------- */

static void the_end_of_a_lease_deletes_its_keys_in_order(void **state)
{
    struct pair *pair = *state;
    struct store_command grant_command = {.type = STORE_LEASE_GRANT, .lease = 7, .ttl_ms = 5000};
    (void)open_format_2(pair);
    assert_int_equal(apply_pair(pair, &grant_command, NULL).revision, 2);
    assert_int_equal(apply_pair(pair, &grant_command, NULL).code, ERR_EXISTS);
    TXN_IS(pair, "@3 yes{put@3: }", c_put_lease("z", "1", 7));
    TXN_IS(pair, "@4 yes{put@4: ; put@4: }", c_put_lease("b", "1", 7), c_put("m", "1"));
    TXN_IS(pair, "@5 yes{put@5: }", c_put_lease("a", "1", 7));
    restart_other(pair);
    struct store_kvs keys;
    struct buf text = BUF_INIT;
    store_lease_keys(pair->other, 7, &keys);
    put_kvs(&text, &keys);
    assert_string_equal(buf_str(&text), "a=1(5,5,1,7) b=1(4,4,1,7) z=1(3,3,1,7) ");
    store_kvs_close(&keys);
    buf_free(&text);
    store_lease_keys(pair->other, 8, &keys);
    assert_int_equal(keys.count, 0);
    struct store_command revoke_command = {.type = STORE_LEASE_REVOKE, .lease = 7};
    assert_int_equal(apply_pair(pair, &revoke_command, NULL).revision, 6);
    assert_int_equal(apply_pair(pair, &revoke_command, NULL).code, ERR_NOT_FOUND);
    events_are(pair->store, (struct store_watch){EVERYTHING, .prev_kv = true}, 6,
               "delete@6 a was a=1(5,5,1,7) delete@6 b was b=1(4,4,1,7) delete@6 z was "
               "z=1(3,3,1,7) ");
    assert_int_equal(apply_pair(pair, &grant_command, NULL).revision, 6);
    assert_int_equal(apply_pair(pair, &revoke_command, NULL).revision, 6); /* nothing on it */
}

static void a_keepalive_renews_by_the_ttl_that_is_there(void **state)
{
    struct pair *pair = *state;
    struct store_output *output = store_output_new();
    struct store_command grant_command = {.type = STORE_LEASE_GRANT, .lease = 7, .ttl_ms = 5000};
    struct store_command keepalive = {.type = STORE_LEASE_KEEPALIVE, .lease = 7};
    assert_int_equal(apply_pair(pair, &keepalive, output).code, ERR_NOT_FOUND);
    assert_int_equal(apply_pair(pair, &grant_command, NULL).code, 0);
    uint64_t granted = lease_of(pair->store, 7).renewal_number;
    store_leases_note(pair->store, 1000);
    assert_int_equal(store_lease_remaining_ms(pair->store, 7, 4000), 2000);
    assert_int_equal(store_lease_remaining_ms(pair->store, 7, 7000), 0);
    assert_int_equal(store_lease_remaining_ms(pair->store, 8, 4000), -1);
    assert_int_equal(apply_pair(pair, &keepalive, output).code, 0);
    assert_int_equal(output->ttl_ms, 5000);
    assert_int_equal(store_lease_remaining_ms(pair->store, 7, 4000), 5000); /* not noted yet */
    store_leases_note(pair->store, 4000);
    assert_int_equal(store_lease_remaining_ms(pair->store, 7, 4001), 4999);
    assert_int_equal(expire(pair->store, 7, granted).code, ERR_NOT_FOUND);
    (void)expire(pair->other, 7, granted);
    assert_int_equal(lease_of(pair->store, 7).renewal_number, granted + 1);
    grant_command = (struct store_command){.type = STORE_LEASE_GRANT,
                                           .actor = span_str("n1"),
                                           .lease = 8,
                                           .ttl_ms = 5000,
                                           .flags = STORE_LEASE_HOLDER};
    assert_int_equal(apply_pair(pair, &grant_command, NULL).code, 0);
    keepalive.lease = 8;
    assert_int_equal(apply_pair(pair, &keepalive, NULL).code, ERR_REFUSED);
    keepalive.actor = span_str("n1");
    assert_int_equal(apply_pair(pair, &keepalive, NULL).code, ERR_REFUSED);
    store_output_unref(output);
}

static void ids_and_ttls_are_what_etcd_grants(void **state)
{
    struct pair *pair = *state;
    assert_int_equal(store_lease_id(pair->store, 5), 5);
    assert_int_equal(store_lease_id(pair->store, 0), 1);
    assert_int_equal(store_lease_id(pair->store, UINT64_MAX), INT64_MAX);
    struct store_command grant_command = {
        .type = STORE_LEASE_GRANT, .lease = INT64_MAX, .ttl_ms = 5000};
    assert_int_equal(apply_pair(pair, &grant_command, NULL).code, 0);
    assert_int_equal(store_lease_id(pair->store, UINT64_MAX), 1);
    assert_int_equal(store_lease_ttl_ms(0, 1000), 2000);
    assert_int_equal(store_lease_ttl_ms(-3, 500), 1000);
    assert_int_equal(store_lease_ttl_ms(2, 1000), 2000);
    assert_int_equal(store_lease_ttl_ms(30, 1000), 30000);
    assert_int_equal(store_lease_ttl_ms(STORE_LEASE_TTL_S_MAX, 1000), STORE_LEASE_TTL_MS_MAX);
}

/* On a lease with few of all keys, and on one with many. */
static void keys_of_a_lease_come_in_order(void **state)
{
    enum { KEYS = 97, FEW = 3 };
    struct pair *pair = *state;
    (void)open_format_2(pair);
    for (uint64_t lease = 7; lease <= 8; lease++) {
        struct store_command grant_command = {
            .type = STORE_LEASE_GRANT, .lease = lease, .ttl_ms = 5000};
        assert_int_equal(apply_pair(pair, &grant_command, NULL).code, 0);
    }
    for (int i = 0; i < KEYS; i++) {
        char key[8];
        int place = i * 31 % KEYS;
        (void)snprintf(key, sizeof key, "k%02d", place);
        struct store_client_op op = c_put_lease(key, "v", place % (KEYS / FEW) == 0 ? 7 : 8);
        struct store_client_txn txn = {.success = &op, .success_count = 1};
        struct store_command command = {.type = STORE_CLIENT_TXN, .client_txn = &txn};
        assert_int_equal(apply_pair(pair, &command, NULL).code, 0);
    }
    size_t all = 0;
    for (uint64_t lease = 7; lease <= 8; lease++) {
        struct store_kvs keys;
        struct span before = span_of(NULL, 0);
        store_lease_keys(pair->store, lease, &keys);
        for (size_t i = 0; i < keys.count; i++) {
            struct store_kv kv;
            store_kvs_get(&keys, i, &kv);
            assert_int_equal(kv.lease, lease);
            assert_true(span_compare(before, kv.key) < 0);
            before = kv.key;
        }
        all += keys.count;
        assert_true(lease == 7 ? keys.count <= FEW + 1 : keys.count >= KEYS - FEW - 1);
        store_kvs_close(&keys);
    }
    assert_int_equal(all, KEYS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PAIR_TEST(a_watch_hears_what_it_asked_for),
        PAIR_TEST(portions_are_whole_revisions_and_bounded),
        PAIR_TEST(the_newest_revision_is_never_cut),
        PAIR_TEST(operations_of_the_agent_are_events_too),
        PAIR_TEST(the_end_of_a_lease_deletes_its_keys_in_order),
        PAIR_TEST(a_keepalive_renews_by_the_ttl_that_is_there),
        PAIR_TEST(ids_and_ttls_are_what_etcd_grants),
        PAIR_TEST(keys_of_a_lease_come_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
