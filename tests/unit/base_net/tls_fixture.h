/* Two ends of TLS over a wire that is no socket: the test says how many bytes pass in one turn, how
 * many the kernels hold, and what becomes of them on their way. */
#ifndef TESTS_UNIT_BASE_NET_TLS_FIXTURE_H
#define TESTS_UNIT_BASE_NET_TLS_FIXTURE_H

#include "base/mem.h"
#include "base/net/tls.h"
#include "base/net/tls_stream.h"
#include "tests/harness/tls_files.h"
#include "tests/unit/base_net/tcp_fixture.h"

enum {
    WIRES_MAX = 8,
    DONES_MAX = 64,
    KERNEL_BYTES = 256 * 1024,
    WIRE_QUEUE_BYTES = 512 * 1024, /* what tls_stream_new asks for */
    ALL_BYTES = 1 << 30,
};

struct wire {
    struct stream base;
    struct stream_peer peer;
    struct wire *other;
    struct buf out;
    size_t chunk;  /* bytes that pass in a turn */
    size_t kernel; /* bytes that do not count as waiting */
    size_t put;    /* bytes ever */
    int write_rc;  /* every write fails so */
    bool reading;
    bool waited;
    bool shut;
    bool shut_told;
    bool ended; /* its end was told to the other side */
    bool closing;
    bool closed;
    void (*alter)(uint8_t *bytes, size_t len);
    struct {
        size_t at;
        stream_done done;
        void *arg;
    } dones[DONES_MAX];
    size_t done_count;
    stream_done shutdown_done;
    void *shutdown_arg;
    stream_closed on_closed;
    void *closed_arg;
};

static struct wire wires[WIRES_MAX];
static size_t wire_count;

static inline struct wire *wire_of(const struct stream *stream)
{
    return (struct wire *)(void *)(uintptr_t)stream;
}

static inline size_t wire_pending(const struct stream *stream)
{
    const struct wire *wire = wire_of(stream);
    return wire->out.len > wire->kernel ? wire->out.len - wire->kernel : 0;
}

static inline int wire_read_start(struct stream *stream, struct error *err)
{
    struct wire *wire = wire_of(stream);
    assert_false(wire->closing);
    if (wire->other->ended) {
        return error_set(err, ERR_CLOSED, "wire: closed");
    }
    wire->reading = true;
    return 0;
}

static inline void wire_read_stop(struct stream *stream)
{
    wire_of(stream)->reading = false;
}

static inline int wire_write(struct stream *stream, struct span bytes, stream_done done, void *arg,
                             struct error *err)
{
    struct wire *wire = wire_of(stream);
    assert_false(wire->closing);
    if (wire->write_rc != 0) {
        return error_set(err, wire->write_rc, "wire: broken");
    }
    if (wire->shut) {
        return error_set(err, ERR_CLOSED, "wire: shut");
    }
    assert_true(wire_pending(stream) + bytes.len <= WIRE_QUEUE_BYTES);
    buf_put_span(&wire->out, bytes);
    wire->put += bytes.len;
    wire->waited = wire->waited || wire_pending(stream) > 0;
    if (done != NULL) {
        assert_true(wire->done_count < DONES_MAX);
        wire->dones[wire->done_count].at = wire->put;
        wire->dones[wire->done_count].done = done;
        wire->dones[wire->done_count++].arg = arg;
    }
    return 0;
}

static inline int wire_shutdown(struct stream *stream, stream_done done, void *arg,
                                struct error *err)
{
    struct wire *wire = wire_of(stream);
    (void)err;
    assert_false(wire->closing || wire->shut);
    wire->shut = true;
    wire->shutdown_done = done;
    wire->shutdown_arg = arg;
    return 0;
}

static inline void wire_close(struct stream *stream, stream_closed closed, void *arg)
{
    struct wire *wire = wire_of(stream);
    assert_false(wire->closing);
    wire->out.len -= wire_pending(stream); /* what the kernel has still goes */
    wire->closing = true;
    wire->reading = false;
    wire->on_closed = closed;
    wire->closed_arg = arg;
}

