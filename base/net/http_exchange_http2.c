/* The carrier over HTTP/2. An exchange goes GATHERS -> BUSY (the handler has it) -> STREAMS, or not
 * -> OVER, and is freed when it is OVER and its stream is closed, whichever comes last. A stream
 * that is closed in GATHERS takes the exchange with it: nobody knows of it yet. */
#include "base/net/http_exchange.h"

#include "base/assert.h"
#include "base/buf.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/net/http1_impl.h"

#include <stdio.h>
#include <string.h>

enum { SWEEP_MS = 500, ANSWER_HEADERS_MAX = 16 };

enum exchange_state { GATHERS, IS_BUSY, STREAMS, IS_OVER };

struct over_http2 {
    struct http_exchange base; /* first: the carriers share it */
    struct list link;
    struct http_exchange_http2 *server;
    struct http2_stream *stream; /* NULL: it is closed */
    enum exchange_state state;
    bool cut; /* reset by us: what is sent goes nowhere */
    struct http1_request request;
    struct buf head;   /* path, query, and names and values of the headers, each terminated */
    size_t headers_at; /* of it */
    struct buf body;
    size_t counted;  /* of it, in server->held */
    bool has_length; /* it was told how long the body is */
    size_t length;
    uint64_t deadline_ms;
    void (*on_gone)(void *arg);
    void *gone_arg;
};

struct http_exchange_http2 {
    uv_loop_t *loop;
    const struct http_face *face;
    size_t body_bytes_max;
    struct list exchanges;
    size_t count;
    size_t gathering;
    size_t held;      /* bytes of bodies */
    uv_timer_t sweep; /* runs while something is gathered */
    struct buf scratch;
    bool stopping;
    bool sweep_closed;
    void (*stopped)(void *arg);
    void *stopped_arg;
};

static struct over_http2 *of(const struct http_exchange *exchange)
{
    return (struct over_http2 *)(void *)(uintptr_t)exchange;
}

/* --- states ----------------------------------------------------------------------------------- */

static void maybe_stopped(struct http_exchange_http2 *server)
{
    if (server->sweep_closed && list_empty(&server->exchanges)) {
        void (*stopped)(void *arg) = server->stopped;
        void *arg = server->stopped_arg;
        buf_free(&server->scratch);
        mem_free(server);
        if (stopped != NULL) {
            stopped(arg);
        }
    }
}

static void count_held(struct over_http2 *x)
{
    x->server->held += x->body.len - x->counted;
    x->counted = x->body.len;
}

static void drop_request(struct over_http2 *x)
{
    buf_free(&x->head);
    buf_free(&x->body);
    count_held(x);
    x->request = (struct http1_request){.method = x->request.method};
}

static void free_exchange(struct over_http2 *x)
{
    struct http_exchange_http2 *server = x->server;
    drop_request(x);
    list_remove(&x->link);
    server->count--;
    mem_free(x);
    maybe_stopped(server);
}

static void on_sweep(uv_timer_t *timer);

static void set_state(struct over_http2 *x, enum exchange_state state)
{
    struct http_exchange_http2 *server = x->server;
    server->gathering += state == GATHERS;
    server->gathering -= x->state == GATHERS;
    x->state = state;
    if (server->stopping) {
        return;
    }
    if (server->gathering == 0) {
        (void)uv_timer_stop(&server->sweep);
    } else if (uv_is_active((const uv_handle_t *)&server->sweep) == 0) {
        (void)uv_timer_start(&server->sweep, on_sweep, SWEEP_MS, SWEEP_MS);
    }
}

/* --- answers ---------------------------------------------------------------------------------- */

/* "Name: value" lines, each ended by CR LF. Names become lower case in `scratch`, which has room.
 */
static size_t take_lines(const char *lines, struct buf *scratch, struct http2_header *ret_headers)
{
    size_t count = 0;
    while (lines != NULL && *lines != '\0') {
        const char *colon = strchr(lines, ':');
        const char *end = strstr(lines, "\r\n");
        ASSERT(colon != NULL && end != NULL && colon < end && count < ANSWER_HEADERS_MAX);
        uint8_t *name = scratch->data + scratch->len;
        for (const char *c = lines; c < colon; c++) {
            buf_put_u8(scratch, (uint8_t)(*c >= 'A' && *c <= 'Z' ? *c - 'A' + 'a' : *c));
        }
        const char *value = colon + 1 + strspn(colon + 1, " ");
        ret_headers[count].name = span_of(name, (size_t)(colon - lines));
        ret_headers[count].value = span_of(value, (size_t)(end - value));
        count++;
        lines = end + 2;
    }
    return count;
}

