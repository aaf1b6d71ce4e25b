/* One raft_step and everything it asks for, in the only order that is safe:
 *
 *   1. new entries into the log cache; what they replace is clipped off every unfinished write
 *   2. one storage job with term/vote, entries and snapshot of this update together, into the FIFO
 *   3. messages are encoded at once, but one leaves only when the newest term or vote that it may
 *      depend on is durable: it hangs on the newest unfinished job that has one
 *   4. what follows from a change of role
 *
 * Jobs complete in order, so a crash leaves a prefix of them: term, vote, truncation and entries of
 * one update are one transaction. */
#include "raft/engine/node_impl.h"

#include "base/assert.h"
#include "base/mem.h"

#include <string.h>

_Static_assert(RAFT_VERSION_NUMBER == 2201,
               "only libraft 0.22.1 is supported: other releases own memory differently");
_Static_assert(sizeof(struct raft_event) == 80,
               "libraft 0.22.0 has the same soname and another layout");

/* --- snapshots -------------------------------------------------------------------------------- */

struct node_snapshot *node_snapshot_new(uint64_t index, uint64_t term, uint64_t configuration_index)
{
    struct node_snapshot *snapshot = mem_new(struct node_snapshot);
    snapshot->refs = 1;
    snapshot->index = index;
    snapshot->term = term;
    snapshot->configuration_index = configuration_index;
    return snapshot;
}

void node_snapshot_unref(struct node_snapshot *snapshot)
{
    if (snapshot != NULL && --snapshot->refs == 0) {
        buf_free(&snapshot->configuration_bytes);
        buf_free(&snapshot->data);
        store_free(snapshot->store);
        mem_free(snapshot);
    }
}

/* --- jobs ------------------------------------------------------------------------------------- */

struct node_job *node_job_new(struct raft_node *node)
{
    struct node_job *job = mem_new(struct node_job);
    job->node = node;
    list_init(&job->link);
    list_init(&job->frames);
    return job;
}

static void job_free(struct node_job *job)
{
    for (size_t i = 0; i < job->storage.entry_count; i++) {
        log_entry_unref(job->entries[i]);
    }
    LIST_EACH(item, &job->frames)
    {
        list_remove(item);
        node_frame_free(LIST_OWNER(item, struct node_frame, link));
    }
    mem_free(job->entries);
    mem_free(job->records);
    node_snapshot_unref(job->snapshot);
    mem_free(job);
}

static void job_remove(struct raft_node *node, struct node_job *job)
{
    list_remove(&job->link);
    node->job_count--;
    node->jobs_bytes -= job->entries_bytes;
}

static void job_entries_done(struct raft_node *node, const struct node_job *job)
{
    if (job->last_index == 0) {
        return; /* truncated or replaced by a snapshot meanwhile */
    }
    struct raft_event event = {.type = RAFT_PERSISTED_ENTRIES};
    event.persisted_entries.index = job->last_index;
    node_step_must(node, &event, false, "persisted entries");
}

static void job_done(void *arg)
{
    struct node_job *job = arg;
    struct raft_node *node = job->node;
    if (node == NULL || node->dead) {
        if (node != NULL) {
            job_remove(node, job);
        }
        job_free(job);
        return;
    }
    node_enter(node);
    ASSERT(list_first(&node->jobs) == &job->link); /* the storage keeps the order */
    job_remove(node, job);
    LIST_EACH(item, &job->frames)
    {
        struct node_frame *frame = LIST_OWNER(item, struct node_frame, link);
        node_frame_send(node, frame->to, buf_span(&frame->bytes));
    }
    if (job->storage.has_entries) {
        job_entries_done(node, job);
    }
    if (job->snapshot_kind == NODE_JOB_TAKEN) {
        node_snapshot_taken(node, job);
    } else if (job->snapshot_kind == NODE_JOB_INSTALLED) {
        node_snapshot_installed(node, job);
    }
    job_free(job);
    node->pump_wanted = node->pump_wanted || node->submit_count > 0;
    node_leave(node);
}

void node_job_submit(struct raft_node *node, struct node_job *job)
{
    list_append(&node->jobs, &job->link);
    node->job_count++;
    node->jobs_bytes += job->entries_bytes;
    job->submitted_ms = node->now_ms;
    node->env.storage->submit(node->env.storage_arg, &job->storage, job_done, job);
}

bool node_jobs_full(const struct raft_node *node)
{
    return node->job_count >= NODE_JOBS_MAX || node->jobs_bytes >= NODE_JOBS_BYTES_MAX;
}

void node_jobs_orphan(struct raft_node *node)
{
    LIST_EACH(item, &node->jobs)
    {
        list_remove(item);
        LIST_OWNER(item, struct node_job, link)->node = NULL;
    }
}

/* The clip rule: what is dropped from the log must not be reported as persisted by a write that
 * began earlier. */
