/* Logical slots that a standby must not have when it becomes the primary: part of a promotion. */
#ifndef PGCTL_JOBS_PROMOTE_SLOTS_H
#define PGCTL_JOBS_PROMOTE_SLOTS_H

#include "base/buf.h"
#include "pgctl/jobs/pg_task.h"

struct pg_promote_slots { /* zeroed, then begun; the promotion's */
    struct buf marks;     /* struct pg_slot_mark: what is noted beside slots */
    struct buf names;     /* of those that are to go, each with its zero byte */
    size_t name_at;       /* the next one of a round */
    int state;
    int64_t until_ms; /* mono clock; 0 = not begun yet */
};

/* A name is taken once. */
void pg_promote_slots_add(struct pg_promote_slots *slots, const char *name);
/* Those of `marks` that are in doubt, or good on an earlier timeline than the one that the standby
 * is on. Another primary has led since then, and nobody has seen what it kept. */
void pg_promote_slots_judge(struct pg_promote_slots *slots, uint32_t timeline);
/* True: all is done that can be. Else a sub-operation of the task was begun, and this is called
 * again with its outcome. */
bool pg_promote_slots_step(struct pg_task *task, struct pg_promote_slots *slots) MUST_CHECK;
/* What a promotion has kept is the primary's own from then on. On a thread of the pool. */
int pg_promote_slots_keep(const struct pg_promote_slots *slots, const char *data_dir,
                          struct error *err) MUST_CHECK;
void pg_promote_slots_free(struct pg_promote_slots *slots);

#endif
