/* One request and its answer over both carriers: what a handler sees and does is the same. */
#include "base/net/http_exchange.h"
#include "tests/unit/base_net/h2_fixture.h"

enum { BODY_MAX = 1000 };

static struct http1_server *http1;
static struct http2_server *http2;
static struct http_exchange_http2 *exchanges;
static struct client *client;
static struct http_exchange *latest; /* waits for its answer */
static unsigned requests;
static unsigned gone;
static struct buf seen;
static bool answers;
static bool stopped[3];
static bool exchanges_stop; /* was called */

static void respond(void)
{
    struct http1_response response = {.status = 201,
                                      .content_type = "text/plain",
                                      .headers = "X-One: 1\r\nX-TWO:  two\r\n",
                                      .body = span_str("hello")};
    struct http_exchange *exchange = latest;
    latest = NULL;
    http_respond(exchange, &response);
}

static void put_header(const struct http_exchange *exchange, const char *name)
{
    struct span value = http_header(exchange, name);
    buf_put_str(&seen, value.data == NULL ? " -" : " =");
    buf_put_span(&seen, value);
}

static void on_request(void *arg, struct http_exchange *exchange,
                       const struct http1_request *request)
{
    assert_ptr_equal(arg, &latest);
    requests++;
    buf_clear(&seen);
    buf_printf(&seen, "%d %s?%s", (int)request->method, request->path, request->query);
    put_header(exchange, "Authorization");
    put_header(exchange, "host");
    put_header(exchange, "x-empty");
    put_header(exchange, "x-none");
    buf_printf(&seen, " %s %d ", http_peer(exchange)->text, request->has_length);
    buf_put_span(&seen, request->body);
    latest = exchange;
    if (answers) {
        respond();
    }
}

static const struct http_face face = {.on_request = on_request, .arg = &latest};

static void on_http2(void *arg, struct http2_stream *stream, const struct http2_request *request)
{
    (void)arg;
    http_exchange_http2_serve(exchanges, stream, request);
}

static const struct http2_events events = {.on_request = on_http2};

static int open_both(void **state)
{
    (void)state;
    requests = gone = 0;
    time_shift_ms = 0;
    answers = true;
    latest = NULL;
    exchanges_stop = false;
    memset(stopped, 0, sizeof stopped);
    if (uv_loop_init(&loop) != 0 ||
        http1_server_start(&loop, NULL, http_exchange_http1, (void *)(uintptr_t)&face, &http1,
                           NULL) != 0 ||
        http2_server_start(&loop, &events, NULL, &http2, NULL) != 0) {
        return -1;
    }
    exchanges = http_exchange_http2_new(&loop, &face, BODY_MAX);
    client = client_new(http2, true);
    (void)snprintf(client->pipe.peer.text, sizeof client->pipe.peer.text, "10.0.0.9:77");
    return 0;
}

static int close_both(void **state)
{
    (void)state;
    client_free(client);
    if (!exchanges_stop) {
        http_exchange_http2_stop(exchanges, on_server_stopped, &stopped[0]);
    }
    http1_server_stop(http1, on_server_stopped, &stopped[1]);
    http2_server_stop(http2, on_server_stopped, &stopped[2]);
    if (latest != NULL) {
        respond(); /* goes nowhere */
    }
    while (!stopped[0] || !stopped[1] || !stopped[2]) {
        (void)uv_run(&loop, UV_RUN_ONCE);
    }
    run_until(&stopped[0]);
    buf_free(&seen);
    return uv_loop_close(&loop);
}

static const char *seen_text(void)
{
    return buf_str(&seen);
}

/* Over HTTP/2. */
static struct answer *ask_by(struct client *by, const char *method, const char *path,
                             struct body *body)
{
    nghttp2_nv nvs[] = {nv(":method", method),   nv(":scheme", "http"),      nv(":path", path),
                        nv(":authority", "h:1"), nv("authorization", "t.1"), nv("x-empty", ""),
                        nv("x-twice", "1"),      nv("x-twice", "2")};
    nghttp2_data_provider data = {.source.ptr = body, .read_callback = body_read};
    int32_t id = nghttp2_submit_request(by->session, NULL, nvs, sizeof nvs / sizeof nvs[0],
                                        body == NULL ? NULL : &data, NULL);
    assert_true(id > 0);
    pump(by);
    return answer_of(by, id);
}

