/* Calls of gRPC over HTTP/2, by a client made of nghttp2, to the byte. */
#include "raft/etcd/etcd_grpc.h"
#include "raft/etcd/etcd_grpc_text.h"
#include "raft/etcd/etcd_message.h"
#include "raft/etcd/etcd_proto.h"
#include "tests/unit/base_net/h2_fixture.h"

static struct http2_server *http2;
static struct grpc_server *grpc;
static bool serving;
static bool later;               /* a unary call is not answered at once */
static struct grpc_call *latest; /* NULL once it is closed */
static unsigned messages;
static unsigned ends;
static unsigned closes;
static char latest_token[64];

/* --- the methods ------------------------------------------------------------------------------ */

static void on_range(void *arg, struct grpc_call *call, const void *message)
{
    const struct etcd_range_request *request = message;
    struct etcd_key_value kv = {.key = request->key, .version = 7};
    struct etcd_range_response response = {.kvs = &kv, .kvs_count = 1};
    assert_ptr_equal(arg, &messages);
    messages++;
    latest = call;
    (void)snprintf(latest_token, sizeof latest_token, "%.*s", (int)grpc_call_token(call).len,
                   (const char *)grpc_call_token(call).data);
    if (request->limit == 13) {
        grpc_fail(call, ETCD_ERROR_COMPACTED);
    } else if (!later) {
        grpc_answer(call, &response);
    }
}

static void on_watch(void *arg, struct grpc_call *call, const void *message)
{
    const struct etcd_watch_request *request = message;
    struct etcd_watch_response response = {.created = true};
    (void)arg;
    messages++;
    latest = call;
    if (request->which == ETCD_WATCH_CREATE) {
        response.watch_id = request->create_request->watch_id;
        assert_int_equal(grpc_reply(call, &response, NULL), 0);
    } else if (request->which == ETCD_WATCH_CANCEL) {
        grpc_finish(call, GRPC_UNAVAILABLE, span_str("100% \xc3\xa9\n"));
    }
}

static void on_watch_end(void *arg, struct grpc_call *call)
{
    (void)arg;
    ends++;
    grpc_finish(call, GRPC_OK, span_str("not told"));
}

static void on_call_close(void *arg, struct grpc_call *call)
{
    (void)arg;
    assert_true(grpc_call_has_ended(call));
    closes++;
    latest = latest == call ? NULL : latest;
}

static bool is_serving(void *arg)
{
    (void)arg;
    return serving;
}

static const struct grpc_method methods[] = {
    {.service = "etcdserverpb.KV",
     .name = "Range",
     .request = &etcd_type_range_request,
     .response = &etcd_type_range_response,
     .on_message = on_range,
     .on_close = on_call_close},
    {.service = "etcdserverpb.KV",
     .name = "Txn",
     .request = &etcd_type_txn_request,
     .response = &etcd_type_txn_response,
     .on_message = on_range},
    {.service = "etcdserverpb.Watch",
     .name = "Watch",
     .request = &etcd_type_watch_request,
     .response = &etcd_type_watch_response,
     .streaming = true,
     .on_message = on_watch,
     .on_end = on_watch_end,
     .on_close = on_call_close},
    {.service = "etcdserverpb.Lease",
     .name = "LeaseKeepAlive",
     .request = &etcd_type_lease_id,
     .response = &etcd_type_lease_keep_alive_response,
     .streaming = true,
     .on_message = on_watch},
};

static void on_request(void *arg, struct http2_stream *stream, const struct http2_request *request)
{
    (void)arg;
    for (size_t i = 0; i < request->headers_count; i++) {
        if (span_equal_str(request->headers[i].name, "content-type") &&
            grpc_is_content_type(request->headers[i].value)) {
            grpc_serve(grpc, stream, request);
            return;
        }
    }
    fail();
}

static const struct http2_events events = {.on_request = on_request};

static int open_servers(void **state)
{
    static const struct grpc_config config = {.methods = methods,
                                              .methods_count = sizeof methods / sizeof methods[0],
                                              .is_serving = is_serving,
                                              .arg = &messages};
    (void)state;
    messages = ends = closes = 0;
    latest = NULL;
    later = false;
    serving = true;
    time_shift_ms = 0;
    assert_int_equal(uv_loop_init(&loop), 0);
    grpc = grpc_server_new(&loop, &config);
    return http2_server_start(&loop, &events, NULL, &http2, NULL);
}

