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
    LATE_MS = 1500, /* a report that comes later: the process stood still, not the disk */
    PROBE_BYTES = 8192,
    STACK_BYTES = 256 * 1024,
    HOLDER_BACKLOG = 1024, /* of who asks; the holder accepts nobody */
};

struct place {
    char name[PG_DISK_PLACE_BYTES];
    char path[PG_PATH_BYTES];
    _Atomic uint64_t dev;
    atomic_bool used;         /* set last, when the rest is there */
    _Atomic int64_t began_ms; /* 0 = no write is under way */
    atomic_int errno_value;   /* EINPROGRESS until it was tried */
    _Atomic uint64_t free_bytes;
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
    struct stat directory = {0};

    atomic_store(&place->began_ms, now_ms());
    int rc = statvfs(place->path, &found) != 0 || stat(place->path, &directory) != 0 ? errno : 0;
    if (rc == 0) {
        atomic_store(&place->dev, directory.st_dev);
        atomic_store(&place->free_bytes, (uint64_t)found.f_bavail * found.f_frsize);
        rc = try_write(place->path);
    }
    atomic_store(&place->errno_value, rc);
    atomic_store(&place->began_ms, 0);
}

static bool start_thread(void *(*run)(void *), void *arg)
{
    pthread_attr_t attributes;
    pthread_t thread;

    (void)pthread_attr_init(&attributes);
    (void)pthread_attr_setstacksize(&attributes, STACK_BYTES);
    (void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    int rc = pthread_create(&thread, &attributes, run, arg);
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

static void *watch_data(void *arg)
{
    for (;;) {
        probe(arg);
        (void)poll(NULL, 0, PROBE_EVERY_MS);
    }
    return NULL;
}

/* --- the thread that looks for places --------------------------------------------------------- */

static bool is_watched(const char *name, uint64_t dev)
{
    for (size_t i = 0; i < PG_DISK_PLACES_MAX; i++) {
        bool same =
            strcmp(places[i].name, name) == 0 || (dev != 0 && atomic_load(&places[i].dev) == dev);
        if (atomic_load(&places[i].used) && same) {
            return true;
        }
    }
    return false;
}

/* A directory on a file system that nobody looks at yet gets a thread. It is told of while this
 * look lasts: one that does not come back is the first thing to know of that place. */
static void add(const char *name, const char *path)
{
    struct stat found;
    struct place *place = NULL;

    for (size_t i = 0; i < PG_DISK_PLACES_MAX && place == NULL; i++) {
        place = atomic_load(&places[i].used) ? NULL : &places[i];
    }
    if (place == NULL || is_watched(name, 0)) {
        return; /* more than PG_DISK_PLACES_MAX file systems: the first ones are looked at */
    }
    (void)snprintf(place->name, sizeof place->name, "%s", name);
    (void)snprintf(place->path, sizeof place->path, "%s", path);
    atomic_store(&place->dev, 0);
    atomic_store(&place->errno_value, EINPROGRESS);
    atomic_store(&place->free_bytes, 0);
    atomic_store(&place->began_ms, now_ms());
    atomic_store(&place->used, true);
    bool wanted = stat(path, &found) == 0 && S_ISDIR(found.st_mode) &&
                  !is_watched("", (uint64_t)found.st_dev);
    atomic_store(&place->dev, wanted ? (uint64_t)found.st_dev : 0);
    if (!wanted || !start_thread(watch, place)) {
        atomic_store(&place->used, false);
    }
}

/* What commits need comes first: a tablespace that does not answer keeps nobody from it. */
static void look_for_places(const char *data_dir)
{
    char path[PG_PATH_BYTES + 64];
    char name[PG_DISK_PLACE_BYTES];

    (void)snprintf(path, sizeof path, "%s/pg_wal", data_dir);
    add("pg_wal", path);
    const char *equals = more == NULL ? NULL : strchr(more, '=');
    if (equals != NULL) {
        (void)snprintf(name, sizeof name, "+%.*s", (int)(equals - more), more);
        add(name, equals + 1);
    }
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
}

static void *look(void *arg)
{
    const struct place *data = arg;
    for (;;) {
        (void)poll(NULL, 0, PROBE_EVERY_MS);
        if (atomic_load(&data->errno_value) == 0 && atomic_load(&data->began_ms) == 0) {
            look_for_places(data->path);
        }
    }
    return NULL;
}

/* --- the main thread -------------------------------------------------------------------------- */

static socklen_t name_of(const char *data_dir, struct sockaddr_un *ret_address)
{
    uint64_t hash = 14695981039346656037U; /* FNV-1a */

    for (const char *at = data_dir; *at != '\0'; at++) {
        hash = (hash ^ (uint8_t)*at) * 1099511628211U;
    }
    *ret_address = (struct sockaddr_un){.sun_family = AF_UNIX};
    int len = snprintf(ret_address->sun_path + 1, sizeof ret_address->sun_path - 1,
                       "pgquorum-disk-%u-%016" PRIx64, (unsigned)geteuid(), hash);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len);
}

/* A connection to the process of before that has the name still: it ends with that process, though
 * nobody there accepts it. -1 = there is none; any user may take a name, so only one that listens
 * and is of this user counts. */
static int connect_before(const struct sockaddr_un *address, socklen_t size)
{
    struct ucred holder;
    socklen_t len = sizeof holder;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    bool ours = fd >= 0 && connect(fd, (const struct sockaddr *)address, size) == 0 &&
                getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &holder, &len) == 0 &&
                holder.uid == geteuid();
    if (!ours && fd >= 0) {
        (void)close(fd);
    }
    return ours ? fd : -1;
}

