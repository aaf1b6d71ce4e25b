/* What every member applies, looked at from outside: the linker puts these functions before the
 * store's
 * (-Wl,--wrap), so that the members run the shipping engine and store unchanged.
 *
 * Held here: the first application of each index is the truth, every other one must be the same
 * (command and result); indices have no gaps; a client's command has its effect once; one leader a
 * term; a lease ends by its last renewal alone, and its holder's renewals rise (I4). */
#include "sim.h"
#include "sim_depose.h"

#include "base/assert.h"
#include "base/mem.h"
#include "raft/store_client.h"

#include <stdio.h>
#include <string.h>

enum { LOG_OPS_MAX = 1 << 20, LOG_TERMS_MAX = 1 << 16 };

struct applied {
    uint64_t hash;
    int code;
    int64_t revision;
};

struct sim_log {
    struct applied *applied; /* by index; hash 0 = nobody has applied it, or it is no command */
    size_t applied_count;
    size_t applied_capacity;
    uint8_t *effects; /* by operation of sim_load: how often it took effect */
    uint8_t *acknowledged;
    uint64_t *leaders; /* by term: id */
    uint64_t op_max;
};

static struct sim_world *log_world;

void __real_store_apply(struct store *store, uint64_t index, struct span command,
                        struct store_result *ret_result, struct store_output *output);
void __wrap_store_apply(struct store *store, uint64_t index, struct span command,
                        struct store_result *ret_result, struct store_output *output);
int64_t __real_store_leases_due(const struct store *store, int64_t now_ms,
                                void (*expired)(void *arg, uint64_t lease, uint64_t number),
                                void *arg);
int64_t __wrap_store_leases_due(const struct store *store, int64_t now_ms,
                                void (*expired)(void *arg, uint64_t lease, uint64_t number),
                                void *arg);

void sim_log_open(struct sim_world *world)
{
    world->log = mem_new(struct sim_log);
    world->log->effects = mem_alloc(LOG_OPS_MAX);
    world->log->acknowledged = mem_alloc(LOG_OPS_MAX);
    world->log->leaders = mem_new_array(uint64_t, LOG_TERMS_MAX);
    log_world = world;
}

void sim_log_close(struct sim_world *world)
{
    mem_free(world->log->applied);
    mem_free(world->log->effects);
    mem_free(world->log->acknowledged);
    mem_free(world->log->leaders);
    mem_free(world->log);
    world->log = NULL;
    log_world = NULL;
}

uint64_t sim_log_length(const struct sim_world *world)
{
    return world->log->applied_count;
}

void sim_log_leader(struct sim_world *world, uint64_t term, uint64_t id)
{
    ASSERT(term < LOG_TERMS_MAX);
    uint64_t *leader = &world->log->leaders[term];
    if (*leader != 0 && *leader != id) {
        sim_fail(world, "one leader a term", "term %llu", (unsigned long long)term);
    }
    *leader = id;
}

/* --- what was applied ------------------------------------------------------------------------- */

static uint64_t hash_bytes(struct span bytes)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < bytes.len; i++) {
        hash = (hash ^ bytes.data[i]) * 0x100000001b3u;
    }
    return hash | 1;
}

/* Operations of sim_load put their number, 8 bytes, as the value of a key below "load/". */
static void note_put(struct sim_world *world, struct span key, struct span value)
{
    uint64_t number = 0;
    if (!span_starts_with(key, span_str("load/")) || value.len != 8) {
        return;
    }
    memcpy(&number, value.data, 8);
    ASSERT(number < LOG_OPS_MAX);
    if (++world->log->effects[number] > 1) {
        sim_fail(world, "a command takes effect once", "operation %llu",
                 (unsigned long long)number);
    }
}

