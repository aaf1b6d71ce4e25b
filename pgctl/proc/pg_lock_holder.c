/* A server works in its data directory from before it makes its lock files until it ends, and
 * postmaster.pid there names it all that time. So a living process is proven a stranger by its
 * working directory (device and inode) for postmaster.pid, and by its working directory's
 * postmaster.pid for the lock of a socket. What cannot be read proves nothing. */
#include "pgctl/proc/pg_lock_holder.h"

#include "base/buf.h"
#include "pgctl/proc/pg_files.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIDFILE_BYTES_MAX 8192

static int read_of(int32_t pid, const char *name, struct buf *out)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%" PRId32 "/%s", pid, name);
    return pg_file_read(path, PIDFILE_BYTES_MAX, out, NULL);
}

/* State and parent from /proc/PID/stat, whose second field may hold blanks and parentheses. */
static bool read_stat(int32_t pid, char *ret_state, int32_t *ret_parent)
{
    struct buf text = BUF_INIT;
    bool got = false;

    if (read_of(pid, "stat", &text) == 0) {
        const char *end = strrchr(buf_str(&text), ')');
        got = end != NULL && sscanf(end + 1, " %c %" SCNd32, ret_state, ret_parent) == 2;
    }
    buf_free(&text);
    return got;
}

static bool has_program(int32_t pid, const char *name)
{
    char path[64];
    char program[PG_PATH_BYTES];

    (void)snprintf(path, sizeof path, "/proc/%" PRId32 "/exe", pid);
    ssize_t len = readlink(path, program, sizeof program - 1);
    if (len < 0) {
        return true; /* it may be */
    }
    program[len] = '\0';
    const char *slash = strrchr(program, '/');
    /* "postgres (deleted)" after an upgrade. */
    return strncmp(slash == NULL ? program : slash + 1, name, strlen(name)) == 0;
}

/* What the first line of postmaster.pid where `pid` works says; 0 = nothing that can be read. */
static int32_t named_where_it_works(int32_t pid, struct buf *text)
{
    bool got = read_of(pid, "cwd/postmaster.pid", text) == 0;
    long named = got ? strtol(buf_str(text), NULL, 10) : 0;
    return named > 0 && named <= INT32_MAX ? (int32_t)named : 0;
}

/* What holds for both kinds of file; STRANGER: only that it lives, and not here. */
static enum pg_holder look(int32_t pid, const char *data_dir)
{
    char path[64];
    struct stat here;
    struct stat there;
    char state = '?';
    int32_t parent = 0;

    if (kill(pid, 0) != 0) {
        return errno == ESRCH || errno == EPERM ? PG_HOLDER_NOBODY : PG_HOLDER_UNPROVEN;
    }
    if (!read_stat(pid, &state, &parent)) {
        return PG_HOLDER_UNPROVEN;
    }
    if (state == 'Z' || state == 'X') {
        return PG_HOLDER_ENDED;
    }
    (void)snprintf(path, sizeof path, "/proc/%" PRId32 "/cwd", pid);
    if (stat(data_dir, &here) != 0 || stat(path, &there) != 0) {
        return PG_HOLDER_UNPROVEN;
    }
    bool same = here.st_dev == there.st_dev && here.st_ino == there.st_ino;
    return same ? PG_HOLDER_HERE : PG_HOLDER_STRANGER;
}

enum pg_holder pg_holder_of_pidfile(int32_t pid, const char *data_dir, struct span text)
{
    struct buf theirs = BUF_INIT;
    enum pg_holder holder = look(pid, data_dir);

    /* The same file in another directory: a copy of it, or this directory by another mount. */
    if (holder == PG_HOLDER_STRANGER && named_where_it_works(pid, &theirs) == pid &&
        span_equal(buf_span(&theirs), text)) {
        holder = PG_HOLDER_SERVER;
    }
    buf_free(&theirs);
    return holder;
}

enum pg_holder pg_holder_of_socket(int32_t pid, const char *data_dir)
{
    struct buf text = BUF_INIT;
    enum pg_holder holder = look(pid, data_dir);

    if (holder == PG_HOLDER_STRANGER) {
        char state = '?';
        int32_t parent = 0;
        int32_t named = named_where_it_works(pid, &text);
        /* A backend of another server: it holds no lock file itself. */
        bool child = named > 0 && read_stat(pid, &state, &parent) && parent == named;
        if (named == pid) {
            holder = PG_HOLDER_SERVER;
        } else if (!child && has_program(pid, "postgres")) {
            holder = PG_HOLDER_UNPROVEN;
        }
    }
    buf_free(&text);
    return holder;
}
