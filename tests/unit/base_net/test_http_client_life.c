/* The life of an exchange: streamed answers, the ways it ends, the contract of its callbacks, and
 * names that are looked up. */
#include "http_fixture.h"
#include "silent_port.h"

#include <dlfcn.h>
#include <netdb.h>
#include <semaphore.h>
#include <sys/epoll.h>
#include <sys/syscall.h>

static void say_path(struct peer *peer)
{
    char path[64] = "";
    assert_int_equal(sscanf(peer->request, "%*s %63s", path), 1);
    say_ok(peer, path);
}

static void say_nothing(struct peer *peer)
{
    (void)peer;
}

/* --- streams ---------------------------------------------------------------------------------- */

#define STREAM                                                                  \
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n " \
    "\r\n5\r\nworld\r\n0\r\n\r\n"

static size_t split_at;

static void say_rest(uv_timer_t *timer)
{
    struct peer *peer = timer->data;
    say(peer, &STREAM[split_at]);
}

static void say_split(struct peer *peer)
{
    say_bytes(peer, STREAM, split_at);
    assert_int_equal(uv_timer_start(&peer->timer, say_rest, 1, 0), 0);
}

static void a_streamed_answer_may_be_split_anywhere(void **state)
{
    struct call call = {0};
    (void)state;
    script = say_split;
    for (split_at = 1; split_at < sizeof STREAM - 1; split_at++) {
        call_run(&call, &(struct http_client_request){.url = url_of("/"), .on_data = call_data});
        assert_int_equal(call.rc, 0);
        assert_int_equal(call.status, 200);
        assert_true(call.pieces > 0);
        assert_true(body_is(&call, "hello world"));
        get(&call, "/");
        assert_true(body_is(&call, "hello world"));
        assert_int_equal(call.pieces, 0);
    }
    assert_int_equal(peer_count, 1);
    buf_free(&call.body);
}

static void cancel_at_first(struct call *call)
{
    if (call->calls == 0) {
        http_client_cancel(call->exchange);
    }
}

static void nothing_comes_after_a_cancel(void **state)
{
    struct call call = {.during = cancel_at_first};
    (void)state;
    script = say_split;
    split_at = sizeof STREAM - 1;
    call_run(&call, &(struct http_client_request){.url = url_of("/"), .on_data = call_data});
    assert_int_equal(call.rc, ERR_CANCELED);
    assert_int_equal(call.pieces, 1); /* three were in the same packet */
    buf_free(&call.body);
}

static void say_forever(struct peer *peer);

static void on_forever(uv_timer_t *timer)
{
    say_forever(timer->data);
}

static void say_forever(struct peer *peer)
{
    say(peer, peer->step++ == 0
                  ? "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
                  : "3\r\nabc\r\n");
    assert_int_equal(uv_timer_start(&peer->timer, on_forever, 1, 0), 0);
}

static void cancel_at_third(struct call *call)
{
    if (call->pieces == 3 && call->calls == 0) {
        http_client_cancel(call->exchange);
        http_client_cancel(call->exchange); /* no harm */
        assert_int_equal(call->calls, 0);
    }
}

static void a_stream_ends_when_its_reader_has_enough(void **state)
{
    struct call call = {.during = cancel_at_third};
    (void)state;
    script = say_forever;
    call_run(&call, &(struct http_client_request){.url = url_of("/"), .on_data = call_data});
    assert_int_equal(call.rc, ERR_CANCELED);
    assert_int_equal(call.pieces, 3);
    assert_int_equal(call.status, 200);
    assert_true(call.sent);
    RUN_UNTIL(peers[0].ended);
    buf_free(&call.body);
}

static void a_stream_may_have_a_limit(void **state)
{
    struct call call = {0};
    (void)state;
    script = say_forever;
    call_run(&call, &(struct http_client_request){
                        .url = url_of("/"), .on_data = call_data, .response_bytes_max = 10});
    assert_int_equal(call.rc, ERR_LIMIT);
    assert_true(body_is(&call, "abcabcabc"));
    buf_free(&call.body);
}

/* --- ending ----------------------------------------------------------------------------------- */

static struct call second;

static void send_second(struct call *call)
{
    if (second.calls == 0 && second.exchange == NULL) {
        call_begin(&second,
                   &(struct http_client_request){.url = url_of("/second"), .timeout_ms = LONG_MS});
    }
    (void)call;
}

static void a_request_may_be_sent_from_inside_any_callback(void **state)
{
    struct call call = {.during = send_second};
    (void)state;
    for (int streamed = 0; streamed <= 1; streamed++) {
        second = (struct call){0};
        script = say_path;
        call_run(&call, &(struct http_client_request){.url = url_of("/first"),
                                                      .timeout_ms = LONG_MS,
                                                      .on_data = streamed ? call_data : NULL});
        assert_int_equal(call.rc, 0);
        RUN_UNTIL(second.calls > 0);
        assert_true(body_is(&second, "/second"));
        buf_free(&second.body);
    }
    buf_free(&call.body);
}