/* `length`: of the body; NULL = it is not known yet. */
static void put_head(struct over_http2 *x, const struct http1_response *response,
                     const size_t *length, bool end)
{
    struct http2_header headers[ANSWER_HEADERS_MAX + 3];
    struct buf *scratch = &x->server->scratch;
    char date[HTTP1_DATE_BYTES];
    char digits[24];
    buf_clear(scratch);
    buf_reserve(scratch, response->headers == NULL ? 1 : strlen(response->headers));
    size_t count = take_lines(response->headers, scratch, headers);
    if (response->content_type != NULL) {
        http1_date(date);
        headers[count++] = (struct http2_header){span_str("date"), span_str(date)};
        headers[count++] =
            (struct http2_header){span_str("content-type"), span_str(response->content_type)};
    }
    if (length != NULL) {
        (void)snprintf(digits, sizeof digits, "%zu", *length);
        headers[count++] = (struct http2_header){span_str("content-length"), span_str(digits)};
    }
    http2_respond(x->stream, response->status, headers, count, end);
}

static void put_answer(struct over_http2 *x, const struct http1_response *response)
{
    size_t length = response->content_type == NULL ? 0 : response->body.len;
    bool has_body = length > 0 && x->request.method != HTTP1_HEAD;
    put_head(x, response, &length, !has_body);
    if (has_body) {
        if (http2_send(x->stream, response->body, NULL) == 0) {
            http2_finish(x->stream, NULL, 0);
        } else {
            http2_reset(x->stream); /* too much waits for others */
        }
    }
}

/* Before anybody was asked. */
static void refuse(struct over_http2 *x, int status, const char *text)
{
    struct http1_response response = {
        .status = status, .content_type = "text/plain", .body = span_str(text)};
    set_state(x, IS_OVER);
    drop_request(x);
    put_answer(x, &response);
}

static void respond(struct http_exchange *exchange, const struct http1_response *response)
{
    struct over_http2 *x = of(exchange);
    ASSERT(x->state == IS_BUSY);
    set_state(x, IS_OVER);
    if (x->stream == NULL) {
        free_exchange(x);
        return;
    }
    put_answer(x, response);
    drop_request(x); /* the answer may have been made of it */
}

static int stream_start(struct http_exchange *exchange, const struct http1_response *head,
                        void (*on_gone)(void *arg), void *arg)
{
    struct over_http2 *x = of(exchange);
    ASSERT(x->state == IS_BUSY && head->content_type != NULL);
    if (x->stream == NULL) {
        set_state(x, IS_OVER);
        free_exchange(x);
        return ERR_CLOSED;
    }
    set_state(x, STREAMS);
    x->on_gone = on_gone;
    x->gone_arg = arg;
    put_head(x, head, NULL, x->request.method == HTTP1_HEAD);
    drop_request(x);
    return 0;
}

static void cut_off(struct over_http2 *x)
{
    x->cut = true;
    http2_reset(x->stream);
}

static void stream_send(struct http_exchange *exchange, struct span piece)
{
    struct over_http2 *x = of(exchange);
    ASSERT(x->state == STREAMS && piece.len > 0);
    if (x->stream == NULL || x->cut || x->request.method == HTTP1_HEAD) {
        return;
    }
    if (http2_pending(x->stream) + piece.len > HTTP_EXCHANGE_PENDING_BYTES_MAX ||
        http2_send(x->stream, piece, NULL) != 0) {
        cut_off(x);
    }
}

static size_t stream_pending_bytes(const struct http_exchange *exchange)
{
    const struct over_http2 *x = of(exchange);
    return x->stream == NULL ? 0 : http2_pending(x->stream);
}

static size_t held(const struct http_exchange *exchange)
{
    const struct over_http2 *x = of(exchange);
    return x->stream == NULL ? 0 : http2_held(x->stream);
}

static void stream_end(struct http_exchange *exchange)
{
    struct over_http2 *x = of(exchange);
    ASSERT(x->state == STREAMS);
    set_state(x, IS_OVER);
    if (x->stream == NULL) {
        free_exchange(x);
    } else if (!x->cut && x->request.method != HTTP1_HEAD) {
        http2_finish(x->stream, NULL, 0);
    }
}

static void stream_cut(struct http_exchange *exchange)
{
    struct over_http2 *x = of(exchange);
    x->on_gone = NULL;
    if (x->stream != NULL && !x->cut) {
        cut_off(x);
    }
    stream_end(exchange);
}

