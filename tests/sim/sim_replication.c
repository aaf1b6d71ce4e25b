/* Walreceivers and walsenders. A walreceiver reads the service file when it is made, and may
 * connect a good while later; what it has flushed it tells its walsender, over the same network as
 * everything else. Either end finds out in its own time that the other one is gone. */
#include "sim_depose.h"
#include "sim_machine.h"

#include "base/assert.h"

#include <string.h>

enum {
    TURN_MS = 40,
    RETRY_MS = 100,  /* wal_retrieve_retry_interval */
    CONNECT_MS = 30, /* ... and now and then */
    CONNECT_LATE_MS = 3000,
    TIMEOUT_MS = 3000,    /* wal_sender_timeout, wal_receiver_timeout: as if they were short; */
    KEEPALIVE_MS = 1500,  /* ... a walsender that has nothing to send says so after half of it */
    WINDOW_BYTES = 65536, /* sent without being answered */
    REPLAY_BYTES = 20000, /* in a turn */
};

static struct sim_walsender *walsender_of(struct sim_machine *machine, uint64_t connection)
{
    for (size_t i = 0; i < SIM_WALSENDERS_MAX; i++) {
        if (machine->walsenders[i].alive && machine->walsenders[i].connection == connection) {
            return &machine->walsenders[i];
        }
    }
    return NULL;
}

static struct sim_machine *source_of(const struct sim_machine *machine)
{
    return sim_machine_of(&machine->node->world->nodes[machine->source]);
}

static bool hears(const struct sim_machine *to, const struct sim_machine *from)
{
    return sim_world_passes(to->node->world, SIM_PORT_POSTGRES, from->node->index, to->node->index);
}

bool sim_receiver_is_fed(const struct sim_machine *machine)
{
    return machine->receiver == SIM_RECEIVER_STREAMING &&
           walsender_of(source_of(machine), machine->connection) != NULL;
}

/* --- walsenders ------------------------------------------------------------------------------- */

void sim_walsender_end(struct sim_machine *machine, int32_t pid, int64_t start_us)
{
    for (size_t i = 0; i < SIM_WALSENDERS_MAX; i++) {
        struct sim_walsender *walsender = &machine->walsenders[i];
        if (walsender->pid == pid && walsender->start_us == start_us) {
            walsender->alive = false;
        }
    }
}

/* Its slot is a walsender's alone: while one has not noticed that its standby is gone, the next
 * connection is refused. */
static bool walsender_new(struct sim_machine *from, const struct sim_machine *standby)
{
    for (size_t i = 0; i < SIM_WALSENDERS_MAX; i++) {
        if (from->walsenders[i].alive && from->walsenders[i].standby == standby->node->index) {
            sim_coverage_state(SIM_STATE_SLOT_HELD);
            return false;
        }
    }
    for (size_t i = 0; i < SIM_WALSENDERS_MAX; i++) {
        struct sim_walsender *walsender = &from->walsenders[i];
        if (!walsender->alive) {
            unsigned index = standby->node->index;
            *walsender =
                (struct sim_walsender){.alive = true,
                                       .pid = ++from->pid_next,
                                       .start_us = from->node->world->now * 1000,
                                       .standby = index,
                                       .connection = standby->connection,
                                       .setting = from->postmaster,
                                       .priority = sim_setting_priority(&from->postmaster, index),
                                       .heard_ms = from->node->world->now};
            return true;
        }
    }
    return false; /* max_wal_senders */
}

/* The standby's answer: what it has flushed. */
static void answered(void *arg, uint64_t connection, uint64_t flushed)
{
    struct sim_machine *machine = arg;
    struct sim_walsender *walsender = walsender_of(machine, connection);
    if (walsender == NULL ||
        !hears(machine, sim_machine_of(&machine->node->world->nodes[walsender->standby]))) {
        return;
    }
    walsender->heard_ms = machine->node->world->now;
    walsender->flushed = flushed > walsender->flushed ? flushed : walsender->flushed;
    sim_sync_answered(machine, walsender);
}

