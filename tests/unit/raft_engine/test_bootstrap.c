/* First start, decided: who makes a group, who joins one, and who waits for whom. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "raft/engine/bootstrap.h"
#include "raft/engine/cluster_id.h"

#include <stdio.h>
#include <string.h>

struct scene {
    struct handshake_identity self;
    struct handshake_identity others[3];
    struct peer_view peers[3];
    size_t count;
    struct bootstrap_decision decision;
};

static struct handshake_identity empty_member(int number)
{
    struct handshake_identity identity = {.id = (uint64_t)(0x100 + number),
                                          .flags = HANDSHAKE_EMPTY | HANDSHAKE_WAITING,
                                          .incarnation = 1,
                                          .group_size = 3};
    snprintf(identity.name, sizeof identity.name, "node%d", number);
    snprintf(identity.address, sizeof identity.address, "10.0.0.%d:2222", number);
    return identity;
}

/* Member `self` of three empty ones that all see one another. */
static void scene_init(struct scene *scene, int self)
{
    memset(scene, 0, sizeof *scene);
    scene->self = empty_member(self);
    for (int number = 1; number <= 3; number++) {
        if (number != self) {
            size_t at = scene->count++;
            scene->others[at] = empty_member(number);
            scene->peers[at] = (struct peer_view){.address = scene->others[at].address,
                                                  .partner = true,
                                                  .connected = true,
                                                  .identity = &scene->others[at],
                                                  .trouble = ""};
        }
    }
}

static void disconnect(struct scene *scene, size_t at, const char *trouble)
{
    scene->peers[at].connected = false;
    scene->peers[at].identity = NULL;
    scene->peers[at].trouble = trouble;
}

static enum bootstrap_action decide(struct scene *scene)
{
    bootstrap_decide(&scene->self, scene->peers, scene->count, &scene->decision);
    return scene->decision.action;
}

static void expect_waiting(struct scene *scene, const char *part_of_text)
{
    assert_int_equal(decide(scene), BOOTSTRAP_WAIT);
    if (strstr(scene->decision.text, part_of_text) == NULL) {
        fail_msg("'%s' does not say '%s'", scene->decision.text, part_of_text);
    }
}

static void exactly_one_of_three_makes_the_group(void **state)
{
    (void)state;
    int makers = 0;
    for (int self = 1; self <= 3; self++) {
        struct scene scene;
        scene_init(&scene, self);
        if (decide(&scene) == BOOTSTRAP_CREATE) {
            makers++;
            assert_int_equal(self, 1);
            assert_int_equal(scene.decision.id_count, 3);
        } else {
            expect_waiting(&scene, "for 'node1' to make the group");
        }
    }
    assert_int_equal(makers, 1);
}

static void an_absent_partner_is_waited_for_by_name(void **state)
{
    (void)state;
    for (size_t absent = 0; absent < 2; absent++) {
        struct scene scene;
        scene_init(&scene, 1);
        disconnect(&scene, absent, "connection refused");
        expect_waiting(&scene, scene.peers[absent].address);
        expect_waiting(&scene, "connection refused");
    }
}

static void a_group_somewhere_is_joined_even_if_a_partner_is_absent(void **state)
{
    (void)state;
    struct scene scene;
    scene_init(&scene, 1);
    disconnect(&scene, 0, "");
    scene.others[1].cluster = 0xc1;
    scene.others[1].flags = 0;
    assert_int_equal(decide(&scene), BOOTSTRAP_JOIN);
    assert_true(scene.decision.cluster == 0xc1);
}

static void two_groups_are_not_chosen_between(void **state)
{
    (void)state;
    struct scene scene;
    scene_init(&scene, 1);
    scene.others[0].cluster = 0xc1;
    scene.others[1].cluster = 0xc2;
    expect_waiting(&scene, "different clusters");
}

static void a_recovered_group_is_joined_and_not_the_one_before(void **state)
{
    (void)state;
    struct scene scene;
    uint64_t before = 0x1122334455667788;
    uint64_t after = cluster_id_recovered(before, 5);
    for (size_t at = 0; at < 2; at++) {
        scene_init(&scene, 1);
        scene.others[at].cluster = before;
        scene.others[1 - at].cluster = after;
        assert_int_equal(decide(&scene), BOOTSTRAP_JOIN);
        assert_true(scene.decision.cluster == after);
    }
}

static void an_armed_page_here_or_there_is_not_empty(void **state)
{
    (void)state;
    struct scene scene;
    scene_init(&scene, 1);
    scene.self.flags |= HANDSHAKE_ARMED_PAGE;
    expect_waiting(&scene, "fence");
    scene_init(&scene, 1);
    scene.others[1].flags |= HANDSHAKE_ARMED_PAGE;
    expect_waiting(&scene, "fence");
    scene_init(&scene, 1);
    scene.self.flags |= HANDSHAKE_ARMED_PAGE;
    scene.others[0].cluster = 0xc1; /* it may come back to its group */
    assert_int_equal(decide(&scene), BOOTSTRAP_JOIN);
}

static void a_partner_that_is_not_empty_but_has_no_cluster_is_waited_for(void **state)
{
    (void)state;
    struct scene scene;
    scene_init(&scene, 1);
    scene.others[0].flags = 0;
    expect_waiting(&scene, "not empty");
}

static void partners_that_count_differently_make_no_group(void **state)
{
    (void)state;
    struct scene scene;
    scene_init(&scene, 1);
    scene.others[0].group_size = 2;
    expect_waiting(&scene, "another number of members");
}

