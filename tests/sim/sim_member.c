/* One Raft member: its environment, its start on what its disk holds, its crash. */
#include "sim.h"
#include "sim_pause.h"

#include "base/assert.h"
#include "base/mem.h"

#include <raft.h>
#include <stdio.h>
#include <string.h>

enum { HEARTBEAT_MS = 50, SPINS_MAX = 1000, LOOK_MS = 200 };

/* --- peers ------------------------------------------------------------------------------------ */

bool sim_world_passes(const struct sim_world *world, enum sim_port port, unsigned from, unsigned to)
{
    return !world->cut[from][to] && !world->port_cut[port][from][to];
}

bool sim_world_linked(const struct sim_world *world, enum sim_port port, unsigned a, unsigned b)
{
    return sim_world_passes(world, port, a, b) && sim_world_passes(world, port, b, a);
}

bool sim_member_reachable(const struct sim_world *world, unsigned from, unsigned to)
{
    return world->nodes[to].raft != NULL && sim_world_linked(world, SIM_PORT_RAFT, from, to);
}

struct sim_node *sim_node_of_id(struct sim_world *world, uint64_t id)
{
    for (size_t i = 0; i < world->node_count; i++) {
        if (world->nodes[i].id == id) {
            return &world->nodes[i];
        }
    }
    return NULL;
}

static void peer_send(void *arg, uint64_t to, struct span frame)
{
    struct sim_node *node = arg;
    struct sim_node *target = sim_node_of_id(node->world, to);
    if (target != NULL) {
        sim_send(node->world, node->index, target->index, frame);
    }
}

static bool peer_connected(void *arg, uint64_t id)
{
    struct sim_node *node = arg;
    struct sim_node *target = sim_node_of_id(node->world, id);
    return target != NULL && sim_member_reachable(node->world, node->index, target->index);
}

static const struct raft_peer_ops peer_ops = {
    .send = peer_send, .connected = peer_connected, .knows_format_2 = peer_connected};

/* --- the rest of the environment -------------------------------------------------------------- */

static void timer_fire(void *arg, uint64_t number, uint64_t b)
{
    struct sim_node *node = arg;
    (void)b;
    if (number == node->timer_number) {
        node->spins = node->spun_ms == node->world->now ? node->spins + 1 : 0;
        node->spun_ms = node->world->now;
        if (node->spins > SPINS_MAX) {
            sim_fail(node->world, "a member does not spin", "%s", node->name);
            return;
        }
        raft_node_tick(node->raft);
    }
}

static void env_arm(void *arg, int64_t delay_ms)
{
    struct sim_node *node = arg;
    sim_node_at(node, delay_ms, timer_fire, node, ++node->timer_number, 0);
}

static void check_status(struct sim_node *node)
{
    struct raft_status status;
    raft_node_status(node->raft, &status);
    if (status.commit_index < node->commit_seen) {
        sim_fail(node->world, "commit never falls", "%s: %llu after %llu", node->name,
                 (unsigned long long)status.commit_index, (unsigned long long)node->commit_seen);
    }
    node->commit_seen = status.commit_index;
    if (status.role == RAFT_ROLE_LEADER) {
        sim_log_leader(node->world, status.term, node->id);
    }
}

static void env_on_change(void *arg)
{
    struct sim_node *node = arg;
    check_status(node);
    sim_agent_changed(node);
}

static void env_on_fatal(void *arg, const struct error *err)
{
    struct sim_node *node = arg;
    sim_fail(node->world, "no fatal error", "%s: %s", node->name, err->text);
}

void sim_member_found(struct sim_world *world)
{
    uint64_t ids[SIM_NODES_MAX];
    struct buf bytes = BUF_INIT;
    for (size_t i = 0; i < world->node_count; i++) {
        ids[i] = world->nodes[i].id;
    }
    int rc = raft_first_configuration(ids, world->node_count, &bytes, NULL);
    ASSERT(rc == 0);
    struct raft_entry_rec entry = {
        .index = 1, .term = 1, .type = RAFT_CHANGE, .data = buf_span(&bytes)};
    for (size_t i = 0; i < world->node_count; i++) {
        sim_disk_append(&world->nodes[i], &entry);
        world->nodes[i].disk.term = 1;
    }
    buf_free(&bytes);
}

static struct raft_entry_rec *boot_entries(const struct sim_disk *disk)
{
    struct raft_entry_rec *entries = mem_new_array(struct raft_entry_rec, disk->entry_count);
    for (size_t i = 0; i < disk->entry_count; i++) {
        entries[i] = (struct raft_entry_rec){.index = disk->entries[i].index,
                                             .term = disk->entries[i].term,
                                             .type = disk->entries[i].type,
                                             .data = buf_span(&disk->entries[i].data)};
    }
    return entries;
}

/* The entries are the caller's to free. */
static struct raft_boot boot_of(const struct sim_node *node)
{
    const struct sim_disk *disk = &node->disk;
    return (struct raft_boot){.id = node->id,
                              .cluster = SIM_CLUSTER_ID,
                              .term = disk->term,
                              .voted_for = disk->voted_for,
                              .has_snapshot = disk->has_snapshot,
                              .snapshot_index = disk->snapshot_index,
                              .snapshot_term = disk->snapshot_term,
                              .configuration_index = disk->configuration_index,
                              .configuration = buf_span(&disk->configuration),
                              .snapshot = buf_span(&disk->snapshot),
                              .entries = boot_entries(disk),
                              .entry_count = disk->entry_count};
}

