/* A stream that is no socket, for harnesses of servers: the harness is the peer that sends, takes
 * what is written, or takes nothing for a while. Included by one source. */
#ifndef TESTS_FUZZ_FAKE_STREAM_H
#define TESTS_FUZZ_FAKE_STREAM_H

#include "base/assert.h"
#include "base/net/stream.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <uv.h>

enum { FAKE_PENDING_MAX = 1024 * 1024, FAKE_TURNS_MAX = 1000 };

static struct {
    struct stream base;
    struct stream_peer peer;
    void (*on_write)(struct span bytes); /* may be NULL; what it finds in `pending` waited before */
    bool slow;                           /* what is written waits for fake_stream_drain */
    bool reading;
    bool shut;
    bool closed;
    size_t pending;
    stream_closed on_closed;
    void *closed_arg;
} fake_stream;

static int fake_read_start(struct stream *stream, struct error *err)
{
    (void)stream;
    (void)err;
    ASSERT(!fake_stream.closed);
    fake_stream.reading = true;
    return 0;
}

static void fake_read_stop(struct stream *stream)
{
    (void)stream;
    fake_stream.reading = false;
}

static int fake_write(struct stream *stream, struct span bytes, stream_done done, void *arg,
                      struct error *err)
{
    (void)stream;
    (void)arg;
    (void)err;
    ASSERT(!fake_stream.closed && !fake_stream.shut && done == NULL && bytes.len > 0);
    if (fake_stream.on_write != NULL) {
        fake_stream.on_write(bytes);
    }
    fake_stream.pending += fake_stream.slow ? bytes.len : 0;
    ASSERT(fake_stream.pending < FAKE_PENDING_MAX); /* no writing on to who takes nothing */
    return 0;
}

static size_t fake_pending(const struct stream *stream)
{
    (void)stream;
    return fake_stream.pending;
}

static int fake_shutdown(struct stream *stream, stream_done done, void *arg, struct error *err)
{
    (void)stream;
    (void)done;
    (void)arg;
    (void)err;
    ASSERT(!fake_stream.shut);
    fake_stream.shut = true;
    return 0;
}

static void fake_close(struct stream *stream, stream_closed closed, void *arg)
{
    (void)stream;
    ASSERT(!fake_stream.closed);
    fake_stream.closed = true;
    fake_stream.reading = false;
    fake_stream.on_closed = closed;
    fake_stream.closed_arg = arg;
}

static const struct stream_peer *fake_peer(const struct stream *stream)
{
    (void)stream;
    return &fake_stream.peer;
}

/* A connection that was just accepted. */
static inline struct stream *fake_stream_open(bool slow, void (*on_write)(struct span bytes))
{
    static const struct stream_ops ops = {.read_start = fake_read_start,
                                          .read_stop = fake_read_stop,
                                          .write = fake_write,
                                          .pending = fake_pending,
                                          .shutdown = fake_shutdown,
                                          .close = fake_close,
                                          .peer = fake_peer};
    memset(&fake_stream, 0, sizeof fake_stream);
    fake_stream.base.ops = &ops;
    fake_stream.slow = slow;
    fake_stream.on_write = on_write;
    return &fake_stream.base;
}

/* The peer takes all that waits. */
static inline void fake_stream_drain(void)
{
    if (fake_stream.pending > 0 && !fake_stream.closed) {
        fake_stream.pending = 0;
        fake_stream.base.events->on_drained(fake_stream.base.arg);
    }
}

/* The peer sends `input` in pieces while somebody reads; `turn` is what happens between two. */
static inline void fake_stream_feed(uv_loop_t *loop, struct span input, size_t piece,
                                    void (*turn)(uv_loop_t *loop))
{
    size_t turns_max = FAKE_TURNS_MAX + input.len; /* a pause always ends */
    for (size_t turns = 0; input.len > 0 && !fake_stream.closed; turns++) {
        ASSERT(turns < turns_max);
        if (fake_stream.reading) {
            size_t len = input.len < piece ? input.len : piece;
            fake_stream.base.events->on_read(fake_stream.base.arg, span_of(input.data, len));
            input = span_of(input.data + len, input.len - len);
        }
        turn(loop);
    }
}

/* The connection breaks, if it is not closed yet, and whoever had it has let it go. */
static inline void fake_stream_end(void)
{
    struct error err = {0};
    if (!fake_stream.closed) {
        fake_stream.base.events->on_end(fake_stream.base.arg, ERR_IO, &err);
    }
    ASSERT(fake_stream.closed);
    fake_stream.on_closed(fake_stream.closed_arg);
}

#endif
