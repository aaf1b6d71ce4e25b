/* Replication slots of this node's instance: which are to be there, and which are to go. Decides
 * from facts alone; execute_pg.c has it carried out. */
#ifndef AGENT_LOOP_SLOTS_H
#define AGENT_LOOP_SLOTS_H

#include "agent/loop/loop.h"

struct slots_plan {
    bool due; /* something of it is not so yet */
    size_t wish_count;
    struct pg_slot_wish wishes[PG_SLOTS_MAX]; /* names in `names` */
    size_t drop_count;
    const char *drops[PG_SLOTS_MAX]; /* names of the agent's last probe */
    char names[PG_SLOTS_MAX][PG_NAME_BYTES];
};

/* The last view or the last answer of the instance is new, or the view is about to be. */
void slots_note(struct agent *agent);
/* The instance has just started: nobody could stream while it was down. */
void slots_note_start(struct agent *agent);
/* The view is new: positions that the leader has published. */
void slots_take_status(struct agent *agent);
/* Where the leader has last said that the slot of that name is; 0 = it did not. */
uint64_t slots_published_lsn(const struct agent *agent, const char *slot);
/* Nobody has used the slot of that name for longer than slots are kept. */
bool slots_is_outlived(const struct agent *agent, const char *slot);
/* For the instance that the last probe saw. The plan borrows from it. */
void slots_decide(const struct agent *agent, struct slots_plan *ret_plan);
/* The plan is being carried out: logs what an operator may have to know. */
void slots_tell(const struct agent *agent, const struct slots_plan *plan);

#endif
