/* The disk of one member: what is queued becomes durable together at the next sync and is answered
 * in order. A crash makes a random prefix of the queue durable and answers none of it.
 *
 * It can be slow, or stand for a while; full (nothing is written, the same jobs are tried again
 * each second, as storage_sqlite.c does); failing (the sync ends with an I/O error, and the process
 * with it); and what it holds can be damaged or emptied while the member is down. */
#include "sim.h"

#include "base/assert.h"
#include "base/mem.h"

#include <string.h>

enum { FULL_RETRY_MS = 1000, STALL_LOOK_MS = 20, FAILED_DOWN_MS = 3000, AMNESIA_ENTRIES = 4 };

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

void sim_disk_append(struct sim_node *node, const struct raft_entry_rec *entry)
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
        /* The mutation: the vote of a term is not there any more after a crash. */
        disk->voted_for = node->world->options.mutation.forget_vote ? 0 : job->voted_for;
    }
    if (job->has_snapshot) {
        disk_store_snapshot(disk, job);
    }
    if (job->has_entries) {
        if (job->truncate_from != 0) {
            disk_drop_from(disk, job->truncate_from);
        }
        for (size_t i = 0; i < job->entry_count; i++) {
            sim_disk_append(node, &job->entries[i]);
        }
    }
}

static void disk_sync(struct sim_node *node);

/* True: the sync ended otherwise. */
static bool disk_broken(struct sim_node *node, uint64_t count, sim_fn again)
{
    struct sim_disk *disk = &node->disk;
    if (disk->failing) {
        disk->failing = false;
        sim_trace(node->world, "%s: an I/O error ends the process", node->name);
        sim_member_crash(node);
        sim_faults_restart(node, 20 + (int64_t)sim_below(node->world, FAILED_DOWN_MS));
        return true;
    }
    if (node->world->now < disk->stalled_until_ms) {
        sim_node_at(node, STALL_LOOK_MS, again, node, count, 0);
        return true;
    }
    if (disk->full) {
        if (!disk->full_told) {
            disk->full_told = true;
            raft_node_storage_full(node->raft, true);
        }
        sim_node_at(node, FULL_RETRY_MS, again, node, count, 0);
        return true;
    }
    return false;
}

/* The sync that began with `count` jobs in the queue has ended. */
static void disk_synced(void *arg, uint64_t count, uint64_t b)
{
    struct sim_node *node = arg;
    uint64_t incarnation = node->incarnation;
    (void)b;
    struct list done;
    if (disk_broken(node, count, disk_synced)) {
        return;
    }
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
    if (node->disk.full_told) {
        node->disk.full_told = false;
        raft_node_storage_full(node->raft, false);
    }
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

const struct raft_storage_ops sim_disk_ops = {.submit = disk_submit};

/* --- ends ------------------------------------------------------------------------------------- */

void sim_disk_crash(struct sim_node *node)
{
    struct sim_disk *disk = &node->disk;
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
    if (node->world->options.mutation.amnesia && disk->entry_count > AMNESIA_ENTRIES) {
        /* Not below the snapshot: that would be damage, and noticed. */
        uint64_t index = disk->entries[disk->entry_count - AMNESIA_ENTRIES].index;
        disk_drop_from(disk, index > disk->snapshot_index ? index : disk->snapshot_index + 1);
    }
}

void sim_disk_give_back(struct sim_disk *disk)
{
    while (!list_empty(&disk->queue)) {
        struct sim_job *job = LIST_OWNER(list_first(&disk->queue), struct sim_job, link);
        list_remove(&job->link);
        job->done(job->arg);
        mem_free(job);
    }
    disk->queue_count = 0;
    disk->syncing = false;
    disk->full_told = false;
}

bool sim_disk_is_blank(const struct sim_disk *disk)
{
    return disk->term == 0 && disk->entry_count == 0 && !disk->has_snapshot;
}

void sim_disk_empty(struct sim_disk *disk)
{
    ASSERT(disk->queue_count == 0);
    disk_drop_from(disk, 0);
    mem_free(disk->entries);
    buf_free(&disk->configuration);
    buf_free(&disk->snapshot);
    *disk = (struct sim_disk){0};
    list_init(&disk->queue);
}
