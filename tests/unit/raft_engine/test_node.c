/* A whole group on a fake environment: elections, commands, restarts, snapshots, full disks. Reads,
 * leases and members: test_node_*.c. */
#include "tests/unit/raft_engine/fake_wire.h"

static void three_members_elect_one_leader_and_apply_a_command(void **state)
{
    (void)state;
    struct fake_node *leader = fake_group_led(3, 1);
    struct fake_group *group = leader->group;
    struct fake_call call;
    fake_put(leader, "a", "1", 1000, 0, &call);
    assert_int_equal(call.times, 0); /* never inside the call */
    fake_run(group, 100);
    assert_int_equal(call.times, 1);
    assert_int_equal(call.rc, 0);
    assert_true(call.has_result);
    for (size_t i = 0; i < 3; i++) {
        assert_true(fake_has(&group->nodes[i], "a", "1"));
    }
    fake_check_equal(group);
    fake_group_free(group);
}

static void a_follower_forwards_and_is_answered_when_it_has_applied(void **state)
{
    (void)state;
    struct fake_node *leader = fake_group_led(3, 2);
    struct fake_group *group = leader->group;
    struct fake_call call;
    struct fake_node *follower = &group->nodes[leader->id % 3];
    fake_put(follower, "a", "1", 1000, 0, &call);
    int64_t end = group->now + 1000;
    while (call.times == 0 && group->now < end) {
        fake_run(group, 1);
    }
    assert_int_equal(call.rc, 0);
    assert_true(fake_has(follower, "a", "1"));
    fake_group_free(group);
}

static void commits_reach_followers_before_the_next_heartbeat(void **state)
{
    (void)state;
    struct fake_node *leader = fake_group_led(3, 25);
    struct fake_group *group = leader->group;
    fake_run(group, 4 * FAKE_ET);
    for (size_t i = 0; i < 3; i++) {
        struct fake_call call;
        fake_put(&group->nodes[(leader->id + i) % 3], "a", "1", 1000, 0, &call);
        fake_run(group,
                 FAKE_HB /
                     2); /* forward, replicate, store, confirm, tell: five times a millisecond */
        assert_int_equal(call.times, 1);
    }
    fake_group_free(group);
}

static bool drop_first_proposal(struct fake_group *group, uint64_t from, uint64_t to,
                                const struct peer_message *message)
{
    (void)from;
    (void)to;
    return message->kind == PEER_PROPOSE && group->sent[PEER_PROPOSE] == 1;
}

static void a_lost_proposal_is_sent_again_after_an_election_timeout(void **state)
{
    (void)state;
    struct fake_node *leader = fake_group_led(3, 3);
    struct fake_group *group = leader->group;
    struct fake_call call;
    struct fake_node *follower = &group->nodes[leader->id % 3];
    fake_run(group, 4 * FAKE_ET); /* member records are written */
    group->sent[PEER_PROPOSE] = 0;
    group->drops = drop_first_proposal;
    fake_put(follower, "a", "1", 2000, 0, &call);
    fake_run(group, FAKE_ET / 2);
    assert_int_equal(call.times, 0);
    fake_run(group, FAKE_ET);
    assert_int_equal(call.times, 1);
    assert_int_equal(call.rc, 0);
    assert_false(call.result.repeated);
    fake_group_free(group);
}

static void a_proposal_with_one_attempt_is_not_sent_again(void **state)
{
    (void)state;
    struct fake_node *leader = fake_group_led(3, 3);
    struct fake_group *group = leader->group;
    struct fake_call call;
    struct fake_node *follower = &group->nodes[leader->id % 3];
    fake_run(group, 4 * FAKE_ET);
    group->sent[PEER_PROPOSE] = 0;
    group->drops = drop_first_proposal;
    fake_put(follower, "a", "1", 1000, 1, &call);
    fake_run(group, 1500);
    assert_int_equal(group->sent[PEER_PROPOSE], 1);
    assert_int_equal(call.times, 1);
    assert_int_equal(call.rc, ERR_UNKNOWN);
    fake_group_free(group);
}

