/* Links between members, and strangers on the Raft port. Two members' peers in one loop; strangers
 * are plain sockets or sessions that say what they like once they are in. */
#include "peer_fixture.h"

#include "raft/engine/peer_mark.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

/* What a member says of itself changes while a connection shakes hands: at its start it begins to
 * vote, or has a group. Once, at each turn of the loop. */
static void what_changes_during_the_handshake_is_told(void **state)
{
    (void)state;
    const char *to_second[] = {sides[1].address};
    const char *to_first[] = {sides[0].address};
    for (int turns = 0; turns < 16; turns++) {
        side_open(0, NULL, to_second, 1);
        side_open(1, NULL, to_first, 1);
        for (int i = 0; i < turns; i++) {
            uv_run(&loop, UV_RUN_ONCE);
        }
        struct handshake_identity identity = *peers_identity(sides[0].peers);
        identity.group_size = 7;
        peers_identity_set(sides[0].peers, &identity);
        AWAIT(peers_connected(sides[0].peers, 0x101) && peers_connected(sides[1].peers, 0x100),
              5000);
        AWAIT(peers_peer(sides[1].peers, 0x100)->group_size == 7, 2000);
        side_close(0);
        side_close(1);
    }
}

static void send_numbered(uint64_t number, size_t bytes)
{
    struct buf frame = BUF_INIT;
    buf_put_u64(&frame, number);
    static const uint8_t zeros[4096];
    while (frame.len < bytes) {
        buf_put(&frame, zeros, sizeof zeros);
    }
    peers_send(sides[0].peers, 0x101, PEER_FRAME_RAFT, buf_span(&frame));
    buf_free(&frame);
}

static void frames_arrive_in_order(void **state)
{
    (void)state;
    both_open("secret");
    for (uint64_t i = 1; i <= 2000; i++) {
        send_numbered(i, i % 50 == 0 ? 100000 : 8);
        if (i % 50 == 0) {
            uv_run(&loop, UV_RUN_NOWAIT);
        }
    }
    AWAIT(sides[1].sequence == 2000, 5000);
    assert_false(sides[1].disordered);
    assert_int_equal(sides[1].raft_frames, 2000);
    assert_true(sides[1].last_from == 0x100);
    assert_int_equal(counters_of(0).frames_dropped, 0);
}

static void a_snapshot_larger_than_the_queue_goes_through_alone(void **state)
{
    (void)state;
    both_open("secret");
    send_numbered(1, PEER_QUEUE_BYTES_MAX * 2);
    send_numbered(2, 8); /* behind so much it is dropped: the engine sends again */
    AWAIT(sides[1].raft_frames == 1, 10000);
    assert_true(sides[1].last_len >= PEER_QUEUE_BYTES_MAX * 2);
    assert_int_equal(counters_of(0).frames_dropped, 1);
    send_numbered(3, 8);
    AWAIT(sides[1].sequence == 3, 5000);
}

static void frames_to_nobody_are_dropped_and_counted(void **state)
{
    (void)state;
    both_open("secret");
    peers_send(sides[0].peers, 0x999, PEER_FRAME_RAFT, span_str("x"));
    assert_int_equal(counters_of(0).frames_dropped, 1);
}

static void a_link_is_made_again_when_the_other_side_comes_back(void **state)
{
    (void)state;
    both_open("secret");
    side_close(1);
    AWAIT(!peers_connected(sides[0].peers, 0x101), 2000);
    const char *to_first[] = {sides[0].address};
    side_open(1, "secret", to_first, 1);
    AWAIT(peers_connected(sides[0].peers, 0x101), 3000);
    send_numbered(1, 8);
    AWAIT(sides[1].sequence == 1, 2000);
}

static void an_address_that_is_named_later_is_called_and_one_not_named_any_more_let_go(void **state)
{
    (void)state;
    side_open(0, "secret", NULL, 0);
    side_open(1, "secret", NULL, 0);
    const char *addresses[] = {sides[1].address, sides[0].address, "no address"};
    peers_addresses_set(sides[0].peers, addresses, 3);
    assert_non_null(strstr(sides[0].warnings, "no address"));
    AWAIT(peers_connected(sides[0].peers, 0x101), 3000);
    peers_addresses_set(sides[0].peers, NULL, 0);
    assert_false(peers_connected(sides[0].peers, 0x101));
    AWAIT(!peers_reachable(sides[1].peers, 0x100), 3000);
}

