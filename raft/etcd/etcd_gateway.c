/* The carrier of etcd's calls as JSON over HTTP: what grpc-gateway 1 does in front of etcd 3.4.
 *
 * The body is copied before a handler sees it, because the answer, which may come from inside the
 * handler, ends the request. A unary call is answered when it finishes. A streamed one gets its
 * head with its first message, so that an error before that has its own status; until then the
 * client's end is noticed (http_notice), from then on it ends the stream. All that the client has
 * to say stands in the body: a stream of messages is several values, one after the other.
 *
 * on_close never comes from inside etcd_call_finish: the timer that also keeps the client's
 * deadline brings it in the next turn of the loop. */
#include "base/assert.h"
#include "base/list.h"
#include "base/mem.h"
#include "raft/etcd/etcd_call.h"
#include "raft/etcd/etcd_grpc_text.h"
#include "raft/etcd/etcd_http.h"
#include "raft/etcd/etcd_json.h"
#include "raft/etcd/etcd_json_scan.h"
#include "raft/etcd/etcd_proto.h"
#include "raft/etcd/etcd_room.h"

#include <stdio.h>
#include <string.h>

enum {
    MESSAGES_MAX = 1024,                 /* in the body of a stream */
    PENDING_BYTES_MAX = 2 * 1024 * 1024, /* of a stream: more is for the handler to hold back */
};

struct gateway_call {
    struct etcd_call call;          /* first: the carriers share it */
    struct list link;               /* in the service's calls, until it has ended */
    struct http_exchange *exchange; /* NULL: it was answered, or its client is gone */
    struct buf out;                 /* the answer of a unary call */
    bool started;                   /* the head of a stream is sent */
    bool known;                     /* an event came, so on_close must */
    bool has_timer;
    uv_timer_t timer;
};

static struct gateway_call *of(struct etcd_call *call)
{
    return (struct gateway_call *)(void *)call;
}

static const char json_type[] = "application/json";
/* As etcd's gateway says it of the call behind it. */
static const char json_headers[] = "Grpc-Metadata-Content-Type: application/grpc\r\n";

/* --- the end of a call ------------------------------------------------------------------------ */

static void on_timer_closed(uv_handle_t *handle)
{
    struct gateway_call *x = handle->data;
    etcd_call_unref(&x->call);
}

/* The last thing: the carrier's own reference goes. */
static void let_go(struct gateway_call *x)
{
    void (*on_close)(struct etcd_call * call) = x->call.method->on_close;
    ASSERT(x->exchange == NULL && x->call.ops == NULL);
    list_remove(&x->link);
    if (x->known && on_close != NULL) {
        on_close(&x->call);
    }
    if (x->has_timer) {
        uv_close((uv_handle_t *)&x->timer, on_timer_closed);
    } else {
        etcd_call_unref(&x->call);
    }
}

static void on_let_go(uv_timer_t *timer)
{
    let_go(timer->data);
}

static void set_timer(struct gateway_call *x, void (*on_timer)(uv_timer_t *timer), uint64_t ms)
{
    if (!x->has_timer) {
        x->has_timer = true;
        x->timer.data = x;
        (void)uv_timer_init(etcd_service_config(x->call.service)->loop, &x->timer);
    }
    (void)uv_timer_start(&x->timer, on_timer, ms, 0);
}

static void let_go_soon(struct gateway_call *x)
{
    if (x->known && x->call.method->on_close != NULL) {
        set_timer(x, on_let_go, 0);
    } else {
        let_go(x);
    }
}

/* What is owed to the exchange although nobody listens. */
static void release_exchange(struct gateway_call *x)
{
    struct http1_response nothing = {.status = 503};
    struct http_exchange *exchange = x->exchange;
    x->exchange = NULL;
    if (x->started) {
        http_stream_end(exchange);
    } else {
        http_respond(exchange, &nothing);
    }
}

static void on_gone(void *arg)
{
    struct gateway_call *x = arg;
    x->call.ops = NULL;
    release_exchange(x);
    let_go(x);
}

