/* The storage thread on a real SQLite file: round trips, first start, refusals; a killed process, a
 * full disk, a failed fsync, flipped bits. Failures of the disk come from a VFS between SQLite and
 * the file. */
#include "raft/storage.h"

#include "base/assert.h"
#include "base/mem.h"
#include "raft/engine/configuration.h"
#include "raft/engine/crc32c.h"
#include "raft/engine/storage_db.h"
#include "tests/harness/process.h"
#include "tests/harness/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

#include <cmocka.h>

#define ENTRY_BYTES 128

/* --- a disk that fails when it is told -------------------------------------------------------- */

static int fault_full;     /* writes fail with SQLITE_FULL */
static int fault_db_errno; /* the same for the database file alone */
static int fault_errno;    /* pwrite fails with it; SQLite's own VFS makes of that what it does */
static int fault_fsync;    /* syncs fail, with this errno */
static int fault_hangs;    /* syncs take as long as this is set */
static sqlite3_vfs *real_vfs;
static sqlite3_vfs fault_vfs;

static void pause_ms(long ms)
{
    struct timespec pause = {.tv_nsec = ms * 1000000};
    nanosleep(&pause, NULL);
}

struct fault_file {
    sqlite3_file base;
    sqlite3_file *real;
};

static sqlite3_file *real_of(sqlite3_file *file)
{
    return ((struct fault_file *)file)->real;
}

static int fault_close(sqlite3_file *file)
{
    return real_of(file)->pMethods->xClose(real_of(file));
}

static int fault_read(sqlite3_file *file, void *data, int len, sqlite3_int64 at)
{
    return real_of(file)->pMethods->xRead(real_of(file), data, len, at);
}

static int fault_write(sqlite3_file *file, const void *data, int len, sqlite3_int64 at)
{
    if (__atomic_load_n(&fault_full, __ATOMIC_SEQ_CST) != 0) {
        return SQLITE_FULL;
    }
    return real_of(file)->pMethods->xWrite(real_of(file), data, len, at);
}

static int fault_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    return real_of(file)->pMethods->xTruncate(real_of(file), size);
}

static int fault_sync(sqlite3_file *file, int flags)
{
    while (__atomic_load_n(&fault_hangs, __ATOMIC_SEQ_CST) != 0) {
        pause_ms(1);
    }
    if (__atomic_load_n(&fault_fsync, __ATOMIC_SEQ_CST) != 0) {
        errno = fault_fsync;
        return SQLITE_IOERR_FSYNC;
    }
    return real_of(file)->pMethods->xSync(real_of(file), flags);
}

static int fault_size(sqlite3_file *file, sqlite3_int64 *size)
{
    return real_of(file)->pMethods->xFileSize(real_of(file), size);
}

static int fault_lock(sqlite3_file *file, int level)
{
    return real_of(file)->pMethods->xLock(real_of(file), level);
}

static int fault_unlock(sqlite3_file *file, int level)
{
    return real_of(file)->pMethods->xUnlock(real_of(file), level);
}

static int fault_check_lock(sqlite3_file *file, int *out)
{
    return real_of(file)->pMethods->xCheckReservedLock(real_of(file), out);
}

static int fault_control(sqlite3_file *file, int op, void *arg)
{
    return real_of(file)->pMethods->xFileControl(real_of(file), op, arg);
}

static int fault_sector(sqlite3_file *file)
{
    return real_of(file)->pMethods->xSectorSize(real_of(file));
}

static int fault_traits(sqlite3_file *file)
{
    return real_of(file)->pMethods->xDeviceCharacteristics(real_of(file));
}

static const sqlite3_io_methods fault_methods = {
    .iVersion = 1,
    .xClose = fault_close,
    .xRead = fault_read,
    .xWrite = fault_write,
    .xTruncate = fault_truncate,
    .xSync = fault_sync,
    .xFileSize = fault_size,
    .xLock = fault_lock,
    .xUnlock = fault_unlock,
    .xCheckReservedLock = fault_check_lock,
    .xFileControl = fault_control,
    .xSectorSize = fault_sector,
    .xDeviceCharacteristics = fault_traits,
};

