/* Drills of what is lost, cut, paused or killed (docs/consensus.md, sections 2 to 4). */
#include "sim_drill.h"

#include "base/assert.h"
#include "raft/store.h"

#include <stdio.h>
#include <string.h>

enum {
    BEYOND_MS = 1000, /* the most that a takeover may need beyond the lease */
    FENCED_MS = 280,  /* dF, and that the clocks differ */
    LOOP_MS = 1000,
    QUICK_MS = 1500,
    NEARLY_MS = 50,
    LINGER_MS = 3000,
    ASKED_MS = 3000, /* a standby has just begun to ask a server that does not answer any more */
};

/* --- the primary is lost ---------------------------------------------------------------------- */

static void rejoin_and_settle(struct scene *scene)
{
    drill_pass(scene, 500);
    sim_faults_heal(scene->world);
    drill_settle(scene);
}

static void primary_lost(struct scene *scene)
{
    drill_lead(scene, scene->standbys[sim_below(scene->world, 2)]);
    drill_power_off(scene->primary);
    drill_taken_over(scene, true, BEYOND_MS);
    rejoin_and_settle(scene);
}

static void primary_and_leader_lost(struct scene *scene)
{
    drill_lead(scene, scene->primary);
    drill_power_off(scene->primary);
    drill_taken_over(scene, true, BEYOND_MS);
    rejoin_and_settle(scene);
}

static void primary_isolated(struct scene *scene)
{
    const struct sim_machine *former = scene->primary;
    drill_begin(scene);
    sim_faults_isolate(former->node);
    drill_pass(scene, scene->kill_ms + FENCED_MS);
    drill_expect(scene, !former->writable, "an isolated primary is fenced by K");
    drill_taken_over(scene, true, BEYOND_MS);
    drill_pass(scene, (int64_t)sim_below(scene->world, 2 * (uint64_t)scene->ttl_ms));
    rejoin_and_settle(scene);
    drill_expect(scene, scene->primary != former, "who was fenced comes back as a standby");
}

static bool somebody_serves(const struct scene *scene)
{
    return drill_primary(scene) != NULL;
}

/* The network is whole again when the lease is about to end, or has just ended: it is kept, or it
 * is taken, never both. */
static void isolation_ends_with_the_lease(struct scene *scene)
{
    int64_t around = scene->soft_ms - 400;
    drill_lead(scene, sim_chance(scene->world, 500) ? scene->standbys[0] : scene->primary);
    sim_faults_isolate(scene->primary->node);
    drill_pass(scene,
               around + (int64_t)sim_below(scene->world, (uint64_t)(scene->ttl_ms - around) + 400));
    sim_faults_mend(scene->world);
    drill_pass(scene, 400);
    drill_until(scene, somebody_serves, scene->ttl_ms + BEYOND_MS, "somebody serves again");
    drill_settle(scene);
}

/* Its renewals arrive and are applied, their answers are lost. */
static void primary_hears_nothing(struct scene *scene)
{
    const struct sim_machine *former = scene->primary;
    drill_lead(scene, scene->standbys[sim_below(scene->world, 2)]);
    drill_cut(scene, scene->standbys[0], former);
    drill_cut(scene, scene->standbys[1], former);
    drill_pass(scene, scene->kill_ms + FENCED_MS);
    drill_expect(scene, !former->writable, "who hears no answer is fenced by K");
    drill_taken_over(scene, true, scene->kill_ms + BEYOND_MS);
    rejoin_and_settle(scene);
}

static void primary_is_not_heard(struct scene *scene)
{
    const struct sim_machine *former = scene->primary;
    drill_lead(scene, sim_chance(scene->world, 500) ? scene->primary : scene->standbys[0]);
    drill_cut(scene, former, scene->standbys[0]);
    drill_cut(scene, former, scene->standbys[1]);
    drill_pass(scene, scene->kill_ms + FENCED_MS);
    drill_expect(scene, !former->writable, "who is not heard is fenced by K");
    drill_taken_over(scene, true, BEYOND_MS);
    rejoin_and_settle(scene);
}

