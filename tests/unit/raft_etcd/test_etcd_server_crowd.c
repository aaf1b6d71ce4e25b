/* Clients that stay keep nobody out who only asks and goes. */
#include "hostile_fixture.h"

#include "base/net/http1.h"
#include "base/net/http2.h"

enum { CROWD_MAX = 640 };

static int crowd[CROWD_MAX];
static unsigned crowd_count;

static void open_all(void)
{
    allow_connections(CROWD_MAX);
    crowd_count = 0;
    begin(true);
    start();
    wait_served();
}

static void close_all_of_it(void)
{
    for (unsigned i = 0; i < crowd_count; i++) {
        (void)close(crowd[i]);
    }
    stop();
    end();
}

static void come(unsigned host, const void *bytes, size_t len)
{
    int fd = dial(host);
    tell_bytes(fd, bytes, len);
    crowd[crowd_count++] = fd;
    turn(3);
}

/* How many of the crowd were told `words`. */
static unsigned told(const char *words, unsigned from)
{
    static char text[4096];
    unsigned count = 0;
    settle();
    for (unsigned i = from; i < crowd_count; i++) {
        ssize_t len = hear(crowd[i], text, sizeof text);
        count += len > 0 && memmem(text, (size_t)len, words, strlen(words)) != NULL;
    }
    return count;
}

/* --- HTTP/1 ----------------------------------------------------------------------------------- */

static const char watch_v3[] = "POST /v3/watch HTTP/1.1\r\nHost: a\r\nContent-Length: 33\r\n\r\n"
                               "{\"create_request\":{\"key\":\"YQ==\"}}";
static const char watch_v2[] = "GET /v2/keys/a?wait=true HTTP/1.1\r\nHost: a\r\n\r\n";

static void silent_watches_leave_room_for_who_asks_and_goes(void **state)
{
    (void)state;
    open_all();
    for (unsigned i = 0; i < HTTP1_CONNECTIONS_MAX; i++) {
        come(2 + i % 4, watch_v3, sizeof watch_v3 - 1);
    }
    assert_int_equal(told("etcdserver: too many streams", 0),
                     HTTP1_CONNECTIONS_MAX - HTTP1_LASTING_MAX);
    is_healthy(1);
    is_healthy(2);
    close_all_of_it();
}

static void those_of_one_address_leave_room_for_their_own(void **state)
{
    (void)state;
    open_all();
    for (unsigned i = 0; i < HTTP1_CONNECTIONS_MAX; i++) {
        come(2, watch_v2, sizeof watch_v2 - 1);
    }
    assert_int_equal(told("etcdserver: too many requests", 0),
                     HTTP1_CONNECTIONS_MAX - HTTP1_LASTING_ADDRESS_MAX);
    is_healthy(2);
    unsigned before = crowd_count;
    come(3, watch_v2, sizeof watch_v2 - 1);
    assert_int_equal(told("X-Etcd-Index", before), 1);
    close_all_of_it();
}

static void a_watch_that_ends_leaves_its_place(void **state)
{
    (void)state;
    open_all();
    for (unsigned i = 0; i < HTTP1_LASTING_ADDRESS_MAX; i++) {
        come(2, watch_v2, sizeof watch_v2 - 1);
    }
    (void)close(crowd[0]);
    settle();
    crowd_count--;
    crowd[0] = crowd[crowd_count];
    unsigned before = crowd_count;
    come(2, watch_v2, sizeof watch_v2 - 1);
    come(2, watch_v2, sizeof watch_v2 - 1);
    assert_int_equal(told("X-Etcd-Index", before), 2); /* of which one is the refusal's head */
    says(post("/v3/kv/put", "{\"key\":\"L2E=\"}"), "HTTP/1.0 200 "); /* every poll is answered */
    settle();
    before = crowd_count;
    come(2, watch_v3, sizeof watch_v3 - 1);
    assert_int_equal(told("\"created\":true", before), 1);
    close_all_of_it();
}

/* --- HTTP/2 ----------------------------------------------------------------------------------- */

static void the_same_over_http2(void **state)
{
    (void)state;
    static const char create[] = "\0\0\0\0\5\x0a\x03\x0a\x01\x61";
    struct buf watch = BUF_INIT;
    struct buf health = BUF_INIT;
    unsigned refused = 0;
    put_request(&watch, "POST", "/etcdserverpb.Watch/Watch", "application/grpc",
                span_of(create, sizeof create - 1));
    put_request(&health, "GET", "/health", "text/plain", span_of(NULL, 0));
    open_all();
    for (unsigned i = 0; i < HTTP2_CONNECTIONS_MAX; i++) {
        come(2 + i % 4, watch.data, watch.len);
    }
    settle();
    for (unsigned i = 0; i < crowd_count; i++) {
        refused += was_refused(crowd[i]);
    }
    assert_int_equal(refused, HTTP2_CONNECTIONS_MAX - HTTP2_LASTING_MAX);
    unsigned before = crowd_count;
    come(2, health.data, health.len);
    assert_int_equal(told("{\"health\":\"true\"", before), 1);
    buf_free(&watch);
    buf_free(&health);
    close_all_of_it();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(silent_watches_leave_room_for_who_asks_and_goes),
        cmocka_unit_test(those_of_one_address_leave_room_for_their_own),
        cmocka_unit_test(a_watch_that_ends_leaves_its_place),
        cmocka_unit_test(the_same_over_http2),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
