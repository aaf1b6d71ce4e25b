/* The model of PostgreSQL's life and of the fence process.
 *
 * Held here: never two writable primaries at one instant (I1), no timeline made twice (I6). The
 * fence is the shipping decision (pgctl/fence/fence_page.c) on a page that the shipping keeper
 * writes; what is modelled is that it wakes late and that a kill takes time. */
#include "sim_machine.h"

#include "sim_depose.h"
#include "sim_fence.h"
#include "sim_pause.h"
#include "sim_watchdog.h"

#include "base/assert.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    FENCE_LATE_MS = 50,  /* scheduling, and ... */
    FENCE_KILL_MS = 180, /* ... killing: together below the 250 ms that the margins pay for */
    TIMELINES_MAX = 4096,
    WRITE_MS = 40,
    PROMOTE_AGAIN_MS = 20,
    STOP_AGAIN_MS = 100,
    RECOVERY_MS = 8000,
    ORPHANS_MS = 250,       /* backends outlive their postmaster, and one of ... */
    ORPHANS_LATE_MS = 3000, /* ... them hangs in the kernel, where no fence reaches it */
    BY_HAND_PID = 50000,
};

struct machines {
    struct sim_machine machines[SIM_NODES_MAX];
    bool timelines[TIMELINES_MAX];
};

static struct machines *all;

struct sim_machine *sim_machine_of(struct sim_node *node)
{
    return &all->machines[node->index];
}

/* --- one writer ------------------------------------------------------------------------------- */

static void become_writable(struct sim_machine *machine)
{
    struct sim_world *world = machine->node->world;
    machine->writable = true;
    sim_trace(world, "%s is WRITABLE on timeline %u", machine->node->name,
              sim_wal_timeline(&machine->wal));
    sim_commits_primary(machine);
    sim_depose_primary(machine);
    if (machine->by_hand) {
        sim_coverage_state(SIM_STATE_ADOPTED_PRIMARY);
    }
    for (size_t i = 0; i < world->node_count; i++) {
        if (i == machine->node->index || !all->machines[i].writable) {
            continue;
        }
        if (!world->setup.one_writer) {
            sim_coverage_state(SIM_STATE_TWO_WRITERS);
        } else if (sim_depose_excuses(machine) || sim_depose_excuses(&all->machines[i])) {
            sim_coverage_state(SIM_STATE_DEPOSED_WRITES);
        } else {
            sim_fail(world, "one writable primary", "%s while %s still is", machine->node->name,
                     world->nodes[i].name);
        }
    }
}

void sim_machine_at(struct sim_machine *machine, int64_t delay_ms, sim_fn fn, uint64_t b)
{
    sim_host_at(machine->node, delay_ms, fn, machine, machine->run, b);
}

int64_t sim_machine_takes(const struct sim_machine *machine, int64_t low, int64_t high)
{
    struct sim_world *world = machine->node->world;
    int64_t range = world->options.drill != NULL ? (high - low) / 8 : high - low;
    return low + (int64_t)sim_below(world, (uint64_t)(range + 1));
}

bool sim_machine_hangs(const struct sim_machine *machine)
{
    return machine->node->world->now < machine->hangs_until_ms;
}

void sim_machine_heal(struct sim_machine *machine)
{
    machine->hangs_until_ms = 0;
    machine->replay_stands_until_ms = 0;
    machine->slow_until_ms = 0;
    machine->dog.fence_stands_until_ms = 0;
}

/* --- life of the postmaster ------------------------------------------------------------------- */

void sim_machine_up(struct sim_machine *machine)
{
    machine->phase = SIM_UP;
    if (!machine->recovery) {
        machine->control = PG_CONTROL_IN_PRODUCTION;
        become_writable(machine);
    } else {
        machine->control = PG_CONTROL_IN_ARCHIVE_RECOVERY;
    }
}

static void up(void *arg, uint64_t run, uint64_t b)
{
    struct sim_machine *machine = arg;
    (void)b;
    if (machine->run == run && machine->phase == SIM_STARTING) {
        sim_machine_up(machine);
    }
}

static void begin(struct sim_machine *machine, enum pg_start_role role, int upstream)
{
    machine->run++;
    machine->phase = SIM_STARTING;
    machine->recovery = role == PG_START_STANDBY;
    machine->standby_signal = machine->recovery;
    machine->backup_label = false;
    machine->upstream = upstream;
    machine->promote_sent = false;
    sim_replication_started(machine);
    sim_sync_started(machine);
    machine->kill_at_ms = FENCE_NO_DEADLINE;
    sim_trace(machine->node->world, "%s starts PostgreSQL as %s%s", machine->node->name,
              machine->recovery ? "standby" : "primary", machine->by_hand ? ", by hand" : "");
    /* Now and then there is much to recover. */
    bool is_long = machine->node->world->faults_on && sim_chance(machine->node->world, 50);
    sim_machine_at(machine, sim_machine_takes(machine, 50, is_long ? RECOVERY_MS : 600), up, 0);
}