/* Taken for as long as this process is there; -1, or a connection to who has it. */
static int take_name(const char *data_dir)
{
    static int fd = -1;
    struct sockaddr_un address;
    socklen_t size = name_of(data_dir, &address);

    if (fd < 0) {
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    }
    if (fd < 0 || bind(fd, (const struct sockaddr *)&address, size) == 0) {
        (void)!(fd < 0 || listen(fd, HOLDER_BACKLOG) == 0);
        return -1;
    }
    return errno == EADDRINUSE ? connect_before(&address, size) : -1;
}

static bool has_ended(int before)
{
    struct pollfd holder = {.fd = before, .events = POLLIN};
    return poll(&holder, 1, 0) > 0; /* nobody writes there */
}

/* One write: at most PIPE_BUF, so whole or not at all. A reader that does not read loses reports.
 */
static void report(int64_t stuck_since_ms)
{
    static int64_t reported_ms;
    static int64_t
        awake_since_ms; /* before that this process, and no disk, kept somebody waiting */
    char text[PG_DISK_PLACES_MAX * 96 + 8];
    size_t len = 0;
    int64_t now = now_ms();

    awake_since_ms = now - reported_ms > LATE_MS ? now : awake_since_ms;
    reported_ms = now;
    for (size_t i = 0; i < PG_DISK_PLACES_MAX; i++) {
        struct place *place = &places[i];
        int64_t began = atomic_load(&place->began_ms);
        began = began == 0 ? stuck_since_ms : began;
        began = began != 0 && began < awake_since_ms ? awake_since_ms : began;
        bool is_news = atomic_load(&place->errno_value) != EINPROGRESS ||
                       (began != 0 && now - began >= REPORT_EVERY_MS);
        if (!atomic_load(&place->used) || !is_news) {
            continue;
        }
        len += (size_t)snprintf(text + len, sizeof text - len, "%s: %d %" PRId64 " %" PRIu64 "\n",
                                place->name, atomic_load(&place->errno_value),
                                began == 0 ? 0 : now - began, atomic_load(&place->free_bytes));
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
    int before = take_name(data_dir);

    (void)snprintf(data->name, sizeof data->name, "data directory");
    (void)snprintf(data->path, sizeof data->path, "%s", data_dir);
    atomic_store(&data->errno_value, EINPROGRESS);
    atomic_store(&data->used, true);
    while (before >= 0) {
        report(began_ms);
        if (is_left_alone(REPORT_EVERY_MS)) {
            return;
        }
        if (has_ended(before)) {
            (void)close(before);
            before = take_name(data_dir);
        }
    }
    if (!start_thread(watch_data, data) || !start_thread(look, data)) {
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
