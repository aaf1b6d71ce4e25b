/* Drills of `early_failover`: whose lease is ended while it runs, and whose is not. The primary
 * leads until its standbys have missed every sign of life of it, and the leader of the Raft group
 * has, too. */
#include "sim_drill.h"

#include "raft/store.h"

#include <stdio.h>
#include <string.h>

enum {
    TAKEN_OVER_MS = 3500, /* election timeouts, a promotion, and what is decided between */
    COMMITS_MS = 1500,
    FENCED_MS = 280,
    LED_MS = 300,
};

static uint64_t told_before;

static bool commits_go_on(const struct scene *scene)
{
    return sim_commits_count(scene->world) > told_before;
}

static void expect_commits(struct scene *scene)
{
    told_before = sim_commits_count(scene->world);
    drill_until(scene, commits_go_on, COMMITS_MS, "commits are answered");
}

static bool another_writes(const struct scene *scene)
{
    return scene->standbys[0]->writable || scene->standbys[1]->writable;
}

static void taken_over_early(struct scene *scene)
{
    drill_until(scene, another_writes, TAKEN_OVER_MS, "another one takes over early");
    scene->gap_ms = scene->world->now - scene->began_ms;
}

static void heal_and_settle(struct scene *scene)
{
    sim_faults_heal(scene->world);
    drill_settle(scene);
    expect_commits(scene);
}

static void cut_pair(struct scene *scene, const struct sim_machine *a, const struct sim_machine *b)
{
    drill_cut(scene, a, b);
    drill_cut(scene, b, a);
}

static void set_port_cut(struct scene *scene, enum sim_port port, const struct sim_machine *a,
                         const struct sim_machine *b, bool value)
{
    scene->world->port_cut[port][a->node->index][b->node->index] = value;
    scene->world->port_cut[port][b->node->index][a->node->index] = value;
}

/* Both servers that a standby asks. */
static void set_servers_cut(struct scene *scene, const struct sim_machine *standby, bool value)
{
    set_port_cut(scene, SIM_PORT_POSTGRES, scene->primary, standby, value);
    set_port_cut(scene, SIM_PORT_REST, scene->primary, standby, value);
}

/* --- it is lost ------------------------------------------------------------------------------- */

static void silent_primary_lost(struct scene *scene)
{
    drill_lead(scene, scene->standbys[sim_below(scene->world, 2)]);
    drill_power_off(scene->primary);
    taken_over_early(scene);
    heal_and_settle(scene);
}

/* Its partners elect a leader of the group first. */
static void silent_primary_and_leader_lost(struct scene *scene)
{
    drill_lead(scene, scene->primary);
    drill_power_off(scene->primary);
    taken_over_early(scene);
    heal_and_settle(scene);
}

/* It writes beside the next one, until its fence acts; nobody is answered by that. */
static void silent_primary_isolated(struct scene *scene)
{
    const struct sim_machine *former = scene->primary;
    drill_lead(scene, sim_chance(scene->world, 500) ? scene->standbys[0] : scene->primary);
    sim_faults_isolate(former->node);
    taken_over_early(scene);
    drill_pass(scene, scene->kill_ms + FENCED_MS - scene->gap_ms);
    drill_expect(scene, !former->writable, "an isolated primary is fenced by K");
    drill_pass(scene, (int64_t)sim_below(scene->world, (uint64_t)scene->ttl_ms));
    heal_and_settle(scene);
    drill_expect(scene, scene->primary != former, "who was deposed comes back as a standby");
}

/* --- it lives --------------------------------------------------------------------------------- */

/* Its replication and its REST server cannot be reached, and whoever leads the group hears it, also
 * who has only begun to. */
static void heard_over_raft_alone(struct scene *scene)
{
    struct sim_world *world = scene->world;
    drill_lead(scene, scene->standbys[0]);
    set_servers_cut(scene, scene->standbys[0], true);
    set_servers_cut(scene, scene->standbys[1], true);
    for (unsigned turn = 0; drill_good(scene) && turn < 6; turn++) {
        drill_while(scene, drill_undisturbed,
                    LED_MS + (int64_t)sim_below(world, 3 * SIM_ELECTION_MS),
                    "who is heard over Raft leads on");
        drill_lead(scene, scene->standbys[(turn + 1) % 2]);
    }
    heal_and_settle(scene);
    drill_expect(scene, drill_undisturbed(scene), "who is heard over Raft leads on");
}

static bool nobody_else_writes(const struct scene *scene)
{
    return !another_writes(scene);
}

/* Neither Raft nor WAL of it comes through, and its REST server answers: it keeps its lease until
 * that ends by itself. */
