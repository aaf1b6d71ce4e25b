/* Who is at the other end: the first four frames of every connection on the Raft port, as a state
 * machine without sockets, clock or randomness.
 *
 *   caller                                   listener
 *   HELLO {role, nonce, identity}      ->
 *                                      <-    CHALLENGE {role, nonce, identity}
 *   PROOF {mac}                        ->    checks it
 *   checks it                          <-    WELCOME {mac}
 *                                            or REFUSED {code, text} at any point, and the end
 *
 *   mac = HMAC-SHA256(password, direction's label, HELLO payload, CHALLENGE payload)
 *
 * Both payloads stand whole under both macs: nonces, roles, ids, names, clusters. The password
 * never crosses the wire, a recorded mac is worth nothing with another nonce, and the two labels
 * make that a mac cannot be sent back to its maker. Without a password both macs are empty, and the
 * owner has checked the address of the caller. The password protects who may connect; it does not
 * encrypt: that is TLS below it (peer_session.h), with or without a password. */
#ifndef RAFT_ENGINE_HANDSHAKE_H
#define RAFT_ENGINE_HANDSHAKE_H

#include "raft/engine/peer_frame.h"
#include "raft/node.h"

#include <stdbool.h>

#define HANDSHAKE_NONCE_BYTES        32
#define HANDSHAKE_MAC_BYTES          32
#define HANDSHAKE_PASSWORD_BYTES_MAX 1024

enum handshake_role { HANDSHAKE_MEMBER = 1, HANDSHAKE_CLIENT = 2 };

enum handshake_flag {
    HANDSHAKE_EMPTY =
        1, /* the directory never stored a term, vote or entry, and knows no cluster */
    HANDSHAKE_ARMED_PAGE = 2, /* its fence holds an armed page: not to be counted as empty */
    HANDSHAKE_WAITING = 4,    /* not a voter yet */
    HANDSHAKE_FORMAT_2 = 8,   /* knows format 2 of the store */
    HANDSHAKE_WITNESS = 16,   /* runs no PostgreSQL */
    HANDSHAKE_PIECES = 32     /* takes large messages in pieces (peer_pieces.h) */
};

/* What a process says of itself. A client has only a name. */
struct handshake_identity {
    uint64_t id;
    uint64_t cluster;     /* 0 = none */
    uint64_t incarnation; /* random per start of the process */
    uint8_t flags;
    uint8_t group_size; /* members its configuration speaks of, itself included */
    char name[RAFT_NODE_NAME_BYTES];
    char address[RAFT_NODE_ADDRESS_BYTES];
};

void handshake_identity_encode(const struct handshake_identity *identity, struct buf *out);
int handshake_identity_decode(struct span_reader *reader, struct handshake_identity *ret_identity,
                              struct error *err) MUST_CHECK;

enum handshake_state {
    HANDSHAKE_NEW,
    HANDSHAKE_AWAIT_HELLO,     /* listener */
    HANDSHAKE_AWAIT_CHALLENGE, /* caller */
    HANDSHAKE_AWAIT_PROOF,     /* listener */
    HANDSHAKE_AWAIT_WELCOME,   /* caller */
    HANDSHAKE_DONE,
    HANDSHAKE_FAILED
};

struct handshake_config {
    bool caller;
    enum handshake_role role;
    const char *password; /* borrowed while the handshake runs; NULL or empty = none */
    uint8_t nonce[HANDSHAKE_NONCE_BYTES];
    const struct handshake_identity *identity; /* copied */
};

struct handshake {
    enum handshake_state state;
    bool caller;
    enum handshake_role role; /* ours; a listener is a member */
    enum handshake_role peer_role;
    const char *password;
    uint8_t nonce[HANDSHAKE_NONCE_BYTES];
    struct handshake_identity self;
    struct handshake_identity peer; /* to be believed in state DONE only */
    struct buf transcript; /* HELLO payload, then CHALLENGE payload, each with its length */
};

/* The caller's HELLO is appended to `out`; a listener has nothing to say yet. */
void handshake_init(struct handshake *handshake, const struct handshake_config *config,
                    struct buf *out);
void handshake_free(struct handshake *handshake);

/* One frame of the peer. 0: what is to be sent was appended to `out`; look at `state` for DONE.
 * Negative: it failed and the connection has to end, after `out` (a REFUSED frame, or nothing) was
 * sent. ERR_PERMISSION: passwords differ; ERR_CONFLICT: another cluster; ERR_REFUSED: the peer said
 * no, its words are in `err`. */
int handshake_input(struct handshake *handshake, const struct peer_frame *frame, struct buf *out,
                    struct error *err) MUST_CHECK;

/* A REFUSED frame for a connection that is turned away. */
void handshake_refuse(int code, const char *text, struct buf *out);

#endif
