#include "agent/rest_tls.h"

#include "base/log.h"
#include "base/net/http1.h"
#include "base/net/tls_watch.h"

#include <stddef.h>

static void on_loaded(void *arg, const char *text)
{
    (void)arg;
    log_info("restapi: %s", text);
}

static void on_failed(void *arg, const struct error *err)
{
    (void)arg;
    log_warning("%s; the certificates that were read before stay in use", err->text);
}

static void on_expiry(void *arg, const char *text)
{
    (void)arg;
    log_warning("restapi: %s", text);
}

int rest_tls_read(const struct config_restapi *restapi, struct tls_context **ret_context,
                  struct error *err)
{
    static const char *const protocols[HTTP1_PROTOCOL_COUNT] = HTTP1_PROTOCOLS;
    static const enum tls_verify verify[] = {[CONFIG_VERIFY_NONE] = TLS_VERIFY_NONE,
                                             [CONFIG_VERIFY_OPTIONAL] = TLS_VERIFY_OPTIONAL,
                                             [CONFIG_VERIFY_REQUIRED] = TLS_VERIFY_REQUIRED};
    struct tls_config tls = {.certfile = restapi->tls.certfile,
                             .keyfile = restapi->tls.keyfile,
                             .key_password = restapi->tls.keyfile_password.hidden,
                             .cafile = restapi->tls.cafile,
                             .verify = verify[restapi->verify],
                             .protocols = protocols,
                             .protocol_count = HTTP1_PROTOCOL_COUNT,
                             .ciphers = restapi->ciphers,
                             .section = "restapi"};
    *ret_context = NULL;
    return tls.certfile == NULL ? 0 : tls_context_new(&tls, ret_context, err);
}

struct tls_watch *rest_tls_watch(struct uv_loop_s *loop, struct tls_context *context)
{
    static const struct tls_watch_events events = {
        .on_loaded = on_loaded, .on_failed = on_failed, .on_expiry = on_expiry};
    return context == NULL ? NULL : tls_watch_start(loop, context, &events, 0);
}

const char *rest_server_name(const struct config_restapi *restapi)
{
    static const char *const names[] = {[CONFIG_TOKENS_ORIGINAL] = NULL,
                                        [CONFIG_TOKENS_MINIMAL] = "Patroni/4.1.4",
                                        [CONFIG_TOKENS_PRODUCT] = "Patroni"};
    return names[restapi->tokens];
}
