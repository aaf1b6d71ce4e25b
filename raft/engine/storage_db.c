#include "raft/engine/storage_db.h"

#include "base/assert.h"
#include "base/mem.h"
#include "raft/engine/configuration.h"
#include "raft/engine/crc32c.h"
#include "raft/engine/storage_wal.h"

#include <sqlite3.h>

#include <errno.h>
#include <inttypes.h>
#include <string.h>

enum statement {
    ST_BEGIN,
    ST_COMMIT,
    ST_ROLLBACK,
    ST_META_SET,
    ST_LOG_TRUNCATE,
    ST_LOG_TRIM,
    ST_LOG_CLEAR,
    ST_LOG_APPEND,
    ST_SNAPSHOT_SET,
    ST_COUNT
};

static const char *const statement_texts[] = {
    [ST_BEGIN] = "BEGIN IMMEDIATE",
    [ST_COMMIT] = "COMMIT",
    [ST_ROLLBACK] = "ROLLBACK",
    [ST_META_SET] = "INSERT OR REPLACE INTO meta(k, format, id, cluster, name, term, vote, crc) "
                    "VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    [ST_LOG_TRUNCATE] = "DELETE FROM log WHERE idx >= ?1",
    [ST_LOG_TRIM] = "DELETE FROM log WHERE idx <= ?1",
    [ST_LOG_CLEAR] = "DELETE FROM log",
    [ST_LOG_APPEND] = "INSERT INTO log(idx, term, type, crc, data) VALUES (?1, ?2, ?3, ?4, ?5)",
    [ST_SNAPSHOT_SET] = "INSERT OR REPLACE INTO snapshot(k, idx, term, cidx, crc, conf, data) "
                        "VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6)",
};
_Static_assert(sizeof(statement_texts) / sizeof(statement_texts[0]) == ST_COUNT,
               "one text a statement");

struct storage_meta {
    uint64_t id;
    uint64_t cluster;
    char name[RAFT_NODE_NAME_BYTES];
    uint64_t term;
    uint64_t vote;
};

struct storage_db {
    sqlite3 *sqlite;
    sqlite3_stmt *statements[ST_COUNT];
    struct storage_meta meta;
    int wal_pages;
    int wal_pages_max;
};

/* --- errors and small steps ------------------------------------------------------------------- */

/* SQLite knows a full disk by ENOSPC alone; a quota is an I/O error to it. Which errno it was, only
 * the file says that was written to: sqlite3_system_errno still has an older one after a COMMIT
 * (3.40). A sync that fails is no such case: the kernel had taken the pages already. */
static bool refused_by_quota(struct storage_db *db, int rv, int file_op)
{
    sqlite3_file *file = NULL;
    int number = 0;
    return rv == SQLITE_IOERR_WRITE &&
           sqlite3_file_control(db->sqlite, "main", file_op, &file) == SQLITE_OK && file != NULL &&
           file->pMethods != NULL &&
           file->pMethods->xFileControl(file, SQLITE_FCNTL_LAST_ERRNO, &number) == SQLITE_OK &&
           number == EDQUOT;
}

/* `file_op` gives the file that was written to. */
static int file_error(struct storage_db *db, int rv, int file_op, const char *what,
                      struct error *err)
{
    int code = ERR_IO;
    int primary = rv & 0xff;
    if (primary == SQLITE_FULL || refused_by_quota(db, rv, file_op)) {
        code = ERR_NO_SPACE;
    } else if (primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB || primary == SQLITE_SCHEMA) {
        code = ERR_CORRUPT;
    } else if (primary == SQLITE_BUSY || primary == SQLITE_LOCKED) {
        code = ERR_BUSY;
    } else if (primary == SQLITE_PERM || primary == SQLITE_READONLY || primary == SQLITE_CANTOPEN) {
        code = ERR_PERMISSION;
    }
    return error_set(err, code, "%s: %s (%d)", what, sqlite3_errmsg(db->sqlite), rv);
}

/* All but a checkpoint writes to the WAL. */
static int db_error(struct storage_db *db, int rv, const char *what, struct error *err)
{
    return file_error(db, rv, SQLITE_FCNTL_JOURNAL_POINTER, what, err);
}

