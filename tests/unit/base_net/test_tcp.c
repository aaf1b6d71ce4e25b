/* Listening and connecting: which address, which error, and cancellation at every step. */
#include "base/net/tcp.h"

#include "tests/harness/free_port.h"
#include "tests/unit/base_net/hung_pool.h"
#include "tests/unit/base_net/silent_port.h"
#include "tests/unit/base_net/tcp_fixture.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netdb.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* A label of 64 bytes: no resolver asks anybody for it. */
#define NO_NAME "aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbccccccccccccccccdddddddddddddddd"

/* --- connecting ------------------------------------------------------------------------------- */

static void connect_to(struct connecting *connecting, const char *host, uint16_t port,
                       const struct net_addr *from)
{
    connect_begin(connecting, host, port, from, CONNECT_MS);
    RUN_UNTIL(connecting->calls > 0);
}

static void a_refused_connection_names_address_and_cause(void **state)
{
    struct connecting connecting;
    char expected[128];
    uint16_t port = free_port();
    (void)state;
    connect_to(&connecting, "127.0.0.1", port, NULL);
    assert_int_equal(connecting.rc, ERR_REFUSED);
    assert_int_equal(connecting.err.code, ERR_REFUSED);
    (void)snprintf(expected, sizeof expected, "connect 127.0.0.1:%u: connection refused", port);
    assert_string_equal(connecting.err.text, expected);
}

static void a_name_that_is_none_fails_to_connect(void **state)
{
    struct connecting connecting;
    (void)state;
    connect_to(&connecting, NO_NAME, 1, NULL);
    assert_int_equal(connecting.rc, ERR_NOT_FOUND);
    assert_non_null(strstr(connecting.err.text, ": looking up 'aaaa"));
    assert_int_equal(strncmp(connecting.err.text, "connect aaaa", 12), 0);
}

static void a_connection_leaves_from_the_address_it_was_given(void **state)
{
    struct net_addr from = {.host = "127.0.0.2", .port = 4321}; /* the port is not used */
    struct connecting connecting;
    (void)state;
    connect_to(&connecting, "127.0.0.1", listener_port(), &from);
    assert_int_equal(connecting.rc, 0);
    (void)end_of(&connecting);
    RUN_UNTIL(accepted_count > 0);
    assert_int_equal(strncmp(stream_peer(accepted[0].stream)->text, "127.0.0.2:", 10), 0);
    assert_int_not_equal(stream_peer(accepted[0].stream)->port, 4321);
}

static void an_address_to_leave_from_that_is_not_ours_fails(void **state)
{
    static const char *const hosts[] = {"192.0.2.1", "::1"}; /* nobody's; another family's */
    (void)state;
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
        struct net_addr from = {.port = 1};
        struct connecting connecting;
        (void)snprintf(from.host, sizeof from.host, "%s", hosts[i]);
        connect_to(&connecting, "127.0.0.1", listener_port(), &from);
        assert_int_not_equal(connecting.rc, 0);
        assert_null(connecting.stream);
        assert_non_null(strstr(connecting.err.text, "connect 127.0.0.1:"));
    }
}

static void connecting_without_port_or_time_is_refused_at_once(void **state)
{
    struct connecting connecting = {0};
    struct tcp_connect *handle = NULL;
    struct tcp_connect_options no_port = {.to = {.host = "127.0.0.1"}, .timeout_ms = 1};
    struct tcp_connect_options no_time = {.to = {.host = "127.0.0.1", .port = 1}};
    struct error err = {0};
    (void)state;
    assert_int_equal(tcp_connect_start(&loop, &no_port, on_connect, &connecting, &handle, &err),
                     ERR_INVALID);
    assert_int_equal(tcp_connect_start(&loop, &no_time, on_connect, &connecting, &handle, &err),
                     ERR_INVALID);
    assert_null(handle);
    assert_int_equal(connecting.calls, 0);
}

static void a_silent_address_costs_the_time_it_was_given(void **state)
{
    struct connecting connecting;
    struct silent_port silent = silent_port_open();
    (void)state;
    uv_update_time(&loop);
    uint64_t began_ms = uv_now(&loop);
    connect_begin(&connecting, "127.0.0.1", silent.port, NULL, 60);
    RUN_UNTIL(connecting.calls > 0);
    assert_int_equal(connecting.rc, ERR_TIMEOUT);
    assert_non_null(strstr(connecting.err.text, ": timed out"));
    assert_true(uv_now(&loop) - began_ms >= 60);
    silent_port_close(&silent);
}

