/* A client of the group whose two connections do not fare alike: the member that makes its views
 * says no more, and what the leader key hangs on is answered. The member is played: a listener, the
 * real handshake, and a script. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/dcs/dcs_raft_remote.h"
#include "base/mem.h"
#include "base/net/tcp.h"
#include "raft/client.h"
#include "raft/engine/client_frame.h"
#include "raft/engine/peer_session.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

enum { SESSIONS_MAX = 8, LIMIT_MS = 10000, EPOCH = 9 };

static uv_loop_t loop;
static uv_timer_t tick;
static struct tcp_listener *listener;
static struct handshake_identity identity = {.id = 1, .cluster = 7, .name = "n1"};
static struct peer_session *sessions[SESSIONS_MAX];
static size_t session_count;
static struct dcs *dcs;
static bool views; /* it answers what asks for one */
static uint64_t granted;
static uint64_t renewed;
static unsigned renewals;

static void on_tick(uv_timer_t *timer)
{
    (void)timer;
}

static void run_until(const int *calls)
{
    uint64_t until = uv_hrtime() + (uint64_t)LIMIT_MS * 1000000;
    while (*calls == 0) {
        assert_true(uv_hrtime() < until);
        (void)uv_run(&loop, UV_RUN_ONCE);
    }
}

/* --- the member ------------------------------------------------------------------------------- */

static void take_command(struct span body)
{
    struct store_command command;
    struct buf arena = BUF_INIT;
    assert_int_equal(store_command_decode(body, &command, &arena, NULL), 0);
    if (command.type == STORE_LEASE_RENEW) {
        renewed = command.lease;
        renewals++;
    }
    for (size_t i = 0; command.type == STORE_TXN && i < command.success_count; i++) {
        if (command.success[i].type == STORE_OP_LEASE_GRANT) {
            granted = command.success[i].lease;
        }
    }
    buf_free(&arena);
}

static void body_put(const struct client_request *request, struct buf *body)
{
    static const struct raft_status status = {.id = 1};
    struct store_result result = {.succeeded = true, .revision = EPOCH};
    struct store *store = store_new();
    switch (request->kind) {
    case CLIENT_READ: client_view_encode(store, 7, span_str("/"), body); break;
    case CLIENT_WATCH: client_news_encode(store, 7, span_str("/"), true, body); break;
    case CLIENT_COMMAND_AS:
        take_command(request->body);
        client_result_encode(&result, body);
        break;
    case CLIENT_COMMAND:
    case CLIENT_REMOVE:
    case CLIENT_STATUS: client_status_encode(&status, body); break;
    }
    store_free(store);
}

static void on_frame(void *arg, struct peer_session *session, const struct peer_frame *frame)
{
    struct client_request request;
    struct buf body = BUF_INIT;
    struct buf payload = BUF_INIT;
    (void)arg;
    assert_int_equal(client_request_decode(frame->payload, &request, NULL), 0);
    bool asks_view = request.kind == CLIENT_READ || request.kind == CLIENT_WATCH;
    if (asks_view && !views) {
        return;
    }
    views = views && !asks_view; /* the first one */
    body_put(&request, &body);
    struct client_answer answer = {
        .number = request.number, .kind = request.kind, .body = buf_span(&body)};
    client_answer_encode(&answer, &payload);
    struct peer_frame reply = {
        .type = PEER_FRAME_ANSWER, .from = identity.id, .payload = buf_span(&payload)};
    assert_int_equal(peer_session_send(session, &reply, 1 << 20, NULL), 0);
    buf_free(&body);
    buf_free(&payload);
}

static void on_end(void *arg, struct peer_session *session, int rc, const struct error *err)
{
    (void)arg;
    (void)rc;
    (void)err;
    for (size_t i = 0; i < session_count; i++) {
        if (sessions[i] == session) {
            sessions[i] = NULL;
            peer_session_close(session, NULL, NULL);
        }
    }
}

