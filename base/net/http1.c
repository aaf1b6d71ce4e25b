/* Server side of HTTP/1 on http_parser. A head is collected whole (bounded), looked over for what
 * the parser lets pass, and only then parsed; the body follows by Content-Length alone. So a
 * connection is in one of few states:
 *
 *   HEAD -> BODY -> BUSY (the handler has it, or streams its answer) -> HEAD ...
 *   any -> LINGER (response sent, waits for the peer's end) -> closed
 *
 * One timer looks at all deadlines. Connections that wait for the peer stand in one list, the
 * longest waiting first.
 *
 * Pipelining is where one client could take everything: so the next request is not looked at, nor
 * read, while a response still waits for the kernel (memory), and after a few requests the others
 * have their turn (time). Requests that cost much (is_bulk) have a turn of their own from the
 * first: as many as fit into a few milliseconds, then whoever else has sent something. */
#include "base/net/http1.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/net/http1_impl.h"
#include "base/net/tcp.h"

#include <http_parser.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum {
    SWEEP_MS = 500,
    LINGER_MS = 1000,
    GRACE_MS = 100,
    BACKLOG = 512,
    ADDRESS_MAX = HTTP1_CONNECTIONS_MAX / 2,
    ADDRESS_SPARED = 16, /* of one address: they keep their places while others have more */
    LOOKS_MAX = 32,      /* for such another one */
    LARGE_BYTES = 2 * HTTP1_HEAD_BYTES_MAX, /* whoever makes us hold more may have to go for it */
    TURN_REQUESTS_MAX = 8,                  /* of one connection in one turn of the loop */
    TURN_NS = 5 * 1000 * 1000,              /* of those in `turns` together, or one request */
    SEND_BUFFER_BYTES = 64 * 1024,          /* of the kernel: 512 who do not read take 64 MiB */
};

static void step(struct http1_exchange *x);
static void on_turn(uv_idle_t *idle);

static void maybe_stopped(struct http1_server *server)
{
    if (server->stopping && server->closing == 0 && list_empty(&server->connections)) {
        void (*stopped)(void *arg) = server->stopped;
        void *arg = server->stopped_arg;
        buf_free(&server->out);
        mem_free(server);
        if (stopped != NULL) {
            stopped(arg);
        }
    }
}

static void free_exchange(struct http1_exchange *x)
{
    struct http1_server *server = x->server;
    list_remove(&x->link);
    buf_free(&x->in);
    mem_free(x);
    server->count--;
    maybe_stopped(server);
}

static void on_closed(void *arg)
{
    struct http1_exchange *x = arg;
    void (*on_gone)(void *gone_arg) = x->on_gone;
    x->closed = true;
    x->on_gone = NULL;
    if (x->state != STATE_BUSY) {
        free_exchange(x);
    } else if (on_gone != NULL) { /* else http1_respond frees it */
        on_gone(x->gone_arg);
    }
}

void http1_close_connection(struct http1_exchange *x)
{
    struct stream *stream = x->stream;
    if (stream == NULL) {
        return;
    }
    x->stream = NULL;
    http1_place_leave(&x->server->places, x->place);
    x->place = NULL;
    list_remove(&x->wait);
    list_remove(&x->turn);
    stream_close(stream, on_closed, x);
}

static size_t held_for(const struct http1_exchange *x)
{
    return x->in.capacity + (x->stream == NULL ? 0 : stream_pending(x->stream));
}

/* Bodies that do not end and responses that nobody reads are bounded for each connection, and here
 * for all of them: those that have waited longest go. */
static void bound_memory(struct http1_server *server)
{
    size_t held = 0;
    LIST_EACH(item, &server->connections)
    {
        held += held_for(LIST_OWNER(item, struct http1_exchange, link));
    }
    LIST_EACH(item, &server->waiting)
    {
        struct http1_exchange *x = LIST_OWNER(item, struct http1_exchange, wait);
        size_t mine = held_for(x);
        if (held <= HTTP1_HELD_BYTES_MAX) {
            return;
        }
        if (mine > LARGE_BYTES) {
            held -= mine;
            buf_free(&x->in);
            http1_close_connection(x);
        }
    }
}

