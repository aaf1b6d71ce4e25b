/* Transactions: compare, choose a branch, check all of it, then change.
 *
 * A branch is applied whole or not at all. So `branch_check` looks at every operation against the
 * state before the branch, plus the leases that earlier operations of it grant or end, and nothing
 * is changed before it has passed; `branch_run` cannot fail.
 *
 * The rule of holder leases needs no more than the state before: a key that hangs on one is touched
 * only by the lease's owner, and all operations of a branch have one actor. If an earlier operation
 * took the key off that lease, the actor was its owner and passes again; if one put it on a lease
 * granted here, the actor owns that. */
#include "base/assert.h"
#include "base/mem.h"
#include "raft/store/store_internal.h"

#include <stdlib.h>

/* --- compares --------------------------------------------------------------------------------- */

static bool relation_holds(enum store_compare_relation relation, int order)
{
    switch (relation) {
    case STORE_EQUAL: return order == 0;
    case STORE_NOT_EQUAL: return order != 0;
    case STORE_LESS: return order < 0;
    case STORE_GREATER: return order > 0;
    }
    ASSERT(false);
    return false;
}

static int order_of(int64_t a, int64_t b)
{
    return a < b ? -1 : a > b ? 1 : 0;
}

/* An absent key has revisions, version and lease 0; as in etcd its value compares with nothing. */
static bool compare_holds(const struct store *store, const struct store_compare *compare)
{
    const struct kv_record *record = kv_map_find(&store->kvs, compare->key);
    int order = 0;
    switch (compare->target) {
    case STORE_CMP_CREATE:
        order = order_of(record == NULL ? 0 : record->create_revision, compare->number);
        break;
    case STORE_CMP_MOD:
        order = order_of(record == NULL ? 0 : record->mod_revision, compare->number);
        break;
    case STORE_CMP_VERSION:
        order = order_of(record == NULL ? 0 : record->version, compare->number);
        break;
    case STORE_CMP_LEASE:
        order = order_of(record == NULL ? 0 : (int64_t)record->lease, compare->number);
        break;
    case STORE_CMP_VALUE:
        if (record == NULL) {
            return false;
        }
        order = span_compare(kv_record_value(record), compare->bytes);
        break;
    }
    return relation_holds(compare->relation, order);
}

/* --- check ------------------------------------------------------------------------------------ */

struct branch {
    struct store *store;
    struct span actor;
    const struct store_op *ops;
    size_t count;
};

/* Is the lease there when operation `at` runs? `ret_lease` is NULL for one that this branch grants.
 */
static bool lease_is_there(const struct branch *branch, size_t at, uint64_t id,
                           const struct lease **ret_lease)
{
    *ret_lease = NULL;
    for (size_t i = at; i > 0; i--) {
        const struct store_op *op = &branch->ops[i - 1];
        if (op->lease == id && op->type == STORE_OP_LEASE_GRANT) {
            return true;
        }
        if (op->lease == id && op->type == STORE_OP_LEASE_END) {
            return false;
        }
    }
    *ret_lease = lease_map_find(&branch->store->leases, id);
    return *ret_lease != NULL;
}

static bool actor_may_touch(const struct branch *branch, const struct kv_record *record)
{
    if (record == NULL || record->lease == 0) {
        return true;
    }
    const struct lease *lease = lease_map_find(&branch->store->leases, record->lease);
    ASSERT(lease != NULL);
    return lease_allows(lease, branch->actor);
}

static int check_put(const struct branch *branch, size_t at)
{
    const struct store_op *op = &branch->ops[at];
    if (!actor_may_touch(branch, kv_map_find(&branch->store->kvs, op->key))) {
        return ERR_REFUSED;
    }
    if (op->lease == 0) {
        return 0;
    }
    const struct lease *lease = NULL;
    if (!lease_is_there(branch, at, op->lease, &lease)) {
        return ERR_NOT_FOUND;
    }
    return lease == NULL || lease_allows(lease, branch->actor) ? 0 : ERR_REFUSED;
}

static int check_delete_prefix(const struct branch *branch, struct span prefix)
{
    const struct kv_map *kvs = &branch->store->kvs;
    for (size_t i = kv_map_seek(kvs, prefix); i < kvs->count; i++) {
        if (!span_starts_with(kv_record_key(kvs->records[i]), prefix)) {
            break;
        }
        if (!actor_may_touch(branch, kvs->records[i])) {
            return ERR_REFUSED;
        }
    }
    return 0;
}

static int check_op(const struct branch *branch, size_t at)
{
    const struct store_op *op = &branch->ops[at];
    const struct lease *lease = NULL;
    switch (op->type) {
    case STORE_OP_PUT: return check_put(branch, at);
    case STORE_OP_DELETE:
        return actor_may_touch(branch, kv_map_find(&branch->store->kvs, op->key)) ? 0 : ERR_REFUSED;
    case STORE_OP_DELETE_PREFIX: return check_delete_prefix(branch, op->key);
    case STORE_OP_LEASE_GRANT:
        return lease_is_there(branch, at, op->lease, &lease) ? ERR_EXISTS : 0;
    case STORE_OP_LEASE_END:
        if (!lease_is_there(branch, at, op->lease, &lease)) {
            return ERR_NOT_FOUND;
        }
        return lease == NULL || lease_allows(lease, branch->actor) ? 0 : ERR_REFUSED;
    }
    ASSERT(false);
    return ERR_BUG;
}

/* Limits are counted as if nothing were replaced or deleted: simple, and the same on every member.
 */
