/* A request of the JSON gateway: the first byte says how the methods and the client behave, then
 * come path, Grpc-Timeout and Authorization, a line each, and the body. Whatever is in it, the
 * request is answered exactly once, by JSON or by one of two lines of text; each call that a method
 * was asked for is closed once, and nothing is left behind. */
#include "base/assert.h"
#include "base/buf.h"
#include "base/list.h"
#include "raft/etcd/etcd_auth.h"
#include "raft/etcd/etcd_call.h"
#include "raft/etcd/etcd_http.h"
#include "raft/etcd/etcd_message.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* LATER: answers come in a later turn of the loop. GONE: the client hangs up before that. CLOSED:
 * it has done so when a stream is to start. SLOW: it does not read. USERS: a token is needed. GET:
 * it is no POST. HEADLESS: it wants a leader, and there is none. */
enum {
    LATER = 1,
    GONE = 2,
    CLOSED = 4,
    SLOW = 8,
    USERS = 16,
    GET = 32,
    HEADLESS = 64,
    REPLIES_MAX = 3
};

struct etcd_service {
    struct etcd_service_config config;
    struct list calls;
};

static int64_t wall_ms(void *arg)
{
    (void)arg;
    return 1000;
}

static const struct clock fake_clock = {.wall_ms = wall_ms};

static struct {
    struct http_exchange base;
    uint8_t flags;
    struct span lines[3]; /* path, timeout, token */
    bool over;            /* answered */
    bool streaming;
    bool noticing;
    size_t sent;
    void (*on_gone)(void *arg);
    void *gone_arg;
    struct etcd_call *call; /* as the handler keeps it */
    size_t messages;
    size_t ends;
    size_t closes;
} fake;

const struct etcd_service_config *etcd_service_config(const struct etcd_service *service)
{
    return &service->config;
}

struct list *etcd_service_calls(struct etcd_service *service)
{
    if (service->calls.next == NULL) {
        list_init(&service->calls);
    }
    return &service->calls;
}

bool etcd_service_has_leader(const struct etcd_service *service)
{
    (void)service;
    return (fake.flags & HEADLESS) == 0;
}

void etcd_service_header(const struct etcd_service *service, struct etcd_header *ret_header)
{
    (void)service;
    *ret_header = (struct etcd_header){.cluster_id = 7};
}

/* --- the exchange ----------------------------------------------------------------------------- */

static struct span fake_header(const struct http_exchange *exchange, const char *name)
{
    (void)exchange;
    ASSERT(!fake.over && !fake.streaming && !fake.noticing); /* the request is valid */
    if (strcmp(name, "grpc-timeout") == 0) {
        return fake.lines[1];
    }
    if (strcmp(name, "grpc-metadata-hasleader") == 0) {
        return (fake.flags & HEADLESS) != 0 ? span_str("true") : span_of(NULL, 0);
    }
    return strcmp(name, "authorization") == 0 ? fake.lines[2] : span_of(NULL, 0);
}

static const struct stream_peer *fake_peer(const struct http_exchange *exchange)
{
    (void)exchange;
    return NULL;
}

static int fake_notice(struct http_exchange *exchange, void (*on_gone)(void *arg), void *arg)
{
    (void)exchange;
    ASSERT(!fake.over && !fake.streaming);
    if ((fake.flags & CLOSED) != 0) {
        return ERR_CLOSED;
    }
    fake.noticing = true;
    fake.on_gone = on_gone;
    fake.gone_arg = arg;
    return 0;
}

static void fake_respond(struct http_exchange *exchange, const struct http1_response *response)
{
    struct span body = response->body;
    (void)exchange;
    ASSERT(!fake.over && !fake.streaming);
    ASSERT(response->status >= 200 && response->status < 600);
    if (response->content_type != NULL && strcmp(response->content_type, "application/json") == 0) {
        ASSERT(body.len == 0 || (body.data[0] == '{' && body.data[body.len - 1] == '}'));
        ASSERT(body.len > 0 || response->status == 200);
    } else if (response->content_type != NULL) {
        ASSERT(span_equal_str(body, "Not Found\n") || span_equal_str(body, "Method Not Allowed\n"));
    }
    fake.over = true;
    fake.on_gone = NULL;
}