void http1_wait_for_peer(struct http1_exchange *x, uint64_t ms)
{
    x->since_ms = uv_now(x->server->loop);
    x->deadline_ms = x->since_ms + ms;
    list_remove(&x->wait);
    list_append(&x->server->waiting, &x->wait);
}

/* --- responses -------------------------------------------------------------------------------- */

static const char *reason_of(int status)
{
    switch (status) {
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 411: return "Length Required";
    case 412: return "Precondition Failed";
    case 413: return "Payload Too Large";
    case 414: return "URI Too Long";
    case 422: return "Unprocessable Entity";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    default: return "Error";
    }
}

void http1_put_head(struct http1_exchange *x, const struct http1_response *response, bool chunked)
{
    struct buf *out = &x->server->out;

    buf_clear(out);
    buf_printf(out, "HTTP/1.%u %d %s\r\n", x->minor, response->status, reason_of(response->status));
    if (response->content_type == NULL) {
        if (x->minor == 1) {
            buf_put_str(out, "Content-Length: 0\r\n");
        }
    } else {
        char date[64];
        time_t now = time(NULL);
        struct tm utc;
        (void)gmtime_r(&now, &utc);
        (void)strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &utc);
        buf_printf(out, "Server: pgquorum\r\nDate: %s\r\nContent-Type: %s\r\n", date,
                   response->content_type);
        if (!chunked) {
            buf_printf(out, "Content-Length: %zu\r\n", response->body.len);
        } else if (x->minor == 1) {
            buf_put_str(out, "Transfer-Encoding: chunked\r\n");
        }
    }
    if (response->headers != NULL) {
        buf_put_str(out, response->headers);
    }
    if (x->minor == 1 && !x->keep_alive) {
        buf_put_str(out, "Connection: close\r\n");
    }
    buf_put_str(out, "\r\n");
}

static void put_response(struct http1_exchange *x, const struct http1_response *response)
{
    http1_put_head(x, response, false);
    if (response->content_type != NULL && x->request.method != HTTP1_HEAD) {
        buf_put_span(&x->server->out, response->body);
    }
}

/* What the peer still sends is read and dropped: unread, it would make the kernel answer with a
 * reset, which can overtake the response. */
static void linger(struct http1_exchange *x)
{
    struct error err;
    x->state = STATE_LINGER;
    buf_free(&x->in);
    http1_wait_for_peer(x, stream_pending(x->stream) > 0 ? HTTP1_WRITE_MS : LINGER_MS);
    bool is_ended = stream_read_start(x->stream, &err) != 0;
    if (stream_shutdown(x->stream, NULL, NULL, &err) != 0 ||
        (is_ended && stream_pending(x->stream) == 0)) {
        http1_close_connection(x);
    }
}

static void next_request(struct http1_exchange *x)
{
    buf_drop(&x->in, x->head_len + x->body_len);
    if (x->in.len == 0 && x->in.capacity > LARGE_BYTES) {
        buf_free(&x->in);
    }
    x->state = STATE_HEAD;
    x->head_len = 0;
    x->body_len = 0;
    http1_wait_for_peer(x, stream_pending(x->stream) > 0 ? HTTP1_WRITE_MS
                           : x->in.len > 0               ? HTTP1_HEAD_MS
                                                         : HTTP1_IDLE_MS);
}

static void after_response(struct http1_exchange *x)
{
    if (x->keep_alive) {
        next_request(x);
    } else {
        linger(x);
    }
    if (x->stream != NULL && stream_pending(x->stream) > LARGE_BYTES) {
        bound_memory(x->server);
    }
}

