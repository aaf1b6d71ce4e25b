/* Depose through a whole group: the Raft leader takes it only when it does not hear the holder's
 * node, whoever asks. */
#include "tests/unit/raft_engine/fake_group.h"

enum { OLD = 5, NEW = 6 };

struct scene {
    struct fake_group *group;
    struct fake_node *leader; /* of the Raft group */
    struct fake_node *others[2];
};

static void apply(struct fake_node *fake, const struct store_command *command)
{
    struct fake_call call = {0};
    assert_int_equal(raft_node_propose(fake->node, command, 1000, 0, fake_done, &call, NULL), 0);
    while (call.times == 0) {
        fake_run(fake->group, 1);
    }
    assert_int_equal(call.rc, 0);
    assert_int_equal(call.result.code, 0);
}

static void put(struct fake_node *fake, const char *key, const char *value)
{
    struct store_op op = {.type = STORE_OP_PUT, .key = span_str(key), .value = span_str(value)};
    apply(fake, &(struct store_command){.type = STORE_TXN, .success = &op, .success_count = 1});
}

static int64_t revision_of(struct fake_node *fake, const char *key)
{
    struct store_kv kv = {0};
    return store_get(raft_node_store(fake->node), span_str(key), &kv) ? kv.mod_revision : 0;
}

static void acquire(struct fake_node *holder)
{
    struct store_op ops[] = {
        {.type = STORE_OP_LEASE_GRANT,
         .lease = OLD,
         .ttl_ms = 60000,
         .flags = STORE_LEASE_HOLDER,
         .stamp = 1},
        {.type = STORE_OP_PUT,
         .key = span_str("/leader"),
         .value = span_str(holder->name),
         .lease = OLD},
        {.type = STORE_OP_PUT, .key = span_str("/epoch"), .value = span_str("{}")}};
    apply(holder, &(struct store_command){.type = STORE_TXN, .success = ops, .success_count = 3});
}

static struct store_compare equal(const char *key, enum store_compare_target target, int64_t number)
{
    return (struct store_compare){
        .target = target, .relation = STORE_EQUAL, .key = span_str(key), .number = number};
}

/* By `who`, who has reported. */
static void depose(struct fake_node *who, int64_t timeout_ms, struct fake_call *call)
{
    char report[64];
    int64_t epoch = revision_of(who, "/epoch");
    (void)snprintf(report, sizeof report, "/reports/%s", who->name);
    struct store_compare compares[] = {
        equal("/leader", STORE_CMP_CREATE, epoch),
        equal("/epoch", STORE_CMP_MOD, epoch),
        equal("/config", STORE_CMP_MOD, 0),
        equal("/sync", STORE_CMP_MOD, revision_of(who, "/sync")),
        equal("/unfenced", STORE_CMP_CREATE, 0),
        equal(report, STORE_CMP_MOD, revision_of(who, report)),
    };
    struct store_op ops[] = {
        {.type = STORE_OP_LEASE_GRANT,
         .lease = NEW,
         .ttl_ms = 60000,
         .flags = STORE_LEASE_HOLDER,
         .stamp = 1},
        {.type = STORE_OP_PUT,
         .key = span_str("/leader"),
         .value = span_str(who->name),
         .lease = NEW},
        {.type = STORE_OP_PUT, .key = span_str("/epoch"), .value = span_str("{}")}};
    struct store_command command = {.type = STORE_DEPOSE,
                                    .lease = OLD,
                                    .compares = compares,
                                    .compare_count = 6,
                                    .success = ops,
                                    .success_count = 3};
    struct error err = {0};
    *call = (struct fake_call){0};
    if (raft_node_propose(who->node, &command, timeout_ms, 0, fake_done, call, &err) != 0) {
        fail_msg("%s", err.text);
    }
}