static void without_a_leader_a_proposal_was_never_sent(void **state)
{
    (void)state;
    struct fake_group *group = fake_group_new(3, 4);
    struct fake_call call;
    fake_start_node(&group->nodes[0]);
    fake_put(&group->nodes[0], "a", "1", 500, 0, &call);
    fake_run(group, 1000);
    assert_int_equal(call.times, 1);
    assert_int_equal(call.rc, ERR_UNAVAILABLE);
    fake_group_free(group);
}

static void a_proposal_survives_the_death_of_the_leader_once(void **state)
{
    (void)state;
    struct fake_node *leader = fake_group_led(3, 5);
    struct fake_group *group = leader->group;
    struct fake_call call;
    struct fake_node *follower = &group->nodes[leader->id % 3];
    fake_run(group, 4 * FAKE_ET);
    int64_t revision = store_revision(raft_node_store(follower->node));
    fake_put(follower, "a", "1", 5000, 0, &call);
    fake_run(group, 1); /* at the leader, perhaps in its log */
    fake_crash(leader, 0);
    fake_run(group, 3000);
    assert_int_equal(call.times, 1);
    assert_int_equal(call.rc, 0);
    fake_start_node(leader);
    fake_run(group, 2000);
    assert_int_equal(store_revision(raft_node_store(follower->node)), revision + 1);
    fake_check_equal(group);
    fake_group_free(group);
}

static void stop_cancels_what_waits(void **state)
{
    (void)state;
    struct fake_group *group = fake_group_new(3, 6);
    struct fake_call call;
    struct fake_call read = {0};
    fake_start_node(&group->nodes[0]);
    fake_put(&group->nodes[0], "a", "1", 500, 0, &call);
    assert_int_equal(raft_node_read(group->nodes[0].node, 500, fake_done, &read, NULL), 0);
    fake_crash(&group->nodes[0], 0);
    assert_int_equal(call.times, 1);
    assert_int_equal(call.rc, ERR_CANCELED);
    assert_int_equal(read.times, 1);
    assert_int_equal(read.rc, ERR_CANCELED);
    fake_group_free(group);
}

static void the_pending_window_has_an_end(void **state)
{
    (void)state;
    struct fake_group *group = fake_group_new(3, 7);
    struct store_command command = {.type = STORE_LEASE_REVOKE, .lease = 1};
    struct fake_call call = {0};
    fake_start_node(&group->nodes[0]);
    for (unsigned i = 0; i < RAFT_NODE_PENDING_MAX; i++) {
        assert_int_equal(
            raft_node_propose(group->nodes[0].node, &command, 100, 0, fake_done, &call, NULL), 0);
    }
    assert_int_equal(
        raft_node_propose(group->nodes[0].node, &command, 100, 0, fake_done, &call, NULL),
        ERR_LIMIT);
    fake_run(group, 200);
    assert_int_equal(call.times, RAFT_NODE_PENDING_MAX);
    assert_int_equal(
        raft_node_propose(group->nodes[0].node, &command, 100, 0, fake_done, &call, NULL), 0);
    fake_group_free(group);
}

static void clients_leave_room_for_the_members_own_commands(void **state)
{
    (void)state;
    struct fake_group *group = fake_group_new(3, 7);
    struct store_command command = {.type = STORE_LEASE_REVOKE, .lease = 1};
    struct fake_call call = {0};
    unsigned taken = 0;
    fake_start_node(&group->nodes[0]);
    struct raft_node *node = group->nodes[0].node;
    while (raft_node_propose_plain(node, &command, 100, fake_done, &call, NULL) == 0) {
        taken++;
    }
    assert_int_equal(taken, RAFT_NODE_PENDING_PLAIN_MAX);
    assert_int_equal(raft_node_propose(node, &command, 100, 0, fake_done, &call, NULL), 0);
    fake_run(group, 200);
    assert_int_equal(call.times, taken + 1);
    fake_group_free(group);
}

