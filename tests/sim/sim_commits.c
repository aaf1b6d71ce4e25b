/* What clients were told to be committed, and who has it. Synchronous modes: every commit that was
 * answered is on every later primary, whatever else is broken, a fence that does not act and a
 * clock that stands included (I2, I2b): once the key `sync` is there; in strict mode another node
 * has it before the client is told. Asynchronous: what is missing after a failover is the end of
 * what the former primary had answered (I3), and nothing is missing without one. */
#include "sim_machine.h"

#include "base/assert.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

enum { ANSWER_MS = 3000 }; /* so long one may be under way */

struct answered {
    uint64_t lsn;
    int64_t epoch; /* in which its primary began */
};

struct branch { /* what was answered on one */
    uint64_t branch;
    struct answered *answered; /* by rising lsn */
    size_t count;
    size_t capacity;
};

struct reign { /* of a primary: with what it began */
    int64_t epoch;
    struct sim_wal wal;
};

struct sim_commits {
    struct branch *branches;
    size_t branch_count;
    size_t branch_capacity;
    struct reign **reigns; /* in order of time */
    size_t reign_count;
    size_t reign_capacity;
    int64_t epoch[SIM_NODES_MAX]; /* of the last one of each node */
    /* Of the reign of each node: a synchronous mode begins with the key `sync`, its own or the one
     * that it found. */
    bool promised[SIM_NODES_MAX];
    bool key_there;
    uint64_t told;
};

void sim_commits_open(struct sim_world *world)
{
    world->commits = mem_new(struct sim_commits);
}

void sim_commits_close(struct sim_world *world)
{
    struct sim_commits *commits = world->commits;
    for (size_t i = 0; i < commits->branch_count; i++) {
        mem_free(commits->branches[i].answered);
    }
    for (size_t i = 0; i < commits->reign_count; i++) {
        mem_free(commits->reigns[i]);
    }
    mem_free(commits->branches);
    mem_free(commits->reigns);
    mem_free(commits);
    world->commits = NULL;
}

static struct branch *branch_of(struct sim_commits *commits, uint64_t branch)
{
    for (size_t i = commits->branch_count; i > 0; i--) {
        if (commits->branches[i - 1].branch == branch) {
            return &commits->branches[i - 1];
        }
    }
    if (commits->branch_count == commits->branch_capacity) {
        commits->branch_capacity =
            commits->branch_capacity == 0 ? 16 : commits->branch_capacity * 2;
        commits->branches =
            mem_resize(commits->branches, commits->branch_capacity * sizeof(*commits->branches));
    }
    commits->branches[commits->branch_count] = (struct branch){.branch = branch};
    return &commits->branches[commits->branch_count++];
}

static bool another_has(const struct sim_machine *machine, uint64_t branch, uint64_t lsn)
{
    struct sim_world *world = machine->node->world;
    bool has = false;
    for (size_t i = 0; !has && i < world->node_count; i++) {
        const struct sim_machine *other = sim_machine_of(&world->nodes[i]);
        /* A disk may be lost while the answer from it is on its way. */
        bool lost = other->erased_ms != 0 && world->now - other->erased_ms < ANSWER_MS;
        has = other != machine && (lost || sim_wal_has(&other->wal, branch, lsn));
    }
    return has;
}

void sim_commits_told(struct sim_machine *machine, uint64_t lsn)
{
    struct sim_world *world = machine->node->world;
    struct sim_commits *commits = world->commits;
    commits->told++;
    if (world->setup.replication != SIM_ASYNC && !commits->promised[machine->node->index]) {
        return;
    }
    struct branch *branch = branch_of(commits, sim_wal_last_branch(&machine->wal));
    if (branch->count == branch->capacity) {
        branch->capacity = branch->capacity == 0 ? 64 : branch->capacity * 2;
        branch->answered =
            mem_resize(branch->answered, branch->capacity * sizeof(*branch->answered));
    }
    ASSERT(branch->count == 0 || branch->answered[branch->count - 1].lsn <= lsn);
    bool strict = world->setup.replication == SIM_SYNC_STRICT ||
                  world->setup.replication == SIM_QUORUM_STRICT;
    if (strict && !another_has(machine, branch->branch, lsn)) {
        sim_fail(world, "strict mode answers nothing without a standby",
                 "%s answers %llX on timeline %u, and nobody else has it", machine->node->name,
                 (unsigned long long)lsn, sim_wal_timeline(&machine->wal));
        return;
    }
    int64_t epoch = commits->epoch[machine->node->index];
    branch->answered[branch->count++] = (struct answered){lsn, epoch};
    for (size_t i = 0; world->setup.replication != SIM_ASYNC && i < commits->reign_count; i++) {
        const struct reign *later = commits->reigns[i];
        if (later->epoch > epoch && !sim_wal_has(&later->wal, branch->branch, lsn)) {
            sim_fail(world, "an answered commit is on every later primary",
                     "%s answers %llX on timeline %u; a later primary has begun without it",
                     machine->node->name, (unsigned long long)lsn, sim_wal_timeline(&machine->wal));
            return;
        }
    }
}

