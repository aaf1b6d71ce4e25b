/* dcs.h on the Raft group: `dcs_raft` inside the agent, on a raft_node of the same process;
 * `dcs_raft_client` for the command line, on a raft_client. Neither owns what it stands on. */
#ifndef AGENT_DCS_RAFT_H
#define AGENT_DCS_RAFT_H

#include "agent/dcs/dcs.h"
#include "base/clock.h"
#include "base/random.h"

struct raft_node;
struct raft_client;

struct dcs_raft_config {
    const char *base; /* "/<namespace>/<scope>/", as dcs_base_path makes it; copied */
    const char *name; /* this member */
    const struct clock *clock;
    const struct random *random;
};

/* `node` may be NULL (not started yet): operations then fail with ERR_UNAVAILABLE at once. There is
 * a view as soon as one read was answered, which is asked for by itself. */
struct dcs *dcs_raft_new(struct raft_node *node, const struct dcs_raft_config *config);
/* The group's on_ready, and NULL before the node is stopped. */
void dcs_raft_set_node(struct dcs *dcs, struct raft_node *node);
/* To be called from the group's on_change; calls dcs.on_change if the view differs from the last
 * one. */
void dcs_raft_changed(struct dcs *dcs);

/* view (of the last read), read, put and remove work; the others fail with ERR_UNSUPPORTED. */
struct dcs *dcs_raft_client_new(struct raft_client *client, const char *base);

/* "/<namespace>/<scope>/" with repeated slashes collapsed; free with mem_free. */
char *dcs_base_path(const char *namespace_, const char *scope);

#endif