static void walsenders_turn(struct sim_machine *machine)
{
    for (size_t i = 0; i < SIM_WALSENDERS_MAX; i++) {
        struct sim_walsender *walsender = &machine->walsenders[i];
        if (walsender->alive && machine->node->world->now - walsender->heard_ms > TIMEOUT_MS) {
            walsender->alive = false;
        }
    }
}

/* --- the walreceiver -------------------------------------------------------------------------- */

/* The end of a connection reaches the walsender unless something is cut; then it waits for its
 * time-out. */
static void hung_up(void *arg, uint64_t connection, uint64_t b)
{
    struct sim_machine *machine = arg;
    struct sim_walsender *walsender = walsender_of(machine, connection);
    (void)b;
    if (walsender != NULL &&
        hears(machine, sim_machine_of(&machine->node->world->nodes[walsender->standby]))) {
        walsender->alive = false;
    }
}

void sim_receiver_end(struct sim_machine *machine)
{
    if (machine->receiver == SIM_RECEIVER_STREAMING) {
        struct sim_machine *from = source_of(machine);
        sim_host_at(from->node, 1 + (int64_t)sim_below(machine->node->world, 5), hung_up, from,
                    machine->connection, 0);
    }
    machine->receiver = SIM_RECEIVER_NONE;
    machine->receiving = false;
}

static bool may_feed(const struct sim_machine *machine, const struct sim_machine *from)
{
    return from->phase == SIM_UP && !from->node->frozen && !sim_machine_hangs(from) &&
           from->system_id == machine->system_id && hears(machine, from) && hears(from, machine) &&
           sim_wal_common(&machine->wal, &from->wal) == machine->wal.end &&
           machine->wal.end <= from->wal.end;
}

static void connected(void *arg, uint64_t run, uint64_t connection)
{
    struct sim_machine *machine = arg;
    if (machine->run != run || machine->receiver != SIM_RECEIVER_CONNECTING ||
        machine->connection != connection) {
        return;
    }
    struct sim_machine *from = source_of(machine);
    if (machine->source != machine->upstream) {
        sim_coverage_state(SIM_STATE_RECEIVER_LATE);
    }
    if (!may_feed(machine, from) || !walsender_new(from, machine)) {
        sim_receiver_end(machine);
        return;
    }
    if (from->recovery) {
        sim_coverage_state(SIM_STATE_CASCADE);
    }
    machine->receiver = SIM_RECEIVER_STREAMING;
    machine->receiving = true;
    machine->message_ms = 0;
    machine->flushed_known = true;
    machine->heard_ms = machine->node->world->now;
}

static void connect_begin(struct sim_machine *machine)
{
    static uint64_t connection_last;
    struct sim_world *world = machine->node->world;
    bool late = world->faults_on && sim_chance(world, 50);
    machine->receiver = SIM_RECEIVER_CONNECTING;
    machine->source = machine->upstream;
    machine->connection = ++connection_last;
    sim_machine_at(machine, 1 + (int64_t)sim_below(world, late ? CONNECT_LATE_MS : CONNECT_MS),
                   connected, machine->connection);
}

static void answer(struct sim_machine *machine, struct sim_machine *from)
{
    struct sim_world *world = machine->node->world;
    sim_host_at(from->node,
                1 + (int64_t)sim_below(world, 5) +
                    world->late_ms[machine->node->index][from->node->index],
                answered, from, machine->connection, machine->wal.end);
}

/* It reads something of its walsender. */
static void message(struct sim_machine *machine)
{
    machine->message_ms = sim_node_clock(machine->node);
    sim_depose_heard(machine->node, (unsigned)machine->source);
}