/* Turn by turn further: before the lookup, in it, while it connects, and when it is too late. */
static void canceling_ends_a_connect_at_every_step(void **state)
{
    struct net_addr from = {.host = "127.0.0.1", .port = 1};
    struct silent_port silent = silent_port_open();
    (void)state;
    for (int with_from = 0; with_from <= 1; with_from++) {
        for (int turns = 0; turns < 8; turns++) {
            struct connecting connecting;
            connect_begin(&connecting, "127.0.0.1", silent.port, with_from ? &from : NULL,
                          CONNECT_MS);
            for (int i = 0; i < turns; i++) {
                (void)uv_run(&loop, UV_RUN_NOWAIT);
                assert_int_equal(connecting.calls, 0);
            }
            tcp_connect_cancel(connecting.handle);
            assert_int_equal(connecting.calls, 0); /* not from inside the call either */
            RUN_UNTIL(connecting.calls > 0);
            (void)uv_run(&loop, UV_RUN_NOWAIT);
            assert_int_equal(connecting.calls, 1);
            assert_int_equal(connecting.rc, ERR_CANCELED);
            assert_non_null(strstr(connecting.err.text, "canceled"));
        }
    }
    silent_port_close(&silent);
}

static void canceling_ends_a_connect_that_waits_for_a_name(void **state)
{
    struct connecting connecting;
    (void)state;
    pool_hang(&loop);
    connect_begin(&connecting, "localhost", 1, NULL, CONNECT_MS);
    (void)uv_run(&loop, UV_RUN_NOWAIT); /* the lookup begins */
    tcp_connect_cancel(connecting.handle);
    assert_int_equal(connecting.calls, 0);
    RUN_UNTIL(connecting.calls > 0);
    assert_int_equal(connecting.rc, ERR_CANCELED);
    pool_go_on(&loop);
    assert_int_equal(connecting.calls, 1);
}

static void a_name_server_that_hangs_costs_the_time_it_was_given(void **state)
{
    struct connecting connecting;
    (void)state;
    pool_hang(&loop);
    connect_begin(&connecting, "localhost", 1, NULL, 20);
    RUN_UNTIL(connecting.calls > 0);
    assert_int_equal(connecting.rc, ERR_TIMEOUT);
    assert_string_equal(connecting.err.text,
                        "connect localhost:1: looking up 'localhost': timed out");
    pool_go_on(&loop);
    assert_int_equal(connecting.calls, 1);
}

/* The same against one who answers: it may have connected first, but never both. */
static void a_cancel_that_races_with_success_leaves_one_of_them(void **state)
{
    (void)state;
    int canceled = 0;
    for (int turns = 0; turns < 8; turns++) {
        struct connecting connecting;
        connect_begin(&connecting, "127.0.0.1", listener_port(), NULL, CONNECT_MS);
        for (int i = 0; i < turns && connecting.calls == 0; i++) {
            (void)uv_run(&loop, UV_RUN_NOWAIT);
        }
        if (connecting.calls == 0) {
            tcp_connect_cancel(connecting.handle);
            RUN_UNTIL(connecting.calls > 0);
            assert_int_equal(connecting.rc, ERR_CANCELED);
            canceled++;
        } else {
            assert_int_equal(connecting.rc, 0);
            stream_close(connecting.stream, NULL, NULL);
        }
    }
    assert_true(canceled > 0);
}

/* --- listening -------------------------------------------------------------------------------- */

static void a_port_in_use_is_said_so(void **state)
{
    struct net_addr addr = {.host = "127.0.0.1", .port = listener_port()};
    struct tcp_listener *second = NULL;
    struct error err = {0};
    char expected[128];
    (void)state;
    assert_int_equal(
        tcp_listener_start(&loop, &addr, 1, &plain_options, on_accept, NULL, &second, &err),
        ERR_BUSY);
    assert_null(second);
    (void)snprintf(expected, sizeof expected, "listening on 127.0.0.1:%u: address already in use",
                   addr.port);
    assert_string_equal(err.text, expected);
}

static void an_address_of_nobody_or_a_name_of_none_is_refused(void **state)
{
    struct error err = {0};
    (void)state;
    assert_int_not_equal(listen_at("192.0.2.1", &plain_options, &err), 0);
    assert_non_null(strstr(err.text, "listening on 192.0.2.1:0: "));
    assert_int_equal(listen_at(NO_NAME, &plain_options, &err), ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "looking up 'aaaa"));
    assert_null(listener);
}