static void five_thousand_pipelined_commands_all_complete(void **state)
{
    (void)state;
    struct fake_node *leader = fake_group_led(3, 8);
    struct fake_group *group = leader->group;
    static struct fake_call calls[5000];
    unsigned sent = 0;
    unsigned done = 0;
    leader->disk_delay = 0; /* faster than everybody's answer */
    int64_t end = group->now + 60000;
    while (done < 5000 && group->now < end) {
        while (sent < 5000 && sent - done < 900) {
            char key[16];
            (void)snprintf(key, sizeof(key), "k%u", sent);
            fake_put(leader, key, "v", 60000, 0, &calls[sent++]);
        }
        fake_run(group, 1);
        for (done = 0; done < sent && calls[done].times == 1 && calls[done].rc == 0; done++) {
        }
    }
    assert_int_equal(done, 5000);
    fake_run(group, 200);
    fake_check_equal(group);
    for (size_t i = 0; i < 3; i++) {
        assert_true(group->nodes[i].disk.has_snapshot); /* threshold 1024 */
        assert_true(group->nodes[i].disk.entry_count <=
                    NODE_SNAPSHOT_THRESHOLD + NODE_SNAPSHOT_TRAILING + 128);
    }
    fake_group_free(group);
}

/* Of a state of 100 kB every eighth entry would be a snapshot; so it waits for as much log as the
 * state is worth, or, where the entries are small, for so many that their number counts. */
static void a_large_state_is_not_written_every_threshold(void **state)
{
    (void)state;
    struct fake_group *group = fake_group_new(3, 9);
    struct fake_call call;
    char *large = mem_alloc(100001);
    memset(large, 'x', 100000);
    large[100000] = '\0';
    group->threshold = 8;
    group->threshold_max = 64;
    group->trailing = 4;
    struct fake_node *leader = fake_lead(group);
    fake_put(leader, "large", large, 1000, 0, &call);
    for (int i = 0; i < 8; i++) {
        fake_put(leader, "k", "v", 1000, 0, &call);
        fake_run(group, 20);
    }
    uint64_t first = leader->disk.snapshot_index;
    assert_true(first > 0 && leader->disk.snapshot.len > 100000);
    for (int i = 0; i < 50; i++) {
        fake_put(leader, "k", "v", 1000, 0, &call);
        fake_run(group, 20);
        assert_int_equal(call.rc, 0);
    }
    assert_int_equal(leader->disk.snapshot_index, first);
    for (int i = 0; i < 20; i++) {
        fake_put(leader, "k", "v", 1000, 0, &call);
        fake_run(group, 20);
    }
    assert_int_equal(leader->disk.snapshot_index, first + 64);
    for (int i = 0; i < 5; i++) { /* and by its size long before that */
        fake_put(leader, "large", large, 1000, 0, &call);
        fake_run(group, 20);
    }
    assert_int_equal(call.rc, 0);
    assert_true(leader->disk.snapshot_index > first + 64 &&
                leader->disk.snapshot_index < first + 100);
    fake_check_equal(group);
    mem_free(large);
    fake_group_free(group);
}

static void all_restart_and_hold_the_same_state(void **state)
{
    (void)state;
    struct fake_group *group = fake_group_new(3, 9);
    struct fake_call call;
    group->threshold = 8;
    group->trailing = 4;
    struct fake_node *leader = fake_lead(group);
    for (int i = 0; i < 30; i++) {
        char key[8];
        (void)snprintf(key, sizeof(key), "k%d", i);
        fake_put(leader, key, "v", 1000, 0, &call);
        fake_run(group, 20);
        assert_int_equal(call.rc, 0);
    }
    for (size_t i = 0; i < 3; i++) {
        fake_crash(&group->nodes[i], 0);
    }
    fake_start_all(group);
    assert_non_null(fake_elect(group, 8 * FAKE_ET));
    fake_run(group, 1000);
    assert_true(fake_has(&group->nodes[0], "k29", "v"));
    fake_check_equal(group);
    fake_group_free(group);
}

