/* A process belongs to the instance if its parent is the postmaster or the fence (a subreaper:
 * orphans of a dead postmaster become its children), or if its working directory is the data
 * directory, by device and inode: that finds the backends of a postmaster that another fence
 * started. Each backend is its own session and process group, so killing a group would reach the
 * postmaster only.
 *
 * The postmaster is stopped first, so that it can neither start backends nor see them die and begin
 * crash recovery. With a cgroup, one write then kills all at once. Without, everything else is
 * stopped, then killed, until a look at /proc finds nothing; the postmaster goes last. The stop is
 * what ends the commits: 15 ms for 500 backends, while processes that die take the processor from
 * the one that kills (200 ms more on two cores). The look at /proc follows the cgroup's kill too:
 * the answer "all gone" does not rest on one mechanism. */
#include "pgctl/fence/fence_kill.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static int proc_fd = -1;
static int blind;                            /* fence_kill_blind */
static char cgroup_parent[FENCE_PATH_BYTES]; /* "" = no cgroup v2 here */

/* --- where a cgroup could be made ------------------------------------------------------------- */

/* Mount point and root of the cgroup v2 hierarchy; it need not be /sys/fs/cgroup. */
static bool cgroup_mount(char *ret_root, char *ret_point)
{
    char line[4 * FENCE_PATH_BYTES];
    bool found = false;
    FILE *file = fopen("/proc/self/mountinfo", "re");

    while (file != NULL && !found && fgets(line, (int)sizeof line, file) != NULL) {
        found = strstr(line, " - cgroup2 ") != NULL &&
                sscanf(line, "%*s %*s %*s %1023s %1023s", ret_root, ret_point) == 2;
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return found;
}

static bool cgroup_own(char *ret_path)
{
    char line[2 * FENCE_PATH_BYTES];
    bool found = false;
    FILE *file = fopen("/proc/self/cgroup", "re");

    while (file != NULL && !found && fgets(line, (int)sizeof line, file) != NULL) {
        found = strncmp(line, "0::/", 4) == 0 && sscanf(line + 3, "%1023[^\n]", ret_path) == 1;
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return found;
}

static void find_cgroup_parent(void)
{
    char root[FENCE_PATH_BYTES] = "";
    char point[FENCE_PATH_BYTES] = "";
    char own[FENCE_PATH_BYTES] = "";

    cgroup_parent[0] = '\0';
    if (!cgroup_mount(root, point) || !cgroup_own(own)) {
        return;
    }
    size_t root_len = strcmp(root, "/") == 0 ? 0 : strlen(root);
    if (strncmp(own, root, root_len) != 0) {
        return; /* our group lies outside what is mounted */
    }
    const char *below = strcmp(own + root_len, "/") == 0 ? "" : own + root_len;
    int len = snprintf(cgroup_parent, sizeof cgroup_parent, "%s%s", point, below);
    if (len < 0 || (size_t)len >= sizeof cgroup_parent) {
        cgroup_parent[0] = '\0';
    }
}

bool fence_kill_open(void)
{
    find_cgroup_parent();
    proc_fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return proc_fd >= 0;
}

/* --- the instance ----------------------------------------------------------------------------- */

void fence_instance_init(struct fence_instance *instance)
{
    memset(instance, 0, sizeof *instance);
    instance->cgroup_kill_fd = -1;
    instance->cgroup_dir_fd = -1;
}

/* Which directory `path` is, without asking its server how it is: one that is silent (NFS) would
 * hold up a kill. */
static bool identify(int at, const char *path, dev_t *ret_dev, ino_t *ret_ino)
{
    struct statx found;

    if (statx(at, path, AT_STATX_DONT_SYNC, STATX_INO, &found) != 0) {
        return false;
    }
    *ret_dev = makedev(found.stx_dev_major, found.stx_dev_minor);
    *ret_ino = found.stx_ino;
    return true;
}

bool fence_instance_set_dir(struct fence_instance *instance, const char *data_dir)
{
    if (!identify(AT_FDCWD, data_dir, &instance->dir_dev, &instance->dir_ino)) {
        return false;
    }
    instance->has_dir = true;
    return true;
}

bool fence_cgroup_make(struct fence_instance *instance)
{
    fence_cgroup_remove(instance);
    if (cgroup_parent[0] == '\0' || !instance->has_dir) {
        return false;
    }
    int len =
        snprintf(instance->cgroup, sizeof instance->cgroup, "%s/pgquorum-%llx-%llx", cgroup_parent,
                 (unsigned long long)instance->dir_dev, (unsigned long long)instance->dir_ino);
    if (len < 0 || (size_t)len >= sizeof instance->cgroup ||
        (mkdir(instance->cgroup, 0755) != 0 && errno != EEXIST)) {
        instance->cgroup[0] = '\0';
        return false;
    }
    instance->cgroup_dir_fd = open(instance->cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (instance->cgroup_dir_fd >= 0) {
        instance->cgroup_kill_fd =
            openat(instance->cgroup_dir_fd, "cgroup.kill", O_WRONLY | O_CLOEXEC);
    }
    if (instance->cgroup_kill_fd < 0) {
        fence_cgroup_remove(instance);
        return false;
    }
    return true;
}

bool fence_cgroup_join(const struct fence_instance *instance)
{
    int fd = openat(instance->cgroup_dir_fd, "cgroup.procs", O_WRONLY | O_CLOEXEC);
    bool joined = fd >= 0 && write(fd, "0", 1) == 1;
    if (fd >= 0) {
        (void)close(fd);
    }
    return joined;
}

void fence_cgroup_remove(struct fence_instance *instance)
{
    if (instance->cgroup_kill_fd >= 0) {
        (void)close(instance->cgroup_kill_fd);
    }
    if (instance->cgroup_dir_fd >= 0) {
        (void)close(instance->cgroup_dir_fd);
    }
    if (instance->cgroup[0] != '\0') {
        (void)rmdir(
            instance->cgroup); /* refused while a process is in it; it is found again by its name */
    }
    instance->cgroup_kill_fd = -1;
    instance->cgroup_dir_fd = -1;
    instance->cgroup[0] = '\0';
}

/* --- one process ------------------------------------------------------------------------------ */

typedef bool process_look(const struct fence_instance *instance, const char *pid_text);

/* State and parent from /proc/PID/stat, whose second field may hold blanks and parentheses. */
static bool process_stat(const char *pid_text, char *ret_state, pid_t *ret_parent)
{
    char path[32];
    char text[512];

    (void)snprintf(path, sizeof path, "%.10s/stat", pid_text);
    int fd = openat(proc_fd, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    ssize_t len = read(fd, text, sizeof text - 1);
    (void)close(fd);
    if (len <= 0) {
        return false;
    }
    text[len] = '\0';
    const char *end = strrchr(text, ')');
    int parent = 0;
    if (end == NULL || sscanf(end + 1, " %c %d", ret_state, &parent) != 2) {
        return false;
    }
    *ret_parent = parent;
    return true;
}

static bool in_data_dir(const struct fence_instance *instance, const char *pid_text)
{
    char path[32];
    dev_t dev = 0;
    ino_t ino = 0;

    (void)snprintf(path, sizeof path, "%.10s/cwd", pid_text);
    return instance->has_dir && identify(proc_fd, path, &dev, &ino) && dev == instance->dir_dev &&
           ino == instance->dir_ino;
}

/* Alive and of the instance. The working directory comes first: it costs one call and no
 * descriptor, a zombie has none, and a table of files that is full hides only those whose parent
 * alone betrays them. */
static bool process_matches(const struct fence_instance *instance, const char *pid_text)
{
    char state = '?';
    pid_t parent = 0;

    if (in_data_dir(instance, pid_text)) {
        return true;
    }
    return process_stat(pid_text, &state, &parent) && state != 'Z' && state != 'X' &&
           (parent == getpid() || (instance->postmaster > 0 && parent == instance->postmaster));
}

/* A postmaster that this fence has not started is told from its backends by a parent that works
 * elsewhere. So is a backend whose postmaster has died: a signal that is meant for that one does
 * it no harm. */
static bool heads_others(const struct fence_instance *instance, const char *pid_text)
{
    char parent_text[16];
    char state = '?';
    pid_t parent = 0;

    if (!in_data_dir(instance, pid_text) || !process_stat(pid_text, &state, &parent)) {
        return false;
    }
    (void)snprintf(parent_text, sizeof parent_text, "%d", (int)parent);
    return !in_data_dir(instance, parent_text);
}

/* By pidfd, and looked at again under it: between look and signal the number may have gone to a
 * stranger. */
static void process_signal(const struct fence_instance *instance, process_look *matches, pid_t pid,
                           const char *pid_text, int number)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0) {
        if (errno != ESRCH) {
            (void)kill(pid, number); /* no descriptor to be had: the process just matched */
        }
        return;
    }
    if (matches(instance, pid_text)) {
        (void)syscall(SYS_pidfd_send_signal, fd, number, NULL, 0);
    }
    (void)close(fd);
}

/* --- all of them ------------------------------------------------------------------------------ */

struct proc_entry { /* struct linux_dirent64; readdir would allocate */
    uint64_t inode;
    int64_t offset;
    uint16_t len;
    uint8_t type;
    char name[];
};

static bool visit(const struct fence_instance *instance, process_look *matches, const char *name,
                  int number)
{
    if (name[0] < '1' || name[0] > '9') {
        return false;
    }
    pid_t pid = (pid_t)strtol(name, NULL, 10);
    if (pid <= 1 || pid == getpid() || pid == instance->postmaster || pid == instance->spared ||
        !matches(instance, name)) {
        return false;
    }
    if (number != 0) {
        process_signal(instance, matches, pid, name, number);
    }
    return true;
}

/* Sends `number` (0 = nothing) to every process but the postmaster that matches; returns how many
 * it met, and one more where it could not see them all: "none" is what others rest on. */
static size_t sweep(const struct fence_instance *instance, process_look *matches, int number)
{
    static _Alignas(struct proc_entry) char entries[32768];
    size_t met = 0;
    long len;

    (void)lseek(proc_fd, 0, SEEK_SET);
    while ((len = syscall(SYS_getdents64, proc_fd, entries, sizeof entries)) > 0) {
        for (long at = 0; at < len;) {
            const struct proc_entry *entry =
                (const struct proc_entry *)(const void *)(entries + at);
            met += visit(instance, matches, entry->name, number) ? 1 : 0;
            at += entry->len;
        }
    }
    blind = len < 0 ? errno : 0;
    return met + (blind != 0 ? 1 : 0);
}

int fence_kill_blind(void)
{
    return blind;
}

size_t fence_count(const struct fence_instance *instance)
{
    return sweep(instance, process_matches, 0);
}

void fence_signal_others(const struct fence_instance *instance, int number)
{
    (void)sweep(instance, heads_others, number);
}

size_t fence_kill_round(struct fence_instance *instance)
{
    if (instance->postmaster > 0 && !instance->stopped) {
        (void)kill(instance->postmaster, SIGSTOP);
    }
    if (instance->cgroup_kill_fd >= 0) {
        (void)!pwrite(instance->cgroup_kill_fd, "1", 1, 0);
    } else if (!instance->stopped) {
        (void)sweep(instance, process_matches, SIGSTOP);
    }
    instance->stopped = true;
    size_t met = sweep(instance, process_matches, SIGKILL);
    if ((met == 0 || blind != 0) && instance->postmaster > 0) {
        (void)kill(instance->postmaster, SIGKILL);
    }
    return met;
}
