/* Files of a data directory: whole writes, a look that tells kinds apart, removal.
 *
 * A pid in postmaster.pid proves nothing: after a reboot, or in another container, it may be
 * anybody's (FS-66). It counts as running only if that process is no zombie and its working
 * directory is this directory, compared by device and inode. */
#include "pgctl/proc/pg_files.h"

#include "base/mem.h"
#include "pgctl/pg_parse.h"
#include "pgctl/proc/pg_marker.h"
#include "pgctl/proc/pg_postmaster.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define ENVIRON_BYTES_MAX (512 * 1024)
#define TEMPORARY         ".pgquorum-new"

static int fail(struct error *err, const char *doing, const char *path)
{
    int errnum = errno;
    return error_set(err, err_from_errno(errnum), "%s '%s': %s", doing, path, strerror(errnum));
}

int pg_file_read(const char *path, size_t bytes_max, struct buf *out, struct error *err)
{
    char chunk[4096];
    int rc = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0) {
        return fail(err, "opening", path);
    }
    for (size_t total = 0; rc == 0;) {
        ssize_t count = read(fd, chunk, sizeof chunk);
        if (count < 0 && errno != EINTR) {
            rc = fail(err, "reading", path);
        }
        if (count == 0) {
            break;
        }
        total += count > 0 ? (size_t)count : 0;
        if (total > bytes_max) {
            rc = error_set(err, ERR_LIMIT, "reading '%s': more than %zu bytes", path, bytes_max);
        } else if (count > 0) {
            buf_put(out, chunk, (size_t)count);
        }
    }
    (void)close(fd);
    return rc;
}

int pg_file_sync_parent(const char *path, struct error *err)
{
    char parent[PG_PATH_BYTES];
    int rc = 0;

    (void)snprintf(parent, sizeof parent, "%s", path);
    char *slash = strrchr(parent, '/');
    if (slash == NULL) {
        return 0;
    }
    slash[slash == parent ? 1 : 0] = '\0';
    int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0) {
        rc = fail(err, "syncing the directory", parent);
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return rc;
}

static int write_all(int fd, struct span bytes)
{
    while (bytes.len > 0) {
        ssize_t count = write(fd, bytes.data, bytes.len);
        if (count < 0 && errno != EINTR) {
            return -1;
        }
        size_t taken = count > 0 ? (size_t)count : 0;
        bytes.data += taken;
        bytes.len -= taken;
    }
    return fsync(fd);
}

/* Drawn once a process: another one's temporary files are those of an agent that has died. */
static uint32_t process_tag(void)
{
    static _Atomic uint32_t tag;
    uint32_t drawn = 0;
    uint32_t none = 0;

    if (tag == 0 && getrandom(&drawn, sizeof drawn, 0) == (ssize_t)sizeof drawn) {
        (void)atomic_compare_exchange_strong(&tag, &none, drawn | 1);
    }
    return tag;
}

/* Removes what processes before this one have left on the way to `path`. */
static void remove_left_over(const char *path)
{
    char parent[PG_PATH_BYTES];
    char left[PG_PATH_BYTES];
    char own[32];
    const struct dirent *entry;
    const char *slash = strrchr(path, '/');

    if (slash == NULL) {
        return;
    }
    size_t base_len = strlen(slash + 1);
    (void)snprintf(own, sizeof own, TEMPORARY "-%08" PRIx32 "-", process_tag());
    (void)snprintf(parent, sizeof parent, "%.*s", slash == path ? 1 : (int)(slash - path), path);
    DIR *dir = opendir(parent);
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        const char *rest = entry->d_name + strnlen(entry->d_name, base_len);
        if (strncmp(entry->d_name, slash + 1, base_len) == 0 &&
            strncmp(rest, TEMPORARY, strlen(TEMPORARY)) == 0 &&
            strncmp(rest, own, strlen(own)) != 0) {
            (void)snprintf(left, sizeof left, "%.*s/%s", (int)(slash - path), path, entry->d_name);
            (void)unlink(left);
        }
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
}

int pg_file_write(const char *path, struct span bytes, unsigned mode, struct error *err)
{
    static _Atomic uint32_t count;
    char temporary[PG_PATH_BYTES];
    int length = snprintf(temporary, sizeof temporary, "%s" TEMPORARY "-%08" PRIx32 "-%" PRIu32,
                          path, process_tag(), ++count);

    if (length < 0 || (size_t)length >= sizeof temporary) {
        return error_set(err, ERR_LIMIT, "the path '%.100s...' is too long", path);
    }
    remove_left_over(path);
    /* A name of its own: two that write the same file do not write into each other's. */
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0) {
        return fail(err, "creating", temporary);
    }
    int failed = write_all(fd, bytes);
    if (failed != 0) {
        int rc = fail(err, "writing", temporary);
        (void)close(fd);
        (void)unlink(temporary);
        return rc;
    }
    (void)close(fd);
    if (rename(temporary, path) != 0) {
        int rc = fail(err, "renaming a new file to", path);
        (void)unlink(temporary);
        return rc;
    }
    return pg_file_sync_parent(path, err);
}

