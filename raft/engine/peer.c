/* All connections of one member: frames after the handshake, links by address and id, start and
 * end. Calling is peer_link.c, being called peer_incoming.c, large messages peer_large.c. */
#include "raft/engine/peer.h"

#include "raft/engine/peer_set.h"

#include "base/assert.h"
#include "base/mem.h"
#include "raft/engine/cluster_id.h"

#include <openssl/crypto.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LISTEN_BACKLOG         128
#define STREAM_QUEUE_BYTES_MAX (PEER_FRAME_BYTES_MAX + PEER_QUEUE_BYTES_MAX)

void peers_warn(struct peers *peers, const char *fmt, ...)
{
    char text[ERROR_TEXT_BYTES];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (!peers->closing) {
        peers->events.on_warning(peers->events.arg, text);
    }
}

void peers_warn_flood(struct peers *peers, struct peer_flood *flood, const char *text)
{
    uint64_t now_ms = uv_now(peers->loop);
    char more[48] = "";
    if (now_ms - flood->since_ms >= flood->window_ms) {
        if (flood->untold > 0) {
            (void)snprintf(more, sizeof more, " (and %u more before)", flood->untold);
        }
        flood->since_ms = now_ms;
        flood->told = flood->untold = 0;
    }
    if (flood->told >= flood->lines_max) {
        flood->untold++;
        return;
    }
    flood->told++;
    peers_warn(peers, "%s%s", text, more);
}

void peers_damaged(struct peers *peers, const struct peer_session *session, const struct error *err)
{
    const struct handshake_identity *peer = peer_session_peer(session);
    char text[ERROR_TEXT_BYTES];
    bool member = peer_session_role(session) == HANDSHAKE_MEMBER;
    peers->counters.frames_corrupt++;
    (void)snprintf(text, sizeof text,
                   "%s '%s' at %s: %s, the connection is made anew: look for a network device or "
                   "memory that changes bytes between the two",
                   member ? "member" : "client", peer->name,
                   member ? peer->address : peer_session_text(session), err->text);
    peers_warn_flood(peers, &peers->damages, text);
}

struct tcp_options peers_tcp_options(const struct peers *peers)
{
    return (struct tcp_options){.user_timeout_ms = (unsigned)peers->election_timeout_ms,
                                .write_queue_bytes_max = STREAM_QUEUE_BYTES_MAX};
}

struct peer_session_config peers_session_config(const struct peers *peers)
{
    return (struct peer_session_config){.loop = peers->loop,
                                        .role = HANDSHAKE_MEMBER,
                                        .password = peers->password,
                                        .identity = &peers->identity,
                                        .tls = peers->tls,
                                        .queue_bytes_max = STREAM_QUEUE_BYTES_MAX};
}

void peers_frame_init(const struct peers *peers, struct peer_frame *frame,
                      enum peer_frame_type type, uint64_t to, struct span payload)
{
    *frame = (struct peer_frame){.type = type,
                                 .from = peers->identity.id,
                                 .to = to,
                                 .cluster = peers->identity.cluster,
                                 .payload = payload};
}

void peers_session_send(struct peers *peers, struct peer_session *session,
                        enum peer_frame_type type, struct span payload)
{
    struct peer_frame frame;
    peers_frame_init(peers, &frame, type, peer_session_peer(session)->id, payload);
    if (peer_session_send(session, &frame, PEER_QUEUE_BYTES_MAX, NULL) != 0) {
        peers->counters.frames_dropped++;
    }
}

/* --- frames after the handshake --------------------------------------------------------------- */

/* False: it belongs to a cluster that was recovered from ours, or ours from its. In the first case
 * we are what was left behind, and stop. */
