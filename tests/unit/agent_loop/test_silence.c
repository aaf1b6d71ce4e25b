/* Signs of life of the leader's node: whom a standby asks, when, and what it makes of the answers
 * (silence.c). Connections and the Raft member are replaced, too. The election timeout is 1 s. */
#include "loop_fixture.h"

#include "agent/loop/silence.h"
#include "base/net/tcp.h"

enum { CONNECTS_MAX = 64, ELECTION = 1000 };

struct tcp_connect {
    bool open;
    bool canceled;
    struct net_addr to;
    int64_t timeout_ms;
    tcp_connect_done done;
    void *arg;
};

static struct tcp_connect connects[CONNECTS_MAX];
static size_t connected; /* ever begun */
static bool can_start = true;

struct talk { /* a stream */
    struct stream stream;
    char sent[64];
    size_t sent_len;
    bool closed;
    stream_closed on_closed;
    void *closed_arg;
};

static struct talk talks[CONNECTS_MAX];
static size_t talk_count;

int tcp_connect_start(uv_loop_t *loop, const struct tcp_connect_options *options,
                      tcp_connect_done done, void *arg, struct tcp_connect **ret_connect,
                      struct error *err)
{
    (void)loop;
    if (!can_start) {
        return error_set(err, ERR_LIMIT, "no descriptor");
    }
    assert_true(connected < CONNECTS_MAX);
    struct tcp_connect *connect = &connects[connected++];
    *connect = (struct tcp_connect){.open = true,
                                    .to = options->to,
                                    .timeout_ms = options->timeout_ms,
                                    .done = done,
                                    .arg = arg};
    *ret_connect = connect;
    return 0;
}

void tcp_connect_cancel(struct tcp_connect *connect)
{
    assert_true(connect->open);
    connect->canceled = true;
}

static int talk_read(struct stream *stream, struct error *err)
{
    (void)stream;
    (void)err;
    return 0;
}

static int talk_write(struct stream *stream, struct span bytes, stream_done done, void *arg,
                      struct error *err)
{
    struct talk *talk = (struct talk *)stream;
    (void)done;
    (void)arg;
    (void)err;
    assert_true(bytes.len <= sizeof talk->sent);
    memcpy(talk->sent, bytes.data, bytes.len);
    talk->sent_len = bytes.len;
    return 0;
}

static void talk_close(struct stream *stream, stream_closed closed, void *arg)
{
    struct talk *talk = (struct talk *)stream;
    assert_false(talk->closed);
    talk->closed = true;
    talk->on_closed = closed;
    talk->closed_arg = arg;
}

static const struct stream_ops talk_ops = {
    .read_start = talk_read, .write = talk_write, .close = talk_close};

/* The loop turns: what was closed or cancelled is told. */
static void turn(void)
{
    struct error err = {0};
    (void)error_set(&err, ERR_CANCELED, "cancelled");
    for (size_t i = 0; i < connected; i++) {
        if (connects[i].open && connects[i].canceled) {
            connects[i].open = false;
            connects[i].done(connects[i].arg, ERR_CANCELED, NULL, &err);
        }
    }
    for (size_t i = 0; i < talk_count; i++) {
        if (talks[i].closed && talks[i].on_closed != NULL) {
            talks[i].on_closed(talks[i].closed_arg);
            talks[i].on_closed = NULL;
        }
    }
}

/* The newest open connection to the port. */
static struct tcp_connect *to_port(uint16_t port)
{
    for (size_t i = connected; i > 0; i--) {
        if (connects[i - 1].open && connects[i - 1].to.port == port) {
            return &connects[i - 1];
        }
    }
    fail_msg("nobody connects to port %u", (unsigned)port);
    return NULL;
}

static void fail_by(struct tcp_connect *connect, int rc)
{
    struct error err = {0};
    (void)error_set(&err, rc, "failed");
    connect->open = false;
    connect->done(connect->arg, rc, NULL, &err);
}

static void refuse(struct tcp_connect *connect)
{
    fail_by(connect, ERR_REFUSED);
}

static struct talk *take(struct tcp_connect *connect)
{
    struct talk *talk = &talks[talk_count++];
    *talk = (struct talk){.stream = {.ops = &talk_ops}};
    connect->open = false;
    connect->done(connect->arg, 0, &talk->stream, NULL);
    return talk;
}

static void say(struct talk *talk)
{
    talk->stream.events->on_read(talk->stream.arg, span_str("N"));
}

/* --- the Raft member -------------------------------------------------------------------------- */

