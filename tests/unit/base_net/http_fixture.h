/* A client and a server that does as it is told, in one loop, with a watchdog instead of sleeps.
 * The server is sockets and text, not our own: it has to be able to lie. */
#ifndef TESTS_UNIT_BASE_NET_HTTP_FIXTURE_H
#define TESTS_UNIT_BASE_NET_HTTP_FIXTURE_H

#include "base/buf.h"
#include "base/mem.h"
#include "base/net/http_client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { WATCHDOG_MS = 20000, TICK_MS = 10, PEERS_MAX = 300, LONG_MS = 15000 };

/* One connection, as the server sees it. */
struct peer {
    uv_tcp_t tcp;
    struct buf got;   /* what is not answered yet */
    char *request;    /* the last one that was complete: head and body */
    unsigned count;   /* of requests on this connection */
    unsigned reads;   /* that took bytes off it */
    unsigned step;    /* for scripts */
    uv_timer_t timer; /* for scripts that go on by themselves */
    bool open;
    bool ended; /* by the client */
};

/* What became of one request. */
struct call {
    struct http_client_exchange *exchange; /* NULL once done */
    int calls;
    int rc;
    int status;
    bool sent;
    struct buf body;
    size_t pieces;
    struct error err;
    char header[64];                   /* of wanted_header */
    void (*during)(struct call *call); /* called from on_data and on_done */
};

static uv_loop_t loop;
static uv_timer_t watchdog;
static bool watchdog_fired;
static uint64_t watchdog_at_ms;
static uv_tcp_t server;
static uint16_t server_port;
static void (*script)(struct peer *peer); /* a request is complete */
static struct peer *peers;
static size_t peer_count;    /* connections that came in */
static size_t request_count; /* on all of them */
static struct http_client *client;
static int client_closes;
static const char *wanted_header;

#define RUN_UNTIL(fact)                   \
    while (!(fact)) {                     \
        assert_false(watchdog_fired);     \
        (void)uv_run(&loop, UV_RUN_ONCE); \
    }

/* It ticks, so that a turn of the loop in which only a timer did something ends, too. */
static inline void on_watchdog(uv_timer_t *timer)
{
    watchdog_fired = uv_now(timer->loop) > watchdog_at_ms;
}

/* --- server ----------------------------------------------------------------------------------- */

static inline void said(uv_write_t *request, int status)
{
    (void)status;
    mem_free(request);
}

static inline void say_bytes(struct peer *peer, const void *data, size_t len)
{
    uv_write_t *request = mem_alloc(sizeof *request + len);
    uv_buf_t buf = uv_buf_init((char *)(request + 1), (unsigned)len);
    memcpy(buf.base, data, len);
    if (!peer->open || uv_write(request, (uv_stream_t *)&peer->tcp, &buf, 1, said) != 0) {
        mem_free(request);
    }
}

static inline void say(struct peer *peer, const char *text)
{
    say_bytes(peer, text, strlen(text));
}

static inline void say_ok(struct peer *peer, const char *body)
{
    char head[128];
    (void)snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n",
                   strlen(body));
    say(peer, head);
    say(peer, body);
}

static inline void hang_up(struct peer *peer)
{
    if (peer->open) {
        peer->open = false;
        uv_close((uv_handle_t *)&peer->tcp, NULL);
        uv_close((uv_handle_t *)&peer->timer, NULL);
    }
}

static inline void hang_up_reset(struct peer *peer)
{
    if (peer->open) {
        peer->open = false;
        assert_int_equal(uv_tcp_close_reset(&peer->tcp, NULL), 0);
        uv_close((uv_handle_t *)&peer->timer, NULL);
    }
}

static inline void peer_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buf)
{
    static char bytes[65536];
    (void)handle;
    (void)suggested;
    *ret_buf = uv_buf_init(bytes, sizeof bytes);
}

/* Length of the complete request at the front of what was got; 0 = not yet. */
static inline size_t request_len(struct peer *peer)
{
    const char *text = buf_str(&peer->got);
    const char *end = strstr(text, "\r\n\r\n");
    if (end == NULL) {
        return 0;
    }
    const char *length = strcasestr(text, "\r\nContent-Length: ");
    size_t total = (size_t)(end + 4 - text);
    if (length != NULL && length < end) {
        total += strtoul(length + 18, NULL, 10);
    }
    return peer->got.len >= total ? total : 0;
}

static inline void peer_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *bytes)
{
    struct peer *peer = stream->data;
    if (count < 0) {
        peer->ended = true;
        hang_up(peer);
        return;
    }
    peer->reads++;
    buf_put(&peer->got, bytes->base, (size_t)count);
    for (size_t len = request_len(peer); len > 0 && peer->open; len = request_len(peer)) {
        mem_free(peer->request);
        peer->request = mem_strndup((const char *)peer->got.data, len);
        buf_drop(&peer->got, len);
        peer->count++;
        request_count++;
        script(peer);
    }
}

static inline void on_peer(uv_stream_t *listener, int status)
{
    assert_int_equal(status, 0);
    assert_true(peer_count < PEERS_MAX);
    struct peer *peer = &peers[peer_count++];
    assert_int_equal(uv_tcp_init(&loop, &peer->tcp), 0);
    assert_int_equal(uv_timer_init(&loop, &peer->timer), 0);
    peer->tcp.data = peer;
    peer->timer.data = peer;
    peer->open = true;
    assert_int_equal(uv_accept(listener, (uv_stream_t *)&peer->tcp), 0);
    assert_int_equal(uv_tcp_nodelay(&peer->tcp, 1), 0);
    assert_int_equal(uv_read_start((uv_stream_t *)&peer->tcp, peer_alloc, peer_read), 0);
}

