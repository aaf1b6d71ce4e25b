/* Ranges inside of a command: the revision of what it has changed so far is not the store's yet. */
#ifndef RAFT_STORE_RANGE_H
#define RAFT_STORE_RANGE_H

#include "raft/store_read.h"

/* STORE_FUTURE, STORE_COMPACTED, or STORE_NO_REASON. */
enum store_reason range_reason(const struct store *store, int64_t revision);
/* `revision`: of the present state. */
void range_read(const struct store *store, const struct store_range *range, int64_t revision,
                struct store_range_result *ret_result);

#endif
