/* Bytes of a client, in pieces of any size, against the server itself: a stream that is no socket
 * stands in for the connection. The first byte of the input says how the stream and the handler
 * behave. Whatever is handed over was one head as the server promises it, and nothing is left
 * behind. */
#include "base/assert.h"
#include "base/net/http1.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LATER = 1, SLOW = 2, CHUNKED = 4, NOTICE = 8, PIECE_SHIFT = 4, TURNS_MAX = 1000 };

/* No head that was taken has it, whatever is sent: a byte of it stands in no header's name. */
static const char no_name[] = "x-none\001such";
static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";

static struct {
    struct stream base;
    struct stream_peer peer;
    bool reading;
    bool slow; /* a response waits until the harness says that it was taken */
    size_t pending;
    stream_closed closed;
    void *closed_arg;
    bool is_closed;
    bool later;
    bool notice; /* a later answer has the peer's end noticed */
    bool gone;
    struct http1_exchange *asked; /* waits for its response */
    struct span input;
    size_t body_max;
    size_t handed_over;
    bool stopped;
} fake;

static int fake_read_start(struct stream *stream, struct error *err)
{
    (void)stream;
    (void)err;
    ASSERT(!fake.is_closed);
    fake.reading = true;
    return 0;
}

static void fake_read_stop(struct stream *stream)
{
    (void)stream;
    fake.reading = false;
}

static int fake_write(struct stream *stream, struct span bytes, stream_done done, void *arg,
                      struct error *err)
{
    (void)stream;
    (void)arg;
    (void)err;
    ASSERT(!fake.is_closed && done == NULL);
    ASSERT(span_starts_with(bytes, span_str("HTTP/1.")));
    /* One response at a time waits, or what told its client to send: memory is bounded. */
    ASSERT(fake.pending == 0 || fake.pending == sizeof go_on - 1);
    fake.pending += fake.slow ? bytes.len : 0;
    return 0;
}

static size_t fake_pending(const struct stream *stream)
{
    (void)stream;
    return fake.pending;
}

static int fake_shutdown(struct stream *stream, stream_done done, void *arg, struct error *err)
{
    (void)stream;
    (void)done;
    (void)arg;
    (void)err;
    return 0;
}

static void fake_close(struct stream *stream, stream_closed closed, void *arg)
{
    (void)stream;
    ASSERT(!fake.is_closed);
    fake.is_closed = true;
    fake.reading = false;
    fake.closed = closed;
    fake.closed_arg = arg;
}

static const struct stream_peer *fake_peer(const struct stream *stream)
{
    (void)stream;
    return &fake.peer;
}

static const struct stream_ops fake_ops = {.read_start = fake_read_start,
                                           .read_stop = fake_read_stop,
                                           .write = fake_write,
                                           .pending = fake_pending,
                                           .shutdown = fake_shutdown,
                                           .close = fake_close,
                                           .peer = fake_peer};

static void answer(struct http1_exchange *exchange)
{
    struct http1_response response = {
        .status = 200, .content_type = "text/plain", .body = span_str("ok")};
    http1_respond(exchange, &response);
}

static void on_gone(void *arg)
{
    (void)arg;
    ASSERT(fake.is_closed && fake.asked != NULL && !fake.gone);
    fake.gone = true;
}

/* Until the first request is handed over: the input's first head, which must read as one head only,
 * whoever reads it. */
static void check_head(struct span input)
{
    for (size_t i = 0; i < input.len; i++) {
        ASSERT(input.data[i] != 0);
        ASSERT(input.data[i] != '\n' || (i > 0 && input.data[i - 1] == '\r'));
        if (i >= 3 && memcmp(input.data + i - 3, "\r\n\r\n", 4) == 0) {
            ASSERT(i < HTTP1_HEAD_BYTES_MAX);
            return;
        }
    }
    ASSERT(false); /* handed over without the end of a head */
}

static void handle(void *arg, struct http1_exchange *exchange, const struct http1_request *request)
{
    (void)arg;
    ASSERT(fake.asked == NULL); /* one at a time, in order */
    if (fake.handed_over++ == 0) {
        check_head(fake.input);
    }
    ASSERT(strlen(request->path) + strlen(request->query) <= HTTP1_PATH_BYTES_MAX);
    ASSERT(request->body.len <= fake.body_max);
    ASSERT(request->has_length || request->body.len == 0);
    for (const char *c = request->path; *c != '\0'; c++) {
        ASSERT((unsigned char)*c > ' ');
    }
    ASSERT(http1_request_header(exchange, no_name).data == NULL);
    if (fake.later) {
        fake.asked = exchange;
        if (fake.notice) {
            ASSERT(http1_notice(exchange, on_gone, NULL) == 0);
        }
    } else {
        answer(exchange);
    }
}

/* What the loop would do between two pieces. */
static void turn(uv_loop_t *loop)
{
    struct http1_exchange *asked = fake.asked;
    fake.asked = NULL;
    if (asked != NULL) {
        answer(asked);
    }
    if (fake.pending > 0 && !fake.is_closed) {
        fake.pending = 0;
        fake.base.events->on_drained(fake.base.arg);
    }
    (void)uv_run(loop, UV_RUN_NOWAIT);
}

static void on_stopped(void *arg)
{
    (void)arg;
    fake.stopped = true;
}

static void feed(uv_loop_t *loop, size_t piece)
{
    size_t at = 0;
    for (size_t turns = 0; at < fake.input.len && !fake.is_closed; turns++) {
        ASSERT(turns < TURNS_MAX + fake.input.len); /* a pause always ends */
        if (fake.reading) {
            size_t len = fake.input.len - at < piece ? fake.input.len - at : piece;
            fake.base.events->on_read(fake.base.arg, span_of(fake.input.data + at, len));
            at += len;
        }
        turn(loop);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct net_addr listen = {.host = "127.0.0.1"};
    struct http1_server *server = NULL;
    struct error err = {0};
    uv_loop_t loop;

    if (size == 0) {
        return 0;
    }
    memset(&fake, 0, sizeof fake);
    fake.base.ops = &fake_ops;
    fake.later = (data[0] & LATER) != 0;
    fake.slow = (data[0] & SLOW) != 0;
    fake.notice = (data[0] & NOTICE) != 0;
    fake.body_max = (data[0] & CHUNKED) != 0 ? 100 : HTTP1_BODY_BYTES_MAX;
    fake.input = span_of(data + 1, size - 1);
    ASSERT(uv_loop_init(&loop) == 0);
    ASSERT(http1_server_start(&loop, &listen, handle, NULL, &server, &err) == 0);
    if ((data[0] & CHUNKED) != 0) {
        http1_server_set_limits(server, &(struct http1_limits){.chunked = true,
                                                               .body_bytes_max = fake.body_max,
                                                               .url_bytes_max = 64});
    }
    http1_server_serve(server, &fake.base, span_of(NULL, 0));
    feed(&loop, (size_t)(data[0] >> PIECE_SHIFT) * 8 + 1);
    if (!fake.is_closed) {
        fake.base.events->on_end(fake.base.arg, ERR_IO, &err);
    }
    ASSERT(fake.is_closed);
    fake.closed(fake.closed_arg);
    turn(&loop); /* a response that goes nowhere */
    http1_server_stop(server, on_stopped, NULL);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    ASSERT(fake.stopped); /* nothing of the connection is left */
    ASSERT(uv_loop_close(&loop) == 0);
    return 0;
}
