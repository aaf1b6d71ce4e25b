/* What other Raft libraries, and earlier releases of this one, got wrong: the list of
 * docs/consensus.md, beside the guards (test_guards.c). */
#include "tests/unit/raft_engine/fake_wire.h"

/* --- one node by hand ------------------------------------------------------------------------- */

static bool last_answer(struct fake_group *group, struct peer_message *ret_message)
{
    bool found = false;
    LIST_EACH(item, &group->messages)
    {
        struct buf arena = BUF_INIT;
        struct peer_message message;
        struct fake_message *sent = LIST_OWNER(item, struct fake_message, link);
        assert_int_equal(peer_wire_decode(buf_span(&sent->bytes), &message, &arena, NULL), 0);
        if (message.kind == PEER_APPEND_RESULT) {
            *ret_message = message;
            found = true;
        }
        buf_free(&arena);
    }
    return found;
}

static void a_follower_confirms_only_what_its_disk_has(void **state)
{
    (void)state;
    struct fake_group *group = fake_group_new(3, 1);
    struct peer_message answer;
    fake_start_node(&group->nodes[0]);
    struct raft_entry_rec entry = fake_barrier(2, 2);
    struct peer_message message = fake_append(2, 1, 1, 1, &entry, 1);
    fake_inject(&group->nodes[0], 2, &message);
    assert_false(last_answer(group, &answer));
    struct peer_message heartbeat = fake_append(2, 2, 2, 1, NULL, 0);
    fake_inject(&group->nodes[0], 2, &heartbeat); /* says that the leader thinks we have it */
    assert_true(fake_job_one(&group->nodes[0]));  /* the term, with the entry */
    assert_true(last_answer(group, &answer));
    assert_int_equal(answer.append_result.last_index, 2);
    fake_group_free(group);
}

static void a_stale_tail_is_not_confirmed(void **state)
{
    (void)state;
    struct fake_group *group = fake_group_new(3, 1);
    struct peer_message answer;
    struct fake_disk *disk = &group->nodes[0].disk;
    for (uint64_t i = 2; i <= 6; i++) {
        struct raft_entry_rec entry = fake_barrier(i, 1);
        fake_disk_append(disk, &entry);
    }
    fake_start_node(&group->nodes[0]);
    struct peer_message heartbeat = fake_append(2, 2, 1, 1, NULL, 0);
    fake_inject(&group->nodes[0], 2, &heartbeat);
    fake_finish_jobs(&group->nodes[0]);
    assert_true(last_answer(group, &answer));
    assert_int_equal(answer.append_result.rejected, 0);
    assert_true(answer.append_result.last_index <= 2);
    fake_forget_messages(group);
    struct raft_entry_rec entry = fake_barrier(3, 2);
    struct peer_message message = fake_append(2, 2, 1, 1, &entry, 1);
    fake_inject(&group->nodes[0], 2, &message);
    fake_finish_jobs(&group->nodes[0]);
    assert_true(last_answer(group, &answer));
    assert_int_equal(answer.append_result.last_index, 3);
    assert_int_equal(disk->entry_count, 3); /* cut and appended in one transaction */
    fake_group_free(group);
}

/* A write that is under way when its entries are cut off again must not be reported for them. */
static void a_write_of_entries_that_were_cut_reports_nothing_of_them(void **state)
{
    (void)state;
    struct fake_group *group = fake_group_new(3, 1);
    struct peer_message answer;
    fake_start_node(&group->nodes[0]);
    struct raft_entry_rec old[3] = {fake_barrier(2, 2), fake_barrier(3, 2), fake_barrier(4, 2)};
    struct peer_message first = fake_append(2, 1, 1, 1, old, 3);
    fake_inject(&group->nodes[0], 2, &first);
    struct raft_entry_rec new_entry = fake_barrier(3, 3);
    struct peer_message second = fake_append(3, 2, 2, 1, &new_entry, 1);
    fake_inject(&group->nodes[0], 3, &second);
    assert_true(fake_job_one(&group->nodes[0])); /* 2..4, of which only 2 is still true */
    assert_int_equal(group->nodes[0].node->raft.last_stored, 2);
    fake_finish_jobs(&group->nodes[0]);
    assert_true(last_answer(group, &answer));
    assert_int_equal(answer.append_result.last_index, 3);
    assert_int_equal(group->nodes[0].disk.entries[2].term, 3);
    fake_group_free(group);
}

