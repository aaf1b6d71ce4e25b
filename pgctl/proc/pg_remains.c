/* See pg_remains.h. Whatever cannot be looked at for want of descriptors or memory is an error, and
 * never "none": a key is given away on it. But it ends no look: what can be seen is killed. */
#include "pgctl/proc/pg_remains.h"

#include "base/buf.h"
#include "pgctl/proc/pg_files.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

struct place {
    uint32_t major;
    uint32_t minor;
    uint64_t inode;
};

/* One look. */
struct round {
    const struct pg_remains *remains;
    int32_t postmaster; /* whose children are its; 0 = it was not seen */
    bool has_dir;
    struct place dir;
    struct error blind; /* the first thing that could not be seen */
};

static _Atomic int kept_fd = -1; /* /proc, for when there is no descriptor left */

/* Without asking its server how it is: a disk that stands still would hold up the look. */
static bool identify(const char *path, struct place *ret_place)
{
    struct statx found;
    if (statx(AT_FDCWD, path, AT_STATX_DONT_SYNC, STATX_INO, &found) != 0) {
        return false;
    }
    *ret_place = (struct place){found.stx_dev_major, found.stx_dev_minor, found.stx_ino};
    return true;
}

/* Of a process that is gone, a zombie or somebody else's there is nothing to see. */
static bool is_hidden(int number)
{
    return number == ENOENT || number == ESRCH || number == EACCES || number == EPERM;
}

/* 1 = it works there, 0 = it does not, < 0 = that is not known. */
static int works_in(int32_t pid, const struct place *dir, struct error *err)
{
    char path[64];
    struct place cwd;

    (void)snprintf(path, sizeof path, "/proc/%" PRId32 "/cwd", pid);
    if (!identify(path, &cwd)) {
        int number = errno;
        return is_hidden(number) ? 0
                                 : error_set(err, err_from_errno(number), "looking at '%s': %s",
                                             path, strerror(number));
    }
    return cwd.major == dir->major && cwd.minor == dir->minor && cwd.inode == dir->inode;
}

struct parent {
    bool alive;  /* the process itself */
    int32_t pid; /* 0: outside the namespace, or hidden (proc mounted with hidepid) */
};

/* < 0 = that is not known. */
static int parent_of(int32_t pid, struct parent *ret_parent, struct error *err)
{
    char path[64];
    struct buf text = BUF_INIT;

    (void)snprintf(path, sizeof path, "/proc/%" PRId32 "/stat", pid);
    *ret_parent = (struct parent){0};
    int rc = pg_file_read(path, 4096, &text, err);
    const char *paren = rc == 0 ? strrchr(buf_str(&text), ')') : NULL;
    if (paren != NULL && strlen(paren) > 4 && paren[2] != 'Z' && paren[2] != 'X') {
        *ret_parent = (struct parent){true, (int32_t)strtol(paren + 3, NULL, 10)};
    }
    buf_free(&text);
    if (rc == ERR_PERMISSION) {
        ret_parent->alive = true;
        return 0;
    }
    return rc == ERR_NOT_FOUND || rc == ERR_CLOSED ? 0 : rc;
}

/* 1 = alive and of the instance, 0 = not, < 0 = not known. The working directory comes first: it
 * takes no descriptor, and a zombie has none. */
static int is_its(const struct round *round, int32_t pid, struct error *err)
{
    struct parent parent;
    int works = round->has_dir ? works_in(pid, &round->dir, err) : 0;
    if (works > 0) {
        return works;
    }
    int rc = parent_of(pid, &parent, works < 0 ? NULL : err);
    if (rc != 0) {
        return works < 0 ? works : rc;
    }
    if (parent.alive && parent.pid > 0 &&
        (parent.pid == round->remains->fence || parent.pid == round->postmaster)) {
        return 1;
    }
    return parent.alive ? works : 0;
}

