/* What logical.c and logical_copy.c share. */
#ifndef AGENT_LOOP_LOGICAL_PRIVATE_H
#define AGENT_LOOP_LOGICAL_PRIVATE_H

#include "agent/loop/logical.h"

/* What is remembered of the configuration's slot of that name; NULL = nothing. */
struct loop_logical *logical_item(const struct agent *agent, const char *name);
/* A logical one of the last probe; NULL = none. */
const struct pg_slot *logical_slot(const struct agent *agent, const char *name);
/* PostgreSQL carries them over by itself. */
bool logical_is_native(const struct agent *agent);
bool logical_is_standby(const struct agent *agent);
/* A member has a slot of that name: no logical one can have it. */
bool logical_is_members(const struct agent *agent, const char *name);
/* Member between us and the leader, next to the leader: our feedback reaches it by that one's slot.
 * `ret_streams`: all on the way do. */
const char *logical_next_to_leader(const struct agent *agent, bool *ret_streams);
/* On a primary of 17: its slot is without `failover` until nobody reads from it. */
bool logical_waits_for_consumer(const struct agent *agent, const struct loop_logical *item,
                                const struct pg_slot *slot);
/* What is to be done for that slot, also where a physical one has its name. */
enum pg_logical_next logical_next_of(const struct agent *agent, const struct pg_logical_wish *wish);

#endif
