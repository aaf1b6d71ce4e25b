/* Copies of the primary's logical slots, on their way from its pg_replslot into ours. */
#ifndef PGCTL_JOBS_SLOT_COPY_H
#define PGCTL_JOBS_SLOT_COPY_H

#include "base/buf.h"
#include "pgctl/pg_parse.h"

struct pg_slot_copies {
    int64_t fetched_ms; /* mono clock */
    size_t count;
    struct pg_slot_copy {
        char name[PG_NAME_BYTES];
        struct pg_slot_file file;
        struct buf bytes;           /* of the state file; checked */
        char fault[PG_VALUE_BYTES]; /* why it was not written; "" = it was, or not tried yet */
    } items[PG_SLOTS_MAX];
};

void pg_slot_copies_free(struct pg_slot_copies *copies); /* NULL is accepted */

/* Is the WAL that a slot begins with in this directory, on whatever timeline? On a thread of the
 * pool, as the next ones. */
bool pg_slot_has_wal(const char *data_dir, uint32_t segment_bytes, uint64_t restart_lsn);
/* Slots that a server finds there when it starts: one more than max_replication_slots, and it does
 * not. ERR_IO and the like: it cannot be read. */
int pg_slot_count(const char *data_dir, size_t *ret_count, struct error *err) MUST_CHECK;
/* Into the pg_replslot of a stopped instance, each whole or not at all: PostgreSQL removes a
 * directory that ends in ".tmp" when it starts. Those whose WAL is gone by now, those that are
 * there and those beyond `slots_max` in all are left out. What becomes of one is in its `fault`. */
void pg_slot_copies_write(struct pg_slot_copies *copies, const char *data_dir,
                          uint32_t segment_bytes, size_t slots_max);
/* In words, with the remedy: there are `count` already. */
void pg_slot_no_room(size_t count, size_t slots_max, char ret_text[PG_VALUE_BYTES]);

#endif