static void free_call(struct etcd_call *call)
{
    buf_free(&of(call)->out);
    mem_free(of(call));
}

/* --- answers ---------------------------------------------------------------------------------- */

static void respond(struct http_exchange *exchange, int status, const char *headers,
                    struct span body)
{
    struct http1_response response = {
        .status = status, .content_type = json_type, .headers = headers, .body = body};
    http_respond(exchange, &response);
}

static void respond_error(struct http_exchange *exchange, enum grpc_code code, struct span text,
                          bool of_stream)
{
    struct buf body = BUF_INIT;
    if (of_stream) {
        etcd_error_stream_body(code, text, &body);
    } else {
        etcd_error_body(code, text, &body);
    }
    respond(exchange, grpc_http_status(code), NULL, buf_span(&body));
    buf_free(&body);
}

/* False: the client is gone, and so is the call. */
static bool start_stream(struct gateway_call *x)
{
    static const struct http1_response head = {
        .status = 200, .content_type = json_type, .headers = json_headers};
    if (http_stream_start(x->exchange, &head, on_gone, x) != 0) {
        x->exchange = NULL;
        x->call.ops = NULL;
        let_go_soon(x);
        return false;
    }
    x->started = true;
    return true;
}

static int reply_streamed(struct gateway_call *x, const void *message, struct error *err)
{
    size_t waiting = x->started ? http_stream_pending(x->exchange) : 0;
    struct buf line = BUF_INIT;
    if (waiting > PENDING_BYTES_MAX) {
        return error_set(err, ERR_LIMIT, "%zu bytes of the stream wait to be sent", waiting);
    }
    buf_put_str(&line, "{\"result\":");
    etcd_json_encode(x->call.method->response, message, &line);
    buf_put_str(&line, "}\n");
    if (!etcd_room_has(x->exchange, waiting, line.len)) {
        buf_free(&line);
        return error_set(err, ERR_LIMIT, "too much waits to be sent to all clients");
    }
    if (x->started || start_stream(x)) {
        http_stream_send(x->exchange, buf_span(&line));
    }
    buf_free(&line);
    return 0;
}

static int gateway_reply(struct etcd_call *call, const void *message, struct error *err)
{
    struct gateway_call *x = of(call);
    if (call->method->answer_streams) {
        return reply_streamed(x, message, err);
    }
    ASSERT(x->out.len == 0); /* one answer */
    etcd_json_encode(call->method->response, message, &x->out);
    return 0;
}

static int gateway_begin(struct etcd_call *call, const void *message,
                         struct etcd_encoder *ret_encoder)
{
    etcd_encoder_init(ret_encoder, ETCD_ENCODING_JSON, call->method->response, message);
    (void)start_stream(of(call)); /* if the client is gone, the call has ended */
    return 0;
}

static int gateway_put(struct etcd_call *call, struct span bytes)
{
    http_stream_send(of(call)->exchange, bytes);
    return 0;
}

static void finish_stream(struct gateway_call *x, enum grpc_code code, struct span text)
{
    struct buf body = BUF_INIT;
    if (code != GRPC_OK && !x->call.method->answer_streams) { /* half an answer is under way */
        http_stream_cut(x->exchange);
        return;
    }
    if (code != GRPC_OK) {
        etcd_error_stream_body(code, text, &body);
        http_stream_send(x->exchange, buf_span(&body));
        buf_free(&body);
    }
    http_stream_end(x->exchange);
}

static void gateway_finish(struct etcd_call *call, enum grpc_code code, struct span text)
{
    struct gateway_call *x = of(call);
    list_remove(&x->link);
    if (x->started) {
        finish_stream(x, code, text);
    } else if (code != GRPC_OK) {
        respond_error(x->exchange, code, text, call->method->answer_streams);
    } else {
        respond(x->exchange, 200, x->out.len > 0 ? json_headers : NULL, buf_span(&x->out));
    }
    x->exchange = NULL;
    let_go_soon(x);
}

/* Before any handler knew of it. */
static void refuse_stream(struct gateway_call *x, enum grpc_code code, const char *text)
{
    x->call.ops = NULL;
    respond_error(x->exchange, code, span_str(text), false);
    x->exchange = NULL;
    let_go_soon(x);
}