static void answers_over_rest_alone(struct scene *scene)
{
    drill_lead(scene, scene->standbys[sim_below(scene->world, 2)]);
    for (size_t i = 0; i < 2; i++) {
        set_port_cut(scene, SIM_PORT_RAFT, scene->primary, scene->standbys[i], true);
        set_port_cut(scene, SIM_PORT_POSTGRES, scene->primary, scene->standbys[i], true);
    }
    drill_while(scene, nobody_else_writes, scene->soft_ms - LED_MS,
                "whose REST server answers is not deposed");
    drill_taken_over(scene, true, TAKEN_OVER_MS);
    heal_and_settle(scene);
}

/* Nothing of it reaches one of them, which says so alone. */
static void silent_to_one_standby(struct scene *scene)
{
    struct sim_machine *alone = scene->standbys[sim_below(scene->world, 2)];
    struct sim_machine *other =
        alone == scene->standbys[0] ? scene->standbys[1] : scene->standbys[0];
    drill_lead(scene, other);
    cut_pair(scene, scene->primary, alone);
    drill_while(scene, drill_undisturbed, 3 * scene->ttl_ms, "one standby alone deposes nobody");
    expect_commits(scene);
    heal_and_settle(scene);
    drill_expect(scene, drill_undisturbed(scene), "one standby alone deposes nobody");
}

/* The same, and that one leads the group: so nothing renews the lease any more, and the other one
 * confirms commits until it ends. */
static void silent_to_the_leader_of_the_group(struct scene *scene)
{
    struct sim_machine *alone = scene->standbys[sim_below(scene->world, 2)];
    drill_lead(scene, alone);
    cut_pair(scene, scene->primary, alone);
    expect_commits(scene);
    drill_while(scene, drill_undisturbed, scene->soft_ms / 2, "one standby alone deposes nobody");
    drill_pass(scene, (int64_t)sim_below(scene->world, 2 * (uint64_t)scene->ttl_ms));
    heal_and_settle(scene);
}

/* --- the alarm is taken back ------------------------------------------------------------------ */

static const char said[] = "\"primary_seen_ms\":";
static struct sim_machine *first;

static bool first_has_said_so(const struct scene *scene)
{
    struct store_kv report;
    char key[64];
    char value[512];
    (void)snprintf(key, sizeof(key), "/service/sim/reports/%s", first->node->name);
    if (!store_get(raft_node_store(scene->standbys[0]->node->raft), span_str(key), &report)) {
        return false;
    }
    (void)snprintf(value, sizeof(value), "%.*s", (int)report.value.len,
                   (const char *)report.value.data);
    const char *seen = strstr(value, said);
    return seen != NULL && seen[strlen(said)] != 'n'; /* null */
}

/* Its Raft member is cut off. One of them says that the primary is silent, sees it again and
 * confirms its commits; then the other one misses it, which leads the group. */
static void alarm_of_one_taken_back(struct scene *scene)
{
    first = scene->standbys[sim_below(scene->world, 2)];
    struct sim_machine *second =
        first == scene->standbys[0] ? scene->standbys[1] : scene->standbys[0];
    drill_lead(scene, second);
    set_port_cut(scene, SIM_PORT_RAFT, scene->primary, first, true);
    set_port_cut(scene, SIM_PORT_RAFT, scene->primary, second, true);
    set_servers_cut(scene, first, true);
    drill_until(scene, first_has_said_so, TAKEN_OVER_MS, "one standby says that it is silent");
    set_servers_cut(scene, first, false);
    set_servers_cut(scene, second, true);
    drill_pass(scene, scene->soft_ms / 2 + (int64_t)sim_below(scene->world, 1000));
    heal_and_settle(scene);
}

#define DRILL(budget_ms, fn)                                                                 \
    {                                                                                        \
#fn, SIM_CLUSTER, false, budget_ms, fn, SIM_QUORUM_STRICT, false, true, false, false \
    }

/* Budgets: an election timeout in which nothing came, one in which nothing was answered, and what a
 * promotion takes. */
const struct sim_drill sim_drills_early[] = {
    DRILL(1200, silent_primary_lost),
    DRILL(1500, silent_primary_and_leader_lost),
    DRILL(1500, silent_primary_isolated),
    DRILL(DRILL_NO_BUDGET, heard_over_raft_alone),
    DRILL(DRILL_NO_BUDGET, answers_over_rest_alone),
    DRILL(DRILL_NO_BUDGET, silent_to_one_standby),
    DRILL(DRILL_NO_BUDGET, silent_to_the_leader_of_the_group),
    DRILL(DRILL_NO_BUDGET, alarm_of_one_taken_back),
};
const size_t sim_drills_early_count = sizeof(sim_drills_early) / sizeof(sim_drills_early[0]);
