/* States: handshake (TLS first, until the deadline) -> open -> ended -> closing. Bytes are parsed
 * straight from what the stream lends; only the beginning of a frame whose rest has not come yet is
 * kept. How long a frame may be depends on who sends it: a stranger gets 4 KiB.
 *
 * An owner may close the session inside any of its callbacks, so after each of them `closing` is
 * looked at before anything is touched. */
#include "raft/engine/peer_session.h"

#include "base/assert.h"
#include "base/mem.h"

#include <openssl/rand.h>
#include <string.h>

enum session_state { SESSION_HANDSHAKE, SESSION_OPEN, SESSION_ENDED };

struct peer_session {
    enum session_state state;
    bool closing;
    bool secured; /* the stream is one of tls.h */
    struct stream *stream;
    uv_timer_t deadline;
    struct handshake handshake;
    struct buf input;  /* an incomplete frame */
    struct buf output; /* scratch of one send */
    const struct peer_session_events *events;
    void *arg;
    char text[NET_ADDR_TEXT_BYTES];
    void (*closed)(void *arg);
    void *closed_arg;
    int handles; /* stream and timer that still have to close */
};

static void session_end(struct peer_session *session, int rc, const struct error *err)
{
    if (session->closing || session->state == SESSION_ENDED) {
        return;
    }
    session->state = SESSION_ENDED;
    (void)uv_timer_stop(&session->deadline);
    stream_read_stop(session->stream);
    session->events->on_end(session->arg, session, rc, err);
}

static int session_write(struct peer_session *session, struct span bytes, struct error *err)
{
    if (bytes.len == 0) {
        return 0;
    }
    return stream_write(session->stream, bytes, NULL, NULL, err);
}

/* The proof is the last thing that the caller says: the listener then takes it for open. */
static bool goes_on(const struct peer_session *session, struct error *err)
{
    const struct handshake_identity *peer = &session->handshake.peer;
    if (session->handshake.state != HANDSHAKE_AWAIT_WELCOME || session->events->on_named == NULL ||
        session->events->on_named(session->arg, peer)) {
        return true;
    }
    error_set(err, ERR_EXISTS, "leads to member '%s', which is connected already", peer->name);
    return false;
}

/* The host of a member's address will do, for it is called there. Nobody calls a client: an address
 * that it gives says nothing, and what it does is done in its name. */
static bool names_peer(const struct stream *stream, const struct handshake *handshake)
{
    const struct handshake_identity *peer = &handshake->peer;
    struct net_addr addr;
    return tls_stream_peer_has(stream, peer->name) ||
           (handshake->peer_role == HANDSHAKE_MEMBER &&
            net_addr_parse(peer->address, NET_PORT_REQUIRED, &addr, NULL) == 0 &&
            tls_stream_peer_has(stream, addr.host));
}

/* Once it has said who it is, and before either side has believed the other. `out` becomes the
 * refusal. */
static int certificate_check(const struct peer_session *session, struct buf *out, struct error *err)
{
    const struct handshake *handshake = &session->handshake;
    const struct handshake_identity *peer = &handshake->peer;
    char names[128];
    bool known =
        handshake->state == HANDSHAKE_AWAIT_WELCOME || handshake->state == HANDSHAKE_AWAIT_PROOF;
    /* A client that gives no name acts in nobody's. */
    bool is_named = handshake->peer_role == HANDSHAKE_MEMBER || peer->name[0] != '\0';
    if (!session->secured || !known || !is_named || names_peer(session->stream, handshake)) {
        return 0;
    }
    if (handshake->peer_role == HANDSHAKE_CLIENT) {
        int rc = error_set(err, ERR_PERMISSION,
                           "the certificate (%s) does not have the name of '%s', which calls: give "
                           "it that as common name or subjectAltName",
                           tls_stream_peer_names(session->stream, names, sizeof names), peer->name);
        buf_clear(out);
        handshake_refuse(rc, err->text, out);
        return rc;
    }
    int rc = error_set(err, ERR_PERMISSION,
                       "the certificate (%s) has neither the name of member '%s' nor the host of "
                       "its address %s: give it one of them as common name or subjectAltName",
                       tls_stream_peer_names(session->stream, names, sizeof names), peer->name,
                       peer->address);
    buf_clear(out);
    handshake_refuse(rc, err->text, out);
    return rc;
}

static void handshake_step(struct peer_session *session, const struct peer_frame *frame)
{
    struct buf out = BUF_INIT;
    struct error err = {0};
    struct error write_err = {0};
    int rc = handshake_input(&session->handshake, frame, &out, &err);
    if (rc == 0) {
        rc = certificate_check(session, &out, &err);
    }
    if (rc == 0 && !goes_on(session, &err)) {
        buf_free(&out);
        session_end(session, err.code, &err);
        return;
    }
    int write_rc = session_write(session, buf_span(&out), &write_err);
    buf_free(&out);
    if (rc == 0 && write_rc != 0) {
        rc = write_rc;
        err = write_err;
    }
    if (rc != 0) {
        session_end(session, rc, &err);
    } else if (session->handshake.state == HANDSHAKE_DONE) {
        session->state = SESSION_OPEN;
        (void)uv_timer_stop(&session->deadline);
        session->events->on_open(session->arg, session);
    }
}

