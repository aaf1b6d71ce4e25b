/* Calls, their answers and their deadlines. What comes in: etcd_grpc_receive.c.
 *
 * A call that has ended here stays until its HTTP/2 stream is closed, which the end of the answer
 * sees to (http2.h); what still comes is dropped. Deadlines are looked at by one timer, which runs
 * while a call has one. */
#include "raft/etcd/etcd_grpc.h"

#include "base/assert.h"
#include "base/mem.h"
#include "raft/etcd/etcd_grpc_impl.h"
#include "raft/etcd/etcd_grpc_text.h"
#include "raft/etcd/etcd_message.h"
#include "raft/etcd/etcd_proto.h"

enum { DEADLINE_MS = 50 };

static const struct http2_header content_type = {
    {(const uint8_t *)"content-type", sizeof "content-type" - 1},
    {(const uint8_t *)"application/grpc", sizeof "application/grpc" - 1}};

static struct http2_header header_of(const char *name, struct span value)
{
    return (struct http2_header){.name = span_str(name), .value = value};
}

/* --- answers ---------------------------------------------------------------------------------- */

void grpc_call_end(struct grpc_call *call, enum grpc_code code, struct span text, bool encodings)
{
    struct http2_header headers[4];
    size_t count = 0;
    char number[] = {(char)('0' + (int)code / 10), (char)('0' + (int)code % 10)};
    if (call->finished) {
        return;
    }
    call->finished = true;
    grpc_call_set_deadlines(call, 0, 0);
    grpc_call_drop_input(call);
    struct buf *message = &call->server->out;
    buf_clear(message);
    grpc_percent_encode(text, message);
    if (!call->headed) {
        headers[count++] = content_type;
    }
    headers[count++] = header_of("grpc-status", span_of(number + (code < 10), code < 10 ? 1 : 2));
    headers[count++] = header_of("grpc-message", buf_span(message));
    if (encodings) {
        headers[count++] = header_of("grpc-accept-encoding", span_str("identity"));
    }
    if (call->headed) {
        http2_finish(call->stream, headers, count);
    } else {
        http2_respond(call->stream, 200, headers, count, true);
    }
}

void grpc_finish(struct grpc_call *call, enum grpc_code code, struct span text)
{
    static const struct span none = {.data = NULL};
    if (!call->finished && code == GRPC_OK && !call->headed) { /* no message: a head all the same */
        call->headed = true;
        http2_respond(call->stream, 200, &content_type, 1, false);
    }
    grpc_call_end(call, code, code == GRPC_OK ? none : text, false);
}

void grpc_call_refuse(struct grpc_call *call, enum grpc_code code, const char *text)
{
    grpc_call_end(call, code, span_str(text), false);
}

void grpc_fail(struct grpc_call *call, enum etcd_error error)
{
    grpc_call_refuse(call, etcd_error_code(error), etcd_error_text(error));
}

/* A whole message in `out`, its prefix first. */
static void put_message(struct buf *out, const struct etcd_type *type, const void *message)
{
    const uint8_t later[GRPC_PREFIX_BYTES] = {0};
    buf_clear(out);
    buf_put(out, later, sizeof later);
    etcd_proto_encode(type, message, out);
    size_t len = out->len - GRPC_PREFIX_BYTES;
    ASSERT(len <= UINT32_MAX);
    for (size_t i = 0; i < GRPC_PREFIX_BYTES - 1; i++) {
        out->data[GRPC_PREFIX_BYTES - 1 - i] = (uint8_t)(len >> (8 * i));
    }
}

int grpc_put(struct grpc_call *call, struct span bytes, struct error *err)
{
    if (call->finished) {
        return 0;
    }
    if (!call->headed) {
        call->headed = true;
        http2_respond(call->stream, 200, &content_type, 1, false);
    }
    return http2_send(call->stream, bytes, err);
}

int grpc_begin(struct grpc_call *call, size_t bytes, struct error *err)
{
    uint8_t prefix[GRPC_PREFIX_BYTES] = {0};
    for (size_t i = 0; i < GRPC_PREFIX_BYTES - 1; i++) {
        prefix[GRPC_PREFIX_BYTES - 1 - i] = (uint8_t)(bytes >> (8 * i));
    }
    return grpc_put(call, span_of(prefix, sizeof prefix), err);
}

int grpc_reply(struct grpc_call *call, const void *message, struct error *err)
{
    struct buf *out = &call->server->out;
    if (call->finished) {
        return 0;
    }
    put_message(out, call->method->response, message);
    int rc = grpc_put(call, buf_span(out), err);
    if (out->capacity > GRPC_MESSAGE_BYTES_MAX) {
        buf_free(out);
    }
    return rc;
}

void grpc_answer(struct grpc_call *call, const void *message)
{
    if (grpc_reply(call, message, NULL) != 0) {
        grpc_fail(call, ETCD_ERROR_TOO_MANY_REQUESTS);
    } else {
        grpc_finish(call, GRPC_OK, span_of(NULL, 0));
    }
}