static int close_servers(void **state)
{
    bool grpc_stopped = false;
    bool http2_stopped = false;
    (void)state;
    if (grpc != NULL) {
        grpc_server_stop(grpc, GRPC_UNAVAILABLE, span_str("etcdserver: server stopped"),
                         on_server_stopped, &grpc_stopped);
        http2_server_stop(http2, on_server_stopped, &http2_stopped);
        run_until(&http2_stopped);
        run_until(&grpc_stopped);
    }
    return uv_loop_close(&loop);
}

/* --- the client ------------------------------------------------------------------------------- */

static void put_message(struct buf *out, const char *bytes, size_t len)
{
    const uint8_t prefix[5] = {0, (uint8_t)(len >> 24), (uint8_t)(len >> 16), (uint8_t)(len >> 8),
                               (uint8_t)len};
    buf_put(out, prefix, 5);
    buf_put(out, bytes, len);
}

static int32_t start_call(struct client *client, const char *path, struct body *body,
                          const nghttp2_nv *more, size_t count)
{
    nghttp2_nv headers[16] = {nv("content-type", "application/grpc"), nv("te", "trailers")};
    for (size_t i = 0; i < count; i++) {
        headers[2 + i] = more[i];
    }
    return client_post(client, path, body, headers, 2 + count);
}

/* A unary call with a body as given, to its end. */
static struct answer *call_with(struct client *client, const char *path, const char *bytes,
                                size_t len, const nghttp2_nv *more, size_t count)
{
    struct body body = {0};
    buf_put(&body.bytes, bytes, len);
    int32_t id = start_call(client, path, &body, more, count);
    pump(client);
    buf_free(&body.bytes);
    return answer_of(client, id);
}

#define RANGE "/etcdserverpb.KV/Range"
#define HEAD  ":status: 200\ncontent-type: application/grpc\n"

static void check_refused(struct client *client, const char *path, const char *bytes, size_t len,
                          const char *trailers)
{
    char head[512];
    struct answer *answer = call_with(client, path, bytes, len, NULL, 0);
    (void)snprintf(head, sizeof head, HEAD "%s", trailers);
    assert_string_equal(buf_str(&answer->head), head);
    assert_true(answer->closed);
    assert_int_equal(answer->body.len, 0);
    assert_int_equal(answer->trailers.len, 0); /* one frame said it all */
}

/* --- tests ------------------------------------------------------------------------------------ */

static void a_unary_call_is_answered(void **state)
{
    static const char want[] = "\0\0\0\0\x07\x12\x05\x0a\x01"
                               "k\x20\x07";
    struct client *client = client_new(http2, true);
    struct answer *answer = call_with(client, RANGE, "\0\0\0\0\3\x0a\x01k", 8, NULL, 0);
    (void)state;
    assert_string_equal(buf_str(&answer->head), HEAD);
    assert_true(span_equal(buf_span(&answer->body), span_of(want, sizeof want - 1)));
    assert_string_equal(buf_str(&answer->trailers), "grpc-status: 0\ngrpc-message: \n");
    assert_true(answer->closed);
    assert_int_equal(closes, 1);
    client_free(client);
}

static void an_answer_waits_for_the_end_of_the_request(void **state)
{
    struct client *client = client_new(http2, true);
    struct body body = {.open = true};
    (void)state;
    put_message(&body.bytes, "\x0a\x01k", 3);
    int32_t id = start_call(client, RANGE, &body, NULL, 0);
    pump(client);
    assert_int_equal(messages, 0);
    body.open = false;
    (void)nghttp2_session_resume_data(client->session, id);
    pump(client);
    assert_int_equal(messages, 1);
    buf_free(&body.bytes);
    client_free(client);
}

