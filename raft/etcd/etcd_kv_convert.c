/* Numbers that no enum has mean to etcd what its switches leave them: an order or target of a sort
 * that is unknown does not sort, a compare by an unknown target compares equal, one with an unknown
 * relation holds. */
#include "raft/etcd/etcd_kv_convert.h"

/* --- requests --------------------------------------------------------------------------------- */

struct store_range etcd_kv_range_of(const struct etcd_range_request *request)
{
    struct store_range range = {.key = request->key,
                                .range_end = request->range_end,
                                .revision = request->revision,
                                .limit = request->limit,
                                .keys_only = request->keys_only,
                                .count_only = request->count_only,
                                .min_mod = request->min_mod_revision,
                                .max_mod = request->max_mod_revision,
                                .min_create = request->min_create_revision,
                                .max_create = request->max_create_revision};
    bool sorts = request->sort_order >= ETCD_SORT_NONE &&
                 request->sort_order <= ETCD_SORT_DESCEND &&
                 request->sort_target >= ETCD_SORT_KEY && request->sort_target <= ETCD_SORT_VALUE;
    if (sorts) {
        range.order = (enum store_sort_order)request->sort_order;
        range.target = (enum store_sort_target)request->sort_target;
    }
    return range;
}

struct store_client_op etcd_kv_op_of_put(const struct etcd_put_request *request)
{
    return (struct store_client_op){.type = STORE_CLIENT_PUT,
                                    .range = {.key = request->key},
                                    .value = request->value,
                                    .lease = (uint64_t)request->lease,
                                    .ignore_value = request->ignore_value,
                                    .ignore_lease = request->ignore_lease,
                                    .prev_kv = request->prev_kv};
}

struct store_client_op etcd_kv_op_of_delete(const struct etcd_delete_range_request *request)
{
    return (struct store_client_op){.type = STORE_CLIENT_DELETE,
                                    .range = {.key = request->key, .range_end = request->range_end},
                                    .prev_kv = request->prev_kv};
}

/* --- compares --------------------------------------------------------------------------------- */

static struct store_compare always(const struct etcd_compare *compare, bool holds)
{
    return (struct store_compare){.target = STORE_CMP_VERSION,
                                  .relation = holds ? STORE_GREATER : STORE_LESS,
                                  .key = compare->key,
                                  .range_end = compare->range_end,
                                  .number = holds ? -1 : 0};
}

/* The number counts only if it is that of the target. */
static int64_t number_of(const struct etcd_compare *compare)
{
    switch (compare->target) {
    case ETCD_TARGET_VERSION: return compare->which == ETCD_UNION_VERSION ? compare->version : 0;
    case ETCD_TARGET_CREATE:
        return compare->which == ETCD_UNION_CREATE_REVISION ? compare->create_revision : 0;
    case ETCD_TARGET_MOD:
        return compare->which == ETCD_UNION_MOD_REVISION ? compare->mod_revision : 0;
    case ETCD_TARGET_LEASE: return compare->which == ETCD_UNION_LEASE ? compare->lease : 0;
    default: return 0;
    }
}

static struct store_compare compare_of(const struct etcd_compare *compare)
{
    static const enum store_compare_target targets[] = {
        [ETCD_TARGET_VERSION] = STORE_CMP_VERSION, [ETCD_TARGET_CREATE] = STORE_CMP_CREATE,
        [ETCD_TARGET_MOD] = STORE_CMP_MOD,         [ETCD_TARGET_VALUE] = STORE_CMP_VALUE,
        [ETCD_TARGET_LEASE] = STORE_CMP_LEASE,
    };
    static const enum store_compare_relation relations[] = {
        [ETCD_COMPARE_EQUAL] = STORE_EQUAL,
        [ETCD_COMPARE_GREATER] = STORE_GREATER,
        [ETCD_COMPARE_LESS] = STORE_LESS,
        [ETCD_COMPARE_NOT_EQUAL] = STORE_NOT_EQUAL,
    };
    bool related =
        compare->result >= ETCD_COMPARE_EQUAL && compare->result <= ETCD_COMPARE_NOT_EQUAL;
    bool targeted = compare->target >= ETCD_TARGET_VERSION && compare->target <= ETCD_TARGET_LEASE;
    if (!related && targeted && compare->target == ETCD_TARGET_VALUE) {
        struct store_compare exists = always(compare, true);
        exists.number = 0; /* a value of a key that is not there compares to nothing */
        return exists;
    }
    if (!related || !targeted) {
        return always(compare, !related || compare->result == ETCD_COMPARE_EQUAL);
    }
    struct store_compare mine = {.target = targets[compare->target],
                                 .relation = relations[compare->result],
                                 .key = compare->key,
                                 .range_end = compare->range_end,
                                 .number = number_of(compare)};
    if (compare->target == ETCD_TARGET_VALUE && compare->which == ETCD_UNION_VALUE) {
        mine.bytes = compare->value;
    }
    return mine;
}

