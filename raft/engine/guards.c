#include "raft/engine/guards.h"

#include "base/assert.h"

#include <string.h>

static bool is_off(const struct guards *guards, unsigned number)
{
    return (guards->off & GUARD_BIT(number)) != 0;
}

/* A re-elected leader would clamp the garbage to its own last index and count it as stored: a
 * commit without replication. Zero is always true: "I confirm nothing". */
void guard_stale_answer(const struct guards *guards, bool message_was_stale,
                        struct raft_message *out)
{
    if (is_off(guards, 1) || !message_was_stale || out->type != RAFT_APPEND_ENTRIES_RESULT) {
        return;
    }
    out->append_entries_result.last_log_index = 0;
}

/* The engine records every CHANGE under the index of the first new entry. After a truncation the
 * node would keep a deleted configuration, or never confirm a committed one. */
size_t guard_split_at_change(const struct guards *guards, const struct peer_append *append,
                             size_t start)
{
    size_t end = start + 1;
    if (is_off(guards, 2)) {
        return append->entry_count - start;
    }
    while (end < append->entry_count && append->entries[end].type != RAFT_CHANGE) {
        end++;
    }
    return end - start;
}

/* Everything up to a snapshot is committed and equal on both sides, so the cut entries need no
 * comparison. Without this the engine, which has forgotten their terms, stores them again from the
 * front and reads beyond its array. */
void guard_anchor_at_snapshot(const struct guards *guards, struct peer_append *append)
{
    if (is_off(guards, 3) || append->prev_index >= guards->snapshot_index) {
        return;
    }
    uint64_t known = guards->snapshot_index - append->prev_index;
    size_t cut = known < append->entry_count ? (size_t)known : append->entry_count;
    append->entries = append->entry_count == cut ? NULL : append->entries + cut;
    append->entry_count -= cut;
    append->prev_index = guards->snapshot_index;
    append->prev_term = guards->snapshot_term;
}

/* A group of one leads again after a restart without a new term: other entries under the same index
 * and term than those it may have sent to a standby before it crashed. */
bool guard_single_voter_boot(const struct guards *guards, uint64_t id, uint64_t *term,
                             uint64_t *voted_for)
{
    if (is_off(guards, 4) || !configuration_only_voter(&guards->newest, id)) {
        return false;
    }
    *term += 1;
    *voted_for = id;
    return true;
}

bool guard_single_voter_timeout(const struct guards *guards, const struct raft *raft,
                                struct raft_message *ret_message)
{
    if (is_off(guards, 4) || raft->state != RAFT_FOLLOWER ||
        !configuration_only_voter(&guards->newest, raft->id)) {
        return false;
    }
    memset(ret_message, 0, sizeof(*ret_message));
    ret_message->type = RAFT_REQUEST_VOTE;
    ret_message->server_id = GUARD_PHANTOM_ID;
    ret_message->server_address = "";
    ret_message->request_vote = (struct raft_request_vote){
        .version = 2,
        .term = raft_current_term(raft) + 1,
        .candidate_id = GUARD_PHANTOM_ID,
        .disrupt_leader = true,
    };
    return true;
}

/* G5: the engine leaks the second snapshot that arrives during an installation. */
static bool drops_second_snapshot(const struct guards *guards, const struct peer_message *message)
{
    return !is_off(guards, 5) && message->kind == PEER_SNAPSHOT && guards->installing;
}

/* G6: from another leader of our own term, which cannot be; the engine would overwrite a union of
 * its state. */
static bool drops_rival_leader(const struct guards *guards, const struct raft *raft,
                               const struct peer_message *message)
{
    return !is_off(guards, 6) && (message->kind == PEER_APPEND || message->kind == PEER_SNAPSHOT) &&
           raft->state == RAFT_LEADER && message->term == raft_current_term(raft);
}

/* G7: the engine reads the candidate's union member whatever its state. */
static bool drops_late_vote(const struct guards *guards, const struct raft *raft,
                            const struct peer_message *message)
{
    return !is_off(guards, 7) && message->kind == PEER_VOTE_RESULT && raft->state != RAFT_CANDIDATE;
}

/* G8: a late rejection at or below what the follower has confirmed since. A later one may still
 * hint below it. */