/* The engine's commit index goes back with an old message; what was committed stays so. */
static void the_commit_index_never_falls(void **state)
{
    (void)state;
    struct fake_group *group = fake_group_new(3, 1);
    struct raft_status status;
    fake_start_node(&group->nodes[0]);
    struct raft_entry_rec entries[2] = {fake_barrier(2, 2), fake_barrier(3, 2)};
    struct peer_message message = fake_append(2, 1, 1, 3, entries, 2);
    fake_inject(&group->nodes[0], 2, &message);
    raft_node_status(group->nodes[0].node, &status);
    assert_int_equal(status.commit_index, 3);
    struct peer_message old = fake_append(2, 1, 1, 5, NULL, 0);
    fake_inject(&group->nodes[0], 2, &old);
    raft_node_status(group->nodes[0].node, &status);
    assert_int_equal(status.commit_index, 3);
    assert_int_equal(status.applied_index, 3);
    fake_group_free(group);
}

/* After a restart a CHANGE of the log is not known to be committed; cut off, the one before it is
 * in force: here the snapshot's, because the log does not reach back any more. */
static void a_configuration_rolls_back_after_compaction_and_restart(void **state)
{
    (void)state;
    struct fake_group *group = fake_group_new(3, 1);
    struct fake_disk *disk = &group->nodes[0].disk;
    struct store *store = store_new();
    struct configuration configuration = {0};
    struct buf bytes = BUF_INIT;
    struct raft_status status;
    store_skip(store, 9);
    store_snapshot(store, &disk->snapshot);
    buf_put_span(&disk->configuration, disk->entries[0].data);
    disk->has_snapshot = true;
    disk->term = 2;
    disk->snapshot_index = 9;
    disk->snapshot_term = 2;
    disk->configuration_index = 1;
    fake_disk_drop(disk, 0, 1);
    assert_int_equal(configuration_decode(buf_span(&disk->configuration), &configuration, NULL), 0);
    assert_int_equal(configuration_append(&configuration, 4, false, NULL), 0);
    configuration_encode(&configuration, &bytes);
    struct raft_entry_rec kept = fake_barrier(9, 2);
    struct raft_entry_rec change = {10, 2, RAFT_CHANGE, buf_span(&bytes)};
    fake_disk_append(disk, &kept);
    fake_disk_append(disk, &change);
    fake_start_node(&group->nodes[0]);
    raft_node_status(group->nodes[0].node, &status);
    assert_int_equal(status.member_count, 4);
    struct raft_entry_rec other = fake_barrier(10, 3);
    struct peer_message cut = fake_append(3, 9, 2, 9, &other, 1);
    fake_inject(&group->nodes[0], 2, &cut);
    fake_finish_jobs(&group->nodes[0]);
    raft_node_status(group->nodes[0].node, &status);
    assert_int_equal(status.member_count, 3);
    assert_int_equal(
        raft_boot_members(&(struct raft_boot){.entries = disk->entries,
                                              .entry_count = disk->entry_count,
                                              .has_snapshot = true,
                                              .configuration = buf_span(&disk->configuration)},
                          (uint64_t[4]){0}, 4),
        3);
    store_free(store);
    buf_free(&bytes);
    fake_group_free(group);
}

static void a_single_voter_acknowledges_nothing_before_its_disk(void **state)
{
    (void)state;
    struct fake_node *leader = fake_group_led(1, 1);
    struct fake_group *group = leader->group;
    struct fake_call call;
    fake_run(group, 500);
    leader->disk_stopped = true;
    fake_put(leader, "a", "1", 300, 0, &call);
    fake_run(group, 200);
    assert_int_equal(call.times, 0);
    assert_false(fake_has(leader, "a", "1"));
    fake_run(group, 200);
    assert_int_equal(call.rc, ERR_UNKNOWN); /* it is in the log, and may yet be applied */
    leader->disk_stopped = false;
    fake_run(group, 50);
    assert_true(fake_has(leader, "a", "1"));
    fake_group_free(group);
}

/* --- groups ----------------------------------------------------------------------------------- */

/* The first leader has an entry that nobody else got; a rival leads briefly with another under the
 * same index; the first one leads again and spreads its old entry; the rival comes back. */
