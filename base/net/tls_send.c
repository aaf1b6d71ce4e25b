/* Sending: what is short and has nobody before it is encrypted at once; the rest waits as plain
 * text. The stream below is given no more than it takes without refusing: a record that was
 * encrypted and not sent would break the connection. */
#include "base/net/tls_stream.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/net/tls_text.h"

#include <openssl/err.h>
#include <string.h>

enum {
    PIECE_BYTES = 64 * 1024,  /* encrypted at a time */
    BELOW_BYTES = 128 * 1024, /* that wait below: then no more is encrypted */
    OUT_KEPT_BYTES = 4096,    /* of the buffer of what is to be sent, between two uses */
};

struct tls_write {
    struct list link;
    stream_done done;
    void *arg;
    size_t len;
    size_t at; /* encrypted so far */
    uint8_t data[];
};

/* A write that the stream below has whole. */
struct tls_sent {
    struct tls_stream *tls;
    stream_done done;
    void *arg;
};

static void write_free(struct tls_stream *tls, struct tls_write *write)
{
    list_remove(&write->link);
    tls->queued -= write->len - write->at;
    OPENSSL_cleanse(write->data, write->len);
    mem_free(write);
}

void tls_fail_waiting(struct tls_stream *tls, const struct error *err, bool closed)
{
    while (!list_empty(&tls->queue) && (closed || !tls->closing)) {
        struct tls_write *write = LIST_OWNER(list_first(&tls->queue), struct tls_write, link);
        stream_done done = write->done;
        void *arg = write->arg;
        write_free(tls, write);
        if (done != NULL) {
            done(arg, err->code, err);
        }
    }
    if (tls->shut == SHUT_ASKED && (closed || !tls->closing)) {
        tls->shut = SHUT_SENT; /* nothing is asked any more */
        if (tls->shutdown_done != NULL) {
            tls->shutdown_done(tls->shutdown_arg, err->code, err);
        }
    }
}

size_t tls_pending(const struct stream *stream)
{
    return tls_of(stream)->queued + stream_pending(tls_of(stream)->below);
}

/* --- sending ---------------------------------------------------------------------------------- */

/* The stream below takes it: it has never more than BELOW_BYTES and
 * a piece, unless the other side asks for answers and does not read them. */
static int flush(struct tls_stream *tls, stream_done done, void *arg, struct error *err)
{
    struct buf *out = &tls->wire.out;
    int rc =
        out->len == 0 && done == NULL ? 0 : stream_write(tls->below, buf_span(out), done, arg, err);
    if (out->capacity > OUT_KEPT_BYTES) {
        buf_free(out);
    } else {
        buf_clear(out);
    }
    return rc;
}

/* For what OpenSSL sends on its own: alerts, answers to a change of keys. */
void tls_flush(struct tls_stream *tls)
{
    struct error err;
    if (tls->wire.out.len > 0 && flush(tls, NULL, NULL, &err) != 0) {
        tls_fail(tls, &err);
    }
}

static int encrypt(struct tls_stream *tls, struct span bytes, struct error *err)
{
    size_t len = 0;
    ERR_clear_error();
    if (bytes.len > 0 && SSL_write_ex(tls->ssl, bytes.data, bytes.len, &len) != 1) {
        buf_clear(&tls->wire.out);
        int rc = tls_text_failure(&tls->notes, tls->context->paths[TLS_FILE_CERT], err);
        error_wrap(err, "%s", tls->peer.text);
        return rc;
    }
    ASSERT(len == bytes.len); /* the wire takes everything */
    return 0;
}

static void on_sent(void *arg, int rc, const struct error *err)
{
    struct tls_sent *sent = arg;
    struct tls_stream *tls = sent->tls;
    stream_done done = sent->done;
    void *done_arg = sent->arg;
    mem_free(sent);
    done(done_arg, rc, err);
    if (rc != 0 && !tls->closing) {
        tls_fail(tls, err);
        tls_settle(tls);
    }
}

/* Encrypts and sends; `done` when the stream below has let go of it. Both fail for good. */
static int send_piece(struct tls_stream *tls, struct span bytes, stream_done done, void *arg,
                      struct error *err)
{
    int rc = encrypt(tls, bytes, err);
    if (rc != 0 || done == NULL) {
        return rc != 0 ? rc : flush(tls, NULL, NULL, err);
    }
    struct tls_sent *sent = mem_new(struct tls_sent);
    sent->tls = tls;
    sent->done = done;
    sent->arg = arg;
    rc = flush(tls, on_sent, sent, err);
    if (rc != 0) {
        mem_free(sent);
    }
    return rc;
}

