/* Drills of what is asked for: switchover, failover on request, an orderly end. Nothing is lost. */
#include "sim_drill.h"

enum { SWITCH_LIMIT_MS = 2000, DROP_LIMIT_MS = 3000 };

static void nothing_lost(struct scene *scene, const struct sim_machine *former)
{
    const struct sim_machine *now = drill_primary(scene);
    drill_expect(scene,
                 now != NULL && former->control == PG_CONTROL_SHUT_DOWN &&
                     sim_wal_common(&former->wal, &now->wal) == former->wal.end,
                 "a planned change loses nothing");
}

static bool stopped_serving(const struct scene *scene)
{
    return !scene->primary->writable;
}

/* From the order on; the gap from the moment nobody can write. */
static void changed(struct scene *scene)
{
    struct sim_machine *former = scene->primary;
    drill_until(scene, stopped_serving, SWITCH_LIMIT_MS, "the primary steps down");
    drill_begin(scene);
    drill_taken_over(scene, false, SWITCH_LIMIT_MS);
    nothing_lost(scene, former);
}

static void switchover_to_a_named_member(struct scene *scene)
{
    const struct sim_machine *wanted = scene->standbys[sim_below(scene->world, 2)];
    drill_lead(scene, sim_chance(scene->world, 500) ? scene->standbys[0] : scene->primary);
    drill_order(scene, scene->primary, scene->primary->node->name, wanted->node->name);
    changed(scene);
    drill_expect(scene, drill_primary(scene) == wanted, "the named member is promoted");
    drill_settle(scene);
    drill_expect(scene, scene->primary == wanted, "and stays the primary");
}

static void switchover_to_the_best(struct scene *scene)
{
    drill_lead(scene, sim_chance(scene->world, 500) ? scene->standbys[0] : scene->primary);
    drill_order(scene, scene->standbys[1], scene->primary->node->name, NULL);
    changed(scene);
    drill_settle(scene);
}

static void failover_on_request(struct scene *scene)
{
    const struct sim_machine *wanted = scene->standbys[sim_below(scene->world, 2)];
    drill_begin(scene);
    drill_order(scene, wanted, NULL, wanted->node->name);
    changed(scene);
    drill_expect(scene, drill_primary(scene) == wanted, "the named member is promoted");
    drill_settle(scene);
}

/* The order names who is alive, and the primary is lost before it sees it. */
static void failover_on_request_without_a_primary(struct scene *scene)
{
    struct sim_machine *former = scene->primary;
    const struct sim_machine *wanted = scene->standbys[1]; /* the name alone would pick the other */
    drill_lead(scene, scene->standbys[0]);
    drill_power_off(former);
    drill_pass(scene, 500);
    drill_order(scene, wanted, NULL, wanted->node->name);
    drill_taken_over(scene, true, 2000);
    drill_expect(scene, drill_primary(scene) == wanted, "the named member is promoted");
    sim_faults_heal(scene->world);
    drill_settle(scene);
}

static void switchover_to_a_lost_member(struct scene *scene)
{
    struct sim_machine *lost = scene->standbys[sim_below(scene->world, 2)];
    drill_begin(scene);
    drill_power_off(lost);
    drill_pass(scene, 2 * scene->ttl_ms);
    drill_order(scene, scene->primary, scene->primary->node->name, lost->node->name);
    drill_while(scene, drill_undisturbed, DROP_LIMIT_MS, "an order that cannot be met is dropped");
    sim_faults_heal(scene->world);
    drill_settle(scene);
    drill_expect(scene, drill_undisturbed(scene), "a dropped order is not taken up later");
}

static void switchover_cut_short(struct scene *scene)
{
    drill_lead(scene, sim_chance(scene->world, 500) ? scene->standbys[0] : scene->primary);
    drill_order(scene, scene->primary, scene->primary->node->name, NULL);
    drill_pass(scene, (int64_t)sim_below(scene->world, 300));
    drill_power_off(scene->primary);
    drill_taken_over(scene, true, 1000);
    sim_faults_heal(scene->world);
    drill_settle(scene);
}