static int64_t raft_heard;

void raft_node_status(const struct raft_node *node, struct raft_status *ret_status)
{
    (void)node;
    *ret_status = (struct raft_status){.id = 1, .leader = 2, .member_count = 3};
    ret_status->members[0] = (struct raft_member_status){.id = 1, .name = "n1"};
    ret_status->members[1] =
        (struct raft_member_status){.id = 2, .name = "n2", .heard_mono_ms = raft_heard};
    ret_status->members[2] =
        (struct raft_member_status){.id = 3, .name = "n3", .heard_mono_ms = -1};
}

int raft_node_transfer(struct raft_node *node, uint64_t id, struct error *err)
{
    (void)node;
    (void)id;
    return error_set(err, ERR_BUSY, "not the leader");
}

/* --- a standby of n2 -------------------------------------------------------------------------- */

static int64_t last_message;

static void receives(void)
{
    standby_says(0x3000000);
    said.receiver_alive = true;
    said.receiver_last_ms = ++last_message;
    silence_take_probe(&rig.agent, &said);
    rig.agent.facts.probe = said;
}

static void all_is_well(void)
{
    raft_heard = rig.now_ms;
    receives();
}

static void led(void)
{
    connected = 0;
    talk_count = 0;
    last_message = 0;
    rig_settle();
    rig.agent.group = (struct raft_group *)(void *)&rig;
    rig.raft = (struct raft_node *)(void *)&rig;
    key_set("config",
            "{\"ttl\":30,\"synchronous_mode\":\"quorum\",\"synchronous_mode_strict\":true,"
            "\"early_failover\":true}");
    key_set("members/n2", "{\"conn_url\":\"postgres://10.0.0.2:5433/postgres\",\"api_url\":"
                          "\"http://10.0.0.2:8009/patroni\"}");
    key_set("sync", "{\"leader\":\"n2\",\"quorum\":1,\"sync_standby\":\"n1,n3\"}");
    standby_runs(0x3000000);
    rig.agent.facts.run = HA_RUN_RUNNING;
    assert_int_equal(silence_start(&rig.agent), 0);
    observe_store_changed(&rig.agent);
    all_is_well();
}

static void finish(void)
{
    silence_stop(&rig.agent);
    turn();
    rig_free();
}

static struct ha_silence seen(void)
{
    struct ha_silence silence;
    silence_fill(&rig.agent, &silence);
    return silence;
}

/* Only what this file is about; probes and plans go on beside it. */
static void run(int64_t ms)
{
    for (int64_t i = 0; i < ms; i += 20) {
        run_for(20);
        turn();
    }
}

static void nobody_is_asked_while_wal_or_raft_comes(void **state)
{
    (void)state;
    led();
    for (int i = 0; i < 20; i++) {
        receives();
        run(100); /* nothing over Raft */
    }
    assert_int_equal(connected, 0);
    for (int i = 0; i < 20; i++) {
        raft_heard = rig.now_ms;
        run(100); /* no WAL */
    }
    assert_int_equal(connected, 0);
    assert_int_equal(seen().asked_mono_ms, HA_NEVER);
    assert_int_equal(seen().raft_mono_ms, raft_heard);
    finish();
}

static void both_servers_are_asked_when_nothing_comes(void **state)
{
    (void)state;
    led();
    int64_t last = rig.now_ms;
    run(400);
    assert_int_equal(connected, 2);
    struct tcp_connect *postgresql = to_port(5433);
    struct tcp_connect *rest = to_port(8009);
    assert_string_equal(postgresql->to.host, "10.0.0.2");
    assert_string_equal(rest->to.host, "10.0.0.2");
    assert_int_equal(postgresql->timeout_ms, ELECTION);
    struct ha_silence silence = seen();
    assert_int_equal(silence.wal_mono_ms, last);
    assert_int_equal(silence.raft_mono_ms, last);
    assert_in_range(silence.asked_mono_ms, last + 200, last + 420);
    struct talk *talk = take(postgresql);
    assert_int_equal(talk->sent_len, 8);
    assert_memory_equal(talk->sent, "\0\0\0\x08\x04\xd2\x16\x2f", 8);
    assert_memory_equal(take(rest)->sent, "GET /liveness HTTP/1.0", 22);
    assert_int_equal(seen().asked_mono_ms, silence.asked_mono_ms); /* that was no answer */
    finish();
}