/* --- health ----------------------------------------------------------------------------------- */

static bool has_service(const struct grpc_server *server, struct span service)
{
    for (size_t i = 0; i < server->config.methods_count; i++) {
        if (span_equal_str(service, server->config.methods[i].service)) {
            return true;
        }
    }
    return false;
}

static void on_health_check(void *arg, struct grpc_call *call, const void *message)
{
    const struct etcd_health_check_request *request = message;
    const struct grpc_config *config = &call->server->config;
    bool serves = config->is_serving(arg);
    struct etcd_health_check_response response = {.status = serves ? ETCD_HEALTH_SERVING
                                                                   : ETCD_HEALTH_NOT_SERVING};
    if (request->service.len > 0 && !has_service(call->server, request->service)) {
        grpc_call_refuse(call, GRPC_NOT_FOUND, "unknown service");
    } else {
        grpc_answer(call, &response);
    }
}

static const struct grpc_method health = {.service = "grpc.health.v1.Health",
                                          .name = "Check",
                                          .request = &etcd_type_health_check_request,
                                          .response = &etcd_type_health_check_response,
                                          .on_message = on_health_check};

/* --- calls ------------------------------------------------------------------------------------ */

static void put_shown(struct buf *out, const char *before, struct span name)
{
    enum { SHOWN_BYTES = 256 };
    buf_put_str(out, before);
    buf_put(out, name.data, name.len < SHOWN_BYTES ? name.len : SHOWN_BYTES);
}

static void refuse_method(struct grpc_call *call, struct span service, struct span name)
{
    struct buf text = BUF_INIT;
    if (name.len > 0) {
        put_shown(&text, "unknown method ", name);
        put_shown(&text, " for service ", service);
    } else {
        put_shown(&text, "unknown service ", service);
    }
    grpc_call_end(call, GRPC_UNIMPLEMENTED, buf_span(&text), false);
    buf_free(&text);
}

static const struct grpc_method *find_method(const struct grpc_server *server, struct span service,
                                             struct span name, bool *ret_service)
{
    const struct grpc_method *method = &health;
    *ret_service = has_service(server, service) || span_equal_str(service, health.service);
    for (size_t i = 0;; i++) {
        if (span_equal_str(service, method->service) && span_equal_str(name, method->name)) {
            return method;
        }
        if (i == server->config.methods_count) {
            return NULL;
        }
        method = &server->config.methods[i];
    }
}

static void take_method(struct grpc_call *call, struct span path)
{
    bool is_service = false;
    size_t slash = path.len;
    while (slash > 0 && path.data[slash - 1] != '/') {
        slash--;
    }
    if (slash < 2 || path.data[0] != '/') { /* one slash at most */
        grpc_call_refuse(call, GRPC_UNIMPLEMENTED, "malformed method name");
        return;
    }
    struct span service = span_of(path.data + 1, slash - 2);
    struct span name = span_of(path.data + slash, path.len - slash);
    call->method = find_method(call->server, service, name, &is_service);
    if (call->method == NULL) {
        refuse_method(call, service, is_service ? name : span_of(NULL, 0));
    }
}

static void take_header(struct grpc_call *call, const struct http2_header *header)
{
    int64_t timeout_ms = 0;
    struct span value = header->value;
    if (span_equal_str(header->name, "grpc-timeout")) {
        if (grpc_timeout_parse(value, &timeout_ms)) {
            grpc_call_set_deadlines(call, uv_now(call->server->loop) + (uint64_t)timeout_ms,
                                    call->message_until_ms);
        } else {
            grpc_call_refuse(call, GRPC_INTERNAL, "malformed grpc-timeout");
        }
    } else if (span_equal_str(header->name, "grpc-encoding")) {
        if (!span_equal_str(value, "identity")) {
            grpc_call_end(call, GRPC_UNIMPLEMENTED,
                          span_str("grpc: compressed messages are not supported, send identity"),
                          true);
        }
    } else if (span_equal_str(header->name, "hasleader")) {
        call->wants_leader = span_equal_str(value, "true");
    } else if (span_equal_str(header->name, "token") ||
               (span_equal_str(header->name, "authorization") && call->token.len == 0)) {
        buf_clear(&call->token);
        if (value.len <= GRPC_TOKEN_BYTES_MAX) {
            buf_put_span(&call->token, value);
        } else {
            grpc_fail(call, ETCD_ERROR_INVALID_AUTH_TOKEN);
        }
    }
}

static void maybe_stopped(struct grpc_server *server)
{
    if (server->timer_closed && list_empty(&server->calls)) {
        void (*stopped)(void *arg) = server->stopped;
        void *arg = server->stopped_arg;
        buf_free(&server->out);
        mem_free(server);
        if (stopped != NULL) {
            stopped(arg);
        }
    }
}

