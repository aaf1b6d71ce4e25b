/* PURE. Restarts of PostgreSQL that somebody has asked for: at once, or at a time.
 *
 *   ordered --(sync duty left)--> stopped by it, under way --> runs again: over
 *      `--> dropped: it could not be begun
 *
 * The node keeps its role, and a primary its lease: it is started in place, under the page as it
 * stands, by the rules that start what went down. What does not come up in time is dealt with as
 * after a crash (ha_able.h). */
#ifndef AGENT_HA_RESTART_H
#define AGENT_HA_RESTART_H

#include "agent/ha/ha_plan.h"

/* An order waits for so long, after twice loop_wait for leaving the duty of a synchronous standby:
 * whoever asked waits for the answer. */
#define HA_RESTART_BEGIN_MS 10000
/* For its start where primary_start_timeout is 0: that means crashes. */
#define HA_RESTART_START_MS 60000

/* Which condition does not hold; NULL: all do. */
const char *ha_restart_unmet(const struct ha_snapshot *s, const struct ha_restart_filter *filter);
/* What keeps a restart from being begun now, in words that " already in progress" or nothing may
 * follow; NULL: nothing does. */
enum ha_restart_hindrance { HA_RESTART_FREE, HA_RESTART_BUSY, HA_RESTART_NOT_RUNNING };
enum ha_restart_hindrance ha_restart_hindered(const struct ha_snapshot *s, const char **ret_word);

/* For " already in progress"; NULL: a job that is soon over. */
const char *ha_job_word(enum ha_job_kind kind);

/* Since when this instance, stopped for a restart or crashed, should have been up again; HA_NEVER.
 */
int64_t ha_down_since_mono_ms(const struct ha_snapshot *s);
/* How long a start for a restart may take. */
int64_t ha_restart_timeout_ms(int64_t own_ms, int64_t primary_start_timeout_ms);
/* How long that may take, if somebody else can lead. */
int64_t ha_start_timeout_ms(const struct ha_snapshot *s);
/* And what says so. Never NULL. */
const char *ha_start_timeout_name(const struct ha_snapshot *s);
/* For our record: commits are to wait for somebody else, this node is about to stop. */
bool ha_sheds_sync(const struct ha_snapshot *s);
/* When the scheduled restart is to be looked at; HA_NEVER. */
int64_t ha_restart_due_mono_ms(const struct ha_snapshot *s);

/* Rules, in the lists of their situations. */
bool ha_rule_restart(const struct ha_snapshot *s, struct ha_plan *plan); /* running, all is well */
bool ha_rule_restart_scheduled(const struct ha_snapshot *s, struct ha_plan *plan); /* likewise */
bool ha_rule_restart_late(const struct ha_snapshot *s, struct ha_plan *plan);      /* everybody */

#endif
