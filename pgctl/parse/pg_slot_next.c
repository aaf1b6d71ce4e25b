/* What is to become of one physical slot.
 *
 * A slot whose WAL was removed (max_slot_wal_keep_size), or that never reserved any, holds nothing
 * and cannot be moved on: a new one at least holds WAL from now on. One that nobody streams from
 * keeps the xmin of its last walsender for ever, and with it dead rows; nothing but making it anew
 * takes that away.
 *
 * A slot that nobody streams from would hold all WAL from where it was made. It is moved on to what
 * its member is known to have, and not beyond what we have ourselves: the server would not do that
 * either (pg_replication_slot_advance moves a physical slot in recovery, too, up to what was
 * replayed: slotfuncs.c, 13 to 17). */
#include "pgctl/pg_parse.h"

#include <string.h>

const struct pg_slot *pg_slot_find(const struct pg_slot *slots, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(slots[i].name, name) == 0) {
            return &slots[i];
        }
    }
    return NULL;
}

enum pg_slot_next pg_slot_next(const struct pg_slot *slot, const struct pg_slot_wish *wish,
                               uint64_t own_lsn, uint64_t *ret_lsn)
{
    if (slot == NULL) {
        return PG_SLOT_MAKE;
    }
    if (!slot->physical || slot->active) {
        return PG_SLOT_STAYS;
    }
    if (slot->restart_lsn == 0 || strcmp(slot->wal_status, "lost") == 0) {
        return PG_SLOT_REMAKE;
    }
    if (!wish->idle) {
        return PG_SLOT_STAYS;
    }
    if (slot->has_xmin) {
        return PG_SLOT_REMAKE;
    }
    uint64_t lsn = wish->lsn < own_lsn ? wish->lsn : own_lsn;
    if (lsn <= slot->restart_lsn) {
        return PG_SLOT_STAYS;
    }
    *ret_lsn = lsn;
    return PG_SLOT_ADVANCE;
}
