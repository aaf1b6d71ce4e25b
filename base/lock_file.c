#include "base/lock_file.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <unistd.h>

#define HOLDER_BYTES 32
#define LOCK_LOOK_MS 50

static int64_t now_ms(void)
{
    return clock_mono_ms(clock_real());
}

/* Whom the file names; "" = nobody. */
static void read_holder(int fd, char *ret_text, size_t size)
{
    ssize_t len = pread(fd, ret_text, size - 1, 0);
    ret_text[len > 0 ? len : 0] = '\0';
    ret_text[strcspn(ret_text, "\n")] = '\0';
}

/* -1 = nobody who could be waited for: none is named, it is gone, or it is this process, which has
 * executed itself anew. */
static int open_holder(int fd)
{
    char text[HOLDER_BYTES];
    read_holder(fd, text, sizeof text);
    pid_t pid = (pid_t)strtol(text, NULL, 10);
    return pid > 0 && pid != getpid() ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
}

/* 0, or what errno says. */
static int try_lock(int fd)
{
    return flock(fd, LOCK_EX | LOCK_NB) == 0 ? 0 : errno;
}

/* The end of who is named there is an event. It may be of another PID namespace, though, or not
 * have written its name yet: the lock is what counts, and it is looked at now and then. */
static int lock_within(int fd, int64_t wait_ms)
{
    int64_t until_ms = now_ms() + wait_ms;
    int pidfd = wait_ms > 0 ? open_holder(fd) : -1;
    struct pollfd holder = {.fd = pidfd, .events = POLLIN};
    int failed = try_lock(fd);

    for (int64_t left_ms = wait_ms; (failed != 0 || holder.fd >= 0) && left_ms > 0;
         left_ms = until_ms - now_ms()) {
        if (poll(&holder, 1, (int)(left_ms < LOCK_LOOK_MS ? left_ms : LOCK_LOOK_MS)) > 0) {
            holder.fd = -1; /* it is gone: told once */
        }
        failed = failed != 0 ? try_lock(fd) : 0;
    }
    if (pidfd >= 0) {
        (void)close(pidfd);
    }
    return failed;
}

int lock_file_lock(int fd, const char *path, int64_t wait_ms, struct error *err)
{
    char text[HOLDER_BYTES];
    int failed = lock_within(fd, wait_ms);

    if (failed == EWOULDBLOCK) {
        read_holder(fd, text, sizeof text);
        return error_set(err, ERR_BUSY, "process %s has '%s'", text[0] == '\0' ? "?" : text, path);
    }
    if (failed != 0) {
        return error_set(err, err_from_errno(failed), "locking '%s': %s", path, strerror(failed));
    }
    int len = snprintf(text, sizeof text, "%d\n", (int)getpid());
    (void)!ftruncate(fd, 0);
    (void)!pwrite(fd, text, (size_t)len, 0); /* only for those who find it held */
    return 0;
}

int lock_file_take(const char *path, int64_t wait_ms, int *ret_fd, struct error *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0) {
        return error_set(err, err_from_errno(errno), "opening '%s': %s", path, strerror(errno));
    }
    int rc = lock_file_lock(fd, path, wait_ms, err);
    if (rc == 0) {
        *ret_fd = fd;
    } else {
        (void)close(fd);
    }
    return rc;
}
