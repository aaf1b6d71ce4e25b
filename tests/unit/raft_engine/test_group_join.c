/* Several members that ask at once to be taken in, some of whom never get there. */
#include "tests/unit/raft_engine/fake_group.h"

#include "raft/engine/group_join.h"

#define STEP_MS 200
#define ASK_MS  1000

struct joining {
    struct fake_group *group;
    struct fake_node *leader;
    struct group_join join;
    uint16_t group_size; /* that joiners' files speak of */
    char warnings[4096];
};

static void on_warning(void *arg, const char *text)
{
    struct joining *joining = arg;
    size_t used = strlen(joining->warnings);
    (void)snprintf(joining->warnings + used, sizeof joining->warnings - used, "%s\n", text);
}

static bool is_there(void *arg, uint64_t id)
{
    struct joining *joining = arg;
    struct fake_node *fake = fake_find(joining->group, id);
    return fake != NULL && fake->node != NULL;
}

static bool is_callable(void *arg, uint64_t id)
{
    struct joining *joining = arg;
    return fake_connected(joining->leader, id);
}

static void join_begin(struct joining *joining)
{
    joining->leader = fake_elect(joining->group, 8 * FAKE_ET);
    assert_non_null(joining->leader);
    fake_run(joining->group, 1000);
    joining->join.node = joining->leader->node;
    joining->join.on_warning = on_warning;
    joining->join.reachable = is_there;
    joining->join.callable = is_callable;
    joining->join.arg = joining;
}

/* Three voters that lead, and `count` empty members beside them. */
static void joining_begin(struct joining *joining, size_t count, uint64_t seed)
{
    memset(joining, 0, sizeof *joining);
    joining->group = fake_group_new(3, seed);
    for (size_t i = 0; i < count; i++) {
        (void)fake_add_node(joining->group);
    }
    fake_start_all(joining->group);
    joining->group_size = 3;
    join_begin(joining);
}

static void ask(struct joining *joining, const struct fake_node *fake)
{
    struct handshake_identity identity = {.id = fake->id, .group_size = joining->group_size};
    (void)snprintf(identity.name, sizeof identity.name, "%s", fake->name);
    (void)snprintf(identity.address, sizeof identity.address, "127.0.0.1:%d", (int)fake->id);
    group_join_ask(&joining->join, &identity, joining->group->now);
}

static const struct raft_member_status *member_of(struct joining *joining, uint64_t id)
{
    static struct raft_status status;
    raft_node_status(joining->leader->node, &status);
    for (size_t i = 0; i < status.member_count; i++) {
        if (status.members[i].id == id) {
            return &status.members[i];
        }
    }
    return NULL;
}

static bool is_voter(struct joining *joining, uint64_t id)
{
    const struct raft_member_status *member = member_of(joining, id);
    return member != NULL && member->voter;
}

/* Everybody from 4 on asks each second; until `id` votes, or `limit_ms`. */
static bool joins_within(struct joining *joining, uint64_t id, int64_t limit_ms)
{
    struct fake_group *group = joining->group;
    for (int64_t end = group->now + limit_ms; group->now < end && !is_voter(joining, id);) {
        for (size_t i = 3; i < group->count && group->now % ASK_MS < STEP_MS; i++) {
            ask(joining, &group->nodes[i]);
        }
        group_join_step(&joining->join, group->now);
        fake_run(group, STEP_MS);
    }
    return is_voter(joining, id);
}

static void who_cannot_be_called_back_holds_up_nobody(void **state)
{
    (void)state;
    struct joining joining;
    joining_begin(&joining, 2, 1);
    joining.group->nodes[3].cut = true; /* its own calls come through, ours do not */
    assert_true(joins_within(&joining, 5, 5000));
    assert_null(member_of(&joining, 4)); /* it would be a member that nobody can reach */
    assert_false(joins_within(&joining, 4, 5000));
    assert_non_null(strstr(joining.warnings, "'n4' at 127.0.0.1:4"));
    assert_non_null(strstr(joining.warnings, "cannot be reached"));
    joining.group->nodes[3].cut = false;
    assert_true(joins_within(&joining, 4, 10000));
    fake_group_free(joining.group);
}

