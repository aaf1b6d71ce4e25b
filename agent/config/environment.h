/* PURE. What Patroni's environment variables say of etcd, put over what the file says. Private to
 * agent/config. */
#ifndef AGENT_CONFIG_ENVIRONMENT_H
#define AGENT_CONFIG_ENVIRONMENT_H

#include <jansson.h>

/* PATRONI_ETCD_<KEY> and PATRONI_ETCD3_<KEY>, one key each, in a copy of `tree` (an object): a new
 * reference. The section is made where there is none; empty values are not given. `environment`:
 * "NAME=value", NULL at its end; may be NULL. */
json_t *environment_merge(const json_t *tree, const char *const *environment);

#endif