static int run(struct storage_db *db, enum statement which, struct error *err)
{
    sqlite3_stmt *statement = db->statements[which];
    int rv = sqlite3_step(statement);
    int reset = sqlite3_reset(statement);
    (void)sqlite3_clear_bindings(statement);
    if (rv == SQLITE_DONE) {
        return 0;
    }
    return db_error(db, reset != SQLITE_OK ? reset : rv, statement_texts[which], err);
}

static void bind_u64(struct storage_db *db, enum statement which, int at, uint64_t value)
{
    int rv = sqlite3_bind_int64(db->statements[which], at, (sqlite3_int64)value);
    ASSERT(rv == SQLITE_OK);
}

static void bind_bytes(struct storage_db *db, enum statement which, int at, struct span bytes)
{
    const void *data = bytes.len == 0 ? "" : (const void *)bytes.data;
    int rv = sqlite3_bind_blob64(db->statements[which], at, data, bytes.len, SQLITE_STATIC);
    ASSERT(rv == SQLITE_OK);
}

/* --- checksums -------------------------------------------------------------------------------- */

static uint32_t meta_crc(const struct storage_meta *meta)
{
    uint32_t crc = crc32c_u64(0, STORAGE_FORMAT);
    crc = crc32c_u64(crc, meta->id);
    crc = crc32c_u64(crc, meta->cluster);
    crc = crc32c_u64(crc, meta->term);
    crc = crc32c_u64(crc, meta->vote);
    return crc32c(crc, span_str(meta->name));
}

static uint32_t entry_crc(const struct raft_entry_rec *entry)
{
    uint32_t crc = crc32c_u64(0, entry->index);
    crc = crc32c_u64(crc, entry->term);
    crc = crc32c_u64(crc, entry->type);
    return crc32c(crc, entry->data);
}

static uint32_t snapshot_crc(uint64_t index, uint64_t term, uint64_t configuration_index,
                             struct span configuration, struct span data)
{
    uint32_t crc = crc32c_u64(0, index);
    crc = crc32c_u64(crc, term);
    crc = crc32c_u64(crc, configuration_index);
    crc = crc32c_u64(crc, configuration.len);
    crc = crc32c(crc, configuration);
    return crc32c(crc, data);
}

/* --- write ------------------------------------------------------------------------------------ */

static int write_meta(struct storage_db *db, const struct storage_meta *meta, struct error *err)
{
    bind_u64(db, ST_META_SET, 1, STORAGE_FORMAT);
    bind_u64(db, ST_META_SET, 2, meta->id);
    bind_u64(db, ST_META_SET, 3, meta->cluster);
    int rv = sqlite3_bind_text(db->statements[ST_META_SET], 4, meta->name, -1, SQLITE_STATIC);
    ASSERT(rv == SQLITE_OK);
    bind_u64(db, ST_META_SET, 5, meta->term);
    bind_u64(db, ST_META_SET, 6, meta->vote);
    bind_u64(db, ST_META_SET, 7, meta_crc(meta));
    return run(db, ST_META_SET, err);
}

static int write_entries(struct storage_db *db, const struct raft_storage_job *job,
                         struct error *err)
{
    int rc = 0;
    if (job->truncate_from != 0) {
        bind_u64(db, ST_LOG_TRUNCATE, 1, job->truncate_from);
        rc = run(db, ST_LOG_TRUNCATE, err);
    }
    for (size_t i = 0; i < job->entry_count && rc == 0; i++) {
        const struct raft_entry_rec *entry = &job->entries[i];
        bind_u64(db, ST_LOG_APPEND, 1, entry->index);
        bind_u64(db, ST_LOG_APPEND, 2, entry->term);
        bind_u64(db, ST_LOG_APPEND, 3, entry->type);
        bind_u64(db, ST_LOG_APPEND, 4, entry_crc(entry));
        bind_bytes(db, ST_LOG_APPEND, 5, entry->data);
        rc = run(db, ST_LOG_APPEND, err);
    }
    return rc;
}

