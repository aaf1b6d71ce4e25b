/* Maintenance mode in the simulator. */
#ifndef TESTS_SIM_PAUSE_H
#define TESTS_SIM_PAUSE_H

#include "sim.h"

/* Proposed through this member. */
void sim_pause_set(struct sim_node *through, bool on);
/* The mutation: somebody takes `unfenced` away from under a primary that has no deadline. */
void sim_pause_forget(struct sim_node *through);

#endif
