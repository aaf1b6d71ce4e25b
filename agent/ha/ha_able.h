/* PURE. Can the instance do a primary's work: does it answer, do its disks take writes, does it
 * stay up? And what is done where it cannot: the key goes where another node is better, and is
 * never kept without end (docs/consensus.md, section 6). */
#ifndef AGENT_HA_ABLE_H
#define AGENT_HA_ABLE_H

#include "agent/ha/ha_plan.h"

/* Without anybody who could take over, a primary that is down, or whose disk is full, is given up
 * after primary_start_timeout, and not before this: a term is long enough for tries to restart. */
#define HA_GIVE_UP_MS_MIN 60000
/* So many times down in a crash_loop_window: another start in place would not be the last. */
#define HA_CRASHES_MAX 5
/* Killed because it hung, and hung again: what a start in place does not heal. */
#define HA_HANGS_MAX 2
/* A fence of whose instance nothing is left, and that has not answered for two ttls and this, is
 * ended: what could not be started beside it is more than it still guards. */
#define HA_FENCE_END_MS_MIN 30000

/* "low", "full", "stalled", "read-only", "failed"; "good", "unknown". Never NULL. */
const char *ha_disk_name(enum pg_disk_kind kind);
/* A node whose disk is so can be a primary. One that is low is still better than none. */
bool ha_disk_takes_writes(enum pg_disk_kind kind);
/* Could this node hardly be promoted? Its report says so, and others go first. */
/* A promotion has failed here, or was not let begin, less than a ttl ago; until then
 * `*ret_until_mono_ms`. Another one is to have the key. */
bool ha_promotion_failed_lately(const struct ha_snapshot *s, int64_t *ret_until_mono_ms);
/* The fence stands still: nothing but this agent would end a primary here in time, nor could one be
 * started. (A standby cluster has none to end.) */
bool ha_fence_bars(const struct ha_snapshot *s);
bool ha_is_unfit(const struct ha_snapshot *s);
/* What keeps this standby, which has the leader key, from being promoted, in words; NULL: nothing
 * does. It may have come up since the key was taken: a command of the operator's runs before a
 * promotion, for as long as he lets it. One that may have been sent, by this run of the agent or an
 * earlier one, goes on: to bar it would only end the standby. */
const char *ha_promotion_barred(const struct ha_snapshot *s);
/* A node whose disk is so is not worth a change of primary. */
bool ha_disk_is_low_or_worse(enum pg_disk_kind kind);

#define HA_TROUBLE_BYTES 128
/* What is wrong here, for people; "" = nothing. Without numbers that change all the time. */
void ha_trouble(const struct ha_snapshot *s, char ret_text[HA_TROUBLE_BYTES]);

/* Rules, in the lists of their situations. */
bool ha_rule_disk(const struct ha_snapshot *s, struct ha_plan *plan);       /* running, starting */
bool ha_rule_hung(const struct ha_snapshot *s, struct ha_plan *plan);       /* running */
bool ha_rule_crash_loop(const struct ha_snapshot *s, struct ha_plan *plan); /* running */
bool ha_rule_disk_stopping(const struct ha_snapshot *s, struct ha_plan *plan);  /* stopping */
bool ha_rule_disk_stopped(const struct ha_snapshot *s, struct ha_plan *plan);   /* nothing runs */
bool ha_rule_give_up(const struct ha_snapshot *s, struct ha_plan *plan);        /* nothing runs */
bool ha_rule_fence(const struct ha_snapshot *s, struct ha_plan *plan);          /* running */
bool ha_rule_fence_soft(const struct ha_snapshot *s, struct ha_plan *plan);     /* before all */
bool ha_rule_stop_failed(const struct ha_snapshot *s, struct ha_plan *plan);    /* stopping */
bool ha_rule_fence_stopping(const struct ha_snapshot *s, struct ha_plan *plan); /* stopping */
bool ha_rule_fence_stopped(const struct ha_snapshot *s, struct ha_plan *plan);  /* nothing runs */

#endif
