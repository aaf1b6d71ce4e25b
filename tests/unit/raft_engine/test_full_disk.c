/* A member whose disk takes nothing: what it may still do, and that nothing of it grows meanwhile.
 */
#include "tests/unit/raft_engine/fake_wire.h"

static void disk_full(struct fake_node *fake, bool full)
{
    fake->disk_stopped = full;
    raft_node_storage_full(fake->node, full);
}

static const struct raft_status *status_of(const struct fake_node *fake)
{
    static struct raft_status status;
    raft_node_status(fake->node, &status);
    return &status;
}

static size_t frames_held(const struct fake_node *fake)
{
    size_t count = 0;
    LIST_EACH(item, &fake->node->jobs)
    {
        LIST_EACH(frame, &LIST_OWNER(item, struct node_job, link)->frames)
        {
            count++;
        }
    }
    return count;
}

/* The others would vote for it, and its disk fills up under the vote for itself. */
static struct fake_node *candidate_on_a_full_disk(struct fake_group *group)
{
    struct fake_node *leader = fake_elect(group, 8 * FAKE_ET);
    assert_non_null(leader);
    fake_run(group, 1000);
    leader->cut = true;
    for (int64_t end = group->now + 8 * FAKE_ET; group->now < end;) {
        fake_run(group, 1);
        for (size_t i = 0; i < group->count; i++) {
            struct fake_node *fake = &group->nodes[i];
            if (fake != leader && status_of(fake)->role == RAFT_ROLE_CANDIDATE &&
                fake->node->job_count > 0) {
                leader->cut = false;
                disk_full(fake, true);
                return fake;
            }
        }
    }
    return NULL;
}

static void a_candidate_on_a_full_disk_campaigns_no_more(void **state)
{
    (void)state;
    struct fake_group *group = fake_group_new(3, 1);
    fake_start_all(group);
    struct fake_node *fake = candidate_on_a_full_disk(group);
    assert_non_null(fake);
    uint64_t term = status_of(fake)->term;
    size_t jobs = fake->node->job_count;
    size_t frames = frames_held(fake);
    unsigned ticks = fake->ticks;
    fake_run(group, 100 * FAKE_ET);
    assert_int_equal(status_of(fake)->term, term);
    assert_int_equal(fake->node->job_count, jobs);
    assert_int_equal(frames_held(fake), frames);
    assert_in_range(fake->ticks - ticks, 1, 100 * FAKE_ET / FAKE_HB * 2); /* no busy loop */
    fake_group_free(group);
}

/* It has voted for itself in the term that the others' leader got, or in the next one. */
static void a_member_whose_disk_has_space_again_deposes_nobody(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct fake_group *group = fake_group_new(3, seed);
        struct fake_call call;
        fake_start_all(group);
        struct fake_node *fake = candidate_on_a_full_disk(group);
        assert_non_null(fake);
        struct fake_node *leader = fake_elect(group, 20 * FAKE_ET);
        assert_non_null(leader);
        fake_run(group, 10 * FAKE_ET);
        leader = fake_leader(group);
        uint64_t term = status_of(leader)->term;
        disk_full(fake, false);
        fake_run(group, 10 * FAKE_ET);
        assert_ptr_equal(fake_leader(group), leader);
        assert_int_equal(status_of(leader)->term, term);
        fake_put(fake, "a", "1", 1000, 0, &call);
        fake_run(group, 500);
        assert_int_equal(call.rc, 0);
        fake_check_equal(group);
        fake_group_free(group);
    }
}

/* Two of three on full disks: nobody leads; with space they go on by themselves. */
static void a_group_goes_on_by_itself_when_there_is_space(void **state)
{
    (void)state;
    struct fake_node *leader = fake_group_led(3, 3);
    struct fake_group *group = leader->group;
    struct fake_call call;
    fake_run(group, 1000);
    for (size_t i = 0; i < 3; i++) {
        disk_full(&group->nodes[i], true);
    }
    fake_put(leader, "a", "1", 4 * FAKE_ET, 0, &call);
    fake_run(group, 20 * FAKE_ET);
    assert_null(fake_leader(group)); /* without an answer of the others it does not lead */
    assert_int_equal(call.rc, ERR_UNAVAILABLE); /* it never left this member */
    for (size_t i = 0; i < 3; i++) {
        disk_full(&group->nodes[i], false);
    }
    leader = fake_elect(group, 8 * FAKE_ET);
    assert_non_null(leader);
    fake_put(leader, "a", "2", 1000, 0, &call);
    fake_run(group, 500);
    assert_int_equal(call.rc, 0);
    fake_check_equal(group);
    fake_group_free(group);
}

