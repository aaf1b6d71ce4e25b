/* What breaks, and the healing. One fault is drawn every few hundred ms; several last at once.
 *
 * What a member stored is lost or damaged at one member at a time, and only while the group is
 * whole: of each committed entry a majority of the voters has a copy, and a voter that is gone has
 * none. */
#include "sim.h"

#include <stdio.h>

enum { FAULT_MS_MAX = 3000 };

enum kind {
    CRASH,
    CUT,
    ISOLATION,
    PAUSE,
    SLOW_DISK,
    SLOW_NETWORK,
    TRANSFER,
    FULL_DISK,
    IO_ERROR,
    DAMAGE,
    WIPE,
    REMOVAL,
    KINDS
};

static const char *const kind_names[KINDS] = {
    "crash",    "cut",       "isolation", "pause",  "slow disk",      "slow network",
    "transfer", "full disk", "I/O error", "damage", "lost directory", "removal"};
static unsigned long counts[KINDS]; /* of all seeds: what was done, not what was drawn */

bool sim_faults_print(void)
{
    bool all = true;
    printf("faults:");
    for (size_t i = 0; i < KINDS; i++) {
        printf("%s %lu %s", i == 0 ? "" : ",", counts[i], kind_names[i]);
        all = all && counts[i] > 0;
    }
    printf("\n");
    return all;
}

static void restart(void *arg, uint64_t a, uint64_t b)
{
    struct sim_node *node = arg;
    (void)a;
    (void)b;
    if (node->raft == NULL && node->world->failure == NULL) {
        sim_member_start(node);
    }
}

void sim_faults_restart(struct sim_node *node, int64_t delay_ms)
{
    sim_at(node->world, delay_ms, restart, node, 0, 0);
}

static void crash(struct sim_node *node)
{
    counts[CRASH] += node->raft != NULL;
    sim_member_crash(node);
    sim_faults_restart(
        node, 20 + (sim_chance(node->world, 500) ? 0 : (int64_t)sim_below(node->world, 6000)));
}

static struct sim_node *any_node(struct sim_world *world)
{
    return &world->nodes[sim_below(world, world->node_count)];
}

static void cut_one_way(struct sim_world *world)
{
    unsigned from = any_node(world)->index;
    unsigned to = any_node(world)->index;
    if (from != to) {
        sim_trace(world, "cut node%u -> node%u", from + 1, to + 1);
        world->cut[from][to] = true;
        counts[CUT]++;
    }
}

void sim_faults_isolate(struct sim_node *node)
{
    struct sim_world *world = node->world;
    sim_trace(world, "%s is isolated", node->name);
    counts[ISOLATION]++;
    for (size_t i = 0; i < world->node_count; i++) {
        if (i != node->index) {
            world->cut[i][node->index] = true;
            world->cut[node->index][i] = true;
        }
    }
}

void sim_faults_mend(struct sim_world *world)
{
    sim_trace(world, "network is whole");
    for (size_t i = 0; i < world->node_count; i++) {
        for (size_t j = 0; j < world->node_count; j++) {
            world->cut[i][j] = false;
            world->late_ms[i][j] = 0;
        }
    }
    world->slow_network = false;
}

static void transfer(struct sim_world *world)
{
    struct sim_node *leader = sim_leader(world);
    struct sim_node *to = any_node(world);
    if (leader != NULL && to != leader && !leader->paused &&
        raft_node_transfer(leader->raft, to->id, NULL) == 0) {
        counts[TRANSFER]++;
        sim_trace(world, "%s hands Raft leadership to %s", leader->name, to->name);
    }
}

static void pause(struct sim_node *node)
{
    if (node->raft != NULL && !node->paused) {
        counts[PAUSE]++;
        sim_node_pause(node, 20 + (int64_t)sim_below(node->world, 4000));
    }
}

/* --- storage and membership ------------------------------------------------------------------- */

static void space_again(void *arg, uint64_t a, uint64_t b)
{
    struct sim_node *node = arg;
    (void)a;
    (void)b;
    sim_trace(node->world, "%s: the disk has space again", node->name);
    node->disk.full = false;
}

