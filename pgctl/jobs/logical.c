/* Permanent logical slots of the running server: what is there is looked at, then one statement for
 * each thing that is to change (pg_logical_next says which), in the database of its slot, since
 * PostgreSQL makes and moves on a slot only there.
 *
 *   MARK (real ones) -> CONNECT -> LOOK -> LOOKED -> [CONNECT -> CHANGE] ... -> end
 *
 * Every statement looks again itself: between the look and the statement a consumer may have taken
 * the slot, or the server may have been promoted. */
#include "base/assert.h"
#include "base/buf.h"
#include "base/mem.h"
#include "pgctl/jobs/instance_config.h"
#include "pgctl/jobs/pg_private.h"
#include "pgctl/jobs/slot_changes.h"
#include "pgctl/jobs/slot_mark.h"
#include "pgctl/pg_parse.h"
#include "pgctl/sql/pg_answers.h"

#include <string.h>

#define CHANGES_MAX      (3 * PG_SLOTS_MAX) /* a wish may take two, a drop one */
#define SPARE_MS         5000 /* the server ends a statement that is late, before we end the rest */
#define SQLSTATE_NO_FILE "SQLSTATE 58P01"
#define WHAT             "logical replication slots"

enum {
    LOGICAL_MARK,
    LOGICAL_CONNECT,
    LOGICAL_LOOK,
    LOGICAL_LOOKED,
    LOGICAL_NEXT,
    LOGICAL_ASK,
    LOGICAL_ASKED
};

struct change {
    const char *database; /* a wish's; NULL = any */
    const char *slot;     /* whose WAL it reads; NULL = none is read */
    bool walsender;
    char *sql;
};

struct logical_data {
    struct pg_logical_wish *wishes; /* texts are ours */
    size_t wish_count;
    struct pg_lines drop;
    enum pg_role role; /* that `drop` is for */
    struct pg_lines real;
    const char *data_dir;
    struct pg_slots_seen seen;
    size_t change_count;
    size_t change_next;
    struct change changes[CHANGES_MAX];
    const struct change *connected; /* the last one that has had a connection made for it */
    struct pg_first_failure failure;
};

static struct change *add_change(struct logical_data *data, struct buf *sql)
{
    ASSERT(data->change_count < CHANGES_MAX);
    struct change *change = &data->changes[data->change_count++];
    *change = (struct change){.sql = buf_take(sql)};
    return change;
}

/* Only where it was decided: one of a standby is another thing than the primary's of that name. */
static void add_drop(struct logical_data *data, const char *name, enum pg_role role)
{
    struct buf sql = BUF_INIT;
    const struct pg_slot *slot = pg_slots_seen_find(&data->seen, name);
    pg_slot_put_drop(&sql, name, slot != NULL && slot->physical, /* in the way of one of ours */
                     role == PG_STANDBY ? PG_DROP_ON_STANDBY : PG_DROP_ON_PRIMARY);
    (void)add_change(data, &sql);
}

static void add_make(struct logical_data *data, const struct pg_logical_wish *wish, int major)
{
    struct buf sql = BUF_INIT;
    buf_put_str(&sql, "SELECT pg_create_logical_replication_slot(");
    pg_quote_literal(&sql, wish->name);
    buf_put_str(&sql, ", ");
    pg_quote_literal(&sql, wish->plugin);
    /* temporary, twophase, failover */
    buf_put_str(&sql, major >= PG_LOGICAL_NATIVE_MAJOR ? ", false, false, true" : "");
    buf_put_str(&sql, ") WHERE NOT pg_is_in_recovery() AND NOT EXISTS"
                      " (SELECT 1 FROM pg_replication_slots WHERE slot_name = ");
    pg_quote_literal(&sql, wish->name);
    buf_put_str(&sql, ")");
    add_change(data, &sql)->database = wish->database;
}

/* Nothing but the replication protocol changes a slot. One that is being read refuses it. */
static void add_failover(struct logical_data *data, const struct pg_logical_wish *wish)
{
    struct buf sql = BUF_INIT;
    buf_put_str(&sql, "ALTER_REPLICATION_SLOT ");
    pg_quote_ident(&sql, wish->name);
    buf_put_str(&sql, " ( FAILOVER true )");
    add_change(data, &sql)->walsender = true;
}