int pg_file_remove(const char *path, struct error *err)
{
    if (unlink(path) != 0) {
        return errno == ENOENT ? 0 : fail(err, "removing", path);
    }
    return pg_file_sync_parent(path, err);
}

bool pg_file_exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

static bool exists_in(const char *dir, const char *name)
{
    char path[PG_PATH_BYTES];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    return pg_file_exists(path);
}

/* Dot files and lost+found do not make a directory used: a mount point has them. */
static bool has_content(DIR *dir)
{
    const struct dirent *entry;
    while ((entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] != '.' && strcmp(entry->d_name, "lost+found") != 0) {
            return true;
        }
    }
    return false;
}

/* What cannot be read for want of descriptors or memory proves no end. */
static bool has_ended(int32_t pid)
{
    char path[64];
    struct buf text = BUF_INIT;

    (void)snprintf(path, sizeof path, "/proc/%" PRId32 "/stat", pid);
    int rc = pg_file_read(path, 4096, &text, NULL);
    const char *paren = rc == 0 ? strrchr(buf_str(&text), ')') : NULL;
    bool is_zombie = paren != NULL && paren[1] != '\0' && (paren[2] == 'Z' || paren[2] == 'X');
    buf_free(&text);
    return rc == ERR_NOT_FOUND || is_zombie;
}

bool pg_process_works_in(int32_t pid, const char *data_dir)
{
    char path[64];
    struct stat here;
    struct stat there;

    (void)snprintf(path, sizeof path, "/proc/%" PRId32 "/cwd", pid);
    return stat(data_dir, &here) == 0 && stat(path, &there) == 0 && here.st_dev == there.st_dev &&
           here.st_ino == there.st_ino && !has_ended(pid);
}

int pg_dir_postmaster(const char *data_dir, int32_t *ret_pid, struct error *err)
{
    struct error why;
    int32_t pid = pg_postmaster_named(data_dir, &why);
    if (pid < 0) {
        return error_set(err, why.code, "%s", why.text);
    }
    *ret_pid = pid > 0 && pg_process_works_in(pid, data_dir) ? pid : 0;
    return 0;
}

/* The environment it was started with: what libpq inside its walreceivers will read. */
static bool has_service(int32_t pid, const char *service_path)
{
    char path[64];
    char wanted[PG_PATH_BYTES + 16];
    struct buf text = BUF_INIT;
    bool found = false;

    (void)snprintf(path, sizeof path, "/proc/%" PRId32 "/environ", pid);
    int length = snprintf(wanted, sizeof wanted, "PGSERVICEFILE=%s", service_path);
    if (pg_file_read(path, ENVIRON_BYTES_MAX, &text, NULL) == 0) {
        const char *cursor = buf_str(&text);
        const char *end = cursor + text.len;
        while (cursor < end && !found) {
            size_t len = strnlen(cursor, (size_t)(end - cursor));
            found = len == (size_t)length && memcmp(cursor, wanted, len) == 0;
            cursor += len + 1;
        }
    }
    buf_free(&text);
    return found;
}

static enum pg_dir_kind classify(const char *data_dir, struct pg_inspection *inspection)
{
    char path[PG_PATH_BYTES];
    struct buf version = BUF_INIT;

    (void)snprintf(path, sizeof path, "%s/PG_VERSION", data_dir);
    bool has_version = pg_file_read(path, 64, &version, NULL) == 0 &&
                       pg_version_parse(buf_str(&version), &inspection->major, NULL) == 0;
    buf_free(&version);
    bool has_control = exists_in(data_dir, "global/pg_control");
    if (has_version && has_control) {
        return PG_DIR_VALID;
    }
    if (has_version || has_control) {
        (void)snprintf(inspection->reason, sizeof inspection->reason, "'%.150s' has no readable %s",
                       data_dir, has_version ? "global/pg_control" : "PG_VERSION");
        return PG_DIR_BROKEN;
    }
    (void)snprintf(inspection->reason, sizeof inspection->reason,
                   "'%.150s' is not empty, and is no PostgreSQL data directory", data_dir);
    return PG_DIR_FOREIGN;
}

static void look_inside(const char *data_dir, const char *service_path,
                        struct pg_inspection *inspection)
{
    inspection->standby_signal = exists_in(data_dir, "standby.signal");
    inspection->recovery_signal = exists_in(data_dir, "recovery.signal");
    inspection->backup_label = exists_in(data_dir, "backup_label");
    struct error why = {0};
    int32_t named = pg_postmaster_named(data_dir, &why);
    inspection->pidfile_pid = named > 0 ? named : 0;
    inspection->running = named < 0 || (named > 0 && pg_process_works_in(named, data_dir));
    (void)snprintf(inspection->pidfile_reason, sizeof inspection->pidfile_reason, "%s", why.text);
    inspection->service_in_force =
        inspection->running && has_service(inspection->pidfile_pid, service_path);
}