static void messages_are_split_and_joined_anywhere(void **state)
{
    struct client *client = client_new(http2, true);
    struct buf all = BUF_INIT;
    (void)state;
    put_message(&all, "\x0a\x02\x38\x05", 4);
    put_message(&all, "", 0);
    put_message(&all, "\x0a\x02\x38\x06", 4);
    for (size_t piece = 1; piece <= all.len; piece++) {
        static const char want[] = "\0\0\0\0\4\x10\x05\x18\x01\0\0\0\0\4\x10\x06\x18\x01";
        struct body body = {.open = true};
        messages = ends = closes = 0;
        int32_t id = start_call(client, "/etcdserverpb.Watch/Watch", &body, NULL, 0);
        for (size_t at = 0; at < all.len; at += piece) {
            buf_put(&body.bytes, all.data + at, all.len - at < piece ? all.len - at : piece);
            (void)nghttp2_session_resume_data(client->session, id);
            pump(client);
        }
        assert_int_equal(messages, 3);
        assert_int_equal(ends, 0);
        assert_true(
            span_equal(buf_span(&answer_of(client, id)->body), span_of(want, sizeof want - 1)));
        assert_false(answer_of(client, id)->closed); /* it goes on until somebody ends it */
        body.open = false;
        (void)nghttp2_session_resume_data(client->session, id);
        pump(client);
        assert_int_equal(ends, 1);
        assert_string_equal(buf_str(&answer_of(client, id)->trailers),
                            "grpc-status: 0\ngrpc-message: \n");
        assert_int_equal(closes, 1);
        buf_free(&body.bytes);
    }
    buf_free(&all);
    client_free(client);
}

static void a_stream_ends_with_its_error(void **state)
{
    struct client *client = client_new(http2, true);
    struct body body = {.open = true};
    (void)state;
    put_message(&body.bytes, "\x0a\x00", 2); /* create */
    put_message(&body.bytes, "\x12\x00", 2); /* cancel: the handler ends the call */
    put_message(&body.bytes, "\x0a\x00", 2); /* nobody looks at this */
    int32_t id = start_call(client, "/etcdserverpb.Watch/Watch", &body, NULL, 0);
    pump(client);
    assert_int_equal(messages, 2);
    assert_string_equal(buf_str(&answer_of(client, id)->trailers),
                        "grpc-status: 14\ngrpc-message: 100%25 %C3%A9%0A\n");
    assert_true(answer_of(client, id)->closed);
    assert_int_equal(answer_of(client, id)->close_code, 0);
    assert_int_equal(closes, 1);
    buf_free(&body.bytes);
    client_free(client);
}

static void a_stream_without_a_message_ends_well(void **state)
{
    struct client *client = client_new(http2, true);
    (void)state;
    int32_t id = start_call(client, "/etcdserverpb.Lease/LeaseKeepAlive", NULL, NULL, 0);
    pump(client);
    assert_string_equal(buf_str(&answer_of(client, id)->head), HEAD);
    assert_string_equal(buf_str(&answer_of(client, id)->trailers),
                        "grpc-status: 0\ngrpc-message: \n");
    client_free(client);
}

static void what_nobody_serves_is_named(void **state)
{
    struct client *client = client_new(http2, true);
    (void)state;
    check_refused(client, "/etcdserverpb.KV/Nope", "", 0,
                  "grpc-status: 12\ngrpc-message: unknown method Nope for service "
                  "etcdserverpb.KV\n");
    check_refused(client, "/a.b/Nope", "", 0,
                  "grpc-status: 12\ngrpc-message: unknown service a.b\n");
    check_refused(client, "/grpc.health.v1.Health/Watch", "", 0,
                  "grpc-status: 12\ngrpc-message: unknown method Watch for service "
                  "grpc.health.v1.Health\n");
    check_refused(client, "/nothing", "", 0,
                  "grpc-status: 12\ngrpc-message: malformed method name\n");
    assert_int_equal(messages, 0);
    client_free(client);
}

static void malformed_messages_are_refused(void **state)
{
    struct client *client = client_new(http2, true);
    (void)state;
    check_refused(client, RANGE, "", 0, "grpc-status: 13\ngrpc-message: unexpected EOF\n");
    check_refused(client, RANGE, "\0\0\0\0\5\x0a", 6,
                  "grpc-status: 13\ngrpc-message: unexpected EOF\n");
    check_refused(client, RANGE, "\0\0\0\0\1\x0a", 6,
                  "grpc-status: 13\ngrpc-message: grpc: error unmarshalling request: unexpected "
                  "EOF\n");
    check_refused(client, RANGE, "\0\0\0\0\0\0\0\0\0\0", 10,
                  "grpc-status: 13\ngrpc-message: grpc: more than one message in a unary call\n");
    check_refused(client, RANGE, "\2\0\0\0\0", 5,
                  "grpc-status: 13\ngrpc-message: grpc: received unexpected payload format 2\n");
    check_refused(client, RANGE, "\0\0\x20\0\1", 5,
                  "grpc-status: 8\ngrpc-message: grpc: received message larger than max (2097153 "
                  "vs. 2097152)\n");
    check_refused(client, RANGE, "\1\0\0\0\0", 5,
                  "grpc-status: 12\ngrpc-message: grpc: compressed messages are not supported, "
                  "send identity\ngrpc-accept-encoding: identity\n");
    check_refused(client, "/etcdserverpb.Watch/Watch", "\0\0\0\0\1", 5,
                  "grpc-status: 13\ngrpc-message: unexpected EOF\n");
    assert_int_equal(messages, 0);
    client_free(client);
}

