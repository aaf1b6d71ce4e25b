/* Another agent with our name: when it is waited for, when it ends us, and when it is none. */
#include "loop_fixture.h"

#include "agent/loop/namesake.h"

static const char others[] = "{\"conn_url\":\"postgres://10.0.0.9:5432/postgres\",\"api_url\":"
                             "\"http://10.0.0.9:8008/patroni\",\"instance\":\"00000000000000bb\"}";

static void begin(const char *record)
{
    struct pg_inspection empty = {.kind = PG_DIR_EMPTY};
    rig_init();
    (void)snprintf(rig.agent.instance, sizeof rig.agent.instance, "00000000000000aa");
    if (record != NULL) {
        key_set("members/n1", record);
    }
    run_for(0);
    answer_inspect(&empty);
    observe_store_changed(&rig.agent);
    run_for(0);
}

static const char *namesake_shown(void)
{
    static struct ha_snapshot s;
    facts_snapshot(&rig.agent, &s);
    return s.self.namesake;
}

static bool is_logged(const char *text)
{
    return strstr(buf_str(&rig.logged), text) != NULL;
}

static void with_no_record_the_name_is_free(void **state)
{
    (void)state;
    begin(NULL);
    assert_true(is_asked("member n1"));
    assert_non_null(strstr(rig.member, "\"instance\":\"00000000000000aa\""));
    assert_string_equal(namesake_shown(), "");
    rig_free();
}

static void a_record_of_before_is_waited_for(void **state)
{
    (void)state;
    begin(others);
    run_for(TTL_MS);
    assert_false(is_asked("member n1"));
    assert_string_equal(namesake_shown(),
                        "postgres://10.0.0.9:5432/postgres, http://10.0.0.9:8008/patroni");
    assert_true(is_logged("the name 'n1' is taken: PostgreSQL at "
                          "postgres://10.0.0.9:5432/postgres, REST at "
                          "http://10.0.0.9:8008/patroni: waiting for at most 45 s"));
    key_remove("members/n1");
    observe_store_changed(&rig.agent);
    run_for(0);
    assert_true(is_asked("member n1"));
    assert_string_equal(namesake_shown(), "");
    assert_int_equal(rig.exits, 0);
    rig_free();
}

/* Nothing changes in the store while its lease is renewed: the time alone tells. */
static void a_record_that_outlasts_its_ttl_ends_the_agent(void **state)
{
    (void)state;
    begin(others);
    rig.exit_status = 1;
    run_for(TTL_MS + TTL_MS / 2 - 1);
    assert_int_equal(rig.exits, 0);
    run_for(2000);
    assert_true(rig.exits > 0);
    assert_true(is_logged("another agent runs under the name 'n1' in cluster"));
    assert_false(is_asked("member n1"));
    rig_free();
}

static void a_record_of_this_agent_is_no_others(void **state)
{
    (void)state;
    begin("{\"conn_url\":\"postgres://10.0.0.7:5432/postgres\",\"instance\":\"00000000000000aa\"}");
    assert_true(is_asked("member n1"));
    rig_free();
}

/* Patroni, or an earlier release, has run here before. */
static void a_record_that_names_no_agent_goes_by_its_addresses(void **state)
{
    char record[2 * HA_URL_BYTES + 64];
    char conn_url[HA_URL_BYTES];
    char api_url[HA_URL_BYTES];
    (void)state;
    begin(NULL);
    publish_urls(&rig.agent, conn_url, api_url);
    rig_free();
    (void)snprintf(record, sizeof record, "{\"conn_url\":\"%s\",\"api_url\":\"%s\"}", conn_url,
                   api_url);
    begin(record);
    assert_true(is_asked("member n1"));
    rig_free();
    begin("{\"conn_url\":\"postgres://10.0.0.9:5432/postgres\",\"api_url\":\"http://10.0.0.9:8008/"
          "patroni\"}");
    run_for(1000);
    assert_false(is_asked("member n1"));
    rig_free();
}

static void overwritten(bool held)
{
    begin(NULL);
    answer("member", 0);
    key_set("members/n1", rig.member);
    observe_store_changed(&rig.agent);
    run_for(0);
    if (held) {
        assert_true(ha_lease_acquired(&rig.agent.lease, (struct ha_epoch){1, 5}, rig.now_ms, TTL_MS,
                                      rig.now_ms));
    }
    key_set("members/n1", others);
    rig.exit_status = 1;
    observe_store_changed(&rig.agent);
    run_for(2000);
}

static void who_does_not_lead_ends_when_its_record_is_overwritten(void **state)
{
    (void)state;
    overwritten(false);
    assert_true(rig.exits > 0);
    assert_true(is_logged("another agent runs under the name 'n1'"));
    assert_string_not_equal(namesake_shown(), ""); /* and does nothing more in that name */
    rig_free();
}

static void who_leads_goes_on_and_says_so(void **state)
{
    (void)state;
    overwritten(true);
    assert_int_equal(rig.exits, 0);
    assert_string_equal(namesake_shown(), "");
    assert_true(is_logged("another agent has taken the name 'n1', which leads here"));
    buf_clear(&rig.logged);
    run_for(5000);
    assert_false(is_logged("which leads here"));
    rig_free();
}

/* Nobody's record can end meanwhile. */
static void time_without_the_store_is_not_waited(void **state)
{
    (void)state;
    begin(others);
    rig.exit_status = 1;
    run_for(1000);
    rig.unheard_since_ms = rig.now_ms;
    run_for(3 * TTL_MS);
    assert_int_equal(rig.exits, 0);
    rig.unheard_since_ms = 0;
    run_for(TTL_MS);
    assert_int_equal(rig.exits, 0);
    run_for(TTL_MS);
    assert_true(rig.exits > 0);
    rig_free();
}

/* Its record was overwritten before its agent was started again; the page has the key's epoch. */
static void the_holder_has_its_name_after_a_restart_of_its_agent(void **state)
{
    (void)state;
    begin(others);
    run_for(1000);
    assert_true(ha_lease_resume(&rig.agent.lease, (struct ha_epoch){1, 5}, rig.now_ms + TTL_MS,
                                rig.now_ms + TTL_MS, rig.now_ms + TTL_MS, rig.now_ms));
    run_for(1000);
    assert_string_not_equal(namesake_shown(), ""); /* not before the store has said so, too */
    uint64_t sent = ha_lease_sent(&rig.agent.lease, TTL_MS, LOOP_WAIT_MS, rig.now_ms);
    assert_int_equal(ha_lease_answered(&rig.agent.lease, sent, 0, rig.now_ms), HA_LEASE_EXTENDED);
    run_for(2000);
    assert_string_equal(namesake_shown(), "");
    assert_true(is_logged("the leader key is still of this agent: the name is ours"));
    assert_true(is_logged("another agent has taken the name 'n1', which leads here"));
    assert_true(is_asked("member n1"));
    run_for(2 * TTL_MS);
    assert_int_equal(rig.exits, 0);
    rig_free();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(with_no_record_the_name_is_free),
        cmocka_unit_test(a_record_of_before_is_waited_for),
        cmocka_unit_test(a_record_that_outlasts_its_ttl_ends_the_agent),
        cmocka_unit_test(a_record_of_this_agent_is_no_others),
        cmocka_unit_test(a_record_that_names_no_agent_goes_by_its_addresses),
        cmocka_unit_test(who_does_not_lead_ends_when_its_record_is_overwritten),
        cmocka_unit_test(who_leads_goes_on_and_says_so),
        cmocka_unit_test(time_without_the_store_is_not_waited),
        cmocka_unit_test(the_holder_has_its_name_after_a_restart_of_its_agent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
