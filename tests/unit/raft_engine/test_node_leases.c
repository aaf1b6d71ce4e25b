/* Leases of a whole group on a fake environment: who counts them, and from when. */
#include "tests/unit/raft_engine/fake_group.h"

#include "raft/engine/log_command.h"

static void grant(struct fake_group *group, struct fake_node *fake, uint64_t lease, int64_t ttl_ms)
{
    struct fake_call call = {0};
    struct store_command command = {.type = STORE_LEASE_GRANT, .lease = lease, .ttl_ms = ttl_ms};
    assert_int_equal(raft_node_propose(fake->node, &command, 1000, 0, fake_done, &call, NULL), 0);
    while (call.times == 0) {
        fake_run(group, 1);
    }
    assert_int_equal(call.rc, 0);
    assert_int_equal(call.result.code, 0);
}

static bool lease_lives(struct fake_node *fake, uint64_t lease)
{
    struct store_lease found;
    return store_lease_get(raft_node_store(fake->node), lease, &found);
}

static void a_lease_that_nobody_renews_is_expired_after_its_ttl(void **state)
{
    (void)state;
    struct fake_node *leader = fake_group_led(3, 14);
    struct fake_group *group = leader->group;
    fake_run(group, 1000);
    grant(group, leader, 7, 3000);
    fake_run(group, 2990);
    assert_true(lease_lives(leader, 7));
    fake_run(group, 100);
    assert_false(lease_lives(leader, 7));
    fake_check_equal(group);
    fake_group_free(group);
}

static void a_lease_ends_in_time_though_the_raft_leader_dies_with_its_holder(void **state)
{
    (void)state;
    struct fake_node *leader = fake_group_led(3, 15);
    struct fake_group *group = leader->group;
    struct fake_node *other = &group->nodes[leader->id % 3];
    fake_run(group, 1000);
    grant(group, leader, 7, 3000);
    fake_run(group, 10);
    fake_crash(leader, 0);
    fake_run(group, 2950);
    assert_true(lease_lives(other, 7));
    fake_run(group, 150);
    assert_false(lease_lives(other, 7));
    fake_group_free(group);
}

static void a_restart_and_a_suspension_count_a_lease_afresh(void **state)
{
    (void)state;
    struct fake_group *group = fake_group_led(1, 16)->group;
    struct fake_node *fake = &group->nodes[0];
    fake_run(group, 500);
    grant(group, fake, 7, 3000);
    fake_run(group, 2000);
    fake_crash(fake, 0);
    fake_start_node(fake);
    fake_run(group, 2500); /* 4500 since the grant, 2500 since the start */
    assert_true(lease_lives(fake, 7));
    group->suspended += 60000; /* the lease clock jumps, and the wait begins anew */
    fake_run(group, 2500);
    assert_true(lease_lives(fake, 7));
    fake_run(group, 1000);
    assert_false(lease_lives(fake, 7));
    fake_group_free(group);
}

static void a_lease_that_came_with_a_snapshot_is_counted_from_then(void **state)
{
    (void)state;
    struct fake_group *group = fake_group_new(3, 30);
    struct store_lease lease;
    group->threshold = 8;
    group->trailing = 2;
    struct fake_node *leader = fake_lead(group);
    struct fake_node *away = &group->nodes[leader->id % 3];
    fake_run(group, 1000);
    away->cut = true;
    grant(group, leader, 7, 60000);
    fake_put_many(leader, 40, 10);
    int64_t before = group->now;
    away->cut = false;
    fake_run(group, 2000);
    assert_true(group->sent[PEER_SNAPSHOT] > 0);
    assert_true(store_lease_get(raft_node_store(away->node), 7, &lease));
    assert_true(lease.applied_at_ms >= before);
    fake_group_free(group);
}

static void a_plain_client_cannot_touch_what_belongs_to_a_member(void **state)
{
    (void)state;
    struct fake_node *leader = fake_group_led(3, 34);
    struct fake_group *group = leader->group;
    struct fake_call call = {0};
    struct store_command command = {.type = STORE_LEASE_GRANT,
                                    .lease = 7,
                                    .ttl_ms = 30000,
                                    .flags = STORE_LEASE_HOLDER,
                                    .stamp = 1};
    assert_int_equal(raft_node_propose(leader->node, &command, 1000, 0, fake_done, &call, NULL), 0);
    fake_run(group, 50);
    assert_int_equal(call.result.code, 0);
    command.type = STORE_LEASE_REVOKE;
    assert_int_equal(raft_node_propose_plain(leader->node, &command, 1000, fake_done, &call, NULL),
                     0);
    fake_run(group, 50);
    assert_int_equal(call.times, 2);
    assert_int_equal(call.result.code, ERR_REFUSED);
    assert_true(lease_lives(leader, 7));
    fake_group_free(group);
}

