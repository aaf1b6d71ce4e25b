/* Whole members on loopback: first start, restart, loss, wiped directories, strangers. */
#include "group_fixture.h"

#include "raft/engine/bootstrap.h"
#include "raft/storage.h"

#include <signal.h>

/* What does not happen within so long, in steps of 200 ms, does not happen by itself. */
#define STAYS_MS 500

struct warned {
    const struct member *member;
    const char *text;
};

static void start_all(struct rig *rig)
{
    members_start(rig);
    wait_for(rig, all_are_voters, NULL, 10000, "the members elect a leader and know one another");
}

/* With a value, put through the first of them. */
static void start_three(struct rig *rig)
{
    rig_init(rig, 3, PASSWORD);
    start_all(rig);
    assert_int_equal(put(rig, 0, "/a", "one", 3000), 0);
}

static size_t voters_of(struct rig *rig, size_t at)
{
    struct raft_node *node = node_of(rig, at);
    if (node == NULL) {
        return 0;
    }
    struct raft_status status;
    raft_node_status(node, &status);
    size_t voters = 0;
    for (size_t i = 0; i < status.member_count; i++) {
        voters += status.members[i].voter;
    }
    return voters;
}

static uint64_t id_of(struct rig *rig, size_t at)
{
    struct raft_status status;
    raft_node_status(node_of(rig, at), &status);
    return status.id;
}

static void three_empty_members_make_one_group_and_replicate(void **state)
{
    (void)state;
    static struct rig rig;
    start_three(&rig);
    assert_int_equal(put(&rig, 1, "/b", "two", 3000), 0);
    for (size_t i = 0; i < 3; i++) {
        await_value(&rig, i, "/a", "one");
        await_value(&rig, i, "/b", "two");
        assert_int_equal(voters_of(&rig, i), 3);
        assert_int_equal(rig.members[i].readies, 1);
        assert_string_equal(rig.members[i].fatal, "");
        assert_true(raft_group_cluster(rig.members[i].group) ==
                    raft_group_cluster(rig.members[0].group));
        assert_true(raft_group_cluster(rig.members[i].group) != 0);
    }
    rig_free(&rig);
}

static void a_member_without_partners_makes_a_group_of_one_and_says_so(void **state)
{
    (void)state;
    static struct rig rig;
    rig_init(&rig, 1, PASSWORD);
    start_all(&rig);
    assert_int_equal(put(&rig, 0, "/a", "one", 3000), 0);
    assert_non_null(strstr(rig.members[0].warnings, "partner_addrs is empty"));
    rig_free(&rig);
}

static void no_password_is_told_at_the_start(void **state)
{
    (void)state;
    static struct rig rig;
    rig_init(&rig, 3, NULL);
    start_all(&rig);
    assert_int_equal(put(&rig, 2, "/a", "one", 3000), 0);
    assert_non_null(
        strstr(rig.members[0].warnings, "neither raft.password nor raft.certfile is set"));
    rig_free(&rig);
}

static void all_restart_with_what_they_had(void **state)
{
    (void)state;
    static struct rig rig;
    start_three(&rig);
    uint64_t cluster = raft_group_cluster(rig.members[0].group);
    for (size_t i = 0; i < 3; i++) {
        member_stop(&rig, i);
    }
    start_all(&rig);
    for (size_t i = 0; i < 3; i++) {
        await_value(&rig, i, "/a", "one");
    }
    assert_true(cluster == raft_group_cluster(rig.members[2].group));
    rig_free(&rig);
}

static void the_others_go_on_without_the_leader(void **state)
{
    (void)state;
    static struct rig rig;
    rig_init(&rig, 3, PASSWORD);
    start_all(&rig);
    size_t lost = (size_t)leader_of(&rig);
    member_stop(&rig, lost);
    size_t left = (lost + 1) % 3;
    assert_int_equal(put(&rig, left, "/a", "after", 5000), 0);
    member_start(&rig, lost);
    await_value(&rig, lost, "/a", "after");
    rig_free(&rig);
}

static bool has_warned(struct rig *rig, void *arg)
{
    (void)rig;
    const struct warned *warned = arg;
    return strstr(warned->member->warnings, warned->text) != NULL;
}

