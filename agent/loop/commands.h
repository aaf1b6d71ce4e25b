/* Commands of the operator: callbacks, which are told what this instance becomes, and what every
 * command leaves in the log. Nothing waits for a callback but, for a bounded time, the end of the
 * agent. */
#ifndef AGENT_LOOP_COMMANDS_H
#define AGENT_LOOP_COMMANDS_H

#include "pgctl/pg_instance.h"

#include <stdbool.h>

struct agent;
struct ha_snapshot;

/* Calls the callback that is due by what is seen now. */
void commands_look(struct agent *agent, const struct ha_snapshot *s);
/* The configuration of a running server was read again. */
void commands_reloaded(struct agent *agent);
/* The agent may exit: no callback runs, or it was waited for long enough. */
bool commands_let_exit(struct agent *agent);

/* What has to be asked before a promotion; false: nothing. `ret_command` is the configuration's. */
bool commands_pre_promote(const struct agent *agent, struct pg_command *ret_command);
/* What runs before a stop in order, within the time that is left for it: of a primary until the
 * fence begins to stop it, and none at all where it must not write any more. */
bool commands_before_stop(const struct agent *agent, struct pg_command *ret_command);
/* What these two may add to the agent's own stop: 0 where none is configured. */
int64_t commands_stop_ms(const struct agent *agent);

/* For pg_instance_config.on_command: the outcome and what the command wrote. */
void commands_tell(void *arg, const struct pg_command_end *end);

#endif
