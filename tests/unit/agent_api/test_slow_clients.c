/* Slow, silent and oversized clients (as many as there may be connections, from two addresses, and
 * back as soon as they are thrown out) never delay the health check of somebody else beyond 100 ms.
 *
 * Counted is what the server takes, not what the machine takes from it: the time that the two
 * threads stood ready and did not run is subtracted. */
#include "tests/unit/agent_api/api_fixture.h"

#include "base/net/http1.h"

#include <errno.h>
#include <sys/resource.h>
#include <sys/syscall.h>

enum {
    ATTACKERS = HTTP1_CONNECTIONS_MAX + 64,
    RETURNS_MAX = 64, /* connections made anew in one round */
    RESTLESS = 16,
    ROUND_MS = 5,
    ROUNDS_FIRST = 20, /* all are there, and some are back */
    TRIES = 50,
    TRIES_HAPROXY = 10,
    ANSWER_MS_MAX = 100,
    LARGE_BYTES = 512 * 1024,
    PIECE_BYTES = 65536,
};

/* What one attacker does: says `opening` once, then `piece` in every round. */
struct attack {
    const char *opening;
    const char *piece;
    size_t piece_len;
    bool small_window;
    bool restless;    /* some leave in every round, and come back */
    bool must_return; /* the server throws them out: they come back */
};

static struct {
    const struct attack *attack;
    pthread_t thread;
    int stop[2];
    bool running;
    int fds[ATTACKERS];
    atomic_uint rounds;
    atomic_uint returns;
} attackers;

static char filler[PIECE_BYTES];
static pid_t server_tid;

/* --- those who attack ------------------------------------------------------------------------- */

