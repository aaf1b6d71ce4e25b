/* Two members' peers in one loop, and callers that are in and say what they like. For the tests of
 * links between members. */
#ifndef TEST_PEER_FIXTURE_H
#define TEST_PEER_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/net/tcp.h"
#include "raft/engine/peer.h"
#include "tests/harness/free_port.h"

#include <stdio.h>
#include <string.h>

#define CLUSTER 0xc1

struct side {
    struct peers *peers;
    char address[64];
    char bind[64];                                            /* empty = address */
    uint8_t flags;                                            /* of its identity */
    void (*on_message)(struct side *side, struct span frame); /* these may be NULL */
    void (*on_request)(struct side *side, struct peer_session *client,
                       const struct peer_frame *frame);
    void (*on_client_end)(struct side *side, struct peer_session *client);
    char warnings[4096];
    char duplicate[256];
    int raft_frames;
    int controls;
    int requests;
    int client_ends;
    uint64_t last_from;
    size_t last_len;
    uint64_t sequence; /* of the last numbered frame */
    bool disordered;
    bool closed;
};

static uv_loop_t loop;
static uv_timer_t tick;
static struct side sides[2];
static int election_ms = 200; /* of sides that are opened from now on */

static void on_tick(uv_timer_t *timer)
{
    (void)timer;
}

static void on_raft(void *arg, uint64_t from, struct span frame)
{
    struct side *side = arg;
    side->raft_frames++;
    side->last_from = from;
    side->last_len = frame.len;
    if (side->on_message != NULL) {
        side->on_message(side, frame);
    }
    struct span_reader reader = span_reader_of(frame);
    uint64_t number = span_take_u64(&reader);
    side->disordered = side->disordered || (!reader.failed && number <= side->sequence);
    side->sequence = number;
}

static void on_control(void *arg, struct peer_session *session, const struct peer_frame *frame)
{
    (void)session, (void)frame;
    ((struct side *)arg)->controls++;
}

static void on_peer(void *arg)
{
    (void)arg;
}

static void on_request(void *arg, struct peer_session *client, const struct peer_frame *frame)
{
    struct side *side = arg;
    side->requests++;
    if (side->on_request != NULL) {
        side->on_request(side, client, frame);
    }
}

static void on_client_end(void *arg, struct peer_session *client)
{
    struct side *side = arg;
    side->client_ends++;
    if (side->on_client_end != NULL) {
        side->on_client_end(side, client);
    }
}

static void on_warning(void *arg, const char *text)
{
    struct side *side = arg;
    size_t used = strlen(side->warnings);
    snprintf(side->warnings + used, sizeof side->warnings - used, "%s\n", text);
}

static void on_unfit(void *arg, const struct error *err)
{
    snprintf(((struct side *)arg)->duplicate, sizeof sides[0].duplicate, "%s", err->text);
}

static struct handshake_identity identity_of(size_t at)
{
    struct handshake_identity identity = {.id = 0x100 + at,
                                          .cluster = CLUSTER,
                                          .incarnation = 1,
                                          .group_size = 2,
                                          .flags = sides[at].flags};
    snprintf(identity.name, sizeof identity.name, "node%zu", at + 1);
    snprintf(identity.address, sizeof identity.address, "%s", sides[at].address);
    return identity;
}

static void side_open(size_t at, const char *password, const char *const *partners,
                      size_t partner_count)
{
    struct handshake_identity identity = identity_of(at);
    struct peers_config config = {.loop = &loop,
                                  .self_addr = sides[at].address,
                                  .bind_addr = sides[at].bind[0] != '\0' ? sides[at].bind : NULL,
                                  .partner_addrs = partners,
                                  .partner_count = partner_count,
                                  .password = password,
                                  .election_timeout_ms = election_ms,
                                  .random = random_real(),
                                  .identity = &identity};
    struct peers_events events = {.on_raft = on_raft,
                                  .on_control = on_control,
                                  .on_peer = on_peer,
                                  .on_request = on_request,
                                  .on_client_end = on_client_end,
                                  .on_warning = on_warning,
                                  .on_unfit = on_unfit,
                                  .arg = &sides[at]};
    struct error err = {0};
    if (peers_open(&config, &events, &sides[at].peers, &err) != 0) {
        fail_msg("%s", err.text);
    }
    sides[at].closed = false;
}