bool peers_same_cluster(struct peers *peers, const struct handshake_identity *peer)
{
    struct error err = {0};
    uint64_t own = peers->identity.cluster;
    if (cluster_id_replaces(own, peer->cluster)) {
        peers_warn(peers,
                   "member '%s' at %s is of group %016llx, from before 'raft recover': it is not "
                   "listened to and stops",
                   peer->name, peer->address, (unsigned long long)peer->cluster);
        return false;
    }
    if (!cluster_id_replaces(peer->cluster, own)) {
        return true;
    }
    error_set(
        &err, ERR_CONFLICT,
        "'%s' at %s is of group %016llx, which was recovered from ours ('raft recover') "
        "without this member: move raft.db* out of raft.data_dir and start again, to join it as "
        "a new one",
        peer->name, peer->address, (unsigned long long)peer->cluster);
    peers->events.on_unfit(peers->events.arg, &err);
    return false;
}

static void on_state(struct peers *peers, struct peer_session *session, struct span payload)
{
    const struct handshake_identity *old = peer_session_peer(session);
    struct span_reader reader = span_reader_of(payload);
    struct handshake_identity identity;
    if (handshake_identity_decode(&reader, &identity, NULL) != 0 || !span_reader_done(&reader) ||
        identity.id != old->id || identity.incarnation != old->incarnation ||
        strcmp(identity.name, old->name) != 0) {
        peers->counters.frames_refused++;
        return;
    }
    peer_session_peer_set(session, &identity);
    (void)peers_same_cluster(peers, &identity); /* its frames are refused by their cluster */
    peers->events.on_peer(peers->events.arg);
}

static void on_refused(struct peers *peers, const struct handshake_identity *by,
                       struct span payload)
{
    struct span_reader reader = span_reader_of(payload);
    int code = (int)(int32_t)span_take_u32(&reader);
    struct error err = {0};
    if (code == ERR_CONFLICT) {
        error_set(&err, ERR_CONFLICT,
                  "another process runs under our Raft id %016llx: a copied directory",
                  (unsigned long long)peers->identity.id);
        peers->events.on_unfit(peers->events.arg, &err);
    } else if (code == ERR_CORRUPT) {
        struct span text = span_take_bytes(&reader, ERROR_TEXT_BYTES);
        error_set(
            &err, ERR_CORRUPT,
            "'%s' says that %.*s: move raft.db* out of raft.data_dir and start again, to join "
            "as a new member",
            by->name, (int)text.len, text.len > 0 ? (const char *)text.data : "");
        peers->events.on_unfit(peers->events.arg, &err);
    } else if (code == ERR_EXISTS) {
        struct span text = span_take_bytes(&reader, ERROR_TEXT_BYTES);
        error_set(&err, ERR_EXISTS, "'%s' says that %.*s: give this member its own address",
                  by->name, (int)text.len, text.len > 0 ? (const char *)text.data : "");
        peers->events.on_unfit(peers->events.arg, &err);
    }
}

void peers_frame(struct peers *peers, struct peer_session *session, const struct peer_frame *frame,
                 bool listening)
{
    const struct handshake_identity *peer = peer_session_peer(session);
    bool addressed = frame->from == peer->id && frame->to == peers->identity.id;
    bool same_cluster = frame->cluster == peers->identity.cluster && frame->cluster != 0;
    bool needs_cluster = frame->type == PEER_FRAME_RAFT || frame->type == PEER_FRAME_JOIN ||
                         frame->type == PEER_FRAME_REMOVED || frame->type == PEER_FRAME_MARK ||
                         frame->type == PEER_FRAME_PIECE || frame->type == PEER_FRAME_TAKEN;
    if ((!addressed && frame->type != PEER_FRAME_REFUSED) || (needs_cluster && !same_cluster)) {
        peers->counters.frames_refused++;
        return;
    }
    switch (frame->type) {
    case PEER_FRAME_RAFT:
        if (listening) {
            peers->events.on_raft(peers->events.arg, peer->id, frame->payload);
        }
        return;
    case PEER_FRAME_FIRST:
    case PEER_FRAME_JOIN:
    case PEER_FRAME_REMOVED: peers->events.on_control(peers->events.arg, session, frame); return;
    case PEER_FRAME_STATE: on_state(peers, session, frame->payload); return;
    case PEER_FRAME_REFUSED: on_refused(peers, peer, frame->payload); return;
    case PEER_FRAME_PING: return;
    case PEER_FRAME_MARK:
        if (listening) {
            peer_incoming_mark(peers, session, frame->payload);
        }
        return;
    case PEER_FRAME_PIECE: peer_large_piece(peers, session, frame->payload); return;
    case PEER_FRAME_TAKEN: peer_large_taken(peers, session, frame->payload); return;
    case PEER_FRAME_HELLO:
    case PEER_FRAME_CHALLENGE:
    case PEER_FRAME_PROOF:
    case PEER_FRAME_WELCOME:
    case PEER_FRAME_REQUEST:
    case PEER_FRAME_ANSWER: peers->counters.frames_refused++; return;
    }
}