static inline const struct stream_peer *wire_peer(const struct stream *stream)
{
    return &wire_of(stream)->peer;
}

static const struct stream_ops wire_ops = {.read_start = wire_read_start,
                                           .read_stop = wire_read_stop,
                                           .write = wire_write,
                                           .pending = wire_pending,
                                           .shutdown = wire_shutdown,
                                           .close = wire_close,
                                           .peer = wire_peer};

/* --- time ------------------------------------------------------------------------------------- */

static inline void wire_pass(struct wire *wire)
{
    static uint8_t bytes[KERNEL_BYTES];
    struct wire *to = wire->other;
    size_t len = wire->out.len < wire->chunk ? wire->out.len : wire->chunk;
    len = len < 64 * 1024 ? len : 64 * 1024; /* as TCP reads */
    if (to->closing) {
        buf_clear(&wire->out);
    } else if (len > 0 && to->reading) {
        memcpy(bytes, wire->out.data, len);
        if (wire->alter != NULL) {
            wire->alter(bytes, len);
        }
        buf_drop(&wire->out, len);
        to->base.events->on_read(to->base.arg, span_of(bytes, len));
    }
    if ((wire->shut || wire->closing) && wire->out.len == 0 && !wire->ended && to->reading) {
        struct error err;
        (void)error_set(&err, ERR_CLOSED, "wire: closed by the peer");
        wire->ended = true;
        to->reading = false;
        to->base.events->on_end(to->base.arg, ERR_CLOSED, &err);
    }
}

static inline void wire_dones(struct wire *wire, int rc)
{
    struct error err = {0};
    (void)error_set(&err, rc, "wire: canceled");
    while (wire->done_count > 0 &&
           (rc != 0 || wire->dones[0].at <= wire->put - wire_pending(&wire->base))) {
        stream_done done = wire->dones[0].done;
        void *arg = wire->dones[0].arg;
        wire->done_count--;
        memmove(&wire->dones[0], &wire->dones[1], wire->done_count * sizeof wire->dones[0]);
        done(arg, rc, &err);
        if (wire->closing && rc == 0) {
            return;
        }
    }
}

static inline void wire_tell(struct wire *wire)
{
    struct error none = {0};
    bool drained = wire_pending(&wire->base) == 0;
    if (!wire->closing) {
        wire_dones(wire, 0);
    }
    if (!wire->closing && wire->waited && drained) {
        wire->waited = false;
        wire->base.events->on_drained(wire->base.arg);
    }
    if (!wire->closing && wire->shut && !wire->shut_told && drained) {
        wire->shut_told = true;
        wire->shutdown_done(wire->shutdown_arg, 0, &none);
    }
    if (wire->closing && !wire->closed) {
        wire->closed = true;
        wire_dones(wire, ERR_CANCELED);
        if (wire->shut && !wire->shut_told) {
            (void)error_set(&none, ERR_CANCELED, "wire: canceled");
            wire->shutdown_done(wire->shutdown_arg, ERR_CANCELED, &none);
        }
        wire->on_closed(wire->closed_arg);
    }
}

static inline void turn(void)
{
    for (size_t i = 0; i < wire_count; i++) {
        wire_pass(&wires[i]);
        wire_tell(&wires[i]);
    }
    (void)uv_run(&loop, UV_RUN_NOWAIT);
}

#define TURN_UNTIL(fact)              \
    while (!(fact)) {                 \
        assert_false(watchdog_fired); \
        turn();                       \
    }

static inline void turns(size_t count)
{
    for (size_t i = 0; i < count; i++) {
        turn();
    }
}

/* --- ends ------------------------------------------------------------------------------------- */

