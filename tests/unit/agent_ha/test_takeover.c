/* What a takeover came from, and how long each phase of it took: node n2 takes over from n1. */
#include "agent/ha/ha_takeover.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct ha_snapshot s;
static struct ha_takeovers takeovers;

static int start(void **state)
{
    (void)state;
    ha_snapshot_init(&s);
    takeovers = (struct ha_takeovers){0};
    s.now_mono_ms = 1000;
    s.settings.election_timeout_ms = 500;
    s.cluster.known = true;
    s.cluster.leader_epoch = (struct ha_epoch){1, 10};
    s.self.run = HA_RUN_RUNNING;
    s.self.role = PG_STANDBY;
    s.peer_count = 1;
    (void)snprintf(s.self.name, sizeof s.self.name, "n2");
    (void)snprintf(s.cluster.leader, sizeof s.cluster.leader, "n1");
    (void)snprintf(s.peers[0].name, sizeof s.peers[0].name, "n1");
    s.peers[0].heard_mono_ms = 1000;
    return 0;
}

static void look_at(int64_t now_mono_ms)
{
    s.now_mono_ms = now_mono_ms;
    ha_takeovers_look(&takeovers, &s);
}

static void key_is_gone_at(int64_t now_mono_ms)
{
    s.cluster.leader[0] = '\0';
    s.unlocked_since_mono_ms = now_mono_ms;
    look_at(now_mono_ms);
}

static void acquired_at(int64_t now_mono_ms)
{
    s.holding.held = true;
    s.holding.epoch = s.holding.acquired = (struct ha_epoch){1, 20};
    s.holding.since_mono_ms = now_mono_ms;
    look_at(now_mono_ms);
}

static void writable_at(int64_t now_mono_ms)
{
    (void)snprintf(s.cluster.leader, sizeof s.cluster.leader, "n2");
    s.self.role = PG_PRIMARY;
    look_at(now_mono_ms);
}

static uint64_t counted(void)
{
    uint64_t count = 0;
    for (int i = 0; i < HA_TAKEOVER_CAUSE_COUNT; i++) {
        count += takeovers.by_cause[i].count;
    }
    return count;
}

static void assert_taken(enum ha_takeover_cause cause, int64_t lease, int64_t election,
                         int64_t promotion)
{
    assert_int_equal(counted(), 1);
    assert_int_equal(takeovers.by_cause[cause].count, 1);
    assert_int_equal(takeovers.by_cause[cause].sum_ms[HA_PHASE_LEASE], lease);
    assert_int_equal(takeovers.by_cause[cause].sum_ms[HA_PHASE_ELECTION], election);
    assert_int_equal(takeovers.by_cause[cause].sum_ms[HA_PHASE_PROMOTION], promotion);
}

static void who_is_silent_has_let_its_lease_end(void **state)
{
    (void)state;
    look_at(1000);
    look_at(2500);
    key_is_gone_at(4000);
    look_at(4010);
    acquired_at(4100);
    look_at(4200); /* still a standby */
    assert_int_equal(counted(), 0);
    writable_at(4350);
    look_at(9000);
    assert_taken(HA_TAKEOVER_EXPIRED, 3000, 100, 250);
}

static void who_was_just_heard_has_given_the_key_back(void **state)
{
    (void)state;
    s.peers[0].heard_mono_ms = 3900;
    look_at(3900);
    key_is_gone_at(4000);
    acquired_at(4100);
    writable_at(4200);
    assert_taken(HA_TAKEOVER_RELEASED, 100, 100, 100);
}

