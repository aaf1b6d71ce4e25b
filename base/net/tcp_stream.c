/* A stream over one TCP socket.
 *
 * Writing: what the kernel takes at once is never copied or queued; the rest is copied into one
 * request per call, bounded in bytes. Reading: one buffer per thread serves all streams, because
 * libuv fills it and hands it over in the same breath. Ending: read errors, the peer's end, and
 * failures of writes that nobody waits for come as one on_end. */
#include "base/net/tcp_stream.h"

#include "base/assert.h"
#include "base/mem.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

enum {
    READ_BUFFER_BYTES = 64 * 1024,
    WRITE_QUEUE_BYTES_DEFAULT = 1024 * 1024,
    KEEPALIVE_IDLE_S_DEFAULT = 10,
    KEEPALIVE_INTERVAL_S = 3,
    KEEPALIVE_PROBES = 3,
};

struct tcp_stream {
    struct stream base; /* first: the kinds of stream share it */
    uv_tcp_t tcp;
    struct tcp_options options;
    struct stream_peer peer;
    size_t pending;
    bool ended; /* on_end was called */
    bool closing;
    uv_shutdown_t shutdown;
    stream_done shutdown_done;
    void *shutdown_arg;
    stream_closed closed;
    void *closed_arg;
};

struct tcp_write {
    uv_write_t request;
    struct tcp_stream *owner;
    stream_done done;
    void *arg;
    size_t len;
    uint8_t data[];
};

static struct tcp_stream *of(const struct stream *stream)
{
    return (struct tcp_stream *)(void *)(uintptr_t)stream;
}

static int stream_error(const struct tcp_stream *tcp, int status, struct error *err)
{
    return error_set(err, net_err_code(status), "%s: %s", tcp->peer.text,
                     status == UV_EOF ? "closed by the peer" : uv_strerror(status));
}

static void end_once(struct tcp_stream *tcp, int status)
{
    struct error err;
    if (tcp->ended || tcp->closing || tcp->base.events == NULL) {
        return;
    }
    tcp->ended = true;
    (void)uv_read_stop((uv_stream_t *)&tcp->tcp);
    int rc = stream_error(tcp, status, &err);
    if (rc == ERR_CLOSED && status != UV_EOF) {
        rc = err.code = ERR_IO; /* a reset is no end in order: nobody waits for our answer */
    }
    tcp->base.events->on_end(tcp->base.arg, rc, &err);
}

/* Failures are of no consequence: the connection is only slower then, or notices a dead peer
 * later. */
static void set_option(int fd, int level, int name, unsigned value)
{
    (void)setsockopt(fd, level, name, &value, sizeof value);
}

/* --- read ------------------------------------------------------------------------------------- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buf)
{
    static _Thread_local char buffer[READ_BUFFER_BYTES];
    (void)handle;
    (void)suggested;
    *ret_buf = uv_buf_init(buffer, sizeof buffer);
}

/* The kernel forgets the option again, so that it is set after each read. Behind the event: an
 * answer that went out in it carries the acknowledgement already. */
static void acknowledge(const struct tcp_stream *tcp)
{
    uv_os_fd_t fd = -1;
    if (uv_fileno((const uv_handle_t *)&tcp->tcp, &fd) == 0) {
        set_option(fd, IPPROTO_TCP, TCP_QUICKACK, 1);
    }
}

static void on_read(uv_stream_t *handle, ssize_t count, const uv_buf_t *buf)
{
    struct tcp_stream *tcp = handle->data;
    if (count > 0) {
        tcp->base.events->on_read(tcp->base.arg, span_of(buf->base, (size_t)count));
        if (tcp->options.quick_ack && !tcp->closing) {
            acknowledge(tcp);
        }
    } else if (count < 0) {
        end_once(tcp, (int)count);
    }
}

static int tcp_read_start(struct stream *stream, struct error *err)
{
    struct tcp_stream *tcp = of(stream);
    ASSERT(stream->events != NULL && !tcp->closing);
    if (tcp->ended) {
        return error_set(err, ERR_CLOSED, "%s: closed", tcp->peer.text);
    }
    int status = uv_read_start((uv_stream_t *)&tcp->tcp, on_alloc, on_read);
    return status == 0 || status == UV_EALREADY ? 0 : stream_error(tcp, status, err);
}