static size_t gateway_pending(const struct etcd_call *call)
{
    const struct gateway_call *x = (const struct gateway_call *)(const void *)call;
    return x->started ? http_stream_pending(x->exchange) : 0;
}

static const struct etcd_call_ops gateway_ops = {.reply = gateway_reply,
                                                 .finish = gateway_finish,
                                                 .pending = gateway_pending,
                                                 .begin = gateway_begin,
                                                 .put = gateway_put};

/* --- requests --------------------------------------------------------------------------------- */

static const struct etcd_method *find_method(const char *path)
{
    for (size_t i = 0; i < etcd_methods_count; i++) {
        const struct etcd_method *method = &etcd_methods[i];
        for (size_t j = 0; j < sizeof method->paths / sizeof method->paths[0]; j++) {
            if (method->paths[j] != NULL && strcmp(method->paths[j], path) == 0) {
                return method;
            }
        }
    }
    return NULL;
}

static void on_deadline(uv_timer_t *timer)
{
    struct gateway_call *x = timer->data;
    etcd_call_finish(&x->call, GRPC_DEADLINE_EXCEEDED, span_str("context deadline exceeded"));
}

/* One message, as JSON. On failure nothing has happened. */
static int take_message(struct gateway_call *x, struct span text, struct error *err)
{
    const struct etcd_method *method = x->call.method;
    struct arena arena;
    arena_init(&arena, ETCD_ARENA_BUDGET(text.len));
    void *message = mem_alloc(method->request->bytes);
    int rc = etcd_json_decode(method->request, text, &arena, message, err);
    if (rc == 0) {
        x->known = true;
        method->on_message(&x->call, message);
    }
    mem_free(message);
    arena_free(&arena);
    return rc;
}

static void take_only_message(struct gateway_call *x, struct span text)
{
    struct error err = {0};
    int rc = take_message(x, text, &err);
    if (rc == ERR_BUSY) {
        etcd_call_fail(&x->call, ETCD_ERROR_TOO_MANY_OPS);
    } else if (rc != 0) {
        etcd_call_finish(&x->call,
                         rc == ERR_LIMIT ? GRPC_RESOURCE_EXHAUSTED : GRPC_INVALID_ARGUMENT,
                         span_str(err.text));
    }
}

static void end_of_messages(struct gateway_call *x)
{
    if (etcd_call_has_ended(&x->call)) {
        return;
    }
    if (x->call.method->on_end == NULL) {
        etcd_call_finish(&x->call, GRPC_OK, span_of(NULL, 0));
    } else {
        x->known = true;
        x->call.method->on_end(&x->call);
    }
}

/* Cuts the first value off `text`, and hands it over. False: there is none, or it is malformed. */
static bool take_next(struct gateway_call *x, struct span *text, struct error *err)
{
    struct span value;
    if (json_scan(*text, false, "unexpected EOF", &value, NULL, err) != 0 || value.len == 0) {
        return false;
    }
    const uint8_t *after = value.data + value.len;
    *text = span_of(after, text->len - (size_t)(after - text->data));
    return take_message(x, value, err) == 0;
}

/* Every value of the body. What is malformed is said of the first one; behind it, it ends what the
 * client has to say. Both as etcd does. */
static void take_messages(struct gateway_call *x, struct span text)
{
    struct error err = {0};
    unsigned count = 0;
    while (!etcd_call_has_ended(&x->call) && take_next(x, &text, &err)) {
        if (++count == MESSAGES_MAX) {
            etcd_call_fail(&x->call, ETCD_ERROR_TOO_MANY_REQUESTS);
        }
    }
    if (count == 0 && err.code != 0) {
        refuse_stream(x, err.code == ERR_LIMIT ? GRPC_RESOURCE_EXHAUSTED : GRPC_UNKNOWN, err.text);
    } else {
        end_of_messages(x);
    }
}

