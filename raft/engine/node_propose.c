/* Commands of this member, until it has applied them itself.
 *
 *   to be sent --> sent to the leader of a term --> applied here: done
 *       ^                    |
 *       +-- leader or term changed, or no answer for an election timeout (times the attempts)
 *
 * All copies carry the same request id, and the store applies one. On the leader itself "sent"
 * means SUBMIT: the entry is in its log, so it is not sent again before the term changes.
 * Everything that waits goes into one SUBMIT, up to NODE_SUBMIT_ENTRIES_MAX entries: first what
 * agents ask for, which a burst of clients' writes must not hold up, then the rest, as long as the
 * log is not too far ahead of what is committed. In the same order they are sent to a leader.
 * Within each the order stays.
 *
 * The window of open sequences is RAFT_NODE_PENDING_MAX wide, as is the store's memory of results:
 * `floor` in a command says that nothing below it is open any more. */
#include "raft/engine/node_impl.h"

#include "base/assert.h"
#include "base/mem.h"
#include "raft/engine/log_command.h"

#include <string.h>

#define NODE_RESEND_FACTOR_MAX 8

static struct node_proposal *slot_of(struct raft_node *node, uint64_t sequence)
{
    return &node->proposals[sequence % RAFT_NODE_PENDING_MAX];
}

static void proposal_close(struct raft_node *node, struct node_proposal *proposal)
{
    node->proposals_bytes -= proposal->data.len;
    buf_free(&proposal->data);
    memset(proposal, 0, sizeof(*proposal));
    while (node->sequence_floor < node->sequence_next &&
           !slot_of(node, node->sequence_floor)->used) {
        node->sequence_floor++;
    }
}

/* `like` says deadline, attempts and callback. */
static int propose(struct raft_node *node, const struct store_command *command, struct span actor,
                   const struct node_proposal *like, struct error *err)
{
    if (node->dead || node->stop_asked) {
        return error_set(err, ERR_UNAVAILABLE, "this member is stopping");
    }
    if (command->type > STORE_COMMAND_FORMAT_1_LAST && !node_format_is_open(node)) {
        return error_set(err, ERR_UNAVAILABLE, "the group's store is still of format 1");
    }
    int pending_max = actor.len == 0 ? RAFT_NODE_PENDING_PLAIN_MAX : RAFT_NODE_PENDING_MAX;
    if (node->sequence_next - node->sequence_floor >= (uint64_t)pending_max) {
        return error_set(err, ERR_LIMIT, "%d commands are waiting here already", pending_max);
    }
    struct store_command mine = *command;
    struct buf data = BUF_INIT;
    mine.client = node->client;
    mine.sequence = node->sequence_next;
    mine.floor = node->sequence_floor;
    mine.actor = actor;
    log_command_header(mine.client, mine.sequence, &data);
    int rc = store_command_encode(&mine, &data, err);
    if (rc == 0 && data.len > NODE_COMMAND_BYTES_SMALL &&
        node->proposals_bytes >= NODE_PENDING_BYTES_MAX) {
        rc = error_set(err, ERR_LIMIT, "commands of %zu bytes are waiting here already",
                       node->proposals_bytes);
    }
    if (rc != 0) {
        buf_free(&data);
        return rc;
    }
    struct node_proposal *proposal = slot_of(node, mine.sequence);
    ASSERT(!proposal->used);
    node->sequence_next++;
    *proposal = *like;
    proposal->used = true;
    proposal->sequence = mine.sequence;
    proposal->class = actor.len > 0 ? NODE_SUBMIT_AGENT : NODE_SUBMIT_PLAIN;
    proposal->data = data;
    node->proposals_bytes += data.len;
    node_kick(node);
    return 0;
}

/* NOLINTNEXTLINE(readability-function-size): seven things differ from call to call */
int raft_node_propose(struct raft_node *node, const struct store_command *command,
                      int64_t timeout_ms, unsigned attempts_max, raft_done done, void *arg,
                      struct error *err)
{
    struct node_proposal like = {
        .deadline_ms = clock_mono_ms(node->env.clock) + timeout_ms,
        .attempts_max = attempts_max,
        .done = done,
        .arg = arg,
    };
    return propose(node, command, span_str(node->config.name), &like, err);
}

