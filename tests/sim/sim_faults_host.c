/* What happens to processes, hosts and clocks. */
#include "sim_fence.h"
#include "sim_machine.h"
#include "sim_script.h"

enum {
    STEP_MAX = 40,
    LOOP_MAX = 5,
    POLL_MS = 10,
    MAKER_POLL_MS = 1,
    HANG_MS = 20000,
    AWAY_MS = 1500,
    REPLAY_LATE_MS = 300, /* something is written meanwhile */
    HANG_MS_LONG = 60000, /* longer than the default of postmaster_hang_timeout */
};

static void stays_down(struct sim_node *node, struct sim_dice *dice)
{
    int64_t ttl = sim_ttl_ms(node->world);
    static const int64_t tenths[] = {0, 2, 5, 10, 25};
    int64_t base = tenths[sim_dice_below(dice, sizeof(tenths) / sizeof(tenths[0]))] * ttl / 10;
    sim_faults_restart(node, base + sim_dice_between(dice, 20, 1000));
}

/* --- agents ----------------------------------------------------------------------------------- */

static bool crash(struct sim_node *node, struct sim_dice *dice)
{
    bool ran = node->raft != NULL;
    sim_member_crash(node);
    stays_down(node, dice);
    return ran;
}

bool sim_fault_crash(struct sim_world *world, struct sim_dice *dice)
{
    return crash(sim_fault_victim(world, dice), dice);
}

bool sim_fault_crash_leader(struct sim_world *world, struct sim_dice *dice)
{
    struct sim_node *leader = sim_leader(world);
    return leader != NULL && crash(leader, dice);
}

bool sim_fault_crash_all(struct sim_world *world, struct sim_dice *dice)
{
    for (size_t i = 0; i < world->node_count; i++) {
        (void)crash(&world->nodes[i], dice);
    }
    return true;
}

/* After so many more operations of its own: in the middle of whatever it is at. */
bool sim_fault_crash_step(struct sim_world *world, struct sim_dice *dice)
{
    struct sim_node *node = sim_fault_victim(world, dice);
    if (node->agent == NULL) {
        return false;
    }
    node->crash_in = 1 + (unsigned)sim_dice_below(dice, STEP_MAX);
    return true;
}

/* While a page is armed for a standby that is to become the primary: before the signal, or after
 * it.
 */
static void crash_the_next(void *arg, uint64_t polls, uint64_t seed)
{
    struct sim_world *world = arg;
    struct sim_dice dice = {seed};
    struct fence_lease lease;
    if (!world->faults_on || polls == 0) {
        return;
    }
    for (size_t i = 0; i < world->node_count; i++) {
        const struct sim_machine *machine = sim_machine_of(&world->nodes[i]);
        if (machine->recovery && machine->phase == SIM_UP &&
            fence_page_read(machine->page, &lease) && fence_lease_armed(&lease)) {
            if (sim_dice_chance(&dice, 200)) {
                (void)crash(&world->nodes[i], &dice);
                return;
            }
            seed++; /* a little later */
        }
    }
    sim_at(world, POLL_MS, crash_the_next, world, polls - 1, seed);
}

bool sim_fault_crash_promotion(struct sim_world *world, struct sim_dice *dice)
{
    struct sim_node *primary = sim_fault_primary(world);
    if (primary == NULL) {
        return false;
    }
    (void)crash(primary, dice);
    crash_the_next(world, (uint64_t)(2 * sim_ttl_ms(world) / POLL_MS),
                   sim_dice_below(dice, 1 << 30));
    return true;
}

/* A cluster is being made, or was made and the store does not name it yet. */
static void lose_the_maker(void *arg, uint64_t polls, uint64_t seed)
{
    struct sim_world *world = arg;
    struct sim_dice dice = {seed};
    bool late = sim_dice_chance(&dice, 700);
    if (!world->faults_on || polls == 0) {
        return;
    }
    for (size_t i = 0; i < world->node_count; i++) {
        const struct sim_machine *machine = sim_machine_of(&world->nodes[i]);
        if (!(late ? machine->unannounced : machine->unfinished == PG_UNFINISHED_BOOTSTRAP)) {
            continue;
        }
        if (sim_dice_chance(&dice, 500)) {
            sim_faults_isolate(&world->nodes[i]);
            sim_fault_passes(world, &dice);
        } else {
            (void)crash(&world->nodes[i], &dice);
        }
        return;
    }
    sim_at(world, MAKER_POLL_MS, lose_the_maker, world, polls - 1, seed);
}

bool sim_fault_bootstrap(struct sim_world *world, struct sim_dice *dice)
{
    lose_the_maker(world, (uint64_t)(3 * sim_ttl_ms(world) / MAKER_POLL_MS),
                   sim_dice_below(dice, 1 << 30));
    return true;
}

