/* Messages out: what the engine asks for, filled from the log cache and the newest snapshot,
 * encoded at once; and the adapter's own. A Raft message leaves only when the newest term or vote
 * that it may depend on is durable, so it hangs on the newest unfinished job that has one. */
#include "raft/engine/node_impl.h"

#include "base/assert.h"
#include "base/mem.h"

void node_frame_free(struct node_frame *frame)
{
    buf_free(&frame->bytes);
    mem_free(frame);
}

void node_frame_send(struct raft_node *node, uint64_t to, struct span bytes)
{
    if (!node->storage_full && node_format_is_known_by(node, to)) {
        node->env.peers->send(node->env.peers_arg, to, bytes);
    }
}

static struct node_job *newest_vote_job(struct raft_node *node)
{
    for (struct list *item = node->jobs.prev; item != &node->jobs; item = item->prev) {
        struct node_job *job = LIST_OWNER(item, struct node_job, link);
        if (job->storage.has_vote) {
            return job;
        }
    }
    return NULL;
}

static void hang_on(struct node_job *job, uint64_t to, const struct peer_message *message)
{
    if (job->frame_count >= NODE_JOB_FRAMES_MAX || job->frames_bytes >= NODE_JOB_FRAMES_BYTES_MAX) {
        return; /* lost; Raft can live with that */
    }
    struct node_frame *frame = mem_new(struct node_frame);
    peer_wire_encode(message, &frame->bytes);
    frame->to = to;
    list_append(&job->frames, &frame->link);
    job->frame_count++;
    job->frames_bytes += frame->bytes.len;
}

void node_send_message(struct raft_node *node, uint64_t to, const struct peer_message *message)
{
    struct buf bytes = BUF_INIT;
    peer_wire_encode(message, &bytes);
    node_frame_send(node, to, buf_span(&bytes));
    buf_free(&bytes);
}

/* Raft messages wait for term and vote; see the top. */
static void send_after_vote(struct raft_node *node, uint64_t to, const struct peer_message *message)
{
    struct node_job *job = newest_vote_job(node);
    if (node->storage_full) {
        return;
    }
    if (job != NULL) {
        hang_on(job, to, message);
    } else {
        node_send_message(node, to, message);
    }
}

/* The engine tells followers of a commit with the next entries or heartbeat. Who waits for its own
 * command, or counts a lease from when it applied it, should not wait for that: an AppendEntries
 * without entries, anchored at what the follower has confirmed, says the same now. `told` remembers
 * what every follower has heard, by any message. */
static struct node_told *told_of(struct raft_node *node, uint64_t id)
{
    struct node_told *free_slot = &node->told[0];
    for (size_t i = 0; i < CONFIGURATION_SERVERS_MAX; i++) {
        if (node->told[i].id == id) {
            return &node->told[i];
        }
        if (configuration_find(&node->guards.newest, node->told[i].id) ==
            node->guards.newest.count) {
            free_slot = &node->told[i];
        }
    }
    *free_slot = (struct node_told){.id = id};
    return free_slot;
}

static bool is_untold(struct raft_node *node, uint64_t id, raft_index *ret_match)
{
    return id != node->id && raft_match_index(&node->raft, id, ret_match) == 0 &&
           *ret_match >= node->commit_index && told_of(node, id)->commit < node->commit_index &&
           node_term_of(node, *ret_match) != 0;
}

bool node_commit_is_untold(struct raft_node *node)
{
    raft_index match = 0;
    for (size_t i = 0; i < node->guards.newest.count; i++) {
        if (is_untold(node, node->guards.newest.servers[i].id, &match)) {
            return true;
        }
    }
    return false;
}

void node_send_commit(struct raft_node *node)
{
    raft_index match = 0;
    for (size_t i = 0; i < node->guards.newest.count; i++) {
        uint64_t id = node->guards.newest.servers[i].id;
        if (!is_untold(node, id, &match)) {
            continue;
        }
        struct peer_message message = {.kind = PEER_APPEND, .term = raft_current_term(&node->raft)};
        message.append = (struct peer_append){
            .prev_index = match,
            .prev_term = node_term_of(node, match),
            .commit = node->commit_index,
        };
        told_of(node, id)->commit = node->commit_index;
        send_after_vote(node, id, &message);
    }
}

/* The engine says how many entries; their content is here. Large ones go in several frames, each a
 * whole AppendEntries that continues the one before it. */
static void send_append(struct raft_node *node, const struct raft_message *from)
{
    const struct raft_append_entries *args = &from->append_entries;
    struct raft_entry_rec records[NODE_INFLIGHT_ENTRIES];
    uint64_t prev_index = args->prev_log_index;
    uint64_t prev_term = args->prev_log_term;
    size_t left = args->n_entries;
    ASSERT(left <= NODE_INFLIGHT_ENTRIES);
    struct node_told *told = told_of(node, from->server_id);
    told->commit = args->leader_commit > told->commit ? args->leader_commit : told->commit;
    told->append_ms = node->now_ms;
    do {
        size_t count = 0;
        size_t bytes = 0;
        while (count < left && (count == 0 || bytes < NODE_APPEND_BYTES_MAX)) {
            struct log_entry *entry = log_cache_get(&node->cache, prev_index + 1 + count);
            ASSERT(entry != NULL); /* the engine's trail and our cache hold the same indexes */
            records[count] = (struct raft_entry_rec){
                .index = entry->index,
                .term = entry->term,
                .type = entry->type,
                .data = span_of(entry->data, entry->len),
            };
            bytes += entry->len;
            count++;
        }
        struct peer_message message = {
            .kind = PEER_APPEND, .version = args->version, .term = args->term};
        message.append = (struct peer_append){
            .prev_index = prev_index,
            .prev_term = prev_term,
            .commit = args->leader_commit,
            .entries = records,
            .entry_count = count,
        };
        send_after_vote(node, from->server_id, &message);
        left -= count;
        if (left > 0) {
            prev_index += count;
            prev_term = records[count - 1].term;
        }
    } while (left > 0);
}

