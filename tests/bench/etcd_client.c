/* What a call asks for is written in the next etcd_client_poll, before it waits: a callback only
 * puts bytes into a buffer. */
#include "tests/bench/etcd_client.h"

#include "base/buf.h"
#include "base/list.h"
#include "base/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <http_parser.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    READ_BYTES = 64 * 1024,
    WRITE_BYTES = 64 * 1024,
    EVENTS = 128,
    PREFIX_BYTES = 5,
    WINDOW_BYTES = 1024 * 1024,
    FAILURE_BYTES = 200
};

struct call {
    const struct etcd_client_events *events;
    void *arg;
    struct buf out; /* what is to be sent of it (gRPC) */
    size_t sent;
    struct buf in; /* a message, or answer, that is not whole yet */
    bool keep_open;
    bool has_status; /* gRPC */
    char failure[FAILURE_BYTES];
};

struct etcd_client {
    int fd;
    bool grpc;
    struct buf out; /* what the kernel has not taken yet */
    struct list dirty;
    bool waits; /* for the kernel */
    int epoll;
    char authority[32];
    nghttp2_session *session;
    http_parser parser;
    struct call call; /* HTTP/1 */
};

static struct list dirty = {&dirty, &dirty};

/* `rc`: of the system, or 0. */
__attribute__((noreturn)) static void broken(const char *who, const char *what, int rc)
{
    fprintf(stderr, "bench_etcd: %s: %s%s%s\n", who, what, rc != 0 ? ": " : "",
            rc != 0 ? strerror(rc) : "");
    exit(1);
}

static void touch(struct etcd_client *client)
{
    list_remove(&client->dirty);
    list_append(&dirty, &client->dirty);
}

static void take_failure(struct call *call, const char *what, struct span text)
{
    size_t used = strlen(call->failure);
    (void)snprintf(call->failure + used, sizeof call->failure - used, "%s%s%.*s",
                   used > 0 ? ", " : "", what, (int)text.len, (const char *)text.data);
}

/* --- gRPC ------------------------------------------------------------------------------------- */

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *arg)
{
    struct call *call = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    struct span key = span_of(name, name_len);
    struct span text = span_of(value, value_len);
    (void)flags;
    (void)arg;
    if (call == NULL) {
        return 0;
    }
    if (span_equal_str(key, ":status") && !span_equal_str(text, "200")) {
        take_failure(call, "status ", text);
    } else if (span_equal_str(key, "grpc-status")) {
        call->has_status = true;
        if (!span_equal_str(text, "0")) {
            take_failure(call, "code ", text);
        }
    } else if (span_equal_str(key, "grpc-message") && value_len > 0) {
        take_failure(call, "", text);
    }
    return 0;
}

/* The length of the message that `bytes` begin with, prefix included; 0 = it is not whole. */
static size_t whole(struct span bytes)
{
    if (bytes.len < PREFIX_BYTES) {
        return 0;
    }
    size_t len = PREFIX_BYTES + ((size_t)bytes.data[1] << 24 | (size_t)bytes.data[2] << 16 |
                                 (size_t)bytes.data[3] << 8 | (size_t)bytes.data[4]);
    return bytes.len < len ? 0 : len;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                   size_t data_len, void *arg)
{
    struct call *call = nghttp2_session_get_stream_user_data(session, id);
    struct span rest = span_of(data, data_len);
    size_t len;
    (void)flags;
    (void)arg;
    if (call == NULL) {
        return 0;
    }
    if (call->in.len > 0) {
        buf_put_span(&call->in, rest);
        rest = buf_span(&call->in);
    }
    while ((len = whole(rest)) > 0) {
        call->events->on_message(call->arg, span_of(rest.data + PREFIX_BYTES, len - PREFIX_BYTES));
        rest = span_of(rest.data + len, rest.len - len);
    }
    if (call->in.len > 0) {
        buf_drop(&call->in, call->in.len - rest.len);
    } else {
        buf_put_span(&call->in, rest);
    }
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *arg)
{
    struct call *call = nghttp2_session_get_stream_user_data(session, id);
    (void)arg;
    if (call == NULL) {
        return 0;
    }
    if (!call->has_status && call->failure[0] == '\0') {
        take_failure(call, "the stream was reset: ", span_str(nghttp2_http2_strerror(code)));
    }
    call->events->on_end(call->arg, call->failure[0] != '\0' ? call->failure : NULL);
    buf_free(&call->in);
    buf_free(&call->out);
    mem_free(call);
    return 0;
}

