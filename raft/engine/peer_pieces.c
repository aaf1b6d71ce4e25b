/* The window doubles while the queue that it makes is short, and is halved when it is long, both
 * against the election timeout: a heartbeat behind a whole window still comes in time. It begins at
 * its least with each message, for nobody knows what the link is now: 4 KiB take a quarter of a
 * second at 16 KiB a second. */
#include "raft/engine/peer_pieces.h"

#include "base/assert.h"

#include <string.h>

/* Parts of the election timeout. */
#define QUEUE_SHORT_PART 10
#define QUEUE_LONG_PART  5
#define ANSWER_SLOW_PART 4

/* --- who sends -------------------------------------------------------------------------------- */

bool peer_pieces_are_under_way(const struct peer_pieces_out *out)
{
    return out->message.len > 0;
}

void peer_pieces_start(struct peer_pieces_out *out, struct span message, int64_t now_ms)
{
    ASSERT(!peer_pieces_are_under_way(out));
    ASSERT(message.len > 0 && message.len <= PEER_PIECES_MESSAGE_BYTES_MAX);
    buf_put_span(&out->message, message);
    out->number++;
    out->sent = 0;
    out->taken = 0;
    out->timed_until = 0;
    out->moved_ms = now_ms;
    out->window = PEER_PIECES_WINDOW_BYTES_MIN;
    out->least_ms = INT64_MAX;
}

static size_t next_bytes(const struct peer_pieces_out *out)
{
    if (!peer_pieces_are_under_way(out)) {
        return 0;
    }
    size_t left = out->message.len - out->sent;
    size_t piece = out->window < PEER_PIECE_BYTES_MAX ? out->window : PEER_PIECE_BYTES_MAX;
    piece = left < piece ? left : piece;
    bool fits = out->sent - out->taken + piece <= out->window;
    return fits ? piece : 0;
}

bool peer_pieces_next(const struct peer_pieces_out *out, struct buf *ret_payload)
{
    size_t bytes = next_bytes(out);
    if (bytes == 0) {
        return false;
    }
    buf_clear(ret_payload);
    buf_put_u32(ret_payload, out->number);
    buf_put_u32(ret_payload, (uint32_t)out->message.len);
    buf_put_u32(ret_payload, (uint32_t)out->sent);
    buf_put_u8(ret_payload, PEER_FRAME_RAFT);
    buf_put(ret_payload, out->message.data + out->sent, bytes);
    return true;
}

void peer_pieces_sent(struct peer_pieces_out *out, int64_t now_ms)
{
    size_t bytes = next_bytes(out);
    ASSERT(bytes > 0);
    out->sent += bytes;
    bool window_is_full = out->sent < out->message.len && next_bytes(out) == 0;
    if (out->timed_until == 0 && window_is_full) {
        out->timed_until = out->sent;
        out->timed_ms = now_ms;
    }
}

static void window_adapt(struct peer_pieces_out *out, int64_t answer_ms, int election_timeout_ms)
{
    out->least_ms = answer_ms < out->least_ms ? answer_ms : out->least_ms;
    int64_t queue_ms = answer_ms - out->least_ms;
    if (queue_ms > election_timeout_ms / QUEUE_LONG_PART) {
        out->window /= 2;
    } else if (queue_ms <= election_timeout_ms / QUEUE_SHORT_PART &&
               answer_ms <= election_timeout_ms / ANSWER_SLOW_PART) {
        out->window *= 2;
    }
    if (out->window < PEER_PIECES_WINDOW_BYTES_MIN) {
        out->window = PEER_PIECES_WINDOW_BYTES_MIN;
    } else if (out->window > PEER_PIECES_WINDOW_BYTES_MAX) {
        out->window = PEER_PIECES_WINDOW_BYTES_MAX;
    }
}

