/* A restart of PostgreSQL on request, as the loop keeps it (agent/ha/ha_restart.h decides). In
 * memory: an agent that ends has forgotten it. */
#ifndef AGENT_LOOP_RESTART_H
#define AGENT_LOOP_RESTART_H

#include "agent/ha/ha_restart.h"
#include "agent/loop/loop.h"

#include <jansson.h>

struct restart_wish {
    struct ha_restart_filter filter;
    int64_t timeout_ms;   /* of the start; 0 = primary_start_timeout */
    int64_t at_wall_ms;   /* of a scheduled one */
    const json_t *object; /* of a scheduled one, as its author has given it */
};

/* For now: 0, and its number, and how long it may take at most. ERR_REFUSED: a condition is not
 * met; ERR_BUSY: other long work is under way; ERR_UNAVAILABLE: PostgreSQL does not run. `err` says
 * so in words. The outcome is in agent->restart when `ended` has reached the number. */
int restart_order(struct agent *agent, const struct restart_wish *wish, unsigned *ret_number,
                  int64_t *ret_wait_ms, struct error *err) MUST_CHECK;
/* ERR_EXISTS: one is scheduled already. */
int restart_schedule(struct agent *agent, const struct restart_wish *wish,
                     struct error *err) MUST_CHECK;
/* False: none was scheduled. */
bool restart_unschedule(struct agent *agent);
/* The scheduled one for others to see, `record`: for the member key; NULL = none. A new reference.
 */
json_t *restart_shown(const struct agent *agent, bool record);

/* For the rest of the loop. */
void restart_begun(struct agent *agent); /* PostgreSQL is being stopped for it */
void restart_look(struct agent *agent);  /* what runs may have changed, or time has passed */
void restart_start_failed(struct agent *agent, const struct error *err);
void restart_due(struct agent *agent); /* the scheduled one becomes an order */
void restart_drop(struct agent *agent, const char *why);
/* Ordered or under way: given up for something else. */
void restart_cancel(struct agent *agent, const char *why);
void restart_stop(struct agent *agent);

#endif
