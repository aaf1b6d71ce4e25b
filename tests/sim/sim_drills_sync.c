/* Drills of synchronous replication: what the mix of faults comes upon now and then is done here
 * step by step, with a fence that does not act, so that only who confirms what protects a commit.
 */
#include "sim_drill.h"

#include "base/assert.h"

enum { BEYOND_MS = 1500, SHUT_MS = 400, LAG_MS = 1000 };

static uint64_t told_before;

static bool commits_go_on(const struct scene *scene)
{
    return sim_commits_count(scene->world) > told_before;
}

static void expect_commits(struct scene *scene, int64_t limit_ms)
{
    told_before = sim_commits_count(scene->world);
    drill_until(scene, commits_go_on, limit_ms, "commits are answered");
}

static void cut_raft(struct scene *scene, const struct sim_machine *machine)
{
    struct sim_world *world = scene->world;
    for (unsigned i = 0; i < world->node_count; i++) {
        if (i != machine->node->index) {
            world->port_cut[SIM_PORT_RAFT][i][machine->node->index] = true;
            world->port_cut[SIM_PORT_RAFT][machine->node->index][i] = true;
        }
    }
}

static bool another_serves(const struct scene *scene)
{
    for (size_t i = 0; i < 2; i++) {
        if (scene->standbys[i]->writable) {
            return true;
        }
    }
    return false;
}

/* Its Raft member is cut off, its agent stopped, its fence does not act, and its standbys could go
 * on receiving: whoever promises has to stop. */
static void raft_cut_while_replication_is_whole(struct scene *scene)
{
    drill_lead(scene, scene->standbys[0]);
    expect_commits(scene, BEYOND_MS);
    sim_node_pause(scene->primary->node, 4 * scene->ttl_ms);
    cut_raft(scene, scene->primary);
    drill_until(scene, another_serves, scene->ttl_ms + BEYOND_MS, "another one is promoted");
    drill_pass(scene, scene->ttl_ms);
    sim_faults_heal(scene->world);
    drill_settle(scene);
    expect_commits(scene, BEYOND_MS);
}

/* Of the two that may confirm, the one that did dies with the primary: the other one waits. */
static void who_confirmed_is_lost_with_the_primary(struct scene *scene)
{
    struct sim_world *world = scene->world;
    struct sim_machine *ahead = scene->standbys[sim_below(world, 2)];
    struct sim_machine *behind =
        ahead == scene->standbys[0] ? scene->standbys[1] : scene->standbys[0];
    drill_begin(scene);
    drill_pass(scene, SHUT_MS);
    for (unsigned i = 0; i < world->node_count; i++) { /* it receives nothing, and votes */
        world->port_cut[SIM_PORT_POSTGRES][i][behind->node->index] = true;
        world->port_cut[SIM_PORT_POSTGRES][behind->node->index][i] = true;
    }
    expect_commits(scene, BEYOND_MS);
    drill_pass(scene, (int64_t)sim_below(world, 2000));
    drill_power_off(scene->primary);
    drill_power_off(ahead);
    sim_faults_mend(world);
    drill_pass(scene, (int64_t)sim_below(world, 300));
    sim_faults_restart(sim_chance(world, 500) ? ahead->node : scene->primary->node, 0);
    drill_pass(scene, 2 * scene->ttl_ms + BEYOND_MS);
    sim_faults_heal(world);
    drill_settle(scene);
    expect_commits(scene, BEYOND_MS);
}

static bool waits_for_another(const struct scene *scene)
{
    return scene->primary->postmaster.count > 0 && scene->primary->postmaster.names[0] >= 0 &&
           scene->primary->postmaster.names[0] != (int)scene->standbys[0]->node->index;
}

/* The synchronous standby goes, another one takes its place, and just then the primary is lost. */
static void change_the_set(struct scene *scene, bool new_one_lags)
{
    struct sim_world *world = scene->world;
    struct sim_machine *first = scene->standbys[0];
    if (waits_for_another(scene)) {
        scene->standbys[0] = scene->standbys[1];
        scene->standbys[1] = first;
    }
    first = scene->standbys[0];
    drill_begin(scene);
    scene->standbys[1]->slow_until_ms = new_one_lags ? INT64_MAX : 0;
    drill_pass(scene, new_one_lags ? LAG_MS : 0);
    for (unsigned i = 0; i < world->node_count; i++) {
        world->port_cut[SIM_PORT_POSTGRES][i][first->node->index] = true;
        world->port_cut[SIM_PORT_POSTGRES][first->node->index][i] = true;
    }
    drill_until(scene, waits_for_another, 30000, "another standby takes its place");
    drill_pass(scene, (int64_t)sim_below(world, 400));
    drill_power_off(scene->primary);
    scene->standbys[1]->slow_until_ms = 0;
    sim_faults_mend(world);
    drill_pass(scene, 2 * scene->ttl_ms);
    sim_faults_heal(world);
    drill_settle(scene);
    expect_commits(scene, BEYOND_MS);
}

static void primary_lost_while_the_set_changes(struct scene *scene)
{
    change_the_set(scene, false);
}

static void primary_lost_while_the_new_one_lags(struct scene *scene)
{
    change_the_set(scene, true);
}

/* Whoever has taken over is lost as soon as it is written to: what it answered by then was on
 * another one. */
static void new_primary_lost_at_once(struct scene *scene)
{
    struct sim_world *world = scene->world;
    struct sim_machine *former = scene->primary;
    drill_begin(scene);
    drill_pass(scene, SHUT_MS);
    drill_power_off(former);
    drill_until(scene, another_serves, scene->ttl_ms + BEYOND_MS, "another one is promoted");
    drill_pass(scene, (int64_t)sim_below(world, 200));
    drill_power_off(scene->standbys[scene->standbys[0]->writable ? 0 : 1]);
    sim_faults_restart(former->node, 0);
    drill_pass(scene, 2 * scene->ttl_ms + BEYOND_MS);
    sim_faults_heal(world);
    drill_settle(scene);
    expect_commits(scene, BEYOND_MS);
}

#define DRILL(mode, fn)                                         \
    {                                                           \
#fn, SIM_CLUSTER, true, DRILL_NO_BUDGET, fn, mode, true \
    }

const struct sim_drill sim_drills_sync[] = {
    DRILL(SIM_QUORUM_STRICT, raft_cut_while_replication_is_whole),
    DRILL(SIM_QUORUM_STRICT, who_confirmed_is_lost_with_the_primary),
    DRILL(SIM_QUORUM_STRICT, new_primary_lost_at_once),
    DRILL(SIM_SYNC, primary_lost_while_the_set_changes),
    DRILL(SIM_SYNC, primary_lost_while_the_new_one_lags),
};
const size_t sim_drills_sync_count = sizeof(sim_drills_sync) / sizeof(sim_drills_sync[0]);
