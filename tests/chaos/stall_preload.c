/* To preload: calls of the fence that stand still, or fail, as those on a broken file system do.
 * STALL_STUB names a directory; while there is a file of that name in it
 *
 *     stderr    a write to standard error does not return, although poll says that it would
 *     cwd       a look at a working directory that asks its server does not return
 *     proc      the list of all processes cannot be read (EIO)
 *     join      no process can be put into a cgroup (EACCES)
 *
 * A call that stands still goes on when its file is gone. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool broken(const char *what)
{
    char path[512];
    const char *dir = getenv("STALL_STUB");
    if (dir == NULL) {
        return false;
    }
    (void)snprintf(path, sizeof path, "%s/%s", dir, what);
    return access(path, F_OK) == 0;
}

static void stand_still(const char *what)
{
    while (broken(what)) {
        (void)usleep(2000);
    }
}

ssize_t write(int fd, const void *bytes, size_t len)
{
    ssize_t (*next)(int, const void *, size_t) =
        (ssize_t(*)(int, const void *, size_t))(uintptr_t)dlsym(RTLD_NEXT, "write");
    if (fd == STDERR_FILENO) {
        stand_still("stderr");
    }
    return next(fd, bytes, len);
}

static bool is_cwd(const char *path)
{
    size_t len = strlen(path);
    return len >= 4 && strcmp(path + len - 4, "/cwd") == 0;
}

int fstatat(int dir, const char *path, struct stat *ret_stat, int flags)
{
    int (*next)(int, const char *, struct stat *, int) =
        (int (*)(int, const char *, struct stat *, int))(uintptr_t)dlsym(RTLD_NEXT, "fstatat");
    if (is_cwd(path)) {
        stand_still("cwd");
    }
    return next(dir, path, ret_stat, flags);
}

int statx(int dir, const char *path, int flags, unsigned mask, struct statx *ret_stat)
{
    int (*next)(int, const char *, int, unsigned, struct statx *) =
        (int (*)(int, const char *, int, unsigned, struct statx *))(uintptr_t)dlsym(RTLD_NEXT,
                                                                                    "statx");
    if (is_cwd(path) && (flags & AT_STATX_DONT_SYNC) == 0) {
        stand_still("cwd");
    }
    return next(dir, path, flags, mask, ret_stat);
}

int openat(int dir, const char *path, int flags, ...)
{
    int (*next)(int, const char *, int, ...) =
        (int (*)(int, const char *, int, ...))(uintptr_t)dlsym(RTLD_NEXT, "openat");
    va_list args;

    va_start(args, flags);
    int mode = va_arg(args, int);
    va_end(args);
    if (strcmp(path, "cgroup.procs") == 0 && broken("join")) {
        errno = EACCES;
        return -1;
    }
    return next(dir, path, flags, mode);
}

long syscall(long number, ...)
{
    long (*next)(long, ...) = (long (*)(long, ...))(uintptr_t)dlsym(RTLD_NEXT, "syscall");
    va_list args;
    long a[6];

    va_start(args, number);
    for (size_t i = 0; i < 6; i++) {
        a[i] = va_arg(args, long);
    }
    va_end(args);
    if (number == SYS_getdents64 && broken("proc")) {
        errno = EIO;
        return -1;
    }
    return next(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
