/* Answers of HTTP/1 that come in pieces, and headers of requests, over a stream that is no socket.
 */
#include "base/net/http1.h"
#include "tests/unit/base_net/h2_fixture.h"

static struct http1_server *server;
static struct http1_exchange *latest; /* waits for its answer */
static unsigned requests;
static unsigned gone;
static bool end_when_gone;
static struct pipe pipe_one;
static const char *wanted_header;
static char header[64];

static const struct http1_response head = {
    .status = 200, .content_type = "application/json", .headers = "X-Etcd-Index: 7\r\n"};

static void on_request(void *arg, struct http1_exchange *exchange,
                       const struct http1_request *request)
{
    (void)arg;
    (void)request;
    requests++;
    latest = exchange;
    if (wanted_header != NULL) {
        struct span value = http1_request_header(exchange, wanted_header);
        (void)snprintf(header, sizeof header, "%s%.*s", value.data == NULL ? "none" : "=",
                       (int)value.len, (const char *)value.data);
    }
}

static void on_gone(void *arg)
{
    assert_ptr_equal(arg, &gone);
    gone++;
    if (end_when_gone) {
        http1_stream_end(latest);
        latest = NULL;
    }
}

static int open_server(void **state)
{
    (void)state;
    requests = gone = 0;
    time_shift_ms = 0;
    end_when_gone = true;
    wanted_header = NULL;
    latest = NULL;
    if (uv_loop_init(&loop) != 0 ||
        http1_server_start(&loop, NULL, on_request, NULL, &server, NULL) != 0) {
        return -1;
    }
    pipe_one = (struct pipe){.base.ops = &pipe_ops};
    http1_server_serve(server, &pipe_one.base, span_of(NULL, 0));
    return 0;
}

static int close_server(void **state)
{
    bool stopped = false;
    (void)state;
    http1_server_stop(server, on_server_stopped, &stopped);
    run_until(&stopped);
    buf_free(&pipe_one.to_client);
    return uv_loop_close(&loop);
}

static void say(const char *text)
{
    pipe_one.base.events->on_read(pipe_one.base.arg, span_str(text));
}

/* What was written since the last time, without the line of the date. */
static const char *heard(void)
{
    static char text[1024];
    (void)snprintf(text, sizeof text, "%s", buf_str(&pipe_one.to_client));
    buf_clear(&pipe_one.to_client);
    char *date = strstr(text, "Date: ");
    if (date != NULL) {
        char *after = strstr(date, "\r\n") + 2;
        memmove(date, after, strlen(after) + 1);
    }
    return text;
}

static void start_stream(void)
{
    assert_int_equal(http1_stream_start(latest, &head, on_gone, &gone), 0);
}

#define GET    "GET /w HTTP/1.1\r\nHost: h\r\n\r\n"
#define HEAD_1 "HTTP/1.1 200 OK\r\nServer: pgquorum\r\nContent-Type: application/json\r\n"

static void pieces_are_chunks_at_once(void **state)
{
    (void)state;
    say(GET);
    start_stream();
    assert_string_equal(heard(), HEAD_1 "Transfer-Encoding: chunked\r\nX-Etcd-Index: 7\r\n\r\n");
    http1_stream_send(latest, span_str("{\"result\":{}}\n"));
    assert_string_equal(heard(), "e\r\n{\"result\":{}}\n\r\n");
    assert_int_equal(http1_stream_pending(latest), 0);
    http1_stream_end(latest);
    assert_string_equal(heard(), "0\r\n\r\n");
    say(GET); /* the connection goes on */
    assert_int_equal(requests, 2);
    start_stream();
    http1_stream_end(latest);
    assert_non_null(strstr(heard(), "\r\n\r\n0\r\n\r\n"));
    assert_int_equal(gone, 0);
}

