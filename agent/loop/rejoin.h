/* Actions of a member that is to follow a leader with data of its own: is that of the leader's
 * history, and if it is not, what is done with it. They are begun here; the outcome is a fact
 * (struct ha_rejoin), or the job's. */
#ifndef AGENT_LOOP_REJOIN_H
#define AGENT_LOOP_REJOIN_H

#include "agent/loop/loop.h"

int rejoin_check(struct agent *agent, const struct ha_action *action, struct error *err);
int rejoin_rewind(struct agent *agent, const struct ha_action *action, struct error *err);
int rejoin_remove_data(struct agent *agent, const struct ha_action *action, struct error *err);
int rejoin_move_aside(struct agent *agent, const struct ha_action *action, struct error *err);

#endif
