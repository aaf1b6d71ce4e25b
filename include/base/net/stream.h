/* A byte stream to one peer, whatever carries it. TCP is the first kind; TLS is one more stream
 * over a stream, and nothing above knows of it.
 *
 * Rules for every kind: all on the loop's thread; no callback from inside the call that asked for
 * it; `done` callbacks exactly once unless the call itself failed. After stream_close nothing is
 * called but the `done` of writes still queued (ERR_CANCELED), of a shutdown, and then of the
 * close, after which the stream is freed. Events may call anything, also stream_close. */
#ifndef BASE_NET_STREAM_H
#define BASE_NET_STREAM_H

#include "base/err.h"
#include "base/net/addr.h"
#include "base/span.h"

#include <stddef.h>

struct stream;

struct stream_events {
    /* Bytes arrived; borrowed until the callback returns. Only between read_start and read_stop. */
    void (*on_read)(void *arg, struct span bytes);
    /* Once: nothing more will be read. ERR_CLOSED = the peer closed its direction in order (ours
     * may still write); anything else = the stream broke. The owner still has to close it. */
    void (*on_end)(void *arg, int rc, const struct error *err);
    /* All bytes written so far were taken by the kernel, after some had to wait. May be NULL. */
    void (*on_drained)(void *arg);
};

#define STREAM_PEER_NAME_BYTES 128

struct stream_peer {
    char text[NET_ADDR_TEXT_BYTES]; /* "10.0.0.2:50123" */
    struct net_ip ip;
    uint16_t port;
    /* It has a certificate, and that was found good (tls.h); never so on a plain stream. */
    bool is_verified;
    /* Of its certificate: the subject's common name, else the first other name; printable. "" =
     * none. */
    char name[STREAM_PEER_NAME_BYTES];
};

typedef void (*stream_done)(void *arg, int rc, const struct error *err);
typedef void (*stream_closed)(void *arg);

struct stream_ops {
    int (*read_start)(struct stream *stream, struct error *err);
    void (*read_stop)(struct stream *stream);
    int (*write)(struct stream *stream, struct span bytes, stream_done done, void *arg,
                 struct error *err);
    size_t (*pending)(const struct stream *stream);
    int (*shutdown)(struct stream *stream, stream_done done, void *arg, struct error *err);
    void (*close)(struct stream *stream, stream_closed closed, void *arg);
    const struct stream_peer *(*peer)(const struct stream *stream);
};

/* The common part; a kind puts it first into its own struct. */
struct stream {
    const struct stream_ops *ops;
    const struct stream_events *events; /* set by stream_attach; borrowed */
    void *arg;
};

/* Says who gets the events. Before the first read_start; may be called again to hand the stream on.
 */
static inline void stream_attach(struct stream *stream, const struct stream_events *events,
                                 void *arg)
{
    stream->events = events;
    stream->arg = arg;
}

static inline MUST_CHECK int stream_read_start(struct stream *stream, struct error *err)
{
    return stream->ops->read_start(stream, err);
}

static inline void stream_read_stop(struct stream *stream)
{
    stream->ops->read_stop(stream);
}

/* Sends all of `bytes` (copied where they have to wait). ERR_LIMIT: more would wait than the
 * stream's write_queue_bytes_max, nothing was taken: the peer is too slow, drop the message or the
 * stream. `done` may be NULL: the cheapest way; a later failure then comes as on_end, the drain as
 * on_drained. */
static inline MUST_CHECK int stream_write(struct stream *stream, struct span bytes,
                                          stream_done done, void *arg, struct error *err)
{
    return stream->ops->write(stream, bytes, done, arg, err);
}

/* Bytes that wait for the kernel. */
static inline size_t stream_pending(const struct stream *stream)
{
    return stream->ops->pending(stream);
}

/* Ends our direction after everything queued was written. `done` may be NULL. */
static inline MUST_CHECK int stream_shutdown(struct stream *stream, stream_done done, void *arg,
                                             struct error *err)
{
    return stream->ops->shutdown(stream, done, arg, err);
}

/* Drops what is queued and closes. Once. `closed` may be NULL. */
static inline void stream_close(struct stream *stream, stream_closed closed, void *arg)
{
    stream->ops->close(stream, closed, arg);
}

static inline const struct stream_peer *stream_peer(const struct stream *stream)
{
    return stream->ops->peer(stream);
}

#endif
