/* Bytes of a stranger against a server of TLS, in pieces of any size, over a stream that is no
 * socket. The first byte says how: whether a good client shakes hands first (then the bytes come
 * after its last ones, or, as what it writes, through TLS), whether the owner reads, stops, or
 * writes. It ends exactly once, and nothing is left behind. */
#include "base/assert.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/net/tls_impl.h"
#include "tests/harness/tls_files.h"

#include <uv.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    SHAKE = 1,  /* a client that shakes hands */
    INSIDE = 2, /* it writes the bytes; else they come raw */
    WRITES = 4, /* the owner writes */
    STOPS = 8,  /* the owner stops reading, and starts again */
    PIECE_SHIFT = 4,
    OUT_MAX = 2 * 1024 * 1024
};

struct pipe {
    struct stream base;
    struct stream_peer peer;
    struct buf out;
    bool reading;
    bool closed;
    stream_closed on_closed;
    void *closed_arg;
};

struct end {
    struct stream *stream;
    size_t got;
    bool ended;
    bool stops;
};

static uv_loop_t loop;
static struct tls_context *context;
static struct pipe pipes[2]; /* below the server, below the client */

static struct pipe *pipe_of(const struct stream *stream)
{
    return (struct pipe *)(void *)(uintptr_t)stream;
}

static int pipe_read_start(struct stream *stream, struct error *err)
{
    (void)err;
    ASSERT(!pipe_of(stream)->closed);
    pipe_of(stream)->reading = true;
    return 0;
}

static void pipe_read_stop(struct stream *stream)
{
    pipe_of(stream)->reading = false;
}

static int pipe_write(struct stream *stream, struct span bytes, stream_done done, void *arg,
                      struct error *err)
{
    struct pipe *pipe = pipe_of(stream);
    (void)arg;
    (void)err;
    ASSERT(!pipe->closed && done == NULL && pipe->out.len + bytes.len < OUT_MAX);
    buf_put_span(&pipe->out, bytes);
    return 0;
}

static size_t pipe_pending(const struct stream *stream)
{
    (void)stream;
    return 0;
}

static int pipe_shutdown(struct stream *stream, stream_done done, void *arg, struct error *err)
{
    (void)stream;
    (void)done;
    (void)arg;
    (void)err;
    return 0;
}

static void pipe_close(struct stream *stream, stream_closed closed, void *arg)
{
    struct pipe *pipe = pipe_of(stream);
    ASSERT(!pipe->closed);
    pipe->closed = true;
    pipe->reading = false;
    pipe->on_closed = closed;
    pipe->closed_arg = arg;
}

static const struct stream_peer *pipe_peer(const struct stream *stream)
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

/* --- the owner -------------------------------------------------------------------------------- */

static void on_read(void *arg, struct span bytes)
{
    struct end *end = arg;
    ASSERT(end->stream != NULL && !end->ended && bytes.len > 0);
    end->got += bytes.len;
    if (end->stops) {
        stream_read_stop(end->stream);
    }
}

static void on_end(void *arg, int rc, const struct error *err)
{
    struct end *end = arg;
    ASSERT(end->stream != NULL && !end->ended && rc != 0 && err->text[0] != '\0');
    end->ended = true;
}

static const struct stream_events events = {.on_read = on_read, .on_end = on_end};

static void open_end(struct end *end, struct pipe *pipe, bool is_server)
{
    struct tls_options options = {.loop = &loop,
                                  .context = context,
                                  .is_server = is_server,
                                  .plain_answer = span_str("TLS is spoken here\n")};
    pipe->base.ops = &pipe_ops;
    end->stream = tls_stream_new(&pipe->base, &options);
    stream_attach(end->stream, &events, end);
    ASSERT(stream_read_start(end->stream, NULL) == 0);
}

static void close_end(struct end *end, struct pipe *pipe)
{
    struct stream *stream = end->stream;
    end->stream = NULL;
    stream_close(stream, NULL, NULL);
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    pipe->on_closed(pipe->closed_arg);
    buf_free(&pipe->out);
}

/* Every step of a handshake is its turn: the clock does not go on here (tls_turn.h). */
static void carry(struct pipe *from, struct pipe *to, size_t piece)
{
    while (from->out.len > 0 && to->reading) {
        context->turn = (struct tls_turn){0};
        size_t len = from->out.len < piece ? from->out.len : piece;
        uint8_t *bytes = mem_memdup(from->out.data, len); /* of exactly that size */
        buf_drop(&from->out, len);
        to->base.events->on_read(to->base.arg, span_of(bytes, len));
        mem_free(bytes);
    }
}

static void play(struct end *server, struct end *client, struct span input, uint8_t mode)
{
    size_t piece = (size_t)(mode >> PIECE_SHIFT) * 64 + 1;
    bool inside = client->stream != NULL && (mode & INSIDE) != 0;
    for (int i = 0; i < 8; i++) {
        carry(&pipes[0], &pipes[1], piece);
        carry(&pipes[1], &pipes[0], piece);
    }
    if (inside) {
        ASSERT(stream_write(client->stream, input, NULL, NULL, NULL) == 0);
    } else {
        buf_put_span(&pipes[1].out, input);
    }
    server->stops = (mode & STOPS) != 0;
    for (size_t i = 0; i < 64 && !server->ended; i++) {
        if ((mode & WRITES) != 0 &&
            stream_write(server->stream, span_str("answer"), NULL, NULL, NULL) != 0) {
            break;
        }
        carry(&pipes[1], &pipes[0], piece);
        (void)uv_run(&loop, UV_RUN_NOWAIT);
        if (!server->ended && stream_read_start(server->stream, NULL) != 0) {
            break;
        }
    }
    ASSERT(!inside || server->stops || server->got == input.len);
}

int LLVMFuzzerInitialize(int *argc, char ***argv);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static const struct tls_leaf leaf = {.file = "here", .name = "here"};
    char dir[64];
    char paths[3][128];
    (void)argc;
    (void)argv;
    tls_dir_make(dir, sizeof dir);
    tls_make_ca(dir, "ca");
    tls_make(dir, &leaf);
    (void)snprintf(paths[0], sizeof paths[0], "%s/here.crt", dir);
    (void)snprintf(paths[1], sizeof paths[1], "%s/here.key", dir);
    (void)snprintf(paths[2], sizeof paths[2], "%s/ca.crt", dir);
    struct tls_config config = {.certfile = paths[0],
                                .keyfile = paths[1],
                                .cafile = paths[2],
                                .verify = TLS_VERIFY_REQUIRED};
    ASSERT(tls_context_new(&config, &context, NULL) == 0);
    tls_dir_remove(dir);
    return uv_loop_init(&loop);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct end server = {0};
    struct end client = {0};
    if (size == 0) {
        return 0;
    }
    memset(pipes, 0, sizeof pipes);
    open_end(&server, &pipes[0], true);
    if ((data[0] & SHAKE) != 0) {
        open_end(&client, &pipes[1], false);
    }
    play(&server, &client, span_of(data + 1, size - 1), data[0]);
    if (!server.ended && pipes[0].reading) {
        struct error err;
        (void)error_set(&err, ERR_CLOSED, "closed");
        pipes[0].base.events->on_end(pipes[0].base.arg, ERR_CLOSED, &err);
        ASSERT(server.ended);
    }
    close_end(&server, &pipes[0]);
    if (client.stream != NULL) {
        close_end(&client, &pipes[1]);
    }
    buf_free(&pipes[1].out);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    ASSERT(uv_loop_alive(&loop) == 0);
    return 0;
}
