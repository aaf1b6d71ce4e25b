/* What is served over HTTP, on a real port in front of a real group, and a client that speaks both
 * kinds of it. */
#ifndef TESTS_UNIT_RAFT_ETCD_HTTP_FIXTURE_H
#define TESTS_UNIT_RAFT_ETCD_HTTP_FIXTURE_H

#include "tests/unit/raft_etcd/service_fixture.h"

#include "base/net/http_exchange.h"
#include "base/net/http_port.h"
#include "raft/etcd/etcd_http.h"

#include <errno.h>
#include <nghttp2/nghttp2.h>

static struct http1_server *http1;
static struct http2_server *http2;
static struct http_exchange_http2 *exchanges;
static struct http_port *port;
static unsigned parts_stopped;

static void on_http(void *arg, struct http_exchange *exchange, const struct http1_request *request)
{
    (void)arg;
    etcd_http_serve(served[0].service, exchange, request);
}

static const struct http_face face = {.on_request = on_http};

static void on_http2(void *arg, struct http2_stream *stream, const struct http2_request *request)
{
    (void)arg;
    http_exchange_http2_serve(exchanges, stream, request);
}

static const struct http2_events http2_events = {.on_request = on_http2};

static void on_part_stopped(void *arg)
{
    (void)arg;
    parts_stopped++;
}

static void listen_on_port(void)
{
    struct net_addr listen = {.host = "127.0.0.1"};
    assert_int_equal(http1_server_start(&rig.loop, NULL, http_exchange_http1,
                                        (void *)(uintptr_t)&face, &http1, NULL),
                     0);
    http1_server_set_limits(http1, &etcd_http1_limits);
    assert_int_equal(http2_server_start(&rig.loop, &http2_events, NULL, &http2, NULL), 0);
    exchanges = http_exchange_http2_new(&rig.loop, &face, ETCD_HTTP_BODY_BYTES_MAX);
    assert_int_equal(http_port_start(&rig.loop, &listen, http1, http2, &port, NULL), 0);
    parts_stopped = 0;
}

static bool all_stopped(struct rig *of, void *arg)
{
    (void)of;
    (void)arg;
    return parts_stopped == 4;
}

static void close_port(void)
{
    http_port_stop(port, on_part_stopped, NULL);
    http1_server_stop(http1, on_part_stopped, NULL);
    http_exchange_http2_stop(exchanges, on_part_stopped, NULL);
    http2_server_stop(http2, on_part_stopped, NULL);
    wait_for(&rig, all_stopped, NULL, 5000, "the servers stop");
}

static int listen_with(size_t count)
{
    (void)signal(SIGPIPE, SIG_IGN);
    serve_all(count);
    listen_on_port();
    return 0;
}

/* For cmocka. */
static inline int listen_one(void **state)
{
    (void)state;
    return listen_with(1);
}

static inline int listen_three(void **state)
{
    (void)state;
    return listen_with(3);
}

static inline int listen_ends(void **state)
{
    (void)state;
    close_port();
    stop_all();
    return 0;
}

/* --- a client --------------------------------------------------------------------------------- */

struct reply {
    int fd;
    bool over_http2;
    nghttp2_session *session;
    struct buf raw;  /* HTTP/1: not looked at yet */
    struct buf head; /* "name: value\n" each, names in lower case */
    struct buf body;
    char status[8];
    bool headed;
    bool chunked;
    bool closed; /* all was said */
};

static inline int on_reply_header(nghttp2_session *session, const nghttp2_frame *frame,
                                  const uint8_t *name, size_t name_len, const uint8_t *value,
                                  size_t value_len, uint8_t flags, void *user)
{
    struct reply *reply = user;
    (void)session;
    (void)frame;
    (void)flags;
    if (name_len == 7 && memcmp(name, ":status", 7) == 0) {
        (void)snprintf(reply->status, sizeof reply->status, "%.*s", (int)value_len,
                       (const char *)value);
    } else {
        buf_printf(&reply->head, "%.*s: %.*s\n", (int)name_len, (const char *)name, (int)value_len,
                   (const char *)value);
    }
    reply->headed = true;
    return 0;
}

static inline int on_reply_data(nghttp2_session *session, uint8_t flags, int32_t id,
                                const uint8_t *data, size_t len, void *user)
{
    (void)session;
    (void)flags;
    (void)id;
    buf_put(&((struct reply *)user)->body, data, len);
    return 0;
}

