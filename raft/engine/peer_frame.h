/* The outer frame of everything on the Raft port. PURE.
 *
 *   offset  bytes
 *        0      4  length of what follows (36 + payload)
 *        4      1  version of the frame, 2
 *        5      1  type
 *        6      2  reserved, 0
 *        8      8  id of the sender
 *       16      8  id of the receiver (0 = not known yet: handshake)
 *       24      8  cluster id (0 = none yet)
 *       32      4  CRC-32C of the payload
 *       36      4  CRC-32C of the 36 bytes before it
 *       40      .  payload
 *
 * Integers are little endian. Nothing but the version is believed before its checksum was found
 * right: TCP's sum of 16 bits misses some damage, and a damaged entry would be applied by one
 * member alone. The header has its own, or a damaged length would make us wait. Lengths are checked
 * against the reader's maximum before anything is kept. Version 1 had no checksums. */
#ifndef RAFT_ENGINE_PEER_FRAME_H
#define RAFT_ENGINE_PEER_FRAME_H

#include "base/buf.h"
#include "base/err.h"
#include "base/span.h"

#define PEER_FRAME_VERSION      2
#define PEER_FRAME_HEADER_BYTES 40
/* A snapshot fits into one frame, for who does not know pieces of it: peer_wire.c asserts that. */
#define PEER_FRAME_BYTES_MAX                 ((size_t)80 * 1024 * 1024)
#define PEER_FRAME_UNAUTHENTICATED_BYTES_MAX ((size_t)4096)
#define PEER_FRAME_CLIENT_BYTES_MAX          ((size_t)4 * 1024 * 1024) /* one command, with room */

enum peer_frame_type {
    /* handshake.h */
    PEER_FRAME_HELLO = 1,
    PEER_FRAME_CHALLENGE = 2,
    PEER_FRAME_PROOF = 3,
    PEER_FRAME_WELCOME = 4,
    PEER_FRAME_REFUSED = 5,
    /* between members, authenticated */
    PEER_FRAME_RAFT = 16,    /* payload: peer_wire.h */
    PEER_FRAME_PING = 17,    /* empty: makes a dead connection be noticed */
    PEER_FRAME_STATE = 18,   /* payload: handshake_identity, after it changed */
    PEER_FRAME_FIRST = 19,   /* payload: bootstrap.h */
    PEER_FRAME_JOIN = 20,    /* empty: add me; the session says who */
    PEER_FRAME_REMOVED = 21, /* empty, from the leader: you were removed from the group */
    PEER_FRAME_MARK = 22,    /* payload: peer_mark.h; the first on every connection */
    PEER_FRAME_PIECE = 23,   /* payload: peer_pieces.h; to who knows pieces */
    PEER_FRAME_TAKEN = 24,   /* payload: peer_pieces.h; back on the same connection */
    /* client_frame.h */
    PEER_FRAME_REQUEST = 32,
    PEER_FRAME_ANSWER = 33
};

struct peer_frame {
    enum peer_frame_type type;
    uint64_t from;
    uint64_t to;
    uint64_t cluster;
    struct span payload; /* decoded: borrowed from the input */
};

void peer_frame_encode(const struct peer_frame *frame, struct buf *out);

/* Decodes one frame from the front of `bytes`. 1: it is in `ret_frame`, and took *ret_used bytes.
 * 0: more bytes are needed. ERR_CORRUPT (checksum), ERR_INVALID, ERR_LIMIT (longer than
 * `frame_bytes_max`), ERR_UNSUPPORTED (version): no way to go on with this connection. */
int peer_frame_decode(struct span bytes, size_t frame_bytes_max, struct peer_frame *ret_frame,
                      size_t *ret_used, struct error *err) MUST_CHECK;

#endif