static ssize_t read_message(nghttp2_session *session, int32_t id, uint8_t *bytes, size_t len,
                            uint32_t *flags, nghttp2_data_source *source, void *arg)
{
    struct call *call = source->ptr;
    size_t count = call->out.len - call->sent < len ? call->out.len - call->sent : len;
    (void)session;
    (void)id;
    (void)arg;
    if (count == 0) {
        return NGHTTP2_ERR_DEFERRED; /* only of one that stays open */
    }
    memcpy(bytes, call->out.data + call->sent, count);
    call->sent += count;
    if (call->sent == call->out.len && !call->keep_open) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    }
    return (ssize_t)count;
}

static void open_session(struct etcd_client *client)
{
    nghttp2_session_callbacks *callbacks;
    nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW_BYTES},
                                         {NGHTTP2_SETTINGS_ENABLE_PUSH, 0}};
    if (nghttp2_session_callbacks_new(&callbacks) != 0) {
        broken(client->authority, "no memory for HTTP/2", 0);
    }
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    if (nghttp2_session_client_new(&client->session, callbacks, client) != 0 ||
        nghttp2_submit_settings(client->session, NGHTTP2_FLAG_NONE, settings, 2) != 0 ||
        nghttp2_session_set_local_window_size(client->session, NGHTTP2_FLAG_NONE, 0,
                                              WINDOW_BYTES) != 0) {
        broken(client->authority, "no HTTP/2 session", 0);
    }
    nghttp2_session_callbacks_del(callbacks);
}

static nghttp2_nv header(const char *name, const char *value)
{
    return (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name,
                        .value = (uint8_t *)(uintptr_t)value,
                        .namelen = strlen(name),
                        .valuelen = strlen(value)};
}

static void grpc_submit(struct etcd_client *client, const char *path, struct call *call)
{
    const nghttp2_nv headers[] = {header(":method", "POST"),
                                  header(":scheme", "http"),
                                  header(":path", path),
                                  header(":authority", client->authority),
                                  header("content-type", "application/grpc"),
                                  header("user-agent", "bench"),
                                  header("te", "trailers")};
    nghttp2_data_provider provider = {.source.ptr = call, .read_callback = read_message};
    if (nghttp2_submit_request(client->session, NULL, headers, sizeof headers / sizeof headers[0],
                               &provider, call) < 0) {
        broken(client->authority, "HTTP/2 takes no more requests", 0);
    }
}

/* --- HTTP/1 ----------------------------------------------------------------------------------- */

static int on_body(http_parser *parser, const char *at, size_t len)
{
    struct etcd_client *client = parser->data;
    buf_put(&client->call.in, at, len);
    return 0;
}

static int on_message_complete(http_parser *parser)
{
    struct etcd_client *client = parser->data;
    struct call call = client->call;
    client->call = (struct call){0};
    if (parser->status_code != 200) {
        take_failure(&call, "", buf_span(&call.in));
    } else {
        call.events->on_message(call.arg, buf_span(&call.in));
    }
    call.events->on_end(call.arg, parser->status_code != 200 ? call.failure : NULL);
    buf_clear(&call.in);
    if (client->call.in.data == NULL) {
        client->call.in = call.in; /* its memory, for the next */
    }
    return 0;
}

static const http_parser_settings parser_settings = {.on_body = on_body,
                                                     .on_message_complete = on_message_complete};

/* --- both ------------------------------------------------------------------------------------- */

void etcd_client_call(struct etcd_client *client, const char *path, struct span message,
                      bool keep_open, const struct etcd_client_events *events, void *arg)
{
    touch(client);
    if (!client->grpc) {
        client->call.events = events;
        client->call.arg = arg;
        buf_printf(&client->out,
                   "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: "
                   "application/json\r\nContent-Length: %zu\r\n\r\n",
                   path, client->authority, message.len);
        buf_put_span(&client->out, message);
        return;
    }
    struct call *call = mem_new(struct call);
    uint8_t prefix[PREFIX_BYTES] = {0, (uint8_t)(message.len >> 24), (uint8_t)(message.len >> 16),
                                    (uint8_t)(message.len >> 8), (uint8_t)message.len};
    call->events = events;
    call->arg = arg;
    call->keep_open = keep_open;
    buf_put(&call->out, prefix, sizeof prefix);
    buf_put_span(&call->out, message);
    grpc_submit(client, path, call);
}

