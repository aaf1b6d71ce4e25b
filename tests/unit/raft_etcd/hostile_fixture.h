/* Many clients of the listener at a time, none of which has to wait for another. Included by one
 * source. */
#ifndef TESTS_UNIT_RAFT_ETCD_HOSTILE_FIXTURE_H
#define TESTS_UNIT_RAFT_ETCD_HOSTILE_FIXTURE_H

#include "server_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>

/* Both ends of each connection are in this process. */
static inline void allow_connections(unsigned count)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    rlim_t wanted = 2 * (rlim_t)count + 256;
    assert_true(limit.rlim_max >= wanted);
    limit.rlim_cur = limit.rlim_cur < wanted ? wanted : limit.rlim_cur;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static inline void turn(unsigned times)
{
    for (unsigned i = 0; i < times; i++) {
        (void)uv_run(&rig.loop, UV_RUN_NOWAIT);
    }
}

/* Long enough for what comes from a timer of the fixture, every 5 ms. */
static inline void settle(void)
{
    for (unsigned i = 0; i < 20; i++) {
        (void)uv_run(&rig.loop, UV_RUN_ONCE);
    }
}

/* From 127.0.0.`host`; it does not block. */
static inline int dial(unsigned host)
{
    struct sockaddr_in from = {.sin_family = AF_INET};
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(etcd_server_port(server))};
    from.sin_addr.s_addr = htonl(0x7f000000U + host);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&from, sizeof from), 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&to, sizeof to), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    return fd;
}

/* What the socket takes. A server that has closed it takes nothing. */
static inline void tell_bytes(int fd, const void *bytes, size_t len)
{
    (void)send(fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static inline void tell_text(int fd, const char *text)
{
    tell_bytes(fd, text, strlen(text));
}

/* What is there to be read, terminated; -1: it was closed, or reset. */
static inline ssize_t hear(int fd, char *text, size_t size)
{
    size_t at = 0;
    ssize_t len = 1;
    while (len > 0 && at + 1 < size) {
        len = recv(fd, text + at, size - 1 - at, MSG_DONTWAIT);
        at += len > 0 ? (size_t)len : 0;
    }
    text[at] = '\0';
    bool is_over = len == 0 || (len < 0 && errno != EAGAIN);
    return at == 0 && is_over ? -1 : (ssize_t)at;
}

/* A health check on a connection of its own is answered within some turns of the loop. */
static inline void is_healthy(unsigned host)
{
    static const char request[] = "GET /health HTTP/1.0\r\n\r\n";
    char text[1024] = "";
    int fd = dial(host);
    tell_text(fd, request);
    ssize_t len = 0;
    for (unsigned i = 0; i < 400 && len == 0; i++) {
        (void)uv_run(&rig.loop, UV_RUN_ONCE); /* the fixture's timer turns it every 5 ms */
        len = hear(fd, text, sizeof text);
    }
    (void)close(fd);
    says(text, "{\"health\":\"true\"");
}

#endif
