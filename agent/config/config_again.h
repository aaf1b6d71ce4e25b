/* PURE. The file, read again under a running agent: what may change while it runs is taken, what
 * may not stays as it was, and is named. */
#ifndef AGENT_CONFIG_CONFIG_AGAIN_H
#define AGENT_CONFIG_CONFIG_AGAIN_H

#include "agent/config/config.h"

/* `running` is in force, `read` what the file says now (config_load): both are left as they are. A
 * warning for each key that differs and needs a restart. *ret_config owns all of its own;
 * config_free. An error: what would be left does not fit together. */
int config_again(const struct config *running, const struct config *read, struct config *ret_config,
                 struct config_warnings *warnings, struct error *err) MUST_CHECK;

#endif
