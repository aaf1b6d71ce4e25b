/* PURE. What Patroni's environment variables (PATRONI_...) say, put over what the file says.
 * Private to agent/config. `environment` is everywhere "NAME=value", NULL at its end; may be NULL.
 * A variable that is empty counts as not given. */
#ifndef AGENT_CONFIG_ENVIRONMENT_H
#define AGENT_CONFIG_ENVIRONMENT_H

#include "agent/config/reader.h"

#include <jansson.h>
#include <stdbool.h>

/* Key by key over a copy of `tree` (an object): a new reference. Sections are made where there are
 * none; mappings merge. ERR_INVALID: a variable that is no UTF-8; `err` names it. */
int environment_merge(const json_t *tree, const char *const *environment, json_t **ret_tree,
                      struct error *err) MUST_CHECK;

/* The variable that gives this key ("etcd3", "hosts"), for messages: its name is the first *ret_len
 * bytes. NULL = none does. */
const char *environment_name(const char *const *environment, const char *section, const char *key,
                             int *ret_len);

/* Some key is given. */
bool environment_has_any(const char *const *environment);

/* PATRONI_CONFIGURATION: a whole document. NULL = not given. */
const char *environment_document(const char *const *environment);

/* Of each variable of Patroni's that environment_merge passes over. */
void environment_warn(const struct reader *r, const char *const *environment);

#endif
