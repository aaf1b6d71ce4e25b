/* The HTTP client and servers that are away, slow, broken or hostile: what it says of each, and
 * that everything is bounded. */
#include "http_fixture.h"
#include "silent_port.h"

#include "tests/harness/free_port.h"

enum { SHORT_MS = 150 };

static void say_nothing(struct peer *peer)
{
    (void)peer;
}

static void wrong(struct call *call, int rc, bool sent, int status)
{
    char where[32];
    (void)snprintf(where, sizeof where, "127.0.0.1:%u: ", server_port);
    if (call->rc != rc) {
        fail_msg("%s instead of %s: %s", err_name(call->rc), err_name(rc), call->err.text);
    }
    assert_int_equal(call->sent, sent);
    assert_int_equal(call->status, status);
    assert_ptr_equal(strstr(call->err.text, where), call->err.text);
    assert_null(strstr(call->err.text, "s3cret"));
}

static struct http_client_request write_within(int64_t timeout_ms)
{
    return (struct http_client_request){.method = "PUT",
                                        .url = url_of("/s3cret"),
                                        .body = span_str("s3cret"),
                                        .user = "root",
                                        .password = "s3cret",
                                        .timeout_ms = timeout_ms};
}

/* --- away, and slow --------------------------------------------------------------------------- */

static void a_refused_connection_sent_nothing(void **state)
{
    struct call call = {0};
    (void)state;
    server_port = free_port();
    struct http_client_request request = write_within(LONG_MS);
    call_run(&call, &request);
    wrong(&call, ERR_UNAVAILABLE, false, 0);
    assert_non_null(strstr(call.err.text, ": connect: connection refused"));
}

static void a_silent_address_costs_the_time_it_was_given(void **state)
{
    struct call call = {0};
    struct silent_port silent = silent_port_open();
    (void)state;
    server_port = silent.port;
    struct http_client_request request = write_within(SHORT_MS);
    call_run(&call, &request); /* the time of the whole */
    wrong(&call, ERR_UNAVAILABLE, false, 0);
    request.timeout_ms = LONG_MS;
    request.connect_timeout_ms = SHORT_MS; /* of the connection */
    call_run(&call, &request);
    wrong(&call, ERR_UNAVAILABLE, false, 0);
    client_open_anew(&(struct http_client_config){.connect_timeout_ms = SHORT_MS});
    request.timeout_ms = 0;
    request.connect_timeout_ms = 0; /* the client's */
    call_run(&call, &request);
    wrong(&call, ERR_UNAVAILABLE, false, 0);
    silent_port_close(&silent);
}

static void a_server_that_never_agrees_on_tls_was_sent_nothing(void **state)
{
    struct call call = {0};
    char url[64];
    (void)state;
    script = say_nothing;
    (void)snprintf(url, sizeof url, "https://127.0.0.1:%u/", server_port);
    struct http_client_request request = write_within(LONG_MS);
    request.url = url;
    request.connect_timeout_ms = SHORT_MS;
    call_run(&call, &request);
    wrong(&call, ERR_UNAVAILABLE, false, 0);
    assert_int_equal(peer_count, 1);
}

