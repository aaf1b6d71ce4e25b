/* The section `etcd_server` put to work, for the agent and for a witness. */
#ifndef AGENT_APP_ETCD_H
#define AGENT_APP_ETCD_H

#include "agent/config/config.h"
#include "raft/etcd_server.h"

struct raft_group;

/* The group comes and goes (`group` is where its owner keeps it). Without the section *ret_server
 * is NULL, which the calls below take. */
int app_etcd_start(struct uv_loop_s *loop, const struct config *config, int election_timeout_ms,
                   struct raft_group **group, struct etcd_server **ret_server,
                   struct error *err) MUST_CHECK;
void app_etcd_on_change(struct etcd_server *server);
/* SIGHUP: the certificates of the Raft port and of this one are read again, which the log says.
 * Each may be NULL; false: there are none. */
bool app_reload_certificates(const struct config *config, struct raft_group *group,
                             struct etcd_server *server);
/* `stopped` comes at once where there is none. */
void app_etcd_stop(struct etcd_server *server, void (*stopped)(void *arg), void *arg);

#endif