static void await_warning(struct rig *rig, size_t at, const char *text)
{
    struct warned warned = {.member = &rig->members[at], .text = text};
    wait_for(rig, has_warned, &warned, 10000, text);
}

static void the_last_of_three_says_whom_it_misses(void **state)
{
    (void)state;
    static struct rig rig;
    rig_init(&rig, 3, PASSWORD);
    start_all(&rig);
    member_stop(&rig, 0);
    member_stop(&rig, 1);
    await_warning(&rig, 2, "no leader");
    const char *warning = strstr(rig.members[2].warnings, "no leader");
    assert_non_null(warning);
    assert_non_null(strstr(warning, "'node1' at"));
    assert_non_null(strstr(warning, "'node2' at"));
    assert_int_equal(put(&rig, 2, "/a", "one", 100), ERR_UNAVAILABLE);
    rig_free(&rig);
}

static void two_wait(struct rig *rig)
{
    member_start(rig, 0);
    member_start(rig, 1);
    wait_for(rig, all_waiting, NULL, 5000, "both say that they wait");
}

static void two_of_three_do_not_make_a_group(void **state)
{
    (void)state;
    static struct rig rig;
    rig_init(&rig, 3, PASSWORD);
    two_wait(&rig);
    run_for(&rig, STAYS_MS);
    assert_null(node_of(&rig, 0));
    assert_null(node_of(&rig, 1));
    assert_non_null(strstr(rig.members[0].waiting, rig.members[2].address));
    member_start(&rig, 2);
    wait_for(&rig, has_leader, NULL, 10000, "all three make a group");
    rig_free(&rig);
}

struct voter {
    size_t at;
    size_t voters;
    uint64_t not_id;
};

static bool is_voter_again(struct rig *rig, void *arg)
{
    struct voter *voter = arg;
    struct raft_node *node = node_of(rig, voter->at);
    if (node == NULL) {
        return false;
    }
    struct raft_status status;
    raft_node_status(node, &status);
    bool self = false;
    bool old = false;
    size_t voters = 0;
    for (size_t i = 0; i < status.member_count; i++) {
        self = self || (status.members[i].id == status.id && status.members[i].voter);
        old = old || status.members[i].id == voter->not_id;
        voters += status.members[i].voter;
    }
    return self && !old && voters == voter->voters;
}

static void loses_its_directory(struct rig *rig, size_t lost)
{
    struct voter voter = {.at = lost, .voters = 3, .not_id = id_of(rig, lost)};
    member_stop(rig, lost);
    dir_remove(rig->members[lost].dir);
    member_start(rig, lost);
    wait_for(rig, is_voter_again, &voter, 20000, "the wiped member is a voter under a new id");
    await_value(rig, lost, "/a", "one");
    assert_true(voter.not_id != id_of(rig, lost));
}

static void a_wiped_member_comes_back_as_a_new_one(void **state)
{
    (void)state;
    static struct rig rig;
    start_three(&rig);
    size_t lost = ((size_t)leader_of(&rig) + 1) % 3;
    loses_its_directory(&rig, lost);
    assert_int_equal(put(&rig, lost, "/b", "two", 3000), 0);
    rig_free(&rig);
}

static void a_wiped_leader_comes_back_as_a_new_member(void **state)
{
    (void)state;
    static struct rig rig;
    start_three(&rig);
    loses_its_directory(&rig, (size_t)leader_of(&rig));
    rig_free(&rig);
}

static bool all_in_cluster(struct rig *rig, void *arg)
{
    for (size_t i = 0; i < rig->count; i++) {
        if (raft_group_cluster(rig->members[i].group) != *(const uint64_t *)arg) {
            return false;
        }
    }
    return true;
}

static void two_wiped_of_three_make_no_new_group(void **state)
{
    (void)state;
    static struct rig rig;
    start_three(&rig);
    uint64_t cluster = raft_group_cluster(rig.members[2].group);
    for (size_t i = 0; i < 3; i++) {
        member_stop(&rig, i);
    }
    dir_remove(rig.members[0].dir);
    dir_remove(rig.members[1].dir);
    two_wait(&rig);
    run_for(&rig, STAYS_MS);
    assert_true(raft_group_cluster(rig.members[0].group) == 0); /* the third may hold the group */
    member_start(&rig, 2);
    wait_for(&rig, all_in_cluster, &cluster, 10000, "the wiped ones find the group");
    run_for(&rig, ELECTION_MS * 5);        /* of two timeouts at most each */
    assert_int_equal(leader_of(&rig), -1); /* nobody but the third knows what was committed */
    assert_true(all_in_cluster(&rig, &cluster));
    rig_free(&rig);
}

