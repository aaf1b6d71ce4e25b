/* PURE. The watchdog device of this node, as far as decisions go by it (docs/consensus.md, section
 * 3). The fence process does with it what the page asks for; here it is asked whether a primary may
 * be made or go on without it. */
#ifndef AGENT_HA_WATCHDOG_H
#define AGENT_HA_WATCHDOG_H

#include "agent/ha/ha_plan.h"

/* Required, and it cannot be had: no primary here, except in pause, which stops the device. (A
 * standby cluster has none to guard.) */
bool ha_watchdog_bars(const struct ha_snapshot *s);
/* It is wanted, and neither armed nor known to fail: what would become writable waits for it. */
bool ha_watchdog_is_awaited(const struct ha_snapshot *s);
/* Required, outside a pause, and not armed now. */
bool ha_watchdog_is_missing(const struct ha_snapshot *s);
/* Arms the page, if it is not, and waits. */
void ha_plan_await_watchdog(const struct ha_snapshot *s, struct ha_plan *plan);

bool ha_rule_watchdog(const struct ha_snapshot *s, struct ha_plan *plan);         /* running */
bool ha_rule_watchdog_stopped(const struct ha_snapshot *s, struct ha_plan *plan); /* nothing runs */

#endif
