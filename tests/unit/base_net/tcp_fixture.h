/* Both ends of connections in one loop, with a watchdog instead of sleeps. */
#ifndef TESTS_UNIT_BASE_NET_TCP_FIXTURE_H
#define TESTS_UNIT_BASE_NET_TCP_FIXTURE_H

#include "base/buf.h"
#include "base/net/tcp.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { WATCHDOG_MS = 20000, ENDS_MAX = 8, CONNECT_MS = 10000 };

/* What one end saw. */
struct end {
    struct stream *stream; /* NULL before it is connected, and once it was told to close */
    struct buf got;
    int ends;
    struct error err; /* of on_end */
    int drains;
    int closes;
    void (*during)(struct end *end); /* called from on_read, on_end, on_drained and done_during */
};

static uv_loop_t loop;
static uv_timer_t watchdog;
static bool watchdog_fired;
static struct tcp_listener *listener;
static struct end accepted[ENDS_MAX]; /* they outlive the test, until the loop is empty */
static struct end connected[ENDS_MAX];
static size_t accepted_count;
static size_t connected_count;
static const struct tcp_options plain_options = {0};

static inline void on_watchdog(uv_timer_t *timer)
{
    (void)timer;
    watchdog_fired = true;
}

/* Turns the loop until it is so. */
#define RUN_UNTIL(fact)                   \
    while (!(fact)) {                     \
        assert_false(watchdog_fired);     \
        (void)uv_run(&loop, UV_RUN_ONCE); \
    }

/* --- one end ---------------------------------------------------------------------------------- */

static inline void end_closed(void *arg)
{
    struct end *end = arg;
    end->closes++;
}

static inline void end_close(struct end *end)
{
    struct stream *stream = end->stream;
    assert_non_null(stream);
    end->stream = NULL;
    stream_close(stream, end_closed, end);
}

/* For `during`: it may be closed already. */
static inline void close_it(struct end *end)
{
    if (end->stream != NULL) {
        end_close(end);
    }
}

static inline void end_on_read(void *arg, struct span bytes)
{
    struct end *end = arg;
    assert_non_null(end->stream); /* nothing comes after the close */
    assert_int_equal(end->ends, 0);
    assert_true(bytes.len > 0);
    buf_put_span(&end->got, bytes);
    if (end->during != NULL) {
        end->during(end);
    }
}

static inline void end_on_end(void *arg, int rc, const struct error *err)
{
    struct end *end = arg;
    assert_non_null(end->stream);
    assert_int_equal(rc, err->code);
    end->ends++;
    end->err = *err;
    if (end->during != NULL) {
        end->during(end);
    }
}

static inline void end_on_drained(void *arg)
{
    struct end *end = arg;
    assert_non_null(end->stream);
    assert_int_equal(stream_pending(end->stream), 0);
    end->drains++;
    if (end->during != NULL) {
        end->during(end);
    }
}

static const struct stream_events end_events = {
    .on_read = end_on_read, .on_end = end_on_end, .on_drained = end_on_drained};

static inline void end_read(struct end *end)
{
    struct error err = {0};
    if (stream_read_start(end->stream, &err) != 0) {
        fail_msg("%s", err.text);
    }
}

static inline int end_write(struct end *end, struct span bytes)
{
    return stream_write(end->stream, bytes, NULL, NULL, NULL);
}

static inline bool end_has(const struct end *end, const char *text)
{
    return span_equal_str(buf_span(&end->got), text);
}

/* --- listening and connecting ----------------------------------------------------------------- */

static inline void on_accept(void *arg, struct stream *stream)
{
    (void)arg;
    assert_true(accepted_count < ENDS_MAX);
    struct end *end = &accepted[accepted_count++];
    end->stream = stream;
    stream_attach(stream, &end_events, end);
}

static inline int listen_at(const char *host, const struct tcp_options *options, struct error *err)
{
    struct net_addr addr = {.port = 0};
    (void)snprintf(addr.host, sizeof addr.host, "%s", host);
    return tcp_listener_start(&loop, &addr, 16, options, on_accept, NULL, &listener, err);
}

static inline uint16_t listener_port(void)
{
    return tcp_listener_port(listener);
}