/* The others' files do not name it. */
static void fourth_joins(struct rig *rig)
{
    rig->count = 4;
    member_start(rig, 3);
    struct voter voter = {.at = 3, .voters = 4};
    wait_for(rig, is_voter_again, &voter, 20000, "the fourth member votes");
}

/* Each knows it of itself; the others by its word. */
static void everybody_knows_who_is_a_witness(void **state)
{
    (void)state;
    static struct rig rig;
    static struct raft_status status;
    rig_init(&rig, 3, PASSWORD);
    rig.members[1].witness = true;
    members_start(&rig);
    wait_for(&rig, all_connected, NULL, 10000, "all are connected");
    uint64_t witness = id_of(&rig, 1);
    for (size_t at = 0; at < 3; at++) {
        raft_node_status(node_of(&rig, at), &status);
        for (size_t i = 0; i < status.member_count; i++) {
            assert_true(status.members[i].witness == (status.members[i].id == witness));
        }
    }
    rig_free(&rig);
}

static void a_fourth_member_is_taken_in(void **state)
{
    (void)state;
    static struct rig rig;
    rig_init(&rig, 4, PASSWORD);
    rig.count = 3;
    start_all(&rig);
    assert_int_equal(put(&rig, 0, "/a", "one", 3000), 0);
    fourth_joins(&rig);
    await_value(&rig, 3, "/a", "one");
    assert_int_equal(put(&rig, 3, "/b", "two", 3000), 0);
    rig_free(&rig);
}

/* Directories with ids; `has` of them hold the first configuration of all. */
static void first_directories(struct rig *rig, const bool *has, struct bootstrap_first *first)
{
    struct raft_storage *storages[3];
    struct raft_storage_callbacks callbacks = {.on_fatal = on_fatal, .arg = &rig->members[0]};
    struct buf configuration = BUF_INIT;
    *first = (struct bootstrap_first){.cluster = 0xc1, .id_count = 3};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(raft_storage_open(&rig->loop, rig->members[i].dir, rig->members[i].name,
                                           random_real(), &callbacks, &storages[i], NULL),
                         0);
        first->ids[i] = raft_storage_boot(storages[i])->id;
    }
    assert_int_equal(raft_first_configuration(first->ids, 3, &configuration, NULL), 0);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(has[i] ? raft_storage_create(storages[i], first->cluster,
                                                      buf_span(&configuration), NULL)
                                : 0,
                         0);
        rig->members[i].closed = false;
        raft_storage_close(storages[i], on_member_closed, &rig->members[i]);
        wait_for(rig, is_closed, &rig->members[i], 5000, "the directory closes");
    }
    buf_free(&configuration);
}

/* The member that makes the group dies after it stored it and before anybody heard of it. */
static void a_group_that_its_maker_told_nobody_of_is_the_only_one(void **state)
{
    (void)state;
    static struct rig rig;
    static const bool has[] = {false, true, false};
    struct bootstrap_first first;
    rig_init(&rig, 3, PASSWORD);
    first_directories(&rig, has, &first);
    start_all(&rig);
    assert_int_equal(put(&rig, 0, "/a", "one", 3000), 0);
    for (size_t i = 0; i < 3; i++) {
        await_value(&rig, i, "/a", "one");
        assert_true(raft_group_cluster(rig.members[i].group) == 0xc1);
        assert_int_equal(voters_of(&rig, i), 3);
        assert_true(id_of(&rig, i) == first.ids[i]);
    }
    rig_free(&rig);
}

static void two_elect_a_leader(struct rig *rig)
{
    member_start(rig, 0);
    member_start(rig, 1);
    wait_for(rig, has_leader, NULL, 10000, "two of three elect a leader");
}