static int write_snapshot(struct storage_db *db, const struct raft_storage_job *job,
                          struct error *err)
{
    uint32_t crc = snapshot_crc(job->snapshot_index, job->snapshot_term, job->configuration_index,
                                job->configuration, job->snapshot);
    bind_u64(db, ST_SNAPSHOT_SET, 1, job->snapshot_index);
    bind_u64(db, ST_SNAPSHOT_SET, 2, job->snapshot_term);
    bind_u64(db, ST_SNAPSHOT_SET, 3, job->configuration_index);
    bind_u64(db, ST_SNAPSHOT_SET, 4, crc);
    bind_bytes(db, ST_SNAPSHOT_SET, 5, job->configuration);
    bind_bytes(db, ST_SNAPSHOT_SET, 6, job->snapshot);
    int rc = run(db, ST_SNAPSHOT_SET, err);
    if (rc == 0 && job->snapshot_installed) {
        rc = run(db, ST_LOG_CLEAR, err);
    } else if (rc == 0 && job->delete_until != 0) {
        bind_u64(db, ST_LOG_TRIM, 1, job->delete_until);
        rc = run(db, ST_LOG_TRIM, err);
    }
    return rc;
}

static int write_job(struct storage_db *db, const struct raft_storage_job *job,
                     struct storage_meta *meta, struct error *err)
{
    int rc = 0;
    if (job->has_vote) {
        meta->term = job->term;
        meta->vote = job->voted_for;
        rc = write_meta(db, meta, err);
    }
    if (rc == 0 && job->has_entries) {
        rc = write_entries(db, job, err);
    }
    if (rc == 0 && job->has_snapshot) {
        rc = write_snapshot(db, job, err);
    }
    return rc;
}

/* Explicit, and its result counts: SQLite's automatic checkpoint swallows a failed fsync. A full
 * disk only means that the WAL stays. While it runs the file keeps its length, up to
 * journal_size_limit, and is written from its beginning again: a sync of blocks that the file has
 * already takes half as long as one of new ones, which needs the file system's journal, too. */
static int checkpoint(struct storage_db *db, int mode, struct error *err)
{
    int rv = sqlite3_wal_checkpoint_v2(db->sqlite, NULL, mode, NULL, NULL);
    if (rv == SQLITE_OK) {
        db->wal_pages = 0;
        return 0;
    }
    return file_error(db, rv, SQLITE_FCNTL_FILE_POINTER, "checkpoint", err);
}

static int finish(struct storage_db *db, int rc, struct error *err)
{
    if (rc == 0) {
        rc = run(db, ST_COMMIT, err);
    }
    if (rc != 0 && sqlite3_get_autocommit(db->sqlite) == 0) {
        int undone = run(db, ST_ROLLBACK, NULL);
        if (undone != 0 && rc == ERR_NO_SPACE) {
            rc = ERR_IO; /* not known to be as before: no second try */
        }
    }
    return rc;
}

int storage_db_write(struct storage_db *db, const struct raft_storage_job *const *jobs,
                     size_t count, struct error *err)
{
    struct storage_meta meta = db->meta;
    int rc = run(db, ST_BEGIN, err);
    for (size_t i = 0; i < count && rc == 0; i++) {
        rc = write_job(db, jobs[i], &meta, err);
    }
    rc = finish(db, rc, err);
    if (rc != 0) {
        return rc;
    }
    db->meta = meta;
    return 0;
}

int storage_db_checkpoint(struct storage_db *db, struct error *err)
{
    if (db->wal_pages < db->wal_pages_max) {
        return 0;
    }
    int rc = checkpoint(db, SQLITE_CHECKPOINT_RESTART, err);
    return rc == ERR_NO_SPACE ? 0 : rc;
}

int storage_db_set_cluster(struct storage_db *db, uint64_t cluster,
                           const struct raft_storage_job *first, struct error *err)
{
    struct storage_meta meta = db->meta;
    meta.cluster = cluster;
    int rc = run(db, ST_BEGIN, err);
    if (rc == 0) {
        rc = write_meta(db, &meta, err);
    }
    if (rc == 0 && first != NULL) {
        rc = write_job(db, first, &meta, err);
    }
    rc = finish(db, rc, err);
    if (rc == 0) {
        db->meta = meta;
    }
    return rc;
}

