/* One port, two protocols: whatever pieces the first bytes come in. */
#include "base/net/http_port.h"
#include "tests/unit/base_net/h2_fixture.h"
#include "tests/unit/base_net/http2_takes.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

static struct http1_server *http1;
static struct http2_server *http2;
static struct http_port *port;
static unsigned http1_requests;
static unsigned http2_requests;
static bool stopped[3];

static void on_http1(void *arg, struct http1_exchange *exchange,
                     const struct http1_request *request)
{
    struct http1_response response = {.status = 200,
                                      .content_type = "text/plain",
                                      .headers = "X-One: 1\r\nX-Two: 2\r\n",
                                      .body = span_str(request->path)};
    (void)arg;
    http1_requests++;
    http1_respond(exchange, &response);
}

static void on_http2(void *arg, struct http2_stream *stream, const struct http2_request *request)
{
    (void)arg;
    (void)request;
    http2_requests++;
    http2_respond(stream, 200, NULL, 0, true);
}

static const struct http2_events events = {.on_request = on_http2,
                                           .on_data = take_data,
                                           .on_request_end = take_end,
                                           .on_close = take_close};

static int open_port(void **state)
{
    struct net_addr listen = {.host = "127.0.0.1"};
    (void)state;
    http1_requests = http2_requests = 0;
    time_shift_ms = 0;
    memset(stopped, 0, sizeof stopped);
    return uv_loop_init(&loop) != 0 ||
           http1_server_start(&loop, NULL, on_http1, NULL, &http1, NULL) != 0 ||
           http2_server_start(&loop, &events, NULL, &http2, NULL) != 0 ||
           http_port_start(&loop, &listen, http1, http2, &port, NULL) != 0;
}

static int close_port(void **state)
{
    (void)state;
    if (port != NULL) {
        http_port_stop(port, on_server_stopped, &stopped[0]);
    }
    http1_server_stop(http1, on_server_stopped, &stopped[1]);
    http2_server_stop(http2, on_server_stopped, &stopped[2]);
    for (size_t i = 0; i < 3; i++) {
        run_until(&stopped[i]);
    }
    return uv_loop_close(&loop);
}

static void feed(struct pipe *pipe, struct span bytes, size_t piece)
{
    for (size_t at = 0; at < bytes.len && !pipe->closing; at += piece) {
        size_t len = bytes.len - at < piece ? bytes.len - at : piece;
        assert_true(pipe->reading);
        pipe->base.events->on_read(pipe->base.arg, span_of(bytes.data + at, len));
        (void)uv_run(&loop, UV_RUN_NOWAIT);
    }
}

static void end_pipe(struct pipe *pipe)
{
    if (!pipe->closing) {
        struct error err = {.code = ERR_CLOSED};
        pipe->base.events->on_end(pipe->base.arg, ERR_CLOSED, &err);
    }
    pipe_settle(pipe);
    buf_free(&pipe->to_client);
}

static void the_first_bytes_decide_in_any_pieces(void **state)
{
    static const char one[] = "GET /abc HTTP/1.1\r\nHost: h\r\n\r\n";
    static const char two[] = HTTP2_PREFACE "\0\0\0\4\0\0\0\0\0"
                                            "\0\0\6\1\5\0\0\0\1\x83\x86\x84\1\1h";
    (void)state;
    for (size_t piece = 1; piece < 60; piece++) {
        struct pipe pipe = {.base.ops = &pipe_ops};
        http_port_serve(port, &pipe.base);
        feed(&pipe, span_of(one, sizeof one - 1), piece);
        assert_int_equal(http1_requests, piece);
        assert_true(span_starts_with(buf_span(&pipe.to_client), span_str("HTTP/1.1 200 OK\r\n")));
        assert_non_null(strstr(buf_str(&pipe.to_client), "\r\nX-One: 1\r\nX-Two: 2\r\n\r\n/abc"));
        end_pipe(&pipe);
        pipe = (struct pipe){.base.ops = &pipe_ops};
        http_port_serve(port, &pipe.base);
        feed(&pipe, span_of(two, sizeof two - 1), piece);
        assert_int_equal(http2_requests, piece);
        assert_int_equal(pipe.to_client.data[3], NGHTTP2_SETTINGS);
        end_pipe(&pipe);
    }
}

/* What begins as the preface and goes on otherwise is HTTP/1's to refuse. */
static void nearly_the_preface_is_http_1(void **state)
{
    struct pipe pipe = {.base.ops = &pipe_ops};
    (void)state;
    http_port_serve(port, &pipe.base);
    feed(&pipe, span_str("PRI * HTTP/2.0\r\n\r\nSM\r\n\rx"), 5);
    assert_true(span_starts_with(buf_span(&pipe.to_client), span_str("HTTP/1.1 400 ")));
    end_pipe(&pipe);
}