static void everybody_is_let_in_at_star(void **state)
{
    struct connecting connecting;
    struct error err = {0};
    (void)state;
    if (listen_at("*", &plain_options, &err) != 0) {
        fail_msg("%s", err.text);
    }
    connect_to(&connecting, "127.0.0.1", listener_port(), NULL);
    assert_int_equal(connecting.rc, 0);
    (void)end_of(&connecting);
    RUN_UNTIL(accepted_count == 1);
    /* As IPv4, though it came to a socket of both families. */
    assert_int_equal(strncmp(stream_peer(accepted[0].stream)->text, "127.0.0.1:", 10), 0);
    connect_to(&connecting, "::1", listener_port(), NULL);
    if (connecting.rc != 0) {
        skip(); /* a host without IPv6 */
    }
    (void)end_of(&connecting);
    RUN_UNTIL(accepted_count == 2);
    assert_int_equal(strncmp(stream_peer(accepted[1].stream)->text, "[::1]:", 6), 0);
}

static void ip6_alone_works_as_well(void **state)
{
    struct connecting connecting;
    struct net_addr from = {.host = "::1", .port = 1};
    (void)state;
    if (listen_at("::", &plain_options, NULL) != 0) {
        skip(); /* a host without IPv6 */
    }
    connect_to(&connecting, "::1", listener_port(), &from);
    assert_int_equal(connecting.rc, 0);
    struct end *near = end_of(&connecting);
    RUN_UNTIL(accepted_count > 0);
    end_read(near);
    assert_int_equal(end_write(&accepted[0], span_str("over six")), 0);
    RUN_UNTIL(near->got.len == 8);
    assert_int_equal(strncmp(stream_peer(near->stream)->text, "[::1]:", 6), 0);
    connect_to(&connecting, "127.0.0.1", listener_port(), NULL);
    assert_int_equal(connecting.rc, ERR_REFUSED); /* it took IPv6 only */
}

static int stops;

static void on_stopped(void *arg)
{
    (void)arg;
    stops++;
}

static void stop_at_accept(void *arg, struct stream *stream)
{
    on_accept(arg, stream);
    tcp_listener_stop(listener, on_stopped, NULL);
    listener = NULL;
}

static void a_listener_may_stop_while_it_accepts_and_its_streams_live_on(void **state)
{
    struct net_addr addr = {.host = "127.0.0.1", .port = 0};
    struct connecting connecting;
    (void)state;
    stops = 0;
    assert_int_equal(
        tcp_listener_start(&loop, &addr, 16, &plain_options, stop_at_accept, NULL, &listener, NULL),
        0);
    uint16_t port = listener_port();
    connect_to(&connecting, "127.0.0.1", port, NULL);
    struct end *near = end_of(&connecting);
    RUN_UNTIL(stops > 0);
    assert_int_equal(stops, 1);
    end_read(near);
    assert_int_equal(end_write(&accepted[0], span_str("alive")), 0);
    RUN_UNTIL(near->got.len == 5);
    connect_to(&connecting, "127.0.0.1", port, NULL);
    assert_int_equal(connecting.rc, ERR_REFUSED);
}

/* Each that is let in brings another one along. */
enum { CROWD = 500 };
static struct {
    int fds[CROWD + 1];
    size_t count;
    size_t let_in;
} crowd;

static void crowd_join(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(listener_port()),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(fd >= 0);
    assert_true(connect(fd, (struct sockaddr *)&address, sizeof address) == 0 ||
                errno == EINPROGRESS);
    crowd.fds[crowd.count++] = fd;
}

static void crowd_accept(void *arg, struct stream *stream)
{
    (void)arg;
    crowd.let_in++;
    stream_close(stream, NULL, NULL);
    if (crowd.count < CROWD) {
        crowd_join();
    }
}

static void those_who_come_while_others_are_let_in_wait_for_the_next_turn(void **state)
{
    enum { BACKLOG = 16, FIRST = 8 };
    struct net_addr addr = {.host = "127.0.0.1"};
    (void)state;
    crowd.count = crowd.let_in = 0;
    assert_int_equal(tcp_listener_start(&loop, &addr, BACKLOG, &plain_options, crowd_accept, NULL,
                                        &listener, NULL),
                     0);
    for (size_t i = 0; i < FIRST; i++) {
        crowd_join();
    }
    while (crowd.let_in == 0) {
        (void)uv_run(&loop, UV_RUN_NOWAIT);
    }
    assert_in_range(crowd.let_in, FIRST, BACKLOG); /* not one a turn, and not without end */
    RUN_UNTIL(crowd.let_in == CROWD);
    for (size_t i = 0; i < crowd.count; i++) {
        (void)close(crowd.fds[i]);
    }
}

