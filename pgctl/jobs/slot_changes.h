/* What jobs that change replication slots have in common: each change is tried, the first failure
 * is told at the end. */
#ifndef PGCTL_JOBS_SLOT_CHANGES_H
#define PGCTL_JOBS_SLOT_CHANGES_H

#include "pgctl/jobs/pg_task.h"
#include "pgctl/pg_parse.h"

struct pg_slots_seen { /* of the server that is changed, right before */
    size_t count;
    struct pg_slot slots[PG_SLOTS_MAX];
    uint64_t own_lsn;
};
void pg_slots_seen_read(struct pg_slots_seen *ret_seen, const struct pg_answer *answer);
const struct pg_slot *pg_slots_seen_find(const struct pg_slots_seen *seen, const char *name);
/* One of that kind that nobody has in use: it can be dropped. */
bool pg_slots_seen_idle(const struct pg_slots_seen *seen, const char *name, bool physical);

enum pg_drop_where { PG_DROP_ANYWHERE, PG_DROP_ON_PRIMARY, PG_DROP_ON_STANDBY };
/* The statement that drops one that still is of that kind, in no use, and on such a server. */
void pg_slot_put_drop(struct buf *sql, const char *name, bool physical, enum pg_drop_where where);

struct pg_first_failure {
    int rc; /* 0 = none */
    struct error err;
};
void pg_first_failure_note(struct pg_first_failure *failure, const struct pg_task *task);
/* Ends the task; `what` says of what. */
void pg_first_failure_end(const struct pg_first_failure *failure, struct pg_task *task,
                          const char *what);

#endif
