/* Clients on every node. Each puts operations with a number of their own under load/, with
 * deadlines short enough that some end unknown; reads; and, in the store's mode, puts some in the
 * words of etcd's API (which opens format 2 of the store under faults) and competes for a leader
 * lease with the shipping arithmetic (agent/ha/ha_lease.c) in place of a whole HA loop.
 *
 * Held here: an answer says what was applied; a linearizable read sees everything acknowledged
 * before it was asked for; when a holder's acquisition is applied for the first time, no other one
 * still counts itself the holder. */
#include "sim.h"
#include "sim_depose.h"
#include "sim_pause.h"

#include "agent/ha/ha_lease.h"
#include "base/assert.h"
#include "base/mem.h"
#include "raft/store_client.h"

#include <stdio.h>
#include <string.h>

enum { CLIENT_EVERY = 4 }; /* of the puts in the store's mode: in the words of etcd's API */
enum { KEYS = 16, TTL_MS = 3000, LOOP_WAIT_MS = 1000 };

struct sim_load {
    uint64_t op_next;
    int64_t revision_acknowledged; /* highest one that anybody was told */
    uint64_t acknowledged;
    uint64_t acknowledged_at_heal;
    bool stopped;
};

struct sim_holder {
    struct ha_lease lease;
    uint64_t lease_id;
    bool acquiring;
};

struct call {
    struct sim_node *node;
    uint64_t incarnation;
    uint64_t op;
    int64_t revision; /* of reads: what must be seen */
    int64_t sent_ms;
    uint64_t number; /* of the renewal */
    uint64_t lease_id;
};

static struct call *call_new(struct sim_node *node)
{
    struct call *call = mem_new(struct call);
    call->node = node;
    call->incarnation = node->incarnation;
    return call;
}

/* --- puts and reads --------------------------------------------------------------------------- */

static void on_put(void *arg, int rc, const struct store_result *result)
{
    struct call *call = arg;
    struct sim_world *world = call->node->world;
    if (rc == 0 && call->op != 0) {
        sim_log_acknowledged(world, call->op, result->code);
        world->load->acknowledged++;
        if (result->revision > world->load->revision_acknowledged) {
            world->load->revision_acknowledged = result->revision;
        }
    } else if (rc == ERR_UNAVAILABLE) {
        sim_log_never_sent(world, call->op);
    }
    mem_free(call);
}

static void on_opened(void *arg, int rc, const struct store_result *result)
{
    (void)arg;
    (void)rc; /* the next put tries again */
    (void)result;
}

/* As a client of etcd's API puts it, with a look at the keys around and at what was there. */
static int put_as_client(struct sim_node *node, const char *key, struct call *call,
                         int64_t timeout_ms)
{
    struct store_client_op ops[] = {
        {.type = STORE_CLIENT_PUT,
         .range = {.key = span_str(key)},
         .value = span_of(&call->op, 8),
         .prev_kv = true},
        {.type = STORE_CLIENT_RANGE,
         .range = {.key = span_str("load/"), .range_end = span_str("load0")}},
    };
    struct store_client_txn txn = {.success = ops, .success_count = 2};
    struct store_command command = {.type = STORE_CLIENT_TXN, .client_txn = &txn};
    return raft_node_propose_plain(node->raft, &command, timeout_ms, on_put, call, NULL);
}

static void put(struct sim_node *node)
{
    struct sim_world *world = node->world;
    struct call *call = call_new(node);
    char key[32];
    call->op = ++world->load->op_next;
    (void)snprintf(key, sizeof(key), "load/%u", (unsigned)sim_below(world, KEYS));
    struct store_op op = {
        .type = STORE_OP_PUT, .key = span_str(key), .value = span_of(&call->op, 8)};
    struct store_command command = {.type = STORE_TXN, .success = &op, .success_count = 1};
    int64_t timeout = 200 + (int64_t)sim_below(world, 4000);
    unsigned attempts = sim_chance(world, 200) ? 1 : 0;
    bool as_client = call->op % CLIENT_EVERY == 0;
    bool opened = store_format(raft_node_store(node->raft)) > 1;
    if (as_client && !opened &&
        raft_node_open_format_2(node->raft, timeout, on_opened, NULL, NULL) != 0) {
        as_client = false; /* the next one tries again */
    }
    int rc = as_client && opened
                 ? put_as_client(node, key, call, timeout)
                 : raft_node_propose(node->raft, &command, timeout, attempts, on_put, call, NULL);
    if (rc != 0) {
        sim_log_never_sent(world, call->op);
        mem_free(call);
    }
}