static int fault_open(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *file, int flags,
                      int *out)
{
    struct fault_file *mine = (struct fault_file *)file;
    (void)vfs;
    mine->real = (sqlite3_file *)(mine + 1);
    int rv = real_vfs->xOpen(real_vfs, name, mine->real, flags, out);
    mine->base.pMethods = mine->real->pMethods == NULL ? NULL : &fault_methods;
    return rv;
}

static bool is_wal(int fd)
{
    char link[64];
    char path[256] = "";
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof path - 1);
    return len > 4 && memcmp(path + len - 4, "-wal", 4) == 0;
}

static ssize_t fault_pwrite(int fd, const void *data, size_t len, off_t at)
{
    int failed = __atomic_load_n(&fault_errno, __ATOMIC_SEQ_CST);
    if (fault_db_errno != 0 && !is_wal(fd)) {
        failed = fault_db_errno;
    }
    if (failed != 0) {
        errno = failed;
        return -1;
    }
    return pwrite(fd, data, len, at);
}

static int fault_vfs_install(void **state)
{
    (void)state;
    real_vfs = sqlite3_vfs_find(NULL);
    (void)real_vfs->xSetSystemCall(real_vfs, "pwrite", (sqlite3_syscall_ptr)fault_pwrite);
    (void)real_vfs->xSetSystemCall(real_vfs, "pwrite64", (sqlite3_syscall_ptr)fault_pwrite);
    fault_vfs = *real_vfs;
    fault_vfs.zName = "fault";
    fault_vfs.szOsFile = (int)sizeof(struct fault_file) + real_vfs->szOsFile;
    fault_vfs.xOpen = fault_open;
    return sqlite3_vfs_register(&fault_vfs, 1);
}

/* --- helpers ---------------------------------------------------------------------------------- */

struct fixture {
    char dir[64];
    char raft_dir[96];
    uv_loop_t loop;
    struct raft_storage *storage;
    unsigned done;
    unsigned order[4096];
    unsigned full_changes;
    bool full;
    unsigned fatals;
    struct error fatal;
    bool closed;
};

static uint64_t test_random(void *arg)
{
    static uint64_t value = 1000;
    (void)arg;
    return value += 2;
}

static const struct random randomness = {test_random, NULL};

static void on_full(void *arg, bool full)
{
    struct fixture *f = arg;
    f->full = full;
    f->full_changes++;
}

static void on_fatal(void *arg, const struct error *err)
{
    struct fixture *f = arg;
    f->fatals++;
    f->fatal = *err;
}

static int open_named(struct fixture *f, const char *name, struct error *err)
{
    struct raft_storage_callbacks callbacks = {on_full, on_fatal, f};
    return raft_storage_open(&f->loop, f->raft_dir, name, &randomness, &callbacks, &f->storage,
                             err);
}

static void open_ok(struct fixture *f)
{
    struct error err = {0};
    if (open_named(f, "n1", &err) != 0) {
        fail_msg("open: %s", err.text);
    }
}

static struct fixture *fixture_new(void)
{
    struct fixture *f = mem_new(struct fixture);
    scratch_make(f->dir, sizeof(f->dir), "/tmp", "storage");
    (void)snprintf(f->raft_dir, sizeof(f->raft_dir), "%s/raft", f->dir);
    assert_int_equal(uv_loop_init(&f->loop), 0);
    return f;
}

static void on_closed(void *arg)
{
    ((struct fixture *)arg)->closed = true;
}

static void close_ok(struct fixture *f)
{
    f->closed = false;
    raft_storage_close(f->storage, on_closed, f);
    while (!f->closed) {
        (void)uv_run(&f->loop, UV_RUN_ONCE);
    }
    f->storage = NULL;
}

static void fixture_free(struct fixture *f)
{
    char command[160];
    if (f->storage != NULL) {
        close_ok(f);
    }
    assert_int_equal(uv_loop_close(&f->loop), 0);
    static const char *const files[] = {"raft.db", "raft.db-wal", "raft.db-journal", "lock",
                                        "copy"};
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        (void)snprintf(command, sizeof(command), "%s/%s", f->raft_dir, files[i]);
        (void)unlink(command);
    }
    assert_int_equal(rmdir(f->raft_dir), 0); /* nothing else was in it */
    assert_int_equal(rmdir(f->dir), 0);
    mem_free(f);
}

static void on_done(void *arg)
{
    struct fixture *f = *(struct fixture **)arg;
    f->done++;
}

