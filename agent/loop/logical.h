/* Permanent logical slots of this node's instance: which are to be there, which are to be copied
 * from the primary, and which of the copies may be used. slots.h has the physical ones. */
#ifndef AGENT_LOOP_LOGICAL_H
#define AGENT_LOOP_LOGICAL_H

#include "agent/loop/loop.h"

struct logical_plan {
    bool due; /* something of it is not so yet */
    size_t wish_count;
    struct pg_logical_wish wishes[DYNAMIC_SLOTS_MAX]; /* texts are the configuration's */
    size_t drop_count;
    const char *drops[PG_SLOTS_MAX]; /* names of the agent's last probe */
    size_t real_count;
    const char *real[PG_SLOTS_MAX]; /* likewise: a primary's, that were good before its promotion */
};

/* The last view, the configuration or the last answer of the instance is new. */
void logical_note(struct agent *agent);
/* For the instance that the last probe saw. The plan borrows from it. */
void logical_decide(const struct agent *agent, struct logical_plan *ret_plan);
/* Begins what is due of it. */
void logical_apply(struct agent *agent);
/* On a standby: asks the primary, if that is due, what its slots are and what it keeps for ours. */
void logical_look(struct agent *agent);
/* Copies that must not be used by the primary that this standby is about to become. The names are
 * the agent's. */
size_t logical_unsafe(const struct agent *agent, const char *ret_names[DYNAMIC_SLOTS_MAX]);
/* The promotion is over: tells what it has left. */
void logical_promoted(struct agent *agent);
/* There is one that PostgreSQL's own worker has made here (17). */
bool logical_has_synced(const struct agent *agent);
/* Would the slot that is here be good after a failover? False where there is none. */
bool logical_is_safe(const struct agent *agent, const char *name);
/* Why the slot of the configuration would not outlive a failover, in words; NULL = it would, or
 * nothing is known. A constant text, or the agent's until its next turn. */
const char *logical_fault(const struct agent *agent, const char *name);

#endif
