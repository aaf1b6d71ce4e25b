/* PURE. Who may run for the next epoch when the leader key is absent. Positions come from the
 * reports in the store: of members that have stopped receiving, so that no later write of the old
 * primary can change the order. */
#ifndef AGENT_HA_CANDIDATE_H
#define AGENT_HA_CANDIDATE_H

#include "agent/ha/ha_plan.h"
#include "agent/ha/ha_snapshot.h"

enum ha_verdict {
    HA_VERDICT_RUN,
    HA_VERDICT_WAIT, /* until `until_mono_ms`, or an event */
    HA_VERDICT_NO,
};

struct ha_candidacy {
    enum ha_verdict verdict;
    int64_t until_mono_ms; /* HA_NEVER = the next event */
    char reason[HA_REASON_BYTES];
};

/* For a running standby that is detached, knows its position and has a report of it in the store.
 */
void ha_candidate_decide(const struct ha_snapshot *s, struct ha_candidacy *ret_candidacy);

/* Is `a` ahead of `b`: higher timeline, then further, then failover_priority, then name. */
bool ha_report_is_ahead(const struct ha_snapshot *s, const struct ha_report *a,
                        const struct ha_report *b);

/* For the leader: a member that could take over now, other than ourselves; `wanted` ("" = any).
 * NULL, and the reason, if there is none. */
const struct ha_member *ha_candidate_possible(const struct ha_snapshot *s, const char *wanted,
                                              char *ret_reason);

/* The failover request asks for something now: not scheduled for later, and not about an earlier
 * leader. */
bool ha_failover_is_due(const struct ha_snapshot *s);

/* The store was recovered after the loss of its majority, and no operator has ordered this member
 * to lead since. */
bool ha_awaits_order(const struct ha_snapshot *s);

/* Compares and values of an acquisition: what the decision saw, with the counted reports if
 * `with_reports`. */
void ha_acquire_fill(const struct ha_snapshot *s, bool with_reports, uint32_t timeline,
                     struct ha_acquire *ret_acquire);

#endif
