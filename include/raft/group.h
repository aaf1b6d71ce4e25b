/* One member of the Raft group in production: opens the directory, listens on the Raft port, finds
 * the others, makes or joins the group, and then runs a raft_node on SQLite, TCP and the real
 * clocks.
 *
 * Everything happens on the loop's thread; no callback comes from inside raft_group_open. After
 * on_fatal the process has to end: nothing more is written, and the port is silent. The process has
 * to ignore SIGPIPE. */
#ifndef RAFT_GROUP_H
#define RAFT_GROUP_H

#include "base/err.h"
#include "raft/node.h"

#include <stdbool.h>
#include <stddef.h>

struct uv_loop_s;
struct raft_group;

#define RAFT_GROUP_PARTNERS_MAX (STORE_MEMBERS_MAX - 1)

/* Strings are copied. Addresses are host:port, [ipv6]:port for IPv6. */
struct raft_group_config {
    const char *data_dir; /* made with mode 0700 if it is not there */
    const char *name; /* this member's name: the directory belongs to it from the first start on */
    const char *self_addr;   /* what the others connect to */
    const char *bind_addr;   /* what we listen on; NULL = self_addr */
    const char *client_urls; /* as in raft_node_config; NULL: etcd's clients are not served */
    const char *const *partner_addrs;
    size_t partner_count; /* 0: a group of one voter is made at once */
    const char *password; /* NULL or empty: only members' addresses may connect (without TLS) */
    /* Mutual TLS, docs/consensus.md; all NULL = plain text. The files are read again when they have
     * changed. */
    const char *certfile; /* PEM; its certificate bears `name`, or the host of self_addr */
    const char *keyfile;  /* NULL = in certfile */
    const char *cafile;   /* whose certificates may connect */
    int election_timeout_ms;
    int heartbeat_ms;
    bool witness;    /* runs no PostgreSQL: told in the status, and nothing else */
    bool armed_page; /* the node's fence holds an armed page: an empty directory does not count as
                        empty */
};

struct raft_group_callbacks {
    void (*on_ready)(void *arg);  /* raft_group_node is there (it need not know a leader yet) */
    void (*on_change)(void *arg); /* as raft_env.on_change */
    /* Not started, or not a voter yet, and for whom or what it waits; told again only when the text
     * changes, or after 10 s. */
    void (*on_waiting)(void *arg, const char *text);
    /* For the log; an identical text comes at most once a minute. */
    void (*on_warning)(void *arg, const char *text);
    /* Something that an operator did has come into force (new certificates). May be NULL. */
    void (*on_note)(void *arg, const char *text);
    /* Damaged or foreign directory, two processes under one id, storage or engine failure. */
    void (*on_fatal)(void *arg, const struct error *err);
    void *arg;
};

/* Opens and locks the directory and listens; the rest comes by callbacks. Fails with ERR_BUSY
 * (directory or address in use), ERR_PERMISSION, ERR_INVALID (address, certificate, or the
 * directory bears another member's name), ERR_NOT_FOUND (certificate), ERR_CORRUPT, ERR_IO. */
int raft_group_open(struct uv_loop_s *loop, const struct raft_group_config *config,
                    const struct raft_group_callbacks *callbacks, struct raft_group **ret_group,
                    struct error *err) MUST_CHECK;

/* NULL until on_ready and from raft_group_close on. */
struct raft_node *raft_group_node(struct raft_group *group);

/* Reads the files with certificates now, and tells what came of it; nothing without TLS. */
void raft_group_reload(struct raft_group *group);

/* Id of the replicated cluster; 0 while there is none. */
uint64_t raft_group_cluster(const struct raft_group *group);

/* Port we listen on (of use where bind_addr said port 0). */
int raft_group_port(const struct raft_group *group);

/* Counters since the start, for metrics. */
struct raft_group_counters {
    uint64_t
        handshakes_refused;  /* wrong password, certificate, cluster, address that is no member's */
    uint64_t frames_refused; /* cluster, sender or receiver id did not match */
    uint64_t frames_corrupt; /* checksum: bytes were damaged on their way */
    uint64_t frames_dropped; /* to a peer that was not connected or had too much queued */
    uint64_t clients_refused; /* over the limit of connections or requests */
};
void raft_group_counters(const struct raft_group *group, struct raft_group_counters *ret_counters);

/* Stops the node (pending calls end with ERR_CANCELED), closes the connections and the directory,
 * then calls `closed` (may be NULL) once; the group is gone then. May be called from any callback
 * of the group or its node; none of the group's comes afterwards. */
void raft_group_close(struct raft_group *group, void (*closed)(void *arg), void *arg);

#endif
