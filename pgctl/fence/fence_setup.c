/* Everything that may fail for want of memory, descriptors or rights is done here, at start, when
 * it can still be refused. Rights that only make the fence stronger (locked memory, real time, no
 * OOM) are taken where they are given, and their absence is part of the status. */
#include "pgctl/fence/fence_setup.h"

#include "base/lease_clock.h"
#include "base/log_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define OOM_NEVER      "-1000"
#define RING_BYTES     16384
#define SAY_NOTE_BYTES 64
#define LAST_WORDS_MS  1000 /* at the end: nothing is left to be killed then */

bool fence_file_write(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (fd >= 0) {
        (void)close(fd);
    }
    return done;
}

static void file_read(const char *path, char *ret_text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd >= 0 ? read(fd, ret_text, size - 1) : 0;
    ret_text[len > 0 ? len : 0] = '\0';
    if (fd >= 0) {
        (void)close(fd);
    }
}

/* Sealed at its size: a page that somebody truncates would end its reader with SIGBUS. */
static bool page_make(struct fence_setup *setup)
{
    char path[64];

    setup->page_fd = memfd_create("pgquorum-fence", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (setup->page_fd < 0 || ftruncate(setup->page_fd, FENCE_PAGE_BYTES) != 0 ||
        fcntl(setup->page_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
        return false;
    }
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", setup->page_fd);
    setup->page_ro_fd = open(path, O_RDONLY | O_CLOEXEC);
    void *page =
        mmap(NULL, FENCE_PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, setup->page_fd, 0);
    if (setup->page_ro_fd < 0 || page == MAP_FAILED) {
        return false;
    }
    setup->page = page;
    fence_page_init(setup->page);
    return true;
}

static bool lock_take(struct fence_setup *setup, const char *runtime_dir)
{
    char path[FENCE_PATH_BYTES + sizeof FENCE_LOCK_NAME];

    (void)snprintf(path, sizeof path, "%s/%s", runtime_dir, FENCE_LOCK_NAME);
    setup->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    return setup->lock_fd >= 0 && flock(setup->lock_fd, LOCK_EX | LOCK_NB) == 0;
}

/* Under the lock: a socket that is there belongs to a dead fence. */
static bool socket_listen(struct fence_setup *setup, const char *runtime_dir)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int len = snprintf(setup->socket_path, sizeof setup->socket_path, "%s/%s", runtime_dir,
                       FENCE_SOCKET_NAME);

    if (len < 0 || (size_t)len >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return false;
    }
    memcpy(address.sun_path, setup->socket_path, (size_t)len + 1);
    (void)unlink(setup->socket_path);
    setup->listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return setup->listen_fd >= 0 &&
           bind(setup->listen_fd, (const struct sockaddr *)&address, sizeof address) == 0 &&
           listen(setup->listen_fd, 4) == 0;
}

/* Signals arrive in the loop. Those that it does nothing at stay blocked for good: neither a closed
 * pipe nor a terminal that goes away ends the fence, nor what is meant for the agent and sent to
 * all of its unit. */
static bool signals_take(struct fence_setup *setup)
{
    sigset_t taken;

    (void)sigemptyset(&taken);
    (void)sigaddset(&taken, SIGCHLD);
    (void)sigaddset(&taken, SIGTERM);
    (void)sigaddset(&taken, SIGINT);
    (void)sigaddset(&taken, SIGHUP);
    (void)sigaddset(&taken, SIGPIPE);
    (void)sigaddset(&taken, SIGUSR1);
    (void)sigaddset(&taken, SIGUSR2);
    if (sigprocmask(SIG_SETMASK, &taken, NULL) != 0) {
        return false;
    }
    setup->signal_fd = signalfd(-1, &taken, SFD_CLOEXEC | SFD_NONBLOCK);
    return setup->signal_fd >= 0;
}

static void strengthen(struct fence_setup *setup)
{
    const struct sched_param param = {.sched_priority = FENCE_REAL_TIME_PRIO};

    file_read("/proc/self/oom_score_adj", setup->oom_before, sizeof setup->oom_before);
    setup->oom_protected = fence_file_write("/proc/self/oom_score_adj", OOM_NEVER);
    /* Neither is inherited: the flag resets the schedule on fork, locks are never passed on. */
    setup->real_time = sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &param) == 0;
    setup->memory_locked = mlockall(MCL_CURRENT | MCL_FUTURE) == 0;
}

/* --- words ------------------------------------------------------------------------------------ */

static struct log_writer writer;

static bool words_open(void)
{
    static unsigned char ring[RING_BYTES];
    static _Alignas(16) unsigned char stack[LOG_WRITER_STACK_BYTES];
    const struct log_writer_config config = {
        .ring = ring, .ring_bytes = sizeof ring, .stack = stack, .stack_bytes = sizeof stack};

    errno = log_writer_start(&writer, &config);
    return errno == 0;
}

void fence_say(const char *fmt, ...)
{
    static unsigned long lost_count;
    char line[512] = "pgquorum-fence: ";
    size_t len = strlen(line);
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(line + len, sizeof line - len - SAY_NOTE_BYTES, fmt, args);
    va_end(args);
    len = strlen(line);
    lost_count += log_writer_take_lost(&writer);
    if (lost_count > 0) {
        (void)snprintf(line + len, SAY_NOTE_BYTES, " dropped_lines=%lu", lost_count);
        len = strlen(line);
    }
    line[len] = '\n';
    lost_count = log_writer_put(&writer, line, len + 1) ? 0 : lost_count + 1;
}

/* --- life ------------------------------------------------------------------------------------- */

bool fence_setup_open(struct fence_setup *setup, const char *runtime_dir, char *reason,
                      size_t reason_size)
{
    struct stat st;
    const char *step = "";

    setup->page_fd = setup->page_ro_fd = setup->lock_fd = setup->listen_fd = setup->signal_fd = -1;
    (void)setsid();
    (void)umask(077);
    errno = 0;
    if (runtime_dir[0] != '/' || strlen(runtime_dir) >= FENCE_PATH_BYTES ||
        lstat(runtime_dir, &st) != 0 || !S_ISDIR(st.st_mode) || st.st_uid != geteuid() ||
        (st.st_mode & 077) != 0) {
        step =
            "the runtime directory must be an absolute path of a directory of ours with mode 0700";
    } else if (!lock_take(setup, runtime_dir)) {
        step = "another fence runs in the runtime directory";
    } else if (!page_make(setup)) {
        step = "making the page";
    } else if (!socket_listen(setup, runtime_dir)) {
        step = "listening";
    } else if (!signals_take(setup)) {
        step = "taking signals";
    } else if (!words_open()) {
        step = "making the thread that writes to the log";
    } else if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0 || chdir("/") != 0) {
        step = "becoming a subreaper";
    } else {
        strengthen(setup);
        return true;
    }
    (void)snprintf(reason, reason_size, "'%s': %s%s%s", runtime_dir, step, errno == 0 ? "" : ": ",
                   errno == 0 ? "" : strerror(errno));
    fence_setup_close(setup);
    return false;
}

void fence_setup_close(struct fence_setup *setup)
{
    (void)log_writer_flush(&writer, LAST_WORDS_MS);
    if (setup->listen_fd >= 0) {
        (void)unlink(setup->socket_path); /* still under the lock, which ends with the process */
    }
}

/* --- time ------------------------------------------------------------------------------------ */

static int64_t read_ns(void *arg, clockid_t id)
{
    struct timespec now;
    (void)arg;
    (void)clock_gettime(id, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t fence_lease_now_ms(void)
{
    return lease_clock_ns(read_ns, NULL) / 1000000;
}
