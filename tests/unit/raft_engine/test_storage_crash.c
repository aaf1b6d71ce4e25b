/* Power loss at every point of a run of 1,000 entries. What SQLite writes and syncs is recorded
 * below it; then each crash state that the file system may leave is made: what was synced is there,
 * and of the rest everything, nothing, or any part, whole or torn. From each of them the directory
 * has to load, with exactly what was acknowledged, or the one transaction more that was under way.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "raft/engine/crc32c.h"
#include "raft/engine/storage_db.h"
#include "tests/harness/scratch.h"

#include <raft.h>
#include <sqlite3.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ENTRIES      1000
#define BATCH_MAX    6
#define SECTOR       512
#define EVENTS_MAX   16384
#define FILE_BYTES   ((size_t)4 * 1024 * 1024)
#define VARIANTS     4
#define DAMAGES      1000
#define TRUNCATE_MOD 37
#define WAL_PAGES    64 /* then a checkpoint */

enum which { DB, WAL, FILES };
enum kind { WRITE, TRUNCATE, SYNC };

struct event {
    enum which which;
    enum kind kind;
    sqlite3_int64 offset; /* or the new size */
    size_t len;
    uint8_t *data;
};

static struct event events[EVENTS_MAX];
static size_t event_count;
static bool recording;

static void record(enum which which, enum kind kind, sqlite3_int64 offset, const void *data,
                   size_t len)
{
    if (!recording) {
        return;
    }
    assert_true(event_count < EVENTS_MAX);
    events[event_count++] = (struct event){.which = which,
                                           .kind = kind,
                                           .offset = offset,
                                           .len = len,
                                           .data = len == 0 ? NULL : mem_memdup(data, len)};
}

/* --- SQLite's files, seen through ------------------------------------------------------------- */

struct seen_file {
    sqlite3_file base;
    enum which which;
    sqlite3_file *real; /* behind this struct */
};

static sqlite3_vfs *real_vfs;
static sqlite3_vfs seen_vfs;

#define REAL(file) (((struct seen_file *)(file))->real)

static int seen_close(sqlite3_file *file)
{
    return REAL(file)->pMethods->xClose(REAL(file));
}
static int seen_read(sqlite3_file *file, void *to, int len, sqlite3_int64 at)
{
    return REAL(file)->pMethods->xRead(REAL(file), to, len, at);
}
static int seen_write(sqlite3_file *file, const void *from, int len, sqlite3_int64 at)
{
    record(((struct seen_file *)file)->which, WRITE, at, from, (size_t)len);
    return REAL(file)->pMethods->xWrite(REAL(file), from, len, at);
}
static int seen_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    record(((struct seen_file *)file)->which, TRUNCATE, size, NULL, 0);
    return REAL(file)->pMethods->xTruncate(REAL(file), size);
}
static int seen_sync(sqlite3_file *file, int flags)
{
    int rv = REAL(file)->pMethods->xSync(REAL(file), flags);
    record(((struct seen_file *)file)->which, SYNC, 0, NULL, 0);
    return rv;
}
static int seen_size(sqlite3_file *file, sqlite3_int64 *size)
{
    return REAL(file)->pMethods->xFileSize(REAL(file), size);
}
static int seen_lock(sqlite3_file *file, int lock)
{
    return REAL(file)->pMethods->xLock(REAL(file), lock);
}
static int seen_unlock(sqlite3_file *file, int lock)
{
    return REAL(file)->pMethods->xUnlock(REAL(file), lock);
}
static int seen_reserved(sqlite3_file *file, int *out)
{
    return REAL(file)->pMethods->xCheckReservedLock(REAL(file), out);
}
static int seen_control(sqlite3_file *file, int op, void *arg)
{
    return REAL(file)->pMethods->xFileControl(REAL(file), op, arg);
}
static int seen_sector(sqlite3_file *file)
{
    return REAL(file)->pMethods->xSectorSize(REAL(file));
}
static int seen_device(sqlite3_file *file)
{
    return REAL(file)->pMethods->xDeviceCharacteristics(REAL(file));
}

static const sqlite3_io_methods seen_methods = {
    .iVersion = 1,
    .xClose = seen_close,
    .xRead = seen_read,
    .xWrite = seen_write,
    .xTruncate = seen_truncate,
    .xSync = seen_sync,
    .xFileSize = seen_size,
    .xLock = seen_lock,
    .xUnlock = seen_unlock,
    .xCheckReservedLock = seen_reserved,
    .xFileControl = seen_control,
    .xSectorSize = seen_sector,
    .xDeviceCharacteristics = seen_device,
};

