/* Shared by peer.c (frames, start and end), peer_link.c (calling), peer_incoming.c (being called)
 * and peer_large.c (messages in pieces). Nobody else includes it. */
#ifndef RAFT_ENGINE_PEER_SET_H
#define RAFT_ENGINE_PEER_SET_H

#include "base/list.h"
#include "base/net/tcp.h"
#include "base/net/tls_watch.h"
#include "raft/engine/peer.h"
#include "raft/engine/peer_mark.h"
#include "raft/engine/peer_pieces.h"

#define PEER_SUPERSEDED_MAX 16

enum peer_link_state {
    LINK_WAITING, /* the timer runs: backoff */
    LINK_CONNECTING,
    LINK_HANDSHAKE,
    LINK_OPEN,
    LINK_SELF /* it was our own address: nothing more to do */
};

/* Something that others make us warn of, as often as they like: so many lines in so many ms, then
 * their number. */
struct peer_flood {
    unsigned lines_max;
    uint64_t window_ms;
    uint64_t since_ms; /* uv_now; of the present window */
    unsigned told;
    unsigned untold;
};

struct peer_link {
    struct peers *peers;
    enum peer_link_state state;
    bool partner;
    bool wanted; /* named in the last peers_addresses_set */
    bool dying;
    char address[RAFT_NODE_ADDRESS_BYTES];
    struct net_addr net;
    uv_timer_t timer;
    bool timer_closed;
    struct tcp_connect *connect;
    struct peer_session *session;
    struct peer_pieces_out pieces; /* of the session */
    int closing_sessions;
    int backoff_ms;
    char trouble[ERROR_TEXT_BYTES];
    /* Where the name leads, for the rule of connections without a password. */
    struct net_resolve *resolve;
    int64_t resolved_at_ms;
    size_t ip_count;
    struct net_ip ips[NET_RESOLVED_MAX];
};

struct peer_incoming {
    struct list in_peers;
    struct peers *peers;
    struct peer_session *session;
    struct peer_pieces_in pieces;
    struct net_ip ip;
    bool open;
    bool client;
    bool unfit;       /* on an old copy of its directory: told to stop, and not heard any more */
    int64_t heard_ms; /* uv_now of the last frame */
};

struct peers {
    uv_loop_t *loop;
    struct peers_events events;
    struct handshake_identity identity;
    char *password;          /* NULL = none */
    struct tls_context *tls; /* NULL = plain text */
    struct tls_watch *tls_watch;
    struct net_addr self;
    const struct random *random;
    int election_timeout_ms;
    struct tcp_listener *listener;
    uv_timer_t timer; /* pings, idle connections, name lookups */
    struct peer_link *links[PEER_LINKS_MAX];
    size_t link_count;
    struct peer_link *own; /* looks up our own host, and sees that nobody else answers there */
    struct list incoming;
    size_t incoming_count;
    size_t client_count;
    struct {
        uint64_t id;
        uint64_t incarnation;
    } superseded[PEER_SUPERSEDED_MAX];
    size_t superseded_next;
    struct raft_mark mark; /* our own; term 0 = not known yet */
    struct peer_marks marks;
    struct raft_group_counters counters;
    struct peer_flood refusals;
    struct peer_flood damages;
    bool closing;
    size_t alive; /* listener, timer, watch, links, sessions not yet closed */
    void (*closed)(void *arg);
    void *closed_arg;
};

struct peer_link *peer_link_new(struct peers *peers, const char *address, struct error *err);
/* Closes and frees, at once or when its last handle is closed. */
void peer_link_free(struct peer_link *link);
void peer_link_start(struct peer_link *link);
/* Looks the host up again if that is `age_ms` ago. */
void peer_link_resolve(struct peer_link *link, int64_t age_ms);

/* The connection of an open link is given up; it is called again. */
void peer_link_failed(struct peer_link *link, const struct error *err);

/* peer_large.c. Dropped and counted while another one is under way. */
void peer_large_send(struct peer_link *link, struct span message);
bool peer_large_is_for(const struct peer_link *link, enum peer_frame_type type,
                       struct span payload);
/* The last one is under way, or so new that its answer may be. */
bool peer_large_is_busy(const struct peer_link *link);
/* As many pieces as may go now. */
void peer_large_go_on(struct peer_link *link);
/* Ends the connection if nothing is taken of what is under way. */
void peer_large_look(struct peer_link *link);
/* Frames PIECE and TAKEN of a session. */
void peer_large_piece(struct peers *peers, struct peer_session *session, struct span payload);
void peer_large_taken(struct peers *peers, struct peer_session *session, struct span payload);

/* tcp_on_accept of the listener; `arg` is the peers. */
void peers_on_accept(void *arg, struct stream *stream);
/* The open connection of member `id` that is not `not_this`; NULL if there is none. */
struct peer_incoming *peer_incoming_of(const struct peers *peers, uint64_t id,
                                       const struct peer_incoming *not_this);
void peer_incoming_close(struct peer_incoming *incoming);
/* NULL: of none that is still open. */
struct peer_incoming *peer_incoming_with(struct peers *peers, const struct peer_session *session);
/* A MARK that came over the connection of `session`. */
void peer_incoming_mark(struct peers *peers, struct peer_session *session, struct span payload);
/* Whoever calls us and gives as its own an address at which another member answers is told to stop,
 * and not heard any more. To be called when a connection has opened, of either kind. */
void peer_incoming_check_addresses(struct peers *peers);
/* False: neither side is to listen to the other. */
bool peers_same_cluster(struct peers *peers, const struct handshake_identity *peer);
/* Over a session that has just opened: what has changed of us while it shook hands. */
void peers_identity_tell(struct peers *peers, struct peer_session *session);
/* Our own mark over a link that is open. */
void peers_mark_tell(struct peers *peers, struct peer_session *session);

/* One part less; the last one ends peers_close. */
void peers_part_closed(struct peers *peers);
void peers_warn(struct peers *peers, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void peers_warn_flood(struct peers *peers, struct peer_flood *flood, const char *text);
/* An authenticated connection ended with ERR_CORRUPT. */
void peers_damaged(struct peers *peers, const struct peer_session *session,
                   const struct error *err);
/* A frame that came over a link or an incoming connection after the handshake; `listening`: the
 * peer called us. */
void peers_frame(struct peers *peers, struct peer_session *session, const struct peer_frame *frame,
                 bool listening);
/* Dropped and counted if more than PEER_QUEUE_BYTES_MAX waits. */
void peers_session_send(struct peers *peers, struct peer_session *session,
                        enum peer_frame_type type, struct span payload);
/* Who is let in is told by his address: there is neither password nor certificate. */
static inline bool peers_by_address(const struct peers *peers)
{
    return peers->password == NULL && peers->tls == NULL;
}

/* What all sessions have in common. */
struct peer_session_config peers_session_config(const struct peers *peers);
/* Every link's name, and our own, where that is `age_ms` ago; nothing where addresses do not
 * count. */
void peers_resolve_all(struct peers *peers, int64_t age_ms);
void peers_frame_init(const struct peers *peers, struct peer_frame *frame,
                      enum peer_frame_type type, uint64_t to, struct span payload);
struct tcp_options peers_tcp_options(const struct peers *peers);

#endif
