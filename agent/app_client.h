/* The store of an agent that is a client of the Raft group: raft.partner_addrs, and no
 * raft.self_addr. */
#ifndef AGENT_APP_CLIENT_H
#define AGENT_APP_CLIENT_H

#include "agent/config/config.h"
#include "agent/dcs/dcs.h"
#include "base/clock.h"

struct uv_loop_s;
struct api_metrics;

/* ERR_INVALID: the state directory is that of a member. */
int app_client_open(struct uv_loop_s *loop, const struct config *config, const struct clock *clock,
                    struct dcs **ret_dcs, struct error *err) MUST_CHECK;
/* Reads its certificates again; nothing on a node that is no client. `dcs` may be NULL. */
void app_client_reload(const struct config *config, struct dcs *dcs);
/* pgquorum_raft_client_*; `dcs` may be NULL. */
void app_client_metrics(const struct dcs *dcs, struct api_metrics *metrics);

#endif