/* It is its own majority, so it stays leader; its log is not what grows on a full disk. */
static void a_single_voter_takes_nothing_into_its_log(void **state)
{
    (void)state;
    struct fake_node *leader = fake_group_led(1, 4);
    struct fake_group *group = leader->group;
    struct fake_call calls[20];
    fake_run(group, 500);
    disk_full(leader, true);
    uint64_t last = status_of(leader)->last_index;
    size_t jobs = leader->node->job_count;
    for (size_t i = 0; i < 20; i++) {
        fake_put(leader, "a", "1", 300, 0, &calls[i]);
        fake_run(group, 10);
    }
    fake_run(group, 20 * FAKE_ET);
    assert_int_equal(status_of(leader)->last_index, last);
    assert_int_equal(leader->node->job_count, jobs);
    for (size_t i = 0; i < 20; i++) {
        assert_int_equal(calls[i].times, 1);
        assert_int_equal(calls[i].rc, ERR_UNAVAILABLE);
    }
    disk_full(leader, false);
    fake_put(leader, "a", "2", 300, 0, &calls[0]);
    fake_run(group, 100);
    assert_int_equal(calls[0].rc, 0);
    assert_true(fake_has(leader, "a", "2"));
    fake_group_free(group);
}

/* Whoever asks must not take the leader of before for one that is heard. */
static void a_follower_on_a_full_disk_knows_no_leader(void **state)
{
    (void)state;
    struct fake_node *leader = fake_group_led(3, 7);
    struct fake_group *group = leader->group;
    fake_run(group, 1000);
    struct fake_node *follower = &group->nodes[leader->id % 3];
    assert_true(status_of(follower)->leader == leader->id);
    unsigned changes = follower->changes;
    disk_full(follower, true);
    fake_run(group, 10);
    assert_true(follower->changes > changes);
    assert_true(status_of(follower)->leader == 0);
    changes = follower->changes;
    disk_full(follower, false);
    fake_run(group, FAKE_HB + 10);
    assert_true(follower->changes > changes);
    assert_true(status_of(follower)->leader == leader->id);
    fake_group_free(group);
}

/* --- a disk that is slow, not full ------------------------------------------------------------ */

static void ask_for_votes(struct fake_group *group, uint64_t first_term, size_t count)
{
    struct buf bytes = BUF_INIT;
    for (size_t i = 0; i < count; i++) {
        struct peer_message vote = {.kind = PEER_VOTE, .version = 2, .term = first_term + i};
        vote.vote = (struct peer_vote){.candidate = 2, .last_index = 1, .last_term = 1};
        buf_clear(&bytes);
        peer_wire_encode(&vote, &bytes);
        raft_node_receive(group->nodes[0].node, 2, buf_span(&bytes));
    }
    buf_free(&bytes);
}

static void votes_queue_up_to_a_limit(void **state)
{
    (void)state;
    struct fake_group *group = fake_group_new(3, 5);
    struct fake_node *fake = &group->nodes[0];
    fake_start_node(fake);
    ask_for_votes(group, 5, 2 * NODE_JOBS_MAX);
    assert_int_equal(fake->node->job_count, NODE_JOBS_MAX);
    fake_finish_jobs(fake);
    assert_int_equal(fake->node->job_count, 0);
    ask_for_votes(group, 5 + 2 * NODE_JOBS_MAX, 1);
    assert_int_equal(fake->node->job_count, 1); /* the next one is heard again */
    fake_group_free(group);
}

/* Every heartbeat is answered, and no answer leaves before the term is stored. */
static void frames_that_wait_for_a_vote_have_a_limit(void **state)
{
    (void)state;
    struct fake_group *group = fake_group_new(3, 6);
    struct fake_node *fake = &group->nodes[0];
    fake_start_node(fake);
    struct buf bytes = BUF_INIT;
    struct peer_message heartbeat = {.kind = PEER_APPEND, .term = 5};
    heartbeat.append = (struct peer_append){.prev_index = 1, .prev_term = 1, .commit = 1};
    peer_wire_encode(&heartbeat, &bytes);
    for (size_t i = 0; i < 2 * NODE_JOB_FRAMES_MAX; i++) {
        raft_node_receive(fake->node, 2, buf_span(&bytes));
    }
    buf_free(&bytes);
    assert_int_equal(fake->node->job_count, 1);
    assert_int_equal(frames_held(fake), NODE_JOB_FRAMES_MAX);
    assert_true(fake_job_one(fake));
    assert_int_equal(group->sent[PEER_APPEND_RESULT], NODE_JOB_FRAMES_MAX);
    fake_group_free(group);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_candidate_on_a_full_disk_campaigns_no_more),
        cmocka_unit_test(a_member_whose_disk_has_space_again_deposes_nobody),
        cmocka_unit_test(a_group_goes_on_by_itself_when_there_is_space),
        cmocka_unit_test(a_single_voter_takes_nothing_into_its_log),
        cmocka_unit_test(a_follower_on_a_full_disk_knows_no_leader),
        cmocka_unit_test(votes_queue_up_to_a_limit),
        cmocka_unit_test(frames_that_wait_for_a_vote_have_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