/* partner_addrs and the store spell one member differently. */
static void two_spellings_of_one_member_give_one_connection(void **state)
{
    (void)state;
    side_open(1, "secret", NULL, 0);
    char other[64];
    snprintf(other, sizeof other, "localhost:%s", strchr(sides[1].address, ':') + 1);
    const char *partners[] = {sides[1].address, other};
    side_open(0, "secret", partners, 2);
    AWAIT(peers_connected(sides[0].peers, 0x101), 3000);
    /* The other spelling is tried again and again, and must not take the place of the first. */
    for (uint64_t until = uv_hrtime() + 2500000000u; uv_hrtime() < until;) {
        uv_run(&loop, UV_RUN_ONCE);
        assert_true(peers_connected(sides[0].peers, 0x101));
    }
    for (uint64_t i = 1; i <= 100; i++) {
        send_numbered(i, 8);
    }
    AWAIT(sides[1].sequence == 100, 2000);
    assert_string_equal(sides[0].duplicate, "");
}

/* --- strangers -------------------------------------------------------------------------------- */

static int stranger_connect(const char *from)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in local = {.sin_family = AF_INET};
    assert_int_equal(inet_pton(AF_INET, from, &local.sin_addr), 1);
    assert_int_equal(bind(fd, (struct sockaddr *)&local, sizeof local), 0);
    struct sockaddr_in remote = {.sin_family = AF_INET,
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                 .sin_port = htons((uint16_t)peers_port(sides[0].peers))};
    assert_int_equal(connect(fd, (struct sockaddr *)&remote, sizeof remote), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    return fd;
}

static bool was_closed(int fd)
{
    char byte;
    ssize_t got = recv(fd, &byte, 1, MSG_DONTWAIT);
    return got == 0 || (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK);
}

static void without_a_password_a_foreign_address_is_turned_away(void **state)
{
    (void)state;
    both_open(NULL);
    int fd = stranger_connect("127.0.0.2");
    AWAIT(was_closed(fd), 2000);
    close(fd);
    assert_true(counters_of(0).handshakes_refused > 0);
    assert_non_null(strstr(sides[0].warnings, "neither raft.password nor raft.certfile is set"));
    fd = stranger_connect("127.0.0.1"); /* a member's address may speak */
    uint64_t until = uv_hrtime() + 300000000u;
    AWAIT(uv_hrtime() > until, 2000);
    assert_false(was_closed(fd));
    close(fd);
}

static void a_strangers_long_frame_is_not_waited_for(void **state)
{
    (void)state;
    side_open(0, "secret", NULL, 0);
    int fd = stranger_connect("127.0.0.1");
    struct buf bytes = BUF_INIT;
    static const uint8_t zeros[2 * PEER_FRAME_UNAUTHENTICATED_BYTES_MAX];
    struct peer_frame frame = {.type = PEER_FRAME_HELLO, .payload = span_of(zeros, sizeof zeros)};
    peer_frame_encode(&frame, &bytes);
    assert_int_equal(send(fd, bytes.data, PEER_FRAME_HEADER_BYTES, 0), PEER_FRAME_HEADER_BYTES);
    AWAIT(was_closed(fd), 2000);
    close(fd);
    buf_free(&bytes);
}

static void a_silent_stranger_is_let_go_after_the_deadline(void **state)
{
    (void)state;
    side_open(0, "secret", NULL, 0);
    int fd = stranger_connect("127.0.0.1");
    uint64_t before = uv_hrtime();
    AWAIT(was_closed(fd), PEER_HANDSHAKE_TIMEOUT_MS + 1500);
    assert_true(uv_hrtime() - before >= (uint64_t)(PEER_HANDSHAKE_TIMEOUT_MS - 500) * 1000000);
    close(fd);
}

static void many_strangers_do_not_keep_a_member_out(void **state)
{
    (void)state;
    enum { STRANGERS = PEER_INCOMING_MAX + 20 };
    side_open(0, "secret", NULL, 0);
    int fds[STRANGERS];
    for (int i = 0; i < STRANGERS; i++) {
        fds[i] = stranger_connect("127.0.0.1");
        uv_run(&loop, UV_RUN_NOWAIT);
    }
    const char *to_first[] = {sides[0].address};
    side_open(1, "secret", to_first, 1);
    AWAIT(peers_connected(sides[1].peers, 0x100), 3000);
    AWAIT(was_closed(fds[0]), 1000);
    for (int i = 0; i < STRANGERS; i++) {
        close(fds[i]);
    }
}

