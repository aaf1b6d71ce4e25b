/* A data directory that is made anew on request, as the loop keeps it (agent/ha/ha_reinit.h
 * decides). In memory: an agent that ends has forgotten it. */
#ifndef AGENT_LOOP_REINIT_H
#define AGENT_LOOP_REINIT_H

#include "agent/ha/ha_reinit.h"
#include "agent/loop/loop.h"

/* 0: begun. ERR_BUSY: other long work is under way, which `force` would end; ERR_REFUSED: not here,
 * or not now. `err` says so in words. */
int reinit_order(struct agent *agent, bool force, bool from_leader, struct error *err) MUST_CHECK;

/* For the rest of the loop. */
void reinit_cancels(struct agent *agent); /* what was in its way is being ended */
void reinit_copies(struct agent *agent);  /* the data are gone, or a copy has begun */
void reinit_look(struct agent *agent);    /* what runs may have changed */
void reinit_drop(struct agent *agent, const char *why);

#endif
