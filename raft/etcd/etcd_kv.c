/* KV of etcd's v3 API, but for Range (etcd_range.c). Reads are linearizable unless they ask for the
 * state of this member; writes are one command each, and answered from what the store gave when
 * this member applied it.
 *
 * A command that was applied without its output coming back here (it was sent twice, or came in a
 * snapshot) is answered as of unknown outcome: what happened is known, what to say is not. */
#include "base/assert.h"
#include "base/mem.h"
#include "raft/etcd/etcd_call.h"
#include "raft/etcd/etcd_handlers.h"
#include "raft/etcd/etcd_kv_reply.h"
#include "raft/etcd/etcd_service.h"

/* Of a converted transaction: STORE_CLIENT_OPS_MAX operations and compares. */
#define CONVERTED_BYTES_MAX ((size_t)1024 * 1024)

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
        etcd_kv_header(call, result->revision, &header);
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
        struct etcd_kv_reply *reply = etcd_kv_reply_new(result->output);
        etcd_kv_header(call, result->revision, &reply->header);
        reply->of.delete_range.header = &reply->header;
        etcd_kv_reply_send(
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
    struct etcd_kv_reply *reply = etcd_kv_reply_new(result->output);
    etcd_kv_header(call, result->revision, &reply->header);
    reply->of.txn.header = &reply->header;
    etcd_kv_reply_send(call, reply,
                       etcd_kv_answer_txn(&reply->answer, &result->output->txn, &reply->of.txn),
                       too_large);
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
    } else {
        rc = store_command_decode(buf_span(&wait->command), &command, &arena, NULL);
        ASSERT(rc == 0); /* we encoded it */
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

void etcd_kv_compact(struct etcd_call *call, const void *message)
{
    const struct etcd_compaction_request *request = message;
    struct store_command command = {.type = STORE_COMPACT, .number = (uint64_t)(request->revision)};
    if (request->revision <= 0) {
        etcd_call_fail(call, ETCD_ERROR_COMPACTED); /* before the first that there is */
        return;
    }
    etcd_service_propose(call->service, &command, etcd_kv_on_applied, etcd_call_ref(call));
}
