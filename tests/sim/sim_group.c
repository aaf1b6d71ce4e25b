/* Membership as the program round a node drives it (raft/engine/group.c), on models of its links:
 * the shipping group_join.c takes new members in and removes their predecessors, the shipping
 * group_outsider.c tells who was removed. A removed member ends, as in production, and an operator
 * empties its directory; it comes back as a new member. */
#include "sim.h"

#include "base/assert.h"
#include "base/mem.h"
#include "raft/engine/group_join.h"
#include "raft/engine/group_outsider.h"

#include <stdio.h>

enum { STEP_MS = 200, JOIN_MS = 1000, OPERATOR_MS = 4000 };

/* What the links of one node are to group_outsider.c. */
struct peers {
    struct sim_node *node;
};

struct sim_group {
    struct group_join join;
    struct group_outsider outsider;
    struct peers peers;
    struct handshake_identity identity;
    int64_t join_asked_ms;
};

/* --- links ------------------------------------------------------------------------------------ */

static struct sim_node *linked_node(const struct sim_node *node, uint64_t id)
{
    struct sim_world *world = node->world;
    struct sim_node *other = sim_node_of_id(world, id);
    bool linked = other != NULL && other->raft != NULL &&
                  (sim_world_passes(world, SIM_PORT_RAFT, node->index, other->index) ||
                   sim_world_passes(world, SIM_PORT_RAFT, other->index, node->index));
    return linked ? other : NULL;
}

static bool is_reachable(void *arg, uint64_t id)
{
    return linked_node(arg, id) != NULL;
}

static bool is_callable(void *arg, uint64_t id)
{
    const struct sim_node *node = arg;
    const struct sim_node *other = sim_node_of_id(node->world, id);
    return other != NULL && sim_member_reachable(node->world, node->index, other->index);
}

const struct handshake_identity *peers_peer(const struct peers *peers, uint64_t id)
{
    const struct sim_node *other = linked_node(peers->node, id);
    return other == NULL ? NULL : &other->group->identity;
}

static void removed(void *arg, uint64_t a, uint64_t b)
{
    struct sim_node *node = arg;
    (void)a;
    (void)b;
    sim_trace(node->world, "%s is told that it was removed", node->name);
    sim_member_crash(node);
    sim_member_wipe(node);
    sim_faults_restart(node, 100 + (int64_t)sim_below(node->world, OPERATOR_MS));
}

void peers_tell(struct peers *peers, uint64_t id, enum peer_frame_type type)
{
    struct sim_node *other = linked_node(peers->node, id);
    ASSERT(type == PEER_FRAME_REMOVED);
    if (other != NULL &&
        sim_world_passes(peers->node->world, SIM_PORT_RAFT, peers->node->index, other->index)) {
        sim_node_at(other, 2, removed, other, 0, 0);
    }
}

static void on_warning(void *arg, const char *text)
{
    const struct sim_node *node = arg;
    sim_trace(node->world, "  %s ! raft: %s", node->name, text);
}

bool sim_group_found(struct sim_node *node)
{
    for (unsigned i = 0; i < node->world->node_count; i++) {
        if (i != node->index && sim_member_reachable(node->world, node->index, i)) {
            return true;
        }
    }
    return false;
}

/* --- steps ------------------------------------------------------------------------------------ */

static void asked(void *arg, uint64_t from, uint64_t b)
{
    struct sim_node *node = arg;
    const struct sim_node *other = &node->world->nodes[from];
    (void)b;
    if (other->group != NULL) {
        group_join_ask(&node->group->join, &other->group->identity, sim_node_clock(node));
        group_join_step(&node->group->join, sim_node_clock(node));
    }
}

static void ask_to_vote(struct sim_node *node)
{
    struct sim_world *world = node->world;
    struct sim_group *group = node->group;
    struct raft_status status;
    bool voter = false;
    int64_t now = sim_node_clock(node);
    raft_node_status(node->raft, &status);
    for (size_t i = 0; i < status.member_count; i++) {
        voter = voter || (status.members[i].id == node->id && status.members[i].voter);
    }
    group->identity.flags = voter ? 0 : HANDSHAKE_WAITING;
    if (voter || now - group->join_asked_ms < JOIN_MS) {
        return;
    }
    group->join_asked_ms = now;
    for (unsigned i = 0; i < world->node_count; i++) {
        if (i != node->index && sim_member_reachable(world, node->index, i)) {
            sim_node_at(&world->nodes[i], 1 + (int64_t)sim_below(world, 3), asked, &world->nodes[i],
                        node->index, 0);
        }
    }
}

static void group_turn(void *arg, uint64_t a, uint64_t b)
{
    struct sim_node *node = arg;
    (void)a;
    (void)b;
    if (node->world->membership) {
        ask_to_vote(node);
        group_join_step(&node->group->join, sim_node_clock(node));
        group_outsider_step(&node->group->outsider);
    }
    sim_node_at(node, STEP_MS, group_turn, node, 0, 0);
}

void sim_group_heard(struct sim_node *node, uint64_t from)
{
    if (node->world->membership) {
        group_outsider_heard(&node->group->outsider, from);
    }
}

/* --- life ------------------------------------------------------------------------------------- */

void sim_group_started(struct sim_node *node)
{
    struct sim_group *group = mem_new(struct sim_group);
    ASSERT(node->group == NULL);
    node->group = group;
    group->peers.node = node;
    group->join.node = node->raft;
    group->join.on_warning = on_warning;
    group->join.reachable = is_reachable;
    group->join.callable = is_callable;
    group->join.arg = node;
    group->outsider.node = node->raft;
    group->outsider.peers = &group->peers;
    group->join_asked_ms = sim_node_clock(node) - JOIN_MS;
    group->identity = (struct handshake_identity){.id = node->id,
                                                  .cluster = SIM_CLUSTER_ID,
                                                  .flags = HANDSHAKE_WAITING,
                                                  .group_size = (uint8_t)node->world->node_count};
    (void)snprintf(group->identity.name, sizeof(group->identity.name), "%s", node->name);
    (void)snprintf(group->identity.address, sizeof(group->identity.address), "%s:2380", node->name);
    sim_node_at(node, 1, group_turn, node, 0, 0);
}

void sim_group_stopping(struct sim_node *node)
{
    node->group->join.node = NULL;
    node->group->outsider.node = NULL;
}

void sim_group_free(struct sim_node *node)
{
    mem_free(node->group);
    node->group = NULL;
}

/* --- from outside ----------------------------------------------------------------------------- */

static bool has_voters(const struct sim_world *world, const struct raft_status *status)
{
    size_t found = 0;
    for (size_t i = 0; i < world->node_count; i++) {
        for (size_t j = 0; j < status->member_count; j++) {
            found += status->members[j].id == world->nodes[i].id && status->members[j].voter;
        }
    }
    return found == world->node_count && found == status->member_count;
}

bool sim_group_whole(struct sim_world *world)
{
    for (size_t i = 0; i < world->node_count; i++) {
        struct raft_status status;
        if (world->nodes[i].raft == NULL) {
            return false;
        }
        raft_node_status(world->nodes[i].raft, &status);
        if (!has_voters(world, &status)) {
            return false;
        }
    }
    return true;
}
