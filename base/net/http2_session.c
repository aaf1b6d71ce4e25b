/* What nghttp2 calls, and the streams. Nothing here ends a connection or sends bytes: it is only
 * marked (http2_connection_touch), because nghttp2 must not be freed or asked to send from within
 * its own callbacks.
 *
 * The body of an answer waits in the stream; nghttp2 fetches it (fetch_body) as the client's
 * windows allow, and is told to wait (deferred) when there is none. */
#include "base/net/http2.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/net/http2_impl.h"

#include <stdio.h>
#include <string.h>

enum { KEPT_BYTES = 16384 /* a larger buffer is given back when it is empty */ };

/* --- blocks of headers ------------------------------------------------------------------------ */

static void block_free(struct http2_block *block)
{
    if (block != NULL) {
        buf_free(&block->bytes);
        mem_free(block);
    }
}

/* False: too many, or too large. */
static bool block_add(struct http2_block *block, struct span name, struct span value)
{
    if (block->count >= HTTP2_HEADERS_MAX ||
        block->bytes.len + name.len + value.len > HTTP2_HEAD_BYTES_MAX) {
        return false;
    }
    block->slots[block->count].at = block->bytes.len;
    block->slots[block->count].name_len = name.len;
    block->slots[block->count].value_len = value.len;
    block->count++;
    buf_put_span(&block->bytes, name);
    buf_put_span(&block->bytes, value);
    return true;
}

static struct http2_header block_get(const struct http2_block *block, size_t i)
{
    const uint8_t *at = block->bytes.data + block->slots[i].at;
    return (struct http2_header){
        .name = span_of(at, block->slots[i].name_len),
        .value = span_of(at + block->slots[i].name_len, block->slots[i].value_len)};
}

/* The hop's own in HTTP/1; a request of HTTP/2 that has one is malformed. */
static bool is_of_the_connection(const struct http2_header *header)
{
    static const char *const names[] = {"connection", "keep-alive", "proxy-connection",
                                        "transfer-encoding", "upgrade"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (span_equal_str(header->name, names[i])) {
            return true;
        }
    }
    return span_equal_str(header->name, "te") && !span_equal_str(header->value, "trailers");
}

/* What nghttp2 would check by itself if it did not also refuse an :authority that is a whole URL:
 * etcdctl sends that for an endpoint which is given as one. */
static bool head_is_good(const struct http2_block *block)
{
    static const char *const pseudo[] = {":method", ":scheme", ":path", ":authority"};
    unsigned seen = 0;
    bool plain = false;
    for (size_t i = 0; i < block->count; i++) {
        struct http2_header header = block_get(block, i);
        if (!nghttp2_check_header_name(header.name.data, header.name.len) ||
            !nghttp2_check_header_value(header.value.data, header.value.len) ||
            is_of_the_connection(&header)) {
            return false;
        }
        if (header.name.data[0] != ':') {
            plain = true;
            continue;
        }
        size_t which = 0;
        while (which < 4 && !span_equal_str(header.name, pseudo[which])) {
            which++;
        }
        if (plain || which == 4 || (seen & 1U << which) != 0 || header.value.len == 0) {
            return false;
        }
        seen |= 1U << which;
    }
    return (seen & 7U) == 7U;
}

static nghttp2_nv nv_of(struct span name, struct span value)
{
    /* nghttp2 copies both and changes neither. */
    return (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name.data,
                        .namelen = name.len,
                        .value = (uint8_t *)(uintptr_t)value.data,
                        .valuelen = value.len,
                        .flags = NGHTTP2_NV_FLAG_NONE};
}

/* --- streams ---------------------------------------------------------------------------------- */

static struct http2_stream *stream_of(nghttp2_session *session, int32_t id)
{
    return nghttp2_session_get_stream_user_data(session, id);
}

static void stream_new(struct http2_connection *connection, int32_t id)
{
    struct http2_stream *stream = mem_new(struct http2_stream);
    stream->connection = connection;
    stream->id = id;
    stream->events = connection->server->events;
    stream->events_arg = connection->server->arg;
    stream->head = mem_new(struct http2_block);
    list_append(&connection->streams, &stream->link);
    connection->streams_count++;
    (void)nghttp2_session_set_stream_user_data(connection->session, id, stream);
}

