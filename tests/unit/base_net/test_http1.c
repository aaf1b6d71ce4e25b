/* The HTTP server on a real socket: a loop in a thread of its own, plain blocking clients here. */
#include "base/net/http1.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include <cmocka.h>

enum { REPLY_BYTES = 65536, WAIT_MS = 5000 };

static uv_loop_t loop;
static uv_async_t stop;
static struct http1_server *server;
static pthread_t thread;
static uint16_t port;

static int64_t now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* "/gate" holds the server's loop until the test lets it go on. */
static sem_t at_gate;
static sem_t gate_opens;
static atomic_uint work_count; /* of "/work" */
static atomic_uint work_seen;  /* of it, when the last OPTIONS came */

/* Answers with what it understood: "GET /path?query body". */
static void echo(void *arg, struct http1_exchange *exchange, const struct http1_request *request)
{
    static const char *const names[] = {"GET", "HEAD",  "OPTIONS", "POST",
                                        "PUT", "PATCH", "DELETE",  "OTHER"};
    static char text[2048];
    (void)arg;
    if (strcmp(request->path, "/gate") == 0) {
        (void)sem_post(&at_gate);
        (void)sem_wait(&gate_opens);
    }
    work_count += strcmp(request->path, "/work") == 0;
    int len = snprintf(text, sizeof text, "%s %s?%s %.*s", names[request->method], request->path,
                       request->query, (int)request->body.len, (const char *)request->body.data);
    struct http1_response response = {
        .status = 200, .content_type = "text/plain", .body = span_of(text, (size_t)len)};
    if (request->method == HTTP1_OPTIONS) {
        response.content_type = NULL;
        work_seen = work_count;
    }
    http1_respond(exchange, &response);
}

static void on_stop(uv_async_t *async)
{
    uv_close((uv_handle_t *)async, NULL);
    http1_server_stop(server, NULL, NULL);
}

static void *run(void *arg)
{
    (void)arg;
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    return NULL;
}

static int start(void **state)
{
    struct net_addr listen_on = {.host = "127.0.0.1", .port = 0};
    struct error err;
    (void)state;
    (void)signal(SIGPIPE, SIG_IGN);
    (void)uv_loop_init(&loop);
    (void)uv_async_init(&loop, &stop, on_stop);
    if (http1_server_start(&loop, &listen_on, echo, NULL, &server, &err) != 0) {
        return -1;
    }
    port = http1_server_port(server);
    return pthread_create(&thread, NULL, run, NULL);
}

static int finish(void **state)
{
    (void)state;
    (void)uv_async_send(&stop);
    (void)pthread_join(thread, NULL);
    return uv_loop_close(&loop);
}

static int client(void)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void say(int fd, const char *text, size_t len)
{
    while (len > 0) {
        ssize_t sent = send(fd, text, len, MSG_NOSIGNAL);
        if (sent <= 0) {
            return; /* refused early: the answer is read all the same */
        }
        text += sent;
        len -= (size_t)sent;
    }
}

/* Reads until `until` has been seen (NULL: until the end); a server that says neither fails. */
static const char *hear(int fd, const char *until)
{
    static char reply[REPLY_BYTES];
    size_t len = 0;
    struct pollfd in = {.fd = fd, .events = POLLIN};
    reply[0] = '\0';
    while (len < sizeof reply - 1 && (until == NULL || strstr(reply, until) == NULL)) {
        if (poll(&in, 1, WAIT_MS) != 1) {
            fail_msg("after %d ms there is no more than '%s'", WAIT_MS, reply);
        }
        ssize_t got = recv(fd, reply + len, sizeof reply - 1 - len, 0);
        if (got <= 0) {
            break;
        }
        len += (size_t)got;
        reply[len] = '\0';
    }
    return reply;
}

static const char *ask(const char *request)
{
    int fd = client();
    say(fd, request, strlen(request));
    const char *reply = hear(fd, NULL);
    (void)close(fd);
    return reply;
}

static void haproxy_gets_one_status_line_and_the_end(void **state)
{
    (void)state;
    assert_string_equal(ask("OPTIONS / HTTP/1.0\r\n\r\n"), "HTTP/1.0 200 OK\r\n\r\n");
}

