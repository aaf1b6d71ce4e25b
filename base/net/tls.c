/* One connection.
 *
 *   HANDSHAKE --(agreed)--> OPEN --(anything that breaks it)--> FAILED
 *       +---------(refused, lost, late)----------------------------^
 *
 * Reading: what the stream below lends is given to OpenSSL, and what comes out of it to the owner,
 * until the owner stops; the rest is kept then, and the stream below is stopped, so that never more
 * than one read of it waits here. Writing is tls_send.c.
 *
 * An event comes from the stream below or from the timer, which is the deadline of the handshake
 * first (or the moment at which a server looks whether it is its turn: tls_turn.h) and afterwards
 * the next turn for what a call may not tell. Each ends in tls_settle, which tells what has come of
 * it. The owner may close in any of its callbacks: `closing` is looked at after each. */
#include "base/net/tls.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/net/tls_stream.h"
#include "base/net/tls_text.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

enum {
    HANDSHAKE_MS_DEFAULT = 10000,
    AGAIN_MS = 1, /* a timer of 0 ms that starts itself would never let the loop's time go on */
    WRITE_QUEUE_BYTES_DEFAULT = 1024 * 1024,
    PLAIN_BYTES = 16 * 1024, /* the most that a record holds */
};

/* --- failing and telling ---------------------------------------------------------------------- */

static void on_timer(uv_timer_t *timer);

static void next_turn(struct tls_stream *tls)
{
    int rc = uv_timer_start(&tls->timer, on_timer, 0, 0);
    ASSERT(rc == 0);
}

void tls_fail(struct tls_stream *tls, const struct error *err)
{
    if (tls->state != TLS_FAILED && !tls->closing) {
        tls->state = TLS_FAILED;
        tls->err = *err;
        tls->wire.in = span_of(NULL, 0);
        stream_read_stop(tls->below);
        next_turn(tls);
    }
}

/* `err` is without the peer's address. */
static void fail(struct tls_stream *tls, const struct error *err)
{
    struct error own = *err;
    error_wrap(&own, "%s", tls->peer.text);
    tls_fail(tls, &own);
}

static void fail_by_openssl(struct tls_stream *tls)
{
    struct error err;
    (void)tls_text_failure(&tls->notes, tls->context->paths[TLS_FILE_CERT], &err);
    fail(tls, &err);
}

void tls_settle(struct tls_stream *tls)
{
    if (tls->state == TLS_FAILED && !tls->closing) {
        tls_fail_waiting(tls, &tls->err, false);
    }
    bool over = tls->state == TLS_FAILED || tls->ended;
    if (over && !tls->told && !tls->closing && tls->base.events != NULL) {
        tls->told = true;
        tls->base.events->on_end(tls->base.arg, tls->err.code, &tls->err);
    }
    if (tls->waited && tls->state == TLS_OPEN && !tls->closing && tls_pending(&tls->base) == 0) {
        tls->waited = false;
        if (tls->base.events != NULL && tls->base.events->on_drained != NULL) {
            tls->base.events->on_drained(tls->base.arg);
        }
    }
}

/* --- receiving -------------------------------------------------------------------------------- */

static void end_in_order(struct tls_stream *tls)
{
    tls->ended = true;
    (void)error_set(&tls->err, ERR_CLOSED, "%s: closed by the peer", tls->peer.text);
}

/* One record. False: there is no more for now. */
static bool read_record(struct tls_stream *tls, uint8_t *plain, size_t size)
{
    size_t len = 0;
    ERR_clear_error();
    int rc = SSL_read_ex(tls->ssl, plain, size, &len);
    int why = rc == 1 ? SSL_ERROR_NONE : SSL_get_error(tls->ssl, rc);
    if (rc == 1) {
        tls->base.events->on_read(tls->base.arg, span_of(plain, len));
        OPENSSL_cleanse(plain, len);
        return true;
    }
    if (why == SSL_ERROR_ZERO_RETURN) {
        end_in_order(tls);
    } else if (why != SSL_ERROR_WANT_READ) {
        fail_by_openssl(tls);
    }
    return false;
}

static void read_plain(struct tls_stream *tls)
{
    static _Thread_local uint8_t plain[PLAIN_BYTES];
    bool more = true;
    tls->busy = true;
    while (more && !tls->closing && tls->reading && tls->state == TLS_OPEN && !tls->ended) {
        more = read_record(tls, plain, sizeof plain);
    }
    tls->busy = false;
    if (!tls->closing) {
        tls_flush(tls);
    }
}

/* --- handshake -------------------------------------------------------------------------------- */

/* Every record of a handshake, and of one that is refused, begins with its type and 3. */
static bool is_record(struct span bytes)
{
    bool type = bytes.data[0] == SSL3_RT_HANDSHAKE || bytes.data[0] == SSL3_RT_ALERT;
    return type && (bytes.len == 1 || bytes.data[1] == SSL3_VERSION_MAJOR);
}

