/* Each node has a watchdog device: it resets a host whose fence stands still before another one
 * leads, and it fires at nothing else that happens in a node's life. */
#include "sim_drill.h"
#include "sim_fence.h"

enum {
    BEYOND_MS = 1500,
    FENCED_MS = 300,
    LIMIT_MS = 30000,
};

static void heal_and_settle(struct scene *scene)
{
    drill_pass(scene, 500);
    sim_faults_heal(scene->world);
    drill_settle(scene);
}

static bool another_serves(const struct scene *scene)
{
    const struct sim_machine *now = drill_primary(scene);
    return now != NULL && now != scene->primary;
}

static void reset_in_time(struct scene *scene)
{
    const struct sim_machine *former = scene->primary;
    drill_until(scene, another_serves, 2 * scene->ttl_ms + BEYOND_MS, "another one serves in time");
    drill_expect(scene, former->dog.fired, "the watchdog has reset the host");
    heal_and_settle(scene);
}

/* FS-20: PostgreSQL goes on, and nobody is there who could end it. */
static void agent_and_fence_stand_still(struct scene *scene)
{
    struct sim_machine *former = scene->primary;
    drill_lead(scene, scene->standbys[sim_below(scene->world, 2)]);
    drill_pass(scene, (int64_t)sim_below(scene->world, 1000));
    sim_node_pause(former->node, 4 * scene->ttl_ms);
    sim_fence_stop(former, 4 * scene->ttl_ms);
    reset_in_time(scene);
}

/* The agent renews on; nobody could end the instance if it stopped doing so. */
static void fence_stands_still(struct scene *scene)
{
    drill_lead(scene, scene->standbys[sim_below(scene->world, 2)]);
    drill_pass(scene, (int64_t)sim_below(scene->world, 1000));
    sim_fence_stop(scene->primary, 4 * scene->ttl_ms);
    reset_in_time(scene);
}

/* Shorter than its timeout is nothing. */
static void fence_stands_still_for_a_moment(struct scene *scene)
{
    drill_lead(scene, scene->standbys[sim_below(scene->world, 2)]);
    for (int i = 0; i < 5; i++) {
        sim_fence_stop(scene->primary, 100 + (int64_t)sim_below(scene->world, 500));
        drill_while(scene, drill_undisturbed, scene->ttl_ms / 2, "a short stop resets nobody");
    }
    drill_settle(scene);
    drill_expect(scene, !scene->primary->dog.fired, "a short stop resets nobody");
}

/* Isolated, without an agent, with a server that crashes: a fence that works is never reset
 * (sim_watchdog.c looks), whatever it has to do. */
static void fence_that_works_is_never_reset(struct scene *scene)
{
    for (unsigned round = 0; round < 4 && drill_good(scene); round++) {
        struct sim_machine *former = scene->primary;
        drill_lead(scene, sim_chance(scene->world, 500) ? scene->standbys[0] : former);
        switch (round) {
        case 0:
            sim_machine_kill_postmaster(former);
            drill_pass(scene, scene->ttl_ms);
            break;
        case 1:
            drill_crash(former);
            sim_faults_restart(former->node, (int64_t)sim_below(scene->world, 2000));
            drill_pass(scene, scene->ttl_ms);
            break;
        case 2:
            scene->world->stops_hang = sim_chance(scene->world, 500);
            sim_faults_isolate(former->node);
            drill_pass(scene, scene->ttl_ms);
            drill_expect(scene, !former->writable, "an isolated primary is fenced");
            drill_until(scene, another_serves, LIMIT_MS, "another one serves");
            break;
        default:
            scene->world->stops_hang = sim_chance(scene->world, 500);
            drill_crash(former);
            drill_pass(scene, scene->ttl_ms + FENCED_MS);
            drill_expect(scene, !former->writable, "the fence acts without an agent");
            drill_until(scene, another_serves, LIMIT_MS, "another one serves");
            break;
        }
        scene->world->stops_hang = false;
        heal_and_settle(scene);
        drill_expect(scene, !former->dog.fired, "a fence that works is never reset");
    }
}

#define DRILL(fn)                                                                                  \
    {                                                                                              \
        .name = #fn, .mode = SIM_CLUSTER, .by_ttl = true, .budget_ms = DRILL_NO_BUDGET, .run = fn, \
        .replication = SIM_ASYNC, .watchdog = true                                                 \
    }

const struct sim_drill sim_drills_watchdog[] = {
    DRILL(agent_and_fence_stand_still),
    DRILL(fence_stands_still),
    DRILL(fence_stands_still_for_a_moment),
    DRILL(fence_that_works_is_never_reset),
};
const size_t sim_drills_watchdog_count =
    sizeof(sim_drills_watchdog) / sizeof(sim_drills_watchdog[0]);