static void too_much_in_a_message_is_refused(void **state)
{
    struct client *client = client_new(http2, true);
    struct buf txn = BUF_INIT;
    struct buf framed = BUF_INIT;
    (void)state;
    for (int i = 0; i < ETCD_TXN_OPS_MAX + 1; i++) {
        buf_put(&txn, "\x12\x00", 2);
    }
    put_message(&framed, (const char *)txn.data, txn.len);
    check_refused(client, "/etcdserverpb.KV/Txn", (const char *)framed.data, framed.len,
                  "grpc-status: 3\ngrpc-message: etcdserver: too many operations in txn "
                  "request\n");
    buf_clear(&txn);
    buf_clear(&framed);
    for (size_t i = 0; i <= ETCD_NESTING_MAX / 2; i++) {
        struct buf outer = BUF_INIT;
        buf_put_u8(&outer, 0x12);
        buf_put_u8(&outer, (uint8_t)(txn.len + 2));
        buf_put_u8(&outer, 0x22);
        buf_put_u8(&outer, (uint8_t)txn.len);
        buf_put_span(&outer, buf_span(&txn));
        buf_free(&txn);
        txn = outer;
    }
    put_message(&framed, (const char *)txn.data, txn.len);
    check_refused(client, "/etcdserverpb.KV/Txn", (const char *)framed.data, framed.len,
                  "grpc-status: 8\ngrpc-message: grpc: error unmarshalling request: exceeded max "
                  "depth\n");
    buf_free(&txn);
    buf_free(&framed);
    client_free(client);
}

static void a_large_message_arrives(void **state)
{
    struct client *client = client_new(http2, true);
    struct buf message = BUF_INIT;
    struct buf framed = BUF_INIT;
    struct etcd_range_request request = {.key = {.len = 0}};
    char *key = mem_alloc(GRPC_MESSAGE_BYTES_MAX);
    (void)state;
    request.key = span_of(key, GRPC_MESSAGE_BYTES_MAX - 4);
    etcd_proto_encode(&etcd_type_range_request, &request, &message);
    assert_int_equal(message.len, GRPC_MESSAGE_BYTES_MAX);
    put_message(&framed, (const char *)message.data, message.len);
    struct answer *answer =
        call_with(client, RANGE, (const char *)framed.data, framed.len, NULL, 0);
    assert_int_equal(messages, 1);
    assert_true(answer->body.len > GRPC_MESSAGE_BYTES_MAX);
    assert_string_equal(buf_str(&answer->trailers), "grpc-status: 0\ngrpc-message: \n");
    mem_free(key);
    buf_free(&message);
    buf_free(&framed);
    client_free(client);
}

/* Many calls, none of them whole: all together are bounded. */
static void requests_that_are_not_whole_are_bounded(void **state)
{
    enum { CALLS = 20 };
    struct client *client = client_new(http2, true);
    struct body bodies[CALLS] = {{.at = 0}};
    int32_t ids[CALLS];
    unsigned refused = 0;
    (void)state;
    for (size_t i = 0; i < CALLS; i++) {
        bodies[i].open = true;
        buf_put(&bodies[i].bytes, "\0\0\x20\0\0", 5);
        buf_reserve(&bodies[i].bytes, GRPC_MESSAGE_BYTES_MAX);
        memset(bodies[i].bytes.data + 5, 0, GRPC_MESSAGE_BYTES_MAX - 100);
        bodies[i].bytes.len += GRPC_MESSAGE_BYTES_MAX - 100;
        ids[i] = start_call(client, RANGE, &bodies[i], NULL, 0);
        pump(client);
    }
    for (size_t i = 0; i < CALLS; i++) {
        struct answer *answer = answer_of(client, ids[i]);
        refused += answer->closed;
        assert_true(!answer->closed ||
                    strcmp(buf_str(&answer->head), HEAD "grpc-status: 8\ngrpc-message: "
                                                        "etcdserver: too many requests\n") == 0);
    }
    assert_int_equal(refused, CALLS - 16);
    client_free(client);
    for (size_t i = 0; i < CALLS; i++) {
        buf_free(&bodies[i].bytes);
    }
}