/* Only a part of what there is, now and then: then the walreceiver is behind. */
static void receive(struct sim_machine *machine, struct sim_walsender *walsender,
                    const struct sim_machine *from)
{
    struct sim_world *world = machine->node->world;
    uint64_t old_end = machine->wal.end;
    bool whole = sim_chance(world, 800);
    if (from->wal.end > walsender->flushed + WINDOW_BYTES && walsender->flushed != 0 &&
        old_end >= walsender->flushed + WINDOW_BYTES) {
        return; /* nothing was answered for too long */
    }
    machine->wal = from->wal;
    if (!whole && from->wal.count > 0 && from->wal.segments[from->wal.count - 1].start <= old_end) {
        machine->wal.end = old_end + (from->wal.end - old_end) / 2;
    }
    walsender->streaming = walsender->streaming || whole;
    if (machine->wal.end != old_end ||
        sim_node_clock(machine->node) - machine->message_ms >= KEEPALIVE_MS) {
        message(machine);
    }
}

static void stream_turn(struct sim_machine *machine)
{
    struct sim_world *world = machine->node->world;
    struct sim_machine *from = source_of(machine);
    struct sim_walsender *walsender = walsender_of(from, machine->connection);
    bool hears_it = hears(machine, from) && !from->node->frozen && !sim_machine_hangs(from);
    if (hears_it && walsender != NULL) {
        machine->heard_ms = world->now;
    }
    bool refused = hears_it && (walsender == NULL || machine->wal.end > from->wal.end ||
                                sim_wal_common(&machine->wal, &from->wal) != machine->wal.end);
    if (refused || world->now - machine->heard_ms > TIMEOUT_MS) {
        sim_receiver_end(machine);
        return;
    }
    bool slow = world->now < machine->slow_until_ms;
    if (hears_it && sim_chance(world, slow ? 5 : 900)) {
        receive(machine, walsender, from);
        answer(machine, from);
    } else if (hears_it && slow && sim_chance(world, 100)) {
        message(machine);
        answer(machine, from); /* that it is there, and no further than it was */
    }
}

static void replay_turn(struct sim_machine *machine)
{
    struct sim_world *world = machine->node->world;
    if (world->now < machine->replay_stands_until_ms) {
        return;
    }
    uint64_t left = machine->wal.end - machine->replayed_lsn;
    uint64_t step = REPLAY_BYTES + left / 4;
    machine->replayed_lsn += left < step ? left : step;
    machine->replayed = machine->replayed || machine->replayed_lsn == machine->wal.end;
}

static void turn(void *arg, uint64_t a, uint64_t b)
{
    struct sim_machine *machine = arg;
    int64_t next_ms = TURN_MS;
    (void)a;
    (void)b;
    if (machine->phase != SIM_DOWN) {
        walsenders_turn(machine);
    }
    if (machine->phase == SIM_UP && machine->recovery) {
        replay_turn(machine);
        if (machine->receiver == SIM_RECEIVER_STREAMING) {
            stream_turn(machine);
        } else if (machine->receiver == SIM_RECEIVER_NONE && machine->replayed &&
                   machine->upstream != SIM_NO_UPSTREAM) {
            connect_begin(machine);
            next_ms = RETRY_MS;
        }
    }
    sim_host_at(machine->node, next_ms, turn, machine, 0, 0);
}

/* --- life ------------------------------------------------------------------------------------- */

void sim_replication_started(struct sim_machine *machine)
{
    machine->flushed_known = false;
    machine->replayed = false;
    machine->replayed_lsn =
        machine->checkpoint_lsn < machine->wal.end ? machine->checkpoint_lsn : machine->wal.end;
    machine->replay_stands_until_ms = 0;
    sim_receiver_end(machine);
}

void sim_replication_stop(struct sim_machine *machine)
{
    sim_receiver_end(machine);
    sim_sync_drop_waiters(machine);
    memset(machine->walsenders, 0, sizeof(machine->walsenders));
}

void sim_replication_open(struct sim_machine *machine)
{
    sim_host_at(machine->node, 2, turn, machine, 0, 0);
}