static void note_effects(struct sim_world *world, const struct store_command *command)
{
    if (command->type == STORE_CLIENT_TXN) {
        const struct store_client_op *op = &command->client_txn->success[0];
        note_put(world, op->range.key, op->value);
        return;
    }
    for (size_t i = 0; i < command->success_count; i++) {
        if (command->success[i].type == STORE_OP_PUT) {
            note_put(world, command->success[i].key, command->success[i].value);
        }
    }
}

static void note_first(struct sim_world *world, struct span bytes,
                       const struct store_result *result)
{
    struct store_command command;
    struct buf arena = BUF_INIT;
    if (store_command_decode(bytes, &command, &arena, NULL) == 0 && result->code == 0 &&
        !result->repeated && result->succeeded &&
        (command.type == STORE_TXN || command.type == STORE_CLIENT_TXN)) {
        note_effects(world, &command);
    }
    buf_free(&arena);
}

/* What a command says of a lease, and what the lease is before it. */
struct claim {
    enum store_command_type type;
    uint64_t number;
    int64_t stamp;
    int64_t ttl_ms;
    struct sim_depose depose;
    struct store_lease lease; /* id 0 = nothing is said of any that is there */
};

static unsigned node_named(const struct sim_world *world, struct span name)
{
    unsigned index = 0;
    while (index < world->node_count && !span_equal_str(name, world->nodes[index].name)) {
        index++;
    }
    ASSERT(index < world->node_count);
    return index;
}

static void depose_read(const struct sim_world *world, const struct store_command *command,
                        struct span owner, struct sim_depose *ret_depose)
{
    static const char reports[] = "/service/sim/reports/";
    size_t len = strlen(reports);
    *ret_depose = (struct sim_depose){.epoch = command->compares[0].number,
                                      .holder = node_named(world, owner),
                                      .proposer = node_named(world, command->actor)};
    for (size_t i = 0; i < command->compare_count; i++) {
        struct span key = command->compares[i].key;
        if (span_starts_with(key, span_str(reports))) {
            struct span name = span_of(key.data + len, key.len - len);
            ret_depose->reporters[node_named(world, name)] = true;
        }
    }
}

static void claim_read(const struct store *store, struct span bytes, struct claim *ret_claim)
{
    struct store_command command;
    struct buf arena = BUF_INIT;
    *ret_claim = (struct claim){0};
    if (store_command_decode(bytes, &command, &arena, NULL) == 0 &&
        (command.type == STORE_LEASE_EXPIRE || command.type == STORE_LEASE_RENEW ||
         command.type == STORE_DEPOSE)) {
        ret_claim->type = command.type;
        ret_claim->number = command.number;
        ret_claim->stamp = command.stamp;
        ret_claim->ttl_ms = command.ttl_ms;
        bool there = store_lease_get(store, command.lease, &ret_claim->lease);
        if (there && command.type == STORE_DEPOSE) {
            depose_read(log_world, &command, ret_claim->lease.owner, &ret_claim->depose);
        }
    }
    buf_free(&arena);
}

static void check_claim(struct sim_world *world, struct claim *claim,
                        const struct store_result *result)
{
    const struct store_lease *lease = &claim->lease;
    if (lease->id == 0 || result->code != 0 || result->repeated) {
        return;
    }
    if (claim->type == STORE_LEASE_EXPIRE && claim->number != lease->renewal_number) {
        sim_fail(world, "a lease ends by its last renewal", "number %llu, and it was %llu",
                 (unsigned long long)claim->number, (unsigned long long)lease->renewal_number);
    } else if (claim->type == STORE_LEASE_RENEW && (lease->flags & STORE_LEASE_HOLDER) != 0 &&
               claim->stamp <= lease->stamp) {
        sim_fail(world, "the stamps of a holder rise", "%lld after %lld", (long long)claim->stamp,
                 (long long)lease->stamp);
    } else if (claim->type == STORE_LEASE_RENEW && (lease->flags & STORE_LEASE_HOLDER) != 0) {
        sim_depose_renewed(world, claim->ttl_ms);
    } else if (claim->type == STORE_DEPOSE) {
        claim->depose.next = result->revision;
        sim_depose_applied(world, &claim->depose);
    }
}