bool sim_fault_terminate(struct sim_world *world, struct sim_dice *dice)
{
    struct sim_node *node = sim_fault_victim(world, dice);
    if (node->agent == NULL || node->paused) {
        return false;
    }
    sim_agent_terminate(node);
    sim_trace(world, "%s: SIGTERM", node->name);
    return true;
}

bool sim_fault_pause(struct sim_world *world, struct sim_dice *dice)
{
    struct sim_node *node = sim_fault_victim(world, dice);
    if (node->raft == NULL || node->paused) {
        return false;
    }
    sim_node_pause(node, sim_dice_between(dice, 20, 2 * sim_ttl_ms(world)));
    return true;
}

/* --- hosts ------------------------------------------------------------------------------------ */

static void power_off(struct sim_node *node)
{
    sim_trace(node->world, "%s loses power", node->name);
    sim_host_thaw(node);
    sim_member_crash(node);
    sim_machine_power_off(sim_machine_of(node));
}

bool sim_fault_power(struct sim_world *world, struct sim_dice *dice)
{
    struct sim_node *node = sim_fault_victim(world, dice);
    power_off(node);
    stays_down(node, dice);
    return true;
}

/* Each comes back in its own time, in any order. */
bool sim_fault_power_all(struct sim_world *world, struct sim_dice *dice)
{
    for (size_t i = 0; i < world->node_count; i++) {
        power_off(&world->nodes[i]);
        stays_down(&world->nodes[i], dice);
    }
    return true;
}

/* The second half of a double failure: whoever is being promoted is lost, too. */
static void lose_the_next(void *arg, uint64_t polls, uint64_t seed)
{
    struct sim_world *world = arg;
    struct sim_dice dice = {seed};
    if (!world->faults_on || polls == 0) {
        return;
    }
    for (size_t i = 0; i < world->node_count; i++) {
        struct sim_machine *machine = sim_machine_of(&world->nodes[i]);
        if (machine->recovery && machine->promote_sent && machine->phase == SIM_UP) {
            if (sim_dice_chance(&dice, 300)) {
                power_off(&world->nodes[i]);
                stays_down(&world->nodes[i], &dice);
                return;
            }
            seed += 1; /* a little later */
        }
    }
    sim_at(world, POLL_MS, lose_the_next, world, polls - 1, seed);
}

bool sim_fault_double(struct sim_world *world, struct sim_dice *dice)
{
    struct sim_node *primary = sim_fault_primary(world);
    if (primary == NULL) {
        return false;
    }
    power_off(primary);
    stays_down(primary, dice);
    lose_the_next(world, (uint64_t)(2 * sim_ttl_ms(world) / POLL_MS),
                  sim_dice_below(dice, 1 << 30));
    return true;
}

static bool freeze(struct sim_world *world, struct sim_dice *dice, bool clock_stands)
{
    struct sim_node *node = sim_fault_victim(world, dice);
    if (node->frozen || node->paused) {
        return false;
    }
    sim_host_freeze(node, sim_dice_between(dice, 100, 3 * sim_ttl_ms(world)), clock_stands);
    return true;
}

bool sim_fault_freeze(struct sim_world *world, struct sim_dice *dice)
{
    return freeze(world, dice, false);
}

bool sim_fault_freeze_clock(struct sim_world *world, struct sim_dice *dice)
{
    return freeze(world, dice, true);
}

static bool set_rate(struct sim_world *world, struct sim_dice *dice, int64_t most_ppm)
{
    struct sim_node *node = sim_fault_victim(world, dice);
    if (node->clock_stands) {
        return false;
    }
    sim_node_set_rate(node, sim_dice_between(dice, -most_ppm, most_ppm));
    sim_trace(world, "%s: its clock runs by %lld ppm", node->name, (long long)node->rate_ppm);
    return true;
}

bool sim_fault_rate(struct sim_world *world, struct sim_dice *dice)
{
    return set_rate(world, dice, 500);
}

bool sim_fault_rate_beyond(struct sim_world *world, struct sim_dice *dice)
{
    return set_rate(world, dice, 100000);
}

/* Agent and fence of a standby end, and its server is started by somebody else before an agent is
 * back. In a pause it would be an operator's, and is left alone. */
bool sim_fault_adoption(struct sim_world *world, struct sim_dice *dice)
{
    struct sim_node *node = sim_fault_any(world, dice);
    struct sim_machine *machine = sim_machine_of(node);
    struct fence_lease lease;
    int64_t away_ms = sim_dice_between(dice, 20, AWAY_MS);
    bool standby = machine->phase == SIM_UP && machine->recovery && !machine->promote_sent &&
                   fence_page_read(machine->page, &lease) && !fence_lease_armed(&lease);
    if (node->agent == NULL || node->paused || node->frozen || world->maintenance ||
        world->paused_ms >= 0 || machine->dir != PG_DIR_VALID || !standby) {
        return false;
    }
    sim_member_crash(node);
    sim_machine_start_by_hand(machine);
    sim_faults_restart(node, away_ms);
    return true;
}