static void tcp_read_stop(struct stream *stream)
{
    (void)uv_read_stop((uv_stream_t *)&of(stream)->tcp);
}

/* --- write ------------------------------------------------------------------------------------ */

static void on_written(uv_write_t *request, int status)
{
    struct tcp_write *write = request->data;
    struct tcp_stream *tcp = write->owner;
    struct error err = {0};

    ASSERT(tcp->pending >= write->len);
    tcp->pending -= write->len;
    int rc = status == 0 ? 0 : stream_error(tcp, status, &err);
    if (write->done != NULL) {
        write->done(write->arg, rc, &err);
    } else if (status != 0) {
        end_once(tcp, status);
    }
    mem_free(write);
    if (status == 0 && tcp->pending == 0 && !tcp->closing && tcp->base.events != NULL &&
        tcp->base.events->on_drained != NULL) {
        tcp->base.events->on_drained(tcp->base.arg);
    }
}

static int write_later(struct tcp_stream *tcp, struct span bytes, stream_done done, void *arg,
                       struct error *err)
{
    struct tcp_write *write = mem_try(sizeof *write + bytes.len);
    if (write == NULL) {
        return error_set(err, ERR_NOMEM, "%s: no memory to queue %zu bytes", tcp->peer.text,
                         bytes.len);
    }
    write->request.data = write;
    write->owner = tcp;
    write->done = done;
    write->arg = arg;
    write->len = bytes.len;
    if (bytes.len > 0) {
        memcpy(write->data, bytes.data, bytes.len);
    }
    uv_buf_t buf = uv_buf_init((char *)write->data, (unsigned)bytes.len);
    int status = uv_write(&write->request, (uv_stream_t *)&tcp->tcp, &buf, 1, on_written);
    if (status != 0) {
        mem_free(write);
        return stream_error(tcp, status, err);
    }
    tcp->pending += bytes.len;
    return 0;
}

static int tcp_write_bytes(struct stream *stream, struct span bytes, stream_done done, void *arg,
                           struct error *err)
{
    struct tcp_stream *tcp = of(stream);
    ASSERT(!tcp->closing);
    if (bytes.len > tcp->options.write_queue_bytes_max ||
        tcp->pending > tcp->options.write_queue_bytes_max - bytes.len) {
        return error_set(err, ERR_LIMIT, "%s: %zu bytes wait already, the limit is %zu",
                         tcp->peer.text, tcp->pending, tcp->options.write_queue_bytes_max);
    }
    if (bytes.len == 0 && done == NULL) {
        return 0;
    }
    if (done == NULL && tcp->pending == 0) {
        uv_buf_t buf = uv_buf_init((char *)(uintptr_t)bytes.data, (unsigned)bytes.len);
        int count = uv_try_write((uv_stream_t *)&tcp->tcp, &buf, 1);
        if (count < 0 && count != UV_EAGAIN) {
            return stream_error(tcp, count, err);
        }
        size_t taken = count > 0 ? (size_t)count : 0;
        bytes = span_of(bytes.data + taken, bytes.len - taken);
        if (bytes.len == 0) {
            return 0;
        }
    }
    return write_later(tcp, bytes, done, arg, err);
}

static size_t tcp_pending(const struct stream *stream)
{
    return of(stream)->pending;
}

/* --- end -------------------------------------------------------------------------------------- */

static void on_shutdown(uv_shutdown_t *request, int status)
{
    struct tcp_stream *tcp = request->data;
    struct error err = {0};
    int rc = status == 0 ? 0 : stream_error(tcp, status, &err);
    if (tcp->shutdown_done != NULL) {
        tcp->shutdown_done(tcp->shutdown_arg, rc, &err);
    }
}

