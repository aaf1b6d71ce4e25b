/* The child of pgctl/pg_disk.h: "<program> --pg-disk <pid of the agent> <data_dir> [NAME=PATH]".
 *
 * A thread for each file system tries to write, again and again; it may stay in a system call for
 * as long as the disk likes. The main thread touches no disk: twice in a second it says on standard
 * output how each of them fares, and ends when standard input does. Which file systems there are is
 * looked up by the data directory's thread, after a write of its own that went well.
 *
 * Only one child lives for a data directory, for a stuck one outlives its agent: a name in the
 * abstract space of Unix sockets is held for as long as the process is there. Who finds it taken
 * says that the data directory is stalled. */
#include "pgctl/pg_disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum {
    PROBE_EVERY_MS = 1000,
    REPORT_EVERY_MS = 500,
    PROBE_BYTES = 8192,
    STACK_BYTES = 256 * 1024,
};

struct place {
    char name[PG_DISK_PLACE_BYTES];
    char path[PG_PATH_BYTES];
    dev_t dev;
    atomic_bool used;         /* set last, when the rest is there */
    _Atomic int64_t began_ms; /* 0 = no write is under way */
    atomic_int errno_value;
    _Atomic uint64_t free_bytes;
    atomic_bool tried; /* once at least */
};

static struct place places[PG_DISK_PLACES_MAX];
static const char *more; /* "NAME=PATH" */

static int64_t now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* 0 or errno. */
static int sync_directory(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = fd < 0 || fsync(fd) != 0 ? errno : 0;
    if (fd >= 0) {
        (void)close(fd);
    }
    return rc;
}

static int try_write(const char *path)
{
    static const char block[PROBE_BYTES] = {1};
    int fd = open(path, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0) {
        bool unknown_here = errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL;
        return unknown_here ? sync_directory(path) : errno;
    }
    errno = 0;
    bool written = write(fd, block, sizeof block) == (ssize_t)sizeof block;
    int rc = !written && errno == 0 ? ENOSPC : 0; /* less than was asked for */
    rc = !written && rc == 0 ? errno : rc;
    if (rc == 0 && fdatasync(fd) != 0) {
        rc = errno;
    }
    if (close(fd) != 0 && rc == 0) {
        rc = errno;
    }
    return rc;
}

static void probe(struct place *place)
{
    struct statvfs found = {0};

    atomic_store(&place->began_ms, now_ms());
    int rc = statvfs(place->path, &found) != 0 ? errno : 0;
    if (rc == 0) {
        atomic_store(&place->free_bytes, (uint64_t)found.f_bavail * found.f_frsize);
        rc = try_write(place->path);
    }
    atomic_store(&place->errno_value, rc);
    atomic_store(&place->tried, true);
    atomic_store(&place->began_ms, 0);
}

