/* The runtime directory: who may use it, the socket's address in it, the node's lock. */
#include "pgctl/fence/fence_client_runtime.h"

#include "base/clock.h"
#include "base/mem.h"
#include "pgctl/fence/fence_setup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LOCK_ENV     "PGQUORUM_AGENT_LOCK_FD"
#define HOLDER_BYTES 32
#define LOCK_LOOK_MS 50

int fence_runtime_address(const char *runtime_dir, struct sockaddr_un *ret_address,
                          struct error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t dir_len = strlen(runtime_dir);

    if (dir_len + sizeof "/" FENCE_SOCKET_NAME > sizeof address.sun_path) {
        return error_set(err, ERR_LIMIT, "'%s' is too long for a socket: at most %zu bytes",
                         runtime_dir, sizeof address.sun_path - sizeof "/" FENCE_SOCKET_NAME);
    }
    memcpy(address.sun_path, runtime_dir, dir_len);
    memcpy(address.sun_path + dir_len, "/" FENCE_SOCKET_NAME, sizeof "/" FENCE_SOCKET_NAME);
    *ret_address = address;
    return 0;
}

int fence_runtime_prepare(const char *runtime_dir, struct error *err)
{
    struct sockaddr_un address;
    struct stat st;

    if (runtime_dir[0] != '/') {
        return error_set(err, ERR_INVALID, "the runtime directory '%s' must be an absolute path",
                         runtime_dir);
    }
    int rc = fence_runtime_address(runtime_dir, &address, err);
    if (rc != 0) {
        return rc;
    }
    if (mkdir(runtime_dir, 0700) != 0 && errno != EEXIST) {
        return error_set(err, err_from_errno(errno), "making the runtime directory '%s': %s",
                         runtime_dir, strerror(errno));
    }
    if (lstat(runtime_dir, &st) != 0 || !S_ISDIR(st.st_mode)) {
        return error_set(err, ERR_INVALID, "the runtime directory '%s' is no directory",
                         runtime_dir);
    }
    if (st.st_uid != geteuid() || (st.st_mode & 077) != 0) {
        return error_set(err, ERR_PERMISSION,
                         "the runtime directory '%s' must be ours and have mode 0700", runtime_dir);
    }
    return 0;
}

void fence_lock_pass(int fd, bool on)
{
    char text[16];
    (void)fcntl(fd, F_SETFD, on ? 0 : FD_CLOEXEC);
    (void)snprintf(text, sizeof text, "%d", fd);
    (void)(on ? setenv(LOCK_ENV, text, 1) : unsetenv(LOCK_ENV));
}

/* The one that the program before in this process has left; -1 = there is none. What is not the
 * lock file is left alone. */
static int passed(const char *path)
{
    struct stat st;
    struct stat wanted;
    const char *text = getenv(LOCK_ENV);
    char *end = NULL;
    long fd = text == NULL ? -1 : strtol(text, &end, 10);
    bool number = text != NULL && end != text && *end == '\0' && fd > STDERR_FILENO && fd < INT_MAX;
    (void)unsetenv(LOCK_ENV); /* no child is to have it */
    if (!number || fstat((int)fd, &st) != 0 || stat(path, &wanted) != 0 ||
        st.st_dev != wanted.st_dev || st.st_ino != wanted.st_ino) {
        return -1;
    }
    (void)fcntl((int)fd, F_SETFD, FD_CLOEXEC);
    return (int)fd;
}

static int64_t now_ms(void)
{
    return clock_mono_ms(clock_real());
}

/* Whom the lock file names; "" = nobody. */
static void read_holder(int fd, char *ret_text, size_t size)
{
    ssize_t len = pread(fd, ret_text, size - 1, 0);
    ret_text[len > 0 ? len : 0] = '\0';
    ret_text[strcspn(ret_text, "\n")] = '\0';
}

/* The end of who is named there is an event. It may be of another PID namespace, though, or not
 * have written its name yet: the lock is what counts, and it is looked at now and then. */
static bool lock_within(int fd, int64_t wait_ms)
{
    int64_t until_ms = now_ms() + wait_ms;
    char text[HOLDER_BYTES];
    bool had = flock(fd, LOCK_EX | LOCK_NB) == 0;

    read_holder(fd, text, sizeof text);
    pid_t pid = had ? 0 : (pid_t)strtol(text, NULL, 10);
    struct pollfd holder = {.fd = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1,
                            .events = POLLIN};
    int pidfd = holder.fd;
    for (int64_t left_ms = wait_ms; !had && left_ms > 0; left_ms = until_ms - now_ms()) {
        if (poll(&holder, 1, (int)(left_ms < LOCK_LOOK_MS ? left_ms : LOCK_LOOK_MS)) > 0) {
            holder.fd = -1; /* it is gone: told once */
        }
        had = flock(fd, LOCK_EX | LOCK_NB) == 0;
    }
    if (pidfd >= 0) {
        (void)close(pidfd);
    }
    return had;
}

int fence_lock_agent(const char *runtime_dir, int64_t wait_ms, int *ret_fd, struct error *err)
{
    char text[HOLDER_BYTES];
    char *path = mem_printf("%s/agent.lock", runtime_dir);
    int fd = passed(path);
    int rc = 0;

    if (fd < 0) {
        fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    }

    if (fd < 0) {
        rc = error_set(err, err_from_errno(errno), "opening '%s': %s", path, strerror(errno));
    } else if (!lock_within(fd, wait_ms)) {
        read_holder(fd, text, sizeof text);
        rc = error_set(err, ERR_BUSY, "another agent runs on this node: process %s has '%s'",
                       text[0] == '\0' ? "?" : text, path);
    } else {
        char *line = mem_printf("%d\n", (int)getpid());
        (void)!ftruncate(fd, 0);
        (void)!pwrite(fd, line, strlen(line), 0); /* only for those who find it held */
        mem_free(line);
        *ret_fd = fd;
    }
    mem_free(path);
    if (rc != 0 && fd >= 0) {
        (void)close(fd);
    }
    return rc;
}