/* --- open ------------------------------------------------------------------------------------- */

static int on_wal(void *arg, sqlite3 *sqlite, const char *schema, int pages)
{
    struct storage_db *db = arg;
    (void)sqlite;
    (void)schema;
    db->wal_pages = pages;
    return SQLITE_OK;
}

static int execute(struct storage_db *db, const char *text, struct error *err)
{
    int rv = sqlite3_exec(db->sqlite, text, NULL, NULL, NULL);
    return rv == SQLITE_OK ? 0 : db_error(db, rv, text, err);
}

/* First column of the first row as text, cut to `size`; empty if there is none. */
static int query_text(struct storage_db *db, const char *text, char *value, size_t size,
                      struct error *err)
{
    sqlite3_stmt *statement = NULL;
    int rv = sqlite3_prepare_v2(db->sqlite, text, -1, &statement, NULL);
    value[0] = '\0';
    if (rv == SQLITE_OK) {
        rv = sqlite3_step(statement);
    }
    if (rv == SQLITE_ROW) {
        const char *found = (const char *)sqlite3_column_text(statement, 0);
        (void)sqlite3_snprintf((int)size, value, "%s", found == NULL ? "" : found);
        rv = SQLITE_DONE;
    }
    int rc = rv == SQLITE_DONE ? 0 : db_error(db, rv, text, err);
    (void)sqlite3_finalize(statement);
    return rc;
}

static int set_pragmas(struct storage_db *db, struct error *err)
{
    static const char *const before[] = {"PRAGMA locking_mode=EXCLUSIVE"};
    static const char *const after[] = {
        "PRAGMA synchronous=FULL",  "PRAGMA wal_autocheckpoint=0",
        "PRAGMA cell_size_check=1", "PRAGMA temp_store=MEMORY",
        "PRAGMA cache_size=-1024",  "PRAGMA journal_size_limit=4194304",
    };
    char mode[16];
    int rc = execute(db, before[0], err);
    if (rc == 0) {
        rc = query_text(db, "PRAGMA journal_mode=WAL", mode, sizeof(mode), err);
    }
    if (rc == 0 && strcmp(mode, "wal") != 0) {
        rc = error_set(err, ERR_UNSUPPORTED,
                       "the file system gives journal mode '%s' where 'wal' is needed", mode);
    }
    for (size_t i = 0; i < sizeof(after) / sizeof(after[0]) && rc == 0; i++) {
        rc = execute(db, after[i], err);
    }
    (void)sqlite3_wal_hook(db->sqlite, on_wal, db);
    return rc;
}

static int create_schema(struct storage_db *db, struct error *err)
{
    return execute(
        db,
        "BEGIN IMMEDIATE;"
        "CREATE TABLE meta(k INTEGER PRIMARY KEY CHECK (k = 1), format INTEGER NOT NULL,"
        " id INTEGER NOT NULL, cluster INTEGER NOT NULL, name TEXT NOT NULL, term INTEGER NOT NULL,"
        " vote INTEGER NOT NULL, crc INTEGER NOT NULL);"
        "CREATE TABLE log(idx INTEGER PRIMARY KEY, term INTEGER NOT NULL, type INTEGER NOT NULL,"
        " crc INTEGER NOT NULL, data BLOB NOT NULL);"
        "CREATE TABLE snapshot(k INTEGER PRIMARY KEY CHECK (k = 1), idx INTEGER NOT NULL,"
        " term INTEGER NOT NULL, cidx INTEGER NOT NULL, crc INTEGER NOT NULL, conf BLOB NOT NULL,"
        " data BLOB NOT NULL);"
        "COMMIT",
        err);
}

static int prepare_all(struct storage_db *db, struct error *err)
{
    for (int i = 0; i < ST_COUNT; i++) {
        int rv = sqlite3_prepare_v3(db->sqlite, statement_texts[i], -1, SQLITE_PREPARE_PERSISTENT,
                                    &db->statements[i], NULL);
        if ((rv & 0xff) == SQLITE_ERROR) { /* damage within SQLite's description of a table */
            return error_set(err, ERR_CORRUPT, "its tables are not as this release makes them: %s",
                             sqlite3_errmsg(db->sqlite));
        }
        if (rv != SQLITE_OK) {
            return db_error(db, rv, statement_texts[i], err);
        }
    }
    return 0;
}

