/* What is held of leases that are ended while they run. Two writers are excused there, and only
 * there: the one whose term was ended may be writable until its fence acts, `K` after its last
 * renewal, and no longer. Whoever ends a term has missed every sign of life of its holder, and so
 * have those whose reports it counts. That no answered commit is lost is held by sim_commits.c, as
 * ever. */
#include "sim_depose.h"

#include "sim_machine.h"

#include "base/mem.h"

#include <string.h>

enum {
    FENCED_MS = 252,   /* dF, and the rounding of clocks */
    ROUNDED_MS = 3,    /* the clocks of two nodes, in an election timeout */
    DECIDED_MS = 2500, /* a Depose is not waited for longer than two election timeouts */
};

struct deposal {
    int64_t epoch;    /* that it ended */
    int64_t next;     /* that it began */
    int64_t until_ms; /* the former holder may be writable */
    int64_t lease_ms; /* the lease would have lasted until here */
};

struct deposals {
    struct deposal *items;
    size_t count;
    size_t capacity;
    int64_t renewed_ms; /* the lease of the leader key, last */
    int64_t ttl_ms;
    int64_t began_ms;                                /* the term */
    int64_t taken[SIM_NODES_MAX];                    /* the epoch that each one has had last */
    int64_t heard_ms[SIM_NODES_MAX][SIM_NODES_MAX];  /* by the first, of the second; 0 = never */
    int64_t silent_ms[SIM_NODES_MAX][SIM_NODES_MAX]; /* when a silence ended that counts */
};

static struct deposals *all;

void sim_depose_open(struct sim_world *world)
{
    (void)world;
    all = mem_new(struct deposals);
}

void sim_depose_close(struct sim_world *world)
{
    (void)world;
    mem_free(all->items);
    mem_free(all);
    all = NULL;
}

/* --- signs of life ---------------------------------------------------------------------------- */

static bool is_silent(const struct sim_world *world, unsigned to, unsigned from)
{
    return world->now - all->heard_ms[to][from] >= SIM_ELECTION_MS - ROUNDED_MS;
}

void sim_depose_heard(const struct sim_node *node, unsigned from)
{
    const struct sim_world *world = node->world;
    int64_t *heard_ms = &all->heard_ms[node->index][from];
    if (is_silent(world, node->index, from)) {
        all->silent_ms[node->index][from] = world->now;
    }
    *heard_ms = world->now > *heard_ms ? world->now : *heard_ms;
}

void sim_depose_answered(const struct sim_node *node, unsigned from)
{
    sim_depose_heard(node, from);
    all->heard_ms[node->index][from] = node->world->now + SIM_ELECTION_MS;
}

static void check_silence(struct sim_world *world, unsigned proposer, unsigned holder,
                          const bool reporters[])
{
    for (unsigned i = 0; i < world->node_count; i++) {
        int64_t since_ms = i == proposer ? world->now - DECIDED_MS : all->began_ms;
        if (reporters[i] && !is_silent(world, i, holder) && all->silent_ms[i][holder] < since_ms) {
            sim_fail(world, "nobody is deposed who gives signs of life", "%s, of whom %s has heard",
                     world->nodes[holder].name, world->nodes[i].name);
        }
    }
}

/* --- terms ------------------------------------------------------------------------------------ */

void sim_depose_acquired(struct sim_world *world, const struct store_kv *leader, int64_t ttl_ms)
{
    for (size_t i = 0; i < world->node_count; i++) {
        if (span_equal_str(leader->value, world->nodes[i].name)) {
            all->taken[i] = leader->create_revision;
        }
    }
    all->began_ms = world->now;
    sim_depose_renewed(world, ttl_ms);
}

void sim_depose_renewed(struct sim_world *world, int64_t ttl_ms)
{
    all->renewed_ms = world->now;
    all->ttl_ms = ttl_ms;
}

static const struct deposal *find(int64_t epoch)
{
    for (size_t i = all->count; i > 0; i--) {
        if (all->items[i - 1].epoch == epoch) {
            return &all->items[i - 1];
        }
    }
    return NULL;
}

static void lease_over(void *arg, uint64_t epoch, uint64_t b)
{
    struct sim_world *world = arg;
    (void)b;
    for (size_t i = 0; i < world->node_count; i++) {
        const struct sim_machine *machine = sim_machine_of(&world->nodes[i]);
        if (machine->writable && all->taken[i] == (int64_t)epoch) {
            sim_fail(world, "who was deposed writes no longer than its lease lasts", "%s",
                     world->nodes[i].name);
        }
    }
}

void sim_depose_applied(struct sim_world *world, const struct sim_depose *depose)
{
    int64_t margin_ms = all->ttl_ms / 10 > 400 ? all->ttl_ms / 10 : 400;
    int64_t kill_ms = all->ttl_ms - margin_ms;
    if (all->count == all->capacity) {
        all->capacity = all->capacity == 0 ? 16 : all->capacity * 2;
        all->items = mem_resize(all->items, all->capacity * sizeof(all->items[0]));
    }
    struct deposal *deposal = &all->items[all->count++];
    *deposal = (struct deposal){.epoch = depose->epoch,
                                .next = depose->next,
                                .until_ms = all->renewed_ms + kill_ms + kill_ms / 2000 + FENCED_MS,
                                .lease_ms = all->renewed_ms + all->ttl_ms};
    sim_trace(world, "%s ends the term of %s, whose lease has %lld ms left",
              world->nodes[depose->proposer].name, world->nodes[depose->holder].name,
              (long long)(deposal->lease_ms - world->now));
    if (world->setup.one_writer) {
        if (world->now < deposal->lease_ms) { /* else it has waited in the log, and ended nothing */
            check_silence(world, depose->proposer, depose->holder, depose->reporters);
        }
        sim_at(world, deposal->until_ms + 1 - world->now, lease_over, world,
               (uint64_t)depose->epoch, 0);
    }
}

bool sim_depose_excuses(const struct sim_machine *machine)
{
    const struct deposal *deposal = find(all->taken[machine->node->index]);
    return deposal != NULL && machine->node->world->now <= deposal->until_ms;
}

void sim_depose_primary(const struct sim_machine *machine)
{
    int64_t epoch = sim_commits_epoch(machine);
    for (size_t i = 0; i < all->count; i++) {
        if (all->items[i].next == epoch && machine->node->world->now < all->items[i].lease_ms) {
            sim_coverage_state(SIM_STATE_EARLY_FAILOVER);
        }
    }
}
