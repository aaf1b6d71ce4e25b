/* The storage thread and its side on the loop.
 *
 *   loop: submit -> `queued` --mutex--> thread: takes all of it as one batch, one transaction
 *   loop: async  <- `finished`, in order <------ thread: done, or full (tries the same batch again
 * each second)
 *
 * Only the thread touches the database after the first job; before it, raft_storage_create and
 * _join do, on the loop's thread, while the thread waits for work. The thread never calls back: it
 * leaves notes under the mutex and wakes the loop. After a fatal error the thread ends and nothing
 * is finished any more. */
#include "raft/storage.h"

#include "base/assert.h"
#include "base/list.h"
#include "base/lock_file.h"
#include "base/mem.h"
#include "raft/engine/storage_db.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include <raft.h>

#define STORAGE_RETRY_NS       ((uint64_t)1000 * 1000 * 1000)
#define STORAGE_BATCH_JOBS_MAX 256

struct storage_request {
    struct list link;
    const struct raft_storage_job *job;
    void (*done)(void *job_arg);
    void *job_arg;
    uint64_t queued_ns;
};

struct raft_storage {
    struct storage_db *db;
    struct raft_boot boot;
    struct raft_storage_callbacks callbacks;
    int lock_fd;
    bool thread_runs;
    uv_thread_t thread;
    uv_async_t async;
    /* loop only */
    bool fatal_told;
    bool full_told;
    bool closing;
    void (*closed)(void *arg);
    void *closed_arg;
    /* under the mutex */
    uv_mutex_t mutex;
    uv_cond_t wake;
    struct list queued;
    struct list finished;
    struct list held;   /* the batch that the thread has, or may not go on with */
    uint64_t trying_ns; /* begin of the present transaction; 0 = none */
    uint64_t tried_ns;  /* end of the last one, whatever became of it */
    bool used;          /* the thread has begun to write */
    bool stopping;
    bool ended;
    bool full;
    bool failed;
    struct error error;
};

/* --- thread ----------------------------------------------------------------------------------- */

static void move_all(struct list *from, struct list *to, size_t count_max)
{
    for (size_t i = 0; i < count_max && !list_empty(from); i++) {
        struct list *item = list_first(from);
        list_remove(item);
        list_append(to, item);
    }
}

static size_t jobs_of(struct list *batch, const struct raft_storage_job **jobs)
{
    size_t count = 0;
    LIST_EACH(item, batch)
    {
        jobs[count++] = LIST_OWNER(item, struct storage_request, link)->job;
    }
    return count;
}

/* One try at the held batch. False: it has to be tried again later. */
static bool write_held(struct raft_storage *storage)
{
    const struct raft_storage_job *jobs[STORAGE_BATCH_JOBS_MAX];
    struct error err = {0};
    size_t count = jobs_of(&storage->held, jobs);
    storage->trying_ns = uv_hrtime();
    uv_mutex_unlock(&storage->mutex);
    int rc = storage_db_write(storage->db, jobs, count, &err);
    uv_mutex_lock(&storage->mutex);
    storage->full = rc == ERR_NO_SPACE;
    storage->tried_ns = uv_hrtime();
    storage->trying_ns = 0;
    if (rc == 0) {
        move_all(&storage->held, &storage->finished, SIZE_MAX);
    } else if (rc != ERR_NO_SPACE) {
        storage->failed = true;
        storage->error = err;
    }
    int rv = uv_async_send(&storage->async);
    ASSERT(rv == 0);
    return rc == 0;
}

/* Behind the answers: it syncs two files. */
static void checkpoint(struct raft_storage *storage)
{
    struct error err = {0};
    uv_mutex_unlock(&storage->mutex);
    int rc = storage_db_checkpoint(storage->db, &err);
    uv_mutex_lock(&storage->mutex);
    if (rc != 0) {
        storage->failed = true;
        storage->error = err;
        int rv = uv_async_send(&storage->async);
        ASSERT(rv == 0);
    }
}