static void clip_pending_writes(struct raft_node *node, uint64_t from)
{
    LIST_EACH(item, &node->jobs)
    {
        struct node_job *job = LIST_OWNER(item, struct node_job, link);
        if (job->last_index >= from) {
            job->last_index = from - 1;
        }
        if (job->storage.has_entries && job->last_index < job->storage.entries[0].index) {
            job->last_index = 0;
        }
    }
}

/* --- update -> log cache and job -------------------------------------------------------------- */

static void free_batches(const struct raft_update *update)
{
    void *freed = NULL;
    for (unsigned i = 0; i < update->entries.n; i++) {
        if (update->entries.batch[i].batch != freed) {
            freed = update->entries.batch[i].batch;
            raft_free(freed);
        }
    }
}

/* `batches_are_ours`: a SUBMIT of ours; the engine only lends them back. */
static void take_entries(struct raft_node *node, const struct raft_update *update,
                         bool batches_are_ours, struct node_job *job)
{
    uint64_t first = update->entries.index;
    size_t count = update->entries.n;
    ASSERT(first > 0 && count > 0);
    ASSERT(first > node->applied_index); /* nothing applied is ever replaced */
    uint64_t last_before = log_cache_last(&node->cache);
    if (first <= last_before) {
        clip_pending_writes(node, first);
        log_cache_truncate(&node->cache, first);
        job->storage.truncate_from = first;
    }
    job->entries = mem_new_array(struct log_entry *, count);
    job->records = mem_new_array(struct raft_entry_rec, count);
    for (size_t i = 0; i < count; i++) {
        const struct raft_entry *from = &update->entries.batch[i];
        struct log_entry *entry = log_entry_new(first + i, from->term, (uint16_t)from->type,
                                                span_of(from->buf.base, from->buf.len));
        log_cache_append_take(&node->cache, entry);
        job->entries[i] = log_entry_ref(entry);
        job->entries_bytes += entry->len;
        job->records[i] = (struct raft_entry_rec){
            .index = entry->index,
            .term = entry->term,
            .type = entry->type,
            .data = span_of(entry->data, entry->len),
        };
    }
    job->storage.has_entries = true;
    job->storage.entries = job->records;
    job->storage.entry_count = count;
    job->last_index = first + count - 1;
    if (!batches_are_ours) {
        free_batches(update);
    }
}

/* The engine has accepted a leader's snapshot: it replaces the whole log. Nothing is applied until
 * it is stored. */
static void take_snapshot(struct raft_node *node, struct raft_update *update, struct node_job *job)
{
    struct raft_snapshot_metadata *metadata = &update->snapshot.metadata;
    ASSERT(update->snapshot.offset == 0 && update->snapshot.last);
    struct node_snapshot *snapshot =
        node_snapshot_new(metadata->index, metadata->term, metadata->configuration_index);
    for (unsigned i = 0; i < metadata->configuration.n; i++) {
        const struct raft_server *server = &metadata->configuration.servers[i];
        int rc = configuration_append(&snapshot->configuration, server->id,
                                      server->role == RAFT_VOTER, NULL);
        ASSERT(rc == 0);
    }
    configuration_encode(&snapshot->configuration, &snapshot->configuration_bytes);
    buf_put(&snapshot->data, update->snapshot.chunk.base, update->snapshot.chunk.len);
    raft_free(update->snapshot.chunk.base);
    raft_configuration_close(&metadata->configuration);
    ASSERT(node->received != NULL && store_applied(node->received) == snapshot->index);
    snapshot->store = node->received;
    node->received = NULL;

    clip_pending_writes(node, 1);
    log_cache_reset(&node->cache, snapshot->index + 1);
    node->guards.installing = true;
    node->guards.snapshot_index = snapshot->index;
    node->guards.snapshot_term = snapshot->term;
    job->snapshot = snapshot;
    job->snapshot_kind = NODE_JOB_INSTALLED;
    job->storage.has_snapshot = true;
    job->storage.snapshot_installed = true;
    job->storage.snapshot_index = snapshot->index;
    job->storage.snapshot_term = snapshot->term;
    job->storage.configuration_index = snapshot->configuration_index;
    job->storage.configuration = buf_span(&snapshot->configuration_bytes);
    job->storage.snapshot = buf_span(&snapshot->data);
}

static void store_update(struct raft_node *node, const struct raft_event *event,
                         struct raft_update *update)
{
    unsigned flags = update->flags;
    bool has_vote =
        (flags & (RAFT_UPDATE_CURRENT_TERM)) != 0 || (flags & (RAFT_UPDATE_VOTED_FOR)) != 0;
    bool has_entries = (flags & (RAFT_UPDATE_ENTRIES)) != 0;
    bool has_snapshot = (flags & (RAFT_UPDATE_SNAPSHOT)) != 0;
    if (!has_vote && !has_entries && !has_snapshot) {
        return;
    }
    struct node_job *job = node_job_new(node);
    if (has_vote) {
        job->storage.has_vote = true;
        job->storage.term = raft_current_term(&node->raft);
        job->storage.voted_for = raft_voted_for(&node->raft);
    }
    if (has_entries) {
        take_entries(node, update, event->type == RAFT_SUBMIT, job);
    }
    if (has_snapshot) {
        take_snapshot(node, update, job);
    }
    node_job_submit(node, job);
}

