/* PURE. The number of the timeline that a promotion makes. A primary that dies before anyone has
 * seen its new timeline and another one that makes the same number again have two histories under
 * one number, and "further on the higher timeline" then picks the wrong one. So the number is
 * reserved in the acquisition itself. */
#ifndef AGENT_HA_TIMELINE_H
#define AGENT_HA_TIMELINE_H

#include "agent/ha/ha_snapshot.h"

/* One above every number named by `epoch`, by `history`, by a current report and by ourselves. */
uint32_t ha_timeline_next(const struct ha_snapshot *s);

#endif
