/* Whom an empty member waits for before it makes a cluster: as the Raft group has its members. */
#include "loop_fixture.h"

#include "agent/ha/ha_partners.h"

static struct raft_status group;

void raft_node_status(const struct raft_node *node, struct raft_status *ret_status)
{
    (void)node;
    *ret_status = group;
}

int raft_node_transfer(struct raft_node *node, uint64_t id, struct error *err)
{
    (void)node;
    (void)id;
    return error_set(err, ERR_BUSY, "not the leader");
}

/* An empty store, and a group of this member and `others`. */
static void begin(const struct raft_member_status *others, size_t count)
{
    rig_init();
    group = (struct raft_status){.id = 1, .leader = 1, .member_count = count + 1};
    group.members[0] = (struct raft_member_status){.id = 1, .name = "n1", .connected = true};
    memcpy(&group.members[1], others, count * sizeof *others);
    rig.agent.group = (struct raft_group *)(void *)&rig;
    rig.raft = (struct raft_node *)(void *)&rig;
}

/* For whom, now that the store was looked at; "" = for nobody. */
static const char *awaited(void)
{
    static char names[HA_PARTNERS_BYTES];
    static struct ha_snapshot s;
    int64_t until_ms;
    observe_store_changed(&rig.agent);
    facts_snapshot(&rig.agent, &s);
    return ha_partners_are_awaited(&s, names, &until_ms) ? names : "";
}

static void tells(const char *name, const char *data)
{
    char key[80];
    char record[80];
    (void)snprintf(key, sizeof key, "members/%s", name);
    (void)snprintf(record, sizeof record, "{\"state\":\"stopped\",\"data\":\"%s\"}", data);
    key_set(key, record);
}

static void members_that_are_down_are_waited_for_and_witnesses_are_not(void **state)
{
    const struct raft_member_status others[] = {
        {.id = 2, .name = "n2", .connected = true},
        {.id = 3, .name = "n3"},
        {.id = 4, .name = "w", .connected = true, .witness = true}};
    (void)state;
    begin(others, 3);
    assert_string_equal(awaited(), "'n2', 'n3'");
    tells("n2", "not_told");
    assert_string_equal(awaited(), "'n2', 'n3'");
    tells("n2", "none");
    assert_string_equal(awaited(), "'n3'");
    tells("n3", "unusable"); /* of before it went down */
    assert_string_equal(awaited(), "'n3'");
    group.members[2].connected = true;
    assert_string_equal(awaited(), "");
    group.members[2].connected = false;
    rig.now_ms += 100000;
    assert_string_equal(awaited(), "");
    rig_free();
}

/* Of a new group: they are members all the same, and their records may be there before. */
static void members_without_a_name_are_waited_for(void **state)
{
    const struct raft_member_status others[] = {{.id = 2, .connected = true},
                                                {.id = 3, .connected = true}};
    (void)state;
    begin(others, 2);
    assert_string_equal(awaited(), "'member 0000000000000002', 'member 0000000000000003'");
    tells("n2", "none");
    assert_string_equal(awaited(), "'member 0000000000000003'");
    (void)snprintf(group.members[1].name, sizeof group.members[1].name, "n2");
    assert_string_equal(awaited(), "'member 0000000000000003'");
    tells("n3", "none");
    assert_string_equal(awaited(), "");
    rig_free();
}

static void nobody_is_waited_for_longer_than_two_ttl(void **state)
{
    const struct raft_member_status others[] = {{.id = 2, .name = "n2"}};
    (void)state;
    begin(others, 1);
    assert_string_equal(awaited(), "'n2'");
    rig.now_ms += 2 * rig.agent.dynamic.ttl_ms - 1;
    assert_string_equal(awaited(), "'n2'");
    rig.now_ms++;
    assert_string_equal(awaited(), "");
    rig_free();
}

/* Its agent is started again; an etcd does not know of it meanwhile. */
static void who_had_data_and_went_has_two_ttl_from_then(void **state)
{
    int64_t ttl_ms;
    (void)state;
    rig_init();
    ttl_ms = rig.agent.dynamic.ttl_ms;
    tells("n2", "valid");
    assert_string_equal(awaited(), "");
    rig.now_ms += 10 * ttl_ms;
    key_remove("members/n2");
    assert_string_equal(awaited(), "'n2'");
    tells("n2", "not_told");
    rig.now_ms += 2 * ttl_ms - 1;
    assert_string_equal(awaited(), "'n2'");
    tells("n2", "none");
    assert_string_equal(awaited(), "");
    key_remove("members/n2");
    assert_string_equal(awaited(), "'n2'");
    rig.now_ms++;
    assert_string_equal(awaited(), "");
    rig_free();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_that_are_down_are_waited_for_and_witnesses_are_not),
        cmocka_unit_test(members_without_a_name_are_waited_for),
        cmocka_unit_test(nobody_is_waited_for_longer_than_two_ttl),
        cmocka_unit_test(who_had_data_and_went_has_two_ttl_from_then),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
