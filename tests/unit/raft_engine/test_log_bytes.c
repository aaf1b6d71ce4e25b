/* Large values: what the log may hold in memory and on disk is bounded in bytes, not in entries. */
#include "tests/unit/raft_engine/fake_group.h"

#define PUTS 200
/* Trailing entries, those since the snapshot, and what is under way while the next one is stored.
 */
#define LOG_BYTES_MAX (NODE_SNAPSHOT_LOG_BYTES + 8 * NODE_SUBMIT_BYTES_MAX)

static size_t disk_bytes(const struct fake_node *fake)
{
    size_t bytes = 0;
    for (size_t i = 0; i < fake->disk.entry_count; i++) {
        bytes += fake->disk.entries[i].data.len;
    }
    return bytes;
}

/* Of the largest size; the caller frees it. */
static char *large_value(void)
{
    char *value = mem_alloc(STORE_VALUE_BYTES_MAX);
    memset(value, 'a', STORE_VALUE_BYTES_MAX - 1);
    value[STORE_VALUE_BYTES_MAX - 1] = '\0';
    return value;
}

/* The same key again and again, so that the store stays small. */
static void put_large(struct fake_group *group, struct fake_node *leader, char *value, unsigned i)
{
    struct fake_call call;
    memset(value, (int)('a' + i % 26), STORE_VALUE_BYTES_MAX - 1);
    fake_put(leader, "large", value, 2000, 0, &call);
    fake_run(group, 20);
    assert_int_equal(call.times, 1);
    assert_int_equal(call.rc, 0);
}

static void large_entries_do_not_trail(void **state)
{
    (void)state;
    struct fake_node *leader = fake_group_led(3, 1);
    struct fake_group *group = leader->group;
    char *value = large_value();
    fake_run(group, 1000);
    struct fake_node *behind = &group->nodes[leader->id % 3];
    for (unsigned i = 0; i < PUTS; i++) {
        behind->cut = i >= PUTS / 2;
        put_large(group, leader, value, i);
        for (size_t j = 0; j < 3; j++) {
            assert_true(group->nodes[j].node->cache.bytes <= LOG_BYTES_MAX);
            assert_true(disk_bytes(&group->nodes[j]) <= LOG_BYTES_MAX);
        }
    }
    behind->cut = false; /* by a snapshot: the entries it misses are gone */
    fake_run(group, 2000);
    assert_true(fake_has(behind, "large", value));
    fake_check_equal(group);
    fake_crash(behind, 99);
    fake_start_node(behind);
    fake_run(group, 2000);
    assert_true(fake_has(behind, "large", value));
    mem_free(value);
    fake_group_free(group);
}

static uint64_t silent;

static bool drop_its_answers(struct fake_group *group, uint64_t from, uint64_t to,
                             const struct peer_message *message)
{
    (void)group;
    (void)to;
    return from == silent && message->kind == PEER_APPEND_RESULT;
}

/* The leader hears nothing of a follower that stores, applies and compacts beyond what the leader
 * believes it has. */
static void a_follower_that_compacted_ahead_of_what_it_confirmed_goes_on(void **state)
{
    (void)state;
    struct fake_node *leader = fake_group_led(3, 5);
    struct fake_group *group = leader->group;
    struct raft_status status;
    char *value = large_value();
    fake_run(group, 1000);
    struct fake_node *follower = &group->nodes[leader->id % 3];
    raft_index match = 0;
    silent = follower->id;
    group->drops = drop_its_answers;
    for (unsigned i = 0; i < 30; i++) {
        put_large(group, leader, value, i);
        put_large(group, leader, value, i);
        assert_int_equal(raft_match_index(&leader->node->raft, silent, &match), 0);
    }
    assert_true(follower->node->cache.first > match + 1);
    group->drops = NULL;
    fake_run(group, 2 * FAKE_ET);
    put_large(group, leader, value, 31);
    fake_run(group, 2 * FAKE_ET);
    raft_node_status(leader->node, &status);
    assert_int_equal(raft_match_index(&leader->node->raft, silent, &match), 0);
    assert_int_equal(match, status.last_index);
    fake_check_equal(group);
    mem_free(value);
    fake_group_free(group);
}

/* Small entries trail as many as they are told to. */
static void small_entries_trail_by_their_number(void **state)
{
    (void)state;
    struct fake_group *group = fake_group_new(1, 2);
    struct fake_call call;
    group->threshold = 64;
    group->trailing = 16;
    struct fake_node *leader = fake_lead(group);
    for (unsigned i = 0; i < 200; i++) {
        fake_put(leader, "small", "1", 2000, 0, &call);
        fake_run(group, 5);
        assert_int_equal(call.rc, 0);
    }
    const struct fake_disk *disk = &leader->disk;
    assert_true(disk->has_snapshot);
    assert_int_equal(disk->snapshot_index - disk->entries[0].index + 1, 16);
    fake_group_free(group);
}