static int setup(void **state)
{
    (void)state;
    memset(sides, 0, sizeof sides);
    election_ms = 200;
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(uv_timer_init(&loop, &tick), 0);
    assert_int_equal(uv_timer_start(&tick, on_tick, 5, 5), 0);
    for (size_t i = 0; i < 2; i++) {
        snprintf(sides[i].address, sizeof sides[i].address, "127.0.0.1:%u", free_port());
        sides[i].closed = true;
    }
    return 0;
}

static void on_closed(void *arg)
{
    ((struct side *)arg)->closed = true;
}

static void side_close(size_t at)
{
    peers_close(sides[at].peers, on_closed, &sides[at]);
    while (!sides[at].closed) {
        uv_run(&loop, UV_RUN_ONCE);
    }
}

static int teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        if (!sides[i].closed) {
            side_close(i);
        }
    }
    uv_close((uv_handle_t *)&tick, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    return 0;
}

#define AWAIT(condition, limit_ms)                                                              \
    do {                                                                                        \
        uint64_t until_ns = uv_hrtime() + (uint64_t)(limit_ms)*1000000;                         \
        while (!(condition)) {                                                                  \
            if (uv_hrtime() > until_ns) {                                                       \
                fail_msg("not within %d ms: %s\n%s%s", limit_ms, #condition, sides[0].warnings, \
                         sides[1].warnings);                                                    \
            }                                                                                   \
            uv_run(&loop, UV_RUN_ONCE);                                                         \
        }                                                                                       \
    } while (0)

static inline void both_open(const char *password)
{
    const char *to_second[] = {sides[1].address};
    const char *to_first[] = {sides[0].address};
    side_open(0, password, to_second, 1);
    side_open(1, password, to_first, 1);
    AWAIT(peers_connected(sides[0].peers, 0x101) && peers_connected(sides[1].peers, 0x100), 5000);
}

static inline struct raft_group_counters counters_of(size_t at)
{
    struct raft_group_counters counters;
    peers_counters(sides[at].peers, &counters);
    return counters;
}

/* --- callers that are in, and lie ------------------------------------------------------------- */

struct liar {
    struct peer_session *session;
    struct stream *stream; /* the session's */
    bool open;
    bool ended;
    int refused; /* REFUSED frames after the handshake */
    int taken;   /* TAKEN frames */
};

static void on_liar_open(void *arg, struct peer_session *session)
{
    (void)session;
    ((struct liar *)arg)->open = true;
}

static void on_liar_frame(void *arg, struct peer_session *session, const struct peer_frame *frame)
{
    (void)session;
    ((struct liar *)arg)->refused += frame->type == PEER_FRAME_REFUSED;
    ((struct liar *)arg)->taken += frame->type == PEER_FRAME_TAKEN;
}

static void on_liar_end(void *arg, struct peer_session *session, int rc, const struct error *err)
{
    (void)session, (void)rc, (void)err;
    ((struct liar *)arg)->ended = true;
}

static const struct peer_session_events liar_events = {
    .on_open = on_liar_open, .on_frame = on_liar_frame, .on_end = on_liar_end};

struct dial {
    bool done;
    struct stream *stream;
};

static void on_connected(void *arg, int rc, struct stream *stream, const struct error *err)
{
    struct dial *dial = arg;
    (void)err;
    assert_int_equal(rc, 0);
    dial->done = true;
    dial->stream = stream;
}

/* A connection to the first side. */
static void dial_first(struct dial *dial)
{
    struct tcp_connect_options options = {.timeout_ms = 2000};
    struct tcp_connect *connect = NULL;
    assert_int_equal(net_addr_parse(sides[0].address, NET_PORT_REQUIRED, &options.to, NULL), 0);
    assert_int_equal(tcp_connect_start(&loop, &options, on_connected, dial, &connect, NULL), 0);
    AWAIT(dial->done, 2000);
}

static inline void liar_start(struct liar *liar, const struct handshake_identity *identity,
                              enum handshake_role role)
{
    memset(liar, 0, sizeof *liar);
    struct dial dial = {0};
    dial_first(&dial);
    struct peer_session_config config = {
        .loop = &loop, .caller = true, .role = role, .password = "secret", .identity = identity};
    liar->stream = dial.stream;
    liar->session = peer_session_start(dial.stream, &config, &liar_events, liar);
}

#define IN_LOOP(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

#endif