static bool drops_late_rejection(const struct guards *guards, const struct raft *raft,
                                 uint64_t from, struct peer_message *message)
{
    raft_index match = 0;
    if (is_off(guards, 8) || message->kind != PEER_APPEND_RESULT ||
        message->append_result.rejected == 0 || raft->state != RAFT_LEADER ||
        message->term != raft_current_term(raft) || raft_match_index(raft, from, &match) != 0) {
        return false;
    }
    if (message->append_result.rejected <= match) {
        return true;
    }
    if (message->append_result.last_index < match) {
        message->append_result.last_index = match;
    }
    return false;
}

/* G15: it would lead in the same term, without a vote stored; a leader of that term exists: who
 * sent this. */
static bool drops_timeout_now(const struct guards *guards, const struct raft *raft,
                              const struct peer_message *message)
{
    return !is_off(guards, 15) && message->kind == PEER_TIMEOUT_NOW &&
           configuration_only_voter(&guards->newest, raft->id);
}

bool guard_drops(const struct guards *guards, const struct raft *raft, uint64_t from,
                 struct peer_message *message)
{
    return drops_second_snapshot(guards, message) || drops_rival_leader(guards, raft, message) ||
           drops_late_vote(guards, raft, message) ||
           drops_late_rejection(guards, raft, from, message) ||
           drops_timeout_now(guards, raft, message);
}

/* The engine echoes the asked term even in a refusal. With the longer log in a lower term and the
 * higher term on a shorter log, neither of two nodes would ever lead. */
void guard_refused_pre_vote(const struct guards *guards, const struct raft *raft,
                            struct raft_message *out)
{
    if (is_off(guards, 9) || out->type != RAFT_REQUEST_VOTE_RESULT ||
        !out->request_vote_result.pre_vote || out->request_vote_result.vote_granted) {
        return;
    }
    if (out->request_vote_result.term < raft_current_term(raft)) {
        out->request_vote_result.term = raft_current_term(raft);
    }
}

/* Raft lets any server vote; a candidate counts only those that its own configuration makes voters.
 * The engine lets only those vote that think themselves voters, and a lagging one may be wrong:
 * then a group stays without leader. The engine must not see this configuration for longer than the
 * one step. */
void guard_vote_begin(const struct guards *guards, struct raft *raft, struct raft_message *message,
                      struct guard_vote *vote)
{
    memset(vote, 0, sizeof(*vote));
    if (is_off(guards, 10) || message->type != RAFT_REQUEST_VOTE || raft->state != RAFT_FOLLOWER ||
        configuration_is_voter(&guards->newest, raft->id)) {
        return;
    }
    vote->active = true;
    vote->saved = raft->configuration;
    vote->self = (struct raft_server){.id = raft->id, .address = vote->label, .role = RAFT_VOTER};
    raft->configuration = (struct raft_configuration){.servers = &vote->self, .n = 1};
    /* It never campaigns, so it never forgets a leader by itself either. */
    if (guards->now_ms - guards->leader_contact_ms >= raft->election_timeout) {
        message->request_vote.disrupt_leader = true;
    }
}

void guard_vote_end(struct raft *raft, struct guard_vote *vote)
{
    if (vote->active) {
        ASSERT(raft->configuration.servers == &vote->self);
        raft->configuration = vote->saved;
        vote->active = false;
    }
}

/* One-at-a-time changes are safe only behind a committed entry of the leader's own term. */
bool guard_change_allowed(const struct guards *guards, const struct raft *raft,
                          uint64_t commit_term)
{
    return is_off(guards, 14) || commit_term == raft_current_term(raft);
}

bool guard_transfer_allowed(const struct guards *guards)
{
    return is_off(guards, 15) || !guards->change_open;
}

/* The engine goes on in the vote itself, in a higher term each time. Cut off from the others just
 * then, it comes back with a term that deposes whoever they have elected since. The votes of its
 * term are given up with the timeout anyway. */
void guard_pre_vote_again(const struct guards *guards, struct raft *raft)
{
    if (is_off(guards, 16) || raft->state != RAFT_CANDIDATE || !raft->pre_vote) {
        return;
    }
    raft->candidate_state.in_pre_vote = true;
    raft->candidate_state.disrupt_leader = false; /* TimeoutNow was for the first try */
}
