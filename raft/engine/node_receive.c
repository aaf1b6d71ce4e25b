/* Frames of other members. Raft's messages pass the guards and become RECEIVE events; the adapter's
 * own go to proposals and reads. The transport has checked cluster, sender and receiver; nothing
 * else is filtered: a joining or lagging member must accept leaders and candidates that it does not
 * know yet. */
#include "raft/engine/node_impl.h"

#include "base/assert.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

struct sender {
    uint64_t id;
    char label[CONFIGURATION_LABEL_BYTES];
};

static void receive(struct raft_node *node, const struct sender *sender,
                    struct raft_message *message, uint64_t term, const char *what)
{
    struct raft_event event = {.type = RAFT_RECEIVE};
    message->server_id = sender->id;
    message->server_address = sender->label;
    event.receive.message = message;
    bool stale = term < raft_current_term(&node->raft);
    if (!stale &&
        (message->type == RAFT_APPEND_ENTRIES || message->type == RAFT_INSTALL_SNAPSHOT)) {
        node->guards.leader_contact_ms = (uint64_t)node->now_ms;
    }
    node_step_must(node, &event, stale, what);
}

/* One RECEIVE of entries [start, start + count). The engine frees the one batch, or hands it back
 * in the update. */
static void receive_append_part(struct raft_node *node, const struct sender *sender,
                                const struct peer_message *from, const struct peer_append *append,
                                size_t start, size_t count)
{
    struct raft_entry *entries = mem_new_array(struct raft_entry, count + 1);
    struct raft_message message = {.type = RAFT_APPEND_ENTRIES};
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        bytes += append->entries[start + i].data.len;
    }
    uint8_t *batch = count == 0 ? NULL : raft_malloc(bytes + 1);
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        const struct raft_entry_rec *entry = &append->entries[start + i];
        entries[i].term = entry->term;
        entries[i].type = (enum raft_entry_type)entry->type;
        entries[i].buf.base = batch + at;
        entries[i].buf.len = entry->data.len;
        entries[i].batch = batch;
        if (entry->data.len > 0) {
            memcpy(batch + at, entry->data.data, entry->data.len);
        }
        at += entry->data.len;
    }
    message.append_entries = (struct raft_append_entries){
        .version = from->version,
        .term = from->term,
        .prev_log_index = start == 0 ? append->prev_index : append->entries[start - 1].index,
        .prev_log_term = start == 0 ? append->prev_term : append->entries[start - 1].term,
        .leader_commit = append->commit,
        .entries = entries,
        .n_entries = (unsigned)count,
    };
    receive(node, sender, &message, from->term, "append entries");
    mem_free(entries);
}

static void receive_append(struct raft_node *node, const struct sender *sender,
                           const struct peer_message *from)
{
    struct peer_append append = from->append;
    guard_anchor_at_snapshot(&node->guards, &append);
    if (append.entry_count == 0) {
        receive_append_part(node, sender, from, &append, 0, 0);
        return;
    }
    for (size_t start = 0; start < append.entry_count && !node->dead;) {
        size_t count = guard_split_at_change(&node->guards, &append, start);
        receive_append_part(node, sender, from, &append, start, count);
        /* A CHANGE that is committed already must be confirmed before the next one comes. */
        if (!node->dead) {
            node_apply(node);
        }
        start += count;
    }
}

/* Read before it is stored: a member that stored what it cannot read could not start any more. The
 * leader sends it again. */
static bool snapshot_is_readable(struct raft_node *node, const struct sender *sender,
                                 const struct peer_snapshot *snapshot)
{
    struct error err = {0};
    if (node_snapshot_decode(snapshot->data, snapshot->last_index, &node->received, &err) == 0) {
        return true;
    }
    error_wrap(&err, "refused, from the leader %s", sender->label);
    if (node->env.on_warning != NULL) {
        node->env.on_warning(node->env.arg, err.text);
    }
    return false;
}

static void receive_snapshot(struct raft_node *node, const struct sender *sender,
                             const struct peer_message *from)
{
    bool stale = from->term < raft_current_term(&node->raft); /* only answered, with our term */
    if (!stale && !snapshot_is_readable(node, sender, &from->snapshot)) {
        return;
    }
    struct raft_message message = {.type = RAFT_INSTALL_SNAPSHOT};
    struct configuration configuration;
    int rc = configuration_decode(from->snapshot.configuration, &configuration, NULL);
    ASSERT(rc == 0); /* the decoder of the message has read it */
    struct raft_install_snapshot *args = &message.install_snapshot;
    args->version = from->version;
    args->term = from->term;
    args->last_index = from->snapshot.last_index;
    args->last_term = from->snapshot.last_term;
    args->conf_index = from->snapshot.configuration_index;
    configuration_to_raft(&configuration, &args->conf);
    args->data.len = from->snapshot.data.len;
    args->data.base = raft_malloc(args->data.len + 1);
    if (args->data.len > 0) {
        memcpy(args->data.base, from->snapshot.data.data, args->data.len);
    }
    receive(node, sender, &message, from->term, "install snapshot");
    store_free(node->received); /* the engine had no use for it */
    node->received = NULL;
}

