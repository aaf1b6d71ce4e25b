/* Who may ask for what changes something: from where, with which certificate, with whose password.
 * In Patroni's order; reading is for everybody. */
#ifndef AGENT_API_ACCESS_H
#define AGENT_API_ACCESS_H

#include "agent/api/api_status.h"
#include "base/net/http1.h"

#include <stdbool.h>
#include <stddef.h>

#define API_ALLOWED_MAX 128

/* All that the settings say; copied by api_access_set. Zeroed: everybody may do everything. */
struct api_security {
    struct tls_context *tls; /* NULL: plain HTTP */
    bool certificate_wanted; /* from whoever changes something; with `tls` only */
    const char *credentials; /* of http_basic_encode; NULL = no password is asked for */
    const char *const *allowlist;
    size_t allowlist_count; /* up to API_ALLOWED_MAX; good ones (config.h) */
    bool include_members;
    bool without_ui;     /* GET /ui is not served */
    const char *server;  /* of the header; NULL = the default */
    const char *headers; /* each line ended by CR LF; NULL = none */
};

struct api_access;

/* `on_lost`: a host is to be let in and is not found (api_names.h). */
struct api_access *
api_access_new(uv_loop_t *loop,
               void (*on_lost)(void *arg, const char *host, const struct error *err), void *arg);
void api_access_set(struct api_access *access, const struct api_security *security);
/* The members are those of `cluster`, which is copied as far as it matters. */
void api_access_members(struct api_access *access, const struct ha_cluster *cluster);
/* 0, or the status of the refusal, and why. `by_member`: a request that members make, whom the list
 * need not name one by one. */
int api_access_check(const struct api_access *access, const struct http1_exchange *exchange,
                     bool by_member, const char **ret_why);
void api_access_close(struct api_access *access, void (*closed)(void *arg), void *arg);

#endif
