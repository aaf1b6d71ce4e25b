/* PURE. Which values of the store's keys can be read: what somebody else has written there counts
 * as absent if it cannot (ha_cluster.h), and the operator is to hear of it. */
#ifndef AGENT_HA_VALUES_H
#define AGENT_HA_VALUES_H

#include "agent/ha/ha_cluster.h"

/* NULL: it can be read, or is none that we read. Otherwise what would be right, for a message. The
 * key `config` has checks of its own (dynamic.h). */
const char *ha_value_wanted(const struct ha_kv *kv);

#endif