static void figure_8_does_not_diverge(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct fake_group *group = fake_group_new(3, seed);
        struct fake_call call;
        fake_start_all(group);
        struct fake_node *first = fake_elect(group, 8 * FAKE_ET);
        assert_non_null(first);
        fake_run(group, 1000);
        struct fake_node *second = &group->nodes[first->id % 3];
        struct fake_node *third = &group->nodes[(first->id + 1) % 3];
        first->cut = true;
        fake_put(first, "a", "first", 100, 1, &call);
        fake_run(group, 20); /* durable on the first alone */
        fake_crash(first, 99);
        first->cut = false;
        assert_non_null(fake_elect(group, 10 * FAKE_ET));
        struct fake_node *rival = fake_leader(group);
        struct fake_node *rest = rival == second ? third : second;
        rival->cut = true;
        fake_put(rival, "a", "rival", 100, 1, &call);
        fake_run(group, 20);
        fake_crash(rival, 99);
        rival->cut = false;
        fake_start_node(first);
        assert_non_null(fake_elect(group, 20 * FAKE_ET));
        fake_put(rest, "b", "1", 2000, 0, &call);
        fake_run(group, 1000);
        assert_int_equal(call.rc, 0);
        fake_start_node(rival);
        fake_run(group, 2000);
        fake_check_equal(group);
        fake_group_free(group);
    }
}

static bool drop_timeout_now(struct fake_group *group, uint64_t from, uint64_t to,
                             const struct peer_message *message)
{
    (void)group;
    (void)from;
    (void)to;
    return message->kind == PEER_TIMEOUT_NOW;
}

static void transfer_when_quiet(struct fake_group *group, struct fake_node *leader, uint64_t to)
{
    int rc = ERR_BUSY;
    for (int i = 0; i < 300 && rc != 0; i++) {
        fake_run(group, 5);
        rc = raft_node_transfer(leader->node, to, NULL);
    }
    assert_int_equal(rc, 0);
}

static void a_lost_timeout_now_leaves_the_old_leader_at_work(void **state)
{
    (void)state;
    struct fake_node *leader = fake_group_led(3, 4);
    struct fake_group *group = leader->group;
    struct fake_call call;
    fake_run(group, 1000);
    group->drops = drop_timeout_now;
    transfer_when_quiet(group, leader, leader->id % 3 + 1);
    fake_put(leader, "a", "1", 5000, 0,
             &call); /* refused by the engine until the transfer is given up */
    fake_run(group, 2 * FAKE_ET);
    assert_int_equal(call.times, 1);
    assert_int_equal(call.rc, 0);
    assert_ptr_equal(fake_leader(group), leader);
    fake_group_free(group);
}

/* What waited in front of the engine during a transfer is gone with the leadership; it is sent
 * again, also when the same member leads again. */
static void what_a_deposed_leader_had_queued_is_sent_again(void **state)
{
    (void)state;
    unsigned same = 0;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct fake_group *group = fake_group_new(3, seed);
        struct fake_call call;
        fake_start_all(group);
        struct fake_node *leader = fake_elect(group, 8 * FAKE_ET);
        fake_run(group, 1000);
        group->drops = drop_timeout_now;
        transfer_when_quiet(group, leader, leader->id % 3 + 1);
        fake_crash(&group->nodes[(leader->id + 1) % 3], 0);
        leader->cut = true;
        fake_put(leader, "a", "1", 10000, 0, &call);
        fake_run(group, 3 * FAKE_ET);
        assert_int_equal(call.times, 0);
        leader->cut = false;
        fake_run(group, 10 * FAKE_ET);
        same += fake_leader(group) == leader ? 1 : 0;
        assert_int_equal(call.times, 1);
        assert_int_equal(call.rc, 0);
        fake_group_free(group);
    }
    assert_in_range(same, 1, 11);
}

static void a_target_that_still_writes_or_hears_late_disturbs_nobody(void **state)
{
    (void)state;
    struct fake_node *leader = fake_group_led(3, 4);
    struct fake_group *group = leader->group;
    struct fake_call call;
    struct raft_status status;
    struct fake_node *target = &group->nodes[leader->id % 3];
    fake_run(group, 1000);
    raft_node_status(leader->node, &status);
    struct peer_message late = {.kind = PEER_TIMEOUT_NOW, .term = status.term};
    late.timeout_now =
        (struct peer_timeout_now){.last_index = status.last_index, .last_term = status.term};
    target->disk_stopped = true;
    fake_put(leader, "a", "1", 1000, 0, &call);
    fake_run(group, 20);
    struct buf bytes = BUF_INIT;
    peer_wire_encode(&late, &bytes);
    raft_node_receive(target->node, leader->id,
                      buf_span(&bytes)); /* not of its last index any more */
    late.timeout_now.last_index = log_cache_last(&target->node->cache);
    buf_clear(&bytes);
    peer_wire_encode(&late, &bytes);
    raft_node_receive(target->node, leader->id,
                      buf_span(&bytes)); /* of its last index, which it is writing */
    fake_run(group, 20);
    assert_ptr_equal(fake_leader(group), leader);
    target->disk_stopped = false;
    fake_run(group, 2 * FAKE_ET);
    assert_ptr_equal(fake_leader(group), leader);
    assert_int_equal(call.rc, 0);
    fake_check_equal(group);
    buf_free(&bytes);
    fake_group_free(group);
}

