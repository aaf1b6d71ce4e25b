/* What the section `restapi` says of safety, put to work: for the agent's REST server, and for a
 * witness's. Its files are read before anything changes: either all of it takes effect, or nothing.
 */
#ifndef AGENT_REST_TLS_H
#define AGENT_REST_TLS_H

#include "agent/config/config.h"

struct tls_context;
struct tls_watch;
struct uv_loop_s;

/* Reads the files, which waits for the disk: at the start, or on a thread. *ret_context is NULL
 * where there is no certificate, else one to be freed. `err` names the key. */
int rest_tls_read(const struct config_restapi *restapi, struct tls_context **ret_context,
                  struct error *err) MUST_CHECK;

/* Looks whether the files of `context` change; NULL: nothing is to be looked at, and NULL comes
 * back. What it finds it logs. */
struct tls_watch *rest_tls_watch(struct uv_loop_s *loop, struct tls_context *context);

/* Text of the header `Server`; NULL = the default. */
const char *rest_server_name(const struct config_restapi *restapi);

#endif