static void http_1_0_gets_bytes_and_the_end(void **state)
{
    (void)state;
    say("GET /w HTTP/1.0\r\n\r\n");
    start_stream();
    http1_stream_send(latest, span_str("abc"));
    assert_string_equal(heard(), "HTTP/1.0 200 OK\r\nServer: pgquorum\r\nContent-Type: "
                                 "application/json\r\nX-Etcd-Index: 7\r\n\r\nabc");
    assert_false(pipe_one.shut);
    http1_stream_end(latest);
    assert_true(pipe_one.shut);
}

static void head_gets_no_body(void **state)
{
    (void)state;
    say("HEAD /w HTTP/1.1\r\nHost: h\r\n\r\n");
    start_stream();
    http1_stream_send(latest, span_str("abc"));
    http1_stream_end(latest);
    assert_string_equal(heard(), HEAD_1 "Transfer-Encoding: chunked\r\nX-Etcd-Index: 7\r\n\r\n");
}

static void what_is_pipelined_waits_for_the_end(void **state)
{
    (void)state;
    say(GET);
    start_stream();
    say(GET);
    assert_int_equal(requests, 1);
    http1_stream_end(latest);
    assert_int_equal(requests, 2);
    start_stream();
    http1_stream_end(latest);
    say(GET); /* too much of it: it was to listen */
    start_stream();
    for (int i = 0; i < HTTP1_HEAD_BYTES_MAX / 16 + 2 && !pipe_one.closing; i++) {
        say("xxxxxxxxxxxxxxxx");
    }
    assert_true(pipe_one.closing);
    assert_int_equal(gone, 0); /* not from inside */
    pipe_settle(&pipe_one);
    assert_int_equal(gone, 1);
}

static void a_peer_that_goes_is_noticed(void **state)
{
    struct error err = {.code = ERR_CLOSED};
    (void)state;
    end_when_gone = false;
    say(GET);
    start_stream();
    assert_true(pipe_one.reading);
    pipe_one.base.events->on_end(pipe_one.base.arg, ERR_CLOSED, &err);
    assert_true(pipe_one.closing);
    pipe_settle(&pipe_one);
    assert_int_equal(gone, 1);
    http1_stream_send(latest, span_str("nowhere"));
    assert_int_equal(http1_stream_pending(latest), 0);
    http1_stream_end(latest);
}

static void a_peer_that_went_before_gets_no_stream(void **state)
{
    struct error err = {.code = ERR_IO};
    (void)state;
    say(GET);
    pipe_one.base.events->on_end(pipe_one.base.arg, ERR_IO, &err);
    pipe_settle(&pipe_one);
    assert_int_equal(http1_stream_start(latest, &head, on_gone, &gone), ERR_CLOSED);
    assert_int_equal(gone, 0);
}

static void a_peer_that_takes_nothing_is_left(void **state)
{
    (void)state;
    say(GET);
    start_stream();
    pipe_one.stuck = true;
    http1_stream_send(latest, span_str("x"));
    assert_true(http1_stream_pending(latest) > 0);
    time_shift_ms += HTTP1_WRITE_MS - 5000;
    http1_stream_send(latest, span_str("x")); /* the first byte counts */
    let_sweep(NULL);
    assert_false(pipe_one.closing);
    pipe_one.stuck_bytes = 0; /* taken: counted anew from the next that waits */
    pipe_one.base.events->on_drained(pipe_one.base.arg);
    time_shift_ms += HTTP1_WRITE_MS;
    let_sweep(NULL);
    assert_false(pipe_one.closing); /* a watch may be silent */
    http1_stream_send(latest, span_str("x"));
    time_shift_ms += HTTP1_WRITE_MS;
    let_sweep(NULL);
    assert_true(pipe_one.closing);
    pipe_settle(&pipe_one);
    assert_int_equal(gone, 1);
}

