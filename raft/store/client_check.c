/* What etcd refuses in a transaction without looking at any state: empty keys, lists that are too
 * long, and keys that are written twice. The last after etcd's checkIntervals: deletes of one list
 * may overlap each other, puts may overlap neither puts nor deletes; what nested transactions write
 * counts for the list above, where the two branches of one may write the same key; a nested put is
 * looked at before the deletes of later nested transactions are known. */
#include "base/mem.h"
#include "raft/store_client.h"

#include <string.h>

/* --- shape ------------------------------------------------------------------------------------ */

struct shape {
    size_t compares;
    size_t ops;
    int depth;
};

static enum store_reason shape_of_txn(const struct store_client_txn *txn, size_t len_max,
                                      struct shape *shape);

static enum store_reason shape_of_op(const struct store_client_op *op, size_t len_max,
                                     struct shape *shape)
{
    if (op->type == STORE_CLIENT_NESTED) {
        return shape_of_txn(op->txn, len_max, shape);
    }
    if (op->range.key.len == 0) {
        return STORE_KEY_MISSING;
    }
    if (op->type == STORE_CLIENT_PUT && op->ignore_value && op->value.len > 0) {
        return STORE_VALUE_PROVIDED;
    }
    if (op->type == STORE_CLIENT_PUT && op->ignore_lease && op->lease != 0) {
        return STORE_LEASE_PROVIDED;
    }
    return STORE_NO_REASON;
}

static enum store_reason shape_of_ops(const struct store_client_op *ops, size_t count,
                                      size_t len_max, struct shape *shape)
{
    enum store_reason reason = STORE_NO_REASON;
    for (size_t i = 0; i < count && reason == STORE_NO_REASON; i++) {
        reason = shape_of_op(&ops[i], len_max, shape);
    }
    return reason;
}

static size_t longest(const struct store_client_txn *txn)
{
    size_t len = txn->compare_count;
    len = txn->success_count > len ? txn->success_count : len;
    return txn->failure_count > len ? txn->failure_count : len;
}

/* `len_max`: what the lists above leave of STORE_TXN_ITEMS_MAX. */
static enum store_reason shape_of_txn(const struct store_client_txn *txn, size_t len_max,
                                      struct shape *shape)
{
    size_t len = longest(txn);
    shape->compares += txn->compare_count;
    shape->ops += txn->success_count + txn->failure_count;
    if (len > len_max || shape->compares > STORE_CLIENT_OPS_MAX ||
        shape->ops > STORE_CLIENT_OPS_MAX || shape->depth == STORE_CLIENT_DEPTH_MAX) {
        return STORE_TOO_MANY_OPS;
    }
    for (size_t i = 0; i < txn->compare_count; i++) {
        if (txn->compares[i].key.len == 0) {
            return STORE_KEY_MISSING;
        }
    }
    shape->depth++;
    enum store_reason reason = shape_of_ops(txn->success, txn->success_count, len_max - len, shape);
    if (reason == STORE_NO_REASON) {
        reason = shape_of_ops(txn->failure, txn->failure_count, len_max - len, shape);
    }
    shape->depth--;
    return reason;
}

/* --- written twice ---------------------------------------------------------------------------- */

struct written {
    struct span *puts; /* ascending */
    size_t put_count;
    const struct store_range **deletes;
    size_t delete_count;
};

static void written_close(struct written *written)
{
    mem_free(written->puts);
    mem_free(written->deletes);
}

