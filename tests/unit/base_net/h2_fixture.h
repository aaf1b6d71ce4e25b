/* A server of HTTP/2 and a client made of nghttp2 in one loop, joined by a stream that is no
 * socket: what one writes the other reads, when the test says so. The test may move the time. */
#ifndef TESTS_UNIT_BASE_NET_H2_FIXTURE_H
#define TESTS_UNIT_BASE_NET_H2_FIXTURE_H

#include "base/buf.h"
#include "base/mem.h"
#include "base/net/http2.h"

#include <nghttp2/nghttp2.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { ANSWERS_MAX = 300, PIPE_QUEUE_BYTES = 1024 * 1024, PIPES_MAX = 600 };

#ifndef loop /* else it is somebody else's */
static uv_loop_t loop;
#endif
static uint64_t time_shift_ms;
static struct net_ip peer_ip; /* of clients to come */

/* In place of libuv's own: what the code under test reads. */
uint64_t uv_now(const uv_loop_t *of)
{
    return of->time + time_shift_ms;
}

/* --- the stream ------------------------------------------------------------------------------- */

struct pipe {
    struct stream base;
    struct stream_peer peer;
    bool reading;
    bool stuck; /* the peer takes nothing: what is written waits */
    size_t stuck_bytes;
    bool shut;
    bool closing;
    bool closed;
    stream_closed on_closed;
    void *closed_arg;
    struct buf to_client;
};

static inline struct pipe *pipe_of(const struct stream *stream)
{
    return (struct pipe *)(void *)(uintptr_t)stream;
}

static struct pipe *pipes[PIPES_MAX]; /* to be settled */

static inline int pipe_read_start(struct stream *stream, struct error *err)
{
    (void)err;
    assert_false(pipe_of(stream)->closing);
    pipe_of(stream)->reading = true;
    return 0;
}

static inline void pipe_read_stop(struct stream *stream)
{
    pipe_of(stream)->reading = false;
}

static inline int pipe_write(struct stream *stream, struct span bytes, stream_done done, void *arg,
                             struct error *err)
{
    struct pipe *pipe = pipe_of(stream);
    (void)arg;
    (void)err;
    assert_true(!pipe->closing && !pipe->shut && done == NULL);
    if (pipe->stuck_bytes + bytes.len > PIPE_QUEUE_BYTES) {
        return ERR_LIMIT;
    }
    buf_put_span(&pipe->to_client, bytes);
    pipe->stuck_bytes += pipe->stuck ? bytes.len : 0;
    return 0;
}

static inline size_t pipe_pending(const struct stream *stream)
{
    return pipe_of(stream)->stuck_bytes;
}

static inline int pipe_shutdown(struct stream *stream, stream_done done, void *arg,
                                struct error *err)
{
    (void)done;
    (void)arg;
    (void)err;
    pipe_of(stream)->shut = true;
    return 0;
}

static inline void pipe_close(struct stream *stream, stream_closed closed, void *arg)
{
    struct pipe *pipe = pipe_of(stream);
    assert_false(pipe->closing);
    pipe->closing = true;
    pipe->on_closed = closed;
    pipe->closed_arg = arg;
    for (size_t i = 0; i < PIPES_MAX; i++) {
        if (pipes[i] == NULL) {
            pipes[i] = pipe;
            return;
        }
    }
    fail();
}

static inline const struct stream_peer *pipe_peer(const struct stream *stream)
{
    return &pipe_of(stream)->peer;
}

static const struct stream_ops pipe_ops = {.read_start = pipe_read_start,
                                           .read_stop = pipe_read_stop,
                                           .write = pipe_write,
                                           .pending = pipe_pending,
                                           .shutdown = pipe_shutdown,
                                           .close = pipe_close,
                                           .peer = pipe_peer};

/* --- the client ------------------------------------------------------------------------------- */

struct answer {
    struct buf head;     /* "name: value\n" each, of all heads */
    struct buf trailers; /* the same, of what came after the body */
    struct buf body;
    bool closed;
    uint32_t close_code;
};

