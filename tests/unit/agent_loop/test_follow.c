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
    assert_int_equal(follow.begun_mono_ms, 0);
    fake_run(group, 2 * FAKE_ET);
    assert_ptr_equal(leader_now(group), leader);
    fake_group_free(group);
}

static void who_is_not_connected_gets_nothing(void **state)
{
    (void)state;
    struct fake_group *group = fake_group_new(3, 3);
    struct follow follow = {0};
    struct fake_node *leader = settled_leader(group);
    struct fake_node *primary = other_than(group, leader);
    primary->cut = true;
    look(&follow, leader, primary->name, LOOP_TRANSFER_MS);
    assert_int_equal(follow.begun_mono_ms, 0);
    primary->cut = false;
    look(&follow, leader, primary->name, LOOP_TRANSFER_MS);
    fake_run(group, FAKE_ET);
    assert_ptr_equal(leader_now(group), primary);
    fake_group_free(group);
}

static void on_put(void *arg, int rc, const struct store_result *result)
{
    (void)result;
    *(int *)arg = rc;
}

static void a_busy_group_is_asked_again_soon(void **state)
{
    (void)state;
    struct fake_group *group = fake_group_new(3, 4);
    struct follow follow = {0};
    struct fake_node *leader = settled_leader(group);
    struct fake_node *primary = other_than(group, leader);
    struct store_op op = {.type = STORE_OP_PUT, .key = span_str("a"), .value = span_str("1")};
    struct store_command command = {.type = STORE_TXN, .success = &op, .success_count = 1};
    int rc = ERR_UNKNOWN;
    assert_int_equal(raft_node_propose(leader->node, &command, 1000, 0, on_put, &rc, NULL), 0);
    look(&follow, leader, primary->name, LOOP_TRANSFER_MS);
    assert_int_equal(follow.begun_mono_ms, 0);
    assert_int_equal(follow.refused_mono_ms, LOOP_TRANSFER_MS);
    fake_run(group, FAKE_ET);
    assert_int_equal(rc, 0);
    look(&follow, leader, primary->name, LOOP_TRANSFER_MS + FOLLOW_BUSY_MS - 1);
    assert_int_equal(follow.begun_mono_ms, 0);
    look(&follow, leader, primary->name, LOOP_TRANSFER_MS + FOLLOW_BUSY_MS);
    fake_run(group, FAKE_ET);
    assert_ptr_equal(leader_now(group), primary);
    fake_group_free(group);
}

/* What was begun has time to succeed. */
static void a_transfer_that_has_begun_is_not_begun_again(void **state)
{
    (void)state;
    struct fake_group *group = fake_group_new(3, 5);
    struct follow follow = {.begun_mono_ms = 1000};
    struct fake_node *leader = settled_leader(group);
    struct fake_node *primary = other_than(group, leader);
    look(&follow, leader, primary->name, 1000 + LOOP_TRANSFER_MS - 1);
    assert_int_equal(follow.begun_mono_ms, 1000);
    look(&follow, leader, primary->name, 1000 + LOOP_TRANSFER_MS);
    assert_int_equal(follow.begun_mono_ms, 1000 + LOOP_TRANSFER_MS);
    fake_run(group, FAKE_ET);
    fake_group_free(group);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(leadership_goes_to_the_primary_s_node),
        cmocka_unit_test(it_stays_where_it_is_otherwise),
        cmocka_unit_test(who_is_not_connected_gets_nothing),
        cmocka_unit_test(a_busy_group_is_asked_again_soon),
        cmocka_unit_test(a_transfer_that_has_begun_is_not_begun_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
