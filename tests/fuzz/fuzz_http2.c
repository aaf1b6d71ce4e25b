/* Bytes of a client of HTTP/2, in pieces of any size, against the server itself, over a stream that
 * is no socket. The first byte says how stream and handler behave. Each request gets its events in
 * order and exactly one close, whatever comes, and nothing is left behind. */
#include "base/assert.h"
#include "base/net/http2.h"
#include "tests/fuzz/fake_stream.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { GREET = 1, LATER = 2, SLOW = 4, STOP = 8, PIECE_SHIFT = 4, WAITING_MAX = 256 };

static struct {
    uint8_t mode;
    size_t open; /* requests without their close */
    struct http2_stream *waiting[WAITING_MAX];
    bool stopped;
} fake;

/* --- the handler ------------------------------------------------------------------------------ */

static void answer(struct http2_stream *stream)
{
    static const struct http2_header trailers[] = {
        {{(const uint8_t *)"grpc-status", 11}, {(const uint8_t *)"0", 1}}};
    static const uint8_t body[20000];
    http2_respond(stream, 200, trailers, 1, false);
    ASSERT(http2_send(stream, span_of(body, sizeof body), NULL) == 0);
    http2_finish(stream, trailers, 1);
}

static void on_request(void *arg, struct http2_stream *stream, const struct http2_request *request)
{
    (void)arg;
    ASSERT(request->method.len > 0 && request->headers_count <= HTTP2_HEADERS_MAX);
    ASSERT(http2_stream_peer(stream) == &fake_stream.peer);
    fake.open++;
    ASSERT(fake.open <= HTTP2_STREAMS_MAX);
    if ((fake.mode & LATER) == 0) {
        answer(stream);
        return;
    }
    for (size_t i = 0; i < WAITING_MAX; i++) {
        if (fake.waiting[i] == NULL) {
            fake.waiting[i] = stream;
            return;
        }
    }
    ASSERT(false);
}

static void on_data(void *arg, struct http2_stream *stream, struct span bytes)
{
    (void)arg;
    ASSERT(bytes.len > 0);
    http2_consume(stream, bytes.len);
}

static void on_request_end(void *arg, struct http2_stream *stream)
{
    (void)arg;
    (void)stream;
    ASSERT(fake.open > 0);
}

static void on_close(void *arg, struct http2_stream *stream, int rc)
{
    (void)arg;
    ASSERT(rc == 0 || rc == ERR_CANCELED || rc == ERR_CLOSED);
    ASSERT(fake.open > 0);
    fake.open--;
    for (size_t i = 0; i < WAITING_MAX; i++) {
        fake.waiting[i] = fake.waiting[i] == stream ? NULL : fake.waiting[i];
    }
}

static const struct http2_events events = {.on_request = on_request,
                                           .on_data = on_data,
                                           .on_request_end = on_request_end,
                                           .on_close = on_close};

/* --- the loop --------------------------------------------------------------------------------- */

static void turn(uv_loop_t *loop)
{
    for (size_t i = 0; i < WAITING_MAX; i++) {
        struct http2_stream *stream = fake.waiting[i];
        fake.waiting[i] = NULL;
        if (stream != NULL) {
            answer(stream);
        }
    }
    (void)uv_run(loop, UV_RUN_NOWAIT);
    fake_stream_drain();
}

static void on_stopped(void *arg)
{
    (void)arg;
    fake.stopped = true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t greeting[] = HTTP2_PREFACE "\0\0\0\4\0\0\0\0";
    struct http2_server *server = NULL;
    struct error err = {0};
    uv_loop_t loop;
    if (size == 0) {
        return 0;
    }
    memset(&fake, 0, sizeof fake);
    fake.mode = data[0];
    ASSERT(uv_loop_init(&loop) == 0);
    ASSERT(http2_server_start(&loop, &events, NULL, &server, &err) == 0);
    http2_server_serve(server, fake_stream_open((data[0] & SLOW) != 0, NULL),
                       span_of(greeting, (data[0] & GREET) != 0 ? sizeof greeting : 0));
    fake_stream_feed(&loop, span_of(data + 1, size - 1), (size_t)(data[0] >> PIECE_SHIFT) * 16 + 1,
                     turn);
    if ((data[0] & STOP) != 0) {
        http2_server_stop(server, on_stopped, NULL);
        turn(&loop);
    }
    fake_stream_end();
    ASSERT(fake.open == 0);
    if ((data[0] & STOP) == 0) {
        http2_server_stop(server, on_stopped, NULL);
    }
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    ASSERT(fake.stopped);
    ASSERT(uv_loop_close(&loop) == 0);
    return 0;
}
