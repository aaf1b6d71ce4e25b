/* `pause` of the dynamic configuration, written as the operator does: what stands there, with one
 * key more or less. */
#include "sim_pause.h"

#include "sim_machine.h"

#include "base/assert.h"
#include "base/mem.h"
#include "raft/node.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum {
    PROPOSE_MS = 2000,
    AGAIN_MS = 1000,
    LATE_MS = 3000,     /* so long what was written before may still come */
    KNOWN_MS = 6000,    /* what was decided before has been done, or given up */
    NOTED_MS = 3000,    /* what an agent knows for so long it has noted */
    RESTART_MS = 15000, /* an order for a restart that was not begun is dropped */
};

static const char *const key = "/service/sim/config";
static const char said[] = "\"pause\":true";

static bool is_paused(const struct store *store)
{
    struct store_kv kv;
    if (!store_get(store, span_str(key), &kv)) {
        return false;
    }
    return memmem(kv.value.data, kv.value.len, said, sizeof(said) - 1) != NULL;
}

static void on_written(void *arg, int rc, const struct store_result *result)
{
    (void)arg;
    (void)rc;
    (void)result;
}

static json_t *read_config(const struct sim_node *node)
{
    struct store_kv kv;
    if (node->raft == NULL || !store_get(raft_node_store(node->raft), span_str(key), &kv)) {
        return NULL;
    }
    return json_loadb((const char *)kv.value.data, kv.value.len, 0, NULL);
}

void sim_pause_set(struct sim_node *through, bool on)
{
    json_t *config = read_config(through);
    if (config == NULL) {
        return;
    }
    if (on) {
        (void)json_object_set_new(config, "pause", json_true());
    } else {
        (void)json_object_del(config, "pause");
    }
    char *text = json_dumps(config, JSON_COMPACT);
    json_decref(config);
    ASSERT(text != NULL);
    struct store_op op = {.type = STORE_OP_PUT, .key = span_str(key), .value = span_str(text)};
    struct store_command command = {.type = STORE_TXN, .success = &op, .success_count = 1};
    sim_running = through;
    sim_trace(through->world, "the operator says: %s", on ? "pause" : "resume");
    int rc = raft_node_propose_plain(through->raft, &command, PROPOSE_MS, on_written, NULL, NULL);
    (void)rc; /* it may have nobody to send it to */
    mem_free(text);
}

void sim_pause_forget(struct sim_node *through)
{
    struct store_op op = {.type = STORE_OP_DELETE, .key = span_str("/service/sim/unfenced")};
    struct store_command command = {.type = STORE_TXN, .success = &op, .success_count = 1};
    sim_running = through;
    int rc = raft_node_propose_plain(through->raft, &command, PROPOSE_MS, on_written, NULL, NULL);
    ASSERT(rc == 0); /* a calm cluster */
}

bool sim_pause_ended(struct sim_world *world)
{
    bool ended = true;
    if (!world->maintained) {
        return true;
    }
    for (size_t i = 0; i < world->node_count; i++) {
        const struct raft_node *raft = world->nodes[i].raft;
        ended = ended && raft != NULL && !is_paused(raft_node_store(raft));
    }
    struct sim_node *leader = sim_leader(world);
    if (!ended && leader != NULL && world->now % AGAIN_MS == 0) {
        sim_pause_set(leader, false);
    }
    world->resumed_ms = ended ? world->resumed_ms : world->now;
    return world->now - world->resumed_ms > LATE_MS;
}

void sim_pause_applied(struct sim_world *world, const struct store *store)
{
    struct store_kv kv;
    if (!is_paused(store)) {
        world->paused_ms = -1;
    } else if (world->paused_ms < 0) {
        world->paused_ms = world->now;
        sim_coverage_state(SIM_STATE_PAUSED);
    }
    if (store_get(store, span_str("/service/sim/failover"), &kv)) {
        world->ordered_ms = world->now;
    }
}