static unsigned shortage_count;
static int shortage_errnum;

static void note_shortage(int errnum)
{
    shortage_count++;
    shortage_errnum = errnum;
}

/* Nobody can be let in: that is told, must not make the loop run hot, and ends by itself. */
static void without_descriptors_they_wait(void **state)
{
    enum { LOOK_MS = 500, TURNS_MAX = 100 };
    struct rlimit files;
    unsigned turns = 0;
    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
    int peer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int next = dup(peer);
    struct rlimit none = {.rlim_cur = (rlim_t)next, .rlim_max = files.rlim_max};
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(listener_port()),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(close(next), 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    assert_int_equal(connect(peer, (struct sockaddr *)&address, sizeof address), 0);
    uv_update_time(&loop);
    uint64_t until_ms = uv_now(&loop) + LOOK_MS;
    shortage_count = 0;
    tcp_listeners_on_shortage(note_shortage);
    while (uv_now(&loop) < until_ms) {
        (void)uv_run(&loop, UV_RUN_ONCE);
        turns++;
    }
    tcp_listeners_on_shortage(NULL);
    assert_true(turns < TURNS_MAX);
    assert_int_equal(accepted_count, 0);
    assert_in_range(shortage_count, 1, TURNS_MAX);
    assert_int_equal(shortage_errnum, EMFILE);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
    RUN_UNTIL(accepted_count == 1);
    (void)close(peer);
}

static void peers_that_are_gone_at_once_do_no_harm(void **state)
{
    struct end *far;
    (void)state;
    for (int i = 0; i < 5; i++) { /* each is accepted, or was gone before */
        struct sockaddr_in address = {.sin_family = AF_INET,
                                      .sin_port = htons(listener_port()),
                                      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
        raw_reset(fd);
    }
    (void)close(raw_peer(&far));
}

/* --- other hosts than this one ---------------------------------------------------------------- */

/* From here on this process gets no socket of IPv6, as on a kernel that was built without it. */
static bool forget_ip6(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_INET6, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EAFNOSUPPORT),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof filter / sizeof filter[0], .filter = filter};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0 &&
           socket(AF_INET6, SOCK_STREAM, 0) < 0 && errno == EAFNOSUPPORT;
}

/* From here on this process knows three names: "both" of two families, "two" of one, and "twice"
 * with one address in two lines. */
static bool hosts_file(void)
{
    char path[] = "/tmp/test_tcp_hosts.XXXXXX";
    static const char hosts[] = "::1 both\n127.0.0.1 both\n127.0.0.1 two\n127.0.0.3 two\n"
                                "127.0.0.1 twice\n127.0.0.1 twice\n";
    int fd = mkstemp(path);
    bool done = fd >= 0 && fchmod(fd, 0644) == 0 &&
                write(fd, hosts, sizeof hosts - 1) == (ssize_t)sizeof hosts - 1 &&
                unshare(CLONE_NEWNS) == 0 &&
                mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
                mount(path, "/etc/hosts", NULL, MS_BIND, NULL) == 0;
    if (fd >= 0) {
        (void)close(fd);
        (void)unlink(path);
    }
    return done;
}

enum { CHILD_GOOD = 0, CHILD_BAD = 1, CHILD_CANNOT = 2 };

static int listen_without_ip6(const char *host)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct error err = {0};
    if ((strcmp(host, "both") == 0 && !hosts_file()) || !forget_ip6()) {
        return CHILD_CANNOT;
    }
    if (uv_loop_init(&loop) != 0 || listen_at(host, &plain_options, &err) != 0) {
        (void)dprintf(STDERR_FILENO, "%s\n", err.text);
        return CHILD_BAD;
    }
    address.sin_port = htons(listener_port());
    int peer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return connect(peer, (struct sockaddr *)&address, sizeof address) == 0 ? CHILD_GOOD : CHILD_BAD;
}

static int listen_at_twice(const char *host)
{
    struct error err = {0};
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    if (!hosts_file() || getaddrinfo(host, NULL, &hints, &list) != 0 || list->ai_next == NULL) {
        return CHILD_CANNOT;
    }
    freeaddrinfo(list);
    if (uv_loop_init(&loop) != 0 || listen_at(host, &plain_options, &err) != 0) {
        (void)dprintf(STDERR_FILENO, "%s\n", err.text);
        return CHILD_BAD;
    }
    return CHILD_GOOD;
}

