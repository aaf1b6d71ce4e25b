/* A sign of life proves what it comes from: it is sent by a timer of the loop that does the work,
 * never by a thread of its own. A datagram that is not taken (the manager is executed anew, its
 * queue is full) is lost like one of a loop that was late; the next one comes within a part of the
 * time. That the start is over is said until it is taken. */
#include "agent/notify.h"

#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { NOTIFY_AGAIN_MS = 500 };

static bool address_take(struct notify *notify, const char *name)
{
    size_t len = strlen(name);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if ((name[0] != '/' && name[0] != '@') || len < 2 || len >= sizeof address.sun_path) {
        log_warning("NOTIFY_SOCKET '%s' is neither a path nor an abstract name, or too long: the "
                    "service manager is told nothing, ignoring",
                    name);
        return false;
    }
    memcpy(address.sun_path, name, len);
    if (name[0] == '@') {
        address.sun_path[0] = '\0';
    }
    notify->address = address;
    notify->address_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    return true;
}

/* 0: no signs of life are wanted, or not ours. */
static uint64_t watched_ms(void)
{
    const char *time = getenv("WATCHDOG_USEC");
    const char *pid = getenv("WATCHDOG_PID");
    char *end = NULL;
    if (time == NULL || time[0] < '0' || time[0] > '9' ||
        (pid != NULL && strtoll(pid, NULL, 10) != (long long)getpid())) {
        return 0;
    }
    errno = 0;
    unsigned long long us = strtoull(time, &end, 10);
    return errno == 0 && *end == '\0' && us < INT64_MAX ? (uint64_t)(us / 1000) : 0;
}

static int say(const struct notify *notify, const char *text)
{
    ssize_t sent = notify->address_len == 0
                       ? 0
                       : sendto(notify->fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT,
                                (const struct sockaddr *)&notify->address, notify->address_len);
    return sent < 0 ? errno : 0;
}

static void close_socket(struct notify *notify)
{
    if (notify->fd >= 0) {
        (void)close(notify->fd);
    }
    notify->address_len = 0;
    notify->watched = false;
}

static void on_timer(uv_timer_t *timer)
{
    struct notify *notify = timer->data;
    if (notify->ready_lost) {
        notify->ready_lost = say(notify, "READY=1") != 0;
    } else if (notify->watched) {
        (void)say(notify, "WATCHDOG=1");
    } else {
        (void)uv_timer_stop(timer);
    }
}

void notify_ready(struct notify *notify, uv_loop_t *loop)
{
    const char *name = getenv("NOTIFY_SOCKET");
    if (name == NULL || name[0] == '\0' || !address_take(notify, name)) {
        return;
    }
    uint64_t ms = watched_ms();
    notify->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (notify->fd < 0 || uv_timer_init(loop, &notify->timer) != 0) {
        log_warning("telling the service manager anything: no socket or timer, ignoring");
        close_socket(notify);
        return;
    }
    notify->watched = ms > 0;
    notify->timer.data = notify;
    int errnum = say(notify, "READY=1");
    notify->ready_lost = errnum != 0;
    if (errnum != 0) {
        log_warning("telling the service manager at '%s' that the start is over: %s, retrying",
                    name, strerror(errnum));
    }
    if (notify->ready_lost || notify->watched) {
        uint64_t part_ms = notify->watched ? ms / NOTIFY_PARTS : NOTIFY_AGAIN_MS;
        (void)uv_timer_start(&notify->timer, on_timer, part_ms > 0 ? part_ms : 1,
                             part_ms > 0 ? part_ms : 1);
    }
}

void notify_reloading(struct notify *notify, bool does)
{
    char text[64] = "READY=1";
    struct timespec now; /* systemd compares it with its own, of this very clock */
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    if (does) {
        (void)snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
                       (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000);
    }
    (void)say(notify, text);
}

void notify_stopping(struct notify *notify)
{
    notify->ready_lost = false; /* too late for it */
    (void)say(notify, "STOPPING=1");
}

void notify_close(struct notify *notify)
{
    if (notify->address_len != 0) {
        uv_close((uv_handle_t *)&notify->timer, NULL);
        close_socket(notify);
    }
}
