/* Snapshots between two members, in pieces (peer_pieces.h): out over a link, in over a connection
 * that was made to us. A snapshot that went whole would keep every heartbeat behind it waiting;
 * over a slow link the member that needs it would call for elections instead.
 *
 * Snapshots alone: entries keep their order, for one that is overtaken is refused and sent again.
 * What overtakes a snapshot (a heartbeat, anchored behind it) is refused as well, which the engine
 * takes for its loss; so another one is not taken in while one is under way, nor so soon after it
 * that refusals of before may still come. */
#include "raft/engine/peer_set.h"

#include "base/assert.h"
#include "raft/engine/peer_wire.h"

#include <stdio.h>

#define TAKEN_TIMEOUT_MS PEER_IDLE_MAX_MS /* nothing is taken for so long */

/* --- out -------------------------------------------------------------------------------------- */

bool peer_large_is_for(const struct peer_link *link, enum peer_frame_type type, struct span payload)
{
    return type == PEER_FRAME_RAFT && payload.len > PEER_PIECE_BYTES_MAX &&
           peer_wire_is_snapshot(payload) &&
           (peer_session_peer(link->session)->flags & HANDSHAKE_PIECES) != 0;
}

bool peer_large_is_busy(const struct peer_link *link)
{
    const struct peer_pieces_out *out = &link->pieces;
    int64_t now_ms = (int64_t)uv_now(link->peers->loop);
    return peer_pieces_are_under_way(out) ||
           (out->finished_ms != 0 && now_ms - out->finished_ms < link->peers->election_timeout_ms);
}

void peer_large_go_on(struct peer_link *link)
{
    struct peers *peers = link->peers;
    struct buf payload = BUF_INIT;
    struct peer_frame frame;
    while (peer_pieces_next(&link->pieces, &payload)) {
        peers_frame_init(peers, &frame, PEER_FRAME_PIECE, peer_session_peer(link->session)->id,
                         buf_span(&payload));
        /* Behind so much that waits it goes when that has gone. */
        if (peer_session_send(link->session, &frame, PEER_PIECES_WINDOW_BYTES_MAX, NULL) != 0) {
            break;
        }
        peer_pieces_sent(&link->pieces, (int64_t)uv_now(peers->loop));
    }
    buf_free(&payload);
}

void peer_large_send(struct peer_link *link, struct span message)
{
    ASSERT(link->state == LINK_OPEN);
    if (peer_large_is_busy(link)) {
        link->peers->counters.frames_dropped++;
        return;
    }
    peer_pieces_start(&link->pieces, message, (int64_t)uv_now(link->peers->loop));
    peer_large_go_on(link);
}

static void give_up(struct peer_link *link, const struct error *err)
{
    char text[ERROR_TEXT_BYTES];
    (void)snprintf(text, sizeof text,
                   "member '%s' at %s: a snapshot in pieces: %s; the connection is made anew",
                   peer_session_peer(link->session)->name, link->address, err->text);
    peers_warn_flood(link->peers, &link->peers->damages, text);
    peer_link_failed(link, err);
}

void peer_large_look(struct peer_link *link)
{
    struct error err = {0};
    int64_t now_ms = (int64_t)uv_now(link->peers->loop);
    if (link->state == LINK_OPEN && peer_pieces_are_under_way(&link->pieces) &&
        now_ms - link->pieces.moved_ms > TAKEN_TIMEOUT_MS) {
        error_set(&err, ERR_TIMEOUT, "nothing of it was taken in %d ms", TAKEN_TIMEOUT_MS);
        give_up(link, &err);
    }
}

static struct peer_link *link_with(struct peers *peers, const struct peer_session *session)
{
    for (size_t i = 0; i < peers->link_count; i++) {
        struct peer_link *link = peers->links[i];
        if (link->session == session && link->state == LINK_OPEN) {
            return link;
        }
    }
    return NULL;
}

void peer_large_taken(struct peers *peers, struct peer_session *session, struct span payload)
{
    struct error err = {0};
    struct peer_link *link = link_with(peers, session);
    if (link == NULL) {
        peers->counters.frames_refused++;
        return;
    }
    if (peer_pieces_taken(&link->pieces, payload, peers->election_timeout_ms,
                          (int64_t)uv_now(peers->loop), &err) != 0) {
        peers->counters.frames_refused++;
        give_up(link, &err);
        return;
    }
    peer_large_go_on(link);
}

/* --- in --------------------------------------------------------------------------------------- */

/* What was open goes with the connection. */
static void refuse(struct peer_incoming *incoming, const struct error *err)
{
    struct peers *peers = incoming->peers;
    const struct handshake_identity *peer = peer_session_peer(incoming->session);
    char text[ERROR_TEXT_BYTES];
    peers->counters.frames_refused++;
    (void)snprintf(text, sizeof text, "member '%s' at %s: %s; the connection is ended", peer->name,
                   peer->address, err->text);
    peers_warn_flood(peers, &peers->damages, text);
    peer_incoming_close(incoming);
    peers->events.on_peer(peers->events.arg);
}

void peer_large_piece(struct peers *peers, struct peer_session *session, struct span payload)
{
    struct error err = {0};
    struct buf taken = BUF_INIT;
    struct peer_incoming *incoming = peer_incoming_with(peers, session);
    if (incoming == NULL) {
        peers->counters.frames_refused++; /* over a link of ours nobody sends pieces */
        return;
    }
    int rc = peer_pieces_take(&incoming->pieces, payload, &taken, &err);
    if (rc < 0) {
        refuse(incoming, &err);
        return;
    }
    uint64_t from = peer_session_peer(session)->id;
    peers_session_send(peers, session, PEER_FRAME_TAKEN, buf_span(&taken));
    buf_free(&taken);
    if (rc == 1) {
        struct buf message = incoming->pieces.message; /* the callback may close everything */
        incoming->pieces.message = (struct buf)BUF_INIT;
        peer_pieces_in_free(&incoming->pieces);
        peers->events.on_raft(peers->events.arg, from, buf_span(&message));
        buf_free(&message);
    }
}
