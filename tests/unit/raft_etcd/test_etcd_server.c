/* The listener as a whole, in front of a group of one: it answers in each way, refuses what it
 * cannot do at the start, and leaves nothing behind when it stops, whatever is going on. */
#include "server_fixture.h"

/* --- start ------------------------------------------------------------------------------------ */

static void a_port_that_is_taken_is_named_and_nothing_is_left(void **state)
{
    (void)state;
    begin(false);
    start();
    char listen[32];
    (void)snprintf(listen, sizeof listen, "127.0.0.1:%u", etcd_server_port(server));
    struct etcd_server_config config = config_of(listen);
    struct etcd_server *second = NULL;
    struct error err = {0};
    assert_int_equal(etcd_server_start(&rig.loop, &config, &second, &err), ERR_BUSY);
    assert_null(second);
    assert_ptr_equal(strstr(err.text, "etcd_server.listen: "), err.text);
    says(err.text, listen);
    stop();
    end();
}

static void an_address_that_is_none_is_refused(void **state)
{
    (void)state;
    begin(false);
    static const char *const wrong[] = {"127.0.0.1", "127.0.0.1:x", "[::1", "192.0.2.1:2379"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct etcd_server_config config = config_of(wrong[i]);
        struct error err = {0};
        assert_int_not_equal(etcd_server_start(&rig.loop, &config, &server, &err), 0);
        assert_ptr_equal(strstr(err.text, "etcd_server.listen: "), err.text);
    }
    end();
}

/* --- requests --------------------------------------------------------------------------------- */

static void without_a_member_it_says_who_it_is_and_no_more(void **state)
{
    (void)state;
    begin(false);
    start();
    says(ask("GET /version HTTP/1.0\r\n\r\n"), "\"etcdserver\"");
    says(ask("GET /health HTTP/1.0\r\n\r\n"), "HTTP/1.0 503 ");
    says(post("/v3/kv/range", "{\"key\":\"YQ==\"}"), "HTTP/1.0 503 ");
    says(ask("GET /nothing HTTP/1.0\r\n\r\n"), "HTTP/1.0 404 ");
    stop();
    end();
}

static void both_dialects_work_on_one_store(void **state)
{
    (void)state;
    begin(true);
    start();
    wait_served();
    says(post("/v3/kv/put", "{\"key\":\"L2E=\",\"value\":\"b25l\"}"), "HTTP/1.0 200 ");
    says(ask("GET /v2/keys/a HTTP/1.0\r\n\r\n"), "\"value\":\"one\"");
    says(ask("PUT /v2/keys/b?value=two HTTP/1.0\r\nContent-Length: 0\r\n\r\n"), "HTTP/1.0 201 ");
    says(post("/v3/kv/range", "{\"key\":\"L2I=\"}"), "\"value\":\"dHdv\"");
    stop();
    end();
}

static void a_body_in_chunks_is_one(void **state)
{
    (void)state;
    begin(true);
    start();
    wait_served();
    says(ask("POST /v3/kv/put HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
             "Transfer-Encoding: chunked\r\n\r\n"
             "10\r\n{\"key\":\"L2E=\",\"v\r\n0d\r\nalue\":\"b25l\"}\r\n0\r\n\r\n"),
         "HTTP/1.1 200 ");
    stop();
    end();
}

static void users_are_asked_for_where_there_is_one(void **state)
{
    (void)state;
    char listen[32];
    begin(true);
    (void)snprintf(listen, sizeof listen, "127.0.0.1:%u", free_port());
    struct etcd_server_config config = config_of(listen);
    config.username = "patroni";
    config.password = "secret";
    start_as(&config);
    wait_served();
    says(post("/v3/kv/range", "{\"key\":\"YQ==\"}"), "user name is empty");
    says(post("/v3/auth/authenticate", "{\"name\":\"patroni\",\"password\":\"wrong\"}"),
         "authentication failed");
    says(post("/v3/auth/authenticate", "{\"name\":\"patroni\",\"password\":\"secret\"}"),
         "\"token\":\"");
    says(ask("GET /v2/keys/a HTTP/1.0\r\n\r\n"), "HTTP/1.0 401 ");
    says(ask("GET /v2/keys/a HTTP/1.0\r\nAuthorization: Basic cGF0cm9uaTpzZWNyZXQ=\r\n\r\n"),
         "HTTP/1.0 404 ");
    stop();
    end();
}

/* --- stop ------------------------------------------------------------------------------------- */

/* A connection on which `request` was sent and `until` came; it stays open. */
static int open_one(const char *request, const char *until)
{
    static struct ask ask;
    uint16_t port = etcd_server_port(server);
    ask = (struct ask){.port = port,
                       .fd = ask_connect(port),
                       .bytes = request,
                       .len = strlen(request),
                       .until = until};
    ask_start(&rig.loop, &ask);
    ask_finish(&rig.loop, &ask);
    assert_non_null(strstr(ask.reply, until));
    return ask.fd;
}