static void agent_is_terminated(struct scene *scene)
{
    drill_lead(scene, sim_chance(scene->world, 500) ? scene->standbys[0] : scene->primary);
    sim_agent_terminate(scene->primary->node);
    changed(scene);
    drill_pass(scene, 1000);
    drill_expect(scene, scene->primary->node->raft == NULL, "a terminated agent ends");
    sim_faults_heal(scene->world);
    drill_settle(scene);
}

static bool restarted(const struct scene *scene)
{
    return scene->primary->run != scene->run && scene->primary->writable;
}

/* Role, lease and timeline stay; the gap from the moment nobody can write. */
static void primary_restarted_on_request(struct scene *scene)
{
    drill_lead(scene, sim_chance(scene->world, 500) ? scene->standbys[0] : scene->primary);
    drill_expect(scene, sim_agent_restart(scene->primary->node, 0, 0), "the order is taken");
    drill_until(scene, stopped_serving, SWITCH_LIMIT_MS, "it stops for it");
    drill_begin(scene);
    drill_until(scene, restarted, SWITCH_LIMIT_MS, "the primary is started in place");
    scene->gap_ms = scene->world->now - scene->began_ms;
    drill_expect(scene, sim_wal_timeline(&scene->primary->wal) == scene->timeline,
                 "a restart keeps the timeline");
    drill_settle(scene);
}

static bool standby_restarted(const struct scene *scene)
{
    return scene->standbys[0]->phase == SIM_UP && scene->standbys[0]->run != scene->run;
}

static void standby_restarted_on_request(struct scene *scene)
{
    uint64_t primary_run = scene->run;
    drill_begin(scene);
    scene->run = scene->standbys[0]->run;
    drill_expect(scene, sim_agent_restart(scene->standbys[0]->node, 1000, 0),
                 "the schedule is taken");
    drill_until(scene, standby_restarted, 2 * SWITCH_LIMIT_MS, "the standby is restarted");
    scene->run = primary_run;
    drill_expect(scene, drill_undisturbed(scene), "the primary serves on");
    drill_settle(scene);
}

static bool copied_anew(const struct scene *scene)
{
    return scene->standbys[0]->phase == SIM_UP && scene->standbys[0]->run != scene->run &&
           !sim_agent_reinits(scene->standbys[0]->node);
}

/* The second order comes in the middle of the first. */
static void standby_made_anew_on_request(struct scene *scene)
{
    uint64_t primary_run = scene->run;
    struct sim_node *node = scene->standbys[0]->node;
    drill_begin(scene);
    scene->run = scene->standbys[0]->run;
    drill_expect(scene, !sim_agent_reinit(scene->primary->node, true, false),
                 "the primary is left alone");
    drill_expect(scene, sim_agent_reinit(node, false, true), "the order is taken");
    drill_expect(scene, !sim_agent_reinit(node, false, true), "another one has to wait");
    drill_expect(scene, sim_agent_reinit(node, true, false), "but by force");
    drill_until(scene, copied_anew, 2 * SWITCH_LIMIT_MS, "the standby is copied anew");
    scene->run = primary_run;
    drill_expect(scene, drill_undisturbed(scene), "the primary serves on");
    drill_settle(scene);
}

#define DRILL(by_ttl, budget_ms, fn)                                                   \
    {                                                                                  \
#fn, SIM_CLUSTER, by_ttl, budget_ms, fn, SIM_ASYNC, false, false, false, false \
    }

/* Budget of a switchover: 0.3 s; of a start in place: 0.9 s. */
const struct sim_drill sim_drills_planned[] = {
    DRILL(false, 300, switchover_to_a_named_member),
    DRILL(false, 300, switchover_to_the_best),
    DRILL(false, 300, failover_on_request),
    DRILL(true, DRILL_NO_BUDGET, failover_on_request_without_a_primary),
    DRILL(false, DRILL_NO_BUDGET, switchover_to_a_lost_member),
    DRILL(true, DRILL_NO_BUDGET, switchover_cut_short),
    DRILL(false, 300, agent_is_terminated),
    DRILL(false, 900, primary_restarted_on_request),
    DRILL(false, DRILL_NO_BUDGET, standby_restarted_on_request),
    DRILL(false, DRILL_NO_BUDGET, standby_made_anew_on_request),
};
const size_t sim_drills_planned_count = sizeof(sim_drills_planned) / sizeof(sim_drills_planned[0]);
