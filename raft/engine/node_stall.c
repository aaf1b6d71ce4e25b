/* A leader whose own disk stands still.
 *
 * Its heartbeats need no disk, so nobody deposes it; commits go on for as long as the majority is
 * made of others, and every new one waits in memory here until no more are taken. So the lead is
 * given to a voter that has on its disk what ours does not take. It needs none of ours for that: it
 * is told to campaign, and is elected by the others.
 *
 * What counts is how long entries wait. A snapshot that takes long keeps nobody waiting as long as
 * nothing comes behind it. */
#include "raft/engine/node_impl.h"

#include <stdio.h>

/* Slow disks come back in less; a lead that moves costs a round of messages. */
#define NODE_STALL_ELECTIONS 4

/* The furthest of the others; 0 = none has what our disk lacks. */
static uint64_t successor_of(const struct raft_node *node, uint64_t lacking)
{
    uint64_t best = 0;
    for (size_t i = 0; i < node->configuration.count; i++) {
        const struct configuration_server *server = &node->configuration.servers[i];
        uint64_t match = node_match_of(node, server->id);
        if (server->voter && server->id != node->id && match >= lacking &&
            node->env.peers->connected(node->env.peers_arg, server->id) &&
            (best == 0 || match > node_match_of(node, best))) {
            best = server->id;
        }
    }
    return best;
}

/* The first that the disk has not taken and that has entries; NULL = none. A snapshot, large as it
 * may be, is where a disk stands still as soon as anywhere. */
static const struct node_job *oldest_entries(const struct raft_node *node)
{
    LIST_EACH(item, &node->jobs)
    {
        const struct node_job *job = LIST_OWNER(item, struct node_job, link);
        if (job->storage.has_entries) {
            return job;
        }
    }
    return NULL;
}

static void tell(const struct raft_node *node, const struct node_job *oldest, uint64_t to)
{
    char text[ERROR_TEXT_BYTES];
    (void)snprintf(text, sizeof text,
                   "the Raft disk of this member, which leads the group, has not taken a write for "
                   "%lld ms: the lead is given to member %llx",
                   (long long)(node->now_ms - oldest->submitted_ms), (unsigned long long)to);
    if (node->env.on_warning != NULL) {
        node->env.on_warning(node->env.arg, text);
    }
}

void node_stall_pump(struct raft_node *node)
{
    struct raft_event event = {.type = RAFT_TRANSFER};
    int64_t limit_ms = NODE_STALL_ELECTIONS * (int64_t)node->config.election_timeout_ms;

    if (!node_is_leader(node) || node->now_ms < node->stall_again_ms ||
        !guard_transfer_allowed(&node->guards) || node->change.open ||
        raft_transferee(&node->raft) != 0) {
        return;
    }
    const struct node_job *oldest = oldest_entries(node);
    if (oldest == NULL || node->now_ms - oldest->submitted_ms < limit_ms) {
        return;
    }
    event.transfer.server_id = successor_of(node, oldest->storage.entries[0].index);
    if (event.transfer.server_id == 0) {
        return;
    }
    node->stall_again_ms = node->now_ms + limit_ms;
    tell(node, oldest, event.transfer.server_id);
    (void)node_step(node, &event, false); /* refused: it is tried again */
}
