/* Bodies of requests: with chunks, asked for, too large, where nobody expects one. */
#include "base/net/http1.h"
#include "tests/unit/base_net/h2_fixture.h"

static struct http1_server *server;
static struct pipe pipe_one;
static unsigned requests;
static struct buf seen; /* what was handed over */
static struct http1_exchange *latest;
static bool answers;
static unsigned gone;

static void respond(void)
{
    struct http1_response response = {
        .status = 200, .content_type = "text/plain", .body = span_str("ok")};
    struct http1_exchange *exchange = latest;
    latest = NULL;
    http1_respond(exchange, &response);
}

static void on_request(void *arg, struct http1_exchange *exchange,
                       const struct http1_request *request)
{
    (void)arg;
    requests++;
    buf_printf(&seen, "[%d %s?%s ", (int)request->method, request->path, request->query);
    buf_put_span(&seen, request->body);
    buf_put_str(&seen, "]");
    latest = exchange;
    if (answers) {
        respond();
    }
}

/* The peer closes what we have shut, and comes again. */
static void connect_anew(void)
{
    struct error err = {.code = ERR_CLOSED};
    if (!pipe_one.closing) {
        pipe_one.base.events->on_end(pipe_one.base.arg, ERR_CLOSED, &err);
    }
    assert_true(pipe_one.closing);
    pipe_settle(&pipe_one);
    buf_free(&pipe_one.to_client);
    pipe_one = (struct pipe){.base.ops = &pipe_ops, .peer.text = "10.0.0.9:77"};
    http1_server_serve(server, &pipe_one.base, span_of(NULL, 0));
}

static int open_with(const struct http1_limits *limits)
{
    requests = gone = 0;
    time_shift_ms = 0;
    answers = true;
    latest = NULL;
    if (uv_loop_init(&loop) != 0 ||
        http1_server_start(&loop, NULL, on_request, NULL, &server, NULL) != 0) {
        return -1;
    }
    if (limits != NULL) {
        http1_server_set_limits(server, limits);
    }
    pipe_one = (struct pipe){.base.ops = &pipe_ops, .peer.text = "10.0.0.9:77"};
    http1_server_serve(server, &pipe_one.base, span_of(NULL, 0));
    return 0;
}

static int open_etcd(void **state)
{
    (void)state;
    return open_with(&(struct http1_limits){.chunked = true,
                                            .body_bytes_max = (size_t)3 * 1024 * 1024,
                                            .url_bytes_max = 8192,
                                            .held_bytes_max = (size_t)64 * 1024 * 1024});
}

static int open_rest(void **state)
{
    (void)state;
    return open_with(NULL);
}

static int close_server(void **state)
{
    bool stopped = false;
    (void)state;
    http1_server_stop(server, on_server_stopped, &stopped);
    if (latest != NULL) {
        respond(); /* goes nowhere */
    }
    run_until(&stopped);
    buf_free(&pipe_one.to_client);
    buf_free(&seen);
    return uv_loop_close(&loop);
}

static void say_bytes(const void *bytes, size_t len)
{
    if (!pipe_one.closing) {
        pipe_one.base.events->on_read(pipe_one.base.arg, span_of(bytes, len));
    }
}

static void say(const char *text)
{
    say_bytes(text, strlen(text));
}

static void say_in_pieces(const char *text, size_t piece)
{
    for (size_t at = 0; at < strlen(text); at += piece) {
        size_t left = strlen(text) - at;
        say_bytes(text + at, left < piece ? left : piece);
    }
}

static const char *was_seen(void)
{
    static char text[4096];
    (void)snprintf(text, sizeof text, "%s", buf_str(&seen));
    buf_clear(&seen);
    return text;
}

static const char *heard(void)
{
    static char text[4096];
    (void)snprintf(text, sizeof text, "%s", buf_str(&pipe_one.to_client));
    buf_clear(&pipe_one.to_client);
    return text;
}

#define CHUNKED(start) start " HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"

