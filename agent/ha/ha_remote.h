/* PURE. A standby cluster: this cluster follows another one as a whole (docs/operations.md,
 * "Standby cluster"). Its leader holds the leader key as any other, receives from the primary of
 * the other cluster, and is no primary: its page says standby. What the other cluster has is the
 * truth for every member here. */
#ifndef AGENT_HA_REMOTE_H
#define AGENT_HA_REMOTE_H

#include "agent/ha/ha_rules.h"

/* The leader key is ours, and this is a standby cluster. */
bool ha_leads_standby_cluster(const struct ha_snapshot *s);
/* Our standby was told to receive from the other cluster as it is configured now. */
bool ha_follows_remote(const struct ha_snapshot *s);
/* The present term began before the configuration was changed last: perhaps as that of a standby
 * cluster. No timeline was reserved in it, so nobody is promoted in it. */
bool ha_term_is_of_before(const struct ha_snapshot *s);
/* As ha_rejoin_next, for a member of a standby cluster. HA_REJOIN_REMOVE is for those that do not
 * lead. A standby that was not compared yet is attached: PostgreSQL refuses what does not fit. */
enum ha_rejoin_step ha_remote_rejoin(const struct ha_snapshot *s);
/* The leader may receive from the other cluster: it was compared with it in this term, and what is
 * here is there. PostgreSQL tells histories apart by the number of their timeline alone, and what
 * it receives takes the place of what is here, from the beginning of a segment on. Not asked of a
 * copy that was never started, nor where there is nobody to be asked (an archive alone). */
bool ha_remote_may_be_received(const struct ha_snapshot *s);
/* A running standby that was never compared with the other cluster in this term, or receives
 * nothing for long. The leader is compared before it receives. */
bool ha_remote_wants_look(const struct ha_snapshot *s);

#endif
