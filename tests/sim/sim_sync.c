/* synchronous_standby_names, as PostgreSQL 15 goes by it. The postmaster takes a reload, then each
 * of its processes, in its own time: walsenders judge by their own copy of the number, and by
 * everybody's priority in shared memory; the checkpointer says whether backends wait at all, and
 * lets all of them go, as if they had been confirmed, when the value becomes empty. */
#include "sim_machine.h"

#include "base/assert.h"
#include "pgctl/pg_sync.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    POSTMASTER_MS = 20,   /* it takes a reload, and ... */
    CHILD_MS = 40,        /* ... each of its children, but for ... */
    CHILD_LATE_MS = 4000, /* ... some */
    LATE_PERMILLE = 60,
    CANCELED_PERMILLE =
        20, /* a client gives up, or is told so: it does not know what became of it */
};

int sim_setting_parse(const struct sim_world *world, const char *text,
                      struct sim_setting *ret_setting)
{
    struct pg_sync_names names;
    int rc = pg_sync_names_parse(text, &names, NULL);
    if (rc != 0 || names.count > SIM_NODES_MAX + 1) {
        return ERR_INVALID;
    }
    *ret_setting =
        (struct sim_setting){.any = names.any, .number = names.number, .count = names.count};
    for (size_t i = 0; i < names.count; i++) {
        ret_setting->names[i] = -1;
        for (size_t j = 0; j < world->node_count; j++) {
            if (strcmp(world->nodes[j].name, names.names[i]) == 0) {
                ret_setting->names[i] = (int)j;
            }
        }
    }
    return 0;
}

unsigned sim_setting_priority(const struct sim_setting *setting, unsigned standby)
{
    for (size_t i = 0; i < setting->count && setting->number > 0; i++) {
        if (setting->names[i] == (int)standby) {
            return setting->any ? 1 : (unsigned)i + 1;
        }
    }
    return 0;
}

/* --- commits that wait ------------------------------------------------------------------------ */

void sim_sync_drop_waiters(struct sim_machine *machine)
{
    machine->waiter_count = 0;
}

static void release(struct sim_machine *machine, uint64_t lsn)
{
    size_t gone = 0;
    while (gone < machine->waiter_count && machine->waiters[gone] <= lsn) {
        sim_commits_told(machine, machine->waiters[gone++]);
    }
    machine->waiter_count -= gone;
    memmove(machine->waiters, machine->waiters + gone,
            machine->waiter_count * sizeof(machine->waiters[0]));
}

void sim_sync_commit(struct sim_machine *machine, uint64_t lsn)
{
    if (!machine->waits) {
        if (machine->node->world->setup.replication != SIM_ASYNC) {
            sim_coverage_state(SIM_STATE_COMMIT_AT_ONCE);
        }
        sim_commits_told(machine, lsn);
        return;
    }
    ASSERT(machine->waiter_count < SIM_WAITERS_MAX);
    machine->waiters[machine->waiter_count++] = lsn;
    if (sim_chance(machine->node->world, CANCELED_PERMILLE)) {
        sim_coverage_state(SIM_STATE_COMMIT_CANCELED);
        machine
            ->waiter_count--; /* that it is written is seen by others, but was promised to none */
    }
}

struct confirmed {
    uint64_t lsn;
    unsigned priority;
    const struct sim_walsender *walsender;
};

static int by_lsn(const void *a, const void *b)
{
    const struct confirmed *one = a;
    const struct confirmed *other = b;
    return one->lsn > other->lsn ? -1 : one->lsn < other->lsn;
}

static int by_priority(const void *a, const void *b)
{
    const struct confirmed *one = a;
    const struct confirmed *other = b;
    if (one->priority != other->priority) {
        return one->priority < other->priority ? -1 : 1;
    }
    return one->walsender < other->walsender ? -1 : one->walsender > other->walsender;
}