/* The engine lets one standby catch up at a time, for five seconds. */
static void who_never_catches_up_holds_up_nobody(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct joining joining;
        joining_begin(&joining, 3, seed);
        joining.group->nodes[3].disk_stopped = true;
        joining.group->nodes[4].disk_stopped = true;
        assert_true(joins_within(&joining, 6, 40000));
        assert_false(is_voter(&joining, 4));
        joining.group->nodes[3].disk_stopped = false;
        joining.group->nodes[4].disk_stopped = false;
        assert_true(joins_within(&joining, 4, 40000));
        assert_true(joins_within(&joining, 5, 40000));
        fake_group_free(joining.group);
    }
}

/* A name that a running member has: it waits, and the next one does not wait for it. */
static void who_bears_a_members_name_holds_up_nobody(void **state)
{
    (void)state;
    struct joining joining;
    joining_begin(&joining, 2, 9);
    (void)snprintf(joining.group->nodes[3].name, sizeof joining.group->nodes[3].name, "n1");
    fake_crash(&joining.group->nodes[3], 99);
    fake_start_node(&joining.group->nodes[3]); /* under that name */
    assert_true(joins_within(&joining, 5, 20000));
    assert_false(joins_within(&joining, 4, 5000));
    assert_non_null(strstr(joining.warnings, "names must differ"));
    fake_group_free(joining.group);
}

/* Two of five have not told their names: one was lost for good before it could, and its successor
 * has come. It waits until the other one tells, and goes in its place. */
static void who_may_succeed_several_waits_until_it_is_known_whom(void **state)
{
    (void)state;
    struct joining joining = {.group = fake_group_new(5, 3), .group_size = 5};
    struct fake_node *late = &joining.group->nodes[3];
    struct fake_node *successor = fake_add_node(joining.group);
    for (size_t i = 0; i < 3; i++) {
        fake_start_node(&joining.group->nodes[i]);
    }
    join_begin(&joining);
    (void)snprintf(successor->name, sizeof successor->name, "n5");
    fake_start_node(successor);
    assert_false(joins_within(&joining, successor->id, 8000));
    assert_non_null(strstr(joining.warnings, "successor of any of 2 voters"));
    fake_start_node(late);
    assert_true(joins_within(&joining, successor->id, 20000));
    assert_null(member_of(&joining, 5));
    assert_true(is_voter(&joining, late->id));
    fake_group_free(joining.group);
}

/* Nobody else would ever remove it: without a record it is nobody's predecessor. */
static void a_standby_that_died_while_it_joined_is_removed(void **state)
{
    (void)state;
    struct joining joining;
    joining_begin(&joining, 1, 11);
    struct fake_group *group = joining.group;
    struct fake_node *fake = &group->nodes[3];
    fake->disk_delay = 50;
    while (member_of(&joining, 4) == NULL || joining.join.busy) {
        ask(&joining, fake);
        group_join_step(&joining.join, group->now);
        fake_run(group, 1);
    }
    assert_false(is_voter(&joining, 4));
    fake_crash(fake, 0);
    int64_t died_ms = group->now;
    while (member_of(&joining, 4) != NULL) {
        assert_true(group->now - died_ms < 3 * GROUP_JOIN_FORGET_MS);
        group_join_step(&joining.join, group->now);
        fake_run(group, STEP_MS);
    }
    assert_true(group->now - died_ms > GROUP_JOIN_FORGET_MS);
    fake_start_node(fake); /* with the directory that it had */
    assert_true(joins_within(&joining, 4, 20000));
    fake_check_equal(group);
    fake_group_free(group);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_cannot_be_called_back_holds_up_nobody),
        cmocka_unit_test(who_never_catches_up_holds_up_nobody),
        cmocka_unit_test(a_standby_that_died_while_it_joined_is_removed),
        cmocka_unit_test(who_bears_a_members_name_holds_up_nobody),
        cmocka_unit_test(who_may_succeed_several_waits_until_it_is_known_whom),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
