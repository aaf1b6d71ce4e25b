/* What happens between hosts. Most of it passes after a while, which is when two sides meet again
 * in every state of their leases. */
#include "sim_script.h"

#include "base/assert.h"

enum { FLAPS_MAX = 12 };

static void mend_later(void *arg, uint64_t a, uint64_t b)
{
    struct sim_world *world = arg;
    (void)a;
    (void)b;
    if (world->faults_on) {
        sim_faults_mend(world);
    }
}

void sim_fault_passes(struct sim_world *world, struct sim_dice *dice)
{
    int64_t ttl = sim_ttl_ms(world);
    /* Often just when a lease is about to end, or has just ended. */
    int64_t after = sim_dice_chance(dice, 400) ? sim_dice_between(dice, ttl / 2, ttl + 600)
                                               : sim_dice_between(dice, 100, 2 * ttl);
    if (sim_dice_chance(dice, 800)) {
        sim_at(world, after, mend_later, world, 0, 0);
    }
}

static void cut(struct sim_world *world, unsigned from, unsigned to)
{
    sim_trace(world, "  cut node%u -> node%u", from + 1, to + 1);
    world->cut[from][to] = true;
}

bool sim_fault_cut(struct sim_world *world, struct sim_dice *dice)
{
    unsigned from = sim_fault_any(world, dice)->index;
    unsigned to = sim_fault_victim(world, dice)->index;
    if (from == to) {
        return false;
    }
    cut(world, from, to);
    sim_fault_passes(world, dice);
    return true;
}

bool sim_fault_pair(struct sim_world *world, struct sim_dice *dice)
{
    unsigned one = sim_fault_any(world, dice)->index;
    unsigned other = sim_fault_victim(world, dice)->index;
    if (one == other) {
        return false;
    }
    cut(world, one, other);
    cut(world, other, one);
    sim_fault_passes(world, dice);
    return true;
}

static void set_isolated(struct sim_node *node, bool in, bool out, bool value)
{
    struct sim_world *world = node->world;
    for (size_t i = 0; i < world->node_count; i++) {
        if (i != node->index) {
            world->cut[i][node->index] = in ? value : world->cut[i][node->index];
            world->cut[node->index][i] = out ? value : world->cut[node->index][i];
        }
    }
}

void sim_faults_isolate(struct sim_node *node)
{
    sim_trace(node->world, "%s is isolated", node->name);
    set_isolated(node, true, true, true);
}

bool sim_fault_isolation(struct sim_world *world, struct sim_dice *dice)
{
    sim_faults_isolate(sim_fault_victim(world, dice));
    sim_fault_passes(world, dice);
    return true;
}

bool sim_fault_deaf(struct sim_world *world, struct sim_dice *dice)
{
    struct sim_node *node = sim_fault_victim(world, dice);
    sim_trace(world, "%s receives nothing", node->name);
    set_isolated(node, true, false, true);
    sim_fault_passes(world, dice);
    return true;
}

bool sim_fault_mute(struct sim_world *world, struct sim_dice *dice)
{
    struct sim_node *node = sim_fault_victim(world, dice);
    sim_trace(world, "%s sends nothing", node->name);
    set_isolated(node, false, true, true);
    sim_fault_passes(world, dice);
    return true;
}

bool sim_fault_all_cut(struct sim_world *world, struct sim_dice *dice)
{
    sim_trace(world, "nobody hears anybody");
    for (size_t i = 0; i < world->node_count; i++) {
        set_isolated(&world->nodes[i], true, true, true);
    }
    sim_fault_passes(world, dice);
    return true;
}

bool sim_fault_ring(struct sim_world *world, struct sim_dice *dice)
{
    unsigned count = (unsigned)world->node_count;
    bool back = sim_dice_chance(dice, 500);
    for (unsigned i = 0; i < count; i++) {
        unsigned next = (i + 1) % count;
        cut(world, back ? next : i, back ? i : next);
    }
    sim_fault_passes(world, dice);
    return true;
}

/* --- links that come and go ------------------------------------------------------------------- */

