/* The gateway as a carrier: a table of methods that do as the test tells them, clients that are no
 * sockets. What etcd's own methods answer: test_etcd_http_golden.c. */
#include "base/list.h"
#include "base/net/http_exchange.h"
#include "raft/etcd/etcd_auth.h"
#include "raft/etcd/etcd_call.h"
#include "raft/etcd/etcd_http.h"
#include "raft/etcd/etcd_message.h"
#include "tests/unit/base_net/h2_fixture.h"

/* --- the service and its methods -------------------------------------------------------------- */

struct etcd_service {
    struct etcd_service_config config;
    struct list calls;
    bool is_leaderless;
};

static struct etcd_service service;

const struct etcd_service_config *etcd_service_config(const struct etcd_service *of)
{
    return &of->config;
}

bool etcd_service_has_leader(const struct etcd_service *of)
{
    return !of->is_leaderless;
}

struct list *etcd_service_calls(struct etcd_service *of)
{
    if (of->calls.next == NULL) {
        list_init(&of->calls);
    }
    return &of->calls;
}

void etcd_service_header(const struct etcd_service *of, struct etcd_header *ret_header)
{
    (void)of;
    *ret_header = (struct etcd_header){.cluster_id = 7};
}

static int64_t wall_ms(void *arg)
{
    (void)arg;
    return 1000000;
}

static const struct clock fake_clock = {.wall_ms = wall_ms};

/* What handlers do at once; otherwise the test does it later, with `latest`. */
enum act { WAIT, ANSWER, FAIL, REPLY_AND_WAIT, REPLY_AND_FINISH };

static enum act act;
static struct etcd_call *latest;
static unsigned messages;
static unsigned ends;
static unsigned closes;
static bool inside; /* a handler is being called */
static int64_t last_id;

static void reply(struct etcd_call *call)
{
    struct etcd_lease_keep_alive_response response = {.id = last_id, .ttl = 9};
    assert_int_equal(etcd_call_reply(call, &response, NULL), 0);
}

static void do_act(struct etcd_call *call)
{
    struct etcd_lease_keep_alive_response response = {.id = last_id, .ttl = 9};
    switch (act) {
    case WAIT: return;
    case ANSWER: etcd_call_answer(call, &response); return;
    case FAIL: etcd_call_fail(call, ETCD_ERROR_NO_LEADER); return;
    case REPLY_AND_WAIT: reply(call); return;
    case REPLY_AND_FINISH:
        reply(call);
        etcd_call_finish(call, GRPC_OK, span_of(NULL, 0));
        return;
    }
}

static void on_message(struct etcd_call *call, const void *message)
{
    const struct etcd_lease_id *request = message;
    assert_ptr_equal(call->service, &service);
    messages++;
    inside = true;
    last_id = request->id;
    if (latest != call) {
        assert_null(latest);
        latest = etcd_call_ref(call);
    }
    do_act(call);
    assert_int_equal(request->id, last_id); /* whatever the answer has done */
    inside = false;
}

static void on_end(struct etcd_call *call)
{
    ends++;
    assert_false(etcd_call_has_ended(call));
    latest = latest == NULL ? etcd_call_ref(call) : latest;
}

static void on_close(struct etcd_call *call)
{
    assert_false(inside);
    assert_true(etcd_call_has_ended(call));
    assert_true(call == latest);
    closes++;
}

#define TYPES                                                                         \
    .request = &etcd_type_lease_id, .response = &etcd_type_lease_keep_alive_response, \
    .on_message = on_message

const struct etcd_method etcd_methods[] = {
    {.service = "s", .name = "U", .paths = {"/u", "/kv/u"}, TYPES, .on_close = on_close},
    {.service = "s", .name = "P", .paths = {"/plain"}, TYPES},
    {.service = "s", .name = "O", .paths = {"/open"}, TYPES, .is_open = true},
    {.service = "s",
     .name = "S",
     .paths = {"/s"},
     .request_streams = true,
     .answer_streams = true,
     TYPES,
     .on_end = on_end,
     .on_close = on_close},
    {.service = "s",
     .name = "E",
     .paths = {"/e"},
     .request_streams = true,
     .answer_streams = true,
     TYPES,
     .on_close = on_close},
    {.service = "s", .name = "N", TYPES},
};
const size_t etcd_methods_count = sizeof etcd_methods / sizeof etcd_methods[0];

/* --- servers and clients ---------------------------------------------------------------------- */

static struct http1_server *http1;
static struct http2_server *http2;
static struct http_exchange_http2 *exchanges;
static struct client *client;
static struct pipe pipe_one;
static struct etcd_auth auth;

