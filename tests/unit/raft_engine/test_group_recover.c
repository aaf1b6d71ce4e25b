/* A group that has lost its majority for good, and one member that goes on. */
#include "group_fixture.h"

#include "raft/engine/cluster_id.h"
#include "raft/recover.h"

#include <signal.h>

#define KEY "/db/c/recovered"

static void start_all(struct rig *rig)
{
    members_start(rig);
    wait_for(rig, all_are_voters, NULL, 10000, "the members elect a leader and know one another");
}

static void stop_all(struct rig *rig)
{
    for (size_t i = 0; i < rig->count; i++) {
        member_stop(rig, i);
    }
}

static bool is_told(struct rig *rig, void *arg)
{
    (void)rig;
    return ((struct member *)arg)->fatal[0] != '\0';
}

static int refusal(const struct rig *rig, size_t at, struct error *err)
{
    struct raft_recovery *recovery = NULL;
    int rc = raft_recovery_open(rig->members[at].dir, rig->members[at].name, &recovery, err);
    if (rc == 0) {
        raft_recovery_close(recovery);
    }
    return rc;
}

/* What the directory of the stopped member says of a key. */
static void assert_says(const struct rig *rig, size_t at, const char *key, const char *value)
{
    struct raft_recovery *recovery = NULL;
    struct error err = {0};
    struct span said;
    assert_int_equal(
        raft_recovery_open(rig->members[at].dir, rig->members[at].name, &recovery, &err), 0);
    bool there = raft_recovery_key(recovery, span_str(key), &said);
    assert_int_equal(there, value != NULL);
    assert_true(!there || span_equal_str(said, value));
    raft_recovery_close(recovery);
}

/* Member `at`, stopped, becomes a group of its own. */
static uint64_t recover(const struct rig *rig, size_t at, struct raft_recovery_facts *ret_facts)
{
    struct raft_recovery *recovery = NULL;
    struct error err = {0};
    uint64_t cluster = 0;
    if (raft_recovery_open(rig->members[at].dir, rig->members[at].name, &recovery, &err) != 0) {
        fail_msg("%s", err.text);
    }
    *ret_facts = *raft_recovery_facts(recovery);
    int rc =
        raft_recovery_write(recovery, span_str(KEY), span_str("{}"), random_real(), &cluster, &err);
    if (rc != 0) {
        fail_msg("%s", err.text);
    }
    raft_recovery_close(recovery);
    return cluster;
}

static bool leads(struct rig *rig, void *arg)
{
    return leader_of(rig) == (int)*(size_t *)arg;
}

static bool has_three_voters(struct rig *rig, void *arg)
{
    static struct raft_status status;
    (void)arg;
    size_t voters = 0;
    if (node_of(rig, 0) == NULL) {
        return false;
    }
    raft_node_status(node_of(rig, 0), &status);
    for (size_t i = 0; i < status.member_count; i++) {
        voters += status.members[i].voter && status.members[i].connected;
    }
    return voters == 3 && status.member_count == 3;
}