static struct answer *ask(const char *method, const char *path, struct body *body)
{
    return ask_by(client, method, path, body);
}

static bool head_has(struct answer *answer, const char *line)
{
    return strstr(buf_str(&answer->head), line) != NULL;
}

static bool is_status(struct answer *answer, const char *status)
{
    return answer->closed && head_has(answer, status);
}

/* --- the same over both ----------------------------------------------------------------------- */

static void a_handler_sees_the_same_over_both(void **state)
{
    static const char wanted[] = "3 /v3/kv/put?a=b =t.1 =h:1 = - 10.0.0.9:77 1 {\"x\":1}";
    static const char text[] =
        "POST /v3/kv/put?a=b HTTP/1.1\r\nHost: h:1\r\nAuthorization: t.1\r\nX-Empty:\r\n"
        "Content-Length: 7\r\n\r\n{\"x\":1}";
    struct pipe pipe = {.base.ops = &pipe_ops, .peer.text = "10.0.0.9:77"};
    struct body body = {.bytes = BUF_INIT};
    struct error err = {.code = ERR_IO};
    (void)state;
    buf_put_str(&body.bytes, "{\"x\":1}");
    struct answer *answer = ask("POST", "/v3/kv/put?a=b", &body);
    assert_string_equal(seen_text(), wanted);
    assert_true(is_status(answer, ":status: 201\n"));
    assert_true(head_has(answer, "content-type: text/plain\n"));
    assert_true(head_has(answer, "content-length: 5\n"));
    assert_true(head_has(answer, "x-one: 1\nx-two: two\n"));
    assert_true(head_has(answer, "date: "));
    assert_string_equal(buf_str(&answer->body), "hello");

    http1_server_serve(http1, &pipe.base, span_str(text));
    assert_string_equal(seen_text(), wanted);
    const char *reply = buf_str(&pipe.to_client);
    assert_true(strncmp(reply, "HTTP/1.1 201 Created\r\n", 22) == 0);
    assert_non_null(strstr(reply, "Content-Type: text/plain\r\nContent-Length: 5\r\n"
                                  "X-One: 1\r\nX-TWO:  two\r\n\r\nhello"));
    pipe.base.events->on_end(pipe.base.arg, ERR_IO, &err);
    pipe_settle(&pipe);
    buf_free(&pipe.to_client);
    buf_free(&body.bytes);
}

static void on_gone(void *arg)
{
    struct http_exchange *exchange = arg;
    gone++;
    latest = latest == exchange ? NULL : latest;
    http_stream_end(exchange);
}

static void start_stream(void)
{
    static const struct http1_response head = {
        .status = 200, .content_type = "application/json", .headers = "X-Etcd-Index: 7\r\n"};
    assert_int_equal(http_stream_start(latest, &head, on_gone, latest), 0);
}

static void pieces_go_over_http1_as_they_do_without_it(void **state)
{
    struct pipe pipe = {.base.ops = &pipe_ops};
    struct error err = {.code = ERR_CLOSED};
    (void)state;
    answers = false;
    http1_server_serve(http1, &pipe.base, span_str("GET /w HTTP/1.1\r\nHost: h\r\n\r\n"));
    start_stream();
    http_stream_send(latest, span_str("abc"));
    pipe.stuck = true;
    http_stream_send(latest, span_str("def"));
    assert_int_equal(http_stream_pending(latest), 8);
    pipe.stuck = false;
    pipe.stuck_bytes = 0;
    pipe.base.events->on_drained(pipe.base.arg);
    http_stream_end(latest);
    assert_non_null(strstr(buf_str(&pipe.to_client),
                           "X-Etcd-Index: 7\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n"));
    pipe.base.events->on_read(pipe.base.arg, span_str("GET /x HTTP/1.1\r\nHost: h\r\n\r\n"));
    pipe.base.events->on_end(pipe.base.arg, ERR_IO, &err);
    pipe_settle(&pipe);
    assert_int_equal(
        http_stream_start(latest, &(struct http1_response){.content_type = "a/b"}, on_gone, latest),
        ERR_CLOSED);
    latest = NULL;
    buf_free(&pipe.to_client);
}

