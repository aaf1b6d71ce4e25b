/* PURE. Who may have the cluster's data, as long as the store is empty.
 *
 * A store that knows of no cluster may have lost it, or be new beside data that are not: then one
 * of the members has the data directory that everybody wants, and may come later than the others. A
 * cluster that is made meanwhile by an empty one destroys nothing, but shuts that member out. */
#ifndef AGENT_HA_PARTNERS_H
#define AGENT_HA_PARTNERS_H

#include "agent/ha/ha_snapshot.h"

#define HA_PARTNERS_BYTES 160
/* Who was never seen is waited for so many ttl: a host may still be booting. Longer, and a group
 * that has lost one for good could not begin. */
#define HA_PARTNERS_TTLS 2

/* "none", "valid", ...: in member records. */
const char *ha_data_name(enum ha_data data);
/* What this member says of its own. */
enum ha_data ha_data_own(const struct ha_snapshot *s);

/* By this store, as far as it can be known from it. */
bool ha_nobody_has_led(const struct ha_snapshot *s);
/* It was a primary when it ran last, or runs as one: what its timeline has, it has written. */
bool ha_data_is_of_primary(const struct ha_snapshot *s);

/* The latest timeline that these data may be on; 0 = not known. */
uint32_t ha_data_timeline(const struct ha_snapshot *s);
uint32_t ha_partner_timeline(const struct ha_member *member);

/* As long as nobody has led by this store: another member whose data are this cluster's (its system
 * identifier) and newer than ours: of a later timeline; of a primary, where ours are a standby's of
 * the same; or further on that timeline. NULL = none tells of such. */
const struct ha_member *ha_partner_newer(const struct ha_snapshot *s);
/* A member of the group has data of a primary of this cluster that are older than ours, and every
 * other one has told what it has: nobody else can be the primary that ours, a standby's, have
 * received from. Where the store is an etcd, whose members nobody knows, never. */
bool ha_partners_prove_newest(const struct ha_snapshot *s);

/* Another member that tells of a valid data directory; NULL = none does. It makes the cluster when
 * its rules let it, and everybody else is copied from it. */
const struct ha_member *ha_partner_with_data(const struct ha_snapshot *s);
/* There is a record of a member whose node is not heard of. When it is again, the record is still
 * the one of before, for a ttl at most: somebody may have restored its data meanwhile. */
bool ha_partner_is_gone(const struct ha_snapshot *s);
/* Those that have not told yet: members of the Raft group but witnesses, whoever has a record, and
 * who had data and has gone: its two ttl begin when it went.
 * `ret_names`: "'n2', 'n3'". False: all have, or the time for it is over. */
bool ha_partners_are_awaited(const struct ha_snapshot *s, char ret_names[HA_PARTNERS_BYTES],
                             int64_t *ret_until_mono_ms);

#endif
