/* PURE. What Patroni's environment variables say of etcd, put over what the file says. Private to
 * agent/config. */
#ifndef AGENT_CONFIG_ENVIRONMENT_H
#define AGENT_CONFIG_ENVIRONMENT_H

#include "agent/config/reader.h"

#include <jansson.h>

/* PATRONI_ETCD_<KEY> and PATRONI_ETCD3_<KEY>, one key each, in a copy of `tree` (an object): a new
 * reference. The section is made where there is none; empty values are not given. `environment`:
 * "NAME=value", NULL at its end; may be NULL. ERR_INVALID: one that is no UTF-8; `err` names it. */
int environment_merge(const json_t *tree, const char *const *environment, json_t **ret_tree,
                      struct error *err) MUST_CHECK;

/* Of each variable of Patroni's that environment_merge passes over. */
void environment_warn(const struct reader *r, const char *const *environment);

#endif