/* --- requests --------------------------------------------------------------------------------- */

static struct span header(const struct http_exchange *exchange, const char *name)
{
    const struct over_http2 *x = of(exchange);
    if (x->head.len == 0) {
        return span_of(NULL, 0);
    }
    const char *at = (const char *)x->head.data + x->headers_at;
    const char *end = (const char *)x->head.data + x->head.len;
    while (at < end) {
        const char *value = at + strlen(at) + 1;
        if (strcasecmp(at, name) == 0) {
            return span_str(value);
        }
        at = value + strlen(value) + 1;
    }
    return span_of(NULL, 0);
}

static const struct stream_peer *peer(const struct http_exchange *exchange)
{
    return of(exchange)->stream == NULL ? NULL : http2_stream_peer(of(exchange)->stream);
}

static bool lasts(struct http_exchange *exchange)
{
    return of(exchange)->stream == NULL || http2_lasts(of(exchange)->stream);
}

static int notice(struct http_exchange *exchange, void (*on_gone)(void *arg), void *arg)
{
    struct over_http2 *x = of(exchange);
    ASSERT(x->state == IS_BUSY);
    if (x->stream == NULL) {
        return ERR_CLOSED;
    }
    x->on_gone = on_gone;
    x->gone_arg = arg;
    drop_request(x);
    return 0;
}

static enum http1_method method_of(struct span method)
{
    static const char *const names[] = {"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"};
    size_t i = 0;
    while (i < sizeof names / sizeof names[0] && !span_equal_str(method, names[i])) {
        i++;
    }
    return (enum http1_method)i; /* HTTP1_OTHER is behind them */
}

_Static_assert(HTTP1_GET == 0 && HTTP1_HEAD == 1 && HTTP1_OPTIONS == 2 && HTTP1_POST == 3 &&
                   HTTP1_PUT == 4 && HTTP1_PATCH == 5 && HTTP1_DELETE == 6 && HTTP1_OTHER == 7,
               "the names above");

static bool is_plain(struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] <= ' ' || text.data[i] == 0x7f) {
            return false;
        }
    }
    return text.len > 0 && text.data[0] == '/';
}

static void put_text(struct buf *out, struct span text)
{
    buf_put_span(out, text);
    buf_put_u8(out, 0);
}

static void put_header(struct buf *out, const struct http2_header *header)
{
    if (header->value.len == 0 || memchr(header->value.data, 0, header->value.len) == NULL) {
        put_text(out, header->name);
        put_text(out, header->value);
    }
}

/* Digits alone, and once. A length that no body may have stays one. */
static bool take_length(struct over_http2 *x, struct span value)
{
    size_t length = 0;
    for (size_t i = 0; i < value.len; i++) {
        if (value.data[i] < '0' || value.data[i] > '9') {
            return false;
        }
        length = length * 10 + (size_t)(value.data[i] - '0');
        length = length > x->server->body_bytes_max ? x->server->body_bytes_max + 1 : length;
    }
    bool is_good = value.len > 0 && !x->has_length;
    x->has_length = true;
    x->length = length;
    return is_good;
}

/* False: it is not what HTTP/1 would have let pass. */
static bool take_head(struct over_http2 *x, const struct http2_request *request)
{
    const uint8_t *mark =
        request->path.len == 0 ? NULL : memchr(request->path.data, '?', request->path.len);
    size_t path_len = mark == NULL ? request->path.len : (size_t)(mark - request->path.data);
    size_t query_at = mark == NULL ? request->path.len : path_len + 1;
    if (!is_plain(request->path)) {
        return false;
    }
    put_text(&x->head, span_of(request->path.data, path_len));
    put_text(&x->head, span_of(request->path.data + query_at, request->path.len - query_at));
    x->headers_at = x->head.len;
    for (size_t i = 0; i < request->headers_count; i++) {
        const struct http2_header *header = &request->headers[i];
        put_header(&x->head, header);
        if (span_equal_str(header->name, "content-length") && !take_length(x, header->value)) {
            return false;
        }
    }
    if (request->authority.len > 0) {
        struct http2_header host = {span_str("host"), request->authority};
        put_header(&x->head, &host);
    }
    x->request.path = (const char *)x->head.data;
    x->request.query = x->request.path + path_len + 1;
    x->request.method = method_of(request->method);
    return true;
}