/* --- over HTTP/2 ------------------------------------------------------------------------------ */

static void methods_are_told_apart(void **state)
{
    static const char *const names[] = {"GET", "HEAD",  "OPTIONS", "POST",
                                        "PUT", "PATCH", "DELETE",  "TRACE"};
    char wanted[8];
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct answer *answer = ask(names[i], "/", NULL);
        (void)snprintf(wanted, sizeof wanted, "%zu /? ", i);
        assert_int_equal(strncmp(seen_text(), wanted, strlen(wanted)), 0);
        assert_true(is_status(answer, ":status: 201\n"));
        assert_true(head_has(answer, "content-length: 5\n"));
        assert_int_equal(answer->body.len, i == HTTP1_HEAD ? 0 : 5);
    }
}

static void a_status_line_alone_is_an_answer(void **state)
{
    (void)state;
    answers = false;
    struct answer *answer = ask("OPTIONS", "/", NULL);
    http_respond(latest, &(struct http1_response){.status = 200});
    latest = NULL;
    pump(client);
    assert_true(is_status(answer, ":status: 200\n"));
    assert_false(head_has(answer, "content-type"));
    assert_int_equal(answer->body.len, 0);
}

static void a_path_that_http1_refuses_is_refused(void **state)
{
    static const char *const bad[] = {"*", "a", "http://h/", "/a\x7f"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct answer *answer = ask("GET", bad[i], NULL);
        assert_true(answer->closed && !head_has(answer, ":status: 201\n"));
    }
    assert_int_equal(requests, 0);
}

static void a_body_is_gathered_and_not_too_large(void **state)
{
    struct body body = {.open = true};
    (void)state;
    buf_reserve(&body.bytes, BODY_MAX + 1);
    memset(body.bytes.data, 'x', BODY_MAX + 1);
    body.bytes.len = BODY_MAX - 1;
    struct answer *answer = ask("PUT", "/", &body);
    assert_int_equal(requests, 0); /* it is not whole */
    body.bytes.len = BODY_MAX;
    body.open = false;
    assert_int_equal(nghttp2_session_resume_data(client->session, 1), 0);
    pump(client);
    assert_int_equal(requests, 1);
    assert_true(is_status(answer, ":status: 201\n"));
    assert_int_equal(seen.len, strlen("4 /? =t.1 =h:1 = - 10.0.0.9:77 1 ") + BODY_MAX);
    body.bytes.len = BODY_MAX + 1;
    body.at = 0;
    answer = ask("PUT", "/", &body);
    assert_true(is_status(answer, ":status: 413\n"));
    assert_int_equal(requests, 1);
    buf_free(&body.bytes);
}

