/* Connections that are made to us: who is let in, strangers, members, clients.
 *
 * Of each member at most one incoming connection is heard: a newer one closes the older, so that a
 * process that starts again is never heard through its predecessor's connection as well. An
 * incarnation that comes back after another one of the same id took its place means that two
 * processes run under one id: both are told, and stop. */
#include "raft/engine/peer_set.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>

#define RESOLVE_ASKED_MS 1000 /* a stranger makes us look names up at most this often */

static void on_incoming_closed(void *arg)
{
    struct peer_incoming *incoming = arg;
    struct peers *peers = incoming->peers;
    peer_pieces_in_free(&incoming->pieces);
    mem_free(incoming);
    peers_part_closed(peers);
}

void peer_incoming_close(struct peer_incoming *incoming)
{
    struct peers *peers = incoming->peers;
    list_remove(&incoming->in_peers);
    peers->incoming_count--;
    if (incoming->client && incoming->open) {
        peers->client_count--;
        peers->events.on_client_end(peers->events.arg, incoming->session);
    }
    peer_session_close(incoming->session, on_incoming_closed, incoming);
}

struct peer_incoming *peer_incoming_of(const struct peers *peers, uint64_t id,
                                       const struct peer_incoming *not_this)
{
    LIST_EACH(item, &peers->incoming)
    {
        struct peer_incoming *incoming = LIST_OWNER(item, struct peer_incoming, in_peers);
        if (incoming != not_this && incoming->open && !incoming->client &&
            peer_session_peer(incoming->session)->id == id) {
            return incoming;
        }
    }
    return NULL;
}

static bool was_superseded(const struct peers *peers, const struct handshake_identity *peer)
{
    for (size_t i = 0; i < PEER_SUPERSEDED_MAX; i++) {
        if (peers->superseded[i].id == peer->id &&
            peers->superseded[i].incarnation == peer->incarnation) {
            return true;
        }
    }
    return false;
}

/* After this it ends by itself; the connection stays open so that the words arrive. */
static void tell_unfit(struct peers *peers, struct peer_incoming *incoming, int code,
                       const char *text)
{
    struct buf payload = BUF_INIT;
    buf_put_u32(&payload, (uint32_t)code);
    buf_put_bytes(&payload, span_str(text));
    peers_session_send(peers, incoming->session, PEER_FRAME_REFUSED, buf_span(&payload));
    buf_free(&payload);
}

static void tell_duplicate(struct peers *peers, struct peer_incoming *incoming)
{
    tell_unfit(peers, incoming, ERR_CONFLICT, "two processes run under this id");
}

struct peer_incoming *peer_incoming_with(struct peers *peers, const struct peer_session *session)
{
    LIST_EACH(item, &peers->incoming)
    {
        struct peer_incoming *incoming = LIST_OWNER(item, struct peer_incoming, in_peers);
        if (incoming->session == session) {
            return incoming;
        }
    }
    return NULL;
}

void peer_incoming_mark(struct peers *peers, struct peer_session *session, struct span payload)
{
    struct peer_incoming *incoming = peer_incoming_with(peers, session);
    const struct handshake_identity *peer = peer_session_peer(session);
    struct raft_mark mark;
    struct raft_mark before;
    char text[ERROR_TEXT_BYTES];
    if (incoming == NULL || incoming->unfit || peer_mark_decode(payload, &mark) != 0) {
        peers->counters.frames_refused++;
        return;
    }
    if (peer_marks_hear(&peers->marks, peer->id, &mark, &before)) {
        return;
    }
    incoming->unfit = true;
    (void)snprintf(text, sizeof text,
                   "its Raft directory is an old copy, or has lost its end: it has entry %llu and "
                   "term %llu, and had entry %llu and term %llu before",
                   (unsigned long long)mark.last, (unsigned long long)mark.term,
                   (unsigned long long)before.committed, (unsigned long long)before.term);
    peers_warn(peers, "member '%s' at %s (%016llx): %s; it is told to stop and is not listened to",
               peer->name, peer->address, (unsigned long long)peer->id, text);
    tell_unfit(peers, incoming, ERR_CORRUPT, text);
}

/* Who answers at that address, when it is not `peer` itself: a member that was made anew is, under
 * its name. */
