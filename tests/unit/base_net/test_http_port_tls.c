/* The port for both versions of HTTP over TLS: ALPN decides, or the first bytes; who speaks plain
 * text is told so; the client's certificate is seen by who answers. */
#include "base/net/http_port.h"
#include "tests/unit/base_net/http2_takes.h"
#include "tests/unit/base_net/tls_fixture.h"

static struct http1_server *http1;
static struct http2_server *http2;
static struct http_port *port;
static unsigned http1_requests;
static unsigned http2_requests;
static struct stream_peer seen; /* of the last request */
static int stops;

static const char request[] = "GET /abc HTTP/1.1\r\nHost: h\r\n\r\n";
static const char greeting[] = HTTP2_PREFACE "\0\0\0\4\0\0\0\0\0"
                                             "\0\0\6\1\5\0\0\0\1\x83\x86\x84\1\1h";

static void on_http1(void *arg, struct http1_exchange *exchange, const struct http1_request *asked)
{
    struct http1_response response = {
        .status = 200, .content_type = "text/plain", .body = span_str(asked->path)};
    (void)arg;
    http1_requests++;
    seen = *http1_request_peer(exchange);
    http1_respond(exchange, &response);
}

static void on_http2(void *arg, struct http2_stream *stream, const struct http2_request *asked)
{
    (void)arg;
    (void)asked;
    http2_requests++;
    seen = *http2_stream_peer(stream);
    http2_respond(stream, 200, NULL, 0, true);
}

static const struct http2_events events = {.on_request = on_http2,
                                           .on_data = take_data,
                                           .on_request_end = take_end,
                                           .on_close = take_close};

static struct tls_context *server_context(void)
{
    static const char *const protocols[HTTP_PORT_PROTOCOL_COUNT] = HTTP_PORT_PROTOCOLS;
    struct tls_config config = {.certfile = tls_path(dir, "here", ".crt"),
                                .keyfile = tls_path(dir, "here", ".key"),
                                .cafile = tls_path(dir, "ca", ".crt"),
                                .verify = TLS_VERIFY_OPTIONAL,
                                .protocols = protocols,
                                .protocol_count = HTTP_PORT_PROTOCOL_COUNT};
    struct tls_context *context = NULL;
    assert_int_equal(tls_context_new(&config, &context, NULL), 0);
    return context;
}

/* `protocol` NULL: it offers none. */
static struct end *client_of(const char *leaf, const char *protocol)
{
    struct wire *near;
    struct wire *far;
    struct tls_config config = {.certfile = leaf != NULL ? tls_path(dir, leaf, ".crt") : NULL,
                                .keyfile = leaf != NULL ? tls_path(dir, leaf, ".key") : NULL,
                                .cafile = tls_path(dir, "ca", ".crt"),
                                .verify = TLS_VERIFY_REQUIRED,
                                .protocols = &protocol,
                                .protocol_count = protocol != NULL ? 1 : 0};
    struct tls_options options = {.loop = &loop, .host = "localhost"};
    assert_int_equal(tls_context_new(&config, &options.context, NULL), 0);
    wire_pair(&near, &far);
    http_port_serve(port, &far->base);
    struct end *client = end_over(&near->base, &options);
    tls_context_free(options.context);
    end_read(client);
    return client;
}

static int open_port(void **state)
{
    struct net_addr listen = {.host = "127.0.0.1"};
    http1_requests = http2_requests = 0;
    stops = 0;
    if (wires_open(state) != 0 ||
        http1_server_start(&loop, NULL, on_http1, NULL, &http1, NULL) != 0 ||
        http2_server_start(&loop, &events, NULL, &http2, NULL) != 0 ||
        http_port_start(&loop, &listen, http1, http2, &port, NULL) != 0) {
        return -1;
    }
    struct tls_context *context = server_context();
    http_port_set_tls(port, context);
    tls_context_free(context);
    return 0;
}

static void on_server_stopped(void *arg)
{
    (void)arg;
    stops++;
}

static int close_port(void **state)
{
    ends_close(connected, connected_count);
    http_port_stop(port, on_server_stopped, NULL);
    http1_server_stop(http1, on_server_stopped, NULL);
    http2_server_stop(http2, on_server_stopped, NULL);
    TURN_UNTIL(stops == 3);
    return wires_close(state);
}

