#include "raft/engine/peer_mark.h"

bool peer_marks_hear(struct peer_marks *marks, uint64_t id, const struct raft_mark *mark,
                     struct raft_mark *ret_before)
{
    size_t at = 0;
    while (at < marks->count && marks->list[at].id != id) {
        at++;
    }
    if (at == marks->count) {
        at = marks->next;
        marks->next = (marks->next + 1) % PEER_MARKS_MAX;
        marks->count += marks->count < PEER_MARKS_MAX ? 1 : 0;
        marks->list[at].id = id;
        marks->list[at].most = (struct raft_mark){0};
    }
    struct raft_mark *most = &marks->list[at].most;
    if (mark->term < most->term || mark->last < most->committed) {
        *ret_before = *most;
        return false;
    }
    most->term = mark->term;
    most->committed = mark->committed > most->committed ? mark->committed : most->committed;
    return true;
}

void peer_mark_encode(const struct raft_mark *mark, struct buf *out)
{
    buf_put_u64(out, mark->term);
    buf_put_u64(out, mark->last);
    buf_put_u64(out, mark->committed);
}

int peer_mark_decode(struct span payload, struct raft_mark *ret_mark)
{
    struct span_reader reader = span_reader_of(payload);
    struct raft_mark mark = {.term = span_take_u64(&reader)};
    mark.last = span_take_u64(&reader);
    mark.committed = span_take_u64(&reader);
    if (!span_reader_done(&reader) || mark.committed > mark.last) {
        return ERR_INVALID;
    }
    *ret_mark = mark;
    return 0;
}
