/* What happens to the disks of the Raft members, to their group, and to the configuration.
 *
 * What a member stored is lost or damaged at one member at a time, and only while the group is
 * whole: of each committed entry a majority of the voters has a copy, and a voter that is gone has
 * none. */
#include "sim_machine.h"
#include "sim_script.h"

#include "base/assert.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

enum { DOWN_MS_MAX = 6000, WRITE_MS = 2000, BY_HAND_MS = 3000 };

/* --- disks ------------------------------------------------------------------------------------ */

bool sim_fault_slow_disk(struct sim_world *world, struct sim_dice *dice)
{
    struct sim_node *node = sim_fault_victim(world, dice);
    node->disk.slow ^= true;
    sim_trace(world, "%s: the disk is %s", node->name, node->disk.slow ? "slow" : "quick again");
    return true;
}

/* What is being synced now stays so for long. */
bool sim_fault_stall(struct sim_world *world, struct sim_dice *dice)
{
    struct sim_node *node = sim_fault_victim(world, dice);
    int64_t ms = sim_dice_between(dice, 500, 15000);
    sim_trace(world, "%s: the disk stands for %lld ms", node->name, (long long)ms);
    node->disk.stalled_until_ms = world->now + ms;
    return true;
}

static void space_again(void *arg, uint64_t a, uint64_t b)
{
    struct sim_node *node = arg;
    (void)a;
    (void)b;
    sim_trace(node->world, "%s: the disk has space again", node->name);
    node->disk.full = false;
}

bool sim_fault_full_disk(struct sim_world *world, struct sim_dice *dice)
{
    struct sim_node *node = sim_fault_victim(world, dice);
    int64_t ms = sim_dice_between(dice, 500, 9000);
    sim_trace(world, "%s: the disk is full for %lld ms", node->name, (long long)ms);
    node->disk.full = true;
    sim_at(world, ms, space_again, node, 0, 0);
    return true;
}

bool sim_fault_io_error(struct sim_world *world, struct sim_dice *dice)
{
    sim_fault_victim(world, dice)->disk.failing = true;
    return true;
}

/* Power is lost while a batch is being written: nothing of it is there, or some of it. */
bool sim_fault_torn(struct sim_world *world, struct sim_dice *dice)
{
    struct sim_node *node = sim_fault_victim(world, dice);
    if (node->raft == NULL || node->disk.queue_count == 0) {
        return false;
    }
    sim_member_crash(node);
    sim_faults_restart(node, sim_dice_between(dice, 20, DOWN_MS_MAX));
    return true;
}

static bool lose_storage(struct sim_node *node, struct sim_dice *dice, bool damage)
{
    struct sim_world *world = node->world;
    /* The note of a cluster that nobody knows yet is in that directory, and the marker of one that
     * is being made: without it only an operator can tell what the data are. */
    const struct sim_machine *machine =
        world->options.mode == SIM_CLUSTER ? sim_machine_of(node) : NULL;
    bool noted =
        machine != NULL && (machine->unannounced || machine->unfinished == PG_UNFINISHED_BOOTSTRAP);
    if (!sim_group_whole(world) || noted) {
        return false;
    }
    world->membership = true;
    sim_trace(world, "%s: its Raft directory is %s", node->name, damage ? "damaged" : "lost");
    sim_host_thaw(node);
    sim_member_crash(node);
    if (damage) {
        sim_member_damage(node);
    } else if (world->options.mode == SIM_CLUSTER && sim_dice_chance(dice, 600)) {
        sim_agent_host_lost(node);
    }
    sim_member_wipe(node);
    sim_faults_restart(node, sim_dice_between(dice, 20, DOWN_MS_MAX));
    return true;
}

bool sim_fault_damage(struct sim_world *world, struct sim_dice *dice)
{
    return lose_storage(sim_fault_any(world, dice), dice, true);
}

bool sim_fault_wipe(struct sim_world *world, struct sim_dice *dice)
{
    return lose_storage(sim_fault_any(world, dice), dice, false);
}

/* --- the group -------------------------------------------------------------------------------- */