static void wait_done(struct fixture *f, unsigned count)
{
    while (f->done < count && f->fatals == 0) {
        (void)uv_run(&f->loop, UV_RUN_ONCE);
    }
    assert_int_equal(f->done, count);
}

static void submit(struct fixture *f, const struct raft_storage_job *job)
{
    static struct fixture *slot;
    slot = f;
    raft_storage_sqlite_ops.submit(f->storage, job, on_done, &slot);
}

/* A job that stores the entry after the first configuration. */
static const struct raft_storage_job *one_entry(void)
{
    static struct raft_entry_rec entry;
    static struct raft_storage_job job;
    entry = (struct raft_entry_rec){.index = 2, .term = 1, .type = 1, .data = span_str("x")};
    job = (struct raft_storage_job){.has_entries = true, .entries = &entry, .entry_count = 1};
    return &job;
}

static void fill(uint8_t *data, uint64_t index)
{
    memset(data, (int)(index & 0xff), ENTRY_BYTES);
}

static void write_entry(struct fixture *f, uint64_t index, uint64_t term)
{
    uint8_t data[ENTRY_BYTES];
    fill(data, index);
    struct raft_entry_rec entry = {
        .index = index, .term = term, .type = 1, .data = span_of(data, sizeof(data))};
    struct raft_storage_job job = {.has_entries = true, .entries = &entry, .entry_count = 1};
    submit(f, &job);
    wait_done(f, f->done + 1);
}

static void configuration_bytes(struct buf *out)
{
    uint64_t ids[] = {1, 2, 3};
    assert_int_equal(raft_first_configuration(ids, 3, out, NULL), 0);
}

static void create_ok(struct fixture *f)
{
    struct buf bytes = BUF_INIT;
    struct error err = {0};
    configuration_bytes(&bytes);
    if (raft_storage_create(f->storage, 77, buf_span(&bytes), &err) != 0) {
        fail_msg("create: %s", err.text);
    }
    buf_free(&bytes);
}

/* Open, with the first configuration. */
static struct fixture *fixture_created(void)
{
    struct fixture *f = fixture_new();
    open_ok(f);
    create_ok(f);
    return f;
}

/* --- tests ------------------------------------------------------------------------------------ */

static void crc32c_is_castagnoli(void **state)
{
    (void)state;
    assert_int_equal(crc32c(0, span_str("123456789")), 0xe3069283U);
    assert_int_equal(crc32c(crc32c(0, span_str("1234")), span_str("56789")), 0xe3069283U);
    assert_int_equal(crc32c_portable(0, span_str("123456789")), 0xe3069283U);
    uint8_t bytes[67];
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)(i * 37);
    }
    for (size_t len = 0; len <= sizeof(bytes); len++) {
        struct span some = span_of(bytes + sizeof(bytes) - len, len);
        assert_int_equal(crc32c(9, some), crc32c_portable(9, some));
    }
}