/* A member that shakes hands is a stranger too: those of one other address do not push it out. */
static void strangers_of_one_address_make_room_for_each_other(void **state)
{
    (void)state;
    enum { STRANGERS = PEER_INCOMING_MAX + 20 };
    static int fds[STRANGERS];
    side_open(0, "secret", NULL, 0);
    int slow = stranger_connect("127.0.0.2");
    uv_run(&loop, UV_RUN_NOWAIT);
    for (int i = 0; i < STRANGERS; i++) {
        fds[i] = stranger_connect("127.0.0.3");
        uv_run(&loop, UV_RUN_NOWAIT);
    }
    AWAIT(was_closed(fds[0]), 1000);
    AWAIT(was_closed(fds[STRANGERS - PEER_STRANGERS_PER_ADDRESS_MAX - 1]), 1000);
    assert_false(was_closed(fds[STRANGERS - 1]));
    assert_false(was_closed(fds[STRANGERS - PEER_STRANGERS_PER_ADDRESS_MAX]));
    assert_false(was_closed(slow));
    for (int i = 0; i < STRANGERS; i++) {
        close(fds[i]);
    }
    close(slow);
}

static unsigned lines_of(const char *text)
{
    unsigned lines = 0;
    for (; *text != '\0'; text++) {
        lines += *text == '\n';
    }
    return lines;
}

/* Each comes from another port, so that no two lines are the same: the log must not grow as fast as
 * somebody can connect. */
static void many_strangers_are_not_told_of_one_by_one(void **state)
{
    (void)state;
    enum { STRANGERS = 60 };
    char rest[64];
    both_open(NULL);
    size_t before = strlen(sides[0].warnings);
    unsigned long refused = counters_of(0).handshakes_refused;
    for (int i = 0; i < STRANGERS; i++) {
        close(stranger_connect("127.0.0.2"));
        uv_run(&loop, UV_RUN_NOWAIT);
    }
    AWAIT(counters_of(0).handshakes_refused == refused + STRANGERS, 3000);
    assert_int_equal(lines_of(sides[0].warnings + before), PEER_STRANGER_WARNINGS_MAX);
    uint64_t until = uv_hrtime() + (uint64_t)(PEER_STRANGER_WARNINGS_MS + 100) * 1000000;
    AWAIT(uv_hrtime() > until, PEER_STRANGER_WARNINGS_MS + 3000);
    close(stranger_connect("127.0.0.2"));
    AWAIT(counters_of(0).handshakes_refused == refused + STRANGERS + 1, 3000);
    assert_int_equal(lines_of(sides[0].warnings + before), PEER_STRANGER_WARNINGS_MAX + 1);
    (void)snprintf(rest, sizeof rest, "(and %d more before)",
                   STRANGERS - PEER_STRANGER_WARNINGS_MAX);
    assert_non_null(strstr(sides[0].warnings, rest));
}

static void liar_send(struct liar *liar, enum peer_frame_type type, uint64_t from, uint64_t to,
                      uint64_t cluster)
{
    struct peer_frame frame = {
        .type = type, .from = from, .to = to, .cluster = cluster, .payload = span_str("12345678")};
    assert_int_equal(peer_session_send(liar->session, &frame, 4096, NULL), 0);
}

static void frames_of_another_sender_receiver_or_cluster_are_refused(void **state)
{
    (void)state;
    side_open(0, "secret", NULL, 0);
    struct handshake_identity second = identity_of(1);
    struct liar liar;
    liar_start(&liar, &second, HANDSHAKE_MEMBER);
    AWAIT(liar.open, 2000);
    liar_send(&liar, PEER_FRAME_RAFT, 0x102, 0x100, CLUSTER);
    liar_send(&liar, PEER_FRAME_RAFT, 0x101, 0x102, CLUSTER);
    liar_send(&liar, PEER_FRAME_RAFT, 0x101, 0x100, CLUSTER + 1);
    liar_send(&liar, PEER_FRAME_RAFT, 0x101, 0x100, 0);
    liar_send(&liar, PEER_FRAME_JOIN, 0x101, 0x100, CLUSTER + 1);
    liar_send(&liar, PEER_FRAME_REQUEST, 0x101, 0x100, CLUSTER);
    liar_send(&liar, PEER_FRAME_HELLO, 0x101, 0x100, CLUSTER);
    liar_send(&liar, PEER_FRAME_RAFT, 0x101, 0x100, CLUSTER);
    AWAIT(sides[0].raft_frames == 1, 2000);
    assert_int_equal(counters_of(0).frames_refused, 7);
    assert_int_equal(sides[0].controls, 0);
    assert_int_equal(sides[0].requests, 0);
    peer_session_close(liar.session, NULL, NULL);
}