static void a_member_that_was_away_gets_a_snapshot(void **state)
{
    (void)state;
    struct fake_group *group = fake_group_new(3, 10);
    struct fake_call call;
    group->threshold = 8;
    group->trailing = 4;
    struct fake_node *leader = fake_lead(group);
    struct fake_node *away = &group->nodes[leader->id % 3];
    fake_run(group, 4 * FAKE_ET);
    away->cut = true;
    for (int i = 0; i < 40; i++) {
        char key[8];
        (void)snprintf(key, sizeof(key), "k%d", i);
        fake_put(leader, key, "v", 1000, 0, &call);
        fake_run(group, 20);
        assert_int_equal(call.rc, 0);
    }
    away->cut = false;
    fake_run(group, 2000);
    assert_true(group->sent[PEER_SNAPSHOT] > 0);
    assert_true(fake_has(away, "k39", "v"));
    fake_check_equal(group);
    fake_group_free(group);
}

/* --- disk ------------------------------------------------------------------------------------- */

static void a_leader_with_a_full_disk_gives_up_and_comes_back(void **state)
{
    (void)state;
    struct fake_node *leader = fake_group_led(3, 22);
    struct fake_group *group = leader->group;
    struct fake_call call;
    fake_run(group, 1000);
    leader->disk_stopped = true;
    raft_node_storage_full(leader->node, true);
    fake_run(group, 6 * FAKE_ET);
    struct fake_node *next = fake_leader(group);
    assert_non_null(next);
    assert_ptr_not_equal(next, leader);
    fake_put(next, "a", "1", 1000, 0, &call);
    fake_run(group, 100);
    assert_int_equal(call.rc, 0);
    leader->disk_stopped = false;
    raft_node_storage_full(leader->node, false);
    fake_run(group, 1000);
    assert_true(fake_has(leader, "a", "1"));
    fake_check_equal(group);
    fake_group_free(group);
}

static void a_vote_leaves_only_when_it_is_durable(void **state)
{
    (void)state;
    struct fake_group *group = fake_group_new(3, 23);
    struct buf bytes = BUF_INIT;
    fake_start_node(&group->nodes[0]);
    struct peer_message vote = {.kind = PEER_VOTE, .version = 2, .term = 5};
    vote.vote = (struct peer_vote){.candidate = 2, .last_index = 1, .last_term = 1};
    peer_wire_encode(&vote, &bytes);
    raft_node_receive(group->nodes[0].node, 2, buf_span(&bytes));
    assert_int_equal(group->sent[PEER_VOTE_RESULT], 0);
    assert_true(fake_job_one(&group->nodes[0]));
    assert_int_equal(group->sent[PEER_VOTE_RESULT], 1);
    assert_int_equal(group->nodes[0].disk.term, 5);
    assert_int_equal(group->nodes[0].disk.voted_for, 2);
    buf_free(&bytes);
    fake_group_free(group);
}

static void an_idle_group_does_not_spin(void **state)
{
    (void)state;
    struct fake_group *group = fake_group_led(3, 24)->group;
    fake_run(group, 2000);
    memset(group->sent, 0, sizeof(group->sent));
    fake_run(group, 1000);
    assert_in_range(group->sent[PEER_APPEND], 80, 110); /* two followers, a heartbeat each 20 ms */
    assert_int_equal(group->sent[PEER_PROPOSE], 0);
    assert_int_equal(group->sent[PEER_PROBE], 0);
    fake_group_free(group);
}

/* --- start, stop, failure --------------------------------------------------------------------- */

