/* Does the postmaster still take anybody? It is sent an SSLRequest, and forks a process that
 * answers one byte, before it asks who that is (ProcessStartupPacket; on a Unix socket the byte is
 * 'N'). So neither locks on the catalogs that a login reads, nor a server that is full or recovers,
 * nor pg_hba.conf have to do with it. PostgreSQL logs nothing of it but what log_connections says
 * of each connection that is received.
 *
 * A socket and a clock are all that is needed: it is looked again and again whether the byte is
 * there. Where it was not asked, for want of a descriptor or of an address, that says nothing of
 * the postmaster, and is neither ERR_TIMEOUT nor ERR_CLOSED. */
#include "base/mem.h"
#include "pgctl/jobs/pg_private.h"

#include <errno.h>
#include <netdb.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { LOOK_MS = 10 };

enum { PING_BEGIN, PING_RESOLVED, PING_TALK };

struct ping {
    bool second; /* the other one of its two addresses */
    char host[PG_PATH_BYTES];
    uint16_t port;
    struct sockaddr_storage to;
    socklen_t to_len;
    int fd; /* -1 = not made, or it could not be connected at once */
    bool sent;
};

static int resolve(void *arg, struct error *err)
{
    struct ping *ping = arg;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    char port[8];

    (void)snprintf(port, sizeof port, "%u", ping->port);
    int rc = getaddrinfo(ping->host, port, &hints, &found);
    if (rc != 0) {
        return error_set(err, ERR_NOT_FOUND, "looking up '%s': %s", ping->host, gai_strerror(rc));
    }
    memcpy(&ping->to, found->ai_addr, found->ai_addrlen);
    ping->to_len = found->ai_addrlen;
    freeaddrinfo(found);
    return 0;
}

static void begin(struct pg_task *task)
{
    struct ping *ping = task->data;
    struct pg_conn_target target =
        pg_local_target(task->pg, task->pg->config.local_way, ping->second);

    ping->port = target.port;
    (void)snprintf(ping->host, sizeof ping->host, "%s", target.host);
    task->state = PING_RESOLVED;
    if (target.host[0] != '/') {
        pg_task_work(task, resolve, ping);
        return;
    }
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s/.s.PGSQL.%u", ping->host,
                   ping->port);
    memcpy(&ping->to, &address, sizeof address);
    ping->to_len = sizeof address;
    pg_task_again(task);
}

static void hang_up(struct ping *ping)
{
    if (ping->fd >= 0) {
        (void)close(ping->fd);
    }
    ping->fd = -1;
    ping->sent = false;
}

/* What connecting may fail by that is about this process, or this machine. */
static bool is_ours(int errnum)
{
    return errnum == EMFILE || errnum == ENFILE || errnum == ENOBUFS || errnum == ENOMEM ||
           errnum == EADDRNOTAVAIL;
}

static int not_asked(struct error *err, const char *doing, int errnum)
{
    return error_set(err, ERR_LIMIT, "%s: %s", doing, strerror(errnum));
}

/* 0: the byte is there. ERR_BUSY: not yet. */
static int talk(struct ping *ping, struct error *err)
{
    static const uint8_t request[] = {0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f};
    char byte;

    errno = 0;
    if (ping->fd < 0) {
        ping->fd = socket(ping->to.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (ping->fd < 0) {
            return not_asked(err, "making a socket", errno);
        }
        int rc = connect(ping->fd, (const struct sockaddr *)&ping->to, ping->to_len);
        if (rc != 0 && errno == EAGAIN) { /* more wait there than the kernel keeps for it */
            hang_up(ping);
            return ERR_BUSY;
        }
        if (rc != 0 && is_ours(errno)) {
            return not_asked(err, "connecting", errno);
        }
        if (rc != 0 && errno != EINPROGRESS) {
            return error_set(err, ERR_CLOSED, "connecting: %s", strerror(errno));
        }
    }
    if (!ping->sent) {
        ping->sent = send(ping->fd, request, sizeof request, MSG_NOSIGNAL) > 0;
    }
    ssize_t len = ping->sent ? recv(ping->fd, &byte, 1, 0) : -1;
    if (len > 0) {
        return 0;
    }
    if (len < 0 && (errno == EAGAIN || errno == ENOTCONN)) {
        return ERR_BUSY;
    }
    return error_set(err, ERR_CLOSED, "%s",
                     len == 0 ? "closed without an answer" : strerror(errno));
}

static void ping_step(struct pg_task *task)
{
    struct ping *ping = task->data;

    if (task->state == PING_BEGIN) {
        begin(task);
        return;
    }
    if (task->rc == 0 && task->state == PING_RESOLVED && pg_task_expired(task)) {
        task->rc = error_set(&task->err, ERR_LIMIT, "looking up '%s' took too long", ping->host);
    }
    if (task->rc == 0) {
        task->state = PING_TALK;
        task->rc = talk(ping, &task->err);
    }
    if (task->rc == 0) {
        pg_task_end(task);
    } else if (task->rc == ERR_BUSY && !pg_task_expired(task)) {
        pg_task_wait(task, LOOK_MS);
    } else if (task->rc == ERR_BUSY) {
        pg_task_fail_with(task, ERR_TIMEOUT, "a new connection to the local server: no answer");
    } else if (!ping->second && pg_local_has_second(task->pg, task->pg->config.local_way)) {
        hang_up(ping);
        ping->second = true;
        begin(task);
    } else {
        error_wrap(&task->err, "a new connection to the local server");
        pg_task_fail(task);
    }
}

static void ping_release(struct pg_task *task)
{
    hang_up(task->data);
}

int pg_instance_ping(struct pg_instance *instance, int64_t timeout_ms, pg_done_cb done, void *arg,
                     struct error *err)
{
    static const struct pg_task_ops ops = {
        .name = "ping", .step = ping_step, .release = ping_release};
    struct ping *ping = mem_new(struct ping);
    ping->fd = -1;
    int rc = pg_task_start(instance, &ops, ping, timeout_ms, done, arg, NULL, err);
    if (rc != 0) {
        mem_free(ping);
    }
    return rc;
}
