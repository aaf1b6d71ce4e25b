/* The HTTP client: what is sent, what comes back, and which connections it uses. */
#include "http_fixture.h"

static void say_path(struct peer *peer)
{
    char path[64] = "";
    assert_int_equal(sscanf(peer->request, "%*s %63s", path), 1);
    say_ok(peer, path);
}

static void say_request(struct peer *peer)
{
    say_ok(peer, peer->request);
}

/* --- requests and answers --------------------------------------------------------------------- */

static void a_get_is_answered_with_status_headers_and_body(void **state)
{
    struct call call = {0};
    (void)state;
    script = say_request;
    wanted_header = "content-length";
    get(&call, "/v2/keys/x?a=b");
    assert_int_equal(call.rc, 0);
    assert_int_equal(call.status, 200);
    assert_true(call.sent);
    const char *sent = buf_str(&call.body);
    assert_ptr_equal(strstr(sent, "GET /v2/keys/x?a=b HTTP/1.1\r\n"), sent);
    assert_int_equal(strtoul(call.header, NULL, 10), call.body.len);
    assert_null(strstr(sent, "Expect:"));
    assert_null(strstr(sent, "Content-"));
    assert_null(strstr(sent, "User-Agent:"));
    wanted_header = "x-etcd-index";
    get(&call, "/");
    assert_string_equal(call.header, "(none)");
    client_open_anew(&(struct http_client_config){.user_agent = "pgquorum/1"});
    get(&call, "/");
    assert_non_null(strstr(buf_str(&call.body), "\r\nUser-Agent: pgquorum/1\r\n"));
    buf_free(&call.body);
}

static void dots_and_escapes_of_a_path_are_sent_as_they_are(void **state)
{
    struct call call = {0};
    (void)state;
    script = say_path;
    get(&call, "/a/../b/./%2e%2E/c%20d");
    assert_true(body_is(&call, "/a/../b/./%2e%2E/c%20d"));
    buf_free(&call.body);
}

static void any_method_may_have_a_body(void **state)
{
    static const char *const methods[] = {"GET", "PUT", "POST", "DELETE", "PATCH"};
    struct call call = {0};
    char expected[64];
    (void)state;
    script = say_request;
    for (size_t i = 0; i < 5; i++) {
        static const char *const headers[] = {"Content-Type: application/json", "X-Y: z", NULL};
        call_run(&call, &(struct http_client_request){.method = methods[i],
                                                      .url = url_of("/k"),
                                                      .headers = headers,
                                                      .body = span_str("{\"a\":1}"),
                                                      .timeout_ms = LONG_MS});
        assert_int_equal(call.rc, 0);
        const char *sent = buf_str(&call.body);
        (void)snprintf(expected, sizeof expected, "%s /k HTTP/1.1\r\n", methods[i]);
        assert_ptr_equal(strstr(sent, expected), sent);
        assert_non_null(strstr(sent, "\r\nContent-Length: 7\r\n"));
        assert_non_null(strstr(sent, "\r\nContent-Type: application/json\r\n"));
        assert_non_null(strstr(sent, "\r\nX-Y: z\r\n"));
        assert_non_null(strstr(sent, "\r\n\r\n{\"a\":1}"));
        assert_null(strstr(sent, "urlencoded"));
    }
    call_run(&call, &(struct http_client_request){
                        .method = "PUT", .url = url_of("/k"), .timeout_ms = LONG_MS});
    assert_non_null(strstr(buf_str(&call.body), "\r\nContent-Length: 0\r\n"));
    assert_null(strstr(buf_str(&call.body), "Content-Type"));
    call_run(&call, &(struct http_client_request){
                        .method = "DELETE", .url = url_of("/k"), .timeout_ms = LONG_MS});
    assert_null(strstr(buf_str(&call.body), "Content-"));
    assert_int_equal(peer_count, 1);
    assert_int_equal(peers[0].reads, peers[0].count); /* head and body came in one piece */
    buf_free(&call.body);
}