static void on_request(void *arg, struct http_exchange *exchange,
                       const struct http1_request *request)
{
    assert_null(arg);
    assert_true(strncmp(request->path, "/v3/", 4) == 0);
    etcd_gateway_serve(&service, exchange, request, request->path + 3);
}

static const struct http_face face = {.on_request = on_request};

static void on_http2(void *arg, struct http2_stream *stream, const struct http2_request *request)
{
    (void)arg;
    http_exchange_http2_serve(exchanges, stream, request);
}

static const struct http2_events http2_events = {.on_request = on_http2};

static void connect_http1(void)
{
    pipe_one = (struct pipe){.base.ops = &pipe_ops};
    http1_server_serve(http1, &pipe_one.base, span_of(NULL, 0));
}

static int open_gateway(void **state)
{
    (void)state;
    act = WAIT;
    latest = NULL;
    messages = ends = closes = 0;
    time_shift_ms = 0;
    auth = (struct etcd_auth){.username = span_str("root"), .password = span_str("secret")};
    service.config = (struct etcd_service_config){.loop = &loop, .clock = &fake_clock};
    if (uv_loop_init(&loop) != 0 ||
        http1_server_start(&loop, NULL, http_exchange_http1, (void *)(uintptr_t)&face, &http1,
                           NULL) != 0 ||
        http2_server_start(&loop, &http2_events, NULL, &http2, NULL) != 0) {
        return -1;
    }
    exchanges = http_exchange_http2_new(&loop, &face, ETCD_HTTP_BODY_BYTES_MAX);
    client = client_new(http2, true);
    connect_http1();
    return 0;
}

static void let_go(void)
{
    struct etcd_call *call = latest;
    latest = NULL;
    etcd_call_unref(call);
}

/* Whatever is left of a call is let go; then nothing may be left in the loop. */
static int close_gateway(void **state)
{
    bool stopped[3] = {false};
    (void)state;
    client_free(client);
    http_exchange_http2_stop(exchanges, on_server_stopped, &stopped[0]);
    http1_server_stop(http1, on_server_stopped, &stopped[1]);
    http2_server_stop(http2, on_server_stopped, &stopped[2]);
    while (!stopped[0] || !stopped[1] || !stopped[2]) {
        pipe_settle(&pipe_one);
        (void)uv_run(&loop, UV_RUN_NOWAIT);
        if (latest != NULL && !etcd_call_has_ended(latest)) {
            etcd_call_fail(latest, ETCD_ERROR_STOPPED);
        }
    }
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    if (latest != NULL) {
        let_go();
    }
    buf_free(&pipe_one.to_client);
    return uv_loop_close(&loop);
}

static void say(const char *text)
{
    pipe_one.base.events->on_read(pipe_one.base.arg, span_str(text));
}

static void post(const char *path, const char *more, const char *body)
{
    char text[512];
    (void)snprintf(text, sizeof text,
                   "POST /v3%s HTTP/1.1\r\nHost: h\r\n%sContent-Length: %zu\r\n\r\n%s", path, more,
                   strlen(body), body);
    say(text);
}

static void turn(void)
{
    for (int i = 0; i < 3; i++) {
        (void)uv_run(&loop, UV_RUN_NOWAIT);
    }
}

static void cut_out(char *from, const char *to)
{
    memmove(from, to, strlen(to) + 1);
}

/* What was written since the last time, without the lines of server, date and length. */
static const char *heard(void)
{
    static char text[4096];
    (void)snprintf(text, sizeof text, "%s", buf_str(&pipe_one.to_client));
    buf_clear(&pipe_one.to_client);
    char *server = strstr(text, "Server: ");
    if (server != NULL) {
        cut_out(server, strstr(strstr(server, "Date: "), "\r\n") + 2);
    }
    char *length = strstr(text, "Content-Length: ");
    if (length != NULL) {
        cut_out(length, strstr(length, "\r\n") + 2);
    }
    return text;
}

static void peer_ends(void)
{
    struct error err = {.code = ERR_CLOSED};
    pipe_one.base.events->on_end(pipe_one.base.arg, ERR_CLOSED, &err);
    pipe_settle(&pipe_one);
}

#define JSON   "Content-Type: application/json\r\n"
#define META   "Grpc-Metadata-Content-Type: application/grpc\r\n"
#define CHUNKS "HTTP/1.1 200 OK\r\n" JSON "Transfer-Encoding: chunked\r\n" META "\r\n"
#define NO_LEADER_STREAM                                                                    \
    "{\"error\":{\"grpc_code\":14,\"http_code\":503,\"message\":\"etcdserver: no leader\"," \
    "\"http_status\":\"Service Unavailable\"}}"