/* A follower that is storing the leader's snapshot, in a group of three. */
static struct fake_node *installing(struct fake_node **ret_leader)
{
    struct fake_group *group = fake_group_new(3, 6);
    group->threshold = 8;
    group->trailing = 2;
    struct fake_node *leader = fake_lead(group);
    struct fake_node *away = &group->nodes[leader->id % 3];
    fake_run(group, 1000);
    away->cut = true;
    fake_put_many(leader, 40, 10);
    away->cut = false;
    away->disk_stopped = true;
    fake_run(group, 400);
    assert_true(away->node->guards.installing);
    *ret_leader = leader;
    return away;
}

/* The follower is installing, and the leader that sent the snapshot is gone; then another one
 * comes. */
static void an_installation_survives_the_loss_of_its_leader(void **state)
{
    (void)state;
    struct fake_node *leader = NULL;
    struct fake_node *away = installing(&leader);
    struct fake_group *group = away->group;
    leader->cut = true;
    fake_run(group, 4 * FAKE_ET);
    away->disk_stopped = false;
    fake_run(group, 50);
    leader->cut = false;
    fake_run(group, 3000);
    assert_false(away->node->guards.installing);
    assert_true(fake_has(away, "a", "1"));
    fake_check_equal(group);
    fake_group_free(group);
}

static void a_crash_during_an_installation_is_survived(void **state)
{
    (void)state;
    for (size_t durable = 0; durable < 3; durable++) {
        struct fake_node *leader = NULL;
        struct fake_node *away = installing(&leader);
        struct fake_group *group = away->group;
        fake_crash(away, durable);
        away->disk_stopped = false;
        fake_start_node(away);
        fake_run(group, 3000);
        assert_true(fake_has(away, "a", "1"));
        fake_check_equal(group);
        fake_group_free(group);
    }
}

/* Ten election timeouts in pieces, and the third member is gone. What waits for the end of a piece
 * is answered after more than a heartbeat's time, or after less: in the first case the engine gives
 * each snapshot up at once, and sends no heartbeat of its own. */
static void a_leader_stays_while_a_snapshot_is_under_way_in_pieces(void **state)
{
    (void)state;
    static const int64_t pieces_ms[] = {1, 7, 13, 20, 33, 50, 61, 77, 99};
    for (size_t i = 0; i < sizeof pieces_ms / sizeof pieces_ms[0]; i++) {
        struct fake_group *group = fake_group_new(3, 6);
        struct raft_status before;
        struct raft_status after;
        group->threshold = 8;
        group->trailing = 2;
        struct fake_node *leader = fake_lead(group);
        struct fake_node *away = &group->nodes[leader->id % 3];
        fake_run(group, 1000);
        away->cut = true;
        fake_put_many(leader, 40, 10);
        group->piece_ms = pieces_ms[i];
        group->snapshot_delay = 10 * FAKE_ET;
        raft_node_status(leader->node, &before);
        memset(group->sent, 0, sizeof group->sent);
        away->cut = false;
        fake_run(group, 4 * FAKE_HB); /* heartbeats have reached it */
        group->nodes[(leader->id + 1) % 3].cut = true;
        fake_run(group, 9 * FAKE_ET);
        raft_node_status(leader->node, &after);
        assert_int_equal(after.role, RAFT_ROLE_LEADER);
        assert_true(after.term == before.term);
        assert_int_equal(group->sent[PEER_SNAPSHOT], 1);
        /* One to each of two in a heartbeat's time, and no more to every refusal. */
        assert_true(group->sent[PEER_APPEND] <= 2 * 2 * 9 * FAKE_ET / FAKE_HB);
        fake_run(group, 2 * FAKE_ET);
        assert_true(fake_has(away, "a", "1"));
        assert_int_equal(group->sent[PEER_SNAPSHOT], 1);
        raft_node_status(away->node, &after);
        assert_true(after.term == before.term && after.leader == leader->id);
        fake_put_many(leader, 1, 2 * FAKE_ET);
        fake_group_free(group);
    }
}

/* --- a small sweep; the simulator does the large one ------------------------------------------ */

static unsigned acknowledged;