/* --- the step --------------------------------------------------------------------------------- */

bool node_is_leader(const struct raft_node *node)
{
    return raft_state((struct raft *)&node->raft) == RAFT_LEADER;
}

uint64_t node_leader(const struct raft_node *node)
{
    raft_id id = 0;
    const char *address = NULL;
    raft_leader((struct raft *)&node->raft, &id, &address);
    return id;
}

uint64_t node_term_of(const struct raft_node *node, uint64_t index)
{
    const struct log_entry *entry = log_cache_get(&node->cache, index);
    if (entry != NULL) {
        return entry->term;
    }
    if (index != 0 && index == node->guards.snapshot_index) {
        return node->guards.snapshot_term;
    }
    return 0;
}

/* Mirrors the configuration that the engine acts on: the last CHANGE of the log, committed or not.
 */
static void mirror_configuration(struct raft_node *node)
{
    const struct raft_configuration *engine = &node->raft.configuration;
    ASSERT(engine->n <= CONFIGURATION_SERVERS_MAX);
    node->guards.newest.count = engine->n;
    for (unsigned i = 0; i < engine->n; i++) {
        node->guards.newest.servers[i] = (struct configuration_server){
            .id = engine->servers[i].id,
            .voter = engine->servers[i].role == RAFT_VOTER,
        };
    }
    node->guards.change_open = node->raft.configuration_uncommitted_index != 0;
}

/* Reads and changes need a committed entry of the leader's term. The engine adds one only if its
 * log was not all committed when it was elected. */
void node_want_own_term(struct raft_node *node)
{
    if (node_term_of(node, log_cache_last(&node->cache)) != raft_current_term(&node->raft)) {
        node->barrier_wanted = true;
        node->pump_wanted = true;
    }
}

static void role_changed(struct raft_node *node)
{
    unsigned state = (unsigned)raft_state(&node->raft);
    uint64_t term = raft_current_term(&node->raft);
    uint64_t leader = node_leader(node);
    if (state == node->seen_state && term == node->seen_term && leader == node->seen_leader) {
        return;
    }
    bool was_leader = node->seen_state == RAFT_LEADER;
    bool goes_on = was_leader && state == RAFT_LEADER &&
                   term == node->seen_term; /* a transfer began or failed */
    node->seen_state = state;
    node->seen_term = term;
    node->seen_leader = leader;
    node->followed = leader != 0 && leader != node->id ? leader : node->followed;
    node->changed = true;
    if (was_leader && !goes_on) {
        node_submits_drop(node);
        node_change_lost(node, ERR_UNKNOWN);
    }
    if (state == RAFT_LEADER && !goes_on) {
        node->led_since_ms = node->now_ms;
        memset(node->told, 0, sizeof(node->told));
        node_want_own_term(node);
    }
    node_reads_lost(node);
    node_proposals_resend(node);
}

int node_step(struct raft_node *node, struct raft_event *event, bool stale_message)
{
    struct raft_update update;
    struct guard_vote vote = {0};
    memset(&update, 0, sizeof(update));
    ASSERT(node->guards.now_ms <= (uint64_t)node->now_ms);
    node->guards.now_ms = (uint64_t)node->now_ms;
    event->time =
        (raft_time)node->now_ms; /* G13: the only place where time enters, and it never falls */
    if (event->type == RAFT_RECEIVE) {
        guard_vote_begin(&node->guards, &node->raft, event->receive.message, &vote);
    }
    int rv = raft_step(&node->raft, event, &update);
    guard_vote_end(&node->raft, &vote);
    if (rv != 0) {
        return rv;
    }
    store_update(node, event, &update);
    if ((update.flags & (RAFT_UPDATE_MESSAGES)) != 0 || update.messages.n > 0) {
        for (unsigned i = 0; i < update.messages.n; i++) {
            node_send_update(node, stale_message, &update.messages.batch[i]);
        }
    }
    if (raft_commit_index(&node->raft) > node->commit_index) {
        node->commit_index = raft_commit_index(&node->raft);
        node->pump_wanted =
            node->pump_wanted || node->reads.request_count > 0 || node->submit_count > 0;
    }
    mirror_configuration(node);
    role_changed(node);
    node->pump_wanted = node->pump_wanted || (node_is_leader(node) &&
                                              (node->retire.open || node_commit_is_untold(node)));
    return 0;
}

void node_step_must(struct raft_node *node, struct raft_event *event, bool stale_message,
                    const char *what)
{
    int rv = node_step(node, event, stale_message);
    if (rv != 0) {
        struct buf text = BUF_INIT;
        buf_printf(&text, "consensus engine: %s: %s (%s)", what, raft_strerror(rv),
                   raft_errmsg(&node->raft));
        node_fatal(node, ERR_BUG, buf_str(&text));
        buf_free(&text);
    }
}
