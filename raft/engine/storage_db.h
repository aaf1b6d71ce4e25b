/* The SQLite file of a member: open, check, load, write jobs. One thread at a time uses it; who,
 * storage_sqlite.c sees to.
 *
 *   meta(k = 1, format, id, cluster, name, term, vote, crc)
 *   log(idx, term, type, crc, data)
 *   snapshot(k = 1, idx, term, cidx, crc, conf, data)
 *
 * Every row has a CRC-32C over its other columns: SQLite's own checks find less than a tenth of
 * flipped bits. */
#ifndef RAFT_ENGINE_STORAGE_DB_H
#define RAFT_ENGINE_STORAGE_DB_H

#include "base/err.h"
#include "base/random.h"
#include "raft/node.h"

#define STORAGE_FORMAT 1
#define STORAGE_WAL_PAGES_MAX \
    1000 /* then a checkpoint: a flipped bit in the WAL loses its tail without an error */

struct storage_db;

int storage_db_open(const char *path, const char *name, const struct random *random,
                    struct storage_db **ret_db, struct error *err) MUST_CHECK;
/* Instead of STORAGE_WAL_PAGES_MAX: so that a short test goes through many checkpoints. */
void storage_db_set_wal_pages_max(struct storage_db *db, int pages);
/* Checkpoints if `clean`. */
void storage_db_close(struct storage_db *db, bool clean);

/* Fills `boot`, which owns nothing: storage_db_unload frees what was loaded. */
int storage_db_load(struct storage_db *db, struct raft_boot *ret_boot,
                    struct error *err) MUST_CHECK;
void storage_db_unload(struct raft_boot *boot);

/* One transaction. ERR_NO_SPACE: nothing was written, and the same jobs may be tried again.
 * Anything else: never. */
int storage_db_write(struct storage_db *db, const struct raft_storage_job *const *jobs,
                     size_t count, struct error *err) MUST_CHECK;
/* If the WAL has grown so far; a full disk is no error. What was written before is durable without
 * it, so it comes after that has been told. */
int storage_db_checkpoint(struct storage_db *db, struct error *err) MUST_CHECK;
int storage_db_set_cluster(struct storage_db *db, uint64_t cluster,
                           const struct raft_storage_job *first, struct error *err) MUST_CHECK;

#endif
