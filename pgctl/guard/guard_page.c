/* The mapping, and the comparison that decides. */
#include "pgctl/guard/guard_page.h"

#include "base/lease_clock.h"
#include "pgctl/fence.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum { NS_PER_MS = 1000000 };

const char *const guard_page_variable = FENCE_ENV_PAGE_FD;

static const struct fence_page *page;

static bool refuse(char *why, size_t why_bytes, const char *what)
{
    (void)snprintf(why, why_bytes, "%s", what);
    return false;
}

static bool number_of(const char *text, int *ret_fd)
{
    char *end = NULL;

    errno = 0;
    long number = strtol(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || number < 0 || number > INT32_MAX) {
        return false;
    }
    *ret_fd = (int)number;
    return true;
}

bool guard_page_open(const char *fd_text, char *why, size_t why_bytes)
{
    int fd = -1;
    struct stat about;
    struct fence_lease lease;

    if (!number_of(fd_text, &fd)) {
        return refuse(why, why_bytes, "it is no number of a descriptor");
    }
    if (fstat(fd, &about) != 0) {
        return refuse(why, why_bytes, strerror(errno));
    }
    if (about.st_size < FENCE_PAGE_BYTES) { /* a look beyond its end would be SIGBUS */
        return refuse(why, why_bytes, "what that is of is too small for a page");
    }
    void *mapped = mmap(NULL, FENCE_PAGE_BYTES, PROT_READ, MAP_SHARED, fd, 0);
    if (mapped == MAP_FAILED) {
        return refuse(why, why_bytes, strerror(errno));
    }
    if (!fence_page_read(mapped, &lease)) {
        (void)munmap(mapped, FENCE_PAGE_BYTES);
        return refuse(why, why_bytes, "that is no page, or of another layout");
    }
    page = mapped;
    return true;
}

static int64_t read_ns(void *arg, clockid_t id)
{
    struct timespec now = {0};

    (void)arg;
    (void)clock_gettime(id, &now); /* these clocks are there wherever the fence runs */
    return (int64_t)now.tv_sec * 1000 * NS_PER_MS + now.tv_nsec;
}

struct guard_look guard_page_look(void)
{
    struct guard_look look = {.verdict = GUARD_MAY_COMMIT};
    struct fence_lease lease;

    if (!fence_page_read(page, &lease)) {
        look.verdict = GUARD_UNREADABLE;
        return look;
    }
    if (lease.epoch.revision == 0) {
        return look;
    }
    int64_t now_ms = lease_clock_ns(read_ns, NULL) / NS_PER_MS;
    bool soft = lease.soft_ms != FENCE_NO_DEADLINE && now_ms >= lease.soft_ms;
    bool hard = lease.deadline_ms != FENCE_NO_DEADLINE && now_ms >= lease.deadline_ms;
    if (soft || hard) {
        look.verdict = GUARD_PAST;
        look.cluster = lease.epoch.cluster;
        look.revision = lease.epoch.revision;
        look.late_ms = soft && lease.soft_ms >= 0 ? now_ms - lease.soft_ms : -1;
    }
    return look;
}
