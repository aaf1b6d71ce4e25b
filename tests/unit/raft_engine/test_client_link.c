/* A client and members that behave badly: they take the connection and say nothing, are slow,
 * refuse, or do not read. Members are played: a listener, the real handshake, and a script. */
#include "base/mem.h"
#include "base/net/tcp.h"
#include "raft/client.h"
#include "raft/engine/client_frame.h"
#include "raft/engine/peer_session.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

enum { PLAYERS_MAX = 3, SESSIONS_MAX = 8, WATCHDOG_MS = 60000, LATER_MAX = 8 };

/* What a member does with a request of one kind. */
struct line {
    bool silent;
    int code;     /* 0 = answered as if it were done */
    int delay_ms; /* before the answer */
};

struct player {
    struct line lines[CLIENT_STATUS + 1]; /* by enum client_kind */
    bool no_handshake;
    struct tcp_listener *listener;
    char address[64];
    struct handshake_identity identity;
    struct stream *mute; /* with no_handshake */
    struct peer_session *sessions[SESSIONS_MAX];
    size_t session_count; /* ever */
    unsigned asked[CLIENT_STATUS + 1];
    uint32_t timeout_ms; /* of the last request */
};

struct later {
    uv_timer_t timer;
    bool used;
    struct peer_session *session;
    struct client_answer answer;
};

struct seen {
    int calls;
    int rc;
    char text[256];
};

static uv_loop_t loop;
static uv_timer_t watchdog;
static bool too_late;
static struct player players[PLAYERS_MAX];
static size_t player_count;
static struct later laters[LATER_MAX];
static struct raft_client *client;

static void on_watchdog(uv_timer_t *timer)
{
    (void)timer;
    too_late = true;
}

#define RUN_UNTIL(fact)                   \
    while (!(fact)) {                     \
        assert_false(too_late);           \
        (void)uv_run(&loop, UV_RUN_ONCE); \
    }

/* --- members ---------------------------------------------------------------------------------- */

static struct player *player_of(const struct peer_session *session)
{
    for (size_t i = 0; i < player_count; i++) {
        for (size_t j = 0; j < players[i].session_count; j++) {
            if (players[i].sessions[j] == session) {
                return &players[i];
            }
        }
    }
    fail();
    return NULL;
}

static void answer_send(struct peer_session *session, struct client_answer *answer)
{
    struct player *player = player_of(session);
    struct buf body = BUF_INIT;
    struct buf payload = BUF_INIT;
    if (answer->code != 0) {
        answer->text = span_str("no");
    } else if (answer->kind == CLIENT_READ) {
        struct store *store = store_new();
        client_view_encode(store, 7, span_str("/"), &body);
        store_free(store);
    } else if (answer->kind == CLIENT_COMMAND) {
        struct store_result result = {.revision = 3};
        client_result_encode(&result, &body);
    } else {
        static const struct raft_status status = {.id = 1};
        client_status_encode(&status, &body);
    }
    answer->body = buf_span(&body);
    client_answer_encode(answer, &payload);
    struct peer_frame frame = {
        .type = PEER_FRAME_ANSWER, .from = player->identity.id, .payload = buf_span(&payload)};
    (void)peer_session_send(session, &frame, 1 << 20, NULL);
    buf_free(&body);
    buf_free(&payload);
}

static void later_over(struct later *later)
{
    later->used = false;
    (void)uv_timer_stop(&later->timer);
}

static void on_later(uv_timer_t *timer)
{
    struct later *later = timer->data;
    later_over(later);
    answer_send(later->session, &later->answer);
}

static void answer_later(struct peer_session *session, const struct client_answer *answer, int ms)
{
    for (size_t i = 0; i < LATER_MAX; i++) {
        struct later *later = &laters[i];
        if (!later->used) {
            later->used = true;
            later->session = session;
            later->answer = *answer;
            assert_int_equal(uv_timer_start(&later->timer, on_later, (uint64_t)ms, 0), 0);
            return;
        }
    }
    fail();
}

static void on_frame(void *arg, struct peer_session *session, const struct peer_frame *frame)
{
    struct player *player = arg;
    struct client_request request;
    assert_int_equal(frame->type, PEER_FRAME_REQUEST);
    assert_int_equal(client_request_decode(frame->payload, &request, NULL), 0);
    const struct line *line = &player->lines[request.kind];
    struct client_answer answer = {
        .number = request.number, .kind = request.kind, .code = line->code};
    player->asked[request.kind]++;
    player->timeout_ms = request.timeout_ms;
    if (line->silent) {
        return;
    }
    if (line->delay_ms > 0) {
        answer_later(session, &answer, line->delay_ms);
    } else {
        answer_send(session, &answer);
    }
}

