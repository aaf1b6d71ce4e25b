/* ReadIndex: a linearizable read without a log entry and without a clock.
 *
 *   member                   leader                       voters
 *   READ {number}        ->  next round: index = commit
 *                            PROBE {term, round}      ->  their term, as held in memory
 *                            majority has this term   <-  PROBE_RESULT {term, round}
 *   waits until applied  <-  READ_RESULT {number, index}
 *
 * Why it holds: a leader of a later term needs votes of a majority, and one of that majority has
 * just said that it is still in this term; so whatever was committed when the read arrived was
 * committed by this leader or before it, and because an entry of its own term is committed, its
 * commit index covers both. One round serves all questions that came before it began; those that
 * come while it is open wait for the next. */
#include "raft/engine/node_impl.h"

#include "base/assert.h"
#include "base/mem.h"

void node_reads_init(struct raft_node *node)
{
    list_init(&node->reads.waiting);
    list_init(&node->reads.requests);
    list_init(&node->reads.round);
    /* Numbers of an earlier process of this member must not fit ours: the leader may still answer
     * it. */
    node->reads.asked_before = random_next(node->env.random) >> 2;
    node->reads.asked = node->reads.asked_before;
}

/* --- who asks --------------------------------------------------------------------------------- */

int raft_node_read(struct raft_node *node, int64_t timeout_ms, raft_done done, void *arg,
                   struct error *err)
{
    if (node->dead || node->stop_asked) {
        return error_set(err, ERR_UNAVAILABLE, "this member is stopping");
    }
    if (node->reads.waiting_count >= NODE_READS_MAX) {
        return error_set(err, ERR_LIMIT, "%d reads are waiting here already", NODE_READS_MAX);
    }
    struct node_read *read = mem_new(struct node_read);
    read->deadline_ms = clock_mono_ms(node->env.clock) + timeout_ms;
    read->done = done;
    read->arg = arg;
    list_append(&node->reads.waiting, &read->link);
    node->reads.waiting_count++;
    node_kick(node);
    return 0;
}

static void read_end(struct raft_node *node, struct node_read *read, int rc)
{
    node_call_later(node, read->done, read->arg, rc, NULL);
    list_remove(&read->link);
    node->reads.waiting_count--;
    mem_free(read);
}

static void request_add(struct raft_node *node, uint64_t from, uint64_t number)
{
    if (node->reads.request_count >= NODE_READ_REQUESTS_MAX) {
        return; /* it asks again */
    }
    struct node_read_request *request = mem_new(struct node_read_request);
    request->from = from;
    request->number = number;
    list_append(&node->reads.requests, &request->link);
    node->reads.request_count++;
}

/* Everything that was not asked yet becomes one question. */
static void ask(struct raft_node *node, uint64_t leader)
{
    struct node_reads *reads = &node->reads;
    bool any = false;
    LIST_EACH(item, &reads->waiting)
    {
        struct node_read *read = LIST_OWNER(item, struct node_read, link);
        if (read->number == 0) {
            read->number = reads->asked + 1;
            any = true;
        }
    }
    if (!any) {
        return;
    }
    reads->asked++;
    reads->asked_ms = node->now_ms;
    reads->ask_open = true;
    if (leader == node->id) {
        request_add(node, node->id, reads->asked);
        return;
    }
    struct peer_message message = {.kind = PEER_READ, .term = raft_current_term(&node->raft)};
    message.read.number = reads->asked;
    node_send_message(node, leader, &message);
}

/* The answer may be lost, or the leader: ask anew with a new number. */
static void ask_again(struct raft_node *node)
{
    node->reads.ask_open = false;
    LIST_EACH(item, &node->reads.waiting)
    {
        struct node_read *read = LIST_OWNER(item, struct node_read, link);
        if (read->index == 0) {
            read->number = 0;
        }
    }
}

/* A later question covers an earlier one: its index was taken later. */
static void answered(struct raft_node *node, uint64_t number, uint64_t index)
{
    if (number <= node->reads.asked_before || number > node->reads.asked) {
        return;
    }
    if (number == node->reads.asked) {
        node->reads.ask_open = false;
    }
    LIST_EACH(item, &node->reads.waiting)
    {
        struct node_read *read = LIST_OWNER(item, struct node_read, link);
        if (read->number != 0 && read->number <= number && read->index == 0) {
            read->index = index;
        }
    }
}

static void waiting_pump(struct raft_node *node)
{
    LIST_EACH(item, &node->reads.waiting)
    {
        struct node_read *read = LIST_OWNER(item, struct node_read, link);
        if (read->index != 0 && node->applied_index >= read->index && !node->guards.installing) {
            read_end(node, read, 0);
        } else if (node->now_ms >= read->deadline_ms) {
            read_end(node, read, ERR_UNAVAILABLE);
        }
    }
}

/* --- who leads -------------------------------------------------------------------------------- */

static void requests_drop(struct raft_node *node, struct list *list)
{
    LIST_EACH(item, list)
    {
        list_remove(item);
        node->reads.request_count--;
        mem_free(LIST_OWNER(item, struct node_read_request, link));
    }
}

static void probe_send(struct raft_node *node)
{
    struct peer_message message = {.kind = PEER_PROBE, .term = raft_current_term(&node->raft)};
    message.read.number = node->reads.round_number;
    node->reads.round_ms = node->now_ms;
    for (size_t i = 0; i < node->guards.newest.count; i++) {
        const struct configuration_server *server = &node->guards.newest.servers[i];
        if (server->id != node->id && server->voter) {
            node_send_message(node, server->id, &message);
        }
    }
}

