/* The runtime directory: who may use it, the socket's address in it, the node's lock. */
#include "pgctl/fence/fence_client_runtime.h"

#include "base/mem.h"
#include "pgctl/fence/fence_setup.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

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

int fence_lock_agent(const char *runtime_dir, int *ret_fd, struct error *err)
{
    char text[32] = "";
    char *path = mem_printf("%s/agent.lock", runtime_dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    int rc = 0;

    if (fd < 0) {
        rc = error_set(err, err_from_errno(errno), "opening '%s': %s", path, strerror(errno));
    } else if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        (void)!pread(fd, text, sizeof text - 1, 0);
        text[strcspn(text, "\n")] = '\0';
        rc = error_set(err, ERR_BUSY, "another agent runs on this node: process %s has '%s'",
                       text[0] == '\0' ? "?" : text, path);
    } else {
        char *line = mem_printf("%d\n", (int)getpid());
        (void)!ftruncate(fd, 0);
        (void)!pwrite(fd, line, strlen(line), 0); /* only for the message above */
        mem_free(line);
        *ret_fd = fd;
    }
    mem_free(path);
    if (rc != 0 && fd >= 0) {
        (void)close(fd);
    }
    return rc;
}