static void an_empty_directory_gets_an_id_and_keeps_it(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    open_ok(f);
    uint64_t id = raft_storage_boot(f->storage)->id;
    assert_true(id != 0);
    assert_true(raft_storage_is_empty(f->storage));
    assert_int_equal(raft_storage_boot(f->storage)->cluster, 0);
    close_ok(f);
    open_ok(f);
    assert_true(raft_storage_boot(f->storage)->id == id);
    struct stat info;
    assert_int_equal(stat(f->raft_dir, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0700);
    fixture_free(f);
}

static void a_second_process_and_a_cloned_host_are_refused(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    static struct fixture second;
    struct error err = {0};
    open_ok(f);
    memcpy(second.raft_dir, f->raft_dir, sizeof(second.raft_dir));
    assert_int_equal(uv_loop_init(&second.loop), 0);
    assert_int_equal(open_named(&second, "n1", &err), ERR_BUSY);
    assert_int_equal(uv_loop_close(&second.loop), 0);
    close_ok(f);
    assert_int_equal(open_named(f, "n2", &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "'n1'"));
    fixture_free(f);
}

static void first_start_stores_term_and_entry_one_together(void **state)
{
    (void)state;
    struct fixture *f = fixture_created();
    struct error err = {0};
    assert_int_equal(raft_storage_boot(f->storage)->term, 1);
    assert_false(raft_storage_is_empty(f->storage));
    assert_int_equal(raft_storage_join(f->storage, 77, &err), ERR_REFUSED);
    close_ok(f);
    open_ok(f);
    const struct raft_boot *boot = raft_storage_boot(f->storage);
    assert_int_equal(boot->cluster, 77);
    assert_int_equal(boot->term, 1);
    assert_int_equal(boot->entry_count, 1);
    assert_int_equal(boot->entries[0].type, 3);
    fixture_free(f);
}

static void joining_stores_only_the_cluster(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    struct error err = {0};
    open_ok(f);
    assert_int_equal(raft_storage_join(f->storage, 77, &err), 0);
    assert_true(raft_storage_is_empty(f->storage));
    assert_int_equal(raft_storage_join(f->storage, 78, &err), ERR_REFUSED);
    close_ok(f);
    open_ok(f);
    assert_int_equal(raft_storage_boot(f->storage)->cluster, 77);
    assert_int_equal(raft_storage_boot(f->storage)->term, 0);
    fixture_free(f);
}

static void a_job_with_truncation_replaces_the_tail(void **state)
{
    (void)state;
    struct fixture *f = fixture_created();
    uint8_t data[ENTRY_BYTES];
    for (uint64_t i = 2; i <= 10; i++) {
        write_entry(f, i, 1);
    }
    fill(data, 99);
    struct raft_entry_rec entry = {
        .index = 5, .term = 2, .type = 1, .data = span_of(data, sizeof(data))};
    struct raft_storage_job job = {
        .has_vote = true,
        .term = 2,
        .voted_for = 3,
        .has_entries = true,
        .truncate_from = 5,
        .entries = &entry,
        .entry_count = 1,
    };
    submit(f, &job);
    wait_done(f, f->done + 1);
    close_ok(f);
    open_ok(f);
    const struct raft_boot *boot = raft_storage_boot(f->storage);
    assert_int_equal(boot->term, 2);
    assert_int_equal(boot->voted_for, 3);
    assert_int_equal(boot->entry_count, 5);
    assert_int_equal(boot->entries[4].term, 2);
    assert_int_equal(boot->entries[4].data.data[0], 99);
    fixture_free(f);
}

static void snapshots_trim_or_clear_the_log(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    struct buf bytes = BUF_INIT;
    configuration_bytes(&bytes);
    open_ok(f);
    create_ok(f);
    for (uint64_t i = 2; i <= 10; i++) {
        write_entry(f, i, 1);
    }
    struct raft_storage_job job = {
        .has_snapshot = true,
        .snapshot_index = 9,
        .snapshot_term = 1,
        .configuration_index = 1,
        .configuration = buf_span(&bytes),
        .snapshot = span_str("state"),
        .delete_until = 7,
    };
    submit(f, &job);
    wait_done(f, f->done + 1);
    close_ok(f);
    open_ok(f);
    const struct raft_boot *boot = raft_storage_boot(f->storage);
    assert_true(boot->has_snapshot);
    assert_true(span_equal_str(boot->snapshot, "state"));
    assert_int_equal(boot->entry_count, 3);
    assert_int_equal(boot->entries[0].index, 8);
    uint64_t ids[STORE_MEMBERS_MAX];
    assert_int_equal(raft_boot_members(boot, ids, STORE_MEMBERS_MAX), 3);
    job.snapshot_installed = true;
    job.snapshot_index = 50;
    submit(f, &job);
    wait_done(f, f->done + 1);
    write_entry(f, 51, 1);
    close_ok(f);
    open_ok(f);
    assert_int_equal(raft_storage_boot(f->storage)->snapshot_index, 50);
    assert_int_equal(raft_storage_boot(f->storage)->entry_count, 1);
    buf_free(&bytes);
    fixture_free(f);
}

struct ordered {
    struct fixture *f;
    unsigned number;
};

static void on_ordered(void *arg)
{
    struct ordered *ordered = arg;
    ordered->f->order[ordered->f->done++] = ordered->number;
}

static void many_jobs_complete_in_order(void **state)
{
    (void)state;
    struct fixture *f = fixture_created();
    static struct ordered ordered[1000];
    static struct raft_entry_rec entries[1000];
    static struct raft_storage_job jobs[1000];
    for (unsigned i = 0; i < 1000; i++) {
        ordered[i] = (struct ordered){f, i};
        entries[i] =
            (struct raft_entry_rec){.index = i + 2, .term = 1, .type = 1, .data = span_str("x")};
        jobs[i] = (struct raft_storage_job){
            .has_entries = true, .entries = &entries[i], .entry_count = 1};
        raft_storage_sqlite_ops.submit(f->storage, &jobs[i], on_ordered, &ordered[i]);
    }
    assert_int_equal(f->done, 0);
    wait_done(f, 1000);
    for (unsigned i = 0; i < 1000; i++) {
        assert_int_equal(f->order[i], i);
    }
    assert_int_equal(raft_storage_age_ms(f->storage), 0);
    close_ok(f);
    open_ok(f);
    assert_int_equal(raft_storage_boot(f->storage)->entry_count, 1001);
    fixture_free(f);
}

static void a_full_disk_holds_the_jobs(int *fault, int value)
{
    struct fixture *f = fixture_created();
    static struct ordered ordered[20];
    static struct raft_entry_rec entries[20];
    static struct raft_storage_job jobs[20];
    __atomic_store_n(fault, value, __ATOMIC_SEQ_CST);
    for (unsigned i = 0; i < 20; i++) {
        ordered[i] = (struct ordered){f, i};
        entries[i] =
            (struct raft_entry_rec){.index = i + 2, .term = 1, .type = 1, .data = span_str("x")};
        jobs[i] = (struct raft_storage_job){
            .has_entries = true, .entries = &entries[i], .entry_count = 1};
        raft_storage_sqlite_ops.submit(f->storage, &jobs[i], on_ordered, &ordered[i]);
        (void)uv_run(&f->loop, UV_RUN_NOWAIT);
    }
    while (!f->full && f->fatals == 0) {
        (void)uv_run(&f->loop, UV_RUN_ONCE);
    }
    assert_int_equal(f->done, 0);
    assert_int_equal(f->fatals, 0);
    assert_int_equal(raft_storage_age_ms(f->storage), 0); /* no reason for a watchdog */
    __atomic_store_n(fault, 0, __ATOMIC_SEQ_CST);
    wait_done(f, 20);
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(f->order[i], i);
    }
    while (f->full) {
        (void)uv_run(&f->loop, UV_RUN_ONCE);
    }
    assert_int_equal(f->full_changes, 2);
    close_ok(f);
    open_ok(f);
    assert_int_equal(raft_storage_boot(f->storage)->entry_count, 21);
    fixture_free(f);
}

