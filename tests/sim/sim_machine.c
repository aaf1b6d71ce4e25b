/* The model of PostgreSQL and of the fence process.
 *
 * Held here: never two writable primaries at one instant (I1), no timeline made twice (I6). The
 * fence is the shipping decision (pgctl/fence/fence_page.c) on a page that the shipping keeper
 * writes; what is modelled is that it wakes late and that a kill takes time. */
#include "sim_machine.h"

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
    REPLICATE_MS = 40,
};

struct machines {
    struct sim_machine machines[SIM_NODES_MAX];
    bool timelines[TIMELINES_MAX];
    uint64_t branch_next;
};

static struct machines *all;

struct sim_machine *sim_machine_of(struct sim_node *node)
{
    return &all->machines[node->index];
}

/* --- WAL -------------------------------------------------------------------------------------- */

uint32_t sim_wal_timeline(const struct sim_wal *wal)
{
    return wal->count == 0 ? 0 : wal->segments[wal->count - 1].timeline;
}

static uint64_t segment_end(const struct sim_wal *wal, size_t at)
{
    return at + 1 < wal->count ? wal->segments[at + 1].start : wal->end;
}

uint64_t sim_wal_common(const struct sim_wal *a, const struct sim_wal *b)
{
    uint64_t common = 0;
    for (size_t i = 0;
         i < a->count && i < b->count && a->segments[i].branch == b->segments[i].branch; i++) {
        uint64_t end_a = segment_end(a, i);
        uint64_t end_b = segment_end(b, i);
        common = end_a < end_b ? end_a : end_b;
        if (end_a != end_b) {
            break;
        }
    }
    return common;
}

static void wal_branch(struct sim_wal *wal, uint32_t timeline)
{
    ASSERT(wal->count < SIM_SEGMENTS_MAX);
    wal->segments[wal->count++] =
        (struct sim_segment){.timeline = timeline, .start = wal->end, .branch = ++all->branch_next};
}

void sim_wal_history(const struct sim_wal *wal, struct buf *out)
{
    for (size_t i = 0; i + 1 < wal->count; i++) {
        uint64_t end = wal->segments[i + 1].start;
        buf_printf(out, "%u\t%X/%X\tno recovery target specified\n", wal->segments[i].timeline,
                   (unsigned)(end >> 32), (unsigned)end);
    }
}

/* --- one writer ------------------------------------------------------------------------------- */

static void become_writable(struct sim_machine *machine)
{
    struct sim_world *world = machine->node->world;
    machine->writable = true;
    sim_trace(world, "%s is WRITABLE on timeline %u", machine->node->name,
              sim_wal_timeline(&machine->wal));
    for (size_t i = 0; i < world->node_count; i++) {
        if (i != machine->node->index && all->machines[i].writable) {
            sim_fail(world, "one writable primary", "%s while %s still is", machine->node->name,
                     world->nodes[i].name);
        }
    }
}

static void run_at(struct sim_machine *machine, int64_t delay_ms, sim_fn fn, uint64_t b)
{
    sim_at(machine->node->world, delay_ms, fn, machine, machine->run, b);
}