static void alpn_decides(void **state)
{
    (void)state;
    struct end *one = client_of(NULL, "http/1.1");
    assert_int_equal(end_write(one, span_str(request)), 0);
    TURN_UNTIL(one->got.len > 0);
    assert_true(span_starts_with(buf_span(&one->got), span_str("HTTP/1.1 200 OK\r\n")));
    assert_int_equal(http1_requests, 1);
    struct end *two = client_of(NULL, "h2");
    assert_int_equal(end_write(two, span_of(greeting, sizeof greeting - 1)), 0);
    TURN_UNTIL(http2_requests == 1 && two->got.len > 9);
    assert_int_equal(two->got.data[3], 4); /* SETTINGS */
    assert_false(seen.is_verified);
}

/* What was agreed on counts, not what the bytes look like. */
static void who_agreed_on_one_and_speaks_the_other_is_refused(void **state)
{
    (void)state;
    struct end *one = client_of(NULL, "http/1.1");
    assert_int_equal(end_write(one, span_of(greeting, sizeof greeting - 1)), 0);
    TURN_UNTIL(one->got.len > 0);
    assert_true(span_starts_with(buf_span(&one->got), span_str("HTTP/1.1 400 ")));
    struct end *two = client_of(NULL, "h2");
    assert_int_equal(end_write(two, span_str(request)), 0);
    TURN_UNTIL(two->ends > 0);
    assert_int_equal(http1_requests + http2_requests, 0);
}

static void without_alpn_the_first_bytes_decide(void **state)
{
    (void)state;
    struct end *one = client_of(NULL, NULL);
    for (size_t i = 0; i < sizeof request - 1; i++) {
        assert_int_equal(end_write(one, span_of(request + i, 1)), 0);
        turn();
    }
    TURN_UNTIL(http1_requests == 1);
    struct end *two = client_of(NULL, NULL);
    for (size_t i = 0; i < sizeof greeting - 1; i++) {
        assert_int_equal(end_write(two, span_of(greeting + i, 1)), 0);
        turn();
    }
    TURN_UNTIL(http2_requests == 1);
}

static void a_clients_certificate_is_seen_by_who_answers(void **state)
{
    (void)state;
    struct end *one = client_of("client", "http/1.1");
    assert_int_equal(end_write(one, span_str(request)), 0);
    TURN_UNTIL(http1_requests == 1);
    assert_true(seen.is_verified);
    assert_string_equal(seen.name, "a client");
    memset(&seen, 0, sizeof seen);
    struct end *two = client_of("client", "h2");
    assert_int_equal(end_write(two, span_of(greeting, sizeof greeting - 1)), 0);
    TURN_UNTIL(http2_requests == 1);
    assert_true(seen.is_verified);
    assert_string_equal(seen.name, "a client");
}

static void a_bad_certificate_of_a_client_is_refused(void **state)
{
    (void)state;
    struct end *one = client_of("foreign", "http/1.1");
    assert_int_equal(end_write(one, span_str(request)), 0);
    TURN_UNTIL(one->ends > 0);
    assert_int_equal(one->err.code, ERR_PERMISSION);
    assert_int_equal(http1_requests, 0);
}

static void plain_text_is_told_where_it_is(void **state)
{
    struct wire *near;
    struct wire *far;
    (void)state;
    wire_pair(&near, &far);
    http_port_serve(port, &far->base);
    buf_put_str(&near->out, request);
    TURN_UNTIL(far->closed);
    assert_true(span_equal_str(buf_span(&far->out),
                               "HTTP/1.0 400 Bad Request\r\n\r\n"
                               "Client sent an HTTP request to an HTTPS server.\n"));
    near->closing = near->closed = true;
}

#define PORT_TEST(name) cmocka_unit_test_setup_teardown(name, open_port, close_port)

static int files_make(void **state)
{
    static const struct tls_leaf leaves[] = {
        {.file = "here", .name = "here", .alt = "DNS:localhost"},
        {.file = "client", .name = "a client"},
        {.file = "foreign", .ca = "stranger", .name = "foreign"},
    };
    (void)state;
    tls_dir_make(dir, sizeof dir);
    tls_make_ca(dir, "ca");
    tls_make_ca(dir, "stranger");
    for (size_t i = 0; i < sizeof leaves / sizeof leaves[0]; i++) {
        tls_make(dir, &leaves[i]);
    }
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PORT_TEST(alpn_decides),
        PORT_TEST(who_agreed_on_one_and_speaks_the_other_is_refused),
        PORT_TEST(without_alpn_the_first_bytes_decide),
        PORT_TEST(a_clients_certificate_is_seen_by_who_answers),
        PORT_TEST(a_bad_certificate_of_a_client_is_refused),
        PORT_TEST(plain_text_is_told_where_it_is),
    };
    return cmocka_run_group_tests(tests, files_make, files_remove);
}
