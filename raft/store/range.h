/* Ranges, and those inside of a command: the revision of what it has changed so far is not the
 * store's yet. */
#ifndef RAFT_STORE_RANGE_H
#define RAFT_STORE_RANGE_H

#include "raft/store_read.h"

enum range_state { RANGE_KEYS, RANGE_RUNS, RANGE_MERGE, RANGE_CUT, RANGE_DONE };

struct store_range_walk {
    struct store_range range;
    struct buf keys; /* what `range` borrows from, of one that is in parts */
    enum range_state state;
    int64_t at;                       /* the revision that is read */
    size_t limit;                     /* SIZE_MAX = none */
    size_t walk_limit;                /* found keys after which there is nothing to look for */
    struct store_range_result result; /* so far */
    bool counted;                     /* its count is final */
    struct buf next;                  /* keys go on here; empty: they have not begun */
    size_t run;                       /* length of the sorted runs */
    size_t to;                        /* so far is sorted into runs, or merged */
    size_t low;                       /* where the two runs begin, and how far each is taken */
    size_t left;
    size_t right;
    struct kv_record **merged; /* borrowed from the result */
};

/* STORE_FUTURE, STORE_COMPACTED, or STORE_NO_REASON. */
enum store_reason range_reason(const struct store *store, int64_t revision);
/* `revision`: of the present state. */
void range_read(const struct store *store, const struct store_range *range, int64_t revision,
                struct store_range_result *ret_result);

#endif
