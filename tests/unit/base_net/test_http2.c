/* What a client of HTTP/2 sees of the server, and what the server's user sees of the client. */
#include "tests/unit/base_net/h2_fixture.h"

enum { CALLS_MAX = 300 };

/* What the server's user saw of each request, in order. */
struct call {
    struct http2_stream *stream; /* NULL once closed */
    struct buf head;
    struct buf body;
    bool ended;
    int closes;
    int rc;
};

static struct call calls[CALLS_MAX];
static size_t calls_count;
static bool keep_back; /* what comes is not consumed */
static bool answers_at_once;
static struct http2_server *server;

static struct call *call_of(struct http2_stream *stream)
{
    struct call *call = http2_stream_arg(stream);
    assert_ptr_equal(call->stream, stream);
    assert_int_equal(call->closes, 0);
    return call;
}

static void on_request(void *arg, struct http2_stream *stream, const struct http2_request *request)
{
    assert_ptr_equal(arg, calls);
    assert_true(calls_count < CALLS_MAX);
    struct call *call = &calls[calls_count++];
    call->stream = stream;
    http2_stream_set_arg(stream, call);
    assert_non_null(http2_stream_peer(stream));
    buf_printf(&call->head, "%.*s %.*s %.*s\n", (int)request->method.len,
               (const char *)request->method.data, (int)request->path.len,
               (const char *)request->path.data, (int)request->authority.len,
               (const char *)request->authority.data);
    for (size_t i = 0; i < request->headers_count; i++) {
        buf_printf(&call->head, "%.*s: %.*s\n", (int)request->headers[i].name.len,
                   (const char *)request->headers[i].name.data, (int)request->headers[i].value.len,
                   (const char *)request->headers[i].value.data);
    }
    if (answers_at_once) {
        http2_respond(stream, 204, NULL, 0, true);
    }
}

static void on_data(void *arg, struct http2_stream *stream, struct span bytes)
{
    (void)arg;
    assert_true(bytes.len > 0);
    assert_false(call_of(stream)->ended);
    buf_put_span(&call_of(stream)->body, bytes);
    if (!keep_back) {
        http2_consume(stream, bytes.len);
    }
}

static void on_request_end(void *arg, struct http2_stream *stream)
{
    (void)arg;
    assert_false(call_of(stream)->ended);
    call_of(stream)->ended = true;
}

static void on_close(void *arg, struct http2_stream *stream, int rc)
{
    (void)arg;
    struct call *call = call_of(stream);
    call->stream = NULL;
    call->closes++;
    call->rc = rc;
}

static const struct http2_events events = {.on_request = on_request,
                                           .on_data = on_data,
                                           .on_request_end = on_request_end,
                                           .on_close = on_close};

static int open_server(void **state)
{
    (void)state;
    memset(calls, 0, sizeof calls);
    calls_count = 0;
    keep_back = answers_at_once = false;
    time_shift_ms = 0;
    assert_int_equal(uv_loop_init(&loop), 0);
    return http2_server_start(&loop, &events, calls, &server, NULL);
}

static int close_server(void **state)
{
    bool stopped = false;
    (void)state;
    if (server != NULL) {
        http2_server_stop(server, on_server_stopped, &stopped);
        run_until(&stopped);
    }
    assert_int_equal(uv_loop_close(&loop), 0);
    for (size_t i = 0; i < calls_count; i++) {
        assert_int_equal(calls[i].closes, 1);
        buf_free(&calls[i].head);
        buf_free(&calls[i].body);
    }
    return 0;
}