static void a_body_is_as_long_as_was_told(void **state)
{
    static const struct {
        const char *length;
        const char *again;
        const char *status;
    } cases[] = {
        {"3", NULL, ":status: 201\n"},    {"2", NULL, ":status: 400\n"},
        {"4", NULL, ":status: 400\n"},    {"+3", NULL, ":status: 400\n"},
        {"3", "3", ":status: 400\n"},     {"0", NULL, ":status: 400\n"},
        {"1001", NULL, ":status: 413\n"}, {"99999999999999999999999", NULL, ":status: 413\n"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct body body = {.bytes = BUF_INIT};
        nghttp2_nv lengths[] = {nv("content-length", cases[i].length),
                                nv("content-length", cases[i].again == NULL ? "" : cases[i].again)};
        buf_put_str(&body.bytes, "abc");
        int32_t id = client_post(client, "/", &body, lengths, cases[i].again == NULL ? 1 : 2);
        pump(client);
        if (!is_status(answer_of(client, id), cases[i].status)) {
            fail_msg("%s: %s", cases[i].length, buf_str(&answer_of(client, id)->head));
        }
        buf_free(&body.bytes);
    }
    assert_int_equal(requests, 1);
}

static void a_body_has_its_time(void **state)
{
    struct body body = {.open = true};
    (void)state;
    buf_put_str(&body.bytes, "{");
    struct answer *answer = ask("POST", "/", &body);
    time_shift_ms += HTTP1_BODY_MS - 2000;
    let_sweep(client);
    assert_false(answer->closed);
    time_shift_ms += 2000;
    let_sweep(client);
    assert_true(is_status(answer, ":status: 408\n"));
    assert_int_equal(requests, 0);
    buf_free(&body.bytes);
}

/* A client that goes while its body is gathered leaves nothing behind. */
static void nobody_hears_of_half_a_request(void **state)
{
    struct body body = {.open = true};
    (void)state;
    buf_put_str(&body.bytes, "{");
    (void)ask("POST", "/", &body);
    assert_int_equal(nghttp2_submit_rst_stream(client->session, 0, 1, NGHTTP2_CANCEL), 0);
    pump(client);
    (void)ask("POST", "/", &body);
    assert_int_equal(requests, 0);
    buf_free(&body.bytes);
}

static void there_are_not_too_many_at_once(void **state)
{
    enum { CLIENTS = HTTP_EXCHANGES_MAX / HTTP2_STREAMS_MAX };
    struct client *clients[CLIENTS];
    struct body body = {.open = true};
    (void)state;
    for (size_t i = 0; i < CLIENTS; i++) {
        clients[i] = client_new(http2, true);
        for (size_t j = 0; j < HTTP2_STREAMS_MAX; j++) {
            assert_false(ask_by(clients[i], "POST", "/", &body)->closed);
        }
    }
    assert_true(is_status(ask("GET", "/", NULL), ":status: 503\n"));
    assert_int_equal(requests, 0);
    client_free(clients[0]);
    assert_true(is_status(ask("GET", "/", NULL), ":status: 201\n"));
    for (size_t i = 1; i < CLIENTS; i++) {
        client_free(clients[i]);
    }
}

static void an_answer_may_come_in_pieces(void **state)
{
    (void)state;
    answers = false;
    struct answer *answer = ask("GET", "/w", NULL);
    start_stream();
    pump(client);
    assert_true(head_has(answer, ":status: 200\nx-etcd-index: 7\n"));
    assert_true(head_has(answer, "content-type: application/json\n"));
    assert_false(head_has(answer, "content-length"));
    http_stream_send(latest, span_str("abc"));
    pump(client);
    assert_string_equal(buf_str(&answer->body), "abc");
    http_stream_send(latest, span_str("def"));
    http_stream_end(latest);
    latest = NULL;
    pump(client);
    assert_string_equal(buf_str(&answer->body), "abcdef");
    assert_true(answer->closed && answer->close_code == NGHTTP2_NO_ERROR);
    assert_int_equal(gone, 0);
}

static void head_of_an_answer_in_pieces_is_all_of_it(void **state)
{
    (void)state;
    answers = false;
    struct answer *answer = ask("HEAD", "/w", NULL);
    start_stream();
    http_stream_send(latest, span_str("abc"));
    pump(client);
    assert_true(is_status(answer, ":status: 200\n"));
    assert_int_equal(answer->body.len, 0);
    assert_int_equal(gone, 1); /* nobody listens any more */
}

static void who_takes_nothing_is_cut_off_in_time(void **state)
{
    enum { PIECE = 65536 };
    static const uint8_t piece[PIECE];
    (void)state;
    answers = false;
    client_free(client);
    client = client_new(http2, false); /* it opens no window */
    struct answer *answer = ask("GET", "/w", NULL);
    start_stream();
    struct http_exchange *exchange = latest;
    size_t sent = 0;
    while (http_stream_pending(exchange) + PIECE <= HTTP_EXCHANGE_PENDING_BYTES_MAX) {
        http_stream_send(exchange, span_of(piece, PIECE));
        sent += PIECE;
        pump(client);
        assert_false(answer->closed);
    }
    assert_true(sent > HTTP_EXCHANGE_PENDING_BYTES_MAX - PIECE);
    http_stream_send(exchange, span_of(piece, PIECE));
    assert_int_equal(gone, 0); /* not from inside */
    http_stream_send(exchange, span_of(piece, PIECE));
    pump(client);
    assert_true(answer->closed && answer->close_code == NGHTTP2_CANCEL);
    assert_int_equal(gone, 1);
}

static void a_peer_that_resets_is_noticed(void **state)
{
    (void)state;
    answers = false;
    (void)ask("GET", "/w", NULL);
    start_stream();
    assert_int_equal(nghttp2_submit_rst_stream(client->session, 0, 1, NGHTTP2_CANCEL), 0);
    pump(client);
    assert_int_equal(gone, 1);
    (void)ask("GET", "/x", NULL);
    start_stream();
    struct error err = {.code = ERR_IO};
    client->pipe.base.events->on_end(client->pipe.base.arg, ERR_IO, &err);
    assert_int_equal(gone, 2);
}

static void on_notice(void *arg)
{
    assert_ptr_equal(arg, &gone);
    gone++;
}

static void one_that_waits_for_its_answer_too(void **state)
{
    (void)state;
    answers = false;
    (void)ask("GET", "/w", NULL);
    assert_int_equal(http_notice(latest, on_notice, &gone), 0);
    assert_int_equal(nghttp2_submit_rst_stream(client->session, 0, 1, NGHTTP2_CANCEL), 0);
    pump(client);
    assert_int_equal(gone, 1);
    assert_null(http_peer(latest));
    assert_int_equal(http_notice(latest, on_notice, &gone), ERR_CLOSED);
    respond(); /* goes nowhere */
    (void)ask("GET", "/x", NULL);
    assert_int_equal(http_notice(latest, on_notice, &gone), 0);
    start_stream(); /* from here on it is the other one that is told */
    assert_int_equal(nghttp2_submit_rst_stream(client->session, 0, 3, NGHTTP2_CANCEL), 0);
    pump(client);
    assert_int_equal(gone, 2);
    assert_null(latest);
    (void)ask("GET", "/y", NULL); /* without a notice it is learnt at the answer */
    assert_int_equal(nghttp2_submit_rst_stream(client->session, 0, 5, NGHTTP2_CANCEL), 0);
    pump(client);
    assert_int_equal(
        http_stream_start(latest, &(struct http1_response){.content_type = "a/b"}, on_gone, latest),
        ERR_CLOSED);
    latest = NULL;
    assert_int_equal(gone, 2);
}

static void at_the_stop_what_is_owed_is_still_answered(void **state)
{
    struct body body = {.open = true};
    (void)state;
    answers = false;
    struct answer *streams = ask("GET", "/w", NULL);
    start_stream();
    struct answer *gathers = ask("POST", "/p", &body);
    struct answer *waits = ask("GET", "/x", NULL);
    exchanges_stop = true;
    http_exchange_http2_stop(exchanges, on_server_stopped, &stopped[0]);
    struct answer *comes = ask("GET", "/z", NULL);
    assert_true(streams->closed && streams->close_code == NGHTTP2_CANCEL);
    assert_int_equal(gone, 1);
    assert_true(is_status(gathers, ":status: 503\n"));
    assert_true(is_status(comes, ":status: 503\n"));
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    assert_false(stopped[0]); /* one is owed an answer */
    respond();
    pump(client);
    assert_true(is_status(waits, ":status: 201\n"));
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    assert_true(stopped[0]);
    buf_free(&body.bytes);
}

#define BOTH_TEST(name) cmocka_unit_test_setup_teardown(name, open_both, close_both)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH_TEST(a_handler_sees_the_same_over_both),
        BOTH_TEST(pieces_go_over_http1_as_they_do_without_it),
        BOTH_TEST(methods_are_told_apart),
        BOTH_TEST(a_status_line_alone_is_an_answer),
        BOTH_TEST(a_path_that_http1_refuses_is_refused),
        BOTH_TEST(a_body_is_gathered_and_not_too_large),
        BOTH_TEST(a_body_is_as_long_as_was_told),
        BOTH_TEST(a_body_has_its_time),
        BOTH_TEST(nobody_hears_of_half_a_request),
        BOTH_TEST(there_are_not_too_many_at_once),
        BOTH_TEST(an_answer_may_come_in_pieces),
        BOTH_TEST(head_of_an_answer_in_pieces_is_all_of_it),
        BOTH_TEST(who_takes_nothing_is_cut_off_in_time),
        BOTH_TEST(a_peer_that_resets_is_noticed),
        BOTH_TEST(one_that_waits_for_its_answer_too),
        BOTH_TEST(at_the_stop_what_is_owed_is_still_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
