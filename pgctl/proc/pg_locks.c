/* What stays in force: PostgreSQL's look at the shared memory block that line 7 of postmaster.pid
 * names (CreateLockFile) is made here before the file goes; its second one, by the key made of the
 * data directory's inode (PGSharedMemoryCreate), needs no file. Nothing of shared memory is removed
 * here.
 *
 * While a file names a process that lives, no PostgreSQL of the same user can take its place. One
 * that somebody else removes and makes anew between the look and the removal is another file: it is
 * moved, recognised and linked back, never replaced. */
#include "pgctl/proc/pg_locks.h"

#include "pgctl/parse/pg_lines.h"
#include "pgctl/proc/pg_files.h"
#include "pgctl/proc/pg_lock_holder.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define LOCK_BYTES_MAX 8192
#define MOVED          ".pgquorum-stale"

enum { LINE_SOCKET_DIR = 4, LINE_SHMEM = 6 }; /* of postmaster.pid, from 0 */

/* --- one file --------------------------------------------------------------------------------- */

static int read_fd(int fd, struct buf *out)
{
    char bytes[LOCK_BYTES_MAX];
    ssize_t count = read(fd, bytes, sizeof bytes); /* a regular file comes whole */
    if (count > 0) {
        buf_put(out, bytes, (size_t)count);
    }
    return count < 0 ? -1 : 0;
}

int pg_lock_read(const char *path, struct pg_lock *ret_lock, struct error *err)
{
    struct stat st;
    int rc = 0;
    int length = snprintf(ret_lock->path, sizeof ret_lock->path, "%s", path);

    ret_lock->text = (struct buf)BUF_INIT;
    if (length < 0 || (size_t)length >= sizeof ret_lock->path) {
        return error_set(err, ERR_LIMIT, "the path '%.100s...' is too long", path);
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) != 0 || (S_ISREG(st.st_mode) && read_fd(fd, &ret_lock->text))) {
        rc = error_set(err, err_from_errno(errno), "reading the lock file '%s': %s", path,
                       strerror(errno));
    } else if (!S_ISREG(st.st_mode)) {
        rc = error_set(err, ERR_REFUSED, "the lock file '%s' is no regular file", path);
    } else {
        ret_lock->dev = st.st_dev;
        ret_lock->ino = st.st_ino;
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return rc;
}

static bool is_same(const struct pg_lock *lock, const char *path)
{
    struct pg_lock now = {0};
    bool same = pg_lock_read(path, &now, NULL) == 0 && now.dev == lock->dev &&
                now.ino == lock->ino && span_equal(buf_span(&now.text), buf_span(&lock->text));
    buf_free(&now.text);
    return same;
}

int pg_lock_remove(const struct pg_lock *lock, struct error *err)
{
    char moved[PG_PATH_BYTES];
    int length = snprintf(moved, sizeof moved, "%s" MOVED, lock->path);

    if (length < 0 || (size_t)length >= sizeof moved) {
        return error_set(err, ERR_LIMIT, "the path '%.100s...' is too long", lock->path);
    }
    if (!is_same(lock, lock->path)) {
        return error_set(err, ERR_CONFLICT, "'%s' has changed since it was looked at", lock->path);
    }
    if (rename(lock->path, moved) != 0) {
        return error_set(err, err_from_errno(errno), "moving '%s' away: %s", lock->path,
                         strerror(errno));
    }
    if (!is_same(lock, moved)) {
        bool back = link(moved, lock->path) == 0;
        if (back) {
            (void)unlink(moved);
        }
        return error_set(err, ERR_CONFLICT, "'%s' has changed since it was looked at%s", lock->path,
                         back ? "" : ", and could not be put back: '" MOVED "' behind its name");
    }
    return pg_file_remove(moved, err);
}

/* --- what it says ----------------------------------------------------------------------------- */

/* As PostgreSQL reads it; 0: no number. Negative in the file: a single-user server. */
static int32_t named_pid(struct pg_lock *lock)
{
    long number = strtol(buf_str(&lock->text), NULL, 10);
    if (number < -INT32_MAX || number > INT32_MAX) {
        return 0;
    }
    return (int32_t)(number < 0 ? -number : number);
}

static bool line_of(const struct pg_lock *lock, int number, char *ret_line)
{
    struct span text = buf_span(&lock->text);
    bool got = true;
    for (int i = 0; got && i <= number; i++) {
        got = pg_lines_next(&text, ret_line);
    }
    return got;
}