/* --- renewals in a burst of others' writes, by what is in the log before them -------------------
 */

#define BURST 600

static struct fake_call writes[BURST];

static void put_plain_value(struct fake_node *fake, size_t i, struct span value)
{
    struct store_op op = {.type = STORE_OP_PUT, .key = span_str("k"), .value = value};
    struct store_command command = {.type = STORE_TXN, .success = &op, .success_count = 1};
    writes[i] = (struct fake_call){0};
    assert_int_equal(
        raft_node_propose_plain(fake->node, &command, 5000, fake_done, &writes[i], NULL), 0);
}

static void put_plain(struct fake_node *fake, size_t i)
{
    char value[16];
    (void)snprintf(value, sizeof value, "%zu", i);
    put_plain_value(fake, i, span_str(value));
}

static void renew(struct fake_node *fake, struct fake_call *call)
{
    struct store_command command = {.type = STORE_LEASE_RENEW, .lease = 7, .ttl_ms = 30000};
    *call = (struct fake_call){0};
    assert_int_equal(raft_node_propose(fake->node, &command, 5000, 0, fake_done, call, NULL), 0);
}

/* Commands that are not committed and stand before the n-th of `type`; -1 if it is not in the log.
 */
static int ahead_of(const struct raft_node *node, enum store_command_type type, unsigned number)
{
    int ahead = 0;
    for (uint64_t i = node->commit_index + 1; i <= log_cache_last(&node->cache); i++) {
        const struct log_entry *entry = log_cache_get(&((struct raft_node *)node)->cache, i);
        struct log_command command;
        bool is_command = entry->type == RAFT_COMMAND &&
                          log_command_decode(span_of(entry->data, entry->len), &command) == 0;
        if (is_command && command.command.data[1] == type && --number == 0) {
            return ahead;
        }
        ahead += is_command;
    }
    return -1;
}

static int ahead_of_renewal(const struct raft_node *node, unsigned number)
{
    return ahead_of(node, STORE_LEASE_RENEW, number);
}

/* Its own, and one that a follower forwards, while nothing is committed. */
static void a_burst_of_plain_writes_stands_behind_a_renewal_but_for_what_is_in_the_log(void **state)
{
    (void)state;
    struct fake_node *leader = fake_group_led(3, 41);
    struct fake_group *group = leader->group;
    struct fake_node *other = &group->nodes[leader->id % 3];
    struct fake_call own;
    struct fake_call forwarded;
    fake_run(group, 1000);
    grant(group, leader, 7, 30000);
    fake_run(group, 50);
    for (size_t i = 0; i < 3; i++) {
        group->nodes[i].disk_stopped = true;
    }
    for (size_t i = 0; i < BURST; i++) {
        put_plain(leader, i);
    }
    fake_run(group, 5);
    renew(leader, &own);
    fake_run(group, 2);
    renew(other, &forwarded);
    fake_run(group, 5);
    int ahead = ahead_of_renewal(leader->node, 2);
    print_message("%d and %d commands stand before the two\n", ahead_of_renewal(leader->node, 1),
                  ahead);
    assert_true(ahead > 0);
    assert_true(ahead < 256 + NODE_SUBMIT_ENTRIES_MAX); /* what a follower may be sent at once */
    for (size_t i = 0; i < 3; i++) {
        group->nodes[i].disk_stopped = false;
    }
    fake_run(group, 400);
    assert_int_equal(own.times + forwarded.times, 2);
    assert_int_equal(own.result.code + forwarded.result.code, 0);
    for (size_t i = 0; i < BURST; i++) {
        assert_true(writes[i].times == 1 && writes[i].rc == 0 && writes[i].result.code == 0);
        assert_true(i == 0 || writes[i].result.revision == writes[i - 1].result.revision + 1);
    }
    assert_true(fake_has(other, "k", "599"));
    fake_check_equal(group);
    fake_group_free(group);
}

