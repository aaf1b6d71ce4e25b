/* failsafe_mode from both sides (failsafe.c): the rounds of a primary without a store, and what the
 * others answer. The HTTP client is replaced. */
#include "http_client_fake.h"

#include "agent/ha/ha_failsafe.h"
#include "agent/loop/failsafe.h"

static const struct ha_epoch epoch = {7, 50};

#define MEMBERS                                 \
    "{\"n1\":\"http://10.0.0.1:8008/patroni\"," \
    "\"n2\":\"http://10.0.0.2:8008/patroni\","  \
    "\"n3\":\"http://10.0.0.3:8008/patroni\"}"
#define ONLY_US  "{\"n1\":\"http://10.0.0.1:8008/patroni\"}"
#define ACCEPTED "Accepted"

static void begin(void)
{
    struct error err = {0};
    memset(exchanges, 0, sizeof exchanges);
    sent = 0;
    refuse = false;
    answer_status = 200;
    rig_init();
    rig.revision = 100;
    plan_begin("rule", "waits");
    ha_plan_add(&rig.next, HA_WAIT)->until_mono_ms = HA_NEVER;
    rig.agent.dynamic.failsafe_mode = true;
    assert_int_equal(failsafe_start(&rig.agent, &err), 0);
}

/* n1 is us and leads; the page says so; the key has been written in this epoch. */
static void leads(const char *key)
{
    begin();
    struct fence_lease page = {.epoch = {.cluster = epoch.cluster, .revision = epoch.revision}};
    assert_true(ha_lease_acquired(&rig.agent.lease, epoch, rig.now_ms, TTL_MS, rig.now_ms));
    page.soft_ms = rig.agent.lease.soft_ms;
    page.deadline_ms = rig.agent.lease.deadline_ms;
    page.watchdog_ms = rig.agent.lease.watchdog_ms;
    fence_page_write(fence_client_page(NULL), &page);
    key_set("leader", "n1");
    key_set("failsafe", key);
    member("n1", "10.0.0.1");
    member("n2", "10.0.0.2");
    member("n3", "10.0.0.3");
    observe_store_changed(&rig.agent);
    keeper_kick(&rig.agent);
}

static void renewal_fails(void)
{
    run_for(TTL_MS / 6);
    answer("renew", ERR_UNKNOWN);
}

static void finish(void)
{
    rig.agent.stopping = true;
    while (is_asked("renew")) {
        answer("renew", ERR_CANCELED);
    }
    failsafe_stop(&rig.agent);
    rig_free();
}

static void both_accept(void)
{
    end(asked("10.0.0.2"), 0, true, ACCEPTED);
    end(asked("10.0.0.3"), 0, true, ACCEPTED);
}

/* The next one that may be: `sent` counts from here. */
static void next_round(void)
{
    memset(exchanges, 0, sizeof exchanges);
    sent = 0;
    rig.now_ms += FAILSAFE_AGAIN_MS;
    failsafe_round(&rig.agent);
}

static void key_shows(const char *value)
{
    key_set("failsafe", value);
    observe_store_changed(&rig.agent);
}

/* What the leader is to write now; NULL: nothing. The caller frees it. */
static char *value_to_write(void)
{
    return failsafe_value(&rig.agent, rig.agent.facts.cluster.failsafe_revision);
}

static void key_is_to_be(const char *expected)
{
    rig.agent.snapshot.cluster = rig.agent.facts.cluster;
    char *value = value_to_write();
    assert_string_equal(value, expected);
    mem_free(value);
}

/* What the rules see of it. */
static struct ha_failsafe seen(void)
{
    struct ha_failsafe facts = {0};
    failsafe_fill(&rig.agent, &facts);
    return facts;
}

static void a_round_that_all_accept_extends_from_before_it_was_sent(void **state)
{
    (void)state;
    leads(MEMBERS);
    int64_t before_ms = page_now().deadline_ms;
    renewal_fails();
    assert_int_equal(sent, 2);
    assert_null(asked("10.0.0.1"));
    assert_string_equal(asked("10.0.0.2")->url, "http://10.0.0.2:8008/failsafe");
    assert_non_null(strstr(asked("10.0.0.2")->body, "\"name\":\"n1\""));
    assert_non_null(strstr(asked("10.0.0.2")->body, "\"ttl_ms\":30000"));
    assert_non_null(strstr(asked("10.0.0.2")->body, "\"member\":\"n2\""));
    assert_non_null(strstr(asked("10.0.0.3")->body, "\"member\":\"n3\""));
    int64_t sent_ms = rig.now_ms;
    rig.now_ms += 700;
    end(asked("10.0.0.2"), 0, true, ACCEPTED);
    assert_int_equal(page_now().deadline_ms, before_ms); /* one of two */
    assert_false(failsafe_is_active(&rig.agent));
    end(asked("10.0.0.3"), 0, true, ACCEPTED);
    assert_int_equal(page_now().deadline_ms, sent_ms + ha_lease_kill_ms(TTL_MS));
    assert_int_equal(page_now().soft_ms, sent_ms + ha_lease_soft_ms(TTL_MS));
    assert_true(failsafe_is_active(&rig.agent));
    finish();
}