void sim_machine_start(struct sim_machine *machine, enum pg_start_role role, int upstream)
{
    machine->status.running = true;
    machine->status.exited = false;
    machine->status.all_gone = false;
    machine->status.starts++;
    machine->status.postmaster_pid = SIM_POSTMASTER_PID + (int32_t)machine->status.starts;
    begin(machine, role, upstream);
}

/* Nothing of the instance is left. Of one that was started by hand the fence knows that only when
 * it has killed it: it is not the parent. */
static void gone(struct sim_machine *machine, bool clean)
{
    bool seen = !machine->by_hand || machine->status.killing;
    bool was_primary = !machine->recovery;
    machine->run++;
    machine->phase = SIM_DOWN;
    machine->writable = false;
    sim_replication_stop(machine);
    machine->status.running = false;
    machine->status.postmaster_pid = 0;
    machine->status.exited = machine->status.exited || !machine->by_hand;
    machine->status.killing = false;
    machine->status.all_gone = machine->status.all_gone || seen;
    if (clean) {
        machine->control = was_primary ? PG_CONTROL_SHUT_DOWN : PG_CONTROL_SHUT_DOWN_IN_RECOVERY;
    }
    sim_trace(machine->node->world, "%s has no PostgreSQL any more (%s)", machine->node->name,
              clean ? "clean" : "not clean");
    if (!machine->orphans && !machine->by_hand) {
        sim_agent_fence_event(machine->node, FENCE_EVENT_POSTMASTER_EXITED);
    }
    machine->orphans = false;
    machine->by_hand = false;
    if (seen) {
        sim_agent_fence_event(machine->node, FENCE_EVENT_ALL_GONE);
    }
}

/* The shutdown checkpoint, and the standbys that stream take it along. */
static void stopped_fast(void *arg, uint64_t run, uint64_t b)
{
    struct sim_machine *machine = arg;
    (void)b;
    if (machine->run != run) {
        return;
    }
    if (sim_machine_hangs(machine)) {
        sim_machine_at(machine, STOP_AGAIN_MS, stopped_fast, 0);
        return;
    }
    bool was_up_primary = !machine->recovery && machine->control == PG_CONTROL_IN_PRODUCTION;
    if (was_up_primary) {
        machine->control_timeline = sim_wal_timeline(&machine->wal);
        machine->checkpoint_lsn = machine->wal.end;
        machine->wal.end += 120;
        struct sim_world *world = machine->node->world;
        for (unsigned i = 0; i < world->node_count; i++) {
            struct sim_machine *other = &all->machines[i];
            if (sim_receiver_is_fed(other) && other->source == (int)machine->node->index &&
                !other->node->frozen &&
                sim_world_linked(world, SIM_PORT_POSTGRES, i, machine->node->index)) {
                other->wal = machine->wal;
            }
        }
    }
    gone(machine, was_up_primary || machine->recovery);
}

static void killed(void *arg, uint64_t run, uint64_t b)
{
    struct sim_machine *machine = arg;
    (void)b;
    if (machine->run == run) {
        gone(machine, false);
    }
}

static void backends_gone(void *arg, uint64_t run, uint64_t b)
{
    struct sim_machine *machine = arg;
    (void)b;
    if (machine->run == run) {
        machine->writable = false;
        sim_sync_drop_waiters(machine);
    }
}

void sim_machine_kill(struct sim_machine *machine, int64_t within_ms)
{
    if (machine->phase == SIM_DOWN || machine->status.killing) {
        return;
    }
    machine->phase = SIM_STOPPING;
    machine->status.killing = true;
    sim_machine_at(machine, (int64_t)sim_below(machine->node->world, (uint64_t)within_ms + 1),
                   killed, 0);
}

/* The postmaster alone dies: its backends commit and answer until the fence has killed them all.
 * Not modelled for one that was started by hand, whose end no fence sees. */
