/* POST /dry-run, the node's side: what would be decided. */
#ifndef AGENT_APP_DRY_RUN_H
#define AGENT_APP_DRY_RUN_H

#include "agent/api/api_ports.h"

/* As api_ports.dry_run; `arg` is the agent. {"rule": "<list>/<name>", "reason": "...", "actions":
 * ["stop_fast", ...]}: "wait" is none of them. */
char *app_dry_run(void *arg, const struct api_supposed *supposed, struct error *err);

#endif
