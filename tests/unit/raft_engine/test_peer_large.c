/* Snapshots between two members in pieces, over real connections: what passes between the pieces,
 * who gets the whole frame, and what ends a connection. */
#include "peer_fixture.h"
#include "slow_link.h"

#include "raft/engine/peer_pieces.h"
#include "raft/engine/peer_set.h"
#include "raft/engine/peer_wire.h"

#include <signal.h>
#include <stdlib.h>

#define BEAT_MS     20
#define ELECTION_MS 600
#define RATE        (256 * 1024)

/* --- what passes between the pieces ----------------------------------------------------------- */

static struct slow_link slow;
static struct buf snapshot;       /* as the node encodes one */
static uint64_t gap_ns, heard_ns; /* the longest silence at the second side, and its last message */
static bool snapshot_is_here;
static unsigned beats_here;
static unsigned beats_before; /* the snapshot came through */

static void on_second_heard(struct side *side, struct span frame)
{
    (void)side;
    uint64_t now_ns = uv_hrtime();
    gap_ns = heard_ns != 0 && now_ns - heard_ns > gap_ns ? now_ns - heard_ns : gap_ns;
    heard_ns = now_ns;
    if (frame.len == snapshot.len) {
        assert_true(span_equal(frame, buf_span(&snapshot)));
        snapshot_is_here = true;
        beats_before = beats_here;
    } else {
        beats_here++;
    }
}

static void snapshot_make(size_t bytes)
{
    buf_clear(&snapshot);
    buf_put_u8(&snapshot, PEER_WIRE_VERSION);
    buf_put_u8(&snapshot, PEER_SNAPSHOT);
    while (snapshot.len < bytes) {
        buf_put_u32(&snapshot, (uint32_t)snapshot.len * 2654435761u);
    }
}

/* The first calls the second over the narrow link. */
static void over_the_slow_link(uint8_t flags_of_second)
{
    election_ms = ELECTION_MS;
    uint16_t target = (uint16_t)atoi(strchr(sides[1].address, ':') + 1);
    gap_ns = heard_ns = 0;
    snapshot_is_here = false;
    beats_here = beats_before = 0;
    slow_link_start(&slow, &loop, target);
    snprintf(sides[1].bind, sizeof sides[1].bind, "127.0.0.1:%u", target);
    snprintf(sides[1].address, sizeof sides[1].address, "127.0.0.1:%u", slow.port);
    sides[0].flags = HANDSHAKE_PIECES;
    sides[1].flags = flags_of_second;
    sides[1].on_message = on_second_heard;
    both_open("secret");
    slow.rate = RATE;
}

static void beat_while(const bool *goes_on, int limit_ms)
{
    uint64_t until_ns = uv_hrtime() + (uint64_t)limit_ms * 1000000;
    uint64_t next_ns = uv_hrtime();
    while (!*goes_on && uv_hrtime() < until_ns) {
        if (uv_hrtime() >= next_ns) {
            peers_send(sides[0].peers, 0x101, PEER_FRAME_RAFT, span_str("a heartbeat"));
            next_ns += (uint64_t)BEAT_MS * 1000000;
        }
        uv_run(&loop, UV_RUN_ONCE);
    }
}

static void slow_end(void)
{
    slow_link_stop(&slow);
    buf_free(&snapshot);
}

/* Four election timeouts for all of it: whole, nothing else would come for as long. */
static void heartbeats_pass_between_the_pieces_of_a_snapshot(void **state)
{
    (void)state;
    over_the_slow_link(HANDSHAKE_PIECES);
    snapshot_make((size_t)RATE * 4 * ELECTION_MS / 1000);
    heard_ns = uv_hrtime();
    peers_send(sides[0].peers, 0x101, PEER_FRAME_RAFT, buf_span(&snapshot));
    beat_while(&snapshot_is_here, 20000);
    assert_true(snapshot_is_here);
    print_message("longest silence %d ms, %u heartbeats before the end\n", (int)(gap_ns / 1000000),
                  beats_before);
    assert_true(gap_ns < (uint64_t)ELECTION_MS * 1000000);
    assert_int_equal(counters_of(0).frames_dropped, 0);
    assert_string_equal(sides[0].warnings, "");
    assert_string_equal(sides[1].warnings, "");
    slow_end();
}

