/* Bodies of the commands of format 2 that have more than a number (store_codec.c has the rest).
 *
 *   CLIENT_TXN   how many transactions, compares, operations in all (u16), then a transaction
 *   transaction  counts of compares, success, failure (u8), the compares, the operations
 *   compare      as in a TXN, then range_end bytes
 *   operation    type u8, then one of
 *     RANGE      key, range_end (bytes), revision, limit (u64), order, target, flags (u8),
 *                min_mod, max_mod, min_create, max_create (u64)
 *     PUT        key, value (bytes), lease u64, flags u8
 *     DELETE     key, range_end (bytes), flags u8
 *     NESTED     a transaction
 *   V2           type, flags (u8), path, value, prev_value (bytes), prev_index, ttl_ms, lease (u64)
 *
 * The numbers of items come first so that one piece of memory of the right size is made before
 * anything is read; they must be used up, so that a command has exactly one form. */
#include "raft/store/output.h"
#include "raft/store/store_internal.h"
#include "raft/store/v2_path.h"

#include <string.h>

enum { POST_NAME_BYTES = 21 }; /* '/' and 20 digits */
enum { RANGE_KEYS_ONLY = 1, RANGE_COUNT_ONLY = 2 };
enum { PUT_IGNORE_VALUE = 1, PUT_IGNORE_LEASE = 2, PUT_PREV_KV = 4 };
enum { DELETE_PREV_KV = 1 };
enum { V2_DIRECTORY = 1, V2_RECURSIVE = 2, V2_REFRESH = 4 };

_Static_assert(_Alignof(struct store_client_txn) == _Alignof(struct store_client_op) &&
                   _Alignof(struct store_client_txn) == _Alignof(struct store_compare),
               "the items stand one behind the other");

_Static_assert(STORE_CLIENT_OPS_MAX < UINT16_MAX, "the numbers of items are two bytes");

/* How many of each a command has, or how much of the memory is used. */
struct items {
    size_t txns;
    size_t compares;
    size_t ops;
};

static void count_items(const struct store_client_txn *txn, struct items *items)
{
    items->txns++;
    items->compares += txn->compare_count;
    items->ops += txn->success_count + txn->failure_count;
    for (size_t i = 0; i < txn->success_count + txn->failure_count; i++) {
        const struct store_client_op *op =
            i < txn->success_count ? &txn->success[i] : &txn->failure[i - txn->success_count];
        if (op->type == STORE_CLIENT_NESTED) {
            count_items(op->txn, items);
        }
    }
}

/* --- validation ------------------------------------------------------------------------------- */

static int validate_bytes(struct span bytes, size_t len_max, const char *what, struct error *err)
{
    if (bytes.len > len_max) {
        return error_set(err, ERR_LIMIT, "%s of %zu bytes, at most %zu", what, bytes.len, len_max);
    }
    return 0;
}

static int validate_op(const struct store_client_op *op, struct error *err)
{
    if (op->type < STORE_CLIENT_RANGE || op->type > STORE_CLIENT_NESTED) {
        return error_set(err, ERR_INVALID, "unknown operation %d", (int)op->type);
    }
    int rc = validate_bytes(op->range.key, STORE_KEY_BYTES_MAX, "key", err);
    rc = rc != 0 ? rc : validate_bytes(op->range.range_end, STORE_KEY_BYTES_MAX, "range end", err);
    rc = rc != 0 ? rc : validate_bytes(op->value, STORE_VALUE_BYTES_MAX, "value", err);
    if (rc == 0 && (op->range.order > STORE_SORT_DESCEND || op->range.target > STORE_SORT_VALUE)) {
        rc = error_set(err, ERR_INVALID, "unknown order %d %d", (int)op->range.order,
                       (int)op->range.target);
    }
    return rc;
}

/* After store_client_txn_reason, which has bounded the depth. */
static int validate_txn(const struct store_client_txn *txn, struct error *err)
{
    int rc = 0;
    for (size_t i = 0; i < txn->compare_count && rc == 0; i++) {
        rc = store_compare_validate(&txn->compares[i], err);
        rc = rc != 0 ? rc
                     : validate_bytes(txn->compares[i].range_end, STORE_KEY_BYTES_MAX, "range end",
                                      err);
    }
    for (size_t i = 0; i < txn->success_count + txn->failure_count && rc == 0; i++) {
        const struct store_client_op *op =
            i < txn->success_count ? &txn->success[i] : &txn->failure[i - txn->success_count];
        rc = op->type == STORE_CLIENT_NESTED ? validate_txn(op->txn, err) : validate_op(op, err);
    }
    return rc;
}