static void a_request_arrives_and_its_answer_goes_back(void **state)
{
    static const struct http2_header headers[] = {
        {{(const uint8_t *)"content-type", 12}, {(const uint8_t *)"text/plain", 10}}};
    struct client *client = client_new(server, true);
    struct body body = {0};
    const nghttp2_nv more[] = {nv("x-a", "1"), nv("x-b", "")};
    (void)state;
    buf_put_str(&body.bytes, "hello");
    int32_t id = client_post(client, "/p?q", &body, more, 2);
    pump(client);
    assert_int_equal(calls_count, 1);
    assert_string_equal(buf_str(&calls[0].head), "POST /p?q h:1\nx-a: 1\nx-b: \n");
    assert_string_equal(buf_str(&calls[0].body), "hello");
    assert_true(calls[0].ended);
    http2_respond(calls[0].stream, 200, headers, 1, false);
    assert_int_equal(http2_send(calls[0].stream, span_str("wor"), NULL), 0);
    pump(client);
    assert_string_equal(buf_str(&answer_of(client, id)->body), "wor"); /* at once */
    assert_int_equal(http2_send(calls[0].stream, span_str("ld"), NULL), 0);
    http2_finish(calls[0].stream, NULL, 0);
    pump(client);
    assert_string_equal(buf_str(&answer_of(client, id)->head),
                        ":status: 200\ncontent-type: text/plain\n");
    assert_string_equal(buf_str(&answer_of(client, id)->body), "world");
    assert_true(answer_of(client, id)->closed);
    assert_int_equal(answer_of(client, id)->close_code, 0);
    assert_int_equal(calls[0].closes, 1);
    assert_int_equal(calls[0].rc, 0);
    buf_free(&body.bytes);
    client_free(client);
}

/* etcdctl does so for an endpoint that is given as a URL. */
static void an_authority_may_be_a_whole_url(void **state)
{
    struct client *client = client_new(server, true);
    const nghttp2_nv head[] = {nv(":method", "POST"), nv(":scheme", "http"), nv(":path", "/x"),
                               nv(":authority", "http://h:1")};
    (void)state;
    answers_at_once = true;
    int32_t id = nghttp2_submit_request(client->session, NULL, head, 4, NULL, NULL);
    pump(client);
    assert_string_equal(buf_str(&answer_of(client, id)->head), ":status: 204\n");
    assert_string_equal(buf_str(&calls[0].head), "POST /x http://h:1\n");
    client_free(client);
}

static void malformed_heads_are_reset(void **state)
{
    static const char *const heads[][10] = {
        {":method", "GET", ":path", "/"},                                     /* no scheme */
        {":method", "GET", ":scheme", "http"},                                /* no path */
        {":scheme", "http", ":path", "/"},                                    /* no method */
        {":method", "GET", ":scheme", "http", ":path", ""},                   /* an empty one */
        {":method", "GET", ":scheme", "http", ":path", "/", ":path", "/x"},   /* two */
        {":method", "GET", ":scheme", "http", ":path", "/", ":status", "1"},  /* of an answer */
        {":method", "GET", ":scheme", "http", "x-a", "1", ":path", "/"},      /* after others */
        {":method", "GET", ":scheme", "http", ":path", "/", "x a", "1"},      /* no name */
        {":method", "GET", ":scheme", "http", ":path", "/", "x-a", "1\r\n2"}, /* no value */
        {":method", "GET", ":scheme", "http", ":path", "/", "connection", "close"},
        {":method", "GET", ":scheme", "http", ":path", "/", "transfer-encoding", "chunked"},
        {":method", "GET", ":scheme", "http", ":path", "/", "te", "gzip"},
    };
    struct client *client = client_new(server, true);
    (void)state;
    answers_at_once = true;
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        nghttp2_nv nvs[5];
        size_t count = 0;
        while (count < 5 && heads[i][2 * count] != NULL) {
            nvs[count] = nv(heads[i][2 * count], heads[i][2 * count + 1]);
            count++;
        }
        int32_t id = nghttp2_submit_request(client->session, NULL, nvs, count, NULL, NULL);
        pump(client);
        assert_true(answer_of(client, id)->closed);
        assert_int_equal(answer_of(client, id)->close_code, NGHTTP2_PROTOCOL_ERROR);
    }
    assert_int_equal(calls_count, 0);
    assert_false(client->goaway);
    int32_t good = client_post(client, "/", NULL, &(nghttp2_nv){0}, 0);
    pump(client);
    assert_string_equal(buf_str(&answer_of(client, good)->head), ":status: 204\n");
    client_free(client);
}