static void a_request_is_a_cause_of_its_own_once_it_is_due(void **state)
{
    (void)state;
    s.peers[0].heard_mono_ms = 4000;
    s.cluster.failover.present = true;
    (void)snprintf(s.cluster.failover.leader, HA_NAME_BYTES, "n1");
    s.now_wall_ms = 100;
    look_at(4000);
    key_is_gone_at(4000);
    acquired_at(4010);
    writable_at(4020);
    assert_taken(HA_TAKEOVER_SWITCHOVER, 0, 10, 10);

    (void)start(NULL);
    s.cluster.failover = (struct ha_failover){.present = true};
    (void)snprintf(s.cluster.failover.candidate, HA_NAME_BYTES, "n2");
    look_at(1000);
    key_is_gone_at(4000);
    acquired_at(4010);
    writable_at(4020);
    assert_taken(HA_TAKEOVER_FAILOVER, 3000, 10, 10);

    (void)start(NULL);
    s.cluster.failover = (struct ha_failover){.present = true, .scheduled_wall_ms = 5000};
    (void)snprintf(s.cluster.failover.leader, HA_NAME_BYTES, "n1");
    s.now_wall_ms = 4999;
    look_at(1000);
    key_is_gone_at(4000);
    acquired_at(4010);
    writable_at(4020);
    assert_taken(HA_TAKEOVER_EXPIRED, 3000, 10, 10);
}

static void whose_key_was_never_gone_was_deposed(void **state)
{
    (void)state;
    look_at(1000);
    acquired_at(2200);
    writable_at(2500);
    assert_taken(HA_TAKEOVER_DEPOSED, 1200, 0, 300);
}

static void the_first_primary_has_taken_over_from_nobody(void **state)
{
    (void)state;
    s.cluster.leader[0] = '\0';
    look_at(1000);
    acquired_at(1100);
    writable_at(1200);
    assert_int_equal(counted(), 0);
}

static void who_takes_its_own_key_again_has_taken_over_from_nobody(void **state)
{
    (void)state;
    look_at(1000);
    key_is_gone_at(4000);
    acquired_at(4100);
    writable_at(4200);
    s.holding.held = false;
    s.cluster.leader[0] = '\0';
    look_at(8000);
    s.holding.held = true;
    s.holding.epoch = s.holding.acquired = (struct ha_epoch){1, 30};
    look_at(8100);
    assert_int_equal(counted(), 1);
}

static void what_is_given_up_counts_for_nothing(void **state)
{
    (void)state;
    look_at(1000);
    key_is_gone_at(4000);
    acquired_at(4100);
    s.holding.held = false; /* the promotion failed, and n1 leads again */
    (void)snprintf(s.cluster.leader, sizeof s.cluster.leader, "n1");
    s.unlocked_since_mono_ms = HA_NEVER;
    look_at(4500);
    s.self.role = PG_PRIMARY;
    look_at(4600);
    assert_int_equal(counted(), 0);
}

static void a_lease_that_an_earlier_run_acquired_is_no_takeover(void **state)
{
    (void)state;
    look_at(1000);
    s.holding.held = true;
    s.holding.epoch = (struct ha_epoch){1, 20}; /* resumed: acquired is of this run alone */
    writable_at(1100);
    assert_int_equal(counted(), 0);
}

static void every_cause_and_phase_has_a_word(void **state)
{
    (void)state;
    assert_string_equal(ha_takeover_cause_name(HA_TAKEOVER_EXPIRED), "expired");
    assert_string_equal(ha_takeover_cause_name(HA_TAKEOVER_FAILOVER), "failover");
    assert_string_equal(ha_takeover_phase_name(HA_PHASE_LEASE), "lease");
    assert_string_equal(ha_takeover_phase_name(HA_PHASE_PROMOTION), "promotion");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(who_is_silent_has_let_its_lease_end, start),
        cmocka_unit_test_setup(who_was_just_heard_has_given_the_key_back, start),
        cmocka_unit_test_setup(a_request_is_a_cause_of_its_own_once_it_is_due, start),
        cmocka_unit_test_setup(whose_key_was_never_gone_was_deposed, start),
        cmocka_unit_test_setup(the_first_primary_has_taken_over_from_nobody, start),
        cmocka_unit_test_setup(who_takes_its_own_key_again_has_taken_over_from_nobody, start),
        cmocka_unit_test_setup(what_is_given_up_counts_for_nothing, start),
        cmocka_unit_test_setup(a_lease_that_an_earlier_run_acquired_is_no_takeover, start),
        cmocka_unit_test_setup(every_cause_and_phase_has_a_word, start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
