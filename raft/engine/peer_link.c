/* One address that is called until somebody answers, and again whenever the connection is lost:
 *
 *   WAITING --timer--> CONNECTING --> HANDSHAKE --> OPEN
 *      ^                   |              |           |
 *      +-------------------+--------------+-----------+
 *           any failure: backoff 50 ms .. 1 s, with jitter
 *   HANDSHAKE --> SELF: the address was our own.
 *
 * The own address is called, too, until that is found out: who else answers there is the member
 * that it belongs to, and what the others send to us would come to him.
 *
 * If another open link leads to the same member (its name is spelled differently in partner_addrs
 * and in the store), this one gives way and looks again after a second: two connections could
 * reorder frames. Without password and certificate the listener knows us by our address, so the
 * connection is bound to that of self_addr. */
#include "raft/engine/peer_set.h"

#include "base/assert.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

#define CONNECT_TIMEOUT_MS 2000
#define RESOLVE_TIMEOUT_MS 5000

static void link_wait(struct peer_link *link);

static void link_release(struct peer_link *link)
{
    bool done = link->dying && link->timer_closed && link->connect == NULL &&
                link->session == NULL && link->closing_sessions == 0 && link->resolve == NULL;
    if (done) {
        struct peers *peers = link->peers;
        mem_free(link);
        peers_part_closed(peers);
    }
}

static void on_session_closed(void *arg)
{
    struct peer_link *link = arg;
    link->closing_sessions--;
    link_release(link);
}

static void session_drop(struct peer_link *link)
{
    if (link->session != NULL) {
        struct peer_session *session = link->session;
        link->session = NULL;
        link->closing_sessions++;
        peer_pieces_out_free(&link->pieces);
        peer_session_close(session, on_session_closed, link);
    }
}

void peer_link_failed(struct peer_link *link, const struct error *err)
{
    bool was_open = link->state == LINK_OPEN;
    (void)snprintf(link->trouble, sizeof link->trouble, "%s", err->text);
    session_drop(link);
    if (link->dying) {
        return;
    }
    link_wait(link);
    if (link != link->peers->own && (was_open || !link->peers->closing)) {
        link->peers->events.on_peer(link->peers->events.arg);
    }
}

/* --- session ---------------------------------------------------------------------------------- */

static bool already_linked(const struct peer_link *link, uint64_t id)
{
    const struct peers *peers = link->peers;
    for (size_t i = 0; i < peers->link_count; i++) {
        const struct peer_link *other = peers->links[i];
        if (other != link && other->state == LINK_OPEN &&
            peer_session_peer(other->session)->id == id) {
            return true;
        }
    }
    return false;
}

static void on_open(void *arg, struct peer_session *session)
{
    struct peer_link *link = arg;
    struct peers *peers = link->peers;
    const struct handshake_identity *peer = peer_session_peer(session);
    struct error err = {0};
    if (peer->id == peers->identity.id) {
        session_drop(link);
        if (peer->incarnation == peers->identity.incarnation) {
            link->state = LINK_SELF;
            peers->events.on_peer(peers->events.arg);
            return;
        }
        link_wait(link);
        error_set(&err, ERR_CONFLICT,
                  "the process at %s runs under our Raft id %016llx: a copied directory",
                  link->address, (unsigned long long)peer->id);
        peers->events.on_unfit(peers->events.arg, &err);
        return;
    }
    if (link == peers->own) {
        session_drop(link);
        link_wait(link);
        error_set(&err, ERR_EXISTS,
                  "raft.self_addr %s of '%s' is where '%s' answers: give this member its own "
                  "address",
                  link->address, peers->identity.name, peer->name);
        peers->events.on_unfit(peers->events.arg, &err);
        return;
    }
    if (already_linked(link, peer->id)) {
        link->backoff_ms = PEER_BACKOFF_MAX_MS;
        error_set(&err, ERR_EXISTS, "leads to member '%s', which is connected already", peer->name);
        peer_link_failed(link, &err);
        return;
    }
    if (!peers_same_cluster(peers, peer)) {
        link->backoff_ms = PEER_BACKOFF_MAX_MS;
        error_set(&err, ERR_CONFLICT, "of the group before or after 'raft recover'");
        peer_link_failed(link, &err);
        return;
    }
    link->state = LINK_OPEN;
    link->backoff_ms = PEER_BACKOFF_MIN_MS;
    link->trouble[0] = '\0';
    peers_identity_tell(peers, session);
    peers_mark_tell(peers, session);
    peer_incoming_check_addresses(peers);
    peers->events.on_peer(peers->events.arg);
}

/* Two spellings of one member: the listener hears only the newest connection of each caller, so the
 * second must end before it opens, or each try of it would break the first. */
static bool on_named(void *arg, const struct handshake_identity *peer)
{
    struct peer_link *link = arg;
    if (link == link->peers->own || !already_linked(link, peer->id)) {
        return true;
    }
    link->backoff_ms = PEER_BACKOFF_MAX_MS;
    return false;
}

static void on_frame(void *arg, struct peer_session *session, const struct peer_frame *frame)
{
    struct peer_link *link = arg;
    peers_frame(link->peers, session, frame, false);
}

