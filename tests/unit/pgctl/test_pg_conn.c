/* When a connection tells what became of it: exactly once, never inside the call that asked. */
#include "pgctl/sql/pg_conn.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include <cmocka.h>

struct seen {
    int calls;
    int rc;
};

static void on_done(void *arg, int rc, struct pg_answer *answer, const struct error *err)
{
    struct seen *seen = arg;
    (void)answer;
    assert_int_equal(rc, err->code);
    seen->calls++;
    seen->rc = rc;
}

/* Takes connections and says nothing. */
static int silent_server(uint16_t *ret_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 5), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    *ret_port = ntohs(address.sin_port);
    return fd;
}

static struct pg_conn *open_to(uv_loop_t *loop, uint16_t port, int64_t timeout_ms,
                               struct seen *seen)
{
    struct pg_conn_target target = {.host = "127.0.0.1",
                                    .port = port,
                                    .user = "nobody",
                                    .database = "none",
                                    .application_name = "test"};
    struct pg_conn *conn = NULL;
    *seen = (struct seen){0};
    assert_int_equal(pg_conn_open(loop, &target, timeout_ms, on_done, seen, &conn, NULL), 0);
    assert_non_null(conn);
    return conn;
}

static void loop_end(uv_loop_t *loop)
{
    assert_int_equal(uv_run(loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(loop), 0);
}

/* libuv refuses to poll a descriptor that one of its handles has: so the number that libpq's socket
 * will have is taken before, by one that is closed behind libuv's back. */
static void a_socket_that_cannot_be_polled_is_told_later(void **state)
{
    uv_loop_t loop;
    uv_poll_t squatter;
    uint16_t port = 0;
    struct seen seen;
    int ends[2];
    (void)state;
    assert_int_equal(uv_loop_init(&loop), 0);
    int server = silent_server(&port);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    assert_int_equal(uv_poll_init(&loop, &squatter, ends[0]), 0);
    assert_int_equal(uv_poll_start(&squatter, UV_READABLE, NULL), 0);
    assert_int_equal(close(ends[0]), 0);
    struct pg_conn *conn = open_to(&loop, port, 5000, &seen);
    assert_int_equal(seen.calls, 0);
    uv_close((uv_handle_t *)&squatter, NULL);
    while (seen.calls == 0) {
        (void)uv_run(&loop, UV_RUN_ONCE);
    }
    assert_int_equal(seen.rc, ERR_IO);
    assert_false(pg_conn_usable(conn));
    pg_conn_free(conn);
    loop_end(&loop);
    assert_int_equal(seen.calls, 1);
    (void)close(ends[1]);
    (void)close(server);
}

static void a_silent_server_costs_the_time_it_was_given(void **state)
{
    uv_loop_t loop;
    uint16_t port = 0;
    struct seen seen;
    (void)state;
    assert_int_equal(uv_loop_init(&loop), 0);
    int server = silent_server(&port);
    struct pg_conn *conn = open_to(&loop, port, 50, &seen);
    assert_int_equal(seen.calls, 0);
    while (seen.calls == 0) {
        (void)uv_run(&loop, UV_RUN_ONCE);
    }
    assert_int_equal(seen.rc, ERR_TIMEOUT);
    pg_conn_free(conn);
    loop_end(&loop);
    assert_int_equal(seen.calls, 1);
    (void)close(server);
}

/* Nobody listens: libpq knows it at the latest at its second look. */
static void a_refusal_is_told_later(void **state)
{
    uv_loop_t loop;
    uint16_t port = 0;
    struct seen seen;
    (void)state;
    assert_int_equal(uv_loop_init(&loop), 0);
    (void)close(silent_server(&port));
    struct pg_conn *conn = open_to(&loop, port, 5000, &seen);
    assert_int_equal(seen.calls, 0);
    while (seen.calls == 0) {
        (void)uv_run(&loop, UV_RUN_ONCE);
    }
    assert_int_not_equal(seen.rc, 0);
    pg_conn_free(conn);
    loop_end(&loop);
    assert_int_equal(seen.calls, 1);
    pg_conn_free(NULL);
}

static void freed_before_the_end_nothing_is_told(void **state)
{
    uv_loop_t loop;
    uint16_t port = 0;
    struct seen seen;
    (void)state;
    assert_int_equal(uv_loop_init(&loop), 0);
    int server = silent_server(&port);
    pg_conn_free(open_to(&loop, port, 5000, &seen));
    loop_end(&loop);
    assert_int_equal(seen.calls, 0);
    (void)close(server);
}

/* libpq has a word for a password file that is no file, at each connection, on our log's stream;
 * and one that the environment names is not ours. */
static void libpq_says_nothing_on_the_log(void **state)
{
    uv_loop_t loop;
    uint16_t port = 0;
    struct seen seen;
    char said[256] = "";
    int log[2];
    (void)state;
    assert_int_equal(uv_loop_init(&loop), 0);
    int server = silent_server(&port);
    assert_int_equal(pipe(log), 0);
    int kept = dup(STDERR_FILENO);
    assert_true(dup2(log[1], STDERR_FILENO) >= 0);
    assert_int_equal(setenv("PGPASSFILE", "/dev/null", 1), 0);
    pg_conn_free(open_to(&loop, port, 5000, &seen));
    assert_true(dup2(kept, STDERR_FILENO) >= 0);
    (void)close(kept);
    (void)close(log[1]);
    assert_true(read(log[0], said, sizeof said - 1) >= 0);
    assert_string_equal(said, "");
    (void)close(log[0]);
    (void)close(server);
    loop_end(&loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_socket_that_cannot_be_polled_is_told_later),
        cmocka_unit_test(a_silent_server_costs_the_time_it_was_given),
        cmocka_unit_test(a_refusal_is_told_later),
        cmocka_unit_test(freed_before_the_end_nothing_is_told),
        cmocka_unit_test(libpq_says_nothing_on_the_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