/* One of the name's addresses listens, and which is looked up first is not ours to say. */
static int connect_to_two(const char *listen_host)
{
    struct tcp_connect_options options = {.to = {.host = "two"}, .timeout_ms = CONNECT_MS};
    struct connecting connecting = {0};
    if (!hosts_file()) {
        return CHILD_CANNOT;
    }
    if (uv_loop_init(&loop) != 0 || listen_at(listen_host, &plain_options, NULL) != 0) {
        return CHILD_BAD;
    }
    options.to.port = listener_port();
    if (tcp_connect_start(&loop, &options, on_connect, &connecting, &connecting.handle, NULL) !=
        0) {
        return CHILD_BAD;
    }
    while (connecting.calls == 0) {
        (void)uv_run(&loop, UV_RUN_ONCE);
    }
    (void)dprintf(STDERR_FILENO, "%s\n", connecting.err.text);
    return connecting.rc == 0 && strncmp(stream_peer(connecting.stream)->text, listen_host, 9) == 0
               ? CHILD_GOOD
               : CHILD_BAD;
}

static int outcome_of(int (*act)(const char *host), const char *host)
{
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) {
        _exit(act(host));
    }
    assert_true(pid > 0 && waitpid(pid, &status, 0) == pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void a_host_without_ip6_listens_with_what_it_has(void **state)
{
    (void)state;
    int outcome = outcome_of(listen_without_ip6, "*");
    if (outcome == CHILD_CANNOT) {
        skip(); /* a kernel without seccomp */
    }
    assert_int_equal(outcome, CHILD_GOOD);
    assert_int_equal(outcome_of(listen_without_ip6, "::1"), CHILD_BAD);
}

static void of_a_names_addresses_those_that_the_host_has_are_enough(void **state)
{
    (void)state;
    int outcome = outcome_of(listen_without_ip6, "both");
    if (outcome == CHILD_CANNOT) {
        skip(); /* not root, or a kernel without namespaces */
    }
    assert_int_equal(outcome, CHILD_GOOD);
}

static void an_address_that_a_name_has_twice_is_listened_at_once(void **state)
{
    (void)state;
    int outcome = outcome_of(listen_at_twice, "twice");
    if (outcome == CHILD_CANNOT) {
        skip(); /* not root, a kernel without namespaces, or a resolver that knows better */
    }
    assert_int_equal(outcome, CHILD_GOOD);
}

static void the_next_address_of_a_name_is_tried(void **state)
{
    (void)state;
    int outcome = outcome_of(connect_to_two, "127.0.0.1");
    if (outcome == CHILD_CANNOT) {
        skip(); /* not root, or a kernel without namespaces */
    }
    assert_int_equal(outcome, CHILD_GOOD);
    assert_int_equal(outcome_of(connect_to_two, "127.0.0.3"), CHILD_GOOD);
}

#define OPEN_TEST(name) cmocka_unit_test_setup_teardown(name, fixture_open, fixture_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        /* They fork, so they come before libuv has started its threads. */
        cmocka_unit_test(a_host_without_ip6_listens_with_what_it_has),
        cmocka_unit_test(of_a_names_addresses_those_that_the_host_has_are_enough),
        cmocka_unit_test(an_address_that_a_name_has_twice_is_listened_at_once),
        cmocka_unit_test(the_next_address_of_a_name_is_tried),
        TCP_TEST(a_refused_connection_names_address_and_cause),
        TCP_TEST(a_name_that_is_none_fails_to_connect),
        TCP_TEST(a_connection_leaves_from_the_address_it_was_given),
        TCP_TEST(an_address_to_leave_from_that_is_not_ours_fails),
        TCP_TEST(connecting_without_port_or_time_is_refused_at_once),
        TCP_TEST(a_silent_address_costs_the_time_it_was_given),
        TCP_TEST(canceling_ends_a_connect_at_every_step),
        OPEN_TEST(canceling_ends_a_connect_that_waits_for_a_name),
        OPEN_TEST(a_name_server_that_hangs_costs_the_time_it_was_given),
        TCP_TEST(a_cancel_that_races_with_success_leaves_one_of_them),
        TCP_TEST(a_port_in_use_is_said_so),
        OPEN_TEST(an_address_of_nobody_or_a_name_of_none_is_refused),
        OPEN_TEST(everybody_is_let_in_at_star),
        OPEN_TEST(ip6_alone_works_as_well),
        OPEN_TEST(a_listener_may_stop_while_it_accepts_and_its_streams_live_on),
        OPEN_TEST(those_who_come_while_others_are_let_in_wait_for_the_next_turn),
        TCP_TEST(without_descriptors_they_wait),
        TCP_TEST(peers_that_are_gone_at_once_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
