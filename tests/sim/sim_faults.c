/* Carries out the script of a run, and heals everything at its end. */
#include "sim_script.h"

#include "sim_fence.h"
#include "sim_machine.h"

#include <stdio.h>

static const sim_fault_fn functions[SIM_FAULT_KINDS] = {
#define FUNCTION(constant, name, function, where) function,
    SIM_FAULTS(FUNCTION)
#undef FUNCTION
};
static unsigned long counts[SIM_FAULT_KINDS]; /* of all runs: what was done, not what was drawn */

bool sim_faults_print(void)
{
    bool all = true;
    printf("faults:");
    for (size_t i = 0; i < SIM_FAULT_KINDS; i++) {
        printf("%s %lu %s", i == 0 ? "" : ",", counts[i], sim_fault_name((enum sim_fault_kind)i));
        all = all && counts[i] > 0;
    }
    printf("\n");
    return all;
}

/* --- whom it meets ---------------------------------------------------------------------------- */

struct sim_node *sim_fault_any(struct sim_world *world, struct sim_dice *dice)
{
    return &world->nodes[sim_dice_below(dice, world->node_count)];
}

struct sim_node *sim_fault_primary(struct sim_world *world)
{
    for (size_t i = 0; world->options.mode == SIM_CLUSTER && i < world->node_count; i++) {
        if (sim_machine_of(&world->nodes[i])->writable) {
            return &world->nodes[i];
        }
    }
    return NULL;
}

struct sim_node *sim_fault_victim(struct sim_world *world, struct sim_dice *dice)
{
    struct sim_node *any = sim_fault_any(world, dice);
    struct sim_node *leader = sim_leader(world);
    struct sim_node *primary = sim_fault_primary(world);
    switch (sim_dice_below(dice, 4)) {
    case 0: return any;
    case 1: return leader != NULL ? leader : any;
    default: return primary != NULL ? primary : leader != NULL ? leader : any;
    }
}

/* --- beginning and end ------------------------------------------------------------------------ */

static void restart(void *arg, uint64_t a, uint64_t b)
{
    struct sim_node *node = arg;
    (void)a;
    (void)b;
    bool stands =
        node->world->options.mode == SIM_CLUSTER && sim_fence_stands(sim_machine_of(node));
    if (node->frozen || stands) { /* an agent whose fence does not answer ends again */
        sim_faults_restart(node, 100);
    } else if (node->raft == NULL && node->world->failure == NULL) {
        sim_member_start(node);
    }
}

void sim_faults_restart(struct sim_node *node, int64_t delay_ms)
{
    sim_at(node->world, delay_ms, restart, node, 0, 0);
}

static void strike(void *arg, uint64_t kind, uint64_t seed)
{
    struct sim_world *world = arg;
    struct sim_dice dice = {seed};
    if (!world->faults_on) {
        return;
    }
    sim_running = NULL;
    sim_trace(world, "* %s", sim_fault_name((enum sim_fault_kind)kind));
    bool done = functions[kind](world, &dice);
    counts[kind] += done;
    if (!done) {
        sim_trace(world, "  nothing to do");
    }
}

void sim_faults_start(struct sim_world *world)
{
    world->faults_on = true;
    for (size_t i = 0; i < world->script->count; i++) {
        const struct sim_fault *fault = &world->script->faults[i];
        sim_at(world, fault->at_ms, strike, world, fault->kind, fault->dice);
    }
}

void sim_faults_mend(struct sim_world *world)
{
    sim_trace(world, "network is whole");
    for (size_t i = 0; i < world->node_count; i++) {
        for (size_t j = 0; j < world->node_count; j++) {
            world->cut[i][j] = false;
            world->late_ms[i][j] = 0;
            for (size_t port = 0; port < SIM_PORTS; port++) {
                world->port_cut[port][i][j] = false;
            }
        }
    }
    world->slow_network = false;
}

void sim_faults_heal(struct sim_world *world)
{
    sim_trace(world, "--- everything heals");
    world->faults_on = false;
    world->primaries_silent = false;
    world->maintenance = false; /* sim_pause_ended says so, until it is known */
    world->resumed_ms = world->now;
    sim_faults_mend(world);
    for (size_t i = 0; i < world->node_count; i++) {
        struct sim_node *node = &world->nodes[i];
        node->disk.slow = false;
        node->disk.full = false;
        node->disk.failing = false;
        node->disk.stalled_until_ms = 0;
        node->crash_in = 0;
        sim_host_thaw(node);
        if (node->paused) {
            sim_node_resume(node);
        }
        if (world->options.mode == SIM_CLUSTER) {
            sim_machine_heal(sim_machine_of(node));
        }
        restart(node, 0, 0);
    }
}