static void session_close(struct player *player, size_t at)
{
    struct peer_session *session = player->sessions[at];
    for (size_t i = 0; i < LATER_MAX; i++) {
        if (laters[i].used && laters[i].session == session) {
            later_over(&laters[i]);
        }
    }
    player->sessions[at] = NULL;
    peer_session_close(session, NULL, NULL);
}

static void on_end(void *arg, struct peer_session *session, int rc, const struct error *err)
{
    struct player *player = arg;
    (void)rc;
    (void)err;
    for (size_t i = 0; i < player->session_count; i++) {
        if (player->sessions[i] == session) {
            session_close(player, i);
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

static void mute_end(void *arg, int rc, const struct error *err)
{
    struct player *player = arg;
    (void)rc;
    (void)err;
    stream_close(player->mute, NULL, NULL);
    player->mute = NULL;
}

static void mute_read(void *arg, struct span bytes)
{
    (void)arg;
    (void)bytes;
}

static void on_accept(void *arg, struct stream *stream)
{
    static const struct stream_events mute_events = {.on_read = mute_read, .on_end = mute_end};
    struct player *player = arg;
    if (player->no_handshake) {
        player->mute = stream;
        stream_attach(stream, &mute_events, player);
        assert_int_equal(stream_read_start(stream, NULL), 0);
        return;
    }
    struct peer_session_config config = {
        .loop = &loop, .role = HANDSHAKE_MEMBER, .identity = &player->identity};
    assert_true(player->session_count < SESSIONS_MAX);
    player->sessions[player->session_count++] =
        peer_session_start(stream, &config, &session_events, player);
}

/* --- the client ------------------------------------------------------------------------------- */

static void note(struct seen *seen, int rc, const struct error *err)
{
    seen->calls++;
    seen->rc = rc;
    (void)snprintf(seen->text, sizeof seen->text, "%s", rc != 0 ? err->text : "");
}

static void on_read(void *arg, int rc, const struct raft_client_view *view, const struct error *err)
{
    (void)view;
    note(arg, rc, err);
}

static void on_command(void *arg, int rc, const struct store_result *result,
                       const struct error *err)
{
    (void)result;
    note(arg, rc, err);
}

static int try_read(int64_t timeout_ms, struct seen *seen, struct error *err)
{
    return raft_client_read_prefix(client, span_str("/"), timeout_ms, on_read, seen, err);
}

static void start_read(int64_t timeout_ms, struct seen *seen)
{
    *seen = (struct seen){0};
    assert_int_equal(try_read(timeout_ms, seen, NULL), 0);
}

static void start_put(struct span value, int64_t timeout_ms, struct seen *seen)
{
    struct store_op op = {.type = STORE_OP_PUT, .key = span_str("/x"), .value = value};
    struct store_command command = {.type = STORE_TXN, .success = &op, .success_count = 1};
    *seen = (struct seen){0};
    assert_int_equal(raft_client_command(client, &command, timeout_ms, on_command, seen, NULL), 0);
}

/* How long it took. */
static uint64_t await(struct seen *seen, uint64_t since_ms)
{
    RUN_UNTIL(seen->calls > 0);
    assert_int_equal(seen->calls, 1);
    uv_update_time(&loop);
    return uv_now(&loop) - since_ms;
}

static uint64_t now_ms(void)
{
    uv_update_time(&loop);
    return uv_now(&loop);
}

/* --- stage ------------------------------------------------------------------------------------ */

static void stage_open(size_t count)
{
    struct net_addr any = {.host = "127.0.0.1"};
    const char *addresses[PLAYERS_MAX];
    too_late = false;
    memset(players, 0, sizeof players);
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(uv_timer_init(&loop, &watchdog), 0);
    assert_int_equal(uv_timer_start(&watchdog, on_watchdog, WATCHDOG_MS, 0), 0);
    for (size_t i = 0; i < LATER_MAX; i++) {
        laters[i] = (struct later){0};
        assert_int_equal(uv_timer_init(&loop, &laters[i].timer), 0);
        laters[i].timer.data = &laters[i];
    }
    player_count = count;
    for (size_t i = 0; i < count; i++) {
        struct player *player = &players[i];
        struct tcp_options options = {0};
        player->identity = (struct handshake_identity){.id = i + 1, .cluster = 7};
        (void)snprintf(player->identity.name, sizeof player->identity.name, "n%zu", i + 1);
        assert_int_equal(tcp_listener_start(&loop, &any, 16, &options, on_accept, player,
                                            &player->listener, NULL),
                         0);
        (void)snprintf(player->address, sizeof player->address, "127.0.0.1:%u",
                       tcp_listener_port(player->listener));
        addresses[i] = player->address;
    }
    assert_int_equal(raft_client_new(&loop, addresses, count, NULL, &client, NULL), 0);
}

static void stage_close(void)
{
    if (client != NULL) {
        raft_client_close(client, NULL, NULL);
        client = NULL;
    }
    for (size_t i = 0; i < player_count; i++) {
        tcp_listener_stop(players[i].listener, NULL, NULL);
        if (players[i].mute != NULL) {
            stream_close(players[i].mute, NULL, NULL);
        }
        for (size_t j = 0; j < players[i].session_count; j++) {
            if (players[i].sessions[j] != NULL) {
                session_close(&players[i], j);
            }
        }
    }
    for (size_t i = 0; i < LATER_MAX; i++) {
        uv_close((uv_handle_t *)&laters[i].timer, NULL);
    }
    uv_close((uv_handle_t *)&watchdog, NULL);
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&loop), 0);
}

/* --- silence ---------------------------------------------------------------------------------- */

static void who_takes_the_connection_and_says_nothing_is_passed_over(void **state)
{
    struct seen seen;
    (void)state;
    stage_open(3);
    players[0].no_handshake = true;
    players[1].no_handshake = true;
    uint64_t began_ms = now_ms();
    start_put(span_str("v"), 6000, &seen);
    uint64_t took_ms = await(&seen, began_ms);
    assert_int_equal(seen.rc, 0);
    assert_in_range(took_ms, 2 * 1500, 6000);
    assert_int_equal(players[2].asked[CLIENT_COMMAND], 1);
    stage_close();
}

static void a_read_leaves_a_member_that_falls_silent(void **state)
{
    struct seen seen;
    (void)state;
    stage_open(2);
    players[0].lines[CLIENT_READ].silent = players[0].lines[CLIENT_STATUS].silent = true;
    uint64_t began_ms = now_ms();
    start_read(3000, &seen);
    uint64_t took_ms = await(&seen, began_ms);
    assert_int_equal(seen.rc, 0);
    assert_in_range(took_ms, 1000, 3000);
    assert_int_equal(players[0].asked[CLIENT_READ], 1);
    assert_int_equal(players[0].asked[CLIENT_STATUS], 1); /* a sign of life was asked for */
    assert_int_equal(players[1].asked[CLIENT_READ], 1);
    stage_close();
}

static void a_command_at_a_member_that_falls_silent_is_unknown_and_not_sent_again(void **state)
{
    struct seen seen;
    (void)state;
    stage_open(2);
    players[0].lines[CLIENT_COMMAND].silent = players[0].lines[CLIENT_STATUS].silent = true;
    uint64_t began_ms = now_ms();
    start_put(span_str("v"), 30000, &seen);
    uint64_t took_ms = await(&seen, began_ms);
    assert_int_equal(seen.rc, ERR_UNKNOWN);
    assert_non_null(strstr(seen.text, "no sign of life in "));
    assert_non_null(strstr(seen.text, players[0].address));
    assert_in_range(took_ms, 2000, 20000);
    assert_int_equal(players[1].asked[CLIENT_COMMAND], 0);
    start_put(span_str("v"), 30000, &seen);
    (void)await(&seen, 0);
    assert_int_equal(seen.rc, 0);
    assert_int_equal(players[1].asked[CLIENT_COMMAND], 1);
    stage_close();
}

/* It waits for a leader, or for the disk: that is not silence. */
static void a_member_that_is_slow_but_lives_is_not_left(void **state)
{
    struct seen seen;
    (void)state;
    stage_open(2);
    players[0].lines[CLIENT_COMMAND].delay_ms = 3000;
    start_put(span_str("v"), 6000, &seen);
    (void)await(&seen, 0);
    assert_int_equal(seen.rc, 0);
    assert_int_equal(players[0].session_count, 1);
    assert_int_equal(players[0].asked[CLIENT_COMMAND], 1);
    assert_true(players[0].asked[CLIENT_STATUS] >= 1);
    assert_int_equal(players[1].session_count, 0);
    stage_close();
}

static void the_only_member_loses_its_connection_with_the_deadline_it_let_pass(void **state)
{
    struct seen seen;
    (void)state;
    stage_open(1);
    players[0].lines[CLIENT_READ].silent = players[0].lines[CLIENT_STATUS].silent = true;
    start_read(200, &seen);
    (void)await(&seen, 0);
    assert_int_equal(seen.rc, ERR_UNAVAILABLE);
    players[0].lines[CLIENT_READ].silent = false;
    start_read(30000, &seen);
    (void)await(&seen, 0);
    assert_int_equal(seen.rc, 0);
    assert_int_equal(players[0].session_count, 2);
    stage_close();
}

static void each_member_gets_its_part_of_the_time(void **state)
{
    struct seen seen;
    (void)state;
    stage_open(3);
    for (size_t i = 0; i < 2; i++) {
        players[i].lines[CLIENT_READ].code = ERR_UNAVAILABLE;
        players[i].lines[CLIENT_COMMAND].code = ERR_UNAVAILABLE;
    }
    start_read(30000, &seen);
    (void)await(&seen, 0);
    assert_int_equal(seen.rc, 0);
    assert_in_range(players[0].timeout_ms, 9000, 10000);
    assert_in_range(players[1].timeout_ms, 13000, 15000);
    assert_in_range(players[2].timeout_ms, 25000, 30000);
    players[2].lines[CLIENT_READ].code = ERR_UNAVAILABLE;
    start_put(span_str("v"), 6000, &seen);
    (void)await(&seen, 0);
    assert_int_equal(seen.rc, 0);
    assert_in_range(players[2].timeout_ms, 2000, 3000); /* an election goes on within it */
    stage_close();
}

/* Bytes that nobody acknowledges end the connection: a host that is cut off sends no reset. */
static void the_kernel_gives_up_on_a_host_that_is_cut_off(void **state)
{
    struct seen seen;
    unsigned with_timeout = 0;
    (void)state;
    stage_open(1);
    start_read(30000, &seen);
    (void)await(&seen, 0);
    for (int fd = 3; fd < 256; fd++) {
        struct sockaddr_in to;
        socklen_t len = sizeof to;
        unsigned value = 0;
        socklen_t value_len = sizeof value;
        if (getpeername(fd, (struct sockaddr *)&to, &len) == 0 && to.sin_family == AF_INET &&
            ntohs(to.sin_port) == tcp_listener_port(players[0].listener)) {
            assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &value, &value_len), 0);
            assert_int_equal(value, 2000);
            with_timeout++;
        }
    }
    assert_int_equal(with_timeout, 1);
    stage_close();
}

