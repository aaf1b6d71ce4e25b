/* Members of a whole group on a fake environment: who they are, who joins, who leads. */
#include "tests/unit/raft_engine/fake_group.h"

static void every_member_publishes_its_name_and_address(void **state)
{
    (void)state;
    struct fake_group *group = fake_group_led(3, 17)->group;
    struct raft_status status;
    fake_run(group, 4 * FAKE_ET);
    raft_node_status(group->nodes[1].node, &status);
    assert_int_equal(status.member_count, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(status.members[i].name, group->nodes[i].name);
        assert_true(strstr(status.members[i].address, "127.0.0.1:") != NULL);
    }
    fake_group_free(group);
}

static void retry(struct fake_group *group,
                  int (*call)(struct raft_node *, uint64_t, raft_done, void *, struct error *),
                  struct fake_node *leader, uint64_t id)
{
    struct fake_call done = {0};
    struct error err = {0};
    int rc = ERR_BUSY;
    for (int i = 0; i < 200 && rc == ERR_BUSY; i++) {
        rc = call(leader->node, id, fake_done, &done, &err);
        if (rc == ERR_BUSY) {
            fake_run(group, 10);
        }
    }
    if (rc != 0) {
        fail_msg("change: %s", err.text);
    }
    for (int i = 0; i < 1000 && done.times == 0; i++) {
        fake_run(group, 1);
    }
    assert_int_equal(done.times, 1);
    assert_int_equal(done.rc, 0);
}

static void a_new_member_joins_as_standby_catches_up_and_votes(void **state)
{
    (void)state;
    struct fake_group *group = fake_group_new(3, 18);
    struct raft_status status;
    group->threshold = 8;
    group->trailing = 4;
    struct fake_node *leader = fake_lead(group);
    fake_put_many(leader, 20, 20);
    struct fake_node *joining = fake_add_node(group);
    fake_start_node(joining);
    retry(group, raft_node_add, leader, joining->id);
    fake_run(group, 500);
    raft_node_status(leader->node, &status);
    assert_int_equal(status.member_count, 4);
    assert_false(status.members[3].voter);
    retry(group, raft_node_promote, leader, joining->id);
    raft_node_status(leader->node, &status);
    assert_true(status.members[3].voter);
    uint64_t gone = group->nodes[leader->id % 3].id;
    fake_crash(fake_find(group, gone), 0);
    retry(group, raft_node_remove, leader, gone);
    fake_run(group, 1500);
    raft_node_status(joining->node, &status);
    assert_int_equal(status.member_count, 3);
    struct store_member members[STORE_MEMBERS_MAX];
    assert_int_equal(store_members(raft_node_store(joining->node), members, STORE_MEMBERS_MAX), 3);
    assert_true(fake_has(joining, "a", "1"));
    fake_check_equal(group);
    fake_group_free(group);
}

static void changes_that_are_never_allowed_are_refused(void **state)
{
    (void)state;
    struct fake_node *leader = fake_group_led(2, 19);
    struct fake_group *group = leader->group;
    struct fake_call done = {0};
    struct fake_node *follower = &group->nodes[leader->id % 2];
    fake_run(group, 1000);
    assert_int_equal(raft_node_remove(leader->node, leader->id, fake_done, &done, NULL),
                     ERR_REFUSED);
    assert_int_equal(raft_node_remove(leader->node, follower->id, fake_done, &done, NULL),
                     ERR_REFUSED);
    assert_int_equal(raft_node_remove(leader->node, 99, fake_done, &done, NULL), ERR_NOT_FOUND);
    assert_int_equal(raft_node_add(leader->node, follower->id, fake_done, &done, NULL), ERR_EXISTS);
    assert_int_equal(raft_node_promote(leader->node, follower->id, fake_done, &done, NULL),
                     ERR_EXISTS);
    assert_int_equal(raft_node_promote(leader->node, 99, fake_done, &done, NULL), ERR_NOT_FOUND);
    assert_int_equal(raft_node_add(follower->node, 99, fake_done, &done, NULL), ERR_UNAVAILABLE);
    assert_int_equal(raft_node_add(leader->node, 99, fake_done, &done, NULL), 0);
    assert_int_equal(raft_node_add(leader->node, 98, fake_done, &done, NULL),
                     ERR_BUSY); /* one at a time */
    fake_run(group, 100);
    assert_int_equal(done.times, 1);
    assert_int_equal(raft_node_promote(leader->node, 99, fake_done, &done, NULL),
                     ERR_BUSY); /* never seen */
    fake_group_free(group);
}

