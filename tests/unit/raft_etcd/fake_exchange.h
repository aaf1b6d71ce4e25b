/* Requests over HTTP whose answers are recorded instead of sent. */
#ifndef TESTS_UNIT_RAFT_ETCD_FAKE_EXCHANGE_H
#define TESTS_UNIT_RAFT_ETCD_FAKE_EXCHANGE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/net/http_exchange.h"

#include <stdio.h>
#include <string.h>

enum { FAKE_PATH_BYTES = 4096, FAKE_HEADERS_BYTES = 512 };

struct fake_exchange {
    struct http_exchange base;
    struct http1_request request;
    char path[FAKE_PATH_BYTES];
    char query[FAKE_PATH_BYTES];
    struct buf sent; /* the body of the request */
    const char *content_type;
    const char *authorization;
    bool is_gone_at_start; /* the peer is not there when a stream begins */
    size_t pending;        /* what the peer has not taken */
    size_t held;           /* the same of all peers */
    int status;            /* 0: no answer yet */
    char type[64];
    char headers[FAKE_HEADERS_BYTES];
    struct buf body;
    unsigned pieces;
    bool streaming;
    bool ended;
    bool cut; /* in the middle */
    void (*on_gone)(void *arg);
    void *gone_arg;
};

/* --- the carrier ------------------------------------------------------------------------------ */

static struct span fake_header(const struct http_exchange *exchange, const char *name)
{
    const struct fake_exchange *fake = (const struct fake_exchange *)exchange;
    const char *value = strcmp(name, "Content-Type") == 0    ? fake->content_type
                        : strcmp(name, "Authorization") == 0 ? fake->authorization
                                                             : NULL;
    return value == NULL ? span_of(NULL, 0) : span_str(value);
}

static const struct stream_peer *fake_peer(const struct http_exchange *exchange)
{
    static const struct stream_peer peer = {.text = "127.0.0.1:1"};
    (void)exchange;
    return &peer;
}

static void fake_head(struct fake_exchange *fake, const struct http1_response *response)
{
    assert_int_equal(fake->status, 0);
    fake->status = response->status;
    (void)snprintf(fake->type, sizeof fake->type, "%s",
                   response->content_type == NULL ? "" : response->content_type);
    (void)snprintf(fake->headers, sizeof fake->headers, "%s",
                   response->headers == NULL ? "" : response->headers);
    memset(fake->path, 'x', sizeof fake->path); /* the request is not valid any more */
    memset(fake->query, 'x', sizeof fake->query);
    memset(fake->sent.data, 'x', fake->sent.len);
}

static void fake_respond(struct http_exchange *exchange, const struct http1_response *response)
{
    struct fake_exchange *fake = (struct fake_exchange *)exchange;
    buf_put_span(&fake->body, response->body); /* which may borrow from the request */
    fake_head(fake, response);
    fake->ended = true;
    if (fake->request.method == HTTP1_HEAD) {
        buf_clear(&fake->body);
    }
}

static int fake_stream_start(struct http_exchange *exchange, const struct http1_response *head,
                             void (*on_gone)(void *arg), void *arg)
{
    struct fake_exchange *fake = (struct fake_exchange *)exchange;
    if (fake->is_gone_at_start) {
        fake->ended = true;
        return ERR_CLOSED;
    }
    assert_non_null(head->content_type);
    fake_head(fake, head);
    fake->streaming = true;
    fake->on_gone = on_gone;
    fake->gone_arg = arg;
    return 0;
}

static void fake_stream_send(struct http_exchange *exchange, struct span piece)
{
    struct fake_exchange *fake = (struct fake_exchange *)exchange;
    assert_true(fake->streaming && !fake->ended && piece.len > 0);
    fake->pieces++;
    buf_put_span(&fake->body, piece);
}

static size_t fake_stream_pending(const struct http_exchange *exchange)
{
    return ((const struct fake_exchange *)exchange)->pending;
}

static void fake_stream_end(struct http_exchange *exchange)
{
    struct fake_exchange *fake = (struct fake_exchange *)exchange;
    assert_true(fake->streaming && !fake->ended);
    fake->ended = true;
}

static void fake_stream_cut(struct http_exchange *exchange)
{
    fake_stream_end(exchange);
    ((struct fake_exchange *)exchange)->cut = true;
}

static size_t fake_held(const struct http_exchange *exchange)
{
    return ((const struct fake_exchange *)exchange)->held;
}

static bool fake_lasts(struct http_exchange *exchange)
{
    (void)exchange;
    return true;
}

static const struct http_exchange_ops fake_ops = {.header = fake_header,
                                                  .peer = fake_peer,
                                                  .lasts = fake_lasts,
                                                  .held = fake_held,
                                                  .respond = fake_respond,
                                                  .stream_start = fake_stream_start,
                                                  .stream_send = fake_stream_send,
                                                  .stream_pending = fake_stream_pending,
                                                  .stream_end = fake_stream_end,
                                                  .stream_cut = fake_stream_cut};

static enum http1_method fake_method(const char *name)
{
    static const char *const names[] = {
        [HTTP1_GET] = "GET",      [HTTP1_HEAD] = "HEAD", [HTTP1_OPTIONS] = "OPTIONS",
        [HTTP1_POST] = "POST",    [HTTP1_PUT] = "PUT",   [HTTP1_PATCH] = "PATCH",
        [HTTP1_DELETE] = "DELETE"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(name, names[i]) == 0) {
            return (enum http1_method)i;
        }
    }
    return HTTP1_OTHER;
}

static struct fake_exchange *fake_new(const char *method, const char *target, const char *body)
{
    struct fake_exchange *fake = mem_new(struct fake_exchange);
    size_t path_len = strcspn(target, "?");
    const char *query = target[path_len] == '?' ? target + path_len + 1 : "";
    fake->base.ops = &fake_ops;
    assert_true(path_len < sizeof fake->path && strlen(query) < sizeof fake->query);
    memcpy(fake->path, target, path_len);
    strcpy(fake->query, query);
    buf_put_str(&fake->sent, body);
    buf_reserve(&fake->sent, 1);
    fake->content_type = body[0] == '\0' ? NULL : "application/x-www-form-urlencoded";
    fake->request = (struct http1_request){.method = fake_method(method),
                                           .path = fake->path,
                                           .query = fake->query,
                                           .body = buf_span(&fake->sent)};
    return fake;
}

static void fake_free(struct fake_exchange *fake)
{
    buf_free(&fake->sent);
    buf_free(&fake->body);
    mem_free(fake);
}

/* The value of a header of the answer; "" = it has none. Until the next call. */
static inline const char *fake_answer_header(const struct fake_exchange *fake, const char *name)
{
    static char value[FAKE_HEADERS_BYTES];
    const char *at = strstr(fake->headers, name);
    value[0] = '\0';
    if (at != NULL) {
        at += strlen(name) + 2;
        (void)snprintf(value, sizeof value, "%.*s", (int)strcspn(at, "\r"), at);
    }
    return value;
}

#endif
