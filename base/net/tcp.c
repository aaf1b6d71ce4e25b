/* Connecting.
 *
 *   tcp_connect:  LOCAL --(resolved)--> REMOTE --(resolved)--> TRYING --(connected)--> DONE
 *                   |                     |                      |
 *                   +---------------------+----------------------+--(deadline, cancel)--> DONE
 *
 * In TRYING an address that failed makes way for the next one; after the last it is DONE.
 * One deadline timer covers all of it; each address gets an equal part of what is left, so that a
 * silent first address does not eat the time of a good second one. */
#include "base/net/tcp.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/net/tcp_stream.h"
#include "base/sm.h"

#include <string.h>

enum connect_state { CONNECT_LOCAL, CONNECT_REMOTE, CONNECT_TRYING, CONNECT_DONE, CONNECT_STATES };

static const struct sm_state connect_moves[CONNECT_STATES] = {
    [CONNECT_LOCAL] = {"looking up the local address", SM(CONNECT_REMOTE) | SM(CONNECT_DONE)},
    [CONNECT_REMOTE] = {"looking up the address", SM(CONNECT_TRYING) | SM(CONNECT_DONE)},
    [CONNECT_TRYING] = {"connecting", SM(CONNECT_DONE)},
    [CONNECT_DONE] = {"done", 0},
};

struct tcp_connect {
    uv_loop_t *loop;
    struct tcp_connect_options options;
    struct net_addr from;
    bool has_from;
    tcp_connect_done done;
    void *arg;
    unsigned state; /* enum connect_state */
    bool canceled;
    uint64_t deadline_ms; /* uv_now */
    uv_timer_t timer;     /* of the whole, and in TRYING of one address */
    struct net_resolve *resolve;
    struct net_resolved local;
    struct net_resolved remote;
    size_t next;
    struct connect_try *attempt;
    struct error last_err; /* of the last address that failed */
};

/* One address. It outlives the connect that gave up on it, until libuv has ended the request. */
struct connect_try {
    uv_connect_t request;
    struct tcp_connect *owner; /* NULL once given up */
    struct tcp_stream *stream;
};

static void try_next(struct tcp_connect *connect);

static void on_timer_closed(uv_handle_t *handle)
{
    mem_free(handle->data);
}

static void give_up_attempt(struct tcp_connect *connect)
{
    struct connect_try *attempt = connect->attempt;
    if (attempt != NULL) {
        attempt->owner = NULL;
        connect->attempt = NULL;
        stream_close(tcp_stream_base(attempt->stream), NULL,
                     NULL); /* ends the request with ECANCELED */
    }
}

static void finish(struct tcp_connect *connect, int rc, struct stream *stream, struct error *err)
{
    char text[NET_ADDR_TEXT_BYTES];
    sm_move(connect_moves, CONNECT_STATES, &connect->state, CONNECT_DONE);
    give_up_attempt(connect);
    uv_close((uv_handle_t *)&connect->timer, on_timer_closed);
    if (rc != 0) {
        error_wrap(err, "connect %s", net_addr_format(&connect->options.to, text));
    }
    connect->done(connect->arg, rc, stream, err);
}

static void on_connected(uv_connect_t *request, int status)
{
    struct connect_try *attempt = request->data;
    struct tcp_connect *connect = attempt->owner;
    struct tcp_stream *stream = attempt->stream;

    mem_free(attempt);
    if (connect == NULL) {
        return; /* given up: the stream is being closed */
    }
    connect->attempt = NULL;
    if (status != 0) {
        (void)error_set(&connect->last_err, net_err_code(status), "%s", uv_strerror(status));
    } else if (tcp_stream_ready(stream, &connect->last_err) == 0) {
        finish(connect, 0, tcp_stream_base(stream), &connect->last_err);
        return;
    }
    stream_close(tcp_stream_base(stream), NULL, NULL);
    try_next(connect);
}

/* Binds to the first local address of the same family; none of that family: this address is no way.
 */
static int bind_local(struct tcp_connect *connect, uv_tcp_t *tcp, int family)
{
    for (size_t i = 0; i < connect->local.count; i++) {
        struct sockaddr_storage *address = &connect->local.addresses[i];
        if (address->ss_family == family) {
            tcp_set_port(address, 0);
            return uv_tcp_bind(tcp, (struct sockaddr *)address, 0);
        }
    }
    return connect->has_from ? UV_EAFNOSUPPORT : 0;
}

static int start_attempt(struct tcp_connect *connect, const struct sockaddr_storage *address)
{
    struct connect_try *attempt = mem_new(struct connect_try);
    attempt->request.data = attempt;
    attempt->owner = connect;
    attempt->stream = tcp_stream_new(connect->loop, &connect->options.tcp);
    uv_tcp_t *tcp = tcp_stream_handle(attempt->stream);
    int status = bind_local(connect, tcp, address->ss_family);
    if (status == 0) {
        status =
            uv_tcp_connect(&attempt->request, tcp, (const struct sockaddr *)address, on_connected);
    }
    if (status != 0) {
        stream_close(tcp_stream_base(attempt->stream), NULL, NULL);
        mem_free(attempt);
        return status;
    }
    connect->attempt = attempt;
    return 0;
}