static void one_that_is_left_goes_on_and_the_old_ones_stop(void **state)
{
    (void)state;
    static struct rig rig;
    static struct raft_recovery_facts facts;
    size_t first = 0;
    rig_init(&rig, 3, PASSWORD);
    start_all(&rig);
    assert_int_equal(put(&rig, 0, "/a", "one", 3000), 0);
    await_value(&rig, 0, "/a", "one");
    uint64_t before = raft_group_cluster(rig.members[0].group);
    stop_all(&rig);
    assert_says(&rig, 0, "/a", "one");
    assert_says(&rig, 0, "/b", NULL);
    uint64_t after = recover(&rig, 0, &facts);
    assert_true(facts.cluster == before && facts.voter_count == 3 && facts.member_count == 3);
    assert_true(facts.last_index > 1 && facts.last_term > 0 && facts.revision > 1);
    for (size_t i = 0; i < 3; i++) {
        assert_memory_equal(facts.members[i].name, "node", 4);
    }
    assert_true(cluster_id_replaces(after, before));

    member_start(&rig, 0);
    wait_for(&rig, leads, &first, 5000, "it leads alone");
    await_value(&rig, 0, "/a", "one");
    await_value(&rig, 0, KEY, "{}");
    assert_true(raft_group_cluster(rig.members[0].group) == after);
    assert_int_equal(put(&rig, 0, "/b", "two", 3000), 0);

    /* Together the old ones would be the old majority. */
    member_start(&rig, 1);
    member_start(&rig, 2);
    for (size_t i = 1; i < 3; i++) {
        wait_for(&rig, is_told, &rig.members[i], 5000, "who is left behind stops");
        assert_non_null(strstr(rig.members[i].fatal, "recovered from ours"));
        assert_non_null(strstr(rig.members[i].fatal, "move raft.db*"));
    }
    assert_string_equal(rig.members[0].fatal, "");
    assert_non_null(strstr(rig.members[0].warnings, "from before 'raft recover'"));

    for (size_t i = 1; i < 3; i++) { /* what the message says to do */
        member_stop(&rig, i);
        dir_remove(rig.members[i].dir);
        rig.members[i].fatal[0] = '\0';
        member_start(&rig, i);
    }
    wait_for(&rig, has_three_voters, NULL, 20000, "three voters again");
    await_value(&rig, 2, "/b", "two");
    await_value(&rig, 2, KEY, "{}");
    rig_free(&rig);
}

/* What its disk has counts, whether anybody knew it as committed or not; after a snapshot and
 * changes of the membership. */
static void a_long_log_with_changes_is_recovered(void **state)
{
    (void)state;
    static struct rig rig;
    static struct raft_recovery_facts facts;
    size_t first = 0;
    rig_init(&rig, 3, PASSWORD);
    start_all(&rig);
    for (int i = 0; i < 1100; i++) { /* more than the threshold of a snapshot */
        assert_int_equal(put(&rig, 0, "/n", "1", 5000), 0);
    }
    member_stop(&rig, 2);
    dir_remove(rig.members[2].dir); /* add, remove, promote: in the log */
    member_start(&rig, 2);
    wait_for(&rig, has_three_voters, NULL, 20000, "three voters again");
    assert_int_equal(put(&rig, 0, "/last", "yes", 5000), 0);
    await_value(&rig, 0, "/last", "yes");
    stop_all(&rig);
    (void)recover(&rig, 0, &facts);
    assert_true(facts.last_index > 1100);
    for (int round = 0; round < 2; round++) { /* and what it has stored then starts again */
        member_start(&rig, 0);
        wait_for(&rig, leads, &first, 5000, "it leads alone");
        await_value(&rig, 0, "/last", "yes");
        await_value(&rig, 0, KEY, "{}");
        assert_int_equal(put(&rig, 0, "/more", "yes", 3000), 0);
        member_stop(&rig, 0);
    }
    rig_free(&rig);
}

static void what_is_no_lost_majority_is_refused(void **state)
{
    (void)state;
    static struct rig rig;
    static struct raft_recovery_facts facts;
    struct error err = {0};
    rig_init(&rig, 3, PASSWORD);
    assert_int_equal(refusal(&rig, 0, &err), ERR_NOT_FOUND);
    assert_int_equal(access(rig.members[0].dir, F_OK), -1); /* nothing was made */
    member_start(&rig, 0);
    wait_for(&rig, all_waiting, NULL, 5000, "it waits for the others");
    member_stop(&rig, 0);
    assert_int_equal(refusal(&rig, 0, &err), ERR_REFUSED);
    assert_non_null(strstr(err.text, "no group yet"));
    start_all(&rig);
    assert_int_equal(refusal(&rig, 0, &err), ERR_BUSY);
    assert_non_null(strstr(err.text, "stop the agent"));
    stop_all(&rig);
    strcpy(rig.members[1].name, "other");
    assert_int_equal(refusal(&rig, 1, &err), ERR_INVALID);
    strcpy(rig.members[1].name, "node2");
    (void)recover(&rig, 0, &facts);
    assert_int_equal(refusal(&rig, 0, &err), ERR_REFUSED);
    assert_non_null(strstr(err.text, "only voter"));
    rig_free(&rig);
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_that_is_left_goes_on_and_the_old_ones_stop),
        cmocka_unit_test(a_long_log_with_changes_is_recovered),
        cmocka_unit_test(what_is_no_lost_majority_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