static void half_a_head(struct peer *peer)
{
    say(peer, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n");
}

static void half_a_body(struct peer *peer)
{
    say(peer, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
}

static void a_timeout_after_the_connection_leaves_the_outcome_unknown(void **state)
{
    static void (*const scripts[])(struct peer *) = {say_nothing, half_a_head, half_a_body};
    struct call call = {0};
    (void)state;
    for (int i = 0; i < 3; i++) {
        script = scripts[i];
        struct http_client_request request = write_within(SHORT_MS);
        call_run(&call, &request);
        wrong(&call, ERR_UNKNOWN, true, i < 2 ? 0 : 200);
        assert_non_null(strstr(call.err.text, "timed out"));
    }
    assert_int_equal(request_count, 3);
}

static void drip(uv_timer_t *timer)
{
    static const char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n";
    struct peer *peer = timer->data;
    unsigned at = peer->step++;
    say_bytes(peer, at < sizeof text - 1 ? &text[at] : "x", 1);
}

static void begin_to_drip(struct peer *peer)
{
    assert_int_equal(uv_timer_start(&peer->timer, drip, 0, 2), 0);
}

static void a_slow_drip_does_not_outlast_the_timeout(void **state)
{
    struct call call = {0};
    (void)state;
    script = begin_to_drip;
    struct http_client_request request = write_within(2 * SHORT_MS);
    call_run(&call, &request);
    wrong(&call, ERR_UNKNOWN, true, call.status);
    RUN_UNTIL(peers[0].ended);
}

/* --- broken ----------------------------------------------------------------------------------- */

static const char *answer;
static bool with_reset;

/* The bytes have to be taken before a reset, which throws away what was not. */
static void end_of_peer(uv_timer_t *timer)
{
    if (with_reset) {
        hang_up_reset(timer->data);
    } else {
        hang_up(timer->data);
    }
}

static void say_answer_and_end(struct peer *peer)
{
    say(peer, answer);
    assert_int_equal(uv_timer_start(&peer->timer, end_of_peer, 30, 0), 0);
}

static void an_answer_cut_short_leaves_the_outcome_unknown(void **state)
{
    static const struct {
        const char *text;
        int status;
    } cut[] = {
        {"", 0},
        {"HTT", 0},
        {"HTTP/1.1 200 OK\r\n", 0},
        {"HTTP/1.1 100 Continue\r\n\r\n", 0},
        {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", 200},
        {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n123456789", 200},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", 200},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", 200},
    };
    struct call call = {0};
    (void)state;
    script = say_answer_and_end;
    for (size_t i = 0; i < sizeof cut / sizeof cut[0]; i++) {
        for (int reset = 0; reset <= 1; reset++) {
            answer = cut[i].text;
            with_reset = reset;
            struct http_client_request request = write_within(LONG_MS);
            call_run(&call, &request);
            wrong(&call, ERR_UNKNOWN, true, cut[i].status);
            assert_null(strstr(call.err.text, "timed out"));
        }
    }
    assert_int_equal(request_count, 2 * sizeof cut / sizeof cut[0]);
}

static void what_is_not_http_leaves_the_outcome_unknown(void **state)
{
    static const char *const texts[] = {
        "SSH-2.0-OpenSSH_9.2\r\n\r\n",
        "\r\n\r\n\r\n\r\n",
        "HTTP/1.1 OK\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/9.9 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: nine\r\n\r\nxxxxxxxxx",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\nno colon at all\r\nContent-Length: 0\r\n\r\n",
    };
    struct call call = {0};
    (void)state;
    script = say_answer_and_end;
    with_reset = false;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        answer = texts[i];
        struct http_client_request request = write_within(LONG_MS);
        call_run(&call, &request);
        if (call.rc != ERR_UNKNOWN) {
            fail_msg("answer %zu: %s %d", i, err_name(call.rc), call.status);
        }
        wrong(&call, ERR_UNKNOWN, true, call.status);
    }
}

static void an_answer_may_end_with_its_connection_in_order(void **state)
{
    struct call call = {0};
    (void)state;
    script = say_answer_and_end;
    answer = "HTTP/1.0 200 OK\r\n\r\nhello";
    with_reset = false;
    get(&call, "/");
    assert_int_equal(call.rc, 0);
    assert_true(body_is(&call, "hello"));
    buf_free(&call.body);
    with_reset = true;
    get(&call, "/");
    wrong(&call, ERR_UNKNOWN, true, 200);
}

static void say_too_much(struct peer *peer)
{
    say(peer, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n"
              "Content-Length: 4\r\n\r\nevil");
}

static void bytes_after_an_answer_are_no_answer_to_the_next_request(void **state)
{
    struct call call = {0};
    (void)state;
    script = say_too_much;
    for (int i = 0; i < 3; i++) {
        get(&call, "/");
        assert_int_equal(call.rc, 0);
        assert_true(body_is(&call, "ok"));
    }
    buf_free(&call.body);
}

static void say_unasked(uv_timer_t *timer)
{
    say(timer->data, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
}

static void say_ok_then_unasked(struct peer *peer)
{
    say_ok(peer, "ok");
    assert_int_equal(uv_timer_start(&peer->timer, say_unasked, 20, 0), 0);
}

static void an_answer_that_nobody_asked_for_is_not_the_next_one(void **state)
{
    struct call call = {0};
    (void)state;
    script = say_ok_then_unasked;
    for (int i = 0; i < 3; i++) {
        get(&call, "/");
        assert_true(body_is(&call, "ok"));
        uint64_t until_ms = uv_now(&loop) + 60;
        RUN_UNTIL(uv_now(&loop) > until_ms);
    }
    assert_int_equal(peer_count, 3);
    buf_free(&call.body);
}

/* --- hostile ---------------------------------------------------------------------------------- */

static const char *endless_head;
static const char *endless;
static size_t endless_bytes;

static void say_endlessly(uv_timer_t *timer)
{
    struct peer *peer = timer->data;
    static char bytes[16384];
    size_t len = 0;
    for (size_t piece = strlen(endless); len + piece <= sizeof bytes; len += piece) {
        memcpy(bytes + len, endless, piece);
    }
    say_bytes(peer, bytes, len);
    endless_bytes += len;
}

static void begin_endlessly(struct peer *peer)
{
    say(peer, endless_head);
    endless_bytes = 0;
    assert_int_equal(uv_timer_start(&peer->timer, say_endlessly, 0, 1), 0);
}

static void an_endless_answer_is_over_the_limit(void **state)
{
    static const struct {
        const char *head;
        const char *endless;
        int status;
    } endless_ones[] = {
        {"HTTP/1.1 200 OK\r\n", "X-Header: some value\r\n", 0},
        {"HTTP/1.1 200 OK\r\nX: ", "aaaaaaaa", 0}, /* one line */
        {"", "HTTP/1.1 100 Continue\r\n\r\n", 0},
        {"HTTP/1.1 200 OK\r\n\r\n", "0123456789", 200},
        {"HTTP/1.1 200 OK\r\nContent-Length: 100000000000\r\n\r\n", "0123456789", 200},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "2\r\nab\r\n", 200},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", "X: some value\r\n", 200},
    };
    struct call call = {0};
    (void)state;
    script = begin_endlessly;
    for (size_t i = 0; i < sizeof endless_ones / sizeof endless_ones[0]; i++) {
        endless_head = endless_ones[i].head;
        endless = endless_ones[i].endless;
        struct http_client_request request = write_within(LONG_MS);
        request.response_bytes_max = 100000;
        call_run(&call, &request);
        if (call.rc != ERR_LIMIT) {
            fail_msg("answer %zu: %s %s", i, err_name(call.rc), call.err.text);
        }
        wrong(&call, ERR_LIMIT, true, endless_ones[i].status);
        RUN_UNTIL(peers[i].ended);
        assert_true(endless_bytes < 4 * 1024 * 1024);
    }
}

static void say_thousand(struct peer *peer)
{
    char body[1001];
    memset(body, 'x', 1000);
    body[1000] = '\0';
    say_ok(peer, body);
}

static void the_limit_of_an_answer_is_exact(void **state)
{
    struct call call = {0};
    (void)state;
    script = say_thousand;
    for (int streamed = 0; streamed <= 1; streamed++) {
        struct http_client_request request = write_within(LONG_MS);
        request.on_data = streamed ? call_data : NULL;
        request.response_bytes_max = 1000;
        call_run(&call, &request);
        assert_int_equal(call.rc, 0);
        assert_int_equal(call.body.len, 1000);
        request.response_bytes_max = 999;
        call_run(&call, &request);
        wrong(&call, ERR_LIMIT, true, 200);
        assert_non_null(strstr(call.err.text, "larger than 999 bytes"));
    }
    client_open_anew(&(struct http_client_config){.response_bytes_max = 999});
    get(&call, "/");
    wrong(&call, ERR_LIMIT, true, 200);
    buf_free(&call.body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HTTP_TEST(a_refused_connection_sent_nothing),
        HTTP_TEST(a_silent_address_costs_the_time_it_was_given),
        HTTP_TEST(a_server_that_never_agrees_on_tls_was_sent_nothing),
        HTTP_TEST(a_timeout_after_the_connection_leaves_the_outcome_unknown),
        HTTP_TEST(a_slow_drip_does_not_outlast_the_timeout),
        HTTP_TEST(an_answer_cut_short_leaves_the_outcome_unknown),
        HTTP_TEST(what_is_not_http_leaves_the_outcome_unknown),
        HTTP_TEST(an_answer_may_end_with_its_connection_in_order),
        HTTP_TEST(bytes_after_an_answer_are_no_answer_to_the_next_request),
        HTTP_TEST(an_answer_that_nobody_asked_for_is_not_the_next_one),
        HTTP_TEST(an_endless_answer_is_over_the_limit),
        HTTP_TEST(the_limit_of_an_answer_is_exact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