static void on_timer(uv_timer_t *timer)
{
    struct tcp_connect *connect = timer->data;
    struct error err;

    if (connect->canceled) {
        finish(connect, error_set(&err, ERR_CANCELED, "canceled"), NULL, &err);
        return;
    }
    give_up_attempt(connect);
    (void)error_set(&connect->last_err, ERR_TIMEOUT, "timed out");
    try_next(connect);
}

static void try_next(struct tcp_connect *connect)
{
    ASSERT(connect->state == CONNECT_TRYING && connect->attempt == NULL);
    uint64_t now = uv_now(connect->loop);
    while (connect->next < connect->remote.count && now < connect->deadline_ms) {
        uint64_t share = (connect->deadline_ms - now) / (connect->remote.count - connect->next);
        int status = start_attempt(connect, &connect->remote.addresses[connect->next++]);
        if (status == 0) {
            ASSERT(uv_timer_start(&connect->timer, on_timer, share, 0) == 0);
            return;
        }
        (void)error_set(&connect->last_err, net_err_code(status), "%s", uv_strerror(status));
    }
    struct error err = connect->last_err;
    if (err.code == 0) {
        (void)error_set(&err, ERR_TIMEOUT, "timed out");
    }
    finish(connect, err.code, NULL, &err);
}

static void start_lookup(struct tcp_connect *connect, const struct net_addr *addr);

static void on_resolved(void *arg, int rc, const struct net_resolved *resolved,
                        const struct error *err)
{
    struct tcp_connect *connect = arg;
    struct error copy = *err;

    connect->resolve = NULL;
    if (rc != 0) {
        finish(connect, rc, NULL, &copy);
        return;
    }
    if (connect->state == CONNECT_LOCAL) {
        connect->local = *resolved;
        sm_move(connect_moves, CONNECT_STATES, &connect->state, CONNECT_REMOTE);
        start_lookup(connect, &connect->options.to);
        return;
    }
    connect->remote = *resolved;
    sm_move(connect_moves, CONNECT_STATES, &connect->state, CONNECT_TRYING);
    try_next(connect);
}

static void start_lookup(struct tcp_connect *connect, const struct net_addr *addr)
{
    struct error err;
    uint64_t now = uv_now(connect->loop);
    int64_t left = now < connect->deadline_ms ? (int64_t)(connect->deadline_ms - now) : 0;
    int rc =
        net_resolve_start(connect->loop, addr, left, on_resolved, connect, &connect->resolve, &err);
    if (rc != 0) {
        finish(connect, rc, NULL, &err);
    }
}

/* First turn: what fails at once must not be told from inside tcp_connect_start. */
static void on_first_turn(uv_timer_t *timer)
{
    struct tcp_connect *connect = timer->data;
    ASSERT(!connect->canceled); /* a cancel takes the timer over */
    start_lookup(connect, connect->has_from ? &connect->from : &connect->options.to);
}

int tcp_connect_start(uv_loop_t *loop, const struct tcp_connect_options *options,
                      tcp_connect_done done, void *arg, struct tcp_connect **ret_connect,
                      struct error *err)
{
    ASSERT(done != NULL);
    if (options->timeout_ms <= 0 || options->to.port == 0) {
        return error_set(err, ERR_INVALID, "connecting needs a port and a timeout");
    }
    struct tcp_connect *connect = mem_new(struct tcp_connect);
    connect->loop = loop;
    connect->options = *options;
    connect->has_from = options->from != NULL;
    if (connect->has_from) {
        connect->from = *options->from;
        connect->options.from = NULL;
    }
    connect->state = connect->has_from ? CONNECT_LOCAL : CONNECT_REMOTE;
    connect->done = done;
    connect->arg = arg;
    connect->deadline_ms = uv_now(loop) + (uint64_t)options->timeout_ms;
    ASSERT(uv_timer_init(loop, &connect->timer) == 0);
    connect->timer.data = connect;
    ASSERT(uv_timer_start(&connect->timer, on_first_turn, 0, 0) == 0);
    *ret_connect = connect;
    return 0;
}

void tcp_connect_cancel(struct tcp_connect *connect)
{
    ASSERT(connect->state != CONNECT_DONE && !connect->canceled);
    connect->canceled = true;
    if (connect->resolve != NULL) {
        net_resolve_cancel(connect->resolve); /* its answer ends us */
        return;
    }
    give_up_attempt(connect);
    ASSERT(uv_timer_start(&connect->timer, on_timer, 0, 0) == 0);
}
