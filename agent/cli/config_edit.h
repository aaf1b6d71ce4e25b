/* PURE. Changes to a dynamic configuration as `edit-config` takes them. */
#ifndef AGENT_CLI_CONFIG_EDIT_H
#define AGENT_CLI_CONFIG_EDIT_H

#include "base/err.h"

#include <jansson.h>

#define CONFIG_EDIT_DEPTH_MAX 32

/* Applies "a.b=VALUE" to `document` in place. VALUE is YAML; null (or nothing) removes the key, and
 * parents that become empty by that go too. Below postgresql.parameters the rest of the path is one
 * name, dots included. */
int config_edit_set(json_t *document, const char *pair, struct error *err) MUST_CHECK;

#endif
