/* Answers that take their time, and those that come in pieces. The exchange stays BUSY; its
 * connection is read on, so that the peer's end is noticed: it frees a watch. */
#include "base/net/http1.h"

#include "base/assert.h"
#include "base/net/http1_impl.h"

enum { OUT_KEPT_BYTES = 64 * 1024 };

/* Whoever takes nothing is waited for from the first byte that has to wait, and anew when some were
 * taken: what waits becomes less only so. */
void http1_note_pending(struct http1_exchange *x)
{
    size_t pending = stream_pending(x->stream);
    if (pending == 0) {
        list_remove(&x->wait);
    } else if (list_empty(&x->wait) || pending < x->waiting) {
        http1_wait_for_peer(x, HTTP1_WRITE_MS);
    }
    x->waiting = pending;
}

static void put_out(struct http1_exchange *x)
{
    struct buf *out = &x->server->out;
    http1_note_pending(x);
    int rc = stream_write(x->stream, buf_span(out), NULL, NULL, NULL);
    if (out->capacity > OUT_KEPT_BYTES) {
        buf_free(out);
    }
    if (rc != 0) {
        http1_close_connection(x);
    } else {
        http1_note_pending(x);
    }
}

int http1_notice(struct http1_exchange *x, void (*on_gone)(void *arg), void *arg)
{
    ASSERT(x->state == STATE_BUSY && !x->streaming);
    if (x->stream == NULL) {
        return ERR_CLOSED;
    }
    x->noticing = true;
    x->on_gone = on_gone;
    x->gone_arg = arg;
    if (stream_read_start(x->stream, NULL) != 0) {
        http1_close_connection(x);
    }
    return 0;
}

int http1_stream_start(struct http1_exchange *x, const struct http1_response *head,
                       void (*on_gone)(void *arg), void *arg)
{
    ASSERT(x->state == STATE_BUSY && !x->streaming && head->content_type != NULL);
    if (x->stream == NULL) {
        http1_release(x);
        return ERR_CLOSED;
    }
    x->streaming = true;
    x->on_gone = on_gone;
    x->gone_arg = arg;
    http1_put_head(x, head, true);
    put_out(x);
    if (x->stream != NULL && stream_read_start(x->stream, NULL) != 0) {
        http1_close_connection(x);
    }
    return 0;
}

void http1_stream_send(struct http1_exchange *x, struct span piece)
{
    struct buf *out = &x->server->out;
    ASSERT(x->streaming && piece.len > 0);
    if (x->stream == NULL || x->request.method == HTTP1_HEAD) {
        return;
    }
    buf_clear(out);
    if (x->minor == 1) {
        buf_printf(out, "%zx\r\n", piece.len);
    }
    buf_put_span(out, piece);
    if (x->minor == 1) {
        buf_put_str(out, "\r\n");
    }
    put_out(x);
}

size_t http1_stream_pending(const struct http1_exchange *x)
{
    return x->stream == NULL ? 0 : stream_pending(x->stream);
}

size_t http1_held(const struct http1_exchange *x)
{
    size_t held = 0;
    LIST_EACH(item, &x->server->connections)
    {
        held += http1_stream_pending(LIST_OWNER(item, struct http1_exchange, link));
    }
    return held;
}

void http1_stream_cut(struct http1_exchange *x)
{
    x->on_gone = NULL;
    http1_close_connection(x);
    http1_stream_end(x);
}

void http1_stream_end(struct http1_exchange *x)
{
    ASSERT(x->streaming && x->state == STATE_BUSY);
    if (x->stream != NULL && x->minor == 1 && x->request.method != HTTP1_HEAD) {
        buf_clear(&x->server->out);
        buf_put_str(&x->server->out, "0\r\n\r\n");
        put_out(x);
    }
    x->streaming = false;
    x->on_gone = NULL;
    if (x->stream == NULL) {
        http1_release(x);
    } else {
        http1_response_done(x);
    }
}