int raft_node_propose_plain(struct raft_node *node, const struct store_command *command,
                            int64_t timeout_ms, raft_done done, void *arg, struct error *err)
{
    struct node_proposal like = {
        .deadline_ms = clock_mono_ms(node->env.clock) + timeout_ms,
        .done = done,
        .arg = arg,
    };
    return propose(node, command, (struct span){0}, &like, err);
}

int raft_node_propose_as(struct raft_node *node, const struct store_command *command,
                         const struct raft_propose_as *as, raft_done done, void *arg,
                         struct error *err)
{
    struct node_proposal like = {
        .deadline_ms = clock_mono_ms(node->env.clock) + as->timeout_ms,
        .attempts_max = as->attempts_max,
        .done = done,
        .arg = arg,
    };
    ASSERT(as->actor.len > 0);
    return propose(node, command, as->actor, &like, err);
}

bool node_proposal_waits(const struct raft_node *node, uint64_t sequence)
{
    const struct node_proposal *proposal = slot_of((struct raft_node *)node, sequence);
    return proposal->used && proposal->sequence == sequence; /* else it ended at its deadline */
}

void node_proposal_applied(struct raft_node *node, uint64_t sequence,
                           const struct store_result *result)
{
    struct node_proposal *proposal = slot_of(node, sequence);
    ASSERT(node_proposal_waits(node, sequence));
    node_call_later(node, proposal->done, proposal->arg, 0, result);
    proposal_close(node, proposal);
}

void node_proposals_resend(struct raft_node *node)
{
    for (uint64_t sequence = node->sequence_floor; sequence < node->sequence_next; sequence++) {
        struct node_proposal *proposal = slot_of(node, sequence);
        bool may = proposal->attempts_max == 0 || proposal->attempts < proposal->attempts_max;
        if (proposal->used && may) {
            proposal->sent_term = 0;
            node->pump_wanted = true;
        }
    }
}

void node_proposals_cancel(struct raft_node *node)
{
    for (uint64_t sequence = node->sequence_floor; sequence < node->sequence_next; sequence++) {
        struct node_proposal *proposal = slot_of(node, sequence);
        if (proposal->used) {
            node_call_later(node, proposal->done, proposal->arg, ERR_CANCELED, NULL);
            buf_free(&proposal->data);
            proposal->used = false;
        }
    }
    node->proposals_bytes = 0;
    node->sequence_floor = node->sequence_next;
}

/* --- into the log ----------------------------------------------------------------------------- */

static enum node_submit_class class_of(struct span data)
{
    struct log_command command;
    bool is_agents =
        log_command_decode(data, &command) == 0 && store_command_actor(command.command).len > 0;
    return is_agents ? NODE_SUBMIT_AGENT : NODE_SUBMIT_PLAIN;
}

static void submit_queue(struct raft_node *node, struct span data)
{
    struct node_submit *submit = mem_new(struct node_submit);
    struct node_submits *submits = &node->submits[class_of(data)];
    buf_put_span(&submit->data, data);
    list_append(&submits->list, &submit->link);
    submits->count++;
    node->submit_count++;
    node->submit_bytes += data.len;
}

static bool submits_full(const struct raft_node *node, struct span data)
{
    return node->submits[class_of(data)].count >= NODE_SUBMIT_QUEUE_MAX ||
           (data.len > NODE_COMMAND_BYTES_SMALL && node->submit_bytes >= NODE_PENDING_BYTES_MAX);
}

static void submit_free(struct raft_node *node, struct node_submits *submits,
                        struct node_submit *submit)
{
    list_remove(&submit->link);
    submits->count--;
    node->submit_count--;
    node->submit_bytes -= submit->data.len;
    buf_free(&submit->data);
    mem_free(submit);
}

void node_submits_drop(struct raft_node *node)
{
    for (size_t i = 0; i < NODE_SUBMIT_CLASSES; i++) {
        LIST_EACH(item, &node->submits[i].list)
        {
            submit_free(node, &node->submits[i], LIST_OWNER(item, struct node_submit, link));
        }
    }
}

