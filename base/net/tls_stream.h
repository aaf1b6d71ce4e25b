/* Private to base/net: one connection, shared by tls.c (what comes, and what becomes of it) and
 * tls_send.c (what goes). */
#ifndef BASE_NET_TLS_STREAM_H
#define BASE_NET_TLS_STREAM_H

#include "base/list.h"
#include "base/net/tls_bio.h"
#include "base/net/tls_impl.h"

enum tls_state { TLS_HANDSHAKE, TLS_OPEN, TLS_FAILED };
enum tls_shut { SHUT_NO, SHUT_ASKED, SHUT_SENT };

struct tls_stream {
    struct stream base; /* first: the kinds of stream share it */
    struct stream *below;
    struct tls_context *context;
    SSL *ssl;
    struct tls_wire wire;
    struct tls_notes notes;
    char *host;
    enum tls_state state;
    bool is_server;
    bool reading; /* the owner wants to */
    bool busy;    /* in read_plain: the end of the event follows the owner's wish */
    bool heard;   /* the first byte of the other side was seen */
    bool ended;   /* the other side's direction is over, in order */
    bool told;    /* on_end was called */
    bool waited;  /* something had to wait: on_drained is owed */
    bool closing;
    struct error err; /* of FAILED, or of the end in order */
    struct buf rest;  /* came, and the owner did not want it yet, or it was not its turn */
    uv_timer_t timer;
    int64_t handshake_ms;
    uint64_t handshake_until_ms; /* on the loop's clock */
    struct list queue;           /* of tls_write */
    size_t queued;               /* bytes of it */
    size_t write_queue_bytes_max;
    struct buf plain_answer;
    enum tls_shut shut;
    stream_done shutdown_done;
    void *shutdown_arg;
    struct stream_peer peer;
    char protocol[TLS_PROTOCOL_BYTES];
    stream_closed closed;
    void *closed_arg;
    int parts; /* timer, stream below */
};

static inline struct tls_stream *tls_of(const struct stream *stream)
{
    return (struct tls_stream *)(void *)(uintptr_t)stream;
}

/* --- tls.c ------------------------------------------------------------------------------------ */

/* It is over, which the next tls_settle tells. `err` is of the stream below, or bears the peer's
 * address as its do. */
void tls_fail(struct tls_stream *tls, const struct error *err);
/* Tells what has come of an event; the last thing that is done in each. */
void tls_settle(struct tls_stream *tls);

/* --- tls_send.c ------------------------------------------------------------------------------- */

int tls_write(struct stream *stream, struct span bytes, stream_done done, void *arg,
              struct error *err);
size_t tls_pending(const struct stream *stream);
int tls_shutdown(struct stream *stream, stream_done done, void *arg, struct error *err);

/* What OpenSSL wants to be sent goes to the stream below. */
void tls_flush(struct tls_stream *tls);
/* As much of what waits as the stream below shall have. */
void tls_pump(struct tls_stream *tls);
/* Everything that waits ends with `err`; the owner may close meanwhile, and then the rest stays for
 * the end of the close (`closed`). */
void tls_fail_waiting(struct tls_stream *tls, const struct error *err, bool closed);
/* Before a close: the other side shall know that nothing is missing, if nothing is. */
void tls_say_goodbye(struct tls_stream *tls);

#endif