static inline void wire_pair(struct wire **near, struct wire **far)
{
    assert_true(wire_count + 2 <= WIRES_MAX);
    *near = &wires[wire_count++];
    *far = &wires[wire_count++];
    **near = (struct wire){
        .base.ops = &wire_ops, .other = *far, .chunk = ALL_BYTES, .kernel = KERNEL_BYTES};
    **far = (struct wire){
        .base.ops = &wire_ops, .other = *near, .chunk = ALL_BYTES, .kernel = KERNEL_BYTES};
    (void)snprintf((*near)->peer.text, sizeof(*near)->peer.text, "far:2");
    (void)snprintf((*far)->peer.text, sizeof(*far)->peer.text, "near:1");
}

static inline struct end *end_over(struct stream *below, const struct tls_options *options)
{
    assert_true(connected_count < ENDS_MAX);
    struct end *end = &connected[connected_count++];
    end->stream = tls_stream_new(below, options);
    stream_attach(end->stream, &end_events, end);
    return end;
}

/* Both ends of a new wire. Nothing passes before a turn. */
static inline void ends_meet(struct tls_options caller, struct tls_options called,
                             struct end **ret_client, struct end **ret_server)
{
    struct wire *near;
    struct wire *far;
    wire_pair(&near, &far);
    caller.is_server = false;
    called.is_server = true;
    *ret_client = end_over(&near->base, &caller);
    *ret_server = end_over(&far->base, &called);
}

static inline SSL *ssl_of(const struct end *end)
{
    return tls_of(end->stream)->ssl;
}

static inline bool is_open(const struct end *end)
{
    return end->stream != NULL && tls_stream_is_open(end->stream);
}

static inline struct wire *wire_below(const struct end *end)
{
    return wire_of(tls_of(end->stream)->below);
}

/* --- files ------------------------------------------------------------------------------------ */

static char dir[64];

static inline struct tls_context *context_of(const char *leaf, const char *ca,
                                             enum tls_verify verify)
{
    char certfile[256];
    char keyfile[256];
    char cafile[256];
    (void)snprintf(certfile, sizeof certfile, "%s/%s.crt", dir, leaf != NULL ? leaf : "");
    (void)snprintf(keyfile, sizeof keyfile, "%s/%s.key", dir, leaf != NULL ? leaf : "");
    (void)snprintf(cafile, sizeof cafile, "%s/%s.crt", dir, ca != NULL ? ca : "");
    struct tls_config config = {.certfile = leaf != NULL ? certfile : NULL,
                                .keyfile = leaf != NULL ? keyfile : NULL,
                                .cafile = ca != NULL ? cafile : NULL,
                                .verify = verify};
    struct tls_context *context = NULL;
    struct error err = {0};
    if (tls_context_new(&config, &context, &err) != 0) {
        fail_msg("%s", err.text);
    }
    return context;
}

static inline int files_remove(void **state)
{
    (void)state;
    tls_dir_remove(dir);
    return 0;
}

/* --- set up and tear down --------------------------------------------------------------------- */

static inline int wires_open(void **state)
{
    memset(wires, 0, sizeof wires);
    wire_count = 0;
    return fixture_open(state);
}

static inline bool wires_closed(void)
{
    for (size_t i = 0; i < wire_count; i++) {
        if (!wires[i].closed) {
            return false;
        }
    }
    return true;
}

static inline int wires_close(void **state)
{
    ends_close(connected, connected_count);
    TURN_UNTIL(wires_closed());
    for (size_t i = 0; i < wire_count; i++) {
        buf_free(&wires[i].out);
    }
    return fixture_close(state);
}

/* Both are gone again afterwards, and there is room for the next two. */
static inline void wires_part(struct end *one, struct end *other)
{
    close_it(one);
    close_it(other);
    TURN_UNTIL(wires_closed() && one->closes == 1 && other->closes == 1);
    buf_free(&one->got);
    buf_free(&other->got);
    memset(connected, 0, sizeof connected);
    for (size_t i = 0; i < wire_count; i++) {
        buf_free(&wires[i].out);
    }
    wire_count = connected_count = 0;
}

#define WIRE_TEST(name) cmocka_unit_test_setup_teardown(name, wires_open, wires_close)

#endif
