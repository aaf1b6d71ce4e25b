/* A member may be closed from inside any of its callbacks, and from what its node calls back. */
#include "group_fixture.h"

#include <signal.h>

/* Three members that have a leader, and the directory and address of a fourth. */
static void three_of_four(struct rig *rig)
{
    rig_init(rig, 4, PASSWORD);
    rig->count = 3;
    members_start(rig);
    wait_for(rig, has_leader, NULL, 10000, "three members elect a leader");
}

static void await_close(struct rig *rig, size_t at)
{
    wait_for(rig, is_closed, &rig->members[at], 20000, "the member closes");
}

static void from_the_first_callbacks(void **state)
{
    (void)state;
    static struct rig rig;
    static const enum event events[] = {READY, CHANGE, WAITING, WARNING};
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++) {
        rig_init(&rig, 3, events[i] == WARNING ? NULL : PASSWORD);
        rig.members[0].close_at = events[i];
        members_start(&rig);
        await_close(&rig, 0);
        rig_free(&rig);
    }
}

static void when_it_makes_a_group_of_one(void **state)
{
    (void)state;
    static struct rig rig;
    rig_init(&rig, 1, PASSWORD);
    rig.members[0].close_at = WARNING; /* partner_addrs is empty */
    members_start(&rig);
    await_close(&rig, 0);
    rig_free(&rig);
}

/* It runs, and is no voter yet. */
static void while_it_waits_to_be_a_voter(void **state)
{
    (void)state;
    static struct rig rig;
    three_of_four(&rig);
    rig.count = 4;
    rig.members[3].close_at = WAITING;
    rig.members[3].close_text = "to take this member in";
    member_start(&rig, 3);
    await_close(&rig, 3);
    assert_int_equal(put(&rig, 0, "/a", "one", 3000), 0);
    rig_free(&rig);
}

/* The leader finds that the one who asks bears another member's name. */
static void a_leader_that_warns_of_who_joins(void **state)
{
    (void)state;
    static struct rig rig;
    three_of_four(&rig);
    assert_int_equal(put(&rig, 0, "/a", "one", 3000), 0);
    rig.count = 4;
    size_t leader = (size_t)leader_of(&rig);
    strcpy(rig.members[3].name, rig.members[(leader + 1) % 3].name);
    rig.members[leader].close_at = WARNING;
    rig.members[leader].close_text = "waits to be taken in";
    member_start(&rig, 3);
    await_close(&rig, leader);
    rig_free(&rig);
}

/* A copied directory: both processes are told to stop, by what the peers send. */
static void when_it_is_told_to_stop(void **state)
{
    (void)state;
    static struct rig rig;
    three_of_four(&rig);
    assert_int_equal(put(&rig, 2, "/a", "one", 3000), 0);
    member_stop(&rig, 2);
    char command[512];
    snprintf(command, sizeof command, "cp -r '%s' '%s'", rig.members[2].dir, rig.members[3].dir);
    assert_int_equal(system(command), 0);
    strcpy(rig.members[3].name, rig.members[2].name);
    rig.members[2].close_at = FATAL;
    rig.members[3].close_at = FATAL;
    member_start(&rig, 2);
    member_start(&rig, 3);
    rig.count = 4;
    await_close(&rig, 2);
    await_close(&rig, 3);
    rig_free(&rig);
}

/* An address that is no member's knocks, and there is no password. */
static void a_member_that_warns_of_a_stranger(void **state)
{
    (void)state;
    static struct rig rig;
    rig_init(&rig, 1, NULL);
    rig.members[0].close_at = WARNING;
    rig.members[0].close_text = "no address of a member";
    members_start(&rig);
    wait_for(&rig, has_leader, NULL, 10000, "a group of one");
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in from = {.sin_family = AF_INET};
    struct sockaddr_in to = {.sin_family = AF_INET};
    from.sin_addr.s_addr = htonl(0x7f000002); /* 127.0.0.2 */
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons((uint16_t)raft_group_port(rig.members[0].group));
    assert_int_equal(bind(fd, (struct sockaddr *)&from, sizeof from), 0);
    (void)connect(fd, (struct sockaddr *)&to, sizeof to);
    await_close(&rig, 0);
    (void)close(fd);
    rig_free(&rig);
}

/* --- from what its node calls back ------------------------------------------------------------ */

struct closing {
    struct member *member;
    int calls;
    int canceled;
};

static void close_at_answer(void *arg, int rc, const struct store_result *result)
{
    struct closing *closing = arg;
    (void)result;
    closing->calls++;
    closing->canceled += rc == ERR_CANCELED;
    if (closing->calls == 1) {
        raft_group_close(closing->member->group, on_member_closed, closing->member);
        assert_null(raft_group_node(closing->member->group));
    }
}

static void from_the_answer_to_a_command(void **state)
{
    (void)state;
    static struct rig rig;
    struct store_op op = {.type = STORE_OP_PUT, .key = span_str("/a"), .value = span_str("1")};
    struct store_command command = {.type = STORE_TXN, .success = &op, .success_count = 1};
    for (int leads = 0; leads < 2; leads++) {
        rig_init(&rig, 3, PASSWORD);
        members_start(&rig);
        wait_for(&rig, has_leader, NULL, 10000, "three members elect a leader");
        size_t at = ((size_t)leader_of(&rig) + (leads ? 0 : 1)) % 3;
        struct closing closing = {.member = &rig.members[at]};
        for (int i = 0; i < 5; i++) {
            assert_int_equal(raft_node_propose(node_of(&rig, at), &command, 5000, 0,
                                               close_at_answer, &closing, NULL),
                             0);
            assert_int_equal(
                raft_node_read(node_of(&rig, at), 5000, close_at_answer, &closing, NULL), 0);
        }
        await_close(&rig, at);
        assert_int_equal(closing.calls, 10);
        assert_true(closing.canceled > 0);
        rig_free(&rig);
    }
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN); /* as every program with sockets does */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(from_the_first_callbacks),
        cmocka_unit_test(when_it_makes_a_group_of_one),
        cmocka_unit_test(while_it_waits_to_be_a_voter),
        cmocka_unit_test(a_leader_that_warns_of_who_joins),
        cmocka_unit_test(when_it_is_told_to_stop),
        cmocka_unit_test(a_member_that_warns_of_a_stranger),
        cmocka_unit_test(from_the_answer_to_a_command),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
