/* The calls, and the carrier over HTTP/1: a thin coat over its own exchange. */
#include "base/net/http_exchange.h"

#include "base/mem.h"

struct span http_header(const struct http_exchange *exchange, const char *name)
{
    return exchange->ops->header(exchange, name);
}

const struct stream_peer *http_peer(const struct http_exchange *exchange)
{
    return exchange->ops->peer(exchange);
}

bool http_lasts(struct http_exchange *exchange)
{
    return exchange->ops->lasts(exchange);
}

int http_notice(struct http_exchange *exchange, void (*on_gone)(void *arg), void *arg)
{
    return exchange->ops->notice(exchange, on_gone, arg);
}

void http_respond(struct http_exchange *exchange, const struct http1_response *response)
{
    exchange->ops->respond(exchange, response);
}

int http_stream_start(struct http_exchange *exchange, const struct http1_response *head,
                      void (*on_gone)(void *arg), void *arg)
{
    return exchange->ops->stream_start(exchange, head, on_gone, arg);
}

void http_stream_send(struct http_exchange *exchange, struct span piece)
{
    exchange->ops->stream_send(exchange, piece);
}

size_t http_stream_pending(const struct http_exchange *exchange)
{
    return exchange->ops->stream_pending(exchange);
}

size_t http_held(const struct http_exchange *exchange)
{
    return exchange->ops->held(exchange);
}

void http_stream_end(struct http_exchange *exchange)
{
    exchange->ops->stream_end(exchange);
}

void http_stream_cut(struct http_exchange *exchange)
{
    exchange->ops->stream_cut(exchange);
}

/* --- over HTTP/1 ------------------------------------------------------------------------------ */

struct over_http1 {
    struct http_exchange base; /* first: the carriers share it */
    struct http1_exchange *exchange;
};

static struct over_http1 *of(const struct http_exchange *exchange)
{
    return (struct over_http1 *)(void *)(uintptr_t)exchange;
}

static struct span header(const struct http_exchange *exchange, const char *name)
{
    return http1_request_header(of(exchange)->exchange, name);
}

static const struct stream_peer *peer(const struct http_exchange *exchange)
{
    return http1_request_peer(of(exchange)->exchange);
}

static bool lasts(struct http_exchange *exchange)
{
    return http1_lasts(of(exchange)->exchange);
}

static int notice(struct http_exchange *exchange, void (*on_gone)(void *arg), void *arg)
{
    return http1_notice(of(exchange)->exchange, on_gone, arg);
}

/* The coat goes before the exchange does: what it answers may bring the next request. */
static struct http1_exchange *take_off(struct http_exchange *exchange)
{
    struct http1_exchange *inner = of(exchange)->exchange;
    mem_free(of(exchange));
    return inner;
}

static void respond(struct http_exchange *exchange, const struct http1_response *response)
{
    http1_respond(take_off(exchange), response);
}

static int stream_start(struct http_exchange *exchange, const struct http1_response *head,
                        void (*on_gone)(void *arg), void *arg)
{
    int rc = http1_stream_start(of(exchange)->exchange, head, on_gone, arg);
    if (rc != 0) { /* it is over */
        (void)take_off(exchange);
    }
    return rc;
}

static void stream_send(struct http_exchange *exchange, struct span piece)
{
    http1_stream_send(of(exchange)->exchange, piece);
}

static size_t stream_pending_bytes(const struct http_exchange *exchange)
{
    return http1_stream_pending(of(exchange)->exchange);
}

static size_t held(const struct http_exchange *exchange)
{
    return http1_held(of(exchange)->exchange);
}

static void stream_end(struct http_exchange *exchange)
{
    http1_stream_end(take_off(exchange));
}

static void stream_cut(struct http_exchange *exchange)
{
    http1_stream_cut(take_off(exchange));
}

void http_exchange_http1(void *face, struct http1_exchange *exchange,
                         const struct http1_request *request)
{
    static const struct http_exchange_ops ops = {.header = header,
                                                 .peer = peer,
                                                 .lasts = lasts,
                                                 .notice = notice,
                                                 .respond = respond,
                                                 .stream_start = stream_start,
                                                 .stream_send = stream_send,
                                                 .stream_pending = stream_pending_bytes,
                                                 .held = held,
                                                 .stream_end = stream_end,
                                                 .stream_cut = stream_cut};
    const struct http_face *to = face;
    struct over_http1 *over = mem_new(struct over_http1);
    over->base.ops = &ops;
    over->exchange = exchange;
    to->on_request(to->arg, &over->base, request);
}