static void on_open(void *arg, struct peer_session *session)
{
    (void)arg;
    (void)session;
}

static const struct peer_session_events session_events = {
    .on_open = on_open, .on_frame = on_frame, .on_end = on_end};

static void on_accept(void *arg, struct stream *stream)
{
    struct peer_session_config config = {
        .loop = &loop, .role = HANDSHAKE_MEMBER, .identity = &identity};
    (void)arg;
    assert_true(session_count < SESSIONS_MAX);
    sessions[session_count++] = peer_session_start(stream, &config, &session_events, NULL);
}

/* --- the client ------------------------------------------------------------------------------- */

struct outcome {
    int calls;
    struct dcs_result result;
};

static void on_done(void *arg, const struct dcs_result *result, const struct error *err)
{
    struct outcome *outcome = arg;
    (void)err;
    outcome->calls++;
    outcome->result = *result;
}

static int finish(int rc, struct outcome *outcome)
{
    if (rc != 0) {
        return rc;
    }
    run_until(&outcome->calls);
    return outcome->result.rc;
}

static int changes;

static void on_dcs_change(void *arg)
{
    (void)arg;
    changes++;
}

static int setup(void **state)
{
    (void)state;
    (void)signal(SIGPIPE, SIG_IGN);
    struct net_addr any = {.host = "127.0.0.1"};
    struct tcp_options options = {0};
    char address[64];
    const char *addresses[] = {address};
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(uv_timer_init(&loop, &tick), 0);
    assert_int_equal(uv_timer_start(&tick, on_tick, 5, 5), 0);
    assert_int_equal(
        tcp_listener_start(&loop, &any, 16, &options, on_accept, NULL, &listener, NULL), 0);
    (void)snprintf(address, sizeof address, "127.0.0.1:%u", tcp_listener_port(listener));
    struct dcs_raft_remote_config config = {.dcs = {.base = "/service/batman/",
                                                    .name = "node4",
                                                    .clock = clock_real(),
                                                    .random = random_real()},
                                            .addresses = addresses,
                                            .address_count = 1,
                                            .heartbeat_ms = 5000};
    session_count = 0;
    changes = 0;
    renewals = 0;
    views = true;
    assert_int_equal(dcs_raft_remote_new(&loop, &config, &dcs, NULL), 0);
    dcs->on_change = on_dcs_change;
    run_until(&changes);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    dcs->ops->free(dcs);
    tcp_listener_stop(listener, NULL, NULL);
    uv_close((uv_handle_t *)&tick, NULL);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    return 0;
}

static int renew(int64_t epoch)
{
    struct outcome outcome = {0};
    return finish(dcs->ops->renew(dcs, epoch, 3000, 1000, on_done, &outcome, NULL), &outcome);
}

/* Taken for a refusal, it would end a term that has just begun. */
static void what_was_just_acquired_is_renewed_though_no_view_shows_it(void **state)
{
    (void)state;
    struct dcs_acquire how = {.holder = "node4", .ttl_ms = 3000, .timeline = 2};
    struct outcome outcome = {0};
    assert_int_equal(renew(EPOCH), ERR_CONFLICT);
    assert_int_equal(finish(dcs->ops->acquire(dcs, &how, 1000, on_done, &outcome, NULL), &outcome),
                     0);
    assert_int_equal(outcome.result.revision, EPOCH);
    assert_int_equal(renew(EPOCH), 0);
    assert_int_equal(renewals, 1);
    assert_true(granted != 0 && renewed == granted);
    assert_int_equal(renew(EPOCH + 1), ERR_CONFLICT); /* another's */
    outcome = (struct outcome){0};
    assert_int_equal(
        finish(dcs->ops->release(dcs, EPOCH, NULL, 1000, on_done, &outcome, NULL), &outcome), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_just_acquired_is_renewed_though_no_view_shows_it,
                                        setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