void sim_machine_kill_postmaster(struct sim_machine *machine)
{
    struct sim_world *world = machine->node->world;
    if (machine->phase == SIM_DOWN || machine->orphans || machine->status.killing ||
        machine->by_hand) {
        return;
    }
    machine->phase = SIM_STOPPING;
    machine->orphans = true;
    machine->status.killing = !sim_fence_stands(machine);
    machine->status.running = false;
    machine->status.postmaster_pid = 0;
    machine->status.exited = true;
    if (sim_fence_stands(machine)) {
        return; /* nobody ends them before it goes on, or its agent does */
    }
    sim_agent_fence_event(machine->node, FENCE_EVENT_POSTMASTER_EXITED);
    bool late = !world->setup.one_writer && sim_chance(world, 200);
    int64_t within_ms = late ? ORPHANS_LATE_MS : ORPHANS_MS;
    int64_t least_ms = world->backends_linger ? ORPHANS_LATE_MS : 1;
    sim_machine_at(machine, least_ms + (int64_t)sim_below(world, (uint64_t)within_ms), killed, 0);
}

void sim_machine_stop(struct sim_machine *machine, enum fence_stop_mode mode)
{
    if (machine->phase == SIM_DOWN || machine->phase == SIM_STOPPING) {
        return;
    }
    machine->phase = SIM_STOPPING;
    if (mode == FENCE_STOP_IMMEDIATE) {
        sim_machine_at(machine, sim_machine_takes(machine, 1, 50), killed, 0);
        return;
    }
    const struct sim_world *world = machine->node->world;
    if (world->options.drill != NULL ? world->stops_hang : sim_chance(machine->node->world, 150)) {
        return; /* hangs: a backend does not end, and might still commit; whoever waits has to kill
                 */
    }
    sim_machine_at(machine, sim_machine_takes(machine, 0, 40), backends_gone, 0);
    sim_machine_at(machine, sim_machine_takes(machine, 41, 700), stopped_fast, 0);
}

void sim_machine_stop_within(struct sim_machine *machine, enum fence_stop_mode mode,
                             int64_t kill_after_ms)
{
    machine->kill_at_ms = sim_node_clock(machine->node) + kill_after_ms;
    sim_machine_stop(machine, mode);
}

static void checkpointed(void *arg, uint64_t run, uint64_t b)
{
    struct sim_machine *machine = arg;
    (void)b;
    if (machine->run == run && machine->writable) {
        machine->control_timeline = sim_wal_timeline(&machine->wal);
        machine->checkpoint_lsn = machine->wal.end;
    }
}

static void promoted(void *arg, uint64_t run, uint64_t timeline)
{
    struct sim_machine *machine = arg;
    if (machine->run != run || machine->phase != SIM_UP || !machine->recovery) {
        return;
    }
    struct sim_world *world = machine->node->world;
    sim_receiver_end(machine);
    if (sim_machine_hangs(machine)) {
        sim_machine_at(machine, PROMOTE_AGAIN_MS, promoted, timeline);
        return;
    }
    if (machine->replayed_lsn < machine->wal.end) { /* what was received is replayed first */
        sim_coverage_state(SIM_STATE_PROMOTION_REPLAYS);
        machine->replayed = false;
        sim_machine_at(machine, PROMOTE_AGAIN_MS, promoted, timeline);
        return;
    }
    ASSERT(timeline < TIMELINES_MAX);
    if (all->timelines[timeline] || timeline <= sim_wal_timeline(&machine->wal)) {
        sim_fail(world, "no timeline is made twice", "%s makes %u", machine->node->name,
                 (unsigned)timeline);
    }
    all->timelines[timeline] = true;
    sim_check_loss(machine);
    sim_wal_branch(&machine->wal, (uint32_t)timeline);
    machine->wal.end += 200;
    machine->recovery = false;
    machine->standby_signal = false;
    machine->control = PG_CONTROL_IN_PRODUCTION;
    become_writable(machine);
    sim_machine_at(machine, sim_machine_takes(machine, 50, 1000), checkpointed, 0);
}

/* The signal is sent: from here on it happens whatever becomes of the agent. */
void sim_machine_promote(struct sim_machine *machine, uint32_t timeline)
{
    machine->promote_sent = true;
    sim_machine_at(machine, sim_machine_takes(machine, 30, 300), promoted, timeline);
}

/* --- clients write ---------------------------------------------------------------------------- */

static void write_turn(void *arg, uint64_t a, uint64_t b)
{
    struct sim_machine *machine = arg;
    (void)a;
    (void)b;
    /* Who waits for its commit writes nothing more. A cluster that nobody knows yet has no clients:
     * its `/primary` does not answer 200. */
    if (machine->writable && machine->dir == PG_DIR_VALID && !machine->unannounced &&
        !machine->node->world->primaries_silent && machine->waiter_count < SIM_WAITERS_MAX &&
        !sim_machine_hangs(machine)) {
        machine->wal.end += 50 + sim_below(machine->node->world, 2000);
        if (machine->orphans) {
            sim_coverage_state(SIM_STATE_ORPHAN_COMMIT);
        }
        sim_sync_commit(machine, machine->wal.end);
    }
    sim_host_at(machine->node, WRITE_MS, write_turn, machine, 0, 0);
}

