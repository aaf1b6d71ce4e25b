/* Connections, their deadlines, and the server. Bytes go out in one place (flush), never from
 * within a call of the user: an idle handle does it in the same turn of the loop, so that many
 * small answers go out in one write. */
#include "base/net/http2.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/net/http2_impl.h"

enum {
    SWEEP_MS = 500,
    LINGER_MS = 1000,
    WRITE_BYTES = 64 * 1024,       /* gathered for one write */
    QUEUED_BYTES_MAX = 256 * 1024, /* of a connection: then it is not read, either */
};

static void on_flush(uv_idle_t *idle);

uint64_t http2_now(const struct http2_connection *connection)
{
    return uv_now(connection->server->loop);
}

void http2_connection_touch(struct http2_connection *connection)
{
    struct http2_server *server = connection->server;
    list_remove(&connection->dirty);
    list_append(&server->dirty, &connection->dirty);
    if (!server->handles_closing) {
        (void)uv_idle_start(&server->flush, on_flush);
    }
}

void http2_connection_charge(struct http2_connection *connection)
{
    uint64_t now = http2_now(connection);
    uint64_t more = (now - connection->tokens_ms) * HTTP2_CONTROL_PER_S / 1000;
    if (more > 0) {
        uint64_t all = connection->tokens + more;
        connection->tokens = all < HTTP2_CONTROL_BURST ? (unsigned)all : HTTP2_CONTROL_BURST;
        connection->tokens_ms = now;
    }
    if (connection->tokens > 0) {
        connection->tokens--;
    } else if (connection->session != NULL) { /* nothing more of it is looked at */
        (void)nghttp2_session_terminate_session(connection->session, NGHTTP2_ENHANCE_YOUR_CALM);
        http2_connection_touch(connection);
    }
}

/* --- the end of a connection ------------------------------------------------------------------ */

static void maybe_stopped(struct http2_server *server)
{
    if (server->handles_closing && server->handles_left == 0) {
        void (*stopped)(void *arg) = server->stopped;
        void *arg = server->stopped_arg;
        nghttp2_session_callbacks_del(server->callbacks);
        nghttp2_option_del(server->option);
        buf_free(&server->out);
        mem_free(server);
        if (stopped != NULL) {
            stopped(arg);
        }
    }
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct http2_server *server = handle->data;
    server->handles_left--;
    maybe_stopped(server);
}

/* The last connection is gone, and no other will come. */
static void close_handles(struct http2_server *server)
{
    if (server->stopping && !server->handles_closing && server->count == 0) {
        server->handles_closing = true;
        server->handles_left = 2;
        uv_close((uv_handle_t *)&server->flush, on_handle_closed);
        uv_close((uv_handle_t *)&server->sweep, on_handle_closed);
    }
}

static void on_connection_closed(void *arg)
{
    struct http2_connection *connection = arg;
    struct http2_server *server = connection->server;
    list_remove(&connection->link);
    server->count--;
    mem_free(connection);
    close_handles(server);
}

static void close_connection(struct http2_connection *connection)
{
    struct stream *stream = connection->stream;
    nghttp2_session *session = connection->session;
    ASSERT(!connection->busy);
    if (stream == NULL) {
        return;
    }
    connection->stream = NULL;
    connection->session = NULL; /* calls about its streams do nothing from here on */
    nghttp2_session_del(session);
    LIST_EACH(item, &connection->streams)
    {
        http2_stream_end(LIST_OWNER(item, struct http2_stream, link), ERR_CLOSED);
    }
    list_remove(&connection->dirty);
    stream_close(stream, on_connection_closed, connection);
}

/* --- sending ---------------------------------------------------------------------------------- */

/* Takes frames from nghttp2, about as many as fit into one write. False: it is broken. */
static bool gather(struct http2_connection *connection, struct buf *out)
{
    buf_clear(out);
    while (out->len < WRITE_BYTES) {
        const uint8_t *bytes;
        ssize_t len = nghttp2_session_mem_send(connection->session, &bytes);
        if (len < 0) {
            return false;
        }
        if (len == 0) {
            break;
        }
        buf_put(out, bytes, (size_t)len);
    }
    return true;
}

/* Before something is written, and afterwards: what waits becomes less only if the peer takes. */
static void note_pending(struct http2_connection *connection)
{
    size_t pending = stream_pending(connection->stream);
    if (pending == 0) {
        connection->write_since_ms = 0;
    } else if (connection->write_since_ms == 0 || pending < connection->waiting) {
        connection->write_since_ms = http2_now(connection);
    }
    connection->waiting = pending;
}

static void read_again(struct http2_connection *connection)
{
    bool full = stream_pending(connection->stream) >= QUEUED_BYTES_MAX;
    if (full && !connection->paused) {
        connection->paused = true;
        stream_read_stop(connection->stream);
    } else if (!full && connection->paused) {
        connection->paused = false;
        connection->doomed = stream_read_start(connection->stream, NULL) != 0;
    }
}

