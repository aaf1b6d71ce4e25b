/* Logical slots of the primary, as a standby before 17 comes by them.
 *
 *   MARK (what is known of ours) -> CONNECT -> ASK -> ASKED (checked)
 *     -> LOOKED (is their WAL here?) -> end
 *
 * PostgreSQL replaces a state file by rename, so that what one read finds is whole; whether it has
 * come whole is checked all the same, and a slot that would begin with WAL that is not here is not
 * taken: nobody could read on from it. They wait in memory for the next start. */
#include "pgctl/jobs/slot_copy.h"

#include "base/assert.h"
#include "base/mem.h"
#include "pgctl/jobs/instance_config.h"
#include "pgctl/jobs/pg_private.h"
#include "pgctl/jobs/slot_mark.h"
#include "pgctl/proc/pg_files.h"
#include "pgctl/sql/pg_answers.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- files ------------------------------------------------------------------------------------ */

void pg_slot_copies_free(struct pg_slot_copies *copies)
{
    for (size_t i = 0; copies != NULL && i < copies->count; i++) {
        buf_free(&copies->items[i].bytes);
    }
    mem_free(copies);
}

enum { TIMELINE_DIGITS = 8, SEGMENT_DIGITS = 24 };

bool pg_slot_has_wal(const char *data_dir, uint32_t segment_bytes, uint64_t restart_lsn)
{
    char path[PG_PATH_BYTES];
    char wanted[32];
    bool found = false;
    const struct dirent *entry;

    (void)snprintf(path, sizeof path, "%.900s/pg_wal", data_dir);
    DIR *dir = segment_bytes == 0 ? NULL : opendir(path);
    if (dir == NULL) {
        return false;
    }
    uint64_t number = restart_lsn / segment_bytes;
    uint64_t per_log = (UINT64_C(1) << 32) / segment_bytes;
    (void)snprintf(wanted, sizeof wanted, "%08" PRIX32 "%08" PRIX32, (uint32_t)(number / per_log),
                   (uint32_t)(number % per_log));
    while (!found && (entry = readdir(dir)) != NULL) {
        found = strlen(entry->d_name) == SEGMENT_DIGITS &&
                strcmp(entry->d_name + TIMELINE_DIGITS, wanted) == 0;
    }
    (void)closedir(dir);
    return found;
}

static int write_one(const struct pg_slot_copy *copy, const char *data_dir, struct error *err)
{
    char path[PG_PATH_BYTES];
    char making[PG_PATH_BYTES];
    char state[PG_PATH_BYTES + 8];

    (void)snprintf(path, sizeof path, "%.850s/pg_replslot/%.63s", data_dir, copy->name);
    (void)snprintf(making, sizeof making, "%.1000s.tmp", path);
    (void)snprintf(state, sizeof state, "%s/state", making);
    int rc = pg_tree_clear(making, err); /* of an earlier attempt */
    if (rc == 0 && mkdir(making, 0700) != 0 && errno != EEXIST) {
        rc = error_set(err, err_from_errno(errno), "making '%s': %s", making, strerror(errno));
    }
    rc = rc != 0 ? rc : pg_slot_mark_put(making, 0, err);
    rc = rc != 0 ? rc : pg_file_write(state, buf_span(&copy->bytes), 0600, err);
    if (rc == 0 && rename(making, path) != 0) {
        rc = error_set(err, err_from_errno(errno), "renaming '%s': %s", making, strerror(errno));
    }
    return rc != 0 ? rc : pg_file_sync_parent(path, err);
}

int pg_slot_count(const char *data_dir, size_t *ret_count, struct error *err)
{
    static const char doomed[] = ".tmp";
    char path[PG_PATH_BYTES];
    const struct dirent *entry;
    size_t count = 0;

    (void)snprintf(path, sizeof path, "%.900s/pg_replslot", data_dir);
    DIR *dir = opendir(path);
    if (dir == NULL) {
        return error_set(err, err_from_errno(errno), "reading '%s': %s", path, strerror(errno));
    }
    while ((entry = readdir(dir)) != NULL) {
        size_t len = strlen(entry->d_name);
        size_t end = sizeof doomed - 1;
        count += entry->d_name[0] != '.' &&
                 (len <= end || strcmp(entry->d_name + len - end, doomed) != 0);
    }
    (void)closedir(dir);
    *ret_count = count;
    return 0;
}

void pg_slot_no_room(size_t count, size_t slots_max, char ret_text[PG_VALUE_BYTES])
{
    (void)snprintf(ret_text, PG_VALUE_BYTES,
                   "pg_replslot has %zu slots, and max_replication_slots is %zu: PostgreSQL would "
                   "not start with one more; drop slots that nobody needs, or raise that",
                   count, slots_max);
}