/* --- unary ------------------------------------------------------------------------------------ */

#define UNARY_ANSWER "HTTP/1.1 200 OK\r\n" JSON "" META "\r\n{\"ID\":\"5\",\"TTL\":\"9\"}"

static void a_call_is_answered_at_once_or_later(void **state)
{
    (void)state;
    act = ANSWER;
    post("/u", "", "{\"ID\":\"5\"}");
    assert_string_equal(heard(), UNARY_ANSWER);
    assert_int_equal(closes, 0); /* not from inside */
    turn();
    assert_int_equal(closes, 1);
    let_go();
    act = WAIT;
    post("/kv/u", "", "{\"ID\":5} what follows is not looked at");
    assert_string_equal(heard(), "");
    act = ANSWER;
    do_act(latest);
    assert_string_equal(heard(), UNARY_ANSWER);
    turn();
    assert_int_equal(closes, 2);
    do_act(latest); /* goes nowhere */
    assert_string_equal(heard(), "");
}

static void a_failure_has_its_status(void **state)
{
    (void)state;
    act = FAIL;
    post("/u", "", "");
    assert_string_equal(heard(),
                        "HTTP/1.1 503 Service Unavailable\r\n" JSON "\r\n"
                        "{\"error\":\"etcdserver: no leader\",\"message\":\"etcdserver: no "
                        "leader\",\"code\":14}");
    turn();
    assert_int_equal(closes, 1);
}

static void what_is_malformed_reaches_no_method(void **state)
{
    (void)state;
    post("/u", "", "{");
    assert_non_null(strstr(heard(), "400 Bad Request\r\n" JSON "\r\n"
                                    "{\"error\":\"unexpected EOF\",\"message\":\"unexpected "
                                    "EOF\",\"code\":3}"));
    post("/nope", "", "{}");
    assert_non_null(strstr(heard(), "404 Not Found\r\nContent-Type: text/plain; charset=utf-8\r\n"
                                    "X-Content-Type-Options: "
                                    "nosniff\r\n\r\nNot Found\n"));
    say("GET /v3/u HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}");
    assert_non_null(strstr(heard(), "405 Method Not Allowed\r\n"));
    post("/u", "Grpc-Timeout: 5\r\n", "{}");
    assert_non_null(strstr(heard(), "\"message\":\"invalid grpc-timeout: 5\",\"code\":3}"));
    turn();
    assert_int_equal(messages, 0);
    assert_int_equal(closes, 0);
}

static void a_deadline_ends_a_call(void **state)
{
    (void)state;
    post("/u", "Grpc-Timeout: 30m\r\n", "{}");
    assert_string_equal(heard(), "");
    while (closes == 0) {
        (void)uv_run(&loop, UV_RUN_ONCE);
    }
    assert_true(etcd_call_has_ended(latest));
    assert_non_null(strstr(heard(), "504 Gateway Timeout\r\n" JSON "\r\n"
                                    "{\"error\":\"context deadline exceeded\","));
    let_go();
    act = ANSWER; /* one that is answered in time leaves no timer behind */
    post("/plain", "Grpc-Timeout: 23H\r\n", "{}");
    assert_non_null(strstr(heard(), " 200 OK\r\n"));
    let_go();
}

static void who_wants_a_leader_is_told_that_there_is_none(void **state)
{
    (void)state;
    act = ANSWER;
    service.is_leaderless = true;
    post("/u", "Grpc-Metadata-Hasleader: true\r\n", "{}");
    assert_non_null(strstr(heard(), "503 Service Unavailable\r\n" JSON "\r\n"
                                    "{\"error\":\"etcdserver: no leader\","));
    assert_int_equal(messages, 0);
    post("/u", "", "{}");
    assert_non_null(strstr(heard(), " 200 OK\r\n"));
    turn();
    let_go();
    service.is_leaderless = false;
    post("/u", "Grpc-Metadata-Hasleader: true\r\n", "{}");
    assert_non_null(strstr(heard(), " 200 OK\r\n"));
    turn();
    let_go();
}

