/* Maintenance mode in the simulator. */
#ifndef TESTS_SIM_PAUSE_H
#define TESTS_SIM_PAUSE_H

#include "sim.h"

/* Proposed through this member. */
void sim_pause_set(struct sim_node *through, bool on);
/* The mutation: somebody takes `unfenced` away from under a primary that has no deadline. */
void sim_pause_forget(struct sim_node *through);

/* No member's store says pause any more, and no write that says it can be under way. Says resume
 * through the leader of the group, again and again, until it is so. */
bool sim_pause_ended(struct sim_world *world);
/* After an entry was applied for the first time anywhere. */
void sim_pause_applied(struct sim_world *world, const struct store *store);
/* A primary runs here, in this epoch, and its page has no deadline. */
void sim_pause_unfenced(const struct sim_node *node, int64_t revision);
/* I14: this agent is about to do that to its PostgreSQL. Nothing of the kind in pause, as far as it
 * can know of it, but what the operator has asked for. */
void sim_pause_check(struct sim_node *node, const char *what);

#endif