/* Turn by turn further: before it begins, connecting, sent, in the body, when it is too late. */
static void canceling_ends_an_exchange_at_every_step(void **state)
{
    int too_late = 0;
    (void)state;
    script = say_forever;
    for (int turns = 0; turns < 12; turns++) {
        static struct call call;
        call = (struct call){0};
        call_begin(&call, &(struct http_client_request){.url = url_of("/"), .on_data = call_data});
        for (int i = 0; i < turns; i++) {
            (void)uv_run(&loop, UV_RUN_ONCE);
        }
        assert_int_equal(call.calls, 0);
        size_t pieces = call.pieces;
        http_client_cancel(call.exchange);
        assert_int_equal(call.calls, 0);
        RUN_UNTIL(call.calls > 0);
        (void)uv_run(&loop, UV_RUN_NOWAIT);
        assert_int_equal(call.calls, 1);
        assert_int_equal(call.rc, ERR_CANCELED);
        assert_int_equal(call.pieces, pieces);
        assert_true(turns > 0 || !call.sent);
        too_late += pieces > 0 ? 1 : 0;
        buf_free(&call.body);
    }
    assert_true(too_late > 0);
}

static void free_client_now(struct call *call)
{
    (void)call;
    if (client != NULL) {
        client_free();
        assert_int_equal(client_closes, 0);
    }
}

static void the_client_may_be_freed_from_inside_any_callback(void **state)
{
    struct call call = {.during = free_client_now};
    struct call other = {0};
    (void)state;
    for (int streamed = 0; streamed <= 1; streamed++) {
        script = streamed ? say_forever : say_path;
        client_closes = 0;
        call_begin(&other, &(struct http_client_request){.url = url_of("/other")});
        call_run(&call, &(struct http_client_request){.url = url_of("/"),
                                                      .on_data = streamed ? call_data : NULL});
        RUN_UNTIL(client_closes > 0);
        assert_int_equal(call.rc, streamed ? ERR_CANCELED : 0);
        assert_int_equal(other.calls, 1);
        buf_free(&other.body);
        other = (struct call){0};
        client_open(&(struct http_client_config){0});
    }
    buf_free(&call.body);
}

static void nothing_comes_after_the_end(struct call *call)
{
    (void)call;
    assert_int_equal(client_closes, 0);
}

static void freeing_the_client_ends_what_is_under_way(void **state)
{
    struct call many[10] = {0};
    (void)state;
    script = say_nothing;
    for (size_t i = 0; i < 10; i++) {
        many[i].during = nothing_comes_after_the_end;
        call_begin(&many[i], &(struct http_client_request){.url = url_of("/")});
        if (i == 4) {
            RUN_UNTIL(request_count == 5);
        }
    }
    struct http_client *freed = client;
    struct http_client_request late = {.url = url_of("/"), .on_done = call_done};
    client_free();
    assert_int_equal(http_client_send(freed, &late, NULL, NULL), ERR_CLOSED);
    http_client_cancel(many[3].exchange);
    RUN_UNTIL(client_closes > 0);
    for (size_t i = 0; i < 10; i++) {
        assert_int_equal(many[i].calls, 1);
        assert_int_equal(many[i].rc, ERR_CANCELED);
        assert_int_equal(many[i].sent, i < 5);
    }
}

static bool epoll_refuses;

/* libuv's attempt whether a descriptor can be watched comes here: it has no descriptor as data. */
int epoll_ctl(int epoll, int op, int fd, struct epoll_event *event)
{
    if (epoll_refuses && op == EPOLL_CTL_ADD && event->data.fd == -1) {
        errno = ENOSPC; /* fs.epoll.max_user_watches */
        return -1;
    }
    return (int)syscall(SYS_epoll_ctl, epoll, op, fd, event);
}

static void a_socket_that_cannot_be_watched_ends_its_exchange_alone(void **state)
{
    struct call stream = {0};
    struct call call = {0};
    (void)state;
    script = say_forever;
    call_begin(&stream, &(struct http_client_request){.url = url_of("/"), .on_data = call_data});
    RUN_UNTIL(stream.pieces > 0);
    epoll_refuses = true;
    get(&call, "/");
    epoll_refuses = false;
    assert_int_equal(call.rc, call.sent ? ERR_UNKNOWN : ERR_UNAVAILABLE); /* or sent at once */
    assert_non_null(strstr(call.err.text, ": watching its socket: no space left on device"));
    size_t pieces = stream.pieces;
    RUN_UNTIL(stream.pieces > pieces);
    assert_int_equal(stream.calls, 0);
    script = say_path;
    get(&call, "/again");
    assert_true(body_is(&call, "/again"));
    http_client_cancel(stream.exchange);
    RUN_UNTIL(stream.calls > 0);
    buf_free(&stream.body);
    buf_free(&call.body);
}

/* --- names ------------------------------------------------------------------------------------ */

#define HUNG_NAME "hung.pgquorum.test"
#define NO_NAME   "none.pgquorum.test"
#define TWO_NAME  "two.pgquorum.test"

static sem_t hung;
static int hung_lookups;

