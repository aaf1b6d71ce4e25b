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
/* What the agent has read of the store may be new; it has died; its Raft directory is empty. */
void sim_pause_known(const struct sim_node *node);
void sim_pause_agent_died(struct sim_node *node);
void sim_pause_forgotten(struct sim_node *node);
/* I14: this agent is about to do that to its PostgreSQL. Nothing of the kind in pause, but what the
 * operator has asked for. An agent that has read nothing yet goes by what the one before it knew,
 * but for what may write: that is its fence's. */
void sim_pause_check(struct sim_node *node, const char *what);
/* The same of a stop, which a restart on request may be. */
void sim_pause_check_stop(struct sim_node *node);
/* The same of a promotion, which may be one that an earlier run of the agent has sent. */
void sim_pause_check_promotion(struct sim_node *node);

#endif