/* --- one side speaks TLS, the other plain text ------------------------------------------------ */

/* The beginning of TLS, which is a frame's length beyond what a stranger may send. */
static bool is_tls(struct span bytes)
{
    return bytes.len >= 3 && bytes.data[0] == 0x16 && bytes.data[1] == 3 && bytes.data[2] >= 1 &&
           bytes.data[2] <= 4;
}

static void tls_came(struct peer_session *session)
{
    struct buf out = BUF_INIT;
    struct error err = {0};
    int rc = error_set(&err, ERR_UNSUPPORTED,
                       "TLS came where plain text is spoken: raft.certfile is set there and not "
                       "here");
    handshake_refuse(rc, err.text, &out); /* no TLS either: that is how it is told */
    (void)session_write(session, buf_span(&out), NULL);
    buf_free(&out);
    session_end(session, rc, &err);
}

/* In plain text, to a caller of plain text; its frame is one that he reads. */
static void plain_answer_put(struct buf *out)
{
    handshake_refuse(ERR_PERMISSION,
                     "TLS is spoken here: raft.certfile is set here and not on the side that calls",
                     out);
}

static size_t frame_bytes_max(const struct peer_session *session)
{
    if (session->state != SESSION_OPEN) {
        return PEER_FRAME_UNAUTHENTICATED_BYTES_MAX;
    }
    bool client_sends = session->handshake.peer_role == HANDSHAKE_CLIENT;
    return client_sends ? PEER_FRAME_CLIENT_BYTES_MAX : PEER_FRAME_BYTES_MAX;
}

/* Handles all whole frames; returns the bytes used. */
static size_t frames_handle(struct peer_session *session, struct span bytes)
{
    size_t used = 0;
    while (!session->closing && session->state != SESSION_ENDED) {
        struct error err = {0};
        struct peer_frame frame;
        size_t frame_bytes = 0;
        int rc = peer_frame_decode(span_of(bytes.data + used, bytes.len - used),
                                   frame_bytes_max(session), &frame, &frame_bytes, &err);
        if (rc == ERR_UNSUPPORTED && session->state == SESSION_OPEN) {
            rc = error_set(&err, ERR_CORRUPT, "a frame was damaged on its way (version)");
        }
        if (rc < 0) {
            session_end(session, rc, &err);
            break;
        }
        if (rc == 0) {
            break;
        }
        used += frame_bytes;
        if (session->state == SESSION_HANDSHAKE) {
            handshake_step(session, &frame);
        } else {
            session->events->on_frame(session->arg, session, &frame);
        }
    }
    return used;
}

static void on_stream_read(void *arg, struct span bytes)
{
    struct peer_session *session = arg;
    if (session->state == SESSION_HANDSHAKE && !session->secured && session->input.len == 0 &&
        is_tls(bytes)) {
        tls_came(session);
        return;
    }
    if (session->input.len == 0) {
        size_t used = frames_handle(session, bytes);
        if (!session->closing && session->state != SESSION_ENDED) {
            buf_put(&session->input, bytes.data + used, bytes.len - used);
        }
        return;
    }
    buf_put_span(&session->input, bytes);
    size_t used = frames_handle(session, buf_span(&session->input));
    if (!session->closing) {
        buf_drop(&session->input, used);
        if (session->input.len == 0 && session->input.capacity > PEER_FRAME_CLIENT_BYTES_MAX) {
            buf_free(
                &session->input); /* a snapshot passed through: do not keep its size for ever */
        }
    }
}

static void on_stream_end(void *arg, int rc, const struct error *err)
{
    struct peer_session *session = arg;
    struct error own = *err;
    if (rc == ERR_UNSUPPORTED && session->secured) {
        (void)error_set(&own, rc,
                        "%s: raft.certfile is set here and not on that side (or its TLS "
                        "is another one)",
                        err->text);
    }
    session_end(session, rc, &own);
}

static void on_stream_drained(void *arg)
{
    struct peer_session *session = arg;
    if (session->state == SESSION_OPEN && !session->closing &&
        session->events->on_drained != NULL) {
        session->events->on_drained(session->arg, session);
    }
}

static const struct stream_events stream_events = {
    .on_read = on_stream_read, .on_end = on_stream_end, .on_drained = on_stream_drained};

/* The deadline also tells, one turn after the start, what failed inside it: no callback from the
 * call itself. */
static void on_deadline(uv_timer_t *timer)
{
    struct peer_session *session = timer->data;
    struct error err = {0};
    int rc = error_set(&err, ERR_TIMEOUT, "no handshake in %d ms", PEER_HANDSHAKE_TIMEOUT_MS);
    session_end(session, rc, &err);
}

