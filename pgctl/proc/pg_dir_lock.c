#include "pgctl/proc/pg_dir_lock.h"

#include "base/buf.h"
#include "base/mem.h"
#include "pgctl/proc/pg_files.h"
#include "pgctl/proc/pg_postmaster.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_BYTES_MAX 8192
#define NOBODY         "2147483647" /* above every number that Linux gives (pid_max) */

/* --- the lock --------------------------------------------------------------------------------- */

/* The descriptor that holds it, until it is closed; -1: it was not had. *ret_held: because somebody
 * has it. */
static int take(const char *data_dir, bool *ret_held)
{
    int fd = open(data_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    *ret_held = false;
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0) {
        *ret_held = errno == EWOULDBLOCK;
        (void)close(fd);
        fd = -1;
    }
    return fd;
}

/* --- who is noted ----------------------------------------------------------------------------- */

/* The directory by the name that is configured, then as in postmaster.pid. */
static void note_put(struct buf *text, const char *data_dir, const struct pg_pidfile *server)
{
    buf_printf(text, "%s\n%" PRId32 "\n%s\n%" PRId64 "\n%u\n%s\n", data_dir, server->pid,
               server->data_dir, server->start_s, (unsigned)server->port, server->socket_dir);
}

/* False: nobody is, or it is of another directory. */
static bool note_read(const char *note_path, const char *data_dir, struct pg_pidfile *ret_server)
{
    struct buf text = BUF_INIT;
    struct span rest = {0};
    size_t len = strlen(data_dir);
    if (pg_file_read(note_path, FILE_BYTES_MAX, &text, NULL) == 0 &&
        span_starts_with(buf_span(&text), span_str(data_dir)) && text.len > len &&
        text.data[len] == '\n') {
        rest = span_of(text.data + len + 1, text.len - len - 1);
    }
    bool noted = rest.len > 0 && pg_pidfile_parse(rest, ret_server, NULL) == 0;
    buf_free(&text);
    return noted;
}

void pg_dir_lock_note(const char *note_path, const char *data_dir, const struct pg_pidfile *pidfile)
{
    struct buf text = BUF_INIT;
    struct error err = {0};
    bool held = false;
    int fd = take(data_dir, &held);

    if (fd >= 0) {
        (void)close(fd);
    }
    note_put(&text, data_dir, pidfile);
    int rc = held ? pg_file_write(note_path, buf_span(&text), 0600, &err) : 0;
    (void)rc; /* an older note names another server */
    buf_free(&text);
}

/* --- lock files ------------------------------------------------------------------------------- */

/* All but the number stays. */
static int name_nobody(const char *path, struct buf *text, struct error *err)
{
    struct buf changed = BUF_INIT;
    buf_put_str(&changed, NOBODY);
    buf_put_str(&changed, buf_str(text) + strcspn(buf_str(text), "\n"));
    int rc = pg_file_write(path, buf_span(&changed), 0600, err);
    buf_free(&changed);
    return rc;
}

/* *ret_cleared, if this is a lock file of that server. */
static int clear_file(const char *path, const struct pg_pidfile *server, bool *ret_cleared,
                      struct error *err)
{
    struct buf text = BUF_INIT;
    struct pg_pidfile *lock = mem_new(struct pg_pidfile);
    int rc = 0;
    if (pg_file_read(path, FILE_BYTES_MAX, &text, NULL) == 0 &&
        pg_pidfile_parse(buf_span(&text), lock, NULL) == 0 &&
        lock->single_user == server->single_user && lock->pid == server->pid &&
        lock->start_s == server->start_s && strcmp(lock->data_dir, server->data_dir) == 0) {
        rc = name_nobody(path, &text, err);
        *ret_cleared = *ret_cleared || rc == 0;
    }
    mem_free(lock);
    buf_free(&text);
    return rc;
}

/* That of its first socket, too: it may be there alone, since a single-user backend (as pg_rewind
 * starts one) takes postmaster.pid with it. */
