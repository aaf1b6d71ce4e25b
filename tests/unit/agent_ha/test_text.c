/* Text of snapshots, plans and states: what cannot be read is refused by line and name. */
#include "agent/ha/ha_plan.h"
#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct ha_snapshot s;

static void refused(const char *text, const char *message)
{
    struct error err = {0};
    assert_int_equal(ha_snapshot_parse(text, &s, &err), ERR_INVALID);
    assert_string_equal(err.text, message);
}

static void bad_text_is_refused_by_line_and_name(void **state)
{
    (void)state;
    refused("now lease=1\nnonsense a=1\n", "line 2: no group 'nonsense'");
    refused("now leese=1\n", "line 1: no field 'leese'");
    refused("now lease=x\n", "line 1: field 'lease' has a bad value");
    refused("now lease=-1\n", "line 1: field 'lease' has a bad value");
    refused("now lease\n", "line 1: field 'lease' has a bad value");
    refused("self run=flying\n", "line 1: field 'run' has a bad value");
    refused("self probe_fresh=true\n", "line 1: field 'probe_fresh' has a bad value");
    refused("self timeline=4294967296\n", "line 1: field 'timeline' has a bad value");
    refused("self lsn=xyz\n", "line 1: field 'lsn' has a bad value");
    refused("tags failover_priority=2147483648\n",
            "line 1: field 'failover_priority' has a bad value");
    refused("fence epoch=9\n", "line 1: field 'epoch' has a bad value");
    refused("member\n", "line 1: 'member' without a name, or too many of them");
    char text[4096] = "";
    for (int i = 0; i <= HA_MEMBERS_MAX; i++) {
        (void)snprintf(text + strlen(text), sizeof text - strlen(text), "peer n%d heard=1\n", i);
    }
    refused(text, "line 17: 'peer' without a name, or too many of them");
    (void)snprintf(text, sizeof text, "self name=%0300d\n", 1);
    refused(text, "line 1: field 'name' has a bad value");
    (void)snprintf(text, sizeof text, "self name=%0600d\n", 1);
    refused(text, "line 1: field 'name' has a bad value");
    (void)snprintf(text, sizeof text, "member %0100d\n", 1);
    refused(text, "line 1: 'member' without a name, or too many of them");
}

static void refused_text_leaves_the_snapshot_alone(void **state)
{
    (void)state;
    assert_int_equal(ha_snapshot_parse("now lease=5\n", &s, NULL), 0);
    refused("now lease=6\nx\n", "line 2: no group 'x'");
    assert_int_equal(s.now_lease_ms, 5);
}

static void comments_blank_lines_and_quotes_are_read(void **state)
{
    struct buf out = BUF_INIT;
    (void)state;
    assert_int_equal(ha_snapshot_parse("# a comment\n\n  \nmember n2 state=\"creating "
                                       "replica\"\tlsn=FF\nmember n2 timeline=2\n"
                                       "self crash_since=never",
                                       &s, NULL),
                     0);
    assert_int_equal(s.cluster.member_count, 1);
    assert_string_equal(s.cluster.members[0].state, "creating replica");
    assert_int_equal(s.cluster.members[0].lsn, 255);
    assert_int_equal(s.cluster.members[0].timeline, 2);
    assert_int_equal(s.cluster.members[0].tags.failover_priority, 1);
    ha_snapshot_print(&s, &out);
    assert_string_equal(buf_str(&out), "member n2 state=\"creating replica\" timeline=2 lsn=FF\n");
    buf_free(&out);
}

/* What others wrote must not be able to make a second line of a log. */
static void foreign_text_stays_on_its_line(void **state)
{
    struct buf out = BUF_INIT;
    (void)state;
    ha_snapshot_init(&s);
    (void)strcpy(s.job.error, "a\nb\"c");
    ha_snapshot_print(&s, &out);
    assert_string_equal(buf_str(&out), "job error=\"a'b'c\"\n");
    buf_free(&out);
}

static void check_state(const char *facts, const char *name, const char *role)
{
    assert_int_equal(ha_snapshot_parse(facts, &s, NULL), 0);
    assert_string_equal(ha_state_name(&s), name);
    assert_string_equal(ha_role_name(&s), role);
}

static void states_and_roles_are_patronis_words(void **state)
{
    (void)state;
#define KNOWN "self name=n1 directory_known=yes directory="
    check_state("self name=n1\n", "unknown", "replica");
    check_state(KNOWN "missing run=stopped\n", "stopped", "uninitialized");
    check_state(KNOWN "missing run=stopped\njob kind=clone running=yes\n", "creating replica",
                "uninitialized");
    check_state(KNOWN "missing run=stopped\njob kind=bootstrap running=yes\n",
                "initializing new cluster", "uninitialized");
    check_state(KNOWN "valid run=running role=primary\n", "running", "primary");
    check_state(KNOWN "valid run=running role=standby\n", "running", "replica");
    check_state(KNOWN "valid run=running role=standby\njob kind=check_divergence running=yes\n",
                "running", "replica");
    check_state(KNOWN "valid run=running role=standby promote_sent=yes\ncluster known=yes "
                      "leader=n1\njob kind=promote running=yes\n",
                "running", "promoted");
    check_state(KNOWN
                "valid run=running role=standby promote_sent=yes\ncluster known=yes leader=n2\n",
                "running", "replica");
    check_state(KNOWN "valid run=crashed control=in_production\ncluster known=yes leader=n1\n",
                "crashed", "primary");
    check_state(KNOWN "valid run=stopped control=shut_down\ncluster known=yes leader=n2\n",
                "stopped", "demoted");
    check_state(KNOWN "valid run=stopped control=shut_down\njob kind=rewind running=yes\n",
                "running pg_rewind", "demoted");
    check_state(KNOWN
                "valid run=stopped control=shut_down\njob kind=check_divergence running=yes\n",
                "checking divergence", "demoted");
    check_state(KNOWN "valid run=stopped control=shut_down\njob kind=remove_data running=yes\n",
                "removing data directory", "demoted");
    check_state(KNOWN "valid run=stopped control=starting_up\n", "stopped", "replica");
    check_state(KNOWN "valid run=starting role=primary\n", "starting", "primary");
    check_state(KNOWN "valid run=starting role=standby\n", "starting", "replica");
    check_state(KNOWN "valid run=stopping role=standby\n", "stopping", "replica");
    check_state(KNOWN "unfinished run=stopped unfinished=clone\n", "stopped", "uninitialized");
}

static void plan_says_what_it_has(void **state)
{
    static struct ha_plan plan;
    (void)state;
    ha_plan_add(&plan, HA_ARM);
    assert_true(ha_plan_has(&plan, HA_ARM));
    assert_false(ha_plan_has(&plan, HA_PROMOTE));
    assert_int_equal(plan.actions[0].until_mono_ms, HA_NEVER);
    assert_string_equal(ha_action_name(HA_EXIT), "exit");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_text_is_refused_by_line_and_name),
        cmocka_unit_test(refused_text_leaves_the_snapshot_alone),
        cmocka_unit_test(comments_blank_lines_and_quotes_are_read),
        cmocka_unit_test(foreign_text_stays_on_its_line),
        cmocka_unit_test(plan_says_what_it_has),
        cmocka_unit_test(states_and_roles_are_patronis_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
