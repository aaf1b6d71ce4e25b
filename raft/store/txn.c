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
#include "raft/store/change.h"
#include "raft/store/mvcc.h"
#include "raft/store/store_internal.h"

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
static bool compare_record(const struct kv_record *record, const struct store_compare *compare)
{
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

bool store_compare_holds(const struct store *store, const struct store_compare *compare)
{
    size_t at = 0;
    size_t end = 0;
    kv_map_range(&store->kvs, compare->key, compare->range_end, &at, &end);
    if (at == end) {
        return compare_record(NULL, compare);
    }
    for (; at < end; at++) {
        if (!compare_record(store->kvs.records[at], compare)) {
            return false;
        }
    }
    return true;
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
    return change_allows(branch->store, branch->actor, record);
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

static int check_limits(const struct branch *branch)
{
    struct change_need need = {0};
    for (size_t i = 0; i < branch->count; i++) {
        const struct store_op *op = &branch->ops[i];
        if (op->type == STORE_OP_PUT) {
            need.keys++;
            need.bytes += op->key.len + op->value.len;
        } else if (op->type == STORE_OP_LEASE_GRANT) {
            need.leases++;
        }
    }
    return change_fits(branch->store, &need) ? 0 : ERR_LIMIT;
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
    (void)mvcc_put(
        store, &(struct mvcc_put){
                   .key = op->key, .value = op->value, .lease = op->lease, .revision = revision});
}

static size_t run_delete_prefix(struct store *store, struct span prefix, int64_t revision)
{
    size_t first = kv_map_seek(&store->kvs, prefix);
    size_t end = first;
    while (end < store->kvs.count &&
           span_starts_with(kv_record_key(store->kvs.records[end]), prefix)) {
        end++;
    }
    struct kv_record **records = mvcc_collect(&store->kvs, first, end);
    mvcc_delete(store, records, end - first, revision, STORE_ACTION_NONE);
    mem_free(records);
    return end - first;
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
        mvcc_delete(store, &record, 1, revision, STORE_ACTION_NONE);
        return 1;
    }
    case STORE_OP_DELETE_PREFIX: return run_delete_prefix(store, op->key, revision);
    case STORE_OP_LEASE_GRANT: {
        struct lease *lease =
            lease_map_add(&store->leases, op->lease, lease_first_number(store), branch->actor);
        lease->ttl_ms = op->ttl_ms;
        lease->stamp = op->stamp;
        lease->flags = op->flags;
        return 0;
    }
    case STORE_OP_LEASE_END: {
        struct lease *lease = lease_map_find(&store->leases, op->lease);
        ASSERT(lease != NULL);
        return change_lease_end(store, lease, revision, STORE_ACTION_NONE);
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
        holds = store_compare_holds(store, &command->compares[i]);
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
}