static void chunks_are_handed_over_as_one_body(void **state)
{
    static const char text[] = CHUNKED("POST /a?b=c") "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: 1\r\n\r\n"
                                                      "GET /next HTTP/1.1\r\nHost: h\r\n\r\n";
    (void)state;
    for (size_t piece = 1; piece < sizeof text; piece++) {
        say_in_pieces(text, piece);
        assert_string_equal(was_seen(), "[3 /a?b=c abcde][0 /next? ]");
    }
    assert_int_equal(requests, 2 * (sizeof text - 1));
}

static void any_method_may_have_a_body(void **state)
{
    static const char text[] =
        "GET /version HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
        "Content-Length: 2\r\n\r\n{}"
        "DELETE /k?x HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc" CHUNKED(
            "GET /g") "2\r\n{}\r\n0\r\n\r\n"
                      "HEAD /h HTTP/1.1\r\nHost: h\r\n\r\n";
    (void)state;
    say(text);
    assert_string_equal(was_seen(), "[0 /version? {}][6 /k?x abc][0 /g? {}][1 /h? ]");
}

static void a_server_that_takes_no_chunks_says_so(void **state)
{
    (void)state;
    say(CHUNKED("POST /a") "0\r\n\r\n");
    assert_non_null(strstr(heard(), "HTTP/1.1 411 Length Required\r\n"));
    assert_int_equal(requests, 0);
}