static size_t put_seek(const struct written *written, struct span key)
{
    size_t low = 0;
    size_t high = written->put_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (span_compare(written->puts[middle], key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static bool has_put(const struct written *written, struct span key)
{
    size_t at = put_seek(written, key);
    return at < written->put_count && span_equal(written->puts[at], key);
}

static bool has_delete(const struct written *written, struct span key)
{
    for (size_t i = 0; i < written->delete_count; i++) {
        const struct store_range *range = written->deletes[i];
        if (store_range_has(range->key, range->range_end, key)) {
            return true;
        }
    }
    return false;
}

static void add_put(struct written *written, struct span key)
{
    size_t at = put_seek(written, key);
    written->puts = mem_resize(written->puts, (written->put_count + 1) * sizeof(*written->puts));
    memmove(written->puts + at + 1, written->puts + at,
            (written->put_count - at) * sizeof(*written->puts));
    written->puts[at] = key;
    written->put_count++;
}

static void add_delete(struct written *written, const struct store_range *range)
{
    size_t bytes = (written->delete_count + 1) * sizeof(const struct store_range *);
    written->deletes = mem_resize(written->deletes, bytes);
    written->deletes[written->delete_count++] = range;
}

/* Puts of a nested branch; those of `other`, the branch beside it, may be the same. */
static bool add_nested_puts(struct written *written, const struct written *nested,
                            const struct written *other)
{
    for (size_t i = 0; i < nested->put_count; i++) {
        struct span key = nested->puts[i];
        bool again = has_put(written, key);
        if (has_delete(written, key) || (again && (other == NULL || !has_put(other, key)))) {
            return false;
        }
        if (!again) {
            add_put(written, key);
        }
    }
    return true;
}

static void add_nested_deletes(struct written *written, const struct written *nested)
{
    for (size_t i = 0; i < nested->delete_count; i++) {
        add_delete(written, nested->deletes[i]);
    }
}

static bool collect(const struct store_client_op *ops, size_t count, struct written *written);

static bool collect_nested(const struct store_client_txn *txn, struct written *written)
{
    struct written success = {0};
    struct written failure = {0};
    bool fine = collect(txn->success, txn->success_count, &success) &&
                collect(txn->failure, txn->failure_count, &failure) &&
                add_nested_puts(written, &success, NULL) &&
                add_nested_puts(written, &failure, &success);
    if (fine) {
        add_nested_deletes(written, &success);
        add_nested_deletes(written, &failure);
    }
    written_close(&success);
    written_close(&failure);
    return fine;
}

/* False: a key is written twice. */
static bool collect(const struct store_client_op *ops, size_t count, struct written *written)
{
    bool fine = true;
    for (size_t i = 0; i < count; i++) {
        if (ops[i].type == STORE_CLIENT_DELETE) {
            add_delete(written, &ops[i].range);
        }
    }
    for (size_t i = 0; i < count && fine; i++) {
        if (ops[i].type == STORE_CLIENT_NESTED) {
            fine = collect_nested(ops[i].txn, written);
        }
    }
    for (size_t i = 0; i < count && fine; i++) {
        if (ops[i].type == STORE_CLIENT_PUT) {
            fine = !has_put(written, ops[i].range.key) && !has_delete(written, ops[i].range.key);
            add_put(written, ops[i].range.key);
        }
    }
    return fine;
}

static bool writes_twice(const struct store_client_op *ops, size_t count)
{
    struct written written = {0};
    bool fine = collect(ops, count, &written);
    written_close(&written);
    return !fine;
}

/* --- both ------------------------------------------------------------------------------------- */

enum store_reason store_client_txn_reason(const struct store_client_txn *txn)
{
    struct shape shape = {0};
    enum store_reason reason = shape_of_txn(txn, STORE_TXN_ITEMS_MAX, &shape);
    if (reason != STORE_NO_REASON) {
        return reason;
    }
    bool twice = writes_twice(txn->success, txn->success_count) ||
                 writes_twice(txn->failure, txn->failure_count);
    return twice ? STORE_DUPLICATE_KEY : STORE_NO_REASON;
}

static bool ops_read(const struct store_client_op *ops, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        bool reads = ops[i].type == STORE_CLIENT_RANGE ||
                     (ops[i].type == STORE_CLIENT_NESTED && store_client_txn_reads(ops[i].txn));
        if (!reads) {
            return false;
        }
    }
    return true;
}

bool store_client_txn_reads(const struct store_client_txn *txn)
{
    return ops_read(txn->success, txn->success_count) && ops_read(txn->failure, txn->failure_count);
}
