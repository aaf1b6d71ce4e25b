/* Many clients of the listener at a time, none of which has to wait for another. Included by one
 * source. */
#ifndef TESTS_UNIT_RAFT_ETCD_HOSTILE_FIXTURE_H
#define TESTS_UNIT_RAFT_ETCD_HOSTILE_FIXTURE_H

#include "server_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>

/* --- memory ----------------------------------------------------------------------------------- */

#ifdef __SANITIZE_ADDRESS__
static const bool memory_is_measured = false; /* what is freed is kept, to find who uses it */
#else
static const bool memory_is_measured = true;
#endif

static inline size_t anonymous_kb(void)
{
    char line[128];
    size_t kb = 0;
    FILE *file = fopen("/proc/self/status", "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL) {
        (void)sscanf(line, "RssAnon: %zu", &kb);
    }
    (void)fclose(file);
    return kb;
}

/* --- connections ------------------------------------------------------------------------------ */

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

/* --- HTTP/2 ----------------------------------------------------------------------------------- */

static inline void put_frame(struct buf *out, uint8_t type, uint8_t flags, struct span payload)
{
    const uint8_t head[] = {(uint8_t)(payload.len >> 16),
                            (uint8_t)(payload.len >> 8),
                            (uint8_t)payload.len,
                            type,
                            flags,
                            0,
                            0,
                            0,
                            1};
    buf_put(out, head, sizeof head);
    buf_put_span(out, payload);
}

/* HPACK: literal, never indexed, no Huffman. */
static inline void put_header(struct buf *out, const char *name, const char *value)
{
    buf_put_u8(out, 0x10);
    buf_put_u8(out, (uint8_t)strlen(name));
    buf_put_str(out, name);
    buf_put_u8(out, (uint8_t)strlen(value));
    buf_put_str(out, value);
}

static inline void put_request(struct buf *out, const char *method, const char *path,
                               const char *type, struct span body)
{
    static const char hello[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
    struct buf head = BUF_INIT;
    put_header(&head, ":method", method);
    put_header(&head, ":scheme", "http");
    put_header(&head, ":path", path);
    put_header(&head, "content-type", type);
    buf_put(out, hello, sizeof hello - 1);
    put_frame(out, 1, body.len > 0 ? 4 : 5, buf_span(&head));
    if (body.len > 0) {
        put_frame(out, 0, 1, body);
    }
    buf_free(&head);
}

/* Whether a head that is the whole answer has come: the refusal of a call. */
static inline bool was_refused(int fd)
{
    static char text[4096];
    ssize_t len = hear(fd, text, sizeof text);
    const uint8_t *bytes = (const uint8_t *)text;
    for (ssize_t at = 0; at + 9 <= len;) {
        if (bytes[at + 3] == 1 && (bytes[at + 4] & 1) != 0) {
            return true;
        }
        at += 9 + ((ssize_t)bytes[at] << 16 | (ssize_t)bytes[at + 1] << 8 | bytes[at + 2]);
    }
    return false;
}

#endif