static void a_token_may_come_in_two_ways(void **state)
{
    struct buf token = BUF_INIT;
    char header[512];
    (void)state;
    service.config.auth = &auth;
    act = ANSWER;
    post("/u", "", "{}");
    assert_non_null(strstr(heard(), "400 Bad Request\r\n" JSON "\r\n"
                                    "{\"error\":\"etcdserver: user name is empty\","));
    post("/u", "Authorization: nonsense\r\n", "{}");
    assert_non_null(strstr(heard(), "401 Unauthorized\r\n"));
    post("/s", "Authorization: nonsense\r\n", "{}"); /* a stream says it in its own words */
    assert_non_null(strstr(heard(), "{\"error\":{\"grpc_code\":16,\"http_code\":401,"));
    assert_int_equal(messages, 0);
    post("/open", "", "{}");
    assert_non_null(strstr(heard(), " 200 OK\r\n"));
    let_go();
    etcd_auth_token(&auth, 7, wall_ms(NULL) + 1000, &token);
    for (int i = 0; i < 2; i++) {
        (void)snprintf(header, sizeof header, "%s: %s\r\n",
                       i == 0 ? "authorization" : "Grpc-Metadata-Token", buf_str(&token));
        post("/u", header, "{}");
        assert_non_null(strstr(heard(), " 200 OK\r\n"));
        turn();
        let_go();
    }
    buf_free(&token);
}

/* --- streams ---------------------------------------------------------------------------------- */

static void every_message_of_a_stream_is_a_chunk(void **state)
{
    (void)state;
    act = REPLY_AND_WAIT;
    post("/s", "", "{\"ID\":\"5\"} {\"ID\":\"6\"}\n{\"ID\":7}");
    assert_string_equal(heard(), CHUNKS "20\r\n{\"result\":{\"ID\":\"5\",\"TTL\":\"9\"}}\n\r\n"
                                        "20\r\n{\"result\":{\"ID\":\"6\",\"TTL\":\"9\"}}\n\r\n"
                                        "20\r\n{\"result\":{\"ID\":\"7\",\"TTL\":\"9\"}}\n\r\n");
    assert_int_equal(messages, 3);
    assert_int_equal(ends, 1);
    assert_int_equal(etcd_call_pending(latest), 0);
    etcd_call_fail(latest, ETCD_ERROR_NO_LEADER);
    assert_string_equal(heard(), "70\r\n" NO_LEADER_STREAM "\r\n0\r\n\r\n");
    turn();
    assert_int_equal(closes, 1);
    let_go();
    act = REPLY_AND_FINISH; /* the connection goes on */
    post("/e", "", "{}");
    assert_non_null(strstr(heard(), "}\n\r\n0\r\n\r\n"));
    turn();
    assert_int_equal(closes, 2);
}

static void an_error_before_the_first_message_has_its_status(void **state)
{
    (void)state;
    post("/s", "", "{}");
    assert_string_equal(heard(), "");
    assert_true(pipe_one.reading);
    etcd_call_fail(latest, ETCD_ERROR_NO_LEADER);
    assert_string_equal(heard(),
                        "HTTP/1.1 503 Service Unavailable\r\n" JSON "\r\n" NO_LEADER_STREAM);
    turn();
    assert_int_equal(closes, 1);
}

static void what_is_malformed_in_a_stream(void **state)
{
    (void)state;
    post("/s", "", "[]");
    assert_non_null(strstr(heard(), "500 Internal Server Error\r\n"));
    assert_int_equal(messages + ends + closes, 0);
    act = REPLY_AND_WAIT;
    post("/e", "", "{\"ID\":5}{"); /* that much is answered */
    assert_non_null(strstr(heard(), "\"TTL\":\"9\"}}\n\r\n0\r\n\r\n"));
    turn();
    assert_int_equal(closes, 1);
    let_go();
    post("/e", "", " \n"); /* no message: an empty answer */
    assert_string_equal(heard(), "HTTP/1.1 200 OK\r\n" JSON "\r\n");
    turn();
    assert_int_equal(messages, 1);
    assert_int_equal(closes, 1);
    post("/s", "", ""); /* on_end alone: the call is the handler's */
    assert_int_equal(ends, 1);
}

static void messages_of_one_request_are_bounded(void **state)
{
    struct buf body = BUF_INIT;
    (void)state;
    for (int i = 0; i < 1100; i++) {
        buf_put_str(&body, "{}");
    }
    say("POST /v3/s HTTP/1.1\r\nHost: h\r\nContent-Length: 2200\r\n\r\n");
    say(buf_str(&body));
    assert_non_null(strstr(heard(), "429 Too Many Requests\r\n"));
    assert_int_equal(messages, 1024);
    assert_int_equal(ends, 0);
    turn();
    assert_int_equal(closes, 1);
    buf_free(&body);
}

static void who_hangs_up_ends_the_call_at_once(void **state)
{
    (void)state;
    post("/s", "", "{}");
    peer_ends(); /* before the first message */
    assert_true(etcd_call_has_ended(latest));
    assert_int_equal(closes, 1);
    let_go();
    connect_http1();
    act = REPLY_AND_WAIT;
    post("/s", "", "{}");
    assert_false(etcd_call_has_ended(latest));
    peer_ends();
    assert_true(etcd_call_has_ended(latest));
    assert_int_equal(closes, 2);
    reply(latest); /* goes nowhere */
    etcd_call_fail(latest, ETCD_ERROR_NO_LEADER);
    assert_int_equal(etcd_call_pending(latest), 0);
    turn();
    assert_int_equal(closes, 2);
}