static int fake_stream_start(struct http_exchange *exchange, const struct http1_response *head,
                             void (*on_gone)(void *arg), void *arg)
{
    (void)exchange;
    ASSERT(!fake.over && !fake.streaming && head->status == 200);
    if ((fake.flags & CLOSED) != 0) {
        fake.over = true;
        fake.on_gone = NULL;
        return ERR_CLOSED;
    }
    fake.streaming = true;
    fake.on_gone = on_gone;
    fake.gone_arg = arg;
    return 0;
}

static void fake_stream_send(struct http_exchange *exchange, struct span piece)
{
    (void)exchange;
    ASSERT(!fake.over && fake.streaming && piece.len > 2 && piece.data[0] == '{');
    ASSERT(piece.data[piece.len - 1] == '\n' || piece.data[piece.len - 1] == '}');
    fake.sent += piece.len;
}

static size_t fake_stream_pending(const struct http_exchange *exchange)
{
    (void)exchange;
    return (fake.flags & SLOW) != 0 ? fake.sent * 100000 : 0;
}

static void fake_stream_end(struct http_exchange *exchange)
{
    (void)exchange;
    ASSERT(!fake.over && fake.streaming);
    fake.over = true;
    fake.on_gone = NULL;
}

static size_t fake_held(const struct http_exchange *exchange)
{
    (void)exchange;
    return 0;
}

static bool fake_lasts(struct http_exchange *exchange)
{
    (void)exchange;
    return true;
}

static const struct http_exchange_ops fake_ops = {.header = fake_header,
                                                  .peer = fake_peer,
                                                  .lasts = fake_lasts,
                                                  .held = fake_held,
                                                  .notice = fake_notice,
                                                  .respond = fake_respond,
                                                  .stream_start = fake_stream_start,
                                                  .stream_send = fake_stream_send,
                                                  .stream_pending = fake_stream_pending,
                                                  .stream_end = fake_stream_end};

/* --- the methods ------------------------------------------------------------------------------ */

static void keep(struct etcd_call *call)
{
    ASSERT(fake.call == NULL || fake.call == call);
    fake.call = fake.call == NULL ? etcd_call_ref(call) : fake.call;
}

static void answer_txn(struct etcd_call *call)
{
    struct etcd_txn_response response = {.succeeded = true};
    etcd_call_answer(call, &response);
}

static void on_txn(struct etcd_call *call, const void *message)
{
    const struct etcd_txn_request *request = message;
    fake.messages++;
    ASSERT(fake.messages == 1);
    keep(call);
    if ((fake.flags & LATER) == 0) {
        answer_txn(call);
    }
    ASSERT(request->success_count <= ETCD_TXN_OPS_MAX); /* it is still there */
}

static void on_watch(struct etcd_call *call, const void *message)
{
    const struct etcd_watch_request *request = message;
    struct etcd_watch_response response = {.created = request->which == ETCD_WATCH_CREATE};
    ASSERT(fake.ends == 0 && !etcd_call_has_ended(call));
    fake.messages++;
    keep(call);
    if (request->which == ETCD_WATCH_PROGRESS) {
        etcd_call_fail(call, ETCD_ERROR_NO_LEADER);
    } else if ((fake.flags & LATER) == 0 && etcd_call_reply(call, &response, NULL) != 0) {
        ASSERT(etcd_call_pending(call) > 0);
        etcd_call_fail(call, ETCD_ERROR_TOO_MANY_REQUESTS);
    }
}

static void on_end(struct etcd_call *call)
{
    fake.ends++;
    keep(call);
}