struct client {
    struct pipe pipe;
    nghttp2_session *session;
    struct answer answers[ANSWERS_MAX]; /* by stream id / 2 */
    bool goaway;
    uint32_t goaway_code;
    unsigned pings; /* acknowledged */
    unsigned settings_acks;
};

static inline struct answer *answer_of(struct client *client, int32_t id)
{
    assert_true(id > 0 && id / 2 < ANSWERS_MAX);
    return &client->answers[id / 2];
}

static inline int client_on_header(nghttp2_session *session, const nghttp2_frame *frame,
                                   const uint8_t *name, size_t name_len, const uint8_t *value,
                                   size_t value_len, uint8_t flags, void *user)
{
    struct answer *answer = answer_of(user, frame->hd.stream_id);
    struct buf *to =
        frame->headers.cat == NGHTTP2_HCAT_RESPONSE ? &answer->head : &answer->trailers;
    (void)session;
    (void)flags;
    buf_printf(to, "%.*s: %.*s\n", (int)name_len, (const char *)name, (int)value_len,
               (const char *)value);
    return 0;
}

static inline int client_on_data(nghttp2_session *session, uint8_t flags, int32_t id,
                                 const uint8_t *data, size_t len, void *user)
{
    (void)session;
    (void)flags;
    buf_put(&answer_of(user, id)->body, data, len);
    return 0;
}

static inline int client_on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct client *client = user;
    (void)session;
    if (frame->hd.type == NGHTTP2_GOAWAY) {
        client->goaway = true;
        client->goaway_code = frame->goaway.error_code;
    }
    client->pings += frame->hd.type == NGHTTP2_PING && (frame->hd.flags & NGHTTP2_FLAG_ACK) != 0;
    client->settings_acks +=
        frame->hd.type == NGHTTP2_SETTINGS && (frame->hd.flags & NGHTTP2_FLAG_ACK) != 0;
    return 0;
}

static inline int client_on_close(nghttp2_session *session, int32_t id, uint32_t code, void *user)
{
    (void)session;
    answer_of(user, id)->closed = true;
    answer_of(user, id)->close_code = code;
    return 0;
}

/* `auto_window`: false: it never gives the server more window than the first. */
static inline struct client *client_new(struct http2_server *server, bool auto_window)
{
    struct client *client = mem_new(struct client);
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *option;
    assert_int_equal(nghttp2_session_callbacks_new(&callbacks), 0);
    assert_int_equal(nghttp2_option_new(&option), 0);
    nghttp2_option_set_no_auto_window_update(option, !auto_window);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, client_on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, client_on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, client_on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, client_on_close);
    assert_int_equal(nghttp2_session_client_new2(&client->session, callbacks, client, option), 0);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_option_del(option);
    assert_int_equal(nghttp2_submit_settings(client->session, NGHTTP2_FLAG_NONE, NULL, 0), 0);
    client->pipe.base.ops = &pipe_ops;
    client->pipe.peer.ip = peer_ip;
    http2_server_serve(server, &client->pipe.base, span_of(NULL, 0));
    return client;
}

/* Gives the bytes to the server. */
static inline void client_raw(struct client *client, struct span bytes)
{
    if (!client->pipe.closing) {
        client->pipe.base.events->on_read(client->pipe.base.arg, bytes);
    }
}

static inline void pipe_settle(struct pipe *pipe)
{
    if (pipe->closing && !pipe->closed) {
        pipe->closed = true;
        for (size_t i = 0; i < PIPES_MAX; i++) {
            pipes[i] = pipes[i] == pipe ? NULL : pipes[i];
        }
        if (pipe->on_closed != NULL) {
            pipe->on_closed(pipe->closed_arg);
        }
    }
}

/* Until neither has more to say. */
static inline void pump(struct client *client)
{
    bool more = true;
    while (more) {
        const uint8_t *bytes = NULL;
        more = false;
        while (client->pipe.reading && !client->pipe.closing) {
            ssize_t len = nghttp2_session_mem_send(client->session, &bytes);
            assert_true(len >= 0);
            if (len == 0) {
                break;
            }
            client_raw(client, span_of(bytes, (size_t)len));
            more = true;
        }
        (void)uv_run(&loop, UV_RUN_NOWAIT);
        if (client->pipe.to_client.len > 0 && !client->pipe.stuck) {
            struct buf to_client = client->pipe.to_client;
            client->pipe.to_client = (struct buf)BUF_INIT;
            ssize_t used = nghttp2_session_mem_recv(client->session, to_client.data, to_client.len);
            assert_int_equal(used, to_client.len);
            buf_free(&to_client);
            more = true;
        }
        pipe_settle(&client->pipe);
    }
}