static void on_done(void *arg, int rc, const struct store_result *result)
{
    (void)arg;
    (void)rc;
    (void)result;
}

bool sim_fault_transfer(struct sim_world *world, struct sim_dice *dice)
{
    struct sim_node *leader = sim_leader(world);
    const struct sim_node *to = sim_fault_any(world, dice);
    if (leader == NULL || to == leader || leader->paused) {
        return false;
    }
    sim_running = leader;
    sim_trace(world, "%s hands Raft leadership to %s", leader->name, to->name);
    return raft_node_transfer(leader->raft, to->id, NULL) == 0;
}

bool sim_fault_removal(struct sim_world *world, struct sim_dice *dice)
{
    struct sim_node *leader = sim_leader(world);
    const struct sim_node *node = sim_fault_any(world, dice);
    if (leader == NULL || leader == node || leader->paused || !sim_group_whole(world)) {
        return false;
    }
    sim_running = leader;
    if (raft_node_remove(leader->raft, node->id, on_done, NULL, NULL) != 0) {
        return false;
    }
    world->membership = true;
    sim_trace(world, "%s is to remove %s from the group", leader->name, node->name);
    return true;
}

/* --- what users write ------------------------------------------------------------------------- */

static bool put(struct sim_world *world, struct sim_dice *dice, const char *key, const char *value)
{
    struct sim_node *node = sim_fault_any(world, dice);
    if (node->raft == NULL || node->paused) {
        return false;
    }
    struct store_op op = {.type = STORE_OP_PUT, .key = span_str(key), .value = span_str(value)};
    struct store_command command = {.type = STORE_TXN, .success = &op, .success_count = 1};
    sim_running = node;
    sim_trace(world, "%s puts %s = %s", node->name, key, value);
    return raft_node_propose_plain(node->raft, &command, WRITE_MS, on_done, NULL, NULL) == 0;
}

static bool configure(struct sim_world *world, struct sim_dice *dice)
{
    json_t *document = sim_agent_dynamic(world);
    char *text = json_dumps(document, JSON_COMPACT);
    bool done = text != NULL && put(world, dice, "/service/sim/config", text);
    json_decref(document);
    free(text);
    return done;
}

static void set_ttl(struct sim_world *world, int64_t ttl_ms)
{
    world->ttl_ms = ttl_ms;
    world->ttl_most_ms = ttl_ms > world->ttl_most_ms ? ttl_ms : world->ttl_most_ms;
}

bool sim_faults_ttl(struct sim_world *world, int64_t ttl_ms)
{
    struct sim_dice dice = {.state = (uint64_t)ttl_ms};
    set_ttl(world, ttl_ms);
    return configure(world, &dice);
}

bool sim_fault_ttl(struct sim_world *world, struct sim_dice *dice)
{
    static const int64_t ttls[] = {3000, 4000, 6000, 10000, 14000};
    set_ttl(world, ttls[sim_dice_below(dice, sizeof(ttls) / sizeof(ttls[0]))]);
    return configure(world, dice);
}

bool sim_fault_hang_limit(struct sim_world *world, struct sim_dice *dice)
{
    static const int64_t limits[] = {0, 3000, 4000, 8000};
    world->hang_ms = limits[sim_dice_below(dice, sizeof(limits) / sizeof(limits[0]))];
    return configure(world, dice);
}

/* Said through a node that does not hear of it, it comes with the next change. */
static void resume(void *arg, uint64_t a, uint64_t seed)
{
    struct sim_world *world = arg;
    struct sim_dice dice = {seed};
    (void)a;
    if (world->faults_on && world->maintenance) {
        world->maintenance = false;
        (void)configure(world, &dice);
    }
}

bool sim_fault_maintenance(struct sim_world *world, struct sim_dice *dice)
{
    int64_t ttl = sim_ttl_ms(world);
    world->maintenance = !world->maintenance;
    world->maintained = true;
    if (world->maintenance && sim_dice_chance(dice, 800)) {
        /* Often around the end of a lease that nobody renewed. */
        int64_t after = sim_dice_chance(dice, 400) ? sim_dice_between(dice, ttl / 2, ttl + 600)
                                                   : sim_dice_between(dice, 100, 3 * ttl);
        sim_at(world, after, resume, world, 0, sim_dice_below(dice, 1 << 30));
    }
    return configure(world, dice);
}