static void round_finish(struct raft_node *node)
{
    struct node_reads *reads = &node->reads;
    reads->round_open = false;
    LIST_EACH(item, &reads->round)
    {
        struct node_read_request *request = LIST_OWNER(item, struct node_read_request, link);
        if (request->from == node->id) {
            answered(node, request->number, reads->round_index);
        } else {
            struct peer_message message = {.kind = PEER_READ_RESULT,
                                           .term = raft_current_term(&node->raft)};
            message.read =
                (struct peer_read){.number = request->number, .index = reads->round_index};
            node_send_message(node, request->from, &message);
        }
    }
    requests_drop(node, &reads->round);
}

static void round_count(struct raft_node *node)
{
    size_t votes = 0;
    for (size_t i = 0; i < node->guards.newest.count; i++) {
        const struct configuration_server *server = &node->guards.newest.servers[i];
        bool said = server->id == node->id;
        for (size_t j = 0; j < node->reads.answered_count; j++) {
            said = said || node->reads.answered[j] == server->id;
        }
        votes += server->voter && said ? 1 : 0;
    }
    if (votes > configuration_voters(&node->guards.newest) / 2) {
        round_finish(node);
    }
}

static void round_start(struct raft_node *node)
{
    struct node_reads *reads = &node->reads;
    reads->round_open = true;
    reads->round_number++;
    reads->round_index = node->commit_index;
    reads->answered_count = 0;
    LIST_EACH(item, &reads->requests)
    {
        list_remove(item);
        list_append(&reads->round, item);
    }
    probe_send(node);
    round_count(node);
}

static void leader_pump(struct raft_node *node)
{
    struct node_reads *reads = &node->reads;
    if (!node_is_leader(node)) {
        return;
    }
    if (reads->round_open) {
        if (node->now_ms >= reads->round_ms + node->config.heartbeat_ms) {
            probe_send(node); /* lost, or somebody does not answer */
        }
        return;
    }
    if (!list_empty(&reads->requests) && node_own_term_committed(node)) {
        round_start(node);
    }
}

static void probe_answered(struct raft_node *node, uint64_t from,
                           const struct peer_message *message)
{
    struct node_reads *reads = &node->reads;
    if (!node_is_leader(node) || !reads->round_open ||
        message->term != raft_current_term(&node->raft) ||
        message->read.number != reads->round_number ||
        reads->answered_count == CONFIGURATION_SERVERS_MAX) {
        return;
    }
    for (size_t i = 0; i < reads->answered_count; i++) {
        if (reads->answered[i] == from) {
            return;
        }
    }
    reads->answered[reads->answered_count++] = from;
    round_count(node);
}

/* --- both ------------------------------------------------------------------------------------- */

void node_read_message(struct raft_node *node, uint64_t from, const struct peer_message *message)
{
    struct peer_message answer = {.kind = PEER_PROBE_RESULT,
                                  .term = raft_current_term(&node->raft)};
    switch (message->kind) {
    case PEER_READ:
        if (node_is_leader(node)) {
            request_add(node, from, message->read.number);
        }
        break;
    case PEER_READ_RESULT:
        /* Of the leader that was asked: another term's answer is to a question that was withdrawn.
         */
        if (message->term == raft_current_term(&node->raft) && message->read.index > 0) {
            answered(node, message->read.number, message->read.index);
        }
        break;
    case PEER_PROBE:
        answer.read.number = message->read.number;
        node_send_message(node, from, &answer);
        break;
    case PEER_PROBE_RESULT: probe_answered(node, from, message); break;
    default: /* the other kinds do not come here */ break;
    }
    node->pump_wanted = true;
}

void node_reads_lost(struct raft_node *node)
{
    requests_drop(node, &node->reads.requests);
    requests_drop(node, &node->reads.round);
    node->reads.round_open = false;
    ask_again(node);
    node->pump_wanted = node->pump_wanted || node->reads.waiting_count > 0;
}

void node_reads_pump(struct raft_node *node)
{
    uint64_t leader = node_leader(node);
    struct node_reads *reads = &node->reads;
    if (reads->ask_open && node->now_ms >= reads->asked_ms + node->config.election_timeout_ms) {
        ask_again(node);
    }
    if (leader != 0) {
        ask(node, leader);
    }
    leader_pump(node);
    waiting_pump(node);
}

void node_reads_cancel(struct raft_node *node)
{
    LIST_EACH(item, &node->reads.waiting)
    {
        read_end(node, LIST_OWNER(item, struct node_read, link), ERR_CANCELED);
    }
    requests_drop(node, &node->reads.requests);
    requests_drop(node, &node->reads.round);
}

int64_t node_reads_delay(const struct raft_node *node)
{
    const struct node_reads *reads = &node->reads;
    int64_t due = INT64_MAX;
    LIST_EACH(item, &reads->waiting)
    {
        const struct node_read *read = LIST_OWNER(item, struct node_read, link);
        bool ready =
            read->index != 0 && node->applied_index >= read->index && !node->guards.installing;
        int64_t end = ready ? node->now_ms : read->deadline_ms;
        due = end < due ? end : due;
    }
    if (reads->ask_open && reads->asked_ms + node->config.election_timeout_ms < due) {
        due = reads->asked_ms + node->config.election_timeout_ms;
    }
    if (reads->round_open && reads->round_ms + node->config.heartbeat_ms < due) {
        due = reads->round_ms + node->config.heartbeat_ms;
    }
    if (!list_empty(&reads->requests) && node->pump_look_ms < due) {
        due = node->pump_look_ms; /* until something of our term is committed */
    }
    if (due == INT64_MAX) {
        return due;
    }
    return due > node->now_ms ? due - node->now_ms : 0;
}
