/* See pg_remains.h. Whatever cannot be looked at for want of descriptors or memory is an error, and
 * never "none": a key is given away on it. */
#include "pgctl/proc/pg_remains.h"

#include "base/buf.h"
#include "pgctl/proc/pg_files.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
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

#define PARENT_HIDDEN (-1)

/* Its parent; 0 = it has ended; hidden: it is somebody else's (proc mounted with hidepid). < 0 =
 * that is not known. */
static int parent_of(int32_t pid, int32_t *ret_parent, struct error *err)
{
    char path[64];
    struct buf text = BUF_INIT;

    (void)snprintf(path, sizeof path, "/proc/%" PRId32 "/stat", pid);
    *ret_parent = 0;
    int rc = pg_file_read(path, 4096, &text, err);
    const char *paren = rc == 0 ? strrchr(buf_str(&text), ')') : NULL;
    if (paren != NULL && strlen(paren) > 4 && paren[2] != 'Z' && paren[2] != 'X') {
        *ret_parent = (int32_t)strtol(paren + 3, NULL, 10);
    }
    buf_free(&text);
    if (rc == ERR_PERMISSION) {
        *ret_parent = PARENT_HIDDEN;
        return 0;
    }
    return rc == ERR_NOT_FOUND || rc == ERR_CLOSED ? 0 : rc;
}

/* 1 = alive and of the instance, 0 = not, < 0 = not known. */
static int is_its(const struct pg_remains *remains, const struct place *dir, int32_t pid,
                  struct error *err)
{
    int32_t parent = 0;
    int rc = parent_of(pid, &parent, err);
    if (rc != 0 || parent == 0) {
        return rc;
    }
    if (parent > 0 && (parent == remains->fence || parent == remains->postmaster)) {
        return 1;
    }
    return works_in(pid, dir, err);
}

/* The pidfd holds the process while it is looked at again: a number that was used again is not hit.
 */
static void signal_it(const struct pg_remains *remains, const struct place *dir, int32_t pid,
                      int number)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0) {
        if (errno != ESRCH) {
            (void)kill(pid, number); /* no descriptor to be had: the process was just looked at */
        }
        return;
    }
    if (is_its(remains, dir, pid, NULL) == 1) {
        (void)syscall(SYS_pidfd_send_signal, fd, number, NULL, 0);
    }
    (void)close(fd);
}

/* All but the postmaster. */
static int sweep(const struct pg_remains *remains, const struct place *dir, int number,
                 size_t *ret_met, struct error *err)
{
    const struct dirent *entry;
    int rc = 0;
    DIR *proc = opendir("/proc");

    *ret_met = 0;
    if (proc == NULL) {
        return error_set(err, err_from_errno(errno), "opening /proc: %s", strerror(errno));
    }
    while (rc >= 0 && (errno = 0, entry = readdir(proc)) != NULL) {
        int32_t pid =
            isdigit((unsigned char)entry->d_name[0]) ? (int32_t)strtol(entry->d_name, NULL, 10) : 0;
        if (pid <= 1 || pid == getpid() || pid == remains->fence || pid == remains->postmaster) {
            continue;
        }
        rc = is_its(remains, dir, pid, err);
        *ret_met += rc > 0 ? 1 : 0;
        if (rc > 0 && number != 0) {
            signal_it(remains, dir, pid, number);
        }
    }
    if (rc >= 0 && errno != 0) {
        rc = error_set(err, err_from_errno(errno), "reading /proc: %s", strerror(errno));
    }
    (void)closedir(proc);
    return rc < 0 ? rc : 0;
}

int pg_remains_look(const struct pg_remains *remains, bool ends, struct pg_left *ret_left,
                    struct error *err)
{
    struct place dir;
    size_t met = 0;
    int head = 0;

    if (!identify(remains->data_dir, &dir)) {
        return error_set(err, err_from_errno(errno), "looking at '%s': %s", remains->data_dir,
                         strerror(errno));
    }
    if (remains->postmaster > 0) {
        head = is_its(remains, &dir, remains->postmaster, err);
    }
    if (head < 0) {
        return head;
    }
    if (head > 0 && ends) {
        signal_it(remains, &dir, remains->postmaster, SIGSTOP);
    }
    /* A number that has come to be another's has children that are none of ours. */
    struct pg_remains those = *remains;
    those.postmaster = head > 0 ? remains->postmaster : 0;
    int rc = sweep(&those, &dir, ends ? SIGKILL : 0, &met, err);
    if (rc == 0 && head > 0 && ends && met == 0) {
        signal_it(remains, &dir, remains->postmaster, SIGKILL);
    }
    *ret_left = (struct pg_left){.count = met + (size_t)head,
                                 .headless = met > 0 && head == 0 && remains->postmaster > 0};
    return rc;
}