static inline int on_reply_closed(nghttp2_session *session, int32_t id, uint32_t code, void *user)
{
    (void)session;
    (void)id;
    (void)code;
    ((struct reply *)user)->closed = true;
    return 0;
}

static inline void session_open(struct reply *reply)
{
    nghttp2_session_callbacks *callbacks;
    assert_int_equal(nghttp2_session_callbacks_new(&callbacks), 0);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_reply_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_reply_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_reply_closed);
    assert_int_equal(nghttp2_session_client_new(&reply->session, callbacks, reply), 0);
    nghttp2_session_callbacks_del(callbacks);
    assert_int_equal(nghttp2_submit_settings(reply->session, NGHTTP2_FLAG_NONE, NULL, 0), 0);
}

/* As much of it as there is room for; the loop takes it off the socket. */
static inline void put_all(int fd, const void *bytes, size_t len)
{
    const char *at = bytes;
    while (len > 0) {
        ssize_t sent = send(fd, at, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0) {
            assert_int_equal(errno, EAGAIN);
            (void)uv_run(&rig.loop, UV_RUN_NOWAIT);
            continue;
        }
        at += sent;
        len -= (size_t)sent;
    }
}

static inline void session_flush(struct reply *reply)
{
    const uint8_t *bytes = NULL;
    ssize_t len = nghttp2_session_mem_send(reply->session, &bytes);
    while (len > 0) {
        put_all(reply->fd, bytes, (size_t)len);
        len = nghttp2_session_mem_send(reply->session, &bytes);
    }
    assert_int_equal(len, 0);
}

struct said {
    struct span bytes;
    size_t at;
};

static inline ssize_t read_said(nghttp2_session *session, int32_t id, uint8_t *to, size_t size,
                                uint32_t *flags, nghttp2_data_source *source, void *user)
{
    struct said *said = source->ptr;
    size_t left = said->bytes.len - said->at;
    size_t len = left < size ? left : size;
    (void)session;
    (void)id;
    (void)user;
    if (len > 0) {
        memcpy(to, said->bytes.data + said->at, len);
        said->at += len;
    }
    if (said->at == said->bytes.len) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    }
    return (ssize_t)len;
}

static inline nghttp2_nv nv_of(const char *name, const char *value)
{
    return (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name,
                        .namelen = strlen(name),
                        .value = (uint8_t *)(uintptr_t)value,
                        .valuelen = strlen(value)};
}

static inline bool said_all(struct rig *of, void *arg)
{
    const struct said *said = arg;
    (void)of;
    return said->at == said->bytes.len;
}

static inline void ask_http2(struct reply *reply, const char *method, const char *path,
                             const char *name, const char *value, struct span body)
{
    struct said said = {.bytes = body};
    nghttp2_nv nvs[] = {nv_of(":method", method), nv_of(":scheme", "http"), nv_of(":path", path),
                        nv_of(":authority", "h"), nv_of(name, value)};
    nghttp2_data_provider data = {.source.ptr = &said, .read_callback = read_said};
    session_open(reply);
    int32_t id = nghttp2_submit_request(reply->session, NULL, nvs, name[0] == '\0' ? 4 : 5,
                                        body.len == 0 ? NULL : &data, NULL);
    assert_true(id > 0);
    session_flush(reply);
    assert_true(said_all(NULL, &said)); /* not more than the first window */
}

/* Asks on a connection of its own; `name` "": no header more. */
static inline void ask(struct reply *reply, bool over_http2, const char *method, const char *path,
                       const char *name, const char *value, struct span body)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(http_port_number(port)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct buf head = BUF_INIT;
    *reply = (struct reply){.over_http2 = over_http2};
    reply->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(reply->fd >= 0);
    assert_int_equal(connect(reply->fd, (struct sockaddr *)&address, sizeof address), 0);
    if (over_http2) {
        ask_http2(reply, method, path, name, value, body);
        return;
    }
    buf_printf(&head, "%s %s HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\nConnection: close\r\n",
               method, path, body.len);
    if (name[0] != '\0') {
        buf_printf(&head, "%s: %s\r\n", name, value);
    }
    buf_put_str(&head, "\r\n");
    put_all(reply->fd, head.data, head.len);
    put_all(reply->fd, body.data, body.len);
    buf_free(&head);
}

