/* One Raft member on a modelled disk.
 *
 * Disk: queued jobs become durable together at the next sync and are answered in order. A crash
 * makes a random prefix of the queue durable and answers none of it. A start reads back what is
 * durable. */
#include "sim.h"

#include "base/assert.h"
#include "base/mem.h"

#include <raft.h>
#include <stdio.h>
#include <string.h>

enum { ELECTION_MS = 500, HEARTBEAT_MS = 50, SPINS_MAX = 1000 };

static const uint64_t cluster_id = 0xc1057e4;

/* --- disk ------------------------------------------------------------------------------------- */

static void disk_drop_from(struct sim_disk *disk, uint64_t index)
{
    while (disk->entry_count > 0 && disk->entries[disk->entry_count - 1].index >= index) {
        buf_free(&disk->entries[--disk->entry_count].data);
    }
}

static void disk_drop_until(struct sim_disk *disk, uint64_t index)
{
    size_t gone = 0;
    while (gone < disk->entry_count && disk->entries[gone].index <= index) {
        buf_free(&disk->entries[gone++].data);
    }
    disk->entry_count -= gone;
    if (gone > 0) {
        memmove(disk->entries, disk->entries + gone, disk->entry_count * sizeof(*disk->entries));
    }
}

static void disk_append(struct sim_node *node, const struct raft_entry_rec *entry)
{
    struct sim_disk *disk = &node->disk;
    uint64_t next = disk->entry_count > 0 ? disk->entries[disk->entry_count - 1].index + 1
                    : disk->has_snapshot  ? disk->snapshot_index + 1
                                          : 1;
    if (entry->index != next) {
        sim_fail(node->world, "disk without gaps", "%s stores entry %llu, next is %llu", node->name,
                 (unsigned long long)entry->index, (unsigned long long)next);
        return;
    }
    if (disk->entry_count == disk->entry_capacity) {
        disk->entry_capacity = disk->entry_capacity == 0 ? 64 : disk->entry_capacity * 2;
        disk->entries = mem_resize(disk->entries, disk->entry_capacity * sizeof(*disk->entries));
    }
    struct sim_entry *slot = &disk->entries[disk->entry_count++];
    *slot = (struct sim_entry){.index = entry->index, .term = entry->term, .type = entry->type};
    buf_put_span(&slot->data, entry->data);
}

static void disk_store_snapshot(struct sim_disk *disk, const struct raft_storage_job *job)
{
    disk->has_snapshot = true;
    disk->snapshot_index = job->snapshot_index;
    disk->snapshot_term = job->snapshot_term;
    disk->configuration_index = job->configuration_index;
    buf_clear(&disk->configuration);
    buf_put_span(&disk->configuration, job->configuration);
    buf_clear(&disk->snapshot);
    buf_put_span(&disk->snapshot, job->snapshot);
    disk_drop_until(disk, job->snapshot_installed ? UINT64_MAX : job->delete_until);
}

static void disk_apply(struct sim_node *node, const struct raft_storage_job *job)
{
    struct sim_disk *disk = &node->disk;
    if (job->has_vote) {
        if (job->term < disk->term) {
            sim_fail(node->world, "term never falls", "%s stores term %llu after %llu", node->name,
                     (unsigned long long)job->term, (unsigned long long)disk->term);
        }
        disk->term = job->term;
        disk->voted_for = job->voted_for;
    }
    if (job->has_snapshot) {
        disk_store_snapshot(disk, job);
    }
    if (job->has_entries) {
        if (job->truncate_from != 0) {
            disk_drop_from(disk, job->truncate_from);
        }
        for (size_t i = 0; i < job->entry_count; i++) {
            disk_append(node, &job->entries[i]);
        }
    }
}

static void disk_sync(struct sim_node *node);

/* The sync that began with `count` jobs in the queue has ended. */
static void disk_synced(void *arg, uint64_t count, uint64_t b)
{
    struct sim_node *node = arg;
    uint64_t incarnation = node->incarnation;
    (void)b;
    struct list done;
    list_init(&done);
    for (uint64_t i = 0; i < count; i++) {
        struct sim_job *job = LIST_OWNER(list_first(&node->disk.queue), struct sim_job, link);
        list_remove(&job->link);
        node->disk.queue_count--;
        disk_apply(node, &job->job);
        list_append(&done, &job->link);
    }
    node->disk.syncing = false;
    if (node->disk.queue_count > 0) {
        disk_sync(node);
    }
    while (!list_empty(&done)) {
        struct sim_job *job = LIST_OWNER(list_first(&done), struct sim_job, link);
        list_remove(&job->link);
        job->done(job->arg);
        mem_free(job);
    }
    ASSERT(node->incarnation == incarnation);
}

static void disk_sync(struct sim_node *node)
{
    int64_t delay = 1 + (int64_t)sim_below(node->world, 5);
    if (node->disk.slow) {
        delay = 1 + (int64_t)sim_below(node->world, 600);
    }
    node->disk.syncing = true;
    sim_node_at(node, delay, disk_synced, node, node->disk.queue_count, 0);
}

static void disk_submit(void *arg, const struct raft_storage_job *job, void (*done)(void *job_arg),
                        void *job_arg)
{
    struct sim_node *node = arg;
    struct sim_job *queued = mem_new(struct sim_job);
    queued->job = *job;
    queued->done = done;
    queued->arg = job_arg;
    list_append(&node->disk.queue, &queued->link);
    node->disk.queue_count++;
    if (!node->disk.syncing) {
        disk_sync(node);
    }
}

