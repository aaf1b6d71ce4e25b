/* Raft leadership goes where the primary is, and nowhere else. On a fake group of three. */
#include "tests/unit/raft_engine/fake_group.h"

#include "agent/loop/follow.h"
#include "agent/loop/loop.h"

static struct fake_node *settled_leader(struct fake_group *group)
{
    fake_start_all(group);
    struct fake_node *leader = fake_elect(group, 4 * FAKE_ET);
    assert_non_null(leader);
    fake_run(group, 1000); /* the members tell their names */
    return leader;
}

static struct fake_node *leader_now(struct fake_group *group)
{
    for (size_t i = 0; i < group->count; i++) {
        struct raft_status status;
        raft_node_status(group->nodes[i].node, &status);
        if (status.role == RAFT_ROLE_LEADER) {
            return &group->nodes[i];
        }
    }
    return NULL;
}

static void look(struct follow *follow, struct fake_node *from, const char *primary,
                 int64_t now_mono_ms)
{
    struct raft_status status;
    raft_node_status(from->node, &status);
    follow_primary(follow, from->node, &status, primary, now_mono_ms);
}

static struct fake_node *other_than(struct fake_group *group, const struct fake_node *leader)
{
    return &group->nodes[leader == &group->nodes[0] ? 1 : 0];
}

static void leadership_goes_to_the_primary_s_node(void **state)
{
    (void)state;
    struct fake_group *group = fake_group_new(3, 1);
    struct follow follow = {0};
    struct fake_node *leader = settled_leader(group);
    struct fake_node *primary = other_than(group, leader);
    look(&follow, leader, primary->name, LOOP_TRANSFER_MS);
    fake_run(group, FAKE_ET);
    assert_ptr_equal(leader_now(group), primary);
    fake_group_free(group);
}

static void it_stays_where_it_is_otherwise(void **state)
{
    (void)state;
    struct fake_group *group = fake_group_new(3, 2);
    struct follow follow = {0};
    struct fake_node *leader = settled_leader(group);
    struct fake_node *primary = other_than(group, leader);
    look(&follow, leader, "", LOOP_TRANSFER_MS);             /* nobody is */
    look(&follow, leader, "stranger", LOOP_TRANSFER_MS);     /* no member of the group */
    look(&follow, leader, leader->name, LOOP_TRANSFER_MS);   /* it is here */
    look(&follow, primary, primary->name, LOOP_TRANSFER_MS); /* who asks does not lead */
    assert_int_equal(follow.asked_mono_ms, 0);
    fake_run(group, 2 * FAKE_ET);
    assert_ptr_equal(leader_now(group), leader);
    fake_group_free(group);
}

static void who_is_not_connected_gets_nothing_and_is_asked_again_later(void **state)
{
    (void)state;
    struct fake_group *group = fake_group_new(3, 3);
    struct follow follow = {0};
    struct fake_node *leader = settled_leader(group);
    struct fake_node *primary = other_than(group, leader);
    primary->cut = true;
    look(&follow, leader, primary->name, LOOP_TRANSFER_MS);
    assert_int_equal(follow.asked_mono_ms, LOOP_TRANSFER_MS);
    primary->cut = false;
    fake_run(group, FAKE_ET / 2);
    leader = leader_now(group);
    assert_ptr_not_equal(leader, primary);
    look(&follow, leader, primary->name, 2 * LOOP_TRANSFER_MS - 1);
    assert_int_equal(follow.asked_mono_ms, LOOP_TRANSFER_MS); /* too soon */
    look(&follow, leader, primary->name, 2 * LOOP_TRANSFER_MS);
    fake_run(group, FAKE_ET);
    assert_ptr_equal(leader_now(group), primary);
    fake_group_free(group);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(leadership_goes_to_the_primary_s_node),
        cmocka_unit_test(it_stays_where_it_is_otherwise),
        cmocka_unit_test(who_is_not_connected_gets_nothing_and_is_asked_again_later),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
