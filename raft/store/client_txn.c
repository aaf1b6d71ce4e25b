/* Transactions with etcd's rules. Four passes over the branches that are chosen:
 *
 *   decide   all compares, nested ones too, on the state before
 *   check    who may touch it; leases and keys that puts rely on; revisions that ranges name; room
 *   run      in order; cannot fail
 *
 * Nothing is changed before the checks have passed, and they see the state before: a key is written
 * once (client_check.c), but for a put in one nested transaction and a delete in a later one. */
#include "base/assert.h"
#include "base/mem.h"
#include "raft/store/change.h"
#include "raft/store/mvcc.h"
#include "raft/store/output.h"
#include "raft/store/range.h"
#include "raft/store/store_internal.h"

struct run {
    struct store *store;
    struct span actor;
    bool decided[STORE_CLIENT_OPS_MAX + 1]; /* of each transaction that runs, parents first */
    size_t next;
    bool changed;
    struct change_need need;
};

struct branch {
    const struct store_client_op *ops;
    size_t count;
};

static struct branch branch_of(const struct store_client_txn *txn, bool holds)
{
    return (struct branch){.ops = holds ? txn->success : txn->failure,
                           .count = holds ? txn->success_count : txn->failure_count};
}

/* --- decide ----------------------------------------------------------------------------------- */

static void decide(struct run *run, const struct store_client_txn *txn)
{
    bool holds = true;
    for (size_t i = 0; i < txn->compare_count && holds; i++) {
        holds = store_compare_holds(run->store, &txn->compares[i]);
    }
    ASSERT(run->next <= STORE_CLIENT_OPS_MAX);
    run->decided[run->next++] = holds;
    struct branch branch = branch_of(txn, holds);
    for (size_t i = 0; i < branch.count; i++) {
        if (branch.ops[i].type == STORE_CLIENT_NESTED) {
            decide(run, branch.ops[i].txn);
        }
    }
}

/* --- check ------------------------------------------------------------------------------------ */

static bool may_delete(const struct run *run, const struct store_range *range)
{
    const struct kv_map *kvs = &run->store->kvs;
    size_t at = 0;
    size_t end = 0;
    kv_map_range(kvs, range->key, range->range_end, &at, &end);
    for (; at < end; at++) {
        if (!change_allows(run->store, run->actor, kvs->records[at])) {
            return false;
        }
    }
    return true;
}

static bool may_put(const struct run *run, const struct store_client_op *op)
{
    const struct lease *lease = lease_map_find(&run->store->leases, op->lease);
    return change_allows(run->store, run->actor, mvcc_find(run->store, op->range.key, false)) &&
           (lease == NULL || lease_allows(lease, run->actor));
}

static enum store_reason check_rights(struct run *run, const struct store_client_op *op)
{
    bool may = op->type == STORE_CLIENT_PUT      ? may_put(run, op)
               : op->type == STORE_CLIENT_DELETE ? may_delete(run, &op->range)
                                                 : true;
    return may ? STORE_NO_REASON : STORE_HOLDERS;
}

static enum store_reason check_put(struct run *run, const struct store_client_op *op)
{
    if (op->type != STORE_CLIENT_PUT) {
        return STORE_NO_REASON;
    }
    const struct kv_record *old = mvcc_find(run->store, op->range.key, false);
    if ((op->ignore_value || op->ignore_lease) && old == NULL) {
        return STORE_KEY_NOT_FOUND;
    }
    if (op->lease != 0 && lease_map_find(&run->store->leases, op->lease) == NULL) {
        return STORE_LEASE_NOT_FOUND;
    }
    run->need.keys++;
    run->need.bytes += op->range.key.len;
    run->need.bytes += op->ignore_value ? old->value_len : op->value.len;
    return STORE_NO_REASON;
}

static enum store_reason check_range(struct run *run, const struct store_client_op *op)
{
    return op->type == STORE_CLIENT_RANGE ? range_reason(run->store, op->range.revision)
                                          : STORE_NO_REASON;
}

static enum store_reason check(struct run *run, const struct store_client_txn *txn,
                               enum store_reason (*check_op)(struct run *run,
                                                             const struct store_client_op *op))
{
    struct branch branch = branch_of(txn, run->decided[run->next++]);
    enum store_reason reason = STORE_NO_REASON;
    for (size_t i = 0; i < branch.count && reason == STORE_NO_REASON; i++) {
        const struct store_client_op *op = &branch.ops[i];
        reason =
            op->type == STORE_CLIENT_NESTED ? check(run, op->txn, check_op) : check_op(run, op);
    }
    return reason;
}

static enum store_reason check_all(struct run *run, const struct store_client_txn *txn)
{
    static enum store_reason (*const checks[])(struct run *, const struct store_client_op *) = {
        check_rights, check_put, check_range};
    enum store_reason reason = STORE_NO_REASON;
    for (size_t i = 0; i < sizeof checks / sizeof checks[0] && reason == STORE_NO_REASON; i++) {
        run->next = 0;
        reason = check(run, txn, checks[i]);
    }
    if (reason == STORE_NO_REASON && !change_fits(run->store, &run->need)) {
        reason = STORE_FULL;
    }
    return reason;
}