/* The head of HTTP/1 in the same form as that of HTTP/2. */
static inline void take_reply_head(struct reply *reply)
{
    char *text = (char *)(uintptr_t)buf_str(&reply->raw);
    char *end = strstr(text, "\r\n\r\n");
    if (end == NULL) {
        return;
    }
    (void)snprintf(reply->status, sizeof reply->status, "%.3s", text + strlen("HTTP/1.1 "));
    for (char *line = strstr(text, "\r\n") + 2; line < end + 2; line = strstr(line, "\r\n") + 2) {
        bool in_name = true;
        for (char *c = line; *c != '\r'; c++) {
            in_name = in_name && *c != ':';
            buf_put_u8(&reply->head, (uint8_t)(in_name && *c >= 'A' && *c <= 'Z' ? *c + 32 : *c));
        }
        buf_put_u8(&reply->head, '\n');
    }
    reply->headed = true;
    reply->chunked = strstr(buf_str(&reply->head), "transfer-encoding: chunked\n") != NULL;
    buf_drop(&reply->raw, (size_t)(end + 4 - text));
}

static inline void take_reply_chunks(struct reply *reply)
{
    while (reply->raw.len > 0) {
        const char *text = buf_str(&reply->raw);
        const char *line_end = strstr(text, "\r\n");
        size_t size = strtoul(text, NULL, 16);
        size_t frame = line_end == NULL ? 0 : (size_t)(line_end - text) + 2 + size + 2;
        if (frame == 0 || reply->raw.len < frame) {
            return;
        }
        buf_put(&reply->body, line_end + 2, size);
        buf_drop(&reply->raw, frame);
    }
}

static inline void take_reply(struct reply *reply, const uint8_t *bytes, size_t len)
{
    if (reply->over_http2) {
        assert_int_equal(nghttp2_session_mem_recv(reply->session, bytes, len), len);
        session_flush(reply);
        return;
    }
    buf_put(&reply->raw, bytes, len);
    if (!reply->headed) {
        take_reply_head(reply);
    }
    if (reply->headed && reply->chunked) {
        take_reply_chunks(reply);
    } else if (reply->headed) {
        buf_put_span(&reply->body, buf_span(&reply->raw));
        buf_clear(&reply->raw);
    }
}

/* Takes what has come. */
static inline void hear(struct reply *reply)
{
    static uint8_t bytes[65536];
    ssize_t len = recv(reply->fd, bytes, sizeof bytes, MSG_DONTWAIT);
    while (len > 0 && !reply->closed) {
        take_reply(reply, bytes, (size_t)len);
        len = recv(reply->fd, bytes, sizeof bytes, MSG_DONTWAIT);
    }
    reply->closed = reply->closed || len == 0;
}

static inline bool is_heard(struct rig *of, void *arg)
{
    struct reply *reply = arg;
    (void)of;
    hear(reply);
    return reply->closed;
}

static inline void hear_all(struct reply *reply)
{
    wait_for(&rig, is_heard, reply, ETCD_SERVICE_TIMEOUT_MS + 3000, "the whole answer");
}

/* A line end is in the body. */
static inline bool has_line(struct rig *of, void *arg)
{
    struct reply *reply = arg;
    (void)of;
    hear(reply);
    return reply->closed || (reply->body.len > 0 && reply->body.data[reply->body.len - 1] == '\n');
}

static inline void hear_line(struct reply *reply)
{
    wait_for(&rig, has_line, reply, 5000, "a line of the answer");
}

static inline void hang_up(struct reply *reply)
{
    (void)close(reply->fd);
    if (reply->session != NULL) {
        nghttp2_session_del(reply->session);
    }
    buf_free(&reply->raw);
    buf_free(&reply->head);
    buf_free(&reply->body);
}

/* Value of a header of the answer; "-" = none. Valid until the next. */
static inline const char *reply_header(struct reply *reply, const char *name)
{
    static char value[256];
    char start[64];
    (void)snprintf(start, sizeof start, "%s: ", name);
    const char *line = buf_str(&reply->head);
    while (strncmp(line, start, strlen(start)) != 0) {
        line = strchr(line, '\n');
        if (line == NULL || *++line == '\0') {
            return "-";
        }
    }
    (void)snprintf(value, sizeof value, "%.*s", (int)strcspn(line + strlen(start), "\n"),
                   line + strlen(start));
    return value;
}

#endif