static int check_limits(const struct branch *branch)
{
    size_t keys = branch->store->kvs.count;
    size_t bytes = branch->store->kvs.bytes;
    size_t leases = branch->store->leases.count;
    bool adds = false;
    for (size_t i = 0; i < branch->count; i++) {
        const struct store_op *op = &branch->ops[i];
        if (op->type == STORE_OP_PUT) {
            keys++;
            bytes += op->key.len + op->value.len;
            adds = true;
        } else if (op->type == STORE_OP_LEASE_GRANT) {
            leases++;
            adds = true;
        }
    }
    /* A branch that only deletes is how one gets below the limits again. */
    bool over = keys > STORE_KEYS_MAX || bytes > STORE_BYTES_MAX || leases > STORE_LEASES_MAX;
    return adds && over ? ERR_LIMIT : 0;
}

static int branch_check(const struct branch *branch)
{
    int rc = check_limits(branch);
    for (size_t i = 0; i < branch->count && rc == 0; i++) {
        rc = check_op(branch, i);
    }
    return rc;
}

/* --- run -------------------------------------------------------------------------------------- */

static void run_put(struct store *store, const struct store_op *op, int64_t revision)
{
    struct kv_record *old = kv_map_find(&store->kvs, op->key);
    struct kv_record *record = kv_record_new(op->key, op->value);
    record->create_revision = old == NULL ? revision : old->create_revision;
    record->mod_revision = revision;
    record->version = old == NULL ? 1 : old->version + 1;
    record->lease = op->lease;
    if (old != NULL) {
        list_remove(&old->in_lease);
    }
    if (op->lease != 0) {
        struct lease *lease = lease_map_find(&store->leases, op->lease);
        ASSERT(lease != NULL);
        list_append(&lease->keys, &record->in_lease);
    }
    kv_map_set_take(&store->kvs, record);
    watch_history_add(&store->history, STORE_EVENT_PUT, record);
}

static void run_delete(struct store *store, struct kv_record *record, int64_t revision)
{
    struct kv_record *tombstone = kv_record_new(kv_record_key(record), span_of(NULL, 0));
    tombstone->mod_revision = revision;
    watch_history_add(&store->history, STORE_EVENT_DELETE, tombstone);
    list_remove(&record->in_lease);
    kv_map_remove(&store->kvs, kv_record_key(tombstone));
    kv_record_unref(tombstone);
}

static size_t run_delete_prefix(struct store *store, struct span prefix, int64_t revision)
{
    size_t deleted = 0;
    size_t at = kv_map_seek(&store->kvs, prefix);
    while (at < store->kvs.count &&
           span_starts_with(kv_record_key(store->kvs.records[at]), prefix)) {
        run_delete(store, store->kvs.records[at], revision);
        deleted++;
    }
    return deleted;
}

static int record_order(const void *a, const void *b)
{
    const struct kv_record *const *first = a;
    const struct kv_record *const *second = b;
    return span_compare(kv_record_key(*first), kv_record_key(*second));
}

/* In key order: the order of attaching is not in the snapshot, and events must be alike on every
 * member. */
static size_t run_lease_end(struct store *store, struct lease *lease, int64_t revision)
{
    size_t count = 0;
    LIST_EACH(item, &lease->keys)
    {
        count++;
    }
    struct kv_record **records = mem_new_array(struct kv_record *, count);
    size_t filled = 0;
    LIST_EACH(item, &lease->keys)
    {
        records[filled++] = LIST_OWNER(item, struct kv_record, in_lease);
    }
    qsort(records, count, sizeof(struct kv_record *), record_order);
    for (size_t i = 0; i < count; i++) {
        run_delete(store, records[i], revision);
    }
    mem_free(records);
    lease_map_remove(&store->leases, lease);
    return count;
}

void store_lease_end(struct store *store, struct lease *lease)
{
    if (run_lease_end(store, lease, store->revision + 1) > 0) {
        store->revision++;
    }
    watch_history_trim(&store->history);
}

/* Returns how many keys it changed. */
static size_t run_op(const struct branch *branch, const struct store_op *op, int64_t revision)
{
    struct store *store = branch->store;
    switch (op->type) {
    case STORE_OP_PUT: run_put(store, op, revision); return 1;
    case STORE_OP_DELETE: {
        struct kv_record *record = kv_map_find(&store->kvs, op->key);
        if (record == NULL) {
            return 0;
        }
        run_delete(store, record, revision);
        return 1;
    }
    case STORE_OP_DELETE_PREFIX: return run_delete_prefix(store, op->key, revision);
    case STORE_OP_LEASE_GRANT: {
        struct lease *lease = lease_map_add(&store->leases, op->lease, branch->actor);
        lease->ttl_ms = op->ttl_ms;
        lease->stamp = op->stamp;
        lease->flags = op->flags;
        return 0;
    }
    case STORE_OP_LEASE_END: {
        struct lease *lease = lease_map_find(&store->leases, op->lease);
        ASSERT(lease != NULL);
        return run_lease_end(store, lease, revision);
    }
    }
    ASSERT(false);
    return 0;
}

void store_txn_apply(struct store *store, const struct store_command *command,
                     struct store_result *ret_result)
{
    bool holds = true;
    for (size_t i = 0; i < command->compare_count && holds; i++) {
        holds = compare_holds(store, &command->compares[i]);
    }
    struct branch branch = {.store = store,
                            .actor = command->actor,
                            .ops = holds ? command->success : command->failure,
                            .count = holds ? command->success_count : command->failure_count};
    ret_result->succeeded = holds;
    if (!holds && branch.count == 0) {
        ret_result->code = ERR_CONFLICT;
        return;
    }
    ret_result->code = branch_check(&branch);
    if (ret_result->code != 0) {
        return;
    }
    size_t changed = 0;
    for (size_t i = 0; i < branch.count; i++) {
        changed += run_op(&branch, &branch.ops[i], store->revision + 1);
    }
    if (changed > 0) {
        store->revision++;
    }
    watch_history_trim(&store->history);
}
