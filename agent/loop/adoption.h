/* A running instance that the fence has not started (by Patroni, by hand, or by a fence before):
 * the fence is told of its directory, so that the page's deadline holds for it, before any rule
 * looks at it (rule 14 of docs/consensus.md). Inside agent/loop. */
#ifndef AGENT_LOOP_ADOPTION_H
#define AGENT_LOOP_ADOPTION_H

#include "pgctl/fence.h"

struct agent;

enum adoption {
    ADOPTION_PENDING, /* the fence is asked: nothing is decided about the instance before */
    ADOPTION_DONE,    /* it finds the processes, and kills them at the deadline */
    ADOPTION_NONE,    /* it does not: it is of a release that adopts none, or it cannot look */
};

/* Of what runs now, while no instance of the fence's own does. Asks where it has not been asked
 * about this postmaster. */
enum adoption adoption_look(struct agent *agent, const struct fence_status *status);

/* `pid` is that of the postmaster which the fence has started last, as far as this agent has seen.
 * adoption_note is called with each status; adoption_looked with each look at the directory, since
 * a number that is not seen there any more may be another's soon. */
void adoption_note(struct agent *agent, const struct fence_status *status);
void adoption_looked(struct agent *agent);
bool adoption_is_own(const struct agent *agent, int32_t pid);

/* The last one that was looked at is the fence's. */
bool adoption_is_done(const struct agent *agent);

#endif
