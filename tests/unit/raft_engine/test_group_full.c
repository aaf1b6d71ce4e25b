/* A store at its limit still travels to a member that lost everything. */
#include "group_fixture.h"

#include <signal.h>

static int put_large(struct rig *rig, size_t at, unsigned number, char *value)
{
    char key[32];
    (void)snprintf(key, sizeof key, "/large/%04u", number);
    memset(value, (int)('a' + number % 26), STORE_VALUE_BYTES_MAX - 1);
    return put(rig, at, key, value, 10000);
}

struct wiped {
    size_t at;
    uint64_t old_id;
};

static bool is_a_new_voter(struct rig *rig, void *arg)
{
    const struct wiped *wiped = arg;
    static struct raft_status status;
    struct raft_node *node = node_of(rig, wiped->at);
    if (node == NULL || !all_are_voters(rig, NULL)) {
        return false;
    }
    raft_node_status(node, &status);
    return status.id != wiped->old_id;
}

static void a_full_store_reaches_a_member_that_lost_everything(void **state)
{
    (void)state;
    static struct rig rig;
    rig_init(&rig, 3, PASSWORD);
    members_start(&rig);
    wait_for(&rig, all_are_voters, NULL, 10000, "the members elect a leader and know one another");
    char *value = mem_alloc(STORE_VALUE_BYTES_MAX);
    value[STORE_VALUE_BYTES_MAX - 1] = '\0';
    size_t leader = (size_t)leader_of(&rig);
    unsigned count = 0;
    int rc = 0;
    while ((rc = put_large(&rig, leader, count, value)) == 0) {
        count++;
        assert_true(count <= STORE_BYTES_MAX / (STORE_VALUE_BYTES_MAX - 1));
    }
    assert_int_equal(rc, ERR_LIMIT);

    struct wiped wiped = {.at = (leader + 1) % 3};
    static struct raft_status status;
    raft_node_status(node_of(&rig, wiped.at), &status);
    wiped.old_id = status.id;
    member_stop(&rig, wiped.at);
    dir_remove(rig.members[wiped.at].dir);
    member_start(&rig, wiped.at);
    wait_for(&rig, is_a_new_voter, &wiped, 30000,
             "the wiped member is a voter with all of the store");
    memset(value, (int)('a' + (count - 1) % 26), STORE_VALUE_BYTES_MAX - 1);
    char key[32];
    (void)snprintf(key, sizeof key, "/large/%04u", count - 1);
    struct expected expected = {.at = wiped.at, .key = key, .value = value};
    wait_for(&rig, has_value, &expected, 5000, "the last value is there");
    assert_int_equal(put(&rig, wiped.at, "/large/0000", "small", 5000), 0);
    mem_free(value);
    rig_free(&rig);
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN); /* as every program with sockets does */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_store_reaches_a_member_that_lost_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
