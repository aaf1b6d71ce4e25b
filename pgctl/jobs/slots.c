/* Physical replication slots of the running server: what is there is looked at, then one statement
 * for each thing that is missing, in the way or behind (pg_slot_next says which). Every statement
 * looks again itself: between the look and the statement a walsender may have taken the slot. */
#include "base/assert.h"
#include "base/buf.h"
#include "base/mem.h"
#include "pgctl/jobs/instance_config.h"
#include "pgctl/jobs/pg_private.h"
#include "pgctl/jobs/slot_changes.h"
#include "pgctl/pg_parse.h"
#include "pgctl/sql/pg_answers.h"

#include <string.h>

#define SLOT_CHANGES_MAX (3 * PG_SLOTS_MAX) /* a wish may take two, a drop one */

enum { SLOTS_CONNECT, SLOTS_LOOK, SLOTS_LOOKED, SLOTS_CHANGE };

struct slots_data {
    struct pg_slot_wish *wishes; /* names are ours */
    size_t wish_count;
    struct pg_lines drop;
    struct pg_slots_seen seen;
    size_t change_count;
    size_t change_next;
    char *changes[SLOT_CHANGES_MAX];
    struct pg_first_failure failure;
};

static void add_change(struct slots_data *data, struct buf *sql)
{
    ASSERT(data->change_count < SLOT_CHANGES_MAX);
    data->changes[data->change_count++] = buf_take(sql);
}

static void add_drop(struct slots_data *data, const char *name)
{
    struct buf sql = BUF_INIT;
    pg_slot_put_drop(&sql, name, true, PG_DROP_ANYWHERE);
    add_change(data, &sql);
}

static void add_make(struct slots_data *data, const char *name)
{
    struct buf sql = BUF_INIT;
    buf_put_str(&sql, "SELECT pg_create_physical_replication_slot(");
    pg_quote_literal(&sql, name);
    buf_put_str(&sql, ", true) WHERE NOT EXISTS (SELECT 1 FROM pg_replication_slots"
                      " WHERE slot_name = ");
    pg_quote_literal(&sql, name);
    buf_put_str(&sql, ")");
    add_change(data, &sql);
}

static void add_advance(struct slots_data *data, const char *name, uint64_t lsn)
{
    struct buf sql = BUF_INIT;
    char text[PG_LSN_BYTES];
    (void)pg_lsn_format(lsn, text);
    buf_printf(&sql,
               "SELECT pg_replication_slot_advance(slot_name, '%s') FROM pg_replication_slots"
               " WHERE NOT active AND restart_lsn < '%s' AND slot_name = ",
               text, text);
    pg_quote_literal(&sql, name);
    add_change(data, &sql);
}

static void plan_wish(struct slots_data *data, const struct pg_slot_wish *wish)
{
    uint64_t lsn = 0;
    switch (
        pg_slot_next(pg_slots_seen_find(&data->seen, wish->name), wish, data->seen.own_lsn, &lsn)) {
    case PG_SLOT_STAYS: break;
    case PG_SLOT_MAKE: add_make(data, wish->name); break;
    case PG_SLOT_REMAKE:
        add_drop(data, wish->name);
        add_make(data, wish->name);
        break;
    case PG_SLOT_ADVANCE: add_advance(data, wish->name, lsn); break;
    }
}

static void plan_changes(struct pg_task *task, struct slots_data *data)
{
    pg_slots_seen_read(&data->seen, &task->answer);
    for (size_t i = 0; i < data->drop.count; i++) {
        if (pg_slots_seen_idle(&data->seen, data->drop.items[i], true)) {
            add_drop(data, data->drop.items[i]);
        }
    }
    for (size_t i = 0; i < data->wish_count; i++) {
        plan_wish(data, &data->wishes[i]);
    }
}

static void change_next(struct pg_task *task, struct slots_data *data)
{
    if (data->change_next < data->change_count) {
        pg_task_query(task, data->changes[data->change_next++]);
    } else {
        pg_first_failure_end(&data->failure, task, "replication slots");
    }
}

static void slots_step(struct pg_task *task)
{
    struct slots_data *data = task->data;

    if (task->rc == ERR_REFUSED && task->state == SLOTS_CHANGE) {
        pg_first_failure_note(&data->failure, task);
    } else if (task->rc != 0) {
        error_wrap(&task->err, "replication slots");
        pg_task_fail(task);
        return;
    }
    switch (task->state) {
    case SLOTS_CONNECT:
        task->state = SLOTS_LOOK;
        pg_task_connect_local(task);
        return;
    case SLOTS_LOOK:
        task->state = SLOTS_LOOKED;
        pg_task_query(task, pg_slots_sql);
        return;
    case SLOTS_LOOKED:
        plan_changes(task, data);
        task->state = SLOTS_CHANGE;
        change_next(task, data);
        return;
    case SLOTS_CHANGE: change_next(task, data); return;
    default: ASSERT(false);
    }
}

static void slots_release(struct pg_task *task)
{
    struct slots_data *data = task->data;
    for (size_t i = 0; i < data->wish_count; i++) {
        mem_free((void *)(uintptr_t)data->wishes[i].name);
    }
    mem_free(data->wishes);
    pg_lines_free(&data->drop);
    for (size_t i = 0; i < data->change_count; i++) {
        mem_free(data->changes[i]);
    }
}

int pg_instance_set_slots(struct pg_instance *instance, const struct pg_slots *slots,
                          int64_t timeout_ms, pg_done_cb done, void *arg, struct error *err)
{
    static const struct pg_task_ops ops = {
        .name = "replication slots", .step = slots_step, .release = slots_release};

    if (slots->wish_count > PG_SLOTS_MAX || slots->drop.count > PG_SLOTS_MAX) {
        return error_set(err, ERR_LIMIT, "%zu replication slots are wanted, at most %d are handled",
                         slots->wish_count, PG_SLOTS_MAX);
    }
    struct slots_data *data = mem_new(struct slots_data);
    data->wishes = mem_new_array(struct pg_slot_wish, slots->wish_count);
    data->wish_count = slots->wish_count;
    for (size_t i = 0; i < slots->wish_count; i++) {
        data->wishes[i] = slots->wishes[i];
        data->wishes[i].name = mem_strdup(slots->wishes[i].name);
    }
    data->drop = pg_lines_dup(&slots->drop);
    int rc = pg_task_start(instance, &ops, data, timeout_ms, done, arg, NULL, err);
    if (rc != 0) {
        struct pg_task never = {.data = data};
        slots_release(&never);
        mem_free(data);
    }
    return rc;
}