static void a_change_waits_for_a_living_voter_that_is_behind(void **state)
{
    (void)state;
    struct fake_node *leader = fake_group_led(3, 20);
    struct fake_group *group = leader->group;
    struct fake_call done = {0};
    struct fake_node *slow = &group->nodes[leader->id % 3];
    fake_run(group, 1000);
    slow->disk_stopped = true;
    assert_int_equal(raft_node_add(leader->node, 99, fake_done, &done, NULL), 0);
    fake_run(group, 100);
    assert_int_equal(done.times, 1);
    assert_int_equal(raft_node_remove(leader->node, 99, fake_done, &done, NULL), ERR_BUSY);
    slow->disk_stopped = false;
    fake_run(group, 100);
    assert_int_equal(raft_node_remove(leader->node, 99, fake_done, &done, NULL), 0);
    fake_run(group, 100);
    assert_int_equal(done.times, 2);
    fake_group_free(group);
}

/* Of five: who is dead may go one by one, who lives only while a majority of the rest is there. */
static void a_removal_that_would_cost_the_majority_is_refused(void **state)
{
    (void)state;
    struct fake_node *leader = fake_group_led(5, 22);
    struct fake_group *group = leader->group;
    struct fake_call done = {0};
    struct error err = {0};
    uint64_t others[4];
    fake_run(group, 1000);
    for (size_t i = 0; i < 4; i++) {
        others[i] = group->nodes[(leader->id + i) % 5].id;
    }
    fake_crash(fake_find(group, others[0]), 0);
    fake_crash(fake_find(group, others[1]), 0);
    assert_int_equal(raft_node_remove(leader->node, others[2], fake_done, &done, &err),
                     ERR_REFUSED);
    assert_non_null(
        strstr(err.text, "of the 4 voters that are left, 2 are connected, and 3 are needed"));
    assert_int_equal(raft_node_remove(leader->node, others[0], fake_done, &done, &err), 0);
    fake_run(group, 200);
    assert_int_equal(done.times, 1);
    assert_int_equal(raft_node_remove(leader->node, others[1], fake_done, &done, &err), 0);
    fake_run(group, 200);
    assert_int_equal(done.times, 2);
    assert_int_equal(raft_node_remove(leader->node, others[2], fake_done, &done, &err), 0);
    fake_run(group, 200);
    assert_int_equal(done.times, 3);
    assert_int_equal(raft_node_remove(leader->node, others[3], fake_done, &done, &err),
                     ERR_REFUSED);
    assert_non_null(strstr(err.text, "two voters"));
    fake_group_free(group);
}

static void the_leader_says_when_it_heard_whom(void **state)
{
    (void)state;
    struct fake_node *leader = fake_group_led(3, 23);
    struct fake_group *group = leader->group;
    static struct raft_status status;
    struct fake_node *gone = &group->nodes[leader->id % 3];
    fake_run(group, 1000);
    fake_crash(gone, 0);
    fake_run(group, 300);
    raft_node_status(leader->node, &status);
    for (size_t i = 0; i < status.member_count; i++) {
        const struct raft_member_status *member = &status.members[i];
        if (member->id == gone->id) {
            assert_in_range(member->heard_ms, 300, 300 + 2 * FAKE_HB);
        } else {
            assert_in_range(member->heard_ms, 0, member->id == leader->id ? 0 : 2 * FAKE_HB);
        }
    }
    fake_group_free(group);
}

static void leadership_moves_when_the_group_is_quiet(void **state)
{
    (void)state;
    struct fake_node *leader = fake_group_led(3, 21);
    struct fake_group *group = leader->group;
    uint64_t to = group->nodes[leader->id % 3].id;
    int rc = ERR_BUSY;
    for (int i = 0; i < 200 && rc != 0; i++) {
        fake_run(group, 10);
        rc = raft_node_transfer(leader->node, to, NULL);
    }
    assert_int_equal(rc, 0);
    int64_t began = group->now;
    while (fake_leader(group) == leader && group->now < began + 2 * FAKE_ET) {
        fake_run(group, 1);
    }
    fake_run(group, 20);
    assert_int_equal(fake_leader(group)->id, to);
    fake_group_free(group);
}

