/* Small ones are answered at once, the others in portions of one message. */
#include "raft/etcd/etcd_kv_reply.h"

#include "base/buf.h"
#include "base/mem.h"
#include "raft/etcd/etcd_call.h"
#include "raft/etcd/etcd_portions.h"
#include "raft/etcd/etcd_service.h"

void etcd_kv_header(const struct etcd_call *call, int64_t revision, struct etcd_header *ret_header)
{
    etcd_service_header(call->service, ret_header);
    ret_header->revision = revision;
}

void etcd_kv_on_applied(void *arg, int rc, enum etcd_error error, const struct store_result *result)
{
    struct etcd_call *call = arg;
    struct etcd_header header;
    struct etcd_header_response response = {.header = &header};
    if (rc != 0) {
        etcd_call_fail(call, error);
    } else if (result->code != 0) {
        etcd_call_fail(call, etcd_service_refusal(result));
    } else {
        etcd_kv_header(call, result->revision, &header);
        etcd_call_answer(call, &response);
    }
    etcd_call_unref(call);
}

struct etcd_kv_reply *etcd_kv_reply_new(struct store_output *output)
{
    struct etcd_kv_reply *reply = mem_new(struct etcd_kv_reply);
    etcd_kv_answer_init(&reply->answer);
    reply->output = output == NULL ? NULL : store_output_ref(output);
    return reply;
}

void etcd_kv_reply_free(struct etcd_kv_reply *reply)
{
    if (reply != NULL) {
        etcd_kv_answer_free(&reply->answer);
        store_kvs_close(&reply->found.kvs);
        store_output_unref(reply->output);
        mem_free(reply);
    }
}

/* --- in portions ------------------------------------------------------------------------------ */

struct large_reply {
    struct etcd_call *call;
    struct etcd_kv_reply *reply;
    struct etcd_encoder encoder;
    bool begun;
};

static bool too_many(struct large_reply *large)
{
    etcd_call_fail(large->call, ETCD_ERROR_TOO_MANY_REQUESTS);
    return false;
}

static bool give(void *arg, struct buf *scratch)
{
    struct large_reply *large = arg;
    if (!large->begun && etcd_call_begin(large->call, &large->reply->of, &large->encoder) != 0) {
        return too_many(large);
    }
    large->begun = true;
    if (etcd_call_has_ended(large->call)) { /* its client was not there any more */
        return false;
    }
    bool is_whole = etcd_encoder_take(&large->encoder, ETCD_PORTION_BYTES, scratch);
    if (scratch->len > 0 && etcd_call_put(large->call, buf_span(scratch)) != 0) {
        return too_many(large);
    }
    if (is_whole) {
        etcd_call_finish(large->call, GRPC_OK, span_of(NULL, 0));
    }
    return !is_whole;
}

static size_t pending(const void *arg)
{
    const struct large_reply *large = arg;
    return etcd_call_pending(large->call);
}

static bool has_ended(const void *arg)
{
    const struct large_reply *large = arg;
    return etcd_call_has_ended(large->call);
}

static void cut_off(void *arg, enum etcd_error error)
{
    struct large_reply *large = arg;
    etcd_call_fail(large->call, error);
}

static void release(void *arg)
{
    struct large_reply *large = arg;
    etcd_kv_reply_free(large->reply);
    etcd_call_unref(large->call);
    mem_free(large);
}

static void send_large(struct etcd_call *call, struct etcd_kv_reply *reply,
                       enum etcd_error too_large)
{
    static const struct etcd_large_ops ops = {.give = give,
                                              .pending = pending,
                                              .has_ended = has_ended,
                                              .cut_off = cut_off,
                                              .release = release};
    struct large_reply *large = mem_new(struct large_reply);
    large->call = etcd_call_ref(call);
    large->reply = reply;
    struct etcd_large answer = {
        .ops = &ops, .arg = large, .bytes = sizeof *large + etcd_kv_answer_held(&reply->answer)};
    if (etcd_portions_answer(call->service, &answer, NULL) != 0) {
        etcd_call_fail(call, too_large);
        release(large);
    }
}

/* ---------------------------------------------------------------------------------------------- */

void etcd_kv_reply_send(struct etcd_call *call, struct etcd_kv_reply *reply, bool fits,
                        enum etcd_error too_large)
{
    if (fits && reply->answer.bytes > ETCD_PORTION_BYTES && !etcd_call_has_ended(call)) {
        send_large(call, reply, too_large);
        return;
    }
    if (fits) {
        etcd_call_answer(call, &reply->of);
    } else {
        etcd_call_fail(call, too_large);
    }
    etcd_kv_reply_free(reply);
}
