/* One connection on the Raft port: a stream, TLS over it where there are certificates, the
 * handshake on it, then frames. Calls and listens alike, members and clients alike. With TLS the
 * certificate of a member has to bear its name, or the host of its address, that of a client its
 * name if it gives one: whoever has a certificate of the group's authority is let in, but under his
 * own name. The owner closes it;
 * nothing is called afterwards. */
#ifndef RAFT_ENGINE_PEER_SESSION_H
#define RAFT_ENGINE_PEER_SESSION_H

#include "base/net/stream.h"
#include "base/net/tls.h"
#include "raft/engine/handshake.h"

#include <uv.h>

#define PEER_HANDSHAKE_TIMEOUT_MS 5000

struct peer_session;

struct peer_session_events {
    /* Authenticated: peer_session_role and _peer may be believed, frames may be sent. */
    void (*on_open)(void *arg, struct peer_session *session);
    /* After on_open; the payload is borrowed. */
    void (*on_frame)(void *arg, struct peer_session *session, const struct peer_frame *frame);
    /* Once, before or after on_open: it is over. The owner closes the session, here or later. */
    void (*on_end)(void *arg, struct peer_session *session, int rc, const struct error *err);
    /* May be NULL. To the caller: the other end has said who it is and proved nothing yet. False:
     * we end here with ERR_EXISTS, before the other end takes us in. */
    bool (*on_named)(void *arg, const struct handshake_identity *peer);
    /* May be NULL: what had to wait was taken by the kernel. */
    void (*on_drained)(void *arg, struct peer_session *session);
};

struct peer_session_config {
    uv_loop_t *loop;
    bool caller;
    enum handshake_role role;
    const char *password;                      /* borrowed for the life of the session */
    const struct handshake_identity *identity; /* copied */
    struct tls_context *tls;                   /* NULL = plain text; held */
    size_t queue_bytes_max;                    /* with TLS: of what waits */
};

/* Takes the stream, in any case. `events` is borrowed. */
struct peer_session *peer_session_start(struct stream *stream,
                                        const struct peer_session_config *config,
                                        const struct peer_session_events *events, void *arg);

/* Drops what is queued; `closed` (may be NULL) when nothing of it is left in the loop. */
void peer_session_close(struct peer_session *session, void (*closed)(void *arg), void *arg);

bool peer_session_is_open(const struct peer_session *session);
enum handshake_role peer_session_role(const struct peer_session *session); /* the peer's */
const struct handshake_identity *peer_session_peer(const struct peer_session *session);
/* Ourselves, as the handshake has said. */
const struct handshake_identity *peer_session_self(const struct peer_session *session);
/* After a PEER_FRAME_STATE. */
void peer_session_peer_set(struct peer_session *session, const struct handshake_identity *identity);
const char *peer_session_text(const struct peer_session *session); /* address of the other end */

/* `frame` is copied. ERR_LIMIT: over `pending_max` bytes would wait (a first frame may always go);
 * ERR_CLOSED. */
int peer_session_send(struct peer_session *session, const struct peer_frame *frame,
                      size_t pending_max, struct error *err);
size_t peer_session_pending(const struct peer_session *session);

#endif