/* An etcd that is cut off says nothing, and the next renewal goes out before the last one is given
 * up: that one's end is no news then. */
static void a_renewal_that_stays_unanswered_begins_a_round(void **state)
{
    (void)state;
    leads(MEMBERS);
    run_for(TTL_MS / 6);
    assert_true(is_asked("renew"));
    assert_int_equal(sent, 0);
    int64_t before_ms = page_now().deadline_ms;
    run_for(TTL_MS / 6 + 100);
    assert_int_equal(sent, 2);
    both_accept();
    assert_true(page_now().deadline_ms > before_ms);
    finish();
}

static void one_no_and_one_silence_are_enough(void **state)
{
    static const struct {
        int rc;
        int status;
        const char *body;
    } answers[] = {{0, 500, "Running as a leader"},
                   {0, 200, "Accepted?"},
                   {0, 204, ACCEPTED},
                   {ERR_TIMEOUT, 200, ""}};
    (void)state;
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        leads(MEMBERS);
        int64_t before_ms = page_now().deadline_ms;
        renewal_fails();
        answer_status = answers[i].status;
        end(asked("10.0.0.2"), answers[i].rc, true, answers[i].body);
        answer_status = 200;
        end(asked("10.0.0.3"), 0, true, ACCEPTED);
        assert_int_equal(page_now().deadline_ms, before_ms);
        assert_false(failsafe_is_active(&rig.agent));
        finish();
    }
}

static void a_member_that_cannot_be_asked_is_a_no(void **state)
{
    (void)state;
    leads(MEMBERS);
    int64_t before_ms = page_now().deadline_ms;
    refuse = true;
    renewal_fails();
    assert_int_equal(sent, 0);
    assert_int_equal(page_now().deadline_ms, before_ms);
    finish();
}

static void who_is_alone_in_the_key_needs_nobody(void **state)
{
    (void)state;
    leads(ONLY_US);
    int64_t before_ms = page_now().deadline_ms;
    renewal_fails();
    assert_int_equal(sent, 0);
    assert_true(page_now().deadline_ms > before_ms);
    finish();
}

static void no_round_without_the_mode_or_a_key_of_this_epoch_that_names_us(void **state)
{
    (void)state;
    leads("{\"n2\":\"http://10.0.0.2:8008/patroni\"}");
    renewal_fails();
    assert_int_equal(sent, 0);
    finish();

    leads(MEMBERS);
    rig.agent.dynamic.failsafe_mode = false;
    renewal_fails();
    assert_int_equal(sent, 0);
    finish();

    leads(MEMBERS);
    rig.agent.facts.cluster.failsafe_revision = epoch.revision - 1; /* an earlier leader wrote it */
    renewal_fails();
    assert_int_equal(sent, 0);
    finish();
}

static void a_lease_that_is_over_is_not_revived(void **state)
{
    (void)state;
    leads(MEMBERS);
    int64_t before_ms = page_now().deadline_ms;
    renewal_fails();
    end(asked("10.0.0.2"), 0, true, ACCEPTED);
    rig.now_ms = page_now().soft_ms;
    end(asked("10.0.0.3"), 0, true, ACCEPTED);
    assert_int_equal(page_now().deadline_ms, before_ms);
    finish();
}

static void a_renewal_with_a_shorter_ttl_meanwhile_makes_the_round_worthless(void **state)
{
    (void)state;
    leads(MEMBERS);
    renewal_fails();
    rig.agent.dynamic.ttl_ms = 10000;
    run_for(TTL_MS / 6);
    int64_t lowered_ms = page_now().deadline_ms;
    both_accept();
    assert_int_equal(page_now().deadline_ms, lowered_ms);
    finish();
}

