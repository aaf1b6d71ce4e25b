/* Those who attack a server of REST, in plain or over TLS, and somebody else who asks it for health
 * meanwhile. As many as there may be connections, from two addresses, and back as soon as they are
 * thrown out.
 *
 * Counted is what the server takes, not what the machine takes from it: the time that the two
 * threads stood ready and did not run is subtracted. */
#ifndef TESTS_AGENT_API_SLOW_CLIENTS_H
#define TESTS_AGENT_API_SLOW_CLIENTS_H

#include "tests/unit/agent_api/api_fixture.h"

#include "base/net/http1.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
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
    ANSWER_MS_MAX = 1000, /* of the slowest, which a busy machine makes slow; who waits for an
                           * attacker waits for a deadline of seconds */
#ifdef __SANITIZE_ADDRESS__
    ANSWER_MS_MOST_MAX = 300,
#else
    ANSWER_MS_MOST_MAX = 100, /* of three quarters of them */
#endif
    LARGE_BYTES = 512 * 1024,
    PIECE_BYTES = 65536,
};

/* What one attacker does: says `opening` once, then `piece` in every round. */
struct attack {
    const char *opening;
    size_t opening_len; /* 0 = the text's */
    const char *piece;
    size_t piece_len;
    bool small_window;
    bool plain;       /* no TLS of it, where the others have it */
    bool restless;    /* some leave in every round, and come back */
    bool must_return; /* the server throws them out: they come back */
};

struct attacker {
    int fd; /* < 0: none */
    SSL *tls;
    bool opened; /* `opening` was said */
};

static struct {
    const struct attack *attack;
    SSL_CTX *tls; /* NULL = in plain; also of who asks for health */
    pthread_t thread;
    int stop[2];
    bool running;
    struct attacker all[ATTACKERS];
    atomic_uint rounds;
    atomic_uint returns;
} attackers;

static char slow_filler[PIECE_BYTES];
static pid_t slow_server_tid;

/* In plain and over TLS alike. */
static const struct attack slow_heads = {
    .opening = "GET /primary HTTP/1.1\r\nX: ", .piece = "x", .piece_len = 1, .must_return = true};
/* Whom the server throws out does not see it behind what it has not read: so they come back of
 * themselves. */
static const struct attack unread_metrics = {.opening = "GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n"
                                                        "GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n",
                                             .small_window = true,
                                             .restless = true,
                                             .must_return = true};
static const struct attack endless_bodies = {
    .opening = "PATCH /config HTTP/1.1\r\nHost: h\r\nContent-Length: 1048576\r\n\r\n",
    .piece = slow_filler,
    .piece_len = 4096,
    .must_return = true};

/* --- those who attack ------------------------------------------------------------------------- */

static inline int attacker_socket(int number)
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

static inline void attacker_leave(struct attacker *attacker)
{
    SSL_free(attacker->tls);
    if (attacker->fd >= 0) {
        (void)close(attacker->fd);
    }
    *attacker = (struct attacker){.fd = -1};
}

static inline void attacker_come(struct attacker *attacker, int number)
{
    *attacker = (struct attacker){.fd = attacker_socket(number)};
    if (attacker->fd >= 0 && attackers.tls != NULL && !attackers.attack->plain) {
        attacker->tls = SSL_new(attackers.tls);
        SSL_set_connect_state(attacker->tls);
        (void)SSL_set_fd(attacker->tls, attacker->fd);
    }
}