/* --- refusals --------------------------------------------------------------------------------- */

static void what_was_refused_goes_on_when_the_others_are_answered(void **state)
{
    struct seen read;
    struct seen put;
    (void)state;
    stage_open(2);
    players[0].lines[CLIENT_READ].code = ERR_UNAVAILABLE;
    players[0].lines[CLIENT_COMMAND].delay_ms = 200;
    uint64_t began_ms = now_ms();
    start_read(60000, &read);
    start_put(span_str("v"), 60000, &put);
    (void)await(&put, 0);
    assert_int_equal(put.rc, 0);
    uint64_t took_ms = await(&read, began_ms);
    assert_int_equal(read.rc, 0);
    assert_true(took_ms < 20000);
    assert_int_equal(players[1].asked[CLIENT_READ], 1);
    assert_int_equal(players[1].asked[CLIENT_COMMAND], 0);
    stage_close();
}

static void refused_by_all_it_is_unavailable(void **state)
{
    struct seen seen;
    (void)state;
    stage_open(3);
    for (size_t i = 0; i < 3; i++) {
        players[i].lines[CLIENT_COMMAND].code = ERR_UNAVAILABLE;
    }
    start_put(span_str("v"), 60000, &seen);
    assert_true(await(&seen, now_ms()) < 20000);
    assert_int_equal(seen.rc, ERR_UNAVAILABLE);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(players[i].asked[CLIENT_COMMAND], 1);
    }
    stage_close();
}