static const char *other_at_its_address(const struct peers *peers,
                                        const struct handshake_identity *peer)
{
    for (size_t i = 0; i < peers->link_count; i++) {
        const struct peer_link *link = peers->links[i];
        if (link->state != LINK_OPEN || strcmp(link->address, peer->address) != 0) {
            continue;
        }
        const struct handshake_identity *there = peer_session_peer(link->session);
        if (there->id != peer->id && strcmp(there->name, peer->name) != 0) {
            return there->name;
        }
    }
    return NULL;
}

/* Taken in, it could be called by nobody: what is sent to it would come to the other one. */
void peer_incoming_check_addresses(struct peers *peers)
{
    LIST_EACH(item, &peers->incoming)
    {
        struct peer_incoming *incoming = LIST_OWNER(item, struct peer_incoming, in_peers);
        if (!incoming->open || incoming->client || incoming->unfit) {
            continue;
        }
        const struct handshake_identity *peer = peer_session_peer(incoming->session);
        const char *other = other_at_its_address(peers, peer);
        if (other == NULL) {
            continue;
        }
        char text[ERROR_TEXT_BYTES];
        incoming->unfit = true;
        (void)snprintf(text, sizeof text, "raft.self_addr %s of '%s' is where '%s' answers",
                       peer->address, peer->name, other);
        peers_warn(peers, "member at %s: %s: it is told to stop and is not listened to",
                   peer_session_text(incoming->session), text);
        tell_unfit(peers, incoming, ERR_EXISTS, text);
    }
}

static void member_open(struct peers *peers, struct peer_incoming *incoming)
{
    const struct handshake_identity *peer = peer_session_peer(incoming->session);
    if (peer->id == peers->identity.id) {
        bool own = peer->incarnation == peers->identity.incarnation;
        struct error err = {0};
        error_set(&err, ERR_CONFLICT,
                  "a process at %s runs under our Raft id %016llx: a copied directory",
                  peer->address, (unsigned long long)peer->id);
        peer_incoming_close(incoming);
        if (!own) {
            peers->events.on_unfit(peers->events.arg, &err);
        }
        return;
    }
    if (!peers_same_cluster(peers, peer)) {
        incoming->unfit = true; /* open until it ends by itself: it may still have to hear of us */
        return;
    }
    struct peer_incoming *older = peer_incoming_of(peers, peer->id, incoming);
    if (was_superseded(peers, peer)) {
        peers_warn(
            peers,
            "two processes run under the Raft id %016llx of member '%s', one at %s: both are told "
            "to stop",
            (unsigned long long)peer->id, peer->name, peer_session_text(incoming->session));
        tell_duplicate(peers, incoming);
        if (older != NULL) {
            tell_duplicate(peers, older);
        }
        return; /* still open so that the words arrive; it ends by itself */
    }
    if (older != NULL) {
        const struct handshake_identity *before = peer_session_peer(older->session);
        if (before->incarnation != peer->incarnation) {
            peers->superseded[peers->superseded_next].id = before->id;
            peers->superseded[peers->superseded_next].incarnation = before->incarnation;
            peers->superseded_next = (peers->superseded_next + 1) % PEER_SUPERSEDED_MAX;
        }
        peer_incoming_close(older);
    }
    peers_identity_tell(peers, incoming->session);
    peer_incoming_check_addresses(peers);
    peers->events.on_peer(peers->events.arg);
}

static void on_open(void *arg, struct peer_session *session)
{
    struct peer_incoming *incoming = arg;
    struct peers *peers = incoming->peers;
    incoming->heard_ms = (int64_t)uv_now(peers->loop);
    incoming->client = peer_session_role(session) == HANDSHAKE_CLIENT;
    if (incoming->client && peers->client_count >= PEER_CLIENTS_MAX) {
        peers->counters.clients_refused++;
        peer_incoming_close(incoming);
        return;
    }
    incoming->open = true;
    if (incoming->client) {
        peers->client_count++;
    } else {
        member_open(peers, incoming);
    }
}

static void on_frame(void *arg, struct peer_session *session, const struct peer_frame *frame)
{
    struct peer_incoming *incoming = arg;
    struct peers *peers = incoming->peers;
    incoming->heard_ms = (int64_t)uv_now(peers->loop);
    if (incoming->unfit) {
        peers->counters.frames_refused++;
    } else if (!incoming->client) {
        peers_frame(peers, session, frame, true);
    } else if (frame->type == PEER_FRAME_REQUEST) {
        peers->events.on_request(peers->events.arg, session, frame);
    } else {
        peers->counters.frames_refused++;
    }
}