/* A snapshot of a large store is not written again for a few entries: the log may grow as large. */
static void a_large_store_is_not_written_for_every_few_entries(void **state)
{
    (void)state;
    struct fake_node *leader = fake_group_led(1, 3);
    struct fake_group *group = leader->group;
    char *value = large_value();
    char key[16];
    struct fake_call call;
    unsigned snapshots = 0;
    uint64_t newest = 0;
    for (unsigned i = 0; i < 80; i++) {
        (void)snprintf(key, sizeof key, "%u", i % 16);
        fake_put(leader, key, value, 2000, 0, &call);
        fake_run(group, 20);
        assert_int_equal(call.rc, 0);
        snapshots += i >= 40 && leader->disk.snapshot_index != newest;
        newest = leader->disk.snapshot_index;
    }
    assert_in_range(snapshots, 1, 4); /* 60 MiB of log, 24 MiB of store */
    mem_free(value);
    fake_group_free(group);
}

static int propose_large(struct fake_node *fake, const char *value, struct fake_call *call)
{
    struct store_op op = {.type = STORE_OP_PUT, .key = span_str("large"), .value = span_str(value)};
    struct store_command command = {.type = STORE_TXN, .success = &op, .success_count = 1};
    return raft_node_propose(fake->node, &command, 500, 0, fake_done, call, NULL);
}

/* Nobody leads, and who proposes does not wait for that. */
static void commands_that_wait_are_bounded_in_bytes(void **state)
{
    (void)state;
    struct fake_group *group = fake_group_new(3, 6);
    struct fake_call call = {0};
    char *value = large_value();
    unsigned taken = 0;
    fake_start_node(&group->nodes[0]);
    while (taken < RAFT_NODE_PENDING_MAX && propose_large(&group->nodes[0], value, &call) == 0) {
        taken++;
    }
    assert_in_range(taken * STORE_VALUE_BYTES_MAX, NODE_PENDING_BYTES_MAX / 2,
                    NODE_PENDING_BYTES_MAX + STORE_COMMAND_BYTES_MAX);
    assert_int_equal(propose_large(&group->nodes[0], value, &call), ERR_LIMIT);
    struct fake_call small;
    fake_put(&group->nodes[0], "small", "1", 500, 0, &small); /* such as a renewal */
    fake_run(group, 1000);
    assert_int_equal(call.times, taken);
    assert_int_equal(call.rc, ERR_UNAVAILABLE);
    assert_int_equal(propose_large(&group->nodes[0], value, &call), 0);
    mem_free(value);
    fake_group_free(group);
}

/* The others forward to a leader whose disk takes nothing for a while. */
static void forwarded_commands_are_bounded_in_bytes(void **state)
{
    (void)state;
    struct fake_node *leader = fake_group_led(3, 7);
    struct fake_group *group = leader->group;
    struct fake_call call = {0};
    char *value = large_value();
    fake_run(group, 1000);
    for (size_t i = 0; i < 3; i++) {
        group->nodes[i].disk_stopped = true;
    }
    unsigned taken = 0;
    while (taken < 300) {
        for (size_t i = 0; i < 3; i++) {
            taken += propose_large(&group->nodes[i], value, &call) == 0 ? 1 : 0;
        }
        fake_run(group, 1);
        assert_true(leader->node->submit_bytes <= NODE_PENDING_BYTES_MAX + STORE_COMMAND_BYTES_MAX);
        assert_true(leader->node->cache.bytes <= NODE_JOBS_BYTES_MAX + 4 * NODE_SUBMIT_BYTES_MAX);
    }
    assert_true(leader->node->submit_bytes >= NODE_PENDING_BYTES_MAX);
    struct fake_call small;
    fake_put(&group->nodes[leader->id % 3], "small", "1", 5000, 1, &small);
    for (size_t i = 0; i < 3; i++) {
        group->nodes[i].disk_stopped = false;
    }
    fake_run(group, 3000);
    assert_int_equal(call.times, taken); /* each ends, in whatever way */
    assert_true(fake_has(leader, "large", value));
    assert_int_equal(small.rc, 0);
    fake_check_equal(group);
    mem_free(value);
    fake_group_free(group);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(large_entries_do_not_trail),
        cmocka_unit_test(a_follower_that_compacted_ahead_of_what_it_confirmed_goes_on),
        cmocka_unit_test(commands_that_wait_are_bounded_in_bytes),
        cmocka_unit_test(forwarded_commands_are_bounded_in_bytes),
        cmocka_unit_test(small_entries_trail_by_their_number),
        cmocka_unit_test(a_large_store_is_not_written_for_every_few_entries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