void http2_stream_end(struct http2_stream *stream, int rc)
{
    struct http2_connection *connection = stream->connection;
    struct http2_server *server = connection->server;
    if (stream->known) {
        stream->events->on_close(stream->events_arg, stream, rc);
    }
    if (connection->session != NULL && stream->unconsumed > 0) {
        (void)nghttp2_session_consume_connection(connection->session, stream->unconsumed);
    }
    server->held -= stream->out.len - stream->out_at;
    if (stream->lasting && --connection->lasting == 0) {
        server->lasting--;
    }
    if (stream->id == connection->head_id) {
        connection->head_since_ms = 0; /* it was malformed */
    }
    list_remove(&stream->link);
    connection->streams_count--;
    if (connection->streams_count == 0) {
        connection->idle_since_ms = http2_now(connection);
    }
    block_free(stream->head);
    block_free(stream->trailers);
    buf_free(&stream->out);
    mem_free(stream);
}

void http2_stream_abort(struct http2_stream *stream, uint32_t code)
{
    struct http2_connection *connection = stream->connection;
    if (connection->session == NULL) {
        return;
    }
    (void)nghttp2_submit_rst_stream(connection->session, NGHTTP2_FLAG_NONE, stream->id, code);
    http2_connection_touch(connection);
}

void http2_stream_hand_over(struct http2_stream *stream, const struct http2_events *events,
                            void *arg)
{
    stream->events = events;
    stream->events_arg = arg;
}

void http2_stream_set_arg(struct http2_stream *stream, void *arg)
{
    stream->arg = arg;
}

void *http2_stream_arg(const struct http2_stream *stream)
{
    return stream->arg;
}

const struct stream_peer *http2_stream_peer(const struct http2_stream *stream)
{
    return stream->connection->stream == NULL ? NULL : stream_peer(stream->connection->stream);
}

bool http2_lasts(struct http2_stream *stream)
{
    struct http2_connection *connection = stream->connection;
    struct http2_server *server = connection->server;
    if (stream->lasting) {
        return true;
    }
    const struct stream_peer *peer = http2_stream_peer(stream);
    if (connection->lasting == 0 &&
        (server->lasting >= HTTP2_LASTING_MAX ||
         (peer != NULL &&
          http2_connections_of(server, peer->ip, true) >= HTTP2_LASTING_ADDRESS_MAX))) {
        return false;
    }
    stream->lasting = true;
    server->lasting += connection->lasting == 0;
    connection->lasting++;
    return true;
}

void http2_consume(struct http2_stream *stream, size_t bytes)
{
    struct http2_connection *connection = stream->connection;
    ASSERT(bytes <= stream->unconsumed);
    stream->unconsumed -= bytes;
    if (connection->session != NULL && bytes > 0) {
        (void)nghttp2_session_consume(connection->session, stream->id, bytes);
        http2_connection_touch(connection);
    }
}

/* --- answers ---------------------------------------------------------------------------------- */

static void submit_trailers(struct http2_stream *stream)
{
    nghttp2_nv nvs[HTTP2_HEADERS_MAX];
    for (size_t i = 0; i < stream->trailers->count; i++) {
        struct http2_header header = block_get(stream->trailers, i);
        nvs[i] = nv_of(header.name, header.value);
    }
    (void)nghttp2_submit_trailer(stream->connection->session, stream->id, nvs,
                                 stream->trailers->count);
}

static ssize_t fetch_body(nghttp2_session *session, int32_t id, uint8_t *to, size_t size,
                          uint32_t *flags, nghttp2_data_source *source, void *user)
{
    struct http2_stream *stream = source->ptr;
    size_t have = stream->out.len - stream->out_at;
    size_t len = have < size ? have : size;
    (void)session;
    (void)id;
    (void)user;
    if (len > 0) {
        memcpy(to, stream->out.data + stream->out_at, len);
        stream->out_at += len;
        stream->connection->server->held -= len;
        stream->out_since_ms = http2_now(stream->connection);
    }
    if (len < have) {
        return (ssize_t)len;
    }
    stream->out_at = 0;
    buf_clear(&stream->out);
    if (stream->out.capacity > KEPT_BYTES) {
        buf_free(&stream->out);
    }
    if (stream->finished) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (stream->trailers != NULL) {
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            submit_trailers(stream);
        }
        return (ssize_t)len;
    }
    stream->deferred = len == 0;
    return stream->deferred ? NGHTTP2_ERR_DEFERRED : (ssize_t)len;
}