/* --- transactions ----------------------------------------------------------------------------- */

struct conversion {
    struct arena *arena;
    size_t ops;
    size_t compares;
};

static bool convert_txn(struct conversion *conversion, const struct etcd_txn_request *request,
                        struct store_client_txn *ret_txn);

/* An operation without a request becomes one without a key: which of the two it was is looked for
 * when one is refused. */
static bool convert_op(struct conversion *conversion, const struct etcd_request_op *request,
                       struct store_client_op *ret_op)
{
    switch (request->which) {
    case ETCD_OP_PUT: *ret_op = etcd_kv_op_of_put(request->put); return true;
    case ETCD_OP_DELETE_RANGE: *ret_op = etcd_kv_op_of_delete(request->delete_range); return true;
    case ETCD_OP_RANGE:
        *ret_op = (struct store_client_op){.type = STORE_CLIENT_RANGE,
                                           .range = etcd_kv_range_of(request->range)};
        return true;
    case ETCD_OP_TXN: break;
    default: *ret_op = (struct store_client_op){.type = STORE_CLIENT_RANGE}; return true;
    }
    struct store_client_txn *nested = arena_take(conversion->arena, 1, sizeof *nested);
    *ret_op = (struct store_client_op){.type = STORE_CLIENT_NESTED, .txn = nested};
    return nested != NULL && convert_txn(conversion, request->txn, nested);
}

static bool convert_ops(struct conversion *conversion, const struct etcd_request_op *requests,
                        size_t count, const struct store_client_op **ret_ops)
{
    conversion->ops += count;
    if (conversion->ops > STORE_CLIENT_OPS_MAX) {
        return false;
    }
    struct store_client_op *ops = arena_take(conversion->arena, count, sizeof *ops);
    *ret_ops = ops;
    for (size_t i = 0; i < count; i++) {
        if (ops == NULL || !convert_op(conversion, &requests[i], &ops[i])) {
            return false;
        }
    }
    return true;
}

/* False: more than a command may have. As deep as messages nest: ETCD_NESTING_MAX. */
static bool convert_txn(struct conversion *conversion, const struct etcd_txn_request *request,
                        struct store_client_txn *ret_txn)
{
    conversion->compares += request->compare_count;
    if (conversion->compares > STORE_CLIENT_OPS_MAX) {
        return false;
    }
    struct store_compare *compares =
        arena_take(conversion->arena, request->compare_count, sizeof *compares);
    for (size_t i = 0; i < request->compare_count; i++) {
        if (compares == NULL) {
            return false;
        }
        compares[i] = compare_of(&request->compare[i]);
    }
    *ret_txn = (struct store_client_txn){.compares = compares,
                                         .compare_count = request->compare_count,
                                         .success_count = request->success_count,
                                         .failure_count = request->failure_count};
    return convert_ops(conversion, request->success, request->success_count, &ret_txn->success) &&
           convert_ops(conversion, request->failure, request->failure_count, &ret_txn->failure);
}

/* --- the first that is not there: a key, or a whole request ----------------------------------- */

enum missing { NOTHING_MISSING, KEY_MISSING, REQUEST_MISSING };

static enum missing missing_in_txn(const struct etcd_txn_request *request);

static enum missing missing_in_ops(const struct etcd_request_op *requests, size_t count)
{
    enum missing missing = NOTHING_MISSING;
    for (size_t i = 0; i < count && missing == NOTHING_MISSING; i++) {
        const struct etcd_request_op *op = &requests[i];
        switch (op->which) {
        case ETCD_OP_RANGE: missing = op->range->key.len == 0 ? KEY_MISSING : missing; break;
        case ETCD_OP_PUT: missing = op->put->key.len == 0 ? KEY_MISSING : missing; break;
        case ETCD_OP_DELETE_RANGE:
            missing = op->delete_range->key.len == 0 ? KEY_MISSING : missing;
            break;
        case ETCD_OP_TXN: missing = missing_in_txn(op->txn); break;
        default: missing = REQUEST_MISSING; break;
        }
    }
    return missing;
}