static void trailers_end_an_answer(void **state)
{
    static const struct http2_header trailers[] = {
        {{(const uint8_t *)"grpc-status", 11}, {(const uint8_t *)"0", 1}},
        {{(const uint8_t *)"grpc-message", 12}, {(const uint8_t *)"", 0}}};
    struct client *client = client_new(server, true);
    (void)state;
    for (int with_body = 0; with_body < 2; with_body++) {
        int32_t id = client_post(client, "/", NULL, NULL, 0);
        pump(client);
        struct call *call = &calls[with_body];
        http2_respond(call->stream, 200, NULL, 0, false);
        if (with_body != 0) {
            assert_int_equal(http2_send(call->stream, span_str("x"), NULL), 0);
        }
        http2_finish(call->stream, trailers, 2);
        pump(client);
        assert_string_equal(buf_str(&answer_of(client, id)->trailers),
                            "grpc-status: 0\ngrpc-message: \n");
        assert_string_equal(buf_str(&answer_of(client, id)->body), with_body != 0 ? "x" : "");
        assert_int_equal(call->rc, 0);
    }
    client_free(client);
}

static void an_answer_may_be_a_head_alone_and_at_once(void **state)
{
    struct client *client = client_new(server, true);
    (void)state;
    answers_at_once = true;
    int32_t id = client_post(client, "/", NULL, NULL, 0);
    pump(client);
    assert_string_equal(buf_str(&answer_of(client, id)->head), ":status: 204\n");
    assert_true(answer_of(client, id)->closed);
    assert_int_equal(calls[0].rc, 0);
    client_free(client);
}

static void an_answer_before_the_end_stops_the_request(void **state)
{
    struct client *client = client_new(server, true);
    struct body body = {.open = true};
    (void)state;
    answers_at_once = true;
    int32_t id = client_post(client, "/", &body, NULL, 0);
    pump(client);
    assert_string_equal(buf_str(&answer_of(client, id)->head), ":status: 204\n");
    assert_true(answer_of(client, id)->closed);
    assert_int_equal(answer_of(client, id)->close_code, NGHTTP2_NO_ERROR);
    assert_int_equal(calls[0].closes, 1);
    assert_int_equal(calls[0].rc, 0);
    client_free(client);
}

static void a_large_answer_goes_as_the_windows_allow(void **state)
{
    enum { LARGE = 3 * 1024 * 1024 };
    struct client *client = client_new(server, true);
    struct client *miser = client_new(server, false);
    char *large = mem_alloc(LARGE);
    (void)state;
    memset(large, 'x', LARGE);
    int32_t id = client_post(client, "/", NULL, NULL, 0);
    pump(client);
    int32_t other = client_post(miser, "/", NULL, NULL, 0);
    pump(miser);
    for (size_t i = 0; i < 2; i++) {
        http2_respond(calls[i].stream, 200, NULL, 0, false);
        assert_int_equal(http2_send(calls[i].stream, span_of(large, LARGE), NULL), 0);
        http2_finish(calls[i].stream, NULL, 0);
    }
    pump(miser);
    pump(client);
    assert_int_equal(answer_of(client, id)->body.len, LARGE);
    assert_int_equal(calls[0].rc, 0);
    assert_int_equal(answer_of(miser, other)->body.len, 65535);
    assert_int_equal(http2_pending(calls[1].stream), LARGE - 65535);
    /* who never takes the rest loses the answer, and only that */
    time_shift_ms += HTTP2_WRITE_MS;
    let_sweep(miser);
    assert_int_equal(calls[1].rc, ERR_CANCELED);
    assert_true(answer_of(miser, other)->closed);
    assert_false(miser->pipe.closing);
    mem_free(large);
    client_free(client);
    client_free(miser);
}

static void what_is_not_consumed_is_not_sent_again(void **state)
{
    struct client *client = client_new(server, true);
    struct body body = {0};
    struct body other = {0};
    (void)state;
    keep_back = true;
    pump(client);
    for (size_t i = 0; i < HTTP2_CONNECTION_WINDOW_BYTES + 1000; i += 1000) {
        buf_put(&body.bytes, (char[1000]){0}, 1000);
    }
    (void)client_post(client, "/1", &body, NULL, 0);
    pump(client);
    assert_int_equal(calls[0].body.len, HTTP2_WINDOW_BYTES);
    http2_consume(calls[0].stream, HTTP2_WINDOW_BYTES);
    pump(client);
    assert_int_equal(calls[0].body.len, 2 * HTTP2_WINDOW_BYTES);
    /* what a stream kept when it ended is given back to the connection, again and again */
    for (size_t i = 0; i < 8; i++) {
        http2_reset(calls[i].stream);
        pump(client);
        assert_int_equal(calls[i].rc, ERR_CANCELED);
        other.at = 0;
        buf_clear(&other.bytes);
        buf_put(&other.bytes, body.bytes.data, HTTP2_WINDOW_BYTES);
        (void)client_post(client, "/2", &other, NULL, 0);
        pump(client);
        assert_int_equal(calls[i + 1].body.len, HTTP2_WINDOW_BYTES);
    }
    buf_free(&body.bytes);
    buf_free(&other.bytes);
    client_free(client);
}

