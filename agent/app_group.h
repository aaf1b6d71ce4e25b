/* The Raft group as the file describes it: for the agent and for a witness. */
#ifndef AGENT_APP_GROUP_H
#define AGENT_APP_GROUP_H

#include "agent/config/config.h"
#include "raft/group.h"

struct app_group {
    int64_t ttl_ms;  /* of the start: the default of the election timeout comes from it */
    bool armed_page; /* see raft_group_config */
    bool witness;
    void (*on_ready)(void *arg);
    void (*on_change)(void *arg);
    void *arg;
};

/* What the group says besides goes to the log; a fatal error ends the process. */
int app_group_open(struct uv_loop_s *loop, const struct config *config,
                   const struct app_group *options, struct raft_group **ret_group,
                   struct error *err) MUST_CHECK;

struct api_metrics;
/* pgquorum_raft_*; `group` may be NULL. */
void app_group_metrics(struct raft_group *group, struct api_metrics *metrics);

#endif