static void who_does_not_read_holds_the_handler_back(void **state)
{
    struct etcd_lease_keep_alive_response response = {.id = 1};
    size_t replies = 0;
    (void)state;
    act = REPLY_AND_WAIT;
    client_free(client);
    client = client_new(http2, false); /* opens no window beyond the first */
    struct body body = {.bytes = BUF_INIT};
    buf_put_str(&body.bytes, "{}");
    int32_t id = client_post(client, "/v3/s", &body, NULL, 0);
    pump(client);
    struct error err = {0};
    while (etcd_call_reply(latest, &response, &err) == 0) {
        replies++;
        assert_true(replies < 1000000);
    }
    assert_int_equal(err.code, ERR_LIMIT);
    assert_true(etcd_call_pending(latest) >= 2 * 1024 * 1024);
    assert_false(etcd_call_has_ended(latest)); /* what to do is the handler's */
    assert_false(answer_of(client, id)->closed);
    etcd_call_fail(latest, ETCD_ERROR_TOO_MANY_REQUESTS);
    turn();
    assert_int_equal(closes, 1);
    buf_free(&body.bytes);
}

/* --- over HTTP/2 ------------------------------------------------------------------------------ */

static struct answer *post_http2(const char *path, struct body *body)
{
    buf_free(&body->bytes);
    *body = (struct body){.bytes = BUF_INIT};
    buf_put_str(&body->bytes, "{\"ID\":\"5\"}");
    int32_t id = client_post(client, path, body, NULL, 0);
    pump(client);
    return answer_of(client, id);
}

static void it_is_the_same_over_http2(void **state)
{
    struct body body = {.bytes = BUF_INIT};
    (void)state;
    act = ANSWER;
    struct answer *answer = post_http2("/v3/u", &body);
    assert_string_equal(buf_str(&answer->body), "{\"ID\":\"5\",\"TTL\":\"9\"}");
    assert_non_null(strstr(buf_str(&answer->head), ":status: 200\ngrpc-metadata-content-type: "
                                                   "application/grpc\n"));
    assert_true(answer->closed);
    let_go();
    act = REPLY_AND_WAIT;
    answer = post_http2("/v3/s", &body);
    assert_string_equal(buf_str(&answer->body), "{\"result\":{\"ID\":\"5\",\"TTL\":\"9\"}}\n");
    assert_false(answer->closed);
    assert_int_equal(
        nghttp2_submit_rst_stream(client->session, NGHTTP2_FLAG_NONE, 3, NGHTTP2_CANCEL), 0);
    pump(client);
    assert_true(etcd_call_has_ended(latest));
    assert_int_equal(closes, 2);
    let_go();
    act = WAIT;
    answer = post_http2("/v3/s", &body);
    assert_int_equal(
        nghttp2_submit_rst_stream(client->session, NGHTTP2_FLAG_NONE, 5, NGHTTP2_CANCEL), 0);
    pump(client);
    assert_true(etcd_call_has_ended(latest));
    assert_int_equal(closes, 3);
    let_go();
    (void)post_http2("/v3/u", &body); /* open at the stop */
    buf_free(&body.bytes);
}

#define GATEWAY_TEST(name) cmocka_unit_test_setup_teardown(name, open_gateway, close_gateway)

int main(void)
{
    const struct CMUnitTest tests[] = {
        GATEWAY_TEST(a_call_is_answered_at_once_or_later),
        GATEWAY_TEST(a_failure_has_its_status),
        GATEWAY_TEST(what_is_malformed_reaches_no_method),
        GATEWAY_TEST(a_deadline_ends_a_call),
        GATEWAY_TEST(a_token_may_come_in_two_ways),
        GATEWAY_TEST(who_wants_a_leader_is_told_that_there_is_none),
        GATEWAY_TEST(every_message_of_a_stream_is_a_chunk),
        GATEWAY_TEST(an_error_before_the_first_message_has_its_status),
        GATEWAY_TEST(what_is_malformed_in_a_stream),
        GATEWAY_TEST(messages_of_one_request_are_bounded),
        GATEWAY_TEST(who_hangs_up_ends_the_call_at_once),
        GATEWAY_TEST(who_does_not_read_holds_the_handler_back),
        GATEWAY_TEST(it_is_the_same_over_http2),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