/* Somebody who speaks something else is told so in words, ours and his. */
static bool look_at_first(struct tls_stream *tls)
{
    struct error err;
    if (tls->heard || tls->wire.in.len == 0) {
        return true;
    }
    tls->heard = true;
    if (is_record(tls->wire.in)) {
        return true;
    }
    (void)error_set(&err, ERR_UNSUPPORTED,
                    tls->is_server ? "plain text came where TLS is spoken"
                                   : "the other side does not speak TLS");
    fail(tls, &err);
    buf_put_span(&tls->wire.out, buf_span(&tls->plain_answer));
    tls_flush(tls);
    return false;
}

static void look_at_peer(struct tls_stream *tls)
{
    const unsigned char *chosen = NULL;
    unsigned len = 0;
    SSL_get0_alpn_selected(tls->ssl, &chosen, &len);
    if (len > 0 && len < sizeof tls->protocol) {
        memcpy(tls->protocol, chosen, len);
    }
    X509 *certificate = SSL_get0_peer_certificate(tls->ssl);
    if (certificate != NULL && tls->context->verify != TLS_VERIFY_NONE &&
        SSL_get_verify_result(tls->ssl) == X509_V_OK) {
        tls->peer.is_verified = true;
        tls_text_name(certificate, tls->peer.name, sizeof tls->peer.name);
    }
}

static void handshake(struct tls_stream *tls)
{
    if (!look_at_first(tls)) {
        return;
    }
    ERR_clear_error();
    int rc = SSL_do_handshake(tls->ssl);
    int why = rc == 1 ? SSL_ERROR_NONE : SSL_get_error(tls->ssl, rc);
    if (rc != 1 && why != SSL_ERROR_WANT_READ) {
        fail_by_openssl(tls);
        tls_flush(tls); /* the alert */
        return;
    }
    tls_flush(tls);
    if (rc == 1 && tls->state == TLS_HANDSHAKE) {
        tls->state = TLS_OPEN;
        (void)uv_timer_stop(&tls->timer);
        look_at_peer(tls);
        tls_pump(tls);
    }
}

/* The timer is the deadline of the handshake, or comes before it. */
static void wait_for_handshake(struct tls_stream *tls, uint64_t after_ms)
{
    uint64_t now_ms = uv_now(tls->timer.loop);
    uint64_t left_ms = tls->handshake_until_ms > now_ms ? tls->handshake_until_ms - now_ms : 0;
    int rc = uv_timer_start(&tls->timer, on_timer, after_ms < left_ms ? after_ms : left_ms, 0);
    ASSERT(rc == 0);
}

/* If not, what came stays in `rest` until it may. */
static bool may_step(struct tls_stream *tls)
{
    bool may = !tls->is_server || tls->state != TLS_HANDSHAKE ||
               tls_turn_take(&tls->context->turn, uv_now(tls->timer.loop), tls->peer.ip);
    if (!may) {
        stream_read_stop(tls->below);
        wait_for_handshake(tls, AGAIN_MS);
    }
    return may;
}

/* --- events ----------------------------------------------------------------------------------- */

/* What is in wire.in, as far as it is wanted. */
static void take_in(struct tls_stream *tls)
{
    if (tls->state == TLS_HANDSHAKE) {
        handshake(tls);
    }
    if (tls->state == TLS_OPEN) {
        read_plain(tls);
    }
    if (!tls->closing && tls->wire.in.len > 0 && tls->state == TLS_OPEN && !tls->ended) {
        buf_put_span(&tls->rest, tls->wire.in);
    }
    tls->wire.in = span_of(NULL, 0);
}

/* The stream below is read while the owner reads and everything that came has been taken. */
static void follow(struct tls_stream *tls)
{
    struct error err;
    if (tls->closing || tls->state != TLS_OPEN) {
        return;
    }
    if (!tls->reading || tls->ended || tls->rest.len > 0) {
        stream_read_stop(tls->below);
        if (tls->reading && tls->rest.len > 0) {
            next_turn(tls);
        }
    } else if (stream_read_start(tls->below, &err) != 0) {
        tls_fail(tls, &err);
    }
}

static void on_below_read(void *arg, struct span bytes)
{
    struct tls_stream *tls = arg;
    ASSERT(tls->rest.len == 0);
    if (!may_step(tls)) {
        buf_put_span(&tls->rest, bytes);
        return;
    }
    tls->wire.in = bytes;
    take_in(tls);
    follow(tls);
    tls_settle(tls);
}