static int attacker_connect(int number)
{
    struct sockaddr_in from = {.sin_family = AF_INET,
                               .sin_addr = {htonl(INADDR_LOOPBACK + 1 + (unsigned)number % 2)}};
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(rig.port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int bytes = 2048;
    if (fd < 0) {
        return -1;
    }
    if (attackers.attack->small_window) {
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    }
    if (bind(fd, (struct sockaddr *)&from, sizeof from) != 0 ||
        (connect(fd, (struct sockaddr *)&to, sizeof to) != 0 && errno != EINPROGRESS)) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

/* False: the server has closed it. */
static bool attacker_send(int fd, const char *bytes, size_t len)
{
    ssize_t sent = len == 0 ? 0 : send(fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
    return sent >= 0 || errno == EAGAIN;
}

static bool attacker_is_closed(int fd)
{
    struct pollfd look = {.fd = fd, .events = POLLRDHUP};
    return poll(&look, 1, 0) == 1 && (look.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

static void attack_round(void)
{
    const struct attack *attack = attackers.attack;
    int returns = 0;
    for (int i = 0; attack->restless && i < RESTLESS; i++) {
        int *fd = &attackers.fds[(attackers.rounds * RESTLESS + (unsigned)i) % ATTACKERS];
        if (*fd >= 0) {
            (void)close(*fd);
            *fd = -1;
        }
    }
    for (int i = 0; i < ATTACKERS; i++) {
        int *fd = &attackers.fds[i];
        if (*fd >= 0 &&
            (!attacker_send(*fd, attack->piece, attack->piece_len) || attacker_is_closed(*fd))) {
            (void)close(*fd);
            *fd = -1;
        }
        if (*fd < 0 && returns < RETURNS_MAX) {
            returns++;
            attackers.returns++;
            *fd = attacker_connect(i);
            if (*fd >= 0) {
                (void)attacker_send(*fd, attack->opening, strlen(attack->opening));
            }
        }
    }
    attackers.rounds++;
}

static void *attackers_run(void *arg)
{
    struct pollfd stop = {.fd = attackers.stop[0], .events = POLLIN};
    (void)arg;
    while (poll(&stop, 1, ROUND_MS) == 0) {
        attack_round();
        (void)pthread_mutex_lock(&rig.lock);
        rig_signal();
        (void)pthread_mutex_unlock(&rig.lock);
    }
    return NULL;
}

static void attack_start(const struct attack *attack)
{
    attackers.attack = attack;
    attackers.rounds = attackers.returns = 0;
    for (int i = 0; i < ATTACKERS; i++) {
        attackers.fds[i] = -1;
    }
    assert_int_equal(pipe(attackers.stop), 0);
    assert_int_equal(pthread_create(&attackers.thread, NULL, attackers_run, NULL), 0);
    attackers.running = true;
    (void)pthread_mutex_lock(&rig.lock);
    while (attackers.rounds < ROUNDS_FIRST) {
        rig_wait();
    }
    (void)pthread_mutex_unlock(&rig.lock);
}

static void attack_stop(void)
{
    attackers.running = false;
    (void)close(attackers.stop[1]); /* the end of the pipe can be read */
    (void)pthread_join(attackers.thread, NULL);
    (void)close(attackers.stop[0]);
    for (int i = 0; i < ATTACKERS; i++) {
        if (attackers.fds[i] >= 0) {
            (void)close(attackers.fds[i]);
        }
    }
}

/* --- the one who asks for health -------------------------------------------------------------- */

/* How long a thread of this process stood ready without a processor so far; 0 = nobody knows. */
static int64_t stood_ready_us(pid_t tid)
{
    char path[64];
    long long delay_ns = 0;
    (void)snprintf(path, sizeof path, "/proc/self/task/%d/schedstat", (int)tid);
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        return 0;
    }
    int got = fscanf(file, "%*u %lld", &delay_ns);
    (void)fclose(file);
    return got == 1 ? delay_ns / 1000 : 0;
}

static int64_t now_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void expect_quick_answers(int tries, const char *request, const char *answer)
{
    pid_t own_tid = (pid_t)syscall(SYS_gettid);
    int64_t worst_us = 0;
    for (int i = 0; i < tries; i++) {
        int64_t lost_us = stood_ready_us(own_tid) + stood_ready_us(server_tid);
        int64_t began_us = now_us();
        assert_string_equal(rig_ask(request), answer);
        int64_t took_us = now_us() - began_us;
        lost_us = stood_ready_us(own_tid) + stood_ready_us(server_tid) - lost_us;
        worst_us = took_us - lost_us > worst_us ? took_us - lost_us : worst_us;
        if (took_us - lost_us > ANSWER_MS_MAX * 1000) {
            fail_msg("answer %d took %lld us, %lld us of them without a processor", i,
                     (long long)took_us, (long long)lost_us);
        }
    }
    print_message("           worst of %d: %lld us, %u connections came back\n", tries,
                  (long long)worst_us, (unsigned)attackers.returns);
}

static void expect_health_under(const struct attack *attack)
{
    attack_start(attack);
    expect_quick_answers(TRIES_HAPROXY, "OPTIONS /primary HTTP/1.0\r\n\r\n",
                         "HTTP/1.0 200 OK\r\n\r\n");
    expect_quick_answers(TRIES, "GET /primary HTTP/1.0\r\n\r\n",
                         "HTTP/1.0 200 OK\r\nServer: pgquorum\r\nContent-Type: application/json\r\n"
                         "Content-Length: 20\r\n\r\n{\"state\": \"running\"}");
    attack_stop();
    if (attack->must_return) {
        assert_true(attackers.returns > ATTACKERS);
    }
}

/* --- tests ------------------------------------------------------------------------------------ */

static void read_tid(void *arg)
{
    *(pid_t *)arg = (pid_t)syscall(SYS_gettid);
}

static char *large_text(const char *head, const char *tail)
{
    char *text = mem_alloc(LARGE_BYTES + 1);
    memset(text, 'x', LARGE_BYTES);
    memcpy(text, head, strlen(head));
    memcpy(text + LARGE_BYTES - strlen(tail), tail, strlen(tail));
    return text;
}

static int start(void **state)
{
    struct rlimit files;
    int rc = rig_start(state);
    if (rc != 0 || getrlimit(RLIMIT_NOFILE, &files) != 0) {
        return -1;
    }
    files.rlim_cur = files.rlim_max; /* both ends of all connections are in this process */
    (void)setrlimit(RLIMIT_NOFILE, &files);
    memset(filler, 'x', sizeof filler);
    rig_call(read_tid, &server_tid);
    struct api_status *status = rig_primary();
    mem_free(status->cluster_document);
    rig.metrics = large_text("# HELP ", "\n");
    status->cluster_document = large_text("{\"x\": \"", "\"}");
    rig_publish(status);
    return 0;
}

static int finish(void **state)
{
    if (attackers.running) { /* the test has failed */
        attack_stop();
    }
    mem_free((char *)(uintptr_t)rig.metrics);
    return rig_finish(state);
}

static void silent_connections_in_full_number(void **state)
{
    static const struct attack attack = {.opening = "", .must_return = true};
    (void)state;
    expect_health_under(&attack);
}

static void heads_that_come_byte_by_byte(void **state)
{
    static const struct attack attack = {.opening = "GET /primary HTTP/1.1\r\nX: ",
                                         .piece = "x",
                                         .piece_len = 1,
                                         .must_return = true};
    (void)state;
    expect_health_under(&attack);
}

/* Whom the server throws out does not see it behind what it has not read: so they come back of
 * themselves. */
static void large_answers_that_nobody_reads(void **state)
{
    static const struct attack metrics = {.opening = "GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n"
                                                     "GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n",
                                          .small_window = true,
                                          .restless = true,
                                          .must_return = true};
    static const struct attack cluster = {.opening = "GET /cluster HTTP/1.0\r\n\r\n",
                                          .small_window = true,
                                          .restless = true,
                                          .must_return = true};
    (void)state;
    expect_health_under(&metrics);
    expect_health_under(&cluster);
}

static void heads_of_a_mebibyte(void **state)
{
    static const struct attack attack = {.opening = "GET /primary HTTP/1.1\r\nX: ",
                                         .piece = filler,
                                         .piece_len = 4096,
                                         .must_return = true};
    (void)state;
    expect_health_under(&attack);
}

static void chunked_bodies_without_end(void **state)
{
    static const struct attack attack = {
        .opening = "PATCH /config HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
        .piece = "4\r\nxxxx\r\n",
        .piece_len = 9,
        .must_return = true};
    (void)state;
    expect_health_under(&attack);
}

static void bodies_of_a_mebibyte_that_do_not_end(void **state)
{
    static const struct attack attack = {
        .opening = "PATCH /config HTTP/1.1\r\nHost: h\r\nContent-Length: 1048576\r\n\r\n",
        .piece = filler,
        .piece_len = 4096,
        .must_return = true};
    (void)state;
    expect_health_under(&attack);
}

static void requests_without_pause_and_answers_not_read(void **state)
{
    static const struct attack attack = {
        .opening = "GET /explain HTTP/1.1\r\nHost: h\r\n\r\n",
        .piece = "GET /explain HTTP/1.1\r\nHost: h\r\n\r\nOPTIONS / HTTP/1.1\r\nHost: h\r\n\r\n",
        .piece_len = 65,
        .must_return = true};
    (void)state;
    assert_int_equal(strlen(attack.piece), attack.piece_len);
    expect_health_under(&attack);
}

/* Each takes the loop for as long as the largest patch there may be: health checks pass them by. */
static void dear_requests_without_pause(void **state)
{
    static const struct attack attack = {
        .opening = "PATCH /config HTTP/1.0\r\nContent-Length: 8\r\n\r\n{\"a\": 1}",
        .must_return = true};
    (void)state;
    rig.burn_ms = 10;
    rig.refuse_rc = ERR_INVALID;
    rig.refuse_text = "a: no";
    expect_health_under(&attack);
}

/* 100 bodies of 896 KiB would be 87 MiB. */
static void what_all_clients_together_make_us_hold_is_bounded(void **state)
{
    enum {
        BODIES = 100,
        PIECES = 1048576 / PIECE_BYTES,
        BODY_PIECES = PIECES - 2,
        LEFT_MAX = HTTP1_HELD_BYTES_MAX / (900 * 1024) + 1
    };
    static const char head[] =
        "POST /switchover HTTP/1.1\r\nHost: h\r\nContent-Length: 1048576\r\n\r\n";
    struct pollfd fds[BODIES];
    int left = BODIES;
    (void)state;
    for (int i = 0; i < BODIES; i++) {
        fds[i] = (struct pollfd){.fd = rig_client(), .events = POLLRDHUP};
        rig_say(fds[i].fd, head);
        for (int piece = 0; piece < BODY_PIECES; piece++) {
            rig_say_bytes(fds[i].fd, filler, sizeof filler);
        }
    }
    while (left > LEFT_MAX) {
        assert_true(poll(fds, BODIES, RIG_WAIT_MS) > 0);
        for (int i = 0; i < BODIES; i++) {
            if (fds[i].fd >= 0 && fds[i].revents != 0) {
                (void)close(fds[i].fd);
                fds[i].fd = -1;
                left--;
            }
        }
    }
    /* The last one is among those who are left: it may still end its body. */
    assert_true(fds[BODIES - 1].fd >= 0);
    for (int piece = BODY_PIECES; piece < PIECES; piece++) {
        rig_say_bytes(fds[BODIES - 1].fd, filler, sizeof filler);
    }
    assert_int_equal(rig_code(rig_hear(fds[BODIES - 1].fd, "\r\n\r\n", 1)), 400);
    for (int i = 0; i < BODIES; i++) {
        if (fds[i].fd >= 0) {
            (void)close(fds[i].fd);
        }
    }
}

int main(void)
{
#define WITH_LARGE(name) cmocka_unit_test_setup_teardown(name, start, finish)
    const struct CMUnitTest tests[] = {
        WITH_LARGE(silent_connections_in_full_number),
        WITH_LARGE(heads_that_come_byte_by_byte),
        WITH_LARGE(large_answers_that_nobody_reads),
        WITH_LARGE(heads_of_a_mebibyte),
        WITH_LARGE(chunked_bodies_without_end),
        WITH_LARGE(bodies_of_a_mebibyte_that_do_not_end),
        WITH_LARGE(requests_without_pause_and_answers_not_read),
        WITH_LARGE(dear_requests_without_pause),
        WITH_LARGE(what_all_clients_together_make_us_hold_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
