/* One node of a fake group by hand: what its peers send it, and when its disk has written. */
#ifndef TEST_FAKE_WIRE_H
#define TEST_FAKE_WIRE_H

#include "tests/unit/raft_engine/fake_group.h"

static inline void fake_inject(struct fake_node *fake, uint64_t from,
                               const struct peer_message *message)
{
    struct buf bytes = BUF_INIT;
    peer_wire_encode(message, &bytes);
    raft_node_receive(fake->node, from, buf_span(&bytes));
    buf_free(&bytes);
}

/* All jobs, and those that follow from them. */
static inline void fake_finish_jobs(struct fake_node *fake)
{
    while (fake_job_one(fake)) {
    }
}

/* Of all nodes, under way. */
static inline void fake_forget_messages(struct fake_group *group)
{
    LIST_EACH(item, &group->messages)
    {
        fake_message_free(LIST_OWNER(item, struct fake_message, link));
    }
}

static inline struct peer_message fake_append(uint64_t term, uint64_t prev_index,
                                              uint64_t prev_term, uint64_t commit,
                                              const struct raft_entry_rec *entries, size_t count)
{
    struct peer_message message = {.kind = PEER_APPEND, .term = term};
    message.append = (struct peer_append){prev_index, prev_term, commit, entries, count};
    return message;
}

static inline struct raft_entry_rec fake_barrier(uint64_t index, uint64_t term)
{
    return (struct raft_entry_rec){index, term, RAFT_BARRIER, span_of("\0\0\0\0\0\0\0\0", 8)};
}

#endif
