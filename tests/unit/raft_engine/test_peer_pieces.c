/* A message in pieces, by hand: what goes out when, what is put together, what is refused, and the
 * bytes of both frames (tests/golden/raft). The link is a rate, a delay and a queue. */
#include "raft/engine/peer_pieces.h"

#include "base/mem.h"
#include "tests/harness/golden.h"

#define ELECTION_MS 1000

static struct span bytes_of(size_t len)
{
    static struct buf bytes = BUF_INIT;
    while (bytes.len < len) {
        buf_put_u32(&bytes, (uint32_t)bytes.len * 2654435761u);
    }
    return span_of(bytes.data, len);
}

/* --- a link ----------------------------------------------------------------------------------- */

struct link {
    int64_t rate;     /* bytes a second */
    int64_t delay_ms; /* of both ways together */
    int64_t now_ms;
    int64_t free_us; /* what was sent so far has gone by then */
    int64_t queue_ms_max;
    int64_t took_ms;
};

/* One message over it; each piece is taken when it is through. */
static void send_over(struct link *link, size_t bytes)
{
    struct peer_pieces_out out = {0};
    struct peer_pieces_in in = {0};
    struct buf piece = BUF_INIT;
    struct {
        int64_t due_us;
        uint8_t taken[8];
    } *back = mem_new_array(__typeof__(*back), 4096);
    size_t first = 0;
    size_t last = 0;
    int64_t began_ms = link->now_ms;
    struct error err = {0};
    peer_pieces_start(&out, bytes_of(bytes), link->now_ms);
    while (peer_pieces_are_under_way(&out)) {
        while (peer_pieces_next(&out, &piece)) {
            struct buf taken = BUF_INIT;
            peer_pieces_sent(&out, link->now_ms);
            int64_t now_us = link->now_ms * 1000;
            link->free_us = link->free_us < now_us ? now_us : link->free_us;
            link->free_us += (int64_t)piece.len * 1000000 / link->rate;
            int64_t queue_ms = (link->free_us - now_us) / 1000;
            link->queue_ms_max = queue_ms > link->queue_ms_max ? queue_ms : link->queue_ms_max;
            assert_int_equal(peer_pieces_take(&in, buf_span(&piece), &taken, &err),
                             out.sent == bytes ? 1 : 0);
            back[last % 4096].due_us = link->free_us + link->delay_ms * 1000;
            memcpy(back[last++ % 4096].taken, taken.data, 8);
            buf_free(&taken);
        }
        assert_true(last > first && last - first < 4096);
        if (back[first % 4096].due_us > link->now_ms * 1000) {
            link->now_ms++;
            continue;
        }
        assert_int_equal(peer_pieces_taken(&out, span_of(back[first % 4096].taken, 8), ELECTION_MS,
                                           link->now_ms, &err),
                         0);
        first++;
    }
    assert_true(first == last);
    assert_true(span_equal(buf_span(&in.message), bytes_of(bytes)));
    assert_true(out.finished_ms == link->now_ms);
    link->took_ms = link->now_ms - began_ms;
    peer_pieces_out_free(&out);
    peer_pieces_in_free(&in);
    buf_free(&piece);
    mem_free(back);
}

/* What is sent behind what is out waits less than an election timeout, by far; and what the link
 * can carry is used. */
static void the_window_suits_the_link(void **state)
{
    (void)state;
    static const struct {
        int64_t rate;
        int64_t delay_ms;
        size_t bytes;
        int64_t queue_ms_max;
        int64_t took_ms_max;
    } cases[] = {
        {16 * 1024, 10, 256 * 1024, 550, 20000},  /* the slowest that is meant */
        {16 * 1024, 200, 256 * 1024, 550, 32000}, /* and far away */
        {64 * 1024, 10, 1024 * 1024, 400, 18000},
        {64 * 1024, 100, 1024 * 1024, 400, 24000},
        {256 * 1024, 10, 2 * 1024 * 1024, 400, 9000},
        {1024 * 1024, 50, 8 * 1024 * 1024, 400, 10000},
        {12 * 1024 * 1024, 100, 32 * 1024 * 1024, 400, 6000},
        {100 * 1024 * 1024, 1, 32 * 1024 * 1024, 100, 1000},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct link link = {.rate = cases[i].rate, .delay_ms = cases[i].delay_ms, .now_ms = 1000};
        send_over(&link, cases[i].bytes);
        print_message("%lld B/s, %lld ms: %lld ms of queue, %lld ms\n", (long long)link.rate,
                      (long long)link.delay_ms, (long long)link.queue_ms_max,
                      (long long)link.took_ms);
        assert_true(link.queue_ms_max <= cases[i].queue_ms_max);
        assert_true(link.took_ms <= cases[i].took_ms_max);
    }
}

