/* A narrow link on loopback: who calls its port reaches another one, at so many bytes a second.
 * What the target answers is not held up. Runs in the test's loop; whatever fails of it ends the
 * test. */
#ifndef TEST_SLOW_LINK_H
#define TEST_SLOW_LINK_H

#include "base/assert.h"
#include "tests/harness/free_port.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#define SLOW_LINK_PAIRS_MAX    16
#define SLOW_LINK_STEP_MS      5
#define SLOW_LINK_BUFFER_BYTES 65536

struct slow_way {
    int from;
    int to;
    size_t len;
    uint8_t bytes[SLOW_LINK_BUFFER_BYTES]; /* read and not written yet */
};

struct slow_pair {
    bool open;
    struct slow_way out; /* from who called */
    struct slow_way back;
};

struct slow_link {
    uv_timer_t timer;
    int listener;
    uint16_t port;
    uint16_t target;
    size_t rate; /* bytes a second of each connection, towards the target; 0 = no limit */
    uint64_t stepped_ns;
    uint64_t passed; /* bytes towards the target */
    struct slow_pair pairs[SLOW_LINK_PAIRS_MAX];
};

static int slow_socket(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    int bytes = 4096; /* what waits here is not what waits at the sender */
    ASSERT(fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes) == 0);
    return fd;
}

static struct sockaddr_in slow_address(uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
}

static void slow_unblock(int fd)
{
    ASSERT(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
}

static void slow_pair_close(struct slow_pair *pair)
{
    (void)close(pair->out.from);
    (void)close(pair->out.to);
    pair->open = false;
}

static void slow_accept(struct slow_link *link)
{
    int from = accept(link->listener, NULL, NULL);
    struct sockaddr_in target = slow_address(link->target);
    if (from < 0) {
        return;
    }
    int to = socket(AF_INET, SOCK_STREAM, 0);
    ASSERT(to >= 0);
    if (connect(to, (struct sockaddr *)&target, sizeof target) != 0) { /* nobody listens there */
        (void)close(from);
        (void)close(to);
        return;
    }
    slow_unblock(from);
    slow_unblock(to);
    struct slow_pair *pair = link->pairs;
    while (pair->open) {
        pair++;
        ASSERT(pair < link->pairs + SLOW_LINK_PAIRS_MAX);
    }
    pair->out = (struct slow_way){.from = from, .to = to};
    pair->back = (struct slow_way){.from = to, .to = from};
    pair->open = true;
}

/* At most `bytes`; false: it is over. */
static bool slow_pass(struct slow_way *way, size_t bytes, uint64_t *passed)
{
    size_t room = sizeof way->bytes - way->len;
    size_t wanted = bytes < room ? bytes : room;
    ssize_t got = wanted == 0 ? -1 : recv(way->from, way->bytes + way->len, wanted, 0);
    if (got == 0 || (got < 0 && wanted > 0 && errno != EAGAIN)) {
        return false;
    }
    way->len += got > 0 ? (size_t)got : 0;
    ssize_t put = way->len == 0 ? 0 : send(way->to, way->bytes, way->len, MSG_NOSIGNAL);
    if (put < 0) {
        return errno == EAGAIN;
    }
    way->len -= (size_t)put;
    memmove(way->bytes, way->bytes + put, way->len);
    *passed += (size_t)put;
    return true;
}

static void slow_step(uv_timer_t *timer)
{
    struct slow_link *link = timer->data;
    uint64_t now_ns = uv_hrtime();
    uint64_t gone_ns = now_ns - link->stepped_ns;
    uint64_t none = 0;
    size_t bytes = SLOW_LINK_BUFFER_BYTES;
    if (link->rate > 0) {
        bytes = (size_t)((double)link->rate * (double)gone_ns / 1e9);
    }
    if (bytes == 0) {
        return;
    }
    link->stepped_ns = now_ns;
    slow_accept(link);
    for (size_t i = 0; i < SLOW_LINK_PAIRS_MAX; i++) {
        struct slow_pair *pair = &link->pairs[i];
        if (pair->open && (!slow_pass(&pair->out, bytes, &link->passed) ||
                           !slow_pass(&pair->back, SLOW_LINK_BUFFER_BYTES, &none))) {
            slow_pair_close(pair);
        }
    }
}

static void slow_link_start(struct slow_link *link, uv_loop_t *uv, uint16_t target)
{
    memset(link, 0, sizeof *link);
    link->port = free_port();
    link->target = target;
    link->stepped_ns = uv_hrtime();
    link->listener = slow_socket();
    struct sockaddr_in here = slow_address(link->port);
    int on = 1;
    ASSERT(setsockopt(link->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0);
    ASSERT(bind(link->listener, (struct sockaddr *)&here, sizeof here) == 0);
    ASSERT(listen(link->listener, 16) == 0);
    slow_unblock(link->listener);
    ASSERT(uv_timer_init(uv, &link->timer) == 0);
    link->timer.data = link;
    ASSERT(uv_timer_start(&link->timer, slow_step, SLOW_LINK_STEP_MS, SLOW_LINK_STEP_MS) == 0);
}

/* The loop has to turn once more. */
static void slow_link_stop(struct slow_link *link)
{
    for (size_t i = 0; i < SLOW_LINK_PAIRS_MAX; i++) {
        if (link->pairs[i].open) {
            slow_pair_close(&link->pairs[i]);
        }
    }
    (void)close(link->listener);
    uv_close((uv_handle_t *)&link->timer, NULL);
}

#endif
