/* PURE. The number of the timeline that a promotion makes. A primary that dies before anyone has
 * seen its new timeline and another one that makes the same number again have two histories under
 * one number, and "further on the higher timeline" then picks the wrong one. So the number is
 * reserved in the acquisition itself. */
#ifndef AGENT_HA_TIMELINE_H
#define AGENT_HA_TIMELINE_H

#include "agent/ha/ha_snapshot.h"

/* One above every number named by `epoch`, by `history`, by a current report and by ourselves. */
uint32_t ha_timeline_next(const struct ha_snapshot *s);
/* The highest number that our own WAL is known to have; 0 = unknown. */
uint32_t ha_timeline_own(const struct ha_snapshot *s);
/* What the holder of the last epoch reserves when it takes the key again: nothing is promoted. */
uint32_t ha_timeline_retaken(const struct ha_snapshot *s);
/* Our WAL has a number above the one that the last acquisition reserved (an archive gave PostgreSQL
 * a history file that nobody here knew of): another member may choose the same one. It is not
 * served before `epoch` names it. In a standby cluster the numbers are the other cluster's. */
bool ha_timeline_is_unreserved(const struct ha_snapshot *s);

#endif
