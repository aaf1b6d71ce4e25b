#include "agent/app_rest.h"

#include "agent/api/api_server.h"
#include "agent/loop/loop.h"
#include "agent/rest_tls.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/net/http_basic.h"
#include "base/net/tls_watch.h"

#include <openssl/crypto.h>
#include <string.h>

_Static_assert(CONFIG_ALLOWLIST_MAX == API_ALLOWED_MAX, "all that the file may have");

static void tell(const struct config_restapi *restapi, const struct tls_context *context)
{
    struct tls_about about = {.name = ""};
    const char *clients = restapi->verify == CONFIG_VERIFY_REQUIRED   ? "from everybody"
                          : restapi->verify == CONFIG_VERIFY_OPTIONAL ? "for changes"
                                                                      : "from nobody";
    if (context != NULL) {
        tls_context_about(context, &about);
        log_info("restapi: TLS with the certificate of '%s', a client's is asked for %s",
                 about.name, clients);
    }
}

void app_rest_apply(struct app_rest *rest, struct agent *agent, const struct config *config,
                    struct tls_context *context)
{
    const struct config_restapi *restapi = &config->restapi;
    char *credentials = restapi->username == NULL
                            ? NULL
                            : http_basic_encode(restapi->username, restapi->password.hidden);
    struct api_security security = {.tls = context,
                                    .certificate_wanted = restapi->verify != CONFIG_VERIFY_NONE,
                                    .credentials = credentials,
                                    .allowlist = restapi->allowlist,
                                    .allowlist_count = restapi->allowlist_count,
                                    .include_members = restapi->include_members,
                                    .without_ui = !restapi->ui,
                                    .server = rest_server_name(restapi),
                                    .headers = restapi->headers};
    if (agent->api != NULL) {
        api_server_secure(agent->api, &security);
        app_rest_stop(rest);
        rest->watch = rest_tls_watch(agent->loop, context);
        tell(restapi, context);
    }
    if (credentials != NULL) {
        OPENSSL_cleanse(credentials, strlen(credentials));
    }
    mem_free(credentials);
}

void app_rest_stop(struct app_rest *rest)
{
    if (rest->watch != NULL) {
        tls_watch_stop(rest->watch, NULL, NULL);
    }
    rest->watch = NULL;
}
