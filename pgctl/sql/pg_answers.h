/* PURE but for libpq's result type: the questions that are asked, and their rows to plain facts. */
#ifndef PGCTL_SQL_PG_ANSWERS_H
#define PGCTL_SQL_PG_ANSWERS_H

#include "pgctl/conf/pg_conf.h"
#include "pgctl/pg_types.h"
#include "pgctl/sql/pg_conn.h"

/* The whole probe in one round trip: facts, replicas, slots, settings that wait for a restart. */
extern const char pg_probe_sql[];
int pg_probe_read(const struct pg_answer *answer, const struct pg_conf *conf,
                  struct pg_probe_result *ret_result, struct error *err) MUST_CHECK;

/* Slots that are not temporary, physical ones first, and the position replayed, or flushed on a
 * primary. */
extern const char pg_slots_sql[];
/* In numbers: pg_walfile_name begins with the timeline, in hex. Not allowed in recovery. */
#define PG_PRIMARY_TIMELINE \
    " ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint"

/* `ret_slots` has PG_SLOTS_MAX; more are not told. Returns that position. */
uint64_t pg_slots_read(const struct pg_answer *answer, struct pg_slot *ret_slots,
                       size_t *ret_count);

/* For a walsender (IDENTIFY_SYSTEM) of the standby that `result` speaks of, asked after it: makes
 * its timeline exact, if replay stands where it stood then. */
extern const char pg_identify_sql[];
void pg_identify_read(const struct pg_answer *answer, struct pg_probe_result *result);

/* Facts of a peer, and the history of its timeline. `ret_facts`: history is to be freed. */
extern const char pg_peer_sql[];
int pg_peer_read(const struct pg_answer *answer, struct pg_peer_facts *ret_facts,
                 struct error *err) MUST_CHECK;

/* Cell as text; "" for NULL or a row or column that is not there. */
const char *pg_cell(const PGresult *result, int row, int column);
uint64_t pg_cell_u64(const PGresult *result, int row, int column);
bool pg_cell_bool(const PGresult *result, int row, int column);
uint64_t pg_cell_lsn(const PGresult *result, int row, int column);

#endif