static void what_could_be_smuggled_is_refused(void **state)
{
    static const struct {
        const char *head;
        const char *status;
    } cases[] = {
        {"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", " 400 "},
        {"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", " 400 "},
        {"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", " 400 "},
        {"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", " 400 "},
        {"Content-Length: 5, 5\r\n", " 400 "},
        {"Content-Length: +5\r\n", " 400 "},
        {"Content-Length: 0x5\r\n", " 400 "},
        {"Transfer-Encoding:\r\n chunked\r\n", " 400 "},
        {"Transfer-Encoding : chunked\r\n", " 400 "},
        {"Transfer-Encoding: \x0b"
         "chunked\r\n",
         " 501 "},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[256];
        (void)snprintf(text, sizeof text, "POST / HTTP/1.1\r\nHost: h\r\n%s\r\n0\r\n\r\nGET /s",
                       cases[i].head);
        say(text);
        if (strstr(heard(), cases[i].status) == NULL || requests != 0) {
            fail_msg("%s", cases[i].head);
        }
        assert_true(pipe_one.shut); /* nothing of what follows is looked at */
        connect_anew();
    }
    say("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    assert_non_null(strstr(heard(), " 400 "));
    connect_anew();
    say("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n");
    assert_null(strstr(heard(), " 200 "));
    assert_true(pipe_one.shut);
    connect_anew();
    say("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n");
    assert_null(strstr(heard(), " 200 "));
    assert_true(pipe_one.shut);
    assert_int_equal(requests, 0);
}

static void a_bad_chunk_ends_the_connection(void **state)
{
    (void)state;
    say(CHUNKED("POST /a") "3\r\nabcd\r\n0\r\n\r\n");
    assert_non_null(strstr(heard(), " 400 Bad Request\r\n"));
    assert_true(pipe_one.shut);
    connect_anew();
    say(CHUNKED("POST /a") "300001\r\n");
    assert_non_null(strstr(heard(), " 413 Payload Too Large\r\n"));
    assert_true(pipe_one.shut);
    assert_int_equal(requests, 0);
}

static void a_body_may_be_as_large_as_the_server_takes(void **state)
{
    enum { LARGE = 3 * 1024 * 1024, PIECE = 50000 };
    static char body[LARGE];
    (void)state;
    answers = false;
    for (int chunked = 0; chunked < 2; chunked++) {
        memset(body, 'a' + chunked, sizeof body);
        if (chunked == 0) {
            say("PUT /l HTTP/1.1\r\nHost: h\r\nContent-Length: 3145728\r\n\r\n");
        } else {
            say(CHUNKED("PUT /l") "300000\r\n");
        }
        for (size_t at = 0; at < LARGE; at += PIECE) {
            say_bytes(body + at, LARGE - at < PIECE ? LARGE - at : PIECE);
        }
        say(chunked == 0 ? "" : "\r\n0\r\n\r\n");
        assert_int_equal(requests, chunked + 1);
        assert_int_equal(seen.len, LARGE + 8);
        assert_memory_equal(seen.data + 7, body, LARGE);
        buf_clear(&seen);
        respond();
    }
    say("PUT /l HTTP/1.1\r\nHost: h\r\nContent-Length: 3145729\r\n\r\n");
    assert_non_null(strstr(heard(), " 413 "));
}

static void who_asks_whether_to_send_is_told_at_once(void **state)
{
    static const char *const heads[] = {
        "POST /e HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n",
        "POST /e HTTP/1.1\r\nHost: h\r\nExpect: 100-CONTINUE\r\nTransfer-Encoding: "
        "chunked\r\n\r\n"};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        say(heads[i]);
        assert_string_equal(heard(), "HTTP/1.1 100 Continue\r\n\r\n");
        say(i == 0 ? "{" : "2\r\n{"); /* told once */
        assert_string_equal(heard(), "");
        say(i == 0 ? "}" : "}\r\n0\r\n\r\n");
        assert_string_equal(was_seen(), "[3 /e? {}]");
        assert_non_null(strstr(heard(), "HTTP/1.1 200 OK\r\n"));
    }
    /* Not where it did not wait, has nothing to send, or speaks HTTP/1.0. */
    say("POST /e HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n{}");
    assert_null(strstr(heard(), " 100 "));
    say("GET /e HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n\r\n");
    assert_null(strstr(heard(), " 100 "));
    say("POST /e HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    assert_string_equal(heard(), "");
    say("{}");
    assert_non_null(strstr(heard(), "HTTP/1.0 200 OK\r\n"));
}

static void who_asks_for_too_much_is_not_to_send(void **state)
{
    (void)state;
    say("POST /e HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 99999999\r\n\r\n");
    const char *answer = heard();
    assert_non_null(strstr(answer, " 413 "));
    assert_null(strstr(answer, " 100 "));
    connect_anew();
    say("POST /e HTTP/1.1\r\nHost: h\r\nExpect: a-miracle\r\nContent-Length: 2\r\n\r\n{}");
    assert_non_null(strstr(heard(), " 417 Expectation Failed\r\n"));
    assert_int_equal(requests, 0);
}

/* As Java's client and curl --http2 do; who knows no other protocol answers in this one. */
static void an_offer_of_another_protocol_is_passed_over(void **state)
{
    (void)state;
    say("GET /u HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
        "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n"
        "POST /v HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n"
        "Content-Length: 2\r\n\r\n{}GET /w HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_string_equal(was_seen(), "[0 /u? ][3 /v? {}][0 /w? ]");
    say("CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_non_null(strstr(heard(), " 400 "));
    assert_int_equal(requests, 3);
}

static void a_url_is_as_long_as_the_server_takes(void **state)
{
    static char text[16384];
    (void)state;
    memset(text, 'a', sizeof text);
    memcpy(text, "GET /", 5);
    (void)snprintf(text + 4 + 8192, 64, " HTTP/1.1\r\nHost: h\r\n\r\n");
    say(text);
    assert_int_equal(requests, 1);
    memset(text + 4 + 8192, 'a', 64);
    (void)snprintf(text + 4 + 8193, 64, " HTTP/1.1\r\nHost: h\r\n\r\n");
    buf_clear(&pipe_one.to_client);
    say(text);
    assert_non_null(strstr(heard(), " 414 URI Too Long\r\n"));
    assert_int_equal(requests, 1);
}

static void an_address_in_the_request_line_is_taken_off(void **state)
{
    (void)state;
    say("GET http://h:1/a?b HTTP/1.1\r\nHost: h\r\n\r\nGET http://h HTTP/1.1\r\nHost: h\r\n\r\n"
        "GET http://h?q HTTP/1.1\r\nHost: h\r\n\r\nOPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_string_equal(was_seen(), "[0 /a?b ][0 /? ][0 /?q ][2 *? ]");
}

static void on_gone(void *arg)
{
    assert_ptr_equal(arg, &gone);
    gone++;
}

static void a_peer_that_goes_while_the_answer_is_made_is_noticed(void **state)
{
    struct error err = {.code = ERR_CLOSED};
    (void)state;
    answers = false;
    say("GET /n HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_false(pipe_one.reading);
    assert_string_equal(http1_request_peer(latest)->text, "10.0.0.9:77");
    assert_int_equal(http1_notice(latest, on_gone, &gone), 0);
    assert_true(pipe_one.reading);
    say("GET /m HTTP/1.1\r\nHost: h\r\n\r\n"); /* waits */
    assert_int_equal(requests, 1);
    respond();
    assert_string_equal(was_seen(), "[0 /n? ][0 /m? ]");
    assert_false(pipe_one.reading);
    assert_int_equal(http1_notice(latest, on_gone, &gone), 0);
    pipe_one.base.events->on_end(pipe_one.base.arg, ERR_CLOSED, &err);
    assert_int_equal(gone, 0);
    pipe_settle(&pipe_one);
    assert_int_equal(gone, 1);
    assert_null(http1_request_peer(latest));
    assert_int_equal(http1_notice(latest, on_gone, &gone), ERR_CLOSED);
    respond(); /* goes nowhere */
    assert_int_equal(gone, 1);
}

static void who_is_to_wait_cannot_fill_the_memory(void **state)
{
    static const char filler[1024];
    (void)state;
    answers = false;
    say("GET /n HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_int_equal(http1_notice(latest, on_gone, &gone), 0);
    for (int i = 0; i < HTTP1_HEAD_BYTES_MAX / 1024 + 1; i++) {
        say_bytes(filler, sizeof filler);
    }
    assert_true(pipe_one.closing);
    pipe_settle(&pipe_one);
    assert_int_equal(gone, 1);
    respond();
}

static void a_body_has_its_time(void **state)
{
    (void)state;
    say(CHUNKED("POST /a") "3\r\na");
    time_shift_ms += HTTP1_BODY_MS - 2000;
    say("b");
    let_sweep(NULL);
    assert_false(pipe_one.closing);
    time_shift_ms += 2000; /* each byte wins no time */
    let_sweep(NULL);
    assert_true(pipe_one.closing);
    pipe_settle(&pipe_one);
}

#define ETCD_TEST(name) cmocka_unit_test_setup_teardown(name, open_etcd, close_server)
#define REST_TEST(name) cmocka_unit_test_setup_teardown(name, open_rest, close_server)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ETCD_TEST(chunks_are_handed_over_as_one_body),
        ETCD_TEST(any_method_may_have_a_body),
        REST_TEST(a_server_that_takes_no_chunks_says_so),
        ETCD_TEST(what_could_be_smuggled_is_refused),
        ETCD_TEST(a_bad_chunk_ends_the_connection),
        ETCD_TEST(a_body_may_be_as_large_as_the_server_takes),
        ETCD_TEST(who_asks_whether_to_send_is_told_at_once),
        REST_TEST(who_asks_for_too_much_is_not_to_send),
        REST_TEST(an_offer_of_another_protocol_is_passed_over),
        ETCD_TEST(a_url_is_as_long_as_the_server_takes),
        REST_TEST(an_address_in_the_request_line_is_taken_off),
        REST_TEST(a_peer_that_goes_while_the_answer_is_made_is_noticed),
        REST_TEST(who_is_to_wait_cannot_fill_the_memory),
        ETCD_TEST(a_body_has_its_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
