/* A leader that stops in order, on real connections and files: nobody waits for an election
 * timeout. */
#include "group_fixture.h"

/* The others do not stand for election earlier than a timeout after the leader's last word: long
 * enough here that a loaded machine is not taken for one that waited. */
enum { TIMEOUT_MS = 2000, GONE_MS = 1500, ROUNDS = 5 };

struct round {
    size_t leaves;
    uint64_t retired_ns;
    int rc;
    bool retired;
};

/* All running members know one leader that is another than the one that left, and have the last
 * write. */
static bool others_go_on(struct rig *rig, void *arg)
{
    const struct round *round = arg;
    static struct raft_status status;
    int leader = leader_of(rig);
    if (leader < 0 || (size_t)leader == round->leaves) {
        return false;
    }
    raft_node_status(node_of(rig, (size_t)leader), &status);
    uint64_t id = status.id;
    for (size_t i = 0; i < rig->count; i++) {
        struct expected expected = {.at = i, .key = "/last", .value = rig->members[i].name};
        expected.value = rig->members[round->leaves].name;
        if (i == round->leaves) {
            continue;
        }
        raft_node_status(node_of(rig, i), &status);
        if (status.leader != id || !has_value(rig, &expected)) {
            return false;
        }
    }
    return true;
}

static void on_retired(void *arg, int rc, const struct store_result *result)
{
    struct round *round = arg;
    (void)result;
    round->rc = rc;
    round->retired = true;
}

static bool is_retired(struct rig *rig, void *arg)
{
    (void)rig;
    return ((struct round *)arg)->retired;
}

static void leave(struct rig *rig, struct round *round)
{
    struct raft_node *node = node_of(rig, round->leaves);
    struct answer answer = {0};
    struct store_op op = {.type = STORE_OP_PUT,
                          .key = span_str("/last"),
                          .value = span_str(rig->members[round->leaves].name)};
    struct store_command command = {.type = STORE_TXN, .success = &op, .success_count = 1};
    assert_int_equal(raft_node_propose(node, &command, 3000, 0, on_answer, &answer, NULL), 0);
    wait_for(rig, is_answered, &answer, 3000, "the last write is answered");
    round->retired_ns = uv_hrtime();
    raft_node_retire(node, GONE_MS, on_retired, round);
    wait_for(rig, is_retired, round, 2 * GONE_MS, "the leader retires");
    member_stop(rig, round->leaves);
}

static void when_the_leader_stops_in_order_the_others_go_on_at_once(void **state)
{
    (void)state;
    static struct rig rig;
    rig_init(&rig, 3, PASSWORD);
    rig.election_ms = TIMEOUT_MS;
    members_start(&rig);
    for (int n = 0; n < ROUNDS; n++) {
        wait_for(&rig, all_connected, NULL, 20000, "all are there");
        struct round round = {.leaves = (size_t)leader_of(&rig)};
        leave(&rig, &round);
        assert_int_equal(round.rc, 0);
        wait_for(&rig, others_go_on, &round, 2 * TIMEOUT_MS,
                 "the others have a leader and the write");
        uint64_t took_ms = (uv_hrtime() - round.retired_ns) / 1000000;
        print_message("handed over, stopped and known after %llu ms\n",
                      (unsigned long long)took_ms);
        assert_in_range(took_ms, 0, GONE_MS);
        assert_int_equal(put(&rig, (round.leaves + 1) % 3, "/next", "1", 1000), 0);
        member_start(&rig, round.leaves);
    }
    rig_free(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(when_the_leader_stops_in_order_the_others_go_on_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