static void send_response(struct http1_exchange *x, const struct http1_response *response)
{
    struct error err;
    put_response(x, response);
    if (stream_write(x->stream, buf_span(&x->server->out), NULL, NULL, &err) != 0) {
        x->state = STATE_LINGER;
        http1_close_connection(x);
        return;
    }
    after_response(x);
}

void http1_release(struct http1_exchange *x)
{
    x->state = STATE_LINGER;
    if (x->closed) {
        free_exchange(x);
    } /* else on_closed frees it */
}

static void read_on(struct http1_exchange *x)
{
    if (x->state == STATE_HEAD && x->stream != NULL) {
        struct error err;
        if (stream_read_start(x->stream, &err) != 0) {
            http1_close_connection(x);
        } else if (!x->stepping) {
            step(x);
        }
    }
}

void http1_response_done(struct http1_exchange *x)
{
    after_response(x);
    read_on(x);
}

void http1_respond(struct http1_exchange *x, const struct http1_response *response)
{
    ASSERT(x->state == STATE_BUSY && !x->streaming);
    if (x->stream == NULL) {
        http1_release(x);
        return;
    }
    send_response(x, response);
    read_on(x);
}

static void refuse(struct http1_exchange *x, int status, const char *text)
{
    struct http1_response response = {
        .status = status, .content_type = "text/plain", .body = span_str(text)};
    x->keep_alive = false;
    x->request.method = HTTP1_OTHER;
    send_response(x, &response);
}

/* --- requests --------------------------------------------------------------------------------- */

static int on_url(http_parser *parser, const char *at, size_t len)
{
    struct http1_exchange *x = parser->data;
    if (x->url_len + len > HTTP1_PATH_BYTES_MAX) {
        x->bad = true;
        return 1;
    }
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)at[i] <= ' ' || at[i] == 0x7f) {
            return 1; /* Debian's parser lets tab and form feed pass */
        }
    }
    memcpy(x->url + x->url_len, at, len);
    x->url_len += len;
    return 0;
}

static int on_field(http_parser *parser, const char *at, size_t len)
{
    struct http1_exchange *x = parser->data;
    if (x->field_done) {
        x->field_len = 0;
        x->field_done = false;
    }
    for (size_t i = 0; i < len; i++) {
        if (at[i] == ' ' || at[i] == '\t') {
            x->bad = true; /* a space before the colon: proxies read it differently */
            return 1;
        }
        if (x->field_len < sizeof x->field - 1) {
            x->field[x->field_len++] = at[i];
        }
    }
    x->field[x->field_len] = '\0';
    return 0;
}

static int on_value(http_parser *parser, const char *at, size_t len)
{
    struct http1_exchange *x = parser->data;
    (void)at;
    (void)len;
    if (!x->field_done) {
        x->field_done = true;
        x->host_count += strcasecmp(x->field, "host") == 0;
        x->length_count += strcasecmp(x->field, "content-length") == 0;
        x->chunked = x->chunked || strcasecmp(x->field, "transfer-encoding") == 0;
    }
    return 0;
}

static int on_head_done(http_parser *parser)
{
    (void)parser;
    return 1; /* the body, if any, is taken by its length, not by the parser */
}

static enum http1_method method_of(unsigned method)
{
    switch (method) {
    case HTTP_GET: return HTTP1_GET;
    case HTTP_HEAD: return HTTP1_HEAD;
    case HTTP_OPTIONS: return HTTP1_OPTIONS;
    case HTTP_POST: return HTTP1_POST;
    case HTTP_PUT: return HTTP1_PUT;
    case HTTP_PATCH: return HTTP1_PATCH;
    case HTTP_DELETE: return HTTP1_DELETE;
    default: return HTTP1_OTHER;
    }
}

static size_t find_head_end(const struct buf *in)
{
    const char *end = in->len == 0 ? NULL : memmem(in->data, in->len, "\r\n\r\n", 4);
    return end == NULL ? 0 : (size_t)(end - (const char *)in->data) + 4;
}