static int start_with(struct fake_group *group, const struct raft_boot *boot)
{
    struct raft_node *node = NULL;
    struct error err = {0};
    struct clock clock = {fake_mono, fake_lease, fake_suspended, fake_mono, group};
    struct random random = {fake_random, group};
    struct raft_node_config config = {.election_timeout_ms = FAKE_ET, .heartbeat_ms = FAKE_HB};
    struct raft_env env = {
        .storage = &fake_storage_ops,
        .storage_arg = &group->nodes[0],
        .peers = &fake_peer_ops,
        .peers_arg = &group->nodes[0],
        .clock = &clock,
        .random = &random,
        .arm = fake_arm,
        .on_change = fake_on_change,
        .on_fatal = fake_on_fatal,
        .arg = &group->nodes[0],
    };
    int rc = raft_node_start(&config, &env, boot, &node, &err);
    assert_true(rc == 0 || (err.text[0] != '\0' && node == NULL));
    raft_node_stop(node);
    while (!list_empty(&group->nodes[0].jobs)) {
        (void)fake_job_one(&group->nodes[0]);
    }
    return rc;
}

static void a_boot_that_contradicts_itself_is_refused(void **state)
{
    (void)state;
    struct fake_group *group = fake_group_new(3, 31);
    const struct raft_entry_rec *first = group->nodes[0].disk.entries;
    struct raft_entry_rec entries[3] = {
        *first, {2, 1, RAFT_BARRIER, span_str("")}, {3, 1, RAFT_BARRIER, span_str("")}};
    struct raft_boot good = {.id = 1, .term = 1, .entries = entries, .entry_count = 3};
    assert_int_equal(start_with(group, &good), 0);
    struct raft_boot bad = good;
    bad.id = 0;
    assert_int_equal(start_with(group, &bad), ERR_CORRUPT);
    bad = good;
    bad.term = 0;
    assert_int_equal(start_with(group, &bad), ERR_CORRUPT);
    entries[1].index = 3; /* a hole */
    assert_int_equal(start_with(group, &good), ERR_CORRUPT);
    entries[1].index = 2;
    entries[2].term = 2; /* above the stored term */
    assert_int_equal(start_with(group, &good), ERR_CORRUPT);
    entries[2].term = 1;
    entries[2].type = RAFT_CHANGE; /* that is none */
    assert_int_equal(start_with(group, &good), ERR_CORRUPT);
    bad = good;
    bad.entries = entries + 1; /* entry 1 is missing */
    bad.entry_count = 1;
    assert_int_equal(start_with(group, &bad), ERR_CORRUPT);
    bad = good;
    bad.has_snapshot = true;
    bad.snapshot_index = 9; /* the log ends before it */
    bad.snapshot_term = 1;
    bad.entry_count = 2;
    assert_int_equal(start_with(group, &bad), ERR_CORRUPT);
    bad.entry_count = 0;
    bad.configuration_index = 1;
    bad.configuration = first->data;
    bad.snapshot = span_str("no snapshot");
    assert_true(start_with(group, &bad) != 0);
    struct store *other = store_new();
    struct buf bytes = BUF_INIT;
    store_skip(other, 8); /* another index than the row says */
    store_snapshot(other, &bytes);
    bad.snapshot = buf_span(&bytes);
    assert_int_equal(start_with(group, &bad), ERR_CORRUPT);
    bad.snapshot_index = 8;
    assert_int_equal(start_with(group, &bad), 0);
    buf_free(&bytes);
    store_free(other);
    fake_group_free(group);
}

static void stop_node(void *arg, int rc, const struct store_result *result)
{
    struct fake_node *fake = arg;
    (void)rc;
    (void)result;
    raft_node_stop(fake->node);
    fake->node = NULL;
    fake->arm_at = -1;
}

static void a_callback_may_stop_its_node(void **state)
{
    (void)state;
    struct fake_node *leader = fake_group_led(3, 32);
    struct fake_group *group = leader->group;
    struct store_command command = {.type = STORE_LEASE_REVOKE, .lease = 1};
    struct fake_call other;
    assert_int_equal(raft_node_propose(leader->node, &command, 1000, 0, stop_node, leader, NULL),
                     0);
    fake_put(leader, "a", "1", 1000, 0, &other);
    fake_run(group, 100);
    assert_null(leader->node);
    assert_int_equal(other.times, 1); /* answered or canceled, once */
    fake_group_free(group);
}