static int validate_client_txn(const struct store_client_txn *txn, struct error *err)
{
    enum store_reason reason = store_client_txn_reason(txn);
    if (reason != STORE_NO_REASON) {
        return error_set(err, reason == STORE_TOO_MANY_OPS ? ERR_LIMIT : ERR_INVALID,
                         "a transaction that etcd refuses, reason %d", (int)reason);
    }
    return validate_txn(txn, err);
}

static int validate_v2(const struct store_v2 *v2, struct error *err)
{
    if (v2->type < STORE_V2_SET || v2->type > STORE_V2_COMPARE_DELETE) {
        return error_set(err, ERR_INVALID, "unknown v2 write %d", (int)v2->type);
    }
    size_t path_max = STORE_KEY_BYTES_MAX - (v2->type == STORE_V2_POST ? POST_NAME_BYTES : 0);
    int rc = validate_bytes(v2->path, path_max, "path", err);
    rc = rc != 0 ? rc : validate_bytes(v2->value, STORE_VALUE_BYTES_MAX, "value", err);
    rc = rc != 0 ? rc : validate_bytes(v2->prev_value, STORE_VALUE_BYTES_MAX, "prevValue", err);
    if (rc == 0 && !v2_path_is_clean_or_root(v2->path)) {
        rc = error_set(err, ERR_INVALID, "a path that is not clean");
    }
    if (rc == 0 && (v2->ttl_ms < 0 || v2->ttl_ms > STORE_LEASE_TTL_MS_MAX ||
                    (v2->ttl_ms > 0) != (v2->lease != 0))) {
        rc = error_set(err, ERR_INVALID, "ttl of %lld ms and its lease do not fit together",
                       (long long)v2->ttl_ms);
    }
    return rc;
}

int store_client_validate(const struct store_command *command, struct error *err)
{
    if (command->type == STORE_CLIENT_TXN && command->client_txn != NULL) {
        return validate_client_txn(command->client_txn, err);
    }
    if (command->type == STORE_V2 && command->v2 != NULL) {
        return validate_v2(command->v2, err);
    }
    return error_set(err, ERR_INVALID, "a client's command without its body");
}

/* --- encoding --------------------------------------------------------------------------------- */

static uint8_t flag(bool is_set, unsigned bit)
{
    return is_set ? (uint8_t)bit : 0;
}

static void encode_range(struct buf *out, const struct store_range *range)
{
    buf_put_bytes(out, range->key);
    buf_put_bytes(out, range->range_end);
    buf_put_u64(out, (uint64_t)range->revision);
    buf_put_u64(out, (uint64_t)range->limit);
    buf_put_u8(out, (uint8_t)range->order);
    buf_put_u8(out, (uint8_t)range->target);
    buf_put_u8(out,
               flag(range->keys_only, RANGE_KEYS_ONLY) | flag(range->count_only, RANGE_COUNT_ONLY));
    buf_put_u64(out, (uint64_t)range->min_mod);
    buf_put_u64(out, (uint64_t)range->max_mod);
    buf_put_u64(out, (uint64_t)range->min_create);
    buf_put_u64(out, (uint64_t)range->max_create);
}

static void encode_txn(struct buf *out, const struct store_client_txn *txn);

static void encode_op(struct buf *out, const struct store_client_op *op)
{
    buf_put_u8(out, (uint8_t)op->type);
    switch (op->type) {
    case STORE_CLIENT_RANGE: encode_range(out, &op->range); return;
    case STORE_CLIENT_PUT:
        buf_put_bytes(out, op->range.key);
        buf_put_bytes(out, op->value);
        buf_put_u64(out, op->lease);
        buf_put_u8(out, flag(op->ignore_value, PUT_IGNORE_VALUE) |
                            flag(op->ignore_lease, PUT_IGNORE_LEASE) |
                            flag(op->prev_kv, PUT_PREV_KV));
        return;
    case STORE_CLIENT_DELETE:
        buf_put_bytes(out, op->range.key);
        buf_put_bytes(out, op->range.range_end);
        buf_put_u8(out, flag(op->prev_kv, DELETE_PREV_KV));
        return;
    case STORE_CLIENT_NESTED: encode_txn(out, op->txn); return;
    }
}

