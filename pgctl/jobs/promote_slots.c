/* Slots that are to go before a promotion.
 *
 *   BEGIN -> ENDED (who has one in use) -> DROPPING -> ... -> SEEN -> done
 *     ^------------------------- WAITED <---------------------/    some are left, and there is time
 *
 * A slot in use is one that its consumer reads from (PostgreSQL 16 lets him do so on a standby), or
 * that we ourselves are just moving on. Whoever is ended may come again before the drop, so it goes
 * round, for PG_DROP_MS_MAX: a promotion is worth more than the slot, which is told of then. */
#include "pgctl/jobs/promote_slots.h"

#include "base/assert.h"
#include "pgctl/jobs/pg_private.h"
#include "pgctl/jobs/slot_changes.h"
#include "pgctl/jobs/slot_mark.h"
#include "pgctl/sql/pg_answers.h"

#include <string.h>

enum { AGAIN_MS = 20 };

enum { DROP_BEGIN, DROP_ENDED, DROP_DROPPING, DROP_SEEN, DROP_WAITED };

static const char *next_name(const struct pg_promote_slots *slots, const char *name)
{
    const char *end = (const char *)slots->names.data + slots->names.len;
    const char *next = name == NULL ? (const char *)slots->names.data : name + strlen(name) + 1;
    return slots->names.len == 0 || next == end ? NULL : next;
}

void pg_promote_slots_add(struct pg_promote_slots *slots, const char *name)
{
    for (const char *at = next_name(slots, NULL); at != NULL; at = next_name(slots, at)) {
        if (strcmp(at, name) == 0) {
            return;
        }
    }
    buf_put_str(&slots->names, name);
    buf_put_u8(&slots->names, 0);
}

static size_t mark_count(const struct pg_promote_slots *slots)
{
    return slots->marks.len / sizeof(struct pg_slot_mark);
}

static void mark_at(const struct pg_promote_slots *slots, size_t index,
                    struct pg_slot_mark *ret_mark)
{
    memcpy(ret_mark, (const char *)slots->marks.data + index * sizeof *ret_mark, sizeof *ret_mark);
}

void pg_promote_slots_judge(struct pg_promote_slots *slots, uint32_t timeline)
{
    struct pg_slot_mark mark;
    for (size_t i = 0; i < mark_count(slots); i++) {
        mark_at(slots, i, &mark);
        if (mark.good_timeline < timeline) {
            pg_promote_slots_add(slots, mark.name);
        }
    }
}

int pg_promote_slots_keep(const struct pg_promote_slots *slots, const char *data_dir,
                          struct error *err)
{
    struct pg_slot_mark mark;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < mark_count(slots); i++) {
        mark_at(slots, i, &mark);
        bool goes = false;
        for (const char *at = next_name(slots, NULL); at != NULL; at = next_name(slots, at)) {
            goes = goes || strcmp(at, mark.name) == 0;
        }
        rc = goes || mark.good_timeline == 0 ? 0 : pg_slot_mark_remove(data_dir, mark.name, err);
    }
    return rc;
}

void pg_promote_slots_free(struct pg_promote_slots *slots)
{
    buf_free(&slots->marks);
    buf_free(&slots->names);
}

/* --- steps ------------------------------------------------------------------------------------ */

static void ask_of_all(struct pg_task *task, const struct pg_promote_slots *slots,
                       const char *question)
{
    struct buf sql = BUF_INIT;
    buf_put_str(&sql, question);
    buf_put_str(&sql, " FROM pg_replication_slots WHERE slot_type = 'logical' AND NOT temporary"
                      " AND slot_name IN (");
    for (const char *at = next_name(slots, NULL); at != NULL; at = next_name(slots, at)) {
        buf_put_str(&sql, at == (const char *)slots->names.data ? "" : ", ");
        pg_quote_literal(&sql, at);
    }
    buf_put_str(&sql, ")");
    pg_task_query(task, buf_str(&sql));
    buf_free(&sql);
}

static void drop(struct pg_task *task, const char *name)
{
    struct buf sql = BUF_INIT;
    pg_slot_put_drop(&sql, name, false, PG_DROP_ON_STANDBY);
    pg_task_query(task, buf_str(&sql));
    buf_free(&sql);
}

static void begin(struct pg_task *task, struct pg_promote_slots *slots)
{
    slots->state = DROP_ENDED;
    slots->name_at = 0;
    ask_of_all(task, slots,
               "SELECT CASE WHEN active_pid <> pg_backend_pid()"
               " THEN pg_terminate_backend(active_pid) END");
}

static bool is_late(const struct pg_task *task, const struct pg_promote_slots *slots)
{
    return clock_mono_ms(task->pg->clock) >= slots->until_ms;
}

/* One alone: what one refuses keeps no other from going. */
static void drop_next(struct pg_task *task, struct pg_promote_slots *slots)
{
    if (slots->name_at < slots->names.len && !is_late(task, slots)) {
        const char *name = (const char *)slots->names.data + slots->name_at;
        slots->name_at += strlen(name) + 1;
        slots->state = DROP_DROPPING;
        drop(task, name);
    } else {
        slots->state = DROP_SEEN;
        ask_of_all(task, slots, "SELECT slot_name");
    }
}

static void put_left(struct pg_task *task)
{
    const PGresult *rows = task->answer.results[0];
    for (int row = 0; row < PQntuples(rows); row++) {
        buf_printf(&task->pg->undropped, "%s%s", row == 0 ? "" : ", ", pg_cell(rows, row, 0));
    }
    (void)buf_str(&task->pg->undropped); /* its end */
}

bool pg_promote_slots_step(struct pg_task *task, struct pg_promote_slots *slots)
{
    if (slots->names.len == 0) {
        return true;
    }
    switch (slots->state) {
    case DROP_BEGIN:
        slots->until_ms = clock_mono_ms(task->pg->clock) + PG_DROP_MS_MAX;
        begin(task, slots);
        return false;
    case DROP_ENDED:
    case DROP_DROPPING: drop_next(task, slots); return false;
    case DROP_SEEN:
        if (task->rc != 0 || PQntuples(task->answer.results[0]) == 0) {
            return true;
        }
        if (is_late(task, slots)) {
            put_left(task);
            return true;
        }
        slots->state = DROP_WAITED;
        pg_task_wait(task, AGAIN_MS);
        return false;
    case DROP_WAITED: begin(task, slots); return false;
    default: ASSERT(false);
    }
    return true;
}