static struct fake_node *led_and_quiet(uint64_t seed)
{
    struct fake_node *leader = fake_group_led(3, seed);
    fake_run(leader->group, 1000);
    assert_ptr_equal(fake_leader(leader->group), leader);
    return leader;
}

static void a_leader_whose_disk_stands_still_gives_the_lead_away(void **state)
{
    (void)state;
    struct fake_node *leader = led_and_quiet(31);
    struct fake_group *group = leader->group;
    leader->disk_delay = 60000;
    struct fake_call call = {0};
    fake_put(leader, "a", "1", 60000, 0, &call);
    int64_t began = group->now;
    while (fake_leader(group) == leader || fake_leader(group) == NULL) {
        fake_run(group, 10);
        assert_true(group->now < began + 6 * FAKE_ET);
    }
    assert_true(group->now >= began + 4 * FAKE_ET);
    assert_non_null(strstr(leader->warning, "has not taken a write"));
    fake_run(group, 10 * FAKE_ET); /* and it is not given back */
    assert_ptr_not_equal(fake_leader(group), leader);
    fake_group_free(group);
}

/* A snapshot is the largest write that there is. */
static void a_leader_whose_disk_stands_still_in_a_snapshot_gives_the_lead_away(void **state)
{
    (void)state;
    struct fake_group *group = fake_group_new(3, 33);
    struct fake_call call;
    group->threshold = 8;
    group->trailing = 4;
    struct fake_node *leader = fake_lead(group);
    fake_run(group, 1000);
    fake_put(leader, "a", "1", 60000, 0, &call);
    for (int i = 0; !leader->node->taking; i++) {
        fake_run(group, 0);
        group->now += leader->node->taking ? 0 : 1;
        if (call.times > 0 && !leader->node->taking) {
            fake_put(leader, "a", "1", 60000, 0, &call);
        }
        assert_true(i < 1000);
    }
    leader->disk_stopped = true;
    assert_true(leader->node->job_count == 1 && fake_leader(group) == leader);
    fake_put(leader, "b", "2", 60000, 0, &call);
    int64_t began = group->now;
    while (fake_leader(group) == leader || fake_leader(group) == NULL) {
        fake_run(group, 10);
        assert_true(group->now < began + 6 * FAKE_ET);
    }
    assert_true(group->now >= began + 4 * FAKE_ET);
    leader->disk_stopped = false;
    fake_run(group, 10 * FAKE_ET);
    fake_check_equal(group);
    fake_group_free(group);
}

static void nobody_leads_in_its_place_whose_disk_stands_still_as_well(void **state)
{
    (void)state;
    struct fake_node *leader = led_and_quiet(32);
    struct fake_group *group = leader->group;
    static struct raft_status before;
    static struct raft_status after;
    raft_node_status(leader->node, &before);
    for (size_t i = 0; i < group->count; i++) {
        group->nodes[i].disk_delay = 60000;
    }
    struct fake_call call = {0};
    fake_put(leader, "a", "1", 60000, 0, &call);
    fake_run(group, 20 * FAKE_ET);
    assert_ptr_equal(fake_leader(group), leader);
    raft_node_status(leader->node, &after);
    assert_int_equal(after.term, before.term);
    fake_group_free(group);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_member_publishes_its_name_and_address),
        cmocka_unit_test(a_new_member_joins_as_standby_catches_up_and_votes),
        cmocka_unit_test(changes_that_are_never_allowed_are_refused),
        cmocka_unit_test(a_change_waits_for_a_living_voter_that_is_behind),
        cmocka_unit_test(a_removal_that_would_cost_the_majority_is_refused),
        cmocka_unit_test(the_leader_says_when_it_heard_whom),
        cmocka_unit_test(leadership_moves_when_the_group_is_quiet),
        cmocka_unit_test(a_leader_whose_disk_stands_still_gives_the_lead_away),
        cmocka_unit_test(a_leader_whose_disk_stands_still_in_a_snapshot_gives_the_lead_away),
        cmocka_unit_test(nobody_leads_in_its_place_whose_disk_stands_still_as_well),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