/* --- the others' addresses and ids ------------------------------------------------------------ */

void peers_resolve_all(struct peers *peers, int64_t age_ms)
{
    if (!peers_by_address(peers)) {
        return;
    }
    if (peers->own != NULL) {
        peer_link_resolve(peers->own, age_ms);
    }
    for (size_t i = 0; i < peers->link_count; i++) {
        peer_link_resolve(peers->links[i], age_ms);
    }
}

static struct peer_link *link_find(const struct peers *peers, const char *address)
{
    for (size_t i = 0; i < peers->link_count; i++) {
        if (strcmp(peers->links[i]->address, address) == 0) {
            return peers->links[i];
        }
    }
    return NULL;
}

static int link_add(struct peers *peers, const char *address, bool partner, struct error *err)
{
    struct peer_link *link = link_find(peers, address);
    if (link == NULL) {
        if (peers->link_count == PEER_LINKS_MAX) {
            return error_set(err, ERR_LIMIT, "more than %d addresses of members", PEER_LINKS_MAX);
        }
        link = peer_link_new(peers, address, err);
        if (link == NULL) {
            return ERR_INVALID;
        }
        peers->links[peers->link_count++] = link;
        peer_link_start(link);
    }
    link->partner = link->partner || partner;
    link->wanted = true;
    return 0;
}

void peers_addresses_set(struct peers *peers, const char *const *addresses, size_t count)
{
    for (size_t i = 0; i < peers->link_count; i++) {
        peers->links[i]->wanted = false;
    }
    for (size_t i = 0; i < count; i++) {
        struct error err = {0};
        int rc = link_add(peers, addresses[i], false, &err);
        if (rc != 0) {
            peers_warn(peers, "address of a member: %s, ignoring", err.text);
        }
    }
    size_t kept = 0;
    for (size_t i = 0; i < peers->link_count; i++) {
        struct peer_link *link = peers->links[i];
        if (link->wanted || link->partner) {
            peers->links[kept++] = link;
        } else {
            peer_link_free(link);
        }
    }
    peers->link_count = kept;
    peers_resolve_all(peers, PEER_RESOLVE_INTERVAL_MS);
}

static struct peer_link *link_to(const struct peers *peers, uint64_t id)
{
    for (size_t i = 0; i < peers->link_count; i++) {
        struct peer_link *link = peers->links[i];
        if (link->state == LINK_OPEN && peer_session_peer(link->session)->id == id) {
            return link;
        }
    }
    return NULL;
}

void peers_send(struct peers *peers, uint64_t to, enum peer_frame_type type, struct span payload)
{
    struct peer_link *link = link_to(peers, to);
    if (link == NULL || peers->closing) {
        peers->counters.frames_dropped++;
        return;
    }
    if (peer_large_is_for(link, type, payload)) {
        peer_large_send(link, payload);
    } else {
        peers_session_send(peers, link->session, type, payload);
    }
}

bool peers_snapshot_is_under_way(const struct peers *peers, uint64_t id)
{
    const struct peer_link *link = link_to(peers, id);
    return link != NULL && peer_large_is_busy(link);
}

