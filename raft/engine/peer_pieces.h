/* A large message in pieces, so that heartbeats, votes and answers pass between them on the same
 * connection. PURE.
 *
 *   PIECE   number of the message (4 bytes: 1, 2, 3 ... of a connection), its length (4), offset of
 *           this piece (4), type of the frame that it makes (1), then the bytes of the piece
 *   TAKEN   number (4), bytes of it that are here (4): one for each piece, from who gets them
 *
 * Whoever says in its handshake that it knows pieces (HANDSHAKE_PIECES) is sent them; an older
 * release gets the whole frame. Of each connection one message is under way, in each direction one
 * buffer of its size. What is no next piece of it ends the connection, and the buffer with it.
 *
 * Bytes that are on their way delay what is sent after them, wherever they wait: in the kernel, in
 * a router. So the sender lets a window of them out, and goes by the time that a TAKEN needs:
 * beyond the least of that it is the queue. */
#ifndef RAFT_ENGINE_PEER_PIECES_H
#define RAFT_ENGINE_PEER_PIECES_H

#include "raft/engine/peer_frame.h"

#define PEER_PIECE_BYTES_MAX          ((size_t)16 * 1024)
#define PEER_PIECES_WINDOW_BYTES_MIN  ((size_t)4 * 1024)
#define PEER_PIECES_WINDOW_BYTES_MAX  ((size_t)1024 * 1024)
#define PEER_PIECES_MESSAGE_BYTES_MAX (PEER_FRAME_BYTES_MAX - PEER_FRAME_HEADER_BYTES)

/* --- who sends -------------------------------------------------------------------------------- */

/* Zeroed for a new connection. */
struct peer_pieces_out {
    struct buf message; /* under way; nothing else has a length */
    uint32_t number;
    size_t sent;
    size_t taken;
    size_t window;       /* bytes that may be sent and not taken */
    int64_t least_ms;    /* that the TAKEN of a whole window has needed */
    size_t timed_until;  /* it is being measured, for the window that ended here; 0 = it is not */
    int64_t timed_ms;    /* since when */
    int64_t moved_ms;    /* of the start, or the last TAKEN */
    int64_t finished_ms; /* of the TAKEN of the last message's end; 0 = there was none */
};

/* From the start to the TAKEN of the last piece. */
bool peer_pieces_are_under_way(const struct peer_pieces_out *out);
/* None is under way. `message` is copied. */
void peer_pieces_start(struct peer_pieces_out *out, struct span message, int64_t now_ms);
/* The payload of the next PIECE replaces `ret_payload`; false: none may go now. It counts as sent
 * with peer_pieces_sent. */
bool peer_pieces_next(const struct peer_pieces_out *out, struct buf *ret_payload);
void peer_pieces_sent(struct peer_pieces_out *out, int64_t now_ms);
/* ERR_INVALID: it takes what was not sent. */
int peer_pieces_taken(struct peer_pieces_out *out, struct span payload, int election_timeout_ms,
                      int64_t now_ms, struct error *err) MUST_CHECK;
void peer_pieces_out_free(struct peer_pieces_out *out); /* as new */

/* --- who gets them ---------------------------------------------------------------------------- */

/* Zeroed for a new connection. */
struct peer_pieces_in {
    uint32_t number; /* of the last message, whole or not */
    size_t total;    /* 0 = none is open */
    struct buf message;
};

/* 1: `message` is whole; peer_pieces_in_free before the next piece. 0: more are to come. ERR_LIMIT
 * (longer than a frame may be), ERR_INVALID: no next piece, and no way to go on. `ret_taken` gets
 * the payload of the TAKEN. */
int peer_pieces_take(struct peer_pieces_in *in, struct span payload, struct buf *ret_taken,
                     struct error *err) MUST_CHECK;
/* The message goes, its number stays. */
void peer_pieces_in_free(struct peer_pieces_in *in);

#endif