/* A new file gets an id and the name; the id of a directory is never changed afterwards. */
static int make_meta(struct storage_db *db, const char *name, const struct random *random,
                     struct error *err)
{
    struct storage_meta meta = {0};
    if (strlen(name) >= sizeof(meta.name)) {
        return error_set(err, ERR_INVALID, "member name '%s' is longer than %zu bytes", name,
                         sizeof(meta.name) - 1);
    }
    memcpy(meta.name, name, strlen(name) + 1);
    do {
        meta.id = random_next(random) >> 1; /* positive in SQLite, and not the largest number */
    } while (meta.id == 0);
    int rc = run(db, ST_BEGIN, err);
    if (rc == 0) {
        rc = write_meta(db, &meta, err);
    }
    rc = finish(db, rc, err);
    if (rc == 0) {
        db->meta = meta;
    }
    return rc;
}

static uint64_t column_u64(sqlite3_stmt *row, int at)
{
    return (uint64_t)sqlite3_column_int64(row, at);
}

static struct span column_bytes(sqlite3_stmt *row, int at)
{
    const void *data = sqlite3_column_blob(row, at);
    return span_of(data, data == NULL ? 0 : (size_t)sqlite3_column_bytes(row, at));
}

static int read_meta_row(struct storage_db *db, sqlite3_stmt *row, const char *name,
                         struct error *err)
{
    struct storage_meta meta = {0};
    struct span text = column_bytes(row, 3);
    uint64_t format = column_u64(row, 0);
    if (format != STORAGE_FORMAT) {
        return error_set(err, ERR_UNSUPPORTED, "format %" PRIu64 " where %d is known", format,
                         STORAGE_FORMAT);
    }
    if (text.len >= sizeof(meta.name)) {
        return error_set(err, ERR_CORRUPT, "table meta: name of %zu bytes", text.len);
    }
    memcpy(meta.name, text.data == NULL ? (const void *)"" : text.data, text.len);
    meta.id = column_u64(row, 1);
    meta.cluster = column_u64(row, 2);
    meta.term = column_u64(row, 4);
    meta.vote = column_u64(row, 5);
    if (column_u64(row, 6) != meta_crc(&meta)) {
        return error_set(err, ERR_CORRUPT, "table meta: checksum");
    }
    if (strcmp(meta.name, name) != 0) {
        return error_set(err, ERR_INVALID,
                         "the directory belongs to member '%s' and this is '%s': a copied "
                         "directory must not be used, "
                         "give this member an empty one",
                         meta.name, name);
    }
    db->meta = meta;
    return 0;
}

static int read_meta(struct storage_db *db, const char *name, bool *ret_found, struct error *err)
{
    sqlite3_stmt *row = NULL;
    int rc = 0;
    int rv = sqlite3_prepare_v2(
        db->sqlite, "SELECT format, id, cluster, name, term, vote, crc FROM meta", -1, &row, NULL);
    if (rv == SQLITE_OK) {
        rv = sqlite3_step(row);
    }
    *ret_found = rv == SQLITE_ROW;
    if (rv == SQLITE_ROW) {
        rc = read_meta_row(db, row, name, err);
    } else if (rv != SQLITE_DONE) {
        rc = db_error(db, rv, "reading table meta", err);
    }
    (void)sqlite3_finalize(row);
    return rc;
}