/* What the peer still sends is read and dropped: unread, it would make the kernel answer with a
 * reset, which can overtake our GOAWAY. */
static void linger(struct http2_connection *connection)
{
    if (connection->linger_since_ms == 0) {
        connection->linger_since_ms = http2_now(connection);
        connection->doomed = stream_shutdown(connection->stream, NULL, NULL, NULL) != 0;
    }
}

static void flush(struct http2_connection *connection)
{
    struct buf *out = &connection->server->out;
    bool sound = !connection->doomed;
    bool lingers = connection->linger_since_ms != 0; /* our direction has ended */
    list_remove(&connection->dirty);
    note_pending(connection);
    connection->busy = true;
    while (sound && !lingers && stream_pending(connection->stream) < QUEUED_BYTES_MAX) {
        sound = gather(connection, out);
        if (!sound || out->len == 0) {
            break;
        }
        sound = stream_write(connection->stream, buf_span(out), NULL, NULL, NULL) == 0;
    }
    connection->busy = false;
    bool is_over = sound && stream_pending(connection->stream) == 0 &&
                   nghttp2_session_want_read(connection->session) == 0 &&
                   nghttp2_session_want_write(connection->session) == 0;
    if (is_over || lingers) {
        linger(connection);
    } else if (sound) {
        note_pending(connection);
        read_again(connection);
    }
    if (!sound || connection->doomed) {
        close_connection(connection);
    }
}

static void on_flush(uv_idle_t *idle)
{
    struct http2_server *server = idle->data;
    size_t count = 0;
    LIST_EACH(item, &server->dirty)
    {
        count++; /* who comes into the list from now on is for the next turn */
    }
    for (struct list *item = list_first(&server->dirty); item != NULL && count > 0; count--) {
        flush(LIST_OWNER(item, struct http2_connection, dirty));
        item = list_first(&server->dirty);
    }
    if (list_empty(&server->dirty)) {
        (void)uv_idle_stop(idle);
    }
}

/* --- events of the stream --------------------------------------------------------------------- */

static void on_read(void *arg, struct span bytes)
{
    struct http2_connection *connection = arg;
    if (connection->linger_since_ms != 0) {
        return; /* dropped: see linger */
    }
    connection->busy = true;
    ssize_t used = nghttp2_session_mem_recv(connection->session, bytes.data, bytes.len);
    connection->busy = false;
    connection->doomed = connection->doomed || used < 0;
    flush(connection);
}

static void on_end(void *arg, int rc, const struct error *err)
{
    (void)rc;
    (void)err;
    close_connection(arg);
}

static void on_drained(void *arg)
{
    flush(arg);
}

/* --- deadlines -------------------------------------------------------------------------------- */

static bool is_past(uint64_t since_ms, uint64_t limit_ms, uint64_t now_ms)
{
    return since_ms != 0 && now_ms - since_ms >= limit_ms;
}

static void sweep_streams(struct http2_connection *connection, uint64_t now_ms)
{
    LIST_EACH(item, &connection->streams)
    {
        struct http2_stream *stream = LIST_OWNER(item, struct http2_stream, link);
        if (http2_pending(stream) > 0 && now_ms - stream->out_since_ms >= HTTP2_WRITE_MS) {
            stream->out_since_ms = now_ms; /* asked once */
            http2_stream_abort(stream, NGHTTP2_CANCEL);
        }
    }
}

static void sweep_connection(struct http2_connection *connection, uint64_t now_ms)
{
    struct http2_server *server = connection->server;
    bool is_idle = connection->streams_count == 0;
    uint64_t idle_ms = connection->greeted ? HTTP2_IDLE_MS : HTTP2_HEAD_MS;
    note_pending(connection);
    if (is_past(connection->head_since_ms, HTTP2_HEAD_MS, now_ms) ||
        is_past(connection->write_since_ms, HTTP2_WRITE_MS, now_ms) ||
        is_past(connection->linger_since_ms, LINGER_MS, now_ms) ||
        (server->stopping && now_ms >= server->drain_until_ms)) {
        close_connection(connection);
    } else if (is_idle && now_ms - connection->idle_since_ms >= idle_ms + HTTP2_WRITE_MS) {
        close_connection(connection); /* it does not take the GOAWAY */
    } else if (is_idle && now_ms - connection->idle_since_ms >= idle_ms) {
        (void)nghttp2_session_terminate_session(connection->session, NGHTTP2_NO_ERROR);
        http2_connection_touch(connection);
    } else {
        sweep_streams(connection, now_ms);
    }
}

