/* The life of a node, and what every entry point ends with. See node_impl.h for the order of
 * things. */
#include "raft/engine/node_impl.h"

#include "base/assert.h"
#include "base/mem.h"
#include "raft/store_client.h"

#include <stdio.h>

/* --- allocator: the out-of-memory paths of the engine are barely tested, so there are none ---- */

static void *heap_malloc(void *data, size_t size)
{
    (void)data;
    return mem_alloc(size);
}

static void heap_free(void *data, void *ptr)
{
    (void)data;
    mem_free(ptr);
}

static void *heap_calloc(void *data, size_t count, size_t size)
{
    (void)data;
    return mem_alloc_array(count, size);
}

static void *heap_realloc(void *data, void *ptr, size_t size)
{
    (void)data;
    return mem_resize(ptr, size);
}

/* Of the library's own file backend only, which is not used. */
static void *heap_aligned_alloc(void *data, size_t alignment, size_t size)
{
    (void)data;
    ASSERT(alignment == 0 && size == 0);
    return NULL;
}

static void heap_aligned_free(void *data, size_t alignment, void *ptr)
{
    (void)data;
    (void)alignment;
    ASSERT(ptr == NULL);
}

static struct raft_heap heap = {
    .data = NULL,
    .malloc = heap_malloc,
    .free = heap_free,
    .calloc = heap_calloc,
    .realloc = heap_realloc,
    .aligned_alloc = heap_aligned_alloc,
    .aligned_free = heap_aligned_free,
};

/* --- entry points ----------------------------------------------------------------------------- */

static void read_clock(struct raft_node *node)
{
    int64_t now = clock_mono_ms(node->env.clock);
    if (now > node->now_ms) {
        node->now_ms = now;
    }
}

void node_enter(struct raft_node *node)
{
    ASSERT(!node->running);
    node->running = true;
    read_clock(node);
}

void node_fatal(struct raft_node *node, int code, const char *text)
{
    struct error err;
    if (node->dead) {
        return;
    }
    node->dead = true;
    (void)error_set(&err, code, "%s", text);
    node->env.on_fatal(node->env.arg, &err);
}

void node_call_later(struct raft_node *node, raft_done done, void *arg, int rc,
                     const struct store_result *result)
{
    struct node_call *call = mem_new(struct node_call);
    call->done = done;
    call->arg = arg;
    call->rc = rc;
    if (result != NULL) {
        call->has_result = true;
        call->result = *result;
        if (result->output != NULL) {
            (void)store_output_ref(result->output);
        }
    }
    list_append(&node->calls, &call->link);
}

static void call_fire_take(struct node_call *call)
{
    call->done(call->arg, call->rc, call->has_result ? &call->result : NULL);
    store_output_unref(call->result.output);
    mem_free(call);
}

static void node_free(struct raft_node *node);

