/* The carrier of gRPC. A call here and a call there end together: grpc_call tells of every end by
 * on_close, also of those that come from here. */
#include "raft/etcd/etcd_grpc_calls.h"

#include "base/assert.h"
#include "base/mem.h"
#include "raft/etcd/etcd_call.h"
#include "raft/etcd/etcd_proto.h"
#include "raft/etcd/etcd_service.h"

struct etcd_grpc_calls {
    struct etcd_service *service;
    struct grpc_config config;
    struct grpc_method *methods; /* in the order of etcd_methods */
};

struct carried {
    struct etcd_call call;
    struct grpc_call *grpc; /* until on_close */
};

static struct carried *carried_of(struct etcd_call *call)
{
    return (struct carried *)(void *)call;
}

/* --- what handlers do ------------------------------------------------------------------------- */

static int carried_reply(struct etcd_call *call, const void *message, struct error *err)
{
    return grpc_reply(carried_of(call)->grpc, message, err);
}

static void carried_finish(struct etcd_call *call, enum grpc_code code, struct span text)
{
    grpc_finish(carried_of(call)->grpc, code, text);
}

static size_t carried_pending(const struct etcd_call *call)
{
    return grpc_call_pending(((const struct carried *)(const void *)call)->grpc);
}

static int carried_begin(struct etcd_call *call, const void *message,
                         struct etcd_encoder *ret_encoder)
{
    const struct etcd_type *type = call->method->response;
    etcd_encoder_init(ret_encoder, ETCD_ENCODING_PROTO, type, message);
    return grpc_begin(carried_of(call)->grpc, etcd_proto_size(type, message), NULL);
}

static int carried_put(struct etcd_call *call, struct span bytes)
{
    return grpc_put(carried_of(call)->grpc, bytes, NULL);
}

static const struct etcd_call_ops carried_ops = {.reply = carried_reply,
                                                 .finish = carried_finish,
                                                 .pending = carried_pending,
                                                 .begin = carried_begin,
                                                 .put = carried_put};

static void free_carried(struct etcd_call *call)
{
    mem_free(carried_of(call));
}

/* --- what clients do -------------------------------------------------------------------------- */

static const struct etcd_method *method_of(const struct etcd_grpc_calls *calls,
                                           const struct grpc_call *grpc)
{
    size_t at = (size_t)(grpc_call_method(grpc) - calls->methods);
    ASSERT(at < etcd_methods_count);
    return &etcd_methods[at];
}

static struct carried *carry(struct etcd_grpc_calls *calls, struct grpc_call *grpc)
{
    struct carried *carried = mem_new(struct carried);
    carried->call = (struct etcd_call){.ops = &carried_ops,
                                       .method = method_of(calls, grpc),
                                       .service = calls->service,
                                       .free_call = free_carried,
                                       .refs = 1,
                                       .wants_leader = grpc_call_wants_leader(grpc)};
    carried->grpc = grpc;
    grpc_call_set_arg(grpc, carried);
    return carried;
}

/* NULL: it was refused. */
static struct carried *carried_by(struct etcd_grpc_calls *calls, struct grpc_call *grpc)
{
    struct carried *carried = grpc_call_arg(grpc);
    struct etcd_caller caller = {.token = grpc_call_token(grpc),
                                 .has_certificate = grpc_call_peer(grpc)->is_verified,
                                 .wants_leader = grpc_call_wants_leader(grpc)};
    enum etcd_error error = ETCD_ERROR_COUNT;
    if (carried != NULL) {
        return carried;
    }
    if (!etcd_call_is_allowed(calls->service, method_of(calls, grpc), &caller, &error)) {
        grpc_fail(grpc, error);
        return NULL;
    }
    return carry(calls, grpc);
}

static void on_message(void *arg, struct grpc_call *grpc, const void *message)
{
    struct carried *carried = carried_by(arg, grpc);
    if (carried != NULL) {
        struct etcd_call *call = etcd_call_ref(&carried->call);
        call->method->on_message(call, message);
        etcd_call_unref(call);
    }
}

static void on_end(void *arg, struct grpc_call *grpc)
{
    struct carried *carried = carried_by(arg, grpc);
    if (carried == NULL) {
        return;
    }
    struct etcd_call *call = etcd_call_ref(&carried->call);
    if (call->method->on_end == NULL) {
        etcd_call_finish(call, GRPC_OK, span_of(NULL, 0));
    } else {
        call->method->on_end(call);
    }
    etcd_call_unref(call);
}

static void on_close(void *arg, struct grpc_call *grpc)
{
    struct carried *carried = grpc_call_arg(grpc);
    (void)arg;
    if (carried == NULL) {
        return;
    }
    carried->call.ops = NULL;
    carried->grpc = NULL;
    if (carried->call.method->on_close != NULL) {
        carried->call.method->on_close(&carried->call);
    }
    etcd_call_unref(&carried->call);
}

/* --- life ------------------------------------------------------------------------------------- */

static bool is_serving(void *arg)
{
    const struct etcd_grpc_calls *calls = arg;
    return etcd_service_is_ready(calls->service) && etcd_service_has_leader(calls->service);
}

struct etcd_grpc_calls *etcd_grpc_calls_new(struct etcd_service *service)
{
    struct etcd_grpc_calls *calls = mem_new(struct etcd_grpc_calls);
    calls->service = service;
    calls->methods = mem_new_array(struct grpc_method, etcd_methods_count);
    for (size_t i = 0; i < etcd_methods_count; i++) {
        const struct etcd_method *method = &etcd_methods[i];
        calls->methods[i] = (struct grpc_method){.service = method->service,
                                                 .name = method->name,
                                                 .request = method->request,
                                                 .response = method->response,
                                                 .streaming = method->request_streams,
                                                 .on_message = on_message,
                                                 .on_end = on_end,
                                                 .on_close = on_close};
    }
    calls->config = (struct grpc_config){.methods = calls->methods,
                                         .methods_count = etcd_methods_count,
                                         .is_serving = is_serving,
                                         .arg = calls};
    return calls;
}

void etcd_grpc_calls_free(struct etcd_grpc_calls *calls)
{
    mem_free(calls->methods);
    mem_free(calls);
}

const struct grpc_config *etcd_grpc_calls_config(const struct etcd_grpc_calls *calls)
{
    return &calls->config;
}