/* A link that gets narrow while a message is under way: the window follows. */
static void the_window_follows_a_link_that_gets_slow(void **state)
{
    (void)state;
    struct peer_pieces_out out = {0};
    struct buf piece = BUF_INIT;
    size_t sent = 0;
    int64_t now_ms = 0;
    struct error err = {0};
    peer_pieces_start(&out, bytes_of(64u * 1024 * 1024), now_ms);
    for (int i = 0; i < 64; i++) {
        while (peer_pieces_next(&out, &piece)) {
            peer_pieces_sent(&out, now_ms);
        }
        assert_true(out.sent - out.taken <= out.window);
        sent = out.sent;
        now_ms += i < 32 ? 1 : 400;
        struct buf taken = BUF_INIT;
        buf_put_u32(&taken, 1);
        buf_put_u32(&taken, (uint32_t)sent);
        assert_int_equal(peer_pieces_taken(&out, buf_span(&taken), ELECTION_MS, now_ms, &err), 0);
        buf_free(&taken);
        if (i == 31) {
            assert_true(out.window == PEER_PIECES_WINDOW_BYTES_MAX);
        }
    }
    assert_true(out.window == PEER_PIECES_WINDOW_BYTES_MIN);
    peer_pieces_out_free(&out);
    buf_free(&piece);
}

/* What was measured for one message is not of the next, hours later: the link may be another. */
static void each_message_begins_with_the_least_window(void **state)
{
    (void)state;
    struct peer_pieces_out out = {0};
    struct buf piece = BUF_INIT;
    struct error err = {0};
    const size_t bytes = 4u * 1024 * 1024;
    int64_t now_ms = 0;
    peer_pieces_start(&out, bytes_of(bytes), now_ms);
    while (peer_pieces_are_under_way(&out)) {
        struct buf taken = BUF_INIT;
        while (peer_pieces_next(&out, &piece)) {
            peer_pieces_sent(&out, now_ms);
        }
        now_ms++;
        buf_put_u32(&taken, 1);
        buf_put_u32(&taken, (uint32_t)out.sent);
        assert_int_equal(peer_pieces_taken(&out, buf_span(&taken), ELECTION_MS, now_ms, &err), 0);
        buf_free(&taken);
    }
    assert_true(out.window > PEER_PIECES_WINDOW_BYTES_MIN && out.least_ms == 1);
    peer_pieces_start(&out, bytes_of(bytes), now_ms + 3600000);
    assert_int_equal(out.window, PEER_PIECES_WINDOW_BYTES_MIN);
    assert_true(out.least_ms == INT64_MAX);
    peer_pieces_out_free(&out);
    buf_free(&piece);
}

/* --- both ends -------------------------------------------------------------------------------- */

/* Around the sizes where pieces end. */
static void a_message_of_any_length_comes_whole(void **state)
{
    (void)state;
    struct link link = {.rate = 100 * 1024 * 1024, .delay_ms = 1, .now_ms = 1000};
    const size_t edges[] = {PEER_PIECES_WINDOW_BYTES_MIN, PEER_PIECE_BYTES_MAX,
                            3 * PEER_PIECE_BYTES_MAX};
    for (size_t len = 1; len < 40; len++) {
        send_over(&link, len);
    }
    for (size_t i = 0; i < sizeof edges / sizeof edges[0]; i++) {
        for (size_t len = edges[i] - 2; len < edges[i] + 3; len++) {
            send_over(&link, len);
        }
    }
}

static void messages_are_numbered_one_after_another(void **state)
{
    (void)state;
    struct peer_pieces_out out = {0};
    struct peer_pieces_in in = {0};
    struct buf piece = BUF_INIT;
    struct buf taken = BUF_INIT;
    struct error err = {0};
    for (uint32_t number = 1; number < 4; number++) {
        peer_pieces_start(&out, bytes_of(100), 1000);
        assert_true(peer_pieces_next(&out, &piece));
        peer_pieces_sent(&out, 1000);
        assert_false(peer_pieces_next(&out, &piece) && piece.len > 0);
        assert_int_equal(peer_pieces_take(&in, buf_span(&piece), &taken, &err), 1);
        peer_pieces_in_free(&in);
        assert_int_equal(peer_pieces_taken(&out, buf_span(&taken), ELECTION_MS, 1001, &err), 0);
        assert_int_equal(out.number, number);
        assert_int_equal(in.number, number);
        assert_false(peer_pieces_are_under_way(&out));
        assert_int_equal(peer_pieces_take(&in, buf_span(&piece), &taken, &err), ERR_INVALID);
    }
    peer_pieces_out_free(&out);
    peer_pieces_in_free(&in);
    buf_free(&piece);
    buf_free(&taken);
}