void sim_pause_known(const struct sim_node *node)
{
    struct sim_machine *machine = sim_machine_of(&node->world->nodes[node->index]);
    if (!sim_agent_has_view(node)) {
        return;
    }
    if (!is_paused(raft_node_store(node->raft))) {
        machine->paused_ms = -1;
    } else if (machine->paused_ms < 0) {
        machine->paused_ms = node->world->now;
    }
}

void sim_pause_agent_died(struct sim_node *node)
{
    struct sim_machine *machine = sim_machine_of(node);
    if (node->world->now - machine->paused_ms < NOTED_MS) {
        machine->paused_ms = -1;
    }
}

void sim_pause_forgotten(struct sim_node *node)
{
    struct sim_machine *machine = sim_machine_of(node);
    machine->noted_pause = false;
    machine->paused_ms = -1;
}

static bool may_write(const struct sim_machine *machine)
{
    struct fence_lease lease;
    return !machine->recovery || !fence_page_read(machine->page, &lease) ||
           lease.epoch.revision != 0;
}

/* A promotion that was sent before the pause is one of a primary to be: without a lease it is
 * ended. */
static bool promotes(const struct sim_machine *machine)
{
    return machine->recovery && machine->promote_sent;
}

static bool knows(struct sim_node *node)
{
    const struct sim_machine *machine = sim_machine_of(node);
    if (promotes(machine)) {
        return false;
    }
    if (sim_agent_has_view(node)) {
        return is_paused(raft_node_store(node->raft));
    }
    return machine->paused_ms >= 0 && node->world->now - machine->paused_ms > KNOWN_MS &&
           !may_write(machine);
}

/* One stop for one order. */
static bool is_due(const struct sim_node *node, int64_t *due_ms)
{
    int64_t late_ms = node->world->now - *due_ms;
    bool due = *due_ms > 0 && late_ms >= 0 && late_ms < RESTART_MS;
    if (due) {
        *due_ms = 0;
    }
    return due;
}

static bool restarts(struct sim_node *node)
{
    return is_due(node, &node->restart_due_ms) || is_due(node, &node->restart_at_ms);
}

void sim_pause_check_promotion(struct sim_node *node)
{
    if (!sim_agent_resumed(node)) {
        sim_pause_check(node, "a promotion");
    }
}

/* A promotion that was sent comes through in the moment in which its lease ends: it is ended as one
 * that is under way, by an agent that has not been answered anything else yet. */
static bool ends_promotion(const struct sim_node *node)
{
    return sim_machine_of(&node->world->nodes[node->index])->promote_sent &&
           sim_agent_decided_on(node) == PG_STANDBY;
}

void sim_pause_check_stop(struct sim_node *node)
{
    if (!restarts(node) && !ends_promotion(node)) {
        sim_pause_check(node, "a stop");
    }
}

void sim_pause_check(struct sim_node *node, const char *what)
{
    if (sim_agent_reinits(node)) {
        return; /* on the operator's order */
    }
    struct sim_world *world = node->world;
    bool known = world->paused_ms >= 0 && world->now - world->paused_ms > KNOWN_MS &&
                 world->now - node->resume_ms > KNOWN_MS && node->raft != NULL && knows(node);
    if (known && world->now - world->ordered_ms > KNOWN_MS) {
        sim_fail(world, "in pause PostgreSQL is left alone", "%s: %s", node->name, what);
    }
}

void sim_pause_unfenced(const struct sim_node *node, int64_t revision)
{
    const struct sim_node *leader = sim_leader(node->world);
    struct store_kv kv;
    if (node->raft == NULL) {
        sim_coverage_state(SIM_STATE_UNFENCED_ALONE);
    }
    if (leader != NULL &&
        !(store_get(raft_node_store(leader->raft), span_str("/service/sim/leader"), &kv) &&
          kv.create_revision == revision)) {
        sim_coverage_state(SIM_STATE_UNFENCED);
    }
}