static void each_new_primary_dies(struct scene *scene)
{
    for (int i = 0; i < 4 && drill_good(scene); i++) {
        struct sim_machine *lost = scene->primary;
        uint32_t timeline = scene->timeline;
        drill_begin(scene);
        drill_power_off(lost);
        drill_taken_over(scene, true, BEYOND_MS);
        if (!drill_good(scene)) {
            return;
        }
        scene->primary = drill_primary(scene);
        scene->timeline = sim_wal_timeline(&scene->primary->wal);
        drill_expect(scene, scene->timeline > timeline, "timelines rise");
        sim_faults_restart(lost->node, 100);
        drill_until(scene, drill_settled, 30000, "the former primary streams from the new one");
        drill_pass(scene, 200);
    }
}

static bool primary_back(const struct scene *scene)
{
    return scene->primary->run != scene->run && drill_primary(scene) == scene->primary;
}

static void postmaster_killed(struct scene *scene)
{
    drill_begin(scene);
    sim_machine_kill(scene->primary, 5);
    drill_until(scene, primary_back, QUICK_MS, "the primary is started in place");
    scene->gap_ms = scene->world->now - scene->began_ms;
    drill_expect(scene, sim_wal_timeline(&scene->primary->wal) == scene->timeline,
                 "a start in place keeps the timeline");
    rejoin_and_settle(scene);
}

/* Its backends outlive it, and the key is given away only after them. */
static void postmaster_killed_in_a_shutdown(struct scene *scene)
{
    drill_begin(scene);
    scene->world->backends_linger = true;
    sim_machine_kill_postmaster(scene->primary);
    scene->world->backends_linger = false;
    sim_agent_terminate(scene->primary->node);
    drill_taken_over(scene, false, LINGER_MS + QUICK_MS);
    rejoin_and_settle(scene);
}

static void two_candidates_with_one_position(struct scene *scene)
{
    scene->world->primaries_silent = true;
    drill_pass(scene, 1000);
    drill_expect(scene, scene->standbys[0]->wal.end == scene->standbys[1]->wal.end,
                 "both standbys have everything");
    const struct sim_machine *wanted = scene->standbys[0]; /* priorities are equal: by name */
    drill_lead(scene, scene->standbys[sim_below(scene->world, 2)]);
    drill_power_off(scene->primary);
    drill_taken_over(scene, true, BEYOND_MS);
    drill_expect(scene, drill_primary(scene) == wanted, "among equals the name decides");
    rejoin_and_settle(scene);
}

static bool adopted_leads(const struct scene *scene)
{
    const struct sim_machine *primary = drill_primary(scene);
    return primary != NULL && primary->by_hand;
}

/* Started by somebody else, adopted, promoted, and isolated while it writes: the deadline holds for
 * it as for what the fence has started. */
static void adopted_primary_isolated(struct scene *scene)
{
    struct sim_machine *adopted = scene->standbys[sim_below(scene->world, 2)];
    drill_crash(adopted);
    sim_machine_start_by_hand(adopted);
    drill_pass(scene, (int64_t)sim_below(scene->world, LOOP_MS));
    drill_start(adopted);
    drill_settle(scene);
    drill_expect(scene, adopted->by_hand, "what others have started is taken over as it runs");
    drill_order(scene, scene->primary, scene->primary->node->name, adopted->node->name);
    drill_until(scene, adopted_leads, LINGER_MS, "an adopted standby is promoted");
    drill_settle(scene);
    if (!drill_good(scene)) {
        return;
    }
    drill_lead(scene, scene->standbys[sim_below(scene->world, 2)]);
    sim_node_pause(adopted->node, 2 * scene->ttl_ms);
    drill_pass(scene, scene->kill_ms + FENCED_MS);
    drill_expect(scene, !adopted->writable, "an adopted primary is fenced by K");
    drill_taken_over(scene, true, BEYOND_MS);
    rejoin_and_settle(scene);
}

/* --- nobody may be disturbed ------------------------------------------------------------------ */

static void standby_lost(struct scene *scene)
{
    struct sim_machine *standby = scene->standbys[sim_below(scene->world, 2)];
    drill_lead(scene, sim_chance(scene->world, 500) ? standby : scene->primary);
    drill_power_off(standby);
    drill_while(scene, drill_undisturbed, 2 * scene->ttl_ms, "a lost standby disturbs nobody");
    sim_faults_heal(scene->world);
    drill_settle(scene);
    drill_expect(scene, drill_undisturbed(scene), "a standby that returns disturbs nobody");
}