static int seen_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags,
                     int *out_flags)
{
    struct seen_file *seen = (struct seen_file *)file;
    (void)vfs;
    seen->real = (sqlite3_file *)(void *)(seen + 1);
    seen->which = (flags & SQLITE_OPEN_WAL) != 0 ? WAL : DB;
    int rv = real_vfs->xOpen(real_vfs, name, seen->real, flags, out_flags);
    file->pMethods = rv == SQLITE_OK ? &seen_methods : NULL;
    return rv;
}

static void see(void)
{
    real_vfs = sqlite3_vfs_find(NULL);
    assert_non_null(real_vfs);
    seen_vfs = *real_vfs;
    seen_vfs.zName = "seen";
    seen_vfs.szOsFile = (int)sizeof(struct seen_file) + real_vfs->szOsFile;
    seen_vfs.xOpen = seen_open;
    assert_int_equal(sqlite3_vfs_register(&seen_vfs, 1), SQLITE_OK);
}

/* --- the run ---------------------------------------------------------------------------------- */

static struct {
    uint64_t id;
    uint64_t term;
    uint64_t vote;
    uint64_t snapshot;
    uint64_t last;
    uint64_t first; /* of the log */
    uint32_t crc[ENTRIES + 2];
} model;

/* After so many events `digest` was acknowledged. */
static struct {
    size_t events;
    uint32_t digest;
} acknowledged[ENTRIES + 2];
static size_t acknowledged_count;
static struct buf bytes_of[FILES]; /* the files when the recording began */

static uint32_t entry_digest(const struct raft_entry_rec *entry)
{
    uint32_t crc = crc32c_u64(0, entry->index);
    crc = crc32c_u64(crc, entry->term);
    return crc32c(crc, entry->data);
}

static uint32_t model_digest(void)
{
    uint32_t crc = crc32c_u64(0, model.term);
    crc = crc32c_u64(crc, model.vote);
    crc = crc32c_u64(crc, model.snapshot);
    for (uint64_t i = model.first; i <= model.last; i++) {
        crc = crc32c_u64(crc, model.crc[i]);
    }
    return crc;
}

static uint32_t boot_digest(const struct raft_boot *boot)
{
    uint32_t crc = crc32c_u64(0, boot->term);
    crc = crc32c_u64(crc, boot->voted_for);
    crc = crc32c_u64(crc, boot->has_snapshot ? boot->snapshot_index : 0);
    for (size_t i = 0; i < boot->entry_count; i++) {
        crc = crc32c_u64(crc, entry_digest(&boot->entries[i]));
    }
    return crc;
}

static void acknowledge(void)
{
    acknowledged[acknowledged_count].events = event_count;
    acknowledged[acknowledged_count++].digest = model_digest();
}

/* One transaction: some entries, now and then a new term, the end of the log replaced, a snapshot.
 */
static void write_some(struct storage_db *db, uint64_t number)
{
    static uint8_t data[BATCH_MAX][600];
    struct raft_entry_rec entries[BATCH_MAX];
    struct error err = {0};
    struct buf configuration = BUF_INIT;
    size_t count = 1 + number % BATCH_MAX;
    struct raft_storage_job job = {.has_entries = true, .entries = entries};
    bool replaces = number % TRUNCATE_MOD == 0 && model.last > model.first + 3;
    if (replaces) {
        model.term++;
        model.vote = number;
        model.last -= 2;
        job.has_vote = true;
        job.term = model.term;
        job.voted_for = model.vote;
        job.truncate_from = model.last + 1;
    }
    for (size_t i = 0; i < count; i++) {
        size_t len = 20 + (number * 7 + i * 131) % 500;
        memset(data[i], (int)(number + i), len);
        entries[i] = (struct raft_entry_rec){.index = ++model.last,
                                             .term = model.term,
                                             .type = RAFT_COMMAND,
                                             .data = span_of(data[i], len)};
        model.crc[model.last] = entry_digest(&entries[i]);
    }
    job.entry_count = count;
    if (number % 50 == 0) {
        assert_int_equal(raft_first_configuration(&model.id, 1, &configuration, &err), 0);
        job.has_snapshot = true;
        job.snapshot_index = model.snapshot = model.last - count;
        job.snapshot_term = model.term;
        job.configuration_index = 1;
        job.configuration = buf_span(&configuration);
        job.snapshot = span_str("state");
        job.delete_until = model.snapshot > 20 ? model.snapshot - 20 : 0;
        model.first = job.delete_until + 1 > model.first ? job.delete_until + 1 : model.first;
    }
    const struct raft_storage_job *jobs[] = {&job};
    if (storage_db_write(db, jobs, 1, &err) != 0) {
        fail_msg("%s", err.text);
    }
    buf_free(&configuration);
    acknowledge();
    if (storage_db_checkpoint(db, &err) != 0) {
        fail_msg("%s", err.text);
    }
}