/* Calls back until nothing is due. What is called may call the node again, even raft_node_stop. */
static bool fire_calls(struct raft_node *node)
{
    node->firing = true;
    while (!list_empty(&node->calls) && !node->stop_asked && !node->dead) {
        struct node_call *call = LIST_OWNER(list_first(&node->calls), struct node_call, link);
        list_remove(&call->link);
        call_fire_take(call);
    }
    if (node->changed && !node->stop_asked && !node->dead) {
        node->changed = false;
        node->env.on_change(node->env.arg);
    }
    node->firing = false;
    if (node->stop_asked) {
        node_free(node);
        return false;
    }
    return true;
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* On a full disk only a leader's clock runs, so that it finds itself alone and gives up. Anybody
 * else could not store the term that it would campaign in: it would ask in higher and higher terms,
 * and depose whoever leads when there is space again. */
static int64_t engine_due_ms(const struct raft_node *node)
{
    int64_t due = (int64_t)raft_timeout(&node->raft);
    if (node_is_leader(node)) {
        return due;
    }
    if (node->storage_full) {
        return INT64_MAX;
    }
    return due > node->listen_until_ms ? due : node->listen_until_ms;
}

static void rearm(struct raft_node *node)
{
    int64_t engine = engine_due_ms(node) - node->now_ms;
    int64_t delay = engine < GUARD_REARM_MS_MIN ? GUARD_REARM_MS_MIN : engine;
    delay = earlier(delay, node_proposals_delay(node));
    delay = earlier(delay, node_reads_delay(node));
    delay = earlier(delay, node_leases_delay(node));
    delay = earlier(delay, node_retire_delay(node));
    bool change_waits = node->change.open && !node->change.submitted;
    if (change_waits || (node->barrier_wanted && node_is_leader(node))) {
        delay = earlier(delay, node->pump_look_ms - node->now_ms);
    }
    if (!list_empty(&node->calls) || node->changed || node->pump_wanted) {
        delay = 0;
    }
    node->env.arm(node->env.arg, delay < 0 ? 0 : delay);
}

/* Settles and rearms; callbacks stay due for the tick. */
static void node_settle(struct raft_node *node)
{
    if (!node->dead) {
        node_apply(node);
        node_retire_settle(node);
    }
    node->running = false;
}

void node_leave(struct raft_node *node)
{
    node_settle(node);
    if (node->firing) {
        /* Called from inside a callback: who fires goes on with what became due. */
        return;
    }
    if (fire_calls(node) && !node->dead) {
        rearm(node);
    }
}

void node_kick(struct raft_node *node)
{
    node->pump_wanted = true;
    if (!node->running && !node->firing && !node->dead) {
        node->env.arm(node->env.arg, 0);
    }
}

/* G4: a follower that is the only voter elects itself on the timeout; first its term has to rise.
 */
static void engine_timeout(struct raft_node *node)
{
    struct raft_message message;
    if (guard_single_voter_timeout(&node->guards, &node->raft, &message)) {
        struct raft_event raise = {.type = RAFT_RECEIVE};
        raise.receive.message = &message;
        node_step_must(node, &raise, false, "raising the term of a single voter");
        if (node->dead) {
            return;
        }
        /* A refused vote restarts no election timer: the TIMEOUT still finds it due. */
    }
    guard_pre_vote_again(&node->guards, &node->raft);
    struct raft_event event = {.type = RAFT_TIMEOUT};
    node_step_must(node, &event, false, "timeout");
}

static void look_for_suspension(struct raft_node *node)
{
    int64_t suspended = clock_suspended_ms(node->env.clock);
    if (suspended > node->suspended_ms + NODE_SUSPENDED_SLACK_MS) {
        node_leases_restart(node);
    }
    if (suspended > node->suspended_ms) {
        node->suspended_ms = suspended;
    }
}

void raft_node_tick(struct raft_node *node)
{
    if (node->dead) {
        return;
    }
    node_enter(node);
    node->pump_wanted = false;
    node->pump_look_ms = node->now_ms + node->config.heartbeat_ms;
    look_for_suspension(node);
    if (node->now_ms >= engine_due_ms(node)) {
        engine_timeout(node);
    }
    if (!node->dead) {
        node_leases_pump(node);
        node_change_pump(node);
        node_proposals_pump(node);
        node_retire_pump(node);
        node_reads_pump(node);
        node_stall_pump(node);
    }
    node_leave(node);
}

void raft_node_storage_full(struct raft_node *node, bool full)
{
    if (node->storage_full && !full) {
        int64_t timeout = node->config.election_timeout_ms;
        int64_t apart = (int64_t)(random_next(node->env.random) % (uint64_t)timeout);
        node->listen_until_ms = clock_mono_ms(node->env.clock) + timeout + apart;
    }
    node->storage_full = full;
    node->changed = true; /* who leads, as far as we know */
    node_kick(node);
}

/* --- start and stop --------------------------------------------------------------------------- */

static int check_boot(const struct raft_boot *boot, struct error *err)
{
    uint64_t expected = boot->entry_count > 0 ? boot->entries[0].index : 0;
    uint64_t snapshot_index = boot->has_snapshot ? boot->snapshot_index : 0;
    struct configuration configuration;
    if (boot->id == 0 || boot->id == GUARD_PHANTOM_ID) {
        return error_set(err, ERR_CORRUPT, "the directory has no member id");
    }
    if (boot->term == 0 && (boot->voted_for != 0 || boot->has_snapshot || boot->entry_count > 0)) {
        return error_set(err, ERR_CORRUPT, "the directory has a log but no term");
    }
    if (boot->entry_count > 0 && (expected == 0 || expected > snapshot_index + 1)) {
        return error_set(err, ERR_CORRUPT, "the log begins at %llu after a snapshot of %llu",
                         (unsigned long long)expected, (unsigned long long)snapshot_index);
    }
    for (size_t i = 0; i < boot->entry_count; i++) {
        const struct raft_entry_rec *entry = &boot->entries[i];
        bool first = entry->index == 1;
        if (entry->index != expected + i || entry->term == 0 || entry->term > boot->term ||
            (first && entry->type != RAFT_CHANGE)) {
            return error_set(err, ERR_CORRUPT, "entry %llu of the log does not fit",
                             (unsigned long long)entry->index);
        }
        if (entry->type == RAFT_CHANGE &&
            configuration_decode(entry->data, &configuration, err) != 0) {
            return ERR_CORRUPT;
        }
    }
    if (boot->has_snapshot && boot->entry_count > 0 &&
        boot->entries[boot->entry_count - 1].index < boot->snapshot_index) {
        return error_set(err, ERR_CORRUPT, "the log ends before the snapshot");
    }
    return 0;
}

static int load_snapshot(struct raft_node *node, const struct raft_boot *boot, struct error *err)
{
    if (!boot->has_snapshot) {
        return 0;
    }
    struct node_snapshot *snapshot =
        node_snapshot_new(boot->snapshot_index, boot->snapshot_term, boot->configuration_index);
    buf_put_span(&snapshot->configuration_bytes, boot->configuration);
    buf_put_span(&snapshot->data, boot->snapshot);
    int rc = configuration_decode(boot->configuration, &snapshot->configuration, err);
    if (rc == 0) {
        rc = node_snapshot_decode(boot->snapshot, boot->snapshot_index, &snapshot->store, err);
    }
    if (rc == 0) {
        node_snapshot_install(node, snapshot);
    }
    node_snapshot_unref(snapshot);
    return rc;
}

static void load_entries(struct raft_node *node, const struct raft_boot *boot)
{
    uint64_t first = boot->entry_count > 0 ? boot->entries[0].index : node->applied_index + 1;
    node->guards.newest = node->configuration;
    log_cache_init(&node->cache, first);
    for (size_t i = 0; i < boot->entry_count; i++) {
        const struct raft_entry_rec *entry = &boot->entries[i];
        log_cache_append_take(&node->cache,
                              log_entry_new(entry->index, entry->term, entry->type, entry->data));
        if (entry->type == RAFT_CHANGE && entry->index > node->configuration_index) {
            int rc = configuration_decode(entry->data, &node->guards.newest, NULL);
            ASSERT(rc == 0); /* check_boot has read it */
        }
    }
}

/* Entries and batches of a START are the caller's; one batch for all of them, because the engine
 * wants it set. */
static void step_start(struct raft_node *node, const struct raft_boot *boot, uint64_t term,
                       uint64_t voted_for)
{
    struct raft_snapshot_metadata metadata;
    struct raft_event event = {.type = RAFT_START};
    event.start.term = term;
    event.start.voted_for = voted_for;
    event.start.start_index = node->cache.first;
    if (boot->has_snapshot) {
        metadata.index = boot->snapshot_index;
        metadata.term = boot->snapshot_term;
        metadata.configuration_index = boot->configuration_index;
        configuration_to_raft(&node->snapshot->configuration, &metadata.configuration);
        event.start.metadata = &metadata;
    }
    struct raft_entry *entries = mem_new_array(struct raft_entry, boot->entry_count + 1);
    uint8_t batch = 0;
    for (size_t i = 0; i < boot->entry_count; i++) {
        struct log_entry *entry = log_cache_get(&node->cache, node->cache.first + i);
        entries[i].term = entry->term;
        entries[i].type = (enum raft_entry_type)entry->type;
        entries[i].buf.base = entry->data;
        entries[i].buf.len = entry->len;
        entries[i].batch = &batch;
    }
    event.start.entries = entries;
    event.start.n_entries = (unsigned)boot->entry_count;
    node_step_must(node, &event, false, "start");
    mem_free(entries);
}

static void start_engine(struct raft_node *node, const struct raft_boot *boot)
{
    uint64_t term = boot->term;
    uint64_t voted_for = boot->voted_for;
    if (guard_single_voter_boot(&node->guards, node->id, &term, &voted_for)) {
        /* First in the FIFO: nothing leaves before it is durable. */
        struct node_job *job = node_job_new(node);
        job->storage.has_vote = true;
        job->storage.term = term;
        job->storage.voted_for = voted_for;
        node_job_submit(node, job);
    }
    step_start(node, boot, term, voted_for);
}

static void init_engine(struct raft_node *node)
{
    const struct raft_node_config *config = &node->config;
    char label[CONFIGURATION_LABEL_BYTES];
    raft_heap_set(&heap);
    (void)snprintf(label, sizeof(label), "%llx", (unsigned long long)node->id);
    int rv = raft_init(&node->raft, NULL, NULL, node->id, label);
    ASSERT(rv == 0);
    node->raft.tracer = NULL; /* whatever LIBRAFT_TRACE in the environment says */
    raft_seed(&node->raft, (unsigned)random_next(node->env.random));
    raft_set_election_timeout(&node->raft, (unsigned)config->election_timeout_ms);
    raft_set_heartbeat_timeout(&node->raft, (unsigned)config->heartbeat_ms);
    raft_set_install_snapshot_timeout(&node->raft, 5 * (unsigned)config->election_timeout_ms);
    raft_set_pre_vote(&node->raft, true);
    raft_set_max_inflight_entries(&node->raft, NODE_INFLIGHT_ENTRIES);
}

static struct raft_node *node_alloc(const struct raft_node_config *config,
                                    const struct raft_env *env, const struct raft_boot *boot)
{
    struct raft_node *node = mem_new(struct raft_node);
    node->config = *config;
    node->env = *env;
    node->id = boot->id;
    node->cluster = boot->cluster;
    if (node->config.snapshot_threshold == 0) {
        node->config.snapshot_threshold = NODE_SNAPSHOT_THRESHOLD;
        node->config.snapshot_threshold_max = NODE_SNAPSHOT_THRESHOLD_MAX;
    }
    if (node->config.snapshot_threshold_max < node->config.snapshot_threshold) {
        node->config.snapshot_threshold_max = node->config.snapshot_threshold;
    }
    if (node->config.snapshot_trailing == 0) {
        node->config.snapshot_trailing = NODE_SNAPSHOT_TRAILING;
    }
    list_init(&node->jobs);
    for (size_t i = 0; i < NODE_SUBMIT_CLASSES; i++) {
        list_init(&node->submits[i].list);
    }
    list_init(&node->calls);
    node_reads_init(node);
    node->store = store_new();
    do {
        node->client = random_next(env->random);
    } while (node->client == 0);
    node->sequence_next = 1;
    node->sequence_floor = 1;
    log_cache_init(&node->cache, 1);
    read_clock(node);
    node->started_ms = node->now_ms;
    node->suspended_ms = clock_suspended_ms(env->clock);
    node->member_look_ms = node->now_ms;
    node->seen_state = RAFT_FOLLOWER;
    return node;
}

int raft_node_start(const struct raft_node_config *config, const struct raft_env *env,
                    const struct raft_boot *boot, struct raft_node **ret_node, struct error *err)
{
    return node_start_without(0, config, env, boot, ret_node, err);
}

int node_start_without(unsigned guards_off, const struct raft_node_config *config,
                       const struct raft_env *env, const struct raft_boot *boot,
                       struct raft_node **ret_node, struct error *err)
{
    ASSERT(config->election_timeout_ms > 0 && config->heartbeat_ms > 0);
    int rc = check_boot(boot, err);
    if (rc != 0) {
        return rc;
    }
    struct raft_node *node = node_alloc(config, env, boot);
    node->guards.off = guards_off;
    init_engine(node);
    rc = load_snapshot(node, boot, err);
    if (rc != 0) {
        node_free(node);
        return rc;
    }
    load_entries(node, boot);
    node->running = true;
    start_engine(node, boot);
    if (!node->dead) {
        node_settle(node);
    }
    if (node->dead) {
        node_free(node);
        return error_set(err, ERR_CORRUPT, "the consensus engine refused what the directory holds");
    }
    node_leases_restart(node);
    rearm(node);
    *ret_node = node;
    return 0;
}

static void node_free(struct raft_node *node)
{
    node->dead = true;
    node_proposals_cancel(node);
    node_reads_cancel(node);
    node_change_lost(node, ERR_CANCELED);
    node_retire_cancel(node);
    node_submits_drop(node);
    node->firing = true;
    while (!list_empty(&node->calls)) {
        struct node_call *call = LIST_OWNER(list_first(&node->calls), struct node_call, link);
        list_remove(&call->link);
        call_fire_take(call);
    }
    node_jobs_orphan(node);
    raft_close(&node->raft, NULL);
    log_cache_free(&node->cache);
    node_snapshot_unref(node->snapshot);
    store_free(node->store);
    mem_free(node);
}

void raft_node_stop(struct raft_node *node)
{
    if (node == NULL) {
        return;
    }
    if (node->firing || node->running) {
        node->stop_asked = true; /* whoever runs it frees it */
        return;
    }
    node_free(node);
}