bool sim_fault_silent_fence(struct sim_world *world, struct sim_dice *dice)
{
    struct sim_machine *machine = sim_machine_of(sim_fault_victim(world, dice));
    bool for_ever = sim_dice_chance(dice, 750);
    if (sim_fence_stands(machine) || machine->off) {
        return false;
    }
    sim_fence_stop(machine, for_ever ? world->options.fault_ms
                                     : sim_dice_between(dice, 100, 6 * sim_ttl_ms(world)));
    return true;
}

/* --- PostgreSQL ------------------------------------------------------------------------------- */

static struct sim_machine *victim_machine(struct sim_world *world, struct sim_dice *dice)
{
    struct sim_machine *machine = sim_machine_of(sim_fault_victim(world, dice));
    return machine->node->frozen || machine->phase == SIM_DOWN ? NULL : machine;
}

bool sim_fault_postmaster(struct sim_world *world, struct sim_dice *dice)
{
    struct sim_machine *machine = victim_machine(world, dice);
    if (machine == NULL) {
        return false;
    }
    sim_trace(world, "%s: the postmaster is killed", machine->node->name);
    sim_machine_kill_postmaster(machine);
    return true;
}

static void crash_again(void *arg, uint64_t left, uint64_t gap_ms)
{
    struct sim_machine *machine = arg;
    if (!machine->node->world->faults_on || left == 0) {
        return;
    }
    sim_machine_kill_postmaster(machine);
    sim_host_at(machine->node, (int64_t)gap_ms, crash_again, machine, left - 1, gap_ms);
}

bool sim_fault_crash_loop(struct sim_world *world, struct sim_dice *dice)
{
    struct sim_machine *machine = victim_machine(world, dice);
    if (machine == NULL) {
        return false;
    }
    sim_trace(world, "%s: PostgreSQL crashes again and again", machine->node->name);
    crash_again(machine, 2 + sim_dice_below(dice, LOOP_MAX),
                (uint64_t)sim_dice_between(dice, 300, 4000));
    return true;
}

/* Its disk stands, or its postmaster: nothing is written, and nobody new gets in. */
bool sim_fault_hang(struct sim_world *world, struct sim_dice *dice)
{
    struct sim_machine *machine = victim_machine(world, dice);
    if (machine == NULL) {
        return false;
    }
    int64_t ms = sim_dice_between(dice, 500, sim_dice_chance(dice, 500) ? HANG_MS_LONG : HANG_MS);
    machine->hangs_until_ms = world->now + ms;
    sim_trace(world, "%s: PostgreSQL hangs for %lld ms", machine->node->name, (long long)ms);
    return true;
}

static void lose_behind(void *arg, uint64_t seed, uint64_t b)
{
    struct sim_node *node = arg;
    struct sim_dice dice = {seed};
    (void)b;
    if (node->world->faults_on) {
        power_off(node);
        stays_down(node, &dice);
    }
}

static void replay_stands(struct sim_machine *machine, int64_t ms)
{
    machine->replay_stands_until_ms = machine->node->world->now + ms;
    sim_trace(machine->node->world, "%s: replay stands for %lld ms", machine->node->name,
              (long long)ms);
}

/* Alone, or on all standbys while the primary is lost, so that a promotion finds something to
 * replay. */
bool sim_fault_replay(struct sim_world *world, struct sim_dice *dice)
{
    struct sim_node *primary = sim_fault_primary(world);
    int64_t ms = sim_dice_between(dice, 500, 15000);
    if (primary != NULL && sim_dice_chance(dice, 600)) {
        for (size_t i = 0; i < world->node_count; i++) {
            if (i != primary->index) {
                replay_stands(sim_machine_of(&world->nodes[i]), ms + 2 * sim_ttl_ms(world));
            }
        }
        sim_at(world, REPLAY_LATE_MS, lose_behind, primary, sim_dice_below(dice, 1 << 30), 0);
        return true;
    }
    struct sim_machine *machine = sim_machine_of(sim_fault_any(world, dice));
    if (machine->phase != SIM_UP || !machine->recovery) {
        return false;
    }
    replay_stands(machine, ms);
    return true;
}

/* It receives, and is far behind. */
bool sim_fault_slow_standby(struct sim_world *world, struct sim_dice *dice)
{
    struct sim_machine *machine = sim_machine_of(sim_fault_any(world, dice));
    if (machine->phase != SIM_UP || !machine->recovery) {
        return false;
    }
    machine->slow_until_ms = world->now + sim_dice_between(dice, 1000, 20000);
    sim_trace(world, "%s: its disk is slow, and so is what it flushes", machine->node->name);
    return true;
}
