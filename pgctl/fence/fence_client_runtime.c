/* The runtime directory: who may use it, the socket's address in it, the node's lock. */
#include "pgctl/fence/fence_client_runtime.h"

#include "base/lock_file.h"
#include "base/mem.h"
#include "pgctl/fence/fence_setup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK_ENV "PGQUORUM_AGENT_LOCK_FD"

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

int fence_lock_agent(const char *runtime_dir, int64_t wait_ms, int *ret_fd, struct error *err)
{
    char *path = mem_printf("%s/agent.lock", runtime_dir);
    int fd = passed(path);
    int rc =
        fd >= 0 ? lock_file_lock(fd, path, wait_ms, err) : lock_file_take(path, wait_ms, &fd, err);
    if (rc == 0) {
        *ret_fd = fd;
    } else if (fd >= 0) {
        (void)close(fd);
    }
    if (rc == ERR_BUSY) {
        error_wrap(err, "another agent runs on this node");
    }
    mem_free(path);
    return rc;
}
