/* Calls are counted by reference; what a carrier does is behind ops, which are gone once the call
 * has ended. */
#include "raft/etcd/etcd_call.h"

#include "base/assert.h"
#include "raft/etcd/etcd_auth.h"
#include "raft/etcd/etcd_service.h"

struct etcd_call *etcd_call_ref(struct etcd_call *call)
{
    ASSERT(call->refs > 0);
    call->refs++;
    return call;
}

void etcd_call_unref(struct etcd_call *call)
{
    ASSERT(call->refs > 0);
    if (--call->refs == 0) {
        call->free_call(call);
    }
}

bool etcd_call_has_ended(const struct etcd_call *call)
{
    return call->ops == NULL;
}

int etcd_call_reply(struct etcd_call *call, const void *message, struct error *err)
{
    return call->ops == NULL ? 0 : call->ops->reply(call, message, err);
}

size_t etcd_call_pending(const struct etcd_call *call)
{
    return call->ops == NULL ? 0 : call->ops->pending(call);
}

void etcd_call_finish(struct etcd_call *call, enum grpc_code code, struct span text)
{
    const struct etcd_call_ops *ops = call->ops;
    if (ops != NULL) {
        call->ops = NULL;
        ops->finish(call, code, text);
    }
}

void etcd_call_fail(struct etcd_call *call, enum etcd_error error)
{
    etcd_call_finish(call, etcd_error_code(error), span_str(etcd_error_text(error)));
}

int etcd_call_begin(struct etcd_call *call, const void *message, struct etcd_encoder *ret_encoder)
{
    return call->ops == NULL ? 0 : call->ops->begin(call, message, ret_encoder);
}

int etcd_call_put(struct etcd_call *call, struct span bytes)
{
    return call->ops == NULL ? 0 : call->ops->put(call, bytes);
}

void etcd_call_answer(struct etcd_call *call, const void *message)
{
    if (etcd_call_reply(call, message, NULL) != 0) {
        etcd_call_fail(call, ETCD_ERROR_TOO_MANY_REQUESTS);
    } else {
        etcd_call_finish(call, GRPC_OK, span_of(NULL, 0));
    }
}

static bool has_good_user(const struct etcd_service *service, const struct etcd_method *method,
                          const struct etcd_caller *caller, enum etcd_error *ret_error)
{
    const struct etcd_service_config *config = etcd_service_config(service);
    struct etcd_header header;
    if (config->auth == NULL || method->is_open || caller->has_certificate) {
        return true;
    }
    if (caller->token.len == 0) {
        *ret_error = ETCD_ERROR_USER_EMPTY;
        return false;
    }
    etcd_service_header(service, &header);
    *ret_error = ETCD_ERROR_INVALID_AUTH_TOKEN;
    return etcd_auth_token_is_good(config->auth, header.cluster_id, caller->token,
                                   clock_wall_ms(config->clock));
}

bool etcd_call_is_allowed(const struct etcd_service *service, const struct etcd_method *method,
                          const struct etcd_caller *caller, enum etcd_error *ret_error)
{
    if (!has_good_user(service, method, caller, ret_error)) {
        return false;
    }
    *ret_error = ETCD_ERROR_NO_LEADER;
    return !caller->wants_leader || method->request_streams || etcd_service_has_leader(service);
}
