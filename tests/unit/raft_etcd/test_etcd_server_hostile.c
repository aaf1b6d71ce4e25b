/* Clients that mean harm: a health check beside them is answered, and what they hold is bounded. */
#include "hostile_fixture.h"

#include "base/net/http1.h"

enum { ATTACKERS = 300, GROWTH_KB_MAX = 64 * 1024 };

static int fds[ATTACKERS];

static int open_server(void **state)
{
    (void)state;
    allow_connections(2 * ATTACKERS);
    begin(true);
    start();
    wait_served();
    return 0;
}

static int close_server(void **state)
{
    (void)state;
    stop();
    end();
    return 0;
}

/* Each says the same, and then byte by byte what follows. */
static void attack(const void *bytes, size_t len, const char *slowly)
{
    size_t before_kb = anonymous_kb();
    for (unsigned i = 0; i < ATTACKERS; i++) {
        fds[i] = dial(2 + i % 2);
        tell_bytes(fds[i], bytes, len);
    }
    turn(50);
    is_healthy(2);
    is_healthy(9);
    for (const char *at = slowly; *at != '\0'; at++) {
        for (unsigned i = 0; i < ATTACKERS; i++) {
            tell_bytes(fds[i], at, 1);
        }
        turn(3);
    }
    is_healthy(2);
    is_healthy(9);
    if (memory_is_measured) {
        assert_in_range(anonymous_kb(), 0, before_kb + GROWTH_KB_MAX);
    }
    for (unsigned i = 0; i < ATTACKERS; i++) {
        (void)close(fds[i]);
    }
    settle();
    is_healthy(2);
}

static void attack_with(struct buf *bytes, const char *slowly)
{
    attack(bytes->data, bytes->len, slowly);
    buf_free(bytes);
}

static void silence_and_slow_heads(void **state)
{
    (void)state;
    attack("", 0, "");
    attack("", 0, "GET /health HTT");
    attack("GET /v2/keys/a HTTP/1.1\r\nHost: a\r\n", 35, "X-A: bbbbbbbb");
}

static void slow_and_endless_bodies(void **state)
{
    (void)state;
    static const char head[] =
        "POST /v3/kv/put HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000\r\n\r\n";
    static const char chunked[] = "POST /v3/kv/put HTTP/1.1\r\nHost: a\r\n"
                                  "Transfer-Encoding: chunked\r\n\r\n";
    attack(head, sizeof head - 1, "{\"key\":\"YQ");
    attack(chunked, sizeof chunked - 1, "1\r\na\r\n1\r\nb\r\n1\r\n");
}

static void large_heads_and_garbage(void **state)
{
    (void)state;
    struct buf bytes = BUF_INIT;
    buf_put_str(&bytes, "GET / HTTP/1.1\r\nHost: a\r\nX: ");
    while (bytes.len < 2 * (size_t)HTTP1_HEAD_BYTES_MAX) {
        buf_put_str(&bytes, "xxxxxxxxxxxxxxxx");
    }
    attack_with(&bytes, "yyyy");
    for (unsigned i = 0; i < 8192; i++) {
        buf_put_u8(&bytes, (uint8_t)(i * 167 + i / 256));
    }
    attack_with(&bytes, "zzzz");
    buf_put_str(&bytes, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    for (unsigned i = 0; i < 8192; i++) {
        buf_put_u8(&bytes, (uint8_t)(i * 89 + i / 256));
    }
    attack_with(&bytes, "zzzz");
}

static void floods_of_frames(void **state)
{
    (void)state;
    struct buf bytes = BUF_INIT;
    buf_put(&bytes, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 33);
    for (unsigned i = 0; i < 2000; i++) { /* settings */
        buf_put(&bytes, "\0\0\0\4\0\0\0\0\0", 9);
    }
    attack_with(&bytes, "");
    buf_put(&bytes, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 33);
    for (unsigned i = 0; i < 2000; i++) { /* pings */
        buf_put(&bytes,
                "\0\0\10\6\0\0\0\0\0"
                "12345678",
                17);
    }
    attack_with(&bytes, "");
}

static void calls_that_are_never_whole(void **state)
{
    (void)state;
    struct buf bytes = BUF_INIT;
    /* The message says that it is 1 MiB long. */
    put_request(&bytes, "POST", "/etcdserverpb.KV/Range", "application/grpc",
                span_of("\0\0\20\0\0abc", 8));
    attack_with(&bytes, "");
    put_request(&bytes, "POST", "/etcdserverpb.Watch/Watch", "application/grpc",
                span_of("\0\0\20\0\0abc", 8));
    attack_with(&bytes, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(silence_and_slow_heads),     cmocka_unit_test(slow_and_endless_bodies),
        cmocka_unit_test(large_heads_and_garbage),    cmocka_unit_test(floods_of_frames),
        cmocka_unit_test(calls_that_are_never_whole),
    };
    return cmocka_run_group_tests(tests, open_server, close_server);
}
