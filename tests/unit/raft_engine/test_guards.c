/* One hand-driven scenario per guard (raft/engine/guards.h). Each runs twice: with the guard it
 * must hold; without it the damage must show, or the test would prove nothing. Where the damage is
 * only visible to the library's own assertions or to sanitizers (G5, G6, G7, G8), the second run
 * happens in MODE=asan, in a child that must die. */
#include "tests/harness/process.h"
#include "tests/unit/raft_engine/fake_wire.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef __SANITIZE_ADDRESS__
#define HAS_ASSERTIONS 1
#else
#define HAS_ASSERTIONS 0
#endif

/* --- driving one node ------------------------------------------------------------------------- */

static struct fake_group *one_of(size_t voters, unsigned off)
{
    struct fake_group *group = fake_group_new(voters, 5);
    group->nodes[0].guards_off = off;
    group->nodes[0].disk_stopped = true; /* jobs complete when a test says so */
    return group;
}

/* Newest message of that kind that node 1 sent and nobody took. False: none. Entries are not kept.
 */
static bool newest(struct fake_group *group, enum peer_message_kind kind,
                   struct peer_message *ret_message)
{
    bool found = false;
    LIST_EACH(item, &group->messages)
    {
        struct fake_message *sent = LIST_OWNER(item, struct fake_message, link);
        struct buf arena = BUF_INIT;
        struct peer_message message;
        assert_int_equal(peer_wire_decode(buf_span(&sent->bytes), &message, &arena, NULL), 0);
        if (message.kind == kind) {
            *ret_message = message;
            found = true;
        }
        buf_free(&arena);
    }
    return found;
}

static struct raft_entry_rec change_at(uint64_t index, uint64_t term, struct buf *bytes,
                                       size_t voters, size_t standbys)
{
    struct configuration configuration = {0};
    for (size_t i = 0; i < voters + standbys; i++) {
        assert_int_equal(configuration_append(&configuration, i + 1, i < voters, NULL), 0);
    }
    buf_clear(bytes);
    configuration_encode(&configuration, bytes);
    return (struct raft_entry_rec){
        .index = index, .term = term, .type = RAFT_CHANGE, .data = buf_span(bytes)};
}

static size_t member_count(struct fake_group *group)
{
    struct raft_status status;
    raft_node_status(group->nodes[0].node, &status);
    return status.member_count;
}

static uint64_t term_of(struct fake_group *group)
{
    struct raft_status status;
    raft_node_status(group->nodes[0].node, &status);
    return status.term;
}

static enum raft_role role_of_first(struct fake_group *group)
{
    struct raft_status status;
    raft_node_status(group->nodes[0].node, &status);
    return status.role;
}

/* Runs it in a child; true if the child ended by itself with status 0. Leaks count, where they are
 * looked for. */
