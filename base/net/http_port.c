/* A connection stays here until its bytes differ from HTTP/2's preface (HTTP/1) or are all of it
 * (HTTP/2). No method of HTTP/1 begins as the preface does, so one byte decides for it. With TLS it
 * stays until the handshake is over and something was said; ALPN has decided then, if it has. */
#include "base/net/http_port.h"

#include "base/assert.h"
#include "base/buf.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/net/tcp.h"

#include <string.h>

enum {
    SWEEP_MS = 500,
    BACKLOG = 512,
    PREFACE_BYTES = sizeof HTTP2_PREFACE - 1,
    WRITE_QUEUE_BYTES = 64 * 1024 * 1024, /* an answer of HTTP/1 may be the whole store */
    SEND_BUFFER_BYTES = 64 * 1024,
};

struct undecided {
    struct list link;
    struct http_port *port;
    struct stream *stream;
    uint64_t since_ms;
    size_t len;
    uint8_t bytes[PREFACE_BYTES];
};

struct http_port {
    uv_loop_t *loop;
    struct tcp_listener *listener;
    struct http1_server *http1;
    struct http2_server *http2;
    struct tls_context *tls; /* NULL: plain text */
    uv_timer_t sweep;
    struct list undecided; /* the oldest first */
    size_t count;
    bool stopping;
    size_t open; /* listener, timer, and undecided connections that are being closed */
    void (*stopped)(void *arg);
    void *stopped_arg;
    struct buf scratch;
};

static struct stream *take_out(struct undecided *one)
{
    struct stream *stream = one->stream;
    list_remove(&one->link);
    one->port->count--;
    mem_free(one);
    return stream;
}

static void on_closed(void *arg)
{
    struct http_port *port = arg;
    if (--port->open == 0) {
        void (*stopped)(void *arg) = port->stopped;
        void *stopped_arg = port->stopped_arg;
        buf_free(&port->scratch);
        tls_context_free(port->tls);
        mem_free(port);
        if (stopped != NULL) {
            stopped(stopped_arg);
        }
    }
}

static void give_up(struct undecided *one)
{
    struct http_port *port = one->port;
    port->open++;
    stream_close(take_out(one), on_closed, port);
}

static void hand_over(struct undecided *one, bool is_http2, struct span more)
{
    struct http_port *port = one->port;
    struct buf bytes = port->scratch; /* what it is handed to may come back here */
    port->scratch = (struct buf)BUF_INIT;
    buf_clear(&bytes);
    buf_put(&bytes, one->bytes, one->len);
    buf_put_span(&bytes, more);
    struct stream *stream = take_out(one);
    stream_read_stop(stream);
    if (is_http2) {
        http2_server_serve(port->http2, stream, buf_span(&bytes));
    } else {
        http1_server_serve(port->http1, stream, buf_span(&bytes));
    }
    buf_free(&port->scratch);
    port->scratch = bytes;
}

static void on_read(void *arg, struct span bytes)
{
    static const char preface[] = HTTP2_PREFACE;
    struct undecided *one = arg;
    size_t wanted = PREFACE_BYTES - one->len;
    const char *protocol = one->port->tls != NULL ? tls_stream_protocol(one->stream) : "";
    if (protocol[0] != '\0') {
        hand_over(one, strcmp(protocol, "h2") == 0, bytes);
        return;
    }
    size_t len = bytes.len < wanted ? bytes.len : wanted;
    bool is_preface = memcmp(bytes.data, preface + one->len, len) == 0;
    if (is_preface && len < wanted) {
        memcpy(one->bytes + one->len, bytes.data, len);
        one->len += len;
    } else {
        hand_over(one, is_preface, bytes);
    }
}

static void on_end(void *arg, int rc, const struct error *err)
{
    (void)rc;
    (void)err;
    give_up(arg);
}

/* What Go's servers say to it, etcd's among them. */
static struct stream *secure(struct http_port *port, struct stream *stream)
{
    static const char plain[] = "HTTP/1.0 400 Bad Request\r\n\r\n"
                                "Client sent an HTTP request to an HTTPS server.\n";
    struct tls_options options = {.loop = port->loop,
                                  .context = port->tls,
                                  .is_server = true,
                                  .handshake_ms = HTTP_PORT_DECIDE_MS,
                                  .write_queue_bytes_max = WRITE_QUEUE_BYTES,
                                  .plain_answer = span_str(plain)};
    return tls_stream_new(stream, &options);
}

void http_port_serve(struct http_port *port, struct stream *stream)
{
    static const struct stream_events events = {.on_read = on_read, .on_end = on_end};
    stream = port->tls != NULL ? secure(port, stream) : stream;
    struct undecided *one = mem_new(struct undecided);
    if (port->count >= HTTP_PORT_UNDECIDED_MAX) {
        give_up(LIST_OWNER(list_first(&port->undecided), struct undecided, link));
    }
    one->port = port;
    one->stream = stream;
    one->since_ms = uv_now(port->loop);
    list_append(&port->undecided, &one->link);
    port->count++;
    stream_attach(stream, &events, one);
    if (port->stopping || stream_read_start(stream, NULL) != 0) {
        give_up(one);
    }
}

static void on_accept(void *arg, struct stream *stream)
{
    http_port_serve(arg, stream);
}

static void on_sweep(uv_timer_t *timer)
{
    struct http_port *port = timer->data;
    LIST_EACH(item, &port->undecided)
    {
        struct undecided *one = LIST_OWNER(item, struct undecided, link);
        if (uv_now(port->loop) - one->since_ms >= HTTP_PORT_DECIDE_MS) {
            give_up(one);
        }
    }
}

int http_port_start(uv_loop_t *loop, const struct net_addr *listen, struct http1_server *http1,
                    struct http2_server *http2, struct http_port **ret_port, struct error *err)
{
    struct http_port *port = mem_new(struct http_port);
    struct tcp_options options = {.user_timeout_ms = HTTP1_WRITE_MS,
                                  .write_queue_bytes_max = WRITE_QUEUE_BYTES,
                                  .send_buffer_bytes = SEND_BUFFER_BYTES,
                                  .quick_ack = true};
    port->loop = loop;
    port->http1 = http1;
    port->http2 = http2;
    list_init(&port->undecided);
    int rc =
        tcp_listener_start(loop, listen, BACKLOG, &options, on_accept, port, &port->listener, err);
    if (rc != 0) {
        mem_free(port);
        return rc;
    }
    port->open = 2;
    port->sweep.data = port;
    (void)uv_timer_init(loop, &port->sweep);
    (void)uv_timer_start(&port->sweep, on_sweep, SWEEP_MS, SWEEP_MS);
    *ret_port = port;
    return 0;
}

void http_port_set_tls(struct http_port *port, struct tls_context *context)
{
    ASSERT(port->tls == NULL && port->count == 0);
    port->tls = tls_context_hold(context);
}

uint16_t http_port_number(const struct http_port *port)
{
    return tcp_listener_port(port->listener);
}

static void on_timer_closed(uv_handle_t *handle)
{
    on_closed(handle->data);
}

void http_port_stop(struct http_port *port, void (*stopped)(void *arg), void *arg)
{
    port->stopping = true;
    port->stopped = stopped;
    port->stopped_arg = arg;
    tcp_listener_stop(port->listener, on_closed, port);
    uv_close((uv_handle_t *)&port->sweep, on_timer_closed);
    LIST_EACH(item, &port->undecided)
    {
        give_up(LIST_OWNER(item, struct undecided, link));
    }
}
