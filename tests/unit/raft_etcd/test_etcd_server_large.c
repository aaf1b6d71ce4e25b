/* Large answers: whole on each carrier, a little in each turn of the loop, and bounded for all
 * clients together. */
#include "hostile_fixture.h"

#include "base/mem.h"
#include "raft/etcd/etcd_portions.h"

enum {
    VALUES = 28,
    VALUE_BYTES = 1024 * 1024,
    CLIENTS = 200,
    GROWTH_KB_MAX = 160 * 1024,    /* of the process, whatever is asked for */
    REWRITTEN_KB_MAX = 192 * 1024, /* the same, while everything is written again and again */
    LEFT_KB_MAX = 24 * 1024,       /* of that, when the clients have gone */
};

/* Sends all of it, and the answer's beginning. */
static void exchange(const char *request, size_t len, char *text, size_t size)
{
    int fd = dial(1);
    ssize_t heard = 0;
    for (size_t at = 0; at < len; turn(1)) {
        ssize_t sent = send(fd, request + at, len - at, MSG_NOSIGNAL | MSG_DONTWAIT);
        at += sent > 0 ? (size_t)sent : 0;
    }
    while (heard == 0) {
        (void)uv_run(&rig.loop, UV_RUN_ONCE);
        heard = hear(fd, text, size);
    }
    (void)close(fd);
}