static void on_start_failed(uv_timer_t *timer)
{
    struct peer_session *session = timer->data;
    struct error err = {0};
    int rc = error_set(&err, ERR_CLOSED, "the connection was lost before the handshake");
    session_end(session, rc, &err);
}

static struct stream *stream_secure(struct stream *stream, const struct peer_session_config *config)
{
    struct buf answer = BUF_INIT;
    plain_answer_put(&answer);
    struct tls_options options = {.loop = config->loop,
                                  .context = config->tls,
                                  .is_server = !config->caller,
                                  .handshake_ms = PEER_HANDSHAKE_TIMEOUT_MS,
                                  .write_queue_bytes_max = config->queue_bytes_max,
                                  .plain_answer = buf_span(&answer)};
    if (config->caller) {
        options.plain_answer = span_of(NULL, 0);
    }
    struct stream *secured = tls_stream_new(stream, &options);
    buf_free(&answer);
    return secured;
}

struct peer_session *peer_session_start(struct stream *stream,
                                        const struct peer_session_config *config,
                                        const struct peer_session_events *events, void *arg)
{
    struct peer_session *session = mem_new(struct peer_session);
    if (config->tls != NULL) {
        session->secured = true;
        stream = stream_secure(stream, config);
    }
    session->stream = stream;
    session->events = events;
    session->arg = arg;
    session->handles = 2;
    memcpy(session->text, stream_peer(stream)->text, sizeof session->text);
    int rc = uv_timer_init(config->loop, &session->deadline);
    ASSERT(rc == 0);
    session->deadline.data = session;
    struct handshake_config handshake = {.caller = config->caller,
                                         .role = config->role,
                                         .password = config->password,
                                         .identity = config->identity};
    rc = RAND_bytes(handshake.nonce, sizeof handshake.nonce);
    ASSERT(rc == 1); /* a predictable nonce would let a recorded proof be played again */
    struct buf out = BUF_INIT;
    handshake_init(&session->handshake, &handshake, &out);
    stream_attach(stream, &stream_events, session);
    rc = stream_read_start(stream, NULL);
    if (rc == 0) {
        rc = session_write(session, buf_span(&out), NULL);
    }
    buf_free(&out);
    rc = rc == 0 ? uv_timer_start(&session->deadline, on_deadline, PEER_HANDSHAKE_TIMEOUT_MS, 0)
                 : uv_timer_start(&session->deadline, on_start_failed, 0, 0);
    ASSERT(rc == 0);
    return session;
}

static void session_handle_closed(struct peer_session *session)
{
    session->handles--;
    if (session->handles > 0) {
        return;
    }
    void (*closed)(void *arg) = session->closed;
    void *closed_arg = session->closed_arg;
    handshake_free(&session->handshake);
    buf_free(&session->input);
    buf_free(&session->output);
    mem_free(session);
    if (closed != NULL) {
        closed(closed_arg);
    }
}

static void on_timer_closed(uv_handle_t *handle)
{
    session_handle_closed(handle->data);
}

static void on_stream_closed(void *arg)
{
    session_handle_closed(arg);
}

void peer_session_close(struct peer_session *session, void (*closed)(void *arg), void *arg)
{
    ASSERT(!session->closing);
    session->closing = true;
    session->closed = closed;
    session->closed_arg = arg;
    uv_close((uv_handle_t *)&session->deadline, on_timer_closed);
    stream_close(session->stream, on_stream_closed, session);
}

bool peer_session_is_open(const struct peer_session *session)
{
    return session->state == SESSION_OPEN && !session->closing;
}

enum handshake_role peer_session_role(const struct peer_session *session)
{
    return session->handshake.peer_role;
}

const struct handshake_identity *peer_session_peer(const struct peer_session *session)
{
    return &session->handshake.peer;
}

const struct handshake_identity *peer_session_self(const struct peer_session *session)
{
    return &session->handshake.self;
}

void peer_session_peer_set(struct peer_session *session, const struct handshake_identity *identity)
{
    session->handshake.peer = *identity;
}

const char *peer_session_text(const struct peer_session *session)
{
    return session->text;
}

size_t peer_session_pending(const struct peer_session *session)
{
    return stream_pending(session->stream);
}

int peer_session_send(struct peer_session *session, const struct peer_frame *frame,
                      size_t pending_max, struct error *err)
{
    if (!peer_session_is_open(session)) {
        return error_set(err, ERR_CLOSED, "the connection is not open");
    }
    size_t pending = stream_pending(session->stream);
    if (pending > 0 && pending + frame->payload.len > pending_max) {
        return error_set(err, ERR_LIMIT, "%zu bytes wait already", pending);
    }
    buf_clear(&session->output);
    peer_frame_encode(frame, &session->output);
    int rc = stream_write(session->stream, buf_span(&session->output), NULL, NULL, err);
    if (session->output.capacity > PEER_FRAME_CLIENT_BYTES_MAX) {
        buf_free(&session->output);
    }
    return rc;
}
