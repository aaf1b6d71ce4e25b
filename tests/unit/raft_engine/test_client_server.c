/* What a member does with its clients' requests: whose share of the room they take, and what wakes
 * a watch. The clients are real connections; the group behind is a fake one, in its own time. */
#include "fake_group.h"
#include "peer_fixture.h"

#include "raft/engine/client_frame.h"
#include "raft/engine/client_server.h"

#include <signal.h>

struct caller {
    struct peer_session *session;
    bool open;
    unsigned answers;
    int code;
    char text[256]; /* of the last one */
};

static struct client_server *server;
static struct fake_group *group;
static unsigned ended; /* connections */

/* --- both sides of a connection --------------------------------------------------------------- */

static void on_caller_open(void *arg, struct peer_session *session)
{
    (void)session;
    ((struct caller *)arg)->open = true;
}

static void on_caller_frame(void *arg, struct peer_session *session, const struct peer_frame *frame)
{
    struct caller *caller = arg;
    struct client_answer answer;
    (void)session;
    assert_int_equal(client_answer_decode(frame->payload, &answer, NULL), 0);
    caller->answers++;
    caller->code = answer.code;
    (void)snprintf(caller->text, sizeof caller->text, "%.*s", (int)answer.text.len,
                   answer.text.len > 0 ? (const char *)answer.text.data : "");
}

static void on_caller_end(void *arg, struct peer_session *session, int rc, const struct error *err)
{
    (void)arg, (void)session, (void)rc;
    fail_msg("%s", err->text);
}

static const struct peer_session_events caller_events = {
    .on_open = on_caller_open, .on_frame = on_caller_frame, .on_end = on_caller_end};

static void on_server_request(struct side *side, struct peer_session *client,
                              const struct peer_frame *frame)
{
    client_server_request(server, client, frame->payload, peers_identity(side->peers), group->now);
}

static void on_server_end(struct side *side, struct peer_session *client)
{
    (void)side;
    client_server_forget(server, client);
    ended++;
}

static void call(struct caller *caller, const char *name)
{
    struct handshake_identity identity = {.id = 0};
    struct dial dial = {0};
    memset(caller, 0, sizeof *caller);
    (void)snprintf(identity.name, sizeof identity.name, "%s", name);
    dial_first(&dial);
    struct peer_session_config config = {.loop = &loop,
                                         .caller = true,
                                         .role = HANDSHAKE_CLIENT,
                                         .password = "secret",
                                         .identity = &identity};
    caller->session = peer_session_start(dial.stream, &config, &caller_events, caller);
    AWAIT(caller->open, 2000);
}

static void hang_up(struct caller *caller)
{
    unsigned before = ended;
    peer_session_close(caller->session, NULL, NULL);
    AWAIT(ended == before + 1, 2000);
}

static void ask(struct caller *caller, const struct client_request *request)
{
    struct buf payload = BUF_INIT;
    client_request_encode(request, &payload);
    struct peer_frame frame = {.type = PEER_FRAME_REQUEST, .payload = buf_span(&payload)};
    assert_int_equal(peer_session_send(caller->session, &frame, 1 << 20, NULL), 0);
    buf_free(&payload);
}

static void ask_put(struct caller *caller, const char *key)
{
    struct store_op op = {.type = STORE_OP_PUT, .key = span_str(key), .value = span_str("v")};
    struct store_command command = {.type = STORE_TXN, .success = &op, .success_count = 1};
    struct buf body = BUF_INIT;
    assert_int_equal(store_command_encode(&command, &body, NULL), 0);
    struct client_request request = {
        .number = 1, .kind = CLIENT_COMMAND, .timeout_ms = 60000, .body = buf_span(&body)};
    ask(caller, &request);
    buf_free(&body);
}

static void ask_renewal(struct caller *caller, enum client_kind kind)
{
    struct store_command command = {
        .type = STORE_LEASE_RENEW, .lease = 7, .ttl_ms = 30000, .stamp = 1};
    struct buf body = BUF_INIT;
    assert_int_equal(store_command_encode(&command, &body, NULL), 0);
    struct client_request request = {
        .number = 3, .kind = kind, .timeout_ms = 5000, .body = buf_span(&body)};
    ask(caller, &request);
    buf_free(&body);
}