/* --- fence ------------------------------------------------------------------------------------ */

/* What it has not started it finds by the directory, and only kills: it is not the parent. */
static void fence_kills(struct sim_machine *machine)
{
    if (machine->by_hand && !machine->knows_directory) {
        return;
    }
    if (machine->by_hand && machine->phase != SIM_DOWN && !machine->status.killing) {
        sim_coverage_state(SIM_STATE_ADOPTED_KILLED);
    }
    sim_machine_kill(machine, FENCE_KILL_MS);
}

static void fence_turn(void *arg, uint64_t a, uint64_t b)
{
    struct sim_machine *machine = arg;
    struct sim_world *world = machine->node->world;
    struct fence_lease lease;
    int64_t now = sim_node_clock(machine->node);
    int64_t stands_ms = machine->dog.fence_stands_until_ms - world->now;
    (void)a;
    (void)b;
    if (stands_ms > 0) {
        sim_host_at(machine->node, stands_ms < FENCE_WAIT_MAX_MS ? stands_ms : FENCE_WAIT_MAX_MS,
                    fence_turn, machine, 0, 0);
        return;
    }
    if (sim_fence_stands(machine)) {
        sim_fence_goes_on(machine);
    }
    if (!fence_page_read(machine->page, &lease)) {
        sim_fail(world, "the page is whole", "%s", machine->node->name);
        return;
    }
    if (machine->writable && machine->phase == SIM_UP && fence_lease_armed(&lease) == false &&
        lease.epoch.revision != 0 && lease.deadline_ms == FENCE_NO_DEADLINE) {
        sim_pause_unfenced(machine->node, lease.epoch.revision);
    }
    fence_watchdog_clamp(&lease, machine->dog.open ? machine->dog.timeout_ms : 0);
    bool acts = world->setup.fence && !world->options.mutation.without_fence;
    struct fence_epoch fired = machine->fence_state.fired;
    enum fence_action action =
        !acts ? FENCE_NONE : fence_decide(&lease, now, &machine->fence_state);
    machine->status.fired = machine->fence_state.fired;
    machine->status.stopped = machine->fence_state.stopped;
    if (action == FENCE_SOFT_STOP) {
        sim_trace(world, "%s: the fence asks for a stop", machine->node->name);
        if (!machine->by_hand) {
            sim_machine_stop(machine, FENCE_STOP_FAST);
        }
        sim_agent_fence_event(machine->node, FENCE_EVENT_SOFT_STOP);
    } else if (action == FENCE_KILL) {
        bool fires = !fence_epoch_equal(fired, machine->fence_state.fired);
        if (fires || (machine->phase != SIM_DOWN && !machine->status.killing)) {
            sim_trace(world, "%s: the fence kills", machine->node->name);
        }
        fence_kills(machine);
        if (fires) { /* once for an epoch, and also when nothing runs */
            sim_agent_fence_event(machine->node, FENCE_EVENT_FIRED);
        }
    }
    if (now >= machine->kill_at_ms) {
        machine->kill_at_ms = FENCE_NO_DEADLINE;
        if (!machine->by_hand) {
            sim_machine_kill(machine, FENCE_KILL_MS);
        }
    }
    if (world->setup.watchdog) {
        sim_watchdog_turn(machine, &lease, now);
    }
    int64_t wait = fence_wait_ms(&lease, now, &machine->fence_state);
    sim_host_at(machine->node,
                wait + (int64_t)(sim_chance(world, 50) ? sim_below(world, FENCE_LATE_MS) : 0),
                fence_turn, machine, 0, 0);
}

void sim_machine_trace(const struct sim_machine *machine)
{
    static const char *const phases[] = {"does not run", "starts", "runs", "stops"};
    static const char *const receivers[] = {"receives from nobody", "connects", "streams"};
    const struct sim_world *world = machine->node->world;
    sim_trace(
        world,
        "    PostgreSQL %s%s%s, timeline %u to %llX, replayed to %llX, upstream %d, %s%s; waits "
        "for '%s'%s, %zu commits wait",
        phases[machine->phase], machine->recovery ? " in recovery" : "",
        machine->writable ? ", writable" : "", sim_wal_timeline(&machine->wal),
        (unsigned long long)machine->wal.end, (unsigned long long)machine->replayed_lsn,
        machine->upstream + 1, receivers[machine->receiver],
        machine->node->frozen ? ", frozen" : "", machine->sync_text,
        machine->waits ? "" : " (not yet)", machine->waiter_count);
    for (size_t i = 0; i < SIM_WALSENDERS_MAX; i++) {
        const struct sim_walsender *walsender = &machine->walsenders[i];
        if (walsender->alive) {
            sim_trace(world, "      walsender %d to %s, priority %u, %s, flushed %llX",
                      walsender->pid, world->nodes[walsender->standby].name, walsender->priority,
                      walsender->streaming ? "streaming" : "catching up",
                      (unsigned long long)walsender->flushed);
        }
    }
}