static void the_silence_counts_from_the_first_round_without_an_answer(void **state)
{
    (void)state;
    led();
    run(400);
    int64_t first = seen().asked_mono_ms;
    unsigned before = rig.decided;
    refuse(to_port(5433));
    refuse(to_port(8009));
    run(400);
    assert_true(connected > 2); /* refused at once: asked again soon */
    assert_true(connected <= 8);
    run(400);
    assert_int_equal(seen().asked_mono_ms, first);
    assert_true(rig.now_ms - first >= ELECTION || rig.decided == before);
    run(1000);
    assert_true(rig.decided > before); /* a cycle is due when it counts */
    assert_int_equal(seen().asked_mono_ms, first);
    finish();
}

/* No descriptor, no memory, no route, no name: that is about us. */
static void what_fails_on_our_side_is_not_the_leaders_silence(void **state)
{
    static const int own[] = {ERR_IO, ERR_NOMEM, ERR_LIMIT, ERR_PERMISSION, ERR_NOT_FOUND};
    static const int theirs[] = {ERR_TIMEOUT, ERR_REFUSED, ERR_UNAVAILABLE, ERR_CLOSED};
    (void)state;
    for (size_t i = 0; i < sizeof theirs / sizeof theirs[0]; i++) {
        led();
        run(400);
        int64_t first = seen().asked_mono_ms;
        fail_by(to_port(8009), theirs[i]);
        assert_int_equal(seen().asked_mono_ms, first);
        finish();
    }
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) {
        led();
        run(400);
        refuse(to_port(5433));
        fail_by(to_port(8009), own[i]);
        assert_int_equal(seen().asked_mono_ms, HA_NEVER);
        int64_t failed = rig.now_ms;
        run(400);
        assert_true(seen().asked_mono_ms > failed); /* the next round counts anew */
        finish();
    }
    led();
    can_start = false;
    run(400);
    assert_int_equal(seen().asked_mono_ms, HA_NEVER);
    can_start = true;
    run(400);
    assert_int_not_equal(seen().asked_mono_ms, HA_NEVER);
    finish();
}

static void each_answer_ends_it(void **state)
{
    (void)state;
    for (int way = 0; way < 3; way++) {
        led();
        run(1500);
        assert_int_not_equal(seen().asked_mono_ms, HA_NEVER);
        struct talk *talk = take(to_port(way == 1 ? 8009 : 5433));
        unsigned before = rig.decided;
        size_t asked = connected;
        if (way == 2) { /* it hangs up */
            talk->stream.events->on_end(talk->stream.arg, ERR_CLOSED, NULL);
        } else {
            say(talk);
        }
        turn();
        run_for(0);
        assert_true(rig.decided > before);
        assert_int_equal(seen().asked_mono_ms, HA_NEVER);
        assert_true(talk->closed);
        run(ELECTION - 100);
        assert_int_equal(connected, asked); /* not at once again */
        run(400);
        assert_int_equal(connected, asked + 2);
        assert_int_not_equal(seen().asked_mono_ms, HA_NEVER);
        finish();
    }
}

static void a_connection_that_breaks_or_stays_mute_is_no_answer(void **state)
{
    (void)state;
    led();
    run(400);
    int64_t first = seen().asked_mono_ms;
    struct talk *broken = take(to_port(5433));
    struct talk *mute = take(to_port(8009));
    broken->stream.events->on_end(broken->stream.arg, ERR_IO, NULL);
    turn();
    assert_true(broken->closed);
    assert_false(mute->closed);
    run(ELECTION + 100);
    assert_true(mute->closed); /* another round */
    assert_true(connected >= 4);
    assert_int_equal(seen().asked_mono_ms, first);
    finish();
}

static void a_sign_of_life_ends_it_and_all_that_is_under_way(void **state)
{
    (void)state;
    led();
    run(1600);
    unsigned before = rig.decided;
    assert_int_not_equal(seen().asked_mono_ms, HA_NEVER);
    for (int i = 0; i < 5; i++) {
        raft_heard = rig.now_ms;
        run(60);
    }
    assert_int_equal(seen().asked_mono_ms, HA_NEVER);
    assert_true(rig.decided > before);
    for (size_t i = 0; i < connected; i++) {
        assert_false(connects[i].open);
    }
    finish();
}