static struct applied *applied_slot(struct sim_log *log, uint64_t index)
{
    while (index >= log->applied_capacity) {
        size_t old = log->applied_capacity;
        log->applied_capacity = old == 0 ? 1024 : old * 2;
        log->applied = mem_resize(log->applied, log->applied_capacity * sizeof(*log->applied));
        memset(log->applied + old, 0, (log->applied_capacity - old) * sizeof(*log->applied));
    }
    if (index >= log->applied_count) {
        log->applied_count = (size_t)index + 1;
    }
    return &log->applied[index];
}

void __wrap_store_apply(struct store *store, uint64_t index, struct span command,
                        struct store_result *ret_result, struct store_output *output)
{
    struct sim_world *world = log_world;
    if (index != store_applied(store) + 1) {
        sim_fail(world, "indices without gaps", "%llu after %llu", (unsigned long long)index,
                 (unsigned long long)store_applied(store));
    }
    struct claim claim = {0};
    if (applied_slot(world->log, index)->hash == 0) {
        claim_read(store, command, &claim);
    }
    __real_store_apply(store, index, command, ret_result, output);
    struct applied now = {
        .hash = hash_bytes(command), .code = ret_result->code, .revision = ret_result->revision};
    struct applied *slot = applied_slot(world->log, index);
    if (slot->hash == 0) {
        *slot = now;
        check_claim(world, &claim, ret_result);
        note_first(world, command, ret_result);
        sim_lease_applied(world, store);
    } else if (slot->hash != now.hash || slot->code != now.code || slot->revision != now.revision) {
        sim_fail(world, "every member applies the same", "entry %llu", (unsigned long long)index);
    }
}

int64_t __wrap_store_leases_due(const struct store *store, int64_t now_ms,
                                void (*expired)(void *arg, uint64_t lease, uint64_t number),
                                void *arg)
{
    /* The mutation: every member counts half a ttl too much. The caller's sleep is cut too, so that
     * it looks in time. */
    if (!log_world->options.mutation.expire_early) {
        return __real_store_leases_due(store, now_ms, expired, arg);
    }
    int64_t wait = __real_store_leases_due(store, now_ms + sim_ttl_ms(log_world) / 2, expired, arg);
    return wait > 100 ? 100 : wait;
}

/* --- clients ---------------------------------------------------------------------------------- */

void sim_log_acknowledged(struct sim_world *world, uint64_t op, int code)
{
    bool effect = world->log->effects[op] == 1;
    world->log->acknowledged[op] = 1;
    if (effect != (code == 0)) {
        sim_fail(world, "an answer says what was applied", "operation %llu, code %d",
                 (unsigned long long)op, code);
    }
}

void sim_log_never_sent(struct sim_world *world, uint64_t op)
{
    if (world->log->effects[op] != 0) {
        sim_fail(world, "what was never sent is never applied", "operation %llu",
                 (unsigned long long)op);
    }
}

static void check_alike(struct sim_world *world)
{
    struct buf first = BUF_INIT;
    struct buf other = BUF_INIT;
    store_snapshot(raft_node_store(world->nodes[0].raft), &first);
    for (size_t i = 1; i < world->node_count && world->failure == NULL; i++) {
        buf_clear(&other);
        store_snapshot(raft_node_store(world->nodes[i].raft), &other);
        if (!span_equal(buf_span(&first), buf_span(&other))) {
            sim_fail(world, "all members have the same state", "%s", world->nodes[i].name);
        }
    }
    buf_free(&first);
    buf_free(&other);
}

void sim_log_finish(struct sim_world *world)
{
    for (size_t i = 0; i < world->node_count; i++) {
        if (world->nodes[i].raft == NULL) {
            sim_fail(world, "all members run again", "%s", world->nodes[i].name);
            return;
        }
        store_check(raft_node_store(world->nodes[i].raft));
    }
    check_alike(world);
}