static void a_full_disk_holds_the_jobs_and_goes_on_in_order(void **state)
{
    (void)state;
    a_full_disk_holds_the_jobs(&fault_full, 1);
}

/* SQLite calls it an I/O error. */
static void a_quota_that_is_used_up_is_a_full_disk(void **state)
{
    (void)state;
    a_full_disk_holds_the_jobs(&fault_errno, EDQUOT);
    a_full_disk_holds_the_jobs(&fault_errno, ENOSPC);
}

static void write_until_fatal(struct fixture *f, int *fault, int value)
{
    __atomic_store_n(fault, value, __ATOMIC_SEQ_CST);
    submit(f, one_entry());
    while (f->fatals == 0) {
        (void)uv_run(&f->loop, UV_RUN_ONCE);
    }
    __atomic_store_n(fault, 0, __ATOMIC_SEQ_CST);
    assert_int_equal(f->done, 0);
    assert_int_equal(f->fatal.code, ERR_IO);
    fixture_free(f);
}

/* Also where a quota was met before. */
static void an_io_error_after_a_quota_is_fatal(void **state)
{
    (void)state;
    struct fixture *f = fixture_created();
    write_until_fatal(f, &fault_errno, EIO);
    f = fixture_new();
    open_ok(f);
    create_ok(f);
    __atomic_store_n(&fault_errno, EDQUOT, __ATOMIC_SEQ_CST);
    submit(f, one_entry());
    while (!f->full) {
        (void)uv_run(&f->loop, UV_RUN_ONCE);
    }
    write_until_fatal(f, &fault_errno, EIO);
}