int etcd_client_epoll(void)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0) {
        broken("epoll", "cannot be made", errno);
    }
    return epoll;
}

static void watch_fd(struct etcd_client *client, int op, bool waits)
{
    struct epoll_event event = {.events = EPOLLIN | (waits ? EPOLLOUT : 0), .data.ptr = client};
    client->waits = waits;
    if (epoll_ctl(client->epoll, op, client->fd, &event) != 0) {
        broken(client->authority, "epoll_ctl", errno);
    }
}

struct etcd_client *etcd_client_open(int epoll, bool grpc, uint16_t port)
{
    struct etcd_client *client = mem_new(struct etcd_client);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1;
    client->epoll = epoll;
    client->grpc = grpc;
    list_init(&client->dirty);
    (void)snprintf(client->authority, sizeof client->authority, "127.0.0.1:%u", (unsigned)port);
    client->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (client->fd < 0 ||
        connect(client->fd, (const struct sockaddr *)&address, sizeof address) != 0 ||
        setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0 ||
        fcntl(client->fd, F_SETFL, O_NONBLOCK) != 0) {
        broken(client->authority, "connecting", errno);
    }
    if (grpc) {
        open_session(client);
        touch(client);
    } else {
        http_parser_init(&client->parser, HTTP_RESPONSE);
        client->parser.data = client;
    }
    watch_fd(client, EPOLL_CTL_ADD, false);
    return client;
}

static void gather(struct etcd_client *client)
{
    const uint8_t *bytes;
    ssize_t len = 1;
    while (len > 0 && client->out.len < WRITE_BYTES) {
        len = nghttp2_session_mem_send(client->session, &bytes);
        if (len < 0) {
            broken(client->authority, nghttp2_strerror((int)len), 0);
        }
        buf_put(&client->out, bytes, (size_t)len);
    }
}

static void flush(struct etcd_client *client)
{
    list_remove(&client->dirty);
    for (;;) {
        if (client->grpc) {
            gather(client);
        }
        if (client->out.len == 0) {
            break;
        }
        ssize_t len = send(client->fd, client->out.data, client->out.len, MSG_NOSIGNAL);
        if (len < 0 && errno != EAGAIN) {
            broken(client->authority, "sending", errno);
        }
        if (len < 0) {
            break;
        }
        buf_drop(&client->out, (size_t)len);
    }
    if (client->waits != (client->out.len > 0)) {
        watch_fd(client, EPOLL_CTL_MOD, client->out.len > 0);
    }
}

static void receive(struct etcd_client *client)
{
    static uint8_t bytes[READ_BYTES];
    ssize_t len = recv(client->fd, bytes, sizeof bytes, 0);
    if (len < 0 && errno == EAGAIN) {
        return;
    }
    if (len <= 0) {
        broken(client->authority, "the connection was closed", len < 0 ? errno : 0);
    }
    if (!client->grpc) {
        if (http_parser_execute(&client->parser, &parser_settings, (const char *)bytes,
                                (size_t)len) != (size_t)len) {
            broken(client->authority, "an answer is no HTTP", 0);
        }
        return;
    }
    if (nghttp2_session_mem_recv(client->session, bytes, (size_t)len) != len) {
        broken(client->authority, "an answer is no HTTP/2", 0);
    }
    if (nghttp2_session_want_write(client->session) != 0) {
        touch(client);
    }
}

void etcd_client_poll(int epoll, int timeout_ms)
{
    struct epoll_event events[EVENTS];
    LIST_EACH(item, &dirty)
    {
        flush(LIST_OWNER(item, struct etcd_client, dirty));
    }
    int count = epoll_wait(epoll, events, EVENTS, timeout_ms);
    if (count < 0 && errno != EINTR) {
        broken("epoll_wait", "failed", errno);
    }
    for (int i = 0; i < count; i++) {
        if ((events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) {
            receive(events[i].data.ptr);
        }
        if ((events[i].events & EPOLLOUT) != 0) {
            flush(events[i].data.ptr);
        }
    }
}
