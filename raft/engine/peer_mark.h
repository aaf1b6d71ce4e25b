/* What members have told of their directories. PURE.
 *
 * Each tells the others, first thing on a connection and then now and then, its term, its last
 * entry and how far it knows its log to be committed, all as its disk has them. The disk only
 * gains: a member that comes with less than it told before runs on an old copy (a restored backup,
 * a disk that forgot what was synced). It might vote twice in a term, or elect somebody who lacks
 * what it once confirmed, so it is not listened to. */
#ifndef RAFT_ENGINE_PEER_MARK_H
#define RAFT_ENGINE_PEER_MARK_H

#include "base/buf.h"
#include "base/span.h"
#include "raft/node.h"

#define PEER_MARKS_MAX 64 /* ids; beyond it the one that was new longest ago is forgotten */

struct peer_marks {
    struct {
        uint64_t id;
        struct raft_mark most; /* `last` is not kept: it may fall */
    } list[PEER_MARKS_MAX];
    size_t count;
    size_t next;
};

/* True: it is kept. False: `id` has told more than `mark` before, which is in *ret_before. */
bool peer_marks_hear(struct peer_marks *marks, uint64_t id, const struct raft_mark *mark,
                     struct raft_mark *ret_before);

void peer_mark_encode(const struct raft_mark *mark, struct buf *out);
int peer_mark_decode(struct span payload, struct raft_mark *ret_mark) MUST_CHECK;

#endif