/* Of an answer that stands whole, whatever comes after it on its connection. */
static void a_plain_answer_is_waited_for_while_it_is_taken(void **state)
{
    static const char *const ends[] = {"GET /w HTTP/1.0\r\n\r\n", GET};
    static const struct http1_response whole = {
        .status = 200, .content_type = "text/plain", .body = {(const uint8_t *)"0123456789", 10}};
    struct pipe *pipe = &pipe_one;
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        if (i > 0) { /* the first has closed */
            pipe_settle(pipe);
            buf_free(&pipe->to_client);
            *pipe = (struct pipe){.base.ops = &pipe_ops};
            http1_server_serve(server, &pipe->base, span_of(NULL, 0));
        }
        pipe->stuck = true;
        say(ends[i]);
        http1_respond(latest, &whole);
        for (int piece = 0; piece < 3; piece++) {
            time_shift_ms += HTTP1_WRITE_MS - 5000;
            pipe->stuck_bytes -= 3;
            let_sweep(NULL);
            assert_false(pipe->closing);
        }
        time_shift_ms += HTTP1_WRITE_MS; /* and then nothing */
        let_sweep(NULL);
        assert_true(pipe->closing);
    }
}

/* A slow line is always behind where much happens. */
static void a_peer_that_takes_a_little_at_a_time_is_no_such_one(void **state)
{
    (void)state;
    say(GET);
    start_stream();
    pipe_one.stuck = true;
    http1_stream_send(latest, span_str("one"));
    for (int i = 0; i < 2; i++) {
        time_shift_ms += HTTP1_WRITE_MS - 5000;
        pipe_one.stuck_bytes -= 3;
        if (i == 0) {
            http1_stream_send(latest, span_str("more"));
        }
        let_sweep(NULL);
        assert_false(pipe_one.closing);
    }
    assert_true(http1_stream_pending(latest) > 0);
    time_shift_ms += HTTP1_WRITE_MS;
    let_sweep(NULL);
    assert_true(pipe_one.closing);
    pipe_settle(&pipe_one);
    assert_int_equal(gone, 1);
}

static void more_than_the_queue_takes_ends_it(void **state)
{
    static const uint8_t large[PIPE_QUEUE_BYTES];
    (void)state;
    say(GET);
    start_stream();
    pipe_one.stuck = true;
    http1_stream_send(latest, span_of(large, sizeof large));
    assert_true(pipe_one.closing);
    pipe_settle(&pipe_one);
    assert_int_equal(gone, 1);
}

static void at_the_stop_streams_are_told(void **state)
{
    (void)state;
    say(GET);
    start_stream();
}

static void headers_are_found(void **state)
{
    static const struct {
        const char *name;
        const char *value;
    } cases[] = {{"content-type", "=text/plain; a=b"},
                 {"AUTHORIZATION", "=t.1"},
                 {"host", "=h"},
                 {"x-empty", "="},
                 {"x-twice", "=1"},
                 {"x-none", "none"},
                 {"GET /w HTTP/1.1", "none"},
                 {"content", "none"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        wanted_header = cases[i].name;
        say("POST /w HTTP/1.1\r\nHost: h\r\nContent-Type: \t text/plain; a=b "
            "\r\nAuthorization:t.1\r\n"
            "X-Empty: \r\nX-Twice: 1\r\nX-Twice: 2\r\nContent-Length: 12\r\n\r\nx-none: body");
        assert_string_equal(header, cases[i].value);
        start_stream();
        http1_stream_end(latest);
    }
    assert_int_equal(requests, sizeof cases / sizeof cases[0]);
}

#define STREAM_TEST(name) cmocka_unit_test_setup_teardown(name, open_server, close_server)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STREAM_TEST(pieces_are_chunks_at_once),
        STREAM_TEST(http_1_0_gets_bytes_and_the_end),
        STREAM_TEST(head_gets_no_body),
        STREAM_TEST(what_is_pipelined_waits_for_the_end),
        STREAM_TEST(a_peer_that_goes_is_noticed),
        STREAM_TEST(a_peer_that_went_before_gets_no_stream),
        STREAM_TEST(a_peer_that_takes_nothing_is_left),
        STREAM_TEST(a_plain_answer_is_waited_for_while_it_is_taken),
        STREAM_TEST(a_peer_that_takes_a_little_at_a_time_is_no_such_one),
        STREAM_TEST(more_than_the_queue_takes_ends_it),
        STREAM_TEST(at_the_stop_streams_are_told),
        STREAM_TEST(headers_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