/* The one that is there is newer: it came after the copy was fetched. */
static void place(struct pg_slot_copy *copy, const char *data_dir, uint32_t segment_bytes,
                  size_t slots_max)
{
    char path[PG_PATH_BYTES];
    struct error err = {0};
    size_t count = 0;
    int rc = 0;

    (void)snprintf(path, sizeof path, "%.850s/pg_replslot/%.63s", data_dir, copy->name);
    if (pg_file_exists(path)) {
        return;
    }
    if (!pg_slot_has_wal(data_dir, segment_bytes, copy->file.restart_lsn)) {
        (void)snprintf(copy->fault, sizeof copy->fault,
                       "the WAL that it begins with was removed from pg_wal by now; it is fetched "
                       "again when its consumer has gone on");
        return;
    }
    rc = pg_slot_count(data_dir, &count, &err);
    if (rc == 0 && count >= slots_max) {
        pg_slot_no_room(count, slots_max, copy->fault);
        return;
    }
    rc = rc != 0 ? rc : write_one(copy, data_dir, &err);
    if (rc != 0) {
        (void)snprintf(copy->fault, sizeof copy->fault, "%.200s; it is tried again", err.text);
    }
}

void pg_slot_copies_write(struct pg_slot_copies *copies, const char *data_dir,
                          uint32_t segment_bytes, size_t slots_max)
{
    for (size_t i = 0; i < copies->count; i++) {
        place(&copies->items[i], data_dir, segment_bytes, slots_max);
    }
}

/* --- the question ----------------------------------------------------------------------------- */

enum { COPY_MARK, COPY_CONNECT, COPY_ASK, COPY_ASKED, COPY_LOOKED };

struct copy_data {
    char host[PG_HOST_BYTES];
    uint16_t port;
    char physical[PG_NAME_BYTES];
    struct pg_logical_wish *wishes;
    size_t wish_count;
    bool copy;
    struct pg_lines good; /* ours */
    struct pg_lines doubted;
    uint32_t good_timeline;
    const char *data_dir;
    uint32_t segment_bytes;
    size_t slots_max;
    struct pg_logical_seen seen;
    struct pg_slot_copies *copies;
    pg_logical_seen_cb done;
    void *arg;
};

enum {
    C_NAME,
    C_PHYSICAL,
    C_DATABASE,
    C_PLUGIN,
    C_CATALOG_XMIN,
    C_CONFIRMED,
    C_RESTART,
    C_WAL_STATUS,
    C_STATE
};

static void put_question(const struct copy_data *data, struct buf *sql)
{
    buf_printf(sql, "SELECT slot_name, slot_type = 'physical', database, plugin, catalog_xmin"
                    ", confirmed_flush_lsn, restart_lsn, wal_status, ");
    if (data->copy) { /* one byte more than is taken: then it is seen to be too long */
        buf_printf(sql,
                   "CASE WHEN slot_type = 'logical' THEN encode(pg_read_binary_file("
                   "'pg_replslot/' || slot_name || '/state', 0, %d, true), 'hex') END",
                   PG_SLOT_FILE_BYTES_MAX + 1);
    } else {
        buf_put_str(sql, "NULL");
    }
    buf_put_str(sql, " FROM pg_replication_slots WHERE NOT pg_is_in_recovery() AND NOT temporary"
                     " AND slot_name IN (");
    pg_quote_literal(sql, data->physical);
    for (size_t i = 0; i < data->wish_count; i++) {
        buf_put_str(sql, ", ");
        pg_quote_literal(sql, data->wishes[i].name);
    }
    buf_put_str(sql, ");SELECT CASE WHEN NOT pg_is_in_recovery() THEN" PG_PRIMARY_TIMELINE " END");
}

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool put_hex(const char *text, struct buf *out)
{
    for (; text[0] != '\0'; text += 2) {
        int high = digit(text[0]);
        int low = digit(text[1]);
        if (high < 0 || low < 0 || out->len >= PG_SLOT_FILE_BYTES_MAX) {
            return false;
        }
        char byte = (char)(high * 16 + low);
        buf_put(out, &byte, 1);
    }
    return true;
}

static const struct pg_logical_wish *find_wish(const struct copy_data *data, const char *name)
{
    for (size_t i = 0; i < data->wish_count; i++) {
        if (strcmp(data->wishes[i].name, name) == 0) {
            return &data->wishes[i];
        }
    }
    return NULL;
}