/* Who is refused comes again at once, from another port, as often as he likes. */
static void warn_refused(struct peers *peers, const char *from, const char *why)
{
    char text[ERROR_TEXT_BYTES];
    peers->counters.handshakes_refused++;
    (void)snprintf(text, sizeof text, "connection from %s refused: %s", from, why);
    peers_warn_flood(peers, &peers->refusals, text);
}

static void on_end(void *arg, struct peer_session *session, int rc, const struct error *err)
{
    struct peer_incoming *incoming = arg;
    struct peers *peers = incoming->peers;
    bool member = incoming->open && !incoming->client;
    if (incoming->open && rc == ERR_CORRUPT) {
        peers_damaged(peers, session, err);
    }
    if (!incoming->open && (rc == ERR_PERMISSION || rc == ERR_CONFLICT || rc == ERR_UNSUPPORTED ||
                            rc == ERR_CORRUPT)) {
        peers->counters.frames_corrupt += rc == ERR_CORRUPT ? 1 : 0;
        warn_refused(peers, peer_session_text(session), err->text);
    }
    peer_incoming_close(incoming);
    if (member) {
        peers->events.on_peer(peers->events.arg);
    }
}

static const struct peer_session_events session_events = {
    .on_open = on_open, .on_frame = on_frame, .on_end = on_end};

static struct peer_incoming *oldest_stranger(const struct peers *peers, const struct net_ip *ip,
                                             size_t *ret_count)
{
    struct peer_incoming *oldest = NULL;
    size_t count = 0;
    LIST_EACH(item, &peers->incoming)
    {
        struct peer_incoming *incoming = LIST_OWNER(item, struct peer_incoming, in_peers);
        if (!incoming->open && (ip == NULL || net_ip_equal(incoming->ip, *ip))) {
            oldest = oldest == NULL ? incoming : oldest;
            count++;
        }
    }
    *ret_count = count;
    return oldest;
}

/* Strangers cannot keep members out: the oldest of them makes room. A member that shakes hands is
 * one of them still, so those of one address make room for each other first. */
static bool incoming_make_room(struct peers *peers, struct net_ip ip)
{
    size_t count = 0;
    struct peer_incoming *leaves = oldest_stranger(peers, &ip, &count);
    if (count < PEER_STRANGERS_PER_ADDRESS_MAX) {
        if (peers->incoming_count < PEER_INCOMING_MAX) {
            return true;
        }
        leaves = oldest_stranger(peers, NULL, &count);
    }
    if (leaves != NULL) {
        peer_incoming_close(leaves);
    }
    return leaves != NULL;
}

static bool link_has_ip(const struct peer_link *link, struct net_ip ip)
{
    for (size_t i = 0; i < link->ip_count; i++) {
        if (net_ip_equal(link->ips[i], ip)) {
            return true;
        }
    }
    return false;
}

static bool address_allowed(struct peers *peers, struct net_ip ip)
{
    if (!peers_by_address(peers) || (peers->own != NULL && link_has_ip(peers->own, ip))) {
        return true;
    }
    for (size_t i = 0; i < peers->link_count; i++) {
        if (link_has_ip(peers->links[i], ip)) {
            return true;
        }
    }
    return false;
}

void peers_on_accept(void *arg, struct stream *stream)
{
    struct peers *peers = arg;
    if (peers->closing) {
        stream_close(stream, NULL, NULL);
        return;
    }
    if (!address_allowed(peers, stream_peer(stream)->ip)) {
        /* It may be a member whose address has changed: it will call again. */
        warn_refused(peers, stream_peer(stream)->text,
                     "no address of a member, and neither raft.password nor raft.certfile is set");
        stream_close(stream, NULL, NULL);
        peers_resolve_all(peers, RESOLVE_ASKED_MS);
        return;
    }
    if (!incoming_make_room(peers, stream_peer(stream)->ip)) {
        peers->counters.clients_refused++;
        stream_close(stream, NULL, NULL);
        return;
    }
    struct peer_session_config config = peers_session_config(peers);
    struct peer_incoming *incoming = mem_new(struct peer_incoming);
    incoming->peers = peers;
    incoming->ip = stream_peer(stream)->ip;
    list_append(&peers->incoming, &incoming->in_peers);
    peers->incoming_count++;
    peers->alive++;
    incoming->session = peer_session_start(stream, &config, &session_events, incoming);
}