int64_t sim_machine_takes(const struct sim_machine *machine, int64_t low, int64_t high)
{
    struct sim_world *world = machine->node->world;
    int64_t range = world->options.drill != NULL ? (high - low) / 8 : high - low;
    return low + (int64_t)sim_below(world, (uint64_t)(range + 1));
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

static void replayed(void *arg, uint64_t run, uint64_t b)
{
    struct sim_machine *machine = arg;
    (void)b;
    if (machine->run == run) {
        machine->replayed = true;
    }
}

void sim_machine_start(struct sim_machine *machine, enum pg_start_role role, int upstream)
{
    machine->run++;
    machine->phase = SIM_STARTING;
    machine->recovery = role == PG_START_STANDBY;
    machine->standby_signal = machine->recovery;
    machine->backup_label = false;
    machine->upstream = upstream;
    machine->promote_sent = false;
    machine->receiving = false;
    machine->replayed = false;
    machine->status.running = true;
    machine->status.exited = false;
    machine->status.all_gone = false;
    machine->status.starts++;
    machine->kill_at_ms = FENCE_NO_DEADLINE;
    sim_trace(machine->node->world, "%s starts PostgreSQL as %s", machine->node->name,
              machine->recovery ? "standby" : "primary");
    int64_t delay = sim_machine_takes(machine, 50, 600);
    run_at(machine, delay, up, 0);
    run_at(machine, delay + sim_machine_takes(machine, 10, 300), replayed, 0);
}

/* Nothing of the instance is left. */
static void gone(struct sim_machine *machine, bool clean)
{
    bool was_primary = !machine->recovery;
    machine->run++;
    machine->phase = SIM_DOWN;
    machine->writable = false;
    machine->receiving = false;
    machine->status.running = false;
    machine->status.exited = true;
    machine->status.killing = false;
    machine->status.all_gone = true;
    if (clean) {
        machine->control = was_primary ? PG_CONTROL_SHUT_DOWN : PG_CONTROL_SHUT_DOWN_IN_RECOVERY;
    }
    sim_trace(machine->node->world, "%s has no PostgreSQL any more (%s)", machine->node->name,
              clean ? "clean" : "not clean");
    sim_agent_fence_event(machine->node, FENCE_EVENT_POSTMASTER_EXITED);
    sim_agent_fence_event(machine->node, FENCE_EVENT_ALL_GONE);
}

/* The shutdown checkpoint, and the standbys that stream take it along. */
static void stopped_fast(void *arg, uint64_t run, uint64_t b)
{
    struct sim_machine *machine = arg;
    (void)b;
    if (machine->run != run) {
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
            if (other->receiving && other->upstream == (int)machine->node->index &&
                sim_world_linked(world, i, machine->node->index)) {
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
    }
}

void sim_machine_kill(struct sim_machine *machine, int64_t within_ms)
{
    if (machine->phase == SIM_DOWN || machine->status.killing) {
        return;
    }
    machine->phase = SIM_STOPPING;
    machine->status.killing = true;
    run_at(machine, (int64_t)sim_below(machine->node->world, (uint64_t)within_ms + 1), killed, 0);
}

void sim_machine_stop(struct sim_machine *machine, enum fence_stop_mode mode)
{
    if (machine->phase == SIM_DOWN || machine->phase == SIM_STOPPING) {
        return;
    }
    machine->phase = SIM_STOPPING;
    if (mode == FENCE_STOP_IMMEDIATE) {
        run_at(machine, sim_machine_takes(machine, 1, 50), killed, 0);
        return;
    }
    const struct sim_world *world = machine->node->world;
    if (world->options.drill != NULL ? world->stops_hang : sim_chance(machine->node->world, 150)) {
        return; /* hangs: a backend does not end, and might still commit; whoever waits has to kill
                 */
    }
    run_at(machine, sim_machine_takes(machine, 0, 40), backends_gone, 0);
    run_at(machine, sim_machine_takes(machine, 41, 700), stopped_fast, 0);
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
    ASSERT(timeline < TIMELINES_MAX);
    if (all->timelines[timeline] || timeline <= sim_wal_timeline(&machine->wal)) {
        sim_fail(world, "no timeline is made twice", "%s makes %u", machine->node->name,
                 (unsigned)timeline);
    }
    all->timelines[timeline] = true;
    sim_check_loss(machine);
    wal_branch(&machine->wal, (uint32_t)timeline);
    machine->wal.end += 200;
    machine->recovery = false;
    machine->standby_signal = false;
    machine->receiving = false;
    machine->control = PG_CONTROL_IN_PRODUCTION;
    become_writable(machine);
    run_at(machine, sim_machine_takes(machine, 50, 1000), checkpointed, 0);
}

/* The signal is sent: from here on it happens whatever becomes of the agent. */
void sim_machine_promote(struct sim_machine *machine, uint32_t timeline)
{
    machine->promote_sent = true;
    run_at(machine, sim_machine_takes(machine, 30, 300), promoted, timeline);
}

/* --- WAL is written and copied ---------------------------------------------------------------- */

static void write_turn(void *arg, uint64_t a, uint64_t b)
{
    struct sim_machine *machine = arg;
    (void)a;
    (void)b;
    if (machine->writable && !machine->node->world->primaries_silent) {
        machine->wal.end += 50 + sim_below(machine->node->world, 2000);
    }
    sim_at(machine->node->world, WRITE_MS, write_turn, machine, 0, 0);
}

static bool can_receive(const struct sim_machine *machine)
{
    const struct sim_world *world = machine->node->world;
    if (machine->phase != SIM_UP || !machine->recovery || machine->upstream == SIM_NO_UPSTREAM) {
        return false;
    }
    const struct sim_machine *from = &all->machines[machine->upstream];
    /* A server that shuts down feeds its standbys to the last. */
    return (from->phase == SIM_UP || (from->phase == SIM_STOPPING && machine->receiving)) &&
           from->system_id == machine->system_id &&
           sim_world_linked(world, machine->node->index, (unsigned)machine->upstream) &&
           sim_wal_common(&machine->wal, &from->wal) == machine->wal.end &&
           machine->wal.end <= from->wal.end;
}

static void receive_turn(void *arg, uint64_t a, uint64_t b)
{
    struct sim_machine *machine = arg;
    (void)a;
    (void)b;
    machine->receiving = can_receive(machine);
    if (machine->receiving && sim_chance(machine->node->world, 900)) {
        const struct sim_machine *from = &all->machines[machine->upstream];
        uint64_t old_end = machine->wal.end;
        machine->wal = from->wal;
        machine->replayed = true;
        if (sim_chance(machine->node->world, 200) && from->wal.count > 0 &&
            from->wal.segments[from->wal.count - 1].start <= old_end) {
            /* Behind, but on the newest segment. */
            machine->wal.end = old_end + (from->wal.end - old_end) / 2;
        }
    }
    sim_at(machine->node->world, REPLICATE_MS, receive_turn, machine, 0, 0);
}

/* --- fence ------------------------------------------------------------------------------------ */

static void fence_turn(void *arg, uint64_t a, uint64_t b)
{
    struct sim_machine *machine = arg;
    struct sim_world *world = machine->node->world;
    struct fence_lease lease;
    int64_t now = sim_node_clock(machine->node);
    (void)a;
    (void)b;
    if (!fence_page_read(machine->page, &lease)) {
        sim_fail(world, "the page is whole", "%s", machine->node->name);
        return;
    }
    enum fence_action action = world->options.mutation.without_fence
                                   ? FENCE_NONE
                                   : fence_decide(&lease, now, &machine->fence_state);
    machine->status.fired = machine->fence_state.fired;
    machine->status.stopped = machine->fence_state.stopped;
    if (action == FENCE_SOFT_STOP) {
        sim_trace(world, "%s: the fence asks for a stop", machine->node->name);
        sim_machine_stop(machine, FENCE_STOP_FAST);
        sim_agent_fence_event(machine->node, FENCE_EVENT_SOFT_STOP);
    } else if (action == FENCE_KILL && machine->phase != SIM_DOWN && !machine->status.killing) {
        sim_trace(world, "%s: the fence kills", machine->node->name);
        sim_machine_kill(machine, FENCE_KILL_MS);
        sim_agent_fence_event(machine->node, FENCE_EVENT_FIRED);
    }
    if (now >= machine->kill_at_ms) {
        machine->kill_at_ms = FENCE_NO_DEADLINE;
        sim_machine_kill(machine, FENCE_KILL_MS);
    }
    int64_t wait = fence_wait_ms(&lease, now, &machine->fence_state);
    sim_at(world, wait + (int64_t)(sim_chance(world, 50) ? sim_below(world, FENCE_LATE_MS) : 0),
           fence_turn, machine, 0, 0);
}

/* --- all of them ------------------------------------------------------------------------------ */

static void page_clear(struct sim_machine *machine)
{
    memset(machine->page, 0, FENCE_PAGE_BYTES);
    fence_page_init(machine->page);
    machine->fence_state = (struct fence_state){0};
    machine->kill_at_ms = FENCE_NO_DEADLINE;
    machine->status = (struct fence_status){.fence_pid = 1, .all_gone = true, .kill_ms = -1};
}

void sim_machine_power_off(struct sim_machine *machine)
{
    if (machine->phase != SIM_DOWN) {
        gone(machine, false);
    }
    page_clear(machine);
}

void sim_machines_open(struct sim_world *world)
{
    all = mem_new(struct machines);
    for (size_t i = 0; i < world->node_count; i++) {
        struct sim_machine *machine = &all->machines[i];
        machine->node = &world->nodes[i];
        machine->dir = PG_DIR_EMPTY;
        machine->upstream = SIM_NO_UPSTREAM;
        machine->page = aligned_alloc(FENCE_PAGE_BYTES, FENCE_PAGE_BYTES);
        ASSERT(machine->page != NULL);
        page_clear(machine);
        sim_at(world, 1, write_turn, machine, 0, 0);
        sim_at(world, 2, receive_turn, machine, 0, 0);
        sim_at(world, 3, fence_turn, machine, 0, 0);
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
    machine->unfinished = PG_UNFINISHED_NONE;
    machine->system_id = 0;
    machine->wal = (struct sim_wal){0};
    machine->standby_signal = false;
    machine->backup_label = false;
    machine->control = PG_CONTROL_UNKNOWN;
}

/* initdb: called by the instance model. */
void sim_machine_init_directory(struct sim_machine *machine)
{
    machine->dir = PG_DIR_VALID;
    machine->unfinished = PG_UNFINISHED_NONE;
    machine->unannounced = true;
    machine->system_id = 7000000000000000000u + sim_below(machine->node->world, 1000000000000000u);
    machine->wal = (struct sim_wal){.end = 0x1000000};
    wal_branch(&machine->wal, 1);
    machine->wal.end = 0x2000000;
    machine->control_timeline = 1;
    machine->checkpoint_lsn = machine->wal.end;
}