/* NULL: it is kept, and its WAL is to be looked for. */
static const char *take_copy(struct copy_data *data, const PGresult *rows, int row,
                             struct pg_logical_there *there)
{
    const struct pg_logical_wish *wish = find_wish(data, there->name);
    struct pg_slot_copy *copy = &data->copies->items[data->copies->count];
    struct error err = {0};

    if (strcmp(pg_cell(rows, row, C_DATABASE), wish->database) != 0 ||
        strcmp(pg_cell(rows, row, C_PLUGIN), wish->plugin) != 0) {
        return "on the primary it is one of another database or plugin: that one makes it anew "
               "when "
               "nobody reads from it";
    }
    if (there->lost) {
        return "on the primary it is lost: that one makes it anew when nobody reads from it";
    }
    bool whole = put_hex(pg_cell(rows, row, C_STATE), &copy->bytes) &&
                 pg_slot_file_read(buf_span(&copy->bytes), there->name, &copy->file, &err) == 0;
    if (!whole) {
        (void)snprintf(there->fault, sizeof there->fault, "%.200s",
                       err.text[0] == '\0' ? "its state is no file of such a length" : err.text);
        buf_free(&copy->bytes);
        *copy = (struct pg_slot_copy){0};
        return there->fault;
    }
    (void)snprintf(copy->name, sizeof copy->name, "%s", there->name);
    data->copies->count++;
    return NULL;
}

static void take_answer(struct copy_data *data, const struct pg_answer *answer)
{
    const PGresult *rows = answer->results[0];
    data->seen.timeline = (uint32_t)pg_cell_u64(answer->results[1], 0, 0);
    for (int row = 0; row < PQntuples(rows) && data->seen.count < PG_SLOTS_MAX; row++) {
        const char *name = pg_cell(rows, row, C_NAME);
        uint32_t xmin = (uint32_t)pg_cell_u64(rows, row, C_CATALOG_XMIN);
        if (pg_cell_bool(rows, row, C_PHYSICAL)) {
            bool ours = strcmp(name, data->physical) == 0;
            data->seen.physical_there = data->seen.physical_there || ours;
            data->seen.physical_xmin = ours ? xmin : data->seen.physical_xmin;
            continue;
        }
        if (find_wish(data, name) == NULL) {
            continue; /* named as our physical one */
        }
        struct pg_logical_there *there = &data->seen.slots[data->seen.count++];
        (void)snprintf(there->name, sizeof there->name, "%s", name);
        there->catalog_xmin = xmin;
        there->confirmed_lsn = pg_cell_lsn(rows, row, C_CONFIRMED);
        there->lost = pg_cell_lsn(rows, row, C_RESTART) == 0 ||
                      strcmp(pg_cell(rows, row, C_WAL_STATUS), "lost") == 0;
        const char *fault = data->copy ? take_copy(data, rows, row, there) : NULL;
        if (fault != NULL && fault != there->fault) {
            (void)snprintf(there->fault, sizeof there->fault, "%s", fault);
        }
    }
}

static struct pg_logical_there *find_there(struct copy_data *data, const char *name)
{
    for (size_t i = 0; i < data->seen.count; i++) {
        if (strcmp(data->seen.slots[i].name, name) == 0) {
            return &data->seen.slots[i];
        }
    }
    return NULL;
}

/* It can be had, with those before it: `count` will be there by then. */
static bool is_kept(const struct copy_data *data, const struct pg_slot_copy *copy, size_t count,
                    char ret_fault[PG_VALUE_BYTES])
{
    if (!pg_slot_has_wal(data->data_dir, data->segment_bytes, copy->file.restart_lsn)) {
        (void)snprintf(ret_fault, PG_VALUE_BYTES,
                       "the WAL that it begins with is not here any more; it can be copied when "
                       "its consumer has gone on");
        return false;
    }
    if (count >= data->slots_max) {
        pg_slot_no_room(count, data->slots_max, ret_fault);
        return false;
    }
    return true;
}

/* Before the primary is asked: what was in doubt under it has to be so after a power failure, too.
 */
static int mark_work(void *arg, struct error *err)
{
    const struct copy_data *data = arg;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < data->good.count; i++) {
        rc = pg_slot_mark_set(data->data_dir, data->good.items[i], data->good_timeline, err);
    }
    for (size_t i = 0; rc == 0 && i < data->doubted.count; i++) {
        rc = pg_slot_mark_set(data->data_dir, data->doubted.items[i], 0, err);
    }
    return rc;
}