/* Heartbeats overtake a snapshot, whose follower refuses them; the engine takes each refusal for
 * the snapshot's loss and sends it again. */
static bool snapshot_is_under_way(const struct raft_node *node, uint64_t to)
{
    const struct raft_peer_ops *peers = node->env.peers;
    return peers->snapshot_is_under_way != NULL &&
           peers->snapshot_is_under_way(node->env.peers_arg, to);
}

/* In place of a snapshot that is under way, as the engine's own: where an answer takes longer than
 * a heartbeat it gives each snapshot up, sends the next one, and no heartbeat. But not to each
 * refusal, which this asks for. */
static void send_heartbeat(struct raft_node *node, const struct raft_message *from)
{
    struct node_told *told = told_of(node, from->server_id);
    if (node->now_ms - told->append_ms < node->config.heartbeat_ms) {
        return;
    }
    struct peer_message message = {.kind = PEER_APPEND, .term = from->install_snapshot.term};
    message.append = (struct peer_append){
        .prev_index = from->install_snapshot.last_index,
        .prev_term = from->install_snapshot.last_term,
        .commit = node->commit_index,
    };
    told->append_ms = node->now_ms;
    send_after_vote(node, from->server_id, &message);
}

/* The engine names a snapshot; all its fields come together from the newest one that is stored. */
static void send_snapshot(struct raft_node *node, const struct raft_message *from)
{
    const struct node_snapshot *snapshot = node->snapshot;
    if (snapshot == NULL || node->guards.installing) {
        return; /* it asks again */
    }
    if (snapshot_is_under_way(node, from->server_id)) {
        send_heartbeat(node, from);
        return;
    }
    struct peer_message message = {
        .kind = PEER_SNAPSHOT,
        .version = from->install_snapshot.version,
        .term = from->install_snapshot.term,
    };
    message.snapshot = (struct peer_snapshot){
        .last_index = snapshot->index,
        .last_term = snapshot->term,
        .configuration_index = snapshot->configuration_index,
        .configuration = buf_span(&snapshot->configuration_bytes),
        .data = buf_span(&snapshot->data),
    };
    send_after_vote(node, from->server_id, &message);
}

static void send_append_result(struct raft_node *node, const struct raft_message *from)
{
    const struct raft_append_entries_result *result = &from->append_entries_result;
    struct peer_message message = {
        .kind = PEER_APPEND_RESULT, .version = result->version, .term = result->term};
    message.append_result = (struct peer_append_result){
        .rejected = result->rejected,
        .last_index = result->last_log_index,
        .features = result->features,
        .capacity = result->capacity,
    };
    send_after_vote(node, from->server_id, &message);
}

static void send_vote(struct raft_node *node, const struct raft_message *from)
{
    const struct raft_request_vote *vote = &from->request_vote;
    struct peer_message message = {.kind = PEER_VOTE, .version = vote->version, .term = vote->term};
    message.vote = (struct peer_vote){
        .candidate = vote->candidate_id,
        .last_index = vote->last_log_index,
        .last_term = vote->last_log_term,
        .disrupt_leader = vote->disrupt_leader,
        .pre_vote = vote->pre_vote,
    };
    send_after_vote(node, from->server_id, &message);
}

static void send_vote_result(struct raft_node *node, const struct raft_message *from)
{
    const struct raft_request_vote_result *result = &from->request_vote_result;
    struct peer_message message = {
        .kind = PEER_VOTE_RESULT, .version = result->version, .term = result->term};
    message.vote_result = (struct peer_vote_result){
        .granted = result->vote_granted,
        .pre_vote = result->pre_vote,
        .features = result->features,
        .capacity = result->capacity,
    };
    send_after_vote(node, from->server_id, &message);
}

static void send_timeout_now(struct raft_node *node, const struct raft_message *from)
{
    const struct raft_timeout_now *args = &from->timeout_now;
    struct peer_message message = {
        .kind = PEER_TIMEOUT_NOW, .version = args->version, .term = args->term};
    message.timeout_now = (struct peer_timeout_now){
        .last_index = args->last_log_index,
        .last_term = args->last_log_term,
    };
    send_after_vote(node, from->server_id, &message);
}

void node_send_update(struct raft_node *node, bool stale_message, struct raft_message *message)
{
    if (message->server_id == GUARD_PHANTOM_ID) {
        return;
    }
    guard_stale_answer(&node->guards, stale_message, message);
    guard_refused_pre_vote(&node->guards, &node->raft, message);
    switch (message->type) {
    case RAFT_APPEND_ENTRIES: send_append(node, message); break;
    case RAFT_APPEND_ENTRIES_RESULT: send_append_result(node, message); break;
    case RAFT_REQUEST_VOTE: send_vote(node, message); break;
    case RAFT_REQUEST_VOTE_RESULT: send_vote_result(node, message); break;
    case RAFT_INSTALL_SNAPSHOT: send_snapshot(node, message); break;
    case RAFT_TIMEOUT_NOW: send_timeout_now(node, message); break;
    }
}
