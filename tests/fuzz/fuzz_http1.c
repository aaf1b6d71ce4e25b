/* Bytes of a client, in pieces of any size, against the server itself: a stream that is no socket
 * stands in for the connection. The first byte of the input says how the stream and the handler
 * behave. Whatever is handed over was one head as the server promises it, and nothing is left
 * behind. */
#include "base/assert.h"
#include "base/net/http1.h"
#include "tests/fuzz/fake_stream.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LATER = 1, SLOW = 2, CHUNKED = 4, NOTICE = 8, PIECE_SHIFT = 4 };

/* No head that was taken has it, whatever is sent: a byte of it stands in no header's name. */
static const char no_name[] = "x-none\001such";
static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";

static struct {
    bool later;
    bool notice; /* a later answer has the peer's end noticed */
    bool gone;
    struct http1_exchange *asked; /* waits for its response */
    struct span input;
    size_t body_max;
    size_t handed_over;
    bool stopped;
} fake;

/* One response at a time waits, or what told its client to send: memory is bounded. */
static void on_write(struct span bytes)
{
    ASSERT(span_starts_with(bytes, span_str("HTTP/1.")));
    ASSERT(fake_stream.pending == 0 || fake_stream.pending == sizeof go_on - 1);
}

static void answer(struct http1_exchange *exchange)
{
    struct http1_response response = {
        .status = 200, .content_type = "text/plain", .body = span_str("ok")};
    http1_respond(exchange, &response);
}

static void on_gone(void *arg)
{
    (void)arg;
    ASSERT(fake_stream.closed && fake.asked != NULL && !fake.gone);
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
    fake_stream_drain();
    (void)uv_run(loop, UV_RUN_NOWAIT);
}

static void on_stopped(void *arg)
{
    (void)arg;
    fake.stopped = true;
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
    fake.later = (data[0] & LATER) != 0;
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
    http1_server_serve(server, fake_stream_open((data[0] & SLOW) != 0, on_write), span_of(NULL, 0));
    fake_stream_feed(&loop, fake.input, (size_t)(data[0] >> PIECE_SHIFT) * 8 + 1, turn);
    fake_stream_end();
    turn(&loop); /* a response that goes nowhere */
    http1_server_stop(server, on_stopped, NULL);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    ASSERT(fake.stopped); /* nothing of the connection is left */
    ASSERT(uv_loop_close(&loop) == 0);
    return 0;
}