static void say_len(struct peer *peer)
{
    char text[32];
    assert_null(strstr(peer->request, "Expect:")); /* a wait for a second */
    (void)snprintf(text, sizeof text, "%zu", strlen(peer->request));
    say_ok(peer, text);
}

static void a_large_body_arrives_whole(void **state)
{
    enum { LEN = 3 * 1024 * 1024 };
    struct call call = {0};
    uint8_t *body = mem_alloc(LEN);
    (void)state;
    memset(body, 'x', LEN);
    script = say_len;
    call_run(&call, &(struct http_client_request){.method = "PUT",
                                                  .url = url_of("/"),
                                                  .body = span_of(body, LEN),
                                                  .timeout_ms = LONG_MS});
    assert_int_equal(call.rc, 0);
    assert_true(strtoul(buf_str(&call.body), NULL, 10) > LEN);
    mem_free(body);
    buf_free(&call.body);
}

static void say_head_only(struct peer *peer)
{
    say(peer, "HTTP/1.1 204 No Content\r\nX-Etcd-Index: 17\r\nContent-Length: 1000000000\r\n\r\n");
}

static void a_head_has_headers_and_no_body(void **state)
{
    struct call call = {0};
    (void)state;
    script = say_head_only;
    wanted_header = "X-Etcd-Index";
    call_run(&call, &(struct http_client_request){
                        .method = "HEAD", .url = url_of("/"), .timeout_ms = LONG_MS});
    assert_int_equal(call.rc, 0);
    assert_int_equal(call.status, 204);
    assert_string_equal(call.header, "17");
    assert_int_equal(call.body.len, 0);
    buf_free(&call.body);
}

static void say_elsewhere(struct peer *peer)
{
    say(peer, "HTTP/1.1 307 Moved\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n");
}

static void a_redirect_is_an_answer_and_not_followed(void **state)
{
    struct call call = {0};
    (void)state;
    script = say_elsewhere;
    wanted_header = "Location";
    get(&call, "/");
    assert_int_equal(call.rc, 0);
    assert_int_equal(call.status, 307);
    assert_string_equal(call.header, "/other");
    assert_int_equal(request_count, 1);
    buf_free(&call.body);
}

static void say_unauthorized(struct peer *peer)
{
    say(peer,
        "HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n\r\n");
}

static void basic_authentication_is_sent_unasked_and_only_once(void **state)
{
    struct call call = {0};
    struct http_client_request request = {
        .url = url_of("/"), .user = "root", .password = "s:cret", .timeout_ms = LONG_MS};
    (void)state;
    script = say_request;
    call_run(&call, &request);
    assert_non_null(strstr(buf_str(&call.body), "\r\nAuthorization: Basic cm9vdDpzOmNyZXQ=\r\n"));
    script = say_unauthorized;
    call_run(&call, &request);
    assert_int_equal(call.rc, 0);
    assert_int_equal(call.status, 401);
    assert_int_equal(request_count, 2);
    buf_free(&call.body);
}

static void proxies_of_the_environment_are_not_used(void **state)
{
    struct call call = {0};
    (void)state;
    assert_int_equal(setenv("http_proxy", "http://127.0.0.1:1", 1), 0);
    assert_int_equal(setenv("ALL_PROXY", "http://127.0.0.1:1", 1), 0);
    script = say_path;
    get(&call, "/x");
    assert_int_equal(unsetenv("http_proxy"), 0);
    assert_int_equal(unsetenv("ALL_PROXY"), 0);
    assert_int_equal(call.rc, 0);
    buf_free(&call.body);
}

static void say_ok_after_others(struct peer *peer)
{
    say(peer, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nX: early\r\n\r\n"
              "HTTP/1.1 201 Created\r\nX: late\r\nContent-Length: 2\r\n\r\nok");
}

static void answers_that_announce_another_are_passed_over(void **state)
{
    struct call call = {0};
    (void)state;
    script = say_ok_after_others;
    wanted_header = "X";
    get(&call, "/");
    assert_int_equal(call.status, 201);
    assert_string_equal(call.header, "late");
    assert_true(body_is(&call, "ok"));
    buf_free(&call.body);
}