void http2_respond(struct http2_stream *stream, int status, const struct http2_header *headers,
                   size_t count, bool end)
{
    struct http2_connection *connection = stream->connection;
    nghttp2_nv nvs[HTTP2_HEADERS_MAX];
    nghttp2_data_provider body = {.source.ptr = stream, .read_callback = fetch_body};
    char text[16];
    ASSERT(!stream->responded && count < HTTP2_HEADERS_MAX);
    stream->responded = true;
    stream->finished = end;
    if (connection->session == NULL) {
        return;
    }
    (void)snprintf(text, sizeof text, "%d", status);
    nvs[0] = nv_of(span_str(":status"), span_str(text));
    for (size_t i = 0; i < count; i++) {
        nvs[i + 1] = nv_of(headers[i].name, headers[i].value);
    }
    (void)nghttp2_submit_response(connection->session, stream->id, nvs, count + 1,
                                  end ? NULL : &body);
    http2_connection_touch(connection);
}

static void resume(struct http2_stream *stream)
{
    if (stream->deferred) {
        stream->deferred = false;
        (void)nghttp2_session_resume_data(stream->connection->session, stream->id);
    }
    http2_connection_touch(stream->connection);
}

int http2_send(struct http2_stream *stream, struct span bytes, struct error *err)
{
    struct http2_connection *connection = stream->connection;
    ASSERT(stream->responded && !stream->finished);
    if (connection->session == NULL || bytes.len == 0) {
        return 0;
    }
    if (bytes.len > HTTP2_HELD_BYTES_MAX - connection->server->held) {
        return error_set(err, ERR_LIMIT, "%zu bytes of answers wait to be sent",
                         connection->server->held);
    }
    if (stream->out.len == stream->out_at) {
        stream->out_since_ms = http2_now(connection);
    } else if (stream->out_at > stream->out.len / 2) {
        buf_drop(&stream->out, stream->out_at);
        stream->out_at = 0;
    }
    buf_put_span(&stream->out, bytes);
    connection->server->held += bytes.len;
    resume(stream);
    return 0;
}

size_t http2_pending(const struct http2_stream *stream)
{
    return stream->out.len - stream->out_at;
}

size_t http2_held(const struct http2_stream *stream)
{
    return stream->connection->server->held;
}

void http2_finish(struct http2_stream *stream, const struct http2_header *trailers, size_t count)
{
    ASSERT(stream->responded && !stream->finished);
    stream->finished = true;
    if (stream->connection->session == NULL) {
        return;
    }
    if (count > 0) {
        stream->trailers = mem_new(struct http2_block);
        for (size_t i = 0; i < count; i++) {
            bool fits = block_add(stream->trailers, trailers[i].name, trailers[i].value);
            ASSERT(fits);
        }
    }
    resume(stream);
}

void http2_reset(struct http2_stream *stream)
{
    http2_stream_abort(stream, NGHTTP2_CANCEL);
}

/* --- what comes in ---------------------------------------------------------------------------- */

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct http2_connection *connection = user;
    connection->head_since_ms = http2_now(connection);
    connection->head_id = frame->hd.stream_id;
    if (frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
        stream_new(connection, frame->hd.stream_id);
    }
    (void)session;
    return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *user)
{
    struct http2_stream *stream = stream_of(session, frame->hd.stream_id);
    (void)flags;
    (void)user;
    if (stream != NULL && stream->head != NULL && !stream->too_large) { /* else: trailers */
        stream->too_large =
            !block_add(stream->head, span_of(name, name_len), span_of(value, value_len));
    }
    return 0;
}

static void on_head(struct http2_stream *stream)
{
    struct http2_header headers[HTTP2_HEADERS_MAX];
    struct http2_request request = {.headers = headers};
    struct http2_block *block = stream->head;
    stream->head = NULL;
    for (size_t i = 0; i < block->count; i++) {
        struct http2_header header = block_get(block, i);
        if (span_equal_str(header.name, ":method")) {
            request.method = header.value;
        } else if (span_equal_str(header.name, ":path")) {
            request.path = header.value;
        } else if (span_equal_str(header.name, ":authority")) {
            request.authority = header.value;
        } else if (header.name.len > 0 && header.name.data[0] != ':') {
            headers[request.headers_count++] = header;
        }
    }
    if (stream->too_large) {
        http2_respond(stream, 431, NULL, 0, true);
    } else if (!head_is_good(block)) {
        http2_stream_abort(stream, NGHTTP2_PROTOCOL_ERROR);
    } else {
        stream->known = true;
        stream->events->on_request(stream->events_arg, stream, &request);
    }
    block_free(block);
}

