/* A fence process that stands still: it neither acts nor answers, and its agent hears no more than
 * it has said before. */
#ifndef TESTS_SIM_FENCE_H
#define TESTS_SIM_FENCE_H

#include "sim_machine.h"

/* For so long, from now on. */
void sim_fence_stop(struct sim_machine *machine, int64_t ms);
/* It was stopped, and has not done anything since. */
bool sim_fence_stands(const struct sim_machine *machine);
/* And its agent knows. */
bool sim_fence_is_silent(const struct sim_machine *machine);
/* At its first turn after that. */
void sim_fence_goes_on(struct sim_machine *machine);
/* A start lies unread since then; false: it is refused by now. */
bool sim_fence_reads_start(struct sim_machine *machine, int64_t sent_ms);
/* A stop meanwhile: its signal was the agent's own; whether all is gone, and the kill, the agent
 * does itself as soon as it knows that the fence does neither. */
struct sim_call;
void sim_fence_finish_stop(struct sim_call *call);
/* What its agent goes by. */
const struct fence_status *sim_fence_heard(const struct sim_machine *machine);

#endif