static void on_end(void *arg, struct peer_session *session, int rc, const struct error *err)
{
    struct peer_link *link = arg;
    if (rc == ERR_CORRUPT && link->state == LINK_OPEN) {
        peers_damaged(link->peers, session, err);
    } else if (rc == ERR_CORRUPT) {
        link->peers->counters.frames_corrupt++;
    } else if (rc == ERR_PERMISSION || rc == ERR_CONFLICT || rc == ERR_REFUSED ||
               rc == ERR_UNSUPPORTED) {
        peers_warn(link->peers, "member at %s: %s", link->address, err->text);
    }
    peer_link_failed(link, err);
}

static void on_drained(void *arg, struct peer_session *session)
{
    (void)session;
    peer_large_go_on(arg);
}

static const struct peer_session_events session_events = {.on_open = on_open,
                                                          .on_frame = on_frame,
                                                          .on_end = on_end,
                                                          .on_named = on_named,
                                                          .on_drained = on_drained};

/* --- calling ---------------------------------------------------------------------------------- */

static void connect_done(void *arg, int rc, struct stream *stream, const struct error *err)
{
    struct peer_link *link = arg;
    link->connect = NULL;
    if (link->dying) {
        if (stream != NULL) {
            stream_close(stream, NULL, NULL);
        }
        link_release(link);
        return;
    }
    if (rc != 0) {
        peer_link_failed(link, err);
        return;
    }
    struct peer_session_config config = peers_session_config(link->peers);
    config.caller = true;
    link->state = LINK_HANDSHAKE;
    link->session = peer_session_start(stream, &config, &session_events, link);
}

static void link_connect(struct peer_link *link)
{
    struct peers *peers = link->peers;
    struct tcp_connect_options options = {
        .to = link->net, .timeout_ms = CONNECT_TIMEOUT_MS, .tcp = peers_tcp_options(peers)};
    bool any = strcmp(peers->self.host, "*") == 0;
    options.from = peers_by_address(peers) && !any ? &peers->self : NULL;
    struct error err = {0};
    int rc = tcp_connect_start(peers->loop, &options, connect_done, link, &link->connect, &err);
    if (rc != 0) {
        link->connect = NULL;
        peer_link_failed(link, &err);
        return;
    }
    link->state = LINK_CONNECTING;
}

static void on_timer(uv_timer_t *timer)
{
    link_connect(timer->data);
}

/* Half the backoff, and a random part of the other half: members that lost one another do not call
 * in step. */
static void link_wait(struct peer_link *link)
{
    int half = link->backoff_ms / 2;
    uint64_t delay_ms = (uint64_t)half + random_next(link->peers->random) % (uint64_t)(half + 1);
    link->backoff_ms =
        link->backoff_ms * 2 < PEER_BACKOFF_MAX_MS ? link->backoff_ms * 2 : PEER_BACKOFF_MAX_MS;
    link->state = LINK_WAITING;
    int rc = uv_timer_start(&link->timer, on_timer, delay_ms, 0);
    ASSERT(rc == 0);
}

/* --- names ------------------------------------------------------------------------------------ */

static void resolve_done(void *arg, int rc, const struct net_resolved *resolved,
                         const struct error *err)
{
    struct peer_link *link = arg;
    (void)err; /* the last good answer stays; connecting tells what is wrong with the name */
    link->resolve = NULL;
    if (link->dying) {
        link_release(link);
        return;
    }
    if (rc != 0) {
        return;
    }
    link->ip_count = 0;
    for (size_t i = 0; i < resolved->count && i < NET_RESOLVED_MAX; i++) {
        link->ips[link->ip_count++] = net_ip_of((const struct sockaddr *)&resolved->addresses[i]);
    }
}

void peer_link_resolve(struct peer_link *link, int64_t age_ms)
{
    int64_t now_ms = (int64_t)uv_now(link->peers->loop);
    if (link->resolve != NULL ||
        (link->resolved_at_ms != 0 && now_ms - link->resolved_at_ms < age_ms)) {
        return;
    }
    link->resolved_at_ms = now_ms;
    if (net_resolve_start(link->peers->loop, &link->net, RESOLVE_TIMEOUT_MS, resolve_done, link,
                          &link->resolve, NULL) != 0) {
        link->resolve = NULL;
    }
}

/* --- life ------------------------------------------------------------------------------------- */

struct peer_link *peer_link_new(struct peers *peers, const char *address, struct error *err)
{
    struct net_addr net;
    int rc = net_addr_parse(address, NET_PORT_REQUIRED, &net, err);
    if (rc != 0) {
        return NULL;
    }
    struct peer_link *link = mem_new(struct peer_link);
    link->peers = peers;
    link->net = net;
    link->backoff_ms = PEER_BACKOFF_MIN_MS;
    (void)snprintf(link->address, sizeof link->address, "%s", address);
    rc = uv_timer_init(peers->loop, &link->timer);
    ASSERT(rc == 0);
    link->timer.data = link;
    peers->alive++;
    return link;
}

void peer_link_start(struct peer_link *link)
{
    int rc = uv_timer_start(&link->timer, on_timer, 0, 0);
    ASSERT(rc == 0);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct peer_link *link = handle->data;
    link->timer_closed = true;
    link_release(link);
}

void peer_link_free(struct peer_link *link)
{
    if (link == NULL) {
        return;
    }
    ASSERT(!link->dying);
    link->dying = true;
    link->state = LINK_WAITING;
    session_drop(link);
    if (link->connect != NULL) {
        tcp_connect_cancel(link->connect);
    }
    if (link->resolve != NULL) {
        net_resolve_cancel(link->resolve);
    }
    uv_close((uv_handle_t *)&link->timer, on_timer_closed);
}