/* It was in the first configuration, and died before it told its name. */
static void a_first_member_that_is_wiped_before_it_told_its_name_is_replaced(void **state)
{
    (void)state;
    static struct rig rig;
    static const bool has[] = {true, true, true};
    struct bootstrap_first first;
    rig_init(&rig, 3, PASSWORD);
    first_directories(&rig, has, &first);
    dir_remove(rig.members[2].dir);
    two_elect_a_leader(&rig);
    member_start(&rig, 2);
    struct voter voter = {.at = 2, .voters = 3, .not_id = first.ids[2]};
    wait_for(&rig, is_voter_again, &voter, 20000, "it votes under a new id, the old one is gone");
    rig_free(&rig);
}

/* Its name is not known yet, and the fourth does not come for it. */
static void a_first_member_without_a_name_stays_when_the_group_grows(void **state)
{
    (void)state;
    static struct rig rig;
    static const bool has[] = {true, true, true};
    struct bootstrap_first first;
    rig_init(&rig, 4, PASSWORD);
    rig.count = 3;
    first_directories(&rig, has, &first);
    two_elect_a_leader(&rig);
    fourth_joins(&rig);
    member_start(&rig, 2);
    wait_for(&rig, all_are_voters, NULL, 10000, "the third tells its name");
    assert_true(id_of(&rig, 2) == first.ids[2]);
    assert_string_equal(rig.members[2].fatal, "");
    rig_free(&rig);
}

/* The others' files name the old address; nobody changes them. */
static void a_member_that_moved_is_found_again(void **state)
{
    (void)state;
    static struct rig rig;
    rig_init(&rig, 4, PASSWORD);
    rig.count = 3;
    start_all(&rig);
    member_stop(&rig, 2);
    char old[sizeof rig.members[2].address];
    memcpy(old, rig.members[2].address, sizeof old);
    memcpy(rig.members[2].address, rig.members[3].address, sizeof old);
    assert_int_equal(put(&rig, 0, "/a", "one", 5000), 0);
    member_start(&rig, 2);
    await_value(&rig, 2, "/a", "one");
    assert_int_equal(put(&rig, 2, "/b", "two", 5000), 0);
    rig_free(&rig);
}

static bool is_told(struct rig *rig, void *arg)
{
    (void)rig;
    return ((struct member *)arg)->fatal[0] != '\0';
}

/* A host that was replaced while it was away comes back with its old directory. */
static void a_removed_member_that_comes_back_is_told_and_stops(void **state)
{
    (void)state;
    static struct rig rig;
    rig_init(&rig, 4, PASSWORD);
    rig.count = 3;
    start_all(&rig);
    size_t lost = ((size_t)leader_of(&rig) + 1) % 3;
    struct voter voter = {.at = 3, .voters = 3, .not_id = id_of(&rig, lost)};
    member_stop(&rig, lost);
    strcpy(rig.members[3].name, rig.members[lost].name);
    rig.count = 4;
    member_start(&rig, 3);
    wait_for(&rig, is_voter_again, &voter, 20000, "the new host votes in the old one's place");
    member_start(&rig, lost);
    wait_for(&rig, is_told, &rig.members[lost], 20000, "the old one is told");
    assert_non_null(strstr(rig.members[lost].fatal, "was removed from the group"));
    for (size_t i = 0; i < 4; i++) {
        assert_true(i == lost || rig.members[i].fatal[0] == '\0');
    }
    assert_int_equal(put(&rig, 3, "/b", "two", 3000), 0);
    rig_free(&rig);
}

static void addresses_may_be_names_or_ipv6(void **state)
{
    (void)state;
    static struct rig rig;
    static const char *const hosts[] = {"localhost", "[::1]"};
    for (size_t host = 0; host < 2; host++) {
        rig_init(&rig, 3, host == 0 ? NULL : PASSWORD);
        for (size_t i = 0; i < 3; i++) {
            char port[16];
            snprintf(port, sizeof port, "%s", strchr(rig.members[i].address, ':') + 1);
            snprintf(rig.members[i].address, sizeof rig.members[i].address, "%s:%s", hosts[host],
                     port);
        }
        start_all(&rig);
        assert_int_equal(put(&rig, 1, "/a", "one", 3000), 0);
        rig_free(&rig);
    }
}

static bool all_wait_for_the_fence(struct rig *rig, void *arg)
{
    (void)arg;
    for (size_t i = 0; i < rig->count; i++) {
        if (strstr(rig->members[i].waiting, "fence") == NULL) {
            return false;
        }
    }
    return true;
}