static void on_close(struct etcd_call *call)
{
    ASSERT(etcd_call_has_ended(call) && fake.messages + fake.ends > 0);
    fake.closes++;
}

const struct etcd_method etcd_methods[] = {
    {.service = "etcdserverpb.KV",
     .name = "Txn",
     .paths = {"/kv/txn"},
     .request = &etcd_type_txn_request,
     .response = &etcd_type_txn_response,
     .on_message = on_txn,
     .on_close = on_close},
    {.service = "etcdserverpb.Watch",
     .name = "Watch",
     .paths = {"/watch", "/w"},
     .request = &etcd_type_watch_request,
     .response = &etcd_type_watch_response,
     .request_streams = true,
     .answer_streams = true,
     .on_message = on_watch,
     .on_end = on_end,
     .on_close = on_close},
};
const size_t etcd_methods_count = sizeof etcd_methods / sizeof etcd_methods[0];

/* --- one input -------------------------------------------------------------------------------- */

static struct span take_line(struct span *rest)
{
    const uint8_t *end = rest->len == 0 ? NULL : memchr(rest->data, '\n', rest->len);
    size_t len = end == NULL ? rest->len : (size_t)(end - rest->data);
    struct span line = span_of(rest->data, len);
    *rest = span_of(rest->data + len + (end != NULL), rest->len - len - (end != NULL));
    return line;
}

/* What the handler does with the call that it keeps. */
static void finish_later(void)
{
    struct etcd_watch_response response = {.created = true};
    struct etcd_call *call = fake.call;
    if (call == NULL) {
        return;
    }
    for (int i = 0; i < REPLIES_MAX && call->method->answer_streams; i++) {
        (void)!etcd_call_reply(call, &response, NULL);
    }
    if (call->method->answer_streams) {
        etcd_call_fail(call, ETCD_ERROR_NO_LEADER);
    } else {
        answer_txn(call);
    }
    ASSERT(etcd_call_has_ended(call) && etcd_call_pending(call) == 0);
    fake.call = NULL;
    etcd_call_unref(call);
}

static void hang_up(void)
{
    void (*on_gone)(void *arg) = fake.on_gone;
    fake.on_gone = NULL;
    if ((fake.flags & GONE) != 0 && on_gone != NULL) {
        on_gone(fake.gone_arg);
        ASSERT(fake.over);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct etcd_auth auth = {.username = {(const uint8_t *)"u", 1},
                                          .password = {(const uint8_t *)"p", 1}};
    struct http1_request request = {.method = HTTP1_POST, .query = ""};
    struct span rest = span_of(data, size);
    struct buf path = BUF_INIT;
    struct buf body = BUF_INIT;
    uv_loop_t loop;
    if (size == 0) {
        return 0;
    }
    memset(&fake, 0, sizeof fake);
    fake.base.ops = &fake_ops;
    fake.flags = data[0];
    rest = span_of(data + 1, size - 1);
    for (size_t i = 0; i < 3; i++) {
        fake.lines[i] = take_line(&rest);
    }
    ASSERT(uv_loop_init(&loop) == 0);
    struct etcd_service service = {.config = {.loop = &loop,
                                              .clock = &fake_clock,
                                              .auth = (fake.flags & USERS) != 0 ? &auth : NULL}};
    buf_put_span(&path, fake.lines[0]);
    buf_put_span(&body, rest);
    request.body = buf_span(&body);
    request.method = (fake.flags & GET) != 0 ? HTTP1_GET : HTTP1_POST;
    etcd_gateway_serve(&service, &fake.base, &request, buf_str(&path));
    buf_free(&body); /* the request is not needed any more */
    buf_free(&path);
    hang_up();
    finish_later();
    ASSERT(fake.over);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    ASSERT(fake.closes == (fake.messages + fake.ends > 0 ? 1 : 0));
    ASSERT(uv_loop_close(&loop) == 0);
    return 0;
}