static void pipelined_requests_are_answered_in_order(void **state)
{
    static const char text[] = "GET /a?x=1 HTTP/1.1\r\nHost: h\r\n\r\n"
                               "POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nxyz"
                               "GET /c HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    (void)state;
    const char *reply = ask(text);
    const char *a = strstr(reply, "GET /a?x=1 ");
    const char *b = strstr(reply, "POST /b? xyz");
    const char *c = strstr(reply, "GET /c?");
    assert_true(a != NULL && b > a && c > b);
}

static void a_request_may_come_byte_by_byte(void **state)
{
    static const char text[] = "PUT /slow HTTP/1.0\r\nContent-Length: 2\r\n\r\nok";
    int fd = client();
    (void)state;
    for (const char *byte = text; *byte != '\0'; byte++) {
        say(fd, byte, 1);
    }
    assert_non_null(strstr(hear(fd, NULL), "PUT /slow? ok"));
    (void)close(fd);
}

static void what_proxies_read_differently_is_refused(void **state)
{
    static const char *const bad[] = {
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\n folded: x\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\nx",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length:\r\n\r\nx",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: \t \r\n\r\nx",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +1\r\n\r\nx",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1, 1\r\n\r\nx",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0x1\r\n\r\nx",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1 1\r\n\r\nx",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 18446744073709551615\r\n\r\nx",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 18446744073709551617\r\n\r\nx",
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nHost: i\r\n\r\n",
        "GET / HTTP/2.0\r\nHost: h\r\n\r\n",
        "GET /a\fb HTTP/1.1\r\nHost: h\r\n\r\n",
        "nonsense\r\n\r\n",
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const char *reply = ask(bad[i]);
        assert_non_null(strstr(reply, " 400 "));
    }
    assert_non_null(strstr(
        ask("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), " 411 "));
    assert_non_null(
        strstr(ask("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999\r\n\r\n"), " 413 "));
}

/* Where a proxy sees two requests, one made of both would be answered. */
static void a_line_ends_in_cr_and_lf(void **state)
{
    static const char *const bad[] = {
        "GET /a HTTP/1.1\nHost: h\n\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: h\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: h\nX: y\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: h\rX: y\r\n\r\n",
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const char *reply = ask(bad[i]);
        assert_non_null(strstr(reply, " 400 "));
        assert_null(strstr(reply, " 200 "));
    }
}

static void a_head_over_the_limit_is_431(void **state)
{
    static char text[2 * HTTP1_HEAD_BYTES_MAX];
    int fd = client();
    (void)state;
    memset(text, 'a', sizeof text);
    memcpy(text, "GET / HTTP/1.1\r\nX: ", 19);
    say(fd, text, sizeof text);
    assert_non_null(strstr(hear(fd, "\r\n\r\n"), " 431 "));
    (void)close(fd);
}

static void silent_clients_in_any_number_keep_nobody_out(void **state)
{
    enum { SILENT = HTTP1_CONNECTIONS_MAX + 50 };
    static int fds[SILENT];
    (void)state;
    for (int i = 0; i < SILENT; i++) {
        fds[i] = client();
        say(fds[i], "GET", i % 4 == 0 ? 3 : 0);
    }
    int64_t began = now_ms();
    assert_string_equal(ask("OPTIONS / HTTP/1.0\r\n\r\n"), "HTTP/1.0 200 OK\r\n\r\n");
    assert_true(now_ms() - began < 1000);
    for (int i = 0; i < SILENT; i++) {
        (void)close(fds[i]);
    }
}

static const char *many(const char *request, int count)
{
    size_t len = strlen(request);
    char *text = test_malloc(len * (size_t)count + 1);
    for (int i = 0; i < count; i++) {
        memcpy(text + len * (size_t)i, request, len + 1);
    }
    return text;
}

/* Counted in requests, not in time: while the loop stands at the gate, all that the greedy one
 * wants is there, and so is what the other one asks. */
static void one_who_sends_many_requests_at_once_holds_nobody_up(void **state)
{
    enum { MANY = 500, BEFORE_MAX = 100 };
    const char *text = many("GET /work HTTP/1.1\r\nHost: h\r\n\r\n", MANY);
    static const char gate[] = "GET /gate HTTP/1.1\r\nHost: h\r\n\r\n";
    static const char options[] = "OPTIONS / HTTP/1.0\r\n\r\n";
    int greedy = client();
    (void)state;
    work_count = work_seen = 0;
    assert_int_equal(sem_init(&at_gate, 0, 0), 0);
    assert_int_equal(sem_init(&gate_opens, 0, 0), 0);
    say(greedy, gate, strlen(gate));
    assert_int_equal(sem_wait(&at_gate), 0);
    say(greedy, text, strlen(text));
    int other = client();
    say(other, options, strlen(options));
    (void)sem_post(&gate_opens);
    assert_string_equal(hear(other, NULL), "HTTP/1.0 200 OK\r\n\r\n");
    assert_true(work_seen < BEFORE_MAX);
    (void)close(other);
    (void)close(greedy);
    test_free((void *)(uintptr_t)text);
}

/* What it has been answered waits for it, but no more is taken from it: memory is bounded. */
static void a_client_that_does_not_read_is_not_read_from(void **state)
{
    enum { CHUNK = 1000, SENT_MAX = 32 * 1024 * 1024, REQUEST_LEN = 36 };
    const char *text = many("GET /abcdef HTTP/1.1\r\nHost: host\r\n\r\n", CHUNK);
    size_t len = strlen(text);
    size_t sent = 0;
    size_t answers = 0;
    size_t matched = 0;
    char reply[4096];
    int fd = client();
    struct pollfd ready = {.fd = fd, .events = POLLOUT};
    (void)state;
    assert_int_equal(len, CHUNK * REQUEST_LEN);
    while (sent < SENT_MAX && poll(&ready, 1, 500) == 1) {
        ssize_t n = send(fd, text + sent % len, len - sent % len, MSG_NOSIGNAL | MSG_DONTWAIT);
        assert_true(n > 0);
        sent += (size_t)n;
    }
    assert_true(sent < SENT_MAX);
    /* And now that it reads, it gets all the answers. */
    ready.events = POLLIN;
    while (answers < sent / REQUEST_LEN && poll(&ready, 1, WAIT_MS) == 1) {
        ssize_t n = recv(fd, reply, sizeof reply, 0);
        assert_true(n > 0);
        for (ssize_t i = 0; i < n; i++) {
            static const char mark[] = "GET /abcdef?";
            matched = reply[i] == mark[matched] ? matched + 1 : reply[i] == mark[0];
            if (matched == sizeof mark - 1) {
                answers++;
                matched = 0;
            }
        }
    }
    assert_int_equal(answers, sent / REQUEST_LEN);
    (void)close(fd);
    test_free((void *)(uintptr_t)text);
}

static void who_has_finished_sending_still_gets_the_answer(void **state)
{
    int fd = client();
    (void)state;
    say(fd, "GET /half HTTP/1.0\r\n\r\n", 22);
    (void)shutdown(fd, SHUT_WR);
    assert_non_null(strstr(hear(fd, NULL), "GET /half?"));
    (void)close(fd);
}

static void clients_that_go_away_are_no_matter(void **state)
{
    (void)state;
    for (int i = 0; i < 50; i++) {
        struct linger hard = {.l_onoff = 1, .l_linger = 0};
        int fd = client();
        say(fd, "OPTIONS / HTTP/1.0\r\n\r\n", 22);
        (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
        (void)close(fd); /* a reset, as HAProxy sends it */
    }
    assert_string_equal(ask("OPTIONS / HTTP/1.0\r\n\r\n"), "HTTP/1.0 200 OK\r\n\r\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(haproxy_gets_one_status_line_and_the_end, start, finish),
        cmocka_unit_test_setup_teardown(pipelined_requests_are_answered_in_order, start, finish),
        cmocka_unit_test_setup_teardown(a_request_may_come_byte_by_byte, start, finish),
        cmocka_unit_test_setup_teardown(what_proxies_read_differently_is_refused, start, finish),
        cmocka_unit_test_setup_teardown(a_line_ends_in_cr_and_lf, start, finish),
        cmocka_unit_test_setup_teardown(a_head_over_the_limit_is_431, start, finish),
        cmocka_unit_test_setup_teardown(silent_clients_in_any_number_keep_nobody_out, start,
                                        finish),
        cmocka_unit_test_setup_teardown(one_who_sends_many_requests_at_once_holds_nobody_up, start,
                                        finish),
        cmocka_unit_test_setup_teardown(a_client_that_does_not_read_is_not_read_from, start,
                                        finish),
        cmocka_unit_test_setup_teardown(who_has_finished_sending_still_gets_the_answer, start,
                                        finish),
        cmocka_unit_test_setup_teardown(clients_that_go_away_are_no_matter, start, finish),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