/* Nor does it need to: its release reads no other. */
static void who_does_not_know_pieces_gets_the_whole_frame(void **state)
{
    (void)state;
    over_the_slow_link(0);
    snapshot_make((size_t)RATE * ELECTION_MS / 1000);
    peers_send(sides[0].peers, 0x101, PEER_FRAME_RAFT, buf_span(&snapshot));
    assert_false(peers_snapshot_is_under_way(sides[0].peers, 0x101));
    beat_while(&snapshot_is_here, 20000);
    assert_true(snapshot_is_here);
    assert_int_equal(beats_before, 0); /* all wait behind it */
    assert_int_equal(sides[1].raft_frames, 1 + (int)beats_here);
    assert_string_equal(sides[1].warnings, "");
    slow_end();
}

/* The engine sends it again at each heartbeat that is refused. */
static void one_snapshot_is_under_way_and_no_second_right_after_it(void **state)
{
    (void)state;
    over_the_slow_link(HANDSHAKE_PIECES);
    snapshot_make((size_t)RATE * ELECTION_MS / 1000);
    assert_false(peers_snapshot_is_under_way(sides[0].peers, 0x101));
    peers_send(sides[0].peers, 0x101, PEER_FRAME_RAFT, buf_span(&snapshot));
    assert_true(peers_snapshot_is_under_way(sides[0].peers, 0x101));
    peers_send(sides[0].peers, 0x101, PEER_FRAME_RAFT, buf_span(&snapshot));
    assert_int_equal(counters_of(0).frames_dropped, 1);
    beat_while(&snapshot_is_here, 20000);
    uint64_t here_ns = uv_hrtime();
    assert_true(peers_snapshot_is_under_way(sides[0].peers, 0x101));
    AWAIT(!peers_snapshot_is_under_way(sides[0].peers, 0x101), 5000);
    assert_true(uv_hrtime() - here_ns >= (uint64_t)(ELECTION_MS - 2 * BEAT_MS) * 1000000);
    snapshot_is_here = false;
    peers_send(sides[0].peers, 0x101, PEER_FRAME_RAFT, buf_span(&snapshot));
    beat_while(&snapshot_is_here, 20000);
    assert_true(snapshot_is_here);
    slow_end();
}

/* What was there of it is of no use to the next process, and is not kept. */
static void half_a_snapshot_goes_with_its_connection(void **state)
{
    (void)state;
    over_the_slow_link(HANDSHAKE_PIECES);
    snapshot_make((size_t)RATE * 2 * ELECTION_MS / 1000);
    peers_send(sides[0].peers, 0x101, PEER_FRAME_RAFT, buf_span(&snapshot));
    uint64_t passed = slow.passed;
    AWAIT(slow.passed > passed + snapshot.len / 2, 10000);
    slow_pair_close(&slow.pairs[0]); /* the second's call of its own address has ended long ago */
    AWAIT(!peers_connected(sides[0].peers, 0x101), 2000);
    assert_false(peers_snapshot_is_under_way(sides[0].peers, 0x101));
    AWAIT(peers_connected(sides[0].peers, 0x101), 5000);
    assert_false(snapshot_is_here);
    slow.rate = 0;
    peers_send(sides[0].peers, 0x101, PEER_FRAME_RAFT, buf_span(&snapshot));
    AWAIT(snapshot_is_here, 10000);
    assert_int_equal(sides[1].raft_frames, 1);
    assert_string_equal(sides[1].warnings, "");
    slow_end();
}