void node_proposal_forwarded(struct raft_node *node, struct span data)
{
    struct log_command command;
    if (log_command_decode(data, &command) != 0 || !node_is_leader(node) ||
        submits_full(node, data) || node_depose_waits(node, data)) {
        return; /* who asked sends it again, to whom it finds */
    }
    submit_queue(node, data);
    node->pump_wanted = true;
}

/* G13: entries of a SUBMIT carry the present term and a batch; nobody else makes any. */
static int submit_entries(struct raft_node *node, struct raft_entry *entries, size_t count)
{
    struct raft_event event = {.type = RAFT_SUBMIT};
    for (size_t i = 0; i < count; i++) {
        ASSERT(entries[i].batch != NULL && entries[i].term == raft_current_term(&node->raft));
    }
    event.submit.entries = entries;
    event.submit.n = (unsigned)count;
    return node_step(node, &event, false);
}

struct submit_batch {
    struct raft_entry entries[NODE_SUBMIT_ENTRIES_MAX];
    size_t count;
    size_t bytes;
    size_t taken[NODE_SUBMIT_CLASSES]; /* entries of each class */
};

static void batch_take(struct raft_node *node, enum node_submit_class class,
                       struct submit_batch *batch)
{
    LIST_EACH(item, &node->submits[class].list)
    {
        struct node_submit *submit = LIST_OWNER(item, struct node_submit, link);
        if (batch->count == NODE_SUBMIT_ENTRIES_MAX ||
            (batch->count > 0 && batch->bytes + submit->data.len > NODE_SUBMIT_BYTES_MAX)) {
            return;
        }
        batch->entries[batch->count++] = (struct raft_entry){
            .term = raft_current_term(&node->raft),
            .type = RAFT_COMMAND,
            .buf = {.base = submit->data.data, .len = submit->data.len},
            .batch = submit->data.data,
        };
        batch->bytes += submit->data.len;
        batch->taken[class]++;
    }
}

static bool log_is_ahead(const struct raft_node *node)
{
    uint64_t last = log_cache_last(&node->cache);
    if (last >= node->commit_index + NODE_UNCOMMITTED_ENTRIES_MAX) {
        return true;
    }
    size_t bytes = 0;
    for (uint64_t index = node->commit_index + 1; index <= last; index++) {
        const struct log_entry *entry = log_cache_get(&node->cache, index);
        bytes += entry != NULL ? entry->len : 0;
    }
    return bytes >= NODE_UNCOMMITTED_BYTES_MAX;
}

/* One SUBMIT of what waits. False if nothing more is taken now. */
static bool submit_batch(struct raft_node *node)
{
    struct submit_batch batch = {.count = 0};
    batch_take(node, NODE_SUBMIT_AGENT, &batch);
    if (!log_is_ahead(node)) {
        batch_take(node, NODE_SUBMIT_PLAIN, &batch);
    }
    if (batch.count == 0 || submit_entries(node, batch.entries, batch.count) != 0) {
        return false;
    }
    for (size_t i = 0; i < NODE_SUBMIT_CLASSES; i++) {
        struct node_submits *submits = &node->submits[i];
        for (size_t taken = batch.taken[i]; taken > 0; taken--) {
            submit_free(node, submits,
                        LIST_OWNER(list_first(&submits->list), struct node_submit, link));
        }
    }
    return true;
}

/* An entry that does nothing, see `barrier_wanted`. */
static void submit_barrier(struct raft_node *node)
{
    uint64_t zero = 0;
    struct raft_entry entry = {
        .term = raft_current_term(&node->raft),
        .type = RAFT_BARRIER,
        .buf = {.base = &zero, .len = sizeof(zero)},
        .batch = &zero,
    };
    if (submit_entries(node, &entry, 1) == 0) {
        node->barrier_wanted = false;
    }
}

/* --- pump ------------------------------------------------------------------------------------- */

static int64_t resend_after_ms(const struct raft_node *node, const struct node_proposal *proposal)
{
    int64_t factor =
        proposal->attempts < NODE_RESEND_FACTOR_MAX ? proposal->attempts : NODE_RESEND_FACTOR_MAX;
    return proposal->sent_ms + node->config.election_timeout_ms * factor;
}