/* As if somebody on the way had changed one byte. */
static void send_damaged(struct stream *stream, const struct peer_frame *frame, size_t at)
{
    struct buf bytes = BUF_INIT;
    peer_frame_encode(frame, &bytes);
    bytes.data[at] ^= 1;
    assert_int_equal(stream_write(stream, buf_span(&bytes), NULL, NULL, NULL), 0);
    buf_free(&bytes);
}

static void a_damaged_frame_ends_the_connection_and_is_counted(void **state)
{
    (void)state;
    const struct peer_frame frame = {.type = PEER_FRAME_RAFT,
                                     .from = 0x101,
                                     .to = 0x100,
                                     .cluster = CLUSTER,
                                     .payload = span_str("12345678")};
    const size_t at[] = {3, 4, 5, 9, 33, 37, PEER_FRAME_HEADER_BYTES + 2};
    side_open(0, "secret", NULL, 0);
    for (size_t i = 0; i < sizeof at / sizeof at[0]; i++) {
        struct handshake_identity second = identity_of(1);
        struct liar liar;
        liar_start(&liar, &second, HANDSHAKE_MEMBER);
        AWAIT(liar.open, 2000);
        send_damaged(liar.stream, &frame, at[i]);
        AWAIT(liar.ended, 2000);
        peer_session_close(liar.session, NULL, NULL);
        assert_int_equal(counters_of(0).frames_corrupt, i + 1);
    }
    assert_int_equal(sides[0].raft_frames, 0);
    assert_non_null(strstr(sides[0].warnings, "member 'node2' at "));
    assert_non_null(strstr(sides[0].warnings, "damaged on its way"));
    assert_int_equal(lines_of(sides[0].warnings), PEER_DAMAGE_WARNINGS_MAX);
}

/* --- a listener that is no peers -------------------------------------------------------------- */

static struct liar answering;

static void on_accept_liar(void *arg, struct stream *stream)
{
    struct handshake_identity second = identity_of(1);
    struct peer_session_config config = {
        .loop = &loop, .role = HANDSHAKE_MEMBER, .password = "secret", .identity = &second};
    (void)arg;
    if (answering.session != NULL) {
        stream_close(stream, NULL, NULL);
        return;
    }
    answering.stream = stream;
    answering.session = peer_session_start(stream, &config, &liar_events, &answering);
}

static void a_damaged_answer_ends_the_link_and_is_counted(void **state)
{
    (void)state;
    struct net_addr address;
    struct tcp_options options = {0};
    struct tcp_listener *listener = NULL;
    memset(&answering, 0, sizeof answering);
    assert_int_equal(net_addr_parse(sides[1].address, NET_PORT_REQUIRED, &address, NULL), 0);
    assert_int_equal(
        tcp_listener_start(&loop, &address, 8, &options, on_accept_liar, NULL, &listener, NULL), 0);
    const char *to_second[] = {sides[1].address};
    side_open(0, "secret", to_second, 1);
    AWAIT(peers_connected(sides[0].peers, 0x101), 3000);
    const struct peer_frame frame = {.type = PEER_FRAME_PING, .from = 0x101, .to = 0x100};
    send_damaged(answering.stream, &frame, 9);
    AWAIT(answering.ended, 2000);
    assert_false(peers_connected(sides[0].peers, 0x101));
    assert_int_equal(counters_of(0).frames_corrupt, 1);
    assert_non_null(strstr(sides[0].warnings, "member 'node2' at "));
    peer_session_close(answering.session, NULL, NULL);
    tcp_listener_stop(listener, NULL, NULL);
}

static void the_release_before_is_refused_by_both_numbers(void **state)
{
    (void)state;
    side_open(0, "secret", NULL, 0);
    int fd = stranger_connect("127.0.0.1");
    uint8_t hello[128] = {124, 0, 0, 0, 1, PEER_FRAME_HELLO};
    assert_int_equal(send(fd, hello, sizeof hello, 0), (ssize_t)sizeof hello);
    AWAIT(was_closed(fd), 2000);
    assert_non_null(strstr(sides[0].warnings, "frame of version 1 where 2 is spoken"));
    assert_int_equal(counters_of(0).frames_corrupt, 0);
    close(fd);
}