static bool survives(void (*scenario)(unsigned off), unsigned off)
{
    int status = 0;
    pid_t child = fork_in_test();
    if (child == 0) {
        if (freopen("/dev/null", "w", stderr) == NULL ||
            freopen("/dev/null", "w", stdout) == NULL) {
            abort();
        }
        scenario(off);
        exit(0);
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Makes node 1 (of three) the leader of the next term, with the vote of node 2. */
static void make_leader(struct fake_group *group)
{
    struct raft_node *node = group->nodes[0].node;
    group->now += 3 * FAKE_ET;
    raft_node_tick(node);
    for (int i = 0; i < 2; i++) {
        struct peer_message asked;
        fake_finish_jobs(&group->nodes[0]);
        assert_true(newest(group, PEER_VOTE, &asked));
        struct peer_message result = {.kind = PEER_VOTE_RESULT, .version = 2, .term = asked.term};
        result.vote_result =
            (struct peer_vote_result){.granted = true, .pre_vote = asked.vote.pre_vote};
        fake_inject(&group->nodes[0], 2, &result);
    }
    assert_int_equal(role_of_first(group), RAFT_ROLE_LEADER);
    fake_finish_jobs(&group->nodes[0]);
}

/* --- G1 --------------------------------------------------------------------------------------- */

static void __attribute__((noinline)) dirty_stack(void)
{
    volatile uint8_t bytes[12288];
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = 0x5a;
    }
}

static uint64_t stale_append_answer(unsigned off)
{
    struct fake_group *group = one_of(3, off);
    struct peer_message answer;
    group->nodes[0].disk.term = 5;
    fake_start_node(&group->nodes[0]);
    struct peer_message stale = fake_append(3, 0, 0, 0, NULL, 0);
    dirty_stack();
    fake_inject(&group->nodes[0], 2, &stale);
    assert_true(newest(group, PEER_APPEND_RESULT, &answer));
    assert_int_equal(answer.term, 5);
    assert_int_equal(answer.append_result.rejected, 0);
    fake_group_free(group);
    return answer.append_result.last_index;
}

static uint64_t stale_snapshot_answer(unsigned off)
{
    struct fake_group *group = one_of(3, off);
    struct peer_message answer;
    struct buf conf = BUF_INIT;
    (void)change_at(1, 1, &conf, 3, 0);
    group->nodes[0].disk.term = 5;
    fake_start_node(&group->nodes[0]);
    struct peer_message stale = {.kind = PEER_SNAPSHOT, .term = 3};
    stale.snapshot = (struct peer_snapshot){9, 2, 1, buf_span(&conf), span_str("x")};
    dirty_stack();
    fake_inject(&group->nodes[0], 2, &stale);
    assert_true(newest(group, PEER_APPEND_RESULT, &answer));
    fake_group_free(group);
    buf_free(&conf);
    return answer.append_result.last_index;
}

static void g1_answers_to_stale_leaders_confirm_nothing(void **state)
{
    (void)state;
    assert_int_equal(stale_append_answer(0), 0);
    assert_int_equal(stale_snapshot_answer(0), 0);
    assert_true(stale_append_answer(GUARD_BIT(1)) != 0 || stale_snapshot_answer(GUARD_BIT(1)) != 0);
}

/* --- G2 --------------------------------------------------------------------------------------- */

/* A CHANGE behind another entry, then a new leader cuts it off. Members afterwards. */
static size_t members_after_cut(unsigned off)
{
    struct fake_group *group = one_of(3, off);
    struct buf conf = BUF_INIT;
    fake_start_node(&group->nodes[0]);
    struct raft_entry_rec entries[2] = {fake_barrier(2, 2), change_at(3, 2, &conf, 3, 1)};
    struct peer_message first = fake_append(2, 1, 1, 1, entries, 2);
    fake_inject(&group->nodes[0], 2, &first);
    fake_finish_jobs(&group->nodes[0]);
    assert_int_equal(member_count(group), 4);
    struct raft_entry_rec other = fake_barrier(3, 3);
    struct peer_message second = fake_append(3, 2, 2, 1, &other, 1);
    fake_inject(&group->nodes[0], 3, &second);
    fake_finish_jobs(&group->nodes[0]);
    size_t members = member_count(group);
    fake_group_free(group);
    buf_free(&conf);
    return members;
}

/* The CHANGE at `at` of four entries; is it confirmed when everything is committed? */
static bool change_stays_open(unsigned off, size_t at)
{
    struct fake_group *group = one_of(3, off);
    struct buf conf = BUF_INIT;
    struct raft_entry_rec entries[4];
    for (size_t i = 0; i < 4; i++) {
        entries[i] = i == at ? change_at(2 + i, 2, &conf, 3, 1) : fake_barrier(2 + i, 2);
    }
    fake_start_node(&group->nodes[0]);
    struct peer_message message = fake_append(2, 1, 1, 1, entries, 4);
    fake_inject(&group->nodes[0], 2, &message);
    if (off == 0) {
        assert_int_equal(group->nodes[0].node->raft.configuration_uncommitted_index, 2 + at);
    }
    fake_finish_jobs(&group->nodes[0]);
    struct peer_message commit = fake_append(2, 5, 2, 5, NULL, 0);
    fake_inject(&group->nodes[0], 2, &commit);
    bool open = group->nodes[0].node->guards.change_open;
    fake_group_free(group);
    buf_free(&conf);
    return open;
}

static void g2_a_change_is_recorded_under_its_own_index(void **state)
{
    (void)state;
    assert_int_equal(members_after_cut(0), 3);
    assert_int_equal(members_after_cut(GUARD_BIT(2)), 4);
    for (size_t at = 0; at < 4; at++) {
        assert_false(change_stays_open(0, at));
    }
    assert_true(change_stays_open(GUARD_BIT(2), 1));
}

static void g2_two_changes_in_one_message_are_both_confirmed(void **state)
{
    (void)state;
    struct fake_group *group = one_of(3, 0);
    struct buf first = BUF_INIT;
    struct buf second = BUF_INIT;
    fake_start_node(&group->nodes[0]);
    struct raft_entry_rec entries[4] = {change_at(2, 2, &first, 3, 1), fake_barrier(3, 2),
                                        change_at(4, 2, &second, 3, 2), fake_barrier(5, 2)};
    struct peer_message message =
        fake_append(2, 1, 1, 3, entries, 4); /* the first is committed: else no second */
    fake_inject(&group->nodes[0], 2, &message);
    assert_int_equal(member_count(group), 5);
    assert_int_equal(group->nodes[0].node->raft.configuration_committed_index, 2);
    assert_int_equal(group->nodes[0].node->raft.configuration_uncommitted_index, 4);
    struct raft_entry_rec other = fake_barrier(4, 3);
    struct peer_message cut = fake_append(3, 3, 2, 3, &other, 1);
    fake_inject(&group->nodes[0], 3, &cut);
    assert_int_equal(member_count(group), 4); /* back to the first, not to the one before */
    fake_group_free(group);
    buf_free(&first);
    buf_free(&second);
}

/* --- G3 --------------------------------------------------------------------------------------- */

/* A member that has compacted entry 1, its snapshot taken at 12 or later; cut from the others
 * afterwards. */
static struct fake_group *compacted(unsigned off)
{
    struct fake_group *group = fake_group_new(3, 5);
    group->threshold = 8;
    group->trailing = 2;
    group->nodes[0].guards_off = off;
    struct fake_node *leader = fake_lead(group);
    fake_put_many(leader, 20, 20);
    fake_run(group, 100);
    for (size_t i = 1; i < 3; i++) {
        fake_crash(&group->nodes[i], 0);
    }
    fake_forget_messages(group);
    assert_true(group->nodes[0].node->cache.first > 2);
    assert_int_equal(list_empty(&group->nodes[0].jobs), true);
    return group;
}

static void late_message_with_prev_zero(unsigned off)
{
    struct fake_group *group = compacted(off);
    struct raft_node *node = group->nodes[0].node;
    struct buf conf = BUF_INIT;
    uint64_t term = term_of(group);
    uint64_t last = log_cache_last(&node->cache);
    uint64_t snapshot = node->snapshot->index;
    struct raft_entry_rec entries[2] = {change_at(1, 1, &conf, 3, 0), fake_barrier(2, term)};
    if (role_of_first(group) == RAFT_ROLE_LEADER) {
        term++; /* of the next leader, then */
    }
    struct peer_message message = fake_append(term, 0, 0, 0, entries, 2);
    struct peer_message answer;
    fake_inject(&group->nodes[0], 2, &message);
    fake_finish_jobs(&group->nodes[0]);
    assert_true(newest(group, PEER_APPEND_RESULT, &answer));
    assert_int_equal(answer.append_result.rejected, 0);
    assert_int_equal(answer.append_result.last_index, snapshot);
    assert_int_equal(log_cache_last(&node->cache), last);
    assert_int_equal(group->nodes[0].fatal.code, 0);
    fake_group_free(group);
    buf_free(&conf);
}

static void g3_a_message_below_the_snapshot_rewrites_nothing(void **state)
{
    (void)state;
    late_message_with_prev_zero(0);
    assert_true(survives(late_message_with_prev_zero, 0));
    assert_false(survives(late_message_with_prev_zero, GUARD_BIT(3)));
}

static void g3_entries_beyond_the_snapshot_are_taken(void **state)
{
    (void)state;
    struct peer_message answer;
    struct fake_group *group = compacted(0);
    struct raft_node *node = group->nodes[0].node;
    uint64_t last = log_cache_last(&node->cache);
    uint64_t term = term_of(group) + 1;
    static struct raft_entry_rec entries[64];
    size_t count = 0;
    for (uint64_t index = 2; index <= last + 1; index++, count++) {
        const struct log_entry *entry = log_cache_get(&node->cache, index);
        /* What is compacted is not looked at; what is not has to be the same. */
        entries[count] = fake_barrier(index, entry != NULL ? entry->term : 1);
    }
    entries[count - 1].term = term;
    struct peer_message message = fake_append(term, 1, 1, last, entries, count);
    fake_inject(&group->nodes[0], 2, &message);
    fake_finish_jobs(&group->nodes[0]);
    assert_true(newest(group, PEER_APPEND_RESULT, &answer));
    assert_int_equal(answer.append_result.last_index, last + 1);
    assert_int_equal(log_cache_last(&node->cache), last + 1);
    fake_group_free(group);
}

/* --- G4 --------------------------------------------------------------------------------------- */

static void g4_a_single_voter_leads_in_a_new_term_after_every_start(void **state)
{
    (void)state;
    for (unsigned off = 0; off <= GUARD_BIT(4); off += GUARD_BIT(4)) {
        struct fake_group *group = fake_group_new(1, 5);
        group->nodes[0].guards_off = off;
        (void)fake_lead(group);
        uint64_t before = term_of(group);
        fake_crash(&group->nodes[0], 0);
        fake_start_node(&group->nodes[0]);
        assert_non_null(fake_elect(group, 4 * FAKE_ET));
        if (off == 0) {
            assert_true(term_of(group) > before);
            assert_int_equal(group->nodes[0].disk.term, term_of(group));
            assert_int_equal(group->nodes[0].disk.voted_for, 1);
        } else {
            assert_int_equal(term_of(group),
                             before); /* the same term twice: two histories under it */
        }
        fake_group_free(group);
    }
}

/* An entry that was sent to a standby and not yet on our own disk when we crashed must not come
 * back under another content with the same index and term. */
static void g4_an_unsynced_entry_sent_to_a_standby_is_not_reused(void **state)
{
    (void)state;
    for (unsigned off = 0; off <= GUARD_BIT(4); off += GUARD_BIT(4)) {
        struct fake_group *group = fake_group_new(1, 5);
        struct fake_call call;
        struct buf conf = BUF_INIT;
        struct raft_entry_rec change = change_at(2, 1, &conf, 1, 1);
        struct fake_node *voter = &group->nodes[0];
        fake_disk_append(&voter->disk, &change);
        voter->guards_off = off;
        struct fake_node *standby = fake_add_node(group);
        fake_start_all(group);
        fake_run(group, 2000);
        voter->disk_stopped = true;
        fake_put(voter, "a", "first", 1000, 0, &call);
        fake_run(group, 100);
        uint64_t index = log_cache_last(&standby->node->cache);
        uint64_t term = node_term_of(standby->node, index);
        assert_true(index > log_cache_last(&voter->node->cache) - 1);
        fake_crash(voter, 0);
        fake_crash(standby, 99);
        voter->disk_stopped = false;
        fake_start_node(voter);
        fake_run(group, 200);
        fake_put(voter, "a", "second", 1000, 0, &call);
        fake_run(group, 200);
        bool same_id = node_term_of(voter->node, index) == term;
        assert_int_equal(same_id, off != 0);
        fake_group_free(group);
        buf_free(&conf);
    }
}

/* The other of two voters removed itself: we are the only voter, by an entry of its term. */
static struct fake_group *last_voter(unsigned off)
{
    struct fake_group *group = one_of(2, off);
    struct buf conf = BUF_INIT;
    fake_start_node(&group->nodes[0]);
    struct raft_entry_rec change = change_at(2, 2, &conf, 1, 0);
    struct peer_message message = fake_append(2, 1, 1, 1, &change, 1);
    fake_inject(&group->nodes[0], 2, &message);
    fake_finish_jobs(&group->nodes[0]);
    assert_int_equal(member_count(group), 1);
    buf_free(&conf);
    return group;
}

static void g4_the_last_voter_raises_its_term_before_it_leads(void **state)
{
    (void)state;
    for (unsigned off = 0; off <= GUARD_BIT(4); off += GUARD_BIT(4)) {
        struct fake_group *group = last_voter(off);
        group->now += 3 * FAKE_ET;
        raft_node_tick(group->nodes[0].node);
        fake_finish_jobs(&group->nodes[0]);
        assert_int_equal(role_of_first(group), RAFT_ROLE_LEADER);
        assert_int_equal(term_of(group), off == 0 ? 3 : 2); /* in term 2 node 2 led */
        fake_group_free(group);
    }
}

/* --- G5 --------------------------------------------------------------------------------------- */

static void two_snapshots_at_once(unsigned off)
{
    struct fake_group *group = one_of(3, off);
    struct buf conf = BUF_INIT;
    struct buf data = BUF_INIT;
    struct store *other = store_new();
    store_skip(other, 9);
    store_snapshot(other, &data);
    (void)change_at(1, 1, &conf, 3, 0);
    fake_start_node(&group->nodes[0]);
    struct peer_message message = {.kind = PEER_SNAPSHOT, .term = 2};
    message.snapshot = (struct peer_snapshot){9, 2, 1, buf_span(&conf), buf_span(&data)};
    fake_inject(&group->nodes[0], 2, &message);
    fake_inject(&group->nodes[0], 2, &message);
    struct peer_message vote = {.kind = PEER_VOTE, .version = 2, .term = 3};
    vote.vote = (struct peer_vote){
        .candidate = 3, .last_index = 20, .last_term = 2, .disrupt_leader = true};
    fake_inject(&group->nodes[0], 3, &vote); /* an election in the middle of it */
    fake_finish_jobs(&group->nodes[0]);
    assert_int_equal(group->nodes[0].fatal.code, 0);
    assert_int_equal(group->nodes[0].node->applied_index, 9);
    assert_int_equal(group->nodes[0].disk.snapshot_index, 9);
    fake_group_free(group);
    store_free(other);
    buf_free(&conf);
    buf_free(&data);
}

static void g5_a_second_snapshot_during_an_installation_is_dropped(void **state)
{
    (void)state;
    two_snapshots_at_once(0);
    if (HAS_ASSERTIONS) {
        assert_true(survives(two_snapshots_at_once, 0));
        assert_false(survives(two_snapshots_at_once, GUARD_BIT(5)));
    }
}

/* --- G6 --------------------------------------------------------------------------------------- */

static void rival_in_our_term(unsigned off)
{
    struct fake_group *group = one_of(3, off);
    fake_start_node(&group->nodes[0]);
    make_leader(group);
    struct peer_message message = fake_append(term_of(group), 1, 1, 1, NULL, 0);
    fake_inject(&group->nodes[0], 2, &message);
    assert_int_equal(role_of_first(group), RAFT_ROLE_LEADER);
    fake_group_free(group);
}

static void g6_a_leader_takes_no_entries_of_its_own_term(void **state)
{
    (void)state;
    rival_in_our_term(0);
    if (HAS_ASSERTIONS) {
        assert_true(survives(rival_in_our_term, 0));
        assert_false(survives(rival_in_our_term, GUARD_BIT(6)));
    }
}

/* --- G7 --------------------------------------------------------------------------------------- */

static void late_vote_result(unsigned off)
{
    struct fake_group *group = one_of(3, off);
    fake_start_node(&group->nodes[0]);
    struct peer_message leader = fake_append(2, 1, 1, 1, NULL, 0);
    fake_inject(&group->nodes[0], 2, &leader);
    struct peer_message result = {.kind = PEER_VOTE_RESULT, .version = 2, .term = 9};
    result.vote_result = (struct peer_vote_result){.granted = false, .pre_vote = true};
    fake_inject(&group->nodes[0], 3, &result);
    fake_finish_jobs(&group->nodes[0]);
    assert_int_equal(term_of(group), 2);
    fake_group_free(group);
}

static void g7_a_vote_result_that_nobody_waits_for_is_dropped(void **state)
{
    (void)state;
    late_vote_result(0);
    assert_true(survives(late_vote_result, 0));
    if (HAS_ASSERTIONS) {
        assert_false(survives(late_vote_result, GUARD_BIT(7)));
    }
}

/* --- G8 --------------------------------------------------------------------------------------- */

static void confirm(struct fake_group *group, uint64_t from, uint64_t rejected, uint64_t last)
{
    struct peer_message result = {.kind = PEER_APPEND_RESULT, .version = 2, .term = term_of(group)};
    result.append_result = (struct peer_append_result){.rejected = rejected, .last_index = last};
    fake_inject(&group->nodes[0], from, &result);
}

static void late_rejection(unsigned off)
{
    struct fake_group *group = one_of(3, off);
    struct raft_node *node;
    struct peer_message message;
    fake_start_node(&group->nodes[0]);
    node = group->nodes[0].node;
    make_leader(group);
    raft_node_tick(node); /* the barrier of this term */
    fake_finish_jobs(&group->nodes[0]);
    uint64_t last = log_cache_last(&node->cache);
    assert_int_equal(last, 2);
    confirm(group, 2, 0, last);
    /* Node 2 is silent for an election timeout, node 3 is not: node 2 is probed, at what it has
     * confirmed. */
    for (int i = 0; i < 30; i++) {
        group->now += FAKE_HB;
        confirm(group, 3, 0, last);
        raft_node_tick(node);
        fake_finish_jobs(&group->nodes[0]);
    }
    confirm(group, 2, last, 0); /* late, from before it had the entry */
    fake_forget_messages(group);
    group->now += FAKE_HB;
    raft_node_tick(node);
    assert_true(newest(group, PEER_APPEND, &message));
    LIST_EACH(item, &group->messages)
    {
        struct fake_message *sent = LIST_OWNER(item, struct fake_message, link);
        struct buf arena = BUF_INIT;
        assert_int_equal(peer_wire_decode(buf_span(&sent->bytes), &message, &arena, NULL), 0);
        if (sent->to == 2 && message.kind == PEER_APPEND) {
            assert_true(message.append.prev_index >= last); /* never below what is confirmed */
        }
        buf_free(&arena);
    }
    fake_group_free(group);
}

static void g8_a_late_rejection_does_not_undo_a_confirmation(void **state)
{
    (void)state;
    late_rejection(0);
    if (HAS_ASSERTIONS) {
        assert_true(survives(late_rejection, 0));
        assert_false(survives(late_rejection, GUARD_BIT(8)));
    }
}

/* --- G9 --------------------------------------------------------------------------------------- */

/* Two of three: the longer log in term 2, the higher term on a shorter log. */
static bool two_find_a_leader(unsigned off)
{
    struct fake_group *group = fake_group_new(3, 5);
    struct raft_entry_rec entry = fake_barrier(2, 2);
    group->nodes[0].disk.term = 2;
    fake_disk_append(&group->nodes[0].disk, &entry);
    group->nodes[1].disk.term = 12;
    for (size_t i = 0; i < 2; i++) {
        group->nodes[i].guards_off = off;
        fake_start_node(&group->nodes[i]);
    }
    bool found = fake_elect(group, off == 0 ? 4 * FAKE_ET : 40 * FAKE_ET) != NULL;
    fake_group_free(group);
    return found;
}

static void g9_the_longer_log_learns_the_higher_term(void **state)
{
    (void)state;
    assert_true(two_find_a_leader(0));
    assert_false(two_find_a_leader(GUARD_BIT(9)));
}

/* --- G10 -------------------------------------------------------------------------------------- */

static bool standby_votes(unsigned off)
{
    struct fake_group *group = one_of(3, off);
    struct buf conf = BUF_INIT;
    struct peer_message answer;
    struct configuration configuration = {0};
    assert_int_equal(configuration_append(&configuration, 2, true, NULL), 0);
    assert_int_equal(configuration_append(&configuration, 3, true, NULL), 0);
    assert_int_equal(configuration_append(&configuration, 1, false, NULL), 0);
    configuration_encode(&configuration, &conf);
    struct raft_entry_rec change = {
        .index = 2, .term = 1, .type = RAFT_CHANGE, .data = buf_span(&conf)};
    fake_disk_append(&group->nodes[0].disk, &change);
    fake_start_node(&group->nodes[0]);
    struct raft_node *node = group->nodes[0].node;
    struct peer_message leader = fake_append(2, 2, 1, 1, NULL, 0);
    fake_inject(&group->nodes[0], 2, &leader);
    fake_finish_jobs(&group->nodes[0]);
    struct peer_message vote = {.kind = PEER_VOTE, .version = 2, .term = 3};
    vote.vote = (struct peer_vote){.candidate = 3, .last_index = 9, .last_term = 2};
    fake_inject(&group->nodes[0], 3, &vote); /* it has just heard from the leader */
    fake_finish_jobs(&group->nodes[0]);
    assert_true(newest(group, PEER_VOTE_RESULT, &answer));
    assert_false(answer.vote_result.granted);
    group->now += 2 * FAKE_ET;
    fake_inject(&group->nodes[0], 3, &vote);
    assert_int_equal(node->raft.configuration.n, 3); /* restored at once */
    fake_finish_jobs(&group->nodes[0]);
    assert_true(newest(group, PEER_VOTE_RESULT, &answer));
    fake_group_free(group);
    buf_free(&conf);
    return answer.vote_result.granted;
}

static void g10_a_member_that_thinks_itself_no_voter_votes(void **state)
{
    (void)state;
    assert_true(standby_votes(0));
    assert_false(standby_votes(GUARD_BIT(10)));
}

/* --- G11, G12, G13 ---------------------------------------------------------------------------- */

static void g11_a_change_is_one_step_from_the_present(void **state)
{
    (void)state;
    struct configuration from = {.count = 3, .servers = {{1, true}, {2, true}, {3, true}}};
    struct configuration to = from;
    assert_false(configuration_is_one_step(&from, &to));
    to.servers[0].id = 2;
    to.servers[1].id = 1;
    assert_false(
        configuration_is_one_step(&from, &to)); /* swapped: an id would inherit a match index */
    to = from;
    to.servers[2].id = 9;
    assert_false(configuration_is_one_step(&from, &to)); /* replaced */
    to = from;
    assert_int_equal(configuration_append(&to, 4, false, NULL), 0);
    assert_true(configuration_is_one_step(&from, &to));
    assert_int_equal(configuration_promote(&to, 4, NULL), 0);
    assert_true(configuration_is_one_step(
        &from, &to)); /* the engine does not mind; section "Membership" does */
    assert_int_equal(configuration_remove(&to, 1, NULL), 0);
    assert_false(configuration_is_one_step(&from, &to)); /* one in, one out */
    to = from;
    assert_int_equal(configuration_remove(&to, 2, NULL), 0);
    assert_true(configuration_is_one_step(&from, &to));
    to = from;
    to.servers[1].voter = false;
    assert_true(configuration_is_one_step(&from, &to));
    to.servers[2].voter = false;
    assert_false(configuration_is_one_step(&from, &to));
}

static void submit_swapped_change(unsigned off)
{
    struct fake_group *group = one_of(3, off);
    fake_start_node(&group->nodes[0]);
    make_leader(group);
    raft_node_tick(group->nodes[0].node);
    fake_finish_jobs(&group->nodes[0]);
    confirm(group, 2, 0, 2);
    struct raft_node *node = group->nodes[0].node;
    node->change.open = true;
    node->change.configuration = node->configuration;
    node->change.configuration.servers[1].id = off == 0 ? 2 : 9;
    if (off == 0) {
        node->change.configuration.servers[1].voter = false;
    }
    raft_node_tick(node);
    memset(&node->change, 0, sizeof(node->change));
    fake_group_free(group);
}

static void g11_the_node_submits_no_other_change(void **state)
{
    (void)state;
    assert_true(survives(submit_swapped_change, 0));
    assert_false(survives(submit_swapped_change, 1)); /* asserted */
}

static void g12_spares_cannot_be_and_the_timer_has_a_minimum(void **state)
{
    (void)state;
    struct configuration configuration = {.count = 1, .servers = {{1, true}}};
    struct buf bytes = BUF_INIT;
    configuration_encode(&configuration, &bytes);
    assert_int_equal(configuration_decode(buf_span(&bytes), &configuration, NULL), 0);
    bytes.data[1 + 8 + 8 + 2] = RAFT_SPARE;
    assert_int_equal(configuration_decode(buf_span(&bytes), &configuration, NULL), ERR_CORRUPT);
    buf_free(&bytes);
    /* A member that is in no configuration has an engine timeout that may lie in the past. */
    struct fake_group *group = fake_group_new(0, 5);
    struct fake_node *fake = fake_add_node(group);
    fake_start_node(fake);
    fake_run(group, 0);
    for (int i = 0; i < 100; i++) {
        raft_node_tick(fake->node);
        assert_true(fake->arm_at >= group->now + GUARD_REARM_MS_MIN);
        group->now = fake->arm_at;
    }
    fake_group_free(group);
}

static void g13_a_clock_that_goes_back_is_not_seen_by_the_engine(void **state)
{
    (void)state;
    struct fake_group *group = one_of(3, 0);
    fake_start_node(&group->nodes[0]);
    group->now += 50;
    struct peer_message leader = fake_append(2, 1, 1, 1, NULL, 0);
    fake_inject(&group->nodes[0], 2, &leader);
    uint64_t before = group->nodes[0].node->raft.now;
    group->now -= 40;
    fake_inject(&group->nodes[0], 2, &leader);
    raft_node_tick(group->nodes[0].node);
    assert_true(group->nodes[0].node->raft.now >= before);
    fake_group_free(group);
}

/* --- G14, G15 --------------------------------------------------------------------------------- */

/* Type of the entry that a change makes a leader append that has committed nothing of its term. */
static unsigned first_entry_of_new_leader(unsigned off)
{
    struct fake_group *group = one_of(3, off);
    fake_start_node(&group->nodes[0]);
    make_leader(group);
    struct raft_node *node = group->nodes[0].node;
    assert_int_equal(log_cache_last(&node->cache),
                     1); /* all committed: the engine adds no barrier */
    struct fake_call call = {0};
    assert_int_equal(raft_node_add(node, 9, fake_done, &call, NULL), ERR_BUSY);
    node->change = (struct node_change){
        .open = true, .configuration = node->configuration, .done = fake_done, .arg = &call};
    assert_int_equal(configuration_append(&node->change.configuration, 9, false, NULL), 0);
    raft_node_tick(node);
    unsigned type = log_cache_get(&node->cache, 2)->type;
    fake_group_free(group);
    return type;
}

static void g14_a_change_comes_after_an_entry_of_the_leaders_term(void **state)
{
    (void)state;
    assert_int_equal(first_entry_of_new_leader(0), RAFT_BARRIER);
    assert_int_equal(first_entry_of_new_leader(GUARD_BIT(14)), RAFT_CHANGE);
}

static void g15_the_last_voter_does_not_obey_timeout_now(void **state)
{
    (void)state;
    for (unsigned off = 0; off <= GUARD_BIT(15); off += GUARD_BIT(15)) {
        struct fake_group *group = last_voter(off);
        struct peer_message now = {.kind = PEER_TIMEOUT_NOW, .term = 2};
        now.timeout_now = (struct peer_timeout_now){.last_index = 2, .last_term = 2};
        fake_inject(&group->nodes[0], 2, &now);
        fake_finish_jobs(&group->nodes[0]);
        assert_int_equal(term_of(group), 2);
        assert_int_equal(role_of_first(group), off == 0 ? RAFT_ROLE_FOLLOWER : RAFT_ROLE_LEADER);
        fake_group_free(group);
    }
}

static void g15_no_transfer_while_a_change_is_open(void **state)
{
    (void)state;
    struct guards guards = {.change_open = true};
    assert_false(guard_transfer_allowed(&guards));
    guards.off = GUARD_BIT(15);
    assert_true(guard_transfer_allowed(&guards));
    struct fake_node *leader = fake_group_led(3, 5);
    struct fake_group *group = leader->group;
    struct fake_call call = {0};
    fake_run(group, 1000);
    assert_int_equal(raft_node_add(leader->node, 9, fake_done, &call, NULL), 0);
    raft_node_tick(leader->node); /* submitted, not committed */
    assert_int_equal(raft_node_transfer(leader->node, leader->id % 3 + 1, NULL), ERR_BUSY);
    fake_group_free(group);
}

/* --- G16 -------------------------------------------------------------------------------------- */

static struct fake_node *real_candidate(struct fake_group *group, const struct fake_node *not_this)
{
    for (int64_t end = group->now + 10 * FAKE_ET; group->now < end;) {
        fake_run(group, 1);
        for (size_t i = 0; i < group->count; i++) {
            const struct raft *raft = &group->nodes[i].node->raft;
            if (&group->nodes[i] != not_this && raft->state == RAFT_CANDIDATE &&
                !raft->candidate_state.in_pre_vote) {
                return &group->nodes[i];
            }
        }
    }
    return NULL;
}

/* The network fails it just when the others would vote for it. True: who led meanwhile still leads,
 * and nobody had to campaign anew. */
static bool leader_outlasts_a_lost_candidate(unsigned off, uint64_t seed)
{
    struct fake_group *group = fake_group_new(3, seed);
    for (size_t i = 0; i < 3; i++) {
        group->nodes[i].guards_off = off;
        group->nodes[i].disk_delay = 3;
    }
    fake_start_all(group);
    struct fake_node *first = fake_elect(group, 8 * FAKE_ET);
    assert_non_null(first);
    fake_run(group, 1000);
    first->cut = true;
    struct fake_node *candidate = real_candidate(group, first);
    assert_non_null(candidate);
    candidate->cut = true;
    first->cut = false;
    struct fake_node *leader = fake_elect(group, 20 * FAKE_ET);
    assert_non_null(leader);
    fake_run(group, 10 * FAKE_ET);
    uint64_t term = raft_current_term(&leader->node->raft);
    candidate->cut = false;
    fake_run(group, 10 * FAKE_ET);
    fake_check_equal(group);
    bool outlasts = fake_leader(group) == leader && raft_current_term(&leader->node->raft) == term;
    fake_group_free(group);
    return outlasts;
}

static void g16_a_candidate_that_was_cut_off_deposes_nobody(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        assert_true(leader_outlasts_a_lost_candidate(0, seed));
        assert_false(leader_outlasts_a_lost_candidate(GUARD_BIT(16), seed));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(g1_answers_to_stale_leaders_confirm_nothing),
        cmocka_unit_test(g2_a_change_is_recorded_under_its_own_index),
        cmocka_unit_test(g2_two_changes_in_one_message_are_both_confirmed),
        cmocka_unit_test(g3_a_message_below_the_snapshot_rewrites_nothing),
        cmocka_unit_test(g3_entries_beyond_the_snapshot_are_taken),
        cmocka_unit_test(g4_a_single_voter_leads_in_a_new_term_after_every_start),
        cmocka_unit_test(g4_an_unsynced_entry_sent_to_a_standby_is_not_reused),
        cmocka_unit_test(g4_the_last_voter_raises_its_term_before_it_leads),
        cmocka_unit_test(g5_a_second_snapshot_during_an_installation_is_dropped),
        cmocka_unit_test(g6_a_leader_takes_no_entries_of_its_own_term),
        cmocka_unit_test(g7_a_vote_result_that_nobody_waits_for_is_dropped),
        cmocka_unit_test(g8_a_late_rejection_does_not_undo_a_confirmation),
        cmocka_unit_test(g9_the_longer_log_learns_the_higher_term),
        cmocka_unit_test(g10_a_member_that_thinks_itself_no_voter_votes),
        cmocka_unit_test(g11_a_change_is_one_step_from_the_present),
        cmocka_unit_test(g11_the_node_submits_no_other_change),
        cmocka_unit_test(g12_spares_cannot_be_and_the_timer_has_a_minimum),
        cmocka_unit_test(g13_a_clock_that_goes_back_is_not_seen_by_the_engine),
        cmocka_unit_test(g14_a_change_comes_after_an_entry_of_the_leaders_term),
        cmocka_unit_test(g15_the_last_voter_does_not_obey_timeout_now),
        cmocka_unit_test(g15_no_transfer_while_a_change_is_open),
        cmocka_unit_test(g16_a_candidate_that_was_cut_off_deposes_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