/* SyncRepReleaseWaiters: by the walsender that has just been answered. */
void sim_sync_answered(struct sim_machine *machine, const struct sim_walsender *walsender)
{
    struct confirmed all[SIM_WALSENDERS_MAX];
    size_t count = 0;
    size_t number = walsender->setting.number;
    bool mine = false;

    if (walsender->priority == 0 || !walsender->streaming || walsender->flushed == 0) {
        return;
    }
    for (size_t i = 0; i < SIM_WALSENDERS_MAX; i++) {
        const struct sim_walsender *other = &machine->walsenders[i];
        if (other->alive && other->priority != 0 && other->streaming && other->flushed != 0) {
            all[count++] = (struct confirmed){other->flushed, other->priority, other};
        }
    }
    if (number == 0 || count < number) {
        return;
    }
    if (!walsender->setting.any && count > number) {
        qsort(all, count, sizeof(all[0]), by_priority);
        count = number;
    }
    for (size_t i = 0; i < count; i++) {
        mine = mine || all[i].walsender == walsender;
    }
    if (mine) {
        qsort(all, count, sizeof(all[0]), by_lsn);
        if (memcmp(&walsender->setting, &machine->postmaster, sizeof(walsender->setting)) != 0) {
            sim_coverage_state(SIM_STATE_WALSENDER_LATE);
        }
        if (machine->waiter_count > 0 && machine->waiters[0] <= all[number - 1].lsn) {
            sim_coverage_state(SIM_STATE_COMMIT_WAITED);
        }
        release(machine, all[number - 1].lsn);
    }
}

/* --- reloads ---------------------------------------------------------------------------------- */

static int64_t child_takes(const struct sim_machine *machine)
{
    struct sim_world *world = machine->node->world;
    bool late = world->faults_on && sim_chance(world, LATE_PERMILLE);
    return 1 + (int64_t)sim_below(world, late ? CHILD_LATE_MS : CHILD_MS);
}

static void checkpointer_takes(void *arg, uint64_t run, uint64_t written)
{
    struct sim_machine *machine = arg;
    if (machine->run != run || machine->phase == SIM_DOWN ||
        machine->checkpointer_took >= written) {
        return;
    }
    machine->checkpointer_took = written;
    machine->waits = machine->sync_file.number > 0; /* as the file is now */
    if (!machine->waits) {
        release(machine, UINT64_MAX);
    }
}

static void walsender_takes(void *arg, uint64_t run, uint64_t place)
{
    struct sim_machine *machine = arg;
    struct sim_walsender *walsender = &machine->walsenders[place];
    if (machine->run == run && walsender->alive) {
        walsender->setting = machine->sync_file;
        walsender->priority = sim_setting_priority(&walsender->setting, walsender->standby);
    }
}

static void postmaster_takes(void *arg, uint64_t run, uint64_t written)
{
    struct sim_machine *machine = arg;
    if (machine->run != run || machine->phase == SIM_DOWN || machine->postmaster_took >= written) {
        return;
    }
    machine->postmaster_took = machine->sync_written;
    machine->postmaster = machine->sync_file;
    (void)snprintf(machine->postmaster_text, sizeof(machine->postmaster_text), "%s",
                   machine->sync_text);
    sim_machine_at(machine, child_takes(machine), checkpointer_takes, machine->sync_written);
    for (uint64_t i = 0; i < SIM_WALSENDERS_MAX; i++) {
        if (machine->walsenders[i].alive) {
            sim_machine_at(machine, child_takes(machine), walsender_takes, i);
        }
    }
}

void sim_sync_write(struct sim_machine *machine, const char *text)
{
    int rc = sim_setting_parse(machine->node->world, text, &machine->sync_file);
    ASSERT(rc == 0 && strlen(text) < sizeof(machine->sync_text));
    if (text != machine->sync_text) {
        (void)snprintf(machine->sync_text, sizeof(machine->sync_text), "%s", text);
    }
    machine->sync_written++;
    sim_machine_at(machine, 1 + (int64_t)sim_below(machine->node->world, POSTMASTER_MS),
                   postmaster_takes, machine->sync_written);
}

void sim_sync_started(struct sim_machine *machine)
{
    machine->postmaster = machine->sync_file;
    (void)snprintf(machine->postmaster_text, sizeof(machine->postmaster_text), "%s",
                   machine->sync_text);
    machine->postmaster_took = machine->sync_written;
    machine->checkpointer_took = machine->sync_written;
    machine->waits = machine->sync_file.number > 0;
    machine->waiter_count = 0;
}
