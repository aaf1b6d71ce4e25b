/* Every fact that stands in the way by itself, and in which order they are named. */
#include "agent/reexec_hindrance.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct reexec_facts leads(void)
{
    return (struct reexec_facts){
        .run = HA_RUN_RUNNING, .primary = true, .held = true, .renewed_ago_ms = 10, .ttl_ms = 3000};
}

static void hinders(struct reexec_facts facts, const char *why)
{
    assert_string_equal(reexec_hindrance(&facts, false), why);
    assert_string_equal(reexec_hindrance(&facts, true), why);
}

static void is_free(struct reexec_facts facts)
{
    assert_null(reexec_hindrance(&facts, false));
    assert_null(reexec_hindrance(&facts, true));
}

static void whoever_is_in_the_middle_of_nothing_may_go(void **state)
{
    (void)state;
    struct reexec_facts facts = leads();
    is_free(facts);
    facts = (struct reexec_facts){.run = HA_RUN_RUNNING, .renewed_ago_ms = -1, .ttl_ms = 3000};
    is_free(facts); /* a standby has nothing to renew */
    facts.run = HA_RUN_STOPPED;
    is_free(facts);
    facts.run = HA_RUN_CRASHED;
    is_free(facts);
}

static void a_job_is_named(void **state)
{
    static const char *const words[] = {
        [HA_JOB_BOOTSTRAP] = "the cluster is being made",
        [HA_JOB_CLONE] = "the data directory is being copied",
        [HA_JOB_PROMOTE] = "PostgreSQL is being promoted",
        [HA_JOB_REWIND] = "pg_rewind runs",
        [HA_JOB_CHECK_DIVERGENCE] = "the data directory is being compared with the leader's",
        [HA_JOB_REMOVE_DATA] = "the data directory is being removed"};
    (void)state;
    for (size_t i = HA_JOB_BOOTSTRAP; i < sizeof words / sizeof words[0]; i++) {
        struct reexec_facts facts = leads();
        facts.job = (enum ha_job_kind)i;
        hinders(facts, words[i]);
    }
}

static void what_begins_or_ends_is_waited_for(void **state)
{
    (void)state;
    struct reexec_facts facts = leads();
    facts.run = HA_RUN_UNKNOWN;
    hinders(facts, "it is not known yet whether PostgreSQL runs");
    facts.run = HA_RUN_STARTING;
    hinders(facts, "PostgreSQL is starting");
    facts.run = HA_RUN_STOPPING;
    hinders(facts, "PostgreSQL is stopping");
    facts = leads();
    facts.restart = true;
    hinders(facts, "a restart of PostgreSQL was asked for");
    facts = leads();
    facts.fence_silent = true;
    hinders(facts, "the fence does not answer");
    facts = leads();
    facts.disk_stalled = true;
    hinders(facts, "a disk does not answer");
    facts = leads();
    facts.callbacks = 1;
    hinders(facts, "a callback runs");
    facts = leads();
    facts.executing = true;
    hinders(facts, "a decision is being carried out");
    facts = leads();
    facts.looking = true;
    hinders(facts, "a decision is being carried out");
    facts.stopping = true;
    hinders(facts, "the agent is stopping");
}

static void the_lease_has_to_be_fresh_at_the_last_moment_only(void **state)
{
    (void)state;
    struct reexec_facts facts = leads();
    facts.renewed_ago_ms = reexec_fresh_ms(facts.ttl_ms);
    is_free(facts);
    facts.renewed_ago_ms++;
    assert_null(reexec_hindrance(&facts, false));
    assert_string_equal(reexec_hindrance(&facts, true), "the lease is to be renewed first");
    facts.renewed_ago_ms = -1; /* this run has taken it up from the page, and renewed nothing yet */
    assert_string_equal(reexec_hindrance(&facts, true), "the lease is to be renewed first");
    facts.paused = true; /* there is no deadline */
    is_free(facts);
}

static void a_primary_that_the_next_program_would_have_to_stop_is_kept(void **state)
{
    (void)state;
    struct reexec_facts facts = leads();
    facts.held = false;
    hinders(facts, "PostgreSQL runs as a primary without the leader key");
    facts.paused = true;
    is_free(facts);
    facts = leads();
    facts.failsafe = true;
    hinders(facts, "the store does not answer, and the primary runs on by failsafe_mode");
    facts = leads();
    facts.acquiring = true;
    hinders(facts, "the leader key is being taken");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whoever_is_in_the_middle_of_nothing_may_go),
        cmocka_unit_test(a_job_is_named),
        cmocka_unit_test(what_begins_or_ends_is_waited_for),
        cmocka_unit_test(the_lease_has_to_be_fresh_at_the_last_moment_only),
        cmocka_unit_test(a_primary_that_the_next_program_would_have_to_stop_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
