/* Drills: a calm cluster, one fault at a time, and a stopwatch. What the sweep of faults cannot hold, because several
 * things are broken at once there, is held here: how long nobody serves, and that what is planned loses nothing. */
#include "agent/loop/loop.h"
#include "sim_machine.h"

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    DRILLS = 6,
    SETTLE_MS = 70000,
    STEP_MS = 10,
    ELECTION_MS = 1500,  /* E of docs/consensus.md at an election timeout of 500 ms */
    PROMOTION_MS = 1500, /* detach, report, race, promote: what the model's latencies allow */
    STOP_MS = 4500,      /* a fast stop in the model, or a hanging one that is killed */
};

enum drill { DRILL_POWER, DRILL_ISOLATE, DRILL_HANG, DRILL_POSTMASTER, DRILL_SWITCHOVER, DRILL_SHUTDOWN, DRILL_KINDS };

static const char *const drill_names[] = {"power off", "isolated",   "agent hangs",
                                          "postmaster killed", "switchover", "shutdown"};

static int64_t gaps[DRILL_KINDS][4096];
static size_t gap_counts[DRILL_KINDS];

static struct sim_machine *primary_of(struct sim_world *world)
{
    for (size_t i = 0; i < world->node_count; i++) {
        struct sim_machine *machine = sim_machine_of(&world->nodes[i]);
        if (machine->writable && machine->phase == SIM_UP) {
            return machine;
        }
    }
    return NULL;
}

static void on_ordered(void *arg, int rc, const struct store_result *result)
{
    (void)arg;
    (void)rc;
    (void)result;
}

static void order_switchover(struct sim_machine *machine)
{
    char value[64];
    (void)snprintf(value, sizeof(value), "{\"leader\":\"%s\"}", machine->node->name);
    struct store_op op = {
        .type = STORE_OP_PUT, .key = span_str("/service/sim/failover"), .value = span_str(value)};
    struct store_command command = {.type = STORE_TXN, .success = &op, .success_count = 1};
    if (raft_node_propose_plain(machine->node->raft, &command, 2000, on_ordered, NULL, NULL) != 0) {
        sim_fail(machine->node->world, "a calm cluster takes an order", "%s", machine->node->name);
    }
}

static void begin(enum drill drill, struct sim_machine *machine)
{
    switch (drill) {
    case DRILL_POWER:
        sim_member_crash(machine->node);
        sim_machine_power_off(machine);
        break;
    case DRILL_ISOLATE: sim_faults_isolate(machine->node); break;
    case DRILL_HANG: sim_node_pause(machine->node, SETTLE_MS); break;
    case DRILL_POSTMASTER: sim_machine_kill(machine, 5); break;
    case DRILL_SWITCHOVER: order_switchover(machine); break;
    case DRILL_SHUTDOWN: sim_agent_terminate(machine->node); break;
    case DRILL_KINDS: break;
    }
}

static int64_t limit_of(const struct sim_world *world, enum drill drill)
{
    switch (drill) {
    case DRILL_POWER:
    case DRILL_ISOLATE:
    case DRILL_HANG: return sim_ttl_ms(world) + ELECTION_MS + PROMOTION_MS;
    case DRILL_POSTMASTER: return ELECTION_MS + PROMOTION_MS;
    case DRILL_SWITCHOVER:
    case DRILL_SHUTDOWN: return STOP_MS + PROMOTION_MS;
    case DRILL_KINDS: break;
    }
    return 0;
}

/* Somebody serves where clients and a majority are; the one that was cut off does not count, however long it may. */
static bool served(struct sim_world *world, enum drill drill, const struct sim_machine *before, uint64_t run)
{
    const struct sim_machine *now = primary_of(world);
    if (now == NULL) {
        return false;
    }
    return drill == DRILL_POSTMASTER ? now != before || now->run != run : now != before;
}

static void one_drill(struct sim_world *world, enum drill drill)
{
    struct sim_machine *before = primary_of(world);
    uint64_t run = before->run;
    int64_t began = world->now;
    sim_trace(world, "=== drill: %s, %s", drill_names[drill], before->node->name);
    begin(drill, before);
    while (world->failure == NULL && !served(world, drill, before, run)) {
        sim_run_until(world, world->now + STEP_MS);
        if (world->now - began > limit_of(world, drill)) {
            sim_fail(world, "somebody serves again in time", "%s: not after %lld ms", drill_names[drill],
                     (long long)(world->now - began));
        }
    }
    const struct sim_machine *now = primary_of(world);
    bool planned = drill == DRILL_SWITCHOVER || drill == DRILL_SHUTDOWN;
    bool clean = before->control == PG_CONTROL_SHUT_DOWN; /* a stop that hung was killed: as a crash */
    if (world->failure == NULL && planned && clean && sim_wal_common(&before->wal, &now->wal) != before->wal.end) {
        sim_fail(world, "a planned change loses nothing", "%s to %s", before->node->name, now->node->name);
    }
    if (world->failure == NULL && gap_counts[drill] < sizeof(gaps[0]) / sizeof(gaps[0][0])) {
        /* In units of the part that is ours to make short: beyond the lease that has to run out. */
        bool waits = drill == DRILL_POWER || drill == DRILL_ISOLATE || drill == DRILL_HANG;
        gaps[drill][gap_counts[drill]++] = world->now - began - (waits ? sim_ttl_ms(world) : 0);
    }
    sim_run_until(world, world->now + 500 + (int64_t)sim_below(world, 3000));
    if (world->failure == NULL) {
        sim_node_resume(before->node);
        sim_faults_heal(world);
    }
}

static void settle(struct sim_world *world)
{
    int64_t end = world->now + SETTLE_MS;
    while (world->failure == NULL && !sim_agents_settled(world)) {
        sim_run_until(world, world->now + STEP_MS);
        if (world->now > end) {
            sim_fail(world, "one primary, and everybody streams from it", "not after %d s", SETTLE_MS / 1000);
        }
    }
}

void sim_drills(struct sim_world *world)
{
    for (int i = 0; i < DRILLS && world->failure == NULL; i++) {
        settle(world);
        /* Long enough for a report of the lag and a renewal or two. */
        sim_run_until(world, world->now + 2500 + (int64_t)sim_below(world, 3000));
        settle(world);
        if (world->failure == NULL) {
            one_drill(world, (enum drill)sim_below(world, DRILL_KINDS));
        }
    }
    settle(world);
}

static int gap_order(const void *a, const void *b)
{
    int64_t first = *(const int64_t *)a;
    int64_t second = *(const int64_t *)b;
    return first < second ? -1 : first > second ? 1 : 0;
}

void sim_drills_print(void)
{
    for (size_t drill = 0; drill < DRILL_KINDS; drill++) {
        size_t count = gap_counts[drill];
        if (count > 0) {
            qsort(gaps[drill], count, sizeof(gaps[0][0]), gap_order);
            printf("  %-18s %4zu drills, nobody serves for %s median %lld ms, most %lld ms\n", drill_names[drill], count,
                   drill <= DRILL_HANG ? "ttl +" : "     ", (long long)gaps[drill][count / 2],
                   (long long)gaps[drill][count - 1]);
        }
    }
}
