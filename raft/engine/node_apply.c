/* Committed entries into the store, in order, exactly once; and the store's snapshots, taken and
 * installed.
 *
 * A follower may apply an entry that its own disk does not have yet: it is committed, so others
 * have it. */
#include "raft/engine/node_impl.h"

#include "base/assert.h"
#include "raft/engine/log_command.h"
#include "raft/store_client.h"

#include <stdio.h>

static void apply_command(struct raft_node *node, const struct log_entry *entry)
{
    struct log_command command;
    struct store_result result = {0};
    struct store_output *output = NULL;
    if (log_command_decode(span_of(entry->data, entry->len), &command) != 0) {
        /* The same on every member: nobody of us made it. */
        store_skip(node->store, entry->index);
        return;
    }
    bool mine = command.client == node->client && node_proposal_waits(node, command.sequence);
    if (mine && store_command_has_output(command.command)) {
        output = store_output_new();
    }
    store_apply(node->store, entry->index, command.command, &result, output);
    if (mine) {
        node_proposal_applied(node, command.sequence, &result);
    }
    store_output_unref(output);
}

/* The engine learns that a CHANGE is committed only from us. */
static void apply_change(struct raft_node *node, const struct log_entry *entry)
{
    struct raft_event event = {.type = RAFT_CONFIGURATION};
    int rc = configuration_decode(span_of(entry->data, entry->len), &node->configuration, NULL);
    ASSERT(rc == 0); /* read before it got into the log */
    node->configuration_index = entry->index;
    store_skip(node->store, entry->index);
    node->changed = true;
    event.configuration.index = entry->index;
    configuration_to_raft(&node->configuration, &event.configuration.conf);
    node_step_must(node, &event, false, "configuration");
    node_change_applied(node, entry->index, entry->term);
}

static void apply_entry(struct raft_node *node, struct log_entry *entry)
{
    switch ((enum raft_entry_type)entry->type) {
    case RAFT_COMMAND: apply_command(node, entry); break;
    case RAFT_BARRIER: store_skip(node->store, entry->index); break;
    case RAFT_CHANGE: apply_change(node, entry); break;
    }
}

/* How many of the newest applied entries stay, for who is a little behind: as many as are told, if
 * they are small. */
static unsigned trailing_of(const struct raft_node *node)
{
    size_t bytes = 0;
    unsigned count = 0;
    while (count < node->config.snapshot_trailing) {
        const struct log_entry *entry = log_cache_get(&node->cache, node->applied_index - count);
        bytes += entry == NULL ? 0 : entry->len;
        if (entry == NULL || bytes > NODE_SNAPSHOT_LOG_BYTES / 2) {
            break;
        }
        count++;
    }
    return count == 0 ? 1 : count;
}

/* The copy is made here and now; storing it goes through the same FIFO as everything else. */
static void take_snapshot(struct raft_node *node)
{
    struct node_snapshot *snapshot =
        node_snapshot_new(node->applied_index, node->applied_term, node->configuration_index);
    snapshot->configuration = node->configuration;
    configuration_encode(&snapshot->configuration, &snapshot->configuration_bytes);
    store_snapshot(node->store, &snapshot->data);
    struct node_job *job = node_job_new(node);
    job->snapshot = snapshot;
    job->snapshot_kind = NODE_JOB_TAKEN;
    job->storage.has_snapshot = true;
    job->storage.snapshot_index = snapshot->index;
    job->storage.snapshot_term = snapshot->term;
    job->storage.configuration_index = snapshot->configuration_index;
    job->storage.configuration = buf_span(&snapshot->configuration_bytes);
    job->storage.snapshot = buf_span(&snapshot->data);
    job->trailing = trailing_of(node);
    if (snapshot->index > job->trailing) { /* the engine's own formula */
        job->storage.delete_until = snapshot->index - job->trailing;
    }
    node->taking = true;
    node->applied_bytes = 0;
    node_job_submit(node, job);
}

static void maybe_take_snapshot(struct raft_node *node)
{
    uint64_t since = node->snapshot == NULL ? 0 : node->snapshot->index;
    uint64_t grown = node->applied_index - since;
    if (node->taking || node->guards.installing || grown == 0) {
        return;
    }
    size_t last = node->snapshot == NULL ? 0 : node->snapshot->data.len;
    size_t enough = last > NODE_SNAPSHOT_LOG_BYTES / 2 ? last : NODE_SNAPSHOT_LOG_BYTES / 2;
    bool is_worth_it = node->applied_bytes / NODE_SNAPSHOT_WORTH >= last;
    if ((grown >= node->config.snapshot_threshold && is_worth_it) ||
        grown >= node->config.snapshot_threshold_max || node->applied_bytes >= enough) {
        take_snapshot(node);
    }
}

