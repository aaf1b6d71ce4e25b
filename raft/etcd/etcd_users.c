/* Auth of etcd's v3 API: the one user of the configuration (etcd_auth.h), or none. */
#include "raft/etcd/etcd_auth.h"
#include "raft/etcd/etcd_call.h"
#include "raft/etcd/etcd_handlers.h"
#include "raft/etcd/etcd_service.h"

void etcd_users_authenticate(struct etcd_call *call, const void *message)
{
    const struct etcd_authenticate_request *request = message;
    const struct etcd_service_config *config = etcd_service_config(call->service);
    struct etcd_header header;
    struct buf token = BUF_INIT;
    if (config->auth == NULL) {
        etcd_call_fail(call, ETCD_ERROR_AUTH_NOT_ENABLED);
        return;
    }
    if (!etcd_auth_user(config->auth, request->name, request->password)) {
        etcd_call_fail(call, ETCD_ERROR_AUTH_FAILED);
        return;
    }
    etcd_service_header(call->service, &header);
    etcd_auth_token(config->auth, header.cluster_id, clock_wall_ms(config->clock) + ETCD_TOKEN_MS,
                    &token);
    header.revision = 0;
    struct etcd_authenticate_response response = {.header = &header, .token = buf_span(&token)};
    etcd_call_answer(call, &response);
    buf_free(&token);
}

void etcd_users_status(struct etcd_call *call, const void *message)
{
    struct etcd_header header;
    bool enabled = etcd_service_config(call->service)->auth != NULL;
    struct etcd_auth_status_response response = {
        .header = &header, .enabled = enabled, .auth_revision = 1};
    (void)message;
    etcd_service_header(call->service, &header);
    header.revision = 0;
    etcd_call_answer(call, &response);
}