static void make_scene(struct scene *scene, uint64_t seed)
{
    struct fake_call call = {0};
    scene->group = fake_group_new(3, seed);
    fake_start_all(scene->group);
    scene->leader = fake_elect(scene->group, 4 * FAKE_ET);
    assert_non_null(scene->leader);
    scene->others[0] = &scene->group->nodes[scene->leader->id % 3];
    scene->others[1] = &scene->group->nodes[(scene->leader->id + 1) % 3];
    fake_run(scene->group, 1000); /* the members' records */
    assert_int_equal(raft_node_open_format_2(scene->leader->node, 1000, fake_done, &call, NULL), 0);
    fake_run(scene->group, 100);
    assert_int_equal(call.times, 1);
    put(scene->leader, "/sync", "{}");
    for (size_t i = 0; i < 3; i++) {
        char report[64];
        (void)snprintf(report, sizeof report, "/reports/%s", scene->group->nodes[i].name);
        put(&scene->group->nodes[i], report, "r");
    }
}

static void assert_held_by(const struct scene *scene, const struct fake_node *holder)
{
    for (size_t i = 0; i < scene->group->count; i++) {
        const struct fake_node *fake = &scene->group->nodes[i];
        assert_true(fake->cut || fake_has(fake, "/leader", holder->name));
    }
}

static void
a_follower_is_called_off_when_the_leader_has_not_heard_it_for_an_election_timeout(void **state)
{
    (void)state;
    struct scene scene;
    struct fake_call call;
    make_scene(&scene, 41);
    struct fake_node *holder = scene.others[0];
    struct fake_node *candidate = scene.others[1];
    acquire(holder);
    fake_run(scene.group, 100);
    depose(candidate, 3 * FAKE_ET, &call);
    fake_run(scene.group, 4 * FAKE_ET);
    assert_int_equal(call.times, 1);
    assert_int_equal(call.rc, ERR_UNKNOWN); /* the leader has not taken it */
    assert_held_by(&scene, holder);
    holder->cut = true;
    fake_run(scene.group, FAKE_ET / 2);
    depose(candidate, 20 * FAKE_ET, &call);
    fake_run(scene.group, FAKE_ET / 4);
    assert_int_equal(call.times, 0);
    fake_run(scene.group, 2 * FAKE_ET); /* it is sent again after an election timeout */
    assert_int_equal(call.times, 1);
    assert_int_equal(call.rc, 0);
    assert_int_equal(call.result.code, 0);
    assert_held_by(&scene, candidate);
    fake_group_free(scene.group);
}

static void a_leader_that_asks_itself_waits_likewise(void **state)
{
    (void)state;
    struct scene scene;
    struct fake_call call;
    make_scene(&scene, 42);
    struct fake_node *holder = scene.others[0];
    acquire(holder);
    fake_run(scene.group, 100);
    depose(scene.leader, 2 * FAKE_ET, &call);
    fake_run(scene.group, 3 * FAKE_ET);
    assert_int_equal(call.rc, ERR_UNAVAILABLE); /* never sent */
    assert_held_by(&scene, holder);
    holder->cut = true;
    depose(scene.leader, 20 * FAKE_ET, &call);
    fake_run(scene.group, FAKE_ET - FAKE_HB);
    assert_int_equal(call.times, 0);
    fake_run(scene.group, 3 * FAKE_HB);
    assert_int_equal(call.times, 1);
    assert_int_equal(call.result.code, 0);
    assert_held_by(&scene, scene.leader);
    fake_group_free(scene.group);
}

static void the_raft_leader_is_not_called_off_by_its_own_leave(void **state)
{
    (void)state;
    struct scene scene;
    struct fake_call call;
    make_scene(&scene, 43);
    acquire(scene.leader);
    fake_run(scene.group, 100);
    depose(scene.others[0], 3 * FAKE_ET, &call);
    fake_run(scene.group, 4 * FAKE_ET);
    assert_int_equal(call.rc, ERR_UNKNOWN);
    assert_held_by(&scene, scene.leader);
    fake_group_free(scene.group);
}

