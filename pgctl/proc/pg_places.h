/* The places outside a data directory where an instance keeps files of its own: pg_wal, where that
 * is a link (initdb --waldir), and tablespaces (pg_tblspc/<oid>). PostgreSQL wants both empty
 * before it makes or copies a data directory.
 *
 * What is this instance's there is told by names. A WAL directory serves one instance; but what an
 * operator has put beside the WAL is not ours. The directory of a tablespace may be shared by
 * clusters of different versions (pg_upgrade): each has its own "PG_<major>_<catalog version>" in
 * it, and PostgreSQL lets no second cluster into that. */
#ifndef PGCTL_PROC_PG_PLACES_H
#define PGCTL_PROC_PG_PLACES_H

#include "base/err.h"
#include "pgctl/pg_types.h"

struct pg_owner { /* whose files these are, from PG_VERSION and the control file; 0 = not known */
    int major;
    uint64_t system_identifier;
    uint32_t catalog_version;
};

enum pg_place_kind { PG_PLACE_WAL, PG_PLACE_TABLESPACE };

struct pg_place {
    enum pg_place_kind kind;
    const struct pg_owner *owner;
    const char *link;   /* the path of the link in the data directory */
    const char *target; /* where it leads: absolute, without links; "" = nowhere */
};

/* Calls `visit` for each link of the data directory to such a place outside it, until one fails. A
 * directory that is not there has none. */
int pg_places_each(const char *data_dir,
                   int (*visit)(void *arg, const struct pg_place *place, struct error *err),
                   void *arg, struct error *err) MUST_CHECK;
/* Of an entry of the place. Unknown owner (half a copy): nothing of a tablespace is; WAL is, since
 * the link is all that there is to go by. */
bool pg_place_is_own(const struct pg_place *place, const char *name);
/* False only if a WAL segment in it says so: it bears the system identifier of another cluster. */
bool pg_place_may_be_own(const struct pg_place *place);

#endif