/* Frames that ask for nothing, or take back what was asked. Window updates come in proportion to
 * what we send. */
static bool is_charged(const nghttp2_frame *frame)
{
    switch (frame->hd.type) {
    case NGHTTP2_WINDOW_UPDATE: return false;
    case NGHTTP2_DATA:
        return frame->hd.length == 0 && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0;
    case NGHTTP2_HEADERS: return frame->headers.cat != NGHTTP2_HCAT_REQUEST;
    default: return true;
    }
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct http2_connection *connection = user;
    struct http2_stream *stream =
        frame->hd.stream_id == 0 ? NULL : stream_of(session, frame->hd.stream_id);
    connection->greeted = true;
    if (frame->hd.type == NGHTTP2_HEADERS) {
        connection->head_since_ms = 0;
    }
    if (is_charged(frame)) {
        http2_connection_charge(connection);
    }
    if (stream == NULL || (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)) {
        return 0;
    }
    if (frame->hd.type == NGHTTP2_HEADERS && stream->head != NULL) {
        on_head(stream);
    }
    if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
        stream->ended = true;
        if (stream->known) {
            stream->events->on_request_end(stream->events_arg, stream);
        }
    }
    return 0;
}

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                         size_t len, void *user)
{
    struct http2_stream *stream = stream_of(session, id);
    (void)flags;
    (void)user;
    if (stream == NULL || !stream->known || stream->finished) {
        (void)nghttp2_session_consume(session, id, len); /* nobody wants it */
        return 0;
    }
    stream->unconsumed += len;
    stream->events->on_data(stream->events_arg, stream, span_of(data, len));
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *user)
{
    struct http2_stream *stream = stream_of(session, id);
    (void)user;
    if (stream != NULL) {
        http2_stream_end(stream, code == NGHTTP2_NO_ERROR && stream->finished ? 0 : ERR_CANCELED);
    }
    return 0;
}

/* An answer that ends before its request: the client need not go on (RFC 9113, 8.1). A stream that
 * we end for what the client did wrong counts as if it had ended it: the same flood, made otherwise
 * (CVE-2025-8671). */
static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct http2_connection *connection = user;
    if (frame->hd.type == NGHTTP2_RST_STREAM) {
        if (frame->rst_stream.error_code != NGHTTP2_NO_ERROR) {
            http2_connection_charge(connection);
        }
        return 0;
    }
    if ((frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
        (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
        struct http2_stream *stream = stream_of(session, frame->hd.stream_id);
        if (stream != NULL && !stream->ended) {
            (void)nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
                                            NGHTTP2_NO_ERROR);
        }
    }
    return 0;
}

/* --- the session ------------------------------------------------------------------------------ */

int http2_session_setup(struct http2_server *server, struct error *err)
{
    if (nghttp2_session_callbacks_new(&server->callbacks) != 0 ||
        nghttp2_option_new(&server->option) != 0) {
        nghttp2_session_callbacks_del(server->callbacks);
        return error_set(err, ERR_NOMEM, "HTTP/2");
    }
    nghttp2_option_set_no_auto_window_update(server->option, 1);
    nghttp2_option_set_no_http_messaging(server->option, 1); /* head_is_good */
    nghttp2_session_callbacks_set_on_begin_headers_callback(server->callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(server->callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(server->callbacks, on_frame_recv);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(server->callbacks, on_data_chunk);
    nghttp2_session_callbacks_set_on_stream_close_callback(server->callbacks, on_stream_close);
    nghttp2_session_callbacks_set_on_frame_send_callback(server->callbacks, on_frame_send);
    return 0;
}

int http2_session_open(struct http2_connection *connection)
{
    static const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, HTTP2_STREAMS_MAX},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, HTTP2_WINDOW_BYTES},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HTTP2_HEAD_BYTES_MAX},
    };
    struct http2_server *server = connection->server;
    if (nghttp2_session_server_new2(&connection->session, server->callbacks, connection,
                                    server->option) != 0) {
        connection->session = NULL;
        return ERR_NOMEM;
    }
    int rc = nghttp2_submit_settings(connection->session, NGHTTP2_FLAG_NONE, settings,
                                     sizeof settings / sizeof settings[0]);
    rc = rc != 0 ? rc
                 : nghttp2_session_set_local_window_size(connection->session, NGHTTP2_FLAG_NONE, 0,
                                                         HTTP2_CONNECTION_WINDOW_BYTES);
    return rc == 0 ? 0 : ERR_NOMEM;
}