static void flap(void *arg, uint64_t left, uint64_t period_ms)
{
    struct sim_node *node = arg;
    if (!node->world->faults_on) {
        return;
    }
    bool down = left % 2 == 1;
    sim_trace(node->world, "%s: its link is %s", node->name, down ? "down" : "up");
    set_isolated(node, true, true, down);
    if (left > 0) {
        sim_at(node->world, (int64_t)period_ms, flap, node, left - 1, period_ms);
    }
}

bool sim_fault_flap(struct sim_world *world, struct sim_dice *dice)
{
    struct sim_node *node = sim_fault_victim(world, dice);
    int64_t period = sim_dice_between(dice, 100, sim_ttl_ms(world));
    flap(node, 1 + 2 * sim_dice_below(dice, FLAPS_MAX), (uint64_t)period);
    return true;
}

static void swizzle_cut(void *arg, uint64_t a, uint64_t b)
{
    struct sim_node *node = arg;
    (void)a;
    (void)b;
    if (node->world->faults_on) {
        sim_faults_isolate(node);
    }
}

static void swizzle_heal(void *arg, uint64_t a, uint64_t b)
{
    struct sim_node *node = arg;
    (void)a;
    (void)b;
    if (node->world->faults_on) {
        sim_trace(node->world, "%s hears and is heard again", node->name);
        set_isolated(node, true, true, false);
    }
}

/* One after the other is cut off, and they come back in another order. */
bool sim_fault_swizzle(struct sim_world *world, struct sim_dice *dice)
{
    int64_t span = sim_dice_between(dice, 200, sim_ttl_ms(world));
    for (size_t i = 0; i < world->node_count; i++) {
        int64_t at = sim_dice_between(dice, 0, span);
        sim_at(world, at, swizzle_cut, &world->nodes[i], 0, 0);
        sim_at(world, span + sim_dice_between(dice, 0, span), swizzle_heal, &world->nodes[i], 0, 0);
    }
    return true;
}

/* --- one service ------------------------------------------------------------------------------ */

static bool cut_port(struct sim_world *world, struct sim_dice *dice, enum sim_port port)
{
    struct sim_node *node = sim_fault_victim(world, dice);
    bool in = sim_dice_chance(dice, 800);
    bool out = !in || sim_dice_chance(dice, 800);
    struct sim_dice more = {~dice->state}; /* what else is drawn stays as it is */
    bool rest = sim_dice_chance(&more, 500);
    sim_trace(world, "%s: %s%s is cut%s", node->name, port == SIM_PORT_RAFT ? "Raft" : "PostgreSQL",
              rest ? " and REST" : "",
              in && out ? ""
              : in      ? ", inwards"
                        : ", outwards");
    for (size_t i = 0; i < world->node_count; i++) {
        if (i != node->index) {
            world->port_cut[port][i][node->index] |= in;
            world->port_cut[port][node->index][i] |= out;
            world->port_cut[SIM_PORT_REST][i][node->index] |= rest && in;
            world->port_cut[SIM_PORT_REST][node->index][i] |= rest && out;
        }
    }
    sim_fault_passes(world, dice);
    return true;
}

bool sim_fault_raft_cut(struct sim_world *world, struct sim_dice *dice)
{
    return cut_port(world, dice, SIM_PORT_RAFT);
}

bool sim_fault_copy_cut(struct sim_world *world, struct sim_dice *dice)
{
    return cut_port(world, dice, SIM_PORT_POSTGRES);
}

bool sim_fault_mend(struct sim_world *world, struct sim_dice *dice)
{
    (void)dice;
    sim_faults_mend(world);
    return true;
}

/* All links, or one way: answers that come late. */
bool sim_fault_slow_network(struct sim_world *world, struct sim_dice *dice)
{
    if (sim_dice_chance(dice, 500)) {
        world->slow_network ^= true;
        return true;
    }
    struct sim_node *node = sim_fault_victim(world, dice);
    for (size_t i = 0; i < world->node_count; i++) {
        world->late_ms[i][node->index] = sim_dice_between(dice, 1, sim_ttl_ms(world));
    }
    sim_fault_passes(world, dice);
    return true;
}