/* For so long that it takes the lease for over: what it proposes when it is back names a renewal of
 * long ago. */
static void standby_isolated_past_the_lease(struct scene *scene)
{
    struct sim_world *world = scene->world;
    drill_lead(scene, sim_chance(world, 500) ? scene->standbys[0] : scene->primary);
    sim_faults_isolate(scene->standbys[1]->node);
    drill_pass(scene, scene->ttl_ms + (int64_t)sim_below(world, 2 * (uint64_t)scene->ttl_ms));
    sim_faults_mend(world);
    drill_while(scene, drill_undisturbed, 2 * scene->ttl_ms,
                "a standby that was cut off disturbs nobody");
    drill_settle(scene);
}

static void standbys_cut_from_each_other(struct scene *scene)
{
    drill_lead(scene, sim_chance(scene->world, 500) ? scene->standbys[0] : scene->primary);
    drill_cut(scene, scene->standbys[0], scene->standbys[1]);
    drill_cut(scene, scene->standbys[1], scene->standbys[0]);
    drill_while(scene, drill_undisturbed, 5 * scene->ttl_ms,
                "a cut between standbys disturbs nobody");
    sim_faults_heal(scene->world);
    drill_settle(scene);
}

/* At most one change of the primary, and the end is stable. */
static void primary_cut_from_one_standby(struct scene *scene)
{
    uint32_t timeline = scene->timeline;
    struct sim_machine *standby = scene->standbys[sim_below(scene->world, 2)];
    drill_lead(scene, sim_chance(scene->world, 500) ? standby : scene->primary);
    drill_cut(scene, scene->primary, standby);
    drill_cut(scene, standby, scene->primary);
    drill_pass(scene, 10 * scene->ttl_ms);
    const struct sim_machine *now = drill_primary(scene);
    drill_expect(scene, now != NULL, "somebody serves beside a partial cut");
    if (now != NULL) {
        drill_expect(scene, sim_wal_timeline(&now->wal) <= timeline + 1,
                     "a partial cut makes no primaries by turns");
    }
    sim_faults_heal(scene->world);
    drill_settle(scene);
}

/* --- agents ----------------------------------------------------------------------------------- */

static void agent_pauses_and_wakes_in_time(struct scene *scene)
{
    drill_lead(scene, sim_chance(scene->world, 500) ? scene->standbys[0] : scene->primary);
    sim_node_pause(scene->primary->node, scene->soft_ms / 2);
    drill_while(scene, drill_undisturbed, 2 * scene->ttl_ms, "a short pause disturbs nobody");
    drill_settle(scene);
}

/* It wakes when another one leads, or is about to: it must not go on. */
static void agent_pauses_past_its_lease(struct scene *scene)
{
    struct sim_machine *former = scene->primary;
    uint64_t run = scene->run;
    int64_t extra = (int64_t)sim_below(scene->world, 1000);
    drill_lead(scene, sim_chance(scene->world, 500) ? scene->standbys[0] : scene->primary);
    sim_node_pause(former->node, scene->kill_ms + FENCED_MS + 20 + extra);
    drill_pass(scene, scene->kill_ms + FENCED_MS);
    drill_expect(scene, !former->writable, "the fence of a paused agent acts by K");
    drill_until(scene, drill_settled, scene->ttl_ms + 30000,
                "the cluster settles after a long pause");
    drill_settle(scene);
    drill_expect(scene, former->run != run, "who was fenced has not gone on");
}

static void agent_killed_and_back_in_time(struct scene *scene)
{
    drill_lead(scene, sim_chance(scene->world, 500) ? scene->standbys[0] : scene->primary);
    drill_crash(scene->primary);
    sim_faults_restart(scene->primary->node,
                       100 + (int64_t)sim_below(scene->world, (uint64_t)scene->soft_ms / 2));
    drill_while(scene, drill_undisturbed, 2 * scene->ttl_ms,
                "PostgreSQL is untouched if the agent is back before S");
    drill_settle(scene);
}