static void an_armed_page_makes_no_group(void **state)
{
    (void)state;
    static struct rig rig;
    rig_init(&rig, 3, PASSWORD);
    rig.members[1].armed_page = true;
    members_start(&rig);
    wait_for(&rig, all_wait_for_the_fence, NULL, 5000, "all say what they wait for");
    run_for(&rig, STAYS_MS);
    for (size_t i = 0; i < 3; i++) {
        assert_null(node_of(&rig, i));
    }
    assert_true(all_wait_for_the_fence(&rig, NULL));
    rig_free(&rig);
}

static void a_wrong_password_keeps_a_member_out(void **state)
{
    (void)state;
    static struct rig rig;
    rig_init(&rig, 3, PASSWORD);
    rig.members[2].password = "wrong";
    members_start(&rig);
    await_warning(&rig, 0, "password");
    await_warning(&rig, 2, "password");
    run_for(&rig, STAYS_MS);
    assert_null(node_of(&rig, 0));
    assert_null(node_of(&rig, 2));
    struct raft_group_counters counters;
    raft_group_counters(rig.members[0].group, &counters);
    assert_true(counters.handshakes_refused > 0);
    rig_free(&rig);
}

static void a_directory_of_another_member_is_refused(void **state)
{
    (void)state;
    static struct rig rig;
    rig_init(&rig, 3, PASSWORD);
    start_all(&rig);
    member_stop(&rig, 2);
    strcpy(rig.members[2].name, "node9");
    struct error err = {0};
    assert_int_equal(member_open(&rig, 2, &err), ERR_INVALID);
    rig_free(&rig);
}

static bool some_fatal(struct rig *rig, void *arg)
{
    (void)arg;
    return rig->members[2].fatal[0] != '\0' && rig->members[3].fatal[0] != '\0';
}

/* A cloned host: same directory, same name, another address. */
static void two_processes_under_one_id_both_stop(void **state)
{
    (void)state;
    static struct rig rig;
    rig_init(&rig, 4, PASSWORD);
    rig.count = 3;
    start_all(&rig);
    assert_int_equal(put(&rig, 0, "/a", "one", 3000), 0);
    member_stop(&rig, 2);
    char command[512];
    snprintf(command, sizeof command, "cp -r '%s' '%s'", rig.members[2].dir, rig.members[3].dir);
    assert_int_equal(system(command), 0);
    strcpy(rig.members[3].name, rig.members[2].name);
    member_start(&rig, 2);
    member_start(&rig, 3);
    rig.count = 4;
    wait_for(&rig, some_fatal, NULL, 10000, "both processes of the id stop");
    assert_string_equal(rig.members[0].fatal, "");
    assert_int_equal(put(&rig, 0, "/b", "two", 3000), 0);
    rig_free(&rig);
}

static void members_of_different_clusters_do_not_mix(void **state)
{
    (void)state;
    static struct rig rig;
    rig_init(&rig, 2, PASSWORD);
    rig.count = 1;
    member_start(&rig, 0);
    wait_for(&rig, has_leader, NULL, 5000, "the first group of one");
    member_stop(&rig, 0);
    struct member first = rig.members[0];
    rig.members[0] = rig.members[1];
    member_start(&rig, 0);
    wait_for(&rig, has_leader, NULL, 5000, "the second group of one");
    member_stop(&rig, 0);
    rig.members[1] = rig.members[0];
    rig.members[0] = first;
    rig.count = 2;
    member_start(&rig, 0);
    member_start(&rig, 1);
    char words[128];
    snprintf(words, sizeof words, "'node2' (raft.self_addr %s) is of the Raft cluster",
             rig.members[1].address);
    await_warning(&rig, 0, words);
    await_warning(&rig, 1, "'node1' (raft.self_addr");
    run_for(&rig, STAYS_MS);
    assert_true(raft_group_cluster(rig.members[0].group) !=
                raft_group_cluster(rig.members[1].group));
    assert_int_equal(put(&rig, 0, "/a", "one", 2000), 0);
    rig_free(&rig);
}

static bool is_told_whose_address(struct rig *same, void *arg)
{
    (void)same;
    return strstr(((struct member *)arg)->fatal, "give this member its own address") != NULL;
}