static void add_advance(struct logical_data *data, const struct pg_logical_wish *wish, uint64_t lsn)
{
    struct buf sql = BUF_INIT;
    char text[PG_LSN_BYTES];
    (void)pg_lsn_format(lsn, text);
    buf_printf(&sql,
               "SELECT pg_replication_slot_advance(slot_name, '%s') FROM pg_replication_slots"
               " WHERE pg_is_in_recovery() AND NOT active AND confirmed_flush_lsn < '%s'"
               " AND slot_name = ",
               text, text);
    pg_quote_literal(&sql, wish->name);
    struct change *change = add_change(data, &sql);
    change->database = wish->database;
    change->slot = wish->name;
}

static void plan_wish(struct logical_data *data, const struct pg_logical_wish *wish,
                      const struct pg_logical_here *here)
{
    uint64_t lsn = 0;
    switch (pg_logical_next(pg_slots_seen_find(&data->seen, wish->name), wish, here, &lsn)) {
    case PG_LOGICAL_STAYS:
    case PG_LOGICAL_COPY: break; /* pg_instance_ask_logical */
    case PG_LOGICAL_MAKE: add_make(data, wish, here->major); break;
    case PG_LOGICAL_REMAKE:
        add_drop(data, wish->name, here->role);
        add_make(data, wish, here->major);
        break;
    case PG_LOGICAL_FAILOVER: add_failover(data, wish); break;
    case PG_LOGICAL_DROP: add_drop(data, wish->name, here->role); break;
    case PG_LOGICAL_ADVANCE: add_advance(data, wish, lsn); break;
    }
}

static void plan_changes(struct pg_task *task, struct logical_data *data)
{
    struct pg_logical_here here = {.major = task->pg->bin.major};

    pg_slots_seen_read(&data->seen, &task->answer);
    here.own_lsn = data->seen.own_lsn;
    here.role = pg_cell_bool(task->answer.results[2], 0, 0) ? PG_STANDBY : PG_PRIMARY;
    here.decodes = pg_cell_bool(task->answer.results[2], 0, 1);
    for (size_t i = 0; i < data->drop.count; i++) {
        if (pg_slots_seen_idle(&data->seen, data->drop.items[i], false)) {
            add_drop(data, data->drop.items[i], data->role);
        }
    }
    for (size_t i = 0; i < data->wish_count; i++) {
        plan_wish(data, &data->wishes[i], &here);
    }
}

static bool fits_connection(const struct logical_data *data, const struct change *next)
{
    const struct change *last = data->connected;
    if (last == NULL || last->walsender || next->walsender) {
        return last == NULL && !next->walsender && next->database == NULL;
    }
    return next->database == NULL ||
           (last->database != NULL && strcmp(last->database, next->database) == 0);
}

static void change_next(struct pg_task *task, struct logical_data *data)
{
    if (data->change_next == data->change_count) {
        pg_first_failure_end(&data->failure, task, WHAT);
        return;
    }
    const struct change *change = &data->changes[data->change_next];
    task->state = LOGICAL_ASK;
    if (fits_connection(data, change)) {
        pg_task_again(task);
        return;
    }
    data->connected = change;
    task->local_database = change->database;
    if (change->walsender) {
        pg_task_connect_walsender(task);
    } else {
        pg_task_connect_local(task);
    }
}

static void note_failure(struct pg_task *task, struct logical_data *data)
{
    const struct change *change = &data->changes[data->change_next];
    pg_first_failure_note(&data->failure, task);
    if (task->state == LOGICAL_ASKED && change->slot != NULL &&
        strstr(task->err.text, SQLSTATE_NO_FILE) != NULL && data->change_count < CHANGES_MAX) {
        add_drop(data, change->slot, PG_STANDBY); /* nobody can read on from where it stands */
    }
}

/* Of one change: its database is not there, or the server refuses it. Anything else ends it all. */
static bool goes_on(struct pg_task *task, struct logical_data *data)
{
    bool of_one = (task->state == LOGICAL_ASK && task->rc == ERR_PERMISSION) ||
                  (task->state == LOGICAL_ASKED && task->rc == ERR_REFUSED);
    if (!of_one || pg_task_expired(task)) {
        return false;
    }
    note_failure(task, data);
    if (task->state == LOGICAL_ASK) { /* the connection is dead */
        static const struct change nothing = {.walsender = true};
        data->connected = &nothing;
    }
    data->change_next++;
    change_next(task, data);
    return true;
}

static int mark_work(void *arg, struct error *err)
{
    const struct logical_data *data = arg;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < data->real.count; i++) {
        rc = pg_slot_mark_remove(data->data_dir, data->real.items[i], err);
    }
    return rc;
}