/* The others know what it does: without it this member's state would differ for ever. */
static bool stops_at(struct raft_node *node, const struct log_entry *entry)
{
    struct log_command command;
    char text[96];
    if (entry->type != RAFT_COMMAND ||
        log_command_decode(span_of(entry->data, entry->len), &command) != ERR_UNSUPPORTED) {
        return false;
    }
    (void)snprintf(text, sizeof text,
                   "entry %llu was written by a newer release: upgrade this member",
                   (unsigned long long)entry->index);
    node_fatal(node, ERR_UNSUPPORTED, text);
    return true;
}

void node_apply(struct raft_node *node)
{
    bool applied = false;
    while (!node->dead && !node->guards.installing && node->applied_index < node->commit_index) {
        struct log_entry *entry = log_cache_get(&node->cache, node->applied_index + 1);
        if (entry == NULL) {
            break; /* committed, and not here yet */
        }
        if (stops_at(node, entry)) {
            break;
        }
        (void)log_entry_ref(entry); /* a step below may trim the cache */
        node->applied_index = entry->index;
        node->applied_term = entry->term;
        node->applied_bytes += entry->len;
        apply_entry(node, entry);
        log_entry_unref(entry);
        applied = true;
    }
    if (!applied || node->dead) {
        return;
    }
    node->changed = true;
    node_leases_note(node);
    maybe_take_snapshot(node);
}

int node_snapshot_decode(struct span data, uint64_t index, struct store **ret_store,
                         struct error *err)
{
    struct store *store = store_new();
    int rc = store_restore(store, data, err);
    if (rc == ERR_UNSUPPORTED) {
        error_wrap(err, "of another release: upgrade this member");
    } else if (rc == 0 && store_applied(store) != index) {
        rc = error_set(err, ERR_CORRUPT, "it says entry %llu and holds entry %llu",
                       (unsigned long long)index, (unsigned long long)store_applied(store));
    }
    if (rc != 0) {
        error_wrap(err, "the snapshot of entry %llu", (unsigned long long)index);
        store_free(store);
        return rc;
    }
    *ret_store = store;
    return 0;
}

void node_snapshot_install(struct raft_node *node, struct node_snapshot *snapshot)
{
    ASSERT(snapshot->store != NULL);
    store_free(node->store);
    node->store = snapshot->store;
    snapshot->store = NULL;
    node_snapshot_unref(node->snapshot);
    node->snapshot = snapshot;
    snapshot->refs++;
    node->applied_index = snapshot->index;
    node->applied_term = snapshot->term;
    node->applied_bytes = 0;
    node->configuration = snapshot->configuration;
    node->configuration_index = snapshot->configuration_index;
    node->guards.snapshot_index = snapshot->index;
    node->guards.snapshot_term = snapshot->term;
    if (snapshot->index > node->commit_index) {
        node->commit_index = snapshot->index;
    }
}

static void fill_metadata(const struct node_snapshot *snapshot,
                          struct raft_snapshot_metadata *ret_metadata)
{
    ret_metadata->index = snapshot->index;
    ret_metadata->term = snapshot->term;
    ret_metadata->configuration_index = snapshot->configuration_index;
    configuration_to_raft(&snapshot->configuration, &ret_metadata->configuration);
}

void node_snapshot_taken(struct raft_node *node, struct node_job *job)
{
    struct node_snapshot *snapshot = job->snapshot;
    node->taking = false;
    /* An installation began meanwhile: the entry is not in the engine's log any more, and the
     * stored rows are about to be replaced. */
    if (node->guards.installing || snapshot->index <= node->guards.snapshot_index) {
        return;
    }
    struct raft_event event = {.type = RAFT_SNAPSHOT};
    fill_metadata(snapshot, &event.snapshot.metadata);
    event.snapshot.trailing = job->trailing;
    node->guards.snapshot_index = snapshot->index;
    node->guards.snapshot_term = snapshot->term;
    node_snapshot_unref(node->snapshot);
    node->snapshot = snapshot;
    snapshot->refs++;
    node_step_must(node, &event, false, "snapshot");
    log_cache_trim(&node->cache, job->storage.delete_until);
}

void node_snapshot_installed(struct raft_node *node, struct node_job *job)
{
    struct raft_event event = {.type = RAFT_PERSISTED_SNAPSHOT};
    ASSERT(node->guards.installing);
    node->guards.installing = false;
    node_snapshot_install(node, job->snapshot);
    node->changed = true;
    node_leases_restart(node);
    fill_metadata(job->snapshot, &event.persisted_snapshot.metadata);
    event.persisted_snapshot.offset = 0;
    event.persisted_snapshot.last = true;
    node_step_must(node, &event, false, "persisted snapshot");
}