static void a_client_sends_requests_and_nothing_else(void **state)
{
    (void)state;
    side_open(0, "secret", NULL, 0);
    struct handshake_identity nobody = {.id = 0};
    struct liar liar;
    liar_start(&liar, &nobody, HANDSHAKE_CLIENT);
    AWAIT(liar.open, 2000);
    liar_send(&liar, PEER_FRAME_RAFT, 0, 0x100, CLUSTER);
    liar_send(&liar, PEER_FRAME_FIRST, 0, 0x100, CLUSTER);
    liar_send(&liar, PEER_FRAME_REQUEST, 0, 0x100, CLUSTER);
    AWAIT(sides[0].requests == 1, 2000);
    assert_int_equal(sides[0].raft_frames, 0);
    assert_int_equal(sides[0].controls, 0);
    assert_int_equal(counters_of(0).frames_refused, 2);
    peer_session_close(liar.session, NULL, NULL);
    AWAIT(sides[0].client_ends == 1, 2000);
}

static void clients_have_a_limit(void **state)
{
    (void)state;
    side_open(0, "secret", NULL, 0);
    struct handshake_identity nobody = {.id = 0};
    static struct liar liars[PEER_CLIENTS_MAX + 1];
    for (size_t i = 0; i <= PEER_CLIENTS_MAX; i++) {
        liar_start(&liars[i], &nobody, HANDSHAKE_CLIENT);
        AWAIT(liars[i].open, 2000);
    }
    AWAIT(liars[PEER_CLIENTS_MAX].ended, 2000);
    assert_false(liars[0].ended);
    assert_int_equal(counters_of(0).clients_refused, 1);
    for (size_t i = 0; i <= PEER_CLIENTS_MAX; i++) {
        peer_session_close(liars[i].session, NULL, NULL);
    }
}

static void a_new_start_of_a_member_closes_its_old_connection(void **state)
{
    (void)state;
    side_open(0, "secret", NULL, 0);
    struct handshake_identity second = identity_of(1);
    struct liar old;
    struct liar new;
    liar_start(&old, &second, HANDSHAKE_MEMBER);
    AWAIT(old.open, 2000);
    second.incarnation = 2;
    liar_start(&new, &second, HANDSHAKE_MEMBER);
    AWAIT(old.ended, 2000);
    assert_true(new.open);
    assert_int_equal(new.refused, 0);
    peer_session_close(old.session, NULL, NULL);
    peer_session_close(new.session, NULL, NULL);
}

static void an_incarnation_that_comes_back_is_a_second_process(void **state)
{
    (void)state;
    side_open(0, "secret", NULL, 0);
    struct handshake_identity second = identity_of(1);
    struct liar liars[3];
    for (size_t i = 0; i < 3; i++) {
        second.incarnation = i == 1 ? 2 : 1;
        liar_start(&liars[i], &second, HANDSHAKE_MEMBER);
        AWAIT(liars[i].open, 2000);
    }
    AWAIT(liars[1].refused == 1 && liars[2].refused == 1, 2000);
    assert_non_null(strstr(sides[0].warnings, "two processes"));
    assert_string_equal(sides[0].duplicate, ""); /* it is not us */
    for (size_t i = 0; i < 3; i++) {
        peer_session_close(liars[i].session, NULL, NULL);
    }
}

static void our_own_id_from_another_process_is_fatal(void **state)
{
    (void)state;
    side_open(0, "secret", NULL, 0);
    struct handshake_identity twin = identity_of(0);
    twin.incarnation = 99;
    struct liar liar;
    liar_start(&liar, &twin, HANDSHAKE_MEMBER);
    AWAIT(sides[0].duplicate[0] != '\0', 2000);
    peer_session_close(liar.session, NULL, NULL);
}

static void liar_mark(struct liar *liar, uint64_t term, uint64_t last, uint64_t committed)
{
    const struct raft_mark mark = {.term = term, .last = last, .committed = committed};
    struct buf payload = BUF_INIT;
    peer_mark_encode(&mark, &payload);
    struct peer_frame frame = {.type = PEER_FRAME_MARK,
                               .from = 0x101,
                               .to = 0x100,
                               .cluster = CLUSTER,
                               .payload = buf_span(&payload)};
    assert_int_equal(peer_session_send(liar->session, &frame, 4096, NULL), 0);
    buf_free(&payload);
}

