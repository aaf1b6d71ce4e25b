/* dcs.h on a Raft group that this node is no member of: for an agent with raft.partner_addrs and no
 * raft.self_addr. Everything goes over the members' Raft port, in this node's name. What holds for
 * its lease is what holds for a member's: the commands are the same, and so is who ends it. */
#ifndef AGENT_DCS_RAFT_REMOTE_H
#define AGENT_DCS_RAFT_REMOTE_H

#include "agent/dcs/dcs_raft.h"
#include "base/log.h"

struct uv_loop_s;

struct dcs_raft_remote_config {
    struct dcs_raft_config dcs;   /* base and name are copied */
    const char *const *addresses; /* of members, host:port; copied, as the others */
    size_t address_count;
    const char *password; /* NULL = none */
    const char *certfile; /* NULL = plain text */
    const char *keyfile;
    const char *cafile;
    int64_t heartbeat_ms; /* a read with a majority behind it at least so often */
    void (*on_note)(void *arg, enum log_level level, const char *text);
    void *arg;
};

int dcs_raft_remote_new(struct uv_loop_s *loop, const struct dcs_raft_remote_config *config,
                        struct dcs **ret_dcs, struct error *err) MUST_CHECK;

/* Reads the certificate's files again, as is done after a failure anyway; what is connected stays
 * so. */
int dcs_raft_remote_reload(struct dcs *dcs, struct error *err) MUST_CHECK;

struct dcs_raft_remote_status {
    char address[256];    /* of the member that is connected; "" = none */
    uint64_t connections; /* made since the start */
    uint64_t failures;    /* watches without an answer since the start */
    int64_t revision;     /* of the store as it was last heard; -1 = never */
};
void dcs_raft_remote_status(const struct dcs *dcs, struct dcs_raft_remote_status *ret_status);

#endif
