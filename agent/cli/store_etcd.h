/* The etcd that a configuration names, opened as the store: of the command line, and of the agent.
 */
#ifndef AGENT_CLI_STORE_ETCD_H
#define AGENT_CLI_STORE_ETCD_H

#include "agent/config/config.h"
#include "agent/dcs/dcs_etcd.h"

#include <uv.h>

/* `base` says what the configuration does not: everything but where the etcd is and how it is
 * spoken to. */
int store_etcd_open(uv_loop_t *loop, const struct config *config,
                    const struct dcs_etcd_config *base, struct dcs **ret_dcs,
                    struct error *err) MUST_CHECK;

#endif