static void canceled_by_a_member_a_command_is_unknown_and_a_read_goes_elsewhere(void **state)
{
    struct seen put;
    struct seen read;
    (void)state;
    stage_open(2);
    players[0].lines[CLIENT_READ].code = players[0].lines[CLIENT_COMMAND].code = ERR_CANCELED;
    start_put(span_str("v"), 30000, &put);
    start_read(30000, &read);
    (void)await(&put, 0);
    (void)await(&read, 0);
    assert_int_equal(put.rc, ERR_UNKNOWN);
    assert_int_equal(read.rc, 0);
    assert_int_equal(players[1].asked[CLIENT_READ], 1);
    assert_int_equal(players[1].asked[CLIENT_COMMAND], 0);
    stage_close();
}

static void a_limit_of_the_members_is_told_and_the_connection_stays(void **state)
{
    struct seen seen;
    (void)state;
    stage_open(2);
    players[0].lines[CLIENT_COMMAND].code = ERR_LIMIT;
    start_put(span_str("v"), 30000, &seen);
    (void)await(&seen, 0);
    assert_int_equal(seen.rc, ERR_LIMIT);
    start_read(30000, &seen);
    (void)await(&seen, 0);
    assert_int_equal(seen.rc, 0);
    assert_int_equal(players[0].session_count, 1);
    assert_int_equal(players[1].session_count, 0);
    stage_close();
}

