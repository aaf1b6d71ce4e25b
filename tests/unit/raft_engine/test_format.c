/* Commands of clients of etcd's API through a whole group: format 2 of the store is opened when
 * every member knows it, the member that proposed gets the outputs, and a member that was away
 * comes back to the same state. */
#include "tests/unit/raft_engine/fake_group.h"

#include "raft/store_client.h"

struct call {
    unsigned times;
    int rc;
    struct store_result result; /* its output is ours to let go */
};

static void on_done(void *arg, int rc, const struct store_result *result)
{
    struct call *call = arg;
    call->times++;
    call->rc = rc;
    if (result != NULL) {
        call->result = *result;
        if (result->output != NULL) {
            (void)store_output_ref(result->output);
        }
    }
}

/* A put and a range over everything. */
static int propose(struct fake_node *fake, const char *key, struct call *call, struct error *err)
{
    struct store_client_op ops[] = {
        {.type = STORE_CLIENT_PUT, .range = {.key = span_str(key)}, .value = span_str("v")},
        {.type = STORE_CLIENT_RANGE,
         .range = {.key = span_of("\0", 1), .range_end = span_of("\0", 1), .keys_only = true}},
    };
    struct store_client_txn txn = {.success = ops, .success_count = 2};
    struct store_command command = {.type = STORE_CLIENT_TXN, .client_txn = &txn};
    *call = (struct call){.times = 0};
    return raft_node_propose_plain(fake->node, &command, 1000, on_done, call, err);
}

static void open_format(struct fake_node *fake)
{
    struct call call = {.times = 0};
    struct error err = {0};
    if (raft_node_open_format_2(fake->node, 1000, on_done, &call, &err) != 0) {
        fail_msg("%s", err.text);
    }
    fake_run(fake->group, 100);
    assert_int_equal(call.times, 1);
    assert_int_equal(call.rc, 0);
    store_output_unref(call.result.output);
    assert_int_equal(store_format(raft_node_store(fake->node)), 2);
}

static void format_2_opens_when_every_member_knows_it(void **state)
{
    (void)state;
    struct fake_node *leader = fake_group_led(3, 1);
    struct fake_group *group = leader->group;
    struct call call;
    struct error err = {0};
    struct fake_node *other = &group->nodes[leader->id % 3];
    fake_run(group, 4 * FAKE_ET);
    assert_int_equal(propose(leader, "a", &call, &err), ERR_UNAVAILABLE);
    other->cut = true;
    assert_int_equal(raft_node_open_format_2(leader->node, 1000, on_done, &call, &err),
                     ERR_UNAVAILABLE);
    assert_non_null(strstr(err.text, other->name));
    assert_non_null(strstr(err.text, "start it"));
    assert_int_equal(propose(leader, "a", &call, &err), ERR_UNAVAILABLE);
    other->cut = false;
    fake_run(group, 4 * FAKE_ET);
    open_format(other); /* anyone may */
    fake_run(group, 100);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(store_format(raft_node_store(group->nodes[i].node)), 2);
    }
    other->cut = true; /* it is open: nobody is asked again */
    open_format(fake_elect(group, 4 * FAKE_ET));
    fake_group_free(group);
}

/* It would take the entries for nothing and go on with another state. */
static void a_member_that_does_not_know_it_gets_nothing_any_more(void **state)
{
    (void)state;
    struct fake_node *leader = fake_group_led(3, 5);
    struct fake_group *group = leader->group;
    struct error err = {0};
    struct call call = {.times = 0};
    struct fake_node *old = &group->nodes[leader->id % 3];
    fake_run(group, 4 * FAKE_ET);
    old->old = true;
    assert_int_equal(raft_node_open_format_2(leader->node, 1000, on_done, &call, &err),
                     ERR_UNAVAILABLE);
    old->old = false;
    open_format(leader);
    fake_run(group, 100);
    fake_crash(old, SIZE_MAX);
    old->old = true;
    fake_start_node(old);
    assert_int_equal(propose(leader, "a", &call, &err), 0);
    fake_run(group, 10 * FAKE_ET);
    assert_int_equal(call.times, 1);
    assert_int_equal(call.rc, 0);
    store_output_unref(call.result.output);
    assert_true(fake_has(leader, "a", "v"));
    assert_false(fake_has(old, "a", "v"));
    struct fake_node *stranger = fake_add_node(group);
    stranger->old = true;
    fake_start_node(stranger);
    leader = fake_leader(group);
    assert_int_equal(raft_node_add(leader->node, stranger->id, on_done, &call, &err), ERR_BUSY);
    old->old = false; /* the new program again */
    fake_run(group, 20 * FAKE_ET);
    assert_true(fake_has(old, "a", "v"));
    fake_group_free(group);
}