/* No zero byte, no folded line, and lines end in CR LF alone: the parser takes LF for it, so that
 * it would see the end of a head, and another request, in the middle of what we take for one. */
static bool head_is_plain(const struct buf *in, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        uint8_t c = in->data[i];
        uint8_t next = i + 1 < len ? in->data[i + 1] : 0;
        bool bare =
            (c == '\r' && next != '\n') || (c == '\n' && (i == 0 || in->data[i - 1] != '\r'));
        bool fold = c == '\n' && (next == ' ' || next == '\t');
        if (c == 0 || bare || fold) {
            return false;
        }
    }
    return true;
}

static void split_url(struct http1_exchange *x)
{
    static const char scheme[] = "http://";
    char *path = x->url;
    if (strncasecmp(path, scheme, strlen(scheme)) == 0) { /* as one writes to a proxy */
        path += strlen(scheme);
        path += strcspn(path, "/?");
    }
    char *query = strchr(path, '?');
    if (query != NULL) {
        *query++ = '\0';
    }
    x->request.path = path[0] == '\0' ? "/" : path;
    x->request.query = query == NULL ? "" : query;
}

/* False: it was refused. */
static bool parse_head(struct http1_exchange *x)
{
    static const http_parser_settings settings = {.on_url = on_url,
                                                  .on_header_field = on_field,
                                                  .on_header_value = on_value,
                                                  .on_headers_complete = on_head_done};
    http_parser parser;

    x->url_len = 0;
    x->bad = x->chunked = x->field_done = false;
    x->field_len = 0;
    x->length_count = 0;
    x->host_count = 0;
    x->minor = 1;
    x->keep_alive = false;
    http_parser_init(&parser, HTTP_REQUEST);
    parser.data = x;
    if (!head_is_plain(&x->in, x->head_len)) {
        refuse(x, 400, "malformed head\n");
        return false;
    }
    size_t used = http_parser_execute(&parser, &settings, (const char *)x->in.data, x->head_len);
    enum http_errno rc = HTTP_PARSER_ERRNO(&parser);
    if (x->bad || (rc != HPE_OK && rc != HPE_CB_message_complete) || used + 1 < x->head_len ||
        parser.upgrade || parser.http_major != 1 || parser.http_minor > 1) {
        refuse(x, x->bad && x->url_len > 0 && x->field_len == 0 ? 414 : 400, "malformed request\n");
        return false;
    }
    x->minor = parser.http_minor;
    bool has_length = x->length_count > 0 && parser.content_length != UINT64_MAX;
    if ((x->minor == 1 && x->host_count == 0) || x->host_count > 1 || x->length_count > 1 ||
        (x->length_count > 0 && x->chunked)) {
        refuse(x, 400, "Host or the length of the body is missing or ambiguous\n");
        return false;
    }
    if (x->chunked) {
        refuse(x, 411, "a body needs Content-Length\n");
        return false;
    }
    if (has_length && parser.content_length > HTTP1_BODY_BYTES_MAX) {
        refuse(x, 413, "body too large\n");
        return false;
    }
    x->keep_alive = x->minor == 1 && http_should_keep_alive(&parser) != 0;
    x->body_len = has_length ? (size_t)parser.content_length : 0;
    x->request.has_length = has_length;
    x->request.method = method_of(parser.method);
    x->url[x->url_len] = '\0';
    split_url(x);
    return true;
}

struct span http1_request_header(const struct http1_exchange *x, const char *name)
{
    const char *at = (const char *)x->in.data;
    const char *end = at + x->head_len;
    size_t len = strlen(name);
    while (at < end) {
        const char *line = at;
        const char *line_end = memchr(line, '\r', (size_t)(end - line)); /* the head is plain */
        at = line_end + 2;
        if ((size_t)(line_end - line) > len && line[len] == ':' &&
            strncasecmp(line, name, len) == 0) {
            line += len + 1;
            while (line < line_end && (*line == ' ' || *line == '\t')) {
                line++;
            }
            while (line_end > line && (line_end[-1] == ' ' || line_end[-1] == '\t')) {
                line_end--;
            }
            return span_of(line, (size_t)(line_end - line));
        }
    }
    return span_of(NULL, 0);
}

