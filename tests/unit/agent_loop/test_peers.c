/* Whom the agent asks how far he is, when, and what becomes of the answers (peers.c). The HTTP
 * client is replaced, too. */
#include "http_client_fake.h"

#include "agent/ha/ha_facts.h"
#include "agent/loop/peers.h"

static const struct ha_peer *peer(const char *name)
{
    for (size_t i = 0; i < rig.agent.facts.peer_count; i++) {
        if (strcmp(rig.agent.facts.peers[i].name, name) == 0) {
            return &rig.agent.facts.peers[i];
        }
    }
    return NULL;
}

/* n2 leads n1, which is us and streams, and n3. */
static void led_in(enum config_store store)
{
    memset(exchanges, 0, sizeof exchanges);
    sent = 0;
    refuse = false;
    rig_init();
    rig.config.store = store;
    plan_begin("rule", "waits");
    ha_plan_add(&rig.next, HA_WAIT)->until_mono_ms = HA_NEVER;
    peers_start(&rig.agent);
    key_set("leader", "n2");
    member("n1", "10.0.0.1");
    member("n2", "10.0.0.2");
    member("n3", "10.0.0.3");
    rig.agent.facts.run = HA_RUN_RUNNING;
    rig.agent.facts.probe.role = PG_STANDBY;
    rig.agent.facts.upstream.streaming = true;
    observe_store_changed(&rig.agent);
}

static void led(void)
{
    led_in(CONFIG_STORE_ETCD3);
}

static void unlocked(void)
{
    led();
    key_remove("leader");
    observe_store_changed(&rig.agent);
}

static void finish(void)
{
    peers_stop(&rig.agent);
    rig_free();
}

#define PATRONI "{\"role\":\"replica\",\"xlog\":{\"received_location\":9},\"timeline\":2}"

static void nobody_is_asked_while_all_is_well(void **state)
{
    (void)state;
    led();
    rig.now_ms += 60000;
    peers_look(&rig.agent);
    assert_int_equal(sent, 0);
    finish();
}

static void others_are_asked_when_the_key_is_gone(void **state)
{
    (void)state;
    unlocked();
    assert_int_equal(sent, 2);
    assert_null(asked("10.0.0.1"));
    assert_true(peer("n2")->asking && peer("n3")->asking);
    end(asked("10.0.0.3"), 0, true, PATRONI); /* whatever the status says */
    assert_false(peer("n3")->asking);
    assert_true(peer("n3")->patroni);
    assert_int_equal(peer("n3")->lsn, 9);
    assert_int_equal(peer("n3")->heard_mono_ms, rig.now_ms);
    end(asked("10.0.0.2"), ERR_UNAVAILABLE, false, "");
    assert_false(peer("n2")->asking);
    assert_int_equal(peer("n2")->heard_mono_ms, HA_NEVER);
    assert_true(rig.agent.cycle_due);
    finish();
}

static void each_is_asked_again_and_never_twice_at_a_time(void **state)
{
    (void)state;
    unlocked();
    end(asked("10.0.0.3"), 0, true, PATRONI);
    rig.now_ms += PEERS_AGAIN_MS - 1;
    peers_look(&rig.agent);
    assert_int_equal(sent, 2);
    rig.now_ms++;
    peers_look(&rig.agent);
    assert_int_equal(sent, 3); /* n2 has not answered yet */
    assert_int_equal(peer("n3")->lsn, 9);
    assert_false(peer("n3")->asking); /* the first outcome stands until there is another */
    end(asked("10.0.0.3"), ERR_UNKNOWN, true, "");
    assert_true(peer("n3")->heard_mono_ms != HA_NEVER); /* it falls silent by itself */
    finish();
}

static void answers_of_before_say_nothing_of_now(void **state)
{
    (void)state;
    led();
    rig.agent.facts.upstream.streaming = false; /* then the leader is asked whether it lives */
    peers_look(&rig.agent);
    end(asked("10.0.0.3"), 0, true, PATRONI);
    struct http_client_exchange *late = asked("10.0.0.2");
    assert_int_equal(peer("n3")->lsn, 9);
    key_remove("leader");
    observe_store_changed(&rig.agent);
    assert_int_equal(peer("n3")->lsn, 0);
    assert_true(peer("n3")->asking);
    assert_true(late->canceled);
    assert_int_equal(sent, 4);
    struct http_client_exchange *now = asked("10.0.0.2");
    end(late, ERR_CANCELED, true, "");
    assert_ptr_equal(asked("10.0.0.2"), now);
    peers_look(&rig.agent);
    assert_int_equal(sent, 4); /* the cancelled one does not hide that one is under way */
    finish();
}

static void who_lost_his_member_key_too_is_asked(void **state)
{
    (void)state;
    led();
    key_remove("leader");
    key_remove("members/n2");
    key_remove("members/n3");
    observe_store_changed(&rig.agent);
    assert_non_null(asked("10.0.0.2"));
    assert_non_null(asked("10.0.0.3"));
    end(asked("10.0.0.2"), ERR_UNAVAILABLE, false, "");
    end(asked("10.0.0.3"), 0, true, PATRONI);
    key_set("leader", "n3");
    member("n3", "10.0.0.4");
    observe_store_changed(&rig.agent);
    assert_null(peer("n2")); /* and forgotten when somebody leads */
    assert_non_null(peer("n3"));
    finish();
}

