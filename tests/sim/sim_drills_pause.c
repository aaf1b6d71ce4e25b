/* Drills of maintenance mode (docs/consensus.md, section 7): PostgreSQL is left alone whatever is
 * lost, nobody else becomes primary, and after it everything is as before. */
#include "sim_drill.h"
#include "sim_pause.h"

enum { SOON_MS = 3000, FENCED_MS = 280, BEYOND_MS = 1000, KNOWN_MS = 6500, UNHEARD_MS = 500 };

static struct fence_lease page_of(const struct scene *scene)
{
    struct fence_lease page = fence_lease_standby();
    (void)fence_page_read(scene->primary->page, &page);
    return page;
}

static bool unfenced(const struct scene *scene)
{
    struct fence_lease page = page_of(scene);
    return page.epoch.revision != 0 && page.deadline_ms == FENCE_NO_DEADLINE;
}

static bool stands(const struct scene *scene)
{
    const struct sim_node *node = scene->primary->node;
    struct store_kv kv;
    return node->raft != NULL &&
           store_get(raft_node_store(node->raft), span_str("/service/sim/unfenced"), &kv);
}

static bool fenced_again(const struct scene *scene)
{
    struct fence_lease page = page_of(scene);
    return fence_lease_armed(&page) && page.deadline_ms != FENCE_OVER && !stands(scene);
}

static void pause(struct scene *scene)
{
    sim_pause_set(scene->primary->node, true);
    drill_until(scene, unfenced, SOON_MS, "a paused primary has no deadline");
    drill_expect(scene, stands(scene), "unfenced stands before that");
    if (scene->world->options.mutation.without_unfenced) {
        sim_pause_forget(scene->primary->node);
        drill_pass(scene, 100);
    }
}

static void resumed(struct scene *scene)
{
    drill_until(scene, fenced_again, SOON_MS, "a resumed primary has a deadline again");
    drill_expect(scene, drill_undisturbed(scene), "the pause and its end disturb nobody");
}

static void resume(struct scene *scene)
{
    sim_pause_set(scene->primary->node, false);
    resumed(scene);
}

/* The old rules hold again. */
static void still_fenced(struct scene *scene)
{
    const struct sim_machine *former = scene->primary;
    drill_settle(scene);
    drill_expect(scene, scene->primary == former, "the pause has changed nothing");
    drill_begin(scene);
    sim_faults_isolate(former->node);
    drill_pass(scene, scene->kill_ms + FENCED_MS);
    drill_expect(scene, !former->writable, "an isolated primary is fenced by K after a pause");
    drill_taken_over(scene, true, BEYOND_MS);
    drill_pass(scene, 500);
    sim_faults_heal(scene->world);
    drill_settle(scene);
}

static void paused_store_without_majority(struct scene *scene)
{
    pause(scene);
    drill_crash(scene->standbys[0]);
    drill_crash(scene->standbys[1]);
    drill_while(scene, drill_undisturbed, 2 * scene->ttl_ms, "in pause no majority is needed");
    drill_start(scene->standbys[0]);
    drill_start(scene->standbys[1]);
    drill_while(scene, drill_undisturbed, scene->ttl_ms, "nobody takes over in pause");
    resume(scene);
    still_fenced(scene);
}

/* The epoch ends while nobody can renew it, and the standbys are there to see it. */
static void paused_primary_isolated(struct scene *scene)
{
    pause(scene);
    sim_faults_isolate(scene->primary->node);
    drill_while(scene, drill_undisturbed, 3 * scene->ttl_ms, "nobody stops it, nobody takes over");
    sim_faults_heal(scene->world);
    drill_while(scene, drill_undisturbed, scene->ttl_ms, "its end is no end");
    resume(scene);
    still_fenced(scene);
}

/* Resume is said on the other side, and reaches the primary late: before its lease is ended, or
 * after. */
static void resumed_while_isolated(struct scene *scene)
{
    int64_t around = scene->ttl_ms - 1000 + (int64_t)sim_below(scene->world, 3000);
    pause(scene);
    drill_lead(scene, scene->standbys[0]);
    sim_faults_isolate(scene->primary->node);
    sim_pause_set(scene->standbys[0]->node, false);
    drill_while(scene, drill_undisturbed, around, "unfenced stands, so nobody takes over");
    sim_faults_heal(scene->world);
    resumed(scene);
    still_fenced(scene);
}

static void paused_agent_killed(struct scene *scene)
{
    pause(scene);
    drill_crash(scene->primary);
    drill_while(scene, drill_undisturbed,
                (int64_t)sim_below(scene->world, 3 * (uint64_t)scene->ttl_ms),
                "in pause no agent is needed");
    drill_start(scene->primary);
    drill_while(scene, drill_undisturbed, 2 * scene->ttl_ms, "an agent that starts goes on");
    resume(scene);
    still_fenced(scene);
}

static void paused_agents_terminated(struct scene *scene)
{
    pause(scene);
    for (size_t i = 0; i < scene->world->node_count; i++) {
        sim_agent_terminate(&scene->world->nodes[i]);
    }
    drill_while(scene, drill_undisturbed, 2 * scene->ttl_ms,
                "in pause an agent that is stopped leaves PostgreSQL");
    sim_faults_heal(scene->world);
    drill_while(scene, drill_undisturbed, scene->ttl_ms, "agents that start go on");
    drill_until(scene, drill_whole, 10000, "the group is whole");
    resume(scene);
    still_fenced(scene);
}