static void on_below_end(void *arg, int rc, const struct error *below)
{
    struct tls_stream *tls = arg;
    struct error err;
    if (rc != ERR_CLOSED) {
        tls_fail(tls, below);
    } else if (tls->state == TLS_HANDSHAKE) {
        (void)error_set(&err, ERR_IO, "closed by the peer in the middle of the TLS handshake");
        fail(tls, &err);
    } else if (!tls->ended) {
        (void)error_set(&err, ERR_IO,
                        "closed by the peer without an end of TLS: what came may be cut off");
        fail(tls, &err);
    }
    tls_settle(tls);
}

static void on_below_drained(void *arg)
{
    struct tls_stream *tls = arg;
    tls_pump(tls);
    tls_settle(tls);
}

static const struct stream_events below_events = {
    .on_read = on_below_read, .on_end = on_below_end, .on_drained = on_below_drained};

static void take_rest(struct tls_stream *tls)
{
    struct buf rest = tls->rest;
    tls->rest = (struct buf)BUF_INIT;
    tls->wire.in = buf_span(&rest);
    take_in(tls);
    buf_free(&rest);
}

static void go_on_with_handshake(struct tls_stream *tls)
{
    struct error err;
    if (uv_now(tls->timer.loop) >= tls->handshake_until_ms) {
        (void)error_set(&err, ERR_TIMEOUT, "no TLS handshake in %lld ms",
                        (long long)tls->handshake_ms);
        fail(tls, &err);
        return;
    }
    if (!may_step(tls)) {
        return;
    }
    wait_for_handshake(tls, UINT64_MAX);
    take_rest(tls);
    if (tls->state == TLS_OPEN) {
        follow(tls);
    } else if (tls->state == TLS_HANDSHAKE && !tls->closing &&
               stream_read_start(tls->below, &err) != 0) {
        tls_fail(tls, &err);
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct tls_stream *tls = timer->data;
    if (tls->state == TLS_HANDSHAKE) {
        go_on_with_handshake(tls);
    } else if (tls->state == TLS_OPEN && tls->reading) {
        take_rest(tls);
        follow(tls);
    }
    tls_settle(tls);
}

/* --- reading, as asked for -------------------------------------------------------------------- */

static int tls_read_start(struct stream *stream, struct error *err)
{
    struct tls_stream *tls = tls_of(stream);
    ASSERT(stream->events != NULL && !tls->closing);
    if (tls->told || tls->ended) {
        return error_set(err, ERR_CLOSED, "%s: closed", tls->peer.text);
    }
    tls->reading = true;
    if (tls->state == TLS_FAILED) {
        next_turn(tls); /* nobody was there to be told */
    } else if (!tls->busy) {
        follow(tls);
    }
    return 0;
}

static void tls_read_stop(struct stream *stream)
{
    struct tls_stream *tls = tls_of(stream);
    tls->reading = false;
    if (!tls->busy) {
        follow(tls);
    }
}

static const struct stream_peer *tls_peer(const struct stream *stream)
{
    return &tls_of(stream)->peer;
}

/* --- closing ---------------------------------------------------------------------------------- */

static void part_closed(struct tls_stream *tls)
{
    if (--tls->parts > 0) {
        return;
    }
    struct error err;
    (void)error_set(&err, ERR_CANCELED, "%s: the stream was closed", tls->peer.text);
    tls_fail_waiting(tls, &err, true);
    if (tls->closed != NULL) {
        tls->closed(tls->closed_arg);
    }
    SSL_free(tls->ssl); /* wipes its keys */
    tls_context_free(tls->context);
    buf_free(&tls->wire.out);
    buf_free(&tls->rest);
    buf_free(&tls->plain_answer);
    mem_free(tls->host);
    mem_free(tls);
}

static void on_timer_closed(uv_handle_t *handle)
{
    part_closed(handle->data);
}

static void on_below_closed(void *arg)
{
    part_closed(arg);
}

static void tls_close(struct stream *stream, stream_closed closed, void *arg)
{
    struct tls_stream *tls = tls_of(stream);
    ASSERT(!tls->closing);
    tls_say_goodbye(tls);
    tls->closing = true;
    tls->reading = false;
    tls->closed = closed;
    tls->closed_arg = arg;
    tls->parts = 2;
    uv_close((uv_handle_t *)&tls->timer, on_timer_closed);
    stream_close(tls->below, on_below_closed, tls);
}

static const struct stream_ops tls_ops = {
    .read_start = tls_read_start,
    .read_stop = tls_read_stop,
    .write = tls_write,
    .pending = tls_pending,
    .shutdown = tls_shutdown,
    .close = tls_close,
    .peer = tls_peer,
};

/* --- making ----------------------------------------------------------------------------------- */

static bool is_address(const char *host)
{
    struct net_addr addr = {.port = 1};
    struct sockaddr_storage unused;
    (void)snprintf(addr.host, sizeof addr.host, "%s", host);
    return net_addr_numeric(&addr, &unused);
}

/* SNI, and what the certificate has to bear. */
static bool expect_host(struct tls_stream *tls)
{
    bool numeric = is_address(tls->host);
    X509_VERIFY_PARAM *param = SSL_get0_param(tls->ssl);
    if (tls->context->verify == TLS_VERIFY_NONE) {
        return numeric || SSL_set_tlsext_host_name(tls->ssl, tls->host) == 1;
    }
    if (numeric) {
        return X509_VERIFY_PARAM_set1_ip_asc(param, tls->host) == 1;
    }
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return X509_VERIFY_PARAM_set1_host(param, tls->host, 0) == 1 &&
           SSL_set_tlsext_host_name(tls->ssl, tls->host) == 1;
}

static bool session_make(struct tls_stream *tls)
{
    ERR_clear_error();
    tls->ssl = SSL_new(tls->context->material.ctx);
    BIO *bio = tls->ssl != NULL ? tls_bio_new(&tls->wire) : NULL;
    if (bio == NULL) {
        return false;
    }
    SSL_set_bio(tls->ssl, bio, bio);
    SSL_set_app_data(tls->ssl, &tls->notes);
    if (tls->is_server) {
        SSL_set_accept_state(tls->ssl);
    } else {
        SSL_set_connect_state(tls->ssl);
    }
    return tls->host == NULL || expect_host(tls);
}

static void begin(struct tls_stream *tls)
{
    struct error err;
    if (!session_make(tls)) {
        char reason[160];
        tls_text_reason(reason, sizeof reason);
        (void)error_set(&err, ERR_NOMEM, "setting up TLS: %s", reason);
        fail(tls, &err);
        return;
    }
    tls->handshake_until_ms = uv_now(tls->timer.loop) + (uint64_t)tls->handshake_ms;
    wait_for_handshake(tls, UINT64_MAX);
    if (stream_read_start(tls->below, &err) != 0) {
        tls_fail(tls, &err);
    } else if (!tls->is_server) {
        handshake(tls);
    }
}

struct stream *tls_stream_new(struct stream *below, const struct tls_options *options)
{
    struct tls_stream *tls = mem_new(struct tls_stream);
    ASSERT(below->ops != &tls_ops); /* they share one buffer of plain text */
    tls->base.ops = &tls_ops;
    tls->below = below;
    tls->context = tls_context_hold(options->context);
    tls->is_server = options->is_server;
    tls->host = mem_strdup(options->host);
    tls->notes.host = tls->host;
    tls->notes.cafile = tls->context->paths[TLS_FILE_CA];
    tls->handshake_ms = options->handshake_ms > 0 ? options->handshake_ms : HANDSHAKE_MS_DEFAULT;
    tls->write_queue_bytes_max = options->write_queue_bytes_max > 0 ? options->write_queue_bytes_max
                                                                    : WRITE_QUEUE_BYTES_DEFAULT;
    buf_put_span(&tls->plain_answer, options->plain_answer);
    tls->peer = *stream_peer(below);
    list_init(&tls->queue);
    int rc = uv_timer_init(options->loop, &tls->timer);
    ASSERT(rc == 0);
    tls->timer.data = tls;
    stream_attach(below, &below_events, tls);
    begin(tls);
    return &tls->base;
}

/* --- asking ----------------------------------------------------------------------------------- */

bool tls_stream_is_open(const struct stream *stream)
{
    ASSERT(stream->ops == &tls_ops);
    return tls_of(stream)->state == TLS_OPEN;
}

const char *tls_stream_protocol(const struct stream *stream)
{
    ASSERT(stream->ops == &tls_ops);
    return tls_of(stream)->protocol;
}

static X509 *good_certificate(const struct stream *stream)
{
    const struct tls_stream *tls = tls_of(stream);
    ASSERT(stream->ops == &tls_ops);
    return tls->peer.is_verified ? SSL_get0_peer_certificate(tls->ssl) : NULL;
}

bool tls_stream_peer_has(const struct stream *stream, const char *name)
{
    X509 *certificate = good_certificate(stream);
    unsigned flags = X509_CHECK_FLAG_ALWAYS_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS;
    bool is_name = name[0] != '\0' && name[0] != '.'; /* which means any below it to OpenSSL */
    bool has = certificate != NULL && is_name &&
               (X509_check_host(certificate, name, 0, flags, NULL) == 1 ||
                X509_check_ip_asc(certificate, name, 0) == 1);
    ERR_clear_error();
    return has;
}

const char *tls_stream_peer_names(const struct stream *stream, char *out, size_t size)
{
    X509 *certificate = good_certificate(stream);
    out[0] = '\0';
    if (certificate != NULL) {
        tls_text_names(certificate, out, size);
    }
    return out;
}