static void the_member_that_proposed_gets_the_output(void **state)
{
    (void)state;
    struct fake_node *leader = fake_group_led(3, 2);
    struct fake_group *group = leader->group;
    struct error err = {0};
    struct call calls[3];
    open_format(leader);
    fake_run(group, 100);
    for (size_t i = 0; i < 3; i++) {
        char key[8];
        (void)snprintf(key, sizeof(key), "k%zu", i);
        assert_int_equal(propose(&group->nodes[i], key, &calls[i], &err), 0);
        fake_run(group, 100);
        assert_int_equal(calls[i].times, 1);
        assert_int_equal(calls[i].rc, 0);
        assert_int_equal(calls[i].result.code, 0);
        assert_non_null(calls[i].result.output);
    }
    fake_check_equal(group);
    struct store_command revoke = {.type = STORE_LEASE_REVOKE, .lease = 1};
    struct call call = {.times = 0};
    assert_int_equal(raft_node_propose_plain(leader->node, &revoke, 1000, on_done, &call, &err), 0);
    fake_run(group, 100);
    assert_int_equal(call.times, 1);
    assert_null(call.result.output); /* a command of format 1 gives none */
    fake_group_free(group);
    for (size_t i = 0; i < 3; i++) { /* and what was kept outlives the group */
        const struct store_op_output *range = &calls[i].result.output->txn.ops[1];
        assert_int_equal(range->count, i + 1);
        assert_int_equal(range->kvs.count, i + 1);
        struct store_kv kv;
        store_kvs_get(&range->kvs, i, &kv);
        assert_int_equal(kv.key.data[1], '0' + i);
        store_output_unref(calls[i].result.output);
    }
}

static void outputs_of_callbacks_that_never_came_are_freed(void **state)
{
    (void)state;
    struct fake_node *only = fake_group_led(1, 3);
    struct fake_group *group = only->group;
    struct error err = {0};
    struct call calls[4];
    open_format(only);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(propose(only, "k", &calls[i], &err), 0);
    }
    fake_crash(only, 0);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(calls[i].times, 1);
        store_output_unref(calls[i].result.output);
    }
    fake_group_free(group);
}

static void a_member_that_was_away_gets_the_window_with_the_snapshot(void **state)
{
    (void)state;
    struct fake_group *group = fake_group_new(3, 4);
    struct error err = {0};
    struct call call;
    group->threshold = 8;
    group->trailing = 2;
    struct fake_node *leader = fake_lead(group);
    open_format(leader);
    struct fake_node *away = &group->nodes[leader->id % 3];
    int64_t from = store_revision(raft_node_store(leader->node));
    away->cut = true;
    for (int i = 0; i < 30; i++) {
        assert_int_equal(propose(leader, i % 2 == 0 ? "a" : "b", &call, &err), 0);
        fake_run(group, 20);
        assert_int_equal(call.times, 1);
        store_output_unref(call.result.output);
    }
    fake_crash(away, 0);
    fake_start_node(away);
    away->cut = false;
    fake_run(group, 20 * FAKE_ET);
    assert_true(away->disk.has_snapshot);
    fake_check_equal(group);
    struct store_events events;
    struct store_watch watch = {.key = span_of("\0", 1), .range_end = span_of("\0", 1)};
    assert_int_equal(
        store_events(raft_node_store(away->node), &watch, from + 1, 100, 1000, &events, &err), 0);
    assert_int_equal(events.kvs.count, 30);
    store_events_close(&events);
    fake_group_free(group);
}

static void check_client_urls(struct fake_node *fake, uint64_t of, const char *urls)
{
    struct store_member members[STORE_MEMBERS_MAX];
    size_t count = store_members(raft_node_store(fake->node), members, STORE_MEMBERS_MAX);
    for (size_t i = 0; i < count; i++) {
        if (members[i].id == of) {
            assert_true(span_equal_str(members[i].client_urls, urls));
            assert_true(members[i].name.len > 0 && members[i].address.len > 0);
            return;
        }
    }
    fail_msg("no record of %llu", (unsigned long long)of);
}

static void a_member_publishes_where_it_serves_clients_and_takes_it_back(void **state)
{
    (void)state;
    struct fake_group *group = fake_group_new(3, 9);
    group->nodes[0].client_urls = "http://a:1,http://b:2";
    group->nodes[1].client_urls = "http://c:3";
    struct fake_node *leader = fake_lead(group);
    fake_run(group, 4 * FAKE_ET);
    check_client_urls(leader, 1, ""); /* a member of the release before knows nothing of them */
    open_format(leader);
    fake_run(group, 4 * FAKE_ET);
    check_client_urls(&group->nodes[2], 1, "http://a:1,http://b:2");
    check_client_urls(&group->nodes[2], 2, "http://c:3");
    check_client_urls(&group->nodes[2], 3, "");
    uint64_t index = store_applied(raft_node_store(leader->node));
    fake_run(group, 10 * FAKE_ET);
    assert_int_equal(store_applied(raft_node_store(leader->node)), index); /* told once */
    fake_crash(&group->nodes[0], SIZE_MAX);
    group->nodes[0].client_urls = NULL; /* it serves them no more */
    fake_run(group, 4 * FAKE_ET);
    check_client_urls(&group->nodes[2], 1, "http://a:1,http://b:2"); /* it may only be down */
    fake_start_node(&group->nodes[0]);
    fake_run(group, 20 * FAKE_ET);
    check_client_urls(&group->nodes[2], 1, "");
    check_client_urls(&group->nodes[2], 2, "http://c:3");
    fake_group_free(group);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(format_2_opens_when_every_member_knows_it),
        cmocka_unit_test(a_member_that_does_not_know_it_gets_nothing_any_more),
        cmocka_unit_test(the_member_that_proposed_gets_the_output),
        cmocka_unit_test(outputs_of_callbacks_that_never_came_are_freed),
        cmocka_unit_test(a_member_that_was_away_gets_the_window_with_the_snapshot),
        cmocka_unit_test(a_member_publishes_where_it_serves_clients_and_takes_it_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
