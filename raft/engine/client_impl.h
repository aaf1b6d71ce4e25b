/* Private to client.c (calls and their ends) and client_link.c (the connection that carries them).
 */
#ifndef RAFT_ENGINE_CLIENT_IMPL_H
#define RAFT_ENGINE_CLIENT_IMPL_H

#include "base/buf.h"
#include "base/list.h"
#include "base/net/tcp.h"
#include "base/net/tls.h"
#include "raft/client.h"
#include "raft/engine/client_frame.h"
#include "raft/engine/group_warnings.h"
#include "raft/engine/peer_session.h"

#include <uv.h>

enum client_state { CLIENT_IDLE, CLIENT_CONNECTING, CLIENT_HANDSHAKE, CLIENT_OPEN };

/* What was done since the member was heard last. */
enum client_look { CLIENT_LOOK_NONE, CLIENT_LOOK_ASKED, CLIENT_LOOK_LAST };

struct client_call {
    struct list in_client;
    uint64_t number;
    enum client_kind kind;
    bool sent;
    size_t tries;         /* addresses that did not answer it */
    uint64_t timeout_ms;  /* what the caller gave it */
    uint64_t deadline_ms; /* uv_now */
    struct buf body;
    raft_client_read_done read_done;
    raft_client_command_done command_done;
    raft_client_status_done status_done;
    void *arg;
};

struct raft_client {
    enum client_state state;
    bool closing;
    uv_loop_t *loop;
    struct net_addr addresses[RAFT_CLIENT_ADDRESSES_MAX];
    size_t address_count;
    size_t address;  /* tried now, or connected */
    size_t failures; /* addresses of this round that failed */
    char *password;
    struct tls_context *tls; /* NULL = plain text */
    struct handshake_identity identity;
    struct list calls; /* in the order of their numbers */
    size_t call_count;
    uint64_t number_next;
    uv_timer_t timer; /* the next deadline, or what is to be done at once */
    struct tcp_connect *connect;
    struct peer_session *session;
    uint64_t heard_ms; /* uv_now: the last sign of life, or since when one is owed */
    enum client_look look;
    uint64_t asked_ms; /* uv_now of it */
    bool leaving;      /* it refused as unavailable: the next one, once nothing is under way here */
    bool full;         /* its queue is: more when it has drained */
    uint64_t cluster;  /* of who answered first; 0 = nobody yet */
    struct raft_client_events events; /* NULL = not asked for */
    struct group_warnings warnings;
    int parts; /* timer, connect, sessions that are not gone yet */
    void (*closed)(void *arg);
    void *closed_arg;
};

/* --- client.c --------------------------------------------------------------------------------- */

struct client_outcome {
    int rc;
    const struct raft_client_view *view;
    const struct store_result *result;
    const struct raft_status *status;
    const struct error *err;
};

/* Takes the call out, calls back, frees it. The callback may add calls or close the client. */
void client_call_end(struct raft_client *client, struct client_call *call,
                     const struct client_outcome *outcome);
void client_call_fail(struct raft_client *client, struct client_call *call, int rc,
                      const struct error *err);
/* The first that was sent (or was not); NULL = none. */
struct client_call *client_call_first(struct raft_client *client, bool sent);
/* Every call that waits to be sent fails, but not those that are added meanwhile. */
void client_waiting_fail(struct raft_client *client, int rc, const struct error *err);
/* Sets the timer for what is due next; `soon`: in the next turn. */
void client_timer_arm(struct raft_client *client, bool soon);
/* One of `parts` is gone. */
void client_part_closed(void *client);

/* --- client_link.c ---------------------------------------------------------------------------- */

/* Connects if something waits, sends what may be sent, moves on to the next address. */
void client_step(struct raft_client *client);
/* Lets go of the connection, and of the one that is being made. */
void client_link_close(struct raft_client *client);
/* uv_now of the next look at whether the member lives; UINT64_MAX = it owes nothing. */
uint64_t client_look_ms(struct raft_client *client);
/* The look: asks for a sign of life, or moves on. */
void client_look(struct raft_client *client);

#endif