static void the_undecided_are_bounded(void **state)
{
    static struct pipe many[HTTP_PORT_UNDECIDED_MAX + 1];
    (void)state;
    for (size_t i = 0; i <= HTTP_PORT_UNDECIDED_MAX; i++) {
        many[i] = (struct pipe){.base.ops = &pipe_ops};
        http_port_serve(port, &many[i].base);
        feed(&many[i], span_str("PRI"), 3);
    }
    assert_true(many[0].closing);
    assert_false(many[1].closing);
    time_shift_ms += HTTP_PORT_DECIDE_MS;
    let_sweep(NULL);
    for (size_t i = 0; i <= HTTP_PORT_UNDECIDED_MAX; i++) {
        assert_true(many[i].closing);
        end_pipe(&many[i]);
    }
    assert_int_equal(http1_requests + http2_requests, 0);
}

static void who_goes_before_a_word_is_let_go(void **state)
{
    struct pipe pipe = {.base.ops = &pipe_ops};
    (void)state;
    http_port_serve(port, &pipe.base);
    end_pipe(&pipe);
    assert_true(pipe.closed);
}

/* It may take a while: TLS says goodbye first. */
static void stop_ends_when_what_was_undecided_is_closed(void **state)
{
    struct pipe pipes_left[2] = {{.base.ops = &pipe_ops}, {.base.ops = &pipe_ops}};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        http_port_serve(port, &pipes_left[i].base);
    }
    pipes_left[0].base.events->on_end(pipes_left[0].base.arg, ERR_CLOSED,
                                      NULL); /* shortly before */
    http_port_stop(port, on_server_stopped, &stopped[0]);
    port = NULL;
    for (size_t i = 0; i < 2; i++) {
        assert_true(pipes_left[i].closing);
        for (int turn = 0; turn < 5; turn++) {
            (void)uv_run(&loop, UV_RUN_NOWAIT);
        }
        assert_false(stopped[0]);
        pipe_settle(&pipes_left[i]);
    }
    assert_true(stopped[0]);
}

static void it_listens(void **state)
{
    static const char request[] = "GET /x HTTP/1.0\r\n\r\n";
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(http_port_number(port)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    char text[512];
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)state;
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(write(fd, request, sizeof request - 1), sizeof request - 1);
    while (http1_requests == 0) {
        (void)uv_run(&loop, UV_RUN_ONCE);
    }
    ssize_t len = read(fd, text, sizeof text);
    assert_true(len > 15 && memcmp(text, "HTTP/1.0 200 OK", 15) == 0);
    assert_int_equal(close(fd), 0);
    static struct pipe left; /* undecided at the stop */
    left = (struct pipe){.base.ops = &pipe_ops};
    http_port_serve(port, &left.base);
}

/* Patroni's client has Nagle's algorithm on and sends head and body apart: the body stays with its
 * kernel until the head is acknowledged, for which ours would wait 40 ms or more. The best of many
 * rounds counts, so that a busy machine makes no difference. */
static void a_request_in_two_segments_is_not_waited_for(void **state)
{
    static const char head[] = "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n";
    enum { ROUNDS = 30, WARM = 10, BEST_NS_MAX = 20 * 1000 * 1000 };
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(http_port_number(port)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    uint64_t best_ns = UINT64_MAX;
    char text[512];
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)state;
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    for (unsigned round = 1; round <= ROUNDS; round++) {
        uint64_t began_ns = uv_hrtime();
        assert_int_equal(write(fd, head, sizeof head - 1), sizeof head - 1);
        assert_int_equal(write(fd, "{}", 2), 2);
        while (http1_requests < round) {
            (void)uv_run(&loop, UV_RUN_ONCE);
        }
        uint64_t took_ns = uv_hrtime() - began_ns;
        assert_true(read(fd, text, sizeof text) > 0);
        /* At first the kernel acknowledges quickly by itself. */
        best_ns = round > WARM && took_ns < best_ns ? took_ns : best_ns;
    }
    assert_true(best_ns < BEST_NS_MAX);
    assert_int_equal(close(fd), 0);
}

#define PORT_TEST(name) cmocka_unit_test_setup_teardown(name, open_port, close_port)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PORT_TEST(the_first_bytes_decide_in_any_pieces),
        PORT_TEST(nearly_the_preface_is_http_1),
        PORT_TEST(the_undecided_are_bounded),
        PORT_TEST(who_goes_before_a_word_is_let_go),
        PORT_TEST(stop_ends_when_what_was_undecided_is_closed),
        PORT_TEST(it_listens),
        PORT_TEST(a_request_in_two_segments_is_not_waited_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