static int open_checked(struct storage_db *db, const char *name, const struct random *random,
                        struct error *err)
{
    char tables[16];
    bool found = false;
    int rc = set_pragmas(db, err);
    /* A restart reads the page cache, not the disk: first everything is written and synced anew. */
    if (rc == 0) {
        rc = checkpoint(db, SQLITE_CHECKPOINT_TRUNCATE, err);
    }
    if (rc == 0) {
        rc = query_text(db, "SELECT count(*) FROM sqlite_master", tables, sizeof(tables), err);
    }
    if (rc == 0 && strcmp(tables, "0") == 0) {
        rc = create_schema(db, err);
    }
    if (rc == 0) {
        rc = prepare_all(db, err);
    }
    if (rc == 0) {
        rc = read_meta(db, name, &found, err);
    }
    if (rc == 0 && !found) {
        char rows[16];
        rc = query_text(db, "SELECT (SELECT count(*) FROM log) + (SELECT count(*) FROM snapshot)",
                        rows, sizeof(rows), err);
        if (rc == 0 && strcmp(rows, "0") != 0) {
            rc = error_set(err, ERR_CORRUPT, "a log without a member");
        }
        if (rc == 0) {
            rc = make_meta(db, name, random, err);
        }
    }
    return rc;
}

int storage_db_open(const char *path, const char *name, const struct random *random,
                    struct storage_db **ret_db, struct error *err)
{
    char *wal = mem_printf("%s-wal", path);
    int rc = storage_wal_check(wal, err);
    mem_free(wal);
    if (rc != 0) {
        return rc;
    }
    struct storage_db *db = mem_new(struct storage_db);
    db->wal_pages_max = STORAGE_WAL_PAGES_MAX;
    int flags =
        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    int rv = sqlite3_open_v2(path, &db->sqlite, flags, NULL);
    rc = rv == SQLITE_OK ? 0 : db_error(db, rv, "opening", err);
    if (rc == 0) {
        rc = open_checked(db, name, random, err);
    }
    if (rc != 0) {
        error_wrap(err, "'%s'", path);
        storage_db_close(db, false);
        return rc;
    }
    *ret_db = db;
    return 0;
}

void storage_db_set_wal_pages_max(struct storage_db *db, int pages)
{
    db->wal_pages_max = pages;
}