enum pg_dir_kind pg_dir_content(const char *data_dir, struct pg_inspection *inspection)
{
    struct pg_inspection scratch = {0};
    DIR *dir = opendir(data_dir);

    inspection = inspection == NULL ? &scratch : inspection;
    if (dir == NULL) {
        if (errno == ENOENT) {
            return PG_DIR_MISSING;
        }
        (void)snprintf(inspection->reason, sizeof inspection->reason, "opening '%.150s': %s",
                       data_dir, strerror(errno));
        return PG_DIR_UNREADABLE;
    }
    bool content = has_content(dir);
    (void)closedir(dir);
    return content ? classify(data_dir, inspection) : PG_DIR_EMPTY;
}

/* What the marker makes of what is there. */
static void judge(const struct pg_marker *marker, enum pg_marker_says says, const char *marker_path,
                  const char *data_dir, struct pg_inspection *inspection)
{
    bool content = inspection->kind == PG_DIR_VALID || inspection->kind == PG_DIR_BROKEN ||
                   inspection->kind == PG_DIR_FOREIGN;
    const char *job = pg_marker_job_name(marker->job);
    char *reason = inspection->reason;

    if (says == PG_MARKER_THIS) {
        inspection->unfinished = marker->job;
        if (content) {
            inspection->kind = PG_DIR_UNFINISHED;
            (void)snprintf(reason, sizeof inspection->reason, "a %s of '%.150s' did not end", job,
                           data_dir);
        }
    } else if (says == PG_MARKER_ANOTHER) {
        inspection->kind = PG_DIR_DOUBTFUL;
        (void)snprintf(reason, sizeof inspection->reason,
                       "'%.80s' says that a %s did not end, and not that it was in the directory "
                       "that is '%.60s' now",
                       marker_path, job, data_dir);
    } else if (says == PG_MARKER_ELSEWHERE) {
        inspection->kind = PG_DIR_DOUBTFUL;
        (void)snprintf(reason, sizeof inspection->reason,
                       "'%.80s' says that a %s of '%.60s' did not end, and data_dir is '%.60s' now",
                       marker_path, job, marker->data_dir, data_dir);
    }
}

static void look(const char *data_dir, const char *marker_path, const char *service_path,
                 bool alone, struct pg_inspection *ret_inspection)
{
    struct pg_marker *marker = mem_new(struct pg_marker);
    int32_t left = 0;

    *ret_inspection = (struct pg_inspection){0};
    pg_marker_read(marker_path, marker);
    ret_inspection->kind = pg_dir_content(data_dir, ret_inspection);
    enum pg_marker_says says = pg_marker_about(marker, data_dir, ret_inspection->kind);
    if (alone && says == PG_MARKER_THIS) {
        left = pg_orphans_end(data_dir);
        *ret_inspection = (struct pg_inspection){0}; /* they may have gone on until now */
        ret_inspection->kind = pg_dir_content(data_dir, ret_inspection);
        says = pg_marker_about(marker, data_dir, ret_inspection->kind);
    }
    if (ret_inspection->kind != PG_DIR_MISSING && ret_inspection->kind != PG_DIR_UNREADABLE) {
        look_inside(data_dir, service_path, ret_inspection);
    }
    judge(marker, says, marker_path, data_dir, ret_inspection);
    if (left != 0) { /* nothing is started, copied or removed under it */
        ret_inspection->running = true;
        ret_inspection->pidfile_pid = left;
        ret_inspection->pidfile_reason[0] = '\0';
        (void)snprintf(ret_inspection->reason, sizeof ret_inspection->reason,
                       "process %" PRId32 " of an unfinished job cannot be ended", left);
    }
    mem_free(marker);
}

void pg_dir_look(const char *data_dir, const char *marker_path, const char *service_path,
                 struct pg_inspection *ret_inspection)
{
    look(data_dir, marker_path, service_path, false, ret_inspection);
}

void pg_dir_look_alone(const char *data_dir, const char *marker_path, const char *service_path,
                       struct pg_inspection *ret_inspection)
{
    look(data_dir, marker_path, service_path, true, ret_inspection);
}

int pg_dir_remove_sockets(const char *data_dir, struct error *err)
{
    char path[PG_PATH_BYTES];
    const struct dirent *entry;
    DIR *dir = opendir(data_dir);
    int rc = 0;

    if (dir == NULL) {
        return fail(err, "opening", data_dir);
    }
    while (rc == 0 && (entry = readdir(dir)) != NULL) {
        if (strncmp(entry->d_name, ".s.PGSQL.", strlen(".s.PGSQL.")) == 0) {
            (void)snprintf(path, sizeof path, "%s/%s", data_dir, entry->d_name);
            rc = pg_file_remove(path, err);
        }
    }
    (void)closedir(dir);
    return rc;
}