static bool start_thread(void *(*run)(void *), struct place *place)
{
    pthread_attr_t attributes;
    pthread_t thread;

    (void)pthread_attr_init(&attributes);
    (void)pthread_attr_setstacksize(&attributes, STACK_BYTES);
    (void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    int rc = pthread_create(&thread, &attributes, run, place);
    (void)pthread_attr_destroy(&attributes);
    return rc == 0;
}

/* Ends when its directory is gone: a tablespace that was dropped, a pg_wal that moved. */
static void *watch(void *arg)
{
    struct place *place = arg;
    do {
        probe(place);
        (void)poll(NULL, 0, PROBE_EVERY_MS);
    } while (atomic_load(&place->errno_value) != ENOENT);
    atomic_store(&place->used, false);
    return NULL;
}

/* A directory on a file system that nobody looks at yet gets a thread. */
static void add(const char *name, const char *path)
{
    struct stat found;
    struct place *place = NULL;

    if (stat(path, &found) != 0 || !S_ISDIR(found.st_mode)) {
        return;
    }
    for (size_t i = 0; i < PG_DISK_PLACES_MAX; i++) {
        if (!atomic_load(&places[i].used)) {
            place = place == NULL ? &places[i] : place;
        } else if (places[i].dev == found.st_dev) {
            return;
        }
    }
    if (place == NULL) {
        return; /* more than PG_DISK_PLACES_MAX file systems: the first ones are looked at */
    }
    (void)snprintf(place->name, sizeof place->name, "%s", name);
    (void)snprintf(place->path, sizeof place->path, "%s", path);
    place->dev = found.st_dev;
    atomic_store(&place->tried, false);
    atomic_store(&place->began_ms, 0);
    atomic_store(&place->used, true);
    if (!start_thread(watch, place)) {
        atomic_store(&place->used, false);
    }
}

static void look_for_places(const char *data_dir)
{
    char path[PG_PATH_BYTES + 64];
    char name[PG_DISK_PLACE_BYTES];

    (void)snprintf(path, sizeof path, "%s/pg_wal", data_dir);
    add("pg_wal", path);
    (void)snprintf(path, sizeof path, "%s/pg_tblspc", data_dir);
    DIR *tablespaces = opendir(path);
    struct dirent *entry;
    while (tablespaces != NULL && (entry = readdir(tablespaces)) != NULL) {
        if (entry->d_name[0] >= '0' && entry->d_name[0] <= '9') {
            (void)snprintf(path, sizeof path, "%s/pg_tblspc/%.40s", data_dir, entry->d_name);
            (void)snprintf(name, sizeof name, "+tablespace %.12s", entry->d_name);
            add(name, path);
        }
    }
    if (tablespaces != NULL) {
        (void)closedir(tablespaces);
    }
    const char *equals = more == NULL ? NULL : strchr(more, '=');
    if (equals != NULL) {
        (void)snprintf(name, sizeof name, "+%.*s", (int)(equals - more), more);
        add(name, equals + 1);
    }
}

static void *watch_data(void *arg)
{
    struct place *data = arg;
    struct stat found;
    for (;;) {
        probe(data);
        if (atomic_load(&data->errno_value) == 0 && stat(data->path, &found) == 0) {
            data->dev = found.st_dev;
            look_for_places(data->path);
        }
        (void)poll(NULL, 0, PROBE_EVERY_MS);
    }
    return NULL;
}

/* --- the main thread -------------------------------------------------------------------------- */

/* False: a process of before has it still. */
static bool take_name(const char *data_dir)
{
    static int fd = -1;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    uint64_t hash = 14695981039346656037U; /* FNV-1a */

    for (const char *at = data_dir; *at != '\0'; at++) {
        hash = (hash ^ (uint8_t)*at) * 1099511628211U;
    }
    if (fd < 0) {
        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    }
    int len = snprintf(address.sun_path + 1, sizeof address.sun_path - 1,
                       "pgquorum-disk-%u-%016" PRIx64, (unsigned)geteuid(), hash);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len);
    return fd < 0 || bind(fd, (const struct sockaddr *)&address, size) == 0 || errno != EADDRINUSE;
}

/* One write: at most PIPE_BUF, so whole or not at all. A reader that does not read loses reports.
 */
static void report(int64_t stuck_ms)
{
    char text[PG_DISK_PLACES_MAX * 96 + 8];
    size_t len = 0;
    int64_t now = now_ms();

    for (size_t i = 0; i < PG_DISK_PLACES_MAX; i++) {
        struct place *place = &places[i];
        int64_t began = atomic_load(&place->began_ms);
        int64_t busy_ms = began == 0 ? stuck_ms : now - began;
        if (!atomic_load(&place->used) || (!atomic_load(&place->tried) && busy_ms == 0)) {
            continue;
        }
        len += (size_t)snprintf(text + len, sizeof text - len, "%s: %d %" PRId64 " %" PRIu64 "\n",
                                place->name, atomic_load(&place->errno_value), busy_ms,
                                atomic_load(&place->free_bytes));
    }
    len += (size_t)snprintf(text + len, sizeof text - len, "end\n");
    (void)!write(STDOUT_FILENO, text, len);
}

static bool is_left_alone(int wait_ms)
{
    struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
    return poll(&in, 1, wait_ms) > 0; /* nobody ever writes: it was closed */
}

static void run(const char *data_dir)
{
    int64_t began_ms = now_ms();
    struct place *data = &places[0];

    (void)snprintf(data->name, sizeof data->name, "data directory");
    (void)snprintf(data->path, sizeof data->path, "%s", data_dir);
    atomic_store(&data->used, true);
    while (!take_name(data_dir)) {
        report(now_ms() - began_ms);
        if (is_left_alone(REPORT_EVERY_MS)) {
            return;
        }
    }
    if (!start_thread(watch_data, data)) {
        return;
    }
    while (!is_left_alone(REPORT_EVERY_MS)) {
        report(0);
    }
}

void pg_disk_main(int argc, char **argv)
{
    if (argc < 4 || strcmp(argv[1], "--pg-disk") != 0) {
        return;
    }
    char *end;
    long parent = strtol(argv[2], &end, 10);
    /* The agent may have died before prctl: then the parent is another one already. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || *end != '\0' || getppid() != (pid_t)parent) {
        _exit(1);
    }
    (void)signal(SIGPIPE, SIG_IGN);
    (void)fcntl(STDOUT_FILENO, F_SETFL, fcntl(STDOUT_FILENO, F_GETFL) | O_NONBLOCK);
    more = argc > 4 ? argv[4] : NULL;
    run(argv[3]);
    _exit(0);
}
