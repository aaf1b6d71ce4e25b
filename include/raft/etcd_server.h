/* etcd's client API on a port of its own, in front of the store: v2, v3 over JSON and over gRPC
 * (docs/etcd.md). Any member answers everything. */
#ifndef RAFT_ETCD_SERVER_H
#define RAFT_ETCD_SERVER_H

#include "base/clock.h"
#include "base/err.h"
#include "base/random.h"

#include <stdbool.h>
#include <stdint.h>

struct uv_loop_s;
struct raft_node;
struct etcd_server;

/* Strings are copied. */
struct etcd_server_config {
    const char *listen;    /* host:port */
    const char *advertise; /* full URLs, with commas: what clients are told to connect to */
    bool peers_use_tls;    /* the Raft ports, which are told beside: https */
    const char *certfile;  /* TLS; NULL = plain */
    const char *keyfile;   /* NULL = in certfile */
    const char *cafile;    /* of clients' certificates; NULL = none are asked for */
    bool client_cert_auth; /* a connection without a good one is refused; a good one counts as a
                              user's name and password in any case */
    const char *username;  /* NULL = no users */
    const char *password;
    int election_timeout_ms;
    const struct clock *clock;
    const struct random *random;
    struct raft_node *(*node)(void *arg); /* NULL while there is none */
    void (*on_warning)(void *arg, const char *text);
    void (*on_note)(void *arg, const char *text); /* new certificates are in use; may be NULL */
    void *arg;
};

/* Listens, and with a certificate looks whether its files have changed, every so often: what is
 * good is used for new connections, what is not is warned of and changes nothing. ERR_BUSY,
 * ERR_INVALID, ERR_PERMISSION, ERR_IO: `err` names the address or the file. */
int etcd_server_start(struct uv_loop_s *loop, const struct etcd_server_config *config,
                      struct etcd_server **ret_server, struct error *err) MUST_CHECK;
uint16_t etcd_server_port(const struct etcd_server *server);
/* To be called from the group's on_ready and on_change. */
void etcd_server_on_change(struct etcd_server *server);
/* Reads the certificate files now; on_note or on_warning says what came of it. Nothing without TLS.
 */
void etcd_server_reload(struct etcd_server *server);
/* Ends calls and connections; `stopped` when the loop holds nothing of it. */
void etcd_server_stop(struct etcd_server *server, void (*stopped)(void *arg), void *arg);

#endif