static const struct raft_storage_ops disk_ops = {.submit = disk_submit};

/* --- peers ------------------------------------------------------------------------------------ */

bool sim_world_linked(const struct sim_world *world, unsigned a, unsigned b)
{
    return !world->cut[a][b] && !world->cut[b][a];
}

bool sim_member_reachable(const struct sim_world *world, unsigned from, unsigned to)
{
    return world->nodes[to].raft != NULL && sim_world_linked(world, from, to);
}

static struct sim_node *node_of_id(struct sim_world *world, uint64_t id)
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
    struct sim_node *target = node_of_id(node->world, to);
    if (target != NULL) {
        sim_send(node->world, node->index, target->index, frame);
    }
}

static bool peer_connected(void *arg, uint64_t id)
{
    struct sim_node *node = arg;
    struct sim_node *target = node_of_id(node->world, id);
    return target != NULL && sim_member_reachable(node->world, node->index, target->index);
}

static const struct raft_peer_ops peer_ops = {.send = peer_send, .connected = peer_connected};

/* --- the rest of the environment -------------------------------------------------------------- */

static void timer_fire(void *arg, uint64_t number, uint64_t b)
{
    struct sim_node *node = arg;
    (void)b;
    if (number == node->timer_number) {
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
    node->spins = delay_ms <= 0 ? node->spins + 1 : 0;
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
        disk_append(&world->nodes[i], &entry);
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

void sim_member_start(struct sim_node *node)
{
    ASSERT(node->raft == NULL);
    struct sim_disk *disk = &node->disk;
    struct raft_env env = {.storage = &disk_ops,
                           .storage_arg = node,
                           .peers = &peer_ops,
                           .peers_arg = node,
                           .clock = &node->clock,
                           .random = &node->random,
                           .arm = env_arm,
                           .on_change = env_on_change,
                           .on_fatal = env_on_fatal,
                           .arg = node};
    struct raft_node_config config = {.election_timeout_ms = ELECTION_MS,
                                      .heartbeat_ms = HEARTBEAT_MS};
    struct raft_entry_rec *entries = boot_entries(disk);
    struct raft_boot boot = {.id = node->id,
                             .cluster = cluster_id,
                             .term = disk->term,
                             .voted_for = disk->voted_for,
                             .has_snapshot = disk->has_snapshot,
                             .snapshot_index = disk->snapshot_index,
                             .snapshot_term = disk->snapshot_term,
                             .configuration_index = disk->configuration_index,
                             .configuration = buf_span(&disk->configuration),
                             .snapshot = buf_span(&disk->snapshot),
                             .entries = entries,
                             .entry_count = disk->entry_count};
    struct error err = {0};
    (void)snprintf(config.name, sizeof(config.name), "%s", node->name);
    (void)snprintf(config.address, sizeof(config.address), "%s:2380", node->name);
    /* Small ones, so that compaction and installation happen all the time; by the seed. */
    config.snapshot_threshold = 20 + (unsigned)(node->world->options.seed % 5) * 60;
    config.snapshot_trailing = config.snapshot_threshold / 2;
    node->commit_seen = 0;
    sim_trace(node->world, "%s starts: term %llu, snapshot %llu, %zu entries", node->name,
              (unsigned long long)disk->term, (unsigned long long)disk->snapshot_index,
              disk->entry_count);
    if (raft_node_start(&config, &env, &boot, &node->raft, &err) != 0) {
        node->raft = NULL;
        sim_fail(node->world, "a member starts on what it stored", "%s: %s", node->name, err.text);
    }
    mem_free(entries);
    if (node->raft != NULL) {
        sim_agent_started(node);
    }
}

void sim_member_crash(struct sim_node *node)
{
    struct sim_disk *disk = &node->disk;
    if (node->raft == NULL) {
        return;
    }
    size_t durable = (size_t)sim_below(node->world, disk->queue_count + 1);
    if (node->world->options.mutation.amnesia) {
        durable = 0;
    }
    sim_trace(node->world, "%s crashes, %zu of %zu jobs are durable", node->name, durable,
              disk->queue_count);
    LIST_EACH(item, &disk->queue)
    {
        if (durable-- == 0) {
            break;
        }
        disk_apply(node, &LIST_OWNER(item, struct sim_job, link)->job);
    }
    if (node->world->options.mutation.amnesia) {
        disk_drop_from(disk, disk->entry_count > 8 ? disk->entries[disk->entry_count - 4].index
                                                   : UINT64_MAX);
    }
    node->incarnation++;
    sim_agent_crashed(node);
    raft_node_stop(node->raft);
    node->raft = NULL;
    while (!list_empty(&disk->queue)) {
        struct sim_job *job = LIST_OWNER(list_first(&disk->queue), struct sim_job, link);
        list_remove(&job->link);
        job->done(job->arg);
        mem_free(job);
    }
    disk->queue_count = 0;
    disk->syncing = false;
    sim_node_held_drop(node);
    node->incarnation++; /* also what was asked for while everything was torn down */
}

void sim_member_free(struct sim_node *node)
{
    struct sim_disk *disk = &node->disk;
    sim_member_crash(node);
    disk_drop_from(disk, 0);
    mem_free(disk->entries);
    buf_free(&disk->configuration);
    buf_free(&disk->snapshot);
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