bool peers_connected(const struct peers *peers, uint64_t id)
{
    return id == peers->identity.id || link_to(peers, id) != NULL;
}

static struct peer_session *session_with(const struct peers *peers, uint64_t id)
{
    const struct peer_link *link = link_to(peers, id);
    if (link != NULL) {
        return link->session;
    }
    const struct peer_incoming *incoming = peer_incoming_of(peers, id, NULL);
    return incoming != NULL ? incoming->session : NULL;
}

const struct handshake_identity *peers_peer(const struct peers *peers, uint64_t id)
{
    const struct peer_session *session = session_with(peers, id);
    return session != NULL ? peer_session_peer(session) : NULL;
}

void peers_tell(struct peers *peers, uint64_t id, enum peer_frame_type type)
{
    struct peer_session *session = session_with(peers, id);
    if (session != NULL) {
        peers_session_send(peers, session, type, span_of(NULL, 0));
    }
}

bool peers_reachable(const struct peers *peers, uint64_t id)
{
    return peers_connected(peers, id) || peer_incoming_of(peers, id, NULL) != NULL;
}

void peers_identity_set(struct peers *peers, const struct handshake_identity *identity)
{
    ASSERT(identity->id == peers->identity.id &&
           identity->incarnation == peers->identity.incarnation);
    peers->identity = *identity;
    struct buf payload = BUF_INIT;
    handshake_identity_encode(identity, &payload);
    for (size_t i = 0; i < peers->link_count; i++) {
        if (peers->links[i]->state == LINK_OPEN) {
            peers_session_send(peers, peers->links[i]->session, PEER_FRAME_STATE,
                               buf_span(&payload));
        }
    }
    LIST_EACH(item, &peers->incoming)
    {
        struct peer_incoming *incoming = LIST_OWNER(item, struct peer_incoming, in_peers);
        if (incoming->open && !incoming->client) {
            peers_session_send(peers, incoming->session, PEER_FRAME_STATE, buf_span(&payload));
        }
    }
    buf_free(&payload);
}

void peers_identity_tell(struct peers *peers, struct peer_session *session)
{
    struct buf told = BUF_INIT;
    struct buf now = BUF_INIT;
    handshake_identity_encode(peer_session_self(session), &told);
    handshake_identity_encode(&peers->identity, &now);
    if (!span_equal(buf_span(&told), buf_span(&now))) {
        peers_session_send(peers, session, PEER_FRAME_STATE, buf_span(&now));
    }
    buf_free(&told);
    buf_free(&now);
}

void peers_mark_tell(struct peers *peers, struct peer_session *session)
{
    if (peers->mark.term == 0 || peers->identity.cluster == 0) {
        return;
    }
    struct buf payload = BUF_INIT;
    peer_mark_encode(&peers->mark, &payload);
    peers_session_send(peers, session, PEER_FRAME_MARK, buf_span(&payload));
    buf_free(&payload);
}

void peers_mark_set(struct peers *peers, const struct raft_mark *mark)
{
    peers->mark = *mark;
    for (size_t i = 0; i < peers->link_count; i++) {
        if (peers->links[i]->state == LINK_OPEN) {
            peers_mark_tell(peers, peers->links[i]->session);
        }
    }
}

const struct handshake_identity *peers_identity(const struct peers *peers)
{
    return &peers->identity;
}

void peers_each(const struct peers *peers, void (*visit)(void *arg, const struct peer_view *view),
                void *arg)
{
    for (size_t i = 0; i < peers->link_count; i++) {
        const struct peer_link *link = peers->links[i];
        bool open = link->state == LINK_OPEN;
        struct peer_view view = {.address = link->address,
                                 .partner = link->partner,
                                 .self = link->state == LINK_SELF,
                                 .connected = open,
                                 .identity = open ? peer_session_peer(link->session) : NULL,
                                 .trouble = link->trouble};
        visit(arg, &view);
    }
}