static void errors_of_the_store_are_told(void **state)
{
    struct client *client = client_new(http2, true);
    (void)state;
    check_refused(client, RANGE, "\0\0\0\0\2\x18\x0d", 7,
                  "grpc-status: 11\ngrpc-message: etcdserver: mvcc: required revision has been "
                  "compacted\n");
    assert_int_equal(closes, 1);
    client_free(client);
}

static void metadata_arrives(void **state)
{
    char large[GRPC_TOKEN_BYTES_MAX + 2];
    nghttp2_nv token[] = {nv("authorization", "Bearer x"), nv("token", "t.1"),
                          nv("hasleader", "true"), nv("grpc-encoding", "identity"),
                          nv("client-api-version", "3.4")};
    struct client *client = client_new(http2, true);
    (void)state;
    later = true;
    (void)call_with(client, RANGE, "\0\0\0\0\0", 5, token, 5);
    assert_string_equal(latest_token, "t.1");
    assert_true(grpc_call_wants_leader(latest));
    grpc_call_set_arg(latest, client);
    assert_ptr_equal(grpc_call_arg(latest), client);
    assert_int_equal(grpc_call_pending(latest), 0);
    (void)call_with(client, RANGE, "\0\0\0\0\0", 5, token, 1);
    assert_string_equal(latest_token, "Bearer x");
    assert_false(grpc_call_wants_leader(latest));
    memset(large, 'x', sizeof large - 1);
    large[sizeof large - 1] = '\0';
    token[0] = nv("token", large);
    struct answer *answer = call_with(client, RANGE, "\0\0\0\0\0", 5, token, 1);
    assert_string_equal(buf_str(&answer->head),
                        HEAD "grpc-status: 16\ngrpc-message: etcdserver: invalid auth token\n");
    token[0] = nv("grpc-encoding", "gzip");
    answer = call_with(client, RANGE, "\0\0\0\0\0", 5, token, 1);
    assert_string_equal(buf_str(&answer->head),
                        HEAD "grpc-status: 12\ngrpc-message: grpc: compressed messages are not "
                             "supported, send identity\ngrpc-accept-encoding: identity\n");
    token[0] = nv("grpc-timeout", "5x");
    answer = call_with(client, RANGE, "\0\0\0\0\0", 5, token, 1);
    assert_string_equal(buf_str(&answer->head),
                        HEAD "grpc-status: 13\ngrpc-message: malformed grpc-timeout\n");
    client_free(client);
}

static void a_deadline_ends_the_call(void **state)
{
    nghttp2_nv timeout = nv("grpc-timeout", "5S");
    struct client *client = client_new(http2, true);
    struct etcd_range_response response = {.count = 1};
    (void)state;
    later = true;
    struct answer *late = call_with(client, RANGE, "\0\0\0\0\0", 5, &timeout, 1);
    struct grpc_call *first = latest;
    struct answer *other = call_with(client, RANGE, "\0\0\0\0\0", 5, NULL, 0);
    time_shift_ms += 4000;
    let_sweep(client);
    assert_false(late->closed);
    time_shift_ms += 1000;
    let_sweep(client);
    assert_string_equal(buf_str(&late->head),
                        HEAD "grpc-status: 4\ngrpc-message: context deadline exceeded\n");
    assert_false(other->closed);
    assert_int_equal(closes, 1);
    assert_ptr_not_equal(first, latest);
    grpc_answer(latest, &response); /* in time, for the one that has no deadline */
    pump(client);
    assert_string_equal(buf_str(&other->trailers), "grpc-status: 0\ngrpc-message: \n");
    client_free(client);
}

