/* Requests of plain clients, answered by this member. A command's answer is its result;
 * ERR_UNAVAILABLE, ERR_LIMIT, ERR_INVALID, ERR_REFUSED: it was not begun; or ERR_UNKNOWN: it may be
 * applied, or have been. */
#ifndef RAFT_ENGINE_CLIENT_SERVER_H
#define RAFT_ENGINE_CLIENT_SERVER_H

#include "raft/engine/peer_session.h"
#include "raft/node.h"

#define CLIENT_SERVER_REQUESTS_MAX   512 /* of all clients */
#define CLIENT_SERVER_PER_CLIENT_MAX 64  /* of one name or, without names, one host */
/* Of renewals under a name, beside the others: what a leader key hangs on is refused for no other
 * request's sake. */
#define CLIENT_SERVER_RENEWALS_MAX            128
#define CLIENT_SERVER_RENEWALS_PER_CLIENT_MAX 16
#define CLIENT_SERVER_QUEUE_BYTES_MAX         ((size_t)16 * 1024 * 1024)

struct client_server;

struct client_server *client_server_new(void);
/* After client_server_node(server, NULL) and the node's stop: nothing may be under way. Accepts
 * NULL. */
void client_server_free(struct client_server *server);

/* NULL: not started, or about to stop: requests are then answered with ERR_UNAVAILABLE. */
void client_server_node(struct client_server *server, struct raft_node *node);
/* To be called when the store has changed, after requests, and when it said: what is watched is
 * looked at. Returns how soon again, at the latest; -1 = nothing is watched. */
int64_t client_server_look(struct client_server *server, int64_t now_ms);
void client_server_request(struct client_server *server, struct peer_session *client,
                           struct span payload, const struct handshake_identity *self,
                           int64_t now_ms);
/* The connection ends: what is under way is finished, and told to nobody. */
void client_server_forget(struct client_server *server, struct peer_session *client);

#endif