/* The guard by hand: with a vote of it counted, who lacks what it once confirmed could be elected.
 */
static void who_comes_with_an_old_copy_is_told_and_not_heard(void **state)
{
    (void)state;
    static const struct raft_mark later[] = {
        {.term = 6, .last = 900, .committed = 900}, /* an older term */
        {.term = 7, .last = 899, .committed = 0},   /* entries that were committed are missing */
    };
    for (size_t i = 0; i < 2; i++) {
        side_open(0, "secret", NULL, 0);
        struct handshake_identity second = identity_of(1);
        struct liar first;
        struct liar again;
        liar_start(&first, &second, HANDSHAKE_MEMBER);
        AWAIT(first.open, 2000);
        liar_mark(&first, 7, 1000, 900);
        liar_mark(&first, 7, 950, 900); /* what was not committed may go */
        liar_send(&first, PEER_FRAME_RAFT, 0x101, 0x100, CLUSTER);
        AWAIT(sides[0].raft_frames == 1, 2000);
        second.incarnation = 2;
        liar_start(&again, &second, HANDSHAKE_MEMBER);
        AWAIT(again.open, 2000);
        liar_mark(&again, later[i].term, later[i].last, later[i].committed);
        liar_send(&again, PEER_FRAME_RAFT, 0x101, 0x100, CLUSTER);
        liar_send(&again, PEER_FRAME_JOIN, 0x101, 0x100, CLUSTER);
        AWAIT(again.refused == 1 && counters_of(0).frames_refused == 2, 2000);
        assert_int_equal(sides[0].raft_frames, 1);
        assert_int_equal(sides[0].controls, 0);
        assert_non_null(strstr(sides[0].warnings, "old copy"));
        peer_session_close(first.session, NULL, NULL);
        peer_session_close(again.session, NULL, NULL);
        side_close(0);
        sides[0].raft_frames = 0;
        sides[0].warnings[0] = '\0';
    }
}

static void a_mark_is_the_first_frame_of_a_link(void **state)
{
    (void)state;
    const struct raft_mark mark = {.term = 3, .last = 20, .committed = 10};
    const struct raft_mark less = {.term = 3, .last = 9, .committed = 9};
    both_open("secret");
    peers_mark_set(sides[0].peers, &mark);
    side_close(1);
    side_open(1, "secret", NULL, 0);
    AWAIT(peers_connected(sides[0].peers, 0x101), 5000);
    peers_mark_set(sides[0].peers, &less);
    AWAIT(sides[0].duplicate[0] != '\0', 2000);
    assert_non_null(strstr(sides[0].duplicate, "move raft.db*"));
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        IN_LOOP(what_changes_during_the_handshake_is_told),
        IN_LOOP(frames_arrive_in_order),
        IN_LOOP(a_snapshot_larger_than_the_queue_goes_through_alone),
        IN_LOOP(frames_to_nobody_are_dropped_and_counted),
        IN_LOOP(a_link_is_made_again_when_the_other_side_comes_back),
        IN_LOOP(an_address_that_is_named_later_is_called_and_one_not_named_any_more_let_go),
        IN_LOOP(two_spellings_of_one_member_give_one_connection),
        IN_LOOP(without_a_password_a_foreign_address_is_turned_away),
        IN_LOOP(a_strangers_long_frame_is_not_waited_for),
        IN_LOOP(a_silent_stranger_is_let_go_after_the_deadline),
        IN_LOOP(many_strangers_do_not_keep_a_member_out),
        IN_LOOP(strangers_of_one_address_make_room_for_each_other),
        IN_LOOP(many_strangers_are_not_told_of_one_by_one),
        IN_LOOP(frames_of_another_sender_receiver_or_cluster_are_refused),
        IN_LOOP(a_damaged_frame_ends_the_connection_and_is_counted),
        IN_LOOP(a_damaged_answer_ends_the_link_and_is_counted),
        IN_LOOP(the_release_before_is_refused_by_both_numbers),
        IN_LOOP(a_client_sends_requests_and_nothing_else),
        IN_LOOP(clients_have_a_limit),
        IN_LOOP(a_new_start_of_a_member_closes_its_old_connection),
        IN_LOOP(an_incarnation_that_comes_back_is_a_second_process),
        IN_LOOP(our_own_id_from_another_process_is_fatal),
        IN_LOOP(who_comes_with_an_old_copy_is_told_and_not_heard),
        IN_LOOP(a_mark_is_the_first_frame_of_a_link),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
