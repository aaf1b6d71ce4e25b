/* A member that needs a snapshot over a link which takes several election timeouts for it, while
 * the third one is dead: the leader goes on leading, for its heartbeats pass between the pieces. */
#include "group_fixture.h"
#include "slow_link.h"

#include <signal.h>

#define SLOW_ELECTION_MS 600
#define RATE             ((size_t)192 * 1024)
#define VALUES           16
#define VALUE_BYTES      ((size_t)56 * 1024)
#define ENTRIES          1700 /* more than make a snapshot, and trail behind it */

static struct slow_link slow;

struct filling {
    size_t at;
    unsigned proposed;
    unsigned answered;
    unsigned failed;
    unsigned count;
    size_t value_bytes;
};

static void on_filled(void *arg, int rc, const struct store_result *result)
{
    struct filling *filling = arg;
    filling->answered++;
    filling->failed += rc != 0 || result == NULL || result->code != 0;
}

static bool is_filled(struct rig *rig, void *arg)
{
    static uint8_t value[VALUE_BYTES];
    struct filling *filling = arg;
    while (filling->proposed < filling->count && filling->proposed < filling->answered + 64) {
        char key[32];
        struct error err = {0};
        (void)snprintf(key, sizeof key, "/%zu/%u", filling->value_bytes, filling->proposed % 16);
        struct store_op op = {.type = STORE_OP_PUT,
                              .key = span_str(key),
                              .value = span_of(value, filling->value_bytes)};
        struct store_command command = {.type = STORE_TXN, .success = &op, .success_count = 1};
        if (raft_node_propose(node_of(rig, filling->at), &command, 20000, 0, on_filled, filling,
                              &err) != 0) {
            fail_msg("%s", err.text);
        }
        filling->proposed++;
    }
    return filling->answered == filling->count;
}

static void fill(struct rig *rig, size_t at, unsigned count, size_t value_bytes)
{
    struct filling filling = {.at = at, .count = count, .value_bytes = value_bytes};
    wait_for(rig, is_filled, &filling, 60000, "the store is filled");
    assert_int_equal(filling.failed, 0);
}

/* Until the next call. */
static const struct raft_status *status_of(struct rig *rig, size_t at)
{
    static struct raft_status status;
    raft_node_status(node_of(rig, at), &status);
    return &status;
}

static bool leader_reaches_third(struct rig *rig, void *arg)
{
    const struct raft_status *status = status_of(rig, *(size_t *)arg);
    for (size_t i = 0; i < status->member_count; i++) {
        if (strcmp(status->members[i].name, "node3") == 0) {
            return status->members[i].connected;
        }
    }
    return false;
}

static void nobody_is_elected_while_a_snapshot_takes_several_election_timeouts(void **state)
{
    (void)state;
    static struct rig rig;
    rig_init(&rig, 3, PASSWORD);
    rig.election_ms = SLOW_ELECTION_MS;
    rig.heartbeat_ms = SLOW_ELECTION_MS / 10;
    struct member *third = &rig.members[2];
    slow_link_start(&slow, &rig.loop, (uint16_t)atoi(strchr(third->address, ':') + 1));
    (void)snprintf(third->bind, sizeof third->bind, "%s", third->address);
    (void)snprintf(third->address, sizeof third->address, "127.0.0.1:%u", slow.port);
    members_start(&rig);
    wait_for(&rig, all_are_voters, NULL, 10000, "the members elect a leader and know one another");
    member_stop(&rig, 2);
    wait_for(&rig, has_leader, NULL, 10000, "one of two leads");
    size_t leader = (size_t)leader_of(&rig);
    fill(&rig, leader, VALUES, VALUE_BYTES);
    fill(&rig, leader, ENTRIES, 1);
    assert_int_equal(leader_of(&rig), (int)leader);

    slow.rate = RATE;
    uint64_t passed = slow.passed;
    member_start(&rig, 2);
    wait_for(&rig, leader_reaches_third, &leader, 10000, "the leader calls the third member");
    member_stop(&rig, 1 - leader);
    uint64_t term = status_of(&rig, leader)->term;
    uint64_t began_ns = uv_hrtime();
    uint64_t until_ns = began_ns + UINT64_C(60000000000);
    struct expected expected = {.at = 2, .key = "/1/0"};
    struct store_kv kv;
    while (!store_get(raft_node_store(node_of(&rig, 2)), span_str(expected.key), &kv)) {
        assert_true(uv_hrtime() < until_ns);
        if (leader_of(&rig) != (int)leader || status_of(&rig, leader)->term != term) {
            for (size_t i = 0; i < 3; i++) {
                member_print(&rig.members[i]);
            }
            fail_msg("no leader, or another, %d ms after the start of the snapshot",
                     (int)((uv_hrtime() - began_ns) / 1000000));
        }
        uv_run(&rig.loop, UV_RUN_ONCE);
    }
    uint64_t took_ms = (uv_hrtime() - began_ns) / 1000000;
    size_t bytes = (size_t)(slow.passed - passed);
    print_message("%d ms, %zu bytes\n", (int)took_ms, bytes);
    assert_true(took_ms > UINT64_C(4) * SLOW_ELECTION_MS);
    assert_true(bytes > VALUES * VALUE_BYTES); /* a snapshot, and once */
    assert_true(bytes < VALUES * VALUE_BYTES * 3 / 2);
    assert_int_equal(put(&rig, leader, "/b", "two", 5000), 0); /* by these two */
    assert_true(status_of(&rig, leader)->term == term);
    slow_link_stop(&slow);
    rig_free(&rig);
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN); /* as every program with sockets does */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_is_elected_while_a_snapshot_takes_several_election_timeouts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
