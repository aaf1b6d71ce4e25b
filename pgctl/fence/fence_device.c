/* To open such a device starts it; from then on it resets the host unless it is petted. It stops
 * when it is told to (WDIOS_DISABLECARD) or closed after a 'V'; with `nowayout` it does not stop at
 * all. Closed by the death of its process it runs on, so a mark is left in the runtime directory
 * for as long as it may run: the next fence then knows that it has one to stop, and one that does
 * not run is never started for nothing. */
#include "pgctl/fence/fence_device.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/watchdog.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define MARK_NAME  "fence.watchdog"
#define BOOT_BYTES 64

/* --- the mark --------------------------------------------------------------------------------- */

static size_t text_read(const char *path, char *ret_text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t len = fd >= 0 ? read(fd, ret_text, size - 1) : 0;
    ret_text[len > 0 ? len : 0] = '\0';
    if (fd >= 0) {
        (void)close(fd);
    }
    return strlen(ret_text);
}

static void boot_read(char *ret_boot)
{
    (void)text_read("/proc/sys/kernel/random/boot_id", ret_boot, BOOT_BYTES);
}

/* Without one, where it cannot be made, the device only runs on when this process is killed. */
static void mark_put(const struct fence_device *device)
{
    char boot[BOOT_BYTES];

    boot_read(boot);
    int fd = open(device->mark, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd >= 0) {
        (void)!write(fd, boot, strlen(boot));
        (void)close(fd);
    }
}

void fence_device_init(struct fence_device *device, const char *runtime_dir)
{
    memset(device, 0, sizeof *device);
    device->fd = -1;
    (void)snprintf(device->mark, sizeof device->mark, "%s/" MARK_NAME, runtime_dir);
}

bool fence_device_left(const struct fence_device *device)
{
    char boot[BOOT_BYTES];
    char marked[BOOT_BYTES];

    boot_read(boot);
    return text_read(device->mark, marked, sizeof marked) > 0 && strcmp(boot, marked) == 0;
}

/* --- the device ------------------------------------------------------------------------------- */

static void open_failed(const char *path, int reason, struct fence_device_outcome *outcome)
{
    const char *remedy = reason == ENOTTY ? "name one in watchdog.device"
                         : reason == ENOENT || reason == ENODEV || reason == ENXIO
                             ? "load a driver (modprobe softdog), or name another one in "
                               "watchdog.device"
                         : reason == EACCES || reason == EPERM
                             ? "let the user of the agent write to it (a udev rule)"
                         : reason == EBUSY
                             ? "another process has it (RuntimeWatchdogSec of systemd, watchdogd)"
                             : "";
    (void)snprintf(outcome->why, sizeof outcome->why, "'%.40s': %s%s%s", path,
                   reason == ENOTTY ? "no device" : strerror(reason), remedy[0] == '\0' ? "" : ": ",
                   remedy);
}

/* A file would take the pets for its content. */
static bool is_device(const char *path)
{
    struct stat found;

    if (stat(path, &found) != 0) {
        return false;
    }
    errno = ENOTTY;
    return S_ISCHR(found.st_mode);
}

void fence_device_look(const char *path, struct fence_device_outcome *ret_outcome)
{
    ret_outcome->done = is_device(path) && faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) == 0;
    if (!ret_outcome->done) {
        open_failed(path, errno, ret_outcome);
    }
}

/* 0 = it tells none, or cannot be told. */
static int timeout_set(int fd, int timeout_s)
{
    int set_s = timeout_s;
    int told_s = 0;

    bool set = ioctl(fd, WDIOC_SETTIMEOUT, &set_s) == 0;
    if (ioctl(fd, WDIOC_GETTIMEOUT, &told_s) == 0) {
        return told_s;
    }
    return set ? set_s : 0;
}

bool fence_device_open(struct fence_device *device, const char *path,
                       struct fence_device_outcome *ret_outcome)
{
    bool left = fence_device_left(device);

    mark_put(device);
    device->fd = is_device(path) ? open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY) : -1;
    if (device->fd < 0) {
        int reason = errno;
        if (!left) {
            (void)unlink(device->mark);
        }
        open_failed(path, reason, ret_outcome);
        return false;
    }
    (void)snprintf(device->path, sizeof device->path, "%s", path);
    return true;
}

void fence_device_arm(struct fence_device *device, const char *path, int timeout_s, int max_s,
                      struct fence_device_outcome *ret_outcome)
{
    struct watchdog_info info = {0};
    char why[FENCE_WATCHDOG_WHY_BYTES];

    if (device->fd < 0 && !fence_device_open(device, path, ret_outcome)) {
        return;
    }
    if (ioctl(device->fd, WDIOC_GETSUPPORT, &info) != 0) {
        (void)snprintf(why, sizeof why, "'%.40s' is no watchdog device: %s", path, strerror(errno));
    } else {
        device->timeout_s = timeout_set(device->fd, timeout_s);
        if (device->timeout_s >= 1 && device->timeout_s <= max_s) {
            fence_device_pet(device, ret_outcome);
            return;
        }
        (void)snprintf(why, sizeof why,
                       "'%.40s' has a timeout of %d s and takes none from %d s to %d s: another "
                       "device, or a longer ttl",
                       path, device->timeout_s, timeout_s, max_s);
    }
    fence_device_disarm(device, ret_outcome);
    ret_outcome->done = false;
    ret_outcome->unfit = ret_outcome->stays;
    if (ret_outcome->unfit) {
        (void)snprintf(why, sizeof why,
                       "'%.40s' has a timeout of %d s, at most %d s fit, and it cannot be stopped "
                       "(nowayout): petted, not used; take another device, or a longer ttl",
                       path, device->timeout_s, max_s);
    }
    memcpy(ret_outcome->why, why, sizeof why);
}

void fence_device_pet(struct fence_device *device, struct fence_device_outcome *ret_outcome)
{
    int none = 0;

    ret_outcome->done = ioctl(device->fd, WDIOC_KEEPALIVE, &none) == 0;
    if (!ret_outcome->done) {
        int reason = errno;
        ret_outcome->done = write(device->fd, "", 1) == 1;
        if (!ret_outcome->done) {
            (void)snprintf(ret_outcome->why, sizeof ret_outcome->why,
                           "'%.40s' cannot be petted: %s", device->path, strerror(reason));
        }
    }
}

void fence_device_disarm(struct fence_device *device, struct fence_device_outcome *ret_outcome)
{
    int off = WDIOS_DISABLECARD;

    if (ioctl(device->fd, WDIOC_SETOPTIONS, &off) != 0 && errno == EBUSY) {
        fence_device_pet(device, ret_outcome);
        ret_outcome->done = false;
        ret_outcome->stays = true;
        (void)snprintf(ret_outcome->why, sizeof ret_outcome->why,
                       "'%.40s' cannot be stopped (nowayout): the fence stays, and pets it",
                       device->path);
        return;
    }
    ret_outcome->done = true;
    (void)!write(device->fd, "V", 1);
    (void)close(device->fd);
    device->fd = -1;
    device->timeout_s = 0;
    (void)unlink(device->mark);
}