static void on_read(void *arg, int rc, const struct store_result *result)
{
    struct call *call = arg;
    (void)result;
    if (rc == 0 && store_revision(raft_node_store(call->node->raft)) < call->revision) {
        sim_fail(call->node->world, "a read sees what was acknowledged", "%s", call->node->name);
    }
    mem_free(call);
}

static void read_all(struct sim_node *node)
{
    struct call *call = call_new(node);
    call->revision = node->world->load->revision_acknowledged;
    if (node->world->options.mutation.stale_read) {
        on_read(call, 0, NULL);
        return;
    }
    if (raft_node_read(node->raft, 2000, on_read, call, NULL) != 0) {
        mem_free(call);
    }
}

/* --- the lease -------------------------------------------------------------------------------- */

static bool counts_as_holder(const struct sim_node *node)
{
    return node->holder != NULL && node->holder->lease.held &&
           sim_node_clock(node) < node->holder->lease.deadline_ms;
}

static bool acquired(const struct store *store, const char *key, struct store_kv *ret_leader)
{
    return store_get(store, span_str(key), ret_leader) &&
           ret_leader->create_revision == store_revision(store) && ret_leader->version == 1;
}

void sim_lease_applied(struct sim_world *world, const struct store *store)
{
    struct store_kv leader;
    if (world->options.mode == SIM_CLUSTER) {
        bool there = store_get(store, span_str("/service/sim/sync"), &leader);
        sim_commits_promised(world, there ? leader.value : (struct span){0});
        sim_pause_applied(world, store);
        if (acquired(store, "/service/sim/leader", &leader)) {
            struct store_lease lease;
            bool found = store_lease_get(store, leader.lease, &lease);
            ASSERT(found);
            sim_depose_acquired(world, &leader, lease.ttl_ms);
            sim_agents_acquired(world, leader.value);
        }
        return;
    }
    if (!acquired(store, "lease/leader", &leader)) {
        return;
    }
    for (size_t i = 0; i < world->node_count; i++) {
        const struct sim_node *node = &world->nodes[i];
        if (world->setup.one_writer && counts_as_holder(node) &&
            !span_equal_str(leader.value, node->name)) {
            sim_fail(world, "one holder of the lease",
                     "%s still counts itself the holder when %.*s acquires", node->name,
                     (int)leader.value.len, (const char *)leader.value.data);
        }
    }
}

static void on_acquired(void *arg, int rc, const struct store_result *result)
{
    struct call *call = arg;
    struct sim_node *node = call->node;
    if (node->incarnation == call->incarnation) {
        node->holder->acquiring = false;
        if (rc == 0 && result->code == 0) {
            struct ha_epoch epoch = {1, result->revision};
            node->holder->lease_id = call->lease_id;
            if (ha_lease_acquired(&node->holder->lease, epoch, call->sent_ms, TTL_MS,
                                  sim_node_clock(node))) {
                sim_trace(node->world, "%s holds the lease", node->name);
            } else {
                ha_lease_drop(&node->holder->lease);
            }
        }
    }
    mem_free(call);
}

static void acquire(struct sim_node *node)
{
    struct call *call = call_new(node);
    call->lease_id = sim_random(node->world) | 1;
    call->sent_ms = sim_node_clock(node);
    struct store_compare absent = {.target = STORE_CMP_CREATE,
                                   .relation = STORE_EQUAL,
                                   .key = span_str("lease/leader"),
                                   .number = 0};
    struct store_op ops[] = {
        {.type = STORE_OP_LEASE_GRANT,
         .lease = call->lease_id,
         .ttl_ms = TTL_MS,
         .stamp = call->sent_ms,
         .flags = STORE_LEASE_HOLDER},
        {.type = STORE_OP_PUT,
         .key = span_str("lease/leader"),
         .value = span_str(node->name),
         .lease = call->lease_id},
    };
    struct store_command command = {.type = STORE_TXN,
                                    .compares = &absent,
                                    .compare_count = 1,
                                    .success = ops,
                                    .success_count = 2};
    node->holder->acquiring = true;
    if (raft_node_propose(node->raft, &command, 1000, 0, on_acquired, call, NULL) != 0) {
        node->holder->acquiring = false;
        mem_free(call);
    }
}