/* The kernel has taken the pages already, and may have dropped them. */
static void a_quota_that_a_sync_meets_is_fatal(void **state)
{
    (void)state;
    struct fixture *f = fixture_created();
    write_until_fatal(f, &fault_fsync, EDQUOT);
}

/* A checkpoint writes to another file than a commit: what that one met before says nothing. */
static void a_checkpoint_is_judged_by_its_own_write(void **state)
{
    (void)state;
    struct fixture *f = fixture_created();
    struct storage_db *db = NULL;
    char path[128];
    struct raft_storage_job vote = {.has_vote = true, .term = 2};
    const struct raft_storage_job *jobs[] = {&vote};
    close_ok(f);
    (void)snprintf(path, sizeof path, "%s/raft.db", f->raft_dir);
    assert_int_equal(storage_db_open(path, "n1", &randomness, &db, NULL), 0);
    fault_errno = EDQUOT;
    assert_int_equal(storage_db_write(db, jobs, 1, NULL), ERR_NO_SPACE);
    fault_errno = 0;
    int rc = 0;
    fault_db_errno = EIO;
    for (unsigned i = 0; i <= STORAGE_WAL_PAGES_MAX && rc == 0; i++) {
        vote.term++;
        assert_int_equal(storage_db_write(db, jobs, 1, NULL), 0); /* nor is a write by it */
        rc = storage_db_checkpoint(db, NULL);
        assert_true(rc == 0 || i > STORAGE_WAL_PAGES_MAX / 2);
    }
    fault_db_errno = 0;
    assert_int_equal(rc, ERR_IO);
    storage_db_close(db, false);
    fixture_free(f);
}

/* What was written before it has been told by then, and is there after a restart. */
static void a_checkpoint_that_fails_is_fatal_and_loses_nothing(void **state)
{
    (void)state;
    struct fixture *f = fixture_created();
    uint64_t term = 1;
    unsigned told = 0;
    fault_db_errno = EIO;
    while (f->fatals == 0) {
        struct raft_storage_job vote = {.has_vote = true, .term = ++term};
        submit(f, &vote);
        while (f->done == told && f->fatals == 0) {
            (void)uv_run(&f->loop, UV_RUN_ONCE);
        }
        told = f->done;
        assert_true(told <= STORAGE_WAL_PAGES_MAX);
    }
    assert_int_equal(f->fatal.code, ERR_IO);
    assert_non_null(strstr(f->fatal.text, "checkpoint"));
    fault_db_errno = 0;
    close_ok(f);
    f->fatals = 0;
    open_ok(f);
    assert_int_equal(raft_storage_boot(f->storage)->term, 1 + told);
    fixture_free(f);
}

static void a_failed_fsync_is_fatal_and_never_tried_again(void **state)
{
    (void)state;
    struct fixture *f = fixture_created();
    __atomic_store_n(&fault_fsync, 1, __ATOMIC_SEQ_CST);
    submit(f, one_entry());
    while (f->fatals == 0) {
        (void)uv_run(&f->loop, UV_RUN_ONCE);
    }
    assert_int_equal(f->done, 0);
    assert_int_equal(f->fatal.code, ERR_IO);
    __atomic_store_n(&fault_fsync, 0, __ATOMIC_SEQ_CST);
    submit(f, one_entry());
    for (int i = 0; i < 100; i++) {
        (void)uv_run(&f->loop, UV_RUN_NOWAIT);
        pause_ms(1);
    }
    assert_int_equal(f->done, 0); /* it would succeed, and the kernel may have dropped the pages */
    assert_int_equal(f->fatals, 1);
    fixture_free(f);
}

/* A sync hangs until its job is seen to be 100 ms old; how old it was then. */
static int64_t age_of_hanging(struct fixture *f)
{
    int64_t age = 0;
    while (age < 100) {
        pause_ms(1);
        age = raft_storage_age_ms(f->storage);
    }
    __atomic_store_n(&fault_hangs, 0, __ATOMIC_SEQ_CST);
    wait_done(f, 1);
    assert_int_equal(raft_storage_age_ms(f->storage), 0);
    return age;
}

