/* KV of etcd's v3 API. Reads are linearizable unless they ask for the state of this member; writes
 * are one command each, and answered from what the store gave when this member applied it.
 *
 * A command that was applied without its output coming back here (it was sent twice, or came in a
 * snapshot) is answered as of unknown outcome: what happened is known, what to say is not. */
#include "base/mem.h"
#include "raft/etcd/etcd_call.h"
#include "raft/etcd/etcd_handlers.h"
#include "raft/etcd/etcd_kv_convert.h"
#include "raft/etcd/etcd_portions.h"
#include "raft/etcd/etcd_service.h"

/* Of a converted transaction: STORE_CLIENT_OPS_MAX operations and compares. */
#define CONVERTED_BYTES_MAX ((size_t)1024 * 1024)

static void header_at(const struct etcd_call *call, int64_t revision,
                      struct etcd_header *ret_header)
{
    etcd_service_header(call->service, ret_header);
    ret_header->revision = revision;
}

/* What a write gave; NULL: the call was failed. */
static const struct store_output *output_of(struct etcd_call *call, int rc, enum etcd_error error,
                                            const struct store_result *result)
{
    if (rc != 0) {
        etcd_call_fail(call, error);
    } else if (result->code != 0) {
        etcd_call_fail(call, etcd_service_refusal(result));
    } else if (result->output == NULL) {
        etcd_call_fail(call, ETCD_ERROR_TIMEOUT);
    } else {
        return result->output;
    }
    return NULL;
}

static void propose(struct etcd_call *call, const struct store_client_txn *txn,
                    etcd_service_done done)
{
    struct store_command command = {.type = STORE_CLIENT_TXN, .client_txn = txn};
    etcd_service_propose(call->service, &command, done, etcd_call_ref(call));
}

/* --- replies that may be large ---------------------------------------------------------------- */

/* All that an answer borrows from, until it is encoded. */
struct reply {
    struct etcd_header header;
    union {
        struct etcd_range_response range;
        struct etcd_delete_range_response delete_range;
        struct etcd_txn_response txn;
    } of;
    struct etcd_kv_answer answer;
    struct store_kvs kvs;        /* of a range */
    struct store_output *output; /* of a write; NULL = none */
};

static struct reply *reply_new(struct store_output *output)
{
    struct reply *reply = mem_new(struct reply);
    etcd_kv_answer_init(&reply->answer);
    reply->output = output == NULL ? NULL : store_output_ref(output);
    return reply;
}

static void reply_free(void *arg)
{
    struct reply *reply = arg;
    etcd_kv_answer_free(&reply->answer);
    store_kvs_close(&reply->kvs);
    store_output_unref(reply->output);
    mem_free(reply);
}

/* `fits`: it was converted. `too_large`: what is told if not, or if too much waits already. */
static void reply_send(struct etcd_call *call, struct reply *reply, bool fits,
                       enum etcd_error too_large)
{
    struct etcd_large large = {.message = &reply->of,
                               .bytes = etcd_kv_answer_held(&reply->answer),
                               .release = reply_free,
                               .arg = reply};
    if (fits && reply->answer.bytes > ETCD_PORTION_BYTES && !etcd_call_has_ended(call)) {
        if (etcd_portions_answer(call, &large, NULL) != 0) {
            etcd_call_fail(call, too_large);
            reply_free(reply);
        }
        return;
    }
    if (fits) {
        etcd_call_answer(call, &reply->of);
    } else {
        etcd_call_fail(call, too_large);
    }
    reply_free(reply);
}

/* --- Range ------------------------------------------------------------------------------------ */

static void answer_range(struct etcd_call *call, const struct store_range *range)
{
    const struct store *store = etcd_service_store(call->service);
    if (store == NULL) {
        etcd_call_fail(call, ETCD_ERROR_NO_LEADER);
        return;
    }
    struct reply *reply = reply_new(NULL);
    struct store_range_result result = {.count = 0};
    int rc = store_range(store, range, &result, NULL);
    reply->kvs = result.kvs;
    if (rc != 0) {
        etcd_call_fail(call, rc == ERR_INVALID ? ETCD_ERROR_FUTURE_REVISION : ETCD_ERROR_COMPACTED);
        reply_free(reply);
        return;
    }
    header_at(call, result.revision, &reply->header);
    reply->of.range.header = &reply->header;
    reply_send(call, reply, etcd_kv_answer_range(&reply->answer, &result, &reply->of.range),
               ETCD_ERROR_TOO_MANY_REQUESTS);
}

/* One that waits for its place in the log. */
struct range_wait {
    struct etcd_call *call;
    struct store_range range; /* its keys are in `keys` */
    struct buf keys;
};