static void sweep_done(void *arg, int rc, const struct store_result *result)
{
    unsigned *number = arg;
    if (rc == 0 && result->code == 0) {
        *number |= 1U << 31;
        acknowledged++;
    }
}

static bool drop_some(struct fake_group *group, uint64_t from, uint64_t to,
                      const struct peer_message *message)
{
    (void)from;
    (void)to;
    (void)message;
    return fake_random(group) % 50 == 0;
}

static void sweep_put(struct fake_group *group, unsigned *number, unsigned i)
{
    struct fake_node *fake = &group->nodes[fake_random(group) % 3];
    char key[16];
    struct store_op op = {.type = STORE_OP_PUT, .value = span_str("v")};
    struct store_command command = {.type = STORE_TXN, .success = &op, .success_count = 1};
    *number = i;
    if (fake->node == NULL) {
        return;
    }
    (void)snprintf(key, sizeof(key), "k%u", i);
    op.key = span_str(key);
    int rc = raft_node_propose(fake->node, &command, 3000, 0, sweep_done, number, NULL);
    assert_int_equal(rc, 0);
}

static void sweep_fault(struct fake_group *group)
{
    struct fake_node *fake = &group->nodes[fake_random(group) % 3];
    switch (fake_random(group) % 6) {
    case 0:
        if (fake->node != NULL) {
            fake_crash(fake, fake_random(group) % 4);
            fake->cut = false;
        }
        break;
    case 1:
    case 2:
        if (fake->node == NULL) {
            fake_start_node(fake);
        }
        break;
    case 3: fake->cut = !fake->cut; break;
    case 4: fake->disk_delay = (int64_t)(fake_random(group) % 100); break;
    default: group->net_delay = 1 + (int64_t)(fake_random(group) % 30); break;
    }
}

static void random_faults_lose_nothing_that_was_acknowledged(void **state)
{
    (void)state;
    static unsigned numbers[600];
    acknowledged = 0;
    for (uint64_t seed = 1; seed <= 15; seed++) {
        struct fake_group *group = fake_group_new(3, seed);
        group->threshold = 20;
        group->trailing = 8;
        group->drops = drop_some;
        fake_start_all(group);
        for (unsigned i = 0; i < 600; i++) {
            sweep_put(group, &numbers[i], i);
            fake_run(group, 20 + (int64_t)(fake_random(group) % 20));
            if (i % 8 == 7) {
                sweep_fault(group);
            }
        }
        group->drops = NULL;
        group->net_delay = 1;
        for (size_t i = 0; i < 3; i++) {
            group->nodes[i].cut = false;
            group->nodes[i].disk_delay = 1;
            if (group->nodes[i].node == NULL) {
                fake_start_node(&group->nodes[i]);
            }
        }
        fake_run(group, 8000);
        assert_non_null(fake_leader(group));
        fake_check_equal(group);
        for (unsigned i = 0; i < 600; i++) {
            char key[16];
            (void)snprintf(key, sizeof(key), "k%u", i);
            if ((numbers[i] & 1U << 31) != 0) {
                assert_true(fake_has(&group->nodes[0], key, "v"));
            }
        }
        store_check(raft_node_store(group->nodes[0].node));
        for (size_t i = 0; i < 3; i++) {
            assert_int_equal(group->nodes[i].fatal.code, 0);
        }
        fake_group_free(group);
    }
    assert_true(acknowledged > 15 * 600 / 3); /* or it shows little */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_follower_confirms_only_what_its_disk_has),
        cmocka_unit_test(a_stale_tail_is_not_confirmed),
        cmocka_unit_test(a_write_of_entries_that_were_cut_reports_nothing_of_them),
        cmocka_unit_test(the_commit_index_never_falls),
        cmocka_unit_test(a_configuration_rolls_back_after_compaction_and_restart),
        cmocka_unit_test(a_single_voter_acknowledges_nothing_before_its_disk),
        cmocka_unit_test(figure_8_does_not_diverge),
        cmocka_unit_test(a_lost_timeout_now_leaves_the_old_leader_at_work),
        cmocka_unit_test(what_a_deposed_leader_had_queued_is_sent_again),
        cmocka_unit_test(a_target_that_still_writes_or_hears_late_disturbs_nobody),
        cmocka_unit_test(an_installation_survives_the_loss_of_its_leader),
        cmocka_unit_test(a_crash_during_an_installation_is_survived),
        cmocka_unit_test(a_leader_stays_while_a_snapshot_is_under_way_in_pieces),
        cmocka_unit_test(random_faults_lose_nothing_that_was_acknowledged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
