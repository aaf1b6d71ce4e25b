/* The safety of the agent's REST server, from the file in force. */
#ifndef AGENT_APP_REST_H
#define AGENT_APP_REST_H

#include "agent/config/config.h"

struct agent;
struct tls_context;
struct tls_watch;

/* Of one agent; zeroed at first. */
struct app_rest {
    struct tls_watch *watch; /* NULL: there are no certificates */
};

/* What `config` says takes effect, with what rest_tls_read has read for it (NULL: plain HTTP; the
 * caller keeps its hold). */
void app_rest_apply(struct app_rest *rest, struct agent *agent, const struct config *config,
                    struct tls_context *context);
void app_rest_stop(struct app_rest *rest);

#endif