static void on_range_read(void *arg, int rc, enum etcd_error error,
                          const struct store_result *result)
{
    struct range_wait *wait = arg;
    (void)result;
    if (rc != 0) {
        etcd_call_fail(wait->call, error);
    } else if (!etcd_call_has_ended(wait->call)) {
        answer_range(wait->call, &wait->range);
    }
    etcd_call_unref(wait->call);
    buf_free(&wait->keys);
    mem_free(wait);
}

void etcd_kv_range(struct etcd_call *call, const void *message)
{
    const struct etcd_range_request *request = message;
    struct store_range range = etcd_kv_range_of(request);
    if (request->key.len == 0) {
        etcd_call_fail(call, ETCD_ERROR_EMPTY_KEY);
        return;
    }
    if (range.key.len > STORE_KEY_BYTES_MAX || range.range_end.len > STORE_KEY_BYTES_MAX) {
        etcd_call_fail(call, ETCD_ERROR_REQUEST_TOO_LARGE); /* as of every other request */
        return;
    }
    if (request->serializable) {
        answer_range(call, &range);
        return;
    }
    struct range_wait *wait = mem_new(struct range_wait);
    wait->call = etcd_call_ref(call);
    wait->range = range;
    buf_put_span(&wait->keys, range.key);
    buf_put_span(&wait->keys, range.range_end);
    wait->range.key = span_of(wait->keys.data, range.key.len);
    wait->range.range_end = span_of(wait->keys.data + range.key.len, range.range_end.len);
    etcd_service_read(call->service, on_range_read, wait);
}

/* --- Put, DeleteRange ------------------------------------------------------------------------- */

/* False: it was refused for its shape. */
static bool has_good_shape(struct etcd_call *call, const struct store_client_txn *txn)
{
    struct store_result result = {.code = ERR_INVALID, .reason = store_client_txn_reason(txn)};
    if (result.reason != STORE_NO_REASON) {
        etcd_call_fail(call, etcd_service_refusal(&result));
    }
    return result.reason == STORE_NO_REASON;
}

static void on_put(void *arg, int rc, enum etcd_error error, const struct store_result *result)
{
    struct etcd_call *call = arg;
    struct etcd_header header;
    struct etcd_put_response response = {.header = &header};
    struct etcd_kv_answer answer;
    const struct store_output *output = output_of(call, rc, error, result);
    if (output != NULL) {
        etcd_kv_answer_init(&answer);
        header_at(call, result->revision, &header);
        if (etcd_kv_answer_put(&answer, &output->txn.ops[0], &response)) {
            etcd_call_answer(call, &response);
        } else {
            etcd_call_fail(call, ETCD_ERROR_TIMEOUT);
        }
        etcd_kv_answer_free(&answer);
    }
    etcd_call_unref(call);
}

void etcd_kv_put(struct etcd_call *call, const void *message)
{
    struct store_client_op op = etcd_kv_op_of_put(message);
    struct store_client_txn txn = {.success = &op, .success_count = 1};
    if (has_good_shape(call, &txn)) {
        propose(call, &txn, on_put);
    }
}

static void on_delete_range(void *arg, int rc, enum etcd_error error,
                            const struct store_result *result)
{
    struct etcd_call *call = arg;
    const struct store_output *output = output_of(call, rc, error, result);
    if (output != NULL) {
        struct reply *reply = reply_new(result->output);
        header_at(call, result->revision, &reply->header);
        reply->of.delete_range.header = &reply->header;
        reply_send(
            call, reply,
            etcd_kv_answer_delete(&reply->answer, &output->txn.ops[0], &reply->of.delete_range),
            ETCD_ERROR_TIMEOUT);
    }
    etcd_call_unref(call);
}

void etcd_kv_delete_range(struct etcd_call *call, const void *message)
{
    struct store_client_op op = etcd_kv_op_of_delete(message);
    struct store_client_txn txn = {.success = &op, .success_count = 1};
    if (has_good_shape(call, &txn)) {
        propose(call, &txn, on_delete_range);
    }
}

/* --- Txn -------------------------------------------------------------------------------------- */

/* `too_large`: what is told if the answer is. */
static void answer_txn(struct etcd_call *call, const struct store_result *result,
                       enum etcd_error too_large)
{
    struct reply *reply = reply_new(result->output);
    header_at(call, result->revision, &reply->header);
    reply->of.txn.header = &reply->header;
    reply_send(call, reply,
               etcd_kv_answer_txn(&reply->answer, &result->output->txn, &reply->of.txn), too_large);
}