static void ip6_is_spoken(void **state)
{
    struct call call = {0};
    struct sockaddr_in6 here = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    char url[64];
    (void)state;
    uv_close((uv_handle_t *)&server, NULL);
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    server_open((struct sockaddr *)&here);
    script = say_path;
    (void)snprintf(url, sizeof url, "http://[::1]:%u/six", server_port);
    call_run(&call, &(struct http_client_request){.url = url, .timeout_ms = LONG_MS});
    assert_true(body_is(&call, "/six"));
    buf_free(&call.body);
}

static void a_request_that_breaks_a_rule_is_refused_at_once(void **state)
{
    static const char *const two_lines[] = {"A: b\r\nC: d", NULL};
    static const char *const framing[] = {"content-length: 3", NULL};
    static const char *const no_name[] = {": x", NULL};
    static const char *const no_value[] = {"X: ", NULL};
    const struct http_client_request bad[] = {
        {.url = NULL},
        {.url = ""},
        {.url = "127.0.0.1:1/"},
        {.url = "ftp://127.0.0.1/"},
        {.url = "file:///etc/passwd"},
        {.url = "http://"},
        {.url = "http://:80/"},
        {.url = "http://user:pa55@127.0.0.1:1/"},
        {.url = "http://pa55@127.0.0.1:1/"},
        {.url = "http://127.0.0.1:1/a b"},
        {.url = "http://127.0.0.1:1/\r\nX: y"},
        {.url = "http://127.0.0.1:1/", .method = "GET /\r\n"},
        {.url = "http://127.0.0.1:1/", .method = ""},
        {.url = "http://127.0.0.1:1/", .method = "HEAD", .body = span_str("x")},
        {.url = "http://127.0.0.1:1/", .headers = two_lines},
        {.url = "http://127.0.0.1:1/", .headers = framing},
        {.url = "http://127.0.0.1:1/", .headers = no_name},
        {.url = "http://127.0.0.1:1/", .headers = no_value},
        {.url = "http://127.0.0.1:1/", .user = "a:b"},
        {.url = "http://127.0.0.1:1/", .timeout_ms = -1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct http_client_request request = bad[i];
        struct call call = {0};
        struct error err = {0};
        request.on_done = call_done;
        request.arg = &call;
        if (http_client_send(client, &request, &call.exchange, &err) != ERR_INVALID) {
            fail_msg("request %zu was taken", i);
        }
        assert_null(strstr(err.text, "pa55"));
        (void)uv_run(&loop, UV_RUN_NOWAIT);
        assert_int_equal(call.calls, 0);
        assert_null(call.exchange);
    }
    assert_int_equal(
        http_client_new(&loop, &(struct http_client_config){.tls_key = "k"}, &client, NULL),
        ERR_INVALID);
}

/* --- connections ------------------------------------------------------------------------------ */

static void one_connection_serves_request_after_request(void **state)
{
    struct call call = {0};
    (void)state;
    script = say_path;
    for (int i = 0; i < 20; i++) {
        get(&call, i % 2 == 0 ? "/even" : "/odd");
        assert_true(body_is(&call, i % 2 == 0 ? "/even" : "/odd"));
    }
    assert_int_equal(request_count, 20);
    assert_int_equal(peer_count, 1);
    buf_free(&call.body);
}

static void many_are_under_way_at_the_same_time(void **state)
{
    static struct call calls[HTTP_CLIENT_EXCHANGES_MAX];
    struct call more = {0};
    struct http_client_request request = {.timeout_ms = LONG_MS, .on_done = call_done};
    size_t open = 0;
    (void)state;
    script = say_path;
    memset(calls, 0, sizeof calls);
    for (size_t i = 0; i < HTTP_CLIENT_EXCHANGES_MAX; i++) {
        char path[16];
        (void)snprintf(path, sizeof path, "/%zu", i);
        request.url = url_of(path);
        call_begin(&calls[i], &request);
    }
    assert_int_equal(http_client_send(client, &request, &more.exchange, NULL), ERR_LIMIT);
    for (size_t i = 0; i < HTTP_CLIENT_EXCHANGES_MAX; i++) {
        char path[16];
        (void)snprintf(path, sizeof path, "/%zu", i);
        RUN_UNTIL(calls[i].calls > 0);
        assert_int_equal(calls[i].rc, 0);
        assert_true(body_is(&calls[i], path));
        buf_free(&calls[i].body);
    }
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    get(&more, "/more");
    assert_int_equal(more.rc, 0);
    for (size_t i = 0; i < peer_count; i++) {
        open += peers[i].open ? 1 : 0;
    }
    assert_in_range(open, 1, HTTP_CLIENT_IDLE_CONNECTIONS + 1);
    buf_free(&more.body);
}

static void a_connection_that_the_server_closed_is_replaced(void **state)
{
    struct call call = {0};
    (void)state;
    script = say_path;
    for (int i = 1; i <= 3; i++) {
        call_run(&call, &(struct http_client_request){
                            .method = "POST", .url = url_of("/x"), .timeout_ms = LONG_MS});
        assert_int_equal(call.rc, 0);
        assert_int_equal(peer_count, i);
        hang_up(&peers[i - 1]);
        (void)uv_run(&loop, UV_RUN_NOWAIT);
    }
    assert_int_equal(request_count, 3);
    buf_free(&call.body);
}

static void answer_first_then_hang_up(struct peer *peer)
{
    if (peer->count == 1) {
        say_path(peer);
    } else {
        hang_up(peer);
    }
}

static void answer_first_then_reset(struct peer *peer)
{
    if (peer->count == 1) {
        say_path(peer);
    } else {
        hang_up_reset(peer);
    }
}

/* The server took the request and was gone: libcurl would send it again without a word. */
static void a_request_is_not_sent_twice_unless_that_is_harmless(void **state)
{
    struct call call = {0};
    struct http_client_request write = {
        .method = "POST", .url = url_of("/x"), .body = span_str("{}"), .timeout_ms = LONG_MS};
    (void)state;
    for (int reset = 0; reset <= 1; reset++) {
        script = reset ? answer_first_then_reset : answer_first_then_hang_up;
        client_open_anew(&(struct http_client_config){0});
        size_t before = request_count;
        call_run(&call, &write);
        assert_int_equal(call.rc, 0);
        call_run(&call, &write);
        assert_int_equal(call.rc, ERR_UNKNOWN);
        assert_true(call.sent);
        assert_non_null(strstr(call.err.text, "127.0.0.1:"));
        assert_int_equal(request_count - before, 2);

        struct http_client_request read = write;
        read.repeatable = true;
        call_run(&call, &write);
        assert_int_equal(call.rc, 0);
        call_run(&call, &read);
        assert_int_equal(call.rc, 0);
        assert_true(body_is(&call, "/x"));
        assert_int_equal(request_count - before, 5);
    }
    buf_free(&call.body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HTTP_TEST(a_get_is_answered_with_status_headers_and_body),
        HTTP_TEST(dots_and_escapes_of_a_path_are_sent_as_they_are),
        HTTP_TEST(any_method_may_have_a_body),
        HTTP_TEST(a_large_body_arrives_whole),
        HTTP_TEST(a_head_has_headers_and_no_body),
        HTTP_TEST(a_redirect_is_an_answer_and_not_followed),
        HTTP_TEST(basic_authentication_is_sent_unasked_and_only_once),
        HTTP_TEST(proxies_of_the_environment_are_not_used),
        HTTP_TEST(answers_that_announce_another_are_passed_over),
        HTTP_TEST(ip6_is_spoken),
        HTTP_TEST(a_request_that_breaks_a_rule_is_refused_at_once),
        HTTP_TEST(one_connection_serves_request_after_request),
        HTTP_TEST(many_are_under_way_at_the_same_time),
        HTTP_TEST(a_connection_that_the_server_closed_is_replaced),
        HTTP_TEST(a_request_is_not_sent_twice_unless_that_is_harmless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
