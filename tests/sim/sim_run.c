/* A run: a safety phase with the faults of its script (or a drill), then everything heals, and the
 * group, the primary and its standbys have to come to rest. */
#include "sim_run.h"

#include "sim_drill.h"
#include "sim_pause.h"

#include <stdio.h>
#include <string.h>

enum {
    CONVERGENCE_MS = 70000,
    CALM_MS = 5000,
    STEP_MS = 100,
    ELECTION_MS = 2500,
    PROMOTION_MS = 3000,
};

/* What comes last may be no command: a configuration of the group, or a barrier. */
static bool applied_alike(struct sim_world *world)
{
    uint64_t last = 0;
    for (size_t i = 0; i < world->node_count; i++) {
        struct raft_status status;
        if (world->nodes[i].raft == NULL) {
            return false;
        }
        raft_node_status(world->nodes[i].raft, &status);
        last = i == 0 ? status.last_index : last;
        if (status.leader == 0 || status.applied_index + 1 < sim_log_length(world) ||
            status.applied_index != status.last_index || status.last_index != last) {
            return false;
        }
    }
    return true;
}

static void run_until(struct sim_world *world, bool (*reached)(struct sim_world *world),
                      int64_t limit_ms, const char *what)
{
    int64_t end = world->now + limit_ms;
    while (world->failure == NULL && !reached(world)) {
        sim_run_until(world, world->now + STEP_MS);
        if (world->now >= end) {
            sim_fail(world, what, "not after %lld ms", (long long)limit_ms);
        }
    }
}

static bool progressed(struct sim_world *world)
{
    return sim_load_progressed(world);
}

static uint64_t told_at_rest;

static bool commits_go_on(struct sim_world *world)
{
    return sim_commits_count(world) > told_at_rest;
}

static void converge(struct sim_world *world)
{
    sim_faults_heal(world);
    sim_load_healed(world);
    run_until(world, progressed, CONVERGENCE_MS, "commands are answered again");
    if (world->options.mode == SIM_CLUSTER) {
        run_until(world, sim_pause_ended, CONVERGENCE_MS, "the pause ends");
        /* L4: the rest of the lease, an election of Raft, the promotion; all processes run. */
        run_until(world, sim_agents_serve, world->ttl_most_ms + ELECTION_MS + PROMOTION_MS,
                  "a primary serves again");
        run_until(world, sim_agents_settled, CONVERGENCE_MS,
                  "one primary, and everybody streams from it");
        sim_run_until(world, world->now + CALM_MS);
        told_at_rest = sim_commits_count(world);
        run_until(world, commits_go_on, CALM_MS, "commits are answered again");
    }
    run_until(world, sim_group_whole, CONVERGENCE_MS, "all are voters of one group");
}

/* L7: nothing is broken, so nobody is elected a second time. */
static void check_calm(struct sim_world *world)
{
    if (world->options.mode == SIM_CLUSTER && world->script->count == 0 &&
        world->setup.straggler_permille + world->setup.loss_permille == 0 &&
        sim_commits_reigns(world) != 1) {
        sim_fail(world, "no failover where nothing is broken", "%zu primaries",
                 sim_commits_reigns(world));
    }
}

static void run_phases(struct sim_world *world)
{
    sim_member_found(world);
    for (size_t i = 0; i < world->node_count; i++) {
        sim_member_start(&world->nodes[i]);
    }
    if (world->options.drill != NULL) {
        sim_drill_run(world);
    } else {
        sim_faults_start(world);
        sim_run_until(world, world->options.fault_ms);
        check_calm(world);
    }
    if (world->failure != NULL) {
        return;
    }
    converge(world);
    sim_load_stop(world);
    sim_agents_stop(world);
    run_until(world, applied_alike, CONVERGENCE_MS, "all members apply everything");
    if (world->failure == NULL) {
        sim_log_finish(world);
    }
}

void sim_run(const struct sim_options *options, const struct sim_setup *setup,
             const struct sim_script *script, struct sim_outcome *ret_outcome)
{
    static struct sim_world world;
    sim_running = NULL;
    sim_world_init(&world, options, setup, script);
    sim_log_open(&world);
    sim_load_open(&world);
    sim_agents_open(&world);
    run_phases(&world);
    *ret_outcome =
        (struct sim_outcome){.failure = world.failure, .ended_ms = world.now, .hash = world.hash};
    (void)snprintf(ret_outcome->text, sizeof(ret_outcome->text), "%s", world.failure_text);
    sim_world_close(&world);
    sim_agents_close(&world);
    sim_load_close(&world);
    sim_log_close(&world);
}

void sim_run_drawn(const struct sim_options *options, struct sim_outcome *ret_outcome)
{
    static struct sim_script script;
    struct sim_setup setup;
    script.count = 0;
    if (options->drill != NULL) {
        sim_drill_setup(options, &setup);
    } else {
        sim_setup_draw(options, &setup);
        sim_script_draw(options, &setup, &script);
    }
    sim_run(options, &setup, &script, ret_outcome);
}