static void hand_over(struct http1_exchange *x)
{
    x->called = false;
    x->request.body = span_of(x->in.data + x->head_len, x->body_len);
    x->state = STATE_BUSY;
    list_remove(&x->wait);
    x->server->handler(x->server->arg, x, &x->request);
}

static void wait_for_turn(struct http1_exchange *x)
{
    list_remove(&x->turn);
    list_append(&x->server->turns, &x->turn);
    (void)uv_idle_start(&x->server->turn, on_turn);
}

/* Whether the next request is to wait: for its response's predecessor to be taken (on_drained goes
 * on), or for the others' turn (on_turn does). */
static bool must_pause(struct http1_exchange *x, unsigned served)
{
    bool full = stream_pending(x->stream) > 0;
    bool tired = served >= TURN_REQUESTS_MAX && x->in.len > 0;
    if (!full && !tired) {
        return false;
    }
    stream_read_stop(x->stream);
    if (!full) {
        wait_for_turn(x);
    }
    return true;
}

static bool must_wait_for_turn(struct http1_exchange *x)
{
    if (x->called || x->server->is_bulk == NULL || !x->server->is_bulk(&x->request)) {
        return false;
    }
    stream_read_stop(x->stream);
    wait_for_turn(x);
    return true;
}

/* Goes on as far as the bytes that are there allow; a handler may answer at once or much later. */
static void step(struct http1_exchange *x)
{
    unsigned served = 0;
    x->stepping = true;
    while (x->stream != NULL) {
        if (x->state == STATE_HEAD) {
            if (must_pause(x, served)) {
                break;
            }
            x->head_len = find_head_end(&x->in);
            if (x->head_len > HTTP1_HEAD_BYTES_MAX ||
                (x->head_len == 0 && x->in.len > HTTP1_HEAD_BYTES_MAX)) {
                x->minor = 1;
                refuse(x, 431, "head too large\n");
                break;
            }
            if (x->head_len == 0 || !parse_head(x)) {
                break;
            }
            x->state = STATE_BODY;
            http1_wait_for_peer(x, HTTP1_BODY_MS);
        }
        if (x->state != STATE_BODY || x->in.len < x->head_len + x->body_len ||
            must_wait_for_turn(x)) {
            break;
        }
        served++;
        hand_over(x);
        if (x->state == STATE_BUSY && x->stream != NULL && !x->streaming) {
            stream_read_stop(x->stream); /* pipelined requests wait in the kernel */
        }
    }
    x->stepping = false;
}

static void on_read(void *arg, struct span bytes)
{
    struct http1_exchange *x = arg;
    if (x->state == STATE_LINGER) {
        return;
    }
    if (x->state == STATE_HEAD && x->in.len == 0) {
        http1_wait_for_peer(x, HTTP1_HEAD_MS);
    }
    buf_put_span(&x->in, bytes);
    if (x->in.capacity > LARGE_BYTES) {
        bound_memory(x->server);
    }
    if (x->streaming && x->in.len - x->head_len - x->body_len > HTTP1_HEAD_BYTES_MAX) {
        http1_close_connection(x); /* it was to listen */
    }
    if (x->state != STATE_BUSY && x->stream != NULL) {
        step(x);
    }
}

static void on_end(void *arg, int rc, const struct error *err)
{
    struct http1_exchange *x = arg;
    (void)err;
    /* One that has only finished sending still gets what it asked for. */
    bool is_owed = (x->state == STATE_BUSY && !x->streaming) ||
                   (x->state == STATE_LINGER && stream_pending(x->stream) > 0);
    if (rc != ERR_CLOSED || !is_owed) {
        http1_close_connection(x);
    }
}