static void slurp(const char *path, struct buf *out)
{
    uint8_t chunk[4096];
    FILE *file = fopen(path, "rb");
    buf_clear(out);
    for (size_t got = 0; file != NULL && (got = fread(chunk, 1, sizeof chunk, file)) > 0;) {
        buf_put(out, chunk, got);
    }
    if (file != NULL) {
        fclose(file);
    }
}

static void run(const char *dir)
{
    char path[FILES][160];
    struct storage_db *db = NULL;
    struct raft_boot boot;
    struct buf configuration = BUF_INIT;
    struct error err = {0};
    snprintf(path[DB], sizeof path[DB], "%s/run.db", dir);
    snprintf(path[WAL], sizeof path[WAL], "%s/run.db-wal", dir);
    if (storage_db_open(path[DB], "n1", random_real(), &db, &err) != 0) {
        fail_msg("%s", err.text);
    }
    storage_db_set_wal_pages_max(db, WAL_PAGES);
    assert_int_equal(storage_db_load(db, &boot, NULL), 0);
    model.id = boot.id;
    storage_db_unload(&boot);
    assert_int_equal(raft_first_configuration(&model.id, 1, &configuration, NULL), 0);
    const struct raft_entry_rec first = {
        .index = 1, .term = 1, .type = RAFT_CHANGE, .data = buf_span(&configuration)};
    const struct raft_storage_job job = {
        .has_vote = true, .term = 1, .has_entries = true, .entries = &first, .entry_count = 1};
    assert_int_equal(storage_db_set_cluster(db, 7, &job, NULL), 0);
    model.term = model.first = model.last = 1;
    model.crc[1] = entry_digest(&first);
    buf_free(&configuration);
    slurp(path[DB], &bytes_of[DB]);
    slurp(path[WAL], &bytes_of[WAL]);
    recording = true;
    acknowledge();
    for (uint64_t number = 1; model.last < ENTRIES; number++) {
        write_some(db, number);
    }
    recording = false;
    storage_db_close(db, false);
}

/* --- the crash states ------------------------------------------------------------------------- */

struct image {
    uint8_t *data;
    size_t size;
};

static void image_write(struct image *image, size_t at, const uint8_t *data, size_t len)
{
    assert_true(at + len <= FILE_BYTES);
    if (at > image->size) {
        memset(image->data + image->size, 0, at - image->size);
    }
    memcpy(image->data + at, data, len);
    image->size = at + len > image->size ? at + len : image->size;
}

static void image_apply(struct image *image, const struct event *event, size_t len)
{
    if (event->kind == WRITE && len > 0) {
        image_write(image, (size_t)event->offset, event->data, len);
    } else if (event->kind == TRUNCATE) {
        image->size = (size_t)event->offset < image->size ? (size_t)event->offset : image->size;
    }
}

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* How much of an event that was not synced is there. */
static size_t part_of(const struct event *event, unsigned variant, bool newest, uint64_t *random)
{
    switch (variant) {
    case 0: return event->len; /* all of it */
    case 1:
        return newest ? event->len / 2 / SECTOR * SECTOR : event->len; /* the last one is torn */
    case 2: return next_random(random) % 2 == 0 ? event->len : 0;      /* in any order */
    default: return next_random(random) % (event->len / SECTOR + 1) * SECTOR; /* and torn */
    }
}

static void write_images(const char *dir, const struct image *images, char path[FILES][160])
{
    static const char *const names[FILES] = {"crash.db", "crash.db-wal"};
    for (size_t i = 0; i < FILES; i++) {
        snprintf(path[i], 160, "%s/%s", dir, names[i]);
        FILE *file = fopen(path[i], "wb");
        assert_non_null(file);
        assert_int_equal(fwrite(images[i].data, 1, images[i].size, file), images[i].size);
        fclose(file);
    }
}