/* The waits between the tries, of a second each, are no age; a try that hangs is. */
static void a_full_disk_that_then_hangs_shows_its_age(void **state)
{
    (void)state;
    struct fixture *f = fixture_created();
    __atomic_store_n(&fault_full, 1, __ATOMIC_SEQ_CST);
    uint64_t from = uv_hrtime();
    submit(f, one_entry());
    while (!f->full) {
        (void)uv_run(&f->loop, UV_RUN_ONCE);
    }
    for (int i = 0; i < 200; i++) {
        pause_ms(1);
        assert_int_equal(raft_storage_age_ms(f->storage), 0);
    }
    __atomic_store_n(&fault_hangs, 1, __ATOMIC_SEQ_CST);
    __atomic_store_n(&fault_full, 0, __ATOMIC_SEQ_CST);
    int64_t age = age_of_hanging(f);
    assert_in_range(age, 100, (int64_t)((uv_hrtime() - from) / 1000000) - 1000);
    fixture_free(f);
}

static void a_job_that_hangs_shows_its_age(void **state)
{
    (void)state;
    struct fixture *f = fixture_created();
    __atomic_store_n(&fault_hangs, 1, __ATOMIC_SEQ_CST);
    submit(f, one_entry());
    (void)age_of_hanging(f);
    fixture_free(f);
}

/* --- kill -9 ---------------------------------------------------------------------------------- */

struct shared {
    uint64_t acknowledged;
};

static void child_writes_for_ever(struct fixture *f, struct shared *shared)
{
    (void)uv_loop_init(&f->loop); /* its own: the parent's is not to be shared over a fork */
    open_ok(f);
    const struct raft_boot *boot = raft_storage_boot(f->storage);
    uint64_t index = boot->entry_count == 0 ? 2 : boot->entries[boot->entry_count - 1].index + 1;
    for (;; index++) {
        write_entry(f, index, 1);
        __atomic_store_n(&shared->acknowledged, index, __ATOMIC_SEQ_CST);
    }
}

static void nothing_acknowledged_is_lost_by_kill_9(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    struct shared *shared =
        mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(shared, MAP_FAILED);
    open_ok(f);
    create_ok(f);
    close_ok(f);
    for (int round = 0; round < 15; round++) {
        pid_t child = fork_in_test();
        if (child == 0) {
            child_writes_for_ever(f, shared);
        }
        uint64_t enough = shared->acknowledged + 2 + (uint64_t)(round * 7 % 40);
        while (__atomic_load_n(&shared->acknowledged, __ATOMIC_SEQ_CST) < enough) {
            assert_int_equal(waitpid(child, NULL, WNOHANG), 0);
            pause_ms(1);
        }
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, NULL, 0), child);
        open_ok(f);
        const struct raft_boot *boot = raft_storage_boot(f->storage);
        assert_true(boot->entries[boot->entry_count - 1].index >= shared->acknowledged);
        for (size_t i = 1; i < boot->entry_count; i++) {
            uint8_t expected[ENTRY_BYTES];
            fill(expected, i + 1);
            assert_int_equal(boot->entries[i].index, i + 1);
            assert_memory_equal(boot->entries[i].data.data, expected, ENTRY_BYTES);
        }
        close_ok(f);
    }
    (void)munmap(shared, sizeof(*shared));
    fixture_free(f);
}

/* --- flipped bits ----------------------------------------------------------------------------- */

static size_t read_file(const char *path, uint8_t *bytes, size_t size)
{
    int fd = open(path, O_RDONLY);
    ssize_t len = read(fd, bytes, size);
    assert_true(len > 0);
    (void)close(fd);
    return (size_t)len;
}

static void write_file(const char *path, const uint8_t *bytes, size_t len)
{
    int fd = open(path, O_WRONLY | O_TRUNC | O_CREAT, 0600);
    assert_int_equal(write(fd, bytes, len), (ssize_t)len);
    (void)close(fd);
}

static bool content_is_right(const struct raft_boot *boot)
{
    if (boot->term != 1 || boot->voted_for != 0 || boot->cluster != 77 || boot->entry_count != 30) {
        return false;
    }
    for (size_t i = 1; i < boot->entry_count; i++) {
        uint8_t expected[ENTRY_BYTES];
        fill(expected, i + 1);
        if (boot->entries[i].index != i + 1 || boot->entries[i].term != 1 ||
            boot->entries[i].type != 1 || boot->entries[i].data.len != ENTRY_BYTES ||
            memcmp(boot->entries[i].data.data, expected, ENTRY_BYTES) != 0) {
            return false;
        }
    }
    return true;
}

