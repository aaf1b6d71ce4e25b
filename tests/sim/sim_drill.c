/* What all drills use: the calm before, waiting and holding, the stopwatch. */
#include "sim_drill.h"

#include "base/assert.h"

#include <stdio.h>

enum {
    DRILL_STEP_MS = 10,
    SHORT_TTL_MS = 3000,
    LONG_TTL_MS = 10000,
    LONG_TTL_EVERY = 5,
    WATCHDOG_TTL_MS = 6000, /* a timeout of 1 s has room in it */
    SETTLE_LIMIT_MS = 70000,
    CALM_MS = 2500, /* a status is published, some renewals are answered */
    CALM_MORE_MS = 3000,
    LEAD_LIMIT_MS = 10000,
    ELECT_LIMIT_MS = 4 * SIM_ELECTION_MS,
};

static int64_t last_gap = DRILL_NO_GAP;

void sim_drill_setup(const struct sim_options *options, struct sim_setup *ret_setup)
{
    *ret_setup = (struct sim_setup){
        .nodes = 3,
        .ttl_ms = options->drill->watchdog              ? WATCHDOG_TTL_MS
                  : options->seed % LONG_TTL_EVERY == 0 ? LONG_TTL_MS
                                                        : SHORT_TTL_MS,
        .snapshot_entries = 20 + (unsigned)(options->seed % 5) * 60,
        .replication = options->drill->replication,
        .sync_nodes = 1,
        .early_failover = options->drill->early_failover,
        .one_writer = !options->drill->without_fence && !options->drill->freezes,
        .fence = !options->drill->without_fence,
        .watchdog = options->drill->watchdog && !options->mutation.without_watchdog};
}

int64_t sim_drill_gap(void)
{
    return last_gap;
}

/* --- waiting and holding ---------------------------------------------------------------------- */

bool drill_good(const struct scene *scene)
{
    return scene->world->failure == NULL;
}

void drill_expect(const struct scene *scene, bool good, const char *what)
{
    if (!good) {
        sim_fail(scene->world, what, "in the drill '%s'", scene->world->options.drill->name);
    }
}

void drill_pass(struct scene *scene, int64_t ms)
{
    sim_run_until(scene->world, scene->world->now + ms);
}

void drill_until(struct scene *scene, scene_test reached, int64_t limit_ms, const char *what)
{
    int64_t end = scene->world->now + limit_ms;
    while (drill_good(scene) && !reached(scene)) {
        if (scene->world->now >= end) {
            sim_fail(scene->world, what, "in the drill '%s': not after %lld ms",
                     scene->world->options.drill->name, (long long)limit_ms);
        }
        drill_pass(scene, DRILL_STEP_MS);
    }
}

void drill_while(struct scene *scene, scene_test holds, int64_t ms, const char *what)
{
    int64_t end = scene->world->now + ms;
    while (drill_good(scene) && scene->world->now < end) {
        drill_expect(scene, holds(scene), what);
        drill_pass(scene, DRILL_STEP_MS);
    }
}

/* --- looking ---------------------------------------------------------------------------------- */

struct sim_machine *drill_primary(const struct scene *scene)
{
    for (size_t i = 0; i < scene->world->node_count; i++) {
        struct sim_machine *machine = sim_machine_of(&scene->world->nodes[i]);
        if (machine->writable && machine->phase == SIM_UP) {
            return machine;
        }
    }
    return NULL;
}

bool drill_undisturbed(const struct scene *scene)
{
    return scene->primary->run == scene->run && scene->primary->writable &&
           scene->primary->phase == SIM_UP &&
           sim_wal_timeline(&scene->primary->wal) == scene->timeline;
}

bool drill_nobody_serves(const struct scene *scene)
{
    for (size_t i = 0; i < scene->world->node_count; i++) {
        if (sim_machine_of(&scene->world->nodes[i])->writable) {
            return false;
        }
    }
    return true;
}

bool drill_settled(const struct scene *scene)
{
    return sim_agents_settled(scene->world);
}

bool drill_whole(const struct scene *scene)
{
    return sim_group_whole(scene->world);
}

/* --- doing ------------------------------------------------------------------------------------ */

static void look(struct scene *scene)
{
    size_t count = 0;
    scene->primary = drill_primary(scene);
    ASSERT(scene->primary != NULL);
    scene->run = scene->primary->run;
    scene->timeline = sim_wal_timeline(&scene->primary->wal);
    for (size_t i = 0; i < scene->world->node_count; i++) {
        struct sim_machine *machine = sim_machine_of(&scene->world->nodes[i]);
        if (machine != scene->primary) {
            ASSERT(count < 2);
            scene->standbys[count++] = machine;
        }
    }
}