static void ask_status(struct caller *caller)
{
    struct client_request request = {.number = 4, .kind = CLIENT_STATUS, .timeout_ms = 5000};
    ask(caller, &request);
}

static void ask_watch(struct caller *caller, const char *prefix)
{
    struct buf body = BUF_INIT;
    struct client_watch watch = {.cluster = CLUSTER,
                                 .revision = store_revision(raft_node_store(group->nodes[0].node)),
                                 .hold_ms = 30000,
                                 .prefix = span_str(prefix)};
    client_watch_encode(&watch, &body);
    struct client_request request = {
        .number = 2, .kind = CLIENT_WATCH, .timeout_ms = 60000, .body = buf_span(&body)};
    ask(caller, &request);
    buf_free(&body);
}

static int setup_server(void **state)
{
    (void)setup(state);
    sides[0].on_request = on_server_request;
    sides[0].on_client_end = on_server_end;
    side_open(0, "secret", NULL, 0);
    group = fake_group_led(1, 51)->group;
    fake_run(group, 500);
    server = client_server_new();
    client_server_node(server, group->nodes[0].node);
    return 0;
}

static int teardown_server(void **state)
{
    group->nodes[0].disk_stopped = false;
    fake_run(group, 1000);
    client_server_node(server, NULL);
    (void)teardown(state);
    client_server_free(server);
    fake_group_free(group);
    return 0;
}

/* The requests that have come are under way. */
static void settle(void)
{
    uint64_t over_ns = uv_hrtime() + 50000000;
    AWAIT(uv_hrtime() > over_ns, 2000);
}

/* --- whose share ------------------------------------------------------------------------------ */

/* By several connections at once, and by what others have left behind. */
static void a_client_has_its_share_of_requests_however_often_it_calls(void **state)
{
    (void)state;
    static const char *const names[] = {"node7", ""};
    static const char *const told[] = {"64 requests of 'node7' are",
                                       "64 requests of '127.0.0.1' are"};
    group->nodes[0].disk_stopped = true;
    for (size_t i = 0; i < 2; i++) {
        struct caller first;
        struct caller second;
        call(&first, names[i]);
        for (int n = 0; n < CLIENT_SERVER_PER_CLIENT_MAX / 2; n++) {
            ask_put(&first, "/a");
        }
        settle();
        hang_up(&first);
        call(&first, names[i]);
        call(&second, names[i]);
        for (int n = 0; n < CLIENT_SERVER_PER_CLIENT_MAX / 2; n++) {
            ask_put(&first, "/b");
        }
        settle();
        assert_int_equal(first.answers, 0);
        ask_put(&second, "/c");
        AWAIT(second.answers == 1, 2000);
        assert_int_equal(second.code, ERR_LIMIT);
        assert_non_null(strstr(second.text, told[i]));
        hang_up(&first);
        hang_up(&second);
    }
    struct caller other; /* has a share of its own */
    call(&other, "node8");
    ask_put(&other, "/d");
    settle();
    assert_int_equal(other.answers, 0);
    group->nodes[0].disk_stopped = false;
    fake_run(group, 100);
    AWAIT(other.answers == 1, 2000);
    assert_int_equal(other.code, 0);
    hang_up(&other);
}

static void all_shares_together_have_an_end(void **state)
{
    (void)state;
    enum { CALLERS = CLIENT_SERVER_REQUESTS_MAX / CLIENT_SERVER_PER_CLIENT_MAX };
    static struct caller callers[CALLERS + 1];
    group->nodes[0].disk_stopped = true;
    for (int i = 0; i <= CALLERS; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "node%d", i);
        call(&callers[i], name);
        for (int n = 0; n < (i < CALLERS ? CLIENT_SERVER_PER_CLIENT_MAX : 1); n++) {
            ask_put(&callers[i], "/a");
        }
        settle();
        assert_int_equal(callers[i].answers, i < CALLERS ? 0 : 1);
    }
    assert_int_equal(callers[CALLERS].code, ERR_LIMIT);
    assert_non_null(strstr(callers[CALLERS].text, "512 requests of clients are"));
    for (int i = 0; i <= CALLERS; i++) {
        hang_up(&callers[i]);
    }
}