/* What is refused changes nothing. */
static void a_refused_piece_leaves_what_is_there(void **state)
{
    (void)state;
    struct peer_pieces_in in = {0};
    struct buf taken = BUF_INIT;
    struct error err = {0};
    static const uint8_t first[] = {1, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, PEER_FRAME_RAFT, 'a', 'b'};
    static const uint8_t second[] = {1, 0, 0, 0, 4, 0, 0, 0, 2, 0, 0, 0, PEER_FRAME_RAFT, 'c', 'd'};
    assert_int_equal(peer_pieces_take(&in, span_of(first, sizeof first), &taken, &err), 0);
    for (size_t at = 0; at < 13; at++) { /* each byte of the head, to each value */
        for (unsigned value = 0; value < 256; value++) {
            uint8_t bytes[sizeof second];
            memcpy(bytes, second, sizeof second);
            bytes[at] = (uint8_t)value;
            if (value == second[at]) {
                continue;
            }
            int rc = peer_pieces_take(&in, span_of(bytes, sizeof bytes), &taken, &err);
            assert_true(rc == ERR_INVALID || rc == ERR_LIMIT);
            assert_true(in.message.len == 2 && in.total == 4 && in.number == 1);
        }
    }
    for (size_t len = 0; len < 14; len++) { /* cut */
        assert_int_equal(peer_pieces_take(&in, span_of(second, len), &taken, &err), ERR_INVALID);
    }
    assert_int_equal(peer_pieces_take(&in, span_of(second, sizeof second), &taken, &err), 1);
    assert_true(span_equal_str(buf_span(&in.message), "abcd"));
    peer_pieces_in_free(&in);
    buf_free(&taken);
}

static void what_is_taken_was_sent_before_and_not_taken_yet(void **state)
{
    (void)state;
    struct peer_pieces_out out = {0};
    struct buf piece = BUF_INIT;
    struct error err = {0};
    static const struct {
        uint32_t number;
        uint32_t until;
        int rc;
    } rows[] = {{1, 0, ERR_INVALID},    {1, 4097, ERR_INVALID}, {0, 4096, ERR_INVALID},
                {2, 4096, ERR_INVALID}, {1, 4000, 0},           {1, 4000, ERR_INVALID},
                {1, 3999, ERR_INVALID}, {1, 4096, 0},           {1, 4096, ERR_INVALID}};
    peer_pieces_start(&out, bytes_of(100000), 1000);
    assert_true(peer_pieces_next(&out, &piece));
    peer_pieces_sent(&out, 1000);
    assert_int_equal(out.sent, 4096);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf taken = BUF_INIT;
        buf_put_u32(&taken, rows[i].number);
        buf_put_u32(&taken, rows[i].until);
        assert_int_equal(peer_pieces_taken(&out, buf_span(&taken), ELECTION_MS, 1001, &err),
                         rows[i].rc);
        buf_put_u8(&taken, 0);
        assert_int_equal(peer_pieces_taken(&out, buf_span(&taken), ELECTION_MS, 1001, &err),
                         ERR_INVALID);
        buf_free(&taken);
    }
    peer_pieces_out_free(&out);
    assert_int_equal(peer_pieces_taken(&out, span_str("\1\0\0\0\0\0\0\0"), ELECTION_MS, 1, &err),
                     ERR_INVALID);
    buf_free(&piece);
}

static void bytes_of_a_piece_and_its_answer_are_fixed(void **state)
{
    (void)state;
    struct peer_pieces_out out = {.number = 0x01020303};
    struct peer_pieces_in in = {.number = 0x01020303};
    struct buf piece = BUF_INIT;
    struct buf taken = BUF_INIT;
    struct buf frame = BUF_INIT;
    struct error err = {0};
    peer_pieces_start(&out, span_str("a state in pieces"), 1000);
    out.window = 7; /* small pieces */
    for (int i = 0; i < 2; i++) {
        assert_true(peer_pieces_next(&out, &piece));
        peer_pieces_sent(&out, 1000);
        assert_int_equal(peer_pieces_take(&in, buf_span(&piece), &taken, &err), 0);
        out.taken = out.sent;
    }
    struct peer_frame both[] = {
        {PEER_FRAME_PIECE, 1, 2, 3, buf_span(&piece)},
        {PEER_FRAME_TAKEN, 2, 1, 3, buf_span(&taken)},
    };
    peer_frame_encode(&both[0], &frame);
    golden_hex("tests/golden/raft/piece.hex", frame.data, frame.len, "");
    buf_clear(&frame);
    peer_frame_encode(&both[1], &frame);
    golden_hex("tests/golden/raft/taken.hex", frame.data, frame.len, "");
    peer_pieces_out_free(&out);
    peer_pieces_in_free(&in);
    buf_free(&piece);
    buf_free(&taken);
    buf_free(&frame);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_window_suits_the_link),
        cmocka_unit_test(the_window_follows_a_link_that_gets_slow),
        cmocka_unit_test(each_message_begins_with_the_least_window),
        cmocka_unit_test(a_message_of_any_length_comes_whole),
        cmocka_unit_test(messages_are_numbered_one_after_another),
        cmocka_unit_test(a_refused_piece_leaves_what_is_there),
        cmocka_unit_test(what_is_taken_was_sent_before_and_not_taken_yet),
        cmocka_unit_test(bytes_of_a_piece_and_its_answer_are_fixed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
