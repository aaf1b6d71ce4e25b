/* Members' certificates are verified where somebody said by which authority: `ctl.cacert`, or
 * `restapi.cafile` beside a certificate of our own. Not their names: members are asked by address,
 * and so do Patroni's members. */
#include "agent/loop/member_http.h"

#include "agent/loop/loop.h"

#define MEMBER_ANSWER_BYTES_MAX (256UL * 1024)

static struct http_client_config settings(const struct config_ctl *ctl)
{
    bool asked = ctl->own_cacert || ctl->tls.certfile != NULL;
    bool verified = asked && ctl->tls.cafile != NULL && !ctl->insecure;
    return (struct http_client_config){.tls_ca = verified ? ctl->tls.cafile : NULL,
                                       .tls_cert = ctl->tls.certfile,
                                       .tls_key = ctl->tls.keyfile,
                                       .tls_key_password = ctl->tls.keyfile_password.hidden,
                                       .tls_no_verify = !verified,
                                       .tls_any_name = true,
                                       .response_bytes_max = MEMBER_ANSWER_BYTES_MAX};
}

int member_http_client(struct member_http *way, struct agent *agent, bool idle,
                       struct http_client **ret_client, struct error *err)
{
    bool old = way->of != agent->config->memory;
    if (way->client != NULL && old && idle) {
        http_client_free(way->client, NULL, NULL);
        way->client = NULL;
    }
    if (way->client == NULL) {
        struct http_client_config config = settings(&agent->config->ctl);
        int rc = http_client_new(agent->loop, &config, &way->client, err);
        if (rc != 0) {
            way->client = NULL;
            return rc;
        }
        way->of = agent->config->memory;
    }
    *ret_client = way->client;
    return 0;
}

void member_http_sign(const struct agent *agent, struct http_client_request *request)
{
    request->user = agent->config->ctl.username;
    request->password = agent->config->ctl.password.hidden;
}