/* After a pause between two requests. */
static void go_on(struct http1_exchange *x)
{
    struct error err;
    http1_wait_for_peer(x, x->in.len > 0 ? HTTP1_HEAD_MS : HTTP1_IDLE_MS);
    if (stream_read_start(x->stream, &err) != 0) {
        http1_close_connection(x);
    } else {
        step(x);
    }
}

static void on_turn(uv_idle_t *idle)
{
    struct http1_server *server = idle->data;
    uint64_t until = uv_hrtime() + TURN_NS;
    size_t count = 0;
    struct list *item;

    LIST_EACH(waiting, &server->turns)
    {
        count++; /* whoever comes into the list from now on is for the next turn */
    }
    do {
        item = list_first(&server->turns);
        if (item != NULL) {
            struct http1_exchange *x = LIST_OWNER(item, struct http1_exchange, turn);
            list_remove(item);
            x->called = true;
            go_on(x);
        }
    } while (item != NULL && --count > 0 && uv_hrtime() < until);
    if (list_empty(&server->turns)) {
        (void)uv_idle_stop(idle);
    }
}

static void on_drained(void *arg)
{
    struct http1_exchange *x = arg;
    if (x->state == STATE_HEAD) {
        go_on(x);
    } else if (x->state == STATE_LINGER) {
        http1_wait_for_peer(x, LINGER_MS);
    } else if (x->streaming) {
        list_remove(&x->wait);
    }
}

/* --- the server ------------------------------------------------------------------------------- */

/* Who may be asked to leave for a connection from `ip`: where that address has its share already,
 * one of its own; else one of those who have many, as long as one is found soon: a few health
 * checks stay, whoever floods. */
struct leave_rule {
    const struct net_ip *ip; /* NULL: from anywhere */
    unsigned looks_left;
};

static bool may_leave(const struct http1_exchange *x, struct leave_rule *rule)
{
    if (x->stream == NULL || x->state == STATE_BUSY) {
        return false;
    }
    if (rule->ip != NULL) {
        return net_ip_equal(x->place->ip, *rule->ip);
    }
    if (rule->looks_left == 0) {
        return true;
    }
    rule->looks_left--;
    return x->place->count > ADDRESS_SPARED;
}

static struct http1_exchange *longest_waiting(const struct http1_server *server,
                                              struct leave_rule rule)
{
    LIST_EACH(item, &server->waiting)
    {
        struct http1_exchange *x = LIST_OWNER(item, struct http1_exchange, wait);
        if (may_leave(x, &rule)) {
            return x;
        }
    }
    return NULL;
}

static struct http1_exchange *oldest(const struct http1_server *server, struct leave_rule rule)
{
    LIST_EACH(item, &server->connections)
    {
        struct http1_exchange *x = LIST_OWNER(item, struct http1_exchange, link);
        if (may_leave(x, &rule)) {
            return x;
        }
    }
    return NULL;
}

/* Room for one more: the one that has waited longest for its peer goes. Where nobody has waited for
 * long, all the others ask without pause, and the newest would go before it could say a word: then
 * it is the oldest connection. */
static bool make_room(struct http1_server *server, struct net_ip ip)
{
    bool crowded = http1_places_of(&server->places, ip) >= ADDRESS_MAX;
    struct leave_rule rule = {.ip = crowded ? &ip : NULL, .looks_left = LOOKS_MAX};
    if (server->count < HTTP1_CONNECTIONS_MAX && !crowded) {
        return true;
    }
    struct http1_exchange *leaves = longest_waiting(server, rule);
    if (leaves == NULL || uv_now(server->loop) - leaves->since_ms < GRACE_MS) {
        leaves = oldest(server, rule);
    }
    if (leaves == NULL && !crowded) { /* all spared: fewer than LOOKS_MAX can leave at all */
        leaves = longest_waiting(server, (struct leave_rule){0});
    }
    if (leaves == NULL) {
        return false;
    }
    http1_close_connection(leaves);
    return true;
}