static void encode_txn(struct buf *out, const struct store_client_txn *txn)
{
    buf_put_u8(out, (uint8_t)txn->compare_count);
    buf_put_u8(out, (uint8_t)txn->success_count);
    buf_put_u8(out, (uint8_t)txn->failure_count);
    for (size_t i = 0; i < txn->compare_count; i++) {
        store_compare_encode(out, &txn->compares[i]);
        buf_put_bytes(out, txn->compares[i].range_end);
    }
    for (size_t i = 0; i < txn->success_count; i++) {
        encode_op(out, &txn->success[i]);
    }
    for (size_t i = 0; i < txn->failure_count; i++) {
        encode_op(out, &txn->failure[i]);
    }
}

static void encode_v2(struct buf *out, const struct store_v2 *v2)
{
    buf_put_u8(out, (uint8_t)v2->type);
    buf_put_u8(out, flag(v2->directory, V2_DIRECTORY) | flag(v2->recursive, V2_RECURSIVE) |
                        flag(v2->refresh, V2_REFRESH));
    buf_put_bytes(out, v2->path);
    buf_put_bytes(out, v2->value);
    buf_put_bytes(out, v2->prev_value);
    buf_put_u64(out, v2->prev_index);
    buf_put_u64(out, (uint64_t)v2->ttl_ms);
    buf_put_u64(out, v2->lease);
}

void store_client_encode(struct buf *out, const struct store_command *command)
{
    if (command->type == STORE_V2) {
        encode_v2(out, command->v2);
        return;
    }
    struct items items = {0};
    count_items(command->client_txn, &items);
    buf_put_u16(out, (uint16_t)items.txns);
    buf_put_u16(out, (uint16_t)items.compares);
    buf_put_u16(out, (uint16_t)items.ops);
    encode_txn(out, command->client_txn);
}

/* --- decoding --------------------------------------------------------------------------------- */

struct decoder {
    struct span_reader *reader;
    struct items left;
    struct store_client_txn *txns; /* the next free ones */
    struct store_compare *compares;
    struct store_client_op *ops;
    int depth;
};

static bool take_flag(uint8_t *flags, unsigned bit)
{
    bool is_set = (*flags & bit) != 0;
    *flags &= (uint8_t)~bit;
    return is_set;
}

static void decode_range(struct span_reader *reader, struct store_range *range)
{
    range->key = span_take_bytes(reader, STORE_KEY_BYTES_MAX);
    range->range_end = span_take_bytes(reader, STORE_KEY_BYTES_MAX);
    range->revision = (int64_t)span_take_u64(reader);
    range->limit = (int64_t)span_take_u64(reader);
    range->order = span_take_u8(reader);
    range->target = span_take_u8(reader);
    uint8_t flags = span_take_u8(reader);
    range->keys_only = take_flag(&flags, RANGE_KEYS_ONLY);
    range->count_only = take_flag(&flags, RANGE_COUNT_ONLY);
    range->min_mod = (int64_t)span_take_u64(reader);
    range->max_mod = (int64_t)span_take_u64(reader);
    range->min_create = (int64_t)span_take_u64(reader);
    range->max_create = (int64_t)span_take_u64(reader);
    reader->failed = reader->failed || flags != 0;
}

static const struct store_client_txn *decode_txn(struct decoder *decoder);

static void decode_op(struct decoder *decoder, struct store_client_op *op)
{
    struct span_reader *reader = decoder->reader;
    uint8_t flags = 0;
    op->type = span_take_u8(reader);
    switch (op->type) {
    case STORE_CLIENT_RANGE: decode_range(reader, &op->range); return;
    case STORE_CLIENT_PUT:
        op->range.key = span_take_bytes(reader, STORE_KEY_BYTES_MAX);
        op->value = span_take_bytes(reader, STORE_VALUE_BYTES_MAX);
        op->lease = span_take_u64(reader);
        flags = span_take_u8(reader);
        op->ignore_value = take_flag(&flags, PUT_IGNORE_VALUE);
        op->ignore_lease = take_flag(&flags, PUT_IGNORE_LEASE);
        op->prev_kv = take_flag(&flags, PUT_PREV_KV);
        reader->failed = reader->failed || flags != 0;
        return;
    case STORE_CLIENT_DELETE:
        op->range.key = span_take_bytes(reader, STORE_KEY_BYTES_MAX);
        op->range.range_end = span_take_bytes(reader, STORE_KEY_BYTES_MAX);
        flags = span_take_u8(reader);
        op->prev_kv = take_flag(&flags, DELETE_PREV_KV);
        reader->failed = reader->failed || flags != 0;
        return;
    case STORE_CLIENT_NESTED: op->txn = decode_txn(decoder); return;
    }
    reader->failed = true;
}