static void thread_main(void *arg)
{
    struct raft_storage *storage = arg;
    uv_mutex_lock(&storage->mutex);
    while (!storage->failed) {
        if (list_empty(&storage->held)) {
            move_all(&storage->queued, &storage->held, STORAGE_BATCH_JOBS_MAX);
        }
        if (!list_empty(&storage->held)) {
            storage->used = true;
            if (write_held(storage)) {
                checkpoint(storage);
                continue;
            }
            if (storage->failed) {
                continue;
            }
            if (storage->stopping) {
                break; /* the disk is full and nobody waits any more */
            }
            (void)uv_cond_timedwait(&storage->wake, &storage->mutex, STORAGE_RETRY_NS);
            continue;
        }
        if (storage->stopping) {
            break;
        }
        uv_cond_wait(&storage->wake, &storage->mutex);
    }
    storage->ended = true;
    int rv = uv_async_send(&storage->async);
    ASSERT(rv == 0);
    uv_mutex_unlock(&storage->mutex);
}

/* --- loop ------------------------------------------------------------------------------------- */

static void submit(void *arg, const struct raft_storage_job *job, void (*done)(void *job_arg),
                   void *job_arg)
{
    struct raft_storage *storage = arg;
    struct storage_request *request = mem_new(struct storage_request);
    ASSERT(!storage->closing);
    request->job = job;
    request->done = done;
    request->job_arg = job_arg;
    request->queued_ns = uv_hrtime();
    uv_mutex_lock(&storage->mutex);
    list_append(&storage->queued, &request->link);
    if (!storage->full) { /* a full disk is tried once a second, not at every job */
        uv_cond_signal(&storage->wake);
    }
    uv_mutex_unlock(&storage->mutex);
}

const struct raft_storage_ops raft_storage_sqlite_ops = {.submit = submit};

static void give_back(struct list *requests)
{
    LIST_EACH(item, requests)
    {
        struct storage_request *request = LIST_OWNER(item, struct storage_request, link);
        list_remove(item);
        request->done(request->job_arg);
        mem_free(request);
    }
}

static void storage_free(struct raft_storage *storage)
{
    uv_mutex_destroy(&storage->mutex);
    uv_cond_destroy(&storage->wake);
    storage_db_unload(&storage->boot);
    storage_db_close(storage->db, false);
    if (storage->lock_fd >= 0) {
        (void)close(storage->lock_fd);
    }
    mem_free(storage);
}

static void on_async_closed(uv_handle_t *handle)
{
    struct raft_storage *storage = handle->data;
    void (*closed)(void *arg) = storage->closed;
    void *closed_arg = storage->closed_arg;
    storage_free(storage);
    if (closed != NULL) {
        closed(closed_arg);
    }
}

static void finish_close(struct raft_storage *storage)
{
    if (storage->thread_runs) {
        int rv = uv_thread_join(&storage->thread); /* it has said that it is at its end */
        ASSERT(rv == 0);
        storage->thread_runs = false;
    }
    storage_db_close(storage->db, !storage->failed);
    storage->db = NULL;
    give_back(&storage->held);
    give_back(&storage->queued);
    uv_close((uv_handle_t *)&storage->async, on_async_closed);
}

static void on_async(uv_async_t *async)
{
    struct raft_storage *storage = async->data;
    struct list finished;
    list_init(&finished);
    uv_mutex_lock(&storage->mutex);
    move_all(&storage->finished, &finished, SIZE_MAX);
    bool full = storage->full;
    bool failed = storage->failed;
    bool ended = storage->ended;
    uv_mutex_unlock(&storage->mutex);
    give_back(&finished);
    if (full != storage->full_told) {
        storage->full_told = full;
        if (storage->callbacks.on_full != NULL && !storage->closing) {
            storage->callbacks.on_full(storage->callbacks.arg, full);
        }
    }
    if (failed && !storage->fatal_told) {
        storage->fatal_told = true;
        if (!storage->closing) {
            storage->callbacks.on_fatal(storage->callbacks.arg, &storage->error);
        }
    }
    if (storage->closing && ended && !uv_is_closing((uv_handle_t *)async)) {
        finish_close(storage);
    }
}

void raft_storage_close(struct raft_storage *storage, void (*closed)(void *arg), void *arg)
{
    ASSERT(!storage->closing);
    storage->closing = true;
    storage->closed = closed;
    storage->closed_arg = arg;
    uv_mutex_lock(&storage->mutex);
    storage->stopping = true;
    uv_cond_signal(&storage->wake);
    uv_mutex_unlock(&storage->mutex);
    int rv = uv_async_send(&storage->async); /* it may have ended long ago */
    ASSERT(rv == 0);
}