static void ends(int fd)
{
    char rest[4096];
    ssize_t len = 1;
    while (len > 0) {
        len = recv(fd, rest, sizeof rest, 0);
    }
    assert_int_equal(len, 0);
    (void)close(fd);
}

static void ends_with(int fd, const char *words)
{
    static char reply[4096];
    size_t at = 0;
    ssize_t len = 1;
    while (len > 0) {
        len = recv(fd, reply + at, sizeof reply - 1 - at, 0);
        at += len > 0 ? (size_t)len : 0;
    }
    reply[at] = '\0';
    says(reply, words);
    (void)close(fd);
}

static void watches_of_both_dialects_end_with_it(void **state)
{
    (void)state;
    begin(true);
    start();
    wait_served();
    static const char v3[] = "POST /v3/watch HTTP/1.1\r\nHost: a\r\nContent-Length: 33\r\n\r\n"
                             "{\"create_request\":{\"key\":\"YQ==\"}}";
    int watch = open_one(v3, "\"created\":true");
    int poll = open_one("GET /v2/keys/a?wait=true HTTP/1.1\r\nHost: a\r\n\r\n", "X-Etcd-Index");
    int idle = open_one("GET /version HTTP/1.1\r\nHost: a\r\n\r\n", "\r\n\r\n{");
    stop();
    ends_with(watch, "etcdserver: server stopped");
    ends(poll);
    ends(idle);
    end();
}

static void it_stops_at_once_where_nobody_can_answer(void **state)
{
    (void)state;
    char listen[32];
    begin(false); /* no member: requests wait for a leader, longer than a stop may take */
    (void)snprintf(listen, sizeof listen, "127.0.0.1:%u", free_port());
    struct etcd_server_config config = config_of(listen);
    config.election_timeout_ms = STOP_MS;
    start_as(&config);
    static const char put[] = "POST /v3/kv/put HTTP/1.1\r\nHost: a\r\nContent-Length: 14\r\n\r\n"
                              "{\"key\":\"YQ==\"}";
    int fd = ask_connect(etcd_server_port(server));
    /* The second one of it comes while the first is being answered. */
    assert_int_equal(send(fd, put, sizeof put - 1, 0), sizeof put - 1);
    assert_int_equal(send(fd, put, sizeof put - 1, 0), sizeof put - 1);
    for (int i = 0; i < 20; i++) {
        (void)uv_run(&rig.loop, UV_RUN_ONCE);
    }
    stop();
    ends_with(fd, "\"message\":\"etcdserver: server stopped\",\"code\":14}");
    end();
}

/* Frames of HTTP/2: the type is the fourth byte after a length of three. */
static bool has_frame(const struct ask *ask, uint8_t type)
{
    size_t at = 0;
    const uint8_t *bytes = (const uint8_t *)ask->reply;
    while (at + 9 <= ask->reply_len) {
        size_t len = (size_t)bytes[at] << 16 | (size_t)bytes[at + 1] << 8 | bytes[at + 2];
        if (bytes[at + 3] == type) {
            return true;
        }
        at += 9 + len;
    }
    return false;
}

static void clients_of_http2_are_sent_away(void **state)
{
    (void)state;
    begin(false);
    start();
    static const char hello[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
                                "\0\0\0\4\0\0\0\0\0"; /* SETTINGS */
    static struct ask ask;
    uint16_t port = etcd_server_port(server);
    ask = (struct ask){
        .port = port, .fd = ask_connect(port), .bytes = hello, .len = sizeof hello - 1};
    ask_start(&rig.loop, &ask);
    for (int i = 0; i < 30; i++) {
        (void)uv_run(&rig.loop, UV_RUN_ONCE);
    }
    stop();
    ask_finish(&rig.loop, &ask);
    assert_true(ask.closed);
    assert_true(has_frame(&ask, 7)); /* GOAWAY */
    (void)close(ask.fd);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_port_that_is_taken_is_named_and_nothing_is_left),
        cmocka_unit_test(an_address_that_is_none_is_refused),
        cmocka_unit_test(without_a_member_it_says_who_it_is_and_no_more),
        cmocka_unit_test(both_dialects_work_on_one_store),
        cmocka_unit_test(a_body_in_chunks_is_one),
        cmocka_unit_test(users_are_asked_for_where_there_is_one),
        cmocka_unit_test(watches_of_both_dialects_end_with_it),
        cmocka_unit_test(it_stops_at_once_where_nobody_can_answer),
        cmocka_unit_test(clients_of_http2_are_sent_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