static inline void server_open(const struct sockaddr *address)
{
    struct sockaddr_storage bound;
    int len = sizeof bound;
    assert_int_equal(uv_tcp_init(&loop, &server), 0);
    assert_int_equal(uv_tcp_bind(&server, address, 0), 0);
    assert_int_equal(uv_listen((uv_stream_t *)&server, 512, on_peer), 0);
    assert_int_equal(uv_tcp_getsockname(&server, (struct sockaddr *)&bound, &len), 0);
    server_port = ntohs(address->sa_family == AF_INET ? ((struct sockaddr_in *)&bound)->sin_port
                                                      : ((struct sockaddr_in6 *)&bound)->sin6_port);
}

/* --- client ----------------------------------------------------------------------------------- */

static inline const char *url_of(const char *path)
{
    static char url[256];
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u%s", server_port, path);
    return url;
}

static inline void call_done(void *arg, int rc, const struct http_client_response *response,
                             const struct error *err)
{
    struct call *call = arg;
    call->calls++;
    call->rc = rc;
    call->status = response->status;
    call->sent = response->sent;
    call->exchange = NULL;
    assert_int_equal(rc, err->code);
    assert_true(rc == 0 || response->body.len == 0);
    assert_true(rc == 0 || err->text[0] != '\0');
    call->err = *err;
    if (response->body.len > 0) {
        buf_put_span(&call->body, response->body);
    }
    const char *value = wanted_header == NULL ? NULL : http_client_header(response, wanted_header);
    (void)snprintf(call->header, sizeof call->header, "%s", value != NULL ? value : "(none)");
    if (call->during != NULL) {
        call->during(call);
    }
}

static inline void call_data(void *arg, int status, struct span piece)
{
    struct call *call = arg;
    assert_int_equal(call->calls, 0);
    assert_true(piece.len > 0);
    call->status = status;
    call->pieces++;
    buf_put_span(&call->body, piece);
    if (call->during != NULL) {
        call->during(call);
    }
}

static inline void call_begin(struct call *call, const struct http_client_request *request)
{
    struct http_client_request copy = *request;
    struct error err = {0};
    copy.on_done = call_done;
    copy.arg = call;
    if (http_client_send(client, &copy, &call->exchange, &err) != 0) {
        fail_msg("%s", err.text);
    }
    assert_int_equal(call->calls, 0);
}

static inline void call_run(struct call *call, const struct http_client_request *request)
{
    buf_free(&call->body);
    *call = (struct call){.during = call->during};
    call_begin(call, request);
    RUN_UNTIL(call->calls > 0);
    assert_int_equal(call->calls, 1);
}

static inline void get(struct call *call, const char *path)
{
    call_run(call, &(struct http_client_request){.url = url_of(path), .timeout_ms = LONG_MS});
}

static inline bool body_is(const struct call *call, const char *text)
{
    return span_equal_str(buf_span(&call->body), text);
}

static inline void client_closed(void *arg)
{
    (void)arg;
    client_closes++;
}

static inline void client_free(void)
{
    http_client_free(client, client_closed, NULL);
    client = NULL;
}

static inline void client_open(const struct http_client_config *config)
{
    struct error err = {0};
    if (http_client_new(&loop, config, &client, &err) != 0) {
        fail_msg("%s", err.text);
    }
}

static inline void client_open_anew(const struct http_client_config *config)
{
    int closes = client_closes;
    client_free();
    RUN_UNTIL(client_closes > closes);
    client_open(config);
}

/* --- set up and tear down --------------------------------------------------------------------- */

static inline int fixture_open(void **state)
{
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    (void)state;
    (void)signal(SIGPIPE, SIG_IGN); /* as main does */
    watchdog_fired = false;
    peers = mem_new_array(struct peer, PEERS_MAX);
    peer_count = 0;
    request_count = 0;
    client_closes = 0;
    wanted_header = NULL;
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(uv_timer_init(&loop, &watchdog), 0);
    assert_int_equal(uv_timer_start(&watchdog, on_watchdog, TICK_MS, TICK_MS), 0);
    watchdog_at_ms = uv_now(&loop) + WATCHDOG_MS;
    server_open((struct sockaddr *)&here);
    client_open(&(struct http_client_config){0});
    return 0;
}

/* Closes what the test left open; then nothing may be left in the loop. */
static inline int fixture_close(void **state)
{
    int closes = client_closes;
    bool frees = client != NULL;
    (void)state;
    if (frees) {
        client_free();
    }
    for (size_t i = 0; i < peer_count; i++) {
        hang_up(&peers[i]);
    }
    uv_close((uv_handle_t *)&server, NULL);
    uv_close((uv_handle_t *)&watchdog, NULL);
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&loop), 0);
    assert_int_equal(client_closes, closes + (frees ? 1 : 0));
    for (size_t i = 0; i < peer_count; i++) {
        buf_free(&peers[i].got);
        mem_free(peers[i].request);
    }
    mem_free(peers);
    return 0;
}

#define HTTP_TEST(name) cmocka_unit_test_setup_teardown(name, fixture_open, fixture_close)

#endif