/* Keys "/a@", "/aA" ...; values that are "eHh4eHh4..." in base64: x's. */
static void fill(void)
{
    struct buf request = BUF_INIT;
    char text[1024];
    size_t value_len = (VALUE_BYTES / 3) * 4;
    char *value = mem_alloc(value_len);
    for (size_t i = 0; i < value_len; i += 4) {
        memcpy(value + i, "eHh4", 4);
    }
    for (unsigned i = 0; i < VALUES; i++) {
        buf_clear(&request);
        buf_printf(&request,
                   "POST /v3/kv/put HTTP/1.0\r\nContent-Length: %zu\r\n\r\n"
                   "{\"key\":\"L2F%c\",\"value\":\"",
                   value_len + 25, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcd"[i]);
        buf_put(&request, value, value_len);
        buf_put_str(&request, "\"}");
        exchange((const char *)request.data, request.len, text, sizeof text);
        says(text, "HTTP/1.0 200 ");
    }
    mem_free(value);
    buf_free(&request);
}

/* One for all: it takes long to fill. The last test ends it. */
static int open_full(void **state)
{
    (void)state;
    allow_connections(CLIENTS);
    begin(true);
    start();
    wait_served();
    fill();
    return 0;
}

static const char range_json[] =
    "POST /v3/kv/range HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 34\r\n\r\n"
    "{\"key\":\"AA==\",\"range_end\":\"AA==\"} ";
static const char tree_v2[] = "GET /v2/keys/?recursive=true HTTP/1.1\r\nHost: a\r\n\r\n";
/* RangeRequest{key: "\0", range_end: "\0"} */
static const char range_proto[] = "\0\0\0\0\6\x0a\x01\x00\x12\x01\x00";

/* The whole answer; `ret_most`: what one turn of the loop gave at most. */
static size_t read_slowly(int fd, char *text, size_t size, size_t *ret_most)
{
    size_t len = 0;
    ssize_t heard = 0;
    *ret_most = 0;
    while (heard >= 0) {
        (void)uv_run(&rig.loop, UV_RUN_ONCE);
        assert_true(len < size);
        heard = hear(fd, text + len, size - len);
        *ret_most = heard > (ssize_t)*ret_most ? (size_t)heard : *ret_most;
        len += heard > 0 ? (size_t)heard : 0;
    }
    return len;
}

static void the_whole_keyspace_comes_a_little_at_a_time(void **state)
{
    (void)state;
    enum { SIZE = 64 * 1024 * 1024, VALUE_TEXT = VALUE_BYTES / 3 * 4 };
    size_t most = 0;
    char *text = mem_alloc(SIZE);
    int fd = dial(1);
    tell_bytes(fd, range_json, sizeof range_json - 1);
    size_t len = read_slowly(fd, text, SIZE, &most);
    (void)close(fd);
    assert_true(len > (size_t)VALUES * VALUE_TEXT);
    assert_ptr_equal(strstr(text, "HTTP/1.1 200 OK\r\n"), text);
    says(text + len - 64, "\"count\":\"28\"}\r\n0\r\n\r\n");
    assert_true(most < 3 * (size_t)VALUE_TEXT); /* one value is not divided */
    mem_free(text);
}

/* Asks from each of CLIENTS connections, the one or the other by turns, and lets nobody read. All
 * but those that fit are told that they are refused. */
static void crowd_asks(const struct span requests[2], bool (*is_refused)(int fd))
{
    static int fds[CLIENTS];
    unsigned refused = 0;
    unsigned fit = (unsigned)(ETCD_PORTIONS_BYTES_MAX / ((size_t)VALUES * VALUE_BYTES));
    size_t before_kb = anonymous_kb();
    size_t most_kb = before_kb;
    uint64_t before_ns = uv_hrtime();
    for (unsigned i = 0; i < CLIENTS; i++) {
        fds[i] = dial(1 + i % 4);
        tell_bytes(fds[i], requests[i % 2].data, requests[i % 2].len);
    }
    for (unsigned i = 0; i < CLIENTS; i++) {
        (void)uv_run(&rig.loop, UV_RUN_ONCE);
        size_t kb = anonymous_kb();
        most_kb = kb > most_kb ? kb : most_kb;
    }
    bool is_slow = uv_hrtime() - before_ns >= (uint64_t)ETCD_PORTIONS_STALLED_MS * 1000000;
    is_healthy(9);
    for (unsigned i = 0; i < CLIENTS; i++) {
        refused += is_refused(fds[i]);
        (void)close(fds[i]);
    }
    settle();
    if (is_slow) { /* some have given way to others */
        assert_in_range(refused, 1, CLIENTS - fit);
    } else {
        assert_int_equal(refused, CLIENTS - fit);
    }
    if (memory_is_measured) {
        assert_in_range(most_kb, 0, before_kb + GROWTH_KB_MAX);
        assert_in_range(anonymous_kb(), 0, before_kb + LEFT_KB_MAX);
    }
}

static bool is_refused_http1(int fd)
{
    static char text[4096];
    (void)hear(fd, text, sizeof text);
    return strstr(text, "etcdserver: too many requests") != NULL;
}

static void who_asks_for_more_than_all_may_hold_is_told_so(void **state)
{
    (void)state;
    const struct span requests[] = {span_str(range_json), span_str(range_json)};
    crowd_asks(requests, is_refused_http1);
}

static void the_same_in_v2(void **state)
{
    (void)state;
    const struct span requests[] = {span_str(tree_v2), span_str(tree_v2)};
    crowd_asks(requests, is_refused_http1);
}

static void both_share_what_they_may_hold(void **state)
{
    (void)state;
    const struct span requests[] = {span_str(range_json), span_str(tree_v2)};
    crowd_asks(requests, is_refused_http1);
}

static void the_same_over_grpc(void **state)
{
    (void)state;
    struct buf range = BUF_INIT;
    put_request(&range, "POST", "/etcdserverpb.KV/Range", "application/grpc",
                span_of(range_proto, sizeof range_proto - 1));
    const struct span requests[] = {buf_span(&range), buf_span(&range)};
    crowd_asks(requests, was_refused);
    buf_free(&range);
}

static void memory_is_at_most(size_t kb)
{
    if (memory_is_measured) {
        assert_in_range(anonymous_kb(), 0, kb);
    }
}

/* What each client waits for has gone out of the store before the next one asks: nobody shares. */
static void what_only_a_client_holds_is_bounded(void **state)
{
    (void)state;
    enum { ASKING = 8, FULL_LOG = 2 }; /* the member's own log holds some of it, too */
    int fds[ASKING];
    for (unsigned i = 0; i < FULL_LOG; i++) {
        fill();
    }
    size_t before_kb = anonymous_kb();
    for (unsigned i = 0; i < ASKING; i++) {
        fds[i] = dial(1 + i % 4);
        tell_text(fds[i], tree_v2);
        settle();
        fill();
        memory_is_at_most(before_kb + REWRITTEN_KB_MAX);
    }
    is_healthy(9);
    for (unsigned i = 0; i < ASKING; i++) {
        (void)close(fds[i]);
    }
    settle();
    memory_is_at_most(before_kb + LEFT_KB_MAX);
}

static void a_stop_cuts_what_is_half_sent(void **state)
{
    (void)state;
    static char text[65536];
    int fd = dial(1);
    tell_bytes(fd, range_json, sizeof range_json - 1);
    settle(); /* it waits for its client */
    stop();
    char *rest = mem_alloc((size_t)VALUES * VALUE_BYTES * 2);
    ssize_t heard = 1;
    size_t len = 0;
    while (heard > 0) {
        heard = hear(fd, text, sizeof text);
        memcpy(rest + len, text, heard > 0 ? (size_t)heard : 0);
        len += heard > 0 ? (size_t)heard : 0;
    }
    assert_null(memmem(rest, len, "\r\n0\r\n\r\n", 7)); /* nobody takes it for the whole */
    mem_free(rest);
    (void)close(fd);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_whole_keyspace_comes_a_little_at_a_time),
        cmocka_unit_test(who_asks_for_more_than_all_may_hold_is_told_so),
        cmocka_unit_test(the_same_over_grpc),
        cmocka_unit_test(the_same_in_v2),
        cmocka_unit_test(both_share_what_they_may_hold),
        cmocka_unit_test(what_only_a_client_holds_is_bounded),
        cmocka_unit_test(a_stop_cuts_what_is_half_sent),
    };
    return cmocka_run_group_tests(tests, open_full, NULL);
}
