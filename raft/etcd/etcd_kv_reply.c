/* Small ones are answered at once. */
#include "raft/etcd/etcd_kv_reply.h"

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

static void release(void *arg)
{
    etcd_kv_reply_free(arg);
}

void etcd_kv_reply_send(struct etcd_call *call, struct etcd_kv_reply *reply, bool fits,
                        enum etcd_error too_large)
{
    struct etcd_large large = {.message = &reply->of,
                               .bytes = etcd_kv_answer_held(&reply->answer),
                               .release = release,
                               .arg = reply};
    if (fits && reply->answer.bytes > ETCD_PORTION_BYTES && !etcd_call_has_ended(call)) {
        if (etcd_portions_answer(call, &large, NULL) != 0) {
            etcd_call_fail(call, too_large);
            etcd_kv_reply_free(reply);
        }
        return;
    }
    if (fits) {
        etcd_call_answer(call, &reply->of);
    } else {
        etcd_call_fail(call, too_large);
    }
    etcd_kv_reply_free(reply);
}