static void a_reset_ends_the_stream_on_both_sides(void **state)
{
    struct client *client = client_new(server, true);
    (void)state;
    int32_t one = client_post(client, "/1", NULL, NULL, 0);
    int32_t two = client_post(client, "/2", NULL, NULL, 0);
    pump(client);
    http2_respond(calls[0].stream, 200, NULL, 0, false);
    assert_int_equal(http2_send(calls[0].stream, span_str("x"), NULL), 0);
    (void)nghttp2_submit_rst_stream(client->session, 0, one, NGHTTP2_CANCEL);
    pump(client);
    assert_int_equal(calls[0].rc, ERR_CANCELED);
    assert_int_equal(calls[0].closes, 1);
    http2_reset(calls[1].stream);
    pump(client);
    assert_int_equal(calls[1].rc, ERR_CANCELED);
    assert_int_equal(answer_of(client, two)->close_code, NGHTTP2_CANCEL);
    client_free(client);
}

static void streams_of_a_lost_connection_are_closed(void **state)
{
    struct client *client = client_new(server, true);
    (void)state;
    (void)client_post(client, "/1", NULL, NULL, 0);
    (void)client_post(client, "/2", NULL, NULL, 0);
    pump(client);
    assert_int_equal(http2_server_connections(server), 1);
    client_free(client);
    assert_int_equal(calls[0].rc, ERR_CLOSED);
    assert_int_equal(calls[1].rc, ERR_CLOSED);
    assert_int_equal(http2_server_connections(server), 0);
}

static void pings_are_answered(void **state)
{
    struct client *client = client_new(server, true);
    (void)state;
    for (int i = 0; i < 500; i++) {
        (void)nghttp2_submit_ping(client->session, 0, NULL);
        pump(client);
    }
    assert_int_equal(client->pings, 500);
    assert_int_equal(client->settings_acks, 1);
    assert_false(client->goaway);
    client_free(client);
}

static void at_the_stop_what_is_under_way_is_answered(void **state)
{
    struct client *client = client_new(server, true);
    struct client *silent = client_new(server, true);
    bool stopped = false;
    (void)state;
    int32_t id = client_post(client, "/", NULL, NULL, 0);
    pump(client);
    (void)client_post(silent, "/", NULL, NULL, 0);
    pump(silent);
    http2_server_stop(server, on_server_stopped, &stopped);
    server = NULL;
    pump(client);
    pump(silent);
    assert_true(client->goaway);
    assert_int_equal(client->goaway_code, NGHTTP2_NO_ERROR);
    assert_false(client->pipe.shut);
    http2_respond(calls[0].stream, 200, NULL, 0, true);
    pump(client);
    assert_string_equal(buf_str(&answer_of(client, id)->head), ":status: 200\n");
    assert_true(client->pipe.shut);
    time_shift_ms += HTTP2_DRAIN_MS;
    let_sweep(client);
    pump(silent);
    assert_true(silent->pipe.closing);
    assert_int_equal(calls[1].rc, ERR_CLOSED);
    client_free(client);
    client_free(silent);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_true(stopped);
}

#define H2_TEST(name) cmocka_unit_test_setup_teardown(name, open_server, close_server)

int main(void)
{
    const struct CMUnitTest tests[] = {
        H2_TEST(a_request_arrives_and_its_answer_goes_back),
        H2_TEST(an_authority_may_be_a_whole_url),
        H2_TEST(malformed_heads_are_reset),
        H2_TEST(trailers_end_an_answer),
        H2_TEST(an_answer_may_be_a_head_alone_and_at_once),
        H2_TEST(an_answer_before_the_end_stops_the_request),
        H2_TEST(a_large_answer_goes_as_the_windows_allow),
        H2_TEST(what_is_not_consumed_is_not_sent_again),
        H2_TEST(a_reset_ends_the_stream_on_both_sides),
        H2_TEST(streams_of_a_lost_connection_are_closed),
        H2_TEST(pings_are_answered),
        H2_TEST(at_the_stop_what_is_under_way_is_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