static void what_was_never_received_is_not_missed(void **state)
{
    (void)state;
    led();
    run(600);
    size_t asked = connected;
    key_set("leader", "n3"); /* of whom this node has received nothing yet */
    key_set("members/n3", "{\"conn_url\":\"postgres://10.0.0.3:5433/postgres\",\"api_url\":"
                          "\"http://10.0.0.3:8009/patroni\"}");
    observe_store_changed(&rig.agent);
    turn();
    assert_int_equal(seen().wal_mono_ms, HA_NEVER);
    assert_int_equal(seen().asked_mono_ms, HA_NEVER);
    silence_take_probe(&rig.agent, &said); /* what the one before had sent last */
    run(3000);
    assert_int_equal(seen().wal_mono_ms, HA_NEVER);
    assert_int_equal(connected, asked);
    receives();
    assert_int_equal(seen().wal_mono_ms, rig.now_ms);
    run(600);
    assert_int_equal(connected, asked + 2);
    finish();
}

/* No member hears it, alive or dead. */
static void a_leader_that_is_a_client_of_the_group_is_not_missed(void **state)
{
    (void)state;
    led();
    run(600);
    size_t asked = connected;
    key_set("leader", "n4");
    key_set("members/n4", "{\"conn_url\":\"postgres://10.0.0.4:5433/postgres\",\"api_url\":"
                          "\"http://10.0.0.4:8009/patroni\"}");
    observe_store_changed(&rig.agent);
    turn();
    receives();
    run(3000);
    assert_int_equal(seen().asked_mono_ms, HA_NEVER);
    assert_int_equal(connected, asked);
    finish();
}

static void it_is_watched_only_where_it_is_asked_for(void **state)
{
    static const char *const off[] = {
        "{\"ttl\":30,\"synchronous_mode\":\"quorum\",\"synchronous_mode_strict\":true}",
        "{\"ttl\":30,\"synchronous_mode\":\"quorum\",\"early_failover\":true}",
        "{\"ttl\":30,\"synchronous_mode_strict\":true,\"early_failover\":true}",
    };
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        led();
        assert_true(silence_is_asked_for(&rig.agent));
        key_set("config", off[i]);
        observe_store_changed(&rig.agent);
        assert_false(silence_is_asked_for(&rig.agent));
        run(3000);
        assert_int_equal(connected, 0);
        assert_int_equal(seen().wal_mono_ms, HA_NEVER);
        finish();
    }
    led();
    rig.config.store = CONFIG_STORE_ETCD3;
    assert_false(silence_is_asked_for(&rig.agent));
    rig.config.store = CONFIG_STORE_RAFT;
    key_set("sync", "{\"leader\":\"n2\",\"quorum\":0,\"sync_standby\":\"n3\"}");
    observe_store_changed(&rig.agent);
    run(3000);
    assert_int_equal(connected, 0);
    finish();
    led();
    key_set("members/n2", "{\"conn_url\":\"postgres://10.0.0.2:5433/postgres\"}");
    observe_store_changed(&rig.agent);
    run(3000);
    assert_int_equal(connected, 0); /* half of an address cannot be silent */
    assert_int_equal(seen().asked_mono_ms, HA_NEVER);
    finish();
}

static void the_store_is_made_ready_and_what_is_missing_is_said_once(void **state)
{
    (void)state;
    led();
    rig.can_depose_rc = ERR_UNAVAILABLE;
    for (int i = 0; i < 30; i++) {
        all_is_well();
        run(100);
    }
    const char *text = buf_str(&rig.logged);
    const char *once = strstr(text, "early_failover has no effect yet: 'n3' is not connected");
    assert_non_null(once);
    assert_null(strstr(once + 1, "early_failover has no effect yet"));
    rig.can_depose_rc = 0;
    for (int i = 0; i < 15; i++) {
        all_is_well();
        run(100);
    }
    assert_non_null(strstr(buf_str(&rig.logged), "early_failover: the store is ready for it"));
    finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_is_asked_while_wal_or_raft_comes),
        cmocka_unit_test(both_servers_are_asked_when_nothing_comes),
        cmocka_unit_test(the_silence_counts_from_the_first_round_without_an_answer),
        cmocka_unit_test(what_fails_on_our_side_is_not_the_leaders_silence),
        cmocka_unit_test(each_answer_ends_it),
        cmocka_unit_test(a_connection_that_breaks_or_stays_mute_is_no_answer),
        cmocka_unit_test(a_sign_of_life_ends_it_and_all_that_is_under_way),
        cmocka_unit_test(what_was_never_received_is_not_missed),
        cmocka_unit_test(a_leader_that_is_a_client_of_the_group_is_not_missed),
        cmocka_unit_test(it_is_watched_only_where_it_is_asked_for),
        cmocka_unit_test(the_store_is_made_ready_and_what_is_missing_is_said_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