static void check_state(const char *dir, const struct image *images, size_t crash, unsigned variant)
{
    char path[FILES][160];
    struct storage_db *db = NULL;
    struct raft_boot boot;
    struct error err = {0};
    size_t done = 0;
    write_images(dir, images, path);
    while (done + 1 < acknowledged_count && acknowledged[done + 1].events <= crash) {
        done++;
    }
    int rc = storage_db_open(path[DB], "n1", random_real(), &db, &err);
    rc = rc == 0 ? storage_db_load(db, &boot, &err) : rc;
    if (rc != 0) {
        fail_msg("crash at event %zu, variant %u: %s", crash, variant, err.text);
    }
    uint32_t digest = boot_digest(&boot);
    bool more = done + 1 < acknowledged_count && digest == acknowledged[done + 1].digest;
    if (digest != acknowledged[done].digest && !more) {
        fail_msg("crash at event %zu, variant %u: neither what was acknowledged (%zu) nor one more",
                 crash, variant, done);
    }
    storage_db_unload(&boot);
    storage_db_close(db, true);
}

/* --- damage ----------------------------------------------------------------------------------- */

/* The last transaction, or the one before it. */
static bool is_newest(uint32_t digest)
{
    return acknowledged[acknowledged_count - 1].digest == digest ||
           acknowledged[acknowledged_count - 2].digest == digest;
}

/* Some state of the run, or before it. */
static bool is_known(uint32_t digest)
{
    const struct raft_boot nothing = {0};
    for (size_t i = 0; i < acknowledged_count; i++) {
        if (acknowledged[i].digest == digest) {
            return true;
        }
    }
    return boot_digest(&nothing) == digest;
}

/* True: the file was cut. */
static bool damage(struct image *image, uint64_t *random)
{
    size_t at = next_random(random) % image->size;
    size_t sector = at / SECTOR * SECTOR;
    size_t len = image->size - sector < SECTOR ? image->size - sector : SECTOR;
    switch (next_random(random) % 4) {
    case 0: image->data[at] ^= (uint8_t)(1U << next_random(random) % 8); return false;
    case 1: memset(image->data + sector, 0, len); return false;
    case 2: image->size = at; return true;
    default: /* a block that was written to the wrong place */
        memmove(image->data + sector,
                image->data + next_random(random) % (image->size - len + 1) / SECTOR * SECTOR, len);
        return false;
    }
}

/* The disk has lost the last write to the header, and the one before, whole, is there again. */
static void an_older_header_is_refused(const char *dir)
{
    struct buf final[FILES] = {BUF_INIT, BUF_INIT};
    struct image images[FILES];
    char path[FILES][160];
    static const char *const names[FILES] = {"run.db", "run.db-wal"};
    struct storage_db *db = NULL;
    struct error err = {0};
    const struct event *headers[2] = {NULL, NULL};
    size_t generations = 0;
    for (size_t i = 0; i < event_count; i++) {
        assert_true(events[i].which != WAL || events[i].kind != TRUNCATE);
        if (events[i].which == WAL && events[i].kind == WRITE && events[i].offset == 0) {
            headers[0] = headers[1];
            headers[1] = &events[i];
            generations++;
        }
    }
    assert_true(generations > 5); /* begun anew in the run, and without being emptied */
    for (size_t i = 0; i < FILES; i++) {
        snprintf(path[i], sizeof path[i], "%s/%s", dir, names[i]);
        slurp(path[i], &final[i]);
        images[i] = (struct image){.data = final[i].data, .size = final[i].len};
    }
    assert_memory_equal(final[WAL].data, headers[1]->data, headers[1]->len);
    memcpy(final[WAL].data, headers[0]->data, headers[0]->len);
    write_images(dir, images, path);
    assert_int_equal(storage_db_open(path[DB], "n1", random_real(), &db, &err), ERR_CORRUPT);
    assert_non_null(strstr(err.text, "the header is older than the frame at byte 32"));
    for (size_t i = 0; i < FILES; i++) {
        buf_free(&final[i]);
    }
}

/* A flipped bit, an emptied or misplaced block, a file that is cut: refused, or without effect, or
 * the last transaction is gone, as by a power loss; where the file was cut, whatever was behind.
 * That the others notice, who know that there was more (peer_mark.h). An entry is never another
 * one. */