static void on_txn(void *arg, int rc, enum etcd_error error, const struct store_result *result)
{
    struct etcd_call *call = arg;
    if (output_of(call, rc, error, result) != NULL) {
        answer_txn(call, result, ETCD_ERROR_TIMEOUT);
    }
    etcd_call_unref(call);
}

/* One that only reads needs no command. */
static void answer_read_txn(struct etcd_call *call, const struct store_client_txn *txn)
{
    const struct store *store = etcd_service_store(call->service);
    struct store_result result;
    if (store == NULL) {
        etcd_call_fail(call, ETCD_ERROR_NO_LEADER);
        return;
    }
    struct store_output *output = store_output_new();
    store_client_read(store, txn, &result, output);
    if (output_of(call, 0, ETCD_ERROR_COUNT, &result) != NULL) {
        answer_txn(call, &result, ETCD_ERROR_TOO_MANY_REQUESTS);
    }
    store_output_unref(output);
}

/* It waits as the command that it is not, so that everything in it is copied. */
struct txn_wait {
    struct etcd_call *call;
    struct buf command;
};

static void on_txn_read(void *arg, int rc, enum etcd_error error, const struct store_result *result)
{
    struct txn_wait *wait = arg;
    struct store_command command;
    struct buf arena = BUF_INIT;
    (void)result;
    etcd_service_release(wait->call->service, wait->command.len);
    if (rc != 0) {
        etcd_call_fail(wait->call, error);
    } else if (store_command_decode(buf_span(&wait->command), &command, &arena, NULL) == 0) {
        answer_read_txn(wait->call, command.client_txn);
    }
    etcd_call_unref(wait->call);
    buf_free(&wait->command);
    buf_free(&arena);
    mem_free(wait);
}

static void read_txn(struct etcd_call *call, const struct store_client_txn *txn)
{
    struct store_command command = {.type = STORE_CLIENT_TXN, .client_txn = txn};
    struct buf bytes = BUF_INIT;
    if (store_command_encode(&command, &bytes, NULL) != 0) {
        etcd_call_fail(call, ETCD_ERROR_REQUEST_TOO_LARGE);
        buf_free(&bytes);
        return;
    }
    if (!etcd_service_reserve(call->service, bytes.len)) {
        etcd_call_fail(call, ETCD_ERROR_TOO_MANY_REQUESTS);
        buf_free(&bytes);
        return;
    }
    struct txn_wait *wait = mem_new(struct txn_wait);
    wait->call = etcd_call_ref(call);
    wait->command = bytes;
    etcd_service_read(call->service, on_txn_read, wait);
}

static bool is_too_much_work(const struct etcd_call *call, const struct store_client_txn *txn)
{
    const struct store *store = etcd_service_store(call->service);
    return store != NULL && store_client_txn_work(store, txn) > STORE_CLIENT_WORK_MAX;
}

void etcd_kv_txn(struct etcd_call *call, const void *message)
{
    struct store_client_txn txn;
    struct arena arena;
    enum etcd_error error = ETCD_ERROR_COUNT;
    arena_init(&arena, CONVERTED_BYTES_MAX);
    if (!etcd_kv_txn_of(message, &arena, &txn, &error)) {
        etcd_call_fail(call, error);
    } else if (is_too_much_work(call, &txn)) {
        etcd_call_fail(call, ETCD_ERROR_TOO_MANY_OPS);
    } else if (!store_client_txn_reads(&txn)) {
        propose(call, &txn, on_txn);
    } else if (etcd_kv_txn_is_serializable(message)) {
        answer_read_txn(call, &txn);
    } else {
        read_txn(call, &txn);
    }
    arena_free(&arena);
}

/* --- Compact ---------------------------------------------------------------------------------- */

static void on_compact(void *arg, int rc, enum etcd_error error, const struct store_result *result)
{
    struct etcd_call *call = arg;
    struct etcd_header header;
    struct etcd_header_response response = {.header = &header};
    if (rc != 0) {
        etcd_call_fail(call, error);
    } else if (result->code != 0) {
        etcd_call_fail(call, etcd_service_refusal(result));
    } else {
        header_at(call, result->revision, &header);
        etcd_call_answer(call, &response);
    }
    etcd_call_unref(call);
}

void etcd_kv_compact(struct etcd_call *call, const void *message)
{
    const struct etcd_compaction_request *request = message;
    struct store_command command = {.type = STORE_COMPACT, .number = (uint64_t)(request->revision)};
    if (request->revision <= 0) {
        etcd_call_fail(call, ETCD_ERROR_COMPACTED); /* before the first that there is */
        return;
    }
    etcd_service_propose(call->service, &command, on_compact, etcd_call_ref(call));
}