/* Of a few large ones it is the bytes that are bounded. */
static void large_plain_writes_stand_behind_a_renewal_but_for_a_few_mib(void **state)
{
    (void)state;
    enum { WRITES = 200, BYTES = 64 * 1024 };
    static uint8_t value[BYTES];
    struct fake_node *leader = fake_group_led(3, 45);
    struct fake_group *group = leader->group;
    struct fake_call call;
    fake_run(group, 1000);
    grant(group, leader, 7, 30000);
    fake_run(group, 50);
    for (size_t i = 0; i < 3; i++) {
        group->nodes[i].disk_stopped = true;
    }
    for (size_t i = 0; i < WRITES; i++) {
        put_plain_value(leader, i, span_of(value, sizeof value));
    }
    fake_run(group, 5);
    renew(leader, &call);
    fake_run(group, 5);
    int ahead = ahead_of_renewal(leader->node, 1);
    print_message("%d commands of 64 KiB stand before it\n", ahead);
    assert_true(ahead > 0);
    assert_true((size_t)ahead * BYTES <= NODE_UNCOMMITTED_BYTES_MAX + NODE_SUBMIT_BYTES_MAX);
    for (size_t i = 0; i < 3; i++) {
        group->nodes[i].disk_stopped = false;
    }
    fake_run(group, 400);
    assert_int_equal(call.times, 1);
    assert_int_equal(call.result.code, 0);
    for (size_t i = 0; i < WRITES; i++) {
        assert_true(writes[i].times == 1 && writes[i].rc == 0 && writes[i].result.code == 0);
    }
    fake_check_equal(group);
    fake_group_free(group);
}

static void a_renewal_of_the_same_moment_goes_before_plain_writes(void **state)
{
    (void)state;
    struct fake_node *leader = fake_group_led(3, 42);
    struct fake_group *group = leader->group;
    struct fake_call call;
    fake_run(group, 1000);
    grant(group, leader, 7, 30000);
    fake_run(group, 50);
    leader->disk_stopped = true;
    for (size_t i = 0; i < 100; i++) {
        put_plain(leader, i);
    }
    renew(leader, &call);
    raft_node_tick(leader->node);
    assert_int_equal(ahead_of_renewal(leader->node, 1), 0);
    leader->disk_stopped = false;
    fake_run(group, 200);
    assert_int_equal(call.times, 1);
    assert_true(fake_has(leader, "k", "99"));
    fake_group_free(group);
}

static void grant_plain(struct fake_group *group, struct fake_node *fake, uint64_t lease,
                        int64_t ttl_ms)
{
    struct fake_call call = {0};
    struct store_command command = {.type = STORE_LEASE_GRANT, .lease = lease, .ttl_ms = ttl_ms};
    assert_int_equal(raft_node_propose_plain(fake->node, &command, 1000, fake_done, &call, NULL),
                     0);
    fake_run(group, 50);
    assert_int_equal(call.times, 1);
    assert_int_equal(call.result.code, 0);
}

/* It waits behind plain writes, and the proposals of its lease's end come after it. */
static void an_etcd_clients_renewal_is_not_overtaken_by_the_end_of_its_lease(void **state)
{
    (void)state;
    struct fake_node *leader = fake_group_led(3, 43);
    struct fake_group *group = leader->group;
    struct store_command command = {.type = STORE_LEASE_RENEW, .lease = 8, .ttl_ms = 3000};
    struct fake_call call = {0};
    fake_run(group, 1000);
    grant_plain(group, leader, 8, 3000);
    grant(group, leader, 7, 3050);
    fake_run(group, 2930);
    for (size_t i = 0; i < 3; i++) {
        group->nodes[i].disk_stopped = true;
    }
    for (size_t i = 0; i < BURST; i++) {
        put_plain(leader, i);
    }
    fake_run(group, 5);
    assert_int_equal(raft_node_propose_plain(leader->node, &command, 5000, fake_done, &call, NULL),
                     0);
    fake_run(group, 140); /* every member has counted the ttl of both */
    assert_true(lease_lives(leader, 7) && lease_lives(leader, 8));
    assert_int_equal(call.times, 0);
    for (size_t i = 0; i < 3; i++) {
        group->nodes[i].disk_stopped = false;
    }
    fake_run(group, 400);
    assert_int_equal(call.times, 1);
    assert_int_equal(call.result.code, 0);
    assert_true(lease_lives(leader, 8));
    assert_false(lease_lives(leader, 7));
    fake_check_equal(group);
    fake_group_free(group);
}

