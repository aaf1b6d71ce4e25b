/* PURE. Answer to GET /patroni of another member -> what the race may know of it. */
#ifndef AGENT_HA_PEER_H
#define AGENT_HA_PEER_H

#include "agent/ha/ha_snapshot.h"

struct json_t;

/* Fills `patroni`, `primary`, `nofailover`, `timeline` and `lsn` of a peer whose name is set.
 * False: it is the answer of somebody else (another name, scope or system identifier), or none at
 * all, and nothing was filled. `system_id` "" = any. */
bool ha_peer_read(const struct json_t *document, const char *scope, const char *system_id,
                  struct ha_peer *peer);

#endif