static void logical_step(struct pg_task *task)
{
    struct logical_data *data = task->data;
    static const char facts[] =
        ";SELECT pg_is_in_recovery(), current_setting('wal_level') = 'logical'";

    if (task->rc != 0) {
        if (!goes_on(task, data)) {
            error_wrap(&task->err, WHAT);
            pg_task_fail(task);
        }
        return;
    }
    switch (task->state) {
    case LOGICAL_MARK:
        task->state = LOGICAL_CONNECT;
        pg_task_work(task, mark_work, data);
        return;
    case LOGICAL_CONNECT:
        task->state = LOGICAL_LOOK;
        pg_task_connect_local(task);
        return;
    case LOGICAL_LOOK: {
        struct buf sql = BUF_INIT;
        buf_put_str(&sql, pg_slots_sql);
        buf_put_str(&sql, facts);
        task->state = LOGICAL_LOOKED;
        pg_task_query(task, buf_str(&sql));
        buf_free(&sql);
        return;
    }
    case LOGICAL_LOOKED:
        plan_changes(task, data);
        change_next(task, data);
        return;
    case LOGICAL_ASK:
        task->state = LOGICAL_ASKED;
        pg_task_query(task, data->changes[data->change_next].sql);
        return;
    case LOGICAL_ASKED:
        data->change_next++;
        change_next(task, data);
        return;
    default: ASSERT(false);
    }
}

static void logical_release(struct pg_task *task)
{
    struct logical_data *data = task->data;
    pg_logical_wishes_free(data->wishes, data->wish_count);
    pg_lines_free(&data->drop);
    pg_lines_free(&data->real);
    for (size_t i = 0; i < data->change_count; i++) {
        mem_free(data->changes[i].sql);
    }
}

struct pg_logical_wish *pg_logical_wishes_dup(const struct pg_logical_wish *wishes, size_t count)
{
    struct pg_logical_wish *copies = mem_new_array(struct pg_logical_wish, count);
    for (size_t i = 0; i < count; i++) {
        copies[i] = wishes[i];
        copies[i].name = mem_strdup(wishes[i].name);
        copies[i].database = mem_strdup(wishes[i].database);
        copies[i].plugin = mem_strdup(wishes[i].plugin);
    }
    return copies;
}

void pg_logical_wishes_free(struct pg_logical_wish *wishes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        mem_free((void *)(uintptr_t)wishes[i].name);
        mem_free((void *)(uintptr_t)wishes[i].database);
        mem_free((void *)(uintptr_t)wishes[i].plugin);
    }
    mem_free(wishes);
}

static bool is_running(const struct pg_instance *pg, const struct pg_task_ops *ops)
{
    LIST_EACH(item, &pg->tasks)
    {
        if (LIST_OWNER(item, struct pg_task, link)->ops == ops) {
            return true;
        }
    }
    return false;
}

int pg_instance_set_logical(struct pg_instance *instance, const struct pg_logical_slots *slots,
                            int64_t timeout_ms, pg_done_cb done, void *arg, struct error *err)
{
    static const struct pg_task_ops ops = {
        .name = "logical replication slots", .step = logical_step, .release = logical_release};
    struct pg_task *task = NULL;

    if (slots->wish_count > PG_SLOTS_MAX || slots->drop.count > PG_SLOTS_MAX) {
        return error_set(err, ERR_LIMIT, "%zu logical slots are wanted, at most %d are handled",
                         slots->wish_count, PG_SLOTS_MAX);
    }
    if (is_running(instance, &ops)) {
        return error_set(err, ERR_BUSY, "logical replication slots are being changed already");
    }
    struct logical_data *data = mem_new(struct logical_data);
    data->wishes = pg_logical_wishes_dup(slots->wishes, slots->wish_count);
    data->wish_count = slots->wish_count;
    data->drop = pg_lines_dup(&slots->drop);
    data->role = slots->role;
    data->real = pg_lines_dup(&slots->real);
    data->data_dir = instance->config.data_dir;
    int rc = pg_task_start(instance, &ops, data, timeout_ms + SPARE_MS, done, arg, &task, err);
    if (rc != 0) {
        struct pg_task never = {.data = data};
        logical_release(&never);
        mem_free(data);
        return rc;
    }
    task->local_statement_ms = (int)timeout_ms;
    return 0;
}