static void agent_killed_and_back_after_S(struct scene *scene)
{
    const struct sim_machine *former = scene->primary;
    uint64_t run = scene->run;
    drill_lead(scene, sim_chance(scene->world, 500) ? scene->standbys[0] : scene->primary);
    drill_crash(scene->primary);
    drill_pass(scene, scene->kill_ms + FENCED_MS);
    drill_expect(scene, !former->writable, "the fence acts without an agent");
    sim_faults_restart(scene->primary->node, (int64_t)sim_below(scene->world, 1000));
    drill_pass(scene, scene->ttl_ms + BEYOND_MS - (scene->world->now - scene->began_ms) + 1000);
    drill_expect(scene, drill_primary(scene) != NULL, "somebody serves after the lease");
    drill_settle(scene);
    drill_expect(scene, former->run != run, "who was fenced has not gone on");
}

static void all_agents_killed(struct scene *scene)
{
    drill_begin(scene);
    for (size_t i = 0; i < scene->world->node_count; i++) {
        struct sim_machine *machine = sim_machine_of(&scene->world->nodes[i]);
        drill_crash(machine);
        sim_faults_restart(machine->node, 20 + (int64_t)sim_below(scene->world, 100));
    }
    drill_while(scene, drill_undisturbed, 2 * scene->ttl_ms,
                "PostgreSQL is untouched if all agents are back before S");
    drill_settle(scene);
}

/* PostgreSQL serves until S; with the majority back, somebody serves at once: the agent beside the
 * former primary has counted on. */
static void majority_killed(struct scene *scene)
{
    drill_lead(scene, sim_chance(scene->world, 500) ? scene->standbys[0] : scene->primary);
    drill_crash(scene->standbys[0]);
    drill_crash(scene->standbys[1]);
    /* The last renewal may be a third of a ttl old, renewals and what they may need included. */
    drill_while(scene, drill_undisturbed, scene->soft_ms - scene->ttl_ms / 3,
                "PostgreSQL serves until S without a majority");
    drill_pass(scene, scene->ttl_ms + (int64_t)sim_below(scene->world, 5000));
    drill_expect(scene, drill_nobody_serves(scene), "nobody serves without a majority");
    drill_begin(scene);
    drill_start(scene->standbys[0]);
    drill_start(scene->standbys[1]);
    drill_until(scene, somebody_serves, 3000, "somebody serves once the majority is back");
    scene->gap_ms = scene->world->now - scene->began_ms;
    drill_settle(scene);
}

static void power_lost_everywhere(struct scene *scene)
{
    drill_begin(scene);
    for (size_t i = 0; i < scene->world->node_count; i++) {
        drill_power_off(sim_machine_of(&scene->world->nodes[i]));
    }
    drill_pass(scene, 200 + (int64_t)sim_below(scene->world, 20000));
    drill_begin(scene);
    for (size_t i = 0; i < scene->world->node_count; i++) {
        sim_faults_restart(&scene->world->nodes[i], (int64_t)sim_below(scene->world, 500));
    }
    drill_until(scene, somebody_serves, SIM_ELECTION_MS * 3 + 2 * LOOP_MS + 500,
                "a cold start ends with the last holder serving");
    scene->gap_ms = scene->world->now - scene->began_ms;
    drill_expect(scene, drill_primary(scene) == scene->primary, "the last holder has the most");
    drill_settle(scene);
}

/* --- hosts ------------------------------------------------------------------------------------ */

static bool standby_serves(const struct scene *scene)
{
    return scene->standbys[0]->writable || scene->standbys[1]->writable;
}

static bool thawed(const struct scene *scene)
{
    return !scene->primary->node->frozen;
}

/* In the middle of what it writes. When it thaws its agent gets no processor yet and PostgreSQL
 * hears nobody: the fence alone ends it, at its first look, and what was answered until then is on
 * whoever leads. */
static void host_frozen_past_its_lease(struct scene *scene)
{
    struct sim_world *world = scene->world;
    struct sim_node *former = scene->primary->node;
    int64_t ms = 2 * scene->ttl_ms + (int64_t)sim_below(world, (uint64_t)scene->ttl_ms);
    drill_lead(scene, scene->standbys[sim_below(world, 2)]);
    sim_host_freeze(former, ms, false);
    drill_until(scene, standby_serves, scene->ttl_ms + ASKED_MS + BEYOND_MS,
                "another one serves in time");
    world->stops_hang = true;
    drill_until(scene, thawed, ms, "a frozen host thaws");
    sim_node_pause(former, scene->kill_ms);
    drill_pass(scene, FENCED_MS);
    drill_expect(scene, !scene->primary->writable, "the fence acts when its host thaws");
    world->stops_hang = false;
    rejoin_and_settle(scene);
}