static void the_largest_snapshot_comes_through(void **state)
{
    (void)state;
    sides[0].flags = sides[1].flags = HANDSHAKE_PIECES;
    snapshot_is_here = false;
    sides[1].on_message = on_second_heard;
    both_open("secret");
    snapshot_make(PEER_PIECES_MESSAGE_BYTES_MAX - 4);
    peers_send(sides[0].peers, 0x101, PEER_FRAME_RAFT, buf_span(&snapshot));
    AWAIT(snapshot_is_here, 60000);
    assert_int_equal(counters_of(0).frames_dropped, 0);
    buf_free(&snapshot);
}

/* --- callers that are in, and lie ------------------------------------------------------------- */

struct told {
    uint32_t number;
    uint32_t total;
    uint32_t offset;
    uint8_t type;
    uint32_t bytes;
};

static void liar_piece(struct liar *liar, const struct told *told)
{
    static const uint8_t zeros[64];
    struct buf payload = BUF_INIT;
    buf_put_u32(&payload, told->number);
    buf_put_u32(&payload, told->total);
    buf_put_u32(&payload, told->offset);
    buf_put_u8(&payload, told->type);
    buf_put(&payload, zeros, told->bytes);
    struct peer_frame frame = {.type = PEER_FRAME_PIECE,
                               .from = 0x101,
                               .to = 0x100,
                               .cluster = CLUSTER,
                               .payload = buf_span(&payload)};
    assert_int_equal(peer_session_send(liar->session, &frame, 4096, NULL), 0);
    buf_free(&payload);
}

static void liar_opens(struct liar *liar)
{
    struct handshake_identity second = identity_of(1);
    liar_start(liar, &second, HANDSHAKE_MEMBER);
    AWAIT(liar->open, 2000);
}