static bool look_at(struct round *round, int32_t pid)
{
    struct error why = {0};
    int rc = is_its(round, pid, &why);
    if (rc < 0 && round->blind.code == 0) {
        round->blind = why;
    }
    return rc > 0;
}

/* The pidfd holds the process while it is looked at again: a number that was used again is not hit.
 */
static void signal_it(const struct round *round, int32_t pid, int number)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0) {
        if (errno != ESRCH) {
            (void)kill(pid, number); /* no descriptor to be had: the process was just looked at */
        }
        return;
    }
    if (is_its(round, pid, NULL) == 1) {
        (void)syscall(SYS_pidfd_send_signal, fd, number, NULL, 0);
    }
    (void)close(fd);
}

static bool visit(struct round *round, const char *name, int number)
{
    int32_t pid = name[0] >= '1' && name[0] <= '9' ? (int32_t)strtol(name, NULL, 10) : 0;
    if (pid <= 1 || pid == getpid() || pid == round->remains->fence || pid == round->postmaster ||
        !look_at(round, pid)) {
        return false;
    }
    if (number != 0) {
        signal_it(round, pid, number);
    }
    return true;
}

static void note_errno(struct round *round, const char *doing, const char *path)
{
    int number = errno;
    if (round->blind.code == 0) {
        (void)error_set(&round->blind, err_from_errno(number), "%s '%s': %s", doing, path,
                        strerror(number));
    }
}

/* From the beginning. The one that is kept may be read by two at once, and says nothing for sure:
 * the look is blind then anyway. */
static int proc_open(struct round *round)
{
    int fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        note_errno(round, "opening", "/proc");
        fd = kept_fd;
        (void)lseek(fd, 0, SEEK_SET);
    }
    return fd;
}

struct proc_entry { /* struct linux_dirent64 */
    uint64_t inode;
    int64_t offset;
    uint16_t len;
    uint8_t type;
    char name[];
};

/* All but the postmaster; returns how many it met. */
static size_t sweep(struct round *round, int number)
{
    _Alignas(struct proc_entry) char entries[8192];
    size_t met = 0;
    long len;
    int fd = proc_open(round);

    while ((len = syscall(SYS_getdents64, fd, entries, sizeof entries)) > 0) {
        for (long at = 0; at < len;) {
            const struct proc_entry *entry =
                (const struct proc_entry *)(const void *)(entries + at);
            met += visit(round, entry->name, number) ? 1 : 0;
            at += entry->len;
        }
    }
    if (len < 0) {
        note_errno(round, "reading", "/proc");
    }
    if (fd >= 0 && fd != kept_fd) {
        (void)close(fd);
    }
    return met;
}

void pg_remains_prepare(void)
{
    int none = -1;
    int fd = kept_fd >= 0 ? -1 : open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0 && !atomic_compare_exchange_strong(&kept_fd, &none, fd)) {
        (void)close(fd);
    }
}

int pg_remains_look(const struct pg_remains *remains, bool ends, struct pg_left *ret_left,
                    struct error *err)
{
    struct round round = {.remains = remains};

    round.has_dir = identify(remains->data_dir, &round.dir);
    if (!round.has_dir) {
        note_errno(&round, "looking at", remains->data_dir);
    }
    bool head = remains->postmaster > 0 && look_at(&round, remains->postmaster);
    if (head && ends) {
        signal_it(&round, remains->postmaster, SIGSTOP);
    }
    /* A number that has come to be another's has children that are none of ours. */
    round.postmaster = head ? remains->postmaster : 0;
    size_t met = sweep(&round, ends ? SIGKILL : 0);
    if (head && ends && (met == 0 || round.blind.code != 0)) {
        signal_it(&round, remains->postmaster, SIGKILL);
    }
    if (round.blind.code != 0) {
        return error_set(err, round.blind.code, "%s", round.blind.text);
    }
    *ret_left = (struct pg_left){.count = met + (head ? 1 : 0),
                                 .headless = met > 0 && !head && remains->postmaster > 0};
    return 0;
}
