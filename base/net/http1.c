/* Server side of HTTP/1. A head is collected whole (bounded) and then parsed; its body is collected
 * behind it, chunks as they come without their frames. So a connection is in one of few states:
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

#include <string.h>

enum {
    SWEEP_MS = 500,
    LINGER_MS = 1000,
    BACKLOG = 512,
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
        http1_secure_free(server);
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
    http1_lasts_no_more(x);
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
        if (held <= server->limits.held_bytes_max) {
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

/* A response that the kernel has not taken all of: whoever takes some is waited for anew. */
static void wait_till_taken(struct http1_exchange *x)
{
    x->waiting = stream_pending(x->stream);
    http1_wait_for_peer(x, HTTP1_WRITE_MS);
}

static void note_taken(struct http1_exchange *x)
{
    size_t pending = stream_pending(x->stream);
    if (x->streaming) {
        http1_note_pending(x);
    } else if (pending > 0 && pending < x->waiting) {
        wait_till_taken(x);
    }
}

/* --- responses -------------------------------------------------------------------------------- */

/* In one write, unless the body is so large that to copy it costs more than a second one. */
static int write_response(struct http1_exchange *x, const struct http1_response *response)
{
    struct buf *out = &x->server->out;
    bool has_body = response->content_type != NULL && x->request.method != HTTP1_HEAD;
    bool is_large = has_body && response->body.len > LARGE_BYTES;
    http1_put_head(x, response, false);
    if (has_body && !is_large) {
        buf_put_span(out, response->body);
    }
    int rc = stream_write(x->stream, buf_span(out), NULL, NULL, NULL);
    return rc == 0 && is_large ? stream_write(x->stream, response->body, NULL, NULL, NULL) : rc;
}

/* What the peer still sends is read and dropped: unread, it would make the kernel answer with a
 * reset, which can overtake the response. */
static void linger(struct http1_exchange *x)
{
    struct error err;
    x->state = STATE_LINGER;
    buf_free(&x->in);
    if (stream_pending(x->stream) > 0) {
        wait_till_taken(x);
    } else {
        http1_wait_for_peer(x, LINGER_MS);
    }
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
    if (stream_pending(x->stream) > 0) {
        wait_till_taken(x);
    } else {
        http1_wait_for_peer(x, x->in.len > 0 ? HTTP1_HEAD_MS : HTTP1_IDLE_MS);
    }
}

static void after_response(struct http1_exchange *x)
{
    http1_lasts_no_more(x);
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
    x->noticing = false;
    x->on_gone = NULL;
    if (write_response(x, response) != 0) {
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
        .status = status, .content_type = "text/plain", .plain_head = true, .body = span_str(text)};
    x->keep_alive = false;
    x->request.method = HTTP1_OTHER;
    send_response(x, &response);
}

/* --- requests --------------------------------------------------------------------------------- */

const struct stream_peer *http1_request_peer(const struct http1_exchange *x)
{
    return x->stream == NULL ? NULL : stream_peer(x->stream);
}

/* Takes chunks out of their frames; what stands behind the last one is the next request. False: it
 * was refused. */
static bool take_chunks(struct http1_exchange *x)
{
    size_t at = x->head_len + x->body_len;
    size_t body = 0;
    uint8_t *bytes = x->in.data + at;
    size_t used = http1_chunks_take(&x->chunks, bytes, x->in.len - at,
                                    x->server->limits.body_bytes_max, &body);
    memmove(bytes + body, bytes + used, x->in.len - at - used);
    x->in.len -= used - body;
    x->body_len += body;
    if (x->chunks.state == HTTP1_CHUNK_MALFORMED) {
        refuse(x, 400, "malformed chunk\n");
    } else if (x->chunks.state == HTTP1_CHUNK_TOO_LARGE) {
        refuse(x, 413, "body too large\n");
    }
    return x->state == STATE_BODY;
}

/* The client waits for this before it sends its body. */
static void say_continue(struct http1_exchange *x)
{
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    x->expects_continue = false;
    if (stream_write(x->stream, span_of(text, sizeof text - 1), NULL, NULL, NULL) != 0) {
        http1_close_connection(x);
    }
}

