/* Leases that are ended while they run (`early_failover`, rule 7 of docs/consensus.md). */
#ifndef TESTS_SIM_DEPOSE_H
#define TESTS_SIM_DEPOSE_H

#include "sim.h"

struct sim_machine;
struct store_kv;

struct sim_depose { /* one that took effect */
    int64_t epoch;  /* that it ended, and ... */
    int64_t next;   /* ... that it began */
    unsigned holder;
    unsigned proposer;
    bool reporters[SIM_NODES_MAX]; /* whose reports it compared */
};

void sim_depose_open(struct sim_world *world);
void sim_depose_close(struct sim_world *world);

/* A sign of life of the other node has reached this one: a message of Raft, or WAL; an answer to a
 * question, after which it is not asked again for an election timeout. */
void sim_depose_heard(const struct sim_node *node, unsigned from);
void sim_depose_answered(const struct sim_node *node, unsigned from);

/* After an entry was applied for the first time anywhere: a term began, in whatever way, with this
 * leader key; its lease was renewed; it was ended by Depose. */
void sim_depose_acquired(struct sim_world *world, const struct store_kv *leader, int64_t ttl_ms);
void sim_depose_renewed(struct sim_world *world, int64_t ttl_ms);
void sim_depose_applied(struct sim_world *world, const struct sim_depose *depose);

/* Its term was ended by another, and its fence need not have acted yet: what it writes meanwhile is
 * counted apart. */
bool sim_depose_excuses(const struct sim_machine *machine);
/* It is writable from now on. */
void sim_depose_primary(const struct sim_machine *machine);

#endif