static enum missing missing_in_txn(const struct etcd_txn_request *request)
{
    for (size_t i = 0; i < request->compare_count; i++) {
        if (request->compare[i].key.len == 0) {
            return KEY_MISSING;
        }
    }
    enum missing missing = missing_in_ops(request->success, request->success_count);
    return missing != NOTHING_MISSING ? missing
                                      : missing_in_ops(request->failure, request->failure_count);
}

bool etcd_kv_txn_of(const struct etcd_txn_request *request, struct arena *arena,
                    struct store_client_txn *ret_txn, enum etcd_error *ret_error)
{
    struct conversion conversion = {.arena = arena};
    if (!convert_txn(&conversion, request, ret_txn)) {
        *ret_error = ETCD_ERROR_TOO_MANY_OPS;
        return false;
    }
    switch (store_client_txn_reason(ret_txn)) {
    case STORE_NO_REASON: return true;
    case STORE_VALUE_PROVIDED: *ret_error = ETCD_ERROR_VALUE_PROVIDED; break;
    case STORE_LEASE_PROVIDED: *ret_error = ETCD_ERROR_LEASE_PROVIDED; break;
    case STORE_DUPLICATE_KEY: *ret_error = ETCD_ERROR_DUPLICATE_KEY; break;
    case STORE_KEY_MISSING:
        *ret_error = missing_in_txn(request) == REQUEST_MISSING ? ETCD_ERROR_KEY_NOT_FOUND
                                                                : ETCD_ERROR_EMPTY_KEY;
        break;
    default: *ret_error = ETCD_ERROR_TOO_MANY_OPS; break;
    }
    return false;
}

static bool ops_are_serializable(const struct etcd_request_op *requests, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (requests[i].which != ETCD_OP_RANGE || !requests[i].range->serializable) {
            return false;
        }
    }
    return true;
}

bool etcd_kv_txn_is_serializable(const struct etcd_txn_request *request)
{
    return ops_are_serializable(request->success, request->success_count) &&
           ops_are_serializable(request->failure, request->failure_count);
}

/* --- answers ---------------------------------------------------------------------------------- */

enum { KV_FRAME_BYTES = 64 }; /* at most: tags, lengths and four numbers */

void etcd_kv_answer_init(struct etcd_kv_answer *answer)
{
    answer->bytes = 0;
    arena_init(&answer->arena, SIZE_MAX); /* bounded by what the store gave */
}

void etcd_kv_answer_free(struct etcd_kv_answer *answer)
{
    arena_free(&answer->arena);
}

size_t etcd_kv_answer_held(const struct etcd_kv_answer *answer)
{
    return answer->bytes + (SIZE_MAX - answer->arena.budget);
}

static void *take(struct etcd_kv_answer *answer, size_t count, size_t bytes)
{
    return arena_take(&answer->arena, count, bytes);
}

/* Up to `keys_max` more than the `*ret_count` that are there. */
static bool answer_some_kvs(struct etcd_kv_answer *answer, const struct store_kvs *kvs,
                            size_t keys_max, struct etcd_key_value **ret_kvs, size_t *ret_count)
{
    if (*ret_kvs == NULL && kvs->count > 0) {
        *ret_kvs = take(answer, kvs->count, sizeof **ret_kvs);
    }
    for (; *ret_count < kvs->count && keys_max > 0; keys_max--) {
        struct store_kv kv;
        store_kvs_get(kvs, *ret_count, &kv);
        answer->bytes += kv.key.len + kv.value.len + KV_FRAME_BYTES;
        if (*ret_kvs == NULL || answer->bytes > ETCD_KV_ANSWER_BYTES_MAX) {
            return false;
        }
        (*ret_kvs)[(*ret_count)++] = (struct etcd_key_value){.key = kv.key,
                                                             .create_revision = kv.create_revision,
                                                             .mod_revision = kv.mod_revision,
                                                             .version = kv.version,
                                                             .value = kv.value,
                                                             .lease = (int64_t)kv.lease};
    }
    return true;
}

static bool answer_kvs(struct etcd_kv_answer *answer, const struct store_kvs *kvs,
                       struct etcd_key_value **ret_kvs, size_t *ret_count)
{
    return answer_some_kvs(answer, kvs, SIZE_MAX, ret_kvs, ret_count);
}