/* --- all of them ------------------------------------------------------------------------------ */

static void page_clear(struct sim_machine *machine)
{
    memset(machine->page, 0, FENCE_PAGE_BYTES);
    fence_page_init(machine->page);
    machine->fence_state = (struct fence_state){0};
    machine->kill_at_ms = FENCE_NO_DEADLINE;
    machine->status = (struct fence_status){.fence_pid = 1, .all_gone = true, .kill_ms = -1};
    machine->knows_directory = false;
    machine->fence_stood = false;
    bool fired = machine->dog.fired;
    machine->dog = (struct sim_dog){.fired = fired};
}

void sim_machine_power_off(struct sim_machine *machine)
{
    machine->receiver = SIM_RECEIVER_NONE; /* nobody is told that it hangs up */
    machine->off = true;
    if (machine->phase != SIM_DOWN) {
        gone(machine, false);
    }
    page_clear(machine);
}

void sim_machine_lose_fence(struct sim_machine *machine)
{
    ASSERT(machine->phase == SIM_DOWN);
    page_clear(machine);
    machine->status.all_gone = false; /* it has not looked */
}

void sim_machine_start_by_hand(struct sim_machine *machine)
{
    ASSERT(machine->node->agent == NULL && machine->dir == PG_DIR_VALID);
    if (machine->phase != SIM_DOWN) {
        gone(machine, false);
    }
    page_clear(machine);
    machine->status.all_gone = false; /* it has not looked */
    machine->by_hand = true;
    machine->by_hand_pid = BY_HAND_PID + (int32_t)machine->run;
    begin(machine, PG_START_STANDBY, machine->upstream);
}

void sim_machines_open(struct sim_world *world)
{
    all = mem_new(struct machines);
    for (size_t i = 0; i < world->node_count; i++) {
        struct sim_machine *machine = &all->machines[i];
        machine->node = &world->nodes[i];
        machine->dir = PG_DIR_EMPTY;
        machine->upstream = SIM_NO_UPSTREAM;
        machine->paused_ms = -1;
        machine->page = aligned_alloc(FENCE_PAGE_BYTES, FENCE_PAGE_BYTES);
        ASSERT(machine->page != NULL);
        page_clear(machine);
        sim_host_at(machine->node, 1, write_turn, machine, 0, 0);
        sim_replication_open(machine);
        sim_host_at(machine->node, 3, fence_turn, machine, 0, 0);
        sim_watchdog_open(machine);
    }
}

void sim_machines_close(struct sim_world *world)
{
    for (size_t i = 0; i < world->node_count; i++) {
        free(all->machines[i].page);
    }
    mem_free(all);
    all = NULL;
}

void sim_machine_erase(struct sim_machine *machine)
{
    ASSERT(machine->phase == SIM_DOWN);
    machine->dir = PG_DIR_EMPTY;
    machine->erased_ms = machine->node->world->now;
    machine->unfinished = PG_UNFINISHED_NONE;
    machine->system_id = 0;
    machine->wal = (struct sim_wal){0};
    machine->standby_signal = false;
    machine->backup_label = false;
    machine->control = PG_CONTROL_UNKNOWN;
    sim_sync_write(machine, "");
}

/* initdb: called by the instance model. The marker stands until the accounts are made. */
void sim_machine_init_directory(struct sim_machine *machine)
{
    machine->dir = PG_DIR_UNFINISHED;
    machine->unfinished = PG_UNFINISHED_BOOTSTRAP;
    machine->unannounced = false;
    machine->control = PG_CONTROL_SHUT_DOWN;
    machine->system_id = 7000000000000000000u + sim_below(machine->node->world, 1000000000000000u);
    machine->wal = (struct sim_wal){.end = 0x1000000};
    sim_wal_branch(&machine->wal, 1);
    machine->wal.end = 0x2000000;
    machine->control_timeline = 1;
    machine->checkpoint_lsn = machine->wal.end;
}