/* The end of an agent's lease waits for no write: a failover hangs on it. */
static void the_end_of_an_agents_lease_goes_before_plain_writes(void **state)
{
    (void)state;
    struct fake_node *leader = fake_group_led(3, 44);
    struct fake_group *group = leader->group;
    fake_run(group, 1000);
    grant(group, leader, 7, 3000);
    fake_run(group, 2950);
    for (size_t i = 0; i < 3; i++) {
        group->nodes[i].disk_stopped = true;
    }
    for (size_t i = 0; i < BURST; i++) {
        put_plain(leader, i);
    }
    fake_run(group, 100);
    int ahead = ahead_of(leader->node, STORE_LEASE_EXPIRE, 1);
    assert_true(ahead > 0 && ahead < 256 + NODE_SUBMIT_ENTRIES_MAX);
    for (size_t i = 0; i < 3; i++) {
        group->nodes[i].disk_stopped = false;
    }
    fake_run(group, 400);
    assert_false(lease_lives(leader, 7));
    fake_group_free(group);
}

/* Nor for those of others, of which there may be any number. */
static void ends_of_plain_leases_leave_room_for_an_agents(void **state)
{
    (void)state;
    struct fake_node *leader = fake_group_led(3, 45);
    struct fake_group *group = leader->group;
    struct fake_call calls[NODE_EXPIRES_MAX + 8] = {0};
    fake_run(group, 1000);
    for (uint64_t i = 0; i < NODE_EXPIRES_MAX + 8; i++) {
        struct store_command command = {
            .type = STORE_LEASE_GRANT, .lease = 100 + i, .ttl_ms = 3000};
        assert_int_equal(
            raft_node_propose_plain(leader->node, &command, 1000, fake_done, &calls[i], NULL), 0);
    }
    fake_run(group, 50);
    grant(group, leader, 7, 3000);
    fake_run(group, 2900);
    for (size_t i = 0; i < 3; i++) {
        group->nodes[i].disk_stopped = true;
    }
    fake_run(group, 200);
    assert_true(lease_lives(leader, 100) && lease_lives(leader, 7));
    unsigned plain = 0;
    unsigned agents = 0;
    for (size_t i = 0; i < NODE_EXPIRES_MAX; i++) {
        plain += leader->node->expires[i].lease >= 100;
        agents += leader->node->expires[i].lease == 7;
    }
    assert_int_equal(plain, NODE_EXPIRES_PLAIN_MAX);
    assert_int_equal(agents, 1);
    for (size_t i = 0; i < 3; i++) {
        group->nodes[i].disk_stopped = false;
    }
    fake_run(group, 3000);
    for (uint64_t i = 0; i < NODE_EXPIRES_MAX + 8; i++) {
        assert_false(lease_lives(leader, 100 + i));
    }
    assert_false(lease_lives(leader, 7));
    fake_check_equal(group);
    fake_group_free(group);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lease_that_nobody_renews_is_expired_after_its_ttl),
        cmocka_unit_test(a_lease_ends_in_time_though_the_raft_leader_dies_with_its_holder),
        cmocka_unit_test(a_restart_and_a_suspension_count_a_lease_afresh),
        cmocka_unit_test(a_lease_that_came_with_a_snapshot_is_counted_from_then),
        cmocka_unit_test(a_plain_client_cannot_touch_what_belongs_to_a_member),
        cmocka_unit_test(
            a_burst_of_plain_writes_stands_behind_a_renewal_but_for_what_is_in_the_log),
        cmocka_unit_test(large_plain_writes_stand_behind_a_renewal_but_for_a_few_mib),
        cmocka_unit_test(a_renewal_of_the_same_moment_goes_before_plain_writes),
        cmocka_unit_test(an_etcd_clients_renewal_is_not_overtaken_by_the_end_of_its_lease),
        cmocka_unit_test(the_end_of_an_agents_lease_goes_before_plain_writes),
        cmocka_unit_test(ends_of_plain_leases_leave_room_for_an_agents),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