int peer_pieces_taken(struct peer_pieces_out *out, struct span payload, int election_timeout_ms,
                      int64_t now_ms, struct error *err)
{
    struct span_reader reader = span_reader_of(payload);
    uint32_t number = span_take_u32(&reader);
    uint32_t until = span_take_u32(&reader);
    if (!span_reader_done(&reader) || !peer_pieces_are_under_way(out) || number != out->number ||
        until <= out->taken || until > out->sent) {
        return error_set(err, ERR_INVALID,
                         "%u bytes of message %u are said to be there, where %zu of message %u "
                         "were sent",
                         until, number, out->sent, out->number);
    }
    out->taken = until;
    out->moved_ms = now_ms;
    if (out->timed_until != 0 && until >= out->timed_until) {
        out->timed_until = 0;
        window_adapt(out, now_ms - out->timed_ms, election_timeout_ms);
    }
    if (until == out->message.len) {
        out->finished_ms = now_ms;
        buf_free(&out->message);
    }
    return 0;
}

void peer_pieces_out_free(struct peer_pieces_out *out)
{
    buf_free(&out->message);
    memset(out, 0, sizeof *out);
}

/* --- who gets them ---------------------------------------------------------------------------- */

struct piece {
    uint32_t number;
    uint32_t total;
    uint32_t offset;
    uint8_t type;
    struct span bytes;
};

static int piece_decode(struct span payload, struct piece *ret_piece, struct error *err)
{
    struct span_reader reader = span_reader_of(payload);
    struct piece piece = {.number = span_take_u32(&reader)};
    piece.total = span_take_u32(&reader);
    piece.offset = span_take_u32(&reader);
    piece.type = span_take_u8(&reader);
    piece.bytes = reader.rest;
    if (reader.failed || piece.bytes.len == 0) {
        return error_set(err, ERR_INVALID, "a piece of a message has no bytes");
    }
    if (piece.type != PEER_FRAME_RAFT) {
        return error_set(err, ERR_INVALID, "a frame of type %u comes in pieces", piece.type);
    }
    if (piece.total > PEER_PIECES_MESSAGE_BYTES_MAX) {
        return error_set(err, ERR_LIMIT, "a message of %u bytes in pieces where %zu are allowed",
                         piece.total, PEER_PIECES_MESSAGE_BYTES_MAX);
    }
    *ret_piece = piece;
    return 0;
}

/* Whether it is the next one. */
static int piece_check(const struct peer_pieces_in *in, const struct piece *piece,
                       struct error *err)
{
    bool open = in->total > 0;
    if (open && piece->number != in->number) {
        return error_set(err, ERR_INVALID,
                         "message %u comes in pieces while %zu of %zu bytes of message %u are here",
                         piece->number, in->message.len, in->total, in->number);
    }
    if (!open && piece->number != in->number + 1) {
        return error_set(err, ERR_INVALID, "message %u comes in pieces after message %u",
                         piece->number, in->number);
    }
    if (open && piece->total != in->total) {
        return error_set(err, ERR_INVALID, "message %u was %zu bytes long, and is %u in a piece",
                         piece->number, in->total, piece->total);
    }
    if (piece->offset != in->message.len) {
        return error_set(err, ERR_INVALID,
                         "a piece of message %u is out of order: byte %u where byte %zu is awaited",
                         piece->number, piece->offset, in->message.len);
    }
    if (piece->bytes.len > piece->total - piece->offset) {
        return error_set(err, ERR_INVALID,
                         "a piece of message %u goes beyond its end: %zu bytes from byte %u of %u",
                         piece->number, piece->bytes.len, piece->offset, piece->total);
    }
    return 0;
}

int peer_pieces_take(struct peer_pieces_in *in, struct span payload, struct buf *ret_taken,
                     struct error *err)
{
    struct piece piece = {0};
    int rc = piece_decode(payload, &piece, err);
    if (rc == 0) {
        rc = piece_check(in, &piece, err);
    }
    if (rc != 0) {
        return rc;
    }
    in->number = piece.number;
    in->total = piece.total;
    buf_put_span(&in->message, piece.bytes);
    buf_clear(ret_taken);
    buf_put_u32(ret_taken, in->number);
    buf_put_u32(ret_taken, (uint32_t)in->message.len);
    return in->message.len == in->total ? 1 : 0;
}

void peer_pieces_in_free(struct peer_pieces_in *in)
{
    buf_free(&in->message);
    in->total = 0;
}
