/* The fence of the primary stands still, and its agent goes on: the lease goes where a fence works,
 * and until then the agent ends at K what the fence would not. */
#include "sim_drill.h"
#include "sim_fence.h"

enum {
    KNOWN_MS = 2600, /* that it does not answer */
    BEYOND_MS = 3000,
    KILLED_MS = 250,
    ENDED_MS = 45000,
    LIMIT_MS = 30000,
    FOR_EVER_MS = 3600000,
};

static bool another_serves(const struct scene *scene)
{
    const struct sim_machine *now = drill_primary(scene);
    return now != NULL && now != scene->primary;
}

static bool agent_has_ended(const struct scene *scene)
{
    return scene->primary->node->agent == NULL;
}

static bool cannot_write(const struct scene *scene)
{
    return !scene->primary->writable;
}

static void stop_fence(struct scene *scene, int64_t ms)
{
    drill_lead(scene, scene->standbys[sim_below(scene->world, 2)]);
    drill_pass(scene, (int64_t)sim_below(scene->world, 1000));
    sim_fence_stop(scene->primary, ms);
}

static void taken_over(struct scene *scene)
{
    drill_until(scene, another_serves, KNOWN_MS + scene->ttl_ms + BEYOND_MS,
                "another one serves in time");
}

/* The one that is never woken is ended, and with another one the node takes part again. */
static void silent_fence_for_ever(struct scene *scene)
{
    struct sim_machine *former = scene->primary;
    stop_fence(scene, FOR_EVER_MS);
    taken_over(scene);
    drill_until(scene, agent_has_ended, ENDED_MS, "a fence that nobody needs is ended");
    drill_expect(scene, !sim_fence_stands(former), "another fence is in its place");
    drill_start(former);
    drill_settle(scene);
    drill_expect(scene, scene->primary != former, "it comes back as a standby");
}

static void silent_fence_answers_again(struct scene *scene)
{
    struct sim_machine *former = scene->primary;
    uint64_t incarnation = former->node->incarnation;
    stop_fence(scene, FOR_EVER_MS);
    taken_over(scene);
    sim_machine_heal(former);
    drill_settle(scene);
    drill_expect(scene, scene->primary != former, "it comes back as a standby");
    drill_expect(scene, former->node->incarnation == incarnation, "its agent goes on all the time");
}

/* Shorter than a ttl is nothing. */
static void silent_fence_for_a_moment(struct scene *scene)
{
    stop_fence(scene, KNOWN_MS + scene->ttl_ms - 500);
    drill_while(scene, drill_undisturbed, 3 * scene->ttl_ms, "a short stop moves nothing");
    drill_settle(scene);
}

static void silent_fences_everywhere(struct scene *scene)
{
    for (unsigned i = 0; i < 2; i++) {
        sim_fence_stop(scene->standbys[i], FOR_EVER_MS);
    }
    drill_pass(scene, KNOWN_MS + BEYOND_MS);
    stop_fence(scene, FOR_EVER_MS);
    drill_while(scene, drill_undisturbed, 4 * scene->ttl_ms,
                "where nobody is better nothing moves");
    sim_machine_heal(scene->standbys[0]);
    sim_machine_heal(scene->standbys[1]);
    taken_over(scene);
    sim_faults_heal(scene->world);
    drill_settle(scene);
}

/* A session keeps the shutdown from its end, and no fence kills it at K. */
static void isolated_beside_a_silent_fence(struct scene *scene)
{
    struct sim_machine *former = scene->primary;
    scene->world->stops_hang = sim_chance(scene->world, 500);
    for (unsigned i = 0; i < 2; i++) {
        sim_fence_stop(scene->standbys[i], FOR_EVER_MS); /* nobody is better, at first */
    }
    drill_pass(scene, KNOWN_MS + BEYOND_MS);
    stop_fence(scene, FOR_EVER_MS);
    drill_pass(scene, KNOWN_MS);
    sim_faults_isolate(former->node);
    drill_until(scene, cannot_write, scene->kill_ms + KILLED_MS, "the agent acts at K");
    sim_machine_heal(scene->standbys[0]);
    sim_machine_heal(scene->standbys[1]);
    drill_until(scene, another_serves, LIMIT_MS, "another one serves");
    scene->world->stops_hang = false;
    sim_faults_heal(scene->world);
    drill_settle(scene);
    drill_expect(scene, scene->primary != former, "it comes back as a standby");
}

static void shutdown_hangs_beside_a_silent_fence(struct scene *scene)
{
    scene->world->stops_hang = true;
    stop_fence(scene, FOR_EVER_MS);
    drill_until(scene, another_serves, KNOWN_MS + 2 * scene->ttl_ms + BEYOND_MS,
                "another one serves in time");
    scene->world->stops_hang = false;
    sim_faults_heal(scene->world);
    drill_settle(scene);
}

/* Its backends run on, and the fence, whose children they are now, does not end them. */
static void postmaster_lost_beside_a_silent_fence(struct scene *scene)
{
    stop_fence(scene, FOR_EVER_MS);
    drill_pass(scene, (int64_t)sim_below(scene->world, KNOWN_MS));
    sim_machine_kill_postmaster(scene->primary);
    drill_until(scene, another_serves, KNOWN_MS + scene->ttl_ms + BEYOND_MS,
                "another one serves in time");
    sim_faults_heal(scene->world);
    drill_settle(scene);
}

#define DRILL(fn)                                                                  \
    {                                                                              \
        .name = #fn, .mode = SIM_CLUSTER, .budget_ms = DRILL_NO_BUDGET, .run = fn, \
        .replication = SIM_SYNC                                                    \
    }

const struct sim_drill sim_drills_fence[] = {
    DRILL(silent_fence_for_ever),
    DRILL(silent_fence_answers_again),
    DRILL(silent_fence_for_a_moment),
    DRILL(silent_fences_everywhere),
    DRILL(isolated_beside_a_silent_fence),
    DRILL(shutdown_hangs_beside_a_silent_fence),
    DRILL(postmaster_lost_beside_a_silent_fence),
};
const size_t sim_drills_fence_count = sizeof(sim_drills_fence) / sizeof(sim_drills_fence[0]);