static void on_close(void *arg, struct http2_stream *stream, int rc)
{
    struct grpc_call *call = http2_stream_arg(stream);
    struct grpc_server *server = call->server;
    (void)arg;
    (void)rc;
    call->finished = true;
    if (call->known && call->method->on_close != NULL) {
        call->method->on_close(server->config.arg, call);
    }
    grpc_call_set_deadlines(call, 0, 0);
    grpc_call_drop_input(call);
    list_remove(&call->link);
    buf_free(&call->token);
    mem_free(call);
    maybe_stopped(server);
}

void grpc_serve(struct grpc_server *server, struct http2_stream *stream,
                const struct http2_request *request)
{
    static const struct http2_events events = {.on_data = grpc_call_on_data,
                                               .on_request_end = grpc_call_on_request_end,
                                               .on_close = on_close};
    struct grpc_call *call = mem_new(struct grpc_call);
    call->server = server;
    call->stream = stream;
    list_append(&server->calls, &call->link);
    http2_stream_hand_over(stream, &events, server);
    http2_stream_set_arg(stream, call);
    if (server->stopping) {
        grpc_fail(call, ETCD_ERROR_STOPPED);
    } else if (!span_equal_str(request->method, "POST")) {
        call->finished = true;
        http2_respond(stream, 405, NULL, 0, true);
    } else {
        take_method(call, request->path);
        if (call->method != NULL && call->method->streaming && !http2_lasts(stream)) {
            grpc_call_refuse(call, GRPC_UNAVAILABLE, "etcdserver: too many streams");
        }
        grpc_call_wait_for_message(call, call->method != NULL && !call->method->streaming);
    }
    for (size_t i = 0; i < request->headers_count && !call->finished; i++) {
        take_header(call, &request->headers[i]);
    }
}

void grpc_call_set_arg(struct grpc_call *call, void *arg)
{
    call->arg = arg;
}

void *grpc_call_arg(const struct grpc_call *call)
{
    return call->arg;
}

struct span grpc_call_token(const struct grpc_call *call)
{
    return buf_span(&call->token);
}

bool grpc_call_wants_leader(const struct grpc_call *call)
{
    return call->wants_leader;
}

const struct grpc_method *grpc_call_method(const struct grpc_call *call)
{
    return call->method;
}

const struct stream_peer *grpc_call_peer(const struct grpc_call *call)
{
    return http2_stream_peer(call->stream);
}

bool grpc_call_has_ended(const struct grpc_call *call)
{
    return call->finished;
}

size_t grpc_call_pending(const struct grpc_call *call)
{
    return http2_pending(call->stream);
}

/* --- deadlines and the server ----------------------------------------------------------------- */

static void on_deadline(uv_timer_t *timer)
{
    struct grpc_server *server = timer->data;
    uint64_t now_ms = uv_now(server->loop);
    LIST_EACH(item, &server->calls)
    {
        struct grpc_call *call = LIST_OWNER(item, struct grpc_call, link);
        if (call->deadline_ms != 0 && now_ms >= call->deadline_ms) {
            grpc_call_refuse(call, GRPC_DEADLINE_EXCEEDED, "context deadline exceeded");
        } else if (call->message_until_ms != 0 && now_ms >= call->message_until_ms) {
            grpc_call_refuse(call, GRPC_DEADLINE_EXCEEDED,
                             "grpc: a message took too long to arrive");
        }
    }
}

void grpc_call_set_deadlines(struct grpc_call *call, uint64_t deadline_ms,
                             uint64_t message_until_ms)
{
    struct grpc_server *server = call->server;
    bool timed = deadline_ms != 0 || message_until_ms != 0;
    call->deadline_ms = deadline_ms;
    call->message_until_ms = message_until_ms;
    server->timed += timed;
    server->timed -= call->timed;
    call->timed = timed;
    if (server->stopping) {
        return;
    }
    if (server->timed == 0) {
        (void)uv_timer_stop(&server->timer);
    } else if (uv_is_active((const uv_handle_t *)&server->timer) == 0) {
        (void)uv_timer_start(&server->timer, on_deadline, DEADLINE_MS, DEADLINE_MS);
    }
}

struct grpc_server *grpc_server_new(uv_loop_t *loop, const struct grpc_config *config)
{
    struct grpc_server *server = mem_new(struct grpc_server);
    server->loop = loop;
    server->config = *config;
    list_init(&server->calls);
    server->timer.data = server;
    (void)uv_timer_init(loop, &server->timer);
    return server;
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct grpc_server *server = handle->data;
    server->timer_closed = true;
    maybe_stopped(server);
}

void grpc_server_stop(struct grpc_server *server, enum grpc_code code, struct span text,
                      void (*stopped)(void *arg), void *arg)
{
    ASSERT(!server->stopping);
    server->stopping = true;
    server->stopped = stopped;
    server->stopped_arg = arg;
    uv_close((uv_handle_t *)&server->timer, on_timer_closed);
    LIST_EACH(item, &server->calls)
    {
        grpc_call_end(LIST_OWNER(item, struct grpc_call, link), code, text, false);
    }
}
