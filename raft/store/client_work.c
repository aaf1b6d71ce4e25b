/* How much of the store a transaction looks at. Nothing in it is refused for that when it is
 * applied, because every member has to come to the same end; who proposes it may. */
#include "raft/store/kv.h"
#include "raft/store/store_internal.h"
#include "raft/store_client.h"

static size_t keys_in(const struct kv_map *map, struct span key, struct span range_end)
{
    size_t at = 0;
    size_t end = 0;
    kv_map_range(map, key, range_end, &at, &end);
    return end - at + 1;
}

/* In parts of a microsecond a key: to sort it costs many times what it costs to find it. */
static size_t times_looked_at(const struct store_range *range)
{
    enum { SORTED = 16 };
    bool in_key_order = range->target == STORE_SORT_KEY && range->order != STORE_SORT_DESCEND;
    return in_key_order || range->count_only ? 1 : SORTED;
}

static size_t work_of_op(const struct store *store, const struct store_client_op *op)
{
    if (op->type == STORE_CLIENT_PUT) {
        return 1;
    }
    if (op->type == STORE_CLIENT_NESTED) {
        return store_client_txn_work(store, op->txn);
    }
    const struct store_range *range = &op->range;
    bool past = range->revision > 0 && range->revision < store->revision;
    size_t keys = keys_in(&store->kvs, range->key, range->range_end) +
                  (past ? keys_in(&store->graves, range->key, range->range_end) : 0);
    return keys * times_looked_at(range);
}

static size_t work_of_ops(const struct store *store, const struct store_client_op *ops,
                          size_t count)
{
    size_t work = 0;
    for (size_t i = 0; i < count; i++) {
        work += work_of_op(store, &ops[i]);
    }
    return work;
}

size_t store_client_txn_work(const struct store *store, const struct store_client_txn *txn)
{
    size_t work = 0;
    for (size_t i = 0; i < txn->compare_count; i++) {
        work += keys_in(&store->kvs, txn->compares[i].key, txn->compares[i].range_end);
    }
    size_t success = work_of_ops(store, txn->success, txn->success_count);
    size_t failure = work_of_ops(store, txn->failure, txn->failure_count);
    return work + (success > failure ? success : failure);
}