static int code_of(enum store_reason reason)
{
    switch (reason) {
    case STORE_NO_REASON: return 0;
    case STORE_FUTURE: return ERR_INVALID;
    case STORE_HOLDERS: return ERR_REFUSED;
    case STORE_FULL: return ERR_LIMIT;
    default: return ERR_NOT_FOUND;
    }
}

/* --- run -------------------------------------------------------------------------------------- */

static int64_t present(const struct run *run)
{
    return run->store->revision + (run->changed ? 1 : 0);
}

static void run_range(struct run *run, const struct store_client_op *op,
                      struct store_op_output *output)
{
    struct store_range_result result;
    if (output == NULL) {
        return; /* nobody here asked */
    }
    range_read(run->store, &op->range, present(run), &result);
    output->kvs = result.kvs;
    output->count = result.count;
    output->more = result.more;
}

static void run_put(struct run *run, const struct store_client_op *op,
                    struct store_op_output *output)
{
    struct kv_record *old = mvcc_find(run->store, op->range.key, false);
    struct mvcc_put put = {.key = op->range.key,
                           .value = op->value,
                           .lease = op->lease,
                           .revision = run->store->revision + 1};
    ASSERT(old != NULL || (!op->ignore_value && !op->ignore_lease)); /* checked, written once */
    if (op->ignore_value) {
        put.value = kv_record_value(old);
    }
    if (op->ignore_lease) {
        put.lease = old->lease;
    }
    if (output != NULL && op->prev_kv && old != NULL) {
        kvs_add(&output->kvs, old);
    }
    (void)mvcc_put(run->store, &put);
    run->changed = true;
}

static void run_delete(struct run *run, const struct store_client_op *op,
                       struct store_op_output *output)
{
    size_t first = 0;
    size_t end = 0;
    kv_map_range(&run->store->kvs, op->range.key, op->range.range_end, &first, &end);
    struct kv_record **records = mvcc_collect(&run->store->kvs, first, end);
    for (size_t i = 0; output != NULL && op->prev_kv && i < end - first; i++) {
        kvs_add(&output->kvs, records[i]);
    }
    mvcc_delete(run->store, records, end - first, run->store->revision + 1, STORE_ACTION_NONE);
    mem_free(records);
    run->changed = run->changed || end > first;
    if (output != NULL) {
        output->count = (int64_t)(end - first);
    }
}

/* `output` may be NULL. */
static void run_txn(struct run *run, const struct store_client_txn *txn,
                    struct store_op_output *output)
{
    bool holds = run->decided[run->next++];
    struct branch branch = branch_of(txn, holds);
    if (output != NULL) {
        output->succeeded = holds;
        output->op_count = branch.count;
        output->ops = mem_new_array(struct store_op_output, branch.count);
    }
    for (size_t i = 0; i < branch.count; i++) {
        const struct store_client_op *op = &branch.ops[i];
        struct store_op_output *of_op = output == NULL ? NULL : &output->ops[i];
        switch (op->type) {
        case STORE_CLIENT_RANGE: run_range(run, op, of_op); break;
        case STORE_CLIENT_PUT: run_put(run, op, of_op); break;
        case STORE_CLIENT_DELETE: run_delete(run, op, of_op); break;
        case STORE_CLIENT_NESTED: run_txn(run, op->txn, of_op); break;
        }
        if (of_op != NULL) {
            of_op->type = op->type;
            of_op->revision = op->type == STORE_CLIENT_NESTED ? 0 : present(run);
        }
    }
}

static void evaluate(struct run *run, const struct store_client_txn *txn,
                     struct store_result *ret_result, struct store_output *output)
{
    decide(run, txn);
    ret_result->succeeded = run->decided[0];
    ret_result->reason = check_all(run, txn);
    ret_result->code = code_of(ret_result->reason);
    if (ret_result->code != 0) {
        return;
    }
    run->next = 0;
    run_txn(run, txn, output == NULL ? NULL : &output->txn);
}

void store_client_txn_apply(struct store *store, const struct store_command *command,
                            struct store_result *ret_result, struct store_output *output)
{
    struct run run = {.store = store,
                      .actor = command->actor,
                      .need.of_client = change_is_of_client(store, command->actor)};
    evaluate(&run, command->client_txn, ret_result, output);
    if (run.changed) {
        store->revision++;
    }
}

void store_client_read(const struct store *store, const struct store_client_txn *txn,
                       struct store_result *ret_result, struct store_output *output)
{
    struct run run = {.store = (struct store *)store}; /* nothing below writes */
    ASSERT(store_client_txn_reads(txn) && store_client_txn_reason(txn) == STORE_NO_REASON);
    *ret_result = (struct store_result){.revision = store->revision, .output = output};
    evaluate(&run, txn, ret_result, output);
}
