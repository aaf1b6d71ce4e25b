/* What libraft 0.22.1 gets wrong and we stop outside of it (docs/consensus.md, "Guards"; the
 * numbers are those used there). Each guard is one function that either changes what goes into or
 * comes out of raft_step, or says that a message must be dropped. They are small so that each can
 * be shown to matter: a test switches one off by its bit in `off`, and fails. In production `off`
 * is always 0.
 *
 * G2 (split at a CHANGE) and G13 (time, batches, terms) live in the receive and submit paths; G11
 * in configuration.h; G12 is the absence of spares and GUARD_REARM_MS_MIN. */
#ifndef RAFT_ENGINE_GUARDS_H
#define RAFT_ENGINE_GUARDS_H

#include "raft/engine/configuration.h"
#include "raft/engine/peer_wire.h"

#include <raft.h>

#define GUARD_BIT(number) (1U << (number))

/* G12: the engine's timeout can stay in the past after a demotion; never spin on it. */
#define GUARD_REARM_MS_MIN 1

/* G4: candidate of the vote request that we make up; no member has this id, and its answer is never
 * sent. */
#define GUARD_PHANTOM_ID UINT64_MAX

/* What the guards look at, beside the engine. */
struct guards {
    unsigned off;            /* tests only */
    uint64_t snapshot_index; /* of the engine's trail: newest snapshot taken, or being installed */
    uint64_t snapshot_term;
    bool installing;
    bool change_open;           /* a CHANGE is in the log and not applied */
    uint64_t leader_contact_ms; /* last accepted AppendEntries or InstallSnapshot */
    uint64_t now_ms;
    struct configuration newest; /* the last CHANGE of the log, committed or not */
};

/* G1: the answer to an AppendEntries or InstallSnapshot of an older term carries an uninitialised
 * index. */
void guard_stale_answer(const struct guards *guards, bool message_was_stale,
                        struct raft_message *out);

/* G2: how many of the entries from `start` on may go into one RECEIVE: a CHANGE always starts its
 * own. */
size_t guard_split_at_change(const struct guards *guards, const struct peer_append *append,
                             size_t start);

/* G3: entries below our own snapshot are cut off the message, which then hangs on the snapshot
 * itself. */
void guard_anchor_at_snapshot(const struct guards *guards, struct peer_append *append);

/* G4, at the start: the term and vote of a boot whose only voter is `id`. True if they were
 * changed. */
bool guard_single_voter_boot(const struct guards *guards, uint64_t id, uint64_t *term,
                             uint64_t *voted_for);
/* G4, before a TIMEOUT: true if a follower is about to elect itself without a new term; then step
 * `ret_message` first. */
bool guard_single_voter_timeout(const struct guards *guards, const struct raft *raft,
                                struct raft_message *ret_message);

/* G5, G6, G7, G8, G15: true if the message must not reach the engine. G8 may correct it instead. */
bool guard_drops(const struct guards *guards, const struct raft *raft, uint64_t from,
                 struct peer_message *message);

/* G9: a refused pre-vote tells the term that the candidate needs to get past. */
void guard_refused_pre_vote(const struct guards *guards, const struct raft *raft,
                            struct raft_message *out);

/* G10: for one step of a RequestVote. Begin before, end right after raft_step, before any effect.
 */
struct guard_vote {
    bool active;
    struct raft_configuration saved;
    struct raft_server self;
    char label[CONFIGURATION_LABEL_BYTES];
};
void guard_vote_begin(const struct guards *guards, struct raft *raft, struct raft_message *message,
                      struct guard_vote *vote);
void guard_vote_end(struct raft *raft, struct guard_vote *vote);

/* G14: a CHANGE may go in only if the newest committed entry, of `commit_term`, is of this leader's
 * term. */
bool guard_change_allowed(const struct guards *guards, const struct raft *raft,
                          uint64_t commit_term);
/* G15: no leadership transfer while a CHANGE is open. */
bool guard_transfer_allowed(const struct guards *guards);

/* G16, before a TIMEOUT that is due: a candidate that was not elected asks with a pre-vote again.
 */
void guard_pre_vote_again(const struct guards *guards, struct raft *raft);

#endif