static const struct store_client_txn *decode_txn(struct decoder *decoder)
{
    struct span_reader *reader = decoder->reader;
    size_t compares = span_take_u8(reader);
    size_t success = span_take_u8(reader);
    size_t failure = span_take_u8(reader);
    struct items *left = &decoder->left;
    if (decoder->depth == STORE_CLIENT_DEPTH_MAX || left->txns == 0 || left->compares < compares ||
        left->ops < success + failure) {
        reader->failed = true;
        return NULL;
    }
    struct store_client_txn *txn = decoder->txns++;
    struct store_compare *compare = decoder->compares;
    struct store_client_op *op = decoder->ops;
    left->txns--;
    left->compares -= compares;
    left->ops -= success + failure;
    decoder->compares += compares;
    decoder->ops += success + failure;
    *txn = (struct store_client_txn){.compares = compare,
                                     .compare_count = compares,
                                     .success = op,
                                     .success_count = success,
                                     .failure = op + success,
                                     .failure_count = failure};
    decoder->depth++;
    for (size_t i = 0; i < compares && !reader->failed; i++) {
        store_compare_decode(reader, &compare[i]);
        compare[i].range_end = span_take_bytes(reader, STORE_KEY_BYTES_MAX);
    }
    for (size_t i = 0; i < success + failure && !reader->failed; i++) {
        decode_op(decoder, &op[i]);
    }
    decoder->depth--;
    return txn;
}

static void *arena_make(struct buf *arena, size_t bytes)
{
    buf_clear(arena);
    buf_reserve(arena, bytes);
    memset(arena->data, 0, bytes);
    return arena->data;
}

static void decode_client_txn(struct span_reader *reader, struct store_command *command,
                              struct buf *arena)
{
    struct items items = {.txns = span_take_u16(reader)};
    items.compares = span_take_u16(reader);
    items.ops = span_take_u16(reader);
    if (items.txns == 0 || items.txns > STORE_CLIENT_OPS_MAX + 1 ||
        items.compares > STORE_CLIENT_OPS_MAX || items.ops > STORE_CLIENT_OPS_MAX) {
        reader->failed = true;
        return;
    }
    struct decoder decoder = {.reader = reader, .left = items};
    decoder.txns = arena_make(arena, items.txns * sizeof(struct store_client_txn) +
                                         items.compares * sizeof(struct store_compare) +
                                         items.ops * sizeof(struct store_client_op));
    decoder.compares = (struct store_compare *)(void *)(decoder.txns + items.txns);
    decoder.ops = (struct store_client_op *)(void *)(decoder.compares + items.compares);
    command->client_txn = decode_txn(&decoder);
    if (decoder.left.txns + decoder.left.compares + decoder.left.ops > 0) {
        reader->failed = true;
    }
}

static void decode_v2(struct span_reader *reader, struct store_command *command, struct buf *arena)
{
    struct store_v2 *v2 = arena_make(arena, sizeof(*v2));
    v2->type = span_take_u8(reader);
    uint8_t flags = span_take_u8(reader);
    v2->directory = take_flag(&flags, V2_DIRECTORY);
    v2->recursive = take_flag(&flags, V2_RECURSIVE);
    v2->refresh = take_flag(&flags, V2_REFRESH);
    v2->path = span_take_bytes(reader, STORE_KEY_BYTES_MAX);
    v2->value = span_take_bytes(reader, STORE_VALUE_BYTES_MAX);
    v2->prev_value = span_take_bytes(reader, STORE_VALUE_BYTES_MAX);
    v2->prev_index = span_take_u64(reader);
    v2->ttl_ms = (int64_t)span_take_u64(reader);
    v2->lease = span_take_u64(reader);
    reader->failed = reader->failed || flags != 0;
    command->v2 = v2;
}

void store_client_decode(struct span_reader *reader, struct store_command *command,
                         struct buf *arena)
{
    if (command->type == STORE_V2) {
        decode_v2(reader, command, arena);
    } else {
        decode_client_txn(reader, command, arena);
    }
}
