/* An orderly stop: a leader hands its office over before it goes. On the fake environment. */
#include "tests/unit/raft_engine/fake_group.h"

enum { HAND_OVER_MS = 30 };

struct retirement {
    struct fake_node *fake;
    struct fake_call call;
    int64_t answered;
    bool ends_process; /* as soon as it is answered */
};

static void on_retired(void *arg, int rc, const struct store_result *result)
{
    struct retirement *retirement = arg;
    fake_done(&retirement->call, rc, result);
    retirement->answered = retirement->fake->group->now;
    if (retirement->ends_process) {
        raft_node_stop(retirement->fake->node);
        retirement->fake->node = NULL;
        retirement->fake->arm_at = -1;
    }
}

static void retire(struct retirement *retirement, struct fake_node *fake, int64_t timeout_ms)
{
    retirement->fake = fake;
    raft_node_retire(fake->node, timeout_ms, on_retired, retirement);
}

/* As the agent does it: the answer to the last write asks for the end. */
static void on_last_write(void *arg, int rc, const struct store_result *result)
{
    struct retirement *retirement = arg;
    (void)result;
    assert_int_equal(rc, 0);
    retire(retirement, retirement->fake, FAKE_ET);
}

static void write_and_retire(struct retirement *retirement)
{
    struct store_op op = {.type = STORE_OP_PUT, .key = span_str("last"), .value = span_str("1")};
    struct store_command command = {.type = STORE_TXN, .success = &op, .success_count = 1};
    assert_int_equal(raft_node_propose(retirement->fake->node, &command, 1000, 0, on_last_write,
                                       retirement, NULL),
                     0);
}

static struct fake_node *quiet_leader(struct fake_group *group)
{
    struct fake_node *leader = fake_lead(group);
    fake_run(group, 1000);
    return leader;
}

static void a_leader_that_retires_leaves_a_leader_that_has_its_last_write(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct fake_group *group = fake_group_new(3, seed);
        struct fake_node *leader = quiet_leader(group);
        struct retirement retirement = {.fake = leader, .ends_process = true};
        write_and_retire(&retirement);
        fake_run(group, HAND_OVER_MS);
        assert_int_equal(retirement.call.times, 1);
        assert_int_equal(retirement.call.rc, 0);
        struct fake_node *next = fake_leader(group);
        assert_non_null(next);
        assert_ptr_not_equal(next, leader);
        assert_true(node_own_term_committed(next->node));
        for (size_t i = 0; i < 3; i++) {
            assert_true(&group->nodes[i] == leader || fake_has(&group->nodes[i], "last", "1"));
        }
        fake_group_free(group);
    }
}

/* The successor's first commit needs the one that leaves. */
static void with_one_of_three_dead_it_stays_until_its_successor_has_committed(void **state)
{
    (void)state;
    struct fake_group *group = fake_group_new(3, 5);
    struct fake_node *leader = quiet_leader(group);
    fake_crash(&group->nodes[leader->id % 3], 0);
    struct retirement retirement = {.fake = leader, .ends_process = true};
    write_and_retire(&retirement);
    fake_run(group, HAND_OVER_MS);
    assert_int_equal(retirement.call.times, 1);
    struct fake_node *next = fake_leader(group);
    assert_non_null(next);
    assert_true(node_own_term_committed(next->node));
    assert_true(fake_has(next, "last", "1"));
    fake_group_free(group);
}

static void what_others_write_meanwhile_is_written_by_the_successor(void **state)
{
    (void)state;
    enum { WRITES = 200 };
    struct fake_group *group = fake_group_new(3, 6);
    struct fake_node *leader = quiet_leader(group);
    static struct fake_call calls[WRITES];
    struct retirement retirement = {.fake = leader};
    char key[16];
    for (int i = 0; i < WRITES; i++) {
        snprintf(key, sizeof key, "k%d", i);
        fake_put(&group->nodes[(leader->id + (uint64_t)i % 2) % 3], key, "1", 2000, 0, &calls[i]);
        if (i == WRITES / 2) {
            retire(&retirement, leader, FAKE_ET);
        }
        fake_run(group, 1);
    }
    assert_int_equal(retirement.call.rc, 0);
    assert_int_equal(retirement.call.times, 1);
    assert_ptr_not_equal(fake_leader(group), leader);
    fake_run(group, 1000);
    for (int i = 0; i < WRITES; i++) {
        assert_int_equal(calls[i].times, 1);
        assert_int_equal(calls[i].rc, 0);
    }
    fake_check_equal(group);
    fake_group_free(group);
}

