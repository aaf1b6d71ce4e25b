/* The body of a call of gRPC: the first byte says which method and whether the client ends it, the
 * second how the body is cut into DATA frames. Whatever is in it, the call ends once, no message is
 * lost or invented, and nothing is left behind. */
#include "base/assert.h"
#include "base/buf.h"
#include "raft/etcd/etcd_grpc.h"
#include "raft/etcd/etcd_message.h"
#include "tests/fuzz/fake_stream.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STREAMING = 1, UNENDED = 2 };

static struct {
    struct buf written;
    size_t messages;
    size_t ends;
    size_t closes;
    unsigned stopped;
    struct grpc_server *grpc;
} fake;

static void on_write(struct span bytes)
{
    buf_put_span(&fake.written, bytes);
}

static void on_txn(void *arg, struct grpc_call *call, const void *message)
{
    const struct etcd_txn_request *request = message;
    struct etcd_txn_response response = {.succeeded = request->success_count > 0};
    (void)arg;
    fake.messages++;
    ASSERT(fake.messages == 1);
    grpc_answer(call, &response);
}

static void on_watch(void *arg, struct grpc_call *call, const void *message)
{
    const struct etcd_watch_request *request = message;
    struct etcd_watch_response response = {.created = request->which == ETCD_WATCH_CREATE};
    (void)arg;
    ASSERT(fake.ends == 0 && !grpc_call_has_ended(call));
    fake.messages++;
    if (request->which == ETCD_WATCH_PROGRESS) {
        grpc_fail(call, ETCD_ERROR_NO_LEADER);
    } else {
        ASSERT(grpc_reply(call, &response, NULL) == 0);
    }
}

static void on_end(void *arg, struct grpc_call *call)
{
    (void)arg;
    fake.ends++;
    grpc_finish(call, GRPC_OK, span_of(NULL, 0));
}

static void on_call_close(void *arg, struct grpc_call *call)
{
    (void)arg;
    ASSERT(grpc_call_has_ended(call));
    fake.closes++;
}

static bool is_serving(void *arg)
{
    (void)arg;
    return true;
}

static const struct grpc_method methods[] = {{.service = "a",
                                              .name = "t",
                                              .request = &etcd_type_txn_request,
                                              .response = &etcd_type_txn_response,
                                              .on_message = on_txn,
                                              .on_close = on_call_close},
                                             {.service = "a",
                                              .name = "w",
                                              .request = &etcd_type_watch_request,
                                              .response = &etcd_type_watch_response,
                                              .streaming = true,
                                              .on_message = on_watch,
                                              .on_end = on_end,
                                              .on_close = on_call_close}};

static void on_request(void *arg, struct http2_stream *stream, const struct http2_request *request)
{
    (void)arg;
    grpc_serve(fake.grpc, stream, request);
}

static const struct http2_events events = {.on_request = on_request};

static void put_frame(struct buf *out, uint8_t type, bool end, struct span payload)
{
    const uint8_t head[] = {(uint8_t)(payload.len >> 16),
                            (uint8_t)(payload.len >> 8),
                            (uint8_t)payload.len,
                            type,
                            (uint8_t)((type == 1 ? 4 : 0) | (end ? 1 : 0)),
                            0,
                            0,
                            0,
                            1};
    buf_put(out, head, sizeof head);
    buf_put_span(out, payload);
}

static void put_request(struct buf *out, struct span body, uint8_t mode, size_t piece)
{
    uint8_t head[] = "\x83\x86\x04\x04/a/t\x01\x01h"; /* method, scheme, path, authority */
    head[7] = (mode & STREAMING) != 0 ? 'w' : 't';
    bool unended = (mode & UNENDED) != 0;
    buf_put(out, HTTP2_PREFACE "\0\0\0\4\0\0\0\0", 33);
    put_frame(out, 1, !unended && body.len == 0, span_of(head, sizeof head - 1));
    while (body.len > 0) {
        size_t len = body.len < piece ? body.len : piece;
        put_frame(out, 0, !unended && len == body.len, span_of(body.data, len));
        body = span_of(body.data + len, body.len - len);
    }
}

/* What the client is told of its call, frame by frame. */
static void check_written(bool unended)
{
    enum { HEAD = 9, DATA = 0, HEADERS = 1, END_STREAM = 1, STATUS_200 = 0x88, WINDOW = 65535 };
    const struct buf *out = &fake.written;
    unsigned heads = 0;
    unsigned ends = 0;
    size_t len = 0;
    for (size_t at = 0; at < out->len; at += HEAD + len) {
        const uint8_t *frame = out->data + at;
        ASSERT(out->len - at >= HEAD);
        len = (size_t)frame[0] << 16 | (size_t)frame[1] << 8 | frame[2];
        ASSERT(out->len - at - HEAD >= len);
        heads += frame[3] == HEADERS && len > 0 && frame[HEAD] == STATUS_200;
        ends += (frame[3] == DATA || frame[3] == HEADERS) && (frame[4] & END_STREAM) != 0;
    }
    ASSERT(heads <= 1 && ends <= heads);
    ASSERT(unended || (heads == 1 && (ends == 1 || out->len >= WINDOW)));
}

static void on_stopped(void *arg)
{
    (void)arg;
    fake.stopped++;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct grpc_config config = {
        .methods = methods, .methods_count = 2, .is_serving = is_serving};
    struct http2_server *server = NULL;
    struct error err = {0};
    struct buf input = BUF_INIT;
    uv_loop_t loop;
    if (size < 2 || size > 60000) {
        return 0;
    }
    memset(&fake, 0, sizeof fake);
    put_request(&input, span_of(data + 2, size - 2), data[0], (size_t)data[1] * 8 + 1);
    ASSERT(uv_loop_init(&loop) == 0);
    fake.grpc = grpc_server_new(&loop, &config);
    ASSERT(http2_server_start(&loop, &events, NULL, &server, &err) == 0);
    http2_server_serve(server, fake_stream_open(false, on_write), buf_span(&input));
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    check_written((data[0] & UNENDED) != 0);
    ASSERT(fake.messages <= (size - 2) / 5);
    fake_stream_end();
    ASSERT(fake.closes == (fake.messages + fake.ends > 0));
    grpc_server_stop(fake.grpc, GRPC_UNAVAILABLE, span_str(""), on_stopped, NULL);
    http2_server_stop(server, on_stopped, NULL);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    ASSERT(fake.stopped == 2);
    ASSERT(uv_loop_close(&loop) == 0);
    buf_free(&input);
    buf_free(&fake.written);
    return 0;
}