/* The peer takes what waits. */
static inline void client_unstick(struct client *client)
{
    client->pipe.stuck = false;
    client->pipe.stuck_bytes = 0;
    client->pipe.base.events->on_drained(client->pipe.base.arg);
}

static inline void client_free(struct client *client)
{
    if (!client->pipe.closing) {
        struct error err = {.code = ERR_CLOSED};
        client->pipe.base.events->on_end(client->pipe.base.arg, ERR_CLOSED, &err);
    }
    assert_true(client->pipe.closing);
    pipe_settle(&client->pipe);
    nghttp2_session_del(client->session);
    for (size_t i = 0; i < ANSWERS_MAX; i++) {
        buf_free(&client->answers[i].head);
        buf_free(&client->answers[i].trailers);
        buf_free(&client->answers[i].body);
    }
    buf_free(&client->pipe.to_client);
    mem_free(client);
}

static inline nghttp2_nv nv(const char *name, const char *value)
{
    return (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name,
                        .namelen = strlen(name),
                        .value = (uint8_t *)(uintptr_t)value,
                        .valuelen = strlen(value)};
}

/* The body of a request: what the test put into a buffer, as far as it goes. */
struct body {
    struct buf bytes;
    size_t at;
    bool open; /* more will come */
};

static inline ssize_t body_read(nghttp2_session *session, int32_t id, uint8_t *to, size_t size,
                                uint32_t *flags, nghttp2_data_source *source, void *user)
{
    struct body *body = source->ptr;
    size_t left = body->bytes.len - body->at;
    size_t len = left < size ? left : size;
    (void)session;
    (void)id;
    (void)user;
    if (len > 0) {
        memcpy(to, body->bytes.data + body->at, len);
        body->at += len;
    }
    if (len == 0 && body->open) {
        return NGHTTP2_ERR_DEFERRED;
    }
    if (body->at == body->bytes.len && !body->open) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    }
    return (ssize_t)len;
}

/* `body` NULL: the head ends the request. Returns the stream's id. */
static inline int32_t client_post(struct client *client, const char *path, struct body *body,
                                  const nghttp2_nv *more, size_t count)
{
    nghttp2_nv nvs[HTTP2_HEADERS_MAX + 8] = {nv(":method", "POST"), nv(":scheme", "http"),
                                             nv(":path", path), nv(":authority", "h:1")};
    nghttp2_data_provider data = {.source.ptr = body, .read_callback = body_read};
    assert_true(count <= HTTP2_HEADERS_MAX);
    for (size_t i = 0; i < count; i++) {
        nvs[4 + i] = more[i];
    }
    int32_t id = nghttp2_submit_request(client->session, NULL, nvs, 4 + count,
                                        body == NULL ? NULL : &data, NULL);
    assert_true(id > 0);
    return id;
}

/* Real turns of the loop until the sweep of deadlines has been. */
static inline void let_sweep(struct client *client)
{
    uv_update_time(&loop);
    uint64_t until = loop.time + 700;
    while (loop.time < until) {
        (void)uv_run(&loop, UV_RUN_ONCE);
        if (client != NULL) {
            pump(client);
        }
    }
}

static inline void on_server_stopped(void *arg)
{
    *(bool *)arg = true;
}

/* A test that failed has left connections behind. */
static inline void run_until(const bool *stopped)
{
    while (!*stopped) {
        (void)uv_run(&loop, UV_RUN_ONCE);
        for (size_t i = 0; i < PIPES_MAX; i++) {
            if (pipes[i] != NULL) {
                pipe_settle(pipes[i]);
            }
        }
    }
    (void)uv_run(&loop, UV_RUN_DEFAULT);
}

#endif