static void a_flipped_bit_is_refused_or_without_effect(void **state)
{
    (void)state;
    struct fixture *f = fixture_created();
    static uint8_t bytes[1 << 20];
    char path[128];
    unsigned refused = 0;
    for (uint64_t i = 2; i <= 30; i++) {
        write_entry(f, i, 1);
    }
    close_ok(f);
    (void)snprintf(path, sizeof(path), "%s/raft.db", f->raft_dir);
    size_t len = read_file(path, bytes, sizeof(bytes));
    srandom(7);
    for (int trial = 0; trial < 150; trial++) {
        struct storage_db *db = NULL;
        struct raft_boot boot = {0};
        size_t at = (size_t)random() % len;
        uint8_t bit = (uint8_t)(1U << (random() % 8));
        bytes[at] ^= bit;
        write_file(path, bytes, len);
        int rc = storage_db_open(path, "n1", &randomness, &db, NULL);
        if (rc == 0) {
            rc = storage_db_load(db, &boot, NULL);
            /* A file that seems to be new has lost its id too: it cannot vote twice under the old
             * one. */
            assert_true(rc != 0 || content_is_right(&boot));
            storage_db_unload(&boot);
            storage_db_close(db, false);
        }
        refused += rc != 0 ? 1 : 0;
        bytes[at] ^= bit;
    }
    assert_true(refused > 20);
    write_file(path, bytes, len);
    open_ok(f);
    assert_true(content_is_right(raft_storage_boot(f->storage)));
    fixture_free(f);
}

static void damage_in_the_description_of_a_table_is_told_with_the_remedy(void **state)
{
    (void)state;
    struct fixture *f = fixture_created();
    struct error err = {0};
    sqlite3 *sqlite = NULL;
    char path[128];
    close_ok(f);
    (void)snprintf(path, sizeof(path), "%s/raft.db", f->raft_dir);
    assert_int_equal(sqlite3_open_v2(path, &sqlite, SQLITE_OPEN_READWRITE, real_vfs->zName),
                     SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(sqlite, "ALTER TABLE snapshot RENAME COLUMN conf TO gonf", NULL, NULL, NULL),
        SQLITE_OK);
    assert_int_equal(sqlite3_close(sqlite), SQLITE_OK);
    assert_int_equal(open_named(f, "n1", &err), ERR_CORRUPT);
    assert_non_null(strstr(err.text, "it is damaged: move raft.db* out of raft.data_dir"));
    assert_non_null(strstr(err.text, path));
    fixture_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc32c_is_castagnoli),
        cmocka_unit_test(an_empty_directory_gets_an_id_and_keeps_it),
        cmocka_unit_test(a_second_process_and_a_cloned_host_are_refused),
        cmocka_unit_test(first_start_stores_term_and_entry_one_together),
        cmocka_unit_test(joining_stores_only_the_cluster),
        cmocka_unit_test(a_job_with_truncation_replaces_the_tail),
        cmocka_unit_test(snapshots_trim_or_clear_the_log),
        cmocka_unit_test(many_jobs_complete_in_order),
        cmocka_unit_test(a_full_disk_holds_the_jobs_and_goes_on_in_order),
        cmocka_unit_test(a_quota_that_is_used_up_is_a_full_disk),
        cmocka_unit_test(an_io_error_after_a_quota_is_fatal),
        cmocka_unit_test(a_quota_that_a_sync_meets_is_fatal),
        cmocka_unit_test(a_checkpoint_is_judged_by_its_own_write),
        cmocka_unit_test(a_checkpoint_that_fails_is_fatal_and_loses_nothing),
        cmocka_unit_test(a_failed_fsync_is_fatal_and_never_tried_again),
        cmocka_unit_test(a_full_disk_that_then_hangs_shows_its_age),
        cmocka_unit_test(a_job_that_hangs_shows_its_age),
        cmocka_unit_test(nothing_acknowledged_is_lost_by_kill_9),
        cmocka_unit_test(a_flipped_bit_is_refused_or_without_effect),
        cmocka_unit_test(damage_in_the_description_of_a_table_is_told_with_the_remedy),
    };
    return cmocka_run_group_tests(tests, fault_vfs_install, NULL);
}