/* Whether the body is there; it may be refused, too, or the connection closed. */
static bool take_body(struct http1_exchange *x)
{
    if (x->expects_continue && x->in.len == x->head_len) {
        say_continue(x);
        return false;
    }
    if (!x->chunked) {
        return x->in.len >= x->head_len + x->body_len;
    }
    return (http1_chunks_ended(&x->chunks) || take_chunks(x)) && http1_chunks_ended(&x->chunks);
}

static void hand_over(struct http1_exchange *x)
{
    x->called = false;
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
    http1_head_point(x);
    if (x->called || x->server->is_bulk == NULL || !x->server->is_bulk(&x->request)) {
        return false;
    }
    stream_read_stop(x->stream);
    wait_for_turn(x);
    return true;
}

/* False: there is no head yet, or it was refused. */
static bool take_head(struct http1_exchange *x)
{
    const char *why = NULL;
    x->head_len = http1_head_end(x);
    if (x->head_len > HTTP1_HEAD_BYTES_MAX ||
        (x->head_len == 0 && x->in.len > HTTP1_HEAD_BYTES_MAX)) {
        x->minor = 1;
        refuse(x, 431, "head too large\n");
        return false;
    }
    int status = x->head_len == 0 ? 0 : http1_head_parse(x, &why);
    if (status != 0) {
        refuse(x, status, why);
    }
    return x->head_len > 0 && status == 0;
}

/* Goes on as far as the bytes that are there allow; a handler may answer at once or much later. */
static void step(struct http1_exchange *x)
{
    unsigned served = 0;
    x->stepping = true;
    while (x->stream != NULL) {
        if (x->state == STATE_HEAD) {
            if (must_pause(x, served) || !take_head(x)) {
                break;
            }
            x->state = STATE_BODY;
            http1_wait_for_peer(x, HTTP1_BODY_MS);
        }
        if (x->state != STATE_BODY || !take_body(x) || must_wait_for_turn(x)) {
            break;
        }
        served++;
        hand_over(x);
        if (x->state == STATE_BUSY && x->stream != NULL && !x->streaming && !x->noticing) {
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
    bool is_to_listen = x->streaming || x->noticing;
    if (is_to_listen && x->in.len - x->head_len - x->body_len > HTTP1_HEAD_BYTES_MAX) {
        http1_close_connection(x);
    }
    if (x->state != STATE_BUSY && x->stream != NULL) {
        step(x);
    }
}

static void on_end(void *arg, int rc, const struct error *err)
{
    struct http1_exchange *x = arg;
    http1_note_refused(x, rc, err);
    /* One that has only finished sending still gets what it asked for. */
    bool is_owed = (x->state == STATE_BUSY && !x->streaming && !x->noticing) ||
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
        http1_note_pending(x);
    }
}

/* --- the server ------------------------------------------------------------------------------- */

void http1_server_serve(struct http1_server *server, struct stream *stream, struct span bytes)
{
    static const struct stream_events events = {
        .on_read = on_read, .on_end = on_end, .on_drained = on_drained};
    struct error err;

    if (server->stopping || !http1_make_room(server, stream_peer(stream)->ip)) {
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
    http1_server_serve(arg, http1_secure(arg, stream), span_of(NULL, 0));
}

static void on_sweep(uv_timer_t *timer)
{
    struct http1_server *server = timer->data;
    uint64_t now = uv_now(server->loop);
    LIST_EACH(item, &server->waiting)
    {
        struct http1_exchange *x = LIST_OWNER(item, struct http1_exchange, wait);
        note_taken(x);
        if (now >= x->deadline_ms && !list_empty(&x->wait)) {
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
    http1_server_set_limits(server, &(struct http1_limits){0});
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

void http1_server_set_limits(struct http1_server *server, const struct http1_limits *limits)
{
    struct http1_limits *own = &server->limits;
    *own = *limits;
    own->body_bytes_max = limits->body_bytes_max == 0 ? HTTP1_BODY_BYTES_MAX : own->body_bytes_max;
    own->url_bytes_max = limits->url_bytes_max == 0 ? HTTP1_PATH_BYTES_MAX : own->url_bytes_max;
    own->held_bytes_max = limits->held_bytes_max == 0 ? HTTP1_HELD_BYTES_MAX : own->held_bytes_max;
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