static int tcp_shutdown(struct stream *stream, stream_done done, void *arg, struct error *err)
{
    struct tcp_stream *tcp = of(stream);
    ASSERT(!tcp->closing);
    tcp->shutdown.data = tcp;
    int status = uv_shutdown(&tcp->shutdown, (uv_stream_t *)&tcp->tcp, on_shutdown);
    if (status != 0) {
        return stream_error(tcp, status, err);
    }
    tcp->shutdown_done = done;
    tcp->shutdown_arg = arg;
    return 0;
}

static void on_closed(uv_handle_t *handle)
{
    struct tcp_stream *tcp = handle->data;
    ASSERT(tcp->pending == 0); /* libuv ends every request before it closes */
    if (tcp->closed != NULL) {
        tcp->closed(tcp->closed_arg);
    }
    mem_free(tcp);
}

static void tcp_close(struct stream *stream, stream_closed closed, void *arg)
{
    struct tcp_stream *tcp = of(stream);
    ASSERT(!tcp->closing);
    tcp->closing = true;
    tcp->closed = closed;
    tcp->closed_arg = arg;
    uv_close((uv_handle_t *)&tcp->tcp, on_closed);
}

static const struct stream_peer *tcp_peer(const struct stream *stream)
{
    return &of(stream)->peer;
}

static const struct stream_ops tcp_ops = {
    .read_start = tcp_read_start,
    .read_stop = tcp_read_stop,
    .write = tcp_write_bytes,
    .pending = tcp_pending,
    .shutdown = tcp_shutdown,
    .close = tcp_close,
    .peer = tcp_peer,
};

/* --- making ----------------------------------------------------------------------------------- */

struct tcp_stream *tcp_stream_new(uv_loop_t *loop, const struct tcp_options *options)
{
    struct tcp_stream *tcp = mem_new(struct tcp_stream);
    tcp->base.ops = &tcp_ops;
    tcp->options = *options;
    if (tcp->options.write_queue_bytes_max == 0) {
        tcp->options.write_queue_bytes_max = WRITE_QUEUE_BYTES_DEFAULT;
    }
    if (tcp->options.keepalive_idle_s == 0) {
        tcp->options.keepalive_idle_s = KEEPALIVE_IDLE_S_DEFAULT;
    }
    memcpy(tcp->peer.text, "?", 2);
    ASSERT(uv_tcp_init(loop, &tcp->tcp) == 0);
    tcp->tcp.data = tcp;
    return tcp;
}

uv_tcp_t *tcp_stream_handle(struct tcp_stream *tcp)
{
    return &tcp->tcp;
}

struct stream *tcp_stream_base(struct tcp_stream *tcp)
{
    return &tcp->base;
}

void tcp_set_port(struct sockaddr_storage *address, uint16_t port)
{
    if (address->ss_family == AF_INET) {
        ((struct sockaddr_in *)address)->sin_port = htons(port);
    } else {
        ((struct sockaddr_in6 *)address)->sin6_port = htons(port);
    }
}

int tcp_stream_ready(struct tcp_stream *tcp, struct error *err)
{
    struct sockaddr_storage address = {0};
    int len = sizeof address;
    uv_os_fd_t fd = -1;

    int status = uv_tcp_getpeername(&tcp->tcp, (struct sockaddr *)&address, &len);
    if (status == 0) {
        status = uv_fileno((uv_handle_t *)&tcp->tcp, &fd);
    }
    if (status != 0) {
        return stream_error(tcp, status, err); /* gone before we looked */
    }
    (void)net_sockaddr_format((struct sockaddr *)&address, tcp->peer.text);
    tcp->peer.ip = net_ip_of((struct sockaddr *)&address);
    tcp->peer.port =
        ntohs(address.ss_family == AF_INET ? ((struct sockaddr_in *)&address)->sin_port
                                           : ((struct sockaddr_in6 *)&address)->sin6_port);
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, tcp->options.keepalive_idle_s);
    set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S);
    set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES);
    if (tcp->options.send_buffer_bytes > 0) {
        set_option(fd, SOL_SOCKET, SO_SNDBUF, tcp->options.send_buffer_bytes);
    }
    if (tcp->options.user_timeout_ms > 0) {
        set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, tcp->options.user_timeout_ms);
    }
    return 0;
}
