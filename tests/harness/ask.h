/* A plain blocking client of a server that runs in this process: it talks in a thread of libuv's
 * pool while the loop turns. Included by one source. */
#ifndef TESTS_HARNESS_ASK_H
#define TESTS_HARNESS_ASK_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>
#include <uv.h>

#include <cmocka.h>

enum { ASK_BYTES = 1 << 16, ASK_TIMEOUT_S = 20 };

struct ask {
    uv_work_t work;
    uint16_t port;
    int fd; /* -1 = a connection of its own, closed afterwards */
    const void *bytes;
    size_t len;
    const char *until; /* in what comes; NULL = until the server closes */
    char reply[ASK_BYTES];
    size_t reply_len;
    bool closed; /* the server has */
    bool done;
};

static inline int ask_connect(uint16_t port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct timeval limit = {.tv_sec = ASK_TIMEOUT_S};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) != 0 ||
        connect(fd, (const struct sockaddr *)&to, sizeof to) != 0) {
        fail_msg("no connection to port %u", port);
    }
    return fd;
}

static inline void ask_work(uv_work_t *work)
{
    struct ask *ask = work->data;
    const char *bytes = ask->bytes;
    size_t sent = 0;
    while (sent < ask->len) {
        ssize_t len = send(ask->fd, bytes + sent, ask->len - sent, MSG_NOSIGNAL);
        if (len <= 0) {
            break;
        }
        sent += (size_t)len;
    }
    while (ask->reply_len + 1 < sizeof ask->reply &&
           (ask->until == NULL ||
            memmem(ask->reply, ask->reply_len, ask->until, strlen(ask->until)) == NULL)) {
        ssize_t len =
            recv(ask->fd, ask->reply + ask->reply_len, sizeof ask->reply - 1 - ask->reply_len, 0);
        if (len <= 0) {
            ask->closed = len == 0;
            break;
        }
        ask->reply_len += (size_t)len;
    }
    ask->reply[ask->reply_len] = '\0';
}

static inline void ask_after(uv_work_t *work, int status)
{
    struct ask *ask = work->data;
    assert_int_equal(status, 0);
    ask->done = true;
}

/* Begins to talk; `ask->done` when it has ended. */
static inline void ask_start(uv_loop_t *loop, struct ask *ask)
{
    ask->work.data = ask;
    assert_int_equal(uv_queue_work(loop, &ask->work, ask_work, ask_after), 0);
}

static inline void ask_finish(uv_loop_t *loop, struct ask *ask)
{
    while (!ask->done) {
        (void)uv_run(loop, UV_RUN_ONCE);
    }
}

/* One request on a connection of its own, and everything that comes until the server closes it.
 * Valid until the next one. */
static inline const char *ask_text(uv_loop_t *loop, uint16_t port, const char *request)
{
    static struct ask ask;
    ask = (struct ask){
        .port = port, .fd = ask_connect(port), .bytes = request, .len = strlen(request)};
    ask_start(loop, &ask);
    ask_finish(loop, &ask);
    (void)close(ask.fd);
    assert_true(ask.closed);
    return ask.reply;
}

#endif