/* > 0: something was sent. 0: not yet. < 0: the server has closed it. */
static inline int attacker_send(struct attacker *attacker, const char *bytes, size_t len)
{
    if (attacker->tls == NULL) {
        ssize_t sent = len == 0 ? 1 : send(attacker->fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        return sent >= 0 ? 1 : errno == EAGAIN ? 0 : -1;
    }
    ERR_clear_error();
    int rc = len == 0 ? SSL_do_handshake(attacker->tls) : SSL_write(attacker->tls, bytes, (int)len);
    int why = rc > 0 ? SSL_ERROR_NONE : SSL_get_error(attacker->tls, rc);
    return rc > 0 ? 1 : why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? 0 : -1;
}

static inline bool attacker_speak(struct attacker *attacker)
{
    const struct attack *attack = attackers.attack;
    if (!attacker->opened) {
        size_t len = attack->opening_len != 0 ? attack->opening_len : strlen(attack->opening);
        int rc = attacker_send(attacker, attack->opening, len);
        attacker->opened = rc > 0;
        return rc >= 0;
    }
    return attack->piece_len == 0 || attacker_send(attacker, attack->piece, attack->piece_len) >= 0;
}

static inline bool attacker_is_closed(const struct attacker *attacker)
{
    struct pollfd look = {.fd = attacker->fd, .events = POLLRDHUP};
    return poll(&look, 1, 0) == 1 && (look.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

static inline void attack_round(void)
{
    const struct attack *attack = attackers.attack;
    int returns = 0;
    for (int i = 0; attack->restless && i < RESTLESS; i++) {
        attacker_leave(&attackers.all[(attackers.rounds * RESTLESS + (unsigned)i) % ATTACKERS]);
    }
    for (int i = 0; i < ATTACKERS; i++) {
        struct attacker *attacker = &attackers.all[i];
        if (attacker->fd >= 0 && (!attacker_speak(attacker) || attacker_is_closed(attacker))) {
            attacker_leave(attacker);
        }
        if (attacker->fd < 0 && returns < RETURNS_MAX) {
            returns++;
            attackers.returns++;
            attacker_come(attacker, i);
            if (attacker->fd >= 0) {
                (void)attacker_speak(attacker);
            }
        }
    }
    attackers.rounds++;
}

static inline void *attackers_run(void *arg)
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

static inline void attack_start(const struct attack *attack)
{
    static struct attack own; /* the thread goes on where a test has failed and left its own */
    own = *attack;
    attackers.attack = &own;
    attackers.rounds = attackers.returns = 0;
    for (int i = 0; i < ATTACKERS; i++) {
        attackers.all[i] = (struct attacker){.fd = -1};
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

static inline void attack_stop(void)
{
    attackers.running = false;
    (void)close(attackers.stop[1]); /* the end of the pipe can be read */
    (void)pthread_join(attackers.thread, NULL);
    (void)close(attackers.stop[0]);
    for (int i = 0; i < ATTACKERS; i++) {
        attacker_leave(&attackers.all[i]);
    }
}

/* --- the one who asks for health -------------------------------------------------------------- */

/* How long a thread of this process stood ready without a processor so far; 0 = nobody knows. */
static inline int64_t stood_ready_us(pid_t tid)
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

static inline int64_t now_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* From an address of its own, each of its messages at once. */
static inline int slow_tls_client(void)
{
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK + 3)}};
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(rig.port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct timeval patience = {.tv_sec = RIG_WAIT_MS / 1000};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int yes = 1;
    assert_int_equal(bind(fd, (struct sockaddr *)&from, sizeof from), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return fd;
}

/* As rig_ask, over TLS where that is spoken. */
static inline const char *slow_ask(const char *request)
{
    static char reply[RIG_REPLY_BYTES];
    size_t len = 0;
    if (attackers.tls == NULL) {
        return rig_ask(request);
    }
    int fd = slow_tls_client();
    SSL *tls = SSL_new(attackers.tls);
    (void)SSL_set_fd(tls, fd);
    assert_int_equal(SSL_connect(tls), 1);
    assert_int_equal(SSL_write(tls, request, (int)strlen(request)), (int)strlen(request));
    for (int got = 1; got > 0 && len<sizeof reply - 1; len += got> 0 ? (size_t)got : 0) {
        got = SSL_read(tls, reply + len, (int)(sizeof reply - 1 - len));
    }
    reply[len] = '\0';
    SSL_free(tls);
    (void)close(fd);
    return rig_dateless(reply);
}

static inline int by_size(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a;
    int64_t right = *(const int64_t *)b;
    return left < right ? -1 : left > right;
}

static inline void expect_quick_answers(int tries, const char *request, const char *answer)
{
    pid_t own_tid = (pid_t)syscall(SYS_gettid);
    int64_t own_us[TRIES];
    assert_in_range(tries, 1, TRIES);
    for (int i = 0; i < tries; i++) {
        int64_t lost_us = stood_ready_us(own_tid) + stood_ready_us(slow_server_tid);
        int64_t began_us = now_us();
        assert_string_equal(slow_ask(request), answer);
        int64_t took_us = now_us() - began_us;
        lost_us = stood_ready_us(own_tid) + stood_ready_us(slow_server_tid) - lost_us;
        own_us[i] = took_us - lost_us;
        if (own_us[i] > ANSWER_MS_MAX * 1000) {
            fail_msg("answer %d took %lld us, %lld us of them without a processor", i,
                     (long long)took_us, (long long)lost_us);
        }
    }
    qsort(own_us, (size_t)tries, sizeof own_us[0], by_size);
    int64_t most_us = own_us[tries * 3 / 4];
    print_message(
        "           three quarters of %d: %lld us, worst: %lld us, %u connections came back\n",
        tries, (long long)most_us, (long long)own_us[tries - 1], (unsigned)attackers.returns);
    assert_true(most_us <= ANSWER_MS_MOST_MAX * 1000);
}

static inline void expect_health_under(const struct attack *attack)
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

/* --- a server ----------------------------------------------------------------------------------
 */

static inline void read_tid(void *arg)
{
    *(pid_t *)arg = (pid_t)syscall(SYS_gettid);
}

static inline char *large_text(const char *head, const char *tail)
{
    char *text = mem_alloc(LARGE_BYTES + 1);
    memset(text, 'x', LARGE_BYTES);
    memcpy(text, head, strlen(head));
    memcpy(text + LARGE_BYTES - strlen(tail), tail, strlen(tail));
    return text;
}

static inline int slow_start(void **state)
{
    struct rlimit files;
    int rc = rig_start(state);
    if (rc != 0 || getrlimit(RLIMIT_NOFILE, &files) != 0) {
        return -1;
    }
    files.rlim_cur = files.rlim_max; /* both ends of all connections are in this process */
    (void)setrlimit(RLIMIT_NOFILE, &files);
    memset(slow_filler, 'x', sizeof slow_filler);
    rig_call(read_tid, &slow_server_tid);
    struct api_status *status = rig_primary();
    mem_free(status->cluster_document);
    rig.metrics = large_text("# HELP ", "\n");
    status->cluster_document = large_text("{\"x\": \"", "\"}");
    rig_publish(status);
    return 0;
}

static inline int slow_finish(void **state)
{
    if (attackers.running) { /* the test has failed */
        attack_stop();
    }
    char *metrics = (char *)(uintptr_t)rig.metrics;
    int rc = rig_finish(state); /* it may serve one that asks for them yet */
    mem_free(metrics);
    return rc;
}

#endif
