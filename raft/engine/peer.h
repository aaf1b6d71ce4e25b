/* All connections of one member: it listens, keeps one outgoing connection to every address of a
 * member, and sends and takes frames. A member sends on the connection it made and takes frames on
 * those that were made to it.
 *
 * Addresses are where to call; ids are who somebody is. A frame goes to an id, over the link whose
 * other end has proved to be it. */
#ifndef RAFT_ENGINE_PEER_H
#define RAFT_ENGINE_PEER_H

#include "base/random.h"
#include "raft/engine/handshake.h"
#include "raft/engine/peer_session.h"
#include "raft/group.h"

#define PEER_LINKS_MAX       40 /* addresses called: partner_addrs, and those of group_address.h */
#define PEER_QUEUE_BYTES_MAX ((size_t)8 * 1024 * 1024)
#define PEER_INCOMING_MAX \
    256 /* connections made to us; the oldest stranger makes room for a new one */
#define PEER_STRANGERS_PER_ADDRESS_MAX 32 /* then its own oldest makes room */
#define PEER_STRANGER_WARNINGS_MAX     5  /* of refusals, in so many ms; then their number */
#define PEER_STRANGER_WARNINGS_MS      5000
#define PEER_DAMAGE_WARNINGS_MAX       3 /* of damaged frames, likewise */
#define PEER_DAMAGE_WARNINGS_MS        60000
#define PEER_CLIENTS_MAX               64
#define PEER_BACKOFF_MIN_MS            50
#define PEER_BACKOFF_MAX_MS            1000
#define PEER_IDLE_MAX_MS                                                    \
    15000 /* a member's connection without any frame (it pings much faster) \
           */
#define PEER_RESOLVE_INTERVAL_MS 30000

struct peers;

struct peers_events {
    /* A message of the engine from member `from`: same cluster, meant for us. */
    void (*on_raft)(void *arg, uint64_t from, struct span frame);
    /* FIRST, JOIN or REMOVED of an authenticated member. */
    void (*on_control)(void *arg, struct peer_session *session, const struct peer_frame *frame);
    /* What peers_each shows has changed. */
    void (*on_peer)(void *arg);
    /* A client's REQUEST; answer on the session. Gone with on_client_end. */
    void (*on_request)(void *arg, struct peer_session *client, const struct peer_frame *frame);
    void (*on_client_end)(void *arg, struct peer_session *client);
    void (*on_warning)(void *arg, const char *text);
    /* What an operator has done has come into force. May be NULL. */
    void (*on_note)(void *arg, const char *text);
    /* Another process runs under our id, or our directory is an old copy of what a member has known
     * of us: we may not vote any more. */
    void (*on_unfit)(void *arg, const struct error *err);
    void *arg;
};

struct peers_config {
    uv_loop_t *loop;
    const char *self_addr;
    const char *bind_addr; /* NULL = self_addr */
    const char *const *partner_addrs;
    size_t partner_count;
    const char *password;
    /* Certificate, key and authorities of every connection; NULL = plain text. */
    const char *certfile;
    const char *keyfile; /* NULL = in certfile */
    const char *cafile;
    int election_timeout_ms;
    const struct random *random;
    const struct handshake_identity *identity;
};

/* Listens and starts to call. Everything in `config` is copied. */
int peers_open(const struct peers_config *config, const struct peers_events *events,
               struct peers **ret_peers, struct error *err) MUST_CHECK;
void peers_close(struct peers *peers, void (*closed)(void *arg), void *arg);

int peers_port(const struct peers *peers);
/* Id, name and incarnation stay; tells everybody who is connected. */
void peers_identity_set(struct peers *peers, const struct handshake_identity *identity);
const struct handshake_identity *peers_identity(const struct peers *peers);

/* What our directory holds: told on every connection that we make, before anything else, and now on
 * those that are there. */
void peers_mark_set(struct peers *peers, const struct raft_mark *mark);

/* Looks at the files with certificates now; nothing without TLS. */
void peers_reload(struct peers *peers);

/* Addresses to call beside partner_addrs; those that are not named any more are let go. */
void peers_addresses_set(struct peers *peers, const char *const *addresses, size_t count);

/* Fire and forget: dropped and counted if `to` is not connected or has more than
 * PEER_QUEUE_BYTES_MAX waiting. In order, but for a snapshot of more than a piece to a member that
 * knows pieces: what is sent after it may come before it, and another one is dropped while
 * peers_snapshot_is_under_way. */
void peers_send(struct peers *peers, uint64_t to, enum peer_frame_type type, struct span payload);
/* One has not come through to `id`, or so lately that the answer may be on its way. */
bool peers_snapshot_is_under_way(const struct peers *peers, uint64_t id);
/* Our link to `id` is open. */
bool peers_connected(const struct peers *peers, uint64_t id);
/* An empty frame to `id`, over whichever connection there is with it. */
void peers_tell(struct peers *peers, uint64_t id, enum peer_frame_type type);
/* What a member that is connected in either direction says of itself; NULL if it is not. Borrowed
 * until the loop turns. */
const struct handshake_identity *peers_peer(const struct peers *peers, uint64_t id);
/* In either direction. */
bool peers_reachable(const struct peers *peers, uint64_t id);

struct peer_view {
    const char *address;
    bool partner; /* named in partner_addrs */
    bool self;    /* it is our own address */
    bool connected;
    const struct handshake_identity *identity; /* if connected */
    const char *trouble;                       /* why not; "" = not tried yet */
};
void peers_each(const struct peers *peers, void (*visit)(void *arg, const struct peer_view *view),
                void *arg);

/* Members whose connection to us is open. */
void peers_each_caller(const struct peers *peers,
                       void (*visit)(void *arg, const struct handshake_identity *identity),
                       void *arg);

void peers_counters(const struct peers *peers, struct raft_group_counters *ret_counters);

#endif