/* The agent of a standby starts anew, hears nobody, and is told to stop: it goes by what was said
 * when it last heard of the store. */
static void paused_standby_terminated_unheard(struct scene *scene)
{
    struct sim_machine *standby = scene->standbys[sim_below(scene->world, 2)];
    uint64_t run = standby->run;
    pause(scene);
    drill_pass(scene, KNOWN_MS);
    drill_crash(standby);
    sim_faults_isolate(standby->node);
    drill_start(standby);
    drill_pass(scene, UNHEARD_MS + (int64_t)sim_below(scene->world, 1000));
    sim_agent_terminate(standby->node);
    drill_pass(scene, scene->ttl_ms);
    drill_expect(scene, standby->run == run && standby->phase == SIM_UP && standby->recovery,
                 "in pause a standby is left alone by an agent that hears nobody");
    drill_expect(scene, standby->node->raft == NULL, "an agent that is told to stop ends");
    sim_faults_heal(scene->world);
    drill_until(scene, drill_whole, 10000, "the group is whole");
    resume(scene);
    still_fenced(scene);
}

static bool is_down(const struct scene *scene)
{
    return scene->primary->phase == SIM_DOWN;
}

static bool serves_again(const struct scene *scene)
{
    return drill_primary(scene) == scene->primary;
}

/* By hand, and left so; the pause ends, and it comes back where it was. */
static void paused_stopped_by_hand(struct scene *scene)
{
    pause(scene);
    sim_machine_stop(scene->primary, FENCE_STOP_FAST);
    drill_until(scene, is_down, SOON_MS, "it stops");
    drill_while(scene, drill_nobody_serves, 3 * scene->ttl_ms, "and nobody starts or replaces it");
    sim_pause_set(scene->standbys[0]->node, false);
    drill_until(scene, serves_again, SOON_MS, "the end of the pause starts it in place");
    drill_settle(scene);
}

/* The machine is gone, and may be running for all that anybody knows. */
static void paused_primary_lost(struct scene *scene)
{
    pause(scene);
    drill_power_off(scene->primary);
    drill_while(scene, drill_nobody_serves, 2 * scene->ttl_ms, "nobody takes over in pause");
    sim_pause_set(scene->standbys[0]->node, false);
    drill_while(scene, drill_nobody_serves, 2 * scene->ttl_ms, "nor after it, unordered");
    sim_faults_heal(scene->world);
    drill_until(scene, serves_again, 20000, "it comes back");
    drill_settle(scene);
}

static struct sim_machine *promoting(const struct scene *scene)
{
    for (size_t i = 0; i < 2; i++) {
        if (scene->standbys[i]->promote_sent) {
            return scene->standbys[i];
        }
    }
    return NULL;
}

static bool promotes(const struct scene *scene)
{
    return promoting(scene) != NULL;
}

static bool lease_has_ended(const struct scene *scene)
{
    const struct sim_machine *machine = promoting(scene);
    struct fence_lease page;
    return fence_page_read(machine->page, &page) && sim_node_clock(machine->node) > page.soft_ms;
}

/* It was sent before the pause, waits for replay, and comes through when the lease is gone: whoever
 * saw last a standby that is being promoted ends it; a primary that was seen is left alone. */
static void promotion_of_before_the_pause_ends(struct scene *scene)
{
    for (size_t i = 0; i < 2; i++) {
        scene->standbys[i]->replay_stands_until_ms = INT64_MAX;
    }
    drill_pass(scene, 200); /* something is received that is not replayed */
    drill_power_off(scene->primary);
    drill_until(scene, promotes, scene->ttl_ms + SOON_MS, "another one is promoted");
    struct sim_machine *next = promoting(scene);
    if (next == NULL) {
        return;
    }
    sim_pause_set(next->node, true);
    drill_pass(scene, KNOWN_MS);
    drill_expect(scene, next->recovery, "the promotion waits");
    sim_faults_isolate(next->node);
    drill_until(scene, lease_has_ended, scene->ttl_ms, "its lease ends");
    drill_pass(scene, (int64_t)sim_below(scene->world, 500));
    sim_machine_heal(next);
    drill_pass(scene, SOON_MS);
    sim_pause_set(scene->standbys[0] == next ? scene->standbys[1]->node : scene->standbys[0]->node,
                  false);
    sim_faults_heal(scene->world);
    drill_settle(scene);
}

#define DRILL(fn)                                                                           \
    {                                                                                       \
#fn, SIM_CLUSTER, false, DRILL_NO_BUDGET, fn, SIM_ASYNC, false, false, false, false \
    }

const struct sim_drill sim_drills_pause[] = {
    DRILL(paused_store_without_majority),
    DRILL(paused_primary_isolated),
    DRILL(resumed_while_isolated),
    DRILL(paused_agent_killed),
    DRILL(paused_agents_terminated),
    DRILL(paused_stopped_by_hand),
    DRILL(paused_standby_terminated_unheard),
    DRILL(paused_primary_lost),
    {.name = "promotion_of_before_the_pause_ends",
     .mode = SIM_CLUSTER,
     .budget_ms = DRILL_NO_BUDGET,
     .run = promotion_of_before_the_pause_ends,
     .without_fence = true},
};
const size_t sim_drills_pause_count = sizeof(sim_drills_pause) / sizeof(sim_drills_pause[0]);