static void same_names_or_addresses_make_no_group(void **state)
{
    (void)state;
    struct scene scene;
    scene_init(&scene, 1);
    strcpy(scene.others[1].name, "node1");
    expect_waiting(&scene, "same name");
    scene_init(&scene, 1);
    strcpy(scene.others[1].address, scene.self.address);
    expect_waiting(&scene, "same self_addr");
}

static void a_member_alone_makes_its_group_at_once(void **state)
{
    (void)state;
    struct scene scene;
    scene_init(&scene, 1);
    scene.count = 0;
    scene.self.group_size = 1;
    assert_int_equal(decide(&scene), BOOTSTRAP_CREATE);
    assert_int_equal(scene.decision.id_count, 1);
}

static void own_address_among_the_partners_is_passed_over(void **state)
{
    (void)state;
    struct scene scene;
    scene_init(&scene, 1);
    scene.peers[2] = (struct peer_view){
        .address = scene.self.address, .partner = true, .self = true, .trouble = ""};
    scene.count = 3;
    assert_int_equal(decide(&scene), BOOTSTRAP_CREATE);
    assert_int_equal(scene.decision.id_count, 3);
}

/* Every combination of what three members can be, from the view of each: a group is made only if
 * all are there and empty, and never where one exists. */
static void no_combination_makes_a_second_group(void **state)
{
    (void)state;
    enum { ABSENT, EMPTY, ARMED, OTHER_SIZE, MEMBER, KINDS };
    for (int self = 1; self <= 3; self++) {
        for (int kinds = 0; kinds < KINDS * KINDS; kinds++) {
            struct scene scene;
            scene_init(&scene, self);
            bool all_empty = true;
            bool exists = false;
            int kind_of[2] = {kinds % KINDS, kinds / KINDS};
            for (size_t at = 0; at < 2; at++) {
                all_empty = all_empty && kind_of[at] == EMPTY;
                exists = exists || kind_of[at] == MEMBER;
                if (kind_of[at] == ABSENT) {
                    disconnect(&scene, at, "");
                }
                scene.others[at].flags |= kind_of[at] == ARMED ? HANDSHAKE_ARMED_PAGE : 0;
                scene.others[at].group_size = kind_of[at] == OTHER_SIZE ? 5 : 3;
                scene.others[at].cluster = kind_of[at] == MEMBER ? 0xc1 : 0;
            }
            enum bootstrap_action action = decide(&scene);
            assert_int_equal(action == BOOTSTRAP_JOIN, exists);
            assert_int_equal(action == BOOTSTRAP_CREATE, all_empty && self == 1);
        }
    }
}

static void a_first_configuration_comes_back_as_it_was(void **state)
{
    (void)state;
    struct bootstrap_first first = {.cluster = 0xc1, .ids = {3, 1, 2}, .id_count = 3};
    struct bootstrap_first back;
    struct buf bytes = BUF_INIT;
    bootstrap_first_encode(&first, &bytes);
    assert_int_equal(bootstrap_first_decode(buf_span(&bytes), &back, NULL), 0);
    assert_memory_equal(&first, &back, sizeof first);
    for (size_t len = 0; len < bytes.len; len++) {
        assert_int_equal(bootstrap_first_decode(span_of(bytes.data, len), &back, NULL),
                         ERR_INVALID);
    }
    buf_put_u8(&bytes, 0);
    assert_int_equal(bootstrap_first_decode(buf_span(&bytes), &back, NULL), ERR_INVALID);
    buf_free(&bytes);
}

static void only_an_empty_member_of_it_stores_a_first_configuration(void **state)
{
    (void)state;
    struct bootstrap_first first = {.cluster = 0xc1, .ids = {0x101, 0x102, 0x103}, .id_count = 3};
    struct handshake_identity self = empty_member(2);
    assert_int_equal(bootstrap_first_check(&first, &self, NULL), 0);
    self.cluster = 0xc1;
    assert_int_equal(bootstrap_first_check(&first, &self, NULL), ERR_REFUSED);
    self = empty_member(2);
    self.flags = 0;
    assert_int_equal(bootstrap_first_check(&first, &self, NULL), ERR_REFUSED);
    self = empty_member(2);
    self.flags |= HANDSHAKE_ARMED_PAGE;
    assert_int_equal(bootstrap_first_check(&first, &self, NULL), ERR_REFUSED);
    self = empty_member(2);
    self.group_size = 2;
    assert_int_equal(bootstrap_first_check(&first, &self, NULL), ERR_REFUSED);
    self = empty_member(4);
    assert_int_equal(bootstrap_first_check(&first, &self, NULL), ERR_REFUSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exactly_one_of_three_makes_the_group),
        cmocka_unit_test(an_absent_partner_is_waited_for_by_name),
        cmocka_unit_test(a_group_somewhere_is_joined_even_if_a_partner_is_absent),
        cmocka_unit_test(two_groups_are_not_chosen_between),
        cmocka_unit_test(a_recovered_group_is_joined_and_not_the_one_before),
        cmocka_unit_test(an_armed_page_here_or_there_is_not_empty),
        cmocka_unit_test(a_partner_that_is_not_empty_but_has_no_cluster_is_waited_for),
        cmocka_unit_test(partners_that_count_differently_make_no_group),
        cmocka_unit_test(same_names_or_addresses_make_no_group),
        cmocka_unit_test(a_member_alone_makes_its_group_at_once),
        cmocka_unit_test(own_address_among_the_partners_is_passed_over),
        cmocka_unit_test(no_combination_makes_a_second_group),
        cmocka_unit_test(a_first_configuration_comes_back_as_it_was),
        cmocka_unit_test(only_an_empty_member_of_it_stores_a_first_configuration),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
