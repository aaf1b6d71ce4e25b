/* A Raft directory that has less than it had: an old copy, or one that has lost its end. */
#include "group_fixture.h"

#include <signal.h>

static void start_all(struct rig *rig)
{
    members_start(rig);
    wait_for(rig, all_are_voters, NULL, 10000, "the members elect a leader and know one another");
}

static void copy_directory(const char *from, const char *to)
{
    char command[512];
    snprintf(command, sizeof command, "cp -r '%s' '%s'", from, to);
    assert_int_equal(system(command), 0);
}

static bool is_told(struct rig *rig, void *arg)
{
    (void)rig;
    return ((struct member *)arg)->fatal[0] != '\0';
}

static bool is_voter_of_three(struct rig *rig, void *arg)
{
    static struct raft_status status;
    size_t at = *(size_t *)arg;
    if (node_of(rig, at) == NULL) {
        return false;
    }
    raft_node_status(node_of(rig, at), &status);
    size_t voters = 0;
    bool self = false;
    for (size_t i = 0; i < status.member_count; i++) {
        voters += status.members[i].voter;
        self = self || (status.members[i].id == status.id && status.members[i].voter);
    }
    return self && voters == 3;
}

/* Stops, puts back what it had long ago, starts: refused, by whoever of the others it meets. */
static void restored(bool leader_is_away)
{
    static struct rig rig;
    char copy[160];
    rig_init(&rig, 3, PASSWORD);
    start_all(&rig);
    assert_int_equal(put(&rig, 0, "/a", "old", 3000), 0);
    size_t lost = ((size_t)leader_of(&rig) + 1) % 3;
    size_t other = ((size_t)leader_of(&rig) + 2) % 3;
    member_stop(&rig, lost);
    snprintf(copy, sizeof copy, "%s/copy", rig.dir);
    copy_directory(rig.members[lost].dir, copy);
    member_start(&rig, lost);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(put(&rig, other, "/a", "new", 5000), 0);
    }
    await_value(&rig, lost, "/a", "new");
    run_for(&rig, 1500); /* it tells each second */
    member_stop(&rig, lost);
    if (leader_is_away) {
        member_stop(&rig, 3 - lost - other);
    }
    dir_remove(rig.members[lost].dir);
    copy_directory(copy, rig.members[lost].dir);
    member_start(&rig, lost);
    wait_for(&rig, is_told, &rig.members[lost], 5000, "the old copy is refused");
    assert_non_null(strstr(rig.members[lost].fatal, "old copy"));
    assert_non_null(strstr(rig.members[lost].fatal, "move raft.db*"));
    assert_non_null(strstr(rig.members[other].warnings, rig.members[lost].name));
    assert_string_equal(rig.members[other].fatal, "");
    if (leader_is_away) { /* it made no majority with the one that is left */
        run_for(&rig, 5 * ELECTION_MS);
        assert_int_equal(leader_of(&rig), -1);
    } else { /* what the message says to do helps */
        member_stop(&rig, lost);
        dir_remove(rig.members[lost].dir);
        rig.members[lost].fatal[0] = '\0';
        member_start(&rig, lost);
        wait_for(&rig, is_voter_of_three, &lost, 20000, "it votes again, as a new member");
        await_value(&rig, lost, "/a", "new");
    }
    rig_free(&rig);
}

static void an_old_copy_is_refused(void **state)
{
    (void)state;
    restored(false);
}

static void an_old_copy_elects_nobody(void **state)
{
    (void)state;
    restored(true);
}

static void what_was_there_comes_back_and_is_taken(void **state)
{
    (void)state;
    static struct rig rig;
    rig_init(&rig, 3, PASSWORD);
    start_all(&rig);
    for (int round = 0; round < 3; round++) {
        size_t lost = (size_t)leader_of(&rig);
        assert_int_equal(put(&rig, lost, "/a", "one", 3000), 0);
        run_for(&rig, 1100);
        member_stop(&rig, lost);
        wait_for(&rig, has_leader, NULL, 10000, "the others elect");
        member_start(&rig, lost);
        wait_for(&rig, all_connected, NULL, 10000, "it is back");
    }
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(rig.members[i].fatal, "");
        assert_null(strstr(rig.members[i].warnings, "old copy"));
    }
    rig_free(&rig);
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_old_copy_is_refused),
        cmocka_unit_test(an_old_copy_elects_nobody),
        cmocka_unit_test(what_was_there_comes_back_and_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
