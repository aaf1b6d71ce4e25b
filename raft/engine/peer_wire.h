/* One message between two members, as bytes: Raft's six, and our own adapter's (a forwarded
 * proposal, ReadIndex, its probe). The outer frame on TCP, with ids and cluster, is peer_frame.h.
 * PURE.
 *
 *   byte 0: version of this encoding, 1     byte 1: kind     byte 2: the engine's own message
 * version then term (8 bytes; 0 where it has no meaning) and the fields of the kind, little endian
 *
 * Everything is checked before it is kept: counts, lengths, and every configuration with our own
 * parser. */
#ifndef RAFT_ENGINE_PEER_WIRE_H
#define RAFT_ENGINE_PEER_WIRE_H

#include "base/buf.h"
#include "base/err.h"
#include "raft/node.h"

#define PEER_WIRE_VERSION            1
#define PEER_WIRE_ENTRIES_MAX        1024
#define PEER_WIRE_ENTRY_BYTES_MAX    (STORE_COMMAND_BYTES_MAX + 64)
#define PEER_WIRE_SNAPSHOT_BYTES_MAX STORE_SNAPSHOT_BYTES_MAX

/* PROPOSE: to the leader: one log entry's data (log_command.h). READ: to the leader: which index
 * may I read at? PROBE: from the leader: what is your term? */
#define PEER_MESSAGES(X)               \
    X(APPEND, append, 1)               \
    X(APPEND_RESULT, append_result, 2) \
    X(VOTE, vote, 3)                   \
    X(VOTE_RESULT, vote_result, 4)     \
    X(SNAPSHOT, snapshot, 5)           \
    X(TIMEOUT_NOW, timeout_now, 6)     \
    X(PROPOSE, propose, 16)            \
    X(READ, read, 17)                  \
    X(READ_RESULT, read_result, 18)    \
    X(PROBE, probe, 19)                \
    X(PROBE_RESULT, probe_result, 20)

enum peer_message_kind {
#define KIND(constant, name, number) PEER_##constant = (number),
    PEER_MESSAGES(KIND)
#undef KIND
};

struct peer_append {
    uint64_t prev_index;
    uint64_t prev_term;
    uint64_t commit;
    const struct raft_entry_rec *entries; /* index, term, type and data of each */
    size_t entry_count;
};

struct peer_append_result {
    uint64_t rejected;
    uint64_t last_index;
    uint16_t features;
    uint16_t capacity;
};

struct peer_vote {
    uint64_t candidate;
    uint64_t last_index;
    uint64_t last_term;
    bool disrupt_leader;
    bool pre_vote;
};

struct peer_vote_result {
    bool granted;
    bool pre_vote;
    uint16_t features;
    uint16_t capacity;
};

struct peer_snapshot {
    uint64_t last_index;
    uint64_t last_term;
    uint64_t configuration_index;
    struct span configuration;
    struct span data;
};

struct peer_timeout_now {
    uint64_t last_index;
    uint64_t last_term;
};

struct peer_read {
    uint64_t number;
    uint64_t index; /* PEER_READ_RESULT only */
};

struct peer_message {
    enum peer_message_kind kind;
    uint8_t version;
    uint64_t term;
    union {
        struct peer_append append;
        struct peer_append_result append_result;
        struct peer_vote vote;
        struct peer_vote_result vote_result;
        struct peer_snapshot snapshot;
        struct peer_timeout_now timeout_now;
        struct span propose;
        struct peer_read read; /* the four last kinds */
    };
};

void peer_wire_encode(const struct peer_message *message, struct buf *out);
/* Of a message that was encoded here. */
bool peer_wire_is_snapshot(struct span bytes);

/* The message borrows from `bytes` and, for its entries, from `arena`, which the caller frees. */
int peer_wire_decode(struct span bytes, struct peer_message *ret_message, struct buf *arena,
                     struct error *err) MUST_CHECK;

#endif