static void a_log_that_contradicts_a_committed_one_ends_the_node(void **state)
{
    (void)state;
    struct fake_group *group = fake_group_new(3, 33);
    struct fake_node *fake = &group->nodes[0];
    fake_start_node(fake);
    struct raft_entry_rec entries[2] = {{2, 2, RAFT_BARRIER, span_str("12345678")},
                                        {3, 2, RAFT_BARRIER, span_str("12345678")}};
    struct peer_message message = {.kind = PEER_APPEND, .term = 2};
    message.append = (struct peer_append){1, 1, 3, entries, 2};
    fake_inject(fake, 2, &message);
    assert_int_equal(fake->fatal.code, 0);
    entries[0].term = entries[1].term = message.term = 3;
    fake_inject(fake, 3, &message);
    assert_int_equal(fake->fatal.code, ERR_BUG);
    unsigned sent = group->sent[PEER_APPEND_RESULT];
    fake_inject(fake, 3, &message);
    raft_node_tick(fake->node);
    fake_finish_jobs(fake);
    assert_int_equal(group->sent[PEER_APPEND_RESULT], sent); /* silent from then on */
    fake_group_free(group);
}

/* Values of the largest size: entries travel in several frames, and the log is cut by its bytes. */
static void large_values_are_replicated_in_pieces(void **state)
{
    (void)state;
    struct fake_node *leader = fake_group_led(3, 35);
    struct fake_group *group = leader->group;
    struct fake_call calls[20];
    static char value[STORE_VALUE_BYTES_MAX + 1];
    struct fake_node *away = &group->nodes[leader->id % 3];
    memset(value, 'v', STORE_VALUE_BYTES_MAX);
    fake_run(group, 1000);
    away->disk_stopped = true; /* it keeps talking, and gets them all in one message later */
    away->cut = true;
    for (int i = 0; i < 20; i++) {
        fake_put(leader, "large", value, 5000, 0, &calls[i]);
    }
    fake_run(group, 60);
    away->cut = false;
    away->disk_stopped = false;
    fake_run(group, 2000);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(calls[i].times, 1);
        assert_int_equal(calls[i].rc, 0);
    }
    assert_true(fake_has(away, "large", value));
    fake_check_equal(group);
    fake_group_free(group);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(three_members_elect_one_leader_and_apply_a_command),
        cmocka_unit_test(a_follower_forwards_and_is_answered_when_it_has_applied),
        cmocka_unit_test(commits_reach_followers_before_the_next_heartbeat),
        cmocka_unit_test(a_lost_proposal_is_sent_again_after_an_election_timeout),
        cmocka_unit_test(a_proposal_with_one_attempt_is_not_sent_again),
        cmocka_unit_test(without_a_leader_a_proposal_was_never_sent),
        cmocka_unit_test(a_proposal_survives_the_death_of_the_leader_once),
        cmocka_unit_test(stop_cancels_what_waits),
        cmocka_unit_test(the_pending_window_has_an_end),
        cmocka_unit_test(clients_leave_room_for_the_members_own_commands),
        cmocka_unit_test(five_thousand_pipelined_commands_all_complete),
        cmocka_unit_test(a_large_state_is_not_written_every_threshold),
        cmocka_unit_test(all_restart_and_hold_the_same_state),
        cmocka_unit_test(a_member_that_was_away_gets_a_snapshot),
        cmocka_unit_test(a_leader_with_a_full_disk_gives_up_and_comes_back),
        cmocka_unit_test(a_vote_leaves_only_when_it_is_durable),
        cmocka_unit_test(a_boot_that_contradicts_itself_is_refused),
        cmocka_unit_test(a_callback_may_stop_its_node),
        cmocka_unit_test(a_log_that_contradicts_a_committed_one_ends_the_node),
        cmocka_unit_test(large_values_are_replicated_in_pieces),
        cmocka_unit_test(an_idle_group_does_not_spin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
