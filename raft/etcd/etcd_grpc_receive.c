/* A message is a flag, four bytes of length, and that many bytes of protobuf, cut into DATA frames
 * anywhere. They are gathered in `in`, which holds at most one message that is not whole. */
#include "base/mem.h"
#include "raft/etcd/etcd_grpc_impl.h"
#include "raft/etcd/etcd_message.h"
#include "raft/etcd/etcd_proto.h"

static void count_held(struct grpc_call *call)
{
    call->server->held += call->in.len - call->counted;
    call->counted = call->in.len;
}

void grpc_call_drop_input(struct grpc_call *call)
{
    buf_free(&call->in);
    count_held(call);
}

static void decode_failed(struct grpc_call *call, int rc, const struct error *err)
{
    struct buf text = BUF_INIT;
    if (rc == ERR_BUSY) {
        grpc_fail(call, ETCD_ERROR_TOO_MANY_OPS);
        return;
    }
    buf_printf(&text, "grpc: error unmarshalling request: %s", err->text);
    grpc_call_end(call, rc == ERR_LIMIT ? GRPC_RESOURCE_EXHAUSTED : GRPC_INTERNAL, buf_span(&text),
                  false);
    buf_free(&text);
}

static void hand_over(struct grpc_call *call, struct span bytes)
{
    const struct etcd_type *type = call->method->request;
    struct error err = {0};
    struct arena arena;
    arena_init(&arena, ETCD_ARENA_BUDGET(bytes.len));
    void *message = mem_alloc(type->bytes);
    int rc = etcd_proto_decode(type, bytes, &arena, message, &err);
    if (rc != 0) {
        decode_failed(call, rc, &err);
    } else {
        call->known = true;
        call->method->on_message(call->server->config.arg, call, message);
    }
    mem_free(message);
    arena_free(&arena);
}

/* The length of the message that `bytes` begin with; false: it is not known yet, or refused. */
static bool take_prefix(struct grpc_call *call, struct span bytes, size_t *ret_len)
{
    const uint8_t *prefix = bytes.data;
    struct buf text = BUF_INIT;
    if (bytes.len < GRPC_PREFIX_BYTES) {
        return false;
    }
    size_t len = (size_t)prefix[1] << 24 | (size_t)prefix[2] << 16 | (size_t)prefix[3] << 8 |
                 (size_t)prefix[4];
    if (prefix[0] == 1) {
        grpc_call_end(call, GRPC_UNIMPLEMENTED,
                      span_str("grpc: compressed messages are not supported, send identity"), true);
    } else if (prefix[0] != 0) {
        buf_printf(&text, "grpc: received unexpected payload format %u", (unsigned)prefix[0]);
        grpc_call_end(call, GRPC_INTERNAL, buf_span(&text), false);
    } else if (len > GRPC_MESSAGE_BYTES_MAX) {
        buf_printf(&text, "grpc: received message larger than max (%zu vs. %zu)", len,
                   GRPC_MESSAGE_BYTES_MAX);
        grpc_call_end(call, GRPC_RESOURCE_EXHAUSTED, buf_span(&text), false);
    }
    buf_free(&text);
    *ret_len = len;
    return !call->finished;
}

void grpc_call_wait_for_message(struct grpc_call *call, bool waits)
{
    if (!call->finished && waits != (call->message_until_ms != 0)) {
        grpc_call_set_deadlines(call, call->deadline_ms,
                                waits ? uv_now(call->server->loop) + GRPC_MESSAGE_MS : 0);
    }
}

/* Streaming: every message that is whole. The bytes leave `in` first: an event may end the call. */
static void take_messages(struct grpc_call *call)
{
    struct buf in = call->in;
    size_t at = 0;
    size_t len = 0;
    call->in = (struct buf)BUF_INIT;
    while (!call->finished && take_prefix(call, span_of(in.data + at, in.len - at), &len) &&
           in.len - at - GRPC_PREFIX_BYTES >= len) {
        hand_over(call, span_of(in.data + at + GRPC_PREFIX_BYTES, len));
        at += GRPC_PREFIX_BYTES + len;
    }
    if (call->finished || at == in.len) {
        buf_free(&in);
    } else {
        buf_drop(&in, at);
    }
    call->in = in;
    count_held(call);
    grpc_call_wait_for_message(call,
                               at == 0 && call->message_until_ms != 0); /* drops win no time */
    grpc_call_wait_for_message(call, in.len > 0);
}

void grpc_call_on_data(void *arg, struct http2_stream *stream, struct span bytes)
{
    struct grpc_call *call = http2_stream_arg(stream);
    size_t len = 0;
    (void)arg;
    if (!call->finished) {
        buf_put_span(&call->in, bytes);
        count_held(call);
        if (call->method->streaming) {
            take_messages(call);
        } else if (take_prefix(call, buf_span(&call->in), &len) &&
                   call->in.len > GRPC_PREFIX_BYTES + len) {
            grpc_call_refuse(call, GRPC_INTERNAL, "grpc: more than one message in a unary call");
        }
        if (call->server->held > GRPC_HELD_BYTES_MAX) {
            grpc_fail(call, ETCD_ERROR_TOO_MANY_REQUESTS);
        }
    }
    http2_consume(stream, bytes.len);
}

static void end_of_stream(struct grpc_call *call)
{
    if (call->method->on_end == NULL) {
        grpc_finish(call, GRPC_OK, span_of(NULL, 0));
        return;
    }
    call->known = true;
    call->method->on_end(call->server->config.arg, call);
}

void grpc_call_on_request_end(void *arg, struct http2_stream *stream)
{
    struct grpc_call *call = http2_stream_arg(stream);
    size_t len = 0;
    (void)arg;
    if (call->finished) {
        return;
    }
    if (call->method->streaming) {
        if (call->in.len > 0) {
            grpc_call_refuse(call, GRPC_INTERNAL, "unexpected EOF");
        } else {
            end_of_stream(call);
        }
        return;
    }
    if (!take_prefix(call, buf_span(&call->in), &len) || call->in.len < GRPC_PREFIX_BYTES + len) {
        grpc_call_refuse(call, GRPC_INTERNAL, "unexpected EOF");
        return;
    }
    struct buf in =
        call->in; /* the message is whole: it leaves the account of those that are not */
    call->in = (struct buf)BUF_INIT;
    count_held(call);
    hand_over(call, span_of(in.data + GRPC_PREFIX_BYTES, len));
    buf_free(&in);
}