bool sim_fault_sync_nodes(struct sim_world *world, struct sim_dice *dice)
{
    world->sync_nodes = 3 - world->sync_nodes;
    return configure(world, dice);
}

bool sim_fault_switchover(struct sim_world *world, struct sim_dice *dice)
{
    const struct sim_node *primary = sim_fault_primary(world);
    const struct sim_node *candidate = sim_fault_any(world, dice);
    char value[128];
    if (primary == NULL || primary == candidate) {
        return false;
    }
    if (sim_dice_chance(dice, 300)) {
        (void)snprintf(value, sizeof(value), "{\"leader\":\"%s\"}", primary->name);
    } else {
        (void)snprintf(value, sizeof(value), "{\"leader\":\"%s\",\"member\":\"%s\"}", primary->name,
                       candidate->name);
    }
    return put(world, dice, "/service/sim/failover", value);
}

/* On a member, by its REST interface. */
bool sim_fault_restart(struct sim_world *world, struct sim_dice *dice)
{
    struct sim_node *node =
        sim_dice_chance(dice, 500) ? sim_fault_victim(world, dice) : sim_fault_any(world, dice);
    bool later = sim_dice_chance(dice, 300);
    int64_t in_ms = later ? sim_dice_between(dice, 1, 2 * sim_ttl_ms(world)) : 0;
    int64_t timeout_ms =
        sim_dice_chance(dice, 500) ? sim_dice_between(dice, 100, 2 * sim_ttl_ms(world)) : 0;
    if (node->agent == NULL || node->paused || !sim_agent_restart(node, in_ms, timeout_ms)) {
        return false;
    }
    sim_trace(world, "%s: restart on request%s", node->name, later ? ", later" : "");
    return true;
}

/* Whoever gave the order has no patience. */
static void reinit_again(void *arg, uint64_t a, uint64_t b)
{
    struct sim_node *node = arg;
    (void)a;
    (void)b;
    if (node->agent != NULL && !node->paused && sim_agent_reinits(node)) {
        (void)sim_agent_reinit(node, true, false);
        sim_trace(node->world, "%s: made anew on request once more, by force", node->name);
    }
}

/* One at a time: whoever makes two anew at once has given up what only these two had. */
bool sim_fault_reinit(struct sim_world *world, struct sim_dice *dice)
{
    struct sim_node *node = sim_fault_any(world, dice);
    bool force = sim_dice_chance(dice, 500);
    bool from_leader = sim_dice_chance(dice, 300);
    for (size_t i = 0; i < world->node_count; i++) {
        if (&world->nodes[i] != node && sim_agent_reinits(&world->nodes[i])) {
            return false;
        }
    }
    if (node->agent == NULL || node->paused || !sim_agent_reinit(node, force, from_leader)) {
        return false;
    }
    sim_trace(world, "%s: made anew on request%s", node->name, force ? ", by force" : "");
    if (force) {
        sim_at(world, sim_dice_between(dice, 100, 3000), reinit_again, node, 0, 0);
    }
    return true;
}

/* What operators do in maintenance. */
bool sim_fault_by_hand(struct sim_world *world, struct sim_dice *dice)
{
    if (world->paused_ms < 0) {
        return false;
    }
    if (sim_dice_chance(dice, 600)) {
        return sim_fault_switchover(world, dice);
    }
    struct sim_node *node = sim_fault_victim(world, dice);
    struct sim_machine *machine = sim_machine_of(node);
    if (node->frozen || machine->phase != SIM_UP) {
        return false;
    }
    sim_trace(world, "%s: PostgreSQL is stopped by hand", node->name);
    sim_machine_stop_within(machine, FENCE_STOP_FAST, BY_HAND_MS);
    return true;
}