bool etcd_kv_answer_range_part(struct etcd_kv_answer *answer,
                               const struct store_range_result *result, size_t keys_max,
                               struct etcd_range_response *ret_response)
{
    ret_response->more = result->more;
    ret_response->count = result->count;
    return answer_some_kvs(answer, &result->kvs, keys_max, &ret_response->kvs,
                           &ret_response->kvs_count);
}

bool etcd_kv_answer_range(struct etcd_kv_answer *answer, const struct store_range_result *result,
                          struct etcd_range_response *ret_response)
{
    return etcd_kv_answer_range_part(answer, result, SIZE_MAX, ret_response);
}

bool etcd_kv_answer_put(struct etcd_kv_answer *answer, const struct store_op_output *output,
                        struct etcd_put_response *ret_response)
{
    size_t count = 0;
    return answer_kvs(answer, &output->kvs, &ret_response->prev_kv, &count);
}

bool etcd_kv_answer_delete(struct etcd_kv_answer *answer, const struct store_op_output *output,
                           struct etcd_delete_range_response *ret_response)
{
    ret_response->deleted = output->count;
    return answer_kvs(answer, &output->kvs, &ret_response->prev_kvs, &ret_response->prev_kvs_count);
}

bool etcd_kv_answer_keys(struct etcd_kv_answer *answer, const struct store_kvs *kvs,
                         struct span **ret_keys, size_t *ret_count)
{
    struct span *keys = take(answer, kvs->count, sizeof *keys);
    for (size_t i = 0; i < kvs->count; i++) {
        struct store_kv kv;
        store_kvs_get(kvs, i, &kv);
        answer->bytes += kv.key.len + kv.value.len + KV_FRAME_BYTES; /* the values are held, too */
        if (keys == NULL || answer->bytes > ETCD_KV_ANSWER_BYTES_MAX) {
            return false;
        }
        keys[i] = kv.key;
    }
    *ret_keys = keys;
    *ret_count = kvs->count;
    return true;
}

/* One operation's answer, and its header. */
struct slot {
    struct etcd_header header;
    union {
        struct etcd_range_response range;
        struct etcd_put_response put;
        struct etcd_delete_range_response delete_range;
        struct etcd_txn_response txn;
    } of;
};

static bool answer_op(struct etcd_kv_answer *answer, const struct store_op_output *output,
                      struct slot *slot, struct etcd_response_op *ret_op)
{
    struct store_range_result range = {
        .kvs = output->kvs, .count = output->count, .more = output->more};
    slot->header.revision = output->revision;
    switch (output->type) {
    case STORE_CLIENT_RANGE:
        ret_op->which = ETCD_OP_RANGE;
        ret_op->range = &slot->of.range;
        ret_op->range->header = &slot->header;
        return etcd_kv_answer_range(answer, &range, ret_op->range);
    case STORE_CLIENT_PUT:
        ret_op->which = ETCD_OP_PUT;
        ret_op->put = &slot->of.put;
        ret_op->put->header = &slot->header;
        return etcd_kv_answer_put(answer, output, ret_op->put);
    case STORE_CLIENT_DELETE:
        ret_op->which = ETCD_OP_DELETE_RANGE;
        ret_op->delete_range = &slot->of.delete_range;
        ret_op->delete_range->header = &slot->header;
        return etcd_kv_answer_delete(answer, output, ret_op->delete_range);
    case STORE_CLIENT_NESTED: break;
    }
    ret_op->which = ETCD_OP_TXN;
    ret_op->txn = &slot->of.txn;
    ret_op->txn->header = &slot->header;
    return etcd_kv_answer_txn(answer, output, ret_op->txn);
}

/* As deep as the request was. */
bool etcd_kv_answer_txn(struct etcd_kv_answer *answer, const struct store_op_output *output,
                        struct etcd_txn_response *ret_response)
{
    ret_response->succeeded = output->succeeded;
    ret_response->responses_count = output->op_count;
    if (output->op_count == 0) {
        return true;
    }
    struct slot *slots = take(answer, output->op_count, sizeof *slots);
    ret_response->responses = take(answer, output->op_count, sizeof *ret_response->responses);
    if (slots == NULL || ret_response->responses == NULL) {
        return false;
    }
    for (size_t i = 0; i < output->op_count; i++) {
        if (!answer_op(answer, &output->ops[i], &slots[i], &ret_response->responses[i])) {
            return false;
        }
    }
    return true;
}