static bool has_attempts(const struct node_proposal *proposal)
{
    return proposal->attempts_max == 0 || proposal->attempts < proposal->attempts_max;
}

/* It was forwarded, and may be forwarded again when no answer comes. */
static bool may_resend(const struct raft_node *node, const struct node_proposal *proposal)
{
    return proposal->sent_term != 0 && has_attempts(proposal) && !node_is_leader(node);
}

static bool may_send(const struct raft_node *node, const struct node_proposal *proposal)
{
    return proposal->sent_term == 0 ||
           (may_resend(node, proposal) && node->now_ms >= resend_after_ms(node, proposal));
}

static void proposal_send(struct raft_node *node, struct node_proposal *proposal, uint64_t leader)
{
    if (leader == node->id) {
        if (submits_full(node, buf_span(&proposal->data)) ||
            node_depose_waits(node, buf_span(&proposal->data))) {
            return;
        }
        submit_queue(node, buf_span(&proposal->data));
    } else {
        struct peer_message message = {.kind = PEER_PROPOSE, .propose = buf_span(&proposal->data)};
        if (!node->env.peers->connected(node->env.peers_arg, leader)) {
            return;
        }
        node_send_message(node, leader, &message);
    }
    proposal->sent_term = raft_current_term(&node->raft);
    proposal->sent_ms = node->now_ms;
    proposal->attempts++;
}

static void proposal_expire(struct raft_node *node, struct node_proposal *proposal)
{
    int rc = proposal->attempts > 0 ? ERR_UNKNOWN : ERR_UNAVAILABLE;
    node_call_later(node, proposal->done, proposal->arg, rc, NULL);
    proposal_close(node, proposal);
}

static void proposals_send(struct raft_node *node, enum node_submit_class class)
{
    uint64_t leader = node_leader(node);
    uint64_t first = node->sequence_floor;
    for (uint64_t sequence = first; sequence < node->sequence_next; sequence++) {
        struct node_proposal *proposal = slot_of(node, sequence);
        if (!proposal->used || proposal->class != class) {
            continue;
        }
        if (node->now_ms >= proposal->deadline_ms) {
            proposal_expire(node, proposal);
        } else if (leader != 0 && !node->storage_full && may_send(node, proposal)) {
            proposal_send(node, proposal, leader);
        }
    }
}

void node_proposals_pump(struct raft_node *node)
{
    proposals_send(node, NODE_SUBMIT_AGENT); /* on the way to the leader, too */
    proposals_send(node, NODE_SUBMIT_PLAIN);
    if (!node_is_leader(node) || raft_transferee(&node->raft) != 0) {
        return;
    }
    bool takes = !node->retire.open && !node->storage_full;
    if (node->barrier_wanted && takes) {
        submit_barrier(node);
    }
    while (takes && node->submit_count > 0 && !node_jobs_full(node)) {
        if (!submit_batch(node)) {
            break;
        }
    }
    node_send_commit(node);
}

bool node_proposals_idle(const struct raft_node *node)
{
    return node->sequence_floor == node->sequence_next && node->submit_count == 0;
}

int64_t node_proposals_delay(const struct raft_node *node)
{
    uint64_t leader = node_leader(node);
    int64_t due = INT64_MAX;
    if (node->submit_count > 0) {
        due = node->pump_look_ms; /* none is taken now */
    }
    for (uint64_t sequence = node->sequence_floor; sequence < node->sequence_next; sequence++) {
        const struct node_proposal *proposal = slot_of((struct raft_node *)node, sequence);
        if (!proposal->used) {
            continue;
        }
        int64_t next = proposal->deadline_ms;
        if (proposal->sent_term == 0 && leader != 0) {
            next = node->pump_look_ms; /* the leader is not connected */
        } else if (may_resend(node, proposal) && leader != 0 &&
                   resend_after_ms(node, proposal) < next) {
            int64_t resend = resend_after_ms(node, proposal);
            next = resend < node->pump_look_ms ? node->pump_look_ms : resend;
        }
        due = next < due ? next : due;
    }
    if (due == INT64_MAX) {
        return due;
    }
    return due > node->now_ms ? due - node->now_ms : 0;
}
