/* A look at SQLite's write-ahead log before SQLite opens it. SQLite takes the first frame with a
 * wrong checksum for the end, without a word: one flipped bit would take away every transaction
 * after it, acknowledged ones among them. */
#ifndef RAFT_ENGINE_STORAGE_WAL_H
#define RAFT_ENGINE_STORAGE_WAL_H

#include "base/err.h"

/* `path` is the log's. ERR_CORRUPT: after a frame that cannot be read there is more than the one
 * transaction that a power loss may have cut off. 0 also if there is no such file. */
int storage_wal_check(const char *path, struct error *err) MUST_CHECK;

#endif