static void on_shut(void *arg, int rc, const struct error *err)
{
    struct tls_stream *tls = arg;
    if (tls->shutdown_done != NULL) {
        tls->shutdown_done(tls->shutdown_arg, rc, err);
    }
}

static void send_goodbye(struct tls_stream *tls)
{
    struct error err;
    ERR_clear_error();
    (void)SSL_shutdown(tls->ssl); /* puts close_notify onto the wire; the answer is read later */
    int rc = flush(tls, NULL, NULL, &err);
    rc = rc != 0 ? rc : stream_shutdown(tls->below, on_shut, tls, &err);
    if (rc == 0) {
        tls->shut = SHUT_SENT;
    } else {
        tls_fail(tls, &err);
    }
}

void tls_pump(struct tls_stream *tls)
{
    while (tls->state == TLS_OPEN && !list_empty(&tls->queue) &&
           stream_pending(tls->below) < BELOW_BYTES) {
        struct tls_write *write = LIST_OWNER(list_first(&tls->queue), struct tls_write, link);
        size_t len = write->len - write->at < PIECE_BYTES ? write->len - write->at : PIECE_BYTES;
        bool last = write->at + len == write->len;
        struct error err;
        if (send_piece(tls, span_of(write->data + write->at, len), last ? write->done : NULL,
                       write->arg, &err) != 0) {
            tls_fail(tls, &err);
            return;
        }
        write->at += len;
        tls->queued -= len;
        if (last) {
            write_free(tls, write);
        }
    }
    if (tls->state == TLS_OPEN && list_empty(&tls->queue) && tls->shut == SHUT_ASKED) {
        send_goodbye(tls);
    }
}

static int enqueue(struct tls_stream *tls, struct span bytes, stream_done done, void *arg,
                   struct error *err)
{
    struct tls_write *write = mem_try(sizeof *write + bytes.len);
    if (write == NULL) {
        return error_set(err, ERR_NOMEM, "%s: no memory to queue %zu bytes", tls->peer.text,
                         bytes.len);
    }
    write->done = done;
    write->arg = arg;
    write->len = bytes.len;
    if (bytes.len > 0) {
        memcpy(write->data, bytes.data, bytes.len);
    }
    list_append(&tls->queue, &write->link);
    tls->queued += bytes.len;
    tls_pump(tls);
    return 0;
}

int tls_write(struct stream *stream, struct span bytes, stream_done done, void *arg,
              struct error *err)
{
    struct tls_stream *tls = tls_of(stream);
    size_t pending = tls_pending(stream);
    ASSERT(!tls->closing);
    if (tls->state == TLS_FAILED) {
        return error_set(err, tls->err.code, "%s", tls->err.text);
    }
    if (tls->shut != SHUT_NO) {
        return error_set(err, ERR_CLOSED, "%s: our direction was ended", tls->peer.text);
    }
    if (bytes.len > tls->write_queue_bytes_max ||
        pending > tls->write_queue_bytes_max - bytes.len) {
        return error_set(err, ERR_LIMIT, "%s: %zu bytes wait already, the limit is %zu",
                         tls->peer.text, pending, tls->write_queue_bytes_max);
    }
    if (bytes.len == 0 && done == NULL) {
        return 0;
    }
    int rc;
    if (tls->state == TLS_OPEN && list_empty(&tls->queue) && bytes.len <= PIECE_BYTES &&
        stream_pending(tls->below) < BELOW_BYTES) {
        struct error own;
        rc = send_piece(tls, bytes, done, arg, &own);
        if (rc != 0) {
            tls_fail(tls, &own);
            return error_set(err, rc, "%s", own.text);
        }
    } else {
        rc = enqueue(tls, bytes, done, arg, err);
    }
    tls->waited = tls->waited || (rc == 0 && tls_pending(stream) > 0);
    return rc;
}

int tls_shutdown(struct stream *stream, stream_done done, void *arg, struct error *err)
{
    struct tls_stream *tls = tls_of(stream);
    ASSERT(!tls->closing);
    if (tls->state == TLS_FAILED || tls->shut != SHUT_NO) {
        return error_set(err, ERR_CLOSED, "%s: our direction is over", tls->peer.text);
    }
    tls->shut = SHUT_ASKED;
    tls->shutdown_done = done;
    tls->shutdown_arg = arg;
    tls_pump(tls);
    return 0;
}

/* Where something is dropped, the other side must not take it for an end in order. */
void tls_say_goodbye(struct tls_stream *tls)
{
    if (tls->state == TLS_OPEN && tls->shut == SHUT_NO && list_empty(&tls->queue) &&
        stream_pending(tls->below) == 0) {
        ERR_clear_error();
        (void)SSL_shutdown(tls->ssl);
        (void)flush(tls, NULL, NULL, NULL);
    }
}
