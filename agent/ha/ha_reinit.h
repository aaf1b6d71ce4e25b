/* PURE. A member whose data directory is made anew on request: POST /reinitialize.
 *
 *   ordered --(promise taken back, sync duty left)--> stopped --> removed: copying --> runs: over
 *      `--> dropped: this member leads by now, what is here is not to be removed, or nothing could
 *           be removed in time
 *
 * Removed only under invariant I10, the primary of now being asked right before (HA_REMOVE_DATA).
 * Where nothing is there to remove, or the copy has failed, the order begins the copy at once. The
 * copy and the start are those of any member without data. */
#ifndef AGENT_HA_REINIT_H
#define AGENT_HA_REINIT_H

#include "agent/ha/ha_plan.h"

/* An order waits for so long, after twice loop_wait for leaving the duty of a synchronous standby:
 * for a stop, and for a primary that can be asked. */
#define HA_REINIT_BEGIN_MS 60000

/* Why the data directory cannot be made anew now, for whoever asks; NULL: it can. What is under way
 * is in *ret_busy ("" = nothing is): by force a copy, a rewind and a restart are ended for it, and
 * the rest is waited for. */
const char *ha_reinit_hindered(const struct ha_snapshot *s, const char **ret_busy);

/* Rules for everybody. */
bool ha_rule_reinit_cancels(const struct ha_snapshot *s, struct ha_plan *plan);
bool ha_rule_reinit_late(const struct ha_snapshot *s, struct ha_plan *plan);
bool ha_rule_reinit(const struct ha_snapshot *s, struct ha_plan *plan);

#endif
