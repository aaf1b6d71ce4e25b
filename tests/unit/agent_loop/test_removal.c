/* What is asked right before a data directory is removed, and what keeps it. */
#include "loop_fixture.h"

static const struct ha_epoch EPOCH = {7, 9};

static void removal_is_asked(uint64_t local_lsn)
{
    struct loop_facts *facts = &rig.agent.facts;
    rig_settle();
    (void)snprintf(facts->cluster.initialize, HA_SYSID_BYTES, "7000000000000000042");
    (void)snprintf(facts->cluster.leader, sizeof facts->cluster.leader, "n2");
    facts->cluster.leader_epoch = EPOCH;
    facts->inspection.kind = PG_DIR_VALID;
    facts->inspection.control = (struct pg_control){.state = PG_CONTROL_IN_ARCHIVE_RECOVERY,
                                                    .timeline = 3,
                                                    .min_recovery_timeline = 3,
                                                    .min_recovery_lsn = local_lsn};
    plan_begin("reinit", "on request");
    struct ha_action *remove_data = plan_add(HA_REMOVE_DATA);
    (void)snprintf(remove_data->member, sizeof remove_data->member, "n2");
    remove_data->epoch = EPOCH;
    carry_out();
    (void)snprintf(facts->cluster.leader, sizeof facts->cluster.leader, "n2");
    facts->cluster.leader_epoch = EPOCH;
    (void)calls();
}

static void primary_answers(uint64_t lsn)
{
    struct pending pending = answer_take("ask_peer");
    const struct pg_peer_facts peer = {.role = PG_PRIMARY,
                                       .system_identifier = 7000000000000000042,
                                       .timeline = 3,
                                       .lsn = lsn,
                                       .history = {.timeline = 3}};
    pending.asked(pending.arg, 0, &peer, NULL);
}

/* No look was had in this epoch, or none at all: the question before the removal is one. */
static void what_the_primary_has_lost_is_not_removed_where_commits_may_have_waited(void **state)
{
    (void)state;
    for (int mode = 0; mode < 3; mode++) {
        removal_is_asked(2000);
        rig.agent.dynamic.synchronous_mode =
            mode == 0 ? DYNAMIC_SYNCHRONOUS_ON : DYNAMIC_SYNCHRONOUS_OFF;
        rig.agent.facts.config_revision = 1; /* it is known that the mode is off */
        rig.agent.facts.cluster.sync_revision = mode == 1 ? 20 : 0;
        primary_answers(1999);
        assert_string_equal(calls(), mode == 2 ? "remove\n" : "");
        assert_int_equal(rig.agent.facts.job.failed, mode != 2);
        assert_int_equal(rig.agent.facts.rejoin.lost_timeline, mode == 2 ? 0 : 3);
        rig_free();
    }
}

static void what_the_primary_has_is_removed(void **state)
{
    (void)state;
    removal_is_asked(2000);
    rig.agent.dynamic.synchronous_mode = DYNAMIC_SYNCHRONOUS_ON;
    primary_answers(2000);
    assert_string_equal(calls(), "remove\n");
    rig_free();
}

/* It has written on since the look; what is here is still not there. */
static void what_the_primary_had_lost_before_is_not_removed(void **state)
{
    (void)state;
    removal_is_asked(2000);
    rig.agent.dynamic.synchronous_mode = DYNAMIC_SYNCHRONOUS_ON;
    rig.agent.facts.rejoin.lost_timeline = 3;
    primary_answers(9000);
    assert_string_equal(calls(), "");
    assert_non_null(strstr(rig.agent.facts.job.error, "nothing is removed"));
    rig_free();
}

/* Stopped at once, its control file is behind what it had received. */
static void what_a_standby_said_before_its_stop_counts_for_its_removal(void **state)
{
    (void)state;
    removal_is_asked(1000);
    rig.agent.dynamic.synchronous_mode = DYNAMIC_SYNCHRONOUS_ON;
    standby_says(2000);
    said.timeline_exact = true;
    rig.agent.facts.probe = said;
    primary_answers(1500);
    assert_string_equal(calls(), "");
    assert_int_equal(rig.agent.facts.job.failed, true);
    rig_free();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_primary_has_lost_is_not_removed_where_commits_may_have_waited),
        cmocka_unit_test(what_the_primary_has_is_removed),
        cmocka_unit_test(what_the_primary_had_lost_before_is_not_removed),
        cmocka_unit_test(what_a_standby_said_before_its_stop_counts_for_its_removal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