/* --- time ------------------------------------------------------------------------------------- */

/* The worst that the protocol allows: the holder's clock is slow, the others' are fast, and the
 * instance writes until it is killed. */
static void clock_rates_at_the_bound(struct scene *scene)
{
    bool beyond = scene->world->options.mutation.slow_clock;
    sim_node_set_rate(scene->primary->node, beyond ? -150000 : -500);
    sim_node_set_rate(scene->standbys[0]->node, 500);
    sim_node_set_rate(scene->standbys[1]->node, 500);
    drill_pass(scene, scene->ttl_ms);
    scene->world->stops_hang = true;
    drill_lead(scene, scene->standbys[0]);
    sim_faults_isolate(scene->primary->node);
    drill_taken_over(scene, true, BEYOND_MS);
    scene->world->stops_hang = false;
    rejoin_and_settle(scene);
}

/* Every answer comes when its lease is over: the renewals hold up the others, never the holder. */
static void renewals_answered_late(struct scene *scene)
{
    struct sim_world *world = scene->world;
    const struct sim_machine *former = scene->primary;
    drill_lead(scene, scene->standbys[sim_below(world, 2)]);
    for (size_t i = 0; i < 2; i++) {
        world->late_ms[scene->standbys[i]->node->index][former->node->index] = scene->kill_ms;
    }
    drill_pass(scene, scene->kill_ms + FENCED_MS);
    drill_expect(scene, !former->writable, "a late answer does not revive a lease");
    drill_pass(scene, scene->ttl_ms);
    rejoin_and_settle(scene);
}

static int64_t page_deadline(const struct scene *scene)
{
    struct fence_lease page = fence_lease_standby();
    (void)fence_page_read(scene->primary->page, &page);
    return page.deadline_ms;
}

static void answers_take(const struct scene *scene, int64_t ms)
{
    for (size_t i = 0; i < 2; i++) {
        scene->world->late_ms[scene->standbys[i]->node->index][scene->primary->node->index] = ms;
    }
}

static void until_answered(struct scene *scene)
{
    int64_t before = page_deadline(scene);
    while (drill_good(scene) && page_deadline(scene) == before) {
        drill_pass(scene, 1);
    }
}

/* It writes for as long as its fence lets it. */
static void taken_over_from_one_that_hangs(struct scene *scene)
{
    scene->world->stops_hang = true;
    drill_taken_over(scene, true, BEYOND_MS);
    scene->world->stops_hang = false;
    rejoin_and_settle(scene);
}

/* The answer takes nearly as long as an attempt waits, and nothing is sent after it: what counts is
 * when the renewal left. */
static void isolated_right_after_a_late_answer(struct scene *scene)
{
    drill_lead(scene, scene->standbys[0]);
    answers_take(scene, scene->ttl_ms / 6 - NEARLY_MS);
    drill_pass(scene, scene->ttl_ms);
    until_answered(scene);
    drill_begin(scene);
    sim_faults_isolate(scene->primary->node);
    taken_over_from_one_that_hangs(scene);
}

/* As a member has applied it; 0 = there is none. */
static int64_t lease_ttl(const struct sim_machine *machine)
{
    const struct store *store = raft_node_store(machine->node->raft);
    struct store_kv leader;
    struct store_lease lease;
    return store_get(store, span_str("/service/sim/leader"), &leader) &&
                   store_lease_get(store, leader.lease, &lease)
               ? lease.ttl_ms
               : 0;
}

static bool ttl_counts(const struct scene *scene)
{
    return lease_ttl(scene->standbys[0]) == scene->world->ttl_ms;
}

static bool primary_is_told(const struct scene *scene)
{
    struct store_kv config;
    char ttl[32];
    char text[512];
    (void)snprintf(ttl, sizeof(ttl), "\"ttl\":%d,", (int)(scene->world->ttl_ms / 1000));
    bool there = store_get(raft_node_store(scene->primary->node->raft),
                           span_str("/service/sim/config"), &config);
    (void)snprintf(text, sizeof(text), "%.*s", there ? (int)config.value.len : 0,
                   there ? (const char *)config.value.data : "");
    return strstr(text, ttl) != NULL;
}