static void on_data(void *arg, struct http2_stream *stream, struct span bytes)
{
    struct over_http2 *x = http2_stream_arg(stream);
    struct http_exchange_http2 *server = arg;
    http2_consume(stream, bytes.len);
    if (x->state != GATHERS) {
        return;
    }
    if (x->has_length && bytes.len > x->length - x->body.len) {
        refuse(x, 400, "more body than was told\n");
    } else if (bytes.len > server->body_bytes_max - x->body.len) {
        refuse(x, 413, "body too large\n");
    } else if (bytes.len > HTTP_EXCHANGE_HELD_BYTES_MAX - server->held) {
        refuse(x, 503, "too many requests\n");
    } else {
        buf_put_span(&x->body, bytes);
        count_held(x);
    }
}

static void on_request_end(void *arg, struct http2_stream *stream)
{
    struct over_http2 *x = http2_stream_arg(stream);
    const struct http_face *face = x->server->face;
    (void)arg;
    if (x->state == GATHERS && x->has_length && x->body.len != x->length) {
        refuse(x, 400, "less body than was told\n");
    } else if (x->state == GATHERS) {
        set_state(x, IS_BUSY);
        x->request.body = buf_span(&x->body);
        x->request.has_length = true;
        face->on_request(face->arg, &x->base, &x->request);
    }
}

static void on_close(void *arg, struct http2_stream *stream, int rc)
{
    struct over_http2 *x = http2_stream_arg(stream);
    void (*on_gone)(void *gone_arg) = x->on_gone;
    (void)arg;
    (void)rc;
    x->stream = NULL;
    x->on_gone = NULL;
    if (x->state == GATHERS) {
        set_state(x, IS_OVER);
    }
    if (x->state == IS_OVER) {
        free_exchange(x);
    } else if (on_gone != NULL) {
        on_gone(x->gone_arg);
    }
}

void http_exchange_http2_serve(struct http_exchange_http2 *server, struct http2_stream *stream,
                               const struct http2_request *request)
{
    static const struct http2_events events = {
        .on_data = on_data, .on_request_end = on_request_end, .on_close = on_close};
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
    struct over_http2 *x = mem_new(struct over_http2);
    x->base.ops = &ops;
    x->server = server;
    x->stream = stream;
    x->state = IS_OVER;
    x->deadline_ms = uv_now(server->loop) + HTTP1_BODY_MS;
    list_append(&server->exchanges, &x->link);
    server->count++;
    http2_stream_hand_over(stream, &events, server);
    http2_stream_set_arg(stream, x);
    if (server->stopping || server->count > HTTP_EXCHANGES_MAX) {
        refuse(x, 503, server->stopping ? "stopping\n" : "too many requests\n");
    } else if (!take_head(x, request)) {
        refuse(x, 400, "malformed request\n");
    } else if (x->length > server->body_bytes_max) {
        refuse(x, 413, "body too large\n");
    } else {
        set_state(x, GATHERS);
    }
}

/* --- the server ------------------------------------------------------------------------------- */

static void on_sweep(uv_timer_t *timer)
{
    struct http_exchange_http2 *server = timer->data;
    uint64_t now_ms = uv_now(server->loop);
    LIST_EACH(item, &server->exchanges)
    {
        struct over_http2 *x = LIST_OWNER(item, struct over_http2, link);
        if (x->state == GATHERS && now_ms >= x->deadline_ms) {
            refuse(x, 408, "the body took too long\n");
        }
    }
}

struct http_exchange_http2 *http_exchange_http2_new(uv_loop_t *loop, const struct http_face *face,
                                                    size_t body_bytes_max)
{
    struct http_exchange_http2 *server = mem_new(struct http_exchange_http2);
    server->loop = loop;
    server->face = face;
    server->body_bytes_max = body_bytes_max;
    list_init(&server->exchanges);
    server->sweep.data = server;
    (void)uv_timer_init(loop, &server->sweep);
    return server;
}

static void on_sweep_closed(uv_handle_t *handle)
{
    struct http_exchange_http2 *server = handle->data;
    server->sweep_closed = true;
    maybe_stopped(server);
}

void http_exchange_http2_stop(struct http_exchange_http2 *server, void (*stopped)(void *arg),
                              void *arg)
{
    ASSERT(!server->stopping);
    server->stopping = true;
    server->stopped = stopped;
    server->stopped_arg = arg;
    uv_close((uv_handle_t *)&server->sweep, on_sweep_closed);
    LIST_EACH(item, &server->exchanges)
    {
        struct over_http2 *x = LIST_OWNER(item, struct over_http2, link);
        if (x->state == GATHERS) {
            refuse(x, 503, "stopping\n");
        } else if (x->state == STREAMS && x->stream != NULL && !x->cut) {
            cut_off(x);
        }
    }
}
