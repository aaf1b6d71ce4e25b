/* Drills of synchronous replication: what the mix of faults comes upon now and then is done here
 * step by step, with a fence that does not act, so that only who confirms what protects a commit.
 */
#include "sim_drill.h"

#include "base/assert.h"
#include "raft/store.h"

#include <stdio.h>

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

static void cut_replication(struct sim_world *world, const struct sim_machine *machine)
{
    for (unsigned i = 0; i < world->node_count; i++) {
        world->port_cut[SIM_PORT_POSTGRES][i][machine->node->index] = true;
        world->port_cut[SIM_PORT_POSTGRES][machine->node->index][i] = true;
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

static bool at_most_one_writes(const struct scene *scene)
{
    return scene->primary->writable + scene->standbys[0]->writable + scene->standbys[1]->writable <=
           1;
}

/* Agent and fence stand still, PostgreSQL does not, and they wake while another one is promoted, or
 * is about to be: the agent has to look at the lease before anything else. */
static void former_primary_wakes_during_the_promotion(struct scene *scene)
{
    drill_lead(scene, scene->standbys[0]);
    expect_commits(scene, BEYOND_MS);
    sim_node_pause(scene->primary->node,
                   scene->ttl_ms - SHUT_MS + (int64_t)sim_below(scene->world, 2 * BEYOND_MS));
    drill_pass(scene, scene->ttl_ms + 2 * BEYOND_MS);
    drill_until(scene, at_most_one_writes, BEYOND_MS, "who wakes stops writing when another leads");
    drill_settle(scene);
    expect_commits(scene, BEYOND_MS);
}

/* Its startup process stands still: what it has confirmed it has flushed, and not replayed, when it
 * is asked how far it is. The other one has replayed more than it, and received less. */
static void replay_stands_where_commits_were_confirmed(struct scene *scene)
{
    struct sim_world *world = scene->world;
    struct sim_machine *ahead = scene->standbys[sim_below(world, 2)];
    const struct sim_machine *behind =
        ahead == scene->standbys[0] ? scene->standbys[1] : scene->standbys[0];
    drill_lead(scene, ahead);
    ahead->replay_stands_until_ms = INT64_MAX;
    expect_commits(scene, BEYOND_MS);
    drill_pass(scene, SHUT_MS);
    cut_replication(world, behind);
    drill_pass(scene, SHUT_MS);
    expect_commits(scene, BEYOND_MS);
    sim_node_pause(scene->primary->node, 4 * scene->ttl_ms);
    cut_raft(scene, scene->primary);
    /* Who is promoted replays first. */
    ahead->replay_stands_until_ms =
        world->now + scene->ttl_ms + (int64_t)sim_below(world, (uint64_t)scene->ttl_ms);
    drill_until(scene, another_serves, 2 * scene->ttl_ms + BEYOND_MS, "another one is promoted");
    drill_pass(scene, scene->ttl_ms);
    sim_faults_heal(world);
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
    cut_replication(world, behind); /* it receives nothing, and votes */
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
    cut_replication(world, first);
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

/* --- a request that comes late ---------------------------------------------------------------- */

/* As drill_until, to the millisecond. */
static void until_exactly(struct scene *scene, scene_test reached, const char *what)
{
    int64_t end = scene->world->now + scene->ttl_ms + BEYOND_MS;
    while (drill_good(scene) && !reached(scene)) {
        drill_expect(scene, scene->world->now < end, what);
        drill_pass(scene, 1);
    }
}

static bool has_report(const struct sim_machine *machine, const char *of)
{
    struct store_kv report;
    char key[64];
    (void)snprintf(key, sizeof key, "/service/sim/reports/%s", of);
    return store_get(raft_node_store(machine->node->raft), span_str(key), &report) &&
           !span_equal_str(report.value, "none");
}

/* In the store of who leads the group, whoever that is: the candidate has not read it back yet. */
static bool candidate_has_reported(const struct scene *scene)
{
    const char *name = scene->standbys[0]->node->name;
    return has_report(scene->primary, name) || has_report(scene->standbys[1], name);
}

static bool candidate_acquires(const struct scene *scene)
{
    return sim_agent_acquires(scene->standbys[0]->node);
}

static bool other_serves(const struct scene *scene)
{
    return drill_primary(scene) == scene->standbys[1];
}

static bool key_is_absent(const struct scene *scene)
{
    struct store_kv leader;
    return !store_get(raft_node_store(scene->standbys[1]->node->raft),
                      span_str("/service/sim/leader"), &leader);
}

/* The candidate's acquisition hangs in the network, and the candidate is cut off. Another one leads
 * meanwhile, and has just given the key back when that request arrives: the key is free, and
 * everything else that it went by is over. */
static void acquisition_that_comes_late(struct scene *scene)
{
    struct sim_world *world = scene->world;
    struct sim_machine *candidate = scene->standbys[0];
    struct sim_machine *other = scene->standbys[1];
    struct sim_machine *former = scene->primary;
    world->primaries_silent = true;
    drill_pass(scene, LAG_MS);
    drill_lead(scene, other);
    drill_order(scene, other, former->node->name, candidate->node->name);
    until_exactly(scene, candidate_has_reported, "the candidate reports");
    sim_record(world);
    until_exactly(scene, candidate_acquires, "the candidate acquires");
    sim_record_end(world);
    sim_faults_isolate(candidate->node); /* what is on its way does not arrive */
    world->primaries_silent = false;
    drill_order(scene, other, NULL, other->node->name);
    until_exactly(scene, other_serves, "another one has the key");
    expect_commits(scene, BEYOND_MS);
    drill_order(scene, other, other->node->name, former->node->name);
    until_exactly(scene, key_is_absent, "and gives it back");
    sim_faults_mend(world);
    sim_replay(world, 1);
    drill_pass(scene, scene->ttl_ms);
    sim_faults_heal(world);
    drill_settle(scene);
    expect_commits(scene, BEYOND_MS);
}

#define DRILL(mode, fn)                                                              \
    {                                                                                \
#fn, SIM_CLUSTER, true, DRILL_NO_BUDGET, fn, mode, true, false, false, false \
    }

const struct sim_drill sim_drills_sync[] = {
    DRILL(SIM_QUORUM_STRICT, raft_cut_while_replication_is_whole),
    DRILL(SIM_QUORUM_STRICT, former_primary_wakes_during_the_promotion),
    DRILL(SIM_QUORUM_STRICT, replay_stands_where_commits_were_confirmed),
    DRILL(SIM_QUORUM_STRICT, who_confirmed_is_lost_with_the_primary),
    DRILL(SIM_QUORUM_STRICT, new_primary_lost_at_once),
    DRILL(SIM_QUORUM_STRICT, acquisition_that_comes_late),
    DRILL(SIM_SYNC, primary_lost_while_the_set_changes),
    DRILL(SIM_SYNC, primary_lost_while_the_new_one_lags),
};
const size_t sim_drills_sync_count = sizeof(sim_drills_sync) / sizeof(sim_drills_sync[0]);
