/* What is known of a logical slot on a standby, in a file beside its state: "in doubt", or "good on
 * timeline N", where N is the primary's that was seen to keep what it needs. It goes with the slot
 * when that is dropped, and outlives our process; PostgreSQL minds no file there whose name it does
 * not know. A slot that its own primary has made has none. All on a thread of the pool. */
#ifndef PGCTL_JOBS_SLOT_MARK_H
#define PGCTL_JOBS_SLOT_MARK_H

#include "base/buf.h"
#include "pgctl/pg_parse.h"

struct pg_slot_mark {
    char name[PG_NAME_BYTES];
    uint32_t good_timeline; /* 0 = in doubt */
};

/* In the slot's directory, in place of the one that is there. */
int pg_slot_mark_put(const char *slot_dir, uint32_t good_timeline, struct error *err) MUST_CHECK;
/* The same by the slot's name; 0 also if there is no such slot. */
int pg_slot_mark_set(const char *data_dir, const char *name, uint32_t good_timeline,
                     struct error *err) MUST_CHECK;
/* 0 also if there is none. */
int pg_slot_mark_remove(const char *data_dir, const char *name, struct error *err) MUST_CHECK;
/* Adds a struct pg_slot_mark for each that is there. */
int pg_slot_marks_read(const char *data_dir, struct buf *out, struct error *err) MUST_CHECK;

#endif