void storage_db_close(struct storage_db *db, bool clean)
{
    if (db == NULL) {
        return;
    }
    if (clean) {
        (void)checkpoint(db, SQLITE_CHECKPOINT_TRUNCATE, NULL); /* the next start does it again */
    } else if (db->sqlite != NULL) {
        (void)sqlite3_db_config(db->sqlite, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    }
    for (int i = 0; i < ST_COUNT; i++) {
        (void)sqlite3_finalize(db->statements[i]);
    }
    (void)sqlite3_close(db->sqlite);
    mem_free(db);
}

/* --- load ------------------------------------------------------------------------------------- */

static int load_snapshot_row(sqlite3_stmt *row, struct raft_boot *boot, struct error *err)
{
    struct span configuration = column_bytes(row, 4);
    struct span data = column_bytes(row, 5);
    struct configuration parsed;
    boot->snapshot_index = column_u64(row, 0);
    boot->snapshot_term = column_u64(row, 1);
    boot->configuration_index = column_u64(row, 2);
    if (column_u64(row, 3) != snapshot_crc(boot->snapshot_index, boot->snapshot_term,
                                           boot->configuration_index, configuration, data)) {
        return error_set(err, ERR_CORRUPT, "table snapshot: checksum");
    }
    boot->has_snapshot = true;
    boot->configuration =
        span_of(mem_memdup(configuration.data, configuration.len), configuration.len);
    boot->snapshot = span_of(mem_memdup(data.data, data.len), data.len);
    return configuration_decode(boot->configuration, &parsed, err);
}

static int load_entry_row(sqlite3_stmt *row, struct raft_boot *boot, struct buf *entries,
                          struct error *err)
{
    struct raft_entry_rec entry = {
        .index = column_u64(row, 0),
        .term = column_u64(row, 1),
        .type = (uint16_t)column_u64(row, 2),
        .data = column_bytes(row, 4),
    };
    uint64_t expected = entry.index;
    if (boot->entry_count > 0) {
        expected =
            ((const struct raft_entry_rec *)(const void *)entries->data)[boot->entry_count - 1]
                .index +
            1;
    }
    if (column_u64(row, 3) != entry_crc(&entry) || column_u64(row, 2) > UINT16_MAX) {
        return error_set(err, ERR_CORRUPT, "table log: checksum of entry %" PRIu64, entry.index);
    }
    if (entry.index != expected) {
        return error_set(err, ERR_CORRUPT, "table log: entry %" PRIu64 " where %" PRIu64 " belongs",
                         entry.index, expected);
    }
    entry.data = span_of(mem_memdup(entry.data.data, entry.data.len), entry.data.len);
    buf_put(entries, &entry, sizeof(entry));
    boot->entry_count++;
    return 0;
}

static int load_snapshot(struct storage_db *db, struct raft_boot *boot, struct error *err)
{
    sqlite3_stmt *row = NULL;
    int rc = 0;
    int rv = sqlite3_prepare_v2(db->sqlite, "SELECT idx, term, cidx, crc, conf, data FROM snapshot",
                                -1, &row, NULL);
    if (rv == SQLITE_OK) {
        rv = sqlite3_step(row);
    }
    if (rv == SQLITE_ROW) {
        rc = load_snapshot_row(row, boot, err);
    } else if (rv != SQLITE_DONE) {
        rc = db_error(db, rv, "reading table snapshot", err);
    }
    (void)sqlite3_finalize(row);
    return rc;
}

static int load_log(struct storage_db *db, struct raft_boot *boot, struct error *err)
{
    sqlite3_stmt *row = NULL;
    struct buf entries = BUF_INIT;
    int rc = 0;
    int rv = sqlite3_prepare_v2(
        db->sqlite, "SELECT idx, term, type, crc, data FROM log ORDER BY idx", -1, &row, NULL);
    while (rv == SQLITE_OK || rv == SQLITE_ROW) {
        rv = sqlite3_step(row);
        if (rv == SQLITE_ROW) {
            rc = load_entry_row(row, boot, &entries, err);
            rv = rc == 0 ? SQLITE_ROW : SQLITE_DONE;
        }
    }
    if (rc == 0 && rv != SQLITE_DONE) {
        rc = db_error(db, rv, "reading table log", err);
    }
    (void)sqlite3_finalize(row);
    boot->entries = (const struct raft_entry_rec *)(const void *)entries.data;
    if (boot->entry_count == 0) {
        buf_free(&entries);
        boot->entries = NULL;
    }
    return rc;
}

/* What raft_node_start would refuse too, but by then the port is open. */
static int check_whole(const struct raft_boot *boot, struct error *err)
{
    uint64_t snapshot = boot->has_snapshot ? boot->snapshot_index : 0;
    if (boot->entry_count > 0 && (boot->entries[0].index > snapshot + 1 ||
                                  boot->entries[boot->entry_count - 1].index < snapshot)) {
        return error_set(
            err, ERR_CORRUPT,
            "the log from %" PRIu64 " to %" PRIu64 " does not meet the snapshot of %" PRIu64,
            boot->entries[0].index, boot->entries[boot->entry_count - 1].index, snapshot);
    }
    if (boot->term == 0 && (boot->entry_count > 0 || boot->has_snapshot)) {
        return error_set(err, ERR_CORRUPT, "a log without a term");
    }
    return 0;
}

int storage_db_load(struct storage_db *db, struct raft_boot *ret_boot, struct error *err)
{
    struct raft_boot boot = {
        .id = db->meta.id,
        .cluster = db->meta.cluster,
        .term = db->meta.term,
        .voted_for = db->meta.vote,
    };
    int rc = load_snapshot(db, &boot, err);
    if (rc == 0) {
        rc = load_log(db, &boot, err);
    }
    if (rc == 0) {
        rc = check_whole(&boot, err);
    }
    if (rc != 0) {
        storage_db_unload(&boot);
        return rc;
    }
    *ret_boot = boot;
    return 0;
}

void storage_db_unload(struct raft_boot *boot)
{
    for (size_t i = 0; i < boot->entry_count; i++) {
        mem_free((void *)boot->entries[i].data.data);
    }
    mem_free((void *)boot->entries);
    mem_free((void *)boot->configuration.data);
    mem_free((void *)boot->snapshot.data);
    boot->entries = NULL;
    boot->entry_count = 0;
    boot->configuration = (struct span){0};
    boot->snapshot = (struct span){0};
    boot->has_snapshot = false;
}