static void whoever_a_write_on_its_way_names_is_asked_too(void **state)
{
    (void)state;
    leads(ONLY_US);
    key_is_to_be(MEMBERS);
    renewal_fails();
    assert_int_equal(sent, 2);
    both_accept();
    /* While the lease stands by them, nobody comes into the key who was not asked. */
    assert_null(value_to_write());
    run_for(TTL_MS / 6);
    answer("renew", 0);
    assert_false(failsafe_is_active(&rig.agent));
    char *value = value_to_write();
    assert_non_null(value);
    mem_free(value);
    /* The view shows another revision: none of the writes before it can take effect any more. */
    key_shows(ONLY_US);
    next_round();
    assert_int_equal(sent, 0);
    finish();
}

/* Whoever finds the key empty is free to run, and is not asked: not before it is known that the
 * empty list did not come to be. */
static void an_empty_list_on_its_way_makes_rounds_worthless_until_another_shows(void **state)
{
    (void)state;
    leads(MEMBERS);
    rig.agent.dynamic.failsafe_mode = false;
    key_is_to_be("{}");
    rig.agent.dynamic.failsafe_mode = true;
    assert_true(seen().unsure);
    int64_t before_ms = page_now().deadline_ms;
    renewal_fails();
    both_accept();
    assert_int_equal(page_now().deadline_ms, before_ms);

    key_shows(MEMBERS);
    assert_false(seen().unsure);
    next_round();
    both_accept();
    assert_true(page_now().deadline_ms > before_ms);
    finish();
}

/* The lease has run out in the store: n3 has seen itself in the key then, and may go by that when a
 * write of ours that was on its way has taken it out. */
static void whoever_was_asked_is_asked_again_until_the_store_answers(void **state)
{
    (void)state;
    leads(MEMBERS);
    renewal_fails();
    both_accept();
    assert_true(failsafe_is_active(&rig.agent));
    int64_t before_ms = page_now().deadline_ms;
    key_shows(ONLY_US);
    next_round();
    assert_int_equal(sent, 2);
    end(asked("10.0.0.2"), 0, true, ACCEPTED);
    end(asked("10.0.0.3"), ERR_TIMEOUT, true, "");
    assert_int_equal(page_now().deadline_ms, before_ms);

    run_for(100);
    answer("renew", 0);
    before_ms = page_now().deadline_ms;
    next_round();
    assert_int_equal(sent, 0);
    assert_true(page_now().deadline_ms > before_ms);
    finish();
}

/* By whose word the lease stands that a restarted agent finds, and what its predecessor has sent
 * for the key: it knows neither. */
static void who_goes_on_with_an_epoch_asks_nobody_before_a_renewal_and_a_write(void **state)
{
    (void)state;
    leads(MEMBERS);
    struct ha_lease *lease = &rig.agent.lease;
    int64_t before_ms = lease->deadline_ms;
    int64_t soft_ms = lease->soft_ms;
    ha_lease_init(lease);
    assert_true(ha_lease_resume(lease, epoch, soft_ms, before_ms, before_ms, rig.now_ms));
    failsafe_round(&rig.agent);
    assert_int_equal(sent, 0);
    assert_int_equal(page_now().deadline_ms, before_ms);

    keeper_kick(&rig.agent);
    run_for(10);
    answer("renew", 0);
    before_ms = page_now().deadline_ms;
    assert_true(seen().unsure);
    for (int written = 0; written < 2; written++) { /* and the same after a write without an end */
        next_round();
        both_accept();
        assert_int_equal(page_now().deadline_ms, before_ms);
        rig.agent.snapshot.cluster = rig.agent.facts.cluster;
        mem_free(value_to_write());
        assert_true(seen().unsure);
    }
    key_shows(MEMBERS);
    assert_false(seen().unsure);
    next_round();
    both_accept();
    assert_true(page_now().deadline_ms > before_ms);
    finish();
}

/* The new epoch's key is not written before, and without it there is no round. */
static void an_acquisition_ends_the_mode(void **state)
{
    (void)state;
    leads(MEMBERS);
    renewal_fails();
    both_accept();
    assert_true(failsafe_is_active(&rig.agent));
    plan_begin("retake", "taking the key again");
    plan_add(HA_ACQUIRE);
    carry_out();
    answer("acquire", 0);
    assert_true(rig.agent.lease.epoch.revision > epoch.revision);
    assert_false(failsafe_is_active(&rig.agent));
    key_is_to_be(MEMBERS);
    finish();
}

static void nothing_is_written_while_a_round_is_under_way(void **state)
{
    (void)state;
    leads(MEMBERS);
    renewal_fails();
    assert_null(value_to_write());
    finish();
}