static void who_does_not_lead_retires_at_once(void **state)
{
    (void)state;
    struct fake_group *group = fake_group_new(3, 7);
    struct fake_node *leader = quiet_leader(group);
    struct retirement retirement = {0};
    retire(&retirement, &group->nodes[leader->id % 3], FAKE_ET);
    assert_int_equal(retirement.call.times, 0); /* never inside the call */
    fake_run(group, 1);
    assert_int_equal(retirement.call.times, 1);
    assert_int_equal(retirement.call.rc, 0);
    assert_ptr_equal(fake_leader(group), leader);
    fake_group_free(group);
}

static void who_has_nobody_to_hand_over_to_retires_at_once(void **state)
{
    (void)state;
    struct fake_group *group = fake_group_new(3, 8);
    struct fake_node *leader = quiet_leader(group);
    fake_crash(&group->nodes[leader->id % 3], 0);
    fake_crash(&group->nodes[(leader->id + 1) % 3], 0);
    struct retirement retirement = {0};
    retire(&retirement, leader, FAKE_ET);
    fake_run(group, 1);
    assert_int_equal(retirement.call.times, 1);
    assert_int_equal(retirement.call.rc, 0);
    fake_group_free(group);
}

static bool drops_timeout_now(struct fake_group *group, uint64_t from, uint64_t to,
                              const struct peer_message *message)
{
    (void)group;
    (void)from;
    (void)to;
    return message->kind == PEER_TIMEOUT_NOW;
}

static void a_successor_that_does_not_hear_of_it_is_waited_for_only_so_long(void **state)
{
    (void)state;
    struct fake_group *group = fake_group_new(3, 9);
    struct fake_call call;
    struct fake_node *leader = quiet_leader(group);
    group->drops = drops_timeout_now;
    struct retirement retirement = {0};
    int64_t began = group->now;
    retire(&retirement, leader, 100);
    fake_run(group, 150);
    assert_int_equal(retirement.call.times, 1);
    assert_int_equal(retirement.call.rc, ERR_TIMEOUT);
    assert_int_equal(retirement.answered - began, 100);
    fake_run(group, 4 * FAKE_ET); /* and if it is not stopped after all, it goes on */
    fake_put(leader, "a", "1", 1000, 0, &call);
    fake_run(group, 500);
    assert_int_equal(call.rc, 0);
    fake_group_free(group);
}

static void a_follower_that_is_behind_gets_it_when_it_has_caught_up(void **state)
{
    (void)state;
    struct fake_group *group = fake_group_new(3, 10);
    struct fake_call call;
    struct fake_node *leader = quiet_leader(group);
    struct fake_node *other = &group->nodes[leader->id % 3];
    other->disk_stopped = true; /* it takes entries, and confirms none */
    fake_put(leader, "a", "1", 1000, 0, &call);
    fake_run(group, 2 * FAKE_HB); /* committed with the third, and known to be */
    fake_crash(&group->nodes[(leader->id + 1) % 3], 0);
    struct retirement retirement = {0};
    retire(&retirement, leader, FAKE_ET);
    fake_run(group, 60);
    assert_int_equal(retirement.call.times, 0);
    other->disk_stopped = false;
    fake_run(group, 3); /* its answer is on the way for one: no heartbeat is waited for */
    assert_int_equal(group->sent[PEER_TIMEOUT_NOW], 1);
    fake_run(group, HAND_OVER_MS);
    assert_int_equal(retirement.call.times, 1);
    assert_int_equal(retirement.call.rc, 0);
    assert_ptr_equal(fake_leader(group), other);
    fake_group_free(group);
}

static void a_stop_before_the_end_of_it_is_told(void **state)
{
    (void)state;
    struct fake_group *group = fake_group_new(3, 11);
    struct fake_node *leader = quiet_leader(group);
    struct retirement retirement = {0};
    retire(&retirement, leader, FAKE_ET);
    fake_crash(leader, 0);
    assert_int_equal(retirement.call.times, 1);
    assert_int_equal(retirement.call.rc, ERR_CANCELED);
    fake_group_free(group);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_leader_that_retires_leaves_a_leader_that_has_its_last_write),
        cmocka_unit_test(with_one_of_three_dead_it_stays_until_its_successor_has_committed),
        cmocka_unit_test(what_others_write_meanwhile_is_written_by_the_successor),
        cmocka_unit_test(who_does_not_lead_retires_at_once),
        cmocka_unit_test(who_has_nobody_to_hand_over_to_retires_at_once),
        cmocka_unit_test(a_successor_that_does_not_hear_of_it_is_waited_for_only_so_long),
        cmocka_unit_test(a_follower_that_is_behind_gets_it_when_it_has_caught_up),
        cmocka_unit_test(a_stop_before_the_end_of_it_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