int64_t raft_storage_age_ms(const struct raft_storage *storage)
{
    struct raft_storage *mine = (struct raft_storage *)storage;
    uint64_t since = 0;
    uv_mutex_lock(&mine->mutex);
    const struct list *waiting = !list_empty(&mine->held) ? &mine->held : &mine->queued;
    if (mine->full) {
        since = mine->trying_ns; /* between two tries nothing is amiss */
    } else if (!list_empty(waiting)) {
        since = LIST_OWNER(list_first(waiting), struct storage_request, link)->queued_ns;
        since = mine->tried_ns > since ? mine->tried_ns : since;
    }
    uv_mutex_unlock(&mine->mutex);
    uint64_t now = uv_hrtime();
    return since == 0 || now < since ? 0 : (int64_t)((now - since) / 1000000);
}

/* --- open ------------------------------------------------------------------------------------- */

static int path_of(const char *dir, const char *file, char *path, size_t size, struct error *err)
{
    int len = snprintf(path, size, "%s/%s", dir, file);
    if (len < 0 || (size_t)len >= size) {
        return error_set(err, ERR_INVALID, "the path of '%s' is too long", dir);
    }
    return 0;
}

static int sync_directory(const char *path, struct error *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int failed = fd < 0 || fsync(fd) != 0 ? errno : 0;
    if (fd >= 0) {
        (void)close(fd);
    }
    return failed == 0
               ? 0
               : error_set(err, err_from_errno(failed), "syncing '%s': %s", path, strerror(failed));
}

/* The name of a new directory has to survive a power loss as well as what is in it. */
static int make_directory(const char *dir, struct error *err)
{
    char parent[PATH_MAX];
    if (mkdir(dir, 0700) != 0) {
        return errno == EEXIST
                   ? 0
                   : error_set(err, err_from_errno(errno), "making '%s': %s", dir, strerror(errno));
    }
    int rc = path_of(dir, "..", parent, sizeof(parent), err);
    return rc != 0 ? rc : sync_directory(parent, err);
}

static int take_lock(const char *dir, int64_t wait_ms, int *ret_fd, struct error *err)
{
    char path[PATH_MAX];
    int rc = path_of(dir, RAFT_STORAGE_LOCK_FILE, path, sizeof(path), err);
    rc = rc != 0 ? rc : lock_file_take(path, wait_ms, ret_fd, err);
    if (rc == ERR_BUSY) {
        error_wrap(err, "'%s' is in use", dir);
    }
    return rc;
}

int raft_storage_await(const char *dir, int64_t wait_ms, struct error *err)
{
    int fd = -1;
    int rc = take_lock(dir, wait_ms, &fd, err);
    if (rc == 0) {
        (void)close(fd);
    }
    return rc == ERR_NOT_FOUND ? 0 : rc;
}

static int open_files(struct raft_storage *storage, const char *dir, const char *name,
                      const struct random *random, struct error *err)
{
    char path[PATH_MAX];
    int rc = make_directory(dir, err);
    if (rc == 0) {
        rc = path_of(dir, RAFT_STORAGE_FILE, path, sizeof(path), err);
    }
    if (rc == 0) {
        rc = take_lock(dir, 0, &storage->lock_fd, err);
    }
    if (rc == 0) {
        rc = storage_db_open(path, name, random, &storage->db, err);
    }
    if (rc == 0) {
        rc = sync_directory(dir, err);
    }
    if (rc == 0) {
        rc = storage_db_load(storage->db, &storage->boot, err);
        if (rc != 0) {
            error_wrap(err, "'%s'", path);
        }
    }
    return rc;
}

static void start_thread(struct raft_storage *storage, struct uv_loop_s *loop)
{
    int rv = uv_async_init(loop, &storage->async, on_async);
    ASSERT(rv == 0);
    storage->async.data = storage;
    rv = uv_thread_create(&storage->thread, thread_main, storage);
    ASSERT(rv == 0);
    storage->thread_runs = true;
}