void peers_each_caller(const struct peers *peers,
                       void (*visit)(void *arg, const struct handshake_identity *identity),
                       void *arg)
{
    LIST_EACH(item, &peers->incoming)
    {
        const struct peer_incoming *incoming = LIST_OWNER(item, struct peer_incoming, in_peers);
        if (incoming->open && !incoming->client) {
            visit(arg, peer_session_peer(incoming->session));
        }
    }
}

void peers_counters(const struct peers *peers, struct raft_group_counters *ret_counters)
{
    *ret_counters = peers->counters;
}

int peers_port(const struct peers *peers)
{
    return tcp_listener_port(peers->listener);
}

/* --- life ------------------------------------------------------------------------------------- */

/* Without something on its way TCP never notices a dead host. */
static void on_timer(uv_timer_t *timer)
{
    struct peers *peers = timer->data;
    int64_t now_ms = (int64_t)uv_now(peers->loop);
    for (size_t i = 0; i < peers->link_count; i++) {
        struct peer_link *link = peers->links[i];
        if (link->state == LINK_OPEN && peer_session_pending(link->session) == 0) {
            peers_session_send(peers, link->session, PEER_FRAME_PING, span_of(NULL, 0));
        }
        peer_large_look(link);
    }
    LIST_EACH(item, &peers->incoming)
    {
        struct peer_incoming *incoming = LIST_OWNER(item, struct peer_incoming, in_peers);
        if (incoming->open && !incoming->client && now_ms - incoming->heard_ms > PEER_IDLE_MAX_MS) {
            peer_incoming_close(incoming);
        }
    }
    peers_resolve_all(peers, PEER_RESOLVE_INTERVAL_MS);
}

void peers_part_closed(struct peers *peers)
{
    ASSERT(peers->alive > 0);
    peers->alive--;
    if (peers->alive > 0 || !peers->closing) {
        return;
    }
    void (*closed)(void *arg) = peers->closed;
    void *closed_arg = peers->closed_arg;
    if (peers->password != NULL) {
        OPENSSL_cleanse(peers->password, strlen(peers->password));
    }
    mem_free(peers->password);
    tls_context_free(peers->tls);
    mem_free(peers);
    if (closed != NULL) {
        closed(closed_arg);
    }
}

static void on_part_closed(void *arg)
{
    peers_part_closed(arg);
}

static void on_timer_closed(uv_handle_t *handle)
{
    peers_part_closed(handle->data);
}

void peers_close(struct peers *peers, void (*closed)(void *arg), void *arg)
{
    ASSERT(!peers->closing);
    peers->closing = true;
    peers->closed = closed;
    peers->closed_arg = arg;
    LIST_EACH(item, &peers->incoming)
    {
        peer_incoming_close(LIST_OWNER(item, struct peer_incoming, in_peers));
    }
    for (size_t i = 0; i < peers->link_count; i++) {
        peer_link_free(peers->links[i]);
    }
    peers->link_count = 0;
    peer_link_free(peers->own);
    if (peers->tls_watch != NULL) {
        tls_watch_stop(peers->tls_watch, on_part_closed, peers);
    }
    if (peers->listener != NULL) {
        tcp_listener_stop(peers->listener, on_part_closed, peers);
    }
    uv_close((uv_handle_t *)&peers->timer, on_timer_closed);
}

static void on_certificates_loaded(void *arg, const char *text)
{
    struct peers *peers = arg;
    if (!peers->closing && peers->events.on_note != NULL) {
        peers->events.on_note(peers->events.arg, text);
    }
}

static void on_certificates_failed(void *arg, const struct error *err)
{
    peers_warn(arg, "certificates: %s; the ones that were read before stay in use", err->text);
}

static void on_certificates_expire(void *arg, const char *text)
{
    peers_warn(arg, "%s", text);
}