/* The others count the shorter ttl from the renewal that names it; its answer never comes. */
static void ttl_shortened_and_not_answered(struct scene *scene)
{
    struct sim_world *world = scene->world;
    drill_expect(scene, sim_faults_ttl(world, 2 * scene->ttl_ms), "a calm group is configured");
    drill_until(scene, ttl_counts, scene->ttl_ms, "the lease has the longer ttl");
    drill_pass(scene, scene->ttl_ms);
    drill_lead(scene, scene->standbys[0]);
    until_answered(scene);
    int64_t answered_ms = world->now;
    drill_expect(scene, sim_faults_ttl(world, scene->ttl_ms), "a calm group is configured");
    drill_until(scene, primary_is_told, LOOP_MS / 2, "the primary has the shorter ttl");
    drill_pass(scene, answered_ms + LOOP_MS - 2 * NEARLY_MS - world->now);
    answers_take(scene, 4 * scene->ttl_ms);
    drill_until(scene, ttl_counts, LOOP_MS, "the lease has the shorter ttl");
    drill_begin(scene);
    sim_faults_isolate(scene->primary->node);
    taken_over_from_one_that_hangs(scene);
}

#define DRILL(by_ttl, budget_ms, fn)                                                   \
    {                                                                                  \
#fn, SIM_CLUSTER, by_ttl, budget_ms, fn, SIM_ASYNC, false, false, false, false \
    }
#define FREEZES(mode, fn)                                                            \
    {                                                                                \
#fn, SIM_CLUSTER, true, DRILL_NO_BUDGET, fn, mode, false, false, true, false \
    }

/* Budgets of the time without a writer: ttl + 0.2 s after the loss of a node, 0.9 s after that of
 * the postmaster, 2 s after a majority is back. */
const struct sim_drill sim_drills_failover[] = {
    DRILL(true, 200, primary_lost),
    DRILL(true, 200, primary_and_leader_lost),
    DRILL(true, 200, primary_isolated),
    DRILL(false, DRILL_NO_BUDGET, isolation_ends_with_the_lease),
    DRILL(true, DRILL_NO_BUDGET, primary_hears_nothing),
    DRILL(true, 200, primary_is_not_heard),
    DRILL(true, 200, each_new_primary_dies),
    DRILL(false, 900, postmaster_killed),
    DRILL(false, DRILL_NO_BUDGET, postmaster_killed_in_a_shutdown),
    DRILL(true, DRILL_NO_BUDGET, adopted_primary_isolated),
    DRILL(true, 200, two_candidates_with_one_position),
    DRILL(false, DRILL_NO_BUDGET, standby_lost),
    DRILL(false, DRILL_NO_BUDGET, standby_isolated_past_the_lease),
    DRILL(false, DRILL_NO_BUDGET, standbys_cut_from_each_other),
    DRILL(false, DRILL_NO_BUDGET, primary_cut_from_one_standby),
    DRILL(false, DRILL_NO_BUDGET, agent_pauses_and_wakes_in_time),
    DRILL(false, DRILL_NO_BUDGET, agent_pauses_past_its_lease),
    DRILL(false, DRILL_NO_BUDGET, agent_killed_and_back_in_time),
    DRILL(false, DRILL_NO_BUDGET, agent_killed_and_back_after_S),
    DRILL(false, DRILL_NO_BUDGET, all_agents_killed),
    DRILL(false, 2000, majority_killed),
    DRILL(false, DRILL_NO_BUDGET, power_lost_everywhere),
    FREEZES(SIM_QUORUM_STRICT, host_frozen_past_its_lease),
    DRILL(true, 200, clock_rates_at_the_bound),
    DRILL(true, 200, isolated_right_after_a_late_answer),
    DRILL(true, 200, ttl_shortened_and_not_answered),
    DRILL(false, DRILL_NO_BUDGET, renewals_answered_late),
};
const size_t sim_drills_failover_count =
    sizeof(sim_drills_failover) / sizeof(sim_drills_failover[0]);