/* `at` calls itself what `other` is called from its next start on, and listens where it did. */
static void give_address_of(struct member *member, const char *other)
{
    memcpy(member->bind, member->address, sizeof member->bind);
    (void)strncpy(member->address, other, sizeof member->address - 1);
}

static void a_member_that_gives_anothers_address_is_told_to_stop(void **state)
{
    (void)state;
    static struct rig rig;
    rig_init(&rig, 3, PASSWORD);
    start_all(&rig);
    member_stop(&rig, 1);
    char own[64];
    snprintf(own, sizeof own, "%s", rig.members[1].address);
    give_address_of(&rig.members[1], rig.members[2].address);
    member_start(&rig, 1);
    wait_for(&rig, is_told_whose_address, &rig.members[1], 10000, "it is told");
    assert_non_null(strstr(rig.members[1].fatal, rig.members[2].address));
    assert_non_null(strstr(rig.members[1].fatal, "of 'node2' is where 'node3' answers"));
    assert_string_equal(rig.members[0].fatal, "");
    assert_string_equal(rig.members[2].fatal, "");
    assert_int_equal(put(&rig, 0, "/a", "one", 3000), 0);
    member_stop(&rig, 1);
    snprintf(rig.members[1].address, sizeof rig.members[1].address, "%s", own);
    rig.members[1].bind[0] = '\0';
    rig.members[1].fatal[0] = '\0';
    member_start(&rig, 1);
    wait_for(&rig, all_are_voters, NULL, 10000, "with its own it is one of them again");
    run_for(&rig, STAYS_MS);
    assert_string_equal(rig.members[1].fatal, "");
    rig_free(&rig);
}

/* From the first start on: nobody takes either of them in. */
static void two_that_give_each_others_address_are_both_told(void **state)
{
    (void)state;
    static struct rig rig;
    char second[64];
    rig_init(&rig, 3, PASSWORD);
    snprintf(second, sizeof second, "%s", rig.members[1].address);
    give_address_of(&rig.members[1], rig.members[2].address);
    give_address_of(&rig.members[2], second);
    for (size_t i = 0; i < 3; i++) {
        member_start(&rig, i);
    }
    wait_for(&rig, is_told_whose_address, &rig.members[1], 10000, "one is told");
    wait_for(&rig, is_told_whose_address, &rig.members[2], 10000, "and the other");
    assert_string_equal(rig.members[0].fatal, "");
    rig_free(&rig);
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN); /* as every program with sockets does */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_member_that_gives_anothers_address_is_told_to_stop),
        cmocka_unit_test(two_that_give_each_others_address_are_both_told),
        cmocka_unit_test(three_empty_members_make_one_group_and_replicate),
        cmocka_unit_test(a_member_without_partners_makes_a_group_of_one_and_says_so),
        cmocka_unit_test(no_password_is_told_at_the_start),
        cmocka_unit_test(all_restart_with_what_they_had),
        cmocka_unit_test(the_others_go_on_without_the_leader),
        cmocka_unit_test(the_last_of_three_says_whom_it_misses),
        cmocka_unit_test(two_of_three_do_not_make_a_group),
        cmocka_unit_test(a_wiped_member_comes_back_as_a_new_one),
        cmocka_unit_test(a_wiped_leader_comes_back_as_a_new_member),
        cmocka_unit_test(two_wiped_of_three_make_no_new_group),
        cmocka_unit_test(a_group_that_its_maker_told_nobody_of_is_the_only_one),
        cmocka_unit_test(a_first_member_that_is_wiped_before_it_told_its_name_is_replaced),
        cmocka_unit_test(a_first_member_without_a_name_stays_when_the_group_grows),
        cmocka_unit_test(everybody_knows_who_is_a_witness),
        cmocka_unit_test(a_fourth_member_is_taken_in),
        cmocka_unit_test(a_member_that_moved_is_found_again),
        cmocka_unit_test(a_removed_member_that_comes_back_is_told_and_stops),
        cmocka_unit_test(addresses_may_be_names_or_ipv6),
        cmocka_unit_test(an_armed_page_makes_no_group),
        cmocka_unit_test(a_wrong_password_keeps_a_member_out),
        cmocka_unit_test(a_directory_of_another_member_is_refused),
        cmocka_unit_test(two_processes_under_one_id_both_stop),
        cmocka_unit_test(members_of_different_clusters_do_not_mix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