static void rounds_do_not_overlap_and_keep_their_distance(void **state)
{
    (void)state;
    leads(MEMBERS);
    renewal_fails();
    failsafe_round(&rig.agent);
    assert_int_equal(sent, 2);
    both_accept();
    failsafe_round(&rig.agent);
    assert_int_equal(sent, 2);
    rig.now_ms += FAILSAFE_AGAIN_MS;
    failsafe_round(&rig.agent);
    assert_int_equal(sent, 4);
    finish();
}

static int question(const char *text, uint64_t *ret_lsn)
{
    struct error err = {0};
    json_t *body = json_loads(text, 0, NULL);
    int rc = failsafe_answer(&rig.agent, body, ret_lsn, &err);
    json_decref(body);
    return rc;
}

#define ASKED_BY_N2 "{\"name\":\"n2\",\"api_url\":\"http://10.0.0.2:8008/patroni\"}"

static void a_standby_promises_for_a_ttl_of_the_longer_kind(void **state)
{
    uint64_t lsn = 0;
    (void)state;
    begin();
    rig.agent.facts.run = HA_RUN_RUNNING;
    rig.agent.facts.probe.role = PG_STANDBY;
    rig.agent.facts.probe.flush_lsn = 77;
    assert_int_equal(question(ASKED_BY_N2, &lsn), 0);
    assert_int_equal(lsn, 77);
    assert_string_equal(seen().primary, "n2");
    assert_int_equal(seen().until_lease_ms, rig.now_ms + TTL_MS);
    assert_true(failsafe_is_active(&rig.agent));
    assert_int_equal(question("{\"name\":\"n2\",\"ttl_ms\":60000}", &lsn), 0);
    assert_int_equal(seen().until_lease_ms, rig.now_ms + 60000);
    assert_int_equal(question(ASKED_BY_N2, &lsn), 0); /* a shorter one takes nothing back */
    assert_int_equal(seen().until_lease_ms, rig.now_ms + 60000);
    rig.now_ms += 60000;
    assert_false(failsafe_is_active(&rig.agent));
    finish();
}

static void who_leads_or_may_soon_promises_nothing(void **state)
{
    uint64_t lsn = 0;
    (void)state;
    leads(MEMBERS);
    assert_int_equal(question(ASKED_BY_N2, &lsn), ERR_REFUSED);
    finish();

    begin();
    rig.agent.acquiring = true;
    assert_int_equal(question(ASKED_BY_N2, &lsn), ERR_REFUSED);
    rig.agent.acquiring = false;
    rig.agent.facts.job.running = true;
    rig.agent.facts.job.kind = HA_JOB_PROMOTE;
    assert_int_equal(question(ASKED_BY_N2, &lsn), ERR_REFUSED);
    rig.agent.facts.job.running = false;
    rig.agent.facts.run = HA_RUN_RUNNING;
    rig.agent.facts.probe.role = PG_PRIMARY;
    assert_int_equal(question(ASKED_BY_N2, &lsn), ERR_REFUSED);
    assert_int_equal(seen().until_lease_ms, 0);
    finish();
}

/* The primary counts by the ttl that it names: a shorter promise would be none. */
static void a_promise_is_for_the_ttl_that_the_primary_names_or_there_is_none(void **state)
{
    uint64_t lsn = 0;
    (void)state;
    begin();
    rig.agent.facts.run = HA_RUN_STOPPED;
    assert_int_equal(question("{\"name\":\"n2\",\"ttl_ms\":7200000}", &lsn), 0);
    assert_int_equal(seen().until_lease_ms, rig.now_ms + 7200000);
    assert_int_equal(question("{\"name\":\"n2\",\"ttl_ms\":86400001}", &lsn), ERR_INVALID);
    assert_int_equal(question("{\"name\":\"n2\",\"ttl_ms\":-1}", &lsn), ERR_INVALID);
    assert_int_equal(question("{\"name\":\"n2\",\"ttl_ms\":\"60000\"}", &lsn), ERR_INVALID);
    finish();
}

/* The agent of a standby was started again while etcd is away: to leave the key alone it needs no
 * configuration, but it must know for how long. */
