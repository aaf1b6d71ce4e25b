/* Format 2 of the store over real connections: members tell in their handshakes that they know it,
 * and one that joins later does, too. */
#include "group_fixture.h"

#include "raft/store_client.h"

#include <signal.h>

struct opening {
    bool asked;
    bool done;
    int rc;
};

static void on_opened(void *arg, int rc, const struct store_result *result)
{
    struct opening *opening = arg;
    (void)result;
    opening->done = true;
    opening->rc = rc;
}

/* Asks member 1 until it is connected with both others. */
static bool is_opened(struct rig *rig, void *arg)
{
    struct opening *opening = arg;
    if (!opening->asked) {
        opening->asked =
            raft_node_open_format_2(node_of(rig, 1), 5000, on_opened, opening, NULL) == 0;
    }
    return opening->done;
}

struct written {
    bool done;
    int rc;
    int64_t count;
};

static void on_written(void *arg, int rc, const struct store_result *result)
{
    struct written *written = arg;
    written->done = true;
    written->rc = rc;
    if (result != NULL && result->output != NULL && result->output->txn.op_count == 2) {
        written->count = result->output->txn.ops[1].count;
    }
}

static bool is_written(struct rig *rig, void *arg)
{
    (void)rig;
    return ((struct written *)arg)->done;
}

/* How many keys there are after it, as its own output says. */
static int64_t put_as_client(struct rig *rig, size_t at, const char *key)
{
    struct store_client_op ops[] = {
        {.type = STORE_CLIENT_PUT, .range = {.key = span_str(key)}, .value = span_str("v")},
        {.type = STORE_CLIENT_RANGE, .range = {.key = span_str("k"), .range_end = span_str("l")}},
    };
    struct store_client_txn txn = {.success = ops, .success_count = 2};
    struct store_command command = {.type = STORE_CLIENT_TXN, .client_txn = &txn};
    struct written written = {.count = -1};
    struct error err = {0};
    if (raft_node_propose_plain(node_of(rig, at), &command, 5000, on_written, &written, &err) !=
        0) {
        fail_msg("%s", err.text);
    }
    wait_for(rig, is_written, &written, 7000, "a client's put is answered");
    assert_int_equal(written.rc, 0);
    return written.count;
}

static bool knows_format_2(struct rig *rig, void *arg)
{
    struct raft_node *node = node_of(rig, *(size_t *)arg);
    return node != NULL && store_format(raft_node_store(node)) == 2;
}

static void members_open_format_2_and_a_wiped_one_joins_it(void **state)
{
    (void)state;
    static struct rig rig;
    struct opening opening = {.asked = false};
    rig_init(&rig, 3, PASSWORD);
    members_start(&rig);
    wait_for(&rig, all_are_voters, NULL, 10000, "the members elect a leader and know one another");
    wait_for(&rig, is_opened, &opening, 10000, "format 2 is opened");
    assert_int_equal(opening.rc, 0);
    for (size_t i = 0; i < 3; i++) {
        wait_for(&rig, knows_format_2, &i, 5000, "every member has it");
        char key[8];
        (void)snprintf(key, sizeof key, "k%zu", i);
        assert_int_equal(put_as_client(&rig, i, key), (int64_t)i + 1);
    }
    size_t wiped = ((size_t)leader_of(&rig) + 1) % 3;
    member_stop(&rig, wiped);
    dir_remove(rig.members[wiped].dir);
    member_start(&rig, wiped);
    wait_for(&rig, all_are_voters, NULL, 30000, "the wiped member is a voter again");
    wait_for(&rig, knows_format_2, &wiped, 5000, "it has format 2");
    assert_int_equal(put_as_client(&rig, wiped, "k9"), 4);
    rig_free(&rig);
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN); /* as every program with sockets does */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_open_format_2_and_a_wiped_one_joins_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