static void on_renewed(void *arg, int rc, const struct store_result *result)
{
    struct call *call = arg;
    struct sim_node *node = call->node;
    if (node->incarnation == call->incarnation) {
        int code = rc != 0 ? rc : result->code;
        (void)ha_lease_answered(&node->holder->lease, call->number, code, sim_node_clock(node));
    }
    mem_free(call);
}

static void renew(struct sim_node *node)
{
    struct call *call = call_new(node);
    int64_t now = sim_node_clock(node);
    call->number = ha_lease_sent(&node->holder->lease, TTL_MS, LOOP_WAIT_MS, now);
    struct store_command command = {
        .type = STORE_LEASE_RENEW, .lease = node->holder->lease_id, .ttl_ms = TTL_MS, .stamp = now};
    int rc = raft_node_propose(node->raft, &command, ha_lease_attempt_ms(TTL_MS), 1, on_renewed,
                               call, NULL);
    if (rc != 0) {
        (void)ha_lease_answered(&node->holder->lease, call->number, ERR_UNAVAILABLE, now);
        mem_free(call);
    }
}

static void on_released(void *arg, int rc, const struct store_result *result)
{
    (void)rc;
    (void)result;
    mem_free(arg);
}

static void release(struct sim_node *node)
{
    struct call *call = call_new(node);
    struct store_command command = {.type = STORE_LEASE_REVOKE, .lease = node->holder->lease_id};
    ha_lease_fired(&node->holder->lease, node->holder->lease.epoch); /* over before it is sent */
    ha_lease_drop(&node->holder->lease);
    if (raft_node_propose(node->raft, &command, 1000, 0, on_released, call, NULL) != 0) {
        mem_free(call);
    }
}

static void compete(struct sim_node *node)
{
    struct ha_lease *lease = &node->holder->lease;
    struct store_kv leader;
    int64_t now = sim_node_clock(node);
    if (lease->held && now >= lease->deadline_ms) {
        ha_lease_fired(lease, lease->epoch);
        ha_lease_drop(lease);
    } else if (lease->held && sim_chance(node->world, 3)) {
        release(node);
    } else if (lease->held) {
        if (ha_lease_due(lease, now)) {
            renew(node);
        }
    } else if (!node->holder->acquiring &&
               !store_get(raft_node_store(node->raft), span_str("lease/leader"), &leader)) {
        acquire(node);
    }
}

/* --- the loop of one node's clients ----------------------------------------------------------- */

static void load_turn(void *arg, uint64_t a, uint64_t b)
{
    struct sim_node *node = arg;
    struct sim_world *world = node->world;
    (void)a;
    (void)b;
    if (world->load->stopped) {
        return;
    }
    put(node);
    if (sim_chance(world, 100)) {
        read_all(node);
    }
    int64_t pause =
        sim_chance(world, 100)
            ? 1
            : 20 + (int64_t)sim_below(world, world->options.mode == SIM_CLUSTER ? 2000 : 150);
    sim_node_at(node, pause, load_turn, node, 0, 0);
}

static void compete_turn(void *arg, uint64_t a, uint64_t b)
{
    struct sim_node *node = arg;
    (void)a;
    (void)b;
    if (!node->world->load->stopped) {
        compete(node);
        sim_node_at(node, 20 + (int64_t)sim_below(node->world, 60), compete_turn, node, 0, 0);
    }
}

void sim_load_started(struct sim_node *node)
{
    sim_node_at(node, 5, load_turn, node, 0, 0);
    if (node->world->options.mode == SIM_STORE) {
        node->holder = mem_new(struct sim_holder);
        ha_lease_init(&node->holder->lease);
        sim_node_at(node, 5, compete_turn, node, 0, 0);
    }
}

void sim_load_crashed(struct sim_node *node)
{
    mem_free(node->holder); /* whatever it held died with it: it may not go on */
    node->holder = NULL;
}

void sim_load_open(struct sim_world *world)
{
    world->load = mem_new(struct sim_load);
}

void sim_load_close(struct sim_world *world)
{
    mem_free(world->load);
    world->load = NULL;
}

void sim_load_healed(struct sim_world *world)
{
    world->load->acknowledged_at_heal = world->load->acknowledged;
}

bool sim_load_progressed(const struct sim_world *world)
{
    return world->load->acknowledged > world->load->acknowledged_at_heal;
}

void sim_load_stop(struct sim_world *world)
{
    world->load->stopped = true;
}