static int look_work(void *arg, struct error *err)
{
    struct copy_data *data = arg;
    struct pg_slot_copies *copies = data->copies;
    size_t kept = 0;
    size_t count = 0;
    int rc = pg_slot_count(data->data_dir, &count, err);
    for (size_t i = 0; i < copies->count; i++) {
        struct pg_slot_copy *copy = &copies->items[i];
        struct pg_logical_there *there = find_there(data, copy->name);
        there->fetched = rc == 0 && is_kept(data, copy, count + kept, there->fault);
        if (there->fetched) {
            copies->items[kept++] = *copy;
        } else {
            buf_free(&copy->bytes);
        }
    }
    copies->count = kept;
    return rc;
}

static void keep_copies(struct pg_instance *pg, struct copy_data *data)
{
    if (data->copies->count == 0) {
        return;
    }
    pg_slot_copies_free(pg->copies);
    pg->copies = data->copies;
    pg->copies->fetched_ms = clock_mono_ms(pg->clock);
    data->copies = NULL;
}

static void copy_step(struct pg_task *task)
{
    struct copy_data *data = task->data;
    struct pg_conn_target target = pg_peer_target(task->pg, data->host, data->port);

    if (task->rc != 0) {
        error_wrap(&task->err, "asking the primary at %s:%u for its logical slots", data->host,
                   data->port);
        pg_task_fail(task);
        return;
    }
    switch (task->state++) {
    case COPY_MARK: pg_task_work(task, mark_work, data); return;
    case COPY_CONNECT: pg_task_connect(task, &target); return;
    case COPY_ASK: {
        struct buf sql = BUF_INIT;
        put_question(data, &sql);
        pg_task_query(task, buf_str(&sql));
        buf_free(&sql);
        return;
    }
    case COPY_ASKED:
        take_answer(data, &task->answer);
        pg_task_work(task, look_work, data);
        return;
    case COPY_LOOKED:
        keep_copies(task->pg, data);
        pg_task_end(task);
        return;
    default: ASSERT(false);
    }
}

static void copy_told(struct pg_task *task)
{
    struct copy_data *data = task->data;
    data->done(data->arg, task->rc, task->rc == 0 ? &data->seen : NULL, &task->err);
}

static void copy_release(struct pg_task *task)
{
    struct copy_data *data = task->data;
    pg_logical_wishes_free(data->wishes, data->wish_count);
    pg_lines_free(&data->good);
    pg_lines_free(&data->doubted);
    pg_slot_copies_free(data->copies);
}

size_t pg_slots_max(const struct pg_instance *pg)
{
    const struct pg_conf conf = pg_instance_conf(pg, true);
    char value[PG_VALUE_BYTES];
    const char *max = pg_conf_controlled(&conf, "max_replication_slots", value);
    return max == NULL ? 0 : strtoul(max, NULL, 10);
}

int pg_instance_ask_logical(struct pg_instance *instance, const struct pg_logical_ask *ask,
                            int64_t timeout_ms, pg_logical_seen_cb done, void *arg,
                            struct error *err)
{
    static const struct pg_task_ops ops = {.name = "ask for logical slots",
                                           .step = copy_step,
                                           .tell = copy_told,
                                           .release = copy_release};

    if (strlen(ask->host) >= PG_HOST_BYTES || ask->wish_count > PG_SLOTS_MAX ||
        strlen(ask->physical) >= PG_NAME_BYTES) {
        return error_set(err, ERR_LIMIT,
                         "asking for logical slots: a name that is too long, or too "
                         "many of them");
    }
    struct copy_data *data = mem_new(struct copy_data);
    memcpy(data->host, ask->host, strlen(ask->host) + 1);
    memcpy(data->physical, ask->physical, strlen(ask->physical) + 1);
    data->port = ask->port;
    data->wishes = pg_logical_wishes_dup(ask->wishes, ask->wish_count);
    data->wish_count = ask->wish_count;
    data->copy = ask->copy;
    data->good = pg_lines_dup(&ask->good);
    data->good_timeline = ask->good_timeline;
    data->doubted = pg_lines_dup(&ask->doubted);
    data->data_dir = instance->config.data_dir;
    data->segment_bytes = instance->has_control ? instance->control.wal_segment_bytes : 0;
    data->slots_max = pg_slots_max(instance);
    data->copies = mem_new(struct pg_slot_copies);
    data->done = done;
    data->arg = arg;
    int rc = pg_task_start(instance, &ops, data, timeout_ms, NULL, NULL, NULL, err);
    if (rc != 0) {
        struct pg_task never = {.data = data};
        copy_release(&never);
        mem_free(data);
    }
    return rc;
}

const char *pg_instance_copy_fault(const struct pg_instance *instance, const char *name)
{
    const struct pg_slot_copies *placed = instance->placed;
    for (size_t i = 0; placed != NULL && i < placed->count; i++) {
        if (strcmp(placed->items[i].name, name) == 0) {
            return placed->items[i].fault;
        }
    }
    return "";
}