/* Of a watch, too, but only once a message has begun: between two it may be silent for hours. */
static void a_message_has_to_come_whole(void **state)
{
    struct client *client = client_new(http2, true);
    struct body unary = {.open = true};
    struct body whole = {.open = true};
    struct body half = {.open = true};
    (void)state;
    buf_put(&unary.bytes, "\0\0", 2);
    put_message(&whole.bytes, "\x0a\x00", 2);
    put_message(&half.bytes, "\x0a\x00", 2);
    buf_put(&half.bytes, "\0", 1);
    int32_t first = start_call(client, RANGE, &unary, NULL, 0);
    int32_t second = start_call(client, "/etcdserverpb.Watch/Watch", &whole, NULL, 0);
    int32_t third = start_call(client, "/etcdserverpb.Watch/Watch", &half, NULL, 0);
    pump(client);
    time_shift_ms += GRPC_MESSAGE_MS - 5000;
    let_sweep(client);
    assert_false(answer_of(client, first)->closed || answer_of(client, third)->closed);
    buf_put(&half.bytes, "\0", 1); /* a drop does not win time */
    (void)nghttp2_session_resume_data(client->session, third);
    pump(client);
    time_shift_ms += 5000;
    let_sweep(client);
    assert_string_equal(buf_str(&answer_of(client, first)->head),
                        HEAD "grpc-status: 4\ngrpc-message: grpc: a message took too long to "
                             "arrive\n");
    assert_string_equal(buf_str(&answer_of(client, third)->trailers),
                        "grpc-status: 4\ngrpc-message: grpc: a message took too long to arrive\n");
    assert_false(answer_of(client, second)->closed);
    buf_free(&unary.bytes);
    buf_free(&whole.bytes);
    buf_free(&half.bytes);
    client_free(client);
}

static void a_client_that_cancels_is_noticed(void **state)
{
    struct client *client = client_new(http2, true);
    struct body body = {.open = true};
    struct etcd_watch_response response = {.created = true};
    (void)state;
    put_message(&body.bytes, "\x0a\x00", 2);
    int32_t id = start_call(client, "/etcdserverpb.Watch/Watch", &body, NULL, 0);
    pump(client);
    assert_int_equal(closes, 0);
    assert_int_equal(grpc_reply(latest, &response, NULL), 0);
    (void)nghttp2_submit_rst_stream(client->session, 0, id, NGHTTP2_CANCEL);
    pump(client);
    assert_int_equal(closes, 1);
    (void)start_call(client, "/etcdserverpb.Watch/Watch", &body, NULL,
                     0); /* and one that is lost */
    body.at = 0;
    pump(client);
    client_free(client);
    assert_int_equal(closes, 2);
    buf_free(&body.bytes);
}

static void what_comes_after_the_end_goes_nowhere(void **state)
{
    struct client *client = client_new(http2, true);
    struct etcd_range_response response = {.count = 1};
    (void)state;
    later = true;
    struct answer *answer = call_with(client, RANGE, "\0\0\0\0\0", 5, NULL, 0);
    grpc_answer(latest, &response);
    assert_true(grpc_call_has_ended(latest));
    assert_int_equal(grpc_reply(latest, &response, NULL), 0);
    grpc_fail(latest, ETCD_ERROR_TIMEOUT);
    grpc_answer(latest, &response);
    pump(client);
    assert_int_equal(answer->body.len, 5 + 2);
    assert_string_equal(buf_str(&answer->trailers), "grpc-status: 0\ngrpc-message: \n");
    client_free(client);
}

static void health_is_told(void **state)
{
    struct client *client = client_new(http2, true);
    static const char check[] = "/grpc.health.v1.Health/Check";
    struct answer *answer = call_with(client, check, "\0\0\0\0\0", 5, NULL, 0);
    (void)state;
    assert_true(span_equal(buf_span(&answer->body), span_of("\0\0\0\0\2\x08\1", 7)));
    serving = false;
    answer = call_with(client, check,
                       "\0\0\0\0\x11\x0a\x0f"
                       "etcdserverpb.KV",
                       22, NULL, 0);
    assert_true(span_equal(buf_span(&answer->body), span_of("\0\0\0\0\2\x08\2", 7)));
    check_refused(client, check, "\0\0\0\0\3\x0a\1x", 8,
                  "grpc-status: 5\ngrpc-message: unknown service\n");
    client_free(client);
}

static void a_get_is_no_call(void **state)
{
    struct client *client = client_new(http2, true);
    const nghttp2_nv nvs[] = {nv(":method", "GET"), nv(":scheme", "http"), nv(":path", RANGE),
                              nv(":authority", "h"), nv("content-type", "application/grpc+proto")};
    (void)state;
    int32_t id = nghttp2_submit_request(client->session, NULL, nvs, 5, NULL, NULL);
    pump(client);
    assert_string_equal(buf_str(&answer_of(client, id)->head), ":status: 405\n");
    client_free(client);
}

