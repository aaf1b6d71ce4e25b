/* PURE. `early_failover` (rule 7 of docs/consensus.md): when a lease that still runs is ended. It
 * is for strict synchronous modes alone: there the reports of the standbys, which receive no more
 * from the old primary, are what keeps every acknowledged commit, and no clock and no fence. What
 * is lost is that the old primary may still answer, until it learns of it or its fence acts. */
#ifndef AGENT_HA_DEPOSE_H
#define AGENT_HA_DEPOSE_H

#include "agent/ha/ha_snapshot.h"

/* This standby may take part: it is asked for, the leader is one of ours and no `unfenced` stands,
 * and /sync names us. Not in pause. */
bool ha_depose_is_possible(const struct ha_snapshot *s);
/* Since when all signs of life of the leader's node have been missing; HA_NEVER = one is there.
 * They count after an election timeout. */
int64_t ha_depose_silent_since(const struct ha_snapshot *s);
/* Both, and for an election timeout: this standby goes on as if the key were gone. */
bool ha_depose_is_due(const struct ha_snapshot *s);
/* The report's writer says the same of the leader. */
bool ha_depose_counts(const struct ha_snapshot *s, const struct ha_report *report);

#endif