static void on_sweep(uv_timer_t *timer)
{
    struct http2_server *server = timer->data;
    LIST_EACH(item, &server->connections)
    {
        struct http2_connection *connection = LIST_OWNER(item, struct http2_connection, link);
        if (connection->stream != NULL) {
            sweep_connection(connection, uv_now(server->loop));
        }
    }
}

/* --- the server ------------------------------------------------------------------------------- */

static bool is_of(const struct http2_connection *connection, struct net_ip ip)
{
    return connection->stream != NULL && net_ip_equal(stream_peer(connection->stream)->ip, ip);
}

size_t http2_connections_of(const struct http2_server *server, struct net_ip ip, bool lasting)
{
    size_t count = 0;
    LIST_EACH(item, &server->connections)
    {
        const struct http2_connection *connection = LIST_OWNER(item, struct http2_connection, link);
        count += is_of(connection, ip) && (!lasting || connection->lasting > 0);
    }
    return count;
}

/* Room for one more: of those that ask for nothing the one that has done so for the longest time
 * goes; where its address has its share already, one of its own. */
static bool make_room(struct http2_server *server, struct net_ip ip)
{
    struct http2_connection *idlest = NULL;
    bool crowded = http2_connections_of(server, ip, false) >= HTTP2_ADDRESS_MAX;
    if (server->count < HTTP2_CONNECTIONS_MAX && !crowded) {
        return true;
    }
    LIST_EACH(item, &server->connections)
    {
        struct http2_connection *connection = LIST_OWNER(item, struct http2_connection, link);
        if (connection->stream != NULL && !connection->busy && connection->streams_count == 0 &&
            (!crowded || is_of(connection, ip)) &&
            (idlest == NULL || connection->idle_since_ms < idlest->idle_since_ms)) {
            idlest = connection;
        }
    }
    if (idlest != NULL) {
        close_connection(idlest);
    }
    return idlest != NULL;
}

void http2_server_serve(struct http2_server *server, struct stream *stream, struct span bytes)
{
    static const struct stream_events events = {
        .on_read = on_read, .on_end = on_end, .on_drained = on_drained};
    if (server->stopping || !make_room(server, stream_peer(stream)->ip)) {
        stream_close(stream, NULL, NULL);
        return;
    }
    struct http2_connection *connection = mem_new(struct http2_connection);
    connection->server = server;
    connection->stream = stream;
    connection->tokens = HTTP2_CONTROL_BURST;
    connection->tokens_ms = connection->idle_since_ms = uv_now(server->loop);
    list_init(&connection->streams);
    list_append(&server->connections, &connection->link);
    server->count++;
    stream_attach(stream, &events, connection);
    if (http2_session_open(connection) != 0 || stream_read_start(stream, NULL) != 0) {
        close_connection(connection);
    } else {
        on_read(connection, bytes);
    }
}

size_t http2_server_connections(const struct http2_server *server)
{
    return server->count;
}

int http2_server_start(uv_loop_t *loop, const struct http2_events *events, void *arg,
                       struct http2_server **ret_server, struct error *err)
{
    struct http2_server *server = mem_new(struct http2_server);
    server->loop = loop;
    server->events = events;
    server->arg = arg;
    list_init(&server->connections);
    list_init(&server->dirty);
    int rc = http2_session_setup(server, err);
    if (rc != 0) {
        mem_free(server);
        return rc;
    }
    server->flush.data = server;
    server->sweep.data = server;
    (void)uv_idle_init(loop, &server->flush);
    (void)uv_timer_init(loop, &server->sweep);
    (void)uv_timer_start(&server->sweep, on_sweep, SWEEP_MS, SWEEP_MS);
    *ret_server = server;
    return 0;
}

/* Says where it ends; streams that are there may still be answered. */
static void say_goodbye(struct http2_connection *connection)
{
    int32_t last = nghttp2_session_get_last_proc_stream_id(connection->session);
    if (connection->streams_count == 0) {
        (void)nghttp2_session_terminate_session(connection->session, NGHTTP2_NO_ERROR);
    } else {
        (void)nghttp2_submit_goaway(connection->session, NGHTTP2_FLAG_NONE, last, NGHTTP2_NO_ERROR,
                                    NULL, 0);
    }
    http2_connection_touch(connection);
}

void http2_server_stop(struct http2_server *server, void (*stopped)(void *arg), void *arg)
{
    ASSERT(!server->stopping);
    server->stopping = true;
    server->stopped = stopped;
    server->stopped_arg = arg;
    server->drain_until_ms = uv_now(server->loop) + HTTP2_DRAIN_MS;
    LIST_EACH(item, &server->connections)
    {
        struct http2_connection *connection = LIST_OWNER(item, struct http2_connection, link);
        if (connection->stream != NULL) {
            say_goodbye(connection);
        }
    }
    close_handles(server);
}