struct connecting {
    struct tcp_connect *handle;
    int calls;
    int rc;
    struct stream *stream;
    struct error err;
};

static inline void on_connect(void *arg, int rc, struct stream *stream, const struct error *err)
{
    struct connecting *connecting = arg;
    connecting->calls++;
    connecting->rc = rc;
    connecting->stream = stream;
    assert_true((stream != NULL) == (rc == 0));
    if (rc != 0) {
        connecting->err = *err;
    }
}

static inline void connect_begin(struct connecting *connecting, const char *host, uint16_t port,
                                 const struct net_addr *from, int64_t timeout_ms)
{
    struct tcp_connect_options options = {
        .to = {.port = port}, .from = from, .timeout_ms = timeout_ms};
    struct error err = {0};
    (void)snprintf(options.to.host, sizeof options.to.host, "%s", host);
    *connecting = (struct connecting){0};
    if (tcp_connect_start(&loop, &options, on_connect, connecting, &connecting->handle, &err) !=
        0) {
        fail_msg("%s", err.text);
    }
    assert_int_equal(connecting->calls, 0); /* never from inside the call */
}

static inline struct end *end_of(struct connecting *connecting)
{
    assert_true(connected_count < ENDS_MAX);
    struct end *end = &connected[connected_count++];
    end->stream = connecting->stream;
    stream_attach(end->stream, &end_events, end);
    return end;
}

/* `options` of the end that connects; the other one's are the listener's. */
static inline void pair(struct end **near, struct end **far, const struct tcp_options *options)
{
    struct connecting connecting = {0};
    struct tcp_connect_options to = {.to = {.host = "127.0.0.1", .port = listener_port()},
                                     .timeout_ms = CONNECT_MS,
                                     .tcp = *options};
    size_t index = accepted_count;
    assert_int_equal(
        tcp_connect_start(&loop, &to, on_connect, &connecting, &connecting.handle, NULL), 0);
    RUN_UNTIL(connecting.calls > 0 && accepted_count > index);
    assert_int_equal(connecting.rc, 0);
    *near = end_of(&connecting);
    *far = &accepted[index];
}

/* A peer that is no stream of ours: it connects, and does as it is told. */
static inline int raw_peer(struct end **far)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(listener_port()),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    size_t index = accepted_count;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    RUN_UNTIL(accepted_count > index);
    *far = &accepted[index];
    return fd;
}

static inline void raw_reset(int fd)
{
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
    assert_int_equal(close(fd), 0);
}

/* --- set up and tear down --------------------------------------------------------------------- */

static inline int fixture_open(void **state)
{
    (void)state;
    (void)signal(SIGPIPE, SIG_IGN); /* as main does */
    memset(accepted, 0, sizeof accepted);
    memset(connected, 0, sizeof connected);
    accepted_count = 0;
    connected_count = 0;
    watchdog_fired = false;
    listener = NULL;
    return uv_loop_init(&loop) != 0 || uv_timer_init(&loop, &watchdog) != 0 ||
           uv_timer_start(&watchdog, on_watchdog, WATCHDOG_MS, 0) != 0;
}

static inline int fixture_listen(void **state)
{
    return fixture_open(state) != 0 || listen_at("127.0.0.1", &plain_options, NULL) != 0;
}

static inline void ends_close(struct end *ends, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (ends[i].stream != NULL) {
            end_close(&ends[i]);
        }
    }
}

static inline void ends_check(struct end *ends, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        buf_free(&ends[i].got);
        assert_int_equal(ends[i].closes, 1);
        assert_true(ends[i].ends <= 1);
    }
}

/* Closes what the test left open; then nothing may be left in the loop. */
static inline int fixture_close(void **state)
{
    (void)state;
    ends_close(accepted, accepted_count);
    ends_close(connected, connected_count);
    if (listener != NULL) {
        tcp_listener_stop(listener, NULL, NULL);
    }
    uv_close((uv_handle_t *)&watchdog, NULL);
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&loop), 0);
    ends_check(accepted, accepted_count);
    ends_check(connected, connected_count);
    return 0;
}

#define TCP_TEST(name) cmocka_unit_test_setup_teardown(name, fixture_listen, fixture_close)

#endif
