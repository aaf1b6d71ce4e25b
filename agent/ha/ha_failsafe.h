/* PURE. failsafe_mode: a primary that has lost the store goes on as long as every member of the key
 * `failsafe` says yes to it, again and again (docs/etcd.md). Here: what those members owe it, and
 * when the key has to be written. The primary's half is in ha_lease.h (ha_lease_vouched) and
 * agent/loop/failsafe.c. */
#ifndef AGENT_HA_FAILSAFE_H
#define AGENT_HA_FAILSAFE_H

#include "agent/ha/ha_snapshot.h"

/* A promise is in force, whatever the configuration says by now: the key is not taken, and the
 * stream from that primary goes on. */
bool ha_failsafe_binds(const struct ha_snapshot *s);
/* `until_lease_ms` as time of the monotonic clock, for a wait. */
int64_t ha_failsafe_until_mono_ms(const struct ha_snapshot *s, int64_t until_lease_ms);
/* Why this member may not run for the key; NULL = it may. `ret_until_mono_ms`: when that ends;
 * HA_NEVER = with another view. */
const char *ha_failsafe_obstacle(const struct ha_snapshot *s, int64_t *ret_until_mono_ms);
/* The leader: the key is of an earlier epoch, or does not name exactly the members that there are,
 * ourselves included (nobody where the mode is off), or it may yet become another one; and it may
 * be written now. */
bool ha_failsafe_is_outdated(const struct ha_snapshot *s);

#endif