/* Followers hear their leader alone: who has just begun to lead knows nothing of the holder yet. */
static void a_new_leader_listens_before_it_calls_anybody_off(void **state)
{
    (void)state;
    struct scene scene;
    struct fake_call call;
    struct error err = {0};
    make_scene(&scene, 46);
    struct fake_node *holder = scene.others[0];
    struct fake_node *next = scene.others[1];
    acquire(holder);
    fake_run(scene.group, 100);
    holder->cut = true; /* for less than an election timeout */
    assert_int_equal(raft_node_transfer(scene.leader->node, next->id, &err), 0);
    int64_t began = scene.group->now;
    while (fake_leader(scene.group) != next) {
        fake_run(scene.group, 1);
        assert_true(scene.group->now - began < FAKE_ET / 2);
    }
    depose(next, 20 * FAKE_ET, &call);
    fake_run(scene.group, FAKE_ET / 2);
    assert_int_equal(call.times, 0);
    holder->cut = false;
    fake_run(scene.group, 4 * FAKE_ET);
    assert_int_equal(call.times, 0);
    assert_held_by(&scene, holder);
    holder->cut = true;
    fake_run(scene.group, 3 * FAKE_ET);
    assert_int_equal(call.times, 1);
    assert_int_equal(call.result.code, 0);
    assert_held_by(&scene, next);
    fake_group_free(scene.group);
}

/* The silence of its predecessor is what made it a candidate. */
static void a_new_leader_has_heard_its_predecessor(void **state)
{
    (void)state;
    struct scene scene;
    struct fake_call call;
    make_scene(&scene, 47);
    struct fake_node *holder = scene.leader;
    acquire(holder);
    fake_run(scene.group, 100);
    holder->cut = true;
    struct fake_node *next = NULL;
    int64_t began = scene.group->now;
    for (size_t i = 0; next == NULL; i = 1 - i) {
        struct raft_status status;
        raft_node_status(scene.others[i]->node, &status);
        next = status.role == RAFT_ROLE_LEADER ? scene.others[i] : NULL;
        fake_run(scene.group, 1);
        assert_true(scene.group->now - began < 10 * FAKE_ET);
    }
    depose(next, 20 * FAKE_ET, &call);
    fake_run(scene.group, 2 * FAKE_HB);
    assert_int_equal(call.times, 1);
    assert_int_equal(call.result.code, 0);
    assert_held_by(&scene, next);
    fake_group_free(scene.group);
}

static void what_names_no_lease_is_answered(void **state)
{
    (void)state;
    struct scene scene;
    struct fake_call call;
    make_scene(&scene, 44);
    acquire(scene.others[0]);
    apply(scene.others[0], &(struct store_command){.type = STORE_LEASE_REVOKE, .lease = OLD});
    fake_run(scene.group, 100);
    depose(scene.others[1], 20 * FAKE_ET, &call);
    fake_run(scene.group, 100);
    assert_int_equal(call.times, 1);
    assert_int_equal(call.rc, 0);
    assert_int_equal(call.result.code, ERR_CONFLICT);
    fake_group_free(scene.group);
}

static void the_status_tells_whom_a_member_hears(void **state)
{
    (void)state;
    struct scene scene;
    struct raft_status status;
    make_scene(&scene, 45);
    raft_node_status(scene.others[0]->node, &status);
    for (size_t i = 0; i < status.member_count; i++) {
        bool leader = status.members[i].id == scene.leader->id;
        int64_t ago_ms = scene.group->now - status.members[i].heard_mono_ms;
        assert_true(leader ? ago_ms <= 2 * FAKE_HB : status.members[i].heard_mono_ms < 1000);
    }
    fake_group_free(scene.group);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            a_follower_is_called_off_when_the_leader_has_not_heard_it_for_an_election_timeout),
        cmocka_unit_test(a_leader_that_asks_itself_waits_likewise),
        cmocka_unit_test(a_new_leader_listens_before_it_calls_anybody_off),
        cmocka_unit_test(a_new_leader_has_heard_its_predecessor),
        cmocka_unit_test(the_raft_leader_is_not_called_off_by_its_own_leave),
        cmocka_unit_test(what_names_no_lease_is_answered),
        cmocka_unit_test(the_status_tells_whom_a_member_hears),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