static void at_the_stop_calls_are_told(void **state)
{
    struct client *client = client_new(http2, true);
    struct body body = {.open = true};
    bool grpc_stopped = false;
    bool http2_stopped = false;
    (void)state;
    put_message(&body.bytes, "\x0a\x00", 2);
    int32_t id = start_call(client, "/etcdserverpb.Watch/Watch", &body, NULL, 0);
    pump(client);
    grpc_server_stop(grpc, GRPC_UNAVAILABLE, span_str("etcdserver: server stopped"),
                     on_server_stopped, &grpc_stopped);
    int32_t late = start_call(client, RANGE, NULL, NULL, 0);
    pump(client);
    http2_server_stop(http2, on_server_stopped, &http2_stopped);
    grpc = NULL;
    pump(client);
    assert_string_equal(buf_str(&answer_of(client, id)->trailers),
                        "grpc-status: 14\ngrpc-message: etcdserver: server stopped\n");
    assert_string_equal(buf_str(&answer_of(client, late)->head),
                        HEAD "grpc-status: 14\ngrpc-message: etcdserver: server stopped\n");
    assert_true(client->goaway);
    assert_true(grpc_stopped);
    buf_free(&body.bytes);
    client_free(client);
    run_until(&http2_stopped);
}

static void timeouts_are_read(void **state)
{
    static const struct {
        const char *text;
        int64_t ms;
    } good[] = {
        {"0n", 0},         {"1n", 1},     {"1000000n", 1}, {"1000001n", 2}, {"4996632u", 4997},
        {"5S", 5000},      {"250m", 250}, {"2M", 120000},  {"1H", 3600000}, {"99999999H", 86400000},
        {"99999999n", 100}};
    static const char *const bad[] = {"",    "S",    "5",   "5s", "123456789S",
                                      "-1S", "1.5S", " 5S", "5S "};
    int64_t ms = -1;
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_true(grpc_timeout_parse(span_str(good[i].text), &ms));
        assert_int_equal(ms, good[i].ms);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(grpc_timeout_parse(span_str(bad[i]), &ms));
    }
    assert_false(grpc_timeout_parse(span_of("5\0", 2), &ms));
}

static void content_types_are_told_apart(void **state)
{
    (void)state;
    assert_true(grpc_is_content_type(span_str("application/grpc")));
    assert_true(grpc_is_content_type(span_str("application/grpc+proto")));
    assert_true(grpc_is_content_type(span_str("Application/GRPC;a=b")));
    assert_false(grpc_is_content_type(span_str("application/grpcx")));
    assert_false(grpc_is_content_type(span_str("application/json")));
    assert_false(grpc_is_content_type(span_str("")));
}

#define GRPC_TEST(name) cmocka_unit_test_setup_teardown(name, open_servers, close_servers)

int main(void)
{
    const struct CMUnitTest tests[] = {
        GRPC_TEST(a_unary_call_is_answered),
        GRPC_TEST(an_answer_waits_for_the_end_of_the_request),
        GRPC_TEST(messages_are_split_and_joined_anywhere),
        GRPC_TEST(a_stream_ends_with_its_error),
        GRPC_TEST(a_stream_without_a_message_ends_well),
        GRPC_TEST(what_nobody_serves_is_named),
        GRPC_TEST(malformed_messages_are_refused),
        GRPC_TEST(too_much_in_a_message_is_refused),
        GRPC_TEST(a_large_message_arrives),
        GRPC_TEST(requests_that_are_not_whole_are_bounded),
        GRPC_TEST(errors_of_the_store_are_told),
        GRPC_TEST(metadata_arrives),
        GRPC_TEST(a_deadline_ends_the_call),
        GRPC_TEST(a_message_has_to_come_whole),
        GRPC_TEST(a_client_that_cancels_is_noticed),
        GRPC_TEST(what_comes_after_the_end_goes_nowhere),
        GRPC_TEST(health_is_told),
        GRPC_TEST(a_get_is_no_call),
        GRPC_TEST(at_the_stop_calls_are_told),
        cmocka_unit_test(timeouts_are_read),
        cmocka_unit_test(content_types_are_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