static void who_has_not_read_the_configuration_promises_what_is_asked(void **state)
{
    uint64_t lsn = 0;
    (void)state;
    begin();
    rig.agent.facts.run = HA_RUN_RUNNING;
    rig.agent.facts.probe.role = PG_STANDBY;
    rig.agent.dynamic.failsafe_mode = false;
    rig.agent.facts.config_revision = -1;
    assert_int_equal(question(ASKED_BY_N2, &lsn), ERR_UNSUPPORTED);
    assert_int_equal(question("{\"name\":\"n2\",\"ttl_ms\":30000}", &lsn), 0);
    rig.agent.facts.run = HA_RUN_UNKNOWN;
    assert_int_equal(question("{\"name\":\"n2\",\"ttl_ms\":30000}", &lsn), ERR_REFUSED);
    finish();
}

/* The plan waits for a write, and meanwhile a primary asks. */
static void an_acquisition_that_was_decided_before_the_promise_is_not_sent(void **state)
{
    uint64_t lsn = 0;
    (void)state;
    begin();
    rig.agent.facts.run = HA_RUN_STOPPED;
    plan_begin("race", "running for it");
    plan_add(HA_WRITE_INITIALIZE);
    plan_add(HA_ACQUIRE);
    carry_out();
    rig.agent.facts.run = HA_RUN_STOPPED;
    assert_int_equal(question(ASKED_BY_N2, &lsn), 0);
    answer("put initialize", 0);
    assert_false(is_asked("acquire"));
    assert_false(rig.agent.acquiring);
    finish();
}

/* Two hosts have changed addresses: each would promise in the other's name. */
static void nobody_promises_for_another_member(void **state)
{
    uint64_t lsn = 0;
    (void)state;
    begin();
    rig.agent.facts.run = HA_RUN_STOPPED;
    assert_int_equal(question("{\"name\":\"n2\",\"member\":\"n3\"}", &lsn), ERR_INVALID);
    assert_int_equal(question("{\"name\":\"n2\",\"member\":\"n1\"}", &lsn), 0);
    finish();
}

static void a_question_is_refused_without_the_mode_or_without_a_name(void **state)
{
    uint64_t lsn = 0;
    (void)state;
    begin();
    assert_int_equal(question("{\"name\":7}", &lsn), ERR_INVALID);
    assert_int_equal(question("{\"name\":\"\"}", &lsn), ERR_INVALID);
    assert_int_equal(question("{\"api_url\":\"x\"}", &lsn), ERR_INVALID);
    rig.agent.dynamic.failsafe_mode = false;
    assert_int_equal(question(ASKED_BY_N2, &lsn), ERR_UNSUPPORTED);
    finish();
    assert_int_equal(question(ASKED_BY_N2, &lsn), ERR_UNSUPPORTED); /* Raft: never started */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_round_that_all_accept_extends_from_before_it_was_sent),
        cmocka_unit_test(a_renewal_that_stays_unanswered_begins_a_round),
        cmocka_unit_test(one_no_and_one_silence_are_enough),
        cmocka_unit_test(a_member_that_cannot_be_asked_is_a_no),
        cmocka_unit_test(who_is_alone_in_the_key_needs_nobody),
        cmocka_unit_test(no_round_without_the_mode_or_a_key_of_this_epoch_that_names_us),
        cmocka_unit_test(a_lease_that_is_over_is_not_revived),
        cmocka_unit_test(a_renewal_with_a_shorter_ttl_meanwhile_makes_the_round_worthless),
        cmocka_unit_test(whoever_a_write_on_its_way_names_is_asked_too),
        cmocka_unit_test(an_empty_list_on_its_way_makes_rounds_worthless_until_another_shows),
        cmocka_unit_test(whoever_was_asked_is_asked_again_until_the_store_answers),
        cmocka_unit_test(who_goes_on_with_an_epoch_asks_nobody_before_a_renewal_and_a_write),
        cmocka_unit_test(an_acquisition_ends_the_mode),
        cmocka_unit_test(nothing_is_written_while_a_round_is_under_way),
        cmocka_unit_test(rounds_do_not_overlap_and_keep_their_distance),
        cmocka_unit_test(a_standby_promises_for_a_ttl_of_the_longer_kind),
        cmocka_unit_test(who_leads_or_may_soon_promises_nothing),
        cmocka_unit_test(a_promise_is_for_the_ttl_that_the_primary_names_or_there_is_none),
        cmocka_unit_test(who_has_not_read_the_configuration_promises_what_is_asked),
        cmocka_unit_test(an_acquisition_that_was_decided_before_the_promise_is_not_sent),
        cmocka_unit_test(nobody_promises_for_another_member),
        cmocka_unit_test(a_question_is_refused_without_the_mode_or_without_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