static void what_is_no_next_piece_ends_the_connection_and_says_why(void **state)
{
    (void)state;
    static const struct told first = {1, 30, 0, PEER_FRAME_RAFT, 10};
    static const struct {
        bool after_first;
        struct told told;
        const char *why;
    } cases[] = {
        {true, {1, 30, 20, PEER_FRAME_RAFT, 10}, "out of order: byte 20 where byte 10 is awaited"},
        {true, {1, 30, 0, PEER_FRAME_RAFT, 10}, "out of order: byte 0 where byte 10 is awaited"},
        {true, {1, 30, 10, PEER_FRAME_RAFT, 21}, "goes beyond its end"},
        {true, {2, 30, 0, PEER_FRAME_RAFT, 10}, "while 10 of 30 bytes of message 1 are here"},
        {true, {1, 31, 10, PEER_FRAME_RAFT, 10}, "was 30 bytes long, and is 31"},
        {true, {1, 30, 10, PEER_FRAME_MARK, 10}, "a frame of type 22 comes in pieces"},
        {true, {1, 30, 10, PEER_FRAME_RAFT, 0}, "has no bytes"},
        {false, {1, 30, 10, PEER_FRAME_RAFT, 10}, "out of order"},
        {false, {0, 30, 0, PEER_FRAME_RAFT, 10}, "message 0 comes in pieces after message 0"},
        {false, {2, 30, 0, PEER_FRAME_RAFT, 10}, "message 2 comes in pieces after message 0"},
        {false, {1, 0, 0, PEER_FRAME_RAFT, 10}, "goes beyond its end"},
        {false, {1, 30, 0, PEER_FRAME_JOIN, 10}, "a frame of type 20 comes in pieces"},
        {false, {1, UINT32_MAX, 0, PEER_FRAME_RAFT, 10}, "are allowed"},
        {false, {1, PEER_PIECES_MESSAGE_BYTES_MAX + 1, 0, PEER_FRAME_RAFT, 10}, "are allowed"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        side_open(0, "secret", NULL, 0);
        struct liar liar;
        liar_opens(&liar);
        if (cases[i].after_first) {
            liar_piece(&liar, &first);
            AWAIT(liar.taken == 1, 2000);
        }
        liar_piece(&liar, &cases[i].told);
        AWAIT(liar.ended, 2000);
        if (strstr(sides[0].warnings, cases[i].why) == NULL ||
            strstr(sides[0].warnings, "member 'node2' at ") == NULL) {
            fail_msg("%zu: %s", i, sides[0].warnings);
        }
        assert_int_equal(counters_of(0).frames_refused, 1);
        assert_int_equal(sides[0].raft_frames, 0);
        peer_session_close(liar.session, NULL, NULL);
        side_close(0);
        sides[0].warnings[0] = '\0';
    }
}

/* Of another cluster they are no pieces of ours; from a client nothing but requests is heard. */
static void pieces_are_heard_from_members_of_this_cluster_alone(void **state)
{
    (void)state;
    struct told told = {1, 10, 0, PEER_FRAME_RAFT, 10};
    struct handshake_identity nobody = {.id = 0};
    struct liar liar;
    side_open(0, "secret", NULL, 0);
    liar_start(&liar, &nobody, HANDSHAKE_CLIENT);
    AWAIT(liar.open, 2000);
    liar_piece(&liar, &told);
    AWAIT(counters_of(0).frames_refused == 1, 2000);
    peer_session_close(liar.session, NULL, NULL);
    liar_opens(&liar);
    struct peer_frame frame = {.type = PEER_FRAME_PIECE,
                               .from = 0x101,
                               .to = 0x100,
                               .cluster = CLUSTER + 1,
                               .payload = span_str("1234567890123456")};
    assert_int_equal(peer_session_send(liar.session, &frame, 4096, NULL), 0);
    AWAIT(counters_of(0).frames_refused == 2, 2000);
    frame.type = PEER_FRAME_TAKEN; /* nothing goes out on a connection that was made to us */
    frame.cluster = CLUSTER;
    assert_int_equal(peer_session_send(liar.session, &frame, 4096, NULL), 0);
    AWAIT(counters_of(0).frames_refused == 3, 2000);
    liar_piece(&liar, &told);
    AWAIT(sides[0].raft_frames == 1, 2000);
    assert_int_equal(sides[0].last_len, 10);
    AWAIT(liar.taken == 1, 2000);
    assert_false(liar.ended);
    peer_session_close(liar.session, NULL, NULL);
}

/* With each connection again, and the log is not filled with it. */
static void a_taken_of_what_was_not_sent_is_told_a_few_times(void **state)
{
    (void)state;
    enum { ROUNDS = PEER_DAMAGE_WARNINGS_MAX + 2 };
    static const char why[] = "a snapshot in pieces: ";
    int lines = 0;
    both_open("secret");
    for (int i = 0; i < ROUNDS; i++) {
        AWAIT(peers_connected(sides[0].peers, 0x101), 10000);
        AWAIT(peer_incoming_of(sides[1].peers, 0x100, NULL) != NULL, 10000);
        uint64_t refused = counters_of(0).frames_refused;
        peers_session_send(sides[1].peers, peer_incoming_of(sides[1].peers, 0x100, NULL)->session,
                           PEER_FRAME_TAKEN, span_str("12345678"));
        AWAIT(counters_of(0).frames_refused > refused, 2000);
        AWAIT(peer_incoming_of(sides[1].peers, 0x100, NULL) == NULL, 2000);
    }
    for (const char *at = sides[0].warnings; (at = strstr(at, why)) != NULL; at++) {
        lines++;
    }
    assert_int_equal(lines, PEER_DAMAGE_WARNINGS_MAX);
    assert_non_null(strstr(sides[0].warnings, "member 'node2' at "));
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        IN_LOOP(heartbeats_pass_between_the_pieces_of_a_snapshot),
        IN_LOOP(who_does_not_know_pieces_gets_the_whole_frame),
        IN_LOOP(one_snapshot_is_under_way_and_no_second_right_after_it),
        IN_LOOP(half_a_snapshot_goes_with_its_connection),
        IN_LOOP(the_largest_snapshot_comes_through),
        IN_LOOP(what_is_no_next_piece_ends_the_connection_and_says_why),
        IN_LOOP(a_taken_of_what_was_not_sent_is_told_a_few_times),
        IN_LOOP(pieces_are_heard_from_members_of_this_cluster_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