void sim_commits_promised(struct sim_world *world, struct span value)
{
    char text[256];
    char leader[32];
    world->commits->key_there = value.len > 0;
    (void)snprintf(text, sizeof(text), "%.*s", (int)value.len, (const char *)value.data);
    for (size_t i = 0; i < world->node_count; i++) {
        (void)snprintf(leader, sizeof(leader), "\"leader\":\"%s\"", world->nodes[i].name);
        world->commits->promised[i] |= strstr(text, leader) != NULL;
    }
}

/* By the page: a primary that thaws in the middle of its start may be older than another one that
 * runs. */
static int64_t epoch_of(const struct sim_machine *machine)
{
    struct fence_lease lease;
    bool whole = fence_page_read(machine->page, &lease);
    return whole && lease.epoch.revision != 0 ? lease.epoch.revision : INT64_MAX;
}

struct lost {
    size_t count;
    uint64_t first;
    bool end; /* they are the last ones */
};

static struct lost lost_of(const struct branch *branch, const struct reign *reign)
{
    struct lost lost = {.end = true};
    for (size_t i = 0; i < branch->count; i++) {
        const struct answered *one = &branch->answered[i];
        bool has = sim_wal_has(&reign->wal, branch->branch, one->lsn);
        if (one->epoch > reign->epoch) {
            continue;
        }
        lost.end = lost.end && (!has || lost.count == 0);
        lost.first = has || lost.count > 0 ? lost.first : one->lsn;
        lost.count += !has;
    }
    return lost;
}

static void check_reign(const struct sim_machine *machine, const struct reign *reign)
{
    struct sim_world *world = machine->node->world;
    uint64_t own = sim_wal_last_branch(&reign->wal);
    for (size_t i = 0; i < world->commits->branch_count; i++) {
        const struct branch *branch = &world->commits->branches[i];
        struct lost lost = lost_of(branch, reign);
        if (lost.count == 0) {
            continue;
        }
        if (world->setup.replication != SIM_ASYNC) {
            sim_fail(world, "an answered commit is on every later primary",
                     "%s begins at %llX on timeline %u without %zu of %zu, the first at %llX",
                     machine->node->name, (unsigned long long)reign->wal.end,
                     sim_wal_timeline(&reign->wal), lost.count, branch->count,
                     (unsigned long long)lost.first);
        } else if (!lost.end) {
            sim_fail(world, "what is lost is the end of what was answered", "%s",
                     machine->node->name);
        } else if (branch->branch == own) {
            sim_fail(world, "nothing is lost without a failover", "%s", machine->node->name);
        } else {
            sim_coverage_state(SIM_STATE_ASYNC_LOSS);
        }
    }
}

static bool is_failover(const struct sim_commits *commits, const struct reign *reign)
{
    const struct reign *last =
        commits->reign_count == 0 ? NULL : commits->reigns[commits->reign_count - 1];
    return last != NULL && sim_wal_last_branch(&last->wal) != sim_wal_last_branch(&reign->wal);
}

void sim_commits_primary(struct sim_machine *machine)
{
    const struct sim_world *world = machine->node->world;
    struct sim_commits *commits = world->commits;
    struct reign *reign = mem_new(struct reign);
    *reign = (struct reign){.epoch = epoch_of(machine), .wal = machine->wal};
    check_reign(machine, reign);
    if (world->setup.replication != SIM_ASYNC && is_failover(commits, reign)) {
        sim_coverage_state(SIM_STATE_SYNC_FAILOVER);
    }
    if (commits->reign_count == commits->reign_capacity) {
        commits->reign_capacity = commits->reign_capacity == 0 ? 16 : commits->reign_capacity * 2;
        commits->reigns =
            mem_resize(commits->reigns, commits->reign_capacity * sizeof(*commits->reigns));
    }
    commits->promised[machine->node->index] = commits->key_there;
    commits->epoch[machine->node->index] = reign->epoch;
    commits->reigns[commits->reign_count++] = reign;
}

uint64_t sim_commits_count(const struct sim_world *world)
{
    return world->commits->told;
}

int64_t sim_commits_epoch(const struct sim_machine *machine)
{
    return machine->node->world->commits->epoch[machine->node->index];
}

size_t sim_commits_reigns(const struct sim_world *world)
{
    return world->commits->reign_count;
}