/* Another user's block is not that of a server of ours; one with another key has only got the
 * number. A block that is marked for removal and still attached has lost its key. */
static int check_shared_memory(const struct pg_lock *lock, struct error *err)
{
    char line[PG_LINE_BYTES];
    unsigned long key = 0;
    unsigned long id = 0;
    struct shmid_ds block;

    if (!line_of(lock, LINE_SHMEM, line) || sscanf(line, "%lu %lu", &key, &id) != 2) {
        return 0;
    }
    if (shmctl((int)id, IPC_STAT, &block) != 0) {
        return errno == EINVAL || errno == EIDRM || errno == EACCES
                   ? 0
                   : error_set(err, ERR_REFUSED,
                               "'%s': looking at the shared memory block (key %lu, ID %lu): %s",
                               lock->path, key, id, strerror(errno));
    }
    bool its = block.shm_perm.__key == (key_t)key || block.shm_perm.__key == IPC_PRIVATE;
    if (!its || block.shm_nattch == 0) {
        return 0;
    }
    return error_set(err, ERR_BUSY,
                     "the shared memory block that '%s' names (key %lu, ID %lu) is attached by %lu "
                     "processes: end what PostgreSQL has left ('ipcs -mp' and 'fuser' find it)",
                     lock->path, key, id, (unsigned long)block.shm_nattch);
}

/* --- whether it may go ------------------------------------------------------------------------ */

static int refuse(const struct pg_lock *lock, enum pg_holder holder, int32_t pid, struct error *err)
{
    switch (holder) {
    case PG_HOLDER_HERE:
        return error_set(err, ERR_EXISTS,
                         "process %" PRId32 ", which '%s' names, works in the data directory", pid,
                         lock->path);
    case PG_HOLDER_SERVER:
        return error_set(err, ERR_EXISTS,
                         "process %" PRId32 ", which '%s' names, is a living PostgreSQL of another "
                         "data directory: stop it, or give one of the two another port; if this "
                         "data directory is a copy of that one, remove the file",
                         pid, lock->path);
    case PG_HOLDER_NOBODY:
    case PG_HOLDER_ENDED:
    case PG_HOLDER_STRANGER:
    case PG_HOLDER_UNPROVEN: break;
    }
    return error_set(err, ERR_REFUSED,
                     "it cannot be told whether process %" PRId32 ", which '%s' names, is a "
                     "PostgreSQL that holds it: if it is none, remove the file",
                     pid, lock->path);
}

static bool is_stale(enum pg_holder holder)
{
    return holder == PG_HOLDER_ENDED || holder == PG_HOLDER_STRANGER;
}

static int take_away(const struct pg_lock *lock, enum pg_holder holder, int32_t pid,
                     struct buf *removed, struct error *err)
{
    int rc = pg_lock_remove(lock, err);
    if (rc != 0) {
        return rc;
    }
    buf_printf(removed, "%s'%s' (", removed->len == 0 ? "removed before the start: " : ", ",
               lock->path);
    if (pid == 0) {
        buf_printf(removed, "it named no process)");
    } else {
        buf_printf(removed, "process %" PRId32 ", which it named, %s)", pid,
                   holder == PG_HOLDER_ENDED ? "has ended" : "is not its PostgreSQL");
    }
    return 0;
}

/* Whatever the file says: a postmaster that lost its file, or what a dead one has left. */
static int check_empty_handed(const struct pg_lock *lock, const char *data_dir, struct error *err)
{
    int32_t server = 0;
    int rc = pg_dir_server_process(data_dir, &server, err);
    if (rc == 0 && server != 0) {
        rc = error_set(err, ERR_BUSY, "process %" PRId32 " of PostgreSQL works in '%s'", server,
                       data_dir);
    }
    return rc != 0 ? rc : check_shared_memory(lock, err);
}

static int clear_pidfile(struct pg_lock *lock, const char *data_dir, struct buf *removed,
                         struct error *err)
{
    int32_t pid = named_pid(lock);
    enum pg_holder holder =
        pid == 0 ? PG_HOLDER_ENDED : pg_holder_of_pidfile(pid, data_dir, buf_span(&lock->text));

    if (holder == PG_HOLDER_NOBODY) {
        return 0;
    }
    if (!is_stale(holder)) {
        return refuse(lock, holder, pid, err);
    }
    int rc = check_empty_handed(lock, data_dir, err);
    return rc != 0 ? rc : take_away(lock, holder, pid, removed, err);
}