static int peers_secure(struct peers *peers, const struct peers_config *config, struct error *err)
{
    struct tls_config tls = {.certfile = config->certfile,
                             .keyfile = config->keyfile,
                             .cafile = config->cafile,
                             .verify = TLS_VERIFY_REQUIRED,
                             .mutual = true};
    const struct tls_watch_events events = {.on_loaded = on_certificates_loaded,
                                            .on_failed = on_certificates_failed,
                                            .on_expiry = on_certificates_expire,
                                            .arg = peers};
    if (config->certfile == NULL && config->cafile == NULL) {
        return 0;
    }
    int rc = tls_context_new(&tls, &peers->tls, err);
    if (rc != 0) {
        error_wrap(err, "raft");
        return rc;
    }
    peers->tls_watch = tls_watch_start(peers->loop, peers->tls, &events, 0);
    peers->alive++;
    return 0;
}

void peers_reload(struct peers *peers)
{
    if (peers->tls_watch != NULL && !peers->closing) {
        tls_watch_look(peers->tls_watch);
    }
}

static int peers_listen(struct peers *peers, const struct peers_config *config, struct error *err)
{
    struct net_addr bind;
    int rc = net_addr_parse(config->self_addr, NET_PORT_REQUIRED, &peers->self, err);
    if (rc == 0) {
        const char *text = config->bind_addr != NULL ? config->bind_addr : config->self_addr;
        rc = net_addr_parse(text, NET_PORT_REQUIRED, &bind, err);
    }
    if (rc == 0) {
        struct tcp_options options = peers_tcp_options(peers);
        rc = tcp_listener_start(peers->loop, &bind, LISTEN_BACKLOG, &options, peers_on_accept,
                                peers, &peers->listener, err);
        if (rc != 0) {
            bool apart =
                config->bind_addr != NULL && strcmp(config->bind_addr, config->self_addr) != 0;
            error_wrap(err, "raft.%s", apart ? "bind_addr" : "self_addr");
        }
    }
    if (rc == 0) {
        peers->alive++;
    }
    return rc;
}

static int peers_call(struct peers *peers, const struct peers_config *config, struct error *err)
{
    peers->own = peer_link_new(peers, config->self_addr, err);
    if (peers->own == NULL) {
        return ERR_INVALID;
    }
    for (size_t i = 0; i < config->partner_count; i++) {
        int rc = link_add(peers, config->partner_addrs[i], true, err);
        if (rc != 0) {
            error_wrap(err, "partner_addrs");
            return rc;
        }
    }
    peers_resolve_all(peers, 0);
    peer_link_start(peers->own);
    return 0;
}

int peers_open(const struct peers_config *config, const struct peers_events *events,
               struct peers **ret_peers, struct error *err)
{
    struct peers *peers = mem_new(struct peers);
    peers->loop = config->loop;
    peers->events = *events;
    peers->identity = *config->identity;
    peers->random = config->random;
    peers->election_timeout_ms = config->election_timeout_ms;
    if (config->password != NULL && config->password[0] != '\0') {
        peers->password = mem_strdup(config->password);
    }
    peers->refusals = (struct peer_flood){.lines_max = PEER_STRANGER_WARNINGS_MAX,
                                          .window_ms = PEER_STRANGER_WARNINGS_MS};
    peers->damages = (struct peer_flood){.lines_max = PEER_DAMAGE_WARNINGS_MAX,
                                         .window_ms = PEER_DAMAGE_WARNINGS_MS};
    list_init(&peers->incoming);
    int rc = uv_timer_init(peers->loop, &peers->timer);
    ASSERT(rc == 0);
    peers->timer.data = peers;
    peers->alive = 1;
    rc = peers_secure(peers, config, err);
    rc = rc != 0 ? rc : peers_listen(peers, config, err);
    if (rc == 0) {
        rc = peers_call(peers, config, err);
    }
    if (rc != 0) {
        peers_close(peers, NULL, NULL);
        return rc;
    }
    uint64_t interval_ms = (uint64_t)config->election_timeout_ms;
    rc = uv_timer_start(&peers->timer, on_timer, interval_ms, interval_ms);
    ASSERT(rc == 0);
    *ret_peers = peers;
    return 0;
}