/* libcurl's lookups come here: one name server that is dead. */
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **ret_list)
{
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **) = NULL;
    void *symbol = dlsym(RTLD_NEXT, "getaddrinfo");
    memcpy(&real, &symbol, sizeof real);
    if (node != NULL && strcmp(node, HUNG_NAME) == 0) {
        (void)__atomic_add_fetch(&hung_lookups, 1, __ATOMIC_SEQ_CST);
        while (sem_wait(&hung) != 0) {
        }
        (void)__atomic_sub_fetch(&hung_lookups, 1, __ATOMIC_SEQ_CST);
        return EAI_AGAIN;
    }
    if (node != NULL && strcmp(node, NO_NAME) == 0) {
        return EAI_NONAME;
    }
    if (node != NULL && strcmp(node, TWO_NAME) == 0) {
        if (real("127.0.0.1", service, hints, ret_list) != 0) {
            return EAI_FAIL;
        }
        struct addrinfo *last = *ret_list;
        while (last->ai_next != NULL) {
            last = last->ai_next;
        }
        return real("127.0.0.2", service, hints, &last->ai_next);
    }
    return real(node, service, hints, ret_list);
}

static bool hangs(void)
{
    return __atomic_load_n(&hung_lookups, __ATOMIC_SEQ_CST) > 0;
}

/* Were the loop to wait for the thread, this would end by the watchdog of the runner. */
static void a_lookup_that_hangs_holds_nobody_up(void **state)
{
    struct call call = {0};
    struct call other = {0};
    (void)state;
    script = say_path;
    assert_int_equal(sem_init(&hung, 0, 0), 0);
    struct http_client_request request = {
        .url = "http://" HUNG_NAME ":2379/", .timeout_ms = LONG_MS, .connect_timeout_ms = 100};
    call_run(&call, &request);
    assert_true(hangs());
    assert_int_equal(call.rc, ERR_UNAVAILABLE);
    assert_false(call.sent);
    assert_non_null(strstr(call.err.text, HUNG_NAME ":2379: "));

    request.connect_timeout_ms = 0;
    call = (struct call){0};
    call_begin(&call, &request);
    get(&other, "/other");
    assert_int_equal(other.rc, 0);
    assert_int_equal(call.calls, 0);
    http_client_cancel(call.exchange);
    RUN_UNTIL(call.calls > 0);
    assert_int_equal(call.rc, ERR_CANCELED);

    call = (struct call){0};
    call_begin(&call, &request);
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    client_free();
    RUN_UNTIL(client_closes > 0);
    assert_int_equal(call.rc, ERR_CANCELED);
    assert_true(hangs());
    while (hangs()) {
        assert_int_equal(sem_post(&hung), 0);
        (void)uv_run(&loop, UV_RUN_NOWAIT);
    }
    buf_free(&other.body);
}

static void a_name_that_is_none_is_said_so(void **state)
{
    struct call call = {0};
    (void)state;
    call_run(&call, &(struct http_client_request){.url = "http://" NO_NAME, .timeout_ms = LONG_MS});
    assert_int_equal(call.rc, ERR_UNAVAILABLE);
    assert_non_null(strstr(call.err.text, NO_NAME ":80: "));
    buf_free(&call.body);
}

/* Debian 12's libcurl closes the socket of the first address without a word, and the second gets
 * its number: it has to be watched all the same. */
static void a_name_with_a_silent_address_is_reached_at_the_next(void **state)
{
    struct call call = {0};
    struct sockaddr_in next = {.sin_family = AF_INET};
    char url[64];
    (void)state;
    uv_close((uv_handle_t *)&server, NULL);
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    struct silent_port silent = silent_port_open();
    next.sin_port = htons(silent.port);
    next.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1);
    server_open((struct sockaddr *)&next);
    script = say_path;
    (void)snprintf(url, sizeof url, "http://" TWO_NAME ":%u/next", server_port);
    call_run(&call, &(struct http_client_request){
                        .url = url, .timeout_ms = LONG_MS, .connect_timeout_ms = 1000});
    if (call.rc != 0) {
        fail_msg("%s", call.err.text);
    }
    assert_true(body_is(&call, "/next"));
    silent_port_close(&silent);
    buf_free(&call.body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HTTP_TEST(a_streamed_answer_may_be_split_anywhere),
        HTTP_TEST(nothing_comes_after_a_cancel),
        HTTP_TEST(a_stream_ends_when_its_reader_has_enough),
        HTTP_TEST(a_stream_may_have_a_limit),
        HTTP_TEST(a_request_may_be_sent_from_inside_any_callback),
        HTTP_TEST(canceling_ends_an_exchange_at_every_step),
        HTTP_TEST(the_client_may_be_freed_from_inside_any_callback),
        HTTP_TEST(freeing_the_client_ends_what_is_under_way),
        HTTP_TEST(a_socket_that_cannot_be_watched_ends_its_exchange_alone),
        HTTP_TEST(a_lookup_that_hangs_holds_nobody_up),
        HTTP_TEST(a_name_that_is_none_is_said_so),
        HTTP_TEST(a_name_with_a_silent_address_is_reached_at_the_next),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
