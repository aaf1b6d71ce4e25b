/* To preload: the file that WATCHDOG_STUB names is a watchdog device. It is a socket, and behind it
 * is whoever plays the device: each call on it becomes one datagram, answered by "<errno or 0>
 * <value>":
 *
 *     open | support | settimeout N | gettimeout | keepalive | disable | write <byte>
 *
 * The end of the connection is the close, also that by the death of the process. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/watchdog.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int device_fd = -1;

static int fail(int reason)
{
    errno = reason;
    return -1;
}

static int ask(const char *what, int argument, int *ret_value)
{
    char text[64];
    int reason = EIO;
    int value = 0;

    int len = snprintf(text, sizeof text, "%s %d", what, argument);
    if (send(device_fd, text, (size_t)len, MSG_NOSIGNAL) != len) {
        return fail(EIO);
    }
    ssize_t got = recv(device_fd, text, sizeof text - 1, 0);
    if (got <= 0) {
        return fail(EIO);
    }
    text[got] = '\0';
    if (sscanf(text, "%d %d", &reason, &value) < 1 || reason != 0) {
        return fail(reason);
    }
    if (ret_value != NULL) {
        *ret_value = value;
    }
    return 0;
}

static int open_device(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof address) != 0) {
        int reason = errno;
        if (fd >= 0) {
            (void)close(fd);
        }
        return fail(reason);
    }
    device_fd = fd;
    if (ask("open", 0, NULL) != 0) {
        int reason = errno;
        device_fd = -1;
        (void)close(fd);
        return fail(reason);
    }
    return fd;
}

static int opened(const char *name, const char *path, int flags, int mode)
{
    const char *device = getenv("WATCHDOG_STUB");
    int (*next)(const char *, int, ...) =
        (int (*)(const char *, int, ...))(uintptr_t)dlsym(RTLD_NEXT, name);

    return device != NULL && strcmp(device, path) == 0 ? open_device(path)
                                                       : next(path, flags, mode);
}

int open(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    int mode = va_arg(args, int);
    va_end(args);
    return opened("open", path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    int mode = va_arg(args, int);
    va_end(args);
    return opened("open64", path, flags, mode);
}

/* And a device to whoever asks what it is. */
int stat(const char *path, struct stat *ret_stat)
{
    const char *device = getenv("WATCHDOG_STUB");
    int (*next)(const char *, struct stat *) =
        (int (*)(const char *, struct stat *))(uintptr_t)dlsym(RTLD_NEXT, "stat");
    int rc = next(path, ret_stat);

    if (rc == 0 && device != NULL && strcmp(device, path) == 0) {
        ret_stat->st_mode = (ret_stat->st_mode & (mode_t)~S_IFMT) | S_IFCHR;
    }
    return rc;
}

static int device_ioctl(unsigned long request, void *argument)
{
    int *number = argument;

    switch (request) {
    case WDIOC_GETSUPPORT:
        memset(argument, 0, sizeof(struct watchdog_info));
        ((struct watchdog_info *)argument)->options =
            WDIOF_SETTIMEOUT | WDIOF_MAGICCLOSE | WDIOF_KEEPALIVEPING;
        return ask("support", 0, NULL);
    case WDIOC_SETTIMEOUT: return ask("settimeout", *number, number);
    case WDIOC_GETTIMEOUT: return ask("gettimeout", 0, number);
    case WDIOC_KEEPALIVE: return ask("keepalive", 0, NULL);
    case WDIOC_SETOPTIONS: return ask("disable", 0, NULL);
    default: return fail(ENOTTY);
    }
}

int ioctl(int fd, unsigned long request, ...)
{
    int (*next)(int, unsigned long, ...) =
        (int (*)(int, unsigned long, ...))(uintptr_t)dlsym(RTLD_NEXT, "ioctl");
    va_list args;

    va_start(args, request);
    void *argument = va_arg(args, void *);
    va_end(args);
    return fd >= 0 && fd == device_fd ? device_ioctl(request, argument)
                                      : next(fd, request, argument);
}

ssize_t write(int fd, const void *bytes, size_t len)
{
    ssize_t (*next)(int, const void *, size_t) =
        (ssize_t(*)(int, const void *, size_t))(uintptr_t)dlsym(RTLD_NEXT, "write");

    if (fd < 0 || fd != device_fd || len == 0) {
        return next(fd, bytes, len);
    }
    return ask("write", ((const unsigned char *)bytes)[0], NULL) == 0 ? (ssize_t)len : -1;
}

int close(int fd)
{
    int (*next)(int) = (int (*)(int))(uintptr_t)dlsym(RTLD_NEXT, "close");

    if (fd >= 0 && fd == device_fd) {
        device_fd = -1;
    }
    return next(fd);
}