/* More than may wait for the kernel: a limit of ours, and no fault of the member's. */
static void a_full_queue_waits_until_it_has_drained(void **state)
{
    enum { PUTS = 32 };
    static struct seen seen[PUTS];
    char *value = mem_alloc(STORE_VALUE_BYTES_MAX);
    (void)state;
    memset(value, 'v', STORE_VALUE_BYTES_MAX);
    stage_open(1);
    for (size_t i = 0; i < PUTS; i++) {
        start_put(span_of(value, STORE_VALUE_BYTES_MAX), 50000, &seen[i]);
    }
    for (size_t i = 0; i < PUTS; i++) {
        (void)await(&seen[i], 0);
        assert_int_equal(seen[i].rc, 0);
    }
    assert_int_equal(players[0].session_count, 1);
    assert_int_equal(players[0].asked[CLIENT_COMMAND], PUTS);
    mem_free(value);
    stage_close();
}

/* --- closing ---------------------------------------------------------------------------------- */

struct stubborn {
    int calls;
    int rc; /* of asking again */
};

static void on_stubborn(void *arg, int rc, const struct raft_client_view *view,
                        const struct error *err)
{
    struct stubborn *stubborn = arg;
    (void)view;
    (void)err;
    assert_int_equal(rc, ERR_CANCELED);
    stubborn->calls++;
    stubborn->rc =
        raft_client_read_prefix(client, span_str("/"), 1000, on_stubborn, stubborn, NULL);
}

static void a_client_that_closes_takes_no_more_calls(void **state)
{
    struct stubborn stubborn = {0};
    struct seen seen = {0};
    struct error err = {0};
    (void)state;
    stage_open(1);
    assert_int_equal(
        raft_client_read_prefix(client, span_str("/"), 1000, on_stubborn, &stubborn, NULL), 0);
    raft_client_close(client, NULL, NULL);
    assert_int_equal(stubborn.calls, 1);
    assert_int_equal(stubborn.rc, ERR_CANCELED);
    assert_int_equal(try_read(1000, &seen, &err), ERR_CANCELED);
    assert_int_equal(err.code, ERR_CANCELED);
    client = NULL;
    stage_close();
    assert_int_equal(seen.calls, 0);
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_takes_the_connection_and_says_nothing_is_passed_over),
        cmocka_unit_test(a_read_leaves_a_member_that_falls_silent),
        cmocka_unit_test(a_command_at_a_member_that_falls_silent_is_unknown_and_not_sent_again),
        cmocka_unit_test(a_member_that_is_slow_but_lives_is_not_left),
        cmocka_unit_test(the_only_member_loses_its_connection_with_the_deadline_it_let_pass),
        cmocka_unit_test(each_member_gets_its_part_of_the_time),
        cmocka_unit_test(the_kernel_gives_up_on_a_host_that_is_cut_off),
        cmocka_unit_test(what_was_refused_goes_on_when_the_others_are_answered),
        cmocka_unit_test(refused_by_all_it_is_unavailable),
        cmocka_unit_test(canceled_by_a_member_a_command_is_unknown_and_a_read_goes_elsewhere),
        cmocka_unit_test(a_limit_of_the_members_is_told_and_the_connection_stays),
        cmocka_unit_test(a_full_queue_waits_until_it_has_drained),
        cmocka_unit_test(a_client_that_closes_takes_no_more_calls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