/* The leader key hangs on them: there is room for a few beside all else. */
static void renewals_have_room_of_their_own(void **state)
{
    (void)state;
    struct caller others;
    struct caller lease;
    struct caller plain;
    group->nodes[0].disk_stopped = true;
    call(&others, "node7");
    call(&lease, "node7");
    call(&plain, "node7");
    for (int n = 0; n < CLIENT_SERVER_PER_CLIENT_MAX; n++) {
        ask_put(&others, "/a");
    }
    settle();
    for (int n = 0; n < CLIENT_SERVER_RENEWALS_PER_CLIENT_MAX; n++) {
        ask_renewal(&lease, CLIENT_COMMAND_AS);
    }
    settle();
    assert_int_equal(lease.answers, 0);
    ask_renewal(&plain, CLIENT_COMMAND); /* nobody's leader key */
    AWAIT(plain.answers == 1, 2000);
    assert_int_equal(plain.code, ERR_LIMIT);
    ask_renewal(&lease, CLIENT_COMMAND_AS);
    AWAIT(lease.answers == 1, 2000);
    assert_int_equal(lease.code, ERR_LIMIT);
    assert_non_null(strstr(lease.text, "16 renewals of 'node7' are"));
    hang_up(&others);
    hang_up(&lease);
    hang_up(&plain);
}

/* All rooms are full of what others ask: a renewal passes, and the status is told. */
static void a_full_member_takes_renewals_and_tells_its_status(void **state)
{
    (void)state;
    enum { CALLERS = CLIENT_SERVER_REQUESTS_MAX / CLIENT_SERVER_PER_CLIENT_MAX };
    static struct caller callers[CALLERS];
    struct caller lease;
    struct caller nameless;
    group->nodes[0].disk_stopped = true;
    call(&lease, "node0");
    call(&nameless, "");
    for (int i = 0; i < CALLERS; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "%s%.0d", i == 0 ? "" : "node", i);
        call(&callers[i], name);
        for (int n = 0; n < CLIENT_SERVER_PER_CLIENT_MAX; n++) {
            ask_put(&callers[i], "/a");
        }
        settle();
        assert_int_equal(callers[i].answers, 0);
    }
    ask_renewal(&lease, CLIENT_COMMAND_AS);
    ask_put(&nameless, "/b");
    AWAIT(nameless.answers == 1, 2000);
    assert_int_equal(nameless.code, ERR_LIMIT);
    assert_int_equal(lease.answers, 0);
    ask_status(&nameless);
    AWAIT(nameless.answers == 2, 2000);
    assert_int_equal(nameless.code, 0);
    for (int i = 0; i < CALLERS; i++) {
        hang_up(&callers[i]);
    }
    hang_up(&lease);
    hang_up(&nameless);
}

/* --- what wakes a watch ----------------------------------------------------------------------- */

static bool is_answered(struct caller *caller)
{
    (void)client_server_look(server, group->now);
    fake_run(group, 50);
    settle();
    return caller->answers > 0;
}

/* What it has looked at is not looked at again: that it is gone from the history is no news. */
static void a_watch_is_woken_by_its_prefix_alone(void **state)
{
    (void)state;
    struct fake_node *node = &group->nodes[0];
    struct caller caller;
    call(&caller, "node7");
    ask_watch(&caller, "/mine/");
    settle();
    for (int i = 0; i < 6; i++) {
        fake_put_many(node, 1000, 2);
        (void)client_server_look(server, group->now);
    }
    assert_false(is_answered(&caller));
    struct fake_call put;
    fake_put(node, "/mine/a", "1", 1000, 0, &put);
    fake_run(group, 50);
    assert_int_equal(put.rc, 0);
    assert_true(is_answered(&caller));
    assert_int_equal(caller.code, 0);
    hang_up(&caller);
}

#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, setup_server, teardown_server)

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        WITH_SERVER(a_client_has_its_share_of_requests_however_often_it_calls),
        WITH_SERVER(all_shares_together_have_an_end),
        WITH_SERVER(renewals_have_room_of_their_own),
        WITH_SERVER(a_full_member_takes_renewals_and_tells_its_status),
        WITH_SERVER(a_watch_is_woken_by_its_prefix_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
