/* An orderly stop of a leader. The others would notice its death only after an election timeout,
 * and until then nobody could take the leader key that it may just have given away. So it hands its
 * office over first:
 *
 *   leads: nothing new into the log --(a voter has all of it, and knows what is committed)-->
 *   TimeoutNow to that voter --> follows --(the new leader has committed in its own term)--> over
 *
 * Until the new leader's first commit this member stays: with one of three voters dead, that commit
 * needs it. Commands that wait here meanwhile are sent to the new leader by who proposed them. */
#include "raft/engine/node_impl.h"

#include "base/assert.h"

void raft_node_retire(struct raft_node *node, int64_t timeout_ms, raft_done done, void *arg)
{
    ASSERT(!node->retire.open);
    node->retire = (struct node_retire){.open = true,
                                        .led = node_is_leader(node),
                                        .deadline_ms = clock_mono_ms(node->env.clock) + timeout_ms,
                                        .done = done,
                                        .arg = arg};
    node_kick(node);
}

static void end(struct raft_node *node, int rc)
{
    node->retire.open = false;
    node_call_later(node, node->retire.done, node->retire.arg, rc, NULL);
}

static bool has_successor(const struct raft_node *node)
{
    for (size_t i = 0; i < node->configuration.count; i++) {
        const struct configuration_server *server = &node->configuration.servers[i];
        if (server->voter && server->id != node->id &&
            node->env.peers->connected(node->env.peers_arg, server->id)) {
            return true;
        }
    }
    return false;
}

static bool is_over(const struct raft_node *node)
{
    if (node_is_leader(node)) {
        return !has_successor(node);
    }
    return !node->retire.led || (node_leader(node) != 0 && node_own_term_committed(node));
}

void node_retire_settle(struct raft_node *node)
{
    if (!node->retire.open) {
        return;
    }
    if (is_over(node)) {
        end(node, 0);
    } else if (node->now_ms >= node->retire.deadline_ms) {
        end(node, ERR_TIMEOUT);
    }
}

void node_retire_pump(struct raft_node *node)
{
    if (!node->retire.open || !node_is_leader(node)) {
        return;
    }
    node->retire.led = true;
    for (size_t i = 0; i < node->configuration.count; i++) {
        const struct configuration_server *server = &node->configuration.servers[i];
        if (server->id != node->id && node_transfer(node, server->id, NULL) == 0) {
            return;
        }
    }
}

void node_retire_cancel(struct raft_node *node)
{
    if (node->retire.open) {
        end(node, ERR_CANCELED);
    }
}

int64_t node_retire_delay(const struct raft_node *node)
{
    return node->retire.open ? node->retire.deadline_ms - node->now_ms : INT64_MAX;
}