static void receive_small(struct raft_node *node, const struct sender *sender,
                          const struct peer_message *from)
{
    struct raft_message message;
    memset(&message, 0, sizeof(message));
    if (from->kind == PEER_APPEND_RESULT) {
        message.type = RAFT_APPEND_ENTRIES_RESULT;
        message.append_entries_result = (struct raft_append_entries_result){
            .version = from->version,
            .term = from->term,
            .rejected = from->append_result.rejected,
            .last_log_index = from->append_result.last_index,
            .features = from->append_result.features,
            .capacity = from->append_result.capacity,
        };
    } else if (from->kind == PEER_VOTE) {
        message.type = RAFT_REQUEST_VOTE;
        message.request_vote = (struct raft_request_vote){
            .version = from->version,
            .term = from->term,
            .candidate_id = from->vote.candidate,
            .last_log_index = from->vote.last_index,
            .last_log_term = from->vote.last_term,
            .disrupt_leader = from->vote.disrupt_leader,
            .pre_vote = from->vote.pre_vote,
        };
    } else if (from->kind == PEER_VOTE_RESULT) {
        message.type = RAFT_REQUEST_VOTE_RESULT;
        message.request_vote_result = (struct raft_request_vote_result){
            .version = from->version,
            .term = from->term,
            .vote_granted = from->vote_result.granted,
            .pre_vote = from->vote_result.pre_vote,
            .features = from->vote_result.features,
            .capacity = from->vote_result.capacity,
        };
    } else {
        message.type = RAFT_TIMEOUT_NOW;
        message.timeout_now = (struct raft_timeout_now){
            .version = from->version,
            .term = from->term,
            .last_log_index = from->timeout_now.last_index,
            .last_log_term = from->timeout_now.last_term,
        };
    }
    receive(node, sender, &message, from->term, "message");
}

/* Whether the message may lead to a storage job. What the others answer in our own term does not,
 * and no heartbeat. */
static bool needs_the_disk(const struct raft_node *node, const struct peer_message *message)
{
    switch (message->kind) {
    case PEER_APPEND:
        return message->append.entry_count > 0 || message->term > raft_current_term(&node->raft);
    case PEER_APPEND_RESULT:
    case PEER_VOTE_RESULT: return message->term > raft_current_term(&node->raft);
    case PEER_SNAPSHOT:
    case PEER_VOTE:
    case PEER_TIMEOUT_NOW: return true;
    case PEER_PROPOSE:
    case PEER_READ:
    case PEER_READ_RESULT:
    case PEER_PROBE:
    case PEER_PROBE_RESULT: break;
    }
    return false;
}

static void dispatch(struct raft_node *node, uint64_t from, struct peer_message *message)
{
    struct sender sender = {.id = from};
    (void)snprintf(sender.label, sizeof(sender.label), "%llx", (unsigned long long)from);
    if (message->kind == PEER_VOTE && message->vote.candidate != from) {
        return; /* nobody asks for another's vote */
    }
    if (node_jobs_full(node) && needs_the_disk(node, message)) {
        return; /* the disk does not keep up; it is sent again */
    }
    if (message->kind <= PEER_TIMEOUT_NOW &&
        guard_drops(&node->guards, &node->raft, from, message)) {
        return;
    }
    switch (message->kind) {
    case PEER_APPEND: receive_append(node, &sender, message); break;
    case PEER_SNAPSHOT: receive_snapshot(node, &sender, message); break;
    case PEER_APPEND_RESULT:
    case PEER_VOTE:
    case PEER_VOTE_RESULT:
    case PEER_TIMEOUT_NOW: receive_small(node, &sender, message); break;
    case PEER_PROPOSE: node_proposal_forwarded(node, message->propose); break;
    case PEER_READ:
    case PEER_READ_RESULT:
    case PEER_PROBE:
    case PEER_PROBE_RESULT: node_read_message(node, from, message); break;
    }
}

void raft_node_receive(struct raft_node *node, uint64_t from, struct span frame)
{
    struct peer_message message;
    struct buf arena = BUF_INIT;
    if (node->dead || node->storage_full || from == 0 || from == node->id ||
        from == GUARD_PHANTOM_ID) {
        return;
    }
    /* A message that cannot be read is lost; Raft can live with that, and the transport counts it.
     */
    if (peer_wire_decode(frame, &message, &arena, NULL) == 0) {
        node_enter(node);
        node_heard(node, from);
        dispatch(node, from, &message);
        node_leave(node);
    }
    buf_free(&arena);
}