static void damage_makes_no_wrong_entry(const char *dir)
{
    struct buf final[FILES] = {BUF_INIT, BUF_INIT};
    struct image images[FILES];
    char path[FILES][160];
    uint64_t random = 362436069362436069u;
    size_t refused = 0;
    size_t shorter = 0;
    static const char *const names[FILES] = {"run.db", "run.db-wal"};
    for (size_t i = 0; i < FILES; i++) {
        snprintf(path[i], sizeof path[i], "%s/%s", dir, names[i]);
        slurp(path[i], &final[i]);
        images[i].data = mem_alloc(FILE_BYTES);
        assert_true(final[i].len > SECTOR);
    }
    for (int trial = 0; trial < DAMAGES; trial++) {
        struct storage_db *db = NULL;
        struct raft_boot boot;
        for (size_t i = 0; i < FILES; i++) {
            images[i].size = final[i].len;
            memcpy(images[i].data, final[i].data, final[i].len);
        }
        bool cut = damage(&images[next_random(&random) % FILES], &random);
        write_images(dir, images, path);
        int rc = storage_db_open(path[DB], "n1", random_real(), &db, NULL);
        rc = rc == 0 ? storage_db_load(db, &boot, NULL) : rc;
        if (rc == 0) {
            uint32_t digest = boot_digest(&boot);
            /* Without the row that names it, it is another member. */
            if (boot.id == model.id && !is_newest(digest) && !(cut && is_known(digest))) {
                fail_msg("damage %d was not seen", trial);
            }
            shorter += digest != acknowledged[acknowledged_count - 1].digest;
            storage_db_unload(&boot);
        }
        refused += rc != 0;
        storage_db_close(db, false);
    }
    print_message("%d damages: %zu refused, %zu lost the end\n", DAMAGES, refused, shorter);
    assert_true(refused > DAMAGES / 10 && shorter > 0);
    for (size_t i = 0; i < FILES; i++) {
        mem_free(images[i].data);
        buf_free(&final[i]);
    }
}

/* Synced images move on with the crash point; what came after is laid over them anew each time. */
static void every_crash_state_has_what_was_acknowledged_and_damage_shows(void **state)
{
    char dir[64];
    struct image synced[FILES];
    struct image now[FILES];
    size_t synced_until[FILES] = {0, 0};
    uint64_t random = 88172645463325252u;
    size_t states = 0;
    (void)state;
    scratch_make(dir, sizeof dir, "/dev/shm", "crash");
    see();
    run(dir);
    for (size_t i = 0; i < FILES; i++) {
        synced[i] = (struct image){.data = mem_alloc(FILE_BYTES)};
        now[i] = (struct image){.data = mem_alloc(FILE_BYTES)};
        image_write(&synced[i], 0, bytes_of[i].data, bytes_of[i].len);
    }
    for (size_t crash = 0; crash <= event_count; crash++) {
        const struct event *last = crash > 0 ? &events[crash - 1] : NULL;
        if (last != NULL && last->kind == SYNC) {
            for (size_t i = synced_until[last->which]; i < crash; i++) {
                if (events[i].which == last->which) {
                    image_apply(&synced[last->which], &events[i], events[i].len);
                }
            }
            synced_until[last->which] = crash;
        }
        for (unsigned variant = crash % 2; variant < VARIANTS; variant += 2) {
            for (size_t i = 0; i < FILES; i++) {
                now[i].size = synced[i].size;
                memcpy(now[i].data, synced[i].data, synced[i].size);
                for (size_t j = synced_until[i]; j < crash; j++) {
                    bool kept =
                        variant < 2 || events[j].kind != TRUNCATE || next_random(&random) % 2 == 0;
                    if (events[j].which == i && kept) {
                        size_t part = part_of(&events[j], variant, j + 1 == crash, &random);
                        image_apply(&now[i], &events[j], part);
                    }
                }
            }
            check_state(dir, now, crash, variant);
            states++;
        }
    }
    print_message("%zu events, %zu transactions, %zu crash states\n", event_count,
                  acknowledged_count, states);
    assert_true(model.last >= ENTRIES && acknowledged_count > 200 && states > event_count);
    for (size_t i = 0; i < FILES; i++) {
        mem_free(synced[i].data);
        mem_free(now[i].data);
        buf_free(&bytes_of[i]);
    }
    an_older_header_is_refused(dir);
    for (size_t i = 0; i < event_count; i++) {
        mem_free(events[i].data);
    }
    damage_makes_no_wrong_entry(dir);
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_crash_state_has_what_was_acknowledged_and_damage_shows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
