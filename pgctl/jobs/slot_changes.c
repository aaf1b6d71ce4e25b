#include "pgctl/jobs/slot_changes.h"

#include "pgctl/jobs/pg_private.h"
#include "pgctl/sql/pg_answers.h"

void pg_slots_seen_read(struct pg_slots_seen *ret_seen, const struct pg_answer *answer)
{
    ret_seen->own_lsn = pg_slots_read(answer, ret_seen->slots, &ret_seen->count);
}

const struct pg_slot *pg_slots_seen_find(const struct pg_slots_seen *seen, const char *name)
{
    return pg_slot_find(seen->slots, seen->count, name);
}

bool pg_slots_seen_idle(const struct pg_slots_seen *seen, const char *name, bool physical)
{
    const struct pg_slot *slot = pg_slots_seen_find(seen, name);
    return slot != NULL && slot->physical == physical && !slot->active;
}

void pg_slot_put_drop(struct buf *sql, const char *name, bool physical, enum pg_drop_where where)
{
    static const char *const conditions[] = {
        [PG_DROP_ANYWHERE] = "",
        [PG_DROP_ON_PRIMARY] = " AND NOT pg_is_in_recovery()",
        [PG_DROP_ON_STANDBY] = " AND pg_is_in_recovery()",
    };
    buf_printf(sql,
               "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
               " WHERE slot_type = '%s' AND NOT temporary AND NOT active%s AND slot_name = ",
               physical ? "physical" : "logical", conditions[where]);
    pg_quote_literal(sql, name);
}

void pg_first_failure_note(struct pg_first_failure *failure, const struct pg_task *task)
{
    if (failure->rc == 0) {
        failure->rc = task->rc;
        failure->err = task->err;
    }
}

void pg_first_failure_end(const struct pg_first_failure *failure, struct pg_task *task,
                          const char *what)
{
    if (failure->rc != 0) {
        pg_task_fail_with(task, failure->rc, "%s: %.400s", what, failure->err.text);
    } else {
        pg_task_end(task);
    }
}
