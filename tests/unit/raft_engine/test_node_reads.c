/* Reads of a whole group on a fake environment: what they have to see, and who may answer. */
#include "tests/unit/raft_engine/fake_wire.h"

static void a_read_sees_what_was_committed_before_it_from_any_member(void **state)
{
    (void)state;
    struct fake_node *leader = fake_group_led(3, 11);
    struct fake_group *group = leader->group;
    struct fake_call put;
    fake_put(leader, "a", "1", 1000, 0, &put);
    while (put.times == 0) {
        fake_run(group, 1);
    }
    for (size_t i = 0; i < 3; i++) {
        struct fake_call read = {0};
        assert_int_equal(raft_node_read(group->nodes[i].node, 1000, fake_done, &read, NULL), 0);
        assert_int_equal(read.times, 0);
        fake_run(group, 10);
        assert_int_equal(read.times, 1);
        assert_int_equal(read.rc, 0);
        assert_true(fake_has(&group->nodes[i], "a", "1"));
    }
    fake_group_free(group);
}

static void a_leader_that_was_deposed_answers_no_read(void **state)
{
    (void)state;
    struct fake_node *old = fake_group_led(3, 12);
    struct fake_group *group = old->group;
    struct fake_call read = {0};
    old->cut = true;
    assert_int_equal(raft_node_read(old->node, 100, fake_done, &read, NULL), 0);
    fake_run(group, 150);
    assert_int_equal(read.times, 1);
    assert_int_equal(read.rc, ERR_UNAVAILABLE);
    fake_group_free(group);
}

static void a_read_is_asked_again_when_the_answer_is_lost(void **state)
{
    (void)state;
    struct fake_node *leader = fake_group_led(3, 13);
    struct fake_group *group = leader->group;
    struct fake_call read = {0};
    struct fake_node *follower = &group->nodes[leader->id % 3];
    assert_int_equal(raft_node_read(follower->node, 5000, fake_done, &read, NULL), 0);
    fake_run(group, 0);
    LIST_EACH(item, &group->messages)
    {
        fake_message_free(LIST_OWNER(item, struct fake_message, link));
    }
    fake_run(group, 2 * FAKE_ET);
    assert_int_equal(read.times, 1);
    assert_int_equal(read.rc, 0);
    fake_group_free(group);
}

/* The leader still answers what an earlier process of the member asked: its index is older than the
 * new question. Its numbers are below or above ours. */
static void an_answer_to_an_earlier_process_is_no_answer(void **state)
{
    (void)state;
    struct fake_node *leader = fake_group_led(3, 26);
    struct fake_group *group = leader->group;
    struct fake_call read = {0};
    struct raft_status status;
    struct fake_node *follower = &group->nodes[leader->id % 3];
    fake_run(group, 1000);
    uint64_t before = follower->node->reads.asked;
    fake_crash(follower, 0);
    fake_start_node(follower);
    assert_true(follower->node->reads.asked > before + 1000 ||
                follower->node->reads.asked + 1000 < before);
    fake_run(group, 100);
    raft_node_status(follower->node, &status);
    leader->cut = true;
    assert_int_equal(raft_node_read(follower->node, 100, fake_done, &read, NULL), 0);
    fake_run(group, 5);
    struct peer_message late = {.kind = PEER_READ_RESULT, .term = status.term};
    late.read = (struct peer_read){.number = follower->node->reads.asked - 1, .index = 1};
    fake_inject(follower, leader->id, &late);
    late.read.number = follower->node->reads.asked + 1;
    fake_inject(follower, leader->id, &late);
    fake_run(group, 200);
    assert_int_equal(read.times, 1);
    assert_int_equal(read.rc, ERR_UNAVAILABLE);
    fake_group_free(group);
}

static bool drop_probes(struct fake_group *group, uint64_t from, uint64_t to,
                        const struct peer_message *message)
{
    (void)group;
    (void)from;
    (void)to;
    return message->kind == PEER_PROBE;
}

/* Members that are in another term already, or speak of another round, vouch for nothing. */
static void only_answers_of_the_leaders_term_and_round_count(void **state)
{
    (void)state;
    struct fake_node *leader = fake_group_led(3, 28);
    struct fake_group *group = leader->group;
    struct fake_call read = {0};
    fake_run(group, 1000);
    group->drops = drop_probes;
    assert_int_equal(raft_node_read(leader->node, 1000, fake_done, &read, NULL), 0);
    fake_run(group, 5);
    assert_true(leader->node->reads.round_open);
    uint64_t term = raft_current_term(&leader->node->raft);
    uint64_t round = leader->node->reads.round_number;
    uint64_t other = leader->id % 3 + 1;
    struct peer_message said = {.kind = PEER_PROBE_RESULT, .term = term + 1};
    said.read.number = round;
    fake_inject(leader, other, &said);
    said.term = term;
    said.read.number = round - 1;
    fake_inject(leader, other, &said);
    said.read.number = round;
    fake_inject(leader, 99, &said); /* no voter */
    fake_run(group, 1);
    assert_int_equal(read.times, 0);
    fake_inject(leader, other, &said);
    fake_run(group, 1);
    assert_int_equal(read.times, 1);
    assert_int_equal(read.rc, 0);
    fake_group_free(group);
}

/* It may lack the newest commits of the leader before it until an entry of its own is committed. */
static void a_new_leader_answers_no_read_before_its_first_commit(void **state)
{
    (void)state;
    struct fake_group *group = fake_group_new(3, 29);
    struct fake_call read = {0};
    fake_start_all(group);
    while (fake_leader(group) == NULL) {
        fake_run(group, 1);
    }
    for (size_t i = 0; i < 3; i++) {
        group->nodes[i].disk_stopped = true;
    }
    struct fake_node *leader = fake_leader(group);
    assert_int_equal(raft_node_read(leader->node, 1000, fake_done, &read, NULL), 0);
    fake_run(group, 100);
    assert_int_equal(read.times, 0);
    for (size_t i = 0; i < 3; i++) {
        group->nodes[i].disk_stopped = false;
    }
    fake_run(group, 20);
    assert_int_equal(read.times, 1);
    assert_int_equal(read.rc, 0);
    fake_group_free(group);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_read_sees_what_was_committed_before_it_from_any_member),
        cmocka_unit_test(a_leader_that_was_deposed_answers_no_read),
        cmocka_unit_test(a_read_is_asked_again_when_the_answer_is_lost),
        cmocka_unit_test(an_answer_to_an_earlier_process_is_no_answer),
        cmocka_unit_test(only_answers_of_the_leaders_term_and_round_count),
        cmocka_unit_test(a_new_leader_answers_no_read_before_its_first_commit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