/* A client that waits for the first message may go. */
static void wait_for_stream(struct gateway_call *x)
{
    if (!etcd_call_has_ended(&x->call) && !x->started &&
        http_notice(x->exchange, on_gone, x) != 0) {
        on_gone(x);
    }
}

static void run_call(struct gateway_call *x, struct span text)
{
    struct etcd_call *call = etcd_call_ref(&x->call);
    if (call->method->request_streams) {
        take_messages(x, text);
    } else {
        take_only_message(x, text);
    }
    if (call->method->answer_streams) {
        wait_for_stream(x);
    }
    etcd_call_unref(call);
}

/* What the client may say of its time: Grpc-Timeout. False: it was refused. */
static bool take_timeout(struct http_exchange *exchange, int64_t *ret_timeout_ms)
{
    struct span value = http_header(exchange, "grpc-timeout");
    struct buf text = BUF_INIT;
    *ret_timeout_ms = 0;
    if (value.len == 0 || grpc_timeout_parse(value, ret_timeout_ms)) {
        return true;
    }
    buf_put_str(&text, "invalid grpc-timeout: ");
    buf_put_span(&text, value);
    respond_error(exchange, GRPC_INVALID_ARGUMENT, buf_span(&text), false);
    buf_free(&text);
    return false;
}

static void refuse(struct http_exchange *exchange, int status, const char *text)
{
    struct http1_response response = {.status = status,
                                      .content_type = "text/plain; charset=utf-8",
                                      .headers = "X-Content-Type-Options: nosniff\r\n",
                                      .body = span_str(text)};
    http_respond(exchange, &response);
}

static struct span token_of(const struct http_exchange *exchange)
{
    struct span token = http_header(exchange, "grpc-metadata-token");
    return token.len > 0 ? token : http_header(exchange, "authorization");
}

void etcd_gateway_serve(struct etcd_service *service, struct http_exchange *exchange,
                        const struct http1_request *request, const char *path)
{
    const struct etcd_method *method = find_method(path);
    const struct stream_peer *peer = http_peer(exchange);
    struct etcd_caller caller = {
        .token = token_of(exchange),
        .has_certificate = peer != NULL && peer->is_verified,
        .wants_leader = span_equal_str(http_header(exchange, "grpc-metadata-hasleader"), "true")};
    enum etcd_error error = ETCD_ERROR_COUNT;
    int64_t timeout_ms = 0;
    if (method == NULL) {
        refuse(exchange, 404, "Not Found\n");
        return;
    }
    if (request->method != HTTP1_POST) {
        refuse(exchange, 405, "Method Not Allowed\n");
        return;
    }
    if (!take_timeout(exchange, &timeout_ms)) {
        return;
    }
    if (!etcd_call_is_allowed(service, method, &caller, &error)) {
        respond_error(exchange, etcd_error_code(error), span_str(etcd_error_text(error)),
                      method->answer_streams);
        return;
    }
    if (method->answer_streams && !http_lasts(exchange)) {
        respond_error(exchange, GRPC_UNAVAILABLE, span_str("etcdserver: too many streams"), true);
        return;
    }
    struct gateway_call *x = mem_new(struct gateway_call);
    struct span body = request->body;
    uint8_t *text = mem_memdup(body.data, body.len);
    x->call = (struct etcd_call){.ops = &gateway_ops,
                                 .method = method,
                                 .service = service,
                                 .free_call = free_call,
                                 .refs = 1,
                                 .wants_leader = caller.wants_leader};
    x->exchange = exchange;
    list_append(etcd_service_calls(service), &x->link);
    if (timeout_ms > 0) {
        set_timer(x, on_deadline, (uint64_t)timeout_ms);
    }
    run_call(x, span_of(text, body.len));
    mem_free(text);
}

void etcd_gateway_stop(struct etcd_service *service)
{
    struct list *calls = etcd_service_calls(service);
    while (!list_empty(calls)) {
        struct gateway_call *x = LIST_OWNER(list_first(calls), struct gateway_call, link);
        list_remove(&x->link);
        etcd_call_fail(&x->call, ETCD_ERROR_STOPPED);
    }
}
