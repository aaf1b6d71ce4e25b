/* What a service manager (systemd, Type=notify) is told by the datagrams of its protocol: that the
 * start is over, that the program is exchanged, that the end has begun, and, where it watches
 * (WatchdogSec=), that the loop still turns. Without one (NOTIFY_SOCKET is not set) all of it does
 * nothing.
 *
 * The environment is left as it is: a program that is executed in our place needs it. Children do
 * not get it (pgctl/proc/pg_env.c); PostgreSQL of Debian would speak for us otherwise. */
#ifndef AGENT_NOTIFY_H
#define AGENT_NOTIFY_H

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <uv.h>

/* Parts of the watchdog's time that pass between two signs of life. */
#define NOTIFY_PARTS 4

/* Zeroed, it has nobody to tell. */
struct notify {
    struct sockaddr_un address;
    socklen_t address_len; /* 0: nobody is told */
    int fd;                /* this and the timer are open while somebody is told */
    uv_timer_t timer;
    bool watched;
    bool ready_lost;
};

/* The start is over. From here on signs of life are sent from the loop, if they are wanted of this
 * very process. Once, before notify_close. A socket that cannot be used is told in the log once,
 * and tried again. `notify` stays where it is until the loop is closed. */
void notify_ready(struct notify *notify, uv_loop_t *loop);

/* The program is exchanged in place: the next one says that it is ready. False: it is not after
 * all.
 */
void notify_reloading(struct notify *notify, bool does);

/* The end has begun; it may take long, and signs of life go on. */
void notify_stopping(struct notify *notify);

/* Also of one that is zeroed or closed. The timer is closed when the loop has turned once more. */
void notify_close(struct notify *notify);

#endif