static int clear(const char *pidfile_path, const struct pg_pidfile *server, bool *ret_cleared,
                 struct error *err)
{
    char path[PG_PATH_BYTES];
    int length = snprintf(path, sizeof path, "%s/.s.PGSQL.%u.lock", server->socket_dir,
                          (unsigned)server->port);
    int rc = 0;
    if (server->socket_dir[0] == '/' && length > 0 && (size_t)length < sizeof path) {
        rc = clear_file(path, server, ret_cleared, err);
    }
    return rc != 0 ? rc : clear_file(pidfile_path, server, ret_cleared, err);
}

/* --- whose number it is now ------------------------------------------------------------------- */

/* By the inode: a program whose file was replaced since it was started is told by it as well. The
 * number may be a thread's. */
static bool same_program(int32_t pid, int32_t other)
{
    char path[64];
    struct stat its;
    struct stat others;

    (void)snprintf(path, sizeof path, "/proc/%" PRId32 "/exe", pid);
    if (stat(path, &its) != 0) {
        return false;
    }
    (void)snprintf(path, sizeof path, "/proc/%" PRId32 "/exe", other);
    return stat(path, &others) == 0 && its.st_dev == others.st_dev && its.st_ino == others.st_ino;
}

static int clear_noted(const char *note_path, const char *data_dir, const char *pidfile_path,
                       bool *ret_cleared, struct error *err)
{
    struct pg_pidfile *server = mem_new(struct pg_pidfile);
    int rc = 0;
    if (note_read(note_path, data_dir, server) && kill(server->pid, 0) == 0 &&
        !pg_process_works_in(server->pid, data_dir)) {
        rc = clear(pidfile_path, server, ret_cleared, err);
    }
    mem_free(server);
    return rc;
}

static bool is_ours(int32_t pid, int32_t fence_pid)
{
    return same_program(pid, (int32_t)getpid()) || (fence_pid > 0 && same_program(pid, fence_pid));
}

/* Of the server that has left it in `data_dir`. */
static bool read_socket_lock(const char *path, const char *data_dir, struct pg_pidfile *ret_server)
{
    struct buf text = BUF_INIT;
    char real[PATH_MAX];
    bool read = path[0] != '\0' && pg_file_read(path, FILE_BYTES_MAX, &text, NULL) == 0 &&
                pg_pidfile_parse(buf_span(&text), ret_server, NULL) == 0;
    buf_free(&text);
    return read && (strcmp(ret_server->data_dir, data_dir) == 0 ||
                    (realpath(data_dir, real) != NULL && strcmp(ret_server->data_dir, real) == 0));
}

/* Whoever left the file: neither the agent nor the fence is a postmaster. The socket's may be there
 * alone. */
static int clear_ours(int32_t fence_pid, const char *data_dir, const char *pidfile_path,
                      const char *socket_lock, bool *ret_cleared, struct error *err)
{
    struct pg_pidfile *server = mem_new(struct pg_pidfile);
    int rc = 0;
    if (pg_pidfile_read(data_dir, server, NULL) == 0 && is_ours(server->pid, fence_pid)) {
        rc = clear(pidfile_path, server, ret_cleared, err);
    }
    if (rc == 0 && read_socket_lock(socket_lock, data_dir, server) &&
        is_ours(server->pid, fence_pid)) {
        rc = clear_file(socket_lock, server, ret_cleared, err);
    }
    mem_free(server);
    return rc;
}

int pg_dir_lock_clear(const char *note_path, const char *data_dir, const char *socket_lock,
                      int32_t fence_pid, bool *ret_cleared, struct error *err)
{
    char path[PG_PATH_BYTES];
    bool held = false;
    int rc = 0;

    *ret_cleared = false;
    (void)snprintf(path, sizeof path, "%.900s/postmaster.pid", data_dir);
    int fd = take(data_dir, &held);
    if (held && pg_file_exists(path)) {
        rc = error_set(err, ERR_BUSY,
                       "'%.300s' is there, and somebody holds the lock of the directory: a "
                       "server that is not seen from here (in another container?), or a program "
                       "that one has left (`fuser` names it)",
                       path);
    } else if (fd >= 0) {
        rc = clear_noted(note_path, data_dir, path, ret_cleared, err);
        rc = rc != 0 ? rc : clear_ours(fence_pid, data_dir, path, socket_lock, ret_cleared, err);
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return rc;
}
