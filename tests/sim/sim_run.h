/* One run: what it is made of, and what came of it. */
#ifndef TESTS_SIM_RUN_H
#define TESTS_SIM_RUN_H

#include "sim_script.h"

struct sim_outcome {
    const char *failure; /* the rule that was broken first; NULL = none */
    char text[512];
    int64_t ended_ms;
    uint64_t hash; /* of all events: the same for the same run */
};

void sim_run(const struct sim_options *options, const struct sim_setup *setup,
             const struct sim_script *script, struct sim_outcome *ret_outcome);
/* What the options alone say: setup and script by the seed; `script` is empty for a drill. */
void sim_run_drawn(const struct sim_options *options, struct sim_outcome *ret_outcome);

/* sim_shrink.c: leaves faults out while the same rule is broken. How many are left. */
size_t sim_shrink(const struct sim_options *options, const struct sim_setup *setup,
                  struct sim_script *script, const char *rule);

#endif