static void somebody_else_at_the_address_is_not_heard(void **state)
{
    (void)state;
    unlocked();
    end(asked("10.0.0.3"), 0, true, "{\"role\":\"replica\",\"patroni\":{\"name\":\"n7\"}}");
    assert_false(peer("n3")->asking);
    assert_int_equal(peer("n3")->heard_mono_ms, HA_NEVER);
    finish();
}

static void question_that_cannot_be_sent_is_not_waited_for(void **state)
{
    (void)state;
    led();
    refuse = true;
    key_remove("leader");
    observe_store_changed(&rig.agent);
    assert_false(peer("n3")->asking);
    finish();
}

/* The Raft group tells of it. */
static void is_voter(const char *name)
{
    struct loop_facts *facts = &rig.agent.facts;
    struct ha_peer *heard = &facts->heard[facts->heard_count++];
    *heard = (struct ha_peer){.heard_mono_ms = rig.now_ms};
    (void)snprintf(heard->name, sizeof heard->name, "%s", name);
}

/* Of n3 it tells nothing: it is the group's client. */
static void clients_of_the_group_are_asked(void **state)
{
    (void)state;
    led_in(CONFIG_STORE_RAFT);
    is_voter("n2");
    key_set("members/n2", "{\"api_url\":\"http://10.0.0.2:8008/patroni\",\"reports\":true}");
    key_set("members/n3", "{\"api_url\":\"http://10.0.0.3:8008/patroni\",\"reports\":true}");
    observe_store_changed(&rig.agent);
    key_remove("leader");
    observe_store_changed(&rig.agent);
    assert_int_equal(sent, 1);
    assert_null(peer("n2"));
    assert_non_null(asked("10.0.0.3"));
    assert_true(peer("n3")->asking);
    finish();
}

static void a_client_of_the_group_asks_everybody(void **state)
{
    (void)state;
    led_in(CONFIG_STORE_RAFT);
    rig.config.raft.client = true;
    key_set("members/n2", "{\"api_url\":\"http://10.0.0.2:8008/patroni\",\"reports\":true}");
    observe_store_changed(&rig.agent);
    key_remove("leader");
    observe_store_changed(&rig.agent);
    assert_int_equal(sent, 2);
    rig.config.raft.client = false;
    finish();
}

/* Our own store, where the Raft group tells of members of ours: n2 is one, and n3 Patroni's. */
static void in_our_own_store_only_those_of_patroni_are_asked(void **state)
{
    (void)state;
    led_in(CONFIG_STORE_RAFT);
    is_voter("n2");
    key_set("members/n2", "{\"api_url\":\"http://10.0.0.2:8008/patroni\",\"reports\":true}");
    observe_store_changed(&rig.agent);
    key_remove("leader");
    observe_store_changed(&rig.agent);
    assert_int_equal(sent, 1);
    assert_null(peer("n2"));
    end(asked("10.0.0.3"), 0, true, PATRONI);
    assert_true(peer("n3")->patroni);
    assert_int_equal(peer("n3")->silent_ms, PEERS_SILENT_MS);
    finish();
}

/* A new group learns names later than the store has records: until then they are asked, and nobody
 * leads yet. */
static void who_is_named_by_the_group_is_asked_no_more(void **state)
{
    (void)state;
    led_in(CONFIG_STORE_RAFT);
    key_set("members/n2", "{\"api_url\":\"http://10.0.0.2:8008/patroni\",\"reports\":true}");
    key_remove("leader");
    observe_store_changed(&rig.agent);
    end(asked("10.0.0.2"), ERR_UNAVAILABLE, false, "");
    end(asked("10.0.0.3"), 0, true, PATRONI);
    assert_non_null(peer("n2"));
    is_voter("n2");
    is_voter("n3"); /* a witness beside Patroni may have its name */
    peers_look(&rig.agent);
    assert_null(peer("n2"));
    assert_non_null(peer("n3"));
    finish();
}

static void what_was_never_asked_ends_without_a_client(void **state)
{
    (void)state;
    led_in(CONFIG_STORE_RAFT);
    finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_is_asked_while_all_is_well),
        cmocka_unit_test(others_are_asked_when_the_key_is_gone),
        cmocka_unit_test(each_is_asked_again_and_never_twice_at_a_time),
        cmocka_unit_test(answers_of_before_say_nothing_of_now),
        cmocka_unit_test(who_lost_his_member_key_too_is_asked),
        cmocka_unit_test(somebody_else_at_the_address_is_not_heard),
        cmocka_unit_test(question_that_cannot_be_sent_is_not_waited_for),
        cmocka_unit_test(in_our_own_store_only_those_of_patroni_are_asked),
        cmocka_unit_test(clients_of_the_group_are_asked),
        cmocka_unit_test(a_client_of_the_group_asks_everybody),
        cmocka_unit_test(who_is_named_by_the_group_is_asked_no_more),
        cmocka_unit_test(what_was_never_asked_ends_without_a_client),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
