#include "sim.h"
void sim_agent_started(struct sim_node *node) { sim_load_started(node); }
void sim_agent_crashed(struct sim_node *node) { sim_load_crashed(node); }
void sim_agent_changed(struct sim_node *node) { (void)node; }
bool sim_agents_settled(struct sim_world *world) { (void)world; return true; }
void sim_agents_stop(struct sim_world *world) { (void)world; }
void sim_agents_fault(struct sim_world *world) { (void)world; }
