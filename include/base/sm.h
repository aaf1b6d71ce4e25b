/* State machines: a table of states, each with its name and the set of states it may move to.
 * sm_move asserts that the move is in the table, so that a wrong one is found where it is made. */
#ifndef BASE_SM_H
#define BASE_SM_H

#include "base/assert.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SM_STATES_MAX 64
#define SM(state)     (UINT64_C(1) << (state))

struct sm_state {
    const char *name;
    uint64_t moves; /* SM(A) | SM(B): where it may go */
};

static inline bool sm_may(const struct sm_state *table, size_t count, unsigned from, unsigned to)
{
    ASSERT(count <= SM_STATES_MAX && from < count && to < count);
    return (table[from].moves & SM(to)) != 0;
}

static inline void sm_move(const struct sm_state *table, size_t count, unsigned *state, unsigned to)
{
    ASSERT(sm_may(table, count, *state, to));
    *state = to;
}

#endif
