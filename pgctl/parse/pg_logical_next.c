/* What is to become of one permanent logical slot.
 *
 * The primary has the slot that counts. Before 17 PostgreSQL makes none on a standby: its state is
 * copied there from the primary while the standby is down, and from then on moved on to where its
 * consumer is known to be, so that it lets go of WAL and of rows of catalogs. Not beyond what was
 * replayed: decoding goes no further. From 17 on the server copies slots that are marked `failover`
 * itself, and refuses to where one of that name is in its way that it has not made: a former
 * primary's.
 *
 * What cannot be used is made anew on the primary, from now on: changes before that are not in it,
 * and who carries it out tells so. On a standby nothing is lost: the primary has it. */
#include "pgctl/pg_parse.h"

#include <string.h>

bool pg_slot_is_lost(const struct pg_slot *slot)
{
    return slot->invalid || slot->restart_lsn == 0 || strcmp(slot->wal_status, "lost") == 0;
}

static bool is_wished(const struct pg_slot *slot, const struct pg_logical_wish *wish)
{
    return !slot->physical && strcmp(slot->database, wish->database) == 0 &&
           strcmp(slot->plugin, wish->plugin) == 0;
}

static enum pg_logical_next on_primary(const struct pg_slot *slot,
                                       const struct pg_logical_wish *wish,
                                       const struct pg_logical_here *here)
{
    if (slot == NULL) {
        return here->decodes ? PG_LOGICAL_MAKE : PG_LOGICAL_STAYS;
    }
    if (slot->active) {
        return PG_LOGICAL_STAYS;
    }
    if (pg_slot_is_lost(slot) || !is_wished(slot, wish) || wish->unsafe) {
        return here->decodes ? PG_LOGICAL_REMAKE : PG_LOGICAL_STAYS;
    }
    return here->major >= PG_LOGICAL_NATIVE_MAJOR && !slot->failover ? PG_LOGICAL_FAILOVER
                                                                     : PG_LOGICAL_STAYS;
}

enum pg_logical_next pg_logical_next(const struct pg_slot *slot, const struct pg_logical_wish *wish,
                                     const struct pg_logical_here *here, uint64_t *ret_lsn)
{
    bool native = here->major >= PG_LOGICAL_NATIVE_MAJOR;
    if (here->role == PG_PRIMARY) {
        return on_primary(slot, wish, here);
    }
    if (slot == NULL) {
        return !native && wish->lsn != 0 ? PG_LOGICAL_COPY : PG_LOGICAL_STAYS;
    }
    if (slot->active || (native && slot->synced)) {
        return PG_LOGICAL_STAYS;
    }
    if (native || pg_slot_is_lost(slot) || !is_wished(slot, wish)) {
        return PG_LOGICAL_DROP;
    }
    uint64_t lsn = wish->lsn < here->own_lsn ? wish->lsn : here->own_lsn;
    if (lsn <= slot->confirmed_lsn) {
        return PG_LOGICAL_STAYS;
    }
    *ret_lsn = lsn;
    return PG_LOGICAL_ADVANCE;
}

bool pg_xid_before(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) < 0;
}