static void fill_disk(struct sim_node *node)
{
    int64_t ms = 500 + (int64_t)sim_below(node->world, 8000);
    sim_trace(node->world, "%s: the disk is full for %lld ms", node->name, (long long)ms);
    node->disk.full = true;
    counts[FULL_DISK]++;
    sim_at(node->world, ms, space_again, node, 0, 0);
}

static void lose_storage(struct sim_node *node, bool damage)
{
    struct sim_world *world = node->world;
    if (!sim_group_whole(world)) {
        return;
    }
    world->membership = true;
    counts[damage ? DAMAGE : WIPE]++;
    sim_trace(world, "%s: its Raft directory is %s", node->name, damage ? "damaged" : "lost");
    sim_member_crash(node);
    if (damage) {
        sim_member_damage(node);
    } else if (world->options.mode == SIM_CLUSTER) {
        sim_agent_host_lost(node);
    }
    sim_member_wipe(node);
    sim_faults_restart(node, 20 + (int64_t)sim_below(world, 6000));
}

static void on_removed(void *arg, int rc, const struct store_result *result)
{
    (void)arg;
    (void)rc;
    (void)result;
}

static void remove_member(struct sim_world *world)
{
    struct sim_node *leader = sim_leader(world);
    struct sim_node *node = any_node(world);
    if (leader == NULL || leader == node || leader->paused || !sim_group_whole(world)) {
        return;
    }
    sim_running = leader;
    if (raft_node_remove(leader->raft, node->id, on_removed, NULL, NULL) == 0) {
        world->membership = true;
        counts[REMOVAL]++;
        sim_trace(world, "%s is to remove %s from the group", leader->name, node->name);
    }
}

/* --- drawing ---------------------------------------------------------------------------------- */

static void fault(void *arg, uint64_t a, uint64_t b)
{
    struct sim_world *world = arg;
    (void)a;
    (void)b;
    if (!world->faults_on) {
        return;
    }
    struct sim_node *leader = sim_leader(world);
    switch (sim_below(world, world->options.mode == SIM_CLUSTER ? 25 : 20)) {
    case 0:
    case 1: crash(any_node(world)); break;
    case 2: crash(leader != NULL ? leader : any_node(world)); break;
    case 3:
        for (size_t i = 0; sim_chance(world, 300) && i < world->node_count; i++) {
            crash(&world->nodes[i]);
        }
        break;
    case 4:
    case 5: cut_one_way(world); break;
    case 6: sim_faults_isolate(any_node(world)); break;
    case 7: sim_faults_isolate(leader != NULL ? leader : any_node(world)); break;
    case 8:
    case 9: sim_faults_mend(world); break;
    case 10: pause(any_node(world)); break;
    case 11:
        any_node(world)->disk.slow ^= true;
        counts[SLOW_DISK]++;
        break;
    case 12:
        world->slow_network ^= true;
        counts[SLOW_NETWORK]++;
        break;
    case 13: transfer(world); break;
    case 14: fill_disk(any_node(world)); break;
    case 15: fill_disk(leader != NULL ? leader : any_node(world)); break;
    case 16:
        any_node(world)->disk.failing = true;
        counts[IO_ERROR]++;
        break;
    case 17: lose_storage(any_node(world), true); break;
    case 18: lose_storage(any_node(world), false); break;
    case 19: remove_member(world); break;
    default: sim_agents_fault(world); break;
    }
    sim_at(world, 100 + (int64_t)sim_below(world, FAULT_MS_MAX), fault, world, 0, 0);
}

void sim_faults_start(struct sim_world *world)
{
    world->faults_on = true;
    sim_at(world, 2000, fault, world, 0, 0);
}

void sim_faults_heal(struct sim_world *world)
{
    sim_trace(world, "--- everything heals");
    world->faults_on = false;
    sim_faults_mend(world);
    for (size_t i = 0; i < world->node_count; i++) {
        world->nodes[i].disk.slow = false;
        world->nodes[i].disk.full = false;
        world->nodes[i].disk.failing = false;
        if (world->nodes[i].paused) {
            sim_node_resume(&world->nodes[i]);
        }
        restart(&world->nodes[i], 0, 0);
    }
}