/* --- sockets ---------------------------------------------------------------------------------- */

/* Somebody accepts, or would if he came to it. `lock` is the socket's path with ".lock". */
static bool is_listened_to(const struct pg_lock *lock)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = strlen(lock->path) - strlen(".lock");

    if (len >= sizeof address.sun_path) {
        return false; /* none can be made */
    }
    memcpy(address.sun_path, lock->path, len);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool refused = fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof address) != 0 &&
                   (errno == ECONNREFUSED || errno == ENOENT);
    if (fd >= 0) {
        (void)close(fd);
    }
    return !refused;
}

static int clear_socket_lock(struct pg_lock *lock, const char *data_dir, struct buf *removed,
                             struct error *err)
{
    int32_t pid = named_pid(lock);

    if (pid == 0) {
        return error_set(err, ERR_REFUSED,
                         "the lock file '%s' names no process: if no PostgreSQL of that port runs "
                         "or is being started, remove it",
                         lock->path);
    }
    enum pg_holder holder = pg_holder_of_socket(pid, data_dir);
    if (holder == PG_HOLDER_NOBODY) {
        return 0;
    }
    if (!is_stale(holder)) {
        return refuse(lock, holder, pid, err);
    }
    if (is_listened_to(lock)) {
        return error_set(err, ERR_EXISTS, "somebody listens on the socket that '%s' guards",
                         lock->path);
    }
    return take_away(lock, holder, pid, removed, err);
}

static int clear_socket_dir(const char *dir, uint16_t port, const char *data_dir,
                            struct buf *removed, struct error *err)
{
    char path[PG_PATH_BYTES];
    struct pg_lock lock = {0};
    const char *base = dir[0] == '/' ? "" : data_dir;
    int length = snprintf(path, sizeof path, "%s%s%s/.s.PGSQL.%u.lock", base,
                          base[0] == '\0' ? "" : "/", dir, port);

    if (dir[0] == '\0' || dir[0] == '@' || length < 0 || (size_t)length >= sizeof path) {
        return 0; /* abstract sockets have no lock file */
    }
    int rc = pg_lock_read(path, &lock, err);
    if (rc == 0) {
        rc = clear_socket_lock(&lock, data_dir, removed, err);
    } else if (rc == ERR_NOT_FOUND) {
        rc = 0;
    }
    buf_free(&lock.text);
    return rc;
}

/* A name in quotes that has a comma is not found: PostgreSQL then judges for itself. */
static int clear_sockets(const char *dirs, uint16_t port, const char *data_dir, struct buf *removed,
                         struct error *err)
{
    static const char around[] = " \t\"";
    char dir[PG_PATH_BYTES];
    int rc = 0;

    while (rc == 0 && *dirs != '\0') {
        size_t len = strcspn(dirs, ",");
        const char *next = dirs + len + (dirs[len] == ',' ? 1 : 0);
        size_t skip = strspn(dirs, around);
        skip = skip < len ? skip : len;
        dirs += skip;
        len -= skip;
        while (len > 0 && strchr(around, dirs[len - 1]) != NULL) {
            len--;
        }
        if (len < sizeof dir) {
            (void)snprintf(dir, sizeof dir, "%.*s", (int)len, dirs);
            rc = clear_socket_dir(dir, port, data_dir, removed, err);
        }
        dirs = next;
    }
    return rc;
}

int pg_locks_clear(const char *data_dir, uint16_t port, const char *socket_dirs,
                   struct buf *ret_removed, struct error *err)
{
    char path[PG_PATH_BYTES];
    char named_dir[PG_LINE_BYTES] = "";
    struct pg_lock pidfile = {0};

    (void)snprintf(path, sizeof path, "%s/postmaster.pid", data_dir);
    int rc = pg_lock_read(path, &pidfile, err);
    if (rc == 0) {
        (void)line_of(&pidfile, LINE_SOCKET_DIR, named_dir);
        rc = clear_pidfile(&pidfile, data_dir, ret_removed, err);
    } else if (rc == ERR_NOT_FOUND) {
        rc = 0;
    }
    buf_free(&pidfile.text);
    const char *dirs = socket_dirs[0] != '\0' ? socket_dirs : named_dir;
    return rc != 0 ? rc : clear_sockets(dirs, port, data_dir, ret_removed, err);
}
