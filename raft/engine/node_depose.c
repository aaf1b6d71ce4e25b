/* Depose (rule 7 of docs/consensus.md) ends the lease of a member that still may renew it. Who asks
 * for it does not hear the holder's node; nor may the leader of the group, and it alone can tell:
 * followers exchange nothing. So the leader takes the command into its log only when no message of
 * Raft has come from that node for one election timeout. Until then it is as if the command had not
 * arrived: who asked sends it again while it still wants it.
 *
 * This is about being called off for nothing, not about safety: what the command compares is
 * compared when it is applied. */
#include "raft/engine/node_impl.h"

#include "raft/engine/log_command.h"

#include <string.h>

void node_heard(struct raft_node *node, uint64_t id)
{
    struct node_heard *oldest = &node->heard[0];
    for (size_t i = 0; i < CONFIGURATION_SERVERS_MAX; i++) {
        struct node_heard *heard = &node->heard[i];
        if (heard->id == id) {
            heard->mono_ms = node->now_ms;
            return;
        }
        oldest = heard->mono_ms < oldest->mono_ms ? heard : oldest;
    }
    *oldest = (struct node_heard){.id = id, .mono_ms = node->now_ms};
}

int64_t node_heard_ms(const struct raft_node *node, uint64_t id)
{
    for (size_t i = 0; i < CONFIGURATION_SERVERS_MAX; i++) {
        if (node->heard[i].id == id) {
            return node->heard[i].mono_ms;
        }
    }
    return -1;
}

/* From when on the node could have been heard here. Who has started just now has heard nobody, and
 * who has just begun to lead only the one whom it followed: it counts afresh for every other one.
 * The loss of a node that led both the group and PostgreSQL costs no second wait by that. */
static int64_t hearing_since_ms(const struct raft_node *node, uint64_t id)
{
    return id != node->followed && node->led_since_ms > node->started_ms ? node->led_since_ms
                                                                         : node->started_ms;
}

/* The holder's node is this one, or was heard just now, or is none that we know. */
static bool holder_is_heard(const struct raft_node *node, uint64_t lease)
{
    struct store_lease found;
    struct store_member members[STORE_MEMBERS_MAX];
    size_t count = store_members(node->store, members, STORE_MEMBERS_MAX);
    bool known = false;
    if (!store_lease_get(node->store, lease, &found)) {
        return false; /* it is applied, and answered that there is no such lease */
    }
    for (size_t i = 0; i < count; i++) {
        if (!span_equal(members[i].name, found.owner)) {
            continue;
        }
        int64_t heard_ms = node_heard_ms(node, members[i].id);
        int64_t hearing_ms = hearing_since_ms(node, members[i].id);
        int64_t since_ms = heard_ms < hearing_ms ? hearing_ms : heard_ms;
        known = true;
        if (members[i].id == node->id ||
            node->now_ms - since_ms < node->config.election_timeout_ms) {
            return true;
        }
    }
    return !known;
}

bool node_depose_waits(const struct raft_node *node, struct span data)
{
    struct log_command entry;
    struct store_command command;
    struct buf arena = BUF_INIT;
    if (log_command_decode(data, &entry) != 0 || entry.command.len < 2 ||
        entry.command.data[1] != STORE_DEPOSE) {
        return false;
    }
    bool waits = store_command_decode(entry.command, &command, &arena, NULL) == 0 &&
                 command.type == STORE_DEPOSE && holder_is_heard(node, command.lease);
    buf_free(&arena);
    return waits;
}