/* NOLINTNEXTLINE(readability-function-size): called once, with everything there is to say */
int raft_storage_open(struct uv_loop_s *loop, const char *dir, const char *name,
                      const struct random *random, const struct raft_storage_callbacks *callbacks,
                      struct raft_storage **ret_storage, struct error *err)
{
    struct raft_storage *storage = mem_new(struct raft_storage);
    storage->lock_fd = -1;
    storage->callbacks = *callbacks;
    list_init(&storage->queued);
    list_init(&storage->finished);
    list_init(&storage->held);
    int rv = uv_mutex_init(&storage->mutex);
    ASSERT(rv == 0);
    rv = uv_cond_init(&storage->wake);
    ASSERT(rv == 0);
    int rc = open_files(storage, dir, name, random, err);
    if (rc != 0) {
        if (rc == ERR_CORRUPT) {
            error_wrap(err, "it is damaged: move raft.db* out of raft.data_dir and start again, to "
                            "join as a new member");
        }
        error_wrap(err, "Raft directory");
        storage_free(storage);
        return rc;
    }
    start_thread(storage, loop);
    *ret_storage = storage;
    return 0;
}

const struct raft_boot *raft_storage_boot(const struct raft_storage *storage)
{
    return &storage->boot;
}

void raft_storage_boot_release(struct raft_storage *storage)
{
    storage_db_unload(&storage->boot);
}

bool raft_storage_is_empty(const struct raft_storage *storage)
{
    const struct raft_boot *boot = &storage->boot;
    return boot->term == 0 && boot->voted_for == 0 && boot->entry_count == 0 && !boot->has_snapshot;
}

/* --- first start ------------------------------------------------------------------------------ */

/* On the loop's thread: the other one has nothing to do yet. */
static int rewrite(struct raft_storage *storage, uint64_t cluster,
                   const struct raft_storage_job *job, struct error *err)
{
    struct raft_boot boot;
    uv_mutex_lock(&storage->mutex);
    ASSERT(!storage->used && list_empty(&storage->queued));
    int rc = storage_db_set_cluster(storage->db, cluster, job, err);
    if (rc == 0) {
        rc = storage_db_load(storage->db, &boot, err);
    }
    uv_mutex_unlock(&storage->mutex);
    if (rc == 0) {
        storage_db_unload(&storage->boot);
        storage->boot = boot;
    }
    return rc;
}

static int set_cluster(struct raft_storage *storage, uint64_t cluster,
                       const struct raft_storage_job *first, struct error *err)
{
    if (!raft_storage_is_empty(storage)) {
        return error_set(err, ERR_REFUSED, "the Raft directory is not empty");
    }
    if (cluster == 0 || (storage->boot.cluster != 0 && storage->boot.cluster != cluster)) {
        return error_set(err, ERR_REFUSED, "the Raft directory belongs to another cluster");
    }
    return rewrite(storage, cluster, first, err);
}

int raft_storage_create(struct raft_storage *storage, uint64_t cluster, struct span configuration,
                        struct error *err)
{
    struct raft_entry_rec entry = {
        .index = 1, .term = 1, .type = RAFT_CHANGE, .data = configuration};
    struct raft_storage_job job = {
        .has_vote = true,
        .term = 1,
        .has_entries = true,
        .entries = &entry,
        .entry_count = 1,
    };
    return set_cluster(storage, cluster, &job, err);
}

int raft_storage_join(struct raft_storage *storage, uint64_t cluster, struct error *err)
{
    return set_cluster(storage, cluster, NULL, err);
}

int raft_storage_recover(struct raft_storage *storage, uint64_t cluster, struct span command,
                         struct error *err)
{
    const struct raft_boot *boot = &storage->boot;
    struct buf alone = BUF_INIT;
    uint64_t last =
        boot->entry_count > 0 ? boot->entries[boot->entry_count - 1].index : boot->snapshot_index;
    if (boot->cluster == 0 || last == 0 || cluster == 0 || cluster == boot->cluster) {
        return error_set(err, ERR_REFUSED, "the Raft directory belongs to no group yet");
    }
    int rc = raft_first_configuration(&boot->id, 1, &alone, err);
    if (rc == 0) {
        const struct raft_entry_rec entries[] = {
            {.index = last + 1, .term = boot->term + 1, .type = RAFT_COMMAND, .data = command},
            {.index = last + 2,
             .term = boot->term + 1,
             .type = RAFT_CHANGE,
             .data = buf_span(&alone)},
        };
        const struct raft_storage_job job = {
            .has_vote = true,
            .term = boot->term + 1,
            .has_entries = true,
            .entries = entries,
            .entry_count = sizeof(entries) / sizeof(entries[0]),
        };
        rc = rewrite(storage, cluster, &job, err);
    }
    buf_free(&alone);
    return rc;
}