void http1_server_serve(struct http1_server *server, struct stream *stream, struct span bytes)
{
    static const struct stream_events events = {
        .on_read = on_read, .on_end = on_end, .on_drained = on_drained};
    struct error err;

    if (server->stopping || !make_room(server, stream_peer(stream)->ip)) {
        stream_close(stream, NULL, NULL);
        return;
    }
    struct http1_exchange *x = mem_new(struct http1_exchange);
    x->server = server;
    x->stream = stream;
    x->place = http1_place_take(&server->places, stream_peer(stream)->ip);
    x->minor = 1;
    list_append(&server->connections, &x->link);
    server->count++;
    stream_attach(stream, &events, x);
    http1_wait_for_peer(x, HTTP1_HEAD_MS);
    if (stream_read_start(stream, &err) != 0) {
        http1_close_connection(x);
    } else if (bytes.len > 0) {
        on_read(x, bytes);
    }
}

static void on_accept(void *arg, struct stream *stream)
{
    http1_server_serve(arg, stream, span_of(NULL, 0));
}

static void on_sweep(uv_timer_t *timer)
{
    struct http1_server *server = timer->data;
    uint64_t now = uv_now(server->loop);
    LIST_EACH(item, &server->waiting)
    {
        struct http1_exchange *x = LIST_OWNER(item, struct http1_exchange, wait);
        if (now >= x->deadline_ms) {
            http1_close_connection(x);
        }
    }
}

int http1_server_start(uv_loop_t *loop, const struct net_addr *listen, http1_handler handler,
                       void *arg, struct http1_server **ret_server, struct error *err)
{
    struct http1_server *server = mem_new(struct http1_server);
    struct tcp_options options = {.user_timeout_ms = HTTP1_WRITE_MS,
                                  .write_queue_bytes_max = 4 * HTTP1_BODY_BYTES_MAX,
                                  .send_buffer_bytes = SEND_BUFFER_BYTES};

    server->loop = loop;
    server->handler = handler;
    server->arg = arg;
    list_init(&server->connections);
    list_init(&server->waiting);
    list_init(&server->turns);
    int rc = listen == NULL ? 0
                            : tcp_listener_start(loop, listen, BACKLOG, &options, on_accept, server,
                                                 &server->listener, err);
    if (rc != 0) {
        mem_free(server);
        return rc;
    }
    server->sweep.data = server;
    server->turn.data = server;
    (void)uv_idle_init(loop, &server->turn);
    (void)uv_timer_init(loop, &server->sweep);
    (void)uv_timer_start(&server->sweep, on_sweep, SWEEP_MS, SWEEP_MS);
    *ret_server = server;
    return 0;
}

void http1_server_set_bulk(struct http1_server *server,
                           bool (*is_bulk)(const struct http1_request *request))
{
    server->is_bulk = is_bulk;
}

static void on_listener_closed(void *arg)
{
    struct http1_server *server = arg;
    server->closing--;
    maybe_stopped(server);
}

static void on_handle_closed(uv_handle_t *handle)
{
    on_listener_closed(handle->data);
}

void http1_server_stop(struct http1_server *server, void (*stopped)(void *arg), void *arg)
{
    server->stopping = true;
    server->stopped = stopped;
    server->stopped_arg = arg;
    server->closing = 2;
    if (server->listener != NULL) {
        server->closing++;
        tcp_listener_stop(server->listener, on_listener_closed, server);
    }
    uv_close((uv_handle_t *)&server->sweep, on_handle_closed);
    uv_close((uv_handle_t *)&server->turn, on_handle_closed);
    LIST_EACH(item, &server->connections)
    {
        http1_close_connection(LIST_OWNER(item, struct http1_exchange, link));
    }
}

uint16_t http1_server_port(const struct http1_server *server)
{
    return tcp_listener_port(server->listener);
}
