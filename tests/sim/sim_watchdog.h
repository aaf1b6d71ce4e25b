/* The watchdog device of a machine, as a model. */
#ifndef TESTS_SIM_WATCHDOG_H
#define TESTS_SIM_WATCHDOG_H

#include "sim_machine.h"

void sim_watchdog_open(struct sim_machine *machine);
/* A turn of the fence. */
void sim_watchdog_turn(struct sim_machine *machine, const struct fence_lease *lease,
                       int64_t now_ms);

#endif
