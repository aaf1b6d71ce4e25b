/* Connections of agents to servers of other hosts. */
#ifndef TESTS_SIM_CONNECT_H
#define TESTS_SIM_CONNECT_H

#include "sim.h"

/* Its agent has ended: what it had closed or canceled is freed. */
void sim_connects_drop(const struct sim_node *node);

#endif
