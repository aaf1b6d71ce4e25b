/* The handles that the shipping loop holds, as models: same names, same contracts (include/pgctl).
 */
#ifndef TESTS_SIM_INSTANCE_H
#define TESTS_SIM_INSTANCE_H

#include "base/list.h"
#include "sim_machine.h"

struct pg_instance {
    struct sim_machine *machine;
    struct list calls; /* struct instance_call: not answered yet */
    struct list jobs;  /* the one job, if any, by the same struct */
};

struct fence_client {
    struct sim_machine *machine;
};

struct raft_group {
    struct sim_node *node;
};

void sim_instance_init(struct pg_instance *instance, struct sim_machine *machine);
void sim_instance_drop(struct pg_instance *instance); /* the process died: nobody is called */
/* By the address that members publish, "10.0.0.<n>"; -1 = nobody's. */
int sim_host_index(const struct sim_world *world, const char *host);

#endif
