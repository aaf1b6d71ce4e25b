/* First start: what a member with an empty directory does, as a function of what its partners say.
 * PURE.
 *
 * Nothing is ever made twice: the one member that makes a group stores it before it tells anybody,
 * and an empty directory that hears of a group joins it. So two wiped members of three find the
 * third one's group, or wait. */
#ifndef RAFT_ENGINE_BOOTSTRAP_H
#define RAFT_ENGINE_BOOTSTRAP_H

#include "raft/engine/peer.h"

#define BOOTSTRAP_TEXT_BYTES 512

enum bootstrap_action {
    BOOTSTRAP_WAIT,   /* `text` says for whom or what */
    BOOTSTRAP_CREATE, /* make the group of `ids`: this member alone may do it */
    BOOTSTRAP_JOIN    /* `cluster` exists */
};

struct bootstrap_decision {
    enum bootstrap_action action;
    uint64_t cluster;
    uint64_t ids[STORE_MEMBERS_MAX];
    size_t id_count;
    char text[BOOTSTRAP_TEXT_BYTES];
};

/* `peers` as peers_each shows them. `self` has the flags of our own directory. */
void bootstrap_decide(const struct handshake_identity *self, const struct peer_view *peers,
                      size_t count, struct bootstrap_decision *ret_decision);

/* Payload of PEER_FRAME_FIRST: cluster id and the ids of the first configuration. */
struct bootstrap_first {
    uint64_t cluster;
    uint64_t ids[STORE_MEMBERS_MAX];
    size_t id_count;
};

void bootstrap_first_encode(const struct bootstrap_first *first, struct buf *out);
int bootstrap_first_decode(struct span payload, struct bootstrap_first *ret_first,
                           struct error *err) MUST_CHECK;
/* Whether `self`, still empty, may store it: it is in it, and it has the size that our
 * configuration speaks of. */
int bootstrap_first_check(const struct bootstrap_first *first,
                          const struct handshake_identity *self, struct error *err) MUST_CHECK;

#endif