void drill_settle(struct scene *scene)
{
    struct sim_world *world = scene->world;
    drill_until(scene, drill_whole, SETTLE_LIMIT_MS, "all are voters of one group");
    drill_until(scene, drill_settled, SETTLE_LIMIT_MS,
                "one primary, and everybody streams from it");
    drill_pass(scene, CALM_MS + (int64_t)sim_below(world, CALM_MORE_MS));
    drill_until(scene, drill_settled, 0, "a calm cluster stays as it is");
    if (drill_good(scene)) {
        look(scene);
    }
}

void drill_begin(struct scene *scene)
{
    scene->began_ms = scene->world->now;
    scene->primary_leads = sim_leader(scene->world) == scene->primary->node;
    sim_trace(scene->world, "=== %s: %s is the primary", scene->world->options.drill->name,
              scene->primary->node->name);
}

void drill_lead(struct scene *scene, struct sim_machine *machine)
{
    struct sim_world *world = scene->world;
    int64_t end = world->now + LEAD_LIMIT_MS;
    struct sim_node *leader = sim_leader(world);
    while (drill_good(scene) && leader != machine->node) {
        if (leader != NULL) {
            sim_running = leader;
            int rc = raft_node_transfer(leader->raft, machine->node->id, NULL);
            drill_expect(scene, rc == 0 || rc == ERR_BUSY, "a voter may be handed the leadership");
        }
        drill_expect(scene, world->now < end, "a calm group hands over its leadership");
        drill_pass(scene, DRILL_STEP_MS);
        leader = sim_leader(world);
    }
    drill_begin(scene);
}

static bool other_serves(const struct scene *scene)
{
    const struct sim_machine *now = drill_primary(scene);
    return now != NULL && now != scene->primary;
}

void drill_taken_over(struct scene *scene, bool by_ttl, int64_t beyond_ms)
{
    int64_t wait = by_ttl ? scene->ttl_ms : 0;
    /* A renewal that was on its way when the Raft leader was lost is applied by the next one, and
     * the others count the whole ttl from there. */
    int64_t elect = by_ttl && scene->primary_leads ? ELECT_LIMIT_MS : 0;
    drill_until(scene, other_serves,
                wait + elect + beyond_ms - (scene->world->now - scene->began_ms),
                "another one serves in time");
    scene->gap_ms = scene->world->now - scene->began_ms - wait;
}

void drill_crash(struct sim_machine *machine)
{
    sim_member_crash(machine->node);
}

void drill_power_off(struct sim_machine *machine)
{
    sim_trace(machine->node->world, "%s loses power", machine->node->name);
    sim_member_crash(machine->node);
    sim_machine_power_off(machine);
}

void drill_start(struct sim_machine *machine)
{
    sim_faults_restart(machine->node, 0);
}

void drill_cut(struct scene *scene, const struct sim_machine *from, const struct sim_machine *to)
{
    sim_trace(scene->world, "cut %s -> %s", from->node->name, to->node->name);
    scene->world->cut[from->node->index][to->node->index] = true;
}

static void on_ordered(void *arg, int rc, const struct store_result *result)
{
    (void)arg;
    (void)rc;
    (void)result;
}

void drill_order(struct scene *scene, const struct sim_machine *through, const char *leader,
                 const char *candidate)
{
    char value[128];
    int used = snprintf(value, sizeof(value), "{");
    if (leader != NULL) {
        used += snprintf(value + used, sizeof(value) - (size_t)used, "\"leader\":\"%s\"%s", leader,
                         candidate != NULL ? "," : "");
    }
    if (candidate != NULL) {
        used +=
            snprintf(value + used, sizeof(value) - (size_t)used, "\"member\":\"%s\"", candidate);
    }
    (void)snprintf(value + used, sizeof(value) - (size_t)used, "}");
    struct store_op op = {
        .type = STORE_OP_PUT, .key = span_str("/service/sim/failover"), .value = span_str(value)};
    struct store_command command = {.type = STORE_TXN, .success = &op, .success_count = 1};
    sim_running = through->node;
    int rc = raft_node_propose_plain(through->node->raft, &command, 2000, on_ordered, NULL, NULL);
    drill_expect(scene, rc == 0, "a calm cluster takes an order");
}

void sim_drill_run(struct sim_world *world)
{
    const struct sim_drill *drill = world->options.drill;
    int64_t ttl = sim_ttl_ms(world);
    int64_t margin = ttl / 10 > 400 ? ttl / 10 : 400;
    int64_t soft = ttl / 15 > 200 ? ttl / 15 : 200;
    struct scene scene = {.world = world,
                          .ttl_ms = ttl,
                          .kill_ms = ttl - margin,
                          .soft_ms = ttl - margin - soft,
                          .gap_ms = DRILL_NO_GAP};
    last_gap = DRILL_NO_GAP;
    if (drill->mode == SIM_CLUSTER) {
        drill_settle(&scene);
    }
    if (drill_good(&scene)) {
        drill->run(&scene);
    }
    if (drill_good(&scene)) {
        last_gap = scene.gap_ms;
    }
}