static int boot_start(struct sim_node *node, struct raft_node **ret_raft, struct error *err)
{
    struct raft_env env = {.storage = &sim_disk_ops,
                           .storage_arg = node,
                           .peers = &peer_ops,
                           .peers_arg = node,
                           .clock = &node->clock,
                           .random = &node->random,
                           .arm = env_arm,
                           .on_change = env_on_change,
                           .on_fatal = env_on_fatal,
                           .arg = node};
    struct raft_node_config config = {.election_timeout_ms = SIM_ELECTION_MS,
                                      .heartbeat_ms = HEARTBEAT_MS};
    (void)snprintf(config.name, sizeof(config.name), "%s", node->name);
    (void)snprintf(config.address, sizeof(config.address), "%s:2380", node->name);
    /* Small ones, so that compaction and installation happen all the time. */
    config.snapshot_threshold = node->world->setup.snapshot_entries;
    config.snapshot_trailing = config.snapshot_threshold / 2;
    struct raft_boot boot = boot_of(node);
    int rc = raft_node_start(&config, &env, &boot, ret_raft, err);
    mem_free((void *)(uintptr_t)boot.entries);
    return rc;
}

void sim_member_start(struct sim_node *node)
{
    ASSERT(node->raft == NULL);
    const struct sim_disk *disk = &node->disk;
    struct error err = {0};
    if (sim_disk_is_blank(disk) && !sim_group_found(node)) {
        sim_faults_restart(node, LOOK_MS); /* a new member finds nobody who has a group */
        return;
    }
    node->commit_seen = 0;
    sim_trace(node->world, "%s starts: term %llu, snapshot %llu, %zu entries", node->name,
              (unsigned long long)disk->term, (unsigned long long)disk->snapshot_index,
              disk->entry_count);
    if (boot_start(node, &node->raft, &err) != 0) {
        node->raft = NULL;
        sim_fail(node->world, "a member starts on what it stored", "%s: %s", node->name, err.text);
        return;
    }
    sim_group_started(node);
    sim_agent_started(node);
}

void sim_member_crash(struct sim_node *node)
{
    if (node->raft == NULL) {
        return;
    }
    sim_disk_crash(node);
    node->incarnation++;
    sim_agent_crashed(node);
    sim_group_stopping(node);
    raft_node_stop(node->raft);
    node->raft = NULL;
    sim_group_free(node);
    sim_disk_give_back(&node->disk);
    sim_node_held_drop(node);
    node->incarnation++; /* also what was asked for while everything was torn down */
}

/* An entry of the log is not the one that was written; the start has to notice it. */
void sim_member_damage(struct sim_node *node)
{
    struct sim_disk *disk = &node->disk;
    struct raft_node *raft = NULL;
    struct error err = {0};
    ASSERT(node->raft == NULL);
    if (disk->entry_count < 2) {
        return;
    }
    struct sim_entry *entry = &disk->entries[1 + sim_below(node->world, disk->entry_count - 1)];
    if (sim_chance(node->world, 500)) {
        entry->index++;
    } else {
        entry->term = disk->term + 1;
    }
    sim_running = node;
    if (boot_start(node, &raft, &err) != ERR_CORRUPT) {
        sim_fail(node->world, "damage is noticed at the start", "%s", node->name);
        raft_node_stop(raft);
    }
}

void sim_member_wipe(struct sim_node *node)
{
    ASSERT(node->raft == NULL);
    sim_disk_empty(&node->disk);
    node->id = sim_random(node->world) | 1;
    node->instance = node->instance == 0 ? node->id : node->instance;
    if (node->world->options.mode == SIM_CLUSTER) {
        sim_pause_forgotten(node);
    }
    sim_trace(node->world, "%s has an empty Raft directory, id %016llx", node->name,
              (unsigned long long)node->id);
}

void sim_member_free(struct sim_node *node)
{
    sim_member_crash(node);
    sim_disk_empty(&node->disk);
}

void sim_member_trace(const struct sim_node *node)
{
    static const char *const roles[] = {"follows", "is a candidate", "leads"};
    struct raft_status status;
    if (node->raft == NULL) {
        sim_trace(node->world, "  %s does not run", node->name);
        return;
    }
    raft_node_status(node->raft, &status);
    sim_trace(node->world, "  %s %s in term %llu: committed %llu, applied %llu, last %llu%s",
              node->name, roles[status.role], (unsigned long long)status.term,
              (unsigned long long)status.commit_index, (unsigned long long)status.applied_index,
              (unsigned long long)status.last_index, node->paused ? ", paused" : "");
    for (size_t i = 0; i < status.member_count; i++) {
        const struct raft_member_status *member = &status.members[i];
        sim_trace(node->world, "    %016llx '%s' %s%s, has %llu", (unsigned long long)member->id,
                  member->name, member->voter ? "votes" : "waits",
                  member->connected ? "" : ", not connected",
                  (unsigned long long)member->match_index);
    }
}

struct sim_node *sim_leader(struct sim_world *world)
{
    struct sim_node *leader = NULL;
    uint64_t term = 0;
    for (size_t i = 0; i < world->node_count; i++) {
        struct raft_status status;
        if (world->nodes[i].raft == NULL) {
            continue;
        }
        raft_node_status(world->nodes[i].raft, &status);
        if (status.role == RAFT_ROLE_LEADER && status.term > term) {
            leader = &world->nodes[i];
            term = status.term;
        }
    }
    return leader;
}
